/* SPDX-License-Identifier: Apache-2.0 */

/* What nova leaves on a config drive: whichever of its three files this is taken for. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/text.h"
#include "agent/tools/config_drive/cloud_config.h"
#include "agent/tools/config_drive/metadata.h"
#include "agent/tools/config_drive/network_data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct drive_files *files)
{
	size_t bytes = 0;

	if (files->count > DRIVE_FILES_MAX || files->bytes > DRIVE_CONTENT_MAX)
		abort();
	for (size_t i = 0; i < files->count; i++) {
		const struct drive_file *file = &files->items[i];

		bytes += file->length;
		if (file->path[0] != '/' || strstr(file->path, "/../") || strstr(file->path, "//") ||
			text_has_control(file->path, strlen(file->path)) || file->content[file->length] != '\0' ||
			file->mode > 07777)
			abort();
	}
	if (bytes != files->bytes)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_drive_files_ struct drive_files files = DRIVE_FILES_INIT;
	_cleanup_metadata_ struct metadata metadata = METADATA_INIT;
	_cleanup_strv_ char **ignored = NULL;
	const char *text = (const char *)data;

	if (cloud_config_parse(text, size, &files, &ignored, NULL) == 0 && !ignored)
		abort();
	network_data_parse(text, size, "/etc/systemd/network", &files, NULL);
	check(&files);
	if (metadata_parse(text, size, &metadata, NULL) < 0)
		return 0;
	for (size_t i = 0; i < metadata.n_files; i++)
		if (strchr(metadata.files[i].content, '/') || metadata.files[i].content[0] == '.')
			abort();
	return 0;
}
