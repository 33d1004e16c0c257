/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/grammar.h"

#include <stdbool.h>
#include <string.h>

/*
 * What is wrong with a regular expression for PCRE, with which HAProxy is packaged, and for Python's re, with which Octavia
 * checks. HAProxy compiles what passes here before anything changes; this names the field for the mistakes that people
 * make, and says nothing where it would have to know more.
 *
 * Source: pcre2pattern(3).
 */

static const char after_backslash[] = "must be a regular expression: nothing follows the last backslash";
static const char no_bracket[] = "must be a regular expression: a '[' has no ']'";
static const char no_parenthesis[] = "must be a regular expression: a '(' has no ')'";
static const char too_many_parentheses[] = "must be a regular expression: a ')' has no '('";
static const char nothing_to_repeat[] = "must be a regular expression: nothing stands before a '*', '+' or '?'";

/* From behind the '[' to behind the ']'; NULL if there is none. */
static const char *skip_set(const char *p)
{
	if (*p == '^')
		p++;
	if (*p == ']')
		p++;
	for (; *p && *p != ']'; p++) {
		const char *end = *p == '[' && strchr(":.=", p[1]) && p[1] ? strchr(p + 2, ']') : NULL;

		if (*p == '\\' && p[1])
			p++;
		else if (end && end[-1] == p[1])
			p = end; /* [:alpha:] */
	}
	return *p ? p + 1 : NULL;
}

/* From behind the backslash; "\Q" takes everything up to "\E", or to the end. */
static const char *skip_escape(const char *p)
{
	const char *end = *p == 'Q' ? strstr(p, "\\E") : NULL;

	if (*p == 'Q')
		return end ? end + 2 : p + strlen(p);
	return p + 1;
}

/* From behind the '(' to where the pattern goes on; a comment is skipped whole, up to before its ')'. */
static const char *skip_opening(const char *p)
{
	if (p[0] == '?' && p[1] == '#')
		return p + strcspn(p, ")");
	return *p == '?' || *p == '*' ? p + 1 : p;
}

const char *grammar_regex(const char *value)
{
	bool repeatable = false;
	size_t depth = 0;

	for (const char *p = value; *p;) {
		char c = *p++;

		switch (c) {
		case '\\':
			if (!*p)
				return after_backslash;
			p = skip_escape(p);
			break;
		case '[':
			p = skip_set(p);
			if (!p)
				return no_bracket;
			break;
		case '(':
			p = skip_opening(p);
			depth++;
			break;
		case ')':
			if (depth-- == 0)
				return too_many_parentheses;
			break;
		case '*':
		case '+':
		case '?':
			if (!repeatable)
				return nothing_to_repeat;
			break;
		default:
			break;
		}
		repeatable = c != '(' && c != '|';
	}
	return depth > 0 ? no_parenthesis : NULL;
}
