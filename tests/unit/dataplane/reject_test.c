/*
 * reject_test.c - what a refused packet is answered with, byte by byte, and what gets no answer.
 */
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "filter/reject.h"
#include "unit/dataplane/packets.h"

TestSuite(reject, .timeout = 60);

static uint8_t refused[70000], answer[REJECT_BYTES_MAX];

static uint32_t read16(const uint8_t *p)
{
	return (uint32_t)p[0] * 256 + p[1];
}

static uint32_t read32(const uint8_t *p)
{
	return read16(p) * 65536 + read16(p + 2);
}

/* The answer to refused[0..length), from memory that ends where the packet does. */
static uint32_t answer_to(uint32_t length)
{
	const uint8_t *packet = length <= 65536 ? packet_at_edge(refused, length) : refused;
	struct inner inner;

	cr_assert_eq(inner_parse(packet, length, OUTBOUND, &inner), DROP_NONE);
	/* as long as it may be and no longer, so that a sanitizer sees the first byte too many */
	uint8_t *out = malloc(REJECT_BYTES_MAX);
	uint32_t bytes = reject_build(packet, &inner, out);
	memcpy(answer, out, bytes);
	free(out);
	return bytes;
}

/* An answer's own header is right, its addresses are those of refused the other way round. */
static void expect_ip(uint32_t bytes, uint8_t protocol, const char *name)
{
	uint8_t expected[40] = {0};

	if (refused[0] >> 4 == 4) {
		uint8_t fixed[12] = {
			0x45, 0, (uint8_t)(bytes >> 8), (uint8_t)bytes, 0, 0, 0, 0, 64, protocol};

		memcpy(expected, fixed, 12);
		memcpy(expected + 12, refused + 16, 4);
		memcpy(expected + 16, refused + 12, 4);
		uint16_t sum = packet_checksum(0, expected, 20);
		expected[10] = (uint8_t)(sum >> 8);
		expected[11] = (uint8_t)sum;
		cr_expect_arr_eq(answer, expected, 20, "%s", name);
		return;
	}
	expected[0] = 0x60;
	expected[4] = (uint8_t)((bytes - 40) >> 8);
	expected[5] = (uint8_t)(bytes - 40);
	expected[6] = protocol;
	expected[7] = 64;
	memcpy(expected + 8, refused + 24, 16);
	memcpy(expected + 24, refused + 8, 16);
	cr_expect_arr_eq(answer, expected, 40, "%s", name);
}

/* Sum over pseudo header and L4 as a receiver makes it: 0. */
static uint16_t l4_residue(uint32_t bytes, uint8_t protocol)
{
	bool v4 = answer[0] >> 4 == 4;
	uint32_t at = v4 ? 20 : 40, sum = 0;

	if (protocol != IPPROTO_ICMP) {
		sum = protocol + bytes - at;
		for (uint32_t i = v4 ? 12 : 8; i < at; i += 2)
			sum += read16(answer + i);
	}
	return packet_checksum(sum, answer + at, bytes - at);
}

/* ---- RST ------------------------------------------------------------------------------------- */

Test(reject, tcp_gets_a_rst_that_its_stack_accepts)
{
	static const uint8_t options[12] = {1, 1, 8, 10};
	static const uint8_t hop[8] = {IPPROTO_TCP};
	enum { F = TCP_FIN, S = TCP_SYN, A = TCP_ACK, P = TCP_PSH };
	static const struct {
		const char *name;
		uint8_t flags;
		uint32_t sequence, ack, payload;
		uint32_t rst_sequence, rst_ack;
	} cases[] = {
		{"SYN", S, 1000, 0, 0, 0, 1001},
		{"SYN with an ack field that does not count", S, 1000, 77, 0, 0, 1001},
		{"SYN with data", S, 1000, 0, 50, 0, 1051},
		{"SYN, ECN", S | TCP_ECE | TCP_CWR, 5, 0, 0, 0, 6},
		{"SYN of a large number", S, 0x89abcdee, 0, 0, 0, 0x89abcdef},
		{"SYN at the end of numbers", S, 0xffffffff, 0, 0, 0, 0},
		{"FIN without ACK", F, 10, 9, 20, 0, 31},
		{"both", F | S, 10, 9, 20, 0, 32},
		{"no flags", 0, 10, 9, 20, 0, 30},
		{"ACK", A, 1000, 0xfffffff0, 0, 0xfffffff0, 0},
		{"data", A | P, 1000, 2000, 100, 2000, 0},
		{"SYN ACK", S | A, 1000, 2000, 0, 2000, 0},
		{"FIN ACK", F | A, 1000, 2000, 0, 2000, 0},
	};

	for (size_t i = 0; i < 4 * sizeof(cases) / sizeof(cases[0]); i++) {
		size_t k = i / 4;
		int version = i % 2 ? 6 : 4;
		bool with_options = i % 4 >= 2;
		struct packet p = {.version = version,
				   .protocol = IPPROTO_TCP,
				   .source_port = 40000,
				   .dest_port = 443,
				   .tos = 0xb8,
				   .ttl = 3,
				   .ip_id = 7,
				   .df = true,
				   .tcp_flags = cases[k].flags,
				   .sequence = cases[k].sequence,
				   .ack = cases[k].ack,
				   .window = 500,
				   .payload_bytes = cases[k].payload};

		if (with_options) {
			p.tcp_options = p.ip_options = options;
			p.tcp_options_bytes = p.ip_options_bytes = 12;
			p.extension = hop;
			p.extension_bytes = sizeof(hop);
		}
		uint32_t bytes = answer_to(packet_build(refused, &p));
		const uint8_t *rst = answer + (version == 4 ? 20 : 40);
		const char *name = cases[k].name;
		cr_assert_eq(bytes, (version == 4 ? 20u : 40u) + 20, "%s", name);
		expect_ip(bytes, IPPROTO_TCP, name);
		cr_expect_eq(read16(rst), 443, "%s", name);
		cr_expect_eq(read16(rst + 2), 40000, "%s", name);
		cr_expect_eq(read32(rst + 4), cases[k].rst_sequence, "%s", name);
		cr_expect_eq(read32(rst + 8), cases[k].rst_ack, "%s", name);
		cr_expect_eq(rst[12], 0x50, "%s", name);
		cr_expect_eq(rst[13], cases[k].flags & A ? TCP_RST : TCP_RST | TCP_ACK, "%s", name);
		cr_expect_eq(read16(rst + 14), 0, "%s: window", name);
		cr_expect_eq(read16(rst + 18), 0, "%s: urgent", name);
		cr_expect_eq(l4_residue(bytes, IPPROTO_TCP), 0, "%s", name);
	}
}

Test(reject, a_super_packet_is_one_packet)
{
	uint32_t length = packet_build(refused, &(struct packet){.version = 4,
								 .protocol = IPPROTO_TCP,
								 .source_port = 1,
								 .dest_port = 2,
								 .sequence = 100,
								 .partial = true,
								 .payload_bytes = 60000});

	cr_assert_eq(answer_to(length), 40);
	cr_expect_eq(read32(answer + 28), 60100);
}

Test(reject, broken_tcp_headers_and_rsts_get_nothing)
{
	for (int version = 4; version <= 6; version += 2) {
		struct packet p = {
			.version = version, .protocol = IPPROTO_TCP, .tcp_flags = TCP_SYN};
		uint32_t length = packet_build(refused, &p), l4 = packet_l4(refused);

		cr_expect_neq(answer_to(length), 0);
		refused[l4 + 12] = 0x40; /* 16 bytes of header */
		cr_expect_eq(answer_to(length), 0);
		refused[l4 + 12] = 0x60; /* 24, and there are 20 */
		cr_expect_eq(answer_to(length), 0);
		refused[l4 + 12] = 0x50;
		refused[version == 4 ? 3 : 5]--; /* one byte short */
		cr_expect_eq(answer_to(length), 0);
		for (unsigned flags = 0; flags < 256; flags++) {
			p.tcp_flags = (uint8_t)flags;
			length = packet_build(refused, &p);
			cr_expect_eq(answer_to(length) == 0, (flags & TCP_RST) != 0, "%u", flags);
		}
	}
}

/* ---- ICMP ------------------------------------------------------------------------------------ */

Test(reject, everything_else_gets_an_icmp_error)
{
	static const uint8_t options[40] = {1, 1, 1};
	static const uint8_t hop[8] = {IPPROTO_UDP};
	static const struct {
		const char *name;
		struct packet packet;
		uint32_t quoted;
	} cases[] = {
		{"udp", {.version = 4, .protocol = IPPROTO_UDP, .payload_bytes = 100}, 28},
		{"empty udp", {.version = 4, .protocol = IPPROTO_UDP}, 28},
		{"udp, large", {.version = 4, .protocol = IPPROTO_UDP, .payload_bytes = 60000}, 28},
		{"udp, options",
		 {.version = 4,
		  .protocol = IPPROTO_UDP,
		  .ip_options = options,
		  .ip_options_bytes = 40,
		  .payload_bytes = 9},
		 68},
		{"first fragment",
		 {.version = 4, .protocol = IPPROTO_UDP, .fragment = 0x2000, .payload_bytes = 32},
		 28},
		{"six bytes", {.version = 4, .protocol = 99, .payload_bytes = 6}, 26},
		{"gre", {.version = 4, .protocol = IPPROTO_GRE, .payload_bytes = 40}, 28},
		{"udp 6", {.version = 6, .protocol = IPPROTO_UDP, .payload_bytes = 100}, 148},
		{"udp 6, odd", {.version = 6, .protocol = IPPROTO_UDP, .payload_bytes = 101}, 149},
		{"udp 6, 999", {.version = 6, .protocol = IPPROTO_UDP, .payload_bytes = 951}, 999},
		{"udp 6, 1000",
		 {.version = 6, .protocol = IPPROTO_UDP, .payload_bytes = 952},
		 1000},
		{"udp 6, 1001",
		 {.version = 6, .protocol = IPPROTO_UDP, .payload_bytes = 953},
		 1000},
		{"udp 6, large",
		 {.version = 6, .protocol = IPPROTO_UDP, .payload_bytes = 60000},
		 1000},
		{"udp 6, hop by hop",
		 {.version = 6,
		  .protocol = IPPROTO_UDP,
		  .extension = hop,
		  .extension_bytes = 8,
		  .payload_bytes = 10},
		 66},
		{"sctp 6", {.version = 6, .protocol = 132, .payload_bytes = 20}, 60},
		{"nothing 6", {.version = 6, .protocol = IPPROTO_NONE}, 40},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *name = cases[i].name;
		uint32_t length = packet_build(refused, &cases[i].packet);
		bool v4 = cases[i].packet.version == 4;
		uint8_t protocol = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
		const uint8_t *icmp = answer + (v4 ? 20 : 40);
		uint32_t bytes = answer_to(length);

		cr_assert_eq(bytes, (v4 ? 20u : 40u) + 8 + cases[i].quoted, "%s", name);
		expect_ip(bytes, protocol, name);
		cr_expect_eq(icmp[0], v4 ? 3 : 1, "%s", name);
		cr_expect_eq(icmp[1], v4 ? 13 : 1, "%s", name);
		cr_expect_eq(read32(icmp + 4), 0, "%s", name);
		cr_expect_arr_eq(icmp + 8, refused, cases[i].quoted, "%s", name);
		cr_expect_eq(l4_residue(bytes, protocol), 0, "%s", name);
	}
}

/* Bytes behind the IP length, such as padding, are no part of the packet. */
Test(reject, only_the_packet_is_quoted)
{
	uint32_t length = packet_build(
		refused,
		&(struct packet){.version = 6, .protocol = IPPROTO_UDP, .payload_bytes = 10});

	cr_expect_eq(answer_to(length + 20), 48 + length);
}

/* ---- silence --------------------------------------------------------------------------------- */

Test(reject, icmp_errors_get_nothing_and_queries_do)
{
	for (unsigned type = 0; type < 256; type++) {
		uint8_t icmp[8] = {(uint8_t)type};
		struct packet p = {.version = 4,
				   .protocol = IPPROTO_ICMP,
				   .payload = icmp,
				   .payload_bytes = sizeof(icmp)};
		bool error = type == 3 || type == 4 || type == 5 || type == 11 || type == 12;

		cr_expect_eq(answer_to(packet_build(refused, &p)), error ? 0 : 56, "type %u", type);
		p.version = 6;
		p.protocol = IPPROTO_ICMPV6;
		error = type < 128 || type == 137;
		cr_expect_eq(answer_to(packet_build(refused, &p)), error ? 0 : 96, "v6 %u", type);
	}
}

Test(reject, answers_are_not_answered)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP};

	for (size_t i = 0; i < 4; i++) {
		struct packet p = {.version = i % 2 ? 6 : 4,
				   .protocol = protocols[i / 2],
				   .tcp_flags = TCP_SYN,
				   .payload_bytes = 30};
		uint32_t bytes = answer_to(packet_build(refused, &p));

		cr_assert_neq(bytes, 0);
		memcpy(refused, answer, bytes);
		cr_expect_eq(answer_to(bytes), 0, "case %zu", i);
	}
}

Test(reject, fragments_and_chains_without_an_end_get_nothing)
{
	static const uint8_t later[8] = {IPPROTO_UDP, 0, 0, 8};
	static const uint8_t first[8] = {IPPROTO_UDP, 0, 0, 1};
	uint8_t chain[9 * 8] = {0};
	struct packet p = {
		.version = 4, .protocol = IPPROTO_UDP, .fragment = 100, .payload_bytes = 64};

	cr_expect_eq(answer_to(packet_build(refused, &p)), 0);
	p.fragment = 0x2000 | 100;
	cr_expect_eq(answer_to(packet_build(refused, &p)), 0);

	p = (struct packet){.version = 6,
			    .protocol = IPPROTO_UDP,
			    .extension = later,
			    .extension_bytes = 8,
			    .extension_first = IPPROTO_FRAGMENT,
			    .payload_bytes = 64};
	cr_expect_eq(answer_to(packet_build(refused, &p)), 0);
	p.extension = first;
	cr_expect_neq(answer_to(packet_build(refused, &p)), 0);

	/* eight headers are walked; a ninth is what the chain seems to hold */
	for (int i = 0; i < 9; i++)
		chain[i * 8] = IPPROTO_DSTOPTS;
	p.extension_first = IPPROTO_DSTOPTS;
	p.extension = chain;
	p.extension_bytes = 9 * 8;
	cr_expect_eq(answer_to(packet_build(refused, &p)), 0);
	chain[7 * 8] = IPPROTO_UDP;
	p.extension_bytes = 8 * 8;
	cr_expect_neq(answer_to(packet_build(refused, &p)), 0);
}

Test(reject, groups_and_nobody_get_nothing)
{
	static const struct {
		uint8_t at, byte;
		bool answered;
	} cases[] = {{16, 10, true},   {16, 223, true},  {16, 224, false}, {16, 239, false},
		     {16, 255, false}, {12, 224, false}, {12, 255, false}, {12, 0, false}};
	struct packet p = {.version = 4, .protocol = IPPROTO_UDP, .payload_bytes = 10};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t length = packet_build(refused, &p);

		refused[cases[i].at] = cases[i].byte;
		cr_expect_eq(answer_to(length) != 0, cases[i].answered, "case %zu", i);
	}
	p.version = 6;
	uint32_t length = packet_build(refused, &p);
	refused[24] = 0xff;
	cr_expect_eq(answer_to(length), 0, "to a group");
	packet_build(refused, &p);
	memset(refused + 8, 0, 16);
	cr_expect_eq(answer_to(length), 0, "from nobody");
}

/* Whatever the parser takes is answered within bounds, with right sums, and the answer with
 * nothing.
 */
Test(reject, random_packets)
{
	struct packet_random random = {20261123};
	static const uint8_t protocols[] = {0, 1, 6, 17, 43, 44, 47, 51, 58, 59, 60, 132};
	uint32_t answered = 0;

	for (int i = 0; i < 100000; i++) {
		uint32_t length = 20 + packet_below(&random, i % 16 ? 120 : 1200);
		struct inner inner;

		packet_fill(&random, refused, length);
		uint8_t protocol = protocols[packet_below(&random, sizeof(protocols))];
		if (i % 2) {
			refused[0] = (uint8_t)(0x45 + packet_below(&random, 3));
			refused[2] = (uint8_t)(length >> 8);
			refused[3] = (uint8_t)length;
			refused[6] &= 0xe0;
			refused[7] = 0;
			refused[9] = protocol;
		} else {
			refused[0] = 0x60;
			refused[4] = (uint8_t)((length - 40) >> 8);
			refused[5] = (uint8_t)(length - 40);
			refused[6] = protocol;
		}
		if (inner_parse(refused, length, INBOUND, &inner) != DROP_NONE)
			continue;
		uint32_t bytes = answer_to(length);
		if (bytes == 0)
			continue;
		answered++;
		bool v4 = answer[0] >> 4 == 4;
		uint8_t kind = v4 ? answer[9] : answer[6];
		cr_assert_leq(bytes, REJECT_BYTES_MAX);
		expect_ip(bytes, kind, "random");
		cr_assert_eq(l4_residue(bytes, kind), 0, "packet %d", i);
		memcpy(refused, answer, bytes);
		cr_assert_eq(answer_to(bytes), 0, "packet %d", i);
	}
	cr_expect_gt(answered, 1000);
}
