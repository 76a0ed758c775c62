/*
 * Unit tests of dataplane/lookup/inner.c: PROTOCOL.md 5.2, and rows 61 to 63 of 13.5.
 */
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "limits.h"
#include "lookup/inner.h"
#include "packets.h"

#define SEED 57

static uint8_t built[70000];

/* Parses bytes of which none beyond length may be read: the next page is not mapped, and a second
 * time from a heap block of exactly that size, for a sanitizer. */
static enum drop parse(const uint8_t *bytes, size_t length, enum direction direction,
		       struct inner *out)
{
	enum drop at_edge = inner_parse(packet_at_edge(bytes, length), length, direction, out);
	uint8_t *exact = malloc(length ? length : 1);
	struct inner again;

	memcpy(exact, bytes, length);
	memset(&again, 0xa5, sizeof(again));
	cr_assert_eq(inner_parse(exact, length, direction, &again), at_edge);
	if (at_edge == DROP_NONE)
		cr_assert_eq(memcmp(&out->flow, &again.flow, sizeof(again.flow)), 0,
			     "bytes of the flow depend on what was there before");
	free(exact);
	return at_edge;
}

/* A fragment header: next, 0, offset * 8 | more, id. */
#define FRAGMENT(next, field) (next), 0, (uint8_t)((field) >> 8), (uint8_t)(field), 1, 2, 3, 4
#define HOP(next)             (next), 0, 1, 4, 0, 0, 0, 0
#define PORTS                 0x12, 0x34, 0x56, 0x78
#define ECHO_ID               8, 0, 0, 0, 0xab, 0xcd, 0, 1
#define ECHO6_ID(type)        (type), 0, 0, 0, 0xab, 0xcd, 0, 1

struct row {
	const char *what;
	int version;
	uint8_t protocol;     /* IPv4: of the header; IPv6: its next header */
	uint16_t v4_fragment; /* fragment word */
	uint8_t v4_options;   /* bytes */
	uint8_t bytes[64];    /* after the IP header (and options) */
	uint8_t length;
	bool drop;
	/* expected */
	uint8_t found; /* protocol */
	uint16_t source, destination;
	bool fragment, plain;
	uint8_t l3_bytes;
};

static const struct row rows[] = {
	{"tcp4",
	 4,
	 6,
	 0,
	 0,
	 {PORTS},
	 4,
	 .found = 6,
	 .source = 0x1234,
	 .destination = 0x5678,
	 .plain = true,
	 .l3_bytes = 20},
	{"udp4",
	 4,
	 17,
	 0x4000,
	 0,
	 {PORTS},
	 8,
	 .found = 17,
	 .source = 0x1234,
	 .destination = 0x5678,
	 .plain = true,
	 .l3_bytes = 20},
	{"any protocol over IPv4 has ports",
	 4,
	 132,
	 0,
	 0,
	 {PORTS},
	 4,
	 .found = 132,
	 .source = 0x1234,
	 .destination = 0x5678,
	 .plain = true,
	 .l3_bytes = 20},
	{"IPv4 options",
	 4,
	 6,
	 0,
	 40,
	 {PORTS},
	 4,
	 .found = 6,
	 .source = 0x1234,
	 .destination = 0x5678,
	 .l3_bytes = 60},
	{"tcp4 without room for ports", 4, 6, 0, 0, {PORTS}, 3, .drop = true},
	{"esp4 without room for ports", 4, 50, 0, 0, {PORTS}, 3, .drop = true},
	{"icmp4",
	 4,
	 1,
	 0,
	 0,
	 {ECHO_ID},
	 6,
	 .found = 1,
	 .source = 0xabcd,
	 .plain = true,
	 .l3_bytes = 20},
	{"icmp4 without identifier", 4, 1, 0, 0, {ECHO_ID}, 5, .drop = true},
	{"first fragment",
	 4,
	 17,
	 0x2000,
	 0,
	 {PORTS},
	 8,
	 .found = 17,
	 .source = 0x1234,
	 .destination = 0x5678,
	 .l3_bytes = 20},
	{"first fragment too short for ports", 4, 17, 0x2000, 0, {PORTS}, 3, .drop = true},
	{"later fragment",
	 4,
	 17,
	 0x2001,
	 0,
	 {PORTS},
	 8,
	 .found = 17,
	 .fragment = true,
	 .l3_bytes = 20},
	{"last fragment, empty",
	 4,
	 6,
	 0x1fff,
	 0,
	 {0},
	 0,
	 .found = 6,
	 .fragment = true,
	 .l3_bytes = 20},

	{"tcp6",
	 6,
	 6,
	 0,
	 0,
	 {PORTS},
	 4,
	 .found = 6,
	 .source = 0x1234,
	 .destination = 0x5678,
	 .plain = true,
	 .l3_bytes = 40},
	{"udp6 without room for ports", 6, 17, 0, 0, {PORTS}, 3, .drop = true},
	{"icmp6 echo request",
	 6,
	 58,
	 0,
	 0,
	 {ECHO6_ID(128)},
	 6,
	 .found = 58,
	 .source = 0xabcd,
	 .plain = true,
	 .l3_bytes = 40},
	{"icmp6 echo reply",
	 6,
	 58,
	 0,
	 0,
	 {ECHO6_ID(129)},
	 8,
	 .found = 58,
	 .source = 0xabcd,
	 .plain = true,
	 .l3_bytes = 40},
	{"icmp6 echo cut", 6, 58, 0, 0, {ECHO6_ID(128)}, 5, .drop = true},
	{"icmp6 unreachable",
	 6,
	 58,
	 0,
	 0,
	 {ECHO6_ID(1)},
	 4,
	 .found = 58,
	 .plain = true,
	 .l3_bytes = 40},
	{"icmp6 cut", 6, 58, 0, 0, {ECHO6_ID(1)}, 3, .drop = true},
	{"no next header", 6, 59, 0, 0, {0}, 0, .found = 59, .plain = true, .l3_bytes = 40},
	/* Row 62: not extension headers, whatever their payload looks like. */
	{"sctp",
	 6,
	 132,
	 0,
	 0,
	 {6, 0, PORTS, PORTS},
	 12,
	 .found = 132,
	 .plain = true,
	 .l3_bytes = 40},
	{"gre", 6, 47, 0, 0, {6, 0, PORTS, PORTS}, 12, .found = 47, .plain = true, .l3_bytes = 40},
	{"ip in ip",
	 6,
	 4,
	 0,
	 0,
	 {6, 0, PORTS, PORTS},
	 12,
	 .found = 4,
	 .plain = true,
	 .l3_bytes = 40},
	{"esp", 6, 50, 0, 0, {6, 0, PORTS, PORTS}, 12, .found = 50, .plain = true, .l3_bytes = 40},
	{"mobility",
	 6,
	 135,
	 0,
	 0,
	 {6, 0, PORTS, PORTS},
	 12,
	 .found = 135,
	 .plain = true,
	 .l3_bytes = 40},
	{"hip",
	 6,
	 139,
	 0,
	 0,
	 {6, 0, PORTS, PORTS},
	 12,
	 .found = 139,
	 .plain = true,
	 .l3_bytes = 40},
	{"shim6",
	 6,
	 140,
	 0,
	 0,
	 {6, 0, PORTS, PORTS},
	 12,
	 .found = 140,
	 .plain = true,
	 .l3_bytes = 40},
	{"experiment",
	 6,
	 253,
	 0,
	 0,
	 {6, 0, PORTS, PORTS},
	 12,
	 .found = 253,
	 .plain = true,
	 .l3_bytes = 40},
	/* chains */
	{"hop by hop",
	 6,
	 0,
	 0,
	 0,
	 {HOP(6), PORTS},
	 12,
	 .found = 6,
	 .source = 0x1234,
	 .destination = 0x5678,
	 .l3_bytes = 48},
	{"routing, destination",
	 6,
	 43,
	 0,
	 0,
	 {HOP(60), HOP(17), PORTS},
	 20,
	 .found = 17,
	 .source = 0x1234,
	 .destination = 0x5678,
	 .l3_bytes = 56},
	{"length 1 is 16 bytes",
	 6,
	 60,
	 0,
	 0,
	 {6, 1, [16] = PORTS},
	 20,
	 .found = 6,
	 .source = 0x1234,
	 .destination = 0x5678,
	 .l3_bytes = 56},
	{"authentication, shortest",
	 6,
	 51,
	 0,
	 0,
	 {6, 0, [8] = PORTS},
	 12,
	 .found = 6,
	 .source = 0x1234,
	 .destination = 0x5678,
	 .l3_bytes = 48},
	{"authentication, 12 bytes",
	 6,
	 51,
	 0,
	 0,
	 {6, 1, [12] = PORTS},
	 16,
	 .found = 6,
	 .source = 0x1234,
	 .destination = 0x5678,
	 .l3_bytes = 52},
	{"length byte 0xff", 6, 0, 0, 0, {6, 0xff, PORTS}, 64, .drop = true},
	{"authentication 0xff", 6, 51, 0, 0, {6, 0xff, PORTS}, 64, .drop = true},
	{"header cut after its first byte", 6, 0, 0, 0, {6}, 1, .drop = true},
	{"header cut before its end", 6, 0, 0, 0, {HOP(59)}, 7, .drop = true},
	{"header ends the packet", 6, 0, 0, 0, {HOP(59)}, 8, .found = 59, .l3_bytes = 48},
	{"tcp announced, nothing there", 6, 0, 0, 0, {HOP(6)}, 8, .drop = true},
	{"first fragment, IPv6",
	 6,
	 44,
	 0,
	 0,
	 {FRAGMENT(17, 1), PORTS},
	 12,
	 .found = 17,
	 .source = 0x1234,
	 .destination = 0x5678,
	 .l3_bytes = 48},
	{"first fragment too short, IPv6", 6, 44, 0, 0, {FRAGMENT(17, 1), PORTS}, 11, .drop = true},
	{"later fragment, IPv6",
	 6,
	 44,
	 0,
	 0,
	 {FRAGMENT(6, 8), PORTS},
	 12,
	 .found = 6,
	 .fragment = true,
	 .l3_bytes = 48},
	{"later fragment names an extension header: not walked",
	 6,
	 44,
	 0,
	 0,
	 {FRAGMENT(0, 0xfff8), HOP(6), PORTS},
	 20,
	 .found = 0,
	 .fragment = true,
	 .l3_bytes = 48},
	{"hop by hop, then later fragment",
	 6,
	 0,
	 0,
	 0,
	 {HOP(44), FRAGMENT(17, 8)},
	 16,
	 .found = 17,
	 .fragment = true,
	 .l3_bytes = 56},
	{"fragment header cut", 6, 44, 0, 0, {FRAGMENT(6, 0)}, 7, .drop = true},
};

static uint32_t build(const struct row *row)
{
	static const uint8_t options[60];
	struct packet p = {.version = row->version,
			   .protocol = row->protocol,
			   .ip_options = options,
			   .ip_options_bytes = row->v4_options};
	uint32_t l3;

	p.protocol = 255; /* so that packet_build adds no L4 header of its own */
	p.fragment = row->v4_fragment;
	p.payload = row->bytes;
	p.payload_bytes = row->length;
	l3 = packet_build(built, &p) - row->length;
	built[row->version == 4 ? 9 : 6] = row->protocol;
	return l3 + row->length;
}

static void check_addresses(const struct row *row, const struct flow *flow, bool inbound)
{
	struct addr source = addr_from_v4(0x0a000001), destination = addr_from_v4(0x0a000002);

	if (row->version == 6) {
		source = (struct addr){{0xfd, [15] = 1}};
		destination = (struct addr){{0xfd, [15] = 2}};
	}
	cr_expect(addr_equal(inbound ? &flow->remote : &flow->local, &source), "%s", row->what);
	cr_expect(addr_equal(inbound ? &flow->local : &flow->remote, &destination), "%s",
		  row->what);
}

Test(inner, every_row_both_ways)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (int inbound = 0; inbound < 2; inbound++) {
			const struct row *row = &rows[i];
			bool icmp = row->found == 1 || row->found == 58;
			uint32_t length = build(row);
			struct inner inner;
			enum drop drop = parse(built, length, inbound ? INBOUND : OUTBOUND, &inner);
			const struct flow *flow = &inner.flow;

			cr_expect_eq(drop, row->drop ? DROP_INNER_PARSE : DROP_NONE, "%s",
				     row->what);
			if (drop != DROP_NONE || row->drop)
				continue;
			check_addresses(row, flow, inbound);
			cr_expect_eq(inner.version, row->version, "%s", row->what);
			cr_expect_eq(inner.l3_bytes, row->l3_bytes, "%s: %u", row->what,
				     inner.l3_bytes);
			cr_expect_eq(inner.plain_ip, row->plain, "%s", row->what);
			cr_expect_eq(inner.ip_length, length, "%s", row->what);
			cr_expect_eq(flow->protocol, row->found, "%s: %u", row->what,
				     flow->protocol);
			cr_expect_eq(flow->fragment, row->fragment, "%s", row->what);
			/* ICMP: the identifier is the remote port whatever the direction. */
			cr_expect_eq(inbound || icmp ? flow->remote_port : flow->local_port,
				     row->source, "%s", row->what);
			cr_expect_eq(inbound || icmp ? flow->local_port : flow->remote_port,
				     row->destination, "%s", row->what);
		}
}

/* A packet cut anywhere is an error; with a length field that admits the cut it is what it is, and
 * nothing beyond the end is read either way. */
Test(inner, every_truncation_of_every_row)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t length = build(&rows[i]), header = rows[i].version == 4 ? 20 : 40;
		struct inner inner;

		for (uint32_t cut = 0; cut < length; cut++) {
			build(&rows[i]);
			cr_assert_eq(parse(built, cut, INBOUND, &inner), DROP_INNER_PARSE,
				     "%s cut to %u", rows[i].what, cut);
			if (cut < header)
				continue;
			built[header == 20 ? 2 : 4] = 0;
			built[header == 20 ? 3 : 5] = (uint8_t)(header == 20 ? cut : cut - 40);
			if (parse(built, cut, INBOUND, &inner) == DROP_NONE)
				cr_assert(inner.l3_bytes <= cut && inner.ip_length == cut);
			else
				cr_assert(cut < length);
		}
	}
}

Test(inner, bytes_after_the_ip_length_are_ignored)
{
	struct packet p = {.version = 4, .protocol = IPPROTO_TCP};
	uint32_t length = packet_build(built, &p);
	struct inner inner;

	cr_expect_eq(parse(built, length + 50, INBOUND, &inner), DROP_NONE);
	cr_expect_eq(inner.ip_length, length);
	built[3] = 23; /* the ports are there, but not by the IP length */
	cr_expect_eq(parse(built, length, INBOUND, &inner), DROP_INNER_PARSE);
}

Test(inner, not_ip)
{
	uint8_t zeros[64] = {0};
	struct inner inner;

	cr_expect_eq(parse(zeros, 0, INBOUND, &inner), DROP_INNER_PARSE, "empty");
	for (int nibble = 0; nibble < 16; nibble++) {
		zeros[0] = (uint8_t)(nibble << 4);
		zeros[6] = 59;
		cr_expect_eq(parse(zeros, sizeof(zeros), INBOUND, &inner),
			     nibble == 6 ? DROP_NONE : DROP_INNER_PARSE, "version %d", nibble);
	}
	for (uint8_t words = 0; words < 5; words++) {
		struct packet p = {.version = 4, .protocol = IPPROTO_TCP};
		uint32_t length = packet_build(built, &p);

		built[0] = 0x40 | words;
		cr_expect_eq(parse(built, length, INBOUND, &inner), DROP_INNER_PARSE, "IHL %u",
			     words);
	}
}

/* Row 61: chains of 1 to 9 headers; the ninth is reported, not walked. */
Test(inner, long_chains_end)
{
	static const uint8_t kinds[] = {IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_DSTOPTS,
					IPPROTO_AH, IPPROTO_FRAGMENT};

	for (size_t k = 0; k < sizeof(kinds); k++)
		for (uint32_t headers = 1; headers <= 12; headers++) {
			bool walked = headers <= EXTENSION_HEADERS_MAX;
			uint8_t chain[12 * 8] = {0};
			struct packet p = {.version = 6,
					   .protocol = IPPROTO_UDP,
					   .dest_port = 53,
					   .extension = chain,
					   .extension_bytes = headers * 8,
					   .extension_first = kinds[k],
					   .payload_bytes = 5};
			struct inner inner;
			uint32_t length;

			for (uint32_t i = 0; i < headers; i++)
				chain[i * 8] = i + 1 < headers ? kinds[k] : IPPROTO_UDP;
			length = packet_build(built, &p);
			cr_assert_eq(parse(built, length, OUTBOUND, &inner), DROP_NONE);
			cr_expect_eq(inner.flow.protocol, walked ? IPPROTO_UDP : kinds[k]);
			cr_expect_eq(inner.flow.remote_port, walked ? 53 : 0);
		}
}

Test(inner, longest_extension_headers_fit_the_offset)
{
	static uint8_t chain[8 * 2048];
	struct packet p = {.version = 6,
			   .protocol = IPPROTO_TCP,
			   .source_port = 22,
			   .extension = chain,
			   .extension_bytes = sizeof(chain)};
	struct inner inner;

	for (uint32_t i = 0; i < 8; i++) {
		chain[i * 2048] = i < 7 ? IPPROTO_DSTOPTS : IPPROTO_TCP;
		chain[i * 2048 + 1] = 0xff;
	}
	cr_assert_eq(parse(built, packet_build(built, &p), OUTBOUND, &inner), DROP_NONE);
	cr_expect_eq(inner.l3_bytes, 40 + 8 * 2048);
	cr_expect_eq(inner.flow.local_port, 22);
}

Test(inner, random_bytes_never_read_beyond)
{
	struct packet_random r = {SEED};
	uint8_t bytes[160];

	for (int round = 0; round < 200000; round++) {
		uint32_t length = packet_below(&r, sizeof(bytes));
		struct inner inner;

		packet_fill(&r, bytes, sizeof(bytes));
		bytes[0] = packet_below(&r, 2) ? 0x60 : 0x40 | (bytes[0] & 15);
		bytes[2] = 0;
		if (packet_below(&r, 4)) {
			static const uint8_t next[] = {0, 43, 44, 51, 60, 6, 17, 58, 1, 59};

			bytes[4] = 0;
			bytes[5] = (uint8_t)packet_below(&r, 120);
			for (uint32_t i = 6; i < sizeof(bytes); i += i < 40 ? 34 : 8) {
				bytes[i] = next[packet_below(&r, sizeof(next))];
				bytes[i + 1] &= 1;
			}
		}
		if (parse(bytes, length, INBOUND, &inner) == DROP_NONE)
			cr_assert(inner.ip_length <= length && inner.l3_bytes <= inner.ip_length,
				  "seed %d round %d", SEED, round);
	}
}

/* Lengths that the header gives beside those that are there: never more, never less than itself. */
Test(inner, ip_lengths_that_cannot_be)
{
	uint8_t packet[60] = {0x46, [9] = 17, [12] = 10, [16] = 10};
	struct inner inner;

	for (uint32_t total = 0; total <= sizeof(packet) + 1; total++) {
		packet[2] = (uint8_t)(total >> 8);
		packet[3] = (uint8_t)total;
		cr_assert_eq(parse(packet, sizeof(packet), INBOUND, &inner) == DROP_NONE,
			     total >= 24 + 4 && total <= sizeof(packet), "total length %u", total);
	}
}
