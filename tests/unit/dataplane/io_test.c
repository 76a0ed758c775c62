/*
 * io_test.c - reads and messages on a real ring (engine.h).
 */
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "handover.h"
#include "unit/dataplane/engine.h"

TestSuite(io, .timeout = 60);

static const enum io_tier tiers[] = {IO_TIER_6_1, IO_TIER_6_7};
/* cr_skip and unshare end or change the process: one test per tier. */
#define FOR_TIERS(name)                                                                            \
	static void name(enum io_tier tier);                                                       \
	Test(io, name##_tier_6_1)                                                                  \
	{                                                                                          \
		name(tiers[0]);                                                                    \
	}                                                                                          \
	Test(io, name##_tier_6_7)                                                                  \
	{                                                                                          \
		name(tiers[1]);                                                                    \
	}                                                                                          \
	static void name(enum io_tier tier)

/* ---- reading --------------------------------------------------------------------------------- */

FOR_TIERS(an_empty_datagram_ends_nothing)
{
	struct engine e;

	begin(&e, tier);
	from_peer(&e, "", 0);
	from_peer(&e, "behind", 6);
	expect_train(&e, "");
	expect_train(&e, "behind");
	cr_expect(io_receive_ended(e.io));
	cr_expect_not(io_receive_ended(e.io));
	from_peer(&e, "", 0);
	expect_train(&e, "");
	from_peer(&e, "later", 5);
	expect_train(&e, "later");
	end(&e);
}

FOR_TIERS(a_train_says_where_its_datagrams_end)
{
	static uint8_t datagrams[350];
	struct engine e;

	begin(&e, tier);
	setsockopt(e.peer, IPPROTO_UDP, 103 /* UDP_SEGMENT */, &(int){100}, sizeof(int));
	from_peer(&e, datagrams, sizeof(datagrams));
	struct io_event event = next(&e, IO_UDP_TRAIN);
	cr_expect_eq(event.length, 350);
	cr_expect_eq(event.segment_bytes, 100);
	io_release(e.io, &event);
	from_peer(&e, datagrams, 99);
	event = next(&e, IO_UDP_TRAIN);
	cr_expect_eq(event.segment_bytes, 99, "one alone");
	io_release(e.io, &event);
	setsockopt(e.peer, IPPROTO_UDP, 103 /* UDP_SEGMENT */, &(int){1}, sizeof(int));
	from_peer(&e, datagrams, 5);
	event = next(&e, IO_UDP_TRAIN);
	cr_expect_eq(event.length, 5, "punches");
	cr_expect_eq(event.segment_bytes, 1);
	cr_expect_eq(stat_of(&e, STAT_REARM_UDP), 0, "one request serves for many");
	io_release(e.io, &event);
	end(&e);
}

static void *send_some(void *engine)
{
	for (int i = 0; i < 20; i++) {
		from_peer(engine, "x", 1);
		usleep(1000);
	}
	return NULL;
}

/* A minute would be the limit; a look that does not see the kernel's word would take it. */
FOR_TIERS(a_busy_poll_ends_when_something_comes)
{
	struct io_event event;
	struct engine e;
	pthread_t sender;
	int came = 0;

	begin_with(&e, tier, true);
	while (io_busy_poll(e.io, 1000) || io_next(e.io, &event))
		;
	cr_assert_eq(pthread_create(&sender, NULL, send_some, &e), 0);
	while (came < 20) {
		cr_assert(io_busy_poll(e.io, 60 * 1000000000ull), "after %d", came);
		while (io_next(e.io, &event)) {
			if (event.type != IO_UDP_TRAIN)
				continue;
			came += (int)event.length;
			io_release(e.io, &event);
		}
	}
	pthread_join(sender, NULL);
	end(&e);
}

static void expect_nothing(struct engine *e)
{
	struct io_event event;

	for (int i = 0; i < 3; i++) {
		io_turn(e->io, false);
		cr_expect_not(io_next(e->io, &event));
	}
}

FOR_TIERS(all_buffers_taken_and_given_back)
{
	enum { MORE = 20 };
	static struct io_event held[UDP_SLOTS];
	struct engine e;
	char text[16];

	begin(&e, tier);
	for (uint32_t i = 0; i < UDP_SLOTS + MORE; i++) {
		snprintf(text, sizeof(text), "%03u", i);
		from_peer(&e, text, 3);
	}
	for (uint32_t i = 0; i < UDP_SLOTS; i++)
		held[i] = next(&e, IO_UDP_TRAIN);
	/* without a buffer nothing is armed, and nothing spins */
	expect_nothing(&e);
	uint64_t rearmed = stat_of(&e, STAT_REARM_UDP);
	expect_nothing(&e);
	cr_expect_not(e.io->udp_armed);
	cr_expect_eq(stat_of(&e, STAT_REARM_UDP), rearmed);
	for (uint32_t i = 0; i < UDP_SLOTS; i++) {
		snprintf(text, sizeof(text), "%03u", i);
		cr_expect_arr_eq(held[i].packet, text, 3);
		io_release(e.io, &held[i]);
	}
	for (uint32_t i = UDP_SLOTS; i < UDP_SLOTS + MORE; i++) {
		snprintf(text, sizeof(text), "%03u", i);
		expect_train(&e, text);
	}
	cr_expect_gt(stat_of(&e, STAT_REARM_UDP), 0);
	end(&e);
}

FOR_TIERS(tun_buffers_taken_and_given_back)
{
	static struct io_event held[TUN_SLOTS];
	struct engine e;
	char text[16];

	begin(&e, tier);
	for (uint32_t i = 0; i < TUN_SLOTS + 20; i++) {
		snprintf(text, sizeof(text), "%03u", i);
		into_tun(text, 3);
	}
	for (uint32_t i = 0; i < TUN_SLOTS; i++) {
		held[i] = next(&e, IO_TUN_RUN);
		snprintf(text, sizeof(text), "%03u", i);
		cr_expect_arr_eq(held[i].packet + 28, text, 3);
	}
	expect_nothing(&e);
	uint64_t rearmed = stat_of(&e, STAT_REARM_TUN);
	expect_nothing(&e);
	cr_expect_eq(e.io->tun_reads, 0);
	cr_expect_eq(stat_of(&e, STAT_REARM_TUN), rearmed);
	for (uint32_t i = 0; i < TUN_SLOTS; i++)
		io_release(e.io, &held[i]);
	for (uint32_t i = TUN_SLOTS; i < TUN_SLOTS + 20; i++) {
		snprintf(text, sizeof(text), "%03u", i);
		expect_run(&e, text);
	}
	if (tier == IO_TIER_6_7) {
		cr_expect_gt(e.io->tun_buffers.target, RING_SLOTS_MIN, "it ran dry, and grew");
		cr_expect_gt(stat_of(&e, STAT_REARM_TUN), 0);
		cr_expect_eq(e.io->tun_errors, 0);
	} else {
		cr_expect_eq(stat_of(&e, STAT_REARM_TUN), 0, "each read is armed by itself");
	}
	end(&e);
}

/* What the kernel may write to before a slot comes round again, in bytes. */
static uint32_t round_bytes(const struct buffers *b, uint32_t run_bytes)
{
	return b->target * run_bytes;
}

FOR_TIERS(few_slots_in_the_ring_for_large_runs_and_all_for_small_ones)
{
	static char large[9000];
	struct engine e;

	begin(&e, tier);
	struct buffers *b = &e.io->udp_buffers;
	for (int i = 0; i < 4 * UDP_SLOTS; i++) {
		from_peer(&e, "small", 5);
		/* all at once: the ring runs dry until it is large enough */
		if (i % UDP_SLOTS == UDP_SLOTS - 1)
			for (int k = 0; k < UDP_SLOTS; k++)
				expect_train(&e, "small");
	}
	cr_expect_eq(b->target, UDP_SLOTS);
	for (int i = 0; i < 200; i++) {
		from_peer(&e, large, sizeof(large));
		struct io_event event = next(&e, IO_UDP_TRAIN);
		io_release(e.io, &event);
	}
	cr_expect_leq(round_bytes(b, sizeof(large)), RING_BYTES_HOT);
	cr_expect_leq(b->in_ring, b->target);
	cr_expect_geq(b->target, RING_SLOTS_MIN);
	buffers_grow(b);
	cr_expect_leq(round_bytes(b, sizeof(large)), RING_BYTES_HOT, "no growth beyond the cache");
	end(&e);
}

FOR_TIERS(a_read_that_fails_once_is_armed_again)
{
	static const int errors[] = {-EIO, -ENOMEM, -EINTR, -EFAULT, -ENOBUFS, -ECANCELED, -EAGAIN};
	struct engine e;

	begin(&e, tier);
	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
		/* an empty datagram ends the multishot receive: the next arming is the spoilt one
		 */
		fault(&e, OP_UDP_RECEIVE, 0, 1, errors[i]);
		from_peer(&e, "", 0);
		expect_train(&e, "");
		from_peer(&e, "on", 2);
		expect_train(&e, "on");
		cr_expect_eq(e.hits, 1, "%s", strerror(-errors[i]));
		cr_expect_eq(e.io->udp_errors, 0);
		into_tun("run", 3);
		expect_run(&e, "run");
	}
	end(&e);
}

/* Before the first turn of reads: spoils the arming itself. */
static void dead(enum operation operation, enum note note)
{
	struct engine e;
	struct io_event event;

	begin(&e, IO_TIER_6_1);
	fault(&e, operation, 0, ERRORS_MAX, -EIO);
	if (operation == OP_UDP_RECEIVE) {
		from_peer(&e, "", 0);
		expect_train(&e, "");
	} else {
		into_tun("one", 3);
		expect_run(&e, "one");
	}
	event = next(&e, IO_NOTE);
	cr_expect_eq(event.note, note);
	cr_expect_eq(event.error, EIO);
	cr_expect_eq(e.hits, ERRORS_MAX);
	io_turn(e.io, false);
	cr_expect_not(io_next(e.io, &event), "given up, said once");
	end(&e);
}

Test(io, a_socket_that_fails_for_good)
{
	dead(OP_UDP_RECEIVE, NOTE_UDP_DEAD);
}

Test(io, a_tun_that_fails_for_good)
{
	dead(OP_TUN_READ, NOTE_TUN_DEAD);
}

/* The next read of the operation that brings something has this result instead. */
struct spoil {
	enum operation operation;
	int result;
};

static void spoil_read(void *context, struct io_uring_cqe *cqe)
{
	struct spoil *spoil = context;

	if (TAG_OP(cqe->user_data) != spoil->operation || cqe->res <= 0)
		return;
	cqe->res = spoil->result;
	spoil->operation = OP_NONE;
}

static void nothing_spoiled(void *context, struct io_uring *ring)
{
}

/* An error, or a header at most: as often as there are buffers, so that one that is not given back
 * is missed. */
FOR_TIERS(reads_that_bring_nothing_give_their_buffer_back)
{
	struct spoil spoil = {OP_NONE, 0};
	struct io_faults faults = {&spoil, nothing_spoiled, spoil_read};
	struct io_event event;
	struct engine e;

	begin(&e, tier);
	e.io->faults = &faults;
	for (int i = 0; i < 4 * UDP_SLOTS; i++) {
		spoil.result = i & 2 ? (int)VNET_BYTES : -EIO;
		spoil.operation = i & 1 ? OP_UDP_RECEIVE : OP_TUN_READ;
		if (i & 1)
			from_peer(&e, "lost", 4);
		else
			into_tun("lost", 4);
		while (spoil.operation != OP_NONE) {
			io_turn(e.io, true);
			cr_assert_not(io_next(e.io, &event));
		}
	}
	cr_expect_eq(drops(&e, DROP_UDP_TRUNCATED), UDP_SLOTS);
	cr_expect_eq(drops(&e, DROP_TUN_SHORT), UDP_SLOTS);
	from_peer(&e, "next", 4);
	expect_train(&e, "next");
	into_tun("next", 4);
	expect_run(&e, "next");
	end(&e);
}

/* ---- messages -------------------------------------------------------------------------------- */

/* The next punt that control gets. Sleeps: nothing but the engine's own timer will wake it. */
static struct punt *punt_got(struct engine *e)
{
	struct io_uring_cqe *cqe;
	struct io_event event;

	for (bool sleep = true; io_uring_peek_cqe(&e->control, &cqe) != 0; sleep = !sleep) {
		io_turn(e->io, sleep);
		while (io_next(e->io, &event))
			;
	}
	struct punt *punt = (struct punt *)(uintptr_t)cqe->user_data;
	io_uring_cqe_seen(&e->control, cqe);
	cr_expect_eq(punt->busy, 1, "control's until it gives it back");
	return punt;
}

Test(io, a_punt_that_the_kernel_does_not_deliver_is_sent_again, .timeout = 10)
{
	static const int errors[] = {-ENOMEM, -EOVERFLOW, -EAGAIN};
	struct punt punts[3] = {{.busy = 1}, {.busy = 1}, {.busy = 1}};
	struct io_uring_cqe *cqe;
	struct engine e;

	begin(&e, IO_TIER_6_1);
	for (int i = 0; i < 3; i++) {
		fault(&e, OP_PUNT, 0, 2, errors[i]);
		io_punt(e.io, &punts[0]);
		io_punt(e.io, &punts[1]);
		settle_writes(&e);
		cr_expect_eq(e.hits, 2);
		io_punt(e.io, &punts[2]); /* overtakes none */
		for (int n = 0; n < 3; n++)
			cr_expect_eq(punt_got(&e), &punts[n]);
		cr_expect_neq(io_uring_peek_cqe(&e.control, &cqe), 0, "each comes once");
	}
	cr_expect_eq(stat_of(&e, STAT_PUNTS_REFUSED), 6);
	cr_expect_eq(drops(&e, DROP_PUNT_POOL), 0);
	end(&e);
}

Test(io, a_kernel_that_delivers_no_punt_for_long_is_asked_again, .timeout = 10)
{
	struct punt punts[2] = {{.busy = 1}, {.busy = 1}};
	struct engine e;

	begin(&e, IO_TIER_6_1);
	fault(&e, OP_PUNT, 0, 20, -ENOMEM);
	io_punt(e.io, &punts[0]);
	io_punt(e.io, &punts[1]);
	cr_expect_eq(punt_got(&e), &punts[0]);
	cr_expect_eq(punt_got(&e), &punts[1]);
	cr_expect_eq(stat_of(&e, STAT_PUNTS_REFUSED), 20);
	end(&e);
}

/* A worker that stops cancels its timer too. */
Test(io, the_end_leaves_no_punt_behind, .timeout = 10)
{
	struct punt punt = {.busy = 1};
	struct io_uring_cqe *cqe;
	struct engine e;

	begin(&e, IO_TIER_6_1);
	fault(&e, OP_PUNT, 0, 1, -ENOMEM);
	io_punt(e.io, &punt);
	settle_writes(&e);
	cr_expect_neq(io_uring_peek_cqe(&e.control, &cqe), 0);
	io_stop(e.io);
	cr_expect_eq(punt_got(&e), &punt);
	end(&e);
}

static struct handover *hand_over_made(struct handovers *pool, uint32_t id)
{
	struct handover *handover = calloc(1, sizeof(*handover) + 250);

	handover->pool = pool;
	handover->id = id;
	handover->length = 250;
	handover->segment_bytes = 100;
	return handover;
}

/* The owner's ring is full, or gone: three datagrams are counted, and the note is free again. */
Test(io, a_hand_over_that_the_owner_does_not_take_is_released_and_counted)
{
	static const int errors[] = {-EOVERFLOW, -EBADFD, -ENOMEM};
	struct handovers pool = {0};
	struct io_uring_cqe *cqe;
	struct engine e;

	begin(&e, IO_TIER_6_1);
	io_set_peers(e.io, &e.control.ring_fd);
	for (uint32_t i = 0; i < 3; i++) {
		struct handover *taken = hand_over_made(&pool, 2 * i),
				*refused = hand_over_made(&pool, 2 * i + 1);

		fault(&e, OP_HAND_OVER, 1, 1, errors[i]);
		io_hand_over(e.io, 0, taken);
		io_hand_over(e.io, 0, refused);
		settle_writes(&e);
		cr_expect_eq(e.hits, 1);
		cr_expect_eq(drops(&e, DROP_HANDOVER_FULL), 3 * (i + 1));
		cr_expect_eq(atomic_load(&pool.free) >> (2 * i) & 3, 2, "the refused one is free");
		cr_assert_eq(io_uring_peek_cqe(&e.control, &cqe), 0);
		cr_expect_eq(cqe->user_data, TAG(OP_HANDED, (uintptr_t)taken));
		io_uring_cqe_seen(&e.control, cqe);
		free(taken);
		free(refused);
	}
	end(&e);
}

/* What the ring's descriptor names refuses every submission, until it is put back. */
static int ring_spoil(struct engine *e)
{
	int real = dup(e->io->ring.ring_fd), null = open("/dev/null", O_RDWR | O_CLOEXEC);

	cr_assert_gt(real, 0);
	cr_assert_eq(dup2(null, e->io->ring.ring_fd), e->io->ring.ring_fd);
	close(null);
	return real;
}

static void nop(struct io_uring_sqe *sqe)
{
	io_uring_prep_nop(sqe);
	sqe->user_data = TAG(OP_NONE, 0);
}

static void fill_ring(struct engine *e)
{
	for (int i = 0; i < SQ_ENTRIES; i++)
		nop(io_uring_get_sqe(&e->io->ring));
	cr_assert_null(io_uring_get_sqe(&e->io->ring));
}

struct repair {
	struct engine *e;
	int real;
};

static void *repair(void *context)
{
	const struct repair *r = context;

	while (atomic_load(&r->e->counters.stats[STAT_RING_REFUSED]) == 0)
		usleep(1000);
	dup2(r->real, r->e->io->ring.ring_fd);
	return NULL;
}

Test(io, a_submission_that_is_refused_for_a_while_is_made_again)
{
	struct repair r;
	struct engine e;
	pthread_t thread;

	begin(&e, IO_TIER_6_1);
	fill_ring(&e);
	r = (struct repair){&e, ring_spoil(&e)};
	cr_assert_eq(pthread_create(&thread, NULL, repair, &r), 0);
	nop(uring_sqe(e.io));
	pthread_join(thread, NULL);
	cr_expect_geq(stat_of(&e, STAT_RING_REFUSED), 1);
	cr_expect_eq(e.io->refused_since_ns, 0);
	close(r.real);
	from_peer(&e, "goes on", 7);
	expect_train(&e, "goes on");
	end(&e);
}

/* Else it would hang, with nobody to start it anew: for want of room, and in its turns. */
Test(io, a_ring_without_room_that_takes_nothing_ends_the_node, .exit_code = 2)
{
	struct engine e;

	begin(&e, IO_TIER_6_1);
	fill_ring(&e);
	ring_spoil(&e);
	uring_sqe(e.io);
}

Test(io, turns_of_a_ring_that_takes_nothing_end_the_node, .exit_code = 2)
{
	struct engine e;

	begin(&e, IO_TIER_6_1);
	ring_spoil(&e);
	nop(io_uring_get_sqe(&e.io->ring));
	for (;;)
		io_turn(e.io, true);
}

Test(io, orders_come_first_in_first_out)
{
	static struct order orders[50];
	struct engine e;

	begin(&e, IO_TIER_6_1);
	for (int i = 0; i < 50; i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&e.control);
		io_uring_prep_msg_ring(sqe, io_ring_fd(e.io), 0, io_order_tag(&orders[i]), 0);
		io_uring_submit_and_wait(&e.control, 1);
	}
	for (int i = 0; i < 50; i++)
		cr_expect_eq(next(&e, IO_ORDER).order, &orders[i]);
	end(&e);
}
