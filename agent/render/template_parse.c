/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/base/text.h"
#include "agent/render/template-internal.h"

/* Enough of a bad tag to recognise it in a message. */
#define TAG_IN_MESSAGE 40

struct parser {
	struct loader *loader;
	struct unit *unit;
	size_t depth; /* partials between the template and this unit */
	struct error *err;
	const char *at;                          /* what lies before it is compiled */
	size_t line;                             /* of "at" */
	size_t open[TEMPLATE_MAX_SECTION_DEPTH]; /* node indexes of the sections around "at" */
	size_t n_open;
};

struct tag {
	char sigil; /* '#', '^', '/', '>' or '!'; '\0' for {{name}} and {{&name}} */
	char *name; /* owned; NULL in a comment */
	const char *start;
	const char *end;         /* behind the closing braces */
	const char *indentation; /* "start", or the blanks before it that go with the line */
	bool alone; /* the specification's "standalone": the whole line goes with the tag */
};

static void tag_done(struct tag *tag)
{
	free(tag->name);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool at_line_start(const struct unit *unit, const char *p)
{
	return p == unit->source || p[-1] == '\n';
}

static int fail_memory(struct parser *parser)
{
	return error_set_errno(parser->err, -ENOMEM, "%s", parser->unit->file);
}

static int add_node(struct parser *parser, const struct node *node)
{
	struct unit *unit = parser->unit;

	if (unit->n_nodes == unit->n_allocated) {
		size_t wanted = unit->n_allocated ? unit->n_allocated * 2 : 32;
		struct node *grown = reallocarray(unit->nodes, wanted, sizeof(*grown));

		if (!grown)
			return fail_memory(parser);
		unit->nodes = grown;
		unit->n_allocated = wanted;
	}
	unit->nodes[unit->n_nodes] = *node;
	unit->nodes[unit->n_nodes].line = parser->line;
	unit->n_nodes++;
	return 0;
}

static void advance(struct parser *parser, const char *to)
{
	for (; parser->at < to; parser->at++)
		parser->line += *parser->at == '\n';
}

/* One node a line, because each line of a partial can get an indentation. */
static int add_text(struct parser *parser, const char *end)
{
	while (parser->at < end) {
		const char *newline = memchr(parser->at, '\n', (size_t)(end - parser->at));
		const char *stop = newline ? newline + 1 : end;
		struct node node = {
			.kind = NODE_TEXT,
			.own_line = at_line_start(parser->unit, parser->at),
			.text = parser->at,
			.length = (size_t)(stop - parser->at),
		};
		int r;

		r = add_node(parser, &node);
		if (r < 0)
			return r;
		advance(parser, stop);
	}
	return 0;
}

/* The line starts with a tag: there is no text yet to hold the mark. */
static int add_line_start(struct parser *parser)
{
	struct node node = {.kind = NODE_TEXT, .own_line = true, .text = parser->at};

	return add_node(parser, &node);
}

/* The end of the line, newline included, if only blanks follow up to there; else NULL. */
static const char *line_end(const char *p)
{
	while (is_blank(*p))
		p++;
	if (p[0] == '\n')
		return p + 1;
	if (p[0] == '\r' && p[1] == '\n')
		return p + 2;
	return p[0] == '\0' ? p : NULL;
}

/* The name between "start" and "end". */
static int read_name(struct parser *parser, const char *start, const char *end, struct tag *tag)
{
	int shown = (int)(end - start) < TAG_IN_MESSAGE ? (int)(end - start) : TAG_IN_MESSAGE;
	bool dot_allowed = tag->sigil != '>';
	const char *all = start;

	while (start < end && is_blank(*start))
		start++;
	while (end > start && is_blank(end[-1]))
		end--;
	tag->name = strndup(start, (size_t)(end - start));
	if (!tag->name)
		return fail_memory(parser);
	if (template_name_is_valid(tag->name) || (dot_allowed && streq(tag->name, ".")))
		return 0;
	return template_fail(parser->unit, parser->line, ERROR_INVALID, parser->err,
		"\"%.*s\" is not a name", shown, all);
}

/* Reads the tag at "start", which is in the parser's current line. */
static int read_tag(struct parser *parser, struct tag *tag)
{
	const char *content = tag->start + 2;
	const char *close = strstr(content, "}}");
	int r;

	switch (*content) {
	case '{':
		return template_fail(parser->unit, parser->line, ERROR_INVALID, parser->err,
			"\"{{{\" is not offered: {{name}} already writes a value as it is");
	case '=':
		return template_fail(parser->unit, parser->line, ERROR_INVALID, parser->err,
			"the delimiters cannot be changed");
	case '#':
	case '^':
	case '/':
	case '>':
	case '!':
		tag->sigil = *content++;
		break;
	case '&':
		content++;
		break;
	}
	/* Only a comment may span lines; elsewhere that is a forgotten end. */
	if (!close || (tag->sigil != '!' && memchr(content, '\n', (size_t)(close - content))))
		return template_fail(parser->unit, parser->line, ERROR_INVALID, parser->err,
			"the tag is not closed");
	if (tag->sigil != '!') {
		r = read_name(parser, content, close, tag);
		if (r < 0)
			return r;
	}
	tag->end = close + 2;
	return 0;
}

/* A node that is about a name of the view. Takes the tag's name. */
static int add_named(struct parser *parser, enum node_kind kind, struct tag *tag)
{
	struct node node = {.kind = kind, .name = tag->name};
	int r;

	if (!streq(tag->name, ".") && text_split(tag->name, '.', &node.parts) < 0)
		return fail_memory(parser);
	r = add_node(parser, &node);
	if (r < 0) {
		strv_free(node.parts);
		return r;
	}
	tag->name = NULL;
	return 0;
}

static int open_section(struct parser *parser, enum node_kind kind, struct tag *tag)
{
	int r;

	if (parser->n_open == TEMPLATE_MAX_SECTION_DEPTH)
		return template_fail(parser->unit, parser->line, ERROR_INVALID, parser->err,
			"sections are more than %d deep", TEMPLATE_MAX_SECTION_DEPTH);
	r = add_named(parser, kind, tag);
	if (r < 0)
		return r;
	parser->open[parser->n_open++] = parser->unit->n_nodes - 1;
	return 0;
}

static int close_section(struct parser *parser, const struct tag *tag)
{
	struct unit *unit = parser->unit;
	struct node *section;

	if (parser->n_open == 0)
		return template_fail(unit, parser->line, ERROR_INVALID, parser->err,
			"{{/%s}} closes nothing", tag->name);
	section = &unit->nodes[parser->open[parser->n_open - 1]];
	if (!streq(section->name, tag->name))
		return template_fail(unit, parser->line, ERROR_INVALID, parser->err,
			"{{/%s}} cannot close the section \"%s\" of line %zu", tag->name,
			section->name, section->line);
	section->end = unit->n_nodes;
	parser->n_open--;
	return 0;
}

static int add_partial(struct parser *parser, const struct tag *tag)
{
	struct node node = {
		.kind = NODE_PARTIAL,
		.own_line = tag->alone,
		.text = tag->indentation,
		.length = (size_t)(tag->start - tag->indentation),
	};
	int r;

	r = template_find_partial(parser->loader, parser->unit, parser->line, parser->depth,
		tag->name, &node.partial, parser->err);
	if (r < 0)
		return r;
	return add_node(parser, &node);
}

static int add_tag(struct parser *parser, struct tag *tag)
{
	switch (tag->sigil) {
	case '!':
		return 0;
	case '#':
		return open_section(parser, NODE_SECTION, tag);
	case '^':
		return open_section(parser, NODE_INVERTED, tag);
	case '/':
		return close_section(parser, tag);
	case '>':
		return add_partial(parser, tag);
	default:
		return add_named(parser, NODE_VARIABLE, tag);
	}
}

/* The text before the tag and the tag. */
static int parse_tag(struct parser *parser, const char *start)
{
	_cleanup_(tag_done) struct tag tag = {.start = start, .indentation = start};
	const char *next;
	bool begins_line;
	int r;

	while (tag.indentation > parser->at && is_blank(tag.indentation[-1]))
		tag.indentation--;
	begins_line = at_line_start(parser->unit, tag.indentation);
	if (!begins_line)
		tag.indentation = start;
	r = add_text(parser, tag.indentation);
	if (r < 0)
		return r;
	r = read_tag(parser, &tag);
	if (r < 0)
		return r;

	/* What else is on the line needs no parsing to be seen: another tag is not blank. */
	next = begins_line && tag.sigil != '\0' ? line_end(tag.end) : NULL;
	tag.alone = next != NULL;
	if (begins_line && !tag.alone) {
		r = tag.indentation < start ? add_text(parser, start) : add_line_start(parser);
		if (r < 0)
			return r;
		tag.indentation = start;
	}
	r = add_tag(parser, &tag);
	if (r < 0)
		return r;
	advance(parser, tag.alone ? next : tag.end);
	return 0;
}

int template_parse(struct loader *loader, struct unit *unit, size_t depth, struct error *err)
{
	struct parser parser = {
		.loader = loader,
		.unit = unit,
		.depth = depth,
		.err = err,
		.at = unit->source,
		.line = 1,
	};
	const char *tag;
	int r;

	while ((tag = strstr(parser.at, "{{"))) {
		r = parse_tag(&parser, tag);
		if (r < 0)
			return r;
	}
	r = add_text(&parser, parser.at + strlen(parser.at));
	if (r < 0)
		return r;
	if (parser.n_open > 0) {
		const struct node *section = &unit->nodes[parser.open[parser.n_open - 1]];

		return template_fail(unit, section->line, ERROR_INVALID, err,
			"the section \"%s\" is not closed", section->name);
	}
	return 0;
}
