/* remotes.h - the underlay addresses at which a host may be, and which of them to leave out. */
#ifndef M57_REMOTES_H
#define M57_REMOTES_H

#include "addr.h"
#include "limits.h"

#define REMOTES_MAX                                                                                \
	(STATIC_REMOTES_MAX + 8) /* configured, learned, and foreign ones to leave out */

struct remotes {
	uint32_t count;
	uint32_t learned; /* 1 + place of the one learned from a tunnel; 0: none */
	struct {
		struct endpoint to;
		bool blocked; /* another host answered there (PROTOCOL.md 2.8) */
	} list[REMOTES_MAX];
};

/* Adds to unless it is there. False: the list is full. */
static inline bool remotes_add(struct remotes *remotes, const struct endpoint *to, bool blocked)
{
	for (uint32_t i = 0; i < remotes->count; i++) {
		if (endpoint_equal(&remotes->list[i].to, to)) {
			remotes->list[i].blocked |= blocked;
			return true;
		}
	}
	if (remotes->count == REMOTES_MAX)
		return false;
	remotes->list[remotes->count].to = *to;
	remotes->list[remotes->count++].blocked = blocked;
	return true;
}

/* Adds to as the learned address, in the place of the one learned before. */
static inline void remotes_learn(struct remotes *remotes, const struct endpoint *to)
{
	for (uint32_t i = 0; i < remotes->count; i++)
		if (endpoint_equal(&remotes->list[i].to, to))
			return;
	if (remotes->learned == 0 && remotes->count < REMOTES_MAX)
		remotes->learned = ++remotes->count;
	if (remotes->learned == 0)
		return;
	remotes->list[remotes->learned - 1].to = *to;
	remotes->list[remotes->learned - 1].blocked = false;
}

static inline void remotes_unblock(struct remotes *remotes)
{
	for (uint32_t i = 0; i < remotes->count; i++)
		remotes->list[i].blocked = false;
}

static inline uint32_t remotes_usable(const struct remotes *remotes)
{
	uint32_t usable = 0;

	for (uint32_t i = 0; remotes && i < remotes->count; i++)
		usable += !remotes->list[i].blocked;
	return usable;
}

#endif
