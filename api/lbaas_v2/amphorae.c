/* SPDX-License-Identifier: Apache-2.0 */
#include "api/lbaas_v2/handlers.h"

#include <fcntl.h>
#include <gnutls/x509.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/text.h"
#include "agent/definition/limits.h"
#include "agent/definition/uuid.h"
#include "agent/machine/facts.h"
#include "agent/targets.h"
#include "api/lbaas_v2/listing.h"

/*
 * /v2/octavia/amphorae: the amphora that this agent runs on. Its fields are those of
 * octavia/api/v2/types/amphora.py; what only a controller knows is null.
 */

/* The controller's id of us, or one that this machine keeps; in an image that has no machine-id(5) yet, of its
 * host name. */
static int read_id(const struct request *request, char ret[static UUID_SIZE], struct error *err)
{
	_cleanup_free_ char *hostname = NULL;
	int r;

	if (uuid_read(request->agent->config->amphora_id, ret) == 0 || machine_read_id(ret) == 0)
		return 0;
	r = machine_read_hostname(&hostname);
	if (r == 0)
		r = uuid_derive(UUID_NAMESPACE_DNS, hostname, ret);
	return r < 0 ? error_set_errno(err, r, "the id of this machine") : 0;
}

/* The end of this agent's certificate; null without one. */
static json_t *expiration(const char *file)
{
	_cleanup_free_ char *pem = NULL;
	gnutls_x509_crt_t certificate;
	time_t value = -1;
	size_t length;

	if (!file[0] || fileio_read(AT_FDCWD, file, LIMIT_CONFIG_BYTES, &pem, &length) < 0)
		return json_null();
	if (gnutls_x509_crt_init(&certificate) == 0) {
		gnutls_datum_t datum = {(unsigned char *)pem, (unsigned)length};

		if (gnutls_x509_crt_import(certificate, &datum, GNUTLS_X509_FMT_PEM) == 0)
			value = gnutls_x509_crt_get_expiration_time(certificate);
		gnutls_x509_crt_deinit(certificate);
	}
	explicit_bzero(pem, length); /* the key stands in the same file */
	return lbaas_time_json(value);
}

/* The load balancer that an amphora has under Octavia. On its own it may have several, and then none stands for
 * all. */
static int add_load_balancer(const struct request *request, json_t *amphora)
{
	_cleanup_(registry_list_freep) struct instance **instances = NULL;
	_cleanup_stored_ struct stored_definition stored = STORED_DEFINITION_INIT;
	const char *vip = NULL;
	bool one;

	if (registry_list(request->agent->registry, &instances) < 0)
		return -ENOMEM;
	one = instances[0] && !instances[1];
	if (one && instance_current(instances[0], &stored, NULL) == 0)
		vip = stored.lb->vip_address ? stored.lb->vip_address : request->agent->config->default_vip_address;
	if (json_object_set_new(amphora, "loadbalancer_id", one ? json_string(instances[0]->id) : json_null()) < 0 ||
		json_object_set_new(amphora, "ha_ip", vip ? json_string(vip) : json_null()) < 0 ||
		json_object_set_new(amphora, "status", json_string(instances[0] ? "ALLOCATED" : "READY")) < 0)
		return -ENOMEM;
	return 0;
}

static int amphora_json(const struct request *request, json_t **ret, struct error *err)
{
	static const char *const unknown[] = {"compute_id", "lb_network_ip", "vrrp_ip", "vrrp_port_id", "ha_port_id",
		"vrrp_interface", "vrrp_id", "vrrp_priority", "cached_zone", "created_at", "updated_at", "image_id",
		"compute_flavor"};
	const struct config *config = request->agent->config;
	bool single = streq(config->loadbalancer_topology, "SINGLE");
	json_auto_t *amphora = NULL;
	char id[UUID_SIZE];
	int r;

	r = read_id(request, id, err);
	if (r < 0)
		return r;
	amphora = json_pack("{s:s, s:s?, s:o, s:b}", "id", id, "role", single ? "STANDALONE" : NULL, "cert_expiration",
		expiration(config->agent_server_cert), "cert_busy", 0);
	for (size_t i = 0; r == 0 && i < ELEMENTSOF(unknown); i++)
		r = json_object_set_new(amphora, unknown[i], json_null());
	if (r < 0 || add_load_balancer(request, amphora) < 0)
		return error_set_errno(err, -ENOMEM, "amphora");
	*ret = TAKE_PTR(amphora);
	return 0;
}

/* Whether the path names this amphora. */
static int check_id(const struct request *request, char ret[static UUID_SIZE], struct error *err)
{
	int r;

	r = read_id(request, ret, err);
	if (r == 0 && !streq(ret, request->parameters[0]))
		r = error_set(err, ERROR_NOT_FOUND, NULL, "Amphora %s not found.", request->parameters[0]);
	return r;
}

int lbaas_list_amphorae(const struct request *request, struct response *response, struct error *err)
{
	json_auto_t *list = json_array();
	json_t *amphora;
	int r;

	r = amphora_json(request, &amphora, err);
	if (r < 0)
		return r;
	if (json_array_append_new(list, amphora) < 0)
		return error_set_errno(err, -ENOMEM, "amphorae");
	return listing_answer(request, "amphorae", TAKE_PTR(list), response, err);
}

int lbaas_get_amphora(const struct request *request, struct response *response, struct error *err)
{
	char id[UUID_SIZE];
	json_t *amphora;
	int r;

	r = check_id(request, id, err);
	if (r == 0)
		r = amphora_json(request, &amphora, err);
	return r < 0 ? r : listing_answer_one(request, "amphora", amphora, response, err);
}

static int add_stats(const struct request *request, struct instance *instance, const char *amphora_id, json_t *list,
	struct error *err)
{
	_cleanup_snapshot_ struct health_snapshot *snapshot = NULL;
	int r;

	r = targets_snapshot(request->agent, instance, 0, &snapshot, err);
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < snapshot->n_listeners; i++) {
		const struct listener_health *listener = &snapshot->listeners[i];
		json_t *stats = lbaas_totals_json(&listener->totals, listener->current_connections, amphora_id);

		if (json_object_set_new(stats, "loadbalancer_id", json_string(instance->id)) < 0 ||
			json_object_set_new(stats, "listener_id", json_string(listener->id)) < 0 ||
			json_array_append(list, stats) < 0)
			r = error_set_errno(err, -ENOMEM, "statistics");
		json_decref(stats);
	}
	return r;
}

int lbaas_get_amphora_stats(const struct request *request, struct response *response, struct error *err)
{
	_cleanup_(registry_list_freep) struct instance **instances = NULL;
	json_auto_t *list = json_array();
	char id[UUID_SIZE];
	json_t *body;
	int r;

	r = check_id(request, id, err);
	if (r == 0 && registry_list(request->agent->registry, &instances) < 0)
		r = error_set_errno(err, -ENOMEM, "statistics");
	for (struct instance **instance = instances; r == 0 && *instance; instance++)
		r = add_stats(request, *instance, id, list, err);
	if (r < 0)
		return r;
	body = json_pack("{s:O}", "amphora_stats", list);
	return body ? response_set_json(response, 200, body) : error_set_errno(err, -ENOMEM, "statistics");
}

/* ProviderNotImplementedError of octavia/common/exceptions.py. */
int lbaas_refuse_amphora_change(const struct request *request, struct response *response _unused_, struct error *err)
{
	char id[UUID_SIZE];
	int r;

	r = check_id(request, id, err);
	return r < 0 ? r
		     : error_set(err, ERROR_UNSUPPORTED, NULL,
			       "Provider 'amphorad' does not support a requested action: an amphora does not replace or "
			       "delete itself, and its configuration is in amphorad.conf");
}
