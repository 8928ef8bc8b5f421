#include "tests/unit/unit.h"

#include "worker/providers/provider.h"

#include "common/banned.h"

static struct http_request request;

static void begin(void)
{
    http_request_init(&request);
    buffer_append_string(&request.url, "https://api.example/x");
}

static void end(void)
{
    http_request_release(&request);
}

static int check_with_header(struct slice value, struct error *err)
{
    buffer_append_string(http_request_header(&request, "token"), "first");
    buffer_append_slice(http_request_header(&request, "other"), value);
    return http_request_check(&request, err);
}

START_TEST(usual_values_pass)
{
    struct error err = {0};
    ck_assert_int_eq(check_with_header(slice_of_string("Bearer+a b\t\"c\""), &err), 0);
}
END_TEST

START_TEST(line_ends_and_nul_in_a_header_are_refused_without_showing_it)
{
    static const char values[][6] = {"a\rbcd", "a\nbcd", {'a', '\0', 'b', 'c', 'd', '\0'}};
    struct error err = {0};
    ck_assert_int_eq(check_with_header(slice_of(values[_i], 5), &err), -1);
    ck_assert_int_eq(err.kind, ERROR_INPUT);
    ck_assert_ptr_nonnull(strstr(err.message, "header other"));
    ck_assert_ptr_null(strstr(err.message, "bcd"));
}
END_TEST

START_TEST(a_url_with_a_line_end_or_blank_is_refused)
{
    static const char *const ends[] = {"\r\n", " ", "\n", "\t"};
    struct error err = {0};
    buffer_append_string(&request.url, ends[_i]);
    ck_assert_int_eq(http_request_check(&request, &err), -1);
    ck_assert_int_eq(err.kind, ERROR_INPUT);
}
END_TEST

START_TEST(no_url_is_refused)
{
    struct error err = {0};
    buffer_clear(&request.url);
    ck_assert_int_eq(http_request_check(&request, &err), -1);
}
END_TEST

START_TEST(what_outgrew_its_buffer_is_refused)
{
    static char large[256 * 1024];
    struct error err = {0};
    struct buffer *const buffers[] = {&request.url, &request.body,
                                      http_request_header(&request, "token")};
    buffer_append(buffers[_i], memset(large, 'x', sizeof large), sizeof large);
    ck_assert_int_eq(http_request_check(&request, &err), -1);
    ck_assert_int_eq(err.kind, ERROR_MEMORY);
}
END_TEST

START_TEST(the_longest_secret_fits_a_header_and_a_body)
{
    static char secret[LIMIT_SECRET_BYTES];
    struct error err = {0};
    memset(secret, 's', sizeof secret);
    buffer_append_slice(&request.body, slice_of(secret, sizeof secret));
    ck_assert_int_eq(check_with_header(slice_of(secret, sizeof secret), &err), 0);
}
END_TEST

START_TEST(only_unreserved_characters_stay_in_a_segment)
{
    struct buffer out;
    buffer_init(&out, 256);
    http_append_encoded(&out, slice_of_string("aZ09-._~ /?&=+%*\xe6\x8f\x8f"));
    ck_assert_str_eq(out.data, "aZ09-._~%20%2F%3F%26%3D%2B%25%2A%E6%8F%8F");
    buffer_release(&out);
}
END_TEST

START_TEST(release_leaves_nothing_and_may_be_repeated)
{
    buffer_append_string(http_request_header(&request, "token"), "secret");
    http_request_release(&request);
    ck_assert_uint_eq(request.header_count, 0);
    ck_assert_ptr_null(request.url.data);
    http_request_release(&request);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("http_request");
    tcase_add_checked_fixture(tests, begin, end);
    tcase_add_test(tests, usual_values_pass);
    tcase_add_loop_test(tests, line_ends_and_nul_in_a_header_are_refused_without_showing_it, 0, 3);
    tcase_add_loop_test(tests, a_url_with_a_line_end_or_blank_is_refused, 0, 4);
    tcase_add_test(tests, no_url_is_refused);
    tcase_add_loop_test(tests, what_outgrew_its_buffer_is_refused, 0, 3);
    tcase_add_test(tests, the_longest_secret_fits_a_header_and_a_body);
    tcase_add_test(tests, only_unreserved_characters_stay_in_a_segment);
    tcase_add_test(tests, release_leaves_nothing_and_may_be_repeated);
    return unit_run("http_request", tests);
}
