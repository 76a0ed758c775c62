/*
 * lookup/next_hop.c - where a tun packet goes (PROTOCOL.md 4.1 steps 2 to 5).
 */
#include "lookup/next_hop.h"

/* IPv4 only: the address with every host bit set. */
static bool is_broadcast_of(const struct prefix *network, const struct addr *destination)
{
	uint32_t host_bits;

	if (!addr_is_v4(&network->addr) || network->bits < ADDR_V4_BITS)
		return false;
	host_bits = (uint32_t)(0xffffffffull >> (network->bits - ADDR_V4_BITS));
	return prefix_contains(network, destination) &&
	       (addr_v4(destination) & host_bits) == host_bits;
}

/* 224.0.0.0/4 and ff00::/8. */
static bool is_multicast(const struct addr *a)
{
	return addr_is_v4(a) ? addr_v4(a) >> 28 == 0xe : a->bytes[0] == 0xff;
}

/* The route of exactly this prefix, by binary search; NULL when there is none. */
static const struct route *find(const struct route_length *length, const struct prefix *key)
{
	uint32_t low = 0, high = length->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int order = addr_compare(&key->addr, &length->routes[middle].to.addr);

		if (order == 0)
			return &length->routes[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

static const struct route *longest_match(const struct route_table *table,
					 const struct addr *destination)
{
	for (uint32_t i = 0; i < table->lengths; i++) {
		const struct route_length *length = &table->by_length[i];
		struct prefix key = prefix_masked((struct prefix){*destination, length->bits});
		const struct route *route = find(length, &key);

		/* A short IPv6 prefix must not take an IPv4 destination: ::/0 masks to the same. */
		if (route && prefix_contains(&route->to, destination))
			return route;
	}
	return NULL;
}

enum drop next_hop_lookup(const struct snapshot *snapshot, const struct addr *destination,
			  struct addr *next_hop)
{
	const struct route *route;
	bool inside = false;

	for (uint32_t i = 0; i < snapshot->network_count; i++) {
		const struct prefix *network = &snapshot->networks[i];

		if (snapshot->drop_local_broadcast && is_broadcast_of(network, destination))
			return DROP_TUN_BROADCAST;
		inside |= prefix_contains(network, destination);
	}
	for (uint32_t i = 0; i < snapshot->network_count; i++)
		if (addr_equal(&snapshot->networks[i].addr, destination))
			return DROP_TUN_SELF;
	if (snapshot->drop_multicast && is_multicast(destination))
		return DROP_TUN_MULTICAST;
	if (inside) {
		*next_hop = *destination;
		return DROP_NONE;
	}
	route = longest_match(&snapshot->routes, destination);
	if (!route)
		return DROP_TUN_NO_ROUTE;
	*next_hop = route->gateway;
	return DROP_NONE;
}
