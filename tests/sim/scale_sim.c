/*
 * scale_sim.c - one node with 10,000 peers. The peers are certificates only: the second node takes
 * one identity after the other, begins a handshake from an address of its own, and answers nothing.
 */
#include <malloc.h>

#include "handshake/machine.h"
#include "sim.h"
#include "wire.h"

#define PEERS               10000u
#define HEAP_PER_TUNNEL_MAX 2048
#define FIRST_PEER          1000u /* overlay 10.42.3.232 and on */
#define A                   (&sim->nodes[0])
#define B                   (&sim->nodes[1])

static struct endpoint peer_endpoint(uint32_t n)
{
	return (struct endpoint){addr_from_v4(0x0b000000 + n), 4242};
}

/* Peer n begins a tunnel; something authentic seems to have come on it. */
static void peer_connects(struct sim *sim, uint32_t n)
{
	struct endpoint at = peer_endpoint(n);
	struct machine_self self = {AEAD_AES256GCM, &B->pki, NULL};
	uint8_t e_private[NOISE_KEY_BYTES], stage1[1024];
	struct machine machine;
	struct tunnel *tunnel;
	size_t length;

	sim_identify(B, &(struct sim_identity){.cert_id = FIRST_PEER + n});
	for (size_t i = 0; i < sizeof(e_private); i++)
		e_private[i] = (uint8_t)sim_random(sim, 256);
	cr_assert_eq(machine_begin(&machine, &self, 1 + n, SIM_WALL_S * SIM_S + sim->now_ns,
				   e_private, stage1, sizeof(stage1), &length),
		     MACHINE_OK);
	sim_inject(sim, &at, &A->endpoint, stage1, length, 0);
	for (int i = 0; i < 10 && !sim_primary(A, FIRST_PEER + n); i++)
		sim_run(sim, SIM_MS / 2);
	tunnel = sim_primary(A, FIRST_PEER + n);
	cr_assert(tunnel, "no tunnel with peer %u", n);
	node_on_confirmed(A->node, tunnel->id, &at, 0);
	atomic_store(&tunnel->last_in_ns, sim->now_ns + SIM_MS); /* nothing is owed to it */
}

/* Without keys and replay windows: these are not on the heap. Sanitizers have one of their own.
 */
static void check_memory(size_t before)
{
	size_t bytes = (mallinfo2().uordblks - before) / PEERS;

	cr_log_info("%zu bytes of heap per tunnel", bytes);
	cr_expect_lt(bytes, HEAP_PER_TUNNEL_MAX);
}

static void ten_thousand(struct sim *sim)
{
	uint64_t wakes;
	size_t heap;

	sim->check_every = 1000;
	sim_add(sim);
	sim_add(sim);
	sim_start_node(A);
	heap = mallinfo2().uordblks;
	for (uint32_t n = 0; n < PEERS; n++)
		peer_connects(sim, n);
	cr_assert_eq(node_tunnel_count(A->node), PEERS);
	check_memory(heap);

	/* Quiet tunnels have no timers: what wakes the node is the sweep of certificates. */
	sim_run(sim, 20 * SIM_S);
	wakes = A->wakes;
	sim_run(sim, 60 * SIM_S);
	cr_assert_eq(node_tunnel_count(A->node), PEERS, "a quiet tunnel stays");
	cr_assert_leq(A->wakes - wakes, 60, "%lu wake-ups in a minute", A->wakes - wakes);

	/* Traffic to 50 that do not answer: these are asked, and go; the others do not notice. */
	for (uint32_t round = 0; round < 300; round++) {
		for (uint32_t n = 0; n < 50; n++)
			sim_send(A, 0, FIRST_PEER + n * (PEERS / 50), round);
		sim_run(sim, 50 * SIM_MS);
	}
	sim_run(sim, 10 * SIM_S);
	cr_assert_eq(node_tunnel_count(A->node), PEERS - 50);
}

Test(sim_scale, ten_thousand_tunnels)
{
	sim_seeds(1, ten_thousand);
}
