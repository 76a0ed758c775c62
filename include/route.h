/*
 * route.h - which overlay host a destination belongs to (PROTOCOL.md 4.1 step 5, 4.2).
 *
 * A destination in one of our own networks is its own next hop; otherwise the longest matching
 * route names the gateways, and the ports of the flow choose one of them. Control makes the table
 * (route_table_create, implemented by dataplane/lookup/route_table.c), publishes it inside the
 * snapshot and never changes it; dataplane/lookup/next_hop.c reads it.
 */
#ifndef M57_ROUTE_H
#define M57_ROUTE_H

#include <stdatomic.h>

#include "addr.h"

/* One of the overlay hosts behind which a network is. */
struct gateway {
	struct addr addr; /* overlay */
	uint32_t weight;  /* 1..INT32_MAX; its share of the flows */
};

/* What a table is made of. */
struct route {
	struct prefix to;       /* masked */
	uint32_t gateway_count; /* 1..GATEWAYS_MAX */
	const struct gateway *gateways;
};

/* A gateway as workers see it. Routes with the same gateways share them. */
struct route_gateway {
	struct gateway to;
	/* takes the flow hashes above the bound of the one before, up to this one; -1: none */
	int32_t bound;
	/* workers write: the second in which control was last asked for a tunnel to it */
	_Atomic uint32_t asked_s;
};

struct route_entry {
	struct prefix to;
	uint8_t gateway_count;
	uint32_t gateway_first; /* in route_table.gateways */
};

#define ROUTE_NONE UINT32_MAX

/*
 * The address space of each family, cut where the answer changes: range i reaches from starts[i] to
 * the next start, and entries[i] is its longest route, or ROUTE_NONE. So a lookup is one binary
 * search, whatever the number of prefix lengths. The first start is 0; a family without routes has
 * no range.
 */
struct route_table {
	uint32_t v4_ranges, v6_ranges;
	uint32_t *v4_starts; /* host order */
	uint32_t *v4_entries;
	unsigned __int128 *v6_starts; /* host order */
	uint32_t *v6_entries;
	uint32_t entry_count; /* of different prefixes */
	struct route_entry *entries;
	uint32_t gateway_count;
	struct route_gateway *gateways;
};

/* The answer of a lookup. */
struct next_hop {
	struct addr addr; /* the overlay host that a packet goes to */
	/* of the route that led there; NULL and 0 when the destination is in our own networks */
	const struct route_entry *route;
	struct route_gateway *gateways;
	uint32_t gateway_count;
	uint32_t chosen; /* gateways[chosen].to.addr is addr */
};

/*
 * Makes a table of count routes, in any order; of equal prefixes the last one counts. Nothing of
 * routes is kept. NULL: no memory, or a route without gateways or with more than GATEWAYS_MAX. One
 * owner; free it with route_table_destroy() after a grace period. Control.
 */
struct route_table *route_table_create(const struct route *routes, uint32_t count);
/* NULL is allowed. */
void route_table_destroy(struct route_table *table);

/* PROTOCOL.md 4.2: 31 bits of both ports, by which gateways are chosen. */
static inline int32_t route_flow_hash(uint16_t local_port, uint16_t remote_port)
{
	uint32_t x = (uint32_t)local_port << 16 | remote_port;

	x ^= x >> 16;
	x *= 0x21f0aaad;
	x ^= x >> 15;
	x *= 0xd35a2d97;
	x ^= x >> 15;
	return (int32_t)(x & INT32_MAX);
}

#endif
