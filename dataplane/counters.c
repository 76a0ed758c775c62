/* counters.c - see counters.h. */
#include "counters.h"

const char *const drop_metrics[DROPS] = {
	[DROP_NONE] = "none",
#define DROP(symbol, metric, help) [DROP_##symbol] = metric,
#include "drops.def"
#undef DROP
};
