/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/tree.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
	BRANCH_COLUMNS = 3,
	COLUMN_GAP = 2,
};

struct branches {
	const char *middle, *last, *pass, *none;
	const char *dot;
	size_t dot_columns;
};

static const struct branches utf8_branches = {"├─ ", "└─ ", "│  ", "   ", "● ", 2};
static const struct branches ascii_branches = {"|- ", "`- ", "|  ", "   ", "", 0};

struct node {
	unsigned depth;
	char *kind, *name, *status, *detail;
};

struct tree {
	struct node *nodes; /* in reading order */
	size_t n_nodes;
	size_t allocated;
};

int tree_new(struct tree **ret)
{
	struct tree *tree = calloc(1, sizeof(*tree));

	if (!tree)
		return -ENOMEM;
	*ret = tree;
	return 0;
}

static void node_done(struct node *node)
{
	free(node->kind);
	free(node->name);
	free(node->status);
	free(node->detail);
}

void tree_free(struct tree *tree)
{
	if (!tree)
		return;
	for (size_t i = 0; i < tree->n_nodes; i++)
		node_done(&tree->nodes[i]);
	free(tree->nodes);
	free(tree);
}

int tree_add(struct tree *tree, unsigned depth, const struct tree_row *row)
{
	struct node node = {.depth = depth};

	if (depth > TREE_MAX_DEPTH ||
		(depth > 0 &&
			(tree->n_nodes == 0 || tree->nodes[tree->n_nodes - 1].depth + 1 < depth)))
		return -EINVAL;
	if (tree->n_nodes == tree->allocated) {
		size_t allocated = tree->allocated ? 2 * tree->allocated : 16;
		struct node *nodes = reallocarray(tree->nodes, allocated, sizeof(*nodes));

		if (!nodes)
			return -ENOMEM;
		tree->nodes = nodes;
		tree->allocated = allocated;
	}
	node.kind = strdup(row->kind);
	node.name = strdup(row->name);
	node.status = strdup(row->status);
	node.detail = strdup(row->detail);
	if (!node.kind || !node.name || !node.status || !node.detail) {
		node_done(&node);
		return -ENOMEM;
	}
	tree->nodes[tree->n_nodes++] = node;
	return 0;
}

/* Bit d of ret[i]: below row i there is another child of its ancestor at depth d - 1, so that a
 * line runs past row i at that depth. One pass from the end. */
static void find_siblings(const struct tree *tree, uint32_t *ret)
{
	uint32_t open = 0;

	for (size_t i = tree->n_nodes; i-- > 0;) {
		uint32_t own = UINT32_C(1) << tree->nodes[i].depth;

		ret[i] = open;
		open = (open & (own - 1)) | own;
	}
}

static size_t label_width(const struct node *node, const struct terminal *terminal)
{
	size_t width = node->depth * BRANCH_COLUMNS + terminal_width(terminal, node->name);

	if (*node->kind)
		width += terminal_width(terminal, node->kind) + 1;
	return width;
}

static void print_label(const struct node *node, uint32_t siblings, const struct branches *branches,
	const struct terminal *terminal, struct text *out)
{
	for (unsigned d = 1; d < node->depth; d++)
		text_append(out, siblings & UINT32_C(1) << d ? branches->pass : branches->none);
	if (node->depth > 0)
		text_append(out,
			siblings & UINT32_C(1) << node->depth ? branches->middle : branches->last);
	if (*node->kind) {
		terminal_append(terminal, out, COLOUR_DIM, node->kind);
		text_append_char(out, ' ');
	}
	terminal_append(terminal, out, node->depth == 0 ? COLOUR_BOLD : COLOUR_PLAIN, node->name);
}

struct widths {
	size_t label, status;
};

static void print_node(const struct node *node, uint32_t siblings, const struct widths *widths,
	const struct terminal *terminal, struct text *out)
{
	const struct branches *branches = terminal->utf8 ? &utf8_branches : &ascii_branches;
	enum colour colour = terminal_status_colour(node->status);
	size_t blanks = widths->label - label_width(node, terminal) + COLUMN_GAP;

	print_label(node, siblings, branches, terminal, out);
	if (*node->status) {
		terminal_pad(out, blanks);
		terminal_append(terminal, out, colour, branches->dot);
		terminal_append(terminal, out, colour, node->status);
		blanks = widths->status - terminal_width(terminal, node->status) + COLUMN_GAP;
	} else {
		blanks += branches->dot_columns + widths->status + COLUMN_GAP;
	}
	if (*node->detail) {
		terminal_pad(out, blanks);
		terminal_append(terminal, out, COLOUR_PLAIN, node->detail);
	}
	text_append_char(out, '\n');
}

void tree_print(const struct tree *tree, const struct terminal *terminal, struct text *out)
{
	_cleanup_free_ uint32_t *siblings = calloc(tree->n_nodes + 1, sizeof(*siblings));
	struct widths widths = {0};

	if (!siblings) {
		out->failed = true;
		return;
	}
	find_siblings(tree, siblings);
	for (size_t i = 0; i < tree->n_nodes; i++) {
		size_t label = label_width(&tree->nodes[i], terminal);
		size_t status = terminal_width(terminal, tree->nodes[i].status);

		widths.label = label > widths.label ? label : widths.label;
		widths.status = status > widths.status ? status : widths.status;
	}
	for (size_t i = 0; i < tree->n_nodes; i++)
		print_node(&tree->nodes[i], siblings[i], &widths, terminal, out);
}
