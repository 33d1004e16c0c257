/* SPDX-License-Identifier: Apache-2.0 */

/* keepalived configurations of listeners, and what they and IPVS together say of members. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <string.h>

#include "agent/base/text.h"
#include "agent/health/lvs.h"

#define LB "11111111-1111-4111-8111-111111111111"
#define LISTENER "22222222-2222-4222-8222-222222222222"
#define POOL "33333333-3333-4333-8333-333333333333"
#define FIRST "aaaaaaaa-0000-4000-8000-000000000001"
#define SECOND "aaaaaaaa-0000-4000-8000-000000000002"
#define THIRD "aaaaaaaa-0000-4000-8000-000000000003"
#define SIXTH "aaaaaaaa-0000-4000-8000-000000000006"

/* As Octavia writes it. */
static const char octavia[] = "# Configuration for Loadbalancer " LB "\n"
			      "# Configuration for Listener " LISTENER "\n\n"
			      "net_namespace amphora-haproxy\n\n"
			      "virtual_server_group ipv4-group {\n"
			      "    10.0.0.5 5353\n"
			      "    10.0.0.6 5353\n"
			      "}\n\n"
			      "virtual_server group ipv4-group {\n"
			      "    lb_algo wrr\n"
			      "    lb_kind NAT\n"
			      "    protocol UDP\n"
			      "    delay_loop 2\n\n\n"
			      "    # Configuration for Pool " POOL "\n"
			      "    # Configuration for HealthMonitor 44444444-4444-4444-8444-444444444444\n"
			      "    # Configuration for Member " FIRST "\n"
			      "    real_server 10.0.1.2 5353 {\n"
			      "        weight 1\n"
			      "        MISC_CHECK {\n"
			      "            misc_path \"/var/lib/octavia/lvs/check/udp_check.sh 10.0.1.2 5353\"\n"
			      "        }\n"
			      "    }\n\n"
			      "    # Configuration for Member " SECOND "\n"
			      "    real_server 10.0.1.3 5353 {\n"
			      "        weight 2\n"
			      "    }\n\n"
			      "    # Member " THIRD " is disabled\n\n"
			      "}\n"
			      "virtual_server_group ipv6-group {\n"
			      "    fd00::5 5353\n"
			      "}\n\n"
			      "virtual_server group ipv6-group {\n"
			      "    protocol UDP\n"
			      "    # Configuration for Pool " POOL "\n"
			      "    # Configuration for Member " SIXTH "\n"
			      "    real_server fd00:1::2 5353 {\n"
			      "        weight 1\n"
			      "    }\n"
			      "}\n";

static void check_address(const struct lvs_address *address, const char *wanted, uint16_t port)
{
	char text[INET6_ADDRSTRLEN];

	assert_non_null(inet_ntop(address->family, &address->v6, text, sizeof(text)));
	assert_string_equal(text, wanted);
	assert_int_equal(address->port, port);
}

static void test_config(void **state)
{
	_cleanup_lvs_config_ struct lvs_config config = LVS_CONFIG_INIT;
	_cleanup_strv_ char **vips = NULL;

	(void)state;
	assert_int_equal(lvs_config_parse(octavia, strlen(octavia), &config), 0);
	assert_string_equal(config.lb_id, LB);
	assert_string_equal(config.listener_id, LISTENER);
	assert_string_equal(config.pool_id, POOL);
	assert_true(config.listener_enabled);
	assert_true(config.monitored);
	assert_false(config.rendered);
	assert_int_equal(config.protocol, IPPROTO_UDP);
	assert_int_equal(config.n_vips, 3);
	check_address(&config.vips[1], "10.0.0.6", 5353);
	check_address(&config.vips[2], "fd00::5", 5353);
	assert_int_equal(config.n_members, 4);
	assert_string_equal(config.members[1].id, SECOND);
	check_address(&config.members[1].address, "10.0.1.3", 5353);
	assert_string_equal(config.members[2].id, THIRD);
	assert_int_equal(config.members[2].address.family, 0);
	check_address(&config.members[3].address, "fd00:1::2", 5353);
	assert_int_equal(lvs_config_vips(&config, &vips), 0);
	assert_int_equal(strv_length(vips), 3);
	assert_string_equal(vips[0], "10.0.0.5");
}

static struct lvs_config parse(const char *text)
{
	struct lvs_config config = LVS_CONFIG_INIT;

	assert_int_equal(lvs_config_parse(text, strlen(text), &config), 0);
	return config;
}

static void test_less(void **state)
{
	_cleanup_lvs_config_ struct lvs_config config = LVS_CONFIG_INIT;

	(void)state;
	config = parse("");
	assert_false(config.listener_enabled);
	assert_string_equal(config.listener_id, "");
	lvs_config_done(&config);
	config = parse("# Configuration for Loadbalancer " LB "\n# Listener " LISTENER " is disabled\n");
	assert_string_equal(config.listener_id, LISTENER);
	assert_false(config.listener_enabled);
	lvs_config_done(&config);
	config = parse("# Rendered by amphorad from a definition: changes are lost\n"
		       "virtual_server group x {\n\tprotocol SCTP\n    # Pool " POOL " is disabled\n}");
	assert_true(config.rendered);
	assert_int_equal(config.protocol, IPPROTO_SCTP);
	assert_string_equal(config.pool_id, "");
}

static void test_hostile(void **state)
{
	static const char *const texts[] = {
		"real_server 10.0.0.1 80 {\n",
		"# Configuration for Member " FIRST "\nreal_server 10.0.0.1 99999999999999999999 {\n",
		"# Configuration for Member " FIRST "\nreal_server fe80::1%eth0 80 {\n",
		"virtual_server_group {\nnonsense\n1.2.3.4\n1.2.3.4 -1\n::1 x\n",
		"# Configuration for Listener ../../../etc/passwd\n",
		"# Configuration for Listener 22222222-2222-4222-8222-22222222222\n",
		"# # # # # #\n####\n#",
	};
	static const char with_nul[] = "# Configuration\0for Listener " LISTENER "\n";
	_cleanup_text_ struct text line = TEXT_INIT;
	struct lvs_config config;

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
		config = parse(texts[i]);
		assert_int_equal(config.n_vips, 0);
		assert_string_equal(config.listener_id, "");
		for (size_t j = 0; j < config.n_members; j++)
			assert_int_equal(config.members[j].address.family, 0);
		lvs_config_done(&config);
	}
	for (int i = 0; i < 100000; i++)
		text_append(&line, "# Configuration");
	config = parse(text_peek(&line));
	lvs_config_done(&config);
	assert_int_equal(lvs_config_parse(with_nul, sizeof(with_nul) - 1, &config), 0);
	assert_string_equal(config.listener_id, "");
	lvs_config_done(&config);
}

static struct ipvs_destination destination(const char *address, uint16_t port, uint32_t weight, uint64_t connections)
{
	struct ipvs_destination made;

	memset(&made, 0, sizeof(made));
	made.address.family = strchr(address, ':') ? AF_INET6 : AF_INET;
	made.address.port = port;
	assert_int_equal(inet_pton(made.address.family, address, &made.address.v6), 1);
	made.weight = weight;
	made.active_connections = 2;
	made.counters = (struct ipvs_counters){connections, connections * 10, connections * 100};
	return made;
}

static void check_status(const struct lvs_sample *sample, const char *first, const char *second, const char *third,
	const char *sixth)
{
	const char *const wanted[] = {first, second, third, sixth};

	assert_int_equal(sample->n_members, 4);
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(sample->members[i].status, wanted[i]);
}

static void test_members(void **state)
{
	struct ipvs_destination here[] = {destination("10.0.1.2", 5353, 1, 3), destination("10.0.1.9", 5353, 1, 1)};
	struct ipvs_destination six[] = {destination("fd00:1::2", 5353, 0, 5)};
	const struct ipvs_service v4 = {{4, 40, 400}, here, 2}, v6 = {{5, 50, 500}, six, 1}, none = {{1, 2, 3}, NULL, 0};
	const struct ipvs_service *both[] = {&v4, NULL, &v6}, *empty[] = {&none, NULL, NULL}, *nothing[] = {NULL, NULL, NULL};
	struct lvs_config config = parse(octavia);
	struct lvs_sample sample;

	(void)state;
	assert_int_equal(lvs_judge(&config, both, false, &sample), 0);
	assert_true(sample.has_pool);
	assert_string_equal(sample.pool_status, "UP");
	check_status(&sample, "UP", "DOWN", "MAINT", "DRAIN");
	assert_int_equal(sample.counters.connections, 9);
	assert_int_equal(sample.counters.bytes_in, 90);
	assert_int_equal(sample.counters.bytes_out, 900);
	assert_int_equal(sample.active_connections, 6);
	assert_int_equal(sample.members[0].counters.connections, 3);
	assert_int_equal(sample.members[1].counters.connections, 0);
	lvs_sample_done(&sample);

	/* keepalived has not read the file yet. */
	config = parse(octavia);
	assert_int_equal(lvs_judge(&config, both, true, &sample), 0);
	check_status(&sample, "UP", "RESTARTING", "MAINT", "DRAIN");
	lvs_sample_done(&sample);

	config = parse(octavia);
	assert_int_equal(lvs_judge(&config, empty, false, &sample), 0);
	assert_string_equal(sample.pool_status, "DOWN");
	check_status(&sample, "DOWN", "DOWN", "MAINT", "DOWN");
	assert_int_equal(sample.counters.connections, 1);
	lvs_sample_done(&sample);

	/* Without checks there is no telling. */
	config = parse(octavia);
	config.monitored = false;
	assert_int_equal(lvs_judge(&config, nothing, false, &sample), 0);
	assert_string_equal(sample.pool_status, "UP");
	check_status(&sample, "no check", "no check", "MAINT", "no check");
	lvs_sample_done(&sample);

	config = parse(octavia);
	config.monitored = false;
	assert_int_equal(lvs_judge(&config, both, false, &sample), 0);
	check_status(&sample, "no check", "DOWN", "MAINT", "DRAIN");
	lvs_sample_done(&sample);
}

static void test_snapshot(void **state)
{
	struct ipvs_destination here[] = {destination("10.0.1.2", 5353, 1, 3)};
	const struct ipvs_service v4 = {{4, 40, 400}, here, 1};
	const struct ipvs_service *services[] = {&v4, NULL, NULL};
	_cleanup_snapshot_ struct health_snapshot *snapshot = NULL, *disabled = NULL;
	_cleanup_(counters_freep) struct counters *counters = NULL;
	struct lvs_config config = parse(octavia);
	struct lvs_sample sample;
	char directory[] = "/tmp/amphorad-lvs-XXXXXX";
	int fd;

	(void)state;
	assert_non_null(mkdtemp(directory));
	fd = open(directory, O_RDONLY | O_DIRECTORY);
	assert_int_equal(counters_new(fd, "counters", &counters, NULL), 0);
	assert_int_equal(lvs_judge(&config, services, false, &sample), 0);
	assert_int_equal(lvs_snapshot(&sample, LISTENER, &snapshot, NULL), 0);
	assert_true(snapshot->answered);
	assert_string_equal(snapshot->lb_id, LISTENER);
	assert_int_equal(snapshot->n_listeners, 1);
	assert_string_equal(snapshot->listeners[0].id, LISTENER);
	assert_string_equal(snapshot->listeners[0].status, "OPEN");
	assert_int_equal(snapshot->listeners[0].current_connections, 2);
	assert_string_equal(snapshot->pools[0].key, POOL);
	assert_non_null(snapshot_find_pool(snapshot, POOL));
	assert_string_equal(pool_health_find_member_near(&snapshot->pools[0], SECOND, &(size_t){0})->status, "DOWN");

	/* Counted as the kernel goes on, and anew when the service was made anew. */
	assert_int_equal(lvs_count(&sample, counters, snapshot), 0);
	assert_int_equal(snapshot->listeners[0].totals.total_connections, 4);
	sample.counters.connections = 6;
	assert_int_equal(lvs_count(&sample, counters, snapshot), 0);
	assert_int_equal(snapshot->listeners[0].totals.total_connections, 6);
	sample.counters = (struct ipvs_counters){1, 1, 1};
	assert_int_equal(lvs_count(&sample, counters, snapshot), 0);
	assert_int_equal(snapshot->listeners[0].totals.total_connections, 7);

	sample.config.listener_enabled = false;
	assert_int_equal(lvs_snapshot(&sample, LISTENER, &disabled, NULL), 0);
	assert_int_equal(disabled->n_listeners, 0);
	assert_int_equal(disabled->n_pools, 0);
	assert_int_equal(snapshot_append(disabled, snapshot), 0);
	assert_int_equal(disabled->n_listeners, 1);
	assert_int_equal(snapshot->n_pools, 0);
	lvs_sample_done(&sample);
	close(fd);
	rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_less),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_snapshot),
	};

	return cmocka_run_group_tests_name("lvs", tests, NULL, NULL);
}
