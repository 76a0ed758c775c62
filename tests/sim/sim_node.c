/* sim_node.c - one simulated node: identity, outside, and the workers played packet by packet. */
#include <sodium.h>
#include <stdlib.h>

#include "crypto/replay.h"
#include "crypto/seal.h"
#include "identity/pem.h"
#include "lookup/query.h"
#include "message.h"
#include "sim.h"

#define QUEUES       2
#define HOP_MAX_NS   200000 /* worker to control, and back */
#define PACKET_BYTES 40

/* --- identity ----------------------------------------------------------------------------------
 */

static struct addr overlay(uint32_t id)
{
	return addr_from_v4(0x0a2a0000 + id);
}

static struct cert *make_ca(bool foreign, uint8_t key[CERT_CA_KEY_SIZE])
{
	uint8_t seed[32] = {[0] = foreign ? 2 : 1};
	struct cert wanted = {.version = CERT_VERSION_1, .is_ca = true, .name = "sim CA"};
	struct cert *ca;

	crypto_sign_seed_keypair(wanted.public_key, key, seed);
	wanted.public_key_len = 32;
	wanted.not_before = (int64_t)SIM_WALL_S - 100000000;
	wanted.not_after = (int64_t)SIM_WALL_S + 1000000000;
	cr_assert_eq(cert_sign(&wanted, key, CERT_CA_KEY_SIZE, &ca), CERT_OK);
	return ca;
}

static struct ca_pool *make_pool(void)
{
	uint8_t key[CERT_CA_KEY_SIZE], *bytes;
	struct cert *ca = make_ca(false, key);
	char *pem, error[CA_POOL_DETAIL_MAX];
	struct ca_pool *pool;
	size_t length;

	cr_assert_eq(cert_encode(ca, &bytes, &length), 0);
	pem = pem_encode(PEM_CERTIFICATE, bytes, length, &length);
	cr_assert_eq(ca_pool_load(pem, length, &pool, NULL, error), 0, "%s", error);
	sodium_free(pem);
	free(bytes);
	cert_unref(ca);
	return pool;
}

void sim_identify(struct sim_node *node, const struct sim_identity *identity)
{
	uint8_t seed[32] = {[0] = 7}, key[CERT_CA_KEY_SIZE];
	struct cert *ca = make_ca(identity->foreign_ca, key);
	uint32_t id = identity->cert_id ? identity->cert_id : node->id;
	struct prefix networks[4] = {{overlay(id), 112}};
	uint16_t count = 1;
	struct cert wanted = {
		.version = CERT_VERSION_1,
		.name = "sim host",
		.has_issuer = true,
		.networks = networks,
		.not_before = (int64_t)SIM_WALL_S - 90000000,
		.not_after =
			identity->not_after ? identity->not_after : (int64_t)SIM_WALL_S + 500000000,
	};

	node->cert_ids = 1u << id % 32; /* ids of hosts that are only certificates fold */
	for (unsigned i = 0; i < 3; i++) {
		if (!identity->also[i])
			continue;
		networks[count++] = (struct prefix){overlay(identity->also[i]), 112};
		node->cert_ids |= 1u << identity->also[i] % 32;
	}
	wanted.network_count = count;
	pki_free(&node->pki);
	cr_assert_eq(pki_init(&node->pki), 0);
	seed[1] = (uint8_t)(identity->key_id ? identity->key_id : node->id);
	node->pki.private_key = sodium_malloc(32);
	node->pki.private_key_len = 32;
	memcpy(node->pki.private_key, seed, 32);
	crypto_scalarmult_curve25519_base(wanted.public_key, seed);
	wanted.public_key_len = 32;
	memcpy(wanted.issuer, ca->fingerprint, sizeof(wanted.issuer));
	cr_assert_eq(cert_sign(&wanted, key, sizeof(key), &node->pki.v1.cert), CERT_OK);
	cr_assert_eq(cert_encode_handshake(node->pki.v1.cert, &node->pki.v1.handshake_bytes,
					   &node->pki.v1.handshake_len),
		     0);
	node->pki.ca = make_pool();
	cert_unref(ca);
}

/* --- outside -----------------------------------------------------------------------------------
 */

static uint64_t out_now_ns(void *context)
{
	return ((struct sim_node *)context)->sim->now_ns;
}

static uint64_t out_wall_ns(void *context)
{
	const struct sim_node *node = context;
	const struct sim *sim = node->sim;

	return SIM_WALL_S * SIM_S + sim->now_ns +
	       (uint64_t)(sim->wall_offset_ns + node->wall_offset_ns);
}

static void out_random(void *context, void *bytes, size_t length)
{
	struct sim_node *node = context;
	uint8_t *at = bytes;

	if (length == 4 && node->index_repeats > 0) {
		node->index_repeats--;
		memset(bytes, 0x5a, 4);
		return;
	}
	while (length-- > 0)
		*at++ = (uint8_t)sim_random(node->sim, 256);
}

static void out_send_udp(void *context, const struct endpoint *to, const uint8_t *bytes,
			 size_t length)
{
	struct sim_node *node = context;

	sim_transmit(node->sim, &node->endpoint, to, bytes, length);
}

/* Orders of one queue are carried out in the order they were posted. */
static void post(struct sim_node *node, uint32_t queue, struct order *order)
{
	struct sim_event *event = calloc(1, sizeof(*event));
	uint64_t at = node->sim->now_ns + sim_random(node->sim, HOP_MAX_NS);

	cr_assert(event && queue < QUEUES);
	if (at < node->to_worker_ns[queue])
		at = node->to_worker_ns[queue];
	node->to_worker_ns[queue] = at;
	order->queue = queue;
	*event = (struct sim_event){.at_ns = at,
				    .type = SIM_ORDER,
				    .node = node,
				    .life = node->life,
				    .queue = queue,
				    .order = order};
	sim_schedule(node->sim, event);
}

static struct order *make_order(enum order_type type, const uint8_t *bytes, size_t length)
{
	struct order *order = calloc(1, sizeof(*order) + length);

	cr_assert(order);
	order->type = type;
	order->length = (uint32_t)length;
	if (length)
		memcpy(order->bytes, bytes, length);
	return order;
}

static void out_send_in_tunnel(void *context, uint32_t queue, struct tunnel_id tunnel,
			       enum wire_type wire, const struct endpoint *remote,
			       const uint8_t *payload, size_t length)
{
	struct order *order = make_order(ORDER_SEND_IN_TUNNEL, payload, length);

	order->tunnel = tunnel;
	order->wire = wire;
	order->has_remote = remote != NULL;
	if (remote)
		order->remote = *remote;
	post(context, queue, order);
}

static void out_send_via_relay(void *context, uint32_t queue, struct tunnel_id tunnel,
			       uint32_t index, const uint8_t *bytes, size_t length)
{
	struct order *order = make_order(ORDER_SEND_VIA_RELAY, bytes, length);

	order->tunnel = tunnel;
	order->relay_index = index;
	post(context, queue, order);
}

static void out_resume(void *context, uint32_t queue, struct tunnel_id tunnel,
		       const struct waiting_run *run)
{
	struct order *order = make_order(ORDER_RESUME, run->bytes, run->length);

	order->tunnel = tunnel;
	order->vnet = run->vnet;
	post(context, queue, order);
}

static void out_resume_end(void *context, uint32_t queue, const struct addr *host)
{
	struct order *order = make_order(ORDER_RESUME_END, NULL, 0);
	struct sim_node *node = context;

	order->addr = *host;
	order->waiting_seen = node->waiting_taken[queue];
	post(node, queue, order);
}

static const struct sim_name *find_name(const struct sim *sim, const char *text)
{
	for (uint32_t i = 0; i < sim->name_count; i++)
		if (strcmp(sim->names[i].text, text) == 0)
			return &sim->names[i];
	return NULL;
}

static int out_resolve(void *context, uint32_t id, const char *text, enum name_network network,
		       uint64_t timeout_ns)
{
	struct sim_node *node = context;
	const struct sim_name *name = find_name(node->sim, text);
	struct sim_event *event;

	cr_assert_lt(id, SIM_NAMES);
	node->lookups[id]++;
	node->asked_network = network;
	node->asked_timeout_ns = timeout_ns;
	if (!name || name->silent)
		return 0;
	event = calloc(1, sizeof(*event));
	cr_assert(event);
	*event = (struct sim_event){.at_ns = node->sim->now_ns + name->delay_ns,
				    .type = SIM_NAME,
				    .node = node,
				    .life = node->life,
				    .name = name,
				    .name_id = id,
				    .lookup = node->lookups[id]};
	sim_schedule(node->sim, event);
	return 0;
}

static void out_resolve_cancel(void *context, uint32_t id)
{
	((struct sim_node *)context)->lookups[id]++;
}

void sim_node_name(struct sim_node *node, const struct sim_event *event)
{
	const struct sim_name *name = event->name;

	if (node->lookups[event->name_id] == event->lookup)
		node_on_name(node->node, event->name_id, name->outcome, name->addrs, name->count);
	sim_node_reap(node);
}

static void out_count_stat(void *context, enum statistic which, uint64_t n)
{
	((struct sim_node *)context)->stats[which] += n;
}

static void out_count_drop(void *context, enum drop reason, uint64_t packets)
{
	((struct sim_node *)context)->drops[reason] += packets;
}

static void out_log(void *context, enum outside_level level, const char *message,
		    const struct outside_field *fields, size_t count)
{
	struct sim_node *node = context;

	node->log_lines[level]++;
	if (!node->sim->verbose)
		return;
	fprintf(stderr, "%12.6f node %u: %s", (double)node->sim->now_ns / 1e9, node->id, message);
	for (size_t i = 0; i < count; i++) {
		if (fields[i].text)
			fprintf(stderr, " %s=%s", fields[i].key, fields[i].text);
		else
			fprintf(stderr, " %s=%llu", fields[i].key,
				(unsigned long long)fields[i].number);
	}
	fprintf(stderr, "\n");
}

/* --- life --------------------------------------------------------------------------------------
 */

static size_t local_addrs(void *context, struct local_addr *list, size_t most)
{
	const struct sim_node *node = context;

	list[0] = (struct local_addr){"lo", addr_from_v4(0x7f000001)};
	list[1] = (struct local_addr){"tun0", node->addr};
	list[2] = (struct local_addr){"eth0", node->endpoint.addr};
	return 3;
}

struct sim_node *sim_add(struct sim *sim)
{
	struct sim_node *node = &sim->nodes[sim->node_count++];

	cr_assert_leq(sim->node_count, SIM_NODES);
	node->sim = sim;
	node->id = sim->node_count;
	node->addr = overlay(node->id);
	node->endpoint = sim_endpoint(node->id, 4242);
	node->options = (struct node_options){
		.cipher = sim->seed % 2 ? AEAD_AES256GCM : AEAD_CHACHA20POLY1305,
		.queues = QUEUES,
		.try_interval_ns = 100 * SIM_MS,
		.retries = 10,
		.accept_recv_error = RECV_ERROR_ALWAYS,
		.disconnect_invalid = true,
		.static_hosts = node->static_hosts,
		.lighthouse = {.hosts = node->lighthouses,
			       .interval_ns = 10 * SIM_S,
			       .punch_delay_ns = SIM_S,
			       .respond_delay_ns = 5 * SIM_S},
		.relay.use_relays = true,
		.udp_port = 4242,
		.local_addrs = local_addrs,
		.local_context = node,
	};
	node->outside = (struct outside){
		.context = node,
		.now_ns = out_now_ns,
		.wall_ns = out_wall_ns,
		.random = out_random,
		.send_udp = out_send_udp,
		.send_in_tunnel = out_send_in_tunnel,
		.send_via_relay = out_send_via_relay,
		.resume = out_resume,
		.resume_end = out_resume_end,
		.resolve = out_resolve,
		.resolve_cancel = out_resolve_cancel,
		.count_drop = out_count_drop,
		.count_stat = out_count_stat,
		.log = out_log,
	};
	sim_identify(node, &(struct sim_identity){0});
	return node;
}

void sim_static(struct sim_node *node, uint32_t host, const struct endpoint *endpoint)
{
	struct node_static_host *entry = NULL;
	struct addr addr = overlay(host);

	for (size_t i = 0; i < node->options.static_host_count; i++)
		if (addr_equal(&node->static_hosts[i].addr, &addr))
			entry = &node->static_hosts[i];
	if (!entry)
		entry = &node->static_hosts[node->options.static_host_count++];
	entry->addr = addr;
	entry->remotes[entry->remote_count++] = *endpoint;
}

void sim_client(struct sim_node *node, struct sim_node *lighthouse)
{
	lighthouse->options.lighthouse.am_lighthouse = true;
	node->lighthouses[node->options.lighthouse.host_count++] = lighthouse->addr;
	sim_static(node, lighthouse->id, &lighthouse->endpoint);
}

void sim_relay(struct sim_node *node, struct sim_node *relay)
{
	relay->options.relay.am_relay = true;
	node->options.relay.relays = node->relays;
	node->relays[node->options.relay.relay_count++] = relay->addr;
}

void sim_opened(struct sim_node *node, struct sim_node *peer, enum wire_type wire,
		const uint8_t *bytes, size_t length)
{
	struct tunnel *tunnel = sim_primary(node, peer->id);

	cr_assert(tunnel);
	node_on_opened(node->node, 0, tunnel->id, &tunnel->remote->to, 0, wire, bytes, length);
	sim_node_reap(node);
}

void sim_start_node(struct sim_node *node)
{
	bool locked;

	node->life++;
	memset(node->waiting_sent, 0, sizeof(node->waiting_sent));
	memset(node->waiting_taken, 0, sizeof(node->waiting_taken));
	node->map = hostmap_create(&locked);
	cr_assert(node->map);
	node->node = node_create(&node->options, &node->pki, node->map, &node->outside);
	cr_assert(node->node);
}

/* The workers hold nothing between events: a grace period is always over. */
void sim_node_reap(struct sim_node *node)
{
	hostmap_garbage_release(node->map, hostmap_garbage_take(node->map));
}

void sim_kill_node(struct sim_node *node)
{
	if (!node->node)
		return;
	node_destroy(node->node);
	sim_node_reap(node);
	hostmap_destroy(node->map);
	node->node = NULL;
}

/* --- control's side of the queues --------------------------------------------------------------
 */

void sim_node_punt(struct sim_node *node, struct punt *punt)
{
	struct waiting_run run;

	switch (punt->type) {
	case PUNT_HANDSHAKE:
		node_on_handshake(node->node, punt->queue, &punt->source, punt->via, punt->bytes,
				  punt->length);
		break;
	case PUNT_RECV_ERROR:
		node_on_recv_error(node->node, &punt->source, punt->bytes, punt->length);
		break;
	case PUNT_OPENED:
		node_on_opened(node->node, punt->queue, punt->tunnel, &punt->source, punt->via,
			       punt->wire, punt->bytes, punt->length);
		break;
	case PUNT_WAITING:
		run = (struct waiting_run){
			.vnet = punt->vnet, .bytes = punt->bytes, .length = punt->length};
		node->waiting_taken[punt->queue]++;
		node_on_waiting(node->node, punt->queue, &punt->addr, &run);
		break;
	case PUNT_ROAM:
		node_on_roam(node->node, punt->tunnel, &punt->source);
		break;
	case PUNT_CONFIRMED:
		node_on_confirmed(node->node, punt->tunnel, &punt->source);
		break;
	case PUNT_COUNTER:
		node_on_counter(node->node, punt->tunnel, punt->value);
		break;
	case PUNT_ACTIVE:
		node_on_active(node->node, punt->tunnel);
		break;
	case PUNT_RESUME_AGAIN:
		node_on_resume_again(node->node, punt->queue, &punt->addr);
		break;
	default:
		cr_assert_fail("unexpected punt");
	}
	sim_node_reap(node);
}

/* --- the workers -------------------------------------------------------------------------------
 */

static void send_punt(struct sim_node *node, const struct punt *fields, const uint8_t *bytes,
		      uint32_t length)
{
	uint32_t queue = fields->queue;
	struct punt *punt = calloc(1, sizeof(*punt) + length);
	struct sim_event *event = calloc(1, sizeof(*event));
	uint64_t at = node->sim->now_ns + sim_random(node->sim, HOP_MAX_NS);

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
	seal_frame(via, index, counter, frame, length);
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
		       enum punt_type type, uint32_t bit, const struct endpoint *source)
{
	if (atomic_fetch_or(&tunnel->event_in_flight, bit) & bit)
		return;
	send_punt(node,
		  &(struct punt){
			  .type = type, .queue = queue, .tunnel = tunnel->id, .source = *source},
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
			   moves ? from : &nowhere);
	if (moves && (!tunnel->remote || !endpoint_equal(&tunnel->remote->to, from)))
		event_punt(node, tunnel, queue, PUNT_ROAM, TUNNEL_EVENT_ROAM, from);
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
	atomic_store(&entry->relay_used, 1);
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
	uint32_t queue = (uint32_t)sim_random(node->sim, QUEUES);
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
	struct addr addr = overlay(host);
	struct host_entry *entry = hostmap_by_addr(node->map, &addr);
	uint8_t packet[PACKET_BYTES] = {0};

	memcpy(packet, &node->id, 4);
	memcpy(packet + 4, &host, 4);
	memcpy(packet + 8, &number, 8);
	if (entry && entry->tunnel && !(atomic_load(&entry->held_queues) & 1ull << queue)) {
		seal_and_send(node, entry->tunnel, WIRE_MESSAGE, NULL, packet, sizeof(packet));
		return;
	}
	node->waiting_sent[queue]++;
	send_punt(node, &(struct punt){.type = PUNT_WAITING, .queue = queue, .addr = addr}, packet,
		  sizeof(packet));
}

/* --- questions ---------------------------------------------------------------------------------
 */

size_t sim_got(const struct sim_node *node, uint32_t from)
{
	size_t count = 0;

	for (size_t i = 0; i < node->received_count; i++)
		count += node->received[i].from == from;
	return count;
}

bool sim_got_number(const struct sim_node *node, uint32_t from, uint64_t number)
{
	for (size_t i = 0; i < node->received_count; i++)
		if (node->received[i].from == from && node->received[i].number == number)
			return true;
	return false;
}

bool sim_in_order(const struct sim_node *node, uint32_t from)
{
	uint64_t last = 0;

	for (size_t i = 0; i < node->received_count; i++) {
		if (node->received[i].from != from)
			continue;
		if (node->received[i].number < last)
			return false;
		last = node->received[i].number;
	}
	return true;
}

struct tunnel *sim_primary(struct sim_node *node, uint32_t host)
{
	struct addr addr = overlay(host);
	struct host_entry *entry = hostmap_by_addr(node->map, &addr);

	return entry ? entry->tunnel : NULL;
}
