/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <fcntl.h>
#include <getopt.h>
#include <string.h>

#include "agent/base/log.h"
#include "agent/base/text.h"
#include "agent/tools/config_drive/apply.h"

/* amphora-config-drive: what an amphora needs of cloud-init, before amphorad starts. */

enum {
	EXIT_USAGE = 2,
	OPTION_AUTHORIZED_KEYS = 256,
	OPTION_DEVICE,
	OPTION_DIRECTORY,
	OPTION_DRY_RUN,
	OPTION_NETWORK_DIR,
	OPTION_ROOT,
};

static const struct option long_options[] = {
	{"authorized-keys", required_argument, NULL, OPTION_AUTHORIZED_KEYS},
	{"device", required_argument, NULL, OPTION_DEVICE},
	{"directory", required_argument, NULL, OPTION_DIRECTORY},
	{"dry-run", no_argument, NULL, OPTION_DRY_RUN},
	{"help", no_argument, NULL, 'h'},
	{"network-dir", required_argument, NULL, OPTION_NETWORK_DIR},
	{"root", required_argument, NULL, OPTION_ROOT},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

static const char help_text[] =
	"Usage: amphora-config-drive [OPTION]...\n"
	"Writes the files that OpenStack's config drive holds for this machine, once for each instance.\n"
	"\n"
	"      --authorized-keys FILE   write the instance's public keys for SSH to this file\n"
	"      --device DEVICE          the config drive (default: the disk labelled config-2)\n"
	"      --directory DIR          read this folder instead of a disk\n"
	"      --dry-run                say what would be written, and write nothing\n"
	"      --network-dir DIR        where files for systemd-networkd go; empty: nowhere\n"
	"                               (default: /etc/systemd/network)\n"
	"      --root DIR               write below this folder instead of /\n"
	"  -h, --help                   show this help\n"
	"  -V, --version                show the version\n"
	"\n"
	"See amphora-config-drive(8).\n";

struct command {
	const char *authorized_keys, *device, *directory, *network_dir, *root;
	bool dry_run;
};

/* -1: go on, otherwise the exit status. */
static int parse_options(int argc, char **argv, struct command *command)
{
	int option;

	while ((option = getopt_long(argc, argv, "hV", long_options, NULL)) >= 0) {
		switch (option) {
		case OPTION_AUTHORIZED_KEYS:
			command->authorized_keys = optarg;
			break;
		case OPTION_DEVICE:
			command->device = optarg;
			break;
		case OPTION_DIRECTORY:
			command->directory = optarg;
			break;
		case OPTION_DRY_RUN:
			command->dry_run = true;
			break;
		case OPTION_NETWORK_DIR:
			command->network_dir = *optarg ? optarg : NULL;
			break;
		case OPTION_ROOT:
			command->root = optarg;
			break;
		case 'h':
			fputs(help_text, stdout);
			return EXIT_SUCCESS;
		case 'V':
			puts("amphora-config-drive (" PACKAGE_NAME ") " PACKAGE_VERSION);
			return EXIT_SUCCESS;
		default:
			return EXIT_USAGE;
		}
	}
	return optind == argc ? -1 : EXIT_USAGE;
}

static void print_plan(const struct drive *drive, const struct command *command)
{
	printf("instance %s\n", drive->metadata.instance_id);
	if (drive->metadata.hostname)
		printf("host name %s\n", drive->metadata.hostname);
	for (size_t i = 0; i < drive->files.count; i++) {
		const struct drive_file *file = &drive->files.items[i];

		printf("%s %s, %zu bytes, mode %04o, owner %s\n", file->append ? "append to" : "write", file->path,
			file->length, (unsigned)file->mode, file->owner ? file->owner : "root");
	}
	if (command->authorized_keys)
		printf("write %s, %zu keys\n", command->authorized_keys, strv_length(drive->metadata.keys));
	STRV_FOREACH (key, drive->ignored)
		printf("ignored: %s\n", *key);
}

static int run(const struct command *command, struct error *err)
{
	_cleanup_drive_ struct drive drive = DRIVE_INIT;
	_cleanup_close_ int fd = -1;
	const char *device = command->device ? command->device : drive_find_device();
	int r;

	if (command->directory) {
		fd = open(command->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = fd < 0 ? error_set_errno(err, -errno, "%s", command->directory) : 0;
	} else if (!device) {
		log_notice("There is no config drive: nothing is written.");
		return 0;
	} else {
		r = drive_mount(device, &fd, err);
	}
	if (r == 0)
		r = drive_read(fd, command->network_dir, &drive, err);
	if (r < 0)
		return r;
	if (command->dry_run) {
		print_plan(&drive, command);
		return 0;
	}
	if (drive_is_applied(&drive, command->root)) {
		log_info("The files of instance %s were written at an earlier boot.", drive.metadata.instance_id);
		return 0;
	}
	STRV_FOREACH (key, drive.ignored)
		log_notice("Ignored in the user data: %s", *key);
	r = drive_apply(&drive, command->root, command->authorized_keys, err);
	if (r == 0)
		log_info("Wrote %zu files for instance %s.", drive.files.count, drive.metadata.instance_id);
	return r;
}

int main(int argc, char **argv)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	struct command command = {.network_dir = "/etc/systemd/network", .root = ""};
	int status;

	log_open(LOG_TARGET_AUTO);
	status = parse_options(argc, argv, &command);
	if (status == EXIT_USAGE)
		fputs("Usage: amphora-config-drive [OPTION]...\n"
		      "Try 'amphora-config-drive --help'.\n",
			stderr);
	if (status >= 0)
		return status;
	if (run(&command, &problem) == 0)
		return EXIT_SUCCESS;
	log_error("%s%s%s", problem.pointer ? problem.pointer : "", problem.pointer ? ": " : "", error_message(&problem));
	return EXIT_FAILURE;
}
