/* config_test.c - the typed configuration: defaults, replacements, refusals, keys without effect.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "addr_text.h"
#include "config/config.h"
#include "config/keys.h"
#include "system/cpu_topology.h"
#include "unit/control/config_fixture.h"

TestSuite(config);

#define SECOND_NS 1000000000ull

/* PKI_LINE stands in line 1, text from line 2. */
static void load(const char *text)
{
	char whole[4096];

	snprintf(whole, sizeof(whole), PKI_LINE "%s", text);
	load_text(whole);
	cr_assert_not_null(config, "%s", text);
}

static bool found(enum severity severity, uint32_t line, const char *says)
{
	return is_found(&findings, severity, line, says);
}

Test(config, defaults, .fini = fini)
{
	load("");
	cr_assert_eq(findings.count, 0, "%s", first());
	cr_assert_str_eq(config->pki.key.text, "c");
	cr_assert_eq(config->pki.key.where.line, 1);
	cr_assert(config->pki.disconnect_invalid);
	cr_assert_eq(config->cipher, AEAD_AES256GCM);
	cr_assert_eq(config->routines, 1);
	cr_assert_str_eq(config->listen.host, "0.0.0.0");
	cr_assert_eq(config->listen.port, 0);
	cr_assert_eq(config->listen.batch, 64);
	cr_assert(config->listen.udp_offloads);
	cr_assert_eq(config->listen.send_recv_error, RECV_ERROR_ALWAYS);
	cr_assert_eq(config->tun.mtu, 1300);
	cr_assert_eq(config->tun.tx_queue, 500);
	cr_assert(config->tun.use_offloads);
	cr_assert_str_eq(config->tun.dev, "");
	cr_assert_eq(config->handshakes.try_interval_ns, SECOND_NS / 10);
	cr_assert_eq(config->handshakes.retries, 10);
	cr_assert_eq(config->firewall.tcp_timeout_s, 720);
	cr_assert_eq(config->firewall.udp_timeout_s, 180);
	cr_assert_eq(config->firewall.default_timeout_s, 600);
	cr_assert_eq(config->logging.level, LOG_LEVEL_INFO);
	cr_assert(!config->allow_incomplete);
}

Test(config, values, .fini = fini)
{
	char text[ENDPOINT_TEXT_MAX];

	load("cipher: chachapoly\nroutines: 3\n"
	     "listen: {host: '[::]', port: 4242, batch: 0, so_mark: 0x10, udp_offloads: no,"
	     " read_buffer: 10485760, send_recv_error: private, accept_recv_error: false}\n"
	     "static_host_map: {10.0.0.2: ['192.0.2.1:4242', '[2001:db8::1]:53'], 10.0.0.3: "
	     "'192.0.2.3:1'}\n"
	     "tun: {dev: n1, mtu: 0x514, drop_multicast: 1, use_offloads: f,\n"
	     "  routes: [{route: 10.0.1.0/24, mtu: 8800}],\n"
	     "  unsafe_routes: [{route: 172.16.1.9/24, via: 10.0.0.9, metric: 5, install: n},\n"
	     "    {route: 0.0.0.0/0, via: [{gateway: 10.0.0.8, weight: 4}], mtu: 1200}]}\n"
	     "handshakes: {try_interval: 1s, retries: 20}\n"
	     "firewall: {conntrack: {tcp_timeout: 1500ms}, outbound_action: reject}\n"
	     "logging: {level: DEBUG, format: json, disable_timestamp: true}\n"
	     "m57: {busy_poll: 50, spread_flows: yes, sparse_queue: no}\n");
	cr_assert_eq(findings.count, 0, "%s", first());
	cr_assert_eq(config->cipher, AEAD_CHACHA20POLY1305);
	cr_assert_eq(config->routines, 3);
	cr_assert_eq(config->busy_poll_us, 50);
	cr_assert(config->spread_flows);
	cr_assert(!config->sparse_queue);
	cr_assert_str_eq(config->listen.host, "::");
	cr_assert_eq(config->listen.batch, 1);
	cr_assert_eq(config->listen.so_mark, 16);
	cr_assert(!config->listen.udp_offloads);
	cr_assert_eq(config->listen.send_recv_error, RECV_ERROR_PRIVATE);
	cr_assert_eq(config->listen.accept_recv_error, RECV_ERROR_NEVER);
	cr_assert_eq(config->listen.read_buffer, 10485760);
	cr_assert_eq(config->static_host_count, 2);
	cr_assert_eq(config->static_hosts[0].remote_count, 2);
	cr_assert_str_eq(endpoint_format(&config->static_hosts[0].remotes[1], text),
			 "[2001:db8::1]:53");
	cr_assert_eq(config->static_hosts[0].where.line, 5);
	cr_assert_eq(config->static_hosts[1].remotes[0].port, 1);
	cr_assert_eq(config->tun.mtu, 1300);
	cr_assert(config->tun.drop_multicast);
	cr_assert(!config->tun.use_offloads);
	cr_assert_eq(config->tun.routes[0].mtu, 8800);
	cr_assert_eq(config->tun.unsafe_route_count, 2);
	cr_assert_eq(config->tun.unsafe_routes[0].metric, 5);
	cr_assert(!config->tun.unsafe_routes[0].install);
	cr_assert(config->tun.unsafe_routes[1].install);
	cr_assert_eq(config->tun.unsafe_routes[1].mtu, 1200);
	cr_assert_str_eq(prefix_format(&config->tun.unsafe_routes[0].to, text), "172.16.1.0/24");
	cr_assert_eq(config->handshakes.try_interval_ns, SECOND_NS);
	cr_assert_eq(config->firewall.tcp_timeout_s, 2, "half seconds are rounded up");
	cr_assert_eq(config->firewall.action[OUTBOUND], FIREWALL_REJECT);
	cr_assert_eq(config->firewall.action[INBOUND], FIREWALL_DROP);
	cr_assert_eq(config->logging.level, LOG_LEVEL_DEBUG);
	cr_assert_eq(config->logging.format, LOG_FORMAT_JSON);
	cr_assert(config->logging.disable_timestamp);
}

Test(config, routines_auto, .fini = fini)
{
	uint32_t usable = cpu_usable();

	/* the old keys do not matter beside it */
	load("routines: auto\ntun: {routines: 5}\n");
	cr_assert_eq(findings.count, 0, "%s", first());
	cr_assert_eq(config->routines, usable < QUEUES_MAX ? usable : QUEUES_MAX);
}

/* PROTOCOL.md 11.6. The CPUs named are this process's first and one that no machine has. */
Test(config, pinning, .fini = fini)
{
	struct cpu_topology *topology = cpu_topology_read();
	bool usual = cpu_usable() >= PIN_CPUS_DEFAULT;
	uint32_t cpu = topology->cpus[0].number;
	const struct {
		const char *routines, *tun; /* %u is cpu */
		bool pin;
		uint32_t list;
		const char *says; /* warning in line 4, or NULL */
	} cases[] = {
		{"2", "mtu: 1300", usual, 0, NULL},
		{"2", "pin_threads: true", true, 0, NULL},
		{"2", "pin_threads: false", false, 0, NULL},
		{"1", "pin_threads: true", false, 0, NULL},
		{"2", "pin_threads_key: pid", usual, 0, NULL},
		{"2", "cpu_affinity: [%u]", true, 1, NULL},
		{"2", "cpu_affinity: [%u, %u, %u]", true, 3, NULL},
		{"2", "cpu_affinity: []", usual, 0, NULL},
		{"2", "pin_threads: false\n cpu_affinity: [%u]", false, 1, NULL},
		{"1", "cpu_affinity: [%u]", false, 1, "no effect with one routine"},
		{"2", "cpu_affinity: [%u, 4095]", usual, 0, "\"4095\" is no CPU"},
		{"2", "cpu_affinity: [4294967296, %u]", usual, 0, "\"4294967296\" is no CPU"},
		{"2", "cpu_affinity: [-1]", usual, 0, "\"-1\" is no CPU"},
		{"2", "cpu_affinity: [%u, x]", usual, 0, "the whole list is ignored"},
		{"2", "cpu_affinity: [[%u]]", usual, 0, "(a list or map)"},
		{"2", "cpu_affinity: %u", usual, 0, "is not a list"},
	};

	free(topology);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256], tun[128];

		snprintf(tun, sizeof(tun), cases[i].tun, cpu, cpu, cpu);
		snprintf(text, sizeof(text), "routines: %s\ntun:\n %s\n", cases[i].routines, tun);
		load(text);
		cr_assert_eq(findings.errors, 0, "%s: %s", text, first());
		cr_assert_eq(config->tun.pin_threads, cases[i].pin, "%s", text);
		cr_assert_eq(config->tun.cpu_affinity_count, cases[i].list, "%s", text);
		cr_assert_eq(findings.warnings, cases[i].says != NULL, "%s: %s", text, first());
		if (cases[i].says != NULL)
			cr_assert(found(SEVERITY_WARNING, 4, cases[i].says), "%s: %s", text,
				  first());
		for (uint32_t j = 0; j < config->tun.cpu_affinity_count; j++)
			cr_assert_eq(config->tun.cpu_affinity[j], cpu);
	}
}

/* PROTOCOL.md 9.3 and trap 89 */
Test(config, routines, .fini = fini)
{
	static const struct {
		const char *text;
		uint32_t expect;
		const char *says; /* warning, or NULL */
	} cases[] = {
		{"routines: 0", 1, NULL},
		{"routines: 4", 4, NULL},
		{"routines: -1", 1, "1 is used"},
		{"routines: 1000000", QUEUES_MAX, "64 are used"},
		{"routines: automatic", 1, "default 0 is used"},
		{"routines: [auto]", 1, "default 0 is used"},
		{"{tun: {routines: 2}, listen: {routines: 3}}", 3, "deprecated"},
		{"tun: {routines: 5}", 5, "deprecated"},
		{"tun: {routines: 1}", 1, NULL},
		{"tun: {routines: -4}", 1, NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256];

		if (cases[i].text[0] == '{')
			snprintf(text, sizeof(text), "tun: {routines: 2}\nlisten: {routines: 3}\n");
		else
			snprintf(text, sizeof(text), "%s\n", cases[i].text);
		load(text);
		cr_assert_eq(config->routines, cases[i].expect, "%s", cases[i].text);
		cr_assert_eq(findings.errors, 0, "%s: %s", cases[i].text, first());
		cr_assert_eq(findings.warnings, cases[i].says != NULL, "%s: %s", cases[i].text,
			     first());
		if (cases[i].says != NULL)
			cr_assert(strstr(first(), cases[i].says), "%s: %s", cases[i].text, first());
	}
}

/* Each gives one finding, in line 2 unless said otherwise. */
struct finding_case {
	const char *text;
	enum severity severity;
	uint32_t line;
	const char *says;
};

static void each_is_found(const struct finding_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char whole[1024];

		snprintf(whole, sizeof(whole), PKI_LINE "%s\n", cases[i].text);
		load_text(whole);
		cr_assert_eq(findings.count, 1, "%s: %u: %s", cases[i].text, findings.count,
			     first());
		cr_assert(found(cases[i].severity, cases[i].line, cases[i].says), "%s: line %u: %s",
			  cases[i].text, findings.list[0].line, first());
	}
}

#define EACH_IS_FOUND(cases) each_is_found(cases, sizeof(cases) / sizeof((cases)[0]))

Test(config, what_nebula_silently_replaces, .fini = fini)
{
	static const struct finding_case cases[] = {
		{"tun: {mtu: abc}", SEVERITY_WARNING, 2, "default 1300 is used"},
		{"tun:\n  disabled: maybe", SEVERITY_WARNING, 3, "not true or false"},
		{"handshakes: {try_interval: 5}", SEVERITY_WARNING, 2, "default 100ms is used"},
		{"handshakes: {try_interval: -5s}", SEVERITY_WARNING, 2, "too short"},
		{"handshakes: {retries: 0}", SEVERITY_WARNING, 2, "1 is used"},
		{"firewall: {conntrack: {tcp_timeout: -1m}}", SEVERITY_WARNING, 2, "too short"},
		{"firewall: {conntrack: {udp_timeout: 999999h}}", SEVERITY_WARNING, 2,
		 "and 31536000 seconds"},
		{"listen: {send_recv_error: sometimes}", SEVERITY_WARNING, 2, "always is used"},
		{"listen: {read_buffer: -1}", SEVERITY_WARNING, 2, "0 is used"},
		{"firewall: {inbound_action: allow}", SEVERITY_WARNING, 2, "drop is used"},
		{"static_host_map: [a]", SEVERITY_WARNING, 2, "not a map"},
		{"pki: x", SEVERITY_ERROR, 2, "already defined"},
	};

	EACH_IS_FOUND(cases);
}

Test(config, values_that_stop, .fini = fini)
{
	static const struct finding_case cases[] = {
		{"cipher: rot13", SEVERITY_ERROR, 2, "unknown cipher \"rot13\""},
		{"logging: {level: loud}", SEVERITY_ERROR, 2, "logging.level \"loud\""},
		{"logging: {format: xml}", SEVERITY_ERROR, 2, "logging.format \"xml\""},
		{"tun: {mtu: 8938}", SEVERITY_ERROR, 2, "9001 bytes"},
		{"tun: {mtu: 40}", SEVERITY_ERROR, 2, "below 68"},
		{"tun: {dev: a-name-that-is-too-long}", SEVERITY_ERROR, 2, "no name for a device"},
		{"tun: {dev: ..}", SEVERITY_ERROR, 2, "no name for a device"},
		{"tun: {dev: 'n%s'}", SEVERITY_ERROR, 2, "no name for a device"},
		{"tun: {dev: 'n%d%d'}", SEVERITY_ERROR, 2, "no name for a device"},
		{"tun: {dev: \"a\\rb\"}", SEVERITY_ERROR, 2, "no name for a device"},
		{"tun: {dev: n\xc3\xa0}", SEVERITY_ERROR, 2, "no name for a device"},
		{"listen: {port: 70000}", SEVERITY_ERROR, 2, "not between 0 and 65535"},
		{"listen: {port: -1}", SEVERITY_ERROR, 2, "not between 0 and 65535"},
		{"listen: {so_mark: 4294967296}", SEVERITY_ERROR, 2, "not between"},
		{"listen: {host: 'a b'}", SEVERITY_ERROR, 2, "listen.host"},
		{"listen: {host: '0.0.0.0:4242'}", SEVERITY_ERROR, 2, "its port is listen.port"},
		{"listen: {host: 'a:b'}", SEVERITY_ERROR, 2, "listen.host"},
		{"static_host_map: {x: ['192.0.2.1:1']}", SEVERITY_ERROR, 2, "\"x\" is no address"},
		{"static_host_map:\n  10.0.0.2:\n  - 192.0.2.1", SEVERITY_ERROR, 4,
		 "not ADDRESS:PORT"},
		{"static_host_map: {10.0.0.2: ['192.0.2.1:0']}", SEVERITY_WARNING, 2, "port 0"},
		{"static_host_map: {10.0.0.2: ['192.0.2.1:70000']}", SEVERITY_ERROR, 2,
		 "not ADDRESS:PORT"},
		{"static_host_map: {10.0.0.2: ['a..example:4242']}", SEVERITY_ERROR, 2,
		 "not ADDRESS:PORT"},
		{"static_host_map: {10.0.0.2: ['a b.example:4242']}", SEVERITY_ERROR, 2,
		 "not ADDRESS:PORT"},
		{"static_host_map: {10.0.0.2: ['a.example:0']}", SEVERITY_ERROR, 2,
		 "not ADDRESS:PORT"},
		{"static_host_map: {10.0.0.2: ['a.example:70000']}", SEVERITY_ERROR, 2,
		 "not ADDRESS:PORT"},
		{"static_map: {network: ip5}", SEVERITY_ERROR, 2, "none of ip4, ip6 and ip"},
		{"static_map: {cadence: 1ms}", SEVERITY_WARNING, 2, "too short"},
		{"firewall: {inbound: {port: 80}}", SEVERITY_ERROR, 2, "not a list of rules"},
		{"firewall:\n  outbound:\n  - {proto: x, port: 1, host: any}", SEVERITY_ERROR, 4,
		 "firewall.outbound rule #0"},
	};

	EACH_IS_FOUND(cases);
}

Test(config, routes_that_stop, .fini = fini)
{
	static const struct finding_case cases[] = {
		{"tun: {routes: 5}", SEVERITY_ERROR, 2, "not a list"},
		{"tun: {routes: [{mtu: 1300}]}", SEVERITY_ERROR, 2, "no route"},
		{"tun: {routes: [{route: 10.0.0.0/8}]}", SEVERITY_ERROR, 2, "no mtu"},
		{"tun: {routes: [{route: 10.0.0.0/8, mtu: 499}]}", SEVERITY_ERROR, 2, "below 500"},
		{"tun: {routes: [{route: 10.0.0.0/8, mtu: 9000}]}", SEVERITY_ERROR, 2,
		 "9001 bytes"},
		{"tun: {routes: [5]}", SEVERITY_ERROR, 2, "not a map"},
		{"tun:\n  unsafe_routes:\n  - route: 1.0.0.0/8", SEVERITY_ERROR, 4, "no via"},
		{"tun: {unsafe_routes: [{route: 1.0.0.0/8, via: x}]}", SEVERITY_ERROR, 2,
		 "via \"x\" is no address"},
		{"tun: {unsafe_routes: [{route: x, via: 10.0.0.1}]}", SEVERITY_ERROR, 2,
		 "no prefix"},
		{"tun: {unsafe_routes: [{route: 1.0.0.0/8, via: 10.0.0.1, mtu: 499}]}",
		 SEVERITY_ERROR, 2, "below 500"},
		{"tun: {unsafe_routes: [{route: 1.0.0.0/8, via: 10.0.0.1, mtu: -1}]}",
		 SEVERITY_ERROR, 2, "below 500"},
		{"tun: {unsafe_routes: [{route: 1.0.0.0/8, via: 10.0.0.1, metric: -1}]}",
		 SEVERITY_ERROR, 2, "metric"},
		{"tun: {unsafe_routes: [{route: 1.0.0.0/8, via: 10.0.0.1, install: 7}]}",
		 SEVERITY_ERROR, 2, "install"},
		{"tun: {unsafe_routes: [{route: 1.0.0.0/8, via: []}]}", SEVERITY_ERROR, 2,
		 "empty list"},
		{"tun: {unsafe_routes: [{route: 1.0.0.0/8, via: [{weight: 3}]}]}", SEVERITY_ERROR,
		 2, "no gateway"},
		{"tun: {unsafe_routes: [{route: 1.0.0.0/8, via: [10.0.0.1]}]}", SEVERITY_ERROR, 2,
		 "no gateway"},
		{"tun: {unsafe_routes: [{route: 1.0.0.0/8, via: [{gateway: 10.0.0.1}, {gateway: "
		 "x}]}]}",
		 SEVERITY_ERROR, 2, "via \"x\" is no address"},
		{"tun: {unsafe_routes: [{route: 1.0.0.0/8, via: [{gateway: 10.0.0.1, weight: "
		 "0}]}]}",
		 SEVERITY_ERROR, 2, "weight \"0\" is not a number from 1 to 2147483647"},
		{"tun: {unsafe_routes: [{route: 1.0.0.0/8, via: [{gateway: 10.0.0.1, weight: "
		 "x}]}]}",
		 SEVERITY_ERROR, 2, "weight \"x\""},
	};

	EACH_IS_FOUND(cases);
}

/* Keys that this version ignores: harmless ones warn, the others stop. */
Test(config, keys_without_effect, .fini = fini)
{
	static const struct {
		const char *text;
		int severity; /* -1: nothing said */
	} cases[] = {
		{"lighthouse: {serve_dns: true}", SEVERITY_WARNING},
		{"lighthouse: {serve_dns: false}", -1},
		{"relay: {relays: [10.0.0.1]}", -1},
		{"relay: {relays: [nobody]}", SEVERITY_WARNING},
		{"relay: {relays: [10.0.0.1], am_relay: true}", SEVERITY_WARNING},
		{"relay: {am_relay: true}", -1},
		{"relay: {am_relay: false, use_relays: true}", -1},
		{"relay: {use_relays: false}", -1},
		{"tun: {use_system_route_table: true}", -1},
		{"tun: {use_system_route_table: no}", -1},
		{"tun: {windows_bypass_wdf: false}", -1},
		{"pki2: {blacklist: [ab]}", SEVERITY_WARNING},
		{"punchy: true", -1},
		{"punchy: {punch: true}", -1},
		{"punchy: {punch: false, delay: 1000ms}", -1},
		{"timers: {requery_wait_duration: 1m}", -1},
		{"stats: {type: none}", -1},
		{"stats: {type: prometheus}", SEVERITY_WARNING},
		{"logging: {timestamp_format: '2006'}", SEVERITY_WARNING},
		{"handshakes: {trigger_buffer: 1000}", -1},
		{"handshakes: {trigger_buffer: -1, query_buffer: -1}", -1},
		{"static_host_mop: {}", SEVERITY_WARNING},
		{"tun: {mtoo: 5}", SEVERITY_WARNING},
		{"tun: 5", SEVERITY_WARNING},
		{"'tun.mtu': 5", SEVERITY_WARNING},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[512];

		snprintf(text, sizeof(text), "%s\n", cases[i].text);
		load(text);
		cr_assert_eq(findings.errors, cases[i].severity == SEVERITY_ERROR, "%s: %s",
			     cases[i].text, first());
		cr_assert_eq(findings.warnings, cases[i].severity == SEVERITY_WARNING, "%s: %s",
			     cases[i].text, first());
		if (cases[i].severity >= 0)
			cr_assert_eq(findings.list[0].line, 2, "%s", cases[i].text);
		snprintf(text, sizeof(text), "%s\nm57: {allow_incomplete: true}\n", cases[i].text);
		load(text);
		cr_assert_eq(findings.errors, 0, "%s: %s", cases[i].text, first());
		cr_assert_eq(findings.warnings, cases[i].severity >= 0, "%s: %s", cases[i].text,
			     first());
	}
}

/* What is read of relay.*; an entry that is no address takes no other with it. */
Test(config, relay, .fini = fini)
{
	const struct relay_options *relay;
	char text[64 + 16 * (RELAY_HOSTS_MAX + 1)], addr[ADDR_TEXT_MAX];
	int at;

	load("");
	relay = &config->relay;
	cr_assert(relay->use_relays && !relay->am_relay && relay->relay_count == 0);
	load("relay: {relays: [10.0.0.1, nobody, [10.0.0.3], 10.0.0.2], use_relays: false}\n");
	relay = &config->relay;
	cr_assert(!relay->use_relays && !relay->am_relay);
	cr_assert_eq(relay->relay_count, 2);
	cr_assert_str_eq(addr_format(&relay->relays[0], addr), "10.0.0.1");
	cr_assert_str_eq(addr_format(&relay->relays[1], addr), "10.0.0.2");
	cr_assert(found(SEVERITY_WARNING, 2, "\"nobody\" is no address"));
	cr_assert(found(SEVERITY_WARNING, 2, "\"(a list or map)\" is no address"));
	load("relay: {relays: [10.0.0.1], am_relay: true, use_relays: true}\n");
	relay = &config->relay;
	cr_assert(relay->am_relay && !relay->use_relays && relay->relay_count == 0);
	cr_assert(found(SEVERITY_WARNING, 2, "no effect on a relay"));

	for (int count = RELAY_HOSTS_MAX; count <= RELAY_HOSTS_MAX + 1; count++) {
		at = snprintf(text, sizeof(text), "relay: {relays: [");
		for (int i = 0; i < count; i++)
			at += snprintf(text + at, sizeof(text) - (size_t)at, "10.0.0.%d,", i + 1);
		snprintf(text + at, sizeof(text) - (size_t)at, "]}\n");
		load(text);
		cr_assert_eq(findings.errors, count > RELAY_HOSTS_MAX, "%d: %s", count, first());
		cr_assert_eq(config->relay.relay_count, count > RELAY_HOSTS_MAX ? 0 : count);
	}
}

Test(config, old_blocklist_name_stops, .fini = fini)
{
	load_text("pki: {ca: a, cert: b, key: c, blacklist: [ab]}\n");
	cr_assert(found(SEVERITY_ERROR, 1, "rename it"));
}

Test(config, suggestions, .fini = fini)
{
	load("static_host_mop: {}\ntun: {mtoo: 5}\nfrobnicate: 1\n");
	cr_assert(found(SEVERITY_WARNING, 2, "did you mean \"static_host_map\"?"));
	cr_assert(found(SEVERITY_WARNING, 3, "did you mean \"tun.mtu\"?"));
	cr_assert(found(SEVERITY_WARNING, 4, "unknown key \"frobnicate\""));
}

Test(config, static_hosts_by_name, .fini = fini)
{
	load("static_host_map: {10.0.0.2: ['a.example:4242', '192.0.2.1:4242']}\n");
	cr_assert_eq(findings.errors, 0, "%s", first());
	cr_assert_eq(findings.warnings, 0);
	cr_assert_eq(config->static_hosts[0].remote_count, 1);
	cr_assert_eq(config->static_hosts[0].name_count, 1);
	cr_assert_str_eq(config->static_hosts[0].names[0].text, "a.example");
	cr_assert_eq(config->static_hosts[0].names[0].port, 4242);
}

/* One line for a host, not one for each address that there is no room for. */
Test(config, more_addresses_than_a_host_has_room_for, .fini = fini)
{
	char text[4096] = "static_host_map:\n  10.0.0.2: [192.0.2.1:1]\n  10.0.0.3: [";

	for (int i = 1; i <= STATIC_REMOTES_MAX + 27; i++)
		sprintf(text + strlen(text), "192.0.2.%d:1, ", i);
	for (int i = 1; i <= STATIC_NAMES_MAX + 3; i++)
		sprintf(text + strlen(text), "n%d.example:1, ", i);
	strcat(text, "]\n");
	load(text);
	cr_assert_eq(config->static_hosts[1].remote_count, STATIC_REMOTES_MAX);
	cr_assert_eq(config->static_hosts[1].name_count, STATIC_NAMES_MAX);
	cr_assert_eq(findings.warnings, 2, "%u", findings.warnings);
	cr_assert(found(SEVERITY_WARNING, 4, "the last 27 of 10.0.0.3 are not"), "%s", first());
	cr_assert(found(SEVERITY_WARNING, 4, "the last 3 of 10.0.0.3 are not"));
}

Test(config, gateways, .fini = fini)
{
	char text[1024] = "tun: {unsafe_routes: [{route: 1.0.0.0/8, via: [";

	load("tun:\n  unsafe_routes:\n  - route: 1.0.0.0/8\n    via:\n"
	     "    - {gateway: 10.0.0.7, weight: 3}\n    - {gateway: 10.0.0.8}\n"
	     "  - {route: 2.0.0.0/8, via: fd42::1}\n");
	cr_assert_eq(findings.count, 0, "%s", first());
	cr_assert_eq(config->tun.unsafe_routes[0].gateway_count, 2);
	cr_assert_eq(config->tun.unsafe_routes[0].gateways[0].addr.bytes[15], 7);
	cr_assert_eq(config->tun.unsafe_routes[0].gateways[0].weight, 3);
	cr_assert_eq(config->tun.unsafe_routes[0].gateways[1].addr.bytes[15], 8);
	cr_assert_eq(config->tun.unsafe_routes[0].gateways[1].weight, 1);
	cr_assert_eq(config->tun.unsafe_routes[1].gateway_count, 1);
	cr_assert_eq(config->tun.unsafe_routes[1].gateways[0].weight, 1);

	for (int i = 0; i <= GATEWAYS_MAX; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "{gateway: 10.0.0.%d},",
			 i + 1);
	strcat(text, "]}]}\n");
	load(text);
	cr_assert(found(SEVERITY_ERROR, 2, "via has 17 gateways, more than 16"), "%s", first());
}

Test(config, missing_identity, .fini = fini)
{
	load_text("tun: {mtu: 1300}\n");
	cr_assert_not_null(config);
	cr_assert_eq(findings.errors, 3);
	cr_assert(found(SEVERITY_ERROR, 0, "pki.ca is missing"));
	load_text("pki: {ca: [a], cert: '', key: 'pkcs11:token=x'}\n");
	cr_assert_eq(findings.errors, 3);
	cr_assert(found(SEVERITY_ERROR, 1, "PKCS#11"));
}

Test(config, many_findings_are_bounded, .fini = fini)
{
	char text[4096] = "";

	for (int i = 0; i < 300; i++)
		sprintf(text + strlen(text), "zz%d: 1\n", i);
	load(text);
	cr_assert_eq(findings.count, FINDINGS_MAX);
	cr_assert_eq(findings.warnings, 300);
}

/* What stops the start is shown, and in its place, however many warnings come before it. */
Test(config, errors_are_kept_before_warnings, .fini = fini)
{
	char text[8192] = "";

	for (int i = 0; i < 300; i++)
		sprintf(text + strlen(text), "zz%d: 1\n", i);
	strcat(text, "cipher: rot13\nlisten: {port: 99999}\n");
	load(text);
	cr_assert_eq(findings.count, FINDINGS_MAX);
	cr_assert_eq(findings.warnings, 300);
	cr_assert(found(SEVERITY_ERROR, 302, "unknown cipher"));
	cr_assert(found(SEVERITY_ERROR, 303, "listen.port"));
	cr_assert(found(SEVERITY_WARNING, 2, "zz0"));
	cr_assert_eq(findings.list[FINDINGS_MAX - 1].severity, SEVERITY_ERROR);
	cr_assert_eq(findings.list[FINDINGS_MAX - 3].severity, SEVERITY_WARNING);
}

Test(config, rows_are_sound)
{
	for (size_t i = 0; i < keys_count; i++) {
		struct yaml_node standard = {
			.kind = NODE_SCALAR, .plain = true, .text = keys[i].default_text};
		int64_t number;
		bool truth;

		for (size_t j = 0; j < i; j++)
			cr_assert_str_neq(keys[i].path, keys[j].path);
		cr_assert_gt(strlen(keys[i].note), 4, "%s", keys[i].path);
		if (keys[i].default_text[0] == '\0')
			continue;
		if (keys[i].type == KEY_BOOL)
			cr_assert_eq(yaml_bool(&standard, &truth), 0, "%s", keys[i].path);
		if (keys[i].type == KEY_INT)
			cr_assert_eq(yaml_int(&standard, &number), 0, "%s", keys[i].path);
		if (keys[i].type == KEY_DURATION)
			cr_assert_eq(yaml_duration(&standard, &number), 0, "%s", keys[i].path);
		cr_assert(keys_is_default(&keys[i], &standard), "%s", keys[i].path);
	}
}

#define NAME_20  "abcdefghijklmnopqrst"
#define NAME_100 NAME_20 NAME_20 NAME_20 NAME_20 NAME_20

/* m57.ctl: a path, which has to fit into a socket's address, the default when absent, or none. */
Test(config, control_socket, .fini = fini)
{
	static const struct {
		const char *text, *path;
		bool off;
		unsigned warnings;
	} rows[] = {
		{"", NULL, false, 0},
		{"m57: {ctl: /run/x.sock}\n", "/run/x.sock", false, 0},
		{"m57: {ctl: false}\n", NULL, true, 0},
		{"m57: {ctl: \"\"}\n", NULL, true, 0},
		{"m57: {ctl: true}\n", NULL, false, 1},
		{"m57: {ctl: [a]}\n", NULL, false, 1},
		{"m57: {ctl: /" NAME_100 "1234567}\n", "/" NAME_100 "1234567", false, 1},
		{"m57: {ctl: /" NAME_100 "123456}\n", "/" NAME_100 "123456", false, 0},
		{"sshd: {enabled: true, listen: \"127.0.0.1:2222\", host_key: x}\n", NULL, false,
		 1},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		load(rows[i].text);
		cr_expect_eq(config->ctl.off, rows[i].off, "row %zu", i);
		if (rows[i].path)
			cr_expect_str_eq(config->ctl.path, rows[i].path);
		else if (!rows[i].off)
			cr_expect_null(config->ctl.path);
		cr_expect_eq(findings.warnings, rows[i].warnings, "row %zu: %u", i,
			     findings.warnings);
	}
}

/* A key in the wrong place is not printed, whatever stands before it. */
Test(config, quotes_hide_keys)
{
	static const char key[] = "NNFVBy9Hu3CChDfutRoRuCUFpT7RnIbV0pR4QCqMNfA=";
	static const char *const before[] = {"", "firewall[].", "key: ", "a\nb: ", "-- "};
	static const char *const shown[] = {"", "abc", "10.0.0.0/8", "host-1.example", "\xc3\xbc."};
	char text[128], quote[FINDING_QUOTE_MAX];

	for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
		snprintf(text, sizeof(text), "%s%s", before[i], key);
		cr_assert_null(strstr(finding_quote(text, quote), "NNFV"), "%s", quote);
	}
	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		cr_assert_str_eq(finding_quote(shown[i], quote), shown[i]);
}
