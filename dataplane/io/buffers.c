#include "io/buffers.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "limits.h"

_Static_assert(BUFFER_STRIDE >= SLOT_BYTES, "a slot fits its stride");

static void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

int buffers_create(struct buffers *b, struct io_uring *uring, uint16_t group, uint32_t slots)
{
	*b = (struct buffers){.slots = slots, .target = RING_SLOTS_MIN, .group = group};
	b->ring = map(slots * sizeof(struct io_uring_buf));
	b->memory = map((size_t)slots * BUFFER_STRIDE);
	b->free_ids = malloc(slots * sizeof(*b->free_ids));
	if (!b->ring || !b->memory || !b->free_ids)
		return -ENOMEM;
	/* A 60 KiB read into one huge page would make all 2 MiB resident. */
	madvise(b->memory, (size_t)slots * BUFFER_STRIDE, MADV_NOHUGEPAGE);
	madvise(b->memory, (size_t)slots * BUFFER_STRIDE, MADV_DONTDUMP);

	int err = compat_register_buf_ring(uring, b->ring, slots, group);
	if (err)
		return err;
	io_uring_buf_ring_init(b->ring);
	for (uint32_t i = slots; i-- > 0;)
		buffers_release(b, (uint16_t)i);
	buffers_refill(b);
	return 0;
}

void buffers_destroy(struct buffers *b)
{
	if (b->ring)
		munmap(b->ring, b->slots * sizeof(struct io_uring_buf));
	if (b->memory)
		munmap(b->memory, (size_t)b->slots * BUFFER_STRIDE);
	free(b->free_ids);
	*b = (struct buffers){0};
}

void buffers_refill(struct buffers *b)
{
	uint32_t limit = buffers_limit(b);
	int added = 0;

	if (b->target > limit)
		b->target = limit;
	while (b->in_ring < b->target && b->free_count > 0) {
		uint16_t id = b->free_ids[--b->free_count];
		io_uring_buf_ring_add(b->ring, buffers_slot(b, id), SLOT_BYTES, id,
				      io_uring_buf_ring_mask(b->slots), added++);
		b->in_ring++;
	}
	if (added)
		io_uring_buf_ring_advance(b->ring, added);
}

void buffers_grow(struct buffers *b)
{
	uint32_t limit = buffers_limit(b);

	b->target = b->target * 2 < limit ? b->target * 2 : limit;
}
