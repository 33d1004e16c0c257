/* SPDX-License-Identifier: Apache-2.0 */

/*
 * amphoractl: the way from argv to a command of command_table.c.
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

enum {
	DEFAULT_TIMEOUT_S = 60,
	DEFAULT_INTERVAL_S = 2,
};

static int next_command(const struct command *commands, const struct command *parent,
	const char *name, const struct command **ret, struct error *err)
{
	const struct command *command = options_find_command(commands, parent, name);
	_cleanup_text_ struct text guess = TEXT_INIT;

	if (!command && options_guess_command(commands, parent, name))
		text_printf(&guess, "; did you mean \"%s\"?", options_guess_command(commands, parent, name));
	if (!command && parent)
		return error_set(err, ERROR_INVALID, NULL, "%s has no action \"%s\"%s", parent->name, name,
			text_peek(&guess));
	if (!command)
		return error_set(
			err, ERROR_INVALID, NULL, "there is no command \"%s\"%s", name, text_peek(&guess));
	*ret = command;
	return 0;
}

/* Finds the command, and its action if it has some, and parses all options: those before, between
 * and after. *ret_command is NULL without a command, and one that has actions without an action. */
static int parse(int argc, char **argv, struct options *options, const struct command **ret_command,
	char ***ret_arguments, size_t *ret_n, struct error *err)
{
	const struct command *commands = client_commands, *command = NULL;
	int first = 0, r;

	*ret_n = 0;
	do {
		const struct option_row *const tables[] = {client_options, NULL};

		r = options_parse(tables, true, argc, argv, options, &first, err);
		if (r < 0 || first >= argc)
			return r;
		r = next_command(commands, command, argv[first], &command, err);
		if (r < 0)
			return r;
		*ret_command = command;
		commands = command->actions;
		argc -= first;
		argv += first;
	} while (commands);
	const struct option_row *const tables[] = {
		command->options ? command->options : client_options, client_options, NULL};

	r = options_parse(tables, false, argc, argv, options, &first, err);
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

	options->json = options->json || options->output == OUTPUT_JSON;
	if (options->url && options->socket_path)
		return error_set(err, ERROR_INVALID, NULL, "give --socket or --url, not both");
	if (!options->url && !options->socket_path && url && *url)
		options->url = url;
	if (!options->socket_path)
		options->socket_path = socket_path && *socket_path ? socket_path : CLIENT_SOCKET;
	if (!options->url && (options->certificate || options->key || options->ca_certificate))
		return error_set(err, ERROR_INVALID, NULL, "--cert, --key and --cacert need --url");
	return 0;
}

static int check_arguments(const struct command *command, size_t n_arguments, struct error *err)
{
	if (command->actions) {
		_cleanup_text_ struct text names = TEXT_INIT;

		for (const struct command *action = command->actions; action->name; action++)
			text_printf(&names, "%s%s",
				action == command->actions ? ""
				: action[1].name           ? ", "
							   : " or ",
				action->name + strlen(command->name) + 1);
		return error_set(err, ERROR_INVALID, NULL, "%s needs an action: %s", command->name,
			text_peek(&names));
	}
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
		options_help(client_commands, client_options, &client->out, &out);
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
	struct options options = {.timeout_s = DEFAULT_TIMEOUT_S, .interval_s = DEFAULT_INTERVAL_S, .weight = -1};
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
