#include "tests/unit/unit.h"
#include "tests/unit/providers/fixtures.h"

#include "common/banned.h"

START_TEST(iotda_says_what_its_fixtures_say)
{
    fixtures_run("iotda");
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("iotda");
    tcase_add_test(tests, iotda_says_what_its_fixtures_say);
    return unit_run("iotda", tests);
}
