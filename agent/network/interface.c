/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/network/interface.h"

#include <fcntl.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/text.h"

enum { MTU_MAX = 65535 + 1 }; /* of the loopback interface */

bool interface_name_is_good(const char *name)
{
	size_t length = strlen(name);

	if (length == 0 || length >= IF_NAMESIZE || streq(name, ".") || streq(name, ".."))
		return false;
	for (size_t i = 0; i < length; i++)
		if (name[i] <= ' ' || name[i] > '~' || name[i] == '/' || name[i] == ':')
			return false;
	return true;
}

static int bad(struct error *err, const char *list, size_t index, const char *words)
{
	char pointer[64];

	snprintf(pointer, sizeof(pointer), "/%s/%zu", list, index);
	return error_set(err, ERROR_INVALID, pointer, "%s", words);
}

static int parse_address(
	const json_t *json, size_t index, struct interface *interface, struct interface_address *ret, bool *ret_skip,
	struct error *err)
{
	const char *text = json_string_value(json_object_get(json, "address"));
	const json_t *prefix = json_object_get(json, "prefixlen"), *owned = json_object_get(json, "octavia_owned");

	if (json_is_true(json_object_get(json, "dhcp")))
		interface->wants_dhcp = true;
	if (json_is_true(json_object_get(json, "ipv6auto")))
		interface->wants_autoconfiguration = true;
	*ret_skip = !json_object_get(json, "address");
	if (*ret_skip)
		return json_is_object(json) ? 0 : bad(err, "addresses", index, "must be an object");
	if (!text || ip_parse(text, &ret->network.ip) < 0)
		return bad(err, "addresses", index, "\"address\" must be an IP address");
	if (!json_is_integer(prefix) || json_integer_value(prefix) < 0 ||
		json_integer_value(prefix) > ip_bits(ret->network.ip.family))
		return bad(err, "addresses", index, "\"prefixlen\" must be the length of a prefix");
	ret->network.prefix = (unsigned)json_integer_value(prefix);
	ret->is_ours = !json_is_false(owned);
	return 0;
}

static int take_ip(const json_t *json, const char *name, int family, struct ip *ret)
{
	const json_t *value = json_object_get(json, name);

	if (!value || json_is_null(value))
		return 0;
	if (!json_is_string(value) || ip_parse(json_string_value(value), ret) < 0)
		return -EINVAL;
	return ret->family == family ? 0 : -EINVAL;
}

static int take_table(const json_t *json, uint32_t *ret)
{
	const json_t *table = json_object_get(json, "table");

	if (!table || json_is_null(table)) {
		*ret = ROUTE_TABLE_MAIN;
		return 0;
	}
	if (!json_is_integer(table) || json_integer_value(table) < 1 || json_integer_value(table) > UINT32_MAX)
		return -EINVAL;
	*ret = (uint32_t)json_integer_value(table);
	return 0;
}

static int parse_route(const json_t *json, size_t index, struct ip_route *ret, struct error *err)
{
	const char *destination = json_string_value(json_object_get(json, "dst"));
	const char *scope = json_string_value(json_object_get(json, "scope"));
	json_t *flag;
	size_t i;
	int family;

	if (!destination || ip_network_parse(destination, &ret->destination) < 0)
		return bad(err, "routes", index, "\"dst\" must be a network");
	ip_network_mask(&ret->destination);
	family = ret->destination.ip.family;
	if (take_ip(json, "gateway", family, &ret->gateway) < 0)
		return bad(err, "routes", index, "\"gateway\" must be an IP address of the same version");
	if (take_ip(json, "prefsrc", family, &ret->source) < 0)
		return bad(err, "routes", index, "\"prefsrc\" must be an IP address of the same version");
	if (take_table(json, &ret->table) < 0)
		return bad(err, "routes", index, "\"table\" must be a number");
	ret->is_local = scope && streq(scope, "link");
	json_array_foreach (json_object_get(json, "flags"), i, flag)
		if (json_is_string(flag) && streq(json_string_value(flag), "onlink"))
			ret->is_on_link = true;
	return 0;
}

static int parse_rule(const json_t *json, size_t index, struct ip_rule *ret, struct error *err)
{
	const char *source = json_string_value(json_object_get(json, "src"));
	const json_t *length = json_object_get(json, "src_len");

	if (!source || ip_parse(source, &ret->source.ip) < 0)
		return bad(err, "rules", index, "\"src\" must be an IP address");
	ret->source.prefix = ip_bits(ret->source.ip.family);
	if (length && !json_is_null(length)) {
		if (!json_is_integer(length) || json_integer_value(length) < 1 ||
			json_integer_value(length) > ret->source.prefix)
			return bad(err, "rules", index, "\"src_len\" must be the length of a prefix");
		ret->source.prefix = (unsigned)json_integer_value(length);
	}
	ip_network_mask(&ret->source);
	if (take_table(json, &ret->table) < 0)
		return bad(err, "rules", index, "\"table\" must be a number");
	return 0;
}

/* A list that may be absent; its items fit into memory. */
static int take_list(const json_t *json, const char *name, size_t item_size, void **ret_items, const json_t **ret_list,
	struct error *err)
{
	const json_t *list = json_object_get(json, name);
	char pointer[32];
	void *items;

	snprintf(pointer, sizeof(pointer), "/%s", name);
	if (list && !json_is_null(list) && !json_is_array(list))
		return error_set(err, ERROR_INVALID, pointer, "must be an array");
	if (json_array_size(list) > INTERFACE_MAX_ITEMS)
		return error_set(err, ERROR_INVALID, pointer, "has more than %d items", (int)INTERFACE_MAX_ITEMS);
	items = calloc(json_array_size(list) + 1, item_size);
	if (!items)
		return error_set_errno(err, -ENOMEM, "interface");
	*ret_items = items;
	*ret_list = list;
	return 0;
}

static int parse_lists(const json_t *json, struct interface *interface, struct error *err)
{
	const json_t *list;
	json_t *item;
	size_t i;
	bool skip;
	int r;

	r = take_list(json, "addresses", sizeof(*interface->addresses), (void **)&interface->addresses, &list, err);
	if (r < 0)
		return r;
	json_array_foreach (list, i, item) {
		r = parse_address(item, i, interface, &interface->addresses[interface->n_addresses], &skip, err);
		if (r < 0)
			return r;
		interface->n_addresses += !skip;
	}
	r = take_list(json, "routes", sizeof(*interface->routes), (void **)&interface->routes, &list, err);
	if (r < 0)
		return r;
	json_array_foreach (list, i, item) {
		r = parse_route(item, i, &interface->routes[interface->n_routes++], err);
		if (r < 0)
			return r;
	}
	r = take_list(json, "rules", sizeof(*interface->rules), (void **)&interface->rules, &list, err);
	if (r < 0)
		return r;
	json_array_foreach (list, i, item) {
		r = parse_rule(item, i, &interface->rules[interface->n_rules++], err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int parse_commands(const json_t *json, const char *name, char ***ret, struct error *err)
{
	const json_t *scripts = json_object_get(json, "scripts"), *list;
	_cleanup_strv_ char **commands = NULL;
	json_t *item;
	size_t i;
	int r;

	r = take_list(scripts, name, sizeof(char *), (void **)&commands, &list, err);
	if (r < 0)
		return r;
	json_array_foreach (list, i, item) {
		const char *command = json_string_value(json_object_get(item, "command"));

		if (!command || !command[strspn(command, " ")] || text_has_control(command, strlen(command)))
			return error_set(err, ERROR_INVALID, "/scripts", "\"command\" must be the words of a command");
		commands[i] = strdup(command);
		if (!commands[i])
			return error_set_errno(err, -ENOMEM, "interface");
	}
	*ret = TAKE_PTR(commands);
	return 0;
}

/* Files of agents before 12.0.0 have no type: only the VIP's interface has rules of its own there. */
static int parse_type(const json_t *json, struct interface *interface, struct error *err)
{
	static const char *const names[] = {
		[INTERFACE_VIP] = "vip", [INTERFACE_BACKEND] = "backend", [INTERFACE_LOOPBACK] = "lo"};
	const json_t *value = json_object_get(json, "if_type");

	if (!value || json_is_null(value)) {
		interface->type = streq(interface->name, "lo") ? INTERFACE_LOOPBACK
			: streq(interface->name, "eth1")       ? INTERFACE_VIP
							       : INTERFACE_BACKEND;
		return 0;
	}
	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		if (json_is_string(value) && streq(json_string_value(value), names[i])) {
			interface->type = (enum interface_type)i;
			return 0;
		}
	return error_set(err, ERROR_INVALID, "/if_type", "must be vip, backend or lo");
}

int interface_parse(const json_t *json, struct interface **ret, struct error *err)
{
	_cleanup_interface_ struct interface *interface = calloc(1, sizeof(*interface));
	const char *name = json_string_value(json_object_get(json, "name"));
	const json_t *mtu = json_object_get(json, "mtu");
	int r;

	if (!interface)
		return error_set_errno(err, -ENOMEM, "interface");
	if (!name || !interface_name_is_good(name))
		return error_set(err, ERROR_INVALID, "/name", "must be the name of a network interface");
	snprintf(interface->name, sizeof(interface->name), "%s", name);
	if (mtu && !json_is_null(mtu)) {
		if (!json_is_integer(mtu) || json_integer_value(mtu) < 0 || json_integer_value(mtu) > MTU_MAX)
			return error_set(err, ERROR_INVALID, "/mtu", "must be a number of bytes");
		interface->mtu = (unsigned)json_integer_value(mtu);
	}
	interface->is_sriov = json_is_true(json_object_get(json, "is_sriov"));
	r = parse_type(json, interface, err);
	if (r == 0)
		r = parse_lists(json, interface, err);
	if (r == 0)
		r = parse_commands(json, "up", &interface->up_commands, err);
	if (r == 0)
		r = parse_commands(json, "down", &interface->down_commands, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(interface);
	return 0;
}

void interface_free(struct interface *interface)
{
	if (!interface)
		return;
	free(interface->addresses);
	free(interface->routes);
	free(interface->rules);
	strv_free(interface->up_commands);
	strv_free(interface->down_commands);
	free(interface);
}

int interface_read(int folder_fd, const char *file, struct interface **ret, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	json_auto_t *json = NULL;
	json_error_t problem;
	char place[NAME_MAX + 24];
	size_t length;
	int r;

	r = fileio_read(folder_fd, file, INTERFACE_FILE_LIMIT, &text, &length);
	if (r < 0)
		return error_set_errno(err, r, "cannot read %s", file);
	json = json_loadb(text, length, JSON_REJECT_DUPLICATES, &problem);
	if (!json) {
		snprintf(place, sizeof(place), "%s:%d", file, problem.line);
		return error_set(err, ERROR_INVALID, place, "no JSON: %s", problem.text);
	}
	r = interface_parse(json, ret, err);
	return r < 0 ? error_wrap(err, r, "%s", file) : 0;
}

/* Each start writes the loopback's: two fsyncs less where it is there. */
static bool is_written(int folder_fd, const char *file, const char *text)
{
	_cleanup_free_ char *now = NULL;

	return fileio_read_own(folder_fd, file, INTERFACE_FILE_LIMIT, &now, NULL) == 0 && streq(now, text);
}

int interface_write(int folder_fd, const json_t *json, struct error *err)
{
	const char *name = json_string_value(json_object_get(json, "name"));
	_cleanup_free_ char *text = json_dumps(json, 0);
	char file[IF_NAMESIZE + 8];
	int r;

	if (!text)
		return error_set_errno(err, -ENOMEM, "interface");
	if (!name || !interface_name_is_good(name))
		return error_set(err, ERROR_INVALID, "/name", "must be the name of a network interface");
	snprintf(file, sizeof(file), "%s.json", name);
	if (is_written(folder_fd, file, text))
		return 0;
	r = fileio_write(folder_fd, file, text, strlen(text), 0644);
	return r < 0 ? error_set_errno(err, r, "cannot write %s", file) : 0;
}

static int by_text(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

static bool is_interface_file(const char *name)
{
	size_t length = strlen(name);

	return name[0] != '.' && length > 5 && streq(name + length - 5, ".json");
}

int interface_list_files(int folder_fd, char ***ret)
{
	_cleanup_strv_ char **names = calloc(1, sizeof(*names));
	_cleanup_closedir_ DIR *dir = NULL;
	_cleanup_close_ int fd = -1;
	const struct dirent *entry;
	size_t n = 0;
	int r = 0;

	/* A descriptor of its own: it has a position. */
	fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!names || fd < 0)
		return names ? -errno : -ENOMEM;
	dir = fdopendir(fd);
	if (!dir)
		return -errno;
	TAKE_FD(fd);
	while (r == 0 && (entry = readdir(dir)))
		if (is_interface_file(entry->d_name))
			r = strv_push(&names, &n, strdup(entry->d_name));
	if (r < 0)
		return r;
	qsort(names, n, sizeof(*names), by_text);
	*ret = TAKE_PTR(names);
	return 0;
}
