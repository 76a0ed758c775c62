/* handshake_sim.c - handshakes under loss and races, and their ends (PROTOCOL.md 13.2). */
#include "pair.h"
#include "peers/node_query.h"

/* --- the plain case ----------------------------------------------------------------------------
 */

static void one_handshake(struct sim *sim)
{
	pair_start(sim, false);
	sim_send(A, 0, 2, 1);
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(B, 1, 1));
	sim_send(B, 1, 1, 2);
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(A, 2, 2));
	cr_assert_eq(sim_count(sim, NULL, NULL, WIRE_HANDSHAKE, 1), 1);
	cr_assert_eq(sim_count(sim, NULL, NULL, WIRE_HANDSHAKE, 2), 1);
	cr_assert_eq(node_tunnel_count(A->node), 1);
	cr_assert_eq(node_tunnel_count(B->node), 1);
	cr_assert_eq(node_pending_count(A->node), 0);

	/* The first transport packet of either direction has counter 3 (trap 2). */
	cr_assert_eq(wire_counter(sim_find(sim, &A->endpoint, NULL, WIRE_MESSAGE, 0, 0)->bytes), 3);
	cr_assert_eq(atomic_load(&sim_primary(A, 2)->state), TUNNEL_CONFIRMED);
	cr_assert_eq(atomic_load(&sim_primary(B, 1)->state), TUNNEL_CONFIRMED);
	sim_run(sim, 60 * SIM_S);
	cr_assert_eq(node_tunnel_count(B->node), 1, "a confirmed tunnel does not expire");
}

Test(sim_handshake, one_handshake)
{
	sim_seeds(4, one_handshake);
}

/* --- loss, reordering, duplication -------------------------------------------------------------
 */

static void bad_weather(struct sim *sim)
{
	sim->weather = (struct sim_weather){
		.loss = 300, .duplicate = 100, .delay_min_ns = SIM_MS, .delay_max_ns = 80 * SIM_MS};
	pair_start(sim, true);
	for (uint64_t i = 1; i <= 200; i++) {
		sim_send(A, i % 2, 2, i);
		sim_send(B, i % 2, 1, i);
		sim_run(sim, 100 * SIM_MS);
		cr_assert_leq(node_tunnel_count(A->node), TUNNELS_PER_HOST_MAX + UNCONFIRMED_MAX);
	}
	cr_assert_gt(sim_got(A, 2), 100, "%zu", sim_got(A, 2));
	cr_assert_gt(sim_got(B, 1), 100, "%zu", sim_got(B, 1));

	sim->weather.loss = 0;
	sim_run(sim, 10 * SIM_S);
	sim_send(A, 0, 2, 1000);
	sim_send(B, 0, 1, 1000);
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(A, 2, 1000) && sim_got_number(B, 1, 1000));
	cr_assert_leq(node_tunnel_count(A->node), TUNNELS_PER_HOST_MAX);
	cr_assert_leq(node_tunnel_count(B->node), TUNNELS_PER_HOST_MAX);
}

Test(sim_handshake, loss_reorder_duplicate)
{
	sim_seeds(100, bad_weather);
}

/* --- trap 23 and 24: both start at once --------------------------------------------------------
 */

static void both_start(struct sim *sim)
{
	sim->weather = (struct sim_weather){.delay_min_ns = SIM_MS,
					    .delay_max_ns = SIM_MS + sim_random(sim, 3 * SIM_MS)};
	pair_start(sim, true);
	sim_send(A, 0, 2, 1);
	sim_run(sim, sim_random(sim, 6 * SIM_MS));
	sim_send(B, 1, 1, 1);
	sim_run(sim, 2 * SIM_S);
	/* What waited arrives; what the responder sends right behind its stage 2 may overtake it.
	 */
	cr_assert(sim_got_number(A, 2, 1) || A->drops[DROP_INDEX_PENDING] > 0);
	cr_assert(sim_got_number(B, 1, 1) || B->drops[DROP_INDEX_PENDING] > 0);
	sim_send(A, 0, 2, 2);
	sim_send(B, 1, 1, 2);
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(A, 2, 2) && sim_got_number(B, 1, 2));
	sim_run(sim, 10 * SIM_S);
	cr_assert_leq(node_tunnel_count(A->node), 2);
	cr_assert_leq(node_tunnel_count(B->node), 2);
	cr_assert_eq(node_pending_count(A->node) + node_pending_count(B->node), 0);
	sim_send(A, 0, 2, 3);
	sim_send(B, 1, 1, 3);
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(A, 2, 3) && sim_got_number(B, 1, 3));
	cr_assert_eq(A->recv_errors_sent + B->recv_errors_sent, 0);
}

Test(sim_handshake, simultaneous_start)
{
	sim_seeds(1000, both_start);
}

/* --- trap 29 and order -------------------------------------------------------------------------
 */

static void queue_limit(struct sim *sim)
{
	pair_start(sim, false);
	for (uint64_t i = 1; i <= 150; i++)
		sim_send(A, 0, 2, i);
	sim_run(sim, SIM_S);
	cr_assert_eq(sim_got(B, 1), PENDING_PACKETS_MAX);
	cr_assert(sim_in_order(B, 1));
	cr_assert(sim_got_number(B, 1, 100) && !sim_got_number(B, 1, 101));
	cr_assert_eq(A->drops[DROP_PENDING_FULL], 50);
}

Test(sim_handshake, queue_limit)
{
	sim_seeds(2, queue_limit);
}

/* A flow that does not stop while its tunnel is made, and is replaced. */
static void order_kept(struct sim *sim)
{
	uint64_t number = 1;

	pair_start(sim, true);
	for (int i = 0; i < 400; i++) {
		sim_send(A, 0, 2, number++);
		sim_run(sim, sim_random(sim, 80000));
		if (i == 200)
			sim_send(B, 0, 1, 1);
	}
	sim_run(sim, SIM_S);
	cr_assert_eq(sim_got(B, 1), number - 1);
	cr_assert(sim_in_order(B, 1));
}

Test(sim_handshake, order_kept)
{
	sim_seeds(50, order_kept);
}

/* --- trap 11, 12 -------------------------------------------------------------------------------
 */

static void repeated_stage_1(struct sim *sim)
{
	struct sim_datagram *first, *answer;

	pair_start(sim, false);
	sim_send(A, 0, 2, 1);
	while (!(first = sim_find(sim, &A->endpoint, NULL, WIRE_HANDSHAKE, 1, 0)))
		sim_run(sim, SIM_MS / 10);
	sim_kill_node(A); /* so that nothing proves that the answer has come */
	sim_run(sim, SIM_S);
	for (int i = 0; i < 3; i++) {
		first = sim_find(sim, &A->endpoint, NULL, WIRE_HANDSHAKE, 1, 0);
		sim_inject(sim, &A->endpoint, &B->endpoint, first->bytes, first->length, SIM_MS);
		sim_run(sim, 10 * SIM_MS);
	}
	cr_assert_eq(sim_count(sim, &B->endpoint, NULL, WIRE_HANDSHAKE, 2), 4);
	answer = sim_find(sim, &B->endpoint, NULL, WIRE_HANDSHAKE, 2, 0);
	for (size_t i = 1; i < 4; i++) {
		struct sim_datagram *again =
			sim_find(sim, &B->endpoint, NULL, WIRE_HANDSHAKE, 2, i);
		cr_assert_eq(again->length, answer->length);
		cr_assert_eq(memcmp(again->bytes, answer->bytes, answer->length), 0);
	}
	cr_assert_eq(node_tunnel_count(B->node), 1);
}

/* Once something authentic has come, the peer has its answer: what comes then is a copy. */
static void confirmed_stage_1(struct sim *sim)
{
	struct endpoint stranger = sim_endpoint(66, 4242);

	pair_start(sim, false);
	sim_send(A, 0, 2, 1);
	sim_run(sim, SIM_S);
	for (int i = 0; i < 4; i++) {
		struct sim_datagram *first =
			sim_find(sim, &A->endpoint, NULL, WIRE_HANDSHAKE, 1, 0);
		if (i == 3) /* nor while the tunnel closes */
			cr_assert_eq(node_order_close(B->node, &A->addr, false), 0);
		sim_inject(sim, &stranger, &B->endpoint, first->bytes, first->length, SIM_MS);
		sim_run(sim, 10 * SIM_MS);
	}
	cr_assert_eq(sim_count(sim, &B->endpoint, NULL, WIRE_HANDSHAKE, 2), 1);
	cr_assert_eq(B->drops[DROP_HANDSHAKE_STALE], 4);
	cr_assert_eq(node_tunnel_count(B->node), 1);
}

Test(sim_handshake, confirmed_stage_1)
{
	sim_seeds(4, confirmed_stage_1);
}

Test(sim_handshake, repeated_stage_1_gets_the_same_answer)
{
	sim_seeds(2, repeated_stage_1);
}

static void no_answer(struct sim *sim)
{
	struct sim_datagram *first;

	pair_start(sim, false);
	sim_kill_node(B);
	for (uint64_t i = 1; i <= 7; i++)
		sim_send(A, 0, 2, i);
	sim_run(sim, 5400 * SIM_MS);
	cr_assert_eq(node_pending_count(A->node), 1);
	sim_run(sim, 300 * SIM_MS);
	cr_assert_eq(node_pending_count(A->node), 0);
	cr_assert_eq(A->drops[DROP_PENDING_TIMEOUT], 7);
	cr_assert_eq(sim_count(sim, NULL, NULL, WIRE_HANDSHAKE, 1), 10);
	first = sim_find(sim, NULL, NULL, WIRE_HANDSHAKE, 1, 0);
	for (size_t i = 1; i < 10; i++)
		cr_assert_eq(memcmp(sim_find(sim, NULL, NULL, WIRE_HANDSHAKE, 1, i)->bytes,
				    first->bytes, first->length),
			     0);
	/* A later packet begins anew. */
	sim_start_node(B);
	sim_send(A, 0, 2, 8);
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(B, 1, 8));
}

Test(sim_handshake, attempts_are_identical_and_end)
{
	sim_seeds(2, no_answer);
}

static void unknown_host(struct sim *sim)
{
	pair_start(sim, false);
	sim_send(A, 0, 9, 1);
	sim_send(A, 1, 9, 2);
	sim_run(sim, 10 * SIM_S);
	cr_assert_eq(sim->sent_count, 0);
	cr_assert_eq(A->drops[DROP_PENDING_TIMEOUT], 2);
	cr_assert_eq(node_next_deadline(A->node), UINT64_MAX, "an idle node sleeps");
}

Test(sim_handshake, unknown_host_times_out)
{
	sim_seeds(1, unknown_host);
}

/*
 * Our first stage 1 is lost, and the peer has come by itself before the second: the handshake ends
 * without an answer, which is no failure of a host that is connected.
 */
static void not_needed_any_more(struct sim *sim)
{
	pair_start(sim, true);
	sim->cut[0] = A->endpoint;
	sim->cut[1] = B->endpoint;
	sim_send(A, 0, 2, 1);
	sim_run(sim, 20 * SIM_MS);
	sim->cut[0].port = 0;
	sim_send(B, 0, 1, 1);
	sim_run(sim, 20 * SIM_MS);
	cr_assert_eq(node_pending_count(A->node), 1);
	sim_run(sim, 20 * SIM_S);
	cr_assert_eq(node_pending_count(A->node), 0);
	cr_assert(sim_got_number(A, 2, 1) && sim_got_number(B, 1, 1));
	cr_assert_null(node_query_failure(A->node, &B->addr));
}

Test(sim_handshake, not_needed_any_more)
{
	sim_seeds(5, not_needed_any_more);
}
