/*
 * reject.c - a RST or an ICMP error for a refused packet (PROTOCOL.md 5.6).
 *
 * What is an answer itself gets none: two nodes that both reject would otherwise never stop. That
 * is why a RST is not answered either, which RFC 9293 3.10.7.1 asks for as well.
 */
#include "filter/reject.h"

#include <string.h>
#include <netinet/in.h>

#include "io/checksum.h"

enum {
	IPV4_CHECKSUM = 10,
	IPV4_SOURCE = 12,
	IPV4_DESTINATION = 16,
	IPV4_HEADER = 20,
	IPV6_SOURCE = 8,
	IPV6_DESTINATION = 24,
	IPV6_HEADER = 40,
	HOPS = 64,

	TCP_HEADER = 20,
	TCP_SEQUENCE = 4,
	TCP_ACKNOWLEDGED = 8,
	TCP_OFFSET = 12,
	TCP_FLAGS = 13,
	TCP_CHECKSUM = 16,
	FLAG_FIN = 0x01,
	FLAG_SYN = 0x02,
	FLAG_RST = 0x04,
	FLAG_ACK = 0x10,

	ICMP_HEADER = 8,
	ICMP_CHECKSUM = 2,
	ICMP_UNREACHABLE = 3,
	ICMP_PROHIBITED = 13,
	ICMP_QUOTED = 8, /* bytes after the IP header of the refused packet */
	ICMP6_UNREACHABLE = 1,
	ICMP6_PROHIBITED = 1,
	ICMP6_REDIRECT = 137,
	ICMP6_QUOTED = 1000, /* bytes of the refused packet */
};

_Static_assert(REJECT_BYTES_MAX == IPV6_HEADER + ICMP_HEADER + ICMP6_QUOTED,
	       "the longest answer is an ICMPv6 error");
_Static_assert(REJECT_BYTES_MAX >= IPV4_HEADER + ICMP_HEADER + 60 + ICMP_QUOTED,
	       "an IPv4 header with all options fits too");

static uint32_t read32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void write16(uint8_t *p, uint32_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static void write32(uint8_t *p, uint32_t value)
{
	write16(p, value >> 16);
	write16(p + 2, value);
}

/* ---- what may be answered -------------------------------------------------------------------- */

static bool tcp_answerable(const uint8_t *tcp, uint32_t bytes)
{
	if (bytes < TCP_HEADER || tcp[TCP_FLAGS] & FLAG_RST)
		return false;
	uint32_t header_bytes = (uint32_t)(tcp[TCP_OFFSET] >> 4) * 4;
	return header_bytes >= TCP_HEADER && header_bytes <= bytes;
}

static bool icmp_is_error(uint8_t type)
{
	return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

static bool single_hosts(const uint8_t *packet, uint8_t version)
{
	static const uint8_t zero[16];

	if (version == 6)
		return packet[IPV6_SOURCE] != 0xff && packet[IPV6_DESTINATION] != 0xff &&
		       memcmp(packet + IPV6_SOURCE, zero, 16) != 0;
	/* from 224.0.0.0 on: multicast, reserved, broadcast */
	return packet[IPV4_SOURCE] < 224 && packet[IPV4_DESTINATION] < 224 &&
	       packet[IPV4_SOURCE] != 0;
}

static bool answerable(const uint8_t *packet, const struct inner *inner)
{
	const uint8_t *l4 = packet + inner->l3_bytes;
	uint32_t l4_bytes = inner->ip_length - inner->l3_bytes;

	if (inner->flow.fragment || !single_hosts(packet, inner->version))
		return false;
	if (inner->flow.protocol == IPPROTO_TCP)
		return tcp_answerable(l4, l4_bytes);
	if (inner->version == 4)
		return inner->flow.protocol != IPPROTO_ICMP || !icmp_is_error(l4[0]);
	switch (inner->flow.protocol) {
	case IPPROTO_ICMPV6:
		return l4[0] >= 128 && l4[0] != ICMP6_REDIRECT;
	case IPPROTO_HOPOPTS: /* the walk over the chain gave up before its end */
	case IPPROTO_ROUTING:
	case IPPROTO_FRAGMENT:
	case IPPROTO_AH:
	case IPPROTO_DSTOPTS:
		return false;
	}
	return true;
}

/* ---- answers --------------------------------------------------------------------------------- */

/* The header of an answer with l4_bytes behind it; returns its bytes. */
static uint32_t write_ip(const uint8_t *packet, uint8_t version, uint8_t protocol,
			 uint32_t l4_bytes, uint8_t *out)
{
	memset(out, 0, IPV6_HEADER);
	if (version == 6) {
		out[0] = 0x60;
		write16(out + 4, l4_bytes);
		out[6] = protocol;
		out[7] = HOPS;
		memcpy(out + IPV6_SOURCE, packet + IPV6_DESTINATION, 16);
		memcpy(out + IPV6_DESTINATION, packet + IPV6_SOURCE, 16);
		return IPV6_HEADER;
	}
	out[0] = 0x45;
	write16(out + 2, IPV4_HEADER + l4_bytes);
	out[8] = HOPS;
	out[9] = protocol;
	memcpy(out + IPV4_SOURCE, packet + IPV4_DESTINATION, 4);
	memcpy(out + IPV4_DESTINATION, packet + IPV4_SOURCE, 4);
	write16(out + IPV4_CHECKSUM, (uint16_t)~checksum_fold(checksum_add(0, out, IPV4_HEADER)));
	return IPV4_HEADER;
}

static uint64_t pseudo(const uint8_t *out, uint8_t version, uint8_t protocol, uint32_t l4_bytes)
{
	if (version == 6)
		return checksum_pseudo(out + IPV6_SOURCE, out + IPV6_DESTINATION, 16, protocol,
				       l4_bytes);
	return checksum_pseudo(out + IPV4_SOURCE, out + IPV4_DESTINATION, 4, protocol, l4_bytes);
}

static uint32_t build_rst(const uint8_t *packet, const struct inner *inner, uint8_t *out)
{
	const uint8_t *tcp = packet + inner->l3_bytes;
	uint32_t payload_bytes =
		inner->ip_length - inner->l3_bytes - (uint32_t)(tcp[TCP_OFFSET] >> 4) * 4;
	uint32_t at = write_ip(packet, inner->version, IPPROTO_TCP, TCP_HEADER, out);
	uint8_t *rst = out + at;

	memset(rst, 0, TCP_HEADER);
	memcpy(rst, tcp + 2, 2);
	memcpy(rst + 2, tcp, 2);
	rst[TCP_OFFSET] = TCP_HEADER / 4 << 4;
	if (tcp[TCP_FLAGS] & FLAG_ACK) {
		memcpy(rst + TCP_SEQUENCE, tcp + TCP_ACKNOWLEDGED, 4);
		rst[TCP_FLAGS] = FLAG_RST;
	} else {
		write32(rst + TCP_ACKNOWLEDGED, read32(tcp + TCP_SEQUENCE) + payload_bytes +
							!!(tcp[TCP_FLAGS] & FLAG_SYN) +
							!!(tcp[TCP_FLAGS] & FLAG_FIN));
		rst[TCP_FLAGS] = FLAG_RST | FLAG_ACK;
	}
	uint64_t sum = pseudo(out, inner->version, IPPROTO_TCP, TCP_HEADER);
	write16(rst + TCP_CHECKSUM, (uint16_t)~checksum_fold(checksum_add(sum, rst, TCP_HEADER)));
	return at + TCP_HEADER;
}

static uint32_t build_icmp(const uint8_t *packet, const struct inner *inner, uint8_t *out)
{
	bool v6 = inner->version == 6;
	uint8_t protocol = v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	uint32_t quoted_max = v6 ? (uint32_t)ICMP6_QUOTED : inner->l3_bytes + (uint32_t)ICMP_QUOTED;
	uint32_t quoted = inner->ip_length < quoted_max ? inner->ip_length : quoted_max;
	uint32_t l4_bytes = ICMP_HEADER + quoted;
	uint32_t at = write_ip(packet, inner->version, protocol, l4_bytes, out);
	uint8_t *icmp = out + at;

	memset(icmp, 0, ICMP_HEADER);
	icmp[0] = v6 ? ICMP6_UNREACHABLE : ICMP_UNREACHABLE;
	icmp[1] = v6 ? ICMP6_PROHIBITED : ICMP_PROHIBITED;
	memcpy(icmp + ICMP_HEADER, packet, quoted);
	uint64_t sum = v6 ? pseudo(out, 6, protocol, l4_bytes) : 0;
	write16(icmp + ICMP_CHECKSUM, (uint16_t)~checksum_fold(checksum_add(sum, icmp, l4_bytes)));
	return at + l4_bytes;
}

uint32_t reject_build(const uint8_t *packet, const struct inner *inner,
		      uint8_t out[REJECT_BYTES_MAX])
{
	if (!answerable(packet, inner))
		return 0;
	return inner->flow.protocol == IPPROTO_TCP ? build_rst(packet, inner, out)
						   : build_icmp(packet, inner, out);
}
