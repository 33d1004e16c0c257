/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as two configurations, the content of a file before and after, and a reply to "show
 * servers state", divided by NUL bytes; the first byte chooses the version. A configuration needs
 * nothing to become itself, and whatever stands in one, only commands of the planner's own reach
 * HAProxy.
 */

#include <stdint.h>
#include <string.h>

#include "agent/base/text.h"
#include "agent/haproxy/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct haproxy_version versions[] = {
	{2, 4, "2.4"}, {2, 6, "2.6"}, {2, 8, "2.8"}, {3, 0, "3.0"}, {3, 2, "3.2"}, {3, 4, "3.4"}};

static void require(bool condition)
{
	if (!condition)
		abort();
}

static bool is_known(const char *command)
{
	static const char *const verbs[] = {"set server ", "set maxconn ", "set ssl ",
		"add server ", "add ssl ", "add acl @", "add map @", "enable health ",
		"del server ", "del ssl ", "prepare acl ", "prepare map ", "commit acl @",
		"commit map @", "commit ssl ", "new ssl cert "};

	for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
		if (text_after_prefix(command, verbs[i]))
			return true;
	return false;
}

/* As HAProxy divides a line: at each ';' and newline that has no backslash before it. */
static void check_command(const struct plan_step *step)
{
	const char *p = step->command;

	require(is_known(p));
	for (; *p && *p != '\n'; p++) {
		if (*p == '\\') {
			require(p[1] && p[1] != '\n');
			p++;
		} else if (*p == ';') {
			require(is_known(p + 1));
		}
	}
	if (*p == '\n') {
		require(step->shown && !strstr(p, "\n\n") && p[1] && p[strlen(p) - 1] != '\n');
		require(p - step->command > 2 && p[-1] == '<' && p[-2] == '<');
	}
	require(!step->shown || !strchr(step->shown, '\n'));
}

static void check_plan(const struct plan *plan, bool same)
{
	size_t n_reasons = strv_length(plan->reasons);

	require(n_reasons <= PLAN_MAX_REASONS);
	require((plan->action == PLAN_NONE) == (n_reasons == 0));
	require(!same || plan->action == PLAN_NONE);
	require(plan->action == PLAN_RUNTIME || plan->n_steps == 0);
	for (size_t i = 0; i < plan->n_steps; i++) {
		check_command(&plan->steps[i]);
		require((plan->steps[i].expect == PLAN_EXPECT_DELETED) ==
			(plan->steps[i].name.server != NULL));
	}
	for (size_t i = 0; i < plan->n_leaving; i++)
		require(plan->leaving[i].backend && plan->leaving[i].server);
}

/* There, and back with what was left on the way. */
static void plan_both_ways(struct plan_input *input)
{
	_cleanup_plan_ struct plan there = PLAN_INIT, back = PLAN_INIT;
	struct plan_input reverse = *input;
	bool same = streq(input->running, input->wanted);

	if (plan_make(input, &there, NULL) < 0)
		return;
	check_plan(&there, same && streq(input->files[0].before, input->files[0].after));
	reverse.running = input->wanted;
	reverse.running_length = input->wanted_length;
	reverse.wanted = input->running;
	reverse.wanted_length = input->running_length;
	reverse.n_files = 0;
	reverse.leaving = there.leaving;
	reverse.n_leaving = there.n_leaving;
	if (plan_make(&reverse, &back, NULL) == 0)
		check_plan(&back, same);
}

static void read_state(const struct plan_input *input)
{
	_cleanup_free_ char *difference = NULL;
	struct plan_leaving *leaving = NULL;
	size_t n = 0;
	int r;

	if (plan_find_leaving(input->wanted, input->wanted_length, input->servers_state,
		    &input->version, &leaving, &n, NULL) < 0)
		return;
	r = plan_compare_state(input->wanted, input->wanted_length, input->servers_state, NULL,
		leaving, n, &difference, NULL);
	require((r == -EXDEV) == (difference != NULL));
	plan_leaving_free(leaving, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum { PARTS = 5 };
	_cleanup_free_ char *text = malloc(size + PARTS + 1);
	const char *parts[PARTS], *p = text;
	struct plan_file file = {.name = "list"};
	struct plan_input input = {
		.files = &file, .n_files = 1, .runtime_updates = true, .hard_maxconn = 1000};

	if (!text || size == 0)
		return 0;
	memcpy(text, data + 1, size - 1);
	memset(text + size - 1, 0, PARTS + 2);
	for (size_t i = 0; i < PARTS; i++) {
		parts[i] = p;
		p += strlen(p) + (p + strlen(p) < text + size - 1);
	}
	input.version = versions[data[0] % ELEMENTSOF(versions)];
	input.running = parts[0];
	input.running_length = strlen(parts[0]);
	input.wanted = parts[1];
	input.wanted_length = strlen(parts[1]);
	file.before = parts[2];
	file.after = parts[3];
	input.servers_state = parts[4];
	plan_both_ways(&input);
	read_state(&input);
	return 0;
}
