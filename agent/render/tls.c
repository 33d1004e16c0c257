/* SPDX-License-Identifier: Apache-2.0 */

/* TLS with clients and with members. Sources: bind_macro and member_macro of Octavia's macros.j2; HAProxy configuration manual,
 * 5.1 and 5.2. */

#include "agent/render/haproxy-internal.h"

#include "agent/base/text.h"

/* From the oldest to the newest. */
static const struct version_row {
	const char *name;    /* Octavia's */
	const char *refusal; /* Octavia writes the versions that are not wanted */
	const char *limit;   /* for ssl-min-ver and ssl-max-ver */
} version_rows[] = {
	{"SSLv3", "no-sslv3", "SSLv3"},
	{"TLSv1", "no-tlsv10", "TLSv1.0"},
	{"TLSv1.1", "no-tlsv11", "TLSv1.1"},
	{"TLSv1.2", "no-tlsv12", "TLSv1.2"},
	{"TLSv1.3", "no-tlsv13", "TLSv1.3"},
};
enum { TLS_1_2 = 3 };

static const char *const verify_words[] = {
	[CLIENT_AUTHENTICATION_NONE] = "none",
	[CLIENT_AUTHENTICATION_OPTIONAL] = "optional",
	[CLIENT_AUTHENTICATION_MANDATORY] = "required",
};

static bool has_word(char *const *words, const char *wanted)
{
	STRV_FOREACH(word, words)
		if (streq(*word, wanted))
			return true;
	return false;
}

static bool wants(char *const *versions, size_t row)
{
	return has_word(versions, version_rows[row].name);
}

/* A listener has TLS 1.2 and later unless ssl-min-ver says otherwise, whatever is not refused (manual, 5.1). HAProxy knows ranges
 * only: of versions with a hole between them, those below the hole are not offered. */
static bool put_old_versions(char *const *versions, struct view *words)
{
	size_t newest = ELEMENTSOF(version_rows) - 1, oldest;

	while (newest > 0 && !wants(versions, newest))
		newest--;
	oldest = newest;
	while (oldest > 0 && wants(versions, oldest - 1))
		oldest--;
	if (oldest >= TLS_1_2 || !wants(versions, oldest))
		return false;
	view_append_own(words, "ssl-min-ver");
	view_append_own(words, version_rows[oldest].limit);
	view_append_own(words, "ssl-max-ver");
	view_append_own(words, version_rows[newest].limit);
	return true;
}

/* What listeners and pools have in common. */
static void put_parameters(
	struct view *view, bool listener, const char *ciphers, char *const *versions, char *const *alpn)
{
	_cleanup_view_ struct view words = view_list();

	if (versions && !(listener && put_old_versions(versions, &words)))
		for (size_t i = 0; i < ELEMENTSOF(version_rows); i++)
			if (!wants(versions, i))
				view_append_own(&words, version_rows[i].refusal);
	view_put_quoted(view, "ciphers", ciphers);
	view_put_view(view, "versions", &words);
	view_put_joined(view, "alpn", alpn);
}

/* A certificate of a field, NULL if the field is not given. */
static int find(struct render *render, const char *reference, enum certificate_kind kind, const char *pointer,
	char **ret_name, struct error *err)
{
	if (!reference)
		return 0;
	return files_add_certificate(
		render->files, render->settings->certificates, reference, kind, pointer, ret_name, err);
}

static int put_certificate(struct render *render, const char *reference, enum certificate_kind kind, const char *object,
	size_t index, const char *field, const char *name, struct view *view, struct error *err)
{
	char pointer[FIELD_POINTER_SIZE];
	_cleanup_free_ char *file = NULL;
	int r;

	snprintf(pointer, sizeof(pointer), "/loadbalancer/%s/%zu/%s", object, index, field);
	r = find(render, reference, kind, pointer, &file, err);
	if (r < 0)
		return r;
	view_put_quoted(view, name, file);
	return 0;
}

/* Takes the name. */
static void append_once(char **names, size_t *n, char **name)
{
	if (has_word(names, *name))
		free(TAKE_PTR(*name));
	else
		names[(*n)++] = TAKE_PTR(*name);
}

/* The default certificate, which HAProxy takes where no name matches, is the first of the list. */
static int add_certificate_list(struct render *render, const struct listener *listener, char **ret, struct error *err)
{
	size_t index = (size_t)(listener - render->lb->listeners), n = 0, i = 0;
	_cleanup_strv_ char **names = calloc(strv_length(listener->sni_container_refs) + 2, sizeof(*names));
	char pointer[FIELD_POINTER_SIZE], *name = NULL;
	int r = 0;

	if (!names)
		return -ENOMEM;
	snprintf(pointer, sizeof(pointer), "/loadbalancer/listeners/%zu/default_tls_container_ref", index);
	r = find(render, listener->default_tls_container_ref, CERTIFICATE_PAIR, pointer, &name, err);
	if (r == 0 && name)
		append_once(names, &n, &name);
	STRV_FOREACH(reference, listener->sni_container_refs) {
		if (r < 0)
			return r;
		snprintf(pointer, sizeof(pointer), "/loadbalancer/listeners/%zu/sni_container_refs/%zu", index, i++);
		r = find(render, *reference, CERTIFICATE_PAIR, pointer, &name, err);
		if (r == 0)
			append_once(names, &n, &name);
	}
	return r < 0 ? r : files_add_list(render->files, listener->id, "crt-list", names, ret);
}

int render_bind_tls(struct render *render, const struct listener *listener, struct view *frontend, struct error *err)
{
	size_t index = (size_t)(listener - render->lb->listeners);
	_cleanup_view_ struct view tls = view_object();
	_cleanup_free_ char *list = NULL;
	/* Without a CA to verify with there is nothing to ask clients for, and no CRL to look in. */
	const char *ca = listener->client_ca_tls_container_ref, *crl = ca ? listener->client_crl_container_ref : NULL;
	int r;

	if (!listener_ends_tls(listener)) {
		view_put_absent(frontend, "bind_tls");
		return 0;
	}
	r = add_certificate_list(render, listener, &list, err);
	if (r == 0)
		r = put_certificate(render, ca, CERTIFICATE_CA, "listeners", index, "client_ca_tls_container_ref", "ca_file",
			&tls, err);
	if (r == 0)
		r = put_certificate(render, crl, CERTIFICATE_CRL, "listeners", index, "client_crl_container_ref",
			"crl_file", &tls, err);
	if (r < 0)
		return r;
	view_put_quoted(&tls, "crt_list", list);
	view_put_own(&tls, "verify", ca ? verify_words[listener->client_authentication] : NULL);
	put_parameters(&tls, true, listener->tls_ciphers, listener->tls_versions, listener->alpn_protocols);
	view_put_view(frontend, "bind_tls", &tls);
	return 0;
}

int render_server_tls(struct render *render, const struct pool *pool, struct view *backend, struct error *err)
{
	size_t index = (size_t)(pool - render->lb->pools);
	_cleanup_view_ struct view tls = view_object();
	const char *crl = pool->ca_tls_container_ref ? pool->crl_container_ref : NULL;
	int r;

	if (!pool->tls_enabled) {
		view_put_absent(backend, "server_tls");
		return 0;
	}
	r = put_certificate(
		render, pool->tls_container_ref, CERTIFICATE_PAIR, "pools", index, "tls_container_ref", "crt", &tls, err);
	if (r == 0)
		r = put_certificate(render, pool->ca_tls_container_ref, CERTIFICATE_CA, "pools", index,
			"ca_tls_container_ref", "ca_file", &tls, err);
	if (r == 0)
		r = put_certificate(
			render, crl, CERTIFICATE_CRL, "pools", index, "crl_container_ref", "crl_file", &tls, err);
	if (r < 0)
		return r;
	put_parameters(&tls, false, pool->tls_ciphers, pool->tls_versions, pool->alpn_protocols);
	view_put_view(backend, "server_tls", &tls);
	return 0;
}
