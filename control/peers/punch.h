/*
 * punch.h - hole punches that a lighthouse orders: one byte to each address of a host that is about
 * to call, and later, if punchy.respond, a test request to the host itself (PROTOCOL.md 6.5).
 *
 * Both wait for a delay that is the same for all of their kind, so each kind is a ring with one
 * timer.
 */
#ifndef M57_PUNCH_H
#define M57_PUNCH_H

#include "addr.h"
#include "limits.h"
#include "peers/rate.h"
#include "peers/timers.h"

struct node;

struct punch_ring {
	struct timer timer;
	uint32_t first, count;
	struct punch {
		uint64_t due_ns;
		struct addr host;   /* who is about to call */
		struct endpoint to; /* of a hole: whether host may be there is looked up again */
	} ring[PUNCHES_MAX];
};

/* Who is about to call, as a lighthouse says it. */
struct punch_caller {
	struct addr host, lighthouse;
	uint32_t count;
	struct endpoint at[PUNCH_CALLER_ADDRS_MAX];
};

struct punches {
	struct punch_ring holes, tests;
	struct punch_caller callers[PUNCHES_MAX]; /* of tests, at the same place */
	struct rate rate;
};

void punch_init(struct punches *punches);

/*
 * Sends 0x00 to the address of host after delay_ns, unless a reload forbids that one meanwhile.
 * Dropped and counted above the bounds of limits.h.
 */
void punch_hole(struct node *node, const struct addr *host, const struct endpoint *to,
		uint64_t delay_ns);
/*
 * Sends a test request to the caller after delay_ns, or begins a handshake when there is no tunnel.
 * That one goes to the addresses of the order and asks no lighthouse: a question would order the
 * other end to respond in its turn, and two ends that cannot reach each other would never rest.
 * While one waits, a lighthouse's newer order about the same caller takes the place of its older.
 */
void punch_test(struct node *node, const struct punch_caller *caller, uint64_t delay_ns);

#endif
