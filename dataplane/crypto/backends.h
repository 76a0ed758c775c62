/*
 * crypto/backends.h - the rows of the table in aead.c, each defined by its own file.
 *
 * A further AEAD library is one file aead_<name>.c and one line here and in the table.
 */
#ifndef M57_BACKENDS_H
#define M57_BACKENDS_H

#include "aead.h"

/* x86-64 only (HAVE_IPSEC_MB). The fastest where it exists: one call per packet, no setup. */
extern struct aead_backend aead_ipsecmb_aes256gcm, aead_ipsecmb_chacha20poly1305;
/* x86-64 with VAES and VPCLMULQDQ, with and without AVX-512. Ours; the cheapest per packet. */
extern struct aead_backend aead_vaes512_aes256gcm, aead_vaes_aes256gcm;
/* Everywhere. About 250 ns of EVP calls per packet, then close to the CPU's speed. */
extern struct aead_backend aead_libcrypto_aes256gcm, aead_libcrypto_chacha20poly1305;
/* ChaCha everywhere; AES only with AES instructions. */
extern struct aead_backend aead_sodium_aes256gcm, aead_sodium_chacha20poly1305;

#endif
