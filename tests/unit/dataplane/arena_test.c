/*
 * arena_test.c - key memory: zeroed, wiped, undumpable, and usable where it cannot be locked.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "aead.h"
#include "crypto/arena.h"
#include "limits.h"
#include "tunnel.h"

#define SLOTS 200
#define BYTES sizeof(struct tunnel_keys)

TestSuite(arena);

Test(arena, slots_are_zeroed_aligned_and_apart)
{
	struct arena *arena = arena_create(SLOTS, BYTES);
	uint8_t *slots[SLOTS];

	cr_assert_not_null(arena);
	for (size_t i = 0; i < SLOTS; i++) {
		slots[i] = arena_take(arena, i);
		cr_assert_eq((uintptr_t)slots[i] % 64, 0);
		for (size_t k = 0; k < BYTES; k++)
			cr_assert_eq(slots[i][k], 0);
		memset(slots[i], (int)i, BYTES);
	}
	for (size_t i = 0; i < SLOTS; i++) {
		cr_assert_eq(slots[i][0], (uint8_t)i);
		cr_assert_eq(slots[i][BYTES - 1], (uint8_t)i);
	}
	arena_give_back(arena, 7);
	for (size_t k = 0; k < BYTES; k++)
		cr_assert_eq(slots[7][k], 0, "wiped");
	cr_expect_eq(slots[6][BYTES - 1], 6);
	cr_expect_eq(slots[8][0], 8);
	memset(slots[8], 0xee, BYTES);
	cr_expect_eq(*(uint8_t *)arena_take(arena, 8), 0, "taken again, zeroed again");
	arena_destroy(arena);
}

/* VmFlags of the mapping that holds address, as the kernel lists them; empty when not found. */
static void vm_flags(const void *address, char *flags, size_t size)
{
	FILE *smaps = fopen("/proc/self/smaps", "r");
	char line[512];
	bool inside = false;

	flags[0] = '\0';
	cr_assert_not_null(smaps);
	while (fgets(line, sizeof(line), smaps)) {
		unsigned long from, to;

		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = (uintptr_t)address >= from && (uintptr_t)address < to;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			snprintf(flags, size, "%s", line + 8);
	}
	fclose(smaps);
}

Test(arena, left_out_of_core_dumps_and_children)
{
	struct arena *arena = arena_create(SLOTS, BYTES);
	char flags[512];

	vm_flags(arena_take(arena, 0), flags, sizeof(flags));
	cr_expect_not_null(strstr(flags, " dd"), "no MADV_DONTDUMP: %s", flags);
	cr_expect_not_null(strstr(flags, " wf"), "no MADV_WIPEONFORK: %s", flags);
	if (arena_lock_failures(arena) == 0)
		cr_expect_not_null(strstr(flags, " lo"), "not locked: %s", flags);
	arena_destroy(arena);
}

/* The size of all tunnels' keys is reserved only: one slot costs pages, not the whole. */
Test(arena, untouched_slots_cost_nothing)
{
	struct arena *arena = arena_create(TUNNELS_MAX, BYTES);
	struct rusage before, after;

	getrusage(RUSAGE_SELF, &before);
	arena_take(arena, 0);
	arena_take(arena, TUNNELS_MAX - 1);
	getrusage(RUSAGE_SELF, &after);
	cr_expect_lt(after.ru_maxrss - before.ru_maxrss, 8192, "KiB");
	arena_destroy(arena);
}

/* Without privilege: pieces are locked up to the limit, the rest is counted, and all of it works.
 */
Test(arena, a_failed_lock_is_counted_not_fatal)
{
	struct rlimit none = {0, 0};
	if (geteuid() == 0)
		cr_assert_eq(seteuid(65534), 0); /* drops CAP_IPC_LOCK */
	cr_assert_eq(setrlimit(RLIMIT_MEMLOCK, &none), 0);
	if (mlock(&none, sizeof(none)) == 0)
		cr_skip_test("mlock cannot fail here: sanitizers replace it");
	struct arena *arena = arena_create(SLOTS, BYTES);

	cr_assert_not_null(arena);
	memset(arena_take(arena, 0), 1, BYTES);
	cr_expect_eq(arena_lock_failures(arena), 1);
	memset(arena_take(arena, 1), 1, BYTES);
	cr_expect_eq(arena_lock_failures(arena), 1, "same piece, tried once");
	memset(arena_take(arena, SLOTS - 1), 1, BYTES);
	cr_expect_eq(arena_lock_failures(arena), 2);
	arena_destroy(arena);
}
