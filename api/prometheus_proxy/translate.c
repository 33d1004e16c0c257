/* SPDX-License-Identifier: Apache-2.0 */
#include "api/prometheus_proxy/translate.h"

#include <string.h>

#include "api/prometheus_proxy/metrics.h"

/* The proxy inside HAProxy through which its exporter is reached. Nobody asked for it. */
#define OWN_PROXY "prometheus-exporter"

static const char help_prefix[] = "# HELP ", type_prefix[] = "# TYPE ";

/* Labels by the beginning of a metric's name. */
static const struct label_rule {
	const char *prefix;
	struct {
		const char *from, *to;
	} labels[2];
} label_rules[] = {
	{"haproxy_frontend_", {{"proxy=", "listener="}}},
	{"haproxy_backend_", {{"proxy=", "pool="}}},
	{"haproxy_server_", {{"proxy=", "pool="}, {"server=", "member="}}},
};

/* Metrics of our own that HAProxy may not have shown. */
static const struct own_metric {
	const char *target, *type, *help;
} own_metrics[] = {
	{"octavia_listener_status", "gauge", "Whether the listener takes connections."},
	{"octavia_listener_current_sessions", "gauge", "Connections that are open now."},
	{"octavia_listener_sessions_total", "counter", "Connections since the listener was started."},
	{"octavia_listener_connections_total", "counter", "Connections since the listener was started."},
	{"octavia_listener_bytes_in_total", "counter", "Bytes from clients since the listener was started."},
	{"octavia_listener_bytes_out_total", "counter", "Bytes to clients since the listener was started."},
	{"octavia_pool_status", "gauge", "Current status of the pool."},
	{"octavia_pool_active_members", "gauge", "Members that are up and have a weight."},
	{"octavia_member_status", "gauge", "Current status of the member."},
	{"octavia_member_weight", "gauge", "Member weight."},
	{"octavia_member_current_sessions", "gauge", "Connections that are open now."},
	{"octavia_member_sessions_total", "counter", "Connections since the member became up."},
	{"octavia_member_bytes_in_total", "counter", "Bytes from clients since the member became up."},
	{"octavia_member_bytes_out_total", "counter", "Bytes to clients since the member became up."},
};

void extra_samples_done(struct extra_samples *extra)
{
	for (size_t i = 0; i < extra->n; i++)
		free(extra->items[i].text);
	free(extra->items);
	*extra = (struct extra_samples){0};
}

int translation_init(struct translation *t, const struct extra_samples *extra)
{
	*t = (struct translation){.extra = extra};
	t->written = calloc(extra ? extra->n + 1 : 1, sizeof(*t->written));
	return t->written ? 0 : -ENOMEM;
}

void translation_done(struct translation *t)
{
	text_done(&t->line);
	free(t->written);
	*t = (struct translation){0};
}

static void write_extra(struct translation *t, const char *target, struct text *out)
{
	for (size_t i = 0; t->extra && i < t->extra->n; i++)
		if (!t->written[i] && streq(t->extra->items[i].target, target)) {
			t->written[i] = true;
			text_append(out, t->extra->items[i].text);
		}
}

/* Lines of another metric begin. */
static void change_metric(struct translation *t, const struct metric *metric, struct text *out)
{
	if (t->metric && t->metric != metric)
		write_extra(t, t->metric->target, out);
	t->metric = metric;
}

static struct metric_name name_at(const char *text)
{
	return (struct metric_name){text, strcspn(text, " {")};
}

static void translate_comment(struct translation *t, const char *line, struct text *out)
{
	bool is_help = text_after_prefix(line, help_prefix) != NULL;
	struct metric_name name = name_at(line + strlen(help_prefix));
	const struct metric *metric = metric_find(&name);

	change_metric(t, metric, out);
	if (!metric)
		return;
	text_append(out, is_help ? help_prefix : type_prefix);
	text_append(out, metric->target);
	if (is_help && metric->help)
		text_printf(out, " %s", metric->help);
	else
		text_append(out, name.text + name.length);
	text_append_char(out, '\n');
}

/* The same words may stand in a label's value: a label is only at the beginning of the list and behind a comma. */
static void translate_labels(const struct label_rule *rule, const char *labels, struct text *out)
{
	bool quoted = false, at_name = true;

	for (const char *c = labels; *c;) {
		size_t skipped = 0;

		for (size_t i = 0; at_name && rule && i < ELEMENTSOF(rule->labels) && rule->labels[i].from; i++)
			if (text_after_prefix(c, rule->labels[i].from)) {
				text_append(out, rule->labels[i].to);
				skipped = strlen(rule->labels[i].from);
				break;
			}
		at_name = false;
		c += skipped;
		if (skipped)
			continue;
		if (quoted && *c == '\\' && c[1])
			text_append_char(out, *c++);
		else if (*c == '"')
			quoted = !quoted;
		else if (!quoted && (*c == '{' || *c == ','))
			at_name = true;
		text_append_char(out, *c++);
	}
}

static void translate_sample(struct translation *t, const char *line, struct text *out)
{
	struct metric_name name = name_at(line);
	const struct metric *metric = metric_find(&name);
	const struct label_rule *rule = NULL;

	change_metric(t, metric, out);
	if (!metric || strstr(line, OWN_PROXY))
		return;
	for (size_t i = 0; i < ELEMENTSOF(label_rules); i++)
		if (text_after_prefix(line, label_rules[i].prefix))
			rule = &label_rules[i];
	text_append(out, metric->target);
	translate_labels(rule, line + name.length, out);
	text_append_char(out, '\n');
}

static void translate_line(struct translation *t, struct text *out)
{
	const char *line = text_peek(&t->line);

	if (t->too_long || strlen(line) != t->line.length) /* NUL: not text */
		return;
	if (text_after_prefix(line, help_prefix) || text_after_prefix(line, type_prefix))
		translate_comment(t, line, out);
	else if (line[0] && line[0] != '#')
		translate_sample(t, line, out);
}

int translation_feed(struct translation *t, const char *bytes, size_t length, struct text *out)
{
	const char *end = bytes + length;

	while (bytes < end) {
		const char *newline = memchr(bytes, '\n', (size_t)(end - bytes));
		size_t part = (size_t)((newline ? newline : end) - bytes);

		if (t->line.length + part > TRANSLATE_MAX_LINE)
			t->too_long = true;
		if (!t->too_long)
			text_append_bytes(&t->line, bytes, part);
		bytes += part;
		if (!newline)
			break;
		bytes++;
		if (!t->line.failed)
			translate_line(t, out);
		text_truncate(&t->line, 0);
		t->too_long = false;
	}
	return t->line.failed || out->failed ? -ENOMEM : 0;
}

static bool is_left(const struct translation *t, const char *target)
{
	for (size_t i = 0; t->extra && i < t->extra->n; i++)
		if (!t->written[i] && streq(t->extra->items[i].target, target))
			return true;
	return false;
}

int translation_finish(struct translation *t, struct text *out)
{
	if (t->line.length > 0 && !t->line.failed)
		translate_line(t, out);
	change_metric(t, NULL, out);
	for (size_t i = 0; i < ELEMENTSOF(own_metrics); i++) {
		const struct own_metric *own = &own_metrics[i];

		if (!is_left(t, own->target))
			continue;
		text_printf(out, "%s%s %s\n%s%s %s\n", help_prefix, own->target, own->help, type_prefix, own->target,
			own->type);
		write_extra(t, own->target, out);
	}
	return t->line.failed || out->failed ? -ENOMEM : 0;
}
