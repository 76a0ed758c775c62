/*
 * inbound_road_test.c - from a datagram train to the tun, to control, or to a drop that has a name.
 */
#include <criterion/criterion.h>
#include <errno.h>

#include "crypto/seal.h"
#include "unit/roads/rig.h"

TestSuite(inbound_road, .timeout = 60);

Test(inbound_road, a_train_of_one_flow_is_one_write_without_a_copy)
{
	struct rig *rig = rig_create(true);

	for (uint32_t k = 0; k < 40; k++)
		rig_add_tcp(rig, 5000, k, 1300);
	rig_receive(rig);
	cr_expect_eq(rig->io.written_count, 0, "until the end of the turn");
	chains_flush(&rig->w);
	cr_assert_eq(rig->io.written_count, 1);
	cr_expect_eq(rig->io.written[0].length, 40 + 40 * 1300);
	cr_expect_eq(rig->io.written[0].vnet.gso_size, 1300);
	cr_expect_eq(rig_stat(rig, STAT_COPIED_BYTES), 0);
	cr_expect_eq(rig_stat(rig, STAT_TUN_WRITTEN), 40);
	cr_expect_eq(rig_all_drops(rig), 0);
	cr_expect(rig_slots_are_back(rig));
	rig_destroy(rig);
}

Test(inbound_road, a_bad_datagram_in_the_middle_costs_only_itself)
{
	struct rig *rig = rig_create(true);
	uint8_t packet[2000], cut[2000];

	for (uint32_t k = 0; k < 9; k++) {
		uint32_t length = rig_tcp(packet, 5000, k, 1000);
		uint8_t *datagram = rig_add(rig, RIG_INDEX, rig->counter++, packet, length);
		if (k == 4)
			datagram[100] ^= 1;
	}
	rig_receive(rig);
	chains_flush(&rig->w);
	/* four before the hole, four behind it */
	cr_assert_eq(rig->io.written_count, 2);
	cr_expect_eq(rig->io.written[0].length, 40 + 4 * 1000);
	cr_expect_eq(rig->io.written[1].length, 40 + 4 * 1000);
	for (uint32_t k = 0; k < 9; k++) {
		if (k == 4)
			continue;
		const struct rig_written *run = &rig->io.written[k / 5];
		uint32_t length =
			packet_cut(run->bytes, run->length, &run->vnet, k > 4 ? k - 5 : k, cut);
		cr_expect_eq(length, rig_tcp(packet, 5000, k, 1000));
		cr_expect_arr_eq(cut + 40, packet + 40, length - 40, "segment %u", k);
	}
	cr_expect_eq(rig_drops(rig, DROP_AUTHENTICATION), 1);
	cr_expect_eq(rig_all_drops(rig), 1);
	/* its counter is not spent: the right datagram may still come */
	rig_add(rig, RIG_INDEX, COUNTER_FIRST + 4, packet, rig_tcp(packet, 5000, 4, 1000));
	rig_receive(rig);
	chains_flush(&rig->w);
	cr_expect_eq(rig->io.written_count, 3);
	cr_expect_eq(rig_all_drops(rig), 1);
	rig_destroy(rig);
}

/*
 * The header is authenticated as it came (trap 3): a peer may use the reserved bytes, and nobody on
 * the way may change a bit of it. A changed index is another tunnel's, a changed type another road.
 */
Test(inbound_road, every_bit_of_the_header_is_authenticated)
{
	struct rig *rig = rig_create(true);
	uint8_t packet[200];
	uint32_t length = rig_tcp(packet, 5000, 0, 60);

	rig->label = 0x1234;
	rig_add(rig, RIG_INDEX, rig->counter++, packet, length);
	rig_receive(rig);
	chains_flush(&rig->w);
	cr_expect_eq(rig_stat(rig, STAT_TUN_WRITTEN), 1);
	cr_expect_eq(rig_all_drops(rig), 0);
	for (unsigned bit = 0; bit < WIRE_HEADER_BYTES * 8; bit++) {
		rig_add(rig, RIG_INDEX, rig->counter++, packet, length);
		rig->datagrams[bit / 8] ^= (uint8_t)(1 << bit % 8);
		rig_receive(rig);
	}
	chains_flush(&rig->w);
	cr_expect_eq(rig_stat(rig, STAT_TUN_WRITTEN), 1);
	cr_expect_eq(rig->io.written_count, 1);
	cr_expect_geq(rig_drops(rig, DROP_AUTHENTICATION), 16 + 40, "reserved bytes and counter");
	/* and counters 1 and 2 are the handshake's (trap 2) */
	for (uint64_t counter = 0; counter < COUNTER_FIRST; counter++) {
		rig_add(rig, RIG_INDEX, counter, packet, length);
		rig_receive(rig);
	}
	chains_flush(&rig->w);
	cr_expect_eq(rig->io.written_count, 1);
	rig_destroy(rig);
}

/* Right index, fresh counter, anything for a body: of no type does it get anywhere (traps 43, 44).
 */
Test(inbound_road, forged_messages_of_every_type_get_nowhere)
{
	struct rig *rig = rig_create(true);
	struct endpoint elsewhere = {.addr = addr_from_v4(0xc6336401), .port = 99};
	uint64_t counter = 100;

	for (uint8_t type = 1; type < 7; type++) {
		for (uint32_t body = 16; body <= 48; body++) {
			uint8_t forged[64];

			if (type == 2)
				continue; /* recv_error: nobody signs it */
			memset(forged, (int)(counter * 31), sizeof(forged));
			wire_write(forged, (enum wire_type)(type << 8), RIG_INDEX, counter++);
			rig_add_raw(rig, forged, WIRE_HEADER_BYTES + body);
			rig_receive_from(rig, &elsewhere);
		}
	}
	chains_flush(&rig->w);
	cr_expect_eq(rig->io.punt_count, 0);
	cr_expect_eq(rig->io.written_count, 0);
	cr_expect_eq(rig->io.sent_count, 0);
	cr_expect_eq(rig_drops(rig, DROP_AUTHENTICATION), 5 * 33);
	rig_destroy(rig);
}

Test(inbound_road, replayed_datagrams)
{
	struct rig *rig = rig_create(true);
	uint8_t packet[200];
	uint32_t length = rig_tcp(packet, 5000, 0, 60);

	/* twice in one train, and once more in the next */
	rig_add(rig, RIG_INDEX, 7, packet, length);
	rig_add(rig, RIG_INDEX, 7, packet, length);
	rig_add(rig, RIG_INDEX, 8, packet, length);
	rig_receive(rig);
	rig_add(rig, RIG_INDEX, 8, packet, length);
	rig_add(rig, RIG_INDEX, 2, packet, length);
	rig_receive(rig);
	chains_flush(&rig->w);
	cr_expect_eq(rig_drops(rig, DROP_REPLAY), 3);
	cr_expect_eq(rig_all_drops(rig), 3);
	cr_expect_eq(rig_stat(rig, STAT_TUN_WRITTEN), 2);
	rig_destroy(rig);
}

/*
 * GRO puts what somebody forges into one train with what he copied the counter from. A counter
 * belongs to the datagram that is authentic, wherever it stands: before all, a forged one may come
 * first (trap 47).
 */
Test(inbound_road, a_forged_datagram_takes_no_counter_from_the_right_one)
{
	struct rig *rig = rig_create(true);

	for (uint32_t k = 0; k < 6; k++) {
		if (k == 0 || k == 3) {
			rig_add_tcp(rig, 5000, k, 300);
			rig->datagrams[rig->datagram_bytes - 1] ^= 1;
			rig->counter--;
		}
		rig_add_tcp(rig, 5000, k, 300);
		if (k == 5) {
			rig->counter--;
			rig_add_tcp(rig, 5000, k, 300);
		}
	}
	rig_receive(rig);
	chains_flush(&rig->w);
	cr_expect_eq(rig_stat(rig, STAT_TUN_WRITTEN), 6);
	cr_expect_eq(rig_drops(rig, DROP_AUTHENTICATION), 2);
	cr_expect_eq(rig_drops(rig, DROP_REPLAY), 1, "the last came twice");
	cr_expect_eq(rig_all_drops(rig), 3);
	cr_expect(rig_slots_are_back(rig));
	rig_destroy(rig);
}

/* The same where all of a train is opened before it is judged. */
Test(inbound_road, a_forged_question_takes_no_counter_from_the_right_one)
{
	static const uint8_t question[] = {8, 1, 0x12, 5, 8, 0x89, 0x80, 0x80, 0x50};
	struct rig *rig = rig_create(true);
	uint8_t datagram[64];

	rig->snapshot.am_lighthouse = true;
	rig->as_peer.remote_index = RIG_INDEX;
	for (uint32_t k = 0; k < 3; k++) {
		seal_packet(&rig->as_peer, WIRE_LIGHTHOUSE, WIRE_LABEL_NONE, COUNTER_FIRST,
			    question, sizeof(question), datagram);
		datagram[WIRE_HEADER_BYTES] ^= k == 0;
		rig_add_raw(rig, datagram, sizeof(question) + WIRE_OVERHEAD);
	}
	rig_receive(rig);
	cr_expect_eq(rig_stat(rig, STAT_LIGHTHOUSE_QUERIES), 1);
	cr_expect_eq(rig_drops(rig, DROP_AUTHENTICATION), 1);
	cr_expect_eq(rig_drops(rig, DROP_REPLAY), 1);
	cr_expect_eq(rig_all_drops(rig), 2);
	rig_destroy(rig);
}

Test(inbound_road, every_datagram_that_is_none_has_its_reason)
{
	static const struct {
		uint8_t bytes[40];
		uint32_t length;
		enum drop reason;
	} rows[] = {
		{{0}, 1, DROP_UDP_PUNCH},
		{{0x11}, 2, DROP_UDP_SHORT},
		{{0x11}, 15, DROP_UDP_SHORT},
		{{0x21}, 40, DROP_UDP_TYPE},    /* version 2 */
		{{0x17}, 40, DROP_UDP_TYPE},    /* type 7 */
		{{0x11, 2}, 40, DROP_UDP_TYPE}, /* subtype 2 */
		{{0x11, 1, 0, 0, 1, 2, 3, 4}, 40, DROP_INDEX_UNKNOWN},
		{{0x11, 1, 0, 0, 0x11, 0x22, 0x33, 0x44}, 40, DROP_RELAY_UNKNOWN},
		{{0x11, 0, 0, 0, 0x11, 0x22, 0x33, 0x44}, 31, DROP_UDP_SHORT}, /* no tag */
		{{0x11, 0, 0, 0, 9, 9, 9, 9}, 16, DROP_INDEX_UNKNOWN},
		{{0x11, 0, 0, 0, 9, 9, 9, 9}, 40, DROP_INDEX_UNKNOWN},
		{{0x11, 0, 0, 0, 0x11, 0x22, 0x33, 0x44, [15] = 9}, 40, DROP_AUTHENTICATION},
		{{0x11, 0, 0, 0, 0x11, 0x22, 0x33, 0x44}, 40, DROP_REPLAY},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct rig *rig = rig_create(true);

		rig_add_raw(rig, rows[i].bytes, rows[i].length);
		rig_receive(rig);
		chains_flush(&rig->w);
		cr_expect_eq(rig_drops(rig, rows[i].reason), 1, "row %zu", i);
		cr_expect_eq(rig_all_drops(rig), 1, "row %zu", i);
		cr_expect_eq(rig->io.written_count, 0, "row %zu", i);
		cr_expect(rig_slots_are_back(rig));
		rig_destroy(rig);
	}
}

Test(inbound_road, an_empty_datagram)
{
	struct rig *rig = rig_create(true);

	rig_receive(rig);
	cr_expect_eq(rig_drops(rig, DROP_UDP_EMPTY), 1);
	cr_expect_eq(rig_all_drops(rig), 1);
	rig_destroy(rig);
}

Test(inbound_road, a_datagram_too_large_for_any_nebula)
{
	struct rig *rig = rig_create(true);
	static uint8_t packet[65536];

	/* sealed rightly by the peer itself; and one to an unknown index, which is not answered */
	rig_add(rig, RIG_INDEX, rig->counter++, packet, 65507 - WIRE_OVERHEAD);
	rig_receive(rig);
	rig_add(rig, RIG_INDEX + 9, rig->counter++, packet, DATAGRAM_MAX + 1 - WIRE_OVERHEAD);
	rig_receive(rig);
	cr_expect_eq(rig_drops(rig, DROP_UDP_TRUNCATED), 2);
	cr_expect_eq(rig_all_drops(rig), 2);
	cr_expect_eq(rig->io.sent_count, 0);
	/* the largest that is taken, after others have filled the slot */
	for (uint32_t k = 0; k < 20; k++) {
		uint8_t udp[DATAGRAM_MAX];
		uint32_t length = packet_build(
			udp, &(struct packet){.version = 4,
					      .protocol = IPPROTO_UDP,
					      .no_checksum = true,
					      .payload_bytes = DATAGRAM_MAX - WIRE_OVERHEAD - 28});
		cr_assert_eq(length, DATAGRAM_MAX - WIRE_OVERHEAD);
		rig_add(rig, RIG_INDEX, rig->counter++, udp, length);
		rig_receive(rig);
	}
	chains_flush(&rig->w);
	cr_expect_eq(rig->io.written_count, 20);
	cr_expect_eq(rig_all_drops(rig), 2);
	cr_expect(rig_slots_are_back(rig));
	rig_destroy(rig);
}

Test(inbound_road, a_train_of_several_tunnels)
{
	struct rig *rig = rig_create(true);
	struct addr three = addr_from_v4(0x0a000003);
	struct tunnel *second = rig_tunnel(rig, 1, &three);
	uint8_t packet[200];
	uint32_t length;

	/* GRO looks at the first datagram only: ours, the other's, unknown, a punch size, ours */
	rig_add(rig, RIG_INDEX, 3, packet, length = rig_tcp(packet, 5000, 0, 60));
	packet_build(packet, &(struct packet){.version = 4,
					      .protocol = IPPROTO_TCP,
					      .source = 3,
					      .tcp_flags = TCP_ACK,
					      .df = true,
					      .payload_bytes = 60});
	rig_add(rig, RIG_INDEX + 1, 3, packet, length);
	rig_add(rig, RIG_INDEX + 7, 3, packet, length);
	rig_add(rig, RIG_INDEX + 1, 4, packet, length);
	rig_add(rig, RIG_INDEX, 4, packet, rig_tcp(packet, 5000, 1, 60));
	rig_receive(rig);
	chains_flush(&rig->w);
	cr_expect_eq(rig_stat(rig, STAT_TUN_WRITTEN), 4);
	cr_expect_eq(rig->tunnel->replay.current, 4);
	cr_expect_eq(second->replay.current, 4);
	cr_expect_eq(rig_drops(rig, DROP_INDEX_UNKNOWN), 1);
	cr_expect_eq(rig_all_drops(rig), 1);
	rig_destroy(rig);
}

Test(inbound_road, an_inner_source_that_is_not_the_peers)
{
	struct rig *rig = rig_create(true);
	uint8_t packet[200];
	struct packet p = {.version = 4,
			   .protocol = IPPROTO_TCP,
			   .source = 77,
			   .tcp_flags = TCP_ACK,
			   .df = true,
			   .payload_bytes = 60};

	/* after a good one of the tunnel, so that a verdict is remembered */
	rig_add_tcp(rig, 0, 0, 60);
	rig_add(rig, RIG_INDEX, rig->counter++, packet, packet_build(packet, &p));
	p.source = 1;
	p.destination = 9;
	rig_add(rig, RIG_INDEX, rig->counter++, packet, packet_build(packet, &p));
	rig_receive(rig);
	chains_flush(&rig->w);
	cr_expect_eq(rig_stat(rig, STAT_TUN_WRITTEN), 1);
	cr_expect_eq(rig_drops(rig, DROP_FIREWALL_REMOTE_ADDR), 1);
	cr_expect_eq(rig_drops(rig, DROP_FIREWALL_LOCAL_ADDR), 1);
	cr_expect_eq(rig_all_drops(rig), 2);
	rig_destroy(rig);
}

Test(inbound_road, an_underlay_source_inside_the_overlay_is_a_loop)
{
	struct rig *rig = rig_create(true);
	struct endpoint loop = {.addr = addr_from_v4(0x0a000009), .port = 4242};

	rig_add_tcp(rig, 5000, 0, 60);
	rig_add_tcp(rig, 5000, 1, 60);
	rig_receive_from(rig, &loop);
	chains_flush(&rig->w);
	cr_expect_eq(rig_drops(rig, DROP_UDP_FROM_OVERLAY), 2);
	cr_expect_eq(rig_all_drops(rig), 2);
	cr_expect_eq(rig->io.written_count, 0);
	cr_expect_eq(rig->io.punt_count, 0, "nor does it move the tunnel");
	rig_destroy(rig);
}

Test(inbound_road, roaming_is_told_once)
{
	struct rig *rig = rig_create(true);
	struct endpoint elsewhere = {.addr = addr_from_v4(0xc6336401), .port = 99};

	rig->tunnel->state = TUNNEL_UNCONFIRMED;
	rig_add_tcp(rig, 5000, 0, 60);
	rig->datagrams[40] ^= 1;
	rig_receive_from(rig, &elsewhere);
	cr_expect_eq(rig->io.punt_count, 0, "nothing authentic came");
	for (uint32_t k = 1; k < 5; k++) {
		rig_add_tcp(rig, 5000, k, 60);
		rig_receive_from(rig, &elsewhere);
	}
	cr_assert_eq(rig->io.punt_count, 2);
	cr_expect_eq(rig->io.punts[0]->type, PUNT_CONFIRMED);
	cr_expect_eq(rig->io.punts[1]->type, PUNT_ROAM);
	cr_expect(endpoint_equal(&rig->io.punts[1]->source, &elsewhere));
	cr_expect_eq(rig->io.punts[1]->tunnel.slot, rig->tunnel->id.slot);
	rig_destroy(rig);
}

Test(inbound_road, what_is_not_a_message_goes_to_control)
{
	struct rig *rig = rig_create(true);
	uint8_t hello[300] = {[0] = 0x10, [15] = 1};
	uint8_t payload[20] = "are you there";

	rig_add_raw(rig, hello, sizeof(hello));
	rig_receive(rig);
	cr_assert_eq(rig->io.punt_count, 1);
	cr_expect_eq(rig->io.punts[0]->type, PUNT_HANDSHAKE);
	cr_expect_eq(rig->io.punts[0]->length, sizeof(hello));
	uint8_t *datagram = rig_add(rig, RIG_INDEX, 3, payload, sizeof(payload));
	rig_receive(rig);
	/* the header is authenticated: a changed type does not pass */
	datagram = rig_add(rig, RIG_INDEX, 4, payload, sizeof(payload));
	datagram[0] = 0x14;
	rig_receive(rig);
	cr_expect_eq(rig->io.punt_count, 1);
	cr_expect_eq(rig_drops(rig, DROP_AUTHENTICATION), 1);
	cr_expect_eq(rig_drops(rig, DROP_INNER_PARSE), 1);
	rig_destroy(rig);
}

/* count messages of a type for control, on the tunnel with this index, as a train. */
static void say(struct rig *rig, uint32_t index, enum wire_type type, uint32_t count)
{
	static const uint8_t plain[8] = {0xff};
	uint8_t datagram[sizeof(plain) + WIRE_OVERHEAD];

	rig->as_peer.remote_index = index;
	for (uint32_t i = 0; i < count; i++) {
		seal_packet(&rig->as_peer, type, WIRE_LABEL_NONE, rig->counter++, plain,
			    sizeof(plain), datagram);
		rig_add_raw(rig, datagram, sizeof(datagram));
	}
	rig_receive(rig);
}

/* What one peer sends, on whichever of its tunnels, leaves room for others, wherever in the pool
 * that is. */
static void a_peer_floods(enum wire_type type, bool am_lighthouse)
{
	struct rig *rig = rig_create(true);
	struct addr peer = rig->tunnel->addrs[0], other = addr_from_v4(0x0a000007);
	uint32_t most = POOL_OPENED * SOURCE_SHARE / (SOURCE_SHARE + 1);

	rig_tunnel(rig, 1, &peer);
	rig_tunnel(rig, 2, &other);
	rig->snapshot.am_lighthouse = am_lighthouse;
	for (int i = 0; i < 5; i++) {
		say(rig, RIG_INDEX, type, 40);
		say(rig, RIG_INDEX + 1, type, 40);
	}
	cr_expect_eq(rig->io.punt_count, most);
	cr_expect_eq(rig_drops(rig, DROP_PUNT_CROWDED), 400 - most);
	for (uint32_t i = 0; i < 100; i++) {
		say(rig, RIG_INDEX + 2, type, 1);
		cr_assert_eq(rig->io.punt_count, most + 1, "type %x, round %u", type, i);
		punt_release(rig->io.punts[--rig->io.punt_count]);
	}
	/* What was worked on makes room for the same peer again. */
	punt_release(rig->io.punts[--rig->io.punt_count]);
	say(rig, RIG_INDEX, type, 2);
	cr_expect_eq(rig->io.punt_count, most);
	cr_expect_eq(rig_drops(rig, DROP_PUNT_POOL), 0);
	rig_destroy(rig);
}

Test(inbound_road, a_flood_of_a_peers_messages_leaves_room_for_others)
{
	a_peer_floods(WIRE_TEST_REQUEST, false);
	a_peer_floods(WIRE_TEST_REPLY, false);
	a_peer_floods(WIRE_CONTROL, false);
	a_peer_floods(WIRE_LIGHTHOUSE, false);
	a_peer_floods(WIRE_LIGHTHOUSE, true);
}

/* Nobody uses up a peer's share in its name. */
Test(inbound_road, forged_messages_have_no_share)
{
	struct rig *rig = rig_create(true);

	for (uint32_t i = 0; i < 10 * POOL_OPENED; i++) {
		uint8_t forged[WIRE_OVERHEAD + 8] = {0};

		wire_write(forged, WIRE_CONTROL, RIG_INDEX, 1000 + i);
		rig_add_raw(rig, forged, sizeof(forged));
		rig_receive(rig);
	}
	cr_expect_eq(rig_drops(rig, DROP_AUTHENTICATION), 10 * POOL_OPENED);
	cr_expect_eq(atomic_load(&rig->w.opened_shares.all), 0);
	say(rig, RIG_INDEX, WIRE_CONTROL, 1);
	cr_expect_eq(rig->io.punt_count, 1);
	rig_destroy(rig);
}

Test(inbound_road, write_slots_run_out)
{
	struct rig *rig = rig_create(true);

	rig->io.free_write_count = 0;
	rig_add_tcp(rig, 5000, 0, 60);
	rig_add_tcp(rig, 5000, 1, 60);
	rig_receive(rig);
	cr_expect_eq(rig_drops(rig, DROP_WRITE_ERROR), 2);
	cr_expect_eq(rig_all_drops(rig), 2);
	cr_expect_eq(rig->tunnel->replay.current, COUNTER_FIRST - 1, "nothing was spent");
	/* what does not continue the only chain has no place, the chain goes on */
	rig->io.free_write_count = 1;
	rig_add_tcp(rig, 5000, 0, 60);
	rig_add_tcp(rig, 6000, 0, 60);
	rig_add_tcp(rig, 5000, 1, 60);
	rig_receive(rig);
	chains_flush(&rig->w);
	cr_expect_eq(rig_drops(rig, DROP_WRITE_ERROR), 3);
	cr_assert_eq(rig->io.written_count, 1);
	cr_expect_eq(rig->io.written[0].length, 40 + 2 * 60);
	rig->io.free_write_count = WRITE_SLOTS;
	rig_destroy(rig);
}

/* However many events control has in hand: without it the node would go on dead. */
Test(inbound_road, a_dead_descriptor_is_always_told)
{
	struct rig *rig = rig_create(true);
	struct io_event note = {.type = IO_NOTE, .note = NOTE_TSO_OFF};

	while (punt_take(&rig->w, POOL_CLASS_EVENT, PUNT_NOTE))
		;
	punt_note(&rig->w, &note);
	cr_expect_eq(rig->io.punt_count, 0, "others may be lost");
	note.note = NOTE_UDP_DEAD;
	note.error = ENODEV;
	punt_note(&rig->w, &note);
	cr_assert_eq(rig->io.punt_count, 1);
	cr_expect_eq(rig->io.punts[0]->note, NOTE_UDP_DEAD);
	cr_expect_eq(rig->io.punts[0]->value, ENODEV);
	rig_destroy(rig);
}

/* What is handed over may be longer than what GRO makes: no more than RUN_MAX are judged together.
 */
Test(inbound_road, a_train_longer_than_a_run_becomes_several)
{
	static const uint32_t counts[] = {RUN_MAX, RUN_MAX + 1, 2 * RUN_MAX, 2 * RUN_MAX + 1};

	for (int i = 0; i < 4; i++) {
		struct rig *rig = rig_create(true);
		uint32_t count = counts[i];

		for (uint32_t k = 0; k < count; k++)
			rig_add_tcp(rig, 5000, k, 100);
		rig_receive(rig);
		chains_flush(&rig->w);
		cr_expect_eq(rig_stat(rig, STAT_UDP_RECEIVES), 1);
		cr_expect_eq(rig_stat(rig, STAT_UDP_RECEIVED), count);
		cr_expect_eq(rig_stat(rig, STAT_TUN_WRITTEN), count);
		cr_expect_eq(rig_all_drops(rig), 0, "%u datagrams", count);
		cr_expect_eq(rig->tunnel->replay.current, COUNTER_FIRST + count - 1);
		rig_destroy(rig);
	}
}
