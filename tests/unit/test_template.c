/* SPDX-License-Identifier: Apache-2.0 */

/* Folders of templates, their limits, many values and many threads. */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pthread.h>
#include <sys/stat.h>
#include <time.h>

#include "agent/base/text.h"
#include "agent/render/template.h"
#include "tests/unit/quotes.h"
#include "tests/unit/template_folder.h"

static void test_load(void **state)
{
	_cleanup_template_ struct template *template = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ char *text = NULL;
	json_auto_t *view = json_of("{'x':'y'}");
	struct folder folder;

	(void)state;
	folder_init(&folder);
	folder_fill(&folder,
		(const struct file[]){{"haproxy.cfg", "a\n  {{>p}}\n"}, {"p", "{{x}}\n"}}, 2);
	assert_int_equal(template_load(folder.path, "haproxy.cfg", &template, &err), 0);
	/* All was read: the files are not needed any more. */
	folder_done(&folder);
	assert_int_equal(template_render(template, view, &text, NULL, &err), 0);
	assert_string_equal(text, "a\n  y\n");
}

static void test_load_errors(void **state)
{
	struct template *template = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ char *large = NULL;
	struct folder folder;

	(void)state;
	folder_init(&folder);
	assert_int_equal(template_load(folder.path, "none", &template, &err), -ENOENT);
	assert_string_equal(err.pointer, "none.mustache");
	assert_string_equal(err.message, "there is no file \"none.mustache\"");

	assert_int_equal(template_load(folder.path, "../none", &template, &err), -EINVAL);
	assert_string_equal(err.message, "\"../none\" cannot be the name of a template");
	assert_int_equal(template_load(folder.path, "", &template, &err), -EINVAL);
	assert_int_equal(template_load("/nonexistent/templates", "none", &template, &err), -ENOENT);
	assert_string_equal(err.message, "/nonexistent/templates: No such file or directory");

	folder_write(&folder, "nul", "a\0b", 3);
	assert_int_equal(template_load(folder.path, "nul", &template, &err), -EINVAL);
	assert_string_equal(err.pointer, "nul.mustache");
	assert_string_equal(err.message, "the file has a NUL byte");

	assert_int_equal(mkdirat(folder.fd, "folder.mustache", 0700), 0);
	assert_int_equal(
		template_compile("main", "{{>folder}}", folder.path, &template, &err), -EIO);
	assert_string_equal(err.pointer, "main.mustache:1");
	assert_string_equal(err.message, "cannot read \"folder.mustache\": Invalid argument");

	large = malloc(TEMPLATE_MAX_FILE_BYTES + 2);
	assert_non_null(large);
	memset(large, 'x', TEMPLATE_MAX_FILE_BYTES + 1);
	large[TEMPLATE_MAX_FILE_BYTES + 1] = '\0';
	folder_write(&folder, "large", large, TEMPLATE_MAX_FILE_BYTES + 1);
	assert_int_equal(
		template_compile("main", "\n{{>large}}", folder.path, &template, &err), -EFBIG);
	assert_string_equal(err.pointer, "main.mustache:2");
	assert_int_equal(template_compile("main", large, NULL, &template, &err), -EFBIG);
	assert_string_equal(err.pointer, "main.mustache");

	assert_int_equal(template_compile("main", "{{>p}}", NULL, &template, &err), -ENOENT);
	assert_string_equal(
		err.message, "the partial \"p\" is named by a template without a folder");
	assert_null(template);
	/* Nobody needs to want the words. */
	assert_int_equal(template_compile("main", "{{", NULL, &template, NULL), -EINVAL);
	folder_done(&folder);
}

/* "count" sections around a letter. */
static char *nested_sections(size_t count)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	char *string = NULL;

	for (size_t i = 0; i < count; i++)
		text_append(&text, "{{#o}}\n");
	text_append(&text, "x");
	for (size_t i = 0; i < count; i++)
		text_append(&text, "{{/o}}");
	assert_int_equal(text_finish(&text, &string, NULL), 0);
	return string;
}

static void test_section_depth(void **state)
{
	_cleanup_template_ struct template *template = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ char *deepest = nested_sections(TEMPLATE_MAX_SECTION_DEPTH);
	_cleanup_free_ char *too_deep = nested_sections(TEMPLATE_MAX_SECTION_DEPTH + 1);
	struct template *none = NULL;

	(void)state;
	assert_int_equal(template_compile("main", deepest, NULL, &template, &err), 0);
	assert_int_equal(template_compile("main", too_deep, NULL, &none, &err), -EINVAL);
	assert_string_equal(err.pointer, "main.mustache:17");
	assert_string_equal(err.message, "sections are more than 16 deep");
	assert_null(none);
}

/* Every file opens all the sections it may, each a context of its own, and the innermost names the
 * next partial. */
static void write_chain(const struct folder *folder, size_t count)
{
	for (size_t i = 1; i <= count; i++) {
		_cleanup_text_ struct text text = TEXT_INIT;
		char name[16];

		for (size_t k = 0; k < TEMPLATE_MAX_SECTION_DEPTH; k++)
			text_append(&text, "{{#o}}");
		if (i < count)
			text_printf(&text, "{{>p%zu}}", i + 1);
		else
			text_append(&text, "{{x}}");
		for (size_t k = 0; k < TEMPLATE_MAX_SECTION_DEPTH; k++)
			text_append(&text, "{{/o}}");
		snprintf(name, sizeof(name), "p%zu", i);
		assert_false(text.failed);
		folder_write(folder, name, text.data, text.length);
	}
}

static void test_partial_depth(void **state)
{
	_cleanup_template_ struct template *template = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ char *text = NULL;
	json_auto_t *view = json_of("{'o':{},'x':'deep'}");
	struct template *none = NULL;
	struct folder folder;

	(void)state;
	folder_init(&folder);
	write_chain(&folder, TEMPLATE_MAX_PARTIAL_DEPTH + 1);
	/* p2 begins a chain of 8. */
	assert_int_equal(template_compile("main", "{{>p2}}", folder.path, &template, &err), 0);
	assert_int_equal(template_render(template, view, &text, NULL, &err), 0);
	assert_string_equal(text, "deep");

	assert_int_equal(template_compile("main", "{{>p1}}", folder.path, &none, &err), -EINVAL);
	assert_string_equal(err.pointer, "p8.mustache:1");
	assert_string_equal(err.message, "partials are more than 8 deep");
	/* The same where all of the chain is known before its first link is named. */
	assert_int_equal(
		template_compile("main", "{{>p2}}\n{{>p1}}", folder.path, &none, &err), -EINVAL);
	assert_string_equal(err.pointer, "p1.mustache:1");
	assert_string_equal(err.message, "partials are more than 8 deep");
	assert_null(none);
	folder_done(&folder);
}

static void test_result_limit(void **state)
{
	_cleanup_template_ struct template *template = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ char *large = malloc(1024 * 1024 + 1);
	json_auto_t *view = json_object(), *list = json_array();
	char *text = NULL;

	(void)state;
	assert_non_null(large);
	memset(large, 'x', 1024 * 1024);
	large[1024 * 1024] = '\0';
	assert_int_equal(json_object_set_new(view, "large", json_string(large)), 0);
	for (size_t i = 0; i < 65; i++)
		assert_int_equal(json_array_append_new(list, json_null()), 0);
	assert_int_equal(json_object_set(view, "list", list), 0);
	assert_int_equal(
		template_compile("main", "{{#list}}\n{{large}}\n{{/list}}", NULL, &template, &err),
		0);
	assert_int_equal(template_render(template, view, &text, NULL, &err), -EFBIG);
	assert_int_equal(err.code, ERROR_TOO_LARGE);
	assert_string_equal(err.pointer, "main.mustache:2");
	assert_null(text);
}

static json_t *members_view(int count)
{
	json_t *view = json_object(), *members = json_array();

	for (int i = 0; i < count; i++) {
		json_t *member = json_pack(
			"{s:i,s:s,s:n,s:b}", "id", i, "address", "192.0.2.1", "check", "backup", 1);

		assert_non_null(member);
		assert_int_equal(json_array_append_new(members, member), 0);
	}
	assert_int_equal(json_object_set_new(view, "members", members), 0);
	assert_int_equal(json_object_set_new(view, "weight", json_integer(1)), 0);
	return view;
}

static const char members_template[] =
	"{{#members}}\n"
	"server {{id}} {{address}}:80 weight {{weight}}"
	"{{#check}} check {{inter}}{{/check}}{{#backup}} backup{{/backup}}\n"
	"{{/members}}\n";

static void test_many_members(void **state)
{
	_cleanup_template_ struct template *template = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ char *text = NULL;
	json_auto_t *view = members_view(10000);
	size_t length, lines = 0;
	clock_t start;
	double seconds;

	(void)state;
	assert_int_equal(template_compile("main", members_template, NULL, &template, &err), 0);
	start = clock();
	assert_int_equal(template_render(template, view, &text, &length, &err), 0);
	seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
	for (const char *p = text; *p; p++)
		lines += *p == '\n';
	assert_int_equal(lines, 10000);
	assert_non_null(
		text_after_prefix(text, "server 0 192.0.2.1:80 weight 1 backup\nserver 1 "));
	assert_string_equal(
		strstr(text, "server 9999 "), "server 9999 192.0.2.1:80 weight 1 backup\n");
	print_message("10 000 members, %zu bytes: %.1f ms\n", length, seconds * 1000);
	/* About 5 ms; the bound leaves room for sanitizers and a busy machine, not for quadratic
	 * work. */
	assert_true(seconds < 2);
}

struct concurrent {
	const struct template *template;
	const json_t *view;
	const char *expected;
	bool same;
};

static void *render_often(void *data)
{
	struct concurrent *work = data;

	work->same = true;
	for (int i = 0; i < 50 && work->same; i++) {
		_cleanup_free_ char *text = NULL;

		work->same = template_render(work->template, work->view, &text, NULL, NULL) == 0 &&
			     streq(text, work->expected);
	}
	return NULL;
}

static void test_threads(void **state)
{
	_cleanup_template_ struct template *template = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ char *text = NULL;
	json_auto_t *view = members_view(100);
	struct concurrent work[4];
	pthread_t threads[ELEMENTSOF(work)];

	(void)state;
	assert_int_equal(template_compile("main", members_template, NULL, &template, &err), 0);
	assert_int_equal(template_render(template, view, &text, NULL, &err), 0);
	for (size_t i = 0; i < ELEMENTSOF(work); i++) {
		work[i] = (struct concurrent){.template = template, .view = view, .expected = text};
		assert_int_equal(pthread_create(&threads[i], NULL, render_often, &work[i]), 0);
	}
	for (size_t i = 0; i < ELEMENTSOF(work); i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_true(work[i].same);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_load_errors),
		cmocka_unit_test(test_section_depth),
		cmocka_unit_test(test_partial_depth),
		cmocka_unit_test(test_result_limit),
		cmocka_unit_test(test_many_members),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
