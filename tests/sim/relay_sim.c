/* relay_sim.c - hosts that have no path to each other but through a third one (PROTOCOL.md 7). */
#include "message.h"
#include "peers/node_query.h"
#include "peers/node_state.h"
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

/* What passes one way only is no path: nobody may be led onto it. */
static void only_one_direction_opens(struct sim *sim)
{
	struct net net = make(sim, 1);

	talk_until_heard(sim, &net, 2 * SIM_S);
	sim->cut_one_way = true;
	if (sim->seed % 2) {
		sim->cut[0] = net.b->endpoint;
		sim->cut[1] = net.a->endpoint;
	}
	talk(sim, &net, 30 * SIM_S);
	cr_assert(is_relayed(net.a, net.b) && is_relayed(net.b, net.a));
	cr_assert_gt(sim_got(net.a, net.b->id), 290);
	cr_assert_gt(sim_got(net.b, net.a->id), 290);
}

Test(relay_sim, only_one_direction_opens)
{
	sim_seeds(10, only_one_direction_opens);
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

/* Its recv_error for a frame is acted upon at once: silence would take a second and more. */
static void recv_error_of_a_relay(struct sim *sim)
{
	struct net net = make(sim, 1);
	size_t tests;

	talk_until_heard(sim, &net, 2 * SIM_S);
	talk(sim, &net, 3 * SIM_S);
	sim_kill_node(net.relay[0]);
	sim_start_node(net.relay[0]);
	sim->recording = true;
	talk(sim, &net, 300 * SIM_MS);
	tests = sim_count(sim, &net.a->endpoint, &net.relay[0]->endpoint, WIRE_TEST_REQUEST, 0);
	cr_assert(tests >= 1 && tests <= 3, "%zu tests of the relay's tunnel", tests);
}

Test(relay_sim, recv_error_of_a_relay)
{
	sim_seeds(10, recv_error_of_a_relay);
}

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
	struct net net = make(sim, 2);
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

Test(relay_sim, spare_relays_are_kept)
{
	sim_seeds(10, spare_relays);
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

/* --- who says what he may not ------------------------------------------------------------------
 */

static size_t entries(struct sim_node *node, struct sim_node *neighbour)
{
	struct node_relay_view view;
	uint32_t count = 0;

	while (node_query_relay(node->node, &neighbour->addr, count, &view))
		count++;
	return count;
}

static struct addr host_addr(uint32_t id)
{
	return addr_from_v4(0x0a2a0000 + id);
}

/* A relay message as if from peer; the reason that it was dropped for, or DROP_NONE. */
static enum drop told(struct sim_node *node, struct sim_node *peer, enum relay_message_type type,
		      struct addr from, struct addr to, uint32_t initiator, uint32_t responder)
{
	struct relay_message message = {type, RELAY_V1, initiator, responder, from, to};
	uint64_t invalid = node->drops[DROP_RELAY_INVALID];
	uint64_t refused = node->drops[DROP_RELAY_REFUSED];
	uint8_t bytes[RELAY_BYTES_MAX];
	size_t length = relay_encode(&message, bytes, sizeof(bytes));

	sim_opened(node, peer, WIRE_CONTROL, bytes, length);
	return node->drops[DROP_RELAY_INVALID] != invalid   ? DROP_RELAY_INVALID
	       : node->drops[DROP_RELAY_REFUSED] != refused ? DROP_RELAY_REFUSED
							    : DROP_NONE;
}

/* Traps 79 and 82: loops, ourselves, others' names and others' entries. */
static void lies(struct sim *sim)
{
	struct net net = make(sim, 1);
	struct sim_node *relay = net.relay[0], *a = net.a, *b = net.b;
	struct node_relay_view view;

	/* to the relay */
	cr_expect_eq(told(relay, a, RELAY_REQUEST, b->addr, host_addr(99), 5, 0),
		     DROP_RELAY_INVALID, "in another's name");
	cr_expect_eq(told(relay, a, RELAY_REQUEST, a->addr, a->addr, 5, 0), DROP_RELAY_INVALID,
		     "to itself");
	cr_expect_eq(told(relay, a, RELAY_REQUEST, a->addr, relay->addr, 5, 0), DROP_RELAY_INVALID,
		     "to the relay");
	cr_expect_eq(told(relay, a, RELAY_REQUEST, relay->addr, b->addr, 5, 0), DROP_RELAY_INVALID,
		     "in the relay's name");
	cr_expect_eq(told(relay, a, RELAY_REQUEST, a->addr, b->addr, 0, 0), DROP_RELAY_INVALID,
		     "without an index");
	cr_expect_eq(told(relay, a, RELAY_REQUEST, a->addr, addr_from_v4(0x08080808), 5, 0),
		     DROP_RELAY_REFUSED, "outside of the network");
	cr_expect_eq(node_pending_count(relay->node), 0, "nobody is looked for there");
	cr_expect_eq(told(relay, a, RELAY_REQUEST, a->addr, host_addr(77), 5, 0),
		     DROP_RELAY_REFUSED, "not there");
	cr_expect_eq(entries(relay, a) + entries(relay, b), 0);
	/* to an end: its relay's peer is the relay itself, or the end */
	cr_expect_eq(told(a, relay, RELAY_REQUEST, relay->addr, a->addr, 5, 0), DROP_RELAY_INVALID);
	cr_expect_eq(told(a, relay, RELAY_REQUEST, a->addr, a->addr, 5, 0), DROP_RELAY_INVALID);
	cr_expect_eq(told(a, relay, RELAY_REQUEST, relay->addr, b->addr, 5, 0), DROP_RELAY_REFUSED,
		     "an end forwards for nobody");
	cr_expect_eq(entries(a, relay), 0);
	/* responses to what was not asked, and to what another was asked */
	talk_until_heard(sim, &net, 2 * SIM_S);
	cr_assert(node_query_relay(relay->node, &b->addr, 0, &view));
	cr_expect_eq(told(relay, a, RELAY_RESPONSE, a->addr, b->addr, view.local_index, 666),
		     DROP_RELAY_INVALID, "the entry of b's tunnel");
	cr_expect_eq(told(relay, a, RELAY_RESPONSE, a->addr, b->addr, 12345, 666),
		     DROP_RELAY_INVALID);
	cr_assert(node_query_relay(relay->node, &b->addr, 0, &view));
	cr_expect_neq(view.remote_index, 666);
	cr_expect_eq(told(relay, b, RELAY_RESPONSE, a->addr, b->addr, view.local_index, 0),
		     DROP_RELAY_INVALID, "an entry without an index");
	cr_expect_eq(told(b, a, RELAY_REQUEST, a->addr, b->addr, 5, 0), DROP_RELAY_REFUSED,
		     "through a relay to a relay");
	talk(sim, &net, SIM_S);
	talk_until_heard(sim, &net, 200 * SIM_MS);
}

Test(relay_sim, lies)
{
	sim_seeds(3, lies);
}

/* Trap 84: entries are bounded, and go with the tunnel. */
static void too_many(struct sim *sim)
{
	struct net net = make(sim, 1);
	struct sim_node *relay = net.relay[0], *a = net.a;
	uint32_t granted = 0;

	for (uint32_t i = 0; i < 2 * RELAYS_PER_TUNNEL_MAX; i++)
		granted += told(a, relay, RELAY_REQUEST, host_addr(1000 + i), a->addr, 1 + i, 0) ==
			   DROP_NONE;
	cr_expect_eq(granted, RELAYS_PER_TUNNEL_MAX);
	cr_expect_eq(a->drops[DROP_RELAY_REFUSED], RELAYS_PER_TUNNEL_MAX);
	cr_expect_eq(entries(a, relay), RELAYS_PER_TUNNEL_MAX);
	node_on_opened(a->node, 0, sim_primary(a, relay->id)->id, &relay->endpoint, 0,
		       WIRE_CLOSE_TUNNEL, NULL, 0);
	sim_node_reap(a);
	cr_expect_eq(entries(a, relay), 0);
	/* and of requests to the relay, more than it takes in a second */
	talk_until_heard(sim, &net, 5 * SIM_S);
	uint64_t refused = relay->drops[DROP_RELAY_REFUSED];
	for (uint32_t i = 0; i < RELAY_REQUESTS_BURST + 100; i++)
		told(relay, a, RELAY_REQUEST, a->addr, net.b->addr, 7, 0);
	cr_expect_geq(relay->drops[DROP_RELAY_REFUSED] - refused, 90);
}

Test(relay_sim, too_many)
{
	sim_seeds(2, too_many);
}

/* Frames that were seen on the wire come again, to the relay and to the end (trap 80). */
static void replayed(struct sim *sim)
{
	struct net net = make(sim, 1);
	size_t got;
	uint64_t forwarded;

	sim->recording = true;
	talk_until_heard(sim, &net, 2 * SIM_S);
	talk(sim, &net, SIM_S);
	sim->recording = false;
	sim_run(sim, SIM_S);
	got = sim_got(net.b, net.a->id);
	forwarded = net.relay[0]->forwarded;
	for (size_t i = 0; i < sim->sent_count; i++)
		if (sim->sent[i].length >= WIRE_HEADER_BYTES &&
		    wire_type_of(sim->sent[i].bytes) == WIRE_RELAY)
			sim_inject(sim, &sim->sent[i].from, &sim->sent[i].to, sim->sent[i].bytes,
				   sim->sent[i].length, SIM_MS);
	sim_run(sim, SIM_MS * 2);
	cr_expect_eq(sim_got(net.b, net.a->id), got);
	cr_expect_eq(net.relay[0]->forwarded, forwarded);
	cr_expect_gt(net.relay[0]->drops[DROP_REPLAY], 10);
}

Test(relay_sim, replayed)
{
	sim_seeds(3, replayed);
}

/* The message cut at each byte, on both kinds of node: counted, and nothing else. */
/* Forms may change from message to message: an answer has that of its request (trap 85). */
static void mixed_forms(struct sim *sim)
{
	struct net net = make(sim, 1);
	uint8_t bytes[RELAY_BYTES_MAX];
	struct relay_message message = {.type = RELAY_REQUEST};

	talk_until_heard(sim, &net, 2 * SIM_S);
	for (uint32_t i = 0; i < 6; i++) {
		const struct peer_host *host =
			tunnels_find_host(&net.relay[0]->node->tunnels, &net.a->addr);
		const struct relay *near = relays_find(host->primary, &net.b->addr);

		message.form = i % 2 ? RELAY_V1 : RELAY_V2;
		message.initiator_index = 100 + i;
		message.from = net.a->addr;
		message.to = net.b->addr;
		sim_opened(net.relay[0], net.a, WIRE_CONTROL, bytes,
			   relay_encode(&message, bytes, sizeof(bytes)));
		cr_assert(near && near->form == message.form && near->state == RELAY_ESTABLISHED);
		cr_assert_eq(near->remote_index, 100 + i, "a new index takes the old one's place");
		talk(sim, &net, SIM_S); /* a does not know that index, and is asked for its own */
	}
	talk_until_heard(sim, &net, 3 * SIM_S);
}

Test(relay_sim, mixed_forms)
{
	sim_seeds(4, mixed_forms);
}

static void cut_messages(struct sim *sim)
{
	struct net net = make(sim, 1);
	struct relay_message message = {RELAY_REQUEST, RELAY_V2,       7, 0,
					net.a->addr,   host_addr(1000)};
	uint8_t bytes[RELAY_BYTES_MAX];
	size_t length = relay_encode(&message, bytes, sizeof(bytes));

	for (size_t n = 0; n < length; n++) {
		sim_opened(net.relay[0], net.a, WIRE_CONTROL, bytes, n);
		sim_opened(net.a, net.relay[0], WIRE_CONTROL, bytes, n);
	}
	cr_expect_eq(net.relay[0]->drops[DROP_RELAY_INVALID], length);
	cr_expect_eq(net.a->drops[DROP_RELAY_INVALID], length);
	talk_until_heard(sim, &net, 2 * SIM_S);
}

Test(relay_sim, cut_messages)
{
	sim_seeds(1, cut_messages);
}
