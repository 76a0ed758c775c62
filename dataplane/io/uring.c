/*
 * uring.c - one queue on one io_uring: its life, its turns, its events.
 *
 * Theory of operation. The ring is made disabled by control, which also registers the two files and
 * the two buffer rings (afterwards nobody but the submitter may). The worker enables it, which
 * makes the worker its single issuer, and arms the reads. From then on the worker's only system
 * call is one io_uring_enter per turn: it submits the prepared writes and sends, runs the ring's
 * deferred work and waits.
 *
 * Sends and tun writes complete while they are submitted, so their completions would end every wait
 * at once. Their number is known (inline_pending): a turn that sleeps waits for one completion
 * more, one that does not sleep for just these. It must ask for them: the kernel begins a linked
 * send in its deferred work, and who asks for nothing gets one round of that, so the first sends of
 * a chain. The others stayed sealed for some turns more, while other workers sent newer packets of
 * the tunnel.
 *
 * A kernel that refuses a submission (it has no memory) is asked again, by the next turn or at once
 * where there is no room for one more request. When it has refused all for RING_REFUSED_MAX_MS, no
 * packet moves, and no word gets out of here either, for that would take the ring. Then the process
 * ends, with a line that says so: whoever watches over it can start it anew, which nobody would for
 * one that hangs. One that does not deliver a punt gets it again after a pause.
 */
#include "io/uring.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "handover.h"
#include "spin.h"

int io_ring_fd(const struct io *io)
{
	return io->ring.ring_fd;
}

uint64_t io_order_tag(struct order *order)
{
	return TAG(OP_ORDER, (uintptr_t)order);
}

static int ring_create(struct io *io)
{
	struct io_uring_params p = {
		.flags = IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER |
			 IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
		.cq_entries = CQ_ENTRIES,
	};
	if (io->options.busy_poll) /* 5.19: the kernel says in memory that work waits */
		p.flags |= IORING_SETUP_TASKRUN_FLAG;
	int err = io_uring_queue_init_params(SQ_ENTRIES, &io->ring, &p);
	if (err)
		return err;

	/*
	 * A tun before 6.7 says nowhere that it can be read without waiting. Left blocking, its
	 * reads and writes run in io-wq threads, whose completions come last first: on 6.1 whole
	 * bursts were reversed. O_NONBLOCK says it; reads still wait, by poll.
	 */
	if (io->options.tier < IO_TIER_6_7 && io->options.tun_fd >= 0)
		(void)fcntl(io->options.tun_fd, F_SETFL,
			    fcntl(io->options.tun_fd, F_GETFL) | O_NONBLOCK);

	int files[2] = {[FILE_TUN] = io->options.tun_fd, [FILE_UDP] = io->options.udp_fd};
	err = io_uring_register_files(&io->ring, files, 2);
	if (err)
		io_uring_queue_exit(&io->ring);
	return err;
}

static const char *setup_cure(int err)
{
	switch (-err) {
	case EMFILE:
		return "; raise the limit of open files (ulimit -n) or use fewer routines";
	case ENOMEM:
		return "; raise the limit of locked memory (ulimit -l) or use fewer routines";
	case EPERM:
	case ENOSYS: /* who may make a ring is allowed io_uring_setup, and nothing else perhaps */
		return "; allow all io_uring system calls (a container's seccomp profile?)";
	default:
		return "";
	}
}

int io_create(struct io **out, const struct io_options *options, char error[256])
{
	struct io *io = aligned_alloc(64, (sizeof(*io) + 63) & ~63ul);
	int err = -ENOMEM;

	*out = NULL;
	if (!io)
		goto err_say;
	memset(io, 0, sizeof(*io));
	io->options = *options;
	io->counters = options->counters;
	err = ring_create(io);
	if (err) {
		free(io);
		goto err_say;
	}
	err = tun_io_create(io);
	if (!err)
		err = udp_io_create(io);
	if (err) {
		io_destroy(io);
		goto err_say;
	}
	*out = io;
	return 0;

err_say:
	snprintf(error, 256, "queue %u: cannot set up its io_uring: %s%s", options->queue,
		 strerror(-err), setup_cure(err));
	return err;
}

void io_destroy(struct io *io)
{
	if (!io)
		return;
	io_uring_queue_exit(&io->ring);
	tun_io_destroy(io);
	udp_io_destroy(io);
	free(io);
}

int io_enable(struct io *io)
{
	int err = compat_enable_rings(&io->ring);
	if (err)
		return err;
	tun_io_arm(io);
	udp_io_arm(io);
	return 0;
}

uint64_t uring_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now); /* vDSO, no system call */
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* As main.c: 2 is what failed while running. */
static _Noreturn __attribute__((noinline)) void give_up(const struct io *io, int error)
{
	fprintf(stderr,
		"queue %u: the kernel takes no more io_uring requests: %s; the node cannot go on\n",
		io->options.queue, strerror(error));
	_exit(2);
}

static __attribute__((noinline)) void submission_refused(struct io *io, int error)
{
	uint64_t now = uring_now_ns();

	count_stat(io->counters, STAT_RING_REFUSED, 1);
	if (!io->refused_since_ns)
		io->refused_since_ns = now;
	else if (now - io->refused_since_ns > (uint64_t)RING_REFUSED_MAX_MS * 1000000u)
		give_up(io, error);
}

/* What a submission came to; a wait may also have ended by a signal or its time. */
static void submitted(struct io *io, int result)
{
	if (__builtin_expect(result >= 0 || result == -ETIME || result == -EINTR, 1))
		io->refused_since_ns = 0;
	else
		submission_refused(io, -result);
}

struct io_uring_sqe *uring_sqe(struct io *io)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&io->ring);

	while (!sqe) {
		submitted(io, io_uring_submit(&io->ring));
		sqe = io_uring_get_sqe(&io->ring);
	}
	return sqe;
}

bool io_ready(const struct io *io)
{
	return io_uring_cq_ready(&io->ring) > 0 || io->note_count > 0 ||
	       (io->unsent.head && !io->send_blocked && io->sends_in_flight == 0);
}

static void prepare_turn(struct io *io)
{
	if (!io->stopping) {
		buffers_refill(&io->tun_buffers);
		buffers_refill(&io->udp_buffers);
		tun_io_arm(io);
		udp_io_arm(io);
	}
	udp_io_prepare_sends(io);
	if (__builtin_expect(io->faults != NULL, 0))
		io->faults->submitting(io->faults->context, &io->ring);
}

void io_turn(struct io *io, bool sleep)
{
	prepare_turn(io);
	if (sleep || io->inline_pending > 0)
		submitted(io, io_uring_submit_and_wait(&io->ring, io->inline_pending + sleep));
	else
		submitted(io, io_uring_submit_and_get_events(&io->ring));
}

void io_gather(struct io *io)
{
	struct __kernel_timespec most = {.tv_nsec = GATHER_NS};
	struct io_uring_cqe *cqe;

	prepare_turn(io);
	/* Linux 5.11: the wait takes a time-out of its own */
	submitted(io, io_uring_submit_and_wait_timeout(
			      &io->ring, &cqe, io->inline_pending + GATHER_RUNS, &most, NULL));
}

bool io_busy_poll(struct io *io, uint64_t ns)
{
	const unsigned waiting = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;
	uint64_t end = uring_now_ns() + ns;

	io_turn(io, false);
	do {
		/* about a microsecond between looks at the clock */
		for (int i = 0; i < 16; i++) {
			if (io_ready(io))
				return true;
			if (IO_URING_READ_ONCE(*io->ring.sq.kflags) & waiting)
				io_uring_get_events(&io->ring);
			else
				spin_pause();
		}
	} while (uring_now_ns() < end);
	return io_ready(io);
}

void uring_note(struct io *io, const struct io_event *note)
{
	/* others are said once each: a full queue loses repetitions, never a fatal one */
	if (io->note_count >= (note_is_fatal(note->note) ? NOTES_MAX : NOTES_MAX - 2))
		return;
	io->notes[(io->note_head + io->note_count++) % NOTES_MAX] = *note;
}

static void handed(struct handover *handover, struct io_event *event)
{
	event->type = IO_HANDED;
	event->handover = handover;
	event->packet = handover->bytes;
	event->length = handover->length;
	event->segment_bytes = handover->segment_bytes;
	event->source = handover->source;
}

static void punt_submit(struct io *io, struct punt *punt)
{
	struct io_uring_sqe *sqe = uring_sqe(io);

	io_uring_prep_msg_ring(sqe, io->options.control_ring_fd, 0, (uint64_t)(uintptr_t)punt, 0);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	sqe->user_data = TAG(OP_PUNT, (uintptr_t)punt);
}

static void punt_keep(struct io *io, struct punt *punt)
{
	punt->next = NULL;
	if (!io->punts_kept)
		io->punts_kept_tail = &io->punts_kept;
	*io->punts_kept_tail = punt;
	io->punts_kept_tail = &punt->next;
}

/*
 * The kernel makes a request of its own for each message, and may have no memory for it. None may
 * be lost: an order that does not come back keeps one of ORDERS_MAX places for good, a tunnel whose
 * event does not come tells of no other.
 */
static __attribute__((noinline)) void punt_refused(struct io *io, struct punt *punt)
{
	static struct __kernel_timespec pause = {.tv_nsec = ORDERS_RETRY_MS * 1000000};

	count_stat(io->counters, STAT_PUNTS_REFUSED, 1);
	if (!io->punts_kept) {
		struct io_uring_sqe *sqe = uring_sqe(io);

		io_uring_prep_timeout(sqe, &pause, 0, 0);
		sqe->user_data = TAG(OP_PUNTS_AGAIN, 0);
	}
	punt_keep(io, punt);
}

/* The pause is over, or was itself refused or cancelled. */
static __attribute__((noinline)) void punts_again(struct io *io)
{
	struct punt *punt = io->punts_kept;

	io->punts_kept = NULL;
	while (punt) {
		struct punt *next = punt->next; /* once it is submitted, punt is control's */

		punt_submit(io, punt);
		punt = next;
	}
}

/* One completion; true when it is an event for the worker. */
static bool completion(struct io *io, const struct io_uring_cqe *cqe, struct io_event *event)
{
	uint64_t tag = cqe->user_data;

	switch (TAG_OP(tag)) {
	case OP_TUN_READ:
		return tun_io_read_done(io, cqe, event);
	case OP_UDP_RECEIVE:
		return udp_io_receive_done(io, cqe, event);
	case OP_SEND:
		udp_io_send_done(io, TAG_VALUE(tag), cqe->res);
		return false;
	case OP_WRITE:
		tun_io_write_done(io, TAG_VALUE(tag), cqe->res);
		return false;
	case OP_WRITABLE:
		udp_io_writable(io);
		return false;
	case OP_ORDER:
		event->type = IO_ORDER;
		event->order = TAG_POINTER(tag);
		return true;
	case OP_PUNT: /* only failures complete */
		punt_refused(io, TAG_POINTER(tag));
		return false;
	case OP_PUNTS_AGAIN:
		punts_again(io);
		return false;
	case OP_HANDED:
		handed(TAG_POINTER(tag), event);
		return true;
	case OP_HAND_OVER: { /* only failures complete: the owner has not begun, or has ended */
		struct handover *handover = TAG_POINTER(tag);
		count_drop(io->counters, DROP_HANDOVER_FULL, handover_packets(handover));
		handover_release(handover);
		return false;
	}
	case OP_NONE:
		break;
	}
	return false;
}

bool io_next(struct io *io, struct io_event *event)
{
	struct io_uring_cqe *cqe;

	if (io->note_count > 0) {
		*event = io->notes[io->note_head];
		io->note_head = (io->note_head + 1) % NOTES_MAX;
		io->note_count--;
		return true;
	}
	while (io_uring_peek_cqe(&io->ring, &cqe) == 0) {
		if (__builtin_expect(io->faults != NULL, 0))
			io->faults->completed(io->faults->context, cqe);
		bool is_event = completion(io, cqe, event);
		io_uring_cqe_seen(&io->ring, cqe);
		if (is_event)
			return true;
	}
	return false;
}

void io_release(struct io *io, const struct io_event *event)
{
	if (event->type == IO_TUN_RUN)
		buffers_release(&io->tun_buffers, event->buffer);
	else
		udp_io_release(io, event->buffer);
}

void io_punt(struct io *io, struct punt *punt)
{
	if (io->punts_kept) /* it must not overtake those */
		punt_keep(io, punt);
	else
		punt_submit(io, punt);
}

void io_set_peers(struct io *io, const int *fds)
{
	io->peer_rings = fds;
}

void io_hand_over(struct io *io, uint32_t queue, struct handover *handover)
{
	struct io_uring_sqe *sqe = uring_sqe(io);

	io_uring_prep_msg_ring(sqe, io->peer_rings[queue], 0, TAG(OP_HANDED, (uintptr_t)handover),
			       0);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	sqe->user_data = TAG(OP_HAND_OVER, (uintptr_t)handover);
}

void io_stop(struct io *io)
{
	struct io_uring_sqe *sqe = uring_sqe(io);

	io->stopping = true;
	io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
	sqe->user_data = TAG(OP_NONE, 0);
	udp_io_give_up(io);
}

void io_let_go(struct io *io)
{
	(void)io_uring_unregister_files(&io->ring);
}

bool io_stopped(const struct io *io)
{
	return io->stopping && io->tun_reads == 0 && !io->udp_armed && io->sends_in_flight == 0 &&
	       !io->unsent.head && io->inline_pending == 0;
}
