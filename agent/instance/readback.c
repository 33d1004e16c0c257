/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/instance/internal.h"

#include <ctype.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <string.h>

#include "agent/base/text.h"
#include "agent/haproxy/cfg_files.h"

/*
 * Reading back what HAProxy has of the files that a plan changed: certificates by the fingerprint of the first one, CAs by all
 * fingerprints, CRLs by their number and that of the revoked certificates, lists by their entries.
 *
 * Source: HAProxy management guide, 9.3: show ssl cert, show ssl ca-file, show ssl crl-file, show ssl crt-list, show acl,
 * show map.
 */

enum { FINGERPRINT_BYTES = 20 }; /* SHA-1, which is what HAProxy tells */

/* A set of strings. */
struct set {
	char **items; /* NULL-terminated */
	size_t n;
};
#define SET_INIT ((struct set){0})
#define _cleanup_set_ _cleanup_(set_done)

static void set_done(struct set *set)
{
	strv_free(set->items);
}

static int set_add(struct set *set, const char *item, size_t length)
{
	return strv_push(&set->items, &set->n, strndup(item, length));
}

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void set_sort(struct set *set)
{
	size_t kept = 0;

	if (set->n == 0)
		return;
	qsort(set->items, set->n, sizeof(*set->items), compare_strings);
	for (size_t i = 1; i < set->n; i++) {
		if (streq(set->items[kept], set->items[i]))
			free(set->items[i]);
		else
			set->items[++kept] = set->items[i];
	}
	set->n = kept + 1;
	set->items[set->n] = NULL;
}

static bool set_equal(struct set *a, struct set *b)
{
	set_sort(a);
	set_sort(b);
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!streq(a->items[i], b->items[i]))
			return false;
	return true;
}

/* The next line of a text without the blanks around it; false at its end. */
static bool next_line(const char **text, const char **ret_line, size_t *ret_length)
{
	const char *line = *text;
	size_t length = strcspn(line, "\n");

	if (*line == '\0')
		return false;
	*text = line + length + (line[length] ? 1 : 0);
	while (length > 0 && isspace((unsigned char)*line)) {
		line++;
		length--;
	}
	while (length > 0 && isspace((unsigned char)line[length - 1]))
		length--;
	*ret_line = line;
	*ret_length = length;
	return true;
}

/* What follows "prefix" in each line that begins so. */
static int add_values(struct set *set, const char *text, const char *prefix)
{
	size_t length, prefix_length = strlen(prefix);
	const char *line;

	while (next_line(&text, &line, &length)) {
		int r = 0;

		if (length >= prefix_length && memcmp(line, prefix, prefix_length) == 0)
			r = set_add(set, line + prefix_length, length - prefix_length);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_fingerprint(struct set *set, gnutls_x509_crt_t certificate)
{
	uint8_t bytes[FINGERPRINT_BYTES];
	char hex[2 * FINGERPRINT_BYTES + 1];
	size_t size = sizeof(bytes);

	if (gnutls_x509_crt_get_fingerprint(certificate, GNUTLS_DIG_SHA1, bytes, &size) < 0)
		return -EBADMSG;
	text_hex(bytes, size, hex);
	for (char *c = hex; *c; c++)
		*c = (char)toupper((unsigned char)*c);
	return set_add(set, hex, strlen(hex));
}

/* Of all certificates of a PEM text, or of the first one. */
static int add_fingerprints(struct set *set, const char *pem, bool all)
{
	gnutls_datum_t data = {(unsigned char *)pem, (unsigned)strlen(pem)};
	gnutls_x509_crt_t *certificates = NULL;
	unsigned n = 0;
	int r = 0;

	if (gnutls_x509_crt_list_import2(&certificates, &n, &data, GNUTLS_X509_FMT_PEM, 0) < 0)
		return -EBADMSG;
	for (unsigned i = 0; i < n; i++) {
		if (r == 0 && (all || i == 0))
			r = add_fingerprint(set, certificates[i]);
		gnutls_x509_crt_deinit(certificates[i]);
	}
	gnutls_free(certificates);
	return r;
}

static int ask(struct runtime_session *session, const char *question, const char *name, char **ret, struct error *err)
{
	_cleanup_free_ char *command = NULL;

	if (asprintf(&command, "%s %s", question, name) < 0) {
		command = NULL;
		return error_set_errno(err, -ENOMEM, "%s", question);
	}
	return runtime_session_command(session, command, RUNTIME_TIMEOUT_MS, ret, err);
}

/* 1: equal, 0: not. */
static int compare_fingerprints(const char *reply, const char *content, bool all)
{
	_cleanup_set_ struct set has = SET_INIT, wants = SET_INIT;
	int r = add_values(&has, reply, "SHA1 FingerPrint: ");

	if (r == 0)
		r = add_fingerprints(&wants, content, all);
	return r < 0 ? r : set_equal(&has, &wants);
}

static size_t count_lines(const char *text, const char *prefix)
{
	size_t n = 0, length;
	const char *line;

	while (next_line(&text, &line, &length))
		n += length >= strlen(prefix) && memcmp(line, prefix, strlen(prefix)) == 0;
	return n;
}

static int compare_crls(const char *reply, const char *content)
{
	gnutls_datum_t data = {(unsigned char *)content, (unsigned)strlen(content)};
	gnutls_x509_crl_t *crls = NULL;
	size_t revoked = 0;
	unsigned n = 0;

	if (gnutls_x509_crl_list_import2(&crls, &n, &data, GNUTLS_X509_FMT_PEM, 0) < 0)
		return -EBADMSG;
	for (unsigned i = 0; i < n; i++) {
		int in_this = gnutls_x509_crl_get_crt_count(crls[i]);

		revoked += in_this > 0 ? (size_t)in_this : 0;
		gnutls_x509_crl_deinit(crls[i]);
	}
	gnutls_free(crls);
	return count_lines(reply, "Certificate Revocation List") == n && count_lines(reply, "Serial Number:") == revoked;
}

/* The first words of the lines. */
static int add_first_words(struct set *set, const char *text)
{
	size_t length;
	const char *line;

	while (next_line(&text, &line, &length)) {
		size_t word = 0;
		int r;

		while (word < length && !strchr(" \t[", line[word]))
			word++;
		if (length == 0 || *line == '#')
			continue;
		r = set_add(set, line, word);
		if (r < 0)
			return r;
	}
	return 0;
}

static int compare_certificate_lists(const char *reply, const char *content)
{
	_cleanup_set_ struct set has = SET_INIT, wants = SET_INIT;
	int r = add_first_words(&has, reply);

	if (r == 0)
		r = add_first_words(&wants, content);
	return r < 0 ? r : set_equal(&has, &wants);
}

/* Patterns, or keys with their values, one blank between the two. HAProxy puts an address in front of each. */
static int add_patterns(struct set *set, const char *text, bool with_address)
{
	size_t length;
	const char *line;

	while (next_line(&text, &line, &length)) {
		_cleanup_free_ char *item = NULL;
		size_t key;
		int r;

		if (with_address)
			while (length > 0 && !isspace((unsigned char)*line)) {
				line++;
				length--;
			}
		while (length > 0 && isspace((unsigned char)*line)) {
			line++;
			length--;
		}
		if (length == 0 || (!with_address && *line == '#'))
			continue;
		item = strndup(line, length);
		if (!item)
			return -ENOMEM;
		key = strcspn(item, " \t");
		if (item[key]) {
			char *value = item + key + strspn(item + key, " \t");

			item[key] = ' ';
			memmove(item + key + 1, value, strlen(value) + 1);
		}
		r = set_add(set, item, strlen(item));
		if (r < 0)
			return r;
	}
	return 0;
}

static int compare_patterns(const char *reply, const char *content)
{
	_cleanup_set_ struct set has = SET_INIT, wants = SET_INIT;
	int r = add_patterns(&has, reply, true);

	if (r == 0)
		r = add_patterns(&wants, content, false);
	return r < 0 ? r : set_equal(&has, &wants);
}

static int compare(enum cfg_file_kind kind, const char *reply, const char *content)
{
	switch (kind) {
	case CFG_FILE_CERTIFICATE:
		return compare_fingerprints(reply, content, false);
	case CFG_FILE_CA:
		return compare_fingerprints(reply, content, true);
	case CFG_FILE_CRL:
		return compare_crls(reply, content);
	case CFG_FILE_CERTIFICATE_LIST:
		return compare_certificate_lists(reply, content);
	case CFG_FILE_PATTERNS:
	case CFG_FILE_MAP:
		return compare_patterns(reply, content);
	}
	return -EINVAL;
}

static int compare_file(struct runtime_session *session, const struct cfg_file *file, const char *content, struct error *err)
{
	static const char *const questions[] = {
		[CFG_FILE_CERTIFICATE] = "show ssl cert",
		[CFG_FILE_CERTIFICATE_LIST] = "show ssl crt-list",
		[CFG_FILE_CA] = "show ssl ca-file",
		[CFG_FILE_CRL] = "show ssl crl-file",
		[CFG_FILE_PATTERNS] = "show acl",
		[CFG_FILE_MAP] = "show map",
	};
	_cleanup_free_ char *reply = NULL;
	int r;

	r = ask(session, questions[file->kind], file->name, &reply, err);
	if (r < 0)
		return r;
	r = compare(file->kind, reply, content);
	if (r < 0)
		return error_set_errno(err, r, "%s cannot be compared with what HAProxy has", file->name);
	return r > 0 ? 0 : error_set(err, ERROR_APPLY, NULL, "read back: HAProxy has another %s", file->name);
}

static int find_files(const struct wanted *wanted, struct cfg_files *ret, struct error *err)
{
	_cleanup_cfg_ struct cfg cfg = CFG_INIT;
	int r;

	r = cfg_parse(wanted->text, wanted->length, &cfg, err);
	if (r < 0)
		return r;
	r = cfg_files_find(&cfg, ret);
	for (size_t i = 0; r == 0 && i < wanted->n_files; i++) {
		const struct cfg_file *file = cfg_files_get(ret, wanted->files[i].name);

		if (file && file->kind == CFG_FILE_CERTIFICATE_LIST && wanted->files[i].after)
			r = cfg_files_add_listed(ret, wanted->files[i].after);
	}
	return r < 0 ? error_set_errno(err, r, "files of the configuration") : 0;
}

int instance_compare_files(struct runtime_session *session, const struct wanted *wanted, struct error *err)
{
	_cleanup_cfg_files_ struct cfg_files files = CFG_FILES_INIT;
	int r = 0;

	for (size_t i = 0; r == 0 && i < wanted->n_files; i++) {
		const struct plan_file *changed = &wanted->files[i];
		const struct cfg_file *file;

		if (!changed->after || streq_null(changed->before, changed->after))
			continue;
		if (!files.files)
			r = find_files(wanted, &files, err);
		file = cfg_files_get(&files, changed->name);
		if (r == 0 && file)
			r = compare_file(session, file, changed->after, err);
	}
	return r;
}
