#include "common/timestamp.h"

#include "common/banned.h"

enum { SECONDS_PER_DAY = 24 * 60 * 60 };

/* A broken-down time of the proleptic Gregorian calendar, UTC. */
struct moment {
    int year, month, day, hour, minute, second;
};

static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

/* What is left to read; `fine` turns false at the first mismatch and stays so. */
struct reader {
    struct slice rest;
    bool fine;
};

static char take_byte(struct reader *reader)
{
    if (reader->rest.len == 0) {
        reader->fine = false;
        return '\0';
    }
    char byte = reader->rest.data[0];
    reader->rest = slice_of(reader->rest.data + 1, reader->rest.len - 1);
    return byte;
}

static int take_number(struct reader *reader, int digits)
{
    int number = 0;
    for (int i = 0; i < digits; i++) {
        char byte = take_byte(reader);
        if (byte < '0' || byte > '9')
            reader->fine = false;
        else
            number = number * 10 + (byte - '0');
    }
    return number;
}

static void take_text(struct reader *reader, const char *text)
{
    for (; *text != '\0'; text++) {
        if (take_byte(reader) != *text)
            reader->fine = false;
    }
}

static void take_clock(struct reader *reader, struct moment *moment)
{
    moment->hour = take_number(reader, 2);
    take_text(reader, ":");
    moment->minute = take_number(reader, 2);
    take_text(reader, ":");
    moment->second = take_number(reader, 2);
}

static int take_month_name(struct reader *reader)
{
    char name[3];
    for (size_t i = 0; i < sizeof(name); i++)
        name[i] = take_byte(reader);
    for (int month = 0; month < 12; month++) {
        if (memcmp(month_names + (size_t)month * 3, name, 3) == 0)
            return month + 1;
    }
    reader->fine = false;
    return 1;
}

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int days_of_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

/* A leap second may be written (second 60); whether it may be there the caller says. */
static bool moment_is_valid(const struct moment *moment, int most_second)
{
    return moment->year >= 1970 && moment->year <= 9999 && moment->month >= 1 &&
           moment->month <= 12 && moment->day >= 1 &&
           moment->day <= days_of_month(moment->year, moment->month) && moment->hour <= 23 &&
           moment->minute <= 59 && moment->second <= most_second;
}

static int64_t days_before_year(int year)
{
    int64_t past = year - 1;
    return past * 365 + past / 4 - past / 100 + past / 400;
}

static int64_t moment_to_seconds(const struct moment *moment)
{
    int64_t days = days_before_year(moment->year) - days_before_year(1970);
    for (int month = 1; month < moment->month; month++)
        days += days_of_month(moment->year, month);
    days += moment->day - 1;
    return days * SECONDS_PER_DAY + moment->hour * 3600 + moment->minute * 60 + moment->second;
}

static struct moment moment_of_seconds(int64_t seconds)
{
    int64_t days = seconds / SECONDS_PER_DAY;
    int clock = (int)(seconds % SECONDS_PER_DAY);
    struct moment moment = {.hour = clock / 3600, .minute = clock / 60 % 60, .second = clock % 60};
    int64_t since = days + days_before_year(1970);
    moment.year = (int)(since * 400 / 146097) + 1; /* 400 years have 146097 days; may be one off */
    while (days_before_year(moment.year) > since)
        moment.year--;
    while (days_before_year(moment.year + 1) <= since)
        moment.year++;
    int day = (int)(since - days_before_year(moment.year));
    moment.month = 1;
    while (day >= days_of_month(moment.year, moment.month))
        day -= days_of_month(moment.year, moment.month++);
    moment.day = day + 1;
    return moment;
}

/* The digits behind the point, cut to milliseconds. */
static int take_fraction(struct reader *reader)
{
    int ms = 0;
    int digits = 0;
    while (reader->rest.len > 0 && reader->rest.data[0] >= '0' && reader->rest.data[0] <= '9') {
        int digit = take_byte(reader) - '0';
        if (digits++ < 3)
            ms = ms * 10 + digit;
    }
    if (digits == 0)
        reader->fine = false;
    for (; digits < 3; digits++)
        ms *= 10;
    return ms;
}

static int64_t take_offset(struct reader *reader)
{
    char sign = take_byte(reader);
    if (sign == 'Z' || sign == 'z')
        return 0;
    int hours = take_number(reader, 2);
    take_text(reader, ":");
    int minutes = take_number(reader, 2);
    if ((sign != '+' && sign != '-') || hours > 23 || minutes > 59)
        reader->fine = false;
    int64_t seconds = hours * 3600 + minutes * 60;
    return sign == '-' ? -seconds : seconds;
}

bool timestamp_parse(struct slice text, int64_t *unix_ms)
{
    struct reader reader = {text, true};
    struct moment moment;
    moment.year = take_number(&reader, 4);
    take_text(&reader, "-");
    moment.month = take_number(&reader, 2);
    take_text(&reader, "-");
    moment.day = take_number(&reader, 2);
    char separator = take_byte(&reader);
    take_clock(&reader, &moment);
    int ms = 0;
    if (reader.rest.len > 0 && reader.rest.data[0] == '.') {
        (void)take_byte(&reader);
        ms = take_fraction(&reader);
    }
    int64_t offset = take_offset(&reader);
    if (!reader.fine || reader.rest.len > 0 || (separator != 'T' && separator != 't') ||
        !moment_is_valid(&moment, 60))
        return false;
    int64_t seconds = moment_to_seconds(&moment) - offset;
    /* A leap second ends a day of UTC; it counts as the first second of the next. */
    if (moment.second == 60 && seconds % SECONDS_PER_DAY != 0)
        return false;
    if (seconds < 0 || seconds > TIMESTAMP_LAST_MS / 1000)
        return false;
    *unix_ms = seconds * 1000 + ms;
    return true;
}

static int64_t clamp(int64_t unix_ms)
{
    return unix_ms < 0 ? 0 : unix_ms > TIMESTAMP_LAST_MS ? TIMESTAMP_LAST_MS : unix_ms;
}

/* `count` digits of `number` and a NUL; returns where the next ones go. By hand, as every result
 * takes three times and printf costs as much as the rest of a result. */
static char *put(char *text, int64_t number, int count, const char *behind)
{
    for (int i = count - 1; i >= 0; i--) {
        text[i] = (char)('0' + number % 10);
        number /= 10;
    }
    size_t len = strlen(behind);
    memcpy(text + count, behind, len + 1);
    return text + count + len;
}

static void put_moment(char text[TIMESTAMP_SIZE], int64_t unix_ms, const char *dash,
                       const char *colon, bool fraction)
{
    struct moment at = moment_of_seconds(unix_ms / 1000);
    text = put(text, at.year, 4, dash);
    text = put(text, at.month, 2, dash);
    text = put(text, at.day, 2, "T");
    text = put(text, at.hour, 2, colon);
    text = put(text, at.minute, 2, colon);
    text = put(text, at.second, 2, fraction ? "." : "Z");
    if (fraction)
        (void)put(text, unix_ms % 1000, 3, "Z");
}

void timestamp_format(int64_t unix_ms, char text[TIMESTAMP_SIZE])
{
    put_moment(text, clamp(unix_ms), "-", ":", true);
}

void timestamp_format_basic(int64_t unix_ms, char text[TIMESTAMP_SIZE])
{
    put_moment(text, clamp(unix_ms), "", "", false);
}

/* "06 Nov 1994 08:49:37 GMT" */
static void take_imf_fixdate(struct reader *reader, struct moment *moment)
{
    moment->day = take_number(reader, 2);
    take_text(reader, " ");
    moment->month = take_month_name(reader);
    take_text(reader, " ");
    moment->year = take_number(reader, 4);
    take_text(reader, " ");
    take_clock(reader, moment);
    take_text(reader, " GMT");
}

/* "06-Nov-94 08:49:37 GMT": the two digits mean 1970-2069, as no server speaks of earlier times. */
static void take_rfc850(struct reader *reader, struct moment *moment)
{
    moment->day = take_number(reader, 2);
    take_text(reader, "-");
    moment->month = take_month_name(reader);
    take_text(reader, "-");
    int year = take_number(reader, 2);
    moment->year = year < 70 ? 2000 + year : 1900 + year;
    take_text(reader, " ");
    take_clock(reader, moment);
    take_text(reader, " GMT");
}

/* "Nov  6 08:49:37 1994" */
static void take_asctime(struct reader *reader, struct moment *moment)
{
    moment->month = take_month_name(reader);
    take_text(reader, " ");
    bool one_digit = reader->rest.len > 0 && reader->rest.data[0] == ' ';
    if (one_digit)
        (void)take_byte(reader);
    moment->day = take_number(reader, one_digit ? 1 : 2);
    take_text(reader, " ");
    take_clock(reader, moment);
    take_text(reader, " ");
    moment->year = take_number(reader, 4);
}

/* Consumes the weekday's name and returns whether it was a long one; that it fits the date is not
 * asked. */
static bool take_weekday(struct reader *reader)
{
    static const char *const names[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                        "Thursday", "Friday", "Saturday"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!slice_starts_with(reader->rest, (char[]){names[i][0], names[i][1], names[i][2], '\0'}))
            continue;
        bool is_long = slice_starts_with(reader->rest, names[i]);
        size_t len = is_long ? strlen(names[i]) : 3;
        reader->rest = slice_of(reader->rest.data + len, reader->rest.len - len);
        return is_long;
    }
    reader->fine = false;
    return false;
}

bool timestamp_parse_http(struct slice text, int64_t *unix_ms)
{
    struct reader reader = {text, true};
    struct moment moment = {0};
    bool is_long = take_weekday(&reader);
    bool comma = reader.rest.len > 0 && reader.rest.data[0] == ',';
    take_text(&reader, comma ? ", " : " ");
    if (!comma)
        take_asctime(&reader, &moment);
    else if (is_long)
        take_rfc850(&reader, &moment);
    else
        take_imf_fixdate(&reader, &moment);
    if (!reader.fine || reader.rest.len > 0 || !moment_is_valid(&moment, 60))
        return false;
    int64_t seconds = moment_to_seconds(&moment);
    if (seconds > TIMESTAMP_LAST_MS / 1000)
        return false;
    *unix_ms = seconds * 1000;
    return true;
}
