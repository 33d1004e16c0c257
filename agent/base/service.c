/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/service.h"

#include <stdarg.h>
#include <stdbool.h>
#include <systemd/sd-daemon.h>

#include "agent/base/library.h"
#include "agent/base/log.h"

#define FUNCTIONS(F) F(sd_listen_fds) F(sd_notify) F(sd_watchdog_enabled)
LIBRARY_OF_FILE(systemd, "libsystemd.so.0", FUNCTIONS);

static bool is_asked(const char *variable)
{
	_cleanup_error_ struct error problem = ERROR_INIT;

	const char *value = getenv(variable);

	if (!value || !value[0])
		return false;
	if (library_keep(&systemd, &problem) == 0)
		return true;
	log_error("%s is set, and systemd cannot be answered: %s", variable, error_message(&problem));
	return false;
}

void service_notify(const char *format, ...)
{
	char line[256];
	va_list arguments;
	int length;

	if (!is_asked("NOTIFY_SOCKET"))
		return;
	va_start(arguments, format);
	length = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	if (length > 0)
		sym_sd_notify(0, line);
}

int service_listen_fds(void)
{
	return is_asked("LISTEN_FDS") ? sym_sd_listen_fds(1) : 0;
}

uint64_t service_watchdog_us(void)
{
	uint64_t interval_us;

	return is_asked("WATCHDOG_USEC") && sym_sd_watchdog_enabled(0, &interval_us) > 0 ? interval_us : 0;
}
