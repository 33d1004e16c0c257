/* SPDX-License-Identifier: Apache-2.0 */
#include "api/lbaas_v2/handlers.h"

#include <inttypes.h>

#include "agent/base/json_write.h"
#include "agent/base/text.h"
#include "agent/targets.h"

/* What was: the revisions of a definition, and back to one of them. And what is just now. */

static int append_revision(json_t *list, const struct stored_definition *stored, int64_t current)
{
	size_t n_members = 0;

	for (size_t i = 0; i < stored->lb->n_pools; i++)
		n_members += stored->lb->pools[i].n_members;
	return json_array_append_new(list,
		json_pack("{s:I, s:s, s:b, s:I, s:I, s:I}", "revision", (json_int_t)stored->revision, "updated_at",
			stored->updated_at, "current", stored->revision == current, "listeners",
			(json_int_t)stored->lb->n_listeners, "pools", (json_int_t)stored->lb->n_pools, "members",
			(json_int_t)n_members));
}

int lbaas_list_revisions(const struct request *request, struct response *response, struct error *err)
{
	_cleanup_found_ struct found_load_balancer found = {0};
	_cleanup_free_ int64_t *revisions = NULL;
	json_auto_t *list = json_array();
	json_t *body;
	size_t n = 0;
	int r;

	r = lbaas_find(request, &found, err);
	if (r < 0)
		return r;
	r = store_revisions(found.instance->dir_fd, &revisions, &n);
	if (r < 0)
		return error_set_errno(err, r, "revisions");
	for (size_t i = 0; i < n; i++) {
		_cleanup_stored_ struct stored_definition stored = STORED_DEFINITION_INIT;

		/* One that was dropped meanwhile, or cannot be read, is none to go back to. */
		if (store_read_revision(found.instance->dir_fd, found.instance->id, revisions[i], &stored, NULL) == 0 &&
			append_revision(list, &stored, found.stored.revision) < 0)
			return error_set_errno(err, -ENOMEM, "revisions");
	}
	body = json_pack("{s:O}", "revisions", list);
	return body ? response_set_json(response, 200, body) : error_set_errno(err, -ENOMEM, "revisions");
}

int lbaas_get_revision(const struct request *request, struct response *response, struct error *err)
{
	_cleanup_stored_ struct stored_definition stored = STORED_DEFINITION_INIT;
	_cleanup_found_ struct found_load_balancer found = {0};
	_cleanup_text_ struct text text = TEXT_INIT;
	int64_t revision;
	int r;

	r = lbaas_find(request, &found, err);
	if (r < 0)
		return r;
	if (text_to_int64(request->parameters[1], &revision) < 0 || revision < 1)
		return error_set(err, ERROR_NOT_FOUND, NULL, "There is no revision %s.", request->parameters[1]);
	r = store_read_revision(found.instance->dir_fd, found.instance->id, revision, &stored, err);
	if (r < 0)
		return r;
	text_append_char(&text, '{');
	definition_append(stored.lb, DEFINITION_SHOWN, &text);
	text_printf(&text, ",\"revision\":%lld,\"updated_at\":", (long long)revision);
	json_write_string(&text, stored.updated_at);
	text_append_char(&text, '}');
	if (response_set_text(response, 200, "application/json", &text) < 0)
		return error_set_errno(err, -ENOMEM, "definition");
	return 0;
}

/* {"revision": 7}; *ret is 0 for nothing or {}. */
static int parse_rollback(const struct request *request, int64_t *ret, struct error *err)
{
	json_auto_t *body = NULL;
	json_t *revision;

	*ret = 0;
	if (request->body_length == 0)
		return 0;
	body = json_loadb(request->body, request->body_length, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(body))
		return error_set(err, ERROR_INVALID, NULL, "the body must be {\"revision\": number}, or be left out");
	revision = json_object_get(body, "revision");
	if (json_object_size(body) != (revision ? 1 : 0))
		return error_set(err, ERROR_INVALID, NULL, "the body has no other field than \"revision\"");
	if (revision && (!json_is_integer(revision) || json_integer_value(revision) < 1))
		return error_set(err, ERROR_INVALID, "/revision", "must be a number from 1");
	*ret = json_integer_value(revision);
	return 0;
}

/* The newest one before that in force. */
static int find_previous(const struct found_load_balancer *found, int64_t *ret, struct error *err)
{
	_cleanup_free_ int64_t *revisions = NULL;
	size_t n = 0;
	int r = store_revisions(found->instance->dir_fd, &revisions, &n);

	if (r < 0)
		return error_set_errno(err, r, "revisions");
	for (size_t i = 0; i < n; i++)
		if (revisions[i] < found->stored.revision) {
			*ret = revisions[i];
			return 0;
		}
	return error_set(err, ERROR_CONFLICT, NULL, "Revision %" PRId64 " is the first one: there is none before it.",
		found->stored.revision);
}

int lbaas_post_rollback(const struct request *request, struct response *response, struct error *err)
{
	_cleanup_apply_result_ struct apply_result result = APPLY_RESULT_INIT;
	_cleanup_stored_ struct stored_definition stored = STORED_DEFINITION_INIT;
	_cleanup_found_ struct found_load_balancer found = {0};
	struct apply_options options;
	int64_t revision;
	int r;

	r = lbaas_find(request, &found, err);
	if (r == 0)
		r = lbaas_apply_options(request, &options, err);
	if (r == 0)
		r = parse_rollback(request, &revision, err);
	if (r == 0 && revision == 0) {
		r = find_previous(&found, &revision, err);
		/* "The one before" is meant of what was seen; a change that comes in between is another matter. */
		if (options.if_match < 0)
			options.if_match = found.stored.revision;
	}
	if (r == 0)
		r = store_read_revision(found.instance->dir_fd, found.instance->id, revision, &stored, err);
	if (r == 0)
		r = registry_apply(request->agent->registry, stored.lb, &options, &result, err);
	if (r < 0)
		return r;
	return lbaas_answer_apply(&result, options.dry_run, response, err);
}

int lbaas_get_activity(const struct request *request, struct response *response, struct error *err)
{
	_cleanup_instance_ struct instance *instance = NULL;
	json_t *activity = NULL, *body;
	int r;

	r = registry_get(request->agent->registry, request->parameters[0], &instance, err);
	if (r == 0)
		r = targets_activity(request->agent, instance, &activity, err);
	if (r < 0)
		return r;
	body = json_pack("{s:o}", "activity", activity);
	return body ? response_set_json(response, 200, body) : error_set_errno(err, -ENOMEM, "activity");
}
