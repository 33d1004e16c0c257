/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/certificate/pem.h"

#include <string.h>

#define BEGIN "-----BEGIN "
#define END "-----END "
#define DASHES "-----"

enum { LABEL_MAX = 64 };

/* What each label means (RFC 7468, sections 5 to 13, and the older ones of OpenSSL's PEM_read_bio(3)). */
static const struct label_row {
	const char *label;
	bool taken;
	enum pem_kind kind;
	bool skipped;       /* says nothing that the other blocks do not say */
	const char *advice; /* of those that are refused */
} label_rows[] = {
	{"CERTIFICATE", .taken = true, .kind = PEM_CERTIFICATE},
	{"X509 CERTIFICATE", .taken = true, .kind = PEM_CERTIFICATE},
	{"X509 CRL", .taken = true, .kind = PEM_CRL},
	{"PKCS7", .taken = true, .kind = PEM_PKCS7},
	{"PRIVATE KEY", .taken = true, .kind = PEM_KEY},
	{"RSA PRIVATE KEY", .taken = true, .kind = PEM_KEY},
	{"EC PRIVATE KEY", .taken = true, .kind = PEM_KEY},
	{"EC PARAMETERS", .skipped = true}, /* the key names its curve as well */
	{"ENCRYPTED PRIVATE KEY",
		.advice = "the private key is encrypted and nobody could give its password when HAProxy starts; "
			  "decrypt it: openssl pkey -in FILE -out FILE.pem"},
	{"DSA PRIVATE KEY", .advice = "DSA keys are of no use for TLS; take RSA, ECDSA or Ed25519"},
	{"OPENSSH PRIVATE KEY",
		.advice = "this is a key in OpenSSH's own format; convert it: ssh-keygen -p -m PKCS8 -N '' -f FILE"},
	{"PUBLIC KEY", .advice = "a public key alone is of no use here"},
	{"CERTIFICATE REQUEST", .advice = "this is a request, not the certificate that an authority makes of it"},
	{"NEW CERTIFICATE REQUEST", .advice = "this is a request, not the certificate that an authority makes of it"},
	{"TRUSTED CERTIFICATE",
		.advice = "this is OpenSSL's own form of a certificate; convert it: openssl x509 -in FILE -out FILE.pem"},
	{"DH PARAMETERS", .advice = "parameters for Diffie-Hellman do not belong to a certificate here; leave them out"},
	{"X9.42 DH PARAMETERS",
		.advice = "parameters for Diffie-Hellman do not belong to a certificate here; leave them out"},
};

static const char *find(const char *text, const char *end, const char *word)
{
	return memmem(text, (size_t)(end - text), word, strlen(word));
}

static void count_lines(struct pem_reader *reader, const char *until)
{
	const char *newline;

	while ((newline = memchr(reader->position, '\n', (size_t)(until - reader->position)))) {
		reader->line++;
		reader->position = newline + 1;
	}
	reader->position = until;
}

/* The label after BEGIN or END (section 3: printable, at most one '-' between words). */
static bool read_label(const char *text, const char *end, char ret[LABEL_MAX])
{
	const char *stop = find(text, end, DASHES);
	size_t length = stop ? (size_t)(stop - text) : 0;

	if (length == 0 || length >= LABEL_MAX)
		return false;
	for (size_t i = 0; i < length; i++)
		if (text[i] < 0x20 || text[i] > 0x7e)
			return false;
	memcpy(ret, text, length);
	ret[length] = '\0';
	return true;
}

static const struct label_row *find_row(const char *label)
{
	for (size_t i = 0; i < ELEMENTSOF(label_rows); i++)
		if (strcmp(label_rows[i].label, label) == 0)
			return &label_rows[i];
	return NULL;
}

/* From BEGIN to the end of the END line of the same label. *ret_end is behind its last dash. */
static int find_end(const char *begin, const char *limit, const char *label, size_t line, const char **ret_end,
	struct error *err)
{
	const char *body = begin + strlen(BEGIN), *next = find(body, limit, BEGIN), *end = find(body, limit, END);
	char closing[LABEL_MAX];

	if (!end || (next && next < end) || !read_label(end + strlen(END), limit, closing))
		return error_set(err, ERROR_INVALID, NULL, "the block '%s' that begins in line %zu has no end", label, line);
	if (strcmp(closing, label) != 0)
		return error_set(err, ERROR_INVALID, NULL,
			"the block '%s' that begins in line %zu ends as another one", label, line);
	*ret_end = end + strlen(END) + strlen(label) + strlen(DASHES);
	return 0;
}

/* The older form of OpenSSL (RFC 1421, section 4.6.1.1), within a block of a usual label. */
static bool is_encrypted(const char *text, const char *end)
{
	return find(text, end, "Proc-Type:") && find(text, end, "ENCRYPTED");
}

static int judge_label(const char *label, size_t line, const struct label_row **ret, struct error *err)
{
	const struct label_row *row = find_row(label);

	if (!row)
		return error_set(err, ERROR_INVALID, NULL,
			"line %zu begins a block '%s': only certificates, a private key and CRLs are taken", line, label);
	if (row->advice)
		return error_set(err, ERROR_INVALID, NULL, "line %zu: %s", line, row->advice);
	*ret = row;
	return 0;
}

/* What stands before the next block, or after the last one. */
static int check_between(const char *text, const char *end, const struct pem_reader *reader, struct error *err)
{
	if (find(text, end, END))
		return error_set(err, ERROR_INVALID, NULL,
			"after line %zu a block ends that has no beginning: is the text cut off?", reader->line);
	return 0;
}

int pem_next(struct pem_reader *reader, struct pem_block *ret, bool *ret_found, struct error *err)
{
	for (;;) {
		const char *begin = find(reader->position, reader->end, BEGIN), *end = begin;
		const struct label_row *row;
		char label[LABEL_MAX];
		size_t line;
		int r;

		r = check_between(reader->position, begin ? begin : reader->end, reader, err);
		if (r < 0)
			return r;
		if (!begin) {
			*ret_found = false;
			return 0;
		}
		count_lines(reader, begin);
		line = reader->line;
		if (!read_label(begin + strlen(BEGIN), reader->end, label))
			return error_set(err, ERROR_INVALID, NULL, "line %zu is no beginning of a PEM block", line);
		r = judge_label(label, line, &row, err);
		if (r == 0)
			r = find_end(begin, reader->end, label, line, &end, err);
		if (r < 0)
			return r;
		count_lines(reader, end);
		if (row->skipped)
			continue;
		if (row->kind == PEM_KEY && is_encrypted(begin, end))
			return judge_label("ENCRYPTED PRIVATE KEY", line, &row, err);
		*ret = (struct pem_block){row->kind, begin, (size_t)(end - begin), line};
		*ret_found = true;
		return 0;
	}
}
