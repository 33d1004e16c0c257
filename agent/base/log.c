/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#define SD_JOURNAL_SUPPRESS_LOCATION /* it would be this file's */
#include <systemd/sd-journal.h>

#include "agent/base/library.h"
#include "agent/base/text.h"

#define FUNCTIONS(F) F(sd_journal_sendv)
LIBRARY_OF_FILE(systemd, "libsystemd.so.0", FUNCTIONS);
LIBRARY_NOTE(systemd, "libsystemd.so.0", "systemd", "The journal, and units of systemd that run HAProxy and keepalived",
	"recommended");

static int current_level = LOG_INFO;
static bool to_journal;

/* systemd.exec(5): JOURNAL_STREAM holds "device:inode" of the stream that stdout or stderr was connected to. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uintmax_t device, inode;
	struct stat st;

	return stream && sscanf(stream, "%" SCNuMAX ":%" SCNuMAX, &device, &inode) == 2 &&
		fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void log_open(enum log_target target)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	bool wanted = target == LOG_TARGET_JOURNAL || (target == LOG_TARGET_AUTO && stderr_is_journal());

	to_journal = wanted && library_keep(&systemd, &problem) == 0;
	if (wanted && !to_journal)
		log_warning("cannot write to the journal with fields: %s", error_message(&problem));
}

void log_set_level(int level)
{
	__atomic_store_n(&current_level, level, __ATOMIC_RELAXED);
}

static void write_journal(int level, const struct log_fields *fields, const char *message)
{
	char texts[5][2200];
	struct iovec vectors[5];
	const struct {
		const char *name, *value;
	} named[] = {
		{"LB_ID", fields ? fields->lb_id : NULL},
		{"REQUEST_ID", fields ? fields->request_id : NULL},
		{"MEMBER_ID", fields ? fields->member_id : NULL},
	};
	int n = 0;

	snprintf(texts[n++], sizeof(texts[0]), "PRIORITY=%d", level);
	snprintf(texts[n++], sizeof(texts[0]), "MESSAGE=%s", message);
	for (size_t i = 0; i < ELEMENTSOF(named); i++)
		if (named[i].value)
			snprintf(texts[n++], sizeof(texts[0]), "%s=%s", named[i].name, named[i].value);
	for (int i = 0; i < n; i++)
		vectors[i] = (struct iovec){texts[i], strlen(texts[i])};
	sym_sd_journal_sendv(vectors, n);
}

static void write_stderr(int level, const struct log_fields *fields, const char *message)
{
	static const char *const names[] = {
		"emerg", "alert", "crit", "error", "warning", "notice", "info", "debug"};
	char line[2400];
	int length;

	length = snprintf(line, sizeof(line), "%s: %s: %s%s%s%s%s\n", program_invocation_short_name, names[level & 7],
		fields && fields->lb_id ? fields->lb_id : "", fields && fields->lb_id ? ": " : "", message,
		fields && fields->request_id ? " " : "", fields && fields->request_id ? fields->request_id : "");
	if (length < 0)
		return;
	if ((size_t)length >= sizeof(line)) {
		length = (int)sizeof(line) - 1;
		line[length - 1] = '\n';
	}
	if (write(STDERR_FILENO, line, (size_t)length) < 0)
		return; /* nowhere left to say it */
}

void log_line(int level, const struct log_fields *fields, const char *format, ...)
{
	int saved_errno = errno;
	char message[2048];
	va_list arguments;

	if (level > __atomic_load_n(&current_level, __ATOMIC_RELAXED))
		return;
	va_start(arguments, format);
	if (vsnprintf(message, sizeof(message), format, arguments) < 0)
		snprintf(message, sizeof(message), "(a line that could not be formatted)");
	va_end(arguments);
	/* A message with anything else is "blob data" to journalctl(1), which shows nothing of it. */
	text_make_printable(message);
	if (to_journal)
		write_journal(level, fields, message);
	else
		write_stderr(level, fields, message);
	errno = saved_errno;
}
