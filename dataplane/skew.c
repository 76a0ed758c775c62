/* skew.c - see skew.h. */
#include "skew.h"

#include "worker.h"

static bool labelled(const struct tunnel *tunnel)
{
	return atomic_load_explicit(&tunnel->labelled, memory_order_relaxed);
}

/* No counter of one worker is too old for the other's: each has its own window at the peer. */
static bool apart(const struct worker *w, const struct tunnel *tunnel)
{
	return w->sparse && labelled(tunnel);
}

/* Rarely asked: the line is written by who receives. */
static uint64_t distance_max(const struct tunnel *tunnel)
{
	return labelled(tunnel) ? SKEW_WIDE_MAX : SKEW_PACKETS_MAX;
}

bool skew_permits(const struct worker *w, const struct tunnel *tunnel)
{
	if (!tunnel->unsent || apart(w, tunnel))
		return true;
	uint64_t next = atomic_load_explicit(&tunnel->counter, memory_order_acquire) + 1;

	for (uint32_t i = 0; i < w->queues; i++) {
		uint64_t mark = atomic_load_explicit(&tunnel->unsent[i], memory_order_acquire);
		if (mark && i != w->queue && next > mark && next - mark > SKEW_PACKETS_MAX &&
		    next - mark > distance_max(tunnel))
			return false;
	}
	return true;
}

void skew_show(struct worker *w, struct tunnel *tunnel)
{
	struct skew *skew = &w->skew;

	if (!tunnel->unsent || apart(w, tunnel))
		return;
	_Atomic uint64_t *mark = &tunnel->unsent[w->queue];
	if (atomic_load_explicit(mark, memory_order_relaxed) || skew->count == SKEW_MARKS_MAX)
		return;
	atomic_store_explicit(mark,
			      atomic_load_explicit(&tunnel->counter, memory_order_relaxed) + 1,
			      memory_order_relaxed);
	skew->shown[skew->count++] = mark;
}

void skew_settle(struct worker *w)
{
	struct skew *skew = &w->skew;

	if (skew->count == 0 || io_sending(w->io))
		return;
	while (skew->count > 0)
		atomic_store_explicit(skew->shown[--skew->count], 0, memory_order_release);
}
