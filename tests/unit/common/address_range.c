#include "tests/unit/unit.h"

#include <arpa/inet.h>

#include "common/address_range.h"

#include "common/banned.h"

static bool holds(const char *text, const char *address)
{
    struct address_range range;
    struct error err;
    ck_assert_msg(address_range_parse(slice_of_string(text), &range, &err) == 0, "%s: %s", text,
                  err.message);
    ck_assert_str_eq(range.text, text);
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, address, &v4.sin_addr) == 1)
        return address_range_holds(&range, (const struct sockaddr *)&v4);
    ck_assert_int_eq(inet_pton(AF_INET6, address, &v6.sin6_addr), 1);
    return address_range_holds(&range, (const struct sockaddr *)&v6);
}

START_TEST(a_range_holds_its_addresses_and_no_other)
{
    static const struct {
        const char *range, *inside, *outside;
    } cases[] = {
        {"10.0.0.0/8", "10.255.255.255", "11.0.0.0"},
        {"10.0.0.0/8", "10.0.0.0", "9.255.255.255"},
        {"172.16.0.0/12", "172.31.255.255", "172.32.0.0"},
        {"192.0.2.8/30", "192.0.2.11", "192.0.2.12"},
        {"127.0.0.2", "127.0.0.2", "127.0.0.3"},
        {"0.0.0.0/0", "8.8.8.8", "2001:db8::1"},
        {"fe80::/10", "febf::1", "fec0::"},
        {"fc00::/7", "fdff::1", "fe00::"},
        {"2001:db8::1", "2001:db8::1", "2001:db8::2"},
        {"::/0", "2001:db8::1", "8.8.8.8"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ck_assert_msg(holds(cases[i].range, cases[i].inside), "%s: %s", cases[i].range,
                      cases[i].inside);
        ck_assert_msg(!holds(cases[i].range, cases[i].outside), "%s: %s", cases[i].range,
                      cases[i].outside);
    }
}
END_TEST

START_TEST(mapped_addresses_are_ipv4_under_another_name)
{
    ck_assert(holds("10.0.0.0/8", "::ffff:10.1.2.3"));
    ck_assert(!holds("10.0.0.0/8", "::ffff:11.1.2.3"));
    ck_assert(holds("::ffff:10.0.0.0/104", "10.1.2.3"));
    ck_assert(holds("::ffff:10.0.0.0/104", "::ffff:10.1.2.3"));
    ck_assert(holds("::ffff:0.0.0.0/96", "192.0.2.1"));
    ck_assert(!holds("::/0", "::ffff:10.1.2.3"));
}
END_TEST

START_TEST(the_unspecified_address_is_this_machine)
{
    ck_assert(holds("127.0.0.0/8", "0.0.0.0"));
    ck_assert(holds("127.0.0.0/8", "::ffff:0.0.0.0"));
    ck_assert(holds("::1", "::"));
    ck_assert(!holds("10.0.0.0/8", "0.0.0.0"));
    ck_assert(!holds("127.0.0.2", "0.0.0.0"));
}
END_TEST

START_TEST(other_families_are_in_no_range)
{
    struct address_range range;
    struct error err;
    struct sockaddr other = {.sa_family = AF_UNIX};
    ck_assert_int_eq(address_range_parse(slice_of_string("0.0.0.0/0"), &range, &err), 0);
    ck_assert(!address_range_holds(&range, &other));
}
END_TEST

START_TEST(what_is_no_range_is_refused)
{
    static const char *const wrong[] = {
        "",
        "localhost",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/08",
        "10.0.0/8",
        "10.0.0.1/8",
        "::1/0",
        "::/129",
        "fe80::1/10",
        "10.0.0.0/8/8",
        "[::1]",
        "::ffff:10.0.0.0/95",
        "::ffff:10.0.0.1/104",
        "1e1.0.0.0",
        "10.0.0.0/8 ",
        "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct address_range range;
        struct error err = {.kind = ERROR_NONE};
        ck_assert_msg(address_range_parse(slice_of_string(wrong[i]), &range, &err) == -1, "%s",
                      wrong[i]);
        ck_assert_int_eq(err.kind, ERROR_INPUT);
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("address_range");
    tcase_add_test(tests, a_range_holds_its_addresses_and_no_other);
    tcase_add_test(tests, mapped_addresses_are_ipv4_under_another_name);
    tcase_add_test(tests, the_unspecified_address_is_this_machine);
    tcase_add_test(tests, other_families_are_in_no_range);
    tcase_add_test(tests, what_is_no_range_is_refused);
    return unit_run("common/address_range", tests);
}
