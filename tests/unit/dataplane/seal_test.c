/*
 * seal_test.c - counters: no two senders of one tunnel get the same one, none is used up near the
 * end (PROTOCOL.md 1.5, traps 4 and 5); and the address they send to is one or the other, never a
 * mixture (trap 51).
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>

#include "crypto/seal.h"
#include "hostmap.h"
#include "sockaddr.h"

TestSuite(seal);

#define SENDERS 4
#define RUNS    100000 /* some 10 ms: the threads do meet */
#define RUN_MAX 7

static _Atomic uint8_t taken[SENDERS * RUNS * RUN_MAX + COUNTER_FIRST];

static pthread_barrier_t begin; /* else the first is done before the last has begun */

static void *reserve(void *argument)
{
	struct tunnel *tunnel = argument;
	uint64_t first;

	pthread_barrier_wait(&begin);
	for (uint32_t i = 0; i < RUNS; i++) {
		uint32_t n = 1 + i % RUN_MAX;

		cr_assert(seal_reserve(tunnel, n, &first));
		for (uint32_t k = 0; k < n; k++)
			atomic_fetch_add_explicit(&taken[first + k], 1, memory_order_relaxed);
	}
	return NULL;
}

Test(seal, concurrent_senders_never_share_a_counter)
{
	static struct tunnel tunnel;
	pthread_t threads[SENDERS];
	uint64_t last;

	atomic_init(&tunnel.counter, COUNTER_FIRST - 1);
	cr_assert_eq(pthread_barrier_init(&begin, NULL, SENDERS), 0);
	for (unsigned i = 0; i < SENDERS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, reserve, &tunnel), 0);
	for (unsigned i = 0; i < SENDERS; i++)
		pthread_join(threads[i], NULL);
	last = atomic_load(&tunnel.counter);
	for (uint64_t i = 0; i < sizeof(taken); i++)
		cr_assert_eq(taken[i], i >= COUNTER_FIRST && i <= last, "counter %zu", (size_t)i);
}

static void *reserve_at_the_end(void *argument)
{
	struct tunnel *tunnel = argument;
	uint64_t first;

	for (uint32_t i = 0; i < RUNS; i++)
		if (seal_reserve(tunnel, 1 + i % RUN_MAX, &first))
			cr_assert_lt(first + i % RUN_MAX, COUNTER_REFUSE_AT);
	return NULL;
}

Test(seal, none_is_reserved_behind_the_end)
{
	static struct tunnel tunnel;
	pthread_t threads[SENDERS];

	atomic_init(&tunnel.counter, COUNTER_REFUSE_AT - 1000);
	for (unsigned i = 0; i < SENDERS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, reserve_at_the_end, &tunnel), 0);
	for (unsigned i = 0; i < SENDERS; i++)
		pthread_join(threads[i], NULL);
	cr_assert_lt(atomic_load(&tunnel.counter), COUNTER_REFUSE_AT);
}

/* --- roaming under a sender --------------------------------------------------------------------
 */

struct road {
	struct hostmap *map;
	struct remote *remote;
	_Atomic bool end;
	_Atomic unsigned seen[2];
};

static struct remote *make_remote(bool v6)
{
	static const struct addr six = {
		{0x20, 1, 0xd, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}};
	struct remote *remote = calloc(1, sizeof(*remote));

	cr_assert(remote);
	remote->to = v6 ? (struct endpoint){six, 6666}
			: (struct endpoint){addr_from_v4(0xc0000204), 4444};
	remote->sockaddr_bytes = endpoint_to_sockaddr(&remote->to, true, &remote->sockaddr);
	return remote;
}

static void *send_to_it(void *argument)
{
	struct road *road = argument;

	urcu_qsbr_register_thread();
	while (!atomic_load(&road->end)) {
		const struct remote *remote = RCU_READ(road->remote);
		union sockaddr_ip expected;
		bool v6 = remote->to.port == 6666;

		endpoint_to_sockaddr(&remote->to, true, &expected);
		cr_assert_eq(addr_is_v4(&remote->to.addr), !v6);
		cr_assert_eq(memcmp(&expected, &remote->sockaddr, remote->sockaddr_bytes), 0);
		atomic_fetch_add(&road->seen[v6], 1);
		rcu_worker_offline();
		rcu_worker_online();
	}
	urcu_qsbr_unregister_thread();
	return NULL;
}

static void release(struct hostmap *map, void *object)
{
	memset(object, 0xee, sizeof(struct remote));
	free(object);
}

Test(seal, an_address_that_changes_is_one_or_the_other)
{
	static struct road road;
	pthread_t thread;
	bool locked;

	road.map = hostmap_create(&locked);
	road.remote = make_remote(false);
	cr_assert_eq(pthread_create(&thread, NULL, send_to_it, &road), 0);
	for (unsigned i = 1;
	     i < 2000 || atomic_load(&road.seen[0]) < 100 || atomic_load(&road.seen[1]) < 100;
	     i++) {
		struct remote *before = road.remote;
		struct garbage *batch;

		RCU_PUBLISH(road.remote, make_remote(i % 2));
		hostmap_defer(road.map, release, before);
		if (i % 8)
			continue;
		batch = hostmap_garbage_take(road.map);
		rcu_wait_for_readers();
		hostmap_garbage_release(road.map, batch);
	}
	atomic_store(&road.end, true);
	pthread_join(thread, NULL);
	free(road.remote);
	hostmap_garbage_release(road.map, hostmap_garbage_take(road.map));
	hostmap_destroy(road.map);
}
