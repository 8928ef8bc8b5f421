#include "tests/unit/unit.h"

#include "worker/app/args.h"

#include "common/banned.h"

static const struct args_option options[] = {
    {"config", 'c', "FILE", false, "a file"},
    {"wait", 'w', "DURATION", true, "waits"},
    {"all", 0, NULL, false, "everything\non two lines"},
    {.name = NULL},
};
static const struct args_command command = {.name = "kancel test",
                                            .usage = "[OPTIONS]\n-",
                                            .summary = "Tests.",
                                            .options = options,
                                            .more = "Exit codes: none."};

enum { WORDS_MOST = 8 };

static int parse(struct args *args, struct error *err, const char *const *words)
{
    static char storage[WORDS_MOST][64];
    char *argv[WORDS_MOST];
    int argc = 0;
    for (; *words; words++, argc++) {
        snprintf(storage[argc], sizeof(storage[argc]), "%s", *words);
        argv[argc] = storage[argc];
    }
    return args_parse(&command, argc, argv, args, err);
}

#define WORDS(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static void assert_value(const char *const *words, const char *name, const char *value)
{
    struct args args;
    struct error err;
    ck_assert_int_eq(parse(&args, &err, words), 0);
    ck_assert(args_given(&args, name));
    if (value)
        ck_assert_str_eq(args_value(&args, name), value);
    else
        ck_assert_ptr_null(args_value(&args, name));
    args_release(&args);
}

static void assert_refused(const char *const *words, const char *message)
{
    struct args args;
    struct error err;
    ck_assert_int_eq(parse(&args, &err, words), -1);
    ck_assert_str_eq(err.message, message);
    args_release(&args);
}

START_TEST(every_way_to_write_an_option_is_understood)
{
    assert_value(WORDS("--config", "f"), "config", "f");
    assert_value(WORDS("--config=f"), "config", "f");
    assert_value(WORDS("--config="), "config", "");
    assert_value(WORDS("-c", "f"), "config", "f");
    assert_value(WORDS("-cf"), "config", "f");
    assert_value(WORDS("-c", "--all"), "config", "--all");
    assert_value(WORDS("--all"), "all", NULL);
}
END_TEST

START_TEST(an_optional_value_is_taken_only_when_joined)
{
    struct args args;
    struct error err;
    assert_value(WORDS("--wait=3s"), "wait", "3s");
    ck_assert_int_eq(parse(&args, &err, WORDS("--wait", "word")), 0);
    ck_assert_ptr_null(args_value(&args, "wait"));
    ck_assert_uint_eq(args.operand_count, 1);
    args_release(&args);
}
END_TEST

START_TEST(operands_stand_anywhere)
{
    struct args args;
    struct error err;
    ck_assert_int_eq(parse(&args, &err, WORDS("a", "--all", "-", "--", "--all")), 0);
    ck_assert_uint_eq(args.operand_count, 3);
    ck_assert_str_eq(args.operands[0], "a");
    ck_assert_str_eq(args.operands[1], "-");
    ck_assert_str_eq(args.operands[2], "--all");
    args_release(&args);
}
END_TEST

START_TEST(what_is_not_understood_is_said_with_the_nearest_name)
{
    assert_refused(WORDS("--confg"), "unknown option --confg; did you mean --config?");
    assert_refused(WORDS("--confg=f"), "unknown option --confg; did you mean --config?");
    assert_refused(WORDS("--conf", "f"), "unknown option --conf; did you mean --config?");
    assert_refused(WORDS("--quickly"), "unknown option --quickly");
    assert_refused(WORDS("-x"), "unknown option -x");
    assert_refused(WORDS("--versoin"), "unknown option --versoin; did you mean --version?");
    assert_refused(WORDS("--config"), "--config: expected FILE");
    assert_refused(WORDS("--all=yes"), "--all takes no value");
    assert_refused(WORDS("--all", "--all"), "--all is given twice");
}
END_TEST

START_TEST(help_and_version_win_over_mistakes)
{
    struct args args;
    struct error err;
    ck_assert_int_eq(parse(&args, &err, WORDS("--nonsense", "--help")), 0);
    ck_assert(args.help);
    args_release(&args);
    ck_assert_int_eq(parse(&args, &err, WORDS("-V")), 0);
    ck_assert(args.version);
    args_release(&args);
    ck_assert_int_eq(parse(&args, &err, WORDS("--", "--help")), 0);
    ck_assert(!args.help);
    args_release(&args);
}
END_TEST

START_TEST(the_help_shows_every_option)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    args_help(&command, out);
    fclose(out);
    ck_assert_str_eq(text, "usage: kancel test [OPTIONS]\n"
                           "       kancel test -\n"
                           "\nTests.\n\n"
                           "  -c, --config FILE           a file\n"
                           "  -w, --wait[=DURATION]       waits\n"
                           "      --all                   everything\n"
                           "                              on two lines\n"
                           "  -h, --help                  this text\n"
                           "  -V, --version               the version\n"
                           "\nExit codes: none.\n");
    free(text);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("args");
    tcase_add_test(tests, every_way_to_write_an_option_is_understood);
    tcase_add_test(tests, an_optional_value_is_taken_only_when_joined);
    tcase_add_test(tests, operands_stand_anywhere);
    tcase_add_test(tests, what_is_not_understood_is_said_with_the_nearest_name);
    tcase_add_test(tests, help_and_version_win_over_mistakes);
    tcase_add_test(tests, the_help_shows_every_option);
    return unit_run("app/args", tests);
}
