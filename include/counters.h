/*
 * counters.h - drop reasons and statistics as enums, and one worker's copy of them.
 *
 * The owner writes with counter_add (relaxed, single writer); anybody may read at any time.
 */
#ifndef M57_COUNTERS_H
#define M57_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

#include "probes.h"

enum drop {
	DROP_NONE, /* not dropped: what every stage returns when the packet goes on */
#define DROP(symbol, metric, help) DROP_##symbol,
#include "drops.def"
#undef DROP
	DROPS
};

enum statistic {
#define STAT(symbol, metric, help) STAT_##symbol,
#include "stats.def"
#undef STAT
	STATS
};

struct counters {
	_Alignas(64) _Atomic uint64_t drops[DROPS];
	_Alignas(64) _Atomic uint64_t stats[STATS];
};

/* The one writer adds; not atomic between two. */
static inline void counter_add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

/* Names of drops.def, by enum drop. */
extern const char *const drop_metrics[DROPS];

/* So many packets end here, for reason; fires the probe too. */
static inline void count_drop(struct counters *c, enum drop reason, uint64_t packets)
{
	PROBE(drop, reason, drop_metrics[reason], packets);
	counter_add(&c->drops[reason], packets);
}

/* n more of stat. */
static inline void count_stat(struct counters *c, enum statistic stat, uint64_t n)
{
	counter_add(&c->stats[stat], n);
}

#endif
