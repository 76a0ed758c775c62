/*
 * inner.h - one bounded walk over an inner packet (PROTOCOL.md 5.2).
 */
#ifndef M57_INNER_H
#define M57_INNER_H

#include <stddef.h>

#include "counters.h"
#include "flow.h"

struct inner {
	struct flow flow;
	uint16_t l3_bytes;  /* IP header with options and extension headers: offset of L4 */
	uint8_t version;    /* 4 or 6 */
	bool plain_ip;      /* IPv4 with IHL 5 and no fragment bits; IPv6 with L4 at byte 40 */
	bool part;          /* a fragment, be it the first one */
	uint32_t ip_length; /* total length by the IP header, <= length given */
};

/*
 * Parses packet[0..length). Reads headers only. Returns DROP_NONE and fills out, or
 * DROP_INNER_PARSE. The flow is local-oriented by direction. A super-packet is parsed as one
 * packet: its headers describe all segments. Bytes after the IP length are ignored; an IP length
 * beyond length is an error.
 */
enum drop inner_parse(const uint8_t *packet, size_t length, enum direction direction,
		      struct inner *out);

#endif
