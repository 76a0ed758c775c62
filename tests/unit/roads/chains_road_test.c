/*
 * chains_road_test.c - which opened packets become one write, and in which order (chains.c).
 */
#include <criterion/criterion.h>

#include "unit/roads/rig.h"

TestSuite(chains_road, .timeout = 60);

Test(chains_road, flows_are_joined_apart_and_each_keeps_its_order)
{
	struct rig *rig = rig_create(true);
	uint32_t next[20] = {0};

	/* more flows than chains, in turn: chains give way to each other */
	for (uint32_t round = 0; round < 3; round++)
		for (uint32_t flow = 0; flow < 20; flow++)
			rig_add_tcp(rig, (uint16_t)(5000 + flow), round, 300);
	rig_receive(rig);
	chains_flush(&rig->w);
	cr_expect_eq(rig_all_drops(rig), 0);
	cr_expect_eq(rig_stat(rig, STAT_TUN_WRITTEN), 60);
	cr_expect_eq(rig_stat(rig, STAT_COPIED_BYTES), 59 * 340, "each was opened at another's");
	for (uint32_t i = 0; i < rig->io.written_count; i++) {
		const struct rig_written *run = &rig->io.written[i];
		uint32_t flow = (uint32_t)(run->bytes[20] << 8 | run->bytes[21]) - 5000;
		uint32_t sequence = (uint32_t)(run->bytes[26] << 8 | run->bytes[27]);
		cr_assert_lt(flow, 20);
		cr_expect_eq(sequence, 1000 + next[flow] * 300, "flow %u", flow);
		next[flow] += (run->length - 40) / 300;
	}
	for (uint32_t flow = 0; flow < 20; flow++)
		cr_expect_eq(next[flow], 3, "flow %u", flow);
	cr_expect(rig_slots_are_back(rig));
	rig_destroy(rig);
}

/* Behind a hole a flow's chain begins anew; what closes the flow is behind both. */
Test(chains_road, a_hole_closes_the_chain_in_front_of_it)
{
	struct rig *rig = rig_create(true);
	uint8_t fin[500];

	rig_add_tcp(rig, 5000, 0, 300);
	rig_add_tcp(rig, 5000, 2, 300);
	uint32_t length = rig_tcp(fin, 5000, 3, 300);
	fin[33] |= TCP_FIN;
	packet_fix(fin, length);
	rig_add(rig, RIG_INDEX, rig->counter++, fin, length);
	rig_receive(rig);
	chains_flush(&rig->w);
	cr_assert_eq(rig->io.written_count, 3);
	for (uint32_t i = 0; i < 3; i++)
		cr_expect_eq(rig->io.written[i].bytes[33] & TCP_FIN, i == 2 ? TCP_FIN : 0);
	rig_destroy(rig);
}

/* Nothing joins what was closed, though it would continue it. */
Test(chains_road, a_closed_chain_takes_nothing)
{
	struct rig *rig = rig_create(true);
	uint8_t urgent[500];
	uint32_t length = rig_tcp(urgent, 5000, 2, 300);

	urgent[33] |= TCP_URG;
	packet_fix(urgent, length);
	rig_add_tcp(rig, 5000, 0, 300);
	rig_add_tcp(rig, 5000, 1, 300);
	rig_add(rig, RIG_INDEX, rig->counter++, urgent, length);
	rig_add_tcp(rig, 5000, 2, 300);
	rig_receive(rig);
	chains_flush(&rig->w);
	cr_assert_eq(rig->io.written_count, 3);
	cr_expect_eq(rig->io.written[0].length, 40 + 2 * 300);
	cr_expect_eq(rig->io.written[1].bytes[33], TCP_ACK | TCP_URG);
	cr_expect_eq(rig->io.written[2].length, 40 + 300);
	rig_destroy(rig);
}

/* A packet of another chain than the last is moved out of its place, and its payload again. */
Test(chains_road, flows_in_turn_are_joined_by_copies)
{
	struct rig *rig = rig_create(true);

	for (uint32_t k = 0; k < 6; k++)
		rig_add_tcp(rig, (uint16_t)(5000 + k % 2), k / 2, 300);
	rig_receive(rig);
	chains_flush(&rig->w);
	cr_assert_eq(rig->io.written_count, 2);
	cr_expect_eq(rig->io.written[1].length, 40 + 3 * 300);
	cr_expect_eq(rig_stat(rig, STAT_COPIED_BYTES), 5 * 340 + 4 * 300);
	rig_destroy(rig);
}

/* The place behind a chain as long as they get is too small for a datagram, and is not used. */
Test(chains_road, a_full_slot_is_let_go)
{
	struct rig *rig = rig_create(true);

	for (uint32_t k = 0; k < 140; k++) {
		rig_add_tcp(rig, 5000, k, 1000);
		if (k % 50 == 49)
			rig_receive(rig);
	}
	rig_receive(rig);
	for (uint32_t k = 0; k < 3; k++)
		rig_add_tcp(rig, (uint16_t)(6000 + k), 0, 1000);
	rig_receive(rig);
	chains_flush(&rig->w);
	cr_expect_eq(rig_stat(rig, STAT_TUN_WRITTEN), 143);
	cr_expect_eq(rig->io.written[0].length, 40 + 64 * 1000);
	cr_expect(rig_slots_are_back(rig));
	rig_destroy(rig);
}
