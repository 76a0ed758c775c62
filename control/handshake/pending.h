/*
 * pending.h - a handshake that we began: when to send again, when to give up, and the runs that
 * wait for its tunnel (PROTOCOL.md 2.6). Data and decisions only: no I/O, the time is a parameter.
 */
#ifndef M57_PENDING_H
#define M57_PENDING_H

#include "handshake/machine.h"
#include "limits.h"
#include "outside.h" /* struct waiting_run */
#include "vnet.h"

/* A copy of a run, in the order in which runs came. */
struct held_run {
	struct held_run *next;
	uint32_t queue;   /* the worker that read it, and that it returns to */
	uint32_t packets; /* segments it will become */
	uint32_t length;
	struct virtio_net_hdr vnet;
	uint32_t gateway_count; /* hosts that it may go to instead */
	struct addr *gateways;  /* in the same block of memory */
	uint8_t bytes[];
};

enum pending_action { PENDING_WAIT, PENDING_SEND, PENDING_TIMEOUT };

struct pending {
	/* stage 1 is built once; every attempt sends the identical bytes */
	struct machine machine;
	uint8_t *stage1; /* owned; NULL before the first attempt that had somewhere to send to */
	size_t stage1_length;
	uint32_t index; /* ours, reserved in the hostmap while stage1 exists */

	uint64_t try_interval_ns;
	uint64_t started_ns, due_ns;
	uint32_t retries, attempts;

	struct held_run *first, **last;
	uint32_t packets; /* of the held runs */
	uint32_t bytes;
};

/* at_once: we know where to send, so the first attempt does not wait for try_interval. */
void pending_init(struct pending *pending, uint64_t try_interval_ns, uint32_t retries,
		  uint64_t now_ns, bool at_once);

/*
 * What to do at now_ns. PENDING_SEND counts an attempt and sets due_ns to attempts * try_interval
 * later; PENDING_TIMEOUT: the attempts are used up.
 */
enum pending_action pending_due(struct pending *pending, uint64_t now_ns);

/*
 * Appends a copy of the run. *total_bytes counts the bytes held for all pending handshakes. 0;
 * -ENOBUFS when a bound of limits.h is reached; -ENOMEM.
 */
int pending_hold(struct pending *pending, uint64_t *total_bytes, uint32_t queue,
		 const struct waiting_run *run);

/* The oldest held run, which the caller frees, or NULL. */
struct held_run *pending_take(struct pending *pending, uint64_t *total_bytes);

/* The same of those that may go to gateway instead. */
struct held_run *pending_take_for(struct pending *pending, uint64_t *total_bytes,
				  const struct addr *gateway);

/* Moves all held runs of from to the end of to, which holds none yet. */
void pending_move(struct pending *from, struct pending *to);

/* Frees stage 1 and wipes the machine. Held runs must have been taken. */
void pending_release(struct pending *pending);

#endif
