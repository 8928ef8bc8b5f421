/*
 * A look over JSON text without building anything: what must be known before jansson sees a text,
 * and where the top level's members stand in it. Never reads outside the text, whatever it holds;
 * only well-formed JSON gets meaningful answers. Part of json.c: nobody else uses it.
 */
#ifndef KANCEL_COMMON_JSON_SCAN_H
#define KANCEL_COMMON_JSON_SCAN_H

#include "common/error.h"
#include "common/slice.h"

/* Refuses NUL bytes, a BOM, blank texts and nesting deeper than `most_depth` (ERROR_INPUT), and
 * counts the numbers that jansson would refuse because no int64 or double holds them. */
int json_scan_check(struct slice text, unsigned most_depth, size_t *wide_numbers,
                    struct error *err) MUST_CHECK;

/* Overwrites each such number by 9e99 and blanks behind its sign; all other bytes and the length
 * stay. */
void json_scan_blunt(char *text, size_t len);

/* The value of member `name` of the object that `text` is, as it was written, without blanks
 * around; the absent slice when there is none. */
struct slice json_scan_member(struct slice text, const char *name);

#endif
