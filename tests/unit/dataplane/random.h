/*
 * unit/dataplane/random.h - repeatable random numbers of a test; the seed goes into the log.
 *
 * M57_SEED=N repeats a run.
 */
#ifndef M57_TEST_RANDOM_H
#define M57_TEST_RANDOM_H

#include <criterion/criterion.h>
#include <criterion/logging.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t random_state;

static inline uint64_t random_u64(void)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15u; /* splitmix64 */

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* 0 .. n - 1 */
static inline uint64_t random_below(uint64_t n)
{
	return random_u64() % n;
}

static inline void random_fill(void *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((uint8_t *)to)[i] = (uint8_t)random_u64();
}

/* Seeds from M57_SEED or the clock, and says with what. */
static inline uint64_t random_start(void)
{
	const char *given = getenv("M57_SEED");
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	random_state = given ? strtoull(given, NULL, 0) : (uint64_t)(ts.tv_sec ^ ts.tv_nsec << 20);
	cr_log_info("M57_SEED=%#llx", (unsigned long long)random_state);
	return random_state;
}

#endif
