/* mode_ca.c - m57-cert ca: a self signed certificate authority. */
#include <time.h>
#include <sodium.h>

#include "cert_tool/subject.h"

#define NS_PER_S 1000000000ll

struct ca_options {
	struct subject_text text;
	const char *networks_too, *unsafe_networks_too; /* the names of later releases */
	const char *out_key, *out_crt;
	int64_t duration_ns;
	struct tool_choices choices;
	uint64_t argon[3]; /* for -encrypt, which is refused */
};

/* The end is cut to whole seconds after adding, as the reference does. */
static void times_set(struct cert *cert, int64_t duration_ns)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	cert->not_before = now.tv_sec;
	cert->not_after = now.tv_sec + duration_ns / NS_PER_S +
			  (now.tv_nsec + duration_ns % NS_PER_S) / NS_PER_S;
}

/* Makes the key pair, signs and writes. */
static int ca_write(const struct ca_options *options, const struct subject *subject)
{
	uint8_t *key = sodium_malloc(CERT_CA_KEY_SIZE);
	struct new_file cert_file = {.path = options->out_crt,
				     .what = "CA cert",
				     .flag = "out-crt",
				     .banner = PEM_CERTIFICATE};
	struct new_file key_file = {.path = options->out_key,
				    .what = "CA key",
				    .flag = "out-key",
				    .banner = PEM_ED25519_PRIVATE_KEY,
				    .bytes = key,
				    .len = CERT_CA_KEY_SIZE};
	struct cert unsigned_cert = {.is_ca = true};
	enum cert_error error;
	struct cert *cert;
	int status;

	if (key == NULL)
		return tool_error("out of memory");
	crypto_sign_keypair(unsigned_cert.public_key, key);
	unsigned_cert.public_key_len = crypto_sign_PUBLICKEYBYTES;
	subject_apply(subject, &unsigned_cert);
	times_set(&unsigned_cert, options->duration_ns);
	error = cert_sign(&unsigned_cert, key, CERT_CA_KEY_SIZE, &cert);
	if (error != CERT_OK)
		status = tool_error("error while signing: %s", cert_error_text(error));
	else
		status = tool_write_cert(cert, &cert_file, &key_file);
	cert_unref(cert);
	sodium_free(key);
	return status;
}

/* What the flags say, checked and carried out. */
static int ca_make(struct ca_options *o, const struct flag *flags, size_t count)
{
	char error[TOOL_TEXT_MAX];
	struct subject subject;
	int status;

	if (tool_check_choices(&o->choices) != 0)
		return 1;
	if (o->text.name[0] == '\0')
		return tool_usage_error(&mode_ca, flags, count, "-name is required");
	if (o->duration_ns <= 0)
		return tool_usage_error(&mode_ca, flags, count, "-duration must be greater than 0");
	if (o->networks_too[0] != '\0')
		o->text.networks = o->networks_too;
	if (o->unsafe_networks_too[0] != '\0')
		o->text.unsafe_networks = o->unsafe_networks_too;
	if (subject_parse(&o->text, &subject, error) != 0)
		status = tool_usage_error(&mode_ca, flags, count, "%s", error);
	else if (tool_check_absent(o->out_key, "CA key") != 0 ||
		 tool_check_absent(o->out_crt, "CA cert") != 0)
		status = 1;
	else
		status = ca_write(o, &subject);
	subject_free(&subject);
	return status;
}

static int run(int argc, char **argv)
{
	struct ca_options o = {.text = {"", "", "", ""},
			       .networks_too = "",
			       .unsafe_networks_too = "",
			       .out_key = "ca.key",
			       .out_crt = "ca.crt",
			       .duration_ns = 8760 * 3600 * NS_PER_S,
			       .choices = {.version = CERT_VERSION_1, .curve = "25519"}};
	const struct flag flags[] = {
		{"argon-iterations", FLAG_UINT, &o.argon[0], NULL, NULL},
		{"argon-memory", FLAG_UINT, &o.argon[1], NULL, NULL},
		{"argon-parallelism", FLAG_UINT, &o.argon[2], NULL, NULL},
		{"curve", FLAG_STRING, &o.choices.curve, "Optional: EdDSA/ECDSA Curve (25519)",
		 "\"25519\""},
		{"duration", FLAG_DURATION, &o.duration_ns,
		 "Optional: amount of time the certificate should be valid for. Valid time units "
		 "are seconds: \"s\", minutes: \"m\", hours: \"h\"",
		 "8760h0m0s"},
		{"encrypt", FLAG_BOOL, &o.choices.encrypt, NULL, NULL},
		{"groups", FLAG_STRING, &o.text.groups,
		 "Optional: comma separated list of groups. This will limit which groups "
		 "subordinate certs can use",
		 NULL},
		{"ips", FLAG_STRING, &o.text.networks, "Optional: same as -networks", NULL},
		{"name", FLAG_STRING, &o.text.name, "Required: name of the certificate authority",
		 NULL},
		{"networks", FLAG_STRING, &o.networks_too,
		 "Optional: comma separated list of ipv4 address and network in CIDR notation. "
		 "This "
		 "will limit which ipv4 addresses and networks subordinate certs can use for ip "
		 "addresses",
		 NULL},
		{"out-crt", FLAG_STRING, &o.out_crt, "Optional: path to write the certificate to",
		 "\"ca.crt\""},
		{"out-key", FLAG_STRING, &o.out_key, "Optional: path to write the private key to",
		 "\"ca.key\""},
		{"out-qr", FLAG_STRING, &o.choices.out_qr, NULL, NULL},
		{"pkcs11", FLAG_STRING, &o.choices.pkcs11, NULL, NULL},
		{"subnets", FLAG_STRING, &o.text.unsafe_networks,
		 "Optional: same as -unsafe-networks", NULL},
		{"unsafe-networks", FLAG_STRING, &o.unsafe_networks_too,
		 "Optional: comma separated list of ipv4 address and network in CIDR notation. "
		 "This "
		 "will limit which ipv4 addresses and networks subordinate certs can use in "
		 "subnets",
		 NULL},
		{"version", FLAG_UINT, &o.choices.version,
		 "Optional: version of the certificate format to use (1)", "1"},
	};
	const size_t count = sizeof(flags) / sizeof(flags[0]);
	int status;

	if (!tool_flags(&mode_ca, flags, count, argc, argv, &status))
		return status;
	return ca_make(&o, flags, count);
}

const struct mode mode_ca = {
	.name = "ca",
	.summary = "create a self signed certificate authority",
	.run = run,
};
