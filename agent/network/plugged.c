/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/network/plugged.h"

#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/text.h"

#define PLUGGED_FILE "plugged_interfaces"

enum { PLUGGED_LIMIT = 1024 * 1024 };

static bool parse_line(const char *line, size_t length, struct plugged *ret)
{
	char copy[MAC_TEXT_SIZE + IF_NAMESIZE + 8], *name;

	if (length >= sizeof(copy))
		return false;
	memcpy(copy, line, length);
	copy[length] = '\0';
	name = copy + strcspn(copy, " \t");
	if (!*name)
		return false;
	*name++ = '\0';
	name += strspn(name, " \t");
	name[strcspn(name, " \t\r")] = '\0';
	if (mac_parse(copy, ret->mac) < 0 || !interface_name_is_good(name))
		return false;
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	return true;
}

int plugged_parse(const char *text, struct plugged **ret, size_t *ret_n)
{
	_cleanup_free_ struct plugged *list = NULL;
	size_t lines = 1, n = 0;

	for (const char *p = text; (p = strchr(p, '\n')); p++)
		lines++;
	list = calloc(lines, sizeof(*list));
	if (!list)
		return -ENOMEM;
	while (*text) {
		size_t length = strcspn(text, "\n");

		if (parse_line(text, length, &list[n]))
			n++;
		text += length + (text[length] == '\n');
	}
	*ret = TAKE_PTR(list);
	*ret_n = n;
	return 0;
}

int plugged_read(int folder_fd, struct plugged **ret, size_t *ret_n, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	int r;

	r = fileio_read(folder_fd, PLUGGED_FILE, PLUGGED_LIMIT, &text, NULL);
	if (r == 0 || r == -ENOENT)
		r = plugged_parse(r == 0 ? text : "", ret, ret_n);
	return r < 0 ? error_set_errno(err, r, "cannot read " PLUGGED_FILE) : 0;
}

static void append(struct text *text, const uint8_t mac[static MAC_LENGTH], const char *name)
{
	char mac_text[MAC_TEXT_SIZE];

	mac_format(mac, mac_text);
	text_printf(text, "%s %s\n", mac_text, name);
}

int plugged_add(int folder_fd, const uint8_t mac[static MAC_LENGTH], const char *name, struct error *err)
{
	_cleanup_free_ struct plugged *list = NULL;
	_cleanup_text_ struct text text = TEXT_INIT;
	_cleanup_free_ char *content = NULL;
	size_t n, length;
	int r;

	r = plugged_read(folder_fd, &list, &n, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if (memcmp(list[i].mac, mac, MAC_LENGTH) != 0 && !streq(list[i].name, name))
			append(&text, list[i].mac, list[i].name);
	append(&text, mac, name);
	r = text_finish(&text, &content, &length);
	if (r == 0)
		r = fileio_write(folder_fd, PLUGGED_FILE, content, length, 0644);
	return r < 0 ? error_set_errno(err, r, "cannot write " PLUGGED_FILE) : 0;
}
