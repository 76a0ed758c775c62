/*
 * hostmap.c - the tables by index and by address, the tunnel slots, and the way out of all of them.
 *
 * Theory of operation.
 *
 * Writers. Control is the only thread that adds, removes and frees. liburcu asks callers of
 * lfht's add and del to be registered readers, for one reason: a node they stand on while they walk
 * a chain must not be freed under them. Nodes are freed by hostmap_garbage_release(), on control's
 * own thread, so that cannot happen and control stays unregistered; no grace period ever waits for
 * it, and it may sleep as it likes. (lfht's other uses of the flavour, resizing and its worker
 * thread, are switched off.) Whoever else wants to change a table must become a registered reader
 * first.
 *
 * Readers. Workers are registered QSBR readers and online; what they look up stays until their next
 * quiescent state.
 *
 * Life. Unlink (remove, publish NULL), hand over (hostmap_defer), take a batch, have the reaper
 * wait for a grace period, release the batch. The batch may hold only what was unlinked before the
 * wait began, hence take before wait.
 *
 * A tunnel's slot pointer is set and cleared together with its index, so that an id leads to a
 * tunnel exactly as long as a packet does.
 */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "crypto/arena.h"
#include "crypto/replay.h"
#include "hostmap.h"

#define BUCKETS 32768 /* of each table: chains of four at TUNNELS_MAX; 512 KiB of dummy nodes */

_Static_assert(sizeof(struct tunnel) <= 320, "an idle tunnel costs under 2 KB beside its keys");
_Static_assert(sizeof(struct tunnel_keys) % 64 == 0, "arena slots stay aligned");

struct garbage {
	struct garbage *next;
	void (*release)(struct hostmap *map, void *object);
	void *object;
};

struct hostmap {
	struct cds_lfht *by_index;
	struct cds_lfht *by_addr;
	struct addr hash_key;              /* random; set once */
	struct arena *keys;                /* slot i: the keys of tunnel slot i */
	struct tunnel *slots[TUNNELS_MAX]; /* RCU; published tunnels */
	/* control only */
	uint32_t generations[TUNNELS_MAX]; /* of the next tunnel in the slot */
	uint32_t free_slots[TUNNELS_MAX];  /* stack: the last one used comes back first */
	uint32_t free_count;
	uint32_t used_high; /* slots below were in use before */
	size_t index_count, host_count;
	struct garbage *first, **last;
	uint32_t spread; /* windows of each tunnel beside its own */
	/*
	 * REPLAY_WORDS for each window of each slot: zero where no tunnel uses them. Reserved as a
	 * whole; a page comes when a tunnel's counters first get that far, and stays.
	 */
	uint64_t *windows, *spread_windows;
	_Atomic uint64_t *unsent; /* of slot i: from i * marks on; NULL: one worker */
	uint32_t marks;           /* whole cache lines of them */
};

/* Mixed with the map's key so that addresses cannot be picked for one chain. */
static unsigned long hash_addr(const struct hostmap *map, const struct addr *addr)
{
	struct addr mixed;

	for (unsigned i = 0; i < sizeof(mixed.bytes); i++)
		mixed.bytes[i] = addr->bytes[i] ^ map->hash_key.bytes[i];
	return addr_hash(&mixed);
}

/* Indexes are our own random choice; the multiplication only spreads them over all bits. */
static unsigned long hash_index(uint32_t index)
{
	uint64_t x = index * 0x9e3779b97f4a7c15u;

	return x ^ x >> 32;
}

/* The first look into a node that a lookup takes: here TSan learns that add published it. */
static int match_index(struct cds_lfht_node *node, const void *key)
{
	RCU_TSAN_ACQUIRE(node);
	return caa_container_of(node, struct index_entry, node)->index == *(const uint32_t *)key;
}

static int match_addr(struct cds_lfht_node *node, const void *key)
{
	RCU_TSAN_ACQUIRE(node);
	return addr_equal(&caa_container_of(node, struct host_entry, node)->addr, key);
}

struct index_entry *hostmap_by_index(struct hostmap *map, uint32_t index)
{
	struct cds_lfht_iter iter;
	struct cds_lfht_node *node;

	cds_lfht_lookup(map->by_index, hash_index(index), match_index, &index, &iter);
	node = cds_lfht_iter_get_node(&iter);
	return node ? caa_container_of(node, struct index_entry, node) : NULL;
}

struct host_entry *hostmap_by_addr(struct hostmap *map, const struct addr *addr)
{
	struct cds_lfht_iter iter;
	struct cds_lfht_node *node;

	cds_lfht_lookup(map->by_addr, hash_addr(map, addr), match_addr, addr, &iter);
	node = cds_lfht_iter_get_node(&iter);
	return node ? caa_container_of(node, struct host_entry, node) : NULL;
}

struct tunnel *hostmap_by_id(struct hostmap *map, struct tunnel_id id)
{
	struct tunnel *tunnel;

	if (id.slot >= TUNNELS_MAX || id.generation == 0)
		return NULL;
	tunnel = RCU_READ(map->slots[id.slot]);
	return tunnel && tunnel->id.generation == id.generation ? tunnel : NULL;
}

static size_t windows_bytes(uint32_t per_tunnel)
{
	return (size_t)TUNNELS_MAX * per_tunnel * REPLAY_WORDS * sizeof(uint64_t);
}

static uint64_t *windows_create(uint32_t per_tunnel)
{
	void *memory = mmap(NULL, windows_bytes(per_tunnel), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	/* A huge page for the first busy tunnel would be that of two thousand idle ones. */
	madvise(memory, windows_bytes(per_tunnel), MADV_NOHUGEPAGE);
	return memory;
}

struct hostmap *hostmap_create(bool *locked)
{
	struct hostmap *map = calloc(1, sizeof(*map)); /* large: untouched pages cost nothing */

	if (!map)
		return NULL;
	randombytes_buf(&map->hash_key, sizeof(map->hash_key));
	map->last = &map->first;
	map->by_index = cds_lfht_new_flavor(BUCKETS, BUCKETS, BUCKETS, 0, &urcu_qsbr_flavor, NULL);
	if (!map->by_index)
		goto err_map;
	map->by_addr = cds_lfht_new_flavor(BUCKETS, BUCKETS, BUCKETS, 0, &urcu_qsbr_flavor, NULL);
	if (!map->by_addr)
		goto err_by_index;
	map->keys = arena_create(TUNNELS_MAX, sizeof(struct tunnel_keys));
	if (!map->keys)
		goto err_by_addr;
	map->windows = windows_create(1);
	if (!map->windows)
		goto err_keys;
	arena_take(map->keys, 0); /* tries a lock, so that its failure is known at start-up */
	*locked = arena_lock_failures(map->keys) == 0;
	return map;

err_keys:
	arena_destroy(map->keys);
err_by_addr:
	cds_lfht_destroy(map->by_addr, NULL);
err_by_index:
	cds_lfht_destroy(map->by_index, NULL);
err_map:
	free(map);
	return NULL;
}

static void release_index_entry(struct hostmap *map, void *object)
{
	struct index_entry *entry = object;

	free(entry->relay);
	free(entry);
}

static void release_relay(struct hostmap *map, void *object)
{
	free(object);
}

static void release_host_entry(struct hostmap *map, void *object)
{
	struct host_entry *entry = object;

	free(entry->card);
	free(entry);
}

static void release_card(struct hostmap *map, void *object)
{
	free(object);
}

void hostmap_destroy(struct hostmap *map)
{
	struct cds_lfht_iter iter;
	struct index_entry *index;
	struct host_entry *host;

	cds_lfht_for_each_entry (map->by_index, &iter, index, node) {
		cds_lfht_del(map->by_index, &index->node);
		hostmap_defer(map, release_index_entry, index);
	}
	cds_lfht_for_each_entry (map->by_addr, &iter, host, node) {
		cds_lfht_del(map->by_addr, &host->node);
		hostmap_defer(map, release_host_entry, host);
	}
	hostmap_garbage_release(map, hostmap_garbage_take(map));
	cds_lfht_destroy(map->by_index, NULL);
	cds_lfht_destroy(map->by_addr, NULL);
	arena_destroy(map->keys);
	free(map->unsent);
	munmap(map->windows, windows_bytes(1));
	if (map->spread_windows)
		munmap(map->spread_windows, windows_bytes(map->spread));
	free(map);
}

/* --- tunnels -----------------------------------------------------------------------------------
 */

struct tunnel *tunnel_allocate(struct hostmap *map)
{
	struct tunnel *tunnel;
	uint32_t slot;

	if (map->free_count == 0 && map->used_high == TUNNELS_MAX)
		return NULL;
	size_t bytes = (sizeof(*tunnel) + 63) / 64 * 64;
	tunnel = aligned_alloc(64, bytes + map->spread * sizeof(struct replay));
	if (!tunnel)
		return NULL;
	slot = map->free_count > 0 ? map->free_slots[--map->free_count] : map->used_high++;
	if (map->generations[slot] == 0)
		map->generations[slot] = 1;

	memset(tunnel, 0, sizeof(*tunnel));
	tunnel->id = (struct tunnel_id){slot, map->generations[slot]};
	tunnel->keys = arena_take(map->keys, slot);
	tunnel->addrs = &tunnel->first;
	atomic_init(&tunnel->counter, COUNTER_FIRST - 1);
	replay_init(&tunnel->replay, map->windows + (size_t)slot * REPLAY_WORDS);
	if (map->spread > 0)
		tunnel->windows = (struct replay *)((uint8_t *)tunnel + bytes);
	if (map->unsent)
		tunnel->unsent = &map->unsent[(size_t)slot * map->marks];
	for (uint32_t i = 0; i < map->spread; i++)
		replay_init(&tunnel->windows[i],
			    map->spread_windows + ((size_t)slot * map->spread + i) * REPLAY_WORDS);
	return tunnel;
}

int hostmap_spread(struct hostmap *map, uint32_t queues)
{
	map->spread_windows = windows_create(queues);
	if (!map->spread_windows)
		return -ENOMEM;
	map->spread = queues;
	return 0;
}

int hostmap_share(struct hostmap *map, uint32_t queues)
{
	map->marks = (queues + 7) & ~7u;
	/* large: untouched pages cost nothing */
	map->unsent = calloc((size_t)TUNNELS_MAX * map->marks, sizeof(*map->unsent));
	return map->unsent ? 0 : -ENOMEM;
}

void tunnel_free(struct hostmap *map, struct tunnel *tunnel)
{
	uint32_t slot = tunnel->id.slot;

	replay_clear(&tunnel->replay);
	for (uint32_t i = 0; tunnel->windows && i < map->spread; i++)
		replay_clear(&tunnel->windows[i]);
	aead_key_wipe(&tunnel->keys->seal);
	aead_key_wipe(&tunnel->keys->open);
	arena_give_back(map->keys, slot);
	map->generations[slot]++; /* a wrap to 0 becomes 1 in tunnel_allocate */
	map->free_slots[map->free_count++] = slot;
	free(tunnel->remote);
	free(tunnel->path);
	free(tunnel->rules[0]);
	free(tunnel->rules[1]);
	free(tunnel->prefixes);
	if (tunnel->addrs != &tunnel->first)
		free(tunnel->addrs);
	free(tunnel);
}

/* --- by index ----------------------------------------------------------------------------------
 */

int hostmap_index_reserve(struct hostmap *map, uint32_t index)
{
	struct index_entry *entry;

	if (index == 0)
		return -EINVAL;
	if (hostmap_by_index(map, index))
		return -EEXIST;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	entry->index = index;
	cds_lfht_node_init(&entry->node);
	RCU_TSAN_RELEASE(&entry->node);
	cds_lfht_add(map->by_index, hash_index(index), &entry->node);
	map->index_count++;
	return 0;
}

int hostmap_index_publish(struct hostmap *map, struct tunnel *tunnel)
{
	struct index_entry *entry = hostmap_by_index(map, tunnel->local_index);

	if (!entry)
		return -ENOENT;
	RCU_PUBLISH(map->slots[tunnel->id.slot], tunnel);
	RCU_PUBLISH(entry->tunnel, tunnel);
	return 0;
}

int hostmap_relay_publish(struct hostmap *map, uint32_t index, const struct relay_entry *relay)
{
	struct index_entry *entry = hostmap_by_index(map, index);
	struct relay_entry *before, *copy;

	if (!entry || entry->tunnel)
		return -ENOENT;
	copy = malloc(sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	*copy = *relay;
	before = entry->relay;
	RCU_PUBLISH(entry->relay, copy);
	if (before)
		hostmap_defer(map, release_relay, before);
	return 0;
}

void hostmap_index_remove(struct hostmap *map, uint32_t index)
{
	struct index_entry *entry = hostmap_by_index(map, index);

	if (!entry)
		return;
	if (entry->tunnel)
		RCU_PUBLISH(map->slots[entry->tunnel->id.slot], NULL);
	cds_lfht_del(map->by_index, &entry->node);
	map->index_count--;
	hostmap_defer(map, release_index_entry, entry);
}

/* --- by address --------------------------------------------------------------------------------
 */

struct host_entry *hostmap_host_obtain(struct hostmap *map, const struct addr *addr)
{
	struct host_entry *entry = hostmap_by_addr(map, addr);

	if (entry)
		return entry;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return NULL;
	entry->addr = *addr;
	cds_lfht_node_init(&entry->node);
	RCU_TSAN_RELEASE(&entry->node);
	cds_lfht_add(map->by_addr, hash_addr(map, addr), &entry->node);
	map->host_count++;
	return entry;
}

void hostmap_host_remove(struct hostmap *map, const struct addr *addr)
{
	struct host_entry *entry = hostmap_by_addr(map, addr);

	if (!entry)
		return;
	cds_lfht_del(map->by_addr, &entry->node);
	map->host_count--;
	hostmap_defer(map, release_host_entry, entry);
}

void hostmap_counts(const struct hostmap *map, size_t *indexes, size_t *hosts)
{
	*indexes = map->index_count;
	*hosts = map->host_count;
}

void hostmap_card_publish(struct hostmap *map, const struct addr *addr, struct host_card *card)
{
	struct host_entry *entry = hostmap_by_addr(map, addr);
	struct host_card *before = entry ? entry->card : card;

	if (entry)
		RCU_PUBLISH(entry->card, card);
	if (before)
		hostmap_defer(map, release_card, before);
}

/* --- garbage -----------------------------------------------------------------------------------
 */

void hostmap_defer(struct hostmap *map, void (*release)(struct hostmap *map, void *object),
		   void *object)
{
	struct garbage *piece = malloc(sizeof(*piece));

	if (!piece) {
		/* Out of memory: control waits for the workers itself, this once. */
		rcu_wait_for_readers();
		release(map, object);
		return;
	}
	*piece = (struct garbage){NULL, release, object};
	*map->last = piece;
	map->last = &piece->next;
}

struct garbage *hostmap_garbage_take(struct hostmap *map)
{
	struct garbage *batch = map->first;

	map->first = NULL;
	map->last = &map->first;
	return batch;
}

void hostmap_garbage_release(struct hostmap *map, struct garbage *batch)
{
	while (batch) {
		struct garbage *piece = batch;

		batch = piece->next;
		piece->release(map, piece->object);
		free(piece);
	}
}
