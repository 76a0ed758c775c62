/* routes.c - see routes.h. */
#include "routes.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "system/interface.h"
#include "system/link_watch.h"
#include "system/route_watch.h"

struct routes {
	char name[IFNAMSIZ];
	unsigned index;
	bool offloads;
	const struct config *config; /* the one in force; borrowed */
	bool doubtful;               /* the kernel has not taken all of it */
	struct interface_step *left; /* removals that it has not made */
	size_t left_count;
	struct link_watch link;    /* of the device; fd -1: none is watched */
	struct route_watch *watch; /* NULL: nothing is followed */
	uint64_t tables;           /* made of learned routes */
	bool warned_full;
};

struct routes_change {
	struct route_table *table; /* NULL: handed out */
	size_t count;
	struct interface_step *steps;
	const struct config *config;
};

struct routes *routes_create(const char *name, unsigned index, bool offloads)
{
	struct routes *routes = calloc(1, sizeof(*routes));

	if (!routes)
		return NULL;
	snprintf(routes->name, sizeof(routes->name), "%s", name);
	routes->index = index;
	routes->offloads = offloads;
	routes->link.fd = -1;
	return routes;
}

void routes_destroy(struct routes *routes)
{
	if (!routes)
		return;
	route_watch_close(routes->watch);
	link_watch_close(&routes->link);
	free(routes->left);
	free(routes);
}

/* --- the kernel's table ------------------------------------------------------------------------
 */

/* tun.routes, and the tun.unsafe_routes that are to be installed: plan->routes, malloc'ed. */
static bool plan_make(const struct routes *routes, const struct config *config,
		      const struct cert *own, struct interface_plan *plan)
{
	struct interface_route *list =
		calloc(config->tun.route_count + config->tun.unsafe_route_count + 1, sizeof(*list));
	uint32_t count = 0;

	*plan = (struct interface_plan){
		.name = routes->name,
		.index = routes->index,
		.mtu = config->tun.mtu,
		.tx_queue = config->tun.tx_queue,
		.offloads = routes->offloads,
		.network_count = own->network_count,
		.networks = own->networks,
		.routes = list,
	};
	if (!list)
		return false;
	for (uint32_t i = 0; i < config->tun.route_count; i++) {
		const struct config_route *route = &config->tun.routes[i];

		list[count++] = (struct interface_route){
			.to = route->to, .mtu = route->mtu, .line = route->where.line};
	}
	for (uint32_t i = 0; i < config->tun.unsafe_route_count; i++) {
		const struct config_unsafe_route *route = &config->tun.unsafe_routes[i];

		if (route->install)
			list[count++] = (struct interface_route){.to = route->to,
								 .mtu = route->mtu,
								 .metric = route->metric,
								 .line = route->where.line};
	}
	plan->route_count = count;
	return true;
}

/* A start does not fail for it. */
static void link_follow(struct routes *routes)
{
	int result = link_watch_open(&routes->link, routes->index);

	if (result)
		log_warning("The tun device is not watched: who sets it down and up must reload",
			    LOG_STR("error", strerror(-result)));
}

int routes_install(struct routes *routes, const struct config *config, const struct cert *own,
		   char error[ERROR_LINE_MAX])
{
	struct interface_plan plan;
	int result = -ENOMEM;

	routes->config = config;
	if (routes->index == 0)
		return 0;
	if (plan_make(routes, config, own, &plan))
		result = interface_configure(&plan, error);
	else
		snprintf(error, ERROR_LINE_MAX, "cannot collect the routes: no memory");
	free((void *)plan.routes);
	if (result == 0)
		link_follow(routes);
	if (result != 0 || !config->tun.use_system_routes)
		return result;
	routes->watch = route_watch_open(routes->index, own->networks, own->network_count,
					 config->tun.system_routes_buffer);
	if (routes->watch)
		return 0;
	result = -errno;
	snprintf(error, ERROR_LINE_MAX, "cannot follow the system's routes: %s", strerror(-result));
	return result;
}

int routes_link_fd(const struct routes *routes)
{
	return routes->link.fd;
}

/* From the plan to itself, in doubt: all of it is set. 0, or -errno with error. */
static int restore(struct routes *routes, const struct cert *own, char *error)
{
	struct interface_plan plan;
	struct interface_step *steps = NULL;
	size_t count;
	int result = -ENOMEM;

	if (plan_make(routes, routes->config, own, &plan))
		steps = calloc(interface_steps_max(&plan, &plan), sizeof(*steps));
	if (steps)
		result = interface_difference(&plan, &plan, true, steps, &count);
	if (result == 0)
		result = interface_change(routes->name, routes->index, steps, count, error);
	else
		snprintf(error, ERROR_LINE_MAX, "cannot collect the routes: no memory");
	free(steps);
	free((void *)plan.routes);
	return result;
}

enum link_state routes_device(const struct routes *routes)
{
	return routes->link.state;
}

int routes_elsewhere(const struct routes *routes, const struct addr *to, char other[IFNAMSIZ])
{
	struct netlink *netlink = routes->index ? netlink_open() : NULL;
	unsigned index = 0;
	int result;

	other[0] = '\0';
	if (!netlink)
		return 0;
	result = netlink_route_get(netlink, to, &index);
	netlink_close(netlink);
	if (result == 0 && index != routes->index && !if_indextoname(index, other))
		snprintf(other, IFNAMSIZ, "none");
	return result;
}

static void device_log(const struct routes *routes)
{
	if (routes->link.state == LINK_DOWN)
		log_warning("The tun device is down: no packet passes until it is up again",
			    LOG_STR("interface", routes->name));
	else if (routes->link.state == LINK_GONE)
		log_warning("The tun device has left this network namespace",
			    LOG_STR("interface", routes->name));
}

void routes_link_turn(struct routes *routes, const struct cert *own)
{
	char error[ERROR_LINE_MAX] = "";
	enum link_state before = routes->link.state;
	bool came_up = link_watch_turn(&routes->link);

	if (routes->link.state != before)
		device_log(routes);
	if (!came_up)
		return;
	routes->doubtful = restore(routes, own, error) != 0;
	if (routes->doubtful)
		log_warning("The tun device came up again, and not all of it could be set anew",
			    LOG_STR("error", error));
	else
		log_info("The tun device came up again: its MTU, addresses and routes are set anew",
			 LOG_STR("interface", routes->name));
}

/* --- the workers' table ------------------------------------------------------------------------
 */

struct route_table *routes_table(const struct routes *routes, const struct config *config)
{
	const struct system_routes *learned =
		routes->watch ? route_watch_routes(routes->watch) : NULL;
	uint32_t count = config->tun.unsafe_route_count;
	uint32_t most = count + (learned ? system_routes_count(learned) : 0);
	struct route *list = calloc(most + 1, sizeof(*list));
	struct route_table *table = NULL;
	bool failed = false;

	for (uint32_t i = 0; list && i < count; i++) {
		const struct config_unsafe_route *from = &config->tun.unsafe_routes[i];

		list[i] = (struct route){from->to, from->gateway_count, from->gateways};
	}
	if (list && learned)
		count += system_routes_list(learned, list + count, most - count, &failed);
	if (list && !failed)
		table = route_table_create(list, count);
	free(list);
	return table;
}

/* --- the kernel's table, followed --------------------------------------------------------------
 */

int routes_fd(const struct routes *routes)
{
	return routes->watch ? route_watch_fd(routes->watch) : -1;
}

void routes_turn(struct routes *routes, uint64_t now_ns)
{
	if (routes->watch)
		route_watch_turn(routes->watch, now_ns);
}

uint64_t routes_next_deadline(const struct routes *routes)
{
	return routes->watch ? route_watch_next_deadline(routes->watch) : UINT64_MAX;
}

/* Once until there is room again. */
static void warn_full(struct routes *routes)
{
	uint32_t left_out = system_routes_left_out(route_watch_routes(routes->watch));

	if (left_out && !routes->warned_full)
		log_warning("The system has more routes to gateways of ours than can be taken over",
			    LOG_U64("most", ROUTES_MAX), LOG_U64("leftOut", left_out));
	routes->warned_full = left_out != 0;
}

struct route_table *routes_due(struct routes *routes, uint64_t now_ns)
{
	struct route_table *table;

	if (!routes->watch || !route_watch_due(routes->watch, now_ns))
		return NULL;
	warn_full(routes);
	table = routes_table(routes, routes->config);
	if (!table) {
		route_watch_retry(routes->watch);
		return NULL;
	}
	routes->tables++;
	log_debug("Routes learned from the system",
		  LOG_U64("routes", system_routes_count(route_watch_routes(routes->watch))));
	return table;
}

void routes_learned(const struct routes *routes, struct routes_learned *out)
{
	*out = (struct routes_learned){.followed = routes->watch != NULL};
	if (!routes->watch)
		return;
	out->count = system_routes_count(route_watch_routes(routes->watch));
	out->left_out = system_routes_left_out(route_watch_routes(routes->watch));
	out->overruns = route_watch_overruns(routes->watch);
	out->dumps = route_watch_dumps(routes->watch);
	out->tables = routes->tables;
}

bool routes_knows(const struct routes *routes, const struct prefix *to)
{
	return routes->watch && system_routes_knows(route_watch_routes(routes->watch), to);
}

/* --- reload ------------------------------------------------------------------------------------
 */

/* Removals that are left come first: what is to be there again is set behind them. */
static bool steps_make(const struct routes *routes, const struct interface_plan *before,
		       const struct interface_plan *after, struct routes_change *change)
{
	size_t left = routes->left_count, count;

	if (routes->index == 0)
		return true;
	change->steps = calloc(left + interface_steps_max(before, after), sizeof(*change->steps));
	if (!change->steps || interface_difference(before, after, routes->doubtful,
						   change->steps + left, &count) != 0)
		return false;
	for (size_t i = 0; i < left; i++)
		change->steps[i] = routes->left[i];
	change->count = left + count;
	return true;
}

struct routes_change *routes_reconfigure(struct routes *routes, const struct config *old_config,
					 const struct cert *old_own, const struct config *config,
					 const struct cert *own)
{
	struct routes_change *change = calloc(1, sizeof(*change));
	struct interface_plan before, after;
	bool made = plan_make(routes, old_config, old_own, &before);

	made &= plan_make(routes, config, own, &after);
	if (change) {
		change->config = config;
		made = made && steps_make(routes, &before, &after, change);
		change->table = routes_table(routes, config);
	}
	free((void *)before.routes);
	free((void *)after.routes);
	if (change && made && change->table)
		return change;
	routes_change_free(change);
	return NULL;
}

struct route_table *routes_change_table(struct routes_change *change)
{
	struct route_table *table = change->table;

	change->table = NULL;
	return table;
}

/* The removals that were not made, for the next change. */
static void keep_left(struct routes *routes, struct routes_change *change)
{
	free(routes->left);
	routes->left = change->steps;
	routes->left_count = 0;
	change->steps = NULL;
	for (size_t i = 0; i < change->count; i++)
		if (routes->left[i].action == INTERFACE_REMOVE && !routes->left[i].done)
			routes->left[routes->left_count++] = routes->left[i];
}

int routes_apply(struct routes *routes, struct routes_change *change, char error[ERROR_LINE_MAX])
{
	int result =
		interface_change(routes->name, routes->index, change->steps, change->count, error);

	routes->config = change->config;
	routes->doubtful = result != 0;
	keep_left(routes, change);
	return result;
}

void routes_change_free(struct routes_change *change)
{
	if (!change)
		return;
	route_table_destroy(change->table);
	free(change->steps);
	free(change);
}
