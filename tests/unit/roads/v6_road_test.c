/*
 * v6_road_test.c - IPv6 inside the tunnel, over both roads. Certificates of version 1 hold IPv4
 * addresses only, so no namespace test leads here yet.
 *
 * We are fd00::2, the peer is fd00::1; behind it is fd00:9::/48.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "unit/roads/rig.h"

TestSuite(v6_road, .timeout = 60);

static const struct virtio_net_hdr plain;
static const struct prefix behind = {{{0xfd, 0, 0, 9}}, 48};

static struct addr v6(uint8_t last)
{
	return (struct addr){{[0] = 0xfd, [15] = last}};
}

static struct rig *rig_v6(void)
{
	struct rig *rig = rig_create(true);
	struct addr peer = v6(1);

	rig->snapshot.networks[0] = (struct prefix){v6(2), 64};
	rig->tunnel = rig_tunnel(rig, 1, &peer);
	rig->tunnel->prefixes = malloc(sizeof(behind));
	*rig->tunnel->prefixes = behind;
	rig->tunnel->prefix_count = 1;
	return rig;
}

static void run(struct rig *rig, const uint8_t *packet, uint32_t length,
		const struct virtio_net_hdr *vnet)
{
	uint8_t *bytes = malloc(length);

	memcpy(bytes, packet, length);
	outbound_run(&rig->w, bytes, length, vnet);
	train_close(&rig->w);
	free(bytes);
}

static struct packet packet_of(uint8_t protocol, bool leaving, uint32_t payload)
{
	return (struct packet){.version = 6,
			       .protocol = protocol,
			       .source = leaving ? 2 : 1,
			       .destination = leaving ? 1 : 2,
			       .source_port = 5000,
			       .dest_port = 80,
			       .ttl = 64,
			       .flow_label = 0x12345,
			       .tcp_flags = TCP_ACK,
			       .sequence = 1000,
			       .partial = leaving && payload > 1300,
			       .payload_bytes = payload};
}

/* TCP and UDP super-packets leave as the segments that Linux would cut. */
Test(v6_road, super_packets_leave_in_segments)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP};
	static uint8_t packet[65536], cut[2000];

	for (size_t i = 0; i < 2; i++) {
		struct rig *rig = rig_v6();
		struct packet p = packet_of(protocols[i], true, 50000);
		uint32_t length = packet_build(packet, &p), count = 0;
		struct virtio_net_hdr vnet = packet_vnet(packet, 1220);

		run(rig, packet, length, &vnet);
		cr_assert_eq(rig->io.sent_count, 1);
		for (uint32_t expected; (expected = packet_cut(packet, length, &vnet, count, cut));
		     count++) {
			cr_assert_eq(rig_open(rig, 0, count), expected, "segment %u", count);
			cr_expect_arr_eq(rig->opened, cut, expected, "segment %u", count);
		}
		cr_expect_eq(rig->io.sent[0].count, count);
		cr_expect_eq(count, 41);
		cr_expect_eq(rig_all_drops(rig), 0);
		rig_destroy(rig);
	}
}

/* Segments that come in one train are joined into one write, headers as Linux makes them. */
Test(v6_road, trains_come_as_super_packets)
{
	static const struct {
		uint8_t protocol, gso_type;
	} rows[] = {{IPPROTO_TCP, VIRTIO_NET_HDR_GSO_TCPV6}, {IPPROTO_UDP, 5 /* UDP_L4 */}};
	static uint8_t packet[2000], whole[65536];

	for (size_t i = 0; i < 2; i++) {
		struct rig *rig = rig_v6();
		uint32_t length = 0, header, bytes = 0;

		for (uint32_t k = 0; k < 20; k++) {
			struct packet p = packet_of(rows[i].protocol, false, 1000);

			p.sequence += k * 1000;
			length = packet_build(packet, &p);
			rig_add(rig, RIG_INDEX + 1, rig->counter++, packet, length);
			header = length - 1000;
			memcpy(whole + header + k * 1000, packet + header, 1000);
		}
		rig_receive(rig);
		chains_flush(&rig->w);
		cr_assert_eq(rig->io.written_count, 1);
		bytes = rig->io.written[0].length;
		cr_expect_eq(bytes, header + 20000);
		cr_expect_eq(rig->io.written[0].vnet.gso_type, rows[i].gso_type);
		cr_expect_eq(rig->io.written[0].vnet.gso_size, 1000);
		cr_expect_arr_eq(rig->io.written[0].bytes + header, whole + header, 20000);
		cr_expect_eq(rig->io.written[0].bytes[4] << 8 | rig->io.written[0].bytes[5],
			     (int)(bytes - 40), "payload length of the whole");
		cr_expect_eq(rig_all_drops(rig), 0);
		rig_destroy(rig);
	}
}

/* A route of IPv6 to the network behind the peer, and the firewall's two checks of addresses. */
Test(v6_road, routes_and_address_checks)
{
	struct gateway gateway = {v6(1), 1};
	struct route route = {behind, 1, &gateway};
	struct rig *rig = rig_v6();
	struct packet p = packet_of(IPPROTO_UDP, true, 100);
	uint8_t packet[2000];
	uint32_t length = packet_build(packet, &p);

	rig->snapshot.routes = route_table_create(&route, 1);
	packet[24 + 3] = 9; /* fd00:9::1 */
	packet_fix(packet, length);
	run(rig, packet, length, &plain);
	cr_expect_eq(rig->io.sent_count, 1);
	packet[24 + 5] = 1; /* still inside */
	packet[24 + 3] = 8; /* fd00:8::, no route */
	packet_fix(packet, length);
	run(rig, packet, length, &plain);
	cr_expect_eq(rig_drops(rig, DROP_TUN_NO_ROUTE), 1);

	/* from there: covered by the peer's certificate; another source is not */
	p = packet_of(IPPROTO_UDP, false, 100);
	length = packet_build(packet, &p);
	packet[8 + 3] = 9;
	packet_fix(packet, length);
	rig_add(rig, RIG_INDEX + 1, rig->counter++, packet, length);
	rig_receive(rig);
	cr_expect_eq(rig_all_drops(rig), 1, "the one before");
	packet[8 + 3] = 8;
	packet_fix(packet, length);
	rig_add(rig, RIG_INDEX + 1, rig->counter++, packet, length);
	rig_receive(rig);
	cr_expect_eq(rig_drops(rig, DROP_FIREWALL_REMOTE_ADDR), 1);
	chains_flush(&rig->w);
	route_table_destroy(rig->snapshot.routes);
	rig_destroy(rig);
}

/* Multicast of IPv6, and our own address. */
Test(v6_road, what_does_not_leave)
{
	struct rig *rig = rig_v6();
	struct packet p = packet_of(IPPROTO_UDP, true, 100);
	uint8_t packet[2000];
	uint32_t length;

	rig->snapshot.drop_multicast = true;
	p.destination = 2;
	length = packet_build(packet, &p);
	run(rig, packet, length, &plain);
	cr_expect_eq(rig_drops(rig, DROP_TUN_SELF), 1);
	packet[24] = 0xff;
	run(rig, packet, length, &plain);
	cr_expect_eq(rig_drops(rig, DROP_TUN_MULTICAST), 1);
	cr_expect_eq(rig->io.sent_count, 0);
	rig_destroy(rig);
}
