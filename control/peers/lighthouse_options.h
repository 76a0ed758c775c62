/*
 * lighthouse_options.h - what the configuration says about finding hosts, and being found
 * (PROTOCOL.md 6, 9.2). Filled by config_lighthouse.c; immutable. All zero: no lighthouse.
 */
#ifndef M57_LIGHTHOUSE_OPTIONS_H
#define M57_LIGHTHOUSE_OPTIONS_H

#include <net/if.h>
#include <stddef.h>

#include "addr.h"
#include "peers/allow_list.h"

/* An address of this machine. */
struct local_addr {
	char interface[IFNAMSIZ];
	struct addr addr;
};

/* One mask of lighthouse.calculated_remotes. */
struct calculated_remote {
	struct prefix vpn;  /* for hosts in it */
	struct prefix mask; /* of the same family; gives the leading bits */
	uint16_t port;
};

struct lighthouse_options {
	bool am_lighthouse;
	uint64_t interval_ns; /* between updates; 0: none after the first */
	uint32_t host_count;
	struct addr *hosts; /* lighthouse.hosts, overlay addresses; at most LIGHTHOUSES_MAX */
	uint32_t advertise_count;
	struct endpoint *advertise; /* port 0: ours */
	struct remote_allow remote_allow;
	struct local_allow local_allow;
	uint32_t calculated_count;
	struct calculated_remote *calculated;
	uint32_t preferred_count;
	struct prefix *preferred;

	uint64_t punch_delay_ns; /* punchy.delay */
	bool punch_respond;      /* punchy.respond */
	uint64_t respond_delay_ns;
};

#endif
