/*
 * uring.h - inside of the io_uring engine; only files of dataplane/io include it.
 *
 * user_data is  operation << 56 | value : a pointer for orders, packed numbers for sends and
 * writes.
 */
#ifndef M57_URING_H
#define M57_URING_H

#include "io/buffers.h"
#include "io/io.h"
#include "refusals.h"

enum operation {
	OP_NONE, /* cancel requests and what nobody waits for */
	OP_TUN_READ,
	OP_UDP_RECEIVE,
	OP_SEND,  /* slot << 8 | datagram */
	OP_WRITE, /* slot << 40 | offset << 20 | length, length without virtio header */
	OP_WRITABLE,
	OP_ORDER,
	OP_PUNT,        /* punt pointer: its MSG_RING failed */
	OP_PUNTS_AGAIN, /* those that failed are due again */
	OP_HANDED,      /* handover pointer: from another worker */
	OP_HAND_OVER,   /* handover pointer: its MSG_RING failed */
};

#define TAG(op, value)   ((uint64_t)(op) << 56 | (uint64_t)(value))
#define TAG_OP(tag)      ((enum operation)((tag) >> 56))
#define TAG_VALUE(tag)   ((tag) & ((1ull << 56) - 1))
#define TAG_POINTER(tag) ((void *)(uintptr_t)TAG_VALUE(tag))

enum { FILE_TUN, FILE_UDP }; /* indexes of registered files */
enum { GROUP_TUN, GROUP_UDP };

#define SQ_ENTRIES    512
#define CQ_ENTRIES    4096
#define NOTES_MAX     8
#define HOLD_RELEASED 0x80
_Static_assert(SEND_SLOTS < HOLD_RELEASED, "all sends may borrow from one buffer");
/* Errors in a row after which a descriptor is given up (every one is re-armed and counted). */
#define ERRORS_MAX 256

#define VNET_BYTES sizeof(struct virtio_net_hdr)
_Static_assert(VNET_BYTES == 10, "the legacy virtio header, PROTOCOL.md 11.1");
_Static_assert(WRITE_HEADROOM >= VNET_BYTES, "a packet has room for its virtio header");
_Static_assert(SEND_SLOTS *GSO_SEGMENTS_MAX < 1 << 16, "sends fit their tag");

struct send_list {
	struct send_slot *head, **tail;
};

/* What sendmsg needs to live until completion; [0] serves a train, all serve its datagrams as
 * singles. */
struct send_messages {
	struct msghdr message[GSO_SEGMENTS_MAX];
	struct iovec vector[GSO_SEGMENTS_MAX];
	union {
		char bytes[CMSG_SPACE(sizeof(uint16_t))];
		struct cmsghdr align;
	} control;
};

struct io_faults;

struct io {
	struct io_uring ring;
	const struct io_faults *faults; /* NULL outside of tests */
	struct io_options options;
	struct counters *counters;
	const int *peer_rings; /* by queue */

	struct buffers tun_buffers, udp_buffers;
	/* of each UDP buffer: sends that borrow it, and HOLD_RELEASED once the worker is done */
	uint8_t udp_holds[UDP_SLOTS];
	struct msghdr receive_template;
	uint32_t tun_reads; /* armed */
	bool udp_armed;
	bool udp_ended;                  /* by a datagram, see io_receive_ended() */
	uint32_t tun_errors, udp_errors; /* in a row */
	bool stopping;

	uint32_t inline_pending;   /* submitted operations that complete during submission */
	uint64_t refused_since_ns; /* the kernel takes no submission; 0: it does */

	/* sends: what waits, and the chain that is submitted, both in order; free is a stack */
	struct send_list unsent, in_flight;
	struct send_slot *free_sends;
	uint32_t free_send_count;
	uint32_t sends_in_flight; /* datagrams or trains submitted */
	bool send_blocked;        /* socket buffer full: waiting for POLLOUT */
	uint8_t *send_memory;
	struct send_messages *messages;
	struct send_slot send_slots[SEND_SLOTS];

	uint8_t *write_memory;
	uint32_t free_write_count;
	uint16_t free_writes[WRITE_SLOTS];
	struct write_slot write_slots[WRITE_SLOTS];

	/* punts that the kernel did not deliver, oldest first; a timer runs while there are some */
	struct punt *punts_kept, **punts_kept_tail;

	uint32_t note_head, note_count;
	struct io_event notes[NOTES_MAX];

	struct refusals refused; /* struct refused_send */
};

/*
 * Seam for tests: what the kernel is asked and what it answers. Nothing sets them in a node.
 */
struct io_faults {
	void *context;
	/* before a turn's submission; may spoil requests in ring->sq */
	void (*submitting)(void *context, struct io_uring *ring);
	/* before a completion is looked at; may change its result */
	void (*completed)(void *context, struct io_uring_cqe *cqe);
};

/* uring.c */
struct io_uring_sqe *uring_sqe(struct io *io); /* never NULL: submits when the queue is full */
void uring_note(struct io *io, const struct io_event *note);
uint64_t uring_now_ns(void); /* monotonic */

/* tun_io.c */
int tun_io_create(struct io *io);
void tun_io_destroy(struct io *io);
void tun_io_arm(struct io *io);
bool tun_io_read_done(struct io *io, const struct io_uring_cqe *cqe, struct io_event *event);
void tun_io_write_done(struct io *io, uint64_t value, int result);

/* udp_io.c */
int udp_io_create(struct io *io);
void udp_io_destroy(struct io *io);
void udp_io_arm(struct io *io);
bool udp_io_receive_done(struct io *io, const struct io_uring_cqe *cqe, struct io_event *event);
void udp_io_prepare_sends(struct io *io);
void udp_io_send_done(struct io *io, uint64_t value, int result);
void udp_io_release(struct io *io, uint16_t buffer);
void udp_io_writable(struct io *io);
/* The end: what the full socket does not take is dropped, counted. */
void udp_io_give_up(struct io *io);

#endif
