/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/render/haproxy.h"

#include <string.h>

#include "agent/base/text.h"
#include "agent/render/haproxy-internal.h"

enum {
	HAPROXY_MAX_MAXCONN = 1000000, /* octavia/common/constants.py */
};

/* The sum of what the listeners may hold, as Octavia sets it. */
static int64_t global_connection_limit(const struct render *render)
{
	int64_t sum = 0;

	for (size_t i = 0; i < render->lb->n_listeners; i++)
		if (render_listener_runs(render, &render->lb->listeners[i]))
			sum += render_connection_limit(render, &render->lb->listeners[i]);
	return sum > 0 && sum < HAPROXY_MAX_MAXCONN ? sum : HAPROXY_MAX_MAXCONN;
}

static void put_log(const struct render_settings *settings, struct view *view)
{
	bool logs = settings->log_target && settings->log_target[0];
	_cleanup_view_ struct view log = view_object();
	char user[16], administrative[16];

	view_put_flag(view, "log_connections", logs && settings->connection_logging);
	if (!logs) {
		view_put_absent(view, "log");
		return;
	}
	snprintf(user, sizeof(user), "local%d", (int)settings->user_log_facility);
	snprintf(administrative, sizeof(administrative), "local%d", (int)settings->administrative_log_facility);
	view_put_quoted(&log, "log_target", settings->log_target);
	view_put_own(&log, "user_facility", user);
	view_put_own(&log, "administrative_facility", administrative);
	view_put_view(view, "log", &log);
}

static void put_stats_page(const struct render *render, struct view *view)
{
	const struct stats_page *page = render->lb->admin_state_up ? render->lb->stats_page : NULL;
	_cleanup_view_ struct view stats = view_object(), user = view_object();

	if (!page) {
		view_put_absent(view, "stats_page");
		return;
	}
	view_put_quoted(&stats, "stats_address", page->address ? page->address : render_vip(render));
	view_put_integer(&stats, "stats_port", page->port);
	view_put_quoted(&stats, "stats_uri", page->uri);
	view_put_quoted(&user, "username", page->username);
	view_put_quoted(&user, "password_hash", page->password_hash);
	if (page->username)
		view_put_view(&stats, "stats_user", &user);
	else
		view_put_absent(&stats, "stats_user");
	view_put_view(view, "stats_page", &stats);
}

static int make_view(struct render *render, json_t **ret, struct error *err)
{
	_cleanup_view_ struct view view = view_object(), frontends = view_list();
	int r;

	for (size_t i = 0; i < render->lb->n_listeners; i++) {
		if (!render_listener_runs(render, &render->lb->listeners[i]))
			continue;
		r = render_frontend(render, &render->lb->listeners[i], &frontends, err);
		if (r < 0)
			return r;
	}
	view_put_own(&view, "load_balancer", render->lb->id);
	view_put_own(&view, "state_file", RENDER_STATE_FILE);
	view_put_integer(&view, "global_max_connections", global_connection_limit(render));
	view_put_flag(&view, "external_check", render->external_check);
	put_log(render->settings, &view);
	put_stats_page(render, &view);
	view_put_view(&view, "frontends", &frontends);
	return view_take(&view, ret);
}

int render_haproxy(const struct template *template, const struct load_balancer *lb,
	const struct render_settings *settings, struct rendered *ret, struct error *err)
{
	_cleanup_rendered_ struct rendered rendered = RENDERED_INIT;
	_cleanup_files_ struct files files = {0};
	struct render render = {.lb = lb, .settings = settings, .files = &files};
	_cleanup_error_ struct error problem = ERROR_INIT;
	json_auto_t *view = NULL;
	int r;

	r = files_init(&files);
	if (r == 0)
		r = make_view(&render, &view, &problem);
	if (r < 0 && problem.message)
		return error_set(err, problem.code, problem.pointer, "%s", problem.message);
	if (r < 0)
		return error_set_errno(err, r, "rendering");
	r = template_render(template, view, &rendered.text, &rendered.length, err);
	if (r < 0)
		return r;
	files_take(&files, &rendered);
	*ret = rendered;
	rendered = RENDERED_INIT;
	return 0;
}

void rendered_done(struct rendered *rendered)
{
	for (size_t i = 0; i < rendered->n_files; i++)
		rendered_file_done(&rendered->files[i]);
	free(rendered->files);
	free(rendered->text);
	*rendered = RENDERED_INIT;
}

void rendered_file_done(struct rendered_file *file)
{
	if (file->content)
		explicit_bzero(file->content, strlen(file->content));
	free(file->name);
	free(file->content);
}
