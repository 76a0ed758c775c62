/*
 * train.c - sealed datagrams of one size to one endpoint stand one behind the other and leave as
 * one send.
 *
 * A train ends when the endpoint or the size changes, behind a shorter datagram (the kernel takes
 * one short segment, at the end), when it is full, and at the end of the turn: nothing waits for
 * more.
 *
 * Datagrams of different flow labels stand in different trains, because the receiver's kernel
 * steers a whole train by its first label. A label has one place, label modulo TRAINS_MAX, so the
 * order of its flows is kept; where more labels are in use, they take turns in it.
 */
#include "worker.h"

#include <errno.h>

#include "sockaddr.h"

/*
 * Send slots that packets datagrams of bytes in all take at worst. A run may have to close the open
 * train, and its first and last datagrams may not fit either.
 */
#define TRAIN_SLOTS_MAX(packets, bytes)                                                            \
	((packets) / GSO_SEGMENTS_MAX + (bytes) / (GSO_BYTES_MAX - DATAGRAM_MAX) + 3)
_Static_assert(TRAIN_SLOTS_MAX(RUN_SEGMENTS_MAX,
			       65535 + RUN_SEGMENTS_MAX * (INNER_HEADER_MAX + 2 * WIRE_OVERHEAD)) <=
		       SEND_SLOTS,
	       "a run that is not refused fits the send slots");

static void train_send(struct worker *w, struct train *train)
{
	if (train->slot)
		io_send(w->io, train->slot);
	train->slot = NULL;
}

void train_close(struct worker *w)
{
	for (uint32_t i = 0; i < TRAINS_MAX; i++)
		train_send(w, &w->trains[i]);
}

static bool train_takes(const struct train *train, const struct remote *remote, uint16_t label,
			uint32_t bytes)
{
	const struct send_slot *slot = train->slot;

	return slot && train->remote == remote && train->label == label && !train->ended &&
	       bytes <= slot->segment_bytes && slot->count < train->count_max &&
	       slot->length + bytes <= GSO_BYTES_MAX;
}

static bool train_begin(struct worker *w, struct train *train, const struct tunnel *tunnel,
			const struct remote *remote, uint16_t label, uint32_t bytes)
{
	struct send_slot *slot = io_send_slot(w->io);

	if (!slot)
		return false;
	slot->to = remote->sockaddr;
	slot->to_bytes = remote->sockaddr_bytes;
	slot->tunnel = tunnel->id;
	slot->segment_bytes = bytes;
	if (!remote_takes_gso((struct remote *)remote, bytes, w->now_s))
		slot->singles = true;
	train->slot = slot;
	train->remote = remote;
	train->label = label;
	train->count_max = GSO_SEGMENTS_MAX;
	train->ended = false;
	return true;
}

uint8_t *train_room(struct worker *w, const struct tunnel *tunnel, const struct remote *remote,
		    uint16_t label, uint32_t bytes)
{
	struct train *train = &w->trains[label % TRAINS_MAX];

	if (!train_takes(train, remote, label, bytes)) {
		train_send(w, train);
		if (!train_begin(w, train, tunnel, remote, label, bytes))
			return NULL;
	}
	struct send_slot *slot = train->slot;
	uint8_t *room = slot->bytes + slot->length;
	slot->length += bytes;
	slot->count++;
	train->ended = bytes < slot->segment_bytes;
	return room;
}

bool train_possible(const struct worker *w, uint32_t packets, uint32_t bytes)
{
	uint32_t slots = TRAIN_SLOTS_MAX(packets, bytes);

	/* what needs more than there are is refused by name when it is cut, and must not stop here
	 */
	return io_send_slots_free(w->io) >= (slots < SEND_SLOTS ? slots : SEND_SLOTS);
}

int train_send_single(struct worker *w, const struct endpoint *to, struct tunnel_id tunnel,
		      const uint8_t *bytes, uint32_t length)
{
	union sockaddr_ip address;
	socklen_t address_bytes = endpoint_to_sockaddr(to, w->udp_v6, &address);

	if (address_bytes == 0)
		return -EAFNOSUPPORT;
	train_close(w);
	struct send_slot *slot = io_send_slot(w->io);
	if (!slot)
		return -ENOBUFS;
	slot->to = address;
	slot->to_bytes = address_bytes;
	slot->tunnel = tunnel;
	slot->segment_bytes = slot->length = length;
	slot->count = 1;
	memcpy(slot->bytes, bytes, length);
	io_send(w->io, slot);
	return 0;
}
