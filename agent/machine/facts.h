/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Facts about this virtual machine, as an Octavia controller asks for them.
 *
 * The parsers are pure functions over the NUL-terminated text of a file; -EBADMSG or -ERANGE for
 * text that the kernel would not write. The readers read the file, too, and return its errors as
 * -errno. No result is touched on failure.
 *
 * Sources: proc(5); Octavia, octavia/amphorae/backends/agent/api_server/amphora_info.py.
 */

#include <stddef.h>
#include <stdint.h>

/* /proc/meminfo, in kB (of 1024 bytes). What the kernel does not list is 0, but for total and free,
 * without which there is no answer. */
struct machine_memory {
	uint64_t total_kb;
	uint64_t free_kb;
	uint64_t buffers_kb;
	uint64_t cached_kb;
	uint64_t swap_cached_kb;
	uint64_t shared_kb;
	uint64_t slab_kb;
};

int machine_parse_memory(const char *text, struct machine_memory *ret);
int machine_read_memory(struct machine_memory *ret);

/* The first line of /proc/stat, in clock ticks since boot, over all processors. "total" is the sum
 * of all its columns. The last two (guest, guest_nice) are also part of user and nice, so that the
 * time of guests counts twice; Octavia's agent adds up the same. */
struct machine_cpu {
	uint64_t user;
	uint64_t system;
	uint64_t soft_irq;
	uint64_t total;
};

int machine_parse_cpu(const char *text, struct machine_cpu *ret);
int machine_read_cpu(struct machine_cpu *ret);

/* The averages over 1, 5 and 15 minutes in the kernel's own words ("0.78"). */
struct machine_load {
	char average[3][16];
};

int machine_parse_load(const char *text, struct machine_load *ret);
int machine_read_load(struct machine_load *ret);

/* The file system that holds "path", in bytes. "available" is what a plain user may still fill. */
struct machine_disk {
	uint64_t used;
	uint64_t available;
};

int machine_read_disk(const char *path, struct machine_disk *ret);

/* Processors that are online; at least 1. */
unsigned machine_cpu_count(void);

/* Printable ASCII, whatever the administrator called it; the caller frees. */
int machine_read_hostname(char **ret);

enum { MACHINE_ID_SIZE = 37 };

/* A UUID that is this machine's and stays so: derived from machine-id(5), which does not leave it. -ENOENT or
 * -ENOMEDIUM where there is none. */
int machine_read_id(char ret[static MACHINE_ID_SIZE]);

/* The profiles that TuneD has applied, separated by blanks, from its file "active_profile": ""
 * where there is none. At most 1 KiB of printable ASCII; the caller frees. -ENOMEM only. */
int machine_read_tuned_profiles(const char *path, char **ret);

#define MACHINE_TUNED_PROFILES "/etc/tuned/active_profile"
