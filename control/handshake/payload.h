/*
 * payload.h - the protobuf payload of both handshake messages (PROTOCOL.md 2.3; handshake.proto).
 *
 * Read and written by hand: the bytes come from strangers and the common generator's decoder
 * allocates, cuts 64-bit numbers down to 32 and takes a known field of a wrong wire type for an
 * unknown one. Pure, no allocation.
 */
#ifndef M57_PAYLOAD_H
#define M57_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAYLOAD_OVERHEAD_MAX 64 /* bytes that encoding adds to the certificate, at most */

struct payload {
	const uint8_t *cert; /* without public key (2.4); decoding: lies in the input */
	size_t cert_length;
	uint32_t initiator_index;
	uint32_t responder_index;
	uint64_t time;         /* sender's clock, unix ns */
	uint32_t cert_version; /* 0: absent, means 1 */
};

/*
 * Any bytes are legal input. 0 or -EBADMSG: truncated, a known field with a wrong wire type, a
 * 32-bit field above 2^32-1, an impossible tag. Unknown fields are skipped, the last of a repeated
 * field wins, repeated details merge. What the fields say is not judged.
 */
int payload_decode(const uint8_t *bytes, size_t length, struct payload *payload);

/*
 * Fields in ascending order, zero values left out, as the reference writes them. Returns the
 * length, or 0 when capacity is too small.
 */
size_t payload_encode(const struct payload *payload, uint8_t *out, size_t capacity);

#endif
