/* named.h - a lighthouse that one of its clients knows by name alone, and a fake DNS. */
#ifndef M57_SIM_NAMED_H
#define M57_SIM_NAMED_H

#include "peers/names.h"
#include "sim.h"

#define L  (&sim->nodes[0]) /* lighthouse */
#define A  (&sim->nodes[1])
#define B  (&sim->nodes[2])
#define LH (&sim->names[0]) /* lh.example, where L is */

#define CADENCE_NS (30 * SIM_S)

static struct name_entry entries[SIM_NAMES];

/* A knows L by the name lh.example alone, and has nobody else. */
static inline void network(struct sim *sim)
{
	for (int i = 0; i < 3; i++)
		sim_add(sim);
	sim_client(A, L);
	sim_client(B, L);
	A->options.static_host_count = 0;
	entries[0] = (struct name_entry){"lh.example", 4242, L->addr};
	A->options.names = (struct name_options){
		.cadence_ns = CADENCE_NS, .timeout_ns = 250 * SIM_MS, .count = 1, .list = entries};
	*LH = (struct sim_name){.text = "lh.example",
				.delay_ns = 5 * SIM_MS,
				.outcome = NAME_FOUND,
				.count = 1,
				.addrs = {L->endpoint.addr}};
	sim->name_count = 1;
}

#endif
