/*
 * snapshot_build.c - the workers' view of a configuration; see snapshot_build.h.
 */
#include "config/snapshot_build.h"

#include <stdlib.h>
#include <string.h>

/* tun.unsafe_routes. */
static struct route_table *build_routes(const struct config *config)
{
	uint32_t count = config->tun.unsafe_route_count;
	struct route *routes = calloc(count + 1, sizeof(*routes));
	struct route_table *table = NULL;

	for (uint32_t i = 0; routes && i < count; i++) {
		const struct config_unsafe_route *from = &config->tun.unsafe_routes[i];

		routes[i] = (struct route){from->to, from->gateway_count, from->gateways};
	}
	if (routes)
		table = route_table_create(routes, count);
	free(routes);
	return table;
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
	snapshot->routes = build_routes(config);
	if (snapshot->routes == NULL)
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

void snapshot_set_routes(struct snapshot *snapshot, struct route_table *routes)
{
	route_table_destroy(snapshot->routes);
	snapshot->routes = routes;
}

static bool copy_rules(struct snapshot *snapshot, const struct snapshot *from)
{
	for (int direction = 0; direction < 2; direction++) {
		const struct ruleset *rules = &from->rules[direction];
		struct rule *copy = calloc(rules->count + 1, sizeof(*copy));

		snapshot->rules[direction].rules = copy;
		if (copy == NULL)
			return false;
		memcpy(copy, rules->rules, rules->count * sizeof(*copy));
	}
	return true;
}

struct snapshot *snapshot_reroute(const struct snapshot *from, struct route_table *routes)
{
	struct snapshot *snapshot = malloc(sizeof(*snapshot));

	if (snapshot == NULL)
		return NULL;
	*snapshot = *from;
	snapshot->routes = NULL;
	for (int direction = 0; direction < 2; direction++)
		snapshot->rules[direction].rules = NULL;
	if (!copy_rules(snapshot, from)) {
		snapshot_free(snapshot);
		return NULL;
	}
	snapshot->routes = routes;
	return snapshot;
}

void snapshot_free(struct snapshot *snapshot)
{
	if (snapshot == NULL)
		return;
	route_table_destroy(snapshot->routes);
	for (int direction = 0; direction < 2; direction++)
		free(snapshot->rules[direction].rules);
	free(snapshot);
}
