/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A change of a single object: the first byte says of which one and how, the rest is the body of the request. Whatever comes,
 * the tree before stays as it was, and a tree that comes of it is a good definition: its text gives an equal one.
 */

#include <stdint.h>
#include <string.h>

#include "agent/base/text.h"
#include "agent/definition/edit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LB "11111111-2222-4333-8444-555555555555"
#define NEW "99999999-0000-4000-8000-000000000000"
#define ID(n) "0000000" #n "-0000-4000-8000-000000000000"

static const struct definition_defaults defaults = {.timeout_client_data_ms = 50000,
	.timeout_member_connect_ms = 5000,
	.timeout_member_data_ms = 50000};

static const char site[] =
	"{\"loadbalancer\":{\"vip_address\":\"192.0.2.100\",\"listeners\":[{\"id\":\"" ID(1) "\",\"protocol\":\"HTTP\","
	"\"protocol_port\":80,\"default_pool_id\":\"" ID(3) "\",\"l7policies\":[{\"id\":\"" ID(4) "\",\"action\":"
	"\"REDIRECT_TO_POOL\",\"redirect_pool_id\":\"" ID(3) "\",\"rules\":[{\"id\":\"" ID(5) "\",\"type\":\"PATH\","
	"\"compare_type\":\"EQUAL_TO\",\"value\":\"/\"}]},{\"id\":\"" ID(6) "\",\"action\":\"REJECT\"}]},"
	"{\"id\":\"" ID(2) "\",\"protocol\":\"TCP\",\"protocol_port\":81}],\"pools\":[{\"id\":\"" ID(3) "\","
	"\"protocol\":\"HTTP\",\"lb_algorithm\":\"ROUND_ROBIN\",\"session_persistence\":{\"type\":\"SOURCE_IP\"},"
	"\"healthmonitor\":{\"id\":\"" ID(8) "\",\"type\":\"HTTP\",\"delay\":5,\"timeout\":3,\"max_retries\":2},\"members\":["
	"{\"id\":\"" ID(9) "\",\"address\":\"192.0.2.1\",\"protocol_port\":80}]},{\"id\":\"" ID(7) "\",\"protocol\":\"TCP\","
	"\"lb_algorithm\":\"SOURCE_IP\"}]}}";

static const struct edit edits[] = {
	{EDIT_CREATE, TREE_LOAD_BALANCER, .id = LB},
	{EDIT_CREATE, TREE_LISTENER, .id = NEW},
	{EDIT_CREATE, TREE_POOL, .id = NEW},
	{EDIT_CREATE, TREE_POOL, .id = NEW, .listener_id = ID(2)},
	{EDIT_CREATE, TREE_MEMBER, .id = NEW, .parent_id = ID(3)},
	{EDIT_CREATE, TREE_HEALTH_MONITOR, .id = NEW, .parent_id = ID(7)},
	{EDIT_CREATE, TREE_L7POLICY, .id = NEW, .parent_id = ID(1)},
	{EDIT_CREATE, TREE_L7RULE, .id = NEW, .parent_id = ID(6)},
	{EDIT_UPDATE, TREE_LOAD_BALANCER, .id = LB},
	{EDIT_UPDATE, TREE_LISTENER, .id = ID(1)},
	{EDIT_UPDATE, TREE_POOL, .id = ID(3)},
	{EDIT_UPDATE, TREE_MEMBER, .id = ID(9), .parent_id = ID(3)},
	{EDIT_UPDATE, TREE_HEALTH_MONITOR, .id = ID(8)},
	{EDIT_UPDATE, TREE_L7POLICY, .id = ID(4)},
	{EDIT_UPDATE, TREE_L7RULE, .id = ID(5)},
	{EDIT_REPLACE_MEMBERS, TREE_POOL, .id = ID(3)},
	{EDIT_REPLACE_MEMBERS, TREE_POOL, .id = ID(3), .additive_only = true},
};

static struct load_balancer *before;
static char *before_text;

static void forget(void)
{
	load_balancer_unref(before);
	free(before_text);
}

static void check_result(const struct load_balancer *lb)
{
	_cleanup_load_balancer_ struct load_balancer *again = NULL;
	_cleanup_free_ char *text = NULL;
	size_t length;

	if (definition_to_text(lb, DEFINITION_WHOLE, &text, &length) < 0 ||
		definition_parse(lb->id, text, length, &defaults, &again, NULL) < 0 || !definition_equal(lb, again))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_load_balancer_ struct load_balancer *lb = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ char *text = NULL;
	json_auto_t *body = NULL;
	struct edit edit;
	int r;

	if (!before) {
		if (definition_parse(LB, site, strlen(site), &defaults, &before, NULL) < 0 ||
			definition_to_text(before, DEFINITION_WHOLE, &before_text, NULL) < 0)
			abort();
		atexit(forget);
	}
	if (size == 0)
		return 0;
	edit = edits[data[0] % ELEMENTSOF(edits)];
	if (document_read((const char *)data + 1, size - 1, "o", &body, NULL) < 0)
		return 0;
	edit.body = body;
	edit.defaults = &defaults;
	r = edit_make(&edit, edit.action == EDIT_CREATE && edit.kind == TREE_LOAD_BALANCER ? NULL : before, &lb, &err);
	if ((r == 0) != (lb != NULL) || (r < 0 && !err.message))
		abort();
	if (lb)
		check_result(lb);
	if (definition_to_text(before, DEFINITION_WHOLE, &text, NULL) < 0 || !streq(text, before_text))
		abort();
	return 0;
}
