/*
 * cpu_topology.h - the CPUs of this machine, as far as this process may use them.
 */
#ifndef M57_CPU_TOPOLOGY_H
#define M57_CPU_TOPOLOGY_H

#include "system/cpu_pick.h"

/* May this process run on that CPU? False for what is no CPU. */
bool cpu_allowed(int64_t number);

/*
 * CPUs worth of time that this process can use: those it may run on, or fewer when its cgroup has a
 * quota, rounded up (a worker too many waits a little, one too few leaves time unused). At least 1.
 */
uint32_t cpu_usable(void);

/* CPUs this process may run on, described. malloc'ed; NULL without memory. */
struct cpu_topology *cpu_topology_read(void);

/* --- parts of the above; root is "" or, for tests, a directory that holds a /sys and a /proc ---
 */

/* Fills in what root/sys and root/proc tell about the CPUs whose numbers stand in topology. */
void cpu_topology_describe(const char *root, struct cpu_topology *topology);

/* The smallest quota (cpu.max, cgroup v2) of this process's cgroup and those above, in CPUs,
 * rounded up. 0: none. */
uint32_t cpu_quota(const char *root);

#endif
