/* SPDX-License-Identifier: Apache-2.0 */

/* Reading a config drive and doing what it says, in folders of the test's own. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/text.h"
#include "agent/tools/config_drive/apply.h"
#include "agent/tools/config_drive/cloud_config.h"
#include "agent/tools/config_drive/network_data.h"

#define ID "6f1c5c0a-f0a5-4e9c-a1d5-8a5623510a9d"
#define META "{\"uuid\": \"" ID "\", \"hostname\": \"amphora-1.novalocal\""

struct fixture {
	char folder[64];
	char *drive, *root;
	int fd; /* of the drive */
};

static char *join(const char *a, const char *b)
{
	char *joined = NULL;

	assert_true(asprintf(&joined, "%s%s", a, b) > 0);
	return joined;
}

static void put(const struct fixture *f, const char *name, const char *content)
{
	_cleanup_free_ char *path = join(f->drive, name);

	assert_int_equal(fileio_write_volatile(AT_FDCWD, path, content, strlen(content), 0644), 0);
}

static int setup(void **state)
{
	static struct fixture f;
	_cleanup_free_ char *latest = NULL, *content = NULL;

	snprintf(f.folder, sizeof(f.folder), "/tmp/test-config-drive-XXXXXX");
	assert_non_null(mkdtemp(f.folder));
	f.drive = join(f.folder, "/drive/");
	f.root = join(f.folder, "/root");
	latest = join(f.drive, "openstack/latest");
	content = join(f.drive, "openstack/content");
	assert_int_equal(fileio_make_dirs(latest, 0755), 0);
	assert_int_equal(fileio_make_dirs(content, 0755), 0);
	assert_int_equal(fileio_make_dirs(f.root, 0755), 0);
	f.fd = open(f.drive, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f.fd >= 0);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->fd);
	assert_int_equal(fileio_remove_tree(AT_FDCWD, f->folder), 0);
	free(f->drive);
	free(f->root);
	return 0;
}

static void expect_file(const struct fixture *f, const char *path, const char *content, mode_t mode)
{
	_cleanup_free_ char *full = join(f->root, path), *found = NULL;
	struct stat st;
	size_t length;

	assert_int_equal(fileio_read_own(AT_FDCWD, full, 65536, &found, &length), 0);
	assert_string_equal(found, content);
	assert_int_equal(length, strlen(content));
	assert_int_equal(stat(full, &st), 0);
	assert_int_equal(st.st_mode & 07777, mode);
}

static void expect_no_file(const struct fixture *f, const char *path)
{
	_cleanup_free_ char *full = join(f->root, path);

	assert_int_not_equal(access(full, F_OK), 0);
}

/* The whole way: nova's files, Octavia's user data, the network. */
static void test_whole_drive(void **state)
{
	const struct fixture *f = *state;
	_cleanup_drive_ struct drive drive = DRIVE_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;

	put(f, "openstack/content/0000", "[health_manager]\nheartbeat_key = secret\n");
	put(f, "openstack/content/0001", "from nova\n");
	put(f, "openstack/latest/meta_data.json",
		META ", \"public_keys\": {\"mine\": \"ssh-ed25519 AAAA me\\n\"}, \"files\": ["
		     "{\"content_path\": \"/content/0000\", \"path\": \"/etc/octavia/amphora-agent.conf\"}, "
		     "{\"content_path\": \"/content/0001\", \"path\": \"/srv/a\"}]}");
	put(f, "openstack/latest/user_data",
		"#cloud-config\n# vim: syntax=yaml\nwrite_files:\n"
		"-   path: /etc/octavia/certs/client_ca.pem\n    content: |\n        line one\n          line two\n"
		"-   path: /srv/b\n    permissions: '0750'\n    content: x\n"
		"runcmd:\n-   systemctl restart rsyslog\n\ntimezone: UTC\n");
	put(f, "openstack/latest/network_data.json",
		"{\"links\": [{\"id\": \"t\", \"ethernet_mac_address\": \"fa:16:3e:00:00:01\", \"mtu\": 1450}],"
		"\"networks\": [{\"link\": \"t\", \"type\": \"ipv4_dhcp\"}]}");
	assert_int_equal(drive_read(f->fd, "/etc/systemd/network", &drive, &err), 0);
	assert_int_equal(drive.files.count, 5);
	assert_string_equal(drive.ignored[0], "runcmd");
	assert_string_equal(drive.ignored[1], "timezone");
	assert_null(drive.ignored[2]);
	assert_false(drive_is_applied(&drive, f->root));
	assert_int_equal(drive_apply(&drive, f->root, "/etc/ssh/authorized_keys", &err), 0);
	assert_true(drive_is_applied(&drive, f->root));

	expect_file(f, "/etc/octavia/amphora-agent.conf", "[health_manager]\nheartbeat_key = secret\n", 0600);
	expect_file(f, "/srv/a", "from nova\n", 0600);
	/* A key must not be readable by all for want of "permissions". */
	expect_file(f, "/etc/octavia/certs/client_ca.pem", "line one\n  line two\n", 0600);
	expect_file(f, "/srv/b", "x", 0750);
	expect_file(f, "/etc/hostname", "amphora-1\n", 0644);
	expect_file(f, "/etc/ssh/authorized_keys", "ssh-ed25519 AAAA me\n", 0600);
	expect_file(f, "/etc/systemd/network/70-amphora-0.network",
		"# Written by amphora-config-drive from network_data.json at the first boot.\n"
		"[Match]\nMACAddress=fa:16:3e:00:00:01\n\n[Link]\nMTUBytes=1450\n\n[Network]\nDHCP=ipv4\nIPv6AcceptRA=no\n"
		"\n[DHCPv4]\nClientIdentifier=mac\n",
		0644);

	/* Another instance of the same disk is set up anew. */
	drive.metadata.instance_id[0] = '7';
	assert_false(drive_is_applied(&drive, f->root));
}

static void test_keys_only_when_asked(void **state)
{
	const struct fixture *f = *state;
	_cleanup_drive_ struct drive drive = DRIVE_INIT;

	put(f, "openstack/latest/meta_data.json", META ", \"public_keys\": {\"mine\": \"ssh-ed25519 AAAA me\"}}");
	assert_int_equal(drive_read(f->fd, NULL, &drive, NULL), 0);
	assert_int_equal(drive.files.count, 0);
	assert_int_equal(drive_apply(&drive, f->root, NULL, NULL), 0);
	expect_no_file(f, "/etc/ssh/authorized_keys");
	expect_no_file(f, "/root");
}

/* One file that cannot be written: the others are, and the next boot tries again. */
static void test_failure_is_not_the_end(void **state)
{
	const struct fixture *f = *state;
	_cleanup_drive_ struct drive drive = DRIVE_INIT;
	_cleanup_error_ struct error err = ERROR_INIT;

	put(f, "openstack/latest/meta_data.json", META "}");
	put(f, "openstack/latest/user_data",
		"#cloud-config\nwrite_files:\n- {path: /a, owner: 'nobody-of-that-name:root', content: x}\n"
		"- {path: /b, content: y}\n- {path: /b/c, content: z}\n");
	assert_int_equal(drive_read(f->fd, NULL, &drive, &err), 0);
	assert_true(drive_apply(&drive, f->root, NULL, &err) < 0);
	expect_no_file(f, "/a");
	expect_file(f, "/b", "y", 0644);
	assert_false(drive_is_applied(&drive, f->root));
}

/* What is on the drive may not lead out of it. */
static void test_links_are_not_followed(void **state)
{
	const struct fixture *f = *state;
	_cleanup_free_ char *content = join(f->drive, "openstack/content/0000"), *latest = join(f->drive, "openstack/latest"),
			    *elsewhere = join(f->folder, "/elsewhere");
	_cleanup_drive_ struct drive drive = DRIVE_INIT;

	put(f, "openstack/latest/meta_data.json",
		META ", \"files\": [{\"content_path\": \"/content/0000\", \"path\": \"/stolen\"}]}");
	assert_int_equal(symlink("/etc/passwd", content), 0);
	assert_int_equal(drive_read(f->fd, NULL, &drive, NULL), -ELOOP);
	assert_int_equal(unlink(content), 0);
	put(f, "openstack/content/0000", "x");
	assert_int_equal(drive_read(f->fd, NULL, &drive, NULL), 0);
	assert_int_equal(rename(latest, elsewhere), 0);
	assert_int_equal(symlink(elsewhere, latest), 0);
	drive_done(&drive);
	assert_int_equal(drive_read(f->fd, NULL, &drive, NULL), -ELOOP);
}

static void test_owner_and_append(void **state)
{
	const struct fixture *f = *state;
	struct drive_file file = {.path = (char *)"/log/x", .content = (char *)"two\n", .length = 4, .mode = 04755, .append = true};
	const struct drive_file nothing = {.path = (char *)"/log/y", .content = (char *)"", .mode = 0600, .append = true};
	_cleanup_free_ char *path = join(f->root, "/log/x");
	char owner[64];
	struct stat st;

	snprintf(owner, sizeof(owner), "%u:%u", geteuid() == 0 ? 12345u : geteuid(), geteuid() == 0 ? 54321u : getegid());
	file.owner = owner;
	assert_int_equal(drive_write_file(&file, f->root, NULL), 0);
	expect_file(f, "/log/x", "two\n", 04755);
	assert_int_equal(fileio_write(AT_FDCWD, path, "one\n", 4, 0600), 0);
	assert_int_equal(drive_write_file(&file, f->root, NULL), 0);
	/* A second try after a crash. */
	assert_int_equal(drive_write_file(&file, f->root, NULL), 0);
	expect_file(f, "/log/x", "one\ntwo\n", 04755);
	assert_int_equal(drive_write_file(&nothing, f->root, NULL), 0);
	expect_file(f, "/log/y", "", 0600);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, geteuid() == 0 ? 12345 : geteuid());
	assert_int_equal(st.st_gid, geteuid() == 0 ? 54321 : getegid());
	file.owner = (char *)"root:no-such-group-here";
	assert_true(drive_write_file(&file, f->root, NULL) < 0);
}

static int parse(const char *yaml, struct drive_files *files, struct error *err)
{
	char **ignored = NULL;
	int r = cloud_config_parse(yaml, strlen(yaml), files, &ignored, err);

	assert_int_equal(r == 0, ignored != NULL);
	strv_free(ignored);
	return r;
}

static void test_encodings(void **state)
{
	/* printf 'hello\n' | gzip -n | base64 */
	static const char gz[] = "H4sIAAAAAAAAA8tIzcnJ5wIAIDA6NgYAAAA=";
	static const char *const encodings[][2] = {
		{"encoding: b64, content: aGVsbG8K", NULL},
		{"encoding: base64, content: 'aGVs\n   bG8K'", NULL},
		{"encoding: gz+b64, content: ", gz},
		{"encoding: gzip+base64, content: ", gz},
		{"content: !!binary aGVsbG8K", NULL},
		{"content: !!binary ", "aGVsbG8K"},
		{"encoding: gzip, content: !!binary ", NULL},
		{"encoding: text/plain, content: \"hello\\n\"", NULL},
		{"encoding: '', content: \"hello\\n\"", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(encodings); i++) {
		_cleanup_drive_files_ struct drive_files files = DRIVE_FILES_INIT;
		char yaml[256];

		snprintf(yaml, sizeof(yaml), "#cloud-config\nwrite_files: [{path: /x, %s%s}]\n", encodings[i][0],
			encodings[i][1] ? encodings[i][1] : "");
		assert_int_equal(parse(yaml, &files, NULL), 0);
		assert_int_equal(files.count, 1);
		if (i == 6) {
			assert_int_equal(files.items[0].length, 0);
			continue;
		}
		assert_string_equal(files.items[0].content, "hello\n");
		assert_int_equal(files.items[0].length, 6);
	}
}

/* Mistakes have a place and a reason. */
static void test_bad_cloud_config(void **state)
{
	static const char *const cases[][2] = {
		{"write_files: {a: b}", "list"},
		{"write_files: [a]", "mapping"},
		{"write_files: [{content: x}]", "path"},
		{"write_files: [{path: x}]", "absolute"},
		{"write_files: [{path: /a/../b}]", "absolute"},
		{"write_files: [{path: /a//b}]", "absolute"},
		{"write_files: [{path: /a/}]", "absolute"},
		{"write_files: [{path: /}]", "absolute"},
		{"write_files: [{path: \"/a\\nb\"}]", "absolute"},
		{"write_files: [{path: \"/a\\0b\"}]", "NUL"},
		{"write_files: [{path: [a]}]", "text"},
		{"write_files: [{path: /a, permissions: rw}]", "octal"},
		{"write_files: [{path: /a, permissions: '0888'}]", "octal"},
		{"write_files: [{path: /a, append: perhaps}]", "true or false"},
		{"write_files: [{path: /a, encoding: rot13}]", "encoding"},
		{"write_files: [{path: /a, encoding: b64, content: '%%%'}]", "base64"},
		{"write_files: [{path: /a, encoding: gz, content: plain}]", "gzip"},
		{"write_files: [{path: /a, encoding: gz+b64, content: H4sIAAAAAAAAA8tIzcnJ}]", "gzip"},
		{"a: &x [1]\nb: [*x, *x]", "aliases"},
		{"- a", "mapping"},
		{"a: b: c", "YAML"},
		{"a: \"\xff\"", "YAML"},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		_cleanup_drive_files_ struct drive_files files = DRIVE_FILES_INIT;
		_cleanup_error_ struct error err = ERROR_INIT;
		char yaml[256];

		snprintf(yaml, sizeof(yaml), "#cloud-config\n%s\n", cases[i][0]);
		assert_int_equal(parse(yaml, &files, &err), -EINVAL);
		assert_non_null(err.message);
		if (!strstr(err.message, cases[i][1]))
			fail_msg("%s: %s", cases[i][0], err.message);
		assert_int_equal(files.count, 0);
	}
}

static void test_deep_and_many(void **state)
{
	_cleanup_text_ struct text deep = TEXT_INIT, many = TEXT_INIT;
	_cleanup_drive_files_ struct drive_files files = DRIVE_FILES_INIT;

	(void)state;
	text_append(&deep, "#cloud-config\na: ");
	for (int i = 0; i < 1000; i++)
		text_append(&deep, "[");
	assert_int_equal(parse(text_peek(&deep), &files, NULL), -EINVAL);
	text_append(&many, "#cloud-config\nwrite_files:\n");
	for (int i = 0; i <= DRIVE_FILES_MAX; i++)
		text_append(&many, "- path: /a\n");
	assert_int_equal(parse(text_peek(&many), &files, NULL), error_code_to_errno(ERROR_TOO_LARGE));
	assert_int_equal(files.count, DRIVE_FILES_MAX);
}

/* A small gzip that would fill the memory: 32 MiB of zeros are about 32 KiB. */
static void test_gzip_bomb(void **state)
{
	_cleanup_free_ char *out = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;
	static const char member[] = "\x1f\x8b\x08\0\0\0\0\0\x02\x03\x03\0\0\0\0\0\0\0\0\0"; /* empty */
	size_t length = 0;

	(void)state;
	assert_int_equal(drive_gunzip(member, sizeof(member) - 1, 0, &out, &length, &err), 0);
	assert_int_equal(length, 0);
	assert_int_equal(drive_decode("gz+b64", "H4sIAAAAAAAAA8tIzcnJ5wIAIDA6NgYAAAA=", 36, 5, &out, &length, &err),
		error_code_to_errno(ERROR_TOO_LARGE));
}

static void test_other_user_data(void **state)
{
	static const char *const none[] = {"", "\n", "#cloud-config\n", "#cloud-config\n{}\n", "#cloud-config\nwrite_files:\n",
		"#!/bin/sh\nwrite_files: [{path: /x}]\n", "Content-Type: multipart/mixed\n", "#cloud-config\nwrite_files: []\n"};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(none); i++) {
		_cleanup_drive_files_ struct drive_files files = DRIVE_FILES_INIT;

		assert_int_equal(parse(none[i], &files, NULL), 0);
		assert_int_equal(files.count, 0);
	}
}

static void test_bad_metadata(void **state)
{
	static const char *const cases[] = {
		"", "[]", "{}", "{\"uuid\": \"\"}", "{\"uuid\": \"a/b\"}", "{\"uuid\": 1}",
		META ", \"files\": [{}]}",
		META ", \"files\": [{\"path\": \"/a\", \"content_path\": \"/etc/passwd\"}]}",
		META ", \"files\": [{\"path\": \"/a\", \"content_path\": \"/content/../latest/user_data\"}]}",
		META ", \"files\": [{\"path\": \"/a\", \"content_path\": \"/content/\"}]}",
		META ", \"public_keys\": {\"a\": \"x\\ny\"}}",
		META ", \"public_keys\": {\"a\": 1}}",
		"{\"uuid\": \"a\", \"hostname\": \"-x\"}",
		"{\"uuid\": \"a\", \"hostname\": \"a b\"}",
		"{\"uuid\": \"a\", \"uuid\": \"b\"}",
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		_cleanup_metadata_ struct metadata metadata = METADATA_INIT;
		_cleanup_error_ struct error err = ERROR_INIT;

		assert_int_equal(metadata_parse(cases[i], strlen(cases[i]), &metadata, &err), -EINVAL);
		assert_string_equal(err.pointer, "meta_data.json");
		assert_null(metadata.instance_id);
	}
}

#define LINK "\"links\": [{\"id\": \"t\", \"ethernet_mac_address\": \"FA:16:3e:00:00:01\"}]"

static int network(const char *json, struct drive_files *files)
{
	return network_data_parse(json, strlen(json), "/n", files, NULL);
}

static void test_network_data(void **state)
{
	_cleanup_drive_files_ struct drive_files files = DRIVE_FILES_INIT;

	(void)state;
	assert_int_equal(network("{" LINK ", \"networks\": [{\"link\": \"t\", \"type\": \"ipv4\", \"ip_address\": \"10.0.0.7\","
				 "\"netmask\": \"255.255.240.0\", \"routes\": [{\"network\": \"0.0.0.0\", \"netmask\": \"0.0.0.0\","
				 "\"gateway\": \"10.0.0.1\"}]}, {\"link\": \"t\", \"type\": \"ipv6\", \"ip_address\": \"fd00::7/64\"},"
				 "{\"link\": \"u\", \"type\": \"ipv4_dhcp\"}]}",
				 &files),
		0);
	assert_int_equal(files.count, 1);
	assert_string_equal(files.items[0].path, "/n/70-amphora-0.network");
	assert_string_equal(files.items[0].content,
		"# Written by amphora-config-drive from network_data.json at the first boot.\n"
		"[Match]\nMACAddress=FA:16:3e:00:00:01\n\n[Network]\nDHCP=no\nIPv6AcceptRA=no\n"
		"Address=10.0.0.7/20\nAddress=fd00::7/64\n\n[Route]\nDestination=0.0.0.0/0\nGateway=10.0.0.1\n");
	/* A link that nobody configures is not ours. */
	assert_int_equal(network("{" LINK ", \"networks\": []}", &files), 0);
	assert_int_equal(files.count, 1);
}

static void test_bad_network_data(void **state)
{
	static const char *const cases[] = {
		"[]",
		"{\"links\": [{\"id\": \"t\"}]}",
		"{\"links\": [{\"id\": \"t\", \"ethernet_mac_address\": \"fa:16:3e:00:00:01\\n[x]\"}]}",
		"{\"links\": [{\"id\": \"t\", \"ethernet_mac_address\": \"fa:16:3e:00:00:01\", \"mtu\": 9}]}",
		"{" LINK ", \"networks\": [{\"link\": \"t\", \"type\": \"x25\"}]}",
		"{" LINK ", \"networks\": [{\"link\": \"t\", \"type\": \"ipv4\", \"ip_address\": \"10.0.0.7\"}]}",
		"{" LINK ", \"networks\": [{\"link\": \"t\", \"type\": \"ipv4\", \"ip_address\": \"10.0.0.7/33\"}]}",
		"{" LINK ", \"networks\": [{\"link\": \"t\", \"type\": \"ipv4\", \"ip_address\": \"10.0.0.7\", \"netmask\": "
		"\"255.0.255.0\"}]}",
		"{" LINK ", \"networks\": [{\"link\": \"t\", \"type\": \"ipv4\", \"ip_address\": \"10.0.0.7/8\", \"routes\": [{}]}]}",
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		_cleanup_drive_files_ struct drive_files files = DRIVE_FILES_INIT;

		if (network(cases[i], &files) != -EINVAL)
			fail_msg("taken: %s", cases[i]);
		assert_int_equal(files.count, 0);
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_whole_drive),
		CASE(test_keys_only_when_asked),
		CASE(test_failure_is_not_the_end),
		CASE(test_links_are_not_followed),
		CASE(test_owner_and_append),
		cmocka_unit_test(test_encodings),
		cmocka_unit_test(test_bad_cloud_config),
		cmocka_unit_test(test_deep_and_many),
		cmocka_unit_test(test_gzip_bomb),
		cmocka_unit_test(test_other_user_data),
		cmocka_unit_test(test_bad_metadata),
		cmocka_unit_test(test_network_data),
		cmocka_unit_test(test_bad_network_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
