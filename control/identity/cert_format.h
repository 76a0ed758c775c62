/*
 * cert_format.h - what cert.c asks of an encoding. Private to cert*.c.
 *
 * A format decodes into a struct cert whose arrays and text it lays out through struct cert_room,
 * so that a certificate is one allocation. cert.c then checks what all versions have in common and
 * computes the fingerprint.
 */
#ifndef M57_CERT_FORMAT_H
#define M57_CERT_FORMAT_H

#include "identity/cert.h"

/* A certificate under construction: the same arrays as in cert, still writable. */
struct cert_room {
	struct cert *cert; /* zeroed, one reference, pointers and counts set */
	struct prefix *networks;
	struct prefix *unsafe_networks;
	char **groups; /* NULL until cert_room_text() gives them text */
	char *text;    /* where the next text goes */
};

struct cert_counts {
	size_t networks, unsafe_networks, groups;
	size_t text_bytes; /* name and groups together, without terminators */
};

/* Returns CERT_OK, CERT_TOO_MANY or CERT_NO_MEMORY. */
enum cert_error cert_room_make(struct cert_room *room, const struct cert_counts *counts);

/* Appends one terminated text. The caller stays within counts.text_bytes. */
char *cert_room_text(struct cert_room *room, const void *bytes, size_t len);

/* Valid UTF-8 without a zero byte? */
bool cert_text_valid(const uint8_t *bytes, size_t len);

struct cert_format {
	enum cert_version version;

	/*
	 * handshake_key: NULL for a whole certificate; else the key to put in, and bytes must have
	 * none. len is at most CERT_BYTES_MAX.
	 */
	enum cert_error (*decode)(const uint8_t *bytes, size_t len, const uint8_t *handshake_key,
				  size_t handshake_key_len, struct cert **out);

	/* Each mallocs *out and returns 0 or -ENOMEM. */
	int (*encode)(const struct cert *cert, bool with_public_key, uint8_t **out, size_t *len);
	int (*signed_bytes)(const struct cert *cert, uint8_t **out, size_t *len);

	/* Returns 0 or -ENOMEM. */
	int (*fingerprint)(const struct cert *cert, uint8_t out[CERT_FINGERPRINT_SIZE]);
};

extern const struct cert_format cert_v1_format;

#endif
