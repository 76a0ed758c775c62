/* sim_node.c - one simulated node: its identity, its outside, its life and what tests ask of it. */
#include <sodium.h>
#include <stdlib.h>

#include "crypto/replay.h"
#include "crypto/seal.h"
#include "identity/pem.h"
#include "lookup/query.h"
#include "message.h"
#include "sim.h"

struct addr sim_overlay(uint32_t id)
{
	return addr_from_v4(0x0a2a0000 + id);
}

/* --- identity ----------------------------------------------------------------------------------
 */

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
	struct prefix networks[4] = {{sim_overlay(id), 112}};
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
		networks[count++] = (struct prefix){sim_overlay(identity->also[i]), 112};
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

struct pki sim_identity_of(struct sim_node *node, const struct sim_identity *identity)
{
	struct pki kept = node->pki, made;

	memset(&node->pki, 0, sizeof(node->pki));
	sim_identify(node, identity);
	made = node->pki;
	node->pki = kept;
	return made;
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
	uint64_t at = node->sim->now_ns + sim_random(node->sim, SIM_HOP_MAX_NS);

	cr_assert(event && queue < SIM_QUEUES);
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

	node->lookups[id % SIM_NAMES]++;
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
				    .lookup = node->lookups[id % SIM_NAMES]};
	sim_schedule(node->sim, event);
	return 0;
}

static void out_resolve_cancel(void *context, uint32_t id)
{
	((struct sim_node *)context)->lookups[id % SIM_NAMES]++;
}

void sim_node_name(struct sim_node *node, const struct sim_event *event)
{
	const struct sim_name *name = event->name;
	struct name_answer answer = {name->outcome, name->one_family ? name->told : NAME_IP,
				     name->outcome == NAME_FOUND ? name->count : 0, name->addrs};

	if (node->lookups[event->name_id % SIM_NAMES] == event->lookup || node->sim->late_answers)
		node_on_name(node->node, event->name_id, &answer);
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

static void line_text(const char *message, const struct outside_field *fields, size_t count,
		      char text[512])
{
	int at = snprintf(text, 512, "%s", message);

	for (size_t i = 0; i < count && at < 512; i++) {
		if (fields[i].text)
			at += snprintf(text + at, 512 - (size_t)at, " %s=%s", fields[i].key,
				       fields[i].text);
		else
			at += snprintf(text + at, 512 - (size_t)at, " %s=%llu", fields[i].key,
				       (unsigned long long)fields[i].number);
	}
}

static void out_log(void *context, enum outside_level level, const char *message,
		    const struct outside_field *fields, size_t count)
{
	struct sim_node *node = context;
	char text[512];

	node->log_lines[level]++;
	if (node->watched && strcmp(message, node->watched) == 0) {
		node->watched_lines++;
		line_text(message, fields, count, node->watched_text);
	}
	if (!node->sim->verbose)
		return;
	line_text(message, fields, count, text);
	fprintf(stderr, "%12.6f node %u: %s\n", (double)node->sim->now_ns / 1e9, node->id, text);
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
	node->addr = sim_overlay(node->id);
	node->endpoint = sim_endpoint(node->id, 4242);
	node->options = (struct node_options){
		.cipher = sim->seed % 2 ? AEAD_AES256GCM : AEAD_CHACHA20POLY1305,
		/* with every other pair of seeds the last worker has the sparse flows alone */
		.queues = sim->seed / 2 % 2 ? SIM_QUEUES - 1 : SIM_QUEUES,
		.workers = SIM_QUEUES,
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
	struct addr addr = sim_overlay(host);

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
	static const struct endpoint nowhere;
	struct tunnel *tunnel = sim_primary(node, peer->id);

	cr_assert(tunnel);
	/* without a remote it came through a relay: the index of which entry, nobody asks */
	node_on_opened(node->node, 0, tunnel->id, tunnel->remote ? &tunnel->remote->to : &nowhere,
		       !tunnel->remote, wire, bytes, length);
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
	cr_assert_eq(node->tunnel_slots, 0, "%u tunnels were never freed", node->tunnel_slots);
	hostmap_destroy(node->map);
	node->map = NULL;
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
		if (node->stock && punt->wire == WIRE_TEST_REQUEST)
			node_on_roam(node->node, punt->tunnel, &punt->source);
		node_on_opened(node->node, punt->queue, punt->tunnel, &punt->source,
			       node->stock ? 0 : punt->via, punt->wire, punt->bytes, punt->length);
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
		node_on_confirmed(node->node, punt->tunnel, &punt->source,
				  node->stock ? 0 : punt->via);
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
	struct addr addr = sim_overlay(host);
	struct host_entry *entry = hostmap_by_addr(node->map, &addr);

	return entry ? entry->tunnel : NULL;
}
