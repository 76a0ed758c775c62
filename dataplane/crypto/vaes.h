/*
 * crypto/vaes.h - what aead_vaes.c (256-bit registers) and aead_vaes512.c share: the key and a few
 * operations on one block. x86-64 only.
 */
#ifndef M57_VAES_H
#define M57_VAES_H

#include <errno.h>
#include <immintrin.h>

#include "crypto/backends.h"

#define VAES_INLINE                                                                                \
	static inline __attribute__((always_inline, target("avx2,aes,pclmul,vaes,vpclmulqdq")))

#define BLOCK  16
#define ROUNDS 14
#define POWERS 34 /* AAD, 32 blocks and the lengths */
#define HALVES 21
#define UPPER  16 /* see struct schedule */
#define SPARE  3  /* a lone block is loaded as a pair, or as the first of four */

/* The expanded key. H = AES(key, 0); its powers are kept times x (aead_vaes.c says why). */
struct schedule {
	__m128i round[ROUNDS + 1];
	__m128i power[POWERS + SPARE]; /* H^34 .. H^1, zeros */
	/* Entry HALVES - i: low half + high half of H^i in its low 64 bits, of H^(i + UPPER) in its
	 * high ones. Powers 17 to 21 are in both, so that four in a row are in the same. */
	__m128i halves[HALVES + SPARE];
};
_Static_assert(sizeof(struct schedule) <= AEAD_STATE_BYTES, "fits aead_key.state");

/* Fills the struct schedule in key->state. */
int vaes_key_init(struct aead_key *key, const uint8_t raw[AEAD_KEY_BYTES]);

VAES_INLINE __m128i load(const void *from)
{
	return _mm_loadu_si128((const __m128i_u *)from);
}

VAES_INLINE void store(void *to, __m128i block)
{
	_mm_storeu_si128((__m128i_u *)to, block);
}

/* Swaps the order of the bytes; as a mask for shuffles. */
VAES_INLINE __m128i reverse_mask(void)
{
	return _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

VAES_INLINE __m128i reverse(__m128i block)
{
	return _mm_shuffle_epi8(block, reverse_mask());
}

VAES_INLINE uint64_t load_word(const uint8_t *from, size_t bytes)
{
	uint64_t word = 0;

	memcpy(&word, from, bytes); /* bytes is constant where this is called: one load */
	return word;
}

/* Counter block 1. Loads of 4 and 8 bytes, as aead_nonce() stores them. */
VAES_INLINE __m128i first_counter(const uint8_t nonce[AEAD_NONCE_BYTES])
{
	uint64_t word = load_word(nonce + 4, 8);

	return _mm_set_epi64x((long long)(word >> 32 | 1ull << 56),
			      (long long)(load_word(nonce, 4) | word << 32));
}

/* The last block of the hash; reversed bytes. */
VAES_INLINE __m128i lengths_block(size_t aad_bytes, size_t length)
{
	return _mm_set_epi64x((long long)aad_bytes * 8, (long long)length * 8);
}

/* 0 when computed equals the 16 bytes of received, else -EBADMSG: one test of all 128 bits. */
VAES_INLINE int tag_check(__m128i computed, __m128i received)
{
	__m128i difference = _mm_xor_si128(computed, received);

	return _mm_testz_si128(difference, difference) ? 0 : -EBADMSG;
}

#endif
