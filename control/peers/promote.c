/* promote.c - see promote.h. */
#include "peers/promote.h"

/* Later copies of a stage 1 are not those that were on their way beside it. */
#define COPIES_NS 2000000000ull

static void try_at(struct node *node, const struct tunnel_record *record, const struct endpoint *at)
{
	node->outside->send_in_tunnel(node->outside->context, record->queue, record->tunnel->id,
				      WIRE_TEST_REQUEST, at, NULL, 0);
}

void promote_offered(struct node *node, const struct tunnel_record *record,
		     const struct endpoint *source)
{
	const struct remote *remote = record->tunnel->remote;
	const struct remotes_order *order = &node->lighthouse.order;

	if (remote && node_now_ns(node) < record->created_ns + COPIES_NS &&
	    remotes_order_prefers(order, &source->addr) &&
	    !remotes_order_prefers(order, &remote->to.addr) &&
	    lighthouse_permits_record(node, record, source))
		try_at(node, record, source);
}

/*
 * A test request to each preferred address: the answer comes from there, and the tunnel moves as it
 * does for any roaming peer. One without a direct path is relays_promote()'s.
 */
static void try_preferred(struct node *node, const struct tunnel_record *record)
{
	const struct remotes *remotes = record->links[0].host->remotes;
	const struct endpoint *at = &record->tunnel->remote->to;

	if (remotes_is_preferred(remotes, &at->addr))
		return;
	for (uint32_t i = 0; i < remotes->count; i++) {
		const struct remotes_entry *entry = &remotes->list[i];

		if (!entry->blocked && remotes_is_preferred(remotes, &entry->to.addr) &&
		    !endpoint_equal(&entry->to, at))
			try_at(node, record, &entry->to);
	}
}

static bool passed(uint64_t counter, uint64_t *last, uint32_t every)
{
	if (!every || counter - *last < every)
		return false;
	*last = counter;
	return true;
}

void promote_look(struct node *node, struct tunnel_record *record, uint64_t now)
{
	const struct node_options *options = &node->options;
	uint64_t counter = atomic_load(&record->tunnel->counter);

	if (node->lighthouse.options.am_lighthouse || record->link_count == 0)
		return;
	if (record->tunnel->remote && record->links[0].host->remotes &&
	    passed(counter, &record->promote_counter, options->try_promote))
		try_preferred(node, record);
	if (now >= record->requery_ns &&
	    passed(counter, &record->requery_counter, options->requery_every)) {
		record->requery_ns = now + options->requery_wait_ns;
		lighthouse_ask(node, record->links[0].host);
	}
}
