/* SPDX-License-Identifier: Apache-2.0 */

/* Random changes one after the other, planned and carried out on the real HAProxy. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "agent/base/text.h"
#include "tests/unit/real_haproxy.h"

/* A configuration of two pools, changed at random. */
struct model {
	unsigned frontend_maxconn;
	struct pool_model {
		unsigned algorithm;
		bool checked;
		struct server_model {
			bool exists, disabled, backup, send_proxy;
			unsigned address, weight, monitor_port;
		} servers[N_SERVERS];
	} pools[2];
};

static const char *const algorithms[] = {
	"roundrobin", "leastconn", "source\n hash-type consistent", "source"};

static unsigned next_random(unsigned *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 16;
}

static void change_server(struct server_model *server, unsigned *seed)
{
	switch (next_random(seed) % 8) {
	case 0:
	case 1:
	case 2:
		server->exists = !server->exists;
		break;
	case 3:
		server->disabled = !server->disabled;
		break;
	case 4:
		server->address = next_random(seed) % 50;
		break;
	case 5:
		server->weight = next_random(seed) % 4;
		break;
	case 6:
		server->monitor_port = next_random(seed) % 3;
		break;
	default:
		if (next_random(seed) % 2)
			server->send_proxy = !server->send_proxy;
		else
			server->backup = !server->backup;
	}
}

static void change_model(struct model *model, unsigned *seed)
{
	unsigned n = 1 + next_random(seed) % 4;

	if (next_random(seed) % 8 == 0)
		model->frontend_maxconn = 10 + next_random(seed) % 90;
	if (next_random(seed) % 12 == 0)
		model->pools[next_random(seed) % 2].algorithm =
			next_random(seed) % ELEMENTSOF(algorithms);
	for (unsigned i = 0; i < n; i++)
		change_server(
			&model->pools[next_random(seed) % 2].servers[next_random(seed) % N_SERVERS],
			seed);
}

static char *text_of(const struct model *model)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	char *result;

	text_printf(&text,
		"defaults\n timeout connect 1s\n timeout client 5s\n timeout server 5s\n"
		"frontend f\n bind unix@f.sock\n maxconn %u\n default_backend b0\n",
		model->frontend_maxconn);
	for (size_t i = 0; i < ELEMENTSOF(model->pools); i++) {
		const struct pool_model *pool = &model->pools[i];

		text_printf(&text, "backend b%zu\n balance %s\n option allbackups\n", i,
			algorithms[pool->algorithm]);
		for (size_t j = 0; j < N_SERVERS; j++) {
			const struct server_model *server = &pool->servers[j];

			if (!server->exists)
				continue;
			text_printf(&text, " server s%zu 127.0.0.%u:7 weight %u id %zu", j,
				1 + server->address, server->weight, 10 + j);
			if (pool->checked)
				text_append(&text, " check inter 60s rise 3 fall 3");
			if (pool->checked && server->monitor_port)
				text_printf(&text, " port %u", server->monitor_port);
			text_printf(&text, "%s%s%s\n", server->send_proxy ? " send-proxy-v2" : "",
				server->backup ? " backup" : "",
				server->disabled ? " disabled" : "");
		}
	}
	assert_int_equal(text_finish(&text, &result, NULL), 0);
	return result;
}

static void run_sequence(unsigned seed, unsigned *ret_runtime)
{
	struct model model = {
		.frontend_maxconn = 50, .pools = {{.checked = true}, {.checked = false}}};
	struct plan_leaving *leaving = NULL;
	size_t n_leaving = 0;
	struct haproxy haproxy;
	char *running;

	for (size_t i = 0; i < N_SERVERS; i++)
		for (size_t j = 0; j < ELEMENTSOF(model.pools); j++)
			model.pools[j].servers[i] = (struct server_model){
				.exists = i % 2, .weight = 1, .address = (unsigned)i};
	running = text_of(&model);
	make_folder(&haproxy);
	start(&haproxy, running);
	for (int i = 0; i < N_CHANGES; i++) {
		_cleanup_plan_ struct plan plan = PLAN_INIT;
		char *wanted;

		change_model(&model, &seed);
		wanted = text_of(&model);
		plan = make_plan(&haproxy, &(struct situation){.running = running,
						   .wanted = wanted,
						   .leaving = leaving,
						   .n_leaving = n_leaving});
		assert_int_equal(plan.action == PLAN_NONE, streq(running, wanted));
		plan_leaving_free(leaving, n_leaving);
		leaving = TAKE_PTR(plan.leaving);
		n_leaving = plan.n_leaving;
		plan.n_leaving = 0;
		if (plan.action == PLAN_RELOAD) {
			stop(&haproxy);
			start(&haproxy, wanted);
		} else {
			apply(&haproxy, &plan);
			*ret_runtime += plan.action == PLAN_RUNTIME;
		}
		check_state(&haproxy, wanted, leaving, n_leaving);
		if (plan.action == PLAN_RUNTIME && i % 3 == 2)
			compare_with_fresh(&haproxy, wanted, leaving, n_leaving);
		free(running);
		running = wanted;
	}
	plan_leaving_free(leaving, n_leaving);
	free(running);
	stop(&haproxy);
	remove_folder(&haproxy);
}

/* The sequences are always the same, unless another beginning is named: PLAN_REAL_SEED, which is
 * printed on failure. */
static void test_random_sequences(void **state)
{
	const char *seed = getenv("PLAN_REAL_SEED");
	unsigned first = seed ? (unsigned)atoi(seed) : 1, runtime = 0;

	(void)state;
	for (unsigned i = 0; i < N_SEQUENCES; i++) {
		print_message("sequence PLAN_REAL_SEED=%u\n", first + i);
		run_sequence(first + i, &runtime);
	}
	/* Most of them need no reload. */
	assert_true(runtime > N_SEQUENCES * N_CHANGES / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_sequences),
	};

	if (!haproxy_is_there()) {
		printf("HAProxy 2.6 or later is not installed\n");
		return 77;
	}
	return cmocka_run_group_tests_name("plan_random", tests, NULL, NULL);
}
