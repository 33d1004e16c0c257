/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/certificate/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "agent/base/fileio.h"
#include "agent/base/lock.h"
#include "agent/base/log.h"
#include "agent/base/secret.h"
#include "agent/base/text.h"
#include "agent/certificate/bundle.h"

#define SUFFIX ".pem"
#define ASIDE ".corrupt"

/* Keys are written anew as PKCS #8, which can be larger than what was sent. */
enum { STORED_LIMIT = 2 * CERTIFICATE_BODY_LIMIT };

const char *const certificate_kind_names[_CERTIFICATE_KIND_MAX] = {
	[CERTIFICATE_PAIR] = "certificate",
	[CERTIFICATE_CA] = "ca",
	[CERTIFICATE_CRL] = "crl",
};

struct certificate_store {
	pthread_mutex_t lock; /* one change at a time; readers see the old content or the new one */
	int folder_fd;
};

void certificate_backup_done(struct certificate_backup *backup)
{
	secret_free_bytes(backup->pem, backup->length);
	*backup = CERTIFICATE_BACKUP_INIT;
}

bool certificate_name_is_valid(const char *name)
{
	size_t length = strlen(name);

	return length > 0 && length <= CERTIFICATE_NAME_MAX && name[0] != '.' &&
		strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.") == length;
}

const char *certificate_reference_name(const char *reference)
{
	const char *slash = strrchr(reference, '/'), *name = slash ? slash + 1 : reference;

	return certificate_name_is_valid(name) ? name : NULL;
}

int certificate_normalise(const char *pem, size_t length, int64_t now_s, char **ret_pem, size_t *ret_length,
	struct certificate_info *ret, struct error *err)
{
	_cleanup_certificate_info_ struct certificate_info info = CERTIFICATE_INFO_INIT;
	_cleanup_bundle_ struct bundle bundle = BUNDLE_INIT;
	enum certificate_kind kind;
	int r;

	r = bundle_read(pem, length, &bundle, err);
	if (r == 0)
		r = bundle_judge(&bundle, now_s, &kind, err);
	if (r == 0)
		r = bundle_info(&bundle, kind, &info, err);
	if (r == 0)
		r = bundle_write(&bundle, ret_pem, ret_length, err);
	if (r < 0)
		return r;
	if (ret) {
		*ret = info;
		info = CERTIFICATE_INFO_INIT;
	}
	return 0;
}

static int file_name(const char *name, char ret[CERTIFICATE_NAME_MAX + sizeof(SUFFIX)], struct error *err)
{
	if (!certificate_name_is_valid(name))
		return error_set(err, ERROR_INVALID, NULL,
			"a certificate's name has letters, digits, '.', '_' and '-', at most %d, and does not begin with '.'",
			CERTIFICATE_NAME_MAX);
	snprintf(ret, CERTIFICATE_NAME_MAX + sizeof(SUFFIX), "%s" SUFFIX, name);
	return 0;
}

static bool ends_with(const char *text, size_t length, const char *end)
{
	return length >= strlen(end) && memcmp(text + length - strlen(end), end, strlen(end)) == 0;
}

/* What a stored text is, by what the beginning and the order of blocks say; the end is there if the file is whole. -EBADMSG
 * for what was not written here. */
static int kind_of(const char *pem, size_t length, enum certificate_kind *ret)
{
	static const char key_follows[] = "-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n";

	if (strlen(pem) != length)
		return -EBADMSG;
	if (text_after_prefix(pem, "-----BEGIN X509 CRL-----\n") && ends_with(pem, length, "-----END X509 CRL-----\n"))
		*ret = CERTIFICATE_CRL;
	else if (!text_after_prefix(pem, "-----BEGIN CERTIFICATE-----\n"))
		return -EBADMSG;
	else if (strstr(pem, key_follows) &&
		(ends_with(pem, length, "-----END CERTIFICATE-----\n") || ends_with(pem, length, "-----END PRIVATE KEY-----\n")))
		*ret = CERTIFICATE_PAIR;
	else if (ends_with(pem, length, "-----END CERTIFICATE-----\n"))
		*ret = CERTIFICATE_CA;
	else
		return -EBADMSG;
	return 0;
}

/* -EBADMSG for a file that nobody wrote so. */
static int read_file(int folder_fd, const char *file, enum certificate_kind *ret_kind, char **ret_pem, size_t *ret_length)
{
	size_t length;
	char *pem;
	int r;

	r = fileio_read_own(folder_fd, file, STORED_LIMIT, &pem, &length);
	if (r == -ELOOP || r == -EINVAL || r == -EFBIG)
		return -EBADMSG;
	if (r < 0)
		return r;
	r = kind_of(pem, length, ret_kind);
	if (r < 0 || !ret_pem) {
		secret_free_bytes(pem, length);
		return r;
	}
	*ret_pem = pem;
	*ret_length = length;
	return 0;
}

static int read_stored(struct certificate_store *store, const char *name, enum certificate_kind *ret_kind, char **ret_pem,
	size_t *ret_length, struct error *err)
{
	char file[CERTIFICATE_NAME_MAX + sizeof(SUFFIX)];
	int r;

	r = file_name(name, file, err);
	if (r < 0)
		return r;
	r = read_file(store->folder_fd, file, ret_kind, ret_pem, ret_length);
	if (r == -ENOENT)
		return error_set(err, ERROR_NOT_FOUND, NULL, "there is no certificate '%s'", name);
	if (r == -EBADMSG)
		return error_set(err, ERROR_INTERNAL, NULL, "the stored certificate '%s' is damaged: put it anew", name);
	return r < 0 ? error_set_errno(err, r, "the certificate '%s' cannot be read", name) : 0;
}

static int require_kind(const char *name, enum certificate_kind kind, enum certificate_kind wanted, struct error *err)
{
	static const char *const words[_CERTIFICATE_KIND_MAX] = {
		[CERTIFICATE_PAIR] = "a certificate with its private key",
		[CERTIFICATE_CA] = "certificates of authorities, without a private key",
		[CERTIFICATE_CRL] = "revocation lists",
	};

	if (kind == wanted)
		return 0;
	return error_set(err, ERROR_INVALID, NULL, "the certificate '%s' holds %s; needed here: %s", name, words[kind],
		words[wanted]);
}

int certificate_store_load(struct certificate_store *store, const char *name, enum certificate_kind kind, char **ret_pem,
	size_t *ret_length, struct error *err)
{
	enum certificate_kind stored;
	size_t length;
	char *pem;
	int r;

	r = read_stored(store, name, &stored, &pem, &length, err);
	if (r < 0)
		return r;
	r = require_kind(name, stored, kind, err);
	if (r < 0) {
		secret_free_bytes(pem, length);
		return r;
	}
	*ret_pem = pem;
	if (ret_length)
		*ret_length = length;
	return 0;
}

int certificate_store_check(struct certificate_store *store, const char *name, enum certificate_kind kind, struct error *err)
{
	enum certificate_kind stored;
	int r = read_stored(store, name, &stored, NULL, NULL, err);

	return r < 0 ? r : require_kind(name, stored, kind, err);
}

int certificate_store_info(struct certificate_store *store, const char *name, struct certificate_info *ret, struct error *err)
{
	_cleanup_certificate_backup_ struct certificate_backup stored = CERTIFICATE_BACKUP_INIT;
	_cleanup_certificate_info_ struct certificate_info info = CERTIFICATE_INFO_INIT;
	_cleanup_bundle_ struct bundle bundle = BUNDLE_INIT;
	_cleanup_error_ struct error problem = ERROR_INIT;
	enum certificate_kind kind;
	int r;

	r = read_stored(store, name, &kind, &stored.pem, &stored.length, err);
	if (r < 0)
		return r;
	r = bundle_read(stored.pem, stored.length, &bundle, &problem);
	if (r == 0)
		r = bundle_info(&bundle, kind, &info, &problem);
	if (r < 0)
		return error_set(err, ERROR_INTERNAL, NULL, "the stored certificate '%s' is damaged (%s): put it anew", name,
			error_message(&problem));
	info.name = strdup(name);
	if (!info.name)
		return error_set_errno(err, -ENOMEM, "certificate");
	*ret = info;
	info = CERTIFICATE_INFO_INIT;
	return 0;
}

static bool is_stored_name(const char *file, char ret[CERTIFICATE_NAME_MAX + 1])
{
	size_t length = strlen(file);

	if (!ends_with(file, length, SUFFIX) || length - strlen(SUFFIX) > CERTIFICATE_NAME_MAX)
		return false;
	length -= strlen(SUFFIX);
	memcpy(ret, file, length);
	ret[length] = '\0';
	return certificate_name_is_valid(ret);
}

static int open_folder(const struct certificate_store *store, DIR **ret)
{
	int fd = openat(store->folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	*ret = fdopendir(fd);
	if (!*ret) {
		close_keep_errno(fd);
		return -errno;
	}
	return 0;
}

static int in_order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_names(const struct certificate_store *store, char ***ret)
{
	_cleanup_closedir_ DIR *dir = NULL;
	_cleanup_strv_ char **names = calloc(1, sizeof(*names));
	size_t n = 0;
	int r = names ? open_folder(store, &dir) : -ENOMEM;

	if (r < 0)
		return r;
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
		char name[CERTIFICATE_NAME_MAX + 1];

		if (is_stored_name(entry->d_name, name) && strv_push(&names, &n, strdup(name)) < 0)
			return -ENOMEM;
	}
	qsort(names, n, sizeof(*names), in_order);
	*ret = TAKE_PTR(names);
	return 0;
}

int certificate_store_list(struct certificate_store *store, char ***ret, struct error *err)
{
	int r = list_names(store, ret);

	return r < 0 ? error_set_errno(err, r, "the certificates cannot be listed") : 0;
}

/* Puts back what was there before; the folder's fsync failed, or somebody wants it back. */
static int write_back(struct certificate_store *store, const char *file, const struct certificate_backup *before)
{
	return before->pem ? fileio_write(store->folder_fd, file, before->pem, before->length, 0600)
			   : fileio_unlink(store->folder_fd, file);
}

static int check_room(const struct certificate_store *store, struct error *err)
{
	_cleanup_strv_ char **names = NULL;
	int r = list_names(store, &names);

	if (r < 0)
		return error_set_errno(err, r, "the certificates cannot be listed");
	if (strv_length(names) >= CERTIFICATE_COUNT_MAX)
		return error_set(err, ERROR_TOO_LARGE, NULL, "there are %d certificates already", CERTIFICATE_COUNT_MAX);
	return 0;
}

/* *ret_exists also of one that is damaged. */
static int read_before(struct certificate_store *store, const char *file, bool *ret_exists, struct certificate_backup *ret,
	struct error *err)
{
	enum certificate_kind kind;
	int r = read_file(store->folder_fd, file, &kind, &ret->pem, &ret->length);

	*ret_exists = r != -ENOENT;
	if (r < 0 && r != -ENOENT && r != -EBADMSG)
		return error_set_errno(err, r, "%s cannot be read", file);
	return 0;
}

int certificate_store_put(struct certificate_store *store, const char *name, const char *pem, size_t length,
	bool *ret_created, bool *ret_changed, struct certificate_backup *ret_before, struct error *err)
{
	_cleanup_certificate_backup_ struct certificate_backup before = CERTIFICATE_BACKUP_INIT,
							       next = CERTIFICATE_BACKUP_INIT;
	char file[CERTIFICATE_NAME_MAX + sizeof(SUFFIX)];
	bool exists, changed;
	int r;

	r = file_name(name, file, err);
	if (r == 0)
		r = certificate_normalise(pem, length, time(NULL), &next.pem, &next.length, NULL, err);
	if (r < 0)
		return r;
	HOLD(held, &store->lock);
	r = read_before(store, file, &exists, &before, err);
	if (r == 0 && !exists)
		r = check_room(store, err);
	if (r < 0)
		return r;
	changed = !before.pem || before.length != next.length || memcmp(before.pem, next.pem, next.length) != 0;
	r = changed ? fileio_write(store->folder_fd, file, next.pem, next.length, 0600) : 0;
	if (r < 0) {
		/* It may be in place, if only the fsync of the folder failed; what is refused must not be there later. */
		write_back(store, file, &before);
		return error_set_errno(err, r, "the certificate '%s' cannot be written", name);
	}
	*ret_created = !exists;
	*ret_changed = changed;
	if (ret_before) {
		*ret_before = before;
		before = CERTIFICATE_BACKUP_INIT;
	}
	return 0;
}

int certificate_store_restore(struct certificate_store *store, const char *name, const struct certificate_backup *before,
	struct error *err)
{
	char file[CERTIFICATE_NAME_MAX + sizeof(SUFFIX)];
	int r = file_name(name, file, err);

	if (r < 0)
		return r;
	HOLD(held, &store->lock);
	r = write_back(store, file, before);
	return r < 0 ? error_set_errno(err, r, "the certificate '%s' cannot be put back", name) : 0;
}

int certificate_store_delete(struct certificate_store *store, const char *name, struct error *err)
{
	char file[CERTIFICATE_NAME_MAX + sizeof(SUFFIX)];
	int r = file_name(name, file, err);

	if (r < 0)
		return r;
	HOLD(held, &store->lock);
	if (faccessat(store->folder_fd, file, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
		return error_set(err, ERROR_NOT_FOUND, NULL, "there is no certificate '%s'", name);
	r = fileio_unlink(store->folder_fd, file);
	return r < 0 ? error_set_errno(err, r, "the certificate '%s' cannot be removed", name) : 0;
}

static void set_aside(const struct certificate_store *store, const char *name)
{
	char file[CERTIFICATE_NAME_MAX + sizeof(SUFFIX)], aside[sizeof(file) + sizeof(ASIDE)];

	snprintf(file, sizeof(file), "%s" SUFFIX, name);
	snprintf(aside, sizeof(aside), "%s" ASIDE, file);
	log_error("the stored certificate '%s' cannot be used, kept as %s: put it anew", name, aside);
	if (fileio_rename(store->folder_fd, file, store->folder_fd, aside) < 0)
		log_error("%s cannot be renamed: %m", file);
}

/* What a power cut may have left on a disk that does not keep its promises. */
static int look_through(const struct certificate_store *store)
{
	_cleanup_strv_ char **names = NULL;
	int r;

	fileio_remove_temporary(store->folder_fd);
	r = list_names(store, &names);
	STRV_FOREACH(name, names) {
		char file[CERTIFICATE_NAME_MAX + sizeof(SUFFIX)];
		enum certificate_kind kind;

		snprintf(file, sizeof(file), "%s" SUFFIX, *name);
		if (read_file(store->folder_fd, file, &kind, NULL, NULL) == -EBADMSG)
			set_aside(store, *name);
	}
	return r;
}

int certificate_store_open(const char *folder, struct certificate_store **ret, struct error *err)
{
	_cleanup_(certificate_store_freep) struct certificate_store *store = calloc(1, sizeof(*store));
	int r;

	if (!store)
		return error_set_errno(err, -ENOMEM, "certificates");
	store->folder_fd = -1;
	pthread_mutex_init(&store->lock, NULL);
	r = fileio_make_dir(AT_FDCWD, folder, 0700);
	if (r < 0)
		return error_set_errno(err, r, "cannot create %s", folder);
	store->folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (store->folder_fd < 0 || fchmod(store->folder_fd, 0700) < 0)
		return error_set_errno(err, -errno, "cannot open %s", folder);
	r = look_through(store);
	if (r < 0)
		return error_set_errno(err, r, "cannot read %s", folder);
	*ret = TAKE_PTR(store);
	return 0;
}

void certificate_store_free(struct certificate_store *store)
{
	if (!store)
		return;
	close_keep_errno(store->folder_fd);
	pthread_mutex_destroy(&store->lock);
	free(store);
}
