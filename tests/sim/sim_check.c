/* sim_check.c - what must always hold in a simulated node, and in the network as a whole. */
#include <stdarg.h>
#include <stdlib.h>

#include "peers/node_state.h"
#include "sim.h"

void sim_fail(const struct sim *sim, const char *file, int line, const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	cr_assert_fail("%s:%d: seed %llu, %.3f s after the start: %s; again: "
		       "SEED=%llu M57_VERBOSE=1 tests/run %s/%s",
		       file, line, (unsigned long long)sim->seed,
		       (double)(sim->now_ns - 1000 * SIM_S) / 1e9, text,
		       (unsigned long long)sim->seed, criterion_current_test->category,
		       criterion_current_test->name);
}

bool sim_set_add(struct sim_set *set, uint64_t value)
{
	value = value ? value : 1;
	if (set->count * 2 >= set->mask) {
		struct sim_set grown = {.mask = set->mask ? set->mask * 2 + 1 : 4095};

		grown.slots = calloc(grown.mask + 1, sizeof(*grown.slots));
		cr_assert(grown.slots);
		for (size_t i = 0; set->slots && i <= set->mask; i++)
			if (set->slots[i])
				sim_set_add(&grown, set->slots[i]);
		free(set->slots);
		*set = grown;
	}
	for (size_t at = value & set->mask;; at = (at + 1) & set->mask) {
		if (set->slots[at] == value)
			return false;
		if (set->slots[at])
			continue;
		set->slots[at] = value;
		set->count++;
		return true;
	}
}

/* --- one node ----------------------------------------------------------------------------------
 */

#define CHECK(holds, ...) SIM_ASSERT(node->sim, holds, "node %u: " __VA_ARGS__)

static void check_record(struct sim_node *node, const struct tunnel_record *record)
{
	const struct tunnels *tunnels = &node->node->tunnels;
	const struct tunnel *tunnel = record->tunnel;
	struct index_entry *entry = hostmap_by_index(node->map, tunnel->local_index);

	CHECK(tunnels->by_slot[tunnel->id.slot] == record, "a record's slot is another's",
	      node->id);
	CHECK(entry && entry->tunnel == tunnel, "index %u does not lead to its tunnel", node->id,
	      tunnel->local_index);
	CHECK(hostmap_by_id(node->map, tunnel->id) == tunnel, "an id does not lead to its tunnel",
	      node->id);
	CHECK(record->state == RECORD_CLOSING || record->link_count > 0,
	      "a tunnel belongs to no host", node->id);
	CHECK(record->state == RECORD_LIVE || record->timer.position > 0,
	      "a tunnel in state %d will never end", node->id, record->state);
}

static void check_host(struct sim_node *node, const struct peer_host *host)
{
	struct host_entry *entry = hostmap_by_addr(node->map, &host->addr);
	uint32_t live = 0, unconfirmed = 0;
	bool found = false;

	for (const struct host_link *link = host->links; link; link = link->next) {
		CHECK(link->host == host, "a link is in the wrong host", node->id);
		found |= link->record == host->primary;
		unconfirmed += link->record->state == RECORD_UNCONFIRMED;
		live += link->record->state != RECORD_UNCONFIRMED;
	}
	CHECK(live <= TUNNELS_PER_HOST_MAX && unconfirmed <= UNCONFIRMED_PER_HOST_MAX,
	      "%u live and %u unconfirmed tunnels of one host", node->id, live, unconfirmed);
	CHECK(!host->primary || found, "the primary is none of the host's tunnels", node->id);
	CHECK(!host->primary == !entry && (!entry || entry->tunnel == host->primary->tunnel),
	      "workers see another primary", node->id);
	CHECK(!host->primary || !host->pending || !host->pending->pending.first,
	      "runs wait though there is a tunnel", node->id);
	CHECK(host->is_static || host->links || host->pending, "a host that nothing needs",
	      node->id);
}

/* What workers are led to must be there as long as they can be led to it. */
static size_t check_relays(struct sim_node *node)
{
	const struct tunnel_record *record = node->node->tunnels.all;
	size_t published = 0, count = 0;

	for (; record; record = record->next) {
		const struct tunnel *tunnel = record->tunnel;

		CHECK(tunnel->remote || !tunnel->path ||
			      hostmap_by_id(node->map, tunnel->path->via->id) == tunnel->path->via,
		      "a path goes through a tunnel that has gone", node->id);
		for (const struct relay *relay = record->relays; relay; relay = relay->next) {
			struct index_entry *entry = hostmap_by_index(node->map, relay->local_index);
			const struct relay_entry *seen = entry ? entry->relay : NULL;

			count++;
			published += !relay->lost;
			CHECK(relay->record == record, "a relay entry is another tunnel's",
			      node->id);
			CHECK(relay->lost || (seen && seen->in == tunnel),
			      "relay index %u does not lead to its tunnel", node->id,
			      relay->local_index);
			CHECK(!seen || !seen->out ||
				      hostmap_by_id(node->map, seen->out->id) == seen->out,
			      "frames leave on a tunnel that has gone", node->id);
		}
	}
	CHECK(count == node->node->relays.count, "%zu relay entries counted wrong", node->id,
	      count);
	return published;
}

void sim_check(struct sim_node *node)
{
	const struct tunnels *tunnels = &node->node->tunnels;
	size_t records = 0, unconfirmed = 0, pending = 0, reserved = 0, indexes, hosts,
	       primaries = 0;
	size_t relays;
	uint64_t held = 0;

	for (const struct tunnel_record *record = tunnels->all; record; record = record->next) {
		check_record(node, record);
		records++;
		unconfirmed += record->state == RECORD_UNCONFIRMED;
	}
	for (size_t i = 0; i <= tunnels->by_addr.mask; i++) {
		for (struct table_node *at = tunnels->by_addr.buckets[i]; at; at = at->next) {
			const struct peer_host *host = table_entry(at, struct peer_host, node);

			check_host(node, host);
			primaries += host->primary != NULL;
			pending += host->pending != NULL;
			reserved += host->pending && host->pending->pending.stage1;
			held += host->pending ? host->pending->pending.bytes : 0;
			CHECK(!host->pending || host->pending->timer.position > 0,
			      "a handshake will never end", node->id);
		}
	}
	hostmap_counts(node->map, &indexes, &hosts);
	CHECK(records == tunnels->count && unconfirmed == tunnels->unconfirmed &&
		      unconfirmed <= UNCONFIRMED_MAX,
	      "%zu tunnels, %zu unconfirmed, counted wrong", node->id, records, unconfirmed);
	CHECK(pending == node->node->pending_count && held == tunnels->held_bytes,
	      "%zu handshakes hold %llu bytes, counted wrong", node->id, pending,
	      (unsigned long long)held);
	CHECK(reserved == node->node->pending_by_index.count, "%zu handshakes have an index",
	      node->id, reserved);
	relays = check_relays(node);
	CHECK(indexes == records + reserved + relays,
	      "%zu indexes for %zu tunnels, %zu handshakes, %zu relays", node->id, indexes, records,
	      reserved, relays);
	CHECK(hosts == primaries, "workers see %zu hosts, not %zu", node->id, hosts, primaries);
	CHECK(tunnels->timers.count <= records + pending + 8, "%zu timers", node->id,
	      tunnels->timers.count);
}

bool sim_node_rests(const struct sim_node *node)
{
	return node->node->pending_count == 0 && node->node->tunnels.unconfirmed == 0;
}

void sim_check_rest(struct sim_node *node)
{
	const struct node *state = node->node;
	size_t indexes, hosts;

	sim_check(node);
	hostmap_counts(node->map, &indexes, &hosts);
	CHECK(state->pending_count == 0, "%zu handshakes at rest", node->id, state->pending_count);
	CHECK(state->tunnels.held_bytes == 0, "%llu bytes held at rest", node->id,
	      (unsigned long long)state->tunnels.held_bytes);
	CHECK(indexes == state->tunnels.count + state->relays.count,
	      "%zu indexes of %zu tunnels and %zu relays at rest", node->id, indexes,
	      state->tunnels.count, state->relays.count);
	CHECK(state->tunnels.unconfirmed == 0, "%zu unconfirmed tunnels at rest", node->id,
	      state->tunnels.unconfirmed);
}
