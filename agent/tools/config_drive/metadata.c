/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tools/config_drive/metadata.h"

#include <jansson.h>
#include <string.h>

#include "agent/base/text.h"
#include "agent/tools/config_drive/files.h"

#define WHERE "meta_data.json"

enum { LABEL_MAX = 63 }; /* RFC 1035, 2.3.4 */

void metadata_done(struct metadata *metadata)
{
	free(metadata->instance_id);
	free(metadata->hostname);
	strv_free(metadata->keys);
	for (size_t i = 0; i < metadata->n_files; i++) {
		free(metadata->files[i].path);
		free(metadata->files[i].content);
	}
	free(metadata->files);
	*metadata = METADATA_INIT;
}

static bool is_made_of(const char *text, const char *more)
{
	static const char alphanumeric[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

	for (; *text; text++)
		if (!strchr(alphanumeric, *text) && !strchr(more, *text))
			return false;
	return true;
}

static int read_identity(const json_t *json, struct metadata *metadata, struct error *err)
{
	const char *id = json_string_value(json_object_get(json, "uuid"));
	const char *name = json_string_value(json_object_get(json, "hostname"));
	size_t label;

	if (!id || !*id || strlen(id) > 128 || !is_made_of(id, "-_."))
		return error_set(err, ERROR_INVALID, WHERE, "\"uuid\", which says whose drive this is, is missing or odd");
	metadata->instance_id = strdup(id);
	if (!metadata->instance_id)
		return error_set_errno(err, -ENOMEM, WHERE);
	if (!name)
		return 0;
	label = strcspn(name, ".");
	if (label == 0 || label > LABEL_MAX || name[0] == '-' || !is_made_of(name, "-."))
		return error_set(err, ERROR_INVALID, WHERE, "\"hostname\" is no host name");
	metadata->hostname = strndup(name, label);
	return metadata->hostname ? 0 : error_set_errno(err, -ENOMEM, WHERE);
}

/* {"NAME": "ssh-ed25519 AAAA… comment", …} */
static int read_keys(json_t *json, struct metadata *metadata, struct error *err)
{
	const char *name;
	json_t *value;
	size_t n = 0;

	if (json_object_size(json) == 0)
		return 0;
	metadata->keys = calloc(json_object_size(json) + 1, sizeof(*metadata->keys));
	if (!metadata->keys)
		return error_set_errno(err, -ENOMEM, WHERE);
	json_object_foreach (json, name, value) {
		_cleanup_free_ char *key = json_is_string(value) ? strdup(json_string_value(value)) : NULL;
		size_t length = key ? strlen(key) : 0;

		while (length > 0 && strchr(" \r\n", key[length - 1]))
			key[--length] = '\0';
		if (length == 0 || text_has_control(key, length))
			return error_set(err, ERROR_INVALID, WHERE, "a key in \"public_keys\" is no line");
		metadata->keys[n++] = TAKE_PTR(key);
	}
	return 0;
}

/* nova numbers the contents: "/content/0000". */
static const char *content_name(const char *path)
{
	const char *name = path ? text_after_prefix(path, "/content/") : NULL;

	return name && *name && *name != '.' && strlen(name) <= 128 && is_made_of(name, "-_.") ? name : NULL;
}

static int read_files(const json_t *json, struct metadata *metadata, struct error *err)
{
	size_t i;
	json_t *item;

	if (json_array_size(json) > DRIVE_FILES_MAX)
		return error_set(err, ERROR_TOO_LARGE, WHERE, "there are more than %d files", DRIVE_FILES_MAX);
	metadata->files = calloc(json_array_size(json) + 1, sizeof(*metadata->files));
	if (!metadata->files)
		return error_set_errno(err, -ENOMEM, WHERE);
	json_array_foreach (json, i, item) {
		struct metadata_file *file = &metadata->files[metadata->n_files];
		const char *path = json_string_value(json_object_get(item, "path"));
		const char *content = content_name(json_string_value(json_object_get(item, "content_path")));

		if (!path || !content)
			return error_set(err, ERROR_INVALID, WHERE, "\"files\" %zu has no path or no content_path below /content", i);
		metadata->n_files++;
		file->path = strdup(path);
		file->content = strdup(content);
		if (!file->path || !file->content)
			return error_set_errno(err, -ENOMEM, WHERE);
	}
	return 0;
}

int metadata_parse(const char *data, size_t length, struct metadata *ret, struct error *err)
{
	_cleanup_metadata_ struct metadata metadata = METADATA_INIT;
	json_error_t problem;
	json_auto_t *json = json_loadb(data, length, JSON_REJECT_DUPLICATES, &problem);
	int r;

	if (!json_is_object(json))
		return error_set(err, ERROR_INVALID, WHERE, "no JSON object: %s", json ? "another type" : problem.text);
	r = read_identity(json, &metadata, err);
	if (r == 0)
		r = read_keys(json_object_get(json, "public_keys"), &metadata, err);
	if (r == 0)
		r = read_files(json_object_get(json, "files"), &metadata, err);
	if (r < 0)
		return r;
	*ret = metadata;
	metadata = METADATA_INIT;
	return 0;
}
