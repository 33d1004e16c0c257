/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The blocks of a PEM text (RFC 7468), one after the other. Text between blocks is explanatory (section 2) and left out; a
 * block that is cut off, or of a kind that is not taken, is an error that says in which line it begins. Nothing is decoded
 * here and nothing is copied.
 */

#include <stdbool.h>
#include <stddef.h>

#include "agent/base/error.h"

enum pem_kind {
	PEM_CERTIFICATE,
	PEM_KEY, /* not encrypted */
	PEM_CRL,
	PEM_PKCS7, /* a list of certificates and CRLs (RFC 2315), as some authorities give their chains */
};

struct pem_block {
	enum pem_kind kind;
	const char *text; /* from the first dash to the last, in the caller's text */
	size_t length;
	size_t line; /* where it begins, from 1 */
};

struct pem_reader {
	const char *position, *end;
	size_t line;
};
#define PEM_READER(text, size) ((struct pem_reader){(text), (text) + (size), 1})

/* *ret_found is false at the end. ERROR_INVALID. */
int pem_next(struct pem_reader *reader, struct pem_block *ret, bool *ret_found, struct error *err);
