/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/commands.h"

#include <stdio.h>
#include <string.h>

#include "api/client/document.h"
#include "api/client/service/service.h"

const struct option_row service_options[] = {
	STRING("nodes", 0, "FILE|-", nodes, "the cluster's Nodes: \"kubectl get nodes -o json\""),
	STRING("endpoints", 0, "FILE|-", endpoints,
		"EndpointSlices: with externalTrafficPolicy: Local\n"
		"only nodes with a ready endpoint are members"),
	STRING("service", 0, "[NAMESPACE/]NAME", service, "which Service of the file; default: the only one"),
	STRING("cluster-name", 0, "NAME", cluster,
		"the cluster's name, as the cloud provider has it;\n"
		"default: kubernetes"),
	STRING("vip-address", 0, "ADDRESS[,ADDRESS...]", vip_address,
		"addresses of the load balancer; default: the\n"
		"Service's loadBalancerIP"),
	FLAG("create-monitor", 0, create_monitor, "check members unless an annotation says otherwise"),
	FLAG("explain", 0, explain,
		"print what became of each annotation and field,\n"
		"and why, instead of the definition"),
	FLAG("strict", 0, strict, "fail if anything cannot be honoured"),
	FLAG("apply", 0, apply, "send the definition to amphorad"),
	FLAG("dry-run", 0, dry_run, "only show what --apply would change, as \"diff\""),
	STRING("if-match", 0, "REVISION", if_match, "with --apply: only if this is still the revision"),
	{.name = NULL},
};

enum { MAX_FILES = 3 };

/* The files are read whole before anything is judged. */
struct input {
	const char *path;
	enum kube_kind wanted; /* _KUBE_KIND_MAX: whatever it holds */
	char *text;            /* owned */
	size_t length;
};

static void input_done(struct input (*files)[MAX_FILES])
{
	for (size_t i = 0; i < MAX_FILES; i++)
		free((*files)[i].text);
}

static const char *shown_path(const char *path)
{
	return streq(path, "-") ? "standard input" : path;
}

static int read_files(struct input files[MAX_FILES], struct error *err)
{
	bool standard_input = false;

	for (size_t i = 0; i < MAX_FILES; i++) {
		int r;

		if (!files[i].path)
			continue;
		if (streq(files[i].path, "-") && standard_input)
			return error_set(err, ERROR_INVALID, NULL,
				"standard input can be read once; it may hold a list of "
				"everything");
		standard_input |= streq(files[i].path, "-");
		r = document_read_file(
			files[i].path, KUBE_MAX_FILE_BYTES, &files[i].text, &files[i].length, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int convert(struct client *client, const char *path, struct notes *notes, json_t **ret,
	struct error *err)
{
	const struct options *options = client->options;
	const struct service_options wishes = {
		.service = options->service,
		.cluster = options->cluster,
		.vip_address = options->vip_address,
		.create_monitor = options->create_monitor,
	};
	_cleanup_(input_done) struct input files[MAX_FILES] = {
		{.path = path, .wanted = KUBE_SERVICE},
		{.path = options->nodes, .wanted = KUBE_NODE},
		{.path = options->endpoints, .wanted = KUBE_ENDPOINT_SLICE},
	};
	_cleanup_cluster_ struct cluster cluster = CLUSTER_INIT;
	int r = read_files(files, err);

	for (size_t i = 0; r == 0 && i < MAX_FILES; i++)
		if (files[i].path)
			r = cluster_add(&cluster, shown_path(files[i].path), files[i].text,
				files[i].length, files[i].wanted, err);
	return r < 0 ? r : service_convert(&cluster, &wishes, notes, ret, err);
}

/* Warnings are never kept quiet: a script that does not want them gives --strict. */
static int print_warnings(struct client *client, const struct notes *notes)
{
	_cleanup_text_ struct text out = TEXT_INIT;
	_cleanup_free_ char *string = NULL;

	notes_warnings(notes, &client->err, "amphoractl: warning: ", &out);
	if (text_finish(&out, &string, NULL) < 0)
		return client_out_of_memory(client);
	fputs(string, stderr);
	return CLIENT_OK;
}

static int print_explanation(struct client *client, const struct notes *notes)
{
	_cleanup_(json_decrefp) json_t *json = NULL;
	_cleanup_text_ struct text out = TEXT_INIT;

	if (!client->options->json) {
		notes_explain(notes, &client->out, &out);
		return client_print(client, &out);
	}
	json = notes_to_json(notes);
	return json ? client_print_json(client, json) : client_out_of_memory(client);
}

static bool has_tag(const json_t *definition, const char *wanted)
{
	const json_t *tags = json_object_get(json_object_get(definition, "loadbalancer"), "tags");
	const json_t *tag;
	size_t i;

	json_array_foreach (tags, i, tag)
		if (json_is_string(tag) && streq(json_string_value(tag), wanted))
			return true;
	return false;
}

/* Each Service that has listeners in a load balancer is one of its tags, as with OCCM. */
static int warn_about_others(struct client *client, const json_t *definition, struct notes *notes)
{
	const json_t *lb = json_object_get(definition, "loadbalancer");
	_cleanup_(json_decrefp) json_t *present = NULL;
	char revision[HTTP_MAX_HEADER];
	const json_t *tags, *tag;
	size_t i;
	int status = client_get_definition(
		client, json_string_value(json_object_get(lb, "id")), &present, revision);

	if (status != CLIENT_OK) /* 1 is a difference of a dry run, any error 2, as of "diff" */
		return client->options->dry_run ? CLIENT_USAGE : status;
	tags = json_object_get(json_object_get(present, "loadbalancer"), "tags");
	json_array_foreach (tags, i, tag) {
		const char *name = json_string_value(tag);

		if (name && text_after_prefix(name, "kube_service_") && !has_tag(definition, name))
			notes_warn(notes, "load balancer",
				"it serves %s, too, which is not in the input: what is of that "
				"Service goes",
				name);
	}
	return CLIENT_OK;
}

static int change(struct client *client, const json_t *definition)
{
	_cleanup_document_ struct document document = DOCUMENT_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	char *text = json_dumps(definition, JSON_COMPACT);

	if (!text)
		return client_out_of_memory(client);
	if (document_parse("the definition", text, strlen(text), NULL, &document, &err) < 0) {
		client_complain(client, &err);
		return CLIENT_FAILED;
	}
	return client->options->dry_run ? change_diff(client, &document)
					: change_apply(client, &document);
}

static int check_options(struct client *client)
{
	const struct options *options = client->options;
	_cleanup_error_ struct error err = ERROR_INIT;

	if (options->apply || (!options->dry_run && !options->if_match))
		return CLIENT_OK;
	error_set(&err, ERROR_INVALID, NULL, "--dry-run and --if-match need --apply");
	client_complain(client, &err);
	return CLIENT_USAGE;
}

int command_service(struct client *client, char *const *arguments, _unused_ size_t n_arguments)
{
	const struct options *options = client->options;
	_cleanup_(json_decrefp) json_t *definition = NULL;
	_cleanup_notes_ struct notes notes = NOTES_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	int status = check_options(client);

	if (status != CLIENT_OK)
		return status;
	if (convert(client, arguments[0], &notes, &definition, &err) < 0) {
		print_warnings(client, &notes);
		client_complain(client, &err);
		return CLIENT_USAGE;
	}
	if (options->apply)
		status = warn_about_others(client, definition, &notes);
	if (status == CLIENT_OK)
		status = print_warnings(client, &notes);
	if (status == CLIENT_OK && options->strict && notes_count(&notes, NOTE_WARNING) > 0)
		status = CLIENT_USAGE;
	if (status == CLIENT_OK && options->explain)
		status = print_explanation(client, &notes);
	if (status == CLIENT_OK && options->apply)
		status = change(client, definition);
	else if (status == CLIENT_OK && !options->explain)
		status = client_print_json(client, definition);
	return status;
}
