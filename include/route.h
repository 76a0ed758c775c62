/*
 * route.h - which overlay host a destination belongs to (PROTOCOL.md 4.1 step 5, 4.2).
 *
 * Built by control, published inside the snapshot, read by dataplane/lookup/next_hop.c. A
 * destination in one of our own networks is its own next hop; otherwise the longest matching unsafe
 * route names the gateway.
 */
#ifndef M57_ROUTE_H
#define M57_ROUTE_H

#include "addr.h"

struct route {
	struct prefix to;    /* masked */
	struct addr gateway; /* overlay address */
};

/* Routes of one prefix length, sorted by address: a binary search each, longest length first. */
struct route_length {
	uint8_t bits;
	uint32_t count;
	struct route *routes;
};

struct route_table {
	uint32_t lengths;
	struct route_length *by_length; /* descending bits */
};

#endif
