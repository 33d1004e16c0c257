/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "agent/base/text.h"
#include "agent/haproxy/cfg_files.h"

static void find(const char *text, struct cfg_files *ret)
{
	_cleanup_cfg_ struct cfg cfg = CFG_INIT;

	assert_int_equal(cfg_parse(text, strlen(text), &cfg, NULL), 0);
	assert_int_equal(cfg_files_find(&cfg, ret), 0);
}

static void test_names(void **state)
{
	static const struct {
		const char *name;
		enum cfg_file_kind kind;
	} expected[] = {
		{"/c/list.pem", CFG_FILE_CERTIFICATE_LIST},
		{"/c/ca.pem", CFG_FILE_CA},
		{"/c/crl.pem", CFG_FILE_CRL},
		{"lists/a.allowed", CFG_FILE_PATTERNS},
		{"lists/b", CFG_FILE_PATTERNS},
		{"m/hosts", CFG_FILE_MAP},
		{"m/paths", CFG_FILE_MAP},
		{"m/log", CFG_FILE_MAP},
		{"/c/client.pem", CFG_FILE_CERTIFICATE},
	};
	_cleanup_cfg_files_ struct cfg_files files = CFG_FILES_INIT;

	(void)state;
	find("frontend f\n"
	     "    bind :443 ssl crt-list /c/list.pem ca-file /c/ca.pem crl-file /c/crl.pem verify required\n"
	     "    acl ok src -f lists/a.allowed\n"
	     "    http-request deny if !{ src -f lists/b } !ok\n"
	     "    http-request set-header h %[req.hdr(host),lower,map(m/hosts,none)]\n"
	     "    use_backend %[path,map_beg(m/paths)]\n"
	     "    log-format \"a %[src,map_ip(m/log)] bitmap(x) mapping\"\n"
	     "    description remap(no) crt\n"
	     "backend b\n"
	     "    server s 10.0.0.1:1 ssl crt /c/client.pem ca-file /c/ca.pem ca-verify-file @system-ca\n",
		&files);
	assert_int_equal(files.n_files, ELEMENTSOF(expected));
	for (size_t i = 0; i < ELEMENTSOF(expected); i++) {
		assert_string_equal(files.files[i].name, expected[i].name);
		assert_int_equal(files.files[i].kind, expected[i].kind);
	}
	assert_null(files.other);
	assert_null(cfg_files_get(&files, "/c/a.pem"));
	assert_int_equal(cfg_files_add_listed(&files,
				 "# a comment\n\n/c/a.pem\n  /c/b.pem [alpn h2] b.example\n/c/client.pem\r\n/c/c.pem[x]"),
		0);
	assert_int_equal(files.n_files, ELEMENTSOF(expected) + 3);
	assert_int_equal(cfg_files_get(&files, "/c/b.pem")->kind, CFG_FILE_CERTIFICATE);
	assert_non_null(cfg_files_get(&files, "/c/c.pem"));
}

static void test_others(void **state)
{
	static const char *const texts[] = {
		"global\n    lua-load x\n",
		"defaults\n    errorfile 503 /e\n",
		"global\n    crt-base /c\n",
		"http-errors e\n    errorfile 404 /e\n",
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
		_cleanup_cfg_files_ struct cfg_files files = CFG_FILES_INIT;

		find(texts[i], &files);
		assert_non_null(files.other);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_others),
	};

	return cmocka_run_group_tests_name("cfg_files", tests, NULL, NULL);
}
