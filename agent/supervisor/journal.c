/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/supervisor/journal.h"

#include <string.h>
#include <systemd/sd-journal.h>

#include "agent/base/library.h"
#include "agent/base/process.h"
#include "agent/base/text.h"
#include "agent/supervisor/output.h"

enum {
	SYNC_TIMEOUT_MS = 5000,
	LINES_MAX = 1024, /* looked at, so that empty ones cannot keep us */
};

#define FUNCTIONS(F) \
	F(sd_id128_get_boot) F(sd_journal_add_disjunction) F(sd_journal_add_match) \
	F(sd_journal_close) F(sd_journal_get_data) F(sd_journal_get_monotonic_usec) \
	F(sd_journal_open) F(sd_journal_previous) F(sd_journal_seek_tail) \
	F(sd_journal_set_data_threshold)
LIBRARY_OF_FILE(systemd, "libsystemd.so.0", FUNCTIONS);
DEFINE_CLEANUP(sd_journal *, sym_sd_journal_close);

#define MESSAGE_FIELD "MESSAGE="

/* A line and the ones before it. */
struct lines {
	char *text[LINES_MAX];
	size_t n, bytes;
};

static void lines_done(struct lines *lines)
{
	for (size_t i = 0; i < lines->n; i++)
		free(lines->text[i]);
}

/* Matches of one field are alternatives, of several fields all have to hold
 * (sd_journal_add_match(3)). _TRANSPORT leaves out what HAProxy logs by syslog: one line a
 * connection. Priorities up to notice (5) leave out that the unit is being started and was started.
 */
static int add_matches(sd_journal *journal, const char *unit)
{
	static const char *const from_systemd[] = {"_PID=1", "PRIORITY=0", "PRIORITY=1",
		"PRIORITY=2", "PRIORITY=3", "PRIORITY=4", "PRIORITY=5"};
	_cleanup_free_ char *ours = NULL, *about_us = NULL;
	int r;

	if (asprintf(&ours, "_SYSTEMD_UNIT=%s", unit) < 0) {
		ours = NULL;
		return -ENOMEM;
	}
	if (asprintf(&about_us, "UNIT=%s", unit) < 0) {
		about_us = NULL;
		return -ENOMEM;
	}
	r = sym_sd_journal_add_match(journal, ours, 0);
	if (r >= 0)
		r = sym_sd_journal_add_match(journal, "_TRANSPORT=stdout", 0);
	if (r >= 0)
		r = sym_sd_journal_add_disjunction(journal);
	if (r >= 0)
		r = sym_sd_journal_add_match(journal, about_us, 0);
	for (size_t i = 0; i < ELEMENTSOF(from_systemd) && r >= 0; i++)
		r = sym_sd_journal_add_match(journal, from_systemd[i], 0);
	return r;
}

/* Of this boot and not before "since_us"? */
static bool is_recent(sd_journal *journal, uint64_t since_us)
{
	sd_id128_t boot, this_boot;
	uint64_t at_us;

	return sym_sd_id128_get_boot(&this_boot) >= 0 &&
	       sym_sd_journal_get_monotonic_usec(journal, &at_us, &boot) >= 0 &&
	       sd_id128_equal(boot, this_boot) && at_us >= since_us;
}

/* 0, or -ENOSPC when there is enough. */
static int take_line(sd_journal *journal, struct lines *lines)
{
	const size_t prefix = strlen(MESSAGE_FIELD);
	const void *data;
	size_t length;
	char *line;
	int r;

	r = sym_sd_journal_get_data(journal, "MESSAGE", &data, &length);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	if (length < prefix)
		return 0;
	length -= prefix;
	if (lines->n == LINES_MAX || lines->bytes + length + 1 > OUTPUT_TAIL_MAX)
		return -ENOSPC;
	line = malloc(length + 1);
	if (!line)
		return -ENOMEM;
	memcpy(line, (const char *)data + prefix, length);
	output_make_harmless(line, length);
	/* NUL became '?', so this is a string. */
	line[length] = '\0';
	lines->text[lines->n++] = line;
	lines->bytes += length + 1;
	return 0;
}

int journal_read(const char *unit, uint64_t since_us, char **ret_text)
{
	_cleanup_(sym_sd_journal_closep) sd_journal *journal = NULL;
	_cleanup_(lines_done) struct lines lines = {.n = 0};
	_cleanup_text_ struct text text = TEXT_INIT;
	int r;

	r = library_keep(&systemd, NULL);
	if (r >= 0)
		r = sym_sd_journal_open(&journal, SD_JOURNAL_LOCAL_ONLY | SD_JOURNAL_SYSTEM);
	if (r < 0)
		return r;
	r = add_matches(journal, unit);
	if (r < 0)
		return r;
	sym_sd_journal_set_data_threshold(journal, OUTPUT_TAIL_MAX + sizeof(MESSAGE_FIELD));
	r = sym_sd_journal_seek_tail(journal);
	/* Backwards: a unit may have written a lot since. */
	while (r >= 0) {
		r = sym_sd_journal_previous(journal);
		if (r <= 0 || !is_recent(journal, since_us))
			break;
		r = take_line(journal, &lines);
	}
	if (r < 0 && r != -ENOSPC)
		return r;
	for (size_t i = lines.n; i > 0; i--)
		text_printf(&text, "%s\n", lines.text[i - 1]);
	return text_finish(&text, ret_text, NULL);
}

void journal_sync(void)
{
	static const char *const argv[] = {"journalctl", "--sync", NULL};
	_cleanup_(process_result_done) struct process_result result = PROCESS_RESULT_INIT;

	/* Best effort: without it, last lines may be missing. */
	process_run(argv, NULL, SYNC_TIMEOUT_MS, 1024, &result);
}
