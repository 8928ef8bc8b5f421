/*
 * Ranges of IP addresses in CIDR notation, for rules on where a connection may go. IPv4-mapped IPv6
 * (::ffff:10.0.0.1, ::ffff:10.0.0.0/104) is IPv4 under another name, in ranges and addresses alike;
 * otherwise an IPv4 range holds IPv4 addresses only and an IPv6 range IPv6 addresses only.
 */
#ifndef KANCEL_COMMON_ADDRESS_RANGE_H
#define KANCEL_COMMON_ADDRESS_RANGE_H

#include <stdint.h>
#include <sys/socket.h>

#include "common/error.h"
#include "common/slice.h"

/* The longest: 45 characters of IPv6 with IPv4 in it, /128 and a NUL. */
enum { ADDRESS_RANGE_TEXT = 50 };

struct address_range {
    uint8_t bytes[16]; /* an IPv4 range: the first 4 */
    unsigned bits;     /* how many of them count */
    bool v6;
    char text[ADDRESS_RANGE_TEXT]; /* as it was written */
};

/* "10.0.0.0/8", "fe80::/10", one address alone. ERROR_INPUT: no range, or bits are set behind the
 * prefix ("10.0.0.1/8" is one address or another range, nobody can tell). */
int address_range_parse(struct slice text, struct address_range *range,
                        struct error *err) MUST_CHECK;

/* Whether a connection to `address` (AF_INET, AF_INET6; others: false) would reach the range. The
 * unspecified address (0.0.0.0, ::) reaches this machine, so it counts as loopback too. */
bool address_range_holds(const struct address_range *range, const struct sockaddr *address);

#endif
