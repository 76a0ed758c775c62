/* lighthouse_sim.c - hosts that find each other by lighthouses, and what time does to that. */
#include "hub.h"
#include "wire.h"

/* --- discovery ---------------------------------------------------------------------------------
 */

static void discovery(struct sim *sim)
{
	hub_add(sim);
	hub_start(sim);
	sim_run(sim, SIM_S);
	cr_assert_eq(node_tunnel_count(L->node), 2, "both have reported");
	sim_send(A, 0, 3, 1);
	cr_assert_lt(hub_until_got(sim, B, 2, 1, SIM_S), 10 * SIM_MS, "four times a millisecond");
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
	cr_assert_lt(hub_until_got(sim, B, 2, 1, SIM_S), 20 * SIM_MS);
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
	cr_assert_lt(hub_until_got(sim, B, 2, 1, SIM_S), 10 * SIM_MS);
}

Test(sim_lighthouse, two_lighthouses_one_down)
{
	sim_seeds(4, two_lighthouses);
}

/* Where a lighthouse is says the configuration: nobody is asked (6.4). */
static void none_asks_for_lighthouses(struct sim *sim)
{
	struct sim_node *other;

	hub_add(sim);
	other = sim_add(sim);
	sim_client(A, other);
	sim_start_node(L);
	sim_start_node(A);
	sim_run(sim, 30 * SIM_S);
	cr_assert(sim_primary(A, 1));
	cr_assert_gt(sim_count(sim, &A->endpoint, &other->endpoint, WIRE_HANDSHAKE, 1), 10);
	cr_assert_eq(L->stats[STAT_LIGHTHOUSE_QUERIES], 0);
}

Test(sim_lighthouse, none_asks_for_lighthouses)
{
	sim_seeds(2, none_asks_for_lighthouses);
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
	took = hub_until_got(sim, B, 2, 1, 6 * SIM_S);
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
	cr_assert_lt(hub_until_got(sim, B, 2, 2, SIM_S), 100 * SIM_MS);
	cr_assert_eq(sim_count(sim, &A->endpoint, &thief, WIRE_HANDSHAKE, 1), 0);
}

Test(sim_lighthouse, learned_anew)
{
	sim_seeds(4, learned_anew);
}

/* A host that reports to others only is known by where its tunnel comes from. */
static void never_reports(struct sim *sim)
{
	hub_add(sim);
	B->options.lighthouse.host_count = 0;
	hub_start(sim);
	sim_send(B, 0, 1, 1);
	sim_run(sim, SIM_S);
	sim_send(A, 0, 3, 1);
	cr_assert_lt(hub_until_got(sim, B, 2, 1, SIM_S), 300 * SIM_MS);
}

Test(sim_lighthouse, never_reports)
{
	sim_seeds(2, never_reports);
}

static const struct endpoint *learned_of_b(struct sim *sim)
{
	return &remotes_of(hub_host(L, 3)->remotes, &B->addr)->learned[0];
}

/*
 * B has two tunnels with L, and has moved with the newer one. That the older one wants a handshake
 * says nothing new about B; that the newer one does says where it goes, to those who ask as well.
 */
static void learned_at_a_handshake(struct sim *sim)
{
	struct endpoint elsewhere = sim_endpoint(77, 4242);
	struct tunnel_record *older, *newer;
	const struct host_card *card;

	hub_add(sim);
	hub_start(sim);
	sim_run(sim, SIM_S);
	older = hub_host(L, 3)->primary;
	node_rehandshake(B->node, hub_host(B, 1)->primary, "test");
	sim_run(sim, 200 * SIM_MS);
	newer = hub_host(L, 3)->primary;
	cr_assert_neq(older, newer);
	cr_assert_eq(L->stats[STAT_HOST_TWINS], 0, "both come from one place");
	B->endpoint.port = 7777;
	sim_send(B, 0, 1, 1);
	sim_run(sim, 50 * SIM_MS);
	cr_assert(endpoint_equal(learned_of_b(sim), &B->endpoint));
	card = hostmap_by_addr(L->map, &B->addr)->card;
	node_rehandshake(L->node, older, "test");
	cr_assert(endpoint_equal(learned_of_b(sim), &B->endpoint));
	cr_assert_eq(hostmap_by_addr(L->map, &B->addr)->card, card);

	cr_assert_eq(node_order_remote(L->node, &B->addr, &elsewhere), 0);
	node_rehandshake(L->node, newer, "test");
	cr_assert(endpoint_equal(learned_of_b(sim), &elsewhere));
	cr_assert_neq(hostmap_by_addr(L->map, &B->addr)->card, card, "workers say so, too");
}

Test(sim_lighthouse, learned_at_a_handshake)
{
	sim_seeds(4, learned_at_a_handshake);
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

/*
 * What control answers, where a worker does not: relays are named, and the host is ordered to punch
 * for who asks, but nobody for himself.
 */
static void asked_of_control(struct sim *sim)
{
	struct lighthouse_message query = hub_message(LIGHTHOUSE_QUERY, 3);
	struct addr relay = sim_overlay(9), found;
	size_t orders;

	hub_add(sim);
	B->options.relay.relays = &relay;
	B->options.relay.relay_count = 1;
	sim_static(A, 3, &B->endpoint); /* so that no worker of L's is asked */
	hub_start(sim);
	sim_send(A, 0, 3, 1);
	sim_run(sim, SIM_S);
	remotes_forget(hub_host(A, 3)->remotes, &L->addr);
	cr_assert_eq(remotes_relays(hub_host(A, 3)->remotes, &found, 1), 0);
	sim_forget(sim);
	hub_say(L, A, &query);
	sim_run(sim, 10 * SIM_MS);
	cr_assert_eq(remotes_relays(hub_host(A, 3)->remotes, &found, 1), 1);
	cr_assert(addr_equal(&found, &relay));
	cr_assert_eq(hub_sealed(sim, L, A), 1);
	cr_assert_eq(hub_sealed(sim, L, B), 1);
	orders = L->stats[STAT_LIGHTHOUSE_PUNCHES];
	cr_assert_geq(orders, 1);

	hub_say(L, B, &query); /* about itself */
	sim_run(sim, 10 * SIM_MS);
	cr_assert_eq(hub_sealed(sim, L, B), 2, "a reply");
	cr_assert_eq(L->stats[STAT_LIGHTHOUSE_PUNCHES], orders);
}

Test(sim_lighthouse, asked_of_control)
{
	sim_seeds(2, asked_of_control);
}

/* --- time --------------------------------------------------------------------------------------
 */

/* One update when the tunnel is made, then one per interval; each is acknowledged. */
static void updates(struct sim *sim)
{
	hub_add(sim);
	hub_start(sim);
	sim_run(sim, SIM_S);
	cr_assert_eq(hub_sealed(sim, A, L), 1);
	cr_assert_eq(hub_sealed(sim, L, A), 1);
	sim_run(sim, 30 * SIM_S);
	cr_assert_eq(hub_sealed(sim, A, L), 4);
	cr_assert_eq(hub_sealed(sim, L, A), 4);
	cr_assert_eq(sim_count(sim, &L->endpoint, NULL, WIRE_HANDSHAKE, 1), 0,
		     "a lighthouse begins nothing");
}

Test(sim_lighthouse, updates)
{
	sim_seeds(4, updates);
}

/* Two lighthouses whose configurations name each other, as one that all hosts share does: neither
 * reports or asks (6.3, 6.4), not even when it moves, is reloaded or calls somebody. */
static void lighthouses_of_each_other(struct sim *sim)
{
	struct sim_node *other;

	hub_add(sim);
	other = sim_add(sim);
	sim_client(L, other);
	sim_client(other, L);
	hub_start(sim);
	sim_run(sim, SIM_S);
	sim_send(L, 0, other->id, 1); /* a tunnel, so that nothing need wait for one */
	sim_run(sim, 20 * SIM_S);
	cr_assert(sim_primary(L, other->id));
	sim_send(L, 0, 99, 2); /* a handshake with nobody */
	L->endpoint = sim_endpoint(77, 4242);
	node_on_local_addrs(L->node);
	lighthouse_report(L->node);
	node_reconfigure(L->node, &L->options, &L->pki);
	sim_run(sim, 20 * SIM_S);
	cr_assert_eq(sim_count(sim, NULL, &other->endpoint, WIRE_LIGHTHOUSE, 0), 0);
	cr_assert_eq(hub_sealed(sim, other, L), 0);
	cr_assert_eq(other->stats[STAT_LIGHTHOUSE_QUERIES], 0);
}

Test(sim_lighthouse, lighthouses_of_each_other)
{
	sim_seeds(2, lighthouses_of_each_other);
}

static void interval_zero(struct sim *sim)
{
	hub_add(sim);
	A->options.lighthouse.interval_ns = 0;
	hub_start(sim);
	sim_run(sim, 60 * SIM_S);
	cr_assert_eq(hub_sealed(sim, A, L), 1);
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
	cr_assert_lt(hub_until_got(sim, B, 2, 1, SIM_S), 10 * SIM_MS);
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
	cr_assert_lt(hub_until_got(sim, B, 2, 1, SIM_S), 10 * SIM_MS);
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
