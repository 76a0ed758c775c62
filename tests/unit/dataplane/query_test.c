/* query_test.c - HostQuery as clients encode it, read by a worker (PROTOCOL.md 14.7). */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "lookup/query.h"
#include "unit/dataplane/random.h"

TestSuite(query);

static uint32_t hex(const char *text, uint8_t *out)
{
	uint32_t count = 0;
	unsigned byte;

	for (; sscanf(text + 2 * count, "%2x", &byte) == 1; count++)
		out[count] = (uint8_t)byte;
	return count;
}

Test(query, vectors)
{
	static const struct {
		const char *bytes;
		enum card_form form;
		struct addr about;
	} rows[] = {
		{"08011205088280a851", CARD_V1, {{[10] = 0xff, 0xff, 10, 42, 0, 2}}},
		{"0801120a3208108280a8d1f0ff3f", CARD_V2, {{[10] = 0xff, 0xff, 10, 42, 0, 2}}},
		{"0801120f320d0880808080808080a1fd011002", CARD_V2, {{0xfd, 0x42, [15] = 2}}},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t bytes[QUERY_BYTES_MAX];
		uint32_t length = hex(rows[i].bytes, bytes);
		struct query query;

		cr_assert(query_read(bytes, length, &query), "row %zu", i);
		cr_assert_eq(query.form, rows[i].form);
		cr_assert(addr_equal(&query.about, &rows[i].about), "row %zu", i);
		for (uint32_t cut = 0; cut < length; cut++) {
			uint8_t *exact = malloc(cut ? cut : 1);

			memcpy(exact, bytes, cut);
			cr_assert_not(query_read(exact, cut, &query), "row %zu cut at %u", i, cut);
			free(exact);
		}
	}
}

/* What is no question, or not said in the plain way, is left to control. */
Test(query, others_are_left)
{
	static const char *const rows[] = {
		"",
		"0801",                         /* no Details */
		"08011200",                     /* empty */
		"08021205088280a851",           /* a reply */
		"08031205088280a851",           /* an update */
		"08011205088280a85100",         /* something behind */
		"080112070800088280a851",       /* the field twice */
		"08011205080000000000",         /* zero */
		"080112063204108080808010",     /* lengths that do not add up */
		"12050882 80a8510801",          /* the other order */
		"0801120608ffffffffff7f",       /* above 32 bits */
		"080112023200",                 /* an address of zero */
		"0801120b088280a8511204088080", /* an address of its own within */
	};
	uint8_t bytes[QUERY_BYTES_MAX];
	struct query query;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_assert_not(query_read(bytes, hex(rows[i], bytes), &query), "row %zu", i);
}

Test(query, noise)
{
	random_start();
	for (int i = 0; i < 200000; i++) {
		uint32_t length = (uint32_t)(random_u64() % 32);
		uint8_t *bytes = malloc(length ? length : 1);
		struct query query;

		for (uint32_t j = 0; j < length; j++)
			bytes[j] = (uint8_t)random_u64();
		if (length > 4 && i % 2) {
			memcpy(bytes, "\x08\x01\x12", 3);
			bytes[3] = (uint8_t)(length - 4);
		}
		query_read(bytes, length, &query);
		free(bytes);
	}
}
