/*
 * microbench - time of each stage of the packet path alone, on fixed data.
 *
 *   microbench [NAME]        ns per run and per packet, and bytes per second; NAME: one stage
 *   microbench --compiler    what it was built with
 *   microbench --count N     runs each stage that needs no AEAD library N times and says so: for
 *                            callgrind, which counts what the function run_NAME costs
 *
 * A run is what the dataplane does at once: a super-packet of RUN_PACKETS segments of MTU 1300, or
 * a batch of lookups. Every stage is repeated without being set up again, so run functions leave
 * their data as they found it; what that costs is said where it is done. Data is hot in the cache
 * and the branch predictors have learnt it: figures are for comparing a change with what was
 * before, and bounds from below on what a stage costs in the daemon.
 *
 * The seed is fixed. Time is the best of SLICES slices, so that what else runs hardly counts.
 */
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "aead.h"
#include "crypto/replay.h"
#include "crypto/seal.h"
#include "filter/conntrack.h"
#include "filter/firewall.h"
#include "hostmap.h"
#include "io/checksum.h"
#include "io/join.h"
#include "io/segment.h"
#include "lookup/inner.h"
#include "lookup/next_hop.h"
#include "wire.h"

#define RUN_PACKETS   47 /* what TUN_GSO_BYTES_MAX leaves of a bulk super-packet at MTU 1300 */
#define HEADER_BYTES  52 /* IPv4 and TCP with time stamps */
#define PAYLOAD_BYTES 1248
#define PACKET_BYTES  (HEADER_BYTES + PAYLOAD_BYTES)
#define SMALL_BYTES   92 /* 64 bytes of UDP payload */
#define BATCH         64 /* lookups of one run */
#define HOSTS         1024
#define ROUTES        256
#define CROWD         10000
#define FLOWS         4096
#define RULES         16
#define NOW_S         1000
#define SLICES        7
#define SLICE_NS      10000000u

static uint64_t random_state = 0x6d35372d62656e63u;
static volatile uint64_t wasted; /* results go here: the compiler must not drop the work */

static uint32_t random_below(uint32_t n)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (uint32_t)((random_state * 2685821657736338717u >> 32) * n >> 32);
}

/* --- packets -------------------------------------------------------------------------------------
 */

static uint8_t super[SLOT_BYTES], super_header[HEADER_BYTES];
static uint8_t headers[RUN_PACKETS][HEADER_BYTES]; /* of the segments, checksums right */
static uint8_t joined[SLOT_BYTES + HEADER_BYTES];
static struct virtio_net_hdr super_vnet = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					   .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
					   .hdr_len = HEADER_BYTES,
					   .gso_size = PAYLOAD_BYTES,
					   .csum_start = 20,
					   .csum_offset = 16};
#define SUPER_BYTES (HEADER_BYTES + RUN_PACKETS * PAYLOAD_BYTES)

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void super_prepare(void)
{
	static const uint8_t tcp[32] = {0x14, 0x51, 0x9c, 0x40, 0, 1, 0, 0, 0, 0, 0, 9,
					0x80, 0x10, 2,    0,    0, 0, 0, 0, 1, 1, 8, 10};
	uint8_t *p = super;

	memset(p, 0, HEADER_BYTES);
	p[0] = 0x45;
	put16(p + 2, SUPER_BYTES);
	p[6] = 0x40;
	p[8] = 64;
	p[9] = IPPROTO_TCP;
	memcpy(p + 12, (const uint8_t[]){10, 42, 0, 1, 10, 42, 0, 2}, 8);
	memcpy(p + 20, tcp, sizeof(tcp));
	for (uint32_t i = HEADER_BYTES; i < SUPER_BYTES; i++)
		p[i] = (uint8_t)random_below(256);
	put16(p + 10, (uint16_t)~checksum_fold(checksum_add(0, p, 20)));
	put16(p + 36,
	      checksum_fold(checksum_pseudo(p + 12, p + 16, 4, IPPROTO_TCP, SUPER_BYTES - 20)));
	memcpy(super_header, super, HEADER_BYTES);
}

/* What segmenting the super-packet makes of it, for join. */
static void segments_prepare(void)
{
	struct segmenter s;
	struct inner inner;

	super_prepare();
	memcpy(joined + HEADER_BYTES, super, SUPER_BYTES);
	if (inner_parse(super, SUPER_BYTES, OUTBOUND, &inner) != DROP_NONE ||
	    segment_begin(&s, super, SUPER_BYTES, &super_vnet, &inner) != DROP_NONE)
		abort();
	for (uint32_t i = 0; i < RUN_PACKETS; i++) {
		uint32_t bytes;
		memcpy(headers[i], segment_next(&s, &bytes), HEADER_BYTES);
	}
}

/* The first header is put back before each run: 52 bytes of 61,000. */
static void run_segment(void)
{
	struct segmenter s;
	struct inner inner;
	uint64_t sum = 0;

	memcpy(super, super_header, HEADER_BYTES);
	inner_parse(super, SUPER_BYTES, OUTBOUND, &inner);
	segment_begin(&s, super, SUPER_BYTES, &super_vnet, &inner);
	for (uint32_t i = 0; i < s.count; i++) {
		uint32_t bytes;
		sum += segment_next(&s, &bytes)[36] + bytes;
	}
	wasted = sum;
}

/* Payloads lie where opening would put them; of what it writes only the header is written here. */
static void run_join(void)
{
	uint8_t *first = joined + HEADER_BYTES, saved[INNER_HEADER_MAX];
	struct virtio_net_hdr vnet;
	struct chain chain;
	struct inner inner;

	memcpy(first, headers[0], HEADER_BYTES);
	inner_parse(first, PACKET_BYTES, INBOUND, &inner);
	if (join_classify(first, PACKET_BYTES, &inner, true, true) != JOIN_DATA)
		abort();
	join_begin(&chain, first, PACKET_BYTES, SLOT_BYTES, &inner);
	for (uint32_t i = 1; i < RUN_PACKETS; i++) {
		uint8_t *place = join_place(&chain, PACKET_BYTES, saved);
		memcpy(place, headers[i], HEADER_BYTES);
		inner_parse(place, PACKET_BYTES, INBOUND, &inner);
		enum join_kind kind = join_classify(place, PACKET_BYTES, &inner, true, true);
		if (!join_accept(&chain, place, PACKET_BYTES, &inner, kind, saved))
			abort();
	}
	join_finish(&chain, &vnet);
	wasted = chain.length;
}

static void run_checksum(void)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < RUN_PACKETS; i++)
		sum += checksum_add(0, super + i * PAYLOAD_BYTES, PACKET_BYTES);
	wasted = sum;
}

static void run_parse(void)
{
	struct inner inner;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < RUN_PACKETS; i++) {
		sum += inner_parse(headers[i], PACKET_BYTES, INBOUND, &inner);
		sum += inner.flow.local_port;
	}
	wasted = sum;
}

/* --- tables --------------------------------------------------------------------------------------
 */

static struct snapshot snapshot;
static struct hostmap *hostmap;
static struct conntrack *conntrack;
static struct tunnel *tunnel; /* of the first host */
static struct peer_rules peer_rules;
static struct counters counters;
static struct addr destinations[BATCH];
static struct flow routed[BATCH], crowded_flows[BATCH], inside[BATCH];
static struct snapshot crowded, plain; /* many routes; none */
static uint32_t indexes[BATCH];
static struct flow flows[FLOWS];

static struct prefix prefix_v4(uint32_t v4, unsigned bits)
{
	return (struct prefix){addr_from_v4(v4), (uint8_t)(ADDR_V4_BITS + bits)};
}

/* ROUTES of 24 bits and ROUTES of 16; half of the flows go to the former, half to the latter. */
static void routes_prepare(void)
{
	static struct gateway gateways[ROUTES];
	static struct route routes[2 * ROUTES];

	for (uint32_t i = 0; i < ROUTES; i++) {
		gateways[i] = (struct gateway){addr_from_v4(0x0a2a0000u + i), 1};
		routes[i] = (struct route){prefix_v4(0xc0a80000u + (i << 8), 24), 1, &gateways[i]};
		routes[ROUTES + i] =
			(struct route){prefix_v4(0x14000000u + (i << 16), 16), 1, &gateways[i]};
	}
	snapshot.routes = route_table_create(routes, 2 * ROUTES);
	if (!snapshot.routes)
		abort();
	for (uint32_t i = 0; i < BATCH; i++) {
		uint32_t base = i % 2 ? 0xc0a80000u + (random_below(ROUTES) << 8)
				      : 0x14000000u + (random_below(ROUTES) << 16);
		routed[i].remote = addr_from_v4(base + 1 + random_below(200));
	}
}

static void crowded_prepare(void)
{
	static struct gateway gateways[16][2];
	static struct route routes[CROWD];

	for (uint32_t i = 0; i < 16; i++)
		for (uint32_t k = 0; k < 2; k++)
			gateways[i][k] = (struct gateway){addr_from_v4(0x0a2a0000u + 2 * i + k), 1};
	for (uint32_t i = 0; i < CROWD; i++) {
		uint32_t bits = 12 + random_below(21);
		struct prefix to = prefix_v4(0x14000000u + random_below(0x10000000u), bits);

		routes[i] = (struct route){prefix_masked(to), 2, gateways[i % 16]};
	}
	crowded.network_count = plain.network_count = 1;
	crowded.networks[0] = plain.networks[0] = prefix_v4(0x0a2a0001u, 16);
	crowded.routes = route_table_create(routes, CROWD);
	plain.routes = route_table_create(NULL, 0);
	if (!crowded.routes || !plain.routes)
		abort();
	for (uint32_t i = 0; i < BATCH; i++) {
		crowded_flows[i].remote = routes[random_below(CROWD)].to.addr;
		crowded_flows[i].local_port = (uint16_t)random_below(65536);
		inside[i].remote = addr_from_v4(0x0a2a0000u + 2 + random_below(1000));
	}
}

static void hosts_prepare(void)
{
	bool locked;

	hostmap = hostmap_create(&locked);
	if (!hostmap)
		abort();
	for (uint32_t i = 0; i < HOSTS; i++) {
		struct tunnel *t = tunnel_allocate(hostmap);
		t->local_index = (random_below(1u << 20) << 11) + i + 1;
		t->addr_count = 1;
		t->addrs[0] = addr_from_v4(0x0a2a0002u + i);
		if (hostmap_index_reserve(hostmap, t->local_index) != 0 ||
		    hostmap_index_publish(hostmap, t) != 0)
			abort();
		RCU_PUBLISH(hostmap_host_obtain(hostmap, &t->addrs[0])->tunnel, t);
		if (i == 0)
			tunnel = t;
		if (i % (HOSTS / BATCH) == 0) {
			indexes[i / (HOSTS / BATCH)] = t->local_index;
			destinations[i / (HOSTS / BATCH)] = t->addrs[0];
		}
	}
}

/* RULES rules of which only the last matches; every flow is the first host's with a port of its
 * own. */
static void filter_prepare(void)
{
	static struct rule rules[2][RULES];
	static uint64_t all = UINT64_MAX;

	for (int d = 0; d < 2; d++) {
		for (uint32_t i = 0; i < RULES; i++)
			rules[d][i] = (struct rule){.protocol = RULE_TCP,
						    .local_kind = RULE_LOCAL_OWN_NETWORKS,
						    .port_first = (uint16_t)(i + 1),
						    .port_last = (uint16_t)(i + 1)};
		rules[d][RULES - 1].port_last = 65535;
		snapshot.rules[d] = (struct ruleset){RULES, rules[d]};
		peer_rules.ca[d] = peer_rules.peer[d] = &all;
	}
	peer_rules.words = 1;
	peer_rules.version = snapshot.rules_version = 1;
	snapshot.network_count = 1;
	snapshot.networks[0] = prefix_v4(0x0a2a0001u, 16);
	snapshot.tcp_timeout_s = 720;
	snapshot.udp_timeout_s = 180;
	snapshot.default_timeout_s = 600;
	conntrack = conntrack_create();
	if (!conntrack)
		abort();
	for (uint32_t i = 0; i < FLOWS; i++) {
		memset(&flows[i], 0, sizeof(flows[i]));
		flows[i].local = addr_from_v4(0x0a2a0001u);
		flows[i].remote = addr_from_v4(0x0a2a0002u);
		flows[i].protocol = IPPROTO_TCP;
		flows[i].local_port = 5201;
		flows[i].remote_port = (uint16_t)(1024 + i);
		conntrack_enter(conntrack, &flows[i], &snapshot, NOW_S, INBOUND);
	}
}

static void run_next_hop(void)
{
	struct next_hop hop;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < BATCH; i++) {
		sum += next_hop_lookup(&snapshot, &routed[i], &hop);
		sum += hop.addr.bytes[15];
	}
	wasted = sum;
}

/* As many routes as a large network has, of all lengths, each with two gateways. */
static void run_next_hop_10k(void)
{
	struct next_hop hop;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < BATCH; i++) {
		sum += next_hop_lookup(&crowded, &crowded_flows[i], &hop);
		sum += hop.addr.bytes[15];
	}
	wasted = sum;
}

/* The common case: the destination is in our own network, and there are no routes. */
static void run_next_hop_inside(void)
{
	struct next_hop hop;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < BATCH; i++) {
		sum += next_hop_lookup(&plain, &inside[i], &hop);
		sum += hop.addr.bytes[15];
	}
	wasted = sum;
}

static void run_host_lookup(void)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < BATCH; i++)
		sum += (uintptr_t)hostmap_by_addr(hostmap, &destinations[i]);
	wasted = sum;
}

static void run_index_lookup(void)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < BATCH; i++)
		sum += (uintptr_t)hostmap_by_index(hostmap, indexes[i]);
	wasted = sum;
}

static void run_firewall(void)
{
	uint32_t rule;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < BATCH; i++)
		sum += firewall_rules_match(&snapshot, &peer_rules, &flows[i], INBOUND, &rule);
	wasted = sum;
}

static void run_conntrack(void)
{
	enum direction direction;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < BATCH; i++)
		sum += conntrack_lookup(conntrack, &flows[i * (FLOWS / BATCH)], &snapshot, NOW_S,
					&direction);
	wasted = sum;
}

/* All of firewall_check for known flows: addresses, then conntrack. */
static void run_admit(void)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < BATCH; i++)
		sum += firewall_check(conntrack, &snapshot, tunnel, &peer_rules,
				      &flows[i * (FLOWS / BATCH)], INBOUND, NOW_S, &counters);
	if (sum != 0)
		abort();
}

/* A train's counters, in order but for two that overtook. */
static void run_replay(void)
{
	static uint64_t words[REPLAY_WORDS];
	static struct replay window;
	static uint64_t next;
	uint64_t run[RUN_PACKETS];
	bool fresh[RUN_PACKETS];

	if (next == 0) {
		replay_init(&window, words);
		next = COUNTER_FIRST;
	}
	for (uint32_t i = 0; i < RUN_PACKETS; i++)
		run[i] = next + i;
	run[10]++, run[11]--;
	next += RUN_PACKETS;
	if (replay_check(&window, run, RUN_PACKETS, fresh) != RUN_PACKETS ||
	    replay_commit(&window, run, RUN_PACKETS, fresh) != RUN_PACKETS)
		abort();
}

/* --- AEAD ----------------------------------------------------------------------------------------
 */

static struct aead_key keys[AEAD_CIPHERS];
static uint8_t sealed[2][AEAD_CIPHERS][RUN_PACKETS][PACKET_BYTES + WIRE_OVERHEAD];
static uint8_t opened[PACKET_BYTES];

static void seal_run(enum aead_cipher cipher, uint32_t bytes)
{
	uint8_t(*out)[PACKET_BYTES + WIRE_OVERHEAD] = sealed[bytes == SMALL_BYTES][cipher];

	for (uint32_t i = 0; i < RUN_PACKETS; i++) {
		wire_write(out[i], WIRE_MESSAGE, 7, COUNTER_FIRST + i);
		aead_seal(&keys[cipher], COUNTER_FIRST + i, out[i], WIRE_HEADER_BYTES,
			  super + i * PAYLOAD_BYTES, bytes, out[i] + WIRE_HEADER_BYTES);
	}
}

static void open_run(enum aead_cipher cipher, uint32_t bytes)
{
	uint8_t(*in)[PACKET_BYTES + WIRE_OVERHEAD] = sealed[bytes == SMALL_BYTES][cipher];

	for (uint32_t i = 0; i < RUN_PACKETS; i++)
		if (aead_open(&keys[cipher], COUNTER_FIRST + i, in[i], WIRE_HEADER_BYTES,
			      in[i] + WIRE_HEADER_BYTES, bytes, opened) != 0)
			abort();
}

/*
 * The same through a relay, AES: frames around sealed packets. One key serves both directions, so
 * the node between writes what it has read, and everything can be repeated.
 */
#define FRAME_BYTES (PACKET_BYTES + 2 * WIRE_OVERHEAD)

static uint8_t frames[RUN_PACKETS][FRAME_BYTES];
static struct tunnel_keys via_keys;
static struct tunnel via = {.keys = &via_keys, .remote_index = 7};

static void run_seal_relayed(void)
{
	for (uint32_t i = 0; i < RUN_PACKETS; i++) {
		seal_packet(&via, WIRE_MESSAGE, WIRE_LABEL_NONE, COUNTER_FIRST + i,
			    super + i * PAYLOAD_BYTES, PACKET_BYTES, frames[i] + WIRE_HEADER_BYTES);
		seal_frame(&via, 7, WIRE_LABEL_NONE, COUNTER_FIRST + i, frames[i],
			   PACKET_BYTES + WIRE_OVERHEAD);
	}
}

static void check_frames(void)
{
	for (uint32_t i = 0; i < RUN_PACKETS; i++)
		if (seal_check_frame(&via, frames[i], FRAME_BYTES) != 0)
			abort();
}

static void run_open_relayed(void)
{
	check_frames();
	for (uint32_t i = 0; i < RUN_PACKETS; i++)
		if (seal_open(&via, frames[i] + WIRE_HEADER_BYTES, PACKET_BYTES + WIRE_OVERHEAD,
			      opened) != 0)
			abort();
}

static void run_relay_turn(void)
{
	check_frames();
	for (uint32_t i = 0; i < RUN_PACKETS; i++)
		seal_frame(&via, 7, WIRE_LABEL_NONE, COUNTER_FIRST + i, frames[i],
			   PACKET_BYTES + WIRE_OVERHEAD);
}

static void aead_prepare(void)
{
	const uint8_t raw[AEAD_KEY_BYTES] = {1, 2, 3};

	aead_select();
	for (int c = 0; c < AEAD_CIPHERS; c++) {
		if (aead_key_init(&keys[c], (enum aead_cipher)c, raw) != 0)
			abort();
		seal_run((enum aead_cipher)c, PACKET_BYTES);
		seal_run((enum aead_cipher)c, SMALL_BYTES);
		if (c == AEAD_AES256GCM)
			via_keys.seal = via_keys.open = keys[c];
		printf("%s: %s %s\n", c == AEAD_AES256GCM ? "AES-256-GCM" : "ChaCha20-Poly1305",
		       keys[c].backend->name, keys[c].backend->architecture);
	}
	run_seal_relayed();
}

#define AEAD_RUNS(name, cipher, bytes)                                                             \
	static void run_seal_##name(void)                                                          \
	{                                                                                          \
		seal_run(cipher, bytes);                                                           \
	}                                                                                          \
	static void run_open_##name(void)                                                          \
	{                                                                                          \
		open_run(cipher, bytes);                                                           \
	}
AEAD_RUNS(aes, AEAD_AES256GCM, PACKET_BYTES)
AEAD_RUNS(aes_small, AEAD_AES256GCM, SMALL_BYTES)
AEAD_RUNS(chacha, AEAD_CHACHA20POLY1305, PACKET_BYTES)
AEAD_RUNS(chacha_small, AEAD_CHACHA20POLY1305, SMALL_BYTES)

/* --- the table -----------------------------------------------------------------------------------
 */

static const struct stage {
	const char *name;
	void (*run)(void);
	uint32_t packets; /* of a run; lookups too count as packets */
	uint32_t bytes;   /* of a packet; 0: the stage does not touch payload */
	bool aead;
} stages[] = {
	{"segment", run_segment, RUN_PACKETS, PACKET_BYTES, false},
	{"join", run_join, RUN_PACKETS, PACKET_BYTES, false},
	{"checksum", run_checksum, RUN_PACKETS, PACKET_BYTES, false},
	{"parse", run_parse, RUN_PACKETS, 0, false},
	{"next_hop", run_next_hop, BATCH, 0, false},
	{"next_hop_10k", run_next_hop_10k, BATCH, 0, false},
	{"next_hop_inside", run_next_hop_inside, BATCH, 0, false},
	{"host_lookup", run_host_lookup, BATCH, 0, false},
	{"index_lookup", run_index_lookup, BATCH, 0, false},
	{"firewall", run_firewall, BATCH, 0, false},
	{"conntrack", run_conntrack, BATCH, 0, false},
	{"admit", run_admit, BATCH, 0, false},
	{"replay", run_replay, RUN_PACKETS, 0, false},
	{"seal_aes", run_seal_aes, RUN_PACKETS, PACKET_BYTES, true},
	{"open_aes", run_open_aes, RUN_PACKETS, PACKET_BYTES, true},
	{"seal_aes_small", run_seal_aes_small, RUN_PACKETS, SMALL_BYTES, true},
	{"open_aes_small", run_open_aes_small, RUN_PACKETS, SMALL_BYTES, true},
	{"seal_relayed", run_seal_relayed, RUN_PACKETS, PACKET_BYTES, true},
	{"open_relayed", run_open_relayed, RUN_PACKETS, PACKET_BYTES, true},
	{"relay_turn", run_relay_turn, RUN_PACKETS, PACKET_BYTES, true},
	{"seal_chacha", run_seal_chacha, RUN_PACKETS, PACKET_BYTES, true},
	{"open_chacha", run_open_chacha, RUN_PACKETS, PACKET_BYTES, true},
	{"seal_chacha_small", run_seal_chacha_small, RUN_PACKETS, SMALL_BYTES, true},
	{"open_chacha_small", run_open_chacha_small, RUN_PACKETS, SMALL_BYTES, true},
};
#define STAGES (sizeof(stages) / sizeof(stages[0]))

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void measure(const struct stage *stage)
{
	double best = 1e18;
	uint32_t runs = 1;

	for (uint64_t took = 0; took < SLICE_NS / 4; runs *= 2) {
		uint64_t start = now_ns();
		for (uint32_t i = 0; i < runs; i++)
			stage->run();
		took = now_ns() - start;
	}
	for (int slice = 0; slice < SLICES; slice++) {
		uint64_t start = now_ns();
		for (uint32_t i = 0; i < runs; i++)
			stage->run();
		double each = (double)(now_ns() - start) / runs;
		best = each < best ? each : best;
	}
	printf("%-18s %12.1f %8u %12.1f", stage->name, best, stage->packets, best / stage->packets);
	if (stage->bytes)
		printf(" %10.2f", stage->packets * (double)stage->bytes / best);
	printf("\n");
}

/* What instruction counts depend on: the vector width too, as far as valgrind knows it. */
static int compiler(void)
{
	struct utsname name;
	const char *vectors = "";

	uname(&name);
#ifdef __x86_64__
	vectors = __builtin_cpu_supports("avx2") ? " avx2" : "";
#endif
#ifdef __clang__
	printf("clang %d.%d.%d", __clang_major__, __clang_minor__, __clang_patchlevel__);
#else
	printf("gcc %d.%d.%d", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
	printf(" %s%s\n", name.machine, vectors);
	return 0;
}

int main(int argc, char **argv)
{
	bool count = argc == 3 && strcmp(argv[1], "--count") == 0;
	const char *only = argc == 2 ? argv[1] : NULL;
	bool found = false;

	if (only && strcmp(only, "--compiler") == 0)
		return compiler();
	urcu_qsbr_register_thread();
	segments_prepare();
	routes_prepare();
	hosts_prepare();
	filter_prepare();
	crowded_prepare(); /* the last that draws: what the others draw stays the same */
	if (count) {
		for (size_t i = 0; i < STAGES; i++)
			for (long n = strtol(argv[2], NULL, 10); n > 0 && !stages[i].aead; n--)
				stages[i].run();
		return 0;
	}
	aead_prepare();
	printf("%-18s %12s %8s %12s %10s\n", "stage", "ns/run", "packets", "ns/packet", "GB/s");
	for (size_t i = 0; i < STAGES; i++) {
		if (only && strncmp(only, stages[i].name, strlen(only)) != 0)
			continue;
		measure(&stages[i]);
		found = true;
	}
	if (!found)
		fprintf(stderr, "microbench: no stage is called %s\n", only);
	return found ? 0 : 1;
}
