/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A definition document on its way to the server: {"loadbalancer": {…}}.
 *
 * It is judged here only as far as the request needs it (is it JSON, and which load balancer is
 * it?). It is sent as it was read, so that the server's JSON Pointers fit the file.
 */

#include <stddef.h>

#include <jansson.h>

#include "agent/base/error.h"

struct document {
	char *text; /* owned, as read */
	size_t length;
	char id[37];
	char *name; /* owned; "" without one */
};

#define DOCUMENT_INIT ((struct document){0})
#define _cleanup_document_ _cleanup_(document_done)

/* Reads a file of any kind to its end, standard input for "-", at most "limit" bytes.
 * NUL-terminated. ERROR_INVALID (cannot be read) or ERROR_TOO_LARGE, with the path in the message.
 */
int document_read_file(
	const char *path, size_t limit, char **ret_data, size_t *ret_length, struct error *err);

/*
 * Takes the text (malloc'ed, NUL-terminated; freed on failure, too). The id is "id" if that is not
 * NULL, else the document's own, else derived from the name: the same name gives the same load
 * balancer on every machine. Two different ids are an error. "path" is for the pointer: "path:line"
 * for what is no JSON, else a JSON Pointer.
 */
int document_parse(const char *path, char *text, size_t length, const char *id,
	struct document *ret, struct error *err);

/* The id of a load balancer that has a name only. */
int document_derive_id(const char *name, char ret[37], struct error *err);

/* Both at once. */
int document_load(const char *path, const char *id, struct document *ret, struct error *err);
void document_done(struct document *document);
