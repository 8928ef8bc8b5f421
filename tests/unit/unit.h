/* The end of every unit test's main(): runs one Check case and gives the exit code. */
#ifndef KANCEL_TESTS_UNIT_H
#define KANCEL_TESTS_UNIT_H

#include <check.h>

static inline int unit_run(const char *name, TCase *tests)
{
    Suite *suite = suite_create(name);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

#endif
