/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/network/sysctl.h"

#include <fcntl.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/namespace.h"
#include "agent/base/process.h"
#include "agent/base/text.h"

enum {
	VALUE_LIMIT = 4096,
	PROGRAM_TIMEOUT_MS = 10000,
	PROGRAM_MAX_OUTPUT = 65536,
};

/* Octavia: templates/amphora-netns.systemd.j2, and ip_nonlocal_bind and ping_group_range of elements/haproxy-octavia. The
 * latter is for health monitors of type PING: HAProxy's checks have no privileges that files give (no_new_privs). */
const struct sysctl_row sysctl_rows[] = {
	{"net.ipv4.ip_forward", "1", false},
	{"net.ipv6.conf.all.forwarding", "1", false},
	{"net.ipv4.ip_nonlocal_bind", "1", false},
	{"net.ipv6.ip_nonlocal_bind", "1", false},
	{"net.ipv4.ping_group_range", "0 2147483647", false},
	{"net.ipv4.vs.conntrack", "1", false},
	{"net.ipv4.vs.expire_nodest_conn", "1", false},
	{"net.ipv4.vs.expire_quiescent_template", "1", false},
	{"net.netfilter.nf_conntrack_buckets", "125000", true},
	{"net.netfilter.nf_conntrack_max", "125000", true},
	{"net.netfilter.nf_conntrack_expect_max", "488", true},
	{.name = NULL},
};

static int write_value(const char *path, const char *value)
{
	_cleanup_close_ int fd = -1;

	fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fileio_write_all(fd, value, strlen(value));
}

struct call {
	const char *path, *value;
};

/* /proc/sys/net is that of the thread which looks (proc_sys_lookup() in the kernel). */
static int write_inside(void *userdata)
{
	const struct call *call = userdata;

	return write_value(call->path, call->value);
}

int sysctl_write(int namespace_fd, const char *path, const char *value)
{
	char full[256];
	struct call call = {full, value};

	if ((size_t)snprintf(full, sizeof(full), "/proc/sys/%s", path) >= sizeof(full))
		return -ENAMETOOLONG;
	return namespace_run(namespace_fd, write_inside, &call);
}

/* Ours is kept if it is higher. */
static int raise_value(const char *path, const char *value)
{
	_cleanup_free_ char *now = NULL;
	int64_t current, wanted;
	int r;

	r = fileio_read(AT_FDCWD, path, VALUE_LIMIT, &now, NULL);
	if (r < 0)
		return r;
	now[strcspn(now, "\n")] = '\0';
	if (text_to_int64(now, &current) == 0 && text_to_int64(value, &wanted) == 0 && current >= wanted)
		return 0;
	r = write_value(path, value);
	if (r == 0)
		log_notice("%s raised from %s to %s for the whole machine", path, now, value);
	return r;
}

/* "path": below /proc/sys/net that of the thread which looks (proc_sys_lookup() in the kernel). */
static void apply_row(const struct sysctl_row *row)
{
	char path[160];
	int r;

	snprintf(path, sizeof(path), "/proc/sys/%s", row->name);
	for (char *p = path; *p; p++)
		if (*p == '.')
			*p = '/';
	r = row->of_machine ? raise_value(path, row->value) : write_value(path, row->value);
	if (r == -ENOENT)
		log_debug("this kernel has no %s, or the module is not loaded", row->name);
	else if (r < 0)
		log_warning("cannot set %s to %s: %s", row->name, row->value, strerror(-r));
}

static void apply_rows(bool of_machine)
{
	for (const struct sysctl_row *row = sysctl_rows; row->name; row++)
		if (row->of_machine == of_machine)
			apply_row(row);
}

static int apply_inside(void *userdata _unused_)
{
	apply_rows(false);
	return 0;
}

/* Not sysctl(8): its --system sets what is the whole machine's, too, and in Debian 12 whatever --pattern says. */
void sysctl_begin(int namespace_fd, struct process_job *job)
{
	static const char *const programs[] = {"/usr/lib/systemd/systemd-sysctl", "/lib/systemd/systemd-sysctl"};
	struct process_options options = PROCESS_OPTIONS_INIT;
	int r = -ENOENT;

	options.namespace_fd = namespace_fd;
	for (size_t i = 0; r == -ENOENT && i < ELEMENTSOF(programs); i++)
		r = process_begin((const char *const[]){programs[i], "--prefix=/net", NULL}, &options,
			PROGRAM_TIMEOUT_MS, job);
	if (r < 0)
		log_info("systemd-sysctl cannot be run, the settings of sysctl.d(5) are not copied into the network namespace: %s",
			strerror(-r));
}

static void end_copy(struct process_job *job)
{
	_cleanup_(process_result_done) struct process_result result = PROCESS_RESULT_INIT;
	int r = process_end(job, PROGRAM_MAX_OUTPUT, &result);

	if (r < 0)
		log_info("systemd-sysctl failed: %s", strerror(-r));
	else if (result.exit_status != 0)
		log_debug("systemd-sysctl could not set all: %s", result.output);
}

void sysctl_end(int namespace_fd, bool of_machine, struct process_job *job)
{
	int r;

	if (job->pid != 0)
		end_copy(job);
	r = namespace_run(namespace_fd, apply_inside, NULL);
	if (r < 0)
		log_warning("cannot set the parameters of the network namespace: %s", strerror(-r));
	if (of_machine)
		apply_rows(true);
}

void sysctl_apply(int namespace_fd, bool of_machine)
{
	struct process_job job = PROCESS_JOB_INIT;

	sysctl_begin(namespace_fd, &job);
	sysctl_end(namespace_fd, of_machine, &job);
}
