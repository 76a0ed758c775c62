/*
 * daemon.h - the node from a checked configuration to its end: everything is made in order, run,
 * and taken down in the opposite order.
 */
#ifndef M57_DAEMON_H
#define M57_DAEMON_H

#include <stdbool.h>

struct generation;

/*
 * Takes over generation, a configuration without errors that was loaded from path (strict:
 * -strict); a reload loads it anew from there. Runs until SIGTERM or SIGINT. Returns the exit
 * status (PROTOCOL.md 9.1): 0 after a clean end, 1 when something could not be set up (one line in
 * the log says what and what to do), 2 when the tun, the socket or a worker's ring failed while
 * running.
 */
int daemon_run(struct generation *generation, const char *path, bool strict);

#endif
