/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/definition/fields.h"

#include "agent/base/json_write.h"
#include "agent/base/text.h"

/* Walks the field tables: struct to text, as definitions are stored and answered, without a tree between them: that would be some
 * fifteen allocations for each member. */

static void write_strings(struct text *out, char *const *strings)
{
	text_append_char(out, '[');
	for (char *const *string = strings; *string; string++) {
		if (string > strings)
			text_append_char(out, ',');
		json_write_string(out, *string);
	}
	text_append_char(out, ']');
}

static void write_list(const struct object_type *type, const void *items, size_t n, unsigned left_out, struct text *out)
{
	text_append_char(out, '[');
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			text_append_char(out, ',');
		object_write(type, field_const_at(items, i * type->size), left_out, out);
	}
	text_append_char(out, ']');
}

/* Whether the field says nothing: it is left out. */
static bool is_left_out(const struct field *field, const void *source)
{
	switch (field->type) {
	case FIELD_OWN_ID:
	case FIELD_BOOL:
	case FIELD_LIST:
		return false;
	case FIELD_TIME:
		return !*(const char *)source;
	case FIELD_INTEGER:
		return *(const int64_t *)source < field->minimum;
	case FIELD_ENUM:
		return *(const int *)source < 0;
	default:
		return !*(void *const *)source;
	}
}

static void write_value(const struct field *field, const void *object, unsigned left_out, struct text *out)
{
	const void *source = field_const_at(object, field->offset);

	switch (field->type) {
	case FIELD_OWN_ID:
	case FIELD_TIME:
		json_write_string(out, source);
		return;
	case FIELD_STRING:
	case FIELD_REFERENCE:
	case FIELD_ADDRESS:
	case FIELD_VERSION:
		json_write_string(out, *(char *const *)source);
		return;
	case FIELD_BOOL:
		text_append(out, *(const bool *)source ? "true" : "false");
		return;
	case FIELD_INTEGER:
		json_write_integer(out, *(const int64_t *)source);
		return;
	case FIELD_ENUM:
		json_write_string(out, field->choices[*(const int *)source]);
		return;
	case FIELD_SWITCHES:
	case FIELD_TAGS:
		json_write(out, *(json_t *const *)source);
		return;
	case FIELD_CIDRS:
	case FIELD_STRINGS:
		write_strings(out, *(char **const *)source);
		return;
	case FIELD_OBJECT:
		object_write(field->object, *(void *const *)source, left_out, out);
		return;
	case FIELD_LIST:
		write_list(field->object, *(void *const *)source,
			*(const size_t *)field_const_at(object, field->count_offset), left_out, out);
		return;
	}
}

void object_write(const struct object_type *type, const void *object, unsigned left_out, struct text *out)
{
	bool first = true;

	text_append_char(out, '{');
	for (const struct field *field = type->fields; field->name; field++) {
		if ((field->flags & (FIELD_TRANSIENT | left_out)) ||
			is_left_out(field, field_const_at(object, field->offset)))
			continue;
		text_append(out, first ? "\"" : ",\"");
		first = false;
		text_append(out, field->name);
		text_append_bytes(out, "\":", 2);
		write_value(field, object, left_out, out);
	}
	text_append_char(out, '}');
}
