/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "agent/base/text.h"
#include "agent/haproxy/listeners.h"

struct expected {
	const char *id;
	const char *type;
};

static void check(const char *text, const struct expected *expected, size_t n_expected)
{
	_cleanup_cfg_ struct cfg cfg = CFG_INIT;
	struct cfg_listener *listeners = NULL;
	size_t n = 0;

	assert_int_equal(cfg_parse(text, strlen(text), &cfg, NULL), 0);
	assert_int_equal(cfg_listeners(&cfg, &listeners, &n), 0);
	assert_int_equal(n, n_expected);
	for (size_t i = 0; i < n; i++) {
		assert_string_equal(listeners[i].id, expected[i].id);
		assert_string_equal(listeners[i].type, expected[i].type);
	}
	cfg_listeners_free(listeners, n);
}

#define CHECK(text, ...)                                                  \
	do {                                                              \
		static const struct expected _expected[] = {__VA_ARGS__}; \
		check(text, _expected, ELEMENTSOF(_expected));            \
	} while (0)

#define ID1 "11111111-0000-4000-8000-000000000001"
#define ID2 "11111111-0000-4000-8000-000000000002"
#define ID3 "11111111-0000-4000-8000-000000000003"

/* As Octavia renders them. */
static void test_octavia(void **state)
{
	(void)state;
	CHECK("# Configuration for loadbalancer 7b6c\n"
	      "global\n    daemon\n    stats socket /var/lib/octavia/x.sock mode 0666 level "
	      "user\n\n"
	      "defaults\n    log global\n    retries 3\n\n"
	      "frontend " ID1 "\n    maxconn 50000\n    bind 10.0.0.5:80\n    mode http\n"
	      "    default_backend p:" ID1 "\n    timeout client 50000\n\n"
	      "frontend " ID2 "\n    redirect scheme https if !{ ssl_fc }\n"
	      "    bind 10.0.0.5:443 ssl crt-list /var/lib/octavia/certs/x/" ID2 ".pem   "
	      "ciphers ECDHE-RSA-AES128-SHA256 no-sslv3 alpn h2,http/1.1\n"
	      "    mode http\n\n"
	      "frontend " ID3 "\n    bind 10.0.0.5:443\n    bind 2001:db8::5:443\n    mode tcp\n\n"
	      "backend p:" ID1 "\n    mode http\n    server m 10.0.0.7:80 ssl crt /x.pem\n",
		{ID1, "HTTP"}, {ID2, "TERMINATED_HTTPS"}, {ID3, "TCP"});
}

static void test_modes(void **state)
{
	(void)state;
	/* Of the defaults section before it; TCP without any. */
	CHECK("frontend a\n  bind :1\n", {"a", "TCP"});
	CHECK("defaults\n mode http\nfrontend a\ndefaults\n log global\nfrontend b\n"
	      "frontend c\n mode http\n mode tcp\n",
		{"a", "HTTP"}, {"b", "TCP"}, {"c", "TCP"});
	/* What is no mode of a frontend changes nothing. */
	CHECK("defaults\n mode http\nfrontend a\n mode\n mode health\n", {"a", "HTTP"});
	CHECK("frontend prometheus-exporter-internal-endpoint\n mode http\n",
		{"prometheus-exporter-internal-endpoint", "HTTP"});
}

static void test_tls(void **state)
{
	(void)state;
	CHECK("frontend a\n mode tcp\n bind :1\n bind :2 accept-proxy ssl crt /a.pem\n",
		{"a", "TERMINATED_HTTPS"});
	/* Neither a name nor a client-side option nor another line. */
	CHECK("frontend ssl\n mode http\n bind ssl crt-list\n bind\n", {"ssl", "HTTP"});
	CHECK("frontend a\n mode http\n # bind :2 ssl crt-list /x\n use_backend b if { ssl_fc } "
	      "ssl crt-list\n",
		{"a", "HTTP"});
}

static void test_names(void **state)
{
	static const char no_name[] = "frontend\n bind :1\n"
				      "frontend \"a b\"\n bind :2\n"
				      "frontend \"\xff\xfe\"\n bind :3\n"
				      "backend b\n mode http\nlisten l\n bind :4\n";

	(void)state;
	check(no_name, NULL, 0);
	check("", NULL, 0);
	CHECK("frontend A-z_0.9:1\n", {"A-z_0.9:1", "TCP"});
}

static void test_vip_address(void **state)
{
	static const struct {
		const char *text, *vip;
	} cases[] = {
		{"frontend a\n bind 192.0.2.1:80\n bind 192.0.2.2:80\n", "192.0.2.1"},
		{"frontend a\n bind 2001:db8::1:80 ssl crt-list /x\n", "2001:db8::1"},
		{"frontend prometheus-x\n bind 127.0.0.1:9101\nfrontend a\n bind 192.0.2.3:1\n", "192.0.2.3"},
		{"frontend a\n bind :80\n", NULL},
		{"frontend a\n bind\n", NULL},
		{"backend b\n bind 192.0.2.1:80\n", NULL},
		{"", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_cfg_ struct cfg cfg = CFG_INIT;
		_cleanup_free_ char *vip = NULL;

		assert_int_equal(cfg_parse(cases[i].text, strlen(cases[i].text), &cfg, NULL), 0);
		assert_int_equal(cfg_vip_address(&cfg, &vip), 0);
		if (!cases[i].vip)
			assert_null(vip);
		else
			assert_string_equal(vip, cases[i].vip);
	}
}

static void test_vip_addresses(void **state)
{
	static const struct {
		const char *text, *vips; /* each with a blank behind it */
	} cases[] = {
		{"frontend a\n bind 192.0.2.1:80\n bind 192.0.2.2:80\nfrontend b\n bind 192.0.2.1:443\n",
			"192.0.2.1 192.0.2.2 "},
		{"frontend a\n bind 2001:db8::1:80 ssl crt-list /x\n bind [2001:db8::2]:80\n", "2001:db8::1 2001:db8::2 "},
		{"frontend a\n bind 192.0.2.1:80,192.0.2.2:80,,[::1]:80\n", "192.0.2.1 192.0.2.2 ::1 "},
		{"frontend prometheus-x\n bind 127.0.0.1:9101\nfrontend a\n bind 192.0.2.3:1\n", "192.0.2.3 "},
		{"frontend a\n bind :80\n bind *:80\n bind /run/x.sock\n bind\n bind []:80\n", "* [] "},
		{"backend b\n bind 192.0.2.1:80\npeers p\n bind 192.0.2.1:1025\n", ""},
		{"", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_cfg_ struct cfg cfg = CFG_INIT;
		_cleanup_text_ struct text found = TEXT_INIT;
		_cleanup_strv_ char **vips = NULL;

		assert_int_equal(cfg_parse(cases[i].text, strlen(cases[i].text), &cfg, NULL), 0);
		assert_int_equal(cfg_vip_addresses(&cfg, &vips), 0);
		STRV_FOREACH(vip, vips)
			text_printf(&found, "%s ", *vip);
		assert_string_equal(text_peek(&found), cases[i].vips);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_octavia),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_tls),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_vip_address),
		cmocka_unit_test(test_vip_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
