/*
 * hostmap.h - the two tables that lead a worker to a tunnel, and the tunnels' memory.
 *
 * Control alone changes them, one entry at a time; workers look up under RCU. Neither table resizes
 * itself (liburcu's lfht would allocate and start threads). Implemented by
 * dataplane/lookup/hostmap.c on liburcu's lfht.
 */
#ifndef M57_HOSTMAP_H
#define M57_HOSTMAP_H

#include "card.h"
#include "rcu.h"
#include "tunnel.h"

struct hostmap; /* both tables and the tunnel slots */

/*
 * What a relay index leads to (PROTOCOL.md 7). Immutable; replaced as a whole. Both tunnels are
 * published at least as long as the entry names them.
 */
struct relay_entry {
	struct tunnel *in;  /* its peer alone may use the index: its keys authenticate the frames */
	bool forwarding;    /* else we are the end, and the frame holds a packet for us */
	struct tunnel *out; /* forwarding: where frames go on; NULL: the other side is not there */
	uint32_t out_index; /* the index of out's peer */
};

/*
 * Local index -> tunnel, or pending: our stage 1 or stage 2 may already be on the wire. Relays have
 * their indexes in the same space; theirs lead to no tunnel.
 */
struct index_entry {
	struct cds_lfht_node node;
	uint32_t index;                 /* host order; never 0 */
	struct tunnel *tunnel;          /* RCU; NULL while pending */
	struct relay_entry *relay;      /* RCU; NULL: no relay */
	_Atomic uint64_t relay_used_ns; /* coarse monotonic; of the last frames on it; 0: none */
};

/* Overlay address -> primary tunnel. Present without a tunnel while runs wait for one. */
struct host_entry {
	struct cds_lfht_node node;
	struct addr addr;
	struct tunnel *tunnel; /* RCU; NULL: punt the run to control */
	struct tunnel *next;   /* RCU; unconfirmed, beside tunnel; NULL: none. See host_tunnel() */
	/*
	 * Bit i: runs that worker i punted for this host may still be with control, so worker i
	 * leaves its tun queue standing. Control sets it, worker i clears it on ORDER_RESUME_END.
	 */
	_Atomic uint64_t held_queues;
	struct host_card *card; /* RCU; lighthouse: what is said about the host; NULL: nothing */
	_Atomic uint64_t punch_full_ns; /* workers: orders to punch that it got, see query.c */
};
_Static_assert(QUEUES_MAX <= 64, "host_entry.held_queues has a bit per queue");

/* --- workers (registered RCU readers, online) --- */

/* NULL: unknown index. */
struct index_entry *hostmap_by_index(struct hostmap *map, uint32_t index);
/* NULL: no packet for it has come by, and it has no tunnel. */
struct host_entry *hostmap_by_addr(struct hostmap *map, const struct addr *addr);
/*
 * The tunnel for what goes to host now; NULL: none, punt. A peer that has lost its tunnel makes a
 * new one, and its first packet over that is often answered before control has heard of it: an
 * answer over the old one would be lost. So workers turn to the next tunnel as soon as one of them
 * has seen something authentic on it (PROTOCOL.md 2.11), and control makes it the first after that.
 */
static inline struct tunnel *host_tunnel(const struct host_entry *host)
{
	struct tunnel *tunnel = RCU_READ(host->tunnel), *next = RCU_READ(host->next);

	return tunnel && next && tunnel_proved(next) ? next : tunnel;
}
/* The published tunnel named by id, or NULL when it has gone: published by hostmap_index_publish,
 * gone with hostmap_index_remove. Callable by workers and control. */
struct tunnel *hostmap_by_id(struct hostmap *map, struct tunnel_id id);

/* --- control: the one writer, and need not be a registered reader (why: hostmap.c) --- */

/* NULL: no memory. The key arena is locked and kept out of dumps; *locked says if the lock held. */
struct hostmap *hostmap_create(bool *locked);
/* Tunnels from now on have a replay window for each of so many workers (tunnel.windows). At most
 * once. 0 or -ENOMEM. */
int hostmap_spread(struct hostmap *map, uint32_t queues);
/* And a mark for each of so many workers (tunnel.unsent), as often. 0 or -ENOMEM. */
int hostmap_share(struct hostmap *map, uint32_t queues);
/* Every tunnel must have been freed; no worker may run. */
void hostmap_destroy(struct hostmap *map);

/*
 * A tunnel with id, zeroed keys in the arena and a replay window that has 0, 1 and 2 marked;
 * counter is 2, so the first packet has COUNTER_FIRST. NULL when TUNNELS_MAX are in use.
 */
struct tunnel *tunnel_allocate(struct hostmap *map);
/* Wipes the keys, frees addrs, remote, path, rules and prefixes (each one block of malloc; the bit
 * arrays of rules lie in its block), gives the slot back. Only after a grace period behind the last
 * unpublish, or when it was never published. */
void tunnel_free(struct hostmap *map, struct tunnel *tunnel);

/* Publishes index as pending. -EEXIST when taken, -EINVAL for 0, -ENOMEM. */
int hostmap_index_reserve(struct hostmap *map, uint32_t index);
/* Makes a reserved index lead to tunnel (its local_index). -ENOENT when it was not reserved. */
int hostmap_index_publish(struct hostmap *map, struct tunnel *tunnel);
/* Makes a reserved index lead to a copy of relay, in place of what it led to. -ENOENT, -ENOMEM. */
int hostmap_relay_publish(struct hostmap *map, uint32_t index, const struct relay_entry *relay);
/* Takes the index away; the entry is freed with a later batch of garbage. */
void hostmap_index_remove(struct hostmap *map, uint32_t index);

/* The entry of addr, made when absent. NULL: no memory. Stays valid until hostmap_host_remove. */
struct host_entry *hostmap_host_obtain(struct hostmap *map, const struct addr *addr);
/* Takes the entry and its card away; freed with a later batch of garbage. */
void hostmap_host_remove(struct hostmap *map, const struct addr *addr);
/* How many indexes, pending ones included, and hosts workers can find. */
void hostmap_counts(const struct hostmap *map, size_t *indexes, size_t *hosts);
/* The host's card from now on: one block of malloc, taken over; NULL: none. The old one is freed
 * after a grace period. Without an entry of addr there is nowhere to hang it, and it is freed. */
void hostmap_card_publish(struct hostmap *map, const struct addr *addr, struct host_card *card);

/*
 * Hands garbage (removed entries, closed tunnels, replaced remotes, rules, snapshots) over:
 * release(object) runs on control's thread once a grace period has passed since the call: control
 * takes a batch, the reaper calls rcu_wait_for_readers(), control releases the batch. Never fails:
 * without memory for the note it waits for the grace period itself.
 */
void hostmap_defer(struct hostmap *map, void (*release)(struct hostmap *map, void *object),
		   void *object);
/* Takes what was deferred so far as one batch; NULL when there is none. Control thread. */
struct garbage *hostmap_garbage_take(struct hostmap *map);
/* Runs the releases of a batch after rcu_wait_for_readers(). Control thread. */
void hostmap_garbage_release(struct hostmap *map, struct garbage *batch);

#endif
