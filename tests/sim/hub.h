/* hub.h - a lighthouse and two clients of it, and what they say to each other. */
#ifndef M57_SIM_HUB_H
#define M57_SIM_HUB_H

#include "peers/lighthouse_wire.h"
#include "peers/node_state.h"
#include "sim.h"
#include "wire.h"

#define L (&sim->nodes[0])
#define A (&sim->nodes[1])
#define B (&sim->nodes[2])

/* Not started. */
static inline void hub_add(struct sim *sim)
{
	for (int i = 0; i < 3; i++)
		sim_add(sim);
	sim_client(A, L);
	sim_client(B, L);
	sim->recording = true;
}

static inline void hub_start(struct sim *sim)
{
	for (uint32_t i = 0; i < sim->node_count; i++)
		sim_start_node(&sim->nodes[i]);
}

/* What at knows of host id, or NULL. */
static inline struct peer_host *hub_host(struct sim_node *at, uint32_t id)
{
	struct addr addr = addr_from_v4(0x0a2a0000 + id);

	return tunnels_find_host(&at->node->tunnels, &addr);
}

static inline struct lighthouse_message hub_message(enum lighthouse_type type, uint32_t id)
{
	return (struct lighthouse_message){.type = type,
					   .form = LIGHTHOUSE_V1,
					   .has_addr = true,
					   .addr = addr_from_v4(0x0a2a0000 + id)};
}

static inline void hub_say(struct sim_node *to, struct sim_node *from,
			   const struct lighthouse_message *message)
{
	uint8_t bytes[LIGHTHOUSE_BYTES_MAX];
	size_t length = lighthouse_encode(message, bytes, sizeof(bytes));

	cr_assert_gt(length, 0);
	sim_opened(to, from, WIRE_LIGHTHOUSE, bytes, length);
}

/* One-byte datagrams from from (NULL: anybody) to to. */
static inline size_t hub_punches(const struct sim *sim, const struct endpoint *from,
				 const struct endpoint *to)
{
	size_t count = 0;

	for (size_t i = 0; i < sim->sent_count; i++)
		count += sim->sent[i].length == 1 && endpoint_equal(&sim->sent[i].to, to) &&
			 (!from || endpoint_equal(&sim->sent[i].from, from));
	return count;
}

static inline size_t hub_sent_to(const struct sim *sim, const struct endpoint *to)
{
	size_t count = 0;

	for (size_t i = 0; i < sim->sent_count; i++)
		count += endpoint_equal(&sim->sent[i].to, to);
	return count;
}

/* Lighthouse messages, whatever they say. */
static inline size_t hub_sealed(struct sim *sim, struct sim_node *from, struct sim_node *to)
{
	return sim_count(sim, &from->endpoint, &to->endpoint, WIRE_LIGHTHOUSE, 0);
}

/* Runs in steps of a millisecond until the packet is there; how long that took. */
static inline uint64_t hub_until_got(struct sim *sim, struct sim_node *at, uint32_t from,
				     uint64_t number, uint64_t most_ns)
{
	uint64_t start = sim->now_ns;

	while (!sim_got_number(at, from, number) && sim->now_ns - start < most_ns)
		sim_run(sim, SIM_MS);
	return sim->now_ns - start;
}

#define HUB_FORBIDDEN 0xc6336405 /* 198.51.100.5 */

/* Everything in 198.51.100.0/24 is forbidden. */
static inline struct allow_list hub_forbidding(struct allow_rule *rule)
{
	struct allow_list list = {.count = 1, .rules = rule};
	bool v4;

	*rule = (struct allow_rule){{addr_from_v4(HUB_FORBIDDEN), 120}, false};
	cr_assert_eq(allow_list_finish(&list, &v4), 0);
	return list;
}

static inline struct endpoint hub_at(uint32_t v4, uint16_t port)
{
	return (struct endpoint){addr_from_v4(v4), port};
}

#endif
