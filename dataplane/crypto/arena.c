/*
 * arena.c - one mapping for all tunnel keys: locked, left out of core dumps and of children.
 *
 * Theory of operation. The mapping covers every slot there can be, but pages come as they are
 * touched. mlock2(MLOCK_ONFAULT) locks them as they come and succeeds for a process with
 * CAP_IPC_LOCK or a generous limit. Otherwise the kernel counts the whole range against
 * RLIMIT_MEMLOCK and refuses; then pieces are locked one by one when their first slot is taken, as
 * far as the limit goes.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "crypto/arena.h"

#define PIECE_BYTES (64u << 10) /* unit of locking when the whole could not be */

struct arena {
	uint8_t *base;
	size_t bytes; /* whole pieces */
	size_t slots, slot_bytes;
	bool whole_locked;
	uint64_t lock_failures;
	uint8_t *piece_tried; /* a byte per piece: its lock was tried */
};

struct arena *arena_create(size_t slots, size_t slot_bytes)
{
	struct arena *arena = calloc(1, sizeof(*arena));

	if (!arena)
		return NULL;
	arena->slots = slots;
	arena->slot_bytes = slot_bytes;
	arena->bytes = (slots * slot_bytes + PIECE_BYTES - 1) / PIECE_BYTES * PIECE_BYTES;
	arena->piece_tried = calloc(arena->bytes / PIECE_BYTES, 1);
	if (!arena->piece_tried)
		goto err_arena;
	arena->base = mmap(NULL, arena->bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (arena->base == MAP_FAILED)
		goto err_tried;
	/* Refused only by kernels that lack them; keys are then as exposed as other memory. */
	madvise(arena->base, arena->bytes, MADV_DONTDUMP);
	madvise(arena->base, arena->bytes, MADV_WIPEONFORK);
	arena->whole_locked = mlock2(arena->base, arena->bytes, MLOCK_ONFAULT) == 0;
	return arena;

err_tried:
	free(arena->piece_tried);
err_arena:
	free(arena);
	return NULL;
}

void arena_destroy(struct arena *arena)
{
	for (size_t piece = 0; piece < arena->bytes / PIECE_BYTES; piece++)
		if (arena->piece_tried[piece])
			sodium_memzero(arena->base + piece * PIECE_BYTES, PIECE_BYTES);
	munmap(arena->base, arena->bytes);
	free(arena->piece_tried);
	free(arena);
}

void *arena_take(struct arena *arena, size_t i)
{
	uint8_t *slot = arena->base + i * arena->slot_bytes;
	size_t first = i * arena->slot_bytes / PIECE_BYTES;
	size_t last = ((i + 1) * arena->slot_bytes - 1) / PIECE_BYTES;

	for (size_t piece = first; piece <= last; piece++) {
		if (arena->piece_tried[piece])
			continue;
		arena->piece_tried[piece] = 1;
		if (!arena->whole_locked &&
		    mlock(arena->base + piece * PIECE_BYTES, PIECE_BYTES) != 0)
			arena->lock_failures++;
	}
	memset(slot, 0, arena->slot_bytes);
	return slot;
}

void arena_give_back(struct arena *arena, size_t i)
{
	sodium_memzero(arena->base + i * arena->slot_bytes, arena->slot_bytes);
}

uint64_t arena_lock_failures(const struct arena *arena)
{
	return arena->lock_failures;
}
