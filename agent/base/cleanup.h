/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Scope-bound ownership.
 *
 * An owning local variable carries one of the _cleanup_*_ attributes and an initialiser. It gives its value away
 * only through TAKE_PTR() or TAKE_FD(), which leave the variable empty. Every destructor accepts an empty value.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(function) __attribute__((__cleanup__(function)))
#define _printf_(format, first) __attribute__((__format__(__printf__, format, first)))
#define _unused_ __attribute__((__unused__))

/* Defines name##p(), the cleanup function of an owning "type" variable, for use with _cleanup_(). */
#define DEFINE_CLEANUP(type, name)                                                                 \
	static inline void name##p(type *value)                                                    \
	{                                                                                          \
		if (*value)                                                                        \
			name(*value);                                                              \
	}                                                                                          \
	struct define_cleanup_##name##_wants_semicolon

#define TAKE_PTR(pointer)                                                                          \
	({                                                                                         \
		__typeof__(pointer) *_source = &(pointer);                                         \
		__typeof__(pointer) _taken = *_source;                                             \
		*_source = NULL;                                                                   \
		_taken;                                                                            \
	})

#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int *_source = &(fd);                                                              \
		int _taken = *_source;                                                             \
		*_source = -1;                                                                     \
		_taken;                                                                            \
	})

static inline void cleanup_free(void *pointer)
{
	free(*(void **)pointer);
}

/* Closes and keeps errno, so that it can stand between a failing call and its report. */
static inline void close_keep_errno(int fd)
{
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
}

static inline void cleanup_close(int *fd)
{
	close_keep_errno(*fd);
}

static inline void cleanup_fclose(FILE **stream)
{
	if (*stream)
		fclose(*stream);
}

#define _cleanup_free_ _cleanup_(cleanup_free)
#define _cleanup_close_ _cleanup_(cleanup_close)
#define _cleanup_fclose_ _cleanup_(cleanup_fclose)

#define ELEMENTSOF(array) (sizeof(array) / sizeof((array)[0]))
