/* greedy_sim.c - one lawful peer that asks for all it can get takes nothing from the others. */
#include "message.h"
#include "peers/node_query.h"
#include "peers/node_state.h"
#include "peers/relays.h"
#include "relay_net.h"

static void ask(struct sim_node *relay, struct sim_node *peer, struct addr to, uint32_t index)
{
	struct relay_message message = {.type = RELAY_REQUEST,
					.form = RELAY_V1,
					.initiator_index = index,
					.from = peer->addr,
					.to = to};
	uint8_t bytes[RELAY_BYTES_MAX];

	sim_opened(relay, peer, WIRE_CONTROL, bytes, relay_encode(&message, bytes, sizeof(bytes)));
}

/* Each answer is an order to a worker, and whole packets of them would wait in line. */
static void test_requests(struct sim *sim)
{
	static const uint8_t payload[1300];
	struct net net = relay_net(sim, 1);
	size_t before;

	sim->recording = true;
	before = sim_count(sim, NULL, &net.a->endpoint, WIRE_TEST_REPLY, 0);
	for (unsigned i = 0; i < 10000; i++)
		sim_opened(net.relay[0], net.a, WIRE_TEST_REQUEST, payload, sizeof(payload));
	sim_run(sim, 100 * SIM_MS);
	cr_expect_leq(sim_count(sim, NULL, &net.a->endpoint, WIRE_TEST_REPLY, 0) - before,
		      TEST_ANSWERS_PER_SECOND + TEST_ANSWERS_PER_SECOND / 10);
	cr_expect_geq(net.relay[0]->drops[DROP_TEST_RATE], 9900);
	/* another peer, at the same time, and the same one later */
	before = sim_count(sim, NULL, &net.b->endpoint, WIRE_TEST_REPLY, 0);
	sim_opened(net.relay[0], net.b, WIRE_TEST_REQUEST, payload, 8);
	sim_run(sim, 100 * SIM_MS);
	cr_expect_gt(sim_count(sim, NULL, &net.b->endpoint, WIRE_TEST_REPLY, 0), before);
	sim_run(sim, 2 * SIM_S);
	before = sim_count(sim, NULL, &net.a->endpoint, WIRE_TEST_REPLY, 0);
	sim_opened(net.relay[0], net.a, WIRE_TEST_REQUEST, payload, 8);
	sim_run(sim, 100 * SIM_MS);
	cr_expect_gt(sim_count(sim, NULL, &net.a->endpoint, WIRE_TEST_REPLY, 0), before);
}

Test(sim_greedy, test_requests)
{
	sim_seeds(2, test_requests);
}

/* One that asks and answers by turns is not asked back each time whether it hears us. */
static void asks_and_answers(struct sim *sim)
{
	static const uint8_t payload[8];
	struct net net = relay_net(sim, 1);
	struct sim_node *relay = net.relay[0];
	size_t before;

	sim_run(sim, 3 * SIM_S);
	sim_send(relay, 0, net.a->id, 1);
	sim_run(sim, 10 * SIM_MS);
	sim->recording = true;
	before = sim_count(sim, &relay->endpoint, &net.a->endpoint, WIRE_TEST_REQUEST, 0);
	for (unsigned i = 0; i < 50; i++) {
		sim_opened(relay, net.a, WIRE_TEST_REQUEST, payload, sizeof(payload));
		sim_opened(relay, net.a, WIRE_TEST_REPLY, payload, 1);
		sim_run(sim, SIM_MS);
	}
	before = sim_count(sim, &relay->endpoint, &net.a->endpoint, WIRE_TEST_REQUEST, 0) - before;
	cr_expect(before >= 1 && before <= 2, "%zu", before);
}

Test(sim_greedy, asks_and_answers)
{
	sim_seeds(2, asks_and_answers);
}

/* Every datagram from another port: each is a move, but not each a line of the log. */
static void ports(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	struct sim_node *relay = net.relay[0];
	uint64_t before = relay->log_lines[OUTSIDE_INFO];

	for (uint16_t i = 0; i < 10000; i++) {
		struct endpoint at = sim_endpoint(net.a->id, (uint16_t)(10000 + i));

		node_on_roam(relay->node, sim_primary(relay, net.a->id)->id, &at);
		if (i % 100 == 0)
			sim_node_reap(relay);
	}
	cr_expect_geq(relay->log_lines[OUTSIDE_INFO] - before, 10, "the first are told");
	cr_expect_leq(relay->log_lines[OUTSIDE_INFO] - before, TUNNEL_LOG_BURST + 10);
}

Test(sim_greedy, ports)
{
	sim_seeds(1, ports);
}

/* Reports of peer, each with another address; how many are answered within 100 ms. */
static size_t reports_answered(struct sim *sim, struct sim_node *lighthouse, struct sim_node *peer,
			       uint32_t count)
{
	struct lighthouse_message report = {
		.type = LIGHTHOUSE_UPDATE, .form = LIGHTHOUSE_V2, .v4_count = 1};
	size_t before = sim_count(sim, NULL, &peer->endpoint, WIRE_LIGHTHOUSE, 0);
	uint8_t bytes[LIGHTHOUSE_BYTES_MAX];

	for (uint32_t i = 0; i < count; i++) {
		report.v4[0] = sim_endpoint(100 + i % 100, (uint16_t)(1 + i));
		sim_opened(lighthouse, peer, WIRE_LIGHTHOUSE, bytes,
			   lighthouse_encode(&report, bytes, sizeof(bytes)));
	}
	sim_run(sim, 100 * SIM_MS);
	return sim_count(sim, NULL, &peer->endpoint, WIRE_LIGHTHOUSE, 0) - before;
}

/* Each report is work, and its answer an order to a worker: a peer has a rate, and it alone. */
static void reports(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	struct sim_node *lighthouse = net.lighthouse;

	sim->recording = true;
	cr_expect_leq(reports_answered(sim, lighthouse, net.a, 20000), MESSAGES_PEER_BURST + 1);
	cr_expect_geq(lighthouse->drops[DROP_MESSAGE_RATE], 20000 - MESSAGES_PEER_BURST - 1);
	cr_expect_eq(reports_answered(sim, lighthouse, net.b, 10), 10, "another peer");
	cr_expect_leq(reports_answered(sim, lighthouse, net.a, 20000),
		      MESSAGES_PEER * 3 / 10 + MESSAGES_PEER_BURST / 100);
	sim_run(sim, SIM_S);
	cr_expect_eq(reports_answered(sim, lighthouse, net.a, 10), 10, "and the same one later");
}

Test(sim_greedy, reports)
{
	sim_seeds(2, reports);
}

/* An end that says again and again that it is there: the other end hears of it when it has asked.
 */
static void relay_answers(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	struct relay_message answer = {
		.type = RELAY_RESPONSE, .form = RELAY_V1, .from = net.a->addr, .to = net.b->addr};
	struct sim_node *relay = net.relay[0];
	struct node_relay_view view;
	uint8_t bytes[RELAY_BYTES_MAX];
	size_t told;

	talk_until_heard(sim, &net, 2 * SIM_S);
	talk(sim, &net, 2 * SIM_S);
	cr_assert(node_query_relay(relay->node, &net.b->addr, 0, &view) && view.forwarding);
	answer.initiator_index = view.local_index;
	sim->recording = true;
	told = sim_count(sim, NULL, &net.a->endpoint, WIRE_CONTROL, 0);
	for (uint32_t i = 0; i < 20000; i++) {
		answer.responder_index = 1 + i % 2;
		sim_opened(relay, net.b, WIRE_CONTROL, bytes,
			   relay_encode(&answer, bytes, sizeof(bytes)));
	}
	answer.responder_index = view.remote_index;
	sim_run(sim, SIM_S);
	sim_opened(relay, net.b, WIRE_CONTROL, bytes, relay_encode(&answer, bytes, sizeof(bytes)));
	cr_expect_eq(sim_count(sim, NULL, &net.a->endpoint, WIRE_CONTROL, 0), told,
		     "a has not asked");
	cr_expect_geq(relay->drops[DROP_MESSAGE_RATE], 20000 - MESSAGES_PEER_BURST - 1);
	told = sim_count(sim, NULL, &net.a->endpoint, WIRE_CONTROL, 0);
	ask(relay, net.a, net.b->addr, 7);
	sim_run(sim, 100 * SIM_MS);
	cr_expect_gt(sim_count(sim, NULL, &net.a->endpoint, WIRE_CONTROL, 0), told, "now it has");
}

Test(sim_greedy, relay_answers)
{
	sim_seeds(2, relay_answers);
}

/* Entries come by the hundred with one tunnel and go with it: all are told, within the rate. */
static void tunnels_full_of_entries(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	struct sim_node *a = net.a, *relay = net.relay[0];
	uint64_t before = a->log_lines[OUTSIDE_INFO], rounds = 8;

	a->watched = "Relay ended";
	for (uint32_t round = 0; round < rounds; round++) {
		struct relay_message message = {RELAY_REQUEST, RELAY_V1, 1, 0, {{0}}, a->addr};
		uint8_t bytes[RELAY_BYTES_MAX];

		for (uint32_t i = 0; i < RELAYS_PER_TUNNEL_MAX; i++) {
			message.from = addr_from_v4(0x0a2a1000 + i);
			message.initiator_index = 1 + i;
			sim_opened(a, relay, WIRE_CONTROL, bytes,
				   relay_encode(&message, bytes, sizeof(bytes)));
		}
		node_order_close(a->node, &relay->addr, true);
		if (round == 0)
			cr_expect_eq(a->watched_lines, RELAYS_PER_TUNNEL_MAX, "all of the first");
		sim_send(a, 0, relay->id, round);
		sim_run(sim, 2 * SIM_S);
		cr_assert(sim_primary(a, relay->id));
	}
	cr_expect_leq(a->log_lines[OUTSIDE_INFO] - before,
		      TUNNEL_LOG_BURST + rounds * (2 * TUNNEL_LOG_PER_SECOND + 10));
}

Test(sim_greedy, tunnels_full_of_entries)
{
	sim_seeds(1, tunnels_full_of_entries);
}

/* One message to a relay over and over: nothing grows, but the relay's rate is for all. */
static void one_request(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	struct sim_node *relay = net.relay[0], *c = sim_add(sim);
	unsigned sent = 0;

	sim_client(c, net.lighthouse);
	sim_relay(c, relay);
	sim_cut(net.b, c, true);
	sim_start_node(c);
	sim_run(sim, 2 * SIM_S);
	for (uint64_t ms = 0; ms < 20000; ms++) {
		for (unsigned k = 0; k < 10; k++)
			ask(relay, net.a, net.b->addr, 7);
		if (ms >= 10000 && ms % 100 == 0) {
			sim_send(net.b, 0, c->id, 9000 + ms);
			sent++;
		}
		sim_run(sim, SIM_MS);
	}
	cr_expect_geq(sim_got(c, net.b->id), sent - 10, "%zu of %u", sim_got(c, net.b->id), sent);
	cr_expect_gt(relay->drops[DROP_RELAY_REFUSED], 10000);
	cr_expect_gt(relay->drops[DROP_RELAY_REFUSED] + relay->drops[DROP_MESSAGE_RATE], 100000);
}

Test(sim_greedy, one_request)
{
	sim_seeds(2, one_request);
}

/* Requests for hosts that are nowhere: each may begin a handshake that nobody answers. */
static void hosts_that_are_nowhere(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	struct sim_node *relay = net.relay[0];
	uint32_t next = 0x0a2a1000;
	size_t most = 0;

	for (unsigned t = 0; t < 2000; t++) { /* 20 s, 1000 a second */
		for (unsigned i = 0; i < 10; i++)
			ask(relay, net.a, addr_from_v4(next++), 1 + i);
		if (t % 10 == 0 && t > 200) /* what the relay's own users want */
			sim_send(relay, 0, 300 + t, 9000);
		sim_run(sim, 10 * SIM_MS);
		if (node_pending_count(relay->node) > most)
			most = node_pending_count(relay->node);
	}
	cr_expect_eq(relay->drops[DROP_PENDING_FULL], 0);
	cr_expect_lt(most, PENDING_MAX / 2);
}

Test(sim_greedy, hosts_that_are_nowhere)
{
	sim_seeds(1, hosts_that_are_nowhere);
}
