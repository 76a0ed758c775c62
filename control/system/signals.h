/* signals.h - the signals of a daemon as a descriptor. */
#ifndef M57_SIGNALS_H
#define M57_SIGNALS_H

/*
 * Blocks SIGTERM, SIGINT, SIGHUP and SIGUSR1 in this thread and in all that it will start, ignores
 * SIGPIPE, and returns a descriptor that becomes readable when one arrives; -errno on failure. Call
 * before any thread runs.
 */
int signals_open(void);

/* The next signal that has arrived, or 0. Never blocks. */
int signals_next(int fd);

#endif
