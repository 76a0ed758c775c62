/*
 * refusals.h - what one worker refused last, or the kernel refused it, for control to read while it
 * goes on. A table has entries of one kind: one of the structs in refusal.h, of that many bytes.
 */
#ifndef M57_REFUSALS_H
#define M57_REFUSALS_H

#include <stdatomic.h>
#include <stddef.h>

#include "limits.h"
#include "refusal.h"

#define REFUSAL_WORDS (sizeof(struct refusal) / sizeof(uint64_t)) /* the longer kind */

struct refusals {
	_Atomic uint32_t version; /* odd while an entry changes hands */
	_Atomic uint64_t word[REFUSALS_MAX][REFUSAL_WORDS];
};

/* Worker only. The same once more, entry.times of it; a new one takes the place of the one refused
 * longest ago. */
void refusals_note(struct refusals *r, const void *entry, size_t bytes);

/*
 * Any thread. Copies the entries there are, REFUSALS_MAX at most, in no order, and returns how
 * many. Each is whole; none at all where the worker put in new ones all the time.
 */
uint32_t refusals_read(struct refusals *r, void *out, size_t bytes);

#endif
