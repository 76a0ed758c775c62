/*
 * tunnel_hosts.c - the hosts of tunnels.h: which tunnel of an overlay address workers send on.
 *
 * Order of runs that waited. A host without a published tunnel has its runs punted, and the node
 * holds them. When a tunnel is published for such a host, three kinds of runs exist: those held
 * here, those that are punted but have not come yet, and those that a worker will read from now on.
 * They must leave in that order. So, for a host that goes from no tunnel to one:
 *
 *   1. the bits of ALL queues in host_entry.held_queues are set, then the tunnel is published: a
 *      worker that sees the tunnel sees its bit too and leaves its tun queue standing, since runs
 *      of its own may be on their way to us of which we know nothing yet;
 *   2. the held runs are posted to the workers they came from (ORDER_RESUME), and what comes in
 *      later goes the same way at once, behind them;
 *   3. ORDER_RESUME_END is posted to every queue, with the number of runs taken from it so far. The
 *      worker clears its bit if it has punted no more than that. Orders of one queue are carried
 *      out in order, so all its older runs have left by then. If it has punted more, it answers
 *      PUNT_RESUME_AGAIN, which comes behind those runs, and we post another. It punts none while
 *      it stands, so the second one finds the numbers equal.
 *
 * An order that outlives the publication it was made for (the tunnel went and another came) is
 * harmless: a run punted in between is one that the order's number does not count.
 *
 * Hence the rule: while runs are held for a host, no tunnel is published for it, and publishing
 * lets them go. From one tunnel to the next nothing waits.
 */
#include "peers/tunnels.h"

#include <errno.h>
#include <stdlib.h>

struct peer_host *tunnels_find_host(struct tunnels *tunnels, const struct addr *addr)
{
	struct table_node *node = table_first(&tunnels->by_addr, addr_hash(addr));

	for (; node; node = table_next(node)) {
		struct peer_host *host = table_entry(node, struct peer_host, node);
		if (addr_equal(&host->addr, addr))
			return host;
	}
	return NULL;
}

struct peer_host *tunnels_obtain_host(struct tunnels *tunnels, const struct addr *addr)
{
	struct peer_host *host = tunnels_find_host(tunnels, addr);

	if (host)
		return host;
	host = calloc(1, sizeof(*host));
	if (!host)
		return NULL;
	host->addr = *addr;
	table_add(&tunnels->by_addr, &host->node, addr_hash(addr));
	return host;
}

void tunnels_put_host(struct tunnels *tunnels, struct peer_host *host)
{
	if (host->is_static || host->links || host->pending)
		return;
	table_remove(&tunnels->by_addr, &host->node);
	remotes_free(host->remotes);
	free(host);
}

bool tunnels_host_live(const struct peer_host *host)
{
	for (const struct host_link *link = host->links; link; link = link->next)
		if (link->record->state == RECORD_LIVE || link->record->state == RECORD_SUSPECT)
			return true;
	return false;
}

/* A live tunnel before any unconfirmed one; unconfirmed ones never while runs wait, or while a
 * suspect one may come back: else a recv_error and a recorded stage 1 would turn the traffic. */
static struct tunnel_record *choose_primary(const struct peer_host *host)
{
	for (const struct host_link *link = host->links; link; link = link->next)
		if (link->record->state == RECORD_LIVE)
			return link->record;
	if (tunnels_host_live(host) || (host->pending && host->pending->pending.first))
		return NULL;
	for (const struct host_link *link = host->links; link; link = link->next)
		if (link->record->state == RECORD_UNCONFIRMED)
			return link->record;
	return NULL;
}

/* Asks every queue to go on with host; a queue that stands still wakes and looks again. */
static void end_hold(struct tunnels *tunnels, struct peer_host *host)
{
	const struct outside *outside = tunnels->outside;

	for (uint32_t queue = 0; queue < tunnels->queues; queue++)
		outside->resume_end(outside->context, queue, &host->addr);
}

static void resume_run(struct tunnels *tunnels, struct peer_host *host, struct held_run *run)
{
	struct waiting_run waiting = {
		.vnet = run->vnet, .bytes = run->bytes, .length = run->length};

	tunnels->outside->resume(tunnels->outside->context, run->queue, host->primary->tunnel->id,
				 &waiting);
	free(run);
}

/*
 * From no tunnel to one: see the head of this file. Runs that wait for another gateway of their
 * route go too: newer ones of their flows take this tunnel from now on.
 */
static void resume_runs(struct tunnels *tunnels, struct peer_host *host)
{
	struct held_run *run;

	while (host->pending && (run = pending_take(&host->pending->pending, &tunnels->held_bytes)))
		resume_run(tunnels, host, run);
	for (struct host_pending *other = tunnels->sharing; other; other = other->next_sharing)
		while ((run = pending_take_for(&other->pending, &tunnels->held_bytes, &host->addr)))
			resume_run(tunnels, host, run);
	end_hold(tunnels, host);
}

/* The newest unconfirmed tunnel stands by: see host_tunnel(). */
static void publish_next(struct tunnels *tunnels, struct peer_host *host)
{
	struct host_entry *entry = hostmap_by_addr(tunnels->map, &host->addr);
	struct tunnel *next = NULL;

	for (const struct host_link *link = host->links; link && !next; link = link->next)
		if (link->record->state == RECORD_UNCONFIRMED && link->record != host->primary)
			next = link->record->tunnel;
	if (entry->next != next)
		RCU_PUBLISH(entry->next, next);
}

static void publish_primary(struct tunnels *tunnels, struct peer_host *host)
{
	struct tunnel_record *before = host->primary, *primary = choose_primary(host);
	struct host_entry *entry;

	if (primary == before)
		return;
	if (!primary) {
		entry = hostmap_by_addr(tunnels->map, &host->addr);
		RCU_PUBLISH(entry->tunnel, NULL);
		hostmap_host_remove(tunnels->map, &host->addr);
		host->primary = NULL;
		end_hold(tunnels, host);
		tunnels->attend(tunnels, host);
		return;
	}
	entry = hostmap_host_obtain(tunnels->map, &host->addr);
	if (!entry)
		return; /* no memory: runs go on being punted and held */
	host->primary = primary;
	if (!before)
		atomic_fetch_or(&entry->held_queues, ~0ull >> (64 - tunnels->queues));
	RCU_PUBLISH(entry->tunnel, primary->tunnel);
	tunnels->attend(tunnels, host);
	if (!before)
		resume_runs(tunnels, host);
}

void tunnels_publish_host(struct tunnels *tunnels, struct peer_host *host)
{
	publish_primary(tunnels, host);
	if (host->primary)
		publish_next(tunnels, host);
}

static void unlink_from_host(struct host_link *link)
{
	struct host_link **at = &link->host->links;

	while (*at != link)
		at = &(*at)->next;
	*at = link->next;
	link->next = NULL;
}

static void link_to_host(struct host_link *link)
{
	link->next = link->host->links;
	link->host->links = link;
}

void tunnels_leave_hosts(struct tunnels *tunnels, struct tunnel_record *record)
{
	for (uint32_t i = 0; i < record->link_count; i++) {
		struct host_link *link = &record->links[i];
		unlink_from_host(link);
		tunnels_publish_host(tunnels, link->host);
		tunnels_put_host(tunnels, link->host);
	}
	record->link_count = 0;
}

/* The oldest live tunnels above the bound go. */
static void trim_host(struct tunnels *tunnels, struct peer_host *host)
{
	for (;;) {
		struct tunnel_record *oldest = NULL;
		uint32_t live = 0;

		for (struct host_link *link = host->links; link; link = link->next) {
			if (link->record->state == RECORD_UNCONFIRMED)
				continue;
			live++;
			oldest = link->record;
		}
		if (live <= TUNNELS_PER_HOST_MAX)
			return;
		tunnels_remove(tunnels, oldest);
	}
}

/* First in each host's list, so primary if it is live; then the bound. */
void tunnels_lead(struct tunnels *tunnels, struct tunnel_record *record)
{
	for (uint32_t i = 0; i < record->link_count; i++) {
		unlink_from_host(&record->links[i]);
		link_to_host(&record->links[i]);
	}
	for (uint32_t i = 0; i < record->link_count; i++) {
		tunnels_publish_host(tunnels, record->links[i].host);
		trim_host(tunnels, record->links[i].host);
	}
}

int tunnels_enter_hosts(struct tunnels *tunnels, struct tunnel_record *record)
{
	const struct tunnel *tunnel = record->tunnel;
	struct peer_host *hosts[PEER_ADDRS_MAX];

	for (uint32_t i = 0; i < tunnel->addr_count; i++) {
		hosts[i] = tunnels_obtain_host(tunnels, &tunnel->addrs[i]);
		if (hosts[i])
			continue;
		while (i-- > 0)
			tunnels_put_host(tunnels, hosts[i]);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < tunnel->addr_count; i++) {
		record->links[i].host = hosts[i];
		record->links[i].record = record;
		link_to_host(&record->links[i]);
	}
	record->link_count = tunnel->addr_count;
	tunnels_lead(tunnels, record);
	return 0;
}
