/* A command's trace: taken up, handed on, told in spans. */
#include "worker/core/trace.h"

#include "common/buffer.h"
#include "tests/unit/core/support/conversation.h"

#include "common/banned.h"

#define TRACE  "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"

static void begin_traced(void)
{
    conversation_begin();
    conversation_end();
    settings.tracing = true;
    conversation_start_engine();
    conversation_assign(0, NULL);
    span_count = 0;
}

static void end(void)
{
    conversation_end();
    settings.tracing = false;
}

static void expect_parse(const char *text, bool good)
{
    struct trace trace = {0};
    ck_assert_msg(trace_parse(slice_of_string(text), &trace) == good, "%s", text);
}

START_TEST(only_what_looks_like_a_traceparent_is_one)
{
    expect_parse("00-" TRACE "-" PARENT "-01", true);
    expect_parse("00-" TRACE "-" PARENT "-00", true);
    expect_parse("cc-" TRACE "-" PARENT "-01-later-versions-add", true);
    expect_parse("00-" TRACE "-" PARENT "-01-but-not-this-one", false);
    expect_parse("cc-" TRACE "-" PARENT "-01x", false);
    expect_parse("ff-" TRACE "-" PARENT "-01", false);
    expect_parse("00-00000000000000000000000000000000-" PARENT "-01", false);
    expect_parse("00-" TRACE "-0000000000000000-01", false);
    expect_parse("00-4BF92F3577b34da6a3ce929d0e0e4736-" PARENT "-01", false);
    expect_parse("00-" TRACE "-" PARENT "-1", false);
    expect_parse("", false);
    struct trace trace = {0};
    ck_assert(!trace_parse((struct slice){0}, &trace));
}
END_TEST

START_TEST(without_tracing_a_traceparent_goes_on_as_it_came)
{
    conversation_begin();
    say_with(NULL, "c-1", "{\"id\":\"a\"}", "traceparent", "00-" TRACE "-" PARENT "-01");
    uint64_t id = hear_call("status a");
    ck_assert_str_eq(calls[call_count - 1].traceparent, "00-" TRACE "-" PARENT "-01");
    answer_call(id, "r");
    say_with(NULL, "c-2", "{\"id\":\"b\"}", "traceparent", "no trace at all");
    (void)hear_call("status b");
    ck_assert_str_eq(calls[call_count - 1].traceparent, "");
    ck_assert_uint_eq(span_count, 0);
    conversation_end();
}
END_TEST

START_TEST(each_call_is_a_span_below_the_commands)
{
    begin_traced();
    say_with(NULL, "c-1", "{\"id\":\"a\"}", "traceparent", "00-" TRACE "-" PARENT "-01");
    struct trace first, second;
    uint64_t id = hear_call("status a");
    ck_assert(trace_parse(slice_of_string(calls[call_count - 1].traceparent), &first));
    later(7);
    answer_call(id, "R");
    later(60 * 1000);
    id = hear_call("status a");
    ck_assert(trace_parse(slice_of_string(calls[call_count - 1].traceparent), &second));
    answer_call(id, "r");
    hear_result("c-1", "succeeded", "running");
    ck_assert_uint_eq(first.id[0], 0x4bf92f3577b34da6);
    ck_assert_uint_eq(first.id[1], 0xa3ce929d0e0e4736);
    ck_assert_uint_ne(first.parent, second.parent);
    ck_assert_uint_eq(span_count, 4);
    const struct span *command = &spans[3];
    ck_assert_int_eq(command->kind, SPAN_COMMAND);
    ck_assert_uint_eq(command->parent, 0x00f067aa0ba902b7);
    ck_assert_uint_eq(command->retries, 1);
    ck_assert_int_eq(spans[0].kind, SPAN_CALL);
    ck_assert_uint_eq(spans[0].id, first.parent);
    ck_assert_uint_eq(spans[0].parent, command->id);
    ck_assert_int_eq(spans[0].end_ms - spans[0].start_ms, 7);
    ck_assert_uint_eq(spans[1].id, second.parent);
    ck_assert_int_eq(spans[2].kind, SPAN_PUBLISH);
    ck_assert_uint_eq(spans[2].parent, command->id);
    for (size_t i = 0; i < span_count; i++) {
        ck_assert_uint_eq(spans[i].trace_id[0], first.id[0]);
        ck_assert_uint_eq(spans[i].trace_id[1], first.id[1]);
        ck_assert_int_ge(spans[i].start_ms, command->start_ms);
        ck_assert_int_le(spans[i].end_ms, command->end_ms);
    }
    end();
}
END_TEST

START_TEST(what_the_requester_does_not_sample_makes_no_spans)
{
    begin_traced();
    say_with(NULL, "c-1", "{\"id\":\"a\"}", "traceparent", "00-" TRACE "-" PARENT "-00");
    uint64_t id = hear_call("status a");
    ck_assert_str_eq(calls[call_count - 1].traceparent, "00-" TRACE "-" PARENT "-00");
    answer_call(id, "r");
    hear_result("c-1", "succeeded", "running");
    ck_assert_uint_eq(span_count, 0);
    end();
}
END_TEST

START_TEST(a_command_without_a_trace_begins_one)
{
    begin_traced();
    say(NULL, "c-1", "status", "{\"id\":\"a\"}", NULL);
    struct trace trace = {0};
    uint64_t id = hear_call("status a");
    ck_assert(trace_parse(slice_of_string(calls[call_count - 1].traceparent), &trace));
    answer_call(id, "r");
    hear_result("c-1", "succeeded", "running");
    ck_assert_uint_eq(span_count, 3);
    ck_assert_uint_eq(spans[2].parent, 0);
    ck_assert_uint_eq(spans[2].trace_id[0], trace.id[0]);
    end();
}
END_TEST

START_TEST(commands_that_share_a_call_are_linked)
{
    begin_traced();
    account.limits.concurrency = 1;
    conversation_end();
    conversation_start_engine();
    conversation_assign(0, NULL);
    say(NULL, "c-0", "status", "{\"id\":\"busy\"}", NULL);
    uint64_t busy = hear_call("status busy");
    say(NULL, "c-1", "status", "{\"id\":\"a\",\"share\":\"s\"}", NULL);
    say(NULL, "c-2", "status", "{\"id\":\"b\",\"share\":\"s\"}", NULL);
    answer_call(busy, "r");
    span_count = 0;
    answer_call(hear_call("status a b"), "rr");
    ck_assert_int_eq(spans[0].kind, SPAN_CALL);
    ck_assert_uint_eq(spans[0].link_count, 1);
    end();
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("trace");
    tcase_add_test(tests, only_what_looks_like_a_traceparent_is_one);
    tcase_add_test(tests, without_tracing_a_traceparent_goes_on_as_it_came);
    tcase_add_test(tests, each_call_is_a_span_below_the_commands);
    tcase_add_test(tests, what_the_requester_does_not_sample_makes_no_spans);
    tcase_add_test(tests, a_command_without_a_trace_begins_one);
    tcase_add_test(tests, commands_that_share_a_call_are_linked);
    return unit_run("core/trace", tests);
}
