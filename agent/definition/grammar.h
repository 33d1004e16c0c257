/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The grammar of every kind of string that can reach a configuration. A check returns NULL for a good value, otherwise
 * what a good one looks like ("must be …"), a static string. Values are UTF-8 without control characters already.
 */

#include <stdbool.h>

#include "agent/base/cleanup.h"

typedef const char *(*grammar_check)(const char *value);

const char *grammar_cookie_name(const char *value);    /* RFC 6265, 4.1.1: token */
const char *grammar_url_path(const char *value);       /* RFC 3986, 3.3 and 3.4: path-absolute [ "?" query ] */
const char *grammar_expected_codes(const char *value); /* "200", "200,202" or "200-204" */
const char *grammar_domain_name(const char *value);    /* RFC 1123, with Octavia's underscores */

const char *grammar_header_name(const char *value);    /* RFC 9110, 5.1: token */
/* RFC 9110, 5.5, without blanks; with blanks between a pair of double quotes, which are not part of the value. */
const char *grammar_header_value(const char *value);
/* Brackets closed, something before each quantifier, nothing escaped at the end; the rest is HAProxy's to judge. */
const char *grammar_regex(const char *value);
const char *grammar_verify_result(const char *value);  /* X509_V_…: a number */
const char *grammar_stats_uri(const char *value);      /* RFC 3986, 3.3: path-absolute */
const char *grammar_cookie_value(const char *value);   /* RFC 6265, 4.1.1: cookie-octets */
const char *grammar_url(const char *value);            /* RFC 3986: http or https, with a host */
const char *grammar_tls_ciphers(const char *value);    /* OpenSSL's ciphers(1): names, operators, ':' */
const char *grammar_dn_field(const char *value);       /* a component of a distinguished name: "CN", "OU" */
/* A name of the certificate store, or a URL whose last segment is one. */
const char *grammar_certificate_reference(const char *value);
const char *grammar_netmask(const char *value);        /* "255.255.255.0", or 1 to 128 for IPv6 */
const char *grammar_user_name(const char *value);      /* of HTTP's Basic scheme: printable, no ':' */
const char *grammar_password_hash(const char *value);  /* crypt(5): "$id$…" */
const char *grammar_uuid(const char *value);

/* Canonical text (RFC 5952) of an IPv4 or IPv6 address without zone. -EINVAL. Owned by the caller. */
int grammar_address(const char *value, char **ret_canonical);
/* The same of a network; bits of the host are cleared, a missing prefix is the whole address. */
int grammar_cidr(const char *value, char **ret_canonical);
static inline bool grammar_is_ipv6(const char *address)
{
	return __builtin_strchr(address, ':') != NULL;
}

/* Codes of a good expected_codes value as HAProxy's "rstatus" wants them: "200|201|202". */
int grammar_expand_codes(const char *value, char **ret_regex);
