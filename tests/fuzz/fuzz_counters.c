/* SPDX-License-Identifier: Apache-2.0 */

/* The file of counters, as a crash or another program may leave it. Whatever it holds, counting
 * works afterwards, and what is saved is what is loaded. */

#include <fcntl.h>
#include <stdint.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/health/counters.h"

#define NAME "stats_counters.json"
#define LB "11111111-0000-4000-8000-000000000001"
#define LISTENER "22222222-0000-4000-8000-000000000001"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int dir_fd)
{
	_cleanup_(counters_freep) struct counters *counters = NULL, *again = NULL;
	struct listener_totals before, totals, unsent;

	if (counters_new(dir_fd, NAME, &counters, NULL) < 0)
		abort();
	before = counters_totals(counters, LB, LISTENER);
	if (counters_sample(
		    counters, LB, LISTENER, 100, 1, &(struct listener_totals){.bytes_in = 7}) < 0)
		abort();
	totals = counters_totals(counters, LB, LISTENER);
	unsent = counters_unsent(counters, LB, LISTENER);
	if (totals.bytes_in < before.bytes_in || unsent.bytes_in > totals.bytes_in)
		abort();
	counters_mark_sent(counters, LB, LISTENER, &unsent);
	if (counters_unsent(counters, LB, LISTENER).bytes_in != 0 ||
		counters_save(counters, NULL) < 0 || counters_new(dir_fd, NAME, &again, NULL) < 0 ||
		counters_totals(again, LB, LISTENER).bytes_in != totals.bytes_in ||
		counters_unsent(again, LB, LISTENER).bytes_in != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *tmp = getenv("TMPDIR");
	_cleanup_close_ int dir_fd = -1;
	char folder[4096];

	log_set_level(LOG_CRIT);
	snprintf(folder, sizeof(folder), "%s/fuzz-counters-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(folder))
		return 0;
	dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd >= 0 && fileio_write_volatile(dir_fd, NAME, data, size, 0600) == 0)
		check(dir_fd);
	fileio_remove_tree(AT_FDCWD, folder);
	return 0;
}
