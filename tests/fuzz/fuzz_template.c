/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Compiles any text as a template and renders it. The view and the partials are fixed: names, types
 * and values that the templates of the corpus use, small enough that sections in sections end soon.
 */

#include <fcntl.h>
#include <stdint.h>

#include "agent/base/fileio.h"
#include "agent/base/text.h"
#include "agent/render/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char view_json[] =
	"{\"s\": \"text\", \"n\": 42, \"t\": true, \"f\": false, \"z\": null, \"bad\": \"a\\nb\", "
	"\"r\": 0.5,"
	" \"o\": {\"s\": \"inner\", \"o\": {\"s\": \"innermost\"}},"
	" \"l\": [\"a\", 1], \"m\": [{\"s\": \"item\"}, [true, null]], \"e\": []}";

static const struct {
	const char *name;
	const char *text;
} partials[] = {
	{"p.mustache", "{{! p }}\n{{s}}\n\n  {{>q}}\n{{#l}}\n{{.}}\n{{/l}}\n{{>q}} end"},
	{"q.mustache", "\t{{#o}}{{s}}\r\n{{/o}}last"},
	{"self.mustache", "{{>self}}"},
};

/* The folder of partials, made by the first run and removed at exit. */
static char directory[] = "/tmp/fuzz-template-XXXXXX";
static json_t *view;

static void remove_fixture(void)
{
	fileio_remove_tree(AT_FDCWD, directory);
	json_decref(view);
}

static void make_fixture(void)
{
	_cleanup_close_ int fd = -1;

	view = json_loads(view_json, 0, NULL);
	if (!view || !mkdtemp(directory))
		abort();
	atexit(remove_fixture);
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < ELEMENTSOF(partials); i++)
		if (fileio_write_volatile(fd, partials[i].name, partials[i].text,
			    strlen(partials[i].text), 0600) < 0)
			abort();
}

/* Whatever fails says where, and leaves the outputs alone. */
static void check_failure(int r, const struct error *err, const void *output)
{
	if (r >= 0 || output || !err->message || !err->pointer ||
		!strstr(err->pointer, ".mustache"))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_template_ struct template *template = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ char *text = NULL, *result = NULL;
	size_t length;
	int r;

	if (!view)
		make_fixture();
	text = strndup((const char *)data, size);
	if (!text)
		return 0;
	r = template_compile("main", text, directory, &template, &err);
	if (r < 0) {
		check_failure(r, &err, template);
		return 0;
	}
	r = template_render(template, view, &result, &length, &err);
	if (r < 0) {
		check_failure(r, &err, result);
		return 0;
	}
	if (strlen(result) != length)
		abort();
	return 0;
}
