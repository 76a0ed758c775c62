/* interface.c - see interface.h. */
#include "system/interface.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "addr_text.h"
#include "system/netlink.h"

#define IPV6_NETWORK_METRIC 256  /* what the kernel gives the routes that it makes itself */
#define IPV6_DEFAULT_METRIC 1024 /* and those that are made with none */

uint32_t interface_device_mtu(const struct interface_plan *plan)
{
	uint32_t mtu = plan->mtu;

	for (uint32_t i = 0; i < plan->route_count; i++)
		if (plan->routes[i].mtu > mtu)
			mtu = plan->routes[i].mtu;
	return mtu;
}

static int fail(const char *name, int result, const char *what, char *error)
{
	const char *cure = "";

	if (result == -EPERM)
		cure = "; run as root or with CAP_NET_ADMIN";
	else if (result == -EOPNOTSUPP || result == -EACCES)
		cure = "; is IPv6 disabled on this host?";
	else if (result == -EINVAL)
		cure = "; check tun.mtu and the routes";
	snprintf(error, ERROR_LINE_MAX, "cannot set up %s: %s: %s%s", name, what, strerror(-result),
		 cure);
	return result;
}

static int fail_route(const char *name, int result, const struct netlink_route *route,
		      uint32_t line, char *error)
{
	char text[PREFIX_TEXT_MAX], what[PREFIX_TEXT_MAX + 32];

	prefix_format(&route->to, text);
	if (line)
		snprintf(what, sizeof(what), "route to %s (line %u)", text, line);
	else
		snprintf(what, sizeof(what), "route to %s", text);
	return fail(name, result, what, error);
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
		return fail(plan->name, result, "MTU and queue length", error);
	/* Kernels that refuse the limits send larger super-packets, which cost a second send. */
	if (plan->offloads)
		(void)netlink_gso_limits(netlink, &link);
	/* Without IPv6 there is nothing to switch off. */
	(void)netlink_no_link_local(netlink, plan->index);
	return 0;
}

static int fail_address(const char *name, int result, const struct prefix *address, char *error)
{
	char text[PREFIX_TEXT_MAX], what[PREFIX_TEXT_MAX + 16];

	snprintf(what, sizeof(what), "address %s", prefix_format(address, text));
	return fail(name, result, what, error);
}

static int addresses_configure(struct netlink *netlink, const struct interface_plan *plan,
			       char *error)
{
	for (uint32_t i = 0; i < plan->network_count; i++) {
		int result = netlink_address_add(netlink, plan->index, &plan->networks[i]);

		if (result)
			return fail_address(plan->name, result, &plan->networks[i], error);
	}
	return 0;
}

/* The plan's route i, those of the networks first, as the kernel is to have it. */
static struct netlink_route plan_route(const struct interface_plan *plan, uint32_t i,
				       uint32_t device_mtu, uint32_t *line)
{
	struct netlink_route route = {.index = plan->index};
	uint32_t mtu = plan->mtu;

	*line = 0;
	if (i < plan->network_count) {
		route.to = plan->networks[i];
		route.source = plan->networks[i].addr;
		route.metric = addr_is_v4(&route.to.addr) ? 0 : IPV6_NETWORK_METRIC;
	} else {
		const struct interface_route *wanted = &plan->routes[i - plan->network_count];

		route.to = wanted->to;
		route.metric = wanted->metric;
		mtu = wanted->mtu ? wanted->mtu : plan->mtu;
		*line = wanted->line;
	}
	route.mtu = mtu != device_mtu ? mtu : 0;
	return route;
}

static int routes_configure(struct netlink *netlink, const struct interface_plan *plan, char *error)
{
	uint32_t device_mtu = interface_device_mtu(plan), line;

	for (uint32_t i = 0; i < plan->network_count + plan->route_count; i++) {
		struct netlink_route route = plan_route(plan, i, device_mtu, &line);
		int result = netlink_route_set(netlink, &route);

		if (result)
			return fail_route(plan->name, result, &route, line, error);
	}
	return 0;
}

int interface_configure(const struct interface_plan *plan, char error[ERROR_LINE_MAX])
{
	struct netlink *netlink = netlink_open();
	int result;

	if (!netlink)
		return fail(plan->name, -errno, "rtnetlink socket", error);
	result = link_configure(netlink, plan, error);
	if (result == 0)
		result = addresses_configure(netlink, plan, error);
	if (result == 0) {
		result = netlink_link_up(netlink, plan->index);
		if (result)
			fail(plan->name, result, "bringing it up", error);
	}
	if (result == 0)
		result = routes_configure(netlink, plan, error);
	netlink_close(netlink);
	return result;
}

/* --- from one plan to another -------------------------------------------------------------------
 */

/* A route of a plan, with its place there. */
struct planned {
	struct netlink_route route;
	uint32_t line, position;
};

/* What the kernel tells routes of one device apart by. */
static int compare_key(const struct netlink_route *a, const struct netlink_route *b)
{
	struct prefix x = prefix_masked(a->to), y = prefix_masked(b->to);
	int order = addr_compare(&x.addr, &y.addr);

	if (order != 0)
		return order;
	if (x.bits != y.bits)
		return x.bits < y.bits ? -1 : 1;
	return a->metric < b->metric ? -1 : a->metric > b->metric;
}

static int compare_planned(const void *a, const void *b)
{
	const struct planned *x = a, *y = b;
	int order = compare_key(&x->route, &y->route);

	return order ? order : x->position < y->position ? -1 : 1;
}

/* The plan's routes in the order of their keys, each key once. NULL: no memory. */
static struct planned *planned_create(const struct interface_plan *plan, uint32_t *count)
{
	uint32_t all = plan->network_count + plan->route_count, kept = 0;
	struct planned *list = calloc(all + 1, sizeof(*list));

	*count = 0;
	if (!list)
		return NULL;
	for (uint32_t i = 0; i < all; i++) {
		list[i].position = i;
		list[i].route = plan_route(plan, i, interface_device_mtu(plan), &list[i].line);
		if (!addr_is_v4(&list[i].route.to.addr) && list[i].route.metric == 0)
			list[i].route.metric = IPV6_DEFAULT_METRIC;
	}
	qsort(list, all, sizeof(*list), compare_planned);
	for (uint32_t i = 0; i < all; i++)
		if (i + 1 == all || compare_key(&list[i].route, &list[i + 1].route) != 0)
			list[kept++] = list[i];
	*count = kept;
	return list;
}

static bool same_prefix(const struct netlink_route *a, const struct netlink_route *b)
{
	struct prefix x = prefix_masked(a->to), y = prefix_masked(b->to);

	return x.bits == y.bits && addr_equal(&x.addr, &y.addr);
}

static bool same_route(const struct netlink_route *a, const struct netlink_route *b)
{
	return a->mtu == b->mtu && addr_equal(&a->source, &b->source);
}

/* The routes of after that are new or differ, and those of before that go. Both lists are sorted:
 * goes through them side by side. doubtful: all of after is to be set. */
static size_t compare_plans(const struct planned *before, uint32_t before_count,
			    const struct planned *after, uint32_t after_count,
			    enum interface_action wanted, bool doubtful,
			    struct interface_step *steps)
{
	uint32_t i = 0, k = 0;
	size_t count = 0;

	while (i < before_count || k < after_count) {
		int order = i == before_count  ? 1
			    : k == after_count ? -1
					       : compare_key(&before[i].route, &after[k].route);
		bool differ =
			order > 0 || (order == 0 &&
				      (doubtful || !same_route(&before[i].route, &after[k].route)));

		if (wanted == INTERFACE_REMOVE && order < 0)
			steps[count++] = (struct interface_step){.action = INTERFACE_REMOVE,
								 .route = before[i].route,
								 .line = before[i].line};
		if (wanted == INTERFACE_SET && differ)
			steps[count++] = (struct interface_step){.action = INTERFACE_SET,
								 .route = after[k].route,
								 .line = after[k].line};
		i += order <= 0;
		k += order >= 0;
	}
	return count;
}

/*
 * The kernel takes the removal of an IPv4 route without a metric for one of any metric: where
 * somebody else has removed that route, another of the same prefix has gone in its place. So those
 * are set once more. Returns the number of steps.
 */
static size_t set_again(const struct interface_step *removals, size_t removal_count,
			const struct planned *after, uint32_t after_count,
			struct interface_step *steps)
{
	uint32_t k = 0;
	size_t count = 0;

	for (size_t i = 0; i < removal_count; i++) {
		const struct netlink_route *gone = &removals[i].route;

		if (gone->metric)
			continue; /* IPv6 routes always have one */
		while (k < after_count && compare_key(&after[k].route, gone) < 0)
			k++;
		for (; k < after_count && same_prefix(&after[k].route, gone); k++)
			steps[count++] = (struct interface_step){.action = INTERFACE_SET,
								 .route = after[k].route,
								 .line = after[k].line};
	}
	return count;
}

int interface_difference(const struct interface_plan *before, const struct interface_plan *after,
			 bool doubtful, struct interface_step *steps, size_t *count)
{
	uint32_t old_mtu = interface_device_mtu(before), mtu = interface_device_mtu(after);
	uint32_t old_count, new_count;
	struct planned *old = planned_create(before, &old_count);
	struct planned *new = planned_create(after, &new_count);
	struct interface_step link = {.action = INTERFACE_MTU, .mtu = mtu};
	int result = old && new ? 0 : -ENOMEM;

	*count = 0;
	if (result == 0) {
		if (mtu > old_mtu || doubtful)
			steps[(*count)++] = link;
		for (uint32_t i = 0; doubtful && i < after->network_count; i++)
			steps[(*count)++] = (struct interface_step){.action = INTERFACE_ADDRESS,
								    .address = after->networks[i]};
		*count += compare_plans(old, old_count, new, new_count, INTERFACE_SET, doubtful,
					steps + *count);
		size_t removals = compare_plans(old, old_count, new, new_count, INTERFACE_REMOVE,
						doubtful, steps + *count);
		*count += removals;
		*count += set_again(steps + *count - removals, removals, new, new_count,
				    steps + *count);
		if (mtu < old_mtu && !doubtful)
			steps[(*count)++] = link;
	}
	free(old);
	free(new);
	return result;
}

static int step_do(struct netlink *netlink, unsigned index, const struct interface_step *step)
{
	struct netlink_link link = {.index = index, .mtu = step->mtu};
	int result = 0;

	switch (step->action) {
	case INTERFACE_MTU:
		return netlink_link_set(netlink, &link);
	case INTERFACE_ADDRESS:
		return netlink_address_add(netlink, index, &step->address);
	case INTERFACE_SET:
		return netlink_route_set(netlink, &step->route);
	case INTERFACE_REMOVE:
		result = netlink_route_remove(netlink, &step->route);
		return result == -ESRCH ? 0 : result; /* somebody else did */
	}
	return result;
}

static int fail_step(const char *name, int result, const struct interface_step *step, char *error)
{
	switch (step->action) {
	case INTERFACE_MTU:
		return fail(name, result, "MTU", error);
	case INTERFACE_ADDRESS:
		return fail_address(name, result, &step->address, error);
	default:
		return fail_route(name, result, &step->route, step->line, error);
	}
}

int interface_change(const char *name, unsigned index, struct interface_step *steps, size_t count,
		     char error[ERROR_LINE_MAX])
{
	struct netlink *netlink;
	int first = 0;

	if (count == 0)
		return 0;
	netlink = netlink_open();
	if (!netlink)
		return fail(name, -errno, "rtnetlink socket", error);
	for (size_t i = 0; i < count; i++) {
		int result = step_do(netlink, index, &steps[i]);

		steps[i].done = result == 0;
		if (result != 0 && first == 0)
			first = fail_step(name, result, &steps[i], error);
	}
	netlink_close(netlink);
	return first;
}
