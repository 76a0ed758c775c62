/*
 * node_query.h - what an operator asks of a node, and the few things he may tell it: the node's
 * side of m57ctl (PROTOCOL.md 10.2). Views are copies, but for what they say is borrowed: valid
 * until the next call that may change the node.
 */
#ifndef M57_NODE_QUERY_H
#define M57_NODE_QUERY_H

#include "identity/cert.h"
#include "peers/node.h"

#define NODE_NEVER UINT64_MAX

/* One overlay address that the node knows something about. */
struct node_host_view {
	struct addr addr;
	bool is_static; /* in static_host_map */
	bool usable;    /* a tunnel carries its traffic */
	uint32_t tunnel_count;
	uint32_t remote_count;
	/* our handshake with it */
	bool pending;
	uint32_t attempts, attempts_max;
	uint64_t pending_age_ns;
	uint32_t pending_index; /* 0: nothing was sent yet */
	uint32_t packets_held;
};

struct node_tunnel_view {
	const char *state; /* "live", "unconfirmed", "suspect", "closing" */
	bool primary, initiator;
	uint32_t local_index, remote_index;
	bool has_remote;
	struct endpoint remote;
	bool has_path; /* without remote: it goes through a relay, via */
	struct addr via;
	uint64_t counter; /* the last one used */
	uint64_t age_ns;
	uint64_t heard_ago_ns, sent_ago_ns; /* NODE_NEVER */
	/* It does not answer, and a handshake was begun beside it: the first of the tests without
	 * an answer was sent so long ago. NODE_NEVER: it does, as far as is known. */
	uint64_t silent_ns;
	bool deaf;                    /* it is heard, and answers none of our tests */
	const struct cert *cert;      /* borrowed */
	const struct tunnel *tunnel;  /* borrowed */
	const struct tunnel *carrier; /* borrowed; to whose remote its datagrams go: itself, the one
					 with its relay, or NULL */
};

/* Why a handshake with a host came to nothing, the last time. */
struct node_failure {
	struct addr host;
	struct endpoint from; /* port 0: nobody answered */
	uint64_t at_ns;       /* monotonic; 0: an empty entry */
	char text[NODE_FAILURE_TEXT_MAX];
};

/* Calls visit for the address of each host, in no order; it must not change the node. */
void node_query_hosts(struct node *node, void (*visit)(void *context, const struct addr *addr),
		      void *context);
/* False: nothing is known of it, and *view is zero but for addr. */
bool node_query_host(struct node *node, const struct addr *addr, struct node_host_view *view);
/* Tunnel i of the host, from 0, the one that became primary last first. False: no such. */
bool node_query_tunnel(struct node *node, const struct addr *addr, uint32_t i,
		       struct node_tunnel_view *view);
/* Which of the host's tunnels carries its traffic; 0 when none does. A new one that the peer has
 * not used yet, or a copy of an old stage 1, stands before it. */
uint32_t node_query_primary(struct node *node, const struct addr *addr);
/* One relay entry (PROTOCOL.md 7). */
struct node_relay_view {
	struct addr neighbour, peer; /* who we have a tunnel with, and the far end */
	bool forwarding;             /* else we are an end, and the neighbour is the relay */
	const char *state; /* "requested", "peer requested", "established", "disestablished" */
	uint32_t local_index, remote_index; /* remote: 0, not known yet */
	/* A tunnel of ours goes through it; forwarding: a frame has come on it, or left by it,
	 * within RELAY_IDLE_NS. */
	bool in_use;
};

/* Relay entry i of all tunnels of the host. False: no such. */
bool node_query_relay(struct node *node, const struct addr *addr, uint32_t i,
		      struct node_relay_view *view);
/* Relay i of those through which the host says it is reached. False: no such. */
bool node_query_relay_of(struct node *node, const struct addr *addr, uint32_t i,
			 struct addr *relay);
/* Underlay address i of the host. blocked: another host answered there. */
bool node_query_remote(struct node *node, const struct addr *addr, uint32_t i,
		       struct endpoint *remote, bool *blocked);
/* What one owner says about where the host is; all borrowed. */
struct node_owner_view {
	bool is_dns;                    /* the host's DNS names; owner says nothing */
	struct addr owner;              /* zero: the configuration; the host itself; a lighthouse */
	const struct endpoint *learned; /* two; port 0: none */
	const struct endpoint *reported;
	const struct addr *relays;
	uint32_t reported_count, relay_count;
};

/* Owner i of what is known of the host. False: no such. */
bool node_query_owner(struct node *node, const struct addr *addr, uint32_t i,
		      struct node_owner_view *view);
/* Where the host with a certificate name is, as a lighthouse's DNS tells it. */
struct node_name_view {
	bool has_v4, has_v6;
	struct addr v4, v6; /* the first of each family */
};
/* name: lower case. False: nobody is called so. */
bool node_query_name(const struct node *node, const char *name, struct node_name_view *view);
/* Is it one of our own overlay addresses? */
bool node_query_is_own(const struct node *node, const struct addr *addr);
/* Borrowed; NULL: none is known. */
const struct node_failure *node_query_failure(const struct node *node, const struct addr *addr);
uint64_t node_query_now_ns(const struct node *node);

/*
 * Begins a handshake with addr, at remote too unless it is NULL. 0; -EEXIST: there is a tunnel;
 * -EALREADY: a handshake is under way; -ENOBUFS: too many are, or no memory.
 */
int node_order_tunnel(struct node *node, const struct addr *addr, const struct endpoint *remote);
/* The certificate that this node shows; borrowed, until the next reconfiguration. */
const struct cert *node_own_cert(const struct node *node);
/* Asks the lighthouses where addr is; their answers come later. 0, or -ENOENT: the host has neither
 * tunnel nor handshake nor a place in static_host_map, so there is nowhere to keep an answer. */
int node_order_query(struct node *node, const struct addr *addr);
/* Closes every tunnel of the host, with a word to the peer unless local_only. 0 or -ENOENT. */
int node_order_close(struct node *node, const struct addr *addr, bool local_only);
/* The host's primary tunnel sends to remote from now on. 0, -ENOENT or -ENOMEM. */
int node_order_remote(struct node *node, const struct addr *addr, const struct endpoint *remote);

#endif
