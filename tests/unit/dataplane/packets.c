/*
 * packets.c - see packets.h.
 */
#include "packets.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void put16(uint8_t *p, uint32_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static void put32(uint8_t *p, uint32_t value)
{
	put16(p, value >> 16);
	put16(p + 2, value & 0xffff);
}

static uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] * 256 + p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) << 16 | get16(p + 2);
}

uint16_t packet_checksum(uint32_t start, const uint8_t *bytes, size_t length)
{
	uint64_t sum = start;

	for (size_t i = 0; i < length; i++)
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] * 256;
	while (sum > 0xffff)
		sum = sum % 65536 + sum / 65536;
	return (uint16_t)~sum;
}

/* Not folded; the L4 length and protocol included. */
static uint32_t pseudo(const uint8_t *packet, uint8_t protocol, uint32_t l4_bytes)
{
	bool v4 = packet[0] >> 4 == 4;
	const uint8_t *addresses = packet + (v4 ? 12 : 8);
	uint32_t bytes = v4 ? 8 : 32, sum = protocol + (l4_bytes >> 16) + (l4_bytes & 0xffff);

	for (uint32_t i = 0; i < bytes; i += 2)
		sum += get16(addresses + i);
	return sum;
}

uint32_t packet_udp(uint8_t *out, uint8_t to, uint16_t port, uint32_t payload)
{
	return packet_build(out, &(struct packet){.version = 4,
						  .protocol = IPPROTO_UDP,
						  .source = 2,
						  .destination = to,
						  .source_port = port,
						  .dest_port = 53,
						  .payload_bytes = payload});
}

uint32_t packet_super(uint8_t *out, uint32_t payload)
{
	return packet_build(out, &(struct packet){.version = 4,
						  .protocol = IPPROTO_TCP,
						  .source = 2,
						  .destination = 1,
						  .source_port = 5000,
						  .dest_port = 80,
						  .df = true,
						  .tcp_flags = TCP_ACK | TCP_PSH,
						  .partial = true,
						  .payload_bytes = payload});
}

uint32_t packet_l4(const uint8_t *packet)
{
	return packet[0] >> 4 == 4 ? (packet[0] & 15) * 4u : 40;
}

static uint8_t protocol_of(const uint8_t *packet)
{
	return packet[0] >> 4 == 4 ? packet[9] : packet[6];
}

uint16_t packet_pseudo(const uint8_t *packet, uint32_t length)
{
	uint32_t sum = pseudo(packet, protocol_of(packet), length - packet_l4(packet));

	return (uint16_t)~packet_checksum(sum, NULL, 0);
}

static uint8_t *checksum_field(uint8_t *l4, uint8_t protocol)
{
	return l4 + (protocol == IPPROTO_TCP ? 16 : 6);
}

static void fix_l4(uint8_t *packet, uint32_t l4_at, uint8_t protocol, uint32_t l4_bytes)
{
	uint8_t *l4 = packet + l4_at;
	uint16_t checksum;

	put16(checksum_field(l4, protocol), 0);
	checksum = packet_checksum(pseudo(packet, protocol, l4_bytes), l4, l4_bytes);
	if (checksum == 0 && protocol == IPPROTO_UDP)
		checksum = 0xffff;
	put16(checksum_field(l4, protocol), checksum);
}

static void fix_ip(uint8_t *packet)
{
	if (packet[0] >> 4 == 4) {
		put16(packet + 10, 0);
		put16(packet + 10, packet_checksum(0, packet, packet_l4(packet)));
	}
}

void packet_fix(uint8_t *packet, uint32_t length)
{
	uint32_t l4 = packet_l4(packet);

	fix_ip(packet);
	fix_l4(packet, l4, protocol_of(packet), length - l4);
}

static uint32_t build_ip(uint8_t *out, const struct packet *p, uint32_t l4_bytes)
{
	uint8_t source = p->source ? p->source : 1,
		destination = p->destination ? p->destination : 2;
	uint32_t header;

	if (p->version == 4) {
		header = 20 + p->ip_options_bytes;
		memset(out, 0, header);
		out[0] = (uint8_t)(0x40 | header / 4);
		out[1] = p->tos;
		put16(out + 2, header + l4_bytes);
		put16(out + 4, p->ip_id);
		put16(out + 6, (p->df ? 0x4000u : 0u) | p->fragment);
		out[8] = p->ttl ? p->ttl : 64;
		out[9] = p->protocol;
		put32(out + 12, 0x0a000000u + source);
		put32(out + 16, 0x0a000000u + destination);
		if (p->ip_options_bytes)
			memcpy(out + 20, p->ip_options, p->ip_options_bytes);
		fix_ip(out);
		return header;
	}
	memset(out, 0, 40);
	put32(out, 6u << 28 | (uint32_t)p->tos << 20 | p->flow_label);
	put16(out + 4, p->extension_bytes + l4_bytes);
	out[6] = p->extension_bytes ? p->extension_first : p->protocol;
	out[7] = p->ttl ? p->ttl : 64;
	out[8] = out[24] = 0xfd;
	out[23] = source;
	out[39] = destination;
	if (p->extension_bytes)
		memcpy(out + 40, p->extension, p->extension_bytes);
	return 40 + p->extension_bytes;
}

static uint32_t build_l4(uint8_t *l4, const struct packet *p)
{
	if (p->protocol == IPPROTO_TCP) {
		uint32_t header = 20 + p->tcp_options_bytes;

		memset(l4, 0, header);
		put32(l4 + 4, p->sequence);
		put32(l4 + 8, p->ack);
		l4[12] = (uint8_t)(header / 4 << 4);
		l4[13] = p->tcp_flags;
		put16(l4 + 14, p->window);
		put16(l4 + 18, p->urgent);
		if (p->tcp_options_bytes)
			memcpy(l4 + 20, p->tcp_options, p->tcp_options_bytes);
		put16(l4, p->source_port);
		put16(l4 + 2, p->dest_port);
		return header;
	}
	if (p->protocol == IPPROTO_UDP) {
		memset(l4, 0, 8);
		put16(l4, p->source_port);
		put16(l4 + 2, p->dest_port);
		put16(l4 + 4, 8 + p->payload_bytes);
		return 8;
	}
	return 0;
}

uint32_t packet_build(uint8_t *out, const struct packet *p)
{
	bool sums = p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP;
	uint32_t l4_header = p->protocol == IPPROTO_TCP   ? 20 + p->tcp_options_bytes
			     : p->protocol == IPPROTO_UDP ? 8
							  : 0;
	uint32_t l4_bytes = l4_header + p->payload_bytes, l4 = build_ip(out, p, l4_bytes);

	build_l4(out + l4, p);
	for (uint32_t i = 0; i < p->payload_bytes; i++)
		out[l4 + l4_header + i] = p->payload ? p->payload[i] : (uint8_t)(i * 7 + 1);
	if (sums && p->partial)
		put16(checksum_field(out + l4, p->protocol),
		      (uint16_t)~packet_checksum(pseudo(out, p->protocol, l4_bytes), NULL, 0));
	else if (sums && !(p->no_checksum && p->protocol == IPPROTO_UDP))
		fix_l4(out, l4, p->protocol, l4_bytes);
	return l4 + l4_bytes;
}

uint32_t packet_cut(const uint8_t *super, uint32_t length, const struct virtio_net_hdr *vnet,
		    uint32_t k, uint8_t *out)
{
	uint8_t protocol = (vnet->gso_type & 0x7f) == 5 ? IPPROTO_UDP : IPPROTO_TCP;
	uint32_t l3 = vnet->csum_start, header, payload, from, bytes;
	uint8_t *l4 = out + l3;
	bool last;

	header = l3 + (protocol == IPPROTO_UDP ? 8 : (super[l3 + 12] >> 4) * 4u);
	payload = length - header;
	from = k * vnet->gso_size;
	if (k > 0 && from >= payload)
		return 0;
	bytes = payload - from < vnet->gso_size ? payload - from : vnet->gso_size;
	last = from + bytes == payload;
	memcpy(out, super, header);
	memcpy(out + header, super + header + from, bytes);

	if (super[0] >> 4 == 4) {
		put16(out + 2, header + bytes);
		put16(out + 4, (get16(super + 4) + k) % 65536);
		fix_ip(out);
	} else {
		put16(out + 4, header + bytes - 40);
	}
	if (protocol == IPPROTO_TCP) {
		put32(l4 + 4, get32(super + l3 + 4) + from);
		if (!last)
			l4[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
		if (k > 0)
			l4[13] &= (uint8_t)~TCP_CWR;
	} else {
		put16(l4 + 4, 8 + bytes);
	}
	fix_l4(out, l3, protocol, header - l3 + bytes);
	return header + bytes;
}

struct virtio_net_hdr packet_vnet(const uint8_t *packet, uint16_t gso_size)
{
	uint8_t protocol = protocol_of(packet);
	uint32_t l4 = packet_l4(packet);
	struct virtio_net_hdr vnet = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = protocol == IPPROTO_UDP ? 5
			    : packet[0] >> 4 == 4   ? 1
						    : 4,
		.gso_size = gso_size,
		.csum_start = (uint16_t)l4,
		.csum_offset = protocol == IPPROTO_UDP ? 6 : 16,
	};

	vnet.hdr_len = (uint16_t)(l4 + (protocol == IPPROTO_UDP ? 8 : (packet[l4 + 12] >> 4) * 4));
	return vnet;
}

uint32_t packet_random(struct packet_random *r)
{
	r->state ^= r->state >> 12;
	r->state ^= r->state << 25;
	r->state ^= r->state >> 27;
	return (uint32_t)(r->state * 2685821657736338717u >> 32);
}

uint32_t packet_below(struct packet_random *r, uint32_t bound)
{
	return (uint32_t)((uint64_t)packet_random(r) * bound >> 32);
}

void packet_fill(struct packet_random *r, void *bytes, size_t length)
{
	uint8_t *p = bytes;

	for (size_t i = 0; i < length; i += 4) {
		uint32_t word = packet_random(r);

		memcpy(p + i, &word, length - i < 4 ? length - i : 4);
	}
}

uint8_t *packet_at_edge(const void *bytes, size_t length)
{
	enum { ROOM = 65536, GUARD = 4096 };
	static uint8_t *map;

	if (!map) {
		map = mmap(NULL, ROOM + GUARD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);
		if (map == MAP_FAILED || mprotect(map + ROOM, GUARD, PROT_NONE) != 0)
			abort();
	}
	return memcpy(map + ROOM - length, bytes, length);
}
