/*
 * half_path_sim.c - paths that are open in one direction only, and a relay beside them: whoever is
 * not heard there is led to the relay, and nobody is led back while it is so.
 */
#include "relay_net.h"

TestSuite(half_path, .timeout = 600);

/* As sim_path has it, and one packet that is not answered. */
#define WORST_NS (2300 * SIM_MS)
#define STEP_NS  (100 * SIM_MS)

/* Who sends all the time, and whether the other one answers each packet that comes. */
enum traffic { BOTH, A_ASKS, B_ASKS, A_ONLY, B_ONLY, KINDS };

static bool step(struct sim *sim, const struct net *net, enum traffic kind)
{
	size_t a = sim_got(net->a, net->b->id), b = sim_got(net->b, net->a->id);

	if (kind != B_ASKS && kind != B_ONLY)
		sim_send(net->a, 0, net->b->id, sim->now_ns);
	if (kind != A_ASKS && kind != A_ONLY)
		sim_send(net->b, 0, net->a->id, sim->now_ns);
	sim_run(sim, STEP_NS / 2);
	if (kind == A_ASKS && sim_got(net->b, net->a->id) > b)
		sim_send(net->b, 0, net->a->id, sim->now_ns);
	if (kind == B_ASKS && sim_got(net->a, net->b->id) > a)
		sim_send(net->a, 0, net->b->id, sim->now_ns);
	sim_run(sim, STEP_NS / 2);
	return (kind == A_ONLY || sim_got(net->a, net->b->id) > a) &&
	       (kind == B_ONLY || sim_got(net->b, net->a->id) > b);
}

/* Nothing is missed but for one time at most, at the beginning. */
static void heals(struct sim *sim, const struct net *net, enum traffic kind, uint64_t duration_ns)
{
	uint64_t start = sim->now_ns, missed = start;

	while (sim->now_ns < start + duration_ns)
		if (!step(sim, net, kind))
			missed = sim->now_ns;
	SIM_ASSERT(sim, missed - start <= WORST_NS, "traffic %d: not through %llu ms later", kind,
		   (unsigned long long)((missed - start) / SIM_MS));
}

/* Nothing passes from one to the other any more. */
static void cut(struct sim *sim, const struct sim_node *from, const struct sim_node *to)
{
	sim->cut_one_way = true;
	sim->cut[0] = from->endpoint;
	sim->cut[1] = to->endpoint;
}

/* Two hosts without a tunnel, nothing is cut. */
static struct net open_net(struct sim *sim, unsigned relays)
{
	struct net net = relay_net(sim, relays);

	sim->cut[0] = (struct endpoint){0};
	return net;
}

static void one_direction_closes(struct sim *sim)
{
	struct net net = open_net(sim, 1);
	enum traffic kind = (enum traffic)(sim->seed % KINDS);

	if (sim->seed / KINDS % 2)
		sim_send(net.a, 0, net.b->id, 1);
	else
		sim_send(net.b, 0, net.a->id, 1);
	sim_run(sim, SIM_S);
	talk(sim, &net, 3 * SIM_S + sim_random(sim, SIM_S));
	cr_assert(is_direct(net.a, net.b) && is_direct(net.b, net.a));
	cut(sim, net.b, net.a);
	heals(sim, &net, kind, 60 * SIM_S);
	if (kind != A_ONLY && kind != B_ONLY)
		cr_assert(is_relayed(net.a, net.b) && is_relayed(net.b, net.a));
	sim->cut[0] = (struct endpoint){0};
	talk(sim, &net, 5 * SIM_S);
	cr_assert(is_direct(net.a, net.b) && is_direct(net.b, net.a), "open again");
}

Test(half_path, one_direction_closes)
{
	sim_seeds(40, one_direction_closes);
}

static void one_direction_was_never_open(struct sim *sim)
{
	struct net net = open_net(sim, 1);

	cut(sim, net.b, net.a);
	heals(sim, &net, (enum traffic)(sim->seed % KINDS), 20 * SIM_S);
}

Test(half_path, one_direction_was_never_open)
{
	sim_seeds(20, one_direction_was_never_open);
}

/* A hop of the relay in use is open in one direction only; there is another relay. */
static void half_a_hop(struct sim *sim)
{
	struct net net = relay_net(sim, 2);
	struct sim_node *used = net.relay[0];

	sim_cut(net.a, net.b, true);
	talk_until_heard(sim, &net, 3 * SIM_S);
	talk(sim, &net, 5 * SIM_S + sim_random(sim, SIM_S));
	if (sim_primary(net.b, net.a->id)->path->via != sim_primary(net.b, used->id))
		used = net.relay[1];
	cut(sim, net.b, used);
	heals(sim, &net, (enum traffic)(sim->seed % KINDS), 8 * SIM_S);
}

Test(half_path, half_a_hop)
{
	sim_seeds(40, half_a_hop);
}

/*
 * The same with a peer that follows nobody to the relay, and is led to the dead path by a test
 * request that comes there.
 */
static void stock_peer(struct sim *sim)
{
	struct net net = open_net(sim, 1);
	enum traffic kind = (enum traffic)(sim->seed % A_ONLY);
	unsigned missed = 0;

	net.b->stock = true;
	if (sim->seed / A_ONLY % 2)
		talk(sim, &net, 3 * SIM_S + sim_random(sim, SIM_S));
	cut(sim, net.b, net.a);
	for (int i = 0; !step(sim, &net, kind); i++)
		SIM_ASSERT(sim, i < 40, "traffic %d: not within 4 s", kind);
	for (int i = 0; i < 600; i++)
		missed += !step(sim, &net, kind);
	SIM_ASSERT(sim, missed < 100, "traffic %d: %u of 600 are not answered", kind, missed);
}

Test(half_path, a_stock_peer)
{
	sim_seeds(20, stock_peer);
}

/*
 * The direct path is dead in our direction, and the peer, which uses no relays itself, can do
 * nothing: we hear all that it sends, and that it asks again and again whether we live.
 */
static void helpless_peer(struct sim *sim)
{
	struct net net = open_net(sim, 1);
	struct relay_options none = {.relays = &net.relay[0]->addr, .relay_count = 1};
	enum traffic kind = (enum traffic)(sim->seed % A_ONLY);
	int i = 0;

	relays_reconfigure(net.b->node, &none);
	talk(sim, &net, 3 * SIM_S + sim_random(sim, SIM_S));
	cut(sim, net.a, net.b);
	for (; !step(sim, &net, kind); i++)
		SIM_ASSERT(sim, i < 90, "traffic %d: not within 9 s", kind);
	for (i = 0; i < 200; i++)
		SIM_ASSERT(sim, step(sim, &net, kind), "traffic %d: not for good", kind);
}

Test(half_path, a_helpless_peer)
{
	sim_seeds(10, helpless_peer);
}

/* One stage 2 is lost, and nothing else: the tunnel is direct as soon as that can be known. */
static void a_lost_answer(struct sim *sim)
{
	struct net net = open_net(sim, 1);

	cut(sim, net.b, net.a);
	sim_send(net.a, 0, net.b->id, 1);
	while (!sim_primary(net.a, net.b->id))
		sim_run(sim, SIM_MS / 10);
	sim->cut[0] = (struct endpoint){0};
	cr_assert(is_relayed(net.a, net.b));
	sim_run(sim, 20 * SIM_MS);
	cr_assert(is_direct(net.a, net.b) && is_direct(net.b, net.a));
}

Test(half_path, a_lost_answer)
{
	sim_seeds(10, a_lost_answer);
}
