/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The file that takes what a supervised program writes to stdout and stderr.
 *
 * The program appends to it for as long as it lives, so it is opened O_APPEND and never replaced:
 * whoever cuts it does so in place. Nothing in it is trusted.
 */

#include <stddef.h>
#include <sys/types.h>

enum {
	OUTPUT_TAIL_MAX = 16 * 1024,   /* bytes given to a reader, and kept when the file is cut */
	OUTPUT_FILE_MAX = 1024 * 1024, /* over it the file is cut */
};

/* Opens the file for a program's output, 0600 if it is created, and empties it. A regular file or
 * nothing. */
int output_create(const char *path, int *ret_fd);

/* Its size, 0 if there is none. */
off_t output_size(const char *path);

/* What stands at and after "since", at most the last OUTPUT_TAIL_MAX bytes of it, from the start of
 * a line on. Bytes that are no UTF-8 and control characters but tab and newline read '?'. "" if
 * there is no file. */
int output_tail(const char *path, off_t since, char **ret_text);

/* What a program wrote made fit to be shown: see output_tail(). */
void output_make_harmless(char *text, size_t length);

/* Cuts a file of more than OUTPUT_FILE_MAX bytes down to its tail, and moves "since" with it. Lines
 * that are written at that very moment may be lost. */
int output_trim(const char *path, off_t *since);
