/* timers.c - see timers.h. A binary heap, root at 1. */
#include "peers/timers.h"

#include <errno.h>
#include <stdlib.h>

#define TIMERS_MIN 64

int timers_init(struct timers *timers)
{
	timers->count = 0;
	timers->capacity = TIMERS_MIN;
	timers->heap = calloc(TIMERS_MIN + 1, sizeof(struct timer *));
	return timers->heap ? 0 : -ENOMEM;
}

void timers_free(struct timers *timers)
{
	free(timers->heap);
}

int timers_reserve(struct timers *timers, size_t armed)
{
	size_t capacity = timers->capacity;
	struct timer **heap;

	if (armed <= capacity)
		return 0;
	while (capacity < armed)
		capacity *= 2;
	heap = realloc(timers->heap, (capacity + 1) * sizeof(struct timer *));
	if (!heap)
		return -ENOMEM;
	timers->heap = heap;
	timers->capacity = capacity;
	return 0;
}

static void put(struct timers *timers, size_t position, struct timer *timer)
{
	timers->heap[position] = timer;
	timer->position = position;
}

/* Moves timer from position up or down to where it belongs. */
static void settle(struct timers *timers, size_t at, struct timer *timer)
{
	while (at > 1 && timers->heap[at / 2]->due_ns > timer->due_ns) {
		put(timers, at, timers->heap[at / 2]);
		at /= 2;
	}
	for (size_t child; (child = at * 2) <= timers->count; at = child) {
		if (child < timers->count &&
		    timers->heap[child + 1]->due_ns < timers->heap[child]->due_ns)
			child++;
		if (timers->heap[child]->due_ns >= timer->due_ns)
			break;
		put(timers, at, timers->heap[child]);
	}
	put(timers, at, timer);
}

static void disarm(struct timers *timers, struct timer *timer)
{
	struct timer *last = timers->heap[timers->count--];

	if (last != timer)
		settle(timers, timer->position, last);
	timer->position = 0;
}

void timer_arm(struct timers *timers, struct timer *timer, uint64_t due_ns)
{
	timer->due_ns = due_ns;
	if (due_ns == TIMER_NEVER) {
		if (timer->position)
			disarm(timers, timer);
		return;
	}
	settle(timers, timer->position ? timer->position : ++timers->count, timer);
}

struct timer *timers_pop(struct timers *timers, uint64_t now_ns)
{
	struct timer *timer = timers->count ? timers->heap[1] : NULL;

	if (!timer || timer->due_ns > now_ns)
		return NULL;
	disarm(timers, timer);
	return timer;
}

uint64_t timers_next(const struct timers *timers)
{
	return timers->count ? timers->heap[1]->due_ns : TIMER_NEVER;
}
