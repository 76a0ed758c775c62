/*
 * Unit tests of dataplane/io/join.c: the table of PROTOCOL.md 11.5 row by row, then mixed flows
 * through the in-place protocol, cut again by the slow cutter and compared with what went in.
 */
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/join.h"
#include "io/segment.h"
#include "packets.h"

#define SEED 57

static uint8_t area[70000], before[70000], scratch[70000];

static enum join_kind classify(const uint8_t *packet, uint32_t length, struct inner *inner)
{
	cr_assert_eq(inner_parse(packet, length, INBOUND, inner), DROP_NONE);
	return join_classify(packet, length, inner, true, true);
}

static void begin(struct chain *chain, uint32_t length, uint32_t capacity)
{
	struct inner inner;

	cr_assert_eq(classify(area, length, &inner), JOIN_DATA);
	join_begin(chain, area, length, capacity, &inner);
}

/* Opens packet at its place and says whether it joined; on refusal everything must be as before. */
static bool offer(struct chain *chain, const uint8_t *packet, uint32_t length)
{
	uint8_t saved[INNER_HEADER_MAX], *place;
	struct chain old = *chain;
	enum join_kind kind;
	struct inner inner;
	bool joined;

	memcpy(before, area, chain->length);
	place = join_place(chain, length, saved);
	if (!place)
		return false;
	memcpy(place, packet, length);
	kind = classify(place, length, &inner);
	joined = join_accept(chain, place, length, &inner, kind, saved);
	if (!joined) {
		cr_assert_eq(memcmp(place, packet, length), 0, "a refused packet was changed");
		cr_assert_eq(memcmp(chain, &old, sizeof(old)), 0, "a refused packet left traces");
		join_restore(chain, saved);
	}
	cr_assert_eq(memcmp(before, area, old.length), 0, "the chain was damaged");
	return joined;
}

static struct packet data(int version, uint8_t protocol)
{
	return (struct packet){.version = version,
			       .protocol = protocol,
			       .source_port = 1000,
			       .dest_port = 2000,
			       .payload_bytes = 100,
			       .sequence = 5000,
			       .ack = 77,
			       .window = 500,
			       .tcp_flags = TCP_ACK,
			       .ip_id = 9,
			       .flow_label = 0x12345,
			       .tos = 2};
}

static struct packet following(const struct packet *p)
{
	struct packet next = *p;

	next.sequence += p->payload_bytes;
	next.ip_id++;
	return next;
}

/* --- classify ----------------------------------------------------------------------------------
 */

static enum join_kind kind_of(const struct packet *p)
{
	struct inner inner;
	uint32_t length = packet_build(scratch, p);

	return classify(scratch, length, &inner);
}

Test(join, tcp_flags_decide_the_kind)
{
	for (int version = 4; version <= 6; version += 2)
		for (int payload = 0; payload < 2; payload++)
			for (int flags = 0; flags < 256; flags++) {
				struct packet p = data(version, IPPROTO_TCP);
				enum join_kind expected = payload ? JOIN_DATA : JOIN_PURE_ACK;

				p.payload_bytes = payload;
				p.tcp_flags = (uint8_t)flags;
				if (!(flags & TCP_ACK) || flags & ~(TCP_ACK | TCP_PSH | TCP_ECE))
					expected = JOIN_ALONE;
				cr_assert_eq(kind_of(&p), expected, "version %d flags %x", version,
					     flags);
			}
}

Test(join, header_shape_decides_the_kind)
{
	static const uint8_t options[4] = {1, 1, 1, 0};
	static const uint8_t hop[8] = {IPPROTO_TCP, 0, 1, 4};
	struct packet p = data(4, IPPROTO_TCP);
	struct inner inner;
	uint32_t length;

	p.ip_options = options;
	p.ip_options_bytes = 4;
	cr_expect_eq(kind_of(&p), JOIN_BARRIER, "IPv4 options");
	p = data(4, IPPROTO_TCP);
	p.fragment = 0x2000;
	cr_expect_eq(kind_of(&p), JOIN_BARRIER, "first fragment");
	p.fragment = 100;
	cr_expect_eq(kind_of(&p), JOIN_BARRIER, "later fragment");
	p = data(6, IPPROTO_TCP);
	p.extension = hop;
	p.extension_bytes = 8;
	cr_expect_eq(kind_of(&p), JOIN_BARRIER, "IPv6 extension header");
	p = data(4, IPPROTO_ICMP);
	cr_expect_eq(kind_of(&p), JOIN_ALONE, "ICMP");
	p = data(6, 253);
	cr_expect_eq(kind_of(&p), JOIN_ALONE, "unknown protocol");

	p = data(4, IPPROTO_TCP);
	length = packet_build(scratch, &p);
	scratch[32] = 4 << 4;
	cr_expect_eq(classify(scratch, length, &inner), JOIN_BARRIER, "data offset 4");
	p.payload_bytes = 3;
	length = packet_build(scratch, &p);
	scratch[32] = 6 << 4;
	cr_expect_eq(classify(scratch, length, &inner), JOIN_BARRIER, "data offset beyond");
	scratch[32] = 5 << 4 | 1;
	packet_fix(scratch, length);
	cr_expect_eq(classify(scratch, length, &inner), JOIN_ALONE, "reserved bit");
	p = data(4, 253);
	p.payload_bytes = 19;
	length = packet_build(scratch, &p);
	scratch[9] = IPPROTO_TCP;
	cr_expect_eq(classify(scratch, length, &inner), JOIN_BARRIER, "TCP header cut short");
	p.payload_bytes = 7;
	length = packet_build(scratch, &p);
	scratch[9] = IPPROTO_UDP;
	cr_expect_eq(classify(scratch, length, &inner), JOIN_BARRIER, "UDP header cut short");
}

static void sub16(uint8_t *field, int value)
{
	int now = field[0] << 8 | field[1];

	field[0] = (uint8_t)((now - value) >> 8);
	field[1] = (uint8_t)(now - value);
}

Test(join, udp_shapes)
{
	struct packet p = data(4, IPPROTO_UDP);
	struct inner inner;
	uint32_t length;

	cr_expect_eq(kind_of(&p), JOIN_DATA);
	p.payload_bytes = 0;
	cr_expect_eq(kind_of(&p), JOIN_ALONE, "zero-length datagram");
	p.payload_bytes = 10;
	p.no_checksum = true;
	cr_expect_eq(kind_of(&p), JOIN_ALONE, "no checksum");
	p.version = 6;
	cr_expect_eq(kind_of(&p), JOIN_ALONE, "no checksum, IPv6");
	p.no_checksum = false;
	length = packet_build(scratch, &p);
	scratch[45]--;
	packet_fix(scratch, length);
	cr_expect_eq(classify(scratch, length, &inner), JOIN_ALONE, "UDP length is not IP's");

	/* UDP-Lite that covers all of itself is UDP but for its number; the kernel cuts none */
	p = data(4, IPPROTO_UDP);
	p.ip_id = 1000;
	length = packet_build(scratch, &p);
	scratch[9] = IPPROTO_UDPLITE;
	sub16(scratch + 4, IPPROTO_UDPLITE - IPPROTO_UDP);  /* identification: both checksums */
	sub16(scratch + 20, IPPROTO_UDPLITE - IPPROTO_UDP); /* and source port: are right */
	cr_expect_eq(classify(scratch, length, &inner), JOIN_ALONE, "UDP-Lite");
	scratch[9] = IPPROTO_UDP;
	packet_fix(scratch, length);
	cr_expect_eq(classify(scratch, length, &inner), JOIN_DATA);
}

Test(join, without_offloads_nothing_joins)
{
	for (int version = 4; version <= 6; version += 2)
		for (int i = 0; i < 2; i++) {
			struct packet p = data(version, i ? IPPROTO_TCP : IPPROTO_UDP);
			uint32_t length = packet_build(scratch, &p);
			struct inner inner;

			classify(scratch, length, &inner);
			cr_expect_eq(join_classify(scratch, length, &inner, i == 0, i == 1),
				     JOIN_ALONE);
			cr_expect_eq(join_classify(scratch, length, &inner, i == 1, i == 0),
				     JOIN_DATA);
		}
}

/* One flipped bit anywhere that a checksum covers must keep the packet out of a chain. */
Test(join, any_corrupt_bit_keeps_a_packet_alone)
{
	for (int i = 0; i < 4; i++) {
		struct packet p = data(i & 1 ? 4 : 6, i & 2 ? IPPROTO_TCP : IPPROTO_UDP);
		uint32_t length = packet_build(area, &p);
		struct inner inner;

		for (uint32_t bit = 0; bit < length * 8; bit++) {
			memcpy(scratch, area, length);
			scratch[bit / 8] ^= (uint8_t)(1 << bit % 8);
			/* IPv6 class, label and hop limit are under no checksum. */
			if ((p.version == 6 && (bit < 32 || bit / 8 == 7)) ||
			    inner_parse(scratch, length, INBOUND, &inner) != DROP_NONE)
				continue;
			cr_assert_neq(join_classify(scratch, length, &inner, true, true), JOIN_DATA,
				      "case %d bit %u", i, bit);
		}
	}
}

/* 0 and 0xffff both verify, but only one of them comes back when the kernel cuts the chain. */
Test(join, other_zero_of_a_checksum_keeps_a_packet_alone)
{
	uint8_t payload[2] = {0, 0};
	struct packet p = data(4, IPPROTO_TCP);
	struct inner inner;
	uint32_t length;

	p.payload = payload;
	p.payload_bytes = 2;
	packet_build(scratch, &p);
	memcpy(payload, scratch + 36, 2);
	length = packet_build(scratch, &p);
	cr_assert(scratch[36] == 0 && scratch[37] == 0);
	cr_expect_eq(classify(scratch, length, &inner), JOIN_DATA);
	scratch[36] = scratch[37] = 0xff;
	cr_expect_eq(classify(scratch, length, &inner), JOIN_ALONE);

	p = data(4, IPPROTO_TCP);
	p.ip_id = 0;
	packet_build(scratch, &p);
	p.ip_id = (uint16_t)(scratch[10] << 8 | scratch[11]);
	length = packet_build(scratch, &p);
	cr_assert(scratch[10] == 0 && scratch[11] == 0);
	cr_expect_eq(classify(scratch, length, &inner), JOIN_DATA);
	scratch[10] = scratch[11] = 0xff;
	cr_expect_eq(classify(scratch, length, &inner), JOIN_ALONE);

	/* UDP's zero says that there is none, also where it would be right */
	p = data(4, IPPROTO_UDP);
	payload[0] = payload[1] = 0;
	p.payload = payload;
	p.payload_bytes = 2;
	packet_build(scratch, &p);
	memcpy(payload, scratch + 26, 2);
	length = packet_build(scratch, &p);
	cr_assert(scratch[26] == 0xff && scratch[27] == 0xff);
	cr_expect_eq(classify(scratch, length, &inner), JOIN_DATA);
	scratch[26] = scratch[27] = 0;
	cr_expect_eq(classify(scratch, length, &inner), JOIN_ALONE);
}

Test(join, bytes_after_the_ip_length_keep_a_packet_alone)
{
	struct packet p = data(4, IPPROTO_TCP);
	uint32_t length = packet_build(scratch, &p);
	struct inner inner;

	cr_expect_eq(classify(scratch, length + 1, &inner), JOIN_ALONE);
	p.payload_bytes = 0;
	length = packet_build(scratch, &p);
	cr_expect_eq(classify(scratch, length + 6, &inner), JOIN_PURE_ACK);

	/* also where they make up for what they add to the checksum */
	for (int udp = 0; udp < 2; udp++) {
		p = data(4, udp ? IPPROTO_UDP : IPPROTO_TCP);
		length = packet_build(scratch, &p);
		cr_assert_eq(length % 2, 0);
		scratch[length] = 0xff;
		scratch[length + 1] = 0xfd;
		cr_expect_eq(classify(scratch, length, &inner), JOIN_DATA);
		cr_expect_eq(classify(scratch, length + 2, &inner), JOIN_ALONE);
	}
}

/* An IPv6 packet may be longer than a super-packet. */
Test(join, longer_than_the_kernel_takes_keeps_a_packet_alone)
{
	for (uint32_t over = 0; over < 2; over++) {
		struct packet p = data(6, IPPROTO_TCP);
		struct inner inner;

		p.payload_bytes = JOIN_BYTES_MAX - 60 + over;
		uint32_t length = packet_build(scratch, &p);
		cr_assert_eq(length, JOIN_BYTES_MAX + over);
		cr_expect_eq(classify(scratch, length, &inner), over ? JOIN_ALONE : JOIN_DATA);
	}
}

/* --- what must be equal ------------------------------------------------------------------------
 */

static const uint8_t stamp_a[12] = {1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2};
static const uint8_t stamp_b[12] = {1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 3};

/* clang-format off: a table, not code */
enum change {
	SAME,
	SOURCE,
	DESTINATION,
	SOURCE_PORT,
	DEST_PORT,
	TOS,
	ECN,
	TTL,
	LABEL,
	DF,
	ID_BACK,
	ID_GAP,
	ID_DF,
	GAP,
	OVERLAP,
	ACKNOWLEDGED,
	WINDOW,
	URGENT,
	OPTIONS,
	NO_OPTIONS,
	ECHO,
	SHORTER,
	LONGER,
	EQUAL_PUSH,
	CHANGES
};

static void change(struct packet *p, enum change what)
{
	switch (what) {
	case SOURCE:
		p->source = 9;
		break;
	case DESTINATION:
		p->destination = 9;
		break;
	case SOURCE_PORT:
		p->source_port++;
		break;
	case DEST_PORT:
		p->dest_port++;
		break;
	case TOS:
		p->tos ^= 0x80;
		break;
	case ECN:
		p->tos |= 3;
		break;
	case TTL:
		p->ttl = 63;
		break;
	case LABEL:
		p->flow_label ^= 1;
		break;
	case DF:
		p->df = true;
		break;
	case ID_BACK:
		p->ip_id--;
		break;
	case ID_GAP:
		p->ip_id++;
		break;
	case ID_DF:
		break; /* both DF, see below */
	case GAP:
		p->sequence++;
		break;
	case OVERLAP:
		p->sequence--;
		break;
	case ACKNOWLEDGED:
		p->ack++;
		break;
	case WINDOW:
		p->window--;
		break;
	case URGENT:
		p->urgent = 1;
		break;
	case OPTIONS:
		p->tcp_options = stamp_b;
		break;
	case NO_OPTIONS:
		p->tcp_options_bytes = 0;
		break;
	case ECHO:
		p->tcp_flags |= TCP_ECE;
		break;
	case SHORTER:
		p->payload_bytes--;
		break;
	case LONGER:
		p->payload_bytes++;
		break;
	case EQUAL_PUSH:
		p->tcp_flags |= TCP_PSH;
		break;
	default:
		break;
	}
}

/* clang-format on */

static bool joins(enum change what, int version, uint8_t protocol)
{
	bool tcp = protocol == IPPROTO_TCP;

	switch (what) {
	case SAME:
	case SHORTER:
	case EQUAL_PUSH:
	case ID_DF:
		return true;
	case LABEL:
		return version == 4;
	case DF:
	case ID_BACK:
	case ID_GAP:
		return version == 6;
	case GAP:
	case OVERLAP:
	case ACKNOWLEDGED:
	case WINDOW:
	case URGENT:
	case OPTIONS:
	case NO_OPTIONS:
	case ECHO:
		return !tcp;
	default:
		return false;
	}
}

Test(join, what_must_be_equal)
{
	for (int i = 0; i < 4 * CHANGES; i++) {
		enum change what = (enum change)(i / 4);
		int version = i & 1 ? 4 : 6;
		uint8_t protocol = i & 2 ? IPPROTO_TCP : IPPROTO_UDP;
		struct packet first = data(version, protocol), next;
		struct chain chain;
		uint32_t length;
		bool closes;

		first.tcp_options = stamp_a;
		first.tcp_options_bytes = sizeof(stamp_a);
		first.df = what == ID_DF;
		next = following(&first);
		if (what == ID_DF)
			next.ip_id = 4711;
		change(&next, what);
		begin(&chain, packet_build(area, &first), sizeof(area));
		length = packet_build(scratch, &next);
		cr_assert_eq(offer(&chain, scratch, length), joins(what, version, protocol),
			     "change %d version %d protocol %d", what, version, protocol);
		closes = what == SHORTER || (what == EQUAL_PUSH && protocol == IPPROTO_TCP);
		cr_assert_eq(chain.closed, closes, "change %d", what);
	}
}

/* May this bit of a header differ? Identifications may while fragments are forbidden. */
static bool may_differ(const struct packet *p, uint32_t byte, uint8_t bit)
{
	uint32_t l4 = p->version == 4 ? 20 : 40;

	if (p->version == 4 && (byte == 4 || byte == 5))
		return p->df;
	if (p->version == 4 && (byte == 10 || byte == 11))
		return true; /* packet_fix() has put it right again, as in the next two */
	if (p->protocol == IPPROTO_UDP)
		return byte == l4 + 6 || byte == l4 + 7;
	return byte == l4 + 16 || byte == l4 + 17 || (byte == l4 + 13 && bit == TCP_PSH);
}

/* Every single bit of the header, with checksums that are right again. */
Test(join, every_bit_that_must_be_equal)
{
	static const uint8_t options[12] = {1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8};

	for (int shape = 0; shape < 8; shape++) {
		struct packet p = data(shape & 1 ? 6 : 4, shape & 2 ? IPPROTO_UDP : IPPROTO_TCP);

		p.df = shape & 4;
		p.tcp_options = options;
		p.tcp_options_bytes = p.protocol == IPPROTO_TCP ? sizeof(options) : 0;
		struct packet q = following(&p);
		uint32_t headers = packet_build(scratch, &p) - p.payload_bytes;

		for (uint32_t i = 0; i < headers * 8; i++) {
			uint8_t bit = (uint8_t)(1 << i % 8);
			struct chain chain;
			struct inner inner;

			begin(&chain, packet_build(area, &p), sizeof(area));
			uint32_t length = packet_build(scratch, &q);
			scratch[i / 8] ^= bit;
			if (inner_parse(scratch, length, INBOUND, &inner) != DROP_NONE ||
			    !inner.plain_ip)
				continue; /* never offered, or a barrier */
			packet_fix(scratch, length);
			enum join_kind kind = join_classify(scratch, length, &inner, true, true);
			cr_expect_eq(join_append(&chain, scratch, length, &inner, kind) > 0,
				     may_differ(&p, i / 8, bit), "shape %d byte %u bit %x", shape,
				     i / 8, bit);
		}
	}
}

Test(join, push_on_the_first_closes_at_once)
{
	struct packet p = data(4, IPPROTO_TCP), next = following(&p);
	uint8_t saved[INNER_HEADER_MAX];
	struct chain chain;
	struct inner inner;
	uint32_t length;

	p.tcp_flags |= TCP_PSH;
	length = packet_build(area, &p);
	begin(&chain, length, sizeof(area));
	cr_expect_null(join_place(&chain, length, saved));
	length = packet_build(scratch, &next);
	classify(scratch, length, &inner);
	cr_expect_eq(join_append(&chain, scratch, length, &inner, JOIN_DATA), 0);
}

Test(join, sequence_and_id_wrap)
{
	struct packet p = data(4, IPPROTO_TCP), next;
	struct chain chain;

	p.sequence = UINT32_MAX - 50;
	p.ip_id = 65535;
	next = following(&p);
	begin(&chain, packet_build(area, &p), sizeof(area));
	cr_expect(offer(&chain, scratch, packet_build(scratch, &next)));
}

Test(join, same_flow_compares_addresses_protocol_and_ports)
{
	for (int i = 0; i < 4 * CHANGES; i++) {
		enum change what = (enum change)(i / 4);
		struct packet p = data(i & 1 ? 4 : 6, i & 2 ? IPPROTO_TCP : IPPROTO_UDP), q = p;
		struct chain chain;
		struct inner inner;
		bool other = what >= SOURCE && what <= DEST_PORT;

		begin(&chain, packet_build(area, &p), sizeof(area));
		change(&q, what);
		classify(scratch, packet_build(scratch, &q), &inner);
		cr_assert_eq(join_same_flow(&chain, scratch, &inner), !other, "change %d", what);
		uint32_t first = p.version == 4 ? 12 : 8, end = p.version == 4 ? 20 : 40;
		for (uint32_t at = first; at < end && !other; at++) {
			scratch[at] ^= 0x80;
			cr_assert_not(join_same_flow(&chain, scratch, &inner), "byte %u", at);
			scratch[at] ^= 0x80;
		}
		q = p;
		q.protocol = p.protocol == IPPROTO_TCP ? IPPROTO_UDP : IPPROTO_TCP;
		classify(scratch, packet_build(scratch, &q), &inner);
		cr_assert_not(join_same_flow(&chain, scratch, &inner));
		q = p;
		q.fragment = 50; /* what looks like ports is data */
		if (p.version == 4) {
			classify(scratch, packet_build(scratch, &q), &inner);
			cr_assert_not(join_same_flow(&chain, scratch, &inner));
		}
		q = p;
		q.version = 10 - p.version;
		classify(scratch, packet_build(scratch, &q), &inner);
		cr_assert_not(join_same_flow(&chain, scratch, &inner));
	}
}

/* --- limits ------------------------------------------------------------------------------------
 */

Test(join, bounds_of_segments_bytes_and_capacity)
{
	static const struct {
		uint32_t payload, capacity, expected; /* packets that fit */
	} rows[] = {
		{1, 70000, JOIN_SEGMENTS_MAX},
		{1000, 70000, JOIN_SEGMENTS_MAX},
		{1300, 70000, (JOIN_BYTES_MAX - 40) / 1300},
		{65495, 70000, 1},
		{100, 540, 5},
		{100, 539, 4},
		{100, 140, 1},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct packet p = data(4, IPPROTO_TCP);
		struct chain chain;
		uint32_t joined = 1;

		p.payload_bytes = rows[i].payload;
		begin(&chain, packet_build(area, &p), rows[i].capacity);
		for (p = following(&p); joined < 100; joined++, p = following(&p))
			if (!offer(&chain, scratch, packet_build(scratch, &p)))
				break;
		cr_expect_eq(joined, rows[i].expected, "row %zu: %u", i, joined);
		cr_expect_eq(chain.count, joined);
		cr_expect(chain.length <= rows[i].capacity && chain.length <= JOIN_BYTES_MAX);
	}
}

Test(join, no_place_for_what_cannot_continue)
{
	struct packet p = data(6, IPPROTO_TCP);
	uint8_t saved[INNER_HEADER_MAX];
	struct chain chain;

	begin(&chain, packet_build(area, &p), sizeof(area));
	for (uint32_t length = 0; length < 400; length++)
		cr_expect_eq(join_place(&chain, length, saved) != NULL,
			     length > 60 && length <= 160, "%u", length);
	cr_expect_eq(join_place(&chain, 160, saved), area + 100);
}

Test(join, one_packet_stays_as_it_was)
{
	struct packet p = data(6, IPPROTO_UDP);
	uint32_t length = packet_build(area, &p);
	struct virtio_net_hdr vnet, expected = {.flags = VIRTIO_NET_HDR_F_DATA_VALID};
	struct chain chain;

	begin(&chain, length, sizeof(area));
	join_finish(&chain, &vnet);
	packet_build(scratch, &p);
	cr_expect_eq(memcmp(area, scratch, length), 0);
	cr_expect_eq(memcmp(&vnet, &expected, sizeof(vnet)), 0);
}
