/*
 * aead_test.c - every backend against published vectors, against each other, and against tampering.
 *
 * Buffers end at an unreadable page, so that a library that reads or writes one byte too far is
 * caught although its assembly is not instrumented.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <sodium.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unit/dataplane/random.h"
#include "unit/dataplane/upper_halves.h"
#include "vectors/aead_vectors.h"

#define LENGTH_MAX 2000
#define AAD_MAX    9000        /* a relay's frame is all AAD */
#define FENCE      (16u << 10) /* readable bytes before a fence */

TestSuite(aead, .timeout = 120);

/* The end of FENCE writable bytes, just before an unreadable page. */
static uint8_t *fenced_end(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *base = mmap(NULL, FENCE + page, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	cr_assert(base != MAP_FAILED);
	cr_assert_eq(mprotect(base + FENCE, page, PROT_NONE), 0);
	return base + FENCE;
}

static size_t from_hex(const char *hex, uint8_t *to, size_t max)
{
	size_t n;

	cr_assert_eq(sodium_hex2bin(to, max, hex, strlen(hex), NULL, &n, NULL), 0);
	return n;
}

/* Row i of cipher that this machine can run, or NULL; *end when there are no more. */
static struct aead_backend *usable_row(size_t i, enum aead_cipher cipher, bool *end)
{
	struct aead_backend *row = aead_row(i);

	*end = !row;
	return row && row->cipher == cipher && row->usable(row) ? row : NULL;
}

static void run_vector(const struct aead_backend *backend, const struct aead_vector *v)
{
	uint8_t raw[32], nonce[12], aad[256], plain[256], sealed[256], out[256];
	size_t aad_bytes = from_hex(v->aad, aad, sizeof(aad));
	size_t length = from_hex(v->plain, plain, sizeof(plain));
	struct aead_key key;

	from_hex(v->key, raw, sizeof(raw));
	from_hex(v->nonce, nonce, sizeof(nonce));
	cr_assert_eq(from_hex(v->sealed, sealed, sizeof(sealed)), length + AEAD_TAG_BYTES);
	cr_assert_eq(aead_key_init_with(&key, backend, raw), 0);

	backend->seal(&key, nonce, aad, aad_bytes, plain, length, out);
	cr_expect_arr_eq(out, sealed, length + AEAD_TAG_BYTES, "%s seals %s", backend->name,
			 v->name);
	memset(out, 0, sizeof(out));
	cr_expect_eq(backend->open(&key, nonce, aad, aad_bytes, sealed, length, out), 0,
		     "%s opens %s", backend->name, v->name);
	cr_expect_arr_eq(out, plain, length, "%s opens %s", backend->name, v->name);
	aead_key_wipe(&key);
}

Test(aead, vectors)
{
	unsigned run = 0;

	for (size_t i = 0; aead_row(i); i++) {
		struct aead_backend *row = aead_row(i);

		if (!row->usable(row)) {
			cr_log_warn("%s cannot run here", row->name);
			continue;
		}
		for (size_t k = 0; k < sizeof(aead_vectors) / sizeof(aead_vectors[0]); k++) {
			if (aead_vectors[k].cipher == row->cipher) {
				run_vector(row, &aead_vectors[k]);
				run++;
			}
		}
	}
	cr_expect_geq(run, 14, "at least libcrypto for both ciphers");
}

Test(aead, nonce_byte_order)
{
	uint8_t nonce[12];

	aead_nonce(AEAD_AES256GCM, 0x0102030405060708, nonce);
	cr_expect_arr_eq(nonce, "\0\0\0\0\1\2\3\4\5\6\7\10", 12);
	aead_nonce(AEAD_CHACHA20POLY1305, 0x0102030405060708, nonce);
	cr_expect_arr_eq(nonce, "\0\0\0\0\10\7\6\5\4\3\2\1", 12);
}

/* One random packet: sealed by all backends alike, opened by all, in place and disjoint. */
static void cross_check(struct aead_key *keys, size_t n, size_t length, size_t aad_bytes,
			uint8_t *in_end, uint8_t *out_end, uint8_t *aad_end, uint64_t seed)
{
	static uint8_t plain[LENGTH_MAX], sealed[LENGTH_MAX + AEAD_TAG_BYTES];
	uint64_t counter = random_u64();
	uint8_t *aad = aad_end - aad_bytes;

	random_fill(aad, aad_bytes);
	random_fill(plain, length);
	for (size_t k = 0; k < n; k++) {
		uint8_t *in = in_end - length, *out = out_end - length - AEAD_TAG_BYTES;
		const char *name = keys[k].backend->name;

		memcpy(in, plain, length);
		aead_seal(&keys[k], counter, aad, aad_bytes, in, length, out);
		if (k == 0)
			memcpy(sealed, out, length + AEAD_TAG_BYTES);
		cr_assert(memcmp(out, sealed, length + AEAD_TAG_BYTES) == 0,
			  "%s differs from %s: length %zu aad %zu seed %#llx", name,
			  keys[0].backend->name, length, aad_bytes, (unsigned long long)seed);

		in = in_end - length - AEAD_TAG_BYTES; /* in place, room for the tag behind */
		memcpy(in, plain, length);
		aead_seal(&keys[k], counter, aad, aad_bytes, in, length, in);
		cr_assert(memcmp(in, sealed, length + AEAD_TAG_BYTES) == 0, "%s in place, %zu",
			  name, length);

		out = out_end - length; /* open writes no tag */
		cr_assert_eq(aead_open(&keys[k], counter, aad, aad_bytes, in, length, out), 0,
			     "%s %zu %zu", name, length, aad_bytes);
		cr_assert(memcmp(out, plain, length) == 0);
		cr_assert_eq(aead_open(&keys[k], counter, aad, aad_bytes, in, length, in), 0);
		cr_assert(memcmp(in, plain, length) == 0, "%s opens in place, %zu", name, length);
	}
}

static void cross_check_cipher(enum aead_cipher cipher)
{
	static struct aead_key keys[8];
	uint64_t seed = random_start();
	uint8_t *in = fenced_end(), *out = fenced_end(), *aad = fenced_end(), raw[32];
	size_t n = 0;
	bool end = false;

	random_fill(raw, sizeof(raw));
	for (size_t i = 0; !end; i++) {
		struct aead_backend *row = usable_row(i, cipher, &end);

		if (row)
			cr_assert_eq(aead_key_init_with(&keys[n++], row, raw), 0);
	}
	for (size_t length = 0; length <= LENGTH_MAX; length++)
		cross_check(keys, n, length, length % 7 == 0 ? random_below(AAD_MAX) : 16, in, out,
			    aad, seed);
	for (size_t aad_bytes = 0; aad_bytes <= AAD_MAX; aad_bytes++) {
		cross_check(keys, n, 0, aad_bytes, in, out, aad, seed);
		cross_check(keys, n, 1 + random_below(300), aad_bytes, in, out, aad, seed);
	}
	for (size_t k = 0; k < n; k++)
		aead_key_wipe(&keys[k]);
}

Test(aead, backends_agree_on_aes)
{
	cross_check_cipher(AEAD_AES256GCM);
}

Test(aead, backends_agree_on_chacha)
{
	cross_check_cipher(AEAD_CHACHA20POLY1305);
}

/* Every single bit of ciphertext, tag and AAD, the counter, and the lengths. */
static void tamper(struct aead_backend *row)
{
	enum { LENGTH = 75, AAD = 48 };
	uint8_t raw[32] = {7}, aad[AAD] = {1}, plain[LENGTH] = {2};
	uint8_t sealed[LENGTH + AEAD_TAG_BYTES], out[LENGTH + AEAD_TAG_BYTES];
	struct aead_key key;

	cr_assert_eq(aead_key_init_with(&key, row, raw), 0);
	aead_seal(&key, 300, aad, AAD, plain, LENGTH, sealed);
	for (size_t bit = 0; bit < sizeof(sealed) * 8; bit++) {
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		cr_assert_eq(aead_open(&key, 300, aad, AAD, sealed, LENGTH, out), -EBADMSG,
			     "%s bit %zu", row->name, bit);
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t bit = 0; bit < AAD * 8; bit++) {
		aad[bit / 8] ^= (uint8_t)(1 << bit % 8);
		cr_assert_eq(aead_open(&key, 300, aad, AAD, sealed, LENGTH, out), -EBADMSG,
			     "%s AAD bit %zu", row->name, bit);
		aad[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	cr_expect_eq(aead_open(&key, 301, aad, AAD, sealed, LENGTH, out), -EBADMSG);
	cr_expect_eq(aead_open(&key, 300, aad, AAD - 1, sealed, LENGTH, out), -EBADMSG);
	cr_expect_eq(aead_open(&key, 300, aad, AAD, sealed, LENGTH - 1, out), -EBADMSG);
	cr_expect_eq(aead_open(&key, 300, aad, AAD, sealed, LENGTH, out), 0);
	aead_key_wipe(&key);
}

Test(aead, one_flipped_bit_is_refused)
{
	for (size_t i = 0; aead_row(i); i++)
		if (aead_row(i)->usable(aead_row(i)))
			tamper(aead_row(i));
}

/* In each length the code takes another way out. Ours only: libcrypto's does not clear them. */
static void leaves_clear(struct aead_backend *row)
{
	enum { LENGTH = 1400 };
	static uint8_t bytes[LENGTH + AEAD_TAG_BYTES], out[LENGTH + AEAD_TAG_BYTES];
	uint8_t raw[32] = {9}, nonce[12] = {0};
	struct aead_key key;

	cr_assert_eq(aead_key_init_with(&key, row, raw), 0);
	for (size_t length = 0; length <= LENGTH; length++)
		for (size_t aad_bytes = 16; aad_bytes <= LENGTH; aad_bytes += LENGTH - 16) {
			upper_halves_clear();
			row->seal(&key, nonce, out, aad_bytes, bytes, length, out);
			cr_assert_not(upper_halves_in_use(), "%s seals %zu + %zu", row->name,
				      length, aad_bytes);
			(void)row->open(&key, nonce, out, aad_bytes, bytes, length, out);
			cr_assert_not(upper_halves_in_use(), "%s opens %zu + %zu", row->name,
				      length, aad_bytes);
		}
	aead_key_wipe(&key);
}

Test(aead, upper_halves_of_the_registers_are_left_clear)
{
	if (!upper_halves_told())
		cr_skip_test("this CPU does not tell which registers are in use");
	for (size_t i = 0; aead_row(i); i++)
		if (strncmp(aead_row(i)->name, "vaes", 4) == 0 && aead_row(i)->usable(aead_row(i)))
			leaves_clear(aead_row(i));
}

Test(aead, wipe_leaves_zeros)
{
	static const struct aead_key zero;
	struct aead_key key;
	uint8_t raw[32] = {9};

	for (size_t i = 0; aead_row(i); i++) {
		if (!aead_row(i)->usable(aead_row(i)))
			continue;
		cr_assert_eq(aead_key_init_with(&key, aead_row(i), raw), 0);
		aead_key_wipe(&key);
		cr_expect_arr_eq(&key, &zero, sizeof(key), "%s", aead_row(i)->name);
		aead_key_wipe(&key); /* twice is harmless, as tunnel_free does on unused keys */
	}
}

Test(aead, selection_measures_both_ciphers)
{
	aead_select();
	for (enum aead_cipher cipher = 0; cipher < AEAD_CIPHERS; cipher++) {
		const struct aead_backend *backend = aead_chosen(cipher);

		cr_assert_not_null(backend);
		cr_expect_eq(backend->cipher, cipher);
		cr_expect_gt(aead_chosen_speed(cipher), 0);
		cr_log_info("%s %s: %u MB/s", backend->name, backend->architecture,
			    aead_chosen_speed(cipher));
	}
}

Test(aead, without_selection_a_usable_row_serves)
{
	struct aead_key key;
	uint8_t raw[32] = {1}, out[16];

	for (enum aead_cipher cipher = 0; cipher < AEAD_CIPHERS; cipher++) {
		cr_assert_eq(aead_key_init(&key, cipher, raw), 0);
		aead_seal(&key, 3, raw, 16, NULL, 0, out);
		cr_expect_eq(aead_open(&key, 3, raw, 16, out, 0, NULL), 0);
		cr_expect_eq(aead_chosen_speed(cipher), 0);
		aead_key_wipe(&key);
	}
}

Test(aead, environment_names_the_backend)
{
	setenv("M57_AEAD", "libcrypto", 1);
	aead_select();
	cr_expect_str_eq(aead_chosen(AEAD_AES256GCM)->name, "libcrypto");
	cr_expect_str_eq(aead_chosen(AEAD_CHACHA20POLY1305)->name, "libcrypto");
}

Test(aead, environment_names_the_last_row)
{
	setenv("M57_AEAD", "libsodium", 1);
	aead_select();
	cr_expect_str_eq(aead_chosen(AEAD_CHACHA20POLY1305)->name, "libsodium");
}

Test(aead, unknown_name_in_the_environment_leaves_the_choice)
{
	setenv("M57_AEAD", "rot13", 1);
	aead_select();
	cr_expect_not_null(aead_chosen(AEAD_AES256GCM));
	cr_expect_gt(aead_chosen_speed(AEAD_AES256GCM), 0);
}

Test(aead, sealing_and_opening_allocate_nothing)
{
	uint8_t raw[32] = {3}, packet[512 + AEAD_TAG_BYTES] = {0};

	for (size_t i = 0; aead_row(i); i++) {
		struct aead_key key;

		if (!aead_row(i)->usable(aead_row(i)))
			continue;
		cr_assert_eq(aead_key_init_with(&key, aead_row(i), raw), 0);
		struct mallinfo2 before = mallinfo2();

		for (uint64_t counter = 3; counter < 1000; counter++) {
			aead_seal(&key, counter, raw, 16, packet, 512, packet);
			cr_assert_eq(aead_open(&key, counter, raw, 16, packet, 512, packet), 0);
		}
		struct mallinfo2 after = mallinfo2();

		cr_expect_eq(after.uordblks, before.uordblks, "%s", aead_row(i)->name);
		aead_key_wipe(&key);
	}
}

/* More threads than a libcrypto key has contexts, all on one key. */
struct sharer {
	const struct aead_key *key;
	uint64_t first;
	unsigned failures;
};

static void *share(void *argument)
{
	struct sharer *self = argument;
	uint8_t aad[16] = {0}, packet[200 + AEAD_TAG_BYTES];

	for (uint64_t counter = self->first; counter < self->first + 3000; counter++) {
		memset(packet, (int)counter, 200);
		aead_seal(self->key, counter, aad, sizeof(aad), packet, 200, packet);
		if (aead_open(self->key, counter, aad, sizeof(aad), packet, 200, packet) != 0 ||
		    packet[0] != (uint8_t)counter || packet[199] != (uint8_t)counter)
			self->failures++;
	}
	return NULL;
}

Test(aead, threads_share_one_key)
{
	enum { THREADS = 5 };
	uint8_t raw[32] = {5};

	for (size_t i = 0; aead_row(i); i++) {
		struct sharer sharers[THREADS];
		pthread_t threads[THREADS];
		struct aead_key key;

		if (!aead_row(i)->usable(aead_row(i)))
			continue;
		cr_assert_eq(aead_key_init_with(&key, aead_row(i), raw), 0);
		for (unsigned t = 0; t < THREADS; t++) {
			sharers[t] = (struct sharer){&key, t * 100000, 0};
			cr_assert_eq(pthread_create(&threads[t], NULL, share, &sharers[t]), 0);
		}
		for (unsigned t = 0; t < THREADS; t++) {
			pthread_join(threads[t], NULL);
			cr_expect_eq(sharers[t].failures, 0, "%s", aead_row(i)->name);
		}
		aead_key_wipe(&key);
	}
}
