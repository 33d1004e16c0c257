/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <getopt.h>
#include <string.h>

#include "agent/base/log.h"
#include "agent/base/text.h"
#include "agent/config.h"
#include "agent/network/network.h"

/* amphora-interface: brings the interfaces of the amphora's network namespace up and down, from the files that the agent
 * left. Exit statuses are those of Octavia's program (octavia/cmd/interface.py). */

enum { EXIT_USAGE = 1, EXIT_FAILED = 2, OPTION_CONFIG_FILE = 256 };

static const struct option long_options[] = {
	{"config-file", required_argument, NULL, OPTION_CONFIG_FILE},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

static const char help_text[] =
	"Usage: amphora-interface [OPTION]... up|down INTERFACE|all\n"
	"Brings interfaces of the amphora's network namespace up or down.\n"
	"\n"
	"      --config-file FILE   read this configuration; may be repeated, later files win\n"
	"                           (without it: " CONFIG_OWN_FILE " and then\n"
	"                           " CONFIG_OCTAVIA_FILE ", where they exist)\n"
	"  -h, --help               show this help\n"
	"  -V, --version            show the version\n"
	"\n"
	"See amphora-interface(8).\n";

struct command {
	char **config_files; /* NULL: none given */
	size_t n_files;
	bool is_up;
	const char *interface;
};

/* -1: go on, otherwise the exit status. */
static int parse_options(int argc, char **argv, struct command *command)
{
	int option;

	while ((option = getopt_long(argc, argv, "hV", long_options, NULL)) >= 0) {
		switch (option) {
		case OPTION_CONFIG_FILE:
			if (strv_push(&command->config_files, &command->n_files, strdup(optarg)) < 0)
				return EXIT_FAILED;
			break;
		case 'h':
			fputs(help_text, stdout);
			return EXIT_SUCCESS;
		case 'V':
			puts("amphora-interface (" PACKAGE_NAME ") " PACKAGE_VERSION);
			return EXIT_SUCCESS;
		default:
			return EXIT_USAGE;
		}
	}
	if (argc - optind != 2 || (!streq(argv[optind], "up") && !streq(argv[optind], "down")))
		return EXIT_USAGE;
	command->is_up = streq(argv[optind], "up");
	command->interface = argv[optind + 1];
	return -1;
}

static int run(const struct command *command, const struct config *config, struct error *err)
{
	const struct network_settings settings = {
		.network_namespace = config->network_namespace[0] ? config->network_namespace : NULL,
		.interfaces_dir = config->agent_server_network_dir,
		.base_path = config->base_path,
		.tools_dir = config->tools_dir,
		.active_standby = streq(config->loadbalancer_topology, "ACTIVE_STANDBY"),
	};
	_cleanup_(network_freep) struct network *network = NULL;
	int r;

	r = network_new(&settings, &network, err);
	if (r < 0)
		return r;
	return (command->is_up ? network_up : network_down)(network, command->interface, err);
}

int main(int argc, char **argv)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	_cleanup_config_ struct config *config = NULL;
	struct command command = {0};
	int status, r;

	log_open(LOG_TARGET_AUTO);
	status = parse_options(argc, argv, &command);
	if (status == EXIT_USAGE)
		fputs("Usage: amphora-interface [OPTION]... up|down INTERFACE|all\n"
		      "Try 'amphora-interface --help'.\n",
			stderr);
	r = status < 0 ? config_load(command.config_files, NULL, &config, &problem) : 0;
	strv_free(command.config_files);
	if (status >= 0)
		return status;
	if (r == 0) {
		log_set_level(config->debug ? LOG_DEBUG : LOG_INFO);
		r = run(&command, config, &problem);
	}
	if (r == 0)
		return EXIT_SUCCESS;
	log_error("%s%s%s", problem.pointer ? problem.pointer : "", problem.pointer ? ": " : "", error_message(&problem));
	return EXIT_FAILED;
}
