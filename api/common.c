/* SPDX-License-Identifier: Apache-2.0 */
#include "api/common.h"

#include "agent/base/text.h"

/* What clients of the load-balancing API may use, and since when Octavia has it (octavia/api/root_controller.py).
 * The last one is that of definitions, too. */
static const struct {
	const char *id;
	const char *updated;
} versions[] = {
	{"v2.0", "2016-12-11T00:00:00Z"},
	{"v2.1", "2018-04-20T00:00:00Z"},
	{"v2.2", "2018-07-31T00:00:00Z"},
	{"v2.3", "2018-12-18T00:00:00Z"},
	{"v2.4", "2018-12-19T00:00:00Z"},
	{"v2.5", "2019-01-21T00:00:00Z"},
	{"v2.6", "2019-01-25T00:00:00Z"},
	{"v2.7", "2018-01-25T12:00:00Z"},
	{"v2.8", "2019-02-12T00:00:00Z"},
	{"v2.9", "2019-03-04T00:00:00Z"},
	{"v2.10", "2019-03-05T00:00:00Z"},
	{"v2.11", "2019-06-24T00:00:00Z"},
	{"v2.12", "2019-09-11T00:00:00Z"},
	{"v2.13", "2019-09-13T00:00:00Z"},
	{"v2.14", "2019-11-10T00:00:00Z"},
	{"v2.15", "2020-03-10T00:00:00Z"},
	{"v2.16", "2020-03-15T00:00:00Z"},
	{"v2.17", "2020-04-29T00:00:00Z"},
	{"v2.18", "2020-04-29T01:00:00Z"},
	{"v2.19", "2020-05-12T00:00:00Z"},
	{"v2.20", "2020-08-02T00:00:00Z"},
	{"v2.21", "2020-09-03T00:00:00Z"},
	{"v2.22", "2020-09-04T00:00:00Z"},
	{"v2.23", "2020-09-07T00:00:00Z"},
	{"v2.24", "2020-10-15T00:00:00Z"},
	{"v2.25", "2021-10-02T00:00:00Z"},
	{"v2.26", "2022-08-29T00:00:00Z"},
	{"v2.27", "2023-05-05T00:00:00Z"},
	{"v2.28", "2023-11-08T00:00:00Z"},
	{"v2.29", "2024-10-15T00:00:00Z"},
	{"v2.30", "2025-02-26T00:00:00Z"},
};

/* All are served below /v2: what a version adds is there. */
static json_t *version_json(const struct request *request, size_t i)
{
	_cleanup_text_ struct text href = TEXT_INIT;

	request_append_origin(request, &href);
	text_append(&href, "/v2");
	return href.failed ? NULL
			   : json_pack("{s:s, s:s, s:s, s:[{s:s, s:s}]}", "id", versions[i].id, "status",
				     i + 1 == ELEMENTSOF(versions) ? "CURRENT" : "SUPPORTED", "updated",
				     versions[i].updated, "links", "href", text_peek(&href), "rel", "self");
}

/* One document for both kinds of client: Octavia's amphora driver reads "api_version", clients of the load-balancing API follow
 * the links of "versions". */
int common_get_versions(const struct request *request, struct response *response, struct error *err)
{
	json_auto_t *list = json_array();
	json_t *body;

	for (size_t i = 0; i < ELEMENTSOF(versions); i++)
		if (json_array_append_new(list, version_json(request, i)) < 0)
			return error_set_errno(err, -ENOMEM, "versions");
	body = json_pack("{s:s, s:O}", "api_version", "1.0", "versions", list);
	return body ? response_set_json(response, 200, body) : error_set_errno(err, -ENOMEM, "versions");
}

/* For a client whose endpoint has the version in it: keystoneauth asks there, too. */
int common_get_version(const struct request *request, struct response *response, struct error *err)
{
	json_t *version = version_json(request, ELEMENTSOF(versions) - 1);
	json_t *body = version ? json_pack("{s:o}", "version", version) : NULL;

	return body ? response_set_json(response, 200, body) : error_set_errno(err, -ENOMEM, "version");
}

/* 200 while requests are answered; it says nothing of the load balancers, whose states have routes of their own. */
int common_get_healthz(const struct request *request, struct response *response, struct error *err)
{
	json_t *body = json_pack("{s:s}", "status", "ok");

	(void)request;
	return body ? response_set_json(response, 200, body) : error_set_errno(err, -ENOMEM, "healthz");
}
