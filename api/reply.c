/* SPDX-License-Identifier: Apache-2.0 */
#include "api/reply.h"

struct MHD_Response *reply_new(struct response *response, const char *request_id, bool closing)
{
	static char nothing[] = "";
	struct MHD_Response *reply;
	bool ok;

	if (response->body)
		reply = MHD_create_response_from_buffer(
			response->length, response->body, MHD_RESPMEM_MUST_FREE);
	else
		reply = MHD_create_response_from_buffer(0, nothing, MHD_RESPMEM_PERSISTENT);
	if (!reply)
		return NULL;
	response->body = NULL;
	ok = MHD_add_response_header(reply, "x-openstack-request-id", request_id) == MHD_YES;
	if (response->content_type)
		ok = ok && MHD_add_response_header(reply, MHD_HTTP_HEADER_CONTENT_TYPE,
				   response->content_type) == MHD_YES;
	for (size_t i = 0; i < response->n_headers; i++)
		ok = ok && MHD_add_response_header(reply, response->headers[i].name,
				   response->headers[i].value) == MHD_YES;
	if (closing)
		ok = ok &&
		     MHD_add_response_header(reply, MHD_HTTP_HEADER_CONNECTION, "close") == MHD_YES;
	if (!ok) {
		MHD_destroy_response(reply);
		return NULL;
	}
	return reply;
}
