/* Points in time as text. All are milliseconds since 1970-01-01T00:00:00Z, leap seconds ignored. */
#ifndef KANCEL_COMMON_TIMESTAMP_H
#define KANCEL_COMMON_TIMESTAMP_H

#include "common/slice.h"

enum { TIMESTAMP_SIZE = 32 };
/* 9999-12-31T23:59:59.999Z; earlier than 1970 and later than this is formatted as the nearest end.
 */
#define TIMESTAMP_LAST_MS INT64_C(253402300799999)

/* RFC 3339 with `T`/`t`, `Z`/`z` or a numeric offset, any number of fraction digits (cut to ms).
 * Years 1970-9999. Second 60 only where a leap second may be. */
bool timestamp_parse(struct slice text, int64_t *unix_ms) MUST_CHECK;
/* "2026-11-21T12:00:00.123Z" */
void timestamp_format(int64_t unix_ms, char text[TIMESTAMP_SIZE]);
/* "20261121T120000Z" */
void timestamp_format_basic(int64_t unix_ms, char text[TIMESTAMP_SIZE]);
/* IMF-fixdate of HTTP ("Sat, 21 Nov 2026 12:00:00 GMT") and its two obsolete forms (RFC 9110
 * section 5.6.7). Two-digit years are 1970-2069. */
bool timestamp_parse_http(struct slice text, int64_t *unix_ms) MUST_CHECK;

#endif
