/* SPDX-License-Identifier: Apache-2.0 */

/* A load balancer as a tree: copies, comparisons, finding, adding, removing, times; and the changes made of these. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "agent/base/text.h"
#include "agent/definition/edit.h"
#include "tests/unit/documents.h"
#include "tests/unit/quotes.h"

#define ID(n) "0000000" #n "-0000-4000-8000-000000000000"
#define EARLY "2026-01-01T00:00:00"
#define LATER "2026-01-02T00:00:00"
#define LATEST "2026-01-03T00:00:00"

/* One of each kind, two of what stands in lists. */
static const char site[] =
	"'name':'site','tags':['a'],'listeners':["
	"{'id':'" ID(1) "','protocol':'HTTP','protocol_port':80,'default_pool_id':'" ID(3) "','allowed_cidrs':['10.0.0.0/8'],"
	"'insert_headers':{'X-Forwarded-For':'true'},'l7policies':["
	"{'id':'" ID(4) "','action':'REDIRECT_TO_POOL','redirect_pool_id':'" ID(7) "','rules':[{'id':'" ID(5) "'," RULE "}]},"
	"{'id':'" ID(6) "','action':'REJECT'}]},"
	"{'id':'" ID(2) "','protocol':'TCP','protocol_port':81}],'pools':["
	"{'id':'" ID(3) "'," POOL ",'session_persistence':{'type':'SOURCE_IP'},"
	"'healthmonitor':{'id':'" ID(8) "','type':'TCP'," MONITOR "},"
	"'members':[{'id':'" ID(9) "'," MEMBER ",'tags':['x']},{'id':'" ID_A "','address':'192.0.2.2','protocol_port':80}]},"
	"{'id':'" ID(7) "'," POOL "}]";

static const struct {
	enum tree_kind kind;
	const char *id, *parent_id, *pointer;
} objects[] = {
	{TREE_LOAD_BALANCER, LB_ID, NULL, "/loadbalancer"},
	{TREE_LISTENER, ID(1), LB_ID, "/loadbalancer/listeners/0"},
	{TREE_LISTENER, ID(2), LB_ID, "/loadbalancer/listeners/1"},
	{TREE_POOL, ID(7), LB_ID, "/loadbalancer/pools/1"},
	{TREE_MEMBER, ID_A, ID(3), "/loadbalancer/pools/0/members/1"},
	{TREE_HEALTH_MONITOR, ID(8), ID(3), "/loadbalancer/pools/0/healthmonitor"},
	{TREE_L7POLICY, ID(6), ID(1), "/loadbalancer/listeners/0/l7policies/1"},
	{TREE_L7RULE, ID(5), ID(4), "/loadbalancer/listeners/0/l7policies/0/rules/0"},
};

static struct load_balancer *copy_of(const struct load_balancer *lb)
{
	struct load_balancer *copy = NULL;

	assert_int_equal(tree_copy(lb, &copy), 0);
	return copy;
}

static char *text_of(const struct load_balancer *lb)
{
	char *text = NULL;

	assert_int_equal(definition_to_text(lb, DEFINITION_WHOLE, &text, NULL), 0);
	return text;
}

static void test_copy(void **state)
{
	struct load_balancer *lb = parse_good(site);
	_cleanup_load_balancer_ struct load_balancer *copy = copy_of(lb);
	_cleanup_free_ char *text = text_of(lb), *copied = NULL;

	(void)state;
	assert_true(definition_equal(lb, copy));
	load_balancer_unref(lb); /* nothing of it is in the copy */
	copied = text_of(copy);
	assert_string_equal(text, copied);
}

/* Every difference counts, on whatever level. */
static void test_equal(void **state)
{
	static const char *const others[] = {"'name':'other'", "'tags':['b']", "'admin_state_up':false", "'vip_sg_ids':['" ID(1) "']"};
	_cleanup_load_balancer_ struct load_balancer *lb = parse_good(site), *plain = parse_good("'tags':['a']");

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(others); i++) {
		_cleanup_load_balancer_ struct load_balancer *other = parse_good(others[i]);

		assert_false(definition_equal(plain, other));
		assert_false(definition_equal(other, plain));
	}
	for (size_t i = 1; i < ELEMENTSOF(objects); i++) {
		_cleanup_load_balancer_ struct load_balancer *copy = copy_of(lb);
		struct tree_path path;
		bool *up;

		assert_true(tree_find(copy, objects[i].kind, NULL, objects[i].id, &path));
		up = field_at(tree_object(&path),
			object_find_field(tree_kinds[objects[i].kind].type, "admin_state_up")->offset);
		*up = !*up;
		assert_false(definition_equal(lb, copy));
		/* Of the load balancer alone nothing changed. */
		assert_true(object_equal(&load_balancer_type, lb, copy, false));
		*up = !*up;
		assert_true(definition_equal(lb, copy));
		tree_remove(&path);
		assert_false(definition_equal(lb, copy));
	}
}

static void test_find(void **state)
{
	_cleanup_load_balancer_ struct load_balancer *lb = parse_good(site);
	struct tree_path path;

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(objects); i++) {
		_cleanup_free_ char *pointer = NULL;

		assert_true(tree_find(lb, objects[i].kind, objects[i].parent_id, objects[i].id, &path));
		assert_int_equal(tree_kind_of(&path), objects[i].kind);
		assert_ptr_equal(tree_ancestor(&path, TREE_LOAD_BALANCER), lb);
		assert_ptr_equal(tree_ancestor(&path, objects[i].kind), tree_object(&path));
		assert_int_equal(tree_pointer(&path, &pointer), 0);
		assert_string_equal(pointer, objects[i].pointer);
		assert_false(tree_find(lb, objects[i].kind, NULL, ID_B, &path));
		if (i > 0)
			assert_false(tree_find(lb, objects[i].kind, ID_B, objects[i].id, &path));
		/* An id is one of its kind only. */
		for (enum tree_kind kind = 0; kind < _TREE_KIND_MAX; kind++)
			assert_int_equal(tree_find(lb, kind, NULL, objects[i].id, &path), kind == objects[i].kind);
	}
	assert_null(tree_ancestor(&path, TREE_POOL));
}

static int count(void *userdata, const struct tree_path *path)
{
	size_t *n = userdata;

	(void)path;
	return ++*n == 2 ? 7 : 0;
}

static void test_each(void **state)
{
	_cleanup_load_balancer_ struct load_balancer *lb = parse_good(site);
	size_t n = 0;

	(void)state;
	assert_int_equal(tree_each(lb, TREE_MEMBER, count, &n), 7);
	n = 0;
	assert_int_equal(tree_each(lb, TREE_L7RULE, count, &n), 0);
	assert_int_equal(n, 1);
}

static void test_remove_and_insert(void **state)
{
	_cleanup_load_balancer_ struct load_balancer *lb = parse_good(site), *copy = copy_of(lb);
	_cleanup_error_ struct error err = ERROR_INIT;
	struct tree_path pool, member, monitor, added;
	struct member fresh = {.id = ID_B, .address = strdup("192.0.2.9")};
	struct health_monitor *second = calloc(1, sizeof(*second));

	(void)state;
	assert_true(tree_find(copy, TREE_MEMBER, NULL, ID(9), &member));
	tree_remove(&member);
	assert_int_equal(copy->pools[0].n_members, 1);
	assert_string_equal(copy->pools[0].members[0].id, ID_A);
	assert_true(tree_find(copy, TREE_POOL, NULL, ID(3), &pool));
	assert_int_equal(tree_insert(&pool, TREE_MEMBER, &fresh, &added, &err), 0);
	assert_null(fresh.address);
	assert_int_equal(added.levels[added.depth].index, 1);
	assert_string_equal(copy->pools[0].members[1].address, "192.0.2.9");
	tree_move_to_end(&(struct tree_path){.depth = 2,
		.levels = {{TREE_LOAD_BALANCER, copy, 0}, {TREE_POOL, &copy->pools[0], 0},
			{TREE_MEMBER, &copy->pools[0].members[0], 0}}});
	assert_string_equal(copy->pools[0].members[1].id, ID_A);

	/* There is one monitor, or none. */
	assert_non_null(second);
	assert_int_equal(tree_insert(&pool, TREE_HEALTH_MONITOR, second, &added, &err),
		error_code_to_errno(ERROR_FORBIDDEN));
	assert_string_equal(error_message(&err), "Quota has been met for resources: Health Monitor");
	assert_true(tree_find(copy, TREE_HEALTH_MONITOR, NULL, ID(8), &monitor));
	tree_remove(&monitor);
	assert_null(copy->pools[0].healthmonitor);
	assert_int_equal(tree_insert(&pool, TREE_HEALTH_MONITOR, second, &added, &err), 0);
	assert_ptr_equal(tree_object(&added), copy->pools[0].healthmonitor);
	free(second);
	while (tree_find(copy, TREE_MEMBER, NULL, copy->pools[0].n_members ? copy->pools[0].members[0].id : "", &member))
		tree_remove(&member);
	assert_int_equal(copy->pools[0].n_members, 0);
	/* The tree before knows nothing of all that. */
	assert_int_equal(lb->pools[0].n_members, 2);
	assert_non_null(lb->pools[0].healthmonitor);
}

static int collect_ids(void *userdata, const struct tree_path *path)
{
	const char *id = object_id(tree_kinds[tree_kind_of(path)].type, tree_object(path));

	assert_true(text_is_uuid(id));
	assert_null(json_object_get(userdata, id));
	return json_object_set_new(userdata, id, json_true());
}

static void test_give_ids(void **state)
{
	struct location where = {NULL, "listener", 0};
	json_auto_t *json = NULL, *seen = json_object();
	_cleanup_load_balancer_ struct load_balancer *lb = parse_good("'name':'x'");
	struct tree_path parent = {.levels = {{TREE_LOAD_BALANCER, lb, 0}}}, added;
	struct listener listener = {.id = ""};

	(void)state;
	json = json_loads("{\"protocol\":\"HTTP\",\"protocol_port\":1,\"default_pool\":{\"name\":\"p\"},\"l7policies\":["
			  "{\"action\":\"REJECT\",\"rules\":[{\"type\":\"PATH\",\"compare_type\":\"REGEX\",\"value\":\"a\"},"
			  "{\"type\":\"PATH\",\"compare_type\":\"REGEX\",\"value\":\"a\"}]},"
			  "{\"id\":\"" ID_A "\",\"action\":\"REJECT\"}]}",
		0, NULL);
	assert_int_equal(object_parse(&listener_type, json, &where, &document_defaults, &listener, NULL), 0);
	assert_int_equal(tree_give_ids(&listener_type, &listener), 0);
	assert_string_equal(listener.default_pool->id, ""); /* it may be no pool but a reference */
	assert_string_equal(listener.l7policies[1].id, ID_A);
	assert_int_equal(tree_insert(&parent, TREE_LISTENER, &listener, &added, NULL), 0);
	for (enum tree_kind kind = TREE_LISTENER; kind < _TREE_KIND_MAX; kind++)
		assert_int_equal(tree_each(lb, kind, collect_ids, seen), 0);
	assert_int_equal(json_object_size(seen), 5);
}

static void assert_times(const struct load_balancer *lb, enum tree_kind kind, const char *id, const char *created,
	const char *updated)
{
	struct tree_path path;
	const struct object_type *type = tree_kinds[kind].type;

	assert_true(tree_find(lb, kind, NULL, id, &path));
	assert_string_equal(field_at(tree_object(&path), object_find_field(type, "created_at")->offset), created);
	assert_string_equal(field_at(tree_object(&path), object_find_field(type, "updated_at")->offset), updated);
}

static void test_times(void **state)
{
	_cleanup_load_balancer_ struct load_balancer *lb = parse_good(site), *next = copy_of(lb), *last = NULL;
	struct tree_path path;

	(void)state;
	assert_int_equal(tree_set_times(NULL, lb, EARLY), 0);
	for (size_t i = 1; i < ELEMENTSOF(objects); i++)
		assert_times(lb, objects[i].kind, objects[i].id, EARLY, "");

	/* Another order, one less, one more, one changed: each has what it deserves. */
	next->pools[0].members[1].weight = 7;
	tree_find(next, TREE_MEMBER, NULL, ID(9), &path);
	tree_move_to_end(&path);
	memcpy(next->listeners[1].id, ID_B, UUID_SIZE);
	tree_find(next, TREE_L7RULE, NULL, ID(5), &path);
	tree_remove(&path);
	assert_int_equal(tree_set_times(lb, next, LATER), 0);
	assert_times(next, TREE_MEMBER, ID_A, EARLY, LATER);
	assert_times(next, TREE_MEMBER, ID(9), EARLY, "");
	assert_times(next, TREE_LISTENER, ID(1), EARLY, "");
	assert_times(next, TREE_LISTENER, ID_B, LATER, "");
	assert_times(next, TREE_L7POLICY, ID(4), EARLY, ""); /* its rules are not the policy */
	assert_times(next, TREE_HEALTH_MONITOR, ID(8), EARLY, "");

	last = copy_of(next);
	last->pools[0].session_persistence->type = PERSISTENCE_HTTP_COOKIE; /* a part of it */
	assert_int_equal(tree_set_times(next, last, LATEST), 0);
	assert_times(last, TREE_MEMBER, ID_A, EARLY, LATER);
	assert_times(last, TREE_POOL, ID(3), EARLY, LATEST);
	assert_times(last, TREE_POOL, ID(7), EARLY, "");

	last->pools[1].created_at[0] = '\0';
	tree_set_missing_times(last, LATEST);
	assert_times(last, TREE_POOL, ID(7), LATEST, "");
	assert_times(last, TREE_POOL, ID(3), EARLY, LATEST);
}

/* Times are in stored documents, and in none of a client. */
static void test_times_are_stored(void **state)
{
	_cleanup_load_balancer_ struct load_balancer *lb = parse_good(site), *again = NULL;
	json_auto_t *stored = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_text_ struct text file = TEXT_INIT;
	_cleanup_free_ char *text = NULL;

	(void)state;
	assert_int_equal(tree_set_times(NULL, lb, EARLY), 0);
	text_append_char(&file, '{');
	assert_int_equal(definition_append(lb, true, &file), 0);
	text_append_char(&file, '}');
	stored = json_loads(text_peek(&file), JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(stored);
	assert_int_equal(definition_parse_json(LB_ID, stored, &definition_stored, &again, &err), 0);
	assert_times(again, TREE_L7RULE, ID(5), EARLY, "");
	assert_int_equal(definition_parse_json(LB_ID, stored, &document_defaults, &again, &err), -EINVAL);
	assert_int_equal(definition_to_text(lb, DEFINITION_WHOLE, &text, NULL), 0);
	assert_null(strstr(text, "created_at"));
}

/* What becomes of the site; "json" with ' for ". NULL, with the words in *err, if it is refused. */
static struct load_balancer *edit_site(struct edit *edit, const char *json, struct error *err)
{
	_cleanup_load_balancer_ struct load_balancer *lb = parse_good(site);
	struct load_balancer *result = NULL;
	_cleanup_free_ char *text = text_of(lb), *after = NULL;
	json_auto_t *parsed = json_of(json ? json : "null");
	int r;

	edit->body = parsed;
	edit->defaults = &document_defaults;
	r = edit_make(edit, lb, &result, err);
	assert_int_equal(r == 0, result != NULL);
	if (r < 0)
		assert_int_equal(r, error_code_to_errno(err->code));
	edit->body = NULL;
	/* Whatever it was, the tree before is as it was. */
	after = text_of(lb);
	assert_string_equal(text, after);
	return result;
}

static void test_edits(void **state)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_load_balancer_ struct load_balancer *created = NULL, *updated = NULL, *deleted = NULL, *linked = NULL;
	struct edit create = {.action = EDIT_CREATE, .kind = TREE_MEMBER, .id = ID_B, .parent_id = ID(7)},
		    update = {.action = EDIT_UPDATE, .kind = TREE_LISTENER, .id = ID(1)},
		    delete = {.action = EDIT_DELETE, .kind = TREE_LISTENER, .id = ID(1)},
		    pool = {.action = EDIT_CREATE, .kind = TREE_POOL, .id = ID_B, .listener_id = ID(2)};

	(void)state;
	created = edit_site(&create, "{" MEMBER "}", &err);
	assert_non_null(created);
	assert_string_equal(create.made_id, ID_B);
	assert_int_equal(created->pools[1].n_members, 1);
	assert_int_equal(created->pools[1].members[0].weight, 1);
	updated = edit_site(&update, "{'default_pool_id':null,'allowed_cidrs':[],'connection_limit':'9'}", &err);
	assert_non_null(updated);
	assert_null(updated->listeners[0].default_pool_id);
	assert_null(updated->listeners[0].allowed_cidrs);
	assert_int_equal(updated->listeners[0].connection_limit, 9);
	deleted = edit_site(&delete, NULL, &err);
	assert_non_null(deleted);
	assert_int_equal(deleted->n_listeners, 1);
	linked = edit_site(&pool, "{'protocol':'TCP','lb_algorithm':'SOURCE_IP'}", &err);
	assert_non_null(linked);
	assert_string_equal(linked->listeners[1].default_pool_id, ID_B);
}

static void test_refused_edits(void **state)
{
	static const struct {
		struct edit edit;
		const char *body;
		enum error_code code;
		const char *pointer, *words;
	} rows[] = {
		{{EDIT_CREATE, TREE_LISTENER, .id = ID_B}, "{'protocol':'HTTPS','protocol_port':80}", ERROR_CONFLICT, NULL,
			"already using protocol HTTP and protocol_port 80"},
		{{EDIT_CREATE, TREE_LISTENER, .id = ID_B}, "{'protocol':'HTTP'}", ERROR_INVALID, "/listener/protocol_port",
			"is required"},
		{{EDIT_CREATE, TREE_LISTENER, .id = ID_B}, "{'protocol':'UDP','protocol_port':80,'insert_headers':"
			"{'X-Forwarded-For':'true'}}", ERROR_INVALID, "/listener/insert_headers", "UDP"},
		{{EDIT_CREATE, TREE_LISTENER, .id = ID(1)}, "{'protocol':'UDP','protocol_port':80}", ERROR_CONFLICT,
			"/listener/id", "another listener has this id"},
		{{EDIT_CREATE, TREE_MEMBER, .id = ID_B, .parent_id = ID(3)}, "{" MEMBER "}", ERROR_CONFLICT, NULL,
			"already using ip 192.0.2.1 on protocol_port 80"},
		{{EDIT_CREATE, TREE_MEMBER, .id = ID_B, .parent_id = ID_A}, "{" MEMBER "}", ERROR_NOT_FOUND, NULL,
			"Pool " ID_A " not found."},
		{{EDIT_CREATE, TREE_HEALTH_MONITOR, .id = ID_B, .parent_id = ID(3)}, "{'type':'TCP'," MONITOR "}",
			ERROR_CONFLICT, NULL, "This pool already has a health monitor"},
		{{EDIT_CREATE, TREE_HEALTH_MONITOR, .id = ID_B, .parent_id = ID(7)}, "{'type':'SCTP'," MONITOR "}",
			ERROR_INVALID, "/healthmonitor/type", "only supported for pools of type UDP/SCTP"},
		{{EDIT_CREATE, TREE_POOL, .id = ID_B, .listener_id = ID(1)}, "{" POOL "}", ERROR_CONFLICT, NULL,
			"This listener already has a default pool"},
		{{EDIT_CREATE, TREE_POOL, .id = ID_B, .listener_id = ID_A}, "{" POOL "}", ERROR_NOT_FOUND, NULL,
			"Listener " ID_A " not found."},
		{{EDIT_CREATE, TREE_L7POLICY, .id = ID_B, .parent_id = ID(1)}, "{'action':'REDIRECT_TO_POOL',"
			"'redirect_pool_id':'" ID_A "'}", ERROR_NOT_FOUND, NULL, "Pool " ID_A " not found."},
		{{EDIT_CREATE, TREE_L7POLICY, .id = ID_B, .parent_id = ID(2)}, "{'action':'REJECT'}", ERROR_UNSUPPORTED,
			"/loadbalancer/listeners/1/l7policies", "TCP protocol listeners do not support L7 policies"},
		{{EDIT_UPDATE, TREE_LISTENER, .id = ID(1)}, "{'default_pool_id':'" ID_A "'}", ERROR_NOT_FOUND, NULL, "Pool"},
		{{EDIT_UPDATE, TREE_LISTENER, .id = ID(1)}, "{'protocol':'HTTP'}", ERROR_INVALID, "/listener/protocol",
			"cannot be changed"},
		{{EDIT_UPDATE, TREE_MEMBER, .id = ID(9)}, "{'created_at':'" EARLY "'}", ERROR_INVALID, "/member/created_at",
			"unknown field"},
		{{EDIT_UPDATE, TREE_MEMBER, .id = ID(9), .parent_id = ID(7)}, "{}", ERROR_NOT_FOUND, NULL,
			"Member " ID(9) " not found."},
		{{EDIT_UPDATE, TREE_HEALTH_MONITOR, .id = ID(8)}, "{'delay':null}", ERROR_INVALID, "/healthmonitor/delay",
			"must not be null"},
		{{EDIT_UPDATE, TREE_L7RULE, .id = ID(5)}, "{'type':'HEADER'}", ERROR_INVALID, "/rule/key", "is required"},
		{{EDIT_UPDATE, TREE_L7RULE, .id = ID(5)}, "[]", ERROR_INVALID, "/rule", "must be an object"},
		{{EDIT_DELETE, TREE_POOL, .id = ID(7)}, NULL, ERROR_CONFLICT, NULL,
			"Pool " ID(7) " is in use by L7 policy " ID(4)},
		{{EDIT_DELETE, TREE_L7RULE, .id = ID(4)}, NULL, ERROR_NOT_FOUND, NULL, "L7 Rule " ID(4) " not found."},
		{{EDIT_REPLACE_MEMBERS, TREE_POOL, .id = ID_B}, "[]", ERROR_NOT_FOUND, NULL, "Pool"},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_error_ struct error err = ERROR_INIT;
		struct edit edit = rows[i].edit;
		_cleanup_load_balancer_ struct load_balancer *result = NULL;

		result = edit_site(&edit, rows[i].body, &err);
		if (result || err.code != rows[i].code || !streq_null(err.pointer, rows[i].pointer) ||
			!strstr(error_message(&err), rows[i].words))
			fail_msg("row %zu: wanted %d at %s: %s\n  got %d at %s: %s", i, rows[i].code,
				rows[i].pointer ? rows[i].pointer : "nowhere", rows[i].words, err.code,
				err.pointer ? err.pointer : "nowhere", error_message(&err));
	}
}

static void test_new_load_balancer(void **state)
{
	_cleanup_load_balancer_ struct load_balancer *lb = NULL;
	json_auto_t *body = json_pack("{s:s, s:[{s:s, s:i}]}", "name", "n", "listeners", "protocol", "HTTP", "protocol_port", 1);
	struct edit edit = {.action = EDIT_CREATE, .kind = TREE_LOAD_BALANCER, .id = LB_ID, .body = body,
		.defaults = &document_defaults};
	_cleanup_error_ struct error err = ERROR_INIT;
	struct load_balancer *second = NULL;
	struct edit lost = {.action = EDIT_UPDATE, .kind = TREE_LOAD_BALANCER, .id = LB_ID, .body = body,
		.defaults = &document_defaults};

	(void)state;
	/* What is stored may be unreadable. */
	assert_int_equal(edit_make(&lost, NULL, &lb, &err), -ENOENT);
	error_done(&err);
	assert_int_equal(edit_make(&edit, NULL, &lb, &err), 0);
	assert_string_equal(lb->id, LB_ID);
	assert_true(text_is_uuid(lb->listeners[0].id));
	assert_int_equal(edit_make(&edit, lb, &second, &err), -EEXIST);
	assert_string_equal(error_message(&err), "Already an entity with that specified id.");
	error_done(&err);
	assert_int_equal(edit_check_childless(lb, &err), -EINVAL);
	assert_string_equal(error_message(&err), "Validation failure: Cannot delete Load Balancer " LB_ID " - it has children");
}

/* The same members in 10 000 ways would take all day: what is kept is told by a model of five lines. */
static void test_replaced_members(void **state)
{
	unsigned seed = 12345;

	(void)state;
	for (size_t round = 0; round < 200; round++) {
		_cleanup_text_ struct text body = TEXT_INIT;
		_cleanup_load_balancer_ struct load_balancer *lb = NULL;
		_cleanup_error_ struct error err = ERROR_INIT;
		unsigned mask = (seed = seed * 1103515245 + 12345) >> 16 & 15;
		struct edit edit = {.action = EDIT_REPLACE_MEMBERS, .kind = TREE_POOL, .id = ID(3),
			.additive_only = seed >> 8 & 1};
		unsigned wanted = edit.additive_only ? mask | 3 : mask; /* 192.0.2.1 and .2 are there */
		const struct pool *pool;
		unsigned seen = 0;

		for (unsigned i = 4; i-- > 0;)
			if (mask & 1U << i)
				text_printf(&body, "%s{'address':'192.0.2.%u','protocol_port':80,'weight':9}",
					body.length ? "," : "[", i + 1);
		text_append(&body, body.length ? "]" : "[]");
		lb = edit_site(&edit, text_peek(&body), &err);
		assert_non_null(lb);
		pool = load_balancer_find_pool(lb, ID(3));
		for (size_t i = 0; i < pool->n_members; i++) {
			unsigned n = (unsigned)(pool->members[i].address[8] - '1');

			assert_false(seen & 1U << n);
			seen |= 1U << n;
			assert_int_equal(pool->members[i].weight, mask & 1U << n ? 9 : 1);
			if (n == 0) {
				assert_string_equal(pool->members[i].id, ID(9));
				assert_int_equal(json_array_size(pool->members[i].tags), 1);
			} else if (n == 1) {
				assert_string_equal(pool->members[i].id, ID_A);
			}
		}
		assert_int_equal(seen, wanted);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_each),
		cmocka_unit_test(test_remove_and_insert),
		cmocka_unit_test(test_give_ids),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_times_are_stored),
		cmocka_unit_test(test_edits),
		cmocka_unit_test(test_refused_edits),
		cmocka_unit_test(test_new_load_balancer),
		cmocka_unit_test(test_replaced_members),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
