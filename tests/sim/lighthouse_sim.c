/* lighthouse_sim.c - hosts that find each other by lighthouses, and the traps of PROTOCOL.md 13.6.
 */
#include "hub.h"
#include "wire.h"

/* Runs in steps of a millisecond until the packet is there; how long that took. */
static uint64_t until_got(struct sim *sim, struct sim_node *at, uint32_t from, uint64_t number,
			  uint64_t most_ns)
{
	uint64_t start = sim->now_ns;

	while (!sim_got_number(at, from, number) && sim->now_ns - start < most_ns)
		sim_run(sim, SIM_MS);
	return sim->now_ns - start;
}

/* --- discovery ---------------------------------------------------------------------------------
 */

static void discovery(struct sim *sim)
{
	hub_add(sim);
	hub_start(sim);
	sim_run(sim, SIM_S);
	cr_assert_eq(node_tunnel_count(L->node), 2, "both have reported");
	sim_send(A, 0, 3, 1);
	cr_assert_lt(until_got(sim, B, 2, 1, SIM_S), 10 * SIM_MS, "four times a millisecond");
	cr_assert_eq(sim_count(sim, &A->endpoint, &B->endpoint, WIRE_HANDSHAKE, 1), 1);
	sim_send(B, 0, 2, 1);
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(A, 3, 1));
	cr_assert_eq(L->drops[DROP_LIGHTHOUSE_INVALID] + A->drops[DROP_LIGHTHOUSE_INVALID], 0);
	cr_assert_eq(L->stats[STAT_HOST_TWINS] + B->stats[STAT_HOST_TWINS], 0);
}

Test(sim_lighthouse, discovery)
{
	sim_seeds(20, discovery);
}

/* A packet right after the start: the question waits for the tunnel to the lighthouse. */
static void discovery_at_start(struct sim *sim)
{
	hub_add(sim);
	sim_start_node(L);
	sim_start_node(B);
	sim_run(sim, SIM_S);
	sim_start_node(A);
	sim_send(A, 0, 3, 1);
	cr_assert_lt(until_got(sim, B, 2, 1, SIM_S), 20 * SIM_MS);
}

Test(sim_lighthouse, discovery_at_start)
{
	sim_seeds(20, discovery_at_start);
}

/* B comes later than A's question; the lighthouse itself comes last. */
static void discovery_of_the_late(struct sim *sim)
{
	hub_add(sim);
	sim_start_node(A);
	sim_send(A, 0, 3, 1);
	sim_run(sim, 200 * SIM_MS);
	sim_start_node(L);
	sim_run(sim, 500 * SIM_MS);
	sim_start_node(B);
	sim_run(sim, 6 * SIM_S);
	cr_assert(sim_got_number(B, 2, 1));
}

Test(sim_lighthouse, discovery_of_the_late)
{
	sim_seeds(20, discovery_of_the_late);
}

static void discovery_in_bad_weather(struct sim *sim)
{
	uint64_t number = 1;

	hub_add(sim);
	sim->weather = (struct sim_weather){
		.loss = 200, .duplicate = 50, .delay_min_ns = SIM_MS, .delay_max_ns = 60 * SIM_MS};
	hub_start(sim);
	for (int i = 0; i < 30; i++, sim_run(sim, SIM_S))
		sim_send(A, 0, 3, number++);
	cr_assert_gt(sim_got(B, 2), 5, "seed %llu: %zu", (unsigned long long)sim->seed,
		     sim_got(B, 2));
}

Test(sim_lighthouse, discovery_in_bad_weather)
{
	sim_seeds(40, discovery_in_bad_weather);
}

static void two_lighthouses(struct sim *sim)
{
	struct sim_node *other;

	hub_add(sim);
	other = sim_add(sim);
	sim_client(A, other);
	sim_client(B, other);
	hub_start(sim);
	sim_run(sim, SIM_S);
	sim_kill_node(sim->seed % 2 ? L : other);
	sim_send(A, 0, 3, 1);
	cr_assert_lt(until_got(sim, B, 2, 1, SIM_S), 10 * SIM_MS);
}

Test(sim_lighthouse, two_lighthouses_one_down)
{
	sim_seeds(4, two_lighthouses);
}

/* Both behind NATs that let in only whom they have called: the lighthouse has B punch. */
static void two_nats(struct sim *sim)
{
	uint64_t took;

	hub_add(sim);
	sim_behind_nat(A);
	sim_behind_nat(B);
	hub_start(sim);
	sim_run(sim, SIM_S);
	sim_send(A, 0, 3, 1);
	took = until_got(sim, B, 2, 1, 6 * SIM_S);
	cr_assert_lt(took, 2 * SIM_S, "%llu ms", (unsigned long long)(took / SIM_MS));
	sim_send(B, 0, 2, 1);
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(A, 3, 1));
}

Test(sim_lighthouse, two_nats)
{
	sim_seeds(20, two_nats);
}

/* With punchy.respond the other side calls too, and can be the one that gets through. */
static void respond(struct sim *sim)
{
	hub_add(sim);
	sim_behind_nat(A);
	B->options.lighthouse.punch_respond = true;
	B->options.lighthouse.respond_delay_ns = 500 * SIM_MS;
	hub_start(sim);
	sim_run(sim, SIM_S);
	/* Nothing of A's comes to B, until B has called A. */
	sim->cut[0] = A->nat.outside;
	sim->cut[1] = B->endpoint;
	sim_send(A, 0, 3, 1);
	sim_run(sim, 400 * SIM_MS);
	cr_assert_eq(sim_count(sim, &B->endpoint, NULL, WIRE_HANDSHAKE, 1), 1, "to L only");
	sim_run(sim, 400 * SIM_MS);
	cr_assert_gt(sim_count(sim, &B->endpoint, &A->nat.outside, WIRE_HANDSHAKE, 1), 0);
	sim->cut[0] = sim->cut[1] = (struct endpoint){0};
	sim_run(sim, 4 * SIM_S);
	cr_assert(sim_got_number(B, 2, 1));
}

Test(sim_lighthouse, respond)
{
	sim_seeds(4, respond);
}

/*
 * B has two tunnels with L. Somebody on the path lets a packet of the older one arrive from an
 * address of his own, before B's did. What B says on the newer one, whose remote was right all the
 * time, must put that right.
 */
static void learned_anew(struct sim *sim)
{
	struct endpoint thief = sim_endpoint(99, 9);
	struct sim_datagram *stolen;

	hub_add(sim);
	hub_start(sim);
	sim_run(sim, SIM_S);
	sim_forget(sim);
	sim->cut[0] = B->endpoint;
	sim->cut[1] = L->endpoint;
	sim_send(B, 0, 1, 1);
	sim_run(sim, 10 * SIM_MS);
	stolen = sim_find(sim, &B->endpoint, &L->endpoint, WIRE_MESSAGE, 0, 0);
	cr_assert(stolen);
	sim->cut[0] = sim->cut[1] = (struct endpoint){0};
	node_rehandshake(B->node, hub_host(B, 1)->primary, "test");
	sim_run(sim, 200 * SIM_MS);
	sim_inject(sim, &thief, &L->endpoint, stolen->bytes, stolen->length, SIM_MS);
	sim_run(sim, 12 * SIM_S);
	sim_send(A, 0, 3, 2);
	cr_assert_lt(until_got(sim, B, 2, 2, SIM_S), 100 * SIM_MS);
	cr_assert_eq(sim_count(sim, &A->endpoint, &thief, WIRE_HANDSHAKE, 1), 0);
}

Test(sim_lighthouse, learned_anew)
{
	sim_seeds(4, learned_anew);
}

/*
 * Neither can let the other in. The answer to a call that came to nothing must not be taken for a
 * call: two such hosts once answered each other for ever.
 */
static void respond_in_vain(struct sim *sim)
{
	hub_add(sim);
	sim_behind(A, NAT_SYMMETRIC, 0);
	sim_behind(B, NAT_SYMMETRIC, 0);
	A->options.lighthouse.punch_respond = B->options.lighthouse.punch_respond = true;
	hub_start(sim);
	sim_run(sim, SIM_S);
	sim_send(A, 0, 3, 1);
	sim_run(sim, 10 * SIM_S);
	cr_assert_gt(sim_count(sim, &B->endpoint, &A->nat.outside, WIRE_HANDSHAKE, 1), 0);
	sim_run(sim, 20 * SIM_S);
	cr_assert_eq(node_pending_count(A->node) + node_pending_count(B->node), 0);
	sim_forget(sim);
	sim_run(sim, 60 * SIM_S);
	cr_assert_eq(sim_count(sim, &A->endpoint, NULL, WIRE_HANDSHAKE, 1), 0);
	cr_assert_eq(sim_count(sim, &B->endpoint, NULL, WIRE_HANDSHAKE, 1), 0);
}

Test(sim_lighthouse, respond_in_vain)
{
	sim_seeds(4, respond_in_vain);
}

/* --- time --------------------------------------------------------------------------------------
 */

static size_t sealed(struct sim *sim, struct sim_node *from, struct sim_node *to)
{
	return sim_count(sim, &from->endpoint, &to->endpoint, WIRE_LIGHTHOUSE, 0);
}

/* One update when the tunnel is made, then one per interval; each is acknowledged. */
static void updates(struct sim *sim)
{
	hub_add(sim);
	hub_start(sim);
	sim_run(sim, SIM_S);
	cr_assert_eq(sealed(sim, A, L), 1);
	cr_assert_eq(sealed(sim, L, A), 1);
	sim_run(sim, 30 * SIM_S);
	cr_assert_eq(sealed(sim, A, L), 4);
	cr_assert_eq(sealed(sim, L, A), 4);
	cr_assert_eq(sim_count(sim, &L->endpoint, NULL, WIRE_HANDSHAKE, 1), 0,
		     "a lighthouse begins nothing");
}

Test(sim_lighthouse, updates)
{
	sim_seeds(4, updates);
}

static void interval_zero(struct sim *sim)
{
	hub_add(sim);
	A->options.lighthouse.interval_ns = 0;
	hub_start(sim);
	sim_run(sim, 60 * SIM_S);
	cr_assert_eq(sealed(sim, A, L), 1);
}

Test(sim_lighthouse, interval_zero)
{
	sim_seeds(2, interval_zero);
}

/* A lighthouse that was restarted knows everybody again after an interval. */
static void restart(struct sim *sim)
{
	hub_add(sim);
	hub_start(sim);
	sim_run(sim, SIM_S);
	sim_kill_node(L);
	sim_start_node(L);
	sim_run(sim, 11 * SIM_S);
	cr_assert_eq(node_tunnel_count(L->node), 2);
	sim_send(A, 0, 3, 1);
	cr_assert_lt(until_got(sim, B, 2, 1, SIM_S), 10 * SIM_MS);
}

Test(sim_lighthouse, restart)
{
	sim_seeds(10, restart);
}

/* Live tunnels do not notice that the lighthouse is gone. */
static void lighthouse_down(struct sim *sim)
{
	hub_add(sim);
	hub_start(sim);
	sim_run(sim, SIM_S);
	sim_send(A, 0, 3, 1);
	sim_run(sim, SIM_S);
	sim_kill_node(L);
	for (uint64_t i = 2; i < 62; i++, sim_run(sim, SIM_S))
		sim_send(A, 0, 3, i);
	cr_assert_eq(sim_got(B, 2), 61);
}

Test(sim_lighthouse, lighthouse_down)
{
	sim_seeds(2, lighthouse_down);
}

/* B has moved: the lighthouse knows by the next packet, and hands out the new place. */
static void moved(struct sim *sim)
{
	struct sim_datagram *first;

	hub_add(sim);
	hub_start(sim);
	sim_run(sim, SIM_S);
	B->endpoint = sim_endpoint(77, 4242);
	sim_run(sim, 10 * SIM_S);
	sim_send(A, 0, 3, 1);
	cr_assert_lt(until_got(sim, B, 2, 1, SIM_S), 10 * SIM_MS);
	first = sim_find(sim, &A->endpoint, &B->endpoint, WIRE_HANDSHAKE, 1, 0);
	cr_assert_not_null(first);
	cr_assert_eq(hub_host(L, 3)->remotes->count, 1, "the old place is forgotten");
}

Test(sim_lighthouse, moved)
{
	sim_seeds(4, moved);
}

/* A silent host that moves says so at once: what others send finds it. */
static void moved_and_told(struct sim *sim)
{
	hub_add(sim);
	hub_start(sim);
	sim_run(sim, SIM_S);
	sim_send(A, 0, 3, 1);
	sim_run(sim, 3 * SIM_S);
	for (uint32_t i = 0; i < 50; i++) { /* of several messages, and again and again */
		B->endpoint = sim_endpoint(150 + i % 2, 4242);
		node_on_local_addrs(B->node);
		sim_run(sim, SIM_MS);
	}
	sim_run(sim, 2 * SIM_S);
	cr_assert(endpoint_equal(&sim_primary(A, 3)->remote->to, &B->endpoint));
	cr_assert(endpoint_equal(&sim_primary(L, 3)->remote->to, &B->endpoint));
	sim_send(A, 0, 3, 2);
	sim_run(sim, 100 * SIM_MS);
	cr_assert(sim_got_number(B, 2, 2));
	cr_assert_leq(sim->sent_count, 60, "%zu", sim->sent_count);
}

Test(sim_lighthouse, moved_and_told)
{
	sim_seeds(4, moved_and_told);
}

/* Trap 26: replies do not use up attempts, and their number is bounded. */
static void replies_eat_no_attempts(struct sim *sim)
{
	uint64_t start;
	struct sim_node *gone;

	hub_add(sim);
	gone = sim_add(sim);
	hub_start(sim);
	sim_run(sim, SIM_S);
	sim_send(A, 0, gone->id, 1);
	start = sim->now_ns;
	sim_kill_node(gone);
	sim_run(sim, SIM_MS);
	for (uint32_t i = 0; i < 200 && node_pending_count(A->node) > 0; i++) {
		struct lighthouse_message reply = hub_message(LIGHTHOUSE_REPLY, gone->id);

		reply.v4_count = 1;
		reply.v4[0] = sim_endpoint(150, (uint16_t)(1000 + i));
		sim_run(sim, 20 * SIM_MS);
		hub_say(A, L, &reply);
	}
	cr_assert_gt(sim->now_ns - start, 3900 * SIM_MS, "still trying after 4 s");
	sim_run(sim, 3 * SIM_S);
	cr_assert_eq(node_pending_count(A->node), 0);
	cr_assert_leq(sim_count(sim, &A->endpoint, NULL, WIRE_HANDSHAKE, 1), 1 + 10 + POKES_MAX);
}

Test(sim_lighthouse, replies_eat_no_attempts)
{
	sim_seeds(2, replies_eat_no_attempts);
}

/* --- bad input ---------------------------------------------------------------------------------
 */

/* Unknown hosts: no answer, nothing kept, and the asker's bounds hold (trap 78). */
static void unknown_hosts(struct sim *sim)
{
	size_t before;

	hub_add(sim);
	hub_start(sim);
	sim_run(sim, SIM_S);
	before = sealed(sim, L, A);
	sim_send(A, 0, 99, 1);
	sim_run(sim, 4 * SIM_S);
	cr_assert_eq(sealed(sim, L, A), before, "no answer");
	cr_assert_null(hub_host(L, 99));
	sim->recording = false;
	for (uint32_t i = 0; i < 10000; i++)
		sim_send(A, i % 2, 1000 + i, 1);
	sim_run(sim, 100 * SIM_MS);
	cr_assert_leq(node_pending_count(A->node), PENDING_MAX);
	cr_assert_gt(A->drops[DROP_PENDING_FULL], 8000);
	sim_send(A, 0, 3, 7);
	sim_run(sim, 8 * SIM_S);
	sim_send(A, 0, 3, 8);
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(B, 2, 8));
	cr_assert_eq(node_pending_count(A->node), 0);
	cr_assert_null(hub_host(A, 1000));
}

Test(sim_lighthouse, unknown_hosts)
{
	sim_seeds(2, unknown_hosts);
}

/* Traps 73 and 74, and roles that nobody has. */
static void not_allowed(struct sim *sim)
{
	struct lighthouse_message update = hub_message(LIGHTHOUSE_UPDATE, 3);
	struct lighthouse_message reply = hub_message(LIGHTHOUSE_REPLY, 1);
	struct lighthouse_message punch = hub_message(LIGHTHOUSE_PUNCH, 1);
	struct lighthouse_message query = hub_message(LIGHTHOUSE_QUERY, 2);
	struct endpoint victim = sim_endpoint(200, 80);
	size_t sent;

	hub_add(sim);
	hub_start(sim);
	sim_run(sim, SIM_S);
	sim_send(A, 0, 3, 1);
	sim_run(sim, SIM_S);
	update.v4_count = reply.v4_count = punch.v4_count = 1;
	update.v4[0] = reply.v4[0] = punch.v4[0] = victim;

	hub_say(L, A, &update); /* A reports for B */
	cr_assert_eq(L->drops[DROP_LIGHTHOUSE_INVALID], 1);
	cr_assert_eq(hub_host(L, 3)->remotes->count, 1);

	hub_say(B, A, &reply); /* A is no lighthouse of B's */
	hub_say(B, A, &punch);
	hub_say(B, A, &query); /* nor is B one */
	update.addr = A->addr;
	hub_say(B, A, &update);
	cr_assert_eq(B->drops[DROP_LIGHTHOUSE_INVALID], 4);
	sent = sim->sent_count;
	sim_run(sim, 6 * SIM_S);
	for (size_t i = sent; i < sim->sent_count; i++)
		cr_assert(!endpoint_equal(&sim->sent[i].to, &victim));
}

Test(sim_lighthouse, not_allowed)
{
	sim_seeds(2, not_allowed);
}

/* Trap 75: of many addresses ten are kept, none in the overlay, none that a list forbids. */
static void flood_of_addresses(struct sim *sim)
{
	struct allow_rule rule = {{addr_from_v4(0xc6336400), 120}, false}; /* 198.51.100.0/24 */
	struct allow_list list = {.count = 1, .rules = &rule};
	struct lighthouse_message update = hub_message(LIGHTHOUSE_UPDATE, 2);
	const struct remotes *remotes;
	bool v4;

	cr_assert_eq(allow_list_finish(&list, &v4), 0);
	hub_add(sim);
	L->options.lighthouse.remote_allow.all = &list;
	hub_start(sim);
	sim_run(sim, SIM_S);
	for (uint32_t i = 0; i < LIGHTHOUSE_ENTRIES_MAX; i++)
		update.v4[update.v4_count++] = sim_endpoint(10 + i, 1);
	update.v4[0] = (struct endpoint){addr_from_v4(0x0a2a0005), 1}; /* in the overlay */
	update.v4[1] = (struct endpoint){addr_from_v4(0xc6336405), 1}; /* forbidden */
	update.v6[0] = (struct endpoint){addr_from_v4(0xc6336406), 1}; /* the same as 4-in-6 */
	update.v6_count = 1;
	hub_say(L, A, &update);
	remotes = hub_host(L, 2)->remotes;
	cr_assert_eq(remotes->count, 1 + REPORTED_MAX, "%u", remotes->count);
	for (uint32_t i = 0; i < remotes->count; i++)
		cr_assert(remotes->list[i].to.addr.bytes[12] == 192);
	update.v4_count = 1;
	update.v4[0] = sim_endpoint(50, 1);
	hub_say(L, A, &update);
	cr_assert_eq(remotes->count, 2, "the newer word replaces the older");
}

Test(sim_lighthouse, flood_of_addresses)
{
	sim_seeds(2, flood_of_addresses);
}

/* Trap 76: however many punches are ordered, few bytes leave. */
static void reflector(struct sim *sim)
{
	struct lighthouse_message punch = hub_message(LIGHTHOUSE_PUNCH, 2);
	size_t punches = 0;

	hub_add(sim);
	hub_start(sim);
	sim_run(sim, SIM_S);
	punch.v4_count = LIGHTHOUSE_ENTRIES_MAX;
	for (uint32_t i = 0; i < LIGHTHOUSE_ENTRIES_MAX; i++)
		punch.v4[i] = sim_endpoint(200, (uint16_t)(1 + i));
	for (int i = 0; i < 1000; i++) {
		hub_say(B, L, &punch);
		sim_run(sim, SIM_MS);
	}
	sim_run(sim, 3 * SIM_S);
	for (size_t i = 0; i < sim->sent_count; i++)
		punches += sim->sent[i].length == 1;
	cr_assert_gt(punches, 0);
	cr_assert_leq(punches, 2 * PUNCHES_PER_SECOND + 1, "%zu", punches);
	cr_assert_gt(B->drops[DROP_PUNCH_LIMITED], 10000);
}

Test(sim_lighthouse, reflector)
{
	sim_seeds(2, reflector);
}

/* A reply for a host that nobody asked for leaves nothing behind. */
static void unasked_reply(struct sim *sim)
{
	struct lighthouse_message reply;

	hub_add(sim);
	hub_start(sim);
	sim_run(sim, SIM_S);
	for (uint32_t i = 100; i < 1100; i++) {
		reply = hub_message(LIGHTHOUSE_REPLY, i);
		reply.v4_count = 1;
		reply.v4[0] = sim_endpoint(9, 9);
		hub_say(A, L, &reply);
		cr_assert_null(hub_host(A, i));
	}
}

Test(sim_lighthouse, unasked_reply)
{
	sim_seeds(1, unasked_reply);
}

/* What a host reported goes when its last tunnel goes: the cache is bounded by the tunnels. */
static void cache_ends(struct sim *sim)
{
	hub_add(sim);
	hub_start(sim);
	sim_run(sim, SIM_S);
	cr_assert_not_null(hub_host(L, 3));
	node_shutdown(B->node);
	sim_run(sim, SIM_S);
	cr_assert_null(hub_host(L, 3));
}

Test(sim_lighthouse, cache_ends_with_the_tunnel)
{
	sim_seeds(1, cache_ends);
}

/* --- lists of the configuration ----------------------------------------------------------------
 */

/* remote_allow_list at each of the two ends; ranges name the overlay. */
static void handshakes_denied(struct sim *sim)
{
	struct sim_node *strict = sim->seed & 1 ? A : B;
	struct allow_rule rule = {{sim_endpoint(0, 0).addr, 120}, false};
	struct allow_list list = {.count = 1, .rules = &rule};
	struct remote_allow_range range = {{addr_from_v4(0x0a2a0002), 127}, &list};
	bool v4;

	cr_assert_eq(allow_list_finish(&list, &v4), 0);
	for (int i = 0; i < 3; i++)
		sim_add(sim);
	if (sim->seed & 2)
		strict->options.lighthouse.remote_allow.all = &list;
	else
		strict->options.lighthouse.remote_allow =
			(struct remote_allow){.range_count = 1, .ranges = &range};
	sim_static(A, 3, &B->endpoint);
	hub_start(sim);
	sim_send(A, 0, 3, 1);
	sim_run(sim, 10 * SIM_S);
	cr_assert(!sim_got_number(B, 2, 1));
	cr_assert_eq(node_tunnel_count(B->node), 0);
}

Test(sim_lighthouse, handshakes_denied)
{
	sim_seeds(4, handshakes_denied);
}

static void roaming_denied(struct sim *sim)
{
	struct allow_rule rule = {{sim_endpoint(77, 0).addr, 128}, false};
	struct allow_list list = {.count = 1, .rules = &rule};
	struct endpoint home;
	bool v4;

	cr_assert_eq(allow_list_finish(&list, &v4), 0);
	hub_add(sim);
	B->options.lighthouse.remote_allow.all = &list;
	hub_start(sim);
	sim_send(A, 0, 3, 1);
	sim_run(sim, SIM_S);
	home = A->endpoint;
	A->endpoint = sim_endpoint(77, 5000);
	sim_send(A, 0, 3, 2);
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(B, 2, 2), "the packet itself is good");
	cr_assert(endpoint_equal(&sim_primary(B, 2)->remote->to, &home));
	cr_assert_gt(B->drops[DROP_REMOTE_DENIED], 0);
}

Test(sim_lighthouse, roaming_denied)
{
	sim_seeds(2, roaming_denied);
}

/* Without any lighthouse: the place is calculated from the overlay address. */
static void calculated(struct sim *sim)
{
	struct calculated_remote masks[] = {
		{{addr_from_v4(0x0a2a0000), 112}, {sim_endpoint(0, 0).addr, 120}, 4242},
		{{addr_from_v4(0x0a000000), 104}, {addr_from_v4(0x01000000), 104}, 1}, /* shorter */
	};

	sim_add(sim);
	sim_add(sim);
	L->options.lighthouse.calculated = masks;
	L->options.lighthouse.calculated_count = 2;
	sim->recording = true;
	hub_start(sim);
	sim_send(L, 0, 2, 1);
	cr_assert_lt(until_got(sim, A, 1, 1, SIM_S), 10 * SIM_MS);
	for (size_t i = 0; i < sim->sent_count; i++)
		cr_assert_neq(sim->sent[i].to.port, 1);
}

Test(sim_lighthouse, calculated_remotes)
{
	sim_seeds(2, calculated);
}

/* --- for long ----------------------------------------------------------------------------------
 */

/* A lighthouse and six hosts, half of them behind NATs, that come, go, and lose packets. */
static void soak(struct sim *sim)
{
	uint64_t number = 1;

	sim->weather = (struct sim_weather){
		.loss = 50, .duplicate = 20, .delay_min_ns = SIM_MS, .delay_max_ns = 40 * SIM_MS};
	for (uint32_t i = 0; i < 7; i++)
		sim_add(sim);
	for (uint32_t i = 1; i < 7; i++) {
		sim_client(&sim->nodes[i], L);
		if (i % 2)
			sim_behind_nat(&sim->nodes[i]);
	}
	hub_start(sim);
	for (int step = 0; step < 1500; step++) {
		struct sim_node *node = &sim->nodes[sim_random(sim, 7)];

		if (sim_random(sim, 50) == 0) {
			sim_kill_node(node);
			sim_start_node(node);
		}
		sim_send(node, sim_random(sim, 2), 1 + (uint32_t)sim_random(sim, 7), number++);
		sim_run(sim, sim_random(sim, 50 * SIM_MS));
	}
	sim->weather.loss = 0;
	sim_run(sim, 25 * SIM_S);
	for (uint64_t k = 0; k < 8; k++, sim_run(sim, SIM_S))
		for (uint32_t i = 1; i < 7; i++)
			for (uint32_t j = 1; j < 7; j++)
				if (i != j)
					sim_send(&sim->nodes[i], 0, j + 1, 100000 + k);
	for (uint32_t i = 1; i < 7; i++)
		for (uint32_t j = 1; j < 7; j++)
			cr_assert(i == j || sim_got_number(&sim->nodes[j], i + 1, 100007),
				  "seed %llu: %u to %u", (unsigned long long)sim->seed, i + 1,
				  j + 1);
}

Test(sim_lighthouse, soak)
{
	sim_seeds(10, soak);
}
