/* SPDX-License-Identifier: Apache-2.0 */

/* Decisions of the view that tests/golden does not show: what is left out, limits, defaults. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "agent/base/text.h"
#include "agent/definition/uuid.h"
#include "agent/haproxy/cfg.h"
#include "agent/render/haproxy.h"
#include "agent/render/server_ids.h"
#include "tests/unit/certificates.h"
#include "tests/unit/quotes.h"

#define LB_ID "11111111-2222-4333-8444-555555555555"
#define L_A "aaaaaaaa-0000-4000-8000-00000000000a"
#define P_A "bbbbbbbb-0000-4000-8000-00000000000b"

static const struct definition_defaults defaults = {.timeout_client_data_ms = 50000,
	.timeout_member_connect_ms = 5000,
	.timeout_member_data_ms = 50000,
	.timeout_tcp_inspect_ms = 0};

static struct template *template;
static struct test_certificates *certificates;

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
	certificates = test_certificates_new();
	assert_true(asprintf(&templates, "%s/templates", source ? source : ".") > 0);
	return template_load(templates, "haproxy.cfg", &template, NULL);
}

static int teardown(void **state)
{
	(void)state;
	template_free(template);
	test_certificates_free(certificates);
	return 0;
}

static struct load_balancer *parse(const char *text)
{
	_cleanup_free_ char *quoted = NULL, *document = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	struct load_balancer *lb = NULL;

	assert_true(asprintf(&quoted, "{'loadbalancer':{%s}}", text) > 0);
	document = with_quotes(quoted);
	if (definition_parse(LB_ID, document, strlen(document), &defaults, &lb, &err) < 0)
		fail_msg("%s: %s: %s", document, err.pointer, error_message(&err));
	return lb;
}

static struct rendered render_with(const char *text, const struct render_settings *with)
{
	_cleanup_load_balancer_ struct load_balancer *lb = parse(text);
	_cleanup_error_ struct error err = ERROR_INIT;
	struct rendered rendered = RENDERED_INIT;

	if (render_haproxy(template, lb, with, &rendered, &err) < 0)
		fail_msg("%s: %s: %s", text, err.pointer, error_message(&err));
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
		{"backend", "server", "server " L_A " 192.0.2.1:80 id 795253 weight 1 disabled"}, {NULL}};

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

static struct render_settings with_certificates(void)
{
	struct render_settings with = settings;

	with.certificates = certificates->store;
	return with;
}

static const char *content_of(const struct rendered *rendered, const char *name)
{
	const char *found = NULL;

	for (size_t i = 0; i < rendered->n_files; i++) {
		if (!streq(rendered->files[i].name, name))
			continue;
		assert_null(found); /* once */
		found = rendered->files[i].content;
	}
	return found;
}

#define TLS "'protocol':'TERMINATED_HTTPS','protocol_port':443,'id':'" L_A "'"

static void test_certificate_files(void **state)
{
	struct render_settings with = with_certificates();
	_cleanup_rendered_ struct rendered rendered = render_with(
		"'listeners':[{" TLS ",'default_tls_container_ref':'https://a.example/v1/containers/web',"
		"'sni_container_refs':['ca-web','www','web'],'client_authentication':'OPTIONAL',"
		"'client_ca_tls_container_ref':'users','client_crl_container_ref':'revoked'},"
		"{'protocol':'TERMINATED_HTTPS','protocol_port':444,'default_tls_container_ref':'web'}]",
		&with);
	static const struct {
		const char *name, *holds;
	} rows[] = {
		{"certificates/web.pem", "PRIVATE KEY"},
		{"certificates/www.pem", "PRIVATE KEY"},
		/* Its name would be that of the CA "web". */
		{"certificates/crt-ca-web.pem", "PRIVATE KEY"},
		{"certificates/ca-users.pem", "BEGIN CERTIFICATE"},
		{"certificates/crl-revoked.pem", "X509 CRL"},
	};
	const char *list = content_of(&rendered, "lists/" L_A ".crt-list");

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		const char *content = content_of(&rendered, rows[i].name);

		assert_non_null(content);
		assert_non_null(strstr(content, rows[i].holds));
	}
	assert_null(strstr(content_of(&rendered, "certificates/ca-users.pem"), "PRIVATE KEY"));
	/* The default certificate first, each once. */
	assert_string_equal(list, "certificates/web.pem\ncertificates/crt-ca-web.pem\ncertificates/www.pem\n");
	assert_int_equal(rendered.n_files, ELEMENTSOF(rows) + 2);
}

static void check_missing(const char *text, const struct render_settings *with, const char *pointer)
{
	_cleanup_load_balancer_ struct load_balancer *lb = parse(text);
	_cleanup_rendered_ struct rendered rendered = RENDERED_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;

	assert_true(render_haproxy(template, lb, with, &rendered, &err) < 0);
	assert_int_equal(err.code, ERROR_INVALID);
	assert_non_null(err.pointer);
	assert_string_equal(err.pointer, pointer);
	assert_null(rendered.text);
}

static void test_missing_certificates(void **state)
{
	struct render_settings with = with_certificates();
#define USED "}],'listeners':[{" LISTENER ",'default_pool_id':'" P_A "'}]"
	static const char *const rows[][2] = {
		{"'listeners':[{" TLS ",'default_tls_container_ref':'none'}]",
			"/loadbalancer/listeners/0/default_tls_container_ref"},
		{"'listeners':[{" LISTENER "},{'protocol':'TERMINATED_HTTPS','protocol_port':443,"
		 "'sni_container_refs':['web','none']}]",
			"/loadbalancer/listeners/1/sni_container_refs/1"},
		/* Of another kind. */
		{"'listeners':[{" TLS ",'default_tls_container_ref':'users'}]",
			"/loadbalancer/listeners/0/default_tls_container_ref"},
		{"'listeners':[{" TLS ",'default_tls_container_ref':'web','client_ca_tls_container_ref':'web',"
		 "'client_authentication':'OPTIONAL'}]",
			"/loadbalancer/listeners/0/client_ca_tls_container_ref"},
		{"'listeners':[{" TLS ",'default_tls_container_ref':'web','client_ca_tls_container_ref':'users',"
		 "'client_authentication':'OPTIONAL','client_crl_container_ref':'users'}]",
			"/loadbalancer/listeners/0/client_crl_container_ref"},
		{"'pools':[{" POOL ",'tls_enabled':true,'tls_container_ref':'none'" USED,
			"/loadbalancer/pools/0/tls_container_ref"},
		{"'pools':[{" POOL ",'tls_enabled':true,'ca_tls_container_ref':'none'" USED,
			"/loadbalancer/pools/0/ca_tls_container_ref"},
		{"'pools':[{" POOL ",'tls_enabled':true,'ca_tls_container_ref':'members','crl_container_ref':'none'" USED,
			"/loadbalancer/pools/0/crl_container_ref"},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++)
		check_missing(rows[i][0], &with, rows[i][1]);
	/* Nothing is stored at all. */
	check_missing("'listeners':[{" TLS ",'default_tls_container_ref':'web'}]", &settings,
		"/loadbalancer/listeners/0/default_tls_container_ref");
}

/* What is switched off is not looked for. */
static void test_certificates_of_what_is_off(void **state)
{
	_cleanup_rendered_ struct rendered rendered = render_with(
		"'pools':[{" POOL ",'tls_enabled':false,'tls_container_ref':'none'}],"
		"'listeners':[{" LISTENER ",'default_pool_id':'" P_A "'},{'protocol':'TERMINATED_HTTPS',"
		"'protocol_port':443,'default_tls_container_ref':'none','admin_state_up':false}]",
		&settings);

	(void)state;
	assert_int_equal(rendered.n_files, 0);
}

/* "timeout client-hs" came with HAProxy 2.9; before, a header is awaited as long as any data. */
static void test_header_timeout(void **state)
{
	static const struct {
		unsigned major, minor;
		const char *line;
	} rows[] = {{2, 4, NULL}, {2, 8, NULL}, {2, 9, "timeout client-hs 3000"}, {3, 0, "timeout client-hs 3000"}};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		struct render_settings with = settings;
		const char *const wanted[][3] = {{"frontend", "timeout client-hs", rows[i].line},
			{"frontend", "bind", "bind 192.0.2.200:80 accept-proxy"}, {NULL}};

		with.haproxy_major = rows[i].major;
		with.haproxy_minor = rows[i].minor;
		check_lines("'listeners':[{" LISTENER ",'proxy_protocol':{'accept':true,'header_timeout_ms':3000}}]",
			&with, wanted);
	}
}

static void test_trusted_networks(void **state)
{
	_cleanup_rendered_ struct rendered rendered = render_with("'listeners':[{" LISTENER
		",'proxy_protocol':{'accept':true,'trusted_cidrs':['10.0.0.0/8','2001:db8::/32']}}]", &settings);

	(void)state;
	assert_string_equal(content_of(&rendered, "lists/" L_A ".trusted"), "10.0.0.0/8\n2001:db8::/32\n");
	assert_null(strstr(rendered.text, "accept-proxy"));
	assert_non_null(strstr(rendered.text, "tcp-request connection expect-proxy layer4 if { src -f lists/" L_A
					      ".trusted }"));
}

enum { MANY = 10000 };

static struct pool many_members(void)
{
	struct pool pool = {.members = calloc(MANY, sizeof(struct member)), .n_members = MANY};

	assert_non_null(pool.members);
	for (size_t i = 0; i < MANY; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%zu", i);
		assert_int_equal(uuid_derive(UUID_NAMESPACE_DNS, name, pool.members[i].id), 0);
	}
	return pool;
}

static void test_server_ids_are_unique(void **state)
{
	struct pool pool = many_members();
	_unused_ _cleanup_free_ struct member *members = pool.members;
	_cleanup_free_ bool *seen = calloc(SERVER_ID_MAX + 1, sizeof(*seen));
	_cleanup_free_ uint32_t *ids = NULL;

	(void)state;
	assert_non_null(seen);
	assert_int_equal(server_ids(&pool, &ids), 0);
	for (size_t i = 0; i < MANY; i++) {
		assert_true(ids[i] >= 1 && ids[i] <= SERVER_ID_MAX);
		assert_false(seen[ids[i]]);
		seen[ids[i]] = true;
	}
}

/* Neither the order of the members nor, but for the few that wanted the same number, the others matter. */
static void test_server_ids_are_stable(void **state)
{
	struct pool pool = many_members(), turned = many_members(), half;
	_unused_ _cleanup_free_ struct member *members = pool.members, *turned_members = turned.members;
	_cleanup_free_ uint32_t *ids = NULL, *turned_ids = NULL, *half_ids = NULL;
	size_t moved = 0;

	(void)state;
	half = pool;
	half.n_members = MANY / 2;
	for (size_t i = 0; i < MANY; i++)
		turned.members[i] = pool.members[MANY - 1 - i];
	assert_int_equal(server_ids(&pool, &ids), 0);
	assert_int_equal(server_ids(&turned, &turned_ids), 0);
	assert_int_equal(server_ids(&half, &half_ids), 0);
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(turned_ids[i], ids[MANY - 1 - i]);
	for (size_t i = 0; i < MANY / 2; i++)
		moved += half_ids[i] != ids[i];
	/* Collisions happen among so many, about 48 of them, so this tried how they end. */
	assert_true(moved > 0 && moved < 100);
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
		cmocka_unit_test(test_certificate_files),
		cmocka_unit_test(test_missing_certificates),
		cmocka_unit_test(test_certificates_of_what_is_off),
		cmocka_unit_test(test_header_timeout),
		cmocka_unit_test(test_trusted_networks),
		cmocka_unit_test(test_server_ids_are_unique),
		cmocka_unit_test(test_server_ids_are_stable),
	};

	return cmocka_run_group_tests_name("render", tests, setup, teardown);
}
