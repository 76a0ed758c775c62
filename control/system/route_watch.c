/*
 * route_watch.c - see route_watch.h.
 *
 * Changes and dumps come over one socket, so in the order in which the kernel made them: a route
 * that goes while it is dumped is named by the dump first and removed by the message behind it, or
 * is not in the dump at all. So both are taken as they come, and what neither has named since a
 * dump began is swept out at its end.
 *
 * A dump is asked for at the start, when messages were lost (ENOBUFS), when a message alone does
 * not say enough (system_routes_unsure), when the kernel says that its table changed under the dump
 * in a way that it could not follow, and when our device has gone down or up, or what a route of
 * ours may name has gone: an address, a nexthop object. For then the kernel drops IPv4 routes, or
 * next hops of either family, without a word. The kernel sends only what leaves by our device. At
 * most one dump is begun in DUMP_NS.
 */
#include "system/route_watch.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "limits.h"

#define MESSAGE_BYTES 32768 /* the kernel makes parts of a dump up to this size */
#define TURN_RECEIVES 64    /* before control looks after its other duties */
#define DUMP_NS       1000000000u
#define DUMP_LOST_NS  5000000000u /* a dump that has not ended by then is asked for again */

struct route_watch {
	int fd;
	unsigned index;
	struct system_routes *routes;
	uint32_t sequence; /* of the dump under way, or of the last one */
	uint8_t dumping;   /* AF_INET, AF_INET6; 0: none is under way */
	bool again;        /* another dump is wanted */
	bool up;           /* our device, as last told */
	uint64_t dump_ns;  /* no dump before */
	uint64_t tell_ns;  /* no table before */
	uint64_t overruns, dumps;
	uint8_t bytes[MESSAGE_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
};

static int socket_open(uint32_t buffer_bytes)
{
	struct sockaddr_nl groups = {
		.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE | RTMGRP_LINK |
			     RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | 1u << (RTNLGRP_NEXTHOP - 1),
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	int size = (int)buffer_bytes, one = 1, failure;

	if (fd < 0)
		return -1;
	if (bind(fd, (struct sockaddr *)&groups, sizeof(groups)) != 0) {
		failure = errno;
		close(fd);
		errno = failure;
		return -1;
	}
	/* A kernel that does not filter a dump sends more, which is passed over. */
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
	if (size > 0 && setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	return fd;
}

struct route_watch *route_watch_open(unsigned index, const struct prefix *networks,
				     uint32_t network_count, uint32_t buffer_bytes)
{
	struct route_watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return NULL;
	watch->index = index;
	watch->again = true;
	watch->up = true;
	watch->fd = socket_open(buffer_bytes);
	if (watch->fd < 0)
		goto err_watch;
	watch->routes = system_routes_create(index, networks, network_count);
	if (!watch->routes) {
		close(watch->fd);
		errno = ENOMEM;
		goto err_watch;
	}
	return watch;

err_watch:
	free(watch);
	return NULL;
}

void route_watch_close(struct route_watch *watch)
{
	if (!watch)
		return;
	system_routes_destroy(watch->routes);
	close(watch->fd);
	free(watch);
}

int route_watch_fd(const struct route_watch *watch)
{
	return watch->fd;
}

/* --- dumps -------------------------------------------------------------------------------------
 */

/* False: the kernel would not take the request; it is made again later. */
static bool dump_ask(struct route_watch *watch, uint8_t family)
{
	uint8_t request[256] __attribute__((aligned(NLMSG_ALIGNTO))) = {0};
	struct nlmsghdr *header = mnl_nlmsg_put_header(request);
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	struct rtmsg *info;

	header->nlmsg_type = RTM_GETROUTE;
	header->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	header->nlmsg_seq = ++watch->sequence;
	info = mnl_nlmsg_put_extra_header(header, sizeof(*info));
	info->rtm_family = family;
	mnl_attr_put_u32(header, RTA_OIF, watch->index);
	if (sendto(watch->fd, request, header->nlmsg_len, 0, (struct sockaddr *)&kernel,
		   sizeof(kernel)) < 0) {
		watch->dumping = 0;
		watch->again = true;
		return false;
	}
	watch->dumping = family;
	return true;
}

static void dump_begin(struct route_watch *watch, uint64_t now_ns)
{
	watch->again = false;
	watch->dump_ns = now_ns + DUMP_NS;
	watch->dumps++;
	system_routes_dump_begin(watch->routes);
	dump_ask(watch, AF_INET);
}

static void dump_part_over(struct route_watch *watch)
{
	uint8_t family = watch->dumping;

	system_routes_dump_end(watch->routes, family);
	watch->dumping = 0;
	if (family == AF_INET)
		dump_ask(watch, AF_INET6);
}

/* --- messages ----------------------------------------------------------------------------------
 */

static void take_link(struct route_watch *watch, const struct nlmsghdr *header)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(header);
	bool up;

	if (header->nlmsg_len < NLMSG_LENGTH(sizeof(*info)) ||
	    (unsigned)info->ifi_index != watch->index)
		return;
	up = header->nlmsg_type == RTM_NEWLINK && (info->ifi_flags & IFF_UP);
	watch->again |= up != watch->up;
	watch->up = up;
}

/* Older kernels say nothing of IPv4 routes that go with the source they prefer, on any device. */
static void take_address_loss(struct route_watch *watch, const struct nlmsghdr *header)
{
	const struct ifaddrmsg *info = mnl_nlmsg_get_payload(header);

	if (header->nlmsg_len >= NLMSG_LENGTH(sizeof(*info)) &&
	    (info->ifa_family == AF_INET || info->ifa_index == watch->index))
		watch->again = true;
}

/* Stops at what may concern the device whose index is at data: of a group it is not told. */
static int take_nexthop_attribute(const struct nlattr *attribute, void *data)
{
	uint16_t type = mnl_attr_get_type(attribute);
	const unsigned *index = data;

	if (type == NHA_GROUP ||
	    (type == NHA_OIF && mnl_attr_get_payload_len(attribute) == sizeof(uint32_t) &&
	     mnl_attr_get_u32(attribute) == *index))
		return MNL_CB_STOP;
	return MNL_CB_OK;
}

/* The loss of one of a group is the end of that one. What replaces an object is told by routes. */
static void take_nexthop(struct route_watch *watch, const struct nlmsghdr *header)
{
	const struct nhmsg *info = mnl_nlmsg_get_payload(header);

	if (header->nlmsg_len >= NLMSG_LENGTH(sizeof(*info)) &&
	    mnl_attr_parse_payload(info + 1, header->nlmsg_len - NLMSG_LENGTH(sizeof(*info)),
				   take_nexthop_attribute, &watch->index) == MNL_CB_STOP)
		watch->again = true;
}

/* A dump that breaks off ends as one that is whole does, but with an error behind it. */
static bool is_whole(const struct nlmsghdr *done)
{
	int error = 0;

	if (done->nlmsg_len >= NLMSG_LENGTH(sizeof(error)))
		memcpy(&error, mnl_nlmsg_get_payload(done), sizeof(error));
	return error >= 0;
}

/* What we know stays, and the kernel is asked again. */
static void dump_failed(struct route_watch *watch)
{
	watch->dumping = 0;
	watch->again = true;
}

static void take_message(struct route_watch *watch, const struct nlmsghdr *header)
{
	bool dumped = watch->dumping && header->nlmsg_seq == watch->sequence;

	if (dumped && (header->nlmsg_flags & NLM_F_DUMP_INTR))
		watch->again = true;
	switch (header->nlmsg_type) {
	case NLMSG_DONE:
		if (dumped && is_whole(header))
			dump_part_over(watch);
		else if (dumped)
			dump_failed(watch);
		break;
	case NLMSG_ERROR: /* of the request for a dump */
		if (dumped)
			dump_failed(watch);
		break;
	case RTM_NEWLINK:
	case RTM_DELLINK:
		take_link(watch, header);
		break;
	case RTM_DELADDR:
		take_address_loss(watch, header);
		break;
	case RTM_DELNEXTHOP:
		take_nexthop(watch, header);
		break;
	default:
		system_routes_message(watch->routes, header, dumped);
	}
}

static void take_messages(struct route_watch *watch, size_t length)
{
	const struct nlmsghdr *header = (const struct nlmsghdr *)watch->bytes;
	int left = (int)length;

	for (; mnl_nlmsg_ok(header, left); header = mnl_nlmsg_next(header, &left))
		take_message(watch, header);
}

void route_watch_turn(struct route_watch *watch, uint64_t now_ns)
{
	for (int i = 0; i < TURN_RECEIVES; i++) {
		struct sockaddr_nl from = {0};
		socklen_t from_bytes = sizeof(from);
		ssize_t got =
			recvfrom(watch->fd, watch->bytes, sizeof(watch->bytes),
				 MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *)&from, &from_bytes);

		if (got < 0 && errno == ENOBUFS) {
			watch->overruns++;
			watch->again = true;
		} else if (got < 0 && errno != EINTR) {
			break;
		} else if (got > 0 && from.nl_pid == 0) { /* of the kernel */
			if ((size_t)got > sizeof(watch->bytes))
				watch->again = true;
			else
				take_messages(watch, (size_t)got);
		}
	}
	watch->again |= system_routes_unsure(watch->routes);
}

/* --- time --------------------------------------------------------------------------------------
 */

uint64_t route_watch_next_deadline(const struct route_watch *watch)
{
	uint64_t deadline = UINT64_MAX;

	if (watch->dumping)
		return watch->dump_ns + DUMP_LOST_NS;
	if (watch->again)
		deadline = watch->dump_ns;
	if (system_routes_changed(watch->routes) && watch->tell_ns < deadline)
		deadline = watch->tell_ns;
	return deadline;
}

bool route_watch_due(struct route_watch *watch, uint64_t now_ns)
{
	if (watch->dumping && now_ns >= watch->dump_ns + DUMP_LOST_NS) {
		watch->dumping = 0;
		watch->again = true;
	}
	if (watch->again && !watch->dumping && now_ns >= watch->dump_ns)
		dump_begin(watch, now_ns);
	if (watch->dumping || now_ns < watch->tell_ns || !system_routes_changed(watch->routes))
		return false;
	watch->tell_ns = now_ns + ROUTES_PUBLISH_NS;
	system_routes_settled(watch->routes);
	return true;
}

void route_watch_retry(struct route_watch *watch)
{
	system_routes_unsettle(watch->routes);
}

const struct system_routes *route_watch_routes(const struct route_watch *watch)
{
	return watch->routes;
}

uint64_t route_watch_overruns(const struct route_watch *watch)
{
	return watch->overruns;
}

uint64_t route_watch_dumps(const struct route_watch *watch)
{
	return watch->dumps;
}
