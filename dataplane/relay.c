/*
 * relay.c - frames of a relay (PROTOCOL.md 7.3): those for us are taken off their packet, those for
 * others sent on.
 *
 * Exits of a frame: INDEX_UNKNOWN (answered with recv_error), RELAY_UNKNOWN, INDEX_PENDING, REPLAY,
 * AUTHENTICATION, RELAY_NO_PATH, COUNTER_LIMIT, SEND_ERROR, sent on, or its packet goes the inbound
 * road.
 *
 * A frame is a header, a whole packet, and a tag over both; nothing is encrypted. So the packet
 * never moves. As an end, we check the frames of a run, and hand the packets on where they lie. As
 * the node between, we write the next hop's header and tag over those that came, and the receive
 * buffer itself leaves as one send: a train in, a train out, no byte copied. io.h keeps the buffer
 * until the kernel has taken it.
 *
 * Which peer may use an index: the one whose tunnel the entry names, since only its keys make the
 * tag. A frame counts in the replay window of that tunnel, so it is not sent on twice.
 */
#include "worker.h"

#include <errno.h>

#include "crypto/replay.h"
#include "crypto/seal.h"

/* Frames of one index and one label, one behind the other. */
struct frames {
	uint8_t *first;
	uint16_t label;
	uint32_t count, stride; /* of each but the last */
	uint32_t length;        /* of all */
	uint64_t counter[RUN_MAX];
	bool fresh[RUN_MAX]; /* new and authentic */
};

static uint8_t *frame_at(const struct frames *f, uint32_t i)
{
	return f->first + (size_t)i * f->stride;
}

static uint32_t frame_bytes(const struct frames *f, uint32_t i)
{
	return i + 1 < f->count ? f->stride : f->length - i * f->stride;
}

/* Bytes of frames from i to, not including, end. */
static uint32_t stretch_bytes(const struct frames *f, uint32_t i, uint32_t end)
{
	return (end - i - 1) * f->stride + frame_bytes(f, end - 1);
}

static void gather(const struct arrival *a, uint32_t *at, struct frames *f, uint32_t index)
{
	f->first = a->packet + *at;
	f->label = wire_label(f->first);
	f->stride = a->segment_bytes;
	f->count = f->length = 0;
	while (*at < a->length && f->count < RUN_MAX) {
		const uint8_t *frame = a->packet + *at;
		uint32_t bytes = a->length - *at;
		if (bytes > a->segment_bytes)
			bytes = a->segment_bytes;
		if (bytes < WIRE_OVERHEAD || wire_type_of(frame) != WIRE_RELAY ||
		    wire_remote_index(frame) != index || wire_label(frame) != f->label)
			break;
		f->counter[f->count++] = wire_counter(frame);
		f->length += bytes;
		*at += bytes;
	}
}

/* Who sent them, and not before? False: nobody did. */
static bool authenticate(struct worker *w, struct tunnel *tunnel, struct frames *f)
{
	struct replay *window = label_window(w, tunnel, f->label);
	uint32_t fresh = replay_check(window, f->counter, f->count, f->fresh);
	uint32_t authentic = 0, repeated = 0;
	uint64_t highest = 0;

	for (uint32_t i = 0; i < f->count && fresh > 0; i++) {
		if (!f->fresh[i])
			continue;
		if (replay_repeated(f->counter, f->fresh, i, &highest)) {
			f->fresh[i] = false;
			repeated++;
			continue;
		}
		f->fresh[i] = seal_check_frame(tunnel, frame_at(f, i), frame_bytes(f, i)) == 0;
		authentic += f->fresh[i];
	}
	fresh -= repeated;
	if (authentic < fresh)
		count_drop(w->counters, DROP_AUTHENTICATION, fresh - authentic);
	uint32_t kept = authentic ? replay_commit(window, f->counter, f->count, f->fresh) : 0;
	uint32_t replayed = f->count - fresh + (authentic - kept);
	if (replayed > 0)
		count_drop(w->counters, DROP_REPLAY, replayed);
	if (kept > 0 && window != &tunnel->replay)
		tunnel_labelled(tunnel);
	return kept > 0;
}

/* From i on: the next frames that are fresh, as many as one send takes. False: there are none. */
static bool stretch(const struct frames *f, uint32_t *i, uint32_t *end)
{
	while (*i < f->count && !f->fresh[*i])
		++*i;
	*end = *i;
	while (*end < f->count && f->fresh[*end] && stretch_bytes(f, *i, *end + 1) <= GSO_BYTES_MAX)
		++*end;
	return *end > *i;
}

static enum drop forward(struct worker *w, const struct arrival *a, const struct relay_entry *relay,
			 const struct frames *f, uint32_t i, uint32_t end)
{
	struct remote *remote = relay->out ? RCU_READ(relay->out->remote) : NULL;
	uint64_t counter;

	if (!remote)
		return DROP_RELAY_NO_PATH;
	struct send_slot *slot = io_send_slot(w->io);
	if (!slot)
		return DROP_SEND_ERROR;
	if (!outbound_reserve(w, relay->out, end - i, &counter)) {
		io_send_slot_back(w->io, slot);
		return DROP_COUNTER_LIMIT;
	}
	for (uint32_t k = i; k < end; k++)
		seal_frame(relay->out, relay->out_index, w->label, counter + (k - i),
			   frame_at(f, k), frame_bytes(f, k) - WIRE_OVERHEAD);
	io_send_borrow(w->io, slot, a->buffer, frame_at(f, i));
	slot->length = stretch_bytes(f, i, end);
	slot->count = end - i;
	slot->segment_bytes = slot->count > 1 ? f->stride : slot->length;
	slot->to = remote->sockaddr;
	slot->to_bytes = remote->sockaddr_bytes;
	slot->tunnel = relay->out->id;
	if (!remote_takes_gso(remote, slot->segment_bytes, w->now_s))
		slot->singles = true;
	io_send(w->io, slot);
	outbound_used(w, relay->out);
	count_stat(w->counters, STAT_RELAY_FORWARDED, end - i);
	return DROP_NONE;
}

static void unwrap(struct worker *w, const struct frames *f, uint32_t index, uint32_t i,
		   uint32_t end)
{
	static const struct endpoint nowhere;

	inbound_arrival(w, &(struct arrival){
				   .source = &nowhere,
				   .packet = frame_at(f, i) + WIRE_HEADER_BYTES,
				   .length = stretch_bytes(f, i, end),
				   .segment_bytes = f->stride,
				   .trim = WIRE_OVERHEAD,
				   .via = index,
			   });
}

void relay_frames(struct worker *w, const struct arrival *a, uint32_t *at)
{
	uint32_t index = wire_remote_index(a->packet + *at), end;
	struct index_entry *entry = hostmap_by_index(w->map, index);
	struct relay_entry *relay = entry ? RCU_READ(entry->relay) : NULL;
	struct frames f;

	gather(a, at, &f, index);
	if (!relay) {
		enum drop reason = !entry                    ? DROP_INDEX_UNKNOWN
				   : RCU_READ(entry->tunnel) ? DROP_RELAY_UNKNOWN
							     : DROP_INDEX_PENDING;
		count_drop(w->counters, reason, f.count);
		if (!entry)
			clear_recv_error(w, a->source, index);
		return;
	}
	if (!authenticate(w, relay->in, &f))
		return;
	inbound_alive(w, relay->in, a->source);
	atomic_store_explicit(&entry->relay_used_ns, w->now_ns, memory_order_relaxed);
	for (uint32_t i = 0; stretch(&f, &i, &end); i = end) {
		if (!relay->forwarding) {
			unwrap(w, &f, index, i, end);
			continue;
		}
		enum drop reason = forward(w, a, relay, &f, i, end);
		if (reason != DROP_NONE)
			count_drop(w->counters, reason, end - i);
	}
}

bool relay_permitted(const struct worker *w, const uint8_t *packet)
{
	struct index_entry *entry = hostmap_by_index(w->map, wire_remote_index(packet));
	const struct relay_entry *relay = entry ? RCU_READ(entry->relay) : NULL;

	return !relay || !relay->out || skew_permits(w, relay->out);
}

bool relay_way(const struct tunnel *tunnel, struct way *way)
{
	const struct relay_path *path;

	*way = (struct way){.remote = RCU_READ(tunnel->remote), .overhead = WIRE_OVERHEAD};
	if (way->remote)
		return true;
	path = RCU_READ(((struct tunnel *)tunnel)->path);
	if (!path)
		return false;
	way->via = path->via;
	way->index = path->index;
	way->remote = RCU_READ(path->via->remote);
	way->overhead = 2 * WIRE_OVERHEAD;
	return way->remote != NULL;
}

int relay_send(struct worker *w, struct tunnel *via, uint32_t index, const uint8_t *bytes,
	       uint32_t length)
{
	const struct remote *remote = RCU_READ(via->remote);
	uint8_t frame[DATAGRAM_MAX];
	uint64_t counter;

	if (length + WIRE_OVERHEAD > sizeof(frame))
		return -EMSGSIZE;
	if (!remote)
		return -EHOSTUNREACH;
	if (!outbound_reserve(w, via, 1, &counter))
		return -EKEYEXPIRED;
	memcpy(frame + WIRE_HEADER_BYTES, bytes, length);
	seal_frame(via, index, WIRE_LABEL_NONE, counter, frame, length);
	return train_send_single(w, &remote->to, via->id, frame, length + WIRE_OVERHEAD);
}
