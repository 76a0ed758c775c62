/*
 * rules.h - firewall rules as the workers read them (PROTOCOL.md 5.3, 5.4).
 *
 * Control compiles them from the config and publishes them inside the snapshot, read-only. What
 * depends on the peer's certificate (groups, host, CA) is decided once per tunnel and rule by
 * control and kept as bits in struct peer_rules; the worker only looks at bits and at the packet.
 */
#ifndef M57_RULES_H
#define M57_RULES_H

#include "addr.h"
#include "flow.h"

enum rule_protocol { RULE_ANY, RULE_TCP, RULE_UDP, RULE_ICMP }; /* ICMP covers 1 and 58 */
enum rule_local { RULE_LOCAL_ANY, RULE_LOCAL_OWN_NETWORKS, RULE_LOCAL_PREFIX };

struct rule {
	enum rule_protocol protocol;
	enum rule_local local_kind;
	bool any_port; /* also every ICMP rule; then the three below do not count */
	bool fragment; /* matches only fragments that are not the first */
	bool has_cidr; /* cidr is an alternative to the peer's bits */
	uint16_t port_first,
		port_last;        /* host order, inclusive; inbound: local port, outbound: remote */
	struct prefix cidr;       /* of the remote address */
	struct prefix local_cidr; /* with RULE_LOCAL_PREFIX */
	uint32_t line;            /* of the config file, for "why" */
};

struct ruleset {
	uint32_t count;
	struct rule *rules;
};

/*
 * One tunnel's identity against every rule, one bit each: word [i / 64] >> (i % 64).
 * Rule i may match iff ca bit && (peer bit || cidr holds the remote address).
 * Built by control before the tunnel (or a new snapshot) is published; freed after a grace period.
 */
struct peer_rules {
	uint32_t words;    /* of each array of one direction */
	uint16_t version;  /* of the rules it was built from */
	uint64_t *ca[2];   /* by enum direction: CA name and fingerprint fit, or the rule asks for
			      none */
	uint64_t *peer[2]; /* group(s) or host fit, or the rule asks for any */
};

#endif
