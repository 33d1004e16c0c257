/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/config.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ini.h>
#include <limits.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/text.h"

const char *const config_default_files[] = {
	"/etc/amphorad/amphorad.conf", "/etc/octavia/amphora-agent.conf", NULL};

#define AUTO "auto"
#define AMPHORA_NAMESPACE "amphora-haproxy"

#define STRING(section, name, member, value, help)                                                 \
	{                                                                                          \
		section, name, OPTION_STRING, offsetof(struct config, member), 0, 0, value, false, help \
	}
#define SECRET(section, name, member, help)                                                        \
	{                                                                                          \
		section, name, OPTION_STRING, offsetof(struct config, member), 0, 0, NULL, true, help \
	}
#define BOOLEAN(section, name, member, value, help)                                                \
	{                                                                                          \
		section, name, OPTION_BOOL, offsetof(struct config, member), 0, 0, value, false, help \
	}
#define INTEGER(section, name, member, low, high, value, help)                                     \
	{                                                                                          \
		section, name, OPTION_INTEGER, offsetof(struct config, member), low, high, value, false, help \
	}

/* What HAProxy's timers hold, and what a definition may say (LIMIT_TIMEOUT_MS): 24 days. */
enum { MAX_TIMEOUT_MS = 24 * 24 * 60 * 60 * 1000 };

#define ACCEPTED(section, name, help)                                                             \
	{                                                                                          \
		section, name, OPTION_ACCEPTED, 0, 0, 0, NULL, false, help                         \
	}

/* Octavia's options and defaults: octavia/common/config.py. */
const struct option_row config_options[] = {
	BOOLEAN("DEFAULT", "debug", debug, "false", "log at level debug"),
	ACCEPTED("DEFAULT", "use_syslog", "the log goes to the journal or stderr"),
	ACCEPTED("DEFAULT", "syslog_log_facility", "the log goes to the journal or stderr"),

	STRING("haproxy_amphora", "base_path", base_path, "/var/lib/octavia",
		"folder of load balancers: definitions, configurations, counters"),
	STRING("haproxy_amphora", "base_cert_dir", base_cert_dir, "/var/lib/octavia/certs",
		"folder of certificates that a controller uploads"),
	STRING("haproxy_amphora", "bind_host", bind_host, "::",
		"address of the API with mutual TLS (see agent_server_cert)"),
	INTEGER("haproxy_amphora", "bind_port", bind_port, 0, 65535, "9443",
		"port of the API with mutual TLS; 0 picks a free one"),
	STRING("haproxy_amphora", "haproxy_cmd", haproxy_cmd, DEFAULT_HAPROXY_CMD, "the HAProxy program"),
	STRING("haproxy_amphora", "haproxy_stick_size", haproxy_stick_size, "10k",
		"entries of a stick table, with k or m"),
	INTEGER("haproxy_amphora", "default_connection_limit", default_connection_limit, 1, 1000000, "50000",
		"connections of a listener that sets no limit"),
	INTEGER("haproxy_amphora", "timeout_client_data", timeout_client_data_ms, 0, MAX_TIMEOUT_MS, "50000",
		"default of a listener's timeout_client_data, ms"),
	INTEGER("haproxy_amphora", "timeout_member_connect", timeout_member_connect_ms, 0, MAX_TIMEOUT_MS, "5000",
		"default of a listener's timeout_member_connect, ms"),
	INTEGER("haproxy_amphora", "timeout_member_data", timeout_member_data_ms, 0, MAX_TIMEOUT_MS, "50000",
		"default of a listener's timeout_member_data, ms"),
	INTEGER("haproxy_amphora", "timeout_tcp_inspect", timeout_tcp_inspect_ms, 0, MAX_TIMEOUT_MS, "0",
		"default of a listener's timeout_tcp_inspect, ms"),
	BOOLEAN("haproxy_amphora", "connection_logging", connection_logging, "true",
		"whether HAProxy logs connections (to haproxy_log)"),
	INTEGER("haproxy_amphora", "administrative_log_facility", administrative_log_facility, 0, 7, "1",
		"syslog facility localN of HAProxy's own messages"),
	INTEGER("haproxy_amphora", "user_log_facility", user_log_facility, 0, 7, "0",
		"syslog facility localN of connections"),
	ACCEPTED("haproxy_amphora", "respawn_count", "restarts follow a back-off of their own"),
	ACCEPTED("haproxy_amphora", "respawn_interval", "restarts follow a back-off of their own"),
	ACCEPTED("haproxy_amphora", "use_upstart", "there is no Upstart any more"),

	STRING("health_manager", "controller_ip_port_list", controller_ip_port_list, NULL,
		"controllers that get heartbeats in turn: ADDRESS:PORT, …; empty: none"),
	INTEGER("health_manager", "heartbeat_interval", heartbeat_interval_s, 1, 3600, "10",
		"time between heartbeats and between looks at HAProxy, s"),
	SECRET("health_manager", "heartbeat_key", heartbeat_key, "key that signs heartbeats"),

	STRING("amphora_agent", "amphora_id", amphora_id, NULL, "id of this amphora, in heartbeats"),
	STRING("amphora_agent", "agent_server_ca", agent_server_ca, NULL,
		"CA that signed the controllers' certificates, PEM; with agent_server_cert it opens the API with mutual TLS"),
	STRING("amphora_agent", "agent_server_cert", agent_server_cert, NULL,
		"this agent's private key and certificate in one PEM file"),
	STRING("amphora_agent", "agent_tls_protocol", agent_tls_protocol, "TLSv1.2",
		"lowest version of TLS: TLSv1.2 or TLSv1.3 (lower ones are raised)"),
	STRING("amphora_agent", "agent_server_network_dir", agent_server_network_dir, "/etc/octavia/interfaces",
		"folder of the files that describe the interfaces of the network namespace"),
	ACCEPTED("amphora_agent", "agent_request_read_timeout", "the server has time limits of its own"),
	ACCEPTED("amphora_agent", "amphora_udp_driver", "keepalived_lvs is the only one"),

	STRING("controller_worker", "loadbalancer_topology", loadbalancer_topology, "SINGLE",
		"SINGLE or ACTIVE_STANDBY"),

	STRING("amphorad", "listen", listen, "unix:/run/amphorad/amphorad.sock",
		"where the API is served: unix:PATH, http://127.0.0.1:PORT (loopback only), …"),
	STRING("amphorad", "socket_group", socket_group, NULL,
		"group that may use the unix socket; empty: the agent's own"),
	STRING("amphorad", "supervisor", supervisor, "auto", "who runs HAProxy: systemd, direct (amphorad itself), or auto"),
	STRING("amphorad", "network_namespace", network_namespace, AUTO,
		"network namespace of HAProxy: a name, empty for the agent's own, or auto"),
	STRING("amphorad", "default_vip_address", default_vip_address, "0.0.0.0",
		"VIP of a load balancer that names none"),
	STRING("amphorad", "template_dir", template_dir, TEMPLATE_DIR, "folder of the configuration templates"),
	STRING("amphorad", "tools_dir", tools_dir, TOOLS_DIR, "folder of ping-wrapper.sh and udp_check.sh"),
	STRING("amphorad", "keepalived_cmd", keepalived_cmd, DEFAULT_KEEPALIVED_CMD, "the keepalived program"),
	STRING("amphorad", "run_dir", run_dir, "/run/amphorad", "folder of sockets and process ids of HAProxy"),
	STRING("amphorad", "haproxy_user", haproxy_user, "haproxy",
		"user of HAProxy's workers, when amphorad runs as root"),
	STRING("amphorad", "haproxy_group", haproxy_group, "haproxy",
		"group of HAProxy's workers, when amphorad runs as root"),
	STRING("amphorad", "haproxy_log", haproxy_log, "/dev/log",
		"syslog target of HAProxy: a socket or ADDRESS:PORT; empty: no log"),
	BOOLEAN("amphorad", "runtime_updates", runtime_updates, "true",
		"change HAProxy without a reload where it can be changed so"),
	INTEGER("amphorad", "hard_stop_after_s", hard_stop_after_s, 1, 30 * 86400, "86400",
		"how long a replaced worker may finish its connections, s"),
	INTEGER("amphorad", "max_old_workers", max_old_workers, 1, 1000, "16",
		"replaced workers that may be left; of more, the oldest ones are ended"),
	INTEGER("amphorad", "worker_threads", worker_threads, 1, 64, "16", "requests handled at once"),
	INTEGER("amphorad", "max_connections", max_connections, 8, 65536, "512",
		"connections of each listening socket"),
	{.name = NULL},
};

static int set_option(const struct option_row *row, struct config *config, const char *value, const char *where,
	struct error *err)
{
	void *target = (char *)config + row->offset;
	int64_t number;
	bool on;
	char *copy;

	switch (row->type) {
	case OPTION_STRING:
		copy = strdup(value);
		if (!copy)
			return error_set_errno(err, -ENOMEM, "%s", row->name);
		free(*(char **)target);
		*(char **)target = copy;
		return 0;
	case OPTION_BOOL:
		if (text_to_bool(value, &on) < 0)
			return error_set(err, ERROR_INVALID, where, "[%s] %s must be true or false",
				row->section, row->name);
		*(bool *)target = on;
		return 0;
	case OPTION_INTEGER:
		if (text_to_int64(value, &number) < 0 || number < row->minimum || number > row->maximum)
			return error_set(err, ERROR_INVALID, where, "[%s] %s must be a number from %lld to %lld",
				row->section, row->name, (long long)row->minimum, (long long)row->maximum);
		*(int64_t *)target = number;
		return 0;
	case OPTION_ACCEPTED:
		return 0;
	}
	return -EINVAL;
}

int config_new(struct config **ret, struct error *err)
{
	_cleanup_config_ struct config *config = NULL;

	config = calloc(1, sizeof(*config));
	if (!config)
		return error_set_errno(err, -ENOMEM, "configuration");
	for (const struct option_row *row = config_options; row->name; row++) {
		int r = set_option(row, config, row->default_text ? row->default_text : "", "default", err);

		if (r < 0)
			return r;
	}
	*ret = TAKE_PTR(config);
	return 0;
}

void config_free(struct config *config)
{
	if (!config)
		return;
	for (const struct option_row *row = config_options; row->name; row++) {
		char *text = row->type == OPTION_STRING ? *(char **)((char *)config + row->offset) : NULL;

		if (row->secret && text)
			explicit_bzero(text, strlen(text));
		free(text);
	}
	free(config);
}

/*
 * What libinih reads is brought into the form of oslo.config, which it differs from in two ways: libinih cuts lines at a
 * length that is fixed when it is built (200 in Debian) and takes the rest for a new line, and it takes " ;" in a value
 * for a comment, so that a heartbeat key could be cut short in silence. So the rest of a long line is handed over as a
 * continuation line marked with JOIN, an indented line as one marked with CONTINUED, and ';' within a line as SEMICOLON;
 * set_value() undoes it. Control characters are refused before, so the marks cannot be in the file.
 */
enum { JOIN = '\x01', SEMICOLON = '\x02', CONTINUED = '\x03' };

struct reading {
	struct config *config;
	const char *name;
	const char *text, *end; /* what is left of the file */
	const char *line_end;   /* of a long line that is under way, else NULL */
	size_t line;
	/* The option that is being read: libinih calls once per continuation line. */
	const struct option_row *row;
	struct text value;
	bool continued; /* over several lines */
	size_t row_line;
	struct error *err;
	int r;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Starts a line of the file; writes what has to stand before its content and returns its length. */
static size_t begin_line(struct reading *reading, char *buffer)
{
	const char *newline = memchr(reading->text, '\n', (size_t)(reading->end - reading->text));
	const char *content = reading->text;

	reading->line++;
	reading->line_end = newline ? newline : reading->end;
	for (const char *p = reading->text; p < reading->line_end; p++)
		if (((unsigned char)*p < 0x20 && !is_blank(*p)) || *p == 0x7f) {
			reading->r = error_set(reading->err, ERROR_INVALID, NULL, "%s:%zu: control character",
				reading->name, reading->line);
			return 0;
		}
	while (content < reading->line_end && is_blank(*content))
		content++;
	if (content == reading->line_end || *content == '#' || *content == ';') {
		reading->text = reading->line_end; /* empty, or a comment of any length */
		return 0;
	}
	if (content == reading->text)
		return 0;
	reading->text = content;
	buffer[0] = ' ';
	buffer[1] = CONTINUED;
	return 2;
}

static char *next_line(char *buffer, int size, void *userdata)
{
	struct reading *reading = userdata;
	size_t space = (size_t)size - 2, used;

	if (reading->r < 0 || (!reading->line_end && reading->text >= reading->end))
		return NULL;
	if (reading->line_end) {
		buffer[0] = ' ';
		buffer[1] = JOIN;
		used = 2;
	} else {
		used = begin_line(reading, buffer);
		if (reading->r < 0)
			return NULL;
	}
	while (reading->text < reading->line_end && used < space) {
		char c = *reading->text++;

		buffer[used++] = c == ';' ? SEMICOLON : c;
	}
	if (reading->text < reading->line_end) {
		/* Blanks at the cut would be trimmed: leave them to the next part. */
		while (used > 3 && is_blank(buffer[used - 1])) {
			used--;
			reading->text--;
		}
	} else {
		reading->line_end = NULL;
		if (reading->text < reading->end)
			reading->text++; /* the newline */
	}
	buffer[used++] = '\n';
	buffer[used] = '\0';
	return buffer;
}

/* oslo.config takes one pair of quotes off the first line of a value. */
static void take_quotes_off(struct text *value)
{
	const char *text = text_peek(value);

	if (value->length < 2 || (text[0] != '"' && text[0] != '\'') || text[value->length - 1] != text[0])
		return;
	memmove(value->data, value->data + 1, value->length - 2);
	text_truncate(value, value->length - 2);
}

static int finish_option(struct reading *reading)
{
	_cleanup_free_ char *where = NULL;
	const struct option_row *row = reading->row;

	if (!row)
		return 0;
	reading->row = NULL;
	if (asprintf(&where, "%s:%zu", reading->name, reading->row_line) < 0 || reading->value.failed)
		return error_set_errno(reading->err, -ENOMEM, "%s", reading->name);
	if (!reading->continued)
		take_quotes_off(&reading->value);
	return set_option(row, reading->config, text_peek(&reading->value), where, reading->err);
}

static const struct option_row *find_option(const char *section, const char *name)
{
	for (const struct option_row *row = config_options; row->name; row++)
		if (streq(row->section, section[0] ? section : "DEFAULT") && streq(row->name, name))
			return row;
	return NULL;
}

static int set_value(void *userdata, const char *section, const char *name, const char *value)
{
	struct reading *reading = userdata;
	const struct option_row *row;

	if (name[0] == JOIN)
		return 0; /* no '=' in the first part of a long line: no name could be that long */
	if (name[0] == CONTINUED) {
		reading->r = error_set(reading->err, ERROR_INVALID, NULL,
			"%s:%zu: a line that goes on with an option begins with a blank, but there is no option before it",
			reading->name, reading->line);
		return 0;
	}
	row = find_option(section, name);
	if (value[0] == JOIN || value[0] == CONTINUED) {
		if (row != reading->row)
			row = NULL; /* the rest of an option that is not used */
		if (row && value[0] == CONTINUED) {
			text_append_char(&reading->value, ' ');
			reading->continued = true;
		}
		value++;
	} else {
		reading->r = finish_option(reading);
		if (reading->r < 0)
			return 0;
		text_truncate(&reading->value, 0);
		reading->row = row;
		reading->continued = false;
		reading->row_line = reading->line;
		if (!row && streq(section, "amphorad")) {
			reading->r = error_set(reading->err, ERROR_INVALID, NULL,
				"%s:%zu: unknown option %s in [amphorad]", reading->name, reading->line, name);
			return 0;
		}
		/* Sections of other Octavia services and options of other agents are no mistake. */
		if (!row)
			log_info("%s:%zu: option %s of [%s] is not used", reading->name, reading->line, name,
				section);
	}
	if (!row)
		return 1;
	for (const char *p = value; *p; p++)
		text_append_char(&reading->value, *p == SEMICOLON ? ';' : *p);
	return 1;
}

int config_read_text(struct config *config, const char *name, const char *text, size_t length, struct error *err)
{
	struct reading reading = {
		.config = config, .name = name, .text = text, .end = text + length, .err = err};
	int problem, r;

	problem = ini_parse_stream(next_line, &reading, set_value, &reading);
	r = reading.r;
	if (r == 0 && problem != 0)
		r = problem < 0 ? error_set_errno(err, -ENOMEM, "%s", name)
				: error_set(err, ERROR_INVALID, NULL,
					  "%s: not an INI file: \"name = value\" expected near line %d", name,
					  problem);
	if (r == 0)
		r = finish_option(&reading);
	if (reading.value.data)
		explicit_bzero(reading.value.data, reading.value.allocated);
	text_done(&reading.value);
	return r;
}

int config_read(struct config *config, const char *path, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	size_t length;
	int r;

	r = fileio_read(AT_FDCWD, path, 1024 * 1024, &text, &length);
	if (r < 0)
		return error_set_errno(err, r, "%s", path);
	r = config_read_text(config, path, text, length, err);
	explicit_bzero(text, length);
	return r;
}

static bool is_address(const char *value)
{
	uint8_t address[16];

	return inet_pton(AF_INET, value, address) == 1 || inet_pton(AF_INET6, value, address) == 1;
}

/* What can stand unquoted in a configuration of HAProxy as the name of a user or group. */
static int check_account(const char *name, const char *value, struct error *err)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";

	if (!value[0] || value[0] == '-' || strspn(value, allowed) != strlen(value))
		return error_set(err, ERROR_INVALID, NULL, "%s must be a name of letters, digits, '_', '.' and '-'", name);
	return 0;
}

/* "auto": as Octavia's agent has it, where Octavia's file says which amphora this is. */
static int settle_namespace(struct config *config, struct error *err)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
	const char *name = config->network_namespace;
	char *chosen;

	if (streq(name, AUTO)) {
		chosen = strdup(config->amphora_id[0] ? AMPHORA_NAMESPACE : "");
		if (!chosen)
			return error_set_errno(err, -ENOMEM, "network_namespace");
		free(config->network_namespace);
		config->network_namespace = chosen;
		return 0;
	}
	/* It becomes a file name, and an argument in a unit of systemd. */
	if (strspn(name, allowed) != strlen(name) || strlen(name) > NAME_MAX || name[0] == '.' || name[0] == '-')
		return error_set(err, ERROR_INVALID, NULL,
			"[amphorad] network_namespace must be a name of letters, digits, '_', '.' and '-', not \"%s\"",
			name);
	return 0;
}

static int check_absolute(const char *name, const char *value, struct error *err)
{
	if (value[0] != '/')
		return error_set(err, ERROR_INVALID, NULL, "%s must be an absolute path, not \"%s\"", name, value);
	if (text_has_control(value, strlen(value)) || strpbrk(value, " \"'\\$#"))
		return error_set(err, ERROR_INVALID, NULL, "%s must not have blanks, quotes, '\\', '$' or '#'",
			name);
	return 0;
}

int config_check(struct config *config, struct error *err)
{
	const struct {
		const char *name, *value;
	} paths[] = {
		{"[haproxy_amphora] base_path", config->base_path},
		{"[haproxy_amphora] base_cert_dir", config->base_cert_dir},
		{"[amphora_agent] agent_server_network_dir", config->agent_server_network_dir},
		{"[amphorad] template_dir", config->template_dir},
		{"[amphorad] tools_dir", config->tools_dir},
		{"[amphorad] run_dir", config->run_dir},
	};
	int r;

	for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
		r = check_absolute(paths[i].name, paths[i].value, err);
		if (r < 0)
			return r;
	}
	if (!is_address(config->default_vip_address))
		return error_set(err, ERROR_INVALID, NULL,
			"[amphorad] default_vip_address must be an IPv4 or IPv6 address, not \"%s\"",
			config->default_vip_address);
	r = check_account("[amphorad] haproxy_user", config->haproxy_user, err);
	if (r == 0)
		r = check_account("[amphorad] haproxy_group", config->haproxy_group, err);
	if (r < 0)
		return r;
	r = settle_namespace(config, err);
	if (r < 0)
		return r;
	if (config->controller_ip_port_list[0] && !config->heartbeat_key[0])
		return error_set(err, ERROR_INVALID, NULL,
			"[health_manager] heartbeat_key is needed to send heartbeats to controller_ip_port_list");
	if (config->controller_ip_port_list[0] && !config->amphora_id[0])
		return error_set(err, ERROR_INVALID, NULL,
			"[amphora_agent] amphora_id is needed to send heartbeats to controller_ip_port_list");
	if (!config->agent_server_ca[0] != !config->agent_server_cert[0])
		return error_set(err, ERROR_INVALID, NULL,
			"[amphora_agent] agent_server_ca and agent_server_cert are needed together");
	if (!streq(config->loadbalancer_topology, "SINGLE") && !streq(config->loadbalancer_topology, "ACTIVE_STANDBY"))
		return error_set(err, ERROR_INVALID, NULL,
			"[controller_worker] loadbalancer_topology must be SINGLE or ACTIVE_STANDBY");
	if (!streq(config->supervisor, "auto") && !streq(config->supervisor, "systemd") &&
		!streq(config->supervisor, "direct"))
		return error_set(err, ERROR_INVALID, NULL, "[amphorad] supervisor must be auto, systemd or direct");
	return 0;
}
