/*
 * reaper.h - waits for grace periods, so that the control loop never does.
 *
 * A thread of its own takes one batch of garbage at a time, waits until every worker has passed a
 * quiescent state, and makes an eventfd readable. The control thread then releases the batch: all
 * memory of tunnels is freed on the control thread, the reaper only waits. What control defers in
 * the meantime becomes the next batch.
 */
#ifndef M57_REAPER_H
#define M57_REAPER_H

#include <stdbool.h>

#include "hostmap.h"

struct reaper;

/* Starts the thread. NULL with errno set. */
struct reaper *reaper_start(void);

/* Descriptor that is readable when a batch has come through its grace period. */
int reaper_fd(const struct reaper *reaper);

/* Is a batch under way, or waiting to be collected? */
bool reaper_busy(const struct reaper *reaper);

/* Hands a batch over; only when not busy. */
void reaper_submit(struct reaper *reaper, struct garbage *batch);

/* The batch whose grace period is over, or NULL. Control releases it (hostmap_garbage_release). */
struct garbage *reaper_collect(struct reaper *reaper);

/* Ends the thread. Returns the batch that it still held, past its grace period, or NULL. */
struct garbage *reaper_stop(struct reaper *reaper);

#endif
