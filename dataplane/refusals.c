/*
 * refusals.c - see refusals.h.
 *
 * One writer, readers now and then: what changes with every packet are words of their own. While a
 * flow takes an entry over the version is odd; who reads a word of the new flow (acquire) sees that
 * (the word was released after it), and reads again.
 */
#include "refusals.h"

#include <string.h>

enum word { FLOW, SIGN = sizeof(struct flow) / sizeof(uint64_t), TIMES, LAST };
_Static_assert(LAST + 1 == REFUSAL_WORDS, "as struct refusal");

#define READ_ATTEMPTS 100

static uint64_t get(_Atomic uint64_t *word)
{
	return atomic_load_explicit(word, memory_order_acquire);
}

static void set(_Atomic uint64_t *word, uint64_t value)
{
	atomic_store_explicit(word, value, memory_order_release);
}

static bool is_of(_Atomic uint64_t *entry, const uint64_t *key)
{
	for (int i = FLOW; i <= SIGN; i++)
		if (get(&entry[i]) != key[i])
			return false;
	return get(&entry[TIMES]) > 0;
}

static void take_over(struct refusals *r, _Atomic uint64_t *entry, const uint64_t *words)
{
	uint32_t version = atomic_load_explicit(&r->version, memory_order_relaxed);

	atomic_store_explicit(&r->version, version + 1, memory_order_relaxed);
	for (size_t i = 0; i < REFUSAL_WORDS; i++)
		set(&entry[i], words[i]);
	atomic_store_explicit(&r->version, version + 2, memory_order_release);
}

void refusals_note(struct refusals *r, const struct flow *flow, enum direction direction,
		   enum drop reason, uint64_t now_ns)
{
	struct refusal refusal = {*flow, direction, reason, 1, now_ns};
	uint64_t words[REFUSAL_WORDS];
	size_t oldest = 0;

	memcpy(words, &refusal, sizeof(words));
	for (size_t i = 0; i < REFUSALS_MAX; i++) {
		_Atomic uint64_t *entry = r->word[i];

		if (is_of(entry, words)) {
			set(&entry[TIMES], get(&entry[TIMES]) + 1);
			set(&entry[LAST], now_ns);
			return;
		}
		if (get(&entry[LAST]) < get(&r->word[oldest][LAST]))
			oldest = i;
	}
	take_over(r, r->word[oldest], words);
}

uint32_t refusals_read(struct refusals *r, struct refusal out[REFUSALS_MAX])
{
	for (int attempt = 0; attempt < READ_ATTEMPTS; attempt++) {
		uint32_t version = atomic_load_explicit(&r->version, memory_order_acquire);
		uint32_t count = 0;

		for (size_t i = 0; i < REFUSALS_MAX; i++) {
			uint64_t words[REFUSAL_WORDS] = {0};

			for (size_t j = 0; j < REFUSAL_WORDS; j++)
				words[j] = get(&r->word[i][j]);
			if (words[TIMES] > 0)
				memcpy(&out[count++], words, sizeof(words));
		}
		if (version % 2 == 0 &&
		    version == atomic_load_explicit(&r->version, memory_order_relaxed))
			return count;
	}
	return 0;
}
