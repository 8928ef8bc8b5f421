#include <ctype.h>
#include <strings.h>

#include "check.h"
#include "hash.h"
#include "ledger.h"
#include "signature.h"

#include "common/banned.h"

enum { NAMES_MAX = 16, PAIRS_MAX = 64, HASH_LEN = 64 };

/* ---- the canonical request ---- */

static int hex_digit(char digit)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = digit ? strchr(digits, tolower((unsigned char)digit)) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Decodes percent escapes; '+' is itself. To be freed. */
static char *decoded(const char *text, size_t len)
{
    char *out = must(calloc(1, len + 1));
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        int byte = text[i];
        if (text[i] == '%' && i + 2 < len && hex_digit(text[i + 1]) >= 0 &&
            hex_digit(text[i + 2]) >= 0) {
            byte = hex_digit(text[i + 1]) << 4 | hex_digit(text[i + 2]);
            i += 2;
        }
        out[n++] = (char)byte;
    }
    return out;
}

static void write_escaped(FILE *out, const char *text, bool keep_slashes)
{
    for (; *text; text++) {
        if (isalnum((unsigned char)*text) || strchr("-._~", *text) ||
            (keep_slashes && *text == '/'))
            fputc(*text, out);
        else
            fprintf(out, "%%%02X", (unsigned)(unsigned char)*text);
    }
}

/* No path of these services holds an escaped slash. */
static void write_path(FILE *out, const char *uri)
{
    size_t len = strcspn(uri, "?");
    char *path = decoded(uri, len);
    write_escaped(out, path, true);
    if (len == 0 || path[strlen(path) - 1] != '/')
        fputc('/', out);
    free(path);
}

static int pair_order(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* "name=value" with both escaped anew; '\1' sorts before any escaped byte, so that names decide. */
static char *pair_make(const char *text, size_t len)
{
    const char *equals = memchr(text, '=', len);
    size_t name_len = equals ? (size_t)(equals - text) : len;
    char *name = decoded(text, name_len);
    char *value = equals ? decoded(equals + 1, len - name_len - 1) : must_copy("");
    char *pair;
    size_t pair_len;
    FILE *out = must(open_memstream(&pair, &pair_len));
    write_escaped(out, name, false);
    fputc('\1', out);
    write_escaped(out, value, false);
    fclose(out);
    free(name);
    free(value);
    return pair;
}

static void write_query(FILE *out, const char *uri)
{
    const char *at = strchr(uri, '?');
    char *pairs[PAIRS_MAX];
    size_t count = 0;
    while (at && *at && count < PAIRS_MAX) {
        size_t len = strcspn(++at, "&");
        if (len > 0)
            pairs[count++] = pair_make(at, len);
        at += len;
    }
    qsort(pairs, count, sizeof(pairs[0]), pair_order);
    for (size_t i = 0; i < count; i++) {
        *strchr(pairs[i], '\1') = '=';
        fprintf(out, "%s%s", i ? "&" : "", pairs[i]);
        free(pairs[i]);
    }
}

/* False: a header that was signed is not there. */
static bool write_headers(FILE *out, const struct request *request, char *const *names,
                          size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *value = request_header(request, names[i]);
        size_t len;
        if (!value)
            return false;
        value += strspn(value, " \t");
        len = strlen(value);
        while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
            len--;
        fprintf(out, "%s:%.*s\n", names[i], (int)len, value);
    }
    return true;
}

static bool canonical_hash(const struct request *request, char *const *names, size_t count,
                           const char *signed_names, char hex[HASH_LEN + 1])
{
    char body_hash[HASH_LEN + 1];
    char *text;
    size_t len;
    FILE *out = must(open_memstream(&text, &len));
    bool whole;
    fprintf(out, "%s\n", request->method);
    write_path(out, request->uri);
    fputc('\n', out);
    write_query(out, request->uri);
    fputc('\n', out);
    whole = write_headers(out, request, names, count);
    hash_sha256_hex(request->body, request->body_len, body_hash);
    fprintf(out, "\n%s\n%s", signed_names, body_hash);
    fclose(out);
    hash_sha256_hex(text, len, hex);
    free(text);
    return whole;
}

/* ---- the Authorization header ---- */

struct parts {
    char key[128], scope[128], names[512], signature[HASH_LEN + 1];
};

/* The exact text up to the signature's 64 digits. */
static bool parts_read(const char *authorization, const char *algorithm, struct parts *parts)
{
    char format[128];
    int end = -1;
    memset(parts, 0, sizeof(*parts));
    if (strcmp(algorithm, "SDK-HMAC-SHA256") == 0)
        snprintf(format, sizeof(format),
                 "%s Access=%%127[^, ], SignedHeaders=%%511[^, ], Signature="
                 "%%64[0-9a-f]%%n",
                 algorithm);
    else if (strcmp(algorithm, "V11-HMAC-SHA256") == 0)
        snprintf(format, sizeof(format),
                 "%s Credential=%%127[^,/ ]/%%127[^, ], SignedHeaders="
                 "%%511[^, ], Signature=%%64[0-9a-f]%%n",
                 algorithm);
    else
        snprintf(format, sizeof(format),
                 "%s AppId=%%127[^, ],SignedHeaders=%%511[^, ],Signature="
                 "%%64[0-9a-f]%%n",
                 algorithm);
    if (strcmp(algorithm, "V11-HMAC-SHA256") == 0)
        sscanf(authorization, format, parts->key, parts->scope, parts->names, parts->signature,
               &end);
    else
        sscanf(authorization, format, parts->key, parts->names, parts->signature, &end);
    /* A blank in the format would match any run of them, or none. */
    return end > 0 && authorization[end] == '\0' && strlen(parts->signature) == HASH_LEN &&
           strstr(authorization, "  ") == NULL &&
           (strcmp(algorithm, "HMAC-SHA256") == 0) == (strstr(authorization, ", ") == NULL);
}

/* Splits "a;b;c" in place; false unless they are in lower case, sorted and different. */
static bool names_split(char *text, char **names, size_t *count)
{
    *count = 0;
    for (char *at = text; *at; at++)
        if (isupper((unsigned char)*at) || *at == '_')
            return false;
    for (char *at = text; at && *count < NAMES_MAX;) {
        char *next = strchr(at, ';');
        if (next)
            *next++ = '\0';
        if (!*at || (*count > 0 && strcmp(names[*count - 1], at) >= 0))
            return false;
        names[(*count)++] = at;
        at = next;
    }
    return true;
}

static bool names_hold(char *const *names, size_t count, const char *wanted)
{
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(names[i], wanted) == 0)
            return true;
    return false;
}

/* ---- dates ---- */

/* 20240102T030405Z */
static bool date_read(const char *text, int64_t *ms)
{
    struct tm fields = {.tm_year = 0};
    const char *end = text ? strptime(text, "%Y%m%dT%H%M%SZ", &fields) : NULL;
    if (!end || *end || strlen(text) != 16)
        return false;
    *ms = (int64_t)timegm(&fields) * 1000;
    return true;
}

/* ---- checking ---- */

static void signature_make(const struct signature_demand *demand, const char *date,
                           const char *scope, const char *hash, char hex[HASH_LEN + 1])
{
    char text[512];
    char key[HASH_LEN + 1];
    int len;
    if (strcmp(demand->algorithm, "HMAC-SHA256") == 0)
        len = snprintf(text, sizeof(text), "HMAC-SHA256\n%s", hash);
    else if (strcmp(demand->algorithm, "SDK-HMAC-SHA256") == 0)
        len = snprintf(text, sizeof(text), "SDK-HMAC-SHA256\n%s\n%s", date, hash);
    else
        len = snprintf(text, sizeof(text), "V11-HMAC-SHA256\n%s\n%s\n%s", date, scope, hash);
    if (strcmp(demand->algorithm, "V11-HMAC-SHA256") == 0) {
        hash_hkdf_hex(demand->key, demand->secret, scope, key);
        hash_hmac_sha256_hex(key, text, (size_t)len, hex);
    } else {
        hash_hmac_sha256_hex(demand->secret, text, (size_t)len, hex);
    }
}

static enum signature wrong(struct simulator *simulator, const struct request *request,
                            enum signature kind, const char *what)
{
    ledger_violation(simulator, request, "%s", what);
    return kind;
}

enum signature signature_check(struct simulator *simulator, const struct request *request,
                               const struct signature_demand *demand)
{
    const char *authorization = request_header(request, "Authorization");
    const char *date = request_header(request, demand->date_header);
    char hash[HASH_LEN + 1], hex[HASH_LEN + 1], scope[160], signed_names[512];
    char *names[NAMES_MAX];
    struct parts parts;
    size_t count;
    int64_t date_ms, ahead_ms;
    if (!authorization || !parts_read(authorization, demand->algorithm, &parts))
        return wrong(simulator, request, SIGNATURE_FORM,
                     "header Authorization: not the documented form of the algorithm demanded");
    snprintf(signed_names, sizeof(signed_names), "%s", parts.names);
    if (!names_split(parts.names, names, &count))
        return wrong(simulator, request, SIGNATURE_FORM,
                     "header Authorization: SignedHeaders not in lower case and order");
    for (const char *const *name = demand->must_sign; *name; name++)
        if (request_header(request, *name) && !names_hold(names, count, *name))
            return wrong(simulator, request, SIGNATURE_FORM,
                         "header Authorization: a header that must be signed is not");
    if (!date_read(date, &date_ms) || !names_hold(names, count, demand->date_header))
        return wrong(simulator, request, SIGNATURE_FORM, "date of the signature: missing or odd");
    if (strcmp(parts.key, demand->key) != 0)
        return wrong(simulator, request, SIGNATURE_KEY, "header Authorization: unknown key");
    snprintf(scope, sizeof(scope), "%.8s/%s", date, demand->scope ? demand->scope : "");
    if (demand->scope && strcmp(parts.scope, scope) != 0)
        return wrong(simulator, request, SIGNATURE_FORM,
                     "header Authorization: wrong day, region or service");
    if (!canonical_hash(request, names, count, signed_names, hash))
        return wrong(simulator, request, SIGNATURE_FORM,
                     "header Authorization: a signed header is missing");
    signature_make(demand, date, scope, hash, hex);
    if (strcmp(hex, parts.signature) != 0)
        return wrong(simulator, request, SIGNATURE_WRONG, "header Authorization: wrong signature");
    ahead_ms = date_ms - simulator_wall_ms(simulator);
    if (ahead_ms > demand->future_ms || -ahead_ms > demand->past_ms)
        return wrong(simulator, request, SIGNATURE_CLOCK,
                     "date of the signature: too far from the present");
    return SIGNATURE_RIGHT;
}
