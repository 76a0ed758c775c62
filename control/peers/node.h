/*
 * node.h - the deciding part of the control plane: one node, as event + state + now -> actions.
 *
 * The control loop turns punts (message.h) into the calls below and fires node_tick(); the node
 * acts through struct outside and on the hostmap. It never blocks, reads a clock or makes a system
 * call itself. One thread.
 *
 * Which call for which punt:
 *	PUNT_HANDSHAKE     node_on_handshake	PUNT_ROAM	   node_on_roam
 *	PUNT_RECV_ERROR    node_on_recv_error	PUNT_CONFIRMED	   node_on_confirmed
 *	PUNT_OPENED	   node_on_opened	PUNT_COUNTER	   node_on_counter
 *	PUNT_WAITING	   node_on_waiting	PUNT_RESUME_AGAIN  node_on_resume_again
 *	PUNT_ACTIVE	   node_on_active	PUNT_WANTED	   node_on_wanted
 *
 * After each batch of calls: arm a timer for node_next_deadline(), and hand the hostmap's garbage
 * to the reaper (hostmap_garbage_take).
 */
#ifndef M57_NODE_H
#define M57_NODE_H

#include "aead.h"
#include "hostmap.h"
#include "identity/pki.h"
#include "outside.h"
#include "peers/lighthouse_options.h"
#include "peers/relay_options.h"
#include "snapshot.h"

struct node;

/* One entry of static_host_map. */
struct node_static_host {
	struct addr addr;      /* overlay */
	uint32_t remote_count; /* at most STATIC_REMOTES_MAX */
	struct endpoint remotes[STATIC_REMOTES_MAX];
};

struct node_options {
	enum aead_cipher cipher;
	uint32_t queues;          /* workers that tunnels are shared out to, 1..QUEUES_MAX */
	uint32_t workers;         /* all: one more where sparse flows have their own */
	bool udp_v6;              /* sockets are AF_INET6: IPv4 remotes are mapped */
	uint64_t try_interval_ns; /* handshakes.try_interval */
	uint32_t retries;         /* handshakes.retries */
	enum recv_error_policy accept_recv_error;    /* listen.accept_recv_error */
	bool disconnect_invalid;                     /* pki.disconnect_invalid */
	uint64_t alive_interval_ns;                  /* timers.connection_alive_interval; 0: 5 s */
	uint64_t deletion_interval_ns;               /* timers.pending_deletion_interval; 0: 10 s */
	bool drop_inactive;                          /* tunnels.drop_inactive */
	uint64_t inactivity_ns;                      /* tunnels.inactivity_timeout */
	uint32_t try_promote;                        /* counters.try_promote; 0: never */
	uint32_t requery_every;                      /* counters.requery_every_packets; 0: never */
	uint64_t requery_wait_ns;                    /* timers.requery_wait_duration */
	bool punch;                                  /* punchy.punch */
	bool punch_all;                              /* punchy.target_all_remotes */
	const struct node_static_host *static_hosts; /* copied */
	size_t static_host_count;
	/* its arrays are borrowed; they and pki outlive the node, or its next reconfiguration */
	struct lighthouse_options lighthouse;
	struct relay_options relay;
	struct name_options names; /* copied */
	uint16_t udp_port;         /* of our sockets: what lighthouses are told */
	/* The addresses of this machine, at most `most`; returns how many. May be NULL: none. */
	size_t (*local_addrs)(void *context, struct local_addr *list, size_t most);
	void *local_context;
	/*
	 * The peer's bits for every rule of the published snapshot, in one malloc'ed block or more
	 * that tunnel_free() knows how to free; NULL: no memory. ca is the peer's issuer. May be
	 * NULL itself: tunnels then have no rules (simulator).
	 */
	struct peer_rules *(*rules_for_peer)(void *context, const struct cert *peer,
					     const struct cert *ca);
	void *rules_context;
};

/*
 * pki (complete and checked) is borrowed until node_reconfigure(); map and outside are borrowed and
 * outlive the node. NULL: no memory.
 */
struct node *node_create(const struct node_options *options, const struct pki *pki,
			 struct hostmap *map, const struct outside *outside);

/*
 * A reload, in this order (reconfigure.c has the reasons):
 *
 * 1. node_rules_prepare() gives every tunnel the bits of the rules of version, by
 *    next->rules_for_peer, beside those in use. No worker may still hold a snapshot older than the
 *    one published last. -ENOMEM: nothing has changed. Skipped when the rules keep their version.
 * 2. The caller publishes the snapshot of version, or node_rules_discard() takes them back.
 * 3. node_rules_retire() defers the bits of the version before.
 * 4. node_reconfigure() takes up next and pki, borrowed as by node_create(); the ones before are
 *    not referred to any more when it returns. What a reload cannot change (keys.def) is passed
 *    over in next. pki must be one that pki_check_reload() lets through.
 */
int node_rules_prepare(struct node *node, const struct node_options *next, const struct pki *pki,
		       uint16_t version);
void node_rules_discard(struct node *node, uint16_t version);
void node_rules_retire(struct node *node, uint16_t version);
void node_reconfigure(struct node *node, const struct node_options *next, const struct pki *pki);

/* Takes every tunnel and index out of the hostmap (deferred frees: reap them afterwards) and drops
 * what waits. Sends nothing: see node_shutdown(). NULL is allowed. */
void node_destroy(struct node *node);

/*
 * A handshake datagram, header included, as it came from source at worker queue. Here and below:
 * via is our index of the relay through which it came, and then source means nothing; 0: directly.
 */
void node_on_handshake(struct node *node, uint32_t queue, const struct endpoint *source,
		       uint32_t via, const uint8_t *bytes, size_t length);
/* A recv_error datagram. */
void node_on_recv_error(struct node *node, const struct endpoint *source, const uint8_t *bytes,
			size_t length);
/* An authenticated message of tunnel that is no inner packet; bytes is its plaintext. */
void node_on_opened(struct node *node, uint32_t queue, struct tunnel_id tunnel,
		    const struct endpoint *source, uint32_t via, enum wire_type wire,
		    const uint8_t *bytes, size_t length);
/* A run for overlay next hop host, which had no tunnel or has runs before it that still wait. */
void node_on_waiting(struct node *node, uint32_t queue, const struct addr *host,
		     const struct waiting_run *run);
/* Flows would go to the gateway host, which has no tunnel; nothing waits for it. */
void node_on_wanted(struct node *node, uint32_t queue, const struct addr *host);
/* ORDER_RESUME_END came too early on that worker. */
void node_on_resume_again(struct node *node, uint32_t queue, const struct addr *host);
/* An authenticated packet of tunnel came from source. Clears TUNNEL_EVENT_ROAM. */
void node_on_roam(struct node *node, struct tunnel_id tunnel, const struct endpoint *source);
/* The first authenticated packet of an unconfirmed tunnel. Clears TUNNEL_EVENT_CONFIRMED. A zero
 * source says nothing: it came through the relay via, or shows no open path. */
void node_on_confirmed(struct node *node, struct tunnel_id tunnel, const struct endpoint *source,
		       uint32_t via);
/* Traffic leaves on a tunnel whose watched was 0. */
void node_on_active(struct node *node, struct tunnel_id tunnel);
/* The send counter has reached value. Clears TUNNEL_EVENT_COUNTER. */
void node_on_counter(struct node *node, struct tunnel_id tunnel, uint64_t value);

/* A look-up that outside->resolve() began has ended. */
void node_on_name(struct node *node, uint32_t id, const struct name_answer *answer);

/* An address of this machine has come or gone: peers and lighthouses are told at once. */
void node_on_local_addrs(struct node *node);

/* Does what is due. Cheap when nothing is. */
void node_tick(struct node *node);
/* Monotonic time of the next thing due; UINT64_MAX: nothing. */
uint64_t node_next_deadline(const struct node *node);

/* Sends CloseTunnel on every tunnel and begins nothing new. The tunnels stay published, so that the
 * workers can carry the orders out; node_destroy() takes them away. */
void node_shutdown(struct node *node);

/* Tunnels of every state, closing ones included; handshakes that we began. */
size_t node_tunnel_count(const struct node *node);
size_t node_pending_count(const struct node *node);

#endif
