/* signals.h - the signals of a daemon as a descriptor. */
#ifndef M57_SIGNALS_H
#define M57_SIGNALS_H

#include <stdbool.h>

/*
 * Blocks SIGHUP and SIGUSR1, by which a process ends unless it says otherwise, until signals_open()
 * takes them: whoever reloads a node that has only just been started must not end it. For the first
 * lines of a main().
 */
void signals_hold(void);

/*
 * Blocks SIGTERM, SIGINT, SIGHUP and SIGUSR1 in this thread and in all that it will start, ignores
 * SIGPIPE, and returns a descriptor that becomes readable when one arrives; -errno on failure. Call
 * before any thread runs.
 */
int signals_open(void);

/*
 * Whether SIGTERM and SIGINT end the process at once, as they do in one that knows nothing of them
 * (but also in a container's first process, for which the kernel would drop them): for what may
 * wait long in a start, where there is nothing to undo. Call on the thread that called
 * signals_open(), and end with false before another thread is started.
 */
void signals_end_at_once(bool at_once);

/* The next signal that has arrived, or 0. Never blocks. */
int signals_next(int fd);

#endif
