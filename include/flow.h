/*
 * flow.h - what the firewall and conntrack know of an inner packet (PROTOCOL.md 5.1, 5.2).
 *
 * Local-oriented: for inbound packets remote = inner source and local = inner destination, for
 * outbound the reverse; so both directions of a connection have one key. Written by
 * dataplane/lookup/inner.c, read by filter/. Compare and hash it as bytes: always start from zero.
 */
#ifndef M57_FLOW_H
#define M57_FLOW_H

#include "addr.h"

enum direction { OUTBOUND, INBOUND };

struct flow {
	struct addr local;
	struct addr remote;
	uint16_t local_port;  /* host order; 0 for fragments, ICMP and protocols without ports */
	uint16_t remote_port; /* host order; ICMP echo: the identifier */
	uint8_t protocol;     /* IP protocol number after the extension headers */
	uint8_t fragment;     /* 1: a fragment that is not the first, so no ports */
	uint8_t zero[2];
};
_Static_assert(sizeof(struct flow) == 40, "conntrack stores the flow in its entries");

#endif
