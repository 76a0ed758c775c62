/* punch_sim.c - to whom punches go, when, and how many (PROTOCOL.md 6.5, 6.6). */
#include "hub.h"

/* Ordered ones: after punchy.delay, whatever punchy.punch says, and to nobody that is forbidden. */
static void ordered(struct sim *sim)
{
	struct lighthouse_message punch = hub_message(LIGHTHOUSE_PUNCH, 77);
	struct endpoint allowed = sim_endpoint(150, 1), forbidden = hub_at(HUB_FORBIDDEN, 1);
	struct endpoint v6 = {{{0x20, 1, 0xd, 0xb8, [15] = 7}}, 7};
	struct allow_rule rule;
	struct allow_list list = hub_forbidding(&rule);

	hub_add(sim);
	A->options.lighthouse.remote_allow.all = &list;
	A->options.lighthouse.punch_delay_ns = 300 * SIM_MS;
	hub_start(sim);
	sim_run(sim, SIM_S);
	punch.v4[punch.v4_count++] = forbidden;
	punch.v4[punch.v4_count++] = allowed;
	punch.v6[punch.v6_count++] = v6;
	hub_say(A, L, &punch);
	sim_run(sim, 290 * SIM_MS);
	cr_assert_eq(hub_punches(sim, NULL, &allowed), 0);
	sim_run(sim, 20 * SIM_MS);
	cr_assert_eq(hub_punches(sim, &A->endpoint, &allowed), 1);
	cr_assert_eq(hub_punches(sim, &A->endpoint, &v6), 1);
	sim_run(sim, 10 * SIM_S);
	cr_assert_eq(hub_punches(sim, NULL, &allowed), 1);
	cr_assert_eq(hub_sent_to(sim, &forbidden), 0);
	cr_assert_null(hub_host(A, 77), "nobody calls back: punchy.respond is not set");
}

Test(sim_punches, ordered_punches)
{
	sim_seeds(2, ordered);
}

/* More than are kept until they are due: those that came first are sent, once each, and the rest is
 * counted. */
static void ordered_too_many(struct sim *sim)
{
	const uint32_t most = 2 * PUNCHES_MAX;
	uint64_t sent = 0;

	hub_add(sim);
	A->options.lighthouse.punch_delay_ns = 10 * SIM_S;
	hub_start(sim);
	sim_run(sim, SIM_S);
	for (uint32_t i = 0; i < most; i++, sim_run(sim, 6 * SIM_MS)) {
		struct lighthouse_message punch = hub_message(LIGHTHOUSE_PUNCH, 77);

		punch.v4[punch.v4_count++] = sim_endpoint(150, (uint16_t)(1000 + i));
		hub_say(A, L, &punch);
	}
	cr_assert_eq(A->drops[DROP_PUNCH_LIMITED], most - PUNCHES_MAX);
	sim_run(sim, 20 * SIM_S);
	for (uint32_t i = 0; i < most; i++) {
		struct endpoint to = sim_endpoint(150, (uint16_t)(1000 + i));
		size_t count = hub_punches(sim, NULL, &to);

		cr_assert_eq(count, i < PUNCHES_MAX, "%u: %zu", i, count);
		sent += count;
	}
	cr_assert_eq(sent, PUNCHES_MAX);
}

Test(sim_punches, ordered_too_many)
{
	sim_seeds(1, ordered_too_many);
}

/* Keep-alive ones go to peers, not to lighthouses: reports keep that path open. */
static void kept_open(struct sim *sim)
{
	hub_add(sim);
	A->options.punch = true;
	hub_start(sim);
	sim_send(A, 0, 3, 1);
	sim_run(sim, 30 * SIM_S);
	cr_assert_gt(hub_punches(sim, &A->endpoint, &B->endpoint), 3);
	cr_assert_eq(hub_punches(sim, &A->endpoint, &L->endpoint), 0);
}

Test(sim_punches, kept_open)
{
	sim_seeds(2, kept_open);
}

/* Orders to punch that B gets when A asks for it so often, with pauses. */
static size_t orders(struct sim *sim, uint32_t questions, uint64_t pause_ns)
{
	struct lighthouse_message query = hub_message(LIGHTHOUSE_QUERY, 3);
	size_t before;

	hub_add(sim);
	hub_start(sim);
	sim_run(sim, SIM_S);
	before = sim_count(sim, &L->endpoint, &B->endpoint, WIRE_LIGHTHOUSE, 0);
	for (uint32_t i = 0; i < questions; i++) {
		hub_say(L, A, &query);
		if (pause_ns)
			sim_run(sim, pause_ns);
	}
	if (!pause_ns)
		sim_run(sim, 100 * SIM_MS);
	return sim_count(sim, &L->endpoint, &B->endpoint, WIRE_LIGHTHOUSE, 0) - before;
}

static void orders_at_once(struct sim *sim)
{
	size_t count = orders(sim, 3 * PUNCH_ORDERS_BURST, 0);

	cr_assert_gt(count, 0);
	cr_assert_leq(count, PUNCH_ORDERS_BURST + PUNCH_ORDERS_PER_SECOND);
	cr_assert_gt(L->drops[DROP_PUNCH_LIMITED], 0);
}

/* However often A asks, B is ordered to punch at a rate; the rest is counted. */
static void orders_for_a_second(struct sim *sim)
{
	size_t count = orders(sim, 3000, SIM_MS / 3);

	cr_assert_leq(count, PUNCH_ORDERS_BURST + 2 * PUNCH_ORDERS_PER_SECOND);
	cr_assert_gt(L->drops[DROP_PUNCH_LIMITED], 100);
	cr_assert_eq(L->stats[STAT_LIGHTHOUSE_QUERIES], 3000);
}

Test(sim_punches, orders_are_limited)
{
	sim_seeds(2, orders_at_once);
	sim_seeds(2, orders_for_a_second);
}

/* With punchy.target_all_remotes, to every address of a peer that does not answer, too. */
static void unanswered(struct sim *sim)
{
	struct endpoint other = sim_endpoint(99, 4242);
	bool all = sim->seed % 2;

	hub_add(sim);
	A->options.punch = true;
	A->options.punch_all = all;
	sim_static(A, 3, &B->endpoint);
	sim_static(A, 3, &other);
	hub_start(sim);
	for (uint64_t i = 1; i <= 40; i++, sim_run(sim, 200 * SIM_MS)) { /* needs no punches */
		sim_send(A, 0, 3, i);
		sim_send(B, 0, 2, i);
	}
	sim_kill_node(B);
	sim_forget(sim);
	for (uint64_t i = 41; i < 50; i++, sim_run(sim, 200 * SIM_MS))
		sim_send(A, 0, 3, i);
	cr_assert_eq(hub_punches(sim, &A->endpoint, &other) > 0, all);
}

Test(sim_punches, all_of_a_silent_peer)
{
	sim_seeds(4, unanswered);
}

/*
 * The caller is called back at the addresses of the newest order, wherever an earlier order said
 * that it was. What a lighthouse has replied about it counts beside that, relays too.
 */
static void called_back(struct sim *sim)
{
	struct lighthouse_message punch = hub_message(LIGHTHOUSE_PUNCH, 3),
				  reply = hub_message(LIGHTHOUSE_REPLY, 3);
	struct endpoint replied = sim_endpoint(151, 1), elsewhere = sim_endpoint(152, 1);
	struct addr relay = addr_from_v4(0x0a2a0009), known;
	bool first = sim->seed % 2;

	hub_add(sim);
	sim_static(A, 3, &elsewhere); /* so that the replies are not forgotten with the handshake */
	A->options.lighthouse.punch_respond = true;
	A->options.lighthouse.respond_delay_ns = 300 * SIM_MS;
	hub_start(sim);
	sim_kill_node(B);
	sim_run(sim, SIM_S);
	sim_send(A, 0, 3, 1);
	sim_run(sim, 10 * SIM_MS);
	reply.v4_count = reply.relay_count = 1;
	reply.v4[0] = replied;
	reply.relays[0] = relay;
	if (first)
		hub_say(A, L, &reply);
	sim_run(sim, 20 * SIM_S);
	punch.v4_count = 1;
	for (uint16_t port = 1; port < 20; port++) {
		cr_assert_eq(node_pending_count(A->node), 0);
		sim_forget(sim);
		punch.v4[0] = sim_endpoint(150, port);
		hub_say(A, L, &punch);
		sim_run(sim, SIM_S);
		cr_assert_gt(sim_count(sim, NULL, &punch.v4[0], WIRE_HANDSHAKE, 1), 0, "%u", port);
		cr_assert_gt(sim_count(sim, NULL, &elsewhere, WIRE_HANDSHAKE, 1), 0);
		cr_assert_eq(sim_count(sim, NULL, &replied, WIRE_HANDSHAKE, 1) > 0,
			     first && port < REPORTED_MAX);
		cr_assert_eq(remotes_relays(hub_host(A, 3)->remotes, &known, 1), first);
		cr_assert(!first || addr_equal(&known, &relay));
		sim_run(sim, 20 * SIM_S);
	}
}

Test(sim_punches, called_back)
{
	sim_seeds(2, called_back);
}

/* Several lighthouses say the same, or one says it often: the caller is tested once. */
static void tested_once(struct sim *sim)
{
	struct lighthouse_message punch = hub_message(LIGHTHOUSE_PUNCH, 3);

	hub_add(sim);
	A->options.lighthouse.punch_respond = true;
	A->options.lighthouse.respond_delay_ns = 300 * SIM_MS;
	hub_start(sim);
	sim_send(A, 0, 3, 1);
	sim_run(sim, 10 * SIM_S);
	sim_forget(sim);
	for (int i = 0; i < 5; i++)
		hub_say(A, L, &punch);
	sim_run(sim, 290 * SIM_MS);
	cr_assert_eq(sim_count(sim, &A->endpoint, &B->endpoint, WIRE_TEST_REQUEST, 0), 0);
	sim_run(sim, 20 * SIM_MS);
	cr_assert_eq(sim_count(sim, &A->endpoint, &B->endpoint, WIRE_TEST_REQUEST, 0), 1);
}

Test(sim_punches, tested_once)
{
	sim_seeds(2, tested_once);
}

/* A caller that moves while it waits to be called back is called where the newest order says. */
static void moves_meanwhile(struct sim *sim)
{
	struct lighthouse_message punch = hub_message(LIGHTHOUSE_PUNCH, 77);
	struct endpoint before = sim_endpoint(150, 1), after = sim_endpoint(151, 1);

	hub_add(sim);
	A->options.lighthouse.punch_respond = true;
	A->options.lighthouse.respond_delay_ns = 300 * SIM_MS;
	hub_start(sim);
	sim_run(sim, SIM_S);
	punch.v4[punch.v4_count++] = before;
	hub_say(A, L, &punch);
	sim_run(sim, 200 * SIM_MS);
	punch.v4[0] = after;
	hub_say(A, L, &punch);
	punch.v4_count = 0; /* of one that knows no address nothing is learned */
	hub_say(A, L, &punch);
	sim_run(sim, 110 * SIM_MS);
	cr_assert_gt(sim_count(sim, &A->endpoint, &after, WIRE_HANDSHAKE, 1), 0);
	cr_assert_eq(sim_count(sim, &A->endpoint, &before, WIRE_HANDSHAKE, 1), 0);
}

Test(sim_punches, moves_meanwhile)
{
	sim_seeds(2, moves_meanwhile);
}

/* Punches and calls that wait when a reload forbids their address do not go there. */
static void forbidden_meanwhile(struct sim *sim)
{
	struct lighthouse_message punch = hub_message(LIGHTHOUSE_PUNCH, 77);
	struct endpoint allowed = sim_endpoint(150, 1), forbidden = hub_at(HUB_FORBIDDEN, 1);
	struct allow_rule rule;
	struct allow_list list = hub_forbidding(&rule);
	bool both = sim->seed % 2;

	hub_add(sim);
	A->options.lighthouse.punch_delay_ns = 300 * SIM_MS;
	A->options.lighthouse.punch_respond = true;
	A->options.lighthouse.respond_delay_ns = 400 * SIM_MS;
	hub_start(sim);
	sim_run(sim, SIM_S);
	punch.v4[punch.v4_count++] = forbidden;
	if (both)
		punch.v4[punch.v4_count++] = allowed;
	hub_say(A, L, &punch);
	A->options.lighthouse.remote_allow.all = &list;
	node_reconfigure(A->node, &A->options, &A->pki);
	sim_run(sim, 3 * SIM_S);
	cr_assert_eq(hub_sent_to(sim, &forbidden), 0);
	cr_assert_eq(hub_punches(sim, &A->endpoint, &allowed), both);
	cr_assert_eq(sim_count(sim, &A->endpoint, &allowed, WIRE_HANDSHAKE, 1) > 0, both);
	A->options.lighthouse.remote_allow.all = NULL;
	node_reconfigure(A->node, &A->options, &A->pki);
}

Test(sim_punches, forbidden_meanwhile)
{
	sim_seeds(2, forbidden_meanwhile);
}

/* A client of two lighthouses calls the second one back, about which the first has said so. */
static const struct host_pending *call_back(struct sim *sim)
{
	struct lighthouse_message punch = hub_message(LIGHTHOUSE_PUNCH, 3);

	hub_add(sim);
	sim_client(A, B);
	A->options.lighthouse.interval_ns = 3600 * SIM_S;
	A->options.lighthouse.punch_respond = true;
	A->options.lighthouse.respond_delay_ns = 300 * SIM_MS;
	hub_start(sim);
	sim_kill_node(B);
	node_order_close(A->node, &B->addr, true);
	sim_run(sim, 10 * SIM_S);
	cr_assert_null(hub_host(A, 3)->pending);
	punch.v4[punch.v4_count++] = sim_endpoint(150, 1);
	hub_say(A, L, &punch);
	sim_run(sim, 310 * SIM_MS);
	return hub_host(A, 3)->pending;
}

/*
 * Who calls, a lighthouse of ours says, is another lighthouse of ours, and is reached through some
 * relay. The handshake that calls it back begins one with the relay, for which lighthouses are
 * asked, and so that one too: it goes on while it is being sent.
 */
static void a_lighthouse_is_called_back(struct sim *sim)
{
	struct lighthouse_message reply = hub_message(LIGHTHOUSE_REPLY, 3);
	const struct host_pending *pending = call_back(sim);

	cr_assert(pending && pending->responds);

	reply.v4[reply.v4_count++] = sim_endpoint(151, 1);
	reply.relays[reply.relay_count++] = sim_overlay(3); /* itself */
	reply.relays[reply.relay_count++] = sim_overlay(98);
	reply.relays[reply.relay_count++] = sim_overlay(99);
	hub_say(A, L, &reply);
	cr_assert_eq(hub_host(A, 3)->pending, pending);
	cr_assert(hub_host(A, 98)->pending && hub_host(A, 99)->pending);
	sim_run(sim, 10 * SIM_S);
	cr_assert_eq(node_pending_count(A->node), 0);
}

Test(sim_punches, a_lighthouse_is_called_back)
{
	sim_seeds(3, a_lighthouse_is_called_back);
}

/*
 * The lighthouse that is called back comes by itself, so the handshake that calls it falls quiet,
 * and goes again: who asks lighthouses then cannot wait for that handshake.
 */
static void a_quiet_call_is_no_call(struct sim *sim)
{
	struct addr nobody = sim_overlay(98);
	const struct host_pending *pending = call_back(sim);

	cr_assert(pending && pending->responds);
	sim_start_node(B);
	cr_assert_eq(node_order_tunnel(B->node, &A->addr, &A->endpoint), 0);
	sim_send(B, 0, A->id, 1);
	sim_run(sim, 10 * SIM_MS);
	pending = hub_host(A, 3)->pending;
	cr_assert(pending && pending->quiet && pending->responds);
	node_order_close(A->node, &B->addr, true);

	cr_assert_eq(node_order_tunnel(A->node, &nobody, NULL), 0);
	sim_run(sim, 50 * SIM_MS);
	cr_assert(sim_primary(A, 3), "the lighthouse is not called");
}

Test(sim_punches, a_quiet_call_is_no_call)
{
	sim_seeds(3, a_quiet_call_is_no_call);
}

/* Traffic of ours goes to who is called back on order: lighthouses are asked about him, too. */
static void a_call_that_is_needed(struct sim *sim)
{
	struct lighthouse_message punch = hub_message(LIGHTHOUSE_PUNCH, 77);
	size_t asked;

	hub_add(sim);
	A->options.lighthouse.punch_respond = true;
	A->options.lighthouse.respond_delay_ns = 300 * SIM_MS;
	hub_start(sim);
	sim_run(sim, SIM_S);
	punch.v4[punch.v4_count++] = sim_endpoint(150, 1);
	hub_say(A, L, &punch);
	sim_run(sim, 310 * SIM_MS);
	cr_assert(hub_host(A, 77)->pending && hub_host(A, 77)->pending->responds);
	asked = hub_sealed(sim, A, L);
	sim_send(A, 0, 77, 1);
	sim_run(sim, 10 * SIM_MS);
	cr_assert(hub_host(A, 77)->pending && !hub_host(A, 77)->pending->responds);
	cr_assert_gt(hub_sealed(sim, A, L), asked);
}

Test(sim_punches, a_call_that_is_needed)
{
	sim_seeds(2, a_call_that_is_needed);
}
