#include "common/json.h"

#include "common/json_plain.h"
#include "common/json_value.h"

#include "common/banned.h"

/* A larger number with a fraction or an exponent is most likely rounded. */
#define MOST_WHOLE_REAL (INT64_C(1) << 53)

enum {
    /* So many values wait for their list or object to be complete without malloc. */
    FEW_PENDING = 64,
    /* The first block of a document: what usual text needs, within bounds. */
    BLOCK_PER_BYTE = 6,
    BLOCK_LEAST = 512,
    BLOCK_MOST = 64 * 1024,
    /* Longer exponents need no exact count. */
    ENOUGH = 1000 * 1000 * 1000,
};

struct block {
    struct block *next;
    struct json_value room[];
};

/* What a document needs is taken from blocks, and all of it goes at once. */
struct json_document {
    struct json_value root;
    char *room; /* what is left of the newest block */
    size_t room_len;
    size_t block_size;
    struct block *blocks; /* those after the first */
    struct json_value first_room[];
};

struct reader {
    const char *start, *at, *end;
    struct json_document *document;
    /* A stack of the values whose list or object is not complete. */
    struct json_value *pending, *few_pending;
    size_t pending_count, pending_capacity;
    struct error *err;
};

static int read_value(struct reader *r, unsigned most_depth, struct json_value *value);

/* ---- memory -------------------------------------------------------------------------------------
 */

static struct json_document *document_new(size_t text_len)
{
    size_t size = text_len < BLOCK_MOST / BLOCK_PER_BYTE ? text_len * BLOCK_PER_BYTE : BLOCK_MOST;
    if (size < BLOCK_LEAST)
        size = BLOCK_LEAST;
    struct json_document *document = malloc(sizeof(*document) + size);
    if (document == NULL)
        return NULL;
    document->room = (char *)document->first_room;
    document->room_len = size;
    document->block_size = size;
    document->blocks = NULL;
    return document;
}

static int add_block(struct reader *r, size_t least)
{
    struct json_document *document = r->document;
    if (document->block_size < BLOCK_MOST)
        document->block_size *= 2;
    size_t size = document->block_size > least ? document->block_size : least;
    struct block *block = malloc(sizeof(*block) + size);
    if (block == NULL)
        return error_set(r->err, ERROR_MEMORY, "out of memory");
    block->next = document->blocks;
    document->blocks = block;
    document->room = (char *)block->room;
    document->room_len = size;
    return 0;
}

/* Aligned for values and pointers; NULL when out of memory. */
static void *take(struct reader *r, size_t size)
{
    const size_t alignment = _Alignof(struct json_value);
    size = (size + alignment - 1) / alignment * alignment;
    if (size > r->document->room_len && add_block(r, size) != 0)
        return NULL;
    void *piece = r->document->room;
    r->document->room += size;
    r->document->room_len -= size;
    return piece;
}

static int grow_pending(struct reader *r)
{
    size_t capacity = r->pending_capacity * 2;
    struct json_value *pending = malloc(capacity * sizeof(*pending));
    if (pending == NULL)
        return error_set(r->err, ERROR_MEMORY, "out of memory");
    memcpy(pending, r->pending, r->pending_count * sizeof(*pending));
    if (r->pending != r->few_pending)
        free(r->pending);
    r->pending = pending;
    r->pending_capacity = capacity;
    return 0;
}

/* ---- refusing -----------------------------------------------------------------------------------
 */

/* Lines and columns from 1, columns in characters; the end of the text counts as its last one. The
 * text itself is not quoted. */
static int refuse(const struct reader *r, const char *at, const char *what)
{
    size_t line = 1;
    size_t column = 1;
    if (at == r->end)
        at--;
    for (const char *before = r->start; before < at; before++) {
        if (*before == '\n') {
            line++;
            column = 1;
        } else if ((*before & 0xc0) != 0x80) {
            column++;
        }
    }
    return error_set(r->err, ERROR_INPUT, "line %zu, column %zu: %s", line, column, what);
}

static int refuse_here(const struct reader *r, const char *what)
{
    if (r->at == r->end)
        return refuse(r, r->at, "the text ends within a value");
    return refuse(r, r->at, *r->at == '\0' ? "a NUL byte" : what);
}

/* ---- strings ------------------------------------------------------------------------------------
 */

/* Four hex digits at `at`; false when they are not there. */
static bool hex_unit(const char *at, const char *end, uint32_t *unit)
{
    if (end - at < 4)
        return false;
    *unit = 0;
    for (int i = 0; i < 4; i++) {
        unsigned char digit = (unsigned char)at[i];
        unsigned char low = digit | 0x20;
        if (digit >= '0' && digit <= '9')
            *unit = *unit << 4 | (uint32_t)(digit - '0');
        else if (low >= 'a' && low <= 'f')
            *unit = *unit << 4 | (uint32_t)(low - 'a' + 10);
        else
            return false;
    }
    return true;
}

static char *put_utf8(char *out, uint32_t code)
{
    static const unsigned char marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t len = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(marks[len] | code);
    return out + len;
}

/* The character of the escape that `*at` points to, which comes behind it (of a surrogate pair
 * behind both). NULL, or what is wrong. */
static const char *read_escape(const char **at, const char *end, uint32_t *code)
{
    static const char escapes[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    const char *escape = memchr(escapes, (*at)[1], sizeof(escapes) - 1);
    uint32_t low;
    if (escape != NULL) {
        *code = (unsigned char)meanings[escape - escapes];
        *at += 2;
        return NULL;
    }
    if ((*at)[1] != 'u' || !hex_unit(*at + 2, end, code))
        return "not JSON";
    *at += 6;
    if (*code == 0)
        return "a NUL character in a string";
    if (*code < 0xd800 || *code > 0xdfff)
        return NULL;
    if (*code > 0xdbff || end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u' ||
        !hex_unit(*at + 2, end, &low) || low < 0xdc00 || low > 0xdfff)
        return "not JSON"; /* half a pair */
    *at += 6;
    *code = 0x10000 + ((*code - 0xd800) << 10) + (low - 0xdc00);
    return NULL;
}

/* `written` stands between quotes and has escapes; none is shorter than what it means. */
static int decode_string(struct reader *r, struct slice written, struct slice *text)
{
    const char *at = written.data;
    const char *end = at + written.len;
    char *decoded = take(r, written.len);
    char *out = decoded;
    if (decoded == NULL)
        return -1;
    while (at < end) {
        if (*at != '\\') {
            *out++ = *at++;
            continue;
        }
        uint32_t code;
        const char *wrong = read_escape(&at, end, &code);
        if (wrong != NULL)
            return refuse(r, at, wrong);
        out = put_utf8(out, code);
    }
    *text = slice_of(decoded, (size_t)(out - decoded));
    return 0;
}

/* `r->at` is a quote. */
static int read_string(struct reader *r, struct slice *text)
{
    const char *start = ++r->at;
    bool escaped = false;
    for (;;) {
        r->at = json_skip_plain(r->at, r->end);
        if (r->at == r->end)
            return refuse_here(r, "not JSON");
        unsigned char byte = (unsigned char)*r->at;
        if (byte == '"')
            break;
        if (byte < 0x20)
            return refuse_here(r, "not JSON");
        if (byte == '\\') {
            escaped = true;
            r->at++;
            if (r->at == r->end)
                return refuse_here(r, "not JSON");
        }
        size_t len = slice_utf8_first(slice_of(r->at, (size_t)(r->end - r->at)));
        if (len == 0)
            return refuse_here(r, "not UTF-8");
        r->at += len;
    }
    *text = slice_of(start, (size_t)(r->at - start));
    r->at++;
    return escaped ? decode_string(r, *text, text) : 0;
}

/* ---- numbers ------------------------------------------------------------------------------------
 */

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at;
}

/* `number` times ten to the power, up to MOST_WHOLE_REAL. */
static bool scale(int64_t *number, int64_t power)
{
    for (; power > 0 && *number != 0; power--) {
        *number *= 10;
        if (*number > MOST_WHOLE_REAL)
            return false;
    }
    return power >= 0 || *number == 0;
}

static int64_t exponent_of(struct slice raw, size_t at)
{
    int64_t exponent = 0;
    bool negative = raw.data[at] == '-';
    for (at += negative || raw.data[at] == '+'; at < raw.len && exponent < ENOUGH; at++)
        exponent = exponent * 10 + (raw.data[at] - '0');
    return negative ? -exponent : exponent;
}

/* `raw` is a number with a fraction or an exponent. Exact: nothing is rounded to a whole number. */
static bool whole_of_real(struct slice raw, int64_t *number)
{
    bool negative = raw.data[0] == '-';
    bool in_fraction = false;
    int64_t sum = 0;   /* of the digits up to the last one that is not 0 */
    int64_t zeros = 0; /* behind that one */
    int64_t power = 0;
    for (size_t i = negative; i < raw.len; i++) {
        char byte = raw.data[i];
        if (byte == '.') {
            in_fraction = true;
        } else if (byte == 'e' || byte == 'E') {
            power += exponent_of(raw, i + 1);
            break;
        } else {
            power -= in_fraction;
            zeros++;
            if (byte == '0')
                continue;
            if (!scale(&sum, zeros))
                return false;
            zeros = 0;
            sum += byte - '0';
        }
    }
    if (!scale(&sum, power + zeros) || sum > MOST_WHOLE_REAL)
        return false;
    *number = negative ? -sum : sum;
    return true;
}

/* `r->at` is a minus or a digit. */
static int read_number(struct reader *r, struct json_value *value)
{
    const char *start = r->at;
    const char *first = start + (*start == '-');
    r->at = skip_digits(first, r->end);
    if (r->at == first)
        return refuse_here(r, "not JSON");
    if (*first == '0' && r->at - first > 1)
        return refuse(r, first, "not JSON");
    bool real = false;
    if (r->at < r->end && *r->at == '.') {
        real = true;
        first = ++r->at;
        r->at = skip_digits(first, r->end);
        if (r->at == first)
            return refuse_here(r, "not JSON");
    }
    if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
        real = true;
        r->at++;
        if (r->at < r->end && (*r->at == '+' || *r->at == '-'))
            r->at++;
        first = r->at;
        r->at = skip_digits(first, r->end);
        if (r->at == first)
            return refuse_here(r, "not JSON");
    }
    struct slice raw = slice_of(start, (size_t)(r->at - start));
    value->kind = JSON_NUMBER;
    value->holds = real ? whole_of_real(raw, &value->number) : slice_to_int64(raw, &value->number);
    return 0;
}

/* ---- lists and objects --------------------------------------------------------------------------
 */

static bool is_at(const struct reader *r, char byte)
{
    return r->at < r->end && *r->at == byte;
}

static void skip_blanks(struct reader *r)
{
    while (r->at < r->end && *r->at <= ' ' &&
           (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t'))
        r->at++;
}

/* Of two equal names the earlier member comes first. */
static int compare_members(const void *left, const void *right)
{
    const struct json_value *a = *(const struct json_value *const *)left;
    const struct json_value *b = *(const struct json_value *const *)right;
    int order = json_compare_names(a->name, b->name);
    return order != 0 ? order : a < b ? -1 : a > b;
}

/* The first member that has the name of an earlier one; NULL: none. */
static const struct json_value *find_repeated(const struct json_value *items, size_t count)
{
    if (count <= JSON_FEW_MEMBERS) {
        for (size_t i = 1; i < count; i++) {
            for (size_t j = 0; j < i; j++) {
                if (slice_equal(items[i].name, items[j].name))
                    return &items[i];
            }
        }
        return NULL;
    }
    const struct json_value **index = json_index_of(items, count);
    for (size_t i = 0; i < count; i++)
        index[i] = &items[i];
    qsort(index, count, sizeof(*index), compare_members);
    for (size_t i = 1; i < count; i++) {
        if (slice_equal(index[i - 1]->name, index[i]->name))
            return index[i];
    }
    return NULL;
}

/* Moves what is pending from `first` on into the document. */
static int complete(struct reader *r, size_t first, bool is_map, struct json_value *value)
{
    size_t count = r->pending_count - first;
    size_t index_len = is_map && count > JSON_FEW_MEMBERS ? count * sizeof(struct json_value *) : 0;
    struct json_value *items = take(r, count * sizeof(*items) + index_len);
    if (items == NULL)
        return -1;
    memcpy(items, r->pending + first, count * sizeof(*items));
    r->pending_count = first;
    value->items = items;
    value->count = count;
    const struct json_value *repeated = is_map ? find_repeated(items, count) : NULL;
    if (repeated == NULL)
        return 0;
    const char *at = repeated->raw.data - 1;
    while (*at != '"') /* that ends the name */
        at--;
    return refuse(r, at, "a member name that the object already has");
}

static int read_item(struct reader *r, bool is_map, unsigned most_depth)
{
    struct json_value item = {0};
    if (is_map) {
        if (!is_at(r, '"'))
            return refuse_here(r, "not JSON");
        if (read_string(r, &item.name) != 0)
            return -1;
        skip_blanks(r);
        if (!is_at(r, ':'))
            return refuse_here(r, "not JSON");
        r->at++;
        skip_blanks(r);
    }
    if (read_value(r, most_depth, &item) != 0)
        return -1;
    if (r->pending_count == r->pending_capacity && grow_pending(r) != 0)
        return -1;
    r->pending[r->pending_count++] = item;
    skip_blanks(r);
    return 0;
}

/* `r->at` is an opening bracket. */
static int read_items(struct reader *r, unsigned most_depth, struct json_value *value)
{
    bool is_map = *r->at == '{';
    char close = is_map ? '}' : ']';
    size_t first = r->pending_count;
    value->kind = is_map ? JSON_MAP : JSON_LIST;
    if (most_depth == 0)
        return refuse(r, r->at, "nested too deeply");
    r->at++;
    skip_blanks(r);
    if (is_at(r, close)) {
        r->at++;
        return 0;
    }
    for (;;) {
        if (read_item(r, is_map, most_depth - 1) != 0)
            return -1;
        if (!is_at(r, ','))
            break;
        r->at++;
        skip_blanks(r);
    }
    if (!is_at(r, close))
        return refuse_here(r, "not JSON");
    r->at++;
    return complete(r, first, is_map, value);
}

/* ---- values -------------------------------------------------------------------------------------
 */

static int read_word(struct reader *r, struct json_value *value)
{
    const char *start = r->at;
    while (r->at < r->end && ((*r->at >= 'a' && *r->at <= 'z') || (*r->at >= 'A' && *r->at <= 'Z')))
        r->at++;
    struct slice word = slice_of(start, (size_t)(r->at - start));
    value->holds = slice_equals(word, "true");
    if (value->holds || slice_equals(word, "false"))
        value->kind = JSON_BOOL;
    else if (!slice_equals(word, "null"))
        return word.len == 0 ? refuse_here(r, "not JSON") : refuse(r, r->at - 1, "not JSON");
    return 0;
}

/* `value` is all zeros; its name may be set. */
static int read_value(struct reader *r, unsigned most_depth, struct json_value *value)
{
    const char *start = r->at;
    char byte = start < r->end ? *start : '\0';
    int rc;
    if (byte == '"') {
        value->kind = JSON_TEXT;
        rc = read_string(r, &value->text);
    } else if (byte == '{' || byte == '[') {
        rc = read_items(r, most_depth, value);
    } else if (byte == '-' || (byte >= '0' && byte <= '9')) {
        rc = read_number(r, value);
    } else {
        rc = read_word(r, value);
    }
    value->raw = slice_of(start, (size_t)(r->at - start));
    return rc;
}

static int read_document(struct reader *r, unsigned most_depth)
{
    struct json_value root = {0};
    if (slice_starts_with(slice_of(r->start, (size_t)(r->end - r->start)), "\xef\xbb\xbf"))
        return error_set(r->err, ERROR_INPUT,
                         "starts with a byte order mark; expected plain UTF-8");
    skip_blanks(r);
    if (r->at == r->end)
        return error_set(r->err, ERROR_INPUT, "empty; expected a JSON value");
    if (read_value(r, most_depth, &root) != 0)
        return -1;
    skip_blanks(r);
    if (r->at != r->end)
        return refuse_here(r, "more text behind the value");
    r->document->root = root;
    return 0;
}

struct json_document *json_document_parse(struct slice text, size_t most_bytes, unsigned most_depth,
                                          struct error *err)
{
    struct json_value few_pending[FEW_PENDING];
    if (text.len > most_bytes) {
        error_set(err, ERROR_INPUT, "%zu bytes; expected at most %zu", text.len, most_bytes);
        return NULL;
    }
    if (text.data == NULL)
        text = slice_of("", 0);
    struct json_document *document = document_new(text.len);
    if (document == NULL) {
        error_set(err, ERROR_MEMORY, "out of memory");
        return NULL;
    }
    struct reader r = {.start = text.data,
                       .at = text.data,
                       .end = text.data + text.len,
                       .document = document,
                       .pending = few_pending,
                       .few_pending = few_pending,
                       .pending_capacity = FEW_PENDING,
                       .err = err};
    int rc = read_document(&r, most_depth);
    if (r.pending != few_pending)
        free(r.pending);
    if (rc == 0)
        return document;
    json_document_free(document);
    return NULL;
}

void json_document_free(struct json_document *document)
{
    if (document == NULL)
        return;
    for (struct block *block = document->blocks, *next; block != NULL; block = next) {
        next = block->next;
        free(block);
    }
    free(document);
}

const struct json_value *json_document_root(const struct json_document *document)
{
    return &document->root;
}

struct slice json_document_raw(const struct json_document *document, const char *name)
{
    const struct json_value *value = json_value_get(&document->root, name);
    return value != NULL ? value->raw : slice_of(NULL, 0);
}
