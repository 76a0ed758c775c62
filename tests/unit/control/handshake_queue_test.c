/* handshake_queue_test.c - how much time control gives to handshakes. */
#include <criterion/criterion.h>

#include "handshake_queue.h"
#include "message.h"

TestSuite(handshake_queue);

#define MS 1000000ull
#define S  (1000 * MS)

static struct punt some[POOL_HANDSHAKES];

static struct handshake_queue made(void)
{
	struct handshake_queue queue;

	handshake_queue_init(&queue);
	queue.filled_ns = queue.judged_ns = S;
	return queue;
}

static void fill_up(struct handshake_queue *queue)
{
	while (queue->count < POOL_HANDSHAKES)
		handshake_queue_put(queue, &some[queue->count]);
}

/* How many handshakes of 250 us are worked on in a second, more than enough waiting? */
static unsigned worked(uint64_t workers_cpu_permille, uint64_t packets_per_second)
{
	struct handshake_queue queue = made();
	uint64_t now = S, end = now + 2 * S, cpu = 0, packets = 0;
	unsigned count = 0;

	fill_up(&queue);
	while (now < end) {
		uint64_t before = now;

		if (handshake_queue_wants_judging(&queue, now))
			handshake_queue_judge(&queue, now, cpu, packets);
		fill_up(&queue);
		if (handshake_queue_take(&queue, now)) {
			handshake_queue_spent(&queue, MS / 4);
			count += now >= end - S;
			now += MS / 4;
		} else {
			now = handshake_queue_deadline(&queue);
			cr_assert_gt(now, before, "a deadline that comes to nothing");
		}
		cpu += (now - before) * workers_cpu_permille / 1000;
		packets = (now - S) * packets_per_second / S;
	}
	return count;
}

static void is_about(unsigned got, unsigned wanted)
{
	cr_expect(got >= wanted * 9 / 10 && got <= wanted * 11 / 10, "%u, not %u", got, wanted);
}

Test(handshake_queue, share_follows_what_the_workers_need)
{
	is_about(worked(0, 0), 3600);
	is_about(worked(200, 15000), 3600);
	is_about(worked(1000, 0), 200);
	is_about(worked(4000, 0), 200);
	is_about(worked(100, 100000), 200);
	is_about(worked(350, 0), 1900);
}

Test(handshake_queue, first_comes_first_and_nothing_waits_without_need)
{
	struct handshake_queue queue = made();

	cr_expect_eq(handshake_queue_deadline(&queue), UINT64_MAX);
	cr_expect_null(handshake_queue_take(&queue, S));
	for (int round = 0; round < 5; round++) {
		fill_up(&queue);
		cr_expect_leq(handshake_queue_deadline(&queue), 2 * S);
		for (int i = 0; i < POOL_HANDSHAKES; i++)
			cr_assert_eq(handshake_queue_take(&queue, 2 * S), &some[i]);
		handshake_queue_put(&queue, &some[0]);
		cr_assert_eq(handshake_queue_take(&queue, 2 * S), &some[0]);
	}
	cr_expect_eq(handshake_queue_deadline(&queue), UINT64_MAX);
}

/* Whatever one bucket has waiting, the others get every second turn, and each keeps its order. */
Test(handshake_queue, sources_take_turns)
{
	struct handshake_queue queue = made();
	struct punt flood[40] = {0}, peers[3] = {{.bucket = 7}, {.bucket = 200}, {.bucket = 7}};
	struct punt *order[] = {&flood[1], &peers[0], &peers[1], &flood[2], &peers[2], &flood[3]};

	for (int i = 0; i < 40; i++) {
		flood[i].bucket = 99;
		handshake_queue_put(&queue, &flood[i]);
	}
	cr_expect_eq(handshake_queue_take(&queue, S), &flood[0]);
	for (int i = 0; i < 3; i++)
		handshake_queue_put(&queue, &peers[i]);
	for (int i = 0; i < 6; i++)
		cr_expect_eq(handshake_queue_take(&queue, S), order[i], "place %d", i);
	for (int i = 4; i < 40; i++)
		cr_expect_eq(handshake_queue_take(&queue, S), &flood[i]);
	cr_expect_null(handshake_queue_take(&queue, S));
	handshake_queue_put(&queue, &peers[0]);
	cr_expect_eq(handshake_queue_take(&queue, S), &peers[0]);
	cr_expect_eq(queue.count, 0);
}

/* A rest of hours gives no more than a moment's credit. */
Test(handshake_queue, credit_is_bounded)
{
	struct handshake_queue queue = made();
	uint64_t now = 36000 * S, spent = 0;

	fill_up(&queue);
	handshake_queue_judge(&queue, now, 36000 * S, 0);
	while (handshake_queue_take(&queue, now)) {
		handshake_queue_spent(&queue, MS);
		spent += MS;
	}
	cr_expect_leq(spent, 20 * MS);
}
