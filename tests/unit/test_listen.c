/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "agent/base/fileio.h"
#include "agent/base/text.h"
#include "api/listen.h"

struct fixture {
	char folder[64];
	char path[128]; /* of a socket in a folder that does not exist yet */
};

static int setup(void **state)
{
	static struct fixture fixture;
	const char *base = getenv("TMPDIR");

	snprintf(fixture.folder, sizeof(fixture.folder), "%s/listen-XXXXXX",
		base && strlen(base) < 32 ? base : "/tmp");
	if (!mkdtemp(fixture.folder))
		return -1;
	snprintf(fixture.path, sizeof(fixture.path), "%s/new/folder/agent.sock", fixture.folder);
	*state = &fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	return fileio_remove_tree(AT_FDCWD, fixture->folder);
}

static void assert_parse(const char *text, enum error_code code)
{
	_cleanup_(listen_address_done) struct listen_address address = {0};
	_cleanup_error_ struct error err = ERROR_INIT;
	int r = listen_address_parse(text, &address, &err);

	if (r != (code == _ERROR_CODE_MAX ? 0 : error_code_to_errno(code)))
		fail_msg("%s: %d, %s", text, r, error_message(&err));
	if (r < 0) {
		assert_null(address.path);
		assert_null(address.address);
	}
}

static void test_parse(void **state _unused_)
{
	const enum error_code fine = _ERROR_CODE_MAX;
	char path[256] = "unix:/";
	struct listen_address address = {0};

	assert_int_equal(
		listen_address_parse("unix:/run/amphorad/amphorad.sock", &address, NULL), 0);
	assert_int_equal(address.kind, LISTEN_UNIX);
	assert_string_equal(address.path, "/run/amphorad/amphorad.sock");
	listen_address_done(&address);
	assert_int_equal(listen_address_parse("http://[::1]:8080", &address, NULL), 0);
	assert_int_equal(address.kind, LISTEN_HTTP);
	assert_string_equal(address.address, "::1");
	assert_int_equal(address.port, 8080);
	listen_address_done(&address);

	assert_parse("http://127.0.0.1:0", fine);
	assert_parse("http://127.255.1.2:65535", fine);
	assert_parse("http://0.0.0.0:80", ERROR_FORBIDDEN);
	assert_parse("http://[::]:80", ERROR_FORBIDDEN);
	assert_parse("http://192.0.2.1:80", ERROR_FORBIDDEN);
	assert_parse("http://[::ffff:192.0.2.1]:80", ERROR_FORBIDDEN);
	assert_parse("http://[2001:db8::1]:80", ERROR_FORBIDDEN);
	assert_parse("http://128.0.0.1:80", ERROR_FORBIDDEN);
	assert_parse("https://[::]:9443", fine);
	assert_parse("https://0.0.0.0:9443", fine);
	assert_parse("https://192.0.2.1:443", fine);
	assert_parse("https://[2001:db8::1]:0", fine);
	assert_parse("https://example.com:9443", ERROR_INVALID);
	assert_parse("https://:::9443", ERROR_INVALID);
	assert_parse("https://[::]", ERROR_INVALID);
	assert_parse("https://", ERROR_INVALID);
	assert_parse("http://localhost:80", ERROR_INVALID);
	assert_parse("http://127.0.0.1", ERROR_INVALID);
	assert_parse("http://127.0.0.1:", ERROR_INVALID);
	assert_parse("http://127.0.0.1:65536", ERROR_INVALID);
	assert_parse("http://127.0.0.1:-1", ERROR_INVALID);
	assert_parse("http://127.0.0.1:80/", ERROR_INVALID);
	assert_parse("http://::1:80", ERROR_INVALID);
	assert_parse("http://[127.0.0.1]:80", ERROR_INVALID);
	assert_parse("http://[::1:80", ERROR_INVALID);
	assert_parse("http://]:80", ERROR_INVALID);
	assert_parse("http://[]:80", ERROR_INVALID);
	assert_parse("http://[:80", ERROR_INVALID);
	assert_parse("http://:80", ERROR_INVALID);
	assert_parse("http://", ERROR_INVALID);
	assert_parse("unix:relative", ERROR_INVALID);
	assert_parse("unix:", ERROR_INVALID);
	assert_parse("unix:/folder/", ERROR_INVALID);
	assert_parse("unix:/a\nb", ERROR_INVALID);
	assert_parse("", ERROR_INVALID);
	assert_parse("/run/x.sock", ERROR_INVALID);
	memset(path + 6, 'x', 107);
	assert_parse(path, ERROR_INVALID);
	path[5 + 107] = '\0';
	assert_parse(path, fine);
}

static int open_unix(const char *path, const char *group, struct listening *ret, struct error *err)
{
	const struct listen_address address = {
		.kind = LISTEN_UNIX, .path = (char *)(uintptr_t)path};

	return listening_open(&address, group, ret, err);
}

static void test_unix(void **state)
{
	const struct fixture *fixture = *state;
	struct listening listening = LISTENING_INIT, second = LISTENING_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ char *name = NULL;
	mode_t saved = umask(0);
	struct stat st;
	int r;

	r = open_unix(fixture->path, NULL, &listening, &err);
	umask(saved);
	if (r < 0)
		fail_msg("%s", error_message(&err));
	assert_int_equal(asprintf(&name, "unix:%s", fixture->path) > 0, 1);
	assert_string_equal(listening.name, name);
	assert_false(listening.is_tcp);
	assert_int_equal(stat(fixture->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);

	assert_int_equal(open_unix(fixture->path, NULL, &second, &err), -EEXIST);
	assert_non_null(strstr(error_message(&err), "another amphorad listens there"));
	assert_int_equal(second.fd, -1);
	assert_int_equal(stat(fixture->path, &st), 0);

	/* A crash: the descriptor is gone, the file stays. It is replaced. */
	close(listening.fd);
	listening.fd = -1;
	assert_int_equal(open_unix(fixture->path, NULL, &second, NULL), 0);
	/* The first owner's farewell must not remove the successor's socket, */
	listening.inode = 0;
	listening_done(&listening);
	assert_int_equal(stat(fixture->path, &st), 0);
	/* but the successor's own does. */
	listening_done(&second);
	assert_int_equal(stat(fixture->path, &st), -1);
}

static void test_unix_umask(void **state)
{
	const struct fixture *fixture = *state;
	_cleanup_listening_ struct listening listening = LISTENING_INIT;
	mode_t saved = umask(0777);
	struct stat st;
	int r;

	r = open_unix(fixture->path, NULL, &listening, NULL);
	umask(saved);
	assert_int_equal(r, 0);
	assert_int_equal(stat(fixture->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
}

static void test_unix_in_the_way(void **state)
{
	const struct fixture *fixture = *state;
	_cleanup_listening_ struct listening listening = LISTENING_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/file", fixture->folder);
	assert_int_equal(fileio_write(AT_FDCWD, path, "x", 1, 0600), 0);
	assert_int_equal(open_unix(path, NULL, &listening, &err), -EEXIST);
	assert_non_null(strstr(error_message(&err), "is no socket"));
	assert_int_equal(stat(path, &st), 0);
}

static void test_group(void **state)
{
	const struct fixture *fixture = *state;
	_cleanup_listening_ struct listening listening = LISTENING_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;
	const struct group *own = getgrgid(getgid());
	struct stat st;

	assert_int_equal(open_unix(fixture->path, "no-such-group-here", &listening, &err), -ENOENT);
	assert_non_null(strstr(error_message(&err), "groupadd"));
	assert_int_equal(stat(fixture->path, &st), -1);
	if (!own)
		skip();
	assert_int_equal(open_unix(fixture->path, own->gr_name, &listening, NULL), 0);
	assert_int_equal(stat(fixture->path, &st), 0);
	assert_int_equal(st.st_gid, getgid());
}

static void test_http(void **state _unused_)
{
	struct listen_address address = {
		.kind = LISTEN_HTTP, .address = (char *)(uintptr_t) "127.0.0.1"};
	_cleanup_listening_ struct listening listening = LISTENING_INIT, second = LISTENING_INIT;
	const char *port;

	assert_int_equal(listening_open(&address, NULL, &listening, NULL), 0);
	assert_true(listening.is_tcp);
	port = text_after_prefix(listening.name, "http://127.0.0.1:");
	assert_non_null(port);
	address.port = atoi(port);
	assert_true(address.port > 0);
	assert_int_equal(listening_open(&address, NULL, &second, NULL), -EADDRINUSE);
	address.address = (char *)(uintptr_t) "0.0.0.0";
	assert_int_equal(listening_open(&address, NULL, &second, NULL),
		error_code_to_errno(ERROR_FORBIDDEN));
}

static void test_https(void **state _unused_)
{
	struct listen_address address = {
		.kind = LISTEN_HTTPS, .address = (char *)(uintptr_t) "0.0.0.0"};
	_cleanup_listening_ struct listening any = LISTENING_INIT, loopback = LISTENING_INIT;

	assert_int_equal(listening_open(&address, NULL, &any, NULL), 0);
	assert_true(any.is_tcp && any.is_tls);
	assert_non_null(text_after_prefix(any.name, "https://0.0.0.0:"));
	address.kind = LISTEN_HTTP;
	address.address = (char *)(uintptr_t) "127.0.0.1";
	assert_int_equal(listening_open(&address, NULL, &loopback, NULL), 0);
	assert_true(loopback.is_tcp && !loopback.is_tls);
}

static int tcp_socket(const char *ip, bool do_listen)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(inet_pton(AF_INET, ip, &address.sin_addr), 1);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	if (do_listen)
		assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void assert_not_adopted(int fd, enum error_code code)
{
	_cleanup_listening_ struct listening listening = LISTENING_INIT;

	assert_int_equal(listening_adopt(fd, &listening, NULL), error_code_to_errno(code));
	assert_int_equal(listening.fd, -1);
	assert_int_equal(fcntl(fd, F_GETFD), -1); /* taken, and so closed */
}

static void test_adopt(void **state)
{
	const struct fixture *fixture = *state;
	_cleanup_listening_ struct listening tcp = LISTENING_INIT, local = LISTENING_INIT;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat st;
	int fd;

	assert_not_adopted(tcp_socket("127.0.0.1", false), ERROR_INVALID);
	assert_not_adopted(tcp_socket("0.0.0.0", true), ERROR_FORBIDDEN);
	assert_int_equal(listening_adopt(tcp_socket("127.0.0.1", true), &tcp, NULL), 0);
	assert_true(tcp.is_tcp);
	assert_int_equal(fcntl(tcp.fd, F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(tcp.fd, F_GETFL) & O_NONBLOCK);

	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/x", fixture->folder);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(listening_adopt(fd, &local, NULL), 0);
	assert_string_equal(local.name + strlen("unix:"), address.sun_path);
	/* systemd's socket is not ours to remove. */
	listening_done(&local);
	assert_int_equal(stat(address.sun_path, &st), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test_setup_teardown(test_unix, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unix_umask, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unix_in_the_way, setup, teardown),
		cmocka_unit_test_setup_teardown(test_group, setup, teardown),
		cmocka_unit_test(test_http),
		cmocka_unit_test(test_https),
		cmocka_unit_test_setup_teardown(test_adopt, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
