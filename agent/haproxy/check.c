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

static int run(const char *const *argv, int timeout_ms, struct process_result *result, struct error *err)
{
	int r = process_run(argv, NULL, timeout_ms, OUTPUT_LIMIT, result);

	if (r < 0)
		return error_set_errno(err, r, "cannot run %s (is HAProxy installed? see option haproxy_cmd)", argv[0]);
	if (result->timed_out)
		return error_set(err, ERROR_INTERNAL, NULL, "%s did not finish in %d s", argv[0], timeout_ms / 1000);
	return 0;
}

int haproxy_ask_version(const char *haproxy_cmd, struct haproxy_version *ret, struct error *err)
{
	const char *const argv[] = {haproxy_cmd, "-v", NULL};
	_cleanup_(process_result_done) struct process_result result = PROCESS_RESULT_INIT;
	int r;

	r = run(argv, VERSION_TIMEOUT_MS, &result, err);
	if (r < 0)
		return r;
	return haproxy_version_parse(result.output, ret, err);
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

int haproxy_check(const char *haproxy_cmd, const char *directory, const char *config, const char *own_config,
	const char *peer_name, char **ret_verdict, struct error *err)
{
	const char *argv[] = {haproxy_cmd, "-c", "-C", directory, "-f", config, "-f", own_config, NULL, NULL, NULL};
	_cleanup_(process_result_done) struct process_result result = PROCESS_RESULT_INIT;
	int r;

	if (peer_name) {
		argv[8] = "-L";
		argv[9] = peer_name;
	}
	r = run(argv, CHECK_TIMEOUT_MS, &result, err);
	if (r < 0)
		return r;
	make_printable(result.output);
	if (result.exit_status != 0)
		return error_set(err, ERROR_HAPROXY, NULL, "HAProxy refuses the configuration:\n%s", result.output);
	*ret_verdict = TAKE_PTR(result.output);
	return 0;
}
