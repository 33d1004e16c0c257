/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "api/client/http.h"

#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "agent/base/text.h"

enum { CONNECT_TIMEOUT_S = 10 };

struct http {
	const struct http_options *options;
	CURL *curl;
	bool (*is_cancelled)(void);
	char message[CURL_ERROR_SIZE];
};

struct receiver {
	struct text body;
	bool too_large;
	struct http_reply *reply;
};

void http_reply_done(struct http_reply *reply)
{
	free(reply->body);
	*reply = HTTP_REPLY_INIT;
}

static void cleanup_slist(struct curl_slist **list)
{
	curl_slist_free_all(*list);
}

static size_t receive_body(char *data, size_t size, size_t count, void *context)
{
	struct receiver *receiver = context;

	receiver->too_large = count > HTTP_MAX_REPLY - receiver->body.length;
	if (receiver->too_large)
		return 0;
	text_append_bytes(&receiver->body, data, count);
	return receiver->body.failed ? 0 : size * count;
}

/* Copies the value of a header line without blanks and quotes. One that does not fit is as good as
 * absent. */
static void copy_value(const char *value, size_t length, char ret[HTTP_MAX_HEADER])
{
	static const char around[] = " \t\r\n\"";

	while (length > 0 && strchr(around, value[0])) {
		value++;
		length--;
	}
	while (length > 0 && strchr(around, value[length - 1]))
		length--;
	if (length >= HTTP_MAX_HEADER)
		length = 0;
	memcpy(ret, value, length);
	ret[length] = '\0';
}

static size_t receive_header(char *data, size_t size, size_t count, void *context)
{
	struct receiver *receiver = context;
	const struct {
		const char *name;
		char *value;
	} wanted[] = {
		{"ETag:", receiver->reply->etag},
		{"Amphorad-Apply:", receiver->reply->apply},
	};

	for (size_t i = 0; i < ELEMENTSOF(wanted); i++) {
		size_t length = strlen(wanted[i].name);

		if (count > length && strncasecmp(data, wanted[i].name, length) == 0)
			copy_value(data + length, count - length, wanted[i].value);
	}
	return size * count;
}

static int report_progress(void *context, _unused_ curl_off_t expected, _unused_ curl_off_t received,
	_unused_ curl_off_t to_send, _unused_ curl_off_t sent)
{
	const struct http *http = context;

	return http->is_cancelled && http->is_cancelled() ? 1 : 0;
}

static bool set_option_string(CURL *curl, CURLoption option, const char *value)
{
	return !value || curl_easy_setopt(curl, option, value) == CURLE_OK;
}

static bool set_protocols(CURL *curl)
{
#if CURL_AT_LEAST_VERSION(7, 85, 0)
	return curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK;
#else
	return curl_easy_setopt(curl, CURLOPT_PROTOCOLS,
		       (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS)) == CURLE_OK;
#endif
}

/* What holds for every exchange. An amphora's management address is reached directly: proxies of
 * the environment, meant for the world outside, are not asked. */
static bool set_common(struct http *http)
{
	const struct http_options *options = http->options;
	CURL *curl = http->curl;

	return curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, http->message) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_USERAGENT, "amphoractl/" PACKAGE_VERSION) ==
		       CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK && set_protocols(curl) &&
	       curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S) ==
		       CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_TIMEOUT, options->timeout_s) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive_body) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, report_progress) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_XFERINFODATA, http) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, receive_header) == CURLE_OK &&
	       set_option_string(curl, CURLOPT_UNIX_SOCKET_PATH,
		       options->url ? NULL : options->socket_path) &&
	       set_option_string(curl, CURLOPT_SSLCERT, options->certificate) &&
	       set_option_string(curl, CURLOPT_SSLKEY, options->key) &&
	       set_option_string(curl, CURLOPT_CAINFO, options->ca_certificate);
}

static bool is_server_url(const char *url)
{
	const char *host = text_after_prefix(url, "https://");

	if (!host)
		host = text_after_prefix(url, "http://");
	return host && *host && *host != '/' && !text_has_control(url, strlen(url)) &&
	       !strpbrk(host, " ?#") && (!strchr(host, '/') || streq(strchr(host, '/'), "/"));
}

int http_new(const struct http_options *options, struct http **ret, struct error *err)
{
	_cleanup_http_ struct http *http = NULL;

	if (options->url && !is_server_url(options->url))
		return error_set(err, ERROR_INVALID, NULL,
			"--url must be http://HOST[:PORT] or https://HOST[:PORT]");
	http = calloc(1, sizeof(*http));
	if (!http)
		return error_set_errno(err, -ENOMEM, "cannot start");
	http->options = options;
	http->curl = curl_easy_init();
	if (!http->curl)
		return error_set_errno(err, -ENOMEM, "cannot start libcurl");
	if (!set_common(http))
		return error_set(
			err, ERROR_INTERNAL, NULL, "libcurl refuses an option: %s", http->message);
	*ret = TAKE_PTR(http);
	return 0;
}

void http_set_cancel(struct http *http, bool (*is_cancelled)(void))
{
	http->is_cancelled = is_cancelled;
}

void http_free(struct http *http)
{
	if (!http)
		return;
	curl_easy_cleanup(http->curl);
	free(http);
}

/* What a person can do about it, or NULL. */
static const char *advice(const struct http *http, CURLcode code, long os_error)
{
	switch (code) {
	case CURLE_COULDNT_CONNECT:
		if (os_error == EACCES || os_error == EPERM)
			return "Only root and the members of group amphorad may use the socket: "
			       "are you in that group? (id -nG)";
		return "Is amphorad running? (systemctl status amphorad)";
	case CURLE_COULDNT_RESOLVE_HOST:
		return "Is the host in --url spelled correctly?";
	case CURLE_OPERATION_TIMEDOUT:
		return "A longer --timeout may help; amphorad's log tells what it is doing "
		       "(journalctl -u amphorad).";
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
		return "Do --cacert, --cert and --key name the right files?";
	case CURLE_GOT_NOTHING:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
		return http->options->url
			       ? "Does the server want https and a client certificate (--cert, "
				 "--key)?"
			       : "Did amphorad stop meanwhile? (systemctl status amphorad)";
	default:
		return NULL;
	}
}

static bool is_connected(CURLcode code)
{
	return code != CURLE_COULDNT_CONNECT && code != CURLE_COULDNT_RESOLVE_HOST;
}

static int explain(
	const struct http *http, CURLcode code, const struct receiver *receiver, struct error *err)
{
	const char *target = http->options->url ? http->options->url : http->options->socket_path;
	const char *reason = *http->message ? http->message : curl_easy_strerror(code);
	const char *hint;
	long os_error = 0;

	curl_easy_getinfo(http->curl, CURLINFO_OS_ERRNO, &os_error);
	if (receiver->too_large)
		return error_set(err, ERROR_TOO_LARGE, NULL,
			"the reply of %s has more than %d bytes", target, HTTP_MAX_REPLY);
	if (code == CURLE_COULDNT_CONNECT && os_error != 0)
		reason = strerror((int)os_error);
	hint = advice(http, code, os_error);
	return error_set(err, ERROR_BUSY, NULL, "%s amphorad at %s: %s%s%s",
		is_connected(code) ? "no answer from" : "cannot reach", target, reason,
		hint ? "\n" : "", hint ? hint : "");
}

static bool add_header(struct curl_slist **headers, const char *line)
{
	struct curl_slist *longer = curl_slist_append(*headers, line);

	if (longer)
		*headers = longer;
	return longer;
}

static bool set_headers(const struct http_request *request, struct curl_slist **headers)
{
	_cleanup_text_ struct text if_match = TEXT_INIT, type = TEXT_INIT;

	text_printf(&type, "Content-Type: %s",
		request->content_type ? request->content_type : "application/json");
	if (request->if_match) {
		text_printf(&if_match, "If-Match: \"%s\"", request->if_match);
		if (if_match.failed || !add_header(headers, text_peek(&if_match)))
			return false;
	}
	/* No "Expect: 100-continue": it costs a round trip, and the limit of a body is known here,
	 * too. */
	return add_header(headers, "Accept: application/json, text/plain") &&
	       add_header(headers, "Expect:") &&
	       (!request->body || (!type.failed && add_header(headers, text_peek(&type))));
}

static bool set_request(struct http *http, const struct http_request *request,
	struct curl_slist **headers, struct receiver *receiver)
{
	_cleanup_text_ struct text url = TEXT_INIT;
	CURL *curl = http->curl;
	size_t length;

	text_append(&url, http->options->url ? http->options->url : "http://localhost");
	length = url.length;
	if (length > 0 && text_peek(&url)[length - 1] == '/')
		text_truncate(&url, length - 1);
	text_append(&url, request->path);
	if (url.failed || !set_headers(request, headers))
		return false;
	if (request->body &&
		(curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body) != CURLE_OK ||
			curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
				(curl_off_t)request->body_length) != CURLE_OK))
		return false;
	return (request->body || curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L) == CURLE_OK) &&
	       curl_easy_setopt(curl, CURLOPT_URL, text_peek(&url)) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_HTTPHEADER, *headers) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_WRITEDATA, receiver) == CURLE_OK &&
	       curl_easy_setopt(curl, CURLOPT_HEADERDATA, receiver) == CURLE_OK;
}

int http_exchange(struct http *http, const struct http_request *request, struct http_reply *ret,
	struct error *err)
{
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	_cleanup_(cleanup_slist) struct curl_slist *headers = NULL;
	struct receiver receiver = {.body = TEXT_INIT, .reply = &reply};
	CURLcode code;
	int r;

	http->message[0] = '\0';
	if (!set_request(http, request, &headers, &receiver))
		return error_set_errno(err, -ENOMEM, "cannot build the request");
	code = curl_easy_perform(http->curl);
	/* The list is ours and goes with this function. */
	curl_easy_setopt(http->curl, CURLOPT_HTTPHEADER, NULL);
	if (code != CURLE_OK) {
		r = explain(http, code, &receiver, err);
		text_done(&receiver.body);
		return r;
	}
	curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &reply.status);
	r = text_finish(&receiver.body, &reply.body, &reply.length);
	if (r < 0)
		return error_set_errno(err, r, "cannot keep the reply");
	*ret = reply;
	reply = HTTP_REPLY_INIT;
	return 0;
}
