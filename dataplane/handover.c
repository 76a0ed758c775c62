/* handover.c - see handover.h. */
#include "handover.h"

#include <errno.h>
#include <sys/mman.h>

#include "worker.h"

#define STRIDE ((sizeof(struct handover) + SLOT_BYTES + 63) & ~(size_t)63)

int handovers_create(struct handovers *pool)
{
	void *memory = mmap(NULL, HANDOVERS_MAX * STRIDE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		return -ENOMEM;
	madvise(memory, HANDOVERS_MAX * STRIDE, MADV_NOHUGEPAGE);
	madvise(memory, HANDOVERS_MAX * STRIDE, MADV_DONTDUMP);
	pool->memory = memory;
	atomic_store(&pool->free, UINT64_MAX >> (64 - HANDOVERS_MAX));
	return 0;
}

void handovers_destroy(struct handovers *pool)
{
	if (pool->memory)
		munmap(pool->memory, HANDOVERS_MAX * STRIDE);
	pool->memory = NULL;
}

/* The lowest free one, so that few become resident. */
static struct handover *take(struct handovers *pool)
{
	uint64_t free = atomic_load_explicit(&pool->free, memory_order_acquire);

	if (free == 0)
		return NULL;
	uint32_t id = (uint32_t)__builtin_ctzll(free);
	atomic_fetch_and_explicit(&pool->free, ~(1ull << id), memory_order_relaxed);
	struct handover *handover = (struct handover *)(pool->memory + id * STRIDE);
	handover->pool = pool;
	handover->id = id;
	handover->length = 0;
	handover->ended = handover->mixed = false;
	return handover;
}

void handover_release(struct handover *handover)
{
	atomic_fetch_or_explicit(&handover->pool->free, 1ull << handover->id, memory_order_release);
}

static void hand_over(struct worker *w, uint32_t owner)
{
	struct handovers *pool = &w->handovers;

	if (pool->open[owner])
		io_hand_over(w->io, owner, pool->open[owner]);
	pool->open[owner] = NULL;
}

bool handover_add(struct worker *w, uint32_t owner, const struct endpoint *source,
		  const uint8_t *bytes, uint32_t length, uint32_t segment_bytes, bool mixed)
{
	struct handovers *pool = &w->handovers;
	struct handover *handover = pool->open[owner];

	if (handover &&
	    (handover->ended || handover->segment_bytes != segment_bytes ||
	     handover->length + length > SLOT_BYTES || !endpoint_equal(&handover->source, source)))
		hand_over(w, owner);
	handover = pool->open[owner];
	if (!handover) {
		handover = take(pool);
		if (!handover)
			return false;
		handover->source = *source;
		handover->segment_bytes = segment_bytes;
		pool->open[owner] = handover;
	}
	memcpy(handover->bytes + handover->length, bytes, length);
	count_stat(w->counters, STAT_COPIED_BYTES, length);
	handover->length += length;
	handover->ended = length % segment_bytes != 0;
	handover->mixed |= mixed;
	return true;
}

void handover_flush(struct worker *w)
{
	for (uint32_t owner = 0; owner < w->queues; owner++)
		hand_over(w, owner);
}

void handover_mixed(struct worker *w)
{
	if (w->mixed_said || ++w->mixed < MIXED_TRAINS_MAX)
		return;
	struct punt *punt = punt_take(w, POOL_CLASS_EVENT, PUNT_NOTE);
	if (!punt)
		return; /* the next one tries again */
	punt->note = NOTE_TRAINS_MIXED;
	punt->value = 0;
	punt_send(w, punt);
	w->mixed_said = true;
}
