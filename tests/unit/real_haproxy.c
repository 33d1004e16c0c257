/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/real_haproxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/process.h"
#include "agent/base/text.h"

static struct haproxy_version version;

char *format_text(const char *format, ...)
{
	va_list arguments;
	char *text = NULL;

	va_start(arguments, format);
	assert_true(vasprintf(&text, format, arguments) >= 0);
	va_end(arguments);
	return text;
}

void write_file(const struct haproxy *haproxy, const char *name, const char *content)
{
	_cleanup_free_ char *path = format_text("%s/%s", haproxy->folder, name);

	assert_int_equal(fileio_write_volatile(AT_FDCWD, path, content, strlen(content), 0600), 0);
}

char *ask(const struct haproxy *haproxy, const char *command)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	char *reply = NULL;

	if (runtime_command(haproxy->socket, command, STEP_MS, &reply, NULL, &err) < 0)
		fail_msg("%s: %s", command, error_message(&err));
	return reply;
}

void make_folder(struct haproxy *haproxy)
{
	*haproxy = (struct haproxy){.folder = "/tmp/test_plan_real.XXXXXX", .pidfd = -1};
	assert_non_null(mkdtemp(haproxy->folder));
	snprintf(haproxy->socket, sizeof(haproxy->socket), "%s/admin.sock", haproxy->folder);
}

void start(struct haproxy *haproxy, const char *text)
{
	_cleanup_free_ char *config = format_text("%s/haproxy.cfg", haproxy->folder);
	_cleanup_free_ char *own = format_text("%s/own.cfg", haproxy->folder);
	_cleanup_free_ char *own_text =
		format_text("global\n stats socket %s mode 0600 level admin\n", haproxy->socket);
	_cleanup_free_ char *log = format_text("%s/log", haproxy->folder), *said = NULL;
	const char *argv[] = {
		"haproxy", "-db", "-C", haproxy->folder, "-f", config, "-f", own, NULL};
	_cleanup_close_ int log_fd = open(log, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int64_t deadline = process_now_ms() + DEADLINE_MS;
	char *reply = NULL;

	assert_true(log_fd >= 0);
	write_file(haproxy, "haproxy.cfg", text);
	write_file(haproxy, "own.cfg", own_text);
	assert_int_equal(process_spawn_detached(argv, log_fd, &haproxy->pid, &haproxy->pidfd), 0);
	while (runtime_command(haproxy->socket, "show version", STEP_MS, &reply, NULL, NULL) < 0) {
		if (process_now_ms() > deadline || process_wait_exit(haproxy->pidfd, 10) == 0) {
			fileio_read(AT_FDCWD, log, 1 << 20, &said, NULL);
			fail_msg("HAProxy did not start with\n%s\n%s", text, said ? said : "");
		}
	}
	free(reply);
}

void stop(struct haproxy *haproxy)
{
	process_signal(haproxy->pidfd, SIGKILL);
	process_wait_exit(haproxy->pidfd, DEADLINE_MS);
	close(haproxy->pidfd);
	haproxy->pidfd = -1;
	unlink(haproxy->socket);
}

void remove_folder(struct haproxy *haproxy)
{
	assert_int_equal(fileio_remove_tree(AT_FDCWD, haproxy->folder), 0);
}

static bool is_empty(const char *reply)
{
	return reply[strspn(reply, "\n")] == '\0';
}

static char *with_version(const char *command, const char *number)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	char *result;

	for (const char *p = command, *mark; *p; p = mark + strlen(PLAN_VERSION_MARK)) {
		mark = strstr(p, PLAN_VERSION_MARK);
		text_append_bytes(&text, p, mark ? (size_t)(mark - p) : strlen(p));
		if (!mark)
			break;
		text_append(&text, number);
	}
	assert_int_equal(text_finish(&text, &result, NULL), 0);
	return result;
}

void apply(const struct haproxy *haproxy, const struct plan *plan)
{
	static const char created[] = "New version created: ";
	char number[16] = "";

	for (size_t i = 0; i < plan->n_steps; i++) {
		const struct plan_step *step = &plan->steps[i];
		_cleanup_free_ char *command = with_version(step->command, number),
				    *reply = ask(haproxy, command);
		const char *answer = reply + strspn(reply, "\n");
		bool good = false;

		switch (step->expect) {
		case PLAN_EXPECT_NOTHING:
			good = is_empty(reply);
			break;
		case PLAN_EXPECT_PREFIX:
		case PLAN_EXPECT_DELETED:
			good = text_after_prefix(answer, step->expected) != NULL;
			break;
		case PLAN_EXPECT_CONTAINS:
			good = strstr(answer, step->expected) != NULL;
			break;
		case PLAN_EXPECT_VERSION:
			good = text_after_prefix(answer, created) != NULL;
			if (good)
				snprintf(number, sizeof(number), "%.*s",
					(int)strspn(answer + strlen(created), "0123456789"),
					answer + strlen(created));
			break;
		}
		if (!good)
			fail_msg("%s\nwas answered\n%s", command, reply);
	}
}

struct plan make_plan(const struct haproxy *haproxy, const struct situation *situation)
{
	_cleanup_free_ char *state = haproxy ? ask(haproxy, "show servers state") : NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	struct plan_input input = {
		.running = situation->running,
		.running_length = strlen(situation->running),
		.wanted = situation->wanted,
		.wanted_length = strlen(situation->wanted),
		.files = situation->files,
		.n_files = situation->n_files,
		.version = version,
		.runtime_updates = true,
		.hard_maxconn = situation->hard_maxconn,
		.servers_state = state,
		.leaving = situation->leaving,
		.n_leaving = situation->n_leaving,
	};
	struct plan plan = PLAN_INIT;

	if (plan_make(&input, &plan, &err) < 0)
		fail_msg("%s", error_message(&err));
	return plan;
}

void check_state(const struct haproxy *haproxy, const char *wanted,
	const struct plan_leaving *leaving, size_t n_leaving)
{
	_cleanup_free_ char *state = ask(haproxy, "show servers state"), *difference = NULL;
	/* From 2.9 on "set server … addr" answers before the address has changed. */
	int64_t deadline = process_now_ms() + (haproxy_version_at_least(&version, 2, 9) ? STEP_MS : 0);
	_cleanup_error_ struct error err = ERROR_INIT;
	struct plan_leaving *found = NULL;
	size_t n_found = 0;
	int r;

	while ((r = plan_compare_state(wanted, strlen(wanted), state, NULL, leaving, n_leaving,
			&difference, &err)) == -EXDEV &&
		process_now_ms() < deadline) {
		free(TAKE_PTR(difference));
		free(state);
		poll(NULL, 0, 10);
		state = ask(haproxy, "show servers state");
	}
	if (r < 0)
		fail_msg(
			"%s\n%s\n%s", difference ? difference : error_message(&err), wanted, state);
	assert_int_equal(
		plan_find_leaving(wanted, strlen(wanted), state, &version, &found, &n_found, NULL),
		0);
	assert_int_equal(n_found, n_leaving);
	plan_leaving_free(found, n_found);
}

/* Columns of "show stat" that follow from the configuration alone, by their names. */
static const char *const configured[] = {"# pxname", "svname", "slim", "qlimit", "weight", "act",
	"bck", "addr", "cookie", "mode", "algo", "check_rise", "check_fall"};

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t column_of(const char *header, const char *name)
{
	size_t column = 0;

	for (const char *p = header; *p && *p != '\n'; column++) {
		size_t length = strcspn(p, ",\n");

		if (strlen(name) == length && strncmp(p, name, length) == 0)
			return column;
		p += length + (p[length] == ',');
	}
	fail_msg("no column %s", name);
	return 0;
}

static void append_column(struct text *text, const char *line, size_t column)
{
	for (; column > 0; column--)
		line += strcspn(line, ",\n") + 1;
	text_append_bytes(text, line, strcspn(line, ",\n"));
	text_append_char(text, ' ');
}

/* Whether it is in maintenance, what was said above of the rest; servers that wait for their
 * deletion are left out. */
static char *summary(
	const struct haproxy *haproxy, const struct plan_leaving *leaving, size_t n_leaving)
{
	_cleanup_free_ char *stat = ask(haproxy, "show stat");
	_cleanup_strv_ char **lines = NULL;
	_cleanup_text_ struct text text = TEXT_INIT;
	char *result;

	assert_int_equal(text_split(stat, '\n', &lines), 0);
	qsort(lines + 1, strv_length(lines + 1), sizeof(*lines), by_text);
	for (size_t i = 1; lines[i]; i++) {
		bool skip = false, maintenance;

		for (size_t j = 0; j < n_leaving; j++) {
			_cleanup_free_ char *start =
				format_text("%s,%s,", leaving[j].backend, leaving[j].server);

			skip |= text_after_prefix(lines[i], start) != NULL;
		}
		/* What a backend sums up of its servers depends on checks. */
		if (skip || strstr(lines[i], ",BACKEND,"))
			continue;
		/* Its weight and its checks are not told while it is out; check_state() sees to
		 * them. */
		maintenance = strstr(lines[i], ",MAINT,") != NULL;
		for (size_t j = 0; j < ELEMENTSOF(configured); j++)
			if (!maintenance || (!streq(configured[j], "weight") &&
						    !text_after_prefix(configured[j], "check_")))
				append_column(&text, lines[i], column_of(lines[0], configured[j]));
		text_append(&text, maintenance ? "maintenance\n" : "\n");
	}
	assert_int_equal(text_finish(&text, &result, NULL), 0);
	return result;
}

/* Of each server that is not left: how long it keeps idle connections, and how many. */
static char *idle_settings(
	const struct haproxy *haproxy, const struct plan_leaving *leaving, size_t n_leaving)
{
	_cleanup_free_ char *reply = ask(haproxy, "show servers conn");
	_cleanup_strv_ char **lines = NULL;
	_cleanup_text_ struct text text = TEXT_INIT;
	char *result;

	assert_int_equal(text_split(reply, '\n', &lines), 0);
	assert_non_null(strstr(lines[0], "addr port - purge_delay"));
	qsort(lines + 1, strv_length(lines + 1), sizeof(*lines), by_text);
	for (size_t i = 1; lines[i]; i++) {
		_cleanup_strv_ char **words = NULL;
		bool skip = false;

		assert_int_equal(text_split(lines[i], ' ', &words), 0);
		for (size_t j = 0; j < n_leaving; j++) {
			_cleanup_free_ char *name =
				format_text("%s/%s", leaving[j].backend, leaving[j].server);

			skip |= streq(words[0], name);
		}
		if (!skip)
			text_printf(&text, "%s %s %s\n", words[0], words[5], words[11]);
	}
	assert_int_equal(text_finish(&text, &result, NULL), 0);
	return result;
}

void compare_with_fresh(const struct haproxy *haproxy, const char *wanted,
	const struct plan_leaving *leaving, size_t n_leaving)
{
	_cleanup_free_ char *changed = summary(haproxy, leaving, n_leaving), *expected = NULL;
	_cleanup_free_ char *idle = idle_settings(haproxy, leaving, n_leaving),
			    *expected_idle = NULL;
	struct haproxy fresh;

	make_folder(&fresh);
	start(&fresh, wanted);
	check_state(&fresh, wanted, NULL, 0);
	expected = summary(&fresh, NULL, 0);
	expected_idle = idle_settings(&fresh, NULL, 0);
	stop(&fresh);
	remove_folder(&fresh);
	assert_string_equal(idle, expected_idle);
	if (!streq(changed, expected))
		fail_msg("%s\nwas changed to\n%s\nbut starts as\n%s", wanted, changed, expected);
}

bool haproxy_is_there(void)
{
	static const char *const argv[] = {"haproxy", "-v", NULL};
	struct process_result result = PROCESS_RESULT_INIT;
	bool good = process_run(argv, NULL, STEP_MS, 4096, &result) == 0 &&
		    result.exit_status == 0 &&
		    haproxy_version_parse(result.output, &version, NULL) == 0 &&
		    haproxy_version_at_least(&version, 2, 6);

	process_result_done(&result);
	return good;
}
