/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A terminal that is drawn in place again and again: the other screen of the terminal, so that what was there before is
 * there afterwards. It waits with an eye on keys (q), on Ctrl-C, on Ctrl-Z, and on the window's size.
 *
 * From screen_open() to screen_close() the signals that matter are blocked and read by screen_wait(); the terminal is put
 * back whenever the process stops or ends. Control sequences: ECMA-48, and "XTerm Control Sequences" for the private modes.
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/base/error.h"

struct screen;

enum screen_event {
	SCREEN_TIMEOUT, /* or the space bar: do it now */
	SCREEN_REDRAW,  /* another size, or back in the foreground */
	SCREEN_QUIT,
};

int screen_open(struct screen **ret, struct error *err);
/* Puts the terminal back. If a signal other than that of Ctrl-C was why, it is raised again: this may not return. */
void screen_close(struct screen *screen);
DEFINE_CLEANUP(struct screen *, screen_close);
#define _cleanup_screen_ _cleanup_(screen_closep)

/* Lines, each ended by a newline, of which as many are shown as the window has; what is too long is cut by the terminal. */
void screen_draw(struct screen *screen, const char *lines);

/* Waits until "deadline_ms" (process_now_ms()). */
enum screen_event screen_wait(struct screen *screen, int64_t deadline_ms);

/* Whether it is to quit, without waiting: for what takes its time elsewhere. */
bool screen_wants_to_quit(void);
