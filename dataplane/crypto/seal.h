/*
 * seal.h - one transport packet: header, AEAD, tag (PROTOCOL.md 1.1, 1.4).
 */
#ifndef M57_SEAL_H
#define M57_SEAL_H

#include "tunnel.h"
#include "wire.h"

/*
 * Writes header, ciphertext and tag, length + WIRE_OVERHEAD bytes, to out. in and out are disjoint.
 * The counter must be one that was reserved for this packet alone. label is the inner flow's, or
 * WIRE_LABEL_NONE.
 */
static inline void seal_packet(const struct tunnel *tunnel, enum wire_type type, uint16_t label,
			       uint64_t counter, const uint8_t *in, uint32_t length, uint8_t *out)
{
	wire_write_labelled(out, type, label, tunnel->remote_index, counter);
	aead_seal(&tunnel->keys->seal, counter, out, WIRE_HEADER_BYTES, in, length,
		  out + WIRE_HEADER_BYTES);
}

/* Opens packet, bytes >= WIRE_OVERHEAD, into out (bytes - WIRE_OVERHEAD). 0 or -EBADMSG. */
static inline int seal_open(const struct tunnel *tunnel, const uint8_t *packet, uint32_t bytes,
			    uint8_t *out)
{
	return aead_open(&tunnel->keys->open, wire_counter(packet), packet, WIRE_HEADER_BYTES,
			 packet + WIRE_HEADER_BYTES, bytes - WIRE_OVERHEAD, out);
}

/*
 * A relay frame around the packet of inner bytes at frame + WIRE_HEADER_BYTES: writes header and
 * tag, moves nothing (PROTOCOL.md 7.3). index is that of via's peer, the counter via's; label is
 * WIRE_LABEL_SPARSE or WIRE_LABEL_NONE.
 */
static inline void seal_frame(const struct tunnel *via, uint32_t index, uint16_t label,
			      uint64_t counter, uint8_t *frame, uint32_t inner)
{
	uint8_t *tag = frame + WIRE_HEADER_BYTES + inner;

	wire_write_labelled(frame, WIRE_RELAY, label, index, counter);
	aead_seal(&via->keys->seal, counter, frame, WIRE_HEADER_BYTES + inner, tag, 0, tag);
}

/* Is the frame, bytes >= WIRE_OVERHEAD, of tunnel's peer? 0 or -EBADMSG. */
static inline int seal_check_frame(const struct tunnel *tunnel, const uint8_t *frame,
				   uint32_t bytes)
{
	uint32_t covered = bytes - WIRE_TAG_BYTES;
	uint8_t nothing[1];

	return aead_open(&tunnel->keys->open, wire_counter(frame), frame, covered, frame + covered,
			 0, nothing);
}

/*
 * Reserves n counters for sending; *first gets the first. False, and none is reserved for good,
 * when the nonce space nears its end (PROTOCOL.md 1.5). It releases: see skew.h.
 */
static inline bool seal_reserve(struct tunnel *tunnel, uint32_t n, uint64_t *first)
{
	*first = atomic_fetch_add_explicit(&tunnel->counter, n, memory_order_acq_rel) + 1;
	if (*first + n < COUNTER_REFUSE_AT)
		return true;
	atomic_fetch_sub_explicit(&tunnel->counter, n, memory_order_relaxed);
	return false;
}

#endif
