/* relay_search_sim.c - tunnels through a relay, and the searches for a direct path beside them. */
#include "hub.h"
#undef L
#undef A
#undef B
#include "relay_net.h"

TestSuite(relay_search, .timeout = 600);

static uint64_t between_searches(const struct net *net)
{
	return tunnel_with(net->a, net->b)->links[0].host->promote_wait_ns;
}

/*
 * Outages of the relay look like harm that searches have done, which come later then. Those that do
 * none come as often again, so a path that opens is still found at once.
 */
static void outages_of_the_relay(struct sim *sim)
{
	struct net net = relay_net(sim, 1);

	talk_until_heard(sim, &net, 2 * SIM_S);
	for (int i = 0; i < 20 && between_searches(&net) < 16 * SIM_S; i++) {
		talk(sim, &net, 20 * SIM_S + sim_random(sim, 20 * SIM_S));
		sim_cut(net.a, net.relay[0], true);
		talk(sim, &net, 4 * SIM_S);
		sim_cut(net.a, net.relay[0], false);
		talk_until_heard(sim, &net, 3 * SIM_S);
	}
	talk(sim, &net, 120 * SIM_S);
	cr_assert_eq(between_searches(&net), 2 * SIM_S);
	sim->cut[0].port = 0;
	talk(sim, &net, 5 * SIM_S);
	cr_assert(is_direct(net.a, net.b) && is_direct(net.b, net.a), "seed %llu",
		  (unsigned long long)sim->seed);
}

Test(relay_search, outages_of_the_relay)
{
	sim_seeds(5, outages_of_the_relay);
}

/* A host of which nothing is known but its relay: that is asked with each attempt. */
static void only_a_relay_is_known(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	struct lighthouse_message reply = hub_message(LIGHTHOUSE_REPLY, 77);
	size_t words;

	sim->recording = true;
	sim_send(net.a, 0, 77, 1);
	sim_run(sim, 50 * SIM_MS);
	reply.relay_count = 1;
	reply.relays[0] = net.relay[0]->addr;
	hub_say(net.a, net.lighthouse, &reply);
	sim_run(sim, 20 * SIM_MS);
	cr_assert_eq(relay_words(sim, net.a, net.relay[0]), 1, "at once");
	sim_run(sim, 10 * SIM_S);
	words = relay_words(sim, net.a, net.relay[0]);
	cr_assert(words >= 8 && words <= 12, "%zu", words);
}

Test(relay_search, only_a_relay_is_known)
{
	sim_seeds(2, only_a_relay_is_known);
}
