/*
 * node.c - see node.h: a node's beginning and end, what its files share, and time. What workers
 * report: node_events.c. Handshakes: initiator.c and responder.c. What workers see: tunnels.c and
 * tunnel_hosts.c.
 */
#include "peers/node.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "peers/manager.h"
#include "peers/node_state.h"
#include "siphash.h"

#define S_NS 1000000000ull

/* Certificates of live tunnels are judged again this often. */
#define SWEEP_NS      (5 * S_NS)
#define SWEEP_STEP_NS (S_NS / 50) /* between parts of one sweep */
#define INDEX_TRIES   32

static void fire_sweep(void *context, struct timer *timer);

/* --- create and destroy ------------------------------------------------------------------------
 */

int node_add_static_hosts(struct node *node)
{
	for (size_t i = 0; i < node->options.static_host_count; i++) {
		const struct node_static_host *from = &node->options.static_hosts[i];
		struct peer_host *host = tunnels_obtain_host(&node->tunnels, &from->addr);

		if (!host)
			return -ENOMEM;
		host->is_static = true;
		for (uint32_t j = 0; j < from->remote_count; j++)
			if (lighthouse_permits(node, &from->addr, &from->remotes[j]) &&
			    !lighthouse_in_own_networks(node, &from->remotes[j].addr))
				initiator_add_remote(node, host, &from->remotes[j]);
	}
	node->options.static_hosts = NULL; /* the caller's */
	return 0;
}

struct node *node_create(const struct node_options *options, const struct pki *pki,
			 struct hostmap *map, const struct outside *outside)
{
	struct node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->options = *options;
	node->pki = pki;
	node->outside = outside;
	node->self = (struct machine_self){options->cipher, pki, &node->verified};
	node->responder = RATE(RESPONDER_PER_SECOND, RESPONDER_BURST);
	node->initiator = RATE(INITIATOR_PER_SECOND, INITIATOR_BURST);
	node->log = RATE(NODE_LOG_PER_SECOND, NODE_LOG_PER_SECOND);
	node->handshake_log = RATE(HANDSHAKE_LOG_PER_SECOND, HANDSHAKE_LOG_BURST);
	node->tunnel_log = RATE(TUNNEL_LOG_PER_SECOND, TUNNEL_LOG_BURST);
	node->sweep.fire = fire_sweep;
	node->lighthouse.options = options->lighthouse;
	node->lighthouse.order = (struct remotes_order){options->lighthouse.preferred,
							options->lighthouse.preferred_count};
	if (tunnels_init(&node->tunnels, map, outside, options->workers, options->udp_v6) != 0)
		goto err_node;
	manager_init(node);
	if (table_init(&node->pending_by_index) != 0)
		goto err_tunnels;
	if (relays_init(node) != 0)
		goto err_pending;
	if (node_add_static_hosts(node) != 0 || lighthouse_init(node) != 0 ||
	    names_init(node, &node->options.names) != 0) {
		node_destroy(node);
		return NULL;
	}
	return node;

err_pending:
	table_free(&node->pending_by_index);
err_tunnels:
	tunnels_release(&node->tunnels);
err_node:
	free(node);
	return NULL;
}

/* A host that still exists, or NULL. */
static struct peer_host *any_host(struct node *node)
{
	struct table *table = &node->tunnels.by_addr;

	for (size_t i = 0; table->count > 0 && i <= table->mask; i++)
		if (table->buckets[i])
			return table_entry(table->buckets[i], struct peer_host, node);
	return NULL;
}

void node_destroy(struct node *node)
{
	struct peer_host *host;

	if (!node)
		return;
	node->shut_down = true;
	names_release(node);
	dns_names_release(&node->dns_names);
	while (node->tunnels.all)
		tunnels_remove(&node->tunnels, node->tunnels.all);
	while ((host = any_host(node))) {
		host->is_static = false;
		if (host->pending)
			initiator_end(node, host->pending, DROP_PENDING_TIMEOUT);
		else
			tunnels_put_host(&node->tunnels, host);
	}
	table_free(&node->pending_by_index);
	relays_release(node);
	tunnels_release(&node->tunnels);
	free(node);
}

/* --- shared by the handshake files -------------------------------------------------------------
 */

uint64_t node_handshake_time(struct node *node)
{
	uint64_t now = node->outside->wall_ns(node->outside->context);

	node->last_time_ns = now > node->last_time_ns ? now : node->last_time_ns + 1;
	return node->last_time_ns;
}

int node_index_take(struct node *node, uint32_t queue, uint32_t near, uint32_t *index)
{
	uint32_t queues = node->options.queues;

	queue %= queues;                       /* the worker of sparse flows comes behind them */
	*index = near - near % queues + queue; /* steering: index modulo queues */
	if (*index == 0 || *index % queues != queue)
		return -EEXIST; /* zero, or wrapped behind 2^32 - 1 */
	return hostmap_index_reserve(node->tunnels.map, *index);
}

int node_index_allocate(struct node *node, uint32_t queue, uint32_t *index)
{
	int err = -EEXIST;

	for (int i = 0; i < INDEX_TRIES && err == -EEXIST; i++) {
		uint8_t drawn[4];

		node->outside->random(node->outside->context, drawn, sizeof(drawn));
		err = node_index_take(node, queue,
				      (uint32_t)drawn[0] << 24 | (uint32_t)drawn[1] << 16 |
					      (uint32_t)drawn[2] << 8 | drawn[3],
				      index);
	}
	return err;
}

uint32_t node_next_queue(struct node *node)
{
	return node->next_queue++ % node->options.queues;
}

void node_note_failure(struct node *node, const struct addr *host, const struct endpoint *from,
		       const char *text, const char *detail)
{
	failures_note(&node->failures, node_now_ns(node), host, from, text, detail);
}

bool node_may_log(struct node *node)
{
	return rate_take(&node->log, node_now_ns(node));
}

static uint64_t refusal_name(const struct node *node, const struct machine_peer *peer,
			     const struct endpoint *source, const struct relay *relay)
{
	const struct addr *from = relay ? &relay->record->tunnel->addrs[0] : &source->addr;
	uint64_t words[4] = {peer->error};

	memcpy(&words[1], from->bytes, sizeof(from->bytes));
	if (peer->cert)
		memcpy(&words[3], peer->cert->fingerprint, sizeof(words[3]));
	return siphash(node->relays.index_key, words, 4); /* indexes are of 3 words */
}

bool node_tell_refusal(struct node *node, const struct machine_peer *peer,
		       const struct endpoint *source, const struct relay *relay, bool *again)
{
	uint64_t name = refusal_name(node, peer, source, relay), now = node_now_ns(node);

	*again = refused_was_told(&node->refused, name, now);
	if (*again || !node_may_log(node))
		return false;
	refused_note(&node->refused, name, now);
	return true;
}

void node_log_refusal(struct node *node, const char *message, uint64_t stage,
		      const struct machine_peer *peer, const struct endpoint *source,
		      const struct relay *relay)
{
	char from[ORIGIN_TEXT_MAX];
	const struct outside_field fields[] = {
		FIELD_TEXT("udpAddr", node_origin_text(source, relay, from)),
		FIELD_TEXT("certName", peer->cert ? peer->cert->name : ""),
		FIELD_TEXT("error", cert_error_text(peer->error)),
		FIELD_NUMBER("handshake.stage", stage),
		FIELD_TEXT("handshake.style", "ix_psk0"),
		FIELD_TEXT("detail", peer->detail), /* only some errors have one */
	};
	size_t count = sizeof(fields) / sizeof(fields[0]) - !peer->detail[0];

	node->outside->log(node->outside->context, OUTSIDE_INFO, message, fields, count);
}

int node_peer_rules(const struct node *node, const struct machine_peer *peer,
		    struct peer_rules **rules)
{
	*rules = NULL;
	if (!node->options.rules_for_peer)
		return 0;
	*rules = node->options.rules_for_peer(node->options.rules_context, peer->cert, peer->ca);
	return *rules ? 0 : -ENOMEM;
}

const char *node_host_text(const struct addr *addr, char text[ADDR_TEXT_MAX + 2])
{
	size_t length;

	text[0] = '[';
	addr_format(addr, text + 1);
	length = strlen(text);
	text[length] = ']';
	text[length + 1] = '\0';
	return text;
}

void node_peer_text(const struct cert *cert, struct peer_text *text)
{
	size_t at = 1;

	text->addrs[0] = '[';
	text->fingerprint[0] = text->issuer[0] = '\0';
	for (size_t i = 0; cert && i < cert->network_count && i < PEER_ADDRS_MAX; i++) {
		if (at > 1)
			text->addrs[at++] = ' ';
		addr_format(&cert->networks[i].addr, text->addrs + at);
		at += strlen(text->addrs + at);
	}
	text->addrs[at++] = ']';
	text->addrs[at] = '\0';
	if (!cert)
		return;
	cert_fingerprint_hex(cert->fingerprint, text->fingerprint);
	cert_fingerprint_hex(cert->issuer, text->issuer);
}

void node_send_back(struct node *node, const struct endpoint *source, const struct relay *relay,
		    const uint8_t *bytes, size_t length)
{
	if (relay)
		relays_send(node, relay, bytes, length);
	else
		node->outside->send_udp(node->outside->context, source, bytes, length);
}

const char *node_origin_text(const struct endpoint *source, const struct relay *relay,
			     char text[ORIGIN_TEXT_MAX])
{
	if (!relay)
		return endpoint_format(source, text);
	memcpy(text, "relay ", 7);
	node_host_text(&relay->record->tunnel->addrs[0], text + 6);
	return text;
}

/* --- time --------------------------------------------------------------------------------------
 */

void node_log_invalid(struct node *node, const struct tunnel_record *record, enum cert_error error)
{
	struct peer_text text;

	node_peer_text(record->cert, &text);
	NODE_LOG(node, OUTSIDE_INFO,
		 error == CERT_BLOCKED
			 ? "Remote certificate is blocked, tearing down the tunnel"
			 : "Remote certificate is no longer valid, tearing down the tunnel",
		 FIELD_TEXT("vpnAddrs", text.addrs), FIELD_TEXT("certName", record->cert->name),
		 FIELD_TEXT("fingerprint", text.fingerprint),
		 FIELD_TEXT("error", cert_error_text(error)));
}

static void fire_sweep(void *context, struct timer *timer)
{
	struct node *node = table_entry(context, struct node, tunnels);

	if (manager_sweep(node))
		timer_arm(&node->tunnels.timers, timer, node_now_ns(node) + SWEEP_STEP_NS);
	else
		node_arm_sweep(node);
}

void node_arm_sweep(struct node *node)
{
	if (node->tunnels.count > 0 && node->sweep.position == 0 && !node->shut_down)
		timer_arm(&node->tunnels.timers, &node->sweep, node_now_ns(node) + SWEEP_NS);
}

void node_sweep_now(struct node *node)
{
	node->sweep_slot = 0;
	if (node->tunnels.count > 0 && !node->shut_down)
		timer_arm(&node->tunnels.timers, &node->sweep, node_now_ns(node));
}

void node_tick(struct node *node)
{
	uint64_t now = node_now_ns(node);
	struct timer *timer;

	while ((timer = timers_pop(&node->tunnels.timers, now)))
		timer->fire(&node->tunnels, timer);
}

uint64_t node_next_deadline(const struct node *node)
{
	return timers_next(&node->tunnels.timers);
}

void node_shutdown(struct node *node)
{
	struct tunnel_record *record = node->tunnels.all;

	node->shut_down = true;
	/* Those that go through a relay first: its tunnel carries their messages. */
	for (; record; record = record->next)
		if (record->state != RECORD_CLOSING && !record->tunnel->remote)
			tunnels_send(&node->tunnels, record, WIRE_CLOSE_TUNNEL, NULL, 0);
	for (record = node->tunnels.all; record; record = record->next)
		if (record->state != RECORD_CLOSING && record->tunnel->remote)
			tunnels_send(&node->tunnels, record, WIRE_CLOSE_TUNNEL, NULL, 0);
}

size_t node_tunnel_count(const struct node *node)
{
	return node->tunnels.count;
}

size_t node_pending_count(const struct node *node)
{
	return node->pending_count;
}
