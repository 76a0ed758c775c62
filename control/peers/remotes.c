/* remotes.c - see remotes.h. */
#include "peers/remotes.h"

#include <errno.h>
#include <stdlib.h>

#define CONFIGURED_MAX REMOTES_MAX /* static and calculated ones of one host */

static const struct addr configuration;               /* the owner "me" */
const struct addr remotes_names = {{0xff, [15] = 1}}; /* multicast: no certificate has it */

struct remotes *remotes_create(const struct remotes_order *order)
{
	struct remotes *remotes = calloc(1, sizeof(*remotes));

	if (!remotes)
		return NULL;
	remotes->order = order;
	remotes->punch_orders = RATE(PUNCH_ORDERS_PER_SECOND, PUNCH_ORDERS_BURST);
	return remotes;
}

static void clear_report(struct remotes_owner *owner)
{
	free(owner->entries);
	free(owner->relays);
	owner->entries = NULL;
	owner->relays = NULL;
	owner->v4_count = owner->v6_count = owner->relay_count = 0;
}

void remotes_free(struct remotes *remotes)
{
	struct remotes_owner *owner;

	if (!remotes)
		return;
	while ((owner = remotes->owners)) {
		remotes->owners = owner->next;
		clear_report(owner);
		free(owner);
	}
	free(remotes->blocked);
	free(remotes->list);
	free(remotes);
}

/* --- the list to try (6.9) ---------------------------------------------------------------------
 */

bool remotes_is_private(const struct addr *addr)
{
	uint32_t v4 = addr_v4(addr);

	if (!addr_is_v4(addr))
		return (addr->bytes[0] & 0xfe) == 0xfc;
	return v4 >> 24 == 10 || v4 >> 20 == 0xac1 || v4 >> 16 == 0xc0a8;
}

bool remotes_is_nowhere(const struct addr *addr)
{
	uint32_t v4 = addr_v4(addr);

	if (addr_is_v4(addr))
		return v4 >> 28 >= 14 || v4 >> 24 == 0;
	return addr_is_zero(addr) || addr->bytes[0] == 0xff;
}

bool remotes_order_prefers(const struct remotes_order *order, const struct addr *addr)
{
	for (uint32_t i = 0; order && i < order->preferred_count; i++)
		if (prefix_contains(&order->preferred[i], addr))
			return true;
	return false;
}

/* Lower is tried earlier; equal ones go by address and port. */
static unsigned rank(const struct remotes_order *order, const struct addr *addr)
{
	unsigned rank = remotes_order_prefers(order, addr) ? 0 : 4;

	if (addr_is_v4(addr))
		rank += remotes_is_private(addr) ? 2 : 1;
	return rank;
}

static bool before(const struct remotes_order *order, const struct endpoint *a,
		   const struct endpoint *b)
{
	unsigned rank_a = rank(order, &a->addr), rank_b = rank(order, &b->addr);
	int bytes = addr_compare(&a->addr, &b->addr);

	if (rank_a != rank_b)
		return rank_a < rank_b;
	return bytes != 0 ? bytes < 0 : a->port < b->port;
}

static bool is_blocked(const struct remotes *remotes, const struct endpoint *to)
{
	for (uint32_t i = 0; i < remotes->blocked_count; i++)
		if (endpoint_equal(&remotes->blocked[i], to))
			return true;
	return false;
}

static uint32_t insert(struct remotes_entry *list, uint32_t count,
		       const struct remotes_order *order, const struct endpoint *to)
{
	uint32_t at = count;

	if (count == REMOTES_MAX || to->port == 0)
		return count;
	for (uint32_t i = 0; i < count; i++)
		if (endpoint_equal(&list[i].to, to))
			return count;
	for (; at > 0 && before(order, to, &list[at - 1].to); at--)
		list[at] = list[at - 1];
	list[at] = (struct remotes_entry){.to = *to};
	return count + 1;
}

static uint32_t insert_owner(struct remotes_entry *list, uint32_t count,
			     const struct remotes_order *order, const struct remotes_owner *owner)
{
	for (unsigned family = 0; family < 2; family++)
		count = insert(list, count, order, &owner->learned[family]);
	for (uint32_t i = 0; i < owner->v4_count + owner->v6_count; i++)
		count = insert(list, count, order, &owner->entries[i]);
	return count;
}

static bool same_list(const struct remotes *remotes, const struct remotes_entry *list,
		      uint32_t count)
{
	if (count != remotes->count)
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (!endpoint_equal(&list[i].to, &remotes->list[i].to) ||
		    list[i].blocked != remotes->list[i].blocked)
			return false;
	return true;
}

/*
 * The configuration comes in first, so that no peer's words can push it out of a full list. Without
 * memory the list stays as it was.
 */
static int rebuild(struct remotes *remotes)
{
	struct remotes_entry list[REMOTES_MAX], *grown;
	uint32_t count = 0;

	for (const struct remotes_owner *owner = remotes->owners; owner; owner = owner->next)
		if (addr_is_zero(&owner->owner) || addr_equal(&owner->owner, &remotes_names))
			count = insert_owner(list, count, remotes->order, owner);
	for (const struct remotes_owner *owner = remotes->owners; owner; owner = owner->next)
		count = insert_owner(list, count, remotes->order, owner);
	for (uint32_t i = 0; i < count; i++)
		list[i].blocked = is_blocked(remotes, &list[i].to);
	if (same_list(remotes, list, count))
		return 0;
	if (count > 0) {
		grown = realloc(remotes->list, count * sizeof(*list));
		if (!grown)
			return -ENOMEM;
		memcpy(grown, list, count * sizeof(*list));
		remotes->list = grown;
	}
	remotes->count = count;
	remotes->changes++;
	return 0;
}

/* --- owners ------------------------------------------------------------------------------------
 */

static struct remotes_owner *find_owner(const struct remotes *remotes, const struct addr *owner)
{
	struct remotes_owner *at = remotes->owners;

	while (at && !addr_equal(&at->owner, owner))
		at = at->next;
	return at;
}

static struct remotes_owner *obtain_owner(struct remotes *remotes, const struct addr *owner)
{
	struct remotes_owner *found = find_owner(remotes, owner);

	if (found)
		return found;
	found = calloc(1, sizeof(*found));
	if (!found)
		return NULL;
	found->owner = *owner;
	found->next = remotes->owners;
	remotes->owners = found;
	return found;
}

const struct remotes_owner *remotes_of(const struct remotes *remotes, const struct addr *owner)
{
	return remotes ? find_owner(remotes, owner) : NULL;
}

int remotes_add(struct remotes *remotes, const struct endpoint *to)
{
	struct remotes_owner *owner = obtain_owner(remotes, &configuration);
	struct endpoint *grown;

	if (!owner)
		return -ENOMEM;
	for (uint32_t i = 0; i < owner->v4_count; i++)
		if (endpoint_equal(&owner->entries[i], to))
			return 0;
	if (owner->v4_count == CONFIGURED_MAX)
		return -ENOBUFS;
	grown = realloc(owner->entries, (owner->v4_count + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	owner->entries = grown;
	owner->entries[owner->v4_count++] = *to; /* families are not told apart here */
	return rebuild(remotes);
}

int remotes_resolved(struct remotes *remotes, const struct endpoint *list, uint32_t count)
{
	struct remotes_owner *owner = obtain_owner(remotes, &remotes_names);
	struct endpoint *entries = NULL;

	if (!owner)
		return -ENOMEM;
	if (count > REMOTES_MAX)
		count = REMOTES_MAX;
	if (count > 0) {
		entries = malloc(count * sizeof(*entries));
		if (!entries)
			return -ENOMEM;
		memcpy(entries, list, count * sizeof(*entries));
	}
	clear_report(owner);
	owner->entries = entries;
	owner->v4_count = count; /* families are not told apart here */
	return rebuild(remotes);
}

int remotes_learn(struct remotes *remotes, const struct addr *owner, const struct endpoint *to)
{
	struct remotes_owner *found = obtain_owner(remotes, owner);

	if (!found)
		return -ENOMEM;
	found->learned[!addr_is_v4(&to->addr)] = *to;
	return rebuild(remotes);
}

static uint32_t at_most(uint32_t count)
{
	return count < REPORTED_MAX ? count : REPORTED_MAX;
}

int remotes_report(struct remotes *remotes, const struct addr *owner,
		   const struct remotes_report *report)
{
	struct remotes_owner *found = obtain_owner(remotes, owner);
	uint32_t v4 = at_most(report->v4_count), v6 = at_most(report->v6_count),
		 relays = at_most(report->relay_count);

	if (!found)
		return -ENOMEM;
	if (relays != found->relay_count ||
	    (relays > 0 && memcmp(found->relays, report->relays, relays * sizeof(*found->relays))))
		remotes->changes++;
	clear_report(found);
	if (v4 + v6 > 0) {
		found->entries = malloc((v4 + v6) * sizeof(*found->entries));
		if (!found->entries)
			return -ENOMEM;
		memcpy(found->entries, report->v4, v4 * sizeof(*report->v4));
		memcpy(found->entries + v4, report->v6, v6 * sizeof(*report->v6));
		found->v4_count = v4;
		found->v6_count = v6;
	}
	if (relays > 0) {
		found->relays = malloc(relays * sizeof(*found->relays));
		if (!found->relays)
			return -ENOMEM;
		memcpy(found->relays, report->relays, relays * sizeof(*report->relays));
		found->relay_count = relays;
	}
	return rebuild(remotes);
}

void remotes_forget(struct remotes *remotes, const struct addr *owner)
{
	struct remotes_owner *found = find_owner(remotes, owner);

	if (!found)
		return;
	clear_report(found);
	memset(found->learned, 0, sizeof(found->learned));
	(void)rebuild(remotes);
}

void remotes_retain(struct remotes *remotes,
		    bool (*may)(const void *context, const struct endpoint *at),
		    const void *context)
{
	for (struct remotes_owner *owner = remotes->owners; owner; owner = owner->next) {
		uint32_t v4 = owner->v4_count, all = v4 + owner->v6_count;

		owner->v4_count = owner->v6_count = 0;
		for (uint32_t i = 0; i < all; i++) {
			if (!may(context, &owner->entries[i]))
				continue;
			owner->entries[owner->v4_count + owner->v6_count] = owner->entries[i];
			if (i < v4)
				owner->v4_count++;
			else
				owner->v6_count++;
		}
		for (unsigned family = 0; family < 2; family++)
			if (owner->learned[family].port && !may(context, &owner->learned[family]))
				owner->learned[family] = (struct endpoint){0};
	}
	(void)rebuild(remotes);
}

static uint32_t insert_relay(struct addr *list, uint32_t count, uint32_t most,
			     const struct addr *relay)
{
	uint32_t at = count;

	while (at > 0 && addr_compare(&list[at - 1], relay) >= 0)
		at--;
	if ((at < count && addr_equal(&list[at], relay)) || at == most)
		return count;
	count += count < most;
	for (uint32_t i = count - 1; i > at; i--)
		list[i] = list[i - 1];
	list[at] = *relay;
	return count;
}

uint32_t remotes_relays(const struct remotes *remotes, struct addr *relays, uint32_t most)
{
	const struct remotes_owner *owner = remotes ? remotes->owners : NULL;
	uint32_t count = 0;

	for (; owner; owner = owner->next)
		for (uint32_t i = 0; i < owner->relay_count; i++)
			count = insert_relay(relays, count, most, &owner->relays[i]);
	return count;
}

/* --- blocked addresses -------------------------------------------------------------------------
 */

int remotes_block(struct remotes *remotes, const struct endpoint *to)
{
	if (is_blocked(remotes, to))
		return 0;
	if (remotes->blocked_count == REMOTES_BLOCKED_MAX)
		return -ENOBUFS;
	if (!remotes->blocked)
		remotes->blocked = calloc(REMOTES_BLOCKED_MAX, sizeof(*remotes->blocked));
	if (!remotes->blocked)
		return -ENOBUFS;
	remotes->blocked[remotes->blocked_count++] = *to;
	for (uint32_t i = 0; i < remotes->count; i++)
		remotes->list[i].blocked |= endpoint_equal(&remotes->list[i].to, to);
	return 0;
}

void remotes_unblock(struct remotes *remotes)
{
	remotes->blocked_count = 0;
	for (uint32_t i = 0; i < remotes->count; i++)
		remotes->list[i].blocked = false;
}

bool remotes_is_preferred(const struct remotes *remotes, const struct addr *addr)
{
	return remotes_order_prefers(remotes->order, addr);
}

uint32_t remotes_usable(const struct remotes *remotes)
{
	uint32_t usable = 0;

	for (uint32_t i = 0; remotes && i < remotes->count; i++)
		usable += !remotes->list[i].blocked;
	return usable;
}
