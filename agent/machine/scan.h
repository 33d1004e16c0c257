/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Steps through text files of lines and numbers. Private to machine/. */

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Reads the digits at *p and moves behind them. -EBADMSG if there is none, -ERANGE over INT64_MAX,
 * the largest number of our JSON; nothing changes then. */
static inline int scan_number(const char **p, uint64_t *ret)
{
	const char *digit = *p;
	uint64_t value = 0;

	if (*digit < '0' || *digit > '9')
		return -EBADMSG;
	for (; *digit >= '0' && *digit <= '9'; digit++) {
		unsigned add = (unsigned)(*digit - '0');

		if (value > ((uint64_t)INT64_MAX - add) / 10)
			return -ERANGE;
		value = value * 10 + add;
	}
	*p = digit;
	*ret = value;
	return 0;
}

static inline const char *scan_blanks(const char *p)
{
	while (*p == ' ' || *p == '\t')
		p++;
	return p;
}

/* NULL after the last one. */
static inline const char *scan_next_line(const char *line)
{
	const char *end = strchr(line, '\n');

	return end ? end + 1 : NULL;
}
