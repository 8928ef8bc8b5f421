#include "common/json_scan.h"

#include "common/banned.h"

/* Decimal exponents that a double certainly has; nothing here reads a double beyond 2^53. */
enum { LEAST_EXPONENT = -300, MOST_EXPONENT = 300 };
/* Longer digit runs and exponents need no exact count. */
enum { ENOUGH = 1000 * 1000 * 1000 };

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* `at` is a quote; returns the place behind the closing one, or the end. */
static size_t skip_string(struct slice text, size_t at)
{
    at++;
    while (at < text.len) {
        char byte = text.data[at++];
        if (byte == '"')
            return at;
        if (byte == '\\' && at < text.len)
            at++;
    }
    return at;
}

static size_t skip_digits(struct slice text, size_t at)
{
    while (at < text.len && is_digit(text.data[at]))
        at++;
    return at;
}

/* Where the exponent's digits start, if an exponent is at `at`; else `at`. */
static size_t exponent_digits(struct slice text, size_t at)
{
    if (at >= text.len || (text.data[at] != 'e' && text.data[at] != 'E'))
        return at;
    size_t digits = at + 1;
    if (digits < text.len && (text.data[digits] == '+' || text.data[digits] == '-'))
        digits++;
    return digits < text.len && is_digit(text.data[digits]) ? digits : at;
}

static int64_t exponent_value(struct slice text, size_t mark, size_t digits, size_t end)
{
    int64_t exponent = 0;
    for (size_t i = digits; i < end && exponent < ENOUGH; i++)
        exponent = exponent * 10 + (text.data[i] - '0');
    return text.data[mark + 1] == '-' ? -exponent : exponent;
}

/* The power of ten of the first digit that is not 0, within `digits` with an optional point in it;
 * false: all are 0. */
static bool leading_power(struct slice digits, int64_t *power)
{
    size_t point = 0;
    while (point < digits.len && digits.data[point] != '.')
        point++;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.data[i] == '0' || digits.data[i] == '.')
            continue;
        *power = i < point ? (int64_t)(point - i) - 1 : -(int64_t)(i - point);
        return true;
    }
    return false;
}

/*
 * `at` is a minus or a digit. Returns the length of the number (RFC 8259) there, or 1 when there is
 * none, and whether neither an int64 nor a double holds it. What is no number is left for jansson
 * to refuse.
 */
static size_t number_length(struct slice text, size_t at, bool *wide)
{
    *wide = false;
    size_t first = at + (text.data[at] == '-');
    size_t end = skip_digits(text, first);
    if (end == first || (end - first > 1 && text.data[first] == '0'))
        return 1;
    bool whole = true;
    if (end + 1 < text.len && text.data[end] == '.' && is_digit(text.data[end + 1])) {
        end = skip_digits(text, end + 1);
        whole = false;
    }
    struct slice digits = slice_of(text.data + first, end - first);
    size_t mark = end;
    size_t exponent_at = exponent_digits(text, mark);
    int64_t exponent = 0;
    if (exponent_at > mark) {
        end = skip_digits(text, exponent_at);
        exponent = exponent_value(text, mark, exponent_at, end);
        whole = false;
    }
    int64_t number;
    int64_t power;
    if (whole)
        *wide = digits.len > 18 && !slice_to_int64(slice_of(text.data + at, end - at), &number);
    else if (leading_power(digits, &power))
        *wide = power + exponent > MOST_EXPONENT || power + exponent < LEAST_EXPONENT;
    return end - at;
}

/* Lines and columns from 1, columns in characters. */
static int refuse(struct slice text, size_t at, const char *what, struct error *err)
{
    size_t line = 1;
    size_t column = 1;
    for (size_t i = 0; i < at; i++) {
        if (text.data[i] == '\n') {
            line++;
            column = 1;
        } else if ((text.data[i] & 0xc0) != 0x80) {
            column++;
        }
    }
    return error_set(err, ERROR_INPUT, "line %zu, column %zu: %s", line, column, what);
}

static int check_start(struct slice text, struct error *err)
{
    if (slice_starts_with(text, "\xef\xbb\xbf"))
        return error_set(err, ERROR_INPUT, "starts with a byte order mark; expected plain UTF-8");
    size_t at = 0;
    while (at < text.len && is_blank(text.data[at]))
        at++;
    if (at == text.len)
        return error_set(err, ERROR_INPUT, "empty; expected a JSON value");
    const char *nul = memchr(text.data, '\0', text.len);
    if (nul != NULL)
        return refuse(text, (size_t)(nul - text.data), "a NUL byte", err);
    return 0;
}

int json_scan_check(struct slice text, unsigned most_depth, size_t *wide_numbers, struct error *err)
{
    if (check_start(text, err) != 0)
        return -1;
    unsigned depth = 0;
    size_t wide_count = 0;
    for (size_t at = 0; at < text.len;) {
        char byte = text.data[at];
        if (byte == '"') {
            at = skip_string(text, at);
        } else if (byte == '-' || is_digit(byte)) {
            bool wide;
            at += number_length(text, at, &wide);
            wide_count += wide;
        } else {
            if (byte == '{' || byte == '[') {
                if (depth == most_depth)
                    return refuse(text, at, "nested too deeply", err);
                depth++;
            } else if ((byte == '}' || byte == ']') && depth > 0) {
                depth--;
            }
            at++;
        }
    }
    *wide_numbers = wide_count;
    return 0;
}

void json_scan_blunt(char *text, size_t len)
{
    static const char stand_in[] = {'9', 'e', '9', '9'};
    struct slice all = slice_of(text, len);
    for (size_t at = 0; at < len;) {
        if (text[at] == '"') {
            at = skip_string(all, at);
        } else if (text[at] == '-' || is_digit(text[at])) {
            bool wide;
            size_t number = number_length(all, at, &wide);
            if (wide) { /* and therefore longer than the stand-in; a sign stays, or "--1" could
                           become a number */
                size_t sign = text[at] == '-';
                memset(text + at + sign, ' ', number - sign);
                memcpy(text + at + sign, stand_in, sizeof(stand_in));
            }
            at += number;
        } else {
            at++;
        }
    }
}

static int hex_value(char digit)
{
    if (is_digit(digit))
        return digit - '0';
    char low = (char)(digit | 0x20);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

/* Four hex digits behind the start of `text`; false when they are not there. */
static bool hex_unit(struct slice text, uint32_t *unit)
{
    if (text.len < 4)
        return false;
    *unit = 0;
    for (size_t i = 0; i < 4; i++) {
        int value = hex_value(text.data[i]);
        if (value < 0)
            return false;
        *unit = *unit << 4 | (uint32_t)value;
    }
    return true;
}

static size_t put_utf8(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    static const unsigned char marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
    out[0] = (char)(marks[len] | code);
    return len;
}

static struct slice behind(struct slice text, size_t len)
{
    return slice_of(text.data + len, text.len - len);
}

/* Decodes the character or escape that `text` begins with; returns how many bytes of `text` it
 * took, 0: malformed. */
static size_t decode_one(struct slice text, char out[4], size_t *out_len)
{
    static const char escapes[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    *out_len = 1;
    out[0] = text.data[0];
    if (text.data[0] != '\\')
        return 1;
    if (text.len < 2 || text.data[1] == '\0')
        return 0;
    const char *escape = strchr(escapes, text.data[1]);
    if (escape != NULL) {
        out[0] = meanings[escape - escapes];
        return 2;
    }
    uint32_t unit;
    uint32_t low;
    if (text.data[1] != 'u' || !hex_unit(behind(text, 2), &unit))
        return 0;
    bool pair = unit >= 0xd800 && unit <= 0xdbff && text.len >= 12 && text.data[6] == '\\' &&
                text.data[7] == 'u' && hex_unit(behind(text, 8), &low) && low >= 0xdc00 &&
                low <= 0xdfff;
    if (pair)
        unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    *out_len = put_utf8(unit, out);
    return pair ? 12 : 6;
}

/* `written`: what stands between the quotes. */
static bool spells(struct slice written, const char *name)
{
    struct slice wanted = slice_of_string(name);
    if (memchr(written.data, '\\', written.len) == NULL)
        return slice_equal(written, wanted);
    while (written.len > 0) {
        char bytes[4];
        size_t len;
        size_t took = decode_one(written, bytes, &len);
        if (took == 0 || len > wanted.len || memcmp(wanted.data, bytes, len) != 0)
            return false;
        written = behind(written, took);
        wanted = behind(wanted, len);
    }
    return wanted.len == 0;
}

static size_t skip_blanks(struct slice text, size_t at)
{
    while (at < text.len && is_blank(text.data[at]))
        at++;
    return at;
}

/* Behind the value at `at`: at the comma or bracket that ends it, or at the end of the text. */
static size_t skip_value(struct slice text, size_t at)
{
    for (size_t depth = 0; at < text.len;) {
        char byte = text.data[at];
        if (byte == '"') {
            at = skip_string(text, at);
            continue;
        }
        if (depth == 0 && (byte == ',' || byte == '}' || byte == ']'))
            break;
        depth += byte == '{' || byte == '[';
        depth -= byte == '}' || byte == ']';
        at++;
    }
    return at;
}

struct slice json_scan_member(struct slice text, const char *name)
{
    const struct slice absent = {NULL, 0};
    size_t at = skip_blanks(text, 0);
    if (at == text.len || text.data[at] != '{')
        return absent;
    for (;;) {
        at = skip_blanks(text, at + 1); /* behind the brace or a comma */
        if (at >= text.len || text.data[at] != '"')
            return absent;
        size_t behind_name = skip_string(text, at);
        if (behind_name - at < 2)
            return absent;
        struct slice written = slice_of(text.data + at + 1, behind_name - at - 2);
        at = skip_blanks(text, behind_name);
        if (at == text.len || text.data[at] != ':')
            return absent;
        size_t start = skip_blanks(text, at + 1);
        at = skip_value(text, start);
        size_t end = at;
        while (end > start && is_blank(text.data[end - 1]))
            end--;
        if (spells(written, name))
            return slice_of(text.data + start, end - start);
        if (at == text.len || text.data[at] != ',')
            return absent;
    }
}
