/*
 * skew.h - how far behind the newest packet of a tunnel another worker's may leave.
 *
 * Why. A counter is drawn when a packet is sealed, and a receiver refuses counters that are a
 * window behind the newest it has seen: 1024 packets in deployed peers. A worker that the scheduler
 * takes off its core between the two is overtaken by all that the others send meanwhile. On two
 * busy cores that was several batches in some runs, more than even our own window of 8192.
 *
 * How. For each tunnel each worker shows the lowest counter that it has drawn and that may not have
 * left: a mark (tunnel.unsent). A run is sealed only while no mark of another worker is
 * SKEW_PACKETS_MAX behind the next counter (SKEW_WIDE_MAX, where the peer has written labels and so
 * is known to have our window: on two cores that made 10 % more of TCP); else it waits where it is,
 * and the worker sleeps for a moment, which also gives the one that is behind a core to run on. So
 * a packet is overtaken by that much and the run that was just permitted, and by a run of each
 * worker that looked at the same moment. Control's messages, answers and echoes do not wait: they
 * are single and few.
 *
 * Sparse flows (worker.sparse). A peer that writes their label has a replay window for them: no
 * worker waits for another, and none shows marks, which cost a turn to take away before each sleep.
 * With other peers the worker of sparse flows is the one that would be ahead, and waits by the rule
 * above.
 *
 * Order of memory. A mark is shown before its counters are drawn, and drawing releases. Who sees
 * that they are drawn, by an acquiring look at the counter, therefore sees the mark.
 *
 * Life of a mark. Shown with the first counter of a turn, cleared when the engine has nothing left
 * to send. That is in a later turn, when the tunnel may be gone, so marks lie in memory of the
 * map's by slot. What the last tunnel of a slot has left there holds the next one back until it is
 * cleared, at worst.
 */
#ifndef M57_SKEW_H
#define M57_SKEW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "limits.h"
#include "tunnel.h"

struct worker;

/* The marks that a worker shows. */
struct skew {
	uint32_t count;
	_Atomic uint64_t *shown[SKEW_MARKS_MAX];
};

/* May this worker draw counters of tunnel for a run? False: another one is too far behind. */
bool skew_permits(const struct worker *w, const struct tunnel *tunnel);
/* The worker is about to draw counters of tunnel. */
void skew_show(struct worker *w, struct tunnel *tunnel);
/* Between turns: what the worker has shown is over as soon as nothing waits to be sent. */
void skew_settle(struct worker *w);

#endif
