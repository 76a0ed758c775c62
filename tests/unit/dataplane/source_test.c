/* source_test.c - networks and their buckets, and what a bucket may have of a pool. */
#include <criterion/criterion.h>

#include "lookup/source.h"
#include "random.h"

TestSuite(source);

static const struct source_key key = {{0x1234, 0x5678}};

static uint32_t bucket_of(const char *bytes16)
{
	struct endpoint source = {.port = (uint16_t)(1 + random_below(60000))};

	memcpy(source.addr.bytes, bytes16, 16);
	return source_bucket(&key, &source, 0, 0);
}

static uint32_t bucket_v4(uint32_t v4)
{
	struct endpoint source = {addr_from_v4(v4), (uint16_t)(1 + random_below(60000))};

	return source_bucket(&key, &source, 0, 0);
}

Test(source, a_network_has_one_bucket)
{
	random_start();
	for (uint32_t host = 0; host < 256; host++)
		cr_assert_eq(bucket_v4(0xc0000200 + host), bucket_v4(0xc0000200));
	cr_expect_eq(bucket_of("\x20\x01\x0d\xb8\0\1\0\0\0\0\0\0\0\0\0"),
		     bucket_of("\x20\x01\x0d\xb8\0\1\xff\xff\1\2\3\4\5\6\7"));
}

/* 1,024 networks fall into nearly all buckets, and no bucket has many. */
Test(source, networks_spread_and_move_with_time)
{
	static uint32_t of[SOURCE_BUCKETS];
	uint32_t used = 0, most = 0, moved = 0;

	random_start();
	for (uint32_t n = 0; n < 4 * SOURCE_BUCKETS; n++) {
		struct endpoint source = {addr_from_v4(0x0a000000 + n * 256), 1};
		uint32_t bucket = source_bucket(&key, &source, 0, 0);

		cr_assert_lt(bucket, SOURCE_BUCKETS);
		used += of[bucket]++ == 0;
		most = of[bucket] > most ? of[bucket] : most;
		cr_assert_eq(source_bucket(&key, &source, 0, SOURCE_PERIOD_S - 1), bucket);
		moved += source_bucket(&key, &source, 0, SOURCE_PERIOD_S) != bucket;
	}
	cr_expect_gt(used, SOURCE_BUCKETS * 9 / 10);
	cr_expect_lt(most, 16);
	cr_expect_gt(moved, SOURCE_BUCKETS * 3);
}

Test(source, relays_are_sources_of_their_own)
{
	static const struct endpoint nowhere;
	uint32_t first = source_bucket(&key, &nowhere, 1, 0), others = 0;

	for (uint32_t via = 2; via < 34; via++)
		others += source_bucket(&key, &nowhere, via, 0) != first;
	cr_expect_gt(others, 28);
}

static uint32_t take_all(struct source_shares *shares, uint32_t bucket)
{
	uint32_t count = 0;

	while (source_admit(shares, bucket) == DROP_NONE)
		count++;
	return count;
}

/* Each that floods has its share of what is left; who has none gets one while there is any. */
Test(source, shares)
{
	struct source_shares shares = {0};
	struct punt punt = {.shares = &shares, .bucket = 0};
	uint32_t all = 0, flooding = 0;

	cr_expect_eq(take_all(&shares, 0), 48);
	cr_expect_eq(source_admit(&shares, 0), DROP_HANDSHAKE_CROWDED);
	cr_expect_eq(take_all(&shares, 1), 12);
	for (int i = 0; i < 60; i++) {
		punt.bucket = i < 48 ? 0 : 1;
		punt_release(&punt);
	}
	cr_expect_eq(atomic_load(&shares.all), 0);
	for (uint32_t n = 0; n < SOURCE_BUCKETS; n++)
		cr_expect_eq(atomic_load(&shares.of[n]), 0);

	/* All at once, one after the other: nobody is left without, until nothing is left. */
	for (bool more = true; more;) {
		more = false;
		for (uint32_t n = 0; n < 15; n++) {
			bool got = source_admit(&shares, n) == DROP_NONE;
			more = more || got;
			all += got;
		}
	}
	for (uint32_t n = 0; n < 15; n++)
		flooding += atomic_load(&shares.of[n]) >= 3;
	cr_expect_eq(flooding, 15);
	cr_expect_lt(all, POOL_HANDSHAKES);
	cr_expect_eq(source_admit(&shares, 99), DROP_NONE, "a newcomer");
	while (all < POOL_HANDSHAKES - 1 && source_admit(&shares, 100 + all) == DROP_NONE)
		all++;
	cr_expect_eq(source_admit(&shares, 98), DROP_HANDSHAKE_OVERLOAD);
}

Test(source, peers_are_told_apart_by_their_address)
{
	uint32_t first = 0, others = 0, moved = 0;

	for (uint32_t n = 0; n < 256; n++) {
		struct addr peer = addr_from_v4(0x0a000000 + n); /* one network of an underlay */
		uint32_t bucket = source_peer_bucket(&key, &peer, 0);

		cr_assert_lt(bucket, SOURCE_BUCKETS);
		cr_assert_eq(source_peer_bucket(&key, &peer, SOURCE_PERIOD_S - 1), bucket);
		first = n == 0 ? bucket : first;
		others += bucket != first;
		moved += source_peer_bucket(&key, &peer, SOURCE_PERIOD_S) != bucket;
	}
	cr_expect_gt(others, 240);
	cr_expect_gt(moved, 240);
}

Test(source, shares_of_peers)
{
	struct source_shares shares = {0};

	for (uint32_t n = 0; n < POOL_OPENED * SOURCE_SHARE / (SOURCE_SHARE + 1); n++)
		cr_expect_eq(source_admit_opened(&shares, 0), DROP_NONE);
	cr_expect_eq(source_admit_opened(&shares, 0), DROP_PUNT_CROWDED);
	cr_expect_eq(source_admit_opened(&shares, 1), DROP_NONE, "another peer");
	for (uint32_t n = 2; atomic_load(&shares.all) < POOL_OPENED; n++)
		cr_expect_eq(source_admit_opened(&shares, n), DROP_NONE);
	cr_expect_eq(source_admit_opened(&shares, 99), DROP_PUNT_POOL);
}
