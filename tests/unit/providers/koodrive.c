#include "tests/unit/unit.h"
#include "tests/unit/providers/fixtures.h"

#include "common/banned.h"

START_TEST(koodrive_says_what_its_fixtures_say)
{
    fixtures_run("koodrive");
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("koodrive");
    tcase_add_test(tests, koodrive_says_what_its_fixtures_say);
    return unit_run("koodrive", tests);
}
