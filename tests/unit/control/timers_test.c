/* timers_test.c - the heap of deadlines against a plain list; the token bucket. */
#include <criterion/criterion.h>
#include <sodium.h>

#include "peers/rate.h"
#include "peers/timers.h"

TestSuite(timers);

#define COUNT 200

Test(timers, like_a_plain_list)
{
	static struct timer timer[COUNT];
	struct timers timers;
	uint64_t now = 0;
	uint32_t seed = 12345;

	cr_assert_eq(timers_init(&timers), 0);
	cr_assert_eq(timers_reserve(&timers, COUNT), 0);
	cr_assert_eq(timers_next(&timers), TIMER_NEVER);
	for (int step = 0; step < 100000; step++) {
		struct timer *one;
		uint64_t first = TIMER_NEVER;

		seed = seed * 1664525 + 1013904223;
		one = &timer[(seed >> 8) % COUNT];
		timer_arm(&timers, one, seed % 5 ? now + seed % 1000 : TIMER_NEVER);
		for (int i = 0; i < COUNT; i++)
			if (timer[i].position && timer[i].due_ns < first)
				first = timer[i].due_ns;
		cr_assert_eq(timers_next(&timers), first);
		cr_assert_eq(one->position == 0, one->due_ns == TIMER_NEVER);
		now += seed >> 20 & 7;
		for (struct timer *due; (due = timers_pop(&timers, now));) {
			cr_assert_eq(due->due_ns, first);
			cr_assert_leq(due->due_ns, now);
			cr_assert_eq(due->position, 0);
			first = timers_next(&timers);
		}
		cr_assert(timers_next(&timers) > now);
	}
	timers_free(&timers);
}

Test(timers, rate)
{
	struct rate rate = RATE(10, 5);
	uint64_t now = 1000000000;
	int taken = 0;

	for (int i = 0; i < 100; i++)
		taken += rate_take(&rate, now);
	cr_assert_eq(taken, 5, "a burst");
	cr_assert(!rate_take(&rate, now + 99999999));
	cr_assert(rate_take(&rate, now + 100000000));
	cr_assert(!rate_take(&rate, now + 100000001));
	for (taken = 0; now < 11000000000; now += 1000000)
		taken += rate_take(&rate, now);
	cr_assert(taken >= 98 && taken <= 105, "%d in 10 s", taken);
	now += 100000000000;
	for (taken = 0; rate_take(&rate, now);)
		taken++;
	cr_assert_eq(taken, 5, "never more than a burst");
}
