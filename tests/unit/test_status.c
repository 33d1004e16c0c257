/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/base/text.h"
#include "agent/health/status.h"

#define LB "11111111-0000-4000-8000-000000000001"
#define L1 "22222222-0000-4000-8000-000000000001"
#define L2 "22222222-0000-4000-8000-000000000002"
#define P1 "33333333-0000-4000-8000-000000000001"
#define P2 "33333333-0000-4000-8000-000000000002"
#define M1 "44444444-0000-4000-8000-000000000001"
#define M2 "44444444-0000-4000-8000-000000000002"

/* Two listeners: the first with the pool P1, of two members. P2 has no listener. */
struct fixture {
	struct load_balancer lb;
	struct listener listeners[2];
	struct pool pools[2];
	struct member members[2];
	struct health_monitor monitor;

	struct health_snapshot snapshot;
	struct listener_health listener_health[2];
	struct pool_health pool_health;
	struct member_health member_health[2];
};

static char l1[] = L1, l2[] = L2, key[] = P1 ":" L1, m1[] = M1, m2[] = M2, p1[] = P1,
	    address[] = "192.0.2.1", name[] = "web", none[] = "";
static char up[] = "UP", down[] = "DOWN", open_[] = "OPEN", full[] = "FULL";

static int setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){
		.lb = {.id = LB,
			.name = name,
			.admin_state_up = true,
			.listeners = f.listeners,
			.n_listeners = 2,
			.pools = f.pools,
			.n_pools = 2},
		.listeners = {{.id = L1, .admin_state_up = true, .default_pool_id = p1},
			{.id = L2, .admin_state_up = true}},
		.pools = {{.id = P1,
				  .admin_state_up = true,
				  .members = f.members,
				  .n_members = 2,
				  .healthmonitor = &f.monitor},
			{.id = P2, .admin_state_up = true}},
		.members = {{.id = M1,
				    .admin_state_up = true,
				    .address = address,
				    .protocol_port = 80},
			{.id = M2,
				.admin_state_up = true,
				.address = address,
				.protocol_port = 81}},
		.monitor = {.id = M1, .type = MONITOR_HTTP, .admin_state_up = true},
		.snapshot = {.lb_id = LB,
			.answered = true,
			.listeners = f.listener_health,
			.n_listeners = 2,
			.pools = &f.pool_health,
			.n_pools = 1},
		.listener_health = {{.id = l1, .status = open_}, {.id = l2, .status = open_}},
		.pool_health = {.key = key,
			.status = up,
			.members = f.member_health,
			.n_members = 2},
		.member_health = {{.id = m1, .status = up, .reason = none},
			{.id = m2, .status = up, .reason = none}},
	};
	*state = &f;
	return 0;
}

struct expected {
	enum operating_status lb, listener, pool, member1, member2;
};

static void check(
	const struct fixture *f, const struct health_snapshot *snapshot, struct expected e)
{
	assert_string_equal(operating_status_name(status_of_load_balancer(&f->lb, snapshot)),
		operating_status_name(e.lb));
	assert_string_equal(
		operating_status_name(status_of_listener(&f->lb, &f->listeners[0], snapshot)),
		operating_status_name(e.listener));
	assert_string_equal(operating_status_name(status_of_pool(&f->lb, &f->pools[0], snapshot)),
		operating_status_name(e.pool));
	assert_string_equal(operating_status_name(status_of_member(
				    &f->lb, &f->pools[0], &f->members[0], snapshot)),
		operating_status_name(e.member1));
	assert_string_equal(operating_status_name(status_of_member(
				    &f->lb, &f->pools[0], &f->members[1], snapshot)),
		operating_status_name(e.member2));
}

static void test_online(void **state)
{
	struct fixture *f = *state;

	check(f, &f->snapshot,
		(struct expected){
			STATUS_ONLINE, STATUS_ONLINE, STATUS_ONLINE, STATUS_ONLINE, STATUS_ONLINE});
	/* Behind no listener. */
	assert_int_equal(status_of_pool(&f->lb, &f->pools[1], &f->snapshot), STATUS_OFFLINE);
}

static void test_member_words(void **state)
{
	struct fixture *f = *state;
	static const struct {
		char status[24];
		enum operating_status expected;
	} cases[] = {
		{"UP", STATUS_ONLINE},
		{"UP 2/3", STATUS_ONLINE},
		{"DOWN", STATUS_ERROR},
		{"DOWN 1/2", STATUS_ERROR},
		{"DRAIN", STATUS_DRAINING},
		{"MAINT", STATUS_OFFLINE},
		{"no check", STATUS_NO_MONITOR},
		{"what?", STATUS_OFFLINE},
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		char status[24];

		memcpy(status, cases[i].status, sizeof(status));
		f->member_health[1].status = status;
		assert_int_equal(
			status_of_member(&f->lb, &f->pools[0], &f->members[1], &f->snapshot),
			cases[i].expected);
		assert_int_equal(status_of_pool(&f->lb, &f->pools[0], &f->snapshot),
			cases[i].expected == STATUS_ERROR ? STATUS_DEGRADED : STATUS_ONLINE);
		assert_int_equal(status_of_load_balancer(&f->lb, &f->snapshot),
			cases[i].expected == STATUS_ERROR ? STATUS_DEGRADED : STATUS_ONLINE);
	}
	f->pool_health.n_members = 1;
	assert_int_equal(status_of_member(&f->lb, &f->pools[0], &f->members[1], &f->snapshot),
		STATUS_OFFLINE);
}

static void test_pool_down(void **state)
{
	struct fixture *f = *state;

	f->pool_health.status = down;
	f->member_health[0].status = f->member_health[1].status = down;
	f->listener_health[0].status = full;
	check(f, &f->snapshot,
		(struct expected){
			STATUS_ERROR, STATUS_DEGRADED, STATUS_ERROR, STATUS_ERROR, STATUS_ERROR});
}

static void test_listener(void **state)
{
	struct fixture *f = *state;
	char stop[] = "STOP";

	f->listener_health[1].status = full;
	assert_int_equal(
		status_of_listener(&f->lb, &f->listeners[1], &f->snapshot), STATUS_DEGRADED);
	assert_int_equal(status_of_load_balancer(&f->lb, &f->snapshot), STATUS_DEGRADED);
	f->listener_health[1].status = stop;
	assert_int_equal(status_of_listener(&f->lb, &f->listeners[1], &f->snapshot), STATUS_ERROR);
	f->snapshot.n_listeners = 1;
	assert_int_equal(status_of_listener(&f->lb, &f->listeners[1], &f->snapshot), STATUS_ERROR);
	assert_int_equal(status_of_load_balancer(&f->lb, &f->snapshot), STATUS_DEGRADED);
	f->listeners[1].admin_state_up = false;
	assert_int_equal(
		status_of_listener(&f->lb, &f->listeners[1], &f->snapshot), STATUS_OFFLINE);
	assert_int_equal(status_of_load_balancer(&f->lb, &f->snapshot), STATUS_ONLINE);
}

static void test_disabled(void **state)
{
	struct fixture *f = *state;

	f->members[0].admin_state_up = false;
	check(f, &f->snapshot,
		(struct expected){STATUS_ONLINE, STATUS_ONLINE, STATUS_ONLINE, STATUS_OFFLINE,
			STATUS_ONLINE});
	f->pools[0].admin_state_up = false;
	check(f, &f->snapshot,
		(struct expected){STATUS_ONLINE, STATUS_ONLINE, STATUS_OFFLINE, STATUS_OFFLINE,
			STATUS_OFFLINE});
	f->pools[0].admin_state_up = true;
	f->listeners[0].admin_state_up = false;
	check(f, &f->snapshot,
		(struct expected){STATUS_ONLINE, STATUS_OFFLINE, STATUS_OFFLINE, STATUS_OFFLINE,
			STATUS_OFFLINE});
	f->lb.admin_state_up = false;
	f->listeners[0].admin_state_up = true;
	check(f, NULL,
		(struct expected){STATUS_OFFLINE, STATUS_OFFLINE, STATUS_OFFLINE, STATUS_OFFLINE,
			STATUS_OFFLINE});
}

static void test_no_answer(void **state)
{
	struct fixture *f = *state;
	const struct health_snapshot unanswered = {.lb_id = LB};
	const struct health_snapshot *const cases[] = {NULL, &unanswered};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		f->listeners[0].admin_state_up = f->listeners[1].admin_state_up = true;
		check(f, cases[i],
			(struct expected){STATUS_ERROR, STATUS_ERROR, STATUS_OFFLINE,
				STATUS_OFFLINE, STATUS_OFFLINE});
		/* Nothing that should be served. */
		f->listeners[0].admin_state_up = f->listeners[1].admin_state_up = false;
		assert_int_equal(status_of_load_balancer(&f->lb, cases[i]), STATUS_ONLINE);
	}
}

static void test_tree(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *text = NULL;
	json_t *tree = NULL;

	f->member_health[1].status = down;
	f->member_health[0].reason = "L7OK"; /* told of members in error only */
	f->member_health[1].reason = "L4CON: Connection refused";
	f->monitor.admin_state_up = false;
	assert_int_equal(status_tree(&f->lb, &f->snapshot, &tree), 0);
	text = json_dumps(tree, JSON_COMPACT);
	json_decref(tree);
#define OBJECT(id, name, status)              \
	"{\"id\":\"" id "\",\"name\":\"" name \
	"\",\"provisioning_status\":\"ACTIVE\",\"operating_status\":\"" status "\""
	assert_string_equal(text,
		"{\"statuses\":{\"loadbalancer\":" OBJECT(LB, "web", "DEGRADED") ",\"listeners\":["
		/* The first listener and all below it. */
		OBJECT(L1, "", "ONLINE") ",\"pools\":[" OBJECT(
			P1, "", "DEGRADED") ",\"health_monitor\":" OBJECT(M1, "",
			"OFFLINE") ",\"type\":\"HTTP\"},\"members\":[" OBJECT(M1, "",
			"ONLINE") ",\"address\":\"192.0.2.1\",\"protocol_port\":80}," OBJECT(M2, "",
			"ERROR") ",\"reason\":\"L4CON: Connection refused\",\"address\":\"192.0.2.1\",\"protocol_port\":81}]}]}," OBJECT(L2,
			"",
			"ONLINE") ",\"pools\":[]}],"
				  "\"pools\":[" OBJECT(P2, "", "OFFLINE") ",\"members\":[]}]}}}");
}

/* A pool that only a policy sends requests to is watched like a default pool. */
static void test_pool_of_a_policy(void **state)
{
	struct fixture *f = *state;
	struct l7rule rule = {.admin_state_up = true};
	struct l7policy policy = {.action = L7POLICY_REDIRECT_TO_POOL,
		.redirect_pool_id = p1,
		.admin_state_up = true,
		.rules = &rule,
		.n_rules = 1};
	json_t *tree = NULL;
	const json_t *listeners, *pools;

	f->listeners[0].default_pool_id = NULL;
	f->listeners[1].l7policies = &policy;
	f->listeners[1].n_l7policies = 1;
	check(f, &f->snapshot,
		(struct expected){
			STATUS_ONLINE, STATUS_ONLINE, STATUS_ONLINE, STATUS_ONLINE, STATUS_ONLINE});
	assert_int_equal(status_tree(&f->lb, &f->snapshot, &tree), 0);
	listeners = json_object_get(
		json_object_get(json_object_get(tree, "statuses"), "loadbalancer"), "listeners");
	pools = json_object_get(json_array_get(listeners, 1), "pools");
	assert_int_equal(json_array_size(pools), 1);
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(pools, 0), "id")), P1);
	assert_int_equal(
		json_array_size(json_object_get(json_array_get(listeners, 0), "pools")), 0);
	json_decref(tree);

	policy.admin_state_up = false;
	assert_int_equal(status_of_pool(&f->lb, &f->pools[0], &f->snapshot), STATUS_OFFLINE);
	policy.admin_state_up = true;
	policy.n_rules = 0;
	assert_int_equal(status_of_pool(&f->lb, &f->pools[0], &f->snapshot), STATUS_OFFLINE);
}

/* HAProxy does not know them: its silence says nothing of them. */
static void test_listeners_of_keepalived(void **state)
{
	struct fixture *f = *state;
	const struct health_snapshot unanswered = {.lb_id = LB};

	f->listeners[0].protocol = f->listeners[1].protocol = LISTENER_UDP;
	f->snapshot.n_listeners = 0;
	assert_int_equal(
		status_of_listener(&f->lb, &f->listeners[1], &f->snapshot), STATUS_OFFLINE);
	assert_int_equal(status_of_load_balancer(&f->lb, &f->snapshot), STATUS_DEGRADED);
	assert_int_equal(status_of_load_balancer(&f->lb, &unanswered), STATUS_DEGRADED);
	f->snapshot.n_listeners = 2;
	assert_int_equal(
		status_of_listener(&f->lb, &f->listeners[1], &f->snapshot), STATUS_ONLINE);
	assert_int_equal(status_of_load_balancer(&f->lb, &f->snapshot), STATUS_ONLINE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_online, setup),
		cmocka_unit_test_setup(test_member_words, setup),
		cmocka_unit_test_setup(test_pool_down, setup),
		cmocka_unit_test_setup(test_listener, setup),
		cmocka_unit_test_setup(test_disabled, setup),
		cmocka_unit_test_setup(test_no_answer, setup),
		cmocka_unit_test_setup(test_tree, setup),
		cmocka_unit_test_setup(test_pool_of_a_policy, setup),
		cmocka_unit_test_setup(test_listeners_of_keepalived, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
