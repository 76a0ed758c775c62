/* interface.c - see interface.h. */
#include "system/interface.h"

#include <errno.h>
#include <stdio.h>
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

static int routes_configure(struct netlink *netlink, const struct interface_plan *plan, char *error)
{
	uint32_t device_mtu = interface_device_mtu(plan);
	char text[PREFIX_TEXT_MAX], what[PREFIX_TEXT_MAX + 32];

	for (uint32_t i = 0; i < plan->network_count; i++) {
		const struct prefix *network = &plan->networks[i];
		struct netlink_route route = {
			.index = plan->index,
			.to = *network,
			.source = network->addr,
			.mtu = plan->mtu != device_mtu ? plan->mtu : 0,
			.metric = addr_is_v4(&network->addr) ? 0 : IPV6_NETWORK_METRIC,
		};
		int result = netlink_route_set(netlink, &route);

		snprintf(what, sizeof(what), "route to %s", prefix_format(network, text));
		if (result)
			return fail(plan, result, what, error);
	}
	for (uint32_t i = 0; i < plan->route_count; i++) {
		const struct interface_route *wanted = &plan->routes[i];
		uint32_t mtu = wanted->mtu ? wanted->mtu : plan->mtu;
		struct netlink_route route = {
			.index = plan->index,
			.to = wanted->to,
			.mtu = mtu != device_mtu ? mtu : 0,
			.metric = wanted->metric,
		};
		int result = netlink_route_set(netlink, &route);

		snprintf(what, sizeof(what), "route to %s (line %u)",
			 prefix_format(&wanted->to, text), wanted->line);
		if (result)
			return fail(plan, result, what, error);
	}
	return 0;
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
