/*
 * segment.c - cutting a tun super-packet (PROTOCOL.md 11.2, 11.3); segment.h holds the theory.
 *
 * What all segments share is summed once: header_sum is the pseudo header and the L4 header with
 * every field that differs held at zero, l3_sum the IPv4 header likewise. A segment then costs one
 * pass over its payload, which the AEAD reads next from L1, and a few additions.
 */
#include "io/segment.h"

#include <endian.h>
#include <string.h>

#include "io/checksum.h"

enum {
	IPV4_ID = 4,
	IPV4_CHECKSUM = 10,
	TCP_SEQUENCE = 4,
	TCP_DATA_OFFSET = 12,
	TCP_FLAGS = 13,
	TCP_CHECKSUM = 16,
	TCP_HEADER = 20,
	UDP_LENGTH = 4,
	UDP_CHECKSUM = 6,
	UDP_HEADER = 8,
};

enum { FIN = 0x01, PSH = 0x08, CWR = 0x80 };

static void write16(uint8_t *p, uint32_t value)
{
	uint16_t big = htobe16((uint16_t)value);

	memcpy(p, &big, 2);
}

static uint16_t read16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void write32(uint8_t *p, uint32_t value)
{
	uint32_t big = htobe32(value);

	memcpy(p, &big, 4);
}

static uint32_t read32(const uint8_t *p)
{
	uint32_t big;

	memcpy(&big, p, 4);
	return be32toh(big);
}

/* NEEDS_CSUM without GSO: the kernel left the pseudo sum in the field, the rest is ours. */
static enum drop complete_checksum(uint8_t *packet, uint32_t length,
				   const struct virtio_net_hdr *vnet)
{
	uint32_t start = vnet->csum_start, field = start + vnet->csum_offset;
	uint16_t checksum;

	if (start >= length || field + 2 > length)
		return DROP_INNER_GSO;
	checksum = (uint16_t)~checksum_fold(checksum_add(0, packet + start, length - start));
	if (checksum == 0 && vnet->csum_offset == UDP_CHECKSUM)
		checksum = 0xffff; /* 0 would say "no checksum" */
	write16(packet + field, checksum);
	return DROP_NONE;
}

/* Does the GSO type fit what was parsed? */
static bool type_fits(const struct virtio_net_hdr *vnet, const struct inner *inner)
{
	uint8_t type = vnet->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	bool ecn = type != vnet->gso_type;
	uint8_t protocol = inner->flow.protocol;

	if (inner->flow.fragment || vnet->gso_size == 0)
		return false;
	switch (type) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return inner->version == 4 && protocol == IPPROTO_TCP;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return inner->version == 6 && protocol == IPPROTO_TCP;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		return protocol == IPPROTO_UDP && !ecn;
	default:
		return false;
	}
}

/*
 * The pseudo header's sum without the L4 length. A source route makes it differ from the addresses
 * in the IP header; then the kernel's own partial sum in the checksum field is the one to trust.
 */
static uint64_t pseudo_sum(const uint8_t *packet, uint32_t l4_bytes, const uint8_t *field,
			   const struct virtio_net_hdr *vnet, const struct inner *inner)
{
	uint8_t protocol = inner->flow.protocol;

	if (!inner->plain_ip && vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		return (uint64_t)read16(field) + (uint16_t)~l4_bytes;
	if (inner->version == 4)
		return checksum_pseudo(packet + 12, packet + 16, 4, protocol, 0);
	return checksum_pseudo(packet + 8, packet + 24, 16, protocol, 0);
}

/* Saves the header as a template with the differing fields at zero, and sums what is left. */
static void make_template(struct segmenter *s, const struct virtio_net_hdr *vnet,
			  const struct inner *inner)
{
	uint8_t *l4 = s->header + s->l3_bytes;
	uint32_t l4_bytes = s->length - s->l3_bytes;
	uint64_t sum;

	memcpy(s->header, s->packet, s->header_bytes);
	sum = pseudo_sum(s->packet, l4_bytes,
			 l4 + (s->protocol == IPPROTO_TCP ? TCP_CHECKSUM : UDP_CHECKSUM), vnet,
			 inner);
	if (s->protocol == IPPROTO_TCP) {
		s->tcp_sequence = read32(l4 + TCP_SEQUENCE);
		s->tcp_flags = l4[TCP_FLAGS];
		write32(l4 + TCP_SEQUENCE, 0);
		l4[TCP_FLAGS] &= (uint8_t) ~(FIN | PSH | CWR);
		write16(l4 + TCP_CHECKSUM, 0);
	} else {
		write16(l4 + UDP_LENGTH, 0);
		write16(l4 + UDP_CHECKSUM, 0);
	}
	sum = checksum_add(sum, l4, s->header_bytes - s->l3_bytes);
	s->header_sum = checksum_fold(sum);

	if (s->version == 4) {
		s->ip_id = read16(s->header + IPV4_ID);
		write32(s->header + 2, 0); /* total length and identification */
		write16(s->header + IPV4_CHECKSUM, 0);
		s->l3_sum = checksum_fold(checksum_add(0, s->header, s->l3_bytes));
	}
}

enum drop segment_begin(struct segmenter *s, uint8_t *packet, uint32_t length,
			const struct virtio_net_hdr *vnet, const struct inner *inner)
{
	uint32_t l4_header, payload;

	s->packet = packet;
	s->length = length;
	s->count = 1;
	s->next = 0;
	s->header_bytes = 0;
	if (vnet->flags & VIRTIO_NET_HDR_F_RSC_INFO)
		return DROP_INNER_GSO;
	if (vnet->gso_type == VIRTIO_NET_HDR_GSO_NONE) {
		if (vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
			return complete_checksum(packet, length, vnet);
		return DROP_NONE;
	}

	if (length > UINT16_MAX || !type_fits(vnet, inner))
		return DROP_INNER_GSO;
	if (vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM && vnet->csum_start != inner->l3_bytes)
		return DROP_INNER_GSO;
	s->protocol = inner->flow.protocol;
	s->version = inner->version;
	l4_header = s->protocol == IPPROTO_TCP ? TCP_HEADER : UDP_HEADER;
	if (inner->l3_bytes + l4_header > length)
		return DROP_INNER_GSO;
	if (s->protocol == IPPROTO_TCP) {
		l4_header = (packet[inner->l3_bytes + TCP_DATA_OFFSET] >> 4) * 4u;
		if (l4_header < TCP_HEADER || inner->l3_bytes + l4_header > length)
			return DROP_INNER_GSO;
	}
	if (inner->l3_bytes + l4_header > INNER_HEADER_MAX)
		return DROP_INNER_GSO;

	s->l3_bytes = (uint8_t)inner->l3_bytes;
	s->header_bytes = inner->l3_bytes + l4_header;
	s->segment_bytes = vnet->gso_size;
	payload = length - s->header_bytes;
	if (payload > s->segment_bytes)
		s->count = (payload + s->segment_bytes - 1) / s->segment_bytes;
	make_template(s, vnet, inner);
	return DROP_NONE;
}

uint8_t *segment_next(struct segmenter *s, uint32_t *length)
{
	uint32_t k = s->next++, at = k * s->segment_bytes, payload, l4_bytes;
	bool last = s->next == s->count;
	uint8_t *packet = s->packet + at, *l4 = packet + s->l3_bytes;
	uint64_t sum;

	if (s->header_bytes == 0) {
		*length = s->length;
		return s->packet;
	}

	payload = last ? s->length - s->header_bytes - at : s->segment_bytes;
	l4_bytes = s->header_bytes - s->l3_bytes + payload;
	*length = s->header_bytes + payload;
	memcpy(packet, s->header, s->header_bytes);
	if (s->version == 4) {
		uint32_t id = (s->ip_id + k) & 0xffff;

		write16(packet + 2, *length);
		write16(packet + IPV4_ID, id);
		write16(packet + IPV4_CHECKSUM,
			(uint16_t)~checksum_fold((uint64_t)s->l3_sum + *length + id));
	} else {
		write16(packet + 4, *length - 40);
	}

	sum = checksum_add((uint64_t)s->header_sum + l4_bytes, packet + s->header_bytes, payload);
	if (s->protocol == IPPROTO_TCP) {
		uint32_t sequence = s->tcp_sequence + at;
		uint8_t flags =
			(k == 0 ? s->tcp_flags & CWR : 0) | (last ? s->tcp_flags & (FIN | PSH) : 0);

		write32(l4 + TCP_SEQUENCE, sequence);
		l4[TCP_FLAGS] |= flags;
		sum += (sequence >> 16) + (sequence & 0xffff) + flags;
		write16(l4 + TCP_CHECKSUM, (uint16_t)~checksum_fold(sum));
	} else {
		uint16_t checksum = (uint16_t)~checksum_fold(sum + l4_bytes);

		write16(l4 + UDP_LENGTH, l4_bytes);
		write16(l4 + UDP_CHECKSUM, checksum ? checksum : 0xffff);
	}
	return packet;
}
