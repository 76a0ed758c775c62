/*
 * checksum.h - the Internet checksum (RFC 1071) over packet memory, vectorised.
 */
#ifndef M57_CHECKSUM_H
#define M57_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/*
 * Adds bytes[0..length), as big-endian 16-bit words (an odd last byte is padded with zero), to sum.
 * The running sum is kept unfolded in 64 bits; start with 0. Only a chunk of even length may be
 * followed by another.
 */
uint64_t checksum_add(uint64_t sum, const void *bytes, size_t length);

/* Folds to 16 bits, host order, not inverted. */
uint16_t checksum_fold(uint64_t sum);

/* Sum of the TCP/UDP pseudo header: addresses (4 or 16 bytes each, network order), protocol and
 * L4 length. */
uint64_t checksum_pseudo(const uint8_t *source, const uint8_t *destination, size_t address_bytes,
			 uint8_t protocol, uint32_t l4_bytes);

#endif
