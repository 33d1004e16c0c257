/* SPDX-License-Identifier: Apache-2.0 */
#include "api/lbaas_v2/listing.h"

#include <assert.h>
#include <string.h>

#include "agent/base/json_write.h"
#include "agent/base/text.h"
#include "api/lbaas_v2/listing_page.h"

/* A reply in the making. */
struct answer {
	const struct request *request;
	const struct listing_type *type;
	const struct listing_source *source;
	struct listing_query query; /* owned, as all below */
	struct listing_page page;
	json_t *fields; /* NULL: all */
};

static void answer_done(struct answer *answer)
{
	listing_query_done(&answer->query);
	listing_page_done(&answer->page);
	json_decref(answer->fields);
}

/* The names in all "fields" of the query, as the keys of an object; NULL if there is none. */
static int read_fields(const struct request *request, json_t **ret)
{
	json_auto_t *fields = NULL;
	const char *name, *value;

	for (size_t position = 0; request_query_next(request, &position, &name, &value);) {
		_cleanup_strv_ char **parts = NULL;

		if (!streq(name, "fields"))
			continue;
		if (!fields)
			fields = json_object();
		if (!fields || text_split(value, ',', &parts) < 0)
			return -ENOMEM;
		STRV_FOREACH(part, parts)
			if (json_object_set_new(fields, *part, json_true()) < 0)
				return -ENOMEM;
	}
	*ret = TAKE_PTR(fields);
	return 0;
}

/* The object with these fields, or all of it; a new reference. */
static json_t *choose_fields(const json_t *fields, json_t *object)
{
	json_auto_t *chosen = NULL;
	const char *name;
	json_t *value;

	if (!fields)
		return json_incref(object);
	chosen = json_object();
	json_object_foreach(object, name, value)
		if (json_object_get(fields, name) && json_object_set(chosen, name, value) < 0)
			return NULL;
	return TAKE_PTR(chosen);
}

/* Everything but what RFC 3986 calls unreserved, and what sort keys are written with, is encoded. */
static void append_parameter(struct text *href, const char *name, const char *value)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:,";

	text_append_char(href, strchr(text_peek(href), '?') ? '&' : '?');
	for (int part = 0; part < 2; part++) {
		for (const char *p = part ? value : name; *p; p++)
			if (strchr(plain, *p))
				text_append_char(href, *p);
			else
				text_printf(href, "%%%02X", (unsigned char)*p);
		if (part == 0)
			text_append_char(href, '=');
	}
}

/* The query again, for another page. Octavia's order: limit, sort, the rest, marker. */
static json_t *make_link(const struct answer *answer, const char *rel, const char *marker, bool reverse)
{
	static const char *const kept[] = {"limit", "sort", "sort_key", "sort_dir", "fields"};
	const struct request *request = answer->request;
	_cleanup_text_ struct text href = TEXT_INIT;
	const char *name, *value;

	request_append_origin(request, &href);
	text_append(&href, request->path);
	for (size_t i = 0; i < ELEMENTSOF(kept); i++)
		for (size_t position = 0; request_query_next(request, &position, &name, &value);)
			if (streq(name, kept[i]))
				append_parameter(&href, name, value);
	for (size_t position = 0; request_query_next(request, &position, &name, &value);)
		if (!listing_is_page_parameter(name))
			append_parameter(&href, name, value);
	append_parameter(&href, "marker", marker ? marker : "");
	if (reverse)
		append_parameter(&href, "page_reverse", "True");
	return href.failed ? NULL : json_pack("{s:s, s:s}", "rel", rel, "href", text_peek(&href));
}

/* The object at a place of the page, for a link to what is beside it. */
static int add_link(const struct answer *answer, size_t place, const char *rel, bool reverse, json_t *links)
{
	const struct listing_source *source = answer->source;
	json_auto_t *id = NULL;
	int r = source->member(source->userdata, answer->page.objects[place], answer->type->id, &id);

	return r < 0 ? r : json_array_append_new(links, make_link(answer, rel, json_string_value(id), reverse));
}

static int append_links(const struct answer *answer, struct text *body)
{
	const struct listing_query *query = &answer->query;
	const struct listing_page *page = &answer->page;
	bool has_next = query->limit > 0 && ((query->marker && query->reverse) || page->full);
	json_auto_t *links = json_array();
	int r = links ? 0 : -ENOMEM;

	if (r == 0 && page->n > 0 && query->marker)
		r = add_link(answer, 0, "previous", true, links);
	if (r == 0 && page->n > 0 && has_next)
		r = add_link(answer, page->n - 1, "next", false, links);
	if (r < 0)
		return r;
	text_printf(body, ",\"%s\":", answer->type->links);
	json_write(body, links);
	return 0;
}

/* One object after the other: all of them at once would be ten times their text. */
static int append_objects(const struct answer *answer, struct text *body)
{
	const struct listing_source *source = answer->source;

	for (size_t i = 0; i < answer->page.n; i++) {
		json_auto_t *object = NULL, *chosen = NULL;
		int r = source->object(source->userdata, answer->page.objects[i], &object);

		chosen = r == 0 ? choose_fields(answer->fields, object) : NULL;
		if (!chosen)
			return -ENOMEM;
		if (i > 0)
			text_append_char(body, ',');
		json_write(body, chosen);
	}
	return 0;
}

static int make_body(const struct answer *answer, struct response *response)
{
	_cleanup_text_ struct text body = TEXT_INIT;
	int r;

	text_printf(&body, "{\"%s\":[", answer->type->collection);
	r = append_objects(answer, &body);
	text_append_char(&body, ']');
	if (r == 0 && answer->type->links)
		r = append_links(answer, &body);
	text_append_char(&body, '}');
	return r < 0 ? r : response_set_text(response, 200, "application/json", &body);
}

static const struct listing_type *find_type(const char *name)
{
	const struct listing_type *type = listing_types;

	while (type->collection && !streq(type->collection, name))
		type++;
	assert(type->collection);
	return type;
}

int listing_answer_from(const struct request *request, const char *name, const struct listing_source *source,
	struct response *response, struct error *err)
{
	_cleanup_(answer_done) struct answer answer = {.request = request, .type = find_type(name), .source = source};
	int r;

	r = listing_query_parse(request, answer.type, &answer.query, err);
	if (r == 0)
		r = listing_page_make(answer.type, &answer.query, source, &answer.page, err);
	if (r < 0)
		return r;
	if (read_fields(request, &answer.fields) < 0 || make_body(&answer, response) < 0)
		return error_set_errno(err, -ENOMEM, "%s", name);
	return 0;
}

static int array_member(const void *userdata, size_t i, const char *name, json_t **ret)
{
	*ret = json_incref(json_object_get(json_array_get(userdata, i), name));
	return 0;
}

static int array_object(const void *userdata, size_t i, json_t **ret)
{
	*ret = json_incref(json_array_get(userdata, i));
	return 0;
}

int listing_answer(const struct request *request, const char *name, json_t *objects, struct response *response,
	struct error *err)
{
	json_auto_t *all = objects;

	if (!all)
		return error_set_errno(err, -ENOMEM, "%s", name);
	return listing_answer_from(request, name,
		&(struct listing_source){json_array_size(all), array_member, array_object, all}, response, err);
}

int listing_answer_one(const struct request *request, const char *name, json_t *object, struct response *response,
	struct error *err)
{
	json_auto_t *whole = object, *fields = NULL;
	json_t *chosen, *body;

	chosen = whole && read_fields(request, &fields) == 0 ? choose_fields(fields, whole) : NULL;
	body = chosen ? json_pack("{s:o}", name, chosen) : NULL;
	if (!body || response_set_json(response, 200, body) < 0)
		return error_set_errno(err, -ENOMEM, "%s", name);
	return 0;
}
