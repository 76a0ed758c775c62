/*
 * aead_vaes.c - AES-256-GCM for CPUs with VAES and VPCLMULQDQ on 256-bit registers.
 *
 * AMD Zen 3 and Intel's client cores since Alder Lake have these instructions and no AVX-512; the
 * libraries of Debian 12 and 13 use them with AVX-512 only. Where another row is faster,
 * aead_select() leaves this one aside; with AVX-512 that is aead_vaes512.c, the same in 512 bits.
 *
 * Theory of operation. GCM is AES in counter mode, and GHASH: the blocks of AAD, ciphertext and
 * lengths are the coefficients of a polynomial over GF(2^128), whose value at H = AES(key, 0),
 * encrypted with counter 1, is the tag.
 *
 *  - Registers hold two blocks. Four of them (8 blocks, 128 bytes: a "batch") go through the AES
 *    rounds together. Batches do not depend on each other, so the CPU starts the next one while
 *    this one waits; more registers would only spill.
 *  - Horner's rule costs a multiplication and a reduction per block, each waiting for the one
 *    before. Here 8 blocks are multiplied by H^8 .. H^1 (16 by H^16 .. H^1 where two batches are
 *    left), the products are added, and the sum is reduced once. The steps stand between the AES
 *    rounds of a batch: opening hashes the batch it decrypts, sealing hashes the one before.
 *  - AAD needs no AES, so only the multiplier's pace counts: 32 blocks share a reduction. A relay's
 *    frame is all AAD (PROTOCOL.md 7.3); its tag has a function of its own.
 *  - A product is three 64-bit multiplications (Karatsuba); the sums of the halves of the powers
 *    are kept with the key.
 *  - Bits within a GHASH block run the other way than in a register. Bytes are reversed on loading;
 *    the bits are left, and the product that therefore lies one bit too low is put right for all
 *    time by keeping H^i times x.
 *  - What is left, 0 to 127 bytes, is a tail: code of its own per number of registers, so that a
 *    packet of 64 bytes pays two registers of AES and not four. The lengths block and the
 * encryption of counter 1 ride along with it.
 *
 * Fixed cost is what short packets pay. The nonce is loaded as 4 and 8 bytes, the way aead_nonce()
 * stores it: a wider load would wait until both have left the store buffer. Sealing writes whole
 * blocks, because the tag's place behind the ciphertext is writable; nothing is ever read or
 * written outside the contract's ranges.
 *
 * Constant time: no table and no branch depends on key, plaintext or tag, only on lengths. What is
 * left on the stack and in registers is not wiped, as in aead_ipsecmb.c.
 */
#ifdef __x86_64__

#include <cpuid.h>

#include "crypto/vaes.h"

#define TARGET __attribute__((target("avx2,aes,pclmul,vaes,vpclmulqdq")))
#define INLINE static inline __attribute__((always_inline)) TARGET

#define BATCH        128 /* bytes: 8 blocks in 4 registers */
#define BATCH_BLOCKS 8
#define WIDE         512 /* bytes of AAD with one reduction: 32 blocks */

/* Sums of products, not yet reduced: low + middle * x^64 + high * x^128, in both lanes. */
struct sums {
	__m256i low, middle, high;
};

struct batch {
	__m256i a, b, c, d;
};

/* 16 bytes of ones, then of zeros: loading at 16 - n gives a mask of n bytes. */
static const uint8_t mask_bytes[2 * BLOCK] = {
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
};

INLINE __m256i load_pair(const void *from)
{
	return _mm256_loadu_si256((const __m256i_u *)from);
}

INLINE void store_pair(void *to, __m256i pair)
{
	_mm256_storeu_si256((__m256i_u *)to, pair);
}

INLINE __m256i reverse_pair(__m256i pair)
{
	return _mm256_shuffle_epi8(pair, _mm256_broadcastsi128_si256(reverse_mask()));
}

/* The first n bytes, 1 to 16, and zeros. Two overlapping loads, never one outside. */
INLINE __m128i load_short(const uint8_t *from, size_t n)
{
	uint64_t low, high = 0;

	if (n == BLOCK)
		return load(from);
	if (n >= 8) {
		low = load_word(from, 8);
		if (n > 8)
			high = load_word(from + n - 8, 8) >> (8 * (BLOCK - n));
	} else if (n >= 4) {
		low = load_word(from, 4) | load_word(from + n - 4, 4) << (8 * (n - 4));
	} else {
		low = from[0] | (uint64_t)from[n / 2] << (8 * (n / 2)) |
		      (uint64_t)from[n - 1] << (8 * (n - 1));
	}
	return _mm_set_epi64x((long long)high, (long long)low);
}

/* The counterpart: writes n bytes, 1 to 16. */
INLINE void store_short(uint8_t *to, __m128i block, size_t n)
{
	uint64_t low = (uint64_t)_mm_cvtsi128_si64(block);

	if (n == BLOCK) {
		store(to, block);
		return;
	}
	if (n & 8) {
		memcpy(to, &low, 8);
		low = (uint64_t)_mm_extract_epi64(block, 1);
		to += 8;
	}
	if (n & 4) {
		memcpy(to, &low, 4);
		low >>= 32;
		to += 4;
	}
	if (n & 2) {
		memcpy(to, &low, 2);
		low >>= 16;
		to += 2;
	}
	if (n & 1)
		*to = (uint8_t)low;
}

/* Keeps the first n bytes, 1 to 16. */
INLINE __m128i keep(__m128i block, size_t n)
{
	return _mm_and_si128(block, load(mask_bytes + BLOCK - n));
}

/* --- GHASH */

INLINE struct sums multiply(__m256i pair, const struct schedule *s, size_t power)
{
	__m256i h = load_pair(&s->power[POWERS - power]);
	__m256i halves = load_pair(&s->halves[HALVES - power]);
	__m256i sum = _mm256_xor_si256(pair, _mm256_shuffle_epi32(pair, 0x4e));

	return (struct sums){
		.low = _mm256_clmulepi64_epi128(pair, h, 0x00),
		.middle = _mm256_clmulepi64_epi128(sum, halves, 0x00),
		.high = _mm256_clmulepi64_epi128(pair, h, 0x11),
	};
}

/* Adds pair (reversed bytes) times H^power and H^(power - 1). */
INLINE void add(struct sums *sums, __m256i pair, const struct schedule *s, size_t power)
{
	struct sums product = multiply(pair, s, power);

	sums->low = _mm256_xor_si256(sums->low, product.low);
	sums->middle = _mm256_xor_si256(sums->middle, product.middle);
	sums->high = _mm256_xor_si256(sums->high, product.high);
}

/*
 * The block that the sums stand for. x^128 is x^127 + x^126 + x^121 + 1 in this bit order, so 64
 * bits are cleared from below by adding them, times 0xc2 << 56, 64 bits further up; twice.
 */
INLINE __m128i reduce(const struct sums *sums)
{
	const __m256i poly = _mm256_set1_epi64x((long long)0xc200000000000000u);
	__m256i low = sums->low, high = sums->high;
	__m256i middle = _mm256_xor_si256(sums->middle, _mm256_xor_si256(low, high));

	middle = _mm256_xor_si256(middle, _mm256_xor_si256(_mm256_shuffle_epi32(low, 0x4e),
							   _mm256_clmulepi64_epi128(low, poly, 0)));
	high = _mm256_xor_si256(high, _mm256_xor_si256(_mm256_shuffle_epi32(middle, 0x4e),
						       _mm256_clmulepi64_epi128(middle, poly, 0)));
	return _mm_xor_si128(_mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1));
}

INLINE struct sums no_sums(void)
{
	__m256i zero = _mm256_setzero_si256();

	return (struct sums){zero, zero, zero};
}

/* A batch of ciphertext (or AAD) on its way into the hash; its first block gets H^power. */
struct hashing {
	const uint8_t *from; /* in memory; or NULL: in registers */
	struct batch sealed; /* as crypt_batch() left them: waiting for its stores costs 10 % */
	size_t power;        /* 8 or 16, or 0: nothing is hashed */
	__m128i hash;        /* goes into the first block, or zero */
	struct sums sums;    /* grow */
};

/* Pair i, 0 to 3. */
INLINE void hash_step(struct hashing *h, const struct schedule *s, unsigned i)
{
	const struct batch *r = &h->sealed;
	__m256i pair;

	if (!h->power)
		return;
	if (h->from)
		pair = load_pair(h->from + i * 2 * BLOCK);
	else
		pair = i == 0 ? r->a : i == 1 ? r->b : i == 2 ? r->c : r->d;
	pair = reverse_pair(pair);
	if (i == 0)
		pair = _mm256_xor_si256(pair, _mm256_zextsi128_si256(h->hash));
	add(&h->sums, pair, s, h->power - 2 * i);
}

/* A whole batch with nothing beside it. Returns the hash. */
INLINE __m128i hash_batch(const struct schedule *s, struct hashing *h)
{
	h->power = BATCH_BLOCKS;
	h->sums = no_sums();
	hash_step(h, s, 0);
	hash_step(h, s, 1);
	hash_step(h, s, 2);
	hash_step(h, s, 3);
	return reduce(&h->sums);
}

/*
 * The same for any power. The halves of the highest are not where multiply() looks (vaes.h), so
 * they are made here: two cheap steps more, which the multiplier's pace hides.
 */
INLINE void add_any(struct sums *sums, __m256i pair, const struct schedule *s, size_t power)
{
	__m256i h = load_pair(&s->power[POWERS - power]);
	__m256i halves = _mm256_xor_si256(h, _mm256_shuffle_epi32(h, 0x4e));
	__m256i sum = _mm256_xor_si256(pair, _mm256_shuffle_epi32(pair, 0x4e));

	sums->low = _mm256_xor_si256(sums->low, _mm256_clmulepi64_epi128(pair, h, 0x00));
	sums->middle = _mm256_xor_si256(sums->middle, _mm256_clmulepi64_epi128(sum, halves, 0x00));
	sums->high = _mm256_xor_si256(sums->high, _mm256_clmulepi64_epi128(pair, h, 0x11));
}

/* Adds bytes of AAD, at most WIDE; hash goes into the first block, which gets H^power. */
INLINE void hash_run(struct sums *sums, const struct schedule *s, const uint8_t *aad, size_t bytes,
		     size_t power, __m128i hash)
{
	__m256i carry = _mm256_zextsi128_si256(hash);

#pragma GCC unroll 8
	for (; bytes >= 2 * BLOCK; bytes -= 2 * BLOCK, aad += 2 * BLOCK, power -= 2) {
		add_any(sums, _mm256_xor_si256(reverse_pair(load_pair(aad)), carry), s, power);
		carry = _mm256_setzero_si256();
	}
	if (bytes > BLOCK) {
		__m128i last = reverse(load_short(aad + BLOCK, bytes - BLOCK));
		__m256i pair = _mm256_set_m128i(last, reverse(load(aad)));

		add_any(sums, _mm256_xor_si256(pair, carry), s, power);
	} else if (bytes > 0) {
		__m256i pair = _mm256_zextsi128_si256(reverse(load_short(aad, bytes)));

		add_any(sums, _mm256_xor_si256(pair, carry), s, power);
	}
}

/* All of the AAD but its last 1 to WIDE bytes; *aad and *bytes are then those. */
INLINE __m128i hash_wide(const struct schedule *s, const uint8_t **aad, size_t *bytes)
{
	__m128i hash = _mm_setzero_si128();

	for (; *bytes > WIDE; *bytes -= WIDE, *aad += WIDE) {
		struct sums sums = no_sums();

		hash_run(&sums, s, *aad, WIDE, WIDE / BLOCK, hash);
		hash = reduce(&sums);
	}
	return hash;
}

/* GHASH of the AAD, padded to whole blocks. A header is one block. */
INLINE __m128i hash_aad(const struct schedule *s, const uint8_t *aad, size_t bytes)
{
	struct sums sums = no_sums();

	if (bytes == BLOCK) {
		sums = multiply(_mm256_zextsi128_si256(reverse(load(aad))), s, 1);
	} else {
		__m128i hash = hash_wide(s, &aad, &bytes);

		hash_run(&sums, s, aad, bytes, (bytes + BLOCK - 1) / BLOCK, hash);
	}
	return reduce(&sums);
}

/* --- AES in counter mode */

INLINE __m256i round_key(const struct schedule *s, unsigned i)
{
	return _mm256_broadcastsi128_si256(s->round[i]);
}

/* The next two counter blocks after the first AES step. counters: reversed bytes. */
INLINE __m256i next_counters(const struct schedule *s, __m256i *counters)
{
	__m256i blocks = reverse_pair(*counters);

	*counters = _mm256_add_epi32(*counters, _mm256_set_epi32(0, 0, 0, 2, 0, 0, 0, 2));
	return _mm256_xor_si256(blocks, round_key(s, 0));
}

INLINE void aes_round(struct batch *x, const struct schedule *s, unsigned i)
{
	__m256i key = round_key(s, i);

	x->a = _mm256_aesenc_epi128(x->a, key);
	x->b = _mm256_aesenc_epi128(x->b, key);
	x->c = _mm256_aesenc_epi128(x->c, key);
	x->d = _mm256_aesenc_epi128(x->d, key);
}

/* The last round adds its key at the end: adding the text to that key saves waiting for it. */
INLINE __m256i aes_last(__m256i x, __m256i key, __m256i text)
{
	return _mm256_aesenclast_epi128(x, _mm256_xor_si256(key, text));
}

/* Encrypts or decrypts a batch, hashing h meanwhile; returns the result, which it has also written.
 */
INLINE struct batch crypt_batch(const struct schedule *s, __m256i *counters, const uint8_t *in,
				uint8_t *out, struct hashing *h)
{
	__m256i key = round_key(s, ROUNDS);
	struct batch x;

	x.a = next_counters(s, counters);
	x.b = next_counters(s, counters);
	x.c = next_counters(s, counters);
	x.d = next_counters(s, counters);
	aes_round(&x, s, 1);
	aes_round(&x, s, 2);
	hash_step(h, s, 0);
	aes_round(&x, s, 3);
	aes_round(&x, s, 4);
	aes_round(&x, s, 5);
	hash_step(h, s, 1);
	aes_round(&x, s, 6);
	aes_round(&x, s, 7);
	aes_round(&x, s, 8);
	hash_step(h, s, 2);
	aes_round(&x, s, 9);
	aes_round(&x, s, 10);
	aes_round(&x, s, 11);
	hash_step(h, s, 3);
	aes_round(&x, s, 12);
	aes_round(&x, s, 13);
	x.a = aes_last(x.a, key, load_pair(in));
	x.b = aes_last(x.b, key, load_pair(in + 32));
	x.c = aes_last(x.c, key, load_pair(in + 64));
	x.d = aes_last(x.d, key, load_pair(in + 96));
	store_pair(out, x.a);
	store_pair(out + 32, x.b);
	store_pair(out + 64, x.c);
	store_pair(out + 96, x.d);
	return x;
}

/*
 * Runs n batches, 1 or 2, with one reduction. Opening hashes what it reads; sealing hashes *sealed,
 * the batch before, and leaves its last one there.
 */
INLINE __m128i crypt_batches(const struct schedule *s, __m256i *counters, __m128i hash, unsigned n,
			     const uint8_t *in, uint8_t *out, struct batch *sealed)
{
	struct hashing h = {.power = n * BATCH_BLOCKS, .hash = hash, .sums = no_sums()};

	if (sealed)
		h.sealed = *sealed;
	else
		h.from = in;
	h.sealed = crypt_batch(s, counters, in, out, &h);
	if (n == 2) {
		h.from = sealed ? NULL : in + BATCH;
		h.power = BATCH_BLOCKS;
		h.hash = _mm_setzero_si128();
		h.sealed = crypt_batch(s, counters, in + BATCH, out + BATCH, &h);
	}
	if (sealed)
		*sealed = h.sealed;
	return reduce(&h.sums);
}

/* --- the tail */

/* What a tail works on, and how far it has come. */
struct tail {
	const struct schedule *s;
	const uint8_t *in;
	uint8_t *out;
	size_t bytes;  /* left */
	size_t power;  /* of H, for the next block */
	__m256i carry; /* the hash so far, to be added to the first block */
	struct sums sums;
};

/* A whole pair: stream is its counter blocks before the last round. */
INLINE void tail_pair(struct tail *tail, __m256i stream, bool sealing)
{
	__m256i text = load_pair(tail->in);
	__m256i result = aes_last(stream, round_key(tail->s, ROUNDS), text);
	__m256i cipher = reverse_pair(sealing ? result : text);

	store_pair(tail->out, result);
	add(&tail->sums, _mm256_xor_si256(cipher, tail->carry), tail->s, tail->power);
	tail->carry = _mm256_setzero_si256();
	tail->power -= 2;
	tail->bytes -= 2 * BLOCK;
	tail->in += 2 * BLOCK;
	tail->out += 2 * BLOCK;
}

/* The last block, 1 to 16 bytes. Returns the ciphertext, padded with zeros, bytes reversed. */
INLINE __m128i tail_block(struct tail *tail, __m128i stream, bool sealing)
{
	size_t n = tail->bytes;
	__m128i cipher;

	if (sealing) { /* a whole block may be written: the tag's place follows */
		cipher = _mm_xor_si128(stream, load_short(tail->in, n));
		store(tail->out, cipher);
		cipher = keep(cipher, n);
	} else { /* a whole block can be read: the tag follows */
		cipher = keep(load(tail->in), n);
		store_short(tail->out, _mm_xor_si128(stream, cipher), n);
	}
	return reverse(cipher);
}

/* The last pair, 1 to 32 bytes, and the lengths block. */
INLINE void tail_end(struct tail *tail, __m256i stream, __m128i lengths, bool sealing)
{
	__m128i first, second;

	stream = aes_last(stream, round_key(tail->s, ROUNDS), _mm256_setzero_si256());
	first = _mm256_castsi256_si128(stream);
	second = _mm256_extracti128_si256(stream, 1);
	if (tail->bytes > BLOCK) {
		__m128i text = load(tail->in);

		first = _mm_xor_si128(first, text);
		store(tail->out, first);
		first = reverse(sealing ? first : text);
		tail->bytes -= BLOCK;
		tail->in += BLOCK;
		tail->out += BLOCK;
		second = tail_block(tail, second, sealing);
		add(&tail->sums, _mm256_zextsi128_si256(lengths), tail->s, 1);
	} else {
		first = tail_block(tail, first, sealing);
		second = lengths;
	}
	add(&tail->sums, _mm256_xor_si256(_mm256_set_m128i(second, first), tail->carry), tail->s,
	    tail->power);
}

INLINE void tail_round(struct batch *x, __m128i *mask, const struct schedule *s, unsigned i)
{
	*mask = _mm_aesenc_si128(*mask, s->round[i]);
	aes_round(x, s, i);
}

/*
 * Encrypts or decrypts the rest in n registers (32 (n - 1) < bytes <= 32 n), hashes it and the
 * lengths, and returns the tag. mask: counter block 1. n and sealing are constants where this is
 * called; the compiler leaves out the rounds of registers that nobody looks at.
 */
INLINE __m128i crypt_tail(struct tail *tail, unsigned n, __m256i counters, __m128i mask,
			  __m128i lengths, bool sealing)
{
	const struct schedule *s = tail->s;
	struct batch x;

	x.a = next_counters(s, &counters);
	x.b = next_counters(s, &counters);
	x.c = next_counters(s, &counters);
	x.d = next_counters(s, &counters);
	mask = _mm_xor_si128(mask, s->round[0]);
	tail_round(&x, &mask, s, 1);
	tail_round(&x, &mask, s, 2);
	tail_round(&x, &mask, s, 3);
	tail_round(&x, &mask, s, 4);
	tail_round(&x, &mask, s, 5);
	tail_round(&x, &mask, s, 6);
	tail_round(&x, &mask, s, 7);
	tail_round(&x, &mask, s, 8);
	tail_round(&x, &mask, s, 9);
	tail_round(&x, &mask, s, 10);
	tail_round(&x, &mask, s, 11);
	tail_round(&x, &mask, s, 12);
	tail_round(&x, &mask, s, 13);

	tail->sums = no_sums();
	if (n > 1)
		tail_pair(tail, x.a, sealing);
	if (n > 2)
		tail_pair(tail, x.b, sealing);
	if (n > 3)
		tail_pair(tail, x.c, sealing);
	if (n > 0)
		tail_end(tail, n == 1 ? x.a : n == 2 ? x.b : n == 3 ? x.c : x.d, lengths, sealing);
	else
		add(&tail->sums, _mm256_xor_si256(_mm256_zextsi128_si256(lengths), tail->carry), s,
		    1);
	mask = _mm_aesenclast_si128(mask, s->round[ROUNDS]);
	return _mm_xor_si128(mask, reverse(reduce(&tail->sums)));
}

/* --- the whole packet */

/* The tag of a packet without payload: a relay's frame is all AAD. */
INLINE __m128i frame_tag(const struct schedule *s, const uint8_t *nonce, const uint8_t *aad,
			 size_t bytes)
{
	__m128i mask = _mm_xor_si128(first_counter(nonce), s->round[0]);
	__m128i lengths = lengths_block(bytes, 0), hash;
	struct sums sums;

#pragma GCC unroll 16
	for (unsigned i = 1; i < ROUNDS; i++)
		mask = _mm_aesenc_si128(mask, s->round[i]);
	mask = _mm_aesenclast_si128(mask, s->round[ROUNDS]);
	hash = hash_wide(s, &aad, &bytes);
	sums = multiply(_mm256_zextsi128_si256(lengths), s, 1);
	hash_run(&sums, s, aad, bytes, (bytes + BLOCK - 1) / BLOCK + 1, hash);
	return _mm_xor_si128(mask, reverse(reduce(&sums)));
}

/* Encrypts or decrypts and returns the tag that the packet has. sealing is constant. */
INLINE __m128i crypt_packet(const struct schedule *s, const uint8_t *nonce, const uint8_t *aad,
			    size_t aad_bytes, const uint8_t *in, size_t length, uint8_t *out,
			    bool sealing)
{
	__m128i mask = first_counter(nonce);
	__m128i block = reverse(mask);
	__m256i counters = _mm256_add_epi32(_mm256_broadcastsi128_si256(block),
					    _mm256_set_epi32(0, 0, 0, 2, 0, 0, 0, 1));
	__m128i lengths = lengths_block(aad_bytes, length);
	__m128i hash = hash_aad(s, aad, aad_bytes);
	struct tail tail = {.s = s};
	struct batch sealed = {0};
	bool late = false; /* sealed is not hashed yet */

	if (sealing && length >= BATCH) {
		sealed = crypt_batch(s, &counters, in, out, &(struct hashing){0});
		in += BATCH;
		out += BATCH;
		length -= BATCH;
		late = true;
	}
	for (; length >= 2 * BATCH; length -= 2 * BATCH) {
		hash = crypt_batches(s, &counters, hash, 2, in, out, sealing ? &sealed : NULL);
		in += 2 * BATCH;
		out += 2 * BATCH;
	}
	if (length >= BATCH) {
		hash = crypt_batches(s, &counters, hash, 1, in, out, sealing ? &sealed : NULL);
		in += BATCH;
		out += BATCH;
		length -= BATCH;
	}
	if (late)
		hash = hash_batch(s, &(struct hashing){.sealed = sealed, .hash = hash});
	tail.in = in;
	tail.out = out;
	tail.bytes = length;
	tail.power = (length + BLOCK - 1) / BLOCK + 1;
	tail.carry = _mm256_zextsi128_si256(hash);
	switch ((length + 2 * BLOCK - 1) / (2 * BLOCK)) {
	case 0:
		return crypt_tail(&tail, 0, counters, mask, lengths, sealing);
	case 1:
		return crypt_tail(&tail, 1, counters, mask, lengths, sealing);
	case 2:
		return crypt_tail(&tail, 2, counters, mask, lengths, sealing);
	case 3:
		return crypt_tail(&tail, 3, counters, mask, lengths, sealing);
	default:
		return crypt_tail(&tail, 4, counters, mask, lengths, sealing);
	}
}

/* Both leave the upper halves of the registers clear; aead_vaes512.c says why. */
TARGET static void seal(const struct aead_key *key, const uint8_t nonce[AEAD_NONCE_BYTES],
			const uint8_t *aad, size_t aad_bytes, const uint8_t *in, size_t length,
			uint8_t *out)
{
	const struct schedule *s = (const struct schedule *)key->state;

	if (length == 0)
		store(out, frame_tag(s, nonce, aad, aad_bytes));
	else
		store(out + length, crypt_packet(s, nonce, aad, aad_bytes, in, length, out, true));
	_mm256_zeroupper();
}

TARGET static int open(const struct aead_key *key, const uint8_t nonce[AEAD_NONCE_BYTES],
		       const uint8_t *aad, size_t aad_bytes, const uint8_t *in, size_t length,
		       uint8_t *out)
{
	const struct schedule *s = (const struct schedule *)key->state;
	__m128i received = load(in + length), tag;

	if (length == 0)
		tag = frame_tag(s, nonce, aad, aad_bytes);
	else
		tag = crypt_packet(s, nonce, aad, aad_bytes, in, length, out, false);
	int result = tag_check(tag, received);

	_mm256_zeroupper();
	return result;
}

/* --- the key */

/* The next four words of the key expansion: previous four, and the word that enters. */
INLINE __m128i expand(__m128i previous, __m128i entering)
{
	previous = _mm_xor_si128(previous, _mm_slli_si128(previous, 4));
	previous = _mm_xor_si128(previous, _mm_slli_si128(previous, 8));
	return _mm_xor_si128(previous, entering);
}

TARGET static void expand_key(struct schedule *s, const uint8_t raw[AEAD_KEY_BYTES])
{
	__m128i even = load(raw), odd = load(raw + BLOCK);

	s->round[0] = even;
	s->round[1] = odd;
#define EVEN(i, constant)                                                                          \
	even = expand(even, _mm_shuffle_epi32(_mm_aeskeygenassist_si128(odd, constant), 0xff));    \
	s->round[i] = even
#define ODD(i)                                                                                     \
	odd = expand(odd, _mm_shuffle_epi32(_mm_aeskeygenassist_si128(even, 0), 0xaa));            \
	s->round[i] = odd
	EVEN(2, 0x01);
	ODD(3);
	EVEN(4, 0x02);
	ODD(5);
	EVEN(6, 0x04);
	ODD(7);
	EVEN(8, 0x08);
	ODD(9);
	EVEN(10, 0x10);
	ODD(11);
	EVEN(12, 0x20);
	ODD(13);
	EVEN(14, 0x40);
#undef EVEN
#undef ODD
}

/* H times x: one bit up, and what falls out on top comes back as the polynomial. No branch. */
INLINE __m128i times_x(__m128i h)
{
	const __m128i poly = _mm_set_epi64x((long long)0xc200000000000000u, 1);
	__m128i carries = _mm_slli_si128(_mm_srli_epi64(h, 63), 8);
	__m128i top = _mm_shuffle_epi32(_mm_srai_epi32(h, 31), 0xff);

	h = _mm_or_si128(_mm_slli_epi64(h, 1), carries);
	return _mm_xor_si128(h, _mm_and_si128(top, poly));
}

/* Puts the halves of h, which is H^i, into the one or two entries that have them. */
INLINE void keep_halves(struct schedule *s, unsigned i, __m128i h)
{
	__m128i halves = _mm_xor_si128(h, _mm_srli_si128(h, 8));

	if (i <= HALVES)
		s->halves[HALVES - i] = _mm_move_epi64(halves);
	if (i > UPPER) {
		__m128i *entry = &s->halves[HALVES - (i - UPPER)];

		*entry = _mm_unpacklo_epi64(*entry, halves);
	}
}

TARGET int vaes_key_init(struct aead_key *key, const uint8_t raw[AEAD_KEY_BYTES])
{
	struct schedule *s = (struct schedule *)key->state;
	__m128i h;

	expand_key(s, raw);
	h = s->round[0];
	for (unsigned i = 1; i < ROUNDS; i++)
		h = _mm_aesenc_si128(h, s->round[i]);
	h = times_x(reverse(_mm_aesenclast_si128(h, s->round[ROUNDS])));
	for (unsigned i = 0; i < SPARE; i++)
		s->power[POWERS + i] = s->halves[HALVES + i] = _mm_setzero_si128();
	for (unsigned i = 1; i <= POWERS; i++) {
		s->power[POWERS - i] = h;
		keep_halves(s, i, h);
		/* The next power, by the first one, which stands in the last place. */
		struct sums sums = multiply(_mm256_zextsi128_si256(h), s, 1);

		h = reduce(&sums);
	}
	return 0;
}

/* AVX2 as the compiler's runtime sees it includes that the system saves the registers. */
static bool usable(struct aead_backend *self)
{
	unsigned eax, ebx, ecx, edx;

	__builtin_cpu_init();
	if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("aes") ||
	    !__builtin_cpu_supports("pclmul") || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
		return false;
	self->architecture = "avx2-vaes";
	return (ecx & bit_VAES) && (ecx & bit_VPCLMULQDQ);
}

struct aead_backend aead_vaes_aes256gcm = {
	.name = "vaes",
	.cipher = AEAD_AES256GCM,
	.architecture = "",
	.usable = usable,
	.key_init = vaes_key_init,
	.seal = seal,
	.open = open,
};

#else
typedef int aead_vaes_not_built; /* ISO C wants a declaration in every file */
#endif
