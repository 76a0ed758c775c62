/*
 * snapshot.h - everything of one configuration that workers read, as one immutable structure.
 *
 * Control builds it completely, publishes it by one pointer (rcu.h) and frees the old one after a
 * grace period. Workers fetch the pointer once per loop.
 */
#ifndef M57_SNAPSHOT_H
#define M57_SNAPSHOT_H

#include <stdbool.h>

#include "limits.h"
#include "route.h"
#include "rules.h"

/* listen.send_recv_error and accept_recv_error (PROTOCOL.md 4.6). */
enum recv_error_policy { RECV_ERROR_ALWAYS, RECV_ERROR_NEVER, RECV_ERROR_PRIVATE };

struct snapshot {
	/* who we are: from our certificate */
	uint32_t network_count;
	struct prefix networks[PEER_ADDRS_MAX]; /* own address with its length; host bits set */
	uint32_t unsafe_count;
	struct prefix unsafe_networks[PEER_PREFIXES_MAX];

	struct route_table *routes; /* to networks behind gateways; owned. NULL: none */
	bool drop_local_broadcast;
	bool drop_multicast;

	/* firewall */
	uint16_t rules_version;
	struct ruleset rules[2]; /* by enum direction */
	bool reject[2];          /* by enum direction: what is refused gets an answer */
	uint32_t tcp_timeout_s, udp_timeout_s, default_timeout_s;

	enum recv_error_policy send_recv_error;
	bool am_lighthouse; /* workers answer HostQuery (answer.c) */
};

/* Is addr in one of our own networks? */
static inline bool snapshot_in_networks(const struct snapshot *snapshot, const struct addr *addr)
{
	for (uint32_t i = 0; i < snapshot->network_count; i++)
		if (prefix_contains(&snapshot->networks[i], addr))
			return true;
	return false;
}

#endif
