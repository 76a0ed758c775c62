/*
 * cpu_pick.h - which CPU each worker stays on (PROTOCOL.md 11.6, 9.2): the choice, pure, from a
 * described machine. cpu_topology.h describes the real one.
 *
 * Why workers stay put: the kernel picks a NIC's transmit ring by the CPU of the sender, so a
 * worker that moves may reorder a flow; and its caches stay warm. The order of preference is
 * Nebula's, and what serves a NIC's interrupts is avoided on top of it. Where Nebula would put two
 * threads on one CPU by itself, nothing is chosen here: the scheduler spreads better than chance.
 */
#ifndef M57_CPU_PICK_H
#define M57_CPU_PICK_H

#include <stdbool.h>
#include <stdint.h>

#include "limits.h"

struct cpu {
	uint32_t number;
	uint32_t core;       /* physical core: the lowest number of the CPUs that share it */
	uint32_t node;       /* NUMA node */
	uint32_t capacity;   /* of 1024, as the kernel rates it; 0: unknown */
	uint32_t max_khz;    /* highest frequency; 0: unknown */
	bool in_core_pmu;    /* an Intel hybrid says that this is a performance core */
	bool serves_network; /* its core takes interrupts of a network device */
};

struct cpu_topology {
	uint32_t count; /* CPUs that this process may run on, numbers ascending */
	struct cpu cpus[CPUS_MAX];
};

/*
 * Chooses count distinct CPUs, best first, into cpus. Performance cores only and one NUMA node only
 * where that leaves enough; a core's first thread before any core's second; cores that serve the
 * network late, CPU 0's core later, CPU 0 itself at the very end. key (the UDP port) turns the
 * order, so that several nodes of one host do not meet on the same cores.
 *
 * 0; -ENOSPC when the process may not run on that many; -ENOMEM.
 */
int cpu_pick(const struct cpu_topology *topology, uint32_t count, uint64_t key, int *cpus);

#endif
