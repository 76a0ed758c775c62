/*
 * aead_sodium.c - libsodium's AES-256-GCM (with AES instructions only) and ChaCha20-Poly1305.
 *
 * libsodium compares tags in constant time itself, and before it decrypts.
 */
#include <errno.h>
#include <sodium.h>

#include "crypto/backends.h"

_Static_assert(sizeof(crypto_aead_aes256gcm_state) <= AEAD_STATE_BYTES, "fits aead_key.state");
_Static_assert(_Alignof(crypto_aead_aes256gcm_state) <= 64, "aligned as aead_key.state");
_Static_assert(crypto_aead_aes256gcm_ABYTES == AEAD_TAG_BYTES, "one tag size");
_Static_assert(crypto_aead_chacha20poly1305_ietf_NPUBBYTES == AEAD_NONCE_BYTES, "one nonce size");

static bool aes_usable(struct aead_backend *self)
{
	if (sodium_init() < 0 || !crypto_aead_aes256gcm_is_available())
		return false;
	self->architecture = "aes-ni";
	return true;
}

static int aes_key_init(struct aead_key *key, const uint8_t raw[AEAD_KEY_BYTES])
{
	crypto_aead_aes256gcm_beforenm((crypto_aead_aes256gcm_state *)key->state, raw);
	return 0;
}

static void aes_seal(const struct aead_key *key, const uint8_t nonce[AEAD_NONCE_BYTES],
		     const uint8_t *aad, size_t aad_bytes, const uint8_t *in, size_t length,
		     uint8_t *out)
{
	crypto_aead_aes256gcm_encrypt_detached_afternm(
		out, out + length, NULL, in, length, aad, aad_bytes, NULL, nonce,
		(const crypto_aead_aes256gcm_state *)key->state);
}

static int aes_open(const struct aead_key *key, const uint8_t nonce[AEAD_NONCE_BYTES],
		    const uint8_t *aad, size_t aad_bytes, const uint8_t *in, size_t length,
		    uint8_t *out)
{
	return crypto_aead_aes256gcm_decrypt_detached_afternm(
		       out, NULL, in, length, in + length, aad, aad_bytes, nonce,
		       (const crypto_aead_aes256gcm_state *)key->state) == 0
		       ? 0
		       : -EBADMSG;
}

static bool chacha_usable(struct aead_backend *self)
{
	return sodium_init() >= 0;
}

static int chacha_key_init(struct aead_key *key, const uint8_t raw[AEAD_KEY_BYTES])
{
	memcpy(key->state, raw, AEAD_KEY_BYTES);
	return 0;
}

static void chacha_seal(const struct aead_key *key, const uint8_t nonce[AEAD_NONCE_BYTES],
			const uint8_t *aad, size_t aad_bytes, const uint8_t *in, size_t length,
			uint8_t *out)
{
	crypto_aead_chacha20poly1305_ietf_encrypt_detached(out, out + length, NULL, in, length, aad,
							   aad_bytes, NULL, nonce, key->state);
}

static int chacha_open(const struct aead_key *key, const uint8_t nonce[AEAD_NONCE_BYTES],
		       const uint8_t *aad, size_t aad_bytes, const uint8_t *in, size_t length,
		       uint8_t *out)
{
	return crypto_aead_chacha20poly1305_ietf_decrypt_detached(
		       out, NULL, in, length, in + length, aad, aad_bytes, nonce, key->state) == 0
		       ? 0
		       : -EBADMSG;
}

struct aead_backend aead_sodium_aes256gcm = {
	.name = "libsodium",
	.cipher = AEAD_AES256GCM,
	.architecture = "",
	.usable = aes_usable,
	.key_init = aes_key_init,
	.seal = aes_seal,
	.open = aes_open,
};

struct aead_backend aead_sodium_chacha20poly1305 = {
	.name = "libsodium",
	.cipher = AEAD_CHACHA20POLY1305,
	.architecture = "",
	.usable = chacha_usable,
	.key_init = chacha_key_init,
	.seal = chacha_seal,
	.open = chacha_open,
};
