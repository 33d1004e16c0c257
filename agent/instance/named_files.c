/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/instance/named_files.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/base/fileio.h"
#include "agent/base/secret.h"
#include "agent/base/text.h"

enum { FILE_LIMIT = 64 * 1024 * 1024 };

static const char *const kind_names[] = {
	[CFG_FILE_CERTIFICATE] = "certificate",
	[CFG_FILE_CERTIFICATE_LIST] = "certificate list",
	[CFG_FILE_CA] = "ca",
	[CFG_FILE_CRL] = "crl",
	[CFG_FILE_PATTERNS] = "patterns",
	[CFG_FILE_MAP] = "map",
};

void named_files_done(struct named_files *files)
{
	for (size_t i = 0; i < files->n_files; i++) {
		free(files->files[i].name);
		secret_free(files->files[i].content);
	}
	free(files->files);
	free(files->other);
	*files = NAMED_FILES_INIT;
}

static const struct named_file *find(const struct named_files *files, const char *name)
{
	for (size_t i = 0; i < files->n_files; i++)
		if (streq(files->files[i].name, name))
			return &files->files[i];
	return NULL;
}

static int digest(const char *content, size_t length, char ret[65])
{
	uint8_t bytes[32];

	if (gnutls_hash_fast(GNUTLS_DIG_SHA256, content, length, bytes) < 0)
		return -EIO;
	text_hex(bytes, sizeof(bytes), ret);
	return 0;
}

static int add(struct named_files *files, const struct named_file *file)
{
	struct named_file *grown = reallocarray(files->files, files->n_files + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	files->files = grown;
	grown[files->n_files++] = *file;
	return 0;
}

/* 1: it was read, 0: it is not there, or is a folder. */
static int read_file(int dir_fd, const struct cfg_file *file, struct named_files *files)
{
	struct named_file named = {.kind = file->kind};
	struct stat st;
	size_t length;
	int r;

	if (fstatat(dir_fd, file->name, &st, 0) < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	if (!S_ISREG(st.st_mode)) {
		free(files->other);
		files->other = strdup(file->name);
		return files->other ? 0 : -ENOMEM;
	}
	r = fileio_read(dir_fd, file->name, FILE_LIMIT, &named.content, &length);
	if (r < 0)
		return r;
	named.name = strdup(file->name);
	r = named.name ? digest(named.content, length, named.digest) : -ENOMEM;
	if (r == 0)
		r = add(files, &named);
	if (r < 0) {
		free(named.name);
		secret_free(named.content);
	}
	return r < 0 ? r : 1;
}

int named_files_read(int dir_fd, const char *text, size_t length, struct named_files *ret, struct error *err)
{
	_cleanup_named_files_ struct named_files files = NAMED_FILES_INIT;
	_cleanup_cfg_files_ struct cfg_files names = CFG_FILES_INIT;
	_cleanup_cfg_ struct cfg cfg = CFG_INIT;
	int r;

	r = cfg_parse(text, length, &cfg, err);
	if (r < 0)
		return r;
	r = cfg_files_find(&cfg, &names);
	if (r == 0 && names.other) {
		files.other = strdup(names.other);
		r = files.other ? 0 : -ENOMEM;
	}
	/* Lists add names to the end as they are read. */
	for (size_t i = 0; r >= 0 && i < names.n_files; i++) {
		r = read_file(dir_fd, &names.files[i], &files);
		if (r < 0)
			return error_set_errno(err, r, "cannot read %s", names.files[i].name);
		if (r > 0 && names.files[i].kind == CFG_FILE_CERTIFICATE_LIST)
			r = cfg_files_add_listed(&names, files.files[files.n_files - 1].content);
	}
	if (r < 0)
		return error_set_errno(err, r, "files of the configuration");
	*ret = files;
	files = NAMED_FILES_INIT;
	return 0;
}

int named_files_write_record(const struct named_files *files, json_t **ret)
{
	json_auto_t *record = json_object();

	for (size_t i = 0; i < files->n_files; i++) {
		const struct named_file *file = &files->files[i];
		const char *content = file->kind == CFG_FILE_CERTIFICATE ? NULL : file->content;
		json_t *item = json_pack("{s:s, s:s, s:s*}", "kind", kind_names[file->kind], "sha256", file->digest,
			"content", content);

		/* What is no UTF-8 has a digest alone. */
		if (!item)
			item = json_pack("{s:s, s:s}", "kind", kind_names[file->kind], "sha256", file->digest);
		if (!item || json_object_set_new(record, file->name, item) < 0)
			return -ENOMEM;
	}
	*ret = json_incref(record);
	return 0;
}

static int read_item(const char *name, json_t *item, struct named_files *files)
{
	const char *kind = NULL, *sha256 = NULL, *content = NULL;
	struct named_file file = {0};
	size_t i = 0;
	int r;

	if (json_unpack(item, "{s:s, s:s, s?s}", "kind", &kind, "sha256", &sha256, "content", &content) < 0 ||
		strlen(sha256) != sizeof(file.digest) - 1)
		return -EBADMSG;
	while (i < ELEMENTSOF(kind_names) && !streq(kind_names[i], kind))
		i++;
	if (i == ELEMENTSOF(kind_names))
		return -EBADMSG;
	file.kind = (enum cfg_file_kind)i;
	memcpy(file.digest, sha256, sizeof(file.digest));
	file.name = strdup(name);
	file.content = content ? strdup(content) : NULL;
	r = file.name && (file.content || !content) ? add(files, &file) : -ENOMEM;
	if (r < 0) {
		free(file.name);
		free(file.content);
	}
	return r;
}

int named_files_read_record(const json_t *record, struct named_files *ret)
{
	_cleanup_named_files_ struct named_files files = NAMED_FILES_INIT;
	const char *name;
	json_t *item;

	if (!json_is_object(record))
		return -EBADMSG;
	json_object_foreach((json_t *)record, name, item) {
		int r = read_item(name, item, &files);

		if (r < 0)
			return r;
	}
	*ret = files;
	files = NAMED_FILES_INIT;
	return 0;
}

int named_files_compare(const struct named_files *before, const struct named_files *now, struct plan_file **ret,
	size_t *ret_n)
{
	struct plan_file *list = calloc(before->n_files + now->n_files + 1, sizeof(*list));
	size_t n = 0;

	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < now->n_files; i++) {
		const struct named_file *file = &now->files[i], *was = find(before, file->name);
		bool same = was && streq(was->digest, file->digest);

		if (same && file->kind != CFG_FILE_CERTIFICATE_LIST)
			continue;
		list[n++] = (struct plan_file){.name = file->name,
			/* Where there is a digest alone, it stands for a content that is another one. */
			.before = !was		? NULL
				  : same	? file->content
				  : was->content ? was->content
						 : was->digest,
			.after = file->content};
	}
	for (size_t i = 0; i < before->n_files; i++) {
		const struct named_file *was = &before->files[i];

		if (!find(now, was->name))
			list[n++] = (struct plan_file){was->name, was->content ? was->content : was->digest, NULL};
	}
	*ret = list;
	*ret_n = n;
	return 0;
}
