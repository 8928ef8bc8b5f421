/* An answer is the same whether its bytes come at once or one by one; no ceiling is passed. */
#include <string.h>

#include "common/limits.h"
#include "tests/fuzz/fuzz.h"
#include "worker/io/http_answer.h"

#include "common/banned.h"

static void check_ceilings(const struct http_answer *answer)
{
    FUZZ_CHECK(answer->body.len <= LIMIT_RESPONSE_BYTES);
    FUZZ_CHECK(answer->kept_text.len <= LIMIT_RESPONSE_HEADER_BYTES);
    FUZZ_CHECK(answer->raw_bytes <= LIMIT_RESPONSE_RAW_BYTES);
}

/* Pieces of `step` bytes, then the connection's end. */
static enum http_progress read_all(struct http_answer *answer, struct slice bytes, size_t step)
{
    enum http_progress progress = PROGRESS_MORE;
    const char *problem = "";
    for (size_t at = 0; progress == PROGRESS_MORE && at < bytes.len; at += step) {
        size_t len = bytes.len - at < step ? bytes.len - at : step;
        progress = http_answer_read(answer, slice_of(bytes.data + at, len), &problem);
        check_ceilings(answer);
    }
    FUZZ_CHECK(progress != PROGRESS_FAILED || problem[0] != '\0');
    FUZZ_CHECK(progress != PROGRESS_DONE || http_answer_status(answer) >= 200);
    if (progress == PROGRESS_MORE) {
        progress = http_answer_read_end(answer, &problem);
        FUZZ_CHECK(progress == PROGRESS_DONE || problem[0] != '\0');
        FUZZ_CHECK(!answer->lasting || progress != PROGRESS_DONE);
    }
    return progress;
}

static void check_same(const struct http_answer *a, const struct http_answer *b)
{
    FUZZ_CHECK(a->lasting == b->lasting);
    FUZZ_CHECK(slice_equal(buffer_slice(&a->body), buffer_slice(&b->body)));
    for (int i = 0; i < KEPT_COUNT; i++) {
        struct slice of_a = http_answer_header(a, (enum http_kept)i);
        struct slice of_b = http_answer_header(b, (enum http_kept)i);
        FUZZ_CHECK((of_a.data == NULL) == (of_b.data == NULL));
        FUZZ_CHECK(slice_equal(of_a, of_b));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of(size > 0 ? (const char *)data : "", size);
    struct http_answer whole, pieces;
    http_answer_init(&whole);
    http_answer_init(&pieces);
    enum http_progress progress = read_all(&whole, bytes, size > 0 ? size : 1);
    for (size_t step = 1; step <= 7; step += 6) {
        http_answer_clear(&pieces); /* used before */
        FUZZ_CHECK(read_all(&pieces, bytes, step) == progress);
        FUZZ_CHECK(http_answer_status(&pieces) == http_answer_status(&whole));
        FUZZ_CHECK(pieces.too_large == whole.too_large);
        if (progress == PROGRESS_DONE)
            check_same(&whole, &pieces);
    }
    http_answer_release(&whole);
    http_answer_release(&pieces);
    return 0;
}
