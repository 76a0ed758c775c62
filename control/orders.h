/*
 * orders.h - what control has on its way to the workers, and what it keeps back for them.
 *
 * A worker takes at most ORDERS_MAX orders at a time. What control wants to post beyond that stands
 * in a queue per worker, in order, and follows as orders come back. An order is control's before it
 * is posted and after it came back as PUNT_ORDER_DONE; in between it is the worker's.
 */
#ifndef M57_ORDERS_H
#define M57_ORDERS_H

#include <stdbool.h>

#include "message.h"

struct orders_queue {
	struct order *head, *tail; /* kept back; linked by order->context */
	uint32_t kept;
	uint32_t posted; /* on their way, not back yet */
};

struct orders {
	/* dataplane_post, or a test's: 0, -EAGAIN (full, not there yet, or no memory), -ENXIO. */
	int (*post)(void *context, uint32_t queue, struct order *order);
	void *context;
	struct orders_queue queues[QUEUES_MAX];
};

/* A zeroed order with a copy of bytes. NULL: no memory. */
struct order *order_create(enum order_type type, const uint8_t *bytes, uint32_t length);

/*
 * Posts order to worker queue, behind all that is kept for it. Takes it over in any case: 0, or it
 * has been freed and -ENOBUFS (ORDERS_QUEUED_MAX are kept, and this one may be lost: a message in a
 * tunnel or through a relay), -ENXIO (the worker has stopped) or -ENOMEM.
 */
int orders_send(struct orders *orders, uint32_t queue, struct order *order);

/* An order came back: frees it and posts what was kept for its queue. */
void orders_done(struct orders *orders, struct order *order);

/* The worker of queue takes orders from now on: posts what was kept for it. */
void orders_go_on(struct orders *orders, uint32_t queue);

/*
 * Posts what was kept for queues to which nothing is under way that would bring it along when it
 * comes back: their worker was not there, or the kernel refused. True: to be called again soon.
 */
bool orders_retry(struct orders *orders);

/* Nothing is kept or under way. */
bool orders_idle(const struct orders *orders);

/* Frees what is kept. Only when the workers have stopped. */
void orders_discard(struct orders *orders);

#endif
