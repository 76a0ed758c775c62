/*
 * handover_road_test.c - flow labels on both roads: trains by label, and what another worker owns.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "crypto/seal.h"
#include "unit/roads/rig.h"

TestSuite(handover_road, .timeout = 60);

/* One of `queues` workers, and it is RIG_INDEX's: labels that are multiples of queues are its own.
 */
static struct rig *rig_of(uint32_t queues)
{
	struct rig *rig = rig_create(true);

	rig->w.queues = queues;
	rig->w.queue = RIG_INDEX % queues;
	rig->w.spread = true;
	return rig;
}

/* Segment k of a TCP flow from port, labelled. */
static void add(struct rig *rig, uint16_t label, uint16_t port, uint32_t k)
{
	rig->label = label;
	rig_add_tcp(rig, port, k, 500);
}

static void flush(struct rig *rig)
{
	handover_flush(&rig->w);
	chains_flush(&rig->w);
}

/* The owner's turn: the same worker with another number takes what was handed over n-th. */
static void take(struct rig *rig, uint32_t n)
{
	struct handover *handover = rig->io.handed[n];
	uint32_t was = rig->w.queue;
	struct io_event event = {.type = IO_HANDED,
				 .handover = handover,
				 .packet = handover->bytes,
				 .length = handover->length,
				 .segment_bytes = handover->segment_bytes,
				 .source = handover->source};

	rig->w.queue = rig->io.handed_to[n];
	inbound_train(&rig->w, &event);
	chains_flush(&rig->w);
	rig->w.queue = was;
}

Test(handover_road, a_train_is_split_by_owner_and_the_owner_takes_its_part)
{
	struct rig *rig = rig_of(3);
	uint32_t other = (RIG_INDEX + 7) % 3;

	/* 3 and 6 are ours, 7 is another's: GRO has looked at the first alone */
	for (uint32_t k = 0; k < 4; k++)
		add(rig, 3, 5000, k);
	for (uint32_t k = 0; k < 5; k++)
		add(rig, 7, 6000, k);
	for (uint32_t k = 4; k < 6; k++)
		add(rig, 6, 5000, k);
	for (uint32_t k = 5; k < 7; k++)
		add(rig, 7, 6000, k);
	rig_receive(rig);
	cr_expect_eq(rig->io.handed_count, 0, "until the end of the turn");
	flush(rig);
	cr_assert_eq(rig->io.written_count, 1);
	cr_expect_eq(rig->io.written[0].length, 40 + 6 * 500);
	cr_assert_eq(rig->io.handed_count, 1, "parts for one owner go together");
	cr_expect_eq(rig->io.handed_to[0], other);
	cr_expect_eq(rig->io.handed[0]->length, 7 * (540 + WIRE_OVERHEAD));
	cr_expect(rig->io.handed[0]->mixed);
	cr_expect(endpoint_equal(&rig->io.handed[0]->source, &rig->peer));
	take(rig, 0);
	cr_assert_eq(rig->io.written_count, 2);
	cr_expect_eq(rig->io.written[1].length, 40 + 7 * 500);
	cr_expect_eq(rig_stat(rig, STAT_HANDED_OVER), 7);
	cr_expect_eq(rig_stat(rig, STAT_HANDED_TAKEN), 7);
	cr_expect_eq(rig->tunnel->labelled, 1, "authentic labels make the peer known");
	cr_expect_eq(rig_stat(rig, STAT_UDP_RECEIVED), 13, "each is received once");
	cr_expect_eq(rig_stat(rig, STAT_COPIED_BYTES), 7 * (540 + WIRE_OVERHEAD));
	cr_expect_eq(rig_all_drops(rig), 0);
	rig_destroy(rig);
}

Test(handover_road, what_has_no_label_and_what_is_not_spread_stays)
{
	struct rig *rig = rig_of(2);

	rig->w.queue ^= 1; /* steered here by the hash: index modulo workers is the other's */
	for (uint32_t k = 0; k < 3; k++)
		add(rig, WIRE_LABEL_NONE, 5000, k);
	rig_receive(rig);
	flush(rig);
	cr_expect_eq(rig->io.handed_count, 0);
	cr_expect_eq(rig->io.written_count, 1);

	rig->w.spread = false;
	add(rig, 2, 5000, 3);
	rig_receive(rig);
	flush(rig);
	cr_expect_eq(rig->io.handed_count, 0);
	cr_expect_eq(rig->io.written_count, 2);
	cr_expect_eq(rig->tunnel->labelled, 0);

	/* a train that was not steered by labels at all says nothing about trains */
	rig->w.spread = true;
	add(rig, 2, 5000, 4);
	rig_receive(rig);
	flush(rig);
	cr_assert_eq(rig->io.handed_count, 1);
	cr_expect_not(rig->io.handed[0]->mixed);
	rig_destroy(rig);
}

Test(handover_road, a_full_pool_drops_by_name_and_costs_nothing_else)
{
	struct rig *rig = rig_of(2);

	for (uint32_t i = 0; i < HANDOVERS_MAX + 5; i++) {
		add(rig, 1, 6000, i);
		add(rig, 2, 5000, i);
		rig_receive(rig);
		flush(rig);
	}
	cr_expect_eq(rig->io.handed_count, HANDOVERS_MAX);
	cr_expect_eq(rig_drops(rig, DROP_HANDOVER_FULL), 5);
	cr_expect_eq(rig_all_drops(rig), 5);
	cr_expect_eq(rig->io.written_count, HANDOVERS_MAX + 5, "our own flow goes on");
	handover_release(rig->io.handed[--rig->io.handed_count]);
	add(rig, 1, 6000, 0);
	rig_receive(rig);
	flush(rig);
	cr_expect_eq(rig->io.handed_count, HANDOVERS_MAX);
	cr_expect_eq(rig_all_drops(rig), 5);
	rig_destroy(rig);
}

/* What comes back out of turn is what is taken next, with nothing of its last use. */
Test(handover_road, what_is_given_back_is_used_again_and_no_other)
{
	struct rig *rig = rig_of(3);
	uint32_t owners[2], count = 0;
	static const uint8_t first[] = "first", second[] = "second";
	struct handover *kept, *back;

	for (uint32_t owner = 0; owner < 3; owner++)
		if (owner != rig->w.queue)
			owners[count++] = owner;
	cr_assert(handover_add(&rig->w, owners[0], &rig->peer, first, 6, 6, false));
	cr_assert(handover_add(&rig->w, owners[1], &rig->peer, first, 6, 6, true));
	handover_flush(&rig->w);
	cr_assert_eq(rig->io.handed_count, 2);
	kept = rig->io.handed[0];
	back = rig->io.handed[1];
	cr_expect(back->mixed);
	rig->io.handed_count = 1;
	handover_release(back);
	cr_assert(handover_add(&rig->w, owners[0], &rig->peer, second, 7, 7, false));
	handover_flush(&rig->w);
	cr_assert_eq(rig->io.handed_count, 2);
	cr_expect_eq(rig->io.handed[1], back);
	cr_expect_not(back->mixed);
	cr_expect_eq(back->length, 7);
	cr_expect_eq(memcmp(kept->bytes, first, 6), 0, "the other's is untouched");
	rig_destroy(rig);
}

Test(handover_road, one_hand_over_holds_one_source_and_one_size)
{
	struct rig *rig = rig_of(2);
	struct endpoint elsewhere = {.addr = addr_from_v4(0xc6336401), .port = 99};
	uint8_t packet[2000];

	add(rig, 1, 6000, 0);
	rig_receive(rig);
	add(rig, 1, 6000, 1);
	rig_receive(rig);
	add(rig, 1, 6000, 2);
	rig_receive_from(rig, &elsewhere);
	add(rig, 1, 6000, 3);
	/* a shorter one ends a train */
	rig_add(rig, RIG_INDEX, rig->counter++, packet,
		packet_build(packet, &(struct packet){.version = 4,
						      .protocol = IPPROTO_TCP,
						      .source_port = 6000,
						      .dest_port = 80,
						      .tcp_flags = TCP_ACK,
						      .payload_bytes = 100}));
	rig_receive_from(rig, &elsewhere);
	add(rig, 1, 6000, 4);
	rig_receive_from(rig, &elsewhere);
	flush(rig);
	cr_assert_eq(rig->io.handed_count, 3);
	cr_expect_eq(rig->io.handed[0]->length, 2 * 572);
	cr_expect_eq(rig->io.handed[1]->length, 2 * 572 + 172);
	cr_expect_eq(rig->io.handed[2]->length, 572);
	for (uint32_t n = 0; n < 3; n++)
		take(rig, n);
	cr_expect_eq(rig_stat(rig, STAT_TUN_WRITTEN), 6);
	rig_forget(rig);
	/* whole trains of different sizes; and what was mixed stays so */
	for (uint32_t n = 0; n < 3; n++)
		cr_assert(handover_add(&rig->w, 1 - rig->w.queue, &rig->peer, packet, 200,
				       n < 2 ? 100 : 50, n == 0));
	flush(rig);
	cr_assert_eq(rig->io.handed_count, 2);
	cr_expect_eq(rig->io.handed[0]->length, 400);
	cr_expect(rig->io.handed[0]->mixed);
	cr_expect_eq(rig->io.handed[1]->segment_bytes, 50);
	cr_expect_eq(rig_all_drops(rig), 0);
	rig_destroy(rig);
}

Test(handover_road, an_unknown_index_is_answered_where_it_came)
{
	struct rig *rig = rig_of(2);
	uint8_t packet[100] = {0};

	rig->label = 1;
	rig_add(rig, RIG_INDEX + 8, 9, packet, sizeof(packet));
	rig_receive(rig);
	flush(rig);
	cr_expect_eq(rig->io.handed_count, 0);
	cr_expect_eq(rig->io.sent_count, RECV_ERROR_REPEATS);
	cr_expect_eq(rig_drops(rig, DROP_INDEX_UNKNOWN), 1);
	rig_destroy(rig);
}

static uint32_t notes(const struct rig *rig)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < rig->io.punt_count; i++)
		count += rig->io.punts[i]->type == PUNT_NOTE &&
			 rig->io.punts[i]->note == NOTE_TRAINS_MIXED;
	return count;
}

Test(handover_road, control_is_told_once_of_mixed_trains_that_are_authentic)
{
	struct rig *rig = rig_of(2);

	for (uint32_t i = 0; i < 4 * MIXED_TRAINS_MAX; i++) {
		bool forged = i < MIXED_TRAINS_MAX;

		add(rig, 2, 5000, 2 * i);
		add(rig, 1, 6000, i);
		if (forged)
			rig->datagrams[600] ^= 1;
		rig_receive(rig);
		flush(rig);
		take(rig, 0);
		handover_release(rig->io.handed[--rig->io.handed_count]);
		cr_expect_eq(notes(rig), i >= 2 * MIXED_TRAINS_MAX - 1, "train %u", i);
	}
	cr_expect_eq(rig_drops(rig, DROP_AUTHENTICATION), MIXED_TRAINS_MAX);
	rig_destroy(rig);
}

/* Control has all of the small punts: it is told as soon as it has given some back. */
Test(handover_road, mixed_trains_are_told_when_there_are_punts)
{
	struct rig *rig = rig_of(2);
	struct punt *kept[POOL_EVENTS];

	for (int i = 0; i < POOL_EVENTS; i++)
		kept[i] = punt_take(&rig->w, POOL_CLASS_EVENT, PUNT_ACTIVE);
	for (uint32_t i = 0; i < 2 * MIXED_TRAINS_MAX; i++) {
		for (int k = 0; i == 2 * MIXED_TRAINS_MAX - 1 && k < POOL_EVENTS; k++)
			punt_release(kept[k]);
		add(rig, 2, 5000, 2 * i);
		add(rig, 1, 6000, i);
		rig_receive(rig);
		flush(rig);
		take(rig, 0);
		handover_release(rig->io.handed[--rig->io.handed_count]);
		cr_expect_eq(notes(rig), i == 2 * MIXED_TRAINS_MAX - 1, "train %u", i);
	}
	rig_destroy(rig);
}

/* A tunnel with a window for each of two workers, to 10.0.0.3, and a packet from there. */
static void spread_tunnel(struct rig *rig, uint8_t *packet, uint32_t *length)
{
	struct addr three = addr_from_v4(0x0a000003);

	*length = packet_build(packet, &(struct packet){.version = 4,
							.protocol = IPPROTO_TCP,
							.source = 3,
							.tcp_flags = TCP_ACK,
							.payload_bytes = 60});
	cr_assert_eq(hostmap_spread(rig->map, 2), 0);
	cr_assert_not_null(rig_tunnel(rig, 1, &three)->windows);
}

Test(handover_road, each_owner_has_a_replay_window_and_a_packet_always_the_same)
{
	struct rig *rig = rig_of(2);
	uint8_t packet[200];
	uint32_t length;

	spread_tunnel(rig, packet, &length);
	/* our worker is far ahead; the other one's flow is not too old for that */
	for (uint64_t counter = 3; counter <= 3 + 2 * REPLAY_WINDOW; counter += 2 * REPLAY_WINDOW) {
		rig->label = (uint16_t)(label_owner(RIG_INDEX + 1, 2, 2) == rig->w.queue ? 2 : 1);
		rig_add(rig, RIG_INDEX + 1, counter + 1, packet, length);
		rig_receive(rig);
	}
	rig->label ^= 3;
	rig_add(rig, RIG_INDEX + 1, 3, packet, length);
	rig_receive(rig);
	flush(rig);
	cr_assert_eq(rig->io.handed_count, 1);
	take(rig, 0);
	cr_expect_eq(rig_stat(rig, STAT_TUN_WRITTEN), 3);
	cr_expect_eq(rig_all_drops(rig), 0);
	/* the same once more, and one of ours: known, whoever has them */
	take(rig, 0);
	rig->label ^= 3;
	rig_add(rig, RIG_INDEX + 1, 3 + 2 * REPLAY_WINDOW + 1, packet, length);
	rig_receive(rig);
	flush(rig);
	cr_expect_eq(rig_stat(rig, STAT_TUN_WRITTEN), 3);
	cr_expect_eq(rig_drops(rig, DROP_REPLAY), 2);
	rig_destroy(rig);
}

/* The other windows are for labels; what has none counts in the tunnel's first, as ever. */
Test(handover_road, what_has_no_label_counts_in_a_window_of_its_own)
{
	struct rig *rig = rig_of(2);
	uint8_t packet[200];
	uint32_t length;

	spread_tunnel(rig, packet, &length);
	rig->label = WIRE_LABEL_NONE;
	for (int i = 0; i < 2; i++) {
		rig_add(rig, RIG_INDEX + 1, 9, packet, length);
		rig_receive(rig);
	}
	flush(rig);
	cr_expect_eq(rig_stat(rig, STAT_TUN_WRITTEN), 1);
	cr_expect_eq(rig_drops(rig, DROP_REPLAY), 1);
	rig->label = (uint16_t)(label_owner(RIG_INDEX + 1, 2, 2) == rig->w.queue ? 2 : 1);
	rig_add(rig, RIG_INDEX + 1, 9, packet, length);
	rig_receive(rig);
	flush(rig);
	cr_expect_eq(rig_stat(rig, STAT_TUN_WRITTEN), 2, "labels have theirs");
	rig_destroy(rig);
}

/* In a frame of a relay the label says nothing about who has it: it is taken off and stays. */
Test(handover_road, what_came_through_a_relay_stays)
{
	struct rig *rig = rig_of(2);
	struct addr three = addr_from_v4(0x0a000003);
	struct relay_entry relay = {.in = rig_tunnel(rig, 1, &three)};
	uint32_t index = 0x00aabb00, bytes;
	uint8_t frame[800];

	cr_assert_eq(hostmap_index_reserve(rig->map, index), 0);
	cr_assert_eq(hostmap_relay_publish(rig->map, index, &relay), 0);
	add(rig, 1, 5000, 0); /* another's label */
	bytes = rig->datagram_bytes;
	memcpy(frame + WIRE_HEADER_BYTES, rig->datagrams, bytes);
	rig->datagram_bytes = rig->segment_bytes = 0;
	seal_frame(&rig->as_peer, index, WIRE_LABEL_NONE, COUNTER_FIRST, frame, bytes);
	rig_add_raw(rig, frame, bytes + WIRE_OVERHEAD);
	rig_receive(rig);
	flush(rig);
	cr_expect_eq(rig->io.handed_count, 0);
	cr_expect_eq(rig_stat(rig, STAT_TUN_WRITTEN), 1);
	cr_expect_eq(rig_all_drops(rig), 0);
	rig_destroy(rig);
}

/* ---- outbound -------------------------------------------------------------------------------- */

static void send_udp(struct rig *rig, uint16_t port, uint32_t payload)
{
	static const struct virtio_net_hdr plain;
	uint8_t packet[2000];

	outbound_run(&rig->w, packet,
		     packet_build(packet, &(struct packet){.version = 4,
							   .protocol = IPPROTO_UDP,
							   .source = 2,
							   .destination = 1,
							   .source_port = port,
							   .dest_port = 53,
							   .payload_bytes = payload}),
		     &plain);
}

Test(handover_road, flows_leave_in_trains_by_label_each_in_order)
{
	static const struct label_key key = {{3, 4}, 4};
	struct rig *rig = rig_create(true);
	uint16_t label_of_port[8] = {0};
	uint64_t newest[8] = {0};
	uint32_t datagrams = 0;

	rig->w.label_key = &key;
	for (uint32_t k = 0; k < 10; k++)
		for (uint16_t flow = 0; flow < 8; flow++)
			send_udp(rig, (uint16_t)(7000 + flow), 100);
	train_close(&rig->w);
	cr_expect_leq(rig->io.sent_count, key.labels, "a train for each label, not for each flow");
	cr_expect_gt(rig->io.sent_count, 1);
	for (uint32_t n = 0; n < rig->io.sent_count; n++) {
		const struct rig_sent *sent = &rig->io.sent[n];

		for (uint32_t k = 0; k < sent->count; k++) {
			const uint8_t *datagram = sent->bytes + k * sent->segment_bytes;
			uint16_t label = wire_label(datagram);

			cr_assert(label >= 1 && label <= key.labels);
			cr_expect_eq(label, wire_label(sent->bytes));
			cr_assert_eq(rig_open(rig, n, k), 128, "the label is authenticated");
			uint32_t flow = (uint32_t)(rig->opened[20] << 8 | rig->opened[21]) - 7000;
			cr_assert_lt(flow, 8);
			cr_expect(label_of_port[flow] == 0 || label_of_port[flow] == label);
			label_of_port[flow] = label;
			cr_expect_gt(wire_counter(datagram), newest[flow]);
			newest[flow] = wire_counter(datagram);
			datagrams++;
		}
	}
	cr_expect_eq(datagrams, 80);
	cr_expect(rig_slots_are_back(rig));
	rig_destroy(rig);
}

Test(handover_road, a_train_has_one_label_even_where_two_share_a_place)
{
	static const struct label_key key = {{3, 4}, 3 * TRAINS_MAX};
	struct rig *rig = rig_create(true);
	uint64_t newest[64] = {0};

	rig->w.label_key = &key;
	for (uint32_t k = 0; k < 3; k++)
		for (uint16_t flow = 0; flow < 64; flow++)
			send_udp(rig, (uint16_t)(7000 + flow), 100);
	train_close(&rig->w);
	for (uint32_t n = 0; n < rig->io.sent_count; n++) {
		for (uint32_t k = 0; k < rig->io.sent[n].count; k++) {
			const uint8_t *datagram = rig->io.sent[n].bytes + k * 160;

			cr_assert_eq(wire_label(datagram), wire_label(rig->io.sent[n].bytes));
			cr_assert_eq(rig_open(rig, n, k), 128);
			uint32_t flow = (uint32_t)(rig->opened[20] << 8 | rig->opened[21]) - 7000;
			cr_assert_lt(flow, 64);
			cr_expect_gt(wire_counter(datagram), newest[flow],
				     "a flow keeps its order");
			newest[flow] = wire_counter(datagram);
		}
	}
	cr_expect_eq(rig_stat(rig, STAT_TUN_PACKETS), 192);
	rig_destroy(rig);
}

Test(handover_road, without_a_key_no_label_and_one_train)
{
	struct rig *rig = rig_create(true);

	for (uint16_t flow = 0; flow < 8; flow++)
		send_udp(rig, (uint16_t)(7000 + flow), 100);
	train_close(&rig->w);
	cr_assert_eq(rig->io.sent_count, 1);
	cr_expect_eq(wire_label(rig->io.sent[0].bytes), WIRE_LABEL_NONE);
	rig_destroy(rig);
}

/* ---- the loop -------------------------------------------------------------------------------- */

Test(handover_road, what_was_handed_over_goes_before_the_workers_own_and_is_given_back)
{
	struct rig *rig = rig_of(2);
	struct order *stop = calloc(1, sizeof(*stop));

	/* segments 0 to 2 by way of the other worker, 3 to 5 by our socket, which completes first
	 */
	for (uint32_t k = 0; k < 3; k++)
		add(rig, 1, 6000, k);
	rig_receive(rig);
	handover_flush(&rig->w);
	cr_assert_eq(rig->io.handed_count, 1);
	for (uint32_t k = 3; k < 6; k++)
		add(rig, 1, 6000, k);
	rig->w.queue ^= 1;
	stop->type = ORDER_STOP;
	rig->io.events[0] = (struct io_event){.type = IO_UDP_TRAIN,
					      .packet = rig->datagrams,
					      .length = rig->datagram_bytes,
					      .segment_bytes = rig->segment_bytes,
					      .source = rig->peer};
	rig->io.events[1] = (struct io_event){.type = IO_HANDED,
					      .handover = rig->io.handed[0],
					      .packet = rig->io.handed[0]->bytes,
					      .length = rig->io.handed[0]->length,
					      .segment_bytes = rig->segment_bytes,
					      .source = rig->peer};
	rig->io.events[2] = (struct io_event){.type = IO_ORDER, .order = stop};
	rig->io.event_count = 3;
	rig->io.handed_count = 0;
	worker_main(&rig->w);
	cr_assert_eq(rig->io.written_count, 1, "in order, so it is one write");
	cr_expect_eq(rig->io.written[0].length, 40 + 6 * 500);
	cr_expect_eq(rig->io.released, 1);
	cr_expect_eq(atomic_load(&rig->w.handovers.free), UINT64_MAX >> (64 - HANDOVERS_MAX));
	free(stop);
	rig_destroy(rig);
}

Test(handover_road, what_is_anothers_leaves_with_the_turn)
{
	struct rig *rig = rig_of(2);
	struct order *stop = rig_order(ORDER_STOP, NULL, 0);

	add(rig, 1, 6000, 0);
	rig_train_then_stop(rig, stop);
	worker_main(&rig->w);
	cr_assert_eq(rig->io.handed_count, 1);
	cr_expect_eq(rig->io.handed_to[0], 1 - rig->w.queue);
	free(stop);
	rig_destroy(rig);
}

Test(handover_road, a_worker_of_several_seals_no_more_than_its_share_in_one_turn)
{
	struct rig *rig = rig_create(true);
	struct order *stop = calloc(1, sizeof(*stop));
	uint8_t packet[200];
	uint32_t length = packet_build(packet, &(struct packet){.version = 4,
								.protocol = IPPROTO_UDP,
								.source = 2,
								.destination = 1,
								.payload_bytes = 50});

	rig->w.queues = 2;
	rig->w.unsent_max = 16;
	stop->type = ORDER_STOP;
	for (uint32_t i = 0; i < 40; i++)
		rig->io.events[rig->io.event_count++] =
			(struct io_event){.type = IO_TUN_RUN, .packet = packet, .length = length};
	rig->io.events[rig->io.event_count++] = (struct io_event){.type = IO_ORDER, .order = stop};
	worker_main(&rig->w);
	cr_expect_eq(rig_stat(rig, STAT_TUN_PACKETS), 16);
	free(stop);
	rig_destroy(rig);
}
