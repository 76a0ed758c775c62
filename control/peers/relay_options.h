/* relay_options.h - relay.* of the configuration (PROTOCOL.md 7, 9.2). All zero: no relays. */
#ifndef M57_RELAY_OPTIONS_H
#define M57_RELAY_OPTIONS_H

#include <stdbool.h>

#include "addr.h"

struct relay_options {
	bool am_relay;        /* forwards for others */
	bool use_relays;      /* reaches others by their relays; off when am_relay */
	uint32_t relay_count; /* at most RELAY_HOSTS_MAX; 0 when am_relay */
	struct addr *relays;  /* through which others reach this node; borrowed */
};

#endif
