/*
 * conntrack_test.c - tracked flows: timeouts, versions, floods, no allocation, two threads.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <malloc.h>
#include <pthread.h>

#include "filter/conntrack.h"
#include "unit/dataplane/random.h"

TestSuite(conntrack, .timeout = 60);

static const struct snapshot rules_7 = {
	.rules_version = 7, .tcp_timeout_s = 720, .udp_timeout_s = 180, .default_timeout_s = 600};
static const struct snapshot rules_8 = {
	.rules_version = 8, .tcp_timeout_s = 720, .udp_timeout_s = 180, .default_timeout_s = 600};

static struct flow flow_of(uint8_t protocol, uint32_t number)
{
	struct flow flow;

	memset(&flow, 0, sizeof(flow));
	flow.local = addr_from_v4(0x0a2a0001);
	flow.remote = addr_from_v4(0x0a2a0002 + (number >> 16));
	flow.local_port = (uint16_t)number;
	flow.remote_port = 443;
	flow.protocol = protocol;
	return flow;
}

static enum conntrack_answer lookup(struct conntrack *ct, const struct flow *flow, uint32_t now_s)
{
	enum direction direction;

	return conntrack_lookup(ct, flow, &rules_7, now_s, &direction);
}

Test(conntrack, timeouts_by_protocol)
{
	static const struct {
		uint8_t protocol;
		uint32_t timeout_s;
	} cases[] = {{IPPROTO_TCP, 720}, {IPPROTO_UDP, 180}, {IPPROTO_ICMP, 600}, {132, 600}};
	struct conntrack *ct = conntrack_create();

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct flow flow = flow_of(cases[i].protocol, 1);
		uint32_t end = 1000 + cases[i].timeout_s;

		cr_expect_eq(lookup(ct, &flow, 1000), CONNTRACK_MISS);
		cr_expect_not(conntrack_enter(ct, &flow, &rules_7, 1000, OUTBOUND));
		cr_expect_eq(lookup(ct, &flow, end), CONNTRACK_MISS, "protocol %u expired",
			     cases[i].protocol);
		cr_expect_eq(lookup(ct, &flow, end - 1), CONNTRACK_HIT);
		cr_expect_eq(lookup(ct, &flow, end), CONNTRACK_HIT, "the hit before refreshed it");
		cr_expect_eq(lookup(ct, &flow, end + cases[i].timeout_s), CONNTRACK_MISS);
	}
	conntrack_destroy(ct);
}

Test(conntrack, every_field_of_the_flow_counts)
{
	struct conntrack *ct = conntrack_create();
	struct flow flow = flow_of(IPPROTO_TCP, 80), other;

	conntrack_enter(ct, &flow, &rules_7, 0, INBOUND);
	for (size_t i = 0; i < offsetof(struct flow, zero); i++) {
		other = flow;
		((uint8_t *)&other)[i] ^= 1;
		cr_expect_eq(lookup(ct, &other, 1), CONNTRACK_MISS, "byte %zu", i);
	}
	cr_expect_eq(lookup(ct, &flow, 1), CONNTRACK_HIT);
	conntrack_destroy(ct);
}

Test(conntrack, other_rules_make_it_stale_and_say_who_created_it)
{
	struct conntrack *ct = conntrack_create();
	struct flow flow = flow_of(IPPROTO_UDP, 53);
	enum direction direction = INBOUND;

	conntrack_enter(ct, &flow, &rules_7, 0, OUTBOUND);
	cr_expect_eq(conntrack_lookup(ct, &flow, &rules_8, 100, &direction), CONNTRACK_STALE);
	cr_expect_eq(direction, OUTBOUND);
	cr_expect_eq(lookup(ct, &flow, 180), CONNTRACK_MISS, "stale did not refresh");
	conntrack_enter(ct, &flow, &rules_8, 100, OUTBOUND);
	cr_expect_eq(conntrack_lookup(ct, &flow, &rules_8, 200, &direction), CONNTRACK_HIT);
	cr_expect_eq(conntrack_count(ct, 200), 1, "updated in place");
	conntrack_remove(ct, &flow);
	cr_expect_eq(conntrack_lookup(ct, &flow, &rules_8, 200, &direction), CONNTRACK_MISS);
	cr_expect_eq(conntrack_count(ct, 200), 0);
	conntrack_remove(ct, &flow);
	conntrack_destroy(ct);
}

/* Trap 67: versions are compared for equality, so the wrap is nothing special. */
Test(conntrack, version_wraps)
{
	struct conntrack *ct = conntrack_create();
	struct snapshot last = rules_7, first = rules_7;
	struct flow flow = flow_of(IPPROTO_UDP, 53);
	enum direction direction;

	last.rules_version = 65535;
	first.rules_version = 0;
	conntrack_enter(ct, &flow, &last, 0, OUTBOUND);
	cr_expect_eq(conntrack_lookup(ct, &flow, &last, 1, &direction), CONNTRACK_HIT);
	cr_expect_eq(conntrack_lookup(ct, &flow, &first, 1, &direction), CONNTRACK_STALE);
	conntrack_destroy(ct);
}

/* What a version that comes round again must not find. */
Test(conntrack, reset_forgets_every_flow)
{
	struct conntrack *ct = conntrack_create();
	struct flow flow;
	enum direction direction;

	for (uint16_t port = 1; port <= 500; port++) {
		flow = flow_of(IPPROTO_UDP, port);
		conntrack_enter(ct, &flow, &rules_7, 1, OUTBOUND);
	}
	cr_assert_gt(conntrack_count(ct, 1), 400);
	conntrack_reset(ct);
	cr_expect_eq(conntrack_count(ct, 1), 0);
	cr_expect_eq(conntrack_lookup(ct, &flow, &rules_7, 1, &direction), CONNTRACK_MISS);
	cr_expect_not(conntrack_enter(ct, &flow, &rules_7, 1, INBOUND), "nobody had to give way");
	cr_expect_eq(conntrack_lookup(ct, &flow, &rules_7, 1, &direction), CONNTRACK_HIT);
	cr_expect_eq(direction, INBOUND);
	conntrack_destroy(ct);
}

Test(conntrack, timeouts_at_the_end_of_the_clock)
{
	struct conntrack *ct = conntrack_create();
	struct snapshot endless = rules_7;
	struct flow flow = flow_of(IPPROTO_UDP, 53);
	enum direction direction;

	endless.udp_timeout_s = UINT32_MAX;
	conntrack_enter(ct, &flow, &endless, 5, OUTBOUND);
	cr_expect_eq(conntrack_lookup(ct, &flow, &endless, UINT32_MAX - 1, &direction),
		     CONNTRACK_HIT);
	conntrack_destroy(ct);
}

Test(conntrack, ten_thousand_flows_open_and_expire_without_allocation)
{
	struct conntrack *ct = conntrack_create();
	unsigned evicted = 0, found = 0;
	struct mallinfo2 before = mallinfo2();

	for (uint32_t i = 0; i < 10000; i++) {
		struct flow flow = flow_of(IPPROTO_UDP, i * 7);

		evicted += conntrack_enter(ct, &flow, &rules_7, 10, INBOUND);
	}
	for (uint32_t i = 0; i < 10000; i++) {
		struct flow flow = flow_of(IPPROTO_UDP, i * 7);

		found += lookup(ct, &flow, 10) == CONNTRACK_HIT;
	}
	uint32_t live = conntrack_count(ct, 10), later = conntrack_count(ct, 190);
	struct mallinfo2 after = mallinfo2();

	cr_expect_eq(after.uordblks, before.uordblks);
	cr_expect_eq(after.hblkhd, before.hblkhd);
	/* 10,000 flows in 16,384 buckets of 8: one table in 3,000 has a bucket with 9. */
	cr_expect_leq(evicted, 1);
	cr_expect_eq(found, 10000 - evicted);
	cr_expect_eq(live, 10000 - evicted);
	cr_expect_eq(later, 0);
	conntrack_destroy(ct);
}

/* Whatever the key, flows that differ in one port alone spread as random ones would. */
Test(conntrack, consecutive_ports_spread_under_every_key)
{
	unsigned evicted = 0;

	for (unsigned table = 0; table < 200; table++) {
		struct conntrack *ct = conntrack_create();

		for (uint32_t i = 0; i < 10000; i++) {
			struct flow flow = flow_of(IPPROTO_UDP, i);

			evicted += conntrack_enter(ct, &flow, &rules_7, 10, INBOUND);
		}
		conntrack_destroy(ct);
	}
	cr_expect_leq(evicted, 3, "%u; 0.06 are expected", evicted);
}

/* Trap 68. Every bucket is full in the end, and the flow that came last is always there. */
Test(conntrack, a_flood_is_bounded_and_evicts)
{
	struct conntrack *ct = conntrack_create();
	uint64_t seed = random_start();
	unsigned evicted = 0;

	for (uint32_t i = 0; i < 1000000; i++) {
		struct flow flow;

		random_fill(&flow, sizeof(flow));
		evicted += conntrack_enter(ct, &flow, &rules_7, 10 + i / 100000, INBOUND);
		if (i % 1000 == 0)
			cr_assert_eq(lookup(ct, &flow, 10 + i / 100000), CONNTRACK_HIT,
				     "M57_SEED=%#llx", (unsigned long long)seed);
	}
	uint32_t live = conntrack_count(ct, 20);

	cr_expect_eq(live, CONNTRACK_BUCKETS * CONNTRACK_WAYS);
	cr_expect_eq(evicted, 1000000 - live);
	conntrack_destroy(ct);
}

/* Of equal chances in a full bucket, the flow with the nearest expiry goes. */
Test(conntrack, the_flow_that_expires_first_gives_way)
{
	struct conntrack *ct = conntrack_create();
	struct flow keeper = flow_of(IPPROTO_TCP, 1); /* 720 s, against 180 s of the flood */

	conntrack_enter(ct, &keeper, &rules_7, 10, INBOUND);
	for (uint32_t i = 0; i < 500000; i++) {
		struct flow flow = flow_of(IPPROTO_UDP, i);

		conntrack_enter(ct, &flow, &rules_7, 10, INBOUND);
	}
	cr_expect_eq(lookup(ct, &keeper, 11), CONNTRACK_HIT);
	conntrack_destroy(ct);
}

/* Two workers on the same few flows: each answer is one that some order of the calls gives. */
struct worker {
	struct conntrack *ct;
	unsigned wrong;
};

static void *work(void *argument)
{
	struct worker *self = argument;

	for (uint32_t i = 0; i < 200000; i++) {
		struct flow flow = flow_of(IPPROTO_TCP, i % 64);
		enum direction direction = 99;

		switch (i % 5) {
		case 0:
			conntrack_enter(self->ct, &flow, &rules_7, 10, INBOUND);
			break;
		case 1:
			conntrack_remove(self->ct, &flow);
			break;
		default:
			if (conntrack_lookup(self->ct, &flow, &rules_7, 10, &direction) ==
			    CONNTRACK_HIT)
				self->wrong += direction != INBOUND;
		}
	}
	return NULL;
}

Test(conntrack, two_threads)
{
	struct worker workers[2] = {{conntrack_create(), 0}};
	pthread_t threads[2];

	workers[1].ct = workers[0].ct;
	for (unsigned t = 0; t < 2; t++)
		cr_assert_eq(pthread_create(&threads[t], NULL, work, &workers[t]), 0);
	for (unsigned t = 0; t < 2; t++) {
		pthread_join(threads[t], NULL);
		cr_expect_eq(workers[t].wrong, 0);
	}
	cr_expect_leq(conntrack_count(workers[0].ct, 10), 64, "no flow is entered twice");
	conntrack_destroy(workers[0].ct);
}

/*
 * Nine flows that share a bucket, though its key is secret: with ever later expiries, the first
 * flow that evicts another has found a full bucket; and the evicted one, coming back, evicts the
 * next.
 */
static void find_bucket_mates(struct conntrack *ct, struct flow mates[9])
{
	enum { FLOWS = 60000 };
	uint32_t last = 0, mate = 0;
	struct flow flow = flow_of(IPPROTO_UDP, 0);
	struct snapshot slow = rules_7, other;
	enum direction direction;

	slow.udp_timeout_s = 1000000;
	other = slow;
	other.rules_version = 99; /* a lookup that finds without refreshing */
	while (!conntrack_enter(ct, &flow, &slow, last, INBOUND)) {
		cr_assert_lt(last, FLOWS);
		flow = flow_of(IPPROTO_UDP, ++last);
	}
	mates[0] = flow;
	for (unsigned i = 1; i < 9; i++) {
		do {
			mates[i] = flow_of(IPPROTO_UDP, mate++);
		} while (conntrack_lookup(ct, &mates[i], &other, 100, &direction) !=
			 CONNTRACK_MISS);
		cr_assert(conntrack_enter(ct, &mates[i], &slow, 100000 + i, INBOUND));
	}
}

struct neighbour {
	struct conntrack *ct;
	const struct flow *flows; /* four that are this thread's alone */
	unsigned lost;
};

static void *enter_and_remove(void *argument)
{
	struct neighbour *self = argument;

	for (uint32_t i = 0; i < 400000; i++) {
		const struct flow *flow = &self->flows[i % 4];

		conntrack_enter(self->ct, flow, &rules_7, 10, INBOUND);
		self->lost += lookup(self->ct, flow, 10) != CONNTRACK_HIT;
		conntrack_remove(self->ct, flow);
	}
	return NULL;
}

/* Two workers in one bucket with room for both: nobody's flow is lost to the other. */
Test(conntrack, two_threads_in_one_bucket)
{
	struct conntrack *ct = conntrack_create();
	struct flow mates[9];
	struct neighbour neighbours[2] = {{ct, &mates[0], 0}, {ct, &mates[4], 0}};
	pthread_t threads[2];

	find_bucket_mates(ct, mates);
	for (unsigned i = 0; i < 9; i++)
		conntrack_remove(ct, &mates[i]);
	for (unsigned t = 0; t < 2; t++)
		cr_assert_eq(pthread_create(&threads[t], NULL, enter_and_remove, &neighbours[t]),
			     0);
	for (unsigned t = 0; t < 2; t++) {
		pthread_join(threads[t], NULL);
		cr_expect_eq(neighbours[t].lost, 0);
	}
	conntrack_destroy(ct);
}
