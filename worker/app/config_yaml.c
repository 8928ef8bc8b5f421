#include <yaml.h>

#include "worker/app/args.h"
#include "worker/app/config_internal.h"
#include "common/nearest.h"

#include "common/banned.h"

struct sections {
    struct config_loader *loader;
    yaml_document_t *document;
};

/* ---- syntax ---- */

static unsigned line_at(struct slice text, size_t offset)
{
    unsigned line = 1;
    for (size_t i = 0; i < text.len && i < offset; i++)
        line += text.data[i] == '\n';
    return line;
}

/* True when the line begins with a tab among its blanks: YAML's own complaint about that helps
 * nobody. */
static bool is_indented_by_tab(struct slice text, unsigned line)
{
    size_t at = 0;
    for (; line > 1 && at < text.len; at++)
        line -= text.data[at] == '\n';
    while (at < text.len && text.data[at] == ' ')
        at++;
    return at < text.len && text.data[at] == '\t';
}

static void refuse_syntax(struct config_loader *loader, const yaml_parser_t *parser,
                          struct slice text)
{
    unsigned line = (unsigned)parser->problem_mark.line + 1;
    if (parser->error == YAML_MEMORY_ERROR)
        loader->out_of_memory = true;
    else if (parser->error == YAML_READER_ERROR)
        config_mistake(loader, line_at(text, parser->problem_offset), "",
                       "expected text in UTF-8: %s", parser->problem);
    else if (is_indented_by_tab(text, line))
        config_mistake(loader, line, "", "expected blanks, YAML is never indented by tabs");
    else
        config_mistake(loader, line, "", "not well-formed YAML at column %zu: %s%s%s",
                       parser->problem_mark.column + 1, parser->problem,
                       parser->context ? ", " : "", parser->context ? parser->context : "");
}

static void refuse_tag(struct config_loader *loader, unsigned line, const yaml_char_t *tag)
{
    char quoted[64];
    if (!tag)
        return;
    config_quote(slice_of_string((const char *)tag), quoted);
    config_mistake(loader, line, "", "expected a plain value, the tag %s means nothing here",
                   quoted);
}

static void refuse_anchor(struct config_loader *loader, unsigned line, const yaml_char_t *anchor)
{
    if (anchor)
        config_mistake(loader, line, "", "expected no anchor (&%.40s): write the values out",
                       (const char *)anchor);
}

/* Ours needs 5; the time libyaml takes grows with the square of the depth. */
enum { DEPTH_MOST = 32 };

struct scan {
    unsigned documents;
    unsigned depth;
    unsigned alias_line; /* of the last one; 0: none */
};

/* What YAML can do and a configuration should not. */
static void look_at_event(struct config_loader *loader, const yaml_event_t *event,
                          struct scan *scan)
{
    unsigned line = (unsigned)event->start_mark.line + 1;
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++scan->documents == 2)
            config_mistake(loader, line, "", "expected one document, a second begins here");
        break;
    case YAML_ALIAS_EVENT:
        if (line != scan->alias_line)
            config_mistake(loader, line, "", "expected no alias (*%.40s): write the values out",
                           (const char *)event->data.alias.anchor);
        scan->alias_line = line;
        break;
    case YAML_SCALAR_EVENT:
        refuse_anchor(loader, line, event->data.scalar.anchor);
        refuse_tag(loader, line, event->data.scalar.tag);
        break;
    case YAML_SEQUENCE_START_EVENT:
        refuse_anchor(loader, line, event->data.sequence_start.anchor);
        refuse_tag(loader, line, event->data.sequence_start.tag);
        break;
    case YAML_MAPPING_START_EVENT:
        refuse_anchor(loader, line, event->data.mapping_start.anchor);
        refuse_tag(loader, line, event->data.mapping_start.tag);
        break;
    default:
        break;
    }
}

/* False when the mappings and lists stand too deep in each other. */
static bool count_depth(struct config_loader *loader, const yaml_event_t *event, struct scan *scan)
{
    bool begins =
        event->type == YAML_SEQUENCE_START_EVENT || event->type == YAML_MAPPING_START_EVENT;
    bool ends = event->type == YAML_SEQUENCE_END_EVENT || event->type == YAML_MAPPING_END_EVENT;
    scan->depth += begins;
    scan->depth -= ends;
    if (scan->depth <= DEPTH_MOST)
        return true;
    config_mistake(loader, (unsigned)event->start_mark.line + 1, "",
                   "expected at most %d levels of nesting", DEPTH_MOST);
    return false;
}

/* The first reading: true when a tree may be made of the text. Aliases end it, so that no tree ever
 * holds a node twice. */
static bool scan_text(struct config_loader *loader, struct slice text)
{
    yaml_parser_t parser;
    yaml_event_t event;
    struct scan scan = {0, 0, 0};
    bool shallow = true;
    bool ended = false;
    if (!yaml_parser_initialize(&parser)) {
        loader->out_of_memory = true;
        return false;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.data, text.len);
    while (!ended && shallow && yaml_parser_parse(&parser, &event)) {
        look_at_event(loader, &event, &scan);
        shallow = count_depth(loader, &event, &scan);
        ended = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    if (!ended && shallow)
        refuse_syntax(loader, &parser, text);
    else if (shallow && scan.documents == 0)
        config_mistake(loader, 0, "", "the file is empty; kancel.example.yaml shows every key");
    yaml_parser_delete(&parser);
    return ended && scan.documents > 0 && scan.alias_line == 0;
}

/* ---- sections ---- */

static void load_account(void *context, const char *name, unsigned line, yaml_node_t *node)
{
    const struct sections *sections = context;
    config_load_account(sections->loader, sections->document, name, line, node);
}

static void load_accounts(const struct sections *sections, unsigned line, yaml_node_t *node)
{
    if (config_is_mapping(node))
        config_each_key(sections->loader, sections->document, node, "accounts", load_account,
                        (void *)sections);
    else if (!config_is_nothing(node))
        config_mistake(sections->loader, line, "accounts",
                       "expected a mapping of names to accounts, not %s", config_kind(node));
}

static void refuse_section(struct config_loader *loader, const char *key, unsigned line)
{
    static const char *const names[] = {"kafka", "delivery", "ordering", "worker",
                                        "admin", "log",      "accounts", NULL};
    const char *nearest = nearest_of(slice_of_string(key), names);
    if (nearest)
        config_mistake(loader, line, key, "unknown key; did you mean %s?", nearest);
    else
        config_mistake(loader, line, key,
                       "unknown key; expected kafka, delivery, ordering, worker, admin, tracing, "
                       "log or accounts");
}

static void load_section(void *context, const char *key, unsigned line, yaml_node_t *node)
{
    const struct sections *sections = context;
    struct config_file *file = sections->loader->file;
    const struct config_scope top = {file->top, "", {config_top_rows, NULL}, false};
    const struct config_scope scopes[] = {
        {file->kafka, "kafka", {config_kafka_rows, NULL}, false},
        {file->worker, "worker", {config_worker_rows, NULL}, false},
        {file->admin, "admin", {config_admin_rows, NULL}, false},
        {file->tracing, "tracing", {config_tracing_rows, NULL}, false},
        {file->log, "log", {config_log_rows, NULL}, false},
    };
    for (size_t i = 0; i < sizeof(scopes) / sizeof(scopes[0]); i++) {
        if (strcmp(key, scopes[i].name) == 0) {
            config_load_mapping(sections->loader, sections->document, node, line, &scopes[i], "");
            return;
        }
    }
    if (strcmp(key, "accounts") == 0)
        load_accounts(sections, line, node);
    else if (option_values_row(file->top, key))
        config_load_key(sections->loader, sections->document, node, line, &top, key);
    else
        refuse_section(sections->loader, key, line);
}

static void load_document(struct config_loader *loader, yaml_document_t *document)
{
    struct sections sections = {loader, document};
    yaml_node_t *root = yaml_document_get_root_node(document);
    if (!config_is_mapping(root)) {
        config_mistake(loader, (unsigned)root->start_mark.line + 1, "",
                       "expected a mapping (key: value), not %s", config_kind(root));
        return;
    }
    config_each_key(loader, document, root, "", load_section, &sections);
}

void config_yaml_load(struct config_loader *loader, struct slice text)
{
    yaml_parser_t parser;
    yaml_document_t document;
    if (slice_starts_with(text, "\xef\xbb\xbf"))
        text = slice_of(text.data + 3, text.len - 3);
    if (!scan_text(loader, text))
        return;
    if (!yaml_parser_initialize(&parser)) {
        loader->out_of_memory = true;
        return;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.data, text.len);
    if (yaml_parser_load(&parser, &document)) {
        load_document(loader, &document);
        yaml_document_delete(&document);
    } else {
        refuse_syntax(loader, &parser, text);
    }
    yaml_parser_delete(&parser);
}
