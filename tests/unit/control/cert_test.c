/* cert_test.c - what certificates of all versions have in common: signing, life, questions. */
#include "unit/control/cert_helpers.h"

#include <stdlib.h>

static void init(void)
{
	cr_assert_geq(sodium_init(), 0);
}

TestSuite(cert, .init = init);

/* Ed25519 is deterministic: signing the same fields anew gives nebula-cert's certificate. */
Test(cert, signing_reproduces_the_vector)
{
	struct cert *vector = cert_of(VECTOR_HOST1_PEM), *ca = cert_of(VECTOR_CA_PEM);
	const struct prefix network = prefix_of("10.42.0.1/16");
	const struct prefix unsafe_network = prefix_of("192.168.77.0/24");
	struct cert wanted = {.name = "host1.vector",
			      .networks = &network,
			      .network_count = 1,
			      .unsafe_networks = &unsafe_network,
			      .unsafe_network_count = 1,
			      .groups = (const char *const[]){"servers", "laptops"},
			      .group_count = 2,
			      .not_before = VECTOR_NOT_BEFORE,
			      .not_after = VECTOR_HOST_NOT_AFTER,
			      .has_issuer = true};
	char hex[CERT_FINGERPRINT_HEX_MAX];
	struct cert *made;

	memcpy(wanted.issuer, ca->fingerprint, sizeof(wanted.issuer));
	made = cert_made(wanted);
	cr_assert_str_eq(cert_fingerprint_hex(made->fingerprint, hex), VECTOR_HOST1_FINGERPRINT);
	cr_assert_eq(memcmp(made->signature, vector->signature, 64), 0);
	cert_unref(made);
	cert_unref(vector);
	cert_unref(ca);
}

Test(cert, signing_refuses)
{
	const struct prefix v4 = prefix_of("10.0.0.1/8"), v6 = prefix_of("fd00::1/64"),
			    zero = prefix_of("0.0.0.0/8");
	const struct {
		struct cert wanted;
		enum cert_error error;
	} rows[] = {
		{{.version = 1, .name = "a", .networks = &v4, .network_count = 1}, CERT_OK},
		{{.version = 2, .name = "a", .networks = &v4, .network_count = 1},
		 CERT_UNSUPPORTED_VERSION},
		{{.version = 1,
		  .name = "a",
		  .networks = &v4,
		  .network_count = 1,
		  .curve = CERT_CURVE_P256},
		 CERT_UNSUPPORTED_CURVE},
		{{.version = 1, .name = "a"}, CERT_NO_NETWORKS},
		{{.version = 1, .name = "a", .is_ca = true}, CERT_OK},
		{{.version = 1, .name = "a", .networks = &v6, .network_count = 1},
		 CERT_BAD_NETWORK},
		{{.version = 1, .name = "a", .networks = &zero, .network_count = 1},
		 CERT_BAD_NETWORK},
		{{.version = 1, .name = "a", .networks = &zero, .network_count = 1, .is_ca = true},
		 CERT_OK},
		{{.version = 1, .name = "\xff", .networks = &v4, .network_count = 1},
		 CERT_BAD_TEXT},
		{{.version = 1,
		  .name = "a",
		  .networks = &v4,
		  .network_count = 1,
		  .groups = (const char *const[]){"\xc3"},
		  .group_count = 1},
		 CERT_BAD_TEXT},
	};
	struct pem_block key = block_of(VECTOR_CA_KEY_PEM);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cert wanted = rows[i].wanted, *cert;
		enum cert_error error;

		wanted.public_key_len = 32;
		error = cert_sign(&wanted, key.bytes, key.len, &cert);
		cr_assert_eq(error, rows[i].error, "row %zu: %s", i, cert_error_text(error));
		cr_assert_eq(cert == NULL, error != CERT_OK);
		cert_unref(cert);
	}
	pem_block_free(&key);
}

Test(cert, validity_includes_both_ends)
{
	const struct cert cert = {.not_before = 100, .not_after = 200};

	cr_assert(cert_expired(&cert, 99));
	cr_assert(!cert_expired(&cert, 100));
	cr_assert(!cert_expired(&cert, 200));
	cr_assert(cert_expired(&cert, 201));
}

Test(cert, groups)
{
	struct cert *cert = cert_of(VECTOR_HOST1_PEM);

	cr_assert(cert_has_group(cert, "servers"));
	cr_assert(cert_has_group(cert, "laptops"));
	cr_assert(!cert_has_group(cert, "server"));
	cr_assert(!cert_has_group(cert, "serverss"));
	cr_assert(!cert_has_group(cert, ""));
	cert_unref(cert);
}

Test(cert, lives_until_the_last_holder)
{
	struct cert *cert = cert_of(VECTOR_HOST2_PEM), *second = cert_ref(cert);

	cert_unref(cert);
	cr_assert_str_eq(second->name, "host2");
	cert_unref(second);
	cert_unref(NULL);
}

Test(cert, every_error_has_a_text_of_its_own)
{
	for (int i = 0; i <= CERT_NOT_SELF_SIGNED; i++)
		for (int j = 0; j < i; j++)
			cr_assert_str_neq(cert_error_text((enum cert_error)i),
					  cert_error_text((enum cert_error)j));
	cr_assert_str_eq(cert_error_text((enum cert_error)1000), "unknown error");
}
