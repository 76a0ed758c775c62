/*
 * noise.h - the Noise pattern IX with Curve25519 and SHA-256, both roles (PROTOCOL.md 2.1, 2.2).
 *
 * Pure: no clock, no I/O, no randomness; ephemeral keys are handed in. Nothing is allocated here
 * (an AEAD backend may, inside aead_key_init).
 *
 *	initiator: noise_init, noise_write_1, noise_read_2, noise_split
 *	responder: noise_init, noise_read_1, noise_write_2, noise_split
 *
 * noise_read_1 changes only hash states and is cheap. noise_read_2 works on a copy: whatever comes
 * in as message 2, a failure leaves the state as it was, so a forged one spoils no handshake.
 */
#ifndef M57_NOISE_H
#define M57_NOISE_H

#include "aead.h"

#define NOISE_KEY_BYTES  32
#define NOISE_HASH_BYTES 32
#define NOISE_1_OVERHEAD (2 * NOISE_KEY_BYTES) /* message 1: e and s in clear, payload in clear */
#define NOISE_2_OVERHEAD                                                                           \
	(2 * NOISE_KEY_BYTES + 2 * AEAD_TAG_BYTES) /* message 2: e clear, s and payload sealed */

/* A key pair that stays with its owner: our static keys. */
struct noise_static {
	const uint8_t *private_key; /* NOISE_KEY_BYTES each */
	const uint8_t *public_key;
};

struct noise {
	enum aead_cipher cipher;
	uint8_t h[NOISE_HASH_BYTES];
	uint8_t ck[NOISE_HASH_BYTES];
	uint8_t k[AEAD_KEY_BYTES]; /* valid after the first DH */
	uint64_t n;                /* messages sealed under k */
	uint8_t e_private[NOISE_KEY_BYTES];
	uint8_t e_public[NOISE_KEY_BYTES];
	uint8_t remote_e[NOISE_KEY_BYTES];
	uint8_t remote_s[NOISE_KEY_BYTES]; /* the peer's static public key, once its message is read
					    */
};

/* Name, empty prologue. */
void noise_init(struct noise *noise, enum aead_cipher cipher);

/*
 * Initiator. Writes NOISE_1_OVERHEAD + length bytes to out. 0; -EINVAL for an ephemeral key that
 * has no public key.
 */
int noise_write_1(struct noise *noise, const struct noise_static *own,
		  const uint8_t e_private[NOISE_KEY_BYTES], const uint8_t *payload, size_t length,
		  uint8_t *out);

/* Responder. The payload lies in message. 0; -EMSGSIZE when message is too short. */
int noise_read_1(struct noise *noise, const uint8_t *message, size_t length,
		 const uint8_t **payload, size_t *payload_length);

/*
 * Responder, after noise_read_1: three DH. Writes NOISE_2_OVERHEAD + length bytes to out. 0;
 * -EINVAL when a key of the peer is a low-order point (all-zero DH result); -ENOMEM.
 */
int noise_write_2(struct noise *noise, const struct noise_static *own,
		  const uint8_t e_private[NOISE_KEY_BYTES], const uint8_t *payload, size_t length,
		  uint8_t *out);

/*
 * Initiator, after noise_write_1: up to three DH. payload gets length - NOISE_2_OVERHEAD bytes.
 * Returns 0; -EMSGSIZE too short; -EBADMSG a tag is wrong; -EINVAL low-order point; -ENOMEM. noise
 * is changed only on success.
 */
int noise_read_2(struct noise *noise, const struct noise_static *own, const uint8_t *message,
		 size_t length, uint8_t *payload, size_t *payload_length);

/* The transport keys: to_responder seals what the initiator sends, to_initiator the reverse. */
void noise_split(const struct noise *noise, uint8_t to_responder[AEAD_KEY_BYTES],
		 uint8_t to_initiator[AEAD_KEY_BYTES]);

/* At the end: no secret of it stays in memory. */
void noise_wipe(struct noise *noise);

#endif
