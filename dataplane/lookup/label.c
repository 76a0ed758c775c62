/* label.c - see label.h. */
#include "lookup/label.h"

#include <string.h>

#include "siphash.h"

static uint64_t hash_flow(const struct label_key *key, const struct flow *flow)
{
	uint64_t words[sizeof(*flow) / 8];

	_Static_assert(sizeof(words) == sizeof(*flow), "every byte of the flow counts");
	memcpy(words, flow, sizeof(words));
	return siphash(key->words, words, sizeof(words) / sizeof(words[0]));
}

uint16_t label_of(const struct label_key *key, const struct inner *inner)
{
	struct flow flow = inner->flow;

	/* the first fragment has ports and the others do not: all must meet */
	if (inner->part) {
		flow.local_port = flow.remote_port = 0;
		flow.fragment = 0;
	}
	return (uint16_t)(1 + hash_flow(key, &flow) % key->labels);
}
