/* SPDX-License-Identifier: Apache-2.0 */

/* Rules of a controller: what is taken, what is refused, and the transaction that they become. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "agent/base/text.h"
#include "agent/network/firewall_rules.h"

static json_t *load(const char *text)
{
	json_error_t problem;
	json_t *document = json_loads(text, JSON_DECODE_ANY, &problem);

	if (!document)
		fail_msg("%s: %s", text, problem.text);
	return document;
}

static void parse(const char *text, struct firewall_rules *ret)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	json_auto_t *document = load(text);

	if (firewall_rules_parse(document, ret, &err) < 0)
		fail_msg("%s: %s: %s", text, err.pointer, error_message(&err));
}

static void assert_refused(const char *text, enum error_code code, const char *pointer)
{
	struct firewall_rules rules = {(struct firewall_rule *)&rules, 7};
	_cleanup_error_ struct error err = ERROR_INIT;
	json_auto_t *document = load(text);

	assert_true(firewall_rules_parse(document, &rules, &err) < 0);
	assert_int_equal(err.code, code);
	if (!streq_null(err.pointer, pointer))
		fail_msg("%s: %s instead of %s: %s", text, err.pointer, pointer, error_message(&err));
	assert_int_equal(rules.n, 7);
}

static void test_bad_rules(void **state)
{
	static const struct {
		const char *text, *pointer;
	} rows[] = {
		{"{}", ""},
		{"null", ""},
		{"\"[]\"", ""},
		{"[[]]", "/0"},
		{"[null]", "/0"},
		{"[{}]", "/0/protocol"},
		{"[{\"protocol\":\"TCP\",\"cidr\":null,\"port\":1},{\"protocol\":\"ICMP\",\"cidr\":null,\"port\":1}]",
			"/1/protocol"},
		{"[{\"protocol\":\"tcp\",\"cidr\":null,\"port\":1}]", "/0/protocol"},
		{"[{\"protocol\":6,\"cidr\":null,\"port\":1}]", "/0/protocol"},
		{"[{\"protocol\":\"TCP\",\"port\":1}]", "/0/cidr"},
		{"[{\"protocol\":\"TCP\",\"cidr\":\"\",\"port\":1}]", "/0/cidr"},
		{"[{\"protocol\":\"TCP\",\"cidr\":\"10.0.0.0/33\",\"port\":1}]", "/0/cidr"},
		{"[{\"protocol\":\"TCP\",\"cidr\":\"10.0.0.0/\",\"port\":1}]", "/0/cidr"},
		{"[{\"protocol\":\"TCP\",\"cidr\":\"10.0.0.0/-1\",\"port\":1}]", "/0/cidr"},
		{"[{\"protocol\":\"TCP\",\"cidr\":\"10.0.0/8\",\"port\":1}]", "/0/cidr"},
		{"[{\"protocol\":\"TCP\",\"cidr\":\"::/129\",\"port\":1}]", "/0/cidr"},
		{"[{\"protocol\":\"TCP\",\"cidr\":\"fe80::1%eth0\",\"port\":1}]", "/0/cidr"},
		{"[{\"protocol\":\"TCP\",\"cidr\":\"0.0.0.0/0 accept; }\",\"port\":1}]", "/0/cidr"},
		{"[{\"protocol\":\"TCP\",\"cidr\":{},\"port\":1}]", "/0/cidr"},
		{"[{\"protocol\":\"TCP\",\"cidr\":null}]", "/0/port"},
		{"[{\"protocol\":\"TCP\",\"cidr\":null,\"port\":0}]", "/0/port"},
		{"[{\"protocol\":\"TCP\",\"cidr\":null,\"port\":65536}]", "/0/port"},
		{"[{\"protocol\":\"TCP\",\"cidr\":null,\"port\":-80}]", "/0/port"},
		{"[{\"protocol\":\"TCP\",\"cidr\":null,\"port\":80.5}]", "/0/port"},
		{"[{\"protocol\":\"TCP\",\"cidr\":null,\"port\":\"80\"}]", "/0/port"},
		{"[{\"protocol\":\"TCP\",\"cidr\":null,\"port\":9223372036854775807}]", "/0/port"},
		{"[{\"protocol\":\"vrrp\",\"cidr\":null}]", "/0/port"},
		{"[{\"protocol\":\"TCP\",\"cidr\":null,\"port\":1,\"more\":1}]", "/0"},
		{"[{\"non-sriov-vip\":true}]", "/0/protocol"},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++)
		assert_refused(rows[i].text, ERROR_INVALID, rows[i].pointer);
}

static void test_too_many(void **state)
{
	_cleanup_text_ struct text text = TEXT_INIT;

	(void)state;
	for (int i = 0; i <= FIREWALL_MAX_RULES; i++)
		text_printf(&text, "%s{\"protocol\":\"TCP\",\"cidr\":null,\"port\":1}", i ? "," : "[");
	text_append(&text, "]");
	assert_refused(text_peek(&text), ERROR_TOO_LARGE, "");
}

/* What is kept is the set: sorted, each once, networks masked, everybody as null. */
static void test_kept(void **state)
{
	_cleanup_firewall_rules_ struct firewall_rules rules = FIREWALL_RULES_INIT, again = FIREWALL_RULES_INIT;
	_cleanup_free_ char *text = NULL, *same = NULL;
	json_auto_t *kept = NULL, *repeated = NULL;

	(void)state;
	parse("[{\"protocol\":\"vrrp\",\"cidr\":\"192.0.2.3/32\",\"port\":112},"
	      "{\"protocol\":\"VRRP\",\"cidr\":\"192.0.2.3\",\"port\":1},"
	      "{\"port\":443,\"protocol\":\"TCP\",\"cidr\":\"0.0.0.0/0\"},"
	      "{\"protocol\":\"TCP\",\"cidr\":null,\"port\":443},"
	      "{\"protocol\":\"UDP\",\"cidr\":\"2001:DB8::1/64\",\"port\":53},"
	      "{\"protocol\":\"UDP\",\"cidr\":\"::/0\",\"port\":53},"
	      "{\"protocol\":\"TCP\",\"cidr\":\"10.1.2.3/8\",\"port\":80},"
	      "{\"protocol\":\"SCTP\",\"cidr\":\"10.1.2.3/0\",\"port\":9}]",
		&rules);
	kept = firewall_rules_to_json(&rules);
	text = json_dumps(kept, JSON_COMPACT);
	assert_string_equal(text, "[{\"protocol\":\"TCP\",\"cidr\":\"10.0.0.0/8\",\"port\":80},"
				  "{\"protocol\":\"TCP\",\"cidr\":null,\"port\":443},"
				  "{\"protocol\":\"UDP\",\"cidr\":\"::/0\",\"port\":53},"
				  "{\"protocol\":\"UDP\",\"cidr\":\"2001:db8::/64\",\"port\":53},"
				  "{\"protocol\":\"vrrp\",\"cidr\":\"192.0.2.3/32\",\"port\":112},"
				  "{\"protocol\":\"SCTP\",\"cidr\":null,\"port\":9}]");
	parse(text, &again);
	repeated = firewall_rules_to_json(&again);
	same = json_dumps(repeated, JSON_COMPACT);
	assert_string_equal(same, text);
}

/* The expressions of the commands that add a rule to "chain", a line each. */
static char *rules_of(const json_t *transaction, const char *chain)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	const json_t *command;
	char *result = NULL;
	size_t i;

	json_array_foreach(json_object_get(transaction, "nftables"), i, command) {
		const json_t *rule = json_object_get(json_object_get(command, "add"), "rule");
		_cleanup_free_ char *line = json_dumps(json_object_get(rule, "expr"), JSON_COMPACT);

		if (rule && streq(json_string_value(json_object_get(rule, "chain")), chain))
			text_printf(&text, "%s\n", line);
	}
	assert_int_equal(text_finish(&text, &result, NULL), 0);
	return result;
}

static void test_transaction(void **state)
{
	_cleanup_firewall_rules_ struct firewall_rules vip = FIREWALL_RULES_INIT, other = FIREWALL_RULES_INIT;
	struct firewall_interface interfaces[] = {{"eth1", &vip}, {"eth2", &other}};
	_cleanup_free_ char *first = NULL, *base = NULL, *of_vip = NULL, *of_other = NULL;
	json_auto_t *transaction = NULL, *head = json_array();
	const json_t *commands;

	(void)state;
	parse("[{\"protocol\":\"TCP\",\"cidr\":\"10.0.0.0/8\",\"port\":80},"
	      "{\"protocol\":\"UDP\",\"cidr\":\"2001:db8::1\",\"port\":53},"
	      "{\"protocol\":\"SCTP\",\"cidr\":\"::/0\",\"port\":9},"
	      "{\"protocol\":\"vrrp\",\"cidr\":\"2001:db8::2/128\",\"port\":112}]",
		&vip);
	transaction = firewall_transaction(interfaces, ELEMENTSOF(interfaces));
	commands = json_object_get(transaction, "nftables");
	/* It drops what no rule accepts, and empties what there is. */
	for (size_t i = 0; i < 3; i++)
		json_array_append(head, json_array_get(commands, i));
	first = json_dumps(head, JSON_COMPACT);
	assert_string_equal(first, "[{\"add\":{\"table\":{\"family\":\"inet\",\"name\":\"amphora_table\"}}},"
				   "{\"add\":{\"chain\":{\"family\":\"inet\",\"table\":\"amphora_table\","
				   "\"name\":\"amphora_chain\",\"type\":\"filter\",\"hook\":\"input\",\"prio\":0,"
				   "\"policy\":\"drop\"}}},"
				   "{\"flush\":{\"chain\":{\"family\":\"inet\",\"table\":\"amphora_table\","
				   "\"name\":\"amphora_chain\"}}}]");
	of_vip = rules_of(transaction, "amphora_vip_chain");
	assert_string_equal(of_vip,
		"[{\"match\":{\"op\":\"==\",\"left\":{\"payload\":{\"protocol\":\"ip\",\"field\":\"saddr\"}},"
		"\"right\":{\"prefix\":{\"addr\":\"10.0.0.0\",\"len\":8}}}},"
		"{\"match\":{\"op\":\"==\",\"left\":{\"payload\":{\"protocol\":\"tcp\",\"field\":\"dport\"}},"
		"\"right\":80}},{\"accept\":null}]\n"
		"[{\"match\":{\"op\":\"==\",\"left\":{\"payload\":{\"protocol\":\"ip6\",\"field\":\"saddr\"}},"
		"\"right\":\"2001:db8::1\"}},"
		"{\"match\":{\"op\":\"==\",\"left\":{\"payload\":{\"protocol\":\"udp\",\"field\":\"dport\"}},"
		"\"right\":53}},{\"accept\":null}]\n"
		"[{\"match\":{\"op\":\"==\",\"left\":{\"payload\":{\"protocol\":\"ip6\",\"field\":\"saddr\"}},"
		"\"right\":\"2001:db8::2\"}},"
		"{\"match\":{\"op\":\"==\",\"left\":{\"meta\":{\"key\":\"l4proto\"}},\"right\":112}},{\"accept\":null}]\n"
		"[{\"match\":{\"op\":\"==\",\"left\":{\"meta\":{\"key\":\"nfproto\"}},\"right\":\"ipv6\"}},"
		"{\"match\":{\"op\":\"==\",\"left\":{\"payload\":{\"protocol\":\"sctp\",\"field\":\"dport\"}},"
		"\"right\":9}},{\"accept\":null}]\n");
	/* An interface without rules is still guarded. */
	of_other = rules_of(transaction, "amphora_vip_chain_eth2");
	assert_string_equal(of_other, "");
	base = rules_of(transaction, "amphora_chain");
	assert_non_null(strstr(base, "\"right\":\"eth1\"}},{\"goto\":{\"target\":\"amphora_vip_chain\"}}]"));
	assert_non_null(strstr(base, "\"right\":\"eth2\"}},{\"goto\":{\"target\":\"amphora_vip_chain_eth2\"}}]"));
	assert_non_null(strstr(base, "[[\"established\",{\"accept\":null}],[\"related\",{\"accept\":null}],"
				     "[\"invalid\",{\"drop\":null}]]"));
	assert_non_null(strstr(base, "[{\"match\":{\"op\":\"in\",\"left\":{\"ct\":{\"key\":\"state\"}},\"right\":\"untracked\"}},"
				     "{\"match\":{\"op\":\"!=\",\"left\":{\"&\":[{\"payload\":{\"protocol\":\"tcp\",\"field\":\"flags\"}},18]},"
				     "\"right\":2}},{\"accept\":null}]"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_rules),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_transaction),
	};

	return cmocka_run_group_tests_name("firewall_rules", tests, NULL, NULL);
}
