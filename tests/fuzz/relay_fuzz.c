/*
 * relay_fuzz.c - libFuzzer target: relay control messages (make fuzz T=relay).
 *
 * What decodes says the same after it was encoded and decoded again, if it can be said. The input
 * is copied to a block of its size, so that the address sanitizer sees a byte read beyond it.
 */
#include <stdlib.h>

#include "peers/relay_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *exact = malloc(size ? size : 1), bytes[RELAY_BYTES_MAX];
	struct relay_message message, again;
	size_t length;

	if (!exact)
		return 0;
	memcpy(exact, data, size);
	if (relay_decode(exact, size, &message) == 0) {
		check(message.type == RELAY_REQUEST || message.type == RELAY_RESPONSE);
		length = relay_encode(&message, bytes, sizeof(bytes));
		if (length > 0) {
			check(relay_decode(bytes, length, &again) == 0);
			check(again.type == message.type && again.form == message.form &&
			      again.initiator_index == message.initiator_index &&
			      again.responder_index == message.responder_index &&
			      addr_equal(&again.from, &message.from) &&
			      addr_equal(&again.to, &message.to));
		}
	}
	free(exact);
	return 0;
}
