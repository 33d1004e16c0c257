/* SPDX-License-Identifier: Apache-2.0 */
#include "api/amphora_v1/handlers.h"

#include <fcntl.h>
#include <string.h>

#include "agent/base/fileio.h"
#include "agent/base/text.h"
#include "agent/definition/limits.h"
#include "api/amphora_v1/answer.h"

/* Certificates, keys, CAs, CRLs and crt-lists of load balancers: base_cert_dir/<load balancer>/<file>.pem, 0600 in folders
 * of 0700. HAProxy reads them before it gives up its privileges. */

static bool is_file_name(const char *name)
{
	size_t length = strlen(name);

	return length > 4 && length <= 255 && streq(name + length - 4, ".pem") && name[0] != '.' &&
		strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.") == length;
}

/* 0 and *ret_bad set when the answer (400) is written already. */
static int check_names(const struct request *request, struct response *response, bool *ret_bad, struct error *err)
{
	*ret_bad = true;
	if (!is_file_name(request->parameters[1]))
		return amphora_answer(response, 400, "Filename has wrong format", NULL, err);
	if (!text_is_uuid(request->parameters[0]))
		return amphora_answer(response, 400, "Invalid request", "the load balancer's id is no UUID", err);
	*ret_bad = false;
	return 0;
}

static int open_folder(const struct agent *agent, const char *lb_id, bool create, int *ret_fd)
{
	_cleanup_close_ int base_fd = -1;
	int r;

	if (create) {
		r = fileio_make_dirs(agent->config->base_cert_dir, 0700);
		if (r < 0)
			return r;
	}
	base_fd = open(agent->config->base_cert_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (base_fd < 0)
		return -errno;
	if (create)
		return fileio_open_dir(base_fd, lb_id, 0700, ret_fd);
	*ret_fd = openat(base_fd, lb_id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return *ret_fd < 0 ? -errno : 0;
}

int amphora_put_certificate(const struct request *request, struct response *response, struct error *err)
{
	_cleanup_close_ int folder_fd = -1;
	char md5[33];
	bool bad;
	int r;

	r = check_names(request, response, &bad, err);
	if (r < 0 || bad)
		return r;
	r = open_folder(request->agent, request->parameters[0], true, &folder_fd);
	if (r == 0)
		r = fileio_write(folder_fd, request->parameters[1], request->body, request->body_length, 0600);
	if (r < 0)
		return error_set_errno(err, r, "cannot write %s/%s/%s (option base_cert_dir)",
			request->agent->config->base_cert_dir, request->parameters[0], request->parameters[1]);
	r = amphora_add_etag(response, request->body, request->body_length, md5, err);
	return r < 0 ? r : amphora_answer(response, 200, "OK", NULL, err);
}

int amphora_get_certificate(const struct request *request, struct response *response, struct error *err)
{
	_cleanup_free_ char *content = NULL, *details = NULL;
	_cleanup_close_ int folder_fd = -1;
	char md5[33];
	size_t length;
	json_t *body;
	bool bad;
	int r;

	r = check_names(request, response, &bad, err);
	if (r < 0 || bad)
		return r;
	r = open_folder(request->agent, request->parameters[0], false, &folder_fd);
	if (r == 0)
		r = fileio_read_own(folder_fd, request->parameters[1], LIMIT_BODY_BYTES, &content, &length);
	if (r == -ENOENT) {
		if (asprintf(&details, "No certificate with filename: %s", request->parameters[1]) < 0)
			details = NULL;
		return amphora_answer(response, 404, "Certificate Not Found", details, err);
	}
	if (r < 0)
		return error_set_errno(err, r, "cannot read the certificate");
	r = amphora_add_etag(response, content, length, md5, err);
	explicit_bzero(content, length);
	if (r < 0)
		return r;
	body = json_pack("{s:s}", "md5sum", md5);
	return body ? response_set_json(response, 200, body) : error_set_errno(err, -ENOMEM, "reply");
}

int amphora_delete_certificate(const struct request *request, struct response *response, struct error *err)
{
	_cleanup_close_ int folder_fd = -1;
	bool bad;
	int r;

	r = check_names(request, response, &bad, err);
	if (r < 0 || bad)
		return r;
	r = open_folder(request->agent, request->parameters[0], false, &folder_fd);
	if (r == 0)
		r = fileio_unlink(folder_fd, request->parameters[1]);
	if (r < 0 && r != -ENOENT)
		return error_set_errno(err, r, "cannot delete the certificate");
	return amphora_answer(response, 200, "OK", NULL, err);
}

int amphora_remove_certificates(const struct agent *agent, const char *lb_id, struct error *err)
{
	_cleanup_close_ int base_fd = -1;
	int r;

	base_fd = open(agent->config->base_cert_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (base_fd < 0)
		return errno == ENOENT ? 0 : error_set_errno(err, -errno, "%s", agent->config->base_cert_dir);
	r = fileio_remove_tree(base_fd, lb_id);
	return r < 0 ? error_set_errno(err, r, "cannot remove the certificates of %s", lb_id) : 0;
}
