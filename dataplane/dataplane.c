/*
 * dataplane.c - what control calls: makes workers, publishes to them, posts to them, stops them.
 */
#include "dataplane.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "filter/firewall.h"
#include "io/post.h"
#include "lookup/next_hop.h"
#include "worker.h"

#define STOP_TRIES 1000 /* a millisecond apart */

struct dataplane {
	uint32_t queues;
	uint32_t started;
	uint32_t pinned; /* of those started */
	int cpus[QUEUES_MAX];
	struct snapshot *snapshot; /* RCU */
	struct conntrack *conntrack;
	struct post *post;
	struct worker *workers;
	struct counters *counters;
	pthread_t threads[QUEUES_MAX];
	uint64_t posted[QUEUES_MAX]; /* orders, to each worker */
	struct order stop[QUEUES_MAX];
	int rings[QUEUES_MAX];
	struct label_key label_key;
	struct source_key source_key; /* of all workers: control keeps their buckets together */
};

static int fifo_create(struct event_fifo *fifo, uint32_t size)
{
	fifo->size = size;
	fifo->events = calloc(size, sizeof(*fifo->events));
	return fifo->events ? 0 : -ENOMEM;
}

/* A worker that seals more before it sends would make the others wait for it (skew.h). */
static uint32_t unsent_max(uint32_t queues, bool sparse)
{
	if (queues == 1 || sparse) /* who has sparse flows waits itself */
		return UINT32_MAX;
	return SKEW_PACKETS_MAX / queues > GSO_SEGMENTS_MAX ? SKEW_PACKETS_MAX / queues
							    : GSO_SEGMENTS_MAX;
}

static int answers_create(struct answer_ring *ring)
{
	ring->list = calloc(ANSWERS_MAX, sizeof(*ring->list));
	return ring->list ? 0 : -ENOMEM;
}

static int worker_create(struct dataplane *d, uint32_t queue, const struct dataplane_options *o,
			 char error[256])
{
	struct worker *w = &d->workers[queue];
	struct io_options io = {
		.queue = queue,
		.tun_fd = o->tun_fds ? o->tun_fds[queue] : -1,
		.udp_fd = o->udp_fds[queue],
		.control_ring_fd = o->control_ring_fd,
		.tier = o->tier,
		.tun_vnet_hdr = o->tun_vnet_hdr,
		.gso = o->udp_offloads,
		.busy_poll = o->busy_poll_us > 0,
		.counters = &d->counters[queue],
	};

	w->queue = queue;
	w->queues = d->queues;
	w->spread = o->spread_flows && d->queues > 1 && !o->sparse;
	w->busy_poll_ns = o->busy_poll_us * 1000ull;
	w->label_key = w->spread ? &d->label_key : NULL;
	w->sparse = o->sparse;
	w->label = o->sparse && queue == d->queues - 1 ? WIRE_LABEL_SPARSE : WIRE_LABEL_NONE;
	w->source_key = &d->source_key;
	w->unsent_max = unsent_max(d->queues, o->sparse);
	w->counters = &d->counters[queue];
	w->map = o->map;
	w->conntrack = d->conntrack;
	w->snapshot_slot = &d->snapshot;
	w->udp_v6 = o->udp_v6;
	w->has_tun = o->tun_fds != NULL;
	w->tso = o->tun_tso;
	w->uso = o->tun_uso;
	if (punt_pools_create(w) || fifo_create(&w->tun_runs, FIFO_TUN) ||
	    fifo_create(&w->udp_trains, FIFO_UDP) ||
	    fifo_create(&w->handed, d->queues * HANDOVERS_MAX) || handovers_create(&w->handovers) ||
	    answers_create(&w->replies) || answers_create(&w->punches)) {
		snprintf(error, 256, "queue %u: no memory for its pools; use fewer routines",
			 queue);
		return -ENOMEM;
	}
	return io_create(&w->io, &io, error);
}

struct dataplane *dataplane_create(const struct dataplane_options *options, char error[256])
{
	struct dataplane *d = calloc(1, sizeof(*d));

	snprintf(error, 256, "no memory for the dataplane");
	if (!d)
		return NULL;
	d->queues = options->queues;
	uint32_t windows = options->sparse                          ? 1
			   : options->spread_flows && d->queues > 1 ? d->queues
								    : 0;
	for (uint32_t i = 0; i < d->queues; i++)
		d->cpus[i] = options->cpus ? options->cpus[i] : -1;
	d->workers = aligned_alloc(_Alignof(struct worker), d->queues * sizeof(*d->workers));
	d->counters = aligned_alloc(64, d->queues * sizeof(*d->counters));
	d->conntrack = conntrack_create();
	d->post = post_create();
	if (!d->post)
		snprintf(error, 256,
			 "cannot set up an io_uring for orders to the workers: %s; "
			 "raise the limits of open files and of locked memory",
			 strerror(errno));
	if (d->workers)
		memset(d->workers, 0, d->queues * sizeof(*d->workers));
	if (!d->workers || !d->counters || !d->conntrack || !d->post)
		goto err_destroy;
	if (d->queues > 1 && hostmap_share(options->map, d->queues) != 0)
		goto err_destroy;
	if (windows > 0 && hostmap_spread(options->map, windows) != 0)
		goto err_destroy;
	memset(d->counters, 0, d->queues * sizeof(*d->counters));
	randombytes_buf(d->label_key.words, sizeof(d->label_key.words));
	d->label_key.labels = d->queues;
	randombytes_buf(&d->source_key, sizeof(d->source_key));
	for (uint32_t i = 0; i < d->queues; i++) {
		if (worker_create(d, i, options, error))
			goto err_destroy;
		d->rings[i] = io_ring_fd(d->workers[i].io);
		io_set_peers(d->workers[i].io, d->rings);
	}
	return d;

err_destroy:
	dataplane_destroy(d);
	return NULL;
}

struct snapshot *dataplane_publish(struct dataplane *d, struct snapshot *snapshot)
{
	struct snapshot *before = d->snapshot;

	RCU_PUBLISH(d->snapshot, snapshot);
	return before;
}

const struct snapshot *dataplane_snapshot(const struct dataplane *d)
{
	return d->snapshot;
}

void dataplane_forget_flows(struct dataplane *d)
{
	conntrack_reset(d->conntrack);
}

enum drop dataplane_route(const struct dataplane *d, const struct flow *flow, struct next_hop *hop)
{
	return next_hop_lookup(d->snapshot, flow, hop);
}

enum drop dataplane_judge(const struct dataplane *d, const struct tunnel *tunnel,
			  const struct flow *flow, enum direction direction, uint32_t *rule)
{
	return firewall_judge(d->snapshot, tunnel, tunnel_rules(tunnel, d->snapshot->rules_version),
			      flow, direction, rule);
}

/* From outside: a worker makes no system call but its own. */
static void dataplane_pin(struct dataplane *d, uint32_t queue)
{
	cpu_set_t sets[CPUS_MAX / CPU_SETSIZE];
	int cpu = d->cpus[queue];

	if (cpu < 0 || cpu >= CPUS_MAX)
		return;
	CPU_ZERO_S(sizeof(sets), sets);
	CPU_SET_S((size_t)cpu, sizeof(sets), sets);
	d->pinned += pthread_setaffinity_np(d->threads[queue], sizeof(sets), sets) == 0;
}

uint32_t dataplane_pinned(const struct dataplane *d)
{
	return d->pinned;
}

int dataplane_start(struct dataplane *d)
{
	sigset_t all, before;
	int err = 0;

	sigfillset(&all); /* signals are control's */
	pthread_sigmask(SIG_BLOCK, &all, &before);
	while (d->started < d->queues && !err) {
		err = pthread_create(&d->threads[d->started], NULL, worker_main,
				     &d->workers[d->started]);
		if (!err)
			dataplane_pin(d, d->started++);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -err;
}

int dataplane_start_error(const struct dataplane *d, uint32_t queue)
{
	return atomic_load(&d->workers[queue].start_error);
}

static int post(struct dataplane *d, uint32_t queue, struct order *order)
{
	order->queue = queue;
	return post_send(d->post, io_ring_fd(d->workers[queue].io), io_order_tag(order));
}

int dataplane_post(struct dataplane *d, uint32_t queue, struct order *order)
{
	uint64_t done =
		atomic_load_explicit(&d->counters[queue].stats[STAT_ORDERS], memory_order_relaxed);

	if (d->posted[queue] - done >= ORDERS_MAX)
		return -EAGAIN;
	int err = post(d, queue, order);
	d->posted[queue] += err == 0;
	return err;
}

void dataplane_read_queue(struct dataplane *d, uint32_t queue, uint64_t drops[DROPS],
			  uint64_t stats[STATS])
{
	struct counters *counters = &d->counters[queue];

	for (int i = 0; i < DROPS; i++)
		drops[i] += atomic_load_explicit(&counters->drops[i], memory_order_relaxed);
	for (int i = 0; i < STATS; i++)
		stats[i] += atomic_load_explicit(&counters->stats[i], memory_order_relaxed);
}

uint32_t dataplane_read_refusals(struct dataplane *d, uint32_t queue,
				 struct refusal out[REFUSALS_MAX])
{
	return refusals_read(&d->workers[queue].refusals, out, sizeof(*out));
}

uint32_t dataplane_read_refused_sends(struct dataplane *d, uint32_t queue,
				      struct refused_send out[REFUSALS_MAX])
{
	return io_read_refused(d->workers[queue].io, out);
}

void dataplane_read_counters(struct dataplane *d, uint64_t drops[DROPS], uint64_t stats[STATS])
{
	for (uint32_t q = 0; q < d->queues; q++)
		dataplane_read_queue(d, q, drops, stats);
}

uint64_t dataplane_cpu_ns(const struct dataplane *d)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < d->started; i++) {
		struct timespec used;
		clockid_t clock;

		if (pthread_getcpuclockid(d->threads[i], &clock) == 0 &&
		    clock_gettime(clock, &used) == 0)
			sum += (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
	}
	return sum;
}

void dataplane_stop(struct dataplane *d)
{
	for (uint32_t i = 0; i < d->started; i++) {
		d->stop[i].type = ORDER_STOP;
		/*
		 * A worker that has only just been started may not have enabled its ring yet, and
		 * the kernel may have no memory. Who is not told is waited for below for ever.
		 */
		for (int n = 0;
		     n < STOP_TRIES && !dataplane_start_error(d, i) && post(d, i, &d->stop[i]) != 0;
		     n++)
			usleep(1000);
	}
	for (uint32_t i = 0; i < d->started; i++)
		pthread_join(d->threads[i], NULL);
	d->started = 0;
}

void dataplane_destroy(struct dataplane *d)
{
	if (!d)
		return;
	for (uint32_t i = 0; d->workers && i < d->queues; i++) {
		struct worker *w = &d->workers[i];
		io_destroy(w->io);
		punt_pools_destroy(w);
		handovers_destroy(&w->handovers);
		free(w->handed.events);
		free(w->tun_runs.events);
		free(w->udp_trains.events);
		free(w->replies.list);
		free(w->punches.list);
	}
	post_destroy(d->post);
	if (d->conntrack)
		conntrack_destroy(d->conntrack);
	free(d->workers);
	free(d->counters);
	free(d);
}
