/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/supervisor/environment.h"

#include <fcntl.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/namespace.h"
#include "agent/base/text.h"

enum { ENVIRONMENT_MAX = 64 * 1024 };

/* In double quotes, where a backslash makes these characters plain. */
int environment_append(struct text *text, const char *name, const char *value, struct error *err)
{
	if (text_has_control(value, strlen(value)))
		return error_set(
			err, ERROR_INVALID, NULL, "%s has a control character in it", name);
	text_printf(text, "%s=\"", name);
	for (const char *c = value; *c; c++) {
		if (strchr("\"\\`$", *c))
			text_append_char(text, '\\');
		text_append_char(text, *c);
	}
	text_append(text, "\"\n");
	return 0;
}

/* Options that are not always there: the unit has their variable split at blanks. */
static int append_options(struct text *text, const struct supervisor_spec *spec, struct error *err)
{
	_cleanup_free_ char *options = NULL;

	if (!spec->peer_name)
		return 0;
	if (!spec->peer_name[0] || strpbrk(spec->peer_name, " \t\"'\\"))
		return error_set(
			err, ERROR_INVALID, NULL, "\"%s\" cannot be a peer name", spec->peer_name);
	if (asprintf(&options, "-L %s", spec->peer_name) < 0) {
		options = NULL;
		return error_set_errno(err, -ENOMEM, "environment");
	}
	return environment_append(text, "AMPHORA_OPTIONS", options, err);
}

/* nsenter(1) becomes the program, so it stays systemd's main process. NetworkNamespacePath= would have to stand in the
 * unit file, whose instances are of any namespace. Split at blanks as well; empty where HAProxy runs where systemd does. */
int environment_append_namespace(struct text *text, const char *network_namespace, struct error *err)
{
	char path[NAMESPACE_PATH_SIZE];
	_cleanup_free_ char *enter = NULL;

	if (!network_namespace)
		return environment_append(text, "AMPHORA_ENTER", "", err);
	if (strpbrk(network_namespace, " \t\"'\\$"))
		return error_set(err, ERROR_INVALID, NULL, "systemd cannot enter the network namespace \"%s\"",
			network_namespace);
	namespace_path(network_namespace, path);
	if (asprintf(&enter, "nsenter --net=%s --", path) < 0) {
		enter = NULL;
		return error_set_errno(err, -ENOMEM, "environment");
	}
	return environment_append(text, "AMPHORA_ENTER", enter, err);
}

int environment_check_command(const char *command, struct error *err)
{
	/* env(1), which the unit runs it with, would take it for an option or for a variable. */
	if (command[0] == '-' || strchr(command, '='))
		return error_set(err, ERROR_INVALID, NULL, "systemd cannot run \"%s\"", command);
	return 0;
}

int environment_store(const char *path, struct text *text, struct error *err)
{
	_cleanup_free_ char *now = NULL, *wanted = NULL;
	size_t length;
	int r;

	r = text_finish(text, &wanted, &length);
	if (r < 0)
		return error_set_errno(err, r, "%s", path);
	if (fileio_read_own(AT_FDCWD, path, ENVIRONMENT_MAX, &now, NULL) == 0 && streq(now, wanted))
		return 0;
	r = fileio_write(AT_FDCWD, path, wanted, length, 0600);
	return r < 0 ? error_set_errno(err, r, "cannot write %s", path) : 0;
}

int environment_write(const char *path, const struct supervisor_spec *spec,
	const char *socket_argument, struct error *err)
{
	const struct {
		const char *name, *value;
	} variables[] = {
		{"AMPHORA_HAPROXY", spec->haproxy_cmd},
		{"AMPHORA_DIRECTORY", spec->directory},
		{"AMPHORA_CONFIG", spec->config},
		{"AMPHORA_OWN_CONFIG", spec->own_config},
		{"AMPHORA_MASTER_SOCKET", socket_argument},
		{"AMPHORA_PID_FILE", spec->pid_file},
	};
	_cleanup_text_ struct text text = TEXT_INIT;
	int r;

	r = environment_check_command(spec->haproxy_cmd, err);
	for (size_t i = 0; i < ELEMENTSOF(variables) && r == 0; i++)
		r = environment_append(&text, variables[i].name, variables[i].value, err);
	if (r == 0)
		r = environment_append_namespace(&text, spec->network_namespace, err);
	if (r == 0)
		r = append_options(&text, spec, err);
	if (r < 0)
		return r;
	return environment_store(path, &text, err);
}
