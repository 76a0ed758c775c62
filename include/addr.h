/*
 * addr.h - overlay and underlay addresses, the one form used everywhere.
 *
 * Both planes read and write these types; they are plain values.
 *
 * An address is always 16 bytes in network order. IPv4 is held as an IPv4-mapped IPv6 address
 * (::ffff:a.b.c.d), so comparing, hashing and storing never branch on the family. Where the family
 * matters (wire, text, prefix match) addr_is_v4() tells. A prefix counts its bits in the 128-bit
 * space: 10.42.0.0/16 has bits = 112. A prefix matches only addresses of its own family.
 */
#ifndef M57_ADDR_H
#define M57_ADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <netinet/in.h>

struct addr {
	uint8_t bytes[16]; /* network order; IPv4 as ::ffff:a.b.c.d */
};

/* An address with a length. Host bits may be set (10.42.0.1/16 is kept as such, PROTOCOL.md 3.1).
 */
struct prefix {
	struct addr addr;
	uint8_t bits; /* 0..128 in the 128-bit space; IPv4 /n is 96 + n */
};

/* An underlay UDP address. */
struct endpoint {
	struct addr addr;
	uint16_t port; /* host order */
};

#define ADDR_V4_BITS 96 /* bits that every IPv4-mapped address shares */

/* Is it an IPv4-mapped one? */
static inline bool addr_is_v4(const struct addr *a)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	return memcmp(a->bytes, mapped, sizeof(mapped)) == 0;
}

/* v4: the address as a number in host order (10.0.0.1 = 0x0a000001). */
static inline struct addr addr_from_v4(uint32_t v4)
{
	return (struct addr){{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, (uint8_t)(v4 >> 24),
			      (uint8_t)(v4 >> 16), (uint8_t)(v4 >> 8), (uint8_t)v4}};
}

/* Host-order number of an IPv4 address; meaningless unless addr_is_v4(). */
static inline uint32_t addr_v4(const struct addr *a)
{
	return (uint32_t)a->bytes[12] << 24 | (uint32_t)a->bytes[13] << 16 |
	       (uint32_t)a->bytes[14] << 8 | a->bytes[15];
}

static inline bool addr_equal(const struct addr *a, const struct addr *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* As memcmp: IPv4-mapped addresses in the order of their numbers. */
static inline int addr_compare(const struct addr *a, const struct addr *b)
{
	return memcmp(a, b, sizeof(*a));
}

/* :: or 0.0.0.0. */
static inline bool addr_is_zero(const struct addr *a)
{
	static const struct addr zero;
	return addr_equal(a, &zero) || (addr_is_v4(a) && addr_v4(a) == 0);
}

/* Mixes all 16 bytes; not keyed: use only for tables whose keys an authenticated peer owns. */
static inline uint64_t addr_hash(const struct addr *a)
{
	uint64_t hi, lo;
	memcpy(&hi, a->bytes, 8);
	memcpy(&lo, a->bytes + 8, 8);
	uint64_t x = (hi * 0x9e3779b97f4a7c15u) ^ lo;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93u;
	x ^= x >> 32;
	return x;
}

/* Does p hold a? Families never mix: ::/0 does not hold 10.0.0.1. */
static inline bool prefix_contains(const struct prefix *p, const struct addr *a)
{
	unsigned full = p->bits / 8, rest = p->bits % 8;

	if (addr_is_v4(&p->addr) != addr_is_v4(a) || memcmp(p->addr.bytes, a->bytes, full) != 0)
		return false;
	return rest == 0 || ((p->addr.bytes[full] ^ a->bytes[full]) >> (8 - rest)) == 0;
}

/* The network of p: p with its host bits cleared. */
static inline struct prefix prefix_masked(struct prefix p)
{
	unsigned full = p.bits / 8;

	if (full < sizeof(p.addr.bytes)) {
		p.addr.bytes[full] &= (uint8_t)(0xff00u >> (p.bits % 8));
		memset(p.addr.bytes + full + 1, 0, sizeof(p.addr.bytes) - full - 1);
	}
	return p;
}

/* Is inner the same network as outer, or a part of it? */
static inline bool prefix_covers(const struct prefix *outer, const struct prefix *inner)
{
	return inner->bits >= outer->bits && prefix_contains(outer, &inner->addr);
}

static inline bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return a->port == b->port && addr_equal(&a->addr, &b->addr);
}

#endif
