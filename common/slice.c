#include "common/slice.h"

#include "common/banned.h"

static unsigned char lower(char byte)
{
    return (unsigned char)(byte >= 'A' && byte <= 'Z' ? byte - 'A' + 'a' : byte);
}

bool slice_equals_ignoring_case(struct slice a, const char *string)
{
    if (string == NULL || strlen(string) != a.len)
        return string == NULL && a.len == 0;
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.data[i]) != lower(string[i]))
            return false;
    }
    return true;
}

bool slice_starts_with(struct slice a, const char *prefix)
{
    size_t len = strlen(prefix);
    return a.len >= len && slice_equal(slice_of(a.data, len), slice_of(prefix, len));
}

bool slice_ends_with(struct slice a, const char *suffix)
{
    size_t len = strlen(suffix);
    if (a.len < len || len == 0)
        return len == 0;
    return memcmp(a.data + (a.len - len), suffix, len) == 0;
}

static bool in_alphabet(char byte, const char *alphabet)
{
    for (const char *range = alphabet; range[0] != '\0' && range[1] != '\0'; range += 2) {
        if (byte >= range[0] && byte <= range[1])
            return true;
    }
    return false;
}

bool slice_is_word(struct slice a, const char *alphabet, size_t most)
{
    if (a.len == 0 || a.len > most)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (!in_alphabet(a.data[i], alphabet))
            return false;
    }
    return true;
}

/* Unicode 15, table 3-7: only the second byte's range depends on the first. */
size_t slice_utf8_first(struct slice a)
{
    if (a.len == 0)
        return 0;
    const unsigned char *bytes = (const unsigned char *)a.data;
    unsigned char first = bytes[0];
    if (first < 0x80)
        return 1;
    size_t len = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first < 0xc2 || first > 0xf4 || a.len < len)
        return 0;
    unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (bytes[1] < low || bytes[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    }
    return len;
}

bool slice_is_utf8(struct slice a)
{
    while (a.len > 0) {
        size_t len = slice_utf8_first(a);
        if (len == 0)
            return false;
        a = slice_of(a.data + len, a.len - len);
    }
    return true;
}

struct slice slice_cut_utf8(struct slice a, size_t most)
{
    if (a.len <= most)
        return a;
    size_t len = most;
    /* A character has at most three continuation bytes; a longer run is no UTF-8 and cut anywhere.
     */
    for (int back = 0; back < 3 && len > 0 && (a.data[len] & 0xc0) == 0x80; back++)
        len--;
    if ((a.data[len] & 0xc0) == 0x80)
        len = most;
    return slice_of(a.data, len);
}

bool slice_to_int64(struct slice a, int64_t *value)
{
    bool negative = a.len > 0 && a.data[0] == '-';
    size_t i = negative ? 1 : 0;
    if (i == a.len)
        return false;
    int64_t sum = 0; /* kept negative: the negative range is the larger one */
    for (; i < a.len; i++) {
        int digit = a.data[i] - '0';
        if (digit < 0 || digit > 9 || __builtin_mul_overflow(sum, 10, &sum) ||
            __builtin_sub_overflow(sum, digit, &sum))
            return false;
    }
    if (!negative && sum == INT64_MIN)
        return false;
    *value = negative ? sum : -sum;
    return true;
}

char *slice_dup(struct slice a)
{
    if (a.len == SIZE_MAX)
        return NULL;
    char *copy = malloc(a.len + 1);
    if (copy == NULL)
        return NULL;
    if (a.len > 0)
        memcpy(copy, a.data, a.len);
    copy[a.len] = '\0';
    return copy;
}
