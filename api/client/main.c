/* SPDX-License-Identifier: Apache-2.0 */

/*
 * amphoractl: the commands and options in their tables, and the way from argv to a command.
 */

#include "config.h"

#include <locale.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>

#include "api/client/client.h"
#include "api/client/commands.h"

#define DEFAULT_SOCKET "/run/amphorad/amphorad.sock"

/* What an option is and where its value goes. */
#define VALUE(member) .offset = offsetof(struct options, member)
#define FLAG(member) .type = OPTION_FLAG, VALUE(member)
#define STRING(member) .type = OPTION_STRING, VALUE(member)
#define NUMBER(member, low, high) \
	.type = OPTION_NUMBER, VALUE(member), .minimum = (low), .maximum = (high)
#define CHOICE(member, words) .type = OPTION_CHOICE, VALUE(member), .names = (words)

enum {
	DEFAULT_TIMEOUT_S = 60,
	MAX_TIMEOUT_S = 24 * 60 * 60,
	MAX_COUNT = 1000 * 1000,
};

static const struct option_row global_options[] = {
	{.name = "socket",
		.letter = 's',
		.argument = "PATH",
		STRING(socket_path),
		.help = "amphorad's socket; default: $AMPHORAD_SOCKET or\n" DEFAULT_SOCKET},
	{.name = "url",
		.letter = 'u',
		.argument = "URL",
		STRING(url),
		.help = "http://HOST:PORT or https://HOST:PORT instead;\ndefault: $AMPHORAD_URL"},
	{.name = "cert",
		.argument = "FILE",
		STRING(certificate),
		.help = "client certificate for https (PEM)"},
	{.name = "key",
		.argument = "FILE",
		STRING(key),
		.help = "its key (PEM), if it is not in the same file"},
	{.name = "cacert",
		.argument = "FILE",
		STRING(ca_certificate),
		.help = "authority that signed the server's certificate (PEM)"},
	{.name = "timeout",
		.letter = 't',
		.argument = "SECONDS",
		NUMBER(timeout_s, 1, MAX_TIMEOUT_S),
		.help = "how long a request may take; default: 60"},
	{.name = "json", .letter = 'j', FLAG(json), .help = "print JSON, for programs"},
	{.name = "color",
		.argument = "auto|always|never",
		CHOICE(colour, colour_when_names),
		.help = "colours; auto: on a terminal, unless NO_COLOR is set"},
	{.name = "quiet",
		.letter = 'q',
		FLAG(quiet),
		.help = "print no notes and no reports of success"},
	{.name = "help",
		.letter = 'h',
		FLAG(help),
		.help = "print this help; after a command, its own"},
	{.name = "version", .letter = 'V', FLAG(version), .help = "print the version"},
	{.name = NULL},
};

#define ID_OPTION                                                             \
	{                                                                     \
		.name = "id", .argument = "UUID", STRING(id),                 \
		.help = "id of the load balancer, for a document without one" \
	}

static const struct option_row apply_options[] = {
	ID_OPTION,
	{.name = "if-match",
		.argument = "REVISION",
		STRING(if_match),
		.help = "only if this is still the revision (see \"show\")"},
	{.name = NULL},
};

static const struct option_row diff_options[] = {
	ID_OPTION,
	{.name = NULL},
};

static const struct option_row show_options[] = {
	{.name = "definition",
		FLAG(definition),
		.help = "print the whole definition, as \"apply\" takes it"},
	{.name = NULL},
};

static const struct option_row heartbeat_options[] = {
	{.name = "decode", FLAG(decode), .help = "decode a message from FILE or standard input"},
	{.name = "key-file",
		.argument = "FILE",
		STRING(key_file),
		.help = "file with the heartbeat_key, to check the signature"},
	{.name = "listen",
		.argument = "ADDRESS:PORT",
		STRING(listen),
		.help = "receive messages on this UDP address"},
	{.name = "count",
		.argument = "N",
		NUMBER(count, 1, MAX_COUNT),
		.help = "how many to receive; default: 1"},
	{.name = NULL},
};

static const struct command commands[] = {
	{
		.name = "apply",
		.arguments = "FILE|-",
		.summary = "create or replace a load balancer",
		.description =
			"Sends a definition, {\"loadbalancer\": {…}}, and prints what was done: "
			"the new\n"
			"revision, how HAProxy got it (none, runtime, reload or start), and why.\n"
			"The same document again changes nothing. A document without an id gets "
			"one that\n"
			"is derived from its name. A change that fails leaves everything as it "
			"was.",
		.options = apply_options,
		.min_arguments = 1,
		.max_arguments = 1,
		.run = command_apply,
	},
	{
		.name = "diff",
		.arguments = "FILE|-",
		.summary = "what \"apply\" would change",
		.description = "Lets amphorad render the definition, check it with HAProxy and "
			       "plan the change,\n"
			       "and prints the plan, HAProxy's verdict and the changes of "
			       "haproxy.cfg. Nothing is\n"
			       "changed. Exit status: 0 nothing would change, 1 something would, 2 "
			       "an error.",
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
		.description =
			"Shows the fields of a load balancer and the revision of its definition.",
		.options = show_options,
		.min_arguments = 1,
		.max_arguments = 1,
		.run = command_show,
	},
	{
		.name = "status",
		.arguments = "[ID|NAME]",
		.summary = "what is up: listeners, pools, members",
		.description = "Shows the operating status of one load balancer, or of all, as a "
			       "tree down to the\n"
			       "members.",
		.max_arguments = 1,
		.run = command_status,
	},
	{
		.name = "stats",
		.arguments = "[ID|NAME]",
		.summary = "connections, bytes and errors",
		.description =
			"Shows the counters of one load balancer, or of all, and of their "
			"listeners. They\n"
			"go on counting over reloads and restarts. --json has the exact numbers.",
		.max_arguments = 1,
		.run = command_stats,
	},
	{
		.name = "config",
		.arguments = "ID|NAME",
		.summary = "its haproxy.cfg",
		.description = "Prints the HAProxy configuration that amphorad rendered for a load "
			       "balancer.",
		.min_arguments = 1,
		.max_arguments = 1,
		.run = command_config,
	},
	{
		.name = "delete",
		.arguments = "ID|NAME...",
		.summary = "stop and remove load balancers",
		.description = "Stops load balancers and removes all that belongs to them. If one "
			       "of the names is\n"
			       "unknown or not unique, nothing is deleted.",
		.min_arguments = 1,
		.max_arguments = SIZE_MAX,
		.run = command_delete,
	},
	{
		.name = "certificate",
		.arguments = "ACTION...",
		.summary = "certificates that definitions refer to",
		.description =
			"certificate add NAME FILE|-...  store or replace one: PEM files with the "
			"certificate, its\n"
			"                                private key and its chain, in any order; or "
			"authorities;\n"
			"                                or revocation lists. Load balancers that use "
			"it get it\n"
			"                                at once, or everything stays as it was.\n"
			"certificate list                all of them, and how long they are valid\n"
			"certificate show NAME           what one says, and who uses it; never the "
			"key\n"
			"certificate remove NAME...      remove what nobody uses",
		.min_arguments = 1,
		.max_arguments = SIZE_MAX,
		.run = command_certificate,
	},
	{
		.name = "heartbeat",
		.arguments = "[FILE|-]",
		.summary = "decode health messages, for debugging",
		.description = "Prints the JSON in a heartbeat, the UDP message that amphorad "
			       "sends to Octavia's\n"
			       "health manager. Asks no server. Without a key the signature is not "
			       "checked.",
		.options = heartbeat_options,
		.max_arguments = 1,
		.run = command_heartbeat,
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

static const struct command *find_command(const char *name)
{
	for (const struct command *command = commands; command->name; command++)
		if (streq(command->name, name))
			return command;
	return NULL;
}

/* Finds the command and parses all options: those before it and those after. NULL without a
 * command. */
static int parse(int argc, char **argv, struct options *options, const struct command **ret_command,
	char ***ret_arguments, size_t *ret_n, struct error *err)
{
	const struct option_row *const before[] = {global_options, NULL};
	const struct command *command;
	int first = 0, r;

	r = options_parse(before, true, argc, argv, options, &first, err);
	if (r < 0)
		return r;
	*ret_n = 0;
	*ret_command = NULL;
	if (first >= argc)
		return 0;
	command = find_command(argv[first]);
	if (!command)
		return error_set(
			err, ERROR_INVALID, NULL, "there is no command \"%s\"", argv[first]);
	*ret_command = command;
	argc -= first;
	argv += first;
	const struct option_row *const after[] = {global_options, command->options, NULL};

	r = options_parse(after, false, argc, argv, options, &first, err);
	if (r < 0)
		return r;
	*ret_arguments = argv + first;
	*ret_n = (size_t)(argc - first);
	return 0;
}

/* What the options leave open, the environment may say; an option beats any variable. */
static int complete(struct options *options, struct error *err)
{
	const char *url = getenv("AMPHORAD_URL");
	const char *socket_path = getenv("AMPHORAD_SOCKET");

	if (options->url && options->socket_path)
		return error_set(err, ERROR_INVALID, NULL, "give --socket or --url, not both");
	if (!options->url && !options->socket_path && url && *url)
		options->url = url;
	if (!options->socket_path)
		options->socket_path = socket_path && *socket_path ? socket_path : DEFAULT_SOCKET;
	if (!options->url && (options->certificate || options->key || options->ca_certificate))
		return error_set(err, ERROR_INVALID, NULL, "--cert, --key and --cacert need --url");
	return 0;
}

static int check_arguments(const struct command *command, size_t n_arguments, struct error *err)
{
	if (n_arguments < command->min_arguments)
		return error_set(
			err, ERROR_INVALID, NULL, "%s needs %s", command->name, command->arguments);
	if (n_arguments > command->max_arguments)
		return error_set(err, ERROR_INVALID, NULL, "%s takes %s%s", command->name,
			*command->arguments ? "only " : "no argument", command->arguments);
	return 0;
}

static int usage_error(
	struct client *client, const struct error *err, const struct command *command)
{
	client_complain(client, err);
	fprintf(stderr, "Try: amphoractl %s%s--help\n", command ? command->name : "",
		command ? " " : "");
	return CLIENT_USAGE;
}

static int print_help(struct client *client, const struct command *command)
{
	_cleanup_text_ struct text out = TEXT_INIT;

	if (command)
		options_command_help(command, &client->out, &out);
	else
		options_help(commands, global_options, &client->out, &out);
	return client_print(client, &out);
}

static int run(
	struct client *client, const struct command *command, char *const *arguments, size_t n)
{
	const struct options *options = client->options;
	const struct http_options http_options = {
		.socket_path = options->socket_path,
		.url = options->url,
		.certificate = options->certificate,
		.key = options->key,
		.ca_certificate = options->ca_certificate,
		.timeout_s = (long)options->timeout_s,
	};
	_cleanup_http_ struct http *http = NULL;
	_cleanup_error_ struct error err = ERROR_INIT;

	if (http_new(&http_options, &http, &err) < 0)
		return usage_error(client, &err, command);
	client->http = http;
	return command->run(client, arguments, n);
}

int main(int argc, char **argv)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	struct options options = {.timeout_s = DEFAULT_TIMEOUT_S, .count = 1};
	struct client client = {.options = &options};
	const struct command *command = NULL;
	char **arguments = NULL;
	size_t n_arguments = 0;
	int r, status;

	setlocale(LC_CTYPE, "");
	r = parse(argc, argv, &options, &command, &arguments, &n_arguments, &err);
	terminal_open(&client.out, STDOUT_FILENO, (enum colour_when)options.colour);
	terminal_open(&client.err, STDERR_FILENO, (enum colour_when)options.colour);
	if (r == 0 && options.help)
		return print_help(&client, command);
	if (r == 0 && options.version)
		return command_version(&client, NULL, 0);
	if (r == 0 && !command)
		r = error_set(&err, ERROR_INVALID, NULL, "a command is missing");
	if (r == 0)
		r = check_arguments(command, n_arguments, &err);
	if (r == 0)
		r = complete(&options, &err);
	if (r < 0)
		return usage_error(&client, &err, command);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return client_out_of_memory(&client);
	status = run(&client, command, arguments, n_arguments);
	curl_global_cleanup();
	return status;
}
