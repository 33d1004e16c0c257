/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/service/annotations.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/text.h"
#include "agent/definition/uuid.h"

int annotation_error(const struct kube_service *service, enum annotation annotation,
	struct error *err, const char *format, ...)
{
	const struct place metadata = {service->object->where, "metadata", 0},
			   list = {&metadata, "annotations", 0},
			   where = {&list, annotation_rows[annotation].name, 0};
	_cleanup_free_ char *words = NULL;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&words, format, arguments) < 0)
		words = NULL;
	va_end(arguments);
	return words ? place_error(&where, ERROR_INVALID, err, "%s", words) : -ENOMEM;
}

static void warn_unreadable(
	const struct annotation_row *row, const char *text, const char *wanted, struct notes *notes)
{
	notes_warn(notes, row->name, "\"%s\" is not %s; as with OCCM, the default counts", text,
		wanted);
}

static void read_bool(const struct annotation_row *row, const char *text,
	struct annotation_value *value, struct notes *notes)
{
	value->given = streq(text, "true") || streq(text, "false");
	if (value->given)
		value->number = streq(text, "true");
	else
		warn_unreadable(row, text, "\"true\" or \"false\"", notes);
}

static int read_integer(const struct kube_service *service, enum annotation annotation,
	const char *text, struct annotation_value *value, struct notes *notes, struct error *err)
{
	const struct annotation_row *row = &annotation_rows[annotation];
	int64_t number;

	if (text_to_int64(text, &number) < 0) {
		warn_unreadable(row, text, "an integer", notes);
		return 0;
	}
	if (number < row->minimum || number > row->maximum)
		return annotation_error(service, annotation, err,
			"%lld is not between %lld and %lld", (long long)number,
			(long long)row->minimum, (long long)row->maximum);
	value->number = number;
	value->given = true;
	return 0;
}

/* OCCM takes any other word of proxy-protocol for "off"; Octavia refuses any other lb_algorithm. */
static int read_word(const struct kube_service *service, enum annotation annotation,
	const char *text, struct annotation_value *value, struct notes *notes, struct error *err)
{
	const struct annotation_row *row = &annotation_rows[annotation];

	for (int64_t i = 0; row->words[i]; i++)
		if (streq(row->words[i], text)) {
			value->number = i;
			value->given = true;
		}
	if (value->given)
		return 0;
	if (annotation != ANNOTATION_PROXY_PROTOCOL)
		return annotation_error(service, annotation, err,
			"must be one of ROUND_ROBIN, LEAST_CONNECTIONS, SOURCE_IP, SOURCE_IP_PORT");
	if (streq(text, "false"))
		notes_unused(notes, row->name, "no PROXY header is wanted");
	else
		notes_warn(notes, row->name,
			"\"%s\" is not \"true\", \"v1\" or \"v2\"; as with OCCM, no PROXY header "
			"is sent",
			text);
	return 0;
}

static int read_text(const struct kube_service *service, enum annotation annotation,
	const char *text, struct annotation_value *value, struct error *err)
{
	const struct annotation_row *row = &annotation_rows[annotation];
	const char *wanted = row->check ? row->check(text) : NULL;

	if (wanted)
		return annotation_error(service, annotation, err, "%s", wanted);
	if (row->kind == ANNOTATION_UUID && uuid_read(text, value->uuid) < 0)
		return annotation_error(service, annotation, err,
			"must be a UUID, like 9f2c1d5e-0b7a-4a55-8a3e-3f0c6c1b2a10");
	value->given = true;
	return 0;
}

static int read_value(const struct kube_service *service, enum annotation annotation,
	const char *text, struct annotation_value *value, struct notes *notes, struct error *err)
{
	const struct annotation_row *row = &annotation_rows[annotation];

	value->text = text;
	switch (row->kind) {
	case ANNOTATION_BOOL:
		read_bool(row, text, value, notes);
		return 0;
	case ANNOTATION_INTEGER:
		return read_integer(service, annotation, text, value, notes, err);
	case ANNOTATION_WORD:
		return read_word(service, annotation, text, value, notes, err);
	case ANNOTATION_TEXT:
	case ANNOTATION_UUID:
		return read_text(service, annotation, text, value, err);
	case ANNOTATION_REFUSED:
		if (streq(text, "false"))
			notes_unused(notes, row->name, row->explanation);
		else
			notes_warn(notes, row->name, "%s", row->explanation);
		return 0;
	case ANNOTATION_OUTPUT:
		notes_unused(notes, row->name, row->explanation);
		return 0;
	}
	return -EINVAL;
}

static void explain(
	const struct annotation_row *row, const struct annotation_value *value, struct notes *notes)
{
	if (row->flags & ANNOTATION_KEPT)
		notes_warn(notes, row->name, "%s", row->explanation);
	else if (!row->target)
		notes_unused(notes, row->name, row->explanation);
	else
		notes_mapped(notes, row->name, row->target,
			*value->uuid ? value->uuid : value->text, row->explanation);
}

/* What begins like an annotation of OCCM or of a cloud and is none: misspelt, or for another. */
static void warn_unknown(const struct kube_service *service, struct notes *notes)
{
	static const char cloud[] = "service.beta.kubernetes.io/";
	const char *name;
	json_t *value;

	json_object_foreach ((json_t *)service->metadata.annotations, name, value) {
		bool known = false;

		for (size_t i = 0; i < _ANNOTATION_MAX; i++)
			known |= streq(annotation_rows[i].name, name);
		if (known)
			continue;
		if (text_after_prefix(name, OCCM_PREFIX))
			notes_warn(notes, name, "OCCM has no such annotation; is it misspelt?");
		else if (text_after_prefix(name, cloud))
			notes_warn(notes, name, "this annotation is another cloud's");
	}
}

void annotation_explain(enum annotation annotation, const char *value, struct notes *notes)
{
	const struct annotation_row *row = &annotation_rows[annotation];

	notes_mapped(notes, row->name, row->target, value, row->explanation);
}

int annotations_read(const struct kube_service *service, bool owner,
	struct annotation_value *values, struct notes *notes, struct error *err)
{
	const struct place metadata = {service->object->where, "metadata", 0},
			   where = {&metadata, "annotations", 0};

	for (enum annotation i = 0; i < _ANNOTATION_MAX; i++) {
		const struct annotation_row *row = &annotation_rows[i];
		const char *text = "";
		int r = place_get_string(
			service->metadata.annotations, row->name, &where, &text, err);

		values[i] = (struct annotation_value){.number = row->standard, .text = ""};
		if (r == 0 && *text && !owner && (row->flags & ANNOTATION_OF_OWNER))
			notes_unused(notes, row->name,
				"the first Service of a shared load balancer says this for all");
		else if (r == 0 && *text)
			r = read_value(service, i, text, &values[i], notes, err);
		if (r < 0)
			return r;
		if (values[i].given && !(row->flags & ANNOTATION_EXPLAINED_LATER))
			explain(row, &values[i], notes);
	}
	warn_unknown(service, notes);
	return 0;
}
