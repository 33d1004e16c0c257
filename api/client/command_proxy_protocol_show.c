/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/proxy_protocol.h"

#include "api/client/view.h"

bool proxy_protocol_spoken(const char *protocol)
{
	return streq(protocol, "PROXY") || streq(protocol, "PROXYV2");
}

static void append_options(const json_t *pool, struct text *out)
{
	json_t *option;
	size_t i;

	json_array_foreach (json_object_get(pool, "proxy_protocol_options"), i, option)
		text_printf(out, "%s%s", i == 0 ? " with " : ", ", json_is_string(option) ? json_string_value(option) : "?");
}

static void append_pool_state(const json_t *pool, struct text *out)
{
	const char *protocol = view_string(pool, "protocol");

	if (!proxy_protocol_spoken(protocol)) {
		text_printf(out, "off (%s)", protocol);
		return;
	}
	text_printf(out, "%s to its members", streq(protocol, "PROXY") ? "v1" : "v2");
	append_options(pool, out);
}

static void append_listener_state(const json_t *listener, struct text *out)
{
	const json_t *proxy = json_object_get(listener, "proxy_protocol");
	const json_t *cidrs = json_object_get(proxy, "trusted_cidrs");
	const json_t *timeout = json_object_get(proxy, "header_timeout_ms");
	json_t *cidr;
	size_t i;

	if (!json_is_true(json_object_get(proxy, "accept"))) {
		text_append(out, "off");
		return;
	}
	text_append(out, "accepted from ");
	json_array_foreach (cidrs, i, cidr)
		text_printf(out, "%s%s", i > 0 ? ", " : "", json_is_string(cidr) ? json_string_value(cidr) : "?");
	if (json_array_size(cidrs) == 0)
		text_append(out, "everybody");
	if (json_integer_value(timeout) > 0)
		text_printf(out, ", within %" JSON_INTEGER_FORMAT " ms", json_integer_value(timeout));
}

void proxy_protocol_append_state(enum target_kind kind, const json_t *object, struct text *out)
{
	if (kind == TARGET_POOL)
		append_pool_state(object, out);
	else
		append_listener_state(object, out);
}

/* What is shown: as a table and, with --json, as a list. */
struct listing {
	struct table *table;
	json_t *list;
};

static int append_row(
	const struct listing *listing, enum target_kind kind, const json_t *lb, const json_t *object)
{
	_cleanup_text_ struct text name = TEXT_INIT, state = TEXT_INIT, lb_name = TEXT_INIT;
	bool on = kind == TARGET_POOL ? proxy_protocol_spoken(view_string(object, "protocol"))
				      : json_is_true(json_object_get(json_object_get(object, "proxy_protocol"), "accept"));
	struct table *table = listing->table;
	json_t *row;

	target_append_name(object, &name);
	target_append_name(lb, &lb_name);
	proxy_protocol_append_state(kind, object, &state);
	row = json_pack("{s:s, s:s, s:s, s:s, s:b, s:s}", "kind", target_kind_name(kind), "id", view_string(object, "id"), "name",
		text_peek(&name), "loadbalancer", text_peek(&lb_name), "on", on, "state", text_peek(&state));
	if (json_array_append_new(listing->list, row) < 0 || table_add_row(table) < 0 ||
		table_set(table, 0, COLOUR_DIM, target_kind_name(kind)) < 0 ||
		table_set(table, 1, COLOUR_PLAIN, text_peek(&name)) < 0 ||
		table_set(table, 2, on ? COLOUR_GREEN : COLOUR_DIM, text_peek(&state)) < 0 ||
		table_set(table, 3, COLOUR_PLAIN, text_peek(&lb_name)) < 0)
		return -ENOMEM;
	return 0;
}

static int append_rows(struct client *client, json_t *lb, const char *revision, void *listing)
{
	json_t *object;
	size_t i;
	int r = 0;

	(void)revision;
	json_array_foreach (json_object_get(lb, "listeners"), i, object)
		if (r == 0)
			r = append_row(listing, TARGET_LISTENER, lb, object);
	json_array_foreach (json_object_get(lb, "pools"), i, object)
		if (r == 0)
			r = append_row(listing, TARGET_POOL, lb, object);
	return r < 0 ? client_out_of_memory(client) : CLIENT_OK;
}

int proxy_protocol_show(struct client *client, char *const *arguments, size_t n_arguments)
{
	static const struct table_column columns[] = {
		{"KIND", false}, {"NAME", false}, {"PROXY PROTOCOL", false}, {"LOAD BALANCER", false}};
	_cleanup_(json_decrefp) json_t *list = json_array();
	_cleanup_table_ struct table *table = NULL;
	_cleanup_text_ struct text out = TEXT_INIT;
	struct listing listing;
	int status;

	if (!list || table_new(columns, ELEMENTSOF(columns), &table) < 0)
		return client_out_of_memory(client);
	listing = (struct listing){table, list};
	status = client_each_definition(client, arguments, n_arguments, append_rows, &listing);
	if (status != CLIENT_OK)
		return status;
	if (client->options->json)
		return client_print_json(client, list);
	table_print(table, &client->out, &out);
	return client_print(client, &out);
}
