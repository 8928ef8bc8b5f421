/* How far the sending is: a bar, or a line now and then. */
#include <inttypes.h>
#include <unistd.h>

#include "worker/app/send.h"

#include "common/banned.h"

enum {
    BAR_EVERY_MS = 100,
    LINE_EVERY_MS = 10 * 1000,
    BAR_WIDTH = 24,
    TEXT_BYTES = 512,
};

void send_progress_init(struct send_progress *progress, FILE *out, bool quiet, int64_t now_ms)
{
    *progress = (struct send_progress){.begun_ms = now_ms, .drawn_ms = now_ms};
    if (quiet)
        return;
    progress->out = out;
    progress->bar = isatty(fileno(out)) != 0;
}

void send_progress_text(const struct send_progress *progress, struct buffer *text)
{
    for (enum outcome outcome = 0; outcome < OUTCOME_COUNT; outcome++)
        if (progress->outcomes[outcome] > 0)
            buffer_append_format(text, "%s %zu, ", outcome_name(outcome),
                                 progress->outcomes[outcome]);
    buffer_append_format(text, "open %zu", progress->sent - progress->answered);
}

static void add_bar(const struct send_progress *progress, struct buffer *text)
{
    size_t filled = progress->sent > 0 ? progress->answered * BAR_WIDTH / progress->sent : 0;
    buffer_append_byte(text, '[');
    for (size_t i = 0; i < BAR_WIDTH; i++)
        buffer_append_byte(text, i < filled ? '#' : '.');
    buffer_append_string(text, "] ");
}

/* The rate so far, and what it makes of the rest. */
static void add_rate(const struct send_progress *progress, int64_t now_ms, struct buffer *text)
{
    int64_t passed_ms = now_ms - progress->begun_ms;
    size_t open = progress->sent - progress->answered;
    if (progress->answered == 0 || passed_ms <= 0)
        return;
    double rate = (double)progress->answered * 1000 / (double)passed_ms;
    buffer_append_format(text, ", %.*f/s", rate < 10 ? 1 : 0, rate);
    if (open > 0)
        buffer_append_format(text, ", %.0f s left", (double)open / rate);
}

void send_progress_show(struct send_progress *progress, int64_t now_ms, bool always)
{
    struct buffer text;
    int64_t every_ms = progress->bar ? BAR_EVERY_MS : LINE_EVERY_MS;
    if (!progress->out || (!always && now_ms - progress->drawn_ms < every_ms))
        return;
    progress->drawn_ms = now_ms;
    buffer_init(&text, TEXT_BYTES);
    if (progress->bar) {
        buffer_append_string(&text, "\r\033[K");
        add_bar(progress, &text);
    }
    buffer_append_format(&text, "%zu of %zu answered: ", progress->answered, progress->sent);
    send_progress_text(progress, &text);
    add_rate(progress, now_ms, &text);
    fprintf(progress->out, "%.*s%s", SLICE_ARG(buffer_slice(&text)), progress->bar ? "" : "\n");
    fflush(progress->out);
    buffer_release(&text);
}

void send_progress_clear(struct send_progress *progress)
{
    if (progress->out && progress->bar)
        fputs("\r\033[K", progress->out);
}
