/*
 * pki.c - own identity; see pki.h.
 *
 * Errors are written for the person who edits the configuration. They may quote a path, a banner or
 * the name in a certificate, and nothing else of a file: a key pasted where a path belongs must not
 * end in a log.
 */
#include "identity/pki.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sodium.h>

#include "identity/pem.h"
#include "identity/pem_file.h"

/*
 * Bytes that a handshake datagram needs beside the certificate: header 16, Noise 96, the payload's
 * other fields 41 at most; the rest is a relay's wrapping.
 */
#define HANDSHAKE_ROOM 256

static int fail(char error[PKI_ERROR_MAX], const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static int fail(char error[PKI_ERROR_MAX], const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error, PKI_ERROR_MAX, format, arguments);
	va_end(arguments);
	for (char *c = error; *c != '\0'; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	return -EINVAL;
}

static int fail_memory(char error[PKI_ERROR_MAX])
{
	fail(error, "out of memory");
	return -ENOMEM;
}

/* --- the text of a value --------------------------------------------------------------------- */

/* The PEM text that a value stands for. */
struct source {
	const char *text;
	size_t len;
	char *file;     /* what to free, or NULL */
	char name[160]; /* "pki.cert" or the path, for error lines */
};

static int source_open(struct source *source, const char *key, const char *value,
		       char error[PKI_ERROR_MAX])
{
	int err;

	error[0] = '\0';
	source->file = NULL;
	snprintf(source->name, sizeof(source->name), "%s", key);
	if (value == NULL || value[0] == '\0')
		return fail(error, "%s is empty; give a path or the PEM text itself", key);
	if (strstr(value, "-----BEGIN") != NULL) {
		source->text = value;
		source->len = strlen(value);
		return 0;
	}
	err = pem_file_read(value, &source->file, &source->len);
	if (err == -ENOMEM)
		return fail_memory(error);
	if (err == -E2BIG)
		return fail(error, "%s: %.160s is larger than %u bytes; is this the right file?",
			    key, value, PEM_FILE_MAX);
	/* A long path may look like one: so only what leads to no file. */
	if (err != 0 && (strchr(value, '\n') != NULL || pem_may_be_secret(value)))
		return fail(error,
			    "%s is neither a path that can be read (%s) nor PEM text; PEM text "
			    "starts with a line -----BEGIN ...-----",
			    key, strerror(-err));
	if (err != 0)
		return fail(error, "%s: cannot read %.160s: %s; check the path and its permissions",
			    key, value, strerror(-err));
	source->text = source->file;
	snprintf(source->name, sizeof(source->name), "%s: %.140s", key, value);
	return 0;
}

static void source_close(struct source *source)
{
	sodium_free(source->file);
}

static int fail_pem(int err, const struct source *source, unsigned block, char error[PKI_ERROR_MAX])
{
	if (err == -ENOMEM)
		return fail_memory(error);
	if (err == -E2BIG)
		return fail(error, "%s: PEM block %u is longer than %d bytes", source->name, block,
			    PEM_BLOCK_MAX);
	return fail(error,
		    "%s: PEM block %u is unfinished or not base64; copy the file again, whole",
		    source->name, block);
}

/* --- life ------------------------------------------------------------------------------------ */

int pki_init(struct pki *pki)
{
	memset(pki, 0, sizeof(*pki));
	if (sodium_init() < 0)
		return -ENOMEM;
	pki->blocklist = blocklist_new();
	return pki->blocklist != NULL ? 0 : -ENOMEM;
}

static void pki_cert_free(struct pki_cert *own)
{
	cert_unref(own->cert);
	free(own->handshake_bytes);
	memset(own, 0, sizeof(*own));
}

void pki_free(struct pki *pki)
{
	ca_pool_free(pki->ca);
	blocklist_free(pki->blocklist);
	pki_cert_free(&pki->v1);
	pki_cert_free(&pki->v2);
	sodium_free(pki->private_key);
	memset(pki, 0, sizeof(*pki));
}

/* --- aspects --------------------------------------------------------------------------------- */

int pki_load_ca(struct pki *pki, const char *value, int64_t now, char error[PKI_ERROR_MAX])
{
	char reason[CA_POOL_DETAIL_MAX];
	struct source source;
	struct ca_pool *pool;
	unsigned skipped;
	int err = source_open(&source, "pki.ca", value, error);

	if (err != 0)
		return err;
	err = ca_pool_load(source.text, source.len, &pool, &skipped, reason);
	if (err == -ENOMEM)
		fail_memory(error);
	else if (err != 0)
		fail(error, "%s: %s; only CA certificates belong here", source.name, reason);
	else if (ca_pool_count(pool) == 0)
		err = fail(error,
			   "%s: no CA certificate of a kind that is supported yet (version 1, "
			   "curve 25519)",
			   source.name);
	else if (ca_pool_valid_count(pool, now) == 0)
		err = fail(error,
			   "%s: no valid CA certificate: all are expired or not yet valid; check "
			   "the clock, or renew the CA",
			   source.name);
	source_close(&source);
	if (err != 0) {
		if (err == -EINVAL)
			ca_pool_free(pool);
		return err;
	}
	ca_pool_free(pki->ca);
	pki->ca = pool;
	pki->skipped_ca_blocks = skipped;
	return 0;
}

/* The rules for a certificate of ours, whatever its version. */
static int own_cert_check(const struct cert *cert, const struct source *source, int64_t now,
			  char error[PKI_ERROR_MAX])
{
	if (cert->is_ca)
		return fail(error,
			    "%s: \"%.100s\" is a CA certificate; this key takes the host's own",
			    source->name, cert->name);
	if (cert->not_before > now)
		return fail(error,
			    "%s: certificate \"%.100s\" is not yet valid; check the clock of this "
			    "host",
			    source->name, cert->name);
	if (cert->not_after < now)
		return fail(error, "%s: certificate \"%.100s\" has expired; sign a new one",
			    source->name, cert->name);
	return 0;
}

/* Takes the certificate of one block into own. */
static int own_cert_block(struct pki_cert *own, const struct pem_block *block,
			  const struct source *source, int64_t now, char error[PKI_ERROR_MAX])
{
	enum cert_error reason;
	struct cert *cert;
	int err;

	if (strcmp(block->banner, PEM_CERTIFICATE) != 0)
		return fail(error, "%s: found a %s where the host's certificate belongs",
			    source->name, block->banner);
	if (own->cert != NULL)
		return fail(error, "%s: more than one version 1 certificate; leave only the host's",
			    source->name);
	reason = cert_decode(CERT_VERSION_1, block->bytes, block->len, &cert);
	if (reason == CERT_NO_MEMORY)
		return fail_memory(error);
	if (reason != CERT_OK)
		return fail(error, "%s: %s", source->name, cert_error_text(reason));

	own->cert = cert;
	err = own_cert_check(cert, source, now, error);
	if (err == 0 &&
	    cert_encode_handshake(cert, &own->handshake_bytes, &own->handshake_len) != 0)
		err = fail_memory(error);
	if (err == 0 && own->handshake_len + HANDSHAKE_ROOM > HANDSHAKE_BYTES_MAX)
		err = fail(error,
			   "%s: certificate \"%.100s\" is too long for a handshake (%zu bytes, at "
			   "most %d); sign it with fewer groups or subnets",
			   source->name, cert->name, own->handshake_len,
			   HANDSHAKE_BYTES_MAX - HANDSHAKE_ROOM);
	return err;
}

int pki_load_cert(struct pki *pki, const char *value, int64_t now, char error[PKI_ERROR_MAX])
{
	struct pki_cert own = {0};
	struct pem_block block;
	struct source source;
	unsigned skipped = 0, number = 0;
	const char *at;
	int err = source_open(&source, "pki.cert", value, error);

	if (err != 0)
		return err;
	at = source.text;
	for (;;) {
		err = pem_next(&at, source.text + source.len, &block);
		if (err != 0)
			break;
		number++;
		if (strcmp(block.banner, PEM_CERTIFICATE_V2) == 0)
			skipped++;
		else
			err = own_cert_block(&own, &block, &source, now, error);
		pem_block_free(&block);
		if (err != 0)
			goto err_free;
	}
	if (err != -ENOENT) {
		err = fail_pem(err, &source, number + 1, error);
		goto err_free;
	}
	if (own.cert == NULL) {
		err = skipped != 0 ? fail(error,
					  "%s: holds only a version 2 certificate, which is not "
					  "supported yet; sign one with -version 1",
					  source.name)
				   : fail(error, "%s: holds no certificate", source.name);
		goto err_free;
	}
	source_close(&source);
	pki_cert_free(&pki->v1);
	pki->v1 = own;
	pki->skipped_cert_blocks = skipped;
	return 0;

err_free:
	pki_cert_free(&own);
	source_close(&source);
	return err;
}

/* Says why this block is not our private key; 0 if it is. */
static int key_block_check(const struct pem_block *block, const struct source *source,
			   char error[PKI_ERROR_MAX])
{
	if (strcmp(block->banner, PEM_P256_PRIVATE_KEY) == 0)
		return fail(error, "%s: P-256 keys are not supported yet; use curve 25519",
			    source->name);
	if (strcmp(block->banner, PEM_ED25519_PRIVATE_KEY) == 0 ||
	    strcmp(block->banner, PEM_ED25519_ENCRYPTED_KEY) == 0)
		return fail(error,
			    "%s: this is the key of a CA; give the host's own, and keep the CA's "
			    "off this host",
			    source->name);
	if (strcmp(block->banner, PEM_X25519_PRIVATE_KEY) != 0)
		return fail(error, "%s: found a %s where the host's private key belongs",
			    source->name, block->banner);
	if (block->len != PKI_PRIVATE_KEY_MAX)
		return fail(error, "%s: the private key has %zu bytes instead of %d", source->name,
			    block->len, PKI_PRIVATE_KEY_MAX);
	return 0;
}

int pki_load_key(struct pki *pki, const char *value, char error[PKI_ERROR_MAX])
{
	struct pem_block block;
	struct source source;
	const char *at;
	int err = source_open(&source, "pki.key", value, error);

	if (err != 0)
		return err;
	at = source.text;
	err = pem_next(&at, source.text + source.len, &block);
	if (err == -ENOENT)
		err = fail(error, "%s: holds no private key", source.name);
	else if (err != 0)
		err = fail_pem(err, &source, 1, error);
	else
		err = key_block_check(&block, &source, error);
	source_close(&source);
	if (err != 0) {
		pem_block_free(&block);
		return err;
	}
	sodium_free(pki->private_key);
	pki->private_key = block.bytes; /* sodium_malloc'ed by pem_next() */
	pki->private_key_len = block.len;
	return 0;
}

int pki_block(struct pki *pki, const char *fingerprint, char error[PKI_ERROR_MAX])
{
	int err = blocklist_add(pki->blocklist, fingerprint);

	error[0] = '\0';
	if (err == -ENOMEM)
		return fail_memory(error);
	if (err != 0)
		return fail(
			error,
			"pki.blocklist: \"%.80s\" is not a fingerprint; copy the 64 hexadecimal "
			"digits that m57-cert print shows",
			fingerprint);
	return 0;
}

/* --- together -------------------------------------------------------------------------------- */

int pki_check_match(const struct pki *pki, char error[PKI_ERROR_MAX])
{
	const struct cert *cert = pki_own_cert(pki);
	uint8_t public_key[crypto_scalarmult_BYTES];

	error[0] = '\0';
	if (cert == NULL || pki->private_key == NULL)
		return fail(error, "certificate or private key is missing");
	if (crypto_scalarmult_base(public_key, pki->private_key) != 0 ||
	    cert->public_key_len != sizeof(public_key) ||
	    sodium_memcmp(public_key, cert->public_key, sizeof(public_key)) != 0)
		return fail(error,
			    "pki.key is not the private key of certificate \"%.100s\" in pki.cert; "
			    "give the pair that was made together",
			    cert->name);
	return 0;
}

/* May a certificate of one version be replaced? Having none on either side is fine. */
static bool networks_stay(const struct cert *old, const struct cert *next)
{
	if (old == NULL || next == NULL)
		return true;
	if (old->network_count != next->network_count)
		return false;
	for (size_t i = 0; i < old->network_count; i++)
		if (old->networks[i].bits != next->networks[i].bits ||
		    !addr_equal(&old->networks[i].addr, &next->networks[i].addr))
			return false;
	return true;
}

int pki_check_reload(const struct pki *old, const struct pki *next, char error[PKI_ERROR_MAX])
{
	const struct cert *was = pki_own_cert(old), *will = pki_own_cert(next);

	error[0] = '\0';
	if (!networks_stay(old->v1.cert, next->v1.cert) ||
	    !networks_stay(old->v2.cert, next->v2.cert) ||
	    (old->v2.cert != NULL && next->v2.cert == NULL && !networks_stay(was, will)))
		return fail(error, "pki.cert: the networks of this node's certificate changed; "
				   "that takes a restart");
	if (was != NULL && will != NULL && was->curve != will->curve)
		return fail(error, "pki.cert: the curve of this node's certificate changed; that "
				   "takes a restart");
	return 0;
}

const struct cert *pki_own_cert(const struct pki *pki)
{
	return pki->v2.cert != NULL ? pki->v2.cert : pki->v1.cert;
}

const uint8_t *pki_public_key(const struct pki *pki, size_t *len)
{
	const struct cert *cert = pki_own_cert(pki);

	*len = cert != NULL ? cert->public_key_len : 0;
	return cert != NULL ? cert->public_key : NULL;
}
