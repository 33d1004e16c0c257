/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/options.h"
#include "api/server.h"
#include "api/tls.h"

/* amphorad: options, wiring, event loop. */

enum {
	ARENAS = 2,
	STOP_GRACE_MS = 10000,
	STATUS_INTERVAL_US = 5 * 1000 * 1000,
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
	sd_event *event;
	sd_event_source *status_timer;
	uint64_t watchdog_us; /* 0: systemd does not watch us */
	char status[128];
};

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	(void)userdata;
	log_notice("stopping on signal %d; HAProxy goes on", (int)info->ssi_signo);
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

/* SIGHUP: what can change without a restart. */
static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	struct daemon *daemon = userdata;
	_cleanup_error_ struct error problem = ERROR_INIT;

	(void)source;
	(void)info;
	if (daemon->tls && tls_context_reload_certificate(daemon->tls, &problem) < 0) {
		log_error("the server certificate is left as it was: %s", error_message(&problem));
		error_done(&problem);
	}
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)process_now_ms() * 1000);
	if (agent_reconfigure(daemon->agent, NULL, 0, &problem) < 0)
		log_error("the configuration is left as it was: %s%s%s", problem.pointer ? problem.pointer : "",
			problem.pointer ? ": " : "", error_message(&problem));
	sd_notify(0, "READY=1");
	return 0;
}

static int on_supervisor(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct daemon *daemon = userdata;

	(void)source;
	(void)fd;
	(void)events;
	daemon->agent->supervisor->operations->dispatch(daemon->agent->supervisor);
	return 0;
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
		sd_notify(0, status);
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
		sd_notify(0, "WATCHDOG=1");
}

/* Tells systemd how we are, twice a watchdog period at least. */
/* The time that it was due at, which sd-event gives, is no time to count from: it begins with 0. */
static int on_status(sd_event_source *source, uint64_t due_us _unused_, void *userdata)
{
	struct daemon *daemon = userdata;
	uint64_t interval = STATUS_INTERVAL_US, now_us;
	int r;

	if (daemon->watchdog_us > 0) {
		if (daemon->watchdog_us / 2 < interval)
			interval = daemon->watchdog_us / 2;
		serve_watchdog(daemon);
	}
	notify_status(daemon);
	agent_look_after(daemon->agent);
	r = sd_event_now(daemon->event, CLOCK_MONOTONIC, &now_us);
	if (r >= 0)
		r = sd_event_source_set_time(source, now_us + interval);
	if (r < 0)
		return r;
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

typedef int (*address_function)(
	struct daemon *daemon, const char *text, const struct listen_address *address, struct error *err);

/* The items of the option "listen". "function" may be NULL: they are only checked. */
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

		if (r == 0 && function)
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
	n_fds = sd_listen_fds(1);
	for (int i = 0; i < n_fds; i++) {
		r = server_listen_fd(daemon->server, SD_LISTEN_FDS_START + i, err);
		if (r < 0)
			return r;
	}
	r = for_each_address(config, listen_on, daemon, err);
	return r == 0 && daemon->tls ? listen_for_controllers(daemon, err) : r;
}

/* Signals are blocked before any thread exists, so that all threads inherit that. */
static void block_signals(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static int start_loop(struct daemon *daemon, struct error *err)
{
	const struct supervisor_operations *operations = daemon->agent->supervisor->operations;
	int r;

	r = sd_event_new(&daemon->event);
	if (r >= 0)
		r = sd_event_add_signal(daemon->event, NULL, SIGTERM, on_stop, daemon);
	if (r >= 0)
		r = sd_event_add_signal(daemon->event, NULL, SIGINT, on_stop, daemon);
	if (r >= 0)
		r = sd_event_add_signal(daemon->event, NULL, SIGHUP, on_reload, daemon);
	if (r >= 0)
		r = sd_event_add_io(daemon->event, NULL, operations->fd(daemon->agent->supervisor), EPOLLIN,
			on_supervisor, daemon);
	if (r >= 0)
		r = sd_event_add_time(
			daemon->event, &daemon->status_timer, CLOCK_MONOTONIC, 0, 0, on_status, daemon);
	return r < 0 ? error_set_errno(err, r, "event loop") : 0;
}

static int run(struct daemon *daemon, struct config *config, struct error *err)
{
	int r;

	block_signals();
	/* Threads take turns with few arenas: what one has freed serves the next (mallopt(3)). */
	mallopt(M_ARENA_MAX, ARENAS);
	/* A change of a large definition frees a hundred thousand small pieces. Put aside as "fast" ones they are merged one
	 * after the other whenever something large is allocated, again and again; merged when they are freed it is done once. */
	mallopt(M_MXFAST, 0);
	/* Before any HAProxy is started: a mistake here must have no effect. */
	r = for_each_address(config, NULL, NULL, err);
	if (r == 0)
		r = open_tls(daemon, config, err);
	if (r < 0) {
		config_free(config);
		return r;
	}
	r = agent_new(config, daemon->options.config_files, daemon->options.level, &daemon->agent, err);
	if (r == 0) {
		daemon->agent->tls = daemon->tls;
		r = start_server(daemon, err);
	}
	if (r == 0)
		r = start_loop(daemon, err);
	if (r < 0)
		return r;
	if (sd_watchdog_enabled(0, &daemon->watchdog_us) <= 0)
		daemon->watchdog_us = 0;
	log_notice("amphorad " PACKAGE_VERSION " is ready, HAProxy %s", daemon->agent->instance_settings.version.text);
	sd_notify(0, "READY=1");
	r = sd_event_loop(daemon->event);
	sd_notify(0, "STOPPING=1");
	return r < 0 ? error_set_errno(err, r, "event loop") : 0;
}

static void daemon_done(struct daemon *daemon)
{
	if (daemon->server)
		server_stop(daemon->server, STOP_GRACE_MS);
	sd_event_source_unref(daemon->status_timer);
	sd_event_unref(daemon->event);
	server_free(daemon->server);
	tls_context_free(daemon->tls);
	agent_free(daemon->agent);
	options_done(&daemon->options);
}

int main(int argc, char **argv)
{
	struct daemon daemon = {0};
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
			r = for_each_address(config, NULL, NULL, &problem);
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
