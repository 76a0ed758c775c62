/*
 * join.c - which packets join, and the super-packet they become (PROTOCOL.md 11.5); join.h holds
 * the theory.
 *
 * The rule behind every rule: the kernel, cutting the super-packet again, must get back the very
 * packets that went in. So what it would rewrite is joined only if it already has the value the
 * kernel would write.
 */
#include "io/join.h"

#include <endian.h>
#include <string.h>

#include "io/checksum.h"

enum {
	IPV4_HEADER = 20,
	IPV4_FLAGS = 6,
	IPV4_DONT_FRAGMENT = 0x40,
	IPV6_HEADER = 40,
	TCP_SEQUENCE = 4,
	TCP_DATA_OFFSET = 12,
	TCP_FLAGS = 13,
	TCP_CHECKSUM = 16,
	TCP_HEADER = 20,
	UDP_LENGTH = 4,
	UDP_CHECKSUM = 6,
	UDP_HEADER = 8,
};

enum { PSH = 0x08, ACK = 0x10, ECE = 0x40 };

static uint16_t read16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void write16(uint8_t *p, uint32_t value)
{
	uint16_t big = htobe16((uint16_t)value);

	memcpy(p, &big, 2);
}

static uint32_t read32(const uint8_t *p)
{
	uint32_t big;

	memcpy(&big, p, 4);
	return be32toh(big);
}

static uint64_t pseudo_sum(const uint8_t *packet, uint8_t version, uint8_t protocol,
			   uint32_t l4_bytes)
{
	if (version == 4)
		return checksum_pseudo(packet + 12, packet + 16, 4, protocol, l4_bytes);
	return checksum_pseudo(packet + 8, packet + 24, 16, protocol, l4_bytes);
}

/*
 * Are the checksums right, and the ones the kernel would compute? 0 and 0xffff are the same number
 * to a verifier; IPv4 and TCP are cut again with 0, UDP (where 0 means none) with 0xffff.
 */
static bool checksums_right(const uint8_t *packet, uint32_t length, const struct inner *inner)
{
	const uint8_t *l4 = packet + inner->l3_bytes;
	uint32_t l4_bytes = length - inner->l3_bytes;
	uint8_t protocol = inner->flow.protocol;
	uint64_t sum;

	if (inner->version == 4 && (checksum_fold(checksum_ipv4_header(packet)) != 0xffff ||
				    read16(packet + 10) == 0xffff))
		return false;
	if (protocol == IPPROTO_TCP ? read16(l4 + TCP_CHECKSUM) == 0xffff
				    : read16(l4 + UDP_CHECKSUM) == 0)
		return false;
	sum = pseudo_sum(packet, inner->version, protocol, l4_bytes);
	return checksum_fold(checksum_add(sum, l4, l4_bytes)) == 0xffff;
}

static enum join_kind classify_tcp(const uint8_t *packet, uint32_t length,
				   const struct inner *inner, bool tso)
{
	const uint8_t *l4 = packet + inner->l3_bytes;
	uint32_t l4_bytes = inner->ip_length - inner->l3_bytes, header;

	if (l4_bytes < TCP_HEADER)
		return JOIN_BARRIER;
	header = (l4[TCP_DATA_OFFSET] >> 4) * 4u;
	if (header < TCP_HEADER || header > l4_bytes)
		return JOIN_BARRIER;
	if ((l4[TCP_FLAGS] & ~(PSH | ECE)) != ACK || l4[TCP_DATA_OFFSET] & 0xf)
		return JOIN_ALONE;
	if (header == l4_bytes)
		return JOIN_PURE_ACK;
	if (!tso || length != inner->ip_length || !checksums_right(packet, length, inner))
		return JOIN_ALONE;
	return JOIN_DATA;
}

static enum join_kind classify_udp(const uint8_t *packet, uint32_t length,
				   const struct inner *inner, bool uso)
{
	const uint8_t *l4 = packet + inner->l3_bytes;
	uint32_t l4_bytes = inner->ip_length - inner->l3_bytes;

	if (l4_bytes < UDP_HEADER)
		return JOIN_BARRIER;
	if (!uso || length != inner->ip_length || l4_bytes == UDP_HEADER ||
	    read16(l4 + UDP_LENGTH) != l4_bytes || !checksums_right(packet, length, inner))
		return JOIN_ALONE;
	return JOIN_DATA;
}

enum join_kind join_classify(const uint8_t *packet, uint32_t length, const struct inner *inner,
			     bool tso, bool uso)
{
	if (!inner->plain_ip)
		return JOIN_BARRIER;
	/* Beyond what IPv4 and the kernel's tun take: cannot be cut back from a super-packet. */
	if (length > JOIN_BYTES_MAX)
		return JOIN_ALONE;
	if (inner->flow.protocol == IPPROTO_TCP)
		return classify_tcp(packet, length, inner, tso);
	if (inner->flow.protocol == IPPROTO_UDP)
		return classify_udp(packet, length, inner, uso);
	return JOIN_ALONE;
}

void join_begin(struct chain *chain, uint8_t *packet, uint32_t length, uint32_t capacity,
		const struct inner *inner)
{
	const uint8_t *l4 = packet + inner->l3_bytes;
	uint32_t l4_header = UDP_HEADER;

	chain->packet = packet;
	chain->length = length;
	chain->capacity = capacity;
	chain->count = 1;
	chain->l3_bytes = inner->l3_bytes;
	chain->version = inner->version;
	chain->protocol = inner->flow.protocol;
	chain->closed = chain->push = false;
	chain->ip_id = inner->version == 4 ? read16(packet + 4) : 0;
	if (chain->protocol == IPPROTO_TCP) {
		l4_header = (l4[TCP_DATA_OFFSET] >> 4) * 4u;
		chain->closed = chain->push = l4[TCP_FLAGS] & PSH;
	}
	chain->header_bytes = (uint16_t)(inner->l3_bytes + l4_header);
	chain->segment_bytes = length - chain->header_bytes;
	if (chain->protocol == IPPROTO_TCP)
		chain->tcp_next = read32(l4 + TCP_SEQUENCE) + chain->segment_bytes;
	memcpy(chain->header, packet, chain->header_bytes);
}

/* May length more bytes, header included, continue the chain as far as sizes tell? (A chain of
 * JOIN_SEGMENTS_MAX is closed.) */
static bool size_fits(const struct chain *chain, uint32_t length)
{
	uint32_t payload = length - chain->header_bytes;

	return !chain->closed && length > chain->header_bytes && payload <= chain->segment_bytes &&
	       payload <= JOIN_BYTES_MAX - chain->length &&
	       payload <= chain->capacity - chain->length;
}

uint8_t *join_place(const struct chain *chain, uint32_t length, uint8_t saved[INNER_HEADER_MAX])
{
	uint8_t *place = chain->packet + chain->length - chain->header_bytes;

	if (!size_fits(chain, length))
		return NULL;
	memcpy(saved, place, chain->header_bytes);
	return place;
}

void join_restore(const struct chain *chain, const uint8_t saved[INNER_HEADER_MAX])
{
	memcpy(chain->packet + chain->length - chain->header_bytes, saved, chain->header_bytes);
}

/* Bytes that must be equal, per base header. Zero where length, id, checksum, sequence and PSH
 * stand; flags other than PSH were settled by join_classify() except ECE. */
#define IPV4_MASK                                                                                  \
	0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, /* version, DSCP/ECN, length, id, flags, offset */     \
		0xff, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff
#define IPV6_MASK                                                                                  \
	0xff, 0xff, 0xff, 0xff, 0, 0, 0xff, 0xff, /* traffic class, label, length, next, hops */   \
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,      \
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,      \
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff
#define TCP_MASK                                                                                   \
	0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, /* ports, sequence, ack */     \
		0xff, (uint8_t)~PSH, 0xff, 0xff, 0, 0, 0xff, 0xff   /* window, checksum, urgent */
#define UDP_MASK 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0

static const uint8_t mask_tcp4[IPV4_HEADER + TCP_HEADER] = {IPV4_MASK, TCP_MASK};
static const uint8_t mask_tcp6[IPV6_HEADER + TCP_HEADER] = {IPV6_MASK, TCP_MASK};
static const uint8_t mask_udp4[IPV4_HEADER + UDP_HEADER] = {IPV4_MASK, UDP_MASK};
static const uint8_t mask_udp6[IPV6_HEADER + UDP_HEADER] = {IPV6_MASK, UDP_MASK};

/* Inlined with a constant length it is straight-line code: a load, xor, and, or per eight bytes.
 * A length that is no multiple of eight ends with a load that overlaps the one before. */
static inline __attribute__((always_inline)) bool equal_masked(const uint8_t *a, const uint8_t *b,
							       const uint8_t *mask, size_t length)
{
	uint64_t differ = 0, x, y, m;

#pragma GCC unroll 8
	for (size_t i = 0; i < length; i += 8) {
		size_t at = i + 8 <= length ? i : length - 8;

		memcpy(&x, a + at, 8);
		memcpy(&y, b + at, 8);
		memcpy(&m, mask + at, 8);
		differ |= (x ^ y) & m;
	}
	return differ == 0;
}

static bool header_equal(const struct chain *chain, const uint8_t *packet)
{
	if (chain->version == 4) {
		if (chain->protocol == IPPROTO_TCP)
			return equal_masked(packet, chain->header, mask_tcp4, sizeof(mask_tcp4));
		return equal_masked(packet, chain->header, mask_udp4, sizeof(mask_udp4));
	}
	if (chain->protocol == IPPROTO_TCP)
		return equal_masked(packet, chain->header, mask_tcp6, sizeof(mask_tcp6));
	return equal_masked(packet, chain->header, mask_udp6, sizeof(mask_udp6));
}

/* Does the JOIN_DATA packet continue the chain? The chain's version, protocol and header length
 * are in the bytes compared, so the packet has them too once they are equal. */
static bool continues(const struct chain *chain, const uint8_t *packet, uint32_t length)
{
	const uint8_t *l4 = packet + chain->l3_bytes;

	if (!size_fits(chain, length) || !header_equal(chain, packet))
		return false;
	if (chain->version == 4 && !(packet[IPV4_FLAGS] & IPV4_DONT_FRAGMENT) &&
	    read16(packet + 4) != (uint16_t)(chain->ip_id + chain->count))
		return false;
	if (chain->protocol == IPPROTO_TCP) {
		uint32_t base = chain->l3_bytes + TCP_HEADER;

		if (read32(l4 + TCP_SEQUENCE) != chain->tcp_next)
			return false;
		if (memcmp(packet + base, chain->header + base, chain->header_bytes - base) != 0)
			return false;
	}
	return true;
}

/* push: the packet's PSH, read before its header was overwritten. */
static void grow(struct chain *chain, uint32_t payload, bool push)
{
	chain->length += payload;
	chain->count++;
	chain->tcp_next += payload;
	chain->push = push;
	chain->closed = push || payload < chain->segment_bytes || chain->count == JOIN_SEGMENTS_MAX;
}

static bool has_push(const struct chain *chain, const uint8_t *packet)
{
	return chain->protocol == IPPROTO_TCP && packet[chain->l3_bytes + TCP_FLAGS] & PSH;
}

bool join_accept(struct chain *chain, uint8_t *opened, uint32_t length, const struct inner *inner,
		 enum join_kind kind, const uint8_t saved[INNER_HEADER_MAX])
{
	bool push;

	if (kind != JOIN_DATA || !continues(chain, opened, length))
		return false;
	push = has_push(chain, opened);
	join_restore(chain, saved);
	grow(chain, length - chain->header_bytes, push);
	return true;
}

uint32_t join_append(struct chain *chain, const uint8_t *packet, uint32_t length,
		     const struct inner *inner, enum join_kind kind)
{
	uint32_t payload = length - chain->header_bytes;

	if (kind != JOIN_DATA || !continues(chain, packet, length))
		return 0;
	memcpy(chain->packet + chain->length, packet + chain->header_bytes, payload);
	grow(chain, payload, has_push(chain, packet));
	return payload;
}

bool join_same_flow(const struct chain *chain, const uint8_t *packet, const struct inner *inner)
{
	uint32_t at = chain->version == 4 ? 12 : 8, bytes = chain->version == 4 ? 8 : 32;

	return inner->version == chain->version && inner->flow.protocol == chain->protocol &&
	       !inner->flow.fragment &&
	       memcmp(packet + inner->l3_bytes, chain->header + chain->l3_bytes, 4) == 0 &&
	       memcmp(packet + at, chain->header + at, bytes) == 0;
}

void join_finish(struct chain *chain, struct virtio_net_hdr *vnet)
{
	uint8_t *packet = chain->packet, *l4 = packet + chain->l3_bytes;
	uint32_t l4_bytes = chain->length - chain->l3_bytes;
	uint16_t pseudo;

	memset(vnet, 0, sizeof(*vnet));
	if (chain->count == 1) {
		vnet->flags = VIRTIO_NET_HDR_F_DATA_VALID;
		return;
	}

	if (chain->version == 4) {
		write16(packet + 2, chain->length);
		write16(packet + 10, 0);
		write16(packet + 10, (uint16_t)~checksum_fold(checksum_ipv4_header(packet)));
		vnet->gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	} else {
		write16(packet + 4, chain->length - IPV6_HEADER);
		vnet->gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
	}
	pseudo = checksum_fold(pseudo_sum(packet, chain->version, chain->protocol, l4_bytes));
	if (chain->protocol == IPPROTO_TCP) {
		if (chain->push)
			l4[TCP_FLAGS] |= PSH;
		write16(l4 + TCP_CHECKSUM, pseudo);
		vnet->csum_offset = TCP_CHECKSUM;
	} else {
		write16(l4 + UDP_LENGTH, l4_bytes);
		write16(l4 + UDP_CHECKSUM, pseudo);
		vnet->gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
		vnet->csum_offset = UDP_CHECKSUM;
	}
	vnet->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	vnet->hdr_len = chain->header_bytes;
	vnet->gso_size = (uint16_t)chain->segment_bytes;
	vnet->csum_start = chain->l3_bytes;
}
