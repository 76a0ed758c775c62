/*
 * worker.h - the state of one worker. It belongs to one thread; nobody else looks inside, but for
 * the flows it refused last, and the sends that the kernel refused it (refusals.h).
 *
 * The files that work on it, in the order a packet meets them: loop.c (the turns), outbound.c and
 * train.c (tun to UDP), inbound.c, inbound_run.c and chains.c (UDP to tun), clear.c (what comes
 * unencrypted), handover.c (to another worker; skew.c keeps them in step), relay.c (frames),
 * refuse.c (what was refused, noted and answered), echo.c (instead of a tun), answer.c (a
 * lighthouse's), punt.c (to control), inbox.c (from control).
 */
#ifndef M57_WORKER_H
#define M57_WORKER_H

#include "aead.h"
#include "counters.h"
#include "filter/conntrack.h"
#include "handover.h"
#include "hostmap.h"
#include "io/io.h"
#include "io/join.h"
#include "lookup/label.h"
#include "lookup/source.h"
#include "message.h"
#include "refusals.h"
#include "skew.h"
#include "snapshot.h"

#define CHAINS_MAX  8 /* flows that are joined at the same time */
#define SCRATCH_MAX (CHAINS_MAX + 1)
#define TRAINS_MAX  8 /* being filled at the same time, by flow label modulo this */
#define FIFO_TUN    TUN_SLOTS
#define FIFO_UDP    UDP_SLOTS
#define RUN_MAX     64 /* datagrams judged together; UDP GRO joins no more */

/* Datagrams that lie one behind the other in a receive buffer. */
struct arrival {
	const struct endpoint *source; /* zero when they came through a relay */
	uint8_t *packet;
	uint32_t length;        /* of all */
	uint32_t segment_bytes; /* from one to the next */
	uint32_t trim;   /* bytes in front of the next one that belong to a frame around it */
	uint32_t via;    /* index of the relay they came through; 0: directly */
	uint16_t buffer; /* for io_send_borrow(); not with via */
	bool mixed;      /* passed on out of a train that was steered rightly by its first */
};

/* Where packets of a tunnel go: to its remote, or as frames to its relay's. */
struct way {
	const struct remote *remote;
	struct tunnel *via; /* NULL: directly */
	uint32_t index;     /* via: of the relay */
	uint32_t overhead;  /* bytes that a packet grows by */
	uint64_t counter;   /* via: of the first frame */
};

/* Events taken from the engine and not worked on yet. */
struct event_fifo {
	uint32_t head, count, size;
	struct io_event *events;
};

/* A train that is being filled. */
struct train {
	struct send_slot *slot;      /* NULL: none */
	const struct remote *remote; /* same turn only */
	uint32_t count_max;
	uint16_t label; /* of every datagram in it */
	bool ended;     /* a shorter datagram has ended it */
};

/* A chain that is being joined, and where. */
struct open_chain {
	struct chain chain;
	struct write_slot *slot; /* NULL: this place is free */
	const struct tunnel *tunnel;
	uint64_t order; /* of opening */
};

struct chains {
	struct open_chain open[CHAINS_MAX];
	struct open_chain *last; /* the likeliest to continue */
	uint64_t opened;
	/* held slots that no chain is growing in */
	struct write_slot *scratch[SCRATCH_MAX];
	uint32_t scratch_count;
};

enum pool_class {
	POOL_CLASS_HANDSHAKE,
	POOL_CLASS_OPENED,
	POOL_CLASS_RECV_ERROR,
	POOL_CLASS_WAITING_SMALL,
	POOL_CLASS_WAITING_LARGE,
	POOL_CLASS_EVENT,
	POOL_CLASS_ORDER,
	POOL_CLASSES
};

struct pool {
	uint8_t *memory;
	uint32_t stride, count, cursor;
	uint32_t bytes; /* room for bytes[] */
};

/* The flow that the firewall judged last, valid for the turn. */
struct judged {
	const struct tunnel *tunnel;
	struct flow flow;
};

/* A message of answer.c that waits for a send slot. */
struct answer {
	struct tunnel_id to;
	struct addr about; /* whose card */
	uint8_t form;      /* enum card_form */
};

struct answer_ring {
	uint32_t head, count;
	struct answer *list; /* ANSWERS_MAX; pages are touched when a lighthouse is asked */
};

/* Whether a turn waits for more small packets (loop.c). */
struct gather {
	uint32_t runs, bytes; /* that this turn has taken in */
	uint32_t mean16;      /* runs per turn, times 16 */
	uint32_t pause;       /* turns for which there is no gathering */
	bool on;
};

/* Answers that one direction may still give in this second. */
struct reject_bucket {
	uint32_t tokens, refill_s;
};

struct worker {
	/* --- set once --- */
	uint32_t queue, queues;
	bool spread;                       /* labelled datagrams of other workers are passed on */
	const struct label_key *label_key; /* NULL: no labels are written, but for the next */
	bool sparse;                       /* there is a worker of sparse flows: the last */
	uint16_t label;                    /* of all that it sends from the tun */
	const struct source_key *source_key;
	uint32_t unsent_max; /* packets sealed in one batch */
	struct io *io;
	struct counters *counters;
	struct hostmap *map;
	struct conntrack *conntrack;
	struct snapshot *const *snapshot_slot; /* RCU */
	bool udp_v6;
	bool has_tun;
	uint64_t busy_poll_ns; /* looked for more before sleeping; 0: not at all */

	_Atomic int start_error; /* control asks: errno of a ring that could not be enabled */

	/* --- per turn --- */
	const struct snapshot *snapshot;
	uint64_t now_ns;       /* coarse monotonic */
	uint32_t now_s;        /* the same in seconds */
	struct judged judged;  /* passed: a run is judged once */
	struct judged refused; /* and answered: a run is answered once */
	bool outbound_held;    /* the first tun run waits for ORDER_RESUME_END */
	bool inbound_held;     /* the first train waits for send slots */
	bool waits_outbound;   /* the first tun run waits for another worker, see skew.h */
	bool waits_inbound;    /* the first train, frames to forward, does */

	/* --- between turns --- */
	struct event_fifo tun_runs, udp_trains, handed;
	struct skew skew;
	struct gather gather;
	struct train trains[TRAINS_MAX];
	struct chains chains;
	bool tso, uso; /* the tun takes joined TCP, UDP */

	struct order *orders[ORDERS_MAX + 1]; /* and ORDER_STOP */
	uint32_t order_head, order_count;
	uint64_t waiting_punted; /* PUNT_WAITING sent so far */
	bool stop_asked;         /* ORDER_STOP is among the orders */
	bool stopping;

	uint32_t recv_error_tokens;
	uint32_t recv_error_refill_s;
	uint32_t recv_error_told[RECV_ERROR_TOLD]; /* by hash of source and index: that hash */
	uint32_t recv_errors_heard;                /* in the second recv_error_heard_s */
	uint32_t recv_error_heard_s;
	struct answer_ring replies, punches; /* of a lighthouse */
	struct reject_bucket rejects[2];     /* by enum direction of what was refused */
	struct refusals refusals;

	struct pool pools[POOL_CLASSES];
	/* control counts down */
	_Alignas(64) struct source_shares shares;
	_Alignas(64) struct source_shares opened_shares; /* of POOL_CLASS_OPENED */

	struct handovers handovers;
	uint32_t mixed; /* authentic runs of trains that had several owners */
	bool mixed_said;
};

/*
 * Where a datagram's counter counts when no flows spread: those with the sparse label have a window
 * of their own, whoever receives them (PROTOCOL.md 1.1).
 */
static inline struct replay *label_window(const struct worker *w, struct tunnel *tunnel,
					  uint16_t label)
{
	return w->sparse && label == WIRE_LABEL_SPARSE && tunnel->windows ? &tunnel->windows[0]
									  : &tunnel->replay;
}

/* Something authentic with a label has come; the line is shared, so it is written once. */
static inline void tunnel_labelled(struct tunnel *tunnel)
{
	if (!atomic_load_explicit(&tunnel->labelled, memory_order_relaxed))
		atomic_store_explicit(&tunnel->labelled, 1, memory_order_relaxed);
}

/* loop.c */
/*
 * The thread: enables its ring, says PUNT_READY, turns until ORDER_STOP, says PUNT_STOPPED. Without
 * a ring it has no way to say anything: it leaves start_error and ends.
 */
void *worker_main(void *worker);

/* punt.c */
/* Reserves memory; pages come as they are used. 0 or -ENOMEM; destroy takes what there is. */
int punt_pools_create(struct worker *w);
void punt_pools_destroy(struct worker *w);
/* A free punt of the class with room for bytes, or NULL (the caller counts DROP_PUNT_POOL). */
struct punt *punt_take(struct worker *w, enum pool_class class, enum punt_type type);
/* Hands it to control. */
void punt_send(struct worker *w, struct punt *punt);
/* Traffic leaves on a tunnel that nobody watches: says so once. */
void punt_active(struct worker *w, struct tunnel *tunnel);
/* A small event about a tunnel; at most one of the kind is in flight (bit). source NULL: none. */
void punt_tunnel_event(struct worker *w, struct tunnel *tunnel, enum tunnel_event_bit bit,
		       enum punt_type type, const struct endpoint *source, uint32_t via,
		       uint64_t value);
/* Traffic would go to a gateway that has no tunnel: says so once a second. */
void punt_wanted(struct worker *w, struct route_gateway *gateway);
/* A tun run that has no tunnel yet goes to control by copy, with the other gateways of its route.
 */
enum drop punt_waiting(struct worker *w, const struct next_hop *hop, const uint8_t *packet,
		       uint32_t length, const struct virtio_net_hdr *vnet);
/* An IO_NOTE for control to say. Lost while the pool is empty, but for a fatal one. */
void punt_note(struct worker *w, const struct io_event *event);

/* train.c */
/*
 * Where the next sealed datagram of bytes for remote goes. Continues the open train of its label
 * when it may, else begins another. NULL only when the caller did not ask train_possible() before.
 */
uint8_t *train_room(struct worker *w, const struct tunnel *tunnel, const struct remote *remote,
		    uint16_t label, uint32_t bytes);
/* Sends all that is being filled. */
void train_close(struct worker *w);
/* Are there send slots for packets datagrams of bytes in all? */
bool train_possible(const struct worker *w, uint32_t packets, uint32_t bytes);
/* A datagram on its own, to anywhere: 0, -ENOBUFS, or -EAFNOSUPPORT (IPv6 on an IPv4 socket). */
int train_send_single(struct worker *w, const struct endpoint *to, struct tunnel_id tunnel,
		      const uint8_t *bytes, uint32_t length);

/* outbound.c */
/*
 * Takes packet[0..length), a run of the tun, which is cut in place. False: not taken, because older
 * ones for its host are on their way back from control, or another worker is too far behind
 * (skew.h); it is to be given again.
 */
bool outbound_run(struct worker *w, uint8_t *packet, uint32_t length,
		  const struct virtio_net_hdr *vnet);
/* The rest of the road once the tunnel is known; also for runs that waited. */
enum drop outbound_on_tunnel(struct worker *w, struct tunnel *tunnel, uint8_t *packet,
			     uint32_t length, const struct virtio_net_hdr *vnet,
			     const struct inner *inner);
/* Seals one message of control's and sends it; remote overrides. 0 or -errno. */
int outbound_message(struct worker *w, struct tunnel *tunnel, enum wire_type type,
		     const struct endpoint *remote, const uint8_t *bytes, uint32_t length);

/* The same without an override, behind others to the same peer. */
int outbound_in_train(struct worker *w, struct tunnel *tunnel, enum wire_type type,
		      const uint8_t *bytes, uint32_t length);
/* Counters for count packets of tunnel; false: they are used up. Says so to control near the end.
 */
bool outbound_reserve(struct worker *w, struct tunnel *tunnel, uint32_t count, uint64_t *first);
/* Traffic leaves on tunnel: control looks after it as long as that is so (tunnel.watched). */
void outbound_used(struct worker *w, struct tunnel *tunnel);

/* inbound.c */
/* A train from the socket, or from another worker; all of it is taken. */
void inbound_train(struct worker *w, const struct io_event *train);
/* The same once its datagrams are found: from a train, or from the frames of a relay. */
void inbound_arrival(struct worker *w, const struct arrival *arrival);

/* inbound_run.c; what else it has is in inbound_run.h */
/* Something authenticated has come directly on tunnel, no message. */
void inbound_alive(struct worker *w, struct tunnel *tunnel, const struct endpoint *source);

/* clear.c */
/* A handshake packet or recv_error: to control, or dropped and counted. */
void clear_datagram(struct worker *w, const struct arrival *arrival, enum wire_type type,
		    const uint8_t *datagram, uint32_t bytes);
/*
 * Tells source that its index means nothing here (PROTOCOL.md 4.6), if that is permitted and the
 * worker's bucket is not empty. True when it was sent; counted either way.
 */
bool clear_recv_error(struct worker *w, const struct endpoint *source, uint32_t index);
/* The same for the index of a tunnel: the first time as often as the oldest peer needs. */
void clear_disown(struct worker *w, const struct endpoint *source, uint32_t index);

/* relay.c */
/* The relay frames of one index that begin at *at, which moves behind them. */
void relay_frames(struct worker *w, const struct arrival *arrival, uint32_t *at);
/* May the frames at packet, a header at least, be forwarded yet (skew.h)? */
bool relay_permitted(const struct worker *w, const uint8_t *packet);
/* Where tunnel's packets go. False: nowhere. way->counter is the caller's to reserve. */
bool relay_way(const struct tunnel *tunnel, struct way *way);
/* Wraps a datagram of control's for entry index of via's peer and sends it. 0 or -errno. */
int relay_send(struct worker *w, struct tunnel *via, uint32_t index, const uint8_t *bytes,
	       uint32_t length);

/* echo.c */
/*
 * Without a tun: turns packet[0..inner->ip_length), allowed and opened, into its echo reply and
 * sends that on tunnel. DROP_TUN_DISABLED when it is no echo request.
 */
enum drop echo_answer(struct worker *w, struct tunnel *tunnel, uint8_t *packet,
		      const struct inner *inner);

/* answer.c */
/* bytes came from asker: true when they are a question that a worker may answer, and it is seen to.
 */
bool answer_query(struct worker *w, const struct tunnel *asker, const uint8_t *bytes,
		  uint32_t length);
/* Sends what there are slots for. */
void answers_work(struct worker *w);

/* refuse.c */
/*
 * packet, parsed as inner, was dropped for reason: where the configuration wants it, the local
 * sender is answered over the tun. tunnel is NULL when there was no route to one.
 */
void refuse_outbound(struct worker *w, struct tunnel *tunnel, const uint8_t *packet,
		     const struct inner *inner, enum drop reason);
/* The same for an opened packet of tunnel's peer, which is answered through the tunnel. */
void refuse_inbound(struct worker *w, struct tunnel *tunnel, const uint8_t *packet,
		    const struct inner *inner, enum drop reason);

/* chains.c */
/* WRITE_HEADROOM behind it there are at least length bytes; nothing is taken yet. NULL: none free.
 */
uint8_t *chains_room(struct worker *w, uint32_t length, struct write_slot **slot);
/* An opened and allowed packet at chains_room(): joined, begun as a chain, or queued verbatim. */
void chains_add(struct worker *w, struct write_slot *slot, uint8_t *packet, uint32_t length,
		const struct inner *inner, const struct tunnel *tunnel);
/* A packet at chains_room() that belongs to no chain: queued verbatim. */
void chains_write(struct worker *w, struct write_slot *slot, uint8_t *packet, uint32_t length);
/* Writes out all chains, oldest first, and lets go of the slots. End of a turn. */
void chains_flush(struct worker *w);

/* inbox.c */
/* order has come: it waits for its turn. */
void inbox_order(struct worker *w, struct order *order);
/* Carries out, in order, those that there are send slots for. */
void inbox_work(struct worker *w);

#endif
