/*
 * handover.h - datagrams of a flow that another worker owns, on their way to it.
 *
 * Why. The kernel joins datagrams of one underlay 4-tuple to trains and steers a train by its first
 * datagram, whatever the labels of the others; and without the BPF program it steers by the
 * addresses alone. A worker therefore splits what it gets, and passes on what is not its own.
 *
 * How. By copy, into the bounded pool of the worker that received: its buffers come back at once,
 * and nothing the receiver does can hold them. The copy is counted as copied bytes. The message is
 * a MSG_RING to the owner's ring. What goes to one owner in one turn is put together.
 *
 * Order. From one worker to another messages stay in order, and the owner takes them before its own
 * trains. But a flow that comes partly by hand-over and partly by the owner's socket has no order
 * between the two. So when trains with several owners come while the kernel steers by label,
 * the owner tells control (NOTE_TRAINS_MIXED), which takes the label out of the BPF program: from
 * then on all of a tunnel comes to one socket, in order, and the hand-overs alone spread it.
 *
 * A pool that is empty drops by name (HANDOVER_FULL): to work on the datagrams here would overtake
 * those on the way. Life: free -> filled by the receiver -> owner -> free.
 */
#ifndef M57_HANDOVER_H
#define M57_HANDOVER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "addr.h"
#include "limits.h"

struct worker;

struct handover {
	struct handovers *pool;
	uint32_t id;
	struct endpoint source;
	uint32_t length;        /* of bytes */
	uint32_t segment_bytes; /* of all datagrams but the last */
	bool ended;             /* by a shorter datagram */
	bool mixed;             /* out of a train that was steered rightly by its first */
	uint8_t bytes[];
};

/* Datagrams in it, at least one. */
static inline uint32_t handover_packets(const struct handover *handover)
{
	return (handover->length - 1) / handover->segment_bytes + 1;
}

/* The pool of the worker that receives. */
struct handovers {
	uint8_t *memory;
	struct handover *open[QUEUES_MAX];  /* being filled in this turn, by owner */
	_Alignas(64) _Atomic uint64_t free; /* a bit each: the worker clears, owners set */
};
_Static_assert(HANDOVERS_MAX <= 64, "handovers.free has a bit for each");

/* Reserves memory for HANDOVERS_MAX; pages come as they are used. 0 or -ENOMEM. */
int handovers_create(struct handovers *pool);
void handovers_destroy(struct handovers *pool);

/*
 * Puts bytes[0..length), datagrams of segment_bytes of which the last may be shorter, on the way to
 * owner; false when the pool is empty.
 */
bool handover_add(struct worker *w, uint32_t owner, const struct endpoint *source,
		  const uint8_t *bytes, uint32_t length, uint32_t segment_bytes, bool mixed);
/* Sends what was added in this turn. */
void handover_flush(struct worker *w);
/* The owner is done with it. */
void handover_release(struct handover *handover);
/* An authentic run of a mixed train has come: control is told when that is no accident. */
void handover_mixed(struct worker *w);

#endif
