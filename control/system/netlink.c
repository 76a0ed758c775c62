/* netlink.c - see netlink.h. Every request asks for an acknowledgement and waits for it. */
#include "system/netlink.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Linux 6.3, older kernels pass over it; Debian 12 compiles with the headers of 6.1. */
#define LINK_GSO_IPV4_MAX_SIZE 63

struct netlink {
	struct mnl_socket *socket;
	unsigned port;
	uint32_t sequence;
	uint8_t request[NETLINK_REQUEST_BYTES];
};

struct netlink *netlink_open(void)
{
	struct netlink *netlink = calloc(1, sizeof(*netlink));

	if (!netlink)
		return NULL;
	netlink->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!netlink->socket || mnl_socket_bind(netlink->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		netlink_close(netlink);
		return NULL;
	}
	netlink->port = mnl_socket_get_portid(netlink->socket);
	return netlink;
}

void netlink_close(struct netlink *netlink)
{
	if (!netlink)
		return;
	if (netlink->socket)
		mnl_socket_close(netlink->socket);
	free(netlink);
}

/* Sends netlink->request and returns what the kernel says to it; what it tells goes to told, which
 * may be NULL. */
static int request_ask(struct netlink *netlink, mnl_cb_t told, void *context)
{
	struct nlmsghdr *header = (struct nlmsghdr *)netlink->request;
	uint8_t answer[8192] __attribute__((aligned(NLMSG_ALIGNTO)));
	const struct nlmsghdr *first = (const struct nlmsghdr *)answer;

	header->nlmsg_seq = ++netlink->sequence;
	if (mnl_socket_sendto(netlink->socket, header, header->nlmsg_len) < 0)
		return -errno;
	for (;;) {
		ssize_t got = mnl_socket_recvfrom(netlink->socket, answer, sizeof(answer));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		/* To an earlier request, whose answer could not be received when it came. */
		if (got >= (ssize_t)sizeof(*first) && first->nlmsg_seq != netlink->sequence)
			continue;
		switch (mnl_cb_run(answer, (size_t)got, netlink->sequence, netlink->port, told,
				   context)) {
		case MNL_CB_ERROR:
			return errno ? -errno : -EIO;
		case MNL_CB_STOP:
			return 0;
		}
	}
}

static int request_send(struct netlink *netlink)
{
	return request_ask(netlink, NULL, NULL);
}

static struct nlmsghdr *request_begin(void *buffer, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *header;

	memset(buffer, 0, NETLINK_REQUEST_BYTES);
	header = mnl_nlmsg_put_header(buffer);
	header->nlmsg_type = type;
	header->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
	return header;
}

static struct nlmsghdr *link_begin(void *buffer, unsigned index, unsigned up)
{
	struct nlmsghdr *header = request_begin(buffer, RTM_NEWLINK, 0);
	struct ifinfomsg *info = mnl_nlmsg_put_extra_header(header, sizeof(*info));

	info->ifi_family = AF_UNSPEC;
	info->ifi_index = (int)index;
	info->ifi_flags = up;
	info->ifi_change = up;
	return header;
}

size_t netlink_build_link(void *buffer, const struct netlink_link *link)
{
	struct nlmsghdr *header = link_begin(buffer, link->index, 0);

	mnl_attr_put_u32(header, IFLA_MTU, link->mtu);
	if (link->tx_queue)
		mnl_attr_put_u32(header, IFLA_TXQLEN, link->tx_queue);
	return header->nlmsg_len;
}

size_t netlink_build_gso(void *buffer, const struct netlink_link *link)
{
	struct nlmsghdr *header = link_begin(buffer, link->index, 0);

	if (link->gso_bytes_max) {
		mnl_attr_put_u32(header, IFLA_GSO_MAX_SIZE, link->gso_bytes_max);
		mnl_attr_put_u32(header, LINK_GSO_IPV4_MAX_SIZE, link->gso_bytes_max);
	}
	if (link->gso_segments_max)
		mnl_attr_put_u32(header, IFLA_GSO_MAX_SEGS, link->gso_segments_max);
	return header->nlmsg_len;
}

/* Bits of the prefix in its own family. */
static uint8_t family_bits(const struct prefix *prefix)
{
	return (uint8_t)(addr_is_v4(&prefix->addr) ? prefix->bits - ADDR_V4_BITS : prefix->bits);
}

static uint8_t family_of(const struct addr *addr)
{
	return addr_is_v4(addr) ? AF_INET : AF_INET6;
}

static void put_addr(struct nlmsghdr *header, uint16_t type, const struct addr *addr)
{
	if (addr_is_v4(addr))
		mnl_attr_put(header, type, 4, addr->bytes + 12);
	else
		mnl_attr_put(header, type, 16, addr->bytes);
}

size_t netlink_build_address(void *buffer, unsigned index, const struct prefix *address)
{
	struct nlmsghdr *header = request_begin(buffer, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
	struct ifaddrmsg *info = mnl_nlmsg_put_extra_header(header, sizeof(*info));

	info->ifa_family = family_of(&address->addr);
	info->ifa_prefixlen = family_bits(address);
	info->ifa_index = index;
	/* The route of the network is made by hand, with its MTU; and nobody answers a duplicate
	 * probe. */
	uint32_t flags = IFA_F_NOPREFIXROUTE;

	if (info->ifa_family == AF_INET6)
		flags |= IFA_F_NODAD;
	put_addr(header, IFA_LOCAL, &address->addr);
	put_addr(header, IFA_ADDRESS, &address->addr);
	if (info->ifa_family == AF_INET && info->ifa_prefixlen < 31)
		mnl_attr_put_u32(
			header, IFA_BROADCAST,
			htonl(addr_v4(&address->addr) | UINT32_MAX >> info->ifa_prefixlen));
	mnl_attr_put_u32(header, IFA_FLAGS, flags);
	return header->nlmsg_len;
}

/* What a route is known by. Returns the header with room behind it. */
static struct nlmsghdr *route_begin(void *buffer, uint16_t type, uint16_t flags,
				    const struct netlink_route *route)
{
	struct nlmsghdr *header = request_begin(buffer, type, flags);
	struct rtmsg *info = mnl_nlmsg_put_extra_header(header, sizeof(*info));
	struct prefix to = prefix_masked(route->to);

	info->rtm_family = family_of(&to.addr);
	info->rtm_dst_len = family_bits(&to);
	info->rtm_table = RT_TABLE_MAIN;
	info->rtm_protocol = RTPROT_STATIC;
	info->rtm_scope = RT_SCOPE_LINK;
	info->rtm_type = RTN_UNICAST;
	if (info->rtm_dst_len)
		put_addr(header, RTA_DST, &to.addr);
	mnl_attr_put_u32(header, RTA_OIF, route->index);
	if (route->metric)
		mnl_attr_put_u32(header, RTA_PRIORITY, route->metric);
	return header;
}

size_t netlink_build_route(void *buffer, const struct netlink_route *route)
{
	struct nlmsghdr *header =
		route_begin(buffer, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route);

	if (!addr_is_zero(&route->source) &&
	    addr_is_v4(&route->source) == addr_is_v4(&route->to.addr))
		put_addr(header, RTA_PREFSRC, &route->source);
	if (route->mtu) {
		struct nlattr *metrics = mnl_attr_nest_start(header, RTA_METRICS);

		mnl_attr_put_u32(header, RTAX_MTU, route->mtu);
		mnl_attr_put_u32(header, RTAX_ADVMSS, route->mtu - 40);
		mnl_attr_nest_end(header, metrics);
	}
	return header->nlmsg_len;
}

size_t netlink_build_route_removal(void *buffer, const struct netlink_route *route)
{
	return route_begin(buffer, RTM_DELROUTE, 0, route)->nlmsg_len;
}

int netlink_link_set(struct netlink *netlink, const struct netlink_link *link)
{
	netlink_build_link(netlink->request, link);
	return request_send(netlink);
}

int netlink_gso_limits(struct netlink *netlink, const struct netlink_link *link)
{
	netlink_build_gso(netlink->request, link);
	return request_send(netlink);
}

int netlink_no_link_local(struct netlink *netlink, unsigned index)
{
	struct nlmsghdr *header = link_begin(netlink->request, index, 0);
	struct nlattr *families = mnl_attr_nest_start(header, IFLA_AF_SPEC);
	struct nlattr *ipv6 = mnl_attr_nest_start(header, AF_INET6);

	mnl_attr_put_u8(header, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(header, ipv6);
	mnl_attr_nest_end(header, families);
	return request_send(netlink);
}

int netlink_link_up(struct netlink *netlink, unsigned index)
{
	link_begin(netlink->request, index, IFF_UP);
	return request_send(netlink);
}

int netlink_link_remove(struct netlink *netlink, unsigned index)
{
	struct nlmsghdr *header = request_begin(netlink->request, RTM_DELLINK, 0);
	struct ifinfomsg *info = mnl_nlmsg_put_extra_header(header, sizeof(*info));

	info->ifi_family = AF_UNSPEC;
	info->ifi_index = (int)index;
	return request_send(netlink);
}

static int dropped_read(const struct nlmsghdr *header, void *context)
{
	const size_t at = offsetof(struct rtnl_link_stats64, tx_dropped);
	const struct nlattr *attribute;
	uint64_t *dropped = context;

	mnl_attr_for_each(attribute, header, sizeof(struct ifinfomsg))
	{
		const uint8_t *stats = mnl_attr_get_payload(attribute);

		if (mnl_attr_get_type(attribute) == IFLA_STATS64 &&
		    mnl_attr_get_payload_len(attribute) >= at + sizeof(*dropped))
			memcpy(dropped, stats + at, sizeof(*dropped));
	}
	return MNL_CB_OK;
}

int netlink_link_dropped(struct netlink *netlink, unsigned index, uint64_t *dropped)
{
	struct nlmsghdr *header = request_begin(netlink->request, RTM_GETLINK, 0);
	struct ifinfomsg *info = mnl_nlmsg_put_extra_header(header, sizeof(*info));

	info->ifi_family = AF_UNSPEC;
	info->ifi_index = (int)index;
	*dropped = 0;
	return request_ask(netlink, dropped_read, dropped);
}

static int device_read(const struct nlmsghdr *header, void *context)
{
	const struct nlattr *attribute;
	unsigned *index = context;

	mnl_attr_for_each(attribute, header, sizeof(struct rtmsg))
	{
		if (mnl_attr_get_type(attribute) == RTA_OIF &&
		    mnl_attr_get_payload_len(attribute) >= sizeof(*index))
			*index = mnl_attr_get_u32(attribute);
	}
	return MNL_CB_OK;
}

int netlink_route_get(struct netlink *netlink, const struct addr *to, unsigned *index)
{
	struct nlmsghdr *header = request_begin(netlink->request, RTM_GETROUTE, 0);
	struct rtmsg *info = mnl_nlmsg_put_extra_header(header, sizeof(*info));
	const struct prefix host = {.addr = *to, .bits = 128};

	info->rtm_family = family_of(to);
	info->rtm_dst_len = family_bits(&host);
	put_addr(header, RTA_DST, to);
	*index = 0;
	return request_ask(netlink, device_read, index);
}

int netlink_address_add(struct netlink *netlink, unsigned index, const struct prefix *address)
{
	netlink_build_address(netlink->request, index, address);
	return request_send(netlink);
}

int netlink_route_set(struct netlink *netlink, const struct netlink_route *route)
{
	netlink_build_route(netlink->request, route);
	return request_send(netlink);
}

int netlink_route_remove(struct netlink *netlink, const struct netlink_route *route)
{
	netlink_build_route_removal(netlink->request, route);
	return request_send(netlink);
}
