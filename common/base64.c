#include "common/base64.h"

#include "common/banned.h"

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void encode(struct buffer *out, struct slice bytes, const char *alphabet, bool padded)
{
    const unsigned char *in = (const unsigned char *)bytes.data;
    buffer_append(out, "", 0);
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t have = bytes.len - i < 3 ? bytes.len - i : 3;
        uint32_t bits = (uint32_t)in[i] << 16;
        if (have > 1)
            bits |= (uint32_t)in[i + 1] << 8;
        if (have > 2)
            bits |= in[i + 2];
        char group[4] = {alphabet[bits >> 18], alphabet[bits >> 12 & 63],
                         have > 1 ? alphabet[bits >> 6 & 63] : '=',
                         have > 2 ? alphabet[bits & 63] : '='};
        buffer_append(out, group, padded ? 4 : have + 1);
    }
}

static int digit_value(char digit, const char *alphabet)
{
    const char *at = digit == '\0' ? NULL : strchr(alphabet, digit);
    return at == NULL ? -1 : (int)(at - alphabet);
}

/* Two digits give one byte, three give two; their spare bits must be 0, or one text would have
 * several spellings. */
static bool well_formed(struct slice digits, const char *alphabet)
{
    if (digits.len % 4 == 1)
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        if (digit_value(digits.data[i], alphabet) < 0)
            return false;
    }
    if (digits.len % 4 == 0)
        return true;
    int spare = digits.len % 4 == 2 ? 15 : 3;
    return (digit_value(digits.data[digits.len - 1], alphabet) & spare) == 0;
}

static bool decode(struct buffer *out, struct slice digits, const char *alphabet)
{
    if (!well_formed(digits, alphabet))
        return false;
    buffer_append(out, "", 0);
    for (size_t i = 0; i < digits.len; i += 4) {
        size_t have = digits.len - i < 4 ? digits.len - i : 4;
        uint32_t bits = 0;
        for (size_t j = 0; j < 4; j++) {
            int value = j < have ? digit_value(digits.data[i + j], alphabet) : 0;
            bits = bits << 6 | (uint32_t)value;
        }
        const unsigned char group[3] = {bits >> 16 & 255, bits >> 8 & 255, bits & 255};
        buffer_append(out, group, have - 1);
    }
    return true;
}

void base64_encode(struct buffer *out, struct slice bytes)
{
    encode(out, bytes, standard, true);
}

void base64url_encode(struct buffer *out, struct slice bytes)
{
    encode(out, bytes, url_safe, false);
}

bool base64_decode(struct buffer *out, struct slice text)
{
    if (text.len % 4 != 0)
        return false;
    for (int i = 0; i < 2 && text.len > 0 && text.data[text.len - 1] == '='; i++)
        text.len--;
    return decode(out, text, standard);
}

bool base64url_decode(struct buffer *out, struct slice text)
{
    return decode(out, text, url_safe);
}
