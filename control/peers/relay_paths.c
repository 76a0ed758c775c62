/*
 * relay_paths.c - tunnels that go through a relay: which one, what happens when it goes, and the
 * way back to a direct path (PROTOCOL.md 7.4, 7.6); see relays.h.
 */
#include "peers/relays.h"

#include <stdlib.h>

#include "peers/lighthouse.h"
#include "peers/manager.h"
#include "peers/node_state.h"

/* Between searches for a direct path, while a relayed tunnel carries traffic. */
#define PROMOTE_NS     2000000000ull
#define PROMOTE_MAX_NS (64 * PROMOTE_NS)
/* A tunnel that falls silent so soon after a search has been turned by it. */
#define PROMOTE_BLAME_NS (2 * PROMOTE_NS)

static void release_path(struct hostmap *map, void *object)
{
	free(object);
}

static void unlink_user(struct tunnel_record *record)
{
	struct tunnel_record **at = &record->path->users;

	while (*at != record)
		at = &(*at)->next_user;
	*at = record->next_user;
	record->path = NULL;
}

void relays_set_path(struct node *node, struct tunnel_record *record, struct relay *relay)
{
	struct relay_path *before = record->tunnel->path, *path = NULL;

	if (relay && record->path == relay && before->index == relay->remote_index)
		return;
	if (relay)
		path = malloc(sizeof(*path));
	if (path)
		*path = (struct relay_path){relay->record->tunnel, relay->remote_index};
	RCU_PUBLISH(record->tunnel->path, path);
	if (before)
		hostmap_defer(node->tunnels.map, release_path, before);
	if (record->path)
		unlink_user(record);
	if (!relay || !path)
		return;
	record->path = relay;
	record->next_user = relay->users;
	relay->users = record;
	record->queue = relay->record->queue; /* so that messages of both leave in order */
}

static bool is_usable(const struct relay *relay)
{
	return relay->type == RELAY_TERMINAL && relay->state == RELAY_ESTABLISHED &&
	       relay->remote_index && !relay->wrong && relay->record->tunnel->remote &&
	       relay->record->state != RECORD_CLOSING;
}

static bool is_primary(const struct tunnel_record *record)
{
	return record->link_count > 0 && record->links[0].host->primary == record;
}

/* The best entry that leads to record's peer: on a primary tunnel before others. */
static struct relay *choose(struct node *node, const struct tunnel_record *record)
{
	struct relay *best = NULL;

	for (uint32_t i = 0; i < record->link_count; i++) {
		const struct addr *addr = &record->links[i].host->addr;
		struct table_node *at = table_first(&node->relays.by_peer, addr_hash(addr));

		for (; at; at = table_next(at)) {
			struct relay *relay = table_entry(at, struct relay, by_peer);

			if (addr_equal(&relay->peer, addr) && is_usable(relay) &&
			    (!best || (is_primary(relay->record) && !is_primary(best->record))))
				best = relay;
		}
	}
	return best;
}

/* The tunnel has no way any more: another relay, or a new handshake while its runs wait. */
static void repair(struct node *node, struct tunnel_record *record)
{
	struct relay *relay = choose(node, record);

	relays_set_path(node, record, relay);
	if (record->tunnel->remote || node->shut_down || record->state == RECORD_CLOSING)
		return;
	if (record->path) {
		if (record->state == RECORD_LIVE)
			manager_doubt(node, record);
		return;
	}
	if (record->state != RECORD_LIVE)
		return;
	tunnels_suspect(&node->tunnels, record);
	if (record->link_count > 0 && !record->links[0].host->primary)
		node_rehandshake(node, record, "relay lost");
}

void relays_path_lost(struct node *node, struct relay *relay)
{
	while (relay->users)
		repair(node, relay->users); /* which takes it out of the list */
}

void relays_established(struct node *node, struct relay *relay)
{
	struct peer_host *host = tunnels_find_host(&node->tunnels, &relay->peer);
	struct host_link *link = host ? host->links : NULL;

	relay->wrong = false;
	for (; link; link = link->next) {
		struct tunnel_record *record = link->record;
		const struct relay *path = record->path;

		if (record->tunnel->remote || record->state == RECORD_CLOSING)
			continue;
		if (path && path != relay && is_primary(path->record))
			continue;
		relays_set_path(node, record, relay);
		if (!path && record->path) /* is it still there, at the other end? */
			tunnels_test(&node->tunnels, record);
	}
	if (host && host->pending)
		initiator_send_through(node, host->pending, relay);
}

/*
 * The path on which stage 1 came first may be open in that direction only. Where both are open, and
 * what was lost is one datagram, the peer's answer to a test brings the tunnel back to it at once.
 */
void relays_follow(struct node *node, struct tunnel_record *record, uint32_t via)
{
	struct relay *relay = relays_by_index(node, via);
	const struct remote *remote = record->tunnel->remote;
	struct endpoint at;

	if (!relay || !is_usable(relay) || !relays_record_has(record, &relay->peer))
		return;
	relays_set_path(node, record, relay);
	if (!remote || !record->path)
		return;
	at = remote->to;
	tunnels_set_remote(&node->tunnels, record, NULL);
	node->outside->send_in_tunnel(node->outside->context, record->queue, record->tunnel->id,
				      WIRE_TEST_REQUEST, &at, NULL, 0);
}

static void disestablish(struct node *node, struct relay *relay)
{
	relays_end(node, relay, "far end gone");
	relay->state = RELAY_DISESTABLISHED;
	relays_publish_pair(node, relay);
}

void relays_tunnel_gone(struct node *node, struct tunnel_record *record, bool for_good)
{
	while (record->relays)
		relays_remove(node, record->relays, "tunnel gone");
	if (for_good) /* else its CloseTunnel needs the path */
		relays_set_path(node, record, NULL);
	for (uint32_t i = 0; i < record->link_count; i++) {
		const struct peer_host *host = record->links[i].host;

		if (host->links->record == record && !host->links->next)
			relays_each_of_peer(node, &host->addr, disestablish);
	}
}

/* --- a neighbour's new tunnel (7.6) ------------------------------------------------------------
 */

static bool is_needed(const struct node *node, struct relay *relay)
{
	return relays_was_used(node, relay) || relay->users;
}

/* On another tunnel of the neighbour there is one already, or it is on its way. */
static bool is_there(const struct relay *relay)
{
	return relay && (relay->state == RELAY_ESTABLISHED || relay->state == RELAY_PEER_REQUESTED);
}

void relays_move(struct node *node, const struct relay *relay, struct tunnel_record *to)
{
	struct relay *there = relays_find(to, &relay->peer);

	if (is_there(there) || relays_far_is_gone(relay))
		return;
	if (!there)
		there = relays_add(node, to, &relay->peer, relay->type, RELAY_REQUESTED);
	if (!there || there->type != relay->type)
		return;
	there->state = RELAY_REQUESTED;
	there->form = relay->form;
	relays_ask(node, there);
}

static void move_needed(struct node *node, const struct tunnel_record *from,
			struct tunnel_record *to)
{
	for (struct relay *relay = from->relays; relay; relay = relay->next) {
		const struct relay *there = relays_find(to, &relay->peer);

		if (is_there(there))
			continue;
		if ((there && there->state == RELAY_REQUESTED) || is_needed(node, relay))
			relays_move(node, relay, to);
	}
}

/* The searches of an earlier tunnel have done harm: those of this one begin as late as they would
 * have gone on. */
static void hold_back(const struct peer_host *host, struct tunnel_record *record, uint64_t now)
{
	uint64_t first = record->created_ns + host->promote_wait_ns;

	if (host->promote_wait_ns > PROMOTE_NS && record->promote_ns == 0 && now < first)
		record->promote_ns = first;
}

void relays_attend(struct node *node, struct peer_host *host)
{
	struct tunnel_record *primary = host->primary;

	if (node->shut_down)
		return;
	/* Which tunnel of the host is first decides where frames leave. */
	relays_each_of_peer(node, &host->addr, relays_publish_pair);
	if (primary)
		hold_back(host, primary, node_now_ns(node));
	if (!relays_may_take(primary))
		return;
	for (struct host_link *link = host->links; link; link = link->next)
		if (link->record != primary)
			move_needed(node, link->record, primary);
}

/* --- to a direct path --------------------------------------------------------------------------
 *
 * Beside a relayed tunnel that carries traffic, each known address of its peer gets a test request,
 * and lighthouses are asked, so that they make the peer punch holes. An answer that comes directly
 * shows that both directions are open; only then do we send there (node_events.c). The peer follows
 * when something of ours comes directly that is no test request.
 */

/* The last search did no harm: what looked like it may have been an outage of the relay. */
static void forget_harm(struct peer_host *host, const struct tunnel_record *record, uint64_t now)
{
	if (record->promoted_ns && now >= record->promoted_ns + PROMOTE_BLAME_NS &&
	    host->promote_wait_ns > PROMOTE_NS)
		host->promote_wait_ns /= 2;
}

void relays_promote(struct node *node, struct tunnel_record *record, uint64_t now)
{
	struct peer_host *host = record->link_count > 0 ? record->links[0].host : NULL;
	const struct remotes *remotes = host ? host->remotes : NULL;

	if (record->tunnel->remote || !host || now < record->promote_ns)
		return;
	if (!host->promote_wait_ns)
		host->promote_wait_ns = PROMOTE_NS;
	forget_harm(host, record, now);
	record->promote_ns = now + host->promote_wait_ns;
	record->promoted_ns = now;
	for (uint32_t i = 0; remotes && i < remotes->count; i++)
		if (!remotes->list[i].blocked)
			node->outside->send_in_tunnel(node->outside->context, record->queue,
						      record->tunnel->id, WIRE_TEST_REQUEST,
						      &remotes->list[i].to, NULL, 0);
	lighthouse_ask(node, host);
	relays_keep_spares(node, host);
}

bool relays_promote_failed(struct node *node, struct tunnel_record *record, uint64_t now)
{
	struct peer_host *host = record->link_count > 0 ? record->links[0].host : NULL;
	bool blamed = record->promoted_ns && host && now < record->promoted_ns + PROMOTE_BLAME_NS;

	if (blamed && host->promote_wait_ns < PROMOTE_MAX_NS)
		host->promote_wait_ns *= 2;
	record->promoted_ns = 0;
	return blamed;
}

/* --- options -----------------------------------------------------------------------------------
 */

static void forward_no_more(struct node *node)
{
	for (struct tunnel_record *record = node->tunnels.all; record; record = record->next) {
		struct relay *relay = record->relays, *next;

		for (; relay; relay = next) {
			next = relay->next;
			if (relay->type == RELAY_FORWARDING)
				relays_remove(node, relay, "no relay any more");
		}
	}
}

static bool same_relays(const struct relay_options *a, const struct relay_options *b)
{
	return a->relay_count == b->relay_count &&
	       (a->relay_count == 0 ||
		memcmp(a->relays, b->relays, a->relay_count * sizeof(*a->relays)) == 0);
}

void relays_reconfigure(struct node *node, const struct relay_options *options)
{
	struct relay_options *mine = &node->relays.options;
	bool told = same_relays(mine, options);

	if (mine->am_relay && !options->am_relay)
		forward_no_more(node);
	*mine = *options;
	if (!told)
		lighthouse_report(node);
}
