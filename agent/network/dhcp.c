/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/network/dhcp.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/namespace.h"
#include "agent/base/process.h"
#include "agent/base/text.h"

#define LEASE_DIR "/var/lib/dhclient"
#define RESOLVER_FILE "/etc/resolv.conf"

enum {
	MAX_WORDS = 12,
	PATH_SIZE = 64 + IF_NAMESIZE,
	/* dhclient gives up waiting after 60 s by default; a controller does after 60 s, too (rest_request_read_timeout). */
	START_TIMEOUT_MS = 50000,
	STOP_TIMEOUT_MS = 10000,
	PID_FILE_TIMEOUT_MS = 2000,
	PID_FILE_INTERVAL_MS = 10,
};

/* Words that stand for what belongs to the interface. */
static const char INTERFACE[] = "interface", PID_FILE[] = "pid file", LEASES[] = "lease file";

/*
 * dhclient as octavia/amphorae/backends/utils/interface.py starts it, the others so that they do the same: only IPv4, one
 * interface, into the background with the first lease. A client without words to stop it is sent SIGTERM.
 */
static const struct client {
	const char *program;
	const char *pid_file; /* "%s" is the interface */
	const char *start[MAX_WORDS];
	const char *stop[MAX_WORDS];
} clients[] = {
	{"dhclient", "/run/dhclient-%s.pid", {"-lf", LEASES, "-pf", PID_FILE, INTERFACE},
		{"-r", "-lf", LEASES, "-pf", PID_FILE, INTERFACE}},
	{"dhcpcd", "/run/dhcpcd/%s-4.pid", {"-4", "-q", "-w", INTERFACE}, {"-4", "-q", "-k", INTERFACE}},
	/* -b: goes on in the background without a lease; -R: gives it back when it ends. */
	{"udhcpc", "/run/udhcpc-%s.pid", {"-i", INTERFACE, "-p", PID_FILE, "-b", "-R"}, {NULL}},
};

static bool find_program(const char *name, char ret_path[static PATH_SIZE])
{
	static const char *const folders[] = {"/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin"};

	for (size_t i = 0; i < ELEMENTSOF(folders); i++) {
		snprintf(ret_path, PATH_SIZE, "%s/%s", folders[i], name);
		if (access(ret_path, X_OK) == 0)
			return true;
	}
	return false;
}

struct run {
	char program[PATH_SIZE], pid_file[PATH_SIZE], leases[PATH_SIZE], resolver[PATH_SIZE];
	const char *argv[MAX_WORDS + 2];
	int timeout_ms;
};

static void set_pid_file(const struct client *client, const char *interface, char ret[static PATH_SIZE])
{
	const char *hole = strstr(client->pid_file, "%s");

	snprintf(ret, PATH_SIZE, "%.*s%s%s", (int)(hole - client->pid_file), client->pid_file, interface, hole + 2);
}

static void prepare(const struct client *client, const char *const *words, const char *interface, struct run *run)
{
	size_t n = 0;

	set_pid_file(client, interface, run->pid_file);
	snprintf(run->resolver, sizeof(run->resolver), "/run/%s-%s.resolv.conf", client->program, interface);
	snprintf(run->leases, sizeof(run->leases), LEASE_DIR "/dhclient-%s.leases", interface);
	run->argv[n++] = run->program;
	for (; *words; words++)
		run->argv[n++] = *words == INTERFACE ? interface
			: *words == PID_FILE         ? run->pid_file
			: *words == LEASES           ? run->leases
						     : *words;
	run->argv[n] = NULL;
}

/*
 * The scripts of DHCP clients write the file of the resolver, and the network of a VIP or of members has no say in how this
 * machine finds its controller: the client gets a file of its own there, as ip-netns(8) does it with /etc/netns. The calling
 * thread is a short-lived one; what it starts inherits its mounts.
 */
static int hide_resolver(const char *own_file)
{
	_cleanup_close_ int fd = -1;

	if (access(RESOLVER_FILE, F_OK) < 0)
		return 0;
	fd = open(own_file, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	/* Slave, not private: namespaces that are made or removed later are seen. */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
		mount(own_file, RESOLVER_FILE, NULL, MS_BIND, NULL) < 0)
		return -errno;
	return 0;
}

/* Its output would be held open by what stays in the background. */
static int run_client(void *userdata)
{
	const struct run *run = userdata;
	_cleanup_close_ int output_fd = -1, pidfd = -1;
	pid_t pid;
	int r;

	r = hide_resolver(run->resolver);
	if (r < 0)
		return r;
	output_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (output_fd < 0)
		return -errno;
	r = process_spawn_detached(run->argv, output_fd, &pid, &pidfd);
	if (r < 0)
		return r;
	r = process_wait_exit(pidfd, run->timeout_ms);
	/* It goes on trying, as it would in the background. */
	return r == -ETIMEDOUT ? 0 : r;
}

/* The process that the client's pid file names, if it is one of that program. */
static int find_client(const struct client *client, const char *interface, int *ret_pidfd)
{
	_cleanup_free_ char *text = NULL, *name = NULL;
	_cleanup_close_ int pidfd = -1;
	char path[PATH_SIZE];
	int64_t pid;

	set_pid_file(client, interface, path);
	if (fileio_read(AT_FDCWD, path, 64, &text, NULL) < 0)
		return -ESRCH;
	text[strcspn(text, "\n")] = '\0';
	if (text_to_int64(text, &pid) < 0 || pid < 2 || pid > INT32_MAX || process_open((pid_t)pid, &pidfd) < 0)
		return -ESRCH;
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	if (fileio_read(AT_FDCWD, path, 64, &name, NULL) < 0)
		return -ESRCH;
	name[strcspn(name, "\n")] = '\0';
	if (!streq(name, client->program) && !(client->stop[0] == NULL && streq(name, "busybox")))
		return -ESRCH;
	*ret_pidfd = TAKE_FD(pidfd);
	return 0;
}

/* What stays in the background writes its pid file after the program that we waited for has ended. Until then nobody could
 * tell that it runs, and would start another. */
static void wait_for_client(const struct client *client, const char *interface)
{
	int64_t deadline = process_now_ms() + PID_FILE_TIMEOUT_MS;

	for (;;) {
		_cleanup_close_ int pidfd = -1;

		if (find_client(client, interface, &pidfd) == 0)
			return;
		if (process_now_ms() >= deadline) {
			log_warning("%s of %s does not go on in the background", client->program, interface);
			return;
		}
		usleep(PID_FILE_INTERVAL_MS * 1000);
	}
}

int dhcp_start(int namespace_fd, const char *interface, struct error *err)
{
	struct run run = {.timeout_ms = START_TIMEOUT_MS};
	int r;

	for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
		if (!find_program(clients[i].program, run.program))
			continue;
		if (streq(clients[i].program, "dhclient"))
			(void)fileio_make_dirs(LEASE_DIR, 0755);
		prepare(&clients[i], clients[i].start, interface, &run);
		r = namespace_run(namespace_fd, run_client, &run);
		if (r < 0)
			return error_set_errno(err, r, "%s", run.program);
		wait_for_client(&clients[i], interface);
		return 0;
	}
	return error_set(err, ERROR_INTERNAL, NULL,
		"%s needs DHCP and no client is installed: dhclient, dhcpcd or udhcpc", interface);
}

bool dhcp_is_running(const char *interface)
{
	for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
		_cleanup_close_ int pidfd = -1;

		if (find_client(&clients[i], interface, &pidfd) == 0)
			return true;
	}
	return false;
}

int dhcp_stop(int namespace_fd, const char *interface, struct error *err)
{
	for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
		struct run run = {.timeout_ms = STOP_TIMEOUT_MS};
		_cleanup_close_ int pidfd = -1;
		int r = 0;

		if (find_client(&clients[i], interface, &pidfd) < 0)
			continue;
		if (clients[i].stop[0] && find_program(clients[i].program, run.program)) {
			prepare(&clients[i], clients[i].stop, interface, &run);
			r = namespace_run(namespace_fd, run_client, &run);
		}
		if (r == 0)
			r = process_signal(pidfd, SIGTERM);
		if (r == 0)
			r = process_wait_exit(pidfd, STOP_TIMEOUT_MS);
		if (r < 0 && r != -ESRCH)
			return error_set_errno(err, r, "cannot stop %s of %s", clients[i].program, interface);
	}
	return 0;
}
