/*
 * pki.h - this node's identity: trusted CAs, blocklist, own certificate and private key
 * (PROTOCOL.md 3.7). Built once per configuration by the control thread; a reload builds the next.
 *
 * Each aspect has a function of its own, so that a configuration check can report every mistake at
 * once: pki_init(), then pki_load_ca(), pki_load_cert(), pki_load_key(), pki_block() in any order,
 * each with the value of its key, then pki_check_match(). Each returns 0, or -EINVAL or -ENOMEM and
 * one line of text (what is wrong, what to do) in error; the caller puts file and line before it.
 * No text ever holds bytes of a private key.
 */
#ifndef M57_PKI_H
#define M57_PKI_H

#include "identity/ca_pool.h"

#define PKI_ERROR_MAX       512 /* bytes of one line of text, terminator included */
#define PKI_PRIVATE_KEY_MAX 32  /* bytes; X25519, later P-256 */

/* One certificate of ours, of one version, and its form for the handshake. */
struct pki_cert {
	struct cert *cert;        /* NULL: we have none of this version */
	uint8_t *handshake_bytes; /* without public key, PROTOCOL.md 2.4; owned */
	size_t handshake_len;
};

struct pki {
	struct ca_pool *ca;
	struct blocklist *blocklist; /* never NULL after pki_init */
	struct pki_cert v1;
	struct pki_cert v2;   /* empty until version 2 is supported */
	uint8_t *private_key; /* sodium_malloc'ed, NULL until loaded */
	size_t private_key_len;
	unsigned skipped_ca_blocks;   /* CA or own certificates of versions not supported yet; */
	unsigned skipped_cert_blocks; /* the caller may warn about them */
};

/* Returns 0 or -ENOMEM. Initialises libsodium too. */
int pki_init(struct pki *pki);

/* Frees and wipes everything; the struct may be used again after pki_init. */
void pki_free(struct pki *pki);

/*
 * value of pki.ca, pki.cert, pki.key: a path, or the PEM text itself when it contains "-----BEGIN".
 * now: unix seconds. A second load of an aspect replaces the first.
 */
int pki_load_ca(struct pki *pki, const char *value, int64_t now, char error[PKI_ERROR_MAX]);
int pki_load_cert(struct pki *pki, const char *value, int64_t now, char error[PKI_ERROR_MAX]);
int pki_load_key(struct pki *pki, const char *value, char error[PKI_ERROR_MAX]);

/* Adds one entry of pki.blocklist. */
int pki_block(struct pki *pki, const char *fingerprint, char error[PKI_ERROR_MAX]);

/*
 * Does the key belong to the certificate? Call it when certificate and key have both loaded.
 * Whether our own CA bundle trusts us is for the peers to say: not an error here.
 */
int pki_check_match(const struct pki *pki, char error[PKI_ERROR_MAX]);

/* May next replace old while the node runs? (Networks and curve must stay, PROTOCOL.md 3.7.) */
int pki_check_reload(const struct pki *old, const struct pki *next, char error[PKI_ERROR_MAX]);

/*
 * The certificate that defines our addresses: version 2 if we have one, else version 1. Borrowed;
 * NULL only before pki_load_cert has succeeded.
 */
const struct cert *pki_own_cert(const struct pki *pki);

/* The public key of our certificate, i.e. our Noise static public key; length in *len. */
const uint8_t *pki_public_key(const struct pki *pki, size_t *len);

#endif
