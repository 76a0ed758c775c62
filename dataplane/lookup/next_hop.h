/*
 * lookup/next_hop.h - the next overlay host of a destination (PROTOCOL.md 4.1 steps 2 to 5).
 */
#ifndef M57_NEXT_HOP_H
#define M57_NEXT_HOP_H

#include "counters.h"
#include "snapshot.h"

/*
 * *next_hop: the destination itself inside our networks, else the gateway of the longest unsafe
 * route. Returns DROP_NONE, DROP_TUN_SELF, DROP_TUN_BROADCAST, DROP_TUN_MULTICAST or
 * DROP_TUN_NO_ROUTE.
 */
enum drop next_hop_lookup(const struct snapshot *snapshot, const struct addr *destination,
			  struct addr *next_hop);

#endif
