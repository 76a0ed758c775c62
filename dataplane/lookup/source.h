/*
 * source.h - how the room for handshakes is shared out among those who send them, and that for
 * messages to control among peers.
 *
 * Anybody can send stage 1, and as fast as he likes. What control has in hand is bounded by the
 * pool of each worker; without more, one sender would hold all of it, and everybody else's
 * handshake would be dropped. So sources are told apart by their network (IPv4 /24, IPv6 /48, or
 * the relay they come through), each network falls into one of SOURCE_BUCKETS, and a bucket holds
 * at most SOURCE_SHARE times what is left of the pool: alone three quarters of it; the more want
 * some, the less each has; and for one that has none there is room as long as there is any. Control
 * serves the buckets in turn (control/handshake_queue.h), so a newcomer waits for one handshake of
 * each.
 *
 * The hash has a key of the process and changes every SOURCE_PERIOD_S, so nobody can choose whom he
 * shares a bucket with, and who does by chance does not for long.
 */
#ifndef M57_SOURCE_H
#define M57_SOURCE_H

#include "counters.h"
#include "message.h"

struct source_key {
	uint64_t words[2]; /* random */
};

/* What an authenticated peer sends to control is shared out in the same way, by the first overlay
 * address of the peer, however many tunnels it has. */
uint32_t source_peer_bucket(const struct source_key *key, const struct addr *peer, uint32_t now_s);

/* 0 to SOURCE_BUCKETS - 1. via: index of the relay, then source does not count; 0: none. now_s:
 * seconds of any clock. */
uint32_t source_bucket(const struct source_key *key, const struct endpoint *source, uint32_t via,
		       uint32_t now_s);

/*
 * May the bucket have one more? DROP_NONE: it is counted, a punt is free for it, and punt_release()
 * gives it back; HANDSHAKE_CROWDED: the bucket has its share; HANDSHAKE_OVERLOAD: nothing is left
 * for anybody. One worker asks; control gives back meanwhile.
 */
enum drop source_admit(struct source_shares *shares, uint32_t bucket);
/* The same for a message of a peer: PUNT_CROWDED, PUNT_POOL. */
enum drop source_admit_opened(struct source_shares *shares, uint32_t bucket);

#endif
