/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as Kubernetes' objects for "amphoractl service". Whatever is converted passes the
 * agent's own parser and check, and converting it again gives the same; what is said about it is
 * text; and whatever is not converted has an error. The first byte chooses among options.
 */

#include <stdint.h>
#include <string.h>

#include "agent/base/text.h"
#include "agent/definition/model.h"
#include "api/client/service/service.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct definition_defaults defaults = {.timeout_client_data_ms = 50000,
	.timeout_member_connect_ms = 5000,
	.timeout_member_data_ms = 50000};

static const char *const addresses[] = {
	NULL, "192.0.2.10", "2001:db8::10,192.0.2.10", "192.0.2.10,2001:db8::10,2001:db8::11"};

static void check_notes(const struct notes *notes)
{
	static const struct terminal terminal = {0};
	_cleanup_text_ struct text out = TEXT_INIT;
	json_auto_t *json = notes_to_json(notes);

	notes_explain(notes, &terminal, &out);
	notes_warnings(notes, &terminal, "", &out);
	for (size_t i = 0; i < out.length; i++)
		if ((unsigned char)out.data[i] < ' ' && out.data[i] != '\n')
			abort();
	if (!json || notes->failed)
		abort();
}

static void check_definition(const json_t *document)
{
	const json_t *lb = json_object_get(document, "loadbalancer");
	const char *id = json_string_value(json_object_get(lb, "id"));
	_cleanup_load_balancer_ struct load_balancer *parsed = NULL;
	_cleanup_free_ char *text = json_dumps(document, JSON_COMPACT);
	_cleanup_error_ struct error err = ERROR_INIT;

	if (!text || !id ||
		definition_parse(id, text, strlen(text), &defaults, &parsed, &err) < 0) {
		fprintf(stderr, "%s: %s\n", err.pointer ? err.pointer : "", error_message(&err));
		abort();
	}
}

static json_t *convert(const struct cluster *cluster, const struct service_options *options)
{
	_cleanup_notes_ struct notes notes = NOTES_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	json_t *document = NULL;
	int r = service_convert(cluster, options, &notes, &document, &err);

	if ((r < 0) != !document || (r < 0) != (err.message != NULL))
		abort();
	check_notes(&notes);
	return document;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct service_options options = {0};
	_cleanup_cluster_ struct cluster cluster = CLUSTER_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ char *copy = NULL;
	json_auto_t *document = NULL, *again = NULL;

	if (size == 0)
		return 0;
	options.vip_address = addresses[data[0] % ELEMENTSOF(addresses)];
	options.create_monitor = data[0] & 4;
	/* As a file is read: NUL-terminated, of exactly that size. */
	copy = strndup((const char *)data + 1, size - 1);
	if (!copy)
		return 0;
	if (cluster_add(&cluster, "in.json", copy, strlen(copy), KUBE_SERVICE, &err) < 0) {
		if (!err.message)
			abort();
		return 0;
	}
	document = convert(&cluster, &options);
	if (!document)
		return 0;
	check_definition(document);
	again = convert(&cluster, &options);
	if (!json_equal(document, again))
		abort();
	return 0;
}
