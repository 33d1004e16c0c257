/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a controller says of a port, an interface file, and plugged_interfaces. A port that is taken makes a file that
 * can be read again.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/text.h"
#include "agent/network/plug.h"
#include "agent/network/plugged.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int r, struct plug *plug)
{
	for (int standby = 0; r == 0 && standby < 2; standby++) {
		_cleanup_interface_ struct interface *interface = NULL;
		json_auto_t *json = NULL;

		if (plug_to_json(plug, "eth1", standby, &json) < 0 || interface_parse(json, &interface, NULL) < 0)
			abort();
		if (strv_length(interface->up_commands) == 0 ||
			(plug->n_vips > 0) != (interface->type == INTERFACE_VIP))
			abort();
	}
	if (r == 0)
		plug_done(plug);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_interface_ struct interface *interface = NULL;
	_cleanup_free_ char *text = strndup((const char *)data, size);
	_cleanup_free_ struct plugged *list = NULL;
	json_auto_t *json = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	enum plug_mistake mistake;
	struct plug plug;
	size_t n;

	if (!text || plugged_parse(text, &list, &n) < 0)
		abort();
	for (size_t i = 0; i < n; i++)
		if (!interface_name_is_good(list[i].name))
			abort();
	if (!json)
		return 0;
	check(plug_parse_vip(json, "10.0.0.9", &plug, &mistake, NULL), &plug);
	check(plug_parse_vip(json, "2001:db8::9", &plug, &mistake, NULL), &plug);
	check(plug_parse_network(json, &plug, &mistake, NULL), &plug);
	if (interface_parse(json, &interface, NULL) == 0 && !interface_name_is_good(interface->name))
		abort();
	return 0;
}
