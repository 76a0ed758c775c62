/*
 * x25519.h - X25519 (RFC 7748), several multiplications at once.
 *
 * A handshake needs up to four multiplications whose inputs are all known from the start. A CPU
 * with AVX-512 IFMA does four side by side in hardly more time than one (x25519_ifma.c); elsewhere
 * libsodium does them one after the other. Which of the two is no secret and chosen once.
 *
 * Constant time in both: neither branches nor addresses depend on scalars or points.
 */
#ifndef M57_X25519_H
#define M57_X25519_H

#include <stdbool.h>
#include <stdint.h>

#define X25519_BYTES 32
#define X25519_LANES 4

struct x25519_job {
	const uint8_t *scalar; /* X25519_BYTES each; clamped here */
	const uint8_t *point;  /* NULL: the base point, so that out is the scalar's public key */
	uint8_t *out;          /* may be none of the inputs of any job */
};

/*
 * Carries out count jobs, at most X25519_LANES. 0; -EINVAL when a result is all zero, which says
 * that its point has a low order: then no out may be used.
 */
int x25519_all(const struct x25519_job *jobs, unsigned count);

/* --- between x25519.c, x25519_ifma.c and the tests --- */

/* Can this CPU run x25519_ifma()? */
bool x25519_ifma_usable(void);
/* Lane i: out[i] = scalars[i] * points[i], not looked at for zero. */
void x25519_ifma(uint8_t out[X25519_LANES][X25519_BYTES],
		 uint8_t scalars[X25519_LANES][X25519_BYTES],
		 uint8_t points[X25519_LANES][X25519_BYTES]);

#endif
