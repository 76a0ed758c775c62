/* handshake_traps_sim.c - handshakes that are forged, copied, recorded, untrusted, or too many
 * (PROTOCOL.md 13.2). */
#include "handshake/machine.h"
#include "handshake/payload.h"
#include "pair.h"
#include "peers/node_query.h"

#define C (&sim->nodes[2])

/* --- trap 13, 14 -------------------------------------------------------------------------------
 */

/* A stage 1 with node's certificate, as anybody who has seen one can make it. */
static size_t copied_stage_1(struct sim *sim, struct sim_node *node, uint64_t time, uint8_t *out)
{
	struct machine_self self = {node->options.cipher, &node->pki, NULL};
	struct machine machine;
	uint8_t e_private[32];
	size_t length;

	for (int i = 0; i < 32; i++)
		e_private[i] = (uint8_t)sim_random(sim, 256);
	cr_assert_eq(machine_begin(&machine, &self, 1 + (uint32_t)sim_random(sim, UINT32_MAX), time,
				   e_private, out, HANDSHAKE_BYTES_MAX, &length),
		     MACHINE_OK);
	return length;
}

static void old_stage_1(struct sim *sim)
{
	size_t tests;

	pair_start(sim, false);
	sim_send(A, 0, 2, 1);
	sim_run(sim, SIM_S);
	sim_kill_node(A);
	sim->wall_offset_ns = -100 * (int64_t)SIM_S;
	sim_start_node(A);
	A->mute_recv_error = true;
	tests = sim_count(sim, &B->endpoint, NULL, WIRE_TEST_REQUEST, 0);
	sim_send(A, 0, 2, 2);
	sim_run(sim, 50 * SIM_MS);
	cr_assert_eq(sim_count(sim, &B->endpoint, NULL, WIRE_HANDSHAKE, 2), 1, "no second stage 2");
	cr_assert_gt(sim_count(sim, &B->endpoint, NULL, WIRE_TEST_REQUEST, 0), tests);
	cr_assert_geq(B->drops[DROP_HANDSHAKE_STALE], 1);
	cr_assert_eq(node_tunnel_count(B->node), 1);
}

Test(sim_handshake, stage_1_older_than_the_tunnel)
{
	sim_seeds(2, old_stage_1);
}

/*
 * Whoever has recorded a stage 1 can send it from anywhere: there goes a handshake of ours too,
 * for the host may have restarted there, but no more than twice, however often ours is sent.
 */
static void old_stage_1_from_elsewhere(struct sim *sim)
{
	struct endpoint victim = sim_endpoint(99, 4242);
	uint8_t recorded[HANDSHAKE_BYTES_MAX];
	size_t length;

	pair_start(sim, false);
	sim_send(A, 0, 2, 1);
	sim_run(sim, SIM_S);
	length = copied_stage_1(sim, A, 1, recorded);
	sim_kill_node(A);
	sim_transmit(sim, &victim, &B->endpoint, recorded, (uint32_t)length);
	for (uint64_t i = 0; i < 100; i++, sim_run(sim, 100 * SIM_MS))
		sim_send(B, 0, 1, 100 + i);
	cr_assert_geq(B->drops[DROP_HANDSHAKE_STALE], 1);
	cr_assert_gt(sim_count(sim, &B->endpoint, &A->endpoint, WIRE_HANDSHAKE, 1), 4);
	cr_assert_eq(sim_count(sim, &B->endpoint, &victim, WIRE_HANDSHAKE, 1), 2);
}

Test(sim_handshake, old_stage_1_from_elsewhere)
{
	sim_seeds(4, old_stage_1_from_elsewhere);
}

/*
 * Somebody says an old stage 1 again and again, each a little different: neither the log nor the
 * tunnel's peer hears of all of them.
 */
static void old_stage_1_flood(struct sim *sim)
{
	struct endpoint attacker = sim_endpoint(66, 666);
	uint8_t stage1[HANDSHAKE_BYTES_MAX];
	uint64_t lines, stale;
	size_t tests;

	pair_start(sim, false);
	sim_send(A, 0, 2, 1);
	sim_run(sim, SIM_S);
	lines = B->log_lines[OUTSIDE_INFO];
	stale = B->drops[DROP_HANDSHAKE_STALE];
	tests = sim_count(sim, &B->endpoint, NULL, WIRE_TEST_REQUEST, 0);
	for (int i = 0; i < 1000; i++) {
		size_t length = copied_stage_1(sim, A, 1, stage1);

		sim_inject(sim, &attacker, &B->endpoint, stage1, length, 0);
		sim_run(sim, SIM_MS);
	}
	cr_assert_eq(B->drops[DROP_HANDSHAKE_STALE] - stale, 1000);
	cr_assert_leq(B->log_lines[OUTSIDE_INFO] - lines, 2 * NODE_LOG_PER_SECOND + 2);
	cr_assert_leq(sim_count(sim, &B->endpoint, NULL, WIRE_TEST_REQUEST, 0) - tests, 50);
	cr_assert_eq(node_tunnel_count(B->node), 1);
}

Test(sim_handshake, old_stage_1_flood)
{
	sim_seeds(2, old_stage_1_flood);
}

/* The same with a copied certificate and a new Time each: a log of bounded growth. */
static void copied_certificate_flood(struct sim *sim)
{
	struct endpoint attacker = sim_endpoint(66, 666);
	uint8_t stage1[HANDSHAKE_BYTES_MAX];
	uint64_t lines;

	pair_start(sim, false);
	lines = B->log_lines[OUTSIDE_INFO];
	for (uint64_t i = 0; i < HANDSHAKE_LOG_BURST + 2000; i++) {
		size_t length = copied_stage_1(sim, A, 1 + i, stage1);

		sim_inject(sim, &attacker, &B->endpoint, stage1, length, 0);
		sim_run(sim, SIM_MS / 2);
	}
	cr_assert_geq(B->log_lines[OUTSIDE_INFO] - lines, 2 * HANDSHAKE_LOG_BURST);
	cr_assert_leq(B->log_lines[OUTSIDE_INFO] - lines,
		      2 * (HANDSHAKE_LOG_BURST + 4 * HANDSHAKE_LOG_PER_SECOND + 1));
}

Test(sim_handshake, copied_certificate_flood)
{
	sim_seeds(1, copied_certificate_flood);
}

/* Fresh stage 1 with the victim's certificate, 32 a second, from elsewhere, far in the future. */
static void copied_certificate(struct sim *sim)
{
	struct endpoint attacker = sim_endpoint(66, 666);
	uint8_t stage1[HANDSHAKE_BYTES_MAX];
	uint64_t number = 1;

	pair_start(sim, true);
	sim_send(A, 0, 2, number++);
	sim_run(sim, SIM_S);
	for (int i = 0; i < 320; i++) {
		size_t length =
			copied_stage_1(sim, A, UINT64_MAX - (uint64_t)sim_random(sim, 9), stage1);
		sim_inject(sim, &attacker, &B->endpoint, stage1, length, 0);
		sim_run(sim, 31 * SIM_MS);
		sim_send(A, 0, 2, number);
		sim_send(B, 0, 1, number++);
	}
	sim_run(sim, SIM_S);
	cr_assert_eq(sim_got(A, 2), number - 2, "no packet is lost to the attacker");
	cr_assert_eq(sim_got(B, 1), number - 1);
	cr_assert_eq(sim_count(sim, NULL, &attacker, WIRE_MESSAGE, 0), 0);
	cr_assert_leq(node_tunnel_count(B->node), 1 + UNCONFIRMED_PER_HOST_MAX);
	sim_run(sim, 7 * SIM_S);
	cr_assert_eq(node_tunnel_count(B->node), 1, "unconfirmed tunnels expire");

	/* The genuine peer comes back, and is not "too old". */
	sim_kill_node(A);
	sim_start_node(A);
	sim_send(A, 0, 2, 5000);
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(B, 1, 5000));
	sim_send(B, 0, 1, 5000);
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(A, 2, 5000));
}

Test(sim_handshake, copied_certificate_takes_no_traffic)
{
	sim_seeds(4, copied_certificate);
}

/* A recorded stage 1, replayed to a node that has restarted and lives on another tunnel by now. */
static void recorded_stage_1(struct sim *sim)
{
	struct endpoint attacker = sim_endpoint(66, 666);
	struct sim_datagram *recorded;

	pair_start(sim, true);
	sim_send(A, 0, 2, 1);
	sim_run(sim, SIM_S);
	recorded = sim_find(sim, &A->endpoint, NULL, WIRE_HANDSHAKE, 1, 0);
	sim_kill_node(B);
	sim_start_node(B);
	sim_send(B, 0, 1, 1); /* B begins: its primary has no peer time */
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(A, 2, 1));
	sim_inject(sim, &attacker, &B->endpoint, recorded->bytes, recorded->length, 0);
	for (uint64_t i = 2; i < 100; i++) {
		sim_send(B, 0, 1, i);
		sim_run(sim, 20 * SIM_MS);
	}
	cr_assert_eq(sim_got(A, 2), 99);
	cr_assert_eq(sim_count(sim, NULL, &attacker, WIRE_MESSAGE, 0), 0);
	cr_assert_geq(sim_count(sim, NULL, &attacker, WIRE_TEST_REQUEST, 0), 4);
	sim_run(sim, 6 * SIM_S);
	cr_assert_eq(node_tunnel_count(B->node), 1);
}

Test(sim_handshake, recorded_stage_1_takes_no_traffic)
{
	sim_seeds(4, recorded_stage_1);
}

/* --- trap 15: forged stage 2 -------------------------------------------------------------------
 */

static void forged_stage_2(struct sim *sim)
{
	struct sim_datagram *stage1;
	struct payload payload;
	uint8_t forged[400];

	sim->weather.delay_min_ns = sim->weather.delay_max_ns = 20 * SIM_MS;
	pair_start(sim, false);
	sim_send(A, 0, 2, 1);
	sim_run(sim, SIM_MS);
	stage1 = sim_find(sim, &A->endpoint, NULL, WIRE_HANDSHAKE, 1, 0);
	cr_assert(stage1);
	/* The initiator index stands in clear. */
	cr_assert_eq(payload_decode(stage1->bytes + 80, stage1->length - 80, &payload), 0);
	for (size_t length = 16; length <= 340; length += 4) {
		for (size_t i = 0; i < sizeof(forged); i++)
			forged[i] = (uint8_t)sim_random(sim, 256);
		if (length % 8 == 0)
			memset(forged + 16, 0, 32); /* low-order ephemeral */
		wire_write(forged, WIRE_HANDSHAKE, payload.initiator_index, 2);
		sim_inject(sim, &B->endpoint, &A->endpoint, forged, length, 0);
	}
	sim_run(sim, SIM_S);
	cr_assert_geq(A->drops[DROP_HANDSHAKE_INVALID], 60,
		      "the forgeries met the pending handshake");
	cr_assert(sim_got_number(B, 1, 1));
	cr_assert_eq(sim_count(sim, NULL, NULL, WIRE_HANDSHAKE, 1), 1, "at the first attempt");
}

Test(sim_handshake, forged_stage_2_does_no_harm)
{
	sim_seeds(4, forged_stage_2);
}

/* --- trap 16, 17: wrong responder --------------------------------------------------------------
 */

static void wrong_responder(struct sim *sim)
{
	pair_start(sim, false); /* A knows B; B will answer for host 3 */
	sim_add(sim);
	sim_static(C, 1, &A->endpoint);
	sim_kill_node(A);
	sim_static(A, 3, &B->endpoint);
	sim_start_node(A);
	for (uint64_t i = 1; i <= 5; i++)
		sim_send(A, 0, 3, i);
	sim_run(sim, 2 * SIM_S);
	cr_assert_eq(sim_count(sim, &A->endpoint, &B->endpoint, WIRE_HANDSHAKE, 1), 1);
	cr_assert_eq(sim_count(sim, &A->endpoint, &B->endpoint, WIRE_CLOSE_TUNNEL, 0), 1);
	cr_assert_eq(node_tunnel_count(B->node), 0, "closed");
	cr_assert_eq(node_tunnel_count(A->node), 0);
	cr_assert_eq(node_pending_count(A->node), 1);

	sim_start_node(C);
	sim_send(C, 0, 1, 1);
	sim_run(sim, SIM_S);
	cr_assert_eq(sim_got(C, 1), 5, "what waited reaches the right host");
	cr_assert(sim_in_order(C, 1));
	sim_run(sim, 10 * SIM_S);
	cr_assert_eq(sim_count(sim, &A->endpoint, &B->endpoint, WIRE_HANDSHAKE, 1), 1);
}

Test(sim_handshake, wrong_responder)
{
	sim_seeds(2, wrong_responder);
}

/* A knows host 3 where B is, and has been told so: it does not go there again. Then B goes, and 3
 * comes in its place. */
static void take_over(struct sim *sim)
{
	struct endpoint place;

	pair_start(sim, false);
	sim_add(sim);
	place = B->endpoint;
	sim_kill_node(A);
	sim_static(A, 3, &place);
	sim_start_node(A);
	sim_send(A, 0, 3, 1);
	sim_run(sim, 10 * SIM_S);
	cr_assert_eq(A->drops[DROP_HANDSHAKE_HOST], 1);
	sim_kill_node(B);
	B->endpoint = C->endpoint;
	C->endpoint = place;
	sim_start_node(C);
	sim_send(A, 0, 3, 2);
	sim_run(sim, 10 * SIM_S);
	cr_assert_null(sim_primary(A, 3), "it is not tried again so soon");
}

/* A host that took over the address of another one is called there after some minutes, after a
 * reload, and when m57ctl names the address. */
static void address_taken_over(struct sim *sim)
{
	take_over(sim);
	switch (sim->seed % 3) {
	case 0:
		for (uint64_t i = 3; i < 63; i++, sim_run(sim, 5 * SIM_S))
			sim_send(A, 0, 3, i);
		break;
	case 1:
		node_reconfigure(A->node, &A->options, &A->pki);
		break;
	default:
		cr_assert_eq(node_order_tunnel(A->node, &C->addr, &C->endpoint), 0);
	}
	sim_send(A, 0, 3, 100);
	sim_run(sim, SIM_S);
	cr_assert(sim_primary(A, 3), "seed %u", (unsigned)sim->seed);
	cr_assert_eq(A->drops[DROP_HANDSHAKE_HOST], 1);
}

Test(sim_handshake, address_taken_over)
{
	sim_seeds(3, address_taken_over);
}

static void myself(struct sim *sim)
{
	struct sim_node *a = sim_add(sim);

	sim_static(a, 2, &a->endpoint);
	sim_start_node(a);
	sim->recording = true;
	sim_send(a, 0, 2, 1);
	sim_run(sim, 10 * SIM_S);
	cr_assert_eq(node_tunnel_count(a->node), 0);
	cr_assert_eq(sim_count(sim, NULL, NULL, WIRE_HANDSHAKE, 1), 10);
	cr_assert_eq(sim_count(sim, NULL, NULL, WIRE_HANDSHAKE, 2), 0);
	cr_assert_eq(a->drops[DROP_HANDSHAKE_INVALID], 10);
}

Test(sim_handshake, myself)
{
	sim_seeds(1, myself);
}

/* --- trap 20: whom not to trust ----------------------------------------------------------------
 */

static const struct sim_identity untrusted[] = {
	{.foreign_ca = true},
	{.not_after = (int64_t)SIM_WALL_S + 10},
};

static void untrusted_peer(struct sim *sim)
{
	const struct sim_identity *identity = &untrusted[sim->seed % 2];
	bool b_untrusted = sim->seed / 2 % 2;

	pair_start(sim, true);
	sim_identify(b_untrusted ? B : A, identity);
	sim_send(A, 0, 2, 1);
	sim_send(B, 0, 1, 1);
	sim_run(sim, 10 * SIM_S);
	cr_assert_eq(sim_got(A, 2) + sim_got(B, 1), 0);
	cr_assert_eq(node_tunnel_count(b_untrusted ? A->node : B->node), 0);
	cr_assert_gt((b_untrusted ? A : B)->drops[DROP_HANDSHAKE_CERTIFICATE], 0);
}

Test(sim_handshake, untrusted_certificates)
{
	sim_seeds(4, untrusted_peer);
}

/* Sends every 100 ms, which begins one handshake after the other. */
static void insist(struct sim *sim, struct sim_node *node, uint32_t to, uint64_t duration_ns)
{
	for (uint64_t end = sim->now_ns + duration_ns; sim->now_ns < end;) {
		sim_send(node, 0, to, 1);
		sim_run(sim, 100 * SIM_MS);
	}
}

/* However often it tries: one line, at once; another after a while, or for another reason. */
static void refused_peer(struct sim *sim)
{
	uint64_t before;

	pair_start(sim, false);
	sim_add(sim);
	sim_static(C, 2, &B->endpoint);
	sim_start_node(C);
	sim_identify(A, &(struct sim_identity){.foreign_ca = true});
	sim_identify(C, &(struct sim_identity){.foreign_ca = true});
	B->watched = "Invalid certificate from host";
	insist(sim, A, 2, 50 * SIM_S);
	cr_expect_eq(B->watched_lines, 1, "%lu lines", B->watched_lines);
	cr_expect_gt(B->drops[DROP_HANDSHAKE_CERTIFICATE], 40, "each is counted");
	cr_expect(strstr(B->watched_text, "error=") && !strstr(B->watched_text, "detail="), "%s",
		  B->watched_text);
	insist(sim, C, 2, 200 * SIM_MS);
	cr_expect_eq(B->watched_lines, 2, "another peer is told at once");
	insist(sim, A, 2, 20 * SIM_S);
	cr_expect_eq(B->watched_lines, 3, "told again after a minute: %lu", B->watched_lines);
	sim_identify(A, &(struct sim_identity){.not_after = (int64_t)SIM_WALL_S - 10});
	before = B->drops[DROP_HANDSHAKE_CERTIFICATE];
	insist(sim, A, 2, 20 * SIM_S);
	cr_expect_eq(B->watched_lines, 4, "another reason: %lu", B->watched_lines);
	cr_expect_gt(B->drops[DROP_HANDSHAKE_CERTIFICATE] - before, 10);
}

Test(sim_handshake, a_refused_peer_is_told_once_a_minute)
{
	sim_seeds(2, refused_peer);
}

/* The same where the one that is refused has answered. */
static void refused_answer(struct sim *sim)
{
	pair_start(sim, false);
	sim_identify(B, &(struct sim_identity){.foreign_ca = true});
	A->watched = "Invalid certificate from host";
	insist(sim, A, 2, 50 * SIM_S);
	cr_expect_eq(A->watched_lines, 1, "%lu lines", A->watched_lines);
	cr_expect_gt(A->drops[DROP_HANDSHAKE_CERTIFICATE], 40);
	cr_expect_not(strstr(A->watched_text, "detail="), "%s", A->watched_text);
}

Test(sim_handshake, a_refused_answer_is_told_once_a_minute)
{
	sim_seeds(2, refused_answer);
}

/* One certificate from everywhere: each place is news, but the log has its rate. */
static void refused_flood(struct sim *sim)
{
	struct sim_datagram *stage1;
	uint64_t before;

	pair_start(sim, false);
	sim_identify(A, &(struct sim_identity){.foreign_ca = true});
	B->watched = "Invalid certificate from host";
	sim_send(A, 0, 2, 1);
	sim_run(sim, 10 * SIM_MS);
	stage1 = sim_find(sim, &A->endpoint, &B->endpoint, WIRE_HANDSHAKE, 1, 0);
	cr_assert(stage1);
	sim_kill_node(A);
	before = B->drops[DROP_HANDSHAKE_CERTIFICATE];
	for (uint32_t i = 0; i < 10000; i++) {
		struct endpoint from = {addr_from_v4(0xcb000000 + i), 4242};

		sim_inject(sim, &from, &B->endpoint, stage1->bytes, stage1->length, SIM_MS);
	}
	sim_run(sim, 10 * SIM_MS);
	cr_expect_leq(B->watched_lines, NODE_LOG_PER_SECOND + 2);
	cr_expect_eq(B->drops[DROP_HANDSHAKE_CERTIFICATE] - before, 10000);
}

Test(sim_handshake, refused_peers_are_told_at_a_rate)
{
	sim_seeds(1, refused_flood);
}

/* --- trap 25: index collision ------------------------------------------------------------------
 */

static void index_collision(struct sim *sim)
{
	uint32_t index;

	pair_start(sim, false);
	sim_add(sim);
	sim_static(C, 2, &B->endpoint);
	sim_start_node(C);
	B->index_repeats = 1;
	sim_send(A, 0, 2, 1);
	sim_run(sim, SIM_S);
	index = sim_primary(B, 1)->local_index;
	B->index_repeats = 20; /* of 32 tries */
	sim_send(C, 0, 2, 1);
	sim_run(sim, SIM_S);
	cr_assert_eq(sim_primary(B, 1)->local_index, index);
	cr_assert_neq(sim_primary(B, 3)->local_index, index);
	B->index_repeats = 1000;
	sim_kill_node(C);
	sim_start_node(C);
	sim_send(C, 0, 2, 2);
	sim_run(sim, 50 * SIM_MS);
	sim_send(A, 0, 2, 3);
	sim_run(sim, 50 * SIM_MS);
	cr_assert(sim_got_number(B, 1, 3));
	B->index_repeats = 0; /* the retry gets through */
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(B, 3, 2));
}

Test(sim_handshake, index_collision)
{
	sim_seeds(2, index_collision);
}

/* --- trap 27: flood ----------------------------------------------------------------------------
 */

static void flood(struct sim *sim)
{
	uint8_t genuine[HANDSHAKE_BYTES_MAX], stage1[HANDSHAKE_BYTES_MAX];
	uint64_t number = 1;
	size_t length, most = 0;

	pair_start(sim, true);
	sim_send(A, 0, 2, number++);
	sim_run(sim, SIM_S);
	sim->recording = false;
	length = copied_stage_1(sim, A, UINT64_MAX, genuine);
	for (int i = 0; i < 100000; i++) {
		memcpy(stage1, genuine, length);
		struct endpoint source = sim_endpoint((uint32_t)sim_random(sim, 1 << 16), 99);
		/* Every second one is valid: its ephemeral key is another. The others are spoilt.
		 */
		size_t place = 16 + sim_random(sim, i % 2 ? 32 : length - 16);
		stage1[place] ^= 1u << sim_random(sim, 8);
		sim_inject(sim, &source, &B->endpoint, stage1, length, 0);
		sim_run(sim, 50000);
		most = node_tunnel_count(B->node) > most ? node_tunnel_count(B->node) : most;
		if (i % 1000 == 0) {
			sim_send(A, 0, 2, number);
			sim_send(B, 0, 1, number++);
		}
	}
	sim_run(sim, SIM_S);
	cr_assert_eq(sim_got(A, 2), number - 2);
	cr_assert_eq(sim_got(B, 1), number - 1);
	cr_assert_leq(most, TUNNELS_PER_HOST_MAX + UNCONFIRMED_MAX);
	cr_assert_gt(B->drops[DROP_HANDSHAKE_OVERLOAD], 1000);
	cr_assert_gt(B->drops[DROP_HANDSHAKE_CERTIFICATE] + B->drops[DROP_HANDSHAKE_INVALID], 1000);
}

Test(sim_handshake, stage_1_flood_is_bounded)
{
	sim_seeds(1, flood);
}
