/*
 * control.h - the control thread's loop: one io_uring that brings punts from the workers, signals,
 * the reaper's bell and whatever else is polled (m57ctl's socket, routes, addresses, DNS), and
 * sleeps until the next deadline of all these.
 *
 * Everything here belongs to the control thread.
 */
#ifndef M57_CONTROL_H
#define M57_CONTROL_H

#include <liburing.h>
#include <stdbool.h>

#include "admin.h"
#include "dataplane.h"
#include "expiry.h"
#include "handshake_queue.h"
#include "orders.h"
#include "outside.h"
#include "peers/node.h"
#include "peers/rate.h"
#include "reaper.h"
#include "routes.h"
#include "stats.h"
#include "system/kernel_drops.h"
#include "system/steer.h"

enum control_state {
	CONTROL_STARTING, /* not every worker has said PUNT_READY */
	CONTROL_RUNNING,
	CONTROL_CLOSING, /* CloseTunnel is on its way to every peer */
	CONTROL_ENDED,
};

struct control {
	/* set once by the caller of control_run() */
	struct dataplane *dataplane;
	struct hostmap *map;
	struct node *node;
	struct reaper *reaper;
	uint32_t queues;
	int udp_fd; /* socket 0: raw UDP leaves here */
	enum steering steering;
	bool udp_v6;
	int signal_fd;
	struct admin *admin;                        /* NULL: no control socket */
	struct routes *routes;                      /* NULL: never in a running node */
	struct dns *dns;                            /* NULL: this is no lighthouse */
	struct resolver *resolver;                  /* NULL: no host name is looked up */
	struct kernel_drops kernel;                 /* what it drops before workers see it */
	int addrs_fd;                               /* local_addrs_watch(); -1: not watched */
	void (*on_ready)(struct control *control);  /* every worker runs */
	void (*on_reload)(struct control *control); /* SIGHUP, once every worker runs */
	void *context;                              /* of these two */

	/* the loop's own */
	struct io_uring ring;
	enum control_state state;
	int exit_status; /* of the process: 0; 1 when a worker could not begin; 2 when the tun or
			    the socket died */
	uint64_t close_deadline_ns;
	uint64_t workers_ready;             /* a bit per queue */
	uint64_t waiting_taken[QUEUES_MAX]; /* PUNT_WAITING that the node has got, by queue */
	uint32_t notes_said;                /* a bit per enum note */
	bool v6_told;            /* the log knows that IPv6 addresses cannot be reached */
	struct rate refused_log; /* datagrams of ours that the kernel refused */
	struct refused_send refused[REFUSALS_MAX]; /* the last of them; times 0: none */
	struct expiry_watch expiry;                /* of our certificate */
	uint64_t expiry_due_ns;                    /* when to look at it again; 0: at once */
	bool reload_asked;
	struct orders orders;
	bool orders_left;         /* some could not be posted, and nothing brings them along: */
	uint64_t orders_retry_ns; /* they are tried again then */
	struct handshake_queue handshakes;
	struct outside outside; /* the real one: outside_live.c */
	uint64_t drops[DROPS];  /* control's own */
	uint64_t stats[STATS];
};

/*
 * Makes the ring, with room for every punt that the workers' pools can hold. 0, or -errno with one
 * line in error. Fills outside and orders too, so that the node can be made.
 */
int control_init(struct control *control, uint32_t queues, char error[ERROR_LINE_MAX]);
int control_ring_fd(const struct control *control);

/*
 * Runs until a signal ends it or a worker's files die. The workers have been started. On return all
 * tunnels have been told and the workers still run. Returns the exit status.
 */
int control_run(struct control *control);

/* Has every worker enabled its ring? */
bool control_workers_ready(const struct control *control);

/* Takes in what the stopped workers left on the ring. After dataplane_stop(). */
void control_drain(struct control *control);
void control_close(struct control *control);

/* Sums of the workers' and control's counters, and what the kernel says of ours. */
void control_stats(struct control *control, struct stats *stats);

/* dispatch.c: what a worker punted, turned into a call of the node. Takes over punt. */
void dispatch_punt(struct control *control, struct punt *punt);

/* outside_live.c: fills in the functions that act on the real world; context is control. */
void outside_live_init(struct control *control);

/* outside_live.c: what the kernel refused of the datagrams that control itself sent to an address,
 * if it refused the last of them; or NULL. Borrowed. */
struct refused_send *control_refused_send(struct control *control, const struct endpoint *to);

#endif
