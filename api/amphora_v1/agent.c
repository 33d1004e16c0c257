/* SPDX-License-Identifier: Apache-2.0 */
#include "api/amphora_v1/handlers.h"

#include <fcntl.h>

#include "agent/base/fileio.h"
#include "agent/base/log.h"
#include "api/amphora_v1/answer.h"
#include "api/tls.h"

/* The agent's own configuration file and server certificate, as a controller replaces them. */

int amphora_put_config(const struct request *request, struct response *response, struct error *err)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	_cleanup_free_ char *details = NULL;
	int r;

	r = agent_reconfigure(request->agent, request->body, request->body_length, &problem);
	if (r < 0) {
		log_error("the controller's configuration is refused: %s%s%s", problem.pointer ? problem.pointer : "",
			problem.pointer ? ": " : "", error_message(&problem));
		if (asprintf(&details, "%s%s%s", problem.pointer ? problem.pointer : "", problem.pointer ? ": " : "",
			    error_message(&problem)) < 0)
			details = NULL;
		return amphora_answer(response, 500, "Unable to update amphora-agent configuration.", details, err);
	}
	return amphora_answer(response, 202, "OK", NULL, err);
}

int amphora_put_server_certificate(const struct request *request, struct response *response, struct error *err)
{
	const char *file = request->agent->config->agent_server_cert;
	_cleanup_error_ struct error problem = ERROR_INIT;
	int r;

	if (!request->agent->tls)
		return error_set(err, ERROR_CONFLICT, NULL,
			"the API is not served with TLS: set agent_server_cert and agent_server_ca");
	r = tls_check_pair(request->body, request->body_length, &problem);
	if (r < 0)
		return amphora_answer(response, 400, "Invalid certificate", error_message(&problem), err);
	r = fileio_write(AT_FDCWD, file, request->body, request->body_length, 0600);
	if (r < 0)
		return error_set_errno(err, r, "cannot write %s", file);
	r = tls_context_reload_certificate(request->agent->tls, err);
	if (r < 0)
		return r;
	log_notice("the server certificate was replaced");
	return amphora_answer(response, 202, "OK", NULL, err);
}
