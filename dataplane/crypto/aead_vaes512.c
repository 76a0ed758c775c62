/*
 * aead_vaes512.c - AES-256-GCM by VAES and VPCLMULQDQ on 512-bit registers.
 *
 * Theory of operation: aead_vaes.c's, with four blocks per register. Here a packet goes through in
 * groups of eight registers (512 bytes), and its end, 1 to 512 bytes, is a group of as many as it
 * needs: code of its own for each number. What limits, measured on Zen 4:
 *
 *  - A register's 14 AES rounds take 14 cycles, its three multiplications 6 of another unit: they
 *    run beside each other where both are in the CPU's sight at once. So the steps of the hash
 *    stand between the rounds: opening hashes the group it decrypts, sealing hashes the one before.
 *  - Eight registers in the rounds hide the latency of four cycles and use each round key eight
 *    times once it is loaded. Five, six and seven were slower for whole packets.
 *  - What is left is everything else in the vector units. The products of two registers are added
 *    at once (xor3), halves are kept with the key, a group has one reduction, and the block that
 *    waits for the reduction before is added last.
 *
 * Loads and stores take a mask of bytes, so a short block is as good as a whole one, and nothing
 * outside the contract's ranges is touched.
 */
#ifdef __x86_64__

#include <cpuid.h>

#include "crypto/vaes.h"

#define TARGET                                                                                     \
	__attribute__((                                                                            \
		target("avx512f,avx512bw,avx512vl,avx512dq,bmi2,aes,pclmul,vaes,vpclmulqdq")))
#define INLINE  static inline __attribute__((always_inline)) TARGET
#define OUTLINE static __attribute__((noinline)) TARGET

#define QUAD         64 /* bytes of a register: 4 blocks */
#define QUADS        8  /* registers of a group */
#define GROUP        (QUADS * QUAD)
#define GROUP_BLOCKS (QUADS * 4)
_Static_assert(POWERS >= GROUP_BLOCKS + 2, "a group at the end, between AAD and lengths");

struct group {
	__m512i quad[QUADS];
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

/* --- GHASH: power is that of the first block of a register; the others get the next lower ones */

/* Sums of products, not yet reduced: low + middle * x^64 + high * x^128, in each lane. */
struct sums {
	__m512i low, middle, high;
};

/* upper, a constant where this is called: which half of the entry has the halves of power (vaes.h).
 */
INLINE struct sums multiply(__m512i quad, const struct schedule *s, size_t power, bool upper)
{
	__m512i h = load_quad(&s->power[POWERS - power]);
	__m512i halves = load_quad(&s->halves[HALVES - (upper ? power - UPPER : power)]);
	__m512i sum = _mm512_xor_si512(quad, _mm512_shuffle_epi32(quad, 0x4e));

	return (struct sums){
		.low = _mm512_clmulepi64_epi128(quad, h, 0x00),
		.middle = upper ? _mm512_clmulepi64_epi128(sum, halves, 0x10)
				: _mm512_clmulepi64_epi128(sum, halves, 0x00),
		.high = _mm512_clmulepi64_epi128(quad, h, 0x11),
	};
}

/* A single block, the first of its register: lanes of zeros add nothing, whatever their power. */
INLINE struct sums multiply_block(__m128i block, const struct schedule *s, size_t power, bool upper)
{
	return multiply(_mm512_zextsi128_si512(block), s, power, upper);
}

INLINE struct sums add(struct sums a, struct sums b)
{
	return (struct sums){
		.low = _mm512_xor_si512(a.low, b.low),
		.middle = _mm512_xor_si512(a.middle, b.middle),
		.high = _mm512_xor_si512(a.high, b.high),
	};
}

INLINE struct sums add3(struct sums a, struct sums b, struct sums c)
{
	return (struct sums){
		.low = xor3(a.low, b.low, c.low),
		.middle = xor3(a.middle, b.middle, c.middle),
		.high = xor3(a.high, b.high, c.high),
	};
}

INLINE __m128i reduce(struct sums sums)
{
	const __m512i poly = _mm512_set1_epi64((long long)0xc200000000000000u);
	__m512i low = sums.low, high = sums.high;
	__m512i middle = xor3(sums.middle, low, high);
	__m256i half;

	middle = xor3(middle, _mm512_shuffle_epi32(low, 0x4e),
		      _mm512_clmulepi64_epi128(low, poly, 0));
	high = xor3(high, _mm512_shuffle_epi32(middle, 0x4e),
		    _mm512_clmulepi64_epi128(middle, poly, 0));
	half = _mm256_xor_si256(_mm512_castsi512_si256(high), _mm512_extracti64x4_epi64(high, 1));
	return _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

/* A group of ciphertext (or AAD) on its way into the hash. n, last and from being NULL are
 * constants where this is used. */
struct hashing {
	const uint8_t *from;        /* in memory; or NULL: */
	const struct group *sealed; /* as crypt_group() left it, zeros behind the end */
	unsigned n;                 /* registers; 0: there is nothing to hash yet */
	size_t power;               /* of the first block */
	bool last;                  /* the lengths come after it, else nothing */
	__mmask64 mask;             /* last: bytes of the last register in memory */
	__m128i hash;               /* goes into the first block */
	struct sums sums;
};

INLINE __m512i hash_quad(const struct hashing *h, unsigned i)
{
	__m512i quad;

	if (!h->from)
		quad = h->sealed->quad[i];
	else if (h->last && i + 1 == h->n)
		quad = _mm512_maskz_loadu_epi8(h->mask, h->from + i * QUAD);
	else
		quad = load_quad(h->from + i * QUAD);
	quad = reverse_quad(quad);
	return i == 0 ? _mm512_xor_si512(quad, _mm512_zextsi128_si512(h->hash)) : quad;
}

/*
 * Register i times its powers. The last one ends at H^1, or, the lengths after it and some of its
 * blocks missing, at H^2 to H^-1: from the sixth last on, all four are above UPPER, before it none
 * is above HALVES.
 */
INLINE struct sums hash_product(const struct hashing *h, const struct schedule *s, unsigned i)
{
	return multiply(hash_quad(h, i), s, h->power - 4 * i, h->n - i >= 6);
}

/* Registers i and j, as far as there are such. */
INLINE void hash_step(struct hashing *h, const struct schedule *s, unsigned i, unsigned j)
{
	if (i < h->n && j < h->n)
		h->sums = add3(h->sums, hash_product(h, s, i), hash_product(h, s, j));
	else if (i < h->n || j < h->n)
		h->sums = add(h->sums, hash_product(h, s, i < h->n ? i : j));
}

/* A whole group with nothing beside it. */
INLINE void hash_group(struct hashing *h, const struct schedule *s)
{
	hash_step(h, s, 1, 2);
	hash_step(h, s, 3, 4);
	hash_step(h, s, 5, 6);
	hash_step(h, s, 7, 0);
}

/* What is hashed at the end: bytes, 1 to 512, in n registers, and the lengths. */
INLINE struct hashing hash_end(size_t bytes, unsigned n)
{
	return (struct hashing){
		.n = n,
		.power = (bytes + BLOCK - 1) / BLOCK + 1,
		.last = true,
		.mask = mask_of(bytes - (n - 1) * QUAD),
	};
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

/* How far a packet has come. */
struct progress {
	const struct schedule *s;
	const uint8_t *in;
	uint8_t *out;
	size_t length; /* left */
	__m512i counters;
	__m128i mask; /* counter block 1; encrypted at the end, it hides the tag */
	__m128i hash; /* of all groups before; or, before the first, what hash_aad() made */
	bool begun;   /* a group has been hashed */
};

/* Register i of a group of n, after the rounds. partial: of the last one only the bytes of mask. */
INLINE void crypt_quad(struct progress *p, struct group *x, unsigned i, unsigned n, bool partial,
		       __mmask64 mask)
{
	/* The last round adds its key at the end: adding the text to that key saves waiting. */
	__m512i key = round_key(p->s, ROUNDS);

	if (i >= n)
		return;
	if (partial && i + 1 == n) {
		key = _mm512_xor_si512(key, _mm512_maskz_loadu_epi8(mask, p->in + i * QUAD));
		x->quad[i] = _mm512_aesenclast_epi128(x->quad[i], key);
		_mm512_mask_storeu_epi8(p->out + i * QUAD, mask, x->quad[i]);
		x->quad[i] = _mm512_maskz_mov_epi8(mask, x->quad[i]);
	} else {
		key = _mm512_xor_si512(key, load_quad(p->in + i * QUAD));
		x->quad[i] = _mm512_aesenclast_epi128(x->quad[i], key);
		_mm512_storeu_si512(p->out + i * QUAD, x->quad[i]);
	}
}

#define EACH_QUAD(n, of) of(0, n) of(1, n) of(2, n) of(3, n) of(4, n) of(5, n) of(6, n) of(7, n)

/*
 * Encrypts or decrypts n registers, of the last one as many bytes as mask has, and hashes h
 * meanwhile; returns the result, which it also wrote. last: p->mask is encrypted too.
 */
INLINE struct group crypt_group(struct progress *p, unsigned n, bool last, __mmask64 mask,
				struct hashing *h)
{
	const struct schedule *s = p->s;
	struct group x;

#define BEGIN(i, n)                                                                                \
	if (i < (n))                                                                               \
		x.quad[i] = next_counters(s, &p->counters);
#define ENCRYPT(i, n)                                                                              \
	if (i < (n))                                                                               \
		x.quad[i] = _mm512_aesenc_epi128(x.quad[i], key);
#define FINISH(i, n) crypt_quad(p, &x, i, n, last, mask);
#define ROUND(r)                                                                                   \
	do {                                                                                       \
		__m512i key = round_key(s, r);                                                     \
		EACH_QUAD(n, ENCRYPT)                                                              \
		if (last)                                                                          \
			p->mask = _mm_aesenc_si128(p->mask, s->round[r]);                          \
	} while (0)

	EACH_QUAD(n, BEGIN)
	if (last)
		p->mask = _mm_xor_si128(p->mask, s->round[0]);
	ROUND(1);
	ROUND(2);
	hash_step(h, s, 1, 2);
	ROUND(3);
	ROUND(4);
	ROUND(5);
	hash_step(h, s, 3, 4);
	ROUND(6);
	ROUND(7);
	ROUND(8);
	hash_step(h, s, 5, 6);
	ROUND(9);
	ROUND(10);
	ROUND(11);
	hash_step(h, s, 7, 0);
	ROUND(12);
	ROUND(13);
	if (last)
		p->mask = _mm_aesenclast_si128(p->mask, s->round[ROUNDS]);
	EACH_QUAD(n, FINISH)
	return x;
#undef BEGIN
#undef ENCRYPT
#undef FINISH
#undef ROUND
}

/* What is before h: the hash so far, for its first block, or the AAD, a block before that. */
INLINE void hash_begin(struct hashing *h, struct progress *p)
{
	if (p->begun)
		h->hash = p->hash;
	else
		h->sums = multiply_block(p->hash, p->s, h->power + 1, h->n >= 5);
	p->begun = true;
}

/* A whole group that something follows. Sealing hashes the one before: late, there is one. */
INLINE void crypt_whole(struct progress *p, bool late, bool sealing)
{
	struct hashing h = {.power = GROUP_BLOCKS};

	if (!sealing || late) {
		h.from = sealing ? p->out - GROUP : p->in;
		h.n = QUADS;
		hash_begin(&h, p);
	}
	crypt_group(p, QUADS, false, 0, &h);
	if (h.n > 0)
		p->hash = reduce(h.sums);
	p->in += GROUP;
	p->out += GROUP;
	p->length -= GROUP;
}

/*
 * The rest, 1 to 512 bytes, in n registers (64 (n - 1) < bytes <= 64 n). Returns the tag. late:
 * there is a group before, which sealing has still to hash.
 */
INLINE __m128i crypt_end(struct progress *p, unsigned n, __m128i lengths, bool late, bool sealing)
{
	struct hashing own = hash_end(p->length, n);
	struct sums last = multiply_block(lengths, p->s, 1, false);

	if (sealing) {
		struct hashing before = {.power = GROUP_BLOCKS};
		struct group x;

		if (late) {
			before.from = p->out - GROUP;
			before.n = QUADS;
			hash_begin(&before, p);
		}
		x = crypt_group(p, n, true, own.mask, &before);
		if (late)
			p->hash = reduce(before.sums);
		own.sealed = &x;
		hash_begin(&own, p);
		own.sums = add(own.sums, last);
		hash_group(&own, p->s);
	} else {
		own.from = p->in;
		hash_begin(&own, p);
		own.sums = add(own.sums, last);
		crypt_group(p, n, true, own.mask, &own);
	}
	return _mm_xor_si128(p->mask, reverse(reduce(own.sums)));
}

#define EACH_NUMBER(of) of(1) of(2) of(3) of(4) of(5) of(6) of(7) of(8)

/*
 * crypt_end() as code of its own for each number of registers; all in one function, compiling it
 * with sanitizers took more than ten minutes. What it needs comes in registers: a struct progress
 * on the stack, written in one width and read in another, cost 20 ns.
 */
typedef __m128i end_function(const struct schedule *s, const uint8_t *in, uint8_t *out,
			     size_t length, bool begun, __m512i counters, __m128i mask,
			     __m128i hash, __m128i lengths);

#define DEFINE_END(name, n, before, sealing)                                                       \
	static __attribute__((noinline)) TARGET __m128i name##n(                                   \
		const struct schedule *s, const uint8_t *in, uint8_t *out, size_t length,          \
		bool begun, __m512i counters, __m128i mask, __m128i hash, __m128i lengths)         \
	{                                                                                          \
		struct progress p = {s, in, out, length, counters, mask, hash, begun};             \
                                                                                                   \
		return crypt_end(&p, n, lengths, before, sealing);                                 \
	}
#define OPEN_END(n) DEFINE_END(open_end_, n, false, false)
#define SEAL_END(n) DEFINE_END(seal_end_, n, false, true)
#define LATE_END(n) DEFINE_END(late_end_, n, true, true)
EACH_NUMBER(OPEN_END)
EACH_NUMBER(SEAL_END) /* of what is at most one group */
EACH_NUMBER(LATE_END) /* after others */

#define OPEN_NAME(n) open_end_##n,
#define SEAL_NAME(n) seal_end_##n,
#define LATE_NAME(n) late_end_##n,
static end_function *const open_ends[] = {EACH_NUMBER(OPEN_NAME)};
static end_function *const seal_ends[] = {EACH_NUMBER(SEAL_NAME)};
static end_function *const late_ends[] = {EACH_NUMBER(LATE_NAME)};

/* --- the whole packet */

/* The end of AAD without payload, 1 to 512 bytes, and the lengths: the hash of all. */
INLINE __m128i frame_end(const struct schedule *s, const uint8_t *aad, size_t bytes, unsigned n,
			 __m128i hash, __m128i lengths)
{
	struct hashing h = hash_end(bytes, n);

	h.from = aad;
	h.hash = hash;
	h.sums = multiply_block(lengths, s, 1, false);
	hash_group(&h, s);
	return reduce(h.sums);
}

OUTLINE __m128i frame_hash(const struct schedule *s, const uint8_t *aad, size_t bytes)
{
	__m128i lengths = lengths_block(bytes, 0), hash = _mm_setzero_si128();

	if (bytes == 0)
		return hash;
	for (; bytes > GROUP; bytes -= GROUP, aad += GROUP) {
		struct hashing h = {.from = aad, .n = QUADS, .power = GROUP_BLOCKS, .hash = hash};

		hash_group(&h, s);
		hash = reduce(h.sums);
	}
#define CASE(n)                                                                                    \
	case n:                                                                                    \
		return frame_end(s, aad, bytes, n, hash, lengths);
	switch ((bytes + QUAD - 1) / QUAD) {
		EACH_NUMBER(CASE)
	}
#undef CASE
	__builtin_unreachable();
}

/* The tag of a packet without payload: a relay's frame is all AAD. */
INLINE __m128i frame_tag(const struct schedule *s, const uint8_t *nonce, const uint8_t *aad,
			 size_t bytes)
{
	__m128i mask = _mm_xor_si128(first_counter(nonce), s->round[0]);

#pragma GCC unroll 16
	for (unsigned i = 1; i < ROUNDS; i++)
		mask = _mm_aesenc_si128(mask, s->round[i]);
	mask = _mm_aesenclast_si128(mask, s->round[ROUNDS]);
	return _mm_xor_si128(mask, reverse(frame_hash(s, aad, bytes)));
}

/*
 * The last block of the AAD, the hash of those before it added, not yet multiplied: that is done
 * with the first group's. A packet's header is one block, the hash in a handshake (PROTOCOL.md 2.2)
 * two; longer AAD with payload is nobody's, so it may be slow.
 */
INLINE __m128i hash_aad(const struct schedule *s, const uint8_t *aad, size_t bytes)
{
	__m128i hash = _mm_setzero_si128();

	for (; bytes > BLOCK; bytes -= BLOCK, aad += BLOCK) {
		hash = _mm_xor_si128(hash, reverse(load(aad)));
		hash = reduce(multiply_block(hash, s, 1, false));
	}
	return _mm_xor_si128(hash, reverse(_mm_maskz_loadu_epi8((__mmask16)mask_of(bytes), aad)));
}

/* Encrypts or decrypts length > 0 bytes and returns the tag that they have. sealing is constant. */
INLINE __m128i crypt_packet(const struct schedule *s, const uint8_t *nonce, const uint8_t *aad,
			    size_t aad_bytes, const uint8_t *in, size_t length, uint8_t *out,
			    bool sealing)
{
	struct progress p = {
		.s = s,
		.in = in,
		.out = out,
		.length = length,
		.mask = first_counter(nonce),
		.hash = hash_aad(s, aad, aad_bytes),
	};
	__m128i lengths = lengths_block(aad_bytes, length);
	end_function *const *ends = sealing ? seal_ends : open_ends;

	p.counters =
		_mm512_add_epi32(_mm512_broadcast_i32x4(reverse(p.mask)),
				 _mm512_set_epi32(0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1));
	if (length > GROUP) {
		crypt_whole(&p, false, sealing);
		while (p.length > GROUP)
			crypt_whole(&p, true, sealing);
		if (sealing)
			ends = late_ends;
	}
	return ends[(p.length - 1) / QUAD](s, p.in, p.out, p.length, p.begun, p.counters, p.mask,
					   p.hash, lengths);
}

/*
 * Both leave the upper halves of the registers clear, which gcc 12 forgets behind a function that
 * returns a vector, and where it does not optimise. Intel's CPUs would make the caller's next SSE
 * instruction wait for it, and the next of AVX again: 90 ns each, once per packet.
 */
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
