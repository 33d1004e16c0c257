/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/direct_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>

#include "agent/base/fileio.h"
#include "tests/unit/ports.h"

#define LB_ID "8a562351-f0a5-4e9c-a1d5-6f1c5c0a9d7e"

const char *find_haproxy(void)
{
	static const char *const places[] = {
		"/usr/sbin/haproxy", "/usr/local/sbin/haproxy", "/usr/bin/haproxy"};

	for (size_t i = 0; i < ELEMENTSOF(places); i++)
		if (access(places[i], X_OK) == 0)
			return places[i];
	return NULL;
}

void adopt(struct fixture *f)
{
	if (!f->supervisor)
		assert_int_equal(supervisor_direct_new(on_event, f, &f->supervisor, NULL), 0);
	adopt_unit(f);
}

int setup(void **state)
{
	const char *base = getenv("TMPDIR");
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	snprintf(f->id, sizeof(f->id), LB_ID);
	snprintf(f->directory, sizeof(f->directory), "%s/direct-XXXXXX", base ? base : "/tmp");
	assert_non_null(mkdtemp(f->directory));
	snprintf(f->haproxy, sizeof(f->haproxy), "%s/haproxy", f->directory);
	snprintf(f->config, sizeof(f->config), "%s/haproxy.cfg", f->directory);
	snprintf(f->own_config, sizeof(f->own_config), "%s/own.cfg", f->directory);
	snprintf(f->socket, sizeof(f->socket), "%s/master.sock", f->directory);
	snprintf(f->pid_file, sizeof(f->pid_file), "%s/haproxy.pid", f->directory);
	snprintf(f->log_file, sizeof(f->log_file), "%s/haproxy.log", f->directory);
	f->spec = spec_of(f, f->haproxy, "peer");
	f->port = (uint16_t)free_port();
	assert_int_equal(symlink(find_haproxy(), f->haproxy), 0);
	write_file(f->own_config, "global\n    hard-stop-after 60s\n");
	write_config(f, "");
	adopt(f);
	*state = f;
	return 0;
}

int teardown(void **state)
{
	struct fixture *f = *state;

	if (!f->unit)
		adopt(f); /* a test failed half-way: find what it left running */
	ops(f)->stop(f->unit, 0, NULL);
	ops(f)->release(f->unit);
	ops(f)->free(f->supervisor);
	assert_int_equal(fileio_remove_tree(AT_FDCWD, f->directory), 0);
	free(f);
	return 0;
}
