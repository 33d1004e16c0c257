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

static void apply_row(int namespace_fd, const struct sysctl_row *row)
{
	char path[128], full[160];
	int r;

	snprintf(path, sizeof(path), "%s", row->name);
	for (char *p = path; *p; p++)
		if (*p == '.')
			*p = '/';
	snprintf(full, sizeof(full), "/proc/sys/%s", path);
	r = row->of_machine ? raise_value(full, row->value) : sysctl_write(namespace_fd, path, row->value);
	if (r == -ENOENT)
		log_debug("this kernel has no %s, or the module is not loaded", row->name);
	else if (r < 0)
		log_warning("cannot set %s to %s: %s", row->name, row->value, strerror(-r));
}

/* Not sysctl(8): its --system sets what is the whole machine's, too, and in Debian 12 whatever --pattern says. */
static int run_systemd_sysctl(void *userdata)
{
	static const char *const programs[] = {"/usr/lib/systemd/systemd-sysctl", "/lib/systemd/systemd-sysctl"};
	int r = -ENOENT;

	for (size_t i = 0; r == -ENOENT && i < ELEMENTSOF(programs); i++)
		r = process_run((const char *const[]){programs[i], "--prefix=/net", NULL}, NULL, PROGRAM_TIMEOUT_MS,
			PROGRAM_MAX_OUTPUT, userdata);
	return r;
}

static void copy_settings(int namespace_fd)
{
	_cleanup_(process_result_done) struct process_result result = PROCESS_RESULT_INIT;
	int r = namespace_run(namespace_fd, run_systemd_sysctl, &result);

	if (r < 0)
		log_info("systemd-sysctl cannot be run, the settings of sysctl.d(5) are not copied into the network namespace: %s",
			strerror(-r));
	else if (result.exit_status != 0)
		log_debug("systemd-sysctl could not set all: %s", result.output);
}

void sysctl_apply(int namespace_fd, bool of_machine)
{
	copy_settings(namespace_fd);
	for (const struct sysctl_row *row = sysctl_rows; row->name; row++)
		if (!row->of_machine || of_machine)
			apply_row(namespace_fd, row);
}
