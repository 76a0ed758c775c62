/*
 * handshake_queue.h - handshake packets that wait for control, and the time that they may cost it.
 *
 * A stage 1 costs this node four curve multiplications and the stranger who sends it nothing
 * (PROTOCOL.md 2.11), and there is no cookie. So packets wait here, where they hold the workers'
 * bounded pools: a worker that finds its pool empty drops at the price of a look. Control takes
 * from the queue while it has credit, in CPU time of its own. Credit comes in at a share of the
 * wall clock that depends on what the workers need: nearly all of a CPU while they rest, so that a
 * gateway whose thousand peers come back at once serves them in a moment; a twentieth while they
 * are busy, so that a flood takes that much from the traffic and no more.
 *
 * Whom control serves next: workers say which bucket of source networks a packet belongs to
 * (punt.bucket; dataplane/lookup/source.h), and the buckets that wait take turns. So however much
 * one network sends, another's handshake waits for one of each bucket, not for all that came
 * before.
 *
 * Deciding code: times come in as arguments. One thread.
 */
#ifndef M57_HANDSHAKE_QUEUE_H
#define M57_HANDSHAKE_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "limits.h"

struct punt;

/* What waits of one bucket, the oldest first. */
struct handshake_bucket {
	struct punt *first, *last;
	struct handshake_bucket *next; /* in turns */
};

struct handshake_queue {
	struct handshake_bucket buckets[SOURCE_BUCKETS];
	struct handshake_bucket *turn, *last_turn; /* those that wait, whose turn it is first */
	uint32_t count;
	int64_t credit_ns;        /* may be below 0: the last one cost more than was left */
	uint64_t filled_ns;       /* credit has come in up to this time */
	uint32_t share_permille;  /* of the wall clock */
	uint64_t judged_ns;       /* when the share was judged last */
	uint64_t cpu_ns, packets; /* of all workers, then */
};

/* Empty, with full credit, and workers at rest until they are judged. */
void handshake_queue_init(struct handshake_queue *queue);

/* Takes over punt, which is linked: what waits is bounded by the workers' pools. */
void handshake_queue_put(struct handshake_queue *queue, struct punt *punt);

/* The next one, while there is credit at now_ns (monotonic); NULL: none. */
struct punt *handshake_queue_take(struct handshake_queue *queue, uint64_t now_ns);

/* The one that was taken last has cost cpu_ns. */
void handshake_queue_spent(struct handshake_queue *queue, uint64_t cpu_ns);

/* Is it time to tell handshake_queue_judge() what the workers have used? */
bool handshake_queue_wants_judging(const struct handshake_queue *queue, uint64_t now_ns);
/*
 * cpu_ns and packets: what all workers have used and taken in since they started. Where CPUs are
 * scarce, workers that have much to do get little time: so each packet counts as some, too.
 */
void handshake_queue_judge(struct handshake_queue *queue, uint64_t now_ns, uint64_t cpu_ns,
			   uint64_t packets);

/* When to go on with what waits: UINT64_MAX when nothing does. */
uint64_t handshake_queue_deadline(const struct handshake_queue *queue);

#endif
