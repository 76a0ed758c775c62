/* pair.h - two nodes of which the first knows where the second is, and a tunnel between them. */
#ifndef M57_SIM_PAIR_H
#define M57_SIM_PAIR_H

#include "sim.h"
#include "wire.h"

#define A (&sim->nodes[0])
#define B (&sim->nodes[1])

#define HEAL_NS (3 * SIM_S) /* promised for a peer that has lost its tunnels, or moved */

/* Both run. both: the second knows where the first is, too. */
static inline void pair_start(struct sim *sim, bool both)
{
	sim_add(sim);
	sim_add(sim);
	sim_static(A, 2, &B->endpoint);
	if (both)
		sim_static(B, 1, &A->endpoint);
	sim_start_node(A);
	sim_start_node(B);
	sim->recording = true;
}

/* And have heard each other, and rest. */
static inline void pair_connect(struct sim *sim)
{
	pair_start(sim, false);
	sim_send(A, 0, 2, 1);
	sim_run(sim, 100 * SIM_MS);
	sim_send(B, 0, 1, 1);
	sim_run(sim, 2 * SIM_S);
	cr_assert(sim_got_number(B, 1, 1) && sim_got_number(A, 2, 1));
}

/* The same, forgotten: only what is sent from now on counts. */
static inline void pair_connect_only(struct sim *sim)
{
	pair_connect(sim);
	sim_forget(sim);
}

/* Sends from one to the other every interval until something arrives; how long that took. */
static inline uint64_t until_heard(struct sim *sim, struct sim_node *from, struct sim_node *to,
				   uint64_t interval_ns, uint64_t limit_ns)
{
	uint64_t start = sim->now_ns, number = start;
	size_t before = sim_got(to, from->id);

	while (sim_got(to, from->id) == before && sim->now_ns - start < limit_ns) {
		sim_send(from, 0, to->id, number++);
		for (uint64_t left = interval_ns; left > 0 && sim_got(to, from->id) == before;) {
			uint64_t step = left < 10 * SIM_MS ? left : 10 * SIM_MS;
			sim_run(sim, step);
			left -= step;
		}
	}
	return sim->now_ns - start;
}

#endif
