/* reload_keys.h - for reload_keys_test.c: a row for each key that works, and where to look whether
 * a change of it has arrived. */
#ifndef M57_TEST_RELOAD_KEYS_H
#define M57_TEST_RELOAD_KEYS_H

#include "peers/node_state.h"
#include "reload_world.h"

/* --- what is looked at -------------------------------------------------------------------------
 */

static uint64_t head(const uint8_t *bytes)
{
	uint64_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

static uint64_t buffer(int option)
{
	int value = 0;
	socklen_t length = sizeof(value);

	getsockopt(world.udp.fds[0], SOL_SOCKET, option, &value, &length);
	return (uint64_t)value;
}

/* 1: at 127.0.0.1, 2: at 127.0.0.2, 4: at the port above; where the DNS responder is. */
static uint64_t dns_places(void)
{
	static const struct {
		uint32_t v4;
		uint16_t above;
	} places[] = {{0x7f000001, 0}, {0x7f000002, 0}, {0x7f000001, 1}};
	uint64_t taken = 0;

	for (unsigned i = 0; i < 3; i++) {
		struct sockaddr_in at = {
			.sin_family = AF_INET,
			.sin_port = htons((uint16_t)(world.dns_port + places[i].above)),
			.sin_addr.s_addr = htonl(places[i].v4)};
		int fd = socket(AF_INET, SOCK_DGRAM, 0);

		if (bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0)
			taken |= 1u << i;
		close(fd);
	}
	return taken;
}

/* How the line of a log begins: with a time, without, or as JSON. */
static uint64_t log_look(void)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	uint64_t look;

	log_redirect(out, NULL);
	log_error("x");
	log_redirect(NULL, NULL);
	fclose(out);
	look = (uint64_t)(text[0] == '{') << 1 | (strstr(text, "time") != NULL);
	free(text);
	return look;
}

/* How many addresses the map has for host 10.42.0.9. */
static uint64_t known_addresses(void)
{
	struct addr addr = addr_from_v4(0x0a2a0009);
	struct peer_host *host = tunnels_find_host(&NODE->tunnels, &addr);

	return host ? remotes_usable(host->remotes) : 0;
}

/* Where a packet to 172.16.0.1 goes. */
static uint64_t gateway(void)
{
	struct flow flow = {.remote = addr_from_v4(0xac100001), .local = addr_from_v4(0x0a2a0001)};
	struct next_hop hop;

	if (dataplane_route(world.control.dataplane, &flow, &hop) != DROP_NONE)
		return 0;
	return addr_v4(&hop.addr);
}

static bool trusts_another(void)
{
	return ca_pool_find(world.admin.pki->ca, (const uint8_t *)world.ca_too) != NULL;
}

static uint64_t route_mtu(void)
{
	return CONFIG->tun.route_count ? CONFIG->tun.routes[0].mtu : 0;
}

static const struct config_unsafe_route *unsafe_route(void)
{
	static const struct config_unsafe_route none;

	return CONFIG->tun.unsafe_route_count ? CONFIG->tun.unsafe_routes : &none;
}

static uint64_t local_kind(void)
{
	return SNAPSHOT->rules[INBOUND].count ? SNAPSHOT->rules[INBOUND].rules[0].local_kind : 99;
}

/* What the node does its work by now. */
#define LOOK(name, what)                                                                           \
	static uint64_t look_##name(void)                                                          \
	{                                                                                          \
		return (uint64_t)(what);                                                           \
	}
LOOK(ca, trusts_another())
LOOK(cert, head(pki_own_cert(NODE->pki)->fingerprint))
LOOK(key, head(NODE->pki->private_key))
LOOK(blocklist, blocklist_count(NODE->pki->blocklist))
LOOK(disconnect, NODE->options.disconnect_invalid)
LOOK(map, known_addresses())
LOOK(cadence, NODE->names.cadence_ns)
LOOK(network, NODE->names.network)
LOOK(timeout, NODE->names.timeout_ns)
LOOK(dns, dns_places())
LOOK(interval, NODE->lighthouse.options.interval_ns)
LOOK(hosts, NODE->lighthouse.options.host_count)
LOOK(remote_allow, NODE->lighthouse.options.remote_allow.all != NULL)
LOOK(ranges, NODE->lighthouse.options.remote_allow.range_count)
LOOK(local_allow, NODE->lighthouse.options.local_allow.addrs != NULL)
LOOK(advertise, NODE->lighthouse.options.advertise_count)
LOOK(calculated, NODE->lighthouse.options.calculated_count)
LOOK(read_buffer, buffer(SO_RCVBUF))
LOOK(write_buffer, buffer(SO_SNDBUF))
LOOK(send_error, SNAPSHOT->send_recv_error)
LOOK(accept_error, NODE->options.accept_recv_error)
LOOK(mark, buffer(SO_MARK))
LOOK(punch, NODE->options.punch)
LOOK(respond, NODE->lighthouse.options.punch_respond)
LOOK(delay, NODE->lighthouse.options.punch_delay_ns)
LOOK(respond_delay, NODE->lighthouse.options.respond_delay_ns)
LOOK(punch_all, NODE->options.punch_all)
LOOK(preferred, NODE->lighthouse.order.preferred_count)
LOOK(relays, NODE->relays.options.relay_count)
LOOK(am_relay, NODE->relays.options.am_relay)
LOOK(use_relays, NODE->relays.options.use_relays)
LOOK(mtu, CONFIG->tun.mtu)
LOOK(route_mtu, route_mtu())
LOOK(gateway, gateway())
LOOK(unsafe_mtu, unsafe_route()->mtu)
LOOK(metric, unsafe_route()->metric)
LOOK(install, unsafe_route()->install)
LOOK(requery_wait, NODE->options.requery_wait_ns)
LOOK(promote, NODE->options.try_promote)
LOOK(requery, NODE->options.requery_every)
LOOK(inactive, NODE->options.drop_inactive)
LOOK(inactivity, NODE->options.inactivity_ns)
LOOK(rules, SNAPSHOT->rules_version)
LOOK(reject_out, SNAPSHOT->reject[OUTBOUND])
LOOK(reject_in, SNAPSHOT->reject[INBOUND])
LOOK(local_kind, local_kind())
LOOK(tcp, SNAPSHOT->tcp_timeout_s)
LOOK(udp, SNAPSHOT->udp_timeout_s)
LOOK(other, SNAPSHOT->default_timeout_s)
LOOK(level, log_level_now())
LOOK(log, log_look())
LOOK(cipher, NODE->options.cipher)
LOOK(am_lighthouse, NODE->lighthouse.options.am_lighthouse + SNAPSHOT->am_lighthouse)
LOOK(routines, NODE->options.queues)
LOOK(broadcast, SNAPSHOT->drop_local_broadcast)
LOOK(multicast, SNAPSHOT->drop_multicast)
LOOK(try_interval, NODE->options.try_interval_ns)
LOOK(retries, NODE->options.retries)
LOOK(alive, NODE->options.alive_interval_ns)
LOOK(deletion, NODE->options.deletion_interval_ns)
LOOK(spread, CONFIG->spread_flows)
LOOK(sparse, CONFIG->sparse_queue)
LOOK(busy_poll, CONFIG->busy_poll_us)

/* --- rows --------------------------------------------------------------------------------------
 */

/* @ is the folder, $ the port of the node, # the one of its DNS, % a CPU that may be used. */
#define IN(rule)    "firewall: {inbound: [{" rule "}]}\n"
#define VIA(more)   "tun: {unsafe_routes: [{route: 172.16.0.0/12, via: 10.42.0.9" more "}]}\n"
#define DNS(more)   LH(", serve_dns: true, dns: {host: 127.0.0.1, port: #}" more)
#define LH_HOST     "static_host_map: {10.42.0.9: ['192.0.2.9:4242']}\n"
#define LH_HOST_TOO "static_host_map: {10.42.0.9: ['192.0.2.9:4242', '192.0.2.10:1']}\n"

static const struct row {
	const char *path, *before, *after;
	uint64_t (*probe)(void);
} rows[] = {
	{"pki.ca", "", "pki: {ca: @/two.crt, cert: @/host.crt, key: @/host.key}\n", look_ca},
	{"pki.cert", "", "pki: {ca: @/ca.crt, cert: @/renewed.crt, key: @/host.key}\n", look_cert},
	{"pki.key", "", "pki: {ca: @/ca.crt, cert: @/other.crt, key: @/other.key}\n", look_key},
	{"pki.blocklist", "", PKI(", blocklist: [" VECTOR_HOST2_FINGERPRINT "]"), look_blocklist},
	{"pki.disconnect_invalid", "", PKI(", disconnect_invalid: false"), look_disconnect},
	{"cipher", "", "cipher: chachapoly\n", look_cipher},

	{"static_host_map", LH_HOST, LH_HOST_TOO, look_map},
	{"static_map.cadence", "", "static_map: {cadence: 60s}\n", look_cadence},
	{"static_map.network", "", "static_map: {network: ip}\n", look_network},
	{"static_map.lookup_timeout", "", "static_map: {lookup_timeout: 1s}\n", look_timeout},
	{"lighthouse.am_lighthouse", "", "lighthouse: {am_lighthouse: false}\n",
	 look_am_lighthouse},
	{"lighthouse.serve_dns", LH(", dns: {host: 127.0.0.1, port: #}"), DNS(""), look_dns},
	{"lighthouse.dns.host", DNS(""), LH(", serve_dns: true, dns: {host: 127.0.0.2, port: #}"),
	 look_dns},
	{"lighthouse.dns.port", DNS(""), LH(", serve_dns: true, dns: {host: 127.0.0.1, port: ^}"),
	 look_dns},
	{"lighthouse.interval", "", LH(", interval: 33"), look_interval},
	{"lighthouse.hosts", LH_HOST, LH_HOST LH(", hosts: [10.42.0.9]"), look_hosts},
	{"lighthouse.remote_allow_list", "", LH(", remote_allow_list: {10.0.0.0/8: false}"),
	 look_remote_allow},
	{"lighthouse.remote_allow_ranges", "",
	 LH(", remote_allow_ranges: {10.42.9.0/24: {10.0.0.0/8: false}}"), look_ranges},
	{"lighthouse.local_allow_list", "", LH(", local_allow_list: {10.0.0.0/8: false}"),
	 look_local_allow},
	{"lighthouse.advertise_addrs", "", LH(", advertise_addrs: ['192.0.2.1:0']"),
	 look_advertise},
	{"lighthouse.calculated_remotes", "",
	 LH(", calculated_remotes: {10.42.0.0/16: [{mask: 192.168.0.0/16, port: 1}]}"),
	 look_calculated},

	{"listen.host", "", "listen: {host: 127.0.0.2, port: $}\n", NULL},
	{"listen.port", "", "listen: {host: 127.0.0.1, port: #}\n", NULL},
	{"listen.batch", "", LISTEN(", batch: 1"), NULL},
	{"listen.read_buffer", "", LISTEN(", read_buffer: 100000"), look_read_buffer},
	{"listen.write_buffer", "", LISTEN(", write_buffer: 100000"), look_write_buffer},
	{"listen.send_recv_error", "", LISTEN(", send_recv_error: never"), look_send_error},
	{"listen.accept_recv_error", "", LISTEN(", accept_recv_error: private"), look_accept_error},
	{"listen.so_mark", "", LISTEN(", so_mark: 7"), look_mark},
	{"listen.udp_offloads", "", LISTEN(", udp_offloads: false"), NULL},
	{"listen.routines", "", LISTEN(", routines: 2"), look_routines},
	{"routines", "", "routines: 2\n", look_routines},
	{"punchy", "", "punchy: true\n", look_punch},
	{"punchy.punch", "", "punchy: {punch: true}\n", look_punch},
	{"punchy.respond", "", "punchy: {respond: true}\n", look_respond},
	{"punchy.delay", "", "punchy: {delay: 3s}\n", look_delay},
	{"punchy.respond_delay", "", "punchy: {respond_delay: 3s}\n", look_respond_delay},
	{"punchy.target_all_remotes", "", "punchy: {target_all_remotes: true}\n", look_punch_all},
	{"punch_back", "", "punch_back: true\n", look_respond},
	{"preferred_ranges", "", "preferred_ranges: [10.0.0.0/8]\n", look_preferred},
	{"relay.relays", "", "relay: {relays: [10.42.0.7]}\n", look_relays},
	{"relay.am_relay", "", "relay: {am_relay: true}\n", look_am_relay},
	{"relay.use_relays", "", "relay: {use_relays: false}\n", look_use_relays},

	{"tun.disabled", "", "tun: {disabled: true}\n", NULL},
	{"tun.dev", "", "tun: {dev: other}\n", NULL},
	{"tun.drop_local_broadcast", "", "tun: {drop_local_broadcast: true}\n", look_broadcast},
	{"tun.drop_multicast", "", "tun: {drop_multicast: true}\n", look_multicast},
	{"tun.tx_queue", "", "tun: {tx_queue: 1000}\n", NULL},
	{"tun.mtu", "", "tun: {mtu: 1400}\n", look_mtu},
	{"tun.routines", "", "tun: {routines: 2}\n", look_routines},
	{"tun.routes", "", "tun: {routes: [{route: 10.42.9.0/24, mtu: 600}]}\n", look_route_mtu},
	{"tun.unsafe_routes", "", VIA(""), look_gateway},
	{"tun.use_system_route_table", "", "tun: {use_system_route_table: true}\n", NULL},
	{"tun.use_system_route_table_buffer_size", "",
	 "tun: {use_system_route_table_buffer_size: 9000}\n", NULL},
	{"tun.use_offloads", "", "tun: {use_offloads: false}\n", NULL},
	{"tun.pin_threads", "", "tun: {pin_threads: false}\n", NULL},
	{"tun.cpu_affinity", "", "tun: {cpu_affinity: [%]}\n", NULL},

	{"handshakes.try_interval", "", "handshakes: {try_interval: 200ms}\n", look_try_interval},
	{"handshakes.retries", "", "handshakes: {retries: 3}\n", look_retries},
	{"timers.connection_alive_interval", "", "timers: {connection_alive_interval: 7}\n",
	 look_alive},
	{"timers.pending_deletion_interval", "", "timers: {pending_deletion_interval: 7}\n",
	 look_deletion},
	{"timers.requery_wait_duration", "", "timers: {requery_wait_duration: 7s}\n",
	 look_requery_wait},
	{"counters.try_promote", "", "counters: {try_promote: 7}\n", look_promote},
	{"counters.requery_every_packets", "", "counters: {requery_every_packets: 7}\n",
	 look_requery},
	{"tunnels.drop_inactive", "", "tunnels: {drop_inactive: true}\n", look_inactive},
	{"tunnels.inactivity_timeout", "", "tunnels: {inactivity_timeout: 7m}\n", look_inactivity},

	{"firewall.outbound", "", "firewall: {outbound: [{port: 1, proto: tcp, host: any}]}\n",
	 look_rules},
	{"firewall.inbound", "", IN("port: 1, proto: tcp, host: any"), look_rules},
	{"firewall.outbound_action", "", "firewall: {outbound_action: reject}\n", look_reject_out},
	{"firewall.inbound_action", "", "firewall: {inbound_action: reject}\n", look_reject_in},
	{"firewall.default_local_cidr_any", IN("port: 1, proto: tcp, host: any"),
	 "firewall: {default_local_cidr_any: true, inbound: [{port: 1, proto: tcp, host: any}]}\n",
	 look_local_kind},
	{"firewall.conntrack.tcp_timeout", "", "firewall: {conntrack: {tcp_timeout: 7m}}\n",
	 look_tcp},
	{"firewall.conntrack.udp_timeout", "", "firewall: {conntrack: {udp_timeout: 7m}}\n",
	 look_udp},
	{"firewall.conntrack.default_timeout", "", "firewall: {conntrack: {default_timeout: 7m}}\n",
	 look_other},

	{"logging.level", "", "logging: {level: error}\n", look_level},
	{"logging.format", "", "logging: {format: json}\n", look_log},
	{"logging.disable_timestamp", "", "logging: {disable_timestamp: true}\n", look_log},

	{"m57.allow_incomplete", "", "m57: {allow_incomplete: true}\n", NULL},
	{"m57.ctl", "", "m57: {ctl: false}\n", NULL},
	{"m57.busy_poll", "", "m57: {busy_poll: 50}\n", look_busy_poll},
	{"m57.sparse_queue", "", "m57: {sparse_queue: false}\n", look_sparse},
	{"m57.spread_flows", "", "m57: {spread_flows: true}\n", look_spread},

	{"tun.routes[].route", "tun: {routes: [{route: 10.42.9.0/24, mtu: 600}]}\n",
	 "tun: {routes: [{route: 10.42.8.0/24, mtu: 700}]}\n", look_route_mtu},
	{"tun.routes[].mtu", "tun: {routes: [{route: 10.42.9.0/24, mtu: 600}]}\n",
	 "tun: {routes: [{route: 10.42.9.0/24, mtu: 700}]}\n", look_route_mtu},
	{"tun.unsafe_routes[].route", VIA(""),
	 "tun: {unsafe_routes: [{route: 172.20.0.0/16, via: 10.42.0.9}]}\n", look_gateway},
	{"tun.unsafe_routes[].via", VIA(""),
	 "tun: {unsafe_routes: [{route: 172.16.0.0/12, via: 10.42.0.8}]}\n", look_gateway},
	{"tun.unsafe_routes[].mtu", VIA(""), VIA(", mtu: 1200"), look_unsafe_mtu},
	{"tun.unsafe_routes[].metric", VIA(""), VIA(", metric: 5"), look_metric},
	{"tun.unsafe_routes[].install", VIA(""), VIA(", install: false"), look_install},
	{"firewall[].port", IN("port: 1, proto: tcp, host: any"),
	 IN("port: 2, proto: tcp, host: any"), look_rules},
	{"firewall[].code", IN("code: 1, proto: tcp, host: any"),
	 IN("code: 2, proto: tcp, host: any"), look_rules},
	{"firewall[].proto", IN("port: 1, proto: tcp, host: any"),
	 IN("port: 1, proto: udp, host: any"), look_rules},
	{"firewall[].host", IN("port: 1, proto: tcp, host: a"), IN("port: 1, proto: tcp, host: b"),
	 look_rules},
	{"firewall[].group", IN("port: 1, proto: tcp, group: a"),
	 IN("port: 1, proto: tcp, group: b"), look_rules},
	{"firewall[].groups", IN("port: 1, proto: tcp, groups: [a]"),
	 IN("port: 1, proto: tcp, groups: [a, b]"), look_rules},
	{"firewall[].cidr", IN("port: 1, proto: tcp, cidr: 10.0.0.0/8"),
	 IN("port: 1, proto: tcp, cidr: 10.0.0.0/9"), look_rules},
	{"firewall[].local_cidr", IN("port: 1, proto: tcp, host: any, local_cidr: 10.42.0.1/32"),
	 IN("port: 1, proto: tcp, host: any, local_cidr: any"), look_rules},
	{"firewall[].ca_name", IN("port: 1, proto: tcp, host: any, ca_name: a"),
	 IN("port: 1, proto: tcp, host: any, ca_name: b"), look_rules},
	{"firewall[].ca_sha", IN("port: 1, proto: tcp, host: any, ca_sha: a"),
	 IN("port: 1, proto: tcp, host: any, ca_sha: b"), look_rules},
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

#endif
