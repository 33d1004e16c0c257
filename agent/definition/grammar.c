/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/grammar.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "agent/base/text.h"

const char *grammar_url_path(const char *value)
{
	static const char wanted[] = "must be a URL path: a '/' first, then letters, digits, -._~!$&'()*+,;=:@/?"
				     " and %XX for anything else";

	if (value[0] != '/')
		return wanted;
	for (const char *p = value; *p; p++) {
		if (*p == '%' && isxdigit((unsigned char)p[1]) && isxdigit((unsigned char)p[2]))
			continue;
		if (!isalnum((unsigned char)*p) && !strchr("-._~!$&'()*+,;=:@/?", *p))
			return wanted;
	}
	return NULL;
}

/* Three digits, 100 to 599; moves past them. */
static int take_code(const char **p)
{
	int code;

	if (!isdigit((unsigned char)(*p)[0]) || !isdigit((unsigned char)(*p)[1]) ||
		!isdigit((unsigned char)(*p)[2]))
		return -1;
	code = ((*p)[0] - '0') * 100 + ((*p)[1] - '0') * 10 + (*p)[2] - '0';
	*p += 3;
	return code >= 100 && code <= 599 ? code : -1;
}

static void skip_blanks(const char **p)
{
	while (**p == ' ')
		(*p)++;
}

/* Walks over the codes; "text" may be NULL when only the grammar is asked for. */
static bool walk_codes(const char *value, struct text *text)
{
	const char *p = value;
	int first = take_code(&p), last = first;

	if (first < 0)
		return false;
	if (*p == '-') {
		p++;
		last = take_code(&p);
		if (last < first || *p != '\0')
			return false;
	}
	for (int code = first; text && code <= last; code++)
		text_printf(text, "%s%d", code == first ? "" : "|", code);
	for (skip_blanks(&p); *p == ','; skip_blanks(&p)) {
		int code;

		p++;
		skip_blanks(&p);
		code = take_code(&p);
		if (code < 0)
			return false;
		if (text)
			text_printf(text, "|%d", code);
	}
	return *p == '\0';
}

const char *grammar_expected_codes(const char *value)
{
	return walk_codes(value, NULL) ? NULL
				       : "must be a status code, a list (200,202) or a range (200-204), 100 to 599";
}

int grammar_expand_codes(const char *value, char **ret_regex)
{
	_cleanup_text_ struct text text = TEXT_INIT;

	if (!walk_codes(value, &text))
		return -EINVAL;
	return text_finish(&text, ret_regex, NULL);
}

const char *grammar_domain_name(const char *value)
{
	static const char wanted[] = "must be a domain name: labels of letters, digits, '-' and '_', at most 63 "
				     "characters each and 253 in all";
	size_t length = strlen(value), label = 0;

	if (length > 0 && value[length - 1] == '.')
		length--;
	if (length == 0 || length > 253)
		return wanted;
	for (size_t i = 0; i <= length; i++) {
		if (i == length || value[i] == '.') {
			if (label == 0 || label > 63 || value[i - 1] == '-')
				return wanted;
			label = 0;
			continue;
		}
		if (!isalnum((unsigned char)value[i]) && value[i] != '_' && (value[i] != '-' || label == 0))
			return wanted;
		label++;
	}
	return NULL;
}

static int canonical(int family, const void *address, int prefix, char **ret)
{
	char buffer[INET6_ADDRSTRLEN];

	if (!inet_ntop(family, address, buffer, sizeof(buffer)))
		return -EINVAL;
	if (prefix >= 0)
		return asprintf(ret, "%s/%d", buffer, prefix) < 0 ? -ENOMEM : 0;
	*ret = strdup(buffer);
	return *ret ? 0 : -ENOMEM;
}

int grammar_address(const char *value, char **ret_canonical)
{
	int family = grammar_is_ipv6(value) ? AF_INET6 : AF_INET;
	uint8_t address[16];

	if (inet_pton(family, value, address) != 1)
		return -EINVAL;
	return canonical(family, address, -1, ret_canonical);
}

int grammar_cidr(const char *value, char **ret_canonical)
{
	int family = grammar_is_ipv6(value) ? AF_INET6 : AF_INET;
	int bits = family == AF_INET6 ? 128 : 32;
	_cleanup_free_ char *host = NULL;
	const char *slash = strchr(value, '/');
	int64_t prefix = bits;
	uint8_t address[16];

	host = slash ? strndup(value, (size_t)(slash - value)) : strdup(value);
	if (!host)
		return -ENOMEM;
	if (slash && (!isdigit((unsigned char)slash[1]) || text_to_int64(slash + 1, &prefix) < 0))
		return -EINVAL;
	if (prefix < 0 || prefix > bits || inet_pton(family, host, address) != 1)
		return -EINVAL;
	for (int bit = (int)prefix; bit < bits; bit++)
		address[bit / 8] &= (uint8_t) ~(0x80 >> (bit % 8));
	return canonical(family, address, (int)prefix, ret_canonical);
}
