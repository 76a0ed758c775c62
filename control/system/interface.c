/* interface.c - see interface.h. */
#include "system/interface.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "addr_text.h"
#include "system/netlink.h"

#define IPV6_NETWORK_METRIC 256 /* what the kernel gives the routes that it makes itself */

uint32_t interface_device_mtu(const struct interface_plan *plan)
{
	uint32_t mtu = plan->mtu;

	for (uint32_t i = 0; i < plan->route_count; i++)
		if (plan->routes[i].mtu > mtu)
			mtu = plan->routes[i].mtu;
	return mtu;
}

static int fail(const struct interface_plan *plan, int result, const char *what, char *error)
{
	const char *cure = "";

	if (result == -EPERM)
		cure = "; run as root or with CAP_NET_ADMIN";
	else if (result == -EOPNOTSUPP || result == -EACCES)
		cure = "; is IPv6 disabled on this host?";
	else if (result == -EINVAL)
		cure = "; check tun.mtu and the routes";
	snprintf(error, ERROR_LINE_MAX, "cannot set up %s: %s: %s%s", plan->name, what,
		 strerror(-result), cure);
	return result;
}

static int link_configure(struct netlink *netlink, const struct interface_plan *plan, char *error)
{
	struct netlink_link link = {
		.index = plan->index,
		.mtu = interface_device_mtu(plan),
		.tx_queue = plan->tx_queue,
		.gso_bytes_max = TUN_GSO_BYTES_MAX,
		.gso_segments_max = GSO_SEGMENTS_MAX,
	};
	int result = netlink_link_set(netlink, &link);

	if (result)
		return fail(plan, result, "MTU and queue length", error);
	/* Kernels that refuse the limits send larger super-packets, which cost a second send. */
	if (plan->offloads)
		(void)netlink_gso_limits(netlink, &link);
	/* Without IPv6 there is nothing to switch off. */
	(void)netlink_no_link_local(netlink, plan->index);
	return 0;
}

static int addresses_configure(struct netlink *netlink, const struct interface_plan *plan,
			       char *error)
{
	char text[PREFIX_TEXT_MAX], what[PREFIX_TEXT_MAX + 16];

	for (uint32_t i = 0; i < plan->network_count; i++) {
		int result = netlink_address_add(netlink, plan->index, &plan->networks[i]);

		snprintf(what, sizeof(what), "address %s", prefix_format(&plan->networks[i], text));
		if (result)
			return fail(plan, result, what, error);
	}
	return 0;
}

/* Route i of the plan: those of the networks come first, then the others. */
static struct netlink_route route_of(const struct interface_plan *plan, uint32_t device_mtu,
				     uint32_t i)
{
	if (i < plan->network_count) {
		const struct prefix *network = &plan->networks[i];

		return (struct netlink_route){
			.index = plan->index,
			.to = *network,
			.source = network->addr,
			.mtu = plan->mtu != device_mtu ? plan->mtu : 0,
			.metric = addr_is_v4(&network->addr) ? 0 : IPV6_NETWORK_METRIC,
		};
	}

	const struct interface_route *wanted = &plan->routes[i - plan->network_count];
	uint32_t mtu = wanted->mtu ? wanted->mtu : plan->mtu;

	return (struct netlink_route){
		.index = plan->index,
		.to = wanted->to,
		.mtu = mtu != device_mtu ? mtu : 0,
		.metric = wanted->metric,
	};
}

static uint32_t route_total(const struct interface_plan *plan)
{
	return plan->network_count + plan->route_count;
}

static int route_set(struct netlink *netlink, const struct interface_plan *plan,
		     uint32_t device_mtu, uint32_t i, char *error)
{
	struct netlink_route route = route_of(plan, device_mtu, i);
	uint32_t line = i < plan->network_count ? 0 : plan->routes[i - plan->network_count].line;
	char text[PREFIX_TEXT_MAX], what[PREFIX_TEXT_MAX + 48], at[24] = "";
	int result = netlink_route_set(netlink, &route);

	if (result == 0)
		return 0;
	if (line)
		snprintf(at, sizeof(at), " (line %u)", line);
	snprintf(what, sizeof(what), "route to %s%s", prefix_format(&route.to, text), at);
	return fail(plan, result, what, error);
}

static int routes_configure(struct netlink *netlink, const struct interface_plan *plan, char *error)
{
	uint32_t device_mtu = interface_device_mtu(plan);
	int result = 0;

	for (uint32_t i = 0; i < route_total(plan) && result == 0; i++)
		result = route_set(netlink, plan, device_mtu, i, error);
	return result;
}

int interface_configure(const struct interface_plan *plan, char error[ERROR_LINE_MAX])
{
	struct netlink *netlink = netlink_open();
	int result;

	if (!netlink)
		return fail(plan, -errno, "rtnetlink socket", error);
	result = link_configure(netlink, plan, error);
	if (result == 0)
		result = addresses_configure(netlink, plan, error);
	if (result == 0) {
		result = netlink_link_up(netlink, plan->index);
		if (result)
			fail(plan, result, "bringing it up", error);
	}
	if (result == 0)
		result = routes_configure(netlink, plan, error);
	netlink_close(netlink);
	return result;
}

/* --- a change while it runs --------------------------------------------------------------------
 */

struct planned {
	struct netlink_route route;
	uint32_t number; /* in its plan */
};

/* What the kernel tells routes apart by: prefix and metric. */
static int compare_keys(const struct netlink_route *a, const struct netlink_route *b)
{
	int order = addr_compare(&a->to.addr, &b->to.addr);

	if (order)
		return order;
	if (a->to.bits != b->to.bits)
		return a->to.bits < b->to.bits ? -1 : 1;
	return a->metric < b->metric ? -1 : a->metric > b->metric;
}

static int compare_planned(const void *a, const void *b)
{
	const struct planned *x = a, *y = b;
	int order = compare_keys(&x->route, &y->route);

	return order ? order : x->number < y->number ? -1 : x->number > y->number;
}

/* The routes of the plan by key, each key once: the last one is what the kernel has. malloc'ed. */
static struct planned *routes_sorted(const struct interface_plan *plan, uint32_t *count)
{
	uint32_t total = route_total(plan), device_mtu = interface_device_mtu(plan);
	struct planned *list = calloc(total + 1, sizeof(*list));

	*count = 0;
	if (!list)
		return NULL;
	for (uint32_t i = 0; i < total; i++) {
		list[i] = (struct planned){route_of(plan, device_mtu, i), i};
		list[i].route.to = prefix_masked(list[i].route.to);
	}
	qsort(list, total, sizeof(*list), compare_planned);
	for (uint32_t i = 0; i < total; i++)
		if (i + 1 == total || compare_keys(&list[i].route, &list[i + 1].route) != 0)
			list[(*count)++] = list[i];
	return list;
}

static int route_removed(struct netlink *netlink, const struct interface_plan *plan,
			 const struct netlink_route *route, char *error)
{
	char text[PREFIX_TEXT_MAX], what[PREFIX_TEXT_MAX + 32];
	int result = netlink_route_remove(netlink, route);

	if (result == 0 || result == -ESRCH)
		return 0; /* gone is gone, whoever did it */
	snprintf(what, sizeof(what), "removing route to %s", prefix_format(&route->to, text));
	return fail(plan, result, what, error);
}

/* Both lists are sorted: one walk finds what came, what changed, what went. */
static int routes_change(struct netlink *netlink, const struct interface_plan *before,
			 const struct interface_plan *after, char *error)
{
	uint32_t was_count, is_count, i = 0, j = 0, device_mtu = interface_device_mtu(after);
	struct planned *was = routes_sorted(before, &was_count);
	struct planned *is = routes_sorted(after, &is_count);
	char later[ERROR_LINE_MAX];
	int first = was && is ? 0 : fail(after, -ENOMEM, "routes", error);

	while (was && is && (i < was_count || j < is_count)) {
		int order = i == was_count  ? 1
			    : j == is_count ? -1
					    : compare_keys(&was[i].route, &is[j].route);
		int result = 0;

		if (order < 0)
			result = route_removed(netlink, before, &was[i].route,
					       first ? later : error);
		else if (order > 0 || was[i].route.mtu != is[j].route.mtu)
			result = route_set(netlink, after, device_mtu, is[j].number,
					   first ? later : error);
		first = first ? first : result;
		i += order <= 0;
		j += order >= 0;
	}
	free(was);
	free(is);
	return first;
}

int interface_reconfigure(const struct interface_plan *before, const struct interface_plan *after,
			  char error[ERROR_LINE_MAX])
{
	struct netlink *netlink = netlink_open();
	struct netlink_link link = {
		.index = after->index,
		.mtu = interface_device_mtu(after),
		.tx_queue = after->tx_queue,
	};
	char more[ERROR_LINE_MAX];
	int result = 0, routes;

	if (!netlink)
		return fail(after, -errno, "rtnetlink socket", error);
	if (link.mtu != interface_device_mtu(before)) {
		result = netlink_link_set(netlink, &link);
		if (result)
			fail(after, result, "MTU", error);
	}
	routes = routes_change(netlink, before, after, result ? more : error);
	netlink_close(netlink);
	return result ? result : routes;
}
