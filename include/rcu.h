/*
 * rcu.h - the only place that touches liburcu's QSBR flavour.
 *
 * Control publishes, workers read. A worker is a registered reader: online while it works, offline
 * around the system call of each turn, so no grace period waits longer than for a turn. Control and
 * the reaper wait for grace periods. The wrappers also tell ThreadSanitizer what liburcu's assembly
 * hides from it.
 */
#ifndef M57_RCU_H
#define M57_RCU_H

#include <urcu/urcu-qsbr.h>
#include <urcu/rculfhash.h>
#include <urcu/compiler.h>

#if defined(__SANITIZE_THREAD__)
void __tsan_acquire(void *);
void __tsan_release(void *);
#define RCU_TSAN_ACQUIRE(p) __tsan_acquire((void *)(p))
#define RCU_TSAN_RELEASE(p) __tsan_release((void *)(p))
#else
#define RCU_TSAN_ACQUIRE(p) ((void)(p))
#define RCU_TSAN_RELEASE(p) ((void)(p))
#endif

/* Makes *slot point to value, whose contents are complete. */
#define RCU_PUBLISH(slot, value)                                                                   \
	do {                                                                                       \
		RCU_TSAN_RELEASE(&(slot));                                                         \
		__atomic_store_n(&(slot), (value), __ATOMIC_RELEASE);                              \
	} while (0)

/* The pointer in slot; valid until this thread's next quiescent state. */
#define RCU_READ(slot)                                                                             \
	({                                                                                         \
		__typeof__(slot) rcu_value_ = __atomic_load_n(&(slot), __ATOMIC_ACQUIRE);          \
		RCU_TSAN_ACQUIRE(&(slot));                                                         \
		rcu_value_;                                                                        \
	})

extern char rcu_grace_token; /* TSan: quiescent states happen before the end of a grace period */

/* What was read before is let go of; until rcu_worker_online() nothing may be read. */
static inline void rcu_worker_offline(void)
{
	RCU_TSAN_RELEASE(&rcu_grace_token);
	urcu_qsbr_thread_offline();
}

/* What is published from now on may be read again. */
static inline void rcu_worker_online(void)
{
	urcu_qsbr_thread_online();
}

/* Waits until every worker has passed a quiescent state. Never called by a worker. */
static inline void rcu_wait_for_readers(void)
{
	urcu_qsbr_synchronize_rcu();
	RCU_TSAN_ACQUIRE(&rcu_grace_token);
}

#endif
