/*
 * allow_list.h - which underlay addresses may be used, and reported (PROTOCOL.md 6.8). Pure; made
 * by the configuration, immutable afterwards.
 */
#ifndef M57_ALLOW_LIST_H
#define M57_ALLOW_LIST_H

#include "addr.h"
#include "limits.h"
#include "peers/interface_rule.h"

struct allow_rule {
	struct prefix prefix;
	bool allow;
};

struct allow_list {
	uint32_t count;
	struct allow_rule *rules;        /* longest prefix first */
	bool otherwise_v4, otherwise_v6; /* what no rule matches */
};

/*
 * Sorts the rules and finds the value of what no rule matches: allowed when the family has no rule,
 * the opposite of its rules when they agree. Of rules with the same prefix the last one counts.
 * 0; -EINVAL when a family's rules differ and none is for all of it, *v4 says which family.
 */
int allow_list_finish(struct allow_list *list, bool *v4);

/* list NULL: everything. */
bool allow_list_permits(const struct allow_list *list, const struct addr *addr);

/* lighthouse.remote_allow_list and remote_allow_ranges together. */
struct remote_allow {
	const struct allow_list *all; /* NULL: everything */
	uint32_t range_count;
	struct remote_allow_range {
		struct prefix vpn;
		const struct allow_list *list;
	} * ranges; /* longest first */
};

/* Longest ranges first. */
void remote_allow_finish(struct remote_allow *allow);

/* May the host at overlay address vpn (NULL: not known yet) be at addr? Both lists must permit. */
bool remote_allow_permits(const struct remote_allow *allow, const struct addr *vpn,
			  const struct addr *addr);

/* lighthouse.local_allow_list. */
struct local_allow {
	const struct allow_list *addrs; /* NULL: everything */
	uint32_t interface_count;
	struct interface_rule **interfaces;
	bool interface_allow; /* the value of all of them; others have the opposite */
};

/*
 * May addr, of the interface of that name, be reported? Both parts must permit. False too when a
 * rule cannot be tried: what is hidden must stay so.
 */
bool local_allow_permits(const struct local_allow *allow, const char *interface,
			 const struct addr *addr);

#endif
