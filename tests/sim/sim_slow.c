/*
 * sim_slow.c - a node whose control has work: handshakes cost time, wait in the product's queue
 * (control/handshake_queue.h), and are let in by the product's workers' rule (lookup/source.h).
 */
#include <stdlib.h>

#include "lookup/source.h"
#include "sim.h"

static const struct source_key source_key = {{7, 8}};

void sim_slow_begin(struct sim_node *node, uint64_t handshake_ns)
{
	node->slow = calloc(1, sizeof(*node->slow));
	cr_assert(node->slow);
	node->slow->handshake_ns = handshake_ns;
	handshake_queue_init(&node->slow->queue);
}

void sim_slow_end(struct sim_node *node)
{
	struct punt *punt;

	while ((punt = handshake_queue_take(&node->slow->queue, UINT64_MAX / 2)))
		free(punt);
	free(node->slow);
	node->slow = NULL;
}

bool sim_slow_admit(struct sim_node *node, const struct endpoint *from, struct punt *punt)
{
	uint32_t second = (uint32_t)(node->sim->now_ns / SIM_S);
	enum drop reason;

	punt->shares = &node->slow->shares[punt->queue];
	punt->bucket = source_bucket(&source_key, from, punt->via, second);
	reason = source_admit(punt->shares, punt->bucket);
	if (reason != DROP_NONE)
		node->drops[reason]++;
	return reason == DROP_NONE;
}

static void wake_at(struct sim_node *node, uint64_t at_ns)
{
	struct sim_event *event = calloc(1, sizeof(*event));

	cr_assert(event);
	*event = (struct sim_event){
		.at_ns = at_ns, .type = SIM_SLOW, .node = node, .life = node->life};
	sim_schedule(node->sim, event);
	node->slow->busy = true;
}

void sim_slow_put(struct sim_node *node, struct punt *punt)
{
	handshake_queue_put(&node->slow->queue, punt);
	if (!node->slow->busy)
		wake_at(node, node->sim->now_ns + node->slow->handshake_ns);
}

void sim_slow_turn(struct sim_node *node)
{
	struct sim_slow *slow = node->slow;
	uint64_t now = node->sim->now_ns, next = now + slow->handshake_ns;
	struct punt *punt = handshake_queue_take(&slow->queue, now);

	slow->busy = false;
	if (punt) {
		sim_node_punt(node, punt);
		sim_check(node);
		handshake_queue_spent(&slow->queue, slow->handshake_ns);
		punt_release(punt);
		free(punt);
		slow->done++;
	} else if (handshake_queue_deadline(&slow->queue) > now) {
		next = handshake_queue_deadline(&slow->queue);
	}
	if (slow->queue.count > 0)
		wake_at(node, next);
}
