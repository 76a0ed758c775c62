/* allow_list.c - see allow_list.h. */
#include "peers/allow_list.h"

#include <errno.h>

static int longest_first(const struct prefix *a, const struct prefix *b)
{
	return a->bits != b->bits ? (a->bits > b->bits ? -1 : 1) : addr_compare(&a->addr, &b->addr);
}

/* Stable, so that of two equal prefixes the later rule comes later. Lists are short. */
static void sort_rules(struct allow_list *list)
{
	for (uint32_t i = 1; i < list->count; i++) {
		struct allow_rule rule = list->rules[i];
		uint32_t at = i;

		for (; at > 0 && longest_first(&rule.prefix, &list->rules[at - 1].prefix) < 0; at--)
			list->rules[at] = list->rules[at - 1];
		list->rules[at] = rule;
	}
}

static void drop_repeated(struct allow_list *list)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < list->count; i++)
		if (i + 1 == list->count ||
		    longest_first(&list->rules[i].prefix, &list->rules[i + 1].prefix) != 0)
			list->rules[kept++] = list->rules[i];
	list->count = kept;
}

/* -EINVAL: the family's rules differ and none is for all of it. */
static int family_otherwise(const struct allow_list *list, bool v4, bool *otherwise)
{
	bool seen[2] = {false, false};

	for (uint32_t i = 0; i < list->count; i++) {
		const struct allow_rule *rule = &list->rules[i];

		if (addr_is_v4(&rule->prefix.addr) != v4)
			continue;
		if (rule->prefix.bits == (v4 ? ADDR_V4_BITS : 0)) {
			*otherwise = rule->allow;
			return 0;
		}
		seen[rule->allow] = true;
	}
	*otherwise = !seen[true];
	return seen[true] && seen[false] ? -EINVAL : 0;
}

int allow_list_finish(struct allow_list *list, bool *v4)
{
	for (uint32_t i = 0; i < list->count; i++)
		list->rules[i].prefix = prefix_masked(list->rules[i].prefix);
	sort_rules(list);
	drop_repeated(list);
	*v4 = true;
	if (family_otherwise(list, true, &list->otherwise_v4) != 0)
		return -EINVAL;
	*v4 = false;
	return family_otherwise(list, false, &list->otherwise_v6);
}

bool allow_list_permits(const struct allow_list *list, const struct addr *addr)
{
	if (!list)
		return true;
	for (uint32_t i = 0; i < list->count; i++)
		if (prefix_contains(&list->rules[i].prefix, addr))
			return list->rules[i].allow;
	return addr_is_v4(addr) ? list->otherwise_v4 : list->otherwise_v6;
}

void remote_allow_finish(struct remote_allow *allow)
{
	for (uint32_t i = 1; i < allow->range_count; i++) {
		struct remote_allow_range range = allow->ranges[i];
		uint32_t at = i;

		for (; at > 0 && longest_first(&range.vpn, &allow->ranges[at - 1].vpn) < 0; at--)
			allow->ranges[at] = allow->ranges[at - 1];
		allow->ranges[at] = range;
	}
}

bool remote_allow_permits(const struct remote_allow *allow, const struct addr *vpn,
			  const struct addr *addr)
{
	for (uint32_t i = 0; vpn && i < allow->range_count; i++) {
		if (!prefix_contains(&allow->ranges[i].vpn, vpn))
			continue;
		if (!allow_list_permits(allow->ranges[i].list, addr))
			return false;
		break;
	}
	return allow_list_permits(allow->all, addr);
}

bool local_allow_permits(const struct local_allow *allow, const char *interface,
			 const struct addr *addr)
{
	int matches = 0;

	for (uint32_t i = 0; i < allow->interface_count && matches == 0; i++)
		matches = interface_rule_matches(allow->interfaces[i], interface);
	if (matches < 0 || (allow->interface_count > 0 && (matches == 1) != allow->interface_allow))
		return false;
	return allow_list_permits(allow->addrs, addr);
}
