#include "worker/io/http_probe.h"

#include <curl/curl.h>

#include "common/version.h"

#include "common/banned.h"

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    buffer_append(context, data, size * count);
    return size * count; /* what does not fit is left out */
}

int http_probe(const char *url, int64_t timeout_ms, struct buffer *body, struct error *err)
{
    long status = 0;
    CURL *curl = curl_easy_init();
    if (!curl)
        return error_set(err, ERROR_MEMORY, "out of memory");
    bool set = curl_easy_setopt(curl, CURLOPT_URL, url) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http") == CURLE_OK;
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "kancel/" KANCEL_VERSION);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
    CURLcode code = set ? curl_easy_perform(curl) : CURLE_OUT_OF_MEMORY;
    if (code == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(curl);
    if (code != CURLE_OK)
        return error_set(err, ERROR_TEMPORARY, "%s", curl_easy_strerror(code));
    return (int)status;
}
