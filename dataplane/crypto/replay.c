/*
 * replay.c - the anti-replay window (PROTOCOL.md 4.4).
 *
 * Bit `counter % REPLAY_WINDOW` of the map belongs to the one counter of that residue in
 * (current - REPLAY_WINDOW, current]. Moving current up by d therefore hands d residues over to new
 * counters: their bits are cleared, whole words at a time, and all of them when d covers the
 * window.
 */
#include "crypto/replay.h"
#include "spin.h"

#define WINDOW_BYTES (REPLAY_WORDS * sizeof(uint64_t))

_Static_assert((REPLAY_WINDOW & (REPLAY_WINDOW - 1)) == 0 && REPLAY_WORDS >= 2,
	       "positions are masked, and a cleared range may wrap at a word's edge");
_Static_assert(COUNTER_FIRST == 3, "replay_init marks the counters of the handshake");

static uint32_t position(uint64_t counter)
{
	return (uint32_t)(counter & (REPLAY_WINDOW - 1));
}

/* The window's fields in registers: bits[] may be anything, for all that the compiler knows. */
struct view {
	uint64_t *bits;
	uint64_t current;
};

static void mark(uint64_t *bits, uint64_t counter)
{
	uint32_t at = position(counter);

	bits[at / 64] |= (uint64_t)1 << (at % 64);
}

/* Under the lock. */
static bool is_fresh(struct view view, uint64_t counter)
{
	uint32_t at = position(counter);

	if (counter > view.current)
		return true;
	return view.current - counter < REPLAY_WINDOW && !(view.bits[at / 64] >> (at % 64) & 1);
}

/*
 * As long as all counters are below 64, their marks are the whole window's first word, and its
 * other words are zero. Before one goes further: the whole window. Under the lock.
 */
static void unfold(struct replay *replay, const uint64_t *counters, uint32_t n, const bool *fresh)
{
	for (uint32_t i = 0; i < n; i++) {
		if (!fresh[i] || counters[i] < 64)
			continue;
		replay->full[0] = replay->first;
		replay->bits = replay->full;
		return;
	}
}

/* Clears the bits of (current, counter]; under the lock, counter > current. */
static void advance(struct view *view, uint64_t counter)
{
	uint64_t distance = counter - view->current;
	uint32_t at = position(view->current + 1);

	view->current = counter;
	if (distance >= REPLAY_WINDOW) {
		memset(view->bits, 0, WINDOW_BYTES);
		return;
	}
	while (distance > 0) {
		uint32_t shift = at % 64;
		uint64_t n = 64 - shift < distance ? 64 - shift : distance;
		uint64_t mask = n == 64 ? UINT64_MAX : (((uint64_t)1 << n) - 1) << shift;

		view->bits[at / 64] &= ~mask;
		at = (at + (uint32_t)n) & (REPLAY_WINDOW - 1);
		distance -= n;
	}
}

void replay_init(struct replay *replay, uint64_t *full)
{
	memset(replay, 0, sizeof(*replay));
	replay->bits = &replay->first;
	replay->full = full;
	for (uint64_t counter = 0; counter < COUNTER_FIRST; counter++)
		mark(replay->bits, counter);
	replay->current = COUNTER_FIRST - 1;
}

void replay_clear(struct replay *replay)
{
	if (replay->bits == replay->full)
		memset(replay->full, 0, WINDOW_BYTES);
}

uint32_t replay_check(struct replay *replay, const uint64_t *counters, uint32_t n, bool *fresh)
{
	uint32_t count = 0;
	struct view view;

	spin_lock(&replay->lock);
	view = (struct view){replay->bits, replay->current};
	for (uint32_t i = 0; i < n; i++)
		count += fresh[i] = is_fresh(view, counters[i]);
	spin_unlock(&replay->lock);
	return count;
}

/* A run comes in order, so this hardly ever looks. */
bool replay_repeated(const uint64_t *counters, const bool *fresh, uint32_t i, uint64_t *highest)
{
	if (counters[i] > *highest) {
		*highest = counters[i];
		return false;
	}
	for (uint32_t k = 0; k < i; k++)
		if (fresh[k] && counters[k] == counters[i])
			return true;
	return false;
}

uint32_t replay_commit(struct replay *replay, const uint64_t *counters, uint32_t n, bool *fresh)
{
	uint32_t count = 0;
	struct view view;

	spin_lock(&replay->lock);
	if (replay->bits == &replay->first)
		unfold(replay, counters, n, fresh);
	view = (struct view){replay->bits, replay->current};
	for (uint32_t i = 0; i < n; i++) {
		if (!fresh[i])
			continue;
		fresh[i] = is_fresh(view, counters[i]);
		if (!fresh[i])
			continue;
		if (counters[i] > view.current)
			advance(&view, counters[i]);
		mark(view.bits, counters[i]);
		count++;
	}
	replay->current = view.current;
	spin_unlock(&replay->lock);
	return count;
}
