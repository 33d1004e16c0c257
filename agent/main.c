/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h> /* SD_LISTEN_FDS_START */
#include <unistd.h>

#include "agent/agent.h"
#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/base/service.h"
#include "agent/base/text.h"
#include "agent/options.h"
#include "api/server.h"
#include "api/tls.h"

/* amphorad: options, wiring, event loop. */

enum {
	ARENAS = 2,
	STOP_GRACE_MS = 10000,
	STATUS_INTERVAL_MS = 5000,
	IDLE_TIMEOUT_S = 60,
	MAX_BODY_MEMORY = 32 * 1024 * 1024,
	MAX_BODY_FILES = 256 * 1024 * 1024,
	HEALTH_STUCK_MS = 120000, /* a round asks every HAProxy, 2 s each at worst */
};

struct daemon {
	struct options options;
	struct agent *agent;
	struct tls_context *tls; /* NULL: the API is not served with TLS */
	struct server *server;
	int signal_fd;
	bool stopping;
	int64_t status_at_ms;
	int64_t watchdog_ms; /* 0: systemd does not watch us */
	char status[128];
};

/* What can change without a restart. */
static void reload(struct daemon *daemon)
{
	_cleanup_error_ struct error problem = ERROR_INIT;

	if (daemon->tls && tls_context_reload_certificate(daemon->tls, &problem) < 0) {
		log_error("the server certificate is left as it was: %s", error_message(&problem));
		error_done(&problem);
	}
	service_notify("RELOADING=1\nMONOTONIC_USEC=%lld", (long long)process_now_ms() * 1000);
	if (agent_reconfigure(daemon->agent, NULL, 0, &problem) < 0)
		log_error("the configuration is left as it was: %s%s%s", problem.pointer ? problem.pointer : "",
			problem.pointer ? ": " : "", error_message(&problem));
	service_notify("READY=1");
}

static void on_signal(struct daemon *daemon)
{
	struct signalfd_siginfo info;

	if (read(daemon->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP) {
		reload(daemon);
		return;
	}
	log_notice("stopping on signal %u; HAProxy goes on", info.ssi_signo);
	daemon->stopping = true;
}

/* Tells systemd whether some load balancer is in trouble. */
static void notify_status(struct daemon *daemon)
{
	_cleanup_(registry_list_freep) struct instance **instances = NULL;
	size_t n = 0, troubled = 0;
	char status[128];

	if (registry_list(daemon->agent->registry, &instances) < 0)
		return;
	for (; instances[n]; n++) {
		_cleanup_free_ char *trouble = instance_trouble(instances[n]);

		troubled += trouble != NULL;
	}
	snprintf(status, sizeof(status), "STATUS=%zu load balancer%s%s", n, n == 1 ? "" : "s",
		troubled ? ", some of them in trouble: see the log" : "");
	if (!streq(status, daemon->status)) {
		memcpy(daemon->status, status, sizeof(status));
		service_notify("%s", status);
	}
}

static bool health_is_stuck(const struct daemon *daemon)
{
	int64_t interval_ms = agent_heartbeat_interval_s(daemon->agent) * 1000;

	return process_now_ms() - health_last_round_ms(daemon->agent->health) > interval_ms + HEALTH_STUCK_MS;
}

/* Not while something of ours hangs: systemd starts us anew then. */
static void serve_watchdog(struct daemon *daemon)
{
	const char *stuck = health_is_stuck(daemon) ? "the health thread does not"
		: server_hangs(daemon->server)      ? "the threads that handle requests do not"
						    : NULL;

	if (stuck)
		log_error("%s go on: the watchdog is not served", stuck);
	else
		service_notify("WATCHDOG=1");
}

/* Tells systemd how we are, twice a watchdog period at least. */
static void on_status(struct daemon *daemon)
{
	int64_t interval_ms = STATUS_INTERVAL_MS;

	if (daemon->watchdog_ms > 0) {
		if (daemon->watchdog_ms / 2 < interval_ms)
			interval_ms = daemon->watchdog_ms / 2;
		serve_watchdog(daemon);
	}
	notify_status(daemon);
	agent_look_after(daemon->agent);
	daemon->status_at_ms = process_now_ms() + interval_ms;
}

typedef int (*address_function)(
	struct daemon *daemon, const char *text, const struct listen_address *address, struct error *err);

/* The items of the option "listen". */
static int for_each_address(
	const struct config *config, address_function function, struct daemon *daemon, struct error *err)
{
	_cleanup_strv_ char **addresses = NULL;

	if (text_split(config->listen, ',', &addresses) < 0)
		return error_set_errno(err, -ENOMEM, "listen");
	if (!addresses[0])
		return error_set(err, ERROR_INVALID, NULL, "[amphorad] listen names no address");
	STRV_FOREACH(text, addresses) {
		struct listen_address address = {0};
		int r = listen_address_parse(*text, &address, err);

		if (r == 0)
			r = function(daemon, *text, &address, err);
		listen_address_done(&address);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Unless a socket unit of systemd holds it already. */
static int listen_on(struct daemon *daemon, const char *text, const struct listen_address *address, struct error *err)
{
	const char *served;

	for (size_t i = 0; (served = server_address(daemon->server, i)); i++)
		if (streq(served, text))
			return 0;
	return server_listen(daemon->server, address, err);
}

/* The door of the Amphora API: bind_host and bind_port, with mutual TLS. */
static int listen_for_controllers(struct daemon *daemon, struct error *err)
{
	const struct config *config = daemon->agent->config;
	bool is_ipv6 = strchr(config->bind_host, ':') != NULL;
	struct listen_address address = {0};
	_cleanup_free_ char *text = NULL;
	int r;

	if (asprintf(&text, "https://%s%s%s:%lld", is_ipv6 ? "[" : "", config->bind_host, is_ipv6 ? "]" : "",
		    (long long)config->bind_port) < 0)
		return error_set_errno(err, -ENOMEM, "bind_host");
	r = listen_address_parse(text, &address, err);
	if (r == 0)
		r = server_listen(daemon->server, &address, err);
	listen_address_done(&address);
	return r < 0 ? error_wrap(err, r, "[haproxy_amphora] bind_host, bind_port") : 0;
}

static int open_tls(struct daemon *daemon, const struct config *config, struct error *err)
{
	const struct tls_options options = {
		config->agent_server_cert, config->agent_server_ca, config->agent_tls_protocol};

	return config->agent_server_cert[0] ? tls_context_new(&options, &daemon->tls, err) : 0;
}

/* HTTPS without a certificate is found out before anything is started. */
static int check_address(struct daemon *daemon, const char *text, const struct listen_address *address, struct error *err)
{
	if (address->kind == LISTEN_HTTPS && !daemon->tls)
		return error_set(err, ERROR_INVALID, NULL,
			"[amphorad] listen: %s needs agent_server_cert and agent_server_ca in [amphora_agent]", text);
	return 0;
}

/* What a configuration needs beside its own rules: files with certificates, and addresses that can be served. */
static int check_doors(struct daemon *daemon, const struct config *config, struct error *err)
{
	int r = open_tls(daemon, config, err);

	return r == 0 ? for_each_address(config, check_address, daemon, err) : r;
}

static int start_server(struct daemon *daemon, struct error *err)
{
	const struct config *config = daemon->agent->config;
	struct server_options options = {
		.routes = routes,
		.agent = daemon->agent,
		.workers = (unsigned)config->worker_threads,
		.max_connections = (unsigned)config->max_connections,
		.idle_timeout_s = IDLE_TIMEOUT_S,
		.max_body_memory = MAX_BODY_MEMORY,
		.spool_dir = config->base_path,
		.max_body_files = MAX_BODY_FILES,
		.socket_group = config->socket_group[0] ? config->socket_group : NULL,
		.tls = daemon->tls,
	};
	int n_fds, r;

	r = server_new(&options, &daemon->server, err);
	if (r < 0)
		return r;
	n_fds = service_listen_fds();
	for (int i = 0; i < n_fds; i++) {
		r = server_listen_fd(daemon->server, SD_LISTEN_FDS_START + i, err);
		if (r < 0)
			return r;
	}
	r = for_each_address(config, listen_on, daemon, err);
	return r == 0 && daemon->tls ? listen_for_controllers(daemon, err) : r;
}

/* Blocked before any thread exists, so that all threads inherit that; read by the main loop. */
static int block_signals(struct daemon *daemon)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	daemon->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	return daemon->signal_fd < 0 ? -errno : 0;
}

/* Signals, the supervisor's processes and what is due every few seconds; all else has threads of its own. */
static int run_loop(struct daemon *daemon)
{
	struct supervisor *supervisor = daemon->agent->supervisor;
	struct pollfd fds[] = {
		{.fd = daemon->signal_fd, .events = POLLIN},
		{.fd = supervisor->operations->fd(supervisor), .events = POLLIN},
	};

	while (!daemon->stopping) {
		int64_t left_ms = daemon->status_at_ms - process_now_ms();

		if (left_ms <= 0) {
			on_status(daemon);
			continue;
		}
		if (poll(fds, ELEMENTSOF(fds), (int)left_ms) < 0) {
			if (errno != EINTR)
				return -errno;
			continue;
		}
		if (fds[0].revents)
			on_signal(daemon);
		if (fds[1].revents)
			supervisor->operations->dispatch(supervisor);
	}
	return 0;
}

static int run(struct daemon *daemon, struct config *config, struct error *err)
{
	int r;

	r = block_signals(daemon);
	if (r < 0) {
		config_free(config);
		return error_set_errno(err, r, "signals");
	}
	/* Threads take turns with few arenas: what one has freed serves the next (mallopt(3)). */
	mallopt(M_ARENA_MAX, ARENAS);
	/* A change of a large definition frees a hundred thousand small pieces. Put aside as "fast" ones they are merged one
	 * after the other whenever something large is allocated, again and again; merged when they are freed it is done once. */
	mallopt(M_MXFAST, 0);
	/* Before any HAProxy is started: a mistake here must have no effect. */
	r = check_doors(daemon, config, err);
	if (r < 0) {
		config_free(config);
		return r;
	}
	r = agent_new(config, daemon->options.config_files, daemon->options.level, &daemon->agent, err);
	if (r == 0) {
		daemon->agent->tls = daemon->tls;
		r = start_server(daemon, err);
	}
	if (r < 0)
		return r;
	daemon->watchdog_ms = (int64_t)(service_watchdog_us() / 1000);
	log_notice("amphorad " PACKAGE_VERSION " is ready, HAProxy %s", daemon->agent->instance_settings.version.text);
	service_notify("READY=1");
	r = run_loop(daemon);
	service_notify("STOPPING=1");
	return r < 0 ? error_set_errno(err, r, "event loop") : 0;
}

static void daemon_done(struct daemon *daemon)
{
	if (daemon->server)
		server_stop(daemon->server, STOP_GRACE_MS);
	server_free(daemon->server);
	tls_context_free(daemon->tls);
	agent_free(daemon->agent);
	options_done(&daemon->options);
	close_keep_errno(daemon->signal_fd);
}

int main(int argc, char **argv)
{
	struct daemon daemon = {.signal_fd = -1};
	_cleanup_error_ struct error problem = ERROR_INIT;
	struct config *config = NULL;
	int r;

	switch (options_parse(argc, argv, &daemon.options)) {
	case OPTIONS_DONE:
		return EXIT_SUCCESS;
	case OPTIONS_WRONG:
		return 2;
	case OPTIONS_RUN:
		break;
	}
	log_open(daemon.options.target);
	r = agent_read_config(daemon.options.config_files, &config, &problem);
	if (r == 0) {
		log_set_level(daemon.options.level >= 0 ? daemon.options.level : config->debug ? LOG_DEBUG : LOG_INFO);
		if (daemon.options.check_config) {
			r = check_doors(&daemon, config, &problem);
			config_free(config);
		} else if (daemon.options.stop_all) {
			r = agent_stop_all(config, &problem);
		} else {
			r = run(&daemon, config, &problem);
		}
	}
	if (r < 0)
		log_error("%s%s%s", problem.pointer ? problem.pointer : "", problem.pointer ? ": " : "",
			error_message(&problem));
	daemon_done(&daemon);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
