/*
 * refused.h - the peers whose handshakes were refused last and told in the log: one that tries
 * again and again is told once in a while. Private to control/peers.
 */
#ifndef M57_REFUSED_H
#define M57_REFUSED_H

#include <stdbool.h>
#include <stdint.h>

#include "limits.h"

/* All zero is empty. Each has one place, by its name, and takes it over. */
struct refused {
	struct {
		uint64_t name; /* a hash of who, from where and why */
		uint64_t told_ns;
	} list[REFUSED_TOLD];
};

static inline bool refused_was_told(const struct refused *refused, uint64_t name, uint64_t now_ns)
{
	uint32_t at = name % REFUSED_TOLD;

	return refused->list[at].told_ns && refused->list[at].name == name &&
	       now_ns < refused->list[at].told_ns + REFUSED_QUIET_NS;
}

static inline void refused_note(struct refused *refused, uint64_t name, uint64_t now_ns)
{
	uint32_t at = name % REFUSED_TOLD;

	refused->list[at].name = name;
	refused->list[at].told_ns = now_ns ? now_ns : 1;
}

#endif
