/*
 * dns_fuzz.c - libFuzzer target: questions to a lighthouse's DNS (make fuzz T=dns).
 *
 * What can be read is answered with as much as fits, and the reply, read as a question, is one that
 * is ignored. The input is copied to a block of its size, so that the address sanitizer sees a byte
 * read beyond it.
 */
#include <stdlib.h>
#include <string.h>

#include "dns_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *exact = malloc(size ? size : 1), *bytes = malloc(DNS_REPLY_MAX),
		text[DNS_REPLY_MAX];
	enum dns_code code = DNS_NO_ERROR;
	struct dns_query query, again;
	struct dns_reply reply;
	size_t used = 0, length;

	if (!exact || !bytes)
		abort();
	memcpy(exact, data, size);
	if (dns_read(exact, size, &query, &code) != DNS_IGNORED) {
		dns_begin(&reply, bytes, &query);
		for (size_t i = 0; query.question_bytes && i < size % 9; i++) {
			dns_text(text, sizeof(text), &used, query.name);
			dns_record(&reply, &query, text, used);
		}
		length = dns_end(&reply, code);
		check(length >= DNS_HEADER_BYTES && length <= query.size);
		check(strlen(query.name) <= HOSTNAME_MAX);
		check(dns_read(bytes, length, &again, &code) == DNS_IGNORED);
	}
	free(bytes);
	free(exact);
	return 0;
}
