/*
 * Unit tests of dataplane/io/checksum.c: every variant against a sum added byte by byte.
 */
#include <criterion/criterion.h>

#include "io/checksum.h"

/* The variants are private; a second copy under other names lets this file call each. */
#define checksum_add copy_checksum_add
#include "io/checksum.c"
#undef checksum_add

#include "packets.h"
#include "unit/dataplane/upper_halves.h"

#define SEED 57

struct variant {
	const char *name;
	uint64_t (*sum)(const uint8_t *bytes, size_t length);
	bool usable;
};

static size_t variants(struct variant v[5])
{
	size_t n = 0;

	v[n++] = (struct variant){"portable", sum_portable, true};
#ifdef __x86_64__
	v[n++] = (struct variant){"avx2", sum_avx2, __builtin_cpu_supports("avx2")};
	v[n++] = (struct variant){"avx512", sum_avx512,
				  __builtin_cpu_supports("avx512bw") &&
					  __builtin_cpu_supports("bmi2")};
	v[n++] = (struct variant){"vnni", sum_vnni,
				  __builtin_cpu_supports("avx512vnni") &&
					  __builtin_cpu_supports("bmi2")};
#endif
	return n;
}

static void check_all(const uint8_t *bytes, size_t length)
{
	uint16_t expected = (uint16_t)~packet_checksum(0, bytes, length);
	struct variant v[5];
	size_t n = variants(v);

	for (size_t i = 0; i < n; i++)
		if (v[i].usable)
			cr_assert_eq(be16toh(checksum_fold(v[i].sum(bytes, length))), expected,
				     "%s, %zu bytes", v[i].name, length);
	cr_assert_eq(checksum_fold(checksum_add(0, bytes, length)), expected, "%zu bytes", length);
}

Test(checksum, every_short_length_at_every_alignment)
{
	struct packet_random r = {SEED};
	uint8_t bytes[700];

	packet_fill(&r, bytes, sizeof(bytes));
	for (size_t length = 0; length <= 600; length++)
		for (size_t at = 0; at < 64; at++)
			check_all(bytes + at, length);
}

Test(checksum, reads_nothing_beyond_the_end)
{
	struct packet_random r = {SEED};
	uint8_t bytes[400];

	packet_fill(&r, bytes, sizeof(bytes));
	for (size_t length = 0; length <= sizeof(bytes); length++)
		check_all(packet_at_edge(bytes, length), length);
}

Test(checksum, upper_halves_of_the_registers_are_left_clear)
{
	struct variant v[5];
	uint8_t bytes[700] = {0};
	size_t n = variants(v);

	if (!upper_halves_told())
		cr_skip_test("this CPU does not tell which registers are in use");
	for (size_t i = 0; i < n; i++)
		for (size_t length = 0; v[i].usable && length <= sizeof(bytes); length++) {
			upper_halves_clear();
			(void)v[i].sum(bytes, length);
			cr_assert_not(upper_halves_in_use(), "%s, %zu bytes", v[i].name, length);
		}
}

Test(checksum, carries_of_large_and_extreme_inputs)
{
	static uint8_t bytes[65536];
	struct packet_random r = {SEED};
	static const size_t lengths[] = {1299, 1300, 1301, 9000, 65535, 65536};

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		memset(bytes, 0xff, sizeof(bytes));
		check_all(bytes, lengths[i]);
		memset(bytes, 0, sizeof(bytes));
		check_all(bytes, lengths[i]);
		packet_fill(&r, bytes, sizeof(bytes));
		check_all(bytes, lengths[i]);
	}
}

Test(checksum, chunks_of_even_length_continue)
{
	struct packet_random r = {SEED};
	uint8_t bytes[3000];

	packet_fill(&r, bytes, sizeof(bytes));
	for (size_t cut = 0; cut <= 2998; cut += 2) {
		uint64_t sum = checksum_add(0, bytes, cut);

		sum = checksum_add(sum, bytes + cut, 2999 - cut);
		cr_assert_eq(checksum_fold(sum), (uint16_t)~packet_checksum(0, bytes, 2999));
	}
}

Test(checksum, fold_of_extremes)
{
	static const struct {
		uint64_t sum;
		uint16_t folded;
	} rows[] = {
		{0, 0},
		{0xffff, 0xffff},
		{0x10000, 1},
		{0x1fffe, 0xffff},
		{0xffffffff, 0xffff},
		{0x1ffffffff, 1},
		{UINT64_MAX, 0xffff},
		{0xffff0001ffff0001, 2},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_eq(checksum_fold(rows[i].sum), rows[i].folded, "row %zu: %x", i,
			     checksum_fold(rows[i].sum));
}

/* RFC 1071 section 3's example, and a pseudo header by hand. */
Test(checksum, published_example_and_pseudo_header)
{
	static const uint8_t example[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
	static const uint8_t a[4] = {10, 0, 0, 1}, b[4] = {10, 0, 0, 2};
	static const uint8_t c[16] = {0xfd, 0, [15] = 1}, d[16] = {0xfd, 0, [15] = 2};

	cr_expect_eq(checksum_fold(checksum_add(0, example, sizeof(example))), 0xddf2);
	cr_expect_eq(checksum_fold(checksum_pseudo(a, b, 4, 6, 0x20014)),
		     0x0a00 + 1 + 0x0a00 + 2 + 6 + 2 + 0x14);
	cr_expect_eq(checksum_fold(checksum_pseudo(c, d, 16, 17, 8)),
		     (0xfd00 + 1 + 0xfd00 + 2 + 17 + 8) % 0xffff);
}
