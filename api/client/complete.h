/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What may stand at the end of an unfinished command line, from the same tables as parsing and --help: what an option or an
 * argument is called there tells what it is ("FILE", "ID|NAME", "auto|always|never"). Pure; whose names these are, others
 * ask.
 */

#include "api/client/options.h"

enum completion_kind {
	COMPLETION_NOTHING,
	COMPLETION_WORDS, /* of "words" alone */
	COMPLETION_FILES,
	COMPLETION_LOADBALANCERS,
	COMPLETION_LISTENERS,
	COMPLETION_POOLS,
	COMPLETION_MEMBERS,   /* of the pool "of" */
	COMPLETION_CERTIFICATES,
	COMPLETION_REVISIONS, /* of the load balancer "of" */
};

struct completion {
	enum completion_kind kind;
	char **words;       /* owned; those that the tables know, all that begin as "typed" does */
	const char *before; /* what is typed already and is no part of the value: "--socket=", else "" */
	size_t before_length;
	const char *typed;  /* the beginning of the value, "" for none; of the last word */
	const char *of;     /* of the words, or NULL */
};

#define COMPLETION_INIT ((struct completion){0})
#define _cleanup_completion_ _cleanup_(completion_done)
void completion_done(struct completion *completion);

/*
 * "words" are those behind the program's name, as the shell would hand them over, the unfinished one last (maybe ""); at
 * least one. The values of finished options go to "options" as far as they are good. -ENOMEM.
 */
int completion_find(const struct command *commands, const struct option_row *global, char *const *words, size_t n,
	struct options *options, struct completion *ret);

/* What the shell makes of a word as it was typed: without quotes and backslashes; an open quote ends at the end. NULL
 * without memory. */
char *completion_unquote(const char *word);
