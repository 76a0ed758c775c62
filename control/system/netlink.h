/*
 * netlink.h - the rtnetlink requests that setting up a tun device takes, each sent and
 * acknowledged at once: a blocking call of some ten microseconds. Used at start, by a reload, and
 * when the device has come up again.
 *
 * Addresses are IPv4 or IPv6 (addr.h); a prefix counts its bits in the 128-bit space.
 */
#ifndef M57_NETLINK_H
#define M57_NETLINK_H

#include <stddef.h>
#include <stdint.h>

#include "addr.h"

#define NETLINK_REQUEST_BYTES 1024

struct netlink; /* an rtnetlink socket */

struct netlink_link {
	unsigned index;
	uint32_t mtu;
	uint32_t tx_queue;         /* packets */
	uint32_t gso_bytes_max;    /* of one super-packet; 0: leave */
	uint32_t gso_segments_max; /* in one super-packet; 0: leave */
};

struct netlink_route {
	unsigned index; /* of the device */
	struct prefix to;
	struct addr source; /* preferred source; zero: none */
	uint32_t mtu;       /* 0: the device's */
	uint32_t metric;    /* 0: the kernel's default */
};

/* NULL with errno set. */
struct netlink *netlink_open(void);
void netlink_close(struct netlink *netlink);

/* MTU and queue length of the link; a queue length of 0 is left. 0 or -errno, as all that follow.
 */
int netlink_link_set(struct netlink *netlink, const struct netlink_link *link);
/* Size of a super-packet. Apart from the rest: a kernel that refuses it still makes a working link.
 */
int netlink_gso_limits(struct netlink *netlink, const struct netlink_link *link);
/* No IPv6 link-local address of the kernel's own making. */
int netlink_no_link_local(struct netlink *netlink, unsigned index);
int netlink_link_up(struct netlink *netlink, unsigned index);
/* Removes the device, whoever has it open. */
int netlink_link_remove(struct netlink *netlink, unsigned index);
/* Packets that the device's queue did not take, since it was made: IFLA_STATS64's tx_dropped. */
int netlink_link_dropped(struct netlink *netlink, unsigned index, uint64_t *dropped);
/* The device by which the kernel sends packets of this host to that address; 0: by none. */
int netlink_route_get(struct netlink *netlink, const struct addr *to, unsigned *index);
/* Adds address with its broadcast address and without the kernel's own route for the network. */
int netlink_address_add(struct netlink *netlink, unsigned index, const struct prefix *address);
/* Scope link, main table, no gateway; replaces a route of the same key. */
int netlink_route_set(struct netlink *netlink, const struct netlink_route *route);
/* Removes the route of the same device, prefix and metric. -ESRCH: there was none. */
int netlink_route_remove(struct netlink *netlink, const struct netlink_route *route);

/*
 * The requests as bytes, for tests: each fills buffer (NETLINK_REQUEST_BYTES) and returns its
 * length.
 */
size_t netlink_build_link(void *buffer, const struct netlink_link *link);
size_t netlink_build_gso(void *buffer, const struct netlink_link *link);
size_t netlink_build_address(void *buffer, unsigned index, const struct prefix *address);
size_t netlink_build_route(void *buffer, const struct netlink_route *route);
size_t netlink_build_route_removal(void *buffer, const struct netlink_route *route);

#endif
