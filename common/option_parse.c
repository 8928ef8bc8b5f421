#include "common/option_parse.h"

#include <inttypes.h>

#include "common/buffer.h"
#include "common/nearest.h"

#include "common/banned.h"

/* Names longer than this are compared exactly only. */
enum { LONGEST_NAME = 64 };
/* A message's list of choices and the like. */
enum { PHRASE_BYTES = 160 };

static const char expected_duration[] = "expected a duration such as 200ms, 30s, 5m or 24h";
static const char expected_range[] = "expected a range of durations such as 200ms..30s";
static const char expected_rate[] = "expected a rate such as 200/s, 30/m or 0.5/s";

int option_check_text(struct slice text, struct error *err)
{
    if (text.len > 0 && memchr(text.data, '\0', text.len) != NULL)
        return error_set(err, ERROR_INPUT, "expected text without NUL bytes");
    if (!slice_is_utf8(text))
        return error_set(err, ERROR_INPUT, "expected text in UTF-8");
    return 0;
}

bool option_next_item(struct slice *text, char separator, struct slice *item)
{
    if (text->data == NULL)
        return false;
    const char *end = text->len == 0 ? NULL : memchr(text->data, separator, text->len);
    *item = slice_of(text->data, end == NULL ? text->len : (size_t)(end - text->data));
    *text = end == NULL ? slice_of(NULL, 0) : slice_of(end + 1, text->len - item->len - 1);
    return true;
}

/* "a, b or c" */
static void list_choices(const char *choices, struct buffer *out)
{
    struct slice rest = slice_of_string(choices);
    struct slice choice;
    for (bool first = true; option_next_item(&rest, '|', &choice); first = false) {
        if (!first)
            buffer_append_string(out, rest.data == NULL ? " or " : ", ");
        buffer_append_slice(out, choice);
    }
}

int option_check_choice(const struct option *row, struct slice text, struct error *err)
{
    struct slice rest = slice_of_string(row->choices);
    struct slice choice;
    struct nearest nearest;
    nearest_begin(&nearest, text);
    while (option_next_item(&rest, '|', &choice)) {
        if (slice_equal(text, choice))
            return 0;
        nearest_offer(&nearest, choice);
    }
    struct buffer list;
    buffer_init(&list, PHRASE_BYTES);
    list_choices(row->choices, &list);
    struct slice listed = buffer_slice(&list);
    if (nearest.name.data == NULL)
        error_set(err, ERROR_INPUT, "expected %.*s", SLICE_ARG(listed));
    else
        error_set(err, ERROR_INPUT, "expected %.*s; did you mean %.*s?", SLICE_ARG(listed),
                  SLICE_ARG(nearest.name));
    buffer_release(&list);
    return -1;
}

int option_parse_bool(struct slice text, int64_t *truth, struct error *err)
{
    bool is_true = slice_equals(text, "true");
    if (!is_true && !slice_equals(text, "false"))
        return error_set(err, ERROR_INPUT, "expected true or false");
    *truth = is_true;
    return 0;
}

static bool in_bounds(const struct option *row, int64_t number)
{
    return number >= row->minimum && (row->maximum == 0 || number <= row->maximum);
}

int option_parse_integer(const struct option *row, struct slice text, int64_t *number,
                         struct error *err)
{
    int64_t parsed;
    if (slice_to_int64(text, &parsed) && in_bounds(row, parsed)) {
        *number = parsed;
        return 0;
    }
    if (row->maximum == 0)
        return error_set(err, ERROR_INPUT, "expected a whole number of at least %" PRId64,
                         row->minimum);
    return error_set(err, ERROR_INPUT, "expected a whole number from %" PRId64 " to %" PRId64,
                     row->minimum, row->maximum);
}

struct unit {
    const char *name;
    int64_t ms;
};

/* `ms` before `m` and `s`, whose ends it has. */
static const struct unit units[] = {{"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 3600 * 1000}};
enum { UNIT_COUNT = sizeof(units) / sizeof(units[0]) };

static bool parse_duration(struct slice text, int64_t *ms)
{
    for (size_t i = 0; i < UNIT_COUNT; i++) {
        if (!slice_ends_with(text, units[i].name))
            continue;
        struct slice digits = slice_of(text.data, text.len - strlen(units[i].name));
        int64_t count;
        return digits.len > 0 && digits.data[0] != '-' && slice_to_int64(digits, &count) &&
               !__builtin_mul_overflow(count, units[i].ms, ms);
    }
    return false;
}

/* In the largest unit that needs no fraction. */
static void append_duration(struct buffer *out, int64_t ms)
{
    size_t i = ms == 0 ? 1 : UNIT_COUNT - 1;
    while (ms % units[i].ms != 0)
        i--;
    buffer_append_int(out, ms / units[i].ms);
    buffer_append_string(out, units[i].name);
}

static int check_duration(const struct option *row, int64_t ms, struct error *err)
{
    if (in_bounds(row, ms))
        return 0;
    struct buffer bounds;
    buffer_init(&bounds, PHRASE_BYTES);
    buffer_append_string(&bounds, row->maximum == 0 ? "of at least " : "from ");
    append_duration(&bounds, row->minimum);
    if (row->maximum != 0) {
        buffer_append_string(&bounds, " to ");
        append_duration(&bounds, row->maximum);
    }
    struct slice phrase = buffer_slice(&bounds);
    error_set(err, ERROR_INPUT, "expected a duration %.*s", SLICE_ARG(phrase));
    buffer_release(&bounds);
    return -1;
}

int option_parse_duration(const struct option *row, struct slice text, int64_t *ms,
                          struct error *err)
{
    int64_t parsed;
    if (!parse_duration(text, &parsed))
        return error_set(err, ERROR_INPUT, "%s", expected_duration);
    if (check_duration(row, parsed, err) != 0)
        return -1;
    *ms = parsed;
    return 0;
}

int option_parse_range(const struct option *row, struct slice text, int64_t *low_ms,
                       int64_t *high_ms, struct error *err)
{
    const char *dots = text.len < 2 ? NULL : memmem(text.data, text.len, "..", 2);
    if (dots == NULL)
        return error_set(err, ERROR_INPUT, "%s", expected_range);
    size_t low_len = (size_t)(dots - text.data);
    int64_t low;
    int64_t high;
    if (!parse_duration(slice_of(text.data, low_len), &low) ||
        !parse_duration(slice_of(dots + 2, text.len - low_len - 2), &high))
        return error_set(err, ERROR_INPUT, "%s", expected_range);
    if (low > high)
        return error_set(err, ERROR_INPUT, "%s, the shorter one first", expected_range);
    if (check_duration(row, low, err) != 0 || check_duration(row, high, err) != 0)
        return -1;
    *low_ms = low;
    *high_ms = high;
    return 0;
}

/* A decimal number of at most nine digits on either side of the point, in billionths. */
static bool parse_decimal(struct slice text, int64_t *billionths)
{
    struct slice fraction = text;
    struct slice whole;
    if (!option_next_item(&fraction, '.', &whole) || whole.len == 0 || whole.len > 9)
        return false;
    bool has_point = fraction.data != NULL;
    if (has_point && (fraction.len == 0 || fraction.len > 9))
        return false;
    int64_t number;
    int64_t parts = 0;
    if (whole.data[0] == '-' || !slice_to_int64(whole, &number))
        return false;
    if (has_point && (fraction.data[0] == '-' || !slice_to_int64(fraction, &parts)))
        return false;
    for (size_t digits = has_point ? fraction.len : 9; digits < 9; digits++)
        parts *= 10;
    *billionths = number * 1000000000 + parts;
    return true;
}

int option_parse_rate(struct slice text, int64_t *thousandths, struct error *err)
{
    struct slice unit = text;
    struct slice count;
    int64_t billionths;
    if (slice_equals(text, "0")) { /* no limit needs no unit */
        *thousandths = 0;
        return 0;
    }
    if (!option_next_item(&unit, '/', &count) || !parse_decimal(count, &billionths) ||
        unit.len != 1 || memchr("smh", unit.data[0], 3) == NULL)
        return error_set(err, ERROR_INPUT, "%s", expected_rate);
    int64_t seconds = unit.data[0] == 's' ? 1 : unit.data[0] == 'm' ? 60 : 3600;
    /* Rounded down, so that a provider's limit is kept; but 0 would be no limit at all. */
    int64_t rate = billionths / (1000000 * seconds);
    if (rate == 0 && billionths > 0)
        return error_set(err, ERROR_INPUT, "expected a rate of at least 0.001/s, or 0/s for none");
    *thousandths = rate;
    return 0;
}
