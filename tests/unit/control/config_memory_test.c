/*
 * config_memory_test.c - no memory while a configuration is read, wherever: it is not taken, an
 * error says why, and the program goes on. Under the sanitizers: nothing of it is lost.
 *
 * calloc() of control passes through here (Makefile: --wrap).
 */
#include <sys/stat.h>

#include "unit/control/config_helpers.h"

static struct {
	bool armed;
	unsigned left; /* calls that still get memory; none does behind them */
	bool failed;
} memory;

void *__real_calloc(size_t count, size_t size);

void *__wrap_calloc(size_t count, size_t size)
{
	if (memory.armed && memory.left == 0) {
		memory.failed = true;
		return NULL;
	}
	memory.left -= memory.armed;
	return __real_calloc(count, size);
}

static const char first_file[] =
	"pki: {ca: a, cert: b, key: \"-----BEGIN\\nNONE\", blocklist: [aa, 12, 0x1f]}\n"
	"static_host_map:\n"
	"  10.42.0.2: &two [192.0.2.1:4242, host.example:4242]\n"
	"  10.42.0.3: *two\n"
	"lighthouse:\n"
	"  hosts: [10.42.0.2]\n"
	"  remote_allow_list: {10.0.0.0/8: false, 0.0.0.0/0: true}\n"
	"  remote_allow_ranges: {10.42.0.0/24: {192.168.0.0/16: false, 0.0.0.0/0: true}}\n"
	"  local_allow_list: {interfaces: {docker.*: false, 'veth[0-9]': false}, 0.0.0.0/0: true}\n"
	"  advertise_addrs: [192.0.2.9:1, me.example:0]\n"
	"  calculated_remotes: {10.42.0.0/16: [{mask: 192.168.1.0/24, port: 4242}]}\n"
	"preferred_ranges: [172.16.0.0/16]\n"
	"relay: {relays: [10.42.0.3]}\n"
	"tun:\n"
	"  cpu_affinity: [0]\n"
	"  routes: [{mtu: 8800, route: 10.42.0.0/16}]\n"
	"  unsafe_routes: [{route: 192.168.7.0/24, via: [{gateway: 10.42.0.2, weight: 2}]}]\n"
	"m57: {ctl: 5}\n"
	"x: {<<: {a: 1, b: 2}, c: 3}\n";
static const char second_file[] = "relay: {relays: [10.42.0.2]}\n"
				  "firewall:\n"
				  "  outbound: &rules\n"
				  "    - {port: any, proto: any, group: 5}\n"
				  "    - {port: 1-9, proto: tcp, groups: [a, b, 7]}\n"
				  "  inbound: *rules\n";

static char folder[TEMP_PATH_MAX];

/* Blocks of memory have a size of their own: shift bytes before move where they end. */
static void write_files(unsigned shift)
{
	char path[TEMP_PATH_MAX + 16];
	FILE *file;

	snprintf(path, sizeof(path), "%s/1.yml", folder);
	file = fopen(path, "w");
	cr_assert_not_null(file);
	fprintf(file, "filler: \"%0*d\"\n%s", (int)shift, 0, first_file);
	fclose(file);
	snprintf(path, sizeof(path), "%s/2.yml", folder);
	file = fopen(path, "w");
	cr_assert_not_null(file);
	fputs(second_file, file);
	fclose(file);
}

static bool says_out_of_memory(const struct findings *findings)
{
	for (uint32_t i = 0; i < findings->count; i++)
		if (findings->list[i].severity == SEVERITY_ERROR &&
		    strstr(findings->list[i].text, "out of memory") != NULL)
			return true;
	return false;
}

/* True when count calls were enough. */
static bool is_loaded_with(unsigned count)
{
	struct findings findings = {0};
	struct config *config;

	memory.failed = false;
	memory.left = count;
	memory.armed = true;
	config = config_load(folder, &findings);
	memory.armed = false;
	if (memory.failed) {
		cr_assert_null(config, "%u", count);
		cr_assert(says_out_of_memory(&findings), "%u: %s", count, first_finding(&findings));
	} else {
		cr_assert_not_null(config, "%u: %s", count, first_finding(&findings));
		cr_assert_eq(config->firewall.rules[0].count, 2);
		cr_assert_eq(config->relay.relay_count, 2);
	}
	config_free(config);
	findings_free(&findings);
	return !memory.failed;
}

Test(config_memory, none_anywhere, .timeout = 120)
{
	temp_path(folder, "memory-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	for (unsigned shift = 1; shift < 16384; shift += 48) {
		unsigned enough = 0;

		write_files(shift);
		while (!is_loaded_with(enough))
			cr_assert_lt(++enough, 100);
		cr_assert_gt(enough, 3, "every case is one of some");
	}
}
