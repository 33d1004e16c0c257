/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "agent/base/text.h"
#include "agent/definition/uuid.h"

#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define LONG X50 X50 X50 X50 X50 X50

/* By Python's uuid.uuid5(); the first is also the example of RFC 9562, A.4. */
static const struct {
	const char *namespace_uuid, *name, *uuid;
} vectors[] = {
	{UUID_NAMESPACE_DNS, "www.example.com", "2ed6657d-e927-568b-95e1-2665a8aea6a2"},
	{UUID_NAMESPACE_DNS, "", "4ebd0208-8328-5d69-8c44-ec50939c0967"},
	{UUID_NAMESPACE_DNS, "\xc3\xbc \xe2\x82\xac", "5884d3db-34d7-5cf7-985b-6a5365253689"},
	{UUID_NAMESPACE_DNS, LONG, "8563d838-2cd7-5fbc-9b5c-88a26c27da93"},
	{"6ba7b811-9dad-11d1-80b4-00c04fd430c8", "www.example.com",
		"b63cdfa4-3df9-568e-97ae-006c5b8fd652"},
	{"6ba7b811-9dad-11d1-80b4-00c04fd430c8", "", "1b4db7eb-4057-5ddf-91e0-36dec72071f5"},
	{"6ba7b811-9dad-11d1-80b4-00c04fd430c8", "\xc3\xbc \xe2\x82\xac",
		"11e54abf-f3b7-5e05-80dc-b5bbcad4e891"},
	{"6ba7b811-9dad-11d1-80b4-00c04fd430c8", LONG, "458bdf5e-edc1-5563-9c58-3b789b486616"},
	{"00000000-0000-0000-0000-000000000000", "www.example.com",
		"399fc331-be2b-5b56-b676-d6f38dae5aaa"},
	{"00000000-0000-0000-0000-000000000000", "", "e129f27c-5103-5c5c-844b-cdf0a15e160d"},
	{"00000000-0000-0000-0000-000000000000", "\xc3\xbc \xe2\x82\xac",
		"181a45f7-f553-5343-b2dc-f6c540367fc5"},
	{"00000000-0000-0000-0000-000000000000", LONG, "44218cdc-0591-51d5-b53f-cdf7d7c96793"},
	{"ffffffff-ffff-ffff-ffff-ffffffffffff", "www.example.com",
		"8a315bc9-eb0b-5330-8d92-2f3b7b55e0ac"},
	{"ffffffff-ffff-ffff-ffff-ffffffffffff", "", "52e0e9d4-f46c-57ca-9bcb-0708d1863369"},
	{"ffffffff-ffff-ffff-ffff-ffffffffffff", "\xc3\xbc \xe2\x82\xac",
		"a6dc024b-3540-5710-b31b-accc3fa504c5"},
	{"ffffffff-ffff-ffff-ffff-ffffffffffff", LONG, "7d454389-9ef6-57b3-b824-ccfdc30f12e7"},
};

static void test_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(vectors); i++) {
		char uuid[UUID_SIZE];

		assert_int_equal(uuid_derive(vectors[i].namespace_uuid, vectors[i].name, uuid), 0);
		assert_string_equal(uuid, vectors[i].uuid);
		assert_true(text_is_uuid(uuid));
	}
}

static void test_read(void **state)
{
	static const char *const good[] = {"6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6BA7B810-9DAD-11d1-80B4-00C04FD430C8",
		"6ba7b8109dad11d180b400c04fd430c8", "6BA7B8109DAD11D180B400C04FD430C8"};
	static const char *const bad[] = {"", "x", "6ba7b8109dad11d180b400c04fd430c", "6ba7b8109dad11d180b400c04fd430c88",
		"6ba7b8109dad11d180b400c04fd430cg", "6ba7b810-9dad-11d1-80b4-00c04fd430c", "6ba7b810-9dad-11d180b4-00c04fd430c88",
		"{6ba7b810-9dad-11d1-80b4-00c04fd430c8}", "6ba7b810-9dad-11d1-80b4-00c04fd430c8\n",
		"6ba7b810-9dad-11d180b4-00c04fd4", "------------------------------------"};
	char uuid[UUID_SIZE] = "untouched";

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		assert_int_equal(uuid_read(bad[i], uuid), -EINVAL);
		assert_string_equal(uuid, "untouched");
	}
	for (size_t i = 0; i < ELEMENTSOF(good); i++) {
		assert_int_equal(uuid_read(good[i], uuid), 0);
		assert_string_equal(uuid, good[0]);
	}
}

static void test_bad_namespaces(void **state)
{
	static const char *const bad[] = {"", "x", "6BA7B810-9DAD-11D1-80B4-00C04FD430C8",
		"6ba7b8109dad11d180b400c04fd430c8"};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		char uuid[UUID_SIZE] = "untouched";

		assert_int_equal(uuid_derive(bad[i], "a", uuid), -EINVAL);
		assert_string_equal(uuid, "untouched");
	}
}

/* A derived id may be written over the one it is derived from. */
static void test_same_buffer(void **state)
{
	char uuid[UUID_SIZE] = UUID_NAMESPACE_DNS;

	(void)state;
	assert_int_equal(uuid_derive(uuid, "www.example.com", uuid), 0);
	assert_string_equal(uuid, vectors[0].uuid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_bad_namespaces),
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_same_buffer),
	};

	return cmocka_run_group_tests_name("uuid", tests, NULL, NULL);
}
