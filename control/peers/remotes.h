/*
 * remotes.h - the underlay addresses at which a host may be: who said so, and in which order to try
 * them (PROTOCOL.md 6.7, 6.9). Private to control/peers.
 *
 * What is known is kept by owner, so that a newer word of one owner replaces its older one and
 * nobody else's: the host itself (learned from its packets, reported by its updates), each
 * lighthouse (its replies), and the configuration (static and calculated). The list to try is made
 * from all of them whenever one changes.
 *
 * Checks against allow lists and own networks are the caller's, before anything gets in here.
 */
#ifndef M57_REMOTES_H
#define M57_REMOTES_H

#include "addr.h"
#include "limits.h"
#include "peers/rate.h"

/* preferred_ranges; borrowed, outlives every list. */
struct remotes_order {
	const struct prefix *preferred;
	uint32_t preferred_count;
};

struct remotes_owner {
	struct remotes_owner *next;
	struct addr owner;           /* zero: the configuration; remotes_names: its DNS names */
	struct endpoint learned[2];  /* IPv4, IPv6; port 0: none */
	uint32_t v4_count, v6_count; /* of entries, in this order */
	uint32_t relay_count;
	struct endpoint *entries; /* owned */
	struct addr *relays;      /* owned */
};

extern const struct addr remotes_names; /* an owner that is no host */

struct remotes_entry {
	struct endpoint to;
	bool blocked; /* another host answered there (PROTOCOL.md 2.8) */
};

struct remotes {
	const struct remotes_order *order; /* may be NULL */
	struct remotes_owner *owners;
	uint32_t blocked_count;
	struct endpoint *blocked; /* REMOTES_BLOCKED_MAX, owned; NULL: none was ever blocked */
	uint64_t blocked_ns;      /* the initiator's: when another host answered last */
	uint32_t changes;         /* counts changes of list, and of relays */
	struct rate punch_orders; /* lighthouse: sent to this host */

	uint32_t count; /* at most REMOTES_MAX */
	struct remotes_entry *list;
};

/* NULL: no memory. order may be NULL. */
struct remotes *remotes_create(const struct remotes_order *order);
void remotes_free(struct remotes *remotes); /* NULL is allowed */

/* Adds an address of the configuration, unless it is there. 0, -ENOBUFS or -ENOMEM. */
int remotes_add(struct remotes *remotes, const struct endpoint *to);

/*
 * The addresses that the host's DNS names stand for: replaces those of before. At most REMOTES_MAX
 * count. 0 or -ENOMEM.
 */
int remotes_resolved(struct remotes *remotes, const struct endpoint *list, uint32_t count);

/* The host itself, owner, was heard at to: replaces what was learned of that family. 0, -ENOMEM. */
int remotes_learn(struct remotes *remotes, const struct addr *owner, const struct endpoint *to);

/* What an owner reports, all at once. At most REPORTED_MAX of each list count. */
struct remotes_report {
	const struct endpoint *v4, *v6;
	const struct addr *relays;
	uint32_t v4_count, v6_count, relay_count;
};
/* Replaces what owner reported before. 0 or -ENOMEM. */
int remotes_report(struct remotes *remotes, const struct addr *owner,
		   const struct remotes_report *report);

/* Forgets what owner (zero: the configuration) has said. */
void remotes_forget(struct remotes *remotes, const struct addr *owner);
/* Forgets every address that may not be any more; the others are put into the order of now. */
void remotes_retain(struct remotes *remotes,
		    bool (*may)(const void *context, const struct endpoint *at),
		    const void *context);

/* What owner has said, or NULL. */
const struct remotes_owner *remotes_of(const struct remotes *remotes, const struct addr *owner);

/* to is another host's; it is left out until remotes_unblock(). 0, or -ENOBUFS: too many, or no
 * memory. */
int remotes_block(struct remotes *remotes, const struct endpoint *to);
void remotes_unblock(struct remotes *remotes);

/* The host's relays as all owners say, sorted, each once: at most `most`; returns how many. remotes
 * may be NULL. */
uint32_t remotes_relays(const struct remotes *remotes, struct addr *relays, uint32_t most);

/* Is addr in preferred_ranges? */
bool remotes_order_prefers(const struct remotes_order *order, const struct addr *addr);
bool remotes_is_preferred(const struct remotes *remotes, const struct addr *addr);

/* Entries that are not blocked; remotes may be NULL. */
uint32_t remotes_usable(const struct remotes *remotes);

/* RFC 1918 and fc00::/7 (PROTOCOL.md 4.6). */
bool remotes_is_private(const struct addr *addr);
/* Multicast, broadcast, and none at all: no host is there. */
bool remotes_is_nowhere(const struct addr *addr);

#endif
