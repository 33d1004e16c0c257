/* SPDX-License-Identifier: Apache-2.0 */

/* What two definitions differ in, told by their objects. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/client/changes.h"
#include "tests/unit/quotes.h"

static const struct terminal terminal = {0};

static const char old_text[] =
	"{'id': 'L', 'name': 'web', 'tags': [], 'listeners': ["
	" {'id': 'l1', 'name': 'front', 'protocol_port': 80, 'l7policies': ["
	"  {'id': 'p1', 'name': '', 'rules': [{'id': 'r1', 'value': 'x'}]}]},"
	" {'id': 'l2', 'name': 'gone', 'protocol_port': 81}],"
	"'pools': [{'id': 'P', 'name': 'app', 'healthmonitor': {'id': 'h1', 'delay': 5}, 'members': ["
	" {'id': 'a', 'name': 'a', 'address': '10.0.0.1', 'protocol_port': 80, 'weight': 5},"
	" {'id': 'b', 'name': '', 'address': '2001:db8::1', 'protocol_port': 80, 'weight': 1}]}]}";

static const char new_text[] =
	"{'id': 'L', 'name': 'web', 'tags': ['t'], 'description': null, 'listeners': ["
	" {'id': 'l1', 'name': 'front', 'protocol_port': 80, 'connection_limit': 9, 'l7policies': ["
	"  {'id': 'p1', 'name': '', 'rules': [{'id': 'r1', 'value': ''}]}]}],"
	"'pools': [{'id': 'P', 'name': 'app', 'healthmonitor': {'id': 'h2', 'delay': 5}, 'members': ["
	" {'id': 'c', 'name': 'c', 'address': '10.0.0.3', 'protocol_port': 80, 'weight': 1},"
	" {'id': 'a', 'name': 'a', 'address': '10.0.0.1', 'protocol_port': 80, 'weight': 0}]}]}";

static json_t *find(const char *old_json, const char *new_json)
{
	json_auto_t *old = json_of(old_json), *new = json_of(new_json);
	json_t *changes = NULL;

	assert_int_equal(changes_find(old, new, &changes), 0);
	return changes;
}

static void tells_every_object(_unused_ void **state)
{
	json_auto_t *changes = find(old_text, new_text);
	_cleanup_text_ struct text out = TEXT_INIT;

	changes_print(changes, 100, "", &terminal, &out);
	assert_string_equal(text_peek(&out),
		"~ load balancer web: tags [] -> [\"t\"]\n"
		"~ listener front: connection_limit none -> 9\n"
		"~ rule r1 of L7 policy p1: value x -> \"\"\n"
		"- listener gone\n"
		"- health monitor h1 of pool app\n"
		"+ health monitor h2 of pool app\n"
		"+ member c of pool app\n"
		"~ member a of pool app: weight 5 -> 0\n"
		"- member [2001:db8::1]:80 of pool app\n");
}

static void nothing_is_different(_unused_ void **state)
{
	json_auto_t *changes = find(new_text, new_text);
	_cleanup_text_ struct text out = TEXT_INIT;

	assert_int_equal(json_array_size(changes), 0);
	changes_print(changes, 100, "", &terminal, &out);
	changes_summarise(changes, &out);
	assert_string_equal(text_peek(&out), "");
}

static void shows_the_first_ones(_unused_ void **state)
{
	json_auto_t *changes = find(old_text, new_text);
	_cleanup_text_ struct text out = TEXT_INIT, summary = TEXT_INIT;

	changes_print(changes, 1, "  ", &terminal, &out);
	assert_string_equal(text_peek(&out), "  ~ load balancer web: tags [] -> [\"t\"]\n  and 8 more\n");
	changes_summarise(changes, &summary);
	assert_string_equal(text_peek(&summary), "~ load balancer web: tags [] -> [\"t\"], and 8 more");
}

/* Values are cut, and what is in them is not obeyed. */
static void values_are_made_safe(_unused_ void **state)
{
	json_auto_t *changes = find("{'id': 'L', 'name': 'x'}",
		"{'id': 'L', 'name': '\\u001b[2J', 'tags': ['0123456789', '0123456789', '0123456789', '0123456789', '0123456']}");
	_cleanup_text_ struct text out = TEXT_INIT;

	changes_print(changes, 9, "", &terminal, &out);
	assert_string_equal(text_peek(&out),
		"~ load balancer ?[2J: name x -> ?[2J, tags none -> "
		"[\"0123456789\",\"0123456789\",\"0123456789\",\"0123456789\",\"012345...\n");
}

/* Documents of another shape than amphorad's. */
static void strange_documents_do_no_harm(_unused_ void **state)
{
	static const char *const documents[] = {"{}", "{'pools': 5}", "{'pools': [null, 3, {}]}", "{'listeners': {'id': 'x'}}",
		"{'pools': [{'id': 3, 'members': 'x', 'healthmonitor': []}]}"};

	for (size_t i = 0; i < ELEMENTSOF(documents); i++)
		for (size_t j = 0; j < ELEMENTSOF(documents); j++) {
			json_auto_t *changes = find(documents[i], documents[j]);
			_cleanup_text_ struct text out = TEXT_INIT;

			changes_print(changes, 9, "", &terminal, &out);
			if (i == j)
				assert_int_equal(json_array_size(changes), 0);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_every_object),
		cmocka_unit_test(nothing_is_different),
		cmocka_unit_test(shows_the_first_ones),
		cmocka_unit_test(values_are_made_safe),
		cmocka_unit_test(strange_documents_do_no_harm),
	};

	return cmocka_run_group_tests_name("client_changes", tests, NULL, NULL);
}
