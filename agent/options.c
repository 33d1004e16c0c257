/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/options.h"

#include <getopt.h>

#include "agent/base/text.h"
#include "agent/config.h"

enum { OPTION_CONFIG_FILE = 256, OPTION_LOG_LEVEL, OPTION_LOG_TARGET, OPTION_CHECK_CONFIG, OPTION_STOP_ALL };

static const struct option long_options[] = {
	{"config-file", required_argument, NULL, OPTION_CONFIG_FILE},
	{"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
	{"log-target", required_argument, NULL, OPTION_LOG_TARGET},
	{"check-config", no_argument, NULL, OPTION_CHECK_CONFIG},
	{"stop-all", no_argument, NULL, OPTION_STOP_ALL},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

static const char help_text[] =
	"Usage: amphorad [OPTION]...\n"
	"Runs HAProxy for the load balancers that a controller defines, and reports their health.\n"
	"\n"
	"      --config-file FILE   read this configuration; may be repeated, later files win\n"
	"                           (without it: " CONFIG_OWN_FILE " and then\n"
	"                           " CONFIG_OCTAVIA_FILE ", where they exist)\n"
	"      --log-level LEVEL    error, warning, notice, info or debug\n"
	"      --log-target TARGET  auto, journal or stderr\n"
	"      --check-config       read and check the configuration, then exit\n"
	"      --stop-all           stop the running amphorad and every HAProxy that it runs, then exit\n"
	"                           (stopping amphorad alone leaves HAProxy serving)\n"
	"  -h, --help               show this help\n"
	"  -V, --version            show the version\n"
	"\n"
	"See amphorad(8), and amphorad.conf(5) for what a configuration file holds.\n";

static int find_word(const char *const *words, const char *word)
{
	for (int i = 0; words[i]; i++)
		if (streq(words[i], word))
			return i;
	return -1;
}

static bool parse_level(const char *word, int *ret)
{
	static const char *const words[] = {"error", "warning", "notice", "info", "debug", NULL};
	int found = find_word(words, word);

	*ret = found + LOG_ERR;
	return found >= 0;
}

static bool parse_target(const char *word, enum log_target *ret)
{
	static const char *const words[] = {
		[LOG_TARGET_AUTO] = "auto", [LOG_TARGET_JOURNAL] = "journal", [LOG_TARGET_STDERR] = "stderr", NULL};
	int found = find_word(words, word);

	*ret = (enum log_target)found;
	return found >= 0;
}

static enum options_verdict wrong(const char *value, const char *what)
{
	fprintf(stderr, "amphorad: '%s' is %s\nTry 'amphorad --help'.\n", value, what);
	return OPTIONS_WRONG;
}

enum options_verdict options_parse(int argc, char **argv, struct options *ret)
{
	struct options *options = ret;
	size_t n_files = 0;
	int option;

	*options = (struct options){.level = -1, .target = LOG_TARGET_AUTO};
	while ((option = getopt_long(argc, argv, "hV", long_options, NULL)) >= 0) {
		switch (option) {
		case OPTION_CONFIG_FILE:
			if (strv_push(&options->config_files, &n_files, strdup(optarg)) < 0)
				return wrong(optarg, "too much for the memory");
			break;
		case OPTION_LOG_LEVEL:
			if (!parse_level(optarg, &options->level))
				return wrong(optarg, "no log level: error, warning, notice, info or debug");
			break;
		case OPTION_LOG_TARGET:
			if (!parse_target(optarg, &options->target))
				return wrong(optarg, "no log target: auto, journal or stderr");
			break;
		case OPTION_CHECK_CONFIG:
			options->check_config = true;
			break;
		case OPTION_STOP_ALL:
			options->stop_all = true;
			break;
		case 'h':
			fputs(help_text, stdout);
			return OPTIONS_DONE;
		case 'V':
			puts("amphorad " PACKAGE_VERSION);
			return OPTIONS_DONE;
		default:
			fprintf(stderr, "Try 'amphorad --help'.\n");
			return OPTIONS_WRONG;
		}
	}
	if (optind < argc)
		return wrong(argv[optind], "one argument too many");
	return OPTIONS_RUN;
}

void options_done(struct options *options)
{
	strv_free(options->config_files);
	options->config_files = NULL;
}
