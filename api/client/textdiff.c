/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/textdiff.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum {
	CONTEXT_LINES = 3,
	/* Steps until the comparison stops looking for the shortest script: some seconds, for texts
	 * that have next to nothing in common. What is left then counts as replaced, which is
	 * correct, only longer. */
	STEP_BUDGET = 500 * 1000 * 1000,
};

struct line {
	const char *start;
	size_t length;
	int class; /* equal lines have equal classes */
	bool changed;
};

struct side {
	struct line *lines;
	int n_lines;
	size_t n_changed;
};

struct textdiff {
	struct side old, new;
};

static int split_lines(const char *text, struct side *ret)
{
	size_t count = 0;

	for (const char *p = text; *p; count++) {
		p = strchrnul(p, '\n');
		p += *p == '\n';
	}
	if (count > TEXTDIFF_MAX_LINES)
		return -EFBIG;
	ret->lines = calloc(count + 1, sizeof(*ret->lines));
	if (!ret->lines)
		return -ENOMEM;
	for (const char *p = text; *p; ret->n_lines++) {
		const char *end = strchrnul(p, '\n');

		ret->lines[ret->n_lines].start = p;
		ret->lines[ret->n_lines].length = (size_t)(end - p);
		p = end + (*end == '\n');
	}
	return 0;
}

static int compare_lines(const void *a, const void *b)
{
	const struct line *x = *(struct line *const *)a;
	const struct line *y = *(struct line *const *)b;

	if (x->length != y->length)
		return x->length < y->length ? -1 : 1;
	return memcmp(x->start, y->start, x->length);
}

/* Numbers the distinct lines, so that the comparison proper compares numbers. */
static int classify(struct textdiff *diff)
{
	size_t n = (size_t)diff->old.n_lines + (size_t)diff->new.n_lines;
	_cleanup_free_ struct line **sorted = calloc(n + 1, sizeof(*sorted));
	int class = 0;

	if (!sorted)
		return -ENOMEM;
	for (int i = 0; i < diff->old.n_lines; i++)
		sorted[i] = &diff->old.lines[i];
	for (int i = 0; i < diff->new.n_lines; i++)
		sorted[diff->old.n_lines + i] = &diff->new.lines[i];
	qsort(sorted, n, sizeof(*sorted), compare_lines);
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && compare_lines(&sorted[i - 1], &sorted[i]) != 0)
			class ++;
		sorted[i]->class = class;
	}
	return 0;
}

/* A part of the edit graph: old lines [old_start, old_end) against new lines [new_start, new_end).
 */
struct box {
	int old_start, old_end;
	int new_start, new_end;
};

struct search {
	const struct line *old, *new;
	/* Furthest x reached on each diagonal k = x - y, from the start and, mirrored, from the
	 * end. The pointers stand at k = 0 of arrays that hold every diagonal of the largest box.
	 */
	int *forward, *backward;
	long long budget;
};

/* Extends the paths of one direction by one edit and tells whether one of them now meets a path of
 * the other direction; the point is in box coordinates as this direction sees them. "others" is how
 * many edits the other direction has made. */
static bool extend(struct search *s, const struct box *box, bool reverse, int edits, int others,
	int *ret_x, int *ret_y)
{
	int *mine = reverse ? s->backward : s->forward;
	const int *theirs = reverse ? s->forward : s->backward;
	int n = box->old_end - box->old_start, m = box->new_end - box->new_start, delta = n - m;
	/* Diagonals that left the box cannot come back. */
	int first = edits > m ? edits - 2 * m : -edits;
	int last = edits > n ? 2 * n - edits : edits;

	for (int k = first; k <= last; k += 2) {
		bool down = k == -edits || (k != edits && mine[k - 1] < mine[k + 1]);
		int x = down ? mine[k + 1] : mine[k - 1] + 1;
		int y = x - k;

		while (x < n && y < m &&
			(reverse ? s->old[box->old_end - 1 - x].class ==
						s->new[box->new_end - 1 - y].class
				 : s->old[box->old_start + x].class ==
						s->new[box->new_start + y].class)) {
			x++;
			y++;
		}
		mine[k] = x;
		/* Paths meet on one diagonal only if their edits have the parity of delta. */
		if ((edits + others + delta) % 2 == 0 && abs(delta - k) <= others &&
			x + theirs[delta - k] >= n) {
			*ret_x = x;
			*ret_y = y;
			return true;
		}
	}
	s->budget -= edits;
	return false;
}

/* A point on a shortest path through the box, about half-way. False when the budget is used up. */
static bool find_middle(struct search *s, const struct box *box, int *ret_old, int *ret_new)
{
	int x = 0, y = 0;

	/* The "edit" before the first starts both directions at their corner. */
	s->forward[1] = 0;
	s->backward[1] = 0;
	for (int edits = 0; s->budget > 0; edits++) {
		if (extend(s, box, false, edits, edits - 1, &x, &y)) {
			*ret_old = box->old_start + x;
			*ret_new = box->new_start + y;
			return true;
		}
		if (extend(s, box, true, edits, edits, &x, &y)) {
			*ret_old = box->old_end - x;
			*ret_new = box->new_end - y;
			return true;
		}
	}
	return false;
}

static void mark(struct side *side, int start, int end)
{
	for (int i = start; i < end; i++)
		side->lines[i].changed = true;
	side->n_changed += (size_t)(end - start);
}

/* Recursion halves the number of edits each time, so its depth is logarithmic. */
static void compare(struct textdiff *diff, struct search *s, struct box box)
{
	int middle_old, middle_new;

	while (box.old_start < box.old_end && box.new_start < box.new_end &&
		s->old[box.old_start].class == s->new[box.new_start].class) {
		box.old_start++;
		box.new_start++;
	}
	while (box.old_start < box.old_end && box.new_start < box.new_end &&
		s->old[box.old_end - 1].class == s->new[box.new_end - 1].class) {
		box.old_end--;
		box.new_end--;
	}
	if (box.old_start == box.old_end || box.new_start == box.new_end ||
		!find_middle(s, &box, &middle_old, &middle_new)) {
		mark(&diff->old, box.old_start, box.old_end);
		mark(&diff->new, box.new_start, box.new_end);
		return;
	}
	compare(diff, s, (struct box){box.old_start, middle_old, box.new_start, middle_new});
	compare(diff, s, (struct box){middle_old, box.old_end, middle_new, box.new_end});
}

static int find_changes(struct textdiff *diff)
{
	int n = diff->old.n_lines, m = diff->new.n_lines;
	size_t diagonals = (size_t)n + (size_t)m + 3;
	_cleanup_free_ int *forward = calloc(diagonals, sizeof(*forward));
	_cleanup_free_ int *backward = calloc(diagonals, sizeof(*backward));
	struct search search = {
		.old = diff->old.lines,
		.new = diff->new.lines,
		.budget = STEP_BUDGET,
	};

	if (!forward || !backward)
		return -ENOMEM;
	search.forward = forward + m + 1;
	search.backward = backward + m + 1;
	compare(diff, &search, (struct box){0, n, 0, m});
	return 0;
}

int textdiff_new(const char *old_text, const char *new_text, struct textdiff **ret)
{
	_cleanup_textdiff_ struct textdiff *diff = calloc(1, sizeof(*diff));
	int r;

	if (!diff)
		return -ENOMEM;
	r = split_lines(old_text, &diff->old);
	if (r < 0)
		return r;
	r = split_lines(new_text, &diff->new);
	if (r < 0)
		return r;
	r = classify(diff);
	if (r < 0)
		return r;
	r = find_changes(diff);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(diff);
	return 0;
}

void textdiff_free(struct textdiff *diff)
{
	if (!diff)
		return;
	free(diff->old.lines);
	free(diff->new.lines);
	free(diff);
}

size_t textdiff_removed(const struct textdiff *diff)
{
	return diff->old.n_changed;
}

size_t textdiff_added(const struct textdiff *diff)
{
	return diff->new.n_changed;
}

static void print_line(
	const struct terminal *terminal, struct text *out, char sign, const struct line *line)
{
	static const struct {
		char sign;
		enum colour colour;
	} colours[] = {{'-', COLOUR_RED}, {'+', COLOUR_GREEN}};
	_cleanup_free_ char *copy = NULL;
	enum colour colour = COLOUR_PLAIN;

	/* With its sign in one string, so that the sign has the line's colour. */
	if (asprintf(&copy, "%c%.*s", sign, (int)line->length, line->start) < 0) {
		copy = NULL;
		out->failed = true;
		return;
	}
	for (size_t i = 0; i < ELEMENTSOF(colours); i++)
		if (colours[i].sign == sign)
			colour = colours[i].colour;
	terminal_append_lines(terminal, out, colour, "", copy);
}

static void print_range(struct text *out, char sign, int start, int end)
{
	/* An empty range names the line before it (GNU diffutils, "Detailed Description of Unified
	 * Format"). */
	text_printf(out, "%c%d", sign, end > start ? start + 1 : start);
	if (end - start != 1)
		text_printf(out, ",%d", end - start);
}

static void print_section(
	const struct side *old, int before, const struct terminal *terminal, struct text *out)
{
	for (int i = before; i-- > 0;) {
		const struct line *line = &old->lines[i];

		if (line->length > 0 && isalpha((unsigned char)line->start[0])) {
			_cleanup_free_ char *copy = strndup(line->start, line->length);

			text_append_char(out, ' ');
			terminal_append(terminal, out, COLOUR_PLAIN, copy ? copy : "");
			return;
		}
	}
}

static void print_hunk(const struct textdiff *diff, const struct box *hunk,
	const struct terminal *terminal, struct text *out)
{
	_cleanup_text_ struct text ranges = TEXT_INIT;
	int i = hunk->old_start, j = hunk->new_start;

	text_append(&ranges, "@@ ");
	print_range(&ranges, '-', hunk->old_start, hunk->old_end);
	text_append_char(&ranges, ' ');
	print_range(&ranges, '+', hunk->new_start, hunk->new_end);
	text_append(&ranges, " @@");
	terminal_append(terminal, out, COLOUR_CYAN, text_peek(&ranges));
	print_section(&diff->old, hunk->old_start, terminal, out);
	text_append_char(out, '\n');

	while (i < hunk->old_end || j < hunk->new_end) {
		if (i < hunk->old_end && diff->old.lines[i].changed) {
			print_line(terminal, out, '-', &diff->old.lines[i++]);
		} else if (j < hunk->new_end && diff->new.lines[j].changed) {
			print_line(terminal, out, '+', &diff->new.lines[j++]);
		} else {
			print_line(terminal, out, ' ', &diff->old.lines[i++]);
			j++;
		}
	}
}

/* From the next change at or after the end of "previous" to where more than twice the context is
 * unchanged. */
static bool next_hunk(const struct textdiff *diff, const struct box *previous, struct box *ret)
{
	const struct side *old = &diff->old, *new = &diff->new;
	int i = previous->old_end, j = previous->new_end, unchanged = 0, back;

	while (i < old->n_lines && j < new->n_lines && !old->lines[i].changed &&
		!new->lines[j].changed) {
		i++;
		j++;
	}
	if (i == old->n_lines && j == new->n_lines)
		return false;
	back = i - previous->old_end < CONTEXT_LINES ? i - previous->old_end : CONTEXT_LINES;
	ret->old_start = i - back;
	ret->new_start = j - back;
	ret->old_end = i;
	ret->new_end = j;
	while (i < old->n_lines || j < new->n_lines) {
		if (i < old->n_lines && old->lines[i].changed) {
			i++;
		} else if (j < new->n_lines &&new->lines[j].changed) {
			j++;
		} else {
			i++;
			j++;
			if (++unchanged > 2 * CONTEXT_LINES)
				break;
			continue;
		}
		unchanged = 0;
		ret->old_end = i;
		ret->new_end = j;
	}
	if (unchanged > CONTEXT_LINES)
		unchanged = CONTEXT_LINES;
	ret->old_end += unchanged;
	ret->new_end += unchanged;
	return true;
}

void textdiff_print(const struct textdiff *diff, const char *old_name, const char *new_name,
	const struct terminal *terminal, struct text *out)
{
	struct box hunk = {0};

	if (diff->old.n_changed == 0 && diff->new.n_changed == 0)
		return;
	for (int side = 0; side < 2; side++) {
		_cleanup_text_ struct text line = TEXT_INIT;

		text_printf(
			&line, "%s %s", side == 0 ? "---" : "+++", side == 0 ? old_name : new_name);
		terminal_append(terminal, out, COLOUR_BOLD, text_peek(&line));
		text_append_char(out, '\n');
	}
	while (next_hunk(diff, &hunk, &hunk))
		print_hunk(diff, &hunk, terminal, out);
}
