/* SPDX-License-Identifier: Apache-2.0 */

/* Decisions of the view that tests/golden does not show: what is left out, limits, defaults. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "agent/base/text.h"
#include "agent/haproxy/cfg.h"
#include "agent/render/haproxy.h"

#define LB_ID "11111111-2222-4333-8444-555555555555"
#define L_A "aaaaaaaa-0000-4000-8000-00000000000a"
#define P_A "bbbbbbbb-0000-4000-8000-00000000000b"

static const struct definition_defaults defaults = {.timeout_client_data_ms = 50000,
	.timeout_member_connect_ms = 5000,
	.timeout_member_data_ms = 50000,
	.timeout_tcp_inspect_ms = 0};

static struct template *template;

static const struct render_settings settings = {
	.default_vip_address = "192.0.2.200",
	.default_connection_limit = 100,
	.timeouts = {.timeout_client_data_ms = 1001,
		.timeout_member_connect_ms = 1002,
		.timeout_member_data_ms = 1003,
		.timeout_tcp_inspect_ms = 1004},
	.stick_table_size = "1k",
	.tools_dir = "/tools",
};

static int setup(void **state)
{
	const char *source = getenv("AMPHORAD_SRC_DIR");
	_cleanup_free_ char *templates = NULL;

	(void)state;
	assert_true(asprintf(&templates, "%s/templates", source ? source : ".") > 0);
	return template_load(templates, "haproxy.cfg", &template, NULL);
}

static int teardown(void **state)
{
	(void)state;
	template_free(template);
	return 0;
}

/* ' stands for " in the document. */
static struct rendered render_with(const char *text, const struct render_settings *with)
{
	_cleanup_free_ char *document = NULL;
	_cleanup_load_balancer_ struct load_balancer *lb = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	struct rendered rendered = RENDERED_INIT;

	assert_true(asprintf(&document, "{\"loadbalancer\":{%s}}", text) > 0);
	for (char *p = document; *p; p++)
		if (*p == '\'')
			*p = '"';
	if (definition_parse(LB_ID, document, strlen(document), &defaults, &lb, &err) < 0 ||
		render_haproxy(template, lb, with, &rendered, &err) < 0)
		fail_msg("%s: %s: %s", document, err.pointer, error_message(&err));
	return rendered;
}

/* The first line of a section that begins with these words, or NULL. */
static const char *find_line(const struct cfg *cfg, const char *section, const char *beginning)
{
	static char line[4096];

	for (size_t i = 0; i < cfg->n_sections; i++) {
		const struct cfg_section *s = &cfg->sections[i];

		for (size_t j = 0; streq(s->keyword, section) && j < s->n_lines; j++) {
			_cleanup_text_ struct text words = TEXT_INIT;

			STRV_FOREACH (word, s->lines[j].words)
				text_printf(&words, "%s%s", words.length ? " " : "", *word);
			snprintf(line, sizeof(line), "%s", text_peek(&words));
			if (text_after_prefix(line, beginning))
				return line;
		}
	}
	return NULL;
}

static void check_lines(
	const char *text, const struct render_settings *with, const char *const (*rows)[3])
{
	_cleanup_rendered_ struct rendered rendered = render_with(text, with);
	_cleanup_cfg_ struct cfg cfg = CFG_INIT;

	assert_int_equal(cfg_parse(rendered.text, rendered.length, &cfg, NULL), 0);
	for (size_t i = 0; rows[i][0]; i++) {
		const char *line = find_line(&cfg, rows[i][0], rows[i][1]);

		if (!streq_null(line, rows[i][2]))
			fail_msg("%s of %s is \"%s\", not \"%s\" in\n%s", rows[i][1], rows[i][0],
				line ? line : "missing", rows[i][2] ? rows[i][2] : "missing",
				rendered.text);
	}
}

#define POOL "'id':'" P_A "','protocol':'TCP','lb_algorithm':'ROUND_ROBIN'"
#define LISTENER "'id':'" L_A "','protocol':'TCP','protocol_port':80"

static void test_timeouts_of_zero(void **state)
{
	static const char *const zero[][3] = {
		{"frontend", "timeout client", "timeout client 1001"},
		{"backend", "timeout connect", "timeout connect 1002"},
		{"backend", "timeout server", "timeout server 1003"},
		{"frontend", "tcp-request inspect-delay", "tcp-request inspect-delay 1004"},
		{NULL},
	};
	static const char *const given[][3] = {
		{"frontend", "timeout client", "timeout client 1"},
		{"backend", "timeout connect", "timeout connect 2"},
		{"backend", "timeout server", "timeout server 3"},
		{"frontend", "tcp-request inspect-delay", "tcp-request inspect-delay 4"},
		{NULL},
	};

	(void)state;
	check_lines("'listeners':[{" LISTENER
		    ",'timeout_client_data':0,'timeout_member_connect':0,'timeout_member_data':0,"
		    "'timeout_tcp_inspect':0,'default_pool':{" POOL "}}]",
		&settings, zero);
	check_lines("'listeners':[{" LISTENER
		    ",'timeout_client_data':1,'timeout_member_connect':2,'timeout_member_data':3,"
		    "'timeout_tcp_inspect':4,'default_pool':{" POOL "}}]",
		&settings, given);
}

static void test_no_inspection(void **state)
{
	struct render_settings none = settings;
	static const char *const rows[][3] = {
		{"frontend", "tcp-request inspect-delay", NULL}, {NULL}};

	(void)state;
	none.timeouts.timeout_tcp_inspect_ms = 0;
	check_lines("'listeners':[{" LISTENER "}]", &none, rows);
}

static void test_global_maxconn(void **state)
{
	static const struct {
		const char *text;
		const char *maxconn;
	} rows[] = {
		{"'listeners':[{" LISTENER
		 "},{'protocol':'TCP','protocol_port':81,'connection_limit':7}]",
			"maxconn 107"},
		{"'listeners':[{" LISTENER ",'connection_limit':5},{'protocol':'TCP','protocol_"
					   "port':81,'admin_state_up':false}]",
			"maxconn 5"},
		{"'listeners':[{" LISTENER
		 ",'connection_limit':1000000},{'protocol':'TCP','protocol_port':81}]",
			"maxconn 1000000"},
		{"'listeners':[{" LISTENER ",'connection_limit':0}]", "maxconn 100"},
		{"", "maxconn 1000000"},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		const char *const wanted[][3] = {{"global", "maxconn", rows[i].maxconn}, {NULL}};

		check_lines(rows[i].text, &settings, wanted);
	}
}

static void test_what_is_switched_off(void **state)
{
	static const char *const nothing[][3] = {
		{"frontend", "", NULL}, {"backend", "", NULL}, {NULL}};
	static const char *const no_pool[][3] = {{"frontend", "bind", "bind 192.0.2.200:80"},
		{"frontend", "default_backend", NULL}, {"backend", "", NULL}, {NULL}};
	static const char *const no_checks[][3] = {{"global", "external-check", NULL},
		{"backend", "timeout check", NULL}, {"backend", "load-server-state", NULL},
		{"backend", "option external-check", NULL},
		{"backend", "server", "server " L_A " 192.0.2.1:80 weight 1 disabled"}, {NULL}};

	(void)state;
	check_lines("'admin_state_up':false,'listeners':[{" LISTENER ",'default_pool':{" POOL "}}]",
		&settings, nothing);
	check_lines("'listeners':[{" LISTENER ",'admin_state_up':false,'default_pool':{" POOL "}}]",
		&settings, nothing);
	check_lines("'listeners':[{" LISTENER ",'default_pool':{" POOL ",'admin_state_up':false}}]",
		&settings, no_pool);
	check_lines("'listeners':[{" LISTENER ",'default_pool':{" POOL
		    ",'healthmonitor':{'type':'PING','delay':1,'timeout':1,"
		    "'max_retries':1,'admin_state_up':false},'members':[{'id':'" L_A
		    "','address':'192.0.2.1','protocol_port':80,"
		    "'monitor_port':7,'admin_state_up':false}]}}]",
		&settings, no_checks);
	/* A pool that no listener uses is not rendered. */
	check_lines("'pools':[{" POOL "}]", &settings, nothing);
}

static void test_list_files(void **state)
{
	static const char listed[] =
		"'listeners':[{" LISTENER ",'allowed_cidrs':['10.0.0.0/8','192.0.2.1']},"
		"{'protocol':'TCP','protocol_port':81,'admin_state_up':false,'allowed_cidrs':['10."
		"0.0.0/8']}]";
	_cleanup_rendered_ struct rendered rendered = render_with(listed, &settings),
					   off = RENDERED_INIT;
	_cleanup_free_ char *disabled = NULL;

	(void)state;
	assert_int_equal(rendered.n_files, 1);
	assert_string_equal(rendered.files[0].name, "lists/" L_A ".allowed");
	assert_string_equal(rendered.files[0].content, "10.0.0.0/8\n192.0.2.1/32\n");
	assert_true(asprintf(&disabled, "'admin_state_up':false,%s", listed) > 0);
	off = render_with(disabled, &settings);
	assert_int_equal(off.n_files, 0);
}

static void test_logging(void **state)
{
	struct render_settings with = settings;
	static const char *const none[][3] = {{"global", "log", NULL},
		{"defaults", "no log", "no log"}, {"frontend", "option tcplog", NULL}, {NULL}};
	static const char *const quiet[][3] = {{"global", "log", "log /dev/log local3"},
		{"defaults", "no log", "no log"}, {"frontend", "option tcplog", NULL}, {NULL}};
	static const char *const full[][3] = {{"global", "log", "log /dev/log local3"},
		{"defaults", "log", "log global"}, {"frontend", "option tcplog", "option tcplog"},
		{NULL}};

	(void)state;
	with.connection_logging = true;
	check_lines("'listeners':[{" LISTENER "}]", &with, none);
	with.log_target = "";
	check_lines("'listeners':[{" LISTENER "}]", &with, none);
	with.log_target = "/dev/log";
	with.user_log_facility = 3;
	check_lines("'listeners':[{" LISTENER "}]", &with, full);
	with.connection_logging = false;
	check_lines("'listeners':[{" LISTENER "}]", &with, quiet);
}

/* Only what the listener speaks and the pool takes. */
static void test_headers_and_modes(void **state)
{
	static const char *const http_pool[][3] = {{"backend", "mode", "mode http"},
		{"backend", "option forwardfor", "option forwardfor"},
		{"backend", "http-request set-header X-Forwarded-Proto",
			"http-request set-header X-Forwarded-Proto http"},
		{"backend", "http-request set-header X-Forwarded-Port", NULL}, {NULL}};
	static const char *const proxy_pool[][3] = {{"backend", "mode", "mode http"},
		{"backend", "option forwardfor", NULL},
		{"backend", "http-request set-header X-Forwarded-Proto",
			"http-request set-header X-Forwarded-Proto http"},
		{NULL}};
	static const char *const tcp_proxy_pool[][3] = {{"frontend", "mode", "mode tcp"},
		{"backend", "mode", "mode tcp"}, {"backend", "http-reuse", NULL}, {NULL}};
	static const char *const mixed[][3] = {
		{"frontend", "mode", "mode tcp"}, {"backend", "mode", "mode http"}, {NULL}};

	(void)state;
	check_lines("'listeners':[{'protocol':'HTTP','protocol_port':80,'insert_headers':{'X-"
		    "Forwarded-For':true,'X-Forwarded-Proto':true,"
		    "'X-Forwarded-Port':false},'default_pool':{'protocol':'HTTP','lb_algorithm':'"
		    "ROUND_ROBIN'}}]",
		&settings, http_pool);
	check_lines("'listeners':[{'protocol':'HTTP','protocol_port':80,'insert_headers':{'X-"
		    "Forwarded-For':true,'X-Forwarded-Proto':true},"
		    "'default_pool':{'protocol':'PROXYV2','lb_algorithm':'ROUND_ROBIN'}}]",
		&settings, proxy_pool);
	check_lines("'listeners':[{" LISTENER
		    ",'default_pool':{'protocol':'PROXY','lb_algorithm':'ROUND_ROBIN'}}]",
		&settings, tcp_proxy_pool);
	check_lines("'listeners':[{" LISTENER
		    ",'default_pool':{'protocol':'HTTP','lb_algorithm':'ROUND_ROBIN'}}]",
		&settings, mixed);
}

/* A pool of two listeners is two backends, each with the listener's limits. */
static void test_shared_pool(void **state)
{
	_cleanup_rendered_ struct rendered rendered = render_with(
		"'pools':[{'name':'p','protocol':'TCP','lb_algorithm':'SOURCE_IP'}],'listeners':["
		"{'protocol':'TCP','protocol_port':80,'connection_limit':3,'default_pool':{'name':'"
		"p'}},"
		"{'protocol':'TCP','protocol_port':81,'connection_limit':4,'default_pool':{'name':'"
		"p'}}]",
		&settings);
	_cleanup_cfg_ struct cfg cfg = CFG_INIT;

	(void)state;
	assert_int_equal(cfg_parse(rendered.text, rendered.length, &cfg, NULL), 0);
	assert_int_equal(cfg.n_sections, 6);
	assert_non_null(strstr(rendered.text, "fullconn 3"));
	assert_non_null(strstr(rendered.text, "fullconn 4"));
	assert_non_null(strstr(rendered.text, "hash-type consistent"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_timeouts_of_zero),
		cmocka_unit_test(test_no_inspection),
		cmocka_unit_test(test_global_maxconn),
		cmocka_unit_test(test_what_is_switched_off),
		cmocka_unit_test(test_list_files),
		cmocka_unit_test(test_logging),
		cmocka_unit_test(test_headers_and_modes),
		cmocka_unit_test(test_shared_pool),
	};

	return cmocka_run_group_tests_name("render", tests, setup, teardown);
}
