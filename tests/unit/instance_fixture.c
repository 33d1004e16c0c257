/* SPDX-License-Identifier: Apache-2.0 */
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
#include "agent/base/process.h"
#include "agent/haproxy/check.h"
#include "tests/unit/instance_fixture.h"
#include "tests/unit/quotes.h"

static const struct definition_defaults defaults = {.timeout_client_data_ms = 50000,
	.timeout_member_connect_ms = 5000,
	.timeout_member_data_ms = 50000,
	.timeout_tcp_inspect_ms = 0};

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
	if (fixture->spoil) {
		_cleanup_close_ int fd = open(fixture->spoil, O_WRONLY | O_APPEND | O_CLOEXEC);

		assert_true(write(fd, "\nno such word\n", 14) == 14);
		fixture->spoil = NULL;
	}
}

void start_agent(struct fixture *fixture)
{
	assert_int_equal(
		supervisor_direct_new(ignore_report, fixture, &fixture->supervisor, NULL), 0);
	fixture->settings.supervisor = fixture->supervisor;
	assert_int_equal(pipe2(fixture->stop_pipe, O_CLOEXEC), 0);
	assert_int_equal(pthread_create(&fixture->dispatcher, NULL, dispatch, fixture), 0);
	assert_int_equal(registry_new(&fixture->settings, &fixture->registry, NULL), 0);
}

void end_agent(struct fixture *fixture)
{
	close(fixture->stop_pipe[1]);
	pthread_join(fixture->dispatcher, NULL);
	close(fixture->stop_pipe[0]);
	registry_free(fixture->registry);
	fixture->supervisor->operations->free(fixture->supervisor);
}

void restart_agent(struct fixture *fixture)
{
	end_agent(fixture);
	start_agent(fixture);
	assert_int_equal(registry_load(fixture->registry, true, NULL), 0);
}

int fixture_setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	const char *source = getenv("AMPHORAD_SRC_DIR");
	_cleanup_free_ char *templates = NULL;
	struct process_job version;

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
	assert_int_equal(haproxy_begin_version(DEFAULT_HAPROXY_CMD, &version, NULL), 0);
	assert_int_equal(
		haproxy_end_version(DEFAULT_HAPROXY_CMD, &version, &fixture->settings.version, NULL), 0);
	start_agent(fixture);
	*state = fixture;
	return 0;
}

int fixture_teardown(void **state)
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

int listen_anywhere(int *ret_port)
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

bool port_answers(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
}

struct load_balancer *define(const char *lb_id, const char *format, ...)
{
	_cleanup_free_ char *body = NULL, *quoted = NULL, *document = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	struct load_balancer *lb = NULL;
	va_list arguments;

	va_start(arguments, format);
	assert_true(vasprintf(&body, format, arguments) > 0);
	va_end(arguments);
	assert_true(asprintf(&quoted, "{'loadbalancer':{%s}}", body) > 0);
	document = with_quotes(quoted);
	if (definition_parse(lb_id, document, strlen(document), &defaults, &lb, &err) < 0)
		fail_msg("%s: %s: %s", document, err.pointer, error_message(&err));
	return lb;
}

int try_apply(struct fixture *fixture, struct load_balancer *lb,
	const struct apply_options *options, struct apply_result *ret, struct error *err)
{
	int r = registry_apply(fixture->registry, lb, options, ret, err);

	load_balancer_unref(lb);
	return r;
}

void apply(struct fixture *fixture, struct load_balancer *lb, enum plan_action action,
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

void apply_refused(
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

struct instance *get(struct fixture *fixture, const char *lb_id)
{
	struct instance *instance = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;

	if (registry_get(fixture->registry, lb_id, &instance, &err) < 0)
		fail_msg("%s", error_message(&err));
	return instance;
}

void assert_not_there(struct fixture *fixture, const char *lb_id)
{
	struct instance *instance = NULL;
	_cleanup_free_ char *directory = NULL;

	assert_int_equal(registry_get(fixture->registry, lb_id, &instance, NULL), -ENOENT);
	assert_true(asprintf(&directory, "%s/%s", fixture->base, lb_id) > 0);
	assert_int_equal(access(directory, F_OK), -1);
}


struct pids pids_of(struct fixture *fixture, const char *lb_id)
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

void assert_same_pids(struct pids a, struct pids b)
{
	assert_int_equal(a.master, b.master);
	assert_int_equal(a.worker, b.worker);
}

void wait_for_end(pid_t pid)
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

char *snapshot(struct fixture *fixture, const char *lb_id)
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

char *file_of(struct fixture *fixture, const char *lb_id, const char *name)
{
	_cleanup_free_ char *path = NULL;
	char *text = NULL;

	assert_true(asprintf(&path, "%s/%s/%s", fixture->base, lb_id, name) > 0);
	return fileio_read(AT_FDCWD, path, 1 << 20, &text, NULL) == 0 ? text : NULL;
}

void remove_file_of(struct fixture *fixture, const char *lb_id, const char *name)
{
	_cleanup_free_ char *path = NULL;

	assert_true(asprintf(&path, "%s/%s/%s", fixture->base, lb_id, name) > 0);
	assert_int_equal(unlink(path), 0);
}

char *run_command(struct fixture *fixture, const char *command)
{
	_cleanup_free_ char *socket = NULL;
	char *reply = NULL;

	assert_true(asprintf(&socket, "%s/" LB_A ".sock", fixture->run_dir) > 0);
	assert_int_equal(runtime_command(socket, command, DEADLINE_MS, &reply, NULL, NULL), 0);
	return reply;
}
