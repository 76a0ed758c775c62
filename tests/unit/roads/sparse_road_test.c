/*
 * sparse_road_test.c - the worker of sparse flows beside the other one: the label, the window of
 * its own, and who waits for whom (PROTOCOL.md 1.1, skew.h).
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "crypto/seal.h"
#include "unit/roads/rig.h"

TestSuite(sparse_road, .timeout = 60);

/* Worker `queue` of two, of which 1 has the sparse flows, and a tunnel to 10.0.0.3. */
static struct rig *rig_of(uint32_t queue, struct tunnel **tunnel)
{
	struct addr three = addr_from_v4(0x0a000003);
	struct rig *rig = rig_create(true);

	rig->w.queues = 2;
	rig->w.queue = queue;
	rig->w.sparse = true;
	rig->w.label = queue == 1 ? WIRE_LABEL_SPARSE : WIRE_LABEL_NONE;
	cr_assert_eq(hostmap_share(rig->map, 2), 0);
	cr_assert_eq(hostmap_spread(rig->map, 1), 0);
	*tunnel = rig_tunnel(rig, 1, &three);
	return rig;
}

static bool send_packet(struct rig *rig)
{
	static const struct virtio_net_hdr plain;
	uint8_t packet[200];
	uint32_t length = packet_build(packet, &(struct packet){.version = 4,
								.protocol = IPPROTO_UDP,
								.source = 2,
								.destination = 3,
								.payload_bytes = 50});

	return outbound_run(&rig->w, packet, length, &plain);
}

static void receive(struct rig *rig, uint16_t label, uint64_t counter)
{
	uint8_t packet[200];
	uint32_t length = packet_build(packet, &(struct packet){.version = 4,
								.protocol = IPPROTO_UDP,
								.source = 3,
								.destination = 2,
								.payload_bytes = 60});

	rig->label = label;
	rig_add(rig, RIG_INDEX + 1, counter, packet, length);
	rig_receive(rig);
	chains_flush(&rig->w);
}

Test(sparse_road, each_worker_writes_its_own_label)
{
	static const uint16_t labels[] = {WIRE_LABEL_NONE, WIRE_LABEL_SPARSE};

	for (uint32_t queue = 0; queue < 2; queue++) {
		struct tunnel *tunnel;
		struct rig *rig = rig_of(queue, &tunnel);

		cr_expect(send_packet(rig));
		train_close(&rig->w);
		cr_assert_eq(rig->io.sent_count, 1);
		cr_expect_eq(wire_label(rig->io.sent[0].bytes), labels[queue]);
		rig_destroy(rig);
	}
}

/* Both take what comes, whatever its label: nothing is passed on, and nobody counts for the other.
 */
Test(sparse_road, sparse_packets_count_in_a_window_of_their_own_whoever_has_them)
{
	for (uint32_t queue = 0; queue < 2; queue++) {
		struct tunnel *tunnel;
		struct rig *rig = rig_of(queue, &tunnel);

		receive(rig, WIRE_LABEL_NONE, 5 + 2 * REPLAY_WINDOW);
		cr_expect_eq(tunnel->labelled, 0);
		receive(rig, WIRE_LABEL_SPARSE, 5);
		cr_expect_eq(tunnel->labelled, 1, "the peer has such a window too");
		cr_expect_eq(rig_stat(rig, STAT_TUN_WRITTEN), 2);
		cr_expect_eq(rig_all_drops(rig), 0);
		receive(rig, WIRE_LABEL_SPARSE, 5);
		receive(rig, WIRE_LABEL_NONE, 6);
		cr_expect_eq(rig_stat(rig, STAT_TUN_WRITTEN), 2);
		cr_expect_eq(rig_drops(rig, DROP_REPLAY), 2, "known, and too old");
		cr_expect_eq(rig->io.handed_count, 0);
		rig_destroy(rig);
	}
}

/* A train with both, as no kernel should make it: two runs. */
Test(sparse_road, labels_do_not_mix_in_a_run)
{
	struct tunnel *tunnel;
	struct rig *rig = rig_of(0, &tunnel);

	for (uint32_t k = 0; k < 6; k++) {
		rig->label = k % 3 == 2 ? WIRE_LABEL_SPARSE : WIRE_LABEL_NONE;
		rig_add_tcp(rig, 5000, k, 500);
	}
	rig_receive(rig);
	chains_flush(&rig->w);
	cr_assert_eq(rig->io.written_count, 1, "in one turn they are one chain all the same");
	cr_expect_eq(rig->io.written[0].length, 40 + 6 * 500);
	cr_expect_eq(rig_all_drops(rig), 0);
	rig_destroy(rig);
}

/* Other labels are other senders' business: flow labels of a peer of several workers. */
Test(sparse_road, other_labels_mean_nothing)
{
	struct tunnel *tunnel;
	struct rig *rig = rig_of(0, &tunnel);

	receive(rig, 7, 5);
	receive(rig, WIRE_LABEL_NONE, 5);
	cr_expect_eq(rig_drops(rig, DROP_REPLAY), 1, "one window for both");
	cr_expect_eq(tunnel->labelled, 0);
	rig_destroy(rig);
}

Test(sparse_road, a_peer_with_one_window_is_not_overtaken_and_one_with_two_may_be)
{
	struct tunnel *tunnel;
	struct rig *rig = rig_of(1, &tunnel);

	tunnel->unsent[0] = 100; /* sealed by the other worker, which has lost its core */
	tunnel->counter = 100 + SKEW_PACKETS_MAX;
	cr_expect_not(send_packet(rig));
	cr_expect(rig->w.waits_outbound);
	tunnel->labelled = 1;
	tunnel->counter = 100 + 3 * REPLAY_WINDOW;
	cr_expect(send_packet(rig));
	cr_expect_eq(rig->w.skew.count, 0, "nobody looks at its mark");
	tunnel->labelled = 0;
	tunnel->unsent[0] = 0;
	cr_expect(send_packet(rig));
	cr_expect_eq(rig->w.skew.count, 1);
	train_close(&rig->w);
	rig_destroy(rig);
}

/* A frame of the rig's peer for our entry 0x00aabb00, which leads on to tunnel. */
static void receive_frame(struct rig *rig, uint16_t label, uint64_t counter)
{
	uint8_t frame[200] = {0};

	seal_frame(&rig->as_peer, 0x00aabb00u, label, counter, frame, 100);
	rig_add_raw(rig, frame, 100 + WIRE_OVERHEAD);
}

static void relay_to(struct rig *rig, struct tunnel *in, struct tunnel *out)
{
	struct relay_entry relay = {in, true, out, 0x00ccdd00u};

	cr_assert_eq(hostmap_index_reserve(rig->map, 0x00aabb00u), 0);
	cr_assert_eq(hostmap_relay_publish(rig->map, 0x00aabb00u, &relay), 0);
}

Test(sparse_road, frames_have_the_label_and_the_window_too)
{
	for (uint32_t queue = 0; queue < 2; queue++) {
		struct tunnel *tunnel;
		struct rig *rig = rig_of(queue, &tunnel);
		struct addr four = addr_from_v4(0x0a000004);
		struct tunnel *in = rig_tunnel(rig, 2, &four);

		relay_to(rig, in, tunnel);
		receive_frame(rig, WIRE_LABEL_NONE, 5 + 2 * REPLAY_WINDOW);
		rig_receive(rig);
		cr_expect_eq(in->labelled, 0);
		receive_frame(rig, WIRE_LABEL_SPARSE, 4);
		rig->datagrams[rig->datagram_bytes - 1] ^= 1;
		rig_receive(rig);
		cr_expect_eq(rig_drops(rig, DROP_AUTHENTICATION), 1);
		cr_expect_eq(in->labelled, 0, "anybody can write a label");
		receive_frame(rig, WIRE_LABEL_SPARSE, 5);
		receive_frame(rig, WIRE_LABEL_SPARSE, 5);
		receive_frame(rig, WIRE_LABEL_NONE, 6);
		rig_receive(rig);
		cr_expect_eq(in->labelled, 1);
		cr_expect_eq(rig_drops(rig, DROP_REPLAY), 2, "known, and too old");
		cr_assert_eq(rig->io.sent_count, 2);
		for (uint32_t n = 0; n < 2; n++)
			cr_expect_eq(wire_label(rig->io.sent[n].bytes), rig->w.label,
				     "that of the worker which sends it on");
		rig_destroy(rig);
	}
}

Test(sparse_road, frames_around_ours_have_our_label)
{
	struct tunnel *tunnel;
	struct rig *rig = rig_of(1, &tunnel);
	struct relay_path path = {.via = rig->tunnel, .index = 7};

	free(tunnel->remote);
	tunnel->remote = NULL;
	tunnel->path = &path;
	cr_expect(send_packet(rig));
	train_close(&rig->w);
	cr_assert_eq(rig->io.sent_count, 1);
	const uint8_t *frame = rig->io.sent[0].bytes;
	cr_expect_eq(wire_type_of(frame), WIRE_RELAY);
	cr_expect_eq(wire_label(frame), WIRE_LABEL_SPARSE);
	cr_expect_eq(wire_label(frame + WIRE_HEADER_BYTES), WIRE_LABEL_SPARSE);
	tunnel->path = NULL;
	rig_destroy(rig);
}
