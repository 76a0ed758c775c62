/*
 * buffers.h - receive buffers that the kernel picks from (a provided-buffer ring and its slots).
 *
 * The kernel takes slots in the order they were put in, so each slot in the ring is written to once
 * a round. When the round is larger than the CPU's second cache, each copy into a slot misses it,
 * and so does the cipher behind: with 32 slots of 60 kB the kernel's copies cost twice what they do
 * with 8. Therefore only target slots are in the ring and the rest wait on a last-in-first-out
 * list. The target doubles when the kernel has run dry (a re-arm by ENOBUFS), but only while what
 * the ring holds at the usual size of a run stays within RING_BYTES_HOT: few slots for
 * super-packets, all of them for small packets, which fill a slot's first line and come fast.
 */
#ifndef M57_BUFFERS_H
#define M57_BUFFERS_H

#include <stddef.h>
#include <stdint.h>
#include "io/uring_compat.h"

struct buffers {
	struct io_uring_buf_ring *ring;
	uint8_t *memory;
	uint32_t slots;   /* power of two */
	uint32_t in_ring; /* handed to the kernel and not come back */
	uint32_t target;
	uint32_t run_bytes; /* mean of what came lately, over about 16 runs */
	uint32_t free_count;
	uint16_t group;
	uint16_t *free_ids; /* stack */
};

#define BUFFER_STRIDE  (17u * 4096) /* SLOT_BYTES rounded up to pages, so slots share none */
#define RING_SLOTS_MIN 4
#define RING_BYTES_HOT (RING_SLOTS_MIN * 64u * 1024) /* a quarter of a second cache of 1 MiB */

/* Maps memory and registers the ring with uring as group. 0 or -errno. */
int buffers_create(struct buffers *b, struct io_uring *uring, uint16_t group, uint32_t slots);
void buffers_destroy(struct buffers *b);

/* The memory of slot id, BUFFER_STRIDE bytes. */
static inline uint8_t *buffers_slot(const struct buffers *b, uint16_t id)
{
	return b->memory + (size_t)id * BUFFER_STRIDE;
}

/* Slots that may be in the ring at the usual size of a run. */
static inline uint32_t buffers_limit(const struct buffers *b)
{
	uint32_t limit = RING_BYTES_HOT / (b->run_bytes + 1);

	return limit < RING_SLOTS_MIN ? RING_SLOTS_MIN : limit < b->slots ? limit : b->slots;
}

/* The kernel has handed a slot out, with bytes in it. */
static inline void buffers_taken(struct buffers *b, uint32_t bytes)
{
	b->in_ring--;
	b->run_bytes += (bytes >> 4) - (b->run_bytes >> 4);
}

/* The worker is done with slot id. */
static inline void buffers_release(struct buffers *b, uint16_t id)
{
	b->free_ids[b->free_count++] = id;
}

/* Puts free slots into the ring up to the target, which follows the limit down. Before every
 * submission. */
void buffers_refill(struct buffers *b);

/* The kernel ran dry: twice as many slots in the ring from now on, as far as the limit allows. */
void buffers_grow(struct buffers *b);

#endif
