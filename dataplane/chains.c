/*
 * chains.c - where opened packets stand until they are written, and which of them become one write.
 *
 * Up to CHAINS_MAX flows are joined at the same time, each at the end of a write slot of its own.
 * Slots in which no chain grows are scratch: the next packet is opened there, behind what the slot
 * already holds. All of it leaves at the end of the turn, chains in the order they were begun, so
 * within a flow order is kept (pure ACKs excepted, which close nothing: PROTOCOL.md 11.5).
 */
#include "worker.h"

/* A slot with less room than the largest datagram is not worth holding. */
#define ROOM_MIN (DATAGRAM_MAX + 2 * WRITE_HEADROOM)

static void scratch_put(struct worker *w, struct write_slot *slot)
{
	struct chains *c = &w->chains;

	if (SLOT_BYTES - slot->used < ROOM_MIN || c->scratch_count == SCRATCH_MAX)
		io_write_slot_done(w->io, slot);
	else
		c->scratch[c->scratch_count++] = slot;
}

static void scratch_take(struct worker *w, struct write_slot *slot)
{
	struct chains *c = &w->chains;

	for (uint32_t i = 0; i < c->scratch_count; i++) {
		if (c->scratch[i] == slot) {
			c->scratch[i] = c->scratch[--c->scratch_count];
			return;
		}
	}
}

uint8_t *chains_room(struct worker *w, uint32_t length, struct write_slot **out)
{
	struct chains *c = &w->chains;
	struct write_slot *slot;

	/* every slot held here has that much room */
	if (length > ROOM_MIN - WRITE_HEADROOM)
		return NULL;
	if (c->scratch_count > 0) {
		slot = c->scratch[c->scratch_count - 1];
	} else {
		slot = io_write_slot(w->io);
		if (!slot)
			return NULL;
		c->scratch[c->scratch_count++] = slot;
	}
	*out = slot;
	return slot->bytes + slot->used + WRITE_HEADROOM;
}

static void used_up_to(struct write_slot *slot, const uint8_t *end)
{
	slot->used = (uint32_t)(end - slot->bytes + WRITE_HEADROOM - 1) & ~(WRITE_HEADROOM - 1u);
	if (slot->used > SLOT_BYTES)
		slot->used = SLOT_BYTES;
}

static void count_written(struct worker *w, uint32_t packets, uint32_t bytes)
{
	count_stat(w->counters, STAT_TUN_WRITTEN, packets);
	count_stat(w->counters, STAT_TUN_WRITTEN_BYTES, bytes);
}

void chains_write(struct worker *w, struct write_slot *slot, uint8_t *packet, uint32_t length)
{
	static const struct virtio_net_hdr plain;

	io_write(w->io, slot, packet, length, &plain);
	used_up_to(slot, packet + length);
	count_written(w, 1, length);
	if (SLOT_BYTES - slot->used < ROOM_MIN) {
		scratch_take(w, slot);
		io_write_slot_done(w->io, slot);
	}
}

static void chain_close(struct worker *w, struct open_chain *oc)
{
	struct virtio_net_hdr vnet;
	struct write_slot *slot = oc->slot;
	struct chain *chain = &oc->chain;

	count_written(w, chain->count, chain->length + (chain->count - 1) * chain->header_bytes);
	join_finish(chain, &vnet);
	io_write(w->io, slot, chain->packet, chain->length, &vnet);
	used_up_to(slot, chain->packet + chain->length);
	oc->slot = NULL;
	if (w->chains.last == oc)
		w->chains.last = NULL;
	scratch_put(w, slot);
}

/* The open chain that was begun first, or NULL. */
static struct open_chain *oldest(struct chains *c)
{
	struct open_chain *found = NULL;

	for (int i = 0; i < CHAINS_MAX; i++)
		if (c->open[i].slot && (!found || c->open[i].order < found->order))
			found = &c->open[i];
	return found;
}

static void close_all(struct worker *w)
{
	struct open_chain *oc;

	while ((oc = oldest(&w->chains)))
		chain_close(w, oc);
}

static struct open_chain *chain_of(struct chains *c, const struct tunnel *tunnel,
				   const uint8_t *packet, const struct inner *inner)
{
	for (int i = 0; i < CHAINS_MAX; i++) {
		struct open_chain *oc = &c->open[i];
		if (oc->slot && oc->tunnel == tunnel && join_same_flow(&oc->chain, packet, inner))
			return oc;
	}
	return NULL;
}

static void chain_begin(struct worker *w, struct write_slot *slot, uint8_t *packet, uint32_t length,
			const struct inner *inner, const struct tunnel *tunnel)
{
	struct chains *c = &w->chains;
	struct open_chain *oc = NULL;

	scratch_take(w, slot);
	for (int i = 0; i < CHAINS_MAX && !oc; i++)
		if (!c->open[i].slot)
			oc = &c->open[i];
	if (!oc) {
		oc = oldest(c);
		chain_close(w, oc);
	}
	oc->slot = slot;
	oc->tunnel = tunnel;
	oc->order = c->opened++;
	join_begin(&oc->chain, packet, length, (uint32_t)(slot->bytes + SLOT_BYTES - packet),
		   inner);
	c->last = oc;
}

void chains_add(struct worker *w, struct write_slot *slot, uint8_t *packet, uint32_t length,
		const struct inner *inner, const struct tunnel *tunnel)
{
	enum join_kind kind = join_classify(packet, length, inner, w->tso, w->uso);
	struct open_chain *oc;

	switch (kind) {
	case JOIN_DATA:
		oc = chain_of(&w->chains, tunnel, packet, inner);
		if (oc) {
			uint32_t copied = join_append(&oc->chain, packet, length, inner, kind);
			if (copied) {
				count_stat(w->counters, STAT_COPIED_BYTES, copied);
				w->chains.last = oc;
				return;
			}
			chain_close(w, oc);
		}
		chain_begin(w, slot, packet, length, inner, tunnel);
		return;
	case JOIN_ALONE:
		oc = chain_of(&w->chains, tunnel, packet, inner);
		if (oc)
			chain_close(w, oc);
		break;
	case JOIN_BARRIER:
		close_all(w);
		break;
	case JOIN_PURE_ACK:
		break;
	}
	chains_write(w, slot, packet, length);
}

void chains_flush(struct worker *w)
{
	struct chains *c = &w->chains;

	close_all(w);
	while (c->scratch_count > 0)
		io_write_slot_done(w->io, c->scratch[--c->scratch_count]);
}
