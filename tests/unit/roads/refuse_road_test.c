/*
 * refuse_road_test.c - who gets an answer to a refused packet, by which way, and how many.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "unit/roads/rig.h"

TestSuite(refuse_road, .timeout = 60);

static const struct virtio_net_hdr plain;

/* No rule lets anything through; both directions answer. */
static struct rig *refusing_rig(bool has_tun)
{
	struct rig *rig = rig_create(has_tun);

	rig->snapshot.rules[INBOUND].count = rig->snapshot.rules[OUTBOUND].count = 0;
	rig->snapshot.reject[INBOUND] = rig->snapshot.reject[OUTBOUND] = true;
	return rig;
}

/* The end of the turn, and of the rig. */
static void finish(struct rig *rig)
{
	chains_flush(&rig->w);
	train_close(&rig->w);
	cr_expect(rig_slots_are_back(rig));
	rig_destroy(rig);
}

/* A SYN between last bytes of 10.0.0.x. */
static uint32_t syn(uint8_t *out, uint8_t from, uint8_t to, uint16_t port)
{
	return packet_build(out, &(struct packet){.version = 4,
						  .protocol = IPPROTO_TCP,
						  .source = from,
						  .destination = to,
						  .source_port = port,
						  .dest_port = 80,
						  .sequence = 41,
						  .tcp_flags = TCP_SYN});
}

static void is_rst(const uint8_t *packet, uint32_t length, uint8_t from, uint8_t to, uint16_t port)
{
	cr_assert_eq(length, 40);
	cr_expect_eq(packet[9], IPPROTO_TCP);
	cr_expect_eq(packet[15], from);
	cr_expect_eq(packet[19], to);
	cr_expect_eq(packet[20] << 8 | packet[21], 80);
	cr_expect_eq(packet[22] << 8 | packet[23], port);
	cr_expect_eq(packet[31], 42, "acknowledges the SYN");
	cr_expect_eq(packet[33], TCP_RST | TCP_ACK);
	cr_expect_eq(packet_checksum(0, packet, 20), 0);
	cr_expect_eq(packet_checksum(packet_pseudo(packet, 40), packet + 20, 20), 0);
}

static void leave(struct rig *rig, const uint8_t *packet, uint32_t length)
{
	uint8_t *bytes = malloc(length);

	memcpy(bytes, packet, length);
	cr_assert(outbound_run(&rig->w, bytes, length, &plain));
	free(bytes);
}

static void arrive(struct rig *rig, const uint8_t *packet, uint32_t length)
{
	rig_add(rig, RIG_INDEX, rig->counter++, packet, length);
	rig_receive(rig);
}

static void expect_answers(const struct rig *rig, uint64_t sent, uint64_t limited)
{
	cr_expect_eq(rig_stat(rig, STAT_REJECTS_SENT), sent);
	cr_expect_eq(rig_stat(rig, STAT_REJECTS_LIMITED), limited);
}

/* Who asks is told, whether or not it was answered: each flow once, with how often. */
Test(refuse_road, refused_flows_are_remembered)
{
	struct rig *rig = refusing_rig(true);
	struct refusal list[REFUSALS_MAX];
	uint8_t packet[2000];

	rig->snapshot.reject[INBOUND] = rig->snapshot.reject[OUTBOUND] = false;
	cr_expect_eq(refusals_read(&rig->w.refusals, list, sizeof(*list)), 0);
	leave(rig, packet, syn(packet, 2, 1, 5000));
	leave(rig, packet, syn(packet, 2, 1, 5000));
	arrive(rig, packet, syn(packet, 1, 2, 6000));
	cr_assert_eq(refusals_read(&rig->w.refusals, list, sizeof(*list)), 2);
	cr_expect_eq(list[0].direction, OUTBOUND);
	cr_expect_eq(list[0].reason, DROP_FIREWALL_OUT_NO_RULE);
	cr_expect_eq(list[0].times, 2);
	cr_expect_eq(list[0].flow.local_port, 5000);
	cr_expect_eq(list[0].flow.remote.bytes[15], 1);
	cr_expect_eq(list[1].direction, INBOUND);
	cr_expect_eq(list[1].reason, DROP_FIREWALL_NO_RULE);
	cr_expect_eq(list[1].times, 1);
	cr_expect_eq(list[1].flow.remote_port, 6000);
	finish(rig);
}

/* ---- outbound: over the tun ------------------------------------------------------------------ */

Test(refuse_road, a_local_program_is_answered_over_the_tun)
{
	struct rig *rig = refusing_rig(true);
	uint8_t packet[2000];

	leave(rig, packet, syn(packet, 2, 1, 5000));
	chains_flush(&rig->w);
	train_close(&rig->w);
	cr_assert_eq(rig->io.written_count, 1);
	is_rst(rig->io.written[0].bytes, rig->io.written[0].length, 1, 2, 5000);
	cr_expect_eq(rig->io.written[0].vnet.gso_type, 0);
	cr_expect_eq(rig->io.written[0].vnet.flags, 0);
	cr_expect_eq(rig->io.sent_count, 0);
	cr_expect_eq(rig_drops(rig, DROP_FIREWALL_OUT_NO_RULE), 1);
	expect_answers(rig, 1, 0);
	finish(rig);
}

Test(refuse_road, no_route_and_foreign_addresses_are_answered_too)
{
	struct rig *rig = refusing_rig(true);
	uint8_t packet[2000];
	uint32_t length;

	rig->snapshot.rules[OUTBOUND].count = 1;
	length = syn(packet, 2, 1, 5000);
	packet[16] = 8; /* 8.0.0.1 */
	leave(rig, packet, length);
	cr_expect_eq(rig_drops(rig, DROP_TUN_NO_ROUTE), 1);
	leave(rig, packet, syn(packet, 77, 1, 5001));
	cr_expect_eq(rig_drops(rig, DROP_FIREWALL_OUT_LOCAL_ADDR), 1);
	struct addr other = rig->tunnel->addrs[0];
	rig->tunnel->addrs[0].bytes[15] = 9;
	leave(rig, packet, syn(packet, 2, 1, 5002));
	cr_expect_eq(rig_drops(rig, DROP_FIREWALL_OUT_REMOTE_ADDR), 1);
	rig->tunnel->addrs[0] = other;
	chains_flush(&rig->w);
	cr_assert_eq(rig->io.written_count, 3);
	cr_expect_eq(rig->io.written[0].bytes[12], 8);
	is_rst(rig->io.written[1].bytes, rig->io.written[1].length, 1, 77, 5001);
	is_rst(rig->io.written[2].bytes, rig->io.written[2].length, 1, 2, 5002);
	expect_answers(rig, 3, 0);
	finish(rig);
}

/* What is dropped for another reason than the firewall's stays unanswered. */
Test(refuse_road, other_reasons_have_no_answer)
{
	struct rig *rig = refusing_rig(true);
	uint8_t packet[2000];
	uint32_t length;

	rig->snapshot.drop_local_broadcast = rig->snapshot.drop_multicast = true;
	leave(rig, packet, syn(packet, 2, 2, 1));
	leave(rig, packet, syn(packet, 2, 255, 1));
	length = syn(packet, 2, 1, 1);
	packet[16] = 225;
	leave(rig, packet, length);
	rig->snapshot.drop_multicast = false; /* no route, but no host either */
	leave(rig, packet, length);
	packet[0] = 0x55;
	leave(rig, packet, length);
	cr_expect_eq(rig_all_drops(rig), 5);
	leave(rig, packet, syn(packet, 2, 9, 1)); /* waits for its tunnel */
	chains_flush(&rig->w);
	cr_expect_eq(rig->io.written_count, 0);
	expect_answers(rig, 0, 0);
	finish(rig);
}

Test(refuse_road, a_super_packet_has_one_answer)
{
	struct rig *rig = refusing_rig(true);
	static uint8_t packet[65536];
	uint32_t length = packet_build(packet, &(struct packet){.version = 4,
								.protocol = IPPROTO_UDP,
								.source = 2,
								.destination = 1,
								.partial = true,
								.payload_bytes = 12000});
	struct virtio_net_hdr vnet = packet_vnet(packet, 1200);

	cr_assert(outbound_run(&rig->w, packet, length, &vnet));
	chains_flush(&rig->w);
	cr_expect_eq(rig_drops(rig, DROP_FIREWALL_OUT_NO_RULE),
		     vnet_packets(&vnet, packet, length));
	cr_assert_eq(rig->io.written_count, 1);
	cr_expect_eq(rig->io.written[0].length, 56);
	cr_expect_eq(rig->io.written[0].bytes[20], 3);
	cr_expect_eq(rig->io.written[0].bytes[21], 13);
	finish(rig);
}

/* A run that waited for its tunnel is judged when the tunnel is there. */
Test(refuse_road, a_run_that_waited_is_answered)
{
	struct rig *rig = refusing_rig(true);
	struct order *resume = calloc(1, sizeof(*resume) + SLOT_BYTES);

	resume->type = ORDER_RESUME;
	resume->tunnel = rig->tunnel->id;
	resume->capacity = SLOT_BYTES;
	resume->length = syn(resume->bytes, 2, 1, 5000);
	inbox_order(&rig->w, resume);
	inbox_work(&rig->w);
	chains_flush(&rig->w);
	cr_assert_eq(rig->io.written_count, 1);
	is_rst(rig->io.written[0].bytes, rig->io.written[0].length, 1, 2, 5000);
	free(resume);
	finish(rig);
}

/* A whole turn: the answer leaves with it, and its slot comes back. */
Test(refuse_road, a_turn_leaves_nothing_behind)
{
	struct rig *rig = refusing_rig(true);
	static uint8_t packet[2000];
	struct order *stop = calloc(1, sizeof(*stop));
	struct io_event *events = rig->io.events;

	stop->type = ORDER_STOP;
	events[0] = (struct io_event){
		.type = IO_TUN_RUN, .packet = packet, .length = syn(packet, 2, 1, 5000)};
	events[1] = (struct io_event){.type = IO_ORDER, .order = stop};
	rig->io.event_count = 2;
	worker_main(&rig->w);
	cr_assert_eq(rig->io.written_count, 1);
	cr_expect_not(rig->io.held_over);
	free(stop);
	finish(rig);
}

/* ---- inbound: through the tunnel ------------------------------------------------------------- */

Test(refuse_road, a_peer_is_answered_past_the_outbound_firewall)
{
	for (int has_tun = 0; has_tun < 2; has_tun++) {
		struct rig *rig = refusing_rig(has_tun);
		uint8_t packet[2000];

		arrive(rig, packet, syn(packet, 1, 2, 5000));
		chains_flush(&rig->w);
		train_close(&rig->w);
		cr_expect_eq(rig->io.written_count, 0);
		cr_assert_eq(rig->io.sent_count, 1);
		cr_expect_eq(wire_type_of(rig->io.sent[0].bytes), WIRE_MESSAGE);
		cr_expect_eq(wire_remote_index(rig->io.sent[0].bytes), RIG_PEER_INDEX);
		cr_expect_eq(wire_counter(rig->io.sent[0].bytes), COUNTER_FIRST);
		is_rst(rig->opened, rig_open(rig, 0, 0), 2, 1, 5000);
		cr_expect_eq(rig_drops(rig, DROP_FIREWALL_NO_RULE), 1);
		expect_answers(rig, 1, 0);
		cr_expect_eq(conntrack_count(rig->w.conntrack, rig->w.now_s), 0);
		finish(rig);
	}
}

Test(refuse_road, addresses_that_are_not_the_peers_or_ours_have_no_answer)
{
	struct rig *rig = refusing_rig(true);
	uint8_t packet[2000];

	arrive(rig, packet, syn(packet, 77, 2, 5000));
	arrive(rig, packet, syn(packet, 1, 9, 5000));
	cr_expect_eq(rig_drops(rig, DROP_FIREWALL_REMOTE_ADDR), 1);
	cr_expect_eq(rig_drops(rig, DROP_FIREWALL_LOCAL_ADDR), 1);
	cr_expect_eq(rig->io.sent_count, 0);
	finish(rig);
}

Test(refuse_road, a_train_of_one_flow_has_one_answer_a_turn)
{
	struct rig *rig = refusing_rig(true);
	uint8_t packet[2000];
	uint32_t length = packet_build(
		packet,
		&(struct packet){.version = 4, .protocol = IPPROTO_UDP, .payload_bytes = 1000});

	for (int i = 0; i < 40; i++)
		rig_add(rig, RIG_INDEX, rig->counter++, packet, length);
	rig_receive(rig);
	cr_expect_eq(rig->io.sent_count, 1);
	cr_assert_eq(rig_open(rig, 0, 0), 56);
	cr_expect_eq(rig->opened[20], 3);
	cr_expect_eq(rig->opened[21], 13);
	cr_expect_eq(rig_drops(rig, DROP_FIREWALL_NO_RULE), 40);
	expect_answers(rig, 1, 0);
	arrive(rig, packet, syn(packet, 1, 2, 5000)); /* another flow */
	cr_expect_eq(rig->io.sent_count, 2);
	finish(rig);
}

/* Two nodes that both refuse everything: what one says, the other is silent about. */
Test(refuse_road, an_answer_is_not_answered)
{
	struct rig *rig = refusing_rig(true);
	uint8_t packet[2000], answer[2000];
	uint32_t length;

	for (int udp = 0; udp < 2; udp++) {
		length = udp ? packet_build(packet, &(struct packet){.version = 4,
								     .protocol = IPPROTO_UDP,
								     .payload_bytes = 10})
			     : syn(packet, 1, 2, 5000);
		arrive(rig, packet, length);
		length = rig_open(rig, rig->io.sent_count - 1, 0);
		memcpy(answer, rig->opened, length);
		for (int i = 12; i < 16; i++) { /* as the peer would have sent it to us */
			uint8_t byte = answer[i];
			answer[i] = answer[i + 4];
			answer[i + 4] = byte;
		}
		arrive(rig, answer, length);
	}
	cr_expect_eq(rig_drops(rig, DROP_FIREWALL_NO_RULE), 4);
	cr_expect_eq(rig->io.sent_count, 2);
	expect_answers(rig, 2, 0);
	finish(rig);
}

/* ---- when, and how many ---------------------------------------------------------------------- */

Test(refuse_road, drop_is_silent_in_each_direction_alone)
{
	for (int inbound = 0; inbound < 2; inbound++) {
		struct rig *rig = refusing_rig(true);
		uint8_t packet[2000];

		rig->snapshot.reject[INBOUND] = inbound;
		rig->snapshot.reject[OUTBOUND] = !inbound;
		leave(rig, packet, syn(packet, 2, 1, 5000));
		arrive(rig, packet, syn(packet, 1, 2, 5000));
		chains_flush(&rig->w);
		cr_expect_eq(rig->io.written_count, !inbound);
		cr_expect_eq(rig->io.sent_count, inbound);
		cr_expect_eq(rig_drops(rig, DROP_FIREWALL_NO_RULE), 1);
		cr_expect_eq(rig_drops(rig, DROP_FIREWALL_OUT_NO_RULE), 1);
		finish(rig);
	}
}

/* Rules that control has not compiled for the tunnel yet have refused nothing. */
Test(refuse_road, no_answer_while_new_rules_are_compiled)
{
	struct rig *rig = refusing_rig(true);
	struct peer_rules *rules = rig->tunnel->rules[1];
	uint8_t packet[2000];

	rig->snapshot.rules_version = 2;
	for (int i = 0; i < 2; i++) {
		leave(rig, packet, syn(packet, 2, 1, 5000));
		arrive(rig, packet, syn(packet, 1, 2, 5000));
		rig->tunnel->rules[0] = rules; /* of the version before */
		rig->tunnel->rules[1] = NULL;
	}
	cr_expect_eq(rig_drops(rig, DROP_FIREWALL_NO_RULE), 2);
	cr_expect_eq(rig_drops(rig, DROP_FIREWALL_OUT_NO_RULE), 2);
	expect_answers(rig, 0, 0);
	rules->version = 2;
	arrive(rig, packet, syn(packet, 1, 2, 5000));
	expect_answers(rig, 1, 0);
	finish(rig);
}

Test(refuse_road, each_direction_has_its_own_bucket)
{
	struct rig *rig = refusing_rig(true);
	uint8_t packet[2000];

	for (uint32_t i = 0; i < REJECTS_PER_SECOND + 50; i++)
		arrive(rig, packet, syn(packet, 1, 2, (uint16_t)(1000 + i)));
	cr_expect_eq(rig->io.sent_count, REJECTS_PER_SECOND);
	expect_answers(rig, REJECTS_PER_SECOND, 50);
	for (uint32_t i = 0; i < REJECTS_PER_SECOND + 7; i++)
		leave(rig, packet, syn(packet, 2, 1, (uint16_t)(1000 + i)));
	chains_flush(&rig->w);
	cr_expect_eq(rig->io.written_count, REJECTS_PER_SECOND);
	expect_answers(rig, 2 * REJECTS_PER_SECOND, 57);
	rig->w.now_s++;
	arrive(rig, packet, syn(packet, 1, 2, 9));
	leave(rig, packet, syn(packet, 2, 1, 9));
	expect_answers(rig, 2 * REJECTS_PER_SECOND + 2, 57);
	finish(rig);
}

Test(refuse_road, without_room_or_remote_the_answer_is_counted_as_not_sent)
{
	struct rig *rig = refusing_rig(true);
	struct remote *remote = rig->tunnel->remote;
	uint8_t packet[2000];

	rig->io.free_write_count = 0;
	rig->tunnel->remote = NULL;
	rig->snapshot.rules[OUTBOUND].count = 1;
	uint32_t length = syn(packet, 2, 1, 1);
	packet[16] = 8;
	leave(rig, packet, length);
	expect_answers(rig, 0, 1);
	rig->io.free_write_count = WRITE_SLOTS;
	arrive(rig, packet, syn(packet, 1, 2, 2));
	expect_answers(rig, 0, 2);
	rig->tunnel->remote = remote;
	rig->io.free_send_count = 0;
	arrive(rig, packet, syn(packet, 1, 2, 3));
	expect_answers(rig, 0, 3);
	rig->io.free_send_count = SEND_SLOTS;
	finish(rig);
}

/* The last verdicts are those of a turn: in the next one the rules may be others. */
Test(refuse_road, each_turn_judges_anew)
{
	struct rig *rig = rig_create(true);
	struct order *stop = rig_order(ORDER_STOP, NULL, 0);
	struct io_event *events = rig->io.events;
	uint8_t packet[100], trains[3][100];

	rig->rule = (struct rule){.port_first = 80, .port_last = 80};
	rig->snapshot.reject[INBOUND] = true;
	for (uint32_t i = 0; i < 3; i++) {
		uint32_t length = syn(packet, 1, 2, 6000);

		packet[23] = i < 2 ? 81 : 80;
		rig_add(rig, RIG_INDEX, rig->counter++, packet, length);
		memcpy(trains[i], rig->datagrams, rig->datagram_bytes);
		events[i] = (struct io_event){.type = IO_UDP_TRAIN,
					      .packet = trains[i],
					      .length = rig->datagram_bytes,
					      .segment_bytes = rig->datagram_bytes,
					      .source = rig->peer};
		rig->datagram_bytes = 0;
	}
	events[3] = (struct io_event){.type = IO_ORDER, .order = stop};
	rig->io.event_count = 4;
	rig->io.per_turn = 1;
	worker_main(&rig->w);
	cr_expect_eq(rig_drops(rig, DROP_FIREWALL_NO_RULE), 2);
	cr_expect_eq(rig->io.written_count, 1);
	expect_answers(rig, 2, 0);
	cr_expect(!rig->w.judged.tunnel && !rig->w.refused.tunnel);
	free(stop);
	finish(rig);
}
