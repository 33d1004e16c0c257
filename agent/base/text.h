/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Text: a growing buffer, and the checks that every string from outside goes through.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "agent/base/cleanup.h"

/*
 * A growing, always NUL-terminated buffer. A failed allocation is remembered: later appends do nothing and
 * text_finish() returns -ENOMEM, so that a writer checks once, at the end.
 */
struct text {
	char *data; /* owned; NULL while nothing was appended */
	size_t length;
	size_t allocated;
	bool failed;
};

#define TEXT_INIT ((struct text){0})
#define _cleanup_text_ _cleanup_(text_done)

void text_append_bytes(struct text *text, const void *bytes, size_t length);
void text_append(struct text *text, const char *string);
void text_append_char(struct text *text, char c);
void text_printf(struct text *text, const char *format, ...) _printf_(2, 3);
void text_truncate(struct text *text, size_t length);
/* Gives the content away (never NULL, "" if empty) and leaves the buffer empty. -ENOMEM if any append failed. */
int text_finish(struct text *text, char **ret_string, size_t *ret_length);
/* What was written so far, "" if nothing. Valid until the next append. */
const char *text_peek(const struct text *text);
void text_done(struct text *text);

static inline bool streq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

/* Equal, where NULL equals only NULL. */
static inline bool streq_null(const char *a, const char *b)
{
	return a && b ? streq(a, b) : a == b;
}

/* The part of "string" after "prefix", or NULL if it does not start so. */
const char *text_after_prefix(const char *string, const char *prefix);

/* Whole-string decimal integer with an optional sign, no blanks. -EINVAL or -ERANGE. */
int text_to_int64(const char *string, int64_t *ret_value);

/* true, yes, on, 1 / false, no, off, 0 in any case, as oslo.config reads booleans. -EINVAL. */
int text_to_bool(const char *string, bool *ret_value);

/* A canonical UUID: 36 characters, lower-case hexadecimal, hyphens in place. It can be a file name. */
bool text_is_uuid(const char *string);

/* No byte below 0x20 and no 0x7f (DEL). C1 controls in UTF-8 (U+0080 to U+009F) are refused too. */
bool text_has_control(const char *string, size_t length);

/* Length of the UTF-8 sequence (RFC 3629) at the start of "length" bytes, 0 if there is no valid one. Overlong forms,
 * surrogates and code points over U+10FFFF are not valid. */
size_t utf8_sequence(const char *bytes, size_t length);

/* Puts '?' for each byte of what text_has_control() refuses and of what is no UTF-8. */
void text_make_printable(char *string);

/* Splits at "separator", trims blanks, leaves empty parts out. The result is NULL-terminated; free with strv_free(). */
int text_split(const char *string, char separator, char ***ret_parts);

/* Lower-case hexadecimal of "length" bytes into 2 * length + 1 characters. */
void text_hex(const uint8_t *bytes, size_t length, char *ret_hex);

/* Characters to insert, delete or replace (Levenshtein) to get from one word to the other. SIZE_MAX: one of them is longer than
 * 32 bytes. */
size_t text_distance(const char *a, const char *b);

/* Arrays of strings that end in NULL. */
size_t strv_length(char *const *strings);
/* Appends to "*strings", which has "*n" of them and may be NULL. Takes "string" also when it fails: NULL, an allocation
 * that failed, is -ENOMEM here. */
int strv_push(char ***strings, size_t *n, char *string);
void strv_free(char **strings);
DEFINE_CLEANUP(char **, strv_free);
#define _cleanup_strv_ _cleanup_(strv_freep)
#define STRV_FOREACH(item, strings)                                                                \
	for (char *const *item = (char *const *)(strings); item && *item; item++)
