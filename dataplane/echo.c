/*
 * echo.c - a node without a tun answers pings itself (PROTOCOL.md 4.9).
 *
 * Exits: TUN_DISABLED for everything that is not a plain echo request, those of
 * outbound_on_tunnel(), or answered. The ICMP checksum is updated, not computed: a request that was
 * damaged before it was sealed stays recognisably damaged.
 */
#include "worker.h"

#include "io/checksum.h"

enum {
	IPV4_TTL = 8,
	IPV4_CHECKSUM = 10,
	IPV4_SOURCE = 12,
	IPV4_HEADER = 20,
	IPV6_HOP_LIMIT = 7,
	IPV6_SOURCE = 8,
	ICMP_CHECKSUM = 2,
	ICMP_HEADER = 8,
	ECHO_REQUEST_V4 = 8,
	ECHO_REPLY_V4 = 0,
	ECHO_REQUEST_V6 = 128,
	ECHO_REPLY_V6 = 129,
	HOPS = 64,
};

static void swap_addresses(uint8_t *at, uint32_t bytes)
{
	uint8_t source[16];

	memcpy(source, at, bytes);
	memcpy(at, at + bytes, bytes);
	memcpy(at + bytes, source, bytes);
}

static bool is_echo_request(const uint8_t *packet, const struct inner *inner)
{
	const uint8_t *icmp = packet + inner->l3_bytes;

	if (!inner->plain_ip || inner->flow.fragment ||
	    inner->ip_length - inner->l3_bytes < (uint32_t)ICMP_HEADER)
		return false;
	if (inner->version == 4)
		return inner->flow.protocol == IPPROTO_ICMP && icmp[0] == ECHO_REQUEST_V4 &&
		       icmp[1] == 0;
	return inner->flow.protocol == IPPROTO_ICMPV6 && icmp[0] == ECHO_REQUEST_V6 && icmp[1] == 0;
}

/* One's complement of 16 bits: what the type's byte loses, the checksum gains. */
static void set_type(uint8_t *icmp, uint8_t type)
{
	uint32_t sum = (uint32_t)(icmp[ICMP_CHECKSUM] << 8 | icmp[ICMP_CHECKSUM + 1]);

	sum = (uint16_t)~sum + (uint32_t)(uint16_t) ~(icmp[0] << 8) + (uint32_t)(type << 8);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (uint16_t)~sum;
	icmp[0] = type;
	icmp[ICMP_CHECKSUM] = (uint8_t)(sum >> 8);
	icmp[ICMP_CHECKSUM + 1] = (uint8_t)sum;
}

static void turn_round(uint8_t *packet, const struct inner *inner)
{
	if (inner->version == 6) {
		swap_addresses(packet + IPV6_SOURCE, 16);
		packet[IPV6_HOP_LIMIT] = HOPS;
		set_type(packet + inner->l3_bytes, ECHO_REPLY_V6);
		return;
	}
	swap_addresses(packet + IPV4_SOURCE, 4);
	packet[IPV4_TTL] = HOPS;
	memset(packet + IPV4_CHECKSUM, 0, 2);
	uint16_t sum = (uint16_t)~checksum_fold(checksum_add(0, packet, IPV4_HEADER));
	packet[IPV4_CHECKSUM] = (uint8_t)(sum >> 8);
	packet[IPV4_CHECKSUM + 1] = (uint8_t)sum;
	set_type(packet + inner->l3_bytes, ECHO_REPLY_V4);
}

enum drop echo_answer(struct worker *w, struct tunnel *tunnel, uint8_t *packet,
		      const struct inner *inner)
{
	static const struct virtio_net_hdr plain;
	struct inner reply;

	if (!is_echo_request(packet, inner))
		return DROP_TUN_DISABLED;
	turn_round(packet, inner);
	enum drop reason = inner_parse(packet, inner->ip_length, OUTBOUND, &reply);
	if (reason != DROP_NONE)
		return reason;
	return outbound_on_tunnel(w, tunnel, packet, inner->ip_length, &plain, &reply);
}
