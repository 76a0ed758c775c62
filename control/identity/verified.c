/* verified.c - see verified.h. */
#include "identity/verified.h"

#include <string.h>

_Static_assert((VERIFIED_MAX & (VERIFIED_MAX - 1)) == 0 && VERIFIED_MAX <= 65536,
	       "a place is two bytes of a fingerprint, masked");

static size_t place_of(const struct cert *cert)
{
	return (size_t)(cert->fingerprint[0] << 8 | cert->fingerprint[1]) & (VERIFIED_MAX - 1);
}

bool verified_has(const struct verified *verified, const struct cert *cert)
{
	return memcmp(verified->fingerprints[place_of(cert)], cert->fingerprint,
		      CERT_FINGERPRINT_SIZE) == 0;
}

void verified_add(struct verified *verified, const struct cert *cert)
{
	memcpy(verified->fingerprints[place_of(cert)], cert->fingerprint, CERT_FINGERPRINT_SIZE);
}

void verified_clear(struct verified *verified)
{
	memset(verified, 0, sizeof(*verified));
}
