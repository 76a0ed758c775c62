/* ca_pool.c - the judgement on peers; see ca_pool.h. */
#include "identity/ca_pool.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sodium.h>

#include "addr_text.h"
#include "identity/pem.h"

struct ca_pool {
	size_t count;
	struct cert *cas[CA_POOL_MAX];
};

struct blocklist {
	size_t count, room;
	uint8_t (*fingerprints)[CERT_FINGERPRINT_SIZE]; /* sorted */
};

/* --- the pool -------------------------------------------------------------------------------- */

static int text_error(char error[CA_POOL_DETAIL_MAX], const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* One line: what is not printable, such as a newline in a CA's name, becomes '?'. */
static int text_error(char error[CA_POOL_DETAIL_MAX], const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error, CA_POOL_DETAIL_MAX, format, arguments);
	va_end(arguments);
	for (char *c = error; *c != '\0'; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	return -EINVAL;
}

/* Adds the certificate of one block, or counts it as skipped. */
static int pool_add_block(struct ca_pool *pool, const struct pem_block *block, unsigned *skipped,
			  char error[CA_POOL_DETAIL_MAX])
{
	enum cert_error reason;
	struct cert *cert;

	if (strcmp(block->banner, PEM_CERTIFICATE_V2) == 0) {
		++*skipped;
		return 0;
	}
	if (strcmp(block->banner, PEM_CERTIFICATE) != 0)
		return text_error(error,
				  "bytes did not contain a proper nebula certificate banner "
				  "(found %s)",
				  block->banner);
	reason = cert_decode(CERT_VERSION_1, block->bytes, block->len, &cert);
	if (reason == CERT_UNSUPPORTED_CURVE) {
		++*skipped;
		return 0;
	}
	if (reason == CERT_NO_MEMORY)
		return -ENOMEM;
	if (reason != CERT_OK)
		return text_error(error, "%s", cert_error_text(reason));

	if (!cert->is_ca)
		reason = CERT_NOT_CA;
	else if (!cert_verify_signature(cert, cert->public_key, cert->public_key_len))
		reason = CERT_NOT_SELF_SIGNED;
	if (reason != CERT_OK) {
		text_error(error, "%.200s: %s", cert->name, cert_error_text(reason));
		cert_unref(cert);
		return -EINVAL;
	}
	if (ca_pool_find(pool, cert->fingerprint) != NULL) {
		cert_unref(cert); /* the same CA twice is one CA */
		return 0;
	}
	if (pool->count == CA_POOL_MAX) {
		cert_unref(cert);
		return text_error(error, "more than %d CA certificates in one bundle", CA_POOL_MAX);
	}
	pool->cas[pool->count++] = cert;
	return 0;
}

int ca_pool_load(const char *pem, size_t len, struct ca_pool **out, unsigned *skipped,
		 char error[CA_POOL_DETAIL_MAX])
{
	const char *at = pem, *end = pem + len;
	struct ca_pool *pool = calloc(1, sizeof(*pool));
	struct pem_block block;
	unsigned passed_over = 0, blocks = 0;
	int err = 0;

	*out = NULL;
	error[0] = '\0';
	if (pool == NULL)
		return -ENOMEM;
	for (;; blocks++) {
		err = pem_next(&at, end, &block);
		if (err != 0)
			break;
		err = pool_add_block(pool, &block, &passed_over, error);
		pem_block_free(&block);
		if (err != 0)
			goto err_free;
	}
	if (err == -E2BIG)
		err = text_error(error, "PEM block %u is longer than %d bytes", blocks + 1,
				 PEM_BLOCK_MAX);
	else if (err != -ENOENT && err != -ENOMEM)
		err = text_error(error, "PEM block %u is unfinished or not base64", blocks + 1);
	else if (err == -ENOENT && blocks == 0)
		err = text_error(error, "input did not contain a valid PEM encoded block");
	if (err != -ENOENT)
		goto err_free;
	if (skipped != NULL)
		*skipped = passed_over;
	*out = pool;
	return 0;

err_free:
	ca_pool_free(pool);
	return err;
}

void ca_pool_free(struct ca_pool *pool)
{
	if (pool == NULL)
		return;
	for (size_t i = 0; i < pool->count; i++)
		cert_unref(pool->cas[i]);
	free(pool);
}

size_t ca_pool_count(const struct ca_pool *pool)
{
	return pool->count;
}

const struct cert *ca_pool_get(const struct ca_pool *pool, size_t i)
{
	return pool->cas[i];
}

size_t ca_pool_valid_count(const struct ca_pool *pool, int64_t now)
{
	size_t valid = 0;

	for (size_t i = 0; i < pool->count; i++)
		valid += !cert_expired(pool->cas[i], now);
	return valid;
}

const struct cert *ca_pool_find(const struct ca_pool *pool,
				const uint8_t fingerprint[CERT_FINGERPRINT_SIZE])
{
	for (size_t i = 0; i < pool->count; i++)
		if (memcmp(pool->cas[i]->fingerprint, fingerprint, CERT_FINGERPRINT_SIZE) == 0)
			return pool->cas[i];
	return NULL;
}

/* --- the judgement --------------------------------------------------------------------------- */

static bool networks_allow(const struct prefix *allowed, size_t count, const struct prefix *wanted)
{
	for (size_t i = 0; i < count; i++)
		if (prefix_covers(&allowed[i], wanted))
			return true;
	return count == 0; /* an empty list is no limit */
}

enum cert_error ca_check_constraints(const struct cert *ca, const struct cert *cert,
				     char detail[CA_POOL_DETAIL_MAX])
{
	char text[PREFIX_TEXT_MAX], unused[CA_POOL_DETAIL_MAX];

	if (detail == NULL)
		detail = unused;
	detail[0] = '\0';
	if (cert->not_after > ca->not_after)
		return CERT_OUTLIVES_CA;
	if (cert->not_before < ca->not_before)
		return CERT_PREDATES_CA;
	for (size_t i = 0; ca->group_count != 0 && i < cert->group_count; i++) {
		if (!cert_has_group(ca, cert->groups[i])) {
			text_error(detail, "%s", cert->groups[i]);
			return CERT_GROUP_NOT_ALLOWED;
		}
	}
	for (size_t i = 0; i < cert->network_count; i++) {
		if (!networks_allow(ca->networks, ca->network_count, &cert->networks[i])) {
			text_error(detail, "%s", prefix_format(&cert->networks[i], text));
			return CERT_NETWORK_NOT_ALLOWED;
		}
	}
	for (size_t i = 0; i < cert->unsafe_network_count; i++) {
		if (!networks_allow(ca->unsafe_networks, ca->unsafe_network_count,
				    &cert->unsafe_networks[i])) {
			text_error(detail, "%s", prefix_format(&cert->unsafe_networks[i], text));
			return CERT_UNSAFE_NETWORK_NOT_ALLOWED;
		}
	}
	return CERT_OK;
}

/* The cheap part of the judgement, up to and including the times. */
static enum cert_error check_standing(const struct ca_pool *pool, const struct cert *cert,
				      int64_t now, const struct blocklist *blocklist,
				      const struct cert **ca)
{
	*ca = NULL;
	if (blocklist != NULL && blocklist_contains(blocklist, cert->fingerprint))
		return CERT_BLOCKED;
	if (!cert->has_issuer)
		return CERT_NO_ISSUER;
	*ca = ca_pool_find(pool, cert->issuer);
	if (*ca == NULL)
		return CERT_UNKNOWN_ISSUER;
	if (cert->is_ca)
		return CERT_IS_CA;
	if (cert->curve != (*ca)->curve)
		return CERT_CURVE_MISMATCH;
	if (cert_expired(*ca, now))
		return CERT_CA_EXPIRED;
	if (cert_expired(cert, now))
		return CERT_EXPIRED;
	return CERT_OK;
}

static enum cert_error verify(const struct ca_pool *pool, const struct cert *cert, int64_t now,
			      const struct blocklist *blocklist, bool known_signature,
			      const struct cert **ca, char detail[CA_POOL_DETAIL_MAX])
{
	const struct cert *issuer;
	enum cert_error error = check_standing(pool, cert, now, blocklist, &issuer);

	if (ca != NULL)
		*ca = issuer;
	if (detail != NULL)
		detail[0] = '\0';
	if (error != CERT_OK)
		return error;
	if (!known_signature &&
	    !cert_verify_signature(cert, issuer->public_key, issuer->public_key_len))
		return CERT_BAD_SIGNATURE;
	return ca_check_constraints(issuer, cert, detail);
}

enum cert_error ca_pool_verify(const struct ca_pool *pool, const struct cert *cert, int64_t now,
			       const struct blocklist *blocklist, const struct cert **ca,
			       char detail[CA_POOL_DETAIL_MAX])
{
	return verify(pool, cert, now, blocklist, false, ca, detail);
}

enum cert_error ca_pool_verify_signed(const struct ca_pool *pool, const struct cert *cert,
				      int64_t now, const struct blocklist *blocklist,
				      const struct cert **ca, char detail[CA_POOL_DETAIL_MAX])
{
	return verify(pool, cert, now, blocklist, true, ca, detail);
}

enum cert_error ca_pool_reverify(const struct ca_pool *pool, const struct cert *cert, int64_t now,
				 const struct blocklist *blocklist)
{
	const struct cert *issuer;

	return check_standing(pool, cert, now, blocklist, &issuer);
}

/* --- the blocklist --------------------------------------------------------------------------- */

struct blocklist *blocklist_new(void)
{
	return calloc(1, sizeof(struct blocklist));
}

/* Where fingerprint is, or belongs; *found says which. */
static size_t blocklist_place(const struct blocklist *list,
			      const uint8_t fingerprint[CERT_FINGERPRINT_SIZE], bool *found)
{
	size_t low = 0, high = list->count;

	*found = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = memcmp(list->fingerprints[middle], fingerprint, CERT_FINGERPRINT_SIZE);

		if (order == 0) {
			*found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int blocklist_add(struct blocklist *list, const char *hex)
{
	uint8_t fingerprint[CERT_FINGERPRINT_SIZE];
	size_t len, place;
	bool found;

	if (strlen(hex) != 2 * CERT_FINGERPRINT_SIZE ||
	    sodium_hex2bin(fingerprint, sizeof(fingerprint), hex, strlen(hex), NULL, &len, NULL) !=
		    0 ||
	    len != sizeof(fingerprint))
		return -EINVAL;
	place = blocklist_place(list, fingerprint, &found);
	if (found)
		return 0;
	if (list->count == list->room) {
		size_t room = list->room == 0 ? 16 : list->room * 2;
		void *bigger = realloc(list->fingerprints, room * CERT_FINGERPRINT_SIZE);

		if (bigger == NULL)
			return -ENOMEM;
		list->fingerprints = bigger;
		list->room = room;
	}
	memmove(list->fingerprints[place + 1], list->fingerprints[place],
		(list->count - place) * CERT_FINGERPRINT_SIZE);
	memcpy(list->fingerprints[place], fingerprint, CERT_FINGERPRINT_SIZE);
	list->count++;
	return 0;
}

bool blocklist_contains(const struct blocklist *list,
			const uint8_t fingerprint[CERT_FINGERPRINT_SIZE])
{
	bool found;

	blocklist_place(list, fingerprint, &found);
	return found;
}

size_t blocklist_count(const struct blocklist *list)
{
	return list->count;
}

void blocklist_free(struct blocklist *list)
{
	if (list != NULL)
		free(list->fingerprints);
	free(list);
}
