/* SPDX-License-Identifier: Apache-2.0 */
#include "api/prometheus_proxy/machine.h"

#include <inttypes.h>

static void write_gauge(struct text *out, const char *name, const char *help, double percent)
{
	text_printf(out, "# HELP %s %s\n# TYPE %s gauge\n%s %.1f\n", name, help, name, name, percent);
}

static int read_memory(uint64_t *ret_total, uint64_t *ret_available)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/meminfo", "re");
	uint64_t total = 0, available = 0;
	char line[128];

	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "MemTotal: %" SCNu64, &total) != 1)
			sscanf(line, "MemAvailable: %" SCNu64, &available);
	if (total == 0 || available > total)
		return -EINVAL;
	*ret_total = total;
	*ret_available = available;
	return 0;
}

int machine_samples(struct text *out)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t total = 0, available = 0;
	double load;
	int r;

	if (getloadavg(&load, 1) != 1 || processors < 1)
		return -EIO;
	r = read_memory(&total, &available);
	if (r < 0)
		return r;
	write_gauge(out, "octavia_loadbalancer_cpu", "Load balancer CPU utilization (percentage).",
		load / (double)processors * 100);
	write_gauge(out, "octavia_loadbalancer_memory", "Load balancer memory utilization (percentage).",
		(double)(total - available) / (double)total * 100);
	return out->failed ? -ENOMEM : 0;
}
