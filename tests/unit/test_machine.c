/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "agent/base/fileio.h"
#include "agent/base/text.h"
#include "agent/machine/facts.h"
#include "agent/machine/interfaces.h"
#include "agent/machine/packages.h"

static const char meminfo[] = "MemTotal:       24684084 kB\n"
			      "MemFree:        22305928 kB\n"
			      "MemAvailable:   23592124 kB\n"
			      "Buffers:           23868 kB\n"
			      "Cached:          1349148 kB\n"
			      "SwapCached:            7 kB\n"
			      "Active(anon):       1620 kB\n"
			      "Shmem:              8872 kB\n"
			      "Slab:             253904 kB\n"
			      "ShmemHugePages:        5 kB\n"
			      "HugePages_Total:       0\n";

static void test_memory(void **state)
{
	struct machine_memory memory;

	(void)state;
	assert_int_equal(machine_parse_memory(meminfo, &memory), 0);
	assert_int_equal(memory.total_kb, 24684084);
	assert_int_equal(memory.free_kb, 22305928);
	assert_int_equal(memory.buffers_kb, 23868);
	assert_int_equal(memory.cached_kb, 1349148);
	assert_int_equal(memory.swap_cached_kb, 7);
	assert_int_equal(memory.shared_kb, 8872);
	assert_int_equal(memory.slab_kb, 253904);

	assert_int_equal(machine_parse_memory("MemFree: 1 kB\nMemTotal: 2 kB", &memory), 0);
	assert_int_equal(memory.total_kb, 2);
	assert_int_equal(memory.slab_kb, 0);
}

static void test_memory_refused(void **state)
{
	static const char *const texts[] = {"", "\n\n", "MemTotal: 1 kB\n", "MemFree: 1 kB\n",
		"MemTotal: 1\nMemFree: 1 kB\n", "MemTotal: -1 kB\nMemFree: 1 kB\n",
		"MemTotal:", "MemTotal: 1 kB\nMemFree: x kB\n", "xMemTotal: 1 kB\nMemFree: 1 kB\n"};
	struct machine_memory memory = {.total_kb = 42};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(texts); i++)
		assert_int_equal(machine_parse_memory(texts[i], &memory), -EBADMSG);
	assert_int_equal(
		machine_parse_memory("MemTotal: 9223372036854775808 kB\n", &memory), -ERANGE);
	assert_int_equal(memory.total_kb, 42);
	assert_int_equal(
		machine_parse_memory("MemTotal: 9223372036854775807 kB\nMemFree: 0 kB", &memory),
		0);
	assert_int_equal(memory.total_kb, INT64_MAX);
}

static void test_cpu(void **state)
{
	struct machine_cpu cpu;

	(void)state;
	assert_int_equal(machine_parse_cpu("cpu  64738 2 29528 722905 1301 4 2103 47 8 16\n"
					   "cpu0 25370 0 13279 370443 182 0 939 21 0 0\nintr 5\n",
				 &cpu),
		0);
	assert_int_equal(cpu.user, 64738);
	assert_int_equal(cpu.system, 29528);
	assert_int_equal(cpu.soft_irq, 2103);
	assert_int_equal(cpu.total, 64738 + 2 + 29528 + 722905 + 1301 + 4 + 2103 + 47 + 8 + 16);

	/* An old kernel, a new one, no newline. */
	assert_int_equal(machine_parse_cpu("cpu  1 2 3 4 5 6 7", &cpu), 0);
	assert_int_equal(cpu.total, 28);
	assert_int_equal(machine_parse_cpu("cpu  1 2 3 4 5 6 7 8 9 10 11 12\n", &cpu), 0);
	assert_int_equal(cpu.total, 78);
}

static void test_cpu_refused(void **state)
{
	static const char *const texts[] = {"", "\n", "cpu", "cpu  \n", "cpu  1 2 3 4 5 6\n7",
		"cpu0 1 2 3 4 5 6 7\n", "cpu  1 2 3 4 5 6 -7\n", "cpu  1 2 3 4 5 6 7x\n",
		"intr 1\ncpu  1 2 3 4 5 6 7\n"};
	struct machine_cpu cpu = {.total = 42};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(texts); i++)
		assert_int_equal(machine_parse_cpu(texts[i], &cpu), -EBADMSG);
	assert_int_equal(
		machine_parse_cpu("cpu  9223372036854775807 1 0 0 0 0 0\n", &cpu), -ERANGE);
	assert_int_equal(
		machine_parse_cpu("cpu  99999999999999999999 1 0 0 0 0 0\n", &cpu), -ERANGE);
	assert_int_equal(cpu.total, 42);
}

static void test_load(void **state)
{
	static const char *const texts[] = {"", "1.61 1.21", "1.61 1.21 \n", "a 1 2", "1 2 3x",
		"1 nan 3", "0.000000000000001 1 2"};
	struct machine_load load;

	(void)state;
	assert_int_equal(machine_parse_load("1.61 1.21 0.78 4/120 19942\n", &load), 0);
	assert_string_equal(load.average[0], "1.61");
	assert_string_equal(load.average[1], "1.21");
	assert_string_equal(load.average[2], "0.78");
	assert_int_equal(machine_parse_load("0.00 0.00 0.00", &load), 0);
	for (size_t i = 0; i < ELEMENTSOF(texts); i++)
		assert_int_equal(machine_parse_load(texts[i], &load), -EBADMSG);
}

/* This very machine. */
static void test_readers(void **state)
{
	_cleanup_free_ char *hostname = NULL;
	struct machine_memory memory;
	struct machine_cpu cpu;
	struct machine_load load;
	struct machine_disk disk;

	(void)state;
	assert_int_equal(machine_read_memory(&memory), 0);
	assert_true(memory.total_kb > 0 && memory.free_kb <= memory.total_kb);
	assert_int_equal(machine_read_cpu(&cpu), 0);
	assert_true(cpu.total >= cpu.user + cpu.system + cpu.soft_irq);
	assert_int_equal(machine_read_load(&load), 0);
	assert_int_equal(machine_read_disk("/", &disk), 0);
	assert_true(disk.used > 0);
	assert_int_equal(machine_read_disk("/nonexistent", &disk), -ENOENT);
	assert_true(machine_cpu_count() >= 1);
	assert_int_equal(machine_read_hostname(&hostname), 0);
	assert_true(hostname[0] != '\0');
}

static void check_tuned(const char *path, const char *content, const char *expected)
{
	_cleanup_free_ char *profiles = NULL;

	assert_int_equal(fileio_write_volatile(AT_FDCWD, path, content, strlen(content), 0600), 0);
	assert_int_equal(machine_read_tuned_profiles(path, &profiles), 0);
	assert_string_equal(profiles, expected);
}

static void test_tuned_profiles(void **state)
{
	const char *tmp = getenv("TMPDIR");
	_cleanup_free_ char *profiles = NULL, *none = NULL;
	char directory[256], path[300], name[2000];

	(void)state;
	snprintf(directory, sizeof(directory), "%s/machine-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/active_profile", directory);

	assert_int_equal(machine_read_tuned_profiles(path, &profiles), 0);
	assert_string_equal(profiles, "");
	check_tuned(path, "virtual-guest amphora\n", "virtual-guest amphora");
	check_tuned(path, " \n\t \n", "");
	check_tuned(path, "", "");
	check_tuned(path, "a\xff\x01z\n", "a??z");
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(fileio_write_volatile(AT_FDCWD, path, name, strlen(name), 0600), 0);
	free(TAKE_PTR(profiles));
	assert_int_equal(machine_read_tuned_profiles(path, &profiles), 0);
	assert_int_equal(strlen(profiles), 1024);
	/* Something else than a file. */
	assert_int_equal(machine_read_tuned_profiles(directory, &none), 0);
	assert_string_equal(none, "");
	fileio_remove_tree(AT_FDCWD, directory);
}

#define DEV_HEADER                                                                                 \
	"Inter-|   Receive                                                |  Transmit\n"           \
	" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs " \
	"drop fifo colls carrier compressed\n"

static void test_interfaces(void **state)
{
	_cleanup_free_ struct machine_interface *interfaces = NULL;
	size_t n = 0;

	(void)state;
	assert_int_equal(machine_parse_interfaces(DEV_HEADER
				 "    lo:   10  1 0 0 0 0 0 0 20 1 0 0 0 0 0 0\n"
				 "  eth1:36893488147 1 2 3 4 5 6 7 98 9 0 0 0 0 0 0\n"
				 "eth23456789012: 5 1 2 3 4 5 6 7 6 9 0 0 0 0 0 0\n",
				 "eth", &interfaces, &n),
		0);
	assert_int_equal(n, 2);
	assert_string_equal(interfaces[0].name, "eth1");
	assert_int_equal(interfaces[0].received, 36893488147);
	assert_int_equal(interfaces[0].sent, 98);
	assert_string_equal(interfaces[1].name, "eth23456789012");
	assert_int_equal(interfaces[1].sent, 6);
}

static void test_interfaces_refused(void **state)
{
	static const char *const lines[] = {"", ":", "eth1", "eth1:", "eth1: 1 2 3 4 5 6 7 8",
		"eth1 : 1 2 3 4 5 6 7 8 9", "eth1: 1 2 3 4 5 6 7 8 -9",
		"eth1: 1 2 3 4 5 6 7 8 99999999999999999999", "eth0123456789012: 1 2 3 4 5 6 7 8 9",
		"eth\xff: 1 2 3 4 5 6 7 8 9", "eth1: 1 2 3 4\n5 6 7 8 9"};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
		_cleanup_free_ struct machine_interface *interfaces = NULL;
		size_t n = 42;

		assert_int_equal(machine_parse_interfaces(lines[i], "eth", &interfaces, &n), 0);
		assert_int_equal(n, 0);
	}
}

/* In a new namespace nothing was ever sent. */
static bool is_silent(const struct machine_interface *interfaces, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (interfaces[i].received || interfaces[i].sent)
			return false;
	return n >= 1;
}

/* A child that holds a new namespace and says when it has. */
static pid_t start_namespace(int *ret_ready)
{
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		char answer = unshare(CLONE_NEWNET) == 0 ? 'y' : 'n';

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (write(fds[1], &answer, 1) == 1)
			for (;;)
				pause();
		_exit(1);
	}
	assert_true(pid > 0);
	close(fds[1]);
	*ret_ready = fds[0];
	return pid;
}

static void test_namespace(void **state)
{
	_cleanup_free_ struct machine_interface *inside = NULL, *before = NULL, *after = NULL;
	size_t n = 0, n_before = 0, n_after = 0;
	char answer = 'n', path[64];
	int ready, r = -EPERM;
	pid_t pid;

	(void)state;
	assert_int_equal(
		machine_read_interfaces("/run/netns/no-such-namespace", "", &inside, &n), -ENOENT);
	assert_int_equal(machine_read_interfaces(NULL, "", &before, &n_before), 0);

	pid = start_namespace(&ready);
	if (read(ready, &answer, 1) == 1 && answer == 'y') {
		snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
		r = machine_read_interfaces(path, "", &inside, &n);
	}
	close(ready);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (answer != 'y') {
		free(TAKE_PTR(before)); /* skip() jumps */
		print_message("new network namespaces are not allowed here\n");
		skip();
	}
	assert_int_equal(r, 0);
	assert_true(is_silent(inside, n));

	/* We ourselves are where we were. */
	assert_int_equal(machine_read_interfaces(NULL, "", &after, &n_after), 0);
	assert_int_equal(n_after, n_before);
	/* What is no namespace. */
	assert_true(machine_read_interfaces("/dev/null", "", &inside, &n) < 0);
}

#define PARAGRAPH(name, status, version)                                               \
	"Package: " name "\nStatus: " status "\nPriority: optional\nVersion: " version \
	"\nDescription: x\n Version: 9\n .\n\n"

static void check_dpkg(const char *status, const char *keepalived, const char *ipvsadm)
{
	struct package packages[] = {{.name = "keepalived", .version = "old"}, {.name = "ipvsadm"}};

	packages_parse_dpkg(status, packages, ELEMENTSOF(packages));
	assert_string_equal(packages[0].version, keepalived);
	assert_string_equal(packages[1].version, ipvsadm);
}

static void test_dpkg(void **state)
{
	(void)state;
	check_dpkg("", "", "");
	check_dpkg(PARAGRAPH("keepalived-doc", "install ok installed", "3")
			   PARAGRAPH("keepalived", "install ok installed", "1:2.2.7-1+b2")
				   PARAGRAPH("ipvsadm", "hold ok installed", "1:1.31-1+b1"),
		"1:2.2.7-1+b2", "1:1.31-1+b1");
	/* Removed, half-installed, another architecture first. */
	check_dpkg(PARAGRAPH("keepalived", "deinstall ok config-files", "1")
			   PARAGRAPH("ipvsadm", "install ok half-configured", "2"),
		"", "");
	check_dpkg(PARAGRAPH("keepalived", "deinstall ok config-files", "1")
			   PARAGRAPH("keepalived", "install ok installed", "2"),
		"2", "");
	/* Cut off, and the next paragraph's version is not this one's. */
	check_dpkg("Package: keepalived\nStatus: install ok installed", "", "");
	check_dpkg("Package: keepalived\nStatus: install ok installed\n\n"
		   "Package: x\nVersion: 1\n",
		"", "");
	check_dpkg("Package: keepalived\nStatus: install ok installed\nVersion: 1", "1", "");
	check_dpkg(" Package: keepalived\nStatus: install ok installed\nVersion: 1\n", "", "");
	/* No versions. */
	check_dpkg("Package: keepalived\nStatus: install ok installed\nVersion: 1 2\n\n"
		   "Package: ipvsadm\nStatus: install ok installed\nVersion: "
		   "0123456789012345678901234567890123456789012345678901234567890123\n",
		"", "");
}

static void test_rpm(void **state)
{
	struct package packages[] = {{.name = "keepalived", .version = "old"}, {.name = "ipvsadm"}};

	(void)state;
	packages_parse_rpm("keepalived 2.2.8\npackage ipvsadm is not installed\n", packages, 2);
	assert_string_equal(packages[0].version, "2.2.8");
	assert_string_equal(packages[1].version, "");
	packages_parse_rpm(
		"error: ipvsadm 1\nipvsadm\nipvsadmin 3\nipvsadm \nipvsadm 1.31", packages, 2);
	assert_string_equal(packages[0].version, "");
	assert_string_equal(packages[1].version, "1.31");
}

static void test_packages_read(void **state)
{
	struct package packages[PACKAGES_MAX + 1] = {{.name = "no-such-package-anywhere"}};

	(void)state;
	assert_int_equal(packages_read(packages, 1), 0);
	assert_string_equal(packages[0].version, "");
	assert_int_equal(packages_read(packages, ELEMENTSOF(packages)), -EINVAL);
}

static void test_id(void **state)
{
	char id[MACHINE_ID_SIZE] = "", again[MACHINE_ID_SIZE] = "", *raw = NULL;

	(void)state;
	if (machine_read_id(id) < 0) /* a container may have none */
		skip();
	assert_int_equal(machine_read_id(again), 0);
	assert_string_equal(id, again);
	assert_true(text_is_uuid(id));
	/* What identifies the machine elsewhere does not leave it. */
	assert_int_equal(fileio_read(AT_FDCWD, "/etc/machine-id", 64, &raw, NULL), 0);
	assert_memory_not_equal(id, raw, 8);
	free(raw);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_memory_refused),
		cmocka_unit_test(test_cpu),
		cmocka_unit_test(test_cpu_refused),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_readers),
		cmocka_unit_test(test_tuned_profiles),
		cmocka_unit_test(test_interfaces),
		cmocka_unit_test(test_interfaces_refused),
		cmocka_unit_test(test_namespace),
		cmocka_unit_test(test_dpkg),
		cmocka_unit_test(test_rpm),
		cmocka_unit_test(test_packages_read),
		cmocka_unit_test(test_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
