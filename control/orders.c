/*
 * orders.c - see orders.h.
 *
 * A run that waits is kept as short as it came. Only when it is posted does it get the room that
 * the worker needs to rebuild its segments in place (SLOT_BYTES), so what is kept costs what it
 * holds.
 */
#include "orders.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct order *order_create(enum order_type type, const uint8_t *bytes, uint32_t length)
{
	struct order *order = calloc(1, sizeof(*order) + length);

	if (!order)
		return NULL;
	order->type = type;
	order->length = order->capacity = length;
	if (length)
		memcpy(order->bytes, bytes, length);
	return order;
}

/* Posts *order; on -EAGAIN it may have moved in memory. */
static int order_post(struct orders *orders, uint32_t queue, struct order **order)
{
	int result;

	if ((*order)->type == ORDER_RESUME && (*order)->capacity < SLOT_BYTES) {
		struct order *roomy = realloc(*order, sizeof(*roomy) + SLOT_BYTES);

		if (!roomy)
			return -ENOMEM;
		roomy->capacity = SLOT_BYTES;
		*order = roomy;
	}
	(*order)->context = NULL;
	result = orders->post(orders->context, queue, *order);
	if (result == 0)
		orders->queues[queue].posted++;
	return result;
}

/* Room for the front order is looked for before it is taken off, so that order holds. */
static void queue_drain(struct orders *orders, uint32_t queue)
{
	struct orders_queue *q = &orders->queues[queue];

	while (q->head && q->posted < ORDERS_MAX) {
		struct order *order = q->head, *next = order->context;
		int result = order_post(orders, queue, &order);

		q->head = result == -EAGAIN ? order : next;
		if (result == -EAGAIN) {
			order->context = next;
			if (!next)
				q->tail = order;
			return;
		}
		if (!next)
			q->tail = NULL;
		q->kept--;
		if (result)
			free(order);
	}
}

int orders_send(struct orders *orders, uint32_t queue, struct order *order)
{
	struct orders_queue *q = &orders->queues[queue];

	if (q->kept >= ORDERS_QUEUED_MAX &&
	    (order->type == ORDER_SEND_IN_TUNNEL || order->type == ORDER_SEND_VIA_RELAY)) {
		free(order);
		return -ENOBUFS;
	}
	if (!q->head && q->posted < ORDERS_MAX) {
		int result = order_post(orders, queue, &order);

		if (result == 0)
			return 0;
		if (result != -EAGAIN) {
			free(order);
			return result;
		}
	}
	order->context = NULL;
	if (q->tail)
		q->tail->context = order;
	else
		q->head = order;
	q->tail = order;
	q->kept++;
	return 0;
}

void orders_done(struct orders *orders, struct order *order)
{
	uint32_t queue = order->queue;

	orders->queues[queue].posted--;
	free(order);
	queue_drain(orders, queue);
}

void orders_go_on(struct orders *orders, uint32_t queue)
{
	queue_drain(orders, queue);
}

bool orders_retry(struct orders *orders)
{
	bool left = false;

	for (uint32_t i = 0; i < QUEUES_MAX; i++) {
		const struct orders_queue *q = &orders->queues[i];

		if (q->head && q->posted == 0)
			queue_drain(orders, i);
		left |= q->head && q->posted == 0;
	}
	return left;
}

bool orders_idle(const struct orders *orders)
{
	for (uint32_t i = 0; i < QUEUES_MAX; i++)
		if (orders->queues[i].kept || orders->queues[i].posted)
			return false;
	return true;
}

void orders_discard(struct orders *orders)
{
	for (uint32_t i = 0; i < QUEUES_MAX; i++) {
		struct orders_queue *q = &orders->queues[i];

		while (q->head) {
			struct order *next = q->head->context;

			free(q->head);
			q->head = next;
		}
		q->tail = NULL;
		q->kept = 0;
	}
}
