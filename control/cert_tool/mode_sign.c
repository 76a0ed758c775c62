/* mode_sign.c - m57-cert sign: a host certificate under a CA. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <sodium.h>

#include "cert_tool/subject.h"
#include "identity/ca_pool.h"

#define NS_PER_S 1000000000ll

struct sign_options {
	struct subject_text text;
	const char *networks_too, *unsafe_networks_too; /* the names of later releases */
	const char *ca_key, *ca_crt, *in_pub, *out_key, *out_crt;
	int64_t duration_ns; /* 0: until one second before the CA's end */
	struct tool_choices choices;
};

/* The CA that signs: its certificate, and its key in secure memory. */
struct signer {
	struct cert *cert;
	struct pem_block key;
};

/* Is this 64-byte key whole, and the one that the certificate names? */
static bool signer_matches(const struct signer *signer)
{
	uint8_t public_key[crypto_sign_PUBLICKEYBYTES];
	uint8_t *derived;
	bool matches;

	if (signer->key.len != CERT_CA_KEY_SIZE)
		return false;
	derived = sodium_malloc(CERT_CA_KEY_SIZE);
	if (derived == NULL)
		return false;
	crypto_sign_seed_keypair(public_key, derived, signer->key.bytes);
	matches = sodium_memcmp(derived, signer->key.bytes, CERT_CA_KEY_SIZE) == 0 &&
		  sodium_memcmp(public_key, signer->cert->public_key, sizeof(public_key)) == 0;
	sodium_free(derived);
	return matches;
}

/* Returns 0, or 1 after an error line. signer_close() in either case. */
static int signer_open(struct signer *signer, const struct sign_options *options, int64_t now)
{
	struct pem_block block;
	enum cert_error error;

	memset(signer, 0, sizeof(*signer));
	if (tool_read_block("ca-key", options->ca_key, PEM_ED25519_PRIVATE_KEY,
			    "Ed25519 private key", &signer->key) != 0 ||
	    tool_read_block("ca-crt", options->ca_crt, PEM_CERTIFICATE, "certificate", &block) != 0)
		return 1;
	error = cert_decode(CERT_VERSION_1, block.bytes, block.len, &signer->cert);
	pem_block_free(&block);
	if (error != CERT_OK)
		return tool_error("error while parsing ca-crt: %s", cert_error_text(error));
	if (!signer_matches(signer))
		return tool_error("refusing to sign, root certificate does not match private key");
	if (!signer->cert->is_ca)
		return tool_error("refusing to sign, ca-crt is not a CA certificate");
	if (cert_expired(signer->cert, now))
		return tool_error("ca certificate is expired");
	return 0;
}

static void signer_close(struct signer *signer)
{
	cert_unref(signer->cert);
	pem_block_free(&signer->key);
}

/*
 * Gives the certificate a public key: the one in -in-pub, or that of a new pair whose private half
 * comes back in *private_key (secure memory).
 */
static int public_key_set(const struct sign_options *options, struct cert *cert,
			  uint8_t **private_key)
{
	struct pem_block block;
	int status = 0;

	*private_key = NULL;
	cert->public_key_len = crypto_box_PUBLICKEYBYTES;
	if (options->in_pub[0] == '\0') {
		*private_key = sodium_malloc(crypto_box_SECRETKEYBYTES);
		if (*private_key == NULL)
			return tool_error("out of memory");
		crypto_box_keypair(cert->public_key, *private_key);
		return 0;
	}
	if (tool_read_block("in-pub", options->in_pub, PEM_X25519_PUBLIC_KEY, "X25519 public key",
			    &block) != 0)
		return 1;
	if (block.len != crypto_box_PUBLICKEYBYTES)
		status = tool_error("error while parsing in-pub: key was not 32 bytes, is invalid "
				    "X25519 public key");
	else
		memcpy(cert->public_key, block.bytes, block.len);
	pem_block_free(&block);
	return status;
}

/* NAME.key, NAME.crt where no path was given. */
static const char *path_or_default(const char *path, const char *name, const char *suffix,
				   char buf[CERT_NAME_MAX + 8])
{
	if (path[0] != '\0')
		return path;
	snprintf(buf, CERT_NAME_MAX + 8, "%s%s", name, suffix);
	return buf;
}

/* Signs the completed fields and writes the one or two files. */
static int sign_write(const struct sign_options *options, const struct signer *signer,
		      const struct cert *unsigned_cert, const uint8_t *private_key)
{
	char key_path[CERT_NAME_MAX + 8], cert_path[CERT_NAME_MAX + 8];
	struct new_file key_file = {
		.path = path_or_default(options->out_key, options->text.name, ".key", key_path),
		.what = "key",
		.flag = "out-key",
		.banner = PEM_X25519_PRIVATE_KEY,
		.bytes = private_key,
		.len = crypto_box_SECRETKEYBYTES};
	struct new_file cert_file = {
		.path = path_or_default(options->out_crt, options->text.name, ".crt", cert_path),
		.what = "cert",
		.flag = "out-crt",
		.banner = PEM_CERTIFICATE};
	char detail[CA_POOL_DETAIL_MAX];
	enum cert_error error;
	struct cert *cert;
	int status;

	error = ca_check_constraints(signer->cert, unsigned_cert, detail);
	if (error != CERT_OK)
		return tool_error("refusing to sign, root certificate constraints violated: %s%s%s",
				  cert_error_text(error), detail[0] != '\0' ? ": " : "", detail);
	if (tool_check_absent(cert_file.path, "cert") != 0)
		return 1;
	if (private_key != NULL && tool_check_absent(key_file.path, "key") != 0)
		return 1;
	error = cert_sign(unsigned_cert, signer->key.bytes, signer->key.len, &cert);
	if (error != CERT_OK)
		return tool_error("error while signing: %s", cert_error_text(error));
	status = tool_write_cert(cert, &cert_file, private_key != NULL ? &key_file : NULL);
	cert_unref(cert);
	return status;
}

static int sign(const struct sign_options *options, const struct subject *subject)
{
	struct cert unsigned_cert = {.has_issuer = true};
	struct timespec now;
	struct signer signer;
	uint8_t *private_key;
	int status;

	clock_gettime(CLOCK_REALTIME, &now);
	status = signer_open(&signer, options, now.tv_sec);
	if (status != 0)
		goto err_signer;

	subject_apply(subject, &unsigned_cert);
	memcpy(unsigned_cert.issuer, signer.cert->fingerprint, sizeof(unsigned_cert.issuer));
	unsigned_cert.not_before = now.tv_sec;
	if (options->duration_ns <= 0)
		unsigned_cert.not_after = signer.cert->not_after - 1;
	else
		unsigned_cert.not_after =
			now.tv_sec + options->duration_ns / NS_PER_S +
			(now.tv_nsec + options->duration_ns % NS_PER_S) / NS_PER_S;
	status = public_key_set(options, &unsigned_cert, &private_key);
	if (status == 0)
		status = sign_write(options, &signer, &unsigned_cert, private_key);
	sodium_free(private_key);
err_signer:
	signer_close(&signer);
	return status;
}

/* What is wrong with the combination of flags, or NULL. */
static const char *options_check(struct sign_options *o)
{
	if (o->networks_too[0] != '\0')
		o->text.networks = o->networks_too;
	if (o->unsafe_networks_too[0] != '\0')
		o->text.unsafe_networks = o->unsafe_networks_too;
	if (o->choices.version == 0)
		o->choices.version = CERT_VERSION_1; /* the version of the CA, which is 1 */
	if (o->text.name[0] == '\0')
		return "-name is required";
	if (o->text.networks[0] == '\0')
		return "-ip is required";
	if (o->in_pub[0] != '\0' && o->out_key[0] != '\0')
		return "cannot set both -in-pub and -out-key";
	return NULL;
}

/* What the flags say, checked and carried out. */
static int sign_make(struct sign_options *o, const struct flag *flags, size_t count)
{
	const char *problem = options_check(o);
	char error[TOOL_TEXT_MAX];
	struct subject subject;
	int status;

	if (tool_check_choices(&o->choices) != 0)
		return 1;
	if (problem != NULL)
		return tool_usage_error(&mode_sign, flags, count, "%s", problem);
	if (subject_parse(&o->text, &subject, error) != 0)
		status = tool_usage_error(&mode_sign, flags, count, "%s", error);
	else if (subject.network_count != 1)
		status = tool_usage_error(&mode_sign, flags, count,
					  "invalid ip definition: a version 1 certificate has "
					  "exactly one ipv4 network, have %s",
					  o->text.networks);
	else
		status = sign(o, &subject);
	subject_free(&subject);
	return status;
}

static int run(int argc, char **argv)
{
	struct sign_options o = {.text = {"", "", "", ""},
				 .networks_too = "",
				 .unsafe_networks_too = "",
				 .ca_key = "ca.key",
				 .ca_crt = "ca.crt",
				 .in_pub = "",
				 .out_key = "",
				 .out_crt = ""};
	const struct flag flags[] = {
		{"ca-crt", FLAG_STRING, &o.ca_crt, "Optional: path to the signing CA cert",
		 "\"ca.crt\""},
		{"ca-key", FLAG_STRING, &o.ca_key, "Optional: path to the signing CA key",
		 "\"ca.key\""},
		{"duration", FLAG_DURATION, &o.duration_ns,
		 "Optional: how long the cert should be valid for. The default is 1 second before "
		 "the signing cert expires. Valid time units are seconds: \"s\", minutes: \"m\", "
		 "hours: \"h\"",
		 NULL},
		{"groups", FLAG_STRING, &o.text.groups, "Optional: comma separated list of groups",
		 NULL},
		{"in-pub", FLAG_STRING, &o.in_pub,
		 "Optional (if out-key not set): path to read a previously generated public key",
		 NULL},
		{"ip", FLAG_STRING, &o.text.networks, "Required: same as -networks", NULL},
		{"name", FLAG_STRING, &o.text.name,
		 "Required: name of the cert, usually a hostname", NULL},
		{"networks", FLAG_STRING, &o.networks_too,
		 "Required: ipv4 address and network in CIDR notation to assign the cert", NULL},
		{"out-crt", FLAG_STRING, &o.out_crt, "Optional: path to write the certificate to",
		 NULL},
		{"out-key", FLAG_STRING, &o.out_key,
		 "Optional (if in-pub not set): path to write the private key to", NULL},
		{"out-qr", FLAG_STRING, &o.choices.out_qr, NULL, NULL},
		{"pkcs11", FLAG_STRING, &o.choices.pkcs11, NULL, NULL},
		{"subnets", FLAG_STRING, &o.text.unsafe_networks,
		 "Optional: same as -unsafe-networks", NULL},
		{"unsafe-networks", FLAG_STRING, &o.unsafe_networks_too,
		 "Optional: comma separated list of ipv4 address and network in CIDR notation. "
		 "Subnets this cert can serve for",
		 NULL},
		{"version", FLAG_UINT, &o.choices.version,
		 "Optional: version of the certificate format to use (1); 0 is the version of the "
		 "CA",
		 "0"},
	};
	const size_t count = sizeof(flags) / sizeof(flags[0]);
	int status;

	if (!tool_flags(&mode_sign, flags, count, argc, argv, &status))
		return status;
	return sign_make(&o, flags, count);
}

const struct mode mode_sign = {
	.name = "sign",
	.summary = "create and sign a certificate",
	.run = run,
};
