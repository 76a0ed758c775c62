/*
 * ca_pool.h - whom we trust: the CA certificates, the blocklist, and the judgement on a peer
 * (PROTOCOL.md 3.6). Built once per configuration by the control thread, read only afterwards.
 */
#ifndef M57_CA_POOL_H
#define M57_CA_POOL_H

#include "identity/cert.h"

#define CA_POOL_DETAIL_MAX 320 /* bytes: a group or CA name, cut, or a prefix; see ca_pool_load */

struct ca_pool;
struct blocklist;

/*
 * Makes a pool of a PEM bundle (text between blocks is skipped). Each block must be a CA
 * certificate that verifies under its own key. Expired CAs are kept: ca_pool_valid_count() counts
 * the others. Blocks of certificate versions that this build cannot read are skipped and counted in
 * *skipped (may be NULL). Returns 0, -EINVAL with one line of text in error, or -ENOMEM. The caller
 * owns *out.
 */
int ca_pool_load(const char *pem, size_t len, struct ca_pool **out, unsigned *skipped,
		 char error[CA_POOL_DETAIL_MAX]);
void ca_pool_free(struct ca_pool *pool); /* NULL is allowed */

/* How many CAs, expired ones included; CA i of them, borrowed; how many are in force at now (unix
 * seconds). */
size_t ca_pool_count(const struct ca_pool *pool);
const struct cert *ca_pool_get(const struct ca_pool *pool, size_t i);
size_t ca_pool_valid_count(const struct ca_pool *pool, int64_t now);

/* The CA with this fingerprint, or NULL. */
const struct cert *ca_pool_find(const struct ca_pool *pool,
				const uint8_t fingerprint[CERT_FINGERPRINT_SIZE]);

/*
 * Judges a peer's certificate at time now (unix seconds): blocklist (may be NULL), issuer known,
 * not itself a CA, same curve, CA in force, certificate in force, signature, constraints, in this
 * order. Returns CERT_OK or the first reason to refuse. detail (may be NULL) gets what the reason
 * is about, such as the offending group, or "". *ca (may be NULL) gets the issuer as soon as it is
 * known; borrowed from the pool.
 */
enum cert_error ca_pool_verify(const struct ca_pool *pool, const struct cert *cert, int64_t now,
			       const struct blocklist *blocklist, const struct cert **ca,
			       char detail[CA_POOL_DETAIL_MAX]);

/*
 * The same for a certificate whose signature this pool's CA has been found to have made
 * (verified.h): everything but the signature is judged.
 */
enum cert_error ca_pool_verify_signed(const struct ca_pool *pool, const struct cert *cert,
				      int64_t now, const struct blocklist *blocklist,
				      const struct cert **ca, char detail[CA_POOL_DETAIL_MAX]);

/*
 * The same for a live tunnel's certificate, verified before: blocklist, issuer, curve and times
 * again, without the dear signature and the constraints.
 */
enum cert_error ca_pool_reverify(const struct ca_pool *pool, const struct cert *cert, int64_t now,
				 const struct blocklist *blocklist);

/* Do the limits that the CA sets (times, groups, networks) allow cert? */
enum cert_error ca_check_constraints(const struct cert *ca, const struct cert *cert,
				     char detail[CA_POOL_DETAIL_MAX]);

/*
 * The blocklist: a set of fingerprints. blocklist_add takes 64 hex digits of either case and
 * returns 0, -EINVAL (anything else) or -ENOMEM; the same one twice is no error.
 */
struct blocklist *blocklist_new(void); /* NULL when out of memory */
int blocklist_add(struct blocklist *list, const char *hex);
bool blocklist_contains(const struct blocklist *list,
			const uint8_t fingerprint[CERT_FINGERPRINT_SIZE]);
size_t blocklist_count(const struct blocklist *list);
void blocklist_free(struct blocklist *list); /* NULL is allowed */

#endif
