/*
 * gather_road_test.c - when a worker waits for more before its next turn, and when it looks without
 * sleeping (loop.c).
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "unit/roads/rig.h"

TestSuite(gather_road, .timeout = 60);

static const struct virtio_net_hdr plain;

/*
 * Turns that waited for more, when each turn finds per_turn packets of bytes, or one when it is one
 * of those behind slow_after.
 */
static uint32_t gathered_of(uint32_t per_turn, uint32_t bytes, bool ends, uint32_t slow_after)
{
	struct rig *rig = rig_create(true);
	static uint8_t packet[4096];
	struct order *stop = rig_order(ORDER_STOP, NULL, 0);
	struct virtio_net_hdr vnet = plain;
	uint32_t length =
		bytes > 2000 ? packet_super(packet, bytes) : packet_udp(packet, 1, 99, bytes);
	uint32_t result;

	if (bytes > 2000)
		vnet = packet_vnet(packet, 1300);
	for (uint32_t i = 0; i < 200; i++)
		rig->io.events[i] = (struct io_event){
			.type = IO_TUN_RUN, .packet = packet, .length = length, .vnet = vnet};
	rig->io.events[200] = (struct io_event){.type = IO_ORDER, .order = stop};
	rig->io.event_count = 201;
	rig->io.per_turn = per_turn;
	rig->io.ends = ends;
	rig->io.slow_after = slow_after;
	worker_main(&rig->w);
	cr_expect_eq(rig_stat(rig, STAT_GATHERS), rig->io.gathered);
	cr_expect_eq(rig->io.released, 200);
	result = rig->io.gathered;
	free(stop);
	rig_destroy(rig);
	return result;
}

static uint32_t gathered(uint32_t per_turn, uint32_t bytes)
{
	return gathered_of(per_turn, bytes, false, 0);
}

Test(gather_road, only_a_flood_of_small_packets_is_waited_for)
{
	cr_expect_gt(gathered(8, 64), 0);
	cr_expect_eq(gathered(1, 64), 0, "a packet a turn is no flood");
	cr_expect_eq(gathered(3, 64), 0);
	cr_expect_eq(gathered(8, 3000), 0, "super-packets are worth a turn each");
	cr_expect_eq(gathered_of(8, 64, true, 0), 0, "nothing is received during a wait");
	cr_expect_lt(gathered_of(8, 64, false, 100), 50, "of 113 turns: the flood has ended");
}

/* A packet a turn, and in the end the order to stop. */
static struct rig *fed_slowly(uint64_t busy_poll_ns)
{
	struct rig *rig = rig_create(true);
	static uint8_t packet[256];
	static struct order *stop;

	free(stop);
	stop = rig_order(ORDER_STOP, NULL, 0);
	for (uint32_t i = 0; i < 10; i++)
		rig->io.events[i] = (struct io_event){.type = IO_TUN_RUN,
						      .packet = packet,
						      .length = packet_udp(packet, 1, 99, 100)};
	rig->io.events[10] = (struct io_event){.type = IO_ORDER, .order = stop};
	rig->io.event_count = 11;
	rig->io.per_turn = 1;
	rig->w.busy_poll_ns = busy_poll_ns;
	worker_main(&rig->w);
	return rig;
}

Test(gather_road, who_polls_does_not_sleep_while_something_comes)
{
	struct rig *rig = fed_slowly(0);

	cr_expect_eq(rig->io.polled, 0);
	cr_expect_eq(rig->io.slept, 10);
	cr_expect_eq(rig_stat(rig, STAT_WAITS), 10);
	rig_destroy(rig);
	rig = fed_slowly(1000);
	cr_expect_eq(rig->io.polled, 10);
	cr_expect_eq(rig->io.slept, 0);
	cr_expect_eq(rig_stat(rig, STAT_POLLS), 10);
	cr_expect_eq(rig_stat(rig, STAT_WAITS), 0);
	rig_destroy(rig);
}
