/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "agent/base/json_write.h"
#include "agent/base/text.h"
#include "agent/render/template-internal.h"

/* The view, and what the sections of the template and of a chain of partials can push. */
#define MAX_CONTEXTS (1 + (1 + TEMPLATE_MAX_PARTIAL_DEPTH) * TEMPLATE_MAX_SECTION_DEPTH)

struct renderer {
	struct text out;
	/* The indentations of the partials around, outermost first. Those before "indentation_from"
	 * do not count: they are outside a partial that is named within a line. */
	struct text indentation;
	size_t indentation_from;
	const json_t *contexts[MAX_CONTEXTS];
	size_t n_contexts;
	struct error *err;
};

static int render_nodes(struct renderer *renderer, const struct unit *unit, size_t from, size_t to);

static const char *type_name(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "an integer";
	case JSON_REAL:
		return "a real number";
	case JSON_TRUE:
		return "true";
	case JSON_FALSE:
		return "false";
	default:
		return "null";
	}
}

/* The innermost object that has the first part of the name decides: if the rest is not there, no
 * outer one is asked (specification, interpolation: "Dotted Names - Context Precedence"). */
static int look_up(struct renderer *renderer, const struct unit *unit, const struct node *node,
	const json_t **ret)
{
	const json_t *value = NULL;

	if (!node->parts) {
		*ret = renderer->contexts[renderer->n_contexts - 1];
		return 0;
	}
	/* json_object_get() gives NULL for what is not an object. */
	for (size_t i = renderer->n_contexts; i > 0 && !value; i--)
		value = json_object_get(renderer->contexts[i - 1], node->parts[0]);
	if (!value)
		return template_fail(unit, node->line, ERROR_INTERNAL, renderer->err,
			"the view has no \"%s\"", node->parts[0]);
	for (size_t i = 1; node->parts[i]; i++) {
		value = json_object_get(value, node->parts[i]);
		if (!value)
			return template_fail(unit, node->line, ERROR_INTERNAL, renderer->err,
				"the view has no \"%s\": \"%s\" is missing", node->name,
				node->parts[i]);
	}
	*ret = value;
	return 0;
}

static int render_variable(
	struct renderer *renderer, const struct unit *unit, const struct node *node)
{
	const json_t *value;
	int r;

	r = look_up(renderer, unit, node, &value);
	if (r < 0)
		return r;
	switch (json_typeof(value)) {
	case JSON_STRING:
		if (text_has_control(json_string_value(value), json_string_length(value)))
			return template_fail(unit, node->line, ERROR_INVALID, renderer->err,
				"the value of \"%s\" has a control character", node->name);
		text_append_bytes(
			&renderer->out, json_string_value(value), json_string_length(value));
		return 0;
	case JSON_INTEGER:
		json_write_integer(&renderer->out, json_integer_value(value));
		return 0;
	case JSON_NULL:
	case JSON_FALSE:
		return 0;
	default:
		return template_fail(unit, node->line, ERROR_INTERNAL, renderer->err,
			"\"%s\" is %s, which cannot be written", node->name, type_name(value));
	}
}

/* The body of the section in a context of its own. */
static int render_body_in(struct renderer *renderer, const struct unit *unit,
	const struct node *section, const json_t *context)
{
	size_t index = (size_t)(section - unit->nodes);
	int r;

	assert(renderer->n_contexts < MAX_CONTEXTS);
	renderer->contexts[renderer->n_contexts++] = context;
	r = render_nodes(renderer, unit, index + 1, section->end);
	renderer->n_contexts--;
	return r;
}

static int render_section(
	struct renderer *renderer, const struct unit *unit, const struct node *node)
{
	bool inverted = node->kind == NODE_INVERTED;
	size_t index = (size_t)(node - unit->nodes), i;
	const json_t *value, *item;
	bool present;
	int r;

	r = look_up(renderer, unit, node, &value);
	if (r < 0)
		return r;
	switch (json_typeof(value)) {
	case JSON_TRUE:
	case JSON_OBJECT:
	case JSON_STRING:
	case JSON_INTEGER:
		present = true;
		break;
	case JSON_ARRAY:
		present = json_array_size(value) > 0;
		break;
	case JSON_FALSE:
	case JSON_NULL:
		present = false;
		break;
	default:
		return template_fail(unit, node->line, ERROR_INTERNAL, renderer->err,
			"\"%s\" is %s, which cannot be a section", node->name, type_name(value));
	}
	if (present == inverted)
		return 0;
	if (inverted || json_is_true(value))
		return render_nodes(renderer, unit, index + 1, node->end);
	if (!json_is_array(value))
		return render_body_in(renderer, unit, node, value);
	json_array_foreach (value, i, item) {
		r = render_body_in(renderer, unit, node, item);
		if (r < 0)
			return r;
	}
	return 0;
}

static int render_partial(struct renderer *renderer, const struct node *node)
{
	size_t from = renderer->indentation_from, length = renderer->indentation.length;
	int r;

	if (!node->own_line)
		renderer->indentation_from = length;
	text_append_bytes(&renderer->indentation, node->text, node->length);
	r = render_nodes(renderer, node->partial, 0, node->partial->n_nodes);
	text_truncate(&renderer->indentation, length);
	renderer->indentation_from = from;
	return r;
}

static void render_text(struct renderer *renderer, const struct node *node)
{
	size_t from = renderer->indentation_from;

	if (node->own_line && renderer->indentation.length > from)
		text_append_bytes(&renderer->out, renderer->indentation.data + from,
			renderer->indentation.length - from);
	text_append_bytes(&renderer->out, node->text, node->length);
}

/* The nodes from index "from" up to "to", which excludes what is inside of sections: they render it
 * themselves. The recursion is as deep as the template, which template_parse() bounds. */
static int render_nodes(struct renderer *renderer, const struct unit *unit, size_t from, size_t to)
{
	size_t next;

	for (size_t i = from; i < to; i = next) {
		const struct node *node = &unit->nodes[i];
		int r = 0;

		next = i + 1;
		switch (node->kind) {
		case NODE_TEXT:
			render_text(renderer, node);
			break;
		case NODE_VARIABLE:
			r = render_variable(renderer, unit, node);
			break;
		case NODE_SECTION:
		case NODE_INVERTED:
			r = render_section(renderer, unit, node);
			next = node->end;
			break;
		case NODE_PARTIAL:
			r = render_partial(renderer, node);
			break;
		}
		if (r < 0)
			return r;
		if (renderer->out.failed || renderer->indentation.failed)
			return error_set_errno(renderer->err, -ENOMEM, "%s", unit->file);
		if (renderer->out.length > TEMPLATE_MAX_RESULT_BYTES)
			return template_fail(unit, node->line, ERROR_TOO_LARGE, renderer->err,
				"the result has more than %d bytes", TEMPLATE_MAX_RESULT_BYTES);
	}
	return 0;
}

int template_render(const struct template *template, const json_t *view, char **ret_text,
	size_t *ret_length, struct error *err)
{
	struct renderer renderer = {.contexts = {view}, .n_contexts = 1, .err = err};
	const struct unit *unit = template->units[0];
	int r;

	if (!json_is_object(view))
		return template_fail(unit, 0, ERROR_INTERNAL, err, "the view is not an object");
	r = render_nodes(&renderer, unit, 0, unit->n_nodes);
	if (r == 0) {
		r = text_finish(&renderer.out, ret_text, ret_length);
		if (r < 0)
			error_set_errno(err, r, "%s", unit->file);
	}
	text_done(&renderer.indentation);
	text_done(&renderer.out);
	return r;
}
