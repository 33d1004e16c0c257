/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/network/network.h"

#include <fcntl.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/lock.h"
#include "agent/base/log.h"
#include "agent/base/namespace.h"
#include "agent/base/text.h"
#include "agent/network/address.h"
#include "agent/network/advertise.h"
#include "agent/network/apply.h"
#include "agent/network/firewall.h"
#include "agent/network/link.h"
#include "agent/network/netlink.h"
#include "agent/network/plugged.h"
#include "agent/network/sysctl.h"

enum { FIRST_PORT = 2 }; /* eth0 is the management network's, eth1 the VIP's */

struct network {
	struct network_settings settings;
	pthread_mutex_t lock; /* held by whoever changes files or interfaces */
	struct {              /* between network_prepare() and network_prepared() */
		int namespace_fd;
		bool of_machine;
		struct process_job job;
	} sysctls;
};

int network_new(const struct network_settings *settings, struct network **ret, struct error *err)
{
	struct network *network;

	if (settings->network_namespace && namespace_check_name(settings->network_namespace, err) < 0)
		return error_wrap(err, -EINVAL, "[amphorad] network_namespace");
	network = calloc(1, sizeof(*network));
	if (!network)
		return error_set_errno(err, -ENOMEM, "network");
	network->settings = *settings;
	pthread_mutex_init(&network->lock, NULL);
	network->sysctls.namespace_fd = -1;
	network->sysctls.job = PROCESS_JOB_INIT;
	*ret = network;
	return 0;
}

void network_free(struct network *network)
{
	if (!network)
		return;
	process_job_done(&network->sysctls.job);
	close_keep_errno(network->sysctls.namespace_fd);
	pthread_mutex_destroy(&network->lock);
	free(network);
}

/* What one call works with. */
struct work {
	int namespace_fd;
	struct nl_sock *inside;  /* the namespace */
	struct nl_sock *outside; /* where we are; NULL: that is the namespace itself */
	int interfaces_fd, base_fd;
	bool is_new; /* the namespace was missing */
};

#define WORK_INIT ((struct work){.namespace_fd = -1, .interfaces_fd = -1, .base_fd = -1})

static void work_done(struct work *work)
{
	netlink_closep(&work->inside);
	netlink_closep(&work->outside);
	close_keep_errno(work->namespace_fd);
	close_keep_errno(work->interfaces_fd);
	close_keep_errno(work->base_fd);
}
#define _cleanup_work_ _cleanup_(work_done)

static int no_namespace(struct error *err)
{
	return error_set(err, ERROR_UNSUPPORTED, NULL,
		"no network namespace is configured ([amphorad] network_namespace): interfaces are not this agent's");
}

/* Creates it where it is missing; its parameters are set then. */
static int open_namespace(const struct network *network, struct work *work, struct error *err)
{
	const char *name = network->settings.network_namespace;
	_cleanup_error_ struct error missing = ERROR_INIT;
	int r;

	if (!name)
		return no_namespace(err);
	if (namespace_open(name, &work->namespace_fd, &missing) == 0)
		return 0;
	r = namespace_create(name, &work->namespace_fd, err);
	if (r == 0) {
		work->is_new = true;
		log_notice("network namespace %s created", name);
		sysctl_apply(work->namespace_fd, true);
	}
	return r;
}

static int open_folder(const char *path, int *ret_fd, struct error *err)
{
	int r = fileio_make_dirs(path, 0755);

	if (r == 0)
		*ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r < 0 || *ret_fd < 0)
		return error_set_errno(err, r < 0 ? r : -errno, "cannot open %s", path);
	return 0;
}

static int nothing(void *userdata _unused_)
{
	return 0;
}

/* Without netlink: whether we may enter the namespace is seen all the same. */
static int work_open(const struct network *network, struct work *work, struct error *err)
{
	int r;

	r = open_namespace(network, work, err);
	if (r == 0)
		r = open_folder(network->settings.interfaces_dir, &work->interfaces_fd, err);
	if (r == 0)
		r = open_folder(network->settings.base_path, &work->base_fd, err);
	if (r < 0)
		return r;
	r = namespace_run(work->namespace_fd, nothing, NULL);
	if (r == -EPERM)
		return error_set(err, ERROR_FORBIDDEN, NULL,
			"cannot enter network namespace %s: it takes root's rights (CAP_SYS_ADMIN, CAP_NET_ADMIN)",
			network->settings.network_namespace);
	return r < 0 ? error_set_errno(err, r, "cannot enter network namespace %s",
			       network->settings.network_namespace)
		     : 0;
}

static bool is_outside(const struct work *work)
{
	return !namespace_is_same(-1, work->namespace_fd);
}

static int work_connect(struct work *work, struct error *err)
{
	int r = netlink_open(work->namespace_fd, &work->inside, err);

	if (r == 0 && is_outside(work))
		r = netlink_open(-1, &work->outside, err);
	return r;
}

static int work_begin(const struct network *network, struct work *work, struct error *err)
{
	int r = work_open(network, work, err);

	return r < 0 ? r : work_connect(work, err);
}

static int write_loopback_file(const struct work *work, struct error *err)
{
	json_auto_t *json = json_pack("{s:s, s:s, s:[{s:s, s:i}], s:[], s:[], s:{s:[], s:[]}, s:b}", "name", "lo",
		"if_type", "lo", "addresses", "address", "127.0.0.1", "prefixlen", 8, "routes", "rules", "scripts", "up",
		"down", "is_sriov", 0);

	return json ? interface_write(work->interfaces_fd, json, err) : error_set_errno(err, -ENOMEM, "interface");
}

static int read_and_apply(const struct network *network, const struct work *work, const char *file, bool up,
	struct error *err)
{
	const struct apply_context context = {work->namespace_fd, work->inside, network->settings.tools_dir};
	const struct firewall_settings firewall = {network->settings.network_namespace, network->settings.base_path};
	_cleanup_interface_ struct interface *interface = NULL;
	int r;

	r = interface_read(work->interfaces_fd, file, &interface, err);
	/* No security group guards it: the firewall stands before it comes up. */
	if (r == 0 && up && interface->is_sriov)
		r = firewall_load(&firewall, err);
	if (r < 0)
		return r;
	return up ? apply_up(&context, interface, err) : apply_down(&context, interface, err);
}

/* Written first: whatever happens then, the next attempt or the next reboot knows what has to be. */
static int configure(const struct network *network, const struct work *work, const struct plug *plug, const char *name,
	struct error *err)
{
	json_auto_t *json = NULL;
	int r;

	r = plug_to_json(plug, name, network->settings.active_standby, &json);
	if (r < 0)
		return error_set_errno(err, r, "interface %s", name);
	r = interface_write(work->interfaces_fd, json, err);
	return r < 0 ? r : plugged_add(work->base_fd, plug->mac, name, err);
}

static int bring_up(const struct network *network, const struct work *work, const char *name, struct error *err)
{
	char file[IF_NAMESIZE + 8];

	snprintf(file, sizeof(file), "%s.json", name);
	return read_and_apply(network, work, file, true, err);
}

/* Nova may have plugged the port, and the kernel not heard of it (plug.py, _interface_by_mac()). */
static void rescan_pci(void)
{
	_cleanup_close_ int fd = open("/sys/bus/pci/rescan", O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)fileio_write_all(fd, "1", 1);
}

static int find_outside(const struct work *work, const struct plug *plug, struct link *ret, struct error *err)
{
	int r = work->outside ? link_find_by_mac(work->outside, plug->mac, ret) : -ENODEV;
	char mac[MAC_TEXT_SIZE];

	if (r == 0)
		return 0;
	if (r != -ENODEV)
		return error_set_errno(err, r, "cannot read the network interfaces");
	mac_format(plug->mac, mac);
	log_info("there is no port with MAC %s yet", mac);
	rescan_pci();
	return error_set(err, ERROR_NOT_FOUND, NULL, NETWORK_NO_PORT);
}

/* Files, then the move, then what it needs. */
static int plug_in(const struct network *network, const struct work *work, const struct plug *plug,
	const struct link *link, const char *name, struct error *err)
{
	struct link other;
	int r;

	if (link_find_by_name(work->inside, name, &other) == 0)
		return error_set(err, ERROR_INTERNAL, NULL, "another port is %s already", name);
	r = configure(network, work, plug, name, err);
	if (r < 0)
		return r;
	r = link_move(work->outside, link, work->namespace_fd, name);
	if (r < 0)
		return error_set_errno(err, r, "cannot move %s into the network namespace as %s", link->name, name);
	log_notice("port %s is %s of network namespace %s now", link->name, name, network->settings.network_namespace);
	return bring_up(network, work, name, err);
}

/* A port that is in the namespace. */
static int update(const struct network *network, const struct work *work, const struct plug *plug, const char *name,
	struct error *err)
{
	int r = configure(network, work, plug, name, err);

	return r < 0 ? r : bring_up(network, work, name, err);
}

int network_plug_vip(struct network *network, const struct plug *plug, struct error *err)
{
	HOLD(lock, &network->lock);
	_cleanup_work_ struct work work = WORK_INIT;
	struct link link;
	int r;

	r = work_begin(network, &work, err);
	if (r < 0)
		return r;
	r = link_find_by_mac(work.inside, plug->mac, &link);
	if (r == 0 && (link.is_up || !streq(link.name, NETWORK_VIP_INTERFACE)))
		return error_set(err, ERROR_CONFLICT, NULL, "Interface already exists");
	if (r == 0)
		return update(network, &work, plug, link.name, err);
	if (r != -ENODEV)
		return error_set_errno(err, r, "cannot read the network interfaces");
	r = find_outside(&work, plug, &link, err);
	return r < 0 ? r : plug_in(network, &work, plug, &link, NETWORK_VIP_INTERFACE, err);
}

/* The first ethN that is free. */
static void choose_name(const struct work *work, char ret[static IF_NAMESIZE])
{
	struct link other;
	unsigned n = FIRST_PORT;

	do
		snprintf(ret, IF_NAMESIZE, "eth%u", n++ % 100000);
	while (link_find_by_name(work->inside, ret, &other) == 0);
}

/* Members, and whoever routes to them, may have known the addresses of another amphora's port. */
static void advertise_fixed_ips(const struct network *network, const struct plug *plug)
{
	_cleanup_strv_ char **addresses = calloc(plug->n_fixed_ips + 1, sizeof(*addresses));

	for (size_t i = 0; addresses && i < plug->n_fixed_ips; i++) {
		char text[IP_TEXT_SIZE];

		ip_format(&plug->fixed_ips[i].address, text);
		addresses[i] = strdup(text);
		if (!addresses[i])
			return;
	}
	if (addresses)
		advertise_addresses(network->settings.network_namespace, addresses);
}

int network_plug_port(struct network *network, const struct plug *plug, char ret_name[static IF_NAMESIZE],
	bool *ret_updated, struct error *err)
{
	HOLD(lock, &network->lock);
	_cleanup_work_ struct work work = WORK_INIT;
	char name[IF_NAMESIZE];
	struct link link;
	bool updated;
	int r;

	r = work_begin(network, &work, err);
	if (r < 0)
		return r;
	r = link_find_by_mac(work.inside, plug->mac, &link);
	if (r < 0 && r != -ENODEV)
		return error_set_errno(err, r, "cannot read the network interfaces");
	updated = r == 0;
	if (updated) {
		memcpy(name, link.name, sizeof(name));
		r = update(network, &work, plug, name, err);
	} else {
		struct plug port = *plug;

		/* The VIP's port is never new here. */
		port.n_vips = 0;
		r = find_outside(&work, plug, &link, err);
		if (r < 0)
			return r;
		choose_name(&work, name);
		r = plug_in(network, &work, &port, &link, name, err);
	}
	if (r < 0)
		return r;
	advertise_fixed_ips(network, plug);
	memcpy(ret_name, name, IF_NAMESIZE);
	*ret_updated = updated;
	return 0;
}

static int find_with_address(struct nl_sock *sock, const struct ip *address, char ret_name[static IF_NAMESIZE])
{
	_cleanup_free_ struct address *list = NULL;
	struct link link;
	size_t n;
	int r;

	r = address_list(sock, 0, &list, &n);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		if (!ip_equal(&list[i].network.ip, address))
			continue;
		r = link_find_by_index(sock, list[i].index, &link);
		if (r == 0)
			memcpy(ret_name, link.name, IF_NAMESIZE);
		return r;
	}
	return -ENODEV;
}

int network_find_interface(
	struct network *network, const struct ip *address, char ret_name[static IF_NAMESIZE], struct error *err)
{
	_cleanup_nl_socket_ struct nl_sock *sock = NULL;
	_cleanup_close_ int fd = -1;
	int r = 0;

	if (network->settings.network_namespace)
		r = namespace_open(network->settings.network_namespace, &fd, err);
	if (r < 0)
		return r;
	r = netlink_open(fd, &sock, err);
	if (r < 0)
		return r;
	r = find_with_address(sock, address, ret_name);
	if (r == -ENODEV)
		return error_set(err, ERROR_NOT_FOUND, NULL, "no interface has this address");
	return r < 0 ? error_set_errno(err, r, "cannot read the addresses") : 0;
}

/* Adds to the words of several failures; the result of all is the first's. */
static void add_failure(struct error *all, int *first, const char *what, struct error *one, int r)
{
	if (*first == 0) {
		*first = r;
		error_done(all);
		error_set(all, one->code, NULL, "%s: %s", what, error_message(one));
	} else {
		_cleanup_free_ char *words = all->message;

		all->message = NULL;
		error_set(all, all->code, NULL, "%s; %s: %s", words ? words : "", what, error_message(one));
	}
	error_done(one);
}

/* After a reboot the ports are where the agent runs. Those that have gone for good stay in the file. */
static void fetch_ports(const struct work *work, struct error *all, int *first)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	_cleanup_free_ struct plugged *list = NULL;
	size_t n = 0;
	int r;

	if (!work->outside)
		return;
	r = plugged_read(work->base_fd, &list, &n, &problem);
	if (r < 0)
		add_failure(all, first, "plugged interfaces", &problem, r);
	for (size_t i = 0; i < n; i++) {
		struct link link;

		r = link_find_by_mac(work->outside, list[i].mac, &link);
		if (r == 0)
			r = link_move(work->outside, &link, work->namespace_fd, list[i].name);
		else if (r == -ENODEV)
			continue;
		if (r < 0) {
			error_set_errno(&problem, r, "cannot move it into the network namespace");
			add_failure(all, first, list[i].name, &problem, r);
		}
	}
}

static int apply_files(const struct network *network, const struct work *work, const char *name, bool up,
	struct error *all, int *first)
{
	_cleanup_strv_ char **files = NULL;
	int found = 0, r;

	r = interface_list_files(work->interfaces_fd, &files);
	if (r < 0)
		return error_set_errno(all, r, "cannot read %s", network->settings.interfaces_dir);
	STRV_FOREACH (file, files) {
		_cleanup_error_ struct error problem = ERROR_INIT;
		size_t length = strlen(*file) - strlen(".json");

		if (!streq(name, "all") && (strlen(name) != length || strncmp(*file, name, length) != 0))
			continue;
		found++;
		r = read_and_apply(network, work, *file, up, &problem);
		if (r < 0)
			add_failure(all, first, *file, &problem, r);
	}
	return found;
}

/* Where nobody has restored the namespace after a boot (amphora-netns.service), the agent does. */
static void restore(const struct network *network, const struct work *work)
{
	_cleanup_error_ struct error all = ERROR_INIT;
	int first = 0, r;

	fetch_ports(work, &all, &first);
	r = apply_files(network, work, "all", true, &all, &first);
	if (r < 0 || first < 0)
		log_error("not all interfaces are restored: %s", error_message(&all));
}

int network_prepare(struct network *network, struct error *err)
{
	HOLD(lock, &network->lock);
	_cleanup_work_ struct work work = WORK_INIT;
	int r;

	if (!network->settings.network_namespace)
		return 0;
	r = work_open(network, &work, err);
	if (r == 0 && work.is_new)
		r = work_connect(&work, err);
	if (r < 0)
		return error_wrap(err, r, "[amphorad] network_namespace (leave it empty to have HAProxy run here)");
	r = write_loopback_file(&work, err);
	if (r < 0)
		return r;
	if (work.is_new) {
		restore(network, &work);
		return 0;
	}
	sysctl_begin(work.namespace_fd, &network->sysctls.job);
	network->sysctls.of_machine = is_outside(&work);
	network->sysctls.namespace_fd = TAKE_FD(work.namespace_fd);
	return 0;
}

void network_prepared(struct network *network)
{
	HOLD(lock, &network->lock);

	if (network->sysctls.namespace_fd < 0)
		return;
	sysctl_end(network->sysctls.namespace_fd, network->sysctls.of_machine, &network->sysctls.job);
	close_keep_errno(TAKE_FD(network->sysctls.namespace_fd));
}

static int change(struct network *network, const char *name, bool up, struct error *err)
{
	HOLD(lock, &network->lock);
	_cleanup_error_ struct error all = ERROR_INIT;
	_cleanup_work_ struct work work = WORK_INIT;
	int first = 0, r;

	r = work_begin(network, &work, err);
	if (r < 0)
		return r;
	if (up && streq(name, "all") && !work.is_new)
		sysctl_apply(work.namespace_fd, work.outside != NULL);
	if (up)
		fetch_ports(&work, &all, &first);
	r = apply_files(network, &work, name, up, &all, &first);
	if (r == 0 && !streq(name, "all"))
		return error_set(err, ERROR_NOT_FOUND, NULL, "there is no file %s/%s.json",
			network->settings.interfaces_dir, name);
	if (r >= 0 && first == 0)
		return 0;
	if (err) {
		error_done(err);
		*err = all;
		all = ERROR_INIT;
	}
	return r < 0 ? r : first;
}

int network_up(struct network *network, const char *name, struct error *err)
{
	return change(network, name, true, err);
}

int network_down(struct network *network, const char *name, struct error *err)
{
	return change(network, name, false, err);
}
