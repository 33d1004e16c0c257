/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tools/config_drive/cloud_config.h"

#include <string.h>
#include <strings.h>
#include <yaml.h>

#include "agent/base/text.h"

enum { DEPTH_MAX = 64, YAML_MAX = 4 * 1024 * 1024, IGNORED_MAX = 64 };

struct reader {
	yaml_parser_t parser;
	yaml_event_t event; /* the last one that was read */
	bool has_event;
	struct drive_files *files;
	char **ignored;
	size_t n_ignored;
	struct error *err;
};

static void reader_done(struct reader *reader)
{
	if (reader->has_event)
		yaml_event_delete(&reader->event);
	yaml_parser_delete(&reader->parser);
	strv_free(reader->ignored);
}

static int refuse(struct reader *reader, const char *words)
{
	char where[64];

	snprintf(where, sizeof(where), "user_data:%zu", reader->event.start_mark.line + 1);
	return error_set(reader->err, ERROR_INVALID, where, "%s", words);
}

/* The next event. An alias could make much out of little ("billion laughs"), and nobody needs one here. */
static int next(struct reader *reader)
{
	if (reader->has_event)
		yaml_event_delete(&reader->event);
	reader->has_event = false;
	if (!yaml_parser_parse(&reader->parser, &reader->event)) {
		char where[64];

		if (reader->parser.error == YAML_MEMORY_ERROR)
			return error_set_errno(reader->err, -ENOMEM, "user_data");
		snprintf(where, sizeof(where), "user_data:%zu", reader->parser.problem_mark.line + 1);
		return error_set(reader->err, ERROR_INVALID, where, "no YAML: %s",
			reader->parser.problem ? reader->parser.problem : "it cannot be read");
	}
	reader->has_event = true;
	if (reader->event.type == YAML_ALIAS_EVENT)
		return refuse(reader, "aliases are not taken");
	return 0;
}

/* From the event that begins a value to the one that ends it. */
static int skip_value(struct reader *reader)
{
	size_t depth = 0;

	for (;;) {
		int r;

		if (reader->event.type == YAML_SEQUENCE_START_EVENT || reader->event.type == YAML_MAPPING_START_EVENT)
			depth++;
		else if (reader->event.type == YAML_SEQUENCE_END_EVENT || reader->event.type == YAML_MAPPING_END_EVENT)
			depth--;
		if (depth == 0)
			return 0;
		if (depth > DEPTH_MAX)
			return refuse(reader, "this is nested too deeply");
		r = next(reader);
		if (r < 0)
			return r;
	}
}

static int ignore(struct reader *reader, const char *what)
{
	if (reader->n_ignored >= IGNORED_MAX)
		return 0;
	return strv_push(&reader->ignored, &reader->n_ignored, strdup(what)) < 0
		       ? error_set_errno(reader->err, -ENOMEM, "user_data")
		       : 0;
}

/* What an item of write_files says, as text. */
struct item {
	char *path, *content, *encoding, *owner, *permissions, *append;
	size_t content_length;
	bool is_binary; /* !!binary */
};

static void item_done(struct item *item)
{
	free(item->path);
	free(item->content);
	free(item->encoding);
	free(item->owner);
	free(item->permissions);
	free(item->append);
}

static char **item_field(struct item *item, const char *key)
{
	const struct {
		const char *name;
		char **field;
	} fields[] = {
		{"path", &item->path},
		{"content", &item->content},
		{"encoding", &item->encoding},
		{"owner", &item->owner},
		{"permissions", &item->permissions},
		{"append", &item->append},
	};

	for (size_t i = 0; i < ELEMENTSOF(fields); i++)
		if (streq(key, fields[i].name))
			return fields[i].field;
	return NULL;
}

/* A value of an item; the event is its first. */
static int read_field(struct reader *reader, struct item *item, char **field)
{
	const yaml_event_t *event = &reader->event;
	size_t length;

	if (event->type != YAML_SCALAR_EVENT)
		return refuse(reader, "a text is wanted here");
	length = event->data.scalar.length;
	if (field != &item->content && memchr(event->data.scalar.value, '\0', length))
		return refuse(reader, "a NUL character has no place here");
	free(*field);
	*field = malloc(length + 1);
	if (!*field)
		return error_set_errno(reader->err, -ENOMEM, "user_data");
	memcpy(*field, event->data.scalar.value, length);
	(*field)[length] = '\0';
	if (field == &item->content) {
		item->content_length = length;
		item->is_binary = event->data.scalar.tag && streq((const char *)event->data.scalar.tag, "tag:yaml.org,2002:binary");
	}
	return 0;
}

/* "0644", '0644', 0o644: octal in whichever way it is written. Unquoted 644 is decimal to YAML, and never meant so. */
static bool read_mode(const char *text, mode_t *ret)
{
	const char *digits = text_after_prefix(text, "0o");
	mode_t mode = 0;

	digits = digits ? digits : text;
	if (!*digits || strlen(digits) > 5 || strspn(digits, "01234567") != strlen(digits))
		return false;
	for (; *digits; digits++)
		mode = mode * 8 + (mode_t)(*digits - '0');
	if (mode > 07777)
		return false;
	*ret = mode;
	return true;
}

static int add_item(struct reader *reader, struct item *item)
{
	_cleanup_drive_file_ struct drive_file file = {0};
	const char *encoding = item->is_binary ? "b64" : item->encoding && *item->encoding ? item->encoding : NULL;
	int r;

	if (!item->path)
		return refuse(reader, "an item of write_files has no path");
	file.mode = drive_file_default_mode(item->path);
	if (item->permissions && *item->permissions && !read_mode(item->permissions, &file.mode))
		return refuse(reader, "permissions are up to four octal digits in quotes");
	if (item->append && text_to_bool(item->append, &file.append) < 0)
		return refuse(reader, "append is true or false");
	r = drive_decode(encoding, item->content ? item->content : "", item->content_length, DRIVE_CONTENT_MAX, &file.content,
		&file.length, reader->err);
	if (r < 0)
		return error_wrap(reader->err, r, "content of %s", item->path);
	file.path = TAKE_PTR(item->path);
	file.owner = item->owner && *item->owner ? TAKE_PTR(item->owner) : NULL;
	return drive_files_add(reader->files, &file, "user_data", reader->err);
}

static int read_item(struct reader *reader)
{
	_cleanup_(item_done) struct item item = {0};
	int r;

	if (reader->event.type != YAML_MAPPING_START_EVENT)
		return refuse(reader, "an item of write_files is a mapping");
	for (;;) {
		char **field;

		r = next(reader);
		if (r < 0)
			return r;
		if (reader->event.type == YAML_MAPPING_END_EVENT)
			return add_item(reader, &item);
		if (reader->event.type != YAML_SCALAR_EVENT)
			return refuse(reader, "a key is a text");
		field = item_field(&item, (const char *)reader->event.data.scalar.value);
		r = next(reader);
		if (r == 0)
			r = field ? read_field(reader, &item, field) : skip_value(reader);
		if (r < 0)
			return r;
	}
}

static int read_write_files(struct reader *reader)
{
	/* "write_files:" without anything. */
	if (reader->event.type == YAML_SCALAR_EVENT && reader->event.data.scalar.length == 0)
		return 0;
	if (reader->event.type != YAML_SEQUENCE_START_EVENT)
		return refuse(reader, "write_files is a list");
	for (;;) {
		int r = next(reader);

		if (r < 0 || reader->event.type == YAML_SEQUENCE_END_EVENT)
			return r;
		r = read_item(reader);
		if (r < 0)
			return r;
	}
}

static int read_top(struct reader *reader)
{
	int r;

	for (;;) {
		bool is_wanted;

		r = next(reader);
		if (r < 0 || reader->event.type == YAML_MAPPING_END_EVENT)
			return r;
		if (reader->event.type != YAML_SCALAR_EVENT)
			return refuse(reader, "a key is a text");
		is_wanted = streq((const char *)reader->event.data.scalar.value, "write_files");
		if (!is_wanted)
			r = ignore(reader, (const char *)reader->event.data.scalar.value);
		if (r == 0)
			r = next(reader);
		if (r == 0)
			r = is_wanted ? read_write_files(reader) : skip_value(reader);
		if (r < 0)
			return r;
	}
}

static int read_document(struct reader *reader)
{
	int r;

	do {
		r = next(reader);
		if (r < 0 || reader->event.type == YAML_STREAM_END_EVENT)
			return r;
	} while (reader->event.type == YAML_STREAM_START_EVENT || reader->event.type == YAML_DOCUMENT_START_EVENT);
	if (reader->event.type == YAML_SCALAR_EVENT && reader->event.data.scalar.length == 0)
		return 0;
	if (reader->event.type != YAML_MAPPING_START_EVENT)
		return refuse(reader, "a cloud-config is a mapping");
	return read_top(reader);
}

/* As cloud-init tells kinds of user data apart: by how the first line begins. */
static bool is_cloud_config(const char *data, size_t length)
{
	static const char mark[] = "#cloud-config";

	return length >= sizeof(mark) - 1 && strncasecmp(data, mark, sizeof(mark) - 1) == 0;
}

int cloud_config_parse(const char *data, size_t length, struct drive_files *files, char ***ret_ignored, struct error *err)
{
	_cleanup_(reader_done) struct reader reader = {.files = files, .err = err};
	_cleanup_free_ char *unpacked = NULL;
	int r;

	if (!yaml_parser_initialize(&reader.parser))
		return error_set_errno(err, -ENOMEM, "user_data");
	if (length >= 2 && memcmp(data, "\x1f\x8b", 2) == 0) {
		r = drive_gunzip(data, length, YAML_MAX, &unpacked, &length, err);
		if (r < 0)
			return error_wrap(err, r, "user_data");
		data = unpacked;
	}
	while (length > 0 && strchr(" \t\r\n", *data) && *data)
		data++, length--;
	r = 0;
	if (length > 0 && !is_cloud_config(data, length)) {
		r = ignore(&reader, "user data that is no cloud-config");
	} else {
		yaml_parser_set_input_string(&reader.parser, (const unsigned char *)data, length);
		yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
		r = length > 0 ? read_document(&reader) : 0;
	}
	if (r == 0 && !reader.ignored) {
		reader.ignored = calloc(1, sizeof(*reader.ignored));
		r = reader.ignored ? 0 : error_set_errno(err, -ENOMEM, "user_data");
	}
	if (r == 0)
		*ret_ignored = TAKE_PTR(reader.ignored);
	return r;
}
