/*
 * firewall.c - addresses, conntrack, rules: in that order (PROTOCOL.md 5.1, 5.4).
 *
 * The order is the lesson of two advisories: a peer that sends with another peer's source must fail
 * on the address, before a tracked flow of that other peer could let it in (PROTOCOL.md 13.4).
 *
 * Exits of firewall_check: FIREWALL_REMOTE_ADDR, FIREWALL_LOCAL_ADDR, FIREWALL_NO_RULE, or NONE.
 */
#include "filter/firewall.h"

enum drop firewall_drop(enum drop reason, enum direction direction)
{
	if (direction == INBOUND)
		return reason;
	switch (reason) {
	case DROP_FIREWALL_REMOTE_ADDR:
		return DROP_FIREWALL_OUT_REMOTE_ADDR;
	case DROP_FIREWALL_LOCAL_ADDR:
		return DROP_FIREWALL_OUT_LOCAL_ADDR;
	case DROP_FIREWALL_NO_RULE:
		return DROP_FIREWALL_OUT_NO_RULE;
	default:
		return reason;
	}
}

static bool is_icmp(const struct flow *flow)
{
	return flow->protocol == IPPROTO_ICMP || flow->protocol == IPPROTO_ICMPV6;
}

/*
 * Does remote belong to the tunnel's certificate? One of its own addresses is the longest match
 * there can be, so it decides alone: outside all of our networks it is refused, even where an
 * unsafe network of the same certificate would hold it. Inlined by force: with firewall_judge() as
 * a second caller the compiler does not, and the road pays 20 % more for each run.
 */
static inline __attribute__((always_inline)) bool remote_allowed(const struct snapshot *snapshot,
								 const struct tunnel *tunnel,
								 const struct addr *remote)
{
	if (tunnel->addr_count == 1 && tunnel->prefix_count == 0)
		return addr_equal(&tunnel->addrs[0], remote);
	for (uint32_t i = 0; i < tunnel->addr_count; i++)
		if (addr_equal(&tunnel->addrs[i], remote))
			return snapshot_in_networks(snapshot, remote);
	for (uint32_t i = 0; i < tunnel->prefix_count; i++)
		if (prefix_contains(&tunnel->prefixes[i], remote))
			return true;
	return false;
}

static inline __attribute__((always_inline)) bool local_allowed(const struct snapshot *snapshot,
								const struct addr *local)
{
	for (uint32_t i = 0; i < snapshot->network_count; i++)
		if (addr_equal(&snapshot->networks[i].addr, local))
			return true;
	for (uint32_t i = 0; i < snapshot->unsafe_count; i++)
		if (prefix_contains(&snapshot->unsafe_networks[i], local))
			return true;
	return false;
}

static bool protocol_matches(const struct rule *rule, const struct flow *flow)
{
	switch (rule->protocol) {
	case RULE_ANY:
		return true;
	case RULE_TCP:
		return flow->protocol == IPPROTO_TCP;
	case RULE_UDP:
		return flow->protocol == IPPROTO_UDP;
	case RULE_ICMP:
		return is_icmp(flow);
	}
	return false;
}

/* ICMP has no ports, so only rules for any port fit it, also under `proto: any`. */
static bool port_matches(const struct rule *rule, const struct flow *flow, enum direction direction)
{
	uint16_t port = direction == INBOUND ? flow->local_port : flow->remote_port;

	if (rule->any_port)
		return true;
	if (is_icmp(flow))
		return false;
	if (flow->fragment || rule->fragment)
		return flow->fragment && rule->fragment;
	return port >= rule->port_first && port <= rule->port_last;
}

static bool local_matches(const struct snapshot *snapshot, const struct rule *rule,
			  const struct addr *local)
{
	switch (rule->local_kind) {
	case RULE_LOCAL_ANY:
		return true;
	case RULE_LOCAL_OWN_NETWORKS:
		return snapshot_in_networks(snapshot, local);
	case RULE_LOCAL_PREFIX:
		return prefix_contains(&rule->local_cidr, local);
	}
	return false;
}

static bool bit_is_set(const uint64_t *words, uint32_t i)
{
	return words[i / 64] >> (i % 64) & 1;
}

bool firewall_rules_match(const struct snapshot *snapshot, const struct peer_rules *rules,
			  const struct flow *flow, enum direction direction, uint32_t *rule)
{
	const struct ruleset *set = &snapshot->rules[direction];

	/* Bits that were compiled for other rules mean nothing. */
	if (!rules || rules->version != snapshot->rules_version)
		return false;
	for (uint32_t i = 0; i < set->count && i / 64 < rules->words; i++) {
		const struct rule *r = &set->rules[i];

		if (!bit_is_set(rules->ca[direction], i))
			continue;
		if (!bit_is_set(rules->peer[direction], i) &&
		    !(r->has_cidr && prefix_contains(&r->cidr, &flow->remote)))
			continue;
		if (protocol_matches(r, flow) && port_matches(r, flow, direction) &&
		    local_matches(snapshot, r, &flow->local)) {
			if (rule)
				*rule = i;
			return true;
		}
	}
	return false;
}

enum drop firewall_check(struct conntrack *ct, const struct snapshot *snapshot,
			 const struct tunnel *tunnel, const struct peer_rules *rules,
			 const struct flow *flow, enum direction direction, uint32_t now_s,
			 struct counters *counters)
{
	enum direction created;

	if (!remote_allowed(snapshot, tunnel, &flow->remote))
		return DROP_FIREWALL_REMOTE_ADDR;
	if (!local_allowed(snapshot, &flow->local))
		return DROP_FIREWALL_LOCAL_ADDR;

	switch (conntrack_lookup(ct, flow, snapshot, now_s, &created)) {
	case CONNTRACK_HIT:
		return DROP_NONE;
	case CONNTRACK_STALE:
		/*
		 * While control still compiles this tunnel's bits for the new rules nobody can
		 * judge. The flow was allowed a moment ago: it goes on without being refreshed.
		 */
		if (!rules || rules->version != snapshot->rules_version)
			return DROP_NONE;
		if (firewall_rules_match(snapshot, rules, flow, created, NULL)) {
			conntrack_enter(ct, flow, snapshot, now_s, created);
			return DROP_NONE;
		}
		conntrack_remove(ct, flow);
		break;
	case CONNTRACK_MISS:
		break;
	}

	if (!firewall_rules_match(snapshot, rules, flow, direction, NULL))
		return DROP_FIREWALL_NO_RULE;
	count_stat(counters, STAT_CONNTRACK_NEW, 1);
	if (conntrack_enter(ct, flow, snapshot, now_s, direction))
		count_stat(counters, STAT_CONNTRACK_EVICTED, 1);
	return DROP_NONE;
}

enum drop firewall_judge(const struct snapshot *snapshot, const struct tunnel *tunnel,
			 const struct peer_rules *rules, const struct flow *flow,
			 enum direction direction, uint32_t *rule)
{
	if (!remote_allowed(snapshot, tunnel, &flow->remote))
		return DROP_FIREWALL_REMOTE_ADDR;
	if (!local_allowed(snapshot, &flow->local))
		return DROP_FIREWALL_LOCAL_ADDR;
	return firewall_rules_match(snapshot, rules, flow, direction, rule) ? DROP_NONE
									    : DROP_FIREWALL_NO_RULE;
}
