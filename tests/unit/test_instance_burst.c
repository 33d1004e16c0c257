/* SPDX-License-Identifier: Apache-2.0 */

/* Changes of one load balancer that come in at once. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <poll.h>
#include <string.h>

#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/definition/limits.h"
#include "agent/instance/internal.h"
#include "tests/unit/quotes.h"
#include "tests/unit/runtime_fixture.h"

/* Bursts */

enum { CHANGERS = 12 };

struct changer {
	struct fixture *fixture;
	instance_change_fn make;
	int number, port;
	pthread_t thread;
	struct apply_result result;
	struct error err;
	int r;
};

/* One member more; the third one has an address that no parser takes, and the fifth one breaks the configuration. */
static int add_member(void *userdata, struct load_balancer *before, struct load_balancer **ret, struct error *err)
{
	const struct changer *changer = userdata;
	json_auto_t *document = document_of(before, DEFINITION_WHOLE);
	json_t *member;

	member = json_pack("{s:s+, s:s, s:i, s:i}", "id", "eeeeeeee-0000-4000-8000-0000000001",
		(char[]){(char)('0' + changer->number / 10), (char)('0' + changer->number % 10), '\0'}, "address",
		changer->number == 3 ? "nowhere" : "127.0.0.1", "protocol_port", 1000 + changer->number, "weight", 1);
	json_array_append_new(
		json_object_get(json_array_get(json_object_get(json_object_get(document, "loadbalancer"), "pools"), 0),
			"members"),
		member);
	if (changer->number == 5) {
		json_t *listeners = json_object_get(json_object_get(document, "loadbalancer"), "listeners");

		json_object_set_new(json_array_get(listeners, 0), "protocol_port", json_integer(changer->port));
	}
	return definition_parse_json(LB_A, document, &(struct definition_defaults){0}, ret, err);
}

static void *change(void *userdata)
{
	static const struct apply_options options = {.if_match = -1};
	struct changer *changer = userdata;

	changer->r = registry_change(
		changer->fixture->registry, LB_A, false, changer->make, changer, &options, &changer->result, &changer->err);
	return NULL;
}

static size_t queued(struct instance *instance)
{
	size_t n = 0;

	LOCK_SCOPE(&instance->queue_lock);
	for (struct change *item = instance->queue; item; item = item->next)
		n++;
	return n;
}

static bool is_led(struct instance *instance)
{
	LOCK_SCOPE(&instance->queue_lock);
	return instance->led;
}

static void wait_for_queue(struct instance *instance, size_t n)
{
	int64_t deadline = process_now_ms() + DEADLINE_MS;

	while (queued(instance) < n && process_now_ms() < deadline)
		poll(NULL, 0, 1);
	assert_int_equal(queued(instance), n);
}

/* The first one leads alone and is held up; the others wait and are made together. */
static void burst(struct fixture *fixture, struct instance *instance, struct changer *changers, instance_change_fn make,
	int bad_port)
{
	pthread_mutex_lock(&instance->lock);
	for (int i = 0; i < CHANGERS; i++) {
		changers[i] = (struct changer){.fixture = fixture, .make = make, .number = i, .port = bad_port};
		assert_int_equal(pthread_create(&changers[i].thread, NULL, change, &changers[i]), 0);
		while (i == 0 && !is_led(instance))
			poll(NULL, 0, 1);
		wait_for_queue(instance, (size_t)i);
	}
	pthread_mutex_unlock(&instance->lock);
	for (int i = 0; i < CHANGERS; i++)
		pthread_join(changers[i].thread, NULL);
}

static void burst_done(struct changer *changers)
{
	for (int i = 0; i < CHANGERS; i++) {
		apply_result_done(&changers[i].result);
		error_done(&changers[i].err);
	}
}

static void test_burst(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port();
	_cleanup_stored_ struct stored_definition stored = STORED_DEFINITION_INIT;
	_cleanup_instance_ struct instance *instance = NULL;
	_cleanup_free_ int64_t *revisions = NULL;
	struct changer changers[CHANGERS];
	struct pids pids;
	size_t n = 0;

	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_1, "")), port, 1), PLAN_START, 1);
	pids = pids_of(fixture, LB_A);
	instance = get(fixture, LB_A);
	burst(fixture, instance, changers, add_member, port);
	for (int i = 0; i < CHANGERS; i++) {
		if (i == 3) { /* it failed alone, with words of its own */
			assert_int_equal(changers[i].r, error_code_to_errno(ERROR_INVALID));
			assert_non_null(strstr(changers[i].err.pointer, "address"));
			continue;
		}
		assert_int_equal(changers[i].r, 0);
		assert_int_equal(changers[i].result.revision, i < 3 ? i + 2 : i + 1);
		assert_string_equal(plan_action_name(changers[i].result.plan.action), "runtime");
		assert_non_null(changers[i].result.lb);
	}
	assert_int_equal(changers[1].result.lb->pools[0].n_members, 3);
	assert_int_equal(changers[CHANGERS - 1].result.lb->pools[0].n_members, CHANGERS);
	/* Those on the way are among the revisions. */
	assert_int_equal(store_revisions(instance->dir_fd, &revisions, &n), 0);
	assert_int_equal(n, LIMIT_REVISIONS);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(revisions[i], CHANGERS - (int64_t)i);
	instance_unref(TAKE_PTR(instance));
	restart_agent(fixture);
	instance = get(fixture, LB_A);
	assert_int_equal(instance_current(instance, &stored, NULL), 0);
	assert_int_equal(stored.revision, CHANGERS);
	assert_int_equal(stored.lb->pools[0].n_members, CHANGERS);
	assert_same_pids(pids, pids_of(fixture, LB_A));
	burst_done(changers);
}

/* By turns: another weight, another name, nothing at all. */
static int change_by_turns(void *userdata, struct load_balancer *before, struct load_balancer **ret, struct error *err)
{
	const struct changer *changer = userdata;
	json_auto_t *document = document_of(before, DEFINITION_WHOLE);
	json_t *pool, *member;

	pool = json_array_get(json_object_get(json_object_get(document, "loadbalancer"), "pools"), 0);
	member = json_array_get(json_object_get(pool, "members"), 0);
	if (changer->number % 3 == 0)
		json_object_set_new(member, "weight", json_integer(10 + changer->number));
	if (changer->number % 3 == 1)
		json_object_set_new(pool, "name", json_sprintf("pool-%d", changer->number));
	return definition_parse_json(LB_A, document, &(struct definition_defaults){0}, ret, err);
}

/* Who changed nothing of HAProxy is not told what others did. */
static void test_burst_with_idle_changes(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_instance_ struct instance *instance = NULL;
	struct changer changers[CHANGERS];
	struct change_counts counts;
	int64_t revision = 1;

	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_1, "")), free_port(), 1), PLAN_START, 1);
	instance = get(fixture, LB_A);
	burst(fixture, instance, changers, change_by_turns, 0);
	for (int i = 0; i < CHANGERS; i++) {
		const struct apply_result *result = &changers[i].result;

		assert_int_equal(changers[i].r, 0);
		assert_string_equal(plan_action_name(result->plan.action), i % 3 == 0 ? "runtime" : "none");
		assert_int_equal(strv_length(result->plan.reasons) > 0, i % 3 == 0);
		revision += i % 3 == 2 ? 0 : 1;
		assert_int_equal(result->revision, revision);
	}
	instance_counts(instance, &counts);
	assert_int_equal(counts.made[PLAN_RUNTIME], CHANGERS / 3);
	assert_int_equal(counts.made[PLAN_NONE], 2 * CHANGERS / 3);
	burst_done(changers);
}

/* HAProxy cannot bind what one of them wants: the others are made nevertheless, in their order. */
static void test_burst_with_a_bad_change(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port(), taken;
	_unused_ _cleanup_close_ int taken_fd = listen_anywhere(&taken);
	_cleanup_instance_ struct instance *instance = NULL;
	struct changer changers[CHANGERS];
	int64_t revision = 1;

	apply(fixture, define(LB_A, POOL_OF(MEMBER(MEMBER_1, "")), port, 1), PLAN_START, 1);
	instance = get(fixture, LB_A);
	burst(fixture, instance, changers, add_member, taken);
	for (int i = 0; i < CHANGERS; i++) {
		if (i == 3 || i == 5) {
			assert_int_equal(
				changers[i].r, error_code_to_errno(i == 3 ? ERROR_INVALID : ERROR_APPLY));
			continue;
		}
		assert_int_equal(changers[i].r, 0);
		assert_int_equal(changers[i].result.revision, ++revision);
	}
	assert_int_equal(changers[CHANGERS - 1].result.lb->pools[0].n_members, CHANGERS - 1);
	assert_true(port_answers(port));
	burst_done(changers);
}

static void *reload_once(void *userdata)
{
	struct changer *changer = userdata;
	_cleanup_(control_result_done) struct control_result result = CONTROL_RESULT_INIT;
	_cleanup_instance_ struct instance *instance = get(changer->fixture, LB_A);

	changer->r = instance_control(instance, INSTANCE_RELOAD, &result, &changer->err);
	changer->number = (int)result.plan.action;
	return NULL;
}

static void test_reloads_that_wait_are_one(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port();
	_cleanup_instance_ struct instance *instance = NULL;
	struct changer changers[4];

	fixture->settings.runtime_updates = false;
	upload(fixture, UPLOADED, fixture->base, port, "", 1, 1);
	reload_upload(fixture, PLAN_START);
	instance = get(fixture, LB_A);
	upload(fixture, UPLOADED, fixture->base, port, "", 1, 2);
	pthread_mutex_lock(&instance->lock);
	for (int i = 0; i < (int)ELEMENTSOF(changers); i++) {
		changers[i] = (struct changer){.fixture = fixture};
		assert_int_equal(pthread_create(&changers[i].thread, NULL, reload_once, &changers[i]), 0);
		while (i == 0 && !is_led(instance))
			poll(NULL, 0, 1);
		wait_for_queue(instance, (size_t)i);
	}
	pthread_mutex_unlock(&instance->lock);
	for (size_t i = 0; i < ELEMENTSOF(changers); i++) {
		pthread_join(changers[i].thread, NULL);
		assert_int_equal(changers[i].r, 0);
		/* The first one reloaded; there was nothing left for the others. */
		assert_int_equal(changers[i].number, i == 0 ? PLAN_RELOAD : PLAN_NONE);
	}
	assert_int_equal(fixture->reloads_announced, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RUNTIME_TEST(test_burst),
		RUNTIME_TEST(test_burst_with_idle_changes),
		RUNTIME_TEST(test_burst_with_a_bad_change),
		RUNTIME_TEST(test_reloads_that_wait_are_one),
	};

	if (access(DEFAULT_HAPROXY_CMD, X_OK) < 0) {
		fprintf(stderr, "%s is missing\n", DEFAULT_HAPROXY_CMD);
		return 77;
	}
	log_set_level(LOG_CRIT); /* failures that are logged are what is tested */
	return cmocka_run_group_tests_name("instance_burst", tests, NULL, NULL);
}
