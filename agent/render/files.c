/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/render/files.h"

#include <string.h>

#include "agent/base/text.h"

int files_init(struct files *files)
{
	*files = (struct files){.names = json_object()};
	return files->names ? 0 : -ENOMEM;
}

void files_done(struct files *files)
{
	struct rendered rendered = {.files = files->items, .n_files = files->n};

	rendered_done(&rendered);
	json_decref(files->names);
	*files = (struct files){0};
}

void files_take(struct files *files, struct rendered *rendered)
{
	rendered->files = TAKE_PTR(files->items);
	rendered->n_files = files->n;
	files->n = 0;
}

static bool has(const struct files *files, const char *name)
{
	return json_object_get(files->names, name) != NULL;
}

/* Takes the content, if it succeeds. */
static int add(struct files *files, const char *name, char **content)
{
	struct rendered_file *file;

	if (files->n == files->n_allocated) {
		size_t allocated = files->n_allocated ? 2 * files->n_allocated : 16;
		struct rendered_file *grown = reallocarray(files->items, allocated, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		files->items = grown;
		files->n_allocated = allocated;
	}
	file = &files->items[files->n];
	*file = (struct rendered_file){.name = strdup(name)};
	if (!file->name || json_object_set_new_nocheck(files->names, name, json_true()) < 0) {
		free(file->name);
		return -ENOMEM;
	}
	file->content = TAKE_PTR(*content);
	files->n++;
	return 0;
}

int files_add_list(struct files *files, const char *id, const char *kind, char *const *lines, char **ret_name)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	_cleanup_free_ char *name = NULL, *content = NULL;
	int r;

	if (asprintf(&name, RENDER_LIST_DIR "/%s.%s", id, kind) < 0)
		return -ENOMEM;
	STRV_FOREACH(line, lines)
		text_printf(&text, "%s\n", *line);
	r = text_finish(&text, &content, NULL);
	if (r == 0)
		r = add(files, name, &content);
	if (r < 0)
		return r;
	*ret_name = TAKE_PTR(name);
	return 0;
}

/* What stands before a certificate's name in the name of its file. A pair has nothing there, but for names that would be taken
 * for another kind. */
static const char *file_prefix(enum certificate_kind kind, const char *name)
{
	switch (kind) {
	case CERTIFICATE_CA:
		return "ca-";
	case CERTIFICATE_CRL:
		return "crl-";
	default:
		return text_after_prefix(name, "ca-") || text_after_prefix(name, "crl-") ||
				text_after_prefix(name, "crt-")
			? "crt-"
			: "";
	}
}

static int load(struct certificate_store *store, const char *name, enum certificate_kind kind, const char *pointer,
	char **ret_pem, struct error *err)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	int r;

	if (!store)
		return error_set(err, ERROR_INVALID, pointer, "there are no certificates here");
	r = certificate_store_load(store, name, kind, ret_pem, NULL, &problem);
	if (r == 0)
		return 0;
	/* The caller of the store has named nothing: whoever wrote the definition has. */
	if (problem.code == ERROR_NOT_FOUND || problem.code == ERROR_INVALID)
		return error_set(err, ERROR_INVALID, pointer, "%s", error_message(&problem));
	return error_set(err, problem.code, pointer, "%s", error_message(&problem));
}

static void cleanup_secret(char **secret)
{
	if (*secret)
		explicit_bzero(*secret, strlen(*secret));
	free(*secret);
}

int files_add_certificate(struct files *files, struct certificate_store *store, const char *reference,
	enum certificate_kind kind, const char *pointer, char **ret_name, struct error *err)
{
	const char *certificate = certificate_reference_name(reference);
	_cleanup_(cleanup_secret) char *pem = NULL;
	_cleanup_free_ char *name = NULL;
	int r;

	if (!certificate)
		return error_set(err, ERROR_INVALID, pointer, "does not name a certificate");
	if (asprintf(&name, RENDER_CERTIFICATE_DIR "/%s%s.pem", file_prefix(kind, certificate), certificate) < 0)
		return -ENOMEM;
	if (!has(files, name)) {
		r = load(store, certificate, kind, pointer, &pem, err);
		if (r == 0)
			r = add(files, name, &pem);
		if (r < 0)
			return r;
	}
	*ret_name = TAKE_PTR(name);
	return 0;
}
