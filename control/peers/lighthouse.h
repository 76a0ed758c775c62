/*
 * lighthouse.h - finding hosts through lighthouses, and being one (PROTOCOL.md 6). A part of the
 * node: state in struct node, called by the node's other files and by what a reload changes.
 *
 * Where the cache is. What is known of a host lies in its peer_host (remotes.h), so it lives as
 * long as the host has a tunnel, a pending handshake, or a place in static_host_map, as in the
 * reference. A lighthouse's cache is therefore bounded by its tunnels, a client's by those and its
 * pending handshakes: no message can make a host that nobody asked for.
 *
 * Where queries are answered. An answer changes only when its host reports, roams or comes, and is
 * asked for a thousand times as often. So control encodes it when it changes, in both forms, with
 * the order to punch that goes to others (lighthouse_publish), and hangs it on the host's entry of
 * the hostmap; the worker that opens a query seals the answer into the next send
 * (dataplane/answer.c). Sent to control and back, a query costs two messages between rings, a
 * wake-up, two copies and an order: at 50,000 single queries/s beside a TCP transfer 35 % of a core
 * instead of 17 %, and 3 % of them lost (perf/lighthouse_bench); most of what is left is the
 * kernel's. Control answers what is not said in the plain form, and askers with several addresses.
 * Updates come to control; its pools bound what waits, so a flood of them is dropped before it can
 * hold up a worker. Each peer has a share of the pools, and a rate.
 */
#ifndef M57_LIGHTHOUSE_H
#define M57_LIGHTHOUSE_H

#include "limits.h"
#include "peers/lighthouse_options.h"
#include "peers/lighthouse_wire.h"
#include "peers/punch.h"
#include "peers/remotes.h"

struct node;
struct peer_host;
struct tunnel_record;

struct lighthouse {
	struct lighthouse_options options; /* its arrays are borrowed */
	struct remotes_order order;
	struct timer update, moved;
	uint64_t moved_ns; /* when a change of our addresses was told last; 0: never */
	struct punches punches;
	bool own_changed; /* own, as others hear of it, since they were told last */
	size_t own_count; /* addresses of this machine, as last looked at */
	struct addr own[LOCAL_ADDRS_MAX];
};

/* Begins: the first update is due at once. 0 or -ENOMEM. */
int lighthouse_init(struct node *node);

/*
 * options are these from now on; its arrays are borrowed until the next call. Lists of remotes are
 * the caller's to make anew. Reports to the lighthouses at once, for what is said or to whom may
 * have changed.
 */
void lighthouse_reconfigure(struct node *node, const struct lighthouse_options *options);

/* Is it in lighthouse.hosts? */
bool lighthouse_is(const struct node *node, const struct addr *host);

/* May a host (NULL: not known yet) be at this underlay address? */
bool lighthouse_permits(const struct node *node, const struct addr *host,
			const struct endpoint *at);
/* May the configuration's host be at this address, which DNS says? Never inside the overlay. host
 * zero: may we say that we are there? */
bool lighthouse_accepts_static(const struct node *node, const struct addr *host,
			       const struct endpoint *at);
/* The same for every overlay address of the tunnel's peer. */
bool lighthouse_permits_record(const struct node *node, const struct tunnel_record *record,
			       const struct endpoint *at);

/* A handshake with host begins: adds its calculated remotes (PROTOCOL.md 6.7). */
void lighthouse_calculate(struct node *node, struct peer_host *host);
/* Asks every lighthouse where host is, with a tunnel to be made first where there is none. */
void lighthouse_ask(struct node *node, struct peer_host *host);

/* The tunnel has proved to be alive, or its remote has changed: remembers the remote. */
void lighthouse_learn(struct node *node, const struct tunnel_record *record);
/* A new tunnel has proved to be alive. With a lighthouse: reports to it and asks what was to ask.
 */
void lighthouse_greet(struct node *node, const struct tunnel_record *record);

/* What we say of ourselves has changed: lighthouses are told now. */
void lighthouse_report(struct node *node);

/* Where we are has changed: lighthouses and peers are told in a moment. */
void lighthouse_tell_move(struct node *node);
/*
 * Something about the addresses of this machine has changed. The kernel says so for each router
 * advertisement that prolongs one, and for each link-local one of a container: told is only what
 * others may hear of.
 */
void lighthouse_local_changed(struct node *node);

/* A WIRE_LIGHTHOUSE message came on the tunnel. */
void lighthouse_receive(struct node *node, const struct tunnel_record *record, const uint8_t *bytes,
			size_t length);

/* --- shared by lighthouse.c and lighthouse_server.c --- */

/* Encoded, by the tunnel. What cannot be said in the message's form is left unsaid. */
void lighthouse_send(struct node *node, const struct tunnel_record *record,
		     const struct lighthouse_message *message);
/* The form that the peer of a tunnel surely reads: its certificate's version. */
enum lighthouse_form lighthouse_form_of(const struct tunnel_record *record);
/* Takes what owner, by the tunnel teller, reports about host, except addresses that may not be. 0
 * or -ENOMEM. */
int lighthouse_keep(struct node *node, struct peer_host *host, const struct tunnel_record *teller,
		    const struct addr *owner, const struct lighthouse_message *message);

/* lighthouse_addrs.c */
/* May teller say that the host is there? Counts what no honest one would say. */
bool lighthouse_believes(struct node *node, const struct tunnel_record *teller,
			 const struct addr *host, const struct endpoint *at);
bool lighthouse_in_own_networks(const struct node *node, const struct addr *addr);
/* Does an address of this machine mean the same to those whom we tell it? */
bool lighthouse_may_report(const struct node *node, const struct addr *addr);
/* The addresses of this machine into list, and into lighthouse.own, with own_changed; how many. */
size_t lighthouse_look_at_self(struct node *node, struct local_addr list[LOCAL_ADDRS_MAX]);
/* The message came from somebody who may not send it, or makes no sense. */
void lighthouse_refuse(struct node *node);

/*
 * lighthouse_server.c: what workers say about the host (card.h), made anew from its own words and
 * published where it differs from what they say now. Only with am_lighthouse.
 */
void lighthouse_publish(struct node *node, struct peer_host *host);
/* lighthouse_server.c; record's peer asks, or reports. Only with am_lighthouse. */
void lighthouse_on_query(struct node *node, const struct tunnel_record *record,
			 const struct lighthouse_message *message);
void lighthouse_on_update(struct node *node, const struct tunnel_record *record,
			  const struct lighthouse_message *message);

#endif
