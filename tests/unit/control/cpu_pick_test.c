/* cpu_pick_test.c - the CPUs of workers on described machines, and descriptions read from files. */
#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "system/cpu_topology.h"
#include "unit/temp_path.h"

#define KEYS 64 /* each case is tried with that many: the key may turn the order, no more */

TestSuite(cpu_pick);
TestSuite(cpu_topology);

static struct cpu_topology topology;

/* count CPUs from number 0 on, each a core of its own */
static void plain(uint32_t count)
{
	memset(&topology, 0, sizeof(topology));
	topology.count = count;
	for (uint32_t i = 0; i < count; i++)
		topology.cpus[i] = (struct cpu){.number = i, .core = i};
}

/* 4 cores, 8 threads, as Linux counts them: core n has CPUs n and n + 4 */
static void smt(void)
{
	plain(8);
	for (uint32_t i = 4; i < 8; i++)
		topology.cpus[i].core = i - 4;
}

enum rating { BY_CAPACITY, BY_PMU, BY_FREQUENCY };

/* 4 performance cores of 2 threads (0 1, 2 3, ...), then 8 efficient ones */
static void hybrid(enum rating rating)
{
	plain(16);
	for (uint32_t i = 0; i < 16; i++) {
		struct cpu *cpu = &topology.cpus[i];

		cpu->core = i < 8 ? i & ~1u : i;
		cpu->capacity = rating != BY_CAPACITY ? 0 : i < 8 ? 1024 : 446;
		cpu->in_core_pmu = rating == BY_PMU && i < 8;
		/* one core boosts a little higher than its equals */
		cpu->max_khz = rating != BY_FREQUENCY ? 0
			       : i >= 8               ? 3800000
			       : i < 6                ? 5000000
						      : 5200000;
	}
}

/* 2 nodes of 8 cores, numbers alternating */
static void numa(void)
{
	plain(16);
	for (uint32_t i = 0; i < 16; i++)
		topology.cpus[i].node = i % 2;
}

/* Leaves the CPUs of mask, as a cgroup's cpuset does. */
static void limit(uint64_t mask)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < topology.count; i++)
		if (mask >> topology.cpus[i].number & 1)
			topology.cpus[kept++] = topology.cpus[i];
	topology.count = kept;
}

/* CPUs [from, to) of the choice of count are exactly those of mask, whatever the key. */
static void expect(uint32_t count, uint32_t from, uint32_t to, uint64_t mask)
{
	for (uint64_t key = 0; key < KEYS; key++) {
		int cpus[64];
		uint64_t got = 0;

		cr_assert_eq(cpu_pick(&topology, count, key, cpus), 0);
		for (uint32_t i = from; i < to; i++)
			got |= 1ull << cpus[i];
		cr_assert_eq(got, mask, "count %u, [%u, %u), key %u: %#lx instead of %#lx", count,
			     from, to, (unsigned)key, (unsigned long)got, (unsigned long)mask);
	}
}

Test(cpu_pick, two_cpus)
{
	plain(2);
	expect(1, 0, 1, 0x2);
	expect(2, 0, 1, 0x2);
	expect(2, 1, 2, 0x1);
}

Test(cpu_pick, more_workers_than_cpus_is_refused)
{
	int cpus[3];

	plain(2);
	cr_assert_eq(cpu_pick(&topology, 3, 0, cpus), -ENOSPC);
	plain(0);
	cr_assert_eq(cpu_pick(&topology, 1, 0, cpus), -ENOSPC);
	cr_assert_eq(cpu_pick(&topology, 0, 0, cpus), 0);
}

Test(cpu_pick, cores_before_siblings_and_cpu_0_last)
{
	smt();
	expect(3, 0, 3, 0x0e);
	expect(4, 3, 4, 0x10); /* the sibling of CPU 0 stands for its core */
	expect(8, 0, 3, 0x0e);
	expect(8, 4, 7, 0xe0);
	expect(8, 7, 8, 0x01);
}

Test(cpu_pick, performance_cores_before_efficient_ones)
{
	for (int rating = BY_CAPACITY; rating <= BY_FREQUENCY; rating++) {
		hybrid((enum rating)rating);
		expect(3, 0, 3, 0x54);
		expect(4, 3, 4, 0x02);
		expect(8, 0, 8, 0xff); /* enough of them, siblings included */
		expect(9, 0, 3, 0x54); /* not enough: an efficient core before a sibling */
		expect(9, 3, 4, 0x02);
		expect(12, 4, 12, 0xff00);
		expect(16, 15, 16, 0x1);
	}
}

Test(cpu_pick, one_numa_node_where_it_is_enough)
{
	bool seen[2] = {false};

	numa();
	for (uint64_t key = 0; key < KEYS; key++) {
		int cpus[8];

		cr_assert_eq(cpu_pick(&topology, 8, key, cpus), 0);
		for (uint32_t i = 0; i < 8; i++)
			cr_assert_eq(cpus[i] % 2, cpus[0] % 2, "key %u", (unsigned)key);
		seen[cpus[0] % 2] = true;
	}
	cr_assert(seen[0] && seen[1], "the key decides which");
}

Test(cpu_pick, both_numa_nodes_where_one_is_not_enough)
{
	numa();
	expect(16, 0, 16, 0xffff);
	expect(15, 0, 15, 0xfffe);
	limit(0x5557); /* node 0 has its 8 CPUs, node 1 has CPU 1 only: node 0 whatever the key */
	expect(7, 0, 7, 0x5554);
}

Test(cpu_pick, away_from_network_interrupts)
{
	plain(4);
	topology.cpus[2].serves_network = true;
	expect(2, 0, 2, 0xa);
	expect(3, 2, 3, 0x4);
	expect(4, 3, 4, 0x1);
	smt();
	topology.cpus[1].serves_network = topology.cpus[5].serves_network = true;
	expect(2, 0, 2, 0x0c);
	expect(3, 2, 3, 0x10);
	expect(4, 3, 4, 0x02);
	/* every core serves one: nothing to avoid */
	for (uint32_t i = 0; i < 8; i++)
		topology.cpus[i].serves_network = true;
	expect(3, 0, 3, 0x0e);
}

Test(cpu_pick, limited_affinity)
{
	int cpus[3];

	smt();
	limit(0x31); /* 0, 4, 5 */
	expect(1, 0, 1, 0x20);
	expect(2, 1, 2, 0x10);
	expect(3, 2, 3, 0x01);
	smt();
	limit(0xc0); /* 6, 7: siblings whose cores' first threads are another's */
	expect(2, 0, 2, 0xc0);
	cr_assert_eq(cpu_pick(&topology, 3, 0, cpus), -ENOSPC);
}

Test(cpu_pick, the_key_turns_the_order)
{
	uint64_t first = 0;

	plain(8);
	for (uint64_t key = 0; key < KEYS; key++) {
		int cpu, again;

		cr_assert_eq(cpu_pick(&topology, 1, key, &cpu), 0);
		cr_assert_eq(cpu_pick(&topology, 1, key, &again), 0);
		cr_assert_eq(cpu, again);
		first |= 1ull << cpu;
	}
	cr_assert_eq(first, 0xfe);
}

/* --- descriptions ----------------------------------------------------------------------------- */

static char root[TEMP_PATH_MAX];

static void make_root(void)
{
	temp_path(root, "cpu-XXXXXX");
	cr_assert_not_null(mkdtemp(root));
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
	return remove(path);
}

static void remove_root(void)
{
	nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Writes text and a line end into root/path, and makes the folders on the way. */
static void put(const char *path, const char *text)
{
	char full[512];
	FILE *file;

	snprintf(full, sizeof(full), "%s/%s", root, path);
	for (char *slash = full + strlen(root); (slash = strchr(slash + 1, '/')) != NULL;) {
		*slash = '\0';
		mkdir(full, 0700);
		*slash = '/';
	}
	file = fopen(full, "w");
	cr_assert_not_null(file, "%s", full);
	fprintf(file, "%s\n", text);
	fclose(file);
}

Test(cpu_topology, describes, .init = make_root, .fini = remove_root)
{
	plain(6);
	put("sys/devices/system/cpu/cpu0/topology/core_cpus_list", "0-1");
	put("sys/devices/system/cpu/cpu1/topology/core_cpus_list", "0-1");
	put("sys/devices/system/cpu/cpu3/topology/core_cpus_list", "3,8");
	put("sys/devices/system/cpu/cpu5/topology/core_cpus_list", "2,5");
	put("sys/devices/system/cpu/cpu3/cpu_capacity", "446");
	put("sys/devices/system/cpu/cpu4/cpufreq/cpuinfo_max_freq", "3800000");
	put("sys/devices/cpu_core/cpus", "0-2");
	put("sys/devices/system/node/node0/cpulist", "0-2");
	put("sys/devices/system/node/node2/cpulist", "3-9,70000");
	put("sys/class/net/eth0/operstate", "up");
	put("sys/class/net/eth0/device/msi_irqs/40", "msi");
	put("proc/irq/40/effective_affinity_list", "8");
	put("sys/class/net/eth1/operstate", "down");
	put("sys/class/net/eth1/device/msi_irqs/41", "msi");
	put("proc/irq/41/effective_affinity_list", "4");
	put("sys/class/net/eth2/operstate", "up"); /* virtio: its parent has the interrupts */
	put("sys/class/net/eth2/device/vendor", "0x1af4");
	put("sys/class/net/eth2/msi_irqs/42", "msix");
	put("proc/irq/42/effective_affinity_list", "0");
	cpu_topology_describe(root, &topology);

	static const struct cpu expected[6] = {
		{.number = 0, .core = 0, .in_core_pmu = true, .serves_network = true},
		{.number = 1, .core = 0, .in_core_pmu = true, .serves_network = true},
		{.number = 2, .core = 2, .in_core_pmu = true},
		{.number = 3, .core = 3, .node = 2, .capacity = 446, .serves_network = true},
		{.number = 4, .core = 4, .node = 2, .max_khz = 3800000},
		{.number = 5, .core = 2, .node = 2},
	};

	for (uint32_t i = 0; i < 6; i++) {
		const struct cpu *got = &topology.cpus[i], *want = &expected[i];

		cr_assert_eq(got->core, want->core, "core of %u: %u", i, got->core);
		cr_assert_eq(got->node, want->node, "node of %u: %u", i, got->node);
		cr_assert_eq(got->capacity, want->capacity, "capacity of %u", i);
		cr_assert_eq(got->max_khz, want->max_khz, "frequency of %u", i);
		cr_assert_eq(got->in_core_pmu, want->in_core_pmu, "PMU of %u", i);
		cr_assert_eq(got->serves_network, want->serves_network, "interrupts of %u", i);
	}
}

Test(cpu_topology, quota, .init = make_root, .fini = remove_root)
{
	static const struct {
		const char *group, *own, *above, *top; /* cpu.max of /a/b, /a and the root */
		uint32_t expect;
	} cases[] = {
		{"0::/a/b", "max 100000", "max 100000", NULL, 0},
		{"0::/a/b", "200000 100000", "max 100000", NULL, 2},
		{"0::/a/b", "150000 100000", "max 100000", NULL, 2},
		{"0::/a/b", "400000 100000", "100001 100000", NULL, 2},
		{"0::/a/b", "200000 100000", "400000 100000", "700000 100000", 2},
		{"0::/a/b", "max 100000", "10000 100000", NULL, 1},
		{"0::/a", "100000 100000", "300000 100000", NULL, 3},
		{"0::/", "100000 100000", "100000 100000", "500000 100000", 5},
		{"0::/a/b", "max 100000", "max 100000", "500000 100000", 5},
		{"0::/a/b", "18446744073709551615 1", "5 0", NULL, CPUS_MAX},
		{"0::/a/b", "", "x", NULL, 0},
		{"3:cpu:/a/b", "100000 100000", "100000 100000", NULL, 0},
	};

	cr_assert_eq(cpu_quota("/nonexistent"), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		put("proc/self/cgroup", cases[i].group);
		put("sys/fs/cgroup/a/b/cpu.max", cases[i].own);
		put("sys/fs/cgroup/a/cpu.max", cases[i].above);
		put("sys/fs/cgroup/cpu.max", cases[i].top ? cases[i].top : "");
		cr_assert_eq(cpu_quota(root), cases[i].expect, "case %zu: %u", i, cpu_quota(root));
	}
}

/* Whatever machine this is. */
Test(cpu_topology, this_machine)
{
	struct cpu_topology *real = cpu_topology_read();

	cr_assert_not_null(real);
	cr_assert_geq(real->count, 1);
	cr_assert_leq(cpu_usable(), real->count);
	cr_assert_geq(cpu_usable(), 1);
	for (uint32_t i = 0; i < real->count; i++) {
		cr_assert(cpu_allowed(real->cpus[i].number));
		cr_assert_leq(real->cpus[i].core, real->cpus[i].number);
	}
	cr_assert_not(cpu_allowed(-1));
	cr_assert_not(cpu_allowed(CPUS_MAX - 1));
	cr_assert_not(cpu_allowed(CPUS_MAX));
	cr_assert_not(cpu_allowed(1ll << 32));
	free(real);
}
