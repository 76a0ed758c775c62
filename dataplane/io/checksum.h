/*
 * checksum.h - the Internet checksum (RFC 1071) over packet memory, vectorised.
 */
#ifndef M57_CHECKSUM_H
#define M57_CHECKSUM_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * Adds bytes[0..length), as big-endian 16-bit words (an odd last byte is padded with zero), to sum.
 * The running sum is kept unfolded in 64 bits; start with 0. Only a chunk of even length may be
 * followed by another.
 */
uint64_t checksum_add(uint64_t sum, const void *bytes, size_t length);

/* Folds to 16 bits, host order, not inverted. */
static inline uint16_t checksum_fold(uint64_t sum)
{
	/* 64 -> 33 -> 18 -> 17 -> 16 bits: the last step cannot carry again. */
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* Of an IPv4 header without options, 20 bytes; fold it. */
static inline uint64_t checksum_ipv4_header(const uint8_t *header)
{
	uint64_t a, b;
	uint32_t c;

	memcpy(&a, header, 8);
	memcpy(&b, header + 8, 8);
	memcpy(&c, header + 16, 4);
	a = (a & 0xffffffff) + (a >> 32) + (b & 0xffffffff) + (b >> 32) + c;
	return be16toh(checksum_fold(a));
}

/* Sum of the TCP/UDP pseudo header: addresses (4 or 16 bytes each, network order), protocol and
 * L4 length. */
static inline uint64_t checksum_pseudo(const uint8_t *source, const uint8_t *destination,
				       size_t address_bytes, uint8_t protocol, uint32_t l4_bytes)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < address_bytes; i += 4) {
		uint32_t a, b;
		memcpy(&a, source + i, 4);
		memcpy(&b, destination + i, 4);
		sum += (uint64_t)a + b;
	}
	return (uint64_t)be16toh(checksum_fold(sum)) + protocol + (l4_bytes >> 16) +
	       (l4_bytes & 0xffff);
}

#endif
