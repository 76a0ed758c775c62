/*
 * snapshot_build.c - the workers' view of a configuration; see snapshot_build.h.
 */
#include "config/snapshot_build.h"

#include <stdlib.h>

/* Longest prefixes first, then by address; equal ones in the order of the file. */
struct sortable {
	struct route route;
	uint32_t position;
};

static int compare(const void *a, const void *b)
{
	const struct sortable *x = a, *y = b;
	int order;

	if (x->route.to.bits != y->route.to.bits)
		return x->route.to.bits > y->route.to.bits ? -1 : 1;
	order = addr_compare(&x->route.to.addr, &y->route.to.addr);
	if (order != 0)
		return order;
	return x->position < y->position ? -1 : x->position > y->position;
}

static bool same_route(const struct route *a, const struct route *b)
{
	return a->to.bits == b->to.bits && addr_equal(&a->to.addr, &b->to.addr);
}

/* Cuts the sorted routes into one table per length. Of equal routes the last one counts. */
static int fill_table(struct route_table *table, const struct sortable *sorted, uint32_t count)
{
	table->by_length = calloc(129, sizeof(*table->by_length));
	if (table->by_length == NULL)
		return -1;
	for (uint32_t i = 0; i < count; i++) {
		struct route_length *length;

		if (i + 1 < count && same_route(&sorted[i].route, &sorted[i + 1].route))
			continue;
		length = table->lengths > 0 ? &table->by_length[table->lengths - 1] : NULL;
		if (length == NULL || length->bits != sorted[i].route.to.bits) {
			length = &table->by_length[table->lengths];
			length->bits = sorted[i].route.to.bits;
			length->routes = calloc(count - i, sizeof(*length->routes));
			if (length->routes == NULL)
				return -1;
			table->lengths++;
		}
		length->routes[length->count++] = sorted[i].route;
	}
	return 0;
}

static int build_routes(const struct config *config, struct route_table *table)
{
	uint32_t count = config->tun.unsafe_route_count;
	struct sortable *sorted;
	int err;

	if (count == 0)
		return 0;
	sorted = calloc(count, sizeof(*sorted));
	if (sorted == NULL)
		return -1;
	for (uint32_t i = 0; i < count; i++)
		sorted[i] = (struct sortable){
			.route = {.to = config->tun.unsafe_routes[i].to,
				  .gateway = config->tun.unsafe_routes[i].gateway},
			.position = i,
		};
	qsort(sorted, count, sizeof(*sorted), compare);
	err = fill_table(table, sorted, count);
	free(sorted);
	return err;
}

static void copy_identity(struct snapshot *snapshot, const struct cert *own)
{
	for (uint32_t i = 0; i < own->network_count && i < PEER_ADDRS_MAX; i++)
		snapshot->networks[snapshot->network_count++] = own->networks[i];
	for (uint32_t i = 0; i < own->unsafe_network_count && i < PEER_PREFIXES_MAX; i++)
		snapshot->unsafe_networks[snapshot->unsafe_count++] =
			prefix_masked(own->unsafe_networks[i]);
}

struct snapshot *snapshot_build(const struct config *config, const struct cert *own,
				uint16_t rules_version)
{
	struct snapshot *snapshot = calloc(1, sizeof(*snapshot));

	if (snapshot == NULL)
		return NULL;
	copy_identity(snapshot, own);
	snapshot->rules_version = rules_version;
	snapshot->drop_local_broadcast = config->tun.drop_local_broadcast;
	snapshot->drop_multicast = config->tun.drop_multicast;
	for (int direction = 0; direction < 2; direction++)
		snapshot->reject[direction] = config->firewall.action[direction] == FIREWALL_REJECT;
	snapshot->tcp_timeout_s = config->firewall.tcp_timeout_s;
	snapshot->udp_timeout_s = config->firewall.udp_timeout_s;
	snapshot->default_timeout_s = config->firewall.default_timeout_s;
	snapshot->send_recv_error = config->listen.send_recv_error;
	snapshot->am_lighthouse = config->lighthouse.am_lighthouse;
	if (build_routes(config, &snapshot->routes) != 0)
		goto err_free;
	for (int direction = 0; direction < 2; direction++)
		if (rules_compile(&config->firewall.rules[direction], own->unsafe_network_count > 0,
				  config->firewall.default_local_cidr_any,
				  &snapshot->rules[direction]) != 0)
			goto err_free;
	return snapshot;

err_free:
	snapshot_free(snapshot);
	return NULL;
}

void snapshot_free(struct snapshot *snapshot)
{
	if (snapshot == NULL)
		return;
	for (uint32_t i = 0; i < snapshot->routes.lengths; i++)
		free(snapshot->routes.by_length[i].routes);
	free(snapshot->routes.by_length);
	for (int direction = 0; direction < 2; direction++)
		free(snapshot->rules[direction].rules);
	free(snapshot);
}
