/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Runs a fuzz target over the files of the folders and files that are named: how "make check" replays each corpus without
 * libFuzzer.
 */

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include "agent/base/fileio.h"
#include "agent/base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t replay_file(const char *path)
{
	_cleanup_free_ char *data = NULL;
	size_t length;

	if (fileio_read(AT_FDCWD, path, 64 * 1024 * 1024, &data, &length) < 0) {
		fprintf(stderr, "%s cannot be read\n", path);
		exit(EXIT_FAILURE);
	}
	LLVMFuzzerTestOneInput((const uint8_t *)data, length);
	return 1;
}

static size_t replay_folder(const char *path)
{
	DIR *dir = opendir(path);
	size_t n = 0;

	for (struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
		_cleanup_free_ char *file = NULL;

		if (entry->d_name[0] == '.' || asprintf(&file, "%s/%s", path, entry->d_name) < 0)
			continue;
		n += replay_file(file);
	}
	if (dir)
		closedir(dir);
	return n;
}

int main(int argc, char **argv)
{
	size_t n = 0;

	for (int i = 1; i < argc; i++) {
		struct stat st;

		if (stat(argv[i], &st) == 0)
			n += S_ISDIR(st.st_mode) ? replay_folder(argv[i]) : replay_file(argv[i]);
	}
	printf("%zu inputs replayed\n", n);
	return n > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
