/* timers.h - a heap of deadlines (monotonic ns), so that a node knows what is due next. */
#ifndef M57_TIMERS_H
#define M57_TIMERS_H

#include <stddef.h>
#include <stdint.h>

#define TIMER_NEVER UINT64_MAX
#define NODE_TIMERS 16 /* armed by the node itself, beside those of tunnels and handshakes */

/* Embedded in what it wakes; position 0 means not armed. Zero it before the first use. */
struct timer {
	uint64_t due_ns;
	size_t position; /* in the heap, from 1 */
	void (*fire)(void *context, struct timer *timer);
};

struct timers {
	struct timer **heap; /* from 1 */
	size_t count, capacity;
};

int timers_init(struct timers *timers); /* 0 or -ENOMEM */
void timers_free(struct timers *timers);

/* Makes room for so many armed timers in all, so that timer_arm() cannot fail. 0 or -ENOMEM. */
int timers_reserve(struct timers *timers, size_t armed);

/* Arms, moves, or with TIMER_NEVER disarms. */
void timer_arm(struct timers *timers, struct timer *timer, uint64_t due_ns);

/* Disarms and returns the earliest timer that is due, or NULL. */
struct timer *timers_pop(struct timers *timers, uint64_t now_ns);

/* TIMER_NEVER when none is armed. */
uint64_t timers_next(const struct timers *timers);

#endif
