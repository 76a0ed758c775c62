/*
 * cpu_topology.c - see cpu_topology.h. Best effort: a file that is missing leaves its field at
 * "unknown", and the choice does without it.
 */
#include "system/cpu_topology.h"

#include <dirent.h>
#include <linux/limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CPU_SETS (CPUS_MAX / CPU_SETSIZE)

_Static_assert(CPUS_MAX % CPU_SETSIZE == 0, "an array of cpu_set_t holds them");

/* --- small files ------------------------------------------------------------------------------ */

/* The first line of a file, without its end; "" when it cannot be read. */
__attribute__((format(printf, 2, 3))) static const char *line_of(char line[PATH_MAX],
								 const char *format, ...)
{
	char path[PATH_MAX];
	va_list arguments;
	FILE *file;

	va_start(arguments, format);
	vsnprintf(path, sizeof(path), format, arguments);
	va_end(arguments);
	file = fopen(path, "re");
	if (!file || !fgets(line, PATH_MAX, file))
		line[0] = '\0';
	if (file)
		fclose(file);
	line[strcspn(line, "\n")] = '\0';
	return line;
}

/* Adds the CPUs of a list such as 0-3,8 to set. */
static void list_add(const char *list, bool set[CPUS_MAX])
{
	while (*list >= '0' && *list <= '9') {
		char *end;
		unsigned long first = strtoul(list, &end, 10), last = first;

		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		for (unsigned long i = first; i <= last && i < CPUS_MAX; i++)
			set[i] = true;
		list = *end == ',' ? end + 1 : end;
	}
}

/* --- what may be used ------------------------------------------------------------------------- */

static void allowed(cpu_set_t sets[CPU_SETS])
{
	memset(sets, 0, CPU_SETS * sizeof(*sets));
	sched_getaffinity(0, CPU_SETS * sizeof(*sets), sets);
}

bool cpu_allowed(int64_t number)
{
	cpu_set_t sets[CPU_SETS];

	allowed(sets);
	return number >= 0 && number < CPUS_MAX && CPU_ISSET_S((size_t)number, sizeof(sets), sets);
}

uint32_t cpu_quota(const char *root)
{
	char line[PATH_MAX], path[PATH_MAX] = "";
	uint32_t least = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
	file = fopen(path, "re");
	path[0] = '\0';
	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, "0::/", 4) == 0)
			snprintf(path, sizeof(path), "%.*s", (int)strcspn(line + 3, "\n"),
				 line + 3);
	if (file)
		fclose(file);
	for (char *slash = path; slash;) {
		unsigned long long quota, period;

		line_of(line, "%s/sys/fs/cgroup%.2000s/cpu.max", root, path);
		if (sscanf(line, "%llu %llu", &quota, &period) == 2 && period > 0) {
			unsigned long long cpus = quota / period + (quota % period != 0);

			cpus = cpus < 1 ? 1 : cpus > CPUS_MAX ? CPUS_MAX : cpus;
			least = least == 0 || cpus < least ? (uint32_t)cpus : least;
		}
		slash = strrchr(path, '/');
		if (slash)
			*slash = '\0';
	}
	return least;
}

uint32_t cpu_usable(void)
{
	cpu_set_t sets[CPU_SETS];
	uint32_t quota = cpu_quota(""), count;

	allowed(sets);
	count = (uint32_t)CPU_COUNT_S(sizeof(sets), sets);
	count = count < 1 ? 1 : count;
	return quota > 0 && quota < count ? quota : count;
}

/* --- what they are like ----------------------------------------------------------------------- */

/* The CPUs that take the interrupts listed in a directory msi_irqs. False: there is none. */
static bool interrupts_add(const char *root, const char *directory, bool set[CPUS_MAX])
{
	DIR *list = opendir(directory);
	struct dirent *entry;
	char line[PATH_MAX];

	if (!list)
		return false;
	while ((entry = readdir(list)) != NULL)
		if (entry->d_name[0] != '.')
			list_add(line_of(line, "%s/proc/irq/%s/effective_affinity_list", root,
					 entry->d_name),
				 set);
	closedir(list);
	return true;
}

/* The CPUs that take interrupts of the network devices that are up. A device's interrupts belong
 * to it, or (virtio) to what it sits on. */
static void network_add(const char *root, bool set[CPUS_MAX])
{
	char path[PATH_MAX], line[PATH_MAX];
	struct dirent *entry;
	DIR *list;

	snprintf(path, sizeof(path), "%s/sys/class/net", root);
	list = opendir(path);
	while (list && (entry = readdir(list)) != NULL) {
		const char *name = entry->d_name;

		if (name[0] == '.' ||
		    strcmp(line_of(line, "%s/sys/class/net/%s/operstate", root, name), "up") != 0)
			continue;
		snprintf(path, sizeof(path), "%s/sys/class/net/%s/device/msi_irqs", root, name);
		if (interrupts_add(root, path, set))
			continue;
		snprintf(path, sizeof(path), "%s/sys/class/net/%s/device/../msi_irqs", root, name);
		interrupts_add(root, path, set);
	}
	if (list)
		closedir(list);
}

static void nodes_describe(const char *root, struct cpu_topology *topology)
{
	for (uint32_t node = 0; node < NUMA_NODES_MAX; node++) {
		char line[PATH_MAX];
		bool set[CPUS_MAX] = {false};

		line_of(line, "%s/sys/devices/system/node/node%u/cpulist", root, node);
		if (line[0] == '\0')
			continue; /* numbers may have gaps, and a node may be memory only */
		list_add(line, set);
		for (uint32_t i = 0; i < topology->count; i++)
			if (set[topology->cpus[i].number])
				topology->cpus[i].node = node;
	}
}

void cpu_topology_describe(const char *root, struct cpu_topology *topology)
{
	bool performance[CPUS_MAX] = {false}, network[CPUS_MAX] = {false};
	char line[PATH_MAX];

	list_add(line_of(line, "%s/sys/devices/cpu_core/cpus", root), performance);
	network_add(root, network);
	for (uint32_t i = 0; i < topology->count; i++) {
		struct cpu *cpu = &topology->cpus[i];
		bool siblings[CPUS_MAX] = {false};
		char folder[PATH_MAX / 2];

		snprintf(folder, sizeof(folder), "%s/sys/devices/system/cpu/cpu%u", root,
			 cpu->number);
		siblings[cpu->number] = true;
		list_add(line_of(line, "%s/topology/core_cpus_list", folder), siblings);
		cpu->core = cpu->number;
		for (uint32_t j = CPUS_MAX; j-- > 0;) {
			cpu->core = siblings[j] ? j : cpu->core;
			cpu->serves_network |= siblings[j] && network[j];
		}
		cpu->capacity =
			(uint32_t)strtoul(line_of(line, "%s/cpu_capacity", folder), NULL, 10);
		cpu->max_khz = (uint32_t)strtoul(
			line_of(line, "%s/cpufreq/cpuinfo_max_freq", folder), NULL, 10);
		cpu->in_core_pmu = performance[cpu->number];
	}
	nodes_describe(root, topology);
}

struct cpu_topology *cpu_topology_read(void)
{
	struct cpu_topology *topology = calloc(1, sizeof(*topology));
	cpu_set_t sets[CPU_SETS];

	if (!topology)
		return NULL;
	allowed(sets);
	for (uint32_t i = 0; i < CPUS_MAX; i++)
		if (CPU_ISSET_S(i, sizeof(sets), sets))
			topology->cpus[topology->count++].number = i;
	cpu_topology_describe("", topology);
	return topology;
}
