/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The master's "show proc" (management guide, 9.4.1). Columns are found by their names, because
 * they differ:
 *
 *   2.4    <PID> <type> <relative PID> <reloads> <uptime> <version>; old workers' relative PID
 * reads "[was: 1]" 2.5 on <PID> <type> <reloads> <uptime> <version>, and the master's reloads read
 * "2 [failed: 1]"
 *
 * From 3.1 on, a worker that still loads its configuration stands under "# workers" beside the one
 * that serves.
 */

#include "agent/haproxy/runtime.h"

#include <limits.h>
#include <string.h>

#include "agent/base/text.h"

enum {
	TOKENS_MAX = 16,   /* of a line; what is beyond is not read */
	WORKERS_MAX = 4096 /* the limit of old workers is far below */
};

enum column {
	COLUMN_PID,
	COLUMN_TYPE,
	COLUMN_RELOADS,
	COLUMN_UPTIME,
	COLUMN_VERSION,
	_COLUMN_MAX,
};

static const char *const column_names[_COLUMN_MAX] = {
	[COLUMN_PID] = "<PID>",
	[COLUMN_TYPE] = "<type>",
	[COLUMN_RELOADS] = "<reloads>",
	[COLUMN_UPTIME] = "<uptime>",
	[COLUMN_VERSION] = "<version>",
};

enum section {
	SECTION_MASTER,
	SECTION_WORKERS,
	SECTION_OLD_WORKERS,
	SECTION_OTHER, /* programs, and whatever a later version adds */
};

struct token {
	const char *start;
	size_t length;
};

struct parser {
	size_t columns[_COLUMN_MAX]; /* index of the column in a line */
	bool has_columns;
	enum section section;
	unsigned line;
	size_t allocated;
	struct runtime_processes result;
};

static int broken(const struct parser *parser, const char *what, struct error *err)
{
	return error_set(
		err, ERROR_INTERNAL, NULL, "\"show proc\", line %u: %s", parser->line, what);
}

static bool token_is(const struct token *token, const char *word)
{
	return token->length == strlen(word) && memcmp(token->start, word, token->length) == 0;
}

/* Digits up to "end" or to another character; moves "p" behind them. */
static bool read_number(const char **p, const char *end, int64_t max, int64_t *ret)
{
	const char *start = *p;
	int64_t value = 0;

	while (*p < end && **p >= '0' && **p <= '9') {
		value = value * 10 + (**p - '0');
		if (value > max)
			return false;
		(*p)++;
	}
	*ret = value;
	return *p > start;
}

static bool token_number(const struct token *token, int64_t min, int64_t max, int64_t *ret)
{
	const char *p = token->start, *end = p + token->length;

	return read_number(&p, end, max, ret) && p == end && *ret >= min;
}

/* "1d02h03m04s" */
static bool token_uptime(const struct token *token, int64_t *ret)
{
	static const struct {
		char unit;
		int64_t seconds;
	} parts[] = {{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};
	const char *p = token->start, *end = p + token->length;
	int64_t total = 0;

	for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
		int64_t value;

		if (!read_number(&p, end, INT_MAX, &value) || p == end || *p != parts[i].unit)
			return false;
		p++;
		total += value * parts[i].seconds;
	}
	*ret = total;
	return p == end;
}

/* The names stand in angle brackets and one of them has a blank in it: "<relative PID>". */
static int read_columns(struct parser *parser, const char *line, const char *end, struct error *err)
{
	bool found[_COLUMN_MAX] = {false};
	size_t index = 0;

	for (const char *p = line; p < end; index++) {
		const char *open = memchr(p, '<', (size_t)(end - p));
		const char *close = open ? memchr(open, '>', (size_t)(end - open)) : NULL;
		struct token name;

		if (!close)
			break;
		name = (struct token){open, (size_t)(close - open) + 1};
		for (size_t i = 0; i < _COLUMN_MAX; i++) {
			if (!found[i] && token_is(&name, column_names[i])) {
				found[i] = true;
				parser->columns[i] = index;
			}
		}
		p = close + 1;
	}
	for (size_t i = 0; i < _COLUMN_MAX; i++)
		if (!found[i] || parser->columns[i] >= TOKENS_MAX)
			return broken(parser, "a column is missing", err);
	parser->has_columns = true;
	return 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* The next word, or the next text in square brackets, which may have blanks in it. Empty at the
 * end. */
static struct token next_token(const char *p, const char *end)
{
	const char *close;
	struct token token;

	while (p < end && is_blank(*p))
		p++;
	token = (struct token){p, 0};
	close = p < end && *p == '[' ? memchr(p, ']', (size_t)(end - p)) : NULL;
	if (close)
		p = close + 1;
	while (p < end && !is_blank(*p))
		p++;
	token.length = (size_t)(p - token.start);
	return token;
}

/* "[failed: 1]" */
static bool token_failed_reloads(const struct token *token, int64_t *ret)
{
	static const char prefix[] = "[failed: ";
	struct token number;

	if (token->length <= sizeof(prefix) || token->start[token->length - 1] != ']' ||
		memcmp(token->start, prefix, sizeof(prefix) - 1) != 0)
		return false;
	number.start = token->start + sizeof(prefix) - 1;
	number.length = token->length - sizeof(prefix);
	return token_number(&number, 0, UINT_MAX, ret);
}

/* Splits a row. The number of failed reloads belongs to the column before it, so it takes no place
 * of its own. */
static int split(struct parser *parser, const char *p, const char *end,
	struct token tokens[static TOKENS_MAX], int64_t *ret_failed, struct error *err)
{
	size_t n = 0;

	while (n < TOKENS_MAX) {
		struct token token = next_token(p, end);

		if (token.length == 0)
			break;
		p = token.start + token.length;
		if (n != parser->columns[COLUMN_RELOADS] + 1 ||
			!token_failed_reloads(&token, ret_failed))
			tokens[n++] = token;
	}
	for (size_t i = 0; i < _COLUMN_MAX; i++)
		if (parser->columns[i] >= n)
			return broken(parser, "the line is cut short", err);
	return 0;
}

static int add_worker(struct parser *parser, const struct runtime_worker *worker, struct error *err)
{
	struct runtime_processes *result = &parser->result;

	if (result->n_workers == WORKERS_MAX)
		return broken(parser, "too many workers", err);
	if (result->n_workers == parser->allocated) {
		size_t wanted = parser->allocated ? parser->allocated * 2 : 4;
		struct runtime_worker *grown;

		grown = reallocarray(result->workers, wanted, sizeof(*grown));
		if (!grown)
			return error_set_errno(err, -ENOMEM, "\"show proc\"");
		result->workers = grown;
		parser->allocated = wanted;
	}
	result->workers[result->n_workers++] = *worker;
	return 0;
}

static int read_row(struct parser *parser, const char *line, const char *end, struct error *err)
{
	struct token tokens[TOKENS_MAX] = {{0}};
	struct runtime_worker worker = {.old = parser->section == SECTION_OLD_WORKERS};
	const struct token *type, *version;
	int64_t pid, reloads, failed = -1;
	int r;

	r = split(parser, line, end, tokens, &failed, err);
	if (r < 0)
		return r;
	type = &tokens[parser->columns[COLUMN_TYPE]];
	version = &tokens[parser->columns[COLUMN_VERSION]];
	if (!token_number(&tokens[parser->columns[COLUMN_PID]], 1, INT_MAX, &pid))
		return broken(parser, "no process number", err);
	if (!token_number(&tokens[parser->columns[COLUMN_RELOADS]], 0, UINT_MAX, &reloads))
		return broken(parser, "no number of reloads", err);
	if (!token_uptime(&tokens[parser->columns[COLUMN_UPTIME]], &worker.uptime_s))
		return broken(parser, "no uptime", err);

	if (parser->section == SECTION_MASTER) {
		if (!token_is(type, "master") || parser->result.master_pid != 0)
			return broken(parser, "one master was expected", err);
		parser->result.master_pid = (pid_t)pid;
		parser->result.reloads = (unsigned)reloads;
		parser->result.has_failed_reloads = failed >= 0;
		parser->result.failed_reloads = failed >= 0 ? (unsigned)failed : 0;
		return 0;
	}
	if (!token_is(type, "worker"))
		return broken(parser, "a worker was expected", err);
	worker.pid = (pid_t)pid;
	worker.reloads = (unsigned)reloads;
	for (size_t i = 0; i < version->length && i < sizeof(worker.version) - 1; i++)
		worker.version[i] = version->start[i];
	return add_worker(parser, &worker, err);
}

static int read_line(struct parser *parser, const char *line, const char *end, struct error *err)
{
	static const struct {
		const char *title;
		enum section section;
	} titles[] = {
		{"# workers", SECTION_WORKERS},
		{"# old workers", SECTION_OLD_WORKERS},
	};
	struct token whole = {line, (size_t)(end - line)};

	if (whole.length == 0)
		return 0;
	if (line[0] == '#' && whole.length > 1 && line[1] == '<' && !parser->has_columns)
		return read_columns(parser, line, end, err);
	if (!parser->has_columns)
		return broken(parser, "not the reply of a HAProxy master", err);
	if (line[0] == '#') {
		parser->section = SECTION_OTHER;
		for (size_t i = 0; i < ELEMENTSOF(titles); i++)
			if (token_is(&whole, titles[i].title))
				parser->section = titles[i].section;
		return 0;
	}
	return parser->section == SECTION_OTHER ? 0 : read_row(parser, line, end, err);
}

/*
 * Moves the worker that takes new connections to the front. Where several are not old, a reload is
 * under way: the newest still loads, and the one with the most reloads behind it serves until the
 * newest is ready.
 */
static void current_first(struct runtime_processes *processes)
{
	struct runtime_worker *workers = processes->workers, current;
	size_t best = 0;

	for (size_t i = 1; i < processes->n_workers; i++)
		if (!workers[i].old &&
			(workers[best].old || workers[i].reloads > workers[best].reloads))
			best = i;
	if (best == 0)
		return;
	current = workers[best];
	memmove(workers + 1, workers, best * sizeof(*workers));
	workers[0] = current;
}

/*
 * From 3.1 on a master counts its reloads before it knows what comes of them, and calls every worker old that has lived through
 * one (mworker_reload(), mworker_env_to_proc_list()). One that is being loaded stands beside them; where there is none, the
 * reload failed, and the newest of the old ones serves.
 */
static void call_serving_one_current(struct runtime_processes *processes)
{
	struct runtime_worker *newest = NULL;

	for (size_t i = 0; i < processes->n_workers; i++) {
		struct runtime_worker *worker = &processes->workers[i];

		if (!worker->old)
			return;
		if (!newest || worker->reloads < newest->reloads)
			newest = worker;
	}
	if (!newest)
		return;
	newest->old = false;
	processes->all_were_old = true;
}

int runtime_parse_processes(const char *reply, struct runtime_processes *ret, struct error *err)
{
	struct parser parser = {.section = SECTION_MASTER};
	const char *line = reply;
	int r = 0;

	while (*line && r == 0) {
		const char *end = strchrnul(line, '\n');

		parser.line++;
		r = read_line(&parser, line, end, err);
		line = *end ? end + 1 : end;
	}
	if (r == 0 && parser.result.master_pid == 0)
		r = broken(&parser, "the master is missing", err);
	if (r < 0) {
		runtime_processes_done(&parser.result);
		return r;
	}
	call_serving_one_current(&parser.result);
	current_first(&parser.result);
	*ret = parser.result;
	return 0;
}

void runtime_processes_done(struct runtime_processes *processes)
{
	free(processes->workers);
	*processes = (struct runtime_processes){0};
}

const struct runtime_worker *runtime_current_worker(const struct runtime_processes *processes)
{
	if (processes->n_workers == 0 || processes->workers[0].old)
		return NULL;
	return &processes->workers[0];
}
