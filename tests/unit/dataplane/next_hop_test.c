/*
 * Unit tests of dataplane/lookup/next_hop.c: PROTOCOL.md 4.1 steps 2 to 5 (13.4 row 56), and the
 * binary search against a linear one; 4.2, which gateway a flow takes.
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

/* Routes with one gateway each, in any order, and the table made of them. */
struct routes {
	struct route routes[256];
	struct gateway gateways[256];
	uint32_t count;
};

static struct snapshot snapshot;
static struct routes routes;

static void add(struct prefix to, struct addr gateway)
{
	uint32_t i = routes.count++;

	routes.gateways[i] = (struct gateway){gateway, 1};
	routes.routes[i] = (struct route){prefix_masked(to), 1, &routes.gateways[i]};
}

static void finish(void)
{
	route_table_destroy(snapshot.routes);
	snapshot.routes = route_table_create(routes.routes, routes.count);
	cr_assert_not_null(snapshot.routes);
}

static void setup(void)
{
	snapshot.network_count = 3;
	snapshot.networks[0] = prefix("10.42.1.5", 16);
	snapshot.networks[1] = prefix("fd42::5", 64);
	snapshot.networks[2] = prefix("10.99.0.7", 24);
	add(prefix("192.168.0.0", 16), parse("10.42.0.1"));
	add(prefix("192.168.9.0", 24), parse("10.42.0.9"));
	add(prefix("192.168.9.77", 32), parse("10.42.0.3"));
	add(prefix("192.168.10.0", 24), parse("fd42::4"));
	add(prefix("192.168.9.0", 24), parse("10.42.0.2")); /* the last of equal ones counts */
	add(prefix("172.16.0.0", 12), parse("10.42.0.6"));
	add(prefix("fd99::", 16), parse("fd42::7"));
	add(prefix("::", 0), parse("fd42::8"));
	finish();
}

static void fini(void)
{
	route_table_destroy(snapshot.routes);
	snapshot.routes = NULL;
}

static enum drop look(struct addr destination, struct next_hop *hop)
{
	struct flow flow = {.remote = destination};

	return next_hop_lookup(&snapshot, &flow, hop);
}

struct row {
	const char *destination;
	bool drop_broadcast, drop_multicast;
	enum drop drop;
	const char *next_hop;
};

Test(next_hop, every_row, .init = setup, .fini = fini)
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
		struct addr destination = parse(rows[i].destination), expected;
		struct next_hop hop;

		snapshot.drop_local_broadcast = rows[i].drop_broadcast;
		snapshot.drop_multicast = rows[i].drop_multicast;
		cr_expect_eq(look(destination, &hop), rows[i].drop, "%s", rows[i].destination);
		if (!rows[i].next_hop)
			continue;
		expected = parse(rows[i].next_hop);
		cr_expect(addr_equal(&hop.addr, &expected), "%s", rows[i].destination);
	}
}

Test(next_hop, default_route_takes_what_no_other_takes, .init = setup, .fini = fini)
{
	struct addr destination = parse("8.8.8.8"), inside = parse("10.42.0.9");
	struct addr gateway = parse("10.42.0.10");
	struct next_hop hop;

	add(prefix("0.0.0.0", 0), gateway);
	finish();
	cr_assert_eq(look(destination, &hop), DROP_NONE);
	cr_expect(addr_equal(&hop.addr, &gateway));
	cr_expect_eq(hop.route->to.bits, 96);
	cr_assert_eq(look(inside, &hop), DROP_NONE);
	cr_expect(addr_equal(&hop.addr, &inside));
	cr_expect(hop.route == NULL && hop.gateway_count == 0);
}

Test(next_hop, nothing_configured, .fini = fini)
{
	struct addr destination = parse("10.0.0.1");
	struct next_hop hop;

	cr_expect_eq(look(destination, &hop), DROP_TUN_NO_ROUTE);
	finish();
	cr_expect_eq(look(destination, &hop), DROP_TUN_NO_ROUTE);
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

Test(next_hop, search_equals_a_linear_one, .fini = fini)
{
	struct packet_random r = {SEED};

	for (int round = 0; round < 200; round++) {
		for (routes.count = 0; routes.count < packet_below(&r, 200);) {
			struct prefix to = {random_addr(&r), 0};

			to.bits = (uint8_t)(addr_is_v4(&to.addr) ? 96 + packet_below(&r, 33)
								 : packet_below(&r, 129));
			add(to, random_addr(&r));
		}
		finish();
		for (int i = 0; i < 200; i++) {
			struct addr destination = random_addr(&r);
			const struct route *best = NULL;
			struct next_hop hop;
			enum drop drop = look(destination, &hop);

			for (uint32_t k = 0; k < routes.count; k++)
				if (prefix_contains(&routes.routes[k].to, &destination) &&
				    (!best || routes.routes[k].to.bits >= best->to.bits))
					best = &routes.routes[k];
			cr_assert_eq(drop, best ? DROP_NONE : DROP_TUN_NO_ROUTE);
			cr_assert(!best || addr_equal(&hop.addr, &best->gateways[0].addr),
				  "seed %d round %d", SEED, round);
			cr_assert(!best || hop.route->to.bits == best->to.bits);
		}
	}
}

/* The edges of both families: nothing may lie behind the last address or before the first. */
Test(next_hop, ranges_end_where_the_family_ends, .fini = fini)
{
	struct next_hop hop;

	add(prefix("255.255.255.255", 32), parse("10.0.0.1"));
	add(prefix("0.0.0.0", 32), parse("10.0.0.2"));
	add(prefix("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 128), parse("10.0.0.3"));
	add(prefix("::", 128), parse("10.0.0.4"));
	finish();
	cr_expect_eq(look(parse("255.255.255.255"), &hop), DROP_NONE);
	cr_expect_eq(hop.addr.bytes[15], 1);
	cr_expect_eq(look(parse("255.255.255.254"), &hop), DROP_TUN_NO_ROUTE);
	cr_expect_eq(look(parse("0.0.0.0"), &hop), DROP_NONE);
	cr_expect_eq(hop.addr.bytes[15], 2);
	cr_expect_eq(look(parse("0.0.0.1"), &hop), DROP_TUN_NO_ROUTE);
	cr_expect_eq(look(parse("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), &hop), DROP_NONE);
	cr_expect_eq(hop.addr.bytes[15], 3);
	cr_expect_eq(look(parse("::"), &hop), DROP_NONE);
	cr_expect_eq(hop.addr.bytes[15], 4);
	cr_expect_eq(look(parse("::1"), &hop), DROP_TUN_NO_ROUTE);
}

/* --- several gateways, PROTOCOL.md 4.2: all numbers are computed apart from this program ---------
 */

Test(next_hop, flow_hash)
{
	static const struct {
		uint16_t local, remote;
		int32_t hash;
	} rows[] = {
		{0, 0, 0},
		{0, 1, 0x06d3fa73},
		{1, 0, 0x69ee18a5},
		{40000, 443, 0x219d3745},
		{40001, 443, 0x6752794c},
		{40002, 443, 0x5a593f8a},
		{53, 53, 0x56cb1b19},
		{65535, 65535, 0x59b56683},
		{0, 4660, 0x3bce0a29}, /* an echo request of identifier 0x1234 */
		{12345, 80, 0x352be610},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_eq(route_flow_hash(rows[i].local, rows[i].remote), rows[i].hash, "%u %u",
			     rows[i].local, rows[i].remote);
}

static struct route_table *table_of(struct gateway *gateways, uint32_t count)
{
	struct route route = {prefix("192.168.0.0", 16), count, gateways};

	return route_table_create(&route, 1);
}

Test(next_hop, buckets)
{
	static const struct {
		uint32_t count, weights[GATEWAYS_MAX];
		int32_t bounds[GATEWAYS_MAX];
	} rows[] = {
		{1, {3}, {0x7fffffff}},
		{2, {1, 1}, {0x3fffffff, 0x7fffffff}},
		{2, {1, 2}, {0x2aaaaaaa, 0x7fffffff}},
		{3, {1, 2, 3}, {0x15555554, 0x3fffffff, 0x7fffffff}},
		{3, {5, 5, 6}, {0x27ffffff, 0x4fffffff, 0x7fffffff}},
		{3, {INT32_MAX, INT32_MAX, INT32_MAX}, {0x2aaaaaaa, 0x55555554, 0x7fffffff}},
		{2, {1, INT32_MAX}, {0, 0x7fffffff}},
		/* so light that no hash is left for it */
		{4, {1, INT32_MAX, INT32_MAX, INT32_MAX}, {-1, 0x2aaaaaaa, 0x55555554, 0x7fffffff}},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct gateway gateways[GATEWAYS_MAX];
		struct route_table *made;

		for (uint32_t k = 0; k < rows[i].count; k++)
			gateways[k] =
				(struct gateway){addr_from_v4(0x0a2a0001 + k), rows[i].weights[k]};
		made = table_of(gateways, rows[i].count);
		for (uint32_t k = 0; k < rows[i].count; k++)
			cr_expect_eq(made->gateways[k].bound, rows[i].bounds[k], "row %zu, %u", i,
				     k);
		route_table_destroy(made);
	}
}

/* The flows of flow_hash over gateways of weights 1, 2, 1: bounds 0x1fffffff, 0x5fffffff. */
Test(next_hop, flow_chooses_a_gateway, .fini = fini)
{
	static const struct {
		uint16_t local, remote;
		uint32_t chosen;
	} rows[] = {{0, 0, 0},       {0, 1, 0},   {40000, 443, 1}, {40001, 443, 2},
		    {40002, 443, 1}, {53, 53, 1}, {1, 0, 2},       {0, 4660, 1}};
	struct gateway gateways[] = {
		{parse("10.42.0.1"), 1}, {parse("10.42.0.2"), 2}, {parse("fd42::3"), 1}};

	snapshot.routes = table_of(gateways, 3);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct flow flow = {.remote = parse("192.168.1.1"),
				    .local_port = rows[i].local,
				    .remote_port = rows[i].remote};
		struct next_hop hop;

		cr_assert_eq(next_hop_lookup(&snapshot, &flow, &hop), DROP_NONE);
		cr_expect_eq(hop.gateway_count, 3);
		cr_expect_eq(hop.chosen, rows[i].chosen, "%u %u", rows[i].local, rows[i].remote);
		cr_expect(addr_equal(&hop.addr, &gateways[rows[i].chosen].addr));
	}
}

Test(next_hop, share_of_each_gateway_is_its_weight, .fini = fini)
{
	struct gateway gateways[] = {{parse("10.42.0.1"), 1}, {parse("10.42.0.2"), 3}};
	struct packet_random r = {SEED};
	uint32_t taken[2] = {0};

	snapshot.routes = table_of(gateways, 2);
	for (int i = 0; i < 40000; i++) {
		struct flow flow = {.remote = parse("192.168.1.1"),
				    .local_port = (uint16_t)packet_random(&r),
				    .remote_port = (uint16_t)packet_random(&r)};
		struct next_hop hop;

		next_hop_lookup(&snapshot, &flow, &hop);
		taken[hop.chosen]++;
	}
	cr_expect(taken[0] > 9500 && taken[0] < 10500, "seed %d: %u of 40000", SEED, taken[0]);
}

Test(next_hop, routes_with_the_same_gateways_share_them)
{
	struct gateway one[] = {{parse("10.42.0.1"), 1}, {parse("10.42.0.2"), 1}};
	struct gateway same[] = {{parse("10.42.0.1"), 1}, {parse("10.42.0.2"), 1}};
	struct gateway heavier[] = {{parse("10.42.0.1"), 1}, {parse("10.42.0.2"), 2}};
	struct route list[] = {{prefix("192.168.1.0", 24), 2, one},
			       {prefix("192.168.2.0", 24), 2, same},
			       {prefix("192.168.3.0", 24), 2, heavier},
			       {prefix("192.168.4.0", 24), 1, one}};
	struct route_table *made = route_table_create(list, 4);

	cr_expect_eq(made->gateway_count, 5);
	cr_expect_eq(made->entries[0].gateway_first, made->entries[1].gateway_first);
	cr_expect_neq(made->entries[0].gateway_first, made->entries[2].gateway_first);
	cr_expect_neq(made->entries[0].gateway_first, made->entries[3].gateway_first);
	route_table_destroy(made);
}

Test(next_hop, refuses_what_has_no_gateway_or_too_many)
{
	static struct gateway gateways[GATEWAYS_MAX + 1];

	for (int i = 0; i <= GATEWAYS_MAX; i++)
		gateways[i].weight = 1;
	cr_expect_null(table_of(gateways, 0));
	cr_expect_null(table_of(gateways, GATEWAYS_MAX + 1));
}
