/* SPDX-License-Identifier: Apache-2.0 */

/*
 * amphoractl's commands and the options of all of them. A family of commands has its own table of
 * actions, beside what they do.
 */

#include "api/client/commands.h"

enum {
	MAX_TIMEOUT_S = 24 * 60 * 60,
	MAX_COUNT = 1000 * 1000,
	MAX_INTERVAL_S = 60 * 60,
};

static const char *const output_names[] = {
	[OUTPUT_TEXT] = "text",
	[OUTPUT_JSON] = "json",
	[_OUTPUT_MAX] = NULL,
};

const struct option_row client_options[] = {
	STRING("socket", 's', "PATH", socket_path, "amphorad's socket; default: $AMPHORAD_SOCKET or\n" CLIENT_SOCKET),
	STRING("url", 'u', "URL", url,
		"http://HOST:PORT or https://HOST:PORT instead;\n"
		"default: $AMPHORAD_URL"),
	STRING("cert", 0, "FILE", certificate, "client certificate for https (PEM)"),
	STRING("key", 0, "FILE", key, "its key (PEM), if it is not in the same file"),
	STRING("cacert", 0, "FILE", ca_certificate, "who signed the server's certificate (PEM)"),
	NUMBER("timeout", 't', "SECONDS", timeout_s, 1, MAX_TIMEOUT_S, "how long a request may take; default: 60"),
	FLAG("json", 'j', json, "print JSON, for programs"),
	CHOICE("output", 'o', "text|json", output, output_names, "\"-o json\" is the same as --json"),
	CHOICE("color", 0, "auto|always|never", colour, colour_when_names,
		"auto: on a terminal, unless NO_COLOR is set"),
	FLAG("quiet", 'q', quiet, "print no notes and no reports of success"),
	FLAG("help", 'h', help, "print this help; after a command, its own"),
	FLAG("version", 'V', version, "print the version"),
	{.name = NULL},
};

#define ID_OPTION STRING("id", 0, "UUID", id, "load balancer's id, for a document without one")

static const struct option_row apply_options[] = {
	ID_OPTION,
	STRING("if-match", 0, "REVISION", if_match, "only if this is still the revision (see \"show\")"),
	{.name = NULL},
};

static const struct option_row diff_options[] = {
	ID_OPTION,
	{.name = NULL},
};

static const struct option_row show_options[] = {
	FLAG("definition", 0, definition, "print the whole definition, as \"apply\" takes it"),
	{.name = NULL},
};

static const struct option_row rollback_options[] = {
	FLAG("dry-run", 0, dry_run, "only tell what would change, and how"),
	{.name = NULL},
};

static const struct option_row watch_options[] = {
	NUMBER("interval", 'n', "SECONDS", interval_s, 1, MAX_INTERVAL_S, "time between two looks; default: 2"),
	NUMBER("count", 0, "N", count, 1, MAX_COUNT, "how many looks; default: without end"),
	{.name = NULL},
};

static const struct option_row heartbeat_options[] = {
	FLAG("decode", 0, decode, "decode a message from FILE or standard input"),
	STRING("key-file", 0, "FILE", key_file, "file with the heartbeat_key: check the signature"),
	STRING("listen", 0, "ADDRESS:PORT", listen, "receive messages on this UDP address"),
	NUMBER("count", 0, "N", count, 1, MAX_COUNT, "how many to receive; default: 1"),
	{.name = NULL},
};

const struct command client_commands[] = {
	{
		.name = "apply",
		.arguments = "FILE|-",
		.summary = "create or replace a load balancer",
		.description =
			"Sends a definition, {\"loadbalancer\": {…}}, and prints what was done: the new\n"
			"revision, how HAProxy got it (none, runtime, reload or start), and why.\n"
			"The same document again changes nothing. A document without an id gets one that\n"
			"is derived from its name. A change that fails leaves everything as it was.",
		.options = apply_options,
		.min_arguments = 1,
		.max_arguments = 1,
		.run = command_apply,
	},
	{
		.name = "diff",
		.arguments = "FILE|-",
		.summary = "what \"apply\" would change",
		.description =
			"Lets amphorad render the definition, check it with HAProxy and plan the change,\n"
			"and prints the plan, HAProxy's verdict and the changes of haproxy.cfg. Nothing\n"
			"is changed. Exit status: 0 nothing would change, 1 something would, 2 an error.",
		.options = diff_options,
		.min_arguments = 1,
		.max_arguments = 1,
		.run = command_diff,
	},
	{
		.name = "list",
		.arguments = "",
		.summary = "the load balancers",
		.description = "Lists all load balancers.",
		.run = command_list,
	},
	{
		.name = "show",
		.arguments = "ID|NAME",
		.summary = "the fields of a load balancer",
		.description = "Shows the fields of a load balancer and the revision of its definition.",
		.options = show_options,
		.min_arguments = 1,
		.max_arguments = 1,
		.run = command_show,
	},
	{
		.name = "status",
		.arguments = "[ID|NAME]",
		.summary = "what is up: listeners, pools, members",
		.description =
			"Shows the operating status of one load balancer, or of all, as a tree down to\n"
			"the members.",
		.max_arguments = 1,
		.run = command_status,
	},
	{
		.name = "stats",
		.arguments = "[ID|NAME]",
		.summary = "connections, bytes and errors",
		.description =
			"Shows the counters of one load balancer, or of all, and of their listeners. They\n"
			"go on counting over reloads and restarts. --json has the exact numbers.",
		.max_arguments = 1,
		.run = command_stats,
	},
	{
		.name = "watch",
		.arguments = "[ID|NAME]",
		.summary = "status, sessions and rates, as they change",
		.description =
			"Shows the status, the sessions and the rates of one load balancer, or of all,\n"
			"down to the members, again and again: in place on a terminal, where q quits\n"
			"and the space bar looks at once; elsewhere as lines in columns; with --json\n"
			"as one JSON document a line. Goes on while amphorad is restarted.",
		.options = watch_options,
		.max_arguments = 1,
		.run = command_watch,
	},
	{
		.name = "config",
		.arguments = "ID|NAME",
		.summary = "its haproxy.cfg",
		.description = "Prints the HAProxy configuration that amphorad rendered for a load balancer.",
		.min_arguments = 1,
		.max_arguments = 1,
		.run = command_config,
	},
	{
		.name = "delete",
		.arguments = "ID|NAME...",
		.summary = "stop and remove load balancers",
		.description =
			"Stops load balancers and removes all that belongs to them. If one of the names\n"
			"is unknown or not unique, nothing is deleted.",
		.min_arguments = 1,
		.max_arguments = SIZE_MAX,
		.run = command_delete,
	},
	{
		.name = "member",
		.arguments = "ACTION...",
		.summary = "members of pools: add, remove, drain, ...",
		.description =
			"Changes the members of a pool one by one; at run time, without a reload, where\n"
			"HAProxy can do that. A pool is named by its name or id; \"amphoractl status\"\n"
			"shows them.",
		.actions = member_actions,
	},
	{
		.name = "proxy-protocol",
		.arguments = "ACTION...",
		.summary = "the client's address for members: on, off, show",
		.description =
			"Switches the PROXY protocol on and off: towards the members of a pool, which\n"
			"then know the client's address, and from a load balancer in front of a listener.",
		.actions = proxy_protocol_actions,
	},
	{
		.name = "revisions",
		.arguments = "ID|NAME [REVISION [REVISION]]",
		.summary = "what it was before, and what changed",
		.description =
			"Lists the revisions of a load balancer that are kept, and what each of them\n"
			"changed. With a revision: what is different now; with two: what is different\n"
			"between them.",
		.min_arguments = 1,
		.max_arguments = 3,
		.run = command_revisions,
	},
	{
		.name = "rollback",
		.arguments = "ID|NAME [REVISION]",
		.summary = "back to what it was",
		.description =
			"Makes an earlier revision of a load balancer, or the one before this one, a new\n"
			"revision, and tells what that changes. If somebody else makes a change in this\n"
			"moment, nothing is done.",
		.options = rollback_options,
		.min_arguments = 1,
		.max_arguments = 2,
		.run = command_rollback,
	},
	{
		.name = "certificate",
		.arguments = "ACTION...",
		.summary = "certificates that definitions refer to",
		.description = "Adds, lists, shows and removes certificates of the agent's store.",
		.actions = certificate_actions,
	},
	{
		.name = "service",
		.arguments = "FILE|-",
		.summary = "a Kubernetes Service as a definition",
		.description =
			"Turns a Service of type LoadBalancer, with the annotations of OpenStack's cloud\n"
			"provider, into a definition, and prints or applies it. FILE is what \"kubectl get\n"
			"-o json\" prints: the Service, or a list, which may hold the Nodes and\n"
			"EndpointSlices, too. What cannot be honoured is said on standard error.\n"
			"amphoractl-service(1) lists all annotations.",
		.options = service_options,
		.min_arguments = 1,
		.max_arguments = 1,
		.run = command_service,
	},
	{
		.name = "heartbeat",
		.arguments = "[FILE|-]",
		.summary = "decode health messages, for debugging",
		.description =
			"Prints the JSON in a heartbeat, the UDP message that amphorad sends to Octavia's\n"
			"health manager. Asks no server. Without a key the signature is not checked.",
		.options = heartbeat_options,
		.max_arguments = 1,
		.run = command_heartbeat,
	},
	{
		.name = "complete",
		.arguments = "-- WORD...",
		.summary = "for completion scripts",
		.description = "Prints what may stand in the place of the last of the words of a command line.",
		.max_arguments = SIZE_MAX,
		.run = command_complete,
		.hidden = true,
	},
	{
		.name = "version",
		.arguments = "",
		.summary = "print the version",
		.description = "Prints the version of amphoractl.",
		.run = command_version,
	},
	{.name = NULL},
};
