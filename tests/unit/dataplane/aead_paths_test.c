/*
 * aead_paths_test.c - every code path of every AEAD backend: the edge vectors, random cases of all
 * lengths against libcrypto, and every single flipped bit.
 *
 * Each test is a process of its own, so one environment variable chooses the path that ipsec-mb
 * takes in it. M57_AEAD_CASES=N sets the number of random cases per cipher (10000000 is a night's
 * worth); each one is sealed and opened by all rows, in buffers between unreadable pages.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <sodium.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unit/dataplane/random.h"
#include "vectors/aead_edge_vectors.h"

#define LENGTH_MAX    9000
#define AAD_MAX       9000
#define ARENA_BYTES   (16u << 10)
#define POOL_BYTES    (64u << 10)
#define KEY_CASES     256 /* random cases per key */
#define ROWS_MAX      8
#define CASES_DEFAULT 120000

TestSuite(aead_paths, .timeout = 7200);

/* --- buffers */

/* Writable bytes between two pages that are not even readable. */
struct arena {
	uint8_t *start, *end;
};

static uint8_t filler[ARENA_BYTES]; /* what an arena holds where nobody should write */

static struct arena arena_map(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *base =
		mmap(NULL, ARENA_BYTES + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	cr_assert(base != MAP_FAILED);
	cr_assert_eq(mprotect(base + page, ARENA_BYTES, PROT_READ | PROT_WRITE), 0);
	memset(filler, 0xa5, sizeof(filler));
	return (struct arena){base + page, base + page + ARENA_BYTES};
}

/* A place for n bytes: at either end, or anywhere with any alignment. The rest is filled. */
static uint8_t *place(const struct arena *arena, size_t n)
{
	memcpy(arena->start, filler, ARENA_BYTES);
	switch (random_below(3)) {
	case 0:
		return arena->start;
	case 1:
		return arena->end - n;
	default:
		return arena->start + random_below(ARENA_BYTES - n + 1);
	}
}

static bool only_wrote(const struct arena *arena, const uint8_t *at, size_t n)
{
	return memcmp(arena->start, filler, (size_t)(at - arena->start)) == 0 &&
	       memcmp(at + n, filler, (size_t)(arena->end - at) - n) == 0;
}

/* --- rows */

/* Usable rows of a cipher, libcrypto first: the others are compared with it. */
static size_t rows_of(enum aead_cipher cipher, struct aead_backend *rows[ROWS_MAX])
{
	size_t n = 1;

	rows[0] = NULL;
	for (size_t i = 0; aead_row(i); i++) {
		struct aead_backend *row = aead_row(i);

		if (row->cipher != cipher || !row->usable(row))
			continue;
		if (strcmp(row->name, "libcrypto") == 0)
			rows[0] = row;
		else
			rows[n++] = row;
	}
	cr_assert_not_null(rows[0]);
	return n;
}

/* Makes ipsec-mb take the path, or skips the test where it cannot. */
static void want_path(const char *path)
{
	setenv("M57_AEAD_IMB", path, 1);
	for (size_t i = 0; aead_row(i); i++) {
		struct aead_backend *row = aead_row(i);

		if (strcmp(row->name, "ipsec-mb") == 0 && row->usable(row)) {
			cr_assert_eq(strncmp(row->architecture, path, strlen(path)), 0);
			return;
		}
	}
	cr_skip_test("needs ipsec-mb and a CPU with %s", path);
}

/* --- vectors */

static size_t from_hex(const char *hex, uint8_t *to, size_t max)
{
	size_t n;

	cr_assert_eq(sodium_hex2bin(to, max, hex, strlen(hex), NULL, &n, NULL), 0);
	return n;
}

static void run_vector(const struct aead_backend *row, const struct aead_vector *v, bool refused)
{
	uint8_t raw[32], nonce[12], aad[512], plain[512], sealed[512], out[512];
	size_t aad_bytes = from_hex(v->aad, aad, sizeof(aad));
	size_t length = from_hex(v->sealed, sealed, sizeof(sealed)) - AEAD_TAG_BYTES;
	struct aead_key key;

	from_hex(v->key, raw, sizeof(raw));
	from_hex(v->nonce, nonce, sizeof(nonce));
	cr_assert_eq(aead_key_init_with(&key, row, raw), 0);
	cr_expect_eq(row->open(&key, nonce, aad, aad_bytes, sealed, length, out),
		     refused ? -EBADMSG : 0, "%s opens %s", row->name, v->name);
	if (!refused) {
		cr_assert_eq(from_hex(v->plain, plain, sizeof(plain)), length);
		cr_expect_arr_eq(out, plain, length, "%s opens %s", row->name, v->name);
		row->seal(&key, nonce, aad, aad_bytes, plain, length, out);
		cr_expect_arr_eq(out, sealed, length + AEAD_TAG_BYTES, "%s seals %s", row->name,
				 v->name);
	}
	aead_key_wipe(&key);
}

static void vectors(void)
{
	size_t run = 0;

	for (size_t i = 0; aead_row(i); i++) {
		struct aead_backend *row = aead_row(i);

		if (!row->usable(row))
			continue;
		for (size_t k = 0; k < sizeof(aead_vectors) / sizeof(aead_vectors[0]); k++)
			if (aead_vectors[k].cipher == row->cipher)
				run_vector(row, &aead_vectors[k], false);
		for (size_t k = 0; k < sizeof(aead_edge_vectors) / sizeof(aead_edge_vectors[0]);
		     k++) {
			const struct aead_edge_vector *edge = &aead_edge_vectors[k];

			if (edge->vector.cipher != row->cipher)
				continue;
			run_vector(row, &edge->vector, edge->refused);
			run++;
		}
	}
	cr_expect_geq(run, 90, "libcrypto at least runs them all");
}

/* --- random cases */

static struct {
	struct arena in, out, aad;
	uint8_t pool[POOL_BYTES];
	struct aead_key keys[ROWS_MAX];
	size_t rows;
} t;

static void keys_renew(struct aead_backend *rows[])
{
	uint8_t raw[AEAD_KEY_BYTES];

	random_fill(raw, sizeof(raw));
	for (size_t k = 0; k < t.rows; k++) {
		aead_key_wipe(&t.keys[k]);
		cr_assert_eq(aead_key_init_with(&t.keys[k], rows[k], raw), 0);
	}
}

static const uint8_t *random_bytes(size_t n)
{
	return t.pool + random_below(POOL_BYTES - n + 1);
}

struct packet {
	uint64_t counter;
	size_t length, aad_bytes;
	const uint8_t *plain;
	uint8_t *aad;
	uint8_t sealed[LENGTH_MAX + AEAD_TAG_BYTES]; /* by libcrypto */
};

static void seal_case(const struct aead_key *key, const struct packet *p)
{
	size_t sealed_bytes = p->length + AEAD_TAG_BYTES;
	uint8_t *out = place(&t.out, sealed_bytes);
	const uint8_t *in = out;

	if (random_below(2)) {
		memcpy(out, p->plain, p->length);
	} else {
		uint8_t *at = place(&t.in, p->length);

		in = memcpy(at, p->plain, p->length);
	}
	aead_seal(key, p->counter, p->aad, p->aad_bytes, in, p->length, out);
	cr_assert(memcmp(out, p->sealed, sealed_bytes) == 0, "%s seals %zu, AAD %zu",
		  key->backend->name, p->length, p->aad_bytes);
	cr_assert(only_wrote(&t.out, out, sealed_bytes), "%s seals %zu", key->backend->name,
		  p->length);
	cr_assert(in == out || memcmp(in, p->plain, p->length) == 0);
}

static void open_case(const struct aead_key *key, const struct packet *p)
{
	size_t sealed_bytes = p->length + AEAD_TAG_BYTES, written = p->length;
	uint8_t *in = place(&t.in, sealed_bytes), *out = in;
	bool in_place = random_below(2), aad_flipped;
	uint8_t flip = (uint8_t)(1 << random_below(8)), *victim;

	memcpy(in, p->sealed, sealed_bytes);
	if (!in_place)
		out = place(&t.out, p->length);
	cr_assert_eq(aead_open(key, p->counter, p->aad, p->aad_bytes, in, p->length, out), 0,
		     "%s opens %zu, AAD %zu", key->backend->name, p->length, p->aad_bytes);
	cr_assert(memcmp(out, p->plain, p->length) == 0, "%s opens %zu, AAD %zu",
		  key->backend->name, p->length, p->aad_bytes);
	if (in_place)
		written = sealed_bytes;
	cr_assert(only_wrote(in_place ? &t.in : &t.out, out, written), "%s opens %zu",
		  key->backend->name, p->length);
	cr_assert(memcmp(in + p->length, p->sealed + p->length, AEAD_TAG_BYTES) == 0);

	memcpy(in, p->sealed, sealed_bytes);
	aad_flipped = p->aad_bytes > 0 && random_below(4) == 0;
	victim =
		aad_flipped ? p->aad + random_below(p->aad_bytes) : in + random_below(sealed_bytes);
	*victim ^= flip;
	cr_assert_eq(aead_open(key, p->counter, p->aad, p->aad_bytes, in, p->length, out), -EBADMSG,
		     "%s takes a changed packet, %zu, AAD %zu", key->backend->name, p->length,
		     p->aad_bytes);
	if (aad_flipped)
		*victim ^= flip;
}

/*
 * Every length of text once, every length of AAD once without text (a relay's frame) and once with;
 * then anything, half of it short.
 */
#define SWEEP_CASES (LENGTH_MAX + 1 + 2 * (AAD_MAX + 1))

static void pick_lengths(uint64_t i, size_t *length, size_t *aad_bytes)
{
	*length = random_below(random_below(2) ? 300 : LENGTH_MAX + 1);
	*aad_bytes = 16;
	if (i <= LENGTH_MAX) {
		*length = i;
		return;
	}
	i -= LENGTH_MAX + 1;
	if (i < 2 * (AAD_MAX + 1)) {
		*length = i % 2 ? 1 + random_below(300) : 0;
		*aad_bytes = i / 2;
		return;
	}
	switch (random_below(8)) {
	case 0:
		*aad_bytes = random_below(AAD_MAX + 1);
		break;
	case 1:
		*aad_bytes = random_below(200);
		break;
	case 2:
		*length = 0;
		*aad_bytes = random_below(AAD_MAX + 1);
		break;
	default:
		break;
	}
}

static uint64_t cases_wanted(uint64_t bounded)
{
	const char *given = getenv("M57_AEAD_CASES");

	return given ? strtoull(given, NULL, 0) : bounded;
}

static void agree(enum aead_cipher cipher, uint64_t cases)
{
	struct aead_backend *rows[ROWS_MAX];
	static struct packet p;

	random_start();
	t.rows = rows_of(cipher, rows);
	t.in = arena_map();
	t.out = arena_map();
	t.aad = arena_map();
	for (uint64_t i = 0; i < cases; i++) {
		if (i % KEY_CASES == 0) {
			random_fill(t.pool, sizeof(t.pool));
			keys_renew(rows);
		}
		p.counter = random_u64();
		pick_lengths(i, &p.length, &p.aad_bytes);
		p.plain = random_bytes(p.length);
		p.aad = place(&t.aad, p.aad_bytes);
		memcpy(p.aad, random_bytes(p.aad_bytes), p.aad_bytes);
		aead_seal(&t.keys[0], p.counter, p.aad, p.aad_bytes, p.plain, p.length, p.sealed);
		for (size_t k = 1; k < t.rows; k++) {
			seal_case(&t.keys[k], &p);
			open_case(&t.keys[k], &p);
		}
	}
	for (size_t k = 0; k < t.rows; k++)
		aead_key_wipe(&t.keys[k]);
}

/* --- tests */

Test(aead_paths, edge_vectors)
{
	vectors();
}

#define PATH_TEST(path)                                                                            \
	Test(aead_paths, ipsec_mb_##path)                                                          \
	{                                                                                          \
		want_path(#path);                                                                  \
		vectors();                                                                         \
		agree(AEAD_AES256GCM, SWEEP_CASES);                                                \
		agree(AEAD_CHACHA20POLY1305, SWEEP_CASES);                                         \
	}
PATH_TEST(sse)
PATH_TEST(avx)
PATH_TEST(avx2)
PATH_TEST(avx512)

Test(aead_paths, random_cases_agree_aes)
{
	agree(AEAD_AES256GCM, cases_wanted(CASES_DEFAULT));
}

Test(aead_paths, random_cases_agree_chacha)
{
	agree(AEAD_CHACHA20POLY1305, cases_wanted(CASES_DEFAULT / 4));
}

Test(aead_paths, unknown_path_leaves_the_other_rows)
{
	setenv("M57_AEAD_IMB", "mmx", 1);
	for (size_t i = 0; aead_row(i); i++)
		if (strcmp(aead_row(i)->name, "ipsec-mb") == 0)
			cr_expect_not(aead_row(i)->usable(aead_row(i)));
	cr_expect_str_neq(aead_chosen(AEAD_AES256GCM)->name, "ipsec-mb");
	cr_expect_str_neq(aead_chosen(AEAD_CHACHA20POLY1305)->name, "ipsec-mb");
}

/* Opens into a copy, so that sealed stays; every bit of every byte of changed is flipped once. */
static void flip_all(const struct aead_key *key, uint8_t *changed, size_t n, const uint8_t *aad,
		     size_t aad_bytes, const uint8_t *sealed, size_t length)
{
	static uint8_t out[LENGTH_MAX];

	for (size_t bit = 0; bit < n * 8; bit++) {
		changed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		cr_assert_eq(aead_open(key, 7, aad, aad_bytes, sealed, length, out), -EBADMSG,
			     "%s %zu, AAD %zu, bit %zu", key->backend->name, length, aad_bytes,
			     bit);
		changed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	cr_assert_eq(aead_open(key, 7, aad, aad_bytes, sealed, length, out), 0);
}

Test(aead_paths, every_flipped_bit_is_refused)
{
	static const size_t lengths[] = {0,   1,   15,  16,   17,   31,   32,  33,  63,
					 64,  65,  95,  96,   97,   127,  128, 129, 255,
					 256, 257, 383, 384,  385,  511,  512, 513, 640,
					 767, 768, 769, 1024, 1025, 1316, 2000};
	static const size_t aad_lengths[] = {1,   15,  16,  17,  48,  63,  64,  65,   127,  128,
					     129, 495, 496, 497, 511, 512, 513, 1024, 1025, 1348};
	static uint8_t sealed[LENGTH_MAX + AEAD_TAG_BYTES], aad[AAD_MAX], raw[AEAD_KEY_BYTES];

	random_start();
	for (size_t i = 0; aead_row(i); i++) {
		struct aead_backend *row = aead_row(i);
		struct aead_key key;

		if (!row->usable(row))
			continue;
		random_fill(raw, sizeof(raw));
		cr_assert_eq(aead_key_init_with(&key, row, raw), 0);
		for (size_t k = 0; k < sizeof(lengths) / sizeof(lengths[0]); k++) {
			random_fill(sealed, lengths[k]);
			aead_seal(&key, 7, aad, 16, sealed, lengths[k], sealed);
			flip_all(&key, sealed, lengths[k] + AEAD_TAG_BYTES, aad, 16, sealed,
				 lengths[k]);
		}
		for (size_t k = 0; k < sizeof(aad_lengths) / sizeof(aad_lengths[0]); k++) {
			random_fill(aad, aad_lengths[k]);
			for (size_t text = 0; text <= 20; text += 20) { /* 0: a relay's frame */
				aead_seal(&key, 7, aad, aad_lengths[k], sealed, text, sealed);
				flip_all(&key, aad, aad_lengths[k], aad, aad_lengths[k], sealed,
					 text);
				flip_all(&key, sealed, text + AEAD_TAG_BYTES, aad, aad_lengths[k],
					 sealed, text);
			}
		}
		aead_key_wipe(&key);
	}
}

/* The block counter passes 8 and 16 bits: no datagram is that long, but a loop may be wrong there.
 */
Test(aead_paths, long_texts_agree)
{
	enum { LONG = (1 << 20) + (1 << 16) + 5 };
	static uint8_t plain[LONG], sealed[LONG + AEAD_TAG_BYTES], out[LONG + AEAD_TAG_BYTES];
	struct aead_backend *rows[ROWS_MAX];
	uint8_t raw[AEAD_KEY_BYTES] = {3};

	for (enum aead_cipher cipher = 0; cipher < AEAD_CIPHERS; cipher++) {
		size_t n = rows_of(cipher, rows);

		for (size_t k = 0; k < n; k++) {
			struct aead_key key;

			cr_assert_eq(aead_key_init_with(&key, rows[k], raw), 0);
			aead_seal(&key, ~0ull, raw, 16, plain, LONG, out);
			if (k == 0)
				memcpy(sealed, out, sizeof(sealed));
			cr_expect(memcmp(out, sealed, sizeof(sealed)) == 0, "%s", rows[k]->name);
			cr_expect_eq(aead_open(&key, ~0ull, raw, 16, sealed, LONG, out), 0);
			cr_expect(memcmp(out, plain, LONG) == 0, "%s", rows[k]->name);
			aead_key_wipe(&key);
		}
	}
}
