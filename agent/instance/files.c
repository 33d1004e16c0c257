/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/instance/internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/text.h"

#define APPLIED "applied"

enum { DIGEST_SIZE = 2 * 32 + 1 };

/* Where rendered files are: the part of their names before the slash. */
static const char *const folders[] = {RENDER_LIST_DIR, RENDER_CERTIFICATE_DIR};

static int write_named_files(int dir_fd, const struct rendered_file *files, size_t n_files)
{
	int r = 0;

	/* HAProxy reads them before it gives up its privileges. */
	for (size_t i = 0; r == 0 && n_files > 0 && i < ELEMENTSOF(folders); i++) {
		_cleanup_close_ int folder_fd = -1;

		r = fileio_open_dir(dir_fd, folders[i], 0700, &folder_fd);
	}
	for (size_t i = 0; r == 0 && i < n_files; i++)
		r = fileio_write_volatile(dir_fd, files[i].name, files[i].content, strlen(files[i].content), 0600);
	return r;
}

int instance_write_volatile(int dir_fd, const struct rendered *rendered)
{
	int r = write_named_files(dir_fd, rendered->files, rendered->n_files);

	return r < 0 ? r : fileio_write_volatile(dir_fd, INSTANCE_CONFIG, rendered->text, rendered->length, 0600);
}

static bool has_word(const char *text, size_t length, const char *word)
{
	const char *end = text + length, *found = text;

	while ((found = memmem(found, (size_t)(end - found), word, strlen(word)))) {
		const char *before = found - 1, *after = found + strlen(word);

		if ((found == text || strchr(" \t\r\n\"'", *before)) && (after == end || strchr(" \t\r\n\"'", *after)))
			return true;
		found = after;
	}
	return false;
}

/* OCSP updates do, too, but what they get is signed itself (RFC 6960). */
bool instance_uses_http_client(const char *config, size_t length)
{
	static const char lua[] = "lua-load", settings[] = "httpclient.";

	return memmem(config, length, lua, strlen(lua)) || memmem(config, length, settings, strlen(settings)) ||
		has_word(config, length, "acme");
}

static int own_config(const struct instance *instance, int64_t hard_stop_after_s, bool http_client, char **ret,
	size_t *ret_length)
{
	const struct instance_settings *settings = instance->settings;
	_cleanup_text_ struct text text = TEXT_INIT;

	text_append(&text, "# The agent's own settings, read beside haproxy.cfg. Written by amphorad.\nglobal\n");
	text_printf(&text, "    stats socket %s mode 0600 level admin expose-fd listeners\n", instance->stats_socket);
	text_printf(&text, "    hard-stop-after %llds\n", (long long)hard_stop_after_s);
	/* HAProxy counts the reloads that a worker has lived through: a low limit would cut the connections of a single old
	 * worker. How many there may be is up to us (old_workers.c); 3.3 and later have a limit of 50 if none is set. */
	text_append(&text, "    mworker-max-reloads 1000\n");
	/* Where the limit on descriptors cannot be raised, fewer connections are better than none. */
	text_append(&text, "    no strict-limits\n");
	/* For requests of its own HAProxy would read all of the system's CA certificates, which is half of the time of a check
	 * with 1 000 servers and a quarter with 10 000. */
	if (!http_client && haproxy_version_at_least(&settings->version, 2, 6))
		text_append(&text, "    httpclient.ssl.verify none\n");
	if (settings->haproxy_user && instance->owner == OWNER_DEFINITION) /* an uploaded one names its user */
		text_printf(&text, "    user %s\n", settings->haproxy_user);
	if (settings->haproxy_group)
		text_printf(&text, "    group %s\n", settings->haproxy_group);
	return text_finish(&text, ret, ret_length);
}

/* What a definition says of old workers comes before what the agent's configuration says. Nothing that we render makes
 * HAProxy send requests. */
int instance_own_config(struct instance *instance, const struct load_balancer *lb, char **ret, size_t *ret_length)
{
	return own_config(instance,
		lb && lb->hard_stop_after_s ? lb->hard_stop_after_s : instance->settings->hard_stop_after_s,
		instance->owner != OWNER_DEFINITION, ret, ret_length);
}

int instance_own_config_of_upload(
	struct instance *instance, const char *uploaded, size_t uploaded_length, char **ret, size_t *ret_length)
{
	return own_config(instance, instance->settings->hard_stop_after_s,
		instance_uses_http_client(uploaded, uploaded_length), ret, ret_length);
}

static int write_own_config(struct instance *instance, int r, const char *text, size_t length, struct error *err)
{
	if (r == 0)
		r = fileio_write_volatile(instance->dir_fd, INSTANCE_OWN_CONFIG, text, length, 0600);
	if (r < 0)
		return error_set_errno(err, r, "cannot write %s", instance->own_config);
	return 0;
}

int instance_write_own_config(struct instance *instance, const struct load_balancer *lb, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	size_t length = 0;
	int r = instance_own_config(instance, lb, &text, &length);

	return write_own_config(instance, r, text, length, err);
}

int instance_write_own_config_of_upload(
	struct instance *instance, const char *uploaded, size_t uploaded_length, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	size_t length = 0;
	int r = instance_own_config_of_upload(instance, uploaded, uploaded_length, &text, &length);

	return write_own_config(instance, r, text, length, err);
}

int instance_write_no_states(int dir_fd)
{
	static const char version_line[] = "1\n";

	return fileio_write_volatile(dir_fd, RENDER_STATE_FILE, version_line, strlen(version_line), 0600);
}

static int open_folder(struct instance *instance, const char *name, DIR **ret)
{
	int fd = openat(instance->dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	*ret = NULL;
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	*ret = fdopendir(fd);
	if (!*ret) {
		close_keep_errno(fd);
		return -errno;
	}
	return 0;
}

static int read_folder(struct instance *instance, const char *folder, struct published *published)
{
	_cleanup_closedir_ DIR *dir = NULL;
	int r = open_folder(instance, folder, &dir);

	if (r < 0 || !dir)
		return r;
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
		struct rendered_file *grown, *file;

		if (entry->d_name[0] == '.')
			continue;
		grown = reallocarray(published->files, published->n_files + 1, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		published->files = grown;
		file = &grown[published->n_files];
		*file = (struct rendered_file){NULL, NULL};
		published->n_files++;
		if (asprintf(&file->name, "%s/%s", folder, entry->d_name) < 0) {
			file->name = NULL;
			return -ENOMEM;
		}
		r = fileio_read_own(instance->dir_fd, file->name, INSTANCE_CONFIG_LIMIT, &file->content, NULL);
		if (r < 0)
			return r;
	}
	return 0;
}

int instance_read_published(struct instance *instance, struct published *ret, struct error *err)
{
	_cleanup_(published_done) struct published published = PUBLISHED_INIT;
	int r;

	r = fileio_read_own(instance->dir_fd, INSTANCE_CONFIG, INSTANCE_CONFIG_LIMIT, &published.text, &published.length);
	if (r == -ENOENT)
		r = 0;
	for (size_t i = 0; r == 0 && i < ELEMENTSOF(folders); i++)
		r = read_folder(instance, folders[i], &published);
	if (r < 0)
		return error_set_errno(err, r, "cannot read the configuration in %s", instance->directory);
	*ret = published;
	published = PUBLISHED_INIT;
	return 0;
}

void published_done(struct published *published)
{
	for (size_t i = 0; i < published->n_files; i++)
		rendered_file_done(&published->files[i]);
	free(published->files);
	free(published->text);
	*published = PUBLISHED_INIT;
}

int instance_publish(struct instance *instance, struct fileio_pending *pending, const char *text, size_t length,
	const struct rendered_file *files, size_t n_files, struct error *err)
{
	int r;

	if (!text) {
		r = fileio_unlink(instance->dir_fd, INSTANCE_CONFIG);
	} else {
		r = write_named_files(instance->dir_fd, files, n_files);
		if (r == 0)
			r = pending && pending->name
				? fileio_commit(pending, false)
				: fileio_write(instance->dir_fd, INSTANCE_CONFIG, text, length, 0600);
	}
	if (r < 0)
		return error_set_errno(err, r, "cannot write the configuration in %s", instance->directory);
	return 0;
}

static bool is_rendered(const struct rendered *rendered, const char *folder, const char *name)
{
	for (size_t i = 0; i < rendered->n_files; i++) {
		const char *rest = text_after_prefix(rendered->files[i].name, folder);

		if (rest && rest[0] == '/' && streq(rest + 1, name))
			return true;
	}
	return false;
}

void instance_remove_unused_files(struct instance *instance, const struct rendered *rendered)
{
	for (size_t i = 0; i < ELEMENTSOF(folders); i++) {
		_cleanup_closedir_ DIR *dir = NULL;

		if (open_folder(instance, folders[i], &dir) < 0 || !dir)
			continue;
		for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
			if (!streq(entry->d_name, ".") && !streq(entry->d_name, "..") &&
				!is_rendered(rendered, folders[i], entry->d_name))
				unlinkat(dirfd(dir), entry->d_name, 0);
	}
}

void instance_remove_temporary(struct instance *instance)
{
	fileio_remove_temporary(instance->dir_fd);
	for (size_t i = 0; i < ELEMENTSOF(folders); i++) {
		_cleanup_closedir_ DIR *dir = NULL;

		if (open_folder(instance, folders[i], &dir) == 0 && dir)
			fileio_remove_temporary(dirfd(dir));
	}
}

/* Over everything that HAProxy reads, each part with its name and length. */
static int digest(struct instance *instance, const struct rendered *rendered, char ret[DIGEST_SIZE])
{
	_cleanup_free_ char *own = NULL;
	gnutls_hash_hd_t hash;
	uint8_t bytes[32];
	size_t own_length;
	int r;

	r = fileio_read_own(AT_FDCWD, instance->own_config, INSTANCE_CONFIG_LIMIT, &own, &own_length);
	if (r < 0)
		return r;
	if (gnutls_hash_init(&hash, GNUTLS_DIG_SHA256) < 0)
		return -ENOMEM;
	r = gnutls_hash(hash, rendered->text, rendered->length + 1);
	if (r >= 0)
		r = gnutls_hash(hash, own, own_length + 1);
	for (size_t i = 0; r >= 0 && i < rendered->n_files; i++) {
		r = gnutls_hash(hash, rendered->files[i].name, strlen(rendered->files[i].name) + 1);
		if (r >= 0)
			r = gnutls_hash(hash, rendered->files[i].content, strlen(rendered->files[i].content) + 1);
	}
	gnutls_hash_deinit(hash, bytes);
	if (r < 0)
		return -EIO;
	text_hex(bytes, sizeof(bytes), ret);
	return 0;
}

int instance_forget_applied(struct instance *instance, struct error *err)
{
	if (unlinkat(instance->dir_fd, APPLIED, 0) < 0 && errno != ENOENT)
		return error_set_errno(err, -errno, "cannot remove %s/" APPLIED, instance->directory);
	return 0;
}

/* Needs no fsync: after a power cut HAProxy does not run, and is started anew in any case. */
int instance_record_applied(struct instance *instance, const struct rendered *rendered, struct error *err)
{
	char text[DIGEST_SIZE];
	int r;

	r = digest(instance, rendered, text);
	if (r == 0)
		r = fileio_write_volatile(instance->dir_fd, APPLIED, text, DIGEST_SIZE - 1, 0600);
	if (r < 0)
		return error_set_errno(err, r, "cannot write %s/" APPLIED, instance->directory);
	return 0;
}

bool instance_is_applied(struct instance *instance, const struct rendered *rendered)
{
	_cleanup_free_ char *recorded = NULL;
	char text[DIGEST_SIZE];

	return fileio_read_own(instance->dir_fd, APPLIED, DIGEST_SIZE, &recorded, NULL) == 0 &&
		digest(instance, rendered, text) == 0 && streq(recorded, text);
}
