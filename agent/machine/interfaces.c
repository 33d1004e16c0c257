/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/machine/interfaces.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/text.h"
#include "agent/machine/scan.h"

/* Of the calling thread: its namespace may differ from the process's. */
#define DEVICES_FILE "/proc/thread-self/net/dev"

enum {
	DEVICES_LIMIT = 4 * 1024 * 1024, /* a line of 130 bytes an interface */
	READER_STACK_BYTES = 256 * 1024,
	SENT_COLUMN = 8, /* received: bytes packets errs drop fifo frame compressed multicast; then
			    sent: bytes ... */
};

/* "  eth0: 1234 5 0 …"; a name holds neither blank nor colon (dev_valid_name() in the kernel). */
static bool parse_line(const char *line, struct machine_interface *ret)
{
	struct machine_interface found = {0};
	const char *p = scan_blanks(line);
	size_t length = strcspn(p, ": \t\n");

	if (p[length] != ':' || length == 0 || length >= sizeof(found.name))
		return false;
	for (size_t i = 0; i < length; i++)
		if (p[i] <= ' ' || p[i] > '~')
			return false;
	memcpy(found.name, p, length);
	p += length + 1;
	for (size_t column = 0; column <= SENT_COLUMN; column++) {
		uint64_t value;

		p = scan_blanks(p);
		if (scan_number(&p, &value) < 0)
			return false;
		if (column == 0)
			found.received = value;
		found.sent = value;
	}
	*ret = found;
	return true;
}

int machine_parse_interfaces(
	const char *text, const char *prefix, struct machine_interface **ret, size_t *ret_n)
{
	_cleanup_free_ struct machine_interface *interfaces = NULL;
	size_t n = 0, n_lines = 1;

	for (const char *p = text; (p = strchr(p, '\n')); p++)
		n_lines++;
	interfaces = calloc(n_lines, sizeof(*interfaces));
	if (!interfaces)
		return -ENOMEM;
	for (const char *line = text; line; line = scan_next_line(line))
		if (parse_line(line, &interfaces[n]) &&
			text_after_prefix(interfaces[n].name, prefix))
			n++;
	*ret = TAKE_PTR(interfaces);
	*ret_n = n;
	return 0;
}

struct reading {
	int namespace_fd;
	int result;
	char *text;
};

/* The namespace is the thread's alone (setns(2)) and goes with it. */
static void *read_inside(void *argument)
{
	struct reading *reading = argument;

	reading->result = setns(reading->namespace_fd, CLONE_NEWNET) < 0 ? -errno : 0;
	if (reading->result == 0)
		reading->result =
			fileio_read(AT_FDCWD, DEVICES_FILE, DEVICES_LIMIT, &reading->text, NULL);
	return NULL;
}

/* Signals are for the threads that expect them: none is delivered to this one. */
static int run_thread(void *(*run)(void *), void *argument)
{
	pthread_attr_t attributes;
	sigset_t all, saved;
	pthread_t thread;
	int r;

	r = pthread_attr_init(&attributes);
	if (r != 0)
		return -r;
	pthread_attr_setstacksize(&attributes, READER_STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &saved);
	r = pthread_create(&thread, &attributes, run, argument);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	pthread_attr_destroy(&attributes);
	if (r != 0)
		return -r;
	pthread_join(thread, NULL);
	return 0;
}

static int read_in_namespace(const char *namespace_path, char **ret)
{
	_cleanup_close_ int fd = -1;
	struct reading reading = {.result = -EIO};
	int r;

	fd = open(namespace_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	reading.namespace_fd = fd;
	r = run_thread(read_inside, &reading);
	if (r == 0)
		r = reading.result;
	if (r < 0)
		return r;
	*ret = reading.text;
	return 0;
}

int machine_read_interfaces(const char *namespace_path, const char *prefix,
	struct machine_interface **ret, size_t *ret_n)
{
	_cleanup_free_ char *text = NULL;
	int r;

	if (namespace_path)
		r = read_in_namespace(namespace_path, &text);
	else
		r = fileio_read(AT_FDCWD, DEVICES_FILE, DEVICES_LIMIT, &text, NULL);
	return r < 0 ? r : machine_parse_interfaces(text, prefix, ret, ret_n);
}
