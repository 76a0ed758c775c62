/*
 * tunnels.h - the tunnels of a node and the hosts they lead to: which one is primary for an overlay
 * address, and what of it workers see (PROTOCOL.md 2.7, 2.9 to 2.11). Private to control/peers.
 *
 * A struct tunnel is what workers know of a tunnel; a struct tunnel_record is the rest, control's
 * own. A host is one overlay address; a peer with several addresses has its tunnels in several
 * hosts.
 *
 * States of a record, and what is legal in them:
 *
 *   UNCONFIRMED: we answered a stage 1, nothing authenticated has come yet. Carries traffic only
 *   when the host has no live tunnel and no run waits for one. Has its own bound, expires, ignores
 *   recv_error, does not count for "too old", is asked by test requests.
 *
 *   LIVE: may be primary. At most TUNNELS_PER_HOST_MAX per host.
 *
 *   SUSPECT: a recv_error came. Carries no traffic of ours, still receives, ends when the new
 *   handshake does, lives again when something authenticated comes.
 *
 *   CLOSING: in no host any more; published by index until CloseTunnel has surely left.
 */
#ifndef M57_TUNNELS_H
#define M57_TUNNELS_H

#include "hostmap.h"
#include "identity/cert.h"
#include "handshake/pending.h"
#include "outside.h"
#include "peers/remotes.h"
#include "peers/table.h"
#include "peers/timers.h"

/*
 * Traffic leaves on a tunnel and nothing comes back for so long: it is asked (manager.c). With the
 * wait for the answer and one handshake, a peer that has lost its tunnels is back in 3 s.
 */
#define SILENCE_NS 800000000ull

/*
 * A test request has 1 to TEST_REQUESTS bytes of payload, all zero. A reply has as many bytes as
 * its request, by which it is known which one that was; what the bytes are 1.6.1 to 1.10.3 spoil
 * (PROTOCOL.md 1.6).
 */
#define TEST_REQUESTS 8

#define STAGE1_HASH_BYTES 32 /* SHA-256 of stage 1 without its header */

enum record_state { RECORD_UNCONFIRMED, RECORD_LIVE, RECORD_SUSPECT, RECORD_CLOSING };

struct tunnel_record;

/*
 * What the connection manager (manager.c) knows of a LIVE tunnel beside what workers write. All
 * times are monotonic ns.
 */
struct liveness {
	uint64_t due_ns;   /* next check; TIMER_NEVER: it rests */
	uint64_t since_ns; /* silence counts from here, or from the last packet if that is later */
	uint64_t checked_ns; /* not primary: the last check */
	uint64_t heard_ns;   /* control's own last_in_ns: messages it was handed */
	uint64_t test_ns;    /* of the first test request that is not answered yet; 0: none */
	uint64_t asked_ns;   /* of the last test request of such a test */
	uint64_t punch_ns;   /* no keep-alive punch before this time */
	/* Since when the peer has asked, and not answered, though it is heard; 0: it answers. */
	uint64_t unheard_ns;
	uint64_t insist_ns; /* of the next test request for that */
	bool deaf;          /* so it was for long, and no answer has come since */
	bool ask;           /* primary beside others: the next check tests it in any case */
	bool healing;       /* a handshake was begun because the tunnel does not answer */
};

/* How long peer and path take to answer, measured by test requests, whoever had them sent. */
struct round_trip {
	uint64_t requested_ns[TEST_REQUESTS]; /* by bytes - 1; 0: not sent, or answered */
	uint32_t requests;                    /* sent */
	uint32_t slow_answers;                /* so many of the last ones, in a row, took long */
	uint64_t answer_ns;                   /* one of the longest of late; 0: not known */
};

/* A record's place in one host's list. */
struct host_link {
	struct host_link *next;
	struct tunnel_record *record;
	struct peer_host *host;
};

struct peer_host {
	struct table_node node; /* in tunnels.by_addr */
	struct addr addr;
	bool is_static;                /* in static_host_map: kept without tunnels */
	struct host_link *links;       /* the one that became primary last comes first */
	struct tunnel_record *primary; /* what workers see; NULL: they punt */
	struct remotes *remotes;       /* where it may be; owned; may be NULL */
	struct host_pending *pending;  /* our handshake with it; NULL: none */
	uint64_t recv_error_free_ns;   /* before this time recv_errors start no handshake */
	uint64_t asked_until_ns;       /* lighthouses may answer node_order_query() */
	/* A stage 1 that was too old came from there. So many of ours may still go there. */
	struct endpoint called_from;
	uint32_t call_backs;
	uint64_t promote_wait_ns; /* between searches for a direct path; 0: none was made yet */
};

/* A pending handshake and its place in the node. */
struct host_pending {
	struct pending pending;
	struct timer timer;
	struct table_node by_index; /* in node.pending_by_index while stage1 exists */
	struct peer_host *host;
	uint32_t queue; /* worker that will seal control's messages */
	uint32_t pokes; /* times that new remotes had it sent beside its attempts */
	bool responds;  /* begun on a lighthouse's order, not for traffic of ours */
	/* in tunnels.sharing while set: runs wait that another gateway could take */
	bool sharing;
	struct host_pending *next_sharing;
	bool relays_first; /* its first attempts go through relays alone */
	bool quiet;        /* not needed any more: sends nothing, but an answer may still come */
};

struct tunnel_record {
	struct tunnel *tunnel;
	enum record_state state;
	uint32_t queue; /* worker that seals control's messages */
	struct cert *cert;
	uint8_t own_fingerprint[CERT_FINGERPRINT_SIZE]; /* of our certificate in the handshake */
	uint64_t peer_time; /* Time of its stage 1, unix ns; 0 on the initiator */
	struct tunnel_record *next, *previous;                 /* all records, newest first */
	struct tunnel_record *unproved_next, *unproved_before; /* UNCONFIRMED, the oldest first */
	struct table_node by_remote_index;

	/* responder: to know and answer a repeated stage 1 */
	struct table_node by_stage1;
	uint8_t stage1_hash[STAGE1_HASH_BYTES];
	bool has_stage1;
	uint8_t *stage2; /* owned; NULL once the peer is known to have it */
	size_t stage2_length;

	struct timer timer;
	uint64_t created_ns;
	uint64_t expires_ns;   /* UNCONFIRMED, SUSPECT, CLOSING: removed then */
	uint64_t suspect_ns;   /* SUSPECT: since */
	uint64_t next_test_ns; /* UNCONFIRMED; TIMER_NEVER: all are sent */
	uint64_t tests_started_ns;
	uint32_t tests_sent;

	struct liveness live;
	struct round_trip round_trip;

	/* relays (7) */
	struct relay *relays; /* entries on this tunnel, whose peer is the relay, or an end */
	uint32_t relay_count;
	uint64_t relay_requests_full_ns; /* of the peer: rate.h */
	struct tunnel_record *next_user; /* of the same path */
	struct relay *path;              /* what tunnel->path was made from; NULL: none */
	uint64_t promote_ns;             /* no search for a direct path before this time */
	uint64_t promoted_ns;            /* the last search; 0: none, or its end is known */

	/* send counters at which promote.c looked last, and when it may ask lighthouses again */
	uint64_t promote_counter, requery_counter, requery_ns;

	uint64_t test_answers_full_ns; /* to the peer: rate.h */
	uint64_t messages_full_ns;     /* of the peer, for lighthouse.c and relay_setup.c: rate.h */

	/* roaming (4.7) */
	struct endpoint roamed_from;
	uint64_t roam_quiet_ns; /* going back is ignored before this time; 0: never roamed */

	uint32_t link_count;
	struct host_link links[]; /* one per address */
};

struct tunnels {
	struct hostmap *map;
	const struct outside *outside;
	uint32_t queues;
	bool udp_v6;
	struct tunnel_record **by_slot;          /* TUNNELS_MAX */
	struct table by_addr;                    /* struct peer_host */
	struct table by_stage1, by_remote_index; /* struct tunnel_record */
	struct tunnel_record *all;
	struct tunnel_record *unproved, *unproved_last;
	size_t count, unconfirmed;
	uint64_t held_bytes;          /* of all pending handshakes */
	struct host_pending *sharing; /* those with runs that have several gateways */
	struct timers timers;
	/* The manager's: checks a LIVE record whose live.due_ns has come, and may remove it, or an
	 * UNCONFIRMED one that has answered no test; */
	void (*check)(struct tunnels *tunnels, struct tunnel_record *record);
	/* sees to it that every tunnel of a host whose primary has changed is checked. */
	void (*attend)(struct tunnels *tunnels, struct peer_host *host);
	/* The record goes, or (not for_good) has said CloseTunnel: lets go of what hangs on it. */
	void (*gone)(struct tunnels *tunnels, struct tunnel_record *record, bool for_good);
};

/* What a finished handshake gives. */
struct tunnel_facts {
	const struct cert *own; /* our certificate in the handshake */
	struct cert *cert;      /* a reference is taken */
	const struct machine_keys *keys;
	enum aead_cipher cipher;
	uint32_t local_index; /* reserved in the hostmap */
	uint32_t remote_index;
	uint32_t queue;
	uint64_t peer_time;
	const struct endpoint *remote; /* NULL: the handshake came through a relay */
	struct peer_rules *rules;      /* owned by the tunnel on success; may be NULL */
	bool initiator;
};

/* check, attend and gone are the caller's to set. 0 or -ENOMEM. */
int tunnels_init(struct tunnels *tunnels, struct hostmap *map, const struct outside *outside,
		 uint32_t queues, bool udp_v6);
/* Every record and host must have gone. */
void tunnels_release(struct tunnels *tunnels);

/* --- hosts --- */

/* NULL: there is none. */
struct peer_host *tunnels_find_host(struct tunnels *tunnels, const struct addr *addr);
/* Made when absent. NULL: no memory. */
struct peer_host *tunnels_obtain_host(struct tunnels *tunnels, const struct addr *addr);
/* Frees the host when nothing needs it. */
void tunnels_put_host(struct tunnels *tunnels, struct peer_host *host);
/* Chooses the primary again, publishes it, and lets the runs that waited go. */
void tunnels_publish_host(struct tunnels *tunnels, struct peer_host *host);
/* Is there a tunnel that has proved to be alive, even if it is SUSPECT now? */
bool tunnels_host_live(const struct peer_host *host);

/* --- records --- */

/*
 * Makes the tunnel of a finished handshake and publishes it by its index: LIVE for the initiator,
 * else UNCONFIRMED. It enters its hosts with tunnels_enter_hosts(). NULL: too many or no memory;
 * the reserved index stays the caller's.
 */
struct tunnel_record *tunnels_add(struct tunnels *tunnels, const struct tunnel_facts *facts);
/* 0 or -ENOMEM, then nothing has changed. */
int tunnels_enter_hosts(struct tunnels *tunnels, struct tunnel_record *record);
/* Out of its hosts, each of which chooses another primary. Between the two files of this header. */
void tunnels_leave_hosts(struct tunnels *tunnels, struct tunnel_record *record);
/* Responder: remembers stage 1 and its answer. 0 or -ENOMEM. */
int tunnels_remember_stage2(struct tunnels *tunnels, struct tunnel_record *record,
			    const uint8_t hash[STAGE1_HASH_BYTES], const uint8_t *stage2,
			    size_t length);
/* UNCONFIRMED or SUSPECT becomes LIVE; primary of its hosts; the oldest above the bound goes. */
void tunnels_confirm(struct tunnels *tunnels, struct tunnel_record *record);
/* The record, LIVE, becomes primary of its hosts. */
void tunnels_lead(struct tunnels *tunnels, struct tunnel_record *record);
/* Arms the record's timer for the earliest of what it waits for. */
void tunnels_arm(struct tunnels *tunnels, struct tunnel_record *record);
/* Out of every table at once; memory after a grace period. */
void tunnels_remove(struct tunnels *tunnels, struct tunnel_record *record);
/* Out of its hosts now, CloseTunnel to the peer, out of the tables when that has left. */
void tunnels_close(struct tunnels *tunnels, struct tunnel_record *record);
/* Marks the record and every LIVE tunnel of its hosts that is no newer SUSPECT: a peer that has
 * lost one has lost those too. */
void tunnels_suspect(struct tunnels *tunnels, struct tunnel_record *record);
/* Makes room for one more unconfirmed tunnel of the host at addr. */
void tunnels_evict_unconfirmed(struct tunnels *tunnels, const struct addr *addr);

/* The records of a tunnel, and of the stage 1 with that hash (a responder's). NULL: none. */
struct tunnel_record *tunnels_by_id(struct tunnels *tunnels, struct tunnel_id id);
struct tunnel_record *tunnels_by_stage1(struct tunnels *tunnels,
					const uint8_t hash[STAGE1_HASH_BYTES]);
/* The LIVE tunnel whose peer chose index and is at remote. NULL: none. */
struct tunnel_record *tunnels_by_remote_index(struct tunnels *tunnels, uint32_t index,
					      const struct endpoint *remote);

/* Publishes a new remote; NULL: none, the tunnel has a path. 0 or -ENOMEM. */
int tunnels_set_remote(struct tunnels *tunnels, struct tunnel_record *record,
		       const struct endpoint *remote);
/* Roams to source if the rule of 4.7 lets it. True when it did. */
bool tunnels_roam(struct tunnels *tunnels, struct tunnel_record *record,
		  const struct endpoint *source);

/* A test request, whose reply will be measured. */
void tunnels_test(struct tunnels *tunnels, struct tunnel_record *record);
/* Has the record's worker seal payload as wire and send it where the tunnel leads. */
void tunnels_send(struct tunnels *tunnels, const struct tunnel_record *record, enum wire_type wire,
		  const uint8_t *payload, size_t length);
/* Starts the test requests of an unconfirmed tunnel (2.11), the first one now or a step later. */
void tunnels_start_tests(struct tunnels *tunnels, struct tunnel_record *record, bool now);

#endif
