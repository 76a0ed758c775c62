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

static bool entry_gateway(struct entry *e, const struct yaml_node *node, struct addr *out)
{
	char quote[FINDING_QUOTE_MAX];

	if (node->kind != NODE_SCALAR || addr_parse(node->text, out) != 0)
		return ENTRY_ERROR(e, node,
				   "via \"%s\" is no address; write the overlay address of the "
				   "gateway",
				   quoted(e, node, quote));
	return true;
}

/* via is an address, or a list of {gateway, weight}, of which one entry is supported. */
static bool entry_via(struct entry *e, struct addr *out)
{
	const struct yaml_node *node = yaml_get(e->item, "via"), *gateway;

	if (yaml_is_null(node))
		return ENTRY_ERROR(e, e->item, "no via; add via: the gateway's overlay address");
	if (node->kind != NODE_LIST)
		return entry_gateway(e, node, out);
	if (node->count == 0)
		return ENTRY_ERROR(e, node, "via is an empty list; name a gateway");
	if (node->count > 1 && !e->r->config->allow_incomplete)
		return ENTRY_ERROR(e, node,
				   "several gateways are not supported yet: all traffic would take "
				   "the first; leave one, or set m57.allow_incomplete: true");
	if (node->count > 1)
		finding_warning(e->r->findings, node->where,
				"entry %u of %s: all traffic takes the first gateway "
				"(m57.allow_incomplete)",
				e->number, e->path);
	gateway = yaml_get(node->items[0], "gateway");
	if (gateway == NULL)
		return ENTRY_ERROR(e, node->items[0], "no gateway; add gateway: ADDRESS");
	return entry_gateway(e, gateway, out);
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
		    entry_via(&e, &route->gateway) & entry_install(&e, &route->install) &
		    entry_route(&e, &route->to))
			config->tun.unsafe_route_count++;
	}
}
