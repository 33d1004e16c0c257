/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * All that a running agent is made of; handed down from main.c, never global. The members outlive every request.
 */

#include "agent/config.h"
#include "agent/health/monitor.h"
#include "agent/instance/registry.h"
#include "agent/network/network.h"
#include "agent/keepalived/keepalived.h"

struct tls_context; /* api/tls.h */

struct agent {
	struct config *config;
	struct definition_defaults definition_defaults;
	struct instance_settings instance_settings;
	struct template *template;
	struct template *lvs_template;
	struct supervisor *supervisor;
	struct certificate_store *certificates;
	struct registry *registry;
	struct keepalived_settings keepalived_settings;
	struct keepalived *keepalived;
	struct health *health;
	struct network *network;
	struct tls_context *tls; /* main's; NULL where the API is not served with TLS */
	char **config_files;     /* as given on the command line, NULL: the default ones; main's */
	int64_t heartbeat_interval_s; /* as last configured; agent_heartbeat_interval_s() */
	pthread_t look_after_thread;
	bool look_after_joinable;     /* the thread was started; it ends by itself */
	bool looks_after;      /* atomic */
	int64_t look_after_at_ms;
	int fixed_log_level;     /* given on the command line, -1: as configured */
	int base_fd; /* base_path */
	int lock_fd; /* held as long as we live */
};

/* Reads the files, or the default ones if "files" is NULL, and checks them. */
int agent_read_config(char *const *files, struct config **ret, struct error *err);

/* Takes the configuration (also on failure); "config_files" stays the caller's, -1 leaves the log level to the
 * configuration. Adopts every HAProxy that runs, brings all to what is stored and starts the health thread. */
int agent_new(struct config *config, char **config_files, int fixed_log_level, struct agent **ret, struct error *err);

/* Reads the configuration files again and takes over what can change while running: heartbeats and the log level. With
 * "replacement", a new content of the controller's file (the one called amphora-agent.conf, or the last) counts
 * instead of what is on disk; it is written, 0600, when it was found to be good. On failure everything stays. */
int agent_reconfigure(struct agent *agent, const char *replacement, size_t length, struct error *err);

/* Has what failed at the start tried again, and what is to be done every few seconds (instance_look_after()), on a thread of
 * its own: it may take long. Called from the main loop every few seconds. */
void agent_look_after(struct agent *agent);

/* What health_snapshot() needs to know of a load balancer; health_target_done(). */
int agent_health_target(struct instance *instance, struct health_target *ret);

int64_t agent_heartbeat_interval_s(const struct agent *agent);

/* Ends the agent; HAProxy goes on. */
void agent_free(struct agent *agent);
DEFINE_CLEANUP(struct agent *, agent_free);

/* Stops the agent that runs with this configuration, if one does, and every HAProxy. Takes the configuration. */
int agent_stop_all(struct config *config, struct error *err);
