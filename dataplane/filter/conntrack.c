/*
 * conntrack.c - the table of allowed flows (PROTOCOL.md 5.5).
 *
 * Theory of operation. A flow's keyed hash names one bucket of 8 entries. The bucket's first cache
 * line holds its spin lock, a tag (16 bits of the hash) and the expiry of every entry: a lookup
 * reads that line and, as a rule, the one entry whose tag fits; a refresh writes that line alone.
 * An entry is live while its expiry lies ahead; nothing sweeps the table. In a full bucket the
 * entry that expires first gives way, so a flood of flows costs other flows, never memory.
 *
 * The hash is keyed at random: peers choose ports and addresses, and must not be able to aim at one
 * bucket. It is a multiply-and-fold with secret words, not a MAC; what an attacker could learn
 * about it by timing is which of its own flows share a bucket.
 *
 * The memory is anonymous and untouched until used: 7 MiB when full, pages as flows come.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "filter/conntrack.h"
#include "spin.h"

struct entry {
	struct flow flow;
	uint16_t rules_version;
	uint8_t direction; /* that created it */
	uint8_t zero[5];
};

struct bucket {
	_Alignas(64) _Atomic uint32_t lock;
	uint16_t tag[CONNTRACK_WAYS];
	/* Coarse monotonic seconds; 0: never used. Written under the lock, counted without it. */
	_Atomic uint32_t expires_s[CONNTRACK_WAYS];
	_Alignas(64) struct entry entries[CONNTRACK_WAYS];
};

_Static_assert(sizeof(struct entry) == 48, "limits.h states the size of the whole table");
_Static_assert(offsetof(struct bucket, entries) == 64, "what every lookup reads is one line");
_Static_assert(sizeof(struct bucket) == 448, "limits.h states the size of the whole table");
_Static_assert((CONNTRACK_BUCKETS & (CONNTRACK_BUCKETS - 1)) == 0, "bucket numbers are masked");

#define TABLE_BYTES (sizeof(struct bucket) * CONNTRACK_BUCKETS)

struct conntrack {
	struct bucket *buckets;
	uint64_t key[6];
};

struct conntrack *conntrack_create(void)
{
	struct conntrack *ct = calloc(1, sizeof(*ct));

	if (!ct)
		return NULL;
	ct->buckets = mmap(NULL, TABLE_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ct->buckets == MAP_FAILED) {
		free(ct);
		return NULL;
	}
	/* Buckets are hit at random: huge pages would make all of it resident with the first flows.
	 */
	madvise(ct->buckets, TABLE_BYTES, MADV_NOHUGEPAGE);
	randombytes_buf(ct->key, sizeof(ct->key));
	return ct;
}

void conntrack_destroy(struct conntrack *ct)
{
	munmap(ct->buckets, TABLE_BYTES);
	free(ct);
}

/* Both halves of the product of two secret-masked words. */
static uint64_t fold(uint64_t a, uint64_t b)
{
	__uint128_t product = (__uint128_t)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t flow_hash(const struct conntrack *ct, const struct flow *flow)
{
	uint64_t word[5];

	_Static_assert(sizeof(word) == sizeof(*flow), "every byte of the flow counts");
	memcpy(word, flow, sizeof(word));
	uint64_t hash =
		fold(fold(word[0] ^ ct->key[0], word[1] ^ ct->key[1]) ^ word[4] ^ ct->key[4],
		     fold(word[2] ^ ct->key[2], word[3] ^ ct->key[3]) ^ ct->key[5]);
	/* Flows that differ in a port alone get here as multiples of one number: mix once more. */
	hash ^= hash >> 32;
	hash *= 0xd6e8feb86659fd93u;
	return hash ^ hash >> 32;
}

static struct bucket *bucket_of(const struct conntrack *ct, uint64_t hash)
{
	return &ct->buckets[hash & (CONNTRACK_BUCKETS - 1)];
}

static uint16_t tag_of(uint64_t hash)
{
	return (uint16_t)(hash >> 48);
}

static uint32_t expiry(const struct bucket *bucket, unsigned way)
{
	return atomic_load_explicit(&bucket->expires_s[way], memory_order_relaxed);
}

static void set_expiry(struct bucket *bucket, unsigned way, uint32_t expires_s)
{
	atomic_store_explicit(&bucket->expires_s[way], expires_s, memory_order_relaxed);
}

/* Of a packet of flow that comes now. */
static uint32_t fresh_expiry(const struct snapshot *snapshot, const struct flow *flow,
			     uint32_t now_s)
{
	uint32_t timeout_s = flow->protocol == IPPROTO_TCP   ? snapshot->tcp_timeout_s
			     : flow->protocol == IPPROTO_UDP ? snapshot->udp_timeout_s
							     : snapshot->default_timeout_s;

	return timeout_s > UINT32_MAX - now_s ? UINT32_MAX : now_s + timeout_s;
}

/* The way that holds flow, live or not, or CONNTRACK_WAYS. Under the lock. */
static unsigned find(const struct bucket *bucket, uint16_t tag, const struct flow *flow)
{
	for (unsigned way = 0; way < CONNTRACK_WAYS; way++)
		if (bucket->tag[way] == tag && expiry(bucket, way) != 0 &&
		    memcmp(&bucket->entries[way].flow, flow, sizeof(*flow)) == 0)
			return way;
	return CONNTRACK_WAYS;
}

enum conntrack_answer conntrack_lookup(struct conntrack *ct, const struct flow *flow,
				       const struct snapshot *snapshot, uint32_t now_s,
				       enum direction *direction)
{
	uint64_t hash = flow_hash(ct, flow);
	struct bucket *bucket = bucket_of(ct, hash);
	enum conntrack_answer answer = CONNTRACK_MISS;

	spin_lock(&bucket->lock);
	unsigned way = find(bucket, tag_of(hash), flow);

	if (way < CONNTRACK_WAYS && expiry(bucket, way) > now_s) {
		const struct entry *entry = &bucket->entries[way];

		*direction = entry->direction;
		answer = entry->rules_version == snapshot->rules_version ? CONNTRACK_HIT
									 : CONNTRACK_STALE;
		if (answer == CONNTRACK_HIT)
			set_expiry(bucket, way, fresh_expiry(snapshot, flow, now_s));
	}
	spin_unlock(&bucket->lock);
	return answer;
}

/* Where a new flow goes: the way that expires, or has expired, first. Under the lock. */
static unsigned oldest(const struct bucket *bucket)
{
	unsigned best = 0;

	for (unsigned way = 1; way < CONNTRACK_WAYS; way++)
		if (expiry(bucket, way) < expiry(bucket, best))
			best = way;
	return best;
}

bool conntrack_enter(struct conntrack *ct, const struct flow *flow, const struct snapshot *snapshot,
		     uint32_t now_s, enum direction direction)
{
	uint64_t hash = flow_hash(ct, flow);
	struct bucket *bucket = bucket_of(ct, hash);
	bool evicted = false;

	spin_lock(&bucket->lock);
	unsigned way = find(bucket, tag_of(hash), flow);

	if (way == CONNTRACK_WAYS) {
		way = oldest(bucket);
		evicted = expiry(bucket, way) > now_s;
		bucket->tag[way] = tag_of(hash);
		bucket->entries[way].flow = *flow;
	}
	bucket->entries[way].direction = (uint8_t)direction;
	bucket->entries[way].rules_version = snapshot->rules_version;
	set_expiry(bucket, way, fresh_expiry(snapshot, flow, now_s));
	spin_unlock(&bucket->lock);
	return evicted;
}

void conntrack_remove(struct conntrack *ct, const struct flow *flow)
{
	uint64_t hash = flow_hash(ct, flow);
	struct bucket *bucket = bucket_of(ct, hash);

	spin_lock(&bucket->lock);
	unsigned way = find(bucket, tag_of(hash), flow);

	if (way < CONNTRACK_WAYS)
		set_expiry(bucket, way, 0);
	spin_unlock(&bucket->lock);
}

void conntrack_reset(struct conntrack *ct)
{
	for (unsigned i = 0; i < CONNTRACK_BUCKETS; i++) {
		struct bucket *bucket = &ct->buckets[i];
		bool used = false;

		for (unsigned way = 0; way < CONNTRACK_WAYS; way++)
			used |= expiry(bucket, way) != 0;
		if (!used)
			continue; /* reading leaves a page that was never touched as it is */
		spin_lock(&bucket->lock);
		for (unsigned way = 0; way < CONNTRACK_WAYS; way++)
			set_expiry(bucket, way, 0);
		spin_unlock(&bucket->lock);
	}
}

uint32_t conntrack_count(const struct conntrack *ct, uint32_t now_s)
{
	uint32_t count = 0;

	for (unsigned i = 0; i < CONNTRACK_BUCKETS; i++)
		for (unsigned way = 0; way < CONNTRACK_WAYS; way++)
			count += expiry(&ct->buckets[i], way) > now_s;
	return count;
}
