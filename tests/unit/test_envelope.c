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
#include "agent/health/envelope.h"

#define KEY "a key with a \xc3\xa4"
#define HEAD "{\"id\":\"the amphora\",\"seq\":67,\"listeners\":{\"l\":{\"status\":\"OPEN\"}"
#define TAIL "},\"pools\":{\"p\":{\"status\":\"UP\",\"members\":{\"m1\":\"UP\",\"m2\":\"DOWN\"}}},\"ver\":3}"

enum { SIGNATURE = 64, RUN_TIMEOUT_MS = 60000 };

static struct envelope *make(void)
{
	struct envelope *envelope = NULL;

	assert_int_equal(envelope_new(&envelope), 0);
	return envelope;
}

static uint8_t *seal(struct envelope *envelope, const char *head_text, const char *tail_text, size_t *ret_length)
{
	_cleanup_text_ struct text head = TEXT_INIT, tail = TEXT_INIT;
	uint8_t *bytes = NULL;

	text_append(&head, head_text);
	text_append(&tail, tail_text);
	assert_int_equal(envelope_seal(envelope, &head, &tail, KEY, &bytes, ret_length, NULL), 0);
	return bytes;
}

/* Opened by zlib as a whole, as Octavia does it: to the byte. */
static void assert_sealed(struct envelope *envelope, const char *head, const char *tail)
{
	_cleanup_(json_decrefp) json_t *message = NULL;
	_cleanup_text_ struct text expected = TEXT_INIT;
	_cleanup_free_ uint8_t *bytes = NULL;
	_cleanup_free_ char *opened = NULL;
	uLongf room;
	size_t length;

	text_append(&expected, head);
	text_append(&expected, tail);
	bytes = seal(envelope, head, tail, &length);
	room = expected.length + 1;
	opened = calloc(1, room);
	assert_non_null(opened);
	assert_int_equal(uncompress((Bytef *)opened, &room, bytes, (uLong)(length - SIGNATURE)), Z_OK);
	assert_int_equal(room, expected.length);
	assert_string_equal(opened, text_peek(&expected));
	assert_int_equal(envelope_open(bytes, length, KEY, &message, NULL), 0);
}

static void test_round_trip(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *message = json_loads(HEAD TAIL, 0, NULL), *back = NULL, *unchecked = NULL;
	_cleanup_(envelope_freep) struct envelope *envelope = make();
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t length;

	bytes = seal(envelope, HEAD, TAIL, &length);
	assert_int_equal(bytes[0], 0x78); /* RFC 1950: deflate, 32 KiB window … */
	assert_int_equal((bytes[0] << 8 | bytes[1]) % 31, 0);
	assert_int_equal(envelope_open(bytes, length, KEY, &back, NULL), 0);
	assert_true(json_equal(message, back));
	memset(bytes + length - SIGNATURE, '0', SIGNATURE);
	assert_int_equal(envelope_open(bytes, length, NULL, &unchecked, NULL), 0);
	assert_true(json_equal(message, unchecked));
}

/* What was compressed for the message before serves only where it is the same. */
static void test_one_after_the_other(void **state _unused_)
{
	_cleanup_(envelope_freep) struct envelope *envelope = make();

	assert_sealed(envelope, "{\"seq\":1", ",\"m\":\"UP\"}");
	assert_sealed(envelope, "{\"seq\":2", ",\"m\":\"UP\"}");
	assert_sealed(envelope, "{\"seq\":3", ",\"m\":\"DO\"}");
	assert_sealed(envelope, "{\"seq\":4", ",\"m\":\"DOWN\"}");
	assert_sealed(envelope, "{\"seq\":4,\"m\":\"DOWN\"", "}");
	assert_sealed(envelope, "", "{\"seq\":5}");
	assert_sealed(envelope, "{\"seq\":5}", "");
	assert_sealed(envelope, "{\"seq\":6}", "");
}

static void append_id(struct text *text, uint32_t *number)
{
	for (unsigned i = 0; i < 4; i++) {
		*number = *number * 1664525 + 1013904223; /* Numerical Recipes' generator: nothing repeats */
		text_printf(text, "%08x", *number ^ *number >> 11);
	}
}

/* Either half may be large, and members as many as Octavia's compression (level 9) could fit a datagram, at least. */
static void test_large(void **state _unused_)
{
	_cleanup_text_ struct text head = TEXT_INIT, tail = TEXT_INIT;
	_cleanup_(envelope_freep) struct envelope *envelope = make();
	_cleanup_free_ uint8_t *bytes = NULL, *theirs = NULL;
	uint32_t number = 1;
	uLongf size;
	size_t length;

	text_append(&head, "{\"listeners\":[0");
	text_append(&tail, "],\"members\":{\"\":0");
	for (unsigned i = 0; i < 3000; i++) {
		text_append(&tail, ",\"");
		append_id(&tail, &number);
		text_append(&tail, i % 7 ? "\":\"no check\"" : "\":\"DOWN\"");
	}
	text_append(&tail, "}}");
	size = compressBound(tail.length);
	theirs = malloc(size);
	assert_non_null(theirs);
	assert_int_equal(compress2(theirs, &size, (const Bytef *)tail.data, tail.length, Z_BEST_COMPRESSION), Z_OK);
	bytes = seal(envelope, text_peek(&head), text_peek(&tail), &length);
	assert_in_range(length, 1, size + SIGNATURE);
	assert_sealed(envelope, text_peek(&head), text_peek(&tail));
	for (unsigned i = 0; i < 20000; i++)
		text_printf(&head, ",%u", (number = number * 1664525 + 1013904223));
	assert_sealed(envelope, text_peek(&head), text_peek(&tail));
}

static void assert_refused(const uint8_t *bytes, size_t length, const char *key, const char *words)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	json_t *message = NULL;

	assert_int_equal(envelope_open(bytes, length, key, &message, &err), -EINVAL);
	assert_int_equal(err.code, ERROR_INVALID);
	assert_null(message);
	if (!strstr(error_message(&err), words))
		fail_msg("\"%s\" does not say \"%s\"", error_message(&err), words);
}

static void test_forged(void **state _unused_)
{
	_cleanup_(envelope_freep) struct envelope *envelope = make();
	_cleanup_free_ uint8_t *bytes = NULL;
	struct text empty = TEXT_INIT;
	size_t length;

	bytes = seal(envelope, HEAD, TAIL, &length);
	assert_refused(bytes, length, "another key", "signature");
	assert_refused(bytes, length, "", "signature");
	bytes[length - 1] = (uint8_t)(bytes[length - 1] ^ 1);
	assert_refused(bytes, length, KEY, "signature");
	bytes[length - 1] = (uint8_t)(bytes[length - 1] ^ 1);
	bytes[3] = (uint8_t)(bytes[3] ^ 1);
	assert_refused(bytes, length, KEY, "signature");
	assert_refused(bytes, SIGNATURE, KEY, "short");
	assert_refused(bytes, 0, KEY, "short");
	assert_int_equal(envelope_seal(envelope, &empty, &empty, "", &bytes, &length, NULL), -EINVAL);
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
	_cleanup_(json_decrefp) json_t *message = json_loads(HEAD TAIL, 0, NULL), *back = NULL;
	_cleanup_(envelope_freep) struct envelope *envelope = make();
	_cleanup_free_ char *printed = NULL, *nothing = NULL, *expected = NULL, *theirs = NULL;
	const char *tmp = getenv("TMPDIR");
	_cleanup_free_ uint8_t *bytes = NULL;
	char folder[PATH_MAX], input[PATH_MAX + 16], output[PATH_MAX + 16];
	size_t length;

	snprintf(folder, sizeof(folder), "%s/envelope-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(folder));
	snprintf(input, sizeof(input), "%s/input", folder);
	snprintf(output, sizeof(output), "%s/output", folder);

	bytes = seal(envelope, HEAD, TAIL, &length);
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
	assert_int_equal(fileio_read(AT_FDCWD, output, 65536, &theirs, &length), 0);
	assert_int_equal(envelope_open((const uint8_t *)theirs, length, KEY, &back, NULL), 0);
	assert_true(json_equal(message, back));
	fileio_remove_tree(AT_FDCWD, folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_one_after_the_other),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_forged),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_bomb),
		cmocka_unit_test(test_octavia),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
