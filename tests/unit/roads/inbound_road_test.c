/*
 * inbound_road_test.c - from a datagram train to the tun, to control, or to a drop that has a name.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "crypto/replay.h"
#include "crypto/seal.h"
#include "unit/roads/rig.h"

TestSuite(inbound_road, .timeout = 60);

/* Segment k of a TCP flow from port: payload bytes each. */
static uint32_t tcp(uint8_t *out, uint16_t port, uint32_t k, uint32_t payload)
{
	return packet_build(out, &(struct packet){.version = 4,
						  .protocol = IPPROTO_TCP,
						  .source_port = port,
						  .dest_port = 80,
						  .df = true,
						  .ip_id = (uint16_t)k,
						  .sequence = 1000 + k * payload,
						  .tcp_flags = TCP_ACK,
						  .payload_bytes = payload});
}

static void add_tcp(struct rig *rig, uint16_t port, uint32_t k, uint32_t payload)
{
	uint8_t packet[DATAGRAM_MAX];

	rig_add(rig, RIG_INDEX, rig->counter++, packet, tcp(packet, port, k, payload));
}

Test(inbound_road, a_train_of_one_flow_is_one_write_without_a_copy)
{
	struct rig *rig = rig_create(true);

	for (uint32_t k = 0; k < 40; k++)
		add_tcp(rig, 5000, k, 1300);
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
		uint32_t length = tcp(packet, 5000, k, 1000);
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
		cr_expect_eq(length, tcp(packet, 5000, k, 1000));
		cr_expect_arr_eq(cut + 40, packet + 40, length - 40, "segment %u", k);
	}
	cr_expect_eq(rig_drops(rig, DROP_AUTHENTICATION), 1);
	cr_expect_eq(rig_all_drops(rig), 1);
	/* its counter is not spent: the right datagram may still come */
	rig_add(rig, RIG_INDEX, COUNTER_FIRST + 4, packet, tcp(packet, 5000, 4, 1000));
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
	uint32_t length = tcp(packet, 5000, 0, 60);

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
	uint32_t length = tcp(packet, 5000, 0, 60);

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

static size_t recv_errors_for(struct rig *rig, uint32_t index)
{
	uint32_t length;
	uint8_t packet[100];
	size_t before = rig->io.sent_count;

	length = tcp(packet, 5000, 0, 20);
	rig_add(rig, index, rig->counter++, packet, length);
	rig_receive(rig);
	return rig->io.sent_count - before;
}

/* Nebula 1.6.1 acts on the fourth. */
Test(inbound_road, an_unknown_index_is_answered_four_times_then_once_a_run)
{
	struct rig *rig = rig_create(true);
	uint8_t packet[100];
	uint32_t length = tcp(packet, 5000, 0, 20);

	for (int i = 0; i < 3; i++)
		rig_add(rig, 0xdead, rig->counter++, packet, length);
	rig_receive(rig);
	cr_assert_eq(rig->io.sent_count, 4);
	for (int i = 0; i < 4; i++) {
		cr_expect_eq(rig->io.sent[i].length, 16);
		cr_expect_eq(wire_type_of(rig->io.sent[i].bytes), WIRE_RECV_ERROR);
		cr_expect_eq(wire_remote_index(rig->io.sent[i].bytes), 0xdead);
	}
	cr_expect_eq(rig_drops(rig, DROP_INDEX_UNKNOWN), 3);
	cr_expect_eq(recv_errors_for(rig, 0xdead), 1, "it has been told");
	cr_expect_eq(recv_errors_for(rig, 0xbead), 4, "another");
	rig->snapshot.send_recv_error = RECV_ERROR_NEVER;
	cr_expect_eq(recv_errors_for(rig, 0xfeed), 0);
	rig_destroy(rig);
}

/* private: RFC 1918 and fc00::/7, to their edges. */
Test(inbound_road, unknown_indexes_are_answered_as_the_policy_says)
{
	static const struct {
		struct addr from;
		bool is_private;
	} rows[] = {
		{{{[10] = 0xff, 0xff, 10, 0, 0, 1}}, true},
		{{{[10] = 0xff, 0xff, 11, 0, 0, 1}}, false},
		{{{[10] = 0xff, 0xff, 172, 15, 255, 255}}, false},
		{{{[10] = 0xff, 0xff, 172, 16, 0, 1}}, true},
		{{{[10] = 0xff, 0xff, 172, 31, 255, 255}}, true},
		{{{[10] = 0xff, 0xff, 172, 32, 0, 0}}, false},
		{{{[10] = 0xff, 0xff, 192, 168, 1, 1}}, true},
		{{{[10] = 0xff, 0xff, 192, 169, 1, 1}}, false},
		{{{[10] = 0xff, 0xff, 192, 0, 2, 1}}, false},
		{{{0xfc, [15] = 1}}, true},
		{{{0xfd, [15] = 1}}, true},
		{{{0xfe, 0x80, [15] = 1}}, false},
		{{{0x20, 1, [15] = 1}}, false},
	};
	uint8_t packet[WIRE_OVERHEAD] = {0};

	for (int policy = RECV_ERROR_ALWAYS; policy <= RECV_ERROR_PRIVATE; policy++)
		for (uint32_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			struct rig *rig = rig_create(true);
			struct endpoint from = {rows[i].from, 4242};
			bool answered = policy == RECV_ERROR_ALWAYS ||
					(policy == RECV_ERROR_PRIVATE && rows[i].is_private);

			rig->w.udp_v6 = true;
			rig->snapshot.network_count = 0; /* 10.0.0.1 is no loop */
			rig->snapshot.send_recv_error = (enum recv_error_policy)policy;
			wire_write(packet, WIRE_MESSAGE, 0xdead, 7);
			rig_add_raw(rig, packet, sizeof(packet));
			rig_receive_from(rig, &from);
			cr_expect_eq(rig->io.sent_count > 0, answered, "policy %d, row %u", policy,
				     i);
			cr_expect_eq(rig_drops(rig, DROP_INDEX_UNKNOWN), 1);
			rig_destroy(rig);
		}
}

Test(inbound_road, answers_to_unknown_indexes_stay_within_the_bucket)
{
	struct rig *rig = rig_create(true);
	uint32_t sent = 0, index = 0xdead;

	while (sent < RECV_ERROR_PER_SECOND - RECV_ERROR_REPEAT_ABOVE)
		sent += recv_errors_for(rig, index++);
	cr_expect_eq(recv_errors_for(rig, index), 1, "the second half is for those who need one");
	for (sent++; sent < RECV_ERROR_PER_SECOND; sent++)
		cr_assert_eq(recv_errors_for(rig, index++), 1);
	for (uint32_t i = 0; i < 50; i++)
		cr_assert_eq(recv_errors_for(rig, index++), 0);
	cr_expect_eq(rig_stat(rig, STAT_RECV_ERROR_SENT), RECV_ERROR_PER_SECOND);
	cr_expect_eq(rig_stat(rig, STAT_RECV_ERROR_LIMITED), 50);
	rig->w.now_s++;
	cr_expect_eq(recv_errors_for(rig, index), 4, "not told yet");
	rig_destroy(rig);
}

Test(inbound_road, without_send_slots_no_answer_and_it_is_counted)
{
	struct rig *rig = rig_create(true);
	uint8_t packet[100];
	uint32_t length = tcp(packet, 5000, 0, 20);

	rig->io.keep_sends = true;
	for (uint32_t i = 0; i < SEND_SLOTS + 5; i++) {
		rig_add(rig, 0xdead + i, rig->counter++, packet, length);
		rig_receive(rig);
	}
	cr_expect_eq(rig_stat(rig, STAT_RECV_ERROR_SENT), SEND_SLOTS);
	cr_expect_geq(rig_stat(rig, STAT_RECV_ERROR_LIMITED), 5);
	rig_destroy(rig);
}

Test(inbound_road, a_pending_index_is_dropped_and_not_answered)
{
	struct rig *rig = rig_create(true);
	uint8_t packet[100];

	cr_assert_eq(hostmap_index_reserve(rig->map, 0xbeef), 0);
	rig_add(rig, 0xbeef, 3, packet, tcp(packet, 5000, 0, 20));
	rig_receive(rig);
	cr_expect_eq(rig_drops(rig, DROP_INDEX_PENDING), 1);
	cr_expect_eq(rig_all_drops(rig), 1);
	cr_expect_eq(rig->io.sent_count, 0);
	hostmap_index_remove(rig->map, 0xbeef);
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
	rig_add(rig, RIG_INDEX, 3, packet, length = tcp(packet, 5000, 0, 60));
	packet_build(packet, &(struct packet){.version = 4,
					      .protocol = IPPROTO_TCP,
					      .source = 3,
					      .tcp_flags = TCP_ACK,
					      .df = true,
					      .payload_bytes = 60});
	rig_add(rig, RIG_INDEX + 1, 3, packet, length);
	rig_add(rig, RIG_INDEX + 7, 3, packet, length);
	rig_add(rig, RIG_INDEX + 1, 4, packet, length);
	rig_add(rig, RIG_INDEX, 4, packet, tcp(packet, 5000, 1, 60));
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
	add_tcp(rig, 0, 0, 60);
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

	add_tcp(rig, 5000, 0, 60);
	add_tcp(rig, 5000, 1, 60);
	rig_receive_from(rig, &loop);
	cr_expect_eq(rig_drops(rig, DROP_UDP_FROM_OVERLAY), 2);
	cr_expect_eq(rig_all_drops(rig), 2);
	rig_destroy(rig);
}

Test(inbound_road, roaming_is_told_once)
{
	struct rig *rig = rig_create(true);
	struct endpoint elsewhere = {.addr = addr_from_v4(0xc6336401), .port = 99};

	rig->tunnel->state = TUNNEL_UNCONFIRMED;
	add_tcp(rig, 5000, 0, 60);
	rig->datagrams[40] ^= 1;
	rig_receive_from(rig, &elsewhere);
	cr_expect_eq(rig->io.punt_count, 0, "nothing authentic came");
	for (uint32_t k = 1; k < 5; k++) {
		add_tcp(rig, 5000, k, 60);
		rig_receive_from(rig, &elsewhere);
	}
	cr_assert_eq(rig->io.punt_count, 2);
	cr_expect_eq(rig->io.punts[0]->type, PUNT_CONFIRMED);
	cr_expect_eq(rig->io.punts[1]->type, PUNT_ROAM);
	cr_expect(endpoint_equal(&rig->io.punts[1]->source, &elsewhere));
	cr_expect_eq(rig->io.punts[1]->tunnel.slot, rig->tunnel->id.slot);
	rig_destroy(rig);
}

Test(inbound_road, flows_are_joined_apart_and_each_keeps_its_order)
{
	struct rig *rig = rig_create(true);
	uint32_t next[20] = {0};

	/* more flows than chains, in turn: chains give way to each other */
	for (uint32_t round = 0; round < 3; round++)
		for (uint32_t flow = 0; flow < 20; flow++)
			add_tcp(rig, (uint16_t)(5000 + flow), round, 300);
	rig_receive(rig);
	chains_flush(&rig->w);
	cr_expect_eq(rig_all_drops(rig), 0);
	cr_expect_eq(rig_stat(rig, STAT_TUN_WRITTEN), 60);
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

Test(inbound_road, a_flood_of_handshakes_is_counted_and_starves_no_other_class)
{
	struct rig *rig = rig_create(true);
	uint8_t hello[300] = {[0] = 0x10, [15] = 1}, recv_error[16] = {0x12};

	for (uint32_t i = 0; i < POOL_HANDSHAKES + 10; i++) {
		/* each from a network of its own: what they share is the pool */
		rig->peer.addr = addr_from_v4(0x0b000000 + i * 256);
		rig_add_raw(rig, hello, sizeof(hello));
		rig_receive(rig);
	}
	cr_expect_eq(rig->io.punt_count, POOL_HANDSHAKES);
	cr_expect_eq(rig_drops(rig, DROP_HANDSHAKE_OVERLOAD), 10);
	for (uint32_t i = 0; i < POOL_RECV_ERRORS + 10; i++) {
		rig_add_raw(rig, recv_error, sizeof(recv_error));
		rig_receive(rig);
	}
	cr_expect_eq(rig->io.punts[rig->io.punt_count - 1]->type, PUNT_RECV_ERROR);
	cr_expect_eq(rig->io.punt_count, POOL_HANDSHAKES + POOL_RECV_ERRORS);
	cr_expect_eq(rig_drops(rig, DROP_PUNT_POOL), 10);
	rig_destroy(rig);
}

static void hellos_from(struct rig *rig, uint32_t v4, uint32_t count)
{
	uint8_t hello[300] = {[0] = 0x10, [15] = 1};

	for (uint32_t i = 0; i < count; i++) {
		rig->peer.addr = addr_from_v4(v4 + i % 250);
		rig->peer.port = (uint16_t)(1000 + i);
		rig_add_raw(rig, hello, sizeof(hello));
		rig_receive(rig);
	}
}

/* What one network sends leaves room for others, wherever in the pool that is. */
Test(inbound_road, a_flood_of_handshakes_from_one_network_leaves_room_for_others)
{
	struct rig *rig = rig_create(true);
	uint32_t most = POOL_HANDSHAKES * SOURCE_SHARE / (SOURCE_SHARE + 1);

	hellos_from(rig, 0x0b000000, 10 * POOL_HANDSHAKES);
	cr_expect_eq(rig->io.punt_count, most);
	cr_expect_eq(rig_drops(rig, DROP_HANDSHAKE_CROWDED), 10 * POOL_HANDSHAKES - most);
	for (uint32_t i = 0; i < 100; i++) {
		hellos_from(rig, 0x0c000000, 1);
		cr_assert_eq(rig->io.punt_count, most + 1, "round %u", i);
		cr_assert_eq(rig->io.punts[most]->source.addr.bytes[12], 0x0c);
		punt_release(rig->io.punts[--rig->io.punt_count]);
	}
	/* What was worked on makes room for the same network again. */
	punt_release(rig->io.punts[--rig->io.punt_count]);
	hellos_from(rig, 0x0b000000, 2);
	cr_expect_eq(rig->io.punt_count, most);
	cr_expect_eq(rig_drops(rig, DROP_HANDSHAKE_OVERLOAD), 0);
	rig_destroy(rig);
}

/* As many recv_errors as come in a second are more than anybody means. */
Test(inbound_road, recv_errors_are_heard_at_a_rate)
{
	struct rig *rig = rig_create(true);
	uint8_t recv_error[16] = {0x12};

	for (uint32_t i = 0; i < RECV_ERROR_HEARD_PER_SECOND + 10; i++) {
		rig_add_raw(rig, recv_error, sizeof(recv_error));
		rig_receive(rig);
		while (rig->io.punt_count > 0)
			punt_release(rig->io.punts[--rig->io.punt_count]);
	}
	cr_expect_eq(rig_drops(rig, DROP_RECV_ERROR_IGNORED), 10);
	cr_expect_eq(rig_drops(rig, DROP_PUNT_POOL), 0);
	rig->w.recv_error_heard_s--; /* another second */
	rig_add_raw(rig, recv_error, sizeof(recv_error));
	rig_receive(rig);
	cr_expect_eq(rig->io.punt_count, 1);
	rig_destroy(rig);
}

struct handshake_case {
	const char *what;
	uint32_t index, bytes;
	uint64_t counter;
	enum drop reason;
};

/* RIG_INDEX leads to a tunnel, 77 is pending. */
static const struct handshake_case handshake_cases[] = {
	{"stage 1", 0, 300, 1, DROP_NONE},
	{"the shortest stage 1", 0, HANDSHAKE_BYTES_MIN + 1, 1, DROP_NONE},
	{"stage 1 without a payload", 0, HANDSHAKE_BYTES_MIN, 1, DROP_HANDSHAKE_INVALID},
	{"a bare header", 0, 16, 1, DROP_HANDSHAKE_INVALID},
	{"stage 1 for an index", 77, 300, 1, DROP_HANDSHAKE_INVALID},
	{"stage 2 for what is pending", 77, 300, 2, DROP_NONE},
	{"a later stage", 77, 300, 3, DROP_NONE},
	{"stage 2 for nothing", 78, 300, 2, DROP_HANDSHAKE_STALE},
	{"stage 2 for no index", 0, 300, 2, DROP_HANDSHAKE_STALE},
	{"stage 2 for a tunnel", RIG_INDEX, 300, 2, DROP_HANDSHAKE_STALE},
};

Test(inbound_road, handshakes_that_cannot_be_are_dropped_early)
{
	for (size_t i = 0; i < sizeof(handshake_cases) / sizeof(handshake_cases[0]); i++) {
		const struct handshake_case *c = &handshake_cases[i];
		struct rig *rig = rig_create(true);
		uint8_t packet[300];

		cr_assert_eq(hostmap_index_reserve(rig->map, 77), 0);
		memset(packet, 0xa5, sizeof(packet));
		wire_write(packet, WIRE_HANDSHAKE, c->index, c->counter);
		rig_add_raw(rig, packet, c->bytes);
		rig_receive(rig);
		cr_expect_eq(rig->io.punt_count, c->reason == DROP_NONE, "%s", c->what);
		if (c->reason != DROP_NONE)
			cr_expect_eq(rig_drops(rig, c->reason), 1, "%s", c->what);
		rig_destroy(rig);
	}
}

Test(inbound_road, write_slots_run_out)
{
	struct rig *rig = rig_create(true);

	rig->io.free_write_count = 0;
	add_tcp(rig, 5000, 0, 60);
	add_tcp(rig, 5000, 1, 60);
	rig_receive(rig);
	cr_expect_eq(rig_drops(rig, DROP_WRITE_ERROR), 2);
	cr_expect_eq(rig_all_drops(rig), 2);
	cr_expect_eq(rig->tunnel->replay.current, COUNTER_FIRST - 1, "nothing was spent");
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

/* ---- the race of settle(): another worker commits between our check and our commit ------------
 */

static struct {
	struct rig *rig;
	uint64_t counter; /* stolen when datagram `at` is opened, */
	uint32_t more;    /* and so many behind it */
	uint32_t at, opened;
	int (*open)(const struct aead_key *, const uint8_t *, const uint8_t *, size_t,
		    const uint8_t *, size_t, uint8_t *);
} thief;

static int open_and_steal(const struct aead_key *key, const uint8_t nonce[AEAD_NONCE_BYTES],
			  const uint8_t *aad, size_t aad_bytes, const uint8_t *in, size_t length,
			  uint8_t *out)
{
	uint32_t stolen = thief.opened++ == thief.at ? 1 + thief.more : 0;

	for (uint32_t i = 0; i < stolen; i++) {
		uint64_t counter = thief.counter + i;
		bool fresh = true;

		replay_commit(&thief.rig->tunnel->replay, &counter, 1, &fresh);
	}
	return thief.open(key, nonce, aad, aad_bytes, in, length, out);
}

static void thief_begin(struct rig *rig, uint32_t stolen, uint32_t more, uint32_t at)
{
	static struct aead_backend backend;
	struct aead_key *key = &rig->tunnel->keys->open;

	backend = *key->backend;
	thief.rig = rig;
	thief.counter = COUNTER_FIRST + stolen;
	thief.more = more;
	thief.at = at;
	thief.opened = 0;
	thief.open = backend.open;
	backend.open = open_and_steal;
	key->backend = &backend;
}

/* 8 datagrams of one flow; counter first + stolen goes while datagram at is opened. */
static struct rig *race(uint32_t stolen, uint32_t at, uint32_t other_flow_at)
{
	struct rig *rig = rig_create(true);

	thief_begin(rig, stolen, 0, at);
	for (uint32_t k = 0; k < 8; k++)
		add_tcp(rig, k == other_flow_at ? 6000 : 5000, k, 300);
	rig_receive(rig);
	chains_flush(&rig->w);
	cr_expect(rig_slots_are_back(rig));
	return rig;
}

Test(inbound_road, a_joined_packet_that_another_worker_had_is_taken_back)
{
	struct rig *rig = race(5, 6, 99);

	/* the first stands alone settled; the other seven were one growth, all of it goes */
	cr_expect_eq(rig_stat(rig, STAT_TUN_WRITTEN), 1);
	cr_expect_eq(rig_drops(rig, DROP_REPLAY), 7);
	cr_expect_eq(rig_all_drops(rig), 7);
	cr_assert_eq(rig->io.written_count, 1);
	cr_expect_eq(rig->io.written[0].length, 340);
	rig_destroy(rig);
}

Test(inbound_road, a_lone_packet_that_another_worker_had_takes_none_with_it)
{
	struct rig *rig = race(4, 4, 4);

	/* datagram 4 is of another flow: moved away, then found to be known */
	cr_expect_eq(rig_drops(rig, DROP_REPLAY), 1);
	cr_expect_eq(rig_all_drops(rig), 1);
	cr_expect_eq(rig_stat(rig, STAT_TUN_WRITTEN), 7);
	rig_destroy(rig);
}

Test(inbound_road, what_was_settled_before_stays)
{
	struct rig *rig = race(6, 7, 4);

	/* 0 to 4 are settled when 5 begins; 5 closes the gap behind 3: 5 settled, 6 and 7 grew */
	cr_expect_eq(rig_stat(rig, STAT_TUN_WRITTEN) + rig_drops(rig, DROP_REPLAY), 8);
	cr_expect_geq(rig_stat(rig, STAT_TUN_WRITTEN), 5);
	cr_expect_geq(rig_drops(rig, DROP_REPLAY), 1);
	rig_destroy(rig);
}

/* A lighthouse opens all of a train before it tells the window of them. */
Test(inbound_road, questions_that_another_worker_had_are_counted_each)
{
	static const uint8_t question[] = {8, 1, 0x12, 5, 8, 0x89, 0x80, 0x80, 0x50};
	struct rig *rig = rig_create(true);
	uint8_t datagram[64];

	rig->snapshot.am_lighthouse = true;
	rig->as_peer.remote_index = RIG_INDEX;
	thief_begin(rig, 1, 2, 0);
	for (uint32_t k = 0; k < 5; k++) {
		seal_packet(&rig->as_peer, WIRE_LIGHTHOUSE, WIRE_LABEL_NONE, rig->counter++,
			    question, sizeof(question), datagram);
		rig_add_raw(rig, datagram, sizeof(question) + WIRE_OVERHEAD);
	}
	rig_receive(rig);
	cr_expect_eq(rig_drops(rig, DROP_REPLAY), 3);
	cr_expect_eq(rig_all_drops(rig), 3);
	cr_expect_eq(rig_stat(rig, STAT_LIGHTHOUSE_QUERIES), 2);
	rig_destroy(rig);
}

/* ---- without a tun ----------------------------------------------------------------------------
 */

static uint32_t echo(uint8_t *out, int version, uint8_t type, uint32_t payload)
{
	static uint8_t icmp[9000];

	memset(icmp, 0, 8);
	icmp[0] = type;
	icmp[4] = 0x12;
	icmp[7] = 1;
	for (uint32_t i = 8; i < 8 + payload; i++)
		icmp[i] = (uint8_t)i;
	uint32_t length = packet_build(out, &(struct packet){.version = version,
							     .protocol = version == 4 ? 1 : 58,
							     .ttl = 7,
							     .payload = icmp,
							     .payload_bytes = 8 + payload});
	uint8_t *l4 = out + (version == 4 ? 20 : 40);
	uint32_t start = 0;
	if (version == 6)
		start = packet_pseudo(out, length);
	uint16_t sum = packet_checksum(start, l4, 8 + payload);
	l4[2] = (uint8_t)(sum >> 8);
	l4[3] = (uint8_t)sum;
	return length;
}

Test(inbound_road, without_a_tun_pings_are_answered)
{
	static const uint32_t sizes[] = {0, 1, 56, 1400, 8900};

	for (int version = 4; version <= 6; version += 2) {
		for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
			struct rig *rig = rig_create(false);
			uint8_t packet[DATAGRAM_MAX];
			struct addr us = {{0xfd, [15] = 2}}, peer = {{0xfd, [15] = 1}};
			uint32_t l3 = version == 4 ? 20 : 40;
			uint32_t length = echo(packet, version, version == 4 ? 8 : 128, sizes[i]);

			if (version == 6) {
				rig->snapshot.networks[0] = (struct prefix){us, 64};
				rig->tunnel->addrs[0] = peer;
			}
			rig_add(rig, RIG_INDEX, rig->counter++, packet, length);
			rig_receive(rig);
			train_close(&rig->w);
			cr_expect_eq(rig_all_drops(rig), 0);
			cr_assert_eq(rig->io.sent_count, 1, "version %d", version);
			cr_assert_eq(rig_open(rig, 0, 0), length);
			cr_expect_eq(rig->opened[l3], version == 4 ? 0 : 129);
			cr_expect_eq(rig->opened[version == 4 ? 8 : 7], 64);
			cr_expect_eq(rig->opened[version == 4 ? 15 : 23], 2);
			cr_expect_eq(rig->opened[version == 4 ? 19 : 39], 1);
			cr_expect_arr_eq(rig->opened + l3 + 4, packet + l3 + 4, length - l3 - 4);
			uint32_t start = version == 4 ? 0 : packet_pseudo(rig->opened, length);
			cr_expect_eq(packet_checksum(start, rig->opened + l3, length - l3), 0,
				     "ICMP checksum, version %d", version);
			if (version == 4)
				cr_expect_eq(packet_checksum(0, rig->opened, 20), 0);
			rig_destroy(rig);
		}
	}
}

Test(inbound_road, without_a_tun_all_else_is_dropped_by_name)
{
	struct rig *rig = rig_create(false);
	uint8_t packet[2000];

	add_tcp(rig, 5000, 0, 60);
	rig_receive(rig);
	rig_add(rig, RIG_INDEX, rig->counter++, packet, echo(packet, 4, 0, 56)); /* a reply */
	rig_receive(rig);
	uint32_t length = echo(packet, 4, 8, 56);
	packet[6] |= 0x20; /* the first fragment of several */
	rig_add(rig, RIG_INDEX, rig->counter++, packet, length);
	rig_receive(rig);
	cr_expect_eq(rig_drops(rig, DROP_TUN_DISABLED), 3);
	length = echo(packet, 4, 8, 56);
	packet[15] = 99; /* not the peer's address */
	rig_add(rig, RIG_INDEX, rig->counter++, packet, length);
	rig_receive(rig);
	cr_expect_eq(rig_drops(rig, DROP_FIREWALL_REMOTE_ADDR), 1);
	train_close(&rig->w);
	cr_expect_eq(rig->io.sent_count, 0);
	cr_expect_eq(rig_all_drops(rig), 4);
	rig_destroy(rig);
}
