/* mode_print.c - m57-cert print: text or JSON, laid out as nebula-cert 1.6.1 does. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <sodium.h>

#include "addr_text.h"
#include "cert_tool/tool.h"
#include "identity/pem_file.h"

/* --- pieces ---------------------------------------------------------------------------------- */

static void print_hex(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		printf("%02x", bytes[i]);
}

/* Text of a certificate, which may have been made to upset a terminal: by the old control
 * characters, or by those that UTF-8 writes as 0xc2 0x80 to 0x9f. */
static void print_text(const char *text)
{
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)text[0], next = (unsigned char)text[1];

		if (c == 0x7f || (c < 0x20 && c != '\t'))
			printf("\\x%02x", c);
		else if (c == 0xc2 && next >= 0x80 && next < 0xa0)
			printf("\\x%02x", (unsigned char)*++text);
		else
			putchar(c);
	}
}

/* A JSON string; <, > and & are escaped too, as Go does for the sake of HTML. */
static void print_json_string(const char *text)
{
	putchar('"');
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c == '\n' || c == '\r' || c == '\t')
			printf("\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
		else if (c < 0x20 || c == '<' || c == '>' || c == '&')
			printf("\\u%04x", c);
		else if (strncmp(text, "\xe2\x80\xa8", 3) == 0 ||
			 strncmp(text, "\xe2\x80\xa9", 3) == 0)
			printf("\\u202%c", *(text += 2) == '\xa8' ? '8' : '9');
		else
			putchar(c);
	}
	putchar('"');
}

/* Local time, as the reference. A time outside the calendar is printed as its number. */
static void print_time(int64_t unix_s, bool json)
{
	time_t seconds = (time_t)unix_s;
	char text[80], zone[8];
	struct tm tm;

	if (localtime_r(&seconds, &tm) == NULL ||
	    strftime(text, sizeof(text), json ? "%Y-%m-%dT%H:%M:%S" : "%Y-%m-%d %H:%M:%S %z %Z",
		     &tm) == 0) {
		printf("%" PRId64, unix_s);
		return;
	}
	fputs(text, stdout);
	if (json && tm.tm_gmtoff == 0)
		putchar('Z');
	else if (json && strftime(zone, sizeof(zone), "%z", &tm) == 5)
		printf("%.3s:%s", zone, zone + 3); /* +0530 becomes +05:30 */
}

/* --- text ------------------------------------------------------------------------------------ */

static void text_networks(const char *title, const struct prefix *networks, size_t count)
{
	char text[PREFIX_TEXT_MAX];

	if (count == 0) {
		printf("\t\t%s: []\n", title);
		return;
	}
	printf("\t\t%s: [\n", title);
	for (size_t i = 0; i < count; i++)
		printf("\t\t\t%s\n", prefix_format(&networks[i], text));
	printf("\t\t]\n");
}

static void text_groups(const struct cert *cert)
{
	if (cert->group_count == 0) {
		printf("\t\tGroups: []\n");
		return;
	}
	printf("\t\tGroups: [\n");
	for (size_t i = 0; i < cert->group_count; i++) {
		printf("\t\t\t\"");
		print_text(cert->groups[i]);
		printf("\"\n");
	}
	printf("\t\t]\n");
}

static void cert_print_text(const struct cert *cert)
{
	printf("NebulaCertificate {\n\tDetails {\n\t\tName: ");
	print_text(cert->name);
	putchar('\n');
	text_networks("Ips", cert->networks, cert->network_count);
	text_networks("Subnets", cert->unsafe_networks, cert->unsafe_network_count);
	text_groups(cert);
	printf("\t\tNot before: ");
	print_time(cert->not_before, false);
	printf("\n\t\tNot After: ");
	print_time(cert->not_after, false);
	printf("\n\t\tIs CA: %s\n\t\tIssuer: ", cert->is_ca ? "true" : "false");
	print_hex(cert->issuer, cert->has_issuer ? sizeof(cert->issuer) : 0);
	printf("\n\t\tPublic key: ");
	print_hex(cert->public_key, cert->public_key_len);
	printf("\n\t}\n\tFingerprint: ");
	print_hex(cert->fingerprint, sizeof(cert->fingerprint));
	printf("\n\tSignature: ");
	print_hex(cert->signature, cert->signature_len);
	printf("\n}\n");
}

/* --- JSON ------------------------------------------------------------------------------------ */

static void json_networks(const struct prefix *networks, size_t count)
{
	char text[PREFIX_TEXT_MAX];

	putchar('[');
	for (size_t i = 0; i < count; i++)
		printf("%s\"%s\"", i != 0 ? "," : "", prefix_format(&networks[i], text));
	putchar(']');
}

/* One object on one line, keys in alphabetical order. */
static void cert_print_json(const struct cert *cert)
{
	printf("{\"details\":{\"groups\":[");
	for (size_t i = 0; i < cert->group_count; i++) {
		fputs(i != 0 ? "," : "", stdout);
		print_json_string(cert->groups[i]);
	}
	printf("],\"ips\":");
	json_networks(cert->networks, cert->network_count);
	printf(",\"isCa\":%s,\"issuer\":\"", cert->is_ca ? "true" : "false");
	print_hex(cert->issuer, cert->has_issuer ? sizeof(cert->issuer) : 0);
	printf("\",\"name\":");
	print_json_string(cert->name);
	printf(",\"notAfter\":\"");
	print_time(cert->not_after, true);
	printf("\",\"notBefore\":\"");
	print_time(cert->not_before, true);
	printf("\",\"publicKey\":\"");
	print_hex(cert->public_key, cert->public_key_len);
	printf("\",\"subnets\":");
	json_networks(cert->unsafe_networks, cert->unsafe_network_count);
	printf("},\"fingerprint\":\"");
	print_hex(cert->fingerprint, sizeof(cert->fingerprint));
	printf("\",\"signature\":\"");
	print_hex(cert->signature, cert->signature_len);
	printf("\"}\n");
}

/* --- the mode -------------------------------------------------------------------------------- */

static int block_print(const struct pem_block *block, bool json)
{
	struct cert *cert;

	if (tool_cert_decode(block, "unmarshaling cert", &cert) != 0)
		return 1;
	if (json)
		cert_print_json(cert);
	else
		cert_print_text(cert);
	cert_unref(cert);
	return 0;
}

static int file_print(const char *path, bool json)
{
	struct pem_block block;
	unsigned blocks = 0;
	const char *at;
	char *text;
	size_t len;
	int status = 0, err = pem_file_read(path, &text, &len);

	if (err != 0)
		return tool_error("unable to read cert; open %s: %s", path, strerror(-err));
	at = text;
	for (; (err = pem_next(&at, text + len, &block)) == 0 && status == 0; blocks++) {
		status = block_print(&block, json);
		pem_block_free(&block);
	}
	pem_block_free(&block);
	if (status == 0 && (err != -ENOENT || blocks == 0))
		status = tool_error("error while unmarshaling cert: input did not contain a valid "
				    "PEM encoded block");
	sodium_free(text);
	return status;
}

static int run(int argc, char **argv)
{
	struct tool_choices choices = {.version = CERT_VERSION_1};
	const char *path = "";
	bool json = false;
	const struct flag flags[] = {
		{"json", FLAG_BOOL, &json, "Optional: outputs certificates in json format", NULL},
		{"out-qr", FLAG_STRING, &choices.out_qr, NULL, NULL},
		{"path", FLAG_STRING, &path, "Required: path to the certificate", NULL},
	};
	const size_t count = sizeof(flags) / sizeof(flags[0]);
	int status;

	if (!tool_flags(&mode_print, flags, count, argc, argv, &status))
		return status;
	if (tool_check_choices(&choices) != 0)
		return 1;
	if (path[0] == '\0')
		return tool_usage_error(&mode_print, flags, count, "-path is required");
	status = file_print(path, json);
	if (fflush(stdout) != 0 || ferror(stdout))
		return tool_error("error while writing: %s", strerror(errno));
	return status;
}

const struct mode mode_print = {
	.name = "print",
	.summary = "prints details about a certificate",
	.run = run,
};
