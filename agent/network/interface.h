/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What an interface of the namespace has to be, and the files that remember it over a reboot: one NAME.json each, in the
 * format of Octavia's agent (octavia/amphorae/backends/utils/interface_file.py, 10.0.0 and later), so that the files of
 * one are read by the other.
 */

#include <jansson.h>
#include <net/if.h>

#include "agent/base/error.h"
#include "agent/network/route.h"

enum interface_type {
	INTERFACE_VIP,
	INTERFACE_BACKEND,
	INTERFACE_LOOPBACK,
};

struct interface_address {
	struct ip_network network;
	bool is_ours; /* false: keepalived sets it when this amphora is the master */
};

struct interface {
	char name[IF_NAMESIZE];
	enum interface_type type;
	unsigned mtu; /* 0: stays as it is */
	bool is_sriov;
	bool wants_dhcp;
	bool wants_autoconfiguration; /* IPv6, by router advertisements */
	struct interface_address *addresses; /* owned, as all that follow */
	size_t n_addresses;
	struct ip_route *routes;
	size_t n_routes;
	struct ip_rule *rules;
	size_t n_rules;
	char **up_commands; /* run without a shell, split at blanks */
	char **down_commands;
};

enum {
	INTERFACE_MAX_ITEMS = 4096, /* addresses, routes, rules, commands: each */
	INTERFACE_FILE_LIMIT = 4 * 1024 * 1024,
};

/* 1 to 15 printable characters without blank, '/' and ':', and not "." or "..": what the kernel takes, and a file name. */
bool interface_name_is_good(const char *name);

/* ERROR_INVALID with a JSON Pointer. */
int interface_parse(const json_t *json, struct interface **ret, struct error *err);
void interface_free(struct interface *interface);
DEFINE_CLEANUP(struct interface *, interface_free);
#define _cleanup_interface_ _cleanup_(interface_freep)

/* The file's name is of no account, the one inside counts. */
int interface_read(int folder_fd, const char *file, struct interface **ret, struct error *err);
/* Writes NAME.json, durably, by the name inside. */
int interface_write(int folder_fd, const json_t *json, struct error *err);

/* The names of the files, sorted; NULL-terminated, free with strv_free(). */
int interface_list_files(int folder_fd, char ***ret);
