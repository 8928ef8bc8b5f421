/* simulator.selftest: the simulator does what its README says. */
#include "selftest.h"

#include "common/banned.h"

int main(void)
{
    SRunner *runner;
    int failed;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    server_start(&main_server, NULL);
    runner = srunner_create(suite_operations());
    srunner_add_suite(runner, suite_checks());
    srunner_add_suite(runner, suite_faults());
    srunner_add_suite(runner, suite_server());
    srunner_add_suite(runner, suite_signatures());
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    server_stop(&main_server);
    curl_global_cleanup();
    return failed == 0 ? 0 : 1;
}
