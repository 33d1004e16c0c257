/* SPDX-License-Identifier: Apache-2.0 */

/* INI files as Octavia, oslo.config and people write them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/text.h"
#include "agent/config.h"

static struct config *new_config(void)
{
	struct config *config = NULL;

	assert_int_equal(config_new(&config, NULL), 0);
	return config;
}

static struct config *read_good(const char *text)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	struct config *config = new_config();

	if (config_read_text(config, "test.conf", text, strlen(text), &err) != 0)
		fail_msg("%s\n%s: %s", text, err.pointer, error_message(&err));
	return config;
}

/* The message as the program shows it has these words. */
static void assert_refused(const char *text, size_t length, const char *words)
{
	_cleanup_config_ struct config *config = new_config();
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ char *shown = NULL;
	int r = config_read_text(config, "test.conf", text, length, &err);

	assert_true(asprintf(&shown, "%s%s%s", err.pointer ? err.pointer : "",
			    err.pointer ? ": " : "", error_message(&err)) > 0);
	if (r != -EINVAL || err.code != ERROR_INVALID || !strstr(shown, words))
		fail_msg("%s\n  wanted: %s\n  got %d: %s", text, words, r, shown);
	assert_false(text_has_control(shown, strlen(shown)));
}

static void test_defaults(void **state)
{
	_cleanup_config_ struct config *config = new_config();

	(void)state;
	assert_false(config->debug);
	assert_string_equal(config->base_path, "/var/lib/octavia");
	assert_int_equal(config->default_connection_limit, 50000);
	assert_int_equal(config->timeout_member_connect_ms, 5000);
	assert_int_equal(config->heartbeat_interval_s, 10);
	assert_int_equal(config->hard_stop_after_s, 86400);
	assert_int_equal(config->max_old_workers, 16);
	assert_true(config->runtime_updates);
	assert_string_equal(config->listen, "unix:/run/amphorad/amphorad.sock");
	assert_string_equal(config->controller_ip_port_list, "");
	assert_string_equal(config->heartbeat_key, "");
	assert_int_equal(config_check(config, NULL), 0);
}

/* Every row of the table: its default is within its own range, and its name is its own. */
static void test_option_table(void **state)
{
	(void)state;
	for (const struct option_row *row = config_options; row->name; row++) {
		assert_non_null(row->help);
		assert_true(row->minimum <= row->maximum);
		for (const struct option_row *other = config_options; other != row; other++)
			assert_false(streq(row->section, other->section) &&
				     streq(row->name, other->name));
	}
}

/* octavia/amphorae/backends/agent/templates/amphora_agent_conf.template as Octavia 11 renders it.
 */
static const char octavias[] = "\n"
			       "[DEFAULT]\n"
			       "debug = True\n"
			       "use_syslog = True\n"
			       "syslog_log_facility = LOG_LOCAL1\n"
			       "\n"
			       "[haproxy_amphora]\n"
			       "base_cert_dir = /var/lib/octavia/certs\n"
			       "base_path = /var/lib/octavia2\n"
			       "bind_host = ::\n"
			       "bind_port = 9443\n"
			       "haproxy_cmd = /usr/sbin/haproxy2\n"
			       "respawn_count = 2\n"
			       "respawn_interval = 2\n"
			       "use_upstart = True\n"
			       "user_log_facility = 3\n"
			       "administrative_log_facility = 4\n"
			       "\n"
			       "[health_manager]\n"
			       "controller_ip_port_list = 192.0.2.10:5555, [2001:db8::10]:5555\n"
			       "heartbeat_interval = 7\n"
			       "heartbeat_key = s3cr;t ;and # more = fun %(x)s\n"
			       "\n"
			       "[amphora_agent]\n"
			       "agent_server_ca = /etc/octavia/certs/client_ca.pem\n"
			       "agent_server_cert = /etc/octavia/certs/server.pem\n"
			       "agent_request_read_timeout = 180\n"
			       "amphora_id = 9f2c1d5e-0b7a-4a55-8a3e-3f0c6c1b2a10\n"
			       "amphora_udp_driver = keepalived_lvs\n"
			       "agent_tls_protocol = TLSv1.2\n"
			       "\n"
			       "[controller_worker]\n"
			       "loadbalancer_topology = SINGLE";

static void assert_octavias(const struct config *config)
{
	assert_true(config->debug);
	assert_string_equal(config->base_path, "/var/lib/octavia2");
	assert_string_equal(config->haproxy_cmd, "/usr/sbin/haproxy2");
	assert_int_equal(config->user_log_facility, 3);
	assert_int_equal(config->administrative_log_facility, 4);
	assert_string_equal(
		config->controller_ip_port_list, "192.0.2.10:5555, [2001:db8::10]:5555");
	assert_int_equal(config->heartbeat_interval_s, 7);
	assert_string_equal(config->heartbeat_key, "s3cr;t ;and # more = fun %(x)s");
	assert_string_equal(config->amphora_id, "9f2c1d5e-0b7a-4a55-8a3e-3f0c6c1b2a10");
}

static void test_octavias_file(void **state)
{
	_cleanup_config_ struct config *config = read_good(octavias);

	(void)state;
	assert_octavias(config);
	assert_int_equal(config_check(config, NULL), 0);
}

static void test_line_ends_of_windows(void **state)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	_cleanup_config_ struct config *config = NULL;

	(void)state;
	for (const char *p = octavias; *p; p++)
		text_append(&text, *p == '\n' ? "\r\n" : (const char[]){*p, '\0'});
	config = read_good(text_peek(&text));
	assert_octavias(config);
}

static void test_later_files_win(void **state)
{
	_cleanup_config_ struct config *config =
		read_good("[amphorad]\nmax_connections = 100\nworker_threads=2\n");

	(void)state;
	assert_int_equal(config_read_text(config, "later.conf", "[amphorad]\nworker_threads : 3\n",
				 30, NULL),
		0);
	assert_int_equal(config->max_connections, 100);
	assert_int_equal(config->worker_threads, 3);
}

static char *repeated(const char *unit, size_t n)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	char *result;

	for (size_t i = 0; i < n; i++)
		text_append(&text, unit);
	assert_int_equal(text_finish(&text, &result, NULL), 0);
	return result;
}

/* libinih reads lines in pieces of a fixed size: a value has to survive that wherever the cut
 * falls. */
static void test_long_lines(void **state)
{
	static const char *const units[] = {
		"x", "ab ", " ;", "# ", "; ", "[a] ", "k = v ", "\xe2\x82\xac"};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(units); i++)
		for (size_t n = 50; n < 260; n += 3) {
			_cleanup_free_ char *middle = repeated(units[i], n), *text = NULL,
					    *wanted = NULL;
			_cleanup_config_ struct config *config = NULL;

			assert_true(asprintf(&wanted, "<%s>", middle) > 0);
			assert_true(
				asprintf(&text,
					"[health_manager]\nheartbeat_key = %s\nheartbeat_interval "
					"= 9\n[amphorad]\nworker_threads = 7\n",
					wanted) > 0);
			config = read_good(text);
			assert_string_equal(config->heartbeat_key, wanted);
			assert_int_equal(config->heartbeat_interval_s, 9);
			assert_int_equal(config->worker_threads, 7);
		}
}

/* The rest of a long line belongs to its option, also where nobody wants it. */
static void test_long_lines_of_unused_options(void **state)
{
	_cleanup_free_ char *middle = repeated("heartbeat_interval = 3 ", 40), *text = NULL;
	_cleanup_config_ struct config *config = NULL;

	(void)state;
	assert_true(asprintf(&text,
			    "[health_manager]\nheartbeat_interval = 5\nevent_stream_driver = %s\n  "
			    "%s\n[nova]\nx = %s\n",
			    middle, middle, middle) > 0);
	config = read_good(text);
	assert_int_equal(config->heartbeat_interval_s, 5);
}

static void test_long_comments(void **state)
{
	_cleanup_free_ char *words = repeated("heartbeat_interval = 3 ", 40), *text = NULL;
	_cleanup_config_ struct config *config = NULL;

	(void)state;
	assert_true(
		asprintf(&text, "# %s\n[health_manager]\n;%s\n#%s\nheartbeat_interval = 5\n# %s",
			words, words, words, words) > 0);
	config = read_good(text);
	assert_int_equal(config->heartbeat_interval_s, 5);
}

static void test_continuation_lines(void **state)
{
	_cleanup_config_ struct config *config =
		read_good("[health_manager]\ncontroller_ip_port_list = 192.0.2.1:5555,\n   "
			  "192.0.2.2:5555,\n\t192.0.2.3:5555 ; x\n"
			  "heartbeat_interval = 5\n");

	(void)state;
	assert_string_equal(config->controller_ip_port_list,
		"192.0.2.1:5555, 192.0.2.2:5555, 192.0.2.3:5555 ; x");
	assert_int_equal(config->heartbeat_interval_s, 5);
}

/* oslo.config takes one pair of quotes off a value. */
static void test_quoted_values(void **state)
{
	static const struct {
		const char *written, *wanted;
	} rows[] = {
		{"\"a b\"", "a b"},
		{"'a b'", "a b"},
		{"\"a'", "\"a'"},
		{"\"a\"b", "\"a\"b"},
		{"a\"", "a\""},
		{"\"\"", ""},
		{"'\"a\"'", "\"a\""},
		{"\" a \"", " a "},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_free_ char *text = NULL;
		_cleanup_config_ struct config *config = NULL;

		assert_true(asprintf(&text, "[health_manager]\nheartbeat_key = %s\n",
				    rows[i].written) > 0);
		config = read_good(text);
		assert_string_equal(config->heartbeat_key, rows[i].wanted);
	}
}

static void test_booleans(void **state)
{
	static const char *const words[] = {"true", "True", "YES", "on", "1"};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(words); i++) {
		_cleanup_free_ char *text = NULL;
		_cleanup_config_ struct config *config = NULL;

		assert_true(asprintf(&text, "[DEFAULT]\ndebug=%s", words[i]) > 0);
		config = read_good(text);
		assert_true(config->debug);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *text, *words;
	} rows[] = {
		{"[amphorad]\n\n# c\nlisten_on = x\n",
			"test.conf:4: unknown option listen_on in [amphorad]"},
		{"[amphorad]\nlitsen = x\n",
			"test.conf:2: unknown option litsen in [amphorad]: did you mean listen?"},
		{"[amphorad]\nbase_path = /x\n",
			"test.conf:2: unknown option base_path in [amphorad]: it belongs in [haproxy_amphora]"},
		{"[amphorad]\nworker_threads = 65\n",
			"test.conf:2: [amphorad] worker_threads must be a number from 1 to 64, not \"65\""},
		{"[amphorad]\nworker_threads = 0\n\n", "test.conf:2: [amphorad] worker_threads"},
		{"[amphorad]\nworker_threads = four\n", "test.conf:2: [amphorad] worker_threads"},
		{"[amphorad]\nworker_threads =\n", "test.conf:2: [amphorad] worker_threads"},
		{"[amphorad]\nworker_threads = 4 ; four\n",
			"test.conf:2: [amphorad] worker_threads"},
		{"[amphorad]\nworker_threads = 99999999999999999999\n",
			"test.conf:2: [amphorad] worker_threads"},
		{"[amphorad]\nworker_threads = 4\n  5\nmax_connections = 9\n",
			"test.conf:2: [amphorad] worker_threads"},
		{"[DEFAULT]\ndebug = perhaps\n",
			"test.conf:2: [DEFAULT] debug must be true or false, not \"perhaps\""},
		{"[health_manager]\nheartbeat_interval = 0\n",
			"test.conf:2: [health_manager] heartbeat_interval"},
		{"[haproxy_amphora]\ntimeout_client_data = 2147483647\n", "from 0 to 2073600000"},
		{"[haproxy_amphora]\nuser_log_facility = 8\n",
			"test.conf:2: [haproxy_amphora] user_log_facility"},
		{"[amphorad]\nlisten = a\x01"
		 "b\n",
			"test.conf:2: control character"},
		{"# fine\n# \x7f\n", "test.conf:2: control character"},
		{"[amphorad]\nworker_threads = 4\n\x1b[0m\n", "test.conf:3: control character"},
		{"[amphorad]\nworker_threads\n", "near line 2"},
		{"[amphorad\nworker_threads = 4\n", "near line 1"},
		{"garbage\n", "near line 1"},
		{"[amphorad]\n  worker_threads = 4\n", "test.conf:2: "},
		{"  [amphorad]\n", "test.conf"},
		{"[controller_worker]\n  x = 4\n", "test.conf:2: "},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++)
		assert_refused(rows[i].text, strlen(rows[i].text), rows[i].words);
	assert_refused("[amphorad]\nlisten = a\0b\n", 24, "test.conf:2: control character");
}

static void test_long_names(void **state)
{
	_cleanup_free_ char *name = repeated("name", 100), *text = NULL;

	(void)state;
	assert_true(asprintf(&text, "[amphorad]\n%s = x\n", name) > 0);
	assert_refused(text, strlen(text), "near line 2");
}

/* The number of the line stays right after long lines and comments. */
static void test_line_numbers_after_long_lines(void **state)
{
	_cleanup_free_ char *words = repeated("x ", 500), *text = NULL;

	(void)state;
	assert_true(asprintf(&text, "# %s\n[amphorad]\nlisten = %s\n  %s\nno_such = %s\n", words,
			    words, words, words) > 0);
	assert_refused(text, strlen(text), "test.conf:5: unknown option no_such");
}

static void test_other_sections_and_options_are_no_mistake(void **state)
{
	_cleanup_config_ struct config *config =
		read_good("[amphora_agent]\nworker_threads = 99\nnew_option = "
			  "x\n[certificates]\ndebug = what\n[health_manager]\n"
			  "heartbeat_interval=4");

	(void)state;
	assert_int_equal(config->worker_threads, 16);
	assert_int_equal(config->heartbeat_interval_s, 4);
	assert_false(config->debug);
}

static void test_empty_files(void **state)
{
	static const char *const texts[] = {"", "\n", "\r\n", "   \n\t\n", "#", ";", "# x",
		"[amphorad]", "\xef\xbb\xbf[amphorad]\n"};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
		_cleanup_config_ struct config *config = read_good(texts[i]);

		assert_int_equal(config->worker_threads, 16);
	}
}

/* "auto" is Octavia's where its file says which amphora this is; what is said otherwise counts, also nothing. */
static void test_network_namespace(void **state)
{
	static const struct {
		const char *text, *namespace;
	} rows[] = {
		{"", ""},
		{"[amphora_agent]\namphora_id = x\n", "amphora-haproxy"},
		{"[amphorad]\nnetwork_namespace = auto\n", ""},
		{"[amphora_agent]\namphora_id = x\n[amphorad]\nnetwork_namespace = auto\n", "amphora-haproxy"},
		{"[amphora_agent]\namphora_id = x\n[amphorad]\nnetwork_namespace =\n", ""},
		{"[amphorad]\nnetwork_namespace = other\n[amphora_agent]\namphora_id = x\n", "other"},
		{"[amphorad]\nnetwork_namespace = other\n", "other"},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_config_ struct config *config = read_good(rows[i].text);

		assert_int_equal(config_check(config, NULL), 0);
		assert_string_equal(config->network_namespace, rows[i].namespace);
		/* Checked once more, it stays. */
		assert_int_equal(config_check(config, NULL), 0);
		assert_string_equal(config->network_namespace, rows[i].namespace);
	}
}

static void test_rules_between_options(void **state)
{
	static const struct {
		const char *text, *words; /* NULL: good */
	} rows[] = {
		{"[haproxy_amphora]\nbase_path = var\n",
			"base_path must be an absolute path, not \"var\""},
		{"[haproxy_amphora]\nbase_path =\n", "base_path must be an absolute path"},
		{"[amphorad]\nrun_dir = /run/a b\n", "run_dir must not have blanks"},
		{"[amphorad]\nrun_dir = /run/$HOME\n", "run_dir must not have"},
		{"[amphorad]\nrun_dir = /run/12345678901234567890123456789012345678901234567\n", NULL},
		{"[amphorad]\nrun_dir = /run/123456789012345678901234567890123456789012345678\n",
			"run_dir must have at most 52 bytes"},
		{"[amphorad]\ntools_dir = /x#y\n", "tools_dir must not have"},
		{"[amphorad]\ntemplate_dir = ./x\n", "template_dir must be an absolute path"},
		{"[amphorad]\nsupervisor = runit\n", "supervisor must be"},
		{"[amphorad]\nsupervisor = direct\n", NULL},
		{"[amphorad]\ndefault_vip_address = everywhere\n",
			"default_vip_address must be an IPv4 or IPv6 address"},
		{"[amphorad]\ndefault_vip_address =\n",
			"default_vip_address must be an IPv4 or IPv6 address"},
		{"[amphorad]\ndefault_vip_address = ::\n", NULL},
		{"[amphorad]\nnetwork_namespace = Lb_1.x-y\n", NULL},
		{"[amphorad]\nnetwork_namespace = ../init\n", "network_namespace must be a name"},
		{"[amphorad]\nnetwork_namespace = --help\n", "network_namespace must be a name"},
		{"[amphorad]\nnetwork_namespace = a$b\n", "network_namespace must be a name"},
		{"[health_manager]\ncontroller_ip_port_list = 192.0.2.1:5555\n",
			"heartbeat_key is needed"},
		{"[health_manager]\ncontroller_ip_port_list = 192.0.2.1:5555\nheartbeat_key = k\n",
			"amphora_id is needed"},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_config_ struct config *config = read_good(rows[i].text);
		_cleanup_error_ struct error err = ERROR_INIT;
		int r = config_check(config, &err);

		if (r != (rows[i].words ? -EINVAL : 0) ||
			(rows[i].words && !strstr(error_message(&err), rows[i].words)))
			fail_msg("%s\n  got %d: %s", rows[i].text, r, error_message(&err));
	}
}

static void test_files(void **state)
{
	char name[] = "/tmp/test-config-XXXXXX";
	_cleanup_close_ int fd = mkstemp(name);
	_cleanup_config_ struct config *config = new_config();
	_cleanup_error_ struct error err = ERROR_INIT;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(fileio_write_all(fd, octavias, strlen(octavias)), 0);
	assert_int_equal(config_read(config, name, &err), 0);
	assert_octavias(config);
	unlink(name);
	assert_int_equal(config_read(config, name, &err), -ENOENT);
	assert_non_null(strstr(error_message(&err), name));
	assert_int_equal(config_read(config, "/tmp", &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_option_table),
		cmocka_unit_test(test_octavias_file),
		cmocka_unit_test(test_line_ends_of_windows),
		cmocka_unit_test(test_later_files_win),
		cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_long_lines_of_unused_options),
		cmocka_unit_test(test_long_comments),
		cmocka_unit_test(test_continuation_lines),
		cmocka_unit_test(test_quoted_values),
		cmocka_unit_test(test_booleans),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_line_numbers_after_long_lines),
		cmocka_unit_test(test_other_sections_and_options_are_no_mistake),
		cmocka_unit_test(test_empty_files),
		cmocka_unit_test(test_network_namespace),
		cmocka_unit_test(test_rules_between_options),
		cmocka_unit_test(test_files),
	};

	log_set_level(LOG_WARNING); /* options that are not used are logged at info */
	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
