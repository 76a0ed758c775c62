/* x25519_test.c - RFC 7748's vectors, and four at once against libsodium's one. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "handshake/x25519.h"

TestSuite(x25519);

/* Four multiplications each; X25519_ROUNDS in the environment: more of them. */
#define ROUNDS 2500

struct bytes {
	uint8_t at[X25519_BYTES];
};

static struct bytes unhex(const char *hex)
{
	struct bytes out;
	size_t length;

	cr_assert_eq(sodium_hex2bin(out.at, sizeof(out.at), hex, strlen(hex), NULL, &length, NULL),
		     0);
	cr_assert_eq(length, sizeof(out.at));
	return out;
}

static void expect(const uint8_t *got, const char *wanted_hex)
{
	struct bytes wanted = unhex(wanted_hex);

	cr_expect_eq(memcmp(got, wanted.at, X25519_BYTES), 0, "%s", wanted_hex);
}

/* 5.2 of the RFC: one job, and the same in company. */
Test(x25519, vectors)
{
	struct bytes s1 = unhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4");
	struct bytes p1 = unhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c");
	struct bytes s2 = unhex("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d");
	struct bytes p2 = unhex("e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493");
	struct bytes out[3];
	const struct x25519_job jobs[] = {
		{s1.at, p1.at, out[0].at}, {s2.at, p2.at, out[1].at}, {s1.at, NULL, out[2].at}};
	struct bytes base;

	cr_assert_eq(crypto_scalarmult_curve25519_base(base.at, s1.at), 0);
	for (unsigned count = 1; count <= 3; count++) {
		memset(out, 0, sizeof(out));
		cr_assert_eq(x25519_all(jobs, count), 0);
		expect(out[0].at,
		       "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
		if (count > 1)
			expect(out[1].at, "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152"
					  "e6f8f7647aac7957");
		if (count > 2)
			cr_expect_eq(memcmp(out[2].at, base.at, X25519_BYTES), 0);
	}
}

/* A thousand times on itself: the RFC's value, in the first lane of two. */
Test(x25519, iterated)
{
	struct bytes k = {{9}}, u = {{9}}, next, other;
	const struct x25519_job jobs[] = {{k.at, u.at, next.at}, {k.at, NULL, other.at}};

	for (int i = 0; i < 1000; i++) {
		cr_assert_eq(x25519_all(jobs, 2), 0);
		u = k;
		k = next;
	}
	expect(k.at, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
}

static void random_bytes(uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)(random() >> 8);
}

/* Points near 0, near p and near 2^255, the high bit set: all are to be taken modulo p. */
static void odd_point(uint8_t point[X25519_BYTES])
{
	long kind = random() % 8;

	random_bytes(point, X25519_BYTES);
	if (kind < 2) {
		memset(point, 0xff, X25519_BYTES);
		point[0] = (uint8_t)(0xff - random() % 40);
		point[31] = kind ? 0xff : 0x7f;
	} else if (kind == 2) {
		memset(point + 1, 0, X25519_BYTES - 1);
		point[0] = (uint8_t)(2 + random() % 40);
	}
}

/* Each limb of 51 bits is all zeros, all ones, one beside them, or anything: where carries go
 * wrong. */
static void odd_limbs(uint8_t number[X25519_BYTES])
{
	const uint64_t full = (1ull << 51) - 1;

	memset(number, 0, X25519_BYTES);
	for (unsigned limb = 0; limb < 5; limb++) {
		uint64_t any = (uint64_t)random() << 31 ^ (uint64_t)random();
		const uint64_t values[] = {0, full, 1, full - 1, 1ull << 50, full >> 1, any & full};
		uint64_t value = values[random() % 7];

		for (unsigned bit = 0; bit < 51; bit++)
			if (value >> bit & 1)
				number[(51 * limb + bit) / 8] |= 1u << (51 * limb + bit) % 8;
	}
}

Test(x25519, four_at_once_are_libsodiums)
{
	uint8_t scalars[4][X25519_BYTES], points[4][X25519_BYTES], out[4][X25519_BYTES];

	const char *more = getenv("X25519_ROUNDS");
	long rounds = more ? atol(more) : ROUNDS;
	unsigned seed = randombytes_random();

	cr_assert_geq(sodium_init(), 0);
	srandom(seed);
	for (long round = 0; round < rounds; round++) {
		struct x25519_job jobs[4];
		bool zero = false;

		for (int i = 0; i < 4; i++) {
			random_bytes(scalars[i], X25519_BYTES);
			if (random() % 2)
				odd_limbs(scalars[i]);
			(random() % 2 ? odd_point : odd_limbs)(points[i]);
			jobs[i] = (struct x25519_job){scalars[i], points[i], out[i]};
		}
		int result = x25519_all(jobs, 4);
		for (int i = 0; i < 4; i++) {
			uint8_t wanted[X25519_BYTES];

			if (crypto_scalarmult_curve25519(wanted, scalars[i], points[i]) != 0)
				zero = true;
			else
				cr_assert_eq(memcmp(out[i], wanted, sizeof(wanted)), 0,
					     "seed %u round %ld lane %d", seed, round, i);
		}
		cr_assert_eq(result, zero ? -EINVAL : 0, "seed %u round %ld", seed, round);
	}
}

/* The seven encodings of low-order points that libsodium lists, in each lane and alone. */
Test(x25519, low_order_points_are_refused)
{
	static const char *const low[] = {
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	};
	uint8_t scalar[X25519_BYTES], out[4][X25519_BYTES];

	randombytes_buf(scalar, sizeof(scalar));
	for (size_t n = 0; n < sizeof(low) / sizeof(low[0]); n++) {
		struct bytes point = unhex(low[n]);

		for (int lane = 0; lane < 4; lane++) {
			struct x25519_job jobs[4];

			for (int i = 0; i < 4; i++)
				jobs[i] = (struct x25519_job){scalar, i == lane ? point.at : NULL,
							      out[i]};
			cr_expect_eq(x25519_all(jobs, 4), -EINVAL, "%s in lane %d", low[n], lane);
			cr_expect_eq(x25519_all(&jobs[lane], 1), -EINVAL, "%s", low[n]);
		}
	}
}
