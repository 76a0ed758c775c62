/* cut_road_test.c - datagrams of every type, cut at every byte, and those of types that do not
 * exist: each is counted under one name, spends nothing and goes nowhere. */
#include <criterion/criterion.h>

#include "crypto/seal.h"
#include "rig.h"

TestSuite(cut_road);

#define PAYLOAD_BYTES 60

static const struct {
	enum wire_type wire;
	bool is_message;
} sealed[] = {
	{WIRE_MESSAGE, true},     {WIRE_LIGHTHOUSE, false},   {WIRE_TEST_REQUEST, false},
	{WIRE_TEST_REPLY, false}, {WIRE_CLOSE_TUNNEL, false}, {WIRE_CONTROL, false},
};

static enum drop reason_of(uint32_t length)
{
	if (length <= 1)
		return length == 0 ? DROP_UDP_EMPTY : DROP_UDP_PUNCH;
	return length < WIRE_OVERHEAD ? DROP_UDP_SHORT : DROP_AUTHENTICATION;
}

/* Gives the first length bytes to the worker; the one reason for which they were dropped. */
static void dropped(struct rig *rig, const uint8_t *bytes, uint32_t length, enum drop reason)
{
	uint64_t all = rig_all_drops(rig), here = rig_drops(rig, reason);

	if (length > 0)
		rig_add_raw(rig, bytes, length);
	rig_receive(rig);
	chains_flush(&rig->w);
	cr_assert_eq(rig_drops(rig, reason), here + 1, "type %02x %u, %u bytes", bytes[0], bytes[1],
		     length);
	cr_assert_eq(rig_all_drops(rig), all + 1, "type %02x %u, %u bytes", bytes[0], bytes[1],
		     length);
	cr_assert_eq(rig->io.punt_count + rig->io.written_count + rig->io.sent_count, 0);
}

Test(cut_road, every_sealed_message_cut_at_every_byte)
{
	uint8_t payload[PAYLOAD_BYTES], datagram[PAYLOAD_BYTES + WIRE_OVERHEAD];

	for (size_t t = 0; t < sizeof(sealed) / sizeof(sealed[0]); t++) {
		struct rig *rig = rig_create(true);

		packet_build(payload, &(struct packet){.version = 4,
						       .protocol = IPPROTO_UDP,
						       .payload_bytes = PAYLOAD_BYTES - 28});
		rig->as_peer.remote_index = RIG_INDEX;
		seal_packet(&rig->as_peer, sealed[t].wire, 0, rig->counter, payload,
			    sizeof(payload), datagram);
		for (uint32_t length = 0; length < sizeof(datagram); length++)
			dropped(rig, datagram, length, reason_of(length));
		/* nothing was spent: the whole one, with the same counter, is taken */
		uint64_t before = rig_all_drops(rig);

		rig_add_raw(rig, datagram, sizeof(datagram));
		rig_receive(rig);
		chains_flush(&rig->w);
		cr_expect_eq(rig_all_drops(rig), before, "type %02x", datagram[0]);
		cr_expect_eq(rig->io.written_count, sealed[t].is_message);
		cr_expect_eq(rig->io.punt_count, !sealed[t].is_message);
		cr_expect(rig_slots_are_back(rig));
		rig_destroy(rig);
	}
}

/* What is not sealed: a handshake needs more than its header, a recv_error exactly that. */
Test(cut_road, the_others_cut_at_every_byte)
{
	struct rig *rig = rig_create(true);
	uint8_t recv_error[WIRE_HEADER_BYTES], hello[HANDSHAKE_BYTES_MAX] = {0}, frame[40] = {0};

	wire_write(recv_error, WIRE_RECV_ERROR, RIG_PEER_INDEX, 0);
	wire_write(hello, WIRE_HANDSHAKE, 0, 1);
	wire_write(frame, WIRE_RELAY, RIG_INDEX + 9, rig->counter);
	for (uint32_t length = 0; length < sizeof(recv_error); length++)
		dropped(rig, recv_error, length, reason_of(length));
	for (uint32_t length = 0; length < 2 * WIRE_HEADER_BYTES; length++)
		dropped(rig, hello, length,
			length < WIRE_HEADER_BYTES ? reason_of(length) : DROP_HANDSHAKE_INVALID);
	rig->snapshot.send_recv_error = RECV_ERROR_NEVER;
	for (uint32_t length = 0; length < sizeof(frame); length++)
		dropped(rig, frame, length,
			length < WIRE_HEADER_BYTES ? reason_of(length) : DROP_INDEX_UNKNOWN);
	rig_destroy(rig);
}

Test(cut_road, types_that_do_not_exist)
{
	struct rig *rig = rig_create(true);
	uint8_t datagram[40] = {0};

	for (uint32_t first = 0; first < 65536; first++) {
		bool exists = false;

		datagram[0] = (uint8_t)(first >> 8);
		datagram[1] = (uint8_t)first;
#define WIRE_TYPE(type, subtype, ...)                                                              \
	exists |= datagram[0] == (0x10 | (type)) && datagram[1] == (subtype);
#include "wire_types.def"
#undef WIRE_TYPE
		if (!exists)
			dropped(rig, datagram, sizeof(datagram), DROP_UDP_TYPE);
	}
	rig_destroy(rig);
}
