/*
 * dataplane.h - all that control may call of the dataplane.
 *
 * Order of calls: aead_select, hostmap_create, dataplane_create (probes the kernel, makes the
 * rings, registers files and buffers), dataplane_publish (a snapshot), dataplane_start (threads),
 * wait for PUNT_READY or dataplane_start_error of every queue, then dataplane_post freely;
 * dataplane_stop, dataplane_destroy. One caller: the control thread.
 */
#ifndef M57_DATAPLANE_H
#define M57_DATAPLANE_H

#include "aead.h"
#include "counters.h"
#include "hostmap.h"
#include "limits.h"
#include "message.h"
#include "refusal.h"
#include "snapshot.h"

/* What the kernel can do; the environment variable M57_TIER ("6.1", "none") lowers it. */
enum io_tier {
	IO_TIER_NONE, /* no usable io_uring */
	IO_TIER_6_1,  /* multishot recvmsg, DEFER_TASKRUN; tun reads re-armed one by one */
	IO_TIER_6_7,  /* and multishot read on the tun */
};

struct dataplane;

struct dataplane_options {
	uint32_t queues; /* 1..QUEUES_MAX: workers */
	const int
		*tun_fds; /* queues descriptors, or NULL with tun.disabled; stay owned by control */
	const int *udp_fds;    /* queues bound sockets in queue order; stay owned by control */
	bool udp_v6;           /* sockets are AF_INET6 (dual stack): IPv4 remotes are mapped */
	bool tun_tso, tun_uso; /* TUNSETOFFLOAD accepted them: joined writes are possible */
	bool tun_vnet_hdr;   /* false with tun.use_offloads: false: reads and writes carry no header
			      */
	bool udp_offloads;   /* UDP_SEGMENT sends are possible */
	int control_ring_fd; /* ring that punts are sent to by MSG_RING */
	struct hostmap *map;
	enum io_tier tier;
	bool spread_flows;     /* m57.spread_flows: labels are written, and looked at */
	bool sparse;           /* the last of two queues has the sparse flows; no spread_flows */
	uint32_t busy_poll_us; /* m57.busy_poll: a worker with nothing to do looks that long for
				  more before it sleeps */
	const int *cpus;       /* CPU that each worker stays on, -1: any; or NULL. Copied */
};

/*
 * Finds the tier of the running kernel. error gets one line that names cause and cure when it is
 * IO_TIER_NONE. Makes and closes a small ring; touches nothing else.
 */
enum io_tier dataplane_probe_tier(char error[256]);
const char *dataplane_tier_name(enum io_tier tier); /* "6.7", "6.1", "none" */

/*
 * Makes everything that can fail before a thread runs. NULL with one line in error. options is
 * copied; the map and the descriptors in it must outlive the dataplane.
 */
struct dataplane *dataplane_create(const struct dataplane_options *options, char error[256]);

/* Publishes snapshot to the workers and returns the one before (NULL at first), which control may
 * free after a grace period. */
struct snapshot *dataplane_publish(struct dataplane *d, struct snapshot *snapshot);

/* The one that workers read now; control thread. */
const struct snapshot *dataplane_snapshot(const struct dataplane *d);

/* Empties conntrack: the versions of rules begin anew. */
void dataplane_forget_flows(struct dataplane *d);

/*
 * For "why", by the published snapshot; control thread, nothing is counted or tracked.
 * dataplane_route: the overlay host that a packet of flow goes to, in *hop; DROP_NONE or why there
 * is none. dataplane_judge: may the first packet of flow pass on tunnel, conntrack
 * aside? DROP_NONE, with the index of the rule of direction that lets it in *rule, or the reason.
 */
enum drop dataplane_route(const struct dataplane *d, const struct flow *flow, struct next_hop *hop);
enum drop dataplane_judge(const struct dataplane *d, const struct tunnel *tunnel,
			  const struct flow *flow, enum direction direction, uint32_t *rule);

/* Starts the workers. 0 or -errno. A worker that cannot be pinned runs all the same, anywhere. */
int dataplane_start(struct dataplane *d);

/* The errno for which the worker of queue could not enable its ring and has ended, so that no
 * PUNT_READY will come; else 0. */
int dataplane_start_error(const struct dataplane *d, uint32_t queue);

/* Workers that dataplane_start() has pinned. */
uint32_t dataplane_pinned(const struct dataplane *d);

/*
 * Posts order to worker queue. 0; -EAGAIN when ORDERS_MAX are under way (keep it and try after the
 * next PUNT_ORDER_DONE of that queue) or the kernel has no memory (try soon); -EBADFD before the
 * worker's PUNT_READY; another -errno of the kernel's. The order is the worker's after 0 and stays
 * the caller's otherwise. Orders of one queue are carried out in the order they were posted.
 */
int dataplane_post(struct dataplane *d, uint32_t queue, struct order *order);

/* The punt that a completion on control's ring carries. */
static inline struct punt *dataplane_punt_of(uint64_t user_data)
{
	return (struct punt *)(uintptr_t)user_data;
}

/* The flows that one worker refused last (dataplane/refusals.h); how many. */
uint32_t dataplane_read_refusals(struct dataplane *d, uint32_t queue,
				 struct refusal out[REFUSALS_MAX]);
/* The same of the sends that the kernel refused it. */
uint32_t dataplane_read_refused_sends(struct dataplane *d, uint32_t queue,
				      struct refused_send out[REFUSALS_MAX]);

/* Sums of all workers since start; sum must be zeroed or hold what to add to. */
void dataplane_read_counters(struct dataplane *d, uint64_t drops[DROPS], uint64_t stats[STATS]);
/* The same of one worker. */
void dataplane_read_queue(struct dataplane *d, uint32_t queue, uint64_t drops[DROPS],
			  uint64_t stats[STATS]);

/* CPU time that all workers have used so far, ns. */
uint64_t dataplane_cpu_ns(const struct dataplane *d);

/*
 * Stops and joins the workers: posts ORDER_STOP to each and waits until their reads are cancelled.
 * Control must have taken what came in on its ring; punts that are still in flight die with the
 * pools.
 */
void dataplane_stop(struct dataplane *d);
/* After dataplane_stop(), or when nothing was started. The snapshot is the caller's to free. NULL
 * is allowed. */
void dataplane_destroy(struct dataplane *d);

#endif
