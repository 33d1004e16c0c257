/* SPDX-License-Identifier: Apache-2.0 */

/* Two trees are equal exactly where their documents are: every definition of the golden files, with each of its values changed.
 * And where only what clients keep in them differs, so does nothing that is rendered. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/text.h"
#include "agent/definition/model.h"
#include "agent/render/haproxy.h"
#include "tests/unit/documents.h"
#include "tests/unit/quotes.h"

static const struct definition_defaults defaults = {1, 1, 1, 1, NULL};

struct count {
	const struct template *template;
	size_t equal, different, labels;
};

/* What is written straight into a text is what jansson would write. */
static void check_text(const struct load_balancer *lb, const json_t *document)
{
	_cleanup_free_ char *written = NULL, *dumped = json_dumps(document, JSON_COMPACT);
	size_t length;

	assert_int_equal(definition_to_text(lb, DEFINITION_WHOLE, &written, &length), 0);
	assert_string_equal(written, dumped);
	assert_int_equal(length, strlen(dumped));
}

static char *render(const struct load_balancer *lb, const struct template *template)
{
	static const struct render_settings settings = {.default_vip_address = "192.0.2.200"};
	_cleanup_rendered_ struct rendered rendered = RENDERED_INIT;
	_cleanup_text_ struct text text = TEXT_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	char *result;

	/* The certificates are not there: then it is refused alike. */
	if (render_haproxy(template, lb, &settings, &rendered, &err) < 0)
		text_printf(&text, "%s: %s\n", err.pointer ? err.pointer : "", error_message(&err));
	if (rendered.text)
		text_append(&text, rendered.text);
	for (size_t i = 0; i < rendered.n_files; i++)
		text_printf(&text, "%s\n%s\n", rendered.files[i].name, rendered.files[i].content);
	assert_int_equal(text_finish(&text, &result, NULL), 0);
	return result;
}

static void compare_rendered(const struct load_balancer *lb, const struct load_balancer *other, struct count *count)
{
	_cleanup_free_ char *a = NULL, *b = NULL;

	if (!definition_renders_alike(lb, other)) {
		assert_false(definition_equal(lb, other));
		return;
	}
	a = render(lb, count->template);
	b = render(other, count->template);
	assert_string_equal(a, b);
	count->labels++;
}

static void compare(const struct load_balancer *lb, const json_t *document, struct count *count)
{
	_cleanup_load_balancer_ struct load_balancer *other = NULL;
	json_auto_t *a = document_of(lb, DEFINITION_WHOLE), *b = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	bool same;

	if (definition_parse_json(lb->id, document, &defaults, &other, &err) < 0)
		return;
	b = document_of(other, DEFINITION_WHOLE);
	check_text(other, b);
	same = json_equal(a, b);
	compare_rendered(lb, other, count);
	assert_int_equal(definition_equal(lb, other), same);
	assert_int_equal(definition_equal(other, lb), same);
	if (same)
		count->equal++;
	else
		count->different++;
}

static json_t *another(const json_t *value)
{
	_cleanup_free_ char *text = NULL;
	const char *string = json_string_value(value);

	if (json_is_boolean(value))
		return json_boolean(!json_is_true(value));
	if (json_is_integer(value))
		return json_integer(json_integer_value(value) + 1);
	if (!string)
		return NULL;
	text = strdup(string);
	assert_non_null(text);
	/* Of a UUID, an address and a name alike there is another one that ends otherwise. */
	if (string[0])
		text[strlen(text) - 1] = text[strlen(text) - 1] == '1' ? '2' : '1';
	return json_string(string[0] ? text : "x");
}

static void change_each(const struct load_balancer *lb, json_t *document, json_t *value, struct count *count);

static void change_object(const struct load_balancer *lb, json_t *document, json_t *object, struct count *count)
{
	json_auto_t *keys = json_array();
	json_t *key;
	size_t i;

	for (void *each = json_object_iter(object); each; each = json_object_iter_next(object, each))
		json_array_append_new(keys, json_string(json_object_iter_key(each)));
	json_array_foreach(keys, i, key) {
		const char *name = json_string_value(key);
		json_auto_t *before = json_incref(json_object_get(object, name));
		json_t *now = another(before);

		if (now) {
			json_object_set_new(object, name, now);
			compare(lb, document, count);
		}
		json_object_del(object, name);
		compare(lb, document, count);
		json_object_set(object, name, before);
		change_each(lb, document, before, count);
	}
}

static void change_array(const struct load_balancer *lb, json_t *document, json_t *array, struct count *count)
{
	for (size_t i = 0; i < json_array_size(array); i++) {
		json_auto_t *before = json_incref(json_array_get(array, i));
		json_t *now = another(before);

		if (now) {
			json_array_set_new(array, i, now);
			compare(lb, document, count);
			json_array_set(array, i, before);
		}
		json_array_remove(array, i);
		compare(lb, document, count);
		json_array_insert(array, i, before);
		change_each(lb, document, before, count);
	}
}

static void change_each(const struct load_balancer *lb, json_t *document, json_t *value, struct count *count)
{
	if (json_is_object(value))
		change_object(lb, document, value, count);
	else if (json_is_array(value))
		change_array(lb, document, value, count);
}

static void check_case(int cases_fd, const char *name, struct count *count)
{
	_cleanup_load_balancer_ struct load_balancer *lb = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ char *text = NULL;
	json_auto_t *document = NULL;
	size_t length;

	assert_int_equal(fileio_read(cases_fd, name, 1 << 24, &text, &length), 0);
	if (definition_parse(LB_ID, text, length, &defaults, &lb, &err) < 0)
		fail_msg("%s: %s", name, error_message(&err));
	document = document_of(lb, DEFINITION_WHOLE);
	compare(lb, document, count);
	change_each(lb, document, document, count);
}

static void test_each_value(void **state)
{
	const char *source = getenv("AMPHORAD_SRC_DIR");
	_cleanup_free_ char *folder = NULL;
	_cleanup_closedir_ DIR *dir = NULL;
	_cleanup_free_ char *templates = NULL;
	struct template *template = NULL;
	struct count count = {0};
	size_t n = 0;

	(void)state;
	assert_true(asprintf(&templates, "%s/templates", source ? source : ".") > 0);
	assert_int_equal(template_load(templates, "haproxy.cfg", &template, NULL), 0);
	count.template = template;
	assert_true(asprintf(&folder, "%s/tests/golden/cases", source ? source : ".") > 0);
	dir = opendir(folder);
	assert_non_null(dir);
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
		const char *suffix = strrchr(entry->d_name, '.');

		if (!suffix || !streq(suffix, ".json"))
			continue;
		check_case(dirfd(dir), entry->d_name, &count);
		n++;
	}
	print_message("%zu documents, %zu changes that make no difference, %zu that do, %zu that none is rendered of\n", n,
		count.equal, count.different, count.labels);
	assert_true(n > 0 && count.equal > n && count.different > count.equal);
	assert_true(count.labels > count.equal && count.labels < count.different);
	template_free(template);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_value)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
