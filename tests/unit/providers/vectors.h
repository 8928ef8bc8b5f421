/* Signature vectors: the files of tests/fixtures/vectors, read as they are. */
#ifndef KANCEL_TESTS_UNIT_PROVIDERS_VECTORS_H
#define KANCEL_TESTS_UNIT_PROVIDERS_VECTORS_H

#include "tests/unit/unit.h"

#include <jansson.h>

#include "common/slice.h"

/* To be freed with json_decref(). */
static json_t *vectors_load(const char *name)
{
    char path[512];
    json_error_t fault;
    snprintf(path, sizeof path, "%s/fixtures/vectors/%s.json", TESTS_DIR, name);
    json_t *file = json_load_file(path, JSON_REJECT_DUPLICATES, &fault);
    ck_assert_msg(file != NULL, "%s:%d: %s", path, fault.line, fault.text);
    return file;
}

static const char *vector_string(const json_t *vector, const char *member)
{
    return json_string_value(json_object_get(vector, member));
}

static struct slice vector_text(const json_t *vector, const char *member)
{
    return slice_of_string(vector_string(vector, member));
}

#endif
