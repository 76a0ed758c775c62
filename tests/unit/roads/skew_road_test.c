/*
 * skew_road_test.c - workers that share a tunnel wait for the one that is behind (skew.h).
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "crypto/seal.h"
#include "unit/roads/rig.h"

TestSuite(skew_road, .timeout = 60);

/* Worker 0 of 2, and the tunnel that it shares with worker 1, to 10.0.0.3. */
static struct rig *rig_of_two(struct tunnel **shared)
{
	struct addr three = addr_from_v4(0x0a000003);
	struct rig *rig = rig_create(true);

	rig->w.queues = 2;
	cr_assert_eq(hostmap_share(rig->map, 2), 0);
	*shared = rig_tunnel(rig, 1, &three);
	cr_assert_not_null((*shared)->unsent);
	return rig;
}

static uint32_t packet_to(uint8_t *packet, uint32_t last_byte)
{
	return packet_build(packet, &(struct packet){.version = 4,
						     .protocol = IPPROTO_UDP,
						     .source = 2,
						     .destination = last_byte,
						     .payload_bytes = 50});
}

static bool send_to(struct rig *rig, uint32_t last_byte)
{
	static const struct virtio_net_hdr plain;
	uint8_t packet[200];
	uint32_t length = packet_to(packet, last_byte);

	return outbound_run(&rig->w, packet, length, &plain);
}

Test(skew_road, a_run_waits_for_a_worker_that_is_far_behind)
{
	struct tunnel *shared;
	struct rig *rig = rig_of_two(&shared);

	shared->unsent[1] = 100;
	shared->counter = 100 + SKEW_PACKETS_MAX - 1; /* the next is as far ahead as it may be */
	cr_expect(send_to(rig, 3));
	cr_expect_not(send_to(rig, 3));
	cr_expect(rig->w.waits_outbound);
	cr_expect_eq(shared->counter, 100 + SKEW_PACKETS_MAX, "none is drawn");
	cr_expect_eq(rig_stat(rig, STAT_TUN_PACKETS), 1, "and nothing counted");
	cr_expect(send_to(rig, 1), "another tunnel's run goes");
	shared->unsent[0] = 1;
	shared->unsent[1] = 0;
	cr_expect(send_to(rig, 3), "its own marks hold up nobody");
	shared->unsent[1] = 100;
	shared->labelled = 1;
	shared->counter = 100 + SKEW_WIDE_MAX - 1;
	cr_expect(send_to(rig, 3), "a peer of ours has a wider window");
	cr_expect_not(send_to(rig, 3));
	shared->unsent[1] = 0;
	cr_expect(send_to(rig, 3));
	shared->unsent[1] = shared->counter + 1000; /* left by the slot's last tunnel */
	cr_expect(send_to(rig, 3));
	train_close(&rig->w);
	cr_expect_eq(rig_all_drops(rig), 0);
	rig_destroy(rig);
}

Test(skew_road, frames_wait_for_the_relays_tunnel_too)
{
	struct tunnel *shared;
	struct rig *rig = rig_of_two(&shared);
	struct remote *remote = rig->tunnel->remote;

	/* the peer at 10.0.0.1 is reached through the other one */
	rig->tunnel->remote = NULL;
	rig->tunnel->path = calloc(1, sizeof(*rig->tunnel->path));
	*rig->tunnel->path = (struct relay_path){.via = shared, .index = 77};
	free(remote);
	shared->unsent[1] = 100;
	shared->counter = 100 + SKEW_PACKETS_MAX;
	cr_expect_not(send_to(rig, 1));
	shared->unsent[1] = 101;
	cr_expect(send_to(rig, 1));
	train_close(&rig->w);
	cr_expect_eq(rig->io.sent_count, 1);
	rig_destroy(rig);
}

Test(skew_road, a_mark_is_the_lowest_counter_that_may_not_have_left)
{
	struct tunnel *shared;
	struct rig *rig = rig_of_two(&shared);

	shared->counter = 40;
	cr_expect(send_to(rig, 3));
	cr_expect(send_to(rig, 3));
	cr_expect_eq(shared->unsent[0], 41);
	train_close(&rig->w);
	rig->io.sending = true;
	skew_settle(&rig->w);
	cr_expect_eq(shared->unsent[0], 41);
	cr_expect(send_to(rig, 3));
	rig->io.sending = false;
	skew_settle(&rig->w);
	cr_expect_eq(shared->unsent[0], 0);
	cr_expect(send_to(rig, 3));
	cr_expect_eq(shared->unsent[0], 44);
	cr_expect_eq(shared->unsent[1], 0);
	train_close(&rig->w);
	rig_destroy(rig);
}

/* One event in one turn, then the end. */
static void run_loop(struct rig *rig, const struct io_event *event)
{
	struct order *stop = calloc(1, sizeof(*stop));

	stop->type = ORDER_STOP;
	rig->io.per_turn = 1;
	rig->io.events[0] = *event;
	rig->io.events[1] = (struct io_event){.type = IO_ORDER, .order = stop};
	rig->io.event_count = 2;
	worker_main(&rig->w);
	free(stop);
}

Test(skew_road, a_worker_that_waits_looks_again_soon)
{
	struct tunnel *shared;
	struct rig *rig = rig_of_two(&shared);
	uint8_t packet[200];

	shared->unsent[1] = 100;
	shared->counter = 5000;
	run_loop(rig, &(struct io_event){.type = IO_TUN_RUN,
					 .packet = packet,
					 .length = packet_to(packet, 3)});
	cr_expect_eq(rig->io.gathered, 1);
	cr_expect_eq(rig->io.slept, 0, "nobody would wake it");
	cr_expect_eq(rig_stat(rig, STAT_SKEW_WAITS), 1);
	cr_expect_eq(rig->io.sent_count, 0);
	rig_destroy(rig);
}

Test(skew_road, a_worker_sleeps_only_when_it_shows_no_marks)
{
	struct tunnel *shared;
	struct rig *rig = rig_of_two(&shared);
	uint8_t packet[200];
	uint32_t length = packet_to(packet, 3);
	struct io_event run = {.type = IO_TUN_RUN, .packet = packet, .length = length};

	run_loop(rig, &run);
	cr_expect_eq(rig->io.sent_count, 1);
	cr_expect_eq(rig->io.slept, 0);
	cr_expect_eq(shared->unsent[0], 0, "seen in the next turn");
	rig_destroy(rig);

	rig = rig_create(true); /* a single worker has none to show */
	packet_to(packet, 1);
	run_loop(rig, &run);
	cr_expect_eq(rig->io.sent_count, 1);
	cr_expect_eq(rig->io.slept, 1);
	rig_destroy(rig);
}

/* What is sealed while the socket is full would wait there and grow old. */
Test(skew_road, nothing_is_sealed_for_a_full_socket_beside_other_workers)
{
	struct tunnel *shared;
	struct rig *rig = rig_of_two(&shared);
	uint8_t packet[200];
	uint32_t length = packet_to(packet, 3);
	struct io_event run = {.type = IO_TUN_RUN, .packet = packet, .length = length};

	shared->counter = 40;
	rig->io.send_blocked = true;
	run_loop(rig, &run);
	cr_expect_eq(shared->counter, 40, "none is drawn");
	cr_expect_eq(shared->unsent[0], 0, "and none shown");
	cr_expect_eq(rig->io.sent_count, 0);
	cr_expect_eq(rig->io.released, 0);
	cr_expect_eq(rig->w.tun_runs.count, 1, "the run is kept");
	cr_expect_eq(rig->io.slept, 1, "the socket wakes it");
	rig_destroy(rig);

	rig = rig_create(true); /* nobody is ahead of a single worker */
	packet_to(packet, 1);
	rig->io.send_blocked = true;
	run_loop(rig, &run);
	cr_expect_eq(rig->io.sent_count, 1);
	cr_expect_eq(rig->io.released, 1);
	rig_destroy(rig);
}

Test(skew_road, frames_to_forward_wait)
{
	struct tunnel *shared;
	struct rig *rig = rig_of_two(&shared);
	uint8_t frame[WIRE_OVERHEAD + 100] = {0};

	cr_assert_eq(hostmap_index_reserve(rig->map, 4711), 0);
	cr_assert_eq(hostmap_relay_publish(rig->map, 4711,
					   &(struct relay_entry){.in = rig->tunnel,
								 .forwarding = true,
								 .out = shared,
								 .out_index = 9}),
		     0);
	shared->unsent[1] = 100;
	shared->counter = 5000;
	wire_write(frame, WIRE_RELAY, 4711, 9);
	run_loop(rig, &(struct io_event){.type = IO_UDP_TRAIN,
					 .packet = frame,
					 .length = sizeof(frame),
					 .segment_bytes = sizeof(frame),
					 .source = rig->peer});
	cr_expect_eq(rig->io.released, 0);
	cr_expect_eq(rig_stat(rig, STAT_SKEW_WAITS), 1);
	cr_expect_eq(rig->io.slept, 0);
	cr_expect(relay_permitted(&rig->w, frame) == false);
	shared->unsent[1] = 0;
	cr_expect(relay_permitted(&rig->w, frame));
	hostmap_index_remove(rig->map, 4711);
	rig_destroy(rig);
}

/* ---- by several threads ---------------------------------------------------------------------- */

#define THREADS 4
#define ROUNDS  3000
#define RUN     64

static struct tunnel *common;
static _Atomic uint64_t newest; /* counter that has been sent */
static _Atomic uint64_t furthest;
static _Atomic uint32_t running;

static void raise(_Atomic uint64_t *value, uint64_t to)
{
	uint64_t now = atomic_load(value);

	while (now < to && !atomic_compare_exchange_weak(value, &now, to))
		;
}

/* Off its core until the others stand still, or have gone much too far. */
static void stall(void)
{
	uint64_t at = atomic_load(&common->counter), now;

	for (int still = 0; still < 200 && atomic_load(&running) > 1; still++) {
		sched_yield();
		now = atomic_load(&common->counter);
		if (now > at + 4 * SKEW_PACKETS_MAX)
			return;
	}
}

static void *one_of_many(void *argument)
{
	struct worker *w = argument;
	uint64_t first[3];

	for (uint32_t round = 0; round < ROUNDS; round++) {
		uint32_t runs = 0;

		while (runs < 3 && skew_permits(w, common)) {
			skew_show(w, common);
			seal_reserve(common, RUN, &first[runs++]);
		}
		if (round % 16 == w->queue)
			stall();
		for (uint32_t i = 0; i < runs; i++) {
			uint64_t before = atomic_load(&newest);
			raise(&furthest, before > first[i] ? before - first[i] : 0);
			raise(&newest, first[i] + RUN - 1);
		}
		skew_settle(w);
		if (runs == 0)
			sched_yield();
	}
	atomic_fetch_sub(&running, 1);
	return NULL;
}

Test(skew_road, no_packet_leaves_further_behind)
{
	static struct io idle;
	struct addr three = addr_from_v4(0x0a000003);
	struct rig *rig = rig_create(true);
	struct worker *workers = aligned_alloc(64, THREADS * sizeof(*workers));
	pthread_t threads[THREADS];

	cr_assert_eq(hostmap_share(rig->map, THREADS), 0);
	common = rig_tunnel(rig, 1, &three);
	running = THREADS;
	memset(workers, 0, THREADS * sizeof(*workers));
	for (uint32_t i = 0; i < THREADS; i++) {
		workers[i].queue = i;
		workers[i].queues = THREADS;
		workers[i].io = &idle;
		cr_assert_eq(pthread_create(&threads[i], NULL, one_of_many, &workers[i]), 0);
	}
	for (uint32_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	/* what was permitted, and a run of each that looked at the same moment */
	cr_expect_leq(furthest, SKEW_PACKETS_MAX + THREADS * RUN);
	cr_expect_gt(newest, THREADS * ROUNDS / 8 * RUN, "they did go on");
	free(workers);
	rig_destroy(rig);
}
