/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Rows that several tables of fields_*.c have in common.
 */

#include "agent/definition/fields.h"
#include "agent/definition/limits.h"

#define NAME(s)                                                                                    \
	{                                                                                          \
		"name", FIELD_STRING, FIELD_LABEL, .offset = offsetof(struct s, name), .maximum = LIMIT_NAME \
	}
#define DESCRIPTION(s)                                                                             \
	{                                                                                          \
		"description", FIELD_STRING, FIELD_LABEL, .offset = offsetof(struct s, description), \
			.maximum = LIMIT_NAME                                                      \
	}
#define OWN_ID(s)                                                                                  \
	{                                                                                          \
		"id", FIELD_OWN_ID, FIELD_FIXED, .offset = offsetof(struct s, id)                          \
	}
#define TIMES(s)                                                                                    \
	{"created_at", FIELD_TIME, FIELD_STORED, .offset = offsetof(struct s, created_at)},                  \
	{                                                                                          \
		"updated_at", FIELD_TIME, FIELD_STORED, .offset = offsetof(struct s, updated_at)             \
	}
#define ADMIN_STATE_UP(s)                                                                          \
	{                                                                                          \
		"admin_state_up", FIELD_BOOL, .offset = offsetof(struct s, admin_state_up),        \
			.default_value = true                                                      \
	}
#define TAGS(s)                                                                                    \
	{                                                                                          \
		"tags", FIELD_TAGS, FIELD_LABEL, .offset = offsetof(struct s, tags)                \
	}
#define PORT(field, s, ...)                                                                        \
	{                                                                                          \
		#field, FIELD_INTEGER, .offset = offsetof(struct s, field), .minimum = 1,          \
			.maximum = 65535, __VA_ARGS__                                              \
	}
#define TIMEOUT(field, s)                                                                          \
	{                                                                                          \
		#field, FIELD_INTEGER, FIELD_CONFIGURED, .offset = offsetof(struct s, field##_ms), \
			.maximum = LIMIT_TIMEOUT_MS,                                               \
			.default_value = offsetof(struct definition_defaults, field##_ms)          \
	}
#define REFERENCE(field, s)                                                                        \
	{                                                                                          \
		#field, FIELD_REFERENCE, FIELD_EMPTY_IS_ABSENT, .offset = offsetof(struct s, field) \
	}
/* To what is not ours. */
#define FOREIGN_REFERENCE(field, s, more_flags)                                                    \
	{                                                                                          \
		#field, FIELD_REFERENCE, FIELD_EMPTY_IS_ABSENT | FIELD_LABEL | (more_flags),       \
			.offset = offsetof(struct s, field)                                        \
	}
#define FIXED_REFERENCE(field, s) FOREIGN_REFERENCE(field, s, FIELD_FIXED)
#define END                                                                                        \
	{                                                                                          \
		.name = NULL                                                                       \
	}
#define STRING(field, s, ...)                                                                      \
	{                                                                                          \
		#field, FIELD_STRING, .offset = offsetof(struct s, field), .minimum = 1, __VA_ARGS__ \
	}
/* One that clients may send empty for "none". */
#define OPTIONAL(field, s, ...) STRING(field, s, .flags = FIELD_EMPTY_IS_ABSENT, __VA_ARGS__)
#define FLAG(field, s)                                                                             \
	{                                                                                          \
		#field, FIELD_BOOL, .offset = offsetof(struct s, field)                            \
	}
#define CERTIFICATE(field, s)                                                                      \
	OPTIONAL(field, s, .maximum = LIMIT_NAME, .check = grammar_certificate_reference)
#define LIST(field, s, most, type)                                                                 \
	{                                                                                          \
		#field, FIELD_LIST, FIELD_FIXED, .offset = offsetof(struct s, field),              \
			.count_offset = offsetof(struct s, n_##field), .maximum = most,            \
			.object = &type                                                            \
	}
#define OBJECT(field, s, type)                                                                     \
	{                                                                                          \
		#field, FIELD_OBJECT, .offset = offsetof(struct s, field), .object = &type         \
	}
/* "least" 1: an empty list is an error, as with Octavia, not the same as none. */
#define STRINGS(field, s, least, most, ...)                                                        \
	{                                                                                          \
		#field, FIELD_STRINGS, .offset = offsetof(struct s, field), .minimum = least,      \
			.maximum = most, __VA_ARGS__                                               \
	}
