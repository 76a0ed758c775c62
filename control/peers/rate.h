/* rate.h - a token bucket in one number: the time at which the bucket is full again; 0 at first. */
#ifndef M57_RATE_H
#define M57_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct rate {
	uint64_t interval_ns; /* per token */
	uint64_t burst;
	uint64_t full_ns; /* zero at first: full */
};

#define RATE(per_second, tokens)                                                                   \
	((struct rate){.interval_ns = 1000000000ull / (per_second), .burst = (tokens)})

/* Takes a token at now_ns, or says that there is none. */
static inline bool rate_take(struct rate *rate, uint64_t now_ns)
{
	if (rate->full_ns < now_ns)
		rate->full_ns = now_ns;
	if (rate->full_ns - now_ns > (rate->burst - 1) * rate->interval_ns)
		return false;
	rate->full_ns += rate->interval_ns;
	return true;
}

/* The same for one of many that have a rate in common, and keep only the time. */
static inline bool rate_take_one(uint64_t *full_ns, struct rate common, uint64_t now_ns)
{
	common.full_ns = *full_ns;
	bool taken = rate_take(&common, now_ns);

	*full_ns = common.full_ns;
	return taken;
}

#endif
