/*
 * names.h - hosts that are known by a DNS name (PROTOCOL.md 6.7). A part of the node: it decides
 * what is looked up when, and what an answer means; outside->resolve() does the looking up.
 *
 * A name RESTS until its time has come, WAITS while LOOKUPS_MAX others are ASKED, and is ASKED
 * until an answer comes or static_map.lookup_timeout has passed. What was found takes the place of
 * what the name stood for before; a name that does not exist, or has no address, stands for
 * nothing. While there is no answer, or one that makes no sense, the old addresses stay: a DNS
 * server that is down takes nothing from a node that runs; and where one family only is answered,
 * as by servers that drop queries for AAAA, those of the other. A name that never had an address is
 * asked again soon, and a lighthouse that is found is called at once, so that a node may start
 * before its DNS.
 *
 * Each change of state is one line of the log: found, changed, failed, found again.
 */
#ifndef M57_NAMES_H
#define M57_NAMES_H

#include "limits.h"
#include "outside.h"
#include "peers/name_options.h"
#include "peers/timers.h"

struct node;

enum name_state { NAME_RESTS, NAME_WAITS, NAME_ASKED };

struct name {
	char *text; /* owned */
	uint16_t port;
	struct addr host;
	enum name_state state;
	uint64_t due_ns;     /* RESTS: its next turn; ASKED: its end */
	uint64_t retry_ns;   /* the last pause of a name that was never found */
	bool was_found;      /* since it is known to us */
	const char *trouble; /* what the log was told last; NULL: all is well */
	uint32_t count;
	struct endpoint found[NAME_ADDRS_MAX];
};

struct names {
	uint64_t cadence_ns, timeout_ns;
	enum name_network network;
	uint32_t first_id; /* of list[0]; answers to those of an earlier list are recognised */
	uint32_t count, asked;
	struct name *list; /* owned */
	struct timer timer;
};

/* Begins: every name is due at once. Its hosts become static. 0 or -ENOMEM. */
int names_init(struct node *node, const struct name_options *options);
void names_release(struct node *node);

/*
 * The names are these from now on (copied), for a reload. A name that was there before with the
 * same port and host keeps what it has found; what the others have found goes. All are looked up at
 * once. Hosts that had names only are not static any more unless static_hosts says so: that is the
 * caller's to set before. 0, or -ENOMEM and nothing has changed.
 */
int names_reconfigure(struct node *node, const struct name_options *options);

/* What the names of advertise_addrs stand for, the first address of each; at most `most`. */
uint32_t names_advertised(const struct node *node, struct endpoint *list, uint32_t most);

#endif
