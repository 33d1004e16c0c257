/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/haproxy/plan_internal.h"

#include <stdarg.h>
#include <string.h>

#include "agent/base/text.h"

static void add_reason(struct planner *planner, struct plan_reasons *reasons, const char *format,
	va_list arguments) _printf_(3, 0);

static void add_reason(struct planner *planner, struct plan_reasons *reasons, const char *format,
	va_list arguments)
{
	char *reason = NULL;

	reasons->total++;
	if (reasons->n == PLAN_MAX_REASONS - 1)
		return;
	if (vasprintf(&reason, format, arguments) < 0)
		planner->failed = true;
	else
		reasons->list[reasons->n++] = reason;
}

void planner_change(struct planner *planner, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	add_reason(planner, &planner->changes, format, arguments);
	va_end(arguments);
}

void planner_obstacle(struct planner *planner, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	add_reason(planner, &planner->obstacles, format, arguments);
	va_end(arguments);
}

static struct plan_step *new_step(struct planner *planner, enum plan_phase phase)
{
	struct plan_phase_steps *list = &planner->phases[phase];

	/* Grows by doubling: a pool may have 10 000 members. */
	if ((list->n & (list->n - 1)) == 0) {
		struct plan_step *grown =
			reallocarray(list->steps, list->n ? list->n * 2 : 1, sizeof(*grown));

		if (!grown) {
			planner->failed = true;
			return NULL;
		}
		list->steps = grown;
	}
	list->steps[list->n] = (struct plan_step){0};
	return &list->steps[list->n++];
}

/* The last step of the phase, if another quiet command of that length fits in. */
static struct plan_step *step_with_room(
	struct planner *planner, enum plan_phase phase, size_t length)
{
	struct plan_phase_steps *list = &planner->phases[phase];
	struct plan_step *last = list->n > 0 ? &list->steps[list->n - 1] : NULL;

	if (!last || last->expect != PLAN_EXPECT_NOTHING || !last->command ||
		strlen(last->command) + length + 2 > planner->command_limit)
		return NULL;
	return last;
}

void planner_quiet_step(struct planner *planner, enum plan_phase phase, const char *format, ...)
{
	_cleanup_free_ char *command = NULL;
	struct plan_step *step;
	char *joined = NULL;
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vasprintf(&command, format, arguments);
	va_end(arguments);
	if (length < 0) {
		command = NULL;
		planner->failed = true;
		return;
	}
	step = step_with_room(planner, phase, (size_t)length);
	if (step) {
		size_t before = strlen(step->command);

		joined = realloc(step->command, before + (size_t)length + 2);
		if (!joined) {
			planner->failed = true;
			return;
		}
		joined[before] = ';';
		memcpy(joined + before + 1, command, (size_t)length + 1);
		step->command = joined;
		return;
	}
	step = new_step(planner, phase);
	if (step)
		step->command = TAKE_PTR(command);
}

void planner_step(struct planner *planner, enum plan_phase phase, enum plan_expect expect,
	const char *expected, const char *format, ...)
{
	struct plan_step *step = new_step(planner, phase);
	va_list arguments;

	if (!step)
		return;
	step->expect = expect;
	step->expected = expected;
	va_start(arguments, format);
	if (vasprintf(&step->command, format, arguments) < 0) {
		step->command = NULL;
		planner->failed = true;
	}
	va_end(arguments);
}

bool planner_has_step(const struct planner *planner, enum plan_phase phase, const char *command)
{
	const struct plan_phase_steps *list = &planner->phases[phase];

	for (size_t i = 0; i < list->n; i++)
		if (streq_null(list->steps[i].command, command))
			return true;
	return false;
}

void planner_payload_step(struct planner *planner, enum plan_phase phase, const char *expected,
	const char *command, const char *payload)
{
	struct plan_step *step = new_step(planner, phase);
	size_t length = strlen(command) + strlen(payload) + sizeof(" <<\n");

	if (!step)
		return;
	step->expect = PLAN_EXPECT_PREFIX;
	step->expected = expected;
	/* Not through asprintf(), which may leave copies behind. */
	step->command = malloc(length);
	if (!step->command || asprintf(&step->shown, "%s <<", command) < 0) {
		step->shown = NULL;
		planner->failed = true;
		return;
	}
	snprintf(step->command, length, "%s <<\n%s", command, payload);
}

void planner_delete_step(
	struct planner *planner, enum plan_phase phase, const char *backend, const char *server)
{
	struct plan_step *step = new_step(planner, phase);

	if (!step)
		return;
	step->expect = PLAN_EXPECT_DELETED;
	step->expected = "Server deleted";
	step->name = (struct plan_server_name){strdup(backend), strdup(server)};
	if (asprintf(&step->command, "del server %s/%s", backend, server) < 0) {
		step->command = NULL;
		planner->failed = true;
	}
	if (!step->name.backend || !step->name.server)
		planner->failed = true;
}

void planner_add_leaving(
	struct planner *planner, const char *backend, const char *server, char *line, bool keep)
{
	struct plan_leaving *grown = planner->leaving;

	if ((planner->n_leaving & (planner->n_leaving - 1)) == 0)
		grown = reallocarray(grown, planner->n_leaving ? planner->n_leaving * 2 : 1,
			sizeof(*planner->leaving));
	if (!grown) {
		free(line);
		planner->failed = true;
		return;
	}
	planner->leaving = grown;
	grown[planner->n_leaving] = (struct plan_leaving){
		.backend = strdup(backend), .server = strdup(server), .line = line, .keep = keep};
	if (!grown[planner->n_leaving].backend || !grown[planner->n_leaving].server)
		planner->failed = true;
	planner->n_leaving++;
}

/* Management guide, 9.3: words end at blanks, commands at ';' and at the end of the line, a
 * backslash takes the meaning away from the character after it. There are no quotes. */
bool plan_append_word(struct text *text, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "-_.:/@%+=,[]()*~!?^&|{}";

	if (!word[0] || strstr(word, PLAN_VERSION_MARK))
		return false;
	for (const char *p = word; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return false;
		if (!strchr(plain, *p))
			text_append_char(text, '\\');
		text_append_char(text, *p);
	}
	return true;
}

char *plan_word(struct planner *planner, const char *word)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	char *result = NULL;

	if (!plan_append_word(&text, word))
		return NULL;
	if (text_finish(&text, &result, NULL) < 0) {
		planner->failed = true;
		return NULL;
	}
	return result;
}
