/*
 * aead_fuzz.c - libFuzzer target: all AEAD backends against each other (make fuzz T=aead).
 *
 * Input: a control byte (cipher, in place or not, where in its page the text lies), a byte and a
 * half of AAD length, a place for a flipped bit, key, nonce, AAD, text. What the backends make of
 * it must be equal, must open, and must not open with the bit flipped. Text and AAD are copied to
 * blocks of exactly their size, so the address sanitizer sees C code that leaves them; assembly is
 * watched by the guard pages of aead_paths_test.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "aead.h"

#define HEADER_BYTES (1 + 2 + 2 + AEAD_KEY_BYTES + AEAD_NONCE_BYTES)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	bool in_place;
	unsigned shift; /* of all buffers from their alignment */
	size_t flipped;
	const uint8_t *key, *nonce;
	uint8_t *aad;
	size_t aad_bytes;
	const uint8_t *text;
	size_t length;
};

static void wrong(const char *what, const struct aead_backend *row, const struct input *in)
{
	fprintf(stderr, "%s: %s, %zu bytes, AAD %zu\n", row->name, what, in->length, in->aad_bytes);
	abort();
}

static void *exact(size_t bytes)
{
	void *block = malloc(bytes ? bytes : 1);

	if (!block)
		abort();
	return block;
}

static void check_open(const struct aead_key *key, const struct input *in, const uint8_t *sealed)
{
	size_t sealed_bytes = in->length + AEAD_TAG_BYTES;
	uint8_t *block = exact(in->shift + sealed_bytes), *from = block + in->shift;
	uint8_t *other = exact(in->length), *to = in->in_place ? from : other;
	size_t bit = in->flipped % ((sealed_bytes + in->aad_bytes) * 8);
	uint8_t *victim;

	memcpy(from, sealed, sealed_bytes);
	if (key->backend->open(key, in->nonce, in->aad, in->aad_bytes, from, in->length, to) != 0)
		wrong("does not open", key->backend, in);
	if (memcmp(to, in->text, in->length) != 0)
		wrong("opens to another text", key->backend, in);
	memcpy(from, sealed, sealed_bytes);
	victim = bit / 8 < sealed_bytes ? from + bit / 8 : in->aad + bit / 8 - sealed_bytes;
	*victim ^= (uint8_t)(1 << bit % 8);
	if (key->backend->open(key, in->nonce, in->aad, in->aad_bytes, from, in->length, to) !=
	    -EBADMSG)
		wrong("opens a changed packet", key->backend, in);
	*victim ^= (uint8_t)(1 << bit % 8);
	free(block);
	free(other);
}

/* Seals and opens with one row; the first row of a cipher fills sealed, later ones must agree. */
static void check_row(const struct aead_backend *row, const struct input *in, uint8_t *sealed,
		      bool first)
{
	size_t sealed_bytes = in->length + AEAD_TAG_BYTES;
	uint8_t *block = exact(in->shift + sealed_bytes), *out = block + in->shift;
	uint8_t *text = exact(in->length);
	struct aead_key key;

	if (aead_key_init_with(&key, row, in->key) != 0)
		abort();
	memcpy(in->in_place ? out : text, in->text, in->length);
	row->seal(&key, in->nonce, in->aad, in->aad_bytes, in->in_place ? out : text, in->length,
		  out);
	if (first)
		memcpy(sealed, out, sealed_bytes);
	else if (memcmp(out, sealed, sealed_bytes) != 0)
		wrong("seals differently", row, in);
	check_open(&key, in, sealed);
	aead_key_wipe(&key);
	free(block);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in;
	uint8_t *sealed;
	bool first = true;
	size_t aad_wanted;

	if (size < HEADER_BYTES)
		return 0;
	enum aead_cipher cipher = data[0] & 1 ? AEAD_CHACHA20POLY1305 : AEAD_AES256GCM;

	in.in_place = data[0] & 2;
	in.shift = data[0] >> 2;
	aad_wanted = (data[1] | (size_t)data[2] << 8) & 0xfff;
	in.flipped = (size_t)data[3] << 8 | data[4];
	in.key = data + 5;
	in.nonce = in.key + AEAD_KEY_BYTES;
	in.aad_bytes = aad_wanted < size - HEADER_BYTES ? aad_wanted : size - HEADER_BYTES;
	in.aad = exact(in.aad_bytes);
	memcpy(in.aad, data + HEADER_BYTES, in.aad_bytes);
	in.text = data + HEADER_BYTES + in.aad_bytes;
	in.length = size - HEADER_BYTES - in.aad_bytes;
	sealed = exact(in.length + AEAD_TAG_BYTES);
	for (size_t i = 0; aead_row(i); i++) {
		struct aead_backend *row = aead_row(i);

		if (row->cipher != cipher || !row->usable(row))
			continue;
		check_row(row, &in, sealed, first);
		first = false;
	}
	free(sealed);
	free(in.aad);
	return 0;
}
