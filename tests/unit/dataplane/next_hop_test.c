/*
 * Unit tests of dataplane/lookup/next_hop.c: PROTOCOL.md 4.1 steps 2 to 5 (13.4 row 56), and the
 * binary search against a linear one.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "lookup/next_hop.h"
#include "packets.h"

#define SEED 57

static struct addr parse(const char *text)
{
	struct in_addr v4;
	struct addr a;

	if (inet_pton(AF_INET, text, &v4) == 1)
		return addr_from_v4(ntohl(v4.s_addr));
	cr_assert_eq(inet_pton(AF_INET6, text, a.bytes), 1, "%s", text);
	return a;
}

static struct prefix prefix(const char *text, unsigned bits)
{
	struct addr a = parse(text);

	return (struct prefix){a, (uint8_t)(addr_is_v4(&a) ? 96 + bits : bits)};
}

/* Routes grouped as route.h wants them, from any order. */
struct routes {
	struct route routes[256];
	struct route_length lengths[129];
	uint32_t count;
};

static int by_address(const void *a, const void *b)
{
	return addr_compare(&((const struct route *)a)->to.addr,
			    &((const struct route *)b)->to.addr);
}

static int by_bits(const void *a, const void *b)
{
	return ((const struct route *)b)->to.bits - ((const struct route *)a)->to.bits;
}

static void add(struct routes *r, struct prefix to, const char *gateway)
{
	r->routes[r->count++] = (struct route){prefix_masked(to), parse(gateway)};
}

static void finish(struct routes *r, struct route_table *table)
{
	table->by_length = r->lengths;
	table->lengths = 0;
	qsort(r->routes, r->count, sizeof(r->routes[0]), by_bits);
	for (uint32_t i = 0; i < r->count;) {
		struct route_length *length = &r->lengths[table->lengths++];

		length->bits = r->routes[i].to.bits;
		length->routes = &r->routes[i];
		for (length->count = 0; i < r->count && r->routes[i].to.bits == length->bits; i++)
			length->count++;
		qsort(length->routes, length->count, sizeof(struct route), by_address);
	}
}

static struct snapshot snapshot;
static struct routes table;

static void setup(void)
{
	snapshot.network_count = 3;
	snapshot.networks[0] = prefix("10.42.1.5", 16);
	snapshot.networks[1] = prefix("fd42::5", 64);
	snapshot.networks[2] = prefix("10.99.0.7", 24);
	add(&table, prefix("192.168.0.0", 16), "10.42.0.1");
	add(&table, prefix("192.168.9.0", 24), "10.42.0.2");
	add(&table, prefix("192.168.9.77", 32), "10.42.0.3");
	add(&table, prefix("192.168.10.0", 24), "fd42::4");
	add(&table, prefix("172.16.0.0", 12), "10.42.0.6");
	add(&table, prefix("fd99::", 16), "fd42::7");
	add(&table, prefix("::", 0), "fd42::8");
	finish(&table, &snapshot.routes);
}

struct row {
	const char *destination;
	bool drop_broadcast, drop_multicast;
	enum drop drop;
	const char *next_hop;
};

Test(next_hop, every_row, .init = setup)
{
	static const struct row rows[] = {
		{"10.42.0.9", true, true, DROP_NONE, "10.42.0.9"},
		{"10.99.0.1", true, true, DROP_NONE, "10.99.0.1"},
		{"fd42::9", true, true, DROP_NONE, "fd42::9"},
		{"10.42.1.5", true, true, DROP_TUN_SELF, NULL},
		{"10.99.0.7", false, false, DROP_TUN_SELF, NULL},
		{"fd42::5", false, false, DROP_TUN_SELF, NULL},
		{"10.42.255.255", true, true, DROP_TUN_BROADCAST, NULL},
		{"10.99.0.255", true, false, DROP_TUN_BROADCAST, NULL},
		{"10.42.255.255", false, true, DROP_NONE, "10.42.255.255"},
		{"10.42.0.255", true, true, DROP_NONE, "10.42.0.255"},
		{"fd42::ffff:ffff:ffff:ffff", true, true, DROP_NONE, "fd42::ffff:ffff:ffff:ffff"},
		{"224.0.0.1", true, true, DROP_TUN_MULTICAST, NULL},
		{"239.255.255.255", false, true, DROP_TUN_MULTICAST, NULL},
		{"224.0.0.1", false, false, DROP_TUN_NO_ROUTE, NULL},
		{"240.0.0.1", false, true, DROP_TUN_NO_ROUTE, NULL},
		{"ff02::1", false, true, DROP_TUN_MULTICAST, NULL},
		{"ff02::1", false, false, DROP_NONE, "fd42::8"},
		{"0.0.0.0", true, true, DROP_TUN_NO_ROUTE, NULL},
		{"255.255.255.255", true, true, DROP_TUN_NO_ROUTE, NULL},
		{"10.43.0.1", true, true, DROP_TUN_NO_ROUTE, NULL},
		{"192.168.9.77", true, true, DROP_NONE, "10.42.0.3"},
		{"192.168.9.78", true, true, DROP_NONE, "10.42.0.2"},
		{"192.168.10.1", true, true, DROP_NONE, "fd42::4"},
		{"192.168.11.1", true, true, DROP_NONE, "10.42.0.1"},
		{"172.31.255.255", true, true, DROP_NONE, "10.42.0.6"},
		{"172.32.0.0", true, true, DROP_TUN_NO_ROUTE, NULL},
		{"fd99::1", true, true, DROP_NONE, "fd42::7"},
		{"2001:db8::1", true, true, DROP_NONE, "fd42::8"}, /* ::/0; holds no IPv4 */
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct addr destination = parse(rows[i].destination), hop, expected;

		snapshot.drop_local_broadcast = rows[i].drop_broadcast;
		snapshot.drop_multicast = rows[i].drop_multicast;
		cr_expect_eq(next_hop_lookup(&snapshot, &destination, &hop), rows[i].drop, "%s",
			     rows[i].destination);
		if (!rows[i].next_hop)
			continue;
		expected = parse(rows[i].next_hop);
		cr_expect(addr_equal(&hop, &expected), "%s", rows[i].destination);
	}
}

Test(next_hop, default_route_takes_what_no_other_takes, .init = setup)
{
	struct addr destination = parse("8.8.8.8"), inside = parse("10.42.0.9"), hop;
	struct addr gateway = parse("10.42.0.10");

	add(&table, prefix("0.0.0.0", 0), "10.42.0.10");
	finish(&table, &snapshot.routes);
	cr_assert_eq(next_hop_lookup(&snapshot, &destination, &hop), DROP_NONE);
	cr_expect(addr_equal(&hop, &gateway));
	cr_assert_eq(next_hop_lookup(&snapshot, &inside, &hop), DROP_NONE);
	cr_expect(addr_equal(&hop, &inside));
}

Test(next_hop, nothing_configured)
{
	struct addr destination = parse("10.0.0.1"), hop;

	cr_expect_eq(next_hop_lookup(&snapshot, &destination, &hop), DROP_TUN_NO_ROUTE);
}

/* Few distinct bits, so that prefixes of all lengths nest. */
static struct addr random_addr(struct packet_random *r)
{
	struct addr a = {{0}};

	if (packet_below(r, 2))
		return addr_from_v4(packet_random(r) & packet_random(r) & 0xc0c00303);
	for (int i = 0; i < 16; i++)
		a.bytes[i] = (uint8_t)(packet_below(r, 4) ? 0 : packet_below(r, 2) * 0x81);
	return a;
}

Test(next_hop, search_equals_a_linear_one)
{
	struct packet_random r = {SEED};

	for (int round = 0; round < 200; round++) {
		table.count = 0;
		for (int i = 0; i < 200; i++) {
			struct prefix to = {random_addr(&r), 0};
			bool twice = false;

			to.bits = (uint8_t)(addr_is_v4(&to.addr) ? 96 + packet_below(&r, 33)
								 : packet_below(&r, 129));
			to = prefix_masked(to);
			for (uint32_t k = 0; k < table.count; k++)
				twice |= table.routes[k].to.bits == to.bits &&
					 addr_equal(&table.routes[k].to.addr, &to.addr);
			if (!twice)
				table.routes[table.count++] = (struct route){to, random_addr(&r)};
		}
		finish(&table, &snapshot.routes);
		for (int i = 0; i < 200; i++) {
			struct addr destination = random_addr(&r), hop;
			const struct route *best = NULL;
			enum drop drop = next_hop_lookup(&snapshot, &destination, &hop);

			for (uint32_t k = 0; k < table.count; k++)
				if (prefix_contains(&table.routes[k].to, &destination) &&
				    (!best || table.routes[k].to.bits > best->to.bits))
					best = &table.routes[k];
			cr_assert_eq(drop, best ? DROP_NONE : DROP_TUN_NO_ROUTE);
			cr_assert(!best || addr_equal(&hop, &best->gateway), "seed %d round %d",
				  SEED, round);
		}
	}
}
