/* Any bytes are refused or read; what was read can be echoed raw and compact, and reads as the same
 * again. */
#include "common/json.h"
#include "tests/fuzz/fuzz.h"

#include "common/banned.h"

enum { MOST_BYTES = 1 << 20, DEPTH = 32 };

static struct json_document *parse(struct slice text)
{
    struct error err = {0};
    struct json_document *document = json_document_parse(text, MOST_BYTES, DEPTH, &err);
    FUZZ_CHECK((document != NULL) == (err.kind == ERROR_NONE));
    FUZZ_CHECK(document != NULL ||
               (err.kind == ERROR_INPUT && slice_is_utf8(slice_of_string(err.message))));
    return document;
}

static void check_same(const struct json_value *a, const struct json_value *b)
{
    int64_t number_a = 0;
    int64_t number_b = 0;
    FUZZ_CHECK(json_value_kind(a) == json_value_kind(b));
    FUZZ_CHECK(json_value_count(a) == json_value_count(b));
    FUZZ_CHECK(slice_equal(json_value_text(a), json_value_text(b)));
    FUZZ_CHECK(json_value_int64(a, &number_a) == json_value_int64(b, &number_b));
    FUZZ_CHECK(number_a == number_b);
    if (json_value_kind(a) == JSON_LIST) {
        for (size_t i = 0; i < json_value_count(a); i++)
            check_same(json_value_at(a, i), json_value_at(b, i));
    }
}

static bool check_member(void *context, struct slice name, const struct json_value *value)
{
    char *member = slice_dup(name);
    FUZZ_CHECK(member != NULL);
    struct slice raw = json_document_raw(context, member);
    free(member);
    FUZZ_CHECK(raw.len > 0);
    struct buffer compact;
    buffer_init(&compact, raw.len);
    json_write_compact(&compact, raw);
    FUZZ_CHECK(!buffer_failed(&compact));
    struct json_document *again = parse(buffer_slice(&compact));
    FUZZ_CHECK(again != NULL);
    check_same(json_document_root(again), value);
    json_document_free(again);
    buffer_release(&compact);
    return true;
}

/* Whatever the bytes, what is written is a JSON string, of the same text if they were text. */
static void check_string(struct slice text)
{
    struct buffer out;
    buffer_init(&out, text.len * 6 + 2);
    json_write_string(&out, text);
    FUZZ_CHECK(!buffer_failed(&out));
    if (memchr(text.data, '\0', text.len) == NULL && out.len <= MOST_BYTES) {
        struct json_document *document = parse(buffer_slice(&out));
        FUZZ_CHECK(document != NULL);
        struct slice back = json_value_text(json_document_root(document));
        FUZZ_CHECK(slice_equal(back, text) == slice_is_utf8(text));
        json_document_free(document);
    }
    buffer_clear(&out);
    json_write_compact(&out, text);
    FUZZ_CHECK(out.len <= text.len);
    buffer_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of(size > 0 ? (const char *)data : "", size);
    struct json_document *document = parse(text);
    if (document != NULL) {
        FUZZ_CHECK(slice_is_utf8(text));
        json_value_each(json_document_root(document), check_member, document);
    }
    json_document_free(document);
    check_string(text);
    return 0;
}
