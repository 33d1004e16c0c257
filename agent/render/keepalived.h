/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * From a listener of UDP or SCTP to the text of its keepalived configuration (LVS): decisions here, layout in
 * templates/keepalived-lvs.conf.mustache. The comments in it name the objects; lvs_config.h reads them.
 *
 * Source: octavia/common/jinja/lvs (what each object means), keepalived.conf(5).
 */

#include <stddef.h>

#include "agent/base/error.h"
#include "agent/definition/model.h"
#include "agent/render/template.h"

#define RENDER_LVS_TEMPLATE "keepalived-lvs.conf"

struct render_lvs_settings {
	const char *base_path;           /* lvs/check/udp_check.sh is below it */
	const char *network_namespace;   /* NULL: keepalived runs in the machine's own */
	const char *default_vip_address;
};

/* Whether keepalived has to run for it: not for one that is disabled, or of a load balancer that is. */
bool render_lvs_runs(const struct load_balancer *lb, const struct listener *listener);

/* ERROR_INVALID with a JSON Pointer into the stored document for a VIP that IPVS cannot have. */
int render_lvs(const struct template *template, const struct load_balancer *lb, const struct listener *listener,
	const struct render_lvs_settings *settings, char **ret_text, size_t *ret_length, struct error *err);
