/* cert_helpers.h - certificates for tests: from vectors, made to order, and as raw protobuf. */
#ifndef M57_CERT_HELPERS_H
#define M57_CERT_HELPERS_H

#include <criterion/criterion.h>
#include <sodium.h>
#include <string.h>

#include "addr_text.h"
#include "identity/ca_pool.h"
#include "identity/cert.h"
#include "identity/pem.h"
#include "vectors/cert_v1.h"

static inline struct pem_block block_of(const char *pem)
{
	struct pem_block block;

	cr_assert_eq(pem_next(&pem, pem + strlen(pem), &block), 0);
	return block;
}

static inline struct cert *cert_of(const char *pem)
{
	struct pem_block block = block_of(pem);
	struct cert *cert;

	cr_assert_eq(cert_decode(CERT_VERSION_1, block.bytes, block.len, &cert), CERT_OK);
	pem_block_free(&block);
	return cert;
}

static inline size_t hex_decode(const char *hex, uint8_t *out, size_t size)
{
	size_t len;

	cr_assert_eq(sodium_hex2bin(out, size, hex, strlen(hex), NULL, &len, NULL), 0);
	return len;
}

static inline struct prefix prefix_of(const char *text)
{
	struct prefix prefix;

	cr_assert_eq(prefix_parse(text, &prefix), 0, "%s", text);
	return prefix;
}

/* --- made to order --------------------------------------------------------------------------- */

/* Signs wanted with the key of Vector CA; its public key defaults to host1's, or the CA's own. */
static inline struct cert *cert_made(struct cert wanted)
{
	struct pem_block key = block_of(VECTOR_CA_KEY_PEM);
	struct cert *cert;
	enum cert_error error;

	wanted.version = CERT_VERSION_1;
	wanted.name = wanted.name != NULL ? wanted.name : "made";
	if (wanted.public_key_len == 0)
		wanted.public_key_len = (uint8_t)hex_decode(
			wanted.is_ca ? VECTOR_CA_PUBLIC_KEY : VECTOR_HOST1_PUBLIC_KEY,
			wanted.public_key, sizeof(wanted.public_key));
	error = cert_sign(&wanted, key.bytes, key.len, &cert);
	cr_assert_eq(error, CERT_OK, "%s", cert_error_text(error));
	pem_block_free(&key);
	return cert;
}

/* PEM text of a certificate, appended to text. */
static inline void pem_append(char *text, const struct cert *cert)
{
	uint8_t *bytes;
	size_t len, text_len;
	char *pem;

	cr_assert_eq(cert_encode(cert, &bytes, &len), 0);
	pem = pem_encode(PEM_CERTIFICATE, bytes, len, &text_len);
	strcat(text, pem);
	sodium_free(pem);
	free(bytes);
}

/* --- raw protobuf ---------------------------------------------------------------------------- */

struct raw {
	uint8_t bytes[2048];
	size_t len;
};

static inline void raw_put(struct raw *raw, const void *bytes, size_t len)
{
	cr_assert(raw->len + len <= sizeof(raw->bytes));
	memcpy(raw->bytes + raw->len, bytes, len);
	raw->len += len;
}

/* A varint, made longer than needed by padding bytes. */
static inline void raw_varint(struct raw *raw, uint64_t value, unsigned padding)
{
	for (; value >= 0x80 || padding > 0; value >>= 7) {
		uint8_t byte = (uint8_t)(value | 0x80);

		if (value < 0x80)
			padding--;
		raw_put(raw, &byte, 1);
	}
	raw_put(raw, &(uint8_t){(uint8_t)value}, 1);
}

static inline void raw_tag(struct raw *raw, unsigned field, unsigned wire_type)
{
	raw_varint(raw, (uint64_t)field << 3 | wire_type, 0);
}

static inline void raw_number(struct raw *raw, unsigned field, uint64_t value)
{
	raw_tag(raw, field, 0);
	raw_varint(raw, value, 0);
}

static inline void raw_bytes(struct raw *raw, unsigned field, const void *bytes, size_t len)
{
	raw_tag(raw, field, 2);
	raw_varint(raw, len, 0);
	raw_put(raw, bytes, len);
}

static inline void raw_hex(struct raw *raw, unsigned field, const char *hex)
{
	uint8_t bytes[256];

	raw_bytes(raw, field, bytes, hex_decode(hex, bytes, sizeof(bytes)));
}

/* The whole certificate around these details, signed by Vector CA over exactly these bytes. */
static inline struct raw raw_signed(const struct raw *details)
{
	struct pem_block key = block_of(VECTOR_CA_KEY_PEM);
	uint8_t signature[crypto_sign_BYTES];
	struct raw whole = {.len = 0};

	crypto_sign_detached(signature, NULL, details->bytes, details->len, key.bytes);
	pem_block_free(&key);
	raw_bytes(&whole, 1, details->bytes, details->len);
	raw_bytes(&whole, 2, signature, sizeof(signature));
	return whole;
}

#endif
