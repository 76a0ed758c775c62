/* resolver_test.c - look-ups that need no server, as those of localhost; dns.bats has the rest. */
#include "system/resolver.h"

#include <criterion/criterion.h>
#include <time.h>

#include "limits.h"

TestSuite(resolver);

#define S_NS 1000000000ull

static struct heard {
	uint32_t count, id, addrs;
	enum name_outcome outcome;
	enum name_network told;
	bool v4, v6; /* 127.0.0.1, ::1 */
} heard;

static void hear(void *context, uint32_t id, const struct name_answer *answer)
{
	static const struct addr loopback = {{[15] = 1}};

	cr_assert_eq(context, &heard);
	heard.count++;
	heard.id = id;
	heard.outcome = answer->outcome;
	heard.told = answer->told;
	heard.addrs = answer->count;
	heard.v4 = heard.v6 = false;
	for (uint32_t i = 0; i < answer->count; i++) {
		heard.v4 |=
			addr_is_v4(&answer->addrs[i]) && addr_v4(&answer->addrs[i]) >> 24 == 127;
		heard.v6 |= addr_equal(&answer->addrs[i], &loopback);
	}
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * S_NS + (uint64_t)now.tv_nsec;
}

/* By families; the answer comes at the next tick, once, and the place is free behind it. */
Test(resolver, localhost)
{
	struct resolver *resolver = resolver_open(hear, &heard);

	cr_assert_not_null(resolver);
	cr_assert_eq(resolver_next_deadline(resolver), UINT64_MAX);
	for (uint32_t id = 0; id < 3 * LOOKUPS_MAX; id++) {
		enum name_network network = id % 2 ? NAME_IP : NAME_IP4;

		cr_assert_eq(resolver_begin(resolver, id, "localhost", network, S_NS), 0);
		cr_assert_eq(heard.count, id, "not from within");
		cr_assert_leq(resolver_next_deadline(resolver), now_ns());
		resolver_tick(resolver, now_ns());
		cr_assert_eq(heard.count, id + 1);
		cr_assert_eq(heard.id, id);
		cr_assert_eq(heard.outcome, NAME_FOUND);
		cr_assert_eq(heard.told, NAME_IP);
		cr_assert(heard.v4 && heard.addrs <= NAME_ADDRS_MAX);
		cr_assert(network == NAME_IP || !heard.v6);
		cr_assert_eq(resolver_next_deadline(resolver), UINT64_MAX);
		resolver_tick(resolver, now_ns() + 10 * S_NS);
		cr_assert_eq(heard.count, id + 1);
	}
	resolver_close(resolver);
}

/* What is cancelled is not told, and those beside it are. */
Test(resolver, cancelled)
{
	struct resolver *resolver = resolver_open(hear, &heard);

	cr_assert_not_null(resolver);
	for (uint32_t id = 1; id <= 2; id++)
		cr_assert_eq(resolver_begin(resolver, id, "localhost", NAME_IP4, S_NS), 0);
	resolver_cancel(resolver, 1);
	resolver_cancel(resolver, 77);
	resolver_tick(resolver, now_ns());
	cr_assert(heard.count == 1 && heard.id == 2);
	cr_assert_eq(resolver_begin(resolver, 3, "localhost", NAME_IP4, S_NS), 0);
	resolver_close(resolver); /* with one under way */
	cr_assert_eq(heard.count, 1);
}
