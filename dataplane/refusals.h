/*
 * refusals.h - the flows that one worker refused last, for control to read while it goes on.
 */
#ifndef M57_REFUSALS_H
#define M57_REFUSALS_H

#include <stdatomic.h>

#include "counters.h"
#include "limits.h"
#include "refusal.h"

#define REFUSAL_WORDS (sizeof(struct refusal) / sizeof(uint64_t))

struct refusals {
	_Atomic uint32_t version; /* odd while an entry changes hands */
	_Atomic uint64_t word[REFUSALS_MAX][REFUSAL_WORDS];
};

/* Worker only. One more packet of the flow; a new flow takes the place of the one refused longest
 * ago. */
void refusals_note(struct refusals *r, const struct flow *flow, enum direction direction,
		   enum drop reason, uint64_t now_ns);

/*
 * Any thread. Copies the entries there are, in no order, and returns how many. Each is of one flow;
 * none at all where the worker put in new ones all the time.
 */
uint32_t refusals_read(struct refusals *r, struct refusal out[REFUSALS_MAX]);

#endif
