#include "worker/providers/huawei_sign.h"

#include <stdlib.h>
#include <strings.h>

#include "common/banned.h"

enum {
    CANONICAL_BYTES = 512 * 1024, /* the longest URL three times, all headers */
    PARAMETERS_MOST = 32,
};

/* ---- encoding -------------------------------------------------------------------------------- */

static int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

/* Undoes the escapes, then escapes anew: the outcome is the same for both forms of a text. */
static void append_encoded(struct buffer *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.data[i];
        if (byte == '%' && i + 2 < text.len && hex_value(text.data[i + 1]) >= 0 &&
            hex_value(text.data[i + 2]) >= 0) {
            byte = (char)(hex_value(text.data[i + 1]) * 16 + hex_value(text.data[i + 2]));
            i += 2;
        }
        http_append_encoded(out, slice_of(&byte, 1));
    }
}

/* Each segment encoded, with a slash at the end. */
static void append_path(struct buffer *out, struct slice path)
{
    while (path.len > 0) {
        const char *slash = memchr(path.data, '/', path.len);
        size_t len = slash != NULL ? (size_t)(slash - path.data) : path.len;
        append_encoded(out, slice_of(path.data, len));
        if (slash != NULL)
            buffer_append_byte(out, '/');
        len += slash != NULL;
        path = slice_of(path.data + len, path.len - len);
    }
    if (out->len == 0 || buffer_slice(out).data[out->len - 1] != '/')
        buffer_append_byte(out, '/');
}

/* "name=value", encoded; a name without value has an empty one. */
static void encode_parameter(struct buffer *out, struct slice text)
{
    const char *equals = text.len > 0 ? memchr(text.data, '=', text.len) : NULL;
    size_t len = equals != NULL ? (size_t)(equals - text.data) : text.len;
    append_encoded(out, slice_of(text.data, len));
    buffer_append_byte(out, '=');
    if (equals != NULL)
        append_encoded(out, slice_of(equals + 1, text.len - len - 1));
}

static int compare_texts(struct slice a, struct slice b)
{
    size_t both = a.len < b.len ? a.len : b.len;
    int order = both > 0 ? memcmp(a.data, b.data, both) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* By name, then by value. '=' is escaped in both, so the first one parts them. */
static int compare_parameters(const void *left, const void *right)
{
    struct slice a = buffer_slice(left), b = buffer_slice(right);
    const char *a_end = memchr(a.data, '=', a.len), *b_end = memchr(b.data, '=', b.len);
    if (a_end == NULL || b_end == NULL)
        return 0; /* out of memory, which is told later */
    int order = compare_texts(slice_of(a.data, (size_t)(a_end - a.data)),
                              slice_of(b.data, (size_t)(b_end - b.data)));
    return order != 0 ? order : compare_texts(a, b);
}

static void append_query(struct buffer *out, struct slice query)
{
    struct buffer parameters[PARAMETERS_MOST];
    size_t count = 0;
    while (query.len > 0 && count < PARAMETERS_MOST) {
        const char *end = memchr(query.data, '&', query.len);
        size_t len = end != NULL ? (size_t)(end - query.data) : query.len;
        buffer_init(&parameters[count], CANONICAL_BYTES);
        encode_parameter(&parameters[count++], slice_of(query.data, len));
        len += end != NULL;
        query = slice_of(query.data + len, query.len - len);
    }
    if (count > 1)
        qsort(parameters, count, sizeof *parameters, compare_parameters);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buffer_append_byte(out, '&');
        buffer_append_slice(out, buffer_slice(&parameters[i]));
        buffer_release(&parameters[i]);
    }
}

/* ---- headers --------------------------------------------------------------------------------- */

static int compare_headers(const void *left, const void *right)
{
    return strcasecmp(((const struct huawei_header *)left)->name,
                      ((const struct huawei_header *)right)->name);
}

static void append_lower(struct buffer *out, const char *name)
{
    for (; *name != '\0'; name++)
        buffer_append_byte(out, (char)(*name >= 'A' && *name <= 'Z' ? *name - 'A' + 'a' : *name));
}

static struct slice trimmed(struct slice text)
{
    while (text.len > 0 && (*text.data == ' ' || *text.data == '\t'))
        text = slice_of(text.data + 1, text.len - 1);
    while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
        text.len--;
    return text;
}

static void append_headers(struct huawei_request *request, struct buffer *out, struct buffer *names)
{
    qsort(request->headers, request->header_count, sizeof *request->headers, compare_headers);
    for (size_t i = 0; i < request->header_count; i++) {
        const struct huawei_header *header = &request->headers[i];
        if (strchr(header->name, '_') != NULL)
            continue;
        append_lower(out, header->name);
        buffer_append_byte(out, ':');
        buffer_append_slice(out, trimmed(header->value));
        buffer_append_byte(out, '\n');
        if (names->len > 0)
            buffer_append_byte(names, ';');
        append_lower(names, header->name);
    }
}

void huawei_canonical(struct huawei_request *request, struct buffer *canonical,
                      struct buffer *names)
{
    struct buffer path;
    char hash[DIGEST_HEX_SIZE];
    buffer_init(&path, CANONICAL_BYTES);
    append_path(&path, request->path);
    buffer_append_string(canonical, request->method);
    buffer_append_byte(canonical, '\n');
    buffer_append_slice(canonical, buffer_slice(&path));
    buffer_append_byte(canonical, '\n');
    append_query(canonical, request->query);
    buffer_append_byte(canonical, '\n');
    append_headers(request, canonical, names);
    buffer_append_byte(canonical, '\n');
    buffer_append_slice(canonical, buffer_slice(names));
    buffer_append_byte(canonical, '\n');
    digest_sha256_hex(request->body, hash);
    buffer_append_string(canonical, hash);
    buffer_release(&path);
}

/* The canonical request may hold a security token. */
static void hash_canonical(struct huawei_request *request, char hash[DIGEST_HEX_SIZE],
                           struct buffer *names)
{
    struct buffer canonical;
    buffer_init(&canonical, CANONICAL_BYTES);
    huawei_canonical(request, &canonical, names);
    digest_sha256_hex(buffer_slice(&canonical), hash);
    buffer_wipe(&canonical);
}

/* ---- signatures ------------------------------------------------------------------------------ */

void huawei_derive(struct slice salt, struct slice secret, struct slice info,
                   uint8_t out[DIGEST_BYTES])
{
    uint8_t extracted[DIGEST_BYTES];
    struct buffer text;
    buffer_init(&text, CANONICAL_BYTES);
    digest_hmac_sha256(salt, secret, extracted);
    buffer_append_slice(&text, info);
    buffer_append_byte(&text, '\x01');
    digest_hmac_sha256(slice_of((const char *)extracted, sizeof extracted), buffer_slice(&text),
                       out);
    digest_wipe(extracted, sizeof extracted);
    buffer_release(&text);
}

/* "20240102/cn-north-4/iotdm" */
static void append_scope(struct buffer *out, const struct huawei_key *key, struct slice date)
{
    buffer_append_format(out, "%.8s/%.*s/%.*s", date.len >= 8 ? date.data : "",
                         SLICE_ARG(key->region), SLICE_ARG(key->service));
}

static void sign_standard(const struct huawei_key *key, struct slice date, const char *hash,
                          char signature[DIGEST_HEX_SIZE])
{
    struct buffer text;
    buffer_init(&text, CANONICAL_BYTES);
    buffer_append_format(&text, "SDK-HMAC-SHA256\n%.*s\n%s", SLICE_ARG(date), hash);
    digest_hmac_sha256_hex(key->secret_key, buffer_slice(&text), signature);
    buffer_release(&text);
}

/* The key is the text of the derived key's hex digits, not its bytes. */
static void sign_derived(const struct huawei_key *key, struct slice date, struct slice scope,
                         const char *hash, char signature[DIGEST_HEX_SIZE])
{
    uint8_t derived[DIGEST_BYTES];
    char derived_hex[DIGEST_HEX_SIZE];
    struct buffer text;
    buffer_init(&text, CANONICAL_BYTES);
    huawei_derive(key->access_key, key->secret_key, scope, derived);
    hex_encode(derived, sizeof derived, derived_hex);
    buffer_append_format(&text, "V11-HMAC-SHA256\n%.*s\n%.*s\n%s", SLICE_ARG(date),
                         SLICE_ARG(scope), hash);
    digest_hmac_sha256_hex(slice_of_string(derived_hex), buffer_slice(&text), signature);
    digest_wipe(derived, sizeof derived);
    digest_wipe(derived_hex, sizeof derived_hex);
    buffer_release(&text);
}

void huawei_sign(struct huawei_request *request, const struct huawei_key *key, struct slice date,
                 struct buffer *authorization)
{
    char hash[DIGEST_HEX_SIZE], signature[DIGEST_HEX_SIZE];
    struct buffer names, scope;
    bool derived = key->region.data != NULL;
    buffer_init(&names, CANONICAL_BYTES);
    buffer_init(&scope, CANONICAL_BYTES);
    hash_canonical(request, hash, &names);
    if (derived) {
        append_scope(&scope, key, date);
        sign_derived(key, date, buffer_slice(&scope), hash, signature);
        buffer_append_format(authorization, "V11-HMAC-SHA256 Credential=%.*s/%.*s",
                             SLICE_ARG(key->access_key), SLICE_ARG(buffer_slice(&scope)));
    } else {
        sign_standard(key, date, hash, signature);
        buffer_append_format(authorization, "SDK-HMAC-SHA256 Access=%.*s",
                             SLICE_ARG(key->access_key));
    }
    buffer_append_format(authorization, ", SignedHeaders=%.*s, Signature=%s",
                         SLICE_ARG(buffer_slice(&names)), signature);
    buffer_release(&scope);
    buffer_release(&names);
}

void huawei_sign_app(struct huawei_request *request, struct slice app_id, struct slice app_secret,
                     struct buffer *authorization)
{
    char hash[DIGEST_HEX_SIZE], signature[DIGEST_HEX_SIZE];
    char text[sizeof "HMAC-SHA256\n" + DIGEST_HEX_SIZE];
    struct buffer names;
    buffer_init(&names, CANONICAL_BYTES);
    hash_canonical(request, hash, &names);
    snprintf(text, sizeof text, "HMAC-SHA256\n%s", hash);
    digest_hmac_sha256_hex(app_secret, slice_of_string(text), signature);
    buffer_append_format(authorization, "HMAC-SHA256 AppId=%.*s,SignedHeaders=%.*s,Signature=%s",
                         SLICE_ARG(app_id), SLICE_ARG(buffer_slice(&names)), signature);
    buffer_release(&names);
}

/* ---- for the drivers ------------------------------------------------------------------------- */

void huawei_request_of(const struct http_request *sent, const char *const *names,
                       struct huawei_request *request)
{
    static const char *const methods[] = {
        [HTTP_GET] = "GET", [HTTP_POST] = "POST", [HTTP_DELETE] = "DELETE"};
    struct slice url = buffer_slice(&sent->url);
    const char *end = url.data + url.len;
    const char *scheme = strstr(url.data, "://");
    const char *path = scheme != NULL ? scheme + 3 + strcspn(scheme + 3, "/?") : end;
    const char *query = path + strcspn(path, "?");
    *request = (struct huawei_request){.method = methods[sent->method],
                                       .path = slice_of(path, (size_t)(query - path)),
                                       .body = buffer_slice(&sent->body)};
    if (*query == '?')
        request->query = slice_of(query + 1, (size_t)(end - query - 1));
    for (size_t i = 0; i < sent->header_count; i++)
        for (const char *const *name = names; *name != NULL; name++)
            if (strcasecmp(sent->headers[i].name, *name) == 0)
                request->headers[request->header_count++] = (struct huawei_header){
                    sent->headers[i].name, buffer_slice(&sent->headers[i].value)};
}

void huawei_append_host(struct buffer *out, const char *endpoint)
{
    const char *scheme = strstr(endpoint, "://");
    const char *host = scheme != NULL ? scheme + 3 : endpoint;
    struct slice authority = slice_of(host, strcspn(host, "/?#"));
    bool secure = strncasecmp(endpoint, "https:", 6) == 0;
    const char *port = secure ? ":443" : ":80";
    if (slice_ends_with(authority, port))
        authority.len -= strlen(port);
    for (size_t i = 0; i < authority.len; i++) {
        char byte = authority.data[i];
        buffer_append_byte(out, (char)(byte >= 'A' && byte <= 'Z' ? byte - 'A' + 'a' : byte));
    }
}
