/*
 * clear_road_test.c - what nothing authenticates: unknown indexes and the answers to them,
 * handshakes, recv_errors, and how much of it is let through.
 */
#include <criterion/criterion.h>

#include "unit/roads/rig.h"

TestSuite(clear_road, .timeout = 60);

static size_t recv_errors_for(struct rig *rig, uint32_t index)
{
	uint32_t length;
	uint8_t packet[100];
	size_t before = rig->io.sent_count;

	length = rig_tcp(packet, 5000, 0, 20);
	rig_add(rig, index, rig->counter++, packet, length);
	rig_receive(rig);
	return rig->io.sent_count - before;
}

/* Nebula 1.6.1 acts on the fourth. */
Test(clear_road, an_unknown_index_is_answered_four_times_then_once_a_run)
{
	struct rig *rig = rig_create(true);
	uint8_t packet[100];
	uint32_t length = rig_tcp(packet, 5000, 0, 20);

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
	rig->snapshot.send_recv_error = RECV_ERROR_ALWAYS;
	rig_forget(rig);
	wire_write(packet, WIRE_MESSAGE, 0xbeef, 7);
	rig_add_raw(rig, packet, WIRE_HEADER_BYTES);
	rig_receive(rig);
	cr_expect_eq(rig->io.sent_count, 4, "a bare header, too (PROTOCOL.md 4.6)");
	rig_destroy(rig);
}

/* private: RFC 1918 and fc00::/7, to their edges. */
Test(clear_road, unknown_indexes_are_answered_as_the_policy_says)
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

Test(clear_road, answers_to_unknown_indexes_stay_within_the_bucket)
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

Test(clear_road, without_send_slots_no_answer_and_it_is_counted)
{
	struct rig *rig = rig_create(true);
	uint8_t packet[100];
	uint32_t length = rig_tcp(packet, 5000, 0, 20);

	rig->io.keep_sends = true;
	for (uint32_t i = 0; i < SEND_SLOTS + 5; i++) {
		rig_add(rig, 0xdead + i, rig->counter++, packet, length);
		rig_receive(rig);
	}
	cr_expect_eq(rig_stat(rig, STAT_RECV_ERROR_SENT), SEND_SLOTS);
	cr_expect_geq(rig_stat(rig, STAT_RECV_ERROR_LIMITED), 5);
	rig_destroy(rig);
}

/* What could not be sent has told nobody, so the repetitions are still to come. */
Test(clear_road, an_answer_that_was_not_sent_is_given_the_next_time)
{
	struct rig *rig = rig_create(true);
	uint32_t slots = rig->io.free_send_count;

	rig->io.free_send_count = 0;
	cr_expect_eq(recv_errors_for(rig, 0xdead), 0);
	cr_expect_eq(rig_stat(rig, STAT_RECV_ERROR_LIMITED), 1, "one that was due");
	rig->io.free_send_count = slots;
	cr_expect_eq(recv_errors_for(rig, 0xdead), 4);
	rig_destroy(rig);
}

Test(clear_road, a_pending_index_is_dropped_and_not_answered)
{
	struct rig *rig = rig_create(true);
	uint8_t packet[100];

	cr_assert_eq(hostmap_index_reserve(rig->map, 0xbeef), 0);
	rig_add(rig, 0xbeef, 3, packet, rig_tcp(packet, 5000, 0, 20));
	rig_receive(rig);
	cr_expect_eq(rig_drops(rig, DROP_INDEX_PENDING), 1);
	cr_expect_eq(rig_all_drops(rig), 1);
	cr_expect_eq(rig->io.sent_count, 0);
	hostmap_index_remove(rig->map, 0xbeef);
	rig_destroy(rig);
}

Test(clear_road, a_flood_of_handshakes_is_counted_and_starves_no_other_class)
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
Test(clear_road, a_flood_of_handshakes_from_one_network_leaves_room_for_others)
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
Test(clear_road, recv_errors_are_heard_at_a_rate)
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

Test(clear_road, handshakes_that_cannot_be_are_dropped_early)
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
