/*
 * refusal.h - a flow whose packets were refused: by the firewall, or for want of a route. Workers
 * remember the last few each (dataplane/refusals.h); m57ctl list-refused shows them.
 */
#ifndef M57_REFUSAL_H
#define M57_REFUSAL_H

#include "flow.h"

struct refusal {
	struct flow flow;
	uint32_t direction; /* enum direction */
	uint32_t reason;    /* enum drop, as it was counted */
	uint64_t times;     /* a super-packet counts once */
	uint64_t last_ns;   /* coarse monotonic */
};
_Static_assert(sizeof(struct refusal) == 64, "copied by words");

#endif
