/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/keepalived/check_script.h"

#include <fcntl.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/text.h"

#define RUNNER "check_script.sh"
#define FOLDER "check_scripts"
#define HAPROXY_SCRIPT "haproxy_check_script.sh"
#define LVS_SCRIPT "lvs_udp_check.sh"

/* Paths are the operator's; they stand in a script that root runs. */
static void append_quoted(struct text *text, const char *word)
{
	text_append_char(text, '\'');
	for (; *word; word++)
		if (*word == '\'')
			text_append(text, "'\\''");
		else
			text_append_char(text, *word);
	text_append_char(text, '\'');
}

static bool is_plain(const char *word)
{
	return word[strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./-")] == '\0';
}

static void append_word(struct text *text, const char *word)
{
	if (is_plain(word))
		text_append(text, word);
	else
		append_quoted(text, word);
}

/* keepalived reads while we write: never a half one. */
static int store(const char *vrrp_dir, const char *folder, const char *name, struct text *text, mode_t mode,
	struct error *err)
{
	_cleanup_free_ char *path = NULL, *content = NULL;
	size_t length;
	int r;

	r = text_finish(text, &content, &length);
	if (r == 0 && asprintf(&path, "%s%s", vrrp_dir, folder) < 0) {
		path = NULL;
		r = -ENOMEM;
	}
	if (r == 0)
		r = fileio_make_dirs(path, 0755);
	if (r == 0) {
		_cleanup_close_ int dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		r = dir_fd < 0 ? -errno : fileio_write(dir_fd, name, content, length, mode);
	}
	return r < 0 ? error_set_errno(err, r, "cannot write %s%s/%s", vrrp_dir, folder, name) : 0;
}

static char *path_of(const char *vrrp_dir, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", vrrp_dir, name) < 0 ? NULL : path;
}

bool check_script_is_installed(const char *vrrp_dir)
{
	_cleanup_free_ char *path = path_of(vrrp_dir, RUNNER);

	return path && access(path, F_OK) == 0;
}

int check_script_install(const char *vrrp_dir, struct error *err)
{
	_cleanup_text_ struct text text = TEXT_INIT;

	text_append(&text, "#!/bin/bash\n"
			   "# Runs every check; fails if one of them does.\n"
			   "shopt -s nullglob\n"
			   "status=0\n"
			   "for file in ");
	append_word(&text, vrrp_dir);
	text_append(&text, "/" FOLDER "/*\n"
			   "do\n"
			   "\techo \"Running check script: $file\"\n"
			   "\tbash \"$file\"\n"
			   "\tstatus=$((status + $?))\n"
			   "done\n"
			   "exit $status\n");
	return store(vrrp_dir, "", RUNNER, &text, 0755, err);
}

static int remove_haproxy(const char *vrrp_dir, struct error *err)
{
	_cleanup_free_ char *path = path_of(vrrp_dir, FOLDER "/" HAPROXY_SCRIPT);

	if (!path)
		return error_set_errno(err, -ENOMEM, "check script");
	return unlink(path) < 0 && errno != ENOENT ? error_set_errno(err, -errno, "cannot remove %s", path) : 0;
}

int check_script_write_haproxy(const char *vrrp_dir, char *const *sockets, bool any, bool has_lvs, struct error *err)
{
	_cleanup_text_ struct text text = TEXT_INIT;

	if (!any && has_lvs)
		return remove_haproxy(vrrp_dir, err);
	if (any) {
		text_append(&text, "haproxy-vrrp-check");
		STRV_FOREACH(socket, sockets) {
			text_append_char(&text, ' ');
			append_word(&text, *socket);
		}
		text_append(&text, "; exit $?");
	} else {
		text_append(&text, "exit 1");
	}
	return store(vrrp_dir, "/" FOLDER, HAPROXY_SCRIPT, &text, 0644, err);
}

int check_script_write_lvs(const char *vrrp_dir, const char *lvs_dir, struct error *err)
{
	_cleanup_text_ struct text text = TEXT_INIT;

	text_append(&text, "#!/bin/bash\n"
			   "# A pid file is there from the start of a listener's keepalived until it is stopped.\n"
			   "shopt -s nullglob\n"
			   "status=0\n"
			   "for file in ");
	append_word(&text, lvs_dir);
	text_append(&text, "/octavia-keepalivedlvs-*.pid\n"
			   "do\n"
			   "\tcase $file in *.vrrp.pid | *.check.pid) continue ;; esac\n"
			   "\techo \"Check keepalived pid file: $file\"\n"
			   "\tkill -0 \"$(<\"$file\")\"\n"
			   "\tstatus=$((status + $?))\n"
			   "done\n"
			   "exit $status\n");
	return store(vrrp_dir, "/" FOLDER, LVS_SCRIPT, &text, 0755, err);
}
