/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/machine/interfaces.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/namespace.h"
#include "agent/base/text.h"
#include "agent/machine/scan.h"

/* Of the calling thread: its namespace may differ from the process's. */
#define DEVICES_FILE "/proc/thread-self/net/dev"

enum {
	DEVICES_LIMIT = 4 * 1024 * 1024, /* a line of 130 bytes an interface */
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

static int read_devices(void *userdata)
{
	return fileio_read(AT_FDCWD, DEVICES_FILE, DEVICES_LIMIT, userdata, NULL);
}

static int read_in_namespace(const char *namespace_path, char **ret)
{
	_cleanup_close_ int fd = -1;

	fd = open(namespace_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	return fd < 0 ? -errno : namespace_run(fd, read_devices, ret);
}

int machine_read_interfaces(const char *namespace_path, const char *prefix,
	struct machine_interface **ret, size_t *ret_n)
{
	_cleanup_free_ char *text = NULL;
	int r;

	r = namespace_path ? read_in_namespace(namespace_path, &text) : read_devices(&text);
	return r < 0 ? r : machine_parse_interfaces(text, prefix, ret, ret_n);
}
