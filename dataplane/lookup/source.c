/* source.c - see source.h. */
#include "lookup/source.h"

#include <string.h>

#include "siphash.h"

#define V4_BITS  24
#define V6_BYTES 6

enum kind { KIND_V4 = 1, KIND_V6, KIND_RELAY };

_Static_assert((SOURCE_BUCKETS & (SOURCE_BUCKETS - 1)) == 0, "the hash is masked");

static uint64_t network_of(const struct endpoint *source, uint32_t via)
{
	uint64_t network = 0;
	enum kind kind;

	if (via) {
		kind = KIND_RELAY;
		network = via;
	} else if (addr_is_v4(&source->addr)) {
		kind = KIND_V4;
		network = addr_v4(&source->addr) >> (32 - V4_BITS);
	} else {
		kind = KIND_V6;
		memcpy(&network, source->addr.bytes, V6_BYTES);
	}
	return network | (uint64_t)kind << 56;
}

uint32_t source_bucket(const struct source_key *key, const struct endpoint *source, uint32_t via,
		       uint32_t now_s)
{
	uint64_t words[] = {network_of(source, via), now_s / SOURCE_PERIOD_S};

	return siphash(key->words, words, 2) & (SOURCE_BUCKETS - 1);
}

uint32_t source_peer_bucket(const struct source_key *key, const struct addr *peer, uint32_t now_s)
{
	uint64_t words[3] = {0, 0, now_s / SOURCE_PERIOD_S};

	memcpy(words, peer->bytes, sizeof(peer->bytes));
	return siphash(key->words, words, 3) & (SOURCE_BUCKETS - 1);
}

static enum drop admit(struct source_shares *shares, uint32_t bucket, uint32_t pool,
		       enum drop crowded, enum drop empty)
{
	uint32_t all = atomic_load_explicit(&shares->all, memory_order_acquire);
	uint32_t own = atomic_load_explicit(&shares->of[bucket], memory_order_relaxed);

	if (all >= pool)
		return empty;
	if (own >= SOURCE_SHARE * (pool - all))
		return crowded;
	atomic_fetch_add_explicit(&shares->of[bucket], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&shares->all, 1, memory_order_relaxed);
	return DROP_NONE;
}

enum drop source_admit(struct source_shares *shares, uint32_t bucket)
{
	return admit(shares, bucket, POOL_HANDSHAKES, DROP_HANDSHAKE_CROWDED,
		     DROP_HANDSHAKE_OVERLOAD);
}

enum drop source_admit_opened(struct source_shares *shares, uint32_t bucket)
{
	return admit(shares, bucket, POOL_OPENED, DROP_PUNT_CROWDED, DROP_PUNT_POOL);
}
