#include "tests/unit/unit.h"
#include "tests/unit/providers/fixtures.h"

#include "common/banned.h"

START_TEST(scnet_says_what_its_fixtures_say)
{
    fixtures_run("scnet");
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("scnet");
    tcase_add_test(tests, scnet_says_what_its_fixtures_say);
    return unit_run("scnet", tests);
}
