/* peers_sim.c - tunnels that exist: restart, recv_error, roaming, closing, certificates' end. */
#include "pair.h"
#include "peers/node_query.h"
#include "peers/node_state.h"

/* Two nodes with a confirmed tunnel that A began; B does not know where A is but from it. */
static void connected(struct sim *sim)
{
	pair_start(sim, false);
	sim_send(A, 0, 2, 1);
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(B, 1, 1));
}

/* --- restart and recv_error --------------------------------------------------------------------
 */

static void restart(struct sim *sim)
{
	struct sim_node *gone = sim->seed % 2 ? A : B, *stays = sim->seed % 2 ? B : A;
	uint64_t before, number = 2;

	connected(sim);
	sim_kill_node(gone);
	sim_start_node(gone);
	before = sim_got(gone, stays->id);
	for (int i = 0; i < 100; i++) {
		sim_send(stays, 0, gone->id, number++);
		sim_run(sim, SIM_MS);
	}
	sim_run(sim, SIM_S);
	/* Lost: what was on its way for one round trip. */
	cr_assert_geq(sim_got(gone, stays->id) - before, 94);
	cr_assert(sim_in_order(gone, stays->id));
	cr_assert_eq(sim_count(sim, &stays->endpoint, NULL, WIRE_HANDSHAKE, 1), stays == A ? 2 : 1,
		     "one new handshake");
	sim_run(sim, 11 * SIM_S);
	cr_assert_eq(node_tunnel_count(stays->node), 1, "the old tunnel has gone");
	sim_send(gone, 0, stays->id, 7);
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(stays, gone->id, 7));
}

Test(sim_peers, restart_is_healed_by_recv_error)
{
	sim_seeds(20, restart);
}

static void inject_recv_error(struct sim *sim, const struct endpoint *from)
{
	uint8_t packet[WIRE_HEADER_BYTES];

	wire_write(packet, WIRE_RECV_ERROR, sim_primary(A, 2)->remote_index, 0);
	sim_inject(sim, from, &A->endpoint, packet, sizeof(packet), 0);
}

/* From the right source it costs one handshake and no packet; from another it does nothing. */
static void forged_recv_error(struct sim *sim)
{
	struct endpoint stranger = sim_endpoint(66, 4242);
	uint64_t number = 2;

	connected(sim);
	inject_recv_error(sim, &stranger);
	sim_run(sim, 100 * SIM_MS);
	cr_assert_eq(A->drops[DROP_RECV_ERROR_IGNORED], 1);
	cr_assert_eq(sim_count(sim, &A->endpoint, NULL, WIRE_HANDSHAKE, 1), 1);

	for (int i = 0; i < 500; i++) {
		if (sim_primary(A, 2))
			inject_recv_error(sim, &B->endpoint);
		sim_send(A, 0, 2, number++);
		sim_run(sim, 2 * SIM_MS);
	}
	sim_run(sim, SIM_S);
	cr_assert_eq(sim_got(B, 1), number - 1, "nothing is lost");
	cr_assert(sim_in_order(B, 1));
	cr_assert_eq(sim_count(sim, &A->endpoint, NULL, WIRE_HANDSHAKE, 1), 2, "one rehandshake");
}

Test(sim_peers, forged_recv_error)
{
	sim_seeds(4, forged_recv_error);
}

struct policy_case {
	enum recv_error_policy policy;
	uint32_t source_v4; /* where B is */
	bool accepted;
};

static const struct policy_case policy_cases[] = {
	{RECV_ERROR_ALWAYS, 0xc0000202, true},   {RECV_ERROR_NEVER, 0xc0000202, false},
	{RECV_ERROR_NEVER, 0x0a000001, false},   {RECV_ERROR_PRIVATE, 0xc0000202, false},
	{RECV_ERROR_PRIVATE, 0x0a000001, true},  {RECV_ERROR_PRIVATE, 0xac100001, true},
	{RECV_ERROR_PRIVATE, 0xac200001, false}, {RECV_ERROR_PRIVATE, 0xc0a80001, true},
};

static void recv_error_policy(struct sim *sim)
{
	const struct policy_case *c = &policy_cases[sim->seed % 8];

	sim_add(sim);
	sim_add(sim);
	B->endpoint.addr = addr_from_v4(c->source_v4);
	A->options.accept_recv_error = c->policy;
	sim_static(A, 2, &B->endpoint);
	sim_start_node(A);
	sim_start_node(B);
	sim->recording = true;
	sim_send(A, 0, 2, 1);
	sim_run(sim, SIM_S);
	inject_recv_error(sim, &B->endpoint);
	sim_run(sim, SIM_S);
	cr_assert_eq(A->drops[DROP_RECV_ERROR_IGNORED], !c->accepted);
	cr_assert_eq(sim_count(sim, &A->endpoint, NULL, WIRE_HANDSHAKE, 1), 1 + c->accepted);
}

Test(sim_peers, recv_error_policy)
{
	sim_seeds(8, recv_error_policy);
}

/* --- roaming -----------------------------------------------------------------------------------
 */

static void roaming(struct sim *sim)
{
	struct endpoint home = sim_endpoint(1, 4242), cafe = sim_endpoint(77, 5000);

	connected(sim);
	A->endpoint = cafe;
	sim_send(A, 0, 2, 2);
	sim_run(sim, 100 * SIM_MS);
	cr_assert(endpoint_equal(&sim_primary(B, 1)->remote->to, &cafe));
	sim_send(B, 0, 1, 1);
	sim_run(sim, 100 * SIM_MS);
	cr_assert(sim_got_number(A, 2, 1));

	/* Back within 2 s: ignored; a third address is not; after 2 s it is heard again. */
	for (int i = 0; i < 10; i++) {
		A->endpoint = home;
		sim_send(A, 0, 2, 3);
		sim_run(sim, 100 * SIM_MS);
		cr_assert(endpoint_equal(&sim_primary(B, 1)->remote->to, &cafe));
	}
	cr_assert(atomic_load(&sim_primary(B, 1)->event_in_flight) & TUNNEL_EVENT_ROAM,
		  "meanwhile not every packet of A's tells control the same");
	sim_run(sim, 1000 * SIM_MS);
	sim_send(A, 0, 2, 4);
	sim_run(sim, 100 * SIM_MS);
	cr_assert(endpoint_equal(&sim_primary(B, 1)->remote->to, &home));
	A->endpoint = sim_endpoint(78, 1);
	sim_send(A, 0, 2, 5);
	sim_run(sim, 100 * SIM_MS);
	cr_assert(endpoint_equal(&sim_primary(B, 1)->remote->to, &A->endpoint));
	cr_assert(sim_got_number(B, 1, 5));
	/* While B ignored that A was back, A got no answers and began anew. */
	sim_run(sim, 30 * SIM_S);
	cr_assert_eq(node_tunnel_count(B->node), 1);
}

Test(sim_peers, roaming)
{
	sim_seeds(4, roaming);
}

/* A host that starts anew at another address was silent for a while: no second one has its
 * certificate. */
static void restart_elsewhere(struct sim *sim)
{
	connected(sim);
	sim_kill_node(A);
	sim_run(sim, 2 * SIM_S);
	A->endpoint = sim_endpoint(77, 5000);
	sim_start_node(A);
	sim_send(A, 0, 2, 2);
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(B, 1, 2));
	cr_assert_eq(B->stats[STAT_HOST_TWINS], 0);
}

Test(sim_peers, restart_elsewhere)
{
	sim_seeds(4, restart_elsewhere);
}

/* The same tunnel: what A asks is answered at its newer address, so it does not begin anew. */
static void roaming_back(struct sim *sim)
{
	struct endpoint home = sim_endpoint(1, 4242), cafe = sim_endpoint(77, 5000);
	uint32_t index;

	connected(sim);
	index = sim_primary(B, 1)->local_index;
	for (int round = 0; round < 3; round++) {
		A->endpoint = cafe;
		sim_send(A, 0, 2, 2);
		sim_run(sim, 100 * SIM_MS);
		A->endpoint = home;
		sim_send(A, 0, 2, 3);
		sim_run(sim, 10 * SIM_MS);
		A->endpoint = cafe;
		cr_assert(endpoint_equal(&sim_primary(B, 1)->remote->to, &cafe), "ignored");
		sim_run(sim, 1950 * SIM_MS);
		A->endpoint = home;
		sim_send(A, 0, 2, 4);
		sim_run(sim, 50 * SIM_MS);
		cr_assert(endpoint_equal(&sim_primary(B, 1)->remote->to, &home), "2 s are over");
		sim_run(sim, 3 * SIM_S);
	}
	cr_assert_eq(sim_primary(B, 1)->local_index, index);
}

Test(sim_peers, roaming_back)
{
	sim_seeds(4, roaming_back);
}

/* A packet that does not authenticate moves nothing (trap 44). */
static void forged_data(struct sim *sim)
{
	struct endpoint stranger = sim_endpoint(66, 1);
	uint8_t packet[WIRE_OVERHEAD + 8] = {0};

	connected(sim);
	for (uint32_t type = 1; type < 7; type++) {
		wire_write(packet, (enum wire_type)(type << 8), sim_primary(B, 1)->local_index,
			   1000);
		sim_inject(sim, &stranger, &B->endpoint, packet, sizeof(packet), 0);
	}
	sim_run(sim, SIM_S);
	cr_assert(endpoint_equal(&sim_primary(B, 1)->remote->to, &A->endpoint));
	cr_assert_eq(node_tunnel_count(B->node), 1,
		     "a forged CloseTunnel closes nothing (trap 43)");
}

Test(sim_peers, forged_data)
{
	sim_seeds(2, forged_data);
}

/* --- closing -----------------------------------------------------------------------------------
 */

static void shutdown_closes(struct sim *sim)
{
	connected(sim);
	node_shutdown(A->node);
	sim_run(sim, SIM_S);
	cr_assert_eq(node_tunnel_count(B->node), 0);
	cr_assert_eq(sim_count(sim, &A->endpoint, NULL, WIRE_CLOSE_TUNNEL, 0), 1);
	cr_assert_null(sim_primary(B, 1));
	/* Nothing new begins. */
	sim_send(A, 0, 2, 2);
	sim_run(sim, 10 * SIM_S);
	cr_assert_eq(sim_count(sim, &A->endpoint, NULL, WIRE_HANDSHAKE, 1), 1);
}

Test(sim_peers, shutdown_closes_tunnels)
{
	sim_seeds(2, shutdown_closes);
}

/* Trap 36. */
static void certificate_ends(struct sim *sim)
{
	bool keep = sim->seed % 2;

	sim_add(sim);
	sim_add(sim);
	sim_identify(A, &(struct sim_identity){.not_after = (int64_t)SIM_WALL_S + 1020});
	B->options.disconnect_invalid = !keep;
	sim_static(A, 2, &B->endpoint);
	sim_start_node(A);
	sim_start_node(B);
	sim->recording = true;
	sim_send(A, 0, 2, 1);
	sim_run(sim, 18 * SIM_S);
	cr_assert_eq(node_tunnel_count(B->node), 1);
	sim_run(sim, 15 * SIM_S);
	cr_assert_eq(node_tunnel_count(B->node), keep);
	cr_assert_eq(node_tunnel_count(A->node), keep);
	cr_assert_eq(sim_count(sim, &B->endpoint, NULL, WIRE_CLOSE_TUNNEL, 0), !keep);
	if (!keep)
		cr_assert_eq(node_next_deadline(B->node), UINT64_MAX, "an idle node sleeps");
}

Test(sim_peers, certificate_ends)
{
	sim_seeds(2, certificate_ends);
}

static void blocked(struct sim *sim)
{
	char hex[CERT_FINGERPRINT_HEX_MAX];

	connected(sim);
	B->options.disconnect_invalid = false;
	cert_fingerprint_hex(A->pki.v1.cert->fingerprint, hex);
	cr_assert_eq(blocklist_add(B->pki.blocklist, hex), 0);
	sim_run(sim, 7 * SIM_S);
	cr_assert_eq(node_tunnel_count(B->node), 0);
	sim_send(A, 0, 2, 2);
	sim_run(sim, SIM_S);
	cr_assert(!sim_got_number(B, 1, 2), "and cannot come back");
}

Test(sim_peers, blocked_certificate)
{
	sim_seeds(2, blocked);
}

/* --- counters (trap 5) -------------------------------------------------------------------------
 */

static void counter_limits(struct sim *sim)
{
	struct tunnel *tunnel;

	connected(sim);
	tunnel = sim_primary(A, 2);
	for (int i = 0; i < 3; i++)
		node_on_counter(A->node, tunnel->id, COUNTER_REHANDSHAKE_AT);
	sim_run(sim, SIM_S);
	cr_assert_eq(sim_count(sim, &A->endpoint, NULL, WIRE_HANDSHAKE, 1), 2, "exactly one");
	cr_assert_neq(sim_primary(A, 2), tunnel);
	node_on_counter(A->node, sim_primary(A, 2)->id, COUNTER_REFUSE_AT);
	node_on_counter(A->node, sim_primary(A, 2)->id, COUNTER_REFUSE_AT);
	sim_node_reap(A);
	cr_assert_null(sim_primary(A, 2));
	cr_assert_eq(sim_count(sim, &A->endpoint, NULL, WIRE_CLOSE_TUNNEL, 0), 0, "without notice");
	sim_send(A, 0, 2, 2);
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(B, 1, 2));
}

Test(sim_peers, counter_limits)
{
	sim_seeds(2, counter_limits);
}

/* --- many handshakes, one peer -----------------------------------------------------------------
 */

static void sixth_tunnel(struct sim *sim)
{
	connected(sim);
	for (int i = 0; i < 10; i++) {
		sim_kill_node(A);
		sim_start_node(A);
		A->mute_recv_error = true;
		sim_send(A, 0, 2, 100 + (uint64_t)i);
		sim_run(sim, 500 * SIM_MS);
		cr_assert_leq(node_tunnel_count(B->node), TUNNELS_PER_HOST_MAX);
		sim_send(B, 0, 1, 100 + (uint64_t)i);
		sim_run(sim, 500 * SIM_MS);
		cr_assert(sim_got_number(A, 2, 100 + (uint64_t)i), "the newest is primary");
	}
	cr_assert_eq(node_tunnel_count(B->node), TUNNELS_PER_HOST_MAX);
}

Test(sim_peers, at_most_five_tunnels)
{
	sim_seeds(2, sixth_tunnel);
}

/* Nodes that come, go, roam and lose packets for a long time: bounded, and well again at the end.
 */
static void soak(struct sim *sim)
{
	uint64_t number = 1;

	sim->weather = (struct sim_weather){
		.loss = 50, .duplicate = 20, .delay_min_ns = SIM_MS, .delay_max_ns = 40 * SIM_MS};
	for (uint32_t i = 1; i <= 5; i++)
		sim_add(sim);
	for (uint32_t i = 0; i < 5; i++)
		for (uint32_t j = 0; j < 5; j++)
			if (i != j)
				sim_static(&sim->nodes[i], j + 1, &sim->nodes[j].endpoint);
	for (uint32_t i = 0; i < 5; i++)
		sim_start_node(&sim->nodes[i]);
	for (int step = 0; step < 2000; step++) {
		struct sim_node *node = &sim->nodes[sim_random(sim, 5)];
		if (sim_random(sim, 50) == 0) {
			sim_kill_node(node);
			sim_start_node(node);
		}
		sim_send(node, sim_random(sim, 2), 1 + sim_random(sim, 5) % 5, number++);
		sim_run(sim, sim_random(sim, 50 * SIM_MS));
		cr_assert_leq(node_tunnel_count(node->node), 5 * TUNNELS_PER_HOST_MAX + 64);
	}
	sim->weather.loss = 0;
	sim_run(sim, 20 * SIM_S);
	for (uint32_t i = 0; i < 5; i++)
		for (uint32_t j = 0; j < 5; j++)
			if (i != j)
				for (uint64_t k = 0; k < 3; k++, sim_run(sim, SIM_S))
					sim_send(&sim->nodes[i], 0, j + 1, 100000 + k);
	for (uint32_t i = 0; i < 5; i++)
		for (uint32_t j = 0; j < 5; j++)
			cr_assert(i == j || sim_got_number(&sim->nodes[j], i + 1, 100002));
}

Test(sim_peers, soak)
{
	sim_seeds(10, soak);
}

/* A new tunnel that is not proved stands before the one in use, which is what is shown. */
static void shown(struct sim *sim)
{
	struct node_tunnel_view view;

	connected(sim);
	cr_assert_eq(node_query_primary(B->node, &A->addr), 0);
	sim->cut[0] = B->endpoint;
	sim->cut[1] = A->endpoint;
	sim->cut_one_way = true; /* the answer is lost */
	initiator_begin(A->node, tunnels_find_host(&A->node->tunnels, &B->addr), 0);
	sim_run(sim, 200 * SIM_MS);
	cr_assert(node_query_tunnel(B->node, &A->addr, 0, &view) && !view.primary);
	cr_assert(
		node_query_tunnel(B->node, &A->addr, node_query_primary(B->node, &A->addr), &view));
	cr_assert(view.primary && strcmp(view.state, "live") == 0);
	cr_assert_eq(node_query_primary(B->node, &B->addr), 0, "nothing is known of that one");
}

Test(sim_peers, the_tunnel_in_use_is_shown)
{
	sim_seeds(2, shown);
}
