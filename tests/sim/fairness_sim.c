/*
 * fairness_sim.c - who floods with handshakes takes nobody else's turn: sources share control's
 * time by their networks (dataplane/lookup/source.h, control/handshake_queue.h).
 */
#include "handshake/machine.h"
#include "sim.h"
#include "wire.h"

#define A       (&sim->nodes[0])
#define B       (&sim->nodes[1])
#define FLOODER (&sim->nodes[2])

#define HANDSHAKE_NS                                                                               \
	SIM_MS /* what one costs B: a slow machine, so that the flood need not be large */
#define FLOOD_GAP_NS (SIM_MS / 20) /* twenty times more than B can do */

static void world(struct sim *sim)
{
	for (int i = 0; i < 3; i++)
		sim_add(sim);
	sim_static(A, 2, &B->endpoint);
	sim->weather.delay_min_ns = sim->weather.delay_max_ns = SIM_MS / 10;
	sim_start_node(A);
	sim_start_node(B);
	sim_slow_begin(B, HANDSHAKE_NS);
}

/* A stage 1 as good as any: the flooder's certificate, a fresh key, a newer time. */
static void stranger_knocks(struct sim *sim, uint32_t network)
{
	struct endpoint at = {addr_from_v4(network + (uint32_t)sim_random(sim, 256)),
			      (uint16_t)(1024 + sim_random(sim, 60000))};
	struct machine_self self = {AEAD_AES256GCM, &FLOODER->pki, NULL};
	uint8_t e_private[NOISE_KEY_BYTES], stage1[1024];
	struct machine machine;
	size_t length;

	for (size_t i = 0; i < sizeof(e_private); i++)
		e_private[i] = (uint8_t)sim_random(sim, 256);
	cr_assert_eq(machine_begin(&machine, &self, 1 + (uint32_t)sim_random(sim, 1 << 30),
				   SIM_WALL_S * SIM_S + sim->now_ns, e_private, stage1,
				   sizeof(stage1), &length),
		     MACHINE_OK);
	sim_inject(sim, &at, &B->endpoint, stage1, length, 0);
}

static void flood(struct sim *sim, uint32_t networks, uint64_t duration_ns)
{
	for (uint64_t end = sim->now_ns + duration_ns; sim->now_ns < end;) {
		stranger_knocks(sim, 0xcb007100 + (uint32_t)sim_random(sim, networks) * 256);
		sim_run(sim, FLOOD_GAP_NS);
	}
}

/* A comes while the flood runs: how many packets does B work on until the tunnel is there? */
static uint64_t handshakes_until_served(struct sim *sim, uint32_t networks)
{
	uint64_t before;

	flood(sim, networks, 100 * SIM_MS);
	cr_assert_gt(B->slow->queue.count, 20, "B has more to do than it can");
	before = B->slow->done;
	sim_send(A, 0, 2, 1);
	for (int i = 0; i < 400 && !sim_primary(A, 2); i++)
		flood(sim, networks, SIM_MS);
	SIM_ASSERT(sim, sim_primary(A, 2), "no tunnel in 400 ms");
	return B->slow->done - before;
}

static void one_network(struct sim *sim)
{
	uint64_t waited;

	world(sim);
	waited = handshakes_until_served(sim, 1);
	SIM_ASSERT(sim, waited <= 4, "%lu handshakes of the flood came before", waited);
	cr_assert_gt(B->drops[DROP_HANDSHAKE_CROWDED], 500);
	cr_assert_eq(B->drops[DROP_HANDSHAKE_OVERLOAD], 0);
	sim_slow_end(B);
}

Test(sim_fairness, a_flood_from_one_network_lets_others_through)
{
	sim_seeds(5, one_network);
}

static void ten_networks(struct sim *sim)
{
	uint64_t waited;

	world(sim);
	waited = handshakes_until_served(sim, 10);
	SIM_ASSERT(sim, waited <= 15, "%lu handshakes of the flood came before", waited);
	sim_slow_end(B);
}

Test(sim_fairness, ten_networks_that_flood_have_one_turn_each)
{
	sim_seeds(5, ten_networks);
}
