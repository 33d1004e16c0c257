/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/machine/packages.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/machine/scan.h"

#define DPKG_STATUS "/var/lib/dpkg/status"

enum {
	DPKG_STATUS_LIMIT = 64 * 1024 * 1024, /* a full desktop has about 5 MB */
	RPM_TIMEOUT_MS = 5000,
	RPM_OUTPUT_LIMIT = 64 * 1024,
};

/* Copies the rest of a line; "" if it is no version. */
static void copy_version(const char *p, char version[static PACKAGE_VERSION_SIZE])
{
	size_t length = strcspn(p, "\n");

	version[0] = '\0';
	if (length >= PACKAGE_VERSION_SIZE)
		return;
	for (size_t i = 0; i < length; i++)
		if (p[i] <= ' ' || p[i] > '~')
			return;
	memcpy(version, p, length);
	version[length] = '\0';
}

static bool line_ends_with(const char *line, const char *suffix)
{
	size_t length = strcspn(line, "\n"), n = strlen(suffix);

	return length >= n && memcmp(line + length - n, suffix, n) == 0;
}

/* Fields of one paragraph, which ends at an empty line. A package that was removed keeps its
 * version beside "Status: deinstall ok config-files". */
static void read_paragraph(const char *line, char version[static PACKAGE_VERSION_SIZE])
{
	char found[PACKAGE_VERSION_SIZE] = "";
	bool installed = false;

	for (; line && *line && *line != '\n'; line = scan_next_line(line)) {
		const char *value = text_after_prefix(line, "Version: ");

		if (text_after_prefix(line, "Status: "))
			installed = line_ends_with(line, " installed");
		if (value)
			copy_version(value, found);
	}
	if (installed)
		memcpy(version, found, sizeof(found));
}

/* A paragraph begins with its package's name: dpkg writes that field first. The same name may occur
 * once an architecture; the first installed one counts. */
void packages_parse_dpkg(const char *status, struct package *packages, size_t n)
{
	for (size_t i = 0; i < n; i++)
		packages[i].version[0] = '\0';
	for (const char *line = status; line; line = scan_next_line(line)) {
		const char *name = text_after_prefix(line, "Package: ");
		size_t length;

		if (!name)
			continue;
		length = strcspn(name, "\n");
		for (size_t i = 0; i < n; i++)
			if (strlen(packages[i].name) == length &&
				memcmp(name, packages[i].name, length) == 0 &&
				!packages[i].version[0])
				read_paragraph(line, packages[i].version);
	}
}

void packages_parse_rpm(const char *output, struct package *packages, size_t n)
{
	for (size_t i = 0; i < n; i++)
		packages[i].version[0] = '\0';
	for (const char *line = output; line; line = scan_next_line(line))
		for (size_t i = 0; i < n; i++) {
			const char *p = text_after_prefix(line, packages[i].name);

			if (p && *p == ' ' && !packages[i].version[0])
				copy_version(p + 1, packages[i].version);
		}
}

static int ask_rpm(struct package *packages, size_t n)
{
	const char *argv[4 + PACKAGES_MAX + 1] = {
		"rpm", "-q", "--queryformat", "%{NAME} %{VERSION}\\n"};
	_cleanup_(process_result_done) struct process_result result = PROCESS_RESULT_INIT;
	int r;

	for (size_t i = 0; i < n; i++)
		argv[4 + i] = packages[i].name;
	/* Its exit status is the number of packages that are not installed. */
	r = process_run(argv, NULL, RPM_TIMEOUT_MS, RPM_OUTPUT_LIMIT, &result);
	if (r < 0 && r != -ENOENT)
		return r;
	packages_parse_rpm(r < 0 || !result.output ? "" : result.output, packages, n);
	return 0;
}

int packages_read(struct package *packages, size_t n)
{
	_cleanup_free_ char *status = NULL;
	int r;

	if (n > PACKAGES_MAX)
		return -EINVAL;
	r = fileio_read(AT_FDCWD, DPKG_STATUS, DPKG_STATUS_LIMIT, &status, NULL);
	if (r == -ENOENT)
		return ask_rpm(packages, n);
	if (r < 0)
		return r;
	packages_parse_dpkg(status, packages, n);
	return 0;
}
