/*
 * x25519_ifma.c - four X25519 side by side on the 52-bit multipliers of AVX-512 IFMA.
 *
 * Theory of operation.
 *
 * A field element modulo p = 2^255 - 19 is five limbs of 51 bits; each limb is a register whose
 * four lanes belong to four multiplications that have nothing to do with each other. So there is no
 * shuffling at all: the code is that of one Montgomery ladder (RFC 7748, 5), with vectors for
 * numbers.
 *
 * vpmadd52 takes the low 52 bits of its two factors and adds the low, or the high, 52 bits of their
 * product to an accumulator. A limb that is multiplied is therefore kept below 2^52:
 *
 *	"tight": below 2^51 + 2^15. Every function here takes tight elements and returns them.
 *
 * One bit is left over in a factor, not enough for a sum of two tight limbs, so sums are carried.
 * Carrying goes through all limbs at once, not as a chain: what comes out of a limb below 2^61 is
 * below 2^10 (19 times that from the highest into the lowest), and added to 51 bits is tight. High
 * halves weigh 2^52 and so count twice in the next limb; limbs 5 to 9 come back as 19 times limbs 0
 * to 4, because 2^255 = 19.
 *
 * Constant time: loops have fixed lengths, and scalar bits become lane masks, nothing else.
 * Registers and stack hold secrets when it returns, so the stack below is wiped.
 */
#include "handshake/x25519.h"

#include <sodium.h>
#include <string.h>

#ifdef __x86_64__

#include <immintrin.h>

#define TARGET __attribute__((target("avx2,avx512f,avx512vl,avx512dq,avx512ifma")))
#define INLINE static inline __attribute__((always_inline)) TARGET

/* Element loops must become straight code, or limbs would live in memory. */
#define UNROLL _Pragma("GCC unroll 16")

#define LIMBS      5
#define LIMB_BITS  51
#define LIMB_MASK  ((1ull << LIMB_BITS) - 1)
#define LADDER_TOP 254 /* the highest bit of a clamped scalar */
#define A24        121665
/* The ladder's frames are below 3 KiB. */
#define STACK_BYTES 8192

struct element {
	__m256i limb[LIMBS];
};

INLINE __m256i add64(__m256i a, __m256i b)
{
	return _mm256_add_epi64(a, b);
}

INLINE __m256i low52(__m256i sum, __m256i a, __m256i b)
{
	return _mm256_madd52lo_epu64(sum, a, b);
}

INLINE __m256i high52(__m256i sum, __m256i a, __m256i b)
{
	return _mm256_madd52hi_epu64(sum, a, b);
}

/* Limbs below 2^61 become tight. */
INLINE struct element carry(struct element a)
{
	const __m256i mask = _mm256_set1_epi64x(LIMB_MASK), nineteen = _mm256_set1_epi64x(19);
	struct element out;

	UNROLL
	for (int i = 0; i < LIMBS; i++)
		out.limb[i] = _mm256_and_si256(a.limb[i], mask);
	UNROLL
	for (int i = 1; i < LIMBS; i++)
		out.limb[i] = add64(out.limb[i], _mm256_srli_epi64(a.limb[i - 1], LIMB_BITS));
	out.limb[0] = low52(out.limb[0], _mm256_srli_epi64(a.limb[4], LIMB_BITS), nineteen);
	return out;
}

INLINE struct element add(struct element a, struct element b)
{
	UNROLL
	for (int i = 0; i < LIMBS; i++)
		a.limb[i] = add64(a.limb[i], b.limb[i]);
	return carry(a);
}

/* a + 4p - b: no limb is negative. */
INLINE struct element subtract(struct element a, struct element b)
{
	const __m256i lowest = _mm256_set1_epi64x(4 * (LIMB_MASK - 18));
	const __m256i others = _mm256_set1_epi64x(4 * LIMB_MASK);

	UNROLL
	for (int i = 0; i < LIMBS; i++)
		a.limb[i] = _mm256_sub_epi64(add64(a.limb[i], i == 0 ? lowest : others), b.limb[i]);
	return carry(a);
}

/*
 * low[k] and high[k] are the sums of low and high halves of the products of limbs i + j = k. Each
 * is below 5 * 2^52, so a limb of the double-length product is below 2^56, and 20 times that below
 * 2^61.
 */
INLINE struct element fold(const __m256i low[2 * LIMBS - 1], const __m256i high[2 * LIMBS - 1])
{
	__m256i wide[2 * LIMBS];
	struct element out;

	wide[0] = low[0];
	UNROLL
	for (int k = 1; k < 2 * LIMBS; k++) {
		__m256i twice = add64(high[k - 1], high[k - 1]);

		wide[k] = k < 2 * LIMBS - 1 ? add64(low[k], twice) : twice;
	}
	UNROLL
	for (int k = 0; k < LIMBS; k++) {
		__m256i x = wide[k + LIMBS]; /* 19x = 16x + 2x + x */

		out.limb[k] = add64(add64(wide[k], x), add64(_mm256_slli_epi64(x, 4), add64(x, x)));
	}
	return carry(out);
}

INLINE struct element multiply(struct element a, struct element b)
{
	__m256i low[2 * LIMBS - 1], high[2 * LIMBS - 1];

	UNROLL
	for (int k = 0; k < 2 * LIMBS - 1; k++)
		low[k] = high[k] = _mm256_setzero_si256();
	UNROLL
	for (int i = 0; i < LIMBS; i++) {
		UNROLL
		for (int j = 0; j < LIMBS; j++) {
			low[i + j] = low52(low[i + j], a.limb[i], b.limb[j]);
			high[i + j] = high52(high[i + j], a.limb[i], b.limb[j]);
		}
	}
	return fold(low, high);
}

INLINE struct element square(struct element a)
{
	__m256i low[2 * LIMBS - 1], high[2 * LIMBS - 1];

	UNROLL
	for (int k = 0; k < 2 * LIMBS - 1; k++)
		low[k] = high[k] = _mm256_setzero_si256();
	UNROLL
	for (int i = 0; i < LIMBS; i++) {
		UNROLL
		for (int j = i + 1; j < LIMBS; j++) {
			low[i + j] = low52(low[i + j], a.limb[i], a.limb[j]);
			high[i + j] = high52(high[i + j], a.limb[i], a.limb[j]);
		}
	}
	UNROLL
	for (int k = 0; k < 2 * LIMBS - 1; k++) {
		low[k] = add64(low[k], low[k]);
		high[k] = add64(high[k], high[k]);
	}
	UNROLL
	for (int i = 0; i < LIMBS; i++) {
		low[2 * i] = low52(low[2 * i], a.limb[i], a.limb[i]);
		high[2 * i] = high52(high[2 * i], a.limb[i], a.limb[i]);
	}
	return fold(low, high);
}

/* a + A24 * b */
INLINE struct element add_a24(struct element a, struct element b)
{
	const __m256i a24 = _mm256_set1_epi64x(A24), nineteen = _mm256_set1_epi64x(19);
	const __m256i zero = _mm256_setzero_si256();

	UNROLL
	for (int i = 0; i < LIMBS; i++) {
		__m256i high = high52(zero, b.limb[(i + LIMBS - 1) % LIMBS], a24);

		high = add64(high, high);
		a.limb[i] = low52(a.limb[i], b.limb[i], a24);
		a.limb[i] = i == 0 ? low52(a.limb[i], high, nineteen) : add64(a.limb[i], high);
	}
	return carry(a);
}

/* Lanes in swap change places. */
INLINE void swap_lanes(struct element *a, struct element *b, __mmask8 swap)
{
	UNROLL
	for (int i = 0; i < LIMBS; i++) {
		__m256i from = a->limb[i];

		a->limb[i] = _mm256_mask_blend_epi64(swap, from, b->limb[i]);
		b->limb[i] = _mm256_mask_blend_epi64(swap, b->limb[i], from);
	}
}

TARGET static __attribute__((noinline)) void square_times(struct element *a, unsigned times)
{
	struct element x = *a;

	for (unsigned i = 0; i < times; i++)
		x = square(x);
	*a = x;
}

TARGET static __attribute__((noinline)) void multiply_by(struct element *a, const struct element *b)
{
	*a = multiply(*a, *b);
}

/* z^(p - 2), the inverse of z; that of 0 is 0. The usual chain of 254 squarings. */
TARGET static struct element invert(const struct element *z)
{
	struct element z2 = *z, z9, z11, z_5_0, z_10_0, z_50_0, t;

	square_times(&z2, 1);
	z9 = z2;
	square_times(&z9, 2);
	multiply_by(&z9, z);
	z11 = z9;
	multiply_by(&z11, &z2);
	z_5_0 = z11;
	square_times(&z_5_0, 1);
	multiply_by(&z_5_0, &z9); /* z^(2^5 - 1) */
	z_10_0 = z_5_0;
	square_times(&z_10_0, 5);
	multiply_by(&z_10_0, &z_5_0);
	t = z_10_0;
	square_times(&t, 10);
	multiply_by(&t, &z_10_0); /* 2^20 - 1 */
	z_50_0 = t;
	square_times(&z_50_0, 20);
	multiply_by(&z_50_0, &t); /* 2^40 - 1 */
	square_times(&z_50_0, 10);
	multiply_by(&z_50_0, &z_10_0);
	t = z_50_0;
	square_times(&t, 50);
	multiply_by(&t, &z_50_0); /* 2^100 - 1 */
	z2 = t;
	square_times(&z2, 100);
	multiply_by(&z2, &t); /* 2^200 - 1 */
	square_times(&z2, 50);
	multiply_by(&z2, &z_50_0); /* 2^250 - 1 */
	square_times(&z2, 5);
	multiply_by(&z2, &z11);
	return z2;
}

/* --- bytes and lanes ---------------------------------------------------------------------------
 */

static void words_load(uint64_t words[4], const uint8_t bytes[X25519_BYTES])
{
	memcpy(words, bytes, X25519_BYTES); /* x86 is little endian, as the format */
}

/* The highest bit is not part of a point. */
TARGET static void points_load(struct element *to, uint8_t points[X25519_LANES][X25519_BYTES])
{
	_Alignas(32) uint64_t limbs[LIMBS][X25519_LANES];

	for (int lane = 0; lane < X25519_LANES; lane++) {
		uint64_t w[4];

		words_load(w, points[lane]);
		limbs[0][lane] = w[0] & LIMB_MASK;
		limbs[1][lane] = (w[0] >> 51 | w[1] << 13) & LIMB_MASK;
		limbs[2][lane] = (w[1] >> 38 | w[2] << 26) & LIMB_MASK;
		limbs[3][lane] = (w[2] >> 25 | w[3] << 39) & LIMB_MASK;
		limbs[4][lane] = w[3] >> 12 & LIMB_MASK;
	}
	UNROLL
	for (int i = 0; i < LIMBS; i++)
		to->limb[i] = _mm256_load_si256((const __m256i *)limbs[i]);
}

/* words[i]: word i of every lane's scalar, clamped. */
TARGET static void scalars_load(__m256i words[4], uint8_t scalars[X25519_LANES][X25519_BYTES])
{
	_Alignas(32) uint64_t transposed[4][X25519_LANES];

	for (int lane = 0; lane < X25519_LANES; lane++) {
		uint64_t w[4];

		words_load(w, scalars[lane]);
		transposed[0][lane] = w[0] & ~7ull;
		transposed[1][lane] = w[1];
		transposed[2][lane] = w[2];
		transposed[3][lane] = (w[3] & ~(1ull << 63)) | 1ull << 62;
	}
	for (int i = 0; i < 4; i++)
		words[i] = _mm256_load_si256((const __m256i *)transposed[i]);
}

/* The one number below p that the limbs stand for. */
static void lane_store(uint8_t out[X25519_BYTES], uint64_t a[LIMBS])
{
	uint64_t over = 19, w[4];

	for (int round = 0; round < 2; round++) {
		UNROLL
		for (int i = 0; i < LIMBS - 1; i++) {
			a[i + 1] += a[i] >> LIMB_BITS;
			a[i] &= LIMB_MASK;
		}
		a[0] += 19 * (a[4] >> LIMB_BITS);
		a[4] &= LIMB_MASK;
	}
	UNROLL
	/* Below 2^255 now. It is p or more exactly when 19 on top pass 2^255. */
	for (int i = 0; i < LIMBS; i++)
		over = (a[i] + over) >> LIMB_BITS;
	a[0] += 19 * over;
	UNROLL
	for (int i = 0; i < LIMBS - 1; i++) {
		a[i + 1] += a[i] >> LIMB_BITS;
		a[i] &= LIMB_MASK;
	}
	a[4] &= LIMB_MASK;
	w[0] = a[0] | a[1] << 51;
	w[1] = a[1] >> 13 | a[2] << 38;
	w[2] = a[2] >> 26 | a[3] << 25;
	w[3] = a[3] >> 39 | a[4] << 12;
	memcpy(out, w, X25519_BYTES);
	sodium_memzero(w, sizeof(w));
}

TARGET static void elements_store(uint8_t out[X25519_LANES][X25519_BYTES],
				  const struct element *from)
{
	_Alignas(32) uint64_t limbs[LIMBS][X25519_LANES];
	uint64_t lane_limbs[LIMBS];

	UNROLL
	for (int i = 0; i < LIMBS; i++)
		_mm256_store_si256((__m256i *)limbs[i], from->limb[i]);
	for (int lane = 0; lane < X25519_LANES; lane++) {
		UNROLL
		for (int i = 0; i < LIMBS; i++)
			lane_limbs[i] = limbs[i][lane];
		lane_store(out[lane], lane_limbs);
	}
	sodium_memzero(limbs, sizeof(limbs));
	sodium_memzero(lane_limbs, sizeof(lane_limbs));
}

/* --- the ladder --------------------------------------------------------------------------------
 */

struct ladder {
	struct element x1, x2, z2, x3, z3;
};

/* RFC 7748, 5, in its names. */
INLINE void ladder_step(struct ladder *l)
{
	struct element a = add(l->x2, l->z2), b = subtract(l->x2, l->z2);
	struct element c = add(l->x3, l->z3), d = subtract(l->x3, l->z3);
	struct element da = multiply(d, a), cb = multiply(c, b);
	struct element aa = square(a), bb = square(b), e = subtract(aa, bb);

	l->x3 = square(add(da, cb));
	l->z3 = multiply(l->x1, square(subtract(da, cb)));
	l->x2 = multiply(aa, bb);
	l->z2 = multiply(e, add_a24(aa, e));
}

TARGET static __attribute__((noinline)) void ladder_run(uint8_t out[X25519_LANES][X25519_BYTES],
							uint8_t scalars[X25519_LANES][X25519_BYTES],
							uint8_t points[X25519_LANES][X25519_BYTES])
{
	const __m256i one = _mm256_set1_epi64x(1), zero = _mm256_setzero_si256();
	struct element inverse;
	struct ladder l;
	__m256i words[4];
	__mmask8 before = 0;

	scalars_load(words, scalars);
	points_load(&l.x1, points);
	UNROLL
	for (int i = 0; i < LIMBS; i++)
		l.x2.limb[i] = l.z2.limb[i] = l.z3.limb[i] = zero;
	l.x2.limb[0] = l.z3.limb[0] = one;
	l.x3 = l.x1;
	for (int t = LADDER_TOP; t >= 0; t--) {
		__m256i bits = _mm256_srl_epi64(words[t / 64], _mm_cvtsi32_si128(t % 64));
		__mmask8 now = _mm256_test_epi64_mask(bits, one);

		swap_lanes(&l.x2, &l.x3, now ^ before);
		swap_lanes(&l.z2, &l.z3, now ^ before);
		before = now;
		ladder_step(&l);
	}
	swap_lanes(&l.x2, &l.x3, before);
	swap_lanes(&l.z2, &l.z3, before);
	inverse = invert(&l.z2);
	multiply_by(&inverse, &l.x2);
	elements_store(out, &inverse);
}

bool x25519_ifma_usable(void)
{
	return __builtin_cpu_supports("avx512ifma") && __builtin_cpu_supports("avx512vl") &&
	       __builtin_cpu_supports("avx512dq");
}

void x25519_ifma(uint8_t out[X25519_LANES][X25519_BYTES],
		 uint8_t scalars[X25519_LANES][X25519_BYTES],
		 uint8_t points[X25519_LANES][X25519_BYTES])
{
	ladder_run(out, scalars, points);
	sodium_stackzero(STACK_BYTES);
}

#else

bool x25519_ifma_usable(void)
{
	return false;
}

void x25519_ifma(uint8_t out[X25519_LANES][X25519_BYTES],
		 uint8_t scalars[X25519_LANES][X25519_BYTES],
		 uint8_t points[X25519_LANES][X25519_BYTES])
{
}

#endif
