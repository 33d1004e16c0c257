/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Plans carried out on the real HAProxy: a process that was brought from one configuration to
 * another at run time must be like one that was started from the other.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/base/fileio.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/haproxy/plan.h"
#include "tests/unit/pki.h"

enum {
	DEADLINE_MS = 10000,
	STEP_MS = 5000,
	N_SERVERS = 6,
	N_SEQUENCES = 6,
	N_CHANGES = 15,
};

static struct haproxy_version version;

struct haproxy {
	char folder[64], socket[96];
	pid_t pid;
	int pidfd;
};

static char *format_text(const char *format, ...) _printf_(1, 2);

static char *format_text(const char *format, ...)
{
	va_list arguments;
	char *text = NULL;

	va_start(arguments, format);
	assert_true(vasprintf(&text, format, arguments) >= 0);
	va_end(arguments);
	return text;
}

static void write_file(const struct haproxy *haproxy, const char *name, const char *content)
{
	_cleanup_free_ char *path = format_text("%s/%s", haproxy->folder, name);

	assert_int_equal(fileio_write_volatile(AT_FDCWD, path, content, strlen(content), 0600), 0);
}

static char *ask(const struct haproxy *haproxy, const char *command)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	char *reply = NULL;

	if (runtime_command(haproxy->socket, command, STEP_MS, &reply, NULL, &err) < 0)
		fail_msg("%s: %s", command, error_message(&err));
	return reply;
}

static void make_folder(struct haproxy *haproxy)
{
	*haproxy = (struct haproxy){.folder = "/tmp/test_plan_real.XXXXXX", .pidfd = -1};
	assert_non_null(mkdtemp(haproxy->folder));
	snprintf(haproxy->socket, sizeof(haproxy->socket), "%s/admin.sock", haproxy->folder);
}

/* One process without a master, with what the test configurations share. The folder is there, with
 * its files. */
static void start(struct haproxy *haproxy, const char *text)
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

static void stop(struct haproxy *haproxy)
{
	process_signal(haproxy->pidfd, SIGKILL);
	process_wait_exit(haproxy->pidfd, DEADLINE_MS);
	close(haproxy->pidfd);
	haproxy->pidfd = -1;
	unlink(haproxy->socket);
}

static void remove_folder(struct haproxy *haproxy)
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

/* As whoever carries plans out: in order, each answer as it is expected. */
static void apply(const struct haproxy *haproxy, const struct plan *plan)
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

struct situation {
	const char *running, *wanted;
	const struct plan_file *files;
	size_t n_files;
	const struct plan_leaving *leaving;
	size_t n_leaving;
	unsigned hard_maxconn;
};

static struct plan make_plan(const struct haproxy *haproxy, const struct situation *situation)
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

static void check_state(const struct haproxy *haproxy, const char *wanted,
	const struct plan_leaving *leaving, size_t n_leaving)
{
	_cleanup_free_ char *state = ask(haproxy, "show servers state"), *difference = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	struct plan_leaving *found = NULL;
	size_t n_found = 0;
	int r;

	r = plan_compare_state(
		wanted, strlen(wanted), state, NULL, leaving, n_leaving, &difference, &err);
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

/* The process that was changed beside a fresh one. */
static void compare_with_fresh(const struct haproxy *haproxy, const char *wanted,
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

#define HEAD                                                                                 \
	"global\n maxconn 200\ndefaults\n timeout connect 1s\n timeout client 5s\n timeout " \
	"server 5s\n"                                                                        \
	" default-server inter 20s fall 4\nfrontend f\n bind unix@f.sock\n maxconn 100\n "   \
	"default_backend b\n"

/* Each from the first text to the second, and back. */
static void test_both_ways(void **state)
{
	static const struct {
		const char *a, *b;
	} rows[] = {
		{" server s1 127.0.0.1:1 check weight 4\n",
			" server s1 127.0.0.1:1 check weight 9\n server s2 127.0.0.1:2\n"},
		{" server s1 127.0.0.1:1\n", " server s1 [::1]:2 weight 0\n"},
		{" server s1 127.0.0.1:1 disabled check\n", " server s1 127.0.0.2:1 check\n"},
		{" server s1 127.0.0.1:1 check port 80 addr 127.0.0.9\n",
			" server s1 127.0.0.1:1 check port 81 addr [::1]\n"},
		{" server s1 127.0.0.1:1 check\n", " server s1 127.0.0.1:1 check port 81\n"},
		{" server s1 127.0.0.1:1 maxconn 5\n",
			" server s1 127.0.0.1:1 maxconn 7\n server s2 ::1:7 backup\n"},
		{" server s1 127.0.0.1:1\n server s2 127.0.0.1:2 send-proxy\n",
			" server s1 127.0.0.1:1 send-proxy\n server s2 127.0.0.1:2\n"},
		{" server s1 127.0.0.1:1\n server s2 127.0.0.1:2 backup\n",
			" server s1 127.0.0.1:1\n server s2 127.0.0.1:2\n"},
		{" fullconn 9\n server s1 127.0.0.1:1\n", " fullconn 8\n"},
		{"", " server s1 127.0.0.1:1 check inter 5s rise 2 fall 3 send-proxy-v2 weight 7 "
		     "disabled\n"},
		{" default-server weight 7\n server s1 127.0.0.1:1\n",
			" server s1 127.0.0.1:1 weight 8\n"},
		{" balance source\n hash-type consistent\n server s1 127.0.0.1:1 id 5\n",
			" balance source\n hash-type consistent\n server s1 127.0.0.1:1 id 5 "
			"weight 3\n"
			" server s2 127.0.0.1:2 id 9\n"},
		{" balance leastconn\n server s1 127.0.0.1:1\n",
			" balance leastconn\n server s2 127.0.0.1:2 check\n"},
		{" balance source\n server s1 127.0.0.1:1\n server s2 127.0.0.1:1\n",
			" balance source\n server s2 127.0.0.3:1\n"},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_free_ char *a = format_text(HEAD "backend b\n%s", rows[i].a);
		_cleanup_free_ char *b = format_text(HEAD "backend b\n%s", rows[i].b);
		_cleanup_plan_ struct plan there = PLAN_INIT, back = PLAN_INIT;
		struct situation situation = {.running = a, .wanted = b};
		struct haproxy haproxy;

		make_folder(&haproxy);
		start(&haproxy, a);
		there = make_plan(&haproxy, &situation);
		if (there.action != PLAN_RUNTIME)
			fail_msg("%s\n%s\n%s", a, b, there.reasons[0]);
		apply(&haproxy, &there);
		check_state(&haproxy, b, there.leaving, there.n_leaving);
		compare_with_fresh(&haproxy, b, there.leaving, there.n_leaving);

		situation = (struct situation){.running = b,
			.wanted = a,
			.leaving = there.leaving,
			.n_leaving = there.n_leaving};
		back = make_plan(&haproxy, &situation);
		/* The one exception: a static algorithm takes no server back. */
		if (strstr(a, "balance source\n server")) {
			assert_int_equal(back.action, PLAN_RELOAD);
		} else {
			if (back.action != PLAN_RUNTIME)
				fail_msg("%s\n%s\n%s", b, a, back.reasons[0]);
			apply(&haproxy, &back);
			check_state(&haproxy, a, back.leaving, back.n_leaving);
			compare_with_fresh(&haproxy, a, back.leaving, back.n_leaving);
		}
		stop(&haproxy);
		remove_folder(&haproxy);
	}
}

static void test_limits(void **state)
{
	static const char lower[] =
		"global\n maxconn 100\nfrontend f\n bind unix@f.sock\n maxconn 60\n";
	static const char higher[] =
		"global\n maxconn 150\nfrontend f\n bind unix@f.sock\n maxconn 90\n";
	static const char too_high[] =
		"global\n maxconn 250\nfrontend f\n bind unix@f.sock\n maxconn 90\n";
	_cleanup_plan_ struct plan down = PLAN_INIT, up = PLAN_INIT, over = PLAN_INIT;
	_cleanup_free_ char *info = NULL;
	struct haproxy haproxy;

	(void)state;
	make_folder(&haproxy);
	start(&haproxy, "global\n maxconn 200\nfrontend f\n bind unix@f.sock\n maxconn 80\n");
	down = make_plan(&haproxy,
		&(struct situation){.running =
					    "global\n maxconn 200\nfrontend f\n bind unix@f.sock\n"
					    " maxconn 80\n",
			.wanted = lower,
			.hard_maxconn = 200});
	assert_int_equal(down.action, PLAN_RUNTIME);
	apply(&haproxy, &down);
	up = make_plan(&haproxy,
		&(struct situation){.running = lower, .wanted = higher, .hard_maxconn = 200});
	assert_int_equal(up.action, PLAN_RUNTIME);
	apply(&haproxy, &up);
	info = ask(&haproxy, "show info");
	assert_non_null(strstr(info, "\nMaxconn: 150\n"));
	assert_non_null(strstr(info, "\nHard_maxconn: 200\n"));
	over = make_plan(&haproxy,
		&(struct situation){.running = higher, .wanted = too_high, .hard_maxconn = 200});
	assert_int_equal(over.action, PLAN_RELOAD);
	stop(&haproxy);
	remove_folder(&haproxy);
}

/* Without the addresses in front. */
static char *entries(const struct haproxy *haproxy, const char *command)
{
	_cleanup_free_ char *reply = ask(haproxy, command);
	_cleanup_strv_ char **lines = NULL;
	_cleanup_text_ struct text text = TEXT_INIT;
	char *result;

	assert_int_equal(text_split(reply, '\n', &lines), 0);
	STRV_FOREACH (line, lines)
		text_printf(&text, "%s\n", strchr(*line, ' ') ? strchr(*line, ' ') + 1 : *line);
	assert_int_equal(text_finish(&text, &result, NULL), 0);
	return result;
}

static void test_lists(void **state)
{
	static const char config[] = "frontend f\n mode http\n bind unix@f.sock\n tcp-request "
				     "connection reject unless { src -f a.lst }\n"
				     " http-request deny if { path -m beg -i -f b.lst }\n"
				     " http-request set-header X %[path,map_beg(c.map,none)]\n";
	static const char many[] = "# comment\n\n10.0.0.0/8\n  2001:db8::/32\r\n";
	static const struct plan_file files[] = {
		{"a.lst", "10.0.0.1\n", NULL}, /* the content is made below */
		{"b.lst", "/a\n/b\n", "/c d\n/e;f\\g\n#x\n /<<\n"},
		{"c.map", "/a 1\n", "/a 2\n /b \t two words \n#/c 3\n"},
	};
	_cleanup_text_ struct text large = TEXT_INIT;
	_cleanup_free_ char *a = NULL, *b = NULL, *c = NULL, *expected = NULL;
	_cleanup_plan_ struct plan plan = PLAN_INIT;
	struct plan_file changed[3];
	struct haproxy haproxy;

	(void)state;
	memcpy(changed, files, sizeof(files));
	text_append(&large, many);
	for (int i = 0; i < 3000; i++)
		text_printf(&large, "172.%d.%d.0/24\n", 16 + i / 256, i % 256);
	changed[0].after = text_peek(&large);
	make_folder(&haproxy);
	for (size_t i = 0; i < ELEMENTSOF(changed); i++)
		write_file(&haproxy, changed[i].name, changed[i].before);
	start(&haproxy, config);
	plan = make_plan(&haproxy,
		&(struct situation){
			.running = config, .wanted = config, .files = changed, .n_files = 3});
	assert_int_equal(plan.action, PLAN_RUNTIME);
	apply(&haproxy, &plan);
	a = entries(&haproxy, "show acl a.lst");
	b = entries(&haproxy, "show acl b.lst");
	c = entries(&haproxy, "show map c.map");
	stop(&haproxy);

	for (size_t i = 0; i < ELEMENTSOF(changed); i++)
		write_file(&haproxy, changed[i].name, changed[i].after);
	start(&haproxy, config);
	expected = entries(&haproxy, "show acl a.lst");
	assert_string_equal(a, expected);
	free(expected);
	expected = entries(&haproxy, "show acl b.lst");
	assert_string_equal(b, expected);
	free(expected);
	expected = entries(&haproxy, "show map c.map");
	assert_string_equal(c, expected);
	stop(&haproxy);
	remove_folder(&haproxy);
}

static struct identity *make_identity(const char *name)
{
	return identity_new(&(struct identity_options){.name = name});
}

static void test_certificates(void **state)
{
	static const char config[] =
		"frontend f\n mode http\n bind unix@f.sock ssl crt-list list.txt ca-file ca.pem "
		"verify optional\n"
		" bind unix@g.sock ssl crt-list list.txt\n default_backend b\n"
		"backend b\n mode http\n server s1 127.0.0.1:1 ssl ca-file ca.pem\n";
	static const char after[] =
		"frontend f\n mode http\n bind unix@f.sock ssl crt-list list.txt ca-file ca.pem "
		"verify optional\n"
		" bind unix@g.sock ssl crt-list list.txt\n default_backend b\n"
		"backend b\n mode http\n server s1 127.0.0.1:1 ssl ca-file ca.pem\n"
		" server s2 127.0.0.1:2 ssl ca-file ca.pem check\n";
	static const char *const shown[] = {"show ssl cert", "show ssl cert one.pem",
		"show ssl cert three.pem", "show ssl ca-file ca.pem", "show ssl crt-list list.txt"};
	_cleanup_identity_ struct identity *one = make_identity("one.example"),
					   *two = make_identity("two.example"),
					   *new_one = make_identity("new.one.example"),
					   *three = make_identity("three.example");
	/* Blank lines in a file are no end of it. */
	_cleanup_free_ char *spaced =
		format_text("%s\n\n%s", three->certificate_pem, three->key_pem);
	const struct plan_file files[] = {
		{"list.txt", "# first\none.pem\ntwo.pem [alpn h2] two.example\n",
			"one.pem\nthree.pem [alpn http/1.1] three.example\n"},
		{"one.pem", one->pem, new_one->pem},
		{"two.pem", two->pem, NULL},
		{"three.pem", NULL, spaced},
		{"ca.pem", one->certificate_pem, two->certificate_pem},
		{"other.pem", two->pem, one->pem},
	};
	char *changed[ELEMENTSOF(shown)];
	_cleanup_plan_ struct plan plan = PLAN_INIT;
	struct haproxy haproxy;

	(void)state;
	make_folder(&haproxy);
	for (size_t i = 0; i < ELEMENTSOF(files); i++)
		if (files[i].before)
			write_file(&haproxy, files[i].name, files[i].before);
	start(&haproxy, config);
	plan = make_plan(&haproxy, &(struct situation){.running = config,
					   .wanted = after,
					   .files = files,
					   .n_files = ELEMENTSOF(files)});
	if (plan.action != PLAN_RUNTIME)
		fail_msg("%s", plan.reasons[0]);
	for (size_t i = 0; i < plan.n_steps; i++)
		if (plan.steps[i].shown)
			assert_null(strstr(plan.steps[i].shown, "-----"));
		else
			assert_null(strstr(plan.steps[i].command, "-----"));
	apply(&haproxy, &plan);
	check_state(&haproxy, after, NULL, 0);
	for (size_t i = 0; i < ELEMENTSOF(shown); i++)
		changed[i] = ask(&haproxy, shown[i]);
	stop(&haproxy);

	for (size_t i = 0; i < ELEMENTSOF(files); i++)
		if (files[i].after)
			write_file(&haproxy, files[i].name, files[i].after);
	start(&haproxy, after);
	for (size_t i = 0; i < ELEMENTSOF(shown); i++) {
		_cleanup_free_ char *expected = ask(&haproxy, shown[i]);

		assert_string_equal(changed[i], expected);
		free(changed[i]);
	}
	stop(&haproxy);
	remove_folder(&haproxy);
}

/* A configuration of two pools, changed at random. */
struct model {
	unsigned frontend_maxconn;
	struct pool_model {
		unsigned algorithm;
		bool checked;
		struct server_model {
			bool exists, disabled, backup, send_proxy;
			unsigned address, weight, monitor_port;
		} servers[N_SERVERS];
	} pools[2];
};

static const char *const algorithms[] = {
	"roundrobin", "leastconn", "source\n hash-type consistent", "source"};

static unsigned next_random(unsigned *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 16;
}

static void change_server(struct server_model *server, unsigned *seed)
{
	switch (next_random(seed) % 8) {
	case 0:
	case 1:
	case 2:
		server->exists = !server->exists;
		break;
	case 3:
		server->disabled = !server->disabled;
		break;
	case 4:
		server->address = next_random(seed) % 50;
		break;
	case 5:
		server->weight = next_random(seed) % 4;
		break;
	case 6:
		server->monitor_port = next_random(seed) % 3;
		break;
	default:
		if (next_random(seed) % 2)
			server->send_proxy = !server->send_proxy;
		else
			server->backup = !server->backup;
	}
}

static void change_model(struct model *model, unsigned *seed)
{
	unsigned n = 1 + next_random(seed) % 4;

	if (next_random(seed) % 8 == 0)
		model->frontend_maxconn = 10 + next_random(seed) % 90;
	if (next_random(seed) % 12 == 0)
		model->pools[next_random(seed) % 2].algorithm =
			next_random(seed) % ELEMENTSOF(algorithms);
	for (unsigned i = 0; i < n; i++)
		change_server(
			&model->pools[next_random(seed) % 2].servers[next_random(seed) % N_SERVERS],
			seed);
}

static char *text_of(const struct model *model)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	char *result;

	text_printf(&text,
		"defaults\n timeout connect 1s\n timeout client 5s\n timeout server 5s\n"
		"frontend f\n bind unix@f.sock\n maxconn %u\n default_backend b0\n",
		model->frontend_maxconn);
	for (size_t i = 0; i < ELEMENTSOF(model->pools); i++) {
		const struct pool_model *pool = &model->pools[i];

		text_printf(&text, "backend b%zu\n balance %s\n option allbackups\n", i,
			algorithms[pool->algorithm]);
		for (size_t j = 0; j < N_SERVERS; j++) {
			const struct server_model *server = &pool->servers[j];

			if (!server->exists)
				continue;
			text_printf(&text, " server s%zu 127.0.0.%u:7 weight %u id %zu", j,
				1 + server->address, server->weight, 10 + j);
			if (pool->checked)
				text_append(&text, " check inter 60s rise 3 fall 3");
			if (pool->checked && server->monitor_port)
				text_printf(&text, " port %u", server->monitor_port);
			text_printf(&text, "%s%s%s\n", server->send_proxy ? " send-proxy-v2" : "",
				server->backup ? " backup" : "",
				server->disabled ? " disabled" : "");
		}
	}
	assert_int_equal(text_finish(&text, &result, NULL), 0);
	return result;
}

static void run_sequence(unsigned seed, unsigned *ret_runtime)
{
	struct model model = {
		.frontend_maxconn = 50, .pools = {{.checked = true}, {.checked = false}}};
	struct plan_leaving *leaving = NULL;
	size_t n_leaving = 0;
	struct haproxy haproxy;
	char *running;

	for (size_t i = 0; i < N_SERVERS; i++)
		for (size_t j = 0; j < ELEMENTSOF(model.pools); j++)
			model.pools[j].servers[i] = (struct server_model){
				.exists = i % 2, .weight = 1, .address = (unsigned)i};
	running = text_of(&model);
	make_folder(&haproxy);
	start(&haproxy, running);
	for (int i = 0; i < N_CHANGES; i++) {
		_cleanup_plan_ struct plan plan = PLAN_INIT;
		char *wanted;

		change_model(&model, &seed);
		wanted = text_of(&model);
		plan = make_plan(&haproxy, &(struct situation){.running = running,
						   .wanted = wanted,
						   .leaving = leaving,
						   .n_leaving = n_leaving});
		assert_int_equal(plan.action == PLAN_NONE, streq(running, wanted));
		plan_leaving_free(leaving, n_leaving);
		leaving = TAKE_PTR(plan.leaving);
		n_leaving = plan.n_leaving;
		plan.n_leaving = 0;
		if (plan.action == PLAN_RELOAD) {
			stop(&haproxy);
			start(&haproxy, wanted);
		} else {
			apply(&haproxy, &plan);
			*ret_runtime += plan.action == PLAN_RUNTIME;
		}
		check_state(&haproxy, wanted, leaving, n_leaving);
		if (plan.action == PLAN_RUNTIME && i % 3 == 2)
			compare_with_fresh(&haproxy, wanted, leaving, n_leaving);
		free(running);
		running = wanted;
	}
	plan_leaving_free(leaving, n_leaving);
	free(running);
	stop(&haproxy);
	remove_folder(&haproxy);
}

/* The sequences are always the same, unless another beginning is named: PLAN_REAL_SEED, which is
 * printed on failure. */
static void test_random_sequences(void **state)
{
	const char *seed = getenv("PLAN_REAL_SEED");
	unsigned first = seed ? (unsigned)atoi(seed) : 1, runtime = 0;

	(void)state;
	for (unsigned i = 0; i < N_SEQUENCES; i++) {
		print_message("sequence PLAN_REAL_SEED=%u\n", first + i);
		run_sequence(first + i, &runtime);
	}
	/* Most of them need no reload. */
	assert_true(runtime > N_SEQUENCES * N_CHANGES / 2);
}

static bool haproxy_is_there(void)
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_certificates),
		cmocka_unit_test(test_random_sequences),
	};

	if (!haproxy_is_there()) {
		printf("HAProxy 2.6 or later is not installed\n");
		return 77;
	}
	return cmocka_run_group_tests_name("plan_real", tests, NULL, NULL);
}
