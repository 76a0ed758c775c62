/*
 * replay.h - the anti-replay window, taken once per run (PROTOCOL.md 4.4).
 *
 * Two steps, each atomic under the window's spin lock, which is never held across AEAD work:
 * replay_check before opening (cheap refusal), replay_commit after authentication (the decision).
 */
#ifndef M57_REPLAY_H
#define M57_REPLAY_H

#include "tunnel.h"

/* A window with 0, 1 and 2 marked. full: REPLAY_WORDS words that are zero, for as long as it lives.
 */
void replay_init(struct replay *replay, uint64_t *full);
/* At the end: full is zero again. Touches it only when it was needed. */
void replay_clear(struct replay *replay);

/*
 * For each of n counters: fresh[i] = it is new to the window. Returns how many are fresh. Changes
 * nothing. Equal ones are all fresh: which of them is authentic is not known yet.
 */
uint32_t replay_check(struct replay *replay, const uint64_t *counters, uint32_t n, bool *fresh);

/*
 * Asked before i of a run is opened, with fresh[k] of each earlier one false by now unless that was
 * authentic: has one of those the same counter? What is forged takes no counter from what is not.
 * highest is 0 before the first question about a run.
 */
bool replay_repeated(const uint64_t *counters, const bool *fresh, uint32_t i, uint64_t *highest);

/*
 * Marks counters[i] where fresh[i] (authenticated by now). One that another worker marked meanwhile
 * gets fresh[i] = false. Returns how many stay fresh.
 */
uint32_t replay_commit(struct replay *replay, const uint64_t *counters, uint32_t n, bool *fresh);

#endif
