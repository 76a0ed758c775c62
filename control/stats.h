/*
 * stats.h - the counters of all workers and of control, as lines of the log.
 */
#ifndef M57_STATS_H
#define M57_STATS_H

#include <stdbool.h>

#include "counters.h"
#include "outside.h"

/* Sums at one moment. */
struct stats {
	uint64_t drops[DROPS];
	uint64_t stats[STATS];
};

/*
 * Lines at level info, "Counters" and "Drops", with the metric names of stats.def and drops.def as
 * keys, LOG_FIELDS_MAX of them in a line; rows that are zero only with all.
 */
void stats_log(const struct stats *stats, const struct outside *outside, bool all);

#endif
