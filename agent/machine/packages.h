/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Versions of installed packages.
 *
 * An Octavia controller is used to the package manager's words ("1:2.2.7-1+b2" of dpkg, "2.2.8" of
 * rpm), and asking the programs themselves has a price: ipvsadm, whatever its options, wants IP
 * Virtual Server and loads the kernel's module for it first, and keepalived takes 20 ms to say its
 * version. So dpkg's database is read directly, which is a text file (deb-control(5),
 * /var/lib/dpkg/status in dpkg(1)), and where there is none, rpm is run.
 */

#include <stddef.h>

#include "agent/base/cleanup.h"

enum { PACKAGE_VERSION_SIZE = 64 };

struct package {
	const char *name;
	char version[PACKAGE_VERSION_SIZE]; /* "" if it is not installed */
};

/* Each fills in the versions of all that it finds in NUL-terminated text, and empties the others.
 * What is longer than any version or not printable ASCII counts as not found. */
void packages_parse_dpkg(const char *status, struct package *packages, size_t n);
/* Lines of "NAME VERSION", among messages about what is not installed. */
void packages_parse_rpm(const char *output, struct package *packages, size_t n);

/* Asks this machine. Without a package manager nothing is found; that is no error. At most
 * PACKAGES_MAX. */
enum { PACKAGES_MAX = 8 };
int packages_read(struct package *packages, size_t n);
