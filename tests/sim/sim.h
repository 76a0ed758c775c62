/*
 * sim.h - whole nodes in one process, over a fake network, on a fake clock.
 *
 * Each node is the product's control (peers/node.h) with the real hostmap, certificates, AEAD and
 * replay window; only the workers' loop is played here (sim_worker.c), packet by packet. Between a
 * node's workers and its control lie queues with a delay, as in the product. Everything random
 * comes from one seed, which is printed: M57_SEED=n runs a case again, M57_SEEDS=n runs n seeds of
 * each.
 */
#ifndef M57_SIM_H
#define M57_SIM_H

#include <criterion/criterion.h>
#include <stdio.h>

#include "handshake_queue.h"
#include "identity/pki.h"
#include "message.h"
#include "peers/node.h"

#define SIM_MS     1000000ull
#define SIM_S      (1000 * SIM_MS)
#define SIM_NODES  12
#define SIM_WALL_S 1800000000ull /* unix time at the start */

struct sim;

#define SIM_NAMES 64

/* What the fake DNS says about a name; one that is not there is never answered. */
struct sim_name {
	const char *text;
	bool silent;
	uint64_t delay_ns;
	enum name_outcome outcome;
	bool one_family; /* only `told` was answered */
	enum name_network told;
	uint32_t count;
	struct addr addrs[64];
};

/* What one node has got from its tun, or would have written to it. */
struct sim_received {
	uint32_t from; /* id of the sending node */
	uint64_t number;
};

/* What a NAT lets in, and whether it has one outside port or one for each destination. */
enum sim_nat_kind {
	NAT_NONE,
	NAT_FULL_CONE,       /* one port, open to everybody */
	NAT_RESTRICTED,      /* one port, open to the addresses that were sent to */
	NAT_PORT_RESTRICTED, /* one port, open to the endpoints that were sent to */
	NAT_SYMMETRIC,       /* a port for each endpoint that was sent to, open to that one alone */
};

#define SIM_FLOWS 64

/* Somebody that the node behind the NAT has sent to. */
struct sim_flow {
	struct endpoint to;
	uint16_t port; /* outside */
	uint64_t used_ns;
};

struct sim_nat {
	enum sim_nat_kind kind;
	struct endpoint outside; /* of the newest flow */
	uint64_t timeout_ns;     /* a flow ends that is not used for so long; 0: never */
	uint16_t next_port;
	uint32_t flow_count;
	struct sim_flow flows[SIM_FLOWS];
};

/* A control to whom each handshake costs time, behind workers whose pools are bounded (sim_slow.c).
 */
struct sim_slow {
	uint64_t handshake_ns;
	struct source_shares shares[4]; /* by queue */
	struct handshake_queue queue;
	bool busy;
	uint64_t done; /* handshake packets worked on */
};

struct sim_node {
	struct sim *sim;
	uint32_t id; /* overlay 10.42.0.<id>, underlay 192.0.2.<id>:4242 */
	struct addr addr;
	struct endpoint endpoint;
	struct node_options options;
	struct node_static_host static_hosts[SIM_NODES];
	struct addr lighthouses[SIM_NODES];
	struct addr relays[SIM_NODES];
	uint64_t forwarded; /* relay frames */
	struct sim_nat nat;
	struct pki pki;
	struct outside outside;
	struct hostmap *map;
	struct node *node;                      /* NULL: not running */
	uint32_t tunnel_slots, tunnels_refused; /* in use now; by the bound on them */
	uint32_t life; /* how often it was started: messages of an earlier life are lost */
	uint64_t waiting_sent[4], waiting_taken[4]; /* by queue */
	uint64_t to_control_ns[4], to_worker_ns[4]; /* of the last message: the queues keep order */
	uint64_t drops[DROPS], stats[STATS];
	uint32_t lookups[SIM_NAMES];     /* begun or ended, by id modulo SIM_NAMES */
	enum name_network asked_network; /* of the last look-up */
	uint64_t asked_timeout_ns;
	uint64_t log_lines[4]; /* by level */
	const char *watched;   /* a message of the log; NULL: none */
	uint64_t watched_lines;
	char watched_text[512]; /* the last of these, with its fields */
	struct sim_slow *slow;  /* NULL: handshakes cost nothing; set by sim_slow_begin() */
	struct sim_received *received;
	size_t received_count, received_capacity;
	uint32_t recv_errors_sent;
	uint32_t index_repeats; /* so many indexes are drawn that are all the same */
	bool mute_recv_error;
	/* As 1.6.1: a tunnel goes where its stage 1 came from, or a test request comes from. */
	bool stock;
	int64_t wall_offset_ns;           /* of this node's wall clock */
	uint64_t wakes;                   /* deadlines that came */
	uint32_t cert_ids;                /* bit i: overlay 10.42.0.<i> stands in its certificate */
	uint32_t cut;                     /* bit i: nothing passes between it and nodes[i] */
	uint64_t heard_ns[SIM_NODES + 1]; /* by id: when a packet of that node came last */
};

/* How the network behaves; per mille and ns. */
struct sim_weather {
	uint32_t loss, duplicate;
	uint64_t delay_min_ns, delay_max_ns;
};

/* A datagram that was sent. */
struct sim_datagram {
	uint64_t at_ns;
	struct endpoint from, to;
	uint32_t length;
	uint8_t *bytes;
};

struct sim_event;

/* Numbers of 64 bits that are as good as random; 0 is not one. */
struct sim_set {
	uint64_t *slots;
	size_t mask, count;
};

#define SIM_KEPT       32
#define SIM_KEPT_BYTES 512

struct sim_kept {
	struct endpoint from, to; /* as the sender said them: before its NAT */
	uint32_t length;
	uint8_t bytes[SIM_KEPT_BYTES];
};

struct sim {
	uint64_t seed, random;
	uint64_t now_ns;
	int64_t wall_offset_ns;
	struct sim_weather weather;
	struct sim_node nodes[SIM_NODES];
	uint32_t node_count;
	uint32_t check_every, unchecked; /* events between looks at all tunnels; 0: after each */
	uint32_t tunnels_max;            /* of each node; 0: TUNNELS_MAX */
	bool frees_at_once;              /* nodes have no memory to put it off */
	uint32_t publish_fails;          /* no memory to show this relay entry, from 1 */
	bool late_answers;               /* look-ups that were cancelled are answered, too */
	uint32_t name_count;
	struct sim_name names[SIM_NAMES];
	struct sim_event **events; /* heap */
	size_t event_count, event_capacity;
	uint64_t sequence;
	struct sim_datagram *sent; /* every datagram, kept while recording */
	size_t sent_count, sent_capacity;
	bool recording;
	bool verbose;           /* M57_VERBOSE=1: log lines */
	struct endpoint cut[2]; /* datagrams between these are lost */
	bool cut_one_way;       /* only those from the first to the second */
	uint32_t moves;         /* addresses given out by sim_move() */
	struct sim_set nonces;  /* every (key, counter) that was sealed with */
	struct sim_set packets; /* every inner packet that has come */
	bool once;              /* packet numbers are unique: none may come twice */
	uint64_t digest;        /* of every datagram that was sent, and when */
	uint32_t kept_count;    /* the last datagrams, for those who replay them */
	struct sim_kept kept[SIM_KEPT];
};

/* --- the world --- */

void sim_start(struct sim *sim, uint64_t seed);
void sim_end(struct sim *sim);
uint64_t sim_random(struct sim *sim, uint64_t below);
/* Runs everything that happens within duration. */
void sim_run(struct sim *sim, uint64_t duration_ns);
/* Puts a datagram of a stranger, or of nobody, on the network. Arrives in delay_ns exactly. */
void sim_inject(struct sim *sim, const struct endpoint *from, const struct endpoint *to,
		const uint8_t *bytes, size_t length, uint64_t delay_ns);
struct endpoint sim_endpoint(uint32_t host, uint16_t port);
/* The n-th recorded datagram from one to the other (NULL: any) of this type, or NULL. */
struct sim_datagram *sim_find(struct sim *sim, const struct endpoint *from,
			      const struct endpoint *to, enum wire_type type, uint64_t counter,
			      size_t n);
/* Forgets what was recorded so far. */
void sim_forget(struct sim *sim);
size_t sim_count(struct sim *sim, const struct endpoint *from, const struct endpoint *to,
		 enum wire_type type, uint64_t counter);

/* --- nodes --- */

struct sim_identity {
	uint32_t cert_id;  /* 0: the node's id */
	uint32_t key_id;   /* whose static key; 0: the node's own */
	uint32_t also[3];  /* further addresses, by number; 0: none */
	int64_t not_after; /* 0: far away */
	bool foreign_ca;
};

/* Adds node 10.42.0.<id>, id from 1 in order of calls; not started. */
struct sim_node *sim_add(struct sim *sim);
void sim_identify(struct sim_node *node, const struct sim_identity *identity);
/* Such an identity of node's, made and not taken up; the caller frees it. */
struct pki sim_identity_of(struct sim_node *node, const struct sim_identity *identity);
/* static_host_map of node: host id is at endpoint. */
void sim_static(struct sim_node *node, uint32_t host, const struct endpoint *endpoint);
/* The lighthouse is one, and node is its client, with a static entry for it. */
void sim_client(struct sim_node *node, struct sim_node *lighthouse);
/* The relay is one, and node says that it is reached through it. */
void sim_relay(struct sim_node *node, struct sim_node *relay);
/* Puts the node into a network of its own, behind a port-restricted NAT without time-outs. */
void sim_behind_nat(struct sim_node *node);
/* The same for any kind. */
void sim_behind(struct sim_node *node, enum sim_nat_kind kind, uint64_t timeout_ns);
/* Another underlay address. told: the node sees the change, as netlink would say it. */
void sim_move(struct sim_node *node, bool told);
/* Nothing passes between the two any more, or everything again. */
void sim_cut(struct sim_node *a, struct sim_node *b, bool cut);
void sim_start_node(struct sim_node *node);
/* From now on each handshake packet costs node's control so long, and its workers' pools are
 * bounded.
 */
void sim_slow_begin(struct sim_node *node, uint64_t handshake_ns);
void sim_slow_end(struct sim_node *node);
/* The process is gone, without a word. */
void sim_kill_node(struct sim_node *node);
/* The node's tun hands a packet for host to its worker queue. */
void sim_send(struct sim_node *node, uint32_t queue, uint32_t host, uint64_t number);
/* A message as if it had come through the peer's tunnel with node, from peer. */
void sim_opened(struct sim_node *node, struct sim_node *peer, enum wire_type wire,
		const uint8_t *bytes, size_t length);
/* How many packets of from have come, and are they in order? */
size_t sim_got(const struct sim_node *node, uint32_t from);
bool sim_got_number(const struct sim_node *node, uint32_t from, uint64_t number);
bool sim_in_order(const struct sim_node *node, uint32_t from);
/* The primary tunnel that node's workers see for host, or NULL. */
struct tunnel *sim_primary(struct sim_node *node, uint32_t host);

/* --- invariants, sim_check.c --- */

/* What must hold between any two events; called behind each of them. */
void sim_check(struct sim_node *node);
/* Is no handshake under way, and no tunnel unproved? */
bool sim_node_rests(const struct sim_node *node);
/* What must hold when nothing has been asked of the node for a while. */
void sim_check_rest(struct sim_node *node);
/* Fails the case, and says how to run it again. */
#define SIM_ASSERT(sim, holds, ...)                                                                \
	do {                                                                                       \
		if (!(holds))                                                                      \
			sim_fail(sim, __FILE__, __LINE__, __VA_ARGS__);                            \
	} while (0)
void sim_fail(const struct sim *sim, const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* Enters value; false: it was there. */
bool sim_set_add(struct sim_set *set, uint64_t value);

/* --- NAT, sim_nat.c --- */

/* The sender behind a NAT as the world sees it; to may answer from now on. */
struct endpoint sim_nat_out(struct sim_node *node, const struct endpoint *to);
/* Does the NAT let a datagram to its outside in? */
bool sim_nat_in(struct sim_node *node, const struct endpoint *from, const struct endpoint *to);

/* --- for sim_node.c, sim_worker.c and sim.c --- */

#define SIM_QUEUES     2
#define SIM_HOP_MAX_NS 200000 /* worker to control, and back */

/* The overlay address of node id. */
struct addr sim_overlay(uint32_t id);

enum sim_event_type { SIM_DATAGRAM, SIM_PUNT, SIM_ORDER, SIM_NAME, SIM_SLOW };

struct sim_event {
	uint64_t at_ns, sequence;
	enum sim_event_type type;
	struct sim_node *node; /* PUNT, ORDER; DATAGRAM: who sent it, or NULL */
	uint32_t life, queue;
	struct endpoint from, to;
	struct punt *punt;
	struct order *order;
	const struct sim_name *name;
	uint32_t name_id, lookup;
	uint32_t length;
	uint8_t bytes[];
};

void sim_schedule(struct sim *sim, struct sim_event *event);
void sim_transmit(struct sim *sim, const struct endpoint *from, const struct endpoint *to,
		  const uint8_t *bytes, size_t length);
void sim_node_datagram(struct sim_node *node, const struct endpoint *from, const uint8_t *bytes,
		       uint32_t length);
void sim_node_punt(struct sim_node *node, struct punt *punt);
void sim_node_name(struct sim_node *node, const struct sim_event *event);
/* Worker: is there room for a handshake? Then punt is counted. */
bool sim_slow_admit(struct sim_node *node, const struct endpoint *from, struct punt *punt);
/* Control: takes over a handshake. */
void sim_slow_put(struct sim_node *node, struct punt *punt);
/* Control: has time for the next one. */
void sim_slow_turn(struct sim_node *node);
void sim_node_order(struct sim_node *node, struct order *order);
void sim_node_reap(struct sim_node *node);

/* --- less than a real node has, sim_bound.c --- */

/* The nodes of sim from now on: one simulation runs at a time. */
void sim_bound_begin(struct sim *sim);

/* --- running cases over seeds --- */

/* Runs body for M57_SEED, or for M57_SEEDS (default `seeds`) seeds; prints the seed of a failure.
 */
void sim_seeds(unsigned seeds, void (*body)(struct sim *sim));
/* Runs body for one seed: that of a bug that was mended. */
void sim_seed(uint64_t seed, void (*body)(struct sim *sim));

#endif
