/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/haproxy/check.h"

#include <string.h>

#include "agent/base/process.h"
#include "agent/base/text.h"

enum {
	VERSION_TIMEOUT_MS = 10000,
	CHECK_TIMEOUT_MS = 60000, /* 100 000 servers take about 3 s */
	OUTPUT_LIMIT = 64 * 1024,
};

static int begin(const char *const *argv, int input_fd, int timeout_ms, struct process_job *ret, struct error *err)
{
	struct process_options options = PROCESS_OPTIONS_INIT;
	int r;

	options.input_fd = input_fd;
	r = process_begin(argv, &options, timeout_ms, ret);
	if (r < 0)
		return error_set_errno(err, r, "cannot run %s (is HAProxy installed? see option haproxy_cmd)", argv[0]);
	return 0;
}

static int end(const char *haproxy_cmd, struct process_job *job, struct process_result *result, struct error *err)
{
	int r = process_end(job, OUTPUT_LIMIT, result);

	if (r < 0)
		return error_set_errno(err, r, "%s", haproxy_cmd);
	if (result->timed_out)
		return error_set(err, ERROR_INTERNAL, NULL, "%s did not finish in time and was ended", haproxy_cmd);
	return 0;
}

int haproxy_begin_version(const char *haproxy_cmd, struct process_job *ret, struct error *err)
{
	const char *const argv[] = {haproxy_cmd, "-v", NULL};

	return begin(argv, -1, VERSION_TIMEOUT_MS, ret, err);
}

int haproxy_end_version(
	const char *haproxy_cmd, struct process_job *job, struct haproxy_version *ret, struct error *err)
{
	_cleanup_(process_result_done) struct process_result result = PROCESS_RESULT_INIT;
	int r;

	r = end(haproxy_cmd, job, &result, err);
	return r < 0 ? r : haproxy_version_parse(result.output, ret, err);
}

/* Control characters but newlines, which would break a JSON reply's readers or a terminal, and the trailing newline. */
static void make_printable(char *text)
{
	size_t length = strlen(text);

	while (length > 0 && text[length - 1] == '\n')
		text[--length] = '\0';
	for (char *p = text; *p; p++)
		if (((unsigned char)*p < 0x20 && *p != '\n') || *p == 0x7f || (unsigned char)*p >= 0x80)
			*p = '?';
}

/* Files are read in the order of the command line. */
int haproxy_begin_check(const char *haproxy_cmd, const char *directory, const char *config, const char *own_config,
	const char *peer_name, int gate_fd, struct process_job *ret, struct error *err)
{
	const char *argv[13] = {haproxy_cmd, "-c", "-C", directory};
	size_t n = 4;

	if (gate_fd >= 0) {
		argv[n++] = "-f";
		argv[n++] = "/dev/stdin";
	}
	argv[n++] = "-f";
	argv[n++] = config;
	argv[n++] = "-f";
	argv[n++] = own_config;
	if (peer_name) {
		argv[n++] = "-L";
		argv[n++] = peer_name;
	}
	argv[n] = NULL;
	return begin(argv, gate_fd, CHECK_TIMEOUT_MS, ret, err);
}

int haproxy_end_check(const char *haproxy_cmd, struct process_job *job, char **ret_verdict, struct error *err)
{
	_cleanup_(process_result_done) struct process_result result = PROCESS_RESULT_INIT;
	int r;

	r = end(haproxy_cmd, job, &result, err);
	if (r < 0)
		return r;
	make_printable(result.output);
	if (result.exit_status != 0)
		return error_set(err, ERROR_HAPROXY, NULL, "HAProxy refuses the configuration:\n%s", result.output);
	*ret_verdict = TAKE_PTR(result.output);
	return 0;
}
