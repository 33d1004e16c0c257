/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What keepalived.c (the life of all), table.c (which there are) and change.c (what a controller asks for) share. Nobody
 * else includes this.
 */

#include <pthread.h>

#include "agent/base/lock.h"
#include "agent/keepalived/keepalived.h"
#include "agent/keepalived/service.h"

#define VRRP_NAME "octavia-keepalived"
#define LVS_NAME "octavia-keepalivedlvs-"

/* VRRP among the ids of listeners. */
#define VRRP_ID ""

struct entry {
	char listener_id[37]; /* "": VRRP */
	struct service *service;
};

/*
 * Locks: "table_lock" guards the table and the references of services and is held for moments; "change_lock" is held
 * while files are replaced. An operation on a service has the service's own.
 */
struct keepalived {
	const struct keepalived_settings *settings;
	char *vrrp_dir, *lvs_dir;
	pthread_mutex_t table_lock, change_lock;
	struct entry *table;
	size_t n_table;
	pthread_t thread;
	bool supervising, stopping; /* atomic: stopping */
	int wake_fd;
};

/* Has the supervising thread look again. */
void keepalived_wake(struct keepalived *k);

/* The service of that listener, with a reference; NULL if there is none. */
struct service *keepalived_take(struct keepalived *k, const char *listener_id);
void keepalived_give_back(struct keepalived *k, struct service *service);
/* All of them, each with a reference; NULL-terminated. */
int keepalived_take_all(struct keepalived *k, struct service ***ret);
void keepalived_give_back_all(struct keepalived *k, struct service **services);
/* The same as keepalived_take(), and makes it if it is new. With "change_lock", or before there are threads. */
int keepalived_ensure(struct keepalived *k, const char *listener_id, struct service **ret, struct error *err);
/* The table's reference goes. */
void keepalived_remove_entry(struct keepalived *k, const char *listener_id);

/* "DIR/NAME.EXTENSION"; NULL without memory. */
char *keepalived_file(const char *dir, const char *name, const char *extension);
char *keepalived_config_file(const struct keepalived *k, const char *listener_id);

/* A mark that a controller stopped it. */
bool keepalived_is_stopped(const struct keepalived *k, const struct service *service);
void keepalived_set_stopped(const struct keepalived *k, const struct service *service, bool stopped);

/* Lets HAProxy listen on a VIP that the partner has. */
void keepalived_prepare_namespace(const struct keepalived *k);
