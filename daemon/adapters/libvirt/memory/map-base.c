/*
 * A library that is preloaded into a VM's QEMU and maps a memory base (base-file.ts) into the guest's main memory.
 * QEMU takes that memory as one anonymous mapping of its whole size; right after that, the base's chunks are mapped
 * over it, privately. What the guest writes is its own, and what it only reads is shared with all who map the base.
 *
 * When a guest frees memory, QEMU gives it back by madvise(MADV_DONTNEED), after which it expects zeroes. On a private
 * mapping of a file that would bring back the file's content. So whole chunks become anonymous memory again. Of
 * smaller ranges, which only the balloon gives back, the file's pages come back: a guest never expects anything of
 * those.
 *
 * Environment:
 *   CROFT_MEMORY_BASE  path of the base. Without it, the library does nothing.
 *
 * If the base can't be used, the process ends with a message before the guest's memory exists. Whether it was mapped
 * is for the daemon to check (/proc/PID/maps): a library that was not loaded can't say so.
 *
 * Build: cc -shared -fPIC -O2 -Wall -Wextra -Werror -o map-base.so map-base.c
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CHUNK ((uint64_t)2 << 20)
#define PAGE ((uint64_t)4096)
#define TABLE_AT 64
#define MOST_BYTES ((uint64_t)1 << 44)
#define MOST_ADVICES 8

static struct {
	int fd;
	uint64_t bytes;		/* of the guest's memory */
	uint64_t chunks;
	uint32_t *table;	/* for each chunk: 0, or 1 + its position in the file */
	uint64_t data;		/* offset of the first chunk in the file */
	char *at;		/* where the guest's memory is; NULL before it is mapped */
	bool *mapped;		/* for each chunk: whether it is the base's now */
	int advices[MOST_ADVICES];	/* what QEMU has advised for all of the memory */
	int n_advices;
} base = { .fd = -1 };

/* Not through the C library, which calls the functions below. */
static void *real_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	return (void *)syscall(SYS_mmap, addr, length, prot, flags, fd, offset);
}

static int real_madvise(void *addr, size_t length, int advice)
{
	return (int)syscall(SYS_madvise, addr, length, advice);
}

__attribute__((noreturn, format(printf, 1, 2)))
static void fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("croft: the memory base can't be mapped: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	fflush(stderr);
	_exit(1);
}

static void read_fully(void *into, uint64_t length, off_t offset)
{
	uint64_t got = 0;

	while (got < length) {
		ssize_t n = pread(base.fd, (char *)into + got, length - got, offset + (off_t)got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			fail("%s", strerror(errno));
		if (n == 0)
			fail("it is cut short");
		got += (uint64_t)n;
	}
}

__attribute__((constructor))
static void open_base(void)
{
	const char *path = getenv("CROFT_MEMORY_BASE");
	unsigned char head[TABLE_AT];
	struct stat found;
	uint32_t stored;

	if (!path || !*path)
		return;
	base.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (base.fd < 0)
		fail("%s: %s", path, strerror(errno));
	if (fstat(base.fd, &found) < 0)
		fail("%s", strerror(errno));
	if (!S_ISREG(found.st_mode))
		fail("it is not a file");
	read_fully(head, sizeof head, 0);
	if (memcmp(head, "CroftMemoryBase1", 16) != 0)
		fail("it does not begin like one");
	memcpy(&base.bytes, head + 16, 8);
	memcpy(&stored, head + 24, 4);
	if (base.bytes == 0 || base.bytes % PAGE != 0 || base.bytes > MOST_BYTES)
		fail("it is for %llu bytes of memory", (unsigned long long)base.bytes);
	base.chunks = (base.bytes + CHUNK - 1) / CHUNK;
	base.data = (TABLE_AT + 4 * base.chunks + PAGE - 1) / PAGE * PAGE;
	if (stored > base.chunks || (uint64_t)found.st_size != base.data + stored * CHUNK)
		fail("it has %llu bytes", (unsigned long long)found.st_size);
	base.table = malloc(4 * base.chunks);
	base.mapped = calloc(base.chunks, sizeof *base.mapped);
	if (!base.table || !base.mapped)
		fail("%s", strerror(ENOMEM));
	read_fully(base.table, 4 * base.chunks, TABLE_AT);
	for (uint64_t i = 0; i < base.chunks; i++)
		if (base.table[i] > stored)
			fail("its table is damaged");
}

static uint64_t chunk_bytes(uint64_t chunk)
{
	uint64_t rest = base.bytes - chunk * CHUNK;

	return rest < CHUNK ? rest : CHUNK;
}

/* Maps the base's chunks over the guest's memory; neighbours in the file and in memory by one call. */
static void map_chunks(char *at)
{
	for (uint64_t i = 0; i < base.chunks;) {
		uint64_t first = i, length;

		if (base.table[i] == 0) {
			i++;
			continue;
		}
		length = chunk_bytes(i);
		base.mapped[i++] = true;
		while (i < base.chunks && base.table[i] == base.table[i - 1] + 1) {
			length += chunk_bytes(i);
			base.mapped[i++] = true;
		}
		if (real_mmap(at + first * CHUNK, length, PROT_READ | PROT_WRITE,
			      MAP_FIXED | MAP_PRIVATE | MAP_NORESERVE, base.fd,
			      (off_t)(base.data + (base.table[first] - 1) * CHUNK)) == MAP_FAILED)
			fail("%s", strerror(errno));
	}
	base.at = at;
	close(base.fd);
	base.fd = -1;
}

/*
 * QEMU reserves addresses for a guest's memory, and then maps anonymous memory there: `mmap_activate` in
 * util/mmap-alloc.c. Nothing else in it maps at a fixed address.
 */
void *mmap64(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	void *at = real_mmap(addr, length, prot, flags, fd, offset);
	const int kind = MAP_FIXED | MAP_ANONYMOUS | MAP_PRIVATE;

	if (base.fd >= 0 && at != MAP_FAILED && length == base.bytes && fd == -1 && (flags & kind) == kind &&
	    prot == (PROT_READ | PROT_WRITE))
		map_chunks(at);
	return at;
}

void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
	__attribute__((alias("mmap64")));

static void note_advice(int advice)
{
	for (int i = 0; i < base.n_advices; i++)
		if (base.advices[i] == advice)
			return;
	if (base.n_advices < MOST_ADVICES)
		base.advices[base.n_advices++] = advice;
}

/* Whether any chunk in a range is the base's. */
static bool has_mapped(uint64_t from, uint64_t length)
{
	for (uint64_t i = from / CHUNK; i < (from + length) / CHUNK; i++)
		if (base.mapped[i])
			return true;
	return false;
}

/* Makes whole chunks anonymous memory, advised as the rest is. */
static int make_anonymous(char *addr, uint64_t from, uint64_t length)
{
	if (real_mmap(addr, length, PROT_READ | PROT_WRITE,
		      MAP_FIXED | MAP_ANONYMOUS | MAP_PRIVATE | MAP_NORESERVE, -1, 0) == MAP_FAILED)
		return -1;
	for (int i = 0; i < base.n_advices; i++)
		real_madvise(addr, length, base.advices[i]);
	for (uint64_t i = from / CHUNK; i < (from + length) / CHUNK; i++)
		base.mapped[i] = false;
	return 0;
}

int madvise(void *addr, size_t length, int advice)
{
	if (base.at && (char *)addr >= base.at && (char *)addr < base.at + base.bytes) {
		uint64_t from = (uint64_t)((char *)addr - base.at);

		if (advice == MADV_DONTNEED && length >= CHUNK && from % CHUNK == 0 && length % CHUNK == 0 &&
		    from + length <= base.bytes && has_mapped(from, length))
			return make_anonymous(addr, from, length);
		if (advice != MADV_DONTNEED && from == 0 && length >= base.bytes)
			note_advice(advice);
	}
	return real_madvise(addr, length, advice);
}
