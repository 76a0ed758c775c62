/*
 * Unit tests of dataplane/io/segment.c against the slow cutter of packets.c.
 */
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/segment.h"
#include "packets.h"

#define SEED 57

static uint8_t super[70000], copy[70000], expected[70000];

static enum drop begin(struct segmenter *s, uint32_t length, const struct virtio_net_hdr *vnet)
{
	struct inner inner;

	cr_assert_eq(inner_parse(super, length, OUTBOUND, &inner), DROP_NONE);
	return segment_begin(s, super, length, vnet, &inner);
}

/* Cuts super[0..length) and compares each segment; copy keeps the original for the reference. */
static void check_cut(uint32_t length, const struct virtio_net_hdr *vnet, const char *what)
{
	struct segmenter s;
	uint32_t k, bytes;

	memcpy(copy, super, length);
	cr_assert_eq(begin(&s, length, vnet), DROP_NONE, "%s", what);
	cr_assert_eq(vnet_packets(vnet, copy, length), s.count, "%s", what);
	for (k = 0; k < s.count; k++) {
		uint8_t *segment = segment_next(&s, &bytes);
		uint32_t want = packet_cut(copy, length, vnet, k, expected);

		cr_assert_eq(bytes, want, "%s: segment %u of %u: %u bytes, not %u", what, k,
			     s.count, bytes, want);
		cr_assert_eq(memcmp(segment, expected, want), 0, "%s: segment %u of %u differs",
			     what, k, s.count);
		cr_assert(segment >= super && segment + bytes <= super + length);
	}
	cr_assert_eq(packet_cut(copy, length, vnet, k, expected), 0, "%s: segments missing", what);
}

/* What cannot be cut is counted by its length, and nothing is read outside of it. */
Test(segment, packets_of_a_run_that_does_not_fit_its_header)
{
	static const struct {
		uint8_t gso_type, flags;
		uint16_t gso_size, csum_start;
		uint32_t length, packets;
	} rows[] = {
		{VIRTIO_NET_HDR_GSO_NONE, 0, 0, 0, 1300, 1},
		{VIRTIO_NET_HDR_GSO_NONE, 0, 0, 0, 0, 1},
		{VIRTIO_NET_HDR_GSO_TCPV4, 1, 0, 20, 1300, 1},
		{VIRTIO_NET_HDR_GSO_TCPV4, 1, 100, 20, 0, 1},
		{VIRTIO_NET_HDR_GSO_TCPV4, 1, 100, 20, 1, 1},
		{VIRTIO_NET_HDR_GSO_TCPV4, 1, 100, 20, 32, 1},
		{VIRTIO_NET_HDR_GSO_TCPV4, 1, 100, 65535, 300, 3},
		{VIRTIO_NET_HDR_GSO_TCPV4, 0, 100, 0, 301, 4},
		{VIRTIO_NET_HDR_GSO_UDP_L4, 1, 100, 65535, 300, 3},
		{VIRTIO_NET_HDR_GSO_UDP_L4, 1, 100, 20, 28, 1},
		{VIRTIO_NET_HDR_GSO_UDP_L4, 1, 100, 20, 328, 3},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct virtio_net_hdr vnet = {.flags = rows[i].flags,
					      .gso_type = rows[i].gso_type,
					      .gso_size = rows[i].gso_size,
					      .csum_start = rows[i].csum_start};
		uint8_t *packet = malloc(rows[i].length + !rows[i].length); /* its end is watched */

		memset(packet, 0xff, rows[i].length);
		cr_assert_eq(vnet_packets(&vnet, packet, rows[i].length), rows[i].packets,
			     "row %zu", i);
		free(packet);
	}
}

/* Any size with equal weight per power of two, so that small ones are not rare. */
static uint32_t random_size(struct packet_random *r, uint32_t max)
{
	uint32_t size = 1 + packet_below(r, 1u << packet_below(r, 17));

	return size < max ? size : max;
}

/* PROTOCOL.md 13.4 row 57. */
Test(segment, random_super_packets_equal_the_slow_reference)
{
	struct packet_random r = {SEED};
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP};
	uint8_t options[40], ip_options[40];

	for (int round = 0; round < 100000; round++) {
		struct packet p = {.version = packet_below(&r, 2) ? 4 : 6, .partial = true};
		struct virtio_net_hdr vnet;
		uint32_t headers, length, gso;
		char what[80];

		packet_fill(&r, options, sizeof(options));
		packet_fill(&r, ip_options, sizeof(ip_options));
		p.protocol = protocols[packet_below(&r, 2)];
		p.tos = (uint8_t)packet_random(&r);
		p.flow_label = packet_below(&r, 1 << 20);
		p.ip_id = (uint16_t)packet_random(&r);
		p.df = packet_below(&r, 2);
		p.source_port = (uint16_t)packet_random(&r);
		p.dest_port = (uint16_t)packet_random(&r);
		p.sequence = packet_below(&r, 4) ? packet_random(&r) : 0xffffff00;
		p.ack = packet_random(&r);
		p.tcp_flags = (uint8_t)packet_random(&r);
		p.window = (uint16_t)packet_random(&r);
		p.urgent = (uint16_t)packet_random(&r);
		p.tcp_options = options;
		p.tcp_options_bytes = packet_below(&r, 11) * 4;
		p.ip_options = ip_options;
		p.ip_options_bytes = packet_below(&r, 8) ? 0 : packet_below(&r, 11) * 4;
		headers = (p.version == 4 ? 20 + p.ip_options_bytes : 40) +
			  (p.protocol == IPPROTO_TCP ? 20 + p.tcp_options_bytes : 8);
		p.payload_bytes = random_size(&r, 65535 - headers);
		length = packet_build(super, &p);
		packet_fill(&r, super + headers, p.payload_bytes);

		/* Mostly up to 128 segments; now and then one byte each. */
		gso = random_size(&r, 65535);
		if (gso < p.payload_bytes / 128 && packet_below(&r, 100))
			gso = p.payload_bytes / 128 + 1;
		vnet = packet_vnet(super, (uint16_t)gso);
		vnet.hdr_len = (uint16_t)packet_random(&r); /* not to be trusted */
		if (p.protocol == IPPROTO_TCP && p.tcp_flags & TCP_CWR)
			vnet.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
		snprintf(what, sizeof(what), "seed %d round %d", SEED, round);
		check_cut(length, &vnet, what);
	}
}

Test(segment, one_byte_segments_of_a_full_packet)
{
	struct packet p = {.version = 4,
			   .protocol = IPPROTO_TCP,
			   .payload_bytes = 65535 - 40,
			   .tcp_flags = TCP_ACK | TCP_PSH | TCP_FIN | TCP_CWR,
			   .ip_id = 65000};
	uint32_t length = packet_build(super, &p);
	struct virtio_net_hdr vnet = packet_vnet(super, 1);

	check_cut(length, &vnet, "gso_size 1");
}

Test(segment, flags_only_where_they_belong)
{
	struct packet p = {.version = 6,
			   .protocol = IPPROTO_TCP,
			   .payload_bytes = 300,
			   .tcp_flags = TCP_ACK | TCP_PSH | TCP_FIN | TCP_CWR | TCP_ECE};
	static const uint8_t flags[3] = {TCP_ACK | TCP_CWR | TCP_ECE, TCP_ACK | TCP_ECE,
					 TCP_ACK | TCP_PSH | TCP_FIN | TCP_ECE};
	uint32_t length = packet_build(super, &p), bytes;
	struct virtio_net_hdr vnet = packet_vnet(super, 100);
	struct segmenter s;

	cr_assert_eq(begin(&s, length, &vnet), DROP_NONE);
	cr_assert_eq(s.count, 3);
	for (int k = 0; k < 3; k++)
		cr_expect_eq(segment_next(&s, &bytes)[40 + 13], flags[k], "segment %d", k);
}

/* The pseudo header of a routed packet holds the final destination, which the kernel summed. */
Test(segment, routing_header_keeps_the_kernels_pseudo_sum)
{
	static const uint8_t routing[24] = {IPPROTO_TCP, 2, 0, 1, [8] = 0xfd, [23] = 9};
	struct packet p = {.version = 6,
			   .protocol = IPPROTO_TCP,
			   .payload_bytes = 250,
			   .tcp_flags = TCP_ACK,
			   .extension = routing,
			   .extension_bytes = sizeof(routing),
			   .extension_first = IPPROTO_ROUTING,
			   .partial = true};
	uint32_t length = packet_build(super, &p), bytes;
	struct virtio_net_hdr vnet = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				      .gso_type = 4,
				      .gso_size = 100,
				      .csum_start = 64,
				      .csum_offset = 16};
	uint8_t *field = super + 64 + 16;
	struct segmenter s;
	uint32_t partial = field[0] * 256u + field[1] + 7; /* final destination is ::9, not ::2 */

	field[0] = (uint8_t)(partial >> 8);
	field[1] = (uint8_t)partial;
	cr_assert_eq(begin(&s, length, &vnet), DROP_NONE);
	for (uint32_t k = 0; k < 3; k++) {
		const uint8_t *segment = segment_next(&s, &bytes);

		/* As the last router leaves it: final destination, no routing header. */
		memcpy(expected, segment, 40);
		memcpy(expected + 40, segment + 64, bytes - 64);
		expected[6] = IPPROTO_TCP;
		expected[39] = 9;
		packet_fix(expected, bytes - 24);
		cr_expect_eq(memcmp(expected + 56, segment + 80, 2), 0, "segment %u", k);
	}
}

/* Who joined it had looked at its checksums, and says nothing of where they stand. */
Test(segment, without_needs_csum_the_checksums_are_made_all_the_same)
{
	static const uint8_t nothing[4] = {1, 1, 1, 1};

	for (int i = 0; i < 8; i++) {
		struct packet p = {.version = i & 1 ? 4 : 6,
				   .protocol = i & 2 ? IPPROTO_TCP : IPPROTO_UDP,
				   .ip_options = nothing,
				   .ip_options_bytes = i & 4 ? 4 : 0,
				   .tcp_flags = TCP_ACK,
				   .payload_bytes = 2501};
		uint32_t length = packet_build(super, &p), bytes;
		struct virtio_net_hdr vnet = packet_vnet(super, 1000), bare = vnet;
		struct segmenter s;

		memcpy(copy, super, length);
		bare.flags = 0;
		bare.csum_start = bare.csum_offset = 0;
		cr_assert_eq(begin(&s, length, &bare), DROP_NONE);
		cr_assert_eq(s.count, 3);
		for (uint32_t k = 0; k < s.count; k++) {
			const uint8_t *segment = segment_next(&s, &bytes);
			cr_assert_eq(packet_cut(copy, length, &vnet, k, expected), bytes);
			cr_expect_arr_eq(segment, expected, bytes, "case %d, segment %u", i, k);
		}
	}
}

Test(segment, without_gso_the_packet_passes_as_it_is)
{
	struct packet p = {.version = 4, .protocol = IPPROTO_UDP, .payload_bytes = 77};
	uint32_t length = packet_build(super, &p), bytes;
	struct virtio_net_hdr vnet = {0};
	struct segmenter s;

	memcpy(copy, super, length);
	super[26] ^= 0x55; /* a wrong checksum stays wrong */
	copy[26] ^= 0x55;
	cr_assert_eq(begin(&s, length, &vnet), DROP_NONE);
	cr_assert_eq(s.count, 1);
	cr_assert_eq(segment_next(&s, &bytes), super);
	cr_assert_eq(bytes, length);
	cr_assert_eq(memcmp(super, copy, length), 0);
}

Test(segment, needs_csum_is_completed)
{
	for (int i = 0; i < 4; i++)
		for (uint32_t payload = 0; payload < 300; payload++) {
			struct packet p = {.version = i & 1 ? 4 : 6,
					   .protocol = i & 2 ? IPPROTO_TCP : IPPROTO_UDP,
					   .payload_bytes = payload};
			uint32_t length = packet_build(copy, &p), bytes;
			struct virtio_net_hdr vnet = packet_vnet(copy, 0);
			struct segmenter s;

			p.partial = true;
			packet_build(super, &p);
			vnet.gso_type = VIRTIO_NET_HDR_GSO_NONE;
			cr_assert_eq(begin(&s, length, &vnet), DROP_NONE);
			cr_assert_eq(segment_next(&s, &bytes), super);
			cr_assert_eq(bytes, length);
			cr_assert_eq(memcmp(super, copy, length), 0, "case %d, %u", i, payload);
		}
}

/* A payload word chosen so that the sum is 0xffff: its complement, 0, would mean "none". */
Test(segment, udp_checksum_zero_is_written_as_ffff)
{
	for (int gso = 0; gso < 2; gso++) {
		uint8_t payload[2] = {0, 0};
		struct packet p = {.version = 4,
				   .protocol = IPPROTO_UDP,
				   .payload = payload,
				   .payload_bytes = 2,
				   .source_port = 5,
				   .dest_port = 7};
		struct virtio_net_hdr vnet;
		uint32_t length = packet_build(super, &p), bytes;
		struct segmenter s;

		payload[0] = super[26];
		payload[1] = super[27];
		p.partial = true;
		packet_build(super, &p);
		vnet = packet_vnet(super, 2);
		if (!gso)
			vnet.gso_type = VIRTIO_NET_HDR_GSO_NONE;
		cr_assert_eq(begin(&s, length, &vnet), DROP_NONE);
		segment_next(&s, &bytes);
		cr_assert_eq(super[26] << 8 | super[27], 0xffff);
	}
}

struct refusal {
	const char *what;
	int version;
	uint8_t protocol;
	uint8_t set_flags, gso_type;
	uint16_t gso_size, csum_start, csum_offset;
	uint8_t data_offset; /* of TCP, in words; 0: leave */
};

/* PROTOCOL.md 11.2. */
Test(segment, headers_that_do_not_fit_are_refused)
{
	static const struct refusal rows[] = {
		{"receive side coalescing", 4, IPPROTO_TCP, 5, 1, 100, 20, 16, 0},
		{"the same without GSO", 4, IPPROTO_TCP, 4, 0, 100, 20, 16, 0},
		{"gso_size 0", 4, IPPROTO_TCP, 1, 1, 0, 20, 16, 0},
		{"gso_size 0, UDP", 6, IPPROTO_UDP, 1, 5, 0, 40, 6, 0},
		{"ECN on UDP", 4, IPPROTO_UDP, 1, 0x85, 100, 20, 6, 0},
		{"ECN alone", 4, IPPROTO_TCP, 1, 0x80, 100, 20, 16, 0},
		{"TCPv4 on IPv6", 6, IPPROTO_TCP, 1, 1, 100, 40, 16, 0},
		{"TCPv6 on IPv4", 4, IPPROTO_TCP, 1, 4, 100, 20, 16, 0},
		{"TCP on UDP", 4, IPPROTO_UDP, 1, 1, 100, 20, 6, 0},
		{"UDP on TCP", 4, IPPROTO_TCP, 1, 5, 100, 20, 16, 0},
		{"UFO", 4, IPPROTO_UDP, 1, 3, 100, 20, 6, 0},
		{"unknown type", 4, IPPROTO_UDP, 1, 77, 100, 20, 6, 0},
		{"csum_start elsewhere", 4, IPPROTO_TCP, 1, 1, 100, 24, 16, 0},
		{"csum_start at the end, no GSO", 4, IPPROTO_TCP, 1, 0, 0, 340, 0, 0},
		{"csum_start beyond, no GSO", 4, IPPROTO_TCP, 1, 0, 0, 65535, 65535, 0},
		{"checksum field beyond, no GSO", 4, IPPROTO_TCP, 1, 0, 0, 20, 319, 0},
		{"data offset below 5", 4, IPPROTO_TCP, 1, 1, 100, 20, 16, 4},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct refusal *row = &rows[i];
		struct packet p = {.version = row->version, .protocol = row->protocol};
		struct virtio_net_hdr vnet = {.flags = row->set_flags,
					      .gso_type = row->gso_type,
					      .gso_size = row->gso_size,
					      .csum_start = row->csum_start,
					      .csum_offset = row->csum_offset};
		struct segmenter s;
		uint32_t length;

		p.payload_bytes = row->protocol == IPPROTO_TCP ? 300 : 312;
		length = packet_build(super, &p);
		if (row->data_offset)
			super[20 + 12] = (uint8_t)(row->data_offset << 4);
		cr_expect_eq(begin(&s, length, &vnet), DROP_INNER_GSO, "%s", row->what);
	}
}

Test(segment, short_and_long_headers_are_refused)
{
	struct packet p = {.version = 4, .protocol = IPPROTO_TCP, .payload_bytes = 10};
	uint8_t hop[56] = {IPPROTO_TCP, 6}, options[40] = {0};
	uint32_t length = packet_build(super, &p);
	struct virtio_net_hdr vnet = packet_vnet(super, 4);
	struct segmenter s;

	super[20 + 12] = 8 << 4; /* 32 bytes of header, 30 there */
	cr_expect_eq(begin(&s, length, &vnet), DROP_INNER_GSO, "data offset beyond the packet");
	super[3] = 36;
	cr_expect_eq(begin(&s, 36, &vnet), DROP_INNER_GSO, "no whole TCP header");
	packet_udp(super, 1, 5000, 10);
	vnet = packet_vnet(super, 4);
	super[3] = 27;
	cr_expect_eq(begin(&s, 27, &vnet), DROP_INNER_GSO, "no whole UDP header");

	p = (struct packet){.version = 6,
			    .protocol = IPPROTO_TCP,
			    .payload_bytes = 10,
			    .extension = hop,
			    .extension_bytes = sizeof(hop),
			    .tcp_options = options,
			    .tcp_options_bytes = 4};
	length = packet_build(super, &p);
	vnet = (struct virtio_net_hdr){
		.flags = 1, .gso_type = 4, .gso_size = 4, .csum_start = 96, .csum_offset = 16};
	cr_expect_eq(begin(&s, length, &vnet), DROP_NONE, "120 bytes of header fit");
	p.tcp_options_bytes = 8;
	length = packet_build(super, &p);
	cr_expect_eq(begin(&s, length, &vnet), DROP_INNER_GSO, "124 do not");
}

Test(segment, fragments_and_oversize_are_refused)
{
	struct packet p = {.version = 6, .protocol = IPPROTO_TCP, .payload_bytes = 65535 - 20};
	uint32_t length = packet_build(super, &p); /* 65,575: the most IPv6 can say */
	struct virtio_net_hdr vnet = packet_vnet(super, 1000);
	struct segmenter s;

	cr_expect_eq(begin(&s, length, &vnet), DROP_INNER_GSO, "%u bytes", length);
	p = (struct packet){
		.version = 4, .protocol = IPPROTO_TCP, .payload_bytes = 500, .fragment = 10};
	length = packet_build(super, &p);
	vnet = packet_vnet(super, 100);
	cr_expect_eq(begin(&s, length, &vnet), DROP_INNER_GSO, "fragment");
}
