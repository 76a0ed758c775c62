/*
 * cert_v1.c - version 1 certificates: protobuf (PROTOCOL.md 3.1).
 *
 * protobuf-c parses, but it is more tolerant than a certificate may be (it keeps unknown fields,
 * takes any encoding of a number, does not know text from bytes). None of that matters for trust:
 * the parsed message is copied into struct cert and thrown away, and what is signed or hashed is
 * always encoded anew from struct cert. A certificate that came in another encoding either means
 * the same or fails its signature.
 */
#include "identity/cert_format.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sodium.h>

#include "identity/cert_v1.pb-c.h"

/* Number of leading ones, or 0 for a mask that is not ones followed by zeros (as the reference). */
static uint8_t mask_bits(uint32_t mask)
{
	uint32_t zeros = ~mask;

	if ((zeros & (zeros + 1)) != 0)
		return 0;
	return (uint8_t)__builtin_popcount(mask);
}

static uint32_t bits_mask(unsigned bits)
{
	return bits == 0 ? 0 : UINT32_MAX << (32 - bits);
}

/* pairs: address and mask alternate; count is even. */
static void networks_from_pairs(const uint32_t *pairs, size_t count, struct prefix *out)
{
	for (size_t i = 0; i + 1 < count; i += 2)
		out[i / 2] =
			(struct prefix){.addr = addr_from_v4(pairs[i]),
					.bits = (uint8_t)(ADDR_V4_BITS + mask_bits(pairs[i + 1]))};
}

static void networks_to_pairs(const struct prefix *networks, size_t count, uint32_t *out)
{
	for (size_t i = 0; i < count; i++) {
		out[2 * i] = addr_v4(&networks[i].addr);
		out[2 * i + 1] = bits_mask(networks[i].bits - ADDR_V4_BITS);
	}
}

/* What can be wrong before anything is allocated for it. */
static enum cert_error message_check(const CertV1 *message, const uint8_t *handshake_key)
{
	const CertV1Details *d = message->details;

	if (d == NULL)
		return CERT_NO_DETAILS;
	if (d->n_networks % 2 != 0)
		return CERT_ODD_IPS;
	if (d->n_unsafe_networks % 2 != 0)
		return CERT_ODD_SUBNETS;
	if (!cert_text_valid(d->name.data, d->name.len))
		return CERT_BAD_TEXT;
	for (size_t i = 0; i < d->n_groups; i++)
		if (!cert_text_valid(d->groups[i].data, d->groups[i].len))
			return CERT_BAD_TEXT;
	if (handshake_key != NULL && d->public_key.len != 0)
		return CERT_EMBEDDED_KEY;
	if (d->public_key.len > CERT_PUBLIC_KEY_MAX)
		return CERT_BAD_PUBLIC_KEY;
	if (d->issuer.len != 0 && d->issuer.len != CERT_FINGERPRINT_SIZE)
		return CERT_BAD_ISSUER;
	if (message->signature.len > CERT_SIGNATURE_MAX)
		return CERT_BAD_SIGNATURE_LENGTH;
	if (d->curve != CERT_CURVE_25519 && d->curve != CERT_CURVE_P256)
		return CERT_UNSUPPORTED_CURVE;
	return CERT_OK;
}

static void bytes_copy(uint8_t *to, uint8_t *to_len, const uint8_t *from, size_t len)
{
	if (len != 0)
		memcpy(to, from, len);
	*to_len = (uint8_t)len;
}

/* message has passed message_check(). */
static enum cert_error message_copy(const CertV1 *message, const uint8_t *handshake_key,
				    size_t handshake_key_len, struct cert **out)
{
	const CertV1Details *d = message->details;
	struct cert_counts counts = {.networks = d->n_networks / 2,
				     .unsafe_networks = d->n_unsafe_networks / 2,
				     .groups = d->n_groups,
				     .text_bytes = d->name.len};
	struct cert_room room;
	enum cert_error error;

	for (size_t i = 0; i < d->n_groups; i++)
		counts.text_bytes += d->groups[i].len;
	error = cert_room_make(&room, &counts);
	if (error != CERT_OK)
		return error;

	struct cert *cert = room.cert;
	cert->version = CERT_VERSION_1;
	cert->curve = (enum cert_curve)d->curve;
	cert->is_ca = d->is_ca != 0;
	cert->name = cert_room_text(&room, d->name.data, d->name.len);
	for (size_t i = 0; i < d->n_groups; i++)
		room.groups[i] = cert_room_text(&room, d->groups[i].data, d->groups[i].len);
	networks_from_pairs(d->networks, d->n_networks, room.networks);
	networks_from_pairs(d->unsafe_networks, d->n_unsafe_networks, room.unsafe_networks);
	cert->not_before = d->not_before;
	cert->not_after = d->not_after;
	cert->has_issuer = d->issuer.len != 0;
	if (cert->has_issuer)
		memcpy(cert->issuer, d->issuer.data, sizeof(cert->issuer));
	bytes_copy(cert->signature, &cert->signature_len, message->signature.data,
		   message->signature.len);
	if (handshake_key != NULL)
		bytes_copy(cert->public_key, &cert->public_key_len, handshake_key,
			   handshake_key_len);
	else
		bytes_copy(cert->public_key, &cert->public_key_len, d->public_key.data,
			   d->public_key.len);
	*out = cert;
	return CERT_OK;
}

static enum cert_error v1_decode(const uint8_t *bytes, size_t len, const uint8_t *handshake_key,
				 size_t handshake_key_len, struct cert **out)
{
	CertV1 *message = cert_v1__unpack(NULL, len, bytes);
	enum cert_error error;

	if (message == NULL)
		return CERT_MALFORMED;
	error = message_check(message, handshake_key);
	if (error == CERT_OK)
		error = message_copy(message, handshake_key, handshake_key_len, out);
	cert_v1__free_unpacked(message, NULL);
	return error;
}

/*
 * Fills details from cert. The arrays in it that must be built (number pairs, group descriptors)
 * live in *arrays, which the caller frees after packing; the rest points into cert.
 */
static int details_from_cert(const struct cert *cert, bool with_public_key, CertV1Details *details,
			     void **arrays)
{
	size_t pairs = 2u * (cert->network_count + cert->unsafe_network_count);
	size_t groups_size = cert->group_count * sizeof(ProtobufCBinaryData);
	ProtobufCBinaryData *groups;
	uint32_t *numbers;

	groups = malloc(groups_size + pairs * sizeof(*numbers) + 1); /* + 1: never malloc(0) */
	if (groups == NULL)
		return -ENOMEM;
	*arrays = groups;
	numbers = (uint32_t *)(groups + cert->group_count);

	cert_v1_details__init(details);
	details->name.data = (uint8_t *)cert->name;
	details->name.len = strlen(cert->name);
	details->networks = numbers;
	details->n_networks = 2u * cert->network_count;
	networks_to_pairs(cert->networks, cert->network_count, details->networks);
	details->unsafe_networks = numbers + details->n_networks;
	details->n_unsafe_networks = 2u * cert->unsafe_network_count;
	networks_to_pairs(cert->unsafe_networks, cert->unsafe_network_count,
			  details->unsafe_networks);
	details->groups = groups;
	details->n_groups = cert->group_count;
	for (size_t i = 0; i < cert->group_count; i++) {
		groups[i].data = (uint8_t *)cert->groups[i];
		groups[i].len = strlen(cert->groups[i]);
	}
	details->not_before = cert->not_before;
	details->not_after = cert->not_after;
	if (with_public_key) {
		details->public_key.data = (uint8_t *)cert->public_key;
		details->public_key.len = cert->public_key_len;
	}
	details->is_ca = cert->is_ca;
	if (cert->has_issuer) {
		details->issuer.data = (uint8_t *)cert->issuer;
		details->issuer.len = sizeof(cert->issuer);
	}
	details->curve = cert->curve;
	return 0;
}

static int v1_encode(const struct cert *cert, bool with_public_key, uint8_t **out, size_t *len)
{
	CertV1 message = CERT_V1__INIT;
	CertV1Details details;
	void *arrays;
	int err = details_from_cert(cert, with_public_key, &details, &arrays);

	if (err != 0)
		return err;
	message.details = &details;
	message.signature.data = (uint8_t *)cert->signature;
	message.signature.len = cert->signature_len;
	*len = cert_v1__get_packed_size(&message);
	*out = malloc(*len);
	if (*out != NULL)
		cert_v1__pack(&message, *out);
	free(arrays);
	return *out != NULL ? 0 : -ENOMEM;
}

static int v1_signed_bytes(const struct cert *cert, uint8_t **out, size_t *len)
{
	CertV1Details details;
	void *arrays;
	int err = details_from_cert(cert, true, &details, &arrays);

	if (err != 0)
		return err;
	*len = cert_v1_details__get_packed_size(&details);
	*out = malloc(*len + 1);
	if (*out != NULL)
		cert_v1_details__pack(&details, *out);
	free(arrays);
	return *out != NULL ? 0 : -ENOMEM;
}

static int v1_fingerprint(const struct cert *cert, uint8_t out[CERT_FINGERPRINT_SIZE])
{
	uint8_t *bytes;
	size_t len;
	int err = v1_encode(cert, true, &bytes, &len);

	if (err != 0)
		return err;
	crypto_hash_sha256(out, bytes, len);
	free(bytes);
	return 0;
}

const struct cert_format cert_v1_format = {
	.version = CERT_VERSION_1,
	.decode = v1_decode,
	.encode = v1_encode,
	.signed_bytes = v1_signed_bytes,
	.fingerprint = v1_fingerprint,
};
