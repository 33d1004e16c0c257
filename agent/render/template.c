/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/render/template.h"

#include <fcntl.h>
#include <stdarg.h>

#include "agent/base/fileio.h"
#include "agent/base/text.h"
#include "agent/render/template-internal.h"

static void node_done(struct node *node)
{
	free(node->name);
	strv_free(node->parts);
}

static void unit_free(struct unit *unit)
{
	for (size_t i = 0; i < unit->n_nodes; i++)
		node_done(&unit->nodes[i]);
	free(unit->nodes);
	free(unit->source);
	free(unit->file);
	free(unit->name);
	free(unit);
}
DEFINE_CLEANUP(struct unit *, unit_free);

void template_free(struct template *template)
{
	if (!template)
		return;
	for (size_t i = 0; i < template->n_units; i++)
		unit_free(template->units[i]);
	free(template->units);
	free(template);
}

bool template_name_is_valid(const char *name)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

	for (const char *part = name;; part++) {
		size_t length = strspn(part, allowed);

		if (length == 0)
			return false;
		part += length;
		if (*part != '.')
			return *part == '\0';
	}
}

int template_fail(const struct unit *unit, size_t line, enum error_code code, struct error *err,
	const char *format, ...)
{
	_cleanup_free_ char *pointer = NULL, *message = NULL;
	va_list arguments;
	int n;

	if (line == 0)
		pointer = strdup(unit->file);
	else if (asprintf(&pointer, "%s:%zu", unit->file, line) < 0)
		pointer = NULL;
	va_start(arguments, format);
	n = vasprintf(&message, format, arguments);
	va_end(arguments);
	if (n < 0)
		message = NULL;
	return error_set(err, code, pointer, "%s", message ? message : "bad template");
}

/* The template owns the new unit at once: what fails later has nothing to clean up. */
static int add_unit(struct template *template, const char *name, struct unit **ret)
{
	_cleanup_(unit_freep) struct unit *unit = NULL;
	struct unit **grown;

	unit = calloc(1, sizeof(*unit));
	if (!unit)
		return -ENOMEM;
	unit->name = strdup(name);
	if (!unit->name)
		return -ENOMEM;
	if (asprintf(&unit->file, "%s.mustache", name) < 0) {
		unit->file = NULL;
		return -ENOMEM;
	}
	grown = reallocarray(template->units, template->n_units + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	template->units = grown;
	grown[template->n_units++] = unit;
	*ret = TAKE_PTR(unit);
	return 0;
}

static int compile_unit(struct loader *loader, struct unit *unit, size_t depth, struct error *err)
{
	int r;

	unit->in_progress = true;
	r = template_parse(loader, unit, depth, err);
	unit->in_progress = false;
	return r;
}

/* Reads the unit's file. "from" and "line" say who names it: the place to look at if it is missing.
 */
static int read_unit(struct loader *loader, struct unit *unit, const struct unit *from, size_t line,
	struct error *err)
{
	size_t length;
	int r;

	r = fileio_read(
		loader->dir_fd, unit->file, TEMPLATE_MAX_FILE_BYTES, &unit->source, &length);
	if (r == -ENOENT)
		return template_fail(
			from, line, ERROR_NOT_FOUND, err, "there is no file \"%s\"", unit->file);
	if (r == -EFBIG)
		return template_fail(from, line, ERROR_TOO_LARGE, err,
			"\"%s\" has more than %d bytes", unit->file, TEMPLATE_MAX_FILE_BYTES);
	if (r == -ENOMEM)
		return error_set_errno(err, r, "%s", unit->file);
	if (r < 0)
		return template_fail(from, line, ERROR_INTERNAL, err, "cannot read \"%s\": %s",
			unit->file, strerror(-r));
	if (strlen(unit->source) != length)
		return template_fail(unit, 0, ERROR_INVALID, err, "the file has a NUL byte");
	return 0;
}

static struct unit *find_unit(const struct template *template, const char *name)
{
	for (size_t i = 0; i < template->n_units; i++)
		if (streq(template->units[i]->name, name))
			return template->units[i];
	return NULL;
}

int template_find_partial(struct loader *loader, struct unit *unit, size_t line, size_t depth,
	const char *name, const struct unit **ret, struct error *err)
{
	struct unit *partial = find_unit(loader->template, name);
	int r;

	if (partial && partial->in_progress)
		return template_fail(
			unit, line, ERROR_INVALID, err, "the partial \"%s\" includes itself", name);
	/* A partial that is known from elsewhere has all its own chains below it already. */
	if (depth + 1 + (partial ? partial->height : 0) > TEMPLATE_MAX_PARTIAL_DEPTH)
		return template_fail(unit, line, ERROR_INVALID, err,
			"partials are more than %d deep", TEMPLATE_MAX_PARTIAL_DEPTH);
	if (!partial) {
		if (loader->dir_fd < 0)
			return template_fail(unit, line, ERROR_NOT_FOUND, err,
				"the partial \"%s\" is named by a template without a folder", name);
		r = add_unit(loader->template, name, &partial);
		if (r < 0)
			return error_set_errno(err, r, "%s", unit->file);
		r = read_unit(loader, partial, unit, line, err);
		if (r < 0)
			return r;
		r = compile_unit(loader, partial, depth + 1, err);
		if (r < 0)
			return r;
	}
	if (unit->height < partial->height + 1)
		unit->height = partial->height + 1;
	*ret = partial;
	return 0;
}

/* "text" is NULL if the template is a file of the folder too. */
static int compile(const char *directory, const char *name, const char *text, struct template **ret,
	struct error *err)
{
	_cleanup_template_ struct template *template = NULL;
	_cleanup_close_ int dir_fd = -1;
	struct loader loader;
	struct unit *unit;
	int r;

	if (!template_name_is_valid(name))
		return error_set(
			err, ERROR_INVALID, NULL, "\"%s\" cannot be the name of a template", name);
	if (directory) {
		dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir_fd < 0)
			return error_set_errno(err, -errno, "%s", directory);
	}
	template = calloc(1, sizeof(*template));
	if (!template)
		return error_set_errno(err, -ENOMEM, "%s", name);
	r = add_unit(template, name, &unit);
	if (r < 0)
		return error_set_errno(err, r, "%s", name);

	loader = (struct loader){.template = template, .dir_fd = dir_fd};
	if (text) {
		if (strnlen(text, TEMPLATE_MAX_FILE_BYTES + 1) > TEMPLATE_MAX_FILE_BYTES)
			return template_fail(unit, 0, ERROR_TOO_LARGE, err,
				"the template has more than %d bytes", TEMPLATE_MAX_FILE_BYTES);
		unit->source = strdup(text);
		if (!unit->source)
			return error_set_errno(err, -ENOMEM, "%s", name);
	} else {
		r = read_unit(&loader, unit, unit, 0, err);
		if (r < 0)
			return r;
	}
	r = compile_unit(&loader, unit, 0, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(template);
	return 0;
}

int template_load(const char *directory, const char *name, struct template **ret, struct error *err)
{
	return compile(directory, name, NULL, ret, err);
}

int template_compile(const char *name, const char *text, const char *directory,
	struct template **ret, struct error *err)
{
	return compile(directory, name, text, ret, err);
}
