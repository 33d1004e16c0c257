/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/render/quote.h"

#include <string.h>

#include "agent/base/text.h"

bool quote_is_plain(const char *value)
{
	static const char others[] = "-._~:/@,=+?&|";
	const char *p = value;

	while ((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') || (*p && strchr(others, *p)))
		p++;
	return p > value && !*p;
}

int quote_haproxy(const char *value, char **ret_word)
{
	_cleanup_text_ struct text word = TEXT_INIT;
	size_t length = strlen(value);

	if (text_has_control(value, length))
		return -EINVAL;
	if (quote_is_plain(value)) {
		text_append(&word, value);
		return text_finish(&word, ret_word, NULL);
	}
	text_append_char(&word, '\'');
	for (const char *p = value; *p; p++)
		if (*p == '\'')
			text_append(&word, "'\\''");
		else
			text_append_char(&word, *p);
	text_append_char(&word, '\'');
	return text_finish(&word, ret_word, NULL);
}

int quote_haproxy_call(const char *function, const char *argument, char **ret_word)
{
	static const char plain_argument[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._";
	_cleanup_free_ char *call = NULL;
	bool is_plain = strspn(argument, plain_argument) == strlen(argument);

	if (strpbrk(argument, "\"\\"))
		return -EINVAL;
	if (asprintf(&call, is_plain ? "%s(%s)" : "%s(\"%s\")", function, argument) < 0)
		return -ENOMEM;
	/* Parentheses are plain outside of quotes; only the rest decides. */
	if (is_plain) {
		*ret_word = TAKE_PTR(call);
		return 0;
	}
	return quote_haproxy(call, ret_word);
}

int quote_keepalived_path(const char *path, char **ret_word)
{
	static const char plain_path[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
					 "-._~%&()*+,;=:@/?";
	_cleanup_text_ struct text word = TEXT_INIT;

	for (const char *p = path; *p; p++)
		if (strchr(plain_path, *p))
			text_append_char(&word, *p);
		else
			text_printf(&word, "%%%02X", (unsigned char)*p);
	return text_finish(&word, ret_word, NULL);
}
