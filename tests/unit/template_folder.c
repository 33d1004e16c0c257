/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/template_folder.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>

#include "agent/base/fileio.h"
#include "tests/unit/quotes.h"

void folder_init(struct folder *folder)
{
	const char *tmp = getenv("TMPDIR");

	if (!tmp || strlen(tmp) > 32)
		tmp = "/tmp";
	snprintf(folder->path, sizeof(folder->path), "%s/template-XXXXXX", tmp);
	assert_non_null(mkdtemp(folder->path));
	folder->fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(folder->fd >= 0);
}

void folder_done(struct folder *folder)
{
	close(folder->fd);
	assert_int_equal(fileio_remove_tree(AT_FDCWD, folder->path), 0);
}

void folder_write(
	const struct folder *folder, const char *name, const char *text, size_t length)
{
	char file[64];

	snprintf(file, sizeof(file), "%s.mustache", name);
	assert_int_equal(fileio_write_volatile(folder->fd, file, text, length, 0600), 0);
}

void folder_fill(const struct folder *folder, const struct file *files, size_t n_files)
{
	for (size_t i = 0; i < n_files && files[i].name; i++)
		folder_write(folder, files[i].name, files[i].text, strlen(files[i].text));
}
