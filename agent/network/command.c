/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/network/command.h"

#include <string.h>

#include "agent/base/log.h"
#include "agent/base/namespace.h"
#include "agent/base/process.h"
#include "agent/base/text.h"

enum {
	COMMAND_TIMEOUT_MS = 30000,
	COMMAND_MAX_OUTPUT = 4096,
};

#define MASQUERADE "lvs-masquerade.sh"

static bool is_masquerade(const char *program)
{
	static const char *const names[] = {MASQUERADE, "octavia-agent-lvs-masquerade", "udp-masquerade.sh"};
	const char *slash = strrchr(program, '/');

	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		if (streq(slash ? slash + 1 : program, names[i]))
			return true;
	return false;
}

struct call {
	char **argv;
	struct process_result result;
};

static int run_inside(void *userdata)
{
	struct call *call = userdata;

	return process_run((const char *const *)call->argv, NULL, COMMAND_TIMEOUT_MS, COMMAND_MAX_OUTPUT, &call->result);
}

static int replace_program(char **argv, const char *tools_dir)
{
	_cleanup_free_ char *path = NULL;

	if (!tools_dir || !is_masquerade(argv[0]))
		return 0;
	if (asprintf(&path, "%s/" MASQUERADE, tools_dir) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	if (access(path, X_OK) == 0) {
		free(argv[0]);
		argv[0] = TAKE_PTR(path);
	}
	return 0;
}

int command_run(int namespace_fd, const char *tools_dir, const char *command, struct error *err)
{
	_cleanup_strv_ char **argv = NULL;
	struct call call = {.result = PROCESS_RESULT_INIT};
	int r;

	r = text_split(command, ' ', &argv);
	if (r == 0 && !argv[0])
		return error_set(err, ERROR_INVALID, NULL, "an empty command");
	if (r == 0)
		r = replace_program(argv, tools_dir);
	if (r < 0)
		return error_set_errno(err, r, "%s", command);
	call.argv = argv;
	r = namespace_run(namespace_fd, run_inside, &call);
	if (r == -ENOENT) {
		log_notice("%s is not installed: UDP and SCTP listeners do not work without it", argv[0]);
		return 0;
	}
	if (r < 0)
		return error_set_errno(err, r, "%s", command);
	if (call.result.exit_status != 0)
		r = error_set(err, ERROR_INTERNAL, NULL, "\"%s\" failed with status %d: %s", command,
			call.result.exit_status, call.result.output);
	process_result_done(&call.result);
	return r;
}
