/*
 * firewall_test.c - the order of decisions, and truth tables of PROTOCOL.md 5.1 and 5.4.
 *
 * Here we are 10.42.0.1/16 with the routed network 192.168.0.0/24; the peer is 10.42.0.2.
 */
#include <criterion/criterion.h>

#include "filter/firewall.h"

TestSuite(firewall);

#define V4(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))
#define OWN            V4(10, 42, 0, 1)
#define PEER           V4(10, 42, 0, 2)
#define ROUTED         V4(192, 168, 0, 7)

static struct prefix prefix_v4(uint32_t v4, unsigned bits)
{
	return (struct prefix){addr_from_v4(v4), (uint8_t)(ADDR_V4_BITS + bits)};
}

/* One node, one peer, up to 64 rules a direction, and their bits. */
static struct rule rules[2][64];
static uint64_t ca[2], peer[2];
static struct peer_rules bits;
static struct snapshot snapshot;
static struct tunnel tunnel;
static struct addr tunnel_addrs[PEER_ADDRS_MAX];
static struct counters counters;
static struct conntrack *ct;

static void setup(void)
{
	memset(rules, 0, sizeof(rules));
	memset(&snapshot, 0, sizeof(snapshot));
	memset(&tunnel, 0, sizeof(tunnel));
	snapshot.network_count = 1;
	snapshot.networks[0] = prefix_v4(OWN, 16);
	snapshot.unsafe_count = 1;
	snapshot.unsafe_networks[0] = prefix_v4(V4(192, 168, 0, 0), 24);
	snapshot.rules_version = 1;
	snapshot.tcp_timeout_s = 720;
	snapshot.udp_timeout_s = 180;
	snapshot.default_timeout_s = 600;
	for (int d = 0; d < 2; d++) {
		snapshot.rules[d].rules = rules[d];
		ca[d] = peer[d] = UINT64_MAX;
		bits.ca[d] = &ca[d];
		bits.peer[d] = &peer[d];
	}
	bits.words = 1;
	bits.version = 1;
	tunnel.addr_count = 1;
	tunnel.addrs = tunnel_addrs;
	tunnel.addrs[0] = addr_from_v4(PEER);
	ct = conntrack_create();
}

static void teardown(void)
{
	conntrack_destroy(ct);
}

static void add_rule(enum direction direction, struct rule rule)
{
	rules[direction][snapshot.rules[direction].count++] = rule;
}

static struct flow flow_of(uint32_t remote, uint32_t local, uint8_t protocol, uint16_t local_port,
			   uint16_t remote_port)
{
	struct flow flow;

	memset(&flow, 0, sizeof(flow));
	flow.local = addr_from_v4(local);
	flow.remote = addr_from_v4(remote);
	flow.protocol = protocol;
	flow.local_port = local_port;
	flow.remote_port = remote_port;
	return flow;
}

static enum drop check(const struct flow *flow, enum direction direction, uint32_t now_s)
{
	return firewall_check(ct, &snapshot, &tunnel, &bits, flow, direction, now_s, &counters);
}

static const struct rule allow_all = {.any_port = true};

/* Traps 41: source checks with one address, several, and unsafe networks. */
Test(firewall, remote_address_belongs_to_the_certificate, .init = setup, .fini = teardown)
{
	static const struct {
		uint32_t addrs[2];
		unsigned addr_count;
		uint32_t unsafe; /* a /24; 0: none */
		uint32_t remote;
		bool allowed;
	} cases[] = {
		{{PEER}, 1, 0, PEER, true},
		{{PEER}, 1, 0, PEER + 1, false},
		{{PEER}, 1, V4(192, 168, 9, 0), PEER, true},
		{{PEER}, 1, V4(192, 168, 9, 0), V4(10, 42, 0, 3), false},
		{{PEER}, 1, V4(192, 168, 9, 0), V4(192, 168, 9, 5), true},
		{{PEER}, 1, V4(192, 168, 9, 0), V4(192, 168, 10, 5), false},
		{{PEER, V4(10, 42, 7, 7)}, 2, 0, V4(10, 42, 7, 7), true},
		{{PEER, V4(10, 42, 7, 7)}, 2, 0, V4(10, 42, 7, 8), false},
		/* the only one decides alone, wherever it lies */
		{{V4(172, 16, 0, 2)}, 1, 0, V4(172, 16, 0, 2), true},
		/* an address outside our networks is the longest match, and refused */
		{{V4(172, 16, 0, 2), PEER}, 2, 0, PEER, true},
		{{V4(172, 16, 0, 2), PEER}, 2, 0, V4(172, 16, 0, 2), false},
		{{V4(172, 16, 0, 2), PEER}, 2, V4(172, 16, 0, 0), V4(172, 16, 0, 2), false},
		{{V4(172, 16, 0, 2), PEER}, 2, V4(172, 16, 0, 0), V4(172, 16, 0, 3), true},
	};

	add_rule(INBOUND, allow_all);
	add_rule(OUTBOUND, allow_all);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct prefix unsafe = prefix_v4(cases[i].unsafe, 24);
		struct flow flow = flow_of(cases[i].remote, OWN, IPPROTO_UDP, 1, 2);
		enum drop expected = cases[i].allowed ? DROP_NONE : DROP_FIREWALL_REMOTE_ADDR;

		tunnel.addr_count = cases[i].addr_count;
		for (unsigned k = 0; k < cases[i].addr_count; k++)
			tunnel.addrs[k] = addr_from_v4(cases[i].addrs[k]);
		tunnel.prefixes = &unsafe;
		tunnel.prefix_count = cases[i].unsafe ? 1 : 0;
		cr_expect_eq(check(&flow, INBOUND, 1), expected, "case %zu", i);
		cr_expect_eq(check(&flow, OUTBOUND, 1), expected, "case %zu outbound", i);
		cr_expect_eq(firewall_judge(&snapshot, &tunnel, &bits, &flow, INBOUND, NULL),
			     expected, "case %zu, who asks why", i);
	}
}

Test(firewall, an_unsafe_default_route_holds_its_own_family_only, .init = setup, .fini = teardown)
{
	struct prefix all_v6 = {.bits = 0};
	struct flow flow = flow_of(V4(8, 8, 8, 8), OWN, IPPROTO_UDP, 1, 2);

	add_rule(INBOUND, allow_all);
	tunnel.prefixes = &all_v6;
	tunnel.prefix_count = 1;
	cr_expect_eq(check(&flow, INBOUND, 1), DROP_FIREWALL_REMOTE_ADDR);
	flow.remote = (struct addr){{0x20, 0x01}};
	cr_expect_eq(check(&flow, INBOUND, 1), DROP_NONE);
}

Test(firewall, local_address_is_ours_or_routed_by_us, .init = setup, .fini = teardown)
{
	static const struct {
		uint32_t local;
		bool allowed;
	} cases[] = {
		{OWN, true},
		{OWN + 9, false}, /* in our network, but not our address */
		{ROUTED, true},
		{V4(192, 168, 1, 7), false},
		{V4(127, 0, 0, 1), false},
	};

	add_rule(INBOUND, allow_all);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct flow flow = flow_of(PEER, cases[i].local, IPPROTO_UDP, 1, 2);
		enum drop expected = cases[i].allowed ? DROP_NONE : DROP_FIREWALL_LOCAL_ADDR;

		cr_expect_eq(check(&flow, INBOUND, 1), expected, "case %zu", i);
		cr_expect_eq(firewall_judge(&snapshot, &tunnel, &bits, &flow, INBOUND, NULL),
			     expected, "case %zu, who asks why", i);
	}
}

/* Trap 42: a tracked flow does not lend its addresses to another peer. */
Test(firewall, conntrack_comes_after_the_source_check, .init = setup, .fini = teardown)
{
	struct flow flow = flow_of(PEER, OWN, IPPROTO_UDP, 4000, 53);

	add_rule(OUTBOUND, allow_all);
	cr_expect_eq(check(&flow, INBOUND, 1), DROP_FIREWALL_NO_RULE);
	cr_assert_eq(check(&flow, OUTBOUND, 1), DROP_NONE);
	cr_expect_eq(counters.stats[STAT_CONNTRACK_NEW], 1);
	cr_expect_eq(check(&flow, INBOUND, 2), DROP_NONE, "the answer comes back");
	cr_expect_eq(counters.stats[STAT_CONNTRACK_NEW], 1);
	tunnel.addrs[0] = addr_from_v4(PEER + 1); /* another peer's tunnel */
	cr_expect_eq(check(&flow, INBOUND, 2), DROP_FIREWALL_REMOTE_ADDR);
}

Test(firewall, nothing_is_allowed_by_default, .init = setup, .fini = teardown)
{
	struct flow flow = flow_of(PEER, OWN, IPPROTO_TCP, 80, 5000);

	cr_expect_eq(check(&flow, INBOUND, 1), DROP_FIREWALL_NO_RULE);
	cr_expect_eq(check(&flow, OUTBOUND, 1), DROP_FIREWALL_NO_RULE);
	cr_expect_eq(conntrack_count(ct, 1), 0);
}

/* Protocols, ports and fragments; traps 62 and 63. */
Test(firewall, protocols_ports_and_fragments, .init = setup, .fini = teardown)
{
	enum { TCP = IPPROTO_TCP, UDP = IPPROTO_UDP, ICMP = 1, ICMP6 = 58, SCTP = 132 };
	static const struct rule any_any = {.any_port = true};
	static const struct rule any_80 = {.port_first = 80, .port_last = 80};
	static const struct rule any_fragment = {.fragment = true};
	static const struct rule tcp_any = {.protocol = RULE_TCP, .any_port = true};
	static const struct rule tcp_80 = {.protocol = RULE_TCP, .port_first = 80, .port_last = 80};
	static const struct rule udp_range = {
		.protocol = RULE_UDP, .port_first = 100, .port_last = 200};
	static const struct rule udp_high = {
		.protocol = RULE_UDP, .port_first = 60000, .port_last = 65535};
	static const struct rule tcp_fragment = {.protocol = RULE_TCP, .fragment = true};
	static const struct rule icmp = {.protocol = RULE_ICMP, .any_port = true};
	static const struct {
		const struct rule *rule;
		uint8_t protocol;
		uint16_t port; /* the one that counts */
		bool fragment, allowed;
	} cases[] = {
		{&any_any, TCP, 1, false, true},       {&any_any, SCTP, 0, false, true},
		{&any_any, ICMP, 7, false, true},      {&any_any, UDP, 0, true, true},
		{&any_80, TCP, 80, false, true},       {&any_80, UDP, 80, false, true},
		{&any_80, TCP, 81, false, false},      {&any_80, ICMP, 80, false, false},
		{&any_80, ICMP6, 80, false, false},    {&any_80, SCTP, 80, false, true},
		{&any_80, TCP, 80, true, false},       {&any_fragment, TCP, 0, true, true},
		{&any_fragment, TCP, 0, false, false}, {&any_fragment, ICMP, 0, true, false},
		{&tcp_any, TCP, 9, false, true},       {&tcp_any, TCP, 0, true, true},
		{&tcp_any, UDP, 9, false, false},      {&tcp_any, ICMP, 9, false, false},
		{&tcp_any, SCTP, 9, false, false},     {&tcp_80, TCP, 80, false, true},
		{&tcp_80, SCTP, 80, false, false},     {&tcp_80, UDP, 80, false, false},
		{&tcp_80, TCP, 0, true, false},        {&tcp_fragment, TCP, 0, true, true},
		{&tcp_fragment, TCP, 0, false, false}, {&tcp_fragment, UDP, 0, true, false},
		{&udp_range, UDP, 99, false, false},   {&udp_range, UDP, 100, false, true},
		{&udp_range, UDP, 200, false, true},   {&udp_range, UDP, 201, false, false},
		{&udp_high, UDP, 65535, false, true},  {&icmp, ICMP, 3, false, true},
		{&icmp, ICMP6, 3, false, true},        {&icmp, ICMP, 0, true, true},
		{&icmp, TCP, 3, false, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (int d = 0; d < 2; d++) {
			/* the port that does not count is one that no rule here allows */
			struct flow flow = flow_of(PEER, OWN, cases[i].protocol,
						   d == INBOUND ? cases[i].port : 30000,
						   d == INBOUND ? 30000 : cases[i].port);
			uint32_t which = 99;

			flow.fragment = cases[i].fragment;
			snapshot.rules[d].count = 0;
			add_rule(d, *cases[i].rule);
			cr_expect_eq(firewall_rules_match(&snapshot, &bits, &flow, d, &which),
				     cases[i].allowed, "case %zu direction %d", i, d);
			cr_expect_eq(which, cases[i].allowed ? 0 : 99);
		}
	}
}

/* match = ca AND (peer OR cidr): every combination of the bits (trap 65). */
Test(firewall, ca_and_peer_or_cidr, .init = setup, .fini = teardown)
{
	struct flow flow = flow_of(PEER, OWN, IPPROTO_TCP, 80, 5000);

	for (unsigned i = 0; i < 16; i++) {
		bool ca_fits = i & 1, peer_fits = i & 2, has_cidr = i & 4, cidr_fits = i & 8;
		struct rule rule = {.any_port = true, .has_cidr = has_cidr};

		rule.cidr = prefix_v4(cidr_fits ? PEER : PEER + 256, 24);
		snapshot.rules[INBOUND].count = 0;
		add_rule(INBOUND, rule);
		ca[INBOUND] = ca_fits;
		peer[INBOUND] = peer_fits;
		cr_expect_eq(firewall_rules_match(&snapshot, &bits, &flow, INBOUND, NULL),
			     ca_fits && (peer_fits || (has_cidr && cidr_fits)),
			     "ca %d peer %d cidr %d fits %d", ca_fits, peer_fits, has_cidr,
			     cidr_fits);
	}
}

/* Trap 71: a rule without local_cidr opens the router itself, not what lies behind it. */
Test(firewall, local_cidr, .init = setup, .fini = teardown)
{
	static const struct {
		enum rule_local kind;
		uint32_t prefix;
		uint32_t local;
		bool allowed;
	} cases[] = {
		{RULE_LOCAL_ANY, 0, OWN, true},
		{RULE_LOCAL_ANY, 0, ROUTED, true},
		{RULE_LOCAL_OWN_NETWORKS, 0, OWN, true},
		{RULE_LOCAL_OWN_NETWORKS, 0, ROUTED, false},
		{RULE_LOCAL_PREFIX, V4(192, 168, 0, 0), OWN, false},
		{RULE_LOCAL_PREFIX, V4(192, 168, 0, 0), ROUTED, true},
		{RULE_LOCAL_PREFIX, V4(10, 42, 0, 0), OWN, true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct flow flow = flow_of(PEER, cases[i].local, IPPROTO_TCP, 80, 5000);
		struct rule rule = {.any_port = true, .local_kind = cases[i].kind};

		rule.local_cidr = prefix_v4(cases[i].prefix, 24);
		snapshot.rules[INBOUND].count = 0;
		add_rule(INBOUND, rule);
		cr_expect_eq(firewall_rules_match(&snapshot, &bits, &flow, INBOUND, NULL),
			     cases[i].allowed, "case %zu", i);
	}
}

/* Which rule it was, beyond the first word of bits; and none beyond the bits there are. */
Test(firewall, bits_of_many_rules, .init = setup, .fini = teardown)
{
	static struct rule many[200];
	static uint64_t all[4] = {~0ull, ~0ull, ~0ull, ~0ull}, one[4];
	struct flow flow = flow_of(PEER, OWN, IPPROTO_TCP, 80, 5000);
	uint32_t which;

	for (unsigned i = 0; i < 200; i++)
		many[i] = allow_all;
	snapshot.rules[INBOUND] = (struct ruleset){200, many};
	bits.ca[INBOUND] = all;
	bits.peer[INBOUND] = one;
	bits.words = 4;
	cr_expect_not(firewall_rules_match(&snapshot, &bits, &flow, INBOUND, &which));
	one[2] = 1ull << 33;
	cr_expect(firewall_rules_match(&snapshot, &bits, &flow, INBOUND, &which));
	cr_expect_eq(which, 2 * 64 + 33);
	bits.words = 2;
	cr_expect_not(firewall_rules_match(&snapshot, &bits, &flow, INBOUND, &which));
}

/* Trap 70: an ICMP error is a flow of its own, whatever packet it quotes; and an answer to our echo
 * is one of the echo's. */
Test(firewall, icmp_errors_need_a_rule_and_echo_answers_do_not, .init = setup, .fini = teardown)
{
	struct flow udp = flow_of(PEER, OWN, IPPROTO_UDP, 4000, 53);
	struct flow unreachable = flow_of(PEER, OWN, IPPROTO_ICMP, 0, 0);
	struct flow echo = flow_of(PEER, OWN, IPPROTO_ICMP, 0, 77);
	struct flow other_echo = flow_of(PEER, OWN, IPPROTO_ICMP, 0, 78);

	add_rule(OUTBOUND, allow_all);
	cr_expect_eq(check(&udp, OUTBOUND, 1), DROP_NONE);
	cr_expect_eq(check(&udp, INBOUND, 1), DROP_NONE);
	cr_expect_eq(check(&unreachable, INBOUND, 1), DROP_FIREWALL_NO_RULE);
	cr_expect_eq(check(&echo, OUTBOUND, 1), DROP_NONE);
	cr_expect_eq(check(&echo, INBOUND, 1), DROP_NONE);
	cr_expect_eq(check(&other_echo, INBOUND, 1), DROP_FIREWALL_NO_RULE, "by identifier");
	add_rule(INBOUND, (struct rule){.protocol = RULE_ICMP, .any_port = true});
	cr_expect_eq(check(&unreachable, INBOUND, 1), DROP_NONE);
}

/* Trap 67: after a reload a flow is judged again in the direction that created it. */
Test(firewall, reload_judges_tracked_flows_again, .init = setup, .fini = teardown)
{
	struct flow allowed = flow_of(PEER, OWN, IPPROTO_UDP, 4000, 53);
	struct flow forbidden = flow_of(PEER, OWN, IPPROTO_UDP, 4000, 54);

	add_rule(OUTBOUND, allow_all);
	cr_assert_eq(check(&allowed, OUTBOUND, 1), DROP_NONE);
	cr_assert_eq(check(&forbidden, OUTBOUND, 1), DROP_NONE);

	snapshot.rules_version = bits.version = 2;
	rules[OUTBOUND][0] = (struct rule){.protocol = RULE_UDP, .port_first = 53, .port_last = 53};
	cr_expect_eq(check(&forbidden, INBOUND, 2), DROP_FIREWALL_NO_RULE);
	cr_expect_eq(check(&allowed, INBOUND, 2), DROP_NONE, "answer to what outbound allows");
	cr_expect_eq(check(&allowed, INBOUND, 181), DROP_NONE, "and refreshed");
	cr_expect_eq(conntrack_count(ct, 2), 1);
}

/* The answer that comes first after each reload does not make the flow one of its own direction. */
Test(firewall, a_flow_keeps_its_direction_over_reloads, .init = setup, .fini = teardown)
{
	for (unsigned creates = 0; creates < 2; creates++) {
		struct flow flow = flow_of(PEER, OWN, IPPROTO_TCP, (uint16_t)(2000 + creates), 443);

		snapshot.rules_version = bits.version = (uint16_t)(1 + 10 * creates);
		snapshot.rules[0].count = snapshot.rules[1].count = 0;
		add_rule(creates, allow_all);
		cr_assert_eq(check(&flow, creates, 1), DROP_NONE);
		for (unsigned reload = 0; reload < 3; reload++) {
			snapshot.rules_version = ++bits.version;
			cr_expect_eq(check(&flow, !creates, 2), DROP_NONE, "reload %u", reload);
		}
	}
}

/* The same whoever created the flow and whichever way the packet goes, and past the last version.
 */
Test(firewall, every_way_a_tracked_flow_is_judged_again, .init = setup, .fini = teardown)
{
	static const uint16_t versions[][2] = {{1, 2}, {65534, 65535}, {65535, 0}, {0, 1}};

	for (unsigned i = 0; i < 4 * 8; i++) {
		enum direction creates = i & 1, packet = i >> 1 & 1;
		bool still_allowed = i >> 2 & 1;
		const uint16_t *version = versions[i >> 3];
		struct flow flow = flow_of(PEER, OWN, IPPROTO_TCP, (uint16_t)(1000 + i), 443);
		uint64_t created = counters.stats[STAT_CONNTRACK_NEW];

		snapshot.rules_version = bits.version = version[0];
		snapshot.rules[0].count = snapshot.rules[1].count = 0;
		add_rule(creates, allow_all);
		cr_assert_eq(check(&flow, creates, 1), DROP_NONE, "case %u", i);

		snapshot.rules_version = bits.version = version[1];
		snapshot.rules[creates].count = still_allowed;
		cr_expect_eq(check(&flow, packet, 2),
			     still_allowed ? DROP_NONE : DROP_FIREWALL_NO_RULE, "case %u", i);
		cr_expect_eq(check(&flow, 1 - packet, 2),
			     still_allowed ? DROP_NONE : DROP_FIREWALL_NO_RULE, "case %u", i);
		/* passed, it has the new version: the next packet asks no rule */
		snapshot.rules[creates].count = 0;
		cr_expect_eq(check(&flow, packet, 3),
			     still_allowed ? DROP_NONE : DROP_FIREWALL_NO_RULE, "case %u", i);
		cr_expect_eq(counters.stats[STAT_CONNTRACK_NEW], created + 1, "case %u", i);
	}
}

/* What outbound created and no longer allows may still be new by an inbound rule. */
Test(firewall, a_flow_cut_in_one_direction_may_begin_in_the_other, .init = setup, .fini = teardown)
{
	struct flow flow = flow_of(PEER, OWN, IPPROTO_UDP, 4000, 53);

	add_rule(OUTBOUND, allow_all);
	cr_assert_eq(check(&flow, OUTBOUND, 1), DROP_NONE);
	snapshot.rules_version = bits.version = 2;
	snapshot.rules[OUTBOUND].count = 0;
	add_rule(INBOUND, allow_all);
	cr_expect_eq(check(&flow, INBOUND, 2), DROP_NONE);
	cr_expect_eq(counters.stats[STAT_CONNTRACK_NEW], 2);
}

/* Between a new snapshot and the tunnel's new bits: old flows go on unrefreshed, new ones wait. */
Test(firewall, bits_of_other_rules_judge_nothing, .init = setup, .fini = teardown)
{
	struct flow old = flow_of(PEER, OWN, IPPROTO_UDP, 4000, 53);
	struct flow new = flow_of(PEER, OWN, IPPROTO_UDP, 4001, 53);

	add_rule(OUTBOUND, allow_all);
	cr_assert_eq(check(&old, OUTBOUND, 1), DROP_NONE);
	snapshot.rules_version = 2;
	cr_expect_eq(check(&old, OUTBOUND, 100), DROP_NONE);
	cr_expect_eq(check(&new, OUTBOUND, 100), DROP_FIREWALL_NO_RULE);
	cr_expect_eq(firewall_check(ct, &snapshot, &tunnel, NULL, &old, INBOUND, 100, &counters),
		     DROP_NONE);
	cr_expect_eq(firewall_check(ct, &snapshot, &tunnel, NULL, &new, INBOUND, 100, &counters),
		     DROP_FIREWALL_NO_RULE);
	cr_expect_eq(check(&old, OUTBOUND, 181), DROP_FIREWALL_NO_RULE, "not refreshed meanwhile");
}

/* More flows than there is room for: the others go on, and it is counted. */
Test(firewall, new_and_evicted_flows_are_counted, .init = setup, .fini = teardown)
{
	const uint32_t flows = CONNTRACK_BUCKETS * CONNTRACK_WAYS + 1;
	struct flow again = flow_of(PEER, OWN, IPPROTO_UDP, 0, 0);

	add_rule(INBOUND, allow_all);
	cr_assert_eq(check(&again, INBOUND, 1), DROP_NONE);
	for (uint32_t i = 0; i < flows; i++) {
		struct flow flow = flow_of(PEER, OWN, IPPROTO_UDP, (uint16_t)i, i >> 16);
		cr_assert_eq(check(&flow, INBOUND, 1000), DROP_NONE);
		if (i == 0)
			cr_expect_eq(counters.stats[STAT_CONNTRACK_EVICTED], 0, "it had expired");
	}
	cr_expect_eq(counters.stats[STAT_CONNTRACK_NEW], flows + 1);
	cr_expect_eq(counters.stats[STAT_CONNTRACK_EVICTED], flows - conntrack_count(ct, 1000));
}

/* Trap 70: errors about a tracked flow are not related to it; they need a rule for ICMP. */
Test(firewall, icmp_errors_need_a_rule_of_their_own, .init = setup, .fini = teardown)
{
	struct flow udp = flow_of(PEER, OWN, IPPROTO_UDP, 4000, 53);
	struct flow error = flow_of(PEER, OWN, IPPROTO_ICMP, 0, 0);

	add_rule(OUTBOUND, allow_all);
	cr_assert_eq(check(&udp, OUTBOUND, 1), DROP_NONE);
	cr_assert_eq(check(&udp, INBOUND, 1), DROP_NONE, "tracked");
	cr_assert_eq(check(&error, INBOUND, 1), DROP_FIREWALL_NO_RULE);
	add_rule(INBOUND, (struct rule){.protocol = RULE_ICMP, .any_port = true});
	cr_assert_eq(check(&error, INBOUND, 1), DROP_NONE);
}
