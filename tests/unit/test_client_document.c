/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/text.h"
#include "api/client/document.h"

#define ID "0b9f5f2e-3a55-4d4c-9a53-7d0e3b8c7a11"
#define OTHER_ID "0b9f5f2e-3a55-4d4c-9a53-7d0e3b8c7a12"

static int parse(const char *text, const char *id, struct document *ret, struct error *err)
{
	char *copy = strdup(text);

	assert_non_null(copy);
	return document_parse("web.json", copy, strlen(copy), id, ret, err);
}

static void assert_id(const char *text, const char *id, const char *expected)
{
	_cleanup_document_ struct document document = DOCUMENT_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;

	assert_int_equal(parse(text, id, &document, &err), 0);
	assert_string_equal(document.id, expected);
	assert_string_equal(document.text, text);
	assert_int_equal(document.length, strlen(text));
	assert_null(err.message);
}

static void assert_refused(const char *text, const char *id, const char *pointer, const char *words)
{
	_cleanup_document_ struct document document = DOCUMENT_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;

	assert_int_equal(parse(text, id, &document, &err), -EINVAL);
	assert_null(document.text);
	assert_int_equal(err.code, ERROR_INVALID);
	if (pointer)
		assert_string_equal(err.pointer, pointer);
	else
		assert_null(err.pointer);
	assert_non_null(strstr(error_message(&err), words));
}

static void finds_the_id(_unused_ void **state)
{
	assert_id("{\"loadbalancer\": {\"id\": \"" ID "\"}}", NULL, ID);
	assert_id("{\"loadbalancer\": {\"id\": \"" ID "\"}}", ID, ID);
	assert_id("{\"loadbalancer\": {\"id\": null, \"name\": \"web\"}}", ID, ID);
	assert_id("{\"loadbalancer\": {}}", ID, ID);
}

/* Python: uuid.uuid5(uuid.NAMESPACE_DNS, "amphorad:loadbalancer:web") */
static void derives_the_id(_unused_ void **state)
{
	assert_id("{\"loadbalancer\": {\"name\": \"web\"}}", NULL,
		"2de2ce73-9c71-5827-9604-0262aa4165b4");
	assert_id("{\"loadbalancer\": {\"id\": null, \"name\": \"web\"}}", NULL,
		"2de2ce73-9c71-5827-9604-0262aa4165b4");
}

static void refuses_ids(_unused_ void **state)
{
	assert_refused(
		"{\"loadbalancer\": {\"id\": \"../../x\"}}", NULL, "/loadbalancer/id", "UUID");
	assert_refused("{\"loadbalancer\": {\"id\": 7}}", NULL, "/loadbalancer/id", "UUID");
	assert_refused(
		"{\"loadbalancer\": {\"id\": \"" ID "\"}}", OTHER_ID, "/loadbalancer/id", OTHER_ID);
	assert_refused("{\"loadbalancer\": {}}", "web", NULL, "--id");
	assert_refused("{\"loadbalancer\": {}}", NULL, "/loadbalancer", "--id");
	assert_refused("{\"loadbalancer\": {\"name\": \"\"}}", NULL, "/loadbalancer", "name");
	assert_refused("{\"loadbalancer\": {\"name\": 1}}", NULL, "/loadbalancer", "name");
}

static void refuses_what_is_no_document(_unused_ void **state)
{
	assert_refused("", NULL, "web.json:1", "expected");
	assert_refused("{\n\"loadbalancer\": {\n,\n}}", NULL, "web.json:3", "expected");
	assert_refused("{\"loadbalancer\": {\"name\": \"a\", \"name\": \"b\"}}", NULL, "web.json:1",
		"duplicate");
	assert_refused("{\"loadbalancer\": {}} x", ID, "web.json:1", "end of file");
	assert_refused("[]", NULL, NULL, "no definition");
	assert_refused("{\"loadbalancer\": []}", NULL, NULL, "no definition");
	assert_refused("{\"listener\": {}}", NULL, NULL, "no definition");
}

static void reads_files(_unused_ void **state)
{
	static const char text[] = "{\"loadbalancer\": {\"name\": \"web\"}}";
	char folder[] = "/tmp/test-client-XXXXXX";
	char path[64], missing[64];
	_cleanup_document_ struct document document = DOCUMENT_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	char *data = NULL;

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/web.json", folder);
	snprintf(missing, sizeof(missing), "%s/none.json", folder);
	assert_int_equal(fileio_write(AT_FDCWD, path, text, strlen(text), 0600), 0);

	assert_int_equal(document_load(path, NULL, &document, &err), 0);
	assert_string_equal(document.text, text);
	assert_string_equal(document.name, "web");
	assert_int_equal(document_read_file(path, strlen(text) - 1, &data, NULL, &err), -EFBIG);
	assert_int_equal(err.code, ERROR_TOO_LARGE);
	assert_int_equal(document_load(missing, NULL, &document, &err), -ENOENT);
	assert_non_null(strstr(error_message(&err), missing));
	assert_int_equal(document_load(folder, NULL, &document, &err), -EISDIR);
	assert_null(data);
	assert_int_equal(fileio_remove_tree(AT_FDCWD, folder), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_id),
		cmocka_unit_test(derives_the_id),
		cmocka_unit_test(refuses_ids),
		cmocka_unit_test(refuses_what_is_no_document),
		cmocka_unit_test(reads_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
