/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/instance/lvs.h"

#include <string.h>

#include "agent/base/log.h"
#include "agent/base/text.h"
#include "agent/instance/instance.h"
#include "agent/keepalived/keepalived.h"
#include "agent/keepalived/lvs_config.h"
#include "agent/render/keepalived.h"

void lvs_change_done(struct lvs_change *change)
{
	for (size_t i = 0; i < change->n; i++) {
		free(change->items[i].wanted);
		free(change->items[i].before);
	}
	free(change->items);
	*change = LVS_CHANGE_INIT;
}

static struct lvs_item *add_item(struct lvs_change *change, const char *id)
{
	struct lvs_item *grown = reallocarray(change->items, change->n + 1, sizeof(*grown));

	if (!grown)
		return NULL;
	change->items = grown;
	grown[change->n] = (struct lvs_item){.wanted = NULL};
	snprintf(grown[change->n].id, sizeof(grown[change->n].id), "%s", id);
	return &grown[change->n++];
}

/* What stands in its file, and that it is not another's. */
static int read_before(struct instance *instance, struct lvs_item *item, struct error *err)
{
	_cleanup_lvs_config_ struct lvs_config config = LVS_CONFIG_INIT;
	int r;

	r = keepalived_read_lvs(instance->settings->keepalived, item->id, &item->before, &item->before_length);
	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = lvs_config_parse(item->before, item->before_length, &config);
	if (r < 0)
		return error_set_errno(err, r, "listener %s", item->id);
	if (!config.rendered || !streq(config.lb_id, instance->id))
		return error_set(err, ERROR_CONFLICT, NULL, "listener %s is configured already, %s", item->id,
			config.rendered ? "by another load balancer" : "by a controller");
	return 0;
}

static int add_wanted(struct instance *instance, const struct load_balancer *lb, const struct listener *listener,
	struct lvs_change *change, struct error *err)
{
	const struct instance_settings *settings = instance->settings;
	struct lvs_item *item;
	int r;

	if (!settings->keepalived)
		return error_set(err, ERROR_UNSUPPORTED, NULL, "listeners of UDP and SCTP are not served here");
	item = add_item(change, listener->id);
	if (!item)
		return error_set_errno(err, -ENOMEM, "listener %s", listener->id);
	r = read_before(instance, item, err);
	return r < 0 ? r
		     : render_lvs(settings->lvs_template, lb, listener, &settings->render_lvs, &item->wanted,
			       &item->wanted_length, err);
}

static bool has_item(const struct lvs_change *change, const char *id)
{
	for (size_t i = 0; i < change->n; i++)
		if (streq(change->items[i].id, id))
			return true;
	return false;
}

/* Files of ours that nobody wants: of listeners that go, or that an interrupted deletion left. */
static int add_unwanted(struct instance *instance, struct lvs_change *change, struct error *err)
{
	struct keepalived *keepalived = instance->settings->keepalived;
	struct keepalived_listener *listeners = NULL;
	size_t n = 0;
	int r;

	r = keepalived_list_lvs(keepalived, &listeners, &n);
	for (size_t i = 0; r == 0 && i < n; i++) {
		_cleanup_lvs_config_ struct lvs_config config = LVS_CONFIG_INIT;
		_cleanup_free_ char *text = NULL;
		struct lvs_item *item;
		size_t length;

		if (has_item(change, listeners[i].id) ||
			keepalived_read_lvs(keepalived, listeners[i].id, &text, &length) < 0)
			continue;
		r = lvs_config_parse(text, length, &config);
		if (r < 0 || !config.rendered || !streq(config.lb_id, instance->id))
			continue;
		item = add_item(change, listeners[i].id);
		if (item) {
			item->before = TAKE_PTR(text);
			item->before_length = length;
		} else {
			r = -ENOMEM;
		}
	}
	keepalived_listeners_free(listeners, n);
	return r < 0 ? error_set_errno(err, r, "listeners of UDP and SCTP") : 0;
}

static bool is_same(const struct lvs_item *item)
{
	return item->wanted && item->before && item->wanted_length == item->before_length &&
		memcmp(item->wanted, item->before, item->wanted_length) == 0;
}

static void remove_same(struct lvs_change *change)
{
	size_t n = 0;

	for (size_t i = 0; i < change->n; i++) {
		if (!is_same(&change->items[i])) {
			change->items[n++] = change->items[i];
			continue;
		}
		free(change->items[i].wanted);
		free(change->items[i].before);
	}
	change->n = n;
}

int instance_lvs_prepare(struct instance *instance, const struct load_balancer *lb, bool all, struct lvs_change *ret,
	struct error *err)
{
	_cleanup_lvs_change_ struct lvs_change change = LVS_CHANGE_INIT;
	int r = 0;

	for (size_t i = 0; r == 0 && lb && i < lb->n_listeners; i++)
		if (render_lvs_runs(lb, &lb->listeners[i]))
			r = add_wanted(instance, lb, &lb->listeners[i], &change, err);
	if (r == 0 && instance->settings->keepalived)
		r = add_unwanted(instance, &change, err);
	if (r < 0)
		return r;
	if (!all)
		remove_same(&change);
	*ret = change;
	change = LVS_CHANGE_INIT;
	return 0;
}

int instance_lvs_check(struct instance *instance, const struct lvs_change *change, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < change->n; i++)
		if (change->items[i].wanted && !is_same(&change->items[i])) {
			r = keepalived_check_lvs(instance->settings->keepalived, change->items[i].id,
				change->items[i].wanted, change->items[i].wanted_length, err);
			if (r < 0)
				error_wrap(err, r, "listener %s", change->items[i].id);
		}
	return r;
}

/* Has keepalived run this text, or not run at all (NULL). */
static int bring_to(struct instance *instance, const char *id, const char *text, size_t length, bool published,
	bool *ret_started, struct error *err)
{
	struct keepalived *keepalived = instance->settings->keepalived;
	enum keepalived_action done = KEEPALIVED_RELOAD;
	int r;

	if (!text)
		return keepalived_remove_lvs(keepalived, id, err);
	r = published ? 0 : keepalived_put_lvs(keepalived, id, text, length, err);
	if (r == 0)
		r = keepalived_control_lvs(
			keepalived, id, published ? KEEPALIVED_START : KEEPALIVED_RELOAD, &done, err);
	*ret_started = done == KEEPALIVED_START;
	return r;
}

void instance_lvs_undo(struct instance *instance, struct lvs_change *change)
{
	while (change->done > 0) {
		const struct lvs_item *item = &change->items[--change->done];
		_cleanup_error_ struct error problem = ERROR_INIT;
		bool started;

		if (is_same(item))
			continue;
		if (bring_to(instance, item->id, item->before, item->before_length, false, &started, &problem) < 0)
			log_lb(LOG_ERR, instance->id, "listener %s could not be brought back to what it was: %s", item->id,
				error_message(&problem));
	}
}

int instance_lvs_apply(struct instance *instance, struct lvs_change *change, struct error *err)
{
	while (change->done < change->n) {
		const struct lvs_item *item = &change->items[change->done++];
		bool started = false;
		int r = bring_to(instance, item->id, item->wanted, item->wanted_length, is_same(item), &started, err);

		if (r < 0) {
			error_wrap(err, r, "listener %s", item->id);
			instance_lvs_undo(instance, change);
			return r;
		}
		change->started = change->started || (started && !is_same(item));
	}
	return 0;
}
