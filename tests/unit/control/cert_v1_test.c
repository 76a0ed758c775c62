/* cert_v1_test.c - version 1 certificates: vectors, other encodings of the same, and bad bytes. */
#include "unit/control/cert_helpers.h"

#include <stdlib.h>

static void init(void)
{
	cr_assert_geq(sodium_init(), 0);
}

TestSuite(cert_v1, .init = init);

static bool signed_by_vector_ca(const struct cert *cert)
{
	uint8_t key[32];

	hex_decode(VECTOR_CA_PUBLIC_KEY, key, sizeof(key));
	return cert_verify_signature(cert, key, sizeof(key));
}

/* --- vectors --------------------------------------------------------------------------------- */

Test(cert_v1, vectors_decode)
{
	static const struct {
		const char *pem, *name, *network, *unsafe_network, *fingerprint, *public_key;
		bool is_ca;
		size_t groups;
		int64_t not_after;
	} rows[] = {
		{VECTOR_CA_PEM, "Vector CA", "10.42.0.0/16", "192.168.0.0/16",
		 VECTOR_CA_FINGERPRINT, VECTOR_CA_PUBLIC_KEY, true, 2, VECTOR_CA_NOT_AFTER},
		{VECTOR_HOST1_PEM, "host1.vector", "10.42.0.1/16", "192.168.77.0/24",
		 VECTOR_HOST1_FINGERPRINT, VECTOR_HOST1_PUBLIC_KEY, false, 2,
		 VECTOR_HOST_NOT_AFTER},
		{VECTOR_HOST2_PEM, "host2", "10.42.0.2/16", NULL, VECTOR_HOST2_FINGERPRINT,
		 VECTOR_HOST2_PUBLIC_KEY, false, 0, VECTOR_HOST_NOT_AFTER},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pem_block block = block_of(rows[i].pem);
		struct cert *cert = cert_of(rows[i].pem);
		char text[CERT_FINGERPRINT_HEX_MAX];
		uint8_t *bytes;
		size_t len;

		cr_assert_str_eq(cert->name, rows[i].name);
		cr_assert_eq(cert->version, CERT_VERSION_1);
		cr_assert_eq(cert->curve, CERT_CURVE_25519);
		cr_assert_eq(cert->is_ca, rows[i].is_ca);
		cr_assert_eq(cert->network_count, 1);
		cr_assert_str_eq(prefix_format(&cert->networks[0], text), rows[i].network);
		cr_assert_eq(cert->unsafe_network_count, rows[i].unsafe_network != NULL);
		if (rows[i].unsafe_network != NULL)
			cr_assert_str_eq(prefix_format(&cert->unsafe_networks[0], text),
					 rows[i].unsafe_network);
		cr_assert_eq(cert->group_count, rows[i].groups);
		if (rows[i].groups != 0) {
			cr_assert_str_eq(cert->groups[0], "servers");
			cr_assert_str_eq(cert->groups[1], "laptops");
		}
		cr_assert_eq(cert->not_before, VECTOR_NOT_BEFORE);
		cr_assert_eq(cert->not_after, rows[i].not_after);
		cr_assert_eq(cert->has_issuer, !rows[i].is_ca);
		if (cert->has_issuer)
			cr_assert_str_eq(cert_fingerprint_hex(cert->issuer, text),
					 VECTOR_CA_FINGERPRINT);
		cr_assert_str_eq(cert_fingerprint_hex(cert->public_key, text), rows[i].public_key);
		cr_assert_str_eq(cert_fingerprint_hex(cert->fingerprint, text),
				 rows[i].fingerprint);
		cr_assert(signed_by_vector_ca(cert));

		cr_assert_eq(cert_encode(cert, &bytes, &len), 0);
		cr_assert_eq(len, block.len);
		cr_assert_eq(memcmp(bytes, block.bytes, len), 0);
		free(bytes);
		cert_unref(cert);
		pem_block_free(&block);
	}
}

/* --- the handshake form ---------------------------------------------------------------------- */

Test(cert_v1, handshake_form)
{
	struct cert *host1 = cert_of(VECTOR_HOST1_PEM), *host2 = cert_of(VECTOR_HOST2_PEM), *back;
	uint8_t expected[256], *bytes;
	size_t len, expected_len = hex_decode(VECTOR_HOST1_HANDSHAKE, expected, sizeof(expected));

	cr_assert_eq(cert_encode_handshake(host1, &bytes, &len), 0);
	cr_assert_eq(len, expected_len);
	cr_assert_eq(memcmp(bytes, expected, len), 0);

	for (uint32_t version = 0; version <= 1; version++) {
		cr_assert_eq(
			cert_decode_handshake(version, bytes, len, host1->public_key, 32, &back),
			CERT_OK);
		cr_assert_eq(memcmp(back->fingerprint, host1->fingerprint, 32), 0);
		cr_assert(signed_by_vector_ca(back));
		cert_unref(back);
	}
	/* with somebody else's key it decodes, and its signature does not hold */
	cr_assert_eq(cert_decode_handshake(1, bytes, len, host2->public_key, 32, &back), CERT_OK);
	cr_assert(!signed_by_vector_ca(back));
	cert_unref(back);

	cr_assert_eq(cert_decode_handshake(2, bytes, len, host1->public_key, 32, &back),
		     CERT_UNSUPPORTED_VERSION);
	cr_assert_eq(cert_decode_handshake(UINT32_MAX, bytes, len, host1->public_key, 32, &back),
		     CERT_UNSUPPORTED_VERSION);
	cr_assert_eq(cert_decode_handshake(1, bytes, len, host1->public_key, 31, &back),
		     CERT_BAD_PUBLIC_KEY);
	cr_assert_eq(cert_decode_handshake(1, bytes, len, host1->public_key, 65, &back),
		     CERT_BAD_PUBLIC_KEY);
	cr_assert_eq(cert_decode_handshake(1, bytes, len, NULL, 0, &back), CERT_BAD_PUBLIC_KEY);
	cr_assert_null(back);
	free(bytes);

	cr_assert_eq(cert_encode_handshake(host2, &bytes, &len), 0);
	cr_assert_eq(len, VECTOR_HOST2_HANDSHAKE_LEN);
	free(bytes);
	cert_unref(host1);
	cert_unref(host2);
}

Test(cert_v1, handshake_form_with_a_key_is_refused)
{
	struct pem_block block = block_of(VECTOR_HOST1_PEM);
	uint8_t key[32];
	struct cert *cert;

	hex_decode(VECTOR_HOST1_PUBLIC_KEY, key, sizeof(key));
	cr_assert_eq(cert_decode_handshake(1, block.bytes, block.len, key, 32, &cert),
		     CERT_EMBEDDED_KEY);
	cr_assert_null(cert);
	pem_block_free(&block);
}

/* --- the same certificate in other encodings ------------------------------------------------- */

static const uint64_t host1_ip[] = {0x0a2a0001, 0xffff0000};
static const uint64_t host1_subnet[] = {0xc0a84d00, 0xffffff00};

static void pairs_put(struct raw *raw, unsigned field, const uint64_t *numbers, bool packed,
		      unsigned padding)
{
	struct raw list = {.len = 0};

	for (size_t i = 0; i < 2; i++) {
		if (!packed)
			raw_tag(raw, field, 0);
		raw_varint(packed ? &list : raw, numbers[i], padding);
	}
	if (packed)
		raw_bytes(raw, field, list.bytes, list.len);
}

enum encoding { CANONICAL, UNPACKED, LONG_NUMBERS, REORDERED, UNKNOWN_FIELDS, REPEATED, ENCODINGS };

/* The details of host1.vector, in the given encoding. */
static struct raw host1_details(enum encoding encoding)
{
	unsigned padding = encoding == LONG_NUMBERS ? 1 : 0;
	struct raw raw = {.len = 0};

	if (encoding == UNKNOWN_FIELDS) {
		raw_bytes(&raw, 50, "unknown", 7);
		raw_number(&raw, 51, 7);
	}
	if (encoding == REORDERED)
		raw_hex(&raw, 9, VECTOR_CA_FINGERPRINT);
	if (encoding == REPEATED) { /* the last one wins */
		raw_bytes(&raw, 1, "other", 5);
		raw_number(&raw, 5, 1);
		raw_number(&raw, 8, 1);
		raw_number(&raw, 8, 0);
	}
	raw_bytes(&raw, 1, "host1.vector", 12);
	pairs_put(&raw, 2, host1_ip, encoding != UNPACKED, padding);
	pairs_put(&raw, 3, host1_subnet, encoding != UNPACKED, padding);
	raw_bytes(&raw, 4, "servers", 7);
	raw_bytes(&raw, 4, "laptops", 7);
	raw_number(&raw, 5, VECTOR_NOT_BEFORE);
	raw_number(&raw, 6, VECTOR_HOST_NOT_AFTER);
	raw_hex(&raw, 7, VECTOR_HOST1_PUBLIC_KEY);
	if (encoding != REORDERED)
		raw_hex(&raw, 9, VECTOR_CA_FINGERPRINT);
	return raw;
}

/*
 * PROTOCOL.md 13.3, trap 31: the reference judges what it decoded. With the true signature each
 * encoding is the certificate, fingerprint and all; signed as it stands, only the canonical one is.
 */
Test(cert_v1, signature_is_over_the_canonical_form)
{
	struct cert *host1 = cert_of(VECTOR_HOST1_PEM);

	for (enum encoding encoding = CANONICAL; encoding < ENCODINGS; encoding++) {
		struct raw details = host1_details(encoding);
		struct raw as_it_stands = raw_signed(&details), with_true_signature = {.len = 0};
		struct cert *cert;

		raw_bytes(&with_true_signature, 1, details.bytes, details.len);
		raw_bytes(&with_true_signature, 2, host1->signature, 64);
		cr_assert_eq(
			cert_decode(1, with_true_signature.bytes, with_true_signature.len, &cert),
			CERT_OK);
		cr_assert_eq(memcmp(cert->fingerprint, host1->fingerprint, 32), 0, "encoding %d",
			     encoding);
		cr_assert(signed_by_vector_ca(cert), "encoding %d", encoding);
		cert_unref(cert);

		cr_assert_eq(cert_decode(1, as_it_stands.bytes, as_it_stands.len, &cert), CERT_OK);
		cr_assert_eq(signed_by_vector_ca(cert), encoding == CANONICAL, "encoding %d",
			     encoding);
		cert_unref(cert);
	}
	cert_unref(host1);
}

/* A mask with holes reads as /0, and so can never have been signed. */
Test(cert_v1, mask_with_holes)
{
	static const uint64_t holes[] = {0x0a2a0001, 0xff00ff00};
	static const uint64_t whole[] = {0x0a2a0001, 0x00000000};

	for (int i = 0; i < 2; i++) {
		struct raw details = {.len = 0}, certificate;
		struct cert *cert;

		pairs_put(&details, 2, i == 0 ? holes : whole, true, 0);
		raw_hex(&details, 7, VECTOR_HOST1_PUBLIC_KEY);
		certificate = raw_signed(&details);
		cr_assert_eq(cert_decode(1, certificate.bytes, certificate.len, &cert), CERT_OK);
		cr_assert_eq(cert->networks[0].bits, ADDR_V4_BITS);
		cr_assert_eq(addr_v4(&cert->networks[0].addr), 0x0a2a0001);
		cr_assert_eq(signed_by_vector_ca(cert), i == 1);
		cert_unref(cert);
	}
}

/* --- bad bytes ------------------------------------------------------------------------------- */

/* One field of details besides those that a host needs. */
struct extra {
	unsigned field, wire_type;
	const char *bytes; /* after the tag; length prefix included where there is one */
	size_t len;
	enum cert_error error;
};

#define EXTRA(field, wire_type, bytes, error)                                                      \
	{                                                                                          \
		field, wire_type, bytes, sizeof(bytes) - 1, error                                  \
	}

Test(cert_v1, bad_fields)
{
	static const struct extra rows[] = {
		EXTRA(1, 2, "\x02ok", CERT_OK),
		EXTRA(1, 2, "\x02\xc3\xa9", CERT_OK),
		EXTRA(1, 2, "\x01\xff", CERT_BAD_TEXT),
		EXTRA(1, 2, "\x02\xc0\x80", CERT_BAD_TEXT),         /* overlong */
		EXTRA(1, 2, "\x03\xed\xa0\x80", CERT_BAD_TEXT),     /* surrogate */
		EXTRA(1, 2, "\x04\xf4\x90\x80\x80", CERT_BAD_TEXT), /* above U+10FFFF */
		EXTRA(1, 2, "\x02\xe2\x82", CERT_BAD_TEXT),         /* cut */
		EXTRA(1, 2,
		      "\x03"
		      "a\0b",
		      CERT_BAD_TEXT),
		EXTRA(4, 2, "\x01\xfe", CERT_BAD_TEXT),
		EXTRA(4, 2, "\x00", CERT_OK),
		EXTRA(2, 2, "\x01\x05", CERT_ODD_IPS),
		EXTRA(2, 0, "\x05", CERT_ODD_IPS),
		EXTRA(2, 2, "\x02\x00\x00", CERT_BAD_NETWORK),
		EXTRA(3, 2, "\x01\x05", CERT_ODD_SUBNETS),
		EXTRA(3, 2, "\x02\x00\x00", CERT_OK), /* 0.0.0.0/0 is routed, not owned */
		EXTRA(7, 2, "\x00", CERT_BAD_PUBLIC_KEY),
		EXTRA(7, 2,
		      "\x1f"
		      "1234567890123456789012345678901",
		      CERT_BAD_PUBLIC_KEY),
		EXTRA(7, 2,
		      "\x21"
		      "123456789012345678901234567890123",
		      CERT_BAD_PUBLIC_KEY),
		EXTRA(9, 2, "\x01x", CERT_BAD_ISSUER),
		EXTRA(9, 2,
		      "\x1f"
		      "1234567890123456789012345678901",
		      CERT_BAD_ISSUER),
		EXTRA(9, 2,
		      "\x21"
		      "123456789012345678901234567890123",
		      CERT_BAD_ISSUER),
		EXTRA(100, 0, "\x01", CERT_UNSUPPORTED_CURVE),
		EXTRA(100, 0, "\x02", CERT_UNSUPPORTED_CURVE),
		EXTRA(100, 0, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", CERT_UNSUPPORTED_CURVE),
		/* wire types that do not belong */
		EXTRA(1, 0, "\x05", CERT_MALFORMED),
		EXTRA(2, 1, "12345678", CERT_MALFORMED),
		EXTRA(2, 5, "1234", CERT_MALFORMED),
		EXTRA(4, 5, "1234", CERT_MALFORMED),
		EXTRA(5, 2, "\x01\x05", CERT_MALFORMED),
		EXTRA(6, 5, "1234", CERT_MALFORMED),
		EXTRA(7, 0, "\x05", CERT_MALFORMED),
		EXTRA(8, 2, "\x01\x01", CERT_MALFORMED),
		EXTRA(9, 1, "12345678", CERT_MALFORMED),
		EXTRA(100, 2, "\x01\x01", CERT_MALFORMED),
		EXTRA(50, 3, "", CERT_MALFORMED), /* a group */
		EXTRA(50, 6, "", CERT_MALFORMED),
		EXTRA(50, 2, "\x7f", CERT_MALFORMED), /* longer than what is left */
		EXTRA(50, 0, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", CERT_MALFORMED),
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct raw details = {.len = 0}, certificate;
		enum cert_error error;
		struct cert *cert;

		pairs_put(&details, 2, host1_ip, true, 0);
		raw_hex(&details, 7, VECTOR_HOST1_PUBLIC_KEY);
		raw_tag(&details, rows[i].field, rows[i].wire_type);
		raw_put(&details, rows[i].bytes, rows[i].len);
		certificate = raw_signed(&details);
		error = cert_decode(1, certificate.bytes, certificate.len, &cert);
		cr_assert_eq(error, rows[i].error, "row %zu: %s", i, cert_error_text(error));
		cr_assert_eq(cert == NULL, error != CERT_OK);
		cert_unref(cert);
	}
}

Test(cert_v1, bad_outside)
{
	struct raw details = host1_details(CANONICAL), good = raw_signed(&details), raw;
	uint8_t key[65] = {4};
	struct cert *cert;

	cr_assert_eq(cert_decode(1, NULL, 0, &cert), CERT_NO_DETAILS);
	cr_assert_eq(cert_decode(2, good.bytes, good.len, &cert), CERT_UNSUPPORTED_VERSION);
	cr_assert_eq(cert_decode(1, good.bytes, CERT_BYTES_MAX + 1, &cert), CERT_TOO_LONG);

	raw = good; /* bytes behind the end */
	raw_put(&raw, "\0", 1);
	cr_assert_eq(cert_decode(1, raw.bytes, raw.len, &cert), CERT_MALFORMED);

	raw = (struct raw){.len = 0}; /* a signature too short */
	raw_bytes(&raw, 1, details.bytes, details.len);
	raw_bytes(&raw, 2, key, 63);
	cr_assert_eq(cert_decode(1, raw.bytes, raw.len, &cert), CERT_BAD_SIGNATURE_LENGTH);
	raw_bytes(&raw, 2, good.bytes, 200);
	cr_assert_eq(cert_decode(1, raw.bytes, raw.len, &cert), CERT_BAD_SIGNATURE_LENGTH);

	raw = (struct raw){.len = 0}; /* a host without network */
	raw_hex(&raw, 7, VECTOR_HOST1_PUBLIC_KEY);
	raw = raw_signed(&raw);
	cr_assert_eq(cert_decode(1, raw.bytes, raw.len, &cert), CERT_NO_NETWORKS);
}

Test(cert_v1, lists_are_bounded)
{
	static const struct {
		unsigned field;
		size_t count;
		enum cert_error error;
	} rows[] = {
		{2, CERT_NETWORKS_MAX, CERT_OK},        {2, CERT_NETWORKS_MAX + 1, CERT_TOO_MANY},
		{3, CERT_NETWORKS_MAX, CERT_OK},        {3, CERT_NETWORKS_MAX + 1, CERT_TOO_MANY},
		{4, CERT_GROUPS_MAX, CERT_OK},          {4, CERT_GROUPS_MAX + 1, CERT_TOO_MANY},
		{4, CERT_BYTES_MAX / 4, CERT_TOO_MANY},
	};
	static uint8_t bytes[CERT_BYTES_MAX];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		static uint8_t details[CERT_BYTES_MAX - 128];
		size_t at = 0, len = 0;
		struct raw head = {.len = 0}, tail = {.len = 0};
		struct cert *cert;

		raw_hex(&tail, 7, VECTOR_HOST1_PUBLIC_KEY);
		if (rows[i].field != 2)
			pairs_put(&tail, 2, host1_ip, true, 0);
		memcpy(details, tail.bytes, tail.len);
		at = tail.len;
		for (size_t n = 0; n < rows[i].count; n++) {
			/* an empty group, or address 1 with mask 0 as two unpacked numbers */
			details[at++] =
				(uint8_t)(rows[i].field << 3 | (rows[i].field == 4 ? 2 : 0));
			details[at++] = rows[i].field == 4 ? 0 : 1;
			if (rows[i].field == 4)
				continue;
			details[at++] = (uint8_t)(rows[i].field << 3);
			details[at++] = 0;
		}
		raw_tag(&head, 1, 2);
		raw_varint(&head, at, 0);
		memcpy(bytes, head.bytes, head.len);
		memcpy(bytes + head.len, details, at);
		len = head.len + at;
		memcpy(bytes + len, "\x12\x40", 2);
		len += 2 + 64;
		cr_assert_eq(cert_decode(1, bytes, len, &cert), rows[i].error, "row %zu", i);
		cert_unref(cert);
	}
}

/* Every beginning of a certificate is either refused or no certificate of ours. */
Test(cert_v1, truncated)
{
	struct pem_block block = block_of(VECTOR_HOST1_PEM);

	for (size_t len = 0; len < block.len; len++) {
		uint8_t *exact = malloc(len + 1); /* so that a sanitizer sees reads past the end */
		struct cert *cert;

		memcpy(exact, block.bytes, len);
		cr_assert_neq(cert_decode(1, exact, len, &cert), CERT_OK, "length %zu", len);
		free(exact);
	}
	pem_block_free(&block);
}

/*
 * Random damage: nothing crashes, and whatever still verifies has the fingerprint of the original,
 * so that no blocklist can be dodged.
 */
Test(cert_v1, damage)
{
	struct pem_block block = block_of(VECTOR_HOST1_PEM);
	struct cert *host1 = cert_of(VECTOR_HOST1_PEM);
	const unsigned seed = 57;
	uint8_t bytes[512];

	srandom(seed);
	for (unsigned round = 0; round < 20000; round++) {
		size_t len = block.len;
		struct cert *cert;

		memcpy(bytes, block.bytes, len);
		for (long n = random() % 3; n >= 0; n--) {
			size_t at = (size_t)random() % len;

			if (random() % 4 == 0) {
				memmove(bytes + at, bytes + at + 1, len - at - 1);
				len--;
			} else {
				bytes[at] = (uint8_t)random();
			}
		}
		if (cert_decode(1, bytes, len, &cert) != CERT_OK)
			continue;
		if (signed_by_vector_ca(cert))
			cr_assert_eq(memcmp(cert->fingerprint, host1->fingerprint, 32), 0,
				     "seed %u round %u", seed, round);
		cert_unref(cert);
	}
	cert_unref(host1);
	pem_block_free(&block);
}

/* Bytes that were never a certificate. */
Test(cert_v1, junk)
{
	const unsigned seed = 58;
	uint8_t bytes[300];
	struct cert *cert;

	srandom(seed);
	for (unsigned round = 0; round < 20000; round++) {
		size_t len = (size_t)random() % sizeof(bytes);

		for (size_t i = 0; i < len; i++)
			bytes[i] = (uint8_t)random();
		if (len > 2 && round % 2 == 0) { /* half of them get as far as the details */
			bytes[0] = 0x0a;
			bytes[1] = (uint8_t)(len - 2 < 0x80 ? len - 2 : 0x7f);
		}
		cr_assert_neq(cert_decode(1, bytes, len, &cert), CERT_OK, "seed %u round %u", seed,
			      round);
	}
}
