/*
 * checksum.c - the Internet checksum, 64 bytes a step where the CPU can.
 *
 * Theory of operation. The one's complement sum of 16-bit words does not care about byte order
 * (RFC 1071 2B): words are added as they lie in memory and the folded result is swapped once. Nor
 * does it care how words are grouped: 32-bit halves are added into 64-bit lanes, which cannot
 * overflow for any length that fits memory, and the carries come home in the fold.
 *
 * The variant is chosen per call from libgcc's CPU model (one load and a bit test, always
 * predicted), not by an ifunc: those resolve before a sanitizer runtime is up.
 */
#include "io/checksum.h"

#include <endian.h>
#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

/* Memory-order words of bytes[0..length), unfolded but small enough to be added to once more. */
static uint64_t sum_portable(const uint8_t *bytes, size_t length)
{
	uint64_t low = 0, high = 0;

	for (; length >= 8; bytes += 8, length -= 8) {
		uint64_t word;

		memcpy(&word, bytes, 8);
		low += word & 0xffffffff;
		high += word >> 32;
	}
	if (length & 4) {
		uint32_t word;

		memcpy(&word, bytes, 4);
		low += word;
		bytes += 4;
	}
	if (length & 2) {
		uint16_t word;

		memcpy(&word, bytes, 2);
		high += word;
		bytes += 2;
	}
	if (length & 1) {
		uint16_t word = 0;

		memcpy(&word, bytes, 1);
		low += word;
	}
	return low + high;
}

#ifdef __x86_64__
/*
 * All of these leave the upper halves of the registers clear. The compiler does not always (not
 * where a call follows, not without optimisation), and then Intel's CPUs make the next SSE
 * instruction wait for some 90 ns.
 */
#define AVX2_MIN 64 /* bytes below which setting up vectors costs more than it saves */

__attribute__((target("avx2"))) static uint64_t sum_avx2(const uint8_t *bytes, size_t length)
{
	const __m256i mask = _mm256_set1_epi64x(0xffffffff);
	__m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
	__m128i half;

	for (; length >= 64; bytes += 64, length -= 64) {
		__m256i v = _mm256_loadu_si256((const __m256i *)bytes);
		__m256i w = _mm256_loadu_si256((const __m256i *)(bytes + 32));

		a = _mm256_add_epi64(a, _mm256_and_si256(v, mask));
		b = _mm256_add_epi64(b, _mm256_srli_epi64(v, 32));
		c = _mm256_add_epi64(c, _mm256_and_si256(w, mask));
		d = _mm256_add_epi64(d, _mm256_srli_epi64(w, 32));
	}
	if (length >= 32) {
		__m256i v = _mm256_loadu_si256((const __m256i *)bytes);

		a = _mm256_add_epi64(a, _mm256_and_si256(v, mask));
		b = _mm256_add_epi64(b, _mm256_srli_epi64(v, 32));
		bytes += 32;
		length -= 32;
	}
	a = _mm256_add_epi64(_mm256_add_epi64(a, b), _mm256_add_epi64(c, d));
	half = _mm_add_epi64(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
	uint64_t sum = (uint64_t)_mm_cvtsi128_si64(half) + (uint64_t)_mm_extract_epi64(half, 1);

	_mm256_zeroupper();
	return sum + sum_portable(bytes, length);
}

/* The tail is one masked load: no bytes beyond the end are read, and no scalar loop is left. */
__attribute__((target("avx512f,avx512bw,bmi2"))) static uint64_t sum_avx512(const uint8_t *bytes,
									    size_t length)
{
	const __m512i mask = _mm512_set1_epi64(0xffffffff);
	__m512i a = _mm512_setzero_si512(), b = a, c = a, d = a, v;

	for (; length >= 128; bytes += 128, length -= 128) {
		__m512i w = _mm512_loadu_si512(bytes + 64);

		v = _mm512_loadu_si512(bytes);
		a = _mm512_add_epi64(a, _mm512_and_si512(v, mask));
		b = _mm512_add_epi64(b, _mm512_srli_epi64(v, 32));
		c = _mm512_add_epi64(c, _mm512_and_si512(w, mask));
		d = _mm512_add_epi64(d, _mm512_srli_epi64(w, 32));
	}
	if (length >= 64) {
		v = _mm512_loadu_si512(bytes);
		a = _mm512_add_epi64(a, _mm512_and_si512(v, mask));
		b = _mm512_add_epi64(b, _mm512_srli_epi64(v, 32));
		bytes += 64;
		length -= 64;
	}
	v = _mm512_maskz_loadu_epi8(_bzhi_u64(~0ull, (unsigned)length), bytes);
	c = _mm512_add_epi64(c, _mm512_and_si512(v, mask));
	d = _mm512_add_epi64(d, _mm512_srli_epi64(v, 32));
	a = _mm512_add_epi64(_mm512_add_epi64(a, b), _mm512_add_epi64(c, d));
	uint64_t sum = (uint64_t)_mm512_reduce_add_epi64(a);

	_mm256_zeroupper();
	return sum;
}

/*
 * With VNNI one instruction adds the two signed words of each 32-bit lane to it. Words are made
 * signed by flipping their top bit, which takes 0x8000 from each; that is given back at the end. A
 * lane holds VNNI_MAX bytes' worth, and so does the sum of all.
 */
#define VNNI_MAX 65536u

__attribute__((target("avx512f,avx512bw,avx512vnni,bmi2"))) static uint64_t
sum_vnni(const uint8_t *bytes, size_t length)
{
	const __m512i flip = _mm512_set1_epi16((short)0x8000), one = _mm512_set1_epi16(1);
	__m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
	size_t words = (length + 63) / 64 * 32;
#define STEP(sum, at)                                                                              \
	sum = _mm512_dpwssd_epi32(sum, _mm512_xor_si512(_mm512_loadu_si512(bytes + (at)), flip),   \
				  one)

	for (; length >= 256; bytes += 256, length -= 256) {
		STEP(a, 0);
		STEP(b, 64);
		STEP(c, 128);
		STEP(d, 192);
	}
	for (; length >= 64; bytes += 64, length -= 64)
		STEP(a, 0);
#undef STEP
	if (length > 0) {
		__m512i v = _mm512_maskz_loadu_epi8(_bzhi_u64(~0ull, (unsigned)length), bytes);
		b = _mm512_dpwssd_epi32(b, _mm512_xor_si512(v, flip), one);
	}
	a = _mm512_add_epi32(_mm512_add_epi32(a, b), _mm512_add_epi32(c, d));
	int64_t sum = (int64_t)_mm512_reduce_add_epi32(a) + (int64_t)words * 0x8000;

	_mm256_zeroupper();
	return (uint64_t)sum;
}
#endif

static uint64_t sum_words(const uint8_t *bytes, size_t length)
{
#ifdef __x86_64__
	if (length >= AVX2_MIN) {
		if (length <= VNNI_MAX && __builtin_cpu_supports("avx512vnni") &&
		    __builtin_cpu_supports("bmi2"))
			return sum_vnni(bytes, length);
		if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("bmi2"))
			return sum_avx512(bytes, length);
		if (__builtin_cpu_supports("avx2"))
			return sum_avx2(bytes, length);
	}
#endif
	return sum_portable(bytes, length);
}

uint64_t checksum_add(uint64_t sum, const void *bytes, size_t length)
{
	return sum + be16toh(checksum_fold(sum_words(bytes, length)));
}
