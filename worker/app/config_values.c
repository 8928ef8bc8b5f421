#include <yaml.h>

#include "common/nearest.h"
#include "worker/app/args.h"
#include "worker/app/config_internal.h"

#include "common/banned.h"

/* One value on its way from the tree into its table. */
struct load {
    struct config_loader *loader;
    yaml_document_t *document;
    const struct config_scope *scope;
    const char *within; /* the path of the mapping that is read, below the scope */
};

struct target {
    const struct load *load;
    const struct option *row;
    char key[160]; /* in full, for messages */
    unsigned line;
};

/* ---- nodes ---- */

static struct slice scalar_text(const yaml_node_t *node)
{
    return slice_of((const char *)node->data.scalar.value, node->data.scalar.length);
}

bool config_is_nothing(const yaml_node_t *node)
{
    struct slice text;
    if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    text = scalar_text(node);
    return text.len == 0 || slice_equals(text, "~") || slice_equals(text, "null");
}

bool config_is_mapping(const yaml_node_t *node)
{
    return node->type == YAML_MAPPING_NODE;
}

const char *config_kind(const yaml_node_t *node)
{
    if (node->type == YAML_MAPPING_NODE)
        return "a mapping";
    if (node->type == YAML_SEQUENCE_NODE)
        return "a list";
    return config_is_nothing(node) ? "nothing" : "a text";
}

struct slice config_peek(yaml_document_t *document, const yaml_node_t *mapping, const char *key)
{
    for (yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
         mapping->type == YAML_MAPPING_NODE && pair < mapping->data.mapping.pairs.top; pair++) {
        const yaml_node_t *name = yaml_document_get_node(document, pair->key);
        const yaml_node_t *value = yaml_document_get_node(document, pair->value);
        if (name->type == YAML_SCALAR_NODE && slice_equals(scalar_text(name), key) &&
            value->type == YAML_SCALAR_NODE)
            return scalar_text(value);
    }
    return slice_of(NULL, 0);
}

static bool is_doubled(yaml_document_t *document, const yaml_node_t *mapping,
                       const yaml_node_pair_t *pair, struct slice name, unsigned *first_line)
{
    for (yaml_node_pair_t *earlier = mapping->data.mapping.pairs.start; earlier < pair; earlier++) {
        const yaml_node_t *key = yaml_document_get_node(document, earlier->key);
        if (key->type == YAML_SCALAR_NODE && slice_equal(scalar_text(key), name)) {
            *first_line = (unsigned)key->start_mark.line + 1;
            return true;
        }
    }
    return false;
}

void config_each_key(
    struct config_loader *loader, yaml_document_t *document, yaml_node_t *mapping, const char *name,
    void (*visit)(void *context, const char *key, unsigned line, yaml_node_t *value), void *context)
{
    char full[160], quoted[64];
    unsigned first_line;
    size_t count = 0;
    for (yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
         pair < mapping->data.mapping.pairs.top; pair++) {
        yaml_node_t *key = yaml_document_get_node(document, pair->key);
        unsigned line = (unsigned)key->start_mark.line + 1;
        if (++count > CONFIG_KEYS_MOST) {
            config_mistake(loader, line, name, "expected at most %d keys", CONFIG_KEYS_MOST);
            return;
        }
        if (key->type != YAML_SCALAR_NODE || key->data.scalar.length == 0 ||
            memchr(key->data.scalar.value, '\0', key->data.scalar.length)) {
            config_mistake(loader, line, name, "expected a name as key, not %s", config_kind(key));
            continue;
        }
        if (is_doubled(document, mapping, pair, scalar_text(key), &first_line)) {
            config_quote(scalar_text(key), quoted);
            config_key(full, name, quoted);
            config_mistake(loader, line, full, "this key stands in line %u already", first_line);
            continue;
        }
        visit(context, (const char *)key->data.scalar.value, line,
              yaml_document_get_node(document, pair->value));
    }
}

/* ---- single values ---- */

/* `written` is what the file says, for quoting: absent for what may be a secret. */
static void refuse(const struct target *target, struct slice written, const struct error *err)
{
    struct config_loader *loader = target->load->loader;
    const char *guess = strstr(err->message, "; did you mean");
    char quoted[64];
    if (err->kind == ERROR_MEMORY) {
        loader->out_of_memory = true;
        return;
    }
    if (!written.data) {
        config_mistake(loader, target->line, target->key, "%s", err->message);
        return;
    }
    config_quote(written, quoted);
    if (!guess)
        guess = err->message + strlen(err->message);
    config_mistake(loader, target->line, target->key, "%.*s, not '%s'%s",
                   (int)(guess - err->message), err->message, quoted, guess);
}

static const char *expected(enum option_type type)
{
    switch (type) {
    case OPTION_LIST:
        return "a list such as [a, b]";
    case OPTION_MAP:
        return "a mapping of names to values";
    case OPTION_SECRET:
        return "a text or {file: PATH}";
    case OPTION_BOOL:
        return "true or false";
    case OPTION_INTEGER:
        return "a whole number";
    case OPTION_DURATION:
        return "a duration such as 200ms, 30s, 5m or 24h";
    case OPTION_DURATION_RANGE:
        return "a range of durations such as 200ms..30s";
    case OPTION_RATE:
        return "a rate such as 200/s, 30/m or 0.5/s";
    case OPTION_STRING:
    case OPTION_CHOICE:
        break;
    }
    return "a text";
}

static void refuse_kind(const struct target *target, const yaml_node_t *node)
{
    struct config_loader *loader = target->load->loader;
    if (config_is_nothing(node))
        config_mistake(loader, target->line, target->key,
                       "expected %s, not nothing; leave the key out for the default%s",
                       expected(target->row->type),
                       target->row->type == OPTION_STRING ? ", or write ''" : "");
    else
        config_mistake(loader, target->line, target->key, "expected %s, not %s",
                       expected(target->row->type), config_kind(node));
}

/* The node's text with its references replaced, in `out`; false: said what is wrong. */
static bool take_text(const struct target *target, const yaml_node_t *node, struct buffer *out)
{
    struct error err;
    if (node->type != YAML_SCALAR_NODE || config_is_nothing(node)) {
        refuse_kind(target, node);
        return false;
    }
    buffer_append(out, "", 0);
    if (config_expand(scalar_text(node), target->load->loader->environment, out, &err) != 0) {
        refuse(target, slice_of(NULL, 0), &err);
        return false;
    }
    return true;
}

/* ---- secrets ---- */

static void remember_file(const struct target *target, char *path, const struct stat *seen)
{
    struct config_loader *loader = target->load->loader;
    struct config_file *file = loader->file;
    struct config_secret_file *grown =
        config_grow(loader, file->secret_files, file->secret_file_count, sizeof(*grown));
    if (!grown)
        return;
    file->secret_files = grown;
    grown[file->secret_file_count++] = (struct config_secret_file){
        target->load->scope->values, target->row->path, path, *seen, false};
}

static bool take_file(const struct target *target, const yaml_node_t *node, struct buffer *out)
{
    struct config_loader *loader = target->load->loader;
    struct buffer name;
    struct error err;
    struct stat seen;
    bool readable_by_all;
    bool taken = false;
    char *path = NULL;
    buffer_init(&name, 4096);
    if (!take_text(target, node, &name))
        goto release;
    path = config_own(loader, config_resolve(loader->file, name.data ? name.data : ""));
    if (!path)
        goto release;
    if (config_read_secret(path, out, &seen, &readable_by_all, &err) != 0) {
        config_mistake(loader, target->line, target->key, "%s: %s", path, err.message);
        goto release;
    }
    if (readable_by_all)
        config_warning(loader, target->line, target->key,
                       "%s can be read by everybody on this machine (chmod o-r)", path);
    if (target->row->type == OPTION_SECRET)
        remember_file(target, path, &seen);
    taken = true;
release:
    buffer_release(&name);
    return taken;
}

/* A text, or {file: PATH}. */
static bool take_secret(const struct target *target, const yaml_node_t *node, struct buffer *out)
{
    const yaml_node_t *key;
    const yaml_node_pair_t *pair;
    if (node->type != YAML_MAPPING_NODE)
        return take_text(target, node, out);
    pair = node->data.mapping.pairs.start;
    if (node->data.mapping.pairs.top - pair == 1) {
        key = yaml_document_get_node(target->load->document, pair->key);
        if (key->type == YAML_SCALAR_NODE && slice_equals(scalar_text(key), "file"))
            return take_file(target, yaml_document_get_node(target->load->document, pair->value),
                             out);
    }
    config_mistake(target->load->loader, target->line, target->key,
                   "expected a text or {file: PATH}, and no other key");
    return false;
}

static void load_secret(const struct target *target, const yaml_node_t *node)
{
    struct buffer text;
    struct error err;
    buffer_init(&text, CONFIG_SECRET_ROOM);
    /* An empty text is the same as no secret: '${TOKEN:-}' leaves it out. */
    if (take_secret(target, node, &text) && text.len > 0 &&
        option_values_set(target->load->scope->values, target->row->path, buffer_slice(&text),
                          &err) != 0)
        refuse(target, slice_of(NULL, 0), &err);
    buffer_wipe(&text);
}

/* ---- rows ---- */

static void load_scalar(const struct target *target, const yaml_node_t *node)
{
    struct buffer text;
    struct error err;
    buffer_init(&text, LIMIT_CONFIG_BYTES);
    if (take_text(target, node, &text) &&
        option_values_set(target->load->scope->values, target->row->path, buffer_slice(&text),
                          &err) != 0)
        refuse(target, scalar_text(node), &err);
    buffer_release(&text);
}

static void load_list(const struct target *target, const yaml_node_t *node)
{
    struct option_values *values = target->load->scope->values;
    struct target item = *target;
    struct buffer text;
    struct error err;
    if (node->type != YAML_SEQUENCE_NODE) {
        refuse_kind(target, node);
        return;
    }
    if (option_values_set(values, target->row->path, slice_of(NULL, 0), &err) != 0)
        refuse(target, slice_of(NULL, 0), &err);
    buffer_init(&text, LIMIT_CONFIG_BYTES);
    for (yaml_node_item_t *at = node->data.sequence.items.start; at < node->data.sequence.items.top;
         at++) {
        const yaml_node_t *child = yaml_document_get_node(target->load->document, *at);
        item.line = (unsigned)child->start_mark.line + 1;
        buffer_clear(&text);
        if (child->type != YAML_SCALAR_NODE || config_is_nothing(child))
            config_mistake(target->load->loader, item.line, target->key,
                           "expected a list of texts, with %s in it", config_kind(child));
        else if (take_text(&item, child, &text) &&
                 option_values_add(values, target->row->path, buffer_slice(&text), &err) != 0)
            refuse(&item, scalar_text(child), &err);
    }
    buffer_release(&text);
}

/* The key says the name already that these messages begin with. */
static void cut_name(struct error *err, const char *name)
{
    size_t length = strlen(name);
    const char *rest = err->message + length;
    if (strncmp(err->message, name, length) != 0)
        return;
    rest += *rest == ':';
    rest += *rest == ' ';
    memmove(err->message, rest, strlen(rest) + 1);
}

static void load_map_value(void *context, const char *key, unsigned line, yaml_node_t *node)
{
    const struct target *map = context;
    struct target target = *map;
    struct buffer text;
    struct error err;
    target.line = line;
    config_key(target.key, map->key, key);
    buffer_init(&text, CONFIG_SECRET_ROOM);
    if (take_secret(&target, node, &text)) {
        struct slice value = buffer_slice(&text);
        if (kafka_check_property(key, value, &err) != 0 ||
            option_values_put(map->load->scope->values, map->row->path, slice_of_string(key), value,
                              &err) != 0) {
            cut_name(&err, key);
            refuse(&target, slice_of(NULL, 0), &err);
        }
    }
    buffer_wipe(&text);
}

static void load_row(struct target *target, yaml_node_t *node)
{
    const struct load *load = target->load;
    switch (target->row->type) {
    case OPTION_SECRET:
        load_secret(target, node);
        break;
    case OPTION_LIST:
        load_list(target, node);
        break;
    case OPTION_MAP:
        if (node->type == YAML_MAPPING_NODE)
            config_each_key(load->loader, load->document, node, target->key, load_map_value,
                            target);
        else
            refuse_kind(target, node);
        break;
    default:
        load_scalar(target, node);
        break;
    }
}

static void remember_place(const struct target *target)
{
    struct config_loader *loader = target->load->loader;
    struct config_file *file = loader->file;
    struct config_place *grown =
        config_grow(loader, file->places, file->place_count, sizeof(*grown));
    if (!grown)
        return;
    file->places = grown;
    grown[file->place_count++] =
        (struct config_place){target->load->scope->values, target->row, target->line};
}

/* ---- keys ---- */

/* The name that `row` has at the level of `within`: "rate" of limits.rate within limits; false: it
 * stands elsewhere. */
static bool name_within(const struct option *row, const char *within, char name[64])
{
    size_t length = strlen(within);
    const char *rest = row->path;
    if (length > 0) {
        if (strncmp(rest, within, length) != 0 || rest[length] != '.')
            return false;
        rest += length + 1;
    }
    snprintf(name, 64, "%.*s", (int)strcspn(rest, "."), rest);
    return true;
}

static const struct option *find_row(const struct config_scope *scope, const char *path,
                                     bool *is_section)
{
    size_t length = strlen(path);
    *is_section = false;
    for (size_t i = 0; i < 2 && scope->tables[i]; i++) {
        for (const struct option *row = scope->tables[i]; row->path; row++) {
            if (strcmp(row->path, path) == 0)
                return row;
            if (strncmp(row->path, path, length) == 0 && row->path[length] == '.')
                *is_section = true;
        }
    }
    return NULL;
}

static void refuse_key(const struct load *load, const char *full, const char *key, unsigned line)
{
    char name[64], best[64] = "";
    struct nearest nearest;
    nearest_begin(&nearest, slice_of_string(key));
    for (size_t i = 0; i < 2 && load->scope->tables[i]; i++) {
        for (const struct option *row = load->scope->tables[i]; row->path; row++) {
            size_t edits = nearest.edits;
            if (!name_within(row, load->within, name))
                continue;
            nearest_offer(&nearest, slice_of_string(name));
            if (nearest.edits < edits)
                memcpy(best, name, sizeof(best));
        }
    }
    if (strchr(key, '.'))
        config_mistake(load->loader, line, full, "unknown key; write it as keys below each other");
    else if (best[0])
        config_mistake(load->loader, line, full, "unknown key; did you mean %s?", best);
    else
        config_mistake(load->loader, line, full, "unknown key");
}

static void load_key(void *context, const char *key, unsigned line, yaml_node_t *value)
{
    const struct load *load = context;
    struct target target = {.load = load, .line = line};
    char path[160];
    bool is_section = false;
    config_key(path, load->within, key);
    config_key(target.key, load->scope->name, path);
    target.row = strchr(key, '.') ? NULL : find_row(load->scope, path, &is_section);
    if (target.row) {
        remember_place(&target);
        load_row(&target, value);
    } else if (!strchr(key, '.') && is_section) {
        config_load_mapping(load->loader, load->document, value, line, load->scope, path);
    } else if (!load->scope->ignore_unknown) {
        refuse_key(load, target.key, key, line);
    }
}

void config_load_mapping(struct config_loader *loader, yaml_document_t *document, yaml_node_t *node,
                         unsigned line, const struct config_scope *scope, const char *within)
{
    struct load load = {loader, document, scope, within};
    char name[160];
    config_key(name, scope->name, within);
    if (config_is_mapping(node))
        config_each_key(loader, document, node, name, load_key, &load);
    else if (!config_is_nothing(node))
        config_mistake(loader, line, name, "expected a mapping (key: value), not %s",
                       config_kind(node));
}

void config_load_key(struct config_loader *loader, yaml_document_t *document, yaml_node_t *node,
                     unsigned line, const struct config_scope *scope, const char *key)
{
    struct load load = {loader, document, scope, ""};
    load_key(&load, key, line, node);
}
