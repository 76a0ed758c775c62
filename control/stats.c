/* stats.c - see stats.h. */
#include "stats.h"

static const char *const drop_names[DROPS] = {
#define DROP(symbol, metric, help) [DROP_##symbol] = metric,
#include "drops.def"
#undef DROP
};

static const char *const stat_names[STATS] = {
#define STAT(symbol, metric, help) [STAT_##symbol] = metric,
#include "stats.def"
#undef STAT
};

static void rows_log(const struct outside *outside, const char *message, const char *const *names,
		     const uint64_t *values, size_t count, bool all)
{
	struct outside_field fields[LOG_FIELDS_MAX];
	size_t used = 0;

	for (size_t i = 0; i < count; i++) {
		if (names[i] && (all || values[i]))
			fields[used++] =
				(struct outside_field){.key = names[i], .number = values[i]};
		if (used == LOG_FIELDS_MAX || (used && i == count - 1)) {
			outside->log(outside->context, OUTSIDE_INFO, message, fields, used);
			used = 0;
		}
	}
}

void stats_log(const struct stats *stats, const struct outside *outside, bool all)
{
	rows_log(outside, "Counters", stat_names, stats->stats, STATS, all);
	rows_log(outside, "Drops", drop_names, stats->drops, DROPS, all);
}
