/* mode_verify.c - m57-cert verify: silence and exit status 0, or the reason. */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <sodium.h>

#include "cert_tool/tool.h"
#include "identity/ca_pool.h"
#include "identity/pem_file.h"

static int block_verify(const struct ca_pool *pool, const struct pem_block *block)
{
	char detail[CA_POOL_DETAIL_MAX];
	enum cert_error error;
	struct cert *cert;

	if (tool_cert_decode(block, "parsing crt", &cert) != 0)
		return 1;
	error = ca_pool_verify(pool, cert, time(NULL), NULL, NULL, detail);
	cert_unref(cert);
	if (error != CERT_OK)
		return tool_error("%s%s%s", cert_error_text(error), detail[0] != '\0' ? ": " : "",
				  detail);
	return 0;
}

/* Every certificate of the file; all failures are said. */
static int file_verify(const struct ca_pool *pool, const char *path)
{
	struct pem_block block;
	unsigned blocks = 0;
	const char *at;
	char *text;
	size_t len;
	int status = 0, err = pem_file_read(path, &text, &len);

	if (err != 0)
		return tool_error("unable to read crt; open %s: %s", path, strerror(-err));
	at = text;
	for (; (err = pem_next(&at, text + len, &block)) == 0; blocks++) {
		status |= block_verify(pool, &block);
		pem_block_free(&block);
	}
	if (err != -ENOENT || blocks == 0)
		status = tool_error("error while parsing crt: input did not contain a valid PEM "
				    "encoded block");
	sodium_free(text);
	return status;
}

static int verify(const char *ca_path, const char *cert_path)
{
	char error[CA_POOL_DETAIL_MAX], *text;
	struct ca_pool *pool;
	size_t len;
	int status, err = pem_file_read(ca_path, &text, &len);

	if (err != 0)
		return tool_error("error while reading ca: open %s: %s", ca_path, strerror(-err));
	err = ca_pool_load(text, len, &pool, NULL, error);
	sodium_free(text);
	if (err != 0)
		return tool_error("error while adding ca cert to pool: %s",
				  err == -ENOMEM ? "out of memory" : error);
	status = file_verify(pool, cert_path);
	ca_pool_free(pool);
	return status;
}

static int run(int argc, char **argv)
{
	const char *ca_path = "", *cert_path = "";
	const struct flag flags[] = {
		{"ca", FLAG_STRING, &ca_path,
		 "Required: path to a file containing one or more ca certificates", NULL},
		{"crt", FLAG_STRING, &cert_path,
		 "Required: path to a file containing one or more certificates", NULL},
	};
	const size_t count = sizeof(flags) / sizeof(flags[0]);
	int status;

	if (!tool_flags(&mode_verify, flags, count, argc, argv, &status))
		return status;
	if (ca_path[0] == '\0')
		return tool_usage_error(&mode_verify, flags, count, "-ca is required");
	if (cert_path[0] == '\0')
		return tool_usage_error(&mode_verify, flags, count, "-crt is required");
	return verify(ca_path, cert_path);
}

const struct mode mode_verify = {
	.name = "verify",
	.summary = "verifies a certificate isn't expired and was signed by a trusted authority.",
	.run = run,
};
