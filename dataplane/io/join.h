/*
 * join.h - opened packets become super-packets for the tun, without moving payload.
 *
 * Theory of operation. A writer area is one buffer that starts with headroom and a virtio_net_hdr.
 * The first packet of a chain is opened right behind that header. Packet n + 1 is opened so that
 * its *payload* would land at the end of the chain if its header were as long as the chain's: the
 * header_bytes before the chain's end are saved, overwritten by the opened header, compared with
 * what the chain expects, and put back. When it fits, the chain has grown and nothing moved. When
 * it does not (another flow, flags, a hole in the sequence), the packet is moved to a place of its
 * own: the only copy, and it is counted by the caller.
 *
 * The straight road of a joining packet: one vectorised pass proves its checksums, then its base
 * header is compared with the chain's eight bytes at a time under a mask of the fields that may
 * differ; those few are checked one by one, options by memcmp.
 *
 * This module is pure: it knows bytes and rules (PROTOCOL.md 11.5), not rings or buffers' life.
 */
#ifndef M57_JOIN_H
#define M57_JOIN_H

#include "vnet.h"

#include "counters.h"
#include "limits.h"
#include "lookup/inner.h"

/* A chain: one flow's packets standing one behind the other at packet[0..length). */
struct chain {
	uint8_t *packet;   /* first packet's IP header; bytes before it: room for the vnet header */
	uint32_t length;   /* bytes so far: headers once, payloads of all */
	uint32_t capacity; /* bytes there are from packet on */
	uint32_t count;    /* packets joined */
	uint32_t segment_bytes; /* payload of the first */
	uint16_t header_bytes;  /* L3 + L4 */
	uint16_t l3_bytes;
	uint8_t version;
	uint8_t protocol;
	bool closed;       /* shorter one, PSH, or full: takes nothing more */
	bool push;         /* the last packet had PSH: the super-packet gets it */
	uint16_t ip_id;    /* IPv4 identification of the first, host order */
	uint32_t tcp_next; /* sequence that continues the chain, host order */
	/* Copy of the first header: while a packet stands at join_place(), the original may be
	 * partly overwritten (a first payload shorter than the header). */
	uint8_t header[INNER_HEADER_MAX];
};

/* What an opened packet is to the joiner (PROTOCOL.md 11.5, the table). */
enum join_kind {
	JOIN_DATA,     /* may begin or continue a chain */
	JOIN_ALONE,    /* written verbatim; closes its flow's chain (SYN, FIN, RST, URG, CWR, empty
			  UDP) */
	JOIN_PURE_ACK, /* written verbatim; closes nothing */
	JOIN_BARRIER,  /* written verbatim; closes every chain (fragments, options, extensions,
			  unparsable) */
};

/*
 * Classifies packet[0..length), parsed as inner. JOIN_DATA only when its own checksums (IPv4 header
 * and L4) are right: joining a wrong one would repair it. UDP without a checksum and packets with
 * bytes after their IP length are JOIN_ALONE. tso/uso: whether the tun takes joined TCP / UDP;
 * without, such packets are JOIN_ALONE. Reads the whole packet, so it is in L1 afterwards.
 */
enum join_kind join_classify(const uint8_t *packet, uint32_t length, const struct inner *inner,
			     bool tso, bool uso);

/*
 * Begins a chain with packet[0..length), which is JOIN_DATA and already stands at its place;
 * capacity is counted from packet on.
 */
void join_begin(struct chain *chain, uint8_t *packet, uint32_t length, uint32_t capacity,
		const struct inner *inner);

/*
 * Where to open a sealed packet whose plaintext has length bytes so that it may continue the chain:
 * chain->packet + chain->length - chain->header_bytes; or NULL when it cannot continue it whatever
 * it holds (closed, capacity, JOIN_BYTES_MAX, JOIN_SEGMENTS_MAX, no longer than the header, payload
 * longer than the first's). Saves the bytes that opening will overwrite.
 */
uint8_t *join_place(const struct chain *chain, uint32_t length, uint8_t saved[INNER_HEADER_MAX]);

/*
 * Judges a packet that was opened at join_place(). If it continues the chain (kind is JOIN_DATA,
 * same flow and header by the table of PROTOCOL.md 11.5, next sequence, payload <= the first's),
 * puts the saved bytes back, grows the chain and returns true. Otherwise returns false and changes
 * nothing: the caller moves the packet away and then calls join_restore().
 */
bool join_accept(struct chain *chain, uint8_t *opened, uint32_t length, const struct inner *inner,
		 enum join_kind kind, const uint8_t saved[INNER_HEADER_MAX]);

/* Puts back the bytes that join_place() saved: after a failed open, or after the packet was moved.
 */
void join_restore(const struct chain *chain, const uint8_t saved[INNER_HEADER_MAX]);

/* As join_accept, for a packet that stands elsewhere: appends its payload by copying. Returns the
 * bytes copied, or 0 when it does not continue the chain. */
uint32_t join_append(struct chain *chain, const uint8_t *packet, uint32_t length,
		     const struct inner *inner, enum join_kind kind);

/* Does packet belong to the chain's flow (addresses, protocol, ports)? Never true for a fragment.
 * May be asked while a packet stands at join_place(). */
bool join_same_flow(const struct chain *chain, const uint8_t *packet, const struct inner *inner);

/*
 * Finishes: writes the vnet header (10 bytes) for the chain into *vnet and, for two or more
 * packets, patches lengths, PSH, IPv4 header checksum and the L4 pseudo sum (PROTOCOL.md 11.5). One
 * packet stays byte for byte as it was, marked DATA_VALID because join_classify() verified it.
 */
void join_finish(struct chain *chain, struct virtio_net_hdr *vnet);

#endif
