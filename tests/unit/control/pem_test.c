/* pem_test.c - PEM blocks: what is read, what is skipped, what is refused. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "identity/pem.h"

static void init(void)
{
	cr_assert_geq(sodium_init(), 0);
}

TestSuite(pem, .init = init);

#define GOOD "-----BEGIN X-----\naGVsbG8=\n-----END X-----\n"

Test(pem, one_block)
{
	static const struct {
		const char *text;
		int err;
	} rows[] = {
		{GOOD, 0},
		{"-----BEGIN X-----\r\naGVs\r\nbG8=\r\n-----END X-----\r\n", 0},
		{"-----BEGIN X-----\naGVsbG8=\n-----END X-----", 0},
		{"-----BEGIN X-----  \naGVs bG8=\t\n\n-----END X----- \n", 0},
		{"a comment\n# another -----BEGIN Y-----\n" GOOD "tail", 0},
		{"", -ENOENT},
		{"hello", -ENOENT},
		{" -----BEGIN X-----\naGVsbG8=\n-----END X-----\n", -ENOENT},
		{"-----END X-----\n", -ENOENT},
		{"-----BEGIN X-----", -EBADMSG},
		{"-----BEGIN X-----\naGVsbG8=\n", -EBADMSG},
		{"-----BEGIN X-----\naGVsbG8=\n-----END X", -EBADMSG},
		{"-----BEGIN X-----\naGVsbG8=\n-----END Y-----\n", -EBADMSG},
		{"-----BEGIN X-----\naGVsbG8=\n" GOOD, -EBADMSG},
		{"-----BEGIN X----\naGVsbG8=\n-----END X-----\n", -EBADMSG},
		{"-----BEGIN -----BEGIN X-----\naGVsbG8=\n-----END X-----\n", -EBADMSG},
		{"-----BEGIN X-----\naGVsbG8\n-----END X-----\n", -EBADMSG},
		{"-----BEGIN X-----\naGVsb*8=\n-----END X-----\n", -EBADMSG},
		{"-----BEGIN X-----\nProc-Type: 4\n\naGVsbG8=\n-----END X-----\n", -EBADMSG},
		{"-----BEGIN X-----\naGVsbG8=\naGVsbG8=\n-----END X-----\n", -EBADMSG},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *at = rows[i].text;
		struct pem_block block;
		int err = pem_next(&at, at + strlen(at), &block);

		cr_assert_eq(err, rows[i].err, "row %zu: %d", i, err);
		if (err != 0)
			continue;
		cr_assert_str_eq(block.banner, "X");
		cr_assert_eq(block.len, 5);
		cr_assert_eq(memcmp(block.bytes, "hello", 5), 0);
		pem_block_free(&block);
	}
}

Test(pem, several_blocks_and_text_between)
{
	static const char text[] = "first\n" GOOD "\nsecond\n"
				   "-----BEGIN NEBULA CERTIFICATE V2-----\n"
				   "-----END NEBULA CERTIFICATE V2-----\n" GOOD;
	static const char *const banners[] = {"X", PEM_CERTIFICATE_V2, "X"};
	const char *at = text, *end = text + strlen(text);
	struct pem_block block;

	for (size_t i = 0; i < 3; i++) {
		cr_assert_eq(pem_next(&at, end, &block), 0);
		cr_assert_str_eq(block.banner, banners[i]);
		cr_assert_eq(block.len, i == 1 ? 0 : 5);
		pem_block_free(&block);
	}
	cr_assert_eq(pem_next(&at, end, &block), -ENOENT);
	cr_assert_eq(pem_next(&at, end, &block), -ENOENT);
}

Test(pem, banner_longer_than_ours_is_refused)
{
	char text[256] = "-----BEGIN ";
	const char *at = text;
	struct pem_block block;

	memset(text + strlen(text), 'A', PEM_BANNER_MAX);
	strcat(text, "-----\n-----END -----\n");
	cr_assert_eq(pem_next(&at, text + strlen(text), &block), -EBADMSG);
}

/* Writing and reading give back the bytes, at every length around a line's end. */
Test(pem, round_trip)
{
	uint8_t bytes[200];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		size_t text_len;
		char *text = pem_encode("ROUND TRIP", bytes, len, &text_len);
		const char *at = text;
		struct pem_block block;

		cr_assert_eq(strlen(text), text_len);
		cr_assert_eq(text[text_len - 1], '\n');
		cr_assert_eq(pem_next(&at, text + text_len, &block), 0);
		cr_assert_str_eq(block.banner, "ROUND TRIP");
		cr_assert_eq(block.len, len);
		cr_assert_eq(memcmp(block.bytes, bytes, len), 0);
		for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1)
			cr_assert_leq(strcspn(line, "\n"), 64);
		pem_block_free(&block);
		sodium_free(text);
	}
}

/* A block of exactly the bound is read, one byte more is not. */
Test(pem, block_bound)
{
	uint8_t *bytes = sodium_malloc(PEM_BLOCK_MAX + 1);

	memset(bytes, 'x', PEM_BLOCK_MAX + 1);
	for (size_t len = PEM_BLOCK_MAX; len <= PEM_BLOCK_MAX + 1; len++) {
		size_t text_len;
		char *text = pem_encode("X", bytes, len, &text_len);
		const char *at = text;
		struct pem_block block;

		cr_assert_eq(pem_next(&at, text + text_len, &block),
			     len == PEM_BLOCK_MAX ? 0 : -E2BIG);
		pem_block_free(&block);
		sodium_free(text);
	}
	sodium_free(bytes);
}

/* A text that was cut anywhere tells so, unless the cut is between two blocks. */
Test(pem, cut)
{
	static const char text[] = GOOD GOOD;
	const size_t whole = strlen(GOOD);

	for (size_t len = 0; len <= 2 * whole; len++) {
		const char *at = text;
		struct pem_block block;
		int err;

		while ((err = pem_next(&at, text + len, &block)) == 0)
			pem_block_free(&block);
		/* without its newline a block is whole too */
		cr_assert_eq(err, (len + 1) % whole <= 1 ? -ENOENT : -EBADMSG, "%zu: %d", len, err);
	}
}

/* Every beginning of a good text, and random damage: no crash, no endless loop. */
Test(pem, damage)
{
	static const char good[] = "c\n" GOOD GOOD;
	char text[sizeof(good)];
	struct pem_block block;

	srandom(42); /* the same damage each time */
	for (unsigned round = 0; round < 20000; round++) {
		const char *at = text;
		size_t len = round % sizeof(good);

		memcpy(text, good, sizeof(good));
		if (round >= sizeof(good))
			text[(size_t)random() % sizeof(good)] = (char)random();
		for (unsigned blocks = 0; pem_next(&at, text + len, &block) == 0; blocks++) {
			pem_block_free(&block);
			cr_assert_leq(blocks, 2);
		}
	}
}
