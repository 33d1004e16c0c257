/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/document.h"

#include <fcntl.h>
#include <string.h>

#include "agent/base/text.h"
#include "agent/definition/limits.h"
#include "agent/definition/uuid.h"

/* Keeps our names apart from the domain names of the name space (RFC 9562, section 6.6). */
#define NAME_PREFIX "amphorad:loadbalancer:"

static const char *shown_path(const char *path)
{
	return streq(path, "-") ? "standard input" : path;
}

int document_read_file(
	const char *path, size_t limit, char **ret_data, size_t *ret_length, struct error *err)
{
	_cleanup_close_ int opened = -1;
	_cleanup_text_ struct text content = TEXT_INIT;
	int fd = STDIN_FILENO, r;

	if (!streq(path, "-")) {
		opened = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		if (opened < 0) {
			r = -errno;
			error_set(
				err, ERROR_INVALID, NULL, "cannot read %s: %s", path, strerror(-r));
			return r;
		}
		fd = opened;
	}
	for (;;) {
		char chunk[65536];
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			r = -errno;
			error_set(err, ERROR_INVALID, NULL, "cannot read %s: %s", shown_path(path),
				strerror(-r));
			return r;
		}
		if (n == 0)
			break;
		text_append_bytes(&content, chunk, (size_t)n);
		if (content.length > limit)
			return error_set(err, ERROR_TOO_LARGE, NULL, "%s is larger than %zu bytes",
				shown_path(path), limit);
	}
	r = text_finish(&content, ret_data, ret_length);
	return r < 0 ? error_set_errno(err, r, "cannot read %s", shown_path(path)) : 0;
}

int document_derive_id(const char *name, char ret[37], struct error *err)
{
	_cleanup_text_ struct text full_name = TEXT_INIT;
	_cleanup_free_ char *string = NULL;
	int r;

	text_append(&full_name, NAME_PREFIX);
	text_append(&full_name, name);
	r = text_finish(&full_name, &string, NULL);
	if (r == 0)
		r = uuid_derive(UUID_NAMESPACE_DNS, string, ret);
	return r < 0 ? error_set_errno(err, r, "cannot derive an id from the name") : 0;
}

static int choose_id(const json_t *lb, const char *wanted, char ret[37], struct error *err)
{
	const json_t *own = json_object_get(lb, "id");
	const json_t *name = json_object_get(lb, "name");
	const char *id = wanted;

	if (own && !json_is_null(own)) {
		const char *own_id = json_is_string(own) ? json_string_value(own) : "";

		if (!text_is_uuid(own_id))
			return error_set(err, ERROR_INVALID, "/loadbalancer/id",
				"must be a UUID (36 characters, lower-case hexadecimal)");
		if (wanted && !streq(wanted, own_id))
			return error_set(err, ERROR_INVALID, "/loadbalancer/id",
				"the document is about %s, not about %s", own_id, wanted);
		id = own_id;
	}
	if (id) {
		memcpy(ret, id, 37);
		return 0;
	}
	if (!json_is_string(name) || !*json_string_value(name))
		return error_set(err, ERROR_INVALID, "/loadbalancer",
			"has neither an id nor a name to derive one from; give one of them, or "
			"--id");
	return document_derive_id(json_string_value(name), ret, err);
}

static int parse_json(
	const char *path, const char *text, size_t length, json_t **ret, struct error *err)
{
	_cleanup_free_ char *pointer = NULL;
	json_error_t problem;
	json_t *root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &problem);

	if (!root) {
		if (asprintf(&pointer, "%s:%d", shown_path(path), problem.line) < 0)
			pointer = NULL;
		return error_set(err, ERROR_INVALID, pointer, "%s", problem.text);
	}
	*ret = root;
	return 0;
}

int document_parse(const char *path, char *text, size_t length, const char *id,
	struct document *ret, struct error *err)
{
	_cleanup_document_ struct document document = {.text = text, .length = length};
	_cleanup_(json_decrefp) json_t *root = NULL;
	const json_t *lb;
	const char *name;
	int r;

	if (id && !text_is_uuid(id))
		return error_set(err, ERROR_INVALID, NULL,
			"--id must be a UUID (36 characters, lower-case hexadecimal)");
	r = parse_json(path, text, length, &root, err);
	if (r < 0)
		return r;
	lb = json_object_get(root, "loadbalancer");
	if (!json_is_object(lb))
		return error_set(err, ERROR_INVALID, NULL,
			"%s is no definition: it must hold {\"loadbalancer\": {…}}",
			shown_path(path));
	r = choose_id(lb, id, document.id, err);
	if (r < 0)
		return r;
	name = json_string_value(json_object_get(lb, "name"));
	document.name = strdup(name ? name : "");
	if (!document.name)
		return error_set_errno(err, -ENOMEM, "cannot load %s", shown_path(path));
	*ret = document;
	document = DOCUMENT_INIT;
	return 0;
}

int document_load(const char *path, const char *id, struct document *ret, struct error *err)
{
	char *text = NULL;
	size_t length = 0;
	int r;

	r = document_read_file(path, LIMIT_BODY_BYTES, &text, &length, err);
	if (r < 0)
		return r;
	return document_parse(path, text, length, id, ret, err);
}

void document_done(struct document *document)
{
	free(document->text);
	free(document->name);
	*document = DOCUMENT_INIT;
}
