#include "tests/unit/unit.h"

#include "common/secret.h"

#include "common/limits.h"

#include "common/banned.h"

START_TEST(secret_is_copied_and_terminated)
{
    char source[] = "s3cret";
    struct secret secret = {NULL, 0};
    struct error err;
    ck_assert_int_eq(secret_set(&secret, slice_of(source, 6), &err), 0);
    source[0] = 'X';
    ck_assert_str_eq(secret.value, "s3cret");
    ck_assert(slice_equals(secret_slice(&secret), "s3cret"));
    secret_release(&secret);
    ck_assert_ptr_null(secret.value);
    ck_assert_uint_eq(secret.len, 0);
    secret_release(&secret);
}
END_TEST

START_TEST(setting_again_replaces_even_with_a_part_of_itself)
{
    struct secret secret = {NULL, 0};
    struct error err;
    ck_assert_int_eq(secret_set(&secret, slice_of_string("abcdef"), &err), 0);
    ck_assert_int_eq(secret_set(&secret, slice_of(secret.value + 1, 2), &err), 0);
    ck_assert_str_eq(secret.value, "bc");
    ck_assert_int_eq(secret_set(&secret, slice_of_string(NULL), &err), 0);
    ck_assert_ptr_null(secret.value);
}
END_TEST

START_TEST(refused_value_leaves_the_old_one_and_is_not_quoted)
{
    struct secret secret = {NULL, 0};
    struct error err;
    ck_assert_int_eq(secret_set(&secret, slice_of_string("old"), &err), 0);
    ck_assert_int_eq(secret_set(&secret, slice_of("hide\0me", 7), &err), -1);
    ck_assert_int_eq(err.kind, ERROR_INPUT);
    ck_assert_ptr_null(strstr(err.message, "hide"));
    ck_assert_str_eq(secret.value, "old");

    char *large = malloc(LIMIT_SECRET_BYTES + 1);
    ck_assert_ptr_nonnull(large);
    memset(large, 'a', LIMIT_SECRET_BYTES + 1);
    ck_assert_int_eq(secret_set(&secret, slice_of(large, LIMIT_SECRET_BYTES + 1), &err), -1);
    ck_assert_str_eq(secret.value, "old");
    ck_assert_int_eq(secret_set(&secret, slice_of(large, LIMIT_SECRET_BYTES), &err), 0);
    ck_assert_uint_eq(secret.len, LIMIT_SECRET_BYTES);
    free(large);
    secret_release(&secret);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("secret");
    tcase_add_test(tests, secret_is_copied_and_terminated);
    tcase_add_test(tests, setting_again_replaces_even_with_a_part_of_itself);
    tcase_add_test(tests, refused_value_leaves_the_old_one_and_is_not_quoted);
    return unit_run("common/secret", tests);
}
