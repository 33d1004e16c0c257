/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/machine/facts.h"

#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <systemd/sd-id128.h>

#include "agent/base/fileio.h"
#include "agent/base/library.h"
#include "agent/base/text.h"
#include "agent/machine/scan.h"

enum {
	PROC_FILE_LIMIT = 4 * 1024 *
			  1024, /* /proc/stat of a machine with 1 000 processors has about 200 kB */
	HOSTNAME_LIMIT = 256,
	TUNED_FILE_LIMIT = 64 * 1024,
	TUNED_PROFILES_LIMIT = 1024, /* what Octavia's agent reads of it */
};

static int read_proc(const char *path, char **ret)
{
	return fileio_read(AT_FDCWD, path, PROC_FILE_LIMIT, ret, NULL);
}

static const struct memory_row {
	const char *prefix;
	size_t offset;
} memory_rows[] = {
	{"MemTotal:", offsetof(struct machine_memory, total_kb)},
	{"MemFree:", offsetof(struct machine_memory, free_kb)},
	{"Buffers:", offsetof(struct machine_memory, buffers_kb)},
	{"Cached:", offsetof(struct machine_memory, cached_kb)},
	{"SwapCached:", offsetof(struct machine_memory, swap_cached_kb)},
	{"Shmem:", offsetof(struct machine_memory, shared_kb)},
	{"Slab:", offsetof(struct machine_memory, slab_kb)},
};

/* Lines that are none of ours, or count pages instead of kB, are passed over. */
static int take_memory_line(const char *line, struct machine_memory *memory, unsigned *seen)
{
	for (size_t i = 0; i < ELEMENTSOF(memory_rows); i++) {
		const char *p = text_after_prefix(line, memory_rows[i].prefix);
		uint64_t value;
		int r;

		if (!p)
			continue;
		p = scan_blanks(p);
		r = scan_number(&p, &value);
		if (r < 0)
			return r;
		if (!text_after_prefix(scan_blanks(p), "kB"))
			return -EBADMSG;
		memcpy((char *)memory + memory_rows[i].offset, &value, sizeof(value));
		*seen |= 1U << i;
		return 0;
	}
	return 0;
}

int machine_parse_memory(const char *text, struct machine_memory *ret)
{
	struct machine_memory memory = {0};
	unsigned seen = 0;

	for (const char *line = text; line; line = scan_next_line(line)) {
		int r = take_memory_line(line, &memory, &seen);

		if (r < 0)
			return r;
	}
	if ((seen & 3U) != 3U)
		return -EBADMSG;
	*ret = memory;
	return 0;
}

int machine_read_memory(struct machine_memory *ret)
{
	_cleanup_free_ char *text = NULL;
	int r = read_proc("/proc/meminfo", &text);

	return r < 0 ? r : machine_parse_memory(text, ret);
}

/* "cpu  user nice system idle iowait irq softirq steal guest guest_nice": two blanks follow the
 * name, so that what Octavia's agent takes as its third word is indeed "user". Kernels have
 * appended columns over time and may do so again. */
int machine_parse_cpu(const char *text, struct machine_cpu *ret)
{
	enum { USER, NICE, SYSTEM, IDLE, IOWAIT, IRQ, SOFT_IRQ, N_NEEDED };
	const char *p = text_after_prefix(text, "cpu ");
	uint64_t needed[N_NEEDED], total = 0;
	size_t n = 0;

	if (!p)
		return -EBADMSG;
	for (p = scan_blanks(p); *p && *p != '\n'; p = scan_blanks(p)) {
		uint64_t value;
		int r = scan_number(&p, &value);

		if (r < 0)
			return r;
		if (value > INT64_MAX - total)
			return -ERANGE;
		total += value;
		if (n < N_NEEDED)
			needed[n] = value;
		n++;
	}
	if (n < N_NEEDED)
		return -EBADMSG;
	*ret = (struct machine_cpu){.user = needed[USER],
		.system = needed[SYSTEM],
		.soft_irq = needed[SOFT_IRQ],
		.total = total};
	return 0;
}

int machine_read_cpu(struct machine_cpu *ret)
{
	_cleanup_free_ char *text = NULL;
	int r = read_proc("/proc/stat", &text);

	return r < 0 ? r : machine_parse_cpu(text, ret);
}

int machine_parse_load(const char *text, struct machine_load *ret)
{
	struct machine_load load;
	const char *p = text;

	for (size_t i = 0; i < ELEMENTSOF(load.average); i++) {
		size_t length;

		p = scan_blanks(p);
		length = strspn(p, "0123456789.");
		if (length == 0 || length >= sizeof(load.average[i]) ||
			(p[length] && !strchr(" \t\n", p[length])))
			return -EBADMSG;
		memcpy(load.average[i], p, length);
		load.average[i][length] = '\0';
		p += length;
	}
	*ret = load;
	return 0;
}

int machine_read_load(struct machine_load *ret)
{
	_cleanup_free_ char *text = NULL;
	int r = read_proc("/proc/loadavg", &text);

	return r < 0 ? r : machine_parse_load(text, ret);
}

/* A file system in user space may claim anything. */
static uint64_t bytes_of_blocks(uint64_t blocks, uint64_t size)
{
	uint64_t bytes;

	return __builtin_mul_overflow(blocks, size, &bytes) || bytes > INT64_MAX ? INT64_MAX
										 : bytes;
}

int machine_read_disk(const char *path, struct machine_disk *ret)
{
	struct statvfs fs;

	if (statvfs(path, &fs) < 0)
		return -errno;
	ret->used = bytes_of_blocks(
		fs.f_blocks > fs.f_bfree ? fs.f_blocks - fs.f_bfree : 0, fs.f_frsize);
	ret->available = bytes_of_blocks(fs.f_bavail, fs.f_frsize);
	return 0;
}

unsigned machine_cpu_count(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n > 0 ? (unsigned)n : 1;
}

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Both go into JSON, which takes no broken UTF-8. */
static void make_ascii(char *text)
{
	for (char *p = text; *p; p++)
		if ((*p < ' ' || *p > '~') && !is_blank(*p))
			*p = '?';
}

int machine_read_hostname(char **ret)
{
	char name[HOSTNAME_LIMIT];
	char *copy;

	if (gethostname(name, sizeof(name)) < 0)
		return -errno;
	name[sizeof(name) - 1] = '\0';
	make_ascii(name);
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	*ret = copy;
	return 0;
}

#define FUNCTIONS(F) F(sd_id128_get_machine_app_specific) F(sd_id128_to_string)
LIBRARY_OF_FILE(systemd, "libsystemd.so.0", FUNCTIONS);

/* Ours alone, so that what is derived with it says nothing of the machine to others. */
#define APPLICATION_ID SD_ID128_MAKE(2f,6a,94,c1,5d,0e,4b,7f,9a,3b,c8,17,d2,40,6e,b5)

int machine_read_id(char ret[static MACHINE_ID_SIZE])
{
	sd_id128_t id;
	char hex[SD_ID128_STRING_MAX];
	int r;

	r = library_keep(&systemd, NULL);
	if (r >= 0)
		r = sym_sd_id128_get_machine_app_specific(APPLICATION_ID, &id);
	if (r < 0)
		return r;
	sym_sd_id128_to_string(id, hex);
	snprintf(ret, MACHINE_ID_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
	return 0;
}

int machine_read_tuned_profiles(const char *path, char **ret)
{
	_cleanup_free_ char *text = NULL;
	const char *begin;
	size_t length;
	char *copy;
	int r;

	r = fileio_read(AT_FDCWD, path, TUNED_FILE_LIMIT, &text, NULL);
	if (r == -ENOMEM)
		return r;
	begin = r < 0 ? "" : text;
	length = strnlen(begin, TUNED_PROFILES_LIMIT);
	for (; length > 0 && is_blank(*begin); length--)
		begin++;
	while (length > 0 && is_blank(begin[length - 1]))
		length--;
	copy = strndup(begin, length);
	if (!copy)
		return -ENOMEM;
	make_ascii(copy);
	*ret = copy;
	return 0;
}
