/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/render/view.h"

#include "agent/base/text.h"
#include "agent/render/quote.h"

static struct view view_of(json_t *json)
{
	return (struct view){json, json ? 0 : -ENOMEM};
}

struct view view_object(void)
{
	return view_of(json_object());
}

struct view view_list(void)
{
	return view_of(json_array());
}

void view_done(struct view *view)
{
	json_decref(view->json);
	*view = (struct view){NULL, -EINVAL};
}

int view_take(struct view *view, json_t **ret)
{
	if (view->failure < 0)
		return view->failure;
	*ret = TAKE_PTR(view->json);
	return 0;
}

static void put_or_append(struct view *view, const char *name, json_t *value)
{
	if (view->failure < 0) {
		json_decref(value);
		return;
	}
	/* Both take the reference, and both refuse NULL. */
	if ((name ? json_object_set_new_nocheck(view->json, name, value) : json_array_append_new(view->json, value)) < 0)
		view->failure = -ENOMEM;
}

void view_put_integer(struct view *view, const char *name, int64_t value)
{
	put_or_append(view, name, json_integer(value));
}

void view_put_unless_zero(struct view *view, const char *name, int64_t value)
{
	put_or_append(view, name, value ? json_integer(value) : json_null());
}

void view_put_absent(struct view *view, const char *name)
{
	put_or_append(view, name, json_null());
}

void view_put_flag(struct view *view, const char *name, bool value)
{
	put_or_append(view, name, json_boolean(value));
}

void view_put_own(struct view *view, const char *name, const char *value)
{
	put_or_append(view, name, value ? json_string(value) : json_null());
}

static void put_quoted(struct view *view, const char *name, const char *value)
{
	_cleanup_free_ char *word = NULL;
	int r;

	if (quote_is_plain(value)) {
		put_or_append(view, name, json_string(value));
		return;
	}
	r = quote_haproxy(value, &word);
	if (r < 0 && view->failure == 0)
		view->failure = r;
	if (r == 0)
		put_or_append(view, name, json_string(word));
}

void view_put_quoted(struct view *view, const char *name, const char *value)
{
	if (value)
		put_quoted(view, name, value);
	else
		put_or_append(view, name, json_null());
}

void view_put_joined(struct view *view, const char *name, char *const *values)
{
	_cleanup_text_ struct text text = TEXT_INIT;

	STRV_FOREACH(value, values)
		text_printf(&text, "%s%s", text.length ? "," : "", *value);
	if (text.failed)
		view->failure = -ENOMEM;
	view_put_quoted(view, name, text.length ? text_peek(&text) : NULL);
}

static void add_view(struct view *view, const char *name, struct view *value)
{
	json_t *json = NULL;
	int r = view_take(value, &json);

	if (r < 0 && view->failure == 0)
		view->failure = r;
	if (r == 0)
		put_or_append(view, name, json);
}

void view_put_view(struct view *view, const char *name, struct view *value)
{
	add_view(view, name, value);
}

void view_append_own(struct view *view, const char *value)
{
	put_or_append(view, NULL, json_string(value));
}

void view_append_quoted(struct view *view, const char *value)
{
	put_quoted(view, NULL, value);
}

void view_append_view(struct view *view, struct view *value)
{
	add_view(view, NULL, value);
}
