/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/haproxy/plan_server.h"

#include <arpa/inet.h>
#include <string.h>

#include "agent/base/text.h"

enum {
	/* HAProxy's MAX_CLI_ARGS, less "add", "server" and the name. */
	ARGUMENTS_MAX = 64 - 3,
	NEVER = 0, /* "add server" does not take it, in any version up to 3.4 */
	WEIGHT_MAX = 256,
};

#define SINCE(major, minor) ((major)*100 + (minor))

/* What takes it away again ("no-…") has the same row, and is only for default-server and what
 * overrides it. */
static const struct option_row {
	const char *name;
	const char *opposite;
	unsigned arguments;
	unsigned added_since; /* SINCE(): "add server" takes it; rows that it took in 2.6 say 2.6 */
} option_rows[] = {
	[PLAN_SERVER_ADDR] = {"addr", NULL, 1, SINCE(2, 6)},
	[PLAN_SERVER_AGENT_CHECK] = {"agent-check", "no-agent-check", 0, SINCE(2, 6)},
	[PLAN_SERVER_ALPN] = {"alpn", NULL, 1, SINCE(2, 6)},
	[PLAN_SERVER_BACKUP] = {"backup", "no-backup", 0, SINCE(2, 6)},
	[PLAN_SERVER_CA_FILE] = {"ca-file", NULL, 1, SINCE(2, 6)},
	[PLAN_SERVER_CHECK] = {"check", "no-check", 0, SINCE(2, 6)},
	[PLAN_SERVER_CHECK_SEND_PROXY] = {"check-send-proxy", "no-check-send-proxy", 0,
		SINCE(2, 6)},
	[PLAN_SERVER_CHECK_SSL] = {"check-ssl", "no-check-ssl", 0, SINCE(2, 6)},
	[PLAN_SERVER_COOKIE] = {"cookie", NULL, 1, SINCE(3, 0)},
	[PLAN_SERVER_CRL_FILE] = {"crl-file", NULL, 1, SINCE(2, 6)},
	[PLAN_SERVER_CRT] = {"crt", NULL, 1, SINCE(2, 6)},
	[PLAN_SERVER_DISABLED] = {"disabled", "enabled", 0, SINCE(2, 6)},
	[PLAN_SERVER_ERROR_LIMIT] = {"error-limit", NULL, 1, SINCE(2, 6)},
	[PLAN_SERVER_ID] = {"id", NULL, 1, SINCE(2, 6)},
	[PLAN_SERVER_MAXCONN] = {"maxconn", NULL, 1, SINCE(2, 6)},
	[PLAN_SERVER_MINCONN] = {"minconn", NULL, 1, SINCE(2, 6)},
	[PLAN_SERVER_OBSERVE] = {"observe", NULL, 1, SINCE(2, 6)},
	[PLAN_SERVER_ON_ERROR] = {"on-error", NULL, 1, SINCE(2, 6)},
	[PLAN_SERVER_ON_MARKED_DOWN] = {"on-marked-down", NULL, 1, SINCE(2, 6)},
	[PLAN_SERVER_ON_MARKED_UP] = {"on-marked-up", NULL, 1, SINCE(2, 6)},
	[PLAN_SERVER_POOL_MAX_CONN] = {"pool-max-conn", NULL, 1, SINCE(2, 6)},
	[PLAN_SERVER_POOL_PURGE_DELAY] = {"pool-purge-delay", NULL, 1, SINCE(2, 6)},
	[PLAN_SERVER_PORT] = {"port", NULL, 1, SINCE(2, 6)},
	/* Before 3.0 an added server gives each HTTP/2 connection one request ("max-reuse" is 0).
	 */
	[PLAN_SERVER_PROTO] = {"proto", NULL, 1, SINCE(3, 0)},
	[PLAN_SERVER_PROXY_V2_OPTIONS] = {"proxy-v2-options", NULL, 1, SINCE(2, 6)},
	[PLAN_SERVER_SEND_PROXY] = {"send-proxy", "no-send-proxy", 0, SINCE(2, 6)},
	[PLAN_SERVER_SEND_PROXY_V2] = {"send-proxy-v2", "no-send-proxy-v2", 0, SINCE(2, 6)},
	[PLAN_SERVER_SEND_PROXY_V2_SSL] = {"send-proxy-v2-ssl", "no-send-proxy-v2-ssl", 0,
		SINCE(2, 6)},
	[PLAN_SERVER_SEND_PROXY_V2_SSL_CN] = {"send-proxy-v2-ssl-cn", "no-send-proxy-v2-ssl-cn", 0,
		SINCE(2, 6)},
	[PLAN_SERVER_SNI] = {"sni", NULL, 1, SINCE(2, 6)},
	[PLAN_SERVER_SSL] = {"ssl", "no-ssl", 0, SINCE(2, 6)},
	[PLAN_SERVER_TRACK] = {"track", NULL, 1,
		NEVER}, /* it is taken, but what is tracked cannot be deleted then */
	[PLAN_SERVER_WEIGHT] = {"weight", NULL, 1, SINCE(2, 6)},
	/* The unnamed ones. */
	{"agent-addr", NULL, 1, SINCE(2, 6)},
	{"agent-inter", NULL, 1, SINCE(2, 6)},
	{"agent-port", NULL, 1, SINCE(2, 6)},
	{"agent-send", NULL, 1, SINCE(2, 6)},
	{"allow-0rtt", NULL, 0, SINCE(2, 6)},
	{"cc", NULL, 1, NEVER},
	{"check-alpn", NULL, 1, SINCE(2, 6)},
	{"check-pool-conn-name", NULL, 1, SINCE(3, 2)},
	{"check-proto", NULL, 1, SINCE(3, 0)},
	{"check-reuse-pool", "no-check-reuse-pool", 0, SINCE(3, 2)},
	{"check-sni", NULL, 1, SINCE(2, 6)},
	{"check-via-socks4", NULL, 0, SINCE(2, 6)},
	{"ciphers", NULL, 1, SINCE(2, 6)},
	{"ciphersuites", NULL, 1, SINCE(2, 6)},
	{"client-sigalgs", NULL, 1, SINCE(2, 9)},
	{"curves", NULL, 1, SINCE(2, 9)},
	{"downinter", NULL, 1, SINCE(2, 6)},
	{"fall", NULL, 1, SINCE(2, 6)},
	{"fastinter", NULL, 1, SINCE(2, 6)},
	{"force-sslv3", NULL, 0, SINCE(2, 6)},
	{"force-tlsv10", NULL, 0, SINCE(2, 6)},
	{"force-tlsv11", NULL, 0, SINCE(2, 6)},
	{"force-tlsv12", NULL, 0, SINCE(2, 6)},
	{"force-tlsv13", NULL, 0, SINCE(2, 6)},
	{"guid", NULL, 1, SINCE(3, 0)},
	/* Taken from 3.0 on, but without effect on an added server before 3.4. */
	{"hash-key", NULL, 1, SINCE(3, 4)},
	{"healthcheck", NULL, 1, SINCE(3, 4)},
	{"idle-ping", NULL, 1, SINCE(3, 2)},
	{"init-addr", NULL, 1, NEVER},
	{"init-state", NULL, 1, SINCE(3, 1)},
	{"inter", NULL, 1, SINCE(2, 6)},
	{"ktls", NULL, 1, SINCE(3, 3)},
	{"log-bufsize", NULL, 1, NEVER},
	{"log-proto", NULL, 1, NEVER},
	{"max-reuse", NULL, 1, NEVER},
	{"maxqueue", NULL, 1, SINCE(2, 6)},
	{"namespace", NULL, 1, NEVER},
	{"no-renegotiate", "renegotiate", 0, SINCE(3, 3)},
	{"no-ssl-reuse", "ssl-reuse", 0, SINCE(2, 6)},
	{"no-sslv3", NULL, 0, SINCE(2, 6)},
	{"no-tls-tickets", "tls-tickets", 0, SINCE(2, 6)},
	{"no-tlsv10", NULL, 0, SINCE(2, 6)},
	{"no-tlsv11", NULL, 0, SINCE(2, 6)},
	{"no-tlsv12", NULL, 0, SINCE(2, 6)},
	{"no-tlsv13", NULL, 0, SINCE(2, 6)},
	{"non-stick", "stick", 0, NEVER},
	{"npn", NULL, 1, SINCE(2, 6)},
	{"pool-conn-name", NULL, 1, SINCE(3, 0)},
	{"pool-low-conn", NULL, 1, SINCE(2, 6)},
	{"redir", NULL, 1, NEVER},
	{"resolve-net", NULL, 1, NEVER},
	{"resolve-opts", NULL, 1, NEVER},
	{"resolve-prefer", NULL, 1, NEVER},
	{"resolvers", NULL, 1, NEVER},
	{"rise", NULL, 1, SINCE(2, 6)},
	{"shard", NULL, 1, SINCE(2, 7)},
	{"sigalgs", NULL, 1, SINCE(2, 9)},
	{"slowstart", NULL, 1, SINCE(2, 6)},
	{"socks4", NULL, 1, NEVER},
	{"ssl-max-ver", NULL, 1, SINCE(2, 6)},
	{"ssl-min-ver", NULL, 1, SINCE(2, 6)},
	{"strict-maxconn", NULL, 0, SINCE(3, 2)},
	{"tcp-md5sig", NULL, 1, NEVER},
	{"tcp-ut", NULL, 1, NEVER},
	{"tfo", "no-tfo", 0, SINCE(2, 6)},
	{"verify", NULL, 1, SINCE(2, 6)},
	{"verifyhost", NULL, 1, SINCE(2, 6)},
	{"ws", NULL, 1, SINCE(2, 6)},
};

_Static_assert(
	ELEMENTSOF(option_rows) <= PLAN_SERVER_N_OPTIONS, "PLAN_SERVER_N_OPTIONS is too small");

const char *plan_server_option_name(size_t option)
{
	return option < ELEMENTSOF(option_rows) ? option_rows[option].name : "?";
}

static const struct option_row *find_row(const char *word, bool *ret_opposite)
{
	for (size_t i = 0; i < ELEMENTSOF(option_rows); i++) {
		const struct option_row *row = &option_rows[i];

		if (streq(row->name, word) || (row->opposite && streq(row->opposite, word))) {
			*ret_opposite = !streq(row->name, word);
			return row;
		}
	}
	return NULL;
}

/* These add to each other, or undo a part of each other. */
static bool is_tangled(const struct plan_server *server, size_t option, bool opposite)
{
	switch (option) {
	case PLAN_SERVER_SEND_PROXY_V2:
	case PLAN_SERVER_SEND_PROXY_V2_SSL:
	case PLAN_SERVER_SEND_PROXY_V2_SSL_CN:
		return opposite;
	case PLAN_SERVER_PROXY_V2_OPTIONS:
		return server->options[option] != NULL;
	default:
		return false;
	}
}

void plan_server_read(struct plan_server *server, const struct cfg_line *line)
{
	char *const *word = line->words + 1;

	if (cfg_line_is_server(line)) {
		server->name = word[0];
		server->address = word[1];
		server->odd |= !word[1];
		word += word[1] ? 2 : 1;
	}
	/* What a variable stands for is known to HAProxy alone. */
	server->odd |= line->raw != NULL;
	while (*word) {
		bool opposite = false;
		const struct option_row *row = find_row(*word, &opposite);
		size_t option = row ? (size_t)(row - option_rows) : 0;
		unsigned arguments = row && !opposite ? row->arguments : 0;

		if (!row || (arguments > 0 && !word[1]) || is_tangled(server, option, opposite)) {
			server->odd = true;
			return;
		}
		server->options[option] = opposite ? NULL : arguments > 0 ? word[1] : "";
		word += 1 + arguments;
	}
}

bool plan_server_ip(const char *text, char ret[INET6_ADDRSTRLEN])
{
	char inner[INET6_ADDRSTRLEN];
	uint8_t bytes[sizeof(struct in6_addr)];
	size_t length = strlen(text);
	bool bracketed = length > 2 && text[0] == '[' && text[length - 1] == ']';
	int family;

	length -= bracketed ? 2 : 0;
	if (length >= sizeof(inner))
		return false;
	memcpy(inner, text + (bracketed ? 1 : 0), length);
	inner[length] = '\0';
	family = bracketed || strchr(inner, ':') ? AF_INET6 : AF_INET;
	return inet_pton(family, inner, bytes) == 1 &&
	       inet_ntop(family, bytes, ret, INET6_ADDRSTRLEN);
}

bool plan_server_address(const struct plan_server *server, struct plan_address *ret)
{
	const char *colon = server->address ? strrchr(server->address, ':') : NULL;
	struct plan_address address = {0};
	char text[INET6_ADDRSTRLEN + 2];
	size_t length;
	int64_t port;

	if (!colon || colon[1] < '0' || colon[1] > '9' || text_to_int64(colon + 1, &port) < 0 ||
		port <= 0 || port > UINT16_MAX)
		return false;
	length = (size_t)(colon - server->address);
	if (length == 0 || length >= sizeof(text))
		return false;
	memcpy(text, server->address, length);
	text[length] = '\0';
	if (!plan_server_ip(text, address.ip))
		return false;
	address.port = (uint16_t)port;
	*ret = address;
	return true;
}

bool plan_server_is_same_ip(const char *a, const char *b)
{
	char x[INET6_ADDRSTRLEN], y[INET6_ADDRSTRLEN];

	a = a ? a : "-";
	b = b ? b : "-";
	return streq(a, b) || (plan_server_ip(a, x) && plan_server_ip(b, y) && streq(x, y));
}

int plan_server_weight(const struct plan_server *server)
{
	const char *word = server->options[PLAN_SERVER_WEIGHT];
	int64_t weight = 1;

	if (word && (text_to_int64(word, &weight) < 0 || weight < 0 || weight > WEIGHT_MAX))
		return -1;
	return (int)weight;
}

/* Neither its address nor its port are given: the check goes where the traffic goes, and as it
 * does. */
static bool check_follows(const struct plan_server *server)
{
	return !server->options[PLAN_SERVER_ADDR] && !server->options[PLAN_SERVER_PORT];
}

bool plan_server_check_sends_proxy(const struct plan_server *server)
{
	static const enum plan_option modes[] = {PLAN_SERVER_SEND_PROXY, PLAN_SERVER_SEND_PROXY_V2,
		PLAN_SERVER_SEND_PROXY_V2_SSL, PLAN_SERVER_SEND_PROXY_V2_SSL_CN};
	bool sends = false;

	for (size_t i = 0; i < ELEMENTSOF(modes); i++)
		sends |= server->options[modes[i]] != NULL;
	return server->options[PLAN_SERVER_CHECK_SEND_PROXY] || (sends && check_follows(server));
}

bool plan_server_check_is_tls(const struct plan_server *server)
{
	return server->options[PLAN_SERVER_CHECK_SSL] ||
	       (server->options[PLAN_SERVER_SSL] && check_follows(server));
}

bool plan_server_same_address(const struct plan_server *a, const struct plan_server *b)
{
	struct plan_address x, y;

	if (streq_null(a->address, b->address))
		return true;
	return plan_server_address(a, &x) && plan_server_address(b, &y) && x.port == y.port &&
	       streq(x.ip, y.ip);
}

size_t plan_server_next_difference(
	const struct plan_server *a, const struct plan_server *b, size_t from)
{
	for (size_t i = from; i < ELEMENTSOF(option_rows); i++) {
		if (streq_null(a->options[i], b->options[i]))
			continue;
		if (i == PLAN_SERVER_WEIGHT && plan_server_weight(a) >= 0 &&
			plan_server_weight(a) == plan_server_weight(b))
			continue;
		return i;
	}
	return PLAN_SERVER_N_OPTIONS;
}

static bool has_word(const char *list, const char *wanted)
{
	size_t length = strlen(wanted);

	for (const char *p = list; p; p = strchr(p, ',')) {
		p += *p == ',';
		if (strncmp(p, wanted, length) == 0 && (p[length] == ',' || p[length] == '\0'))
			return true;
	}
	return false;
}

static bool is_addable(const struct option_row *row, const struct haproxy_version *version)
{
	return row->added_since != NEVER &&
	       version->major * 100 + version->minor >= row->added_since;
}

const char *plan_server_cannot_add(const struct plan_server *server,
	const struct haproxy_version *version, const struct plan_capabilities *can)
{
	struct plan_address address;

	if (server->odd)
		return "an option that the agent does not know";
	if (!plan_server_address(server, &address))
		return server->address ? server->address : "no address";
	if (plan_server_weight(server) < 0)
		return "weight";
	for (size_t i = 0; i < ELEMENTSOF(option_rows); i++)
		if (server->options[i] && !is_addable(&option_rows[i], version))
			return option_rows[i].name;
	/* It can come up by itself, or take others' sessions away when it does. */
	if (server->options[PLAN_SERVER_AGENT_CHECK])
		return "agent-check";
	if (server->options[PLAN_SERVER_ON_MARKED_UP])
		return "on-marked-up";
	/* As "proto". */
	if (!can->equal_servers && has_word(server->options[PLAN_SERVER_ALPN], "h2"))
		return "alpn";
	if (can->sni_by_itself && !server->options[PLAN_SERVER_SNI] &&
		(server->options[PLAN_SERVER_SSL] || server->options[PLAN_SERVER_CHECK_SSL]))
		return "ssl";
	return NULL;
}

struct writer {
	struct text text;
	size_t words;
	bool unsayable;
};

static void write_word(struct writer *writer, const char *word)
{
	if (writer->words++ > 0)
		text_append_char(&writer->text, ' ');
	if (!plan_append_word(&writer->text, word))
		writer->unsayable = true;
}

static void write_option(struct writer *writer, size_t option, const char *value)
{
	write_word(writer, option_rows[option].name);
	if (option_rows[option].arguments > 0)
		write_word(writer, value);
}

/* Management guide, "add server": default-server lines do not count; nor do, before 3.0, the
 * built-in defaults of all that is not about checks. Checks take PROXY and TLS over from nothing.
 */
static const char *added_value(
	const struct plan_server *server, const struct plan_capabilities *can, size_t option)
{
	const char *value = server->options[option];

	switch (option) {
	case PLAN_SERVER_DISABLED: /* so it is anyway, until it is made ready */
		return NULL;
	case PLAN_SERVER_CHECK_SEND_PROXY:
		return server->options[PLAN_SERVER_CHECK] && plan_server_check_sends_proxy(server)
			       ? ""
			       : value;
	case PLAN_SERVER_CHECK_SSL:
		return server->options[PLAN_SERVER_CHECK] && plan_server_check_is_tls(server)
			       ? ""
			       : value;
	case PLAN_SERVER_POOL_PURGE_DELAY:
		return value || can->equal_servers ? value : "5s";
	case PLAN_SERVER_POOL_MAX_CONN:
		return value || can->equal_servers ? value : "-1";
	case PLAN_SERVER_ERROR_LIMIT:
		return value || can->equal_servers || !server->options[PLAN_SERVER_OBSERVE] ? value
											    : "10";
	case PLAN_SERVER_ON_ERROR:
		return value || can->equal_servers || !server->options[PLAN_SERVER_OBSERVE]
			       ? value
			       : "fail-check";
	default:
		return value;
	}
}

int plan_server_arguments(
	const struct plan_server *server, const struct plan_capabilities *can, char **ret)
{
	struct writer writer = {0};
	int r;

	write_word(&writer, server->address);
	for (size_t i = 0; i < ELEMENTSOF(option_rows); i++) {
		const char *value = added_value(server, can, i);

		if (value)
			write_option(&writer, i, value);
	}
	if (writer.unsayable || writer.words > ARGUMENTS_MAX) {
		text_done(&writer.text);
		return -EINVAL;
	}
	r = text_finish(&writer.text, ret, NULL);
	return r;
}

char *plan_server_line(const struct plan_server *server)
{
	struct writer writer = {0};
	char *line = NULL;

	if (server->odd)
		return NULL;
	write_word(&writer, "server");
	write_word(&writer, server->name);
	write_word(&writer, server->address);
	for (size_t i = 0; i < ELEMENTSOF(option_rows); i++)
		if (server->options[i])
			write_option(&writer, i, server->options[i]);
	/* A backslash would not mean the same in a configuration. */
	if (writer.unsayable || strchr(text_peek(&writer.text), '\\') ||
		text_finish(&writer.text, &line, NULL) < 0) {
		text_done(&writer.text);
		return NULL;
	}
	return line;
}
