/*
 * interface.h - gives the tun device its addresses, limits and routes (PROTOCOL.md 9.4).
 */
#ifndef M57_INTERFACE_H
#define M57_INTERFACE_H

#include <stdbool.h>
#include <stdint.h>

#include "addr.h"
#include "limits.h"

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

/* Applies plan and brings the device up. 0, or -errno with one line in error. */
int interface_configure(const struct interface_plan *plan, char error[ERROR_LINE_MAX]);

/*
 * From the plan in force to another of the same device and networks: MTU, and the routes that have
 * come, gone or changed. Routes that stay are not touched, those that change are replaced, so no
 * packet finds none. Goes on after a failure. 0, or the first -errno with one line in error.
 */
int interface_reconfigure(const struct interface_plan *before, const struct interface_plan *after,
			  char error[ERROR_LINE_MAX]);

#endif
