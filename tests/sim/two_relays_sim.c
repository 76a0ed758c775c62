/*
 * two_relays_sim.c - hosts that have no path to each other, and two relays: which is taken, and
 * that the other one stays at hand (PROTOCOL.md 7).
 */
#include "peers/node_query.h"
#include "peers/node_state.h"
#include "peers/relays.h"
#include "relay_net.h"

TestSuite(two_relays, .timeout = 600);

/* How many relays have an entry for b that frames could be sent through now? */
static unsigned established(const struct net *net)
{
	unsigned count = 0;

	for (unsigned i = 0; i < 2; i++) {
		struct peer_host *host =
			tunnels_find_host(&net->a->node->tunnels, &net->relay[i]->addr);
		const struct relay *relay =
			host && host->primary ? relays_find(host->primary, &net->b->addr) : NULL;

		count += relay && relay->state == RELAY_ESTABLISHED;
	}
	return count;
}

/* The other relay's entry is renewed when that relay has restarted unnoticed. */
static void spare_relays(struct sim *sim)
{
	struct net net = relay_net(sim, 2);
	unsigned spare;

	talk_until_heard(sim, &net, 3 * SIM_S);
	talk(sim, &net, 3 * SIM_S);
	cr_assert_eq(established(&net), 2);
	spare = sim_primary(net.a, net.b->id)->path->via == sim_primary(net.a, net.relay[0]->id)
			? 1
			: 0;
	node_order_close(net.a->node, &net.relay[spare]->addr, false);
	talk(sim, &net, 10 * SIM_S);
	cr_assert_eq(established(&net), 2, "one that is not used is there all the same");
}

Test(two_relays, spare_relays_are_kept)
{
	sim_seeds(10, spare_relays);
}

static void one_of_two_relays_dies(struct sim *sim)
{
	struct net net = relay_net(sim, 2);
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

Test(two_relays, one_of_two_relays_dies)
{
	sim_seeds(20, one_of_two_relays_dies);
}

/*
 * The entry that a tunnel goes through is lost: another one takes its place at once, and the peer
 * is asked whether that leads to it. One that is not established, or led to another host, or by
 * which we forward for others, is none.
 */
static void an_entry_is_lost(struct sim *sim)
{
	struct net net = relay_net(sim, 2);
	struct tunnel_record *record;
	struct relay *spare;
	bool usable;

	talk_until_heard(sim, &net, 3 * SIM_S);
	talk(sim, &net, 3 * SIM_S);
	cr_assert_eq(established(&net), 2);
	record = tunnel_with(net.a, net.b);
	spare = entry_of(net.a, net.relay[0]);
	if (spare == record->path)
		spare = entry_of(net.a, net.relay[1]);
	spare->wrong = sim->seed % 4 == 1;
	if (sim->seed % 4 == 2)
		spare->state = RELAY_DISESTABLISHED;
	if (sim->seed % 4 == 3)
		spare->type = RELAY_FORWARDING;
	usable = sim->seed % 4 == 0;
	relays_remove(net.a->node, record->path, "test");
	cr_assert_eq(record->path, usable ? spare : NULL);
	cr_assert_eq(record->live.test_ns != 0, usable);
	cr_assert_eq(record->state == RECORD_SUSPECT, !usable);
	talk_until_heard(sim, &net, 2 * SIM_S);
}

Test(two_relays, an_entry_is_lost)
{
	sim_seeds(8, an_entry_is_lost);
}

/*
 * The entry that a tunnel goes through is lost, and there are two others: one on the tunnel that
 * its relay uses, one on a tunnel that another relay has left behind. The first is the better one.
 */
static void the_better_of_two_entries(struct sim *sim)
{
	struct net net = relay_net(sim, 2);
	struct tunnel_record *record, *left_behind;

	talk_until_heard(sim, &net, 3 * SIM_S);
	talk(sim, &net, 3 * SIM_S);
	cr_assert_eq(established(&net), 2);
	record = tunnel_with(net.a, net.b);
	left_behind = tunnel_with(net.a, net.relay[sim->seed % 2]);
	relays_set_path(net.a->node, record, relays_find(left_behind, &net.b->addr));
	node_rehandshake(net.a->node, left_behind, "test");
	talk(sim, &net, 3 * SIM_S);
	cr_assert_neq(record->path->record, left_behind);
	cr_assert(relays_find(left_behind, &net.b->addr));
	relays_remove(net.a->node, record->path, "test");
	cr_assert(record->path && record->path->record != left_behind);
	talk_until_heard(sim, &net, 2 * SIM_S);
}

Test(two_relays, the_better_of_two_entries)
{
	sim_seeds(4, the_better_of_two_entries);
}

/* Two that are asked for at once, and lost: both are asked for again. */
static void both_are_asked_again(struct sim *sim)
{
	struct net net = relay_net(sim, 2);
	struct relay *entries[2];

	talk_until_heard(sim, &net, 3 * SIM_S);
	talk(sim, &net, 3 * SIM_S);
	for (unsigned i = 0; i < 2; i++) {
		entries[i] = entry_of(net.a, net.relay[i]);
		sim_cut(net.a, net.relay[i], true);
		entries[i]->state = RELAY_REQUESTED;
		relays_ask(net.a->node, entries[i]);
		relays_ask(net.a->node, entries[i]); /* once is enough */
	}
	sim_run(sim, 300 * SIM_MS);
	for (unsigned i = 0; i < 2; i++) {
		cr_assert_eq(entries[i]->state, RELAY_REQUESTED);
		sim_cut(net.a, net.relay[i], false);
	}
	sim_run(sim, 300 * SIM_MS);
	cr_assert(entries[0]->state == RELAY_ESTABLISHED && entries[1]->state == RELAY_ESTABLISHED);
}

Test(two_relays, both_are_asked_again)
{
	sim_seeds(2, both_are_asked_again);
}

static void ask_for_spare(struct net *net, struct relay *spare)
{
	spare->state = RELAY_DISESTABLISHED;
	relays_keep_spares(net->a->node, tunnel_with(net->a, net->b)->links[0].host);
}

/* What asks for a spare entry is lost: it is sent again, so often and no more. */
static void asked_in_bad_weather(struct sim *sim)
{
	struct net net = relay_net(sim, 2);
	struct relay *spare;

	talk_until_heard(sim, &net, 3 * SIM_S);
	talk(sim, &net, 3 * SIM_S);
	spare = entry_of(net.a, net.relay[1]);
	sim_run(sim, 5 * SIM_S);
	sim_cut(net.a, net.relay[1], true);
	ask_for_spare(&net, spare);
	sim_run(sim, 500 * SIM_MS);
	cr_assert_eq(spare->state, RELAY_REQUESTED);
	sim_cut(net.a, net.relay[1], false);
	sim_run(sim, 300 * SIM_MS);
	cr_assert_eq(spare->state, RELAY_ESTABLISHED);

	sim_run(sim, SIM_S);
	sim_cut(net.a, net.relay[1], true);
	sim->recording = true;
	ask_for_spare(&net, spare);
	sim_run(sim, 5 * SIM_S);
	cr_assert_eq(sim_count(sim, &net.a->endpoint, &net.relay[1]->endpoint, WIRE_CONTROL, 0),
		     10);
	cr_assert_eq(spare->asks, 0);
}

Test(two_relays, asked_in_bad_weather)
{
	sim_seeds(4, asked_in_bad_weather);
}
