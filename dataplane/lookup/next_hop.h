/*
 * lookup/next_hop.h - the next overlay host of a destination (PROTOCOL.md 4.1 steps 2 to 5).
 */
#ifndef M57_NEXT_HOP_H
#define M57_NEXT_HOP_H

#include "counters.h"
#include "snapshot.h"

/*
 * *hop: the flow's remote address itself inside our networks, else the gateway of the longest
 * route; of several, the one that the ports of the flow choose. Whether it can be reached is not
 * looked at. Returns DROP_NONE, DROP_TUN_SELF, DROP_TUN_BROADCAST, DROP_TUN_MULTICAST or
 * DROP_TUN_NO_ROUTE; hop is filled in with DROP_NONE alone.
 */
enum drop next_hop_lookup(const struct snapshot *snapshot, const struct flow *flow,
			  struct next_hop *hop);

#endif
