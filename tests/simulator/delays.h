/*
 * Answers that wait. One thread keeps the suspended requests in a heap by their time and resumes
 * each when it is due; a hanging one when its client has closed. Needs no mutex of the simulator's.
 */
#ifndef SIMULATOR_DELAYS_H
#define SIMULATOR_DELAYS_H

#include "simulator.h"

struct delays *delays_new(void);

/* Suspends the request's connection until request->due_ms. False: stopping, answer at once. */
bool delays_suspend(struct delays *delays, struct request *request);

/* Resumes all; no request is suspended any more. */
void delays_stop(struct delays *delays);
void delays_free(struct delays *delays);

#endif
