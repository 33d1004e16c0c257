/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/instance/internal.h"

#include <fcntl.h>
#include <unistd.h>

#include "agent/base/fileio.h"
#include "agent/haproxy/check.h"

/*
 * HAProxy judges a configuration before it gets near the running one: it is written into a folder of its own and read there by
 * a "haproxy -c".
 *
 * Before that one opens its first file it is at work for some milliseconds, with its libraries. For a large configuration it is
 * started before the configuration is made: its first file is a pipe, in which there is nothing, and which we close when the
 * others are in place. Should we die, it is closed as well.
 */

#define STAGED "staged"

/* One that is smaller is made before HAProxy would have noticed. */
enum { LARGE_BYTES = 64 * 1024 };

static int make_folder(struct instance *instance, int *ret_fd)
{
	int r = fileio_remove_tree(instance->dir_fd, STAGED);

	return r < 0 ? r : fileio_open_dir(instance->dir_fd, STAGED, 0700, ret_fd);
}

static int start_haproxy(struct instance *instance, int gate_fd, struct error *err)
{
	_cleanup_free_ char *directory = NULL;

	if (asprintf(&directory, "%s/" STAGED, instance->directory) < 0) {
		directory = NULL;
		return error_set_errno(err, -ENOMEM, "%s", instance->directory);
	}
	return haproxy_begin_check(instance->settings->haproxy_cmd, directory, INSTANCE_CONFIG, INSTANCE_OWN_CONFIG, NULL,
		gate_fd, &instance->staged.check, err);
}

/* HAProxy wants to see its files when it starts, whatever is in them. */
static int write_placeholders(int staged_fd)
{
	int r = fileio_write_volatile(staged_fd, INSTANCE_CONFIG, "", 0, 0600);

	return r < 0 ? r : fileio_write_volatile(staged_fd, INSTANCE_OWN_CONFIG, "", 0, 0600);
}

void instance_expect_check(struct instance *instance)
{
	_cleanup_close_ int staged_fd = -1, gate_fd = -1, other_fd = -1;
	int pipe_fds[2];

	if (instance->staged.check.pid || instance->running_length < LARGE_BYTES || access("/dev/stdin", R_OK) < 0 ||
		pipe2(pipe_fds, O_CLOEXEC) < 0)
		return;
	gate_fd = pipe_fds[0];
	other_fd = pipe_fds[1];
	/* What fails here fails again, with words, when it is needed. */
	if (make_folder(instance, &staged_fd) == 0 && write_placeholders(staged_fd) == 0 &&
		start_haproxy(instance, gate_fd, NULL) == 0)
		instance->staged.gate_fd = TAKE_FD(other_fd);
}

static int write_staged(struct instance *instance, const struct load_balancer *lb, const struct rendered *rendered)
{
	_cleanup_free_ char *own = NULL;
	_cleanup_close_ int staged_fd = -1;
	size_t own_length;
	int r;

	r = instance->staged.check.pid ? fileio_open_dir(instance->dir_fd, STAGED, 0700, &staged_fd)
				       : make_folder(instance, &staged_fd);
	if (r == 0)
		r = instance_write_volatile(staged_fd, rendered);
	if (r == 0)
		r = instance_write_no_states(staged_fd);
	if (r == 0)
		r = instance_own_config(instance, lb, &own, &own_length);
	return r < 0 ? r : fileio_write_volatile(staged_fd, INSTANCE_OWN_CONFIG, own, own_length, 0600);
}

static void open_gate(struct instance *instance)
{
	if (instance->staged.gate_fd >= 0)
		close(TAKE_FD(instance->staged.gate_fd));
}

int instance_begin_check(
	struct instance *instance, const struct load_balancer *lb, const struct rendered *rendered, struct error *err)
{
	int r = write_staged(instance, lb, rendered);

	if (r < 0) {
		instance_drop_check(instance);
		return error_set_errno(err, r, "cannot write %s/" STAGED, instance->directory);
	}
	if (!instance->staged.check.pid)
		return start_haproxy(instance, -1, err);
	open_gate(instance);
	return 0;
}

int instance_end_check(struct instance *instance, char **ret_verdict, struct error *err)
{
	int r = haproxy_end_check(instance->settings->haproxy_cmd, &instance->staged.check, ret_verdict, err);

	fileio_remove_tree(instance->dir_fd, STAGED);
	return r;
}

void instance_drop_check(struct instance *instance)
{
	process_job_done(&instance->staged.check);
	open_gate(instance);
	fileio_remove_tree(instance->dir_fd, STAGED);
}

void instance_expect_no_check(struct instance *instance)
{
	if (instance->staged.check.pid)
		instance_drop_check(instance);
}

int instance_check_staged(struct instance *instance, const struct load_balancer *lb, const struct rendered *rendered,
	char **ret_verdict, struct error *err)
{
	int r = instance_begin_check(instance, lb, rendered, err);

	return r < 0 ? r : instance_end_check(instance, ret_verdict, err);
}
