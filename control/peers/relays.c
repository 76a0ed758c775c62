/* relays.c - the table of relay entries and what workers see of it; see relays.h. */
#include "peers/relays.h"

#include <errno.h>
#include <stdlib.h>

#include "peers/node_state.h"
#include "siphash.h"

int relays_init(struct node *node)
{
	struct relays *relays = &node->relays;

	relays->options = node->options.relay;
	relays->requests = RATE(RELAY_REQUESTS_PER_SECOND, RELAY_REQUESTS_BURST);
	relays->retry.fire = relays_fire_retry;
	node->outside->random(node->outside->context, (uint8_t *)relays->index_key,
			      sizeof(relays->index_key));
	if (table_init(&relays->by_index) != 0)
		return -ENOMEM;
	if (table_init(&relays->by_peer) != 0)
		goto err_index;
	if (table_init(&relays->by_remote) != 0)
		goto err_peer;
	return 0;

err_peer:
	table_free(&relays->by_peer);
err_index:
	table_free(&relays->by_index);
	return -ENOMEM;
}

void relays_release(struct node *node)
{
	table_free(&node->relays.by_remote);
	table_free(&node->relays.by_peer);
	table_free(&node->relays.by_index);
}

bool relays_is_self(const struct node *node, const struct addr *addr)
{
	const struct cert *own = pki_own_cert(node->pki);

	for (size_t i = 0; i < own->network_count; i++)
		if (addr_equal(&own->networks[i].addr, addr))
			return true;
	return false;
}

bool relays_record_has(const struct tunnel_record *record, const struct addr *addr)
{
	for (uint32_t i = 0; i < record->tunnel->addr_count; i++)
		if (addr_equal(&record->tunnel->addrs[i], addr))
			return true;
	return false;
}

bool relays_may_take(const struct tunnel_record *record)
{
	return record && record->tunnel->remote && record->state == RECORD_LIVE;
}

/* --- look-ups ----------------------------------------------------------------------------------
 */

struct relay *relays_find(const struct tunnel_record *record, const struct addr *peer)
{
	struct relay *relay = record->relays;

	while (relay && !addr_equal(&relay->peer, peer))
		relay = relay->next;
	return relay;
}

struct relay *relays_by_index(const struct node *node, uint32_t index)
{
	struct table_node *at = table_first(&node->relays.by_index, index);

	return at ? table_entry(at, struct relay, by_index) : NULL;
}

struct relay *relays_by_remote(const struct node *node, uint32_t index, const struct endpoint *from)
{
	struct table_node *at = table_first(&node->relays.by_remote, index);

	for (; at; at = table_next(at)) {
		struct relay *relay = table_entry(at, struct relay, by_remote);
		const struct remote *remote = relay->record->tunnel->remote;

		if (remote && endpoint_equal(&remote->to, from))
			return relay;
	}
	return NULL;
}

void relays_each_of_peer(struct node *node, const struct addr *addr,
			 void (*visit)(struct node *node, struct relay *relay))
{
	struct table_node *at = table_first(&node->relays.by_peer, addr_hash(addr)), *next;

	for (; at; at = next) {
		struct relay *relay = table_entry(at, struct relay, by_peer);

		next = table_next(at);
		if (addr_equal(&relay->peer, addr))
			visit(node, relay);
	}
}

void relays_set_remote(struct node *node, struct relay *relay, uint32_t remote_index)
{
	if (relay->remote_index == remote_index)
		return;
	if (relay->remote_index)
		table_remove(&node->relays.by_remote, &relay->by_remote);
	relay->remote_index = remote_index;
	if (remote_index)
		table_add(&node->relays.by_remote, &relay->by_remote, remote_index);
}

void relays_touch(const struct node *node, struct relay *relay)
{
	relay->needed_ns = node_now_ns(node);
}

/* When the last frame has come, as workers say; 0: none has. */
static uint64_t used_ns(const struct node *node, const struct relay *relay)
{
	const struct index_entry *entry = hostmap_by_index(node->tunnels.map, relay->local_index);

	return entry ? atomic_load_explicit(&entry->relay_used_ns, memory_order_relaxed) : 0;
}

static void note_use(const struct node *node, struct relay *relay)
{
	uint64_t used = used_ns(node, relay);

	if (used > relay->needed_ns)
		relay->needed_ns = used;
}

bool relays_was_used(const struct node *node, struct relay *relay)
{
	uint64_t used = used_ns(node, relay);
	bool is_new = used != relay->seen_ns;

	relay->seen_ns = used;
	return is_new;
}

/* --- what workers see --------------------------------------------------------------------------
 */

static bool is_mate(const struct relay *relay, const struct relay *other)
{
	return relay->type == RELAY_FORWARDING && other->type == RELAY_FORWARDING &&
	       relays_record_has(relay->record, &other->peer);
}

static struct relay *mate_on(const struct tunnel_record *record, const struct relay *relay)
{
	struct relay *other = record->relays;

	while (other && !(is_mate(relay, other) && other->state == RELAY_ESTABLISHED))
		other = other->next;
	return other;
}

/* The entry on which leaves what comes on relay: the newest tunnel of the far end first, but one
 * that is in doubt last, since the far end may have no such entry any more. */
static struct relay *mate_of(struct node *node, const struct relay *relay)
{
	const struct peer_host *host;
	struct relay *doubtful = NULL;

	if (relay->type != RELAY_FORWARDING)
		return NULL;
	host = tunnels_find_host(&node->tunnels, &relay->peer);
	for (struct host_link *link = host ? host->links : NULL; link; link = link->next) {
		const struct tunnel_record *record = link->record;
		struct relay *other = record->tunnel->remote ? mate_on(record, relay) : NULL;

		if (other && record->state != RECORD_SUSPECT)
			return other;
		if (!doubtful)
			doubtful = other;
	}
	return doubtful;
}

static bool same_entry(const struct relay_entry *a, const struct relay_entry *b)
{
	return a->in == b->in && a->forwarding == b->forwarding && a->out == b->out &&
	       a->out_index == b->out_index;
}

/* An index that went for want of memory; false: there is none now either, or another has it. */
static bool regain_index(struct node *node, struct relay *relay)
{
	if (hostmap_index_reserve(node->tunnels.map, relay->local_index) != 0)
		return false;
	relay->lost = false;
	relay->entry = (struct relay_entry){0};
	return true;
}

/* Without memory the index goes: what workers would see of the entry is not true any more. Whoever
 * needs the entry asks for it again, and so it is tried again. */
static void publish(struct node *node, struct relay *relay)
{
	const struct relay *mate = mate_of(node, relay);
	struct relay_entry entry = {
		.in = relay->record->tunnel,
		.forwarding = relay->type == RELAY_FORWARDING,
		.out = mate ? mate->record->tunnel : NULL,
		.out_index = mate ? mate->remote_index : 0,
	};

	if (relay->lost && !regain_index(node, relay))
		return;
	if (relay->entry.in && same_entry(&entry, &relay->entry))
		return;
	relay->entry = entry;
	if (hostmap_relay_publish(node->tunnels.map, relay->local_index, &entry) == 0)
		return;
	hostmap_index_remove(node->tunnels.map, relay->local_index);
	relay->lost = true;
}

/* Publishes those that may have an entry of record for peer as their mate, or had it. */
static void publish_mates(struct node *node, const struct tunnel_record *record,
			  const struct addr *peer)
{
	const struct peer_host *host = tunnels_find_host(&node->tunnels, peer);

	for (struct host_link *link = host ? host->links : NULL; link; link = link->next)
		for (struct relay *other = link->record->relays; other; other = other->next)
			if (other->type == RELAY_FORWARDING &&
			    relays_record_has(record, &other->peer))
				publish(node, other);
}

static bool came_lately(const struct node *node, const struct relay *relay)
{
	uint64_t used = used_ns(node, relay);

	return used && node_now_ns(node) < used + RELAY_IDLE_NS;
}

/* What has left by it came on its mate. */
bool relays_carries(struct node *node, const struct relay *relay)
{
	const struct relay *mate = mate_of(node, relay);

	return came_lately(node, relay) || (mate && came_lately(node, mate));
}

bool relays_far_is_gone(const struct relay *relay)
{
	return relay->type == RELAY_FORWARDING && relay->state == RELAY_DISESTABLISHED;
}

void relays_publish_pair(struct node *node, struct relay *relay)
{
	if (relay->type == RELAY_FORWARDING)
		publish_mates(node, relay->record, &relay->peer);
	publish(node, relay);
}

/* --- adding and removing -----------------------------------------------------------------------
 */

static bool is_idle(const struct node *node, const struct relay *relay)
{
	return !relay->users && !relay->asks &&
	       node_now_ns(node) >= relay->needed_ns + RELAY_IDLE_NS;
}

/* The entry of the tunnel that has been idle for longest, or NULL. */
static struct relay *most_idle(const struct node *node, const struct tunnel_record *record)
{
	struct relay *found = NULL;

	for (struct relay *relay = record->relays; relay; relay = relay->next) {
		note_use(node, relay);
		if (is_idle(node, relay) && (!found || relay->needed_ns <= found->needed_ns))
			found = relay;
	}
	return found;
}

static bool is_full(const struct node *node, const struct tunnel_record *record)
{
	return record->relay_count >= RELAYS_PER_TUNNEL_MAX || node->relays.count >= RELAYS_MAX;
}

/* So many may turn out to be needed, in one search for room. */
#define ROOM_TRIES 4

/*
 * At a bound an idle entry of the same tunnel makes room: entries are made for every host that
 * could be reached through the neighbour, and most are never needed. Whoever still wants one that
 * went asks again, and gets the index that it had. Entries of other tunnels are left alone, so
 * nobody pushes out what is not his, and callers may hold on to those.
 */
static void make_room(struct node *node, struct tunnel_record *record)
{
	struct relay *idle = most_idle(node, record);

	for (int i = 0; i < ROOM_TRIES && idle && is_full(node, record); i++) {
		struct relay *mate = mate_of(node, idle);

		/* What goes one way only is seen at the one end, and needs both. */
		if (mate)
			note_use(node, mate);
		if (mate && !is_idle(node, mate))
			relays_touch(node, idle);
		else
			relays_remove(node, idle, "idle");
		idle = most_idle(node, record);
	}
}

/*
 * The index of an entry depends on its tunnel and its far end alone, and so is the same when it is
 * made again: nebula takes an index that has changed within the life of a tunnel for an error, or
 * goes on using the old one (PROTOCOL.md 7.2).
 */
static int take_index(struct node *node, const struct tunnel_record *record,
		      const struct addr *peer, uint32_t *index)
{
	uint64_t words[3] = {record->tunnel->local_index};
	uint32_t near;

	memcpy(&words[1], peer->bytes, sizeof(peer->bytes));
	near = (uint32_t)siphash(node->relays.index_key, words, 3);
	if (node_index_take(node, record->queue, near, index) == 0)
		return 0;
	return node_index_allocate(node, record->queue, index);
}

struct relay *relays_add(struct node *node, struct tunnel_record *record, const struct addr *peer,
			 enum relay_type type, enum relay_state state)
{
	struct relays *relays = &node->relays;
	struct relay *relay;
	uint32_t index;

	if (node->shut_down)
		return NULL;
	make_room(node, record);
	if (is_full(node, record) || take_index(node, record, peer, &index) != 0)
		return NULL;
	relay = calloc(1, sizeof(*relay));
	if (!relay)
		goto err_index;
	relay->record = record;
	relay->peer = *peer;
	relay->type = type;
	relay->state = state;
	relay->local_index = index;
	relays_touch(node, relay);
	publish(node, relay);
	if (relay->lost) {
		free(relay);
		return NULL;
	}
	relay->next = record->relays;
	record->relays = relay;
	record->relay_count++;
	relays->count++;
	table_add(&relays->by_index, &relay->by_index, index);
	table_add(&relays->by_peer, &relay->by_peer, addr_hash(peer));
	return relay;

err_index:
	hostmap_index_remove(node->tunnels.map, index);
	return NULL;
}

static void unlink_asking(struct relays *relays, struct relay *relay)
{
	struct relay **at = &relays->asking;

	if (!relay->asks)
		return;
	while (*at != relay)
		at = &(*at)->next_asking;
	*at = relay->next_asking;
	relay->asks = 0;
}

void relays_remove(struct node *node, struct relay *relay, const char *reason)
{
	struct relays *relays = &node->relays;
	struct tunnel_record *record = relay->record;
	struct relay **at = &record->relays;

	relays_end(node, relay, reason);
	while (*at != relay)
		at = &(*at)->next;
	*at = relay->next;
	record->relay_count--;
	relays->count--;
	relays_set_remote(node, relay, 0);
	table_remove(&relays->by_index, &relay->by_index);
	table_remove(&relays->by_peer, &relay->by_peer);
	unlink_asking(relays, relay);
	if (!relay->lost)
		hostmap_index_remove(node->tunnels.map, relay->local_index);
	if (relay->type == RELAY_FORWARDING)
		publish_mates(node, record, &relay->peer);
	else
		relays_path_lost(node, relay);
	free(relay);
}
