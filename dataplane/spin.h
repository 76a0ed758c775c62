/*
 * spin.h - the lock for sections of some ten instructions that two workers rarely enter at once.
 *
 * Never held across AEAD work, a system call or another lock. A holder that the scheduler takes
 * off its core makes the others spin for that long; the sections are too short for it to matter.
 */
#ifndef M57_SPIN_H
#define M57_SPIN_H

#include <stdatomic.h>
#include <stdint.h>

/* Tells the CPU that this is a loop that waits. */
static inline void spin_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* Acquires; *lock is 0 at first. */
static inline void spin_lock(_Atomic uint32_t *lock)
{
	while (atomic_exchange_explicit(lock, 1, memory_order_acquire) != 0)
		while (atomic_load_explicit(lock, memory_order_relaxed) != 0)
			spin_pause();
}

/* Releases; the holder alone. */
static inline void spin_unlock(_Atomic uint32_t *lock)
{
	atomic_store_explicit(lock, 0, memory_order_release);
}

#endif
