/* Base64 (RFC 4648): the standard alphabet with padding, and the URL-safe one without. */
#ifndef KANCEL_COMMON_BASE64_H
#define KANCEL_COMMON_BASE64_H

#include "common/buffer.h"

void base64_encode(struct buffer *out, struct slice bytes);
void base64url_encode(struct buffer *out, struct slice bytes);
/* Strict: no blanks, padding right or absent, no stray bits. False: not base64; `out` is then as
 * before. */
bool base64_decode(struct buffer *out, struct slice text) MUST_CHECK;
bool base64url_decode(struct buffer *out, struct slice text) MUST_CHECK;

#endif
