/*
 * system_routes.c - see system_routes.h.
 *
 * What a message says, and what it does not. A route is known to the kernel by table, prefix, type
 * of service and metric. IPv6 has one route of a key, with all its next hops, and tells it whole
 * whenever it changes; only the loss of a single next hop is told as that hop alone. IPv4 may have
 * several of a key (`ip route append`), of which the first is used, and IPv6 beside one of ours
 * some that are not, a blackhole for one; which one a message is about cannot be told. Wherever
 * our copy could go wrong (a new route of a known key that replaces nothing, a removal that does
 * not name the gateways we hold, a removal where there were several) we are "unsure", and the
 * owner dumps the table anew.
 */
#include "system/system_routes.h"

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>

#include "limits.h"
#include "peers/table.h"

struct key {
	uint32_t table, metric;
	struct prefix to; /* masked */
	uint8_t tos;
};

/* A message, decoded. */
struct told {
	struct key key;
	bool v4;
	uint32_t gateway_count; /* 0: not ours */
	struct gateway gateways[GATEWAYS_MAX];
};

struct entry {
	struct table_node node;
	struct key key;
	uint32_t generation; /* of the dump in which, or since which, it was last named */
	bool several;        /* the kernel has others of this key */
	uint32_t gateway_count;
	struct gateway gateways[];
};

struct system_routes {
	unsigned index;
	uint32_t network_count;
	struct prefix networks[PEER_ADDRS_MAX];
	struct table table;
	uint32_t generation;
	uint32_t left_out;
	bool changed, unsure;
};

struct system_routes *system_routes_create(unsigned index, const struct prefix *networks,
					   uint32_t network_count)
{
	struct system_routes *routes = calloc(1, sizeof(*routes));

	if (!routes)
		return NULL;
	if (table_init(&routes->table) != 0) {
		free(routes);
		return NULL;
	}
	routes->index = index;
	for (uint32_t i = 0; i < network_count && i < PEER_ADDRS_MAX; i++)
		routes->networks[routes->network_count++] = networks[i];
	return routes;
}

/* --- decoding ----------------------------------------------------------------------------------
 */

static bool addr_of(const void *bytes, size_t length, struct addr *out)
{
	uint32_t v4;

	if (length == 4) {
		memcpy(&v4, bytes, 4);
		*out = addr_from_v4(ntohl(v4));
	} else if (length == 16) {
		memcpy(out->bytes, bytes, 16);
	}
	return length == 4 || length == 16;
}

/* One next hop: its device and the gateway in a list of attributes. */
struct hop {
	uint32_t device;
	bool has_gateway;
	struct addr gateway;
};

static int take_hop_attribute(const struct nlattr *attribute, void *data)
{
	const uint8_t *bytes = mnl_attr_get_payload(attribute);
	size_t length = mnl_attr_get_payload_len(attribute);
	struct hop *hop = data;

	switch (mnl_attr_get_type(attribute)) {
	case RTA_OIF:
		if (length == sizeof(uint32_t))
			hop->device = mnl_attr_get_u32(attribute);
		break;
	case RTA_GATEWAY:
		hop->has_gateway = addr_of(bytes, length, &hop->gateway);
		break;
	case RTA_VIA: /* of the other family: a family in host order, the address */
		if (length > sizeof(uint16_t))
			hop->has_gateway = addr_of(bytes + sizeof(uint16_t),
						   length - sizeof(uint16_t), &hop->gateway);
		break;
	}
	return MNL_CB_OK;
}

static void hop_add(const struct system_routes *routes, const struct hop *hop, uint32_t weight,
		    struct told *told)
{
	bool inside = false;

	if (hop->device != routes->index || !hop->has_gateway ||
	    told->gateway_count == GATEWAYS_MAX)
		return;
	for (uint32_t i = 0; i < routes->network_count; i++) {
		if (addr_equal(&routes->networks[i].addr, &hop->gateway))
			return; /* ourselves */
		inside |= prefix_contains(&routes->networks[i], &hop->gateway);
	}
	if (inside)
		told->gateways[told->gateway_count++] = (struct gateway){hop->gateway, weight};
}

static void hops_decode(const struct system_routes *routes, const struct nlattr *attribute,
			struct told *told)
{
	const uint8_t *at = mnl_attr_get_payload(attribute);
	size_t left = mnl_attr_get_payload_len(attribute);

	while (left >= sizeof(struct rtnexthop)) {
		struct rtnexthop next;
		struct hop hop = {0};

		memcpy(&next, at, sizeof(next));
		if (next.rtnh_len < sizeof(next) || next.rtnh_len > left)
			return;
		hop.device = (uint32_t)next.rtnh_ifindex;
		mnl_attr_parse_payload(at + sizeof(next), next.rtnh_len - sizeof(next),
				       take_hop_attribute, &hop);
		if (!(next.rtnh_flags & RTNH_F_DEAD))
			hop_add(routes, &hop, next.rtnh_hops + 1u, told);
		size_t step = RTNH_ALIGN((size_t)next.rtnh_len);
		if (step >= left)
			return;
		at += step;
		left -= step;
	}
}

struct attributes {
	const struct nlattr *destination, *hops;
	uint32_t table, metric;
	struct hop hop;
};

static int take_attribute(const struct nlattr *attribute, void *data)
{
	struct attributes *attributes = data;
	bool word = mnl_attr_get_payload_len(attribute) == sizeof(uint32_t);

	switch (mnl_attr_get_type(attribute)) {
	case RTA_DST:
		attributes->destination = attribute;
		break;
	case RTA_MULTIPATH:
		attributes->hops = attribute;
		break;
	case RTA_TABLE:
		if (word)
			attributes->table = mnl_attr_get_u32(attribute);
		break;
	case RTA_PRIORITY:
		if (word)
			attributes->metric = mnl_attr_get_u32(attribute);
		break;
	default:
		take_hop_attribute(attribute, &attributes->hop);
	}
	return MNL_CB_OK;
}

static bool destination_decode(const struct rtmsg *info, const struct nlattr *attribute,
			       struct prefix *to)
{
	size_t bytes = info->rtm_family == AF_INET ? 4 : 16;

	memset(to, 0, sizeof(*to));
	if (info->rtm_family == AF_INET)
		to->addr = addr_from_v4(0);
	to->bits = (uint8_t)(info->rtm_dst_len + (bytes == 4 ? ADDR_V4_BITS : 0));
	if (info->rtm_dst_len > bytes * 8)
		return false;
	if (info->rtm_dst_len == 0)
		return true;
	if (!attribute || mnl_attr_get_payload_len(attribute) != bytes ||
	    !addr_of(mnl_attr_get_payload(attribute), bytes, &to->addr))
		return false;
	*to = prefix_masked(*to);
	return true;
}

/* False: no route that could ever be ours. */
static bool decode(const struct system_routes *routes, const struct nlmsghdr *header,
		   struct told *told)
{
	const struct rtmsg *info = mnl_nlmsg_get_payload(header);
	struct attributes attributes = {0};

	if ((header->nlmsg_type != RTM_NEWROUTE && header->nlmsg_type != RTM_DELROUTE) ||
	    header->nlmsg_len < NLMSG_LENGTH(sizeof(*info)))
		return false;
	if ((info->rtm_family != AF_INET && info->rtm_family != AF_INET6) ||
	    (info->rtm_flags & RTM_F_CLONED) || info->rtm_src_len)
		return false;
	attributes.table = info->rtm_table;
	/* mnl_attr_parse() would read to the aligned end, which a broken message may not have */
	if (mnl_attr_parse_payload(info + 1, header->nlmsg_len - NLMSG_LENGTH(sizeof(*info)),
				   take_attribute, &attributes) < 0)
		return false;
	if (attributes.table == RT_TABLE_LOCAL)
		return false;
	memset(told, 0, sizeof(*told)); /* keys are compared as bytes */
	told->v4 = info->rtm_family == AF_INET;
	told->key.table = attributes.table;
	told->key.metric = attributes.metric;
	told->key.tos = info->rtm_tos;
	if (!destination_decode(info, attributes.destination, &told->key.to))
		return false;
	if (info->rtm_type != RTN_UNICAST)
		return true; /* none of ours, but it may take the place of one: a blackhole */
	if (attributes.hops)
		hops_decode(routes, attributes.hops, told);
	else if (!(info->rtm_flags & RTNH_F_DEAD))
		hop_add(routes, &attributes.hop, 1, told);
	return true;
}

/* --- the copy ----------------------------------------------------------------------------------
 */

static uint64_t key_hash(const struct key *key)
{
	uint64_t hash = addr_hash(&key->to.addr) + key->to.bits;

	hash = (hash ^ key->table) * 0x9e3779b97f4a7c15u;
	return (hash ^ hash >> 32 ^ key->metric) * 0x9e3779b97f4a7c15u >> 16;
}

static struct entry *find(const struct system_routes *routes, const struct key *key)
{
	struct table_node *node = table_first(&routes->table, key_hash(key));

	for (; node; node = table_next(node)) {
		struct entry *entry = table_entry(node, struct entry, node);

		if (memcmp(&entry->key, key, sizeof(*key)) == 0)
			return entry;
	}
	return NULL;
}

static bool same_gateways(const struct entry *entry, const struct told *told)
{
	if (entry->gateway_count != told->gateway_count)
		return false;
	for (uint32_t i = 0; i < told->gateway_count; i++)
		if (!addr_equal(&entry->gateways[i].addr, &told->gateways[i].addr) ||
		    entry->gateways[i].weight != told->gateways[i].weight)
			return false;
	return true;
}

static void forget(struct system_routes *routes, struct entry *entry)
{
	table_remove(&routes->table, &entry->node);
	free(entry);
	routes->changed = true;
	if (routes->left_out)
		routes->unsure = true; /* there is room now */
}

static void enter(struct system_routes *routes, const struct told *told)
{
	struct entry *entry;

	if (told->gateway_count == 0)
		return;
	if (routes->table.count >= ROUTES_MAX) {
		routes->left_out++;
		return;
	}
	entry = malloc(sizeof(*entry) + told->gateway_count * sizeof(*entry->gateways));
	if (!entry) {
		routes->left_out++;
		return;
	}
	memset(entry, 0, sizeof(*entry));
	entry->key = told->key;
	entry->generation = routes->generation;
	entry->gateway_count = told->gateway_count;
	memcpy(entry->gateways, told->gateways, told->gateway_count * sizeof(*entry->gateways));
	table_add(&routes->table, &entry->node, key_hash(&told->key));
	routes->changed = true;
}

/* The kernel's route of that key is as told now. */
static void set(struct system_routes *routes, struct entry *entry, const struct told *told)
{
	if (entry && same_gateways(entry, told)) {
		entry->generation = routes->generation;
		return;
	}
	if (entry)
		forget(routes, entry);
	enter(routes, told);
}

static void take_new(struct system_routes *routes, const struct told *told, uint16_t flags)
{
	struct entry *entry = find(routes, &told->key);

	if (entry && (told->v4 || told->gateway_count == 0) && !(flags & NLM_F_REPLACE)) {
		routes->unsure = true; /* beside the one we know: before it, or behind */
		return;
	}
	if (entry && entry->several)
		routes->unsure = true;
	set(routes, entry, told);
}

static void take_dumped(struct system_routes *routes, const struct told *told)
{
	struct entry *entry = find(routes, &told->key);

	if (entry && told->v4 && entry->generation == routes->generation)
		entry->several = true; /* the first one counts */
	else
		set(routes, entry, told);
}

static void take_removal(struct system_routes *routes, const struct told *told)
{
	struct entry *entry = find(routes, &told->key);

	if (!entry)
		return;
	if (entry->several || !same_gateways(entry, told))
		routes->unsure = true;
	else
		forget(routes, entry);
}

void system_routes_message(struct system_routes *routes, const struct nlmsghdr *header, bool dumped)
{
	struct told told;

	if (!decode(routes, header, &told))
		return;
	if (header->nlmsg_type == RTM_DELROUTE)
		take_removal(routes, &told);
	else if (dumped)
		take_dumped(routes, &told);
	else
		take_new(routes, &told, header->nlmsg_flags);
}

/* --- dumps -------------------------------------------------------------------------------------
 */

void system_routes_dump_begin(struct system_routes *routes)
{
	routes->generation++;
	routes->left_out = 0;
}

/* Every entry for which doomed says so. */
static void sweep(struct system_routes *routes,
		  bool (*doomed)(const struct entry *entry, uint32_t generation, uint8_t family),
		  uint8_t family)
{
	for (size_t i = 0; i <= routes->table.mask; i++) {
		for (struct table_node *node = routes->table.buckets[i], *next; node; node = next) {
			struct entry *entry = table_entry(node, struct entry, node);

			next = node->next;
			if (doomed(entry, routes->generation, family))
				forget(routes, entry);
		}
	}
}

static bool is_outdated(const struct entry *entry, uint32_t generation, uint8_t family)
{
	return entry->generation != generation &&
	       addr_is_v4(&entry->key.to.addr) == (family == AF_INET);
}

static bool is_any(const struct entry *entry, uint32_t generation, uint8_t family)
{
	return true;
}

void system_routes_dump_end(struct system_routes *routes, uint8_t family)
{
	sweep(routes, is_outdated, family);
}

void system_routes_destroy(struct system_routes *routes)
{
	if (!routes)
		return;
	sweep(routes, is_any, AF_UNSPEC);
	table_free(&routes->table);
	free(routes);
}

/* --- what is known -----------------------------------------------------------------------------
 */

bool system_routes_changed(const struct system_routes *routes)
{
	return routes->changed;
}

void system_routes_settled(struct system_routes *routes)
{
	routes->changed = false;
}

void system_routes_unsettle(struct system_routes *routes)
{
	routes->changed = true;
}

bool system_routes_unsure(struct system_routes *routes)
{
	bool unsure = routes->unsure;

	routes->unsure = false;
	return unsure;
}

uint32_t system_routes_left_out(const struct system_routes *routes)
{
	return routes->left_out;
}

uint32_t system_routes_count(const struct system_routes *routes)
{
	return (uint32_t)routes->table.count;
}

/* The worst first: other tables before the main one, high metrics before low ones. */
static int compare(const void *a, const void *b)
{
	const struct key *x = &(*(struct entry *const *)a)->key;
	const struct key *y = &(*(struct entry *const *)b)->key;

	if (x->table != y->table && (x->table == RT_TABLE_MAIN || y->table == RT_TABLE_MAIN))
		return x->table == RT_TABLE_MAIN ? 1 : -1;
	if (x->metric != y->metric)
		return x->metric > y->metric ? -1 : 1;
	if (x->table != y->table)
		return x->table < y->table ? -1 : 1;
	return memcmp(x, y, sizeof(*x));
}

uint32_t system_routes_list(const struct system_routes *routes, struct route *list, uint32_t most,
			    bool *failed)
{
	const struct entry **sorted = calloc(routes->table.count + 1, sizeof(*sorted));
	uint32_t count = 0;

	*failed = sorted == NULL;
	if (!sorted)
		return 0;
	for (size_t i = 0; i <= routes->table.mask; i++)
		for (struct table_node *node = routes->table.buckets[i]; node; node = node->next)
			sorted[count++] = table_entry(node, struct entry, node);
	qsort(sorted, count, sizeof(*sorted), compare);
	count = count < most ? count : most;
	for (uint32_t i = 0; i < count; i++)
		list[i] = (struct route){sorted[i]->key.to, sorted[i]->gateway_count,
					 sorted[i]->gateways};
	free(sorted);
	return count;
}

bool system_routes_knows(const struct system_routes *routes, const struct prefix *to)
{
	for (size_t i = 0; i <= routes->table.mask; i++) {
		for (struct table_node *node = routes->table.buckets[i]; node; node = node->next) {
			const struct entry *entry = table_entry(node, struct entry, node);

			if (entry->key.to.bits == to->bits &&
			    addr_equal(&entry->key.to.addr, &to->addr))
				return true;
		}
	}
	return false;
}
