/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "api/prometheus_proxy/metrics.h"
#include "api/prometheus_proxy/translate.h"

/* In pieces of that size. */
static char *translate(const char *page, size_t piece, const struct extra_samples *extra)
{
	struct translation translation;
	_cleanup_text_ struct text out = TEXT_INIT;
	size_t length = strlen(page);
	char *result;

	assert_int_equal(translation_init(&translation, extra), 0);
	for (size_t at = 0; at < length; at += piece)
		assert_int_equal(translation_feed(&translation, page + at, length - at < piece ? length - at : piece, &out), 0);
	assert_int_equal(translation_finish(&translation, &out), 0);
	translation_done(&translation);
	assert_int_equal(text_finish(&out, &result, NULL), 0);
	return result;
}

static void check(const char *page, const char *wanted, const struct extra_samples *extra)
{
	for (size_t piece = 1; piece < 100; piece += 7) {
		_cleanup_free_ char *got = translate(page, piece, extra);

		assert_string_equal(got, wanted);
	}
}

static void test_table(void **state)
{
	(void)state;
	for (const struct metric *metric = metrics; metric->source; metric++) {
		const struct metric_name name = {metric->source, strlen(metric->source)};
		const struct metric_name shorter = {metric->source, strlen(metric->source) - 1};

		assert_ptr_equal(metric_find(&name), metric);
		assert_null(metric_find(&shorter));
		assert_non_null(text_after_prefix(metric->target, "octavia_"));
	}
	assert_null(metric_find(&(const struct metric_name){"", 0}));
	assert_null(metric_find(&(const struct metric_name){"zzz", 3}));
}

static void test_names(void **state)
{
	(void)state;
	check("# HELP haproxy_process_max_connections Hard limit.\n"
	      "# TYPE haproxy_process_max_connections gauge\n"
	      "haproxy_process_max_connections 200\n"
	      "# HELP haproxy_process_nbthread Threads.\n"
	      "# TYPE haproxy_process_nbthread gauge\n"
	      "haproxy_process_nbthread 2\n"
	      "# HELP haproxy_frontend_status Words of HAProxy.\n"
	      "# TYPE haproxy_frontend_status gauge\n"
	      "haproxy_frontend_status{proxy=\"l\",state=\"UP\"} 1\n"
	      "haproxy_frontend_status{proxy=\"prometheus-exporter-internal\",state=\"UP\"} 1\n"
	      "haproxy_backend_active_servers{proxy=\"p:l\"} 3\n"
	      "haproxy_server_weight{proxy=\"p:l\",server=\"m\"} 1",
		"# HELP octavia_loadbalancer_max_connections Hard limit.\n"
		"# TYPE octavia_loadbalancer_max_connections gauge\n"
		"octavia_loadbalancer_max_connections 200\n"
		"# HELP octavia_listener_status Current status of the listener.\n"
		"# TYPE octavia_listener_status gauge\n"
		"octavia_listener_status{listener=\"l\",state=\"UP\"} 1\n"
		"octavia_pool_active_members{pool=\"p:l\"} 3\n"
		"octavia_member_weight{pool=\"p:l\",member=\"m\"} 1\n",
		NULL);
}

/* A value is not a label, whatever stands in it. */
static void test_labels(void **state)
{
	(void)state;
	check("haproxy_server_weight{proxy=\"a,proxy=b\\\",server=\\\\\",server=\"{server=\"} 1 1700000000\n",
		"octavia_member_weight{pool=\"a,proxy=b\\\",server=\\\\\",member=\"{server=\"} 1 1700000000\n", NULL);
}

static void test_other_lines(void **state)
{
	_cleanup_text_ struct text page = TEXT_INIT;
	_cleanup_free_ char *got = NULL;

	(void)state;
	check("# a comment\n\nhaproxy_process_listeners\n# HELP\n# TYPE \nnot_a_metric 1\n{} 1\n",
		"octavia_loadbalancer_listeners\n", NULL);
	text_append(&page, "haproxy_process_listeners 1\nhaproxy_process_listeners ");
	for (int i = 0; i < TRANSLATE_MAX_LINE; i++)
		text_append_char(&page, '9');
	text_append(&page, "\nhaproxy_process_listeners 2\n");
	got = translate(text_peek(&page), 4096, NULL);
	assert_string_equal(got, "octavia_loadbalancer_listeners 1\noctavia_loadbalancer_listeners 2\n");
}

static void test_extra(void **state)
{
	struct extra_sample items[] = {
		{"octavia_listener_bytes_in_total", (char *)"octavia_listener_bytes_in_total{listener=\"u\"} 5\n"},
		{"octavia_member_weight", (char *)"octavia_member_weight{member=\"m\"} 1\n"},
		{"octavia_listener_bytes_in_total", (char *)"octavia_listener_bytes_in_total{listener=\"v\"} 6\n"},
	};
	const struct extra_samples extra = {items, 3};

	(void)state;
	/* With the samples of the same metric; what HAProxy does not have comes last, with a head of its own. */
	check("# HELP haproxy_frontend_bytes_in_total Bytes.\n"
	      "# TYPE haproxy_frontend_bytes_in_total counter\n"
	      "haproxy_frontend_bytes_in_total{proxy=\"l\"} 1\n"
	      "# HELP haproxy_frontend_bytes_out_total Bytes.\n",
		"# HELP octavia_listener_bytes_in_total Bytes.\n"
		"# TYPE octavia_listener_bytes_in_total counter\n"
		"octavia_listener_bytes_in_total{listener=\"l\"} 1\n"
		"octavia_listener_bytes_in_total{listener=\"u\"} 5\n"
		"octavia_listener_bytes_in_total{listener=\"v\"} 6\n"
		"# HELP octavia_listener_bytes_out_total Bytes.\n"
		"# HELP octavia_member_weight Member weight.\n"
		"# TYPE octavia_member_weight gauge\n"
		"octavia_member_weight{member=\"m\"} 1\n",
		&extra);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_other_lines),
		cmocka_unit_test(test_extra),
	};

	return cmocka_run_group_tests_name("prometheus", tests, NULL, NULL);
}
