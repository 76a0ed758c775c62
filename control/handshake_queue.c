/* handshake_queue.c - see handshake_queue.h. */
#include "handshake_queue.h"

#include <string.h>

#include "message.h"

#define MS_NS 1000000

/* What can be spent at once after a rest; also how late a handshake can make the rest of control.
 */
#define CREDIT_MAX_NS (20 * MS_NS)
/* When credit has run out, a few handshakes are waited for, so that one wake-up serves them. */
#define CREDIT_WAKE_NS (2 * MS_NS)
#define JUDGE_NS       (20 * MS_NS)
/* Share of the wall clock, per mille, while the workers together use less, or more, of one CPU. */
#define SHARE_RESTING 900
#define SHARE_BUSY    50
#define RESTING       200
#define BUSY          500
/* A packet counts as so much: 50,000 a second are busy, the 15,000 of 5,000 handshakes are not. */
#define PACKET_NS 10000

void handshake_queue_init(struct handshake_queue *queue)
{
	memset(queue, 0, sizeof(*queue));
	queue->credit_ns = CREDIT_MAX_NS;
	queue->share_permille = SHARE_RESTING;
}

static void turn_append(struct handshake_queue *queue, struct handshake_bucket *bucket)
{
	bucket->next = NULL;
	*(queue->turn ? &queue->last_turn->next : &queue->turn) = bucket;
	queue->last_turn = bucket;
}

void handshake_queue_put(struct handshake_queue *queue, struct punt *punt)
{
	struct handshake_bucket *bucket = &queue->buckets[punt->bucket % SOURCE_BUCKETS];

	punt->next = NULL;
	if (!bucket->first)
		turn_append(queue, bucket);
	*(bucket->first ? &bucket->last->next : &bucket->first) = punt;
	bucket->last = punt;
	queue->count++;
}

static void fill(struct handshake_queue *queue, uint64_t now_ns)
{
	uint64_t passed = now_ns - queue->filled_ns;

	queue->filled_ns = now_ns;
	if (passed > 1000 * (uint64_t)CREDIT_MAX_NS)
		passed = 1000 * (uint64_t)CREDIT_MAX_NS; /* filled in any case */
	queue->credit_ns += (int64_t)(passed * queue->share_permille / 1000);
	if (queue->credit_ns > CREDIT_MAX_NS)
		queue->credit_ns = CREDIT_MAX_NS;
}

struct punt *handshake_queue_take(struct handshake_queue *queue, uint64_t now_ns)
{
	struct handshake_bucket *bucket;
	struct punt *punt;

	fill(queue, now_ns);
	if (queue->count == 0 || queue->credit_ns <= 0)
		return NULL;
	bucket = queue->turn;
	queue->turn = bucket->next;
	punt = bucket->first;
	bucket->first = punt->next;
	if (bucket->first)
		turn_append(queue, bucket); /* and waits until the others have had one */
	queue->count--;
	return punt;
}

void handshake_queue_spent(struct handshake_queue *queue, uint64_t cpu_ns)
{
	queue->credit_ns -= (int64_t)cpu_ns;
}

bool handshake_queue_wants_judging(const struct handshake_queue *queue, uint64_t now_ns)
{
	return queue->count > 0 && now_ns - queue->judged_ns >= JUDGE_NS;
}

void handshake_queue_judge(struct handshake_queue *queue, uint64_t now_ns, uint64_t cpu_ns,
			   uint64_t packets)
{
	uint64_t passed = now_ns - queue->judged_ns, used = cpu_ns - queue->cpu_ns;
	uint64_t weight = (packets - queue->packets) * PACKET_NS, load;

	fill(queue, now_ns); /* what has passed came in at the old share */
	load = passed ? (used > weight ? used : weight) * 1000 / passed : 0;
	queue->judged_ns = now_ns;
	queue->cpu_ns = cpu_ns;
	queue->packets = packets;
	if (load <= RESTING)
		queue->share_permille = SHARE_RESTING;
	else if (load >= BUSY)
		queue->share_permille = SHARE_BUSY;
	else
		queue->share_permille =
			SHARE_RESTING - (uint32_t)((load - RESTING) * (SHARE_RESTING - SHARE_BUSY) /
						   (BUSY - RESTING));
}

uint64_t handshake_queue_deadline(const struct handshake_queue *queue)
{
	int64_t missing = CREDIT_WAKE_NS - queue->credit_ns;

	if (queue->count == 0)
		return UINT64_MAX;
	if (queue->credit_ns > 0)
		return queue->filled_ns; /* at once */
	return queue->filled_ns + (uint64_t)missing * 1000 / queue->share_permille;
}
