/*
 * outbound_road_test.c - from the tun to trains of sealed datagrams, and what control orders.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "filter/firewall.h"
#include "unit/roads/rig.h"

TestSuite(outbound_road, .timeout = 60);

static const struct virtio_net_hdr plain;

static void run(struct rig *rig, const uint8_t *packet, uint32_t length,
		const struct virtio_net_hdr *vnet)
{
	/* exactly as long as the run, so that a sanitizer sees the first byte too many */
	uint8_t *bytes = malloc(length);

	memcpy(bytes, packet, length);
	outbound_run(&rig->w, bytes, length, vnet);
	free(bytes);
}

static void send_udp(struct rig *rig, uint8_t to, uint16_t port, uint32_t payload)
{
	uint8_t packet[DATAGRAM_MAX + 2000];

	run(rig, packet, packet_udp(packet, to, port, payload), &plain);
}

Test(outbound_road, a_super_packet_is_one_send_without_a_copy)
{
	struct rig *rig = rig_create(true);
	static uint8_t packet[65536], cut[2000];
	uint32_t length = packet_super(packet, 60000);
	struct virtio_net_hdr vnet = packet_vnet(packet, 1300);

	run(rig, packet, length, &vnet);
	cr_expect_eq(rig->io.sent_count, 0, "until the end of the turn");
	train_close(&rig->w);
	cr_assert_eq(rig->io.sent_count, 1);
	cr_assert_eq(rig->io.sent[0].count, 47);
	for (uint32_t k = 0; k < 47; k++) {
		uint32_t expected = packet_cut(packet, length, &vnet, k, cut);
		cr_assert_eq(rig_open(rig, 0, k), expected, "segment %u", k);
		cr_expect_arr_eq(rig->opened, cut, expected, "segment %u", k);
		uint64_t counter = wire_counter(rig->io.sent[0].bytes + k * (1340 + 32));
		cr_expect_eq(counter, COUNTER_FIRST + k);
	}
	cr_expect_eq(rig_stat(rig, STAT_COPIED_BYTES), 0);
	cr_expect_eq(rig_all_drops(rig), 0);
	cr_expect(rig_slots_are_back(rig));
	rig_destroy(rig);
}

/* The headers of a super-packet are no packet more, whatever the kernel says of their length. */
Test(outbound_road, packets_are_counted_as_they_leave)
{
	struct rig *rig = rig_create(true);
	static uint8_t packet[65536];
	uint32_t length = packet_super(packet, 3 * 1300);
	struct virtio_net_hdr vnet = packet_vnet(packet, 1300);

	vnet.hdr_len = 2000;
	run(rig, packet, length, &vnet);
	train_close(&rig->w);
	cr_assert_eq(rig->io.sent_count, 1);
	cr_expect_eq(rig->io.sent[0].count, 3);
	cr_expect_eq(rig_stat(rig, STAT_TUN_PACKETS), 3);
	rig_destroy(rig);
}

Test(outbound_road, when_a_train_ends)
{
	struct addr three = addr_from_v4(0x0a000003);
	/* payload and destination of packets, and the trains' counts that they become */
	static const struct {
		struct {
			uint8_t to;
			uint32_t payload;
		} packets[6];
		uint32_t trains[6];
		const char *why;
	} rows[] = {
		{{{1, 100}, {1, 100}, {1, 100}}, {3}, "equal sizes"},
		{{{1, 100}, {1, 100}, {1, 50}, {1, 50}}, {3, 1}, "a shorter one is the last"},
		{{{1, 50}, {1, 100}, {1, 100}}, {1, 2}, "a longer one begins another"},
		{{{1, 100}, {3, 100}, {1, 100}}, {1, 1, 1}, "another endpoint"},
		{{{1, 8900}, {1, 8900}, {1, 8900}}, {3}, "large ones"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct rig *rig = rig_create(true);
		uint32_t trains = 0;

		rig_tunnel(rig, 1, &three);
		for (uint32_t k = 0; k < 6 && rows[i].packets[k].to; k++)
			send_udp(rig, rows[i].packets[k].to, 99, rows[i].packets[k].payload);
		train_close(&rig->w);
		while (trains < 6 && rows[i].trains[trains])
			trains++;
		cr_assert_eq(rig->io.sent_count, trains, "%s", rows[i].why);
		for (uint32_t k = 0; k < trains; k++)
			cr_expect_eq(rig->io.sent[k].count, rows[i].trains[k], "%s", rows[i].why);
		cr_expect_eq(rig_all_drops(rig), 0);
		rig_destroy(rig);
	}
}

Test(outbound_road, a_train_is_bounded_in_datagrams_and_bytes)
{
	struct rig *rig = rig_create(true);

	for (int i = 0; i < 130; i++)
		send_udp(rig, 1, 99, 100);
	train_close(&rig->w);
	cr_assert_eq(rig->io.sent_count, 3);
	cr_expect_eq(rig->io.sent[0].count, 64);
	cr_expect_eq(rig->io.sent[1].count, 64);
	cr_expect_eq(rig->io.sent[2].count, 2);
	rig_forget(rig);
	for (int i = 0; i < 14; i++)
		send_udp(rig, 1, 99, 5039 - WIRE_OVERHEAD - 28);
	train_close(&rig->w);
	cr_assert_eq(rig->io.sent_count, 2);
	cr_expect_eq(rig->io.sent[0].length, GSO_BYTES_MAX, "13 of 5039");
	cr_expect_eq(rig->io.sent[1].count, 1);
	rig_destroy(rig);
}

Test(outbound_road, a_remembered_segment_size_goes_as_singles)
{
	struct rig *rig = rig_create(true);

	remote_lower_gso(rig->tunnel->remote, 1001, rig->w.now_s);
	send_udp(rig, 1, 99, 500);
	send_udp(rig, 1, 99, 500);
	send_udp(rig, 1, 99, 1200);
	send_udp(rig, 1, 99, 1200);
	train_close(&rig->w);
	cr_assert_eq(rig->io.sent_count, 2);
	cr_expect_not(rig->io.sent[0].singles);
	cr_expect(rig->io.sent[1].singles);
	cr_expect(rig_sent_for(&rig->io.sent[0], rig->tunnel));
	rig_destroy(rig);
}

/* The link may be wide again, or the kernel have forgotten what a router said. */
Test(outbound_road, a_remembered_segment_size_is_forgotten_after_a_while)
{
	struct rig *rig = rig_create(true);
	struct remote *remote = rig->tunnel->remote;
	const struct {
		uint32_t after_s;
		bool singles;
	} rows[] = {{0, true}, {GSO_RETRY_S - 1, true}, {GSO_RETRY_S, false}, {0, false}};

	remote_lower_gso(remote, 1001, rig->w.now_s);
	for (uint32_t i = 0; i < 4; i++) {
		rig->w.now_s = 1000 + rows[i].after_s;
		send_udp(rig, 1, 99, 1200);
		send_udp(rig, 1, 99, 1200);
		train_close(&rig->w);
		cr_assert_eq(rig->io.sent_count, i + 1);
		cr_expect_eq(rig->io.sent[i].singles, rows[i].singles, "row %u", i);
	}
	remote_lower_gso(remote, 1001, rig->w.now_s);
	send_udp(rig, 1, 99, 1200);
	train_close(&rig->w);
	cr_expect(rig->io.sent[4].singles, "refused once more");
	rig_destroy(rig);
}

Test(outbound_road, every_drop_has_its_name)
{
	struct rig *rig = rig_create(true);
	static uint8_t packet[65536];
	uint64_t dropped = 0;
	struct virtio_net_hdr vnet;
	uint32_t length;

	packet[0] = 0x55;
	run(rig, packet, 60, &plain);
	cr_expect_eq(rig_drops(rig, DROP_INNER_PARSE), 1);
	send_udp(rig, 2, 99, 10);
	cr_expect_eq(rig_drops(rig, DROP_TUN_SELF), 1);
	rig->snapshot.drop_local_broadcast = true;
	send_udp(rig, 255, 99, 10);
	cr_expect_eq(rig_drops(rig, DROP_TUN_BROADCAST), 1);
	length = packet_udp(packet, 1, 99, 10);
	packet[16] = 8;
	run(rig, packet, length, &plain);
	cr_expect_eq(rig_drops(rig, DROP_TUN_NO_ROUTE), 1);
	send_udp(rig, 1, 99, DATAGRAM_MAX - WIRE_OVERHEAD - 28 + 1);
	cr_expect_eq(rig_drops(rig, DROP_TUN_TOO_BIG), 1);
	rig->snapshot.rules[OUTBOUND].count = 0;
	send_udp(rig, 1, 98, 10);
	cr_expect_eq(rig_drops(rig, DROP_FIREWALL_OUT_NO_RULE), 1);
	rig->snapshot.rules[OUTBOUND].count = 1;
	length = packet_udp(packet, 1, 99, 10);
	packet[15] = 99; /* not our address */
	run(rig, packet, length, &plain);
	cr_expect_eq(rig_drops(rig, DROP_FIREWALL_OUT_LOCAL_ADDR), 1);
	length = packet_super(packet, 5000);
	vnet = packet_vnet(packet, 1000);
	vnet.gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
	run(rig, packet, length, &vnet);
	cr_expect_eq(rig_drops(rig, DROP_INNER_GSO), 5);
	struct remote *remote = rig->tunnel->remote;
	rig->tunnel->remote = NULL;
	send_udp(rig, 1, 99, 10);
	rig->tunnel->remote = remote;
	cr_expect_eq(rig_drops(rig, DROP_NO_REMOTE), 1);
	for (int i = 0; i < DROPS; i++)
		dropped += rig->counters.drops[i];
	cr_expect_eq(dropped, 13);
	train_close(&rig->w);
	cr_expect_eq(rig->io.sent_count, 0);
	cr_expect(rig_slots_are_back(rig));
	rig_destroy(rig);
}

/* Segments so small that all the send slots would not hold them: the run must neither stop the
 * road nor lose a part of itself unnamed. */
Test(outbound_road, a_run_of_tiny_segments)
{
	static const uint16_t sizes[] = {1, 7, 48, 60, 64, 128, 536};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct rig *rig = rig_create(true);
		static uint8_t packet[65536];
		uint32_t length = packet_super(packet, 65000), packets;
		struct virtio_net_hdr vnet = packet_vnet(packet, sizes[i]);

		rig->io.keep_sends = true;
		packets = vnet_packets(&vnet, packet, length);
		cr_expect(train_possible(&rig->w, packets,
					 length + packets * (INNER_HEADER_MAX + WIRE_OVERHEAD)));
		run(rig, packet, length, &vnet);
		train_close(&rig->w);
		uint32_t count = (65000 + sizes[i] - 1u) / sizes[i];
		if (count > RUN_SEGMENTS_MAX) {
			cr_expect_eq(rig_drops(rig, DROP_TUN_SEGMENTS), packets);
			cr_expect_eq(rig->io.sent_count, 0);
		} else {
			cr_expect_eq(rig_all_drops(rig), 0, "%u", sizes[i]);
			uint32_t sent = 0;
			for (uint32_t k = 0; k < rig->io.sent_count; k++)
				sent += rig->io.sent[k].count;
			cr_expect_eq(sent, count);
		}
		rig_destroy(rig);
	}
}

Test(outbound_road, counter_limits)
{
	struct rig *rig = rig_create(true);

	rig->tunnel->counter = COUNTER_REHANDSHAKE_AT - 2;
	for (int i = 0; i < 4; i++)
		send_udp(rig, 1, 99, 10);
	cr_assert_eq(rig->io.punt_count, 1);
	cr_expect_eq(rig->io.punts[0]->type, PUNT_COUNTER);
	cr_expect_eq(rig->io.punts[0]->value, COUNTER_REHANDSHAKE_AT);
	cr_expect_eq(rig_all_drops(rig), 0, "it goes on");

	/* a super-packet may step over it */
	static uint8_t packet[65536];
	uint32_t length = packet_super(packet, 60000);
	struct virtio_net_hdr vnet = packet_vnet(packet, 1300);

	rig_forget(rig);
	rig->tunnel->event_in_flight = 0;
	rig->tunnel->counter = COUNTER_REHANDSHAKE_AT - 5;
	cr_assert(outbound_run(&rig->w, packet, length, &vnet));
	train_close(&rig->w);
	cr_assert_eq(rig->io.punt_count, 1);
	cr_expect_eq(rig->io.punts[0]->value, COUNTER_REHANDSHAKE_AT);

	rig->tunnel->event_in_flight = 0;
	rig->tunnel->counter = COUNTER_REFUSE_AT - 3;
	for (int i = 0; i < 5; i++)
		send_udp(rig, 1, 99, 10);
	train_close(&rig->w);
	cr_expect_eq(rig->io.punt_count, 2);
	cr_expect_eq(rig->io.punts[1]->value, COUNTER_REFUSE_AT);
	cr_expect_eq(rig_drops(rig, DROP_COUNTER_LIMIT), 4);
	cr_expect_lt(rig->tunnel->counter, COUNTER_REFUSE_AT);
	rig_destroy(rig);
}

/* ---- waiting for a tunnel, and orders ----------------------------------------------------------
 */

static struct punt *last_punt(struct rig *rig)
{
	cr_assert_gt(rig->io.punt_count, 0);
	return rig->io.punts[rig->io.punt_count - 1];
}

Test(outbound_road, a_run_without_a_tunnel_waits_with_control)
{
	struct rig *rig = rig_create(true);
	static uint8_t packet[65536];
	uint32_t length = packet_super(packet, 60000);
	struct virtio_net_hdr vnet = packet_vnet(packet, 1300);

	packet[19] = 9;
	run(rig, packet, length, &vnet);
	cr_assert_eq(rig->io.punt_count, 1);
	struct punt *punt = rig->io.punts[0];
	cr_expect_eq(punt->type, PUNT_WAITING);
	cr_expect_eq(addr_v4(&punt->addr), 0x0a000009);
	cr_expect_eq(punt->length, length);
	cr_expect_arr_eq(punt->bytes, packet, length);
	cr_expect_eq(punt->vnet.gso_size, 1300);
	for (uint32_t i = 1; i < POOL_WAITING_LARGE + 2; i++)
		run(rig, packet, length, &vnet);
	cr_expect_eq(rig_drops(rig, DROP_PUNT_POOL), 2 * vnet_packets(&vnet, packet, length));
	send_udp(rig, 9, 99, 100);
	cr_expect_eq(rig->io.punt_count, POOL_WAITING_LARGE + 1, "small ones have their own pool");
	rig_destroy(rig);
}

static uint32_t index_of_one(struct rig *rig)
{
	rig_forget(rig);
	send_udp(rig, 1, 99, 100);
	train_close(&rig->w);
	cr_assert_eq(rig->io.sent_count, 1);
	return wire_remote_index(rig->io.sent[0].bytes);
}

/* The peer has lost its tunnel and made another: the answer to its first packet goes over that. */
Test(outbound_road, a_next_tunnel_serves_as_soon_as_something_has_come_over_it)
{
	struct rig *rig = rig_create(true);
	struct addr to = addr_from_v4(0x0a000001);
	struct tunnel *next = rig_tunnel(rig, 1, &to);
	struct host_entry *host = hostmap_by_addr(rig->map, &to);

	next->state = TUNNEL_UNCONFIRMED;
	RCU_PUBLISH(host->tunnel, rig->tunnel);
	RCU_PUBLISH(host->next, next);
	cr_expect_eq(index_of_one(rig), RIG_PEER_INDEX, "a stage 1 alone turns nothing");
	inbound_alive(&rig->w, next, &rig->peer);
	cr_expect_eq(index_of_one(rig), RIG_PEER_INDEX + 1, "control has done nothing yet");
	next->event_in_flight = 0;
	next->state = TUNNEL_CONFIRMED;
	cr_expect_eq(index_of_one(rig), RIG_PEER_INDEX + 1);
	RCU_PUBLISH(host->tunnel, NULL);
	rig_forget(rig);
	send_udp(rig, 1, 99, 100);
	cr_expect_eq(rig->io.punt_count, 1, "no tunnel: runs may be waiting, which are older");
	RCU_PUBLISH(host->tunnel, rig->tunnel);
	RCU_PUBLISH(host->next, NULL);
	rig_destroy(rig);
}

Test(outbound_road, control_is_told_once_that_a_tunnel_is_used)
{
	struct rig *rig = rig_create(true);
	struct order *test = rig_order(ORDER_SEND_IN_TUNNEL, NULL, 0);

	rig->tunnel->watched = 0;
	test->tunnel = rig->tunnel->id;
	test->wire = WIRE_TEST_REQUEST;
	inbox_order(&rig->w, test);
	inbox_work(&rig->w);
	cr_expect_eq(rig->tunnel->watched, 0, "what control asks itself is no traffic");
	cr_expect_eq(last_punt(rig)->type, PUNT_ORDER_DONE);
	uint32_t before = rig->io.punt_count;
	send_udp(rig, 1, 1, 100);
	send_udp(rig, 1, 2, 100);
	cr_assert_eq(rig->io.punt_count, before + 1);
	cr_expect_eq(last_punt(rig)->type, PUNT_ACTIVE);
	cr_expect_eq(last_punt(rig)->tunnel.slot, rig->tunnel->id.slot);
	free(test);
	rig_destroy(rig);
}

Test(outbound_road, newer_runs_stand_behind_held_ones)
{
	struct rig *rig = rig_create(true);
	struct addr peer = addr_from_v4(0x0a000001);
	struct host_entry *host = hostmap_by_addr(rig->map, &peer);
	static uint8_t packet[65536];
	uint32_t length = packet_udp(packet, 1, 4, 100);

	rig->w.waiting_punted = 2; /* before there was a tunnel */
	host->held_queues = 1 | 4;
	cr_expect(!outbound_run(&rig->w, packet, length, &plain), "not taken");
	cr_expect_eq(rig->io.sent_count, 0);
	cr_expect_eq(rig->w.waiting_punted, 2, "nor sent after the others");

	/* control has seen one of two: it must ask again, and the bit stays */
	struct order *resume = rig_order(ORDER_RESUME, packet, packet_udp(packet, 1, 1, 100));
	struct order *end = rig_order(ORDER_RESUME_END, NULL, 0);
	resume->tunnel = rig->tunnel->id;
	end->addr = peer;
	end->waiting_seen = 1;
	inbox_order(&rig->w, resume);
	inbox_order(&rig->w, end);
	inbox_work(&rig->w);
	cr_expect_eq(last_punt(rig)->type, PUNT_RESUME_AGAIN);
	cr_expect_eq(last_punt(rig)->order, end);
	cr_expect(addr_equal(&last_punt(rig)->addr, &peer), "whose runs they are");
	cr_expect_eq(host->held_queues, 5);
	length = packet_udp(packet, 1, 4, 100);
	cr_expect(!outbound_run(&rig->w, packet, length, &plain));

	end->waiting_seen = 2;
	inbox_order(&rig->w, resume);
	inbox_order(&rig->w, end);
	inbox_work(&rig->w);
	cr_expect_eq(last_punt(rig)->type, PUNT_ORDER_DONE);
	cr_expect_eq(host->held_queues, 4, "only this queue's bit");
	cr_expect(outbound_run(&rig->w, packet, length, &plain));
	train_close(&rig->w);
	cr_assert_eq(rig->io.sent_count, 1);
	cr_expect_eq(rig->io.sent[0].count, 3, "resumed, resumed, new: in this order");
	for (uint32_t k = 0; k < 3; k++) {
		cr_assert_gt(rig_open(rig, 0, k), 0);
		cr_expect_eq(rig->opened[21], k == 2 ? 4 : 1);
	}
	free(resume);
	free(end);
	rig_destroy(rig);
}

Test(outbound_road, what_control_orders)
{
	struct rig *rig = rig_create(true);
	struct order *o = rig_order(ORDER_SEND_IN_TUNNEL, "hello", 5);

	o->wire = WIRE_TEST_REQUEST;
	o->tunnel = rig->tunnel->id;
	inbox_order(&rig->w, o);
	inbox_work(&rig->w);
	cr_expect_eq(last_punt(rig)->type, PUNT_ORDER_DONE);
	cr_expect_eq(last_punt(rig)->result, 0);
	cr_assert_eq(rig->io.sent_count, 1);
	cr_expect_eq(wire_type_of(rig->io.sent[0].bytes), WIRE_TEST_REQUEST);
	cr_expect_eq(wire_remote_index(rig->io.sent[0].bytes), RIG_PEER_INDEX);
	cr_assert_eq(rig_open(rig, 0, 0), 5);
	cr_expect_arr_eq(rig->opened, "hello", 5);

	o->has_remote = true;
	o->remote = (struct endpoint){.addr = addr_from_v4(0x01020304), .port = 5};
	inbox_order(&rig->w, o);
	inbox_work(&rig->w);
	cr_assert_eq(rig->io.sent_count, 2);
	cr_expect_eq(((struct sockaddr_in *)&rig->io.sent[1].to)->sin_port, htobe16(5));

	o->length = DATAGRAM_MAX;
	inbox_order(&rig->w, o);
	inbox_work(&rig->w);
	cr_expect_eq(last_punt(rig)->result, -EMSGSIZE);
	o->tunnel.generation++;
	o->length = 5;
	inbox_order(&rig->w, o);
	inbox_work(&rig->w);
	cr_expect_eq(last_punt(rig)->result, -ENOENT);
	cr_expect_eq(rig->io.sent_count, 2);
	cr_expect_eq(rig_stat(rig, STAT_ORDERS), 4);
	cr_expect_eq(rig_drops(rig, DROP_SEND_ERROR), 1);
	cr_expect_eq(rig_drops(rig, DROP_NO_TUNNEL), 1);
	cr_expect_eq(rig_all_drops(rig), 2);
	cr_expect_eq(rig_stat(rig, STAT_PUNTS), 4);
	free(o);
	rig_destroy(rig);
}

Test(outbound_road, orders_wait_for_send_slots_and_keep_their_order)
{
	struct rig *rig = rig_create(true);
	struct order *o[SEND_SLOTS];

	rig->io.keep_sends = true;
	for (uint32_t i = 0; i < SEND_SLOTS; i++) {
		o[i] = rig_order(ORDER_SEND_IN_TUNNEL, &(uint8_t){(uint8_t)i}, 1);
		o[i]->wire = WIRE_TEST_REQUEST;
		o[i]->tunnel = rig->tunnel->id;
		inbox_order(&rig->w, o[i]);
	}
	inbox_work(&rig->w);
	cr_expect_lt(rig->io.sent_count, SEND_SLOTS);
	cr_expect_eq(rig->w.order_count + rig->io.sent_count, SEND_SLOTS);
	for (uint32_t i = 0; i < SEND_SLOTS; i++)
		rig->io.free_sends[i] = &rig->io.send_slots[i];
	rig->io.free_send_count = SEND_SLOTS;
	inbox_work(&rig->w);
	cr_assert_eq(rig->io.sent_count, SEND_SLOTS);
	for (uint32_t i = 0; i < SEND_SLOTS; i++) {
		cr_assert_eq(rig_open(rig, i, 0), 1);
		cr_expect_eq(rig->opened[0], i);
		free(o[i]);
	}
	rig_destroy(rig);
}

Test(outbound_road, a_socket_that_stays_full_does_not_keep_the_worker)
{
	struct rig *rig = rig_create(true);
	struct order *send = rig_order(ORDER_SEND_IN_TUNNEL, "x", 1);
	struct order *stop = rig_order(ORDER_STOP, NULL, 0);

	send->wire = WIRE_TEST_REQUEST;
	send->tunnel = rig->tunnel->id;
	rig->io.free_send_count = 0;
	inbox_order(&rig->w, send);
	rig->io.send_blocked = true;
	inbox_work(&rig->w);
	cr_expect_not(rig->w.stopping, "nobody told it to stop");
	rig->io.send_blocked = false;
	inbox_order(&rig->w, stop);
	inbox_work(&rig->w);
	cr_expect_not(rig->w.stopping, "slots will come back");
	rig->io.send_blocked = true;
	inbox_work(&rig->w);
	cr_expect(rig->w.stopping);
	rig->io.free_send_count = SEND_SLOTS;
	free(send);
	free(stop);
	rig_destroy(rig);
}

/* ---- the loop ----------------------------------------------------------------------------------
 */

Test(outbound_road, a_worker_from_start_to_end)
{
	struct rig *rig = rig_create(true);
	static uint8_t packet[2000];
	struct order *stop = rig_order(ORDER_STOP, NULL, 0);
	struct io_event *events = rig->io.events;

	events[0] = (struct io_event){
		.type = IO_TUN_RUN, .packet = packet, .length = packet_udp(packet, 1, 99, 100)};
	events[1] = (struct io_event){
		.type = IO_NOTE, .note = NOTE_GSO_REMOTE, .tunnel = rig->tunnel->id, .bytes = 1400};
	events[2] = (struct io_event){.type = IO_NOTE, .note = NOTE_TSO_OFF};
	events[3] = (struct io_event){.type = IO_ORDER, .order = stop};
	rig->io.event_count = 4;
	rig->w.now_ns = rig->w.now_s = 0;
	worker_main(&rig->w);
	cr_expect_eq(rig->io.sent_count, 1);
	cr_expect_eq(rig->io.released, 1);
	cr_expect_eq(rig->io.slept, 0, "told to stop, it does not sleep once more");
	cr_expect_eq(rig->w.now_s, rig->w.now_ns / 1000000000u);
	cr_expect_gt(rig->w.now_ns, 0);
	cr_expect_eq(rig->tunnel->remote->gso_segment_max, 1399);
	cr_expect_not(rig->w.tso);
	cr_expect(rig->w.uso);
	cr_assert_eq(rig->io.punt_count, 4);
	cr_expect_eq(rig->io.punts[0]->type, PUNT_READY);
	cr_expect_eq(rig->io.punts[1]->type, PUNT_NOTE);
	cr_expect_eq(rig->io.punts[3]->type, PUNT_STOPPED);
	cr_expect(rig_slots_are_back(rig));
	free(stop);
	rig_destroy(rig);
}

/* Trains to one remote are refused whatever their segments: none is tried again for a while. */
Test(outbound_road, a_route_that_takes_no_trains)
{
	struct rig *rig = rig_create(true);
	struct order *stop = rig_order(ORDER_STOP, NULL, 0);
	struct io_event *events = rig->io.events;
	uint32_t now_s = rig->w.now_s; /* events are taken in before a turn looks at the clock */

	events[0] = (struct io_event){
		.type = IO_NOTE, .note = NOTE_GSO_OFF, .tunnel = rig->tunnel->id, .bytes = 1};
	events[1] = events[0];
	events[1].tunnel.generation++; /* one that has gone meanwhile */
	events[2] = (struct io_event){.type = IO_ORDER, .order = stop};
	rig->io.event_count = 3;
	worker_main(&rig->w);
	cr_expect_not(remote_takes_gso(rig->tunnel->remote, 100, now_s));
	cr_expect_not(remote_takes_gso(rig->tunnel->remote, 100, now_s + GSO_RETRY_S - 1));
	cr_expect(remote_takes_gso(rig->tunnel->remote, 1400, now_s + GSO_RETRY_S));
	free(stop);
	rig_destroy(rig);
}

/* The tunnel closes after control has let go what waited for it. */
Test(outbound_road, what_waited_for_a_tunnel_that_went_has_a_name)
{
	struct rig *rig = rig_create(true);
	static uint8_t packet[65536];
	struct order *resume = rig_order(ORDER_RESUME, packet, packet_udp(packet, 1, 1, 100));
	struct order *message = rig_order(ORDER_SEND_IN_TUNNEL, packet, 8);

	resume->tunnel = message->tunnel = rig->tunnel->id;
	resume->tunnel.generation++;
	message->tunnel.generation++;
	message->wire = WIRE_LIGHTHOUSE;
	inbox_order(&rig->w, resume);
	inbox_order(&rig->w, message);
	inbox_work(&rig->w);
	train_close(&rig->w);
	cr_expect_eq(rig->io.sent_count, 0);
	cr_expect_eq(rig_drops(rig, DROP_NO_TUNNEL), 2);
	free(resume);
	free(message);
	rig_destroy(rig);
}

Test(outbound_road, what_waited_and_may_not_go_is_counted_once)
{
	struct rig *rig = rig_create(true);
	static uint8_t packet[65536];
	struct order *resume = rig_order(ORDER_RESUME, packet, packet_udp(packet, 1, 1, 100));

	resume->tunnel = rig->tunnel->id;
	rig->snapshot.rules[OUTBOUND].count = 0;
	inbox_order(&rig->w, resume);
	inbox_work(&rig->w);
	train_close(&rig->w);
	cr_expect_eq(rig->io.sent_count, 0);
	cr_expect_eq(rig_drops(rig, firewall_drop(DROP_FIREWALL_NO_RULE, OUTBOUND)), 1);
	cr_expect_eq(rig_all_drops(rig), 1);
	cr_expect_eq(last_punt(rig)->result, -EPERM);
	free(resume);
	rig_destroy(rig);
}
