/*
 * unit/dataplane/upper_halves.h - are the upper halves of the vector registers clear? Code for AVX
 * has to leave them so: on Intel's CPUs each first SSE instruction after it costs some 90 ns
 * otherwise, and the programs are made of SSE instructions everywhere else. The compiler clears
 * them by itself, but not after each kind of call.
 */
#ifndef M57_TEST_UPPER_HALVES_H
#define M57_TEST_UPPER_HALVES_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __x86_64__
#include <cpuid.h>

#define XCR_IN_USE     1                 /* XGETBV: which parts of the state are not as at reset */
#define STATE_UPPER    (1 << 2 | 1 << 6) /* of registers 0 to 15: bits 128 to 255, 256 to 511 */
#define BIT_XGETBV_ONE (1 << 2)          /* CPUID 13.1: EAX */

static inline bool upper_halves_in_use(void)
{
	uint32_t low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(XCR_IN_USE));
	return low & STATE_UPPER;
}

/* Both as assembler: in a function for AVX the compiler would add clearing of its own. */
static inline void upper_halves_dirty(void)
{
	__asm__ volatile("vpcmpeqb %%xmm0, %%xmm0, %%xmm0\n\t"
			 "vinsertf128 $1, %%xmm0, %%ymm0, %%ymm0"
			 :
			 :
			 : "xmm0");
}

static inline void upper_halves_clear(void)
{
	__asm__ volatile("vzeroupper");
}

/* Whether this CPU tells, seen by trying it. */
static inline bool upper_halves_told(void)
{
	uint32_t eax, ebx, ecx, edx;
	bool dirty;

	if (!__builtin_cpu_supports("avx") || !__get_cpuid_count(13, 1, &eax, &ebx, &ecx, &edx) ||
	    !(eax & BIT_XGETBV_ONE))
		return false;
	upper_halves_dirty();
	dirty = upper_halves_in_use();
	upper_halves_clear();
	return dirty && !upper_halves_in_use();
}
#else
static inline bool upper_halves_told(void)
{
	return false;
}

static inline bool upper_halves_in_use(void)
{
	return false;
}

static inline void upper_halves_clear(void)
{
}
#endif

#endif
