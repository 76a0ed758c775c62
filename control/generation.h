/*
 * generation.h - one load of the configuration: the typed file, the identity it names, what was
 * found odd, and what subsystems are given of it. Immutable once in use; a reload makes the next
 * one, and everything that points into the old one is pointed to the new before it is freed.
 *
 * Only control's thread ever sees one. What workers read (snapshot, peer bits) is copied out of it
 * and outlives it by a grace period.
 */
#ifndef M57_GENERATION_H
#define M57_GENERATION_H

#include "config/config.h"
#include "identity/pki.h"
#include "peers/node.h"
#include "system/udp_setup.h"

struct generation {
	struct config *config; /* NULL: it has errors, and pki is empty */
	struct pki pki;
	struct findings findings;
	uint16_t rules_version; /* of the snapshot that is built of it; set by who builds it */
};

/*
 * Loads and checks the file or directory at path as a start does (check.h), at unix time now; with
 * running, as one that is to follow it. NULL: no memory. Otherwise look at config; the caller owns
 * it: generation_free().
 */
struct generation *generation_load(const char *path, bool strict, int64_t now,
				   const struct generation *running);
void generation_free(struct generation *generation); /* NULL is allowed */
/* Takes the configuration out of it, for the caller; the identity is freed. */
struct config *generation_take_config(struct generation *generation);

/*
 * What the node is given. options->static_hosts and names.list are malloc'ed, the caller's:
 * generation_release(); the rest is borrowed. udp_v6, udp_port and local_addrs are the caller's to
 * fill. 0 or -ENOMEM.
 */
int generation_node_options(struct generation *generation, struct node_options *options);

/* Frees what generation_node_options() made. */
void generation_release(struct node_options *options);

/* What the UDP sockets are made with; host is borrowed from the generation. */
struct udp_options generation_udp(const struct generation *generation);

#endif
