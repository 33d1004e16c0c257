/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/error.h"

#include <string.h>

static const int errno_of[_ERROR_CODE_MAX] = {
	[ERROR_INTERNAL] = EIO,
	[ERROR_INVALID] = EINVAL,
	[ERROR_FORBIDDEN] = EACCES,
	[ERROR_NOT_FOUND] = ENOENT,
	[ERROR_METHOD] = EPERM,
	[ERROR_CONFLICT] = EEXIST,
	[ERROR_STALE] = ESTALE,
	[ERROR_TOO_LARGE] = EFBIG,
	[ERROR_MEDIA_TYPE] = EMEDIUMTYPE,
	[ERROR_UNSUPPORTED] = EOPNOTSUPP,
	[ERROR_BUSY] = EBUSY,
	[ERROR_HAPROXY] = EBADMSG,
	[ERROR_APPLY] = ECHILD,
};

int error_code_to_errno(enum error_code code)
{
	return -errno_of[code];
}

static char *_printf_(1, 0) format_or_null(const char *format, va_list arguments)
{
	char *text = NULL;

	if (vasprintf(&text, format, arguments) < 0)
		return NULL;
	return text;
}

int error_set(struct error *err, enum error_code code, const char *pointer, const char *format, ...)
{
	if (err) {
		/* The words may be those that are replaced: they are freed last. */
		struct error next = {.code = code, .pointer = pointer ? strdup(pointer) : NULL};
		va_list arguments;

		va_start(arguments, format);
		next.message = format_or_null(format, arguments);
		va_end(arguments);
		error_done(err);
		*err = next;
	}
	return error_code_to_errno(code);
}

int error_set_errno(struct error *err, int r, const char *format, ...)
{
	if (err) {
		_cleanup_free_ char *what = NULL;
		va_list arguments;

		va_start(arguments, format);
		what = format_or_null(format, arguments);
		va_end(arguments);
		error_set(err, ERROR_INTERNAL, NULL, "%s: %s", what ? what : "system call",
			strerror(r < 0 ? -r : r));
	}
	return r;
}

int error_wrap(struct error *err, int r, const char *format, ...)
{
	if (err && err->message) {
		_cleanup_free_ char *context = NULL;
		char *wrapped = NULL;
		va_list arguments;

		va_start(arguments, format);
		context = format_or_null(format, arguments);
		va_end(arguments);
		if (context && asprintf(&wrapped, "%s: %s", context, err->message) >= 0) {
			free(err->message);
			err->message = wrapped;
		}
	}
	return r;
}

const char *error_message(const struct error *err)
{
	return err && err->message ? err->message : "no memory to describe the error";
}

void error_done(struct error *err)
{
	if (!err)
		return;
	free(err->pointer);
	free(err->message);
	*err = ERROR_INIT;
}
