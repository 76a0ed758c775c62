/*
 * lists_sim.c - what a host says of itself, and the lists that forbid: advertise_addrs,
 * local_allow_list, remote_allow_list and remote_allow_ranges, calculated_remotes (PROTOCOL.md 6.3,
 * 6.7, 6.8).
 */

#include "hub.h"
#include "peers/node_query.h"
#include "wire.h"

/* --- what is reported --------------------------------------------------------------------------
 */

/* Did A report it to L? */
static bool reported(struct sim *sim, const struct endpoint *at)
{
	const struct remotes_owner *words = remotes_of(hub_host(L, 2)->remotes, &A->addr);

	cr_assert_not_null(words);
	for (uint32_t i = 0; i < words->v4_count + words->v6_count; i++)
		if (endpoint_equal(&words->entries[i], at))
			return true;
	return false;
}

static uint32_t reports(struct sim *sim)
{
	const struct remotes_owner *words = remotes_of(hub_host(L, 2)->remotes, &A->addr);

	return words->v4_count + words->v6_count;
}

/* Literal ones: first, with our port for 0, and none inside of the overlay. */
static void advertised(struct sim *sim)
{
	struct endpoint list[] = {
		hub_at(0xcb007101, 0),
		{{{0x20, 1, 0xd, 0xb8, [15] = 1}}, 99},
		hub_at(0x0a2a0063, 7),
	};
	struct endpoint first = hub_at(0xcb007101, 4242);

	hub_add(sim);
	A->options.lighthouse.advertise = list;
	A->options.lighthouse.advertise_count = 3;
	hub_start(sim);
	sim_run(sim, SIM_S);
	cr_assert(reported(sim, &first), "port 0 is ours");
	cr_assert(reported(sim, &list[1]));
	cr_assert(reported(sim, &A->endpoint), "and the interface's own");
	cr_assert_eq(reports(sim), 3);
	cr_assert(
		endpoint_equal(&remotes_of(hub_host(L, 2)->remotes, &A->addr)->entries[0], &first));
	cr_assert_eq(L->drops[DROP_LIGHTHOUSE_ADDRESS], 0, "the one in the overlay is not said");
}

Test(sim_lists, advertised)
{
	sim_seeds(2, advertised);
}

static const struct local_addr interfaces[] = {
	{"lo", {{[15] = 1}}},
	{"lo", {{[10] = 0xff, 0xff, 127, 0, 0, 1}}},
	{"tun0", {{[10] = 0xff, 0xff, 10, 42, 0, 2}}},
	{"eth0", {{[10] = 0xff, 0xff, 192, 0, 2, 2}}},
	{"eth0", {{0xfe, 0x80, [15] = 2}}},
	{"eth0", {{[10] = 0xff, 0xff, 169, 254, 1, 1}}},
	{"eth0", {{[10] = 0xff, 0xff, 0, 0, 0, 0}}},
	{"eth1", {{0x20, 1, 0xd, 0xb8, [15] = 2}}},
	{"eth1", {{[10] = 0xff, 0xff, 198, 51, 100, 9}}},
	{"docker0", {{[10] = 0xff, 0xff, 172, 17, 0, 1}}},
};
#define INTERFACES (sizeof(interfaces) / sizeof(interfaces[0]))

static size_t many_addrs(void *context, struct local_addr *list, size_t most)
{
	memcpy(list, interfaces, sizeof(interfaces));
	return INTERFACES;
}

/* Of ten addresses, four mean the same to others; a list takes one more of them, the name of an
 * interface another. Without an IPv6 socket an IPv6 address leads nowhere. */
static void local_addrs(struct sim *sim)
{
	struct allow_rule rule;
	struct allow_list list = hub_forbidding(&rule);
	bool lists = sim->seed % 2, v6 = sim->seed / 2 % 2;
	struct endpoint at;
	char why[128];
	struct interface_rule *docker = interface_rule_compile("docker.*", why, sizeof(why));

	cr_assert_not_null(docker, "%s", why);
	hub_add(sim);
	A->options.local_addrs = many_addrs;
	A->options.udp_v6 = v6;
	if (lists)
		A->options.lighthouse.local_allow = (struct local_allow){
			.addrs = &list, .interface_count = 1, .interfaces = &docker};
	hub_start(sim);
	sim_run(sim, SIM_S);
	for (size_t i = 0; i < INTERFACES; i++) {
		at = (struct endpoint){interfaces[i].addr, 4242};
		cr_assert_eq(reported(sim, &at),
			     i == 3 || (v6 && i == 7) || (!lists && (i == 8 || i == 9)), "%zu", i);
	}
	cr_assert_eq(L->drops[DROP_LIGHTHOUSE_ADDRESS], 0, "others are not even told");
	interface_rule_free(docker);
}

Test(sim_lists, local_addrs)
{
	sim_seeds(4, local_addrs);
}

/* relay.relays are reported, but not by a relay: there are no chains. */
static void relays_reported(struct sim *sim)
{
	struct addr relays[] = {{{0xfd, [15] = 9}}, {{0}}}; /* the first has no v1 form */
	bool am_relay = sim->seed % 2;
	const struct remotes_owner *words;

	hub_add(sim);
	relays[1] = B->addr;
	A->options.relay.relays = relays;
	A->options.relay.relay_count = 2;
	A->options.relay.am_relay = am_relay;
	hub_start(sim);
	sim_run(sim, SIM_S);
	words = remotes_of(hub_host(L, 2)->remotes, &A->addr);
	cr_assert_eq(words->relay_count, !am_relay);
}

Test(sim_lists, relays_reported)
{
	sim_seeds(2, relays_reported);
}

/* Every lighthouse is told, each time. */
static void all_are_told(struct sim *sim)
{
	struct sim_node *other;

	hub_add(sim);
	other = sim_add(sim);
	sim_client(A, other);
	hub_start(sim);
	sim_run(sim, 31 * SIM_S);
	cr_assert_eq(sim_count(sim, &A->endpoint, &L->endpoint, WIRE_LIGHTHOUSE, 0), 4);
	cr_assert_eq(sim_count(sim, &A->endpoint, &other->endpoint, WIRE_LIGHTHOUSE, 0), 4);
}

Test(sim_lists, every_lighthouse_is_told)
{
	sim_seeds(2, all_are_told);
}

static size_t told_by_the_flapping(struct sim *sim)
{
	struct endpoint one = sim_endpoint(77, 4242), other = sim_endpoint(79, 4242);

	return sim_count(sim, &one, &L->endpoint, WIRE_LIGHTHOUSE, 0) +
	       sim_count(sim, &other, &L->endpoint, WIRE_LIGHTHOUSE, 0);
}

/*
 * Another address, seen by netlink: peers follow by a test at once, lighthouses are told it in a
 * report, and an interface that flaps tells it about once a second.
 */
static void moved(struct sim *sim)
{
	size_t before, told;

	hub_add(sim);
	sim_static(A, 3, &B->endpoint);
	B->options.lighthouse.host_count = sim->seed % 2; /* B has no lighthouse, or one */
	hub_start(sim);
	sim_send(A, 0, 3, 1);
	sim_send(B, 0, 2, 1);
	sim_run(sim, 3 * SIM_S);
	B->endpoint = sim_endpoint(78, 4242);
	node_on_local_addrs(B->node);
	sim_run(sim, 100 * SIM_MS);
	cr_assert(endpoint_equal(&sim_primary(A, 3)->remote->to, &B->endpoint));
	A->endpoint = sim_endpoint(77, 4242);
	node_on_local_addrs(A->node);
	sim_run(sim, 100 * SIM_MS);
	cr_assert(endpoint_equal(&sim_primary(B, 2)->remote->to, &A->endpoint));
	cr_assert(reported(sim, &A->endpoint), "L has been told, and not by the next report");

	sim_run(sim, SIM_S);
	before = told_by_the_flapping(sim);
	for (int i = 0; i < 50; i++, sim_run(sim, 100 * SIM_MS)) {
		A->endpoint = sim_endpoint(77 + i % 2 * 2, 4242);
		node_on_local_addrs(A->node);
	}
	told = told_by_the_flapping(sim) - before;
	cr_assert(told >= 4 && told <= 7, "%zu", told);
}

Test(sim_lists, a_move_is_told_at_once)
{
	sim_seeds(4, moved);
}

static uint32_t containers; /* each has brought link-local addresses */

static size_t addrs_of_a_container_host(void *context, struct local_addr *list, size_t most)
{
	const struct sim_node *node = context;
	size_t count = 0;

	list[count++] = (struct local_addr){"eth0", node->endpoint.addr};
	for (uint32_t i = 0; i < containers; i++)
		list[count++] =
			(struct local_addr){"veth0", {{0xfe, 0x80, [15] = (uint8_t)(i + 1)}}};
	return count;
}

/*
 * The kernel speaks of addresses when a router prolongs them, and when a container comes, too: what
 * others hear of is the same, so neither peers nor the lighthouse are troubled. A move among all
 * that is told, even if a report that was due has seen it first.
 */
static void not_moved(struct sim *sim)
{
	size_t before;

	containers = 0;
	hub_add(sim);
	sim_static(A, 3, &B->endpoint);
	A->options.local_addrs = addrs_of_a_container_host;
	hub_start(sim);
	sim_send(A, 0, 3, 1);
	sim_run(sim, 4 * SIM_S); /* the next report is due at 10 s */
	before = sim->sent_count;
	for (; containers < 20; containers++, sim_run(sim, 100 * SIM_MS))
		node_on_local_addrs(A->node);
	sim_run(sim, SIM_S);
	cr_assert_eq(sim->sent_count, before, "%zu datagrams", sim->sent_count - before);

	A->endpoint = sim_endpoint(77, 4242);
	if (sim->seed % 2) {
		lighthouse_report(A->node);
		sim_run(sim, 100 * SIM_MS);
	}
	node_on_local_addrs(A->node);
	sim_run(sim, 100 * SIM_MS);
	cr_assert(endpoint_equal(&sim_primary(B, 2)->remote->to, &A->endpoint));
	cr_assert(reported(sim, &A->endpoint));
}

Test(sim_lists, what_is_no_move_troubles_nobody)
{
	sim_seeds(4, not_moved);
}

static uint32_t more; /* addresses of another interface */

static size_t addrs_of_two_interfaces(void *context, struct local_addr *list, size_t most)
{
	const struct sim_node *node = context;
	size_t count = 0;

	list[count++] = (struct local_addr){"eth0", node->endpoint.addr};
	for (uint32_t i = 0; i < more; i++)
		list[count++] = (struct local_addr){"wlan0", sim_endpoint(90 + i, 0).addr};
	return count;
}

/* One more address is a change, and so is one less. */
static void one_more_one_less(struct sim *sim)
{
	static const uint32_t steps[] = {1, 2, 1, 0};
	struct endpoint other = sim_endpoint(90, 4242);
	size_t sent;

	more = 0;
	hub_add(sim);
	A->options.local_addrs = addrs_of_two_interfaces;
	A->options.lighthouse.interval_ns = 0;
	hub_start(sim);
	sim_run(sim, 3 * SIM_S);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++, sim_run(sim, 3 * SIM_S)) {
		more = steps[i];
		node_on_local_addrs(A->node);
		sim_run(sim, 100 * SIM_MS);
		cr_assert_eq(reported(sim, &other), more > 0, "%zu", i);
		cr_assert_eq(reports(sim), 1 + more, "%zu", i);
	}
	sent = sim->sent_count;
	node_on_local_addrs(A->node);
	sim_run(sim, SIM_S);
	cr_assert_eq(sim->sent_count, sent, "what has been told is no change any more");
	sent = hub_sealed(sim, A, L);
	for (more = 3; more > 1; more--, sim_run(sim, 5 * SIM_MS))
		node_on_local_addrs(A->node);
	sim_run(sim, 3 * SIM_S);
	cr_assert_eq(hub_sealed(sim, A, L), sent + 1, "what comes together is told once");
	cr_assert_eq(reports(sim), 2);
}

Test(sim_lists, one_more_one_less)
{
	sim_seeds(1, one_more_one_less);
}

/* A NAT gives A another port and nobody tells it: the lighthouse sees it by A's next packet. */
static void seen(struct sim *sim)
{
	hub_add(sim);
	hub_start(sim);
	sim_run(sim, SIM_S);
	A->endpoint = sim_endpoint(77, 7777);
	sim_send(A, 0, 1, 1);
	sim_run(sim, 50 * SIM_MS);
	sim_send(B, 0, 2, 1);
	sim_run(sim, 50 * SIM_MS);
	cr_assert(sim_got_number(A, 3, 1), "B was told where A's packets come from");
}

Test(sim_lists, where_packets_come_from)
{
	sim_seeds(2, seen);
}

/* The same where the hosts have IPv6: that family has a place of its own in what is told. */
static void seen_v6(struct sim *sim)
{
	hub_add(sim);
	for (int i = 0; i < 3; i++)
		sim->nodes[i].options.udp_v6 = true;
	A->endpoint = (struct endpoint){{{0x20, 1, 0xd, 0xb8, [15] = 2}}, 4242};
	hub_start(sim);
	sim_run(sim, SIM_S);
	A->endpoint.port = 7777;
	sim_send(A, 0, 1, 1);
	sim_run(sim, 50 * SIM_MS);
	sim_send(B, 0, 2, 1);
	sim_run(sim, 50 * SIM_MS);
	cr_assert(sim_got_number(A, 3, 1), "B was told where A's packets come from");
}

Test(sim_lists, where_packets_come_from_over_ipv6)
{
	sim_seeds(2, seen_v6);
}

/* --- what may be used --------------------------------------------------------------------------
 */

/* Static and calculated addresses pass the lists too, and none leads through the overlay. */
static void configured(struct sim *sim)
{
	struct calculated_remote masks[] = {
		{{addr_from_v4(0x0a2a0000), 112}, {sim_endpoint(0, 0).addr, 120}, 4242},
		{{addr_from_v4(0x0a2a0000), 112}, {addr_from_v4(HUB_FORBIDDEN), 120}, 4242},
		{{addr_from_v4(0x0a2a0000), 112}, {addr_from_v4(0x0a2a0100), 120}, 4242},
	};
	struct endpoint forbidden = hub_at(HUB_FORBIDDEN, 4242), overlay = hub_at(0x0a2a0103, 4242),
			calculated = hub_at((HUB_FORBIDDEN & ~0xffu) | 3, 4242),
			loop = hub_at(0x0a2a0003, 4242);
	struct allow_rule rule;
	struct allow_list list = hub_forbidding(&rule);

	hub_add(sim);
	A->options.lighthouse.remote_allow.all = &list;
	A->options.lighthouse.calculated = masks;
	A->options.lighthouse.calculated_count = 3;
	sim_static(A, 3, &forbidden);
	sim_static(A, 3, &loop);
	hub_start(sim);
	sim_send(A, 0, 3, 1);
	sim_run(sim, 3 * SIM_S);
	cr_assert(sim_got_number(B, 2, 1), "by the one that is left");
	cr_assert_eq(hub_sent_to(sim, &forbidden), 0, "static");
	cr_assert_eq(hub_sent_to(sim, &calculated), 0, "calculated");
	cr_assert_eq(hub_sent_to(sim, &overlay), 0, "in the overlay");
	cr_assert_eq(hub_sent_to(sim, &loop), 0, "static in the overlay");
}

Test(sim_lists, configured)
{
	sim_seeds(2, configured);
}

/* One configuration for all: A is in its own lists of static hosts and of lighthouses. */
static void ourselves(struct sim *sim)
{
	hub_add(sim);
	A->lighthouses[A->options.lighthouse.host_count++] = A->addr;
	sim_static(A, 2, &A->endpoint);
	hub_start(sim);
	sim_send(A, 0, 3, 1);
	sim_run(sim, 30 * SIM_S);
	cr_assert(sim_got_number(B, 2, 1));
	cr_assert_eq(sim_count(sim, &A->endpoint, &A->endpoint, WIRE_HANDSHAKE, 1), 0);
	cr_assert_eq(node_pending_count(A->node), 0);
}

Test(sim_lists, ourselves)
{
	sim_seeds(2, ourselves);
}

/* Stage 2 from an address that is forbidden: A was called at another, and answers from there. */
static void answer_denied(struct sim *sim)
{
	struct allow_rule rule;
	struct allow_list list = hub_forbidding(&rule);
	struct endpoint home;

	hub_add(sim);
	A->options.lighthouse.remote_allow.all = &list;
	home = B->endpoint;
	sim_static(A, 3, &home);
	sim_start_node(A);
	sim_start_node(B);
	sim_send(A, 0, 3, 1);
	B->endpoint = hub_at(HUB_FORBIDDEN, 4242);
	sim->sent_count = 0; /* freed with the process */
	sim_run(sim, SIM_MS);
	for (size_t i = 0; i < sim->sent_count; i++)
		if (endpoint_equal(&sim->sent[i].to, &home))
			sim_inject(sim, &A->endpoint, &B->endpoint, sim->sent[i].bytes,
				   sim->sent[i].length, SIM_MS);
	sim_run(sim, 100 * SIM_MS);
	cr_assert_gt(A->drops[DROP_REMOTE_DENIED], 0);
	cr_assert_null(sim_primary(A, 3));
}

Test(sim_lists, answer_denied)
{
	sim_seeds(2, answer_denied);
}

/* One list for everybody, or one for A's part of the overlay: stage 1 of A's is dropped by B before
 * its certificate is read, or behind it. Another host from the same place is served by the latter.
 */
static void call_denied(struct sim *sim)
{
	struct allow_rule rule;
	struct allow_list list = hub_forbidding(&rule);
	struct remote_allow_range range = {{addr_from_v4(0x0a2a0002), 128}, &list};
	bool ranges = sim->seed % 2;
	struct sim_node *other;

	hub_add(sim);
	other = sim_add(sim);
	A->endpoint = hub_at(HUB_FORBIDDEN, 1);
	other->endpoint = hub_at(HUB_FORBIDDEN, 2);
	if (ranges)
		B->options.lighthouse.remote_allow =
			(struct remote_allow){.range_count = 1, .ranges = &range};
	else
		B->options.lighthouse.remote_allow.all = &list;
	sim_static(A, 3, &B->endpoint);
	sim_static(other, 3, &B->endpoint);
	hub_start(sim);
	sim_send(A, 0, 3, 1);
	sim_send(other, 0, 3, 2);
	sim_run(sim, 3 * SIM_S);
	cr_assert(!sim_got_number(B, 2, 1));
	cr_assert_gt(B->drops[DROP_REMOTE_DENIED], 0);
	cr_assert_eq(sim_got_number(B, other->id, 2), ranges);
}

Test(sim_lists, call_denied)
{
	sim_seeds(2, call_denied);
}

/* A stage 1 of A's, sent again from a place that the list of A's range forbids, gets no answer. */
static void repeat_denied(struct sim *sim)
{
	struct allow_rule rule;
	struct allow_list list = hub_forbidding(&rule);
	struct remote_allow_range range = {{addr_from_v4(0x0a2a0002), 128}, &list};
	struct endpoint forbidden = hub_at(HUB_FORBIDDEN, 1);
	const struct sim_datagram *call;

	hub_add(sim);
	B->options.lighthouse.remote_allow =
		(struct remote_allow){.range_count = 1, .ranges = &range};
	sim_static(A, 3, &B->endpoint);
	sim->cut[0] = B->endpoint; /* its answer is lost, so it would be given again */
	sim->cut[1] = A->endpoint;
	sim->cut_one_way = true;
	hub_start(sim);
	sim_send(A, 0, 3, 1);
	sim_run(sim, 50 * SIM_MS);
	call = sim_find(sim, &A->endpoint, &B->endpoint, WIRE_HANDSHAKE, 1, 0);
	cr_assert_not_null(call);
	sim_inject(sim, &forbidden, &B->endpoint, call->bytes, call->length, 0);
	sim_run(sim, 50 * SIM_MS);
	cr_assert_eq(hub_sent_to(sim, &forbidden), 0);
	cr_assert_eq(B->drops[DROP_REMOTE_DENIED], 1);
}

Test(sim_lists, repeat_denied)
{
	sim_seeds(2, repeat_denied);
}

/* A source that is forbidden costs no more than a look at the list: what it sends is not read. */
static void not_read(struct sim *sim)
{
	uint8_t junk[200] = {0};
	struct endpoint forbidden = hub_at(HUB_FORBIDDEN, 1), other = sim_endpoint(66, 1);
	struct allow_rule rule;
	struct allow_list list = hub_forbidding(&rule);

	hub_add(sim);
	B->options.lighthouse.remote_allow.all = &list;
	hub_start(sim);
	wire_write(junk, WIRE_HANDSHAKE, 0, 1);
	sim_inject(sim, &forbidden, &B->endpoint, junk, sizeof(junk), 0);
	sim_run(sim, SIM_S);
	cr_assert_eq(B->drops[DROP_REMOTE_DENIED], 1);
	cr_assert_eq(B->drops[DROP_HANDSHAKE_INVALID], 0);
	sim_inject(sim, &other, &B->endpoint, junk, sizeof(junk), 0);
	sim_run(sim, SIM_S);
	cr_assert_eq(B->drops[DROP_HANDSHAKE_INVALID], 1);
}

Test(sim_lists, not_read)
{
	sim_seeds(2, not_read);
}

/* A reply about a host that nobody asks for adds nothing to what the configuration says of it. */
static void unasked(struct sim *sim)
{
	struct lighthouse_message reply = hub_message(LIGHTHOUSE_REPLY, 55);
	struct endpoint home = sim_endpoint(55, 4242);

	hub_add(sim);
	sim_static(A, 55, &home);
	hub_start(sim);
	sim_run(sim, SIM_S);
	reply.v4[reply.v4_count++] = sim_endpoint(150, 1);
	hub_say(A, L, &reply);
	cr_assert_eq(hub_host(A, 55)->remotes->count, 1);
}

Test(sim_lists, unasked)
{
	sim_seeds(1, unasked);
}

/* For m57ctl's query-lighthouse a static host is asked for, though nobody calls it: the answer is
 * kept, and what comes unasked later is not. */
static void asked_by_hand(struct sim *sim)
{
	struct lighthouse_message reply = hub_message(LIGHTHOUSE_REPLY, 3);
	struct endpoint home = sim_endpoint(55, 4242);
	const struct remotes *remotes;

	hub_add(sim);
	sim_static(A, 3, &home);
	hub_start(sim);
	sim_run(sim, SIM_S);
	remotes = hub_host(A, 3)->remotes;
	cr_assert_eq(remotes->count, 1);
	cr_assert_eq(node_order_query(A->node, &B->addr), 0);
	sim_run(sim, SIM_S);
	cr_assert_eq(remotes->count, 2);
	cr_assert_null(hub_host(A, 3)->pending);
	sim_run(sim, 20 * SIM_S);
	reply.v4[reply.v4_count++] = sim_endpoint(150, 1);
	reply.v4[reply.v4_count++] = sim_endpoint(151, 1);
	hub_say(A, L, &reply);
	cr_assert_eq(remotes->count, 2);
}

Test(sim_lists, asked_by_hand)
{
	sim_seeds(2, asked_by_hand);
}

/* When no lighthouse has a tunnel it is called, and asked when it is there. */
static void asked_when_there(struct sim *sim)
{
	struct endpoint home = sim_endpoint(55, 4242);

	hub_add(sim);
	sim_static(A, 3, &home);
	A->options.lighthouse.interval_ns = 3600 * SIM_S;
	hub_start(sim);
	sim_run(sim, SIM_S);
	node_order_close(A->node, &L->addr, false);
	sim_run(sim, 100 * SIM_MS);
	cr_assert_null(sim_primary(A, L->id));
	cr_assert_eq(node_order_query(A->node, &B->addr), 0);
	sim_run(sim, SIM_S);
	cr_assert_eq(hub_host(A, 3)->remotes->count, 2);
}

Test(sim_lists, asked_when_there)
{
	sim_seeds(2, asked_when_there);
}

/* What a lighthouse's own configuration says of a host is nobody else's: no answer to A. */
static void not_handed_out(struct sim *sim)
{
	struct lighthouse_message query = hub_message(LIGHTHOUSE_QUERY, 55);
	struct endpoint place = sim_endpoint(55, 4242);
	size_t before;

	hub_add(sim);
	sim_static(L, 55, &place);
	hub_start(sim);
	sim_run(sim, SIM_S);
	before = sim_count(sim, &L->endpoint, &A->endpoint, WIRE_LIGHTHOUSE, 0);
	sim_send(A, 0, 55, 1);
	hub_say(L, A, &query);
	sim_run(sim, 3 * SIM_S);
	cr_assert_eq(sim_count(sim, &L->endpoint, &A->endpoint, WIRE_LIGHTHOUSE, 0), before);
	cr_assert_eq(hub_sent_to(sim, &place), 0);
}

Test(sim_lists, not_handed_out)
{
	sim_seeds(2, not_handed_out);
}
