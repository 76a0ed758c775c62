/* mode_keygen.c - m57-cert keygen: a host's key pair, for "sign -in-pub". */
#include <sodium.h>

#include "cert_tool/tool.h"

static int keygen(const char *out_key, const char *out_pub)
{
	uint8_t public_key[crypto_box_PUBLICKEYBYTES];
	uint8_t *private_key = sodium_malloc(crypto_box_SECRETKEYBYTES);
	struct new_file files[2] = {{.path = out_key,
				     .what = "key",
				     .flag = "out-key",
				     .banner = PEM_X25519_PRIVATE_KEY,
				     .bytes = private_key,
				     .len = crypto_box_SECRETKEYBYTES},
				    {.path = out_pub,
				     .what = "public key",
				     .flag = "out-pub",
				     .banner = PEM_X25519_PUBLIC_KEY,
				     .bytes = public_key,
				     .len = sizeof(public_key)}};
	int status;

	if (private_key == NULL)
		return tool_error("out of memory");
	crypto_box_keypair(public_key, private_key);
	status = tool_check_absent(out_pub, "public key");
	if (status == 0)
		status = tool_write_files(files, 2);
	sodium_free(private_key);
	return status;
}

static int run(int argc, char **argv)
{
	const char *out_key = "", *out_pub = "";
	struct tool_choices choices = {.version = CERT_VERSION_1, .curve = "25519"};
	const struct flag flags[] = {
		{"curve", FLAG_STRING, &choices.curve, "Optional: ECDH Curve (25519)", "\"25519\""},
		{"out-key", FLAG_STRING, &out_key, "Required: path to write the private key to",
		 NULL},
		{"out-pub", FLAG_STRING, &out_pub, "Required: path to write the public key to",
		 NULL},
		{"pkcs11", FLAG_STRING, &choices.pkcs11, NULL, NULL},
	};
	const size_t count = sizeof(flags) / sizeof(flags[0]);
	int status;

	if (!tool_flags(&mode_keygen, flags, count, argc, argv, &status))
		return status;
	if (tool_check_choices(&choices) != 0)
		return 1;
	if (out_key[0] == '\0')
		return tool_usage_error(&mode_keygen, flags, count, "-out-key is required");
	if (out_pub[0] == '\0')
		return tool_usage_error(&mode_keygen, flags, count, "-out-pub is required");
	return keygen(out_key, out_pub);
}

const struct mode mode_keygen = {
	.name = "keygen",
	.summary = "create a public/private key pair. the public key can be passed to "
		   "`" TOOL_NAME " sign`",
	.run = run,
};
