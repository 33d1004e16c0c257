/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * User data: a cloud-config (YAML), of which "write_files" is read.
 *
 * Octavia sends one with [controller_worker] user_data_config_drive (octavia/common/jinja/templates/
 * user_data_config_drive.template); what its "runcmd" restarts starts after this anyway. The meaning of write_files is that of
 * cloud-init's documentation (module "Write Files").
 */

#include "agent/tools/config_drive/files.h"

/* Appends the files to "files". Empty user data, and data that is no cloud-config (a script, MIME parts), have none;
 * "ret_ignored" gets the keys that were passed over, and such data as one, to be freed with strv_free(); it is never NULL
 * afterwards on success. gzip as a whole is taken, as cloud-init does. */
int cloud_config_parse(const char *data, size_t length, struct drive_files *files, char ***ret_ignored, struct error *err);
