/*
 * cert.h - a certificate of either version behind one interface (PROTOCOL.md 3).
 *
 * A struct cert is decoded once and never changes. It is counted: cert_ref() for each holder,
 * cert_unref() by each; both may be called from any thread. Everything a certificate points to
 * lives in the same allocation and dies with it.
 *
 * What a signature covers and what a fingerprint hashes are computed from the decoded fields, as
 * the reference does (PROTOCOL.md 3.1): bytes that decode to the same fields are the same
 * certificate, so unknown fields or another field order cannot give one certificate two
 * fingerprints.
 *
 * Formats: cert_v1.c is protobuf. cert.c holds the table of versions, the signature algorithms and
 * nothing that knows an encoding; a further version is one file and one row there.
 */
#ifndef M57_CERT_H
#define M57_CERT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "limits.h"

enum cert_version { CERT_VERSION_1 = 1, CERT_VERSION_2 = 2 };
enum cert_curve { CERT_CURVE_25519 = 0, CERT_CURVE_P256 = 1 };

#define CERT_PUBLIC_KEY_MAX      65 /* bytes: uncompressed P-256 point; 32 for 25519 */
#define CERT_SIGNATURE_MAX       72 /* bytes: longest ECDSA P-256 DER; 64 for Ed25519 */
#define CERT_FINGERPRINT_SIZE    32 /* SHA-256 */
#define CERT_FINGERPRINT_HEX_MAX 65 /* hex digits and the terminator */
#define CERT_CA_KEY_SIZE         64 /* Ed25519: seed, then public key */

/* Every reason to refuse a certificate: name, text. The texts complete "... : ". */
#define CERT_ERRORS(X)                                                                             \
	X(OK, "no error")                                                                          \
	/* decoding */                                                                             \
	X(NO_MEMORY, "out of memory")                                                              \
	X(UNSUPPORTED_VERSION, "certificate version is not supported yet")                         \
	X(UNSUPPORTED_CURVE, "certificate curve is not supported yet")                             \
	X(TOO_LONG, "certificate is longer than 65536 bytes")                                      \
	X(MALFORMED, "certificate encoding is broken")                                             \
	X(NO_DETAILS, "encoded Details was nil")                                                   \
	X(BAD_TEXT, "certificate name or group is not valid UTF-8 text")                           \
	X(TOO_MANY, "certificate lists too many networks or groups")                               \
	X(ODD_IPS, "encoded IPs should be in pairs, an odd number was found")                      \
	X(ODD_SUBNETS, "encoded Subnets should be in pairs, an odd number was found")              \
	X(BAD_PUBLIC_KEY, "certificate public key has the wrong length for its curve")             \
	X(BAD_ISSUER, "certificate issuer is not a SHA-256 fingerprint")                           \
	X(BAD_SIGNATURE_LENGTH, "certificate signature has the wrong length for its curve")        \
	X(NO_NETWORKS, "non-CA certificates must contain at least 1 network")                      \
	X(BAD_NETWORK, "certificate lists a network that is not a usable IPv4 network")            \
	X(EMBEDDED_KEY, "handshake certificate contains a public key")                             \
	/* trust, in the order they are tried (PROTOCOL.md 3.6) */                                 \
	X(BLOCKED, "certificate has been blocked")                                                 \
	X(NO_ISSUER, "no issuer in certificate")                                                   \
	X(UNKNOWN_ISSUER, "could not find ca for the certificate")                                 \
	X(IS_CA, "certificate is a CA, not a host certificate")                                    \
	X(CURVE_MISMATCH, "certificate curve differs from the CA's")                               \
	X(CA_EXPIRED, "root certificate is expired")                                               \
	X(EXPIRED, "certificate is expired")                                                       \
	X(BAD_SIGNATURE, "certificate signature did not match")                                    \
	X(OUTLIVES_CA, "certificate expires after signing certificate")                            \
	X(PREDATES_CA, "certificate is valid before the signing certificate")                      \
	X(GROUP_NOT_ALLOWED, "certificate contained a group not present on the signing ca")        \
	X(NETWORK_NOT_ALLOWED,                                                                     \
	  "certificate contained an ip assignment outside the limitations of the signing ca")      \
	X(UNSAFE_NETWORK_NOT_ALLOWED,                                                              \
	  "certificate contained a subnet assignment outside the limitations of the signing ca")   \
	/* a CA bundle */                                                                          \
	X(NOT_CA, "certificate is not a CA")                                                       \
	X(NOT_SELF_SIGNED, "certificate is not self-signed")

enum cert_error {
#define X(name, text) CERT_##name,
	CERT_ERRORS(X)
#undef X
};

/*
 * One certificate. Read only once made. To have one signed, fill a struct cert of your own (on the
 * stack; pointers to your own arrays; refs, issuer, signature and fingerprint left zero) and hand
 * it to cert_sign().
 */
struct cert {
	atomic_uint refs;
	enum cert_version version;
	enum cert_curve curve;
	bool is_ca;
	bool has_issuer;               /* false on a CA */
	const char *name;              /* valid UTF-8, terminated, no zero byte inside; may be "" */
	const struct prefix *networks; /* host bits kept: 10.42.0.1/16 */
	const struct prefix *unsafe_networks;
	const char *const *groups; /* each as name */
	uint16_t network_count;
	uint16_t unsafe_network_count;
	uint16_t group_count;
	uint8_t public_key_len;
	uint8_t signature_len;
	int64_t not_before; /* unix seconds; both ends belong to the time of validity */
	int64_t not_after;
	uint8_t public_key[CERT_PUBLIC_KEY_MAX]; /* X25519 of a host, Ed25519 of a CA */
	uint8_t signature[CERT_SIGNATURE_MAX];
	uint8_t issuer[CERT_FINGERPRINT_SIZE]; /* fingerprint of the CA */
	uint8_t fingerprint[CERT_FINGERPRINT_SIZE];
};

/* What the log says of it; never NULL. */
const char *cert_error_text(enum cert_error error);

/*
 * Decodes a whole certificate as found in a PEM block. Any bytes are legal input. On CERT_OK *out
 * has one reference; otherwise *out is NULL. Limits: limits.h, "certificates".
 */
enum cert_error cert_decode(enum cert_version version, const uint8_t *bytes, size_t len,
			    struct cert **out);

/*
 * Decodes the certificate of a handshake, which comes without its public key, and puts the peer's
 * Noise static key in its place (PROTOCOL.md 2.4). version is the payload's CertVersion, 0 taken as
 * 1. A certificate that brings a key of its own is refused (CERT_EMBEDDED_KEY). The signature is
 * not looked at here: ca_pool_verify() does.
 */
enum cert_error cert_decode_handshake(uint32_t version, const uint8_t *bytes, size_t len,
				      const uint8_t *public_key, size_t public_key_len,
				      struct cert **out);

/*
 * Encodes the certificate as in a PEM block, or as sent in a handshake (without public key).
 * *out is malloc'ed, the caller frees it. Returns 0 or -ENOMEM.
 */
int cert_encode(const struct cert *cert, uint8_t **out, size_t *len);
int cert_encode_handshake(const struct cert *cert, uint8_t **out, size_t *len);

/* Did the holder of this public key (a CA's) sign cert? */
bool cert_verify_signature(const struct cert *cert, const uint8_t *public_key,
			   size_t public_key_len);

/*
 * Copies the fields of unsigned_cert, signs them with the CA's private key and completes signature
 * and fingerprint. key: CERT_CA_KEY_SIZE bytes for curve 25519. On CERT_OK *out has one reference.
 */
enum cert_error cert_sign(const struct cert *unsigned_cert, const uint8_t *key, size_t key_len,
			  struct cert **out);

struct cert *cert_ref(const struct cert *cert);
void cert_unref(struct cert *cert); /* NULL is allowed */

/* "Expired" in the reference's sense: not valid at now, too early as well as too late. */
bool cert_expired(const struct cert *cert, int64_t now);

bool cert_has_group(const struct cert *cert, const char *group);

/* Lower-case hex of a fingerprint into buf, returned. */
const char *cert_fingerprint_hex(const uint8_t fingerprint[CERT_FINGERPRINT_SIZE],
				 char buf[CERT_FINGERPRINT_HEX_MAX]);

#endif
