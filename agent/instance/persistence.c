/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/instance/internal.h"

#include <string.h>

#include "agent/base/log.h"
#include "agent/base/text.h"
#include "agent/haproxy/tables.h"

/* Carries stick tables over a reload (tables.h). Not essential: without them clients are spread anew. */

static int read_table(struct instance *instance, const char *name, struct saved_table *ret)
{
	_cleanup_free_ char *command = NULL, *dump = NULL;
	int r;

	if (asprintf(&command, "show table %s", name) < 0)
		return -ENOMEM;
	r = runtime_command(instance->stats_socket, command, RUNTIME_TIMEOUT_MS, &dump, NULL, NULL);
	if (r < 0)
		return r;
	ret->name = strdup(name);
	if (!ret->name)
		return -ENOMEM;
	ret->dump = TAKE_PTR(dump);
	return 0;
}

void instance_save_tables(struct instance *instance, struct saved_tables *ret)
{
	_cleanup_free_ char *list = NULL;
	_cleanup_strv_ char **names = NULL;
	int r;

	r = runtime_command(instance->stats_socket, "show table", RUNTIME_TIMEOUT_MS, &list, NULL, NULL);
	if (r == 0)
		r = tables_with_entries(list, &names);
	if (r == 0 && !names[0])
		return;
	if (r == 0)
		r = runtime_command(instance->stats_socket, "show servers state", RUNTIME_TIMEOUT_MS, &ret->state,
			NULL, NULL);
	if (r == 0) {
		ret->tables = calloc(strv_length(names), sizeof(*ret->tables));
		r = ret->tables ? 0 : -ENOMEM;
	}
	STRV_FOREACH(name, names) {
		if (r == 0)
			r = read_table(instance, *name, &ret->tables[ret->n]);
		if (r == 0)
			ret->n++;
	}
	if (r < 0)
		log_lb(LOG_WARNING, instance->id, "persistence of clients is not carried over the reload: %s",
			strerror(-r));
}

/* "set table" answers nothing but a complaint. */
static int tell(struct instance *instance, char *const *commands)
{
	STRV_FOREACH(command, commands) {
		_cleanup_free_ char *reply = NULL;
		int r;

		r = runtime_command(instance->stats_socket, *command, RUNTIME_TIMEOUT_MS, &reply, NULL, NULL);
		if (r < 0)
			return r;
		if (strspn(reply, "\n") != strlen(reply))
			return -EPROTO;
	}
	return 0;
}

void instance_restore_tables(struct instance *instance, const struct saved_tables *saved)
{
	_cleanup_free_ char *state = NULL;
	size_t total = 0;
	int r;

	if (saved->n == 0)
		return;
	r = runtime_command(
		instance->stats_socket, "show servers state", RUNTIME_TIMEOUT_MS, &state, NULL, NULL);
	for (size_t i = 0; r == 0 && i < saved->n; i++) {
		_cleanup_strv_ char **commands = NULL;
		size_t entries = 0;

		r = tables_commands(
			saved->tables[i].name, saved->tables[i].dump, saved->state, state, &commands, &entries);
		if (r == 0)
			r = tell(instance, commands);
		total += entries;
	}
	if (r < 0)
		log_lb(LOG_WARNING, instance->id, "persistence of clients was lost in the reload: %s", strerror(-r));
	else
		log_lb(LOG_DEBUG, instance->id, "%zu persistent clients carried over the reload", total);
}

void saved_tables_done(struct saved_tables *saved)
{
	for (size_t i = 0; i < saved->n; i++) {
		free(saved->tables[i].name);
		free(saved->tables[i].dump);
	}
	free(saved->tables);
	free(saved->state);
	*saved = SAVED_TABLES_INIT;
}
