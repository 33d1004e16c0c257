/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A folder of templates that lives as long as one test.
 */

#include <stddef.h>


struct file {
	const char *name; /* without ".mustache" */
	const char *text;
};

/* A folder of templates that lives as long as one test. */
struct folder {
	char path[64];
	int fd;
};

void folder_init(struct folder *folder);
void folder_done(struct folder *folder);
void folder_write(
	const struct folder *folder, const char *name, const char *text, size_t length);
void folder_fill(const struct folder *folder, const struct file *files, size_t n_files);
