/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Options and help of a program with commands, from tables: what is parsed, what --help prints and
 * what a test compares the manual page with are one thing.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/error.h"
#include "agent/base/text.h"
#include "api/client/terminal.h"

enum output_format {
	OUTPUT_TEXT,
	OUTPUT_JSON,
	_OUTPUT_MAX,
};

/* Values; the strings are those of argv and of the environment. */
struct options {
	const char *socket_path;
	const char *url;
	const char *certificate, *key, *ca_certificate;
	int64_t timeout_s;
	int64_t colour; /* enum colour_when */
	int64_t output; /* enum output_format */
	bool json, quiet, help, version;

	/* Of some commands only. */
	const char *id;
	const char *if_match;
	bool definition;
	bool decode;
	const char *key_file;
	const char *listen;
	int64_t count; /* 0: not given */
	const char *loadbalancer;
	bool dry_run;
	int64_t interval_s;
	const char *nodes, *endpoints, *service, *cluster, *vip_address;
	bool create_monitor, explain, strict, apply;
	const char *name;
	int64_t weight; /* -1: not given */
	bool backup, disabled;
	const char *monitor_address;
	int64_t monitor_port; /* 0: not given */
	bool wait;
	const char *tlv, *trusted, *protocol;
	int64_t header_timeout_ms; /* 0: not given */
	int64_t wait_s; /* 0: as long as it takes */
};

enum option_type {
	OPTION_FLAG,   /* bool */
	OPTION_STRING, /* const char * */
	OPTION_NUMBER, /* int64_t from minimum to maximum */
	OPTION_CHOICE, /* int64_t: position in names */
};

struct option_row {
	const char *name;
	char letter;          /* 0: none */
	const char *argument; /* "PATH"; NULL for flags */
	const char *help;     /* lines of at most 50 columns */
	enum option_type type;
	size_t offset; /* in struct options */
	int64_t minimum, maximum;
	const char *const *names; /* NULL-terminated */
};

/* The rows: name, letter (0: none), argument, the member of struct options that it goes to, help. */
#define FLAG(long_name, short_name, member, text) \
	OPTION_ROW(long_name, short_name, NULL, OPTION_FLAG, member, text)
#define STRING(long_name, short_name, value, member, text) \
	OPTION_ROW(long_name, short_name, value, OPTION_STRING, member, text)
#define NUMBER(long_name, short_name, value, member, low, high, text) \
	OPTION_ROW(long_name, short_name, value, OPTION_NUMBER, member, text, .minimum = (low), .maximum = (high))
#define CHOICE(long_name, short_name, value, member, words, text) \
	OPTION_ROW(long_name, short_name, value, OPTION_CHOICE, member, text, .names = (words))
#define OPTION_ROW(long_name, short_name, value, kind, member, text, ...) \
	{                                                                 \
		.name = long_name, .letter = short_name,                  \
		.argument = value, .help = text, .type = kind,            \
		.offset = offsetof(struct options, member), __VA_ARGS__   \
	}

/* Of the commands that look for a pool or a listener. */
#define LOADBALANCER_OPTION \
	STRING("loadbalancer", 'l', "ID|NAME", loadbalancer, "where to look; default: in all of them")

struct client;

struct command {
	const char *name;                 /* of an action with that of its command: "member add" */
	const char *arguments;            /* "FILE|-" */
	const char *summary;              /* half a sentence */
	const char *description;          /* lines of at most 80 columns */
	const struct option_row *options; /* its own; ends in a row without a name. NULL: none */
	size_t min_arguments, max_arguments;
	int (*run)(struct client *client, char *const *arguments, size_t n_arguments);
	/* What it does is the next word's matter; ends in a row without a name. NULL: run it. */
	const struct command *actions;
	bool hidden; /* for programs: not in the help */
};

/*
 * Parses argv[1] and what follows with getopt_long(3). "tables" is NULL-terminated. With
 * "until_argument" it stops at the first that is no option, otherwise options and arguments may be
 * mixed (and argv is reordered). *ret_first is the index of the first argument. Of options of one
 * name, that of the first table counts. ERROR_INVALID.
 */
int options_parse(const struct option_row *const *tables, bool until_argument, int argc,
	char **argv, struct options *options, int *ret_first, struct error *err);

/* The value of one option. ERROR_INVALID. */
int options_set(const struct option_row *row, const char *value, struct options *options, struct error *err);

/* The row of that name, or of the action of that name if "command" is not NULL; NULL: none. */
const struct command *options_find_command(
	const struct command *commands, const struct command *command, const char *name);

/* The name of the row (of the action, as above) that was probably meant, or NULL. */
const char *options_guess_command(
	const struct command *commands, const struct command *command, const char *name);

/* The help of the whole program. "commands" ends in a row without a name. */
void options_help(const struct command *commands, const struct option_row *global,
	const struct terminal *terminal, struct text *out);

void options_command_help(
	const struct command *command, const struct terminal *terminal, struct text *out);
