/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Libraries that only some need, or only at times: loaded by dlopen(3) when the first needs them, unloaded when the last
 * has let them go. What is linked takes its part of each start and its pages for good, used or not.
 *
 * Programs say in their ELF notes what they may load (https://systemd.io/ELF_DLOPEN_METADATA/); packages have to depend on
 * it by name, since the tools that look for dependencies see linked libraries only.
 *
 * The functions are called through pointers named sym_FUNCTION, of the type that the library's header declares:
 *
 *	#define FUNCTIONS(F) F(sd_notify) F(sd_listen_fds)
 *	LIBRARY_OF_FILE(systemd, "libsystemd.so.0", FUNCTIONS);
 *
 *	r = library_keep(&systemd, err);
 *	if (r == 0)
 *		r = sym_sd_notify(0, "READY=1");
 */

#include <stdbool.h>

#include "agent/base/error.h"

struct library_function {
	const char *name;
	void *pointer; /* to the pointer that is to be filled */
};

struct library {
	const char *soname;
	const struct library_function *functions; /* ends in one without a name */
	/* library.c's, under its lock */
	void *handle;
	unsigned users;
	bool kept;
};

/* Any thread may do so. -EOPNOTSUPP: it is not installed, or too old. */
int library_use(struct library *library, struct error *err);
/* Once for each library_use(), when nothing is left of what it made. */
void library_release(struct library *library);
/* Once and for good: it is not released. */
int library_keep(struct library *library, struct error *err);

#define LIBRARY_POINTER(function) __typeof__(function) *sym_##function;
#define LIBRARY_STATIC_POINTER(function) static __typeof__(function) *sym_##function;
#define LIBRARY_EXTERN_POINTER(function) extern __typeof__(function) *sym_##function;
#define LIBRARY_FUNCTION(function) {#function, &sym_##function},
#define LIBRARY_(name, soname, functions)                                                          \
	static const struct library_function name##_functions[] = {                                \
		functions(LIBRARY_FUNCTION){NULL, NULL}};                                          \
	static struct library name = {soname, name##_functions, NULL, 0, false}

/* A library of which one file calls "functions". */
#define LIBRARY_OF_FILE(name, soname, functions)                                                   \
	functions(LIBRARY_STATIC_POINTER) LIBRARY_(name, soname, functions)

/* The same where a header has functions(LIBRARY_EXTERN_POINTER) for several files. */
#define LIBRARY_OF_HEADER(name, soname, functions)                                                 \
	functions(LIBRARY_POINTER) LIBRARY_(name, soname, functions)

/* The note: "feature", "description" and "priority" (required, recommended, suggested) as the specification has them. */
#define LIBRARY_NOTE(name, soname, feature, description, priority)                                 \
	LIBRARY_NOTE_OF(name##_note,                                                               \
		"[{\"soname\":[\"" soname "\"],\"feature\":\"" feature                              \
		"\",\"description\":\"" description "\",\"priority\":\"" priority "\"}]")
#define LIBRARY_NOTE_OF(variable, json)                                                            \
	__attribute__((__used__, __section__(".note.dlopen"), __aligned__(4)))                     \
	static const struct {                                                                      \
		unsigned name_size, size, type;                                                    \
		char owner[4];                                                                     \
		char text[sizeof(json)] __attribute__((__aligned__(4)));                           \
	} variable = {4, sizeof(json), 0x407c0c0a, "FDO", json}
