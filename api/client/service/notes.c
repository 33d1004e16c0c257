/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/service/notes.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void note_done(struct note *note)
{
	free(note->source);
	free(note->target);
	free(note->value);
	free(note->because);
}

static char *copy(const char *string, bool *failed)
{
	char *result = string ? strdup(string) : NULL;

	*failed |= string && !result;
	return result;
}

static bool grow(struct notes *notes)
{
	struct note *grown;

	if (notes->n % 16 != 0)
		return true;
	grown = reallocarray(notes->list, notes->n + 16, sizeof(*grown));
	if (grown)
		notes->list = grown;
	return grown;
}

/* Takes "because". */
static void add(struct notes *notes, enum note_kind kind, const char *source, const char *target,
	const char *value, char *because)
{
	_cleanup_free_ char *full_source = NULL;
	struct note note = {.kind = kind, .because = because};
	bool failed = !because;

	if (notes->n == NOTES_MAX) {
		notes->n_left_out++;
		free(because);
		return;
	}
	if (asprintf(&full_source, "%s%s", notes->prefix ? notes->prefix : "", source) < 0)
		full_source = NULL;
	failed |= !full_source;
	note.source = TAKE_PTR(full_source);
	note.target = copy(target, &failed);
	note.value = copy(value, &failed);
	if (failed || !grow(notes)) {
		notes->failed = true;
		note_done(&note);
		return;
	}
	notes->list[notes->n++] = note;
}

void notes_mapped(struct notes *notes, const char *source, const char *target, const char *value,
	const char *because)
{
	add(notes, NOTE_MAPPED, source, target, value, strdup(because));
}

void notes_unused(struct notes *notes, const char *source, const char *because)
{
	add(notes, NOTE_UNUSED, source, NULL, NULL, strdup(because));
}

void notes_warn(struct notes *notes, const char *source, const char *format, ...)
{
	char *because = NULL;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&because, format, arguments) < 0)
		because = NULL;
	va_end(arguments);
	add(notes, NOTE_WARNING, source, NULL, NULL, because);
}

size_t notes_count(const struct notes *notes, enum note_kind kind)
{
	size_t count = 0;

	for (size_t i = 0; i < notes->n; i++)
		count += notes->list[i].kind == kind;
	return count;
}

static void append_left_out(const struct notes *notes, const char *indent, struct text *out)
{
	if (notes->n_left_out > 0)
		text_printf(out, "%s%zu more notes are left out\n", indent, notes->n_left_out);
}

void notes_explain(const struct notes *notes, const struct terminal *terminal, struct text *out)
{
	for (size_t i = 0; i < notes->n; i++) {
		const struct note *note = &notes->list[i];

		if (note->kind == NOTE_WARNING)
			continue;
		terminal_append(terminal, out, COLOUR_BOLD, note->source);
		text_append(out, terminal->utf8 ? " → " : " -> ");
		if (note->kind == NOTE_MAPPED) {
			terminal_append(terminal, out, COLOUR_CYAN, note->target);
			text_append(out, " = ");
			terminal_append(terminal, out, COLOUR_GREEN, note->value);
		} else {
			text_append(out, "nothing");
		}
		text_append(out, "\n    because ");
		terminal_append(terminal, out, COLOUR_PLAIN, note->because);
		text_append_char(out, '\n');
	}
	append_left_out(notes, "", out);
}

void notes_warnings(const struct notes *notes, const struct terminal *terminal, const char *indent,
	struct text *out)
{
	for (size_t i = 0; i < notes->n; i++) {
		const struct note *note = &notes->list[i];

		if (note->kind != NOTE_WARNING)
			continue;
		text_append(out, indent);
		terminal_append(terminal, out, COLOUR_YELLOW, note->source);
		text_append(out, ": ");
		terminal_append(terminal, out, COLOUR_PLAIN, note->because);
		text_append_char(out, '\n');
	}
	append_left_out(notes, indent, out);
}

json_t *notes_to_json(const struct notes *notes)
{
	json_auto_t *explanation = json_array(), *warnings = json_array();
	int r = 0;

	for (size_t i = 0; i < notes->n; i++) {
		const struct note *note = &notes->list[i];
		bool warning = note->kind == NOTE_WARNING;

		r |= json_array_append_new(warning ? warnings : explanation,
			warning ? json_pack("{s:s, s:s}", "source", note->source, "message",
					  note->because)
				: json_pack("{s:s, s:s?, s:s?, s:s}", "source", note->source,
					  "target", note->target, "value", note->value, "because",
					  note->because));
	}
	if (r < 0 || !explanation || !warnings)
		return NULL;
	return json_pack("{s:O, s:O}", "explanation", explanation, "warnings", warnings);
}

void notes_done(struct notes *notes)
{
	for (size_t i = 0; i < notes->n; i++)
		note_done(&notes->list[i]);
	free(notes->list);
	*notes = NOTES_INIT;
}
