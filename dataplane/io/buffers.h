/*
 * buffers.h - receive buffers that the kernel picks from (a provided-buffer ring and its slots).
 *
 * The kernel takes slots in the order they were put in, so under bulk every slot in the ring
 * becomes resident memory. Therefore only target slots are in the ring; the rest wait on a
 * last-in-first-out list, and the target grows when the kernel has run dry (a re-arm by ENOBUFS)
 * and never beyond all slots.
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
	uint32_t free_count;
	uint16_t group;
	uint16_t *free_ids; /* stack */
};

#define BUFFER_STRIDE (17u * 4096) /* SLOT_BYTES rounded up to pages, so slots share none */

/* Maps memory and registers the ring with uring as group. 0 or -errno. */
int buffers_create(struct buffers *b, struct io_uring *uring, uint16_t group, uint32_t slots,
		   uint32_t target);
void buffers_destroy(struct buffers *b);

static inline uint8_t *buffers_slot(const struct buffers *b, uint16_t id)
{
	return b->memory + (size_t)id * BUFFER_STRIDE;
}

/* The kernel has handed slot id out. */
static inline void buffers_taken(struct buffers *b)
{
	b->in_ring--;
}

/* The worker is done with slot id. */
static inline void buffers_release(struct buffers *b, uint16_t id)
{
	b->free_ids[b->free_count++] = id;
}

/* Puts free slots into the ring up to the target. Before every submission. */
void buffers_refill(struct buffers *b);

/* The kernel ran dry: twice as many slots in the ring from now on. */
void buffers_grow(struct buffers *b);

#endif
