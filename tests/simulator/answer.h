/* Building answers. Every function replaces what the answer held, but keeps its headers. */
#ifndef SIMULATOR_ANSWER_H
#define SIMULATOR_ANSWER_H

#include "simulator.h"

/* Takes `json` over. */
void answer_json(struct answer *answer, unsigned status, json_t *json);
void answer_text(struct answer *answer, unsigned status, const char *content_type,
                 const char *text);
void answer_empty(struct answer *answer, unsigned status);
/* Further headers than ANSWER_HEADERS_MAX are left out. */
void answer_header(struct answer *answer, const char *name, const char *value);
void answer_release(struct answer *answer);

#endif
