/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What systemd and a service that it runs have to tell each other: sd_notify(3), sd_listen_fds(3) and
 * sd_watchdog_enabled(3). Nothing happens, and libsystemd is not loaded, where the environment says that nobody asks.
 */

#include <stdint.h>

#include "agent/base/cleanup.h"

/* "READY=1", "STATUS=…" and so on; what is longer than a line is cut. */
void service_notify(const char *format, ...) _printf_(1, 2);

/* How many sockets a socket unit has handed to us, beginning with SD_LISTEN_FDS_START; they are not inherited further. */
int service_listen_fds(void);

/* How often the watchdog wants to hear of us; 0: not at all. */
uint64_t service_watchdog_us(void);
