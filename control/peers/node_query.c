/* node_query.c - see node_query.h. */
#include "peers/node_query.h"

#include <errno.h>

#include "peers/node_state.h"

/* Lighthouses are far away, and all of them may answer; then what they say is unasked again. */
#define QUERY_OPEN_NS 10000000000ull

static const char *const state_names[] = {
	[RECORD_UNCONFIRMED] = "unconfirmed",
	[RECORD_LIVE] = "live",
	[RECORD_SUSPECT] = "suspect",
	[RECORD_CLOSING] = "closing",
};

uint64_t node_query_now_ns(const struct node *node)
{
	return node_now_ns(node);
}

void node_query_hosts(struct node *node, void (*visit)(void *context, const struct addr *addr),
		      void *context)
{
	const struct table *table = &node->tunnels.by_addr;

	for (size_t i = 0; i <= table->mask; i++)
		for (struct table_node *at = table->buckets[i]; at; at = at->next)
			visit(context, &table_entry(at, struct peer_host, node)->addr);
}

bool node_query_host(struct node *node, const struct addr *addr, struct node_host_view *view)
{
	const struct peer_host *host = tunnels_find_host(&node->tunnels, addr);

	memset(view, 0, sizeof(*view));
	view->addr = *addr;
	if (!host)
		return false;
	view->is_static = host->is_static;
	view->usable = host->primary != NULL;
	for (const struct host_link *link = host->links; link; link = link->next)
		view->tunnel_count++;
	view->remote_count = host->remotes ? host->remotes->count : 0;
	if (host->pending) {
		const struct pending *state = &host->pending->pending;

		view->pending = true;
		view->attempts = state->attempts;
		view->attempts_max = state->retries;
		view->pending_age_ns = node_now_ns(node) - state->started_ns;
		view->pending_index = state->stage1 ? state->index : 0;
		view->packets_held = state->packets;
	}
	return true;
}

/* at_ns: coarse monotonic, 0 for never. */
static uint64_t ago(const struct node *node, uint64_t at_ns)
{
	uint64_t now_ns = node_now_ns(node);

	if (at_ns == 0)
		return NODE_NEVER;
	return now_ns > at_ns ? now_ns - at_ns : 0;
}

/* Workers note traffic, control what it is handed. */
static uint64_t heard_ns(const struct tunnel_record *record)
{
	uint64_t traffic = atomic_load(&record->tunnel->last_in_ns);

	return traffic > record->live.heard_ns ? traffic : record->live.heard_ns;
}

bool node_query_tunnel(struct node *node, const struct addr *addr, uint32_t i,
		       struct node_tunnel_view *view)
{
	const struct peer_host *host = tunnels_find_host(&node->tunnels, addr);
	const struct host_link *link = host ? host->links : NULL;
	const struct tunnel_record *record;
	const struct tunnel *tunnel;

	while (link && i-- > 0)
		link = link->next;
	if (!link)
		return false;
	record = link->record;
	tunnel = record->tunnel;
	*view = (struct node_tunnel_view){
		.state = state_names[record->state],
		.primary = host->primary == record,
		.initiator = tunnel->initiator,
		.local_index = tunnel->local_index,
		.remote_index = tunnel->remote_index,
		.has_remote = tunnel->remote != NULL,
		.counter = atomic_load_explicit(&tunnel->counter, memory_order_relaxed),
		.age_ns = node_now_ns(node) - record->created_ns,
		.heard_ago_ns = ago(node, heard_ns(record)),
		.sent_ago_ns = ago(node, atomic_load(&tunnel->last_out_ns)),
		.silent_ns = ago(node, record->live.healing ? record->live.test_ns : 0),
		.deaf = record->live.deaf,
		.cert = record->cert,
		.tunnel = tunnel,
	};
	if (tunnel->remote) {
		view->remote = tunnel->remote->to;
		view->carrier = tunnel;
	}
	view->has_path = !tunnel->remote && record->path;
	if (view->has_path) {
		view->carrier = record->path->record->tunnel;
		view->via = view->carrier->addrs[0];
	}
	return true;
}

uint32_t node_query_primary(struct node *node, const struct addr *addr)
{
	const struct peer_host *host = tunnels_find_host(&node->tunnels, addr);
	const struct host_link *link = host && host->primary ? host->links : NULL;
	uint32_t i = 0;

	for (; link && link->record != host->primary; link = link->next)
		i++;
	return i;
}

bool node_query_relay(struct node *node, const struct addr *addr, uint32_t i,
		      struct node_relay_view *view)
{
	static const char *const states[] = {
		[RELAY_REQUESTED] = "requested",
		[RELAY_PEER_REQUESTED] = "peer requested",
		[RELAY_ESTABLISHED] = "established",
		[RELAY_DISESTABLISHED] = "disestablished",
	};
	const struct peer_host *host = tunnels_find_host(&node->tunnels, addr);

	for (struct host_link *link = host ? host->links : NULL; link; link = link->next) {
		for (struct relay *relay = link->record->relays; relay; relay = relay->next) {
			if (i-- > 0)
				continue;
			*view = (struct node_relay_view){
				.neighbour = host->addr,
				.peer = relay->peer,
				.forwarding = relay->type == RELAY_FORWARDING,
				.state = states[relay->state],
				.local_index = relay->local_index,
				.remote_index = relay->remote_index,
				.in_use = relay->type == RELAY_FORWARDING
						  ? relays_carries(node, relay)
						  : relay->users != NULL,
			};
			return true;
		}
	}
	return false;
}

bool node_query_relay_of(struct node *node, const struct addr *addr, uint32_t i, struct addr *relay)
{
	const struct peer_host *host = tunnels_find_host(&node->tunnels, addr);
	struct addr relays[RELAY_HOSTS_MAX];

	if (!host || i >= remotes_relays(host->remotes, relays, RELAY_HOSTS_MAX))
		return false;
	*relay = relays[i];
	return true;
}

bool node_query_remote(struct node *node, const struct addr *addr, uint32_t i,
		       struct endpoint *remote, bool *blocked)
{
	const struct peer_host *host = tunnels_find_host(&node->tunnels, addr);

	if (!host || !host->remotes || i >= host->remotes->count)
		return false;
	*remote = host->remotes->list[i].to;
	*blocked = host->remotes->list[i].blocked;
	return true;
}

bool node_query_owner(struct node *node, const struct addr *addr, uint32_t i,
		      struct node_owner_view *view)
{
	const struct peer_host *host = tunnels_find_host(&node->tunnels, addr);
	const struct remotes_owner *owner = host && host->remotes ? host->remotes->owners : NULL;

	while (owner && i-- > 0)
		owner = owner->next;
	if (!owner)
		return false;
	*view = (struct node_owner_view){
		.is_dns = addr_equal(&owner->owner, &remotes_names),
		.owner = owner->owner,
		.learned = owner->learned,
		.reported = owner->entries,
		.relays = owner->relays,
		.reported_count = owner->v4_count + owner->v6_count,
		.relay_count = owner->relay_count,
	};
	return true;
}

bool node_query_name(const struct node *node, const char *text, struct node_name_view *view)
{
	const struct dns_name *name = dns_names_find(&node->dns_names, text);

	if (name)
		*view = (struct node_name_view){name->has_v4, name->has_v6, name->v4, name->v6};
	return name != NULL;
}

bool node_query_is_own(const struct node *node, const struct addr *addr)
{
	return relays_is_self(node, addr);
}

const struct node_failure *node_query_failure(const struct node *node, const struct addr *addr)
{
	return failures_find(&node->failures, addr);
}

int node_order_tunnel(struct node *node, const struct addr *addr, const struct endpoint *remote)
{
	struct peer_host *host = tunnels_obtain_host(&node->tunnels, addr);
	int err = 0;

	if (!host)
		return -ENOBUFS;
	if (host->primary)
		err = -EEXIST;
	else if (host->pending)
		err = -EALREADY;
	if (!err && remote) {
		initiator_add_remote(node, host, remote);
		if (host->remotes) /* whoever was there before */
			remotes_unblock(host->remotes);
	}
	if (!err && !initiator_begin(node, host, 0))
		err = -ENOBUFS;
	tunnels_put_host(&node->tunnels, host);
	return err;
}

int node_order_query(struct node *node, const struct addr *addr)
{
	struct peer_host *host = tunnels_find_host(&node->tunnels, addr);

	if (!host)
		return -ENOENT;
	host->asked_until_ns = node_now_ns(node) + QUERY_OPEN_NS;
	if (!node->shut_down)
		lighthouse_ask(node, host);
	return 0;
}

int node_order_close(struct node *node, const struct addr *addr, bool local_only)
{
	struct peer_host *host = tunnels_find_host(&node->tunnels, addr);
	bool any = false;

	/* Each round takes one link away, and with the last one perhaps the host. */
	while (host && host->links) {
		any = true;
		if (local_only)
			tunnels_remove(&node->tunnels, host->links->record);
		else
			tunnels_close(&node->tunnels, host->links->record);
		host = tunnels_find_host(&node->tunnels, addr);
	}
	return any ? 0 : -ENOENT;
}

int node_order_remote(struct node *node, const struct addr *addr, const struct endpoint *remote)
{
	struct peer_host *host = tunnels_find_host(&node->tunnels, addr);
	int err;

	if (!host || !host->primary)
		return -ENOENT;
	err = tunnels_set_remote(&node->tunnels, host->primary, remote);
	if (!err)
		relays_set_path(node, host->primary, NULL);
	return err;
}

const struct cert *node_own_cert(const struct node *node)
{
	return pki_own_cert(node->pki);
}
