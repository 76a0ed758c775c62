/*
 * noise.c - see noise.h. Names follow the Noise specification: h, ck, k, n, MixHash, MixKey, Split.
 *
 * IX:	-> e, s			both in clear, and so is the payload: no key exists yet
 *	<- e, ee, se, s, es	s under the key of ee and se, the payload under that of es
 */
#include "handshake/noise.h"

#include <errno.h>
#include <sodium.h>

#include "handshake/x25519.h"

_Static_assert(crypto_hash_sha256_BYTES == NOISE_HASH_BYTES, "the hash is SHA-256");
_Static_assert(X25519_BYTES == NOISE_KEY_BYTES, "the curve is Curve25519");

static void mix_hash(struct noise *noise, const uint8_t *data, size_t length)
{
	crypto_hash_sha256_state state;

	crypto_hash_sha256_init(&state);
	crypto_hash_sha256_update(&state, noise->h, sizeof(noise->h));
	crypto_hash_sha256_update(&state, data, length);
	crypto_hash_sha256_final(&state, noise->h);
}

static void hmac(const uint8_t key[32], const uint8_t *a, size_t a_bytes, uint8_t last,
		 bool has_last, uint8_t out[32])
{
	crypto_auth_hmacsha256_state state;

	crypto_auth_hmacsha256_init(&state, key, 32);
	crypto_auth_hmacsha256_update(&state, a, a_bytes);
	if (has_last)
		crypto_auth_hmacsha256_update(&state, &last, 1);
	crypto_auth_hmacsha256_final(&state, out);
	sodium_memzero(&state, sizeof(state));
}

static void hkdf2(const uint8_t ck[32], const uint8_t *input, size_t length, uint8_t first[32],
		  uint8_t second[32])
{
	uint8_t temporary[32];

	hmac(ck, input, length, 0, false, temporary);
	hmac(temporary, NULL, 0, 1, true, first);
	hmac(temporary, first, 32, 2, true, second);
	sodium_memzero(temporary, sizeof(temporary));
}

/* What the multiplications give. */
struct secrets {
	uint8_t ee[NOISE_KEY_BYTES], se[NOISE_KEY_BYTES], es[NOISE_KEY_BYTES];
};

static void mix_key(struct noise *noise, const uint8_t secret[NOISE_KEY_BYTES])
{
	uint8_t ck[NOISE_HASH_BYTES];

	memcpy(ck, noise->ck, sizeof(ck));
	hkdf2(ck, secret, NOISE_KEY_BYTES, noise->ck, noise->k);
	noise->n = 0;
	sodium_memzero(ck, sizeof(ck));
}

static int encrypt_and_hash(struct noise *noise, const uint8_t *plain, size_t length, uint8_t *out)
{
	struct aead_key key;
	int err = aead_key_init(&key, noise->cipher, noise->k);

	if (err)
		return err;
	aead_seal(&key, noise->n++, noise->h, sizeof(noise->h), plain, length, out);
	aead_key_wipe(&key);
	mix_hash(noise, out, length + AEAD_TAG_BYTES);
	return 0;
}

/* length is that of the plaintext; sealed has AEAD_TAG_BYTES more. */
static int decrypt_and_hash(struct noise *noise, const uint8_t *sealed, size_t length, uint8_t *out)
{
	struct aead_key key;
	int err = aead_key_init(&key, noise->cipher, noise->k);

	if (err)
		return err;
	err = aead_open(&key, noise->n++, noise->h, sizeof(noise->h), sealed, length, out);
	aead_key_wipe(&key);
	if (err)
		return err;
	mix_hash(noise, sealed, length + AEAD_TAG_BYTES);
	return 0;
}

void noise_init(struct noise *noise, enum aead_cipher cipher)
{
	static const char names[AEAD_CIPHERS][NOISE_HASH_BYTES] = {
		[AEAD_AES256GCM] = "Noise_IX_25519_AESGCM_SHA256",
		[AEAD_CHACHA20POLY1305] = "Noise_IX_25519_ChaChaPoly_SHA256",
	};

	memset(noise, 0, sizeof(*noise));
	noise->cipher = cipher;
	memcpy(noise->h, names[cipher], sizeof(noise->h));
	memcpy(noise->ck, noise->h, sizeof(noise->ck));
	mix_hash(noise, NULL, 0);
}

int noise_write_1(struct noise *noise, const struct noise_static *own,
		  const uint8_t e_private[NOISE_KEY_BYTES], const uint8_t *payload, size_t length,
		  uint8_t *out)
{
	const struct x25519_job job = {e_private, NULL, noise->e_public};
	int err = x25519_all(&job, 1);

	if (err)
		return err;
	memcpy(noise->e_private, e_private, NOISE_KEY_BYTES);
	memcpy(out, noise->e_public, NOISE_KEY_BYTES);
	memcpy(out + NOISE_KEY_BYTES, own->public_key, NOISE_KEY_BYTES);
	memcpy(out + NOISE_1_OVERHEAD, payload, length);
	mix_hash(noise, out, NOISE_KEY_BYTES);
	mix_hash(noise, out + NOISE_KEY_BYTES, NOISE_KEY_BYTES);
	mix_hash(noise, out + NOISE_1_OVERHEAD, length);
	return 0;
}

int noise_read_1(struct noise *noise, const uint8_t *message, size_t length,
		 const uint8_t **payload, size_t *payload_length)
{
	if (length < NOISE_1_OVERHEAD)
		return -EMSGSIZE;
	memcpy(noise->remote_e, message, NOISE_KEY_BYTES);
	memcpy(noise->remote_s, message + NOISE_KEY_BYTES, NOISE_KEY_BYTES);
	*payload = message + NOISE_1_OVERHEAD;
	*payload_length = length - NOISE_1_OVERHEAD;
	mix_hash(noise, message, NOISE_KEY_BYTES);
	mix_hash(noise, message + NOISE_KEY_BYTES, NOISE_KEY_BYTES);
	mix_hash(noise, *payload, *payload_length);
	return 0;
}

/* Every multiplication's keys are known by now, so all four are one call, ahead of the pattern. */
int noise_write_2(struct noise *noise, const struct noise_static *own,
		  const uint8_t e_private[NOISE_KEY_BYTES], const uint8_t *payload, size_t length,
		  uint8_t *out)
{
	uint8_t *s = out + NOISE_KEY_BYTES, *body = s + NOISE_KEY_BYTES + AEAD_TAG_BYTES;
	struct secrets secret;
	const struct x25519_job jobs[] = {
		{e_private, NULL, noise->e_public},
		{e_private, noise->remote_e, secret.ee},
		{e_private, noise->remote_s, secret.se},
		{own->private_key, noise->remote_e, secret.es},
	};
	int err = x25519_all(jobs, 4);

	if (err)
		goto out;
	memcpy(noise->e_private, e_private, NOISE_KEY_BYTES);
	memcpy(out, noise->e_public, NOISE_KEY_BYTES);
	mix_hash(noise, out, NOISE_KEY_BYTES);
	mix_key(noise, secret.ee);
	mix_key(noise, secret.se);
	err = encrypt_and_hash(noise, own->public_key, NOISE_KEY_BYTES, s);
	if (err)
		goto out;
	mix_key(noise, secret.es);
	err = encrypt_and_hash(noise, payload, length, body);
out:
	sodium_memzero(&secret, sizeof(secret));
	return err;
}

int noise_read_2(struct noise *noise, const struct noise_static *own, const uint8_t *message,
		 size_t length, uint8_t *payload, size_t *payload_length)
{
	const uint8_t *s = message + NOISE_KEY_BYTES, *body = s + NOISE_KEY_BYTES + AEAD_TAG_BYTES;
	struct noise copy = *noise;
	struct secrets secret;
	const struct x25519_job first[] = {
		{copy.e_private, copy.remote_e, secret.ee},
		{own->private_key, copy.remote_e, secret.se},
	};
	const struct x25519_job last = {copy.e_private, copy.remote_s, secret.es};
	int err;

	if (length < NOISE_2_OVERHEAD)
		return -EMSGSIZE;
	memcpy(copy.remote_e, message, NOISE_KEY_BYTES);
	mix_hash(&copy, message, NOISE_KEY_BYTES);
	err = x25519_all(first, 2);
	if (err)
		goto out;
	mix_key(&copy, secret.ee);
	mix_key(&copy, secret.se);
	if ((err = decrypt_and_hash(&copy, s, NOISE_KEY_BYTES, copy.remote_s)) ||
	    (err = x25519_all(&last, 1)))
		goto out;
	mix_key(&copy, secret.es);
	err = decrypt_and_hash(&copy, body, length - NOISE_2_OVERHEAD, payload);
	if (err)
		goto out;
	*payload_length = length - NOISE_2_OVERHEAD;
	*noise = copy;
out:
	sodium_memzero(&secret, sizeof(secret));
	noise_wipe(&copy);
	return err;
}

void noise_split(const struct noise *noise, uint8_t to_responder[AEAD_KEY_BYTES],
		 uint8_t to_initiator[AEAD_KEY_BYTES])
{
	hkdf2(noise->ck, NULL, 0, to_responder, to_initiator);
}

void noise_wipe(struct noise *noise)
{
	sodium_memzero(noise, sizeof(*noise));
}
