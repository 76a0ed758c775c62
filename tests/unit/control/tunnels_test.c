/*
 * tunnels_test.c - where a tunnel's packets go changes while workers send there (trap 51): each
 * packet goes to one address or the other, never to a mixture. The writer is the product's, the
 * readers do what outbound.c does with a remote.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>

#include "peers/tunnels.h"
#include "rcu.h"
#include "sockaddr.h"

TestSuite(tunnels);

#define CHANGES 30000
#define SEEN    100 /* of each address, so that the readers do meet the writer */

struct road {
	struct tunnel tunnel;
	_Atomic bool end;
	_Atomic unsigned seen[2], torn;
};

/* IPv4 and IPv6 differ in every part: family, address, port and the socket address's length. */
static struct endpoint place(bool v6)
{
	static const struct addr six = {
		{0x20, 1, 0xd, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}};

	return v6 ? (struct endpoint){six, 6666}
		  : (struct endpoint){addr_from_v4(0xc0000204), 4444};
}

static bool is_whole(const struct remote *remote, bool v6)
{
	struct endpoint to = place(v6);
	union sockaddr_ip expected;
	uint32_t bytes = endpoint_to_sockaddr(&to, true, &expected);

	return endpoint_equal(&remote->to, &to) && remote->sockaddr_bytes == bytes &&
	       memcmp(&expected, &remote->sockaddr, bytes) == 0;
}

static void *send_to_it(void *argument)
{
	struct road *road = argument;

	urcu_qsbr_register_thread();
	while (!atomic_load(&road->end)) {
		const struct remote *remote = RCU_READ(road->tunnel.remote);
		bool v6 = !is_whole(remote, false);

		/* is_whole() twice reads it twice: one that changes under us shows itself */
		if (v6 ? is_whole(remote, true) : is_whole(remote, false))
			atomic_fetch_add(&road->seen[v6], 1);
		else
			atomic_fetch_add(&road->torn, 1);
		rcu_worker_offline();
		rcu_worker_online();
	}
	urcu_qsbr_unregister_thread();
	return NULL;
}

static bool seen_enough(const struct road *road)
{
	return atomic_load(&road->seen[0]) >= SEEN && atomic_load(&road->seen[1]) >= SEEN;
}

Test(tunnels, a_remote_that_changes_is_one_or_the_other)
{
	static struct road road;
	struct tunnel_record record = {.tunnel = &road.tunnel};
	struct tunnels tunnels = {.udp_v6 = true};
	struct endpoint to = place(false);
	pthread_t thread;
	bool locked;

	tunnels.map = hostmap_create(&locked);
	cr_assert_eq(tunnels_set_remote(&tunnels, &record, &to), 0);
	cr_assert_eq(pthread_create(&thread, NULL, send_to_it, &road), 0);
	for (unsigned i = 1; (i < CHANGES || !seen_enough(&road)) && !atomic_load(&road.torn);
	     i++) {
		struct garbage *batch;

		to = place(i % 2);
		cr_assert_eq(tunnels_set_remote(&tunnels, &record, &to), 0);
		batch = i % 8 ? NULL : hostmap_garbage_take(tunnels.map);
		if (!batch)
			continue;
		rcu_wait_for_readers();
		hostmap_garbage_release(tunnels.map, batch);
	}
	atomic_store(&road.end, true);
	pthread_join(thread, NULL);
	cr_assert_eq(atomic_load(&road.torn), 0);
	free(road.tunnel.remote);
	for (struct garbage *batch; (batch = hostmap_garbage_take(tunnels.map));)
		hostmap_garbage_release(tunnels.map, batch);
	hostmap_destroy(tunnels.map);
}
