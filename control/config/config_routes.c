/*
 * config_routes.c - tun.routes and tun.unsafe_routes.
 *
 * Here the reference is strict: a bad entry stops it, so it stops us.
 */
#include "config/read.h"

#include <string.h>

#include "addr_text.h"
#include "config/keys.h"

/* One entry of a list of routes. */
struct entry {
	struct config_reader *r;
	const struct yaml_node *item;
	const char *path; /* "tun.routes" */
	uint32_t number;  /* from 1, as the reference counts here */
};

#define ENTRY_ERROR(e, node, format, ...)                                                          \
	(finding_error((e)->r->findings, (node)->where, "entry %u of %s: " format, (e)->number,    \
		       (e)->path, ##__VA_ARGS__),                                                  \
	 false)

static const char *quoted(struct entry *e, const struct yaml_node *node,
			  char buf[FINDING_QUOTE_MAX])
{
	const char *text = yaml_text(node, e->r->arena);

	return text == NULL ? "(a list or map)" : finding_quote(text, buf);
}

static bool entry_route(struct entry *e, struct prefix *out)
{
	const struct yaml_node *node = yaml_get(e->item, "route");
	char quote[FINDING_QUOTE_MAX];
	struct prefix prefix;

	if (node == NULL)
		return ENTRY_ERROR(e, e->item, "no route; add route: PREFIX");
	if (node->kind != NODE_SCALAR || prefix_parse(node->text, &prefix) != 0)
		return ENTRY_ERROR(e, node,
				   "route \"%s\" is no prefix; write one such as 172.16.1.0/24",
				   quoted(e, node, quote));
	*out = prefix_masked(prefix);
	return true;
}

/* needed: 0 means the device's MTU otherwise. */
static bool entry_mtu(struct entry *e, bool needed, uint32_t *out)
{
	const struct yaml_node *node = yaml_get(e->item, "mtu");
	char quote[FINDING_QUOTE_MAX];
	int64_t mtu = 0;

	if (node == NULL && needed)
		return ENTRY_ERROR(e, e->item, "no mtu; add mtu: BYTES");
	if (node != NULL && yaml_int(node, &mtu) != 0)
		return ENTRY_ERROR(e, node, "mtu \"%s\" is not a whole number",
				   quoted(e, node, quote));
	if ((mtu != 0 || needed) && mtu < TUN_MTU_MIN)
		return ENTRY_ERROR(e, node, "mtu %lld is below %d; raise it", (long long)mtu,
				   TUN_MTU_MIN);
	if (mtu > TUN_MTU_MAX)
		return ENTRY_ERROR(e, node,
				   "mtu %lld is above %d: peers receive into buffers of 9001 "
				   "bytes and would cut longer packets; lower it",
				   (long long)mtu, TUN_MTU_MAX);
	*out = (uint32_t)mtu;
	return true;
}

static bool entry_is_map(struct entry *e)
{
	if (e->item->kind != NODE_MAP)
		return ENTRY_ERROR(e, e->item, "not a map; write its keys one below the other");
	keys_check_item(e->item, e->path, e->r->findings);
	return true;
}

/* The list at path, bounded by ROUTES_MAX. */
static const struct yaml_node *route_list(struct config_reader *r, const char *path)
{
	const struct yaml_node *list = read_list(r, path, true);

	if (list != NULL && list->count > ROUTES_MAX) {
		finding_error(r->findings, list->where, "%s has %u entries, more than %d", path,
			      list->count, ROUTES_MAX);
		return NULL;
	}
	return list;
}

void read_routes(struct config_reader *r)
{
	const struct yaml_node *list = route_list(r, "tun.routes");
	struct config *config = r->config;

	if (list == NULL)
		return;
	config->tun.routes = arena_alloc(r->arena, list->count * sizeof(*config->tun.routes));
	for (uint32_t i = 0; i < list->count; i++) {
		struct entry e = {r, list->items[i], "tun.routes", i + 1};
		struct config_route *route = &config->tun.routes[config->tun.route_count];

		if (!entry_is_map(&e))
			continue;
		route->where = e.item->where;
		if (entry_mtu(&e, true, &route->mtu) & entry_route(&e, &route->to))
			config->tun.route_count++;
	}
}

/* --- tun.unsafe_routes ------------------------------------------------------------------------ */

static bool gateway_addr(struct entry *e, const struct yaml_node *node, struct addr *out)
{
	char quote[FINDING_QUOTE_MAX];

	if (node->kind != NODE_SCALAR || addr_parse(node->text, out) != 0)
		return ENTRY_ERROR(e, node,
				   "via \"%s\" is no address; write the overlay address of the "
				   "gateway",
				   quoted(e, node, quote));
	return true;
}

/* One {gateway, weight} of a list. */
static bool gateway_item(struct entry *e, const struct yaml_node *item, struct gateway *out)
{
	const struct yaml_node *addr = yaml_get(item, "gateway"), *weight;
	char quote[FINDING_QUOTE_MAX];
	int64_t value = 1;

	if (item->kind != NODE_MAP || addr == NULL)
		return ENTRY_ERROR(e, item, "no gateway; add gateway: ADDRESS");
	weight = yaml_get(item, "weight");
	if (weight != NULL && (yaml_int(weight, &value) != 0 || value < 1 || value > INT32_MAX))
		return ENTRY_ERROR(e, weight, "weight \"%s\" is not a number from 1 to %d",
				   quoted(e, weight, quote), INT32_MAX);
	out->weight = (uint32_t)value;
	return gateway_addr(e, addr, &out->addr);
}

/* via is an address, or a list of {gateway, weight}. */
static bool entry_via(struct entry *e, struct config_unsafe_route *route)
{
	const struct yaml_node *node = yaml_get(e->item, "via");
	bool good = true;

	if (yaml_is_null(node))
		return ENTRY_ERROR(e, e->item, "no via; add via: the gateway's overlay address");
	route->gateway_count = node->kind == NODE_LIST ? node->count : 1;
	if (route->gateway_count == 0)
		return ENTRY_ERROR(e, node, "via is an empty list; name a gateway");
	if (route->gateway_count > GATEWAYS_MAX)
		return ENTRY_ERROR(e, node, "via has %u gateways, more than %d", node->count,
				   GATEWAYS_MAX);
	route->gateways = arena_alloc(e->r->arena, route->gateway_count * sizeof(*route->gateways));
	if (node->kind != NODE_LIST) {
		route->gateways[0].weight = 1;
		return gateway_addr(e, node, &route->gateways[0].addr);
	}
	for (uint32_t i = 0; i < node->count; i++)
		good &= gateway_item(e, node->items[i], &route->gateways[i]);
	return good;
}

static bool entry_metric(struct entry *e, uint32_t *out)
{
	const struct yaml_node *node = yaml_get(e->item, "metric");
	char quote[FINDING_QUOTE_MAX];
	int64_t metric = 0;

	if (node != NULL && (yaml_int(node, &metric) != 0 || metric < 0 || metric > INT32_MAX))
		return ENTRY_ERROR(e, node, "metric \"%s\" is not a number from 0 to %d",
				   quoted(e, node, quote), INT32_MAX);
	*out = (uint32_t)metric;
	return true;
}

static bool entry_install(struct entry *e, bool *out)
{
	const struct yaml_node *node = yaml_get(e->item, "install");
	char quote[FINDING_QUOTE_MAX];

	*out = true;
	if (node != NULL && yaml_bool(node, out) != 0)
		return ENTRY_ERROR(e, node, "install \"%s\" is not true or false",
				   quoted(e, node, quote));
	return true;
}

void read_unsafe_routes(struct config_reader *r)
{
	const struct yaml_node *list = route_list(r, "tun.unsafe_routes");
	struct config *config = r->config;

	if (list == NULL)
		return;
	config->tun.unsafe_routes =
		arena_alloc(r->arena, list->count * sizeof(*config->tun.unsafe_routes));
	for (uint32_t i = 0; i < list->count; i++) {
		struct entry e = {r, list->items[i], "tun.unsafe_routes", i + 1};
		struct config_unsafe_route *route =
			&config->tun.unsafe_routes[config->tun.unsafe_route_count];

		if (!entry_is_map(&e))
			continue;
		route->where = e.item->where;
		/* & and not &&: every mistake of an entry is reported */
		if (entry_mtu(&e, false, &route->mtu) & entry_metric(&e, &route->metric) &
		    entry_via(&e, route) & entry_install(&e, &route->install) &
		    entry_route(&e, &route->to))
			config->tun.unsafe_route_count++;
	}
}
