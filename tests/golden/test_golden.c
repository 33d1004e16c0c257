/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Golden files: a definition in (cases/NAME.json), a haproxy.cfg out (cases/NAME.cfg), and HAProxy's own verdict on it. The
 * certificates that definitions may name are made when the test runs (tests/unit/certificates.h).
 * AMPHORAD_UPDATE_GOLDEN=1 writes what is rendered instead of comparing; look at the difference before keeping it.
 */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>

#include "agent/base/fileio.h"
#include "agent/base/text.h"
#include "agent/definition/uuid.h"
#include "agent/haproxy/check.h"
#include "agent/render/haproxy.h"
#include "tests/unit/certificates.h"

static const struct definition_defaults defaults = {50000, 5000, 50000, 0, "127.0.0.1"};

static const struct render_settings common = {
	.default_vip_address = "127.0.0.1",
	.default_connection_limit = 50000,
	.timeouts = {50000, 5000, 50000, 0, "127.0.0.1"},
	.stick_table_size = "10k",
	.tools_dir = "/usr/libexec/amphorad",
	.log_target = "/dev/log",
	.user_log_facility = 0,
	.administrative_log_facility = 1,
	.connection_logging = true,
};

struct golden {
	struct render_settings settings;
	struct test_certificates *certificates;
	struct template *template;
	int cases_fd;
};

static int setup(void **state)
{
	struct golden *golden = calloc(1, sizeof(*golden));
	_cleanup_free_ char *templates = NULL, *cases = NULL;
	const char *source = getenv("AMPHORAD_SRC_DIR");

	assert_non_null(golden);
	assert_true(asprintf(&templates, "%s/templates", source ? source : ".") > 0);
	assert_true(asprintf(&cases, "%s/tests/golden/cases", source ? source : ".") > 0);
	assert_int_equal(template_load(templates, "haproxy.cfg", &golden->template, NULL), 0);
	golden->cases_fd = open(cases, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(golden->cases_fd >= 0);
	golden->certificates = test_certificates_new();
	golden->settings = common;
	golden->settings.certificates = golden->certificates->store;
	*state = golden;
	return 0;
}

static int teardown(void **state)
{
	struct golden *golden = *state;

	template_free(golden->template);
	test_certificates_free(golden->certificates);
	close(golden->cases_fd);
	free(golden);
	return 0;
}

/* Writes what was rendered into a temporary folder and asks HAProxy. */
static void ask_haproxy(const char *name, const struct rendered *rendered)
{
	static const char own[] = "global\n    stats socket /nowhere.sock\n";
	char directory[] = "/tmp/amphorad-golden-XXXXXX";
	_cleanup_close_ int dir_fd = -1;
	_cleanup_error_ struct error problem = ERROR_INIT;
	_cleanup_free_ char *verdict = NULL;
	struct process_job job;
	int r;

	if (access(DEFAULT_HAPROXY_CMD, X_OK) < 0) {
		print_message("[ SKIP     ] %s: verdict of HAProxy: %s is missing\n", name, DEFAULT_HAPROXY_CMD);
		return;
	}
	assert_non_null(mkdtemp(directory));
	dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(dir_fd, RENDER_LIST_DIR, 0700), 0);
	assert_int_equal(mkdirat(dir_fd, RENDER_CERTIFICATE_DIR, 0700), 0);
	assert_int_equal(fileio_write_volatile(dir_fd, "haproxy.cfg", rendered->text, rendered->length, 0600), 0);
	assert_int_equal(fileio_write_volatile(dir_fd, "own.cfg", own, strlen(own), 0600), 0);
	assert_int_equal(fileio_write_volatile(dir_fd, RENDER_STATE_FILE, "1\n", 2, 0600), 0);
	for (size_t i = 0; i < rendered->n_files; i++)
		assert_int_equal(fileio_write_volatile(dir_fd, rendered->files[i].name, rendered->files[i].content,
					 strlen(rendered->files[i].content), 0600),
			0);
	r = haproxy_begin_check(DEFAULT_HAPROXY_CMD, directory, "haproxy.cfg", "own.cfg", NULL, -1, &job, &problem);
	if (r == 0)
		r = haproxy_end_check(DEFAULT_HAPROXY_CMD, &job, &verdict, &problem);
	fileio_remove_tree(AT_FDCWD, directory);
	if (r < 0)
		fail_msg("%s: %s", name, error_message(&problem));
	/* A warning says that HAProxy ignores something that was rendered. */
	if (strstr(verdict, "[WARNING]"))
		fail_msg("%s: %s", name, verdict);
}

static void check_case(const struct golden *golden, const char *name, struct error *problem)
{
	_cleanup_free_ char *document = NULL, *wanted = NULL, *json_name = NULL, *cfg_name = NULL;
	_cleanup_load_balancer_ struct load_balancer *lb = NULL;
	_cleanup_rendered_ struct rendered rendered = RENDERED_INIT;
	char lb_id[UUID_SIZE];
	size_t length;

	assert_true(asprintf(&json_name, "%s.json", name) > 0);
	assert_true(asprintf(&cfg_name, "%s.cfg", name) > 0);
	assert_int_equal(uuid_derive(UUID_NAMESPACE_DNS, name, lb_id), 0);
	assert_int_equal(fileio_read(golden->cases_fd, json_name, 1 << 24, &document, &length), 0);
	if (definition_parse(lb_id, document, length, &defaults, &lb, problem) < 0 ||
		render_haproxy(golden->template, lb, &golden->settings, &rendered, problem) < 0)
		fail_msg("%s: %s: %s", name, problem->pointer, error_message(problem));
	if (getenv("AMPHORAD_UPDATE_GOLDEN"))
		assert_int_equal(
			fileio_write(golden->cases_fd, cfg_name, rendered.text, rendered.length, 0644), 0);
	assert_int_equal(fileio_read(golden->cases_fd, cfg_name, 1 << 24, &wanted, NULL), 0);
	assert_string_equal(rendered.text, wanted);
	ask_haproxy(name, &rendered);
}

static void test_cases(void **state)
{
	const struct golden *golden = *state;
	DIR *dir = fdopendir(dup(golden->cases_fd));
	size_t n = 0;

	assert_non_null(dir);
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
		_cleanup_error_ struct error problem = ERROR_INIT;
		_cleanup_free_ char *name = NULL;
		const char *suffix = strstr(entry->d_name, ".json");

		if (!suffix || suffix[5] != '\0')
			continue;
		name = strndup(entry->d_name, (size_t)(suffix - entry->d_name));
		assert_non_null(name);
		check_case(golden, name, &problem);
		n++;
	}
	closedir(dir);
	assert_true(n >= 25);
	print_message("%zu cases\n", n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};

	return cmocka_run_group_tests_name("golden", tests, setup, teardown);
}
