/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A tree of objects with their statuses, one a line:
 *
 *	web                      ● ONLINE    192.0.2.10
 *	└─ listener https        ● ONLINE    TCP, port 443
 *	   └─ pool ingress       ● DEGRADED  PROXYV2, ROUND_ROBIN
 *
 * with box-drawing characters where the locale is UTF-8, and with ASCII ones elsewhere. Strings may
 *be foreign text; they are made safe when they are printed.
 */

#include <stddef.h>

#include "api/client/terminal.h"

enum { TREE_MAX_DEPTH = 16 };

struct tree_row {
	const char *kind; /* "listener"; "" for none */
	const char *name;
	const char *status; /* "" for none */
	const char *detail; /* "" for none */
};

struct tree;

int tree_new(struct tree **ret);
void tree_free(struct tree *tree);
DEFINE_CLEANUP(struct tree *, tree_free);
#define _cleanup_tree_ _cleanup_(tree_freep)

/* Adds a row in reading order, copying its strings: its parent is the last row of depth - 1. A root
 * has depth 0. -ENOMEM, -EINVAL for a depth without a parent or over TREE_MAX_DEPTH. */
int tree_add(struct tree *tree, unsigned depth, const struct tree_row *row);

void tree_print(const struct tree *tree, const struct terminal *terminal, struct text *out);
