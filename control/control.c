/*
 * control.c - the control thread's loop; see control.h.
 *
 * Completions are of two kinds: small numbers are our own polls, everything else is the address of
 * a punt (MSG_RING of a worker). The ring has room in its completion queue for every punt that the
 * pools and the orders of all workers can hold, so a worker's message is never refused while
 * control is busy.
 *
 * A turn takes in at most CONTROL_TURN_MAX completions, works on a few of the handshakes that wait
 * (handshake_queue.h), lets the node do what is due, hands garbage to the reaper, and sleeps until
 * the next deadline or completion. With nothing due it sleeps for ever.
 */
#include "control.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "config/snapshot_build.h"
#include "dns.h"
#include "log.h"
#include "peers/node_query.h"
#include "system/local_addrs.h"
#include "system/resolver.h"
#include "system/signals.h"

enum poll_tag {
	TAG_SIGNAL = 1,
	TAG_REAPER,
	TAG_ADDRS,
	TAG_ADMIN,
	TAG_LINK,
	TAG_ROUTES,
	TAG_RESOLVER,
	TAG_DNS,
	TAG_END
};

/* READY, STOPPED and a note of each kind per worker come beside what the pools hold. */
#define PUNTS_PER_QUEUE                                                                            \
	(POOL_HANDSHAKES + POOL_OPENED + POOL_RECV_ERRORS + POOL_WAITING_SMALL +                   \
	 POOL_WAITING_LARGE + POOL_EVENTS + ORDERS_MAX + NOTES + 2)
#define SUBMISSIONS 16

static int post(void *context, uint32_t queue, struct order *order)
{
	struct control *control = context;

	if (!control->dataplane)
		return -ENXIO;
	/* A ring that its worker has not enabled yet refuses: the order waits for PUNT_READY. */
	if (!(control->workers_ready & 1ull << queue))
		return -EAGAIN;
	return dataplane_post(control->dataplane, queue, order);
}

int control_init(struct control *control, uint32_t queues, char error[ERROR_LINE_MAX])
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER |
			 IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CLAMP,
		.cq_entries = queues * PUNTS_PER_QUEUE + TAG_END,
	};
	int result = io_uring_queue_init_params(SUBMISSIONS, &control->ring, &params);

	if (result) {
		snprintf(error, ERROR_LINE_MAX, "cannot make control's io_uring: %s%s",
			 strerror(-result),
			 result == -ENOMEM ? "; raise the limit of locked memory (ulimit -l)" : "");
		return result;
	}
	handshake_queue_init(&control->handshakes);
	control->queues = queues;
	control->orders.post = post;
	control->orders.context = control;
	outside_live_init(control);
	control->refused_log = RATE(REFUSED_LOG_PER_SECOND, REFUSED_LOG_BURST);
	return 0;
}

int control_ring_fd(const struct control *control)
{
	return control->ring.ring_fd;
}

static void poll_arm(struct control *control, int fd, enum poll_tag tag)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&control->ring);

	io_uring_prep_poll_multishot(sqe, fd, POLLIN);
	io_uring_sqe_set_data64(sqe, tag);
}

/* One shot: what a bounded turn has left makes the next poll fire at once. */
static void poll_arm_once(struct control *control, int fd, enum poll_tag tag)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&control->ring);

	io_uring_prep_poll_add(sqe, fd, POLLIN);
	io_uring_sqe_set_data64(sqe, tag);
}

static void snapshot_release(struct hostmap *map, void *object)
{
	snapshot_free(object);
}

/* The workers' snapshot with the routes that the kernel has now: nothing else of it changes. */
static void routes_publish(struct control *control)
{
	struct route_table *table = routes_due(control->routes, control->outside.now_ns(control));
	struct snapshot *snapshot;

	if (!table)
		return;
	snapshot = snapshot_reroute(dataplane_snapshot(control->dataplane), table);
	if (!snapshot) {
		route_table_destroy(table); /* no memory: the next change tries again */
		return;
	}
	hostmap_defer(control->map, snapshot_release,
		      dataplane_publish(control->dataplane, snapshot));
}

static void close_begin(struct control *control)
{
	control->state = CONTROL_CLOSING;
	control->close_deadline_ns =
		control->outside.now_ns(control) + (uint64_t)CLOSE_WAIT_MS * 1000000u;
	node_shutdown(control->node);
}

static void signals_take(struct control *control)
{
	struct stats stats;
	int number;

	while ((number = signals_next(control->signal_fd)) != 0) {
		switch (number) {
		case SIGHUP:
			control->reload_asked = true; /* several at once are one */
			break;
		case SIGUSR1:
			control_stats(control, &stats);
			stats_log(&stats, &control->outside, true);
			break;
		default:
			log_info("Caught signal, shutting down",
				 LOG_STR("signal", number == SIGINT ? "interrupt" : "terminated"));
			if (control->state < CONTROL_CLOSING)
				close_begin(control);
			else
				control->state = CONTROL_ENDED; /* asked twice: do not wait */
		}
	}
}

static void garbage_turn(struct control *control)
{
	struct garbage *batch;

	if (reaper_busy(control->reaper))
		return;
	batch = hostmap_garbage_take(control->map);
	if (batch)
		reaper_submit(control->reaper, batch);
}

static void completion_take(struct control *control, uint64_t tag, uint32_t flags)
{
	struct garbage *batch;

	if (tag >= TAG_END) {
		dispatch_punt(control, dataplane_punt_of(tag));
		return;
	}
	if (tag == TAG_SIGNAL) {
		signals_take(control);
		if (!(flags & IORING_CQE_F_MORE))
			poll_arm(control, control->signal_fd, TAG_SIGNAL);
	} else if (tag == TAG_REAPER) {
		batch = reaper_collect(control->reaper);
		if (batch)
			hostmap_garbage_release(control->map, batch);
		if (!(flags & IORING_CQE_F_MORE))
			poll_arm(control, reaper_fd(control->reaper), TAG_REAPER);
	} else if (tag == TAG_ADDRS) {
		local_addrs_take(control->addrs_fd);
		node_on_local_addrs(control->node);
		if (!(flags & IORING_CQE_F_MORE))
			poll_arm(control, control->addrs_fd, TAG_ADDRS);
	} else if (tag == TAG_LINK) {
		routes_link_turn(control->routes, node_own_cert(control->node));
		if (!(flags & IORING_CQE_F_MORE))
			poll_arm(control, routes_link_fd(control->routes), TAG_LINK);
	} else if (tag == TAG_ROUTES) {
		routes_turn(control->routes, control->outside.now_ns(control));
		poll_arm_once(control, routes_fd(control->routes), TAG_ROUTES);
	} else if (tag == TAG_ADMIN) {
		admin_turn(control->admin, control->outside.now_ns(control));
		poll_arm_once(control, admin_fd(control->admin), TAG_ADMIN);
	} else if (tag == TAG_RESOLVER) {
		resolver_turn(control->resolver);
		poll_arm_once(control, resolver_fd(control->resolver), TAG_RESOLVER);
	} else if (tag == TAG_DNS) {
		dns_turn(control->dns, control->node, &control->outside);
		poll_arm_once(control, dns_fd(control->dns), TAG_DNS);
	}
}

/* At most CONTROL_TURN_MAX; what is left is there at once in the next turn. */
static void completions_take(struct control *control)
{
	unsigned taken = 0;
	struct io_uring_cqe *cqe;

	while (taken < CONTROL_TURN_MAX && io_uring_peek_cqe(&control->ring, &cqe) == 0) {
		uint64_t tag = cqe->user_data;
		uint32_t flags = cqe->flags;

		/* Given back first: what it names is ours, and dispatching may make more come. */
		io_uring_cqe_seen(&control->ring, cqe);
		completion_take(control, tag, flags);
		taken++;
	}
}

static uint64_t own_cpu_ns(void)
{
	struct timespec used;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

static void judge_workers(struct control *control, uint64_t now)
{
	uint64_t drops[DROPS] = {0}, stats[STATS] = {0};

	dataplane_read_counters(control->dataplane, drops, stats);
	handshake_queue_judge(&control->handshakes, now, dataplane_cpu_ns(control->dataplane),
			      stats[STAT_UDP_RECEIVED] + stats[STAT_TUN_PACKETS]);
}

/* A few handshakes at a time, so that everything else is looked at in between. */
static void handshakes_work(struct control *control)
{
	struct handshake_queue *queue = &control->handshakes;
	uint64_t now = control->outside.now_ns(control), before;
	struct punt *punt;

	if (queue->count == 0)
		return;
	if (handshake_queue_wants_judging(queue, now))
		judge_workers(control, now);
	before = own_cpu_ns();
	for (int n = 0; n < CONTROL_TURN_HANDSHAKES; n++) {
		punt = handshake_queue_take(queue, now);
		if (!punt)
			return;
		node_on_handshake(control->node, punt->queue, &punt->source, punt->via, punt->bytes,
				  punt->length);
		punt_release(punt);

		uint64_t after = own_cpu_ns();
		handshake_queue_spent(queue, after - before);
		before = after;
	}
}

/* Submits, and sleeps until a completion is there or deadline_ns has come. */
static void turn_wait(struct control *control, uint64_t deadline_ns)
{
	struct __kernel_timespec timeout;
	struct io_uring_cqe *cqe;
	uint64_t now = control->outside.now_ns(control);
	uint64_t left = deadline_ns > now ? deadline_ns - now : 0;

	timeout.tv_sec = (long long)(left / 1000000000u);
	timeout.tv_nsec = (long long)(left % 1000000000u);
	(void)io_uring_submit_and_wait_timeout(&control->ring, &cqe, 1,
					       deadline_ns == UINT64_MAX ? NULL : &timeout, NULL);
}

/* A worker without a ring cannot say so: who waits for it has to look. */
static uint64_t next_look(const struct control *control)
{
	if (control_workers_ready(control))
		return UINT64_MAX;
	return control->outside.now_ns(control->outside.context) +
	       (uint64_t)START_LOOK_MS * 1000000u;
}

/* Nothing more is awaited of a worker that could not begin, and the node ends. */
static void workers_look(struct control *control)
{
	for (uint32_t queue = 0; queue < control->queues; queue++) {
		int error = dataplane_start_error(control->dataplane, queue);

		if (!error || (control->workers_ready & 1ull << queue))
			continue;
		control->workers_ready |= 1ull << queue;
		log_error("A worker's io_uring cannot be started", LOG_U64("queue", queue),
			  LOG_STR("error", strerror(error)));
		control->exit_status = 1;
		control->state = CONTROL_ENDED;
	}
}

/* Nobody reads a status page in time. */
static void expiry_tick(struct control *control)
{
	const struct cert *own = node_own_cert(control->node);
	uint64_t now_ns = control->outside.now_ns(control);
	int64_t now_s = (int64_t)(control->outside.wall_ns(control) / 1000000000u), next_s;

	if (now_ns < control->expiry_due_ns)
		return;
	switch (expiry_look(&control->expiry, own->not_before, own->not_after, now_s, &next_s)) {
	case EXPIRY_NOTHING:
		break;
	case EXPIRY_SOON:
		log_warning("The certificate of this host ends soon: renew it and reload",
			    LOG_STR("certName", own->name),
			    LOG_U64("secondsLeft", (uint64_t)(own->not_after - now_s)));
		break;
	case EXPIRY_ENDED:
		log_error("The certificate of this host has ended: peers refuse it; renew it and "
			  "reload",
			  LOG_STR("certName", own->name));
		break;
	}
	control->expiry_due_ns = now_ns + (uint64_t)(next_s - now_s) * 1000000000u;
}

/* What the kernel has refused to post stops a queue, so it is not left to the next event. */
static void orders_look(struct control *control)
{
	control->orders_left = orders_retry(&control->orders);
	if (control->orders_left)
		control->orders_retry_ns = control->outside.now_ns(control->outside.context) +
					   (uint64_t)ORDERS_RETRY_MS * 1000000u;
}

static uint64_t next_deadline(const struct control *control)
{
	uint64_t deadline = node_next_deadline(control->node);

	if (control->expiry_due_ns < deadline)
		deadline = control->expiry_due_ns;
	if (next_look(control) < deadline)
		deadline = next_look(control);
	if (control->orders_left && control->orders_retry_ns < deadline)
		deadline = control->orders_retry_ns;
	if (routes_next_deadline(control->routes) < deadline)
		deadline = routes_next_deadline(control->routes);
	if (handshake_queue_deadline(&control->handshakes) < deadline)
		deadline = handshake_queue_deadline(&control->handshakes);
	if (control->admin && admin_next_deadline(control->admin) < deadline)
		deadline = admin_next_deadline(control->admin);
	if (control->resolver && resolver_next_deadline(control->resolver) < deadline)
		deadline = resolver_next_deadline(control->resolver);
	if (control->state == CONTROL_CLOSING && control->close_deadline_ns < deadline)
		deadline = control->close_deadline_ns;
	return deadline;
}

static bool closing_over(const struct control *control)
{
	return control->state == CONTROL_CLOSING &&
	       (orders_idle(&control->orders) ||
		control->outside.now_ns(control->outside.context) >= control->close_deadline_ns);
}

/* A worker can be stopped only once its ring is enabled, however early the end has come. */
static void workers_await(struct control *control)
{
	uint64_t deadline = control->outside.now_ns(control) + (uint64_t)CLOSE_WAIT_MS * 1000000u;

	while (!control_workers_ready(control) && control->outside.now_ns(control) < deadline) {
		turn_wait(control, next_look(control) < deadline ? next_look(control) : deadline);
		completions_take(control);
		workers_look(control);
	}
}

bool control_workers_ready(const struct control *control)
{
	return (uint32_t)__builtin_popcountll(control->workers_ready) == control->queues;
}

int control_run(struct control *control)
{
	poll_arm(control, control->signal_fd, TAG_SIGNAL);
	poll_arm(control, reaper_fd(control->reaper), TAG_REAPER);
	if (control->addrs_fd >= 0)
		poll_arm(control, control->addrs_fd, TAG_ADDRS);
	if (control->admin)
		poll_arm_once(control, admin_fd(control->admin), TAG_ADMIN);
	if (control->resolver)
		poll_arm_once(control, resolver_fd(control->resolver), TAG_RESOLVER);
	if (control->dns)
		poll_arm_once(control, dns_fd(control->dns), TAG_DNS);
	if (routes_link_fd(control->routes) >= 0)
		poll_arm(control, routes_link_fd(control->routes), TAG_LINK);
	if (routes_fd(control->routes) >= 0)
		poll_arm_once(control, routes_fd(control->routes), TAG_ROUTES);

	while (control->state != CONTROL_ENDED) {
		turn_wait(control, next_deadline(control));
		completions_take(control);
		if (!control_workers_ready(control))
			workers_look(control);
		if (control->state == CONTROL_ENDED)
			break;
		if (control->reload_asked && control->state == CONTROL_RUNNING) {
			control->reload_asked = false;
			log_info("Caught HUP, reloading config");
			control->on_reload(control);
			control->expiry_due_ns = 0;
		}
		handshakes_work(control);
		if (control->resolver)
			resolver_tick(control->resolver, control->outside.now_ns(control));
		node_tick(control->node);
		expiry_tick(control);
		routes_publish(control);
		if (control->admin) {
			admin_tick(control->admin, control->outside.now_ns(control));
			control->stats[STAT_CTL_DROPPED] = admin_dropped(control->admin);
		}
		garbage_turn(control);
		orders_look(control);
		if (closing_over(control))
			control->state = CONTROL_ENDED;
	}
	workers_await(control);
	return control->exit_status;
}

void control_drain(struct control *control)
{
	struct io_uring_cqe *cqe;

	control->state = CONTROL_ENDED;
	/* With DEFER_TASKRUN a message becomes a completion only when its owner asks. */
	(void)io_uring_get_events(&control->ring);
	while (io_uring_peek_cqe(&control->ring, &cqe) == 0) {
		uint64_t tag = cqe->user_data;

		io_uring_cqe_seen(&control->ring, cqe);
		if (tag >= TAG_END) {
			struct punt *punt = dataplane_punt_of(tag);

			if (punt->type == PUNT_ORDER_DONE || punt->type == PUNT_RESUME_AGAIN)
				orders_done(&control->orders, punt->order);
			punt_release(punt);
		}
	}
	orders_discard(&control->orders);
}

void control_close(struct control *control)
{
	io_uring_queue_exit(&control->ring);
}

void control_stats(struct control *control, struct stats *stats)
{
	memset(stats, 0, sizeof(*stats));
	memcpy(stats->drops, control->drops, sizeof(stats->drops));
	memcpy(stats->stats, control->stats, sizeof(stats->stats));
	stats->stats[STAT_KERNEL_TUN_DROPPED] = kernel_drops_tun(&control->kernel);
	stats->stats[STAT_KERNEL_UDP_DROPPED] = kernel_drops_udp(&control->kernel);
	dataplane_read_counters(control->dataplane, stats->drops, stats->stats);
}
