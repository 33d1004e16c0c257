/* SPDX-License-Identifier: Apache-2.0 */
#include "api/tls_peer.h"

#include <arpa/inet.h>
#include <gnutls/x509.h>
#include <netinet/in.h>

#include "agent/base/text.h"
#include "api/tls_internal.h"

enum {
	ADDRESS_SIZE = INET6_ADDRSTRLEN + 10, /* "[", "]:65535" */
	SUBJECT_SIZE = 256,
	REASON_SIZE = 256,
	/* Of one handshake message, and so what a stranger can make us keep. A chain of client
	 * certificates has a few thousand bytes. */
	HANDSHAKE_MESSAGE_BYTES = 32 * 1024,
	/* Certificate messages without a certificate: three bytes of length (RFC 5246, section
	 * 7.4.2), and one more for an empty context in TLS 1.3 (RFC 8446, section 4.4.2). */
	EMPTY_CERTIFICATE_BYTES = 4,
};

struct tls_peer {
	struct tls_context *context;         /* borrowed */
	struct tls_credentials *credentials; /* a reference */
	tls_notify notify;
	void *userdata;
	bool verified;
	char address[ADDRESS_SIZE];
};

/* GnuTLS's verdicts, what they mean to a person, and what the client is told (RFC 5246, section
 * 7.2.2). The first that applies is the alert. */
static const struct {
	unsigned flag;
	const char *words;
	gnutls_alert_description_t alert;
} verdicts[] = {
	{GNUTLS_CERT_REVOKED, "it is revoked", GNUTLS_A_CERTIFICATE_REVOKED},
	{GNUTLS_CERT_SIGNER_NOT_FOUND, "it was not issued by our CA", GNUTLS_A_UNKNOWN_CA},
	{GNUTLS_CERT_SIGNER_NOT_CA, "its issuer is no CA", GNUTLS_A_UNKNOWN_CA},
	{GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE, "its CA must not issue it",
		GNUTLS_A_BAD_CERTIFICATE},
	{GNUTLS_CERT_SIGNATURE_FAILURE, "it was not signed with our CA's key",
		GNUTLS_A_BAD_CERTIFICATE},
	{GNUTLS_CERT_INSECURE_ALGORITHM, "its key or signature algorithm is too weak",
		GNUTLS_A_INSUFFICIENT_SECURITY},
	{GNUTLS_CERT_EXPIRED, "it, or its CA's, has expired", GNUTLS_A_CERTIFICATE_EXPIRED},
	{GNUTLS_CERT_NOT_ACTIVATED, "it, or its CA's, is not valid yet",
		GNUTLS_A_CERTIFICATE_EXPIRED},
	{GNUTLS_CERT_PURPOSE_MISMATCH, "it is not for TLS clients (extended key usage)",
		GNUTLS_A_UNSUPPORTED_CERTIFICATE},
	{GNUTLS_CERT_UNKNOWN_CRIT_EXTENSIONS, "it has a critical extension that is not known",
		GNUTLS_A_UNSUPPORTED_CERTIFICATE},
};

static void describe_address(const struct sockaddr *address, char ret[static ADDRESS_SIZE])
{
	char text[INET6_ADDRSTRLEN] = "?";

	if (address && address->sa_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;

		inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text));
		snprintf(ret, ADDRESS_SIZE, "%s:%d", text, ntohs(v4->sin_port));
	} else if (address && address->sa_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
		bool mapped = IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr);

		inet_ntop(mapped ? AF_INET : AF_INET6, &v6->sin6_addr.s6_addr[mapped ? 12 : 0],
			text, sizeof(text));
		snprintf(ret, ADDRESS_SIZE, mapped ? "%s:%d" : "[%s]:%d", text,
			ntohs(v6->sin6_port));
	} else {
		snprintf(ret, ADDRESS_SIZE, "an unknown address");
	}
}

/* The client's certificate as it was sent, parsed. NULL if there is none or it cannot be read. */
static gnutls_x509_crt_t certificate_of(gnutls_session_t session)
{
	const gnutls_datum_t *chain;
	gnutls_x509_crt_t certificate;
	unsigned n = 0;

	chain = gnutls_certificate_get_peers(session, &n);
	if (!chain || n == 0 || gnutls_x509_crt_init(&certificate) < 0)
		return NULL;
	if (gnutls_x509_crt_import(certificate, &chain[0], GNUTLS_X509_FMT_DER) < 0) {
		gnutls_x509_crt_deinit(certificate);
		return NULL;
	}
	return certificate;
}

/* The subject is a stranger's text: it goes into a log line, inside quotes. */
static void describe_subject(gnutls_x509_crt_t certificate, char ret[static SUBJECT_SIZE])
{
	gnutls_datum_t name = {NULL, 0};

	snprintf(ret, SUBJECT_SIZE, "?");
	if (!certificate || gnutls_x509_crt_get_dn3(certificate, &name, 0) < 0)
		return;
	snprintf(ret, SUBJECT_SIZE, "%.*s", (int)name.size, (const char *)name.data);
	gnutls_free(name.data);
	for (char *c = ret; *c; c++)
		if (*c < 0x20 || *c > 0x7e || *c == '\'')
			*c = '?';
}

static void refuse(struct tls_peer *peer, gnutls_session_t session,
	gnutls_alert_description_t alert, const char *reason, const char *subject)
{
	tls_context_log_refused(peer->context, peer->address, reason, subject);
	/* The HTTP library just closes the connection. If the alert cannot be sent now, the client
	 * has to do without. */
	gnutls_alert_send(session, GNUTLS_AL_FATAL, alert);
	peer->notify(peer->userdata, TLS_PEER_REFUSED);
}

static gnutls_alert_description_t describe_verdict(
	unsigned status, gnutls_x509_crt_t certificate, char ret[static REASON_SIZE])
{
	gnutls_alert_description_t alert = GNUTLS_A_BAD_CERTIFICATE;
	_cleanup_text_ struct text text = TEXT_INIT;

	for (size_t i = 0; i < ELEMENTSOF(verdicts); i++) {
		if (!(status & verdicts[i].flag))
			continue;
		if (text.length == 0)
			alert = verdicts[i].alert;
		text_printf(&text, "%s%s", text.length ? ", " : "", verdicts[i].words);
		if (verdicts[i].flag == GNUTLS_CERT_SIGNER_NOT_FOUND && certificate &&
			gnutls_x509_crt_check_issuer(certificate, certificate))
			text_append(&text, " (self-signed)");
	}
	if (text.length == 0)
		text_printf(&text, "GnuTLS status 0x%x", status);
	snprintf(ret, REASON_SIZE, "client certificate: %s", text_peek(&text));
	return alert;
}

/* Called in the handshake: in TLS 1.3 after, in TLS 1.2 before the client has proved that it has
 * the key, which the handshake does not end without. */
static int verify(gnutls_session_t session)
{
	static char purpose[] = GNUTLS_KP_TLS_WWW_CLIENT;
	gnutls_typed_vdata_st data = {
		.type = GNUTLS_DT_KEY_PURPOSE_OID, .data = (unsigned char *)purpose};
	struct tls_peer *peer = gnutls_session_get_ptr(session);
	gnutls_alert_description_t alert = GNUTLS_A_BAD_CERTIFICATE;
	char reason[REASON_SIZE], subject[SUBJECT_SIZE];
	gnutls_x509_crt_t certificate;
	unsigned status = 0;
	int r;

	r = gnutls_certificate_verify_peers(session, &data, 1, &status);
	if (r >= 0 && status == 0) {
		peer->verified = true;
		return 0;
	}
	certificate = certificate_of(session);
	if (r < 0)
		snprintf(reason, sizeof(reason), "client certificate: %s", gnutls_strerror(r));
	else
		alert = describe_verdict(status, certificate, reason);
	describe_subject(certificate, subject);
	gnutls_x509_crt_deinit(certificate);
	refuse(peer, session, alert, reason, subject);
	return GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR;
}

/* GnuTLS verifies nothing if there is no certificate: it just fails, and tells only its caller. */
static int watch_handshake(gnutls_session_t session, unsigned type, unsigned when,
	unsigned incoming, const gnutls_datum_t *message)
{
	struct tls_peer *peer = gnutls_session_get_ptr(session);

	if (!incoming)
		return 0;
	if (type == GNUTLS_HANDSHAKE_CERTIFICATE_PKT && when == GNUTLS_HOOK_PRE &&
		message->size <= EMPTY_CERTIFICATE_BYTES) {
		bool is_1_3 = gnutls_protocol_get_version(session) >= GNUTLS_TLS1_3;

		refuse(peer, session,
			is_1_3 ? GNUTLS_A_CERTIFICATE_REQUIRED : GNUTLS_A_HANDSHAKE_FAILURE,
			"no client certificate", NULL);
		return GNUTLS_E_CERTIFICATE_REQUIRED;
	}
	if (type == GNUTLS_HANDSHAKE_FINISHED && when == GNUTLS_HOOK_POST && peer->verified)
		peer->notify(peer->userdata, TLS_PEER_READY);
	return 0;
}

int tls_peer_new(struct tls_context *context, gnutls_session_t session,
	const struct sockaddr *address, tls_notify notify, void *userdata, struct tls_peer **ret)
{
	struct tls_peer *peer;

	peer = calloc(1, sizeof(*peer));
	if (!peer)
		return -ENOMEM;
	peer->context = context;
	peer->notify = notify;
	peer->userdata = userdata;
	describe_address(address, peer->address);
	peer->credentials = tls_context_credentials(context);
	if (gnutls_credentials_set(
		    session, GNUTLS_CRD_CERTIFICATE, tls_credentials_get(peer->credentials)) < 0) {
		tls_peer_free(peer);
		return -ENOMEM;
	}
	gnutls_session_set_ptr(session, peer);
	gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
	gnutls_session_set_verify_function(session, verify);
	gnutls_handshake_set_hook_function(
		session, (unsigned)GNUTLS_HANDSHAKE_ANY, GNUTLS_HOOK_BOTH, watch_handshake);
	gnutls_handshake_set_max_packet_length(session, HANDSHAKE_MESSAGE_BYTES);
	*ret = peer;
	return 0;
}

bool tls_peer_is_trusted(const struct tls_peer *peer, gnutls_session_t session)
{
	unsigned n = 0;

	return peer && peer->verified && gnutls_session_is_resumed(session) == 0 &&
	       gnutls_certificate_get_peers(session, &n) && n > 0;
}

void tls_peer_free(struct tls_peer *peer)
{
	if (!peer)
		return;
	tls_credentials_unref(peer->credentials);
	free(peer);
}
