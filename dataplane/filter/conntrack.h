/*
 * conntrack.h - flows that were allowed, shared by all workers (PROTOCOL.md 5.5).
 *
 * A fixed array of 8-way buckets with one spin bit each; coarse expiry; in a full bucket the entry
 * that expires first gives way. No allocation after conntrack_create, no RCU.
 */
#ifndef M57_CONNTRACK_H
#define M57_CONNTRACK_H

#include "counters.h"
#include "flow.h"
#include "snapshot.h"

struct conntrack;

/* Zeroed anonymous memory, touched as it fills; hash keyed at random. NULL: no memory. */
struct conntrack *conntrack_create(void);
void conntrack_destroy(struct conntrack *ct);

enum conntrack_answer {
	CONNTRACK_MISS,
	CONNTRACK_HIT,   /* refreshed */
	CONNTRACK_STALE, /* known, but from other rules: judge again in *direction, then enter or
			    remove */
};

/* now_s: coarse monotonic seconds. Timeouts and rules_version come from the snapshot. */
enum conntrack_answer conntrack_lookup(struct conntrack *ct, const struct flow *flow,
				       const struct snapshot *snapshot, uint32_t now_s,
				       enum direction *direction);
/* Enters or updates flow as created in direction. True when a live entry had to give way. */
bool conntrack_enter(struct conntrack *ct, const struct flow *flow, const struct snapshot *snapshot,
		     uint32_t now_s, enum direction direction);
/* Forgets flow, if it is known. */
void conntrack_remove(struct conntrack *ct, const struct flow *flow);
/* Forgets every flow. */
void conntrack_reset(struct conntrack *ct);
/* Live entries, by walking the whole table: for statistics and tests. */
uint32_t conntrack_count(const struct conntrack *ct, uint32_t now_s);

#endif
