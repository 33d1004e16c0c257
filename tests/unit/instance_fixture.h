/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Load balancers in a folder of their own, with the real HAProxy under the direct supervisor. For programs of cmocka: what
 * is not as it should be fails the test.
 */

#include <pthread.h>

#include "agent/base/text.h"
#include "agent/instance/registry.h"
#include "tests/unit/ports.h"

#define LB_A "aaaaaaaa-0000-4000-8000-00000000000a"
#define LB_B "bbbbbbbb-0000-4000-8000-00000000000b"
#define LISTENER_ID "cccccccc-0000-4000-8000-00000000000c"
#define POOL_ID "dddddddd-0000-4000-8000-00000000000d"
#define MEMBER_1 "eeeeeeee-0000-4000-8000-000000000001"
#define MEMBER_2 "eeeeeeee-0000-4000-8000-000000000002"
#define BACKEND POOL_ID ":" LISTENER_ID

enum { DEADLINE_MS = 20000 };

struct fixture {
	char base[64], run_dir[80];
	struct template *template;
	struct supervisor *supervisor;
	struct instance_settings settings;
	struct registry *registry;
	pthread_t dispatcher;
	int stop_pipe[2];
	unsigned reloads_announced;
	const char *spoil; /* a file that is spoilt right before the next reload; NULL: none */
};

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)
#define TCP_LISTENER "{'protocol':'TCP','protocol_port':%d}"

struct pids {
	pid_t master, worker;
};

void start_agent(struct fixture *fixture);
/* As a crash of the agent does, this leaves HAProxy alone. */
void end_agent(struct fixture *fixture);
void restart_agent(struct fixture *fixture);
int fixture_setup(void **state);
int fixture_teardown(void **state);
/* A TCP socket on the loopback address; "ret_port" is chosen by the kernel. */
int listen_anywhere(int *ret_port);
bool port_answers(int port);
/* ' stands for " in the document. */
struct load_balancer *define(const char *lb_id, const char *format, ...) _printf_(2, 3);
int try_apply(struct fixture *fixture, struct load_balancer *lb, const struct apply_options *options,
	struct apply_result *ret, struct error *err);
/* Consumes lb. */
void apply(struct fixture *fixture, struct load_balancer *lb, enum plan_action action, int64_t revision);
/* Consumes lb. The message has these words. */
void apply_refused(struct fixture *fixture, struct load_balancer *lb, enum error_code code, const char *words);
struct instance *get(struct fixture *fixture, const char *lb_id);
void assert_not_there(struct fixture *fixture, const char *lb_id);
struct pids pids_of(struct fixture *fixture, const char *lb_id);
void assert_same_pids(struct pids a, struct pids b);
void wait_for_end(pid_t pid);
/* Modes, names and contents of all files below a load balancer's folder. */
char *snapshot(struct fixture *fixture, const char *lb_id);
char *file_of(struct fixture *fixture, const char *lb_id, const char *name);
void remove_file_of(struct fixture *fixture, const char *lb_id, const char *name);
char *run_command(struct fixture *fixture, const char *command);
