/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Handlers of the Amphora API 1.0, which Octavia's amphora driver speaks. Statuses and bodies
 * are those of the Python agent (octavia/amphorae/backends/agent/api_server/).
 */

#include "agent/agent.h"
#include "api/request.h"
#include "api/response.h"

/* haproxy.c */
int amphora_put_haproxy(const struct request *request, struct response *response, struct error *err);
int amphora_get_haproxy(const struct request *request, struct response *response, struct error *err);
int amphora_put_action(const struct request *request, struct response *response, struct error *err);
int amphora_delete_listener(const struct request *request, struct response *response, struct error *err);

/* certificates.c */
int amphora_put_certificate(const struct request *request, struct response *response, struct error *err);
int amphora_get_certificate(const struct request *request, struct response *response, struct error *err);
int amphora_delete_certificate(const struct request *request, struct response *response, struct error *err);
int amphora_remove_certificates(const struct agent *agent, const char *lb_id, struct error *err);

/* keepalived.c: VRRP, and listeners of UDP and SCTP */
int amphora_put_vrrp(const struct request *request, struct response *response, struct error *err);
int amphora_put_vrrp_action(const struct request *request, struct response *response, struct error *err);
int amphora_put_lvs(const struct request *request, struct response *response, struct error *err);
int amphora_get_lvs(const struct request *request, struct response *response, struct error *err);
/* The routes of load balancers take their ids, too. */
bool amphora_is_lvs(const struct request *request, const char *id);
int amphora_put_lvs_action(const struct request *request, struct response *response, struct error *err);
int amphora_delete_lvs(const struct request *request, struct response *response, struct error *err);

/* agent.c: the agent's own configuration and certificate */
int amphora_put_config(const struct request *request, struct response *response, struct error *err);
int amphora_put_server_certificate(const struct request *request, struct response *response, struct error *err);

/* plug.c: the controller's ports */
int amphora_post_vip(const struct request *request, struct response *response, struct error *err);
int amphora_post_network(const struct request *request, struct response *response, struct error *err);
int amphora_get_interface(const struct request *request, struct response *response, struct error *err);
/* rules.c */
int amphora_put_rules(const struct request *request, struct response *response, struct error *err);

/* info.c */
int amphora_get_info(const struct request *request, struct response *response, struct error *err);
int amphora_get_details(const struct request *request, struct response *response, struct error *err);
int amphora_get_listeners(const struct request *request, struct response *response, struct error *err);
