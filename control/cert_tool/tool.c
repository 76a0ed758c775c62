/* tool.c - shared by the modes of m57-cert; see tool.h. */
#include "cert_tool/tool.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <sodium.h>

#include "identity/pem_file.h"

static void error_line(const char *format, va_list arguments)
{
	fputs("Error: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
}

int tool_error(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	error_line(format, arguments);
	va_end(arguments);
	return 1;
}

static void mode_help(const struct mode *mode, const struct flag *flags, size_t count)
{
	fprintf(stderr, "Usage of " TOOL_NAME " %s <flags>: %s\n", mode->name, mode->summary);
	flags_print(flags, count);
}

bool tool_flags(const struct mode *mode, const struct flag *flags, size_t count, int argc,
		char **argv, int *status)
{
	char error[TOOL_TEXT_MAX];

	switch (flags_parse(flags, count, argc, argv, error, sizeof(error))) {
	case FLAGS_OK:
		return true;
	case FLAGS_HELP:
		mode_help(mode, flags, count);
		*status = 0;
		return false;
	case FLAGS_ERROR:
		break;
	}
	*status = tool_error("%s", error);
	return false;
}

int tool_usage_error(const struct mode *mode, const struct flag *flags, size_t count,
		     const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	error_line(format, arguments);
	va_end(arguments);
	mode_help(mode, flags, count);
	return 1;
}

int tool_check_choices(const struct tool_choices *choices)
{
	static const char *const curve_25519[] = {"25519", "X25519", "Curve25519", "CURVE25519"};
	bool known = choices->curve == NULL;

	if (choices->version == CERT_VERSION_2)
		return tool_error("-version 2 is not supported yet; use -version 1");
	if (choices->version != CERT_VERSION_1)
		return tool_error("-version must be either 1 or 2");
	for (size_t i = 0; !known && i < sizeof(curve_25519) / sizeof(curve_25519[0]); i++)
		known = strcmp(choices->curve, curve_25519[i]) == 0;
	if (!known && strcmp(choices->curve, "P256") == 0)
		return tool_error("-curve P256 is not supported yet; use -curve 25519");
	if (!known)
		return tool_error("invalid curve: %s", choices->curve);
	if (choices->encrypt)
		return tool_error("-encrypt is not supported yet; protect the key file instead");
	if (choices->pkcs11 != NULL && choices->pkcs11[0] != '\0')
		return tool_error("-pkcs11 is not supported");
	if (choices->out_qr != NULL && choices->out_qr[0] != '\0')
		return tool_error("-out-qr is not supported yet");
	return 0;
}

/* --- files ----------------------------------------------------------------------------------- */

int tool_read_block(const char *flag, const char *path, const char *wanted, const char *described,
		    struct pem_block *block)
{
	const char *at;
	char *text;
	size_t len;
	int err = pem_file_read(path, &text, &len);

	memset(block, 0, sizeof(*block));
	if (err != 0)
		return tool_error("error while reading %s: open %s: %s", flag, path,
				  strerror(-err));
	at = text;
	err = pem_next(&at, text + len, block);
	sodium_free(text);
	if (err != 0)
		return tool_error(
			"error while parsing %s: input did not contain a valid PEM encoded block",
			flag);
	if (strcmp(block->banner, wanted) == 0)
		return 0;

	bool later = strcmp(block->banner, PEM_CERTIFICATE_V2) == 0 ||
		     strstr(block->banner, "P256") != NULL ||
		     strstr(block->banner, "ENCRYPTED") != NULL;
	err = later ? tool_error("error while parsing %s: %s is not supported yet; use "
				 "nebula-cert for it, or a version 1 one of curve 25519 that is "
				 "not encrypted",
				 flag, block->banner)
		    : tool_error("error while parsing %s: bytes did not contain a proper nebula "
				 "%s banner",
				 flag, described);
	pem_block_free(block);
	return err;
}

int tool_cert_decode(const struct pem_block *block, const char *doing, struct cert **cert)
{
	enum cert_error error;

	if (strcmp(block->banner, PEM_CERTIFICATE_V2) == 0)
		return tool_error("error while %s: %s", doing,
				  cert_error_text(CERT_UNSUPPORTED_VERSION));
	if (strcmp(block->banner, PEM_CERTIFICATE) != 0)
		return tool_error("error while %s: bytes did not contain a proper nebula "
				  "certificate banner",
				  doing);
	error = cert_decode(CERT_VERSION_1, block->bytes, block->len, cert);
	if (error != CERT_OK)
		return tool_error("error while %s: %s", doing, cert_error_text(error));
	return 0;
}

int tool_check_absent(const char *path, const char *what)
{
	struct stat status;

	if (stat(path, &status) == 0)
		return tool_error("refusing to overwrite existing %s: %s", what, path);
	return 0;
}

static int file_write(const struct new_file *file)
{
	size_t len;
	char *text = pem_encode(file->banner, file->bytes, file->len, &len);
	int err;

	if (text == NULL)
		return tool_error("out of memory");
	err = pem_file_create(file->path, text, len);
	sodium_free(text);
	if (err == -EEXIST)
		return tool_error("refusing to overwrite existing %s: %s", file->what, file->path);
	if (err != 0)
		return tool_error("error while writing %s: open %s: %s", file->flag, file->path,
				  strerror(-err));
	return 0;
}

int tool_write_files(const struct new_file *files, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (file_write(&files[i]) == 0)
			continue;
		while (i-- > 0)
			unlink(files[i].path); /* made a moment ago, by us */
		return 1;
	}
	return 0;
}

int tool_write_cert(const struct cert *cert, struct new_file *cert_file, const struct new_file *key)
{
	struct new_file files[2];
	size_t count = 0;
	uint8_t *bytes;
	int status;

	if (cert_encode(cert, &bytes, &cert_file->len) != 0)
		return tool_error("out of memory");
	cert_file->bytes = bytes;
	if (key != NULL)
		files[count++] = *key;
	files[count++] = *cert_file;
	status = tool_write_files(files, count);
	free(bytes);
	return status;
}
