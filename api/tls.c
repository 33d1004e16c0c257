/* SPDX-License-Identifier: Apache-2.0 */
#include "api/tls.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <strings.h>
#include <sys/stat.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "api/tls_internal.h"
#include "api/tls_pair.h"

enum {
	FILE_MAX_BYTES = 1024 * 1024,
	REFUSED_WINDOW_MS = 1000,
	REFUSED_LINES = 5, /* a window */
};

struct tls_credentials {
	atomic_uint references;
	gnutls_certificate_credentials_t x509; /* owned; not changed once it is used */
};

struct tls_context {
	char *certificate_file; /* owned */
	char *ca;               /* owned: PEM */
	size_t ca_length;
	const char *priorities;

	pthread_mutex_t reloading; /* so that the last to read the file is the last to be used */
	pthread_mutex_t lock;      /* protects what follows */
	struct tls_credentials *credentials;
	int64_t window_ms; /* when it began */
	unsigned lines, unlogged;
};

/* Forward secrecy and AEAD only: what every controller since Python 2.7.9 and OpenSSL 1.0.1 has.
 * PROFILE_MEDIUM asks for RSA keys of 2048 bits and SHA-256, as OpenSSL does in today's
 * distributions. No tickets: a resumed session would not show its certificate again. */
#define PRIORITIES(versions)                                                         \
	"NORMAL:-VERS-ALL:" versions ":-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA:-CIPHER-ALL:" \
	"+AES-256-GCM:+CHACHA20-POLY1305:+AES-128-GCM:-MAC-ALL:+AEAD:%PROFILE_MEDIUM:%NO_TICKETS"

static const char from_1_2[] = PRIORITIES("+VERS-TLS1.3:+VERS-TLS1.2");
static const char from_1_3[] = PRIORITIES("+VERS-TLS1.3");

static const struct {
	const char *name; /* Octavia's, with '.' for '_' */
	const char *priorities;
	bool raised;
} versions[] = {
	{"TLSv1.2", from_1_2, false},
	{"TLSv1.3", from_1_3, false},
	{"TLSv1.1", from_1_2, true},
	{"TLSv1.0", from_1_2, true},
	{"TLSv1", from_1_2, true},
	{"TLS", from_1_2, true},
	{"SSLv23", from_1_2, true},
	{"SSLv3", from_1_2, true},
	{"SSLv2", from_1_2, true},
};

static int choose_version(const char *wanted, const char **ret, struct error *err)
{
	char name[16];
	int length;

	wanted = wanted && wanted[0] ? wanted : "TLSv1.2";
	length = snprintf(name, sizeof(name), "%s", wanted);
	for (char *c = strchr(name, '_'); c; c = strchr(c, '_'))
		*c = '.';
	for (size_t i = 0; i < ELEMENTSOF(versions) && length < (int)sizeof(name); i++) {
		if (strcasecmp(name, versions[i].name) != 0)
			continue;
		if (versions[i].raised)
			log_warning("tls: the minimum version %s is too old to be safe: TLSv1.2 is "
				    "used",
				wanted);
		*ret = versions[i].priorities;
		return 0;
	}
	return error_set(err, ERROR_INVALID, NULL,
		"the minimum TLS version '%s' is not known: write TLSv1.2 or TLSv1.3", wanted);
}

/* The machine's own rules (GnuTLS's system-wide configuration) can leave nothing of them. */
static int check_priorities(const char *priorities, struct error *err)
{
	gnutls_priority_t parsed;
	int r = gnutls_priority_init(&parsed, priorities, NULL);

	if (r < 0)
		return error_set(err, ERROR_INVALID, NULL,
			"GnuTLS does not offer the TLS versions and algorithms we need: %s",
			gnutls_strerror(r));
	gnutls_priority_deinit(parsed);
	return 0;
}

void tls_credentials_unref(struct tls_credentials *credentials)
{
	if (!credentials || atomic_fetch_sub(&credentials->references, 1) > 1)
		return;
	if (credentials->x509)
		gnutls_certificate_free_credentials(credentials->x509);
	free(credentials);
}
DEFINE_CLEANUP(struct tls_credentials *, tls_credentials_unref);

static int fill_credentials(gnutls_certificate_credentials_t x509,
	const struct tls_context *context, const struct tls_pair *pair, struct error *err)
{
	const gnutls_datum_t ca = {(unsigned char *)context->ca, (unsigned)context->ca_length};
	int r;

	r = gnutls_certificate_set_x509_trust_mem(x509, &ca, GNUTLS_X509_FMT_PEM);
	if (r < 0)
		return error_set(err, ERROR_INVALID, NULL,
			"the CA of the clients cannot be read: %s", gnutls_strerror(r));
	if (r == 0)
		return error_set(err, ERROR_INVALID, NULL,
			"there is no certificate in the file with the CA of the clients");
	r = gnutls_certificate_set_x509_key(x509, pair->chain, (int)pair->n, pair->key);
	if (r < 0)
		return error_set(err, ERROR_INVALID, NULL, "the certificate cannot be used: %s",
			gnutls_strerror(r));
	return 0;
}

static int make_credentials(const struct tls_context *context, const struct tls_pair *pair,
	struct tls_credentials **ret, struct error *err)
{
	_cleanup_(tls_credentials_unrefp) struct tls_credentials *credentials = NULL;
	int r;

	credentials = calloc(1, sizeof(*credentials));
	if (!credentials)
		return error_set_errno(err, -ENOMEM, "TLS");
	atomic_init(&credentials->references, 1);
	if (gnutls_certificate_allocate_credentials(&credentials->x509) < 0) {
		credentials->x509 = NULL;
		return error_set_errno(err, -ENOMEM, "TLS");
	}
	r = fill_credentials(credentials->x509, context, pair, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(credentials);
	return 0;
}

/* Whoever can read the key can pose as this amphora. */
static void warn_of_readers(const char *path)
{
	struct stat status;

	if (stat(path, &status) == 0 && (status.st_mode & S_IROTH))
		log_warning("tls: every user of this machine can read the private key in %s: chmod 600 %s", path, path);
}

/* "strict": what clients will refuse is an error; otherwise it is only warned about. */
static int load_pair(const char *path, bool strict, struct tls_pair *ret, struct error *err)
{
	_cleanup_tls_pair_ struct tls_pair pair = TLS_PAIR_INIT;
	_cleanup_error_ struct error complaint = ERROR_INIT;
	_cleanup_free_ char *pem = NULL;
	size_t length = 0;
	int r;

	r = fileio_read(AT_FDCWD, path, FILE_MAX_BYTES, &pem, &length);
	if (r < 0)
		return error_set_errno(err, r, "reading the certificate file %s", path);
	r = tls_pair_read(pem, length, &pair, err);
	explicit_bzero(pem, length);
	if (r < 0)
		return error_wrap(err, r, "%s", path);
	warn_of_readers(path);
	r = tls_pair_judge(&pair, &complaint);
	if (r < 0 && strict)
		return error_set(
			err, complaint.code, NULL, "%s: %s", path, error_message(&complaint));
	if (r < 0)
		log_warning("tls: %s: %s: clients will refuse to talk to us", path,
			error_message(&complaint));
	*ret = pair;
	pair = TLS_PAIR_INIT;
	return 0;
}

static int load_credentials(
	struct tls_context *context, bool strict, struct tls_credentials **ret, struct error *err)
{
	_cleanup_tls_pair_ struct tls_pair pair = TLS_PAIR_INIT;
	int r;

	r = load_pair(context->certificate_file, strict, &pair, err);
	return r < 0 ? r : make_credentials(context, &pair, ret, err);
}

static int fill_context(
	struct tls_context *context, const struct tls_options *options, struct error *err)
{
	int r;

	if (!options->certificate_file || !options->certificate_file[0] ||
		!options->client_ca_file || !options->client_ca_file[0])
		return error_set(err, ERROR_INVALID, NULL,
			"TLS needs a certificate file and the CA of the clients");
	r = choose_version(options->minimum_version, &context->priorities, err);
	if (r >= 0)
		r = check_priorities(context->priorities, err);
	if (r < 0)
		return r;
	context->certificate_file = strdup(options->certificate_file);
	if (!context->certificate_file)
		return error_set_errno(err, -ENOMEM, "TLS");
	r = fileio_read(AT_FDCWD, options->client_ca_file, FILE_MAX_BYTES, &context->ca,
		&context->ca_length);
	if (r < 0)
		return error_set_errno(
			err, r, "reading the CA of the clients, %s", options->client_ca_file);
	return load_credentials(context, false, &context->credentials, err);
}

int tls_context_new(const struct tls_options *options, struct tls_context **ret, struct error *err)
{
	_cleanup_(tls_context_freep) struct tls_context *context = NULL;
	int r;

	context = calloc(1, sizeof(*context));
	if (!context)
		return error_set_errno(err, -ENOMEM, "TLS");
	pthread_mutex_init(&context->reloading, NULL);
	pthread_mutex_init(&context->lock, NULL);
	r = fill_context(context, options, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(context);
	return 0;
}

int tls_context_reload_certificate(struct tls_context *context, struct error *err)
{
	_cleanup_(tls_credentials_unrefp) struct tls_credentials *replaced = NULL;
	struct tls_credentials *fresh;
	int r;

	pthread_mutex_lock(&context->reloading);
	r = load_credentials(context, true, &fresh, err);
	if (r >= 0) {
		pthread_mutex_lock(&context->lock);
		replaced = context->credentials;
		context->credentials = fresh;
		pthread_mutex_unlock(&context->lock);
	}
	pthread_mutex_unlock(&context->reloading);
	return r;
}

void tls_context_free(struct tls_context *context)
{
	if (!context)
		return;
	tls_credentials_unref(context->credentials);
	pthread_mutex_destroy(&context->reloading);
	pthread_mutex_destroy(&context->lock);
	free(context->certificate_file);
	free(context->ca);
	free(context);
}

const char *tls_context_priorities(const struct tls_context *context)
{
	return context->priorities;
}

struct tls_credentials *tls_context_credentials(struct tls_context *context)
{
	struct tls_credentials *credentials;

	pthread_mutex_lock(&context->lock);
	credentials = context->credentials;
	atomic_fetch_add(&credentials->references, 1);
	pthread_mutex_unlock(&context->lock);
	return credentials;
}

gnutls_certificate_credentials_t tls_credentials_get(const struct tls_credentials *credentials)
{
	return credentials->x509;
}

void tls_context_log_refused(
	struct tls_context *context, const char *address, const char *reason, const char *subject)
{
	int64_t now_ms = process_now_ms();
	unsigned unlogged = 0;
	bool logged;

	pthread_mutex_lock(&context->lock);
	if (now_ms - context->window_ms >= REFUSED_WINDOW_MS) {
		unlogged = context->unlogged;
		context->window_ms = now_ms;
		context->lines = context->unlogged = 0;
	}
	logged = context->lines < REFUSED_LINES;
	if (logged)
		context->lines++;
	else
		context->unlogged++;
	pthread_mutex_unlock(&context->lock);
	if (unlogged > 0)
		log_warning("tls: %u more clients were refused", unlogged);
	if (logged)
		log_warning("tls: refused %s: %s%s%s%s", address, reason,
			subject ? "; certificate of '" : "", subject ? subject : "",
			subject ? "'" : "");
}
