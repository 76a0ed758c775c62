/*
 * packets.h - packets for tests: described by their fields, built byte by byte, cut slowly.
 *
 * Deliberately shares no code with dataplane/: sums are added a byte pair at a time and a segment
 * is rebuilt from nothing, so that the fast code has something independent to be compared with.
 */
#ifndef M57_TEST_PACKETS_H
#define M57_TEST_PACKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vnet.h"

enum {
	TCP_FIN = 1,
	TCP_SYN = 2,
	TCP_RST = 4,
	TCP_PSH = 8,
	TCP_ACK = 16,
	TCP_URG = 32,
	TCP_ECE = 64,
	TCP_CWR = 128
};

/* Fields left zero get the plain value: TTL 64, addresses 10.0.0.1 and 10.0.0.2 or fd00::1, ::2. */
struct packet {
	int version;      /* 4 or 6 */
	uint8_t protocol; /* TCP, UDP, or any: then payload follows the IP header at once */
	uint8_t source, destination;     /* last byte of the addresses; 0: 1 and 2 */
	uint16_t source_port, dest_port; /* host order, as all below */
	uint8_t tos;                     /* DSCP/ECN byte, traffic class */
	uint8_t ttl;
	uint32_t flow_label;
	uint16_t ip_id;
	bool df;
	uint16_t fragment;         /* MF bit 0x2000 and offset, as in the header */
	const uint8_t *ip_options; /* IPv4; length a multiple of 4 */
	uint32_t ip_options_bytes;
	const uint8_t *extension; /* IPv6 headers, the last one naming protocol as its next */
	uint32_t extension_bytes;
	uint8_t extension_first; /* protocol number of the first of them */
	uint32_t sequence, ack;
	uint8_t tcp_flags;
	uint16_t window, urgent;
	const uint8_t *tcp_options; /* length a multiple of 4 */
	uint32_t tcp_options_bytes;
	const uint8_t *payload; /* NULL: a pattern of the length */
	uint32_t payload_bytes;
	bool no_checksum; /* UDP: 0 */
	bool partial;     /* leave the folded pseudo sum in the L4 checksum, as NEEDS_CSUM says */
};

/* Builds into out (room for headers plus payload). Returns the bytes. */
uint32_t packet_build(uint8_t *out, const struct packet *p);
/* A UDP datagram over IPv4 from 10.0.0.2, port to 53. Returns the bytes. */
uint32_t packet_udp(uint8_t *out, uint8_t to, uint16_t port, uint32_t payload);
/* A super-packet of TCP over IPv4 from 10.0.0.2 to 10.0.0.1, its checksum left to do. Returns the
 * bytes. */
uint32_t packet_super(uint8_t *out, uint32_t payload);

/* Offset of L4 in a packet made by packet_build() without extension headers. */
uint32_t packet_l4(const uint8_t *packet);

/* Header checksum of IPv4 and L4 checksum of a plain TCP or UDP packet, after fields were changed.
 */
void packet_fix(uint8_t *packet, uint32_t length);

/* Folded, not inverted pseudo header sum of a plain TCP or UDP packet: what NEEDS_CSUM starts from.
 */
uint16_t packet_pseudo(const uint8_t *packet, uint32_t length);

/* Inverted folded sum of bytes plus the start value. */
uint16_t packet_checksum(uint32_t start, const uint8_t *bytes, size_t length);

/* Segment k of the super-packet, as Linux would cut it; slow. Returns its bytes, 0 past the last.
 */
uint32_t packet_cut(const uint8_t *super, uint32_t length, const struct virtio_net_hdr *vnet,
		    uint32_t k, uint8_t *out);

/* The vnet header that goes with a super-packet whose segments carry gso_size bytes. */
struct virtio_net_hdr packet_vnet(const uint8_t *packet, uint16_t gso_size);

/* A small repeatable generator (xorshift64*); any non-zero seed. */
struct packet_random {
	uint64_t state;
};
uint32_t packet_random(struct packet_random *r);
/* 0..bound-1 */
uint32_t packet_below(struct packet_random *r, uint32_t bound);
void packet_fill(struct packet_random *r, void *bytes, size_t length);

/* bytes[0..length) copied so that the byte after the last is not mapped: reading it is SIGSEGV.
 * length <= 65536. The memory is reused by the next call. */
uint8_t *packet_at_edge(const void *bytes, size_t length);

#endif
