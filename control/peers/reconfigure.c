/*
 * reconfigure.c - a node takes up a new configuration and identity while it runs (PROTOCOL.md 9.2).
 *
 * In two steps, so that packets meet no gap: node_rules_prepare() puts each tunnel's bits for the
 * new rules beside those in use, then the caller publishes the snapshot that they belong to, then
 * node_reconfigure() swaps what control itself decides by. Nothing in it can fail but static hosts
 * without memory.
 *
 * What is undone, and what is left: a tunnel lives on whatever the new static hosts, allow lists or
 * lighthouses say, as in the reference; they are asked when the next handshake begins or the peer
 * moves. What ends tunnels is the sweep, which runs at once: certificates that are blocked, or
 * whose CA is no longer trusted. A new certificate of ours is shown to a peer by a handshake beside
 * the live tunnel, as soon as the peer is heard (8.4).
 */
#include <errno.h>

#include "peers/manager.h"
#include "peers/node_state.h"

/* --- rules -------------------------------------------------------------------------------------
 */

static void release_plain(struct hostmap *map, void *object)
{
	free(object);
}

void node_rules_discard(struct node *node, uint16_t version)
{
	struct tunnel_record *record = node->tunnels.all;

	for (; record; record = record->next) {
		free(record->tunnel->rules[version & 1]);
		RCU_PUBLISH(record->tunnel->rules[version & 1], NULL);
	}
}

int node_rules_prepare(struct node *node, const struct node_options *next, const struct pki *pki,
		       uint16_t version)
{
	struct tunnel_record *record = node->tunnels.all;

	for (; next->rules_for_peer && record; record = record->next) {
		const struct cert *ca = ca_pool_find(pki->ca, record->cert->issuer);
		struct peer_rules *rules =
			next->rules_for_peer(next->rules_context, record->cert, ca);

		if (!rules) {
			node_rules_discard(node, version);
			return -ENOMEM;
		}
		RCU_PUBLISH(record->tunnel->rules[version & 1], rules);
	}
	return 0;
}

void node_rules_retire(struct node *node, uint16_t version)
{
	struct tunnel_record *record = node->tunnels.all;

	for (; record; record = record->next) {
		struct peer_rules *rules = record->tunnel->rules[version & 1];

		RCU_PUBLISH(record->tunnel->rules[version & 1], NULL);
		if (rules)
			hostmap_defer(node->tunnels.map, release_plain, rules);
	}
}

/* --- hosts -------------------------------------------------------------------------------------
 */

struct permission {
	const struct node *node;
	const struct peer_host *host;
};

static bool permitted(const void *context, const struct endpoint *at)
{
	const struct permission *permission = context;

	return lighthouse_permits(permission->node, &permission->host->addr, at);
}

/* visit may free the host, and no other; when it adds one, some may not be visited. */
static void each_host(struct node *node, void (*visit)(struct node *node, struct peer_host *host))
{
	struct table *table = &node->tunnels.by_addr;

	for (size_t i = 0; i <= table->mask; i++) {
		for (struct table_node *at = table->buckets[i], *next; at; at = next) {
			next = at->next;
			visit(node, table_entry(at, struct peer_host, node));
		}
	}
}

/* What the old configuration said of it goes; what others said stays if the new one allows it. */
static void unlearn_host(struct node *node, struct peer_host *host)
{
	static const struct addr configuration;
	struct permission permission = {node, host};

	host->is_static = false;
	if (!host->remotes)
		return;
	remotes_forget(host->remotes, &configuration);
	remotes_retain(host->remotes, permitted, &permission);
	remotes_unblock(host->remotes); /* who corrects addresses reloads */
	if (node->lighthouse.options.am_lighthouse)
		lighthouse_publish(node, host);
}

/* Nothing is left of a host that only the old configuration knew. */
static void put_host(struct node *node, struct peer_host *host)
{
	tunnels_put_host(&node->tunnels, host);
}

/*
 * A handshake under way goes on with the addresses that are known now. It asks relays and
 * lighthouses, and what is not left of those has to have gone before: see put_host().
 */
static void go_on(struct node *node, struct peer_host *host)
{
	uint32_t before = host->remotes ? host->remotes->changes : 0;

	if (!host->pending)
		return;
	lighthouse_calculate(node, host);
	if (host->remotes && (host->remotes->changes != before || host->is_static))
		initiator_poke(node, host->pending);
}

/* --- the certificate ---------------------------------------------------------------------------
 */

static bool same_identity(const struct pki *a, const struct pki *b)
{
	const struct cert *was = pki_own_cert(a), *is = pki_own_cert(b);

	return memcmp(was->fingerprint, is->fingerprint, CERT_FINGERPRINT_SIZE) == 0 &&
	       was->public_key_len == is->public_key_len &&
	       memcmp(was->public_key, is->public_key, was->public_key_len) == 0;
}

/* Their stage 1 shows the old certificate and is tied to the old key. The new one is not made yet
 * when a handshake begins anew, so each restart takes one out of the table. */
static void restart_handshakes(struct node *node)
{
	const struct table *table = &node->pending_by_index;

	for (size_t i = 0; table->count > 0 && i <= table->mask; i++)
		while (table->buckets[i])
			initiator_restart(node, table_entry(table->buckets[i], struct host_pending,
							    by_index));
}

/* --- all ---------------------------------------------------------------------------------------
 */

/* What a reload leaves as it is: keys.def, reload NO. */
static void keep_fixed(struct node_options *next, const struct node_options *now)
{
	next->cipher = now->cipher;
	next->queues = now->queues;
	next->workers = now->workers;
	next->udp_v6 = now->udp_v6;
	next->udp_port = now->udp_port;
	next->try_interval_ns = now->try_interval_ns;
	next->retries = now->retries;
	next->alive_interval_ns = now->alive_interval_ns;
	next->deletion_interval_ns = now->deletion_interval_ns;
	next->local_addrs = now->local_addrs;
	next->local_context = now->local_context;
}

/* Tunnels that rest are looked at once: punches and inactivity have timers of their own. */
static void wake_tunnels(struct node *node)
{
	struct tunnel_record *record = node->tunnels.all;

	for (; record; record = record->next)
		manager_check_at(&node->tunnels, record, node_now_ns(node));
}

void node_reconfigure(struct node *node, const struct node_options *next, const struct pki *pki)
{
	struct node_options before = node->options;
	bool same = same_identity(node->pki, pki);

	node->options = *next;
	keep_fixed(&node->options, &before);
	node->pki = node->self.pki = pki;
	verified_clear(&node->verified); /* other CAs may be trusted now */
	lighthouse_reconfigure(node, &next->lighthouse);
	each_host(node, unlearn_host);
	if (node_add_static_hosts(node) != 0 || names_reconfigure(node, &next->names) != 0)
		NODE_LOG(node, OUTSIDE_ERROR, "No memory for all hosts of static_host_map",
			 FIELD_NUMBER("hosts", next->static_host_count));
	node->options.names.list = NULL; /* the caller's, as the static hosts */
	if (!same)
		restart_handshakes(node);
	each_host(node, put_host);
	each_host(node, go_on);
	relays_reconfigure(node, &next->relay);
	if (next->punch != before.punch || next->drop_inactive != before.drop_inactive ||
	    next->inactivity_ns != before.inactivity_ns)
		wake_tunnels(node);
	node_sweep_now(node);
}
