/*
 * refusals.c - see refusals.h.
 *
 * One writer, readers now and then: what changes with every packet are words of their own. While a
 * new one takes an entry over the version is odd; who reads a word of it (acquire) sees that (the
 * word was released after it), and reads again.
 */
#include "refusals.h"

#include <string.h>

enum word { TIMES, LAST, SIGN }; /* SIGN and all behind it tell entries apart */
_Static_assert(offsetof(struct refusal, flow) == SIGN * sizeof(uint64_t), "as enum word");
_Static_assert(offsetof(struct refused_send, to) == SIGN * sizeof(uint64_t), "as enum word");
_Static_assert(sizeof(struct refused_send) <= sizeof(struct refusal), "either fits");

#define READ_ATTEMPTS 100

static uint64_t get(_Atomic uint64_t *word)
{
	return atomic_load_explicit(word, memory_order_acquire);
}

static void set(_Atomic uint64_t *word, uint64_t value)
{
	atomic_store_explicit(word, value, memory_order_release);
}

static uint64_t word_of(const void *entry, size_t i)
{
	uint64_t word;

	memcpy(&word, (const uint8_t *)entry + i * sizeof(word), sizeof(word));
	return word;
}

static bool is_of(_Atomic uint64_t *place, const void *entry, size_t bytes)
{
	for (size_t i = SIGN; i < bytes / sizeof(uint64_t); i++)
		if (get(&place[i]) != word_of(entry, i))
			return false;
	return get(&place[TIMES]) > 0;
}

static void take_over(struct refusals *r, _Atomic uint64_t *place, const void *entry, size_t bytes)
{
	uint32_t version = atomic_load_explicit(&r->version, memory_order_relaxed);

	atomic_store_explicit(&r->version, version + 1, memory_order_relaxed);
	for (size_t i = 0; i < bytes / sizeof(uint64_t); i++)
		set(&place[i], word_of(entry, i));
	atomic_store_explicit(&r->version, version + 2, memory_order_release);
}

void refusals_note(struct refusals *r, const void *entry, size_t bytes)
{
	size_t oldest = 0;

	for (size_t i = 0; i < REFUSALS_MAX; i++) {
		_Atomic uint64_t *place = r->word[i];

		if (is_of(place, entry, bytes)) {
			set(&place[TIMES], get(&place[TIMES]) + word_of(entry, TIMES));
			set(&place[LAST], word_of(entry, LAST));
			return;
		}
		if (get(&place[LAST]) < get(&r->word[oldest][LAST]))
			oldest = i;
	}
	take_over(r, r->word[oldest], entry, bytes);
}

static void copy_out(_Atomic uint64_t *place, void *out, size_t bytes)
{
	for (size_t i = 0; i < bytes / sizeof(uint64_t); i++) {
		uint64_t word = get(&place[i]);

		memcpy((uint8_t *)out + i * sizeof(word), &word, sizeof(word));
	}
}

uint32_t refusals_read(struct refusals *r, void *out, size_t bytes)
{
	for (int attempt = 0; attempt < READ_ATTEMPTS; attempt++) {
		uint32_t version = atomic_load_explicit(&r->version, memory_order_acquire);
		uint32_t count = 0;

		for (size_t i = 0; i < REFUSALS_MAX; i++)
			if (get(&r->word[i][TIMES]) > 0)
				copy_out(r->word[i], (uint8_t *)out + count++ * bytes, bytes);
		if (version % 2 == 0 &&
		    version == atomic_load_explicit(&r->version, memory_order_relaxed))
			return count;
	}
	return 0;
}
