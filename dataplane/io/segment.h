/*
 * segment.h - a tun super-packet becomes segments, in place.
 *
 * The kernel hands over one packet of up to 64 KiB with a virtio_net_hdr that says how to cut it.
 * Segment k's payload already lies where it must; only its header has to stand directly before it,
 * where segment k - 1's last bytes are. Those were sealed a moment ago and are not needed any more,
 * so segment_next() writes the rebuilt header over them. No payload byte moves.
 */
#ifndef M57_SEGMENT_H
#define M57_SEGMENT_H

#include "vnet.h"

#include "counters.h"
#include "limits.h"
#include "lookup/inner.h"

struct segmenter {
	uint8_t *packet;        /* IP header of the super-packet; overwritten as segments are cut */
	uint32_t length;        /* bytes of it */
	uint32_t header_bytes;  /* L3 + L4; 0: a single packet, passed on as it is */
	uint32_t segment_bytes; /* payload of every segment but the last */
	uint32_t count;         /* segments in all, >= 1 */
	uint32_t next;          /* of the next call */
	uint8_t l3_bytes;
	uint8_t version;  /* 4 or 6 */
	uint8_t protocol; /* IPPROTO_TCP or IPPROTO_UDP */
	uint8_t tcp_flags;
	uint16_t ip_id;        /* host order */
	uint32_t tcp_sequence; /* host order */
	uint32_t header_sum;   /* one's complement sum of what all segments share */
	uint32_t l3_sum;
	uint8_t header[INNER_HEADER_MAX]; /* template; a small segment size makes stamps overlap */
};

/*
 * Prepares cutting packet[0..length), read with vnet, parsed as inner. hdr_len of the kernel is not
 * trusted: header_bytes is computed. Without GSO it is one segment whose checksum is completed if
 * NEEDS_CSUM asks for it (UDP result 0 is written as 0xffff). Returns DROP_NONE, or DROP_INNER_GSO
 * for a header that does not fit the packet (PROTOCOL.md 11.2): RSC_INFO, gso_size 0 with a gso
 * type, ECN on non-TCP, version mismatch, offsets out of range, more than 65,535 bytes. A tiny
 * gso_size gives up to 65,495 segments: the caller spreads them over several sends.
 */
enum drop segment_begin(struct segmenter *s, uint8_t *packet, uint32_t length,
			const struct virtio_net_hdr *vnet, const struct inner *inner);

/*
 * The next segment as a complete packet with right lengths, ids, sequence, flags and checksums
 * (PROTOCOL.md 11.3); *length gets its bytes. It may be read until the following call. Call exactly
 * count times.
 */
uint8_t *segment_next(struct segmenter *s, uint32_t *length);

#endif
