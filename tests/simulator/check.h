/*
 * Checks of a request that all providers share. A check that fails records a violation and returns
 * false; the provider's file decides on the answer. What a provider would not notice (the user
 * agent, a header too many) is recorded by check_headers and does not refuse the request.
 */
#ifndef SIMULATOR_CHECK_H
#define SIMULATOR_CHECK_H

#include "simulator.h"

/* The header's value, or NULL. */
const char *request_header(const struct request *request, const char *name);

/* The value of a query key, or NULL; an empty string where it has none. */
const char *request_query(const struct request *request, const char *key);

/* User agent, an encoded path, headers sent twice, and any header that is neither usual nor in the
 * NULL-ended list. */
void check_headers(struct simulator *simulator, const struct request *request,
                   const char *const *allowed);

bool check_method(struct simulator *simulator, const struct request *request, const char *method);

/* The query holds only keys of the NULL-ended list (NULL: none), each once. */
bool check_query(struct simulator *simulator, const struct request *request,
                 const char *const *allowed);

/* The body is a JSON object, sent as application/json. */
bool check_json_body(struct simulator *simulator, const struct request *request);
bool check_no_body(struct simulator *simulator, const struct request *request);

/* The object has no other members than those of the NULL-ended list. */
bool check_members(struct simulator *simulator, const struct request *request, const json_t *object,
                   const char *const *allowed);

/* An id of the path. */
bool check_id(struct simulator *simulator, const struct request *request, const char *name,
              const char *id, bool (*id_valid)(const char *));

/* `ids` is a list of 1..max different ids that id_valid accepts. */
bool check_ids(struct simulator *simulator, const struct request *request, const json_t *ids,
               const char *name, size_t max, bool (*id_valid)(const char *));

/* 1..64 letters, digits, - and _ ; 1..24 lower-case hex digits; 1..32 digits; 1..256 of any. */
bool id_word(const char *id);
bool id_hex24(const char *id);
bool id_digits32(const char *id);
bool id_target(const char *id);

#endif
