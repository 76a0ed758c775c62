/* pki_test.c - own identity: what loads, what is said about what does not, and what is never said.
 */
#include "unit/control/cert_helpers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "identity/pki.h"
#include "unit/temp_path.h"

static struct pki pki;

static void init(void)
{
	cr_assert_eq(pki_init(&pki), 0);
}

static void fini(void)
{
	pki_free(&pki);
}

TestSuite(pki, .init = init, .fini = fini);

/* Base64 of the private keys in the vectors, in pieces that no error line may contain. */
static void assert_no_secret(const char *error)
{
	static const char *const secrets[] = {"Fg5YpY2i", "hP86tB8K", "X+u6ofvm", "FcK2ceLU",
					      "160e58a5", "84ff3ab4", "aBw4n88D"};

	for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++)
		cr_assert_null(strstr(error, secrets[i]), "%s", error);
	cr_assert_null(strchr(error, '\n'), "%s", error);
}

Test(pki, a_good_identity)
{
	char error[PKI_ERROR_MAX];
	uint8_t expected[256];
	size_t len;

	cr_assert_eq(pki_load_ca(&pki, VECTOR_CA_PEM, VECTOR_NOW, error), 0, "%s", error);
	cr_assert_eq(pki_load_cert(&pki, VECTOR_HOST1_PEM, VECTOR_NOW, error), 0, "%s", error);
	cr_assert_eq(pki_load_key(&pki, VECTOR_HOST1_KEY_PEM, error), 0, "%s", error);
	cr_assert_eq(pki_block(&pki, VECTOR_HOST2_FINGERPRINT, error), 0, "%s", error);
	cr_assert_eq(pki_check_match(&pki, error), 0, "%s", error);
	cr_assert_str_empty(error);

	cr_assert_str_eq(pki_own_cert(&pki)->name, "host1.vector");
	cr_assert_eq(pki.v1.handshake_len,
		     hex_decode(VECTOR_HOST1_HANDSHAKE, expected, sizeof(expected)));
	cr_assert_eq(memcmp(pki.v1.handshake_bytes, expected, pki.v1.handshake_len), 0);
	hex_decode(VECTOR_HOST1_PUBLIC_KEY, expected, sizeof(expected));
	cr_assert_eq(memcmp(pki_public_key(&pki, &len), expected, 32), 0);
	cr_assert_eq(len, 32);
	hex_decode(VECTOR_HOST1_PRIVATE_KEY, expected, sizeof(expected));
	cr_assert_eq(memcmp(pki.private_key, expected, 32), 0);
	cr_assert_eq(pki.private_key_len, 32);
	cr_assert_eq(blocklist_count(pki.blocklist), 1);
}

Test(pki, files)
{
	char path[TEMP_PATH_MAX], error[PKI_ERROR_MAX];
	int fd;

	temp_path(path, "pki-XXXXXX");
	fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, VECTOR_HOST2_KEY_PEM, strlen(VECTOR_HOST2_KEY_PEM)),
		     (ssize_t)strlen(VECTOR_HOST2_KEY_PEM));
	close(fd);
	cr_assert_eq(pki_load_key(&pki, path, error), 0, "%s", error);
	cr_assert_eq(pki_load_cert(&pki, path, VECTOR_NOW, error), -EINVAL);
	cr_assert_not_null(strstr(error, path), "%s", error);
	assert_no_secret(error);
	unlink(path);

	cr_assert_eq(pki_load_key(&pki, path, error), -EINVAL);
	cr_assert_not_null(strstr(error, path), "%s", error);
	cr_assert_not_null(strstr(error, "No such file"), "%s", error);
	cr_assert_not_null(pki.private_key, "a failed load keeps what was there");

	cr_assert_eq(pki_load_ca(&pki, "/dev/zero", VECTOR_NOW, error), -EINVAL);
	cr_assert_not_null(strstr(error, "larger than"), "%s", error);
	cr_assert_eq(pki_load_ca(&pki, "/tmp", VECTOR_NOW, error), -EINVAL);
	cr_assert_not_null(strstr(error, "Is a directory"), "%s", error);
}

/* A path that could be a piece of a key is a path all the same. */
Test(pki, a_file_whose_path_looks_like_a_key)
{
	char path[TEMP_PATH_MAX], error[PKI_ERROR_MAX];
	int fd;

	temp_path(path, "m57pkitestOfAPathThatLooksLikeAKeyToWhomXXXXXX");
	fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, VECTOR_HOST2_KEY_PEM, strlen(VECTOR_HOST2_KEY_PEM)),
		     (ssize_t)strlen(VECTOR_HOST2_KEY_PEM));
	close(fd);
	cr_expect_eq(pki_load_key(&pki, path, error), 0, "%s", error);
	unlink(path);
}

Test(pki, bad_ca)
{
	static const struct {
		const char *value, *says;
		int64_t now;
	} rows[] = {
		{"", "empty", VECTOR_NOW},
		{NULL, "empty", VECTOR_NOW},
		{VECTOR_HOST1_PEM, "host1.vector: certificate is not a CA", VECTOR_NOW},
		{VECTOR_CA_KEY_PEM, "found NEBULA ED25519 PRIVATE KEY", VECTOR_NOW},
		{VECTOR_CA_V2_PEM, "supported yet", VECTOR_NOW},
		{VECTOR_CA_PEM, "expired", VECTOR_CA_NOT_AFTER + 1},
		{VECTOR_CA_PEM, "not yet valid", VECTOR_NOT_BEFORE - 1},
		{"-----BEGIN NEBULA CERTIFICATE-----\n", "unfinished", VECTOR_NOW},
	};
	char error[PKI_ERROR_MAX];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_assert_eq(pki_load_ca(&pki, rows[i].value, rows[i].now, error), -EINVAL);
		cr_assert_not_null(strstr(error, rows[i].says), "row %zu: %s", i, error);
		cr_assert_eq(strncmp(error, "pki.ca", 6), 0, "%s", error);
		assert_no_secret(error);
		cr_assert_null(pki.ca);
	}
}

Test(pki, bad_cert)
{
	static const struct {
		const char *value, *says;
		int64_t now;
	} rows[] = {
		{"", "empty", VECTOR_NOW},
		{VECTOR_CA_PEM, "is a CA certificate", VECTOR_NOW},
		{VECTOR_HOST1_PEM, "expired", VECTOR_HOST_NOT_AFTER + 1},
		{VECTOR_HOST1_PEM, "not yet valid", VECTOR_NOT_BEFORE - 1},
		{VECTOR_HOST1_PEM VECTOR_HOST2_PEM, "more than one", VECTOR_NOW},
		{VECTOR_HOST1_V2_PEM, "version 2", VECTOR_NOW},
		{VECTOR_HOST1_PEM VECTOR_HOST1_KEY_PEM, "found a NEBULA X25519 PRIVATE KEY",
		 VECTOR_NOW},
		{VECTOR_CA_P256_PEM, "curve is not supported yet", VECTOR_NOW},
		{VECTOR_HOST1_PEM "-----BEGIN NEBULA CERTIFICATE-----\n", "block 2 is unfinished",
		 VECTOR_NOW},
		{"-----BEGIN NEBULA CERTIFICATE-----\nAAAA\n-----END NEBULA CERTIFICATE-----\n",
		 "encoding is broken", VECTOR_NOW},
	};
	char error[PKI_ERROR_MAX];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_assert_eq(pki_load_cert(&pki, rows[i].value, rows[i].now, error), -EINVAL,
			     "row %zu", i);
		cr_assert_not_null(strstr(error, rows[i].says), "row %zu: %s", i, error);
		cr_assert_eq(strncmp(error, "pki.cert", 8), 0, "%s", error);
		assert_no_secret(error);
		cr_assert_null(pki_own_cert(&pki));
	}
}

/* 9001 bytes are what a stock peer can receive. */
Test(pki, cert_too_long_for_a_handshake)
{
	static char pem[65536], error[PKI_ERROR_MAX];
	const struct prefix network = prefix_of("10.42.0.1/16");
	const char *groups[CERT_GROUPS_MAX];

	for (size_t i = 0; i < CERT_GROUPS_MAX; i++)
		groups[i] = "nineteen characters";
	for (int count = 100; count <= 1000; count += 900) {
		struct cert *cert = cert_made((struct cert){.networks = &network,
							    .network_count = 1,
							    .groups = groups,
							    .group_count = (uint16_t)count,
							    .not_after = INT64_MAX});

		pem[0] = '\0';
		pem_append(pem, cert);
		cr_assert_eq(pki_load_cert(&pki, pem, VECTOR_NOW, error),
			     count == 100 ? 0 : -EINVAL);
		cert_unref(cert);
	}
	cr_assert_not_null(strstr(error, "too long for a handshake"), "%s", error);
}

Test(pki, version_2_beside_version_1_is_passed_over)
{
	char error[PKI_ERROR_MAX];

	cr_assert_eq(pki_load_cert(&pki, VECTOR_HOST1_V2_PEM VECTOR_HOST1_PEM, VECTOR_NOW, error),
		     0);
	cr_assert_eq(pki.skipped_cert_blocks, 1);
	cr_assert_eq(pki_load_ca(&pki, VECTOR_CA_PEM VECTOR_CA_V2_PEM, VECTOR_NOW, error), 0);
	cr_assert_eq(pki.skipped_ca_blocks, 1);
}

/* Each way to get the key wrong, some of them with a true key in the value. */
Test(pki, bad_key)
{
	static const struct {
		const char *value, *says;
	} rows[] = {
		{"", "empty"},
		{VECTOR_HOST1_PEM, "found a NEBULA CERTIFICATE"},
		{VECTOR_CA_KEY_PEM, "key of a CA"},
		{VECTOR_CA_ENCRYPTED_KEY_PEM, "key of a CA"},
		{"-----BEGIN NEBULA P256 PRIVATE KEY-----\n"
		 "Fg5YpY2ieaBw4n88Dp+da7j9i8sP4kqvkhHe3Jg9DB0=\n"
		 "-----END NEBULA P256 PRIVATE KEY-----\n",
		 "P-256"},
		{"-----BEGIN NEBULA X25519 PRIVATE KEY-----\n"
		 "Fg5YpY2ieaBw4n88Dp+da7j9i8sP4kqvkhHe3Jg9\n"
		 "-----END NEBULA X25519 PRIVATE KEY-----\n",
		 "30 bytes instead of 32"},
		{"-----BEGIN NEBULA X25519 PRIVATE KEY-----\n"
		 "Fg5YpY2ieaBw4n88Dp+da7j9i8sP4kqvkhHe3Jg9DB0=\n",
		 "unfinished"},
		{"-----BEGIN NEBULA X25519 PRIVATE KEY-----\n"
		 "Fg5YpY2ieaBw4n88Dp+da7j9i8sP4kqvkhHe3Jg9DB0!\n"
		 "-----END NEBULA X25519 PRIVATE KEY-----\n",
		 "not base64"},
		{"----BEGIN NEBULA X25519 PRIVATE KEY-----\n"
		 "Fg5YpY2ieaBw4n88Dp+da7j9i8sP4kqvkhHe3Jg9DB0=\n",
		 "neither a path"},
		{"Fg5YpY2ieaBw4n88Dp+da7j9i8sP4kqvkhHe3Jg9DB0=", "neither a path"},
		{"Fg5YpY2ieaBw4n88Dp+da7j9i8sP4kqvkhHe3Jg9DB0", "neither a path"},
		{"160e58a58da279a070e27f3c0e9f9d6bb8fd8bcb0fe24aaf9211dedc983d0c1d",
		 "neither a path"},
		{"key: Fg5YpY2ieaBw4n88Dp+da7j9i8sP4kqvkhHe3Jg9DB0=", "neither a path"},
		{"/nonexistent/host.key", "/nonexistent/host.key: No such file"},
	};
	char error[PKI_ERROR_MAX];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cr_assert_eq(pki_load_key(&pki, rows[i].value, error), -EINVAL, "row %zu", i);
		cr_assert_not_null(strstr(error, rows[i].says), "row %zu: %s", i, error);
		cr_assert_eq(strncmp(error, "pki.key", 7), 0, "%s", error);
		assert_no_secret(error);
		cr_assert_null(pki.private_key);
	}
}

Test(pki, key_of_somebody_else)
{
	char error[PKI_ERROR_MAX];

	cr_assert_eq(pki_check_match(&pki, error), -EINVAL);
	cr_assert_eq(pki_load_cert(&pki, VECTOR_HOST1_PEM, VECTOR_NOW, error), 0);
	cr_assert_eq(pki_load_key(&pki, VECTOR_HOST2_KEY_PEM, error), 0);
	cr_assert_eq(pki_check_match(&pki, error), -EINVAL);
	cr_assert_not_null(strstr(error, "host1.vector"), "%s", error);
	assert_no_secret(error);
	/* loading again replaces */
	cr_assert_eq(pki_load_key(&pki, VECTOR_HOST1_KEY_PEM, error), 0);
	cr_assert_eq(pki_check_match(&pki, error), 0);
}

Test(pki, bad_blocklist_entry)
{
	char error[PKI_ERROR_MAX];

	cr_assert_eq(pki_block(&pki, "not\nhex", error), -EINVAL);
	cr_assert_not_null(strstr(error, "not?hex"), "%s", error);
	cr_assert_eq(blocklist_count(pki.blocklist), 0);
}

Test(pki, reload)
{
	char error[PKI_ERROR_MAX];
	struct pki next;

	cr_assert_eq(pki_init(&next), 0);
	cr_assert_eq(pki_load_cert(&pki, VECTOR_HOST1_PEM, VECTOR_NOW, error), 0);
	cr_assert_eq(pki_load_cert(&next, VECTOR_HOST1_PEM, VECTOR_NOW, error), 0);
	cr_assert_eq(pki_check_reload(&pki, &next, error), 0);
	cr_assert_eq(pki_load_cert(&next, VECTOR_HOST2_PEM, VECTOR_NOW, error), 0);
	cr_assert_eq(pki_check_reload(&pki, &next, error), -EINVAL);
	cr_assert_not_null(strstr(error, "restart"), "%s", error);
	pki_free(&next);
}
