/*
 * tunnel.h - one completed handshake with one peer, as the workers see it.
 *
 * Control allocates it (dataplane/lookup/hostmap.c), fills it, publishes it complete, and frees it
 * after a grace period. Fields are grouped by writer; groups start on their own cache line.
 *
 * Life: allocated -> published (by local index; and by address when it is the host's primary)
 *       -> unpublished -> grace period -> keys wiped, freed, the slot's generation raised.
 */
#ifndef M57_TUNNEL_H
#define M57_TUNNEL_H

#include <stdatomic.h>
#include <sys/socket.h>

#include "addr.h"
#include "aead.h"
#include "limits.h"
#include "rcu.h"
#include "rules.h"
#include "sockaddr.h"

/* Names a tunnel across threads where RCU does not guard its life. */
struct tunnel_id {
	uint32_t slot;
	uint32_t generation; /* 0 is no tunnel */
};

/* Both keys of a tunnel, in the locked arena (dataplane/crypto/arena.c). */
struct tunnel_keys {
	struct aead_key seal, open;
};

/* Where the peer is. Immutable but for the atomics; replaced as a whole when the peer roams. */
struct remote {
	struct endpoint to;
	union sockaddr_ip sockaddr; /* of the socket's family: v4-mapped on a dual-stack socket */
	socklen_t sockaddr_bytes;
	/* Largest segment, in UDP payload bytes, that may go as GSO; lowered when it is refused, */
	_Atomic uint32_t gso_segment_max;
	_Atomic uint32_t gso_again_s; /* and until then, on the workers' coarse clock */
};

/*
 * Segments of that many bytes were refused. Workers may learn of different ones at the same time:
 * the smallest counts.
 */
static inline void remote_lower_gso(struct remote *remote, uint32_t refused_bytes, uint32_t now_s)
{
	uint32_t now = atomic_load_explicit(&remote->gso_segment_max, memory_order_relaxed);

	atomic_store_explicit(&remote->gso_again_s, now_s + GSO_RETRY_S, memory_order_relaxed);
	while (now >= refused_bytes && refused_bytes > 0 &&
	       !atomic_compare_exchange_weak_explicit(&remote->gso_segment_max, &now,
						      refused_bytes - 1, memory_order_relaxed,
						      memory_order_relaxed))
		;
}

/* May segments of that many bytes go as GSO? What was refused is tried again after a while. */
static inline bool remote_takes_gso(struct remote *remote, uint32_t bytes, uint32_t now_s)
{
	if (bytes <= atomic_load_explicit(&remote->gso_segment_max, memory_order_relaxed))
		return true;
	if (now_s < atomic_load_explicit(&remote->gso_again_s, memory_order_relaxed))
		return false;
	atomic_store_explicit(&remote->gso_segment_max, DATAGRAM_MAX, memory_order_relaxed);
	return true;
}

#define REPLAY_WORDS (REPLAY_WINDOW / 64)

/*
 * Anti-replay window (PROTOCOL.md 4.4); the rules stand in dataplane/crypto/replay.h.
 *
 * While the counters of the first word have not been passed, that word is all there is to remember,
 * and it is kept here: most tunnels of a large node are idle and get no further. The whole window
 * lies in memory that was reserved at the start and costs nothing until it is touched.
 */
struct replay {
	_Alignas(64) _Atomic uint32_t
		lock;     /* spin; held for one run's counters, never across AEAD work */
	uint64_t current; /* highest authenticated counter */
	uint64_t *bits;   /* by counter modulo window: &first, and then full */
	uint64_t first;
	uint64_t *full; /* REPLAY_WORDS; zero until bits leads there */
};

/* The way to a peer that has no direct one (PROTOCOL.md 7.4). Immutable; replaced as a whole. */
struct relay_path {
	struct tunnel *via; /* with the relay; published at least as long as this path */
	uint32_t index;     /* the relay's, of the entry that leads to our peer */
};

enum tunnel_state {
	TUNNEL_UNCONFIRMED, /* responder side, nothing authenticated has come yet (2.11) */
	TUNNEL_CONFIRMED,
	TUNNEL_CLOSED, /* unpublished; packets already taken may still use it */
};

struct tunnel {
	/* --- set once by control, before publication --- */
	struct tunnel_id id;
	uint32_t local_index;  /* the peer writes it into packets to us */
	uint32_t remote_index; /* we write it into packets to the peer */
	struct tunnel_keys *keys;
	struct addr *addrs;      /* the peer's overlay addresses, in certificate order; */
	struct addr first;       /* where they are when there is one, else a block of their own */
	struct prefix *prefixes; /* its unsafe networks, owned by the tunnel */
	uint16_t addr_count, prefix_count;
	bool initiator; /* we began the handshake */

	/*
	 * Where flows spread: a window for each worker that owns some, by label_owner(). A label is
	 * authenticated, so a packet always comes to the same window; and a worker that is behind
	 * the others by more than a window does not find its packets too old. NULL: replay has all.
	 */
	_Alignas(64) struct replay *windows;
	_Atomic uint64_t *unsent; /* marks of the workers, dataplane/skew.h; NULL: only one */

	/* --- control writes, workers read by RCU_READ or atomically --- */
	struct remote *remote;   /* NULL: no direct path */
	struct relay_path *path; /* counts while remote is NULL; NULL: no path at all */
	/*
	 * By the last bit of the rules' version: a reload puts the bits of the next rules beside
	 * those in use before it publishes the snapshot that they belong to, so no packet ever
	 * finds rules that it cannot be judged by. Read with tunnel_rules().
	 */
	struct peer_rules *rules[2];
	_Atomic uint32_t state; /* enum tunnel_state */
	_Atomic uint32_t
		unanswered; /* 1: the peer does not answer; flows with another gateway take that */

	/* --- workers write --- */
	_Alignas(64) _Atomic uint64_t counter; /* last one used; reserve n: fetch_add(n) + 1 */
	_Atomic uint64_t last_out_ns; /* coarse monotonic; of traffic, not of tests and closing */
	/*
	 * 0: control has no timer on this tunnel; the worker that sends traffic next sets it and
	 * says PUNT_ACTIVE. Control clears it when the tunnel has become quiet.
	 */
	_Atomic uint32_t watched;
	_Alignas(64) struct replay replay;
	_Atomic uint64_t last_in_ns;      /* coarse monotonic; of the last authenticated packet */
	_Atomic uint32_t event_in_flight; /* bits of enum tunnel_event_bit; control clears them */
	_Atomic uint32_t labelled; /* 1: the peer writes flow labels, so it has our replay window */
};

/*
 * The tunnel's bits for the rules of this version, under RCU. NULL, or bits of another version:
 * control has none for it (yet), and nobody can judge.
 */
static inline const struct peer_rules *tunnel_rules(const struct tunnel *tunnel, uint16_t version)
{
	return RCU_READ(tunnel->rules[version & 1]);
}

enum tunnel_event_bit {
	TUNNEL_EVENT_ROAM = 1,
	TUNNEL_EVENT_CONFIRMED = 2,
	TUNNEL_EVENT_COUNTER = 4
};

/* Something authentic has come over it, whether or not control has heard of that. */
static inline bool tunnel_proved(const struct tunnel *tunnel)
{
	return atomic_load(&tunnel->state) == TUNNEL_CONFIRMED ||
	       (atomic_load(&tunnel->event_in_flight) & TUNNEL_EVENT_CONFIRMED);
}

#endif
