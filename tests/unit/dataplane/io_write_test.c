/*
 * io_write_test.c - writes to a tun on a real ring: joined packets that it refuses, errors, and the
 * life of a slot (engine.h).
 */
#include "unit/dataplane/engine.h"

TestSuite(io_write, .timeout = 60);

/* A joined UDP packet of count datagrams to the tun's own address, in a slot of its own. */
static void write_joined(struct engine *e, uint16_t port, uint32_t count)
{
	struct write_slot *slot = io_write_slot(e->io);
	uint8_t *packet = slot->bytes + WRITE_HEADROOM;
	uint32_t length = packet_build(packet, &(struct packet){.version = 4,
								.protocol = IPPROTO_UDP,
								.dest_port = port,
								.source_port = 9,
								.df = true,
								.payload_bytes = count * 100});
	memcpy(packet + 12, (uint8_t[]){10, 9, 8, 2, 10, 9, 8, 1}, 8);
	packet_fix(packet, length);
	struct virtio_net_hdr vnet = packet_vnet(packet, 100);
	uint16_t pseudo = packet_pseudo(packet, length);
	packet[26] = (uint8_t)(pseudo >> 8);
	packet[27] = (uint8_t)pseudo;
	io_write(e->io, slot, packet, length, &vnet);
	io_write_slot_done(e->io, slot);
}

Test(io_write, a_joined_packet_that_the_tun_refuses_is_written_as_singles)
{
	struct sockaddr_in name;
	uint8_t bytes[200];
	struct engine e;

	begin(&e, IO_TIER_6_1);
	int local = udp_socket(0x0a090801, &name);
	fault(&e, OP_WRITE, 0, 1, -EINVAL);
	write_joined(&e, ntohs(name.sin_port), 5);
	io_turn(e.io, false); /* a sleeping turn would wait for more than writes */
	struct io_event event = next(&e, IO_NOTE);
	cr_expect_eq(event.note, NOTE_USO_OFF);
	settle_writes(&e);
	for (int i = 0; i < 5; i++) {
		cr_assert_eq(recv(local, bytes, sizeof(bytes), MSG_DONTWAIT), 100, "single %d", i);
		cr_expect_eq(bytes[0], (uint8_t)(i * 100 * 7 + 1));
	}
	cr_expect_lt(recv(local, bytes, sizeof(bytes), MSG_DONTWAIT), 0);
	cr_expect_eq(stat_of(&e, STAT_TSO_REFUSED), 1);
	cr_expect_eq(drops(&e, DROP_WRITE_ERROR), 0);
	end(&e);
}

Test(io_write, a_write_that_fails_is_counted_by_its_packets)
{
	static const int errors[] = {-EIO, -ENOMEM, -EBADFD, -EFAULT};
	struct engine e;

	begin(&e, IO_TIER_6_1);
	for (size_t i = 0; i < 4; i++) {
		fault(&e, OP_WRITE, 0, 1, errors[i]);
		write_joined(&e, 9, 5);
		settle_writes(&e);
		cr_expect_eq(e.hits, 1);
		cr_expect_eq(drops(&e, DROP_WRITE_ERROR), 5 * (i + 1));
		cr_expect_eq(e.io->free_write_count, WRITE_SLOTS);
	}
	end(&e);
}

/* Where there is no virtio header, what stands in front of the packet is none. */
Test(io_write, a_plain_write_that_fails)
{
	static const struct virtio_net_hdr plain;
	struct engine e;

	begin(&e, IO_TIER_6_1);
	e.io->options.tun_vnet_hdr = false;
	struct write_slot *slot = io_write_slot(e.io);
	uint8_t *packet = slot->bytes + WRITE_HEADROOM;
	memset(slot->bytes, VIRTIO_NET_HDR_GSO_TCPV4, WRITE_HEADROOM);
	fault(&e, OP_WRITE, 0, 1, -EINVAL);
	io_write(e.io, slot, packet, packet_udp(packet, 1, 9, 10), &plain);
	io_write_slot_done(e.io, slot);
	settle_writes(&e);
	cr_expect_eq(e.hits, 1);
	cr_expect_eq(drops(&e, DROP_WRITE_ERROR), 1);
	cr_expect_eq(stat_of(&e, STAT_TSO_REFUSED), 0);
	end(&e);
}

Test(io_write, no_slot_for_the_singles)
{
	struct write_slot *held[WRITE_SLOTS];
	struct engine e;

	begin(&e, IO_TIER_6_1);
	fault(&e, OP_WRITE, 0, 1, -EINVAL);
	write_joined(&e, 9, 5);
	for (int i = 0; i < WRITE_SLOTS - 1; i++)
		held[i] = io_write_slot(e.io);
	settle_writes(&e);
	cr_expect_eq(drops(&e, DROP_WRITE_ERROR), 5);
	for (int i = 0; i < WRITE_SLOTS - 1; i++)
		io_write_slot_done(e.io, held[i]);
	end(&e);
}

Test(io_write, a_slot_that_is_held_stays_when_all_is_written)
{
	static const struct virtio_net_hdr plain;
	struct engine e;

	begin(&e, IO_TIER_6_1);
	struct write_slot *slot = io_write_slot(e.io);
	uint8_t *packet = slot->bytes + WRITE_HEADROOM;
	io_write(e.io, slot, packet, packet_udp(packet, 1, 9, 10), &plain);
	settle_writes(&e);
	cr_expect_eq(slot->in_flight, 0);
	cr_expect_eq(e.io->free_write_count, WRITE_SLOTS - 1);
	io_write_slot_done(e.io, slot);
	end(&e);
}

Test(io_write, a_joined_packet_that_cannot_be_cut_is_counted_by_its_packets)
{
	const size_t csum_start = offsetof(struct virtio_net_hdr, csum_start);
	struct engine e;

	begin(&e, IO_TIER_6_1);
	fault(&e, OP_WRITE, 0, 1, -EINVAL);
	write_joined(&e, 9, 5);
	e.io->write_slots[0].bytes[WRITE_HEADROOM - VNET_BYTES + csum_start] += 4;
	settle_writes(&e);
	cr_expect_eq(e.hits, 1);
	cr_expect_eq(drops(&e, DROP_WRITE_ERROR), 5);
	cr_expect_eq(stat_of(&e, STAT_TUN_WRITES), 1);
	end(&e);
}
