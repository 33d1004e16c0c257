/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/network/firewall.h"

#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "agent/base/namespace.h"
#include "agent/base/process.h"
#include "agent/base/text.h"

#define STATE_FILE "nftables-vip.json"
#define OCTAVIAS_FILE "nftables-vip.rules"
#define LOCK_FILE ".nftables.lock"
#define NFT "/usr/sbin/nft"

enum {
	STATE_LIMIT = 64 * 1024 * 1024,
	NFT_TIMEOUT_MS = 60000, /* the largest number of rules takes a second or two */
	OUTPUT_LIMIT = 4096,
};

/* Between threads and between processes: amphora-interface loads the rules, too. */
static int lock_state(int folder_fd, int *ret_fd)
{
	_cleanup_close_ int fd = openat(folder_fd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return -errno;
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int open_state(const struct firewall_settings *settings, int *ret_folder_fd, int *ret_lock_fd, struct error *err)
{
	_cleanup_close_ int folder_fd = -1;
	int r;

	if (!settings->network_namespace)
		return error_set(err, ERROR_UNSUPPORTED, NULL,
			"there is no firewall without a network namespace ([amphorad] network_namespace): it would be the "
			"agent's own");
	folder_fd = open(settings->base_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = folder_fd < 0 ? -errno : lock_state(folder_fd, ret_lock_fd);
	if (r < 0)
		return error_set_errno(err, r, "%s", settings->base_path);
	*ret_folder_fd = TAKE_FD(folder_fd);
	return 0;
}

/* What was set before: an object with one list an interface. A file that cannot be read lets nothing in. */
static json_t *read_state(int folder_fd)
{
	_cleanup_free_ char *text = NULL;
	json_error_t problem;
	json_t *state;
	size_t length;
	int r;

	r = fileio_read_own(folder_fd, STATE_FILE, STATE_LIMIT, &text, &length);
	if (r == -ENOENT)
		return json_object();
	state = r == 0 ? json_loadb(text, length, JSON_REJECT_DUPLICATES, &problem) : NULL;
	if (json_is_object(state))
		return state;
	json_decref(state);
	log_error(STATE_FILE " cannot be read (%s): its rules are gone until they are set again",
		r < 0 ? strerror(-r) : "it is damaged");
	return json_object();
}

/* It becomes the name of a chain; the kernel lets more be an interface's. */
static bool is_interface_name(const char *name)
{
	return name[0] && strlen(name) < IF_NAMESIZE &&
		strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.") == strlen(name);
}

/* A document as a file that nothing else sees. */
static int write_document(const json_t *document, int *ret_fd)
{
	_cleanup_free_ char *text = json_dumps(document, JSON_COMPACT);
	_cleanup_close_ int fd = -1;
	int r;

	if (!text)
		return -ENOMEM;
	fd = memfd_create("nft", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = fileio_write_all(fd, text, strlen(text));
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	if (r == 0)
		*ret_fd = TAKE_FD(fd);
	return r;
}

/* nft reads "input_fd", all of it is in force or nothing. */
static int run_nft(const char *network_namespace, const char *const *argv, int input_fd, struct error *err)
{
	_cleanup_(process_result_done) struct process_result result = PROCESS_RESULT_INIT;
	struct process_options options = PROCESS_OPTIONS_INIT;
	_cleanup_close_ int namespace_fd = -1;
	int r;

	r = namespace_open(network_namespace, &namespace_fd, err);
	if (r < 0)
		return r;
	options.namespace_fd = namespace_fd;
	options.input_fd = input_fd;
	r = process_run_with(argv, &options, NFT_TIMEOUT_MS, OUTPUT_LIMIT, &result);
	if (r == -ENOENT)
		return error_set(err, ERROR_INTERNAL, NULL, "%s is missing: install nftables", argv[0]);
	if (r < 0)
		return error_set_errno(err, r, "%s", argv[0]);
	if (result.timed_out)
		return error_set(err, ERROR_INTERNAL, NULL, "%s did not finish in %d s", argv[0], NFT_TIMEOUT_MS / 1000);
	if (result.exit_status != 0)
		return error_set(err, ERROR_INTERNAL, NULL, "nft refuses the rules: %s", result.output);
	return 0;
}

static int run_transaction(const char *network_namespace, const json_t *transaction, struct error *err)
{
	static const char *const argv[] = {NFT, "-j", "-f", "-", NULL};
	_cleanup_close_ int input_fd = -1;
	int r;

	r = write_document(transaction, &input_fd);
	return r < 0 ? error_set_errno(err, r, "rules") : run_nft(network_namespace, argv, input_fd, err);
}

struct parsed {
	struct firewall_interface *interfaces;
	struct firewall_rules *rules;
	size_t n;
};

static void parsed_done(struct parsed *parsed)
{
	for (size_t i = 0; i < parsed->n; i++)
		firewall_rules_done(&parsed->rules[i]);
	free(parsed->rules);
	free(parsed->interfaces);
}

/* What cannot be is left out: the file is as hostile as a request. */
static int parse_state(json_t *state, struct parsed *ret)
{
	size_t size = json_object_size(state);
	const char *name;
	json_t *list;

	ret->rules = calloc(size + 1, sizeof(*ret->rules));
	ret->interfaces = calloc(size + 1, sizeof(*ret->interfaces));
	if (!ret->rules || !ret->interfaces)
		return -ENOMEM;
	json_object_foreach(state, name, list) {
		_cleanup_error_ struct error problem = ERROR_INIT;

		if (!is_interface_name(name) || firewall_rules_parse(list, &ret->rules[ret->n], &problem) < 0) {
			log_error(STATE_FILE ": the rules of an interface are left out: %s", error_message(&problem));
			continue;
		}
		ret->interfaces[ret->n] = (struct firewall_interface){name, &ret->rules[ret->n]};
		ret->n++;
	}
	return 0;
}

static int apply(const char *network_namespace, json_t *state, struct error *err)
{
	_cleanup_(parsed_done) struct parsed parsed = {0};
	json_auto_t *transaction = NULL;
	int r;

	r = parse_state(state, &parsed);
	if (r == 0)
		transaction = firewall_transaction(parsed.interfaces, parsed.n);
	if (!transaction)
		return error_set_errno(err, -ENOMEM, "rules");
	return run_transaction(network_namespace, transaction, err);
}

static int store(int folder_fd, const json_t *state, struct error *err)
{
	_cleanup_free_ char *text = json_dumps(state, JSON_COMPACT | JSON_SORT_KEYS);
	int r;

	if (!text)
		return error_set_errno(err, -ENOMEM, "rules");
	r = fileio_write(folder_fd, STATE_FILE, text, strlen(text), 0600);
	return r < 0 ? error_set_errno(err, r, "cannot write " STATE_FILE) : 0;
}

int firewall_set(const struct firewall_settings *settings, const char *interface, const struct firewall_rules *rules,
	struct error *err)
{
	_cleanup_close_ int folder_fd = -1, lock_fd = -1;
	json_auto_t *state = NULL, *before = NULL;
	json_t *list;
	int r;

	if (!is_interface_name(interface))
		return error_set(err, ERROR_INVALID, NULL, "an interface of that name cannot have rules");
	r = open_state(settings, &folder_fd, &lock_fd, err);
	if (r < 0)
		return r;
	before = read_state(folder_fd);
	state = json_copy(before);
	list = firewall_rules_to_json(rules);
	if (!state || !list || json_object_set_new(state, interface, list) < 0)
		return error_set_errno(err, -ENOMEM, "rules");
	r = apply(settings->network_namespace, state, err);
	if (r < 0)
		return r;
	r = store(folder_fd, state, err);
	/* A reboot would lose them: back to what it would find. */
	if (r < 0 && (json_object_get(before, interface) || json_object_set_new(before, interface, json_array()) == 0))
		apply(settings->network_namespace, before, NULL);
	return r;
}

int firewall_load(const struct firewall_settings *settings, struct error *err)
{
	_cleanup_close_ int folder_fd = -1, lock_fd = -1, octavias_fd = -1;
	static const char *const argv[] = {NFT, "-f", "-", NULL};
	_cleanup_error_ struct error problem = ERROR_INIT;
	json_auto_t *state = NULL;
	int r;

	r = open_state(settings, &folder_fd, &lock_fd, err);
	if (r < 0)
		return r;
	state = read_state(folder_fd);
	r = apply(settings->network_namespace, state, err);
	if (r < 0 || faccessat(folder_fd, STATE_FILE, F_OK, 0) == 0)
		return r;
	/* Over a table that lets nothing in: its own begins by replacing that, unless it is the first that was written. */
	octavias_fd = openat(folder_fd, OCTAVIAS_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (octavias_fd >= 0 && run_nft(settings->network_namespace, argv, octavias_fd, &problem) < 0)
		log_error(OCTAVIAS_FILE ": %s", error_message(&problem));
	return 0;
}
