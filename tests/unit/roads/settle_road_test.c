/*
 * settle_road_test.c - another worker commits between our check of the replay window and our
 * commit (settle() of dataplane/inbound_run.c).
 */
#include <criterion/criterion.h>

#include "crypto/replay.h"
#include "crypto/seal.h"
#include "unit/roads/rig.h"

TestSuite(settle_road, .timeout = 60);

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
		rig_add_tcp(rig, k == other_flow_at ? 6000 : 5000, k, 300);
	rig_receive(rig);
	chains_flush(&rig->w);
	cr_expect(rig_slots_are_back(rig));
	return rig;
}

/* One in the middle, and the last. */
Test(settle_road, a_joined_packet_that_another_worker_had_is_taken_back)
{
	for (uint32_t stolen = 5; stolen < 8; stolen += 2) {
		struct rig *rig = race(stolen, stolen, 99);

		/* the first stands alone settled; the other seven were one growth, all of it goes
		 */
		cr_expect_eq(rig_stat(rig, STAT_TUN_WRITTEN), 1);
		cr_expect_eq(rig_drops(rig, DROP_REPLAY), 7);
		cr_expect_eq(rig_all_drops(rig), 7);
		cr_assert_eq(rig->io.written_count, 1);
		cr_expect_eq(rig->io.written[0].length, 340);
		rig_destroy(rig);
	}
}

Test(settle_road, what_an_earlier_train_has_left_stays)
{
	struct rig *rig = rig_create(true);

	thief_begin(rig, 6, 0, 6);
	for (uint32_t k = 0; k < 8; k++) {
		rig_add_tcp(rig, 5000, k, 300);
		if (k == 3)
			rig_receive(rig);
	}
	rig_receive(rig);
	chains_flush(&rig->w);
	cr_expect_eq(rig_drops(rig, DROP_REPLAY), 4);
	cr_assert_eq(rig->io.written_count, 1);
	cr_expect_eq(rig->io.written[0].length, 40 + 4 * 300);
	rig_destroy(rig);
}

Test(settle_road, a_lone_packet_that_another_worker_had_takes_none_with_it)
{
	struct rig *rig = race(4, 4, 4);

	/* datagram 4 is of another flow: moved away, then found to be known */
	cr_expect_eq(rig_drops(rig, DROP_REPLAY), 1);
	cr_expect_eq(rig_all_drops(rig), 1);
	cr_expect_eq(rig_stat(rig, STAT_TUN_WRITTEN), 7);
	rig_destroy(rig);
}

Test(settle_road, what_was_settled_before_stays)
{
	struct rig *rig = race(6, 7, 4);

	/* 0 to 4 are settled when 5 begins; 5 closes the gap behind 3: 5 settled, 6 and 7 grew */
	cr_expect_eq(rig_stat(rig, STAT_TUN_WRITTEN) + rig_drops(rig, DROP_REPLAY), 8);
	cr_expect_geq(rig_stat(rig, STAT_TUN_WRITTEN), 5);
	cr_expect_geq(rig_drops(rig, DROP_REPLAY), 1);
	rig_destroy(rig);
}

/* What is dropped behind its settling begins no chain, but the one that grew is settled, too. */
Test(settle_road, what_was_settled_with_a_packet_that_is_dropped_stays)
{
	static const uint8_t nonsense[340];
	struct rig *rig = rig_create(true);

	thief_begin(rig, 6, 0, 7);
	for (uint32_t k = 0; k < 4; k++)
		rig_add_tcp(rig, 5000, k, 300);
	rig_add(rig, RIG_INDEX, rig->counter++, nonsense, sizeof(nonsense));
	for (uint32_t k = 4; k < 7; k++)
		rig_add_tcp(rig, 5000, k, 300);
	rig_receive(rig);
	chains_flush(&rig->w);
	cr_expect_eq(rig_drops(rig, DROP_INNER_PARSE), 1);
	cr_expect_eq(rig_drops(rig, DROP_REPLAY), 3, "the last three were one growth");
	cr_assert_eq(rig->io.written_count, 1);
	cr_expect_eq(rig->io.written[0].length, 40 + 4 * 300);
	rig_destroy(rig);
}

/* A lighthouse opens all of a train before it tells the window of them. */
Test(settle_road, questions_that_another_worker_had_are_counted_each)
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
