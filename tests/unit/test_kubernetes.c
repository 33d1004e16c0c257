/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Kubernetes' objects as input of "amphoractl service": which are taken, how much of them, and
 * where a complaint says that something is wrong. What becomes of a good Service is in the golden
 * files.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "agent/base/text.h"
#include "api/client/service/annotations.h"
#include "api/client/service/service.h"

#define NODE                                                                             \
	"{\"apiVersion\": \"v1\", \"kind\": \"Node\", \"metadata\": {\"name\": \"a\"}, " \
	"\"status\": "                                                                   \
	"{\"addresses\": [{\"type\": \"InternalIP\", \"address\": \"10.0.0.1\"}], "      \
	"\"conditions\": "                                                               \
	"[{\"type\": \"Ready\", \"status\": \"True\"}]}}"
#define SERVICE(spec)                                                                         \
	"{\"apiVersion\": \"v1\", \"kind\": \"Service\", \"metadata\": {\"name\": \"web\"}, " \
	"\"spec\": "                                                                          \
	"{\"type\": \"LoadBalancer\", " spec "}}"
#define PORT "\"port\": 80, \"nodePort\": 30080"
#define LIST(items) "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [" items "]}"

static int add(struct cluster *cluster, const char *text, enum kube_kind wanted, struct error *err)
{
	return cluster_add(cluster, "in.json", text, strlen(text), wanted, err);
}

static void assert_counts(const char *text, size_t services, size_t nodes, size_t slices)
{
	_cleanup_cluster_ struct cluster cluster = CLUSTER_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;

	if (add(&cluster, text, _KUBE_KIND_MAX, &err) < 0)
		fail_msg("%s: %s", text, error_message(&err));
	assert_int_equal(cluster.objects[KUBE_SERVICE].n, services);
	assert_int_equal(cluster.objects[KUBE_NODE].n, nodes);
	assert_int_equal(cluster.objects[KUBE_ENDPOINT_SLICE].n, slices);
}

static void takes_objects_and_lists(_unused_ void **state)
{
	assert_counts(NODE, 0, 1, 0);
	assert_counts(SERVICE("\"ports\": []"), 1, 0, 0);
	assert_counts(LIST(NODE "," SERVICE("\"ports\": []") "," NODE), 1, 2, 0);
	assert_counts(LIST(""), 0, 0, 0);
	/* The API server's own lists, whose items do not say what they are. */
	assert_counts(
		"{\"apiVersion\": \"v1\", \"kind\": \"NodeList\", \"items\": [{}, {}]}", 0, 2, 0);
	assert_counts("{\"apiVersion\": \"discovery.k8s.io/v1\", \"kind\": \"EndpointSliceList\", "
		      "\"items\": [{}]}",
		0, 0, 1);
	/* Other kinds, and others' kinds of the same name. */
	assert_counts(
		LIST("{\"apiVersion\": \"v1\", \"kind\": \"Pod\"}, "
		     "{\"apiVersion\": \"serving.knative.dev/v1\", \"kind\": \"Service\"}, "
		     "{\"apiVersion\": \"discovery.k8s.io/v1beta1\", \"kind\": \"EndpointSlice\"}, "
		     "{}"),
		0, 0, 0);
}

static void assert_refused(
	const char *text, enum kube_kind wanted, const char *pointer, const char *words)
{
	_cleanup_cluster_ struct cluster cluster = CLUSTER_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;

	assert_true(add(&cluster, text, wanted, &err) < 0);
	assert_string_equal(err.pointer, pointer);
	if (!strstr(error_message(&err), words))
		fail_msg("\"%s\" is not in \"%s\"", words, error_message(&err));
}

static void refuses_what_is_no_object(_unused_ void **state)
{
	assert_refused("apiVersion: v1\nkind: Service\n", _KUBE_KIND_MAX, "in.json", "-o json");
	assert_refused("", _KUBE_KIND_MAX, "in.json", "-o json");
	assert_refused("[" NODE "]", _KUBE_KIND_MAX, "in.json", "-o json");
	assert_refused("{\"kind\":\n \"Node\",", _KUBE_KIND_MAX, "in.json:2", "near end of file");
	assert_refused("{\"kind\": 1, \"kind\": 2}", _KUBE_KIND_MAX, "in.json:1", "duplicate");
	assert_refused("{}", _KUBE_KIND_MAX, "in.json", "neither a Service");
	assert_refused("{\"apiVersion\": \"v1\", \"kind\": \"Endpoints\"}", _KUBE_KIND_MAX,
		"in.json", "EndpointSlice");
	assert_refused(NODE, KUBE_SERVICE, "in.json", "has no Service (v1)");
	assert_refused(LIST(NODE), KUBE_ENDPOINT_SLICE, "in.json", "has no EndpointSlice");
	assert_refused("{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": {}}",
		_KUBE_KIND_MAX, "in.json: /items", "must be an array, not an object");
	assert_refused(LIST("7"), _KUBE_KIND_MAX, "in.json: /items/0", "not a number");
	assert_refused(LIST("{}, {\"kind\": []}"), _KUBE_KIND_MAX, "in.json: /items/1/kind",
		"must be a string, not an array");
}

/* An empty list is an answer: there are none. */
static void knows_that_there_are_none(_unused_ void **state)
{
	_cleanup_cluster_ struct cluster cluster = CLUSTER_INIT;

	assert_int_equal(add(&cluster, LIST(""), KUBE_ENDPOINT_SLICE, NULL), 0);
	assert_true(cluster.objects[KUBE_ENDPOINT_SLICE].given);
	assert_false(cluster.objects[KUBE_NODE].given);
}

static void limits_objects(_unused_ void **state)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	_cleanup_cluster_ struct cluster cluster = CLUSTER_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;

	text_append(&text, "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{}");
	for (size_t i = 1; i < KUBE_MAX_OBJECTS; i++)
		text_append(&text, ",{}");
	text_append(&text, "]}");
	assert_int_equal(add(&cluster, text_peek(&text), _KUBE_KIND_MAX, &err), 0);
	assert_int_equal(add(&cluster, NODE, _KUBE_KIND_MAX, &err), -EFBIG);
	assert_int_equal(add(&cluster, LIST("{}"), _KUBE_KIND_MAX, &err), -EFBIG);
}

static int convert(const char *text, struct notes *notes, json_t **ret, struct error *err)
{
	static const struct service_options options = {0};
	_cleanup_cluster_ struct cluster cluster = CLUSTER_INIT;
	int r = add(&cluster, text, _KUBE_KIND_MAX, err);

	return r < 0 ? r : service_convert(&cluster, &options, notes, ret, err);
}

static void says_where(_unused_ void **state)
{
	static const struct {
		const char *text, *pointer, *words;
	} rows[] = {
		{LIST(SERVICE(
			 "\"ports\": [{" PORT "}, {\"port\": 81, \"nodePort\": 70000}]") "," NODE),
			"in.json: /items/0/spec/ports/1/nodePort", "70000"},
		{LIST(SERVICE("\"ports\": [{" PORT ", \"protocol\": \"tcp\"}]") "," NODE),
			"in.json: /items/0/spec/ports/0/protocol", "TCP, UDP, SCTP"},
		{LIST(SERVICE(
			 "\"ports\": [{" PORT "}], \"ipFamilies\": [\"IPv4\", \"IPv4\"]") "," NODE),
			"in.json: /items/0/spec/ipFamilies/1", "twice"},
		{LIST(SERVICE("\"ports\": [{" PORT
			      "}], \"ipFamilies\": [\"IPv4\", \"IPv6\", \"IPv4\"]") "," NODE),
			"in.json: /items/0/spec/ipFamilies", "3 items"},
		{LIST(
			 SERVICE("\"ports\": [{" PORT "}], \"sessionAffinity\": \"ClientIP\", "
				 "\"sessionAffinityConfig\": {\"clientIP\": {\"timeoutSeconds\": "
				 "0}}") "," NODE),
			"in.json: /items/0/spec/sessionAffinityConfig/clientIP/timeoutSeconds",
			"0 is not"},
		{LIST(SERVICE("\"ports\": [{" PORT
			      "}], \"loadBalancerSourceRanges\": [\"10.0.0.0/33\"]") "," NODE),
			"in.json: /items/0/spec/loadBalancerSourceRanges/0", "no network"},
		{LIST(SERVICE("\"ports\": [{" PORT
			      "}]") ", {\"apiVersion\": \"v1\", \"kind\": \"Node\", \"metadata\": "
				    "{\"name\": \"../a\"}}"),
			"in.json: /items/1/metadata/name", "Kubernetes"},
		{LIST(SERVICE("\"ports\": [{" PORT
			      "}]") ", {\"apiVersion\": \"v1\", \"kind\": \"Node\", \"metadata\": "
				    "{\"name\": \"a\"}, \"status\": {\"addresses\": [{\"type\": "
				    "\"InternalIP\", \"address\": \"10.0.0.1 send-proxy\"}]}}"),
			"in.json: /items/1/status/addresses/0/address", "IP"},
		{SERVICE("\"ports\": [{\"port\": 80, \"name\": \"a\\nb\"}]"),
			"in.json: /spec/ports/0/name", "control characters"},
		{SERVICE("\"ports\": 80"), "in.json: /spec/ports", "must be an array"},
	};

	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_notes_ struct notes notes = NOTES_INIT;
		_cleanup_error_ struct error err = ERROR_INIT;
		json_t *document = NULL;

		assert_true(convert(rows[i].text, &notes, &document, &err) < 0);
		assert_null(document);
		assert_non_null(err.pointer);
		assert_string_equal(err.pointer, rows[i].pointer);
		if (!strstr(error_message(&err), rows[i].words))
			fail_msg("\"%s\" is not in \"%s\"", rows[i].words, error_message(&err));
	}
}

/* 60 ports with 2000 nodes each are more than a definition may hold; nothing is built before that
 * is known. */
static void limits_members(_unused_ void **state)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	_cleanup_notes_ struct notes notes = NOTES_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	json_t *document = NULL;

	text_append(&text, "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": ["
			   "{\"apiVersion\": \"v1\", \"kind\": \"Service\", \"metadata\": "
			   "{\"name\": \"web\"}, "
			   "\"spec\": {\"type\": \"LoadBalancer\", \"ports\": [");
	for (int i = 1; i <= 60; i++)
		text_printf(&text, "%s{\"port\": %d, \"nodePort\": %d}", i > 1 ? "," : "", i,
			30000 + i);
	text_append(&text, "]}}");
	for (int i = 0; i < 2000; i++)
		text_printf(&text,
			",{\"apiVersion\": \"v1\", \"kind\": \"Node\", \"metadata\": {\"name\": "
			"\"n%d\"}}",
			i);
	text_append(&text, "]}");
	assert_int_equal(convert(text_peek(&text), &notes, &document, &err), -EFBIG);
	assert_null(document);
	assert_non_null(
		strstr(error_message(&err), "60 ports and 2000 nodes would make 120000 members"));
}

/* However many a hostile Service causes. */
static void limits_notes(_unused_ void **state)
{
	static const struct terminal terminal = {0};
	_cleanup_text_ struct text text = TEXT_INIT;
	_cleanup_notes_ struct notes notes = NOTES_INIT;

	for (int i = 0; i < NOTES_MAX + 7; i++)
		notes_warn(&notes, "a\033[31mb", "%d", i);
	assert_false(notes.failed);
	assert_int_equal(notes_count(&notes, NOTE_WARNING), NOTES_MAX);
	notes_warnings(&notes, &terminal, "- ", &text);
	assert_non_null(strstr(text_peek(&text), "- a?[31mb: 0\n"));
	assert_non_null(strstr(text_peek(&text), "- 7 more notes are left out\n"));
}

static void table_is_whole(_unused_ void **state)
{
	for (size_t i = 0; i < _ANNOTATION_MAX; i++) {
		const struct annotation_row *row = &annotation_rows[i];
		bool needs_target = row->kind != ANNOTATION_REFUSED &&
				    row->kind != ANNOTATION_OUTPUT && i != ANNOTATION_INTERNAL;

		assert_non_null(row->name);
		assert_non_null(row->explanation);
		assert_int_equal(row->target != NULL, needs_target);
		assert_int_equal(row->words != NULL, row->kind == ANNOTATION_WORD);
		if (row->kind == ANNOTATION_INTEGER)
			assert_true(row->minimum <= row->maximum);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(row->name, annotation_rows[j].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_objects_and_lists),
		cmocka_unit_test(refuses_what_is_no_object),
		cmocka_unit_test(knows_that_there_are_none),
		cmocka_unit_test(limits_objects),
		cmocka_unit_test(says_where),
		cmocka_unit_test(limits_members),
		cmocka_unit_test(limits_notes),
		cmocka_unit_test(table_is_whole),
	};

	return cmocka_run_group_tests_name("kubernetes", tests, NULL, NULL);
}
