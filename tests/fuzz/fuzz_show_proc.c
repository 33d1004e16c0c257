/* SPDX-License-Identifier: Apache-2.0 */

/* The master's reply to "show proc". What was parsed keeps the promises of runtime.h. */

#include <stdint.h>
#include <string.h>

#include "agent/haproxy/runtime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	struct runtime_processes processes = {0};
	_cleanup_free_ char *reply = strndup((const char *)data, size);

	if (!reply || runtime_parse_processes(reply, &processes, &err) < 0)
		return 0;
	if (processes.master_pid <= 0)
		abort();
	if (!runtime_current_worker(&processes) && processes.n_workers > 0 &&
		!processes.workers[0].old)
		abort();
	for (size_t i = 0; i < processes.n_workers; i++) {
		const struct runtime_worker *worker = &processes.workers[i];

		if (worker->pid <= 0 || worker->uptime_s < 0 ||
			strnlen(worker->version, sizeof(worker->version)) ==
				sizeof(worker->version))
			abort();
		if (!worker->old && !runtime_current_worker(&processes))
			abort();
	}
	runtime_processes_done(&processes);
	return 0;
}
