/*
 * firewall.h - may this run pass? Decided once per run (PROTOCOL.md 5.1, 5.4).
 */
#ifndef M57_FIREWALL_H
#define M57_FIREWALL_H

#include "counters.h"
#include "filter/conntrack.h"
#include "tunnel.h"

/*
 * In order: the remote address belongs to the tunnel's peer, the local address to us, conntrack,
 * the rules of direction. Returns DROP_NONE (then the flow is in conntrack) or the reason, for
 * either direction FIREWALL_REMOTE_ADDR, FIREWALL_LOCAL_ADDR or FIREWALL_NO_RULE. rules is
 * the tunnel's peer_rules read under RCU, or NULL; while their version is not the snapshot's, flows
 * already tracked pass unrefreshed and new ones are dropped. Counts new and evicted flows in
 * counters.
 */
enum drop firewall_check(struct conntrack *ct, const struct snapshot *snapshot,
			 const struct tunnel *tunnel, const struct peer_rules *rules,
			 const struct flow *flow, enum direction direction, uint32_t now_s,
			 struct counters *counters);

/* The row that counts a reason of firewall_check() for packets of direction. */
enum drop firewall_drop(enum drop reason, enum direction direction);

/*
 * Do the rules of direction alone allow flow? Pure; for tests and for "why". *rule, unless rule is
 * NULL, gets the index of the first that does.
 */
bool firewall_rules_match(const struct snapshot *snapshot, const struct peer_rules *rules,
			  const struct flow *flow, enum direction direction, uint32_t *rule);

/* firewall_check() without conntrack and counters; *rule as above. Pure; for "why". */
enum drop firewall_judge(const struct snapshot *snapshot, const struct tunnel *tunnel,
			 const struct peer_rules *rules, const struct flow *flow,
			 enum direction direction, uint32_t *rule);

#endif
