/*
 * inner.c - one bounded walk over an inner packet (PROTOCOL.md 5.2).
 *
 * Everything here was chosen by a stranger. Each read is preceded by a comparison with the IP
 * length, offsets are 32-bit and extension header lengths at least 8, so the walk advances and
 * ends.
 */
#include "lookup/inner.h"

#include "limits.h"

enum {
	IPV4_HEADER = 20,
	IPV6_HEADER = 40,
	IPV4_MORE_FRAGMENTS = 0x2000,
	IPV4_OFFSET = 0x1fff,
	PORTS = 4,          /* bytes that hold both ports */
	ICMP_IDENTIFIER = 4 /* its offset in an ICMP or ICMPv6 header */
};

static uint16_t read16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void set_v4(struct addr *a, const uint8_t *bytes)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	memcpy(a->bytes, mapped, sizeof(mapped));
	memcpy(a->bytes + sizeof(mapped), bytes, 4);
}

static void set_ports(struct flow *flow, const uint8_t *l4, enum direction direction)
{
	uint16_t source = read16(l4), destination = read16(l4 + 2);

	flow->local_port = direction == INBOUND ? destination : source;
	flow->remote_port = direction == INBOUND ? source : destination;
}

static enum drop parse_v4(const uint8_t *packet, size_t length, enum direction direction,
			  struct inner *out)
{
	uint32_t l3_bytes, ip_length, l4_bytes;
	struct flow *flow = &out->flow;
	uint16_t fragment;

	if (length < IPV4_HEADER)
		return DROP_INNER_PARSE;
	l3_bytes = (packet[0] & 0xfu) * 4;
	ip_length = read16(packet + 2);
	if (l3_bytes < IPV4_HEADER || ip_length < l3_bytes || ip_length > length)
		return DROP_INNER_PARSE;

	fragment = read16(packet + 6);
	l4_bytes = ip_length - l3_bytes;
	out->version = 4;
	out->l3_bytes = (uint16_t)l3_bytes;
	out->ip_length = ip_length;
	out->part = (fragment & (IPV4_MORE_FRAGMENTS | IPV4_OFFSET)) != 0;
	out->plain_ip = l3_bytes == IPV4_HEADER && !out->part;
	flow->protocol = packet[9];
	set_v4(direction == INBOUND ? &flow->remote : &flow->local, packet + 12);
	set_v4(direction == INBOUND ? &flow->local : &flow->remote, packet + 16);

	if (fragment & IPV4_OFFSET) {
		flow->fragment = 1;
	} else if (flow->protocol == IPPROTO_ICMP) {
		if (l4_bytes < ICMP_IDENTIFIER + 2)
			return DROP_INNER_PARSE;
		flow->remote_port = read16(packet + l3_bytes + ICMP_IDENTIFIER);
	} else {
		if (l4_bytes < PORTS)
			return DROP_INNER_PARSE;
		set_ports(flow, packet + l3_bytes, direction);
	}
	return DROP_NONE;
}

/*
 * Walks at most EXTENSION_HEADERS_MAX extension headers. *offset becomes that of the upper layer,
 * out gets the protocol and the fragment marks. Only the numbers of PROTOCOL.md 5.2 are extension
 * headers: walking an unknown one would let its payload pose as a TCP header.
 */
static enum drop walk_extensions(const uint8_t *packet, uint32_t ip_length, uint32_t *offset,
				 struct inner *out)
{
	struct flow *flow = &out->flow;
	uint8_t next = packet[6];
	uint32_t at = *offset;

	for (unsigned headers = 0; headers < EXTENSION_HEADERS_MAX && !flow->fragment; headers++) {
		uint32_t bytes;

		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS &&
		    next != IPPROTO_FRAGMENT && next != IPPROTO_AH)
			break;
		if (ip_length - at < 8)
			return DROP_INNER_PARSE;
		if (next == IPPROTO_FRAGMENT) {
			bytes = 8;
			flow->fragment = (read16(packet + at + 2) & 0xfff8) != 0;
			out->part |= (read16(packet + at + 2) & 0xfff9) != 0; /* or more follow */
		} else if (next == IPPROTO_AH) {
			bytes = (packet[at + 1] + 2u) * 4;
		} else {
			bytes = (packet[at + 1] + 1u) * 8;
		}
		if (ip_length - at < bytes)
			return DROP_INNER_PARSE;
		next = packet[at];
		at += bytes;
	}
	flow->protocol = next;
	*offset = at;
	return DROP_NONE;
}

static enum drop parse_v6(const uint8_t *packet, size_t length, enum direction direction,
			  struct inner *out)
{
	struct flow *flow = &out->flow;
	uint32_t offset = IPV6_HEADER, ip_length, l4_bytes;
	const uint8_t *l4;

	if (length < IPV6_HEADER)
		return DROP_INNER_PARSE;
	ip_length = IPV6_HEADER + read16(packet + 4);
	if (ip_length > length || walk_extensions(packet, ip_length, &offset, out) != DROP_NONE)
		return DROP_INNER_PARSE;

	out->version = 6;
	out->l3_bytes = (uint16_t)offset; /* <= 40 + EXTENSION_HEADERS_MAX * 2048 */
	out->ip_length = ip_length;
	out->plain_ip = offset == IPV6_HEADER;
	memcpy(direction == INBOUND ? &flow->remote : &flow->local, packet + 8, 16);
	memcpy(direction == INBOUND ? &flow->local : &flow->remote, packet + 24, 16);
	if (flow->fragment)
		return DROP_NONE;

	l4 = packet + offset;
	l4_bytes = ip_length - offset;
	switch (flow->protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
		if (l4_bytes < PORTS)
			return DROP_INNER_PARSE;
		set_ports(flow, l4, direction);
		break;
	case IPPROTO_ICMPV6:
		if (l4_bytes < 4)
			return DROP_INNER_PARSE;
		if (l4[0] != 128 && l4[0] != 129) /* echo request, echo reply */
			break;
		if (l4_bytes < ICMP_IDENTIFIER + 2)
			return DROP_INNER_PARSE;
		flow->remote_port = read16(l4 + ICMP_IDENTIFIER);
		break;
	}
	return DROP_NONE;
}

enum drop inner_parse(const uint8_t *packet, size_t length, enum direction direction,
		      struct inner *out)
{
	memset(out, 0, sizeof(*out)); /* flows are compared and hashed as bytes */
	if (length == 0)
		return DROP_INNER_PARSE;
	switch (packet[0] >> 4) {
	case 4:
		return parse_v4(packet, length, direction, out);
	case 6:
		return parse_v6(packet, length, direction, out);
	default:
		return DROP_INNER_PARSE;
	}
}
