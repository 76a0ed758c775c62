/*
 * cpu_pick.c - see cpu_pick.h. The candidates are narrowed twice, ranked by one number each, and
 * sorted.
 */
#include "system/cpu_pick.h"

#include <errno.h>
#include <stdlib.h>

struct candidate {
	const struct cpu *cpu;
	bool performance;
	uint64_t rank; /* lowest first */
};

static uint64_t splitmix64(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

/* The kernel's rating counts, else Intel's own list, else the frequency: turbo differs a little
 * among equal cores. A machine that tells nothing has performance cores only. */
static void mark_performance(const struct cpu_topology *topology, struct candidate *all)
{
	uint32_t capacity = 0, khz = 0;
	bool pmu = false;

	for (uint32_t i = 0; i < topology->count; i++) {
		const struct cpu *cpu = &topology->cpus[i];

		capacity = cpu->capacity > capacity ? cpu->capacity : capacity;
		khz = cpu->max_khz > khz ? cpu->max_khz : khz;
		pmu = pmu || cpu->in_core_pmu;
	}
	for (uint32_t i = 0; i < topology->count; i++) {
		const struct cpu *cpu = &topology->cpus[i];

		all[i].cpu = cpu;
		all[i].performance = capacity > 0 ? cpu->capacity * 2ull >= capacity
				     : pmu        ? cpu->in_core_pmu
						  : cpu->max_khz * 100ull >= khz * 85ull;
	}
}

/* Keeps the performance cores if they are enough. Returns how many candidates are left. */
static uint32_t keep_performance(struct candidate *all, uint32_t total, uint32_t wanted)
{
	uint32_t fast = 0, kept = 0;

	for (uint32_t i = 0; i < total; i++)
		fast += all[i].performance;
	if (fast < wanted)
		return total;
	for (uint32_t i = 0; i < total; i++)
		if (all[i].performance)
			all[kept++] = all[i];
	return kept;
}

/* Keeps one of the NUMA nodes that have enough, if any has; hash says which. */
static uint32_t keep_node(struct candidate *all, uint32_t total, uint32_t wanted, uint64_t hash)
{
	uint32_t of_node[NUMA_NODES_MAX] = {0}, enough = 0, kept = 0, node = 0;

	for (uint32_t i = 0; i < total; i++)
		of_node[all[i].cpu->node % NUMA_NODES_MAX]++;
	for (uint32_t i = 0; i < NUMA_NODES_MAX; i++)
		enough += of_node[i] >= wanted;
	if (enough == 0)
		return total;
	for (uint32_t skip = (uint32_t)(hash % enough);; node++)
		if (of_node[node] >= wanted && skip-- == 0)
			break;
	for (uint32_t i = 0; i < total; i++)
		if (all[i].cpu->node % NUMA_NODES_MAX == node)
			all[kept++] = all[i];
	return kept;
}

static void rank(struct candidate *all, uint32_t total, uint64_t hash)
{
	uint8_t threads[CPUS_MAX] = {0}; /* of each core, ranked so far */
	uint32_t turn = (uint32_t)(hash % total);

	/* CPU 0, always the first, comes after its sibling: what the system does it does there */
	for (uint32_t n = 0; n < total; n++) {
		uint32_t i = all[0].cpu->number == 0 ? (n + 1) % total : n;
		const struct cpu *cpu = all[i].cpu;
		uint64_t thread = threads[cpu->core % CPUS_MAX]++;

		all[i].rank = (uint64_t)(cpu->number == 0) << 44 | thread << 36 |
			      (uint64_t)!all[i].performance << 34 |
			      (uint64_t)cpu->serves_network << 33 |
			      (uint64_t)(cpu->core == 0) << 32 | (i + total - turn) % total;
	}
}

static int compare(const void *a, const void *b)
{
	uint64_t left = ((const struct candidate *)a)->rank;
	uint64_t right = ((const struct candidate *)b)->rank;

	return left < right ? -1 : left > right;
}

int cpu_pick(const struct cpu_topology *topology, uint32_t count, uint64_t key, int *cpus)
{
	uint32_t total = topology->count;
	uint64_t hash = splitmix64(key);
	struct candidate *all;

	if (count > total)
		return -ENOSPC;
	if (count == 0)
		return 0;
	all = calloc(total, sizeof(*all));
	if (!all)
		return -ENOMEM;
	mark_performance(topology, all);
	total = keep_performance(all, total, count);
	total = keep_node(all, total, count, hash);
	rank(all, total, hash >> 32);
	qsort(all, total, sizeof(*all), compare);
	for (uint32_t i = 0; i < count; i++)
		cpus[i] = (int)all[i].cpu->number;
	free(all);
	return 0;
}
