#include "common/address_range.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "common/banned.h"

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

struct address {
    uint8_t bytes[16];
    bool v6;
};

static void set_v4(struct address *address, const uint8_t bytes[4])
{
    *address = (struct address){.v6 = false};
    memcpy(address->bytes, bytes, 4);
}

static void set_v6(struct address *address, const uint8_t bytes[16])
{
    if (memcmp(bytes, mapped, sizeof(mapped)) == 0) {
        set_v4(address, bytes + sizeof(mapped));
        return;
    }
    address->v6 = true;
    memcpy(address->bytes, bytes, 16);
}

static bool same_prefix(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8;
    if (memcmp(a, b, whole) != 0)
        return false;
    return bits % 8 == 0 || ((a[whole] ^ b[whole]) >> (8 - bits % 8)) == 0;
}

static bool has_bits_behind(const uint8_t *bytes, unsigned bits, unsigned size)
{
    for (unsigned i = bits; i < size; i++)
        if ((bytes[i / 8] & (0x80u >> (i % 8))) != 0)
            return true;
    return false;
}

/* -1: no number of bits. */
static int parse_bits(const char *text)
{
    int bits = 0;
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 3 || text[digits] != '\0' || (text[0] == '0' && digits > 1))
        return -1;
    for (size_t i = 0; i < digits; i++)
        bits = bits * 10 + (text[i] - '0');
    return bits;
}

int address_range_parse(struct slice text, struct address_range *range, struct error *err)
{
    static const char expected[] =
        "expected an address range such as 10.0.0.0/8, 127.0.0.1 or fe80::/10";
    char address[ADDRESS_RANGE_TEXT];
    uint8_t bytes[16];
    struct address parsed;
    if (text.len == 0 || text.len >= sizeof(address) || memchr(text.data, '\0', text.len) != NULL)
        return error_set(err, ERROR_INPUT, "%s", expected);
    (void)snprintf(address, sizeof(address), "%.*s", SLICE_ARG(text));
    char *slash = strchr(address, '/');
    if (slash != NULL)
        *slash = '\0';
    bool v6 = strchr(address, ':') != NULL;
    if (inet_pton(v6 ? AF_INET6 : AF_INET, address, bytes) != 1)
        return error_set(err, ERROR_INPUT, "%s", expected);
    int most = v6 ? 128 : 32;
    int bits = slash == NULL ? most : parse_bits(slash + 1);
    if (bits < 0 || bits > most)
        return error_set(err, ERROR_INPUT, "expected 0 to %d bits behind the /", most);
    if (v6)
        set_v6(&parsed, bytes);
    else
        set_v4(&parsed, bytes);
    if (v6 && !parsed.v6)
        bits -= 96;
    if (bits < 0 || has_bits_behind(parsed.bytes, (unsigned)bits, parsed.v6 ? 128 : 32))
        return error_set(err, ERROR_INPUT, "expected no bits set behind the prefix");
    *range = (struct address_range){.bits = (unsigned)bits, .v6 = parsed.v6};
    memcpy(range->bytes, parsed.bytes, sizeof(range->bytes));
    (void)snprintf(range->text, sizeof(range->text), "%.*s", SLICE_ARG(text));
    return 0;
}

static bool read_sockaddr(const struct sockaddr *from, struct address *address)
{
    if (from->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, from, sizeof(v4));
        set_v4(address, (const uint8_t *)&v4.sin_addr);
    } else if (from->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, from, sizeof(v6));
        set_v6(address, v6.sin6_addr.s6_addr);
    } else {
        return false;
    }
    return true;
}

bool address_range_holds(const struct address_range *range, const struct sockaddr *from)
{
    static const uint8_t loopback_v4[4] = {127, 0, 0, 1}, loopback_v6[16] = {[15] = 1};
    struct address address;
    if (!read_sockaddr(from, &address) || address.v6 != range->v6)
        return false;
    if (same_prefix(address.bytes, range->bytes, range->bits))
        return true;
    unsigned size = address.v6 ? 128 : 32;
    return !has_bits_behind(address.bytes, 0, size) &&
           same_prefix(address.v6 ? loopback_v6 : loopback_v4, range->bytes, range->bits);
}
