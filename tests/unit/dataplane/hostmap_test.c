/*
 * hostmap_test.c - the way to a tunnel and away from it, alone and with readers on the road.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "crypto/replay.h"
#include "hostmap.h"
#include "unit/dataplane/random.h"

TestSuite(hostmap, .timeout = 60);

static struct hostmap *create(void)
{
	bool locked;
	struct hostmap *map = hostmap_create(&locked);

	cr_assert_not_null(map);
	return map;
}

static void release_tunnel(struct hostmap *map, void *object)
{
	tunnel_free(map, object);
}

static void collect(struct hostmap *map)
{
	struct garbage *batch = hostmap_garbage_take(map);

	rcu_wait_for_readers();
	hostmap_garbage_release(map, batch);
}

Test(hostmap, a_new_tunnel)
{
	struct hostmap *map = create();
	struct tunnel *tunnel = tunnel_allocate(map), *second = tunnel_allocate(map);
	static const uint8_t zero[sizeof(struct tunnel_keys)];
	uint64_t counters[] = {0, 1, 2, 3};
	bool fresh[4];

	cr_assert_not_null(tunnel);
	cr_expect_neq(tunnel->id.generation, 0);
	cr_expect_neq(tunnel->id.slot, second->id.slot);
	cr_expect_eq((uintptr_t)tunnel % 64, 0);
	cr_expect_eq((uintptr_t)&tunnel->keys->seal % 64, 0);
	cr_expect_eq((uintptr_t)&tunnel->keys->open % 64, 0);
	cr_expect_arr_eq(tunnel->keys, zero, sizeof(zero));
	cr_expect_eq(atomic_fetch_add(&tunnel->counter, 1) + 1, COUNTER_FIRST);
	cr_expect_eq(replay_check(&tunnel->replay, counters, 4, fresh), 1);
	cr_expect(fresh[3]);
	cr_expect_null(hostmap_by_id(map, tunnel->id), "not published yet");
	tunnel_free(map, tunnel);
	tunnel_free(map, second);
	hostmap_destroy(map);
}

/* A slot's window is as new for the next tunnel, whatever the one before has marked. */
Test(hostmap, a_slot_comes_back_with_an_empty_replay_window)
{
	struct hostmap *map = create();

	cr_assert_eq(hostmap_spread(map, 2), 0);
	for (int round = 0; round < 3; round++) {
		struct tunnel *tunnel = tunnel_allocate(map);
		struct replay *windows[] = {&tunnel->replay, &tunnel->windows[0],
					    &tunnel->windows[1]};

		for (int i = 0; i < 3; i++) {
			cr_expect_eq((uintptr_t)windows[i] % 64, 0);
			for (uint64_t counter = 70 - 20 * i; counter < 3000; counter += 1 + i) {
				bool fresh;

				replay_check(windows[i], &counter, 1, &fresh);
				cr_assert(fresh, "round %d window %d counter %lu", round, i,
					  counter);
				replay_commit(windows[i], &counter, 1, &fresh);
			}
		}
		tunnel_free(map, tunnel);
	}
	hostmap_destroy(map);
}

Test(hostmap, index_goes_from_pending_to_tunnel_to_nothing)
{
	struct hostmap *map = create();
	struct tunnel *tunnel = tunnel_allocate(map);

	tunnel->local_index = 0xfedcba98;
	cr_expect_null(hostmap_by_index(map, 0xfedcba98));
	cr_expect_eq(hostmap_index_publish(map, tunnel), -ENOENT);
	cr_expect_eq(hostmap_index_reserve(map, 0), -EINVAL);
	cr_expect_eq(hostmap_index_reserve(map, 0xfedcba98), 0);
	cr_expect_eq(hostmap_index_reserve(map, 0xfedcba98), -EEXIST);
	struct index_entry *entry = hostmap_by_index(map, 0xfedcba98);

	cr_assert_not_null(entry);
	cr_expect_null(RCU_READ(entry->tunnel), "pending");
	cr_expect_null(hostmap_by_id(map, tunnel->id));
	cr_expect_eq(hostmap_index_publish(map, tunnel), 0);
	cr_expect_eq(RCU_READ(entry->tunnel), tunnel);
	cr_expect_eq(hostmap_by_id(map, tunnel->id), tunnel);

	hostmap_index_remove(map, 0xfedcba98);
	cr_expect_null(hostmap_by_index(map, 0xfedcba98));
	cr_expect_null(hostmap_by_id(map, tunnel->id), "gone with its index");
	hostmap_index_remove(map, 0xfedcba98);
	hostmap_defer(map, release_tunnel, tunnel);
	collect(map);
	hostmap_destroy(map);
}

Test(hostmap, an_old_id_does_not_find_the_next_tunnel_in_its_slot)
{
	struct hostmap *map = create();
	struct tunnel *tunnel = tunnel_allocate(map);
	struct tunnel_id old = tunnel->id;

	tunnel_free(map, tunnel);
	tunnel = tunnel_allocate(map);
	cr_assert_eq(tunnel->id.slot, old.slot, "last one back is first one out");
	cr_expect_neq(tunnel->id.generation, old.generation);
	tunnel->local_index = 1;
	cr_assert_eq(hostmap_index_reserve(map, 1), 0);
	cr_assert_eq(hostmap_index_publish(map, tunnel), 0);
	cr_expect_null(hostmap_by_id(map, old));
	cr_expect_eq(hostmap_by_id(map, tunnel->id), tunnel);
	cr_expect_null(hostmap_by_id(map, (struct tunnel_id){TUNNELS_MAX, 1}));
	cr_expect_null(hostmap_by_id(map, (struct tunnel_id){0, 0}));
	cr_expect_null(hostmap_by_id(map, (struct tunnel_id){TUNNELS_MAX - 1, 1}));
	hostmap_index_remove(map, 1);
	tunnel_free(map, tunnel);
	hostmap_destroy(map);
}

Test(hostmap, hosts_by_address)
{
	static const struct addr v6 = {{0xfd, 0x2a, [15] = 1}};
	struct hostmap *map = create();
	struct addr v4 = addr_from_v4(0x0a2a0001);

	cr_expect_null(hostmap_by_addr(map, &v4));
	struct host_entry *entry = hostmap_host_obtain(map, &v4);

	cr_assert_not_null(entry);
	cr_expect_eq(hostmap_host_obtain(map, &v4), entry, "made once");
	cr_expect_eq(hostmap_by_addr(map, &v4), entry);
	cr_expect_null(entry->tunnel);
	cr_expect_eq(entry->held_queues, 0);
	cr_expect_null(hostmap_by_addr(map, &v6));
	cr_expect_neq(hostmap_host_obtain(map, &v6), entry);
	hostmap_host_remove(map, &v4);
	cr_expect_null(hostmap_by_addr(map, &v4));
	hostmap_host_remove(map, &v4);
	collect(map);
	cr_expect_not_null(hostmap_by_addr(map, &v6));
	hostmap_destroy(map); /* frees what is left in the tables */
}

Test(hostmap, tunnels_are_bounded)
{
	struct hostmap *map = create();
	struct tunnel **all = malloc(TUNNELS_MAX * sizeof(*all));

	for (uint32_t i = 0; i < TUNNELS_MAX; i++) {
		all[i] = tunnel_allocate(map);
		cr_assert_not_null(all[i]);
	}
	cr_expect_null(tunnel_allocate(map));
	tunnel_free(map, all[5]);
	all[5] = tunnel_allocate(map);
	cr_expect_not_null(all[5]);
	for (uint32_t i = 0; i < TUNNELS_MAX; i++)
		tunnel_free(map, all[i]);
	free(all);
	hostmap_destroy(map);
}

/* Two entries side by side in a table with a random history: the tables say what a plain array
 * says. */
Test(hostmap, random_histories_match_an_array)
{
	enum { INDEXES = 4000 };
	static struct tunnel *published[INDEXES + 1];
	static bool reserved[INDEXES + 1];
	uint64_t seed = random_start();
	hostmap_destroy(create()); /* what libraries allocate once */
	size_t allocated = mallinfo2().uordblks;
	struct hostmap *map = create();

	for (unsigned step = 0; step < 60000; step++) {
		uint32_t index = 1 + (uint32_t)random_below(INDEXES);
		struct index_entry *entry = hostmap_by_index(map, index);

		cr_assert_eq(entry != NULL, reserved[index], "M57_SEED=%#llx",
			     (unsigned long long)seed);
		if (entry)
			cr_assert_eq(entry->tunnel, published[index]);
		if (!entry) {
			cr_assert_eq(hostmap_index_reserve(map, index), 0);
			reserved[index] = true;
		} else if (!entry->tunnel) {
			published[index] = tunnel_allocate(map);
			published[index]->local_index = index;
			cr_assert_eq(hostmap_index_publish(map, published[index]), 0);
		} else {
			cr_assert_eq(hostmap_by_id(map, entry->tunnel->id), entry->tunnel);
			hostmap_index_remove(map, index);
			hostmap_defer(map, release_tunnel, published[index]);
			reserved[index] = false;
			published[index] = NULL;
		}
		if (step % 1000 == 0)
			collect(map);
	}
	for (uint32_t index = 1; index <= INDEXES; index++) {
		hostmap_index_remove(map, index);
		if (published[index])
			hostmap_defer(map, release_tunnel, published[index]);
	}
	collect(map);
	hostmap_destroy(map);
	/* malloc counts its thread's small cache as in use; a leak here would be 20,000 pieces */
	cr_expect_lt(mallinfo2().uordblks, allocated + (32u << 10), "nothing leaks");
}

static unsigned released;

static void count_release(struct hostmap *map, void *object)
{
	cr_assert_eq((uintptr_t)object, ++released, "in the order they came");
}

Test(hostmap, garbage_comes_in_batches_and_in_order)
{
	struct hostmap *map = create();

	cr_expect_null(hostmap_garbage_take(map));
	for (uintptr_t i = 1; i <= 5; i++)
		hostmap_defer(map, count_release, (void *)i);
	struct garbage *batch = hostmap_garbage_take(map);

	cr_assert_not_null(batch);
	cr_expect_null(hostmap_garbage_take(map));
	hostmap_defer(map, count_release, (void *)6);
	cr_expect_eq(released, 0);
	hostmap_garbage_release(map, batch);
	cr_expect_eq(released, 5, "what came later waits for its own grace period");
	hostmap_destroy(map);
	cr_expect_eq(released, 6);
}

/*
 * Traps 54 and 55: control makes and ends tunnels while a worker looks them up and uses their keys.
 * A worker may find a tunnel or not, but what it finds is whole and stays until it is quiescent.
 */
#define MOVING 32

struct road {
	struct hostmap *map;
	_Atomic bool end;
	_Atomic uint64_t found;
	unsigned broken;
};

static void *worker(void *argument)
{
	struct road *road = argument;
	const struct tunnel *held[64];
	uint32_t n = 0;

	urcu_qsbr_register_thread();
	while (!atomic_load(&road->end)) {
		for (unsigned i = 0; i < 64; i++, n++) {
			uint32_t number = n % MOVING;
			struct addr addr = addr_from_v4(0x0a2a0000 + number);
			struct index_entry *entry = hostmap_by_index(road->map, number + 1);
			struct host_entry *host = hostmap_by_addr(road->map, &addr);
			struct tunnel *tunnel = entry ? RCU_READ(entry->tunnel) : NULL;
			struct tunnel *primary = host ? RCU_READ(host->tunnel) : NULL;

			if (tunnel && (tunnel->local_index != number + 1 ||
				       tunnel->keys->seal.state[0] != (uint8_t)(number + 1)))
				road->broken++;
			if (primary && tunnel && primary->local_index != number + 1)
				road->broken++;
			if (tunnel && hostmap_by_id(road->map, tunnel->id))
				atomic_fetch_add(&road->found, 1);
			if (tunnel && tunnel->keys->seal.state[0] != (uint8_t)(number + 1))
				road->broken++; /* freed under our feet */
			held[i] = tunnel;
		}
		/* keys are wiped when a tunnel is freed: what was found is still whole */
		for (unsigned i = 0; i < 64; i++)
			if (held[i] &&
			    held[i]->keys->seal.state[0] != (uint8_t)held[i]->local_index)
				road->broken++;
		rcu_worker_offline();
		rcu_worker_online();
	}
	urcu_qsbr_unregister_thread();
	return NULL;
}

static void move(struct hostmap *map, struct tunnel **tunnels, uint32_t number)
{
	struct addr addr = addr_from_v4(0x0a2a0000 + number);

	if (tunnels[number]) {
		RCU_PUBLISH(hostmap_by_addr(map, &addr)->tunnel, NULL);
		hostmap_index_remove(map, number + 1);
		hostmap_host_remove(map, &addr);
		hostmap_defer(map, release_tunnel, tunnels[number]);
		tunnels[number] = NULL;
		return;
	}
	struct tunnel *tunnel = tunnel_allocate(map);

	tunnel->local_index = number + 1;
	tunnel->keys->seal.state[0] = (uint8_t)(number + 1); /* a wiped key has 0 */
	cr_assert_eq(hostmap_index_reserve(map, number + 1), 0);
	cr_assert_eq(hostmap_index_publish(map, tunnel), 0);
	RCU_PUBLISH(hostmap_host_obtain(map, &addr)->tunnel, tunnel);
	tunnels[number] = tunnel;
}

Test(hostmap, tunnels_come_and_go_under_a_worker)
{
	static struct tunnel *tunnels[MOVING];
	struct road road = {.map = create()};
	pthread_t thread;

	random_start();
	cr_assert_eq(pthread_create(&thread, NULL, worker, &road), 0);
	for (unsigned step = 0; step < 20000 || atomic_load(&road.found) < 1000; step++) {
		move(road.map, tunnels, (uint32_t)random_below(MOVING));
		if (step % 16 == 0)
			collect(road.map);
	}
	atomic_store(&road.end, true);
	pthread_join(thread, NULL);
	cr_expect_eq(road.broken, 0);
	for (uint32_t number = 0; number < MOVING; number++)
		if (tunnels[number])
			move(road.map, tunnels, number);
	collect(road.map);
	hostmap_destroy(road.map);
}

#define LOWER_ROUNDS 50000

struct lowering {
	struct remote remote;
	_Atomic uint32_t arrived;
};

/* Both threads leave it within some nanoseconds of each other. */
static void meet(struct lowering *l, uint32_t times)
{
	atomic_fetch_add(&l->arrived, 1);
	for (uint32_t spins = 0; atomic_load(&l->arrived) < 2 * times;)
		if (++spins % 1024 == 0)
			sched_yield(); /* the other one needs this CPU */
}

static void *lower_odd(void *context)
{
	struct lowering *l = context;

	for (uint32_t round = 0; round < LOWER_ROUNDS; round++) {
		meet(l, 2 * round + 1);
		remote_lower_gso(&l->remote, 1401, 0);
		meet(l, 2 * round + 2);
	}
	return NULL;
}

/* Two workers are told of different sizes that do not pass: the smaller one holds. */
Test(remote, the_smallest_refused_segment_counts, .timeout = 60)
{
	static struct lowering l;
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, lower_odd, &l), 0);
	for (uint32_t round = 0; round < LOWER_ROUNDS; round++) {
		atomic_store(&l.remote.gso_segment_max, 9000);
		meet(&l, 2 * round + 1);
		remote_lower_gso(&l.remote, 1400, 0);
		meet(&l, 2 * round + 2);
		cr_assert_eq(atomic_load(&l.remote.gso_segment_max), 1399, "round %u", round);
	}
	pthread_join(thread, NULL);
	remote_lower_gso(&l.remote, 0, 0);
	remote_lower_gso(&l.remote, 1400, 0);
	cr_expect_eq(l.remote.gso_segment_max, 1399);
}
