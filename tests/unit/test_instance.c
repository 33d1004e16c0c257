/* SPDX-License-Identifier: Apache-2.0 */

/* The life of load balancers, with the real HAProxy under the direct supervisor. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/haproxy/check.h"
#include "agent/haproxy/stats.h"
#include "agent/instance/registry.h"
#include "tests/unit/certificates.h"

#define LB_A "aaaaaaaa-0000-4000-8000-00000000000a"
#define LB_B "bbbbbbbb-0000-4000-8000-00000000000b"
#define LISTENER_ID "cccccccc-0000-4000-8000-00000000000c"
#define POOL_ID "dddddddd-0000-4000-8000-00000000000d"
#define MEMBER_1 "eeeeeeee-0000-4000-8000-000000000001"
#define MEMBER_2 "eeeeeeee-0000-4000-8000-000000000002"
#define BACKEND POOL_ID ":" LISTENER_ID

enum { DEADLINE_MS = 20000 };

static const struct definition_defaults defaults = {.timeout_client_data_ms = 50000,
	.timeout_member_connect_ms = 5000,
	.timeout_member_data_ms = 50000,
	.timeout_tcp_inspect_ms = 0};

struct fixture {
	char base[64], run_dir[80];
	struct template *template;
	struct supervisor *supervisor;
	struct instance_settings settings;
	struct registry *registry;
	pthread_t dispatcher;
	int stop_pipe[2];
	unsigned reloads_announced;
};

/* What the main thread of the agent does. */
static void *dispatch(void *userdata)
{
	struct fixture *fixture = userdata;
	struct pollfd fds[] = {
		{.fd = fixture->supervisor->operations->fd(fixture->supervisor), .events = POLLIN},
		{.fd = fixture->stop_pipe[0], .events = POLLIN},
	};

	while (poll(fds, ELEMENTSOF(fds), -1) >= 0 && !fds[1].revents)
		fixture->supervisor->operations->dispatch(fixture->supervisor);
	return NULL;
}

static void ignore_report(void *userdata, const struct supervisor_report *report)
{
	(void)userdata;
	(void)report;
}

static void before_reload(
	void *userdata, const char *lb_id, const char *stats_socket, const char *master_socket)
{
	struct fixture *fixture = userdata;

	assert_true(text_is_uuid(lb_id));
	assert_int_equal(access(stats_socket, F_OK), 0);
	assert_int_equal(access(master_socket, F_OK), 0);
	fixture->reloads_announced++;
}

static void start_agent(struct fixture *fixture)
{
	assert_int_equal(
		supervisor_direct_new(ignore_report, fixture, &fixture->supervisor, NULL), 0);
	fixture->settings.supervisor = fixture->supervisor;
	assert_int_equal(pipe2(fixture->stop_pipe, O_CLOEXEC), 0);
	assert_int_equal(pthread_create(&fixture->dispatcher, NULL, dispatch, fixture), 0);
	assert_int_equal(registry_new(&fixture->settings, &fixture->registry, NULL), 0);
}

/* As a crash of the agent does, this leaves HAProxy alone. */
static void end_agent(struct fixture *fixture)
{
	close(fixture->stop_pipe[1]);
	pthread_join(fixture->dispatcher, NULL);
	close(fixture->stop_pipe[0]);
	registry_free(fixture->registry);
	fixture->supervisor->operations->free(fixture->supervisor);
}

static void restart_agent(struct fixture *fixture)
{
	end_agent(fixture);
	start_agent(fixture);
	assert_int_equal(registry_load(fixture->registry, true, NULL), 0);
}

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	const char *source = getenv("AMPHORAD_SRC_DIR");
	_cleanup_free_ char *templates = NULL;

	assert_non_null(fixture);
	assert_true(asprintf(&templates, "%s/templates", source ? source : ".") > 0);
	assert_int_equal(template_load(templates, "haproxy.cfg", &fixture->template, NULL), 0);
	snprintf(fixture->base, sizeof(fixture->base), "/tmp/test-inst-XXXXXX");
	assert_non_null(mkdtemp(fixture->base));
	snprintf(fixture->run_dir, sizeof(fixture->run_dir), "%s/run", fixture->base);
	assert_int_equal(mkdir(fixture->run_dir, 0700), 0);
	fixture->settings = (struct instance_settings){
		.base_path = fixture->base,
		.run_dir = fixture->run_dir,
		.haproxy_cmd = DEFAULT_HAPROXY_CMD,
		.hard_stop_after_s = 60,
		.max_old_workers = 4,
		.render = {.default_vip_address = "127.0.0.1",
			.default_connection_limit = 100,
			.timeouts = defaults,
			.stick_table_size = "1k",
			.tools_dir = "/nowhere"},
		.template = fixture->template,
		.before_reload = before_reload,
		.userdata = fixture,
	};
	assert_int_equal(
		haproxy_ask_version(DEFAULT_HAPROXY_CMD, &fixture->settings.version, NULL), 0);
	start_agent(fixture);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	/* A test that failed may have left a HAProxy behind that the registry does not know. */
	end_agent(fixture);
	start_agent(fixture);
	registry_load(fixture->registry, false, NULL);
	registry_stop_all(fixture->registry, 0, NULL);
	end_agent(fixture);
	template_free(fixture->template);
	fileio_remove_tree(AT_FDCWD, fixture->base);
	free(fixture);
	return 0;
}

/* A TCP socket on the loopback address; "ret_port" is chosen by the kernel. */
static int listen_anywhere(int *ret_port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static int free_port(void)
{
	int port, fd = listen_anywhere(&port);

	close(fd);
	return port;
}

static bool port_answers(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
}

static struct load_balancer *define(const char *lb_id, const char *format, ...) _printf_(2, 3);

/* ' stands for " in the document. */
static struct load_balancer *define(const char *lb_id, const char *format, ...)
{
	_cleanup_free_ char *body = NULL, *document = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	struct load_balancer *lb = NULL;
	va_list arguments;

	va_start(arguments, format);
	assert_true(vasprintf(&body, format, arguments) > 0);
	va_end(arguments);
	assert_true(asprintf(&document, "{\"loadbalancer\":{%s}}", body) > 0);
	for (char *p = document; *p; p++)
		if (*p == '\'')
			*p = '"';
	if (definition_parse(lb_id, document, strlen(document), &defaults, &lb, &err) < 0)
		fail_msg("%s: %s: %s", document, err.pointer, error_message(&err));
	return lb;
}

#define TCP_LISTENER "{'protocol':'TCP','protocol_port':%d}"

static int try_apply(struct fixture *fixture, struct load_balancer *lb,
	const struct apply_options *options, struct apply_result *ret, struct error *err)
{
	int r = registry_apply(fixture->registry, lb, options, ret, err);

	load_balancer_unref(lb);
	return r;
}

/* Consumes lb. */
static void apply(struct fixture *fixture, struct load_balancer *lb, enum plan_action action,
	int64_t revision)
{
	static const struct apply_options options = {.if_match = -1};
	_cleanup_apply_result_ struct apply_result result = APPLY_RESULT_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;

	if (try_apply(fixture, lb, &options, &result, &err) < 0)
		fail_msg("%s: %s", err.pointer ? err.pointer : "", error_message(&err));
	assert_string_equal(plan_action_name(result.plan.action), plan_action_name(action));
	assert_int_equal(result.revision, revision);
}

/* Consumes lb. The message has these words. */
static void apply_refused(
	struct fixture *fixture, struct load_balancer *lb, enum error_code code, const char *words)
{
	static const struct apply_options options = {.if_match = -1};
	_cleanup_apply_result_ struct apply_result result = APPLY_RESULT_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;

	assert_int_equal(
		try_apply(fixture, lb, &options, &result, &err), error_code_to_errno(code));
	assert_int_equal(err.code, code);
	if (!strstr(error_message(&err), words))
		fail_msg("no \"%s\" in: %s", words, error_message(&err));
	assert_null(result.lb);
}

static struct instance *get(struct fixture *fixture, const char *lb_id)
{
	struct instance *instance = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;

	if (registry_get(fixture->registry, lb_id, &instance, &err) < 0)
		fail_msg("%s", error_message(&err));
	return instance;
}

static void assert_not_there(struct fixture *fixture, const char *lb_id)
{
	struct instance *instance = NULL;
	_cleanup_free_ char *directory = NULL;

	assert_int_equal(registry_get(fixture->registry, lb_id, &instance, NULL), -ENOENT);
	assert_true(asprintf(&directory, "%s/%s", fixture->base, lb_id) > 0);
	assert_int_equal(access(directory, F_OK), -1);
}

struct pids {
	pid_t master, worker;
};

static struct pids pids_of(struct fixture *fixture, const char *lb_id)
{
	_cleanup_free_ char *socket = NULL;
	struct runtime_processes processes = {0};
	struct pids pids = {0};
	int64_t deadline = process_now_ms() + DEADLINE_MS;

	assert_true(asprintf(&socket, "%s/%s.master", fixture->run_dir, lb_id) > 0);
	/* While the master re-executes itself it does not answer. */
	while (!pids.worker && process_now_ms() < deadline) {
		if (runtime_processes(socket, 1000, &processes, NULL) == 0) {
			const struct runtime_worker *worker = runtime_current_worker(&processes);

			pids = (struct pids){processes.master_pid, worker ? worker->pid : 0};
			runtime_processes_done(&processes);
		}
		poll(NULL, 0, 10);
	}
	assert_true(pids.master > 0 && pids.worker > 0);
	return pids;
}

static void assert_same_pids(struct pids a, struct pids b)
{
	assert_int_equal(a.master, b.master);
	assert_int_equal(a.worker, b.worker);
}

static void wait_for_end(pid_t pid)
{
	int64_t deadline = process_now_ms() + DEADLINE_MS;

	while (kill(pid, 0) == 0 && process_now_ms() < deadline)
		poll(NULL, 0, 10);
	assert_int_equal(kill(pid, 0), -1);
}

static int add_to_snapshot(struct text *text, int dir_fd, const char *path)
{
	struct dirent **entries = NULL;
	int n = scandirat(dir_fd, path, &entries, NULL, alphasort);

	assert_true(n >= 0);
	for (int i = 0; i < n; i++) {
		_cleanup_free_ char *name = NULL, *content = NULL;
		struct stat st;

		assert_true(asprintf(&name, "%s/%s", path, entries[i]->d_name) > 0);
		assert_int_equal(fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
		if (S_ISDIR(st.st_mode) && entries[i]->d_name[0] != '.')
			add_to_snapshot(text, dir_fd, name);
		if (S_ISREG(st.st_mode)) {
			assert_int_equal(fileio_read(dir_fd, name, 1 << 20, &content, NULL), 0);
			text_printf(text, "%o %s\n%s\n", st.st_mode & 0777, name, content);
		}
		free(entries[i]);
	}
	free(entries);
	return n;
}

/* Modes, names and contents of all files below a load balancer's folder. */
static char *snapshot(struct fixture *fixture, const char *lb_id)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	_cleanup_close_ int dir_fd = -1;
	_cleanup_free_ char *directory = NULL;
	char *result;

	assert_true(asprintf(&directory, "%s/%s", fixture->base, lb_id) > 0);
	dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir_fd >= 0);
	assert_true(add_to_snapshot(&text, dir_fd, ".") > 2);
	assert_int_equal(text_finish(&text, &result, NULL), 0);
	return result;
}

static char *file_of(struct fixture *fixture, const char *lb_id, const char *name)
{
	_cleanup_free_ char *path = NULL;
	char *text = NULL;

	assert_true(asprintf(&path, "%s/%s/%s", fixture->base, lb_id, name) > 0);
	return fileio_read(AT_FDCWD, path, 1 << 20, &text, NULL) == 0 ? text : NULL;
}

static void remove_file_of(struct fixture *fixture, const char *lb_id, const char *name)
{
	_cleanup_free_ char *path = NULL;

	assert_true(asprintf(&path, "%s/%s/%s", fixture->base, lb_id, name) > 0);
	assert_int_equal(unlink(path), 0);
}

static char *run_command(struct fixture *fixture, const char *command)
{
	_cleanup_free_ char *socket = NULL;
	char *reply = NULL;

	assert_true(asprintf(&socket, "%s/" LB_A ".sock", fixture->run_dir) > 0);
	assert_int_equal(runtime_command(socket, command, DEADLINE_MS, &reply, NULL, NULL), 0);
	return reply;
}

static void test_create_change_and_nothing(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port(), other = free_port();
	struct pids first, second;
	_cleanup_instance_ struct instance *instance = NULL;
	_cleanup_stored_ struct stored_definition stored = STORED_DEFINITION_INIT,
						  later = STORED_DEFINITION_INIT;
	_cleanup_free_ char *trouble = NULL, *before = NULL, *after = NULL;

	apply(fixture, define(LB_A, "'name':'n','listeners':[" TCP_LISTENER "]", port), PLAN_START,
		1);
	assert_true(port_answers(port));
	assert_int_equal(fixture->reloads_announced, 0);
	instance = get(fixture, LB_A);
	assert_int_equal(instance_current(instance, &stored, &trouble), 0);
	assert_null(trouble);
	assert_int_equal(stored.revision, 1);
	assert_string_equal(stored.created_at, stored.updated_at);
	first = pids_of(fixture, LB_A);
	before = snapshot(fixture, LB_A);
	assert_null(strstr(before, "staged"));

	apply(fixture, define(LB_A, "'name':'n','listeners':[" TCP_LISTENER "]", port), PLAN_NONE,
		1);
	assert_same_pids(first, pids_of(fixture, LB_A));
	after = snapshot(fixture, LB_A);
	assert_string_equal(before, after);

	apply(fixture,
		define(LB_A, "'name':'n','listeners':[" TCP_LISTENER "," TCP_LISTENER "]", port,
			other),
		PLAN_RELOAD, 2);
	assert_int_equal(fixture->reloads_announced, 1);
	assert_true(port_answers(port));
	assert_true(port_answers(other));
	second = pids_of(fixture, LB_A);
	assert_int_equal(first.master, second.master);
	assert_int_not_equal(first.worker, second.worker);
	assert_int_equal(instance_current(instance, &later, NULL), 0);
	assert_string_equal(later.created_at, stored.created_at);

	/* A name is stored and HAProxy has nothing to do with it. */
	apply(fixture,
		define(LB_A, "'name':'m','listeners':[" TCP_LISTENER "," TCP_LISTENER "]", port,
			other),
		PLAN_NONE, 3);
	assert_same_pids(second, pids_of(fixture, LB_A));
}

static void test_files_are_private(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_instance_ struct instance *instance = NULL;
	_cleanup_free_ char *files = NULL;
	struct stat st;

	apply(fixture,
		define(LB_A,
			"'listeners':[{'protocol':'TCP','protocol_port':%d,'allowed_cidrs':['127.0."
			"0.0/8']}]",
			free_port()),
		PLAN_START, 1);
	files = snapshot(fixture, LB_A);
	/* HAProxy writes its process id for everyone to read, within a folder that only we enter.
	 */
	for (const char *line = strstr(files, " ./"); line; line = strstr(line + 1, " ./"))
		assert_true(strncmp(line - 3, "600", 3) == 0 ||
			    text_after_prefix(line, " ./" LB_A ".pid"));
	instance = get(fixture, LB_A);
	assert_int_equal(stat(instance->directory, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(stat(instance->stats_socket, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_list_files_come_and_go(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port();
	_cleanup_free_ char *list = NULL, *changed = NULL;

	apply(fixture,
		define(LB_A,
			"'listeners':[{'id':'" LISTENER_ID
			"','protocol':'TCP','protocol_port':%d,'allowed_cidrs':['10.0.0.0/8']}]",
			port),
		PLAN_START, 1);
	list = file_of(fixture, LB_A, "lists/" LISTENER_ID ".allowed");
	assert_string_equal(list, "10.0.0.0/8\n");
	/* The text stays the same: the list alone makes it a reload. */
	apply(fixture,
		define(LB_A,
			"'listeners':[{'id':'" LISTENER_ID
			"','protocol':'TCP','protocol_port':%d,'allowed_cidrs':['10.0.0.0/9']}]",
			port),
		PLAN_RELOAD, 2);
	changed = file_of(fixture, LB_A, "lists/" LISTENER_ID ".allowed");
	assert_string_equal(changed, "10.0.0.0/9\n");
	apply(fixture,
		define(LB_A,
			"'listeners':[{'id':'" LISTENER_ID
			"','protocol':'TCP','protocol_port':%d}]",
			port),
		PLAN_RELOAD, 3);
	assert_null(file_of(fixture, LB_A, "lists/" LISTENER_ID ".allowed"));
}

static void test_limits_of_old_workers(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_apply_result_ struct apply_result result = APPLY_RESULT_INIT;
	static const struct apply_options dry = {.dry_run = true, .if_match = -1};
	static const struct {
		const char *fields;
		enum plan_action action;
		const char *stop, *workers;
	} rows[] = {
		{"", PLAN_START, "hard-stop-after 60s\n", "mworker-max-reloads 4\n"},
		{",'hard_stop_after_s':120", PLAN_RELOAD, "hard-stop-after 120s\n", "mworker-max-reloads 4\n"},
		{",'hard_stop_after_s':120,'max_old_workers':2", PLAN_RELOAD, "hard-stop-after 120s\n",
			"mworker-max-reloads 2\n"},
		{"", PLAN_RELOAD, "hard-stop-after 60s\n", "mworker-max-reloads 4\n"},
	};
	int port = free_port();

	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_free_ char *own = NULL;

		apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]%s", port, rows[i].fields),
			rows[i].action, (int64_t)i + 1);
		own = file_of(fixture, LB_A, "amphorad.cfg");
		assert_non_null(strstr(own, rows[i].stop));
		assert_non_null(strstr(own, rows[i].workers));
	}
	assert_int_equal(try_apply(fixture,
				 define(LB_A, "'listeners':[" TCP_LISTENER "],'max_old_workers':3", port), &dry,
				 &result, NULL),
		0);
	assert_int_equal(result.plan.action, PLAN_RELOAD);
	{
		_cleanup_free_ char *own = file_of(fixture, LB_A, "amphorad.cfg");

		assert_null(strstr(own, "mworker-max-reloads 3"));
	}
}

static void assert_private(struct fixture *fixture, const char *name)
{
	_cleanup_free_ char *path = NULL;
	struct stat st;

	assert_true(asprintf(&path, "%s/" LB_A "/%s", fixture->base, name) > 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, S_ISDIR(st.st_mode) ? 0700 : 0600);
}

static void test_certificates_come_and_go(void **state)
{
	struct fixture *fixture = *state;
	struct test_certificates *certificates = test_certificates_new();
	_cleanup_free_ char *pem = NULL, *list = NULL;
	int port = free_port();

	fixture->settings.render.certificates = certificates->store;
	apply(fixture,
		define(LB_A,
			"'listeners':[{'id':'" LISTENER_ID "','protocol':'TERMINATED_HTTPS','protocol_port':%d,"
			"'default_tls_container_ref':'web','sni_container_refs':['www']}]",
			port),
		PLAN_START, 1);
	assert_true(port_answers(port));
	list = file_of(fixture, LB_A, "lists/" LISTENER_ID ".crt-list");
	assert_string_equal(list, "certificates/web.pem\ncertificates/www.pem\n");
	pem = file_of(fixture, LB_A, "certificates/web.pem");
	assert_non_null(strstr(pem, "PRIVATE KEY"));
	assert_private(fixture, "certificates/web.pem");
	assert_private(fixture, "certificates");
	apply_refused(fixture,
		define(LB_A,
			"'listeners':[{'id':'" LISTENER_ID "','protocol':'TERMINATED_HTTPS','protocol_port':%d,"
			"'default_tls_container_ref':'none'}]",
			port),
		ERROR_INVALID, "none");
	apply(fixture,
		define(LB_A, "'listeners':[{'id':'" LISTENER_ID "','protocol':'TCP','protocol_port':%d}]", port),
		PLAN_RELOAD, 2);
	assert_null(file_of(fixture, LB_A, "certificates/web.pem"));
	assert_null(file_of(fixture, LB_A, "certificates/www.pem"));
	assert_null(file_of(fixture, LB_A, "lists/" LISTENER_ID ".crt-list"));
	fixture->settings.render.certificates = NULL;
	test_certificates_free(certificates);
}

static void test_stale_revision(void **state)
{
	struct fixture *fixture = *state;
	struct apply_options options = {.if_match = 1};
	_cleanup_apply_result_ struct apply_result result = APPLY_RESULT_INIT,
						   again = APPLY_RESULT_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;

	/* Nothing is at revision 1 yet, and the attempt leaves nothing behind. */
	assert_int_equal(
		try_apply(fixture, define(LB_A, "'listeners':[]"), &options, &result, &err),
		-ESTALE);
	assert_not_there(fixture, LB_A);
	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", free_port()), PLAN_START, 1);
	assert_int_equal(
		try_apply(fixture, define(LB_A, "'name':'x'"), &options, &result, &err), 0);
	assert_int_equal(result.revision, 2);
	assert_int_equal(
		try_apply(fixture, define(LB_A, "'name':'y'"), &options, &again, &err), -ESTALE);
	assert_int_equal(err.code, ERROR_STALE);
	assert_int_equal(registry_delete(fixture->registry, LB_A, 1, &err), -ESTALE);
	assert_int_equal(registry_delete(fixture->registry, LB_A, 2, &err), 0);
}

/* Its log, and the states that it gave away for the reload. */
static void empty_what_haproxy_writes(struct fixture *fixture)
{
	static const char *const names[] = {"haproxy.log", "servers-state"};

	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		_cleanup_free_ char *path = NULL;

		assert_true(asprintf(&path, "%s/" LB_A "/%s", fixture->base, names[i]) > 0);
		assert_int_equal(truncate(path, 0), 0);
	}
}

/* HAProxy takes the configuration and cannot run it: all is as it was. */
static void test_change_that_cannot_be_run(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port(), taken, other = free_port();
	_unused_ _cleanup_close_ int taken_fd = listen_anywhere(&taken);
	_cleanup_instance_ struct instance *instance = NULL;
	_cleanup_stored_ struct stored_definition stored = STORED_DEFINITION_INIT;
	_cleanup_free_ char *before = NULL, *after = NULL;
	struct pids pids;

	apply(fixture,
		define(LB_A,
			"'listeners':[{'protocol':'TCP','protocol_port':%d,'allowed_cidrs':['127.0."
			"0.0/8']}]",
			port),
		PLAN_START, 1);
	pids = pids_of(fixture, LB_A);
	empty_what_haproxy_writes(fixture);
	before = snapshot(fixture, LB_A);
	apply_refused(fixture,
		define(LB_A,
			"'listeners':[{'protocol':'TCP','protocol_port':%d,'allowed_cidrs':['10.0."
			"0.0/8']},"
			"{'protocol':'TCP','protocol_port':%d,'allowed_cidrs':['10.0.0.0/8']}]",
			port, taken),
		ERROR_APPLY, "Address already in use");
	empty_what_haproxy_writes(fixture);
	after = snapshot(fixture, LB_A);
	assert_string_equal(before, after);
	assert_same_pids(pids, pids_of(fixture, LB_A));
	assert_true(port_answers(port));
	instance = get(fixture, LB_A);
	assert_int_equal(instance_current(instance, &stored, NULL), 0);
	assert_int_equal(stored.revision, 1);

	/* Neither the agent nor the master is confused by it. */
	apply(fixture,
		define(LB_A,
			"'listeners':[{'protocol':'TCP','protocol_port':%d,'allowed_cidrs':['127.0."
			"0.0/8']}]",
			port),
		PLAN_NONE, 1);
	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "," TCP_LISTENER "]", port, other),
		PLAN_RELOAD, 2);
	assert_true(port_answers(other));
	assert_int_equal(pids_of(fixture, LB_A).master, pids.master);
}

static void test_creation_that_cannot_be_run(void **state)
{
	struct fixture *fixture = *state;
	int taken;
	_unused_ _cleanup_close_ int taken_fd = listen_anywhere(&taken);

	apply_refused(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", taken), ERROR_APPLY,
		"Address already in use");
	assert_not_there(fixture, LB_A);
	close(TAKE_FD(taken_fd));
	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", taken), PLAN_START, 1);
}

static void test_dry_run(void **state)
{
	struct fixture *fixture = *state;
	static const struct apply_options options = {.dry_run = true, .if_match = -1};
	_cleanup_apply_result_ struct apply_result creation = APPLY_RESULT_INIT,
						   change = APPLY_RESULT_INIT;
	_cleanup_free_ char *before = NULL, *after = NULL;
	int port = free_port();
	struct pids pids;

	assert_int_equal(try_apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", port),
				 &options, &creation, NULL),
		0);
	assert_true(creation.created);
	assert_int_equal(creation.plan.action, PLAN_START);
	assert_non_null(creation.verdict);
	assert_non_null(strstr(creation.rendered.text, "\nfrontend "));
	assert_not_there(fixture, LB_A);
	assert_false(port_answers(port));

	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", port), PLAN_START, 1);
	pids = pids_of(fixture, LB_A);
	before = snapshot(fixture, LB_A);
	assert_int_equal(
		try_apply(fixture,
			define(LB_A, "'listeners':[{'protocol':'HTTP','protocol_port':%d}]", port),
			&options, &change, NULL),
		0);
	assert_false(change.created);
	assert_int_equal(change.revision, 1);
	assert_int_equal(change.plan.action, PLAN_RELOAD);
	assert_int_equal(change.lb->listeners[0].protocol, LISTENER_HTTP);
	after = snapshot(fixture, LB_A);
	assert_string_equal(before, after);
	assert_same_pids(pids, pids_of(fixture, LB_A));
}

static void test_delete(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port();
	_cleanup_instance_ struct instance *instance = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	struct pids pids;

	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", port), PLAN_START, 1);
	pids = pids_of(fixture, LB_A);
	instance = get(fixture, LB_A);
	assert_int_equal(registry_delete(fixture->registry, LB_A, -1, NULL), 0);
	assert_not_there(fixture, LB_A);
	assert_false(port_answers(port));
	wait_for_end(pids.worker);
	wait_for_end(pids.master);
	assert_int_equal(access(instance->stats_socket, F_OK), -1);
	assert_int_equal(access(instance->master_socket, F_OK), -1);
	assert_int_equal(registry_delete(fixture->registry, LB_A, -1, &err), -ENOENT);
	assert_int_equal(err.code, ERROR_NOT_FOUND);
	assert_string_equal(error_message(&err), "Load Balancer " LB_A " not found.");
	/* Whoever still holds it learns that it is gone. */
	assert_false(instance_is_stored(instance));
	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", port), PLAN_START, 1);
}

static void test_restart_of_the_agent(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port();
	struct pids pids;

	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", port), PLAN_START, 1);
	pids = pids_of(fixture, LB_A);
	restart_agent(fixture);
	assert_same_pids(pids, pids_of(fixture, LB_A));
	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", port), PLAN_NONE, 1);
	assert_same_pids(pids, pids_of(fixture, LB_A));
}

/* The record is missing, so HAProxy may run anything: it is told again. */
static void test_crash_before_the_record(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port();
	struct pids pids, after;

	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", port), PLAN_START, 1);
	pids = pids_of(fixture, LB_A);
	remove_file_of(fixture, LB_A, "applied");
	restart_agent(fixture);
	after = pids_of(fixture, LB_A);
	assert_int_equal(pids.master, after.master);
	assert_int_not_equal(pids.worker, after.worker);
	restart_agent(fixture);
	assert_same_pids(after, pids_of(fixture, LB_A));
}

/* Published and not stored: the stored definition counts. */
static void test_crash_after_publishing(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port();
	_cleanup_free_ char *wanted = NULL, *path = NULL, *now = NULL;

	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", port), PLAN_START, 1);
	wanted = file_of(fixture, LB_A, "haproxy.cfg");
	remove_file_of(fixture, LB_A, "applied");
	assert_true(asprintf(&path, "%s/" LB_A "/haproxy.cfg", fixture->base) > 0);
	assert_int_equal(fileio_write(AT_FDCWD, path, "global\n", 7, 0600), 0);
	restart_agent(fixture);
	now = file_of(fixture, LB_A, "haproxy.cfg");
	assert_string_equal(now, wanted);
	assert_true(port_answers(port));
}

static void test_haproxy_ended_while_the_agent_was_away(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port();
	struct pids pids;

	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", port), PLAN_START, 1);
	pids = pids_of(fixture, LB_A);
	end_agent(fixture);
	assert_int_equal(kill(pids.master, SIGKILL), 0);
	kill(pids.worker, SIGKILL);
	start_agent(fixture);
	assert_int_equal(registry_load(fixture->registry, true, NULL), 0);
	assert_true(port_answers(port));
	assert_int_not_equal(pids_of(fixture, LB_A).master, pids.master);
}

static void test_interrupted_creation(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port();
	struct pids pids;

	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", port), PLAN_START, 1);
	pids = pids_of(fixture, LB_A);
	/* Before the definition was stored, HAProxy ran already. */
	remove_file_of(fixture, LB_A, "definition/0000000001.json");
	restart_agent(fixture);
	assert_not_there(fixture, LB_A);
	wait_for_end(pids.master);
	assert_false(port_answers(port));
}

static void rename_in(struct fixture *fixture, const char *old, const char *new)
{
	_cleanup_free_ char *from = NULL, *to = NULL;

	assert_true(asprintf(&from, "%s/" LB_A "/%s", fixture->base, old) > 0);
	assert_true(asprintf(&to, "%s/" LB_A "/%s", fixture->base, new) > 0);
	assert_int_equal(rename(from, to), 0);
}

static void test_interrupted_deletion(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port();
	struct pids pids;

	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", port), PLAN_START, 1);
	pids = pids_of(fixture, LB_A);
	rename_in(fixture, "definition", "definition.deleted");
	restart_agent(fixture);
	assert_not_there(fixture, LB_A);
	wait_for_end(pids.master);
}

/* What a deletion left that could not be ended must not take what was created since with it. */
static void test_creation_after_a_failed_deletion(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *left = NULL;
	int port = free_port();

	assert_true(asprintf(&left, "%s/" LB_A "/definition.deleted", fixture->base) > 0);
	assert_int_equal(fileio_make_dirs(left, 0700), 0);
	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", port), PLAN_START, 1);
	restart_agent(fixture);
	instance_unref(get(fixture, LB_A));
	assert_true(port_answers(port));
}

static void spoil_definition(struct fixture *fixture)
{
	_cleanup_free_ char *path = NULL;

	assert_true(asprintf(&path, "%s/" LB_A "/definition/0000000001.json", fixture->base) > 0);
	assert_int_equal(fileio_write(AT_FDCWD, path, "x", 1, 0600), 0);
}

/* HAProxy and what is on disk are left alone, also by a change that fails, until a change succeeds.
 */
static void test_definition_that_cannot_be_read(void **state)
{
	struct fixture *fixture = *state;
	static const struct apply_options dry = {.dry_run = true, .if_match = -1};
	_cleanup_apply_result_ struct apply_result result = APPLY_RESULT_INIT;
	int port = free_port(), taken;
	_unused_ _cleanup_close_ int taken_fd = listen_anywhere(&taken);
	struct pids pids;

	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", port), PLAN_START, 1);
	pids = pids_of(fixture, LB_A);
	spoil_definition(fixture);
	for (int start = 0; start < 2; start++) {
		_cleanup_free_ char *aside = NULL;

		restart_agent(fixture);
		assert_same_pids(pids, pids_of(fixture, LB_A));
		assert_true(port_answers(port));
		aside = file_of(fixture, LB_A, "definition/0000000001.json.corrupt");
		assert_string_equal(aside, "x");
	}
	assert_int_equal(try_apply(fixture, define(LB_A, "'name':'x'"), &dry, &result, NULL), 0);
	apply_refused(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", taken), ERROR_APPLY,
		"Address already in use");
	assert_true(port_answers(port));
	apply(fixture, define(LB_A, "'name':'again','listeners':[" TCP_LISTENER "]", port),
		PLAN_RELOAD, 1);
	restart_agent(fixture);
	assert_true(port_answers(port));
	instance_unref(get(fixture, LB_A));
}

static void test_deletion_of_what_cannot_be_read(void **state)
{
	struct fixture *fixture = *state;

	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", free_port()), PLAN_START, 1);
	spoil_definition(fixture);
	restart_agent(fixture);
	assert_int_equal(registry_delete(fixture->registry, LB_A, -1, NULL), 0);
	assert_not_there(fixture, LB_A);
}

/* A folder without definitions is of another agent, one with another name is nobody's business. */
static void test_folders_of_others(void **state)
{
	struct fixture *fixture = *state;
	static const char *const names[] = {LB_B "x/definition", "certs", "definition",
		"AAAAAAAA-0000-4000-8000-00000000000A/definition"};
	_cleanup_(registry_list_freep) struct instance **list = NULL;

	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		_cleanup_free_ char *path = NULL;

		assert_true(asprintf(&path, "%s/%s", fixture->base, names[i]) > 0);
		assert_int_equal(fileio_make_dirs(path, 0700), 0);
	}
	restart_agent(fixture);
	assert_int_equal(registry_list(fixture->registry, &list), 0);
	assert_null(list[0]);
	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		_cleanup_free_ char *path = NULL;

		assert_true(asprintf(&path, "%s/%s", fixture->base, names[i]) > 0);
		assert_int_equal(access(path, F_OK), 0);
	}
}

#define WATCHED_POOL                                                                     \
	"'listeners':[{'id':'" LISTENER_ID                                               \
	"','protocol':'TCP','protocol_port':%d,'default_pool_id':'" POOL_ID "'}],"       \
	"'pools':[{'id':'" POOL_ID                                                       \
	"','protocol':'TCP','lb_algorithm':'ROUND_ROBIN','healthmonitor':{'type':'TCP'," \
	"'delay':3600,'timeout':5,'max_retries':1,'max_retries_down':1},'members':["     \
	"{'id':'" MEMBER_1 "','address':'127.0.0.1','protocol_port':1,'weight':%d},"     \
	"{'id':'" MEMBER_2 "','address':'127.0.0.1','protocol_port':2,'weight':%d}]}]"

static void assert_status(struct fixture *fixture, const char *member, const char *beginning)
{
	_cleanup_stats_ struct stats_table table = {0};
	char *csv = run_command(fixture, "show stat");

	assert_int_equal(stats_parse(csv, strlen(csv), &table, NULL), 0);
	for (size_t i = 0; i < table.n_rows; i++)
		if (table.rows[i].kind == STATS_SERVER && streq(table.rows[i].name, member)) {
			if (!text_after_prefix(table.rows[i].status, beginning))
				fail_msg("%s is %s, not %s", member, table.rows[i].status,
					beginning);
			return;
		}
	fail_msg("no server %s", member);
}

static void test_health_survives_a_reload(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port();

	apply(fixture, define(LB_A, WATCHED_POOL, port, 1, 1), PLAN_START, 1);
	free(run_command(fixture, "set server " BACKEND "/" MEMBER_1 " health down"));
	free(run_command(fixture, "set server " BACKEND "/" MEMBER_2 " health down"));
	assert_status(fixture, MEMBER_1, "DOWN");
	assert_status(fixture, MEMBER_2, "DOWN");
	apply(fixture, define(LB_A, WATCHED_POOL, port, 1, 7), PLAN_RELOAD, 2);
	assert_status(fixture, MEMBER_1, "DOWN");
	/* One that was changed begins anew, with what the definition says. */
	assert_status(fixture, MEMBER_2, "UP");
	{
		_cleanup_free_ char *weight =
			run_command(fixture, "get weight " BACKEND "/" MEMBER_2);

		assert_non_null(strstr(weight, "7 (initial 7)"));
	}
}

static void test_conflicts_between_load_balancers(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port(), other = free_port();
	_cleanup_apply_result_ struct apply_result result = APPLY_RESULT_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	static const struct apply_options options = {.if_match = -1};

	apply(fixture,
		define(LB_A,
			"'listeners':[{'id':'" LISTENER_ID
			"','protocol':'TCP','protocol_port':%d}],"
			"'pools':[{'id':'" POOL_ID
			"','protocol':'TCP','lb_algorithm':'ROUND_ROBIN'}]",
			port),
		PLAN_START, 1);
	assert_int_equal(try_apply(fixture,
				 define(LB_B, "'listeners':[" TCP_LISTENER "," TCP_LISTENER "]",
					 other, port),
				 &options, &result, &err),
		-EEXIST);
	assert_string_equal(err.pointer, "/loadbalancer/listeners/1/protocol_port");
	assert_non_null(strstr(error_message(&err), LB_A));
	assert_not_there(fixture, LB_B);
	apply_refused(fixture,
		define(LB_B, "'vip_address':'0.0.0.0','listeners':[" TCP_LISTENER "]", port),
		ERROR_CONFLICT, "is taken");
	apply_refused(fixture,
		define(LB_B,
			"'vip_address':'127.0.0.2','listeners':[{'id':'" LISTENER_ID
			"','protocol':'TCP','protocol_port':%d}]",
			other),
		ERROR_CONFLICT, "by a listener of load balancer " LB_A);
	apply_refused(fixture,
		define(LB_B, "'pools':[{'id':'" POOL_ID
			     "','protocol':'TCP','lb_algorithm':'ROUND_ROBIN'}]"),
		ERROR_CONFLICT, "by a pool of load balancer " LB_A);
	apply(fixture,
		define(LB_B, "'vip_address':'127.0.0.2','listeners':[" TCP_LISTENER "]", port),
		PLAN_START, 1);
	assert_int_equal(registry_delete(fixture->registry, LB_B, -1, NULL), 0);
	apply_refused(fixture,
		define(LB_B, "'vip_address':'127.0.0.2','additional_vips':[{'ip_address':'127.0.0.1'}],"
			     "'listeners':[" TCP_LISTENER "]",
			port),
		ERROR_CONFLICT, "of 127.0.0.1 is taken by listener " LISTENER_ID);
	/* What is switched off listens nowhere. */
	apply(fixture, define(LB_B, "'admin_state_up':false,'listeners':[" TCP_LISTENER "]", port),
		PLAN_START, 1);
	apply(fixture,
		define(LB_B,
			"'listeners':[{'protocol':'TCP','protocol_port':%d,'admin_state_up':false}"
			"]",
			port),
		PLAN_NONE, 2);
	apply_refused(fixture, define(LB_B, "'listeners':[" TCP_LISTENER "]", port), ERROR_CONFLICT,
		"is taken by listener " LISTENER_ID);
}

static void test_list_and_stop_all(void **state)
{
	struct fixture *fixture = *state;
	int port = free_port(), other = free_port();
	struct instance **list = NULL;
	struct pids a, b;

	apply(fixture, define(LB_B, "'listeners':[" TCP_LISTENER "]", port), PLAN_START, 1);
	apply(fixture, define(LB_A, "'listeners':[" TCP_LISTENER "]", other), PLAN_START, 1);
	a = pids_of(fixture, LB_A);
	b = pids_of(fixture, LB_B);
	assert_int_equal(registry_list(fixture->registry, &list), 0);
	assert_string_equal(list[0]->id, LB_A);
	assert_string_equal(list[1]->id, LB_B);
	assert_null(list[2]);
	registry_list_free(list);
	assert_int_equal(registry_stop_all(fixture->registry, 100, NULL), 0);
	wait_for_end(a.master);
	wait_for_end(b.master);
	restart_agent(fixture);
	assert_true(port_answers(port));
	assert_true(port_answers(other));
}

struct changer {
	struct fixture *fixture;
	pthread_t thread;
	int port;
	unsigned failed;
};

static void *change_often(void *userdata)
{
	struct changer *changer = userdata;

	for (int i = 0; i < 4; i++) {
		static const struct apply_options options = {.if_match = -1};
		_cleanup_apply_result_ struct apply_result result = APPLY_RESULT_INIT;

		if (try_apply(changer->fixture,
			    define(LB_A, "'name':'%d','listeners':[" TCP_LISTENER "]", i,
				    changer->port),
			    &options, &result, NULL) < 0)
			changer->failed++;
		if (i == 1)
			registry_delete(changer->fixture->registry, LB_A, -1, NULL);
	}
	return NULL;
}

/* Changes and deletions from several threads take turns; the end is one of the definitions, whole.
 */
static void test_changes_at_once(void **state)
{
	struct fixture *fixture = *state;
	struct changer changers[3] = {{0}};
	_cleanup_instance_ struct instance *instance = NULL;
	_cleanup_stored_ struct stored_definition stored = STORED_DEFINITION_INIT;
	_cleanup_rendered_ struct rendered rendered = RENDERED_INIT;
	_cleanup_free_ char *on_disk = NULL;

	for (size_t i = 0; i < ELEMENTSOF(changers); i++) {
		changers[i].fixture = fixture;
		changers[i].port = free_port();
		assert_int_equal(
			pthread_create(&changers[i].thread, NULL, change_often, &changers[i]), 0);
	}
	for (size_t i = 0; i < ELEMENTSOF(changers); i++) {
		pthread_join(changers[i].thread, NULL);
		assert_int_equal(changers[i].failed, 0);
	}
	instance = get(fixture, LB_A);
	assert_int_equal(instance_current(instance, &stored, NULL), 0);
	assert_int_equal(render_haproxy(fixture->template, stored.lb, &fixture->settings.render,
				 &rendered, NULL),
		0);
	on_disk = file_of(fixture, LB_A, "haproxy.cfg");
	assert_string_equal(on_disk, rendered.text);
	assert_true(port_answers((int)stored.lb->listeners[0].protocol_port));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_create_change_and_nothing),
		TEST(test_files_are_private),
		TEST(test_list_files_come_and_go),
		TEST(test_limits_of_old_workers),
		TEST(test_certificates_come_and_go),
		TEST(test_stale_revision),
		TEST(test_change_that_cannot_be_run),
		TEST(test_creation_that_cannot_be_run),
		TEST(test_dry_run),
		TEST(test_delete),
		TEST(test_restart_of_the_agent),
		TEST(test_crash_before_the_record),
		TEST(test_crash_after_publishing),
		TEST(test_haproxy_ended_while_the_agent_was_away),
		TEST(test_interrupted_creation),
		TEST(test_interrupted_deletion),
		TEST(test_creation_after_a_failed_deletion),
		TEST(test_definition_that_cannot_be_read),
		TEST(test_deletion_of_what_cannot_be_read),
		TEST(test_folders_of_others),
		TEST(test_health_survives_a_reload),
		TEST(test_conflicts_between_load_balancers),
		TEST(test_list_and_stop_all),
		TEST(test_changes_at_once),
	};

	if (access(DEFAULT_HAPROXY_CMD, X_OK) < 0) {
		fprintf(stderr, "%s is missing\n", DEFAULT_HAPROXY_CMD);
		return 77;
	}
	log_set_level(LOG_CRIT); /* failures that are logged are what is tested */
	return cmocka_run_group_tests_name("instance", tests, NULL, NULL);
}
