/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdarg.h>

#include "agent/base/cleanup.h"

/*
 * An error that a person will read.
 *
 * A function that judges input, or whose failure needs words, takes a struct error as its last argument. It
 * returns a negative errno and fills the error; on success the error is untouched. The caller owns the struct
 * (start it with ERROR_INIT, end it with error_done(), or let _cleanup_(error_done) do so). A NULL error is
 * allowed everywhere and means that nobody reads the words.
 */

enum error_code {
	ERROR_INTERNAL = 0,  /* our mistake, or the machine's: no memory, disk full */
	ERROR_INVALID,       /* the input breaks a rule; pointer says where */
	ERROR_FORBIDDEN,     /* understood and not allowed */
	ERROR_NOT_FOUND,     /* no such object or route */
	ERROR_METHOD,        /* the route exists, not with this method */
	ERROR_CONFLICT,      /* contradicts what exists: duplicate port, immutable field */
	ERROR_STALE,         /* If-Match names another revision */
	ERROR_TOO_LARGE,     /* over a limit of limits.h */
	ERROR_MEDIA_TYPE,    /* body of a type that the route does not take */
	ERROR_UNSUPPORTED,   /* known to the API, not offered by this agent */
	ERROR_BUSY,          /* over a connection, memory or time budget: try again */
	ERROR_HAPROXY,       /* HAProxy refused a configuration; message holds its words */
	ERROR_APPLY,         /* HAProxy accepted a configuration and could not run it */
	_ERROR_CODE_MAX,
};

struct error {
	enum error_code code;
	char *pointer; /* JSON Pointer (RFC 6901) into the request, or "file:line"; NULL where it does not apply */
	char *message; /* one sentence, or HAProxy's own lines; NULL when no error is set */
};

#define ERROR_INIT ((struct error){0})

/* The negative errno that stands for a code, so that plain C callers can tell kinds apart. */
int error_code_to_errno(enum error_code code);

/* Sets the error and returns error_code_to_errno(code). "pointer" is copied and may be NULL. */
int error_set(struct error *err, enum error_code code, const char *pointer, const char *format, ...)
	_printf_(4, 5);

/* Reports a failed system or library call: "what: strerror". Returns "r", a negative errno. */
int error_set_errno(struct error *err, int r, const char *format, ...) _printf_(3, 4);

/* Puts "context: " before the message of an error that is set. Returns "r". */
int error_wrap(struct error *err, int r, const char *format, ...) _printf_(3, 4);

/* The message, or words for "no message" when memory ran out while writing it. Never NULL. */
const char *error_message(const struct error *err);

void error_done(struct error *err);

#define _cleanup_error_ _cleanup_(error_done)
