/* fuzz.h - what the fuzz targets share: LLVMFuzzerTestOneInput() and a check that always counts. */
#ifndef M57_FUZZ_H
#define M57_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void fuzz_check(bool holds)
{
	if (!holds)
		abort();
}

/* A copy in a block of its size, so that the address sanitizer sees a byte read beyond it. */
static inline void *fuzz_exact(const uint8_t *data, size_t size)
{
	uint8_t *exact = malloc(size ? size : 1);

	fuzz_check(exact);
	memcpy(exact, data, size);
	return exact;
}

#endif
