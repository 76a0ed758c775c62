/* crowd_hosts.c - see crowd.h. */
#include "crowd.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "identity/pem.h"
#include "identity/pem_file.h"

#define TEXT_MAX (1u << 20)

void fail(const char *what, const char *which)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, which);
	exit(1);
}

static char *text_load(const char *path, size_t *length)
{
	FILE *file = fopen(path, "r");
	char *text = malloc(TEXT_MAX);

	if (!file || !text)
		fail("cannot read", path);
	*length = fread(text, 1, TEXT_MAX - 1, file);
	text[*length] = '\0';
	fclose(file);
	return text;
}

static struct pem_block block_load(const char *path)
{
	size_t length;
	char *text = text_load(path, &length);
	const char *at = text;
	struct pem_block block;

	if (pem_next(&at, text + length, &block) != 0)
		fail("no PEM block in", path);
	free(text);
	return block;
}

struct cert *certificate_load(const char *path)
{
	struct pem_block block = block_load(path);
	struct cert *cert;

	if (cert_decode(CERT_VERSION_1, block.bytes, block.len, &cert) != CERT_OK)
		fail("no certificate of version 1 in", path);
	pem_block_free(&block);
	return cert;
}

void authority_load(struct authority *authority, const char *directory)
{
	char path[4096], error[CA_POOL_DETAIL_MAX], *text;
	struct pem_block block;
	size_t length;

	snprintf(path, sizeof(path), "%s/ca.crt", directory);
	authority->cert = certificate_load(path);
	text = text_load(path, &length);
	if (ca_pool_load(text, length, &authority->pool, NULL, error) != 0)
		fail(path, error);
	free(text);
	authority->blocklist = blocklist_new();
	snprintf(path, sizeof(path), "%s/ca.key", directory);
	block = block_load(path);
	if (block.len != sizeof(authority->key))
		fail("no unencrypted CA key in", path);
	memcpy(authority->key, block.bytes, sizeof(authority->key));
	pem_block_free(&block);
}

uint32_t crowd_address(unsigned n)
{
	return 0x0a2a0000u + (1 + n / 250) * 256 + 1 + n % 250;
}

void host_make(struct pki *pki, const struct authority *authority, unsigned n)
{
	static const char *const groups[] = {"demo"};
	struct prefix network = {addr_from_v4(crowd_address(n)), 112};
	char name[32];
	struct cert wanted = {
		.version = CERT_VERSION_1,
		.name = name,
		.has_issuer = true,
		.networks = &network,
		.network_count = 1,
		.groups = groups,
		.group_count = 1,
		.not_before = authority->cert->not_before,
		.not_after = authority->cert->not_after,
		.public_key_len = 32,
	};

	snprintf(name, sizeof(name), "crowd-%u", n);
	memset(pki, 0, sizeof(*pki));
	pki->ca = authority->pool;
	pki->blocklist = authority->blocklist;
	pki->private_key_len = 32;
	pki->private_key = malloc(32);
	randombytes_buf(pki->private_key, 32);
	crypto_scalarmult_curve25519_base(wanted.public_key, pki->private_key);
	memcpy(wanted.issuer, authority->cert->fingerprint, sizeof(wanted.issuer));
	if (cert_sign(&wanted, authority->key, sizeof(authority->key), &pki->v1.cert) != CERT_OK ||
	    cert_encode_handshake(pki->v1.cert, &pki->v1.handshake_bytes, &pki->v1.handshake_len))
		fail("cannot sign", name);
}

void options_parse(int argc, char **argv, int from, const struct crowd_option *table, size_t count)
{
	for (int i = from; i < argc; i += 2) {
		const struct crowd_option *found = NULL;

		for (size_t k = 0; k < count && i + 1 < argc; k++)
			if (strcmp(argv[i], table[k].name) == 0)
				found = &table[k];
		if (!found)
			fail("unknown option, or without value", argv[i]);
		if (found->text)
			*found->text = argv[i + 1];
		else
			*found->value = strtoul(argv[i + 1], NULL, 10);
	}
}

static struct sockaddr_in address_of(const char *address, unsigned port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	if (inet_pton(AF_INET, address, &at.sin_addr) != 1)
		fail("no IPv4 address", address);
	return at;
}

int socket_to(const char *address, unsigned port, const char *from)
{
	struct sockaddr_in to = address_of(address, port);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	if (from) {
		struct sockaddr_in own = address_of(from, 0);
		if (bind(fd, (struct sockaddr *)&own, sizeof(own)) != 0)
			fail("cannot bind to", from);
	}
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		fail("cannot make a socket to", address);
	return fd;
}
