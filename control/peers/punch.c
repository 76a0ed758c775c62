/* punch.c - see punch.h. */
#include "peers/punch.h"

#include "peers/node_state.h"

static void fire_holes(void *context, struct timer *timer);
static void fire_tests(void *context, struct timer *timer);

void punch_init(struct punches *punches)
{
	punches->rate = RATE(PUNCHES_PER_SECOND, PUNCHES_PER_SECOND);
	punches->holes.timer.fire = fire_holes;
	punches->tests.timer.fire = fire_tests;
}

static bool enqueue(struct node *node, struct punch_ring *ring, struct punch punch,
		    uint64_t delay_ns)
{
	punch.due_ns = node_now_ns(node) + delay_ns;

	if (ring->count == PUNCHES_MAX)
		return false;
	ring->ring[(ring->first + ring->count++) % PUNCHES_MAX] = punch;
	if (ring->count == 1)
		timer_arm(&node->tunnels.timers, &ring->timer, punch.due_ns);
	return true;
}

/* The next one that is due, or false; then the timer is armed for the one after. */
static bool dequeue(struct node *node, struct punch_ring *ring, struct punch *punch)
{
	struct punch *next = &ring->ring[ring->first];

	if (ring->count == 0)
		return false;
	if (next->due_ns > node_now_ns(node)) {
		timer_arm(&node->tunnels.timers, &ring->timer, next->due_ns);
		return false;
	}
	*punch = *next;
	ring->first = (ring->first + 1) % PUNCHES_MAX;
	ring->count--;
	return true;
}

void punch_hole(struct node *node, const struct addr *host, const struct endpoint *to,
		uint64_t delay_ns)
{
	struct punches *punches = &node->lighthouse.punches;

	if (!rate_take(&punches->rate, node_now_ns(node)) ||
	    !enqueue(node, &punches->holes, (struct punch){.host = *host, .to = *to}, delay_ns))
		node_drop(node, DROP_PUNCH_LIMITED, 1);
}

void punch_test(struct node *node, const struct punch_caller *caller, uint64_t delay_ns)
{
	struct punches *punches = &node->lighthouse.punches;
	struct punch_ring *tests = &punches->tests;

	/* One per host: lighthouses repeat each other. */
	for (uint32_t i = 0; i < tests->count; i++) {
		struct punch_caller *waits = &punches->callers[(tests->first + i) % PUNCHES_MAX];

		if (!addr_equal(&waits->host, &caller->host))
			continue;
		if (addr_equal(&waits->lighthouse, &caller->lighthouse) && caller->count > 0)
			*waits = *caller;
		return;
	}
	if (enqueue(node, tests, (struct punch){.host = caller->host}, delay_ns))
		punches->callers[(tests->first + tests->count - 1) % PUNCHES_MAX] = *caller;
	else
		node_drop(node, DROP_PUNCH_LIMITED, 1);
}

static void fire_holes(void *context, struct timer *timer)
{
	static const uint8_t byte = 0;
	struct node *node = table_entry(context, struct node, tunnels);
	struct punch punch;

	while (dequeue(node, &node->lighthouse.punches.holes, &punch))
		if (!node->shut_down && lighthouse_permits(node, &punch.host, &punch.to))
			node->outside->send_udp(node->outside->context, &punch.to, &byte, 1);
}

/* Says at to report, whose lists are these, unless it is said or they are full. */
static void say_at(struct remotes_report *report, struct endpoint v4[REPORTED_MAX],
		   struct endpoint v6[REPORTED_MAX], const struct endpoint *at)
{
	bool is_v4 = addr_is_v4(&at->addr);
	uint32_t *count = is_v4 ? &report->v4_count : &report->v6_count;
	struct endpoint *list = is_v4 ? v4 : v6;

	for (uint32_t i = 0; i < *count; i++)
		if (endpoint_equal(&list[i], at))
			return;
	if (*count < REPORTED_MAX)
		list[(*count)++] = *at;
}

/*
 * The order is the lighthouse's newest word, but not a whole one: what it has replied to a question
 * of ours, or ordered before, counts behind it, relays too.
 */
static void respond(struct node *node, struct peer_host *host, const struct punch_caller *caller)
{
	struct remotes *remotes = initiator_remotes(node, host);
	const struct remotes_owner *before = remotes_of(remotes, &caller->lighthouse);
	struct endpoint v4[REPORTED_MAX], v6[REPORTED_MAX];
	struct addr relays[REPORTED_MAX];
	struct remotes_report report = {.v4 = v4, .v6 = v6, .relays = relays};

	if (!remotes)
		return;
	for (uint32_t i = 0; i < caller->count; i++)
		if (lighthouse_permits(node, &host->addr, &caller->at[i])) /* since a reload */
			say_at(&report, v4, v6, &caller->at[i]);
	if (report.v4_count + report.v6_count == 0)
		return;
	for (uint32_t i = 0; before && i < before->v4_count + before->v6_count; i++)
		say_at(&report, v4, v6, &before->entries[i]);
	for (; before && report.relay_count < before->relay_count; report.relay_count++)
		relays[report.relay_count] = before->relays[report.relay_count];
	if (remotes_report(remotes, &caller->lighthouse, &report) == 0)
		initiator_respond(node, host);
}

static void fire_tests(void *context, struct timer *timer)
{
	struct node *node = table_entry(context, struct node, tunnels);
	struct punches *punches = &node->lighthouse.punches;
	struct punch punch;

	for (uint32_t at = punches->tests.first; dequeue(node, &punches->tests, &punch);
	     at = punches->tests.first) {
		struct peer_host *host = tunnels_obtain_host(&node->tunnels, &punch.host);

		if (!host)
			continue;
		if (host->primary && !node->shut_down)
			tunnels_test(&node->tunnels, host->primary);
		else if (!host->pending)
			respond(node, host, &punches->callers[at]);
		tunnels_put_host(&node->tunnels, host);
	}
}
