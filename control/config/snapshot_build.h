/*
 * snapshot_build.h - from a configuration and our certificate to what the workers read.
 */
#ifndef M57_SNAPSHOT_BUILD_H
#define M57_SNAPSHOT_BUILD_H

#include "config/config.h"
#include "identity/cert.h"
#include "snapshot.h"

/*
 * Builds the snapshot of a configuration without errors and the certificate that defines our
 * addresses (pki_own_cert()). rules_version goes up by one with each change of the rules. One
 * owner; free it with snapshot_free() after a grace period. NULL when out of memory.
 */
struct snapshot *snapshot_build(const struct config *config, const struct cert *own,
				uint16_t rules_version);

/* Puts another table in the place of the one that snapshot_build() made of tun.unsafe_routes, and
 * takes it over. Only before the snapshot is published. */
void snapshot_set_routes(struct snapshot *snapshot, struct route_table *routes);

/* A copy of a published snapshot, rules and their version included, with other routes, which it
 * takes over. NULL: no memory; routes stay the caller's. */
struct snapshot *snapshot_reroute(const struct snapshot *from, struct route_table *routes);

void snapshot_free(struct snapshot *snapshot); /* NULL is allowed */

#endif
