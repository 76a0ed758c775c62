/*
 * Joining as a whole: what is cut joins back to the same bytes, and mixed flows survive the
 * in-place protocol of join.h (a memcpy plays the AEAD). Whatever leaves is cut again by the slow
 * cutter and must be what came in, in order per flow (PROTOCOL.md 13.4 rows 57 to 59).
 */
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/join.h"
#include "io/segment.h"
#include "packets.h"

#define SEED 57

enum { AREA = 66000, AREAS = 3 };

/* A super-packet must be one the kernel takes: header fields, sums and sizes that agree. */
static void check_super(const uint8_t *packet, uint32_t length, const struct virtio_net_hdr *vnet)
{
	struct virtio_net_hdr expected = packet_vnet(packet, vnet->gso_size);
	const uint8_t *field = packet + vnet->csum_start + vnet->csum_offset;
	struct inner inner;

	cr_assert_eq(memcmp(vnet, &expected, sizeof(expected)), 0);
	cr_assert_eq(inner_parse(packet, length, INBOUND, &inner), DROP_NONE);
	cr_assert_eq(inner.ip_length, length);
	cr_assert(vnet->gso_size > 0 && length > (uint32_t)vnet->hdr_len + vnet->gso_size);
	cr_assert_eq(field[0] << 8 | field[1], packet_pseudo(packet, length));
	if (inner.version == 4)
		cr_assert_eq(packet_checksum(0, packet, 20), 0);
}

/* --- segment, then join ------------------------------------------------------------------------
 */

struct round_trip {
	uint8_t original[70000]; /* as the kernel gave it */
	uint8_t cut[70000];      /* what segment_next() works on */
	uint8_t area[AREA];
	uint8_t expected[70000];
	struct virtio_net_hdr vnet;
	uint32_t length;
	uint32_t written; /* segments that left */
	struct chain chain;
	bool open;
	char what[64];
};

static void expect_segment(struct round_trip *t, const uint8_t *packet, uint32_t length)
{
	uint32_t bytes = packet_cut(t->original, t->length, &t->vnet, t->written++, t->expected);

	cr_assert_eq(length, bytes, "%s: segment %u: %u bytes", t->what, t->written - 1, length);
	cr_assert_eq(memcmp(packet, t->expected, bytes), 0, "%s: segment %u", t->what,
		     t->written - 1);
}

static void close_chain(struct round_trip *t)
{
	static uint8_t segment[70000];
	struct virtio_net_hdr vnet;
	uint32_t bytes;

	if (!t->open)
		return;
	t->open = false;
	join_finish(&t->chain, &vnet);
	if (t->chain.count == 1) {
		expect_segment(t, t->chain.packet, t->chain.length);
		return;
	}
	check_super(t->chain.packet, t->chain.length, &vnet);
	if (t->chain.length == t->length) { /* one chain took everything: the very packet */
		cr_assert_eq(memcmp(t->chain.packet, t->original, t->length), 0, "%s", t->what);
		t->vnet.gso_type &= (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
		cr_assert_eq(memcmp(&vnet, &t->vnet, sizeof(vnet)), 0, "%s", t->what);
	}
	for (uint32_t k = 0; k < t->chain.count; k++) {
		bytes = packet_cut(t->chain.packet, t->chain.length, &vnet, k, segment);
		expect_segment(t, segment, bytes);
	}
}

static void arrive(struct round_trip *t, const uint8_t *segment, uint32_t length)
{
	uint8_t saved[INNER_HEADER_MAX], *place = NULL;
	enum join_kind kind;
	struct inner inner;

	if (t->open)
		place = join_place(&t->chain, length, saved);
	if (place)
		memcpy(place, segment, length);
	cr_assert_eq(inner_parse(place ? place : segment, length, INBOUND, &inner), DROP_NONE);
	kind = join_classify(place ? place : segment, length, &inner, true, true);
	if (place && join_accept(&t->chain, place, length, &inner, kind, saved))
		return;
	if (place)
		join_restore(&t->chain, saved);
	close_chain(t);
	if (kind != JOIN_DATA) {
		expect_segment(t, segment, length);
		return;
	}
	memcpy(t->area, segment, length);
	join_begin(&t->chain, t->area, length, AREA, &inner);
	t->open = true;
}

static uint32_t random_size(struct packet_random *r, uint32_t max)
{
	uint32_t size = 1 + packet_below(r, 1u << packet_below(r, 17));

	return size < max ? size : max;
}

static void random_super(struct round_trip *t, struct packet_random *r)
{
	static const uint8_t options[40] = {1, 1, 8, 10, 3, 1, 4, 1, 5, 9, 2, 6};
	struct packet p = {.version = packet_below(r, 2) ? 4 : 6, .partial = true};
	uint32_t headers, gso;

	p.protocol = packet_below(r, 2) ? IPPROTO_TCP : IPPROTO_UDP;
	p.tos = (uint8_t)packet_random(r);
	p.flow_label = packet_below(r, 1 << 20);
	p.ip_id = (uint16_t)packet_random(r);
	p.df = packet_below(r, 2);
	p.sequence = packet_random(r);
	p.ack = packet_random(r);
	p.window = (uint16_t)packet_random(r);
	p.tcp_flags = TCP_ACK | (packet_random(r) & (TCP_PSH | TCP_ECE));
	if (packet_below(r, 16) == 0)
		p.tcp_flags |= packet_random(r) & (TCP_CWR | TCP_FIN | TCP_URG);
	p.tcp_options = options;
	p.tcp_options_bytes = packet_below(r, 11) * 4;
	headers = (p.version == 4 ? 20 : 40) +
		  (p.protocol == IPPROTO_TCP ? 20 + p.tcp_options_bytes : 8);
	p.payload_bytes = random_size(r, 65535 - headers);
	t->length = packet_build(t->original, &p);
	packet_fill(r, t->original + headers, p.payload_bytes);
	gso = random_size(r, 65535);
	if (gso < p.payload_bytes / 64 && packet_below(r, 20))
		gso = p.payload_bytes / 64 + 1;
	t->vnet = packet_vnet(t->original, (uint16_t)gso);
	if (p.protocol == IPPROTO_TCP && p.tcp_flags & TCP_CWR)
		t->vnet.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
}

Test(join_mixed, cut_and_joined_is_the_same_packet)
{
	static struct round_trip t;
	struct packet_random r = {SEED};

	for (int round = 0; round < 100000; round++) {
		struct segmenter s;
		struct inner inner;
		uint32_t bytes;

		snprintf(t.what, sizeof(t.what), "seed %d round %d", SEED, round);
		random_super(&t, &r);
		memcpy(t.cut, t.original, t.length);
		t.written = 0;
		cr_assert_eq(inner_parse(t.cut, t.length, OUTBOUND, &inner), DROP_NONE);
		cr_assert_eq(segment_begin(&s, t.cut, t.length, &t.vnet, &inner), DROP_NONE);
		for (uint32_t k = 0; k < s.count; k++) {
			uint8_t *segment = segment_next(&s, &bytes);

			arrive(&t, segment, bytes);
		}
		close_chain(&t);
		cr_assert_eq(t.written, s.count, "%s", t.what);
	}
}

/* --- mixed flows -------------------------------------------------------------------------------
 */

enum { FLOWS = 6, PACKETS = 40000 };

struct item {
	uint8_t *bytes;
	uint32_t length;
	bool pure_ack;
};

static struct packet flows[FLOWS];
static struct item items[FLOWS][PACKETS];
static uint32_t made[FLOWS];
static uint32_t seen[FLOWS][2]; /* next item to leave; [1]: pure ACKs, which may overtake */
static struct chain chains[AREAS];
static uint8_t areas[AREAS][AREA];
static uint32_t current; /* the chain that the next packet is opened behind */
static uint32_t joined;  /* packets that left inside super-packets */
static uint8_t noise[70000];

static uint32_t flow_of(const uint8_t *packet)
{
	return packet[packet[0] >> 4 == 4 ? 15 : 23] - 10u;
}

/* DF: the id means nothing and joining may renumber it. */
static void forget_id(uint8_t *packet)
{
	if (packet[0] >> 4 == 4 && packet[6] & 0x40) {
		memset(packet + 4, 0, 2);
		memset(packet + 10, 0, 2);
	}
}

static void leave(const uint8_t *packet, uint32_t length, bool cut, bool pure_ack)
{
	static uint8_t a[70000], b[70000];
	uint32_t f = flow_of(packet), *at = &seen[f][pure_ack];
	struct item *item;

	cr_assert_lt(f, FLOWS);
	while (*at < made[f] && items[f][*at].pure_ack != pure_ack)
		++*at;
	cr_assert_lt(*at, made[f], "flow %u: a packet too many", f);
	item = &items[f][(*at)++];
	cr_assert_eq(length, item->length, "flow %u packet %u: %u bytes, not %u", f, *at - 1,
		     length, item->length);
	memcpy(a, packet, length);
	memcpy(b, item->bytes, length);
	if (cut) {
		forget_id(a);
		forget_id(b);
	}
	cr_assert_eq(memcmp(a, b, length), 0, "flow %u packet %u differs", f, *at - 1);
}

static void flush(struct chain *chain)
{
	static uint8_t segment[70000];
	struct virtio_net_hdr vnet;

	if (chain->count == 0)
		return;
	join_finish(chain, &vnet);
	if (chain->count == 1) {
		leave(chain->packet, chain->length, false, false);
	} else {
		check_super(chain->packet, chain->length, &vnet);
		joined += chain->count;
		for (uint32_t k = 0; k < chain->count; k++) {
			uint32_t bytes =
				packet_cut(chain->packet, chain->length, &vnet, k, segment);

			leave(segment, bytes, true, false);
		}
		cr_assert_eq(packet_cut(chain->packet, chain->length, &vnet, chain->count, segment),
			     0);
	}
	chain->count = 0;
}

static void begin(const uint8_t *packet, uint32_t length, const struct inner *inner)
{
	current = (current + 1) % AREAS;
	for (uint32_t i = 0; i < AREAS && chains[current].count; i++)
		current = (current + 1) % AREAS;
	flush(&chains[current]);
	memcpy(areas[current], packet, length);
	join_begin(&chains[current], areas[current], length, AREA, inner);
}

/* A packet that did not join where it was opened, now at a place of its own. */
static void elsewhere(const uint8_t *packet, uint32_t length, const struct inner *inner,
		      enum join_kind kind)
{
	if (kind == JOIN_PURE_ACK) {
		leave(packet, length, false, true);
		return;
	}
	for (uint32_t i = 0; i < AREAS; i++) {
		if (chains[i].count == 0 ||
		    (kind != JOIN_BARRIER && !join_same_flow(&chains[i], packet, inner)))
			continue;
		if (join_append(&chains[i], packet, length, inner, kind)) {
			current = i;
			return;
		}
		flush(&chains[i]);
	}
	if (kind == JOIN_DATA)
		begin(packet, length, inner);
	else
		leave(packet, length, false, false);
}

static void arrive_mixed(struct packet_random *r, const struct item *item)
{
	struct chain *chain = &chains[current];
	uint8_t saved[INNER_HEADER_MAX], *place = NULL, *moved;
	enum join_kind kind;
	struct inner inner;

	if (chain->count)
		place = join_place(chain, item->length, saved);
	if (place && packet_below(r, 30) == 0) { /* a failed open leaves anything behind */
		packet_fill(r, place, item->length);
		join_restore(chain, saved);
		place = join_place(chain, item->length, saved);
	}
	if (place) {
		memcpy(place, item->bytes, item->length);
		cr_assert_eq(inner_parse(place, item->length, INBOUND, &inner), DROP_NONE);
		kind = join_classify(place, item->length, &inner, true, true);
		if (join_accept(chain, place, item->length, &inner, kind, saved))
			return;
	}
	moved = malloc(item->length); /* exact, so that a sanitizer sees a byte too far */
	memcpy(moved, place ? place : item->bytes, item->length);
	if (place)
		join_restore(chain, saved);
	cr_assert_eq(inner_parse(moved, item->length, INBOUND, &inner), DROP_NONE);
	kind = join_classify(moved, item->length, &inner, true, true);
	elsewhere(moved, item->length, &inner, kind);
	free(moved);
}

static void setup_flows(struct packet_random *r)
{
	static const uint8_t stamps[12] = {1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8};

	packet_fill(r, noise, sizeof(noise));
	for (uint32_t f = 0; f < FLOWS; f++)
		flows[f] = (struct packet){.version = f % 2 ? 6 : 4,
					   .protocol = f < 4 ? IPPROTO_TCP : IPPROTO_UDP,
					   .source = (uint8_t)(10 + f),
					   .df = f == 0,
					   .sequence = packet_random(r),
					   .tcp_flags = TCP_ACK,
					   .source_port = 1000,
					   .dest_port = 2000,
					   .tcp_options = stamps,
					   .tcp_options_bytes = f > 1 ? 12 : 0,
					   .payload_bytes = 1 + packet_below(r, 1400)};
}

/* Turns the flow's next packet into something unusual; lasting changes go to flow. */
static void disturb(struct packet_random *r, struct packet *flow, struct packet *p)
{
	static const uint8_t router_alert[4] = {148, 4, 0, 0};
	static const uint8_t hop[2][8] = {{IPPROTO_TCP, 0, 1, 4}, {IPPROTO_UDP, 0, 1, 4}};

	switch (packet_below(r, 18)) {
	case 0:
		p->payload_bytes = packet_below(r, p->payload_bytes + 1);
		break;
	case 1:
		flow->payload_bytes = p->payload_bytes = 1 + packet_below(r, 1400);
		break;
	case 2:
		p->tcp_flags |= TCP_PSH;
		break;
	case 3:
		p->tcp_flags |= (uint8_t)packet_random(r);
		break;
	case 4:
		p->sequence += 1 + packet_below(r, 100);
		break;
	case 5:
		flow->ack = p->ack = packet_random(r);
		break;
	case 6:
		p->tos = (uint8_t)packet_below(r, 4);
		break;
	case 7:
		p->ttl = 9;
		break;
	case 8:
		p->flow_label = packet_below(r, 4);
		break;
	case 9:
		flow->ip_id = p->ip_id = (uint16_t)packet_random(r);
		break;
	case 10:
		p->fragment = packet_below(r, 2) ? 0x2000 : 0;
		break;
	case 11:
		p->no_checksum = true;
		break;
	case 12:
		p->window++;
		break;
	case 13:
		p->ip_options = router_alert;
		p->ip_options_bytes = p->version == 4 ? 4 : 0;
		break;
	case 14:
		p->extension = hop[p->protocol == IPPROTO_UDP];
		p->extension_bytes = p->version == 6 ? 8 : 0;
		break;
	case 15:
		p->tcp_options_bytes = p->tcp_options_bytes ? 0 : 12;
		break;
	default: /* pure ACK or empty datagram */
		p->payload_bytes = 0;
		break;
	}
}

static void make_item(struct packet_random *r, uint32_t f)
{
	struct packet *flow = &flows[f], p = *flow;
	struct item *item = &items[f][made[f]++];

	p.payload = noise + packet_below(r, 60000);
	if (packet_below(r, 8) == 0)
		disturb(r, flow, &p);
	item->bytes = malloc(200 + p.payload_bytes);
	item->length = packet_build(item->bytes, &p);
	item->pure_ack = p.protocol == IPPROTO_TCP && p.payload_bytes == 0 &&
			 (p.tcp_flags & ~(TCP_PSH | TCP_ECE)) == TCP_ACK && !p.ip_options_bytes &&
			 !p.extension_bytes && !(p.version == 4 && p.fragment);
	flow->sequence = p.sequence + p.payload_bytes;
	flow->ip_id = (uint16_t)(p.ip_id + 1);

	if (packet_below(r, 40) == 0) { /* a wrong checksum must stay wrong */
		uint32_t l4 = packet_l4(item->bytes) + p.extension_bytes;

		item->bytes[l4 + (p.protocol == IPPROTO_TCP ? 16 : 6)] ^= 0x10;
	} else if (packet_below(r, 100) == 0) { /* bytes behind the IP length */
		item->bytes[item->length++] = 0xaa;
	}
}

Test(join_mixed, mixed_flows_in_place_lose_and_change_nothing)
{
	struct packet_random r = {SEED};
	uint32_t f = 0;

	setup_flows(&r);
	for (uint32_t i = 0; i < PACKETS; i++) {
		if (packet_below(&r, 6) == 0)
			f = packet_below(&r, FLOWS);
		make_item(&r, f);
		arrive_mixed(&r, &items[f][made[f] - 1]);
	}
	for (uint32_t i = 0; i < AREAS; i++)
		flush(&chains[i]);

	for (f = 0; f < FLOWS; f++)
		for (uint32_t i = 0; i < made[f]; i++) {
			cr_assert_lt(i, seen[f][items[f][i].pure_ack], "flow %u lost %u", f, i);
			free(items[f][i].bytes);
		}
	cr_assert_gt(joined, PACKETS / 3, "only %u packets joined: a test of nothing", joined);
}
