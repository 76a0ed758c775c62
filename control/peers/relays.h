/*
 * relays.h - reaching hosts through a third one, being reached so, and being the one between
 * (PROTOCOL.md 7). A part of the node: state in struct node.
 *
 * An entry (struct relay) is one end of a hop: it belongs to one tunnel of ours, to the neighbour,
 * and names the host at the far end. Both ends of a hop choose an index for it; what the neighbour
 * sends us carries ours. A TERMINAL entry: we are an end, the neighbour is the relay. A FORWARDING
 * one: we are the relay, the neighbour is an end; its mate is the entry on the tunnel to the other
 * end, and frames that come on the one leave on the other.
 *
 * States, and what is legal in them:
 *   REQUESTED       we have asked, the neighbour's index is not known. Frames of the neighbour are
 *                   taken all the same: it may know of us before its answer comes.
 *   PEER_REQUESTED  forwarding: the neighbour has asked, the far end has not answered us yet.
 *   ESTABLISHED     both indexes are known: frames may be sent.
 *   DISESTABLISHED  the far end went. Its index is kept: who asks again asks with the same one.
 *
 * An entry goes with its tunnel. When the tunnel is replaced, what was used is asked for again on
 * the new one, and the old one serves until the answer comes.
 *
 * A tunnel whose peer has no direct path (tunnel->remote NULL) has a path: record->path, an entry.
 * relay_paths.c chooses it, replaces it, and tries all the time to get rid of it.
 */
#ifndef M57_RELAYS_H
#define M57_RELAYS_H

#include "hostmap.h"
#include "peers/rate.h"
#include "peers/relay_options.h"
#include "peers/relay_wire.h"
#include "peers/table.h"
#include "peers/timers.h"

struct node;
struct peer_host;
struct host_pending;
struct tunnel_record;

enum relay_type { RELAY_TERMINAL, RELAY_FORWARDING };
enum relay_state { RELAY_REQUESTED, RELAY_PEER_REQUESTED, RELAY_ESTABLISHED, RELAY_DISESTABLISHED };

struct relay {
	struct relay *next;                  /* of its tunnel, newest first */
	struct table_node by_index, by_peer; /* of struct relays */
	struct table_node by_remote;         /* while remote_index is not 0 */
	struct tunnel_record *record;        /* with the neighbour */
	struct addr peer;                    /* the far end */
	enum relay_type type;
	enum relay_state state;
	enum relay_form form;               /* of what was said about it last */
	uint32_t local_index, remote_index; /* remote: 0 while not known */
	struct tunnel_record *users;        /* tunnels whose path it is, by next_user */
	bool waits;                         /* its neighbour has asked, and not been told since */
	bool told;                          /* that it is established: so its end will be, too */
	bool wrong;                         /* another host answered this handshake through it */
	bool lost;                          /* no memory: workers do not know its index */
	struct relay_entry entry;           /* as published */
	struct relay *next_asking;          /* asked for again without a handshake's help */
	uint32_t asks;                      /* left; 0: not in that list */
	uint64_t asked_ns;
	uint64_t needed_ns; /* a frame came, or somebody asked for it: last known */
	uint64_t seen_ns;   /* the last frame that relays_was_used() has seen; 0: none */
};

struct relays {
	struct relay_options options;
	struct table by_index, by_peer, by_remote; /* struct relay */
	size_t count;
	uint64_t index_key[2]; /* what indexes are made from */
	struct rate requests;  /* of others, that we forward */
	struct relay *asking;
	struct timer retry;
};

/* 0 or -ENOMEM. */
int relays_init(struct node *node);
/* Every tunnel must have gone. */
void relays_release(struct node *node);

/*
 * New options take the place of the old ones, at any time; their array is borrowed. What the node
 * may not do any more ends, lighthouses are told of changed relays.
 */
void relays_reconfigure(struct node *node, const struct relay_options *options);

/* Is addr one of our own? */
bool relays_is_self(const struct node *node, const struct addr *addr);

/* --- entries: relays.c --- */

/* Adds an entry to record's tunnel, in the place of one of its idle ones where there are as many as
 * may be. NULL: too many, all needed; no memory. */
struct relay *relays_add(struct node *node, struct tunnel_record *record, const struct addr *peer,
			 enum relay_type type, enum relay_state state);
/* reason: for the log. */
void relays_remove(struct node *node, struct relay *relay, const char *reason);
struct relay *relays_find(const struct tunnel_record *record, const struct addr *peer);
struct relay *relays_by_index(const struct node *node, uint32_t index);
/* The entry whose neighbour, at from, chose index; or NULL. */
struct relay *relays_by_remote(const struct node *node, uint32_t index,
			       const struct endpoint *from);
void relays_set_remote(struct node *node, struct relay *relay, uint32_t remote_index);
/* Calls visit for each entry whose far end is addr; visit may remove it. */
void relays_each_of_peer(struct node *node, const struct addr *addr,
			 void (*visit)(struct node *node, struct relay *relay));
/* What workers see of the entry and of those that it may be the mate of. */
void relays_publish_pair(struct node *node, struct relay *relay);
/* Has a frame come on it since this was asked last? */
bool relays_was_used(const struct node *node, struct relay *relay);
/* Forwarding: has a frame come on it, or left by it, within RELAY_IDLE_NS? Changes nothing. */
bool relays_carries(struct node *node, const struct relay *relay);
/*
 * Forwarding: the far end has no tunnel with us any more. Its neighbour is not asked for the entry
 * in its name: nebula (1.6.1, tried) would hold its half for established from then on, and never
 * ask us for the way to a far end that comes back (PROTOCOL.md 7.5).
 */
bool relays_far_is_gone(const struct relay *relay);
/* It is needed now: for RELAY_IDLE_NS no other entry takes its place. */
void relays_touch(const struct node *node, struct relay *relay);
bool relays_record_has(const struct tunnel_record *record, const struct addr *addr);
/* May entries be on it, frames leave by it? Direct, for there is one hop only, and proven. */
bool relays_may_take(const struct tunnel_record *record); /* NULL is allowed */

/* --- setting up: relay_setup.c --- */

/* A WIRE_CONTROL message came on the tunnel. */
void relays_receive(struct node *node, struct tunnel_record *record, const uint8_t *bytes,
		    size_t length);
/* An attempt of a handshake: asks every relay of the host, sends stage 1 through those that are
 * there (7.5). */
void relays_drive(struct node *node, struct host_pending *pending);
/* A handshake with peer is over: the next one asks those again that led it to another host. */
void relays_forgive(struct node *node, const struct addr *peer);
/* Every relay of a host that is reached through one is asked, so that another is there at once. */
void relays_keep_spares(struct node *node, const struct peer_host *host);
/*
 * The entry carries frames from now on; or none any more, for reason, if it ever did. Each is said
 * once, and as often as tunnels that roam; the end of the node is no end of its entries.
 */
void relays_begin(struct node *node, struct relay *relay);
void relays_end(struct node *node, struct relay *relay, const char *reason);
/* Asks for the entry, now and a few times more until it is there. */
void relays_ask(struct node *node, struct relay *relay);
/* A recv_error names an index that may be a relay's. False: it is none. */
bool relays_on_recv_error(struct node *node, uint32_t index, const struct endpoint *source);
void relays_fire_retry(void *context, struct timer *timer);
/* Sends bytes, a whole datagram, through the entry, which is ESTABLISHED or was. */
void relays_send(struct node *node, const struct relay *relay, const uint8_t *bytes, size_t length);

/* --- using: relay_paths.c --- */

/* The tunnel, which has no direct path, goes through relay; NULL: through none. */
void relays_set_path(struct node *node, struct tunnel_record *record, struct relay *relay);
/*
 * The first packet of a peer that began the tunnel came through the relay whose entry has our index
 * via: that is where our stage 2 reached it, so the tunnel takes the same way, wherever stage 1
 * came from first.
 */
void relays_follow(struct node *node, struct tunnel_record *record, uint32_t via);
/* The entry is there, or has another index: who waits for it, or uses it, is told. */
void relays_established(struct node *node, struct relay *relay);
/* The entry goes: tunnels that go through it take another. */
void relays_path_lost(struct node *node, struct relay *relay);
/* The tunnel goes, or only (not for_good) has said that it will: what hangs on it is let go. */
void relays_tunnel_gone(struct node *node, struct tunnel_record *record, bool for_good);
/* Another tunnel of the host is primary: entries that are used move there. */
void relays_attend(struct node *node, struct peer_host *host);
/* Asks for an entry like relay on another tunnel of the same neighbour, unless there is one. */
void relays_move(struct node *node, const struct relay *relay, struct tunnel_record *to);
/* The tunnel carries traffic through a relay: looks for a direct path now and then. */
void relays_promote(struct node *node, struct tunnel_record *record, uint64_t now);
/* The tunnel does not answer. True: such a search has only just been; the next ones come later. */
bool relays_promote_failed(struct node *node, struct tunnel_record *record, uint64_t now);

#endif
