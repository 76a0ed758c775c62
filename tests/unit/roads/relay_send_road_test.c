/*
 * relay_send_road_test.c - frames that wait for room to be sent, and what does not wait for them; a
 * next hop that takes no segments.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "unit/roads/relay_rig.h"

TestSuite(relay_send_road, .timeout = 60);

/* More sends than there are slots: what is over is dropped, counted, and nothing else. */
Test(relay_send_road, no_send_slots)
{
	struct rig *rig = rig_create(true);
	uint8_t inner[100] = {0};

	entry(rig, 0, rig->tunnel, true, second_tunnel(rig));
	entry(rig, 1, rig->tunnel, true, rig->tunnel);
	rig->io.keep_sends = true;
	for (uint32_t k = 0; k < 64; k++)
		add_frame(rig, k % 2, inner, sizeof(inner));
	rig_receive(rig);
	cr_expect_eq(rig->io.sent_count, SEND_SLOTS);
	cr_expect_eq(rig_drops(rig, DROP_SEND_ERROR), 64 - SEND_SLOTS);
	cr_expect_eq(rig_all_drops(rig), 64 - SEND_SLOTS);
	rig_destroy(rig);
}

/* A message that is as long as a frame around inner bytes. */
static void add_direct(struct rig *rig, uint32_t k, uint32_t inner)
{
	rig_add_tcp(rig, 5000, k, inner - 40);
}

/*
 * Each frame may have to leave on its own: a turn takes them while half of the slots are free,
 * wherever in a train they are. What goes to the tun does not wait for them.
 */
Test(relay_send_road, frames_wait_for_send_slots)
{
	for (uint32_t row = 0; row < 8; row++) {
		struct rig *rig = rig_create(true);
		struct order *stop = rig_order(ORDER_STOP, NULL, 0);
		uint32_t missing = row & 1, before = row >> 1 & 1, behind = row >> 2;
		uint8_t inner[100] = {0};

		entry(rig, 0, rig->tunnel, true, second_tunnel(rig));
		for (uint32_t k = 0; k < before; k++)
			add_direct(rig, k, sizeof(inner));
		add_frame(rig, 0, inner, sizeof(inner));
		for (uint32_t k = 0; k < behind; k++)
			add_direct(rig, before + k, sizeof(inner));
		rig_train_then_stop(rig, stop);
		rig->io.free_send_count = SEND_SLOTS / 2 - missing;
		worker_main(&rig->w);
		cr_expect_eq(rig->io.sent_count, 1 - missing, "row %u", row);
		cr_expect_eq(rig_stat(rig, STAT_TUN_WRITTEN), missing ? 0 : before + behind,
			     "row %u", row);
		cr_expect_eq(rig_all_drops(rig), 0);
		free(stop);
		rig_destroy(rig);
	}
}

/* They are looked at again when a send has completed, not round and round. */
Test(relay_send_road, a_worker_whose_frames_wait_for_a_full_socket_sleeps)
{
	struct rig *rig = rig_create(true);
	struct order *stop = rig_order(ORDER_STOP, NULL, 0);
	uint8_t inner[100] = {0};

	entry(rig, 0, rig->tunnel, true, second_tunnel(rig));
	add_frame(rig, 0, inner, sizeof(inner));
	rig_train_then_stop(rig, stop);
	rig->io.per_turn = 1;
	rig->io.free_send_count = SEND_SLOTS / 2 - 1;
	rig->io.send_blocked = true;
	worker_main(&rig->w);
	cr_expect_eq(rig->io.slept, 1);
	cr_expect_eq(rig->io.sent_count, 0);
	free(stop);
	rig_destroy(rig);
}

Test(relay_send_road, messages_wait_for_no_send_slots)
{
	struct rig *rig = rig_create(true);
	struct order *stop = rig_order(ORDER_STOP, NULL, 0);

	add_direct(rig, 0, 100);
	add_direct(rig, 1, 100);
	rig_train_then_stop(rig, stop);
	rig->io.free_send_count = SEND_SLOTS / 2 - 1;
	worker_main(&rig->w);
	cr_expect_eq(rig_stat(rig, STAT_TUN_WRITTEN), 2);
	cr_expect_eq(rig_all_drops(rig), 0);
	free(stop);
	rig_destroy(rig);
}

/* The next hop may be behind a path that takes no large segments. */
Test(relay_send_road, a_train_is_sent_on_as_singles_where_segments_were_refused)
{
	for (uint32_t refused = 1132; refused <= 1133; refused++) {
		struct rig *rig = rig_create(true);
		struct tunnel *out = second_tunnel(rig);
		uint8_t inner[1100] = {0};

		entry(rig, 0, rig->tunnel, true, out);
		remote_lower_gso(out->remote, refused, rig->w.now_s);
		for (uint32_t k = 0; k < 3; k++)
			add_frame(rig, 0, inner, sizeof(inner));
		rig_receive(rig);
		cr_assert_eq(rig->io.sent_count, 1);
		cr_expect_eq(rig->io.sent[0].singles, refused == sizeof(inner) + WIRE_OVERHEAD);
		cr_expect_eq(rig->io.sent[0].count, 3);
		rig_destroy(rig);
	}
}
