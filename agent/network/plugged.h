/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The file "plugged_interfaces": which port is which interface of the namespace, "MAC NAME" a line. After a reboot the
 * ports are found by it.
 */

#include "agent/network/interface.h"

struct plugged {
	uint8_t mac[MAC_LENGTH];
	char name[IF_NAMESIZE];
};

/* What is no such line is passed over. The caller frees. */
int plugged_parse(const char *text, struct plugged **ret, size_t *ret_n);
/* None where there is no file. */
int plugged_read(int folder_fd, struct plugged **ret, size_t *ret_n, struct error *err);
/* Adds a port, durably, and drops what was said of that port and of that name before. */
int plugged_add(int folder_fd, const uint8_t mac[static MAC_LENGTH], const char *name, struct error *err);
