/*
 * wire.h - the 16-byte Nebula header (PROTOCOL.md 1.1) and the table of message types.
 *
 * Both planes read and write it. All integers are big-endian on the wire; what the functions below
 * take and return is in host order. Those that read a field read it from 16 bytes, unaligned, of
 * any contents.
 */
#ifndef M57_WIRE_H
#define M57_WIRE_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define WIRE_VERSION      1
#define WIRE_HEADER_BYTES 16
#define WIRE_TAG_BYTES    16
#define WIRE_OVERHEAD     (WIRE_HEADER_BYTES + WIRE_TAG_BYTES)
#define WIRE_LABEL_NONE   0   /* flow label: what every Nebula release writes */
#define WIRE_LABEL_SPARSE 256 /* of a flow that sends little (PROTOCOL.md 1.1) */

enum wire_encryption { WIRE_CLEAR, WIRE_SEALED, WIRE_AUTHENTICATED };

/* WIRE_MESSAGE, WIRE_HANDSHAKE, ...: (type << 8 | subtype), the key of every switch on messages. */
enum wire_type {
#define WIRE_TYPE(t, s, symbol, text, encryption, road) WIRE_##symbol = (t) << 8 | (s),
#include "wire_types.def"
#undef WIRE_TYPE
};

/* The pair as wire_type, or -1 when version or pair do not exist (PROTOCOL.md 1.6 steps 2 and 3).
 */
static inline int wire_type_of(const uint8_t *packet)
{
	if (packet[0] >> 4 != WIRE_VERSION)
		return -1;
	switch ((packet[0] & 15) << 8 | packet[1]) {
#define WIRE_TYPE(t, s, symbol, text, encryption, road)                                            \
	case WIRE_##symbol:                                                                        \
		return WIRE_##symbol;
#include "wire_types.def"
#undef WIRE_TYPE
	}
	return -1;
}

/* Of a type that wire_type_of() returned. */
static inline enum wire_encryption wire_encryption_of(enum wire_type type)
{
	switch (type) {
#define WIRE_TYPE(t, s, symbol, text, encryption, road)                                            \
	case WIRE_##symbol:                                                                        \
		return WIRE_##encryption;
#include "wire_types.def"
#undef WIRE_TYPE
	}
	return WIRE_CLEAR;
}

/* The receiver's index, of a tunnel or a relay. */
static inline uint32_t wire_remote_index(const uint8_t *packet)
{
	uint32_t v;
	memcpy(&v, packet + 4, 4);
	return be32toh(v);
}

/* Of a transport packet the nonce; of a handshake packet the stage. */
static inline uint64_t wire_counter(const uint8_t *packet)
{
	uint64_t v;
	memcpy(&v, packet + 8, 8);
	return be64toh(v);
}

/* The two reserved bytes: the flow label of an m57 sender, WIRE_LABEL_NONE of everybody else. */
static inline uint16_t wire_label(const uint8_t *packet)
{
	return (uint16_t)(packet[2] << 8 | packet[3]);
}

/* Writes 16 bytes, label in the reserved ones (PROTOCOL.md 1.1, flow label). */
static inline void wire_write_labelled(uint8_t *packet, enum wire_type type, uint16_t label,
				       uint32_t remote_index, uint64_t counter)
{
	uint64_t words[2] = {
		htobe64((uint64_t)(WIRE_VERSION << 4 | type >> 8) << 56 |
			(uint64_t)(type & 0xff) << 48 | (uint64_t)label << 32 | remote_index),
		htobe64(counter),
	};
	memcpy(packet, words, sizeof(words));
}

/* The same without a label: whatever is not inner IP. */
static inline void wire_write(uint8_t *packet, enum wire_type type, uint32_t remote_index,
			      uint64_t counter)
{
	wire_write_labelled(packet, type, WIRE_LABEL_NONE, remote_index, counter);
}

#endif
