/*
 * relay_road_test.c - frames: sent on from where they lie, taken off their packets, put around ours
 * (PROTOCOL.md 7.3), and everything that somebody may do with them. The room that they need to be
 * sent: relay_send_road_test.c.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "unit/roads/relay_rig.h"

TestSuite(relay_road, .timeout = 60);

static const struct virtio_net_hdr plain;

/* A frame around a message of tunnel 0's peer that holds segment k of a TCP flow. */
static void add_message(struct rig *rig, uint32_t n, uint32_t k, uint64_t counter)
{
	uint8_t packet[2000], message[2100];
	uint32_t length = rig_tcp(packet, 5000, k, 1000);

	rig->as_peer.remote_index = RIG_INDEX;
	seal_packet(&rig->as_peer, WIRE_MESSAGE, WIRE_LABEL_NONE, counter, packet, length, message);
	add_frame(rig, n, message, length + WIRE_OVERHEAD);
}

/* Frame k of send n, as its receiver sees it. */
static const uint8_t *sent_frame(const struct rig *rig, uint32_t n, uint32_t k)
{
	return rig->io.sent[n].bytes + (size_t)k * rig->io.sent[n].segment_bytes;
}

Test(relay_road, a_train_is_sent_on_from_where_it_lies)
{
	struct rig *rig = rig_create(true);
	struct tunnel *out = second_tunnel(rig);
	uint8_t inner[1000];

	entry(rig, 0, rig->tunnel, true, out);
	for (uint32_t k = 0; k < 40; k++) {
		memset(inner, (int)k, sizeof(inner));
		add_frame(rig, 0, inner, k < 39 ? 1000 : 500);
	}
	rig_receive(rig);
	cr_assert_eq(rig->io.sent_count, 1);
	const struct rig_sent *sent = &rig->io.sent[0];
	cr_expect(sent->borrowed);
	cr_expect(rig_sent_for(sent, out));
	cr_expect_eq(sent->count, 40);
	cr_expect_eq(sent->segment_bytes, 1000 + WIRE_OVERHEAD);
	cr_expect_eq(ntohs(((const struct sockaddr_in *)&sent->to)->sin_port), 4343);
	for (uint32_t k = 0; k < 40; k++) {
		const uint8_t *frame = sent_frame(rig, 0, k);
		uint32_t length = k < 39 ? 1000 : 500;
		memset(inner, (int)k, sizeof(inner));
		cr_expect_eq(wire_type_of(frame), WIRE_RELAY);
		cr_expect_eq(wire_remote_index(frame), FAR_INDEX);
		cr_expect_eq(wire_counter(frame), COUNTER_FIRST + k);
		cr_expect_eq(seal_check_frame(&rig->as_peer, frame, length + WIRE_OVERHEAD), 0);
		cr_expect_arr_eq(frame + WIRE_HEADER_BYTES, inner, length);
	}
	cr_expect_eq(rig_stat(rig, STAT_COPIED_BYTES), 0);
	cr_expect_eq(rig_stat(rig, STAT_RELAY_FORWARDED), 40);
	cr_expect_eq(rig_all_drops(rig), 0);
	cr_expect_eq(rig->tunnel->last_in_ns, rig->w.now_ns);
	cr_expect_eq(out->last_out_ns, rig->w.now_ns, "both tunnels are in use");
	cr_expect_eq(hostmap_by_index(rig->map, RELAY_INDEX)->relay_used_ns, rig->w.now_ns,
		     "control asks for that");
	cr_expect(rig_slots_are_back(rig));
	rig_destroy(rig);
}

/* What the kernel hands over may be longer than what one send takes. */
Test(relay_road, a_train_longer_than_a_send_becomes_two)
{
	struct rig *rig = rig_create(true);
	uint8_t inner[1060] = {0};

	entry(rig, 0, rig->tunnel, true, second_tunnel(rig));
	for (uint32_t k = 0; k < 60; k++)
		add_frame(rig, 0, inner, sizeof(inner));
	cr_assert_gt(rig->datagram_bytes, GSO_BYTES_MAX);
	rig_receive(rig);
	cr_assert_eq(rig->io.sent_count, 2);
	cr_expect_eq(rig->io.sent[0].count, 59);
	cr_expect_eq(rig->io.sent[1].count, 1);
	cr_expect_eq(rig_all_drops(rig), 0);
	rig_destroy(rig);
}

/* The last of a train may be of any length: too short for a frame, it is none of its frames. */
Test(relay_road, what_is_left_at_the_end_of_a_train_is_no_frame)
{
	struct rig *rig = rig_create(true);
	struct tunnel *out = second_tunnel(rig);
	uint8_t inner[100] = {0}, rest[WIRE_OVERHEAD - 1] = {0};

	entry(rig, 0, rig->tunnel, true, out);
	for (uint32_t bytes = WIRE_HEADER_BYTES; bytes < WIRE_OVERHEAD; bytes++) {
		add_frame(rig, 0, inner, sizeof(inner));
		add_frame(rig, 0, inner, sizeof(inner));
		wire_write(rest, WIRE_RELAY, RELAY_INDEX, rig->counter);
		rig_add_raw(rig, rest, bytes);
		rig_receive(rig);
		cr_assert_eq(rig->io.sent_count, 1);
		cr_expect_eq(rig->io.sent[0].count, 2);
		cr_expect_eq(rig->io.sent[0].length, 2 * (sizeof(inner) + WIRE_OVERHEAD));
		cr_expect_eq(rig_all_drops(rig), bytes - WIRE_HEADER_BYTES + 1);
		cr_expect_eq(rig_drops(rig, DROP_UDP_SHORT), rig_all_drops(rig));
		rig_forget(rig);
	}
	rig_destroy(rig);
}

Test(relay_road, a_train_longer_than_a_run_becomes_several)
{
	struct rig *rig = rig_create(true);
	struct tunnel *out = second_tunnel(rig);
	uint8_t inner[100] = {0};
	uint32_t sent = 0;

	entry(rig, 0, rig->tunnel, true, out);
	for (uint32_t k = 0; k < 3 * RUN_MAX + 1; k++)
		add_frame(rig, 0, inner, sizeof(inner));
	rig_receive(rig);
	for (uint32_t n = 0; n < rig->io.sent_count; n++) {
		cr_expect_leq(rig->io.sent[n].count, RUN_MAX);
		sent += rig->io.sent[n].count;
	}
	cr_expect_eq(sent, 3 * RUN_MAX + 1);
	cr_expect_eq(rig_all_drops(rig), 0);
	rig_destroy(rig);
}

Test(relay_road, a_far_tunnel_whose_counters_are_used_up)
{
	struct rig *rig = rig_create(true);
	struct tunnel *out = second_tunnel(rig);
	uint8_t inner[100] = {0};

	entry(rig, 0, rig->tunnel, true, out);
	out->counter = COUNTER_REFUSE_AT - 2;
	for (uint32_t k = 0; k < 2 * SEND_SLOTS; k++) {
		add_frame(rig, 0, inner, sizeof(inner));
		add_frame(rig, 0, inner, sizeof(inner));
		rig_receive(rig);
	}
	cr_expect_eq(rig->io.sent_count, 0);
	cr_expect_eq(rig_drops(rig, DROP_COUNTER_LIMIT), 4 * SEND_SLOTS);
	cr_expect_eq(rig_all_drops(rig), 4 * SEND_SLOTS);
	cr_expect(rig_slots_are_back(rig));
	rig_destroy(rig);
}

Test(relay_road, a_train_for_several_is_split)
{
	struct rig *rig = rig_create(true);
	struct tunnel *out = second_tunnel(rig);
	uint8_t inner[100] = {0};

	entry(rig, 0, rig->tunnel, true, out);
	entry(rig, 1, rig->tunnel, true, rig->tunnel);
	entry(rig, 2, rig->tunnel, true, NULL);
	for (uint32_t k = 0; k < 12; k++)
		add_frame(rig, k / 4, inner, sizeof(inner));
	rig_receive(rig);
	cr_assert_eq(rig->io.sent_count, 2);
	for (uint32_t n = 0; n < 2; n++) {
		cr_expect_eq(rig->io.sent[n].count, 4);
		cr_expect_eq(wire_remote_index(sent_frame(rig, n, 3)), FAR_INDEX + n);
	}
	cr_expect_eq(rig_drops(rig, DROP_RELAY_NO_PATH), 4);
	cr_expect_eq(rig_all_drops(rig), 4);
	/* a relay that has no direct way itself forwards nothing, before a hole or behind it */
	out->remote = NULL;
	for (uint32_t k = 0; k < 4; k++)
		add_frame(rig, 0, inner, sizeof(inner))[40] ^= k == 1;
	rig_receive(rig);
	cr_expect_eq(rig_drops(rig, DROP_RELAY_NO_PATH), 4 + 3);
	cr_expect_eq(rig_drops(rig, DROP_AUTHENTICATION), 1);
	rig_destroy(rig);
}

/* Trap 6: the outer layer is not encrypted, yet nothing of it can be changed. Trap 80: nor
 * repeated. */
Test(relay_road, what_was_changed_or_repeated_is_not_sent_on)
{
	static const uint32_t spoiled[] = {2, 9, 20, 40, 500, 1016, 1031};
	struct rig *rig = rig_create(true);
	uint8_t inner[1000] = {0};
	uint32_t n = sizeof(spoiled) / sizeof(*spoiled);

	entry(rig, 0, rig->tunnel, true, second_tunnel(rig));
	for (uint32_t k = 0; k < n; k++) {
		add_frame(rig, 0, inner, sizeof(inner));
		add_frame(rig, 0, inner, sizeof(inner))[spoiled[k]] ^= 0x40;
	}
	add_frame(rig, 0, inner, sizeof(inner));
	rig_receive(rig);
	cr_expect_eq(rig_drops(rig, DROP_AUTHENTICATION), n);
	cr_expect_eq(rig->io.sent_count, n + 1, "a hole ends a send");
	rig_forget(rig);
	/* the same counters again, twice in one train */
	rig->counter = COUNTER_FIRST;
	add_frame(rig, 0, inner, sizeof(inner));
	rig->counter = 100;
	add_frame(rig, 0, inner, sizeof(inner));
	rig->counter = 100;
	add_frame(rig, 0, inner, sizeof(inner));
	rig_receive(rig);
	cr_expect_eq(rig_drops(rig, DROP_REPLAY), 2);
	cr_expect_eq(rig->io.sent_count, 1);
	cr_expect_eq(rig->io.sent[0].count, 1);
	rig_destroy(rig);
}

/* Neither that its tunnel lives, nor where its peer is, nor that the entry is needed. */
Test(relay_road, forged_and_repeated_frames_say_nothing)
{
	struct rig *rig = rig_create(true);
	struct endpoint elsewhere = {addr_from_v4(0xcb007109), 99};
	struct index_entry *index;
	uint8_t inner[100] = {0};

	entry(rig, 0, rig->tunnel, true, second_tunnel(rig));
	index = hostmap_by_index(rig->map, RELAY_INDEX);
	add_frame(rig, 0, inner, sizeof(inner));
	rig_receive(rig);
	rig_forget(rig);
	rig->tunnel->last_in_ns = index->relay_used_ns = 7;

	add_frame(rig, 0, inner, sizeof(inner))[50] ^= 1;
	rig->counter = COUNTER_FIRST;
	add_frame(rig, 0, inner, sizeof(inner));
	rig_receive_from(rig, &elsewhere);
	cr_expect_eq(rig->io.punt_count, 0);
	cr_expect_eq(rig->tunnel->last_in_ns, 7);
	cr_expect_eq(index->relay_used_ns, 7);
	cr_expect_eq(rig_drops(rig, DROP_AUTHENTICATION), 1);
	cr_expect_eq(rig_drops(rig, DROP_REPLAY), 1);

	rig->counter = 100;
	add_frame(rig, 0, inner, sizeof(inner));
	rig_receive_from(rig, &elsewhere);
	cr_assert_eq(rig->io.punt_count, 1, "an authentic one does");
	cr_expect_eq(rig->io.punts[0]->type, PUNT_ROAM);
	cr_expect_eq(rig->tunnel->last_in_ns, rig->w.now_ns);
	cr_expect_eq(index->relay_used_ns, rig->w.now_ns);
	rig_destroy(rig);
}

/* Trap 47: in one train with the right frame, and before it. */
Test(relay_road, a_forged_frame_takes_no_counter_from_the_right_one)
{
	struct rig *rig = rig_create(true);
	uint8_t inner[1000] = {0};

	entry(rig, 0, rig->tunnel, true, second_tunnel(rig));
	add_frame(rig, 0, inner, sizeof(inner))[500] ^= 1;
	rig->counter--;
	add_frame(rig, 0, inner, sizeof(inner));
	rig->counter--;
	add_frame(rig, 0, inner, sizeof(inner));
	add_frame(rig, 0, inner, sizeof(inner));
	rig_receive(rig);
	cr_expect_eq(rig_stat(rig, STAT_RELAY_FORWARDED), 2);
	cr_expect_eq(rig_drops(rig, DROP_AUTHENTICATION), 1);
	cr_expect_eq(rig_drops(rig, DROP_REPLAY), 1);
	cr_expect_eq(rig_all_drops(rig), 2);
	rig_destroy(rig);
}

/* Trap 79: an index is worth nothing to a peer whose tunnel it does not belong to. */
Test(relay_road, the_index_of_anothers_tunnel)
{
	struct rig *rig = rig_create(true);
	struct tunnel *other = second_tunnel(rig);
	uint8_t inner[100] = {0}, raw[AEAD_KEY_BYTES] = {9};

	cr_assert_eq(aead_key_init(&other->keys->open, AEAD_AES256GCM, raw), 0);
	entry(rig, 0, other, true, rig->tunnel);
	entry(rig, 1, other, false, NULL);
	add_frame(rig, 0, inner, sizeof(inner));
	add_frame(rig, 1, inner, sizeof(inner));
	rig_receive(rig);
	cr_expect_eq(rig_drops(rig, DROP_AUTHENTICATION), 2);
	cr_expect_eq(rig_all_drops(rig), 2);
	cr_expect_eq(rig->io.sent_count, 0);
	rig_destroy(rig);
}

Test(relay_road, packets_are_taken_off_and_joined_without_a_copy)
{
	struct rig *rig = rig_create(true);

	entry(rig, 0, second_tunnel(rig), false, NULL);
	for (uint32_t k = 0; k < 30; k++)
		add_message(rig, 0, k, COUNTER_FIRST + k);
	rig_receive(rig);
	chains_flush(&rig->w);
	cr_assert_eq(rig->io.written_count, 1);
	cr_expect_eq(rig->io.written[0].length, 40 + 30 * 1000);
	cr_expect_eq(rig_stat(rig, STAT_COPIED_BYTES), 0);
	cr_expect_eq(rig_all_drops(rig), 0);
	cr_expect_eq(rig->io.punt_count, 1,
		     "the relay's own tunnel has moved to where they came from");
	cr_expect_eq(rig->io.punts[0]->type, PUNT_ROAM);
	cr_expect_eq(rig->io.punts[0]->tunnel.slot, 1);
	/* a hole in the frames is a hole in the packets, no more */
	rig_forget(rig);
	for (uint32_t k = 0; k < 9; k++) {
		add_message(rig, 0, k, 100 + k);
		if (k == 4)
			rig->datagrams[rig->datagram_bytes - 1] ^= 1;
	}
	rig_receive(rig);
	chains_flush(&rig->w);
	cr_expect_eq(rig_drops(rig, DROP_AUTHENTICATION), 1);
	cr_expect_eq(rig_stat(rig, STAT_TUN_WRITTEN), 30 + 8);
	rig_destroy(rig);
}

/* The first packet of a tunnel: control is told through which relay it came. */
Test(relay_road, a_tunnel_is_confirmed_through_a_relay)
{
	struct rig *rig = rig_create(true);
	struct tunnel *via = second_tunnel(rig);

	entry(rig, 0, via, false, NULL);
	rig->tunnel->state = TUNNEL_UNCONFIRMED;
	add_message(rig, 0, 0, 100);
	rig_receive(rig);
	cr_assert_eq(rig->io.punt_count, 2, "that, and where the relay is");
	cr_expect_eq(rig->io.punts[1]->type, PUNT_CONFIRMED);
	cr_expect_eq(rig->io.punts[1]->tunnel.slot, 0);
	cr_expect_eq(rig->io.punts[1]->via, RELAY_INDEX);
	cr_expect_eq(rig->io.punts[1]->source.port, 0);
	rig_destroy(rig);
}

/* Through a relay: no recv_error, no roaming, no frame in a frame (trap 83), whatever is inside. */
Test(relay_road, what_is_inside_of_a_frame)
{
	struct rig *rig = rig_create(true);
	uint8_t inner[200] = {0}, frame[300];

	entry(rig, 0, rig->tunnel, false, NULL);
	for (uint32_t length = 0; length <= 64; length++) {
		wire_write(inner, WIRE_MESSAGE, 0x99999999, 7);
		add_frame(rig, 0, inner, length);
		rig_receive(rig);
	}
	cr_expect_eq(rig_drops(rig, DROP_UDP_EMPTY), 1);
	cr_expect_eq(rig_drops(rig, DROP_UDP_PUNCH), 1);
	cr_expect_eq(rig_drops(rig, DROP_UDP_SHORT), 14);
	cr_expect_eq(rig_drops(rig, DROP_INDEX_UNKNOWN), 49);
	cr_expect_eq(rig->io.sent_count, 0, "no recv_error");
	cr_expect_eq(rig_stat(rig, STAT_RECV_ERROR_LIMITED), 0, "nor was one tried");
	uint64_t before = rig_all_drops(rig);
	seal_frame(&rig->as_peer, RELAY_INDEX, WIRE_LABEL_NONE, 500, frame, 100);
	add_frame(rig, 0, frame, 100 + WIRE_OVERHEAD);
	rig_receive(rig);
	cr_expect_eq(rig_drops(rig, DROP_RELAY_NESTED), 1);
	cr_expect_eq(rig_all_drops(rig), before + 1);
	cr_expect_eq(rig->io.punt_count, 0);
	/* a handshake goes to control with the index it came through, and without a source */
	wire_write(inner, WIRE_HANDSHAKE, 0, 1);
	add_frame(rig, 0, inner, 150);
	rig_receive(rig);
	cr_assert_eq(rig->io.punt_count, 1);
	cr_expect_eq(rig->io.punts[0]->type, PUNT_HANDSHAKE);
	cr_expect_eq(rig->io.punts[0]->via, RELAY_INDEX);
	cr_expect_eq(rig->io.punts[0]->source.port, 0);
	cr_expect_eq(rig->io.punts[0]->length, 150);
	/* so does what is opened for it */
	rig->as_peer.remote_index = RIG_INDEX;
	seal_packet(&rig->as_peer, WIRE_TEST_REQUEST, WIRE_LABEL_NONE, rig->counter++, inner, 8,
		    frame);
	add_frame(rig, 0, frame, 8 + WIRE_OVERHEAD);
	rig_receive(rig);
	cr_assert_eq(rig->io.punt_count, 2);
	cr_expect_eq(rig->io.punts[1]->type, PUNT_OPENED);
	cr_expect_eq(rig->io.punts[1]->via, RELAY_INDEX);
	cr_expect_eq(rig->io.punts[1]->source.port, 0);
	rig_destroy(rig);
}

Test(relay_road, frames_that_lead_nowhere)
{
	struct rig *rig = rig_create(true);
	uint8_t inner[100] = {0};

	rig->snapshot.send_recv_error = RECV_ERROR_ALWAYS;
	add_frame(rig, 5, inner, sizeof(inner));
	add_frame(rig, 5, inner, sizeof(inner));
	rig_receive(rig);
	cr_expect_eq(rig_drops(rig, DROP_INDEX_UNKNOWN), 2);
	cr_expect_eq(rig->io.sent_count, 1, "one recv_error");
	cr_expect_eq(wire_type_of(sent_frame(rig, 0, 0)), WIRE_RECV_ERROR);
	cr_expect_eq(wire_remote_index(sent_frame(rig, 0, 0)), RELAY_INDEX + 5);
	cr_assert_eq(hostmap_index_reserve(rig->map, RELAY_INDEX), 0);
	add_frame(rig, 0, inner, sizeof(inner));
	rig_receive(rig);
	cr_expect_eq(rig_drops(rig, DROP_INDEX_PENDING), 1);
	/* the index of a tunnel is none of a relay, but means something: no recv_error either */
	wire_write(inner, WIRE_RELAY, RIG_INDEX, 9);
	rig_add_raw(rig, inner, sizeof(inner));
	rig_receive(rig);
	cr_expect_eq(rig_drops(rig, DROP_RELAY_UNKNOWN), 1);
	cr_expect_eq(rig_all_drops(rig), 4);
	cr_expect_eq(rig->io.sent_count, 1);
	rig_destroy(rig);
}

/* The tunnel has no remote: its packets leave as frames, still as trains. */
static void go_through(struct rig *rig, struct tunnel *via)
{
	free(rig->tunnel->remote);
	rig->tunnel->remote = NULL;
	rig->tunnel->path = malloc(sizeof(*rig->tunnel->path));
	*rig->tunnel->path = (struct relay_path){via, FAR_INDEX};
}

Test(relay_road, a_super_packet_becomes_a_train_of_frames)
{
	struct rig *rig = rig_create(true);
	struct tunnel *via = second_tunnel(rig);
	static uint8_t packet[65536];
	uint32_t length = packet_build(packet, &(struct packet){.version = 4,
								.protocol = IPPROTO_TCP,
								.source_port = 80,
								.dest_port = 5000,
								.source = 2,
								.destination = 1,
								.partial = true,
								.tcp_flags = TCP_ACK,
								.payload_bytes = 20 * 1200});
	struct virtio_net_hdr vnet = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				      .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
				      .gso_size = 1200,
				      .hdr_len = 40,
				      .csum_start = 20,
				      .csum_offset = 16};

	go_through(rig, via);
	cr_assert(outbound_run(&rig->w, packet, length, &vnet));
	train_close(&rig->w);
	cr_assert_eq(rig->io.sent_count, 1);
	cr_expect_eq(rig->io.sent[0].count, 20);
	cr_expect(rig_sent_for(&rig->io.sent[0], via));
	cr_expect_eq(rig->io.sent[0].segment_bytes, 1240 + 2 * WIRE_OVERHEAD);
	cr_expect_eq(ntohs(((struct sockaddr_in *)&rig->io.sent[0].to)->sin_port), 4343);
	for (uint32_t k = 0; k < 20; k++) {
		const uint8_t *frame = sent_frame(rig, 0, k), *message = frame + WIRE_HEADER_BYTES;
		uint8_t opened[2000];
		cr_expect_eq(wire_remote_index(frame), FAR_INDEX);
		cr_expect_eq(wire_counter(frame), COUNTER_FIRST + k);
		cr_expect_eq(seal_check_frame(&rig->as_peer, frame, 1240 + 2 * WIRE_OVERHEAD), 0);
		cr_expect_eq(wire_remote_index(message), RIG_PEER_INDEX);
		cr_expect_eq(seal_open(&rig->as_peer, message, 1240 + WIRE_OVERHEAD, opened), 0);
	}
	cr_expect_eq(rig_all_drops(rig), 0);
	cr_expect_eq(via->last_out_ns, rig->w.now_ns, "the relay's tunnel is in use");
	/* a datagram in a frame has two heads, and is no longer for that */
	for (uint32_t over = 0; over < 2; over++) {
		uint32_t longest = DATAGRAM_MAX - 2 * WIRE_OVERHEAD - 40 + over;
		length = packet_build(packet, &(struct packet){.version = 4,
							       .protocol = IPPROTO_TCP,
							       .source_port = 80,
							       .dest_port = 5000,
							       .source = 2,
							       .destination = 1,
							       .tcp_flags = TCP_ACK,
							       .payload_bytes = longest});
		cr_assert(outbound_run(&rig->w, packet, length, &plain));
		cr_expect_eq(rig_drops(rig, DROP_TUN_TOO_BIG), over);
	}
	train_close(&rig->w);
	cr_expect_eq(rig->io.sent[1].length, DATAGRAM_MAX);
	/* without a path, or with a relay that has none, nothing leaves */
	free(via->remote);
	via->remote = NULL;
	cr_assert(outbound_run(&rig->w, packet, length, &plain));
	cr_expect_eq(rig_drops(rig, DROP_NO_REMOTE), 1);
	rig_destroy(rig);
}

Test(relay_road, messages_of_control)
{
	struct rig *rig = rig_create(true);
	struct tunnel *via = second_tunnel(rig);
	uint8_t bytes[] = "a datagram of control", opened[100];

	go_through(rig, via);
	cr_assert_eq(outbound_message(&rig->w, rig->tunnel, WIRE_TEST_REQUEST, NULL, bytes, 5), 0);
	cr_expect_eq(rig->io.sent[0].length, 5 + 2 * WIRE_OVERHEAD);
	cr_expect(rig_sent_for(&rig->io.sent[0], via));
	cr_expect_eq(seal_check_frame(&rig->as_peer, sent_frame(rig, 0, 0), 5 + 64), 0);
	cr_expect_eq(seal_open(&rig->as_peer, sent_frame(rig, 0, 0) + 16, 5 + 32, opened), 0);
	/* to one address, past the relay */
	cr_assert_eq(
		outbound_message(&rig->w, rig->tunnel, WIRE_TEST_REQUEST, &rig->peer, bytes, 5), 0);
	cr_expect_eq(rig->io.sent[1].length, 5 + WIRE_OVERHEAD);
	cr_expect(rig_sent_for(&rig->io.sent[1], rig->tunnel));
	cr_expect_eq(rig->tunnel->last_out_ns, 0, "a test is no traffic");
	/* a whole datagram, wrapped */
	cr_assert_eq(relay_send(&rig->w, via, 77, bytes, sizeof(bytes)), 0);
	cr_expect_eq(wire_remote_index(sent_frame(rig, 2, 0)), 77);
	cr_expect_arr_eq(sent_frame(rig, 2, 0) + 16, bytes, sizeof(bytes));
	cr_expect_neq(relay_send(&rig->w, via, 77, rig->opened, DATAGRAM_MAX - 31), 0);
	struct order *order = rig_order(ORDER_SEND_VIA_RELAY, bytes, sizeof(bytes));
	order->tunnel = rig->tunnel->id;
	inbox_order(&rig->w, order);
	inbox_work(&rig->w);
	cr_expect_eq(rig->io.sent_count, 3);
	cr_expect_eq(rig_drops(rig, DROP_NO_REMOTE), 1, "no hop more");
	order->tunnel = via->id;
	uint64_t counter = atomic_exchange(&via->counter, COUNTER_REFUSE_AT);
	inbox_order(&rig->w, order);
	inbox_work(&rig->w);
	cr_expect_eq(rig_drops(rig, DROP_COUNTER_LIMIT), 1);
	atomic_store(&via->counter, counter);
	free(order);
	cr_assert_eq(outbound_message(&rig->w, rig->tunnel, WIRE_LIGHTHOUSE, NULL, bytes, 5), 0);
	cr_expect_eq(rig->tunnel->last_out_ns, rig->w.now_ns);
	rig_destroy(rig);
}

/* Messages, frames around them, datagrams that are wrapped, and frames sent on: trap 4. */
Test(relay_road, no_counter_is_used_twice)
{
	struct rig *rig = rig_create(true);
	struct tunnel *via = second_tunnel(rig);
	uint8_t bytes[100] = {0};
	uint64_t frame = COUNTER_FIRST, message = COUNTER_FIRST;

	go_through(rig, via);
	entry(rig, 0, rig->tunnel, true, via);
	for (uint32_t round = 0; round < 2; round++) {
		rig_forget(rig);
		cr_assert_eq(outbound_message(&rig->w, rig->tunnel, WIRE_LIGHTHOUSE, NULL, bytes,
					      sizeof(bytes)),
			     0);
		cr_assert_eq(relay_send(&rig->w, via, 77, bytes, sizeof(bytes)), 0);
		add_frame(rig, 0, bytes, sizeof(bytes));
		add_frame(rig, 0, bytes, sizeof(bytes));
		rig_receive(rig);
		cr_assert_eq(rig->io.sent_count, 3);
		for (uint32_t n = 0; n < 3; n++)
			cr_expect_eq(wire_counter(sent_frame(rig, n, 0)), frame++);
		cr_expect_eq(wire_counter(sent_frame(rig, 2, 1)), frame++);
		cr_expect_eq(wire_counter(sent_frame(rig, 0, 0) + WIRE_HEADER_BYTES), message++);
	}
	rig_destroy(rig);
}

/* A message that comes direct shows the way back; a test request, which is sent to each of our
 * addresses, shows one direction only. */
Test(relay_road, what_comes_direct_to_a_tunnel_without_a_path)
{
	struct rig *rig = rig_create(true);
	uint8_t request[WIRE_OVERHEAD + 8], bytes[8] = {0}, packet[100];
	uint32_t length = packet_build(packet, &(struct packet){.version = 4,
								.protocol = IPPROTO_TCP,
								.tcp_flags = TCP_ACK,
								.payload_bytes = 20});

	go_through(rig, second_tunnel(rig));
	rig->as_peer.remote_index = RIG_INDEX;
	seal_packet(&rig->as_peer, WIRE_TEST_REQUEST, WIRE_LABEL_NONE, rig->counter++, bytes,
		    sizeof(bytes), request);
	rig_add_raw(rig, request, sizeof(request));
	rig_receive(rig);
	cr_assert_eq(rig->io.punt_count, 1);
	cr_expect_eq(rig->io.punts[0]->type, PUNT_OPENED);
	rig_add(rig, RIG_INDEX, rig->counter++, packet, length);
	rig_receive(rig);
	cr_assert_eq(rig->io.punt_count, 2);
	cr_expect_eq(rig->io.punts[1]->type, PUNT_ROAM);
	cr_expect(endpoint_equal(&rig->io.punts[1]->source, &rig->peer));
	rig_destroy(rig);
}
