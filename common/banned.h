/*
 * Functions that have bitten too many programs: using one is a compile error.
 * Include this last. The better way stands beside each name.
 */
#ifndef KANCEL_COMMON_BANNED_H
#define KANCEL_COMMON_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Hardened builds with clang make macros of some, and a macro must not be poisoned. */
#undef strcpy
#undef strcat
#undef strncpy
#undef strncat
#undef sprintf
#undef vsprintf

#pragma GCC poison strcpy strcat strncpy strncat /* struct buffer, or snprintf */
#pragma GCC poison sprintf vsprintf              /* snprintf */
#pragma GCC poison strtok                        /* walk the text */
#pragma GCC poison atoi atol atoll               /* slice_to_int64 */
#pragma GCC poison localtime gmtime ctime        /* common/timestamp.h */
#pragma GCC poison rand srand                    /* common/rng.h */

#endif
