/*
 * inbound.c - the road from the socket to the tun (PROTOCOL.md 1.6, 4.3).
 *
 * A train is what one receive brought: datagrams of one size from one source. GRO looks at the
 * first datagram only, so a train is first split into runs of one message type, one index and one
 * worker that they are for. Exits of a datagram: UDP_*, INDEX_*, in clear (clear.c), passed on to
 * its worker (HANDOVER_FULL), REPLAY, AUTHENTICATION, RELAY_NESTED, INNER_PARSE, FIREWALL_*,
 * punted, taken as a relay frame (relay.c), or written to the tun. What frames hold goes the same
 * road, but gets no recv_error, moves no tunnel, stays with this worker, and may be no frame.
 *
 * The straight road. The first packet of a run is opened into a write slot, parsed and judged. The
 * next is opened so that its payload lands behind the first one's (join.h); when its header
 * continues the chain, that is all: no lookup, no firewall, no copy. The replay window is asked
 * once for all counters of the run before anything is opened and told once at the end which were
 * authentic. It must be told before anything that cannot be taken back (a write, a punt, a decision
 * on another chain), so settle() stands in front of those. Should another worker have been told of
 * the same counter meanwhile, the chain goes back to where it stood at the last settle().
 */
#include "worker.h"

#include <errno.h>

#include "crypto/replay.h"
#include "crypto/seal.h"
#include "filter/firewall.h"
#include "lookup/query.h"

#define OWNER_NONE UINT32_MAX

struct inbound_run {
	struct tunnel *tunnel;
	const struct endpoint *source;
	uint32_t via; /* as in struct arrival */
	enum wire_type type;
	uint32_t owner; /* worker that the datagrams are for, or OWNER_NONE */
	struct replay *window;
	bool mixed; /* as in struct arrival */
	uint32_t count;
	uint32_t settled; /* datagrams before this one are in the replay window */
	uint8_t *datagram[RUN_MAX];
	uint32_t bytes[RUN_MAX];
	uint64_t counter[RUN_MAX];
	bool fresh[RUN_MAX];     /* new to the replay window; false once it failed to open */
	struct open_chain *tail; /* the chain that grew since the last settle */
	struct chain mark;       /* and how it stood then */
};

/* ---- authentication -------------------------------------------------------------------------- */

/*
 * What an authenticated datagram says about the tunnel itself. Of one that came through a relay the
 * source is unknown. A tunnel without a direct path is made direct by control, but for messages:
 * a test request shows only that one direction is open.
 */
static void tunnel_is_alive(struct worker *w, struct tunnel *tunnel, const struct endpoint *source,
			    uint32_t via, bool message)
{
	const struct remote *remote = RCU_READ(tunnel->remote);
	bool moves = !via && (remote || message);

	if (atomic_load_explicit(&tunnel->last_in_ns, memory_order_relaxed) != w->now_ns)
		atomic_store_explicit(&tunnel->last_in_ns, w->now_ns, memory_order_relaxed);
	if (atomic_load_explicit(&tunnel->state, memory_order_relaxed) == TUNNEL_UNCONFIRMED)
		punt_tunnel_event(w, tunnel, TUNNEL_EVENT_CONFIRMED, PUNT_CONFIRMED,
				  moves ? source : NULL, 0);
	if (moves && (!remote || !endpoint_equal(&remote->to, source)))
		punt_tunnel_event(w, tunnel, TUNNEL_EVENT_ROAM, PUNT_ROAM, source, 0);
}

void inbound_alive(struct worker *w, struct tunnel *tunnel, const struct endpoint *source)
{
	tunnel_is_alive(w, tunnel, source, 0, false);
}

/*
 * Some of the authentic datagrams were known by now. When the tail has grown, all but the last were
 * joined to it, and one that was cannot be taken out of it alone: then all that it grew by goes.
 */
static void take_back(struct worker *w, struct inbound_run *run, uint32_t end, uint32_t authentic,
		      uint32_t kept)
{
	bool has_tail = run->tail && run->tail->slot;
	uint32_t grown = has_tail ? run->tail->chain.count - run->mark.count : 0;
	uint32_t lost = authentic - kept, lost_alone = lost;

	if (grown > 0)
		lost_alone = authentic > grown && !run->fresh[end - 1];
	if (lost == lost_alone)
		grown = 0;
	else if (has_tail)
		run->tail->chain = run->mark;
	count_drop(w->counters, DROP_REPLAY, grown + lost_alone);
}

/* Tells the replay window of datagrams up to, not including, end. */
static void settle(struct worker *w, struct inbound_run *run, uint32_t end)
{
	uint32_t first = run->settled, authentic = 0;

	for (uint32_t i = first; i < end; i++)
		authentic += run->fresh[i];
	run->settled = end;
	if (authentic > 0) {
		uint32_t kept = replay_commit(run->window, run->counter + first, end - first,
					      run->fresh + first);
		if (kept < authentic)
			take_back(w, run, end, authentic, kept);
		if (kept > 0)
			tunnel_is_alive(w, run->tunnel, run->source, run->via,
					run->type == WIRE_MESSAGE);
		if (kept > 0 && run->owner != OWNER_NONE &&
		    !atomic_load_explicit(&run->tunnel->labelled, memory_order_relaxed))
			atomic_store_explicit(&run->tunnel->labelled, 1, memory_order_relaxed);
		if (kept > 0 && run->mixed)
			handover_mixed(w);
	}
	run->tail = w->chains.last;
	if (run->tail)
		run->mark = run->tail->chain;
}

static bool open_datagram(struct worker *w, struct inbound_run *run, uint32_t i, uint8_t *out)
{
	if (seal_open(run->tunnel, run->datagram[i], run->bytes[i], out) == 0)
		return true;
	run->fresh[i] = false;
	count_drop(w->counters, DROP_AUTHENTICATION, 1);
	return false;
}

/* ---- messages: inner packets ----------------------------------------------------------------- */

static bool allowed(struct worker *w, struct tunnel *tunnel, const uint8_t *packet,
		    const struct inner *inner)
{
	struct judged *judged = &w->judged;

	if (judged->tunnel == tunnel &&
	    memcmp(&judged->flow, &inner->flow, sizeof(inner->flow)) == 0)
		return true;
	enum drop reason = firewall_check(w->conntrack, w->snapshot, tunnel,
					  tunnel_rules(tunnel, w->snapshot->rules_version),
					  &inner->flow, INBOUND, w->now_s, w->counters);
	if (reason != DROP_NONE) {
		count_drop(w->counters, reason, 1);
		refuse_inbound(w, tunnel, packet, inner, reason);
		return false;
	}
	*judged = (struct judged){.tunnel = tunnel, .flow = inner->flow};
	return true;
}

/* The straight road: true when datagram i has become part of the last chain, or has failed to open.
 */
static bool message_continues(struct worker *w, struct inbound_run *run, uint32_t i,
			      struct write_slot **slot, uint8_t **packet)
{
	struct open_chain *last = w->chains.last;
	uint32_t length = run->bytes[i] - WIRE_OVERHEAD;
	uint8_t saved[INNER_HEADER_MAX];
	struct inner inner;

	if (!last || last->tunnel != run->tunnel)
		return false;
	uint8_t *place = join_place(&last->chain, length, saved);
	if (!place)
		return false;
	if (!open_datagram(w, run, i, place)) {
		join_restore(&last->chain, saved);
		return true;
	}
	if (inner_parse(place, length, INBOUND, &inner) == DROP_NONE &&
	    join_accept(&last->chain, place, length, &inner,
			join_classify(place, length, &inner, w->tso, w->uso), saved))
		return true;

	/* it belongs elsewhere: the one copy, then the chain gets its bytes back */
	*packet = chains_room(w, length, slot);
	if (*packet) {
		memcpy(*packet, place, length);
		count_stat(w->counters, STAT_COPIED_BYTES, length);
	}
	join_restore(&last->chain, saved);
	if (!*packet) {
		run->fresh[i] = false;
		count_drop(w->counters, DROP_WRITE_ERROR, 1);
		return true;
	}
	return false;
}

static void message(struct worker *w, struct inbound_run *run, uint32_t i)
{
	uint32_t length = run->bytes[i] - WIRE_OVERHEAD;
	struct write_slot *slot = NULL;
	uint8_t *packet = NULL;
	struct inner inner;

	if (message_continues(w, run, i, &slot, &packet))
		return;
	if (!packet) {
		packet = chains_room(w, length, &slot);
		if (!packet) {
			run->fresh[i] = false;
			count_drop(w->counters, DROP_WRITE_ERROR, 1);
			return;
		}
		if (!open_datagram(w, run, i, packet))
			return;
	}
	settle(w, run, i + 1);
	if (!run->fresh[i])
		return;
	enum drop reason = inner_parse(packet, length, INBOUND, &inner);
	if (reason != DROP_NONE)
		count_drop(w->counters, reason, 1);
	else if (allowed(w, run->tunnel, packet, &inner)) {
		chains_add(w, slot, packet, inner.ip_length, &inner, run->tunnel);
		run->tail = w->chains.last;
		if (run->tail)
			run->mark = run->tail->chain;
	}
}

/* Without a tun there is nothing to join and nowhere to write to. */
static void message_without_tun(struct worker *w, struct inbound_run *run, uint32_t i)
{
	uint8_t packet[DATAGRAM_MAX];
	struct inner inner;

	if (!open_datagram(w, run, i, packet))
		return;
	settle(w, run, i + 1);
	if (!run->fresh[i])
		return;
	enum drop reason = inner_parse(packet, run->bytes[i] - WIRE_OVERHEAD, INBOUND, &inner);
	if (reason == DROP_NONE) {
		if (!allowed(w, run->tunnel, packet, &inner))
			return;
		reason = echo_answer(w, run->tunnel, packet, &inner);
	}
	if (reason != DROP_NONE)
		count_drop(w->counters, reason, 1);
}

/* ---- the other encrypted types: opened for control ------------------------------------------- */

static void punted(struct worker *w, struct inbound_run *run, uint32_t i, enum wire_type type)
{
	struct punt *punt =
		run->bytes[i] <= PUNT_BYTES ? punt_take(w, POOL_CLASS_OPENED, PUNT_OPENED) : NULL;

	if (!punt) {
		run->fresh[i] = false;
		count_drop(w->counters, DROP_PUNT_POOL, 1);
		return;
	}
	if (open_datagram(w, run, i, punt->bytes))
		settle(w, run, i + 1);
	if (!run->fresh[i]) {
		punt_release(punt);
		return;
	}
	punt->wire = type;
	punt->tunnel = run->tunnel->id;
	punt->source = *run->source;
	punt->via = run->via;
	punt->length = run->bytes[i] - WIRE_OVERHEAD;
	punt_send(w, punt);
}

static void hand_over(struct worker *w, const struct inbound_run *run, const uint8_t *plain,
		      uint32_t length)
{
	struct punt *punt = punt_take(w, POOL_CLASS_OPENED, PUNT_OPENED);

	if (!punt) {
		count_drop(w->counters, DROP_PUNT_POOL, 1);
		return;
	}
	memcpy(punt->bytes, plain, length);
	punt->wire = WIRE_LIGHTHOUSE;
	punt->tunnel = run->tunnel->id;
	punt->source = *run->source;
	punt->via = run->via;
	punt->length = length;
	punt_send(w, punt);
}

/* A lighthouse's: plain questions are answered here, all else is for control. */
static void lighthouse_messages(struct worker *w, struct inbound_run *run)
{
	uint8_t plain[RUN_MAX][QUERY_BYTES_MAX];

	for (uint32_t i = 0; i < run->count; i++) {
		if (!run->fresh[i])
			continue;
		if (run->bytes[i] > QUERY_BYTES_MAX + WIRE_OVERHEAD)
			punted(w, run, i, WIRE_LIGHTHOUSE);
		else
			open_datagram(w, run, i, plain[i]);
	}
	settle(w, run, run->count);
	for (uint32_t i = 0; i < run->count; i++) {
		uint32_t length = run->bytes[i] - WIRE_OVERHEAD;

		if (!run->fresh[i] || length > QUERY_BYTES_MAX)
			continue;
		if (!answer_query(w, run->tunnel, plain[i], length))
			hand_over(w, run, plain[i], length);
	}
}

/* ---- runs ------------------------------------------------------------------------------------ */

/* The worker that a datagram is for, by its flow label; OWNER_NONE: whoever has it. */
static uint32_t owner_of(const struct worker *w, const uint8_t *datagram)
{
	uint16_t label = wire_label(datagram);

	if (!w->spread || label == WIRE_LABEL_NONE)
		return OWNER_NONE;
	return label_owner(wire_remote_index(datagram), label, w->queues);
}

static void pass_on(struct worker *w, const struct inbound_run *run, const struct arrival *arrival)
{
	uint32_t last = run->count - 1;
	uint32_t length = (uint32_t)(run->datagram[last] - run->datagram[0]) + run->bytes[last];
	bool mixed = owner_of(w, arrival->packet) == w->queue;

	if (handover_add(w, run->owner, run->source, run->datagram[0], length,
			 arrival->segment_bytes, mixed))
		count_stat(w->counters, STAT_HANDED_OVER, run->count);
	else
		count_drop(w->counters, DROP_HANDOVER_FULL, run->count);
}

static void inbound_run(struct worker *w, struct inbound_run *run, uint32_t index,
			const struct arrival *arrival)
{
	enum wire_type type = run->type;
	struct index_entry *entry = hostmap_by_index(w->map, index);

	if (!entry) {
		count_drop(w->counters, DROP_INDEX_UNKNOWN, run->count);
		if (!run->via)
			clear_disown(w, run->source, index);
		return;
	}
	run->tunnel = RCU_READ(entry->tunnel);
	if (!run->tunnel) {
		count_drop(w->counters, DROP_INDEX_PENDING, run->count);
		return;
	}
	if (run->owner != OWNER_NONE && run->owner != w->queue && !run->via) {
		pass_on(w, run, arrival);
		return;
	}
	run->window = run->owner != OWNER_NONE && run->tunnel->windows
			      ? &run->tunnel->windows[run->owner]
			      : &run->tunnel->replay;
	uint32_t fresh = replay_check(run->window, run->counter, run->count, run->fresh);
	if (fresh < run->count)
		count_drop(w->counters, DROP_REPLAY, run->count - fresh);
	run->settled = 0;
	run->tail = w->chains.last;
	if (run->tail)
		run->mark = run->tail->chain;
	if (type == WIRE_LIGHTHOUSE && w->snapshot->am_lighthouse) {
		lighthouse_messages(w, run);
		return;
	}
	for (uint32_t i = 0; i < run->count; i++) {
		if (!run->fresh[i])
			continue;
		if (type == WIRE_MESSAGE && w->has_tun)
			message(w, run, i);
		else if (type == WIRE_MESSAGE)
			message_without_tun(w, run, i);
		else
			punted(w, run, i, type);
	}
	settle(w, run, run->count);
}

/* Is this source one of our own overlay addresses' networks? Then a routing loop has brought it. */
static bool from_overlay(const struct worker *w, const struct endpoint *source)
{
	for (uint32_t i = 0; i < w->snapshot->network_count; i++)
		if (prefix_contains(&w->snapshot->networks[i], &source->addr))
			return true;
	return false;
}

/* Datagrams of this length and first bytes, before any tunnel is known: DROP_NONE and the type. */
static enum drop classify(const uint8_t *datagram, uint32_t bytes, enum wire_type *type)
{
	if (bytes == 0)
		return DROP_UDP_EMPTY;
	if (bytes == 1)
		return DROP_UDP_PUNCH;
	if (bytes < WIRE_HEADER_BYTES)
		return DROP_UDP_SHORT;
	/* A stock peer could not receive it either. Everything behind trusts this bound. */
	if (bytes > DATAGRAM_MAX)
		return DROP_UDP_TRUNCATED;
	int found = wire_type_of(datagram);
	if (found < 0)
		return DROP_UDP_TYPE;
	*type = (enum wire_type)found;
	return DROP_NONE;
}

/* The datagram at offset at of arrival, without what a frame has around it: its bytes. */
static uint32_t datagram_bytes(const struct arrival *arrival, uint32_t at)
{
	uint32_t left = arrival->length - at;

	return (left > arrival->segment_bytes ? arrival->segment_bytes : left) - arrival->trim;
}

/* Takes datagrams from *at on that are one run; returns false at one that is no encrypted packet.
 */
static bool gather(const struct worker *w, const struct arrival *arrival, uint32_t *at,
		   struct inbound_run *run, uint32_t index)
{
	const uint8_t *first = arrival->packet + *at;
	uint16_t label = wire_label(first);

	run->owner = run->type == WIRE_MESSAGE ? owner_of(w, first) : OWNER_NONE;
	run->count = 0;
	while (*at < arrival->length && run->count < RUN_MAX) {
		uint8_t *datagram = arrival->packet + *at;
		uint32_t bytes = datagram_bytes(arrival, *at);
		if (bytes < WIRE_OVERHEAD || wire_type_of(datagram) != (int)run->type ||
		    wire_remote_index(datagram) != index)
			break;
		if (wire_label(datagram) != label && run->type == WIRE_MESSAGE &&
		    owner_of(w, datagram) != run->owner)
			break;
		run->datagram[run->count] = datagram;
		run->bytes[run->count] = bytes;
		run->counter[run->count] = wire_counter(datagram);
		run->count++;
		*at += bytes + arrival->trim;
	}
	return run->count > 0;
}

/* An encrypted datagram that no run begins with. */
static void odd_datagram(struct worker *w, const struct arrival *arrival, const uint8_t *datagram)
{
	if (hostmap_by_index(w->map, wire_remote_index(datagram))) {
		count_drop(w->counters, DROP_UDP_SHORT, 1);
		return;
	}
	/* too short for a tag, but a bare header with an unknown index is answered too */
	count_drop(w->counters, DROP_INDEX_UNKNOWN, 1);
	if (!arrival->via)
		clear_disown(w, arrival->source, wire_remote_index(datagram));
}

void inbound_arrival(struct worker *w, const struct arrival *arrival)
{
	struct inbound_run run; /* large: its lists are filled as far as they are read */
	uint32_t at = 0;

	run.source = arrival->source;
	run.via = arrival->via;
	run.mixed = arrival->mixed;
	while (at < arrival->length) {
		const uint8_t *datagram = arrival->packet + at;
		uint32_t bytes = datagram_bytes(arrival, at);

		enum drop reason = classify(datagram, bytes, &run.type);
		/* a frame in a frame would go round and round */
		if (reason == DROP_NONE && run.type == WIRE_RELAY && arrival->via)
			reason = DROP_RELAY_NESTED;
		if (reason != DROP_NONE) {
			count_drop(w->counters, reason, 1);
		} else if (wire_encryption_of(run.type) == WIRE_CLEAR) {
			clear_datagram(w, arrival, run.type, datagram, bytes);
		} else if (run.type == WIRE_RELAY && bytes >= WIRE_OVERHEAD) {
			relay_frames(w, arrival, &at);
			continue;
		} else if (gather(w, arrival, &at, &run, wire_remote_index(datagram))) {
			inbound_run(w, &run, wire_remote_index(datagram), arrival);
			continue;
		} else {
			odd_datagram(w, arrival, datagram);
		}
		at += bytes + arrival->trim;
	}
}

void inbound_train(struct worker *w, const struct io_event *train)
{
	uint32_t packets = train->length ? (train->length - 1) / train->segment_bytes + 1 : 1;

	if (train->type == IO_HANDED) {
		count_stat(w->counters, STAT_HANDED_TAKEN, packets);
	} else {
		count_stat(w->counters, STAT_UDP_RECEIVES, 1);
		count_stat(w->counters, STAT_UDP_RECEIVED, packets);
	}
	PROBE(run_in, w->queue, packets, train->length);
	if (train->length == 0) {
		count_drop(w->counters, DROP_UDP_EMPTY, 1);
		return;
	}
	if (from_overlay(w, &train->source)) {
		count_drop(w->counters, DROP_UDP_FROM_OVERLAY, packets);
		return;
	}
	inbound_arrival(w, &(struct arrival){
				   .source = &train->source,
				   .packet = train->packet,
				   .length = train->length,
				   .segment_bytes = train->segment_bytes,
				   .buffer = train->buffer,
				   .mixed = train->type == IO_HANDED && train->handover->mixed,
			   });
}
