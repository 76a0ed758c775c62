/*
 * rig.h - one worker on an engine that only takes notes: the roads without a kernel.
 *
 * rig.c implements the verbs of io/io.h. What the worker sends, writes and punts is kept here in
 * order; slots come from the heap, each on its own, so that a sanitizer sees the first byte too
 * many.
 */
#ifndef M57_TEST_RIG_H
#define M57_TEST_RIG_H

#include "unit/dataplane/packets.h"
#include "worker.h"

#define RIG_KEPT_MAX 4096

struct rig_sent { /* one io_send */
	uint8_t *bytes;
	uint32_t length, segment_bytes, count;
	bool singles, borrowed;
	struct tunnel_id tunnel;
	union sockaddr_ip to;
};

/* Is it of tunnel, to whose remote a refusal of its segments would count? */
static inline bool rig_sent_for(const struct rig_sent *sent, const struct tunnel *tunnel)
{
	return sent->tunnel.slot == tunnel->id.slot &&
	       sent->tunnel.generation == tunnel->id.generation;
}

struct rig_written { /* one io_write */
	uint8_t *bytes;
	uint32_t length;
	struct virtio_net_hdr vnet;
};

struct io {
	struct write_slot write_slots[WRITE_SLOTS];
	struct write_slot *free_writes[WRITE_SLOTS];
	uint32_t free_write_count;
	struct send_slot send_slots[SEND_SLOTS];
	struct send_slot *free_sends[SEND_SLOTS];
	uint32_t free_send_count;
	uint32_t sends_begun; /* slots taken that are not sent */
	bool send_blocked;
	bool keep_sends; /* sent slots do not come back */
	bool sending;    /* what io_sending() says */

	struct rig_sent sent[RIG_KEPT_MAX];
	uint32_t sent_count;
	struct rig_written written[RIG_KEPT_MAX];
	uint32_t written_count;
	struct handover *handed[RIG_KEPT_MAX];
	uint32_t handed_to[RIG_KEPT_MAX];
	uint32_t handed_count;
	struct punt *punts[RIG_KEPT_MAX];
	uint32_t punt_count;

	struct io_event events[256]; /* what io_next() hands out, for worker_main() */
	uint32_t event_head, event_count;
	uint32_t per_turn;   /* at most so many a turn; 0: all */
	uint32_t slow_after; /* so many in all, one a turn; 0: never */
	uint32_t taken;      /* in this turn */
	uint32_t slept, gathered, polled, released;
	bool ends;      /* each turn has an empty datagram */
	bool held_over; /* a turn has ended with a write slot still held */
	bool in_loop;   /* worker_main() runs: a reader, but for its turns of the ring */
};

/* The worker, its tables, and one tunnel (tunnel) to 10.0.0.1 at 192.0.2.1:4242; we are 10.0.0.2.
 */
struct rig {
	struct worker w;
	struct io io;
	struct counters counters;
	struct hostmap *map;
	struct snapshot snapshot, *published;
	struct rule rule;
	uint64_t bits;
	struct tunnel *tunnel;
	struct endpoint peer;  /* where the tunnel's remote is */
	struct tunnel as_peer; /* seals as the other end does, to our index */
	struct tunnel_keys peer_keys;
	uint16_t label;   /* of datagrams from the peer */
	uint64_t counter; /* of the next datagram from the peer */
	uint8_t datagrams[65536];
	uint32_t datagram_bytes, segment_bytes;
	uint8_t opened[65536];
};

#define RIG_INDEX      0x11223344u
#define RIG_PEER_INDEX 0x55667788u

struct rig *rig_create(bool has_tun);
void rig_destroy(struct rig *rig);
/* Another tunnel with the same keys; to is the peer's overlay address. Its index is rig's + n. */
struct tunnel *rig_tunnel(struct rig *rig, uint32_t n, const struct addr *to);

/* Appends one sealed datagram to the train in the making; all but the last are of one size. */
uint8_t *rig_add(struct rig *rig, uint32_t index, uint64_t counter, const uint8_t *packet,
		 uint32_t length);
/* Segment k of the peer's TCP flow from port, payload bytes in each; returns the packet's bytes. */
uint32_t rig_tcp(uint8_t *out, uint16_t port, uint32_t k, uint32_t payload);
/* Appends it, sealed under the next counter. */
void rig_add_tcp(struct rig *rig, uint16_t port, uint32_t k, uint32_t payload);
/* Appends raw bytes. */
void rig_add_raw(struct rig *rig, const void *bytes, uint32_t length);
/* Gives the train to the worker and begins the next one. */
void rig_receive(struct rig *rig);
void rig_receive_from(struct rig *rig, const struct endpoint *source);
/* Opens datagram k of what was sent n-th; its bytes in rig->opened, length returned, 0: it fails.
 */
uint32_t rig_open(struct rig *rig, uint32_t n, uint32_t k);

uint64_t rig_drops(const struct rig *rig, enum drop reason);
uint64_t rig_all_drops(const struct rig *rig);
uint64_t rig_stat(const struct rig *rig, enum statistic stat);
/* Forgets what was sent, written and punted. */
void rig_forget(struct rig *rig);
bool rig_slots_are_back(const struct rig *rig);

/* An order as control makes it, with these bytes, none where length is 0. The caller frees it. */
struct order *rig_order(enum order_type type, const void *bytes, uint32_t length);

/* What worker_main() finds: the datagrams that were added, as a train of the peer, and stop. */
void rig_train_then_stop(struct rig *rig, struct order *stop);

#endif
