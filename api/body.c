/* SPDX-License-Identifier: Apache-2.0 */
#include "api/body.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "agent/base/fileio.h"

enum { FIRST_ALLOCATION = 16 * 1024 };

static int refuse_busy(struct error *err)
{
	return error_set(err, ERROR_BUSY, NULL, "too much is being uploaded at once; try again");
}

static bool is_spooled(const struct body_budget *budget, bool secret, size_t length)
{
	return budget->spool_dir && !secret && length > SPOOL_BYTES;
}

int body_check_budget(struct body_budget *budget, bool secret, size_t length, struct error *err)
{
	bool spooled = is_spooled(budget, secret, length);
	size_t used = atomic_load(spooled ? &budget->spooled : &budget->used);
	size_t max = spooled ? budget->spool_max : budget->max;

	if (used > max || length > max - used)
		return refuse_busy(err);
	return 0;
}

static bool take(atomic_size_t *counter, size_t max, size_t bytes)
{
	size_t used = atomic_load(counter);

	do {
		if (used > max || bytes > max - used)
			return false;
	} while (!atomic_compare_exchange_weak(counter, &used, used + bytes));
	return true;
}

/* Doubles, but not beyond what was announced, so that a large body is not held in twice its size.
 */
static size_t next_allocation(const struct body *body, size_t wanted, size_t expected)
{
	size_t allocated = body->allocated ? 2 * body->allocated : FIRST_ALLOCATION;

	if (expected > 0 && allocated > expected + 1)
		allocated = expected + 1;
	return allocated < wanted ? wanted : allocated;
}

/* A secret is moved by hand: realloc() would leave a copy behind. */
static char *grow(struct body *body, size_t allocated)
{
	char *data;

	if (!body->secret)
		return realloc(body->data, allocated);
	data = malloc(allocated);
	if (!data)
		return NULL;
	if (body->data) {
		memcpy(data, body->data, body->length);
		explicit_bzero(body->data, body->length);
		free(body->data);
	}
	return data;
}

static int append_to_memory(struct body *body, const void *bytes, size_t length, size_t expected, struct error *err)
{
	if (body->length + length + 1 > body->allocated) {
		size_t allocated = next_allocation(body, body->length + length + 1, expected);
		size_t more = allocated - body->allocated;
		char *data;

		if (!take(&body->budget->used, body->budget->max, more))
			return refuse_busy(err);
		data = grow(body, allocated);
		if (!data) {
			atomic_fetch_sub(&body->budget->used, more);
			return refuse_busy(err);
		}
		body->data = data;
		body->allocated = allocated;
	}
	memcpy(body->data + body->length, bytes, length);
	body->length += length;
	body->data[body->length] = '\0';
	return 0;
}

static void free_memory(struct body *body)
{
	if (body->secret && body->data)
		explicit_bzero(body->data, body->length);
	free(TAKE_PTR(body->data));
	atomic_fetch_sub(&body->budget->used, body->allocated);
	body->allocated = 0;
}

static int append_to_file(struct body *body, const void *bytes, size_t length, struct error *err)
{
	int r;

	if (!take(&body->budget->spooled, body->budget->spool_max, length))
		return refuse_busy(err);
	body->length += length; /* counted from here on, also if the disk is full */
	r = fileio_write_all(body->spool_fd, bytes, length);
	if (r < 0)
		return error_set_errno(err, r, "the body cannot be kept in %s", body->budget->spool_dir);
	return 0;
}

/* Moves what there is into a file without a name. Without one the body stays in memory, within that budget. */
static int begin_spool(struct body *body, struct error *err)
{
	_cleanup_free_ char *data = NULL;
	size_t length = body->length;

	body->spool_fd = open(body->budget->spool_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (body->spool_fd < 0 || length == 0)
		return 0;
	data = TAKE_PTR(body->data);
	free_memory(body);
	body->length = 0;
	return append_to_file(body, data, length, err);
}

int body_append(struct body *body, const void *bytes, size_t length, size_t max, size_t expected,
	struct error *err)
{
	int r;

	if (length > max || body->length > max - length)
		return error_set(err, ERROR_TOO_LARGE, NULL,
			"the body is too large; at most %zu bytes are taken here", max);
	if (body->spool_fd < 0 &&
		is_spooled(body->budget, body->secret, expected > body->length + length ? expected : body->length + length)) {
		r = begin_spool(body, err);
		if (r < 0)
			return r;
	}
	return body->spool_fd >= 0 ? append_to_file(body, bytes, length, err)
				   : append_to_memory(body, bytes, length, expected, err);
}

int body_finish(struct body *body, const char **ret, struct error *err)
{
	void *view;

	if (body->spool_fd >= 0 && !body->data) {
		/* One byte more, which reads as the NUL at the end. */
		if (ftruncate(body->spool_fd, (off_t)body->length + 1) < 0)
			return error_set_errno(err, -errno, "the body cannot be read back");
		view = mmap(NULL, body->length + 1, PROT_READ, MAP_PRIVATE, body->spool_fd, 0);
		if (view == MAP_FAILED)
			return error_set_errno(err, -errno, "the body cannot be read back");
		body->data = view;
		body->mapped = body->length + 1;
	}
	*ret = body->data ? body->data : "";
	return 0;
}

void body_done(struct body *body)
{
	if (body->mapped > 0)
		munmap(body->data, body->mapped);
	else if (body->budget)
		free_memory(body);
	if (body->spool_fd >= 0) {
		close(body->spool_fd);
		atomic_fetch_sub(&body->budget->spooled, body->length);
	}
	*body = BODY_INIT(body->budget);
}
