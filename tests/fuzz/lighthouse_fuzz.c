/*
 * lighthouse_fuzz.c - libFuzzer target: lighthouse messages (make fuzz T=lighthouse).
 *
 * What decodes must stay within its bounds and, when it can be said at all, say the same after it
 * was encoded and decoded again. The input is copied to a block of its size, so that the address
 * sanitizer sees a byte read beyond it.
 */
#include <stdlib.h>

#include "peers/lighthouse_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void check_same(const struct lighthouse_message *a, const struct lighthouse_message *b)
{
	check(a->type == b->type && a->has_addr == b->has_addr && addr_equal(&a->addr, &b->addr));
	check(a->v4_count == b->v4_count && a->v6_count == b->v6_count &&
	      a->relay_count == b->relay_count);
	for (uint32_t i = 0; i < a->v4_count; i++)
		check(endpoint_equal(&a->v4[i], &b->v4[i]));
	for (uint32_t i = 0; i < a->v6_count; i++)
		check(endpoint_equal(&a->v6[i], &b->v6[i]));
	for (uint32_t i = 0; i < a->relay_count; i++)
		check(addr_equal(&a->relays[i], &b->relays[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *exact = malloc(size ? size : 1), bytes[LIGHTHOUSE_BYTES_MAX];
	struct lighthouse_message message, again;
	size_t length;

	if (!exact)
		return 0;
	memcpy(exact, data, size);
	if (lighthouse_decode(exact, size, &message) == 0) {
		check(message.v4_count <= LIGHTHOUSE_ENTRIES_MAX &&
		      message.v6_count <= LIGHTHOUSE_ENTRIES_MAX &&
		      message.relay_count <= LIGHTHOUSE_ENTRIES_MAX);
		length = lighthouse_encode(&message, bytes, sizeof(bytes));
		if (length > 0) {
			check(lighthouse_decode(bytes, length, &again) == 0);
			check_same(&message, &again);
		}
	}
	free(exact);
	return 0;
}
