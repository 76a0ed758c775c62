/*
 * interface.h - gives the tun device its addresses, limits and routes (PROTOCOL.md 9.4).
 */
#ifndef M57_INTERFACE_H
#define M57_INTERFACE_H

#include <stdbool.h>
#include <stdint.h>

#include "addr.h"
#include "limits.h"
#include "system/netlink.h"

/* One row of tun.routes or tun.unsafe_routes. */
struct interface_route {
	struct prefix to;
	uint32_t mtu;    /* 0: the device's */
	uint32_t metric; /* 0: the kernel's default */
	uint32_t line;   /* of the config file, for the error */
};

struct interface_plan {
	const char *name;
	unsigned index;
	uint32_t mtu;      /* tun.mtu */
	uint32_t tx_queue; /* tun.tx_queue */
	bool offloads;     /* super-packets come: bound them to what one send takes */
	uint32_t network_count;
	const struct prefix *networks; /* of our certificate: own address with its length */
	uint32_t route_count;
	const struct interface_route *routes; /* those with install: true */
};

/* Largest of tun.mtu and all routes' MTUs: the device must be able to carry each. */
uint32_t interface_device_mtu(const struct interface_plan *plan);

enum interface_action { INTERFACE_MTU, INTERFACE_ADDRESS, INTERFACE_REMOVE, INTERFACE_SET };

/* One request to the kernel. */
struct interface_step {
	enum interface_action action;
	uint32_t mtu;               /* INTERFACE_MTU: of the device */
	struct prefix address;      /* INTERFACE_ADDRESS */
	struct netlink_route route; /* INTERFACE_REMOVE, INTERFACE_SET */
	uint32_t line;              /* of the config file; 0: none */
	bool done;                  /* by interface_change() */
};

/* Room that interface_difference() needs. */
static inline size_t interface_steps_max(const struct interface_plan *before,
					 const struct interface_plan *after)
{
	return 2 + (size_t)before->network_count + before->route_count +
	       3 * (size_t)after->network_count + 2 * (size_t)after->route_count;
}

/*
 * What leads the kernel's routes and the device's MTU from one plan for the same device to another:
 * a larger MTU first, then routes that are new or differ, then those that go, then a smaller MTU.
 * So what has a route before and after, of another metric or length, has one all the time: else its
 * packets would be refused, or leave by another device as they are. A route is known by prefix and
 * metric; of equal ones in a plan the last one counts. doubtful: the
 * kernel may lack what before has, so the MTU, the addresses and all routes of after are set.
 * *count of steps. 0 or -ENOMEM. Touches nothing.
 */
int interface_difference(const struct interface_plan *before, const struct interface_plan *after,
			 bool doubtful, struct interface_step *steps, size_t *count);

/*
 * Carries steps out, blocking. A step that fails does not keep the others from being done, and is
 * left undone in steps. 0, or -errno of the first that failed with one line in error.
 */
int interface_change(const char *name, unsigned index, struct interface_step *steps, size_t count,
		     char error[ERROR_LINE_MAX]);

/* Applies plan and brings the device up. 0, or -errno with one line in error. */
int interface_configure(const struct interface_plan *plan, char error[ERROR_LINE_MAX]);

#endif
