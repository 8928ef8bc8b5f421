/*
 * JSON, strictly read and directly written.
 *
 * Reading: RFC 8259 and UTF-8 only, no duplicate members, no NUL in strings, no BOM, nothing behind
 * the value, ceilings on size and depth. A number that no int64 holds is read as a number that is
 * none (json_value_int64 says false); the rest of the document stays readable. The raw text of
 * top-level members can be taken as it was written, so that numbers are echoed exactly.
 *
 * Whatever the text: the stack is as deep as it is nested, time grows with its length (times the
 * logarithm of the members of its largest object), and a document takes at most 60 bytes for each
 * byte of text, usually 6.
 *
 * Writing appends to a struct buffer; the writer places commas itself (json_write_member does the
 * usual case).
 */
#ifndef KANCEL_COMMON_JSON_H
#define KANCEL_COMMON_JSON_H

#include "common/buffer.h"
#include "common/error.h"

enum json_kind { JSON_NULL_VALUE, JSON_BOOL, JSON_NUMBER, JSON_TEXT, JSON_LIST, JSON_MAP };

struct json_document;
struct json_value; /* borrowed from its document */

/* `text` is borrowed until json_document_free: names, strings and raw members point into it.
 * ERROR_INPUT says what and where (line, column); the offending text itself is not quoted.
 * ERROR_MEMORY is possible. Nesting: a scalar is 0 deep, [] is 1. */
struct json_document *json_document_parse(struct slice text, size_t most_bytes, unsigned most_depth,
                                          struct error *err) MUST_CHECK;
void json_document_free(struct json_document *document);
const struct json_value *json_document_root(const struct json_document *document);

/* The text of top-level member `name` as it was written, without surrounding blanks; absent slice
 * when the root is no object or has no such member. */
struct slice json_document_raw(const struct json_document *document, const char *name);

/* All of these accept NULL and wrong kinds and then say "absent": NULL, false, 0, absent slice. */
enum json_kind json_value_kind(const struct json_value *value); /* NULL reads as JSON_NULL_VALUE */
const char *json_value_kind_name(
    const struct json_value *value); /* "a string", "an object", ... for messages */
const struct json_value *json_value_get(const struct json_value *map, const char *name);
size_t json_value_count(const struct json_value *list_or_map);
const struct json_value *json_value_at(const struct json_value *list, size_t index);
struct slice json_value_text(const struct json_value *value);
bool json_value_int64(const struct json_value *value,
                      int64_t *number) MUST_CHECK; /* whole numbers only; 4.0 counts, up to 2^53 */
bool json_value_bool(const struct json_value *value, bool *truth) MUST_CHECK;

/* Calls `visit` for each member until it returns false. In the text's order. */
void json_value_each(const struct json_value *map,
                     bool (*visit)(void *context, struct slice name,
                                   const struct json_value *value),
                     void *context);

/* Appends `text` (well-formed JSON, e.g. from json_document_raw) without blanks between tokens.
 * Numbers and strings stay byte for byte. */
void json_write_compact(struct buffer *out, struct slice text);
/* A quoted string. Bytes that are not UTF-8 are replaced by U+FFFD; control characters are escaped.
 */
void json_write_string(struct buffer *out, struct slice text);
void json_write_int(struct buffer *out, int64_t number);
/* `,"name":` (no comma right after '{'); the name must need no escape. */
void json_write_member(struct buffer *out, const char *name);
void json_write_string_member(struct buffer *out, const char *name, struct slice text);
void json_write_int_member(struct buffer *out, const char *name, int64_t number);

#endif
