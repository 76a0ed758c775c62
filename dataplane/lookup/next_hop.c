/*
 * lookup/next_hop.c - where a tun packet goes (PROTOCOL.md 4.1 steps 2 to 5).
 */
#include "lookup/next_hop.h"

#include <endian.h>

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

/* The last range that does not begin behind the destination. */
static uint32_t find_v4(const struct route_table *table, uint32_t destination)
{
	const uint32_t *base = table->v4_starts;

	for (uint32_t left = table->v4_ranges; left > 1; left -= left / 2)
		base += base[left / 2] <= destination ? left / 2 : 0;
	return table->v4_entries[base - table->v4_starts];
}

static uint32_t find_v6(const struct route_table *table, const struct addr *destination)
{
	const unsigned __int128 *base = table->v6_starts;
	unsigned __int128 value;
	uint64_t half[2];

	memcpy(half, destination->bytes, sizeof(half));
	value = (unsigned __int128)be64toh(half[0]) << 64 | be64toh(half[1]);
	for (uint32_t left = table->v6_ranges; left > 1; left -= left / 2)
		base += base[left / 2] <= value ? left / 2 : 0;
	return table->v6_entries[base - table->v6_starts];
}

static const struct route_entry *longest_match(const struct route_table *table,
					       const struct addr *destination)
{
	bool v4 = addr_is_v4(destination);
	uint32_t entry;

	if (!table || (v4 ? table->v4_ranges : table->v6_ranges) == 0)
		return NULL;
	entry = v4 ? find_v4(table, addr_v4(destination)) : find_v6(table, destination);
	return entry == ROUTE_NONE ? NULL : &table->entries[entry];
}

/* The gateway whose bucket the flow falls into. */
static uint32_t choose(const struct route_gateway *gateways, const struct flow *flow)
{
	int32_t hash = route_flow_hash(flow->local_port, flow->remote_port);
	uint32_t i = 0;

	while (gateways[i].bound < hash) /* the last bound is INT32_MAX */
		i++;
	return i;
}

enum drop next_hop_lookup(const struct snapshot *snapshot, const struct flow *flow,
			  struct next_hop *hop)
{
	const struct addr *destination = &flow->remote;
	const struct route_entry *route;
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
		*hop = (struct next_hop){.addr = *destination};
		return DROP_NONE;
	}
	route = longest_match(snapshot->routes, destination);
	if (!route)
		return DROP_TUN_NO_ROUTE;
	hop->route = route;
	hop->gateways = &snapshot->routes->gateways[route->gateway_first];
	hop->gateway_count = route->gateway_count;
	hop->chosen = route->gateway_count > 1 ? choose(hop->gateways, flow) : 0;
	hop->addr = hop->gateways[hop->chosen].to.addr;
	return DROP_NONE;
}
