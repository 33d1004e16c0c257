/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/base/text.h"
#include "agent/keepalived/lvs_config.h"

/* keepalived configurations of listeners: a controller's, or what is left of ours. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_lvs_config_ struct lvs_config config = LVS_CONFIG_INIT;
	_cleanup_strv_ char **vips = NULL;

	if (lvs_config_parse((const char *)data, size, &config) < 0)
		return 0;
	if ((config.listener_id[0] && !text_is_uuid(config.listener_id)) || (config.pool_id[0] && !text_is_uuid(config.pool_id)))
		abort();
	for (size_t i = 0; i < config.n_members; i++)
		if (!text_is_uuid(config.members[i].id))
			abort();
	if (lvs_config_vips(&config, &vips) == 0 && strv_length(vips) > config.n_vips)
		abort();
	return 0;
}
