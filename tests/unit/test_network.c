/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What needs no privileges: addresses as text, what a controller says of a port, interface files, plugged_interfaces.
 * The rest is tests/api/test_network_plug.py.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/base/fileio.h"
#include "agent/base/text.h"
#include "agent/network/network.h"
#include "agent/network/plugged.h"

#define MAC "fa:16:3e:11:22:01"

static void test_addresses(void **state)
{
	static const struct {
		const char *text, *canonical, *exploded; /* NULL: none */
	} rows[] = {
		{"10.0.0.1", "10.0.0.1", "10.0.0.1"},
		{"2001:DB8:0:0:0::1", "2001:db8::1", "2001:0db8:0000:0000:0000:0000:0000:0001"},
		{"::ffff:10.0.0.1", "::ffff:10.0.0.1", "0000:0000:0000:0000:0000:ffff:0a00:0001"},
		{"::", "::", "0000:0000:0000:0000:0000:0000:0000:0000"},
		{"", NULL, NULL}, {"10.0.0", NULL, NULL}, {"10.0.0.256", NULL, NULL}, {"010.0.0.1", NULL, NULL},
		{"0x0a000001", NULL, NULL}, {"10.0.0.1 ", NULL, NULL}, {" 10.0.0.1", NULL, NULL},
		{"10.0.0.1/24", NULL, NULL}, {"fe80::1%eth0", NULL, NULL}, {"1:2:3:4:5:6:7:8:9", NULL, NULL},
		{"localhost", NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		char text[IP_TEXT_SIZE];
		struct ip ip;
		int r = ip_parse(rows[i].text, &ip);

		if ((r == 0) != (rows[i].canonical != NULL))
			fail_msg("\"%s\": %d", rows[i].text, r);
		if (r < 0)
			continue;
		ip_format(&ip, text);
		assert_string_equal(text, rows[i].canonical);
		ip_format_exploded(&ip, text);
		assert_string_equal(text, rows[i].exploded);
	}
}

static void test_networks(void **state)
{
	static const struct {
		const char *text, *masked; /* NULL: none */
		bool had_host_bits;
	} rows[] = {
		{"10.0.0.0/8", "10.0.0.0/8", false},
		{"10.1.2.3/8", "10.0.0.0/8", true},
		{"10.1.2.3/31", "10.1.2.2/31", true},
		{"10.1.2.3/0", "0.0.0.0/0", true},
		{"10.1.2.3", "10.1.2.3/32", false},
		{"2001:db8::5/64", "2001:db8::/64", true},
		{"2001:db8:ffff::/33", "2001:db8:8000::/33", true},
		{"::1", "::1/128", false},
		{"10.0.0.0/33", NULL, false}, {"10.0.0.0/", NULL, false}, {"10.0.0.0/-1", NULL, false},
		{"10.0.0.0/+8", NULL, false}, {"10.0.0.0/ 8", NULL, false}, {"10.0.0.0/8 ", NULL, false},
		{"10.0.0.0/8/8", NULL, false}, {"::/129", NULL, false}, {"/8", NULL, false}, {"", NULL, false},
		{"10.0.0.0/99999999999999999999", NULL, false},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		char text[IP_NETWORK_TEXT_SIZE];
		struct ip_network network;
		int r = ip_network_parse(rows[i].text, &network);

		if ((r == 0) != (rows[i].masked != NULL))
			fail_msg("\"%s\": %d", rows[i].text, r);
		if (r < 0)
			continue;
		assert_int_equal(ip_network_mask(&network), rows[i].had_host_bits);
		ip_network_format(&network, text);
		assert_string_equal(text, rows[i].masked);
	}
}

static void test_macs(void **state)
{
	static const char *const bad[] = {"", "fa:16:3e:11:22", MAC ":02", "fa-16-3e-11-22-01", "fa:16:3e:11:22:0g",
		"00:00:00:00:00:00", " a:16:3e:11:22:01", "+a:16:3e:11:22:01", "fa:16:3e:11:22:1 "};
	uint8_t mac[MAC_LENGTH];
	char text[MAC_TEXT_SIZE];

	(void)state;
	assert_int_equal(mac_parse("FA:16:3e:11:22:0A", mac), 0);
	mac_format(mac, text);
	assert_string_equal(text, "fa:16:3e:11:22:0a");
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		assert_int_equal(mac_parse(bad[i], mac), -EINVAL);
}

static void test_names(void **state)
{
	static const char *const good[] = {"eth1", "lo", "a", "fifteen-letters", "e.1"};
	static const char *const bad[] = {"", ".", "..", "a/b", "../x", "sixteen-letters!", "a b", "a:1", "a\n", "\xc3\xa9"};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(good); i++)
		assert_true(interface_name_is_good(good[i]));
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		assert_false(interface_name_is_good(bad[i]));
}

static json_t *json_of(const char *text)
{
	json_error_t problem;
	json_t *json = json_loads(text, 0, &problem);

	if (!json)
		fail_msg("%s: %s", problem.text, text);
	return json;
}

static void assert_file(const char *wanted_text, const struct plug *plug, const char *name, bool active_standby)
{
	_cleanup_interface_ struct interface *interface = NULL;
	json_auto_t *wanted = json_of(wanted_text), *json = NULL;
	_cleanup_free_ char *text = NULL;

	assert_int_equal(plug_to_json(plug, name, active_standby, &json), 0);
	text = json_dumps(json, 0);
	if (!json_equal(json, wanted))
		fail_msg("%s\ninstead of\n%s", text, wanted_text);
	assert_int_equal(interface_parse(json, &interface, NULL), 0);
	assert_string_equal(interface->name, name);
}

static void parse_vip(const char *text, const char *vip, struct plug *ret)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	json_auto_t *json = json_of(text);
	enum plug_mistake mistake;

	if (plug_parse_vip(json, vip, ret, &mistake, &problem) < 0)
		fail_msg("%s: %s", problem.pointer, error_message(&problem));
}

static void test_vip_file(void **state)
{
	_cleanup_plug_ struct plug plug = {0};

	(void)state;
	parse_vip("{\"subnet_cidr\": \"2001:db8::/64\", \"gateway\": \"2001:db8::1\", \"mac_address\": \"" MAC "\","
		  " \"mtu\": 1450, \"vrrp_ip\": \"2001:db8::5\", \"is_sriov\": true, \"host_routes\": [{\"destination\":"
		  " \"2001:db8:f::/48\", \"nexthop\": \"2001:db8::fe\"}], \"unknown\": 1}",
		"2001:db8::9", &plug);
	assert_file("{\"name\": \"eth1\", \"if_type\": \"vip\", \"mtu\": 1450, \"is_sriov\": true, \"addresses\": ["
		    "{\"address\": \"2001:0db8:0000:0000:0000:0000:0000:0005\", \"prefixlen\": 64},"
		    "{\"address\": \"2001:0db8:0000:0000:0000:0000:0000:0009\", \"prefixlen\": 128,"
		    " \"octavia_owned\": true}], \"routes\": ["
		    "{\"dst\": \"::/0\", \"gateway\": \"2001:db8::1\", \"flags\": [\"onlink\"]},"
		    "{\"dst\": \"::/0\", \"gateway\": \"2001:db8::1\", \"flags\": [\"onlink\"], \"table\": 1},"
		    "{\"dst\": \"2001:0db8:0000:0000:0000:0000:0000:0000/64\", \"scope\": \"link\"},"
		    "{\"dst\": \"2001:0db8:0000:0000:0000:0000:0000:0000/64\", \"scope\": \"link\", \"table\": 1,"
		    " \"prefsrc\": \"2001:0db8:0000:0000:0000:0000:0000:0009\"},"
		    "{\"dst\": \"2001:db8:f::/48\", \"gateway\": \"2001:db8::fe\", \"flags\": [\"onlink\"]},"
		    "{\"dst\": \"2001:db8:f::/48\", \"gateway\": \"2001:db8::fe\", \"flags\": [\"onlink\"], \"table\": 1}],"
		    "\"rules\": [{\"src\": \"2001:0db8:0000:0000:0000:0000:0000:0009\", \"src_len\": 128, \"table\": 1}],"
		    "\"scripts\": {\"up\": [{\"command\": \"/usr/local/bin/lvs-masquerade.sh add ipv6 eth1 sriov\"}],"
		    " \"down\": [{\"command\": \"/usr/local/bin/lvs-masquerade.sh delete ipv6 eth1 sriov\"}]}}",
		&plug, "eth1", false);
	/* keepalived has the VIP, and what leaves from it. */
	assert_file("{\"name\": \"eth1\", \"if_type\": \"vip\", \"mtu\": 1450, \"is_sriov\": true, \"addresses\": ["
		    "{\"address\": \"2001:0db8:0000:0000:0000:0000:0000:0005\", \"prefixlen\": 64},"
		    "{\"address\": \"2001:0db8:0000:0000:0000:0000:0000:0009\", \"prefixlen\": 128,"
		    " \"octavia_owned\": false}], \"routes\": ["
		    "{\"dst\": \"::/0\", \"gateway\": \"2001:db8::1\", \"flags\": [\"onlink\"]},"
		    "{\"dst\": \"2001:0db8:0000:0000:0000:0000:0000:0000/64\", \"scope\": \"link\"},"
		    "{\"dst\": \"2001:db8:f::/48\", \"gateway\": \"2001:db8::fe\", \"flags\": [\"onlink\"]},"
		    "{\"dst\": \"2001:db8:f::/48\", \"gateway\": \"2001:db8::fe\", \"flags\": [\"onlink\"], \"table\": 1}],"
		    "\"rules\": [],"
		    "\"scripts\": {\"up\": [{\"command\": \"/usr/local/bin/lvs-masquerade.sh add ipv6 eth1 sriov\"}],"
		    " \"down\": [{\"command\": \"/usr/local/bin/lvs-masquerade.sh delete ipv6 eth1 sriov\"}]}}",
		&plug, "eth1", true);
}

/* Without an address of the port's own: each version by its own means. */
static void test_vip_file_without_vrrp_address(void **state)
{
	_cleanup_plug_ struct plug plug = {0};
	_cleanup_interface_ struct interface *interface = NULL;
	json_auto_t *json = NULL;

	(void)state;
	parse_vip("{\"subnet_cidr\": \"10.0.0.0/24\", \"gateway\": null, \"mac_address\": \"" MAC "\", \"mtu\": null,"
		  " \"vrrp_ip\": null, \"additional_vips\": [{\"ip_address\": \"2001:db8::9\", \"subnet_cidr\":"
		  " \"2001:db8::/64\"}]}",
		"10.0.0.9", &plug);
	assert_int_equal(plug_to_json(&plug, "eth1", false, &json), 0);
	assert_null(json_object_get(json, "mtu"));
	assert_int_equal(interface_parse(json, &interface, NULL), 0);
	assert_true(interface->wants_dhcp);
	assert_true(interface->wants_autoconfiguration);
	assert_int_equal(interface->n_addresses, 2);
	assert_int_equal(interface->n_rules, 2);
	assert_int_equal(strv_length(interface->up_commands), 2);
}

static void test_port_files(void **state)
{
	_cleanup_plug_ struct plug plug = {0}, bare = {0};
	json_auto_t *json = json_of("{\"mac_address\": \"" MAC "\", \"fixed_ips\": [{\"ip_address\": \"10.1.0.5\","
				    " \"subnet_cidr\": \"10.1.0.0/16\", \"gateway\": \"10.1.0.1\", \"host_routes\":"
				    " [{\"destination\": \"10.9.9.9/8\", \"nexthop\": \"10.1.0.2\"}]}]}");
	json_auto_t *bare_json = json_of("{\"mac_address\": \"" MAC "\", \"fixed_ips\": null, \"vip_net_info\": {}}");
	enum plug_mistake mistake;

	(void)state;
	assert_int_equal(plug_parse_network(json, &plug, &mistake, NULL), 0);
	/* The gateway of a member's network is not this machine's. */
	assert_file("{\"name\": \"eth7\", \"if_type\": \"backend\", \"is_sriov\": false, \"rules\": [], \"addresses\":"
		    " [{\"address\": \"10.1.0.5\", \"prefixlen\": 16}], \"routes\": [{\"dst\": \"10.0.0.0/8\", \"gateway\":"
		    " \"10.1.0.2\", \"flags\": [\"onlink\"]}], \"scripts\": {\"up\": [{\"command\":"
		    " \"/usr/local/bin/lvs-masquerade.sh add ipv4 eth7\"}], \"down\": [{\"command\":"
		    " \"/usr/local/bin/lvs-masquerade.sh delete ipv4 eth7\"}]}}",
		&plug, "eth7", false);
	assert_int_equal(plug_parse_network(bare_json, &bare, &mistake, NULL), 0);
	assert_file("{\"name\": \"eth2\", \"if_type\": \"backend\", \"is_sriov\": false, \"rules\": [], \"addresses\":"
		    " [{\"dhcp\": true, \"ipv6auto\": true}], \"routes\": [], \"scripts\": {\"up\": [{\"command\":"
		    " \"/usr/local/bin/lvs-masquerade.sh add ipv4 eth2\"}, {\"command\":"
		    " \"/usr/local/bin/lvs-masquerade.sh add ipv6 eth2\"}], \"down\": [{\"command\":"
		    " \"/usr/local/bin/lvs-masquerade.sh delete ipv4 eth2\"}, {\"command\":"
		    " \"/usr/local/bin/lvs-masquerade.sh delete ipv6 eth2\"}]}}",
		&bare, "eth2", false);
}

static void test_mistakes(void **state)
{
	static const struct {
		const char *text, *vip;
		enum plug_mistake mistake;
		const char *pointer;
	} rows[] = {
#define REST "\"subnet_cidr\": \"10.0.0.0/24\", \"gateway\": \"10.0.0.1\", \"mac_address\": \"" MAC "\""
		{"[]", "10.0.0.9", PLUG_INVALID_INFORMATION, "/"},
		{"{\"gateway\": null, \"mac_address\": \"" MAC "\"}", "10.0.0.9", PLUG_INVALID_INFORMATION, "/subnet_cidr"},
		{"{" REST "}", "10.0.0", PLUG_INVALID_VIP, "/vip"},
		{"{" REST "}", "2001:db8::9", PLUG_INVALID_VIP, "/subnet_cidr"},
		{"{" REST ", \"vrrp_ip\": \"\"}", "10.0.0.9", PLUG_INVALID_VRRP_ADDRESS, "/vrrp_ip"},
		{"{" REST ", \"vrrp_ip\": \"2001:db8::5\"}", "10.0.0.9", PLUG_INVALID_VRRP_ADDRESS, "/vrrp_ip"},
		{"{" REST ", \"mtu\": 65536}", "10.0.0.9", PLUG_INVALID_INFORMATION, "/mtu"},
		{"{" REST ", \"host_routes\": [{\"destination\": \"x\"}]}", "10.0.0.9", PLUG_INVALID_INFORMATION,
			"/host_routes/0/destination"},
		{"{" REST ", \"additional_vips\": [{}]}", "10.0.0.9", PLUG_INVALID_VIP, "/additional_vips/0/ip_address"},
		{"{" REST ", \"additional_vips\": [{\"ip_address\": \"10.0.1.9\", \"subnet_cidr\": \"10.0.1.0/24\","
		 " \"gateway\": \"::1\"}]}",
			"10.0.0.9", PLUG_INVALID_INFORMATION, "/additional_vips/0/gateway"},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_error_ struct error problem = ERROR_INIT;
		json_auto_t *json = json_of(rows[i].text);
		struct plug plug;
		enum plug_mistake mistake;

		assert_int_equal(plug_parse_vip(json, rows[i].vip, &plug, &mistake, &problem), -EINVAL);
		assert_int_equal(mistake, rows[i].mistake);
		assert_string_equal(problem.pointer, rows[i].pointer);
	}
}

/* The largest request that is taken makes a file that is taken, too. */
static void test_limits(void **state)
{
	_cleanup_plug_ struct plug plug = {0};
	json_auto_t *json = json_of("{" REST "}"), *vips = json_array(), *file = NULL;
	_cleanup_interface_ struct interface *interface = NULL;
	enum plug_mistake mistake;
	char text[48];

	(void)state;
	for (int i = 0; i < PLUG_MAX_ADDRESSES; i++) {
		json_t *vip = json_pack("{s:s, s:s, s:[]}", "ip_address", "10.0.0.9", "subnet_cidr", "10.0.0.0/24",
			"host_routes");

		for (int n = 0; n < PLUG_MAX_HOST_ROUTES / PLUG_MAX_ADDRESSES; n++) {
			snprintf(text, sizeof(text), "172.%d.%d.0/24", 16 + n, i);
			json_array_append_new(json_object_get(vip, "host_routes"),
				json_pack("{s:s, s:s}", "destination", text, "nexthop", "10.0.0.1"));
		}
		json_object_set_new(vip, "gateway", json_string("10.0.0.1"));
		json_array_append_new(vips, vip);
	}
	json_object_set(json, "additional_vips", vips);
	assert_int_equal(plug_parse_vip(json, "10.0.0.9", &plug, &mistake, NULL), 0);
	assert_int_equal(plug_to_json(&plug, "eth1", false, &file), 0);
	assert_int_equal(interface_parse(file, &interface, NULL), 0);
	json_array_append(vips, json_array_get(vips, 0));
	plug_done(&plug);
	assert_int_equal(plug_parse_vip(json, "10.0.0.9", &plug, &mistake, NULL), -EINVAL);
}

static void test_files_that_are_wrong(void **state)
{
	static const char *const rows[] = {"[]", "{}", "{\"name\": \"\"}", "{\"name\": \"../x\"}", "{\"name\": 5}",
		"{\"name\": \"eth1\", \"mtu\": -1}", "{\"name\": \"eth1\", \"mtu\": \"1500\"}",
		"{\"name\": \"eth1\", \"if_type\": \"bridge\"}", "{\"name\": \"eth1\", \"addresses\": {}}",
		"{\"name\": \"eth1\", \"addresses\": [5]}",
		"{\"name\": \"eth1\", \"addresses\": [{\"address\": \"10.0.0.5\"}]}",
		"{\"name\": \"eth1\", \"addresses\": [{\"address\": \"10.0.0.5\", \"prefixlen\": 33}]}",
		"{\"name\": \"eth1\", \"addresses\": [{\"address\": \"10.0.0.5/24\", \"prefixlen\": 24}]}",
		"{\"name\": \"eth1\", \"routes\": [{}]}", "{\"name\": \"eth1\", \"routes\": [{\"dst\": \"x\"}]}",
		"{\"name\": \"eth1\", \"routes\": [{\"dst\": \"::/0\", \"gateway\": \"10.0.0.1\"}]}",
		"{\"name\": \"eth1\", \"routes\": [{\"dst\": \"::/0\", \"table\": 0}]}",
		"{\"name\": \"eth1\", \"routes\": [{\"dst\": \"::/0\", \"table\": 4294967296}]}",
		"{\"name\": \"eth1\", \"rules\": [{\"src\": \"10.0.0.5/8\"}]}",
		"{\"name\": \"eth1\", \"rules\": [{\"src\": \"10.0.0.5\", \"src_len\": 0}]}",
		"{\"name\": \"eth1\", \"scripts\": {\"up\": [{\"command\": \"\"}]}}",
		"{\"name\": \"eth1\", \"scripts\": {\"up\": [{\"command\": \"a\\nb\"}]}}",
		"{\"name\": \"eth1\", \"scripts\": {\"down\": [\"reboot\"]}}"};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_error_ struct error problem = ERROR_INIT;
		json_auto_t *json = json_of(rows[i]);
		struct interface *interface;

		if (interface_parse(json, &interface, &problem) != -EINVAL)
			fail_msg("%s is taken", rows[i]);
		assert_non_null(problem.pointer);
	}
}

/* Without types and flags, as agents before 12.0.0 wrote them. */
static void test_old_files(void **state)
{
	static const struct {
		const char *text;
		enum interface_type type;
	} rows[] = {
		{"{\"name\": \"lo\", \"addresses\": [{\"address\": \"127.0.0.1\", \"prefixlen\": 8}], \"routes\": [],"
		 " \"rules\": [], \"scripts\": {\"up\": [], \"down\": []}}",
			INTERFACE_LOOPBACK},
		{"{\"name\": \"eth1\", \"routes\": null, \"scripts\": null}", INTERFACE_VIP},
		{"{\"name\": \"eth2\", \"mtu\": null, \"later\": {}}", INTERFACE_BACKEND},
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		_cleanup_interface_ struct interface *interface = NULL;
		json_auto_t *json = json_of(rows[i].text);

		assert_int_equal(interface_parse(json, &interface, NULL), 0);
		assert_int_equal(interface->type, rows[i].type);
		assert_false(interface->is_sriov);
	}
}

static int make_folder(char template[])
{
	assert_non_null(mkdtemp(template));
	return open(template, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void test_folder(void **state)
{
	char folder[] = "/tmp/test_network-XXXXXX";
	_cleanup_close_ int fd = make_folder(folder);
	json_auto_t *json = json_of("{\"name\": \"eth2\"}");
	_cleanup_error_ struct error problem = ERROR_INIT;
	_cleanup_strv_ char **files = NULL;
	struct interface *interface = NULL;
	struct stat st;
	ino_t inode;

	(void)state;
	assert_int_equal(interface_write(fd, json, NULL), 0);
	assert_int_equal(fstatat(fd, "eth2.json", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	/* What is right stays, what is not is replaced. */
	inode = st.st_ino;
	assert_int_equal(interface_write(fd, json, NULL), 0);
	assert_int_equal(fstatat(fd, "eth2.json", &st, 0), 0);
	assert_true(st.st_ino == inode);
	assert_int_equal(fileio_write(fd, "eth2.json", "{\"na", 4, 0644), 0);
	assert_int_equal(interface_write(fd, json, NULL), 0);
	assert_int_equal(fileio_write(fd, "eth10.json", "{\n\"name\":", 9, 0644), 0);
	assert_int_equal(fileio_write(fd, "eth1.json.orig", "{}", 2, 0644), 0);
	assert_int_equal(fileio_write(fd, ".eth1.json", "{}", 2, 0644), 0);
	assert_int_equal(interface_list_files(fd, &files), 0);
	assert_int_equal(strv_length(files), 2);
	assert_string_equal(files[0], "eth10.json");
	assert_string_equal(files[1], "eth2.json");
	assert_int_equal(interface_read(fd, "eth2.json", &interface, NULL), 0);
	interface_free(interface);
	assert_true(interface_read(fd, "eth10.json", &interface, &problem) < 0);
	assert_string_equal(problem.pointer, "eth10.json:2");
	assert_int_equal(fileio_remove_tree(AT_FDCWD, folder), 0);
}

static void test_plugged_interfaces(void **state)
{
	char folder[] = "/tmp/test_network-XXXXXX";
	_cleanup_close_ int fd = make_folder(folder);
	_cleanup_free_ struct plugged *list = NULL;
	/* What others wrote: capitals, blanks, no line end, nonsense; and a port that had the same name. */
	static const char foreign[] = MAC " eth1\nFA:16:3E:11:22:02\teth2 \r\nnonsense\n\nfa:16:3e:11:22:03 ../x\n"
					  "fa:16:3e:11:22:04 eth3\nfa:16:3e:11:22:05 eth4";
	_cleanup_free_ char *text = NULL;
	uint8_t mac[MAC_LENGTH];
	size_t n;

	(void)state;
	assert_int_equal(plugged_read(fd, &list, &n, NULL), 0);
	assert_int_equal(n, 0);
	free(TAKE_PTR(list));
	assert_int_equal(mac_parse(MAC, mac), 0);
	assert_int_equal(plugged_add(fd, mac, "eth1", NULL), 0);
	assert_int_equal(fileio_write(fd, "plugged_interfaces", foreign, strlen(foreign), 0644), 0);
	assert_int_equal(plugged_read(fd, &list, &n, NULL), 0);
	assert_int_equal(n, 4);
	assert_string_equal(list[1].name, "eth2");
	assert_int_equal(plugged_add(fd, mac, "eth3", NULL), 0);
	assert_int_equal(fileio_read(fd, "plugged_interfaces", 4096, &text, NULL), 0);
	assert_string_equal(text, "fa:16:3e:11:22:02 eth2\nfa:16:3e:11:22:05 eth4\n" MAC " eth3\n");
	assert_int_equal(fileio_remove_tree(AT_FDCWD, folder), 0);
}

static void test_no_namespace(void **state)
{
	const struct network_settings settings = {.interfaces_dir = "/nonexistent", .base_path = "/nonexistent"};
	const struct network_settings bad = {.network_namespace = "../x"};
	_cleanup_error_ struct error problem = ERROR_INIT;
	_cleanup_plug_ struct plug plug = {0};
	struct network *network = NULL;
	char name[IF_NAMESIZE];
	struct ip loopback;
	bool updated;

	(void)state;
	assert_int_equal(network_new(&bad, &network, NULL), -EINVAL);
	assert_int_equal(network_new(&settings, &network, NULL), 0);
	assert_int_equal(network_prepare(network, NULL), 0);
	assert_int_equal(network_plug_vip(network, &plug, &problem), -EOPNOTSUPP);
	assert_int_equal(network_plug_port(network, &plug, name, &updated, NULL), -EOPNOTSUPP);
	assert_int_equal(network_up(network, "all", NULL), -EOPNOTSUPP);
	/* Looking is allowed. */
	assert_int_equal(ip_parse("127.0.0.1", &loopback), 0);
	assert_int_equal(network_find_interface(network, &loopback, name, NULL), 0);
	assert_string_equal(name, "lo");
	assert_int_equal(ip_parse("192.0.2.1", &loopback), 0);
	assert_int_equal(network_find_interface(network, &loopback, name, NULL), -ENOENT);
	network_free(network);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_macs),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_vip_file),
		cmocka_unit_test(test_vip_file_without_vrrp_address),
		cmocka_unit_test(test_port_files),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_files_that_are_wrong),
		cmocka_unit_test(test_old_files),
		cmocka_unit_test(test_folder),
		cmocka_unit_test(test_plugged_interfaces),
		cmocka_unit_test(test_no_namespace),
	};

	return cmocka_run_group_tests_name("network", tests, NULL, NULL);
}
