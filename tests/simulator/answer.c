#include "answer.h"

#include "common/banned.h"

static void body_drop(struct answer *answer)
{
    free(answer->body);
    answer->body = NULL;
    answer->body_len = 0;
    answer->filler = 0;
    answer->break_at = 0;
}

void answer_json(struct answer *answer, unsigned status, json_t *json)
{
    body_drop(answer);
    answer->status = status;
    answer->content_type = "application/json;charset=UTF-8";
    answer->body = must(json_dumps(must(json), JSON_COMPACT | JSON_ENCODE_ANY));
    answer->body_len = strlen(answer->body);
    json_decref(json);
}

void answer_text(struct answer *answer, unsigned status, const char *content_type, const char *text)
{
    char *copy = must_copy(text);
    body_drop(answer);
    answer->status = status;
    answer->content_type = content_type;
    answer->body = copy;
    answer->body_len = strlen(copy);
}

void answer_empty(struct answer *answer, unsigned status)
{
    body_drop(answer);
    answer->status = status;
    answer->content_type = NULL;
}

void answer_header(struct answer *answer, const char *name, const char *value)
{
    if (answer->headers_count == ANSWER_HEADERS_MAX)
        return;
    answer->headers[answer->headers_count].name = must_copy(name);
    answer->headers[answer->headers_count].value = must_copy(value);
    answer->headers_count++;
}

void answer_release(struct answer *answer)
{
    body_drop(answer);
    for (size_t i = 0; i < answer->headers_count; i++) {
        free(answer->headers[i].name);
        free(answer->headers[i].value);
    }
    answer->headers_count = 0;
}
