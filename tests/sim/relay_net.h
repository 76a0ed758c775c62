/* relay_net.h - two hosts that have no path to each other, their lighthouse, and relays. */
#ifndef M57_SIM_RELAY_NET_H
#define M57_SIM_RELAY_NET_H

#include "message.h"
#include "peers/node_state.h"
#include "peers/relays.h"
#include "sim.h"

struct net {
	struct sim_node *lighthouse, *a, *b;
	struct sim_node *relay[2];
};

/* A lighthouse that is also relay 0, hosts a and b, and relay 1; nothing passes between a and b. */
static inline struct net relay_net(struct sim *sim, unsigned relays)
{
	struct net net = {0};

	net.lighthouse = net.relay[0] = sim_add(sim);
	net.a = sim_add(sim);
	net.b = sim_add(sim);
	sim_client(net.a, net.lighthouse);
	sim_client(net.b, net.lighthouse);
	if (relays > 1) {
		net.relay[1] = sim_add(sim);
		sim_client(net.relay[1], net.lighthouse);
	}
	for (unsigned i = 0; i < relays; i++) {
		sim_relay(net.a, net.relay[i]);
		sim_relay(net.b, net.relay[i]);
	}
	sim->cut[0] = net.a->endpoint;
	sim->cut[1] = net.b->endpoint;
	sim_start_node(net.lighthouse);
	if (relays > 1)
		sim_start_node(net.relay[1]);
	sim_start_node(net.a);
	sim_start_node(net.b);
	sim_run(sim, 2 * SIM_S);
	return net;
}

/* Both send each 100 ms for so long. */
static inline void talk(struct sim *sim, const struct net *net, uint64_t duration_ns)
{
	static uint64_t number;

	for (uint64_t end = sim->now_ns + duration_ns; sim->now_ns < end;) {
		number++;
		if (net->a->node)
			sim_send(net->a, (uint32_t)sim_random(sim, 2), net->b->id, number);
		if (net->b->node)
			sim_send(net->b, (uint32_t)sim_random(sim, 2), net->a->id, number);
		sim_run(sim, 100 * SIM_MS);
	}
}

/* Both have got something since, within limit; then how long it took. */
static inline uint64_t talk_until_heard(struct sim *sim, const struct net *net, uint64_t limit_ns)
{
	size_t a = sim_got(net->a, net->b->id), b = sim_got(net->b, net->a->id);
	uint64_t start = sim->now_ns;

	while (sim_got(net->a, net->b->id) == a || sim_got(net->b, net->a->id) == b) {
		cr_assert_lt(sim->now_ns, start + limit_ns, "seed %llu: nothing comes through",
			     (unsigned long long)sim->seed);
		talk(sim, net, 100 * SIM_MS);
	}
	return sim->now_ns - start;
}

static inline bool is_relayed(struct sim_node *node, struct sim_node *peer)
{
	struct tunnel *tunnel = sim_primary(node, peer->id);

	return tunnel && !tunnel->remote && tunnel->path;
}

static inline bool is_direct(struct sim_node *node, struct sim_node *peer)
{
	struct tunnel *tunnel = sim_primary(node, peer->id);

	return tunnel && tunnel->remote;
}

static inline struct tunnel_record *tunnel_with(struct sim_node *node, struct sim_node *peer)
{
	struct peer_host *host = tunnels_find_host(&node->node->tunnels, &peer->addr);

	cr_assert(host && host->primary);
	return host->primary;
}

static inline struct relay *entry_of(struct sim_node *node, struct sim_node *neighbour)
{
	struct peer_host *host = tunnels_find_host(&node->node->tunnels, &neighbour->addr);

	cr_assert(host && host->primary && host->primary->relays);
	return host->primary->relays;
}

/* Requests and responses about relays from one to the other, since sim_forget(). */
static inline size_t relay_words(struct sim *sim, const struct sim_node *from,
				 const struct sim_node *to)
{
	return sim_count(sim, &from->endpoint, &to->endpoint, WIRE_CONTROL, 0);
}

#endif
