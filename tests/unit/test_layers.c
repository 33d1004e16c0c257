/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The direction of dependencies, told by the #include lines of all sources:
 * base <- {config, certificate, definition, haproxy, network, machine, supervisor <- keepalived}
 * <- {render, health, instance}
 * <- agent <- api <- main. One row a module: what it may include besides itself and agent/base. A
 * folder without a row fails the test, so that whoever adds one decides where it belongs.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/text.h"

/* The longest prefix of a file's name that has a row is its module. */
static const struct module {
	const char *prefix;
	const char *allowed[12];
} modules[] = {
	{"agent/base/", {NULL}},
	{"agent/certificate/", {NULL}},
	{"agent/config", {NULL}},
	{"agent/definition/", {NULL}},
	{"agent/haproxy/", {NULL}},
	{"agent/machine/", {NULL}},
	{"agent/keepalived/", {"agent/supervisor/"}},
	{"agent/network/", {NULL}},
	{"agent/supervisor/", {NULL}},
	{"agent/render/", {"agent/certificate/", "agent/definition/"}},
	{"agent/health/", {"agent/definition/", "agent/haproxy/", "agent/keepalived/", "agent/network/ipvs.h"}},
	{"agent/instance/",
		{"agent/certificate/", "agent/definition/", "agent/haproxy/", "agent/keepalived/",
			"agent/supervisor/", "agent/render/"}},
	{"agent/agent", {"agent/"}},
	{"agent/targets.", {"agent/"}},
	{"agent/options.", {"agent/config."}},
	{"agent/tools/", {"agent/config.", "agent/network/"}},
	{"agent/main.c", {"agent/", "api/"}},
	{"api/", {"agent/"}},
	{"api/prometheus_proxy/", {"agent/config.", "agent/keepalived/", "agent/health/lvs.h", "agent/network/ipvs.h"}},
	{"api/client/",
		{"agent/health/envelope.h", "agent/definition/uuid.h", "agent/definition/limits.h"}},
	{"api/client/service/",
		{"agent/definition/grammar.h", "agent/definition/uuid.h", "agent/definition/limits.h",
			"api/client/document.h", "api/client/terminal.h"}},
};

/* Nobody below them may know those who put everything together. */
static const struct module closed[] = {
	{"agent/main", {"agent/main.c"}},
	{"agent/options.h", {"agent/main.c", "agent/options."}},
	{"agent/agent_internal.h", {"agent/agent"}},
	{"agent/config_internal.h", {"agent/config"}},
	{"agent/agent.h", {"agent/agent", "agent/main.c", "agent/targets.", "api/"}},
	{"api/client/", {"api/client/"}},
	{"api/prometheus_proxy/", {"api/prometheus_proxy/"}},
};

/* Libraries, by the beginning of their headers' names, and the only places that may include them.
 */
static const struct module libraries[] = {
	{"microhttpd", {"api/"}},
	{"systemd/sd-bus", {"agent/supervisor/systemd"}},
	{"netlink/", {"agent/network/"}},
	{"linux/rtnetlink", {"agent/network/"}},
	{"curl/", {"api/client/"}},
	{"ini.h", {"agent/config_ini.c"}},
	{"yaml.h", {"agent/tools/config_drive/"}},
};

static size_t n_sources, n_includes;
static struct text complaints;

static const struct module *find_module(const char *name)
{
	const struct module *found = NULL;

	for (size_t i = 0; i < ELEMENTSOF(modules); i++)
		if (text_after_prefix(name, modules[i].prefix) &&
			(!found || strlen(modules[i].prefix) > strlen(found->prefix)))
			found = &modules[i];
	return found;
}

static bool is_among(const char *name, const char *const *prefixes)
{
	for (; *prefixes; prefixes++)
		if (text_after_prefix(name, *prefixes))
			return true;
	return false;
}

static void check_library(const char *source, const char *header)
{
	for (size_t i = 0; i < ELEMENTSOF(libraries); i++)
		if (text_after_prefix(header, libraries[i].prefix) &&
			!is_among(source, libraries[i].allowed))
			text_printf(&complaints, "%s must not include <%s>\n", source, header);
}

static void check_own(const char *source, const char *header)
{
	const struct module *module = find_module(source);

	if (streq(header, "config.h"))
		return; /* Automake's */
	if (!text_after_prefix(header, "agent/") && !text_after_prefix(header, "api/")) {
		text_printf(
			&complaints, "%s: \"%s\" is not relative to the root\n", source, header);
		return;
	}
	for (size_t i = 0; i < ELEMENTSOF(closed); i++)
		if (text_after_prefix(header, closed[i].prefix) &&
			!is_among(source, closed[i].allowed))
			text_printf(&complaints, "%s must not include %s\n", source, header);
	if (!text_after_prefix(header, "agent/base/") &&
		!text_after_prefix(header, module->prefix) && !is_among(header, module->allowed))
		text_printf(&complaints, "%s (%s) must not include %s\n", source, module->prefix,
			header);
}

static void check_line(const char *source, const char *line)
{
	char header[256], kind;

	if (sscanf(line, " # include %c%255[^\">\n]", &kind, header) != 2)
		return;
	n_includes++;
	if (kind == '<')
		check_library(source, header);
	else
		check_own(source, header);
}

static void check_source(const char *path, const char *source)
{
	_cleanup_free_ char *text = NULL;

	n_sources++;
	if (!find_module(source)) {
		text_printf(&complaints, "%s belongs to no module of this test\n", source);
		return;
	}
	assert_int_equal(fileio_read(AT_FDCWD, path, 1 << 24, &text, NULL), 0);
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		check_line(source, line);
	}
}

static size_t root_length;

static int visit(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	const char *end = strrchr(path, '.');

	(void)st;
	(void)ftw;
	if (type == FTW_F && end && (streq(end, ".c") || streq(end, ".h")))
		check_source(path, path + root_length + 1);
	return 0;
}

static void test_layers(void **state)
{
	static const char *const folders[] = {"agent", "api"};
	const char *root = getenv("AMPHORAD_SRC_DIR");

	(void)state;
	root = root ? root : ".";
	root_length = strlen(root);
	for (size_t i = 0; i < ELEMENTSOF(folders); i++) {
		_cleanup_free_ char *folder = NULL;

		assert_true(asprintf(&folder, "%s/%s", root, folders[i]) > 0);
		assert_int_equal(nftw(folder, visit, 16, FTW_PHYS), 0);
	}
	if (complaints.length > 0)
		fail_msg("\n%s", text_peek(&complaints));
	/* The test itself looks at something. */
	assert_true(n_sources > 50);
	assert_true(n_includes > 300);
	text_done(&complaints);
}

/* The rules do refuse. */
static void test_rules(void **state)
{
	static const struct {
		const char *source, *line;
		bool good;
	} rows[] = {
		{"agent/base/text.c", "#include \"agent/base/text.h\"", true},
		{"agent/base/text.c", "#include \"agent/config.h\"", false},
		{"agent/definition/model.c", "#include \"agent/haproxy/cfg.h\"", false},
		{"agent/render/haproxy.c", "#include \"agent/definition/model.h\"", true},
		{"agent/render/haproxy.c", "#include \"agent/haproxy/cfg.h\"", false},
		{"agent/instance/instance.c", "#include \"agent/render/haproxy.h\"", true},
		{"agent/instance/instance.c", "#include \"agent/health/monitor.h\"", false},
		{"agent/health/monitor.c", "#include \"agent/instance/instance.h\"", false},
		{"agent/instance/instance.c", "#include \"agent/agent.h\"", false},
		{"agent/agent.c", "#include \"api/server.h\"", false},
		{"agent/main.c", "#include \"api/server.h\"", true},
		{"api/lbaas_v2/definitions.c", "#include \"agent/agent.h\"", true},
		{"api/lbaas_v2/definitions.c", "#include \"api/exchange.h\"", true},
		{"api/lbaas_v2/definitions.c", "#include \"api/client/tree.h\"", false},
		{"api/client/tree.c", "#include \"agent/health/envelope.h\"", true},
		{"api/client/tree.c", "#include \"agent/health/monitor.h\"", false},
		{"api/client/tree.c", "#include \"api/server.h\"", false},
		{"api/client/http.c", "#include <curl/curl.h>", true},
		{"api/server.c", "#include <curl/curl.h>", false},
		{"agent/agent.c", "# include <microhttpd.h>", false},
		{"agent/supervisor/direct.c", "#include <systemd/sd-bus.h>", false},
		{"agent/render/quote.c", "#include \"quote.h\"", false},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		check_line(rows[i].source, rows[i].line);
		if ((complaints.length == 0) != rows[i].good)
			fail_msg(
				"%s: %s: %s", rows[i].source, rows[i].line, text_peek(&complaints));
		text_done(&complaints);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules), cmocka_unit_test(test_layers)};

	return cmocka_run_group_tests_name("layers", tests, NULL, NULL);
}
