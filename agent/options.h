/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The command line of amphorad.
 */

#include <stdbool.h>

#include "agent/base/log.h"

enum options_verdict {
	OPTIONS_RUN,   /* go on */
	OPTIONS_DONE,  /* --help or --version was answered */
	OPTIONS_WRONG, /* a usage error was explained on stderr */
};

struct options {
	char **config_files; /* --config-file, NULL-terminated; NULL: none given */
	int level;           /* --log-level, -1: as configured */
	enum log_target target;
	bool check_config;
	bool stop_all;
};

enum options_verdict options_parse(int argc, char **argv, struct options *ret);
void options_done(struct options *options);
