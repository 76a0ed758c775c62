/* sim.c - the fake network and clock: one heap of events, see sim.h. */
#include <stdlib.h>

#include "message.h"
#include "sim.h"
#include "wire.h"

static uint64_t next_random(struct sim *sim)
{
	uint64_t z = (sim->random += 0x9e3779b97f4a7c15ull); /* splitmix64 */

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

uint64_t sim_random(struct sim *sim, uint64_t below)
{
	return next_random(sim) % below;
}

struct endpoint sim_endpoint(uint32_t host, uint16_t port)
{
	return (struct endpoint){addr_from_v4(0xc0000200 + host), port};
}

void sim_start(struct sim *sim, uint64_t seed)
{
	memset(sim, 0, sizeof(*sim));
	sim->seed = sim->random = seed;
	sim->now_ns = 1000 * SIM_S;
	sim->weather = (struct sim_weather){.delay_min_ns = SIM_MS, .delay_max_ns = SIM_MS};
	sim->verbose = getenv("M57_VERBOSE") != NULL;
	sim_bound_begin(sim);
}

static bool earlier(const struct sim_event *a, const struct sim_event *b)
{
	return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->sequence < b->sequence;
}

void sim_schedule(struct sim *sim, struct sim_event *event)
{
	size_t at = sim->event_count++;

	event->sequence = sim->sequence++;
	if (sim->event_count > sim->event_capacity) {
		sim->event_capacity = sim->event_capacity ? sim->event_capacity * 2 : 256;
		sim->events = realloc(sim->events, sim->event_capacity * sizeof(*sim->events));
		cr_assert(sim->events);
	}
	for (; at > 0 && earlier(event, sim->events[(at - 1) / 2]); at = (at - 1) / 2)
		sim->events[at] = sim->events[(at - 1) / 2];
	sim->events[at] = event;
}

static struct sim_event *pop(struct sim *sim)
{
	struct sim_event *first = sim->events[0], *last = sim->events[--sim->event_count];
	size_t at = 0;

	for (size_t child; (child = at * 2 + 1) < sim->event_count; at = child) {
		if (child + 1 < sim->event_count &&
		    earlier(sim->events[child + 1], sim->events[child]))
			child++;
		if (!earlier(sim->events[child], last))
			break;
		sim->events[at] = sim->events[child];
	}
	if (sim->event_count > 0)
		sim->events[at] = last;
	return first;
}

static void schedule_datagram(struct sim *sim, struct sim_node *sender, const struct endpoint *from,
			      const struct endpoint *to, const uint8_t *bytes, size_t length,
			      uint64_t delay_ns)
{
	struct sim_event *event = calloc(1, sizeof(*event) + length);

	cr_assert(event);
	event->type = SIM_DATAGRAM;
	event->node = sender;
	event->at_ns = sim->now_ns + delay_ns;
	event->from = *from;
	event->to = *to;
	event->length = (uint32_t)length;
	memcpy(event->bytes, bytes, length);
	sim_schedule(sim, event);
}

static void record(struct sim *sim, const struct endpoint *from, const struct endpoint *to,
		   const uint8_t *bytes, size_t length)
{
	struct sim_datagram *datagram;

	if (!sim->recording)
		return;
	if (sim->sent_count == sim->sent_capacity) {
		sim->sent_capacity = sim->sent_capacity ? sim->sent_capacity * 2 : 64;
		sim->sent = realloc(sim->sent, sim->sent_capacity * sizeof(*sim->sent));
		cr_assert(sim->sent);
	}
	datagram = &sim->sent[sim->sent_count++];
	*datagram =
		(struct sim_datagram){sim->now_ns, *from, *to, (uint32_t)length, malloc(length)};
	memcpy(datagram->bytes, bytes, length);
}

static bool is_cut(const struct sim *sim, const struct endpoint *from, const struct endpoint *to)
{
	return (endpoint_equal(from, &sim->cut[0]) && endpoint_equal(to, &sim->cut[1])) ||
	       (!sim->cut_one_way && endpoint_equal(from, &sim->cut[1]) &&
		endpoint_equal(to, &sim->cut[0]));
}

static struct sim_node *node_at(struct sim *sim, const struct endpoint *endpoint)
{
	for (uint32_t i = 0; i < sim->node_count; i++)
		if (endpoint_equal(&sim->nodes[i].endpoint, endpoint))
			return &sim->nodes[i];
	return NULL;
}

static bool reaches(struct sim_node *node, const struct endpoint *from, const struct endpoint *to)
{
	if (node->nat.kind != NAT_NONE)
		return sim_nat_in(node, from, to);
	return endpoint_equal(&node->endpoint, to);
}

static void keep(struct sim *sim, const struct endpoint *from, const struct endpoint *to,
		 const uint8_t *bytes, size_t length)
{
	struct sim_kept *kept = &sim->kept[sim->kept_count % SIM_KEPT];

	for (size_t i = 0; i < length; i++)
		sim->digest = (sim->digest ^ bytes[i]) * 0x100000001b3ull;
	sim->digest = (sim->digest ^ sim->now_ns) * 0x100000001b3ull;
	if (length > sizeof(kept->bytes))
		return;
	kept->from = *from;
	kept->to = *to;
	kept->length = (uint32_t)length;
	memcpy(kept->bytes, bytes, length);
	sim->kept_count++;
}

void sim_transmit(struct sim *sim, const struct endpoint *from, const struct endpoint *to,
		  const uint8_t *bytes, size_t length)
{
	const struct sim_weather *weather = &sim->weather;
	unsigned copies = sim_random(sim, 1000) < weather->duplicate ? 2 : 1;
	struct sim_node *sender = node_at(sim, from);
	struct endpoint outside = *from;

	record(sim, from, to, bytes, length);
	keep(sim, from, to, bytes, length);
	if (sender && sender->nat.kind != NAT_NONE)
		outside = sim_nat_out(sender, to);
	while (copies-- > 0) {
		uint64_t spread = weather->delay_max_ns - weather->delay_min_ns;
		uint64_t delay = weather->delay_min_ns + (spread ? sim_random(sim, spread) : 0);
		if (sim_random(sim, 1000) >= weather->loss && !is_cut(sim, &outside, to))
			schedule_datagram(sim, sender, &outside, to, bytes, length, delay);
	}
}

void sim_inject(struct sim *sim, const struct endpoint *from, const struct endpoint *to,
		const uint8_t *bytes, size_t length, uint64_t delay_ns)
{
	schedule_datagram(sim, NULL, from, to, bytes, length, delay_ns);
}

static void deliver(struct sim *sim, struct sim_event *event)
{
	for (uint32_t i = 0; i < sim->node_count; i++) {
		struct sim_node *node = &sim->nodes[i];
		if (event->node && node->cut & 1u << (event->node->id - 1))
			continue;
		if (node->node && reaches(node, &event->from, &event->to))
			sim_node_datagram(node, &event->from, event->bytes, event->length);
	}
}

static void check(struct sim_node *node)
{
	struct sim *sim = node->sim;

	if (++sim->unchecked < sim->check_every)
		return;
	sim->unchecked = 0;
	sim_check(node);
}

static void carry_out(struct sim *sim, struct sim_event *event)
{
	bool alive = event->node && event->node->node && event->node->life == event->life;

	switch (event->type) {
	case SIM_DATAGRAM:
		deliver(sim, event);
		break;
	case SIM_PUNT:
		if (alive && event->node->slow && event->punt->type == PUNT_HANDSHAKE) {
			sim_slow_put(event->node, event->punt);
			break;
		}
		if (alive) {
			sim_node_punt(event->node, event->punt);
			check(event->node);
		}
		free(event->punt);
		break;
	case SIM_ORDER:
		if (alive)
			sim_node_order(event->node, event->order);
		free(event->order);
		break;
	case SIM_NAME:
		if (alive) {
			sim_node_name(event->node, event);
			check(event->node);
		}
		break;
	case SIM_SLOW:
		if (alive)
			sim_slow_turn(event->node);
		break;
	}
	free(event);
}

/* The earliest deadline of any node; *node gets whose. */
static uint64_t next_deadline(struct sim *sim, struct sim_node **node)
{
	uint64_t next = UINT64_MAX;

	for (uint32_t i = 0; i < sim->node_count; i++) {
		uint64_t due =
			sim->nodes[i].node ? node_next_deadline(sim->nodes[i].node) : UINT64_MAX;
		if (due < next) {
			next = due;
			*node = &sim->nodes[i];
		}
	}
	return next;
}

void sim_run(struct sim *sim, uint64_t duration_ns)
{
	uint64_t end = sim->now_ns + duration_ns;

	for (;;) {
		struct sim_node *node = NULL;
		uint64_t deadline = next_deadline(sim, &node);
		uint64_t event = sim->event_count ? sim->events[0]->at_ns : UINT64_MAX;

		if (deadline > end && event > end)
			break;
		if (event <= deadline) {
			sim->now_ns = event > sim->now_ns ? event : sim->now_ns;
			carry_out(sim, pop(sim));
		} else {
			sim->now_ns = deadline > sim->now_ns ? deadline : sim->now_ns;
			node->wakes++;
			node_tick(node->node);
			cr_assert_gt(node_next_deadline(node->node), sim->now_ns,
				     "a tick does what is due");
			sim_node_reap(node);
			check(node);
		}
	}
	sim->now_ns = end;
}

static bool matches(const struct sim_datagram *datagram, const struct endpoint *from,
		    const struct endpoint *to, enum wire_type type, uint64_t counter)
{
	return datagram->length >= WIRE_HEADER_BYTES &&
	       wire_type_of(datagram->bytes) == (int)type &&
	       (!from || endpoint_equal(from, &datagram->from)) &&
	       (!to || endpoint_equal(to, &datagram->to)) &&
	       (counter == 0 || wire_counter(datagram->bytes) == counter);
}

struct sim_datagram *sim_find(struct sim *sim, const struct endpoint *from,
			      const struct endpoint *to, enum wire_type type, uint64_t counter,
			      size_t n)
{
	for (size_t i = 0; i < sim->sent_count; i++)
		if (matches(&sim->sent[i], from, to, type, counter) && n-- == 0)
			return &sim->sent[i];
	return NULL;
}

size_t sim_count(struct sim *sim, const struct endpoint *from, const struct endpoint *to,
		 enum wire_type type, uint64_t counter)
{
	size_t count = 0;

	for (size_t i = 0; i < sim->sent_count; i++)
		count += matches(&sim->sent[i], from, to, type, counter);
	return count;
}

void sim_forget(struct sim *sim)
{
	for (size_t i = 0; i < sim->sent_count; i++)
		free(sim->sent[i].bytes);
	sim->sent_count = 0;
}

void sim_end(struct sim *sim)
{
	for (uint32_t i = 0; i < sim->node_count; i++) {
		sim_kill_node(&sim->nodes[i]);
		pki_free(&sim->nodes[i].pki);
		free(sim->nodes[i].received);
	}
	while (sim->event_count > 0) {
		struct sim_event *event = pop(sim);
		free(event->punt);
		free(event->order);
		free(event);
	}
	sim_forget(sim);
	free(sim->sent);
	free(sim->events);
	free(sim->nonces.slots);
	free(sim->packets.slots);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

void sim_seeds(unsigned seeds, void (*body)(struct sim *sim))
{
	bool one = getenv("M57_SEED") || getenv("SEED");
	uint64_t first = from_environment("M57_SEED", from_environment("SEED", 1));
	uint64_t count = from_environment("M57_SEEDS", from_environment("SEEDS", seeds));

	if (one && !getenv("SEEDS"))
		count = 1;

	for (uint64_t seed = first; seed < first + count; seed++)
		sim_seed(seed, body);
}

void sim_seed(uint64_t seed, void (*body)(struct sim *sim))
{
	static struct sim sim;

	fprintf(stderr, "\r# seed %llu ", (unsigned long long)seed);
	sim_start(&sim, seed);
	body(&sim);
	sim_end(&sim);
}
