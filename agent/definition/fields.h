/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The object model as tables: one row a field, one table an object. Parsing, defaults, ranges and serialising walk the
 * tables (document.c, serialise.c); the rest of the v2 model is added by adding rows.
 */

#include "agent/definition/grammar.h"
#include "agent/definition/model.h"

enum field_type {
	FIELD_OWN_ID,    /* char[UUID_SIZE]: a UUID, "" when absent */
	FIELD_STRING,    /* char *: minimum to maximum characters, "check" if any */
	FIELD_REFERENCE, /* char *: a UUID */
	FIELD_ADDRESS,   /* char *: canonical */
	FIELD_BOOL,      /* bool */
	FIELD_INTEGER,   /* int64_t: minimum to maximum */
	FIELD_ENUM,      /* int: index into choices; -1 when absent and not required */
	FIELD_VERSION,   /* char *: a number or string that must be one of choices (http_version) */
	FIELD_CIDRS,     /* char **: canonical */
	FIELD_SWITCHES,  /* json_t *: object of "true"/"false" whose keys are among choices */
	FIELD_STRINGS,   /* char **: minimum to maximum strings, of choices or by "check", none twice; NULL when absent or empty */
	FIELD_TAGS,      /* json_t *: array of strings */
	FIELD_TIME,      /* char[DEFINITION_TIME_SIZE]: "" when absent */
	FIELD_OBJECT,    /* struct *: "object", NULL when absent */
	FIELD_LIST,      /* struct * and size_t at count_offset: "object", at most maximum */
};

enum field_flags {
	FIELD_REQUIRED = 1 << 0,
	FIELD_CONFIGURED = 1 << 1, /* the default is the int64_t at default_value in struct definition_defaults */
	FIELD_TRANSIENT = 1 << 2,  /* read from documents, never written */
	FIELD_EMPTY_IS_ABSENT = 1 << 3, /* a string: "" is as good as nothing, as with Octavia */
	FIELD_FIXED = 1 << 4,  /* given when the object is created, and never changed by an update of the object */
	FIELD_STORED = 1 << 5, /* ours: in stored files, never in a client's document */
	FIELD_SECRET = 1 << 6, /* taken, stored, and shown to nobody */
	FIELD_LABEL = 1 << 7,  /* kept for clients: no configuration depends on it */
};

struct object_type;

struct field {
	const char *name;
	enum field_type type;
	unsigned flags;
	size_t offset;
	int64_t minimum, maximum;
	int64_t default_value; /* integers, booleans, enums */
	const char *default_text;
	const char *const *choices;
	grammar_check check;
	const struct object_type *object;
	size_t count_offset;
};

struct object_type {
	const char *name; /* "listener" */
	size_t size;
	const struct field *fields; /* ends in a row without a name */
};

extern const struct object_type load_balancer_type, listener_type, pool_type, member_type, health_monitor_type,
	session_persistence_type, l7policy_type, l7rule_type, additional_vip_type, stats_page_type,
	listener_proxy_protocol_type;

/* The header names of insert_headers, NULL-terminated; those after the first INSERT_HEADERS_PLAIN need TLS. */
extern const char *const insert_header_names[];
enum { INSERT_HEADERS_PLAIN = 3 };
/* SSLv3 to TLSv1.3, oldest first. */
extern const char *const tls_version_names[];
extern const char *const alpn_protocol_names[];
extern const char *const proxy_protocol_option_names[];

/* Where in the document: links on the stack, from the inside out. */
struct location {
	const struct location *parent;
	const char *name; /* NULL: an index */
	size_t index;
};

/* The member of an object that a row names. */
static inline void *field_at(void *object, size_t offset)
{
	return (char *)object + offset;
}

static inline const void *field_const_at(const void *object, size_t offset)
{
	return (const char *)object + offset;
}

/* Reports an error at a place of the document; the pointer is a JSON Pointer. */
int location_error(const struct location *where, enum error_code code, struct error *err, const char *format, ...)
	_printf_(4, 5);

/* The JSON Pointer itself, NULL without memory. Owned by the caller. */
char *location_text(const struct location *where);

/* Fills a zeroed object from JSON by its table. On failure the object is half filled: object_done() it. */
int object_parse(const struct object_type *type, const json_t *json, const struct location *where,
	const struct definition_defaults *defaults, void *object, struct error *err);
/* Changes the fields that "json" names, as an update of the API does: null is the default. On failure the object is half
 * changed. */
int object_update(const struct object_type *type, const json_t *json, const struct location *where,
	const struct definition_defaults *defaults, void *object, struct error *err);
/* write.c: the text of an object in a document, compact, as jansson would write it: without the fields that have one of these flags,
 * beside FIELD_TRANSIENT. Failure is remembered in "out". */
void object_write(const struct object_type *type, const void *object, unsigned left_out, struct text *out);
/* The object as the API of Octavia shows it: every field, null where nothing is set, children by their ids alone, and the times. What
 * others know of it (its parents, its statuses) is the caller's to add. */
int object_to_resource(const struct object_type *type, const void *object, json_t **ret);
/* One member of that, a new reference; NULL: it has none of that name. */
int object_to_resource_member(const struct object_type *type, const void *object, const char *name, json_t **ret);
/* The row of that name, NULL if there is none. */
const struct field *object_find_field(const struct object_type *type, const char *name);

/* copy.c: into a zeroed object. On failure it is half filled: object_done() it. */
int object_copy(const struct object_type *type, const void *from, void *to);
/* Whether the fields say the same, but for those of FIELD_STORED; "whole": those of its children, too. A child is an object with an
 * id of its own. */
bool object_equal(const struct object_type *type, const void *a, const void *b, bool whole);
/* Whether they differ, children included, in nothing but fields of FIELD_STORED and FIELD_LABEL. */
bool object_renders_alike(const struct object_type *type, const void *a, const void *b);

/* Objects of the API have an id, which is the first row; parts of objects have none. */
static inline bool object_type_has_id(const struct object_type *type)
{
	return type->fields[0].type == FIELD_OWN_ID;
}
/* Frees what the fields own, not the object. */
void object_done(const struct object_type *type, void *object);

/* The rules between fields and objects (check.c): ids, names, references, duplicates, protocols. */
int definition_check(struct load_balancer *lb, const char *lb_id, const struct definition_defaults *defaults,
	struct error *err);

static inline char *object_id(const struct object_type *type, void *object)
{
	return field_at(object, type->fields[0].offset);
}

static inline const char *object_const_id(const struct object_type *type, const void *object)
{
	return field_const_at(object, type->fields[0].offset);
}
