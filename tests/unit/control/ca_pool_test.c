/* ca_pool_test.c - bundles, the judgement on peers in its order, constraints, the blocklist. */
#include "unit/control/cert_helpers.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

static void init(void)
{
	cr_assert_geq(sodium_init(), 0);
}

TestSuite(ca_pool, .init = init);

static struct ca_pool *pool_of(const char *pem)
{
	char error[CA_POOL_DETAIL_MAX];
	struct ca_pool *pool;
	int err = ca_pool_load(pem, strlen(pem), &pool, NULL, error);

	cr_assert_eq(err, 0, "%s", error);
	return pool;
}

/* --- bundles --------------------------------------------------------------------------------- */

Test(ca_pool, bundles)
{
	static const struct {
		const char *pem, *error; /* error NULL: loads */
		size_t count;
		unsigned skipped;
	} rows[] = {
		{VECTOR_CA_PEM, NULL, 1, 0},
		{"# ours\n" VECTOR_CA_PEM "\n# again\n" VECTOR_CA_PEM, NULL, 1, 0},
		{VECTOR_CA_V2_PEM VECTOR_CA_PEM VECTOR_CA_P256_PEM, NULL, 1, 2},
		{VECTOR_CA_V2_PEM, NULL, 0, 1},
		{"", "input did not contain a valid PEM encoded block", 0, 0},
		{"no block here", "input did not contain a valid PEM encoded block", 0, 0},
		{VECTOR_HOST1_PEM, "host1.vector: certificate is not a CA", 0, 0},
		{VECTOR_CA_PEM VECTOR_HOST2_PEM, "host2: certificate is not a CA", 0, 0},
		{VECTOR_CA_PEM VECTOR_HOST1_KEY_PEM,
		 "bytes did not contain a proper nebula certificate banner (found NEBULA X25519 "
		 "PRIVATE KEY)",
		 0, 0},
		{VECTOR_CA_PEM "-----BEG", "PEM block 2 is unfinished or not base64", 0, 0},
		{VECTOR_CA_PEM "-----BEGIN NEBULA CERTIFICATE-----\nAAAA\n",
		 "PEM block 2 is unfinished or not base64", 0, 0},
		{"-----BEGIN NEBULA CERTIFICATE-----\n-----END NEBULA CERTIFICATE-----\n",
		 "encoded Details was nil", 0, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char error[CA_POOL_DETAIL_MAX];
		struct ca_pool *pool;
		unsigned skipped = 99;
		int err = ca_pool_load(rows[i].pem, strlen(rows[i].pem), &pool, &skipped, error);

		if (rows[i].error != NULL) {
			cr_assert_eq(err, -EINVAL, "row %zu", i);
			cr_assert_str_eq(error, rows[i].error);
			cr_assert_null(pool);
			continue;
		}
		cr_assert_eq(err, 0, "row %zu: %s", i, error);
		cr_assert_eq(ca_pool_count(pool), rows[i].count, "row %zu", i);
		cr_assert_eq(skipped, rows[i].skipped, "row %zu", i);
		ca_pool_free(pool);
	}
}

/* A CA whose fields were changed after signing. The name must not break the line. */
Test(ca_pool, forged_ca)
{
	struct pem_block block = block_of(VECTOR_CA_PEM);
	char error[CA_POOL_DETAIL_MAX], *pem;
	struct ca_pool *pool;
	size_t len;

	block.bytes[4] = '\n'; /* first letter of the name */
	pem = pem_encode(PEM_CERTIFICATE, block.bytes, block.len, &len);
	cr_assert_eq(ca_pool_load(pem, len, &pool, NULL, error), -EINVAL);
	cr_assert_str_eq(error, "?ector CA: certificate is not self-signed");
	sodium_free(pem);
	pem_block_free(&block);
}

Test(ca_pool, expired_ca_is_kept_and_not_counted_as_valid)
{
	struct cert *old = cert_made((struct cert){.is_ca = true, .name = "old", .not_after = 100});
	char pem[4096] = VECTOR_CA_PEM;
	struct ca_pool *pool;

	pem_append(pem, old);
	pool = pool_of(pem);
	cr_assert_eq(ca_pool_count(pool), 2);
	cr_assert_eq(ca_pool_valid_count(pool, VECTOR_NOW), 1);
	cr_assert_eq(ca_pool_valid_count(pool, VECTOR_CA_NOT_AFTER + 1), 0);
	cr_assert_str_eq(ca_pool_get(pool, 1)->name, "old");
	cr_assert_eq(ca_pool_find(pool, old->fingerprint), ca_pool_get(pool, 1));
	ca_pool_free(pool);
	cert_unref(old);
}

/* --- the judgement --------------------------------------------------------------------------- */

Test(ca_pool, vectors_are_trusted)
{
	struct ca_pool *pool = pool_of(VECTOR_CA_PEM);
	struct cert *hosts[] = {cert_of(VECTOR_HOST1_PEM), cert_of(VECTOR_HOST2_PEM)};
	char detail[CA_POOL_DETAIL_MAX];
	const struct cert *ca;

	for (int i = 0; i < 2; i++) {
		cr_assert_eq(ca_pool_verify(pool, hosts[i], VECTOR_NOW, NULL, &ca, detail),
			     CERT_OK);
		cr_assert_eq(ca, ca_pool_get(pool, 0));
		cr_assert_str_empty(detail);
		cr_assert_eq(ca_pool_verify(pool, hosts[i], VECTOR_NOW, NULL, NULL, NULL), CERT_OK);
		cr_assert_eq(ca_pool_reverify(pool, hosts[i], VECTOR_NOW, NULL), CERT_OK);
		cert_unref(hosts[i]);
	}
	ca_pool_free(pool);
}

Test(ca_pool, times)
{
	static const struct {
		int64_t now;
		enum cert_error error;
	} rows[] = {
		{VECTOR_NOT_BEFORE - 1, CERT_CA_EXPIRED},
		{VECTOR_NOT_BEFORE, CERT_OK},
		{VECTOR_HOST_NOT_AFTER, CERT_OK},
		{VECTOR_HOST_NOT_AFTER + 1, CERT_EXPIRED},
		{VECTOR_CA_NOT_AFTER, CERT_EXPIRED},
		{VECTOR_CA_NOT_AFTER + 1, CERT_CA_EXPIRED},
		{INT64_MIN, CERT_CA_EXPIRED},
		{INT64_MAX, CERT_CA_EXPIRED},
	};
	struct ca_pool *pool = pool_of(VECTOR_CA_PEM);
	struct cert *host = cert_of(VECTOR_HOST1_PEM);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_assert_eq(ca_pool_verify(pool, host, rows[i].now, NULL, NULL, NULL),
			     rows[i].error, "row %zu", i);
		cr_assert_eq(ca_pool_reverify(pool, host, rows[i].now, NULL), rows[i].error);
	}
	cert_unref(host);
	ca_pool_free(pool);
}

/*
 * One certificate that is wrong in every way; the faults are mended one by one, in the order in
 * which they must be found.
 */
Test(ca_pool, order_of_reasons)
{
	struct cert *ca = cert_of(VECTOR_CA_PEM), *cert;
	struct ca_pool *pool = pool_of(VECTOR_CA_PEM);
	struct blocklist *blocklist = blocklist_new();
	const struct prefix network = prefix_of("10.43.0.1/16");
	struct cert wanted = {.networks = &network,
			      .network_count = 1,
			      .is_ca = true,
			      .not_before = VECTOR_NOT_BEFORE,
			      .not_after = VECTOR_NOT_BEFORE + 1};
	int64_t now = VECTOR_CA_NOT_AFTER + 1;
	char hex[CERT_FINGERPRINT_HEX_MAX];

	cert = cert_made(wanted);
	cr_assert_eq(blocklist_add(blocklist, cert_fingerprint_hex(cert->fingerprint, hex)), 0);
	cr_assert_eq(ca_pool_verify(pool, cert, now, blocklist, NULL, NULL), CERT_BLOCKED);
	cr_assert_eq(ca_pool_verify(pool, cert, now, NULL, NULL, NULL), CERT_NO_ISSUER);
	cert_unref(cert);

	wanted.has_issuer = true;
	memset(wanted.issuer, 0xee, sizeof(wanted.issuer));
	cert = cert_made(wanted);
	cr_assert_eq(ca_pool_verify(pool, cert, now, NULL, NULL, NULL), CERT_UNKNOWN_ISSUER);
	cert_unref(cert);

	memcpy(wanted.issuer, ca->fingerprint, sizeof(wanted.issuer));
	cert = cert_made(wanted);
	cr_assert_eq(ca_pool_verify(pool, cert, now, NULL, NULL, NULL), CERT_IS_CA);
	cert_unref(cert);

	wanted.is_ca = false;
	cert = cert_made(wanted);
	cr_assert_eq(ca_pool_verify(pool, cert, now, NULL, NULL, NULL), CERT_CA_EXPIRED);
	now = VECTOR_NOW;
	cert->signature[0] ^= 1;
	cr_assert_eq(ca_pool_verify(pool, cert, now, NULL, NULL, NULL), CERT_EXPIRED);
	now = wanted.not_after;
	cr_assert_eq(ca_pool_verify(pool, cert, now, NULL, NULL, NULL), CERT_BAD_SIGNATURE);
	/* a live tunnel's certificate is spared the dear checks */
	cr_assert_eq(ca_pool_reverify(pool, cert, now, NULL), CERT_OK);
	cert->signature[0] ^= 1;
	cr_assert_eq(ca_pool_verify(pool, cert, now, NULL, NULL, NULL), CERT_NETWORK_NOT_ALLOWED);
	cert_unref(cert);

	cert_unref(ca);
	blocklist_free(blocklist);
	ca_pool_free(pool);
}

/* There are no intermediates: what a host signs is worth nothing (PROTOCOL.md 13.3, trap 34). */
Test(ca_pool, host_is_no_issuer)
{
	struct ca_pool *pool = pool_of(VECTOR_CA_PEM);
	struct cert *host = cert_of(VECTOR_HOST1_PEM), *cert;
	const struct prefix network = prefix_of("10.42.0.9/16");
	struct cert wanted = {.networks = &network,
			      .network_count = 1,
			      .has_issuer = true,
			      .not_before = VECTOR_NOT_BEFORE,
			      .not_after = VECTOR_HOST_NOT_AFTER};

	memcpy(wanted.issuer, host->fingerprint, sizeof(wanted.issuer));
	cert = cert_made(wanted);
	cr_assert_eq(ca_pool_verify(pool, cert, VECTOR_NOW, NULL, NULL, NULL), CERT_UNKNOWN_ISSUER);
	cert_unref(cert);
	cert_unref(host);
	ca_pool_free(pool);
}

/* Signed by its own key it would pass for a CA but for what it says of itself. */
Test(ca_pool, a_host_that_signed_itself_is_no_ca)
{
	const struct prefix network = prefix_of("10.42.0.9/16");
	struct cert wanted = {.networks = &network,
			      .network_count = 1,
			      .not_before = VECTOR_NOT_BEFORE,
			      .not_after = VECTOR_HOST_NOT_AFTER};
	char pem[4096] = "", error[CA_POOL_DETAIL_MAX];
	struct ca_pool *pool;
	struct cert *cert;

	wanted.public_key_len = (uint8_t)hex_decode(VECTOR_CA_PUBLIC_KEY, wanted.public_key,
						    sizeof(wanted.public_key));
	cert = cert_made(wanted);
	pem_append(pem, cert);
	cr_assert_eq(ca_pool_load(pem, strlen(pem), &pool, NULL, error), -EINVAL);
	cr_assert(strstr(error, cert_error_text(CERT_NOT_CA)), "%s", error);
	cert_unref(cert);
}

/* Truth table of what a CA allows; "" is an empty list. */
Test(ca_pool, constraints)
{
	static const struct {
		const char *ca_network, *ca_unsafe, *ca_group;
		const char *network, *unsafe, *group;
		int64_t not_before, not_after;
		enum cert_error error;
		const char *detail;
	} rows[] = {
		{"10.0.0.0/8", "192.168.0.0/16", "a", "10.1.0.1/16", "192.168.1.0/24", "a", 10, 90,
		 CERT_OK, ""},
		{"", "", "", "172.16.0.1/12", "0.0.0.0/0", "z", 10, 90, CERT_OK, ""},
		{"10.0.0.0/8", "192.168.0.0/16", "a", "10.0.0.1/8", "", "", 0, 100, CERT_OK, ""},
		{"10.9.9.9/8", "", "", "10.0.0.1/8", "", "", 0, 100, CERT_OK, ""},
		{"10.0.0.0/8", "", "", "10.0.0.1/7", "", "", 0, 100, CERT_NETWORK_NOT_ALLOWED,
		 "10.0.0.1/7"},
		{"10.0.0.0/8", "", "", "11.0.0.1/8", "", "", 0, 100, CERT_NETWORK_NOT_ALLOWED,
		 "11.0.0.1/8"},
		{"", "192.168.0.0/16", "", "10.0.0.1/8", "192.0.0.0/8", "", 0, 100,
		 CERT_UNSAFE_NETWORK_NOT_ALLOWED, "192.0.0.0/8"},
		{"", "192.168.0.0/16", "", "10.0.0.1/8", "0.0.0.0/0", "", 0, 100,
		 CERT_UNSAFE_NETWORK_NOT_ALLOWED, "0.0.0.0/0"},
		{"", "", "a", "10.0.0.1/8", "", "b", 0, 100, CERT_GROUP_NOT_ALLOWED, "b"},
		{"", "", "a", "10.0.0.1/8", "", "A", 0, 100, CERT_GROUP_NOT_ALLOWED, "A"},
		{"", "", "a", "10.0.0.1/8", "", "", 0, 101, CERT_OUTLIVES_CA, ""},
		{"", "", "a", "10.0.0.1/8", "", "", -1, 100, CERT_PREDATES_CA, ""},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct prefix networks[4] = {{.bits = 0}};
		struct cert ca = {.not_after = 100}, cert = {.not_before = rows[i].not_before,
							     .not_after = rows[i].not_after};
		char detail[CA_POOL_DETAIL_MAX];
		enum cert_error error;
		const struct {
			const char *text;
			const struct prefix **list;
			uint16_t *count;
		} lists[4] = {{rows[i].ca_network, &ca.networks, &ca.network_count},
			      {rows[i].ca_unsafe, &ca.unsafe_networks, &ca.unsafe_network_count},
			      {rows[i].network, &cert.networks, &cert.network_count},
			      {rows[i].unsafe, &cert.unsafe_networks, &cert.unsafe_network_count}};

		for (int n = 0; n < 4; n++) {
			if (lists[n].text[0] == '\0')
				continue;
			networks[n] = prefix_of(lists[n].text);
			*lists[n].list = &networks[n];
			*lists[n].count = 1;
		}
		ca.groups = &rows[i].ca_group;
		ca.group_count = rows[i].ca_group[0] != '\0';
		cert.groups = &rows[i].group;
		cert.group_count = rows[i].group[0] != '\0';

		error = ca_check_constraints(&ca, &cert, detail);
		cr_assert_eq(error, rows[i].error, "row %zu: %s", i, cert_error_text(error));
		cr_assert_str_eq(detail, rows[i].detail);
		cr_assert_eq(ca_check_constraints(&ca, &cert, NULL), error);
	}
}

/* --- the blocklist --------------------------------------------------------------------------- */

Test(ca_pool, blocklist_entries)
{
	static const char *const bad[] = {
		"",
		"12",
		VECTOR_CA_FINGERPRINT "00",
		" " VECTOR_CA_FINGERPRINT,
		"g7152461fd0600e08067faf70fb9b16b050038e9b5dca24c7246a55ceaaf6be9",
		"17:52461fd0600e08067faf70fb9b16b050038e9b5dca24c7246a55ceaaf6be9"};
	struct blocklist *list = blocklist_new();
	char upper[CERT_FINGERPRINT_HEX_MAX] = VECTOR_CA_FINGERPRINT;
	uint8_t fingerprint[32];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(blocklist_add(list, bad[i]), -EINVAL, "\"%s\"", bad[i]);
	cr_assert_eq(blocklist_count(list), 0);

	hex_decode(VECTOR_CA_FINGERPRINT, fingerprint, sizeof(fingerprint));
	cr_assert(!blocklist_contains(list, fingerprint));
	for (char *c = upper; *c != '\0'; c++)
		*c = (char)toupper(*c);
	cr_assert_eq(blocklist_add(list, upper), 0);
	cr_assert_eq(blocklist_add(list, VECTOR_CA_FINGERPRINT), 0);
	cr_assert_eq(blocklist_count(list), 1);
	cr_assert(blocklist_contains(list, fingerprint));
	blocklist_free(list);
	blocklist_free(NULL);
}

/* Many entries in random order: exactly those are found. */
Test(ca_pool, blocklist_is_a_set)
{
	struct blocklist *list = blocklist_new();
	uint8_t fingerprints[300][CERT_FINGERPRINT_SIZE];
	char hex[CERT_FINGERPRINT_HEX_MAX];

	srandom(59);
	for (size_t i = 0; i < 300; i++) {
		for (size_t b = 0; b < CERT_FINGERPRINT_SIZE; b++)
			fingerprints[i][b] = (uint8_t)(b == 0 ? random() % 4 : random());
		if (i % 2 == 0)
			cr_assert_eq(
				blocklist_add(list, cert_fingerprint_hex(fingerprints[i], hex)), 0);
	}
	cr_assert_eq(blocklist_count(list), 150);
	for (size_t i = 0; i < 300; i++)
		cr_assert_eq(blocklist_contains(list, fingerprints[i]), i % 2 == 0);
	blocklist_free(list);
}
