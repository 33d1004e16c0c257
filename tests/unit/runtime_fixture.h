/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What tests of changes at run time have in common beyond instance_fixture.h: a pool of members, and uploads.
 */

#include "tests/unit/instance_fixture.h"

#define MEMBER(id, more) "{'id':'" id "','address':'127.0.0.1','protocol_port':%d" more "}"

#define POOL_OF(members)                                                                           \
	"'listeners':[{'id':'" LISTENER_ID                                                         \
	"','protocol':'TCP','protocol_port':%d,'default_pool_id':'" POOL_ID "'}],"               \
	"'pools':[{'id':'" POOL_ID                                                                 \
	"','protocol':'TCP','lb_algorithm':'ROUND_ROBIN','members':[" members "]}]"

int setup(void **state);
#define RUNTIME_TEST(function) cmocka_unit_test_setup_teardown(function, setup, fixture_teardown)
bool has_server(struct fixture *fixture, const char *id);
void upload(struct fixture *fixture, const char *format, ...) _printf_(2, 3);
void reload_upload(struct fixture *fixture, enum plan_action action);

#define UPLOADED                                                                                   \
	"global\n    stats socket %s/stats mode 0666 level user\n"                               \
	"defaults\n    timeout connect 1s\n    timeout client 5s\n    timeout server 5s\n"     \
	"frontend f\n    mode tcp\n    bind 127.0.0.1:%d%s\n    default_backend b\n"           \
	"backend b\n    mode tcp\n    balance roundrobin\n    server s1 127.0.0.1:%d weight %d\n"
