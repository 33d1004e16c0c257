/* SPDX-License-Identifier: Apache-2.0 */
#include "api/request.h"

#include <strings.h>

#include "agent/base/text.h"
#include "agent/definition/uuid.h"
#include "api/encoding.h"

struct request_value {
	bool is_header;
	char *name;  /* owned */
	char *value; /* owned */
};

static const char *find_value(const struct request *request, bool is_header, const char *name)
{
	const struct request_values *values = request->values;

	for (size_t i = 0; values && i < values->n; i++) {
		const struct request_value *item = &values->items[i];

		if (item->is_header == is_header &&
			(is_header ? strcasecmp(item->name, name) : strcmp(item->name, name)) == 0)
			return item->value;
	}
	return NULL;
}

const char *request_header(const struct request *request, const char *name)
{
	return find_value(request, true, name);
}

const char *request_query(const struct request *request, const char *name)
{
	return find_value(request, false, name);
}

bool request_query_next(const struct request *request, size_t *position, const char **ret_name, const char **ret_value)
{
	const struct request_values *values = request->values;

	while (values && *position < values->n) {
		const struct request_value *item = &values->items[(*position)++];

		if (item->is_header)
			continue;
		*ret_name = item->name;
		*ret_value = item->value;
		return true;
	}
	return false;
}

/* What can be a name, an address or a port (RFC 3986, section 3.2.2), so that nothing else is quoted in a reply. */
static bool is_host(const char *host)
{
	static const char characters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%:[]";

	return host && *host && host[strspn(host, characters)] == '\0';
}

void request_append_origin(const struct request *request, struct text *text)
{
	const char *host = request_header(request, "Host");

	if (is_host(host))
		text_printf(text, "%s://%s", request->secure ? "https" : "http", host);
}

int request_query_bool(
	const struct request *request, const char *name, bool *ret, struct error *err)
{
	const char *value = request_query(request, name);
	bool parsed = value != NULL;

	if (value && *value && text_to_bool(value, &parsed) < 0)
		return error_set(err, ERROR_INVALID, NULL,
			"query parameter %s: '%s' is neither true nor false", name, value);
	*ret = parsed;
	return 0;
}

/* Takes the strings when it succeeds. */
static int add_value(struct request_values *values, bool is_header, char **name, char **value)
{
	if (values->n == values->allocated) {
		size_t allocated = values->allocated ? 2 * values->allocated : 16;
		struct request_value *items =
			reallocarray(values->items, allocated, sizeof(*items));

		if (!items)
			return -ENOMEM;
		values->items = items;
		values->allocated = allocated;
	}
	values->items[values->n++] =
		(struct request_value){is_header, TAKE_PTR(*name), TAKE_PTR(*value)};
	return 0;
}

int request_values_add_header(struct request_values *values, const char *name, const char *value)
{
	_cleanup_free_ char *name_copy = NULL, *value_copy = NULL;

	name_copy = strdup(name);
	value_copy = strdup(value);
	if (!name_copy || !value_copy)
		return -ENOMEM;
	return add_value(values, true, &name_copy, &value_copy);
}

static int add_query(
	struct request_values *values, const char *text, size_t length, struct error *err)
{
	_cleanup_free_ char *name = NULL, *value = NULL;
	const char *equals = memchr(text, '=', length);
	size_t name_length = equals ? (size_t)(equals - text) : length;
	int r;

	r = percent_decode(text, name_length, true, "the query", &name, err);
	if (r < 0)
		return r;
	r = percent_decode(equals ? equals + 1 : "", equals ? length - name_length - 1 : 0, true,
		"the query", &value, err);
	if (r < 0)
		return r;
	r = add_value(values, false, &name, &value);
	if (r < 0)
		return error_set_errno(err, r, "keeping the query");
	return 0;
}

int request_values_parse_query(struct request_values *values, const char *query, struct error *err)
{
	size_t n = 0;

	for (const char *p = query; *p;) {
		size_t length = strcspn(p, "&");

		if (length > 0) {
			int r;

			if (++n > REQUEST_MAX_QUERY)
				return error_set(err, ERROR_INVALID, NULL,
					"the query has more than %d parameters", REQUEST_MAX_QUERY);
			r = add_query(values, p, length, err);
			if (r < 0)
				return r;
		}
		p += length;
		if (*p == '&')
			p++;
	}
	return 0;
}

void request_values_done(struct request_values *values)
{
	for (size_t i = 0; i < values->n; i++) {
		free(values->items[i].name);
		free(values->items[i].value);
	}
	free(values->items);
	*values = REQUEST_VALUES_INIT;
}

int request_make_id(char ret[static REQUEST_ID_SIZE])
{
	char uuid[UUID_SIZE];
	int r;

	r = uuid_random(uuid);
	if (r < 0)
		return r;
	snprintf(ret, REQUEST_ID_SIZE, "req-%s", uuid);
	return 0;
}
