/* promote_sim.c - better paths, and news of hosts, after so many packets (control/peers/promote.h).
 */
#include "peers/node_state.h"
#include "pair.h"
#include "relay_net.h"

static void send_many(struct sim *sim, uint64_t first, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		sim_send(A, 0, 2, first + i);
		if (i % 50 == 0)
			sim_run(sim, 10 * SIM_MS);
	}
	sim_run(sim, SIM_S);
	sim_send(A, 0, 2, first + count);
	sim_run(sim, SIM_S);
}

/* A lighthouse looks for no better path. */
static void promotes(struct sim *sim)
{
	bool lighthouse = sim->seed % 2;
	struct prefix range = {addr_from_v4(0xc6336400), 120};
	struct endpoint better = {addr_from_v4(0xc6336402), 4242}, other = sim_endpoint(99, 4242);

	sim_add(sim);
	sim_add(sim);
	sim_static(A, 2, &B->endpoint);
	sim_static(A, 2, &better);
	sim_static(A, 2, &other);
	sim_static(B, 1, &A->endpoint);
	A->options.lighthouse.preferred = &range;
	A->options.lighthouse.preferred_count = 1;
	A->options.try_promote = 1000;
	A->options.lighthouse.am_lighthouse = lighthouse;
	sim_start_node(A);
	sim_start_node(B);
	sim->recording = true;
	send_many(sim, 1, 900);
	cr_assert_eq(sim_count(sim, &A->endpoint, &better, WIRE_TEST_REQUEST, 0), 0, "too early");
	send_many(sim, 1000, 200);
	cr_assert_eq(sim_count(sim, &A->endpoint, &better, WIRE_TEST_REQUEST, 0), !lighthouse);
	send_many(sim, 2000, 500);
	cr_assert_eq(sim_count(sim, &A->endpoint, &better, WIRE_TEST_REQUEST, 0), !lighthouse);
	cr_assert_eq(sim_count(sim, &A->endpoint, &other, WIRE_TEST_REQUEST, 0), 0, "no better");
	A->node->options.try_promote = 0;
	send_many(sim, 3000, 1500);
	cr_assert_eq(sim_count(sim, &A->endpoint, &better, WIRE_TEST_REQUEST, 0), !lighthouse,
		     "never");
	/* nor where another host has answered */
	A->node->options.try_promote = 1000;
	remotes_block(tunnels_find_host(&A->node->tunnels, &B->addr)->remotes, &better);
	send_many(sim, 5000, 1500);
	cr_assert_eq(sim_count(sim, &A->endpoint, &better, WIRE_TEST_REQUEST, 0), !lighthouse);
	/* a tunnel that is there already is left in peace */
	remotes_unblock(tunnels_find_host(&A->node->tunnels, &B->addr)->remotes);
	sim_kill_node(B);
	B->endpoint = better;
	sim_start_node(B);
	cr_assert_leq(until_heard(sim, A, B, 100 * SIM_MS, 10 * SIM_S), HEAL_NS);
	cr_assert(endpoint_equal(&sim_primary(A, 2)->remote->to, &better));
	better.port = 4243;
	initiator_add_remote(A->node, tunnels_find_host(&A->node->tunnels, &B->addr), &better);
	send_many(sim, 7000, 2500);
	cr_assert_eq(sim_count(sim, &A->endpoint, &better, WIRE_TEST_REQUEST, 0), 0);
}

Test(promote_sim, preferred_addresses_are_tried_every_so_many_packets)
{
	sim_seeds(3, promotes);
}

/* A tunnel without a direct path has none that could be a worse one: its addresses are tried as
 * those of such a tunnel are. */
static void promotes_relayed(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	struct prefix range = {addr_from_v4(0xc6336400), 120};

	net.a->options.lighthouse.preferred = &range;
	net.a->options.lighthouse.preferred_count = 1;
	net.a->options.try_promote = 5;
	node_reconfigure(net.a->node, &net.a->options, &net.a->pki);
	talk_until_heard(sim, &net, 2 * SIM_S);
	talk(sim, &net, 10 * SIM_S);
	cr_assert(is_relayed(net.a, net.b));
}

Test(promote_sim, a_relayed_tunnel_has_no_preferred_address)
{
	sim_seeds(2, promotes_relayed);
}

/* A host may be reached through relays alone, its list says: who tries its address has no answer
 * from there, so both ends go on with the relay. */
static void relays_alone(struct sim *sim)
{
	struct allow_rule rule = {.allow = false};
	struct allow_list list = {.count = 1, .rules = &rule};
	struct net net = relay_net(sim, 1);
	bool v4;

	rule.prefix = (struct prefix){net.b->endpoint.addr, 128};
	cr_assert_eq(allow_list_finish(&list, &v4), 0);
	net.a->options.lighthouse.remote_allow.all = &list;
	node_reconfigure(net.a->node, &net.a->options, &net.a->pki);
	talk_until_heard(sim, &net, 2 * SIM_S);
	sim->recording = true;
	sim->cut[0] = sim->cut[1] = (struct endpoint){0};
	talk(sim, &net, 30 * SIM_S);
	cr_assert_gt(sim_count(sim, &net.b->endpoint, &net.a->endpoint, WIRE_TEST_REQUEST, 0), 0);
	for (size_t i = 0; i < sim->sent_count; i++)
		cr_assert(!endpoint_equal(&sim->sent[i].from, &net.a->endpoint) ||
				  !endpoint_equal(&sim->sent[i].to, &net.b->endpoint),
			  "type %d", sim->sent[i].bytes[0]);
	cr_assert_gt(net.a->drops[DROP_REMOTE_DENIED], 0);
	cr_assert(is_relayed(net.a, net.b) && is_relayed(net.b, net.a));
}

Test(promote_sim, relays_alone)
{
	sim_seeds(2, relays_alone);
}

/* A, which knows where B is, calls it; B prefers addresses in range, which must stay. */
static void a_calls(struct sim *sim, struct prefix *range)
{
	sim_static(A, 2, &B->endpoint);
	B->options.lighthouse.preferred = range;
	B->options.lighthouse.preferred_count = 1;
	sim_start_node(A);
	sim_start_node(B);
	sim->recording = true;
	sim_send(A, 0, 2, 1);
}

/*
 * A calls at two addresses at once, and the copy from its preferred one comes second: B tries that
 * one. Not a copy that comes later, nor one from anywhere else, or where A may not be.
 */
static void offered(struct sim *sim)
{
	struct prefix range = {sim_endpoint(0x600, 0).addr, ADDR_V4_BITS + 24};
	struct endpoint better = sim_endpoint(0x605, 4242), other = sim_endpoint(77, 4242),
			late = sim_endpoint(0x607, 4242), forbidden = sim_endpoint(0x608, 4242);
	struct allow_rule rule = {{forbidden.addr, 128}, false};
	struct allow_list list = {.count = 1, .rules = &rule};
	struct remote_allow_range of_a = {.list = &list};
	struct sim_datagram *first;
	bool confirmed = sim->seed % 2, v4;

	cr_assert_eq(allow_list_finish(&list, &v4), 0);
	sim_add(sim);
	sim_add(sim);
	of_a.vpn = (struct prefix){A->addr, 128};
	B->options.lighthouse.remote_allow =
		(struct remote_allow){.range_count = 1, .ranges = &of_a};
	a_calls(sim, &range);
	while (!(first = sim_find(sim, &A->endpoint, NULL, WIRE_HANDSHAKE, 1, 0)))
		sim_run(sim, SIM_MS / 10);
	if (!confirmed)
		sim_kill_node(A);
	sim_run(sim, SIM_S / 2);
	sim_inject(sim, &better, &B->endpoint, first->bytes, first->length, SIM_MS);
	sim_inject(sim, &other, &B->endpoint, first->bytes, first->length, SIM_MS);
	sim_inject(sim, &forbidden, &B->endpoint, first->bytes, first->length, SIM_MS);
	sim_run(sim, 3 * SIM_S);
	first = sim_find(sim, &A->endpoint, NULL, WIRE_HANDSHAKE, 1, 0);
	sim_inject(sim, &late, &B->endpoint, first->bytes, first->length, SIM_MS);
	sim_run(sim, SIM_S);
	cr_assert_eq(sim_count(sim, &B->endpoint, &better, WIRE_TEST_REQUEST, 0), 1);
	cr_assert_eq(sim_count(sim, &B->endpoint, &other, WIRE_TEST_REQUEST, 0), 0);
	cr_assert_eq(sim_count(sim, &B->endpoint, &late, WIRE_TEST_REQUEST, 0), 0);
	cr_assert_eq(sim_count(sim, &B->endpoint, &forbidden, WIRE_TEST_REQUEST, 0), 0);
	if (confirmed)
		cr_assert(endpoint_equal(&sim_primary(B, 1)->remote->to, &A->endpoint), "a copy");
}

/* B is called at a preferred address at once: other ones that are preferred are no better. */
static void offered_no_better(struct sim *sim)
{
	struct prefix range = {sim_endpoint(0x600, 0).addr, ADDR_V4_BITS + 24};
	struct endpoint better = sim_endpoint(0x605, 4242);
	struct sim_datagram *first;

	sim_add(sim);
	sim_add(sim);
	A->endpoint = sim_endpoint(0x606, 4242);
	a_calls(sim, &range);
	sim_run(sim, SIM_S / 2);
	first = sim_find(sim, &A->endpoint, NULL, WIRE_HANDSHAKE, 1, 0);
	sim_inject(sim, &better, &B->endpoint, first->bytes, first->length, SIM_MS);
	sim_run(sim, SIM_S);
	cr_assert_eq(sim_count(sim, &B->endpoint, &better, WIRE_TEST_REQUEST, 0), 0);
}

Test(promote_sim, a_preferred_address_is_not_left_for_another)
{
	sim_seeds(2, offered_no_better);
}

Test(promote_sim, a_preferred_address_that_called_is_tried)
{
	sim_seeds(4, offered);
}

static size_t queries(struct sim *sim)
{
	return sim_count(sim, &A->endpoint, &sim->nodes[2].endpoint, WIRE_LIGHTHOUSE, 0);
}

static void requeries(struct sim *sim)
{
	size_t before;

	for (int i = 0; i < 3; i++)
		sim_add(sim);
	sim_client(A, &sim->nodes[2]);
	sim_client(B, &sim->nodes[2]);
	A->options.lighthouse.interval_ns = B->options.lighthouse.interval_ns = 0;
	A->options.requery_every = 2000;
	A->options.requery_wait_ns = 60 * SIM_S;
	for (int i = 0; i < 3; i++)
		sim_start_node(&sim->nodes[i]);
	sim->recording = true;
	sim_run(sim, SIM_S);
	send_many(sim, 1, 1900);
	before = queries(sim);
	send_many(sim, 2000, 200);
	cr_assert_eq(queries(sim), before + 1, "not asked");
	send_many(sim, 3000, 2500);
	cr_assert_eq(queries(sim), before + 1, "before requery_wait_duration is over");
	sim_run(sim, 60 * SIM_S);
	send_many(sim, 6000, 50);
	cr_assert_eq(queries(sim), before + 2);
}

Test(promote_sim, lighthouses_are_asked_every_so_many_packets)
{
	sim_seeds(3, requeries);
}
