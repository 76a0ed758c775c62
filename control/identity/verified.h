/*
 * verified.h - certificates whose signature has been found right: an Ed25519 check that is not made
 * again when the peer comes back.
 *
 * The key is the certificate's fingerprint: a hash over every field, the public key, the
 * fingerprint of the CA that signed, and the signature itself. So an entry vouches for one
 * certificate under one CA and for nothing else; times, blocklist and the CA's limits are judged
 * each time. Only a certificate whose signature is right gets in, so nobody without one can push
 * others out. Whoever changes the CAs clears it.
 */
#ifndef M57_VERIFIED_H
#define M57_VERIFIED_H

#include "identity/cert.h"
#include "limits.h"

/* All zero is empty. Each certificate has one place, by its fingerprint, and takes it over. */
struct verified {
	uint8_t fingerprints[VERIFIED_MAX][CERT_FINGERPRINT_SIZE];
};

/* Was this certificate's signature found right, and not pushed out since? */
bool verified_has(const struct verified *verified, const struct cert *cert);
/* Its signature is right. */
void verified_add(struct verified *verified, const struct cert *cert);
void verified_clear(struct verified *verified);

#endif
