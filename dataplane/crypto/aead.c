/*
 * aead.c - the table of AEAD backends and the choice between them.
 *
 * Which library is fastest depends on the CPU, and the factor is large (see include/aead.h), so the
 * choice is measured, not guessed: aead_select() runs each usable row for about a millisecond on
 * packets of the usual size. Rows of one cipher stand in the order in which they serve when nobody
 * has measured.
 */
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <time.h>

#include "crypto/backends.h"

#define TRIAL_BYTES     1316    /* an inner packet of the usual tun MTU, with room for a relay */
#define TRIAL_AAD_BYTES 16      /* the Nebula header */
#define TRIAL_NS        150000u /* a slice; the best one counts, so preemption does not */
#define TRIAL_SLICES    2
#define TRIAL_ROUNDS    4
#define TRIAL_BATCH     8 /* packets between two looks at the clock */

static struct aead_backend *const table[] = {
#ifdef HAVE_IPSEC_MB
	&aead_ipsecmb_aes256gcm,
#endif
#ifdef __x86_64__
	&aead_vaes512_aes256gcm,          &aead_vaes_aes256gcm,
#endif
	&aead_libcrypto_aes256gcm,        &aead_sodium_aes256gcm,
#ifdef HAVE_IPSEC_MB
	&aead_ipsecmb_chacha20poly1305,
#endif
	&aead_libcrypto_chacha20poly1305, &aead_sodium_chacha20poly1305,
};
#define TABLE_ROWS (sizeof(table) / sizeof(table[0]))

static struct {
	const struct aead_backend *backend;
	unsigned bytes_per_us;
} chosen[AEAD_CIPHERS];

static pthread_once_t choose_once = PTHREAD_ONCE_INIT;
static bool measure; /* set by aead_select() before it chooses */

struct aead_backend *aead_row(size_t i)
{
	return i < TABLE_ROWS ? table[i] : NULL;
}

static uint64_t monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Sealing speed in bytes per microsecond (MB/s); 0 when the key cannot be set up. */
static unsigned trial(const struct aead_backend *backend)
{
	struct aead_key key;
	uint8_t raw[AEAD_KEY_BYTES] = {1};
	uint8_t aad[TRIAL_AAD_BYTES] = {0};
	uint8_t packet[TRIAL_BYTES + AEAD_TAG_BYTES] = {0};
	uint64_t counter = 0, best = 0;

	if (aead_key_init_with(&key, backend, raw) != 0)
		return 0;
	for (unsigned slice = 0; slice < TRIAL_SLICES; slice++) {
		uint64_t start = monotonic_ns(), elapsed, bytes = 0;

		do {
			for (unsigned i = 0; i < TRIAL_BATCH; i++)
				aead_seal(&key, ++counter, aad, sizeof(aad), packet, TRIAL_BYTES,
					  packet);
			bytes += TRIAL_BATCH * TRIAL_BYTES;
			elapsed = monotonic_ns() - start;
		} while (elapsed < TRIAL_NS);
		if (bytes * 1000 / elapsed > best)
			best = bytes * 1000 / elapsed;
	}
	aead_key_wipe(&key);
	return best ? (unsigned)best : 1;
}

/* Fills chosen[]. A name in M57_AEAD that no usable row of a cipher has does not count for it. */
static void choose(void)
{
	const char *wanted = getenv("M57_AEAD");
	unsigned speeds[TABLE_ROWS] = {0};

	/* Round after round, so that a busy machine slows down each row alike. */
	for (unsigned round = 0; measure && round < TRIAL_ROUNDS; round++) {
		for (size_t i = 0; i < TABLE_ROWS; i++) {
			unsigned speed = table[i]->usable(table[i]) ? trial(table[i]) : 0;
			speeds[i] = speed > speeds[i] ? speed : speeds[i];
		}
	}
	for (size_t i = 0; i < TABLE_ROWS; i++) {
		struct aead_backend *row = table[i];
		const struct aead_backend *before = chosen[row->cipher].backend;
		unsigned speed = speeds[i];

		if (!row->usable(row))
			continue;
		bool named = wanted && strcmp(wanted, row->name) == 0;
		bool before_named = before && wanted && strcmp(wanted, before->name) == 0;
		bool faster = speed > chosen[row->cipher].bytes_per_us;

		if (!before || named || (faster && !before_named)) {
			chosen[row->cipher].backend = row;
			chosen[row->cipher].bytes_per_us = speed;
		}
	}
}

void aead_select(void)
{
	measure = true;
	pthread_once(&choose_once, choose);
}

const struct aead_backend *aead_chosen(enum aead_cipher cipher)
{
	pthread_once(&choose_once, choose);
	return chosen[cipher].backend;
}

unsigned aead_chosen_speed(enum aead_cipher cipher)
{
	return chosen[cipher].bytes_per_us;
}

int aead_key_init_with(struct aead_key *key, const struct aead_backend *backend,
		       const uint8_t raw[AEAD_KEY_BYTES])
{
	int rc;

	memset(key, 0, sizeof(*key));
	rc = backend->key_init(key, raw);
	if (rc != 0) {
		sodium_memzero(key, sizeof(*key));
		return rc;
	}
	key->backend = backend;
	key->cipher = backend->cipher;
	return 0;
}

int aead_key_init(struct aead_key *key, enum aead_cipher cipher, const uint8_t raw[AEAD_KEY_BYTES])
{
	return aead_key_init_with(key, aead_chosen(cipher), raw);
}

void aead_key_wipe(struct aead_key *key)
{
	if (key->backend && key->backend->key_release)
		key->backend->key_release(key);
	sodium_memzero(key, sizeof(*key));
}
