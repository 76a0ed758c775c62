/* lighthouse_wire_test.c - NebulaMeta against the vectors of PROTOCOL.md 14.7, and bad input. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <sodium.h>

#include "addr_text.h"
#include "peers/lighthouse_wire.h"

TestSuite(lighthouse_wire);

struct vector {
	const char *hex;
	uint32_t type;
	enum lighthouse_form form;
	const char *addr, *v4, *v6, *relay; /* NULL: none */
};

static const struct vector vectors[] = {
	{"08011205088280a851", LIGHTHOUSE_QUERY, LIGHTHOUSE_V1, "10.42.0.2", NULL, NULL, NULL},
	{"0801120a3208108280a8d1f0ff3f", LIGHTHOUSE_QUERY, LIGHTHOUSE_V2, "10.42.0.2", NULL, NULL,
	 NULL},
	{"0801120f320d0880808080808080a1fd011002", LIGHTHOUSE_QUERY, LIGHTHOUSE_V2, "fd42::2", NULL,
	 NULL, NULL},
	{"08031227088280a85112090887c8cdb10c109221220f088080808080b7c3802010071892212a048980a851",
	 LIGHTHOUSE_UPDATE, LIGHTHOUSE_V1, "10.42.0.2", "198.51.100.7:4242", "[2001:db8::7]:4242",
	 "10.42.0.9"},
	{"0803122612090887c8cdb10c109221220f088080808080b7c3802010071892213a08108980a8d1f0ff3f",
	 LIGHTHOUSE_UPDATE, LIGHTHOUSE_V2, NULL, "198.51.100.7:4242", "[2001:db8::7]:4242",
	 "10.42.0.9"},
	{"08021210088280a85112090887c8cdb10c109221", LIGHTHOUSE_REPLY, LIGHTHOUSE_V1, "10.42.0.2",
	 "198.51.100.7:4242", NULL, NULL},
	{"08051210088180a85112090885e281d80c109221", LIGHTHOUSE_PUNCH, LIGHTHOUSE_V1, "10.42.0.1",
	 "203.0.113.5:4242", NULL, NULL},
	{"080a1205088280a851", LIGHTHOUSE_ACK, LIGHTHOUSE_V1, "10.42.0.2", NULL, NULL, NULL},
	{"080a1200", LIGHTHOUSE_ACK, LIGHTHOUSE_V2, NULL, NULL, NULL, NULL},
};
#define VECTORS (sizeof(vectors) / sizeof(vectors[0]))

static size_t unhex(const char *hex, uint8_t *bytes, size_t size)
{
	size_t length;

	cr_assert_eq(sodium_hex2bin(bytes, size, hex, strlen(hex), NULL, &length, NULL), 0);
	return length;
}

static struct lighthouse_message message_of(const struct vector *v)
{
	struct lighthouse_message m = {.type = v->type, .form = v->form};

	if (v->addr) {
		m.has_addr = true;
		cr_assert_eq(addr_parse(v->addr, &m.addr), 0);
	}
	if (v->v4)
		cr_assert_eq(endpoint_parse(v->v4, &m.v4[m.v4_count++]), 0);
	if (v->v6)
		cr_assert_eq(endpoint_parse(v->v6, &m.v6[m.v6_count++]), 0);
	if (v->relay)
		cr_assert_eq(addr_parse(v->relay, &m.relays[m.relay_count++]), 0);
	return m;
}

Test(lighthouse_wire, vectors_are_written)
{
	for (size_t i = 0; i < VECTORS; i++) {
		struct lighthouse_message m = message_of(&vectors[i]);
		uint8_t want[128], got[128];
		size_t length = unhex(vectors[i].hex, want, sizeof(want));

		cr_assert_eq(lighthouse_encode(&m, got, sizeof(got)), length, "vector %zu", i);
		cr_assert_arr_eq(got, want, length, "vector %zu", i);
		for (size_t size = 0; size < length; size++)
			cr_assert_eq(lighthouse_encode(&m, got, size), 0);
	}
}

Test(lighthouse_wire, vectors_are_read)
{
	for (size_t i = 0; i < VECTORS; i++) {
		struct lighthouse_message want = message_of(&vectors[i]), got;
		uint8_t bytes[128];
		size_t length = unhex(vectors[i].hex, bytes, sizeof(bytes));

		cr_assert_eq(lighthouse_decode(bytes, length, &got), 0);
		cr_assert_eq(got.type, want.type);
		cr_assert_eq(got.form, want.form, "vector %zu", i);
		cr_assert_eq(got.has_addr, want.has_addr);
		cr_assert(addr_equal(&got.addr, &want.addr), "vector %zu", i);
		cr_assert_eq(got.v4_count, want.v4_count);
		cr_assert_eq(got.v6_count, want.v6_count);
		cr_assert_eq(got.relay_count, want.relay_count);
		cr_assert(endpoint_equal(&got.v4[0], &want.v4[0]));
		cr_assert(endpoint_equal(&got.v6[0], &want.v6[0]));
		cr_assert(addr_equal(&got.relays[0], &want.relays[0]));
	}
}

/* Cut anywhere: refused, or (between two fields) a shorter message; never read beyond the end. */
Test(lighthouse_wire, truncated)
{
	for (size_t i = 0; i < VECTORS; i++) {
		uint8_t bytes[128];
		size_t length = unhex(vectors[i].hex, bytes, sizeof(bytes));

		for (size_t cut = 0; cut < length; cut++) {
			struct lighthouse_message m;
			uint8_t *exact = malloc(cut ? cut : 1);

			memcpy(exact, bytes, cut);
			cr_assert_eq(lighthouse_decode(exact, cut, &m), -EBADMSG,
				     "vector %zu cut to %zu", i, cut);
			free(exact);
		}
	}
}

static int decode_hex(const char *hex, struct lighthouse_message *m)
{
	uint8_t bytes[256];

	return lighthouse_decode(bytes, unhex(hex, bytes, sizeof(bytes)), m);
}

Test(lighthouse_wire, malformed)
{
	static const char *const cases[] = {
		"",                               /* nothing */
		"0801",                           /* no Details */
		"0a01011200",                     /* Type as bytes */
		"08011001",                       /* Details as a number */
		"080112020a00",                   /* address as bytes */
		"080112021005",                   /* V4 entry as a number */
		"0801120412020a00",               /* number in an entry as bytes */
		"08011202180a00",                 /* length beyond the end */
		"0801120228ff",                   /* endless varint */
		"080112032a01ff",                 /* cut packed relay */
		"0801120a08ffffffffffffffffff7f", /* varint above 64 bits */
		"08011200"
		"03", /* group */
		"08011200"
		"0000", /* field number 0 */
		"08011200"
		"4d0000", /* 32-bit field cut */
		"08011200"
		"49000000000000",         /* 64-bit field cut */
		"12ffffffffffffffffff01", /* huge length */
	};
	struct lighthouse_message m;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_assert_eq(decode_hex(cases[i], &m), -EBADMSG, "case %zu", i);
}

Test(lighthouse_wire, odd_but_legal)
{
	struct lighthouse_message m;

	/* unknown fields of every kind, before and after */
	cr_assert_eq(decode_hex("7801"
				"08011205088280a851"
				"4d01020304"
				"490102030405060708"
				"7a0101",
				&m),
		     0);
	cr_assert_eq(m.type, LIGHTHOUSE_QUERY);
	/* Details in two pieces are one; of a number given twice the last counts */
	cr_assert_eq(decode_hex("0803"
				"0801"
				"12050881"
				"80a851"
				"12050882"
				"80a851",
				&m),
		     0);
	cr_assert_eq(m.type, LIGHTHOUSE_QUERY);
	cr_assert_eq(addr_v4(&m.addr), 0x0a2a0002);
	/* field 1 not zero decides for the v1 form, though field 6 is there */
	cr_assert_eq(decode_hex("0801"
				"120f"
				"088280a851"
				"3208108380a8d1f0ff3f",
				&m),
		     0);
	cr_assert_eq(m.form, LIGHTHOUSE_V1);
	cr_assert_eq(addr_v4(&m.addr), 0x0a2a0002);
	/* relays packed and not packed */
	cr_assert_eq(decode_hex("0803"
				"120e"
				"2a088980a8518a80a851"
				"2801"
				"2802",
				&m),
		     0);
	cr_assert_eq(m.relay_count, 4);
	cr_assert_eq(addr_v4(&m.relays[1]), 0x0a2a000a);
	cr_assert_eq(addr_v4(&m.relays[3]), 2);
}

/* Trap 77: entries that name nothing are passed over. */
Test(lighthouse_wire, empty_entries)
{
	static const char *const cases[] = {
		"080212021200", /* no address, no port */
		"080212022200",
		"080212023200",
		"080212023a00",
	};
	struct lighthouse_message m;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_assert_eq(decode_hex(cases[i], &m), 0, "case %zu", i);
		cr_assert(!m.has_addr && m.v4_count + m.v6_count + m.relay_count == 0);
	}
	/* port 0 given, port left out, port 70000, and 65535, which is one */
	cr_assert_eq(decode_hex("0802120a"
				"1208"
				"0887c8cdb10c"
				"1000",
				&m),
		     0);
	cr_assert_eq(m.v4_count, 0);
	cr_assert_eq(decode_hex("08021208"
				"1206"
				"0887c8cdb10c",
				&m),
		     0);
	cr_assert_eq(m.v4_count, 0);
	cr_assert_eq(decode_hex("0802120c"
				"120a"
				"0887c8cdb10c"
				"10f0a204",
				&m),
		     0);
	cr_assert_eq(m.v4_count, 0);
	cr_assert_eq(decode_hex("0802120c"
				"120a"
				"0887c8cdb10c"
				"10ffff03",
				&m),
		     0);
	cr_assert_eq(m.v4_count, 1);
	cr_assert_eq(m.v4[0].port, 65535);
}

/* Trap 75: a thousand addresses; and 4-in-6 ones are IPv4. */
Test(lighthouse_wire, many)
{
	uint8_t bytes[9001] = {0x08, 0x03, 0x12};
	struct lighthouse_message m;
	size_t at = 5;

	for (unsigned i = 0; i < 800; i++) {
		uint8_t entry[] = {0x12, 0x08, 0x08, 0x87, 0xc8,
				   0xcd, 0xb1, 0x0c, 0x10, (uint8_t)(i % 127 + 1)};
		memcpy(bytes + at, entry, sizeof(entry));
		at += sizeof(entry);
	}
	bytes[3] = (uint8_t)((at - 5) | 0x80);
	bytes[4] = (uint8_t)((at - 5) >> 7);
	cr_assert_eq(lighthouse_decode(bytes, at, &m), 0);
	cr_assert_eq(m.v4_count, LIGHTHOUSE_ENTRIES_MAX);
	cr_assert_eq(m.v4[1].port, 2, "the first ones are kept");

	/* relays, by numbers of the v1 form, then by addresses */
	memcpy(bytes, "\x08\x03\x12\x5c\x2a\x14", 6);
	for (at = 6; at < 6 + 20; at++)
		bytes[at] = (uint8_t)at;
	for (; at < 6 + 20 + 14 * 5; at += 5)
		memcpy(bytes + at, (uint8_t[]){0x3a, 3, 0x10, 0x81, 1}, 5);
	bytes[3] = (uint8_t)(at - 4);
	cr_assert_eq(lighthouse_decode(bytes, at, &m), 0);
	cr_assert_eq(m.relay_count, LIGHTHOUSE_ENTRIES_MAX);
	cr_assert(addr_is_v4(&m.relays[LIGHTHOUSE_ENTRIES_MAX - 1]));

	cr_assert_eq(decode_hex("0802120d"
				"220b"
				"108280a8d1f0ff3f"
				"189221",
				&m),
		     0);
	cr_assert_eq(m.v6_count, 1);
	cr_assert(addr_is_v4(&m.v6[0].addr));
}

Test(lighthouse_wire, what_v1_cannot_say)
{
	struct lighthouse_message m = {.type = LIGHTHOUSE_QUERY, .form = LIGHTHOUSE_V1};
	uint8_t bytes[LIGHTHOUSE_BYTES_MAX];

	m.has_addr = true;
	cr_assert_eq(addr_parse("fd42::2", &m.addr), 0);
	cr_assert_eq(lighthouse_encode(&m, bytes, sizeof(bytes)), 0);
	m.addr = addr_from_v4(1);
	cr_assert_neq(lighthouse_encode(&m, bytes, sizeof(bytes)), 0);
	cr_assert_eq(addr_parse("fd42::2", &m.relays[m.relay_count++]), 0);
	cr_assert_eq(lighthouse_encode(&m, bytes, sizeof(bytes)), 0);
}

/* The largest message fits its buffer. */
Test(lighthouse_wire, largest)
{
	struct lighthouse_message m = {.type = LIGHTHOUSE_REPLY, .form = LIGHTHOUSE_V2}, back;
	uint8_t bytes[LIGHTHOUSE_BYTES_MAX];
	size_t length;

	m.has_addr = true;
	memset(&m.addr, 0xff, sizeof(m.addr));
	m.v4_count = m.v6_count = m.relay_count = LIGHTHOUSE_ENTRIES_MAX;
	for (unsigned i = 0; i < LIGHTHOUSE_ENTRIES_MAX; i++) {
		m.v4[i] = (struct endpoint){addr_from_v4(UINT32_MAX), 65535};
		m.v6[i].port = 65535;
		memset(&m.v6[i].addr, 0xff, sizeof(m.v6[i].addr));
		memset(&m.relays[i], 0xff, sizeof(m.relays[i]));
	}
	length = lighthouse_encode(&m, bytes, sizeof(bytes));
	cr_assert_gt(length, 0);
	cr_assert_eq(lighthouse_decode(bytes, length, &back), 0);
	cr_assert_eq(back.relay_count, LIGHTHOUSE_ENTRIES_MAX);
}

/* Any bytes: an answer, and no more than it may hold. */
Test(lighthouse_wire, noise)
{
	uint64_t seed = 42, x = seed;

	for (unsigned round = 0; round < 20000; round++) {
		struct lighthouse_message m;
		uint8_t bytes[96];
		size_t length = unhex(vectors[round % VECTORS].hex, bytes, sizeof(bytes));

		for (unsigned i = 0; i < 3; i++) {
			x = x * 6364136223846793005ull + 1442695040888963407ull;
			bytes[(x >> 33) % length] = (uint8_t)(x >> 56);
		}
		if (lighthouse_decode(bytes, length, &m) == 0)
			cr_assert(m.v4_count <= LIGHTHOUSE_ENTRIES_MAX &&
				  m.v6_count <= LIGHTHOUSE_ENTRIES_MAX);
	}
}
