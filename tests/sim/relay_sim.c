/* relay_sim.c - hosts that have no path to each other but through a third one (PROTOCOL.md 7). */
#include "message.h"
#include "peers/node_query.h"
#include "peers/relays.h"
#include "sim.h"

TestSuite(relay_sim, .timeout = 600);

struct net {
	struct sim_node *lighthouse, *a, *b;
	struct sim_node *relay[2];
};

/* A lighthouse that is also relay 0, hosts a and b, and relay 1; nothing passes between a and b. */
static struct net make(struct sim *sim, unsigned relays)
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
static void talk(struct sim *sim, const struct net *net, uint64_t duration_ns)
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
static uint64_t talk_until_heard(struct sim *sim, const struct net *net, uint64_t limit_ns)
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

static bool is_relayed(struct sim_node *node, struct sim_node *peer)
{
	struct tunnel *tunnel = sim_primary(node, peer->id);

	return tunnel && !tunnel->remote && tunnel->path;
}

static bool is_direct(struct sim_node *node, struct sim_node *peer)
{
	struct tunnel *tunnel = sim_primary(node, peer->id);

	return tunnel && tunnel->remote;
}

static void no_path_but_the_relay(struct sim *sim)
{
	struct net net = make(sim, 1);

	talk_until_heard(sim, &net, 2 * SIM_S);
	cr_assert(is_relayed(net.a, net.b) && is_relayed(net.b, net.a));
	talk(sim, &net, 20 * SIM_S);
	cr_assert(is_relayed(net.a, net.b) && is_relayed(net.b, net.a));
	cr_assert_gt(sim_got(net.a, net.b->id), 190);
	cr_assert_gt(sim_got(net.b, net.a->id), 190);
	cr_assert_gt(net.relay[0]->forwarded, 380);
	cr_assert(sim_in_order(net.a, net.b->id));
	cr_assert(sim_in_order(net.b, net.a->id));
}

Test(relay_sim, no_path_but_the_relay)
{
	sim_seeds(10, no_path_but_the_relay);
}

static void both_begin_in_bad_weather(struct sim *sim)
{
	struct net net = make(sim, 1 + sim->seed % 2);

	sim->weather = (struct sim_weather){100, 100, SIM_MS, 50 * SIM_MS};
	talk_until_heard(sim, &net, 12 * SIM_S);
	talk(sim, &net, 10 * SIM_S);
	sim->weather = (struct sim_weather){0, 0, SIM_MS, SIM_MS};
	talk(sim, &net, 3 * SIM_S);
	talk_until_heard(sim, &net, SIM_S);
}

Test(relay_sim, both_begin_in_bad_weather)
{
	sim_seeds(20, both_begin_in_bad_weather);
}

static void a_path_opens(struct sim *sim)
{
	struct net net = make(sim, 1);
	uint64_t forwarded;

	talk_until_heard(sim, &net, 2 * SIM_S);
	talk(sim, &net, 5 * SIM_S + sim_random(sim, SIM_S));
	sim->cut[0].port = 0;
	talk(sim, &net, 5 * SIM_S);
	cr_assert(is_direct(net.a, net.b) && is_direct(net.b, net.a));
	forwarded = net.relay[0]->forwarded;
	talk(sim, &net, 2 * SIM_S);
	cr_assert_eq(net.relay[0]->forwarded, forwarded, "nothing goes the long way any more");
	cr_assert_gt(sim_got(net.a, net.b->id), 110, "and nothing was lost");
}

Test(relay_sim, a_path_opens)
{
	sim_seeds(20, a_path_opens);
}

static void the_path_closes_again(struct sim *sim)
{
	struct net net = make(sim, 1);
	struct endpoint cut = sim->cut[0];

	sim->cut[0].port = 0;
	talk_until_heard(sim, &net, 2 * SIM_S);
	talk(sim, &net, 3 * SIM_S);
	cr_assert(is_direct(net.a, net.b));
	sim->cut[0] = cut;
	talk(sim, &net, SIM_S);
	talk_until_heard(sim, &net, 2 * SIM_S);
	cr_assert(is_relayed(net.a, net.b) && is_relayed(net.b, net.a));
}

Test(relay_sim, the_path_closes_again)
{
	sim_seeds(20, the_path_closes_again);
}

static void the_relay_restarts(struct sim *sim)
{
	struct net net = make(sim, 1);

	talk_until_heard(sim, &net, 2 * SIM_S);
	talk(sim, &net, 3 * SIM_S);
	net.relay[0]->mute_recv_error = sim->seed % 2;
	sim_kill_node(net.relay[0]);
	if (sim->seed % 3 == 0)
		talk(sim, &net, 2 * SIM_S);
	sim_start_node(net.relay[0]);
	talk(sim, &net, SIM_S);
	talk_until_heard(sim, &net, net.relay[0]->mute_recv_error ? 6 * SIM_S : 3 * SIM_S);
	talk(sim, &net, 2 * SIM_S);
	talk_until_heard(sim, &net, SIM_S / 2);
}

Test(relay_sim, the_relay_restarts)
{
	sim_seeds(30, the_relay_restarts);
}

static void one_of_two_relays_dies(struct sim *sim)
{
	struct net net = make(sim, 2);
	struct tunnel *via;
	unsigned used;

	talk_until_heard(sim, &net, 3 * SIM_S);
	talk(sim, &net, 3 * SIM_S);
	cr_assert(is_relayed(net.a, net.b));
	via = sim_primary(net.a, net.b->id)->path->via;
	used = via == sim_primary(net.a, net.relay[0]->id) ? 0 : 1;
	sim_kill_node(net.relay[used]);
	talk(sim, &net, 200 * SIM_MS); /* what was on its way */
	talk_until_heard(sim, &net, 3 * SIM_S - 200 * SIM_MS);
	cr_assert(is_relayed(net.a, net.b) && is_relayed(net.b, net.a));
	talk(sim, &net, 3 * SIM_S);
	talk_until_heard(sim, &net, SIM_S / 2);
}

Test(relay_sim, one_of_two_relays_dies)
{
	sim_seeds(20, one_of_two_relays_dies);
}

static void the_relay_leaves_politely(struct sim *sim)
{
	struct net net = make(sim, 2);
	unsigned used;

	talk_until_heard(sim, &net, 3 * SIM_S);
	talk(sim, &net, SIM_S);
	used = sim_primary(net.a, net.b->id)->path->via != sim_primary(net.a, net.relay[0]->id);
	node_shutdown(net.relay[used]->node);
	sim_run(sim, 20 * SIM_MS);
	sim_kill_node(net.relay[used]);
	talk_until_heard(sim, &net, 2 * SIM_S);
	cr_assert(is_relayed(net.a, net.b));
}

Test(relay_sim, the_relay_leaves_politely)
{
	sim_seeds(20, the_relay_leaves_politely);
}

static void an_end_restarts(struct sim *sim)
{
	struct net net = make(sim, 1);

	talk_until_heard(sim, &net, 2 * SIM_S);
	talk(sim, &net, 3 * SIM_S);
	sim_kill_node(net.b);
	sim_start_node(net.b);
	talk(sim, &net, SIM_S / 2);
	talk_until_heard(sim, &net, 5 * SIM_S);
	cr_assert(is_relayed(net.a, net.b));
}

Test(relay_sim, an_end_restarts)
{
	sim_seeds(20, an_end_restarts);
}

/* A tunnel to the relay that is replaced takes what is used along. */
static void a_new_tunnel_to_the_relay(struct sim *sim)
{
	struct net net = make(sim, 1);
	struct tunnel *old;
	struct addr relay = net.relay[0]->addr;

	talk_until_heard(sim, &net, 2 * SIM_S);
	talk(sim, &net, SIM_S);
	old = sim_primary(net.a, net.relay[0]->id);
	node_on_counter(net.a->node, old->id, COUNTER_REHANDSHAKE_AT);
	talk(sim, &net, 3 * SIM_S);
	cr_assert_neq(sim_primary(net.a, net.relay[0]->id), old);
	cr_assert(is_relayed(net.a, net.b));
	cr_assert_eq(sim_primary(net.a, net.b->id)->path->via, sim_primary(net.a, net.relay[0]->id),
		     "the path has moved");
	talk(sim, &net, 30 * SIM_S);
	for (struct node_tunnel_view view; node_query_tunnel(net.a->node, &relay, 1, &view);)
		cr_assert_fail("the old tunnel has gone");
	cr_assert_gt(sim_got(net.b, net.a->id), 335, "nothing was lost");
}

Test(relay_sim, a_new_tunnel_to_the_relay)
{
	sim_seeds(10, a_new_tunnel_to_the_relay);
}

/* m57 as a relay goes on as soon as the configuration says so, and stops too. */
static void reconfigured(struct sim *sim)
{
	struct net net = make(sim, 1);
	struct relay_options off = {.use_relays = true}, on = {.am_relay = true};
	size_t got;

	talk_until_heard(sim, &net, 2 * SIM_S);
	relays_reconfigure(net.relay[0]->node, &off);
	sim_run(sim, 100 * SIM_MS);
	got = sim_got(net.b, net.a->id);
	talk(sim, &net, 3 * SIM_S);
	cr_assert_eq(sim_got(net.b, net.a->id), got);
	relays_reconfigure(net.relay[0]->node, &on);
	talk_until_heard(sim, &net, 5 * SIM_S);
}

Test(relay_sim, reconfigured)
{
	sim_seeds(10, reconfigured);
}
