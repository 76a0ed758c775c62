/* clock_sim.c - wall clocks that jump while tunnels live, and before handshakes (trap 92). */
#include <stdlib.h>

#include "pair.h"
#include "peers/node_state.h"

static void clock_jumps(struct sim *sim)
{
	int64_t year = 365 * 86400 * (int64_t)SIM_S;
	struct tunnel *before;

	pair_connect(sim);
	before = sim_primary(A, 2);
	for (int i = 0; i < 4; i++) {
		sim->wall_offset_ns = i % 2 ? year : -year;
		for (uint64_t j = 0; j < 10; j++, sim_run(sim, SIM_S)) {
			sim_send(A, 0, 2, 10 + j);
			sim_send(B, 0, 1, 10 + j);
		}
	}
	cr_assert_eq(sim_primary(A, 2), before, "tunnels live on monotonic time");
	cr_assert_eq(sim_got(B, 1), 41);
}

Test(sim_clock, clock_jumps)
{
	sim_seeds(2, clock_jumps);
}

/* A's clock jumps, and then a tunnel is replaced: B has seen a later Time, or a much earlier one.
 */
static void jump_and_handshake(struct sim *sim)
{
	int64_t year = 365 * 86400 * (int64_t)SIM_S;
	uint64_t number = 10, stale;

	pair_connect(sim);
	stale = B->drops[DROP_HANDSHAKE_STALE];
	for (int i = 0; i < 4; i++) {
		struct tunnel *before = sim_primary(A, 2);

		A->wall_offset_ns = i % 2 ? year : -year;
		node_on_counter(A->node, before->id, COUNTER_REHANDSHAKE_AT);
		for (uint64_t end = sim->now_ns + SIM_S; sim->now_ns < end;
		     sim_run(sim, 50 * SIM_MS)) {
			sim_send(A, 0, 2, number);
			sim_send(B, 0, 1, number++);
		}
		cr_assert_neq(sim_primary(A, 2), before, "jump %d", i);
		cr_assert_neq(sim_primary(B, 1), NULL);
	}
	cr_assert_eq(B->drops[DROP_HANDSHAKE_STALE], stale, "none of ours is too old");
	sim_run(sim, SIM_S);
	cr_assert_eq(sim_got(B, 1), number - 10 + 1);
	cr_assert_eq(sim_got(A, 2), number - 10 + 1);
}

Test(sim_clock, clock_jumps_before_handshakes)
{
	sim_seeds(4, jump_and_handshake);
}

/* A restarts with an earlier clock: its stage 1 is "too old" as long as B holds on to the tunnel.
 */
static void earlier_clock(struct sim *sim)
{
	pair_connect(sim);
	sim_kill_node(A);
	A->wall_offset_ns = -3600 * (int64_t)SIM_S;
	A->mute_recv_error = sim->seed % 2;
	sim_start_node(A);
	cr_assert_leq(until_heard(sim, A, B, 200 * SIM_MS, 30 * SIM_S), HEAL_NS);
	cr_assert_geq(sim_count(sim, &B->endpoint, NULL, WIRE_TEST_REQUEST, 0), 1);
	sim_run(sim, 30 * SIM_S);
	cr_assert_eq(node_tunnel_count(B->node), 1);
}

Test(sim_clock, restart_with_an_earlier_clock)
{
	sim_seeds(4, earlier_clock);
}
