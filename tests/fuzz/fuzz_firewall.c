/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes as the rules of an interface, or as the file that keeps them. What is taken has one canonical form, and its
 * transaction has one rule each and no other command. */

#include <stdint.h>
#include <string.h>

#include "agent/base/text.h"
#include "agent/network/firewall_rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t count_vip_rules(const json_t *transaction)
{
	const json_t *command;
	size_t i, n = 0;

	json_array_foreach(json_object_get(transaction, "nftables"), i, command) {
		const json_t *rule = json_object_get(json_object_get(command, "add"), "rule");
		const char *chain = json_string_value(json_object_get(rule, "chain"));

		if (json_object_size(command) != 1)
			abort();
		n += chain && streq(chain, "amphora_vip_chain");
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_firewall_rules_ struct firewall_rules rules = FIREWALL_RULES_INIT, again = FIREWALL_RULES_INIT;
	json_auto_t *document = NULL, *kept = NULL, *same = NULL, *transaction = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	struct firewall_interface interface = {"eth1", &rules};
	json_error_t problem;

	document = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, &problem);
	if (!document)
		return 0;
	if (firewall_rules_parse(document, &rules, &err) < 0) {
		if (!err.message || rules.items)
			abort();
		return 0;
	}
	kept = firewall_rules_to_json(&rules);
	if (!kept || firewall_rules_parse(kept, &again, NULL) < 0)
		abort();
	same = firewall_rules_to_json(&again);
	transaction = firewall_transaction(&interface, 1);
	if (!json_equal(kept, same) || count_vip_rules(transaction) != rules.n || rules.n > json_array_size(document))
		abort();
	return 0;
}
