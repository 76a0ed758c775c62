/*
 * io.h - the verbs of one queue: the only thing the rest of the dataplane knows of the kernel.
 *
 * A queue is a tun descriptor, a UDP socket and an engine that completes work on both. Today's
 * engine is io_uring (uring.c); another one must fit behind these verbs. Only the worker that owns
 * the queue calls them, except those of control: io_create, io_ring_fd and io_set_peers before the
 * worker's life, io_destroy after it, io_order_tag, and io_read_refused in reports.
 *
 * Life of a receive buffer: the kernel fills it, io_next() hands it out inside an event, the worker
 * gives it back with io_release(). Life of a send slot: io_send_slot() -> filled -> io_send() ->
 * the engine frees it when the kernel is done with it; it may send from a receive buffer instead of
 * its own memory (io_send_borrow). A write slot holds several packets and is
 * freed when all of them are written and the worker has let go of it with io_write_slot_done().
 */
#ifndef M57_IO_H
#define M57_IO_H

#include "vnet.h"
#include <sys/socket.h>
#include <netinet/in.h>

#include "counters.h"
#include "dataplane.h"
#include "limits.h"
#include "message.h"

struct io;
struct handover;

struct io_options {
	uint32_t queue;
	int tun_fd; /* -1: no tun */
	int udp_fd;
	int control_ring_fd;
	enum io_tier tier;
	bool tun_vnet_hdr;
	bool gso;       /* UDP_SEGMENT sends */
	bool busy_poll; /* io_busy_poll() will be used */
	struct counters *counters;
};

/* Probes, rings, buffers: everything that can fail. 0 or -errno with one line in error. */
int io_create(struct io **io, const struct io_options *options, char error[256]);
void io_destroy(struct io *io);
/* The descriptor that MSG_RING of control aims at. */
int io_ring_fd(const struct io *io);
/* The rings of all queues, for io_hand_over(); before any is enabled. fds outlives io. */
void io_set_peers(struct io *io, const int *fds);

/* First call of the worker: becomes the ring's only submitter, arms the reads. 0 or -errno. */
int io_enable(struct io *io);

/* user_data of an order that control posts to this queue's ring. */
uint64_t io_order_tag(struct order *order);

/* ---- events ---------------------------------------------------------------------------------- */

enum io_event_type {
	IO_TUN_RUN,   /* packet: one tun read, after its virtio header */
	IO_UDP_TRAIN, /* packet: datagrams of segment_bytes each, from source */
	IO_HANDED,    /* packet: datagrams from another worker, otherwise as IO_UDP_TRAIN */
	IO_ORDER,
	IO_NOTE, /* something for control to say */
};

struct io_event {
	enum io_event_type type;
	uint16_t buffer; /* of the first two; give back with io_release */
	uint8_t *packet;
	uint32_t length;
	uint32_t segment_bytes;     /* IO_UDP_TRAIN; length when it is one datagram */
	struct virtio_net_hdr vnet; /* IO_TUN_RUN */
	struct endpoint source;     /* IO_UDP_TRAIN */
	struct handover *handover;  /* IO_HANDED; give back with handover_release */
	struct order *order;
	enum note note;
	int error;               /* IO_NOTE: errno */
	struct tunnel_id tunnel; /* IO_NOTE about a remote */
	uint32_t bytes;          /* the same: the smallest segments that are refused */
};

/*
 * Submits all that was prepared and collects completions. With sleep it waits until something has
 * come in; otherwise it returns at once. Errors of single operations become events or counters.
 */
void io_turn(struct io *io, bool sleep);
/* The same, but waits until GATHER_RUNS operations have completed, and at most GATHER_NS. */
void io_gather(struct io *io);
/*
 * Submits all that was prepared, then looks for something new for at most ns nanoseconds without
 * another system call; needs options.busy_poll. True when something has come.
 */
bool io_busy_poll(struct io *io, uint64_t ns);
/*
 * Has a datagram ended the receive since this was last asked (an empty one does)? It goes on with
 * the next turn, so a turn that waits receives nothing meanwhile.
 */
bool io_receive_ended(struct io *io);
/* The next event, in order of completion; false when there is none left. */
bool io_next(struct io *io, struct io_event *event);
/* Is there work that io_turn() must not sleep on? (completions already here) */
bool io_ready(const struct io *io);

/* Gives the buffer of an IO_TUN_RUN or IO_UDP_TRAIN back; its bytes are the kernel's again. */
void io_release(struct io *io, const struct io_event *event);

/* ---- sending --------------------------------------------------------------------------------- */

/* A train on its way to the UDP socket: count datagrams of segment_bytes, the last may be shorter.
 */
struct send_slot {
	uint8_t *bytes; /* GSO_BYTES_MAX of room, or borrowed */
	bool borrowed;
	uint16_t buffer; /* borrowed: from this receive buffer */
	uint32_t length;
	uint32_t segment_bytes;
	uint32_t count;
	bool singles; /* no GSO, or it was refused: one datagram each */
	uint8_t done; /* singles: datagrams that have left */
	uint16_t id;
	struct tunnel_id tunnel; /* for remembering a refused segment size */
	union sockaddr_ip to;
	socklen_t to_bytes;
	struct send_slot *next;
};

/* A free slot, emptied, or NULL when all are on their way (io_turn(io, false) may free some). */
struct send_slot *io_send_slot(struct io *io);
/* Gives a slot back that was not sent. */
void io_send_slot_back(struct io *io, struct send_slot *slot);
/*
 * The slot sends bytes from where they lie in receive buffer: it returns to the kernel when both
 * the send and the worker (io_release) are done with it. The worker fills in the rest and calls
 * io_send(); it changes these bytes no more.
 */
void io_send_borrow(struct io *io, struct send_slot *slot, uint16_t buffer, uint8_t *bytes);
uint32_t io_send_slots_free(const struct io *io);
/* The socket's buffer is full; the next event after it drains wakes the worker. */
bool io_send_blocked(const struct io *io);
/* Is anything queued that has not left, as far as completions have been collected? */
bool io_sending(const struct io *io);
/* Queues the slot; datagrams leave in the order of these calls. */
void io_send(struct io *io, struct send_slot *slot);
/* Any thread. The sends that the kernel refused last, as refusals_read(); how many. */
uint32_t io_read_refused(struct io *io, struct refused_send out[REFUSALS_MAX]);

/* ---- writing --------------------------------------------------------------------------------- */

#define WRITE_HEADROOM 16 /* before each packet: room for the virtio header */

/* One area for opened packets; the worker places them, several in one slot. */
struct write_slot {
	uint8_t *bytes;     /* SLOT_BYTES */
	uint32_t used;      /* worker's cursor */
	uint32_t in_flight; /* writes not completed */
	bool held;          /* the worker may still place packets here */
	uint16_t id;
};

/* A free slot, held, or NULL when all are in use (io_turn(io, false) may free some). */
struct write_slot *io_write_slot(struct io *io);
uint32_t io_write_slots_free(const struct io *io);
/*
 * Queues packet, which lies in slot with WRITE_HEADROOM bytes before it, for the tun. Written in
 * the order of these calls. A joined packet that the kernel refuses is cut and written as singles.
 */
void io_write(struct io *io, struct write_slot *slot, uint8_t *packet, uint32_t length,
	      const struct virtio_net_hdr *vnet);
/* The worker places nothing more here. */
void io_write_slot_done(struct io *io, struct write_slot *slot);

/* ---- messages -------------------------------------------------------------------------------- */

/* Sends punt to control; what the kernel refuses is counted and sent again until it is taken. */
void io_punt(struct io *io, struct punt *punt);
/* Sends handover to the worker of queue; when that one's ring refuses it, it is released and
 * counted. */
void io_hand_over(struct io *io, uint32_t queue, struct handover *handover);

/* Cancels all reads; io_turn() until io_stopped(). */
void io_stop(struct io *io);
bool io_stopped(const struct io *io);
/*
 * The tun and the socket are nobody's of this ring any more; by its worker, at the end. The kernel
 * frees a ring some time after its process has gone, and a tun that is kept until then is busy for
 * who comes next.
 */
void io_let_go(struct io *io);

#endif
