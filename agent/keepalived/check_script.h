/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The scripts by which keepalived's VRRP finds out whether this amphora can serve. Configurations of Octavia name
 * vrrp/check_script.sh; that runs all of vrrp/check_scripts/.
 *
 * Source: octavia/amphorae/backends/agent/api_server/util.py (vrrp_check_script_update()), its templates
 * keepalived_check_script.conf.j2 and keepalived_lvs_check_script.sh.j2.
 */

#include <stdbool.h>

#include "agent/base/error.h"

/* vrrp/check_script.sh, as it is written once. "vrrp_dir" is absolute. */
int check_script_install(const char *vrrp_dir, struct error *err);
/* Was it? Then VRRP is in use. */
bool check_script_is_installed(const char *vrrp_dir);

/* haproxy_check_script.sh: asks every HAProxy. Without any it fails, or is left out if there are LVS listeners. "sockets"
 * ends in NULL; "any" tells whether there are load balancers, even though all of them may be stopped. */
int check_script_write_haproxy(const char *vrrp_dir, char *const *sockets, bool any, bool has_lvs, struct error *err);

/* lvs_udp_check.sh: fails when the keepalived of an LVS listener that was started does not run. */
int check_script_write_lvs(const char *vrrp_dir, const char *lvs_dir, struct error *err);
