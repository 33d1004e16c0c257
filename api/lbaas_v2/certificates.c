/* SPDX-License-Identifier: Apache-2.0 */
#include "api/lbaas_v2/handlers.h"

#include <time.h>

#include "agent/base/log.h"
#include "agent/base/text.h"
#include "agent/instance/certificates.h"
#include "api/lbaas_v2/listing.h"

/*
 * Certificates of definitions, by name. Nothing here reads a key: the store gives away what a certificate says of itself.
 */

json_t *lbaas_time_json(int64_t time_s)
{
	time_t value = (time_t)time_s;
	char text[sizeof("-2147481748-01-31T23:59:59")];
	struct tm tm;

	if (time_s <= 0 || !gmtime_r(&value, &tm) || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		return json_null();
	return json_string(text);
}

static json_t *strings(char *const *list)
{
	json_t *array = json_array();

	STRV_FOREACH(string, list)
		json_array_append_new(array, json_string(*string));
	return array;
}

static json_t *user_json(const struct certificate_user *user)
{
	json_t *object = json_pack("{s:s, s:s}", "loadbalancer_id", user->lb_id, "field", user->field);

	if (!object || json_object_set_new(object, streq(user->object, "pool") ? "pool_id" : "listener_id",
			       json_string(user->object_id)) < 0) {
		json_decref(object);
		return NULL;
	}
	return object;
}

/* Name of a certificate -> list of its users. */
static int users_by_name(const struct certificate_users *users, json_t **ret)
{
	json_auto_t *map = json_object();

	for (size_t i = 0; i < users->n; i++) {
		json_t *list = json_object_get(map, users->items[i].name);

		if (!list) {
			list = json_array();
			if (json_object_set_new(map, users->items[i].name, list) < 0)
				return -ENOMEM;
		}
		if (json_array_append_new(list, user_json(&users->items[i])) < 0)
			return -ENOMEM;
	}
	if (!map)
		return -ENOMEM;
	*ret = TAKE_PTR(map);
	return 0;
}

static json_t *certificate_json(const struct certificate_info *info, const json_t *users)
{
	json_t *used_by = json_object_get(users, info->name);

	return json_pack("{s:s, s:s, s:s?, s:s?, s:o, s:s?, s:s?, s:o, s:o, s:s, s:I, s:o}", "name", info->name, "type",
		certificate_kind_names[info->kind], "subject", info->subject, "issuer", info->issuer, "dns_names",
		strings(info->dns_names), "key_type", info->key_type, "serial", info->serial, "not_before",
		lbaas_time_json(info->not_before_s), "not_after", lbaas_time_json(info->not_after_s), "sha256", info->sha256, "count",
		(json_int_t)info->n_certificates, "used_by", used_by ? json_incref(used_by) : json_array());
}

static int find_users(const struct request *request, const char *name, json_t **ret, struct error *err)
{
	_cleanup_certificate_users_ struct certificate_users users = CERTIFICATE_USERS_INIT;
	int r;

	r = registry_certificate_users(request->agent->registry, name, &users, err);
	if (r < 0)
		return r;
	r = users_by_name(&users, ret);
	return r < 0 ? error_set_errno(err, r, "certificates") : 0;
}

static int describe(const struct request *request, const char *name, const json_t *users, json_t **ret, struct error *err)
{
	_cleanup_certificate_info_ struct certificate_info info = CERTIFICATE_INFO_INIT;
	int r;

	r = certificate_store_info(request->agent->certificates, name, &info, err);
	if (r < 0)
		return r;
	*ret = certificate_json(&info, users);
	return *ret ? 0 : error_set_errno(err, -ENOMEM, "certificate");
}

static int describe_one(const struct request *request, json_t **ret, struct error *err)
{
	const char *name = request->parameters[0];
	json_auto_t *users = NULL;
	int r;

	r = find_users(request, name, &users, err);
	return r < 0 ? r : describe(request, name, users, ret, err);
}

int lbaas_list_certificates(const struct request *request, struct response *response, struct error *err)
{
	json_auto_t *list = json_array(), *users = NULL;
	_cleanup_strv_ char **names = NULL;
	int r;

	r = certificate_store_list(request->agent->certificates, &names, err);
	if (r == 0)
		r = find_users(request, NULL, &users, err);
	if (r < 0)
		return r;
	STRV_FOREACH(name, names) {
		_cleanup_error_ struct error problem = ERROR_INIT;
		json_t *certificate;

		r = describe(request, *name, users, &certificate, &problem);
		/* One that was removed meanwhile is not there, and one that is damaged hides no others. */
		if (r < 0 && problem.code != ERROR_NOT_FOUND)
			log_error("%s", error_message(&problem));
		if (r == 0 && json_array_append_new(list, certificate) < 0)
			return error_set_errno(err, -ENOMEM, "certificates");
	}
	return listing_answer(request, "certificates", TAKE_PTR(list), response, err);
}

int lbaas_get_certificate(const struct request *request, struct response *response, struct error *err)
{
	json_t *certificate;
	int r;

	r = describe_one(request, &certificate, err);
	return r < 0 ? r : listing_answer_one(request, "certificate", certificate, response, err);
}

static json_t *applied_json(const struct certificate_change *change)
{
	json_t *list = json_array();

	for (size_t i = 0; i < change->n_applied; i++) {
		const struct certificate_applied *applied = &change->applied[i];
		json_t *item = json_pack("{s:s, s:s, s:o, s:I, s:s?}", "id", applied->lb_id, "action",
			plan_action_name(applied->action), "reasons", strings(applied->reasons), "duration_ms",
			(json_int_t)applied->duration_ms, "trouble", applied->trouble);

		if (json_array_append_new(list, item) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

int lbaas_put_certificate(const struct request *request, struct response *response, struct error *err)
{
	_cleanup_certificate_change_ struct certificate_change change = CERTIFICATE_CHANGE_INIT;
	json_t *certificate, *body;
	int r;

	r = registry_put_certificate(request->agent->registry, request->parameters[0], request->body, request->body_length,
		&change, err);
	if (r == 0)
		r = describe_one(request, &certificate, err);
	if (r < 0)
		return r;
	body = json_pack("{s:o, s:{s:s, s:I, s:o}}", "certificate", certificate, "apply", "action",
		plan_action_name(change.action), "duration_ms", (json_int_t)change.duration_ms, "loadbalancers",
		applied_json(&change));
	if (!body || response_add_header(response, "Amphorad-Apply", "%s", plan_action_name(change.action)) < 0) {
		json_decref(body);
		return error_set_errno(err, -ENOMEM, "reply");
	}
	return response_set_json(response, change.created ? 201 : 200, body);
}

int lbaas_delete_certificate(const struct request *request, struct response *response, struct error *err)
{
	int r = registry_delete_certificate(request->agent->registry, request->parameters[0], err);

	if (r < 0)
		return r;
	response->status = 204;
	return response_add_header(response, "Amphorad-Apply", "none") < 0 ? error_set_errno(err, -ENOMEM, "reply") : 0;
}
