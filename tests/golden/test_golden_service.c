/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Golden files of "amphoractl service": Kubernetes' objects in (service/NAME.json, whose "options" stand for those of the
 * command line), the definition, the explanation and the warnings out (service/NAME.txt), or the error. Each definition is
 * taken by the agent's own parser and check, and is the same whatever the order of the objects.
 * AMPHORAD_UPDATE_GOLDEN=1 writes what comes out instead of comparing; look at the difference before keeping it.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>

#include "agent/base/fileio.h"
#include "agent/base/text.h"
#include "agent/definition/model.h"
#include "api/client/service/annotations.h"
#include "api/client/service/service.h"

enum { FILE_LIMIT = 1 << 20 };

static const struct terminal terminal = {.utf8 = true};

static int open_folder(const char *name)
{
	const char *source = getenv("AMPHORAD_SRC_DIR");
	_cleanup_free_ char *path = NULL;
	int fd;

	assert_true(asprintf(&path, "%s/%s", source ? source : ".", name) > 0);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static json_t *read_json(int dir_fd, const char *name)
{
	_cleanup_free_ char *text = NULL;
	json_t *json;

	assert_int_equal(fileio_read(dir_fd, name, FILE_LIMIT, &text, NULL), 0);
	json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	if (!json)
		fail_msg("%s is no JSON", name);
	return json;
}

static const char *option(const json_t *input, const char *name)
{
	return json_string_value(json_object_get(json_object_get(input, "options"), name));
}

static int convert(const json_t *input, const char *file, struct notes *notes, json_t **ret, struct error *err)
{
	const json_t *flags = json_object_get(input, "options");
	const struct service_options options = {
		.service = option(input, "service"),
		.cluster = option(input, "cluster"),
		.vip_address = option(input, "vip-address"),
		.create_monitor = json_is_true(json_object_get(flags, "create-monitor")),
	};
	_cleanup_free_ char *text = json_dumps(input, 0);
	_cleanup_cluster_ struct cluster cluster = CLUSTER_INIT;
	int r;

	assert_non_null(text);
	r = cluster_add(&cluster, file, text, strlen(text), KUBE_SERVICE, err);
	/* An --endpoints file without any. */
	if (json_is_true(json_object_get(flags, "endpoints")))
		cluster.objects[KUBE_ENDPOINT_SLICE].given = true;
	return r < 0 ? r : service_convert(&cluster, &options, notes, ret, err);
}

/* As the agent takes it, whether the VIP is known or its own. */
static void check_definition(const char *name, const json_t *document)
{
	static const struct definition_defaults defaults[] = {
		{50000, 5000, 50000, 0, NULL}, {50000, 5000, 50000, 0, "0.0.0.0"}};
	const json_t *lb = json_object_get(document, "loadbalancer");
	const char *id = json_string_value(json_object_get(lb, "id"));
	bool own = json_object_get(lb, "vip_address");

	for (size_t i = 0; i < (own ? ELEMENTSOF(defaults) : 1); i++) {
		_cleanup_load_balancer_ struct load_balancer *parsed = NULL;
		_cleanup_error_ struct error err = ERROR_INIT;

		if (definition_parse_json(id, document, &defaults[i], &parsed, &err) < 0)
			fail_msg("%s: %s: %s", name, err.pointer, error_message(&err));
		assert_int_equal(parsed->n_listeners, json_array_size(json_object_get(lb, "listeners")));
		assert_int_equal(parsed->n_pools, parsed->n_listeners);
	}
}

/* Listed the other way round, the objects make the same load balancer. */
static void check_order(const char *name, const json_t *input, const json_t *document)
{
	json_auto_t *reversed = json_copy((json_t *)input), *again = NULL, *items = json_array();
	const json_t *old = json_object_get(input, "items");
	_cleanup_notes_ struct notes notes = NOTES_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;

	assert_non_null(items);
	for (size_t i = json_array_size(old); i > 0; i--)
		assert_int_equal(json_array_append(items, json_array_get(old, i - 1)), 0);
	assert_int_equal(json_object_set(reversed, "items", items), 0);
	if (convert(reversed, name, &notes, &again, &err) < 0)
		fail_msg("%s: %s", name, error_message(&err));
	if (!json_equal(again, document))
		fail_msg("%s: another order gives another definition", name);
}

static void append_result(const json_t *document, const struct notes *notes, struct text *out)
{
	_cleanup_free_ char *text = json_dumps(document, JSON_INDENT(2));

	assert_non_null(text);
	text_printf(out, "%s\n", text);
	text_append(out, "\n# explanation\n");
	notes_explain(notes, &terminal, out);
}

static void check_case(int dir_fd, const char *name, json_t *seen)
{
	_cleanup_free_ char *input_name = NULL, *output_name = NULL, *wanted = NULL;
	json_auto_t *input = NULL, *document = NULL;
	_cleanup_notes_ struct notes notes = NOTES_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_text_ struct text out = TEXT_INIT;
	size_t i;
	json_t *item;

	assert_true(asprintf(&input_name, "%s.json", name) > 0);
	assert_true(asprintf(&output_name, "%s.txt", name) > 0);
	input = read_json(dir_fd, input_name);
	json_array_foreach (json_object_get(input, "items"), i, item)
		json_object_update(seen, json_object_get(json_object_get(item, "metadata"), "annotations"));
	if (convert(input, input_name, &notes, &document, &err) < 0) {
		assert_null(document);
		text_printf(&out, "error: %s%s%s\n", err.pointer ? err.pointer : "", err.pointer ? ": " : "",
			error_message(&err));
	} else {
		check_definition(name, document);
		check_order(name, input, document);
		append_result(document, &notes, &out);
	}
	text_append(&out, "\n# warnings\n");
	notes_warnings(&notes, &terminal, "", &out);
	assert_false(out.failed);
	if (getenv("AMPHORAD_UPDATE_GOLDEN"))
		assert_int_equal(fileio_write(dir_fd, output_name, out.data, out.length, 0644), 0);
	assert_int_equal(fileio_read(dir_fd, output_name, FILE_LIMIT, &wanted, NULL), 0);
	if (!streq(text_peek(&out), wanted))
		print_message("%s\n", name);
	assert_string_equal(text_peek(&out), wanted);
}

static void test_cases(void **state)
{
	_cleanup_close_ int dir_fd = open_folder("tests/golden/service");
	json_auto_t *seen = json_object();
	DIR *dir = fdopendir(dup(dir_fd));
	size_t n = 0;

	(void)state;
	assert_non_null(dir);
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
		const char *suffix = strstr(entry->d_name, ".json");
		_cleanup_free_ char *name = NULL;

		if (!suffix || suffix[5] != '\0')
			continue;
		name = strndup(entry->d_name, (size_t)(suffix - entry->d_name));
		assert_non_null(name);
		check_case(dir_fd, name, seen);
		n++;
	}
	closedir(dir);
	assert_true(n > 20);
	for (size_t i = 0; i < _ANNOTATION_MAX; i++)
		if (!json_object_get(seen, annotation_rows[i].name))
			fail_msg("no case has %s", annotation_rows[i].name);
}

/* What the manual page's examples are about. */
static void test_example(void **state)
{
	static const struct {
		const char *name;
		enum kube_kind kind;
	} files[] = {
		{"ingress-nginx.json", KUBE_SERVICE},
		{"nodes.json", KUBE_NODE},
		{"endpointslices.json", KUBE_ENDPOINT_SLICE},
	};
	_cleanup_close_ int dir_fd = open_folder("examples/kubernetes");

	(void)state;
	for (size_t n = 2; n <= ELEMENTSOF(files); n++) {
		static const struct service_options options = {0};
		_cleanup_cluster_ struct cluster cluster = CLUSTER_INIT;
		_cleanup_notes_ struct notes notes = NOTES_INIT;
		_cleanup_error_ struct error err = ERROR_INIT;
		json_auto_t *document = NULL;
		const json_t *listeners, *members;

		for (size_t i = 0; i < n; i++) {
			_cleanup_free_ char *text = NULL;
			size_t length;

			assert_int_equal(fileio_read(dir_fd, files[i].name, FILE_LIMIT, &text, &length), 0);
			assert_int_equal(
				cluster_add(&cluster, files[i].name, text, length, files[i].kind, &err), 0);
		}
		assert_int_equal(service_convert(&cluster, &options, &notes, &document, &err), 0);
		check_definition("examples/kubernetes", document);
		listeners = json_object_get(json_object_get(document, "loadbalancer"), "listeners");
		assert_int_equal(json_array_size(listeners), 2);
		members = json_object_get(json_object_get(json_array_get(listeners, 0), "default_pool"), "members");
		assert_int_equal(json_array_size(members), n == 2 ? 2 : 1); /* one of two nodes has a ready pod */
		assert_int_equal(notes_count(&notes, NOTE_WARNING), 1);     /* hostname */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases), cmocka_unit_test(test_example)};

	return cmocka_run_group_tests_name("golden_service", tests, NULL, NULL);
}
