/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Answers to "show servers state": rows of servers sN of backend b. To be included after <cmocka.h>. */

#include <stdio.h>

static const char state_header[] = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state "
				   "srv_admin_state srv_uweight srv_iweight "
				   "srv_time_since_last_change srv_check_status srv_check_result "
				   "srv_check_health srv_check_state "
				   "srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn "
				   "srv_port srvrecord srv_use_ssl srv_check_port "
				   "srv_check_addr srv_agent_addr srv_agent_port\n";

static inline char *state_of(const char *rows)
{
	char *state = NULL;

	assert_true(asprintf(&state, "%s%s\n", state_header, rows) >= 0);
	return state;
}

#define UP(n) "3 b " n " s" n " 1.1.1." n " 2 0 1 1 9 1 0 2 0 0 0 0 - 1 - 0 0 - - 0\n"
#define DOWN(n) "3 b " n " s" n " 1.1.1." n " 0 0 1 1 9 1 0 2 0 0 0 0 - 1 - 0 0 - - 0\n"
#define OUT(n) "3 b " n " s" n " 1.1.1." n " 0 1 1 1 9 1 0 2 0 0 0 0 - 1 - 0 0 - - 0\n"
