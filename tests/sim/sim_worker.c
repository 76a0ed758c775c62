/* sim_worker.c - the workers of a simulated node, played packet by packet. */
#include <stdlib.h>

#include "crypto/replay.h"
#include "crypto/seal.h"
#include "lookup/query.h"
#include "message.h"
#include "sim.h"

#define PACKET_BYTES 40

static void send_punt(struct sim_node *node, const struct punt *fields, const uint8_t *bytes,
		      uint32_t length)
{
	uint32_t queue = fields->queue;
	struct punt *punt = calloc(1, sizeof(*punt) + length);
	struct sim_event *event = calloc(1, sizeof(*event));
	uint64_t at = node->sim->now_ns + sim_random(node->sim, SIM_HOP_MAX_NS);

	cr_assert(punt && event);
	*punt = *fields;
	punt->length = length;
	if (length)
		memcpy(punt->bytes, bytes, length);
	if (at < node->to_control_ns[queue])
		at = node->to_control_ns[queue];
	node->to_control_ns[queue] = at;
	*event = (struct sim_event){.at_ns = at,
				    .type = SIM_PUNT,
				    .node = node,
				    .life = node->life,
				    .queue = queue,
				    .punt = punt};
	sim_schedule(node->sim, event);
}

/* The workers' clock: steps of 4 ms. */
static uint64_t coarse_now(const struct sim_node *node)
{
	return node->sim->now_ns - node->sim->now_ns % (4 * SIM_MS);
}

/* No two packets of the whole network may be sealed with one key and one counter. */
static void check_nonce(struct sim_node *node, const struct tunnel *tunnel, uint64_t counter)
{
	uint64_t tag[2]; /* of nothing under a counter that is never used: names the key */

	aead_seal(&tunnel->keys->seal, UINT64_MAX, NULL, 0, NULL, 0, (uint8_t *)tag);
	tag[0] ^= (counter + 1) * 0x9e3779b97f4a7c15ull;
	SIM_ASSERT(node->sim, sim_set_add(&node->sim->nonces, tag[0] ^ tag[1] * 3),
		   "node %u seals twice with counter %llu of one key", node->id,
		   (unsigned long long)counter);
}

static void is_used(struct sim_node *node, struct tunnel *tunnel)
{
	atomic_store(&tunnel->last_out_ns, coarse_now(node));
	if (!atomic_exchange(&tunnel->watched, 1))
		send_punt(node, &(struct punt){.type = PUNT_ACTIVE, .tunnel = tunnel->id}, NULL, 0);
}

/* A packet for the entry index of via's peer: a frame. */
static void send_frame(struct sim_node *node, struct tunnel *via, uint32_t index,
		       const uint8_t *packet, uint32_t length)
{
	uint8_t frame[DATAGRAM_MAX + WIRE_OVERHEAD];
	uint64_t counter;

	if (!via->remote || !seal_reserve(via, 1, &counter))
		return;
	check_nonce(node, via, counter);
	memcpy(frame + WIRE_HEADER_BYTES, packet, length);
	seal_frame(via, index, WIRE_LABEL_NONE, counter, frame, length);
	sim_transmit(node->sim, &node->endpoint, &via->remote->to, frame, length + WIRE_OVERHEAD);
}

static void seal_and_send(struct sim_node *node, struct tunnel *tunnel, enum wire_type wire,
			  const struct endpoint *to, const uint8_t *bytes, uint32_t length)
{
	uint8_t packet[DATAGRAM_MAX];
	uint64_t counter;

	cr_assert_leq(length + WIRE_OVERHEAD, sizeof(packet));
	if (!to && tunnel->remote)
		to = &tunnel->remote->to;
	if (!to && !tunnel->path)
		return;
	if (!seal_reserve(tunnel, 1, &counter)) {
		if (!(atomic_fetch_or(&tunnel->event_in_flight, TUNNEL_EVENT_COUNTER) &
		      TUNNEL_EVENT_COUNTER))
			send_punt(node,
				  &(struct punt){.type = PUNT_COUNTER,
						 .tunnel = tunnel->id,
						 .value = COUNTER_REFUSE_AT},
				  NULL, 0);
		return;
	}
	check_nonce(node, tunnel, counter);
	seal_packet(tunnel, wire, WIRE_LABEL_NONE, counter, bytes, length, packet);
	if (wire != WIRE_TEST_REQUEST && wire != WIRE_TEST_REPLY && wire != WIRE_CLOSE_TUNNEL) {
		is_used(node, tunnel);
		if (!to)
			is_used(node, tunnel->path->via);
	}
	if (to)
		sim_transmit(node->sim, &node->endpoint, to, packet, length + WIRE_OVERHEAD);
	else
		send_frame(node, tunnel->path->via, tunnel->path->index, packet,
			   length + WIRE_OVERHEAD);
}

void sim_node_order(struct sim_node *node, struct order *order)
{
	struct tunnel *tunnel = hostmap_by_id(node->map, order->tunnel);
	struct host_entry *entry;

	switch (order->type) {
	case ORDER_SEND_IN_TUNNEL:
		if (tunnel)
			seal_and_send(node, tunnel, order->wire,
				      order->has_remote ? &order->remote : NULL, order->bytes,
				      order->length);
		break;
	case ORDER_SEND_VIA_RELAY:
		if (tunnel)
			send_frame(node, tunnel, order->relay_index, order->bytes, order->length);
		break;
	case ORDER_RESUME:
		if (tunnel)
			seal_and_send(node, tunnel, WIRE_MESSAGE, NULL, order->bytes,
				      order->length);
		break;
	case ORDER_RESUME_END:
		entry = hostmap_by_addr(node->map, &order->addr);
		if (!entry)
			break;
		if (node->waiting_sent[order->queue] == order->waiting_seen)
			atomic_fetch_and(&entry->held_queues, ~(1ull << order->queue));
		else
			send_punt(node,
				  &(struct punt){.type = PUNT_RESUME_AGAIN,
						 .queue = order->queue,
						 .addr = order->addr},
				  NULL, 0);
		break;
	case ORDER_STOP:
		break;
	}
}

static void event_punt(struct sim_node *node, struct tunnel *tunnel, uint32_t queue,
		       enum punt_type type, uint32_t bit, const struct endpoint *source,
		       uint32_t via)
{
	if (atomic_fetch_or(&tunnel->event_in_flight, bit) & bit)
		return;
	send_punt(node,
		  &(struct punt){.type = type,
				 .queue = queue,
				 .tunnel = tunnel->id,
				 .source = *source,
				 .via = via},
		  NULL, 0);
}

/* The right one's, and not for the second time. */
static void check_inner(struct sim_node *node, uint32_t from, uint32_t to, uint64_t number)
{
	uint64_t name = ((number * 64 + from) * 64 + node->id) * 0x9e3779b97f4a7c15ull;

	SIM_ASSERT(node->sim, node->cert_ids >> to & 1, "node %u gets a packet for %u", node->id,
		   to);
	SIM_ASSERT(node->sim, !node->sim->once || sim_set_add(&node->sim->packets, name),
		   "node %u gets packet %llu of %u twice", node->id, (unsigned long long)number,
		   from);
}

static void receive_inner(struct sim_node *node, const uint8_t *bytes, uint32_t length)
{
	struct sim_received *received;
	uint32_t to;

	cr_assert_eq(length, PACKET_BYTES);
	if (node->received_count == node->received_capacity) {
		node->received_capacity =
			node->received_capacity ? node->received_capacity * 2 : 64;
		node->received =
			realloc(node->received, node->received_capacity * sizeof(*node->received));
		cr_assert(node->received);
	}
	received = &node->received[node->received_count++];
	memcpy(&received->from, bytes, 4);
	memcpy(&received->number, bytes + 8, 8);
	memcpy(&to, bytes + 4, 4);
	check_inner(node, received->from, to, received->number);
	node->heard_ns[received->from] = node->sim->now_ns;
}

/* A lighthouse's workers answer plain questions; with every second seed control does. */
static bool answer(struct sim_node *node, const struct tunnel *asker, const uint8_t *bytes,
		   uint32_t length)
{
	struct query_answer answer;
	struct query query;
	uint8_t form;

	if (!node->options.lighthouse.am_lighthouse || node->sim->seed % 2 ||
	    !query_read(bytes, length, &query) ||
	    !query_answer(node->map, asker, &query, coarse_now(node), &answer))
		return false;
	if (answer.about)
		seal_and_send(node, (struct tunnel *)asker, WIRE_LIGHTHOUSE, NULL,
			      card_reply(answer.about, query.form),
			      answer.about->reply_bytes[query.form]);
	if (answer.target) {
		form = answer.about->punch_form;
		seal_and_send(node, (struct tunnel *)answer.target, WIRE_LIGHTHOUSE, NULL,
			      card_punch(answer.asker, form), answer.asker->punch_bytes[form]);
	}
	node->drops[DROP_PUNCH_LIMITED] += answer.limited;
	return true;
}

/* Is the packet new, and opened as open says? Then the tunnel's peer has sent it just now. */
static bool authenticate(struct sim_node *node, struct tunnel *tunnel, const uint8_t *bytes,
			 uint32_t length, uint8_t *plain)
{
	uint64_t counter = wire_counter(bytes);
	bool fresh, frame = wire_type_of(bytes) == WIRE_RELAY;

	if (length < WIRE_OVERHEAD || replay_check(&tunnel->replay, &counter, 1, &fresh) == 0) {
		node->drops[DROP_REPLAY]++;
		return false;
	}
	if (frame ? seal_check_frame(tunnel, bytes, length) != 0
		  : seal_open(tunnel, bytes, length, plain) != 0) {
		node->drops[DROP_AUTHENTICATION]++;
		return false;
	}
	if (replay_commit(&tunnel->replay, &counter, 1, &fresh) == 0)
		return false;
	atomic_store(&tunnel->last_in_ns, coarse_now(node));
	return true;
}

/* What it says about the tunnel; via: the relay it came through, then nothing about its remote. */
static void is_alive(struct sim_node *node, uint32_t queue, struct tunnel *tunnel,
		     const struct endpoint *from, uint32_t via, bool message)
{
	static const struct endpoint nowhere;
	bool moves = !via && (tunnel->remote || message);

	if (atomic_load(&tunnel->state) == TUNNEL_UNCONFIRMED)
		event_punt(node, tunnel, queue, PUNT_CONFIRMED, TUNNEL_EVENT_CONFIRMED,
			   moves ? from : &nowhere, via);
	if (moves && (!tunnel->remote || !endpoint_equal(&tunnel->remote->to, from)))
		event_punt(node, tunnel, queue, PUNT_ROAM, TUNNEL_EVENT_ROAM, from, 0);
}

static void receive_sealed(struct sim_node *node, uint32_t queue, struct tunnel *tunnel,
			   const struct endpoint *from, uint32_t via, const uint8_t *bytes,
			   uint32_t length)
{
	bool message = wire_type_of(bytes) == WIRE_MESSAGE;
	uint8_t plain[DATAGRAM_MAX];

	if (!authenticate(node, tunnel, bytes, length, plain))
		return;
	is_alive(node, queue, tunnel, from, via, message);
	if (message)
		receive_inner(node, plain, length - WIRE_OVERHEAD);
	else if (wire_type_of(bytes) != WIRE_LIGHTHOUSE ||
		 !answer(node, tunnel, plain, length - WIRE_OVERHEAD))
		send_punt(node,
			  &(struct punt){.type = PUNT_OPENED,
					 .queue = queue,
					 .tunnel = tunnel->id,
					 .source = *from,
					 .via = via,
					 .wire = (enum wire_type)wire_type_of(bytes)},
			  plain, length - WIRE_OVERHEAD);
}

static void receive(struct sim_node *node, const struct endpoint *from, uint32_t via,
		    const uint8_t *bytes, uint32_t length);

/* dataplane/relay.c, one frame at a time. */
static void receive_frame(struct sim_node *node, uint32_t queue, struct index_entry *entry,
			  const struct endpoint *from, const uint8_t *bytes, uint32_t length)
{
	static const struct endpoint nowhere;
	const struct relay_entry *relay = entry->relay;

	if (!relay) {
		node->drops[DROP_RELAY_UNKNOWN]++;
		return;
	}
	if (!authenticate(node, relay->in, bytes, length, NULL))
		return;
	is_alive(node, queue, relay->in, from, 0, false);
	atomic_store(&entry->relay_used_ns, coarse_now(node));
	bytes += WIRE_HEADER_BYTES;
	length -= WIRE_OVERHEAD;
	if (!relay->forwarding) {
		receive(node, &nowhere, entry->index, bytes, length);
	} else if (relay->out && relay->out->remote) {
		send_frame(node, relay->out, relay->out_index, bytes, length);
		is_used(node, relay->out);
		node->forwarded++;
	} else {
		node->drops[DROP_RELAY_NO_PATH]++;
	}
}

static void receive(struct sim_node *node, const struct endpoint *from, uint32_t via,
		    const uint8_t *bytes, uint32_t length)
{
	uint32_t queue = (uint32_t)sim_random(node->sim, SIM_QUEUES);
	struct punt punt = {.queue = queue, .source = *from, .via = via};
	uint8_t error[WIRE_HEADER_BYTES];
	struct index_entry *entry;
	int type = length >= WIRE_HEADER_BYTES ? wire_type_of(bytes) : -1;

	if (type < 0 || (via && type == WIRE_RELAY))
		return;
	if (type == WIRE_HANDSHAKE || type == WIRE_RECV_ERROR) {
		punt.type = type == WIRE_HANDSHAKE ? PUNT_HANDSHAKE : PUNT_RECV_ERROR;
		if (node->slow && type == WIRE_HANDSHAKE && !sim_slow_admit(node, from, &punt))
			return;
		send_punt(node, &punt, bytes, length);
		return;
	}
	entry = hostmap_by_index(node->map, wire_remote_index(bytes));
	if (!entry && !via && !node->mute_recv_error) {
		wire_write(error, WIRE_RECV_ERROR, wire_remote_index(bytes), 0);
		node->recv_errors_sent++;
		sim_transmit(node->sim, &node->endpoint, from, error, sizeof(error));
	}
	if (!entry)
		return;
	if (type == WIRE_RELAY)
		receive_frame(node, queue, entry, from, bytes, length);
	else if (entry->tunnel)
		receive_sealed(node, queue, entry->tunnel, from, via, bytes, length);
	else
		node->drops[DROP_INDEX_PENDING]++;
}

void sim_node_datagram(struct sim_node *node, const struct endpoint *from, const uint8_t *bytes,
		       uint32_t length)
{
	receive(node, from, 0, bytes, length);
}

void sim_send(struct sim_node *node, uint32_t queue, uint32_t host, uint64_t number)
{
	struct addr addr = sim_overlay(host);
	struct host_entry *entry = hostmap_by_addr(node->map, &addr);
	uint8_t packet[PACKET_BYTES] = {0};

	memcpy(packet, &node->id, 4);
	memcpy(packet + 4, &host, 4);
	memcpy(packet + 8, &number, 8);
	struct tunnel *tunnel = entry ? host_tunnel(entry) : NULL;
	if (tunnel && !(atomic_load(&entry->held_queues) & 1ull << queue)) {
		seal_and_send(node, tunnel, WIRE_MESSAGE, NULL, packet, sizeof(packet));
		return;
	}
	node->waiting_sent[queue]++;
	send_punt(node, &(struct punt){.type = PUNT_WAITING, .queue = queue, .addr = addr}, packet,
		  sizeof(packet));
}
