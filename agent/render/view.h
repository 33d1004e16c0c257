/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A view under construction: the JSON object that a template gets. A failed put is remembered: later ones do nothing and
 * view_take() returns it, so that a writer checks once, at the end.
 */

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "agent/base/cleanup.h"

struct view {
	json_t *json; /* object or array */
	int failure;  /* 0, -ENOMEM, or what quoting said */
};

struct view view_object(void);
struct view view_list(void);
void view_done(struct view *view);
#define _cleanup_view_ _cleanup_(view_done)

/* Gives the JSON away, as a new reference. */
int view_take(struct view *view, json_t **ret);

/* In an object. NULL is "absent". */
void view_put_integer(struct view *view, const char *name, int64_t value);
void view_put_unless_zero(struct view *view, const char *name, int64_t value);
void view_put_absent(struct view *view, const char *name);
void view_put_flag(struct view *view, const char *name, bool value);
/* Our own words, ids among them: as they are. */
void view_put_own(struct view *view, const char *name, const char *value);
/* Everything that a user wrote: quoted for HAProxy (quote.h). */
void view_put_quoted(struct view *view, const char *name, const char *value);
/* A list of strings, quoted and joined by commas: one word. NULL and empty lists are absent. */
void view_put_joined(struct view *view, const char *name, char *const *values);
/* Takes another view's content, or its failure. */
void view_put_view(struct view *view, const char *name, struct view *value);

/* In a list. */
void view_append_own(struct view *view, const char *value);
void view_append_quoted(struct view *view, const char *value);
void view_append_view(struct view *view, struct view *value);
