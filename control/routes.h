/*
 * routes.h - all routes that the node has to do with: those of the configuration, of which some are
 * installed into the kernel's table, those that are learned from there
 * (tun.use_system_route_table), and the workers' table made of both (PROTOCOL.md 4.2, 9.4).
 *
 * Everything here belongs to the control thread.
 *
 * A reload calls, when the new configuration has been checked and nothing can be refused any more:
 *
 *	change = routes_reconfigure(routes, old_config, old_own, config, own);
 *		NULL: no memory, and nothing has happened. What the kernel must be told, and the
 *		workers' new table, are ready.
 *	snapshot = snapshot_build(config, own, version);
 *	snapshot_set_routes(snapshot, routes_change_table(change));
 *		The table is the snapshot's now.
 *	dataplane_publish(dataplane, snapshot);
 *		Workers know the new routes before the kernel sends packets for them.
 *	routes_apply(routes, change, error);
 *		Tells the kernel: MTU of the device, routes. Blocks for some ten microseconds a
 *		step. What it refuses is one line in error, a warning: the rest is done all the
 *		same, and the next change tells it everything again.
 *	routes_change_free(change);
 *		To give up at any point before: this alone.
 */
#ifndef M57_ROUTES_H
#define M57_ROUTES_H

#include <net/if.h>

#include "config/config.h"
#include "identity/cert.h"
#include "limits.h"
#include "route.h"
#include "system/link_watch.h"

struct routes;

/* What a reload changes. */
struct routes_change;

/*
 * For the device of that name and index; index 0: there is none (tun.disabled), and the kernel is
 * told nothing. offloads: super-packets come. NULL: no memory.
 */
struct routes *routes_create(const char *name, unsigned index, bool offloads);
void routes_destroy(struct routes *routes); /* NULL is allowed */

/*
 * Start: addresses, MTU, limits and routes of the device, which is watched from then on; with
 * tun.use_system_route_table the kernel's table is followed, too. config is borrowed until the next
 * routes_apply(). 0, or -errno with one line in error.
 */
int routes_install(struct routes *routes, const struct config *config, const struct cert *own,
		   char error[ERROR_LINE_MAX]);

/* The workers' table: tun.unsafe_routes of config, and what is learned, which counts before it. The
 * caller owns it. NULL: no memory. */
struct route_table *routes_table(const struct routes *routes, const struct config *config);

/* --- the device, watched: for the control loop ---------------------------------------------------
 */

/* To be polled for reading; -1: there is none. */
int routes_link_fd(const struct routes *routes);
/*
 * The descriptor is readable. When the device has come up again, somebody had set it down, and the
 * kernel has dropped its routes: MTU, addresses and routes are set anew, by the configuration in
 * force, and the log says what came of it. What is removed by hand while the device is up stays
 * removed.
 */
void routes_link_turn(struct routes *routes, const struct cert *own);
/* What somebody has done to the device, as the kernel has told. */
enum link_state routes_device(const struct routes *routes);
/*
 * Asks the kernel where it sends packets of this host to that address. 0 with other empty: by our
 * device, or there is none. 0 with the name of another device, or -errno as a program would hear.
 */
int routes_elsewhere(const struct routes *routes, const struct addr *to, char other[IFNAMSIZ]);

/* --- the kernel's table, followed: for the control loop ----------------------------------------
 */

/* To be polled for reading; -1: nothing is followed. */
int routes_fd(const struct routes *routes);
void routes_turn(struct routes *routes, uint64_t now_ns); /* the descriptor is readable */
uint64_t routes_next_deadline(const struct routes *routes);
/*
 * Does what time asks for. A new table when what is learned has changed and it is time to publish
 * it, else NULL; the caller owns it.
 */
struct route_table *routes_due(struct routes *routes, uint64_t now_ns);

/* For m57ctl: is the kernel's table followed, and what has come of it? */
struct routes_learned {
	bool followed;
	uint32_t count;    /* routes */
	uint32_t left_out; /* for want of room: ROUTES_MAX */
	uint64_t overruns, dumps, tables;
};
void routes_learned(const struct routes *routes, struct routes_learned *out);
/* Is to among the learned routes? */
bool routes_knows(const struct routes *routes, const struct prefix *to);

/* --- reload ------------------------------------------------------------------------------------
 */

/* See the head of this file. Both configurations and certificates must live until routes_apply() is
 * over. */
struct routes_change *routes_reconfigure(struct routes *routes, const struct config *old_config,
					 const struct cert *old_own, const struct config *config,
					 const struct cert *own);
/* Once: hands the workers' new table to the caller. */
struct route_table *routes_change_table(struct routes_change *change);
int routes_apply(struct routes *routes, struct routes_change *change, char error[ERROR_LINE_MAX]);
void routes_change_free(struct routes_change *change); /* NULL is allowed */

#endif
