/*
 * inbound.c - the road from the socket to the tun: trains become runs (PROTOCOL.md 1.6, 4.3).
 *
 * A train is what one receive brought: datagrams of one size from one source. GRO looks at the
 * first datagram only, so a train is first split into runs of one message type, one index and one
 * worker that they are for. Exits of a datagram: UDP_*, INDEX_*, in clear (clear.c), passed on to
 * its worker (HANDOVER_FULL), RELAY_NESTED, taken as a relay frame (relay.c), or opened as part of
 * a run (inbound_run.c). What frames hold goes the same road, but gets no recv_error, moves no
 * tunnel, stays with this worker, and may be no frame.
 */
#include "inbound_run.h"

/* The worker that a datagram is for, by its flow label; OWNER_NONE: whoever has it. Of sparse flows
 * it is OWNER_SPARSE, and whoever has it may work on it. */
static uint32_t owner_of(const struct worker *w, const uint8_t *datagram)
{
	uint16_t label = wire_label(datagram);

	if (w->sparse)
		return label == WIRE_LABEL_SPARSE ? OWNER_SPARSE : OWNER_NONE;
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

/* Finds the tunnel that a run is for, and the worker. */
static void run_dispatch(struct worker *w, struct inbound_run *run, uint32_t index,
			 const struct arrival *arrival)
{
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
	if (w->spread && run->owner != OWNER_NONE && run->owner != w->queue && !run->via) {
		pass_on(w, run, arrival);
		return;
	}
	inbound_run_open(w, run);
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
			run_dispatch(w, &run, wire_remote_index(datagram), arrival);
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
	if (snapshot_in_networks(w->snapshot, &train->source.addr)) { /* a routing loop */
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
