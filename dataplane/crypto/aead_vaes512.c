/*
 * aead_vaes512.c - AES-256-GCM by VAES and VPCLMULQDQ on 512-bit registers.
 *
 * Theory of operation: aead_vaes.c's, with four blocks per register, 256 bytes per batch and one
 * reduction per batch. ipsec-mb has the same instructions and is level with this from some
 * kilobytes on; what is won here is the fixed cost of a packet: a fifth of its time at 1316 bytes,
 * two thirds at 64.
 *
 * The tail is simpler than with 256 bits: loads and stores take a mask of bytes, so a short block
 * is as good as a whole one, and nothing outside the contract's ranges is touched.
 */
#ifdef __x86_64__

#include <cpuid.h>

#include "crypto/vaes.h"

#define TARGET                                                                                     \
	__attribute__((                                                                            \
		target("avx512f,avx512bw,avx512vl,avx512dq,bmi2,aes,pclmul,vaes,vpclmulqdq")))
#define INLINE static inline __attribute__((always_inline)) TARGET

#define QUAD  64  /* bytes of a register: 4 blocks */
#define BATCH 256 /* 4 registers */
#define WIDE  512 /* bytes of AAD with one reduction: 32 blocks */

/* Sums of products, not yet reduced: low + middle * x^64 + high * x^128, in each lane. */
struct sums {
	__m512i low, middle, high;
};

struct batch {
	__m512i a, b, c, d;
};

INLINE __m512i load_quad(const void *from)
{
	return _mm512_loadu_si512(from);
}

INLINE __m512i reverse_quad(__m512i quad)
{
	return _mm512_shuffle_epi8(quad, _mm512_broadcast_i32x4(reverse_mask()));
}

/* The first n bytes of a register, 0 to 64. */
INLINE __mmask64 mask_of(size_t n)
{
	return _bzhi_u64(~0ull, (unsigned)n);
}

INLINE __m512i xor3(__m512i a, __m512i b, __m512i c)
{
	return _mm512_ternarylogic_epi64(a, b, c, 0x96);
}

/* --- GHASH: power is that of the first block; the others get the next lower ones */

INLINE struct sums multiply(__m512i quad, const struct schedule *s, size_t power)
{
	__m512i h = load_quad(&s->power[POWERS - power]);
	__m512i halves = load_quad(&s->halves[HALVES - power]);
	__m512i sum = _mm512_xor_si512(quad, _mm512_shuffle_epi32(quad, 0x4e));

	return (struct sums){
		.low = _mm512_clmulepi64_epi128(quad, h, 0x00),
		.middle = _mm512_clmulepi64_epi128(sum, halves, 0x00),
		.high = _mm512_clmulepi64_epi128(quad, h, 0x11),
	};
}

INLINE void add(struct sums *sums, __m512i quad, const struct schedule *s, size_t power)
{
	struct sums product = multiply(quad, s, power);

	sums->low = _mm512_xor_si512(sums->low, product.low);
	sums->middle = _mm512_xor_si512(sums->middle, product.middle);
	sums->high = _mm512_xor_si512(sums->high, product.high);
}

INLINE __m128i reduce(const struct sums *sums)
{
	const __m512i poly = _mm512_set1_epi64((long long)0xc200000000000000u);
	__m512i low = sums->low, high = sums->high;
	__m512i middle = xor3(sums->middle, low, high);
	__m256i half;

	middle = xor3(middle, _mm512_shuffle_epi32(low, 0x4e),
		      _mm512_clmulepi64_epi128(low, poly, 0));
	high = xor3(high, _mm512_shuffle_epi32(middle, 0x4e),
		    _mm512_clmulepi64_epi128(middle, poly, 0));
	half = _mm256_xor_si256(_mm512_castsi512_si256(high), _mm512_extracti64x4_epi64(high, 1));
	return _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

/* A batch of ciphertext (or AAD) on its way into the hash. */
struct hashing {
	const uint8_t *from; /* in memory; or NULL: in registers */
	struct batch sealed; /* as crypt_batch() left them */
	bool on;             /* false: there is nothing to hash yet */
	__m128i hash;        /* goes into the first block */
	struct sums sums;
};

/* Register i, 0 to 3; the first one begins the sums. */
INLINE void hash_step(struct hashing *h, const struct schedule *s, unsigned i)
{
	const struct batch *r = &h->sealed;
	__m512i quad;

	if (!h->on)
		return;
	if (h->from)
		quad = load_quad(h->from + i * QUAD);
	else
		quad = i == 0 ? r->a : i == 1 ? r->b : i == 2 ? r->c : r->d;
	quad = reverse_quad(quad);
	if (i == 0)
		h->sums = multiply(_mm512_xor_si512(quad, _mm512_zextsi128_si512(h->hash)), s, 16);
	else
		add(&h->sums, quad, s, 16 - 4 * i);
}

INLINE __m128i hash_batch(const struct schedule *s, struct hashing *h)
{
	h->on = true;
	hash_step(h, s, 0);
	hash_step(h, s, 1);
	hash_step(h, s, 2);
	hash_step(h, s, 3);
	return reduce(&h->sums);
}

/*
 * The same for any power, of which the highest have no halves with the key: two cheap steps more,
 * which the multiplier's pace hides.
 */
INLINE void add_any(struct sums *sums, __m512i quad, const struct schedule *s, size_t power)
{
	__m512i h = load_quad(&s->power[POWERS - power]);
	__m512i halves = _mm512_xor_si512(h, _mm512_shuffle_epi32(h, 0x4e));
	__m512i sum = _mm512_xor_si512(quad, _mm512_shuffle_epi32(quad, 0x4e));

	sums->low = _mm512_xor_si512(sums->low, _mm512_clmulepi64_epi128(quad, h, 0x00));
	sums->middle = _mm512_xor_si512(sums->middle, _mm512_clmulepi64_epi128(sum, halves, 0x00));
	sums->high = _mm512_xor_si512(sums->high, _mm512_clmulepi64_epi128(quad, h, 0x11));
}

/* Adds bytes of AAD, at most WIDE; hash goes into the first block, which gets H^power. */
INLINE void hash_run(struct sums *sums, const struct schedule *s, const uint8_t *aad, size_t bytes,
		     size_t power, __m128i hash)
{
	__m512i carry = _mm512_zextsi128_si512(hash);

#pragma GCC unroll 8
	for (; bytes >= QUAD; bytes -= QUAD, aad += QUAD, power -= 4) {
		add_any(sums, _mm512_xor_si512(reverse_quad(load_quad(aad)), carry), s, power);
		carry = _mm512_setzero_si512();
	}
	if (bytes > 0) {
		__m512i quad = reverse_quad(_mm512_maskz_loadu_epi8(mask_of(bytes), aad));

		add_any(sums, _mm512_xor_si512(quad, carry), s, power);
	}
}

/* All of the AAD but its last 1 to WIDE bytes; *aad and *bytes are then those. */
INLINE __m128i hash_wide(const struct schedule *s, const uint8_t **aad, size_t *bytes)
{
	__m128i hash = _mm_setzero_si128();

	for (; *bytes > WIDE; *bytes -= WIDE, *aad += WIDE) {
		struct sums sums = {0};

		hash_run(&sums, s, *aad, WIDE, WIDE / BLOCK, hash);
		hash = reduce(&sums);
	}
	return hash;
}

/* GHASH of the AAD, padded to whole blocks. A header is one block. */
INLINE __m128i hash_aad(const struct schedule *s, const uint8_t *aad, size_t bytes)
{
	struct sums sums = {0};

	if (bytes == BLOCK) {
		sums = multiply(_mm512_zextsi128_si512(reverse(load(aad))), s, 1);
	} else {
		__m128i hash = hash_wide(s, &aad, &bytes);

		hash_run(&sums, s, aad, bytes, (bytes + BLOCK - 1) / BLOCK, hash);
	}
	return reduce(&sums);
}

/* --- AES in counter mode */

INLINE __m512i round_key(const struct schedule *s, unsigned i)
{
	return _mm512_broadcast_i32x4(s->round[i]);
}

INLINE __m512i next_counters(const struct schedule *s, __m512i *counters)
{
	__m512i blocks = reverse_quad(*counters);

	*counters = _mm512_add_epi32(
		*counters, _mm512_set_epi32(0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4));
	return _mm512_xor_si512(blocks, round_key(s, 0));
}

INLINE void aes_round(struct batch *x, const struct schedule *s, unsigned i)
{
	__m512i key = round_key(s, i);

	x->a = _mm512_aesenc_epi128(x->a, key);
	x->b = _mm512_aesenc_epi128(x->b, key);
	x->c = _mm512_aesenc_epi128(x->c, key);
	x->d = _mm512_aesenc_epi128(x->d, key);
}

INLINE __m512i aes_last(__m512i x, __m512i key, __m512i text)
{
	return _mm512_aesenclast_epi128(x, _mm512_xor_si512(key, text));
}

/* Encrypts or decrypts a batch, hashing h meanwhile; returns the result, which it also wrote. */
INLINE struct batch crypt_batch(const struct schedule *s, __m512i *counters, const uint8_t *in,
				uint8_t *out, struct hashing *h)
{
	__m512i key = round_key(s, ROUNDS);
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
	hash_step(h, s, 1);
	aes_round(&x, s, 5);
	aes_round(&x, s, 6);
	aes_round(&x, s, 7);
	hash_step(h, s, 2);
	aes_round(&x, s, 8);
	aes_round(&x, s, 9);
	hash_step(h, s, 3);
	aes_round(&x, s, 10);
	aes_round(&x, s, 11);
	aes_round(&x, s, 12);
	aes_round(&x, s, 13);
	x.a = aes_last(x.a, key, load_quad(in));
	x.b = aes_last(x.b, key, load_quad(in + QUAD));
	x.c = aes_last(x.c, key, load_quad(in + 2 * QUAD));
	x.d = aes_last(x.d, key, load_quad(in + 3 * QUAD));
	_mm512_storeu_si512(out, x.a);
	_mm512_storeu_si512(out + QUAD, x.b);
	_mm512_storeu_si512(out + 2 * QUAD, x.c);
	_mm512_storeu_si512(out + 3 * QUAD, x.d);
	return x;
}

/* --- the tail, 0 to 255 bytes */

/* What a tail works on, and how far it has come. */
struct tail {
	const struct schedule *s;
	const uint8_t *in;
	uint8_t *out;
	size_t bytes;  /* left */
	size_t power;  /* of H, for the next block */
	__m512i carry; /* the hash so far, to be added to the first block */
	struct sums sums;
};

/* A whole register, or the last one: 1 to 64 bytes. stream: counters before their last round. */
INLINE void tail_quad(struct tail *tail, __m512i stream, bool last, bool sealing)
{
	__mmask64 mask = last ? mask_of(tail->bytes) : ~(__mmask64)0;
	__m512i text = last ? _mm512_maskz_loadu_epi8(mask, tail->in) : load_quad(tail->in);
	__m512i result = aes_last(stream, round_key(tail->s, ROUNDS), text), cipher = text;

	if (last)
		_mm512_mask_storeu_epi8(tail->out, mask, result);
	else
		_mm512_storeu_si512(tail->out, result);
	if (sealing)
		cipher = last ? _mm512_maskz_mov_epi8(mask, result) : result;
	add(&tail->sums, _mm512_xor_si512(reverse_quad(cipher), tail->carry), tail->s, tail->power);
	tail->carry = _mm512_setzero_si512();
	tail->power -= 4;
	tail->bytes -= QUAD;
	tail->in += QUAD;
	tail->out += QUAD;
}

INLINE void tail_round(struct batch *x, __m128i *mask, const struct schedule *s, unsigned i)
{
	*mask = _mm_aesenc_si128(*mask, s->round[i]);
	aes_round(x, s, i);
}

/*
 * Encrypts or decrypts the rest in n registers (64 (n - 1) < bytes <= 64 n), hashes it and the
 * lengths, and returns the tag. mask: counter block 1. n and sealing are constants where this is
 * called.
 */
INLINE __m128i crypt_tail(struct tail *tail, unsigned n, __m512i counters, __m128i mask,
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

	if (n == 0)
		lengths = _mm_xor_si128(lengths, _mm512_castsi512_si128(tail->carry));
	tail->sums = multiply(_mm512_zextsi128_si512(lengths), s, 1);
	if (n > 0)
		tail_quad(tail, x.a, n == 1, sealing);
	if (n > 1)
		tail_quad(tail, x.b, n == 2, sealing);
	if (n > 2)
		tail_quad(tail, x.c, n == 3, sealing);
	if (n > 3)
		tail_quad(tail, x.d, n == 4, sealing);
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
	sums = multiply(_mm512_zextsi128_si512(lengths), s, 1);
	hash_run(&sums, s, aad, bytes, (bytes + BLOCK - 1) / BLOCK + 1, hash);
	return _mm_xor_si128(mask, reverse(reduce(&sums)));
}

/* Encrypts or decrypts and returns the tag that the packet has. sealing is constant. */
INLINE __m128i crypt_packet(const struct schedule *s, const uint8_t *nonce, const uint8_t *aad,
			    size_t aad_bytes, const uint8_t *in, size_t length, uint8_t *out,
			    bool sealing)
{
	__m128i mask = first_counter(nonce);
	__m512i counters =
		_mm512_add_epi32(_mm512_broadcast_i32x4(reverse(mask)),
				 _mm512_set_epi32(0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1));
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
	for (; length >= BATCH; length -= BATCH) {
		struct hashing h = {.on = true, .hash = hash};

		if (sealing)
			h.sealed = sealed;
		else
			h.from = in;
		sealed = crypt_batch(s, &counters, in, out, &h);
		hash = reduce(&h.sums);
		in += BATCH;
		out += BATCH;
	}
	if (late)
		hash = hash_batch(s, &(struct hashing){.sealed = sealed, .hash = hash});
	tail.in = in;
	tail.out = out;
	tail.bytes = length;
	tail.power = (length + BLOCK - 1) / BLOCK + 1;
	tail.carry = _mm512_zextsi128_si512(hash);
	switch ((length + QUAD - 1) / QUAD) {
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

TARGET static void seal(const struct aead_key *key, const uint8_t nonce[AEAD_NONCE_BYTES],
			const uint8_t *aad, size_t aad_bytes, const uint8_t *in, size_t length,
			uint8_t *out)
{
	const struct schedule *s = (const struct schedule *)key->state;

	if (length == 0)
		store(out, frame_tag(s, nonce, aad, aad_bytes));
	else
		store(out + length, crypt_packet(s, nonce, aad, aad_bytes, in, length, out, true));
}

TARGET static int open(const struct aead_key *key, const uint8_t nonce[AEAD_NONCE_BYTES],
		       const uint8_t *aad, size_t aad_bytes, const uint8_t *in, size_t length,
		       uint8_t *out)
{
	const struct schedule *s = (const struct schedule *)key->state;
	__m128i received = load(in + length);

	if (length == 0)
		return tag_check(frame_tag(s, nonce, aad, aad_bytes), received);
	return tag_check(crypt_packet(s, nonce, aad, aad_bytes, in, length, out, false), received);
}

/* AVX-512 as the compiler's runtime sees it includes that the system saves the registers. */
static bool usable(struct aead_backend *self)
{
	unsigned eax, ebx, ecx, edx;

	__builtin_cpu_init();
	if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
	    !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq") ||
	    !__builtin_cpu_supports("bmi2") || !__builtin_cpu_supports("aes") ||
	    !__builtin_cpu_supports("pclmul") || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
		return false;
	self->architecture = "avx512-vaes";
	return (ecx & bit_VAES) && (ecx & bit_VPCLMULQDQ);
}

struct aead_backend aead_vaes512_aes256gcm = {
	.name = "vaes512",
	.cipher = AEAD_AES256GCM,
	.architecture = "",
	.usable = usable,
	.key_init = vaes_key_init,
	.seal = seal,
	.open = open,
};

#else
typedef int aead_vaes512_not_built; /* ISO C wants a declaration in every file */
#endif
