/*
 * replay_test.c - the window against a model that remembers every counter, its edges, and two
 * threads.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>

#include "crypto/replay.h"
#include "unit/dataplane/random.h"

#define W REPLAY_WINDOW

TestSuite(replay, .timeout = 60);

static void replay_start(struct replay *replay)
{
	static uint64_t full[REPLAY_WORDS];

	memset(full, 0, sizeof(full));
	replay_init(replay, full);
}

/* One counter through both steps; check must not promise what commit alone then refuses. */
static bool take(struct replay *replay, uint64_t counter)
{
	bool fresh;

	if (replay_check(replay, &counter, 1, &fresh) == 0) {
		cr_assert(!fresh);
		fresh = true;
		cr_assert_eq(replay_commit(replay, &counter, 1, &fresh), 0,
			     "refused by check, taken by commit: %llu",
			     (unsigned long long)counter);
		return false;
	}
	cr_assert(fresh);
	cr_assert_eq(replay_commit(replay, &counter, 1, &fresh), 1);
	return true;
}

struct step {
	uint64_t counter;
	bool accepted;
};

static void run_steps(const char *name, const struct step *steps, size_t n)
{
	struct replay replay;

	replay_start(&replay);
	for (size_t i = 0; i < n; i++)
		cr_expect_eq(take(&replay, steps[i].counter), steps[i].accepted,
			     "%s: step %zu, counter %llu", name, i,
			     (unsigned long long)steps[i].counter);
}

#define STEPS(name, ...)                                                                           \
	do {                                                                                       \
		static const struct step steps[] = {__VA_ARGS__};                                  \
		run_steps(name, steps, sizeof(steps) / sizeof(steps[0]));                          \
	} while (0)

/* PROTOCOL.md 1.5, 4.4, trap 46. */
Test(replay, edges)
{
	STEPS("counters of the handshake", {0, false}, {1, false}, {2, false}, {3, true});
	STEPS("order 5 4 3 5", {5, true}, {4, true}, {3, true}, {5, false}, {6, true});
	STEPS("oldest in the window", {W + 99, true}, {100, true}, {100, false}, {99, false},
	      {101, true});
	STEPS("oldest with a window not yet full", {W - 1, true}, {3, true}, {2, false},
	      {0, false});
	STEPS("handshake counters age out, not in", {W, true}, {0, false}, {1, false},
	      {W + 2, true}, {2, false}, {3, true});
	STEPS("jump by one window", {10, true}, {10 + W, true}, {10, false}, {11, true},
	      {9 + W, true});
	STEPS("jump by one less", {10, true}, {9 + W, true}, {10, false}, {9 + W, false},
	      {8 + W, true});
	STEPS("jump by one more", {10, true}, {11 + W, true}, {11, false}, {12, true}, {10, false});
	STEPS("jump by 2^40 clears everything", {10, true}, {11, true}, {10 + (1ull << 40), true},
	      {10, false}, {11 + (1ull << 40) - W, true}, {10 + (1ull << 40) - W, false},
	      {9 + (1ull << 40), true});
	STEPS("far end of the numbers", {UINT64_MAX, true}, {UINT64_MAX, false},
	      {UINT64_MAX - W + 1, true}, {UINT64_MAX - W, false}, {0, false});
}

/* Jumps of every length around word edges leave exactly the right bits. */
Test(replay, jumps_clear_exactly_what_they_pass)
{
	static const uint64_t starts[] = {3, 62, 63, 64, 65, 127, 128, W - 1, W, W + 1, W + 63};

	for (size_t s = 0; s < sizeof(starts) / sizeof(starts[0]); s++) {
		for (uint64_t jump = 1; jump <= 200; jump++) {
			struct replay replay;
			uint64_t base = starts[s] + W;

			replay_start(&replay);
			for (uint64_t c = base - W + 1; c <= base; c++)
				cr_assert(take(&replay, c));
			cr_assert(take(&replay, base + jump));
			for (uint64_t c = base + 1; c < base + jump; c++)
				cr_assert(take(&replay, c), "start %llu jump %llu counter %llu",
					  (unsigned long long)base, (unsigned long long)jump,
					  (unsigned long long)c);
			for (uint64_t c = base + jump - W; c <= base; c++)
				cr_assert(!take(&replay, c));
		}
	}
}

/* Nothing of a full window is left behind a jump over all of it (trap 46). */
Test(replay, jumps_over_the_whole_window_clear_it)
{
	static const uint64_t jumps[] = {W - 1, W, W + 1, 2 * W + 7, 1ull << 40};

	for (size_t j = 0; j < sizeof(jumps) / sizeof(jumps[0]); j++) {
		struct replay replay;
		uint64_t base = 2 * W + 5, end = base + jumps[j], first = end - W + 1;

		replay_start(&replay);
		for (uint64_t c = base - W + 1; c <= base; c++)
			cr_assert(take(&replay, c));
		cr_assert(take(&replay, end));
		cr_assert(!take(&replay, first - 1), "behind the window");
		for (uint64_t c = first; c < end; c++)
			cr_assert_eq(take(&replay, c), c > base, "jump %llu counter %llu",
				     (unsigned long long)jumps[j], (unsigned long long)c);
	}
}

/* Of equal ones the first authentic counts, and those behind it are repeated. */
Test(replay, equal_counters_of_one_run)
{
	static const uint64_t counters[] = {5, 5, 4, 6, 5, 4, 2, 6, 7};
	static const bool expected[] = {true, false, true, true, false, false, false, false, true};
	uint64_t highest = 0;
	struct replay replay;
	bool fresh[9];

	replay_start(&replay);
	cr_expect_eq(replay_check(&replay, counters, 9, fresh), 8, "2 is the handshake's");
	cr_expect_eq(replay_check(&replay, counters, 9, fresh), 8, "check changes nothing");
	for (uint32_t i = 0; i < 9; i++) {
		cr_expect_eq(fresh[i] && replay_repeated(counters, fresh, i, &highest),
			     i != 6 && !expected[i]);
		fresh[i] = expected[i];
	}
	fresh[1] = true; /* whoever asks for both gets one */
	cr_expect_eq(replay_commit(&replay, counters, 9, fresh), 4);
	cr_expect_arr_eq(fresh, expected, sizeof(expected));
	cr_expect_eq(replay_check(&replay, counters, 9, fresh), 0);
}

/* Forged ones first, one of them far ahead: the right one of the same counter is no repetition. */
Test(replay, a_forged_counter_is_not_repeated)
{
	static const uint64_t counters[] = {1ull << 60, 9, 9, 9, 10};
	bool fresh[] = {false, false, true, true, true};
	uint64_t highest = 0;

	for (uint32_t i = 0; i < 5; i++)
		cr_expect_eq(replay_repeated(counters, fresh, i, &highest), i == 3, "%u", i);
}

/* Trap 47: what was not authenticated leaves no trace. */
Test(replay, unauthenticated_counters_change_nothing)
{
	static const uint64_t counters[] = {1ull << 60, 8, 1ull << 61};
	bool fresh[3];
	struct replay replay;

	replay_start(&replay);
	cr_assert_eq(replay_check(&replay, counters, 3, fresh), 3);
	fresh[0] = fresh[2] = false; /* their tags were wrong */
	cr_expect_eq(replay_commit(&replay, counters, 3, fresh), 1);
	cr_expect(take(&replay, 3));
	cr_expect(!take(&replay, 8));
	cr_expect(take(&replay, 9));
}

/* A run that spans more than the window: the early ones are too old once the late one is in. */
Test(replay, commit_judges_in_order)
{
	static const uint64_t counters[] = {W + 10, 10, 11};
	bool fresh[3];
	struct replay replay;

	replay_start(&replay);
	cr_assert_eq(replay_check(&replay, counters, 3, fresh), 3);
	cr_expect_eq(replay_commit(&replay, counters, 3, fresh), 2);
	cr_expect(fresh[0]);
	cr_expect(!fresh[1]);
	cr_expect(fresh[2]);
}

/* The model: a sorted-by-nothing ring of all accepted counters of the last window, searched in
 * full. */
struct model {
	uint64_t highest;
	uint64_t accepted[2 * W];
	size_t n;
};

static bool model_take(struct model *model, uint64_t counter)
{
	if (counter < 3)
		return false;
	if (counter <= model->highest && model->highest - counter >= W)
		return false;
	for (size_t i = 0; i < model->n; i++)
		if (model->accepted[i] == counter)
			return false;
	if (counter > model->highest)
		model->highest = counter;
	if (model->n == 2 * W) { /* forget what is out of the window */
		size_t kept = 0;

		for (size_t i = 0; i < model->n; i++)
			if (model->highest - model->accepted[i] < W)
				model->accepted[kept++] = model->accepted[i];
		model->n = kept;
	}
	model->accepted[model->n++] = counter;
	return true;
}

static uint64_t next_counter(uint64_t highest)
{
	switch (random_below(16)) {
	case 0:
		return highest + 1 + random_below(2 * W);
	case 1:
		return highest + 1 + random_below(200);
	case 2:
		return highest - random_below(highest < 2 * W ? highest + 1 : 2 * W);
	case 3:
		return highest < W + 2 ? 3 : highest - W - 1 + random_below(4);
	case 4:
	case 5:
	case 6:
		return highest - random_below(highest < 64 ? highest + 1 : 64);
	default:
		return highest + 1;
	}
}

Test(replay, random_sequences_match_the_model)
{
	static struct model model;
	static struct replay replay;
	uint64_t seed = random_start();

	for (unsigned round = 0; round < 4; round++) {
		memset(&model, 0, sizeof(model));
		model.highest = 2;
		replay_start(&replay);
		for (unsigned i = 0; i < 20000; i++) {
			uint64_t counter = next_counter(model.highest);

			cr_assert_eq(take(&replay, counter), model_take(&model, counter),
				     "M57_SEED=%#llx round %u step %u counter %llu",
				     (unsigned long long)seed, round, i,
				     (unsigned long long)counter);
		}
	}
}

/* Trap 45, in the worst order: both readers have looked before either has marked. */
Test(replay, who_marks_first_has_the_packet)
{
	static const uint64_t counters[] = {3, 4, 70, 71, 5, 2 * W, 2 * W + 1};
	enum { N = sizeof(counters) / sizeof(counters[0]) };
	struct replay replay;
	bool first[N], second[N];

	replay_start(&replay);
	cr_assert_eq(replay_check(&replay, counters, N, first), N);
	cr_assert_eq(replay_check(&replay, counters, N, second), N);
	cr_assert_eq(replay_commit(&replay, counters, N, first), N);
	cr_assert_eq(replay_commit(&replay, counters, N, second), 0);
	for (size_t i = 0; i < N; i++)
		cr_assert(first[i] && !second[i]);
}

/* Trap 45: the same packets on two queues are taken once each, whatever the interleaving. */
#define SHARED_PACKETS 200000
#define SHARED_RUN     32

struct reader {
	struct replay *replay;
	_Atomic uint8_t *deliveries; /* by counter */
};

static pthread_barrier_t begin; /* else the first is done before the second has begun */

static void *read_all(void *argument)
{
	struct reader *self = argument;
	uint64_t counters[SHARED_RUN];
	bool fresh[SHARED_RUN];

	pthread_barrier_wait(&begin);
	for (uint64_t at = COUNTER_FIRST; at < SHARED_PACKETS; at += SHARED_RUN) {
		for (uint32_t i = 0; i < SHARED_RUN; i++)
			counters[i] = at + i;
		if (replay_check(self->replay, counters, SHARED_RUN, fresh) == 0)
			continue;
		replay_commit(self->replay, counters, SHARED_RUN, fresh);
		for (uint32_t i = 0; i < SHARED_RUN; i++)
			if (fresh[i])
				atomic_fetch_add(&self->deliveries[counters[i]], 1);
	}
	return NULL;
}

Test(replay, two_threads_deliver_each_packet_once)
{
	static _Atomic uint8_t deliveries[SHARED_PACKETS + SHARED_RUN];
	static struct replay replay;
	struct reader reader = {&replay, deliveries};
	pthread_t threads[2];

	replay_start(&replay);
	cr_assert_eq(pthread_barrier_init(&begin, NULL, 2), 0);
	for (unsigned t = 0; t < 2; t++)
		cr_assert_eq(pthread_create(&threads[t], NULL, read_all, &reader), 0);
	for (unsigned t = 0; t < 2; t++)
		pthread_join(threads[t], NULL);
	for (unsigned i = COUNTER_FIRST; i < SHARED_PACKETS; i++)
		cr_assert_eq(deliveries[i], 1, "counter %u delivered %u times", i, deliveries[i]);
}

/* An idle tunnel needs no more than a word; what was marked there counts on in the whole window. */
Test(replay, whole_window_is_untouched_until_a_counter_needs_it)
{
	static uint64_t full[REPLAY_WORDS], zero[REPLAY_WORDS];
	struct replay replay;

	replay_init(&replay, full);
	for (uint64_t counter = COUNTER_FIRST; counter < 64; counter += 2)
		cr_assert(take(&replay, counter));
	cr_expect_arr_eq(full, zero, sizeof(full));
	replay_clear(&replay);
	cr_expect(!take(&replay, 5), "cleared is the window, and it was not needed");

	cr_assert(take(&replay, 64));
	cr_expect_neq(full[0], 0);
	for (uint64_t counter = COUNTER_FIRST; counter < 64; counter++)
		cr_expect_eq(take(&replay, counter), counter % 2 == 0, "%lu", counter);
	cr_assert(take(&replay, 63 + REPLAY_WINDOW));
	cr_expect(!take(&replay, 63), "too old");
	cr_expect(take(&replay, 65));
	replay_clear(&replay);
	cr_expect_arr_eq(full, zero, sizeof(full));
}
