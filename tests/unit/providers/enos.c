#include "tests/unit/unit.h"
#include "tests/unit/providers/fixtures.h"

#include "common/banned.h"

START_TEST(enos_says_what_its_fixtures_say)
{
    fixtures_run("enos");
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("enos");
    tcase_add_test(tests, enos_says_what_its_fixtures_say);
    return unit_run("enos", tests);
}
