/*
 * aead.h - AES-256-GCM and ChaCha20-Poly1305 as a table of backends (PROTOCOL.md 1.4).
 *
 * Workers seal and open transport packets with it, control the Noise messages. A backend is one
 * file in dataplane/crypto/ and one row of the table in aead.c.
 *
 * Contract of seal and open, the same for every backend:
 *  - input and output are equal or disjoint, never partly overlapping (ipsec-mb corrupts when the
 *    output lies above the input, libsodium's ChaCha on any partial overlap);
 *  - nonce is the 12 bytes as the AEAD takes them; aead_nonce() builds them from a counter;
 *  - seal writes length bytes of ciphertext and then 16 of tag to out;
 *  - open takes length bytes of ciphertext followed by 16 of tag, compares the tag in constant
 *    time and returns 0 or -EBADMSG; after a failure out is undefined;
 *  - both may be called by several threads with one key; a key is written once and then only read.
 */
#ifndef M57_AEAD_H
#define M57_AEAD_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define AEAD_KEY_BYTES   32
#define AEAD_TAG_BYTES   16
#define AEAD_NONCE_BYTES 12
/* Expanded key of the largest backend (crypto/vaes.h: 1,216 bytes), cache-line rounded. */
#define AEAD_STATE_BYTES 1216

enum aead_cipher { AEAD_AES256GCM, AEAD_CHACHA20POLY1305, AEAD_CIPHERS };

struct aead_backend;

/* An expanded key. Lives in locked memory (tunnel keys: the arena of tunnel.h); aead_key_wipe. */
struct aead_key {
	uint8_t state[AEAD_STATE_BYTES] __attribute__((aligned(64)));
	const struct aead_backend *backend;
	enum aead_cipher cipher;
} __attribute__((aligned(64)));

struct aead_backend {
	const char *name; /* "ipsec-mb", "vaes512", "vaes", "libcrypto", "libsodium" */
	enum aead_cipher cipher;
	const char
		*architecture; /* code path the library chose on this CPU, set by usable(); or "" */
	bool (*usable)(struct aead_backend *self);
	/* Expands 32 bytes of key into key->state; 0 or -errno. */
	int (*key_init)(struct aead_key *key, const uint8_t raw[AEAD_KEY_BYTES]);
	/* Frees what key_init made outside state (libcrypto contexts); may be NULL. */
	void (*key_release)(struct aead_key *key);
	void (*seal)(const struct aead_key *key, const uint8_t nonce[AEAD_NONCE_BYTES],
		     const uint8_t *aad, size_t aad_bytes, const uint8_t *in, size_t length,
		     uint8_t *out);
	int (*open)(const struct aead_key *key, const uint8_t nonce[AEAD_NONCE_BYTES],
		    const uint8_t *aad, size_t aad_bytes, const uint8_t *in, size_t length,
		    uint8_t *out);
};

/*
 * Measures every usable backend of both ciphers for about a millisecond each (1316-byte packets)
 * and remembers the fastest. Call once before threads start; without it the first usable row
 * serves. The environment variable M57_AEAD=NAME picks a backend by name, and M57_AEAD_IMB one of
 * ipsec-mb's code paths (avx512, avx2, avx, sse), for tests and measurements.
 */
void aead_select(void);

/* The chosen backend of a cipher; never NULL after aead_select() (libsodium's ChaCha is always
 * there, and AES-GCM by libcrypto). */
const struct aead_backend *aead_chosen(enum aead_cipher cipher);

/* Row i of the table, usable or not, or NULL past the end: for tests. */
struct aead_backend *aead_row(size_t i);

/* Measured speed of the chosen backend in bytes per microsecond; 0 before aead_select(). */
unsigned aead_chosen_speed(enum aead_cipher cipher);

/* Expands raw with the chosen backend of cipher. 0, or -errno and key is zeroed. May allocate, so
 * it is control's. raw stays the caller's to wipe. */
int aead_key_init(struct aead_key *key, enum aead_cipher cipher, const uint8_t raw[AEAD_KEY_BYTES]);
/* The same with one backend, which must be usable: for measurements and tests. */
int aead_key_init_with(struct aead_key *key, const struct aead_backend *backend,
		       const uint8_t raw[AEAD_KEY_BYTES]);
/* Frees what the backend holds for key and zeroes it; a zeroed key is allowed. Nobody may use it.
 */
void aead_key_wipe(struct aead_key *key);

/* Nonce of a counter: four zero bytes, then the counter, big-endian for AES and little-endian for
 * ChaCha (PROTOCOL.md 1.4, 2.2). */
static inline void aead_nonce(enum aead_cipher cipher, uint64_t counter,
			      uint8_t nonce[AEAD_NONCE_BYTES])
{
	uint64_t word = cipher == AEAD_AES256GCM ? htobe64(counter) : htole64(counter);
	memset(nonce, 0, 4);
	memcpy(nonce + 4, &word, 8);
}

/* in[0..length) under counter (host order) to length + AEAD_TAG_BYTES bytes at out. */
static inline void aead_seal(const struct aead_key *key, uint64_t counter, const uint8_t *aad,
			     size_t aad_bytes, const uint8_t *in, size_t length, uint8_t *out)
{
	uint8_t nonce[AEAD_NONCE_BYTES];
	aead_nonce(key->cipher, counter, nonce);
	key->backend->seal(key, nonce, aad, aad_bytes, in, length, out);
}

/* in[0..length + AEAD_TAG_BYTES) to length bytes at out. 0 or -EBADMSG. */
static inline int aead_open(const struct aead_key *key, uint64_t counter, const uint8_t *aad,
			    size_t aad_bytes, const uint8_t *in, size_t length, uint8_t *out)
{
	uint8_t nonce[AEAD_NONCE_BYTES];
	aead_nonce(key->cipher, counter, nonce);
	return key->backend->open(key, nonce, aad, aad_bytes, in, length, out);
}

#endif
