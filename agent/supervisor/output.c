/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/supervisor/output.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/base/fileio.h"

static int open_regular(const char *path, int flags, int *ret_fd, off_t *ret_size)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	/* O_NONBLOCK: a FIFO in its place must not stop us. It means nothing to a regular file. */
	fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0600);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	*ret_fd = TAKE_FD(fd);
	*ret_size = st.st_size;
	return 0;
}

int output_create(const char *path, int *ret_fd)
{
	_cleanup_close_ int fd = -1;
	off_t size;
	int r;

	r = open_regular(path, O_WRONLY | O_CREAT | O_APPEND, &fd, &size);
	if (r < 0)
		return r;
	if (ftruncate(fd, 0) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

off_t output_size(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISREG(st.st_mode) ? st.st_size : 0;
}

static int read_at(int fd, off_t offset, char *buffer, size_t size, size_t *ret_length)
{
	size_t length = 0;

	while (length < size) {
		ssize_t n = pread(fd, buffer + length, size - length, offset + (off_t)length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		length += (size_t)n;
	}
	*ret_length = length;
	return 0;
}

/* Length of the printable character at "s", 0 if there is none. Well-formed UTF-8 as in Unicode,
 * table 3-7. */
static size_t printable_length(const unsigned char *s, size_t left)
{
	static const struct {
		unsigned char first_min, first_max, second_min, second_max;
		size_t length;
	} forms[] = {
		{0xc2, 0xc2, 0xa0, 0xbf, 2}, /* U+0080 to U+009F are control characters */
		{0xc3, 0xdf, 0x80, 0xbf, 2},
		{0xe0, 0xe0, 0xa0, 0xbf, 3},
		{0xe1, 0xec, 0x80, 0xbf, 3},
		{0xed, 0xed, 0x80, 0x9f, 3}, /* no surrogates */
		{0xee, 0xef, 0x80, 0xbf, 3},
		{0xf0, 0xf0, 0x90, 0xbf, 4},
		{0xf1, 0xf3, 0x80, 0xbf, 4},
		{0xf4, 0xf4, 0x80, 0x8f, 4},
	};

	if (s[0] < 0x80)
		return (s[0] >= 0x20 && s[0] != 0x7f) || s[0] == '\n' || s[0] == '\t' ? 1 : 0;
	for (size_t i = 0; i < ELEMENTSOF(forms); i++) {
		if (s[0] < forms[i].first_min || s[0] > forms[i].first_max)
			continue;
		if (left < forms[i].length || s[1] < forms[i].second_min ||
			s[1] > forms[i].second_max)
			return 0;
		for (size_t k = 2; k < forms[i].length; k++)
			if ((s[k] & 0xc0) != 0x80)
				return 0;
		return forms[i].length;
	}
	return 0;
}

void output_make_harmless(char *text, size_t length)
{
	for (size_t i = 0; i < length;) {
		size_t n = printable_length((const unsigned char *)text + i, length - i);

		if (n == 0)
			text[i] = '?';
		i += n ? n : 1;
	}
}

int output_tail(const char *path, off_t since, char **ret_text)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int fd = -1;
	size_t length = 0;
	bool cut = false;
	off_t size = 0;
	int r;

	text = malloc(OUTPUT_TAIL_MAX + 1);
	if (!text)
		return -ENOMEM;
	r = open_regular(path, O_RDONLY, &fd, &size);
	if (r < 0 && r != -ENOENT)
		return r;
	if (fd >= 0) {
		if (since < 0 || since > size)
			since = 0; /* cut by someone else */
		cut = size - since > OUTPUT_TAIL_MAX;
		if (cut)
			since = size - OUTPUT_TAIL_MAX;
		r = read_at(fd, since, text, OUTPUT_TAIL_MAX, &length);
		if (r < 0)
			return r;
	}
	if (cut) {
		const char *newline = memchr(text, '\n', length);

		if (newline) {
			length -= (size_t)(newline + 1 - text);
			memmove(text, newline + 1, length);
		}
	}
	output_make_harmless(text, length);
	text[length] = '\0';
	*ret_text = TAKE_PTR(text);
	return 0;
}

int output_trim(const char *path, off_t *since)
{
	_cleanup_free_ char *tail = NULL;
	_cleanup_close_ int fd = -1;
	size_t length = 0;
	off_t size, removed;
	int r;

	if (output_size(path) <= OUTPUT_FILE_MAX)
		return 0;
	tail = malloc(OUTPUT_TAIL_MAX);
	if (!tail)
		return -ENOMEM;
	r = open_regular(path, O_RDWR | O_APPEND, &fd, &size);
	if (r < 0)
		return r;
	removed = size > OUTPUT_TAIL_MAX ? size - OUTPUT_TAIL_MAX : 0;
	r = read_at(fd, removed, tail, OUTPUT_TAIL_MAX, &length);
	if (r < 0)
		return r;
	if (ftruncate(fd, 0) < 0)
		return -errno;
	*since = *since > removed ? *since - removed : 0;
	return fileio_write_all(fd, tail, length);
}
