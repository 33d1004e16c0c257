/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Golden files of UDP and SCTP: a definition in (lvs/NAME.json), keepalived configurations out, one after the other in
 * lvs/NAME.conf, and keepalived's own verdict on each. AMPHORAD_UPDATE_GOLDEN=1 writes what is rendered instead of comparing;
 * look at the difference before keeping it.
 */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/text.h"
#include "agent/definition/uuid.h"
#include "agent/keepalived/lvs_config.h"
#include "agent/keepalived/process.h"
#include "agent/render/keepalived.h"

#define BASE_PATH "/var/lib/octavia"
#define NAMESPACE_LINE "net_namespace amphora-haproxy\n"

static const struct definition_defaults defaults = {50000, 5000, 50000, 0, "192.0.2.1"};
static const struct render_lvs_settings settings = {BASE_PATH, "amphora-haproxy", "192.0.2.1"};

struct golden {
	struct template *template;
	int cases_fd;
	char directory[64]; /* where keepalived finds the check script */
};

static void write_check(const char *directory)
{
	static const char script[] = "#!/bin/sh\nexit 0\n";
	char path[128];

	snprintf(path, sizeof(path), "%s/lvs/check", directory);
	assert_int_equal(fileio_make_dirs(path, 0755), 0);
	snprintf(path, sizeof(path), "%s/lvs/check/udp_check.sh", directory);
	assert_int_equal(fileio_write(AT_FDCWD, path, script, strlen(script), 0755), 0);
	snprintf(path, sizeof(path), "%s/amphora-health-checker", directory);
	assert_int_equal(fileio_write(AT_FDCWD, path, script, strlen(script), 0755), 0);
}

static int setup(void **state)
{
	struct golden *golden = calloc(1, sizeof(*golden));
	_cleanup_free_ char *templates = NULL, *cases = NULL, *path = NULL;
	const char *source = getenv("AMPHORAD_SRC_DIR");

	assert_non_null(golden);
	assert_true(asprintf(&templates, "%s/templates", source ? source : ".") > 0);
	assert_true(asprintf(&cases, "%s/tests/golden/lvs", source ? source : ".") > 0);
	assert_int_equal(template_load(templates, RENDER_LVS_TEMPLATE, &golden->template, NULL), 0);
	golden->cases_fd = open(cases, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(golden->cases_fd >= 0);
	snprintf(golden->directory, sizeof(golden->directory), "/tmp/amphorad-golden-XXXXXX");
	assert_non_null(mkdtemp(golden->directory));
	write_check(golden->directory);
	assert_true(asprintf(&path, "%s:%s", golden->directory, getenv("PATH")) > 0);
	setenv("PATH", path, 1);
	*state = golden;
	return 0;
}

static int teardown(void **state)
{
	struct golden *golden = *state;

	template_free(golden->template);
	fileio_remove_tree(AT_FDCWD, golden->directory);
	close(golden->cases_fd);
	free(golden);
	return 0;
}

/* The namespace and the folder of an amphora are not here. */
static void ask_keepalived(const struct golden *golden, const char *name, const char *text)
{
	const struct keepalived_spec spec = {.name = name, .command = DEFAULT_KEEPALIVED_CMD};
	_cleanup_error_ struct error problem = ERROR_INIT;
	_cleanup_text_ struct text edited = TEXT_INIT;
	char path[128];

	if (access(DEFAULT_KEEPALIVED_CMD, X_OK) < 0 || geteuid() != 0) {
		print_message("[ SKIP     ] %s: verdict of keepalived: needs root and " DEFAULT_KEEPALIVED_CMD "\n", name);
		return;
	}
	for (const char *p = text; *p;) {
		if (text_after_prefix(p, NAMESPACE_LINE)) {
			p += strlen(NAMESPACE_LINE);
		} else if (text_after_prefix(p, BASE_PATH)) {
			text_append(&edited, golden->directory);
			p += strlen(BASE_PATH);
		} else {
			text_append_char(&edited, *p++);
		}
	}
	snprintf(path, sizeof(path), "%s/keepalived.conf", golden->directory);
	assert_int_equal(fileio_write(AT_FDCWD, path, edited.data, edited.length, 0600), 0);
	if (keepalived_process_test(&spec, path, &problem) < 0)
		fail_msg("%s: %s", name, error_message(&problem));
}

/* The health thread finds in it what the definition has. */
static void check_readable(const struct load_balancer *lb, const struct listener *listener, const char *text)
{
	const struct pool *pool = listener->default_pool_id ? load_balancer_find_pool(lb, listener->default_pool_id) : NULL;
	_cleanup_lvs_config_ struct lvs_config config = LVS_CONFIG_INIT;

	assert_int_equal(lvs_config_parse(text, strlen(text), &config), 0);
	assert_true(config.rendered);
	assert_string_equal(config.lb_id, lb->id);
	assert_string_equal(config.listener_id, listener->id);
	assert_int_equal(config.listener_enabled, listener->admin_state_up);
	if (!pool || !render_lvs_runs(lb, listener)) {
		assert_int_equal(config.n_vips, 0);
		return;
	}
	assert_int_equal(config.n_vips, 1 + lb->n_additional_vips);
	assert_string_equal(config.pool_id, pool->admin_state_up ? pool->id : "");
	assert_int_equal(config.protocol, listener->protocol == LISTENER_SCTP ? IPPROTO_SCTP : IPPROTO_UDP);
}

static void render_case(const struct golden *golden, const char *name, const struct load_balancer *lb, struct text *all)
{
	_cleanup_error_ struct error problem = ERROR_INIT;

	for (size_t i = 0; i < lb->n_listeners; i++) {
		_cleanup_free_ char *text = NULL;
		size_t length;

		if (listener_is_haproxy(&lb->listeners[i]))
			continue;
		if (render_lvs(golden->template, lb, &lb->listeners[i], &settings, &text, &length, &problem) < 0)
			fail_msg("%s: %s", name, error_message(&problem));
		text_append(all, text);
		check_readable(lb, &lb->listeners[i], text);
		ask_keepalived(golden, name, text);
	}
}

static void check_case(const struct golden *golden, const char *name)
{
	_cleanup_free_ char *document = NULL, *wanted = NULL, *json_name = NULL, *conf_name = NULL;
	_cleanup_load_balancer_ struct load_balancer *lb = NULL;
	_cleanup_error_ struct error problem = ERROR_INIT;
	_cleanup_text_ struct text all = TEXT_INIT;
	char lb_id[UUID_SIZE];
	size_t length;

	assert_true(asprintf(&json_name, "%s.json", name) > 0);
	assert_true(asprintf(&conf_name, "%s.conf", name) > 0);
	assert_int_equal(uuid_derive(UUID_NAMESPACE_DNS, name, lb_id), 0);
	assert_int_equal(fileio_read(golden->cases_fd, json_name, 1 << 24, &document, &length), 0);
	if (definition_parse(lb_id, document, length, &defaults, &lb, &problem) < 0)
		fail_msg("%s: %s: %s", name, problem.pointer, error_message(&problem));
	render_case(golden, name, lb, &all);
	assert_false(all.failed);
	if (getenv("AMPHORAD_UPDATE_GOLDEN"))
		assert_int_equal(fileio_write(golden->cases_fd, conf_name, all.data, all.length, 0644), 0);
	assert_int_equal(fileio_read(golden->cases_fd, conf_name, 1 << 24, &wanted, NULL), 0);
	assert_string_equal(text_peek(&all), wanted);
}

static void test_cases(void **state)
{
	const struct golden *golden = *state;
	DIR *dir = fdopendir(dup(golden->cases_fd));
	size_t n = 0;

	assert_non_null(dir);
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
		_cleanup_free_ char *name = NULL;
		const char *suffix = strstr(entry->d_name, ".json");

		if (!suffix || suffix[5] != '\0')
			continue;
		name = strndup(entry->d_name, (size_t)(suffix - entry->d_name));
		assert_non_null(name);
		check_case(golden, name);
		n++;
	}
	closedir(dir);
	assert_true(n >= 6);
	print_message("%zu cases\n", n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};

	return cmocka_run_group_tests_name("golden lvs", tests, setup, teardown);
}
