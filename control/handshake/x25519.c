/* x25519.c - see x25519.h. */
#include "handshake/x25519.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

_Static_assert(crypto_scalarmult_curve25519_BYTES == X25519_BYTES, "the curve is Curve25519");

static const uint8_t base_point[X25519_BYTES] = {9};

static int one_by_one(const struct x25519_job *jobs, unsigned count)
{
	int result = 0;

	for (unsigned i = 0; i < count; i++) {
		if (jobs[i].point)
			result |= crypto_scalarmult_curve25519(jobs[i].out, jobs[i].scalar,
							       jobs[i].point);
		else
			result |= crypto_scalarmult_curve25519_base(jobs[i].out, jobs[i].scalar);
	}
	return result == 0 ? 0 : -EINVAL;
}

static int side_by_side(const struct x25519_job *jobs, unsigned count)
{
	uint8_t out[X25519_LANES][X25519_BYTES], scalars[X25519_LANES][X25519_BYTES];
	uint8_t points[X25519_LANES][X25519_BYTES];
	int zero = 0;

	memset(scalars, 0, sizeof(scalars)); /* lanes without a job compute something, too */
	for (unsigned i = 0; i < X25519_LANES; i++) {
		if (i < count)
			memcpy(scalars[i], jobs[i].scalar, X25519_BYTES);
		memcpy(points[i], i < count && jobs[i].point ? jobs[i].point : base_point,
		       X25519_BYTES);
	}
	x25519_ifma(out, scalars, points);
	for (unsigned i = 0; i < count; i++) {
		memcpy(jobs[i].out, out[i], X25519_BYTES);
		zero |= sodium_is_zero(out[i], X25519_BYTES);
	}
	sodium_memzero(scalars, sizeof(scalars));
	sodium_memzero(out, sizeof(out));
	return zero ? -EINVAL : 0;
}

int x25519_all(const struct x25519_job *jobs, unsigned count)
{
	/* A single one is no faster there. */
	if (count > 1 && x25519_ifma_usable())
		return side_by_side(jobs, count);
	return one_by_one(jobs, count);
}
