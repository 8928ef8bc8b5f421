#include "tests/unit/core/support/conversation.h"

#include "common/banned.h"

START_TEST(refused_list_names_every_entry)
{
    account.allow.operations = 1u << OPERATION_STATUS;
    say("k", "c-1", "cancel", "{\"ids\":[\"a\",\"b\"]}", NULL);
    hear_no_call();
    hear_result("c-1", "refused", "unknown");
    ck_assert_ptr_nonnull(strstr(last_result(), "[{\"id\":\"a\",\"outcome\":\"refused\""));
    ck_assert_ptr_nonnull(strstr(last_result(), "{\"id\":\"b\",\"outcome\":\"refused\""));
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("decide");
    tcase_add_checked_fixture(tests, conversation_begin, conversation_end);
    tcase_add_test(tests, refused_list_names_every_entry);
    return unit_run("decide", tests);
}
