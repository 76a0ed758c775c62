/*
 * echo_road_test.c - a node without a tun answers pings and nothing else.
 */
#include <criterion/criterion.h>

#include "unit/roads/rig.h"

TestSuite(echo_road, .timeout = 60);

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

Test(echo_road, without_a_tun_pings_are_answered)
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

Test(echo_road, without_a_tun_all_else_is_dropped_by_name)
{
	struct rig *rig = rig_create(false);
	uint8_t packet[2000];

	rig_add_tcp(rig, 5000, 0, 60);
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
