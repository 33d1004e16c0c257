/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Reading the page of HAProxy's exporter: one HTTP/1.0 request, because the answer to that is never chunked (RFC 9112,
 * 6.1) and ends with the connection.
 */

#include <netinet/in.h>

#include "agent/base/error.h"

enum { EXPORTER_TIMEOUT_MS = 10000 };

struct exporter {
	int fd;
	char buffer[8192]; /* the head of the answer, and what came of the page with it */
	size_t length, used;
};

/* Asks, and reads the head of the answer. "namespace_fd" is -1 for that of the caller. What is no 200 is
 * ERROR_INVALID. */
int exporter_open(int namespace_fd, const struct sockaddr_in *address, const char *path, struct exporter *ret,
	struct error *err);

/* The next bytes of the page, valid until the next call; 0 at its end. */
ssize_t exporter_read(struct exporter *exporter, const char **ret);
void exporter_close(struct exporter *exporter);
