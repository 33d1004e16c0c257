/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/text.h"
#include "agent/certificate/store.h"
#include "tests/unit/pki.h"

/*
 * Certificates on disk: what is written, what comes back, and what a start makes of files that nobody wrote.
 */

static struct identity *authority, *first, *second;
static char base[64], folder[96];

static struct certificate_store *open_store(void)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	struct certificate_store *store;

	if (certificate_store_open(folder, &store, &err) < 0)
		fail_msg("%s", error_message(&err));
	return store;
}

static void put(struct certificate_store *store, const char *name, const char *pem, bool created, bool changed)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	bool was_created, was_changed;

	if (certificate_store_put(store, name, pem, strlen(pem), &was_created, &was_changed, NULL, &err) < 0)
		fail_msg("%s: %s", name, error_message(&err));
	assert_int_equal(was_created, created);
	assert_int_equal(was_changed, changed);
}

static char *load(struct certificate_store *store, const char *name, enum certificate_kind kind)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	size_t length;
	char *pem;

	if (certificate_store_load(store, name, kind, &pem, &length, &err) < 0)
		fail_msg("%s: %s", name, error_message(&err));
	assert_int_equal(strlen(pem), length);
	return pem;
}

static void assert_load_fails(
	struct certificate_store *store, const char *name, enum certificate_kind kind, enum error_code code, const char *words)
{
	_cleanup_error_ struct error err = ERROR_INIT, checked = ERROR_INIT;
	char *pem;

	assert_true(certificate_store_load(store, name, kind, &pem, NULL, &err) < 0);
	assert_true(certificate_store_check(store, name, kind, &checked) < 0);
	assert_int_equal(err.code, code);
	assert_int_equal(checked.code, code);
	if (!strstr(error_message(&err), words))
		fail_msg("wanted '%s', got: %s", words, error_message(&err));
}

static void assert_list(struct certificate_store *store, const char *wanted)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_strv_ char **names = NULL;
	_cleanup_text_ struct text text = TEXT_INIT;

	assert_int_equal(certificate_store_list(store, &names, &err), 0);
	STRV_FOREACH(name, names)
		text_printf(&text, "%s ", *name);
	assert_string_equal(text_peek(&text), wanted);
}

static mode_t mode_of(const char *name)
{
	_cleanup_free_ char *path = NULL;
	struct stat st;

	assert_true(asprintf(&path, "%s/%s", folder, name) > 0);
	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

static void write_file(const char *name, const void *content, size_t length)
{
	_cleanup_free_ char *path = NULL;

	assert_true(asprintf(&path, "%s/%s", folder, name) > 0);
	assert_int_equal(fileio_write(AT_FDCWD, path, content, length, 0644), 0);
}

static bool exists(const char *name)
{
	_cleanup_free_ char *path = NULL;

	assert_true(asprintf(&path, "%s/%s", folder, name) > 0);
	return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void test_life(void **state _unused_)
{
	_cleanup_(certificate_store_freep) struct certificate_store *store = open_store();
	_cleanup_certificate_info_ struct certificate_info info = CERTIFICATE_INFO_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ char *pem = NULL;

	assert_list(store, "");
	put(store, "b", first->pem, true, true);
	put(store, "a.example", second->pem, true, true);
	put(store, "b", first->pem, false, false);
	put(store, "ca", authority->certificate_pem, true, true);
	assert_list(store, "a.example b ca ");
	assert_int_equal(mode_of("b.pem"), 0600);
	assert_int_equal(mode_of("."), 0700);
	pem = load(store, "b", CERTIFICATE_PAIR);
	assert_string_equal(pem, first->pem);
	assert_int_equal(certificate_store_info(store, "b", &info, &err), 0);
	assert_string_equal(info.name, "b");
	assert_string_equal(info.subject, "CN=first");
	assert_int_equal(info.kind, CERTIFICATE_PAIR);

	assert_int_equal(certificate_store_delete(store, "b", &err), 0);
	assert_int_equal(certificate_store_delete(store, "b", &err), error_code_to_errno(ERROR_NOT_FOUND));
	assert_load_fails(store, "b", CERTIFICATE_PAIR, ERROR_NOT_FOUND, "there is no certificate 'b'");
	assert_list(store, "a.example ca ");
}

static void test_kinds(void **state _unused_)
{
	_cleanup_(certificate_store_freep) struct certificate_store *store = open_store();
	_cleanup_free_ char *crl = identity_crl(authority, 0, 0), *ca_pem = NULL, *crl_pem = NULL;

	put(store, "pair", first->pem, true, true);
	put(store, "ca", authority->certificate_pem, true, true);
	put(store, "crl", crl, true, true);
	ca_pem = load(store, "ca", CERTIFICATE_CA);
	crl_pem = load(store, "crl", CERTIFICATE_CRL);
	assert_string_equal(crl_pem, crl);
	assert_load_fails(store, "pair", CERTIFICATE_CA, ERROR_INVALID, "holds a certificate with its private key");
	assert_load_fails(store, "ca", CERTIFICATE_PAIR, ERROR_INVALID, "needed here: a certificate with its private key");
	assert_load_fails(store, "crl", CERTIFICATE_PAIR, ERROR_INVALID, "holds revocation lists");
	assert_load_fails(store, "ca", CERTIFICATE_CRL, ERROR_INVALID, "needed here: revocation lists");
	/* The kind may change. */
	put(store, "pair", authority->certificate_pem, false, true);
	free(load(store, "pair", CERTIFICATE_CA));
}

static void test_back(void **state _unused_)
{
	_cleanup_(certificate_store_freep) struct certificate_store *store = open_store();
	_cleanup_certificate_backup_ struct certificate_backup before = CERTIFICATE_BACKUP_INIT,
							       nothing = CERTIFICATE_BACKUP_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ char *pem = NULL;
	bool created, changed;

	assert_int_equal(certificate_store_put(store, "a", first->pem, strlen(first->pem), &created, &changed, &nothing, &err), 0);
	assert_true(created && changed && !nothing.pem);
	assert_int_equal(certificate_store_put(store, "a", second->pem, strlen(second->pem), &created, &changed, &before, &err), 0);
	assert_true(!created && changed);
	assert_string_equal(before.pem, first->pem);
	assert_int_equal(certificate_store_restore(store, "a", &before, &err), 0);
	pem = load(store, "a", CERTIFICATE_PAIR);
	assert_string_equal(pem, first->pem);
	assert_int_equal(certificate_store_restore(store, "a", &nothing, &err), 0);
	assert_list(store, "");
}

static void test_what_is_refused_changes_nothing(void **state _unused_)
{
	_cleanup_(certificate_store_freep) struct certificate_store *store = open_store();
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ char *pem = NULL;
	bool created, changed;

	put(store, "a", first->pem, true, true);
	assert_true(certificate_store_put(store, "a", first->key_pem, strlen(first->key_pem), &created, &changed, NULL, &err) < 0);
	assert_int_equal(err.code, ERROR_INVALID);
	pem = load(store, "a", CERTIFICATE_PAIR);
	assert_string_equal(pem, first->pem);
}

static void test_names(void **state _unused_)
{
	static const char *const bad[] = {"", ".", "..", ".a", "a/b", "../a", "a b", "a\n", "\xc3\xa4", "a%2fb", "a:b", "a*"};
	_cleanup_(certificate_store_freep) struct certificate_store *store = open_store();
	_cleanup_error_ struct error err = ERROR_INIT;
	char longest[CERTIFICATE_NAME_MAX + 2];
	bool created, changed;

	memset(longest, 'x', sizeof(longest));
	longest[CERTIFICATE_NAME_MAX + 1] = '\0';
	assert_false(certificate_name_is_valid(longest));
	longest[CERTIFICATE_NAME_MAX] = '\0';
	assert_true(certificate_name_is_valid(longest));
	put(store, longest, first->pem, true, true);
	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		assert_false(certificate_name_is_valid(bad[i]));
		assert_int_equal(certificate_store_put(store, bad[i], first->pem, strlen(first->pem), &created, &changed, NULL, &err),
			error_code_to_errno(ERROR_INVALID));
		assert_int_equal(certificate_store_delete(store, bad[i], &err), error_code_to_errno(ERROR_INVALID));
	}
	assert_string_equal(certificate_reference_name("a.example"), "a.example");
	assert_string_equal(certificate_reference_name("https://barbican:9311/v1/containers/abc"), "abc");
	assert_null(certificate_reference_name("https://barbican/v1/containers/"));
	assert_null(certificate_reference_name(""));
	assert_null(certificate_reference_name(".."));
}

static void test_files_of_a_power_cut(void **state _unused_)
{
	static const char zeros[500];
	_cleanup_(certificate_store_freep) struct certificate_store *store = open_store();
	_cleanup_free_ char *link = NULL, *fifo_target = NULL, *pem = NULL;
	size_t length = strlen(first->pem);

	put(store, "good", first->pem, true, true);
	certificate_store_free(TAKE_PTR(store));
	write_file("empty.pem", "", 0);
	write_file("zeros.pem", zeros, sizeof(zeros));
	write_file("half.pem", first->pem, length / 2);
	write_file("cut.pem", first->pem, length - 1);
	write_file("text.pem", "hello\n", 6);
	write_file("other.txt", "hello\n", 6);
	write_file(".tmp-0123456789abcdef", first->pem, length);
	assert_true(asprintf(&link, "%s/link.pem", folder) > 0);
	assert_int_equal(symlink("good.pem", link), 0);
	assert_true(asprintf(&fifo_target, "%s/folder.pem", folder) > 0);
	assert_int_equal(mkdir(fifo_target, 0755), 0);
	assert_int_equal(chmod(folder, 0755), 0);

	store = open_store();
	assert_int_equal(mode_of("."), 0700);
	assert_list(store, "good ");
	pem = load(store, "good", CERTIFICATE_PAIR);
	assert_true(exists("empty.pem.corrupt") && exists("zeros.pem.corrupt") && exists("half.pem.corrupt") &&
		exists("cut.pem.corrupt") && exists("text.pem.corrupt") && exists("link.pem.corrupt"));
	assert_false(exists(".tmp-0123456789abcdef"));
	assert_true(exists("other.txt"));
	put(store, "half", second->pem, true, true);
}

/* A disk can go bad while we run. */
static void test_damage(void **state _unused_)
{
	_cleanup_(certificate_store_freep) struct certificate_store *store = open_store();
	_cleanup_certificate_info_ struct certificate_info info = CERTIFICATE_INFO_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ char *inside = strdup(first->pem);

	put(store, "a", first->pem, true, true);
	write_file("a.pem", "x", 1);
	assert_load_fails(store, "a", CERTIFICATE_PAIR, ERROR_INTERNAL, "damaged");
	memset(inside + 100, 'A', 64);
	write_file("a.pem", inside, strlen(inside));
	assert_int_equal(certificate_store_info(store, "a", &info, &err), error_code_to_errno(ERROR_INTERNAL));
	put(store, "a", first->pem, false, true);
	write_file("a.pem", "x", 1);
	assert_int_equal(certificate_store_delete(store, "a", &err), 0);
}

static void test_number(void **state _unused_)
{
	_cleanup_(certificate_store_freep) struct certificate_store *store = open_store();
	_cleanup_error_ struct error err = ERROR_INIT;
	bool created, changed;

	put(store, "first", first->pem, true, true);
	for (int i = 1; i < CERTIFICATE_COUNT_MAX; i++) {
		_cleanup_free_ char *path = NULL;
		_cleanup_close_ int fd = -1;

		assert_true(asprintf(&path, "%s/n%d.pem", folder, i) > 0);
		fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
	}
	assert_int_equal(certificate_store_put(store, "one-more", first->pem, strlen(first->pem), &created, &changed, NULL, &err),
		error_code_to_errno(ERROR_TOO_LARGE));
	put(store, "first", second->pem, false, true); /* no more than before */
}

static void test_folder_that_is_none(void **state _unused_)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	struct certificate_store *store;

	assert_int_equal(symlink("/tmp", folder), 0);
	assert_true(certificate_store_open(folder, &store, &err) < 0);
	assert_non_null(strstr(error_message(&err), folder));
}

static int make_folder(void **state _unused_)
{
	snprintf(base, sizeof(base), "/tmp/test-certificates-XXXXXX");
	if (!mkdtemp(base))
		return -1;
	snprintf(folder, sizeof(folder), "%s/certificates", base);
	return 0;
}

static int remove_folder(void **state _unused_)
{
	return fileio_remove_tree(AT_FDCWD, base);
}

static int setup(void **state _unused_)
{
	log_set_level(LOG_CRIT);
	authority = identity_new(&(const struct identity_options){.name = "authority", .is_ca = true});
	first = identity_new(&(const struct identity_options){.name = "first", .issuer = authority});
	second = identity_new(&(const struct identity_options){.name = "second", .issuer = authority});
	return 0;
}

static int teardown(void **state _unused_)
{
	identity_free(authority);
	identity_free(first);
	identity_free(second);
	return 0;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_life),
		TEST(test_kinds),
		TEST(test_back),
		TEST(test_what_is_refused_changes_nothing),
		TEST(test_names),
		TEST(test_files_of_a_power_cut),
		TEST(test_damage),
		TEST(test_number),
		TEST(test_folder_that_is_none),
	};

	return cmocka_run_group_tests_name("certificate store", tests, setup, teardown);
}
