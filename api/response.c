/* SPDX-License-Identifier: Apache-2.0 */
#include "api/response.h"

#include <stdarg.h>

#include "agent/base/json_write.h"
#include "agent/base/text.h"

static const struct {
	unsigned status;
	const char *words; /* "message" of the Amphora API; the details say what happened */
} meanings[_ERROR_CODE_MAX] = {
	[ERROR_INTERNAL] = {500, "Internal Server Error"},
	[ERROR_INVALID] = {400, "Invalid request"},
	[ERROR_FORBIDDEN] = {403, "Forbidden"},
	[ERROR_NOT_FOUND] = {404, "Not Found"},
	[ERROR_METHOD] = {405, "Method Not Allowed"},
	[ERROR_CONFLICT] = {409, "Conflict"},
	[ERROR_STALE] = {412, "Precondition Failed"},
	[ERROR_TOO_LARGE] = {413, "Request Entity Too Large"},
	[ERROR_MEDIA_TYPE] = {415, "Unsupported Media Type"},
	[ERROR_UNSUPPORTED] = {501, "Not Implemented"},
	[ERROR_BUSY] = {503, "Service Unavailable"},
	[ERROR_HAPROXY] = {400, "Invalid request"},
	[ERROR_APPLY] = {500, "Error applying the configuration"},
};

unsigned response_status_of(enum error_code code)
{
	return (size_t)code < ELEMENTSOF(meanings) ? meanings[code].status : 500;
}

int response_set_json(struct response *response, unsigned status, json_t *body)
{
	_cleanup_text_ struct text text = TEXT_INIT;

	json_write(&text, body);
	json_decref(body);
	return response_set_text(response, status, "application/json", &text);
}

int response_set_text(struct response *response, unsigned status, const char *content_type, struct text *text)
{
	size_t length;
	char *body;
	int r = text_finish(text, &body, &length);

	if (r == 0)
		response_set_body(response, status, content_type, body, length);
	return r;
}

void response_set_body(struct response *response, unsigned status, const char *content_type,
	char *body, size_t length)
{
	free(response->body);
	response->status = status;
	response->content_type = content_type;
	response->body = body;
	response->length = length;
}

int response_add_header(struct response *response, const char *name, const char *format, ...)
{
	_cleanup_free_ char *value = NULL;
	va_list arguments;
	int r;

	if (response->n_headers == RESPONSE_MAX_HEADERS)
		return -ENOBUFS;
	va_start(arguments, format);
	r = vasprintf(&value, format, arguments);
	va_end(arguments);
	if (r < 0) {
		value = NULL;
		return -ENOMEM;
	}
	if (text_has_control(value, strlen(value)))
		return -EINVAL;
	response->headers[response->n_headers].name = name;
	response->headers[response->n_headers++].value = TAKE_PTR(value);
	return 0;
}

/* The words may quote the request or HAProxy's output, so they can be any bytes; JSON is UTF-8 (RFC
 * 8259, section 8.1). */
static json_t *json_of_words(const struct error *err)
{
	_cleanup_text_ struct text words = TEXT_INIT;
	size_t n;

	if (err->pointer && err->pointer[0]) {
		text_append(&words, err->pointer);
		text_append(&words, ": ");
	}
	text_append(&words, error_message(err));
	if (words.failed)
		return NULL;
	for (size_t i = 0; i < words.length; i += n) {
		n = utf8_sequence(words.data + i, words.length - i);
		if (n == 0) {
			words.data[i] = '?';
			n = 1;
		}
	}
	return json_stringn(text_peek(&words), words.length);
}

static void set_error_body(struct response *response, const struct error *err, json_t *body)
{
	unsigned status = response_status_of(err->code);

	if (response_set_json(response, status, body) < 0)
		response_set_body(response, status, NULL, NULL, 0);
	/* A second is about what a handler takes; on failure the client merely chooses its own
	 * pause. */
	if (err->code == ERROR_BUSY)
		(void)response_add_header(response, "Retry-After", "1");
}

void response_from_error(struct response *response, enum error_style style, const struct error *err)
{
	unsigned status = response_status_of(err->code);
	json_t *body;

	if (style == ERROR_STYLE_AMPHORA)
		body = json_pack("{s:s, s:o}", "message", meanings[err->code].words, "details",
			json_of_words(err));
	else
		body = json_pack("{s:s, s:o, s:n}", "faultcode", status < 500 ? "Client" : "Server",
			"faultstring", json_of_words(err), "debuginfo");
	set_error_body(response, err, body);
}

void response_from_route_error(
	struct response *response, enum error_style style, const struct error *err)
{
	if (style != ERROR_STYLE_AMPHORA) {
		response_from_error(response, style, err);
		return;
	}
	set_error_body(response, err,
		json_pack("{s:o, s:i}", "error", json_of_words(err), "http_code",
			(int)response_status_of(err->code)));
}

void response_done(struct response *response)
{
	free(response->body);
	for (size_t i = 0; i < response->n_headers; i++)
		free(response->headers[i].value);
	*response = RESPONSE_INIT;
}
