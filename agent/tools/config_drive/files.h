/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The files that a config drive wants to be written: a growing list, decoded and checked, not written yet.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "agent/base/error.h"

enum {
	DRIVE_FILES_MAX = 1000,
	DRIVE_CONTENT_MAX = 16 * 1024 * 1024, /* of all of them; nova keeps user data below 64 KiB */
};

struct drive_file {
	char *path;    /* absolute, of plain components only */
	char *content; /* NUL-terminated after "length" bytes, which may be any */
	size_t length;
	char *owner;   /* USER or USER:GROUP, names or numbers; NULL: root */
	mode_t mode;
	bool append;
};

struct drive_files {
	struct drive_file *items;
	size_t count;
	size_t bytes;
};

#define DRIVE_FILES_INIT ((struct drive_files){0})
void drive_files_done(struct drive_files *files);
#define _cleanup_drive_files_ _cleanup_(drive_files_done)

/* Adds a file and takes what it owns, which is empty afterwards, also if it is refused: for a path that is not absolute or
 * has ".", "..", empty parts or control characters, and over the limits above. "where" says where it was found. */
int drive_files_add(struct drive_files *files, struct drive_file *file, const char *where, struct error *err);
void drive_file_done(struct drive_file *file);
#define _cleanup_drive_file_ _cleanup_(drive_file_done)

/* The mode of a file for which none is given: keys and passwords are in the agent's folders. */
mode_t drive_file_default_mode(const char *path);

/* "content" as write_files of cloud-init has it; "encoding" is NULL for plain text. Of the encodings b64, base64, gz, gzip
 * and both of them (gz+b64 and so on). At most "limit" bytes come out. */
int drive_decode(const char *encoding, const char *content, size_t length, size_t limit, char **ret_content,
	size_t *ret_length, struct error *err);
int drive_gunzip(const char *data, size_t length, size_t limit, char **ret_data, size_t *ret_length, struct error *err);
