/* Texts of options to values, each refusal naming what was expected. Part of option.c: nobody else
 * uses it. */
#ifndef KANCEL_COMMON_OPTION_PARSE_H
#define KANCEL_COMMON_OPTION_PARSE_H

#include "common/option.h"

/* UTF-8 without NUL. */
int option_check_text(struct slice text, struct error *err) MUST_CHECK;
int option_check_choice(const struct option *row, struct slice text, struct error *err) MUST_CHECK;
int option_parse_bool(struct slice text, int64_t *truth, struct error *err) MUST_CHECK;
int option_parse_integer(const struct option *row, struct slice text, int64_t *number,
                         struct error *err) MUST_CHECK;
int option_parse_duration(const struct option *row, struct slice text, int64_t *ms,
                          struct error *err) MUST_CHECK;
int option_parse_range(const struct option *row, struct slice text, int64_t *low_ms,
                       int64_t *high_ms, struct error *err) MUST_CHECK;
int option_parse_rate(struct slice text, int64_t *thousandths, struct error *err) MUST_CHECK;

/* Takes what stands before the next `separator` off `text`; false at the end. */
bool option_next_item(struct slice *text, char separator, struct slice *item);

#endif
