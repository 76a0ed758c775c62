/*
 * cert.c - what certificates of all versions have in common: life, checks, signatures; see cert.h.
 * The encodings are in cert_v1.c and, by and by, its siblings.
 */
#include "identity/cert.h"

#include <stdlib.h>
#include <string.h>
#include <sodium.h>

#include "identity/cert_format.h"

_Static_assert(CERT_NETWORKS_MAX <= UINT16_MAX && CERT_GROUPS_MAX <= UINT16_MAX,
	       "the counts in struct cert are 16 bits wide");

static const struct cert_format *const formats[] = {&cert_v1_format};

static const struct cert_format *format_find(uint32_t version)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (formats[i]->version == version)
			return formats[i];
	return NULL;
}

const char *cert_error_text(enum cert_error error)
{
	static const char *const texts[] = {
#define X(name, text) [CERT_##name] = text,
		CERT_ERRORS(X)
#undef X
	};

	return (size_t)error < sizeof(texts) / sizeof(texts[0]) ? texts[error] : "unknown error";
}

/* --- life ------------------------------------------------------------------------------------ */

/*
 * Layout of the one allocation: struct cert, networks, unsafe networks, group pointers, text. The
 * pointers come after bytes-only prefixes, so their place is rounded up.
 */
enum cert_error cert_room_make(struct cert_room *room, const struct cert_counts *counts)
{
	size_t prefixes, groups_at, text_at;
	char *block;

	if (counts->networks > CERT_NETWORKS_MAX || counts->unsafe_networks > CERT_NETWORKS_MAX ||
	    counts->groups > CERT_GROUPS_MAX)
		return CERT_TOO_MANY;

	prefixes = (counts->networks + counts->unsafe_networks) * sizeof(struct prefix);
	groups_at = (sizeof(struct cert) + prefixes + sizeof(char *) - 1) & ~(sizeof(char *) - 1);
	text_at = groups_at + counts->groups * sizeof(char *);
	block = calloc(1, text_at + counts->text_bytes + counts->groups + 1);
	if (block == NULL)
		return CERT_NO_MEMORY;

	room->cert = (struct cert *)block;
	room->networks = (struct prefix *)(block + sizeof(struct cert));
	room->unsafe_networks = room->networks + counts->networks;
	room->groups = (char **)(block + groups_at);
	room->text = block + text_at;

	atomic_init(&room->cert->refs, 1);
	room->cert->networks = room->networks;
	room->cert->unsafe_networks = room->unsafe_networks;
	room->cert->groups = (const char *const *)room->groups;
	room->cert->network_count = (uint16_t)counts->networks;
	room->cert->unsafe_network_count = (uint16_t)counts->unsafe_networks;
	room->cert->group_count = (uint16_t)counts->groups;
	return CERT_OK;
}

char *cert_room_text(struct cert_room *room, const void *bytes, size_t len)
{
	char *text = room->text;

	if (len != 0)
		memcpy(text, bytes, len);
	text[len] = '\0';
	room->text += len + 1;
	return text;
}

struct cert *cert_ref(const struct cert *cert)
{
	struct cert *counted = (struct cert *)cert; /* only the count changes */

	atomic_fetch_add_explicit(&counted->refs, 1, memory_order_relaxed);
	return counted;
}

void cert_unref(struct cert *cert)
{
	if (cert != NULL && atomic_fetch_sub_explicit(&cert->refs, 1, memory_order_acq_rel) == 1)
		free(cert);
}

/* A copy with room of its own; one reference. */
static enum cert_error cert_copy(const struct cert *from, struct cert **out)
{
	struct cert_counts counts = {.networks = from->network_count,
				     .unsafe_networks = from->unsafe_network_count,
				     .groups = from->group_count,
				     .text_bytes = strlen(from->name)};
	struct cert_room room;
	enum cert_error error;

	for (size_t i = 0; i < from->group_count; i++)
		counts.text_bytes += strlen(from->groups[i]);
	error = cert_room_make(&room, &counts);
	if (error != CERT_OK)
		return error;

	struct cert *cert = room.cert;
	cert->version = from->version;
	cert->curve = from->curve;
	cert->is_ca = from->is_ca;
	cert->has_issuer = from->has_issuer;
	cert->name = cert_room_text(&room, from->name, strlen(from->name));
	for (size_t i = 0; i < from->group_count; i++)
		room.groups[i] = cert_room_text(&room, from->groups[i], strlen(from->groups[i]));
	for (size_t i = 0; i < from->network_count; i++)
		room.networks[i] = from->networks[i];
	for (size_t i = 0; i < from->unsafe_network_count; i++)
		room.unsafe_networks[i] = from->unsafe_networks[i];
	cert->not_before = from->not_before;
	cert->not_after = from->not_after;
	cert->public_key_len = from->public_key_len;
	cert->signature_len = from->signature_len;
	memcpy(cert->public_key, from->public_key, sizeof(cert->public_key));
	memcpy(cert->signature, from->signature, sizeof(cert->signature));
	memcpy(cert->issuer, from->issuer, sizeof(cert->issuer));
	memcpy(cert->fingerprint, from->fingerprint, sizeof(cert->fingerprint));
	*out = cert;
	return CERT_OK;
}

/* --- checks ---------------------------------------------------------------------------------- */

/* Bytes of the UTF-8 sequence that starts at s, or 0 if it is not one (RFC 3629, no zero byte). */
static size_t utf8_sequence(const uint8_t *s, size_t left)
{
	static const uint32_t least[] = {0, 1, 0x80, 0x800, 0x10000};
	size_t len = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc0 ? 2 : 0;
	uint32_t code;

	if (len == 0 || len > left || s[0] >= 0xf8)
		return 0;
	code = len == 1 ? s[0] : s[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3fu);
	}
	if (code < least[len] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	return len;
}

bool cert_text_valid(const uint8_t *bytes, size_t len)
{
	for (size_t at = 0; at < len;) {
		size_t step = utf8_sequence(bytes + at, len - at);

		if (step == 0)
			return false;
		at += step;
	}
	return true;
}

/* Version 1 holds IPv4 only; a host may not own the zero address. */
static bool network_usable(const struct cert *cert, const struct prefix *network)
{
	if (cert->version == CERT_VERSION_1 &&
	    (!addr_is_v4(&network->addr) || network->bits < ADDR_V4_BITS))
		return false;
	return cert->is_ca || !addr_is_zero(&network->addr);
}

/* The rules on decoded fields, PROTOCOL.md 3.1 and 3.2. */
static enum cert_error fields_check(const struct cert *cert)
{
	if (cert->curve != CERT_CURVE_25519)
		return CERT_UNSUPPORTED_CURVE;
	if (cert->public_key_len != crypto_scalarmult_BYTES)
		return CERT_BAD_PUBLIC_KEY;
	if (cert->network_count == 0 && !cert->is_ca)
		return CERT_NO_NETWORKS;
	for (size_t i = 0; i < cert->network_count; i++)
		if (!network_usable(cert, &cert->networks[i]))
			return CERT_BAD_NETWORK;
	for (size_t i = 0; i < cert->unsafe_network_count; i++)
		if (cert->version == CERT_VERSION_1 && !addr_is_v4(&cert->unsafe_networks[i].addr))
			return CERT_BAD_NETWORK;
	return CERT_OK;
}

/* --- decode, encode -------------------------------------------------------------------------- */

static enum cert_error decode(const struct cert_format *format, const uint8_t *bytes, size_t len,
			      const uint8_t *handshake_key, size_t handshake_key_len,
			      struct cert **out)
{
	enum cert_error error;
	struct cert *cert;

	*out = NULL;
	if (format == NULL)
		return CERT_UNSUPPORTED_VERSION;
	if (len > CERT_BYTES_MAX)
		return CERT_TOO_LONG;
	error = format->decode(bytes, len, handshake_key, handshake_key_len, &cert);
	if (error != CERT_OK)
		return error;

	error = fields_check(cert);
	if (error == CERT_OK && cert->signature_len != crypto_sign_BYTES)
		error = CERT_BAD_SIGNATURE_LENGTH;
	if (error == CERT_OK && format->fingerprint(cert, cert->fingerprint) != 0)
		error = CERT_NO_MEMORY;
	if (error != CERT_OK) {
		cert_unref(cert);
		return error;
	}
	*out = cert;
	return CERT_OK;
}

enum cert_error cert_decode(enum cert_version version, const uint8_t *bytes, size_t len,
			    struct cert **out)
{
	return decode(format_find(version), bytes, len, NULL, 0, out);
}

enum cert_error cert_decode_handshake(uint32_t version, const uint8_t *bytes, size_t len,
				      const uint8_t *public_key, size_t public_key_len,
				      struct cert **out)
{
	*out = NULL;
	if (public_key == NULL || public_key_len == 0 || public_key_len > CERT_PUBLIC_KEY_MAX)
		return CERT_BAD_PUBLIC_KEY;
	return decode(format_find(version == 0 ? CERT_VERSION_1 : version), bytes, len, public_key,
		      public_key_len, out);
}

int cert_encode(const struct cert *cert, uint8_t **out, size_t *len)
{
	return format_find(cert->version)->encode(cert, true, out, len);
}

int cert_encode_handshake(const struct cert *cert, uint8_t **out, size_t *len)
{
	return format_find(cert->version)->encode(cert, false, out, len);
}

/* --- signatures ------------------------------------------------------------------------------ */

bool cert_verify_signature(const struct cert *cert, const uint8_t *public_key,
			   size_t public_key_len)
{
	uint8_t *bytes;
	size_t len;
	bool good;

	if (cert->curve != CERT_CURVE_25519 || public_key_len != crypto_sign_PUBLICKEYBYTES ||
	    cert->signature_len != crypto_sign_BYTES ||
	    format_find(cert->version)->signed_bytes(cert, &bytes, &len) != 0)
		return false;
	good = crypto_sign_verify_detached(cert->signature, bytes, len, public_key) == 0;
	free(bytes);
	return good;
}

enum cert_error cert_sign(const struct cert *unsigned_cert, const uint8_t *key, size_t key_len,
			  struct cert **out)
{
	const struct cert_format *format = format_find(unsigned_cert->version);
	enum cert_error error;
	struct cert *cert;
	uint8_t *bytes;
	size_t len;

	*out = NULL;
	if (format == NULL)
		return CERT_UNSUPPORTED_VERSION;
	if (unsigned_cert->curve != CERT_CURVE_25519 || key_len != CERT_CA_KEY_SIZE)
		return CERT_UNSUPPORTED_CURVE;
	if (!cert_text_valid((const uint8_t *)unsigned_cert->name, strlen(unsigned_cert->name)))
		return CERT_BAD_TEXT;
	for (size_t i = 0; i < unsigned_cert->group_count; i++)
		if (!cert_text_valid((const uint8_t *)unsigned_cert->groups[i],
				     strlen(unsigned_cert->groups[i])))
			return CERT_BAD_TEXT;
	error = fields_check(unsigned_cert);
	if (error != CERT_OK)
		return error;
	error = cert_copy(unsigned_cert, &cert);
	if (error != CERT_OK)
		return error;

	error = CERT_NO_MEMORY;
	if (format->signed_bytes(cert, &bytes, &len) != 0)
		goto err_unref;
	crypto_sign_detached(cert->signature, NULL, bytes, len, key);
	cert->signature_len = crypto_sign_BYTES;
	free(bytes);
	if (format->fingerprint(cert, cert->fingerprint) != 0)
		goto err_unref;
	*out = cert;
	return CERT_OK;

err_unref:
	cert_unref(cert);
	return error;
}

/* --- questions ------------------------------------------------------------------------------- */

bool cert_expired(const struct cert *cert, int64_t now)
{
	return cert->not_before > now || cert->not_after < now;
}

bool cert_has_group(const struct cert *cert, const char *group)
{
	for (size_t i = 0; i < cert->group_count; i++)
		if (strcmp(cert->groups[i], group) == 0)
			return true;
	return false;
}

const char *cert_fingerprint_hex(const uint8_t fingerprint[CERT_FINGERPRINT_SIZE],
				 char buf[CERT_FINGERPRINT_HEX_MAX])
{
	return sodium_bin2hex(buf, CERT_FINGERPRINT_HEX_MAX, fingerprint, CERT_FINGERPRINT_SIZE);
}
