/* Scripted faults: POST /_simulator/faults. The first rule that matches and has times left wins. */
#ifndef SIMULATOR_FAULTS_H
#define SIMULATOR_FAULTS_H

#include "simulator.h"

struct fault;

struct faults *faults_new(void);
void faults_clear(struct faults *faults);
void faults_free(struct faults *faults);

/* Appends one rule. Returns 0 or -1 with the problem. */
int faults_script(struct simulator *simulator, const json_t *script, char *problem,
                  size_t problem_size);

/* The rule for this request, counted as fired; NULL when none matches. */
struct fault *faults_match(struct simulator *simulator, const struct request *request);

/* Whether the request still has its effect under this fault. */
bool fault_applies(const struct fault *fault);

/* What happens to the tasks of a request just before it takes effect. */
void fault_before(struct simulator *simulator, const struct fault *fault,
                  const struct request *request);

/* What happens to them just after, and bends the answer that the provider gave. */
void fault_bend(struct simulator *simulator, const struct fault *fault, struct request *request);

/* The rules with how often each fired. */
json_t *faults_report(const struct simulator *simulator);

#endif
