/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/grammar.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "agent/base/text.h"

/* Grammars that are a set of characters, and those of URLs. */

#define TOKEN_MARKS "!#$%&'*+-.^_`|~"

static bool is_of(const char *value, size_t length, const char *marks)
{
	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char)value[i]) && !strchr(marks, value[i]))
			return false;
	return length > 0;
}

static bool is_visible(const char *value, size_t length, const char *also)
{
	for (size_t i = 0; i < length; i++)
		if ((value[i] <= ' ' || value[i] > '~') && !strchr(also, value[i]))
			return false;
	return true;
}

/* Digits alone: text_to_int64() takes a sign, too. */
static bool is_number(const char *value, int64_t minimum, int64_t maximum)
{
	int64_t number;

	return isdigit((unsigned char)value[0]) && text_to_int64(value, &number) == 0 && number >= minimum &&
		number <= maximum;
}

const char *grammar_header_name(const char *value)
{
	return is_of(value, strlen(value), TOKEN_MARKS) ? NULL
							: "must be an HTTP token: letters, digits and " TOKEN_MARKS;
}

const char *grammar_cookie_name(const char *value)
{
	return grammar_header_name(value);
}

const char *grammar_header_value(const char *value)
{
	size_t length = strlen(value);

	if (length == 0)
		return "must not be empty";
	if (is_visible(value, length, ""))
		return NULL;
	if (length >= 2 && value[0] == '"' && value[length - 1] == '"' && is_visible(value, length, " "))
		return NULL;
	return "must be visible ASCII characters; a value with blanks must stand between double quotes";
}

const char *grammar_cookie_value(const char *value)
{
	return is_of(value, strlen(value), "!#$%&'()*+,-./:<=>?@[]^_`{|}~")
		? NULL
		: "must be letters, digits and !#$%&'()*+,-./:<=>?@[]^_`{|}~";
}

const char *grammar_tls_ciphers(const char *value)
{
	return is_of(value, strlen(value), "-+!:@=_.") ? NULL
						       : "must be an OpenSSL cipher list: letters, digits and -+!:@=_.";
}

const char *grammar_dn_field(const char *value)
{
	return isalpha((unsigned char)value[0]) && is_of(value, strlen(value), "-")
		? NULL
		: "must be the name of a field like CN or OU: a letter, then letters, digits and '-'";
}

/* Agrees with certificate_name_is_valid(); what a name is belongs to the store, how a definition may refer to it here. */
const char *grammar_certificate_reference(const char *value)
{
	const char *name = strrchr(value, '/');

	name = name ? name + 1 : value;
	if (name[0] == '.' || strlen(name) > 200 || !is_of(name, strlen(name), "._-") ||
		!is_visible(value, strlen(value), ""))
		return "must be the name of a stored certificate (letters, digits, '.', '_', '-'), or a URL that ends "
		       "in one";
	return NULL;
}

const char *grammar_uuid(const char *value)
{
	return text_is_uuid(value) ? NULL : "must be a UUID in lower case";
}

const char *grammar_netmask(const char *value)
{
	struct in_addr mask;

	if (inet_pton(AF_INET, value, &mask) == 1) {
		uint32_t host = ~ntohl(mask.s_addr);

		if (mask.s_addr != 0 && (host & (host + 1)) == 0)
			return NULL;
	} else if (is_number(value, 1, 128)) {
		return NULL;
	}
	return "must be a netmask like 255.255.255.0, or for IPv6 a prefix length from 1 to 128";
}

const char *grammar_verify_result(const char *value)
{
	return is_number(value, 0, INT32_MAX) ? NULL : "must be an integer, 0 or more";
}

const char *grammar_stats_uri(const char *value)
{
	return grammar_url_path(value) || strchr(value, '?') ? "must be a URL path without a query" : NULL;
}

const char *grammar_user_name(const char *value)
{
	if (!is_visible(value, strlen(value), "") || strchr(value, ':') || !value[0])
		return "must be visible ASCII characters without ':'";
	return NULL;
}

const char *grammar_password_hash(const char *value)
{
	size_t length = strlen(value);

	/* At least "$id$salt$hash"; a password in clear has no place in a configuration. */
	if (length < 20 || value[0] != '$' || !is_of(value, length, "$./=,-_"))
		return "must be a hash of crypt(3), like mkpasswd(1) and \"openssl passwd -6\" make them";
	return NULL;
}

/* RFC 3986, 2.2 to 2.4: the characters of a URI, with %XX whole. */
static bool is_uri(const char *value)
{
	for (const char *p = value; *p; p++) {
		if (*p == '%') {
			if (!isxdigit((unsigned char)p[1]) || !isxdigit((unsigned char)p[2]))
				return false;
			continue;
		}
		if (!isalnum((unsigned char)*p) && !strchr("-._~:/?#[]@!$&'()*+,;=", *p))
			return false;
	}
	return true;
}

/* RFC 3986, 3.2: [ userinfo "@" ] host [ ":" port ]. */
static bool is_authority(const char *value, size_t length)
{
	_cleanup_free_ char *copy = strndup(value, length);
	char *host, *port, *end;
	struct in6_addr address;

	if (!copy)
		return false;
	end = strrchr(copy, '@');
	if (end && strcspn(copy, "@[]") != (size_t)(end - copy))
		return false;
	host = end ? end + 1 : copy;
	if (host[0] == '[') {
		end = strchr(host, ']');
		if (!end || (end[1] && end[1] != ':'))
			return false;
		port = end[1] == ':' ? end + 2 : NULL;
		*end = '\0';
		if (inet_pton(AF_INET6, host + 1, &address) != 1)
			return false;
	} else {
		port = strchr(host, ':');
		if (port)
			*port++ = '\0';
		if (grammar_domain_name(host))
			return false;
	}
	return !port || !port[0] || is_number(port, 0, 65535);
}

const char *grammar_url(const char *value)
{
	static const char wanted[] = "must be a URL like https://www.example.com/path: http or https, a host, and of "
				     "other characters %XX";
	const char *host = strncasecmp(value, "https://", 8) == 0 ? value + 8
		: strncasecmp(value, "http://", 7) == 0		  ? value + 7
								  : NULL;

	if (!host || !is_uri(value) || !is_authority(host, strcspn(host, "/?#")))
		return wanted;
	return NULL;
}
