#include "tests/unit/providers/vectors.h"

#include "worker/providers/huawei_sign.h"

#include "common/banned.h"

static json_t *file;
static struct buffer canonical, names, authorization, query;

static void setup(void)
{
    file = vectors_load("huawei");
    buffer_init(&canonical, 65536);
    buffer_init(&names, 65536);
    buffer_init(&authorization, 65536);
    buffer_init(&query, 65536);
}

static void teardown(void)
{
    buffer_release(&query);
    buffer_release(&authorization);
    buffer_release(&names);
    buffer_release(&canonical);
    json_decref(file);
}

static const char *text_of(const struct buffer *buffer)
{
    return buffer->len > 0 ? buffer->data : "";
}

/* As it is sent: encoded, in the order given. */
static struct slice encode_query(const json_t *pairs)
{
    size_t i;
    json_t *pair;
    buffer_clear(&query);
    json_array_foreach((json_t *)pairs, i, pair)
    {
        buffer_append_string(&query, i > 0 ? "&" : "");
        http_append_encoded(&query, slice_of_string(json_string_value(json_array_get(pair, 0))));
        buffer_append_byte(&query, '=');
        http_append_encoded(&query, slice_of_string(json_string_value(json_array_get(pair, 1))));
    }
    return buffer_slice(&query);
}

static void read_vector(const json_t *vector, struct huawei_request *request)
{
    const char *name;
    json_t *value;
    *request = (struct huawei_request){.method = vector_string(vector, "method"),
                                       .path = vector_text(vector, "path"),
                                       .query = encode_query(json_object_get(vector, "query")),
                                       .body = vector_text(vector, "body")};
    json_object_foreach(json_object_get(vector, "headers"), name, value)
        request->headers[request->header_count++] =
        (struct huawei_header){name, slice_of_string(json_string_value(value))};
}

static void sign_vector(const json_t *vector)
{
    const json_t *derived = json_object_get(vector, "derived");
    struct huawei_key key = {.access_key = vector_text(file, "accessKey"),
                             .secret_key = vector_text(file, "secretKey"),
                             .region = vector_text(derived, "region"),
                             .service = vector_text(derived, "service")};
    const json_t *headers = json_object_get(vector, "headers");
    struct slice date = vector_text(headers, "x-sdk-date");
    struct huawei_request request;
    read_vector(vector, &request);
    buffer_clear(&authorization);
    if (date.data == NULL)
        date = vector_text(headers, "X-Sdk-Date");
    if (json_is_true(json_object_get(vector, "app")))
        huawei_sign_app(&request, vector_text(file, "appId"), vector_text(file, "appSecret"),
                        &authorization);
    else
        huawei_sign(&request, &key, date, &authorization);
}

START_TEST(every_vector_is_signed_as_it_says)
{
    json_t *vector;
    size_t i;
    json_array_foreach(json_object_get(file, "vectors"), i, vector)
    {
        sign_vector(vector);
        ck_assert_msg(strcmp(text_of(&authorization), vector_string(vector, "authorization")) == 0,
                      "%s: %s", vector_string(vector, "name"), text_of(&authorization));
    }
    ck_assert_uint_ge(i, 23);
}
END_TEST

START_TEST(canonical_requests_hash_as_the_vectors_say)
{
    json_t *vector;
    size_t i, checked = 0;
    json_array_foreach(json_object_get(file, "vectors"), i, vector)
    {
        const char *expected = vector_string(vector, "canonical_sha256");
        struct huawei_request request;
        char hex[DIGEST_HEX_SIZE];
        if (expected == NULL)
            continue;
        read_vector(vector, &request);
        buffer_clear(&canonical);
        buffer_clear(&names);
        huawei_canonical(&request, &canonical, &names);
        digest_sha256_hex(buffer_slice(&canonical), hex);
        ck_assert_msg(strcmp(hex, expected) == 0, "%s:\n%s", vector_string(vector, "name"),
                      text_of(&canonical));
        checked++;
    }
    ck_assert_uint_ge(checked, 4);
}
END_TEST

/* The request's canonical form has this line; counted from 0. */
static void assert_line(struct huawei_request *request, unsigned number, const char *expected)
{
    buffer_clear(&canonical);
    buffer_clear(&names);
    huawei_canonical(request, &canonical, &names);
    struct slice rest = buffer_slice(&canonical);
    for (;; number--) {
        const char *end = memchr(rest.data, '\n', rest.len);
        ck_assert_ptr_nonnull(end);
        size_t len = (size_t)(end - rest.data);
        if (number == 0) {
            ck_assert_msg(slice_equals(slice_of(rest.data, len), expected), "%.*s, not %s",
                          (int)len, rest.data, expected);
            return;
        }
        rest = slice_of(end + 1, rest.len - len - 1);
    }
}

static void assert_query(struct slice sent, const char *expected)
{
    struct huawei_request request = {.method = "GET", .query = sent};
    assert_line(&request, 2, expected);
}

START_TEST(queries_are_encoded_once_and_sorted)
{
    json_t *one;
    size_t i;
    json_array_foreach(json_object_get(file, "queries"), i, one)
        assert_query(encode_query(json_object_get(one, "query")), vector_string(one, "canonical"));
    assert_query(slice_of_string("b=2&a=%20&a=%2b&a"), "a=&a=%20&a=%2B&b=2");
    assert_query(slice_of_string("a+b=1+1"), "a%2Bb=1%2B1");
    assert_query(slice_of_string("ab=1&a=2&a-=3"), "a=2&a-=3&ab=1"); /* by name, not as one text */
    assert_query(slice_of(NULL, 0), "");
}
END_TEST

static void assert_path(const char *sent, const char *expected)
{
    struct huawei_request request = {.method = "GET", .path = slice_of_string(sent)};
    assert_line(&request, 1, expected);
}

START_TEST(paths_end_in_one_slash_and_are_encoded_once)
{
    assert_path("", "/");
    assert_path("/", "/");
    assert_path("/a", "/a/");
    assert_path("/a/", "/a/");
    assert_path("/a b/*~", "/a%20b/%2A~/");
    assert_path("/a%20b/%2a%7E", "/a%20b/%2A~/");
    assert_path("/a%2Fb", "/a%2Fb/"); /* a slash within a segment stays one */
    assert_path("/100%", "/100%25/");
    assert_path("/描述", "/%E6%8F%8F%E8%BF%B0/");
}
END_TEST

START_TEST(headers_are_lowered_trimmed_and_sorted_and_those_with_underscores_left_out)
{
    struct huawei_request request = {.method = "GET",
                                     .headers = {{"X-Sdk-Date", SLICE("D")},
                                                 {"My_Header", SLICE("x")},
                                                 {"Host", SLICE(" \th  h\t ")},
                                                 {"X-Empty", SLICE("")}},
                                     .header_count = 4};
    static const char expected[] =
        "GET\n/\n\nhost:h  h\nx-empty:\nx-sdk-date:D\n\nhost;x-empty;x-sdk-date\n"
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    huawei_canonical(&request, &canonical, &names);
    ck_assert_str_eq(text_of(&canonical), expected);
}
END_TEST

START_TEST(body_is_hashed_as_it_is)
{
    struct huawei_request request = {.method = "POST", .body = slice_of_string("{}")};
    huawei_canonical(&request, &canonical, &names);
    ck_assert_ptr_nonnull(strstr(
        text_of(&canonical), "\n44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"));
}
END_TEST

START_TEST(keys_are_derived_as_the_vectors_say)
{
    uint8_t bytes[DIGEST_BYTES];
    char hex[DIGEST_HEX_SIZE];
    json_t *one;
    size_t i;
    json_array_foreach(json_object_get(file, "derivations"), i, one)
    {
        huawei_derive(vector_text(one, "salt"), vector_text(one, "secret"),
                      vector_text(one, "info"), bytes);
        hex_encode(bytes, sizeof bytes, hex);
        ck_assert_int_eq(strncmp(hex, vector_string(one, "begins"), vector_text(one, "begins").len),
                         0);
    }
    ck_assert_uint_eq(i, 3);
    json_array_foreach(json_object_get(file, "extractions"), i, one)
    {
        digest_hmac_sha256_hex(vector_text(one, "salt"), vector_text(one, "secret"), hex);
        ck_assert_str_eq(hex, vector_string(one, "key"));
    }
}
END_TEST

START_TEST(host_is_what_clients_send)
{
    static const struct {
        const char *endpoint, *host;
    } rows[] = {
        {"https://A.example", "a.example"},
        {"https://a.example:443", "a.example"},
        {"https://a.example:8443/p", "a.example:8443"},
        {"http://a.example:80", "a.example"},
        {"http://a.example:443", "a.example:443"},
        {"http://[::1]:80", "[::1]"},
        {"HTTPS://A.example:443/x", "a.example"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buffer_clear(&names);
        huawei_append_host(&names, rows[i].endpoint);
        ck_assert_str_eq(text_of(&names), rows[i].host);
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("huawei_sign");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, every_vector_is_signed_as_it_says);
    tcase_add_test(tests, canonical_requests_hash_as_the_vectors_say);
    tcase_add_test(tests, queries_are_encoded_once_and_sorted);
    tcase_add_test(tests, paths_end_in_one_slash_and_are_encoded_once);
    tcase_add_test(tests,
                   headers_are_lowered_trimmed_and_sorted_and_those_with_underscores_left_out);
    tcase_add_test(tests, body_is_hashed_as_it_is);
    tcase_add_test(tests, keys_are_derived_as_the_vectors_say);
    tcase_add_test(tests, host_is_what_clients_send);
    return unit_run("huawei_sign", tests);
}
