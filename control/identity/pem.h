/*
 * pem.h - PEM blocks, several to a file (PROTOCOL.md 3.3). Pure; the base64 is libsodium's.
 *
 *	for (const char *at = text;;) {
 *		int err = pem_next(&at, end, &block);
 *		if (err == -ENOENT) break;	// no further block
 *		...
 *		pem_block_free(&block);
 *	}
 */
#ifndef M57_PEM_H
#define M57_PEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "limits.h"

#define PEM_CERTIFICATE              "NEBULA CERTIFICATE"
#define PEM_CERTIFICATE_V2           "NEBULA CERTIFICATE V2"
#define PEM_X25519_PRIVATE_KEY       "NEBULA X25519 PRIVATE KEY"
#define PEM_X25519_PUBLIC_KEY        "NEBULA X25519 PUBLIC KEY"
#define PEM_P256_PRIVATE_KEY         "NEBULA P256 PRIVATE KEY"
#define PEM_P256_PUBLIC_KEY          "NEBULA P256 PUBLIC KEY"
#define PEM_ED25519_PRIVATE_KEY      "NEBULA ED25519 PRIVATE KEY"
#define PEM_ED25519_PUBLIC_KEY       "NEBULA ED25519 PUBLIC KEY"
#define PEM_ECDSA_P256_PRIVATE_KEY   "NEBULA ECDSA P256 PRIVATE KEY"
#define PEM_ECDSA_P256_PUBLIC_KEY    "NEBULA ECDSA P256 PUBLIC KEY"
#define PEM_ED25519_ENCRYPTED_KEY    "NEBULA ED25519 ENCRYPTED PRIVATE KEY"
#define PEM_ECDSA_P256_ENCRYPTED_KEY "NEBULA ECDSA P256 ENCRYPTED PRIVATE KEY"

#define PEM_BANNER_MAX 64 /* bytes with terminator; the longest above has 39 */

/* One decoded block. bytes is in sodium_malloc memory, since it may be a key. */
struct pem_block {
	char banner[PEM_BANNER_MAX]; /* the words after BEGIN */
	uint8_t *bytes;
	size_t len;
};

/*
 * Reads the next block of [*at, end) and moves *at behind it. Text outside blocks is skipped.
 * Returns 0; -ENOENT when no further block begins; -EBADMSG when a block has no end, ends with
 * another banner or is not base64, or the text ends within the BEGIN of one; -E2BIG for a block
 * above PEM_BLOCK_MAX; -ENOMEM. After an error other than -ENOENT *at is undefined.
 */
int pem_next(const char **at, const char *end, struct pem_block *block);

/* Could this be a private key, or hold one or a piece of it? Then it is not to be shown. */
bool pem_may_be_secret(const char *text);

/* Wipes and frees the bytes. */
void pem_block_free(struct pem_block *block);

/*
 * The PEM text of one block, terminated, final newline included, in sodium_malloc memory: the
 * caller wipes and frees it with sodium_free(). NULL when out of memory. *text_len excludes the
 * terminator.
 */
char *pem_encode(const char *banner, const uint8_t *bytes, size_t len, size_t *text_len);

#endif
