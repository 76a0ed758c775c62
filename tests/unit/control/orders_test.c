/* orders_test.c - orders reach a worker in order, nothing is lost while it is full, all is freed.
 */
#include "orders.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TAKEN_MAX 1000

/* A worker: takes ORDERS_MAX, gives them back when told. */
struct worker {
	struct order *held[ORDERS_MAX];
	uint32_t holds;
	uint8_t seen[TAKEN_MAX];
	uint32_t seen_count;
	int answer;
};

static int worker_post(void *context, uint32_t queue, struct order *order)
{
	struct worker *worker = context;

	if (worker->answer)
		return worker->answer;
	if (worker->holds == ORDERS_MAX)
		return -EAGAIN;
	order->queue = queue;
	worker->held[worker->holds++] = order;
	worker->seen[worker->seen_count++] = order->bytes[0];
	if (order->type == ORDER_RESUME) {
		cr_assert_eq(order->capacity, SLOT_BYTES);
		memset(order->bytes + order->length, 0xee, order->capacity - order->length);
	}
	return 0;
}

/* Gives back the n oldest. */
static void worker_finish(struct worker *worker, struct orders *orders, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct order *order = worker->held[0];

		worker->holds--;
		memmove(worker->held, worker->held + 1, worker->holds * sizeof(worker->held[0]));
		orders_done(orders, order);
	}
}

static void hand_over(struct orders *orders, enum order_type type, uint8_t mark)
{
	cr_assert_eq(orders_send(orders, 1, order_create(type, &mark, 1)), 0);
}

Test(orders, keep_order_while_the_worker_is_full)
{
	struct worker worker = {0};
	struct orders *orders = calloc(1, sizeof(*orders));
	const uint32_t total = ORDERS_MAX + 60;

	orders->post = worker_post;
	orders->context = &worker;
	for (uint32_t i = 0; i < total; i++)
		hand_over(orders, i % 3 ? ORDER_SEND_IN_TUNNEL : ORDER_RESUME, (uint8_t)i);
	cr_assert_eq(worker.seen_count, ORDERS_MAX);
	cr_assert_eq(orders->queues[1].kept, 60);
	cr_assert_not(orders_idle(orders));

	worker_finish(&worker, orders, 7);
	hand_over(orders, ORDER_SEND_IN_TUNNEL,
		  (uint8_t)total); /* behind what is kept, though 7 were free */
	while (worker.holds)
		worker_finish(&worker, orders, worker.holds > 5 ? 5 : worker.holds);
	cr_assert_eq(worker.seen_count, total + 1);
	for (uint32_t i = 0; i <= total; i++)
		cr_assert_eq(worker.seen[i], (uint8_t)i, "order %u", i);
	cr_assert(orders_idle(orders));
	free(orders);
}

Test(orders, a_worker_that_cannot_take_more_is_asked_again_later)
{
	struct worker worker = {.answer = -EAGAIN};
	struct orders *orders = calloc(1, sizeof(*orders));

	orders->post = worker_post;
	orders->context = &worker;
	worker.answer = 0;
	hand_over(orders, ORDER_SEND_IN_TUNNEL, 0);
	worker.answer = -EAGAIN;
	hand_over(orders, ORDER_RESUME, 1);
	hand_over(orders, ORDER_RESUME_END, 2);
	worker_finish(&worker, orders, 1);
	cr_assert_eq(orders->queues[1].kept, 2);
	worker.answer = 0;
	hand_over(orders, ORDER_SEND_IN_TUNNEL, 3);
	cr_assert_eq(worker.seen_count, 1, "nothing may overtake what is kept");
	orders_discard(orders);
	cr_assert(orders_idle(orders));
	free(orders);
}

/* A kernel without memory refuses while nothing is under way. */
Test(orders, what_nothing_brings_along_is_tried_again)
{
	struct worker worker = {0};
	struct orders *orders = calloc(1, sizeof(*orders));

	orders->post = worker_post;
	orders->context = &worker;
	cr_assert_not(orders_retry(orders));
	hand_over(orders, ORDER_SEND_IN_TUNNEL, 0);
	worker.answer = -EAGAIN;
	hand_over(orders, ORDER_RESUME, 1);
	hand_over(orders, ORDER_RESUME_END, 2);
	cr_assert_not(orders_retry(orders), "the first one will bring them along");
	worker_finish(&worker, orders, 1);
	cr_assert(orders_retry(orders));
	cr_assert_eq(worker.seen_count, 1);

	worker.answer = 0;
	cr_assert_not(orders_retry(orders));
	cr_assert_eq(worker.seen_count, 3);
	for (uint8_t mark = 0; mark < 3; mark++)
		cr_assert_eq(worker.seen[mark], mark);
	worker_finish(&worker, orders, 2);
	cr_assert(orders_idle(orders));
	free(orders);
}

Test(orders, flood_is_bounded_but_waiting_runs_are_kept)
{
	struct worker worker = {.answer = -EAGAIN};
	struct orders *orders = calloc(1, sizeof(*orders));
	uint8_t mark = 0;

	orders->post = worker_post;
	orders->context = &worker;
	for (uint32_t i = 0; i < ORDERS_QUEUED_MAX; i++)
		hand_over(orders, ORDER_SEND_IN_TUNNEL, 0);
	cr_assert_eq(orders_send(orders, 1, order_create(ORDER_SEND_IN_TUNNEL, &mark, 1)),
		     -ENOBUFS);
	cr_assert_eq(orders_send(orders, 1, order_create(ORDER_RESUME, &mark, 1)), 0);
	cr_assert_eq(orders_send(orders, 1, order_create(ORDER_RESUME_END, NULL, 0)), 0);
	cr_assert_eq(orders->queues[1].kept, ORDERS_QUEUED_MAX + 2);
	orders_discard(orders);
	free(orders);
}

Test(orders, a_stopped_worker_loses_only_its_own)
{
	struct worker worker = {.answer = -ENXIO};
	struct orders *orders = calloc(1, sizeof(*orders));
	uint8_t mark = 0;

	orders->post = worker_post;
	orders->context = &worker;
	cr_assert_eq(orders_send(orders, 1, order_create(ORDER_SEND_IN_TUNNEL, &mark, 1)), -ENXIO);
	cr_assert(orders_idle(orders));
	free(orders);
}

Test(orders, wait_for_a_worker_that_is_not_there_yet)
{
	struct worker worker = {.answer = -EAGAIN};
	struct orders *orders = calloc(1, sizeof(*orders));

	orders->post = worker_post;
	orders->context = &worker;
	for (uint8_t mark = 0; mark < 3; mark++)
		hand_over(orders, ORDER_RESUME_END, mark);
	cr_assert_eq(worker.seen_count, 0);
	cr_assert_not(orders_idle(orders));

	worker.answer = 0;
	orders_go_on(orders, 1);
	cr_assert_eq(worker.seen_count, 3);
	for (uint8_t mark = 0; mark < 3; mark++)
		cr_assert_eq(worker.seen[mark], mark);
	worker_finish(&worker, orders, 3);
	cr_assert(orders_idle(orders));
	free(orders);
}
