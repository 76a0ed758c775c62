/*
 * punt.c - from the worker to control: bounded pools, one per class of message.
 *
 * A punt's busy flag is its owner: the worker sets it when it takes the punt, control clears it
 * when it is done. Control finishes them roughly in order, so the next free one is nearly always
 * the next in the pool; a few places are tried before the pool counts as empty.
 */
#include "worker.h"

#include <errno.h>
#include <sys/mman.h>

#define TRIES 4

/*
 * Handshakes come back in another order: control takes those of each source network in turn. Where
 * there are shares (lookup/source.h), these say that one is free, so all are tried.
 */
static uint32_t tries_of(enum pool_class class)
{
	switch (class) {
	case POOL_CLASS_HANDSHAKE:
		return POOL_HANDSHAKES;
	case POOL_CLASS_OPENED:
		return POOL_OPENED;
	default:
		return TRIES;
	}
}

static const struct {
	uint32_t count, bytes;
} pool_sizes[POOL_CLASSES] = {
	[POOL_CLASS_HANDSHAKE] = {POOL_HANDSHAKES, PUNT_BYTES},
	[POOL_CLASS_OPENED] = {POOL_OPENED, PUNT_BYTES},
	[POOL_CLASS_RECV_ERROR] = {POOL_RECV_ERRORS, PUNT_BYTES},
	[POOL_CLASS_WAITING_SMALL] = {POOL_WAITING_SMALL, WAITING_SMALL_BYTES},
	[POOL_CLASS_WAITING_LARGE] = {POOL_WAITING_LARGE, SLOT_BYTES},
	[POOL_CLASS_EVENT] = {POOL_EVENTS, 0},
	/* and PUNT_READY, PUNT_STOPPED, a fatal note of each descriptor */
	[POOL_CLASS_ORDER] = {ORDERS_MAX + 4, 0},
};

int punt_pools_create(struct worker *w)
{
	for (int i = 0; i < POOL_CLASSES; i++) {
		struct pool *pool = &w->pools[i];
		pool->count = pool_sizes[i].count;
		pool->bytes = pool_sizes[i].bytes;
		pool->stride = (uint32_t)(sizeof(struct punt) + pool->bytes + 63) & ~63u;
		void *memory =
			mmap(NULL, (size_t)pool->count * pool->stride, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (memory == MAP_FAILED)
			return -ENOMEM;
		pool->memory = memory;
	}
	return 0;
}

void punt_pools_destroy(struct worker *w)
{
	for (int i = 0; i < POOL_CLASSES; i++)
		if (w->pools[i].memory)
			munmap(w->pools[i].memory, (size_t)w->pools[i].count * w->pools[i].stride);
}

struct punt *punt_take(struct worker *w, enum pool_class class, enum punt_type type)
{
	struct pool *pool = &w->pools[class];

	for (uint32_t i = 0; i < tries_of(class); i++) {
		struct punt *punt =
			(struct punt *)(pool->memory + (size_t)pool->cursor * pool->stride);
		pool->cursor = pool->cursor + 1 < pool->count ? pool->cursor + 1 : 0;
		if (atomic_load_explicit(&punt->busy, memory_order_acquire))
			continue;
		punt->busy = 1;
		punt->type = type;
		punt->queue = w->queue;
		punt->length = 0;
		punt->via = 0;
		punt->shares = NULL;
		return punt;
	}
	return NULL;
}

void punt_send(struct worker *w, struct punt *punt)
{
	count_stat(w->counters, STAT_PUNTS, 1);
	io_punt(w->io, punt);
}

void punt_tunnel_event(struct worker *w, struct tunnel *tunnel, enum tunnel_event_bit bit,
		       enum punt_type type, const struct endpoint *source, uint32_t via,
		       uint64_t value)
{
	if (atomic_fetch_or(&tunnel->event_in_flight, bit) & bit)
		return;
	struct punt *punt = punt_take(w, POOL_CLASS_EVENT, type);
	if (!punt) {
		atomic_fetch_and(&tunnel->event_in_flight, ~(uint32_t)bit);
		return;
	}
	punt->tunnel = tunnel->id;
	punt->source = source ? *source : (struct endpoint){0};
	punt->via = via;
	punt->value = value;
	punt_send(w, punt);
}

void punt_active(struct worker *w, struct tunnel *tunnel)
{
	if (atomic_exchange(&tunnel->watched, 1))
		return;
	struct punt *punt = punt_take(w, POOL_CLASS_EVENT, PUNT_ACTIVE);
	if (!punt) {
		atomic_store(&tunnel->watched, 0); /* the next packet tries again */
		return;
	}
	punt->tunnel = tunnel->id;
	punt_send(w, punt);
}

void punt_wanted(struct worker *w, struct route_gateway *gateway)
{
	if (atomic_exchange_explicit(&gateway->asked_s, w->now_s, memory_order_relaxed) == w->now_s)
		return;
	struct punt *punt = punt_take(w, POOL_CLASS_EVENT, PUNT_WANTED);
	if (!punt)
		return; /* asked again in the next second */
	punt->addr = gateway->to.addr;
	punt_send(w, punt);
}

/* The gateways beside the chosen one, behind the run's bytes. */
static void punt_gateways(struct punt *punt, const struct next_hop *hop)
{
	for (uint32_t i = 1; i < hop->gateway_count; i++) {
		const struct route_gateway *gateway =
			&hop->gateways[(hop->chosen + i) % hop->gateway_count];
		memcpy(punt->bytes + punt->length + punt->gateway_count++ * sizeof(struct addr),
		       &gateway->to.addr, sizeof(struct addr));
	}
}

enum drop punt_waiting(struct worker *w, const struct next_hop *hop, const uint8_t *packet,
		       uint32_t length, const struct virtio_net_hdr *vnet)
{
	uint32_t bytes = length + hop->gateway_count * (uint32_t)sizeof(struct addr);
	enum pool_class class =
		bytes <= WAITING_SMALL_BYTES ? POOL_CLASS_WAITING_SMALL : POOL_CLASS_WAITING_LARGE;
	struct punt *punt = punt_take(w, class, PUNT_WAITING);

	if (!punt)
		return DROP_PUNT_POOL;
	punt->addr = hop->addr;
	punt->vnet = *vnet;
	punt->length = length;
	punt->gateway_count = 0;
	memcpy(punt->bytes, packet, length);
	if (bytes <= SLOT_BYTES)
		punt_gateways(punt, hop);
	count_stat(w->counters, STAT_COPIED_BYTES, length);
	w->waiting_punted++;
	punt_send(w, punt);
	return DROP_NONE;
}

void punt_note(struct worker *w, const struct io_event *event)
{
	enum pool_class class = note_is_fatal(event->note) ? POOL_CLASS_ORDER : POOL_CLASS_EVENT;
	struct punt *punt = punt_take(w, class, PUNT_NOTE);

	if (!punt)
		return;
	punt->note = event->note;
	punt->value = (uint64_t)event->error;
	punt->tunnel = event->tunnel;
	punt_send(w, punt);
}
