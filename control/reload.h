/*
 * reload.h - SIGHUP and `m57ctl reload`: the next generation of the configuration takes the place
 * of the running one, whole or not at all (PROTOCOL.md 9.1, 9.2).
 *
 * The new files are read and checked as at a start, and everything that can be refused is built:
 * identity, rules, snapshot, each tunnel's bits. Only then does anything change. A part of the
 * daemon that reads the configuration is told (old, new) in reload_apply(); it must not keep a
 * pointer into the old one, which is freed at the end of it.
 */
#ifndef M57_RELOAD_H
#define M57_RELOAD_H

#include "generation.h"

struct admin_world;
struct control;

/* How the last one ended. */
struct reload_outcome {
	uint64_t at_ns;   /* monotonic; 0: there was none yet */
	unsigned applied; /* reloads that changed the configuration, since the start */
	bool ok;
	unsigned error_count; /* of the refused file */
	struct findings findings;
	/* ok: what needs a restart, or went wrong in the system; else the first error. May be "".
	 */
	char text[ERROR_LINE_MAX];
};

struct reload {
	/* set once */
	struct control *control;
	const char *path; /* of the configuration */
	bool strict;
	struct udp_sockets *udp;
	struct admin_world *world;

	struct config *started; /* of the start: what does not reload runs by it; owned */

	struct generation *now; /* in use; owned. The first one's configuration is started too */
	struct reload_outcome last;
};

/*
 * Reads the configuration anew and takes it up. Says in the log what came of it, and in
 * reload->last. 0, or -EINVAL: refused, and nothing has changed.
 */
int reload_run(struct reload *reload);

void reload_release(struct reload *reload);

#endif
