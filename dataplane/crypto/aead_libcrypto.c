/*
 * aead_libcrypto.c - OpenSSL 3's AES-256-GCM and ChaCha20-Poly1305 through EVP.
 *
 * Theory of operation. An EVP context is expensive to key and not thread safe, while the contract
 * wants one key used by several threads, and a worker may not allocate. So each key owns a few
 * keyed contexts per direction, made by key_init on control; a thread borrows a free one by a bit,
 * sets the nonce, works and gives it back. Contexts bound to threads instead would outlive the key
 * (nobody could wipe them), and would be keyed anew whenever a worker turns to another tunnel.
 *
 * More threads than contexts at one moment: the late one spins for one packet's time. The contexts
 * lie on OpenSSL's heap, which is not locked memory; OpenSSL wipes them when they are freed.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "crypto/backends.h"
#include "spin.h"

#define CONTEXTS 3 /* per direction; several workers share one tunnel only now and then */

struct pool {
	_Atomic uint32_t busy[2]; /* a bit per context; [1] seals */
	EVP_CIPHER_CTX *context[2][CONTEXTS];
};

static EVP_CIPHER *ciphers[AEAD_CIPHERS]; /* fetched once, kept until the process ends */
static pthread_once_t ciphers_once = PTHREAD_ONCE_INIT;

static void ciphers_fetch(void)
{
	ciphers[AEAD_AES256GCM] = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	ciphers[AEAD_CHACHA20POLY1305] = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
}

static bool usable(struct aead_backend *self)
{
	pthread_once(&ciphers_once, ciphers_fetch);
	return ciphers[self->cipher] != NULL;
}

static void pool_free(struct pool *pool)
{
	for (unsigned sealing = 0; sealing < 2; sealing++)
		for (unsigned i = 0; i < CONTEXTS; i++)
			EVP_CIPHER_CTX_free(pool->context[sealing][i]);
	free(pool);
}

static int key_init(struct aead_key *key, enum aead_cipher cipher,
		    const uint8_t raw[AEAD_KEY_BYTES])
{
	struct pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return -ENOMEM;
	for (int sealing = 0; sealing < 2; sealing++) {
		for (unsigned i = 0; i < CONTEXTS; i++) {
			EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();

			pool->context[sealing][i] = context;
			if (!context || EVP_CipherInit_ex(context, ciphers[cipher], NULL, raw, NULL,
							  sealing) != 1)
				goto err_pool;
		}
	}
	memcpy(key->state, &pool, sizeof(pool));
	return 0;

err_pool:
	pool_free(pool);
	return -ENOMEM;
}

static int aes_key_init(struct aead_key *key, const uint8_t raw[AEAD_KEY_BYTES])
{
	return key_init(key, AEAD_AES256GCM, raw);
}

static int chacha_key_init(struct aead_key *key, const uint8_t raw[AEAD_KEY_BYTES])
{
	return key_init(key, AEAD_CHACHA20POLY1305, raw);
}

static struct pool *pool_of(const struct aead_key *key)
{
	struct pool *pool;

	memcpy(&pool, key->state, sizeof(pool));
	return pool;
}

static void key_release(struct aead_key *key)
{
	pool_free(pool_of(key));
}

/* The number of a context that is the caller's until give_back. */
static unsigned borrow(struct pool *pool, bool sealing)
{
	uint32_t busy = atomic_load_explicit(&pool->busy[sealing], memory_order_relaxed);

	for (;;) {
		unsigned i = (unsigned)__builtin_ctz(~busy);

		if (i >= CONTEXTS) {
			spin_pause();
			busy = atomic_load_explicit(&pool->busy[sealing], memory_order_relaxed);
		} else if (atomic_compare_exchange_weak_explicit(
				   &pool->busy[sealing], &busy, busy | 1u << i,
				   memory_order_acquire, memory_order_relaxed)) {
			return i;
		}
	}
}

static void give_back(struct pool *pool, bool sealing, unsigned i)
{
	atomic_fetch_and_explicit(&pool->busy[sealing], ~(1u << i), memory_order_release);
}

/* Everything but the tag: nonce, AAD, data. EVP takes lengths as int; ours are datagrams. */
static bool run(EVP_CIPHER_CTX *context, bool sealing, const uint8_t *nonce, const uint8_t *aad,
		size_t aad_bytes, const uint8_t *in, size_t length, uint8_t *out)
{
	int done;

	if (EVP_CipherInit_ex(context, NULL, NULL, NULL, nonce, sealing) != 1)
		return false;
	if (aad_bytes > 0 && EVP_CipherUpdate(context, NULL, &done, aad, (int)aad_bytes) != 1)
		return false;
	return length == 0 || EVP_CipherUpdate(context, out, &done, in, (int)length) == 1;
}

/* A failure inside libcrypto must not let plaintext out: it leaves zeros, which nobody accepts. */
static void evp_seal(const struct aead_key *key, const uint8_t nonce[AEAD_NONCE_BYTES],
		     const uint8_t *aad, size_t aad_bytes, const uint8_t *in, size_t length,
		     uint8_t *out)
{
	struct pool *pool = pool_of(key);
	unsigned i = borrow(pool, true);
	EVP_CIPHER_CTX *context = pool->context[1][i];
	int done;

	if (!run(context, true, nonce, aad, aad_bytes, in, length, out) ||
	    EVP_CipherFinal_ex(context, out + length, &done) != 1 ||
	    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_BYTES, out + length) != 1)
		memset(out, 0, length + AEAD_TAG_BYTES);
	give_back(pool, true, i);
}

static int evp_open(const struct aead_key *key, const uint8_t nonce[AEAD_NONCE_BYTES],
		    const uint8_t *aad, size_t aad_bytes, const uint8_t *in, size_t length,
		    uint8_t *out)
{
	struct pool *pool = pool_of(key);
	unsigned i = borrow(pool, false);
	EVP_CIPHER_CTX *context = pool->context[0][i];
	uint8_t tag[AEAD_TAG_BYTES];
	int done;
	bool good;

	memcpy(tag, in + length, AEAD_TAG_BYTES);
	good = run(context, false, nonce, aad, aad_bytes, in, length, out) &&
	       EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_BYTES, tag) == 1 &&
	       EVP_CipherFinal_ex(context, tag, &done) == 1;
	give_back(pool, false, i);
	return good ? 0 : -EBADMSG;
}

struct aead_backend aead_libcrypto_aes256gcm = {
	.name = "libcrypto",
	.cipher = AEAD_AES256GCM,
	.architecture = "",
	.usable = usable,
	.key_init = aes_key_init,
	.key_release = key_release,
	.seal = evp_seal,
	.open = evp_open,
};

struct aead_backend aead_libcrypto_chacha20poly1305 = {
	.name = "libcrypto",
	.cipher = AEAD_CHACHA20POLY1305,
	.architecture = "",
	.usable = usable,
	.key_init = chacha_key_init,
	.key_release = key_release,
	.seal = evp_seal,
	.open = evp_open,
};
