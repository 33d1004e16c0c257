/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <limits.h>
#include <zlib.h>

#include "agent/base/fileio.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/health/message.h"

#define KEY "a key with a \xc3\xa4"
#define LISTENER "11111111-0000-4000-8000-000000000001"
#define POOL "22222222-0000-4000-8000-000000000001:" LISTENER

enum { SIGNATURE = 64, RUN_TIMEOUT_MS = 60000 };

static char listener_id[] = LISTENER, pool_key[] = POOL, status_open[] = "OPEN", status_up[] = "UP",
	    m1[] = "m1", m2[] = "m2", m3[] = "m3", m4[] = "m4", m5[] = "m5", none[] = "",
	    down[] = "DOWN 1/2", drain[] = "DRAIN", maint[] = "MAINT (resolution)",
	    no_check[] = "no check";

static json_t *example(void)
{
	struct listener_health listener = {
		.id = listener_id, .status = status_open, .current_connections = 3};
	struct member_health members[] = {{m1, status_up, none}, {m2, down, none},
		{m3, drain, none}, {m4, maint, none}, {m5, no_check, none}};
	struct pool_health pool = {.key = pool_key,
		.status = status_up,
		.members = members,
		.n_members = ELEMENTSOF(members)};
	struct health_snapshot answered = {.lb_id = "lb",
		.answered = true,
		.listeners = &listener,
		.n_listeners = 1,
		.pools = &pool,
		.n_pools = 1};
	struct health_snapshot silent = {.lb_id = "other"};
	struct health_snapshot *const snapshots[] = {&silent, &answered};
	_cleanup_(counters_freep) struct counters *counters = NULL;
	struct listener_totals sent;
	json_t *message = NULL;

	assert_int_equal(counters_new(AT_FDCWD, "/nonexistent/counters", &counters, NULL), 0);
	assert_int_equal(counters_sample(counters, "lb", LISTENER, 1, 1,
				 &(struct listener_totals){
					 .bytes_in = 5, .bytes_out = 100, .total_connections = 1}),
		0);
	sent = counters_unsent(counters, "lb", LISTENER);
	counters_mark_sent(counters, "lb", LISTENER, &sent);
	assert_int_equal(counters_sample(counters, "lb", LISTENER, 1, 1,
				 &(struct listener_totals){.bytes_in = 15,
					 .bytes_out = 300,
					 .total_connections = 5,
					 .request_errors = 1}),
		0);
	assert_int_equal(heartbeat_message("the amphora", 67, snapshots, 2, counters, &message), 0);
	return message;
}

static void test_content(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *message = example();
	_cleanup_free_ char *text = json_dumps(message, JSON_COMPACT);

	assert_string_equal(text,
		"{\"id\":\"the amphora\",\"seq\":67,\"listeners\":{\"" LISTENER
		"\":{\"status\":\"OPEN\",\"stats\":{\"tx\":200,\"rx\":10,\"conns\":3,\"totconns\":"
		"4,"
		"\"ereq\":1}}},\"pools\":{\"" POOL
		"\":{\"status\":\"UP\",\"members\":{\"m1\":\"UP\",\"m2\":\"DOWN\",\"m3\":\"DRAIN\","
		"\"m4\":\"MAINT\",\"m5\":\"no check\"}}},\"ver\":3}");
}

static void test_round_trip(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *message = example(), *back = NULL, *unchecked = NULL;
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t length;

	assert_int_equal(heartbeat_wrap(message, KEY, &bytes, &length, NULL), 0);
	assert_int_equal(bytes[0], 0x78); /* RFC 1950: deflate, 32 KiB window … */
	assert_int_equal(bytes[1], 0x01); /* … fastest algorithm: level 1 */
	assert_int_equal(heartbeat_unwrap(bytes, length, KEY, &back, NULL), 0);
	assert_true(json_equal(message, back));
	memset(bytes + length - SIGNATURE, '0', SIGNATURE);
	assert_int_equal(heartbeat_unwrap(bytes, length, NULL, &unchecked, NULL), 0);
	assert_true(json_equal(message, unchecked));
}

/* What would not fit into half a datagram is compressed as well as can be. */
static void test_large(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *message = example(), *back = NULL;
	json_t *names = json_array();
	_cleanup_free_ uint8_t *bytes = NULL;
	uint32_t number = 1;
	size_t length;

	for (unsigned i = 0; i < 4000; i++) {
		char name[40];

		number = number * 1664525 + 1013904223; /* Numerical Recipes' generator: nothing repeats */
		snprintf(name, sizeof(name), "%08x%08x", number, number ^ 0x5bd1e995 * i);
		json_array_append_new(names, json_string(name));
	}
	json_object_set_new(message, "names", names);
	assert_int_equal(heartbeat_wrap(message, KEY, &bytes, &length, NULL), 0);
	assert_true(length > 32 * 1024);
	assert_int_equal(bytes[1], 0xda);
	assert_int_equal(heartbeat_unwrap(bytes, length, KEY, &back, NULL), 0);
	assert_true(json_equal(message, back));
}

static void assert_refused(const uint8_t *bytes, size_t length, const char *key, const char *words)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	json_t *message = NULL;

	assert_int_equal(heartbeat_unwrap(bytes, length, key, &message, &err), -EINVAL);
	assert_int_equal(err.code, ERROR_INVALID);
	assert_null(message);
	if (!strstr(error_message(&err), words))
		fail_msg("\"%s\" does not say \"%s\"", error_message(&err), words);
}

static void test_forged(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *message = example();
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t length;

	assert_int_equal(heartbeat_wrap(message, KEY, &bytes, &length, NULL), 0);
	assert_refused(bytes, length, "another key", "signature");
	assert_refused(bytes, length, "", "signature");
	bytes[length - 1] = (uint8_t)(bytes[length - 1] ^ 1);
	assert_refused(bytes, length, KEY, "signature");
	bytes[length - 1] = (uint8_t)(bytes[length - 1] ^ 1);
	bytes[3] = (uint8_t)(bytes[3] ^ 1);
	assert_refused(bytes, length, KEY, "signature");
	assert_refused(bytes, SIGNATURE, KEY, "short");
	assert_refused(bytes, 0, KEY, "short");
	assert_int_equal(heartbeat_wrap(message, "", &bytes, &length, NULL), -EINVAL);
}

/* "text" compressed, with room for the signature, which is not checked. */
static uint8_t *compressed(const char *text, size_t length, size_t *ret_length)
{
	uLongf size = compressBound(length);
	uint8_t *bytes = calloc(1, size + SIGNATURE);

	assert_non_null(bytes);
	assert_int_equal(compress2(bytes, &size, (const Bytef *)text, length, 9), Z_OK);
	*ret_length = size + SIGNATURE;
	return bytes;
}

static void test_broken(void **state _unused_)
{
	static const struct {
		const char *text, *words;
	} cases[] = {
		{"", "not JSON"},
		{"{", "not JSON"},
		{"[]", "not a JSON object"},
		{"{\"a\":\"\xff\"}", "not JSON"},
	};
	_cleanup_free_ uint8_t *good = NULL, *longer = NULL;
	uint8_t noise[100] = {1, 2, 3};
	size_t length;

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		_cleanup_free_ uint8_t *bytes =
			compressed(cases[i].text, strlen(cases[i].text), &length);

		assert_refused(bytes, length, NULL, cases[i].words);
	}
	assert_refused(noise, sizeof(noise), NULL, "zlib");

	good = compressed("{\"a\":1}", 7, &length);
	/* The signature is what stands at the end: a byte less eats a byte of the data. */
	assert_refused(good, length - 1, NULL, "zlib");
	longer = calloc(1, length + 1);
	assert_non_null(longer);
	memcpy(longer, good, length);
	assert_refused(longer, length + 1, NULL, "after its zlib data");
}

static void test_bomb(void **state _unused_)
{
	const size_t size = 65 * 1024 * 1024;
	_cleanup_free_ uint8_t *bytes = NULL;
	char *zeros = calloc(1, size);
	size_t length;

	assert_non_null(zeros);
	bytes = compressed(zeros, size, &length);
	free(zeros);
	assert_in_range(length, 1, 128 * 1024);
	assert_refused(bytes, length, NULL, "opens to more than");
}

/* Runs Octavia's code; false and a message where it is not there. */
static bool octavia(const char *verb, const char *input, const char *output, char **ret_printed)
{
	const char *source = getenv("AMPHORAD_SRC_DIR"), *python = getenv("AMPHORAD_PYTHON");
	char script[PATH_MAX];
	const char *const argv[] = {
		python ? python : "/usr/bin/python3", script, verb, KEY, input, output, NULL};
	struct process_result result = PROCESS_RESULT_INIT;
	int r;

	snprintf(script, sizeof(script), "%s/tests/unit/heartbeat_octavia.py",
		source ? source : ".");
	r = process_run(argv, NULL, RUN_TIMEOUT_MS, 1024 * 1024, &result);
	if (r == -ENOENT || (r == 0 && result.exit_status == 77)) {
		print_message("not compared with Octavia: %s\n",
			r < 0 ? "Python is missing" : result.output);
		process_result_done(&result);
		return false;
	}
	assert_int_equal(r, 0);
	if (result.exit_status != 0)
		fail_msg("heartbeat_octavia.py: %s", result.output);
	*ret_printed = result.output;
	return true;
}

static void test_octavia(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *message = example(), *back = NULL;
	_cleanup_free_ char *printed = NULL, *nothing = NULL, *expected = NULL, *envelope = NULL;
	const char *tmp = getenv("TMPDIR");
	_cleanup_free_ uint8_t *bytes = NULL;
	char folder[PATH_MAX], input[PATH_MAX + 16], output[PATH_MAX + 16];
	size_t length;

	snprintf(folder, sizeof(folder), "%s/message-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(folder));
	snprintf(input, sizeof(input), "%s/input", folder);
	snprintf(output, sizeof(output), "%s/output", folder);

	assert_int_equal(heartbeat_wrap(message, KEY, &bytes, &length, NULL), 0);
	assert_int_equal(fileio_write(AT_FDCWD, input, bytes, length, 0600), 0);
	if (!octavia("unwrap", input, NULL, &printed)) {
		fileio_remove_tree(AT_FDCWD, folder);
		skip();
	}
	back = json_loads(printed, 0, NULL);
	assert_true(json_equal(message, back));
	json_decref(TAKE_PTR(back));

	expected = json_dumps(message, 0);
	assert_int_equal(fileio_write(AT_FDCWD, input, expected, strlen(expected), 0600), 0);
	assert_true(octavia("wrap", input, output, &nothing));
	assert_int_equal(fileio_read(AT_FDCWD, output, 65536, &envelope, &length), 0);
	assert_int_equal(heartbeat_unwrap((const uint8_t *)envelope, length, KEY, &back, NULL), 0);
	assert_true(json_equal(message, back));
	fileio_remove_tree(AT_FDCWD, folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_content),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_forged),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_bomb),
		cmocka_unit_test(test_octavia),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
