/*
 * rig.c - see rig.h.
 */
#include "unit/roads/rig.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "crypto/seal.h"
#include "sockaddr.h"

static void *copy(const void *bytes, uint32_t length)
{
	void *p = malloc(length ? length : 1);

	return memcpy(p, bytes, length);
}

/* ---- the verbs of io.h ----------------------------------------------------------------------- */

int io_enable(struct io *io)
{
	io->in_loop = true;
	return 0;
}

void io_turn(struct io *io, bool sleep)
{
	cr_assert_not(urcu_qsbr_read_ongoing(), "grace periods would wait for the system call");
	cr_assert_eq(io->sends_begun, 0, "a train waits for more");
	io->slept += sleep;
	io->taken = 0;
	io->held_over |= io->free_write_count != WRITE_SLOTS;
}

bool io_next(struct io *io, struct io_event *event)
{
	bool slow = io->slow_after && io->event_head >= io->slow_after;
	uint32_t most = slow ? 1 : io->per_turn;

	if (io->event_head == io->event_count || (most && io->taken >= most))
		return false;
	io->taken++;
	*event = io->events[io->event_head++];
	return true;
}

void io_gather(struct io *io)
{
	io->gathered++;
	io_turn(io, false);
}

bool io_busy_poll(struct io *io, uint64_t ns)
{
	io->polled++;
	io_turn(io, false);
	return io->event_head < io->event_count;
}

bool io_receive_ended(struct io *io)
{
	return io->ends;
}

bool io_ready(const struct io *io)
{
	return false;
}

void io_release(struct io *io, const struct io_event *event)
{
	io->released++;
}

struct send_slot *io_send_slot(struct io *io)
{
	if (io->free_send_count == 0)
		return NULL;
	struct send_slot *slot = io->free_sends[--io->free_send_count];
	io->sends_begun++;
	slot->bytes = malloc(GSO_BYTES_MAX);
	slot->length = slot->count = slot->segment_bytes = 0;
	slot->singles = slot->borrowed = false;
	return slot;
}

void io_send_slot_back(struct io *io, struct send_slot *slot)
{
	if (!slot->borrowed)
		free(slot->bytes);
	slot->bytes = NULL;
	io->free_sends[io->free_send_count++] = slot;
	io->sends_begun--;
}

void io_send_borrow(struct io *io, struct send_slot *slot, uint16_t buffer, uint8_t *bytes)
{
	free(slot->bytes);
	slot->bytes = bytes;
	slot->borrowed = true;
	slot->buffer = buffer;
}

uint32_t io_send_slots_free(const struct io *io)
{
	return io->free_send_count;
}

bool io_sending(const struct io *io)
{
	return io->sending;
}

bool io_send_blocked(const struct io *io)
{
	return io->send_blocked;
}

/* What the worker reads while it works may go otherwise. */
static void expect_reading(const struct io *io)
{
	cr_assert(!io->in_loop || urcu_qsbr_read_ongoing());
}

void io_send(struct io *io, struct send_slot *slot)
{
	expect_reading(io);
	io->sends_begun--;
	cr_assert_lt(io->sent_count, RIG_KEPT_MAX);
	cr_assert_gt(slot->count, 0);
	cr_assert_leq(slot->count, GSO_SEGMENTS_MAX);
	cr_assert_leq(slot->length, GSO_BYTES_MAX);
	cr_assert_eq((slot->length - 1) / slot->segment_bytes + 1, slot->count);
	io->sent[io->sent_count++] = (struct rig_sent){
		.bytes = copy(slot->bytes, slot->length),
		.length = slot->length,
		.segment_bytes = slot->segment_bytes,
		.count = slot->count,
		.singles = slot->singles,
		.borrowed = slot->borrowed,
		.tunnel = slot->tunnel,
		.to = slot->to,
	};
	if (!slot->borrowed)
		free(slot->bytes);
	slot->bytes = NULL;
	if (!io->keep_sends)
		io->free_sends[io->free_send_count++] = slot;
}

struct write_slot *io_write_slot(struct io *io)
{
	if (io->free_write_count == 0)
		return NULL;
	struct write_slot *slot = io->free_writes[--io->free_write_count];
	slot->bytes = malloc(SLOT_BYTES);
	slot->used = slot->in_flight = 0;
	slot->held = true;
	return slot;
}

uint32_t io_write_slots_free(const struct io *io)
{
	return io->free_write_count;
}

void io_write(struct io *io, struct write_slot *slot, uint8_t *packet, uint32_t length,
	      const struct virtio_net_hdr *vnet)
{
	expect_reading(io);
	cr_assert_lt(io->written_count, RIG_KEPT_MAX);
	cr_assert(slot->held);
	cr_assert(packet >= slot->bytes + WRITE_HEADROOM);
	cr_assert(packet + length <= slot->bytes + SLOT_BYTES);
	memset(packet - sizeof(*vnet), 0xee, sizeof(*vnet));
	io->written[io->written_count++] = (struct rig_written){
		.bytes = copy(packet, length), .length = length, .vnet = *vnet};
}

void io_write_slot_done(struct io *io, struct write_slot *slot)
{
	cr_assert(slot->held);
	slot->held = false;
	free(slot->bytes);
	slot->bytes = NULL;
	io->free_writes[io->free_write_count++] = slot;
}

void io_punt(struct io *io, struct punt *punt)
{
	cr_assert_lt(io->punt_count, RIG_KEPT_MAX);
	io->punts[io->punt_count++] = punt;
}

void io_hand_over(struct io *io, uint32_t queue, struct handover *handover)
{
	cr_assert_lt(io->handed_count, RIG_KEPT_MAX);
	io->handed_to[io->handed_count] = queue;
	io->handed[io->handed_count++] = handover;
}

void io_stop(struct io *io)
{
}

bool io_stopped(const struct io *io)
{
	return true;
}

void io_let_go(struct io *io)
{
	io->in_loop = false;
}

/* ---- the rig --------------------------------------------------------------------------------- */

static void keys(struct aead_key *key, uint8_t fill)
{
	uint8_t raw[AEAD_KEY_BYTES];

	memset(raw, fill, sizeof(raw));
	cr_assert_eq(aead_key_init(key, AEAD_AES256GCM, raw), 0);
}

static struct remote *remote_at(const struct endpoint *to)
{
	struct remote *remote = calloc(1, sizeof(*remote));

	remote->to = *to;
	remote->sockaddr_bytes = endpoint_to_sockaddr(to, false, &remote->sockaddr);
	remote->gso_segment_max = UINT32_MAX;
	return remote;
}

struct tunnel *rig_tunnel(struct rig *rig, uint32_t n, const struct addr *to)
{
	struct tunnel *tunnel = tunnel_allocate(rig->map);

	keys(&tunnel->keys->seal, 1);
	keys(&tunnel->keys->open, 2);
	tunnel->local_index = RIG_INDEX + n;
	tunnel->remote_index = RIG_PEER_INDEX + n;
	tunnel->addr_count = 1;
	tunnel->addrs[0] = *to;
	tunnel->state = TUNNEL_CONFIRMED;
	tunnel->watched = 1; /* else the first packet out says PUNT_ACTIVE */
	tunnel->rules[1] = calloc(1, sizeof(struct peer_rules));
	*tunnel->rules[1] = (struct peer_rules){.words = 1,
						.version = 1,
						.ca = {&rig->bits, &rig->bits},
						.peer = {&rig->bits, &rig->bits}};
	tunnel->remote = remote_at(&rig->peer);
	cr_assert_eq(hostmap_index_reserve(rig->map, tunnel->local_index), 0);
	cr_assert_eq(hostmap_index_publish(rig->map, tunnel), 0);
	RCU_PUBLISH(hostmap_host_obtain(rig->map, to)->tunnel, tunnel);
	return tunnel;
}

static const struct source_key source_key = {{5, 6}};

struct rig *rig_create(bool has_tun)
{
	struct rig *rig = aligned_alloc(64, (sizeof(*rig) + 63) & ~63ul);
	struct addr peer = addr_from_v4(0x0a000001);
	bool locked;

	memset(rig, 0, sizeof(*rig));
	rig->map = hostmap_create(&locked);
	rig->peer = (struct endpoint){.addr = addr_from_v4(0xc0000201), .port = 4242};
	rig->bits = 1;
	rig->rule = (struct rule){.any_port = true};
	rig->published = &rig->snapshot;
	rig->snapshot.network_count = 1;
	rig->snapshot.networks[0] = (struct prefix){addr_from_v4(0x0a000002), 96 + 24};
	rig->snapshot.rules_version = 1;
	rig->snapshot.rules[0] = rig->snapshot.rules[1] = (struct ruleset){1, &rig->rule};
	rig->snapshot.tcp_timeout_s = rig->snapshot.udp_timeout_s = 100;
	rig->snapshot.default_timeout_s = 100;
	rig->tunnel = rig_tunnel(rig, 0, &peer);
	rig->counter = COUNTER_FIRST;
	rig->as_peer.keys = &rig->peer_keys;
	keys(&rig->peer_keys.seal, 2);
	keys(&rig->peer_keys.open, 1);

	struct worker *w = &rig->w;
	w->queues = 1;
	w->unsent_max = UINT32_MAX;
	w->source_key = &source_key;
	w->io = &rig->io;
	w->counters = &rig->counters;
	w->map = rig->map;
	w->conntrack = conntrack_create();
	w->snapshot_slot = &rig->published;
	w->snapshot = rig->published;
	w->has_tun = has_tun;
	w->tso = w->uso = true;
	w->now_s = 1000;
	w->now_ns = 1000000000000;
	w->tun_runs.size = w->udp_trains.size = w->handed.size = 64;
	w->handed.events = calloc(64, sizeof(struct io_event));
	cr_assert_eq(handovers_create(&w->handovers), 0);
	w->tun_runs.events = calloc(64, sizeof(struct io_event));
	w->udp_trains.events = calloc(64, sizeof(struct io_event));
	w->replies.list = calloc(ANSWERS_MAX, sizeof(struct answer));
	w->punches.list = calloc(ANSWERS_MAX, sizeof(struct answer));
	cr_assert_eq(punt_pools_create(w), 0);
	for (uint32_t i = 0; i < WRITE_SLOTS; i++)
		rig->io.free_writes[rig->io.free_write_count++] = &rig->io.write_slots[i];
	for (uint32_t i = 0; i < SEND_SLOTS; i++)
		rig->io.free_sends[rig->io.free_send_count++] = &rig->io.send_slots[i];
	return rig;
}

void rig_forget(struct rig *rig)
{
	struct io *io = &rig->io;

	while (io->sent_count > 0)
		free(io->sent[--io->sent_count].bytes);
	while (io->written_count > 0)
		free(io->written[--io->written_count].bytes);
	while (io->handed_count > 0)
		handover_release(io->handed[--io->handed_count]);
	while (io->punt_count > 0)
		punt_release(io->punts[--io->punt_count]);
}

bool rig_slots_are_back(const struct rig *rig)
{
	return rig->io.free_write_count == WRITE_SLOTS && rig->io.free_send_count == SEND_SLOTS;
}

void rig_destroy(struct rig *rig)
{
	rig_forget(rig);
	punt_pools_destroy(&rig->w);
	handovers_destroy(&rig->w.handovers);
	free(rig->w.handed.events);
	conntrack_destroy(rig->w.conntrack);
	free(rig->w.tun_runs.events);
	free(rig->w.udp_trains.events);
	free(rig->w.replies.list);
	free(rig->w.punches.list);
	for (uint32_t slot = 0; slot < TUNNELS_MAX; slot++) {
		struct tunnel *t = hostmap_by_id(rig->map, (struct tunnel_id){slot, 1});
		if (!t)
			break;
		hostmap_index_remove(rig->map, t->local_index);
		tunnel_free(rig->map, t);
	}
	hostmap_destroy(rig->map);
	free(rig);
}

/* ---- traffic --------------------------------------------------------------------------------- */

void rig_add_raw(struct rig *rig, const void *bytes, uint32_t length)
{
	cr_assert_leq(rig->datagram_bytes + length, sizeof(rig->datagrams));
	if (rig->datagram_bytes == 0)
		rig->segment_bytes = length;
	memcpy(rig->datagrams + rig->datagram_bytes, bytes, length);
	rig->datagram_bytes += length;
}

uint8_t *rig_add(struct rig *rig, uint32_t index, uint64_t counter, const uint8_t *packet,
		 uint32_t length)
{
	uint8_t *out = rig->datagrams + rig->datagram_bytes;

	cr_assert_leq(rig->datagram_bytes + length + WIRE_OVERHEAD, sizeof(rig->datagrams));
	if (rig->datagram_bytes == 0)
		rig->segment_bytes = length + WIRE_OVERHEAD;
	cr_assert_leq(length + WIRE_OVERHEAD, rig->segment_bytes);
	rig->as_peer.remote_index = index;
	seal_packet(&rig->as_peer, WIRE_MESSAGE, rig->label, counter, packet, length, out);
	rig->datagram_bytes += length + WIRE_OVERHEAD;
	return out;
}

uint32_t rig_tcp(uint8_t *out, uint16_t port, uint32_t k, uint32_t payload)
{
	return packet_build(out, &(struct packet){.version = 4,
						  .protocol = IPPROTO_TCP,
						  .source_port = port,
						  .dest_port = 80,
						  .df = true,
						  .ip_id = (uint16_t)k,
						  .sequence = 1000 + k * payload,
						  .tcp_flags = TCP_ACK,
						  .payload_bytes = payload});
}

void rig_add_tcp(struct rig *rig, uint16_t port, uint32_t k, uint32_t payload)
{
	uint8_t packet[DATAGRAM_MAX];

	rig_add(rig, RIG_INDEX, rig->counter++, packet, rig_tcp(packet, port, k, payload));
}

void rig_receive_from(struct rig *rig, const struct endpoint *source)
{
	/* at the end of its own block, so that a read too far is seen */
	uint8_t *bytes = copy(rig->datagrams, rig->datagram_bytes);
	struct io_event train = {
		.type = IO_UDP_TRAIN,
		.packet = bytes,
		.length = rig->datagram_bytes,
		.segment_bytes = rig->segment_bytes,
		.source = *source,
	};

	inbound_train(&rig->w, &train);
	rig->datagram_bytes = rig->segment_bytes = 0;
	free(bytes);
}

void rig_receive(struct rig *rig)
{
	rig_receive_from(rig, &rig->peer);
}

uint32_t rig_open(struct rig *rig, uint32_t n, uint32_t k)
{
	const struct rig_sent *sent = &rig->io.sent[n];
	uint32_t at = k * sent->segment_bytes, bytes = sent->length - at;

	cr_assert_lt(n, rig->io.sent_count);
	cr_assert_lt(at, sent->length);
	if (bytes > sent->segment_bytes)
		bytes = sent->segment_bytes;
	if (seal_open(&rig->as_peer, sent->bytes + at, bytes, rig->opened) != 0)
		return 0;
	return bytes - WIRE_OVERHEAD;
}

uint64_t rig_drops(const struct rig *rig, enum drop reason)
{
	return rig->counters.drops[reason];
}

uint64_t rig_all_drops(const struct rig *rig)
{
	uint64_t sum = 0;

	for (int i = 0; i < DROPS; i++)
		sum += rig->counters.drops[i];
	return sum;
}

uint64_t rig_stat(const struct rig *rig, enum statistic stat)
{
	return rig->counters.stats[stat];
}

struct order *rig_order(enum order_type type, const void *bytes, uint32_t length)
{
	struct order *o = calloc(1, sizeof(*o) + SLOT_BYTES);

	o->type = type;
	o->length = length;
	o->capacity = SLOT_BYTES;
	if (length)
		memcpy(o->bytes, bytes, length);
	return o;
}

void rig_train_then_stop(struct rig *rig, struct order *stop)
{
	rig->io.events[0] = (struct io_event){.type = IO_UDP_TRAIN,
					      .packet = rig->datagrams,
					      .length = rig->datagram_bytes,
					      .segment_bytes = rig->segment_bytes,
					      .source = rig->peer};
	rig->io.events[1] = (struct io_event){.type = IO_ORDER, .order = stop};
	rig->io.event_count = 2;
}
