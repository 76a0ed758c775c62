/* node_state.h - the inside of struct node, shared by the files of this folder. */
#ifndef M57_NODE_STATE_H
#define M57_NODE_STATE_H

#include "addr_text.h"
#include "handshake/machine.h"
#include "peers/dns_names.h"
#include "peers/failures.h"
#include "peers/lighthouse.h"
#include "peers/names.h"
#include "peers/node.h"
#include "peers/rate.h"
#include "peers/refused.h"
#include "peers/relays.h"
#include "peers/tunnels.h"

struct node {
	struct node_options options;
	const struct pki *pki;
	const struct outside *outside;
	struct machine_self self;
	struct tunnels tunnels;
	struct table pending_by_index; /* struct host_pending */
	size_t pending_count;
	uint64_t last_time_ns; /* Time of the last handshake message we made */
	struct rate responder, initiator, log, handshake_log, tunnel_log;
	struct timer sweep;
	struct failures failures;
	struct refused refused;
	uint32_t sweep_slot; /* where the sweep goes on */
	size_t sweep_left;   /* tunnels it has not seen yet */
	struct lighthouse lighthouse;
	struct names names;
	struct dns_names dns_names; /* of a lighthouse */
	struct relays relays;
	bool shut_down;
	struct verified verified;
	uint8_t scratch[HANDSHAKE_BYTES_MAX]; /* a handshake message under construction */
	uint32_t next_queue;
};

/* What the outside says, and what it is told: monotonic ns; unix seconds; so many packets dropped
 * for reason; n more of a statistic. */
static inline uint64_t node_now_ns(const struct node *node)
{
	return node->outside->now_ns(node->outside->context);
}

static inline int64_t node_wall_s(const struct node *node)
{
	return (int64_t)(node->outside->wall_ns(node->outside->context) / 1000000000ull);
}

static inline void node_drop(const struct node *node, enum drop reason, uint64_t packets)
{
	node->outside->count_drop(node->outside->context, reason, packets);
}

static inline void node_count(const struct node *node, enum statistic which, uint64_t n)
{
	if (node->outside->count_stat)
		node->outside->count_stat(node->outside->context, which, n);
}

/* Our Time for a handshake message: never twice the same, even when the clock goes back (2.11). */
uint64_t node_handshake_time(struct node *node);

/*
 * index_allocate: a random index that steers to queue, published as pending. To the worker of
 * sparse flows labels steer, whatever the index: as its queue, any may be had. 0 and *index;
 * -EEXIST after 32 collisions, -ENOMEM.
 */
int node_index_allocate(struct node *node, uint32_t queue, uint32_t *index);
/* The same, but the index is the one next to near that steers to queue. -EEXIST: it is taken. */
int node_index_take(struct node *node, uint32_t queue, uint32_t near, uint32_t *index);

/* The queue of the next tunnel: one after the other, so that tunnels spread evenly. */
uint32_t node_next_queue(struct node *node);

/* The hosts of options.static_hosts, which is forgotten then: it is the caller's. 0 or -ENOMEM. */
int node_add_static_hosts(struct node *node);

/* The sweep of certificates begins anew, now. */
void node_sweep_now(struct node *node);
/* The sweep of certificates runs while there are tunnels, so that an idle node sleeps. */
void node_arm_sweep(struct node *node);

/* Keeps why a handshake with host failed, for node_query_failure(). from may be NULL. */
void node_note_failure(struct node *node, const struct addr *host, const struct endpoint *from,
		       const char *text, const char *detail);

/* A new handshake with the record's peer, at the address it uses now too. */
void node_rehandshake(struct node *node, struct tunnel_record *record, const char *reason);
void node_log_invalid(struct node *node, const struct tunnel_record *record, enum cert_error error);

/* May a line about something a stranger sent be written? */
bool node_may_log(struct node *node);

/*
 * The handshake of peer is refused: is a line to be written about that? The first one is, and
 * another only for another reason, from elsewhere, or after REFUSED_QUIET_NS; all within the rate
 * of strangers. *again: it was written before that time. relay: the entry through which it came;
 * NULL: from source.
 */
bool node_tell_refusal(struct node *node, const struct machine_peer *peer,
		       const struct endpoint *source, const struct relay *relay, bool *again);
/* That line. stage: of the handshake's message. */
void node_log_refusal(struct node *node, const char *message, uint64_t stage,
		      const struct machine_peer *peer, const struct endpoint *source,
		      const struct relay *relay);

/* rules_for_peer() of the options, or NULL without error when there is none. */
int node_peer_rules(const struct node *node, const struct machine_peer *peer,
		    struct peer_rules **rules);

/* --- log lines --- */

#define ORIGIN_TEXT_MAX (ENDPOINT_TEXT_MAX + 10)

#define FIELD_TEXT(k, v)   ((struct outside_field){.key = (k), .text = (v)})
#define FIELD_NUMBER(k, v) ((struct outside_field){.key = (k), .number = (v)})
#define NODE_LOG(node, level, message, ...)                                                        \
	do {                                                                                       \
		const struct outside_field fields_[] = {__VA_ARGS__};                              \
		(node)->outside->log((node)->outside->context, level, message, fields_,            \
				     sizeof(fields_) / sizeof(fields_[0]));                        \
	} while (0)

/* Answers to where a datagram came from: through relay, or to source when it is NULL. */
void node_send_back(struct node *node, const struct endpoint *source, const struct relay *relay,
		    const uint8_t *bytes, size_t length);
/* Where it came from: an underlay address, or "relay [a]". */
const char *node_origin_text(const struct endpoint *source, const struct relay *relay,
			     char text[ORIGIN_TEXT_MAX]);

/* A peer's certificate as text, for FIELD_TEXT. */
struct peer_text {
	char addrs[PEER_ADDRS_MAX * ADDR_TEXT_MAX + 3];
	char fingerprint[CERT_FINGERPRINT_HEX_MAX];
	char issuer[CERT_FINGERPRINT_HEX_MAX];
};
void node_peer_text(const struct cert *cert, struct peer_text *text);
const char *node_host_text(const struct addr *addr, char text[ADDR_TEXT_MAX + 2]); /* "[a]" */

/* --- responder.c --- */

/* relay: the entry through which it came; NULL: from source. */
void responder_receive(struct node *node, uint32_t queue, const struct endpoint *source,
		       struct relay *relay, const uint8_t *bytes, size_t length);

/* --- initiator.c --- */

/*
 * Begins a handshake with host unless one is pending; one that nothing waits for begins anew. NULL:
 * too many, no memory, shut down.
 */
struct host_pending *initiator_begin(struct node *node, struct peer_host *host, uint32_t queue);
/* The same because a lighthouse says that the host calls us: asks nobody where it is (punch.h). */
void initiator_respond(struct node *node, struct peer_host *host);
/* Runs are held in pending that could go to another gateway: whoever has a tunnel first takes them.
 */
void initiator_share(struct node *node, struct host_pending *pending);
/* The host's list of remotes, made when absent. NULL: no memory. */
struct remotes *initiator_remotes(struct node *node, struct peer_host *host);
/* The host is at remote, as the configuration says. */
void initiator_add_remote(struct node *node, struct peer_host *host, const struct endpoint *remote);
/* The host was last seen at remote. */
void initiator_learn(struct node *node, struct peer_host *host, const struct endpoint *remote);
/* New remotes are known: sends stage 1 at once, without using up an attempt (trap 26). */
void initiator_poke(struct node *node, struct host_pending *pending);
/* The same through one relay, whose entry has just been granted. */
void initiator_send_through(struct node *node, struct host_pending *pending, struct relay *relay);
/* A tunnel of host carries traffic: nothing waits for the handshake any more. */
void initiator_quiet(struct node *node, struct peer_host *host);
/* A stage 1 of the host's that was too old came from there: a handshake of ours, if one is needed,
 * is sent there too. */
void initiator_call_back(struct node *node, struct peer_host *host, const struct endpoint *from);
/* Traffic hangs on it from now on: begins it anew if its next attempt is far. It may be freed. */
void initiator_hurry(struct node *node, struct host_pending *pending);
/* Begins the handshake anew, with a stage 1 of its own; what waits goes on waiting. pending is
 * freed.
 */
void initiator_restart(struct node *node, struct host_pending *pending);
/* Ends the handshake, whose index a tunnel has taken over. host may be freed. */
void initiator_finish(struct node *node, struct host_pending *pending);
/* Ends the handshake without a tunnel; what waited is dropped. host may be freed. */
void initiator_end(struct node *node, struct host_pending *pending, enum drop reason);

/* --- initiator_answer.c --- */

/* relay: the entry through which it came; NULL: from source. */
void initiator_receive(struct node *node, const struct endpoint *source, struct relay *relay,
		       const uint8_t *bytes, size_t length);

#endif
