/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/health/heartbeat.h"

#include <string.h>

#include "agent/base/log.h"
#include "agent/health/envelope.h"
#include "agent/health/sender.h"

struct heartbeat {
	char *amphora_id, *key;
	struct sender *sender;
	struct envelope *envelope;
	bool failing, too_large; /* the log has it already */
};

int heartbeat_new(const struct health_options *options, struct heartbeat **ret, struct error *err)
{
	_cleanup_(heartbeat_freep) struct heartbeat *heartbeat = NULL;
	int r;

	heartbeat = calloc(1, sizeof(*heartbeat));
	if (!heartbeat)
		return error_set_errno(err, -ENOMEM, "heartbeat");
	heartbeat->amphora_id = strdup(options->amphora_id ? options->amphora_id : "");
	heartbeat->key = strdup(options->heartbeat_key ? options->heartbeat_key : "");
	if (!heartbeat->amphora_id || !heartbeat->key || envelope_new(&heartbeat->envelope) < 0)
		return error_set_errno(err, -ENOMEM, "heartbeat");
	r = sender_new(options->controllers, &heartbeat->sender, err);
	if (r < 0)
		return r;
	if (sender_controllers(heartbeat->sender) > 0 &&
		(!*heartbeat->key || !*heartbeat->amphora_id))
		return error_set(err, ERROR_INVALID, NULL,
			"controller_ip_port_list needs heartbeat_key and amphora_id");
	*ret = TAKE_PTR(heartbeat);
	return 0;
}

void heartbeat_free(struct heartbeat *heartbeat)
{
	if (!heartbeat)
		return;
	if (heartbeat->key)
		explicit_bzero(heartbeat->key, strlen(heartbeat->key));
	free(heartbeat->key);
	free(heartbeat->amphora_id);
	sender_free(heartbeat->sender);
	envelope_free(heartbeat->envelope);
	free(heartbeat);
}

const char *heartbeat_amphora_id(const struct heartbeat *heartbeat)
{
	return sender_controllers(heartbeat->sender) > 0 ? heartbeat->amphora_id : NULL;
}

bool heartbeat_send(
	struct heartbeat *heartbeat, uint64_t number, struct heartbeat_text *message, size_t n_members)
{
	_cleanup_error_ struct error err = ERROR_INIT;
	_cleanup_free_ uint8_t *bytes = NULL;
	const char *controller = NULL;
	size_t length = 0;
	int r;

	r = envelope_seal(heartbeat->envelope, &message->head, &message->tail, heartbeat->key, &bytes, &length, &err);
	if (r == 0 && length > HEARTBEAT_MAX_BYTES) {
		log_line(heartbeat->too_large ? LOG_DEBUG : LOG_ERR, NULL,
			"heartbeat: the message has %zu bytes with %zu members and a datagram "
			"holds %d; "
			"no heartbeat is sent",
			length, n_members, HEARTBEAT_MAX_BYTES);
		heartbeat->too_large = true;
		return false;
	}
	heartbeat->too_large = false;
	if (r == 0)
		r = sender_send(heartbeat->sender, number, bytes, length, &controller, &err);
	if (r < 0) {
		log_line(heartbeat->failing ? LOG_DEBUG : LOG_WARNING, NULL,
			"heartbeat: cannot be sent: %s", error_message(&err));
		heartbeat->failing = true;
		return false;
	}
	if (heartbeat->failing)
		log_notice("heartbeat: sent again, to %s", controller);
	heartbeat->failing = false;
	return true;
}

bool heartbeat_next_loss(struct heartbeat *heartbeat, uint64_t *ret_number)
{
	struct sender_loss loss;

	if (!sender_next_loss(heartbeat->sender, &loss))
		return false;
	log_line(loss.again ? LOG_DEBUG : LOG_WARNING, NULL,
		"heartbeat: does not reach %s: %s; what it counted is sent again", loss.controller, strerror(loss.error));
	*ret_number = loss.number;
	return true;
}
