/*
 * loop.c - READ FIRST: the turns of a worker.
 *
 * One turn: collect what has completed; orders of control; inbound trains, then outbound runs, as
 * far as there are slots for what they become; close what is open; one io_uring_enter that submits
 * all of it and, when nothing is left to do, waits. Nothing is held back for a later turn to make a
 * batch fuller, with one exception: while small packets come faster than they can be handled one
 * by one, a turn waits a moment for more of them (gather_learn).
 *
 *   io_next --> udp_trains --> inbound.c --> inbound_run.c --> chains.c --> io_write (tun)
 *          |        |\-> clear.c --> punt.c                        (control)
 *          |        |\-> relay.c --> io_send, the same buffer         (UDP)
 *          |        \--> handover.c --> io_hand_over                 (another worker)
 *          \--> handed ------> inbound.c, from another worker
 *          \--> tun_runs ----> outbound.c --> train.c --> io_send    (UDP)
 *          \--> orders ------> inbox.c
 *                 questions to a lighthouse: inbound_run.c --> answer.c --> train.c
 *
 * A second worker may have the sparse flows (worker.sparse): the same turns on a queue and a socket
 * of its own.
 *
 * RCU: the worker is a registered reader, offline while it is inside io_turn(). Pointers that came
 * from tables do not live longer than a turn.
 */
#include "worker.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>

/* Free write slots that a train may need at worst: a chain each, one more, and what fills up. */
#define TRAIN_SLOTS (CHAINS_MAX + 4)
/* Bytes worked on before they are submitted: more would only wait, and leave the cache. */
#define BATCH_BYTES (512u << 10)
/* And datagrams: each may become a write, whose completion needs its place in the queue. */
#define BATCH_DATAGRAMS 2048

static uint64_t coarse_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now); /* vDSO, no system call */
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void fifo_put(struct event_fifo *fifo, const struct io_event *event)
{
	/* there are no more receive buffers than places */
	fifo->events[(fifo->head + fifo->count++) % fifo->size] = *event;
}

static struct io_event *fifo_first(struct event_fifo *fifo)
{
	return fifo->count ? &fifo->events[fifo->head] : NULL;
}

static void fifo_drop_first(struct event_fifo *fifo)
{
	fifo->head = (fifo->head + 1) % fifo->size;
	fifo->count--;
}

/*
 * A small packet costs a read and a completion of its own; the send or write that it shares is paid
 * once per turn. A worker that comes back too soon finds few each time, and has no time for more:
 * with seven packets a turn it spent 2.6 us of CPU on each, with thirty-five 1.8. So it gathers:
 * GATHER_RUNS events or GATHER_NS, whichever is first. It begins when turns bring several runs
 * each, all small, and ends when gathering brings few. A lone packet never waits, nor does one
 * beside a bulk flow.
 */
#define GATHER_BEGIN     4 /* runs per turn, mean of about 16 turns */
#define GATHER_GO_ON     16
#define GATHER_RUN_BYTES 2048 /* larger runs are worth a turn of their own */
/* Who sends empty datagrams ends the receive, and would make each wait one for nothing. */
#define GATHER_PAUSE 64 /* turns */

static void gather_see(struct worker *w, const struct io_event *event)
{
	w->gather.runs++;
	w->gather.bytes += event->length;
}

static void gather_learn(struct worker *w)
{
	struct gather *g = &w->gather;

	if (io_receive_ended(w->io))
		g->pause = GATHER_PAUSE;
	if (g->pause > 0) {
		g->pause--;
		g->runs = 0;
	}
	if (g->runs == 0 || g->bytes > g->runs * GATHER_RUN_BYTES)
		g->mean16 = 0;
	else
		g->mean16 += g->runs - g->mean16 / 16;
	if (!g->on && g->mean16 >= 16 * GATHER_BEGIN) {
		g->on = true;
		g->mean16 = 16 * GATHER_RUNS; /* it gets some turns to show that it pays */
	}
	if (g->on && g->mean16 < 16 * GATHER_GO_ON) {
		g->on = false;
		g->mean16 = 0; /* turns that do not wait have to show a flood again */
	}
	g->runs = g->bytes = 0;
}

static void noted(struct worker *w, const struct io_event *event)
{
	if (event->note == NOTE_TSO_OFF)
		w->tso = false;
	if (event->note == NOTE_USO_OFF)
		w->uso = false;
	if (event->note == NOTE_GSO_OFF || event->note == NOTE_GSO_REMOTE) {
		struct tunnel *tunnel = hostmap_by_id(w->map, event->tunnel);
		struct remote *remote = tunnel ? RCU_READ(tunnel->remote) : NULL;
		if (remote)
			remote_lower_gso(remote, event->bytes, w->now_s);
	}
	punt_note(w, event);
}

static void collect(struct worker *w)
{
	struct io_event event;

	while (io_next(w->io, &event)) {
		switch (event.type) {
		case IO_TUN_RUN:
			gather_see(w, &event);
			fifo_put(&w->tun_runs, &event);
			break;
		case IO_UDP_TRAIN:
			gather_see(w, &event);
			fifo_put(&w->udp_trains, &event);
			break;
		case IO_HANDED:
			gather_see(w, &event);
			fifo_put(&w->handed, &event);
			break;
		case IO_ORDER:
			inbox_order(w, event.order);
			break;
		case IO_NOTE:
			noted(w, &event);
			break;
		}
	}
}

/* GRO looks at the sizes of datagrams: the first may be none of the frames. */
static bool has_frames(const struct io_event *train)
{
	for (uint32_t at = 0; at + WIRE_HEADER_BYTES <= train->length; at += train->segment_bytes)
		if (wire_type_of(train->packet + at) == WIRE_RELAY)
			return true;
	return false;
}

/*
 * Room for what a train may become: writes, or without a tun answers to pings. Frames may all be
 * for other ends, each a send; what needs more than half of the slots is seen to in relay.c.
 */
static bool inbound_possible(struct worker *w, const struct io_event *train)
{
	w->inbound_held = io_send_slots_free(w->io) < SEND_SLOTS / 2 && has_frames(train);
	if (w->queues > 1 && train->length >= WIRE_HEADER_BYTES &&
	    wire_type_of(train->packet) == WIRE_RELAY)
		w->waits_inbound = !relay_permitted(w, train->packet);
	if (w->inbound_held || w->waits_inbound)
		return false;
	return w->has_tun ? io_write_slots_free(w->io) >= TRAIN_SLOTS
			  : train_possible(w, GSO_SEGMENTS_MAX, GSO_BYTES_MAX);
}

static void inbound_done(struct worker *w, const struct io_event *event)
{
	if (event->type == IO_HANDED)
		handover_release(event->handover);
	else
		io_release(w->io, event);
}

static void inbound(struct worker *w)
{
	struct io_event *event;

	uint32_t bytes = 0, datagrams = 0;
	while (bytes < BATCH_BYTES && datagrams < BATCH_DATAGRAMS) {
		/* what others have passed on is older */
		struct event_fifo *from = w->handed.count ? &w->handed : &w->udp_trains;
		event = fifo_first(from);
		if (!event || !inbound_possible(w, event))
			break;
		bytes += event->length;
		datagrams += event->length ? (event->length - 1) / event->segment_bytes + 1 : 1;
		inbound_train(w, event);
		inbound_done(w, event);
		fifo_drop_first(from);
	}
	handover_flush(w);
	chains_flush(w);
}

static void outbound(struct worker *w)
{
	uint32_t bytes = 0, sealed = 0;
	struct io_event *event;

	/* what waits for a full socket grows old while the other workers go on: no more of it */
	bool blocked = w->queues > 1 && io_send_blocked(w->io);
	while (!blocked && bytes < BATCH_BYTES && sealed < w->unsent_max &&
	       (event = fifo_first(&w->tun_runs))) {
		uint32_t packets = vnet_packets(&event->vnet, event->packet, event->length);
		if (!train_possible(w, packets,
				    event->length +
					    packets * (INNER_HEADER_MAX + 2 * WIRE_OVERHEAD)))
			break;
		bytes += event->length;
		sealed += packets;
		w->outbound_held = !outbound_run(w, event->packet, event->length, &event->vnet);
		if (w->outbound_held)
			break;
		io_release(w->io, event);
		fifo_drop_first(&w->tun_runs);
	}
	if (w->chains.scratch_count > 0) /* answers to what was refused */
		chains_flush(w);
	train_close(w);
}

/* Work that can go on now; runs that wait for a full socket are woken by its completion. */
static bool has_work(const struct worker *w)
{
	bool trains = w->udp_trains.count + w->handed.count > 0, blocked = io_send_blocked(w->io);
	bool runs = w->tun_runs.count > 0 && !w->outbound_held;

	return (trains && !w->waits_inbound && ((w->has_tun && !w->inbound_held) || !blocked)) ||
	       ((runs || w->order_count > 0 || w->replies.count + w->punches.count > 0) &&
		!blocked);
}

/* The one system call: submits, and waits as long as nothing is lost by it. */
static void enter(struct worker *w)
{
	bool busy = w->stopping || has_work(w);

	gather_learn(w);
	bool waits = w->waits_inbound || w->waits_outbound;
	if (!busy && (w->gather.on || waits)) {
		count_stat(w->counters, waits ? STAT_SKEW_WAITS : STAT_GATHERS, 1);
		io_gather(w->io);
		return;
	}
	/* who sleeps must show no marks: they go when the completions of the sends are seen */
	bool shows = w->skew.count > 0 && !io_send_blocked(w->io);
	bool sleep = !busy && !shows && !io_ready(w->io);
	if (sleep && w->busy_poll_ns && io_busy_poll(w->io, w->busy_poll_ns)) {
		count_stat(w->counters, STAT_POLLS, 1);
		return;
	}
	if (sleep)
		count_stat(w->counters, STAT_WAITS, 1);
	io_turn(w->io, sleep);
}

static void turn(struct worker *w)
{
	count_stat(w->counters, STAT_LOOPS, 1);
	collect(w);
	skew_settle(w);
	w->snapshot = RCU_READ(*w->snapshot_slot);
	w->now_ns = coarse_now_ns();
	w->now_s = (uint32_t)(w->now_ns / 1000000000u);
	w->judged.tunnel = w->refused.tunnel = NULL;
	w->outbound_held = w->inbound_held = false;
	w->waits_outbound = w->waits_inbound = false;

	inbox_work(w);
	inbound(w);
	answers_work(w);
	outbound(w);

	rcu_worker_offline();
	enter(w);
	rcu_worker_online();
}

static void say(struct worker *w, enum punt_type type)
{
	struct punt *punt = punt_take(w, POOL_CLASS_ORDER, type);

	if (punt)
		punt_send(w, punt);
}

/* Cancels what is armed and gives back all that still comes. */
static void stop(struct worker *w)
{
	struct io_event event;

	chains_flush(w);
	train_close(w);
	io_stop(w->io); /* marks stay: no worker goes on */
	rcu_worker_offline();
	while (!io_stopped(w->io)) {
		io_turn(w->io, false);
		while (io_next(w->io, &event))
			if (event.type == IO_TUN_RUN || event.type == IO_UDP_TRAIN)
				io_release(w->io, &event);
			else if (event.type == IO_HANDED)
				handover_release(event.handover);
	}
	rcu_worker_online();
}

void *worker_main(void *argument)
{
	struct worker *w = argument;
	char name[16];

	snprintf(name, sizeof(name), "m57-w%u", w->queue);
	pthread_setname_np(pthread_self(), name);
	int error = -io_enable(w->io);
	if (error) {
		atomic_store(&w->start_error, error);
		return NULL;
	}
	urcu_qsbr_register_thread();
	say(w, PUNT_READY);
	while (!w->stopping)
		turn(w);
	stop(w);
	say(w, PUNT_STOPPED);
	rcu_worker_offline();
	io_turn(w->io, false);
	io_let_go(w->io);
	urcu_qsbr_unregister_thread();
	return NULL;
}
