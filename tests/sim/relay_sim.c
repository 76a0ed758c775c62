/* relay_sim.c - hosts that have no path to each other but through a third one (PROTOCOL.md 7). */
#include "hub.h"
#undef L
#undef A
#undef B
#include "message.h"
#include "peers/node_query.h"
#include "peers/node_state.h"
#include "peers/relays.h"
#include "relay_net.h"

TestSuite(relay_sim, .timeout = 600);

static void no_path_but_the_relay(struct sim *sim)
{
	struct net net = relay_net(sim, 1);

	talk_until_heard(sim, &net, 2 * SIM_S);
	cr_assert(is_relayed(net.a, net.b) && is_relayed(net.b, net.a));
	cr_assert_eq(tunnel_with(net.a, net.b)->queue, tunnel_with(net.a, net.relay[0])->queue,
		     "what both send may overtake each other");
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
	struct net net = relay_net(sim, 1 + sim->seed % 2);

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
	struct net net = relay_net(sim, 1);
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
	struct net net = relay_net(sim, 1);
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
	struct net net = relay_net(sim, 1);

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
	struct net net = relay_net(sim, 1);

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
	struct net net = relay_net(sim, 1);
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

/* The only way of a tunnel is lost and comes back: the tunnel is asked at once, and lives on. */
static void the_way_comes_back(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	struct tunnel_record *record;

	talk_until_heard(sim, &net, 2 * SIM_S);
	talk(sim, &net, SIM_S);
	record = tunnel_with(net.a, net.b);
	relays_remove(net.a->node, record->path, "test");
	cr_assert(record->state == RECORD_SUSPECT && !record->path);
	sim_run(sim, 20 * SIM_MS);
	cr_assert(record->state == RECORD_LIVE && record->path);
	talk_until_heard(sim, &net, SIM_S);
}

Test(relay_sim, the_way_comes_back)
{
	sim_seeds(4, the_way_comes_back);
}

/* A lighthouse has named another address of the peer: it is tried at once, however rare searches
 * have become. */
static void an_address_becomes_known(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	struct lighthouse_message reply = hub_message(LIGHTHOUSE_REPLY, net.b->id);
	struct endpoint at = sim_endpoint(150, 1);

	talk_until_heard(sim, &net, 2 * SIM_S);
	tunnel_with(net.a, net.b)->links[0].host->promote_wait_ns = 128 * SIM_S;
	talk(sim, &net, 10 * SIM_S);
	sim->recording = true;
	reply.v4_count = 2;
	reply.v4[0] = net.b->endpoint;
	reply.v4[1] = at;
	hub_say(net.a, net.lighthouse, &reply);
	talk(sim, &net, 2 * SIM_S);
	cr_assert_neq(sim_count(sim, &net.a->endpoint, &at, WIRE_TEST_REQUEST, 0), 0);
}

Test(relay_sim, an_address_becomes_known)
{
	sim_seeds(3, an_address_becomes_known);
}

/*
 * A handshake beside a relayed tunnel goes through the entry that is there, and nobody is asked for
 * it before some attempts are without an answer; after some more the relay is told that we are
 * there.
 */
static void a_handshake_beside(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	struct tunnel_record *before;

	talk_until_heard(sim, &net, 3 * SIM_S);
	talk(sim, &net, 3 * SIM_S);
	sim_run(sim, 100 * SIM_MS);
	before = tunnel_with(net.a, net.b);
	sim->recording = true;
	node_rehandshake(net.a->node, before, "test");
	sim_run(sim, 120 * SIM_MS);
	cr_assert_neq(tunnel_with(net.a, net.b), before);
	cr_assert_eq(relay_words(sim, net.a, net.relay[0]), 0);

	sim_kill_node(net.b);
	before = tunnel_with(net.a, net.b);
	node_rehandshake(net.a->node, before, "test");
	sim_run(sim, 250 * SIM_MS);
	cr_assert_eq(relay_words(sim, net.a, net.relay[0]), 0, "asked for too early");
	net.relay[0]->watched = "handleCreateRelayResponse";
	sim_run(sim, 500 * SIM_MS);
	cr_assert_neq(relay_words(sim, net.a, net.relay[0]), 0);
	cr_assert_eq(net.relay[0]->watched_lines, 0, "told too early");
	sim_run(sim, 1500 * SIM_MS);
	cr_assert_neq(net.relay[0]->watched_lines, 0);
	cr_assert_eq(net.relay[0]->drops[DROP_RELAY_INVALID], 0);
}

Test(relay_sim, a_handshake_beside_a_relayed_tunnel)
{
	sim_seeds(3, a_handshake_beside);
}

static void the_relay_leaves_politely(struct sim *sim)
{
	struct net net = relay_net(sim, 2);
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
	struct net net = relay_net(sim, 1);

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
	struct net net = relay_net(sim, 1);
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

/*
 * The relay loses its half towards b while a has lost the tunnel to b and asks again: it grants at
 * once, for its entry is there, and the frames then end at it without a word. When b is back, so
 * is the path.
 */
static void half_lost(struct sim *sim, bool restarted)
{
	struct net net = relay_net(sim, 1);
	size_t got;

	talk_until_heard(sim, &net, 2 * SIM_S);
	talk(sim, &net, 3 * SIM_S);
	sim_run(sim,
		60 * SIM_S + sim_random(sim, SIM_S)); /* at rest, so the relay does not notice */
	sim_kill_node(net.b);
	if (restarted) {
		sim_kill_node(net.a);
		sim_run(sim, SIM_S);
		sim_start_node(net.a);
		sim_run(sim, 2 * SIM_S);
	} else {
		node_order_close(net.a->node, &net.b->addr, true);
	}
	for (uint64_t i = 0; i < 200; i++) {
		sim_send(net.a, 0, net.b->id, 1000000 + i);
		sim_run(sim, 100 * SIM_MS);
	}
	sim_run(sim, 30 * SIM_S);
	sim_start_node(net.b);
	sim_run(sim, 10 * SIM_S);
	got = sim_got(net.b, net.a->id);
	for (uint64_t i = 0; i < 200 && sim_got(net.b, net.a->id) == got; i++) {
		sim_send(net.a, 0, net.b->id, 2000000 + i);
		sim_run(sim, 100 * SIM_MS);
	}
	cr_assert_gt(sim_got(net.b, net.a->id), got, "not within 20 s");
}

static void half_lost_restarted(struct sim *sim)
{
	half_lost(sim, true);
}

static void half_lost_closed(struct sim *sim)
{
	half_lost(sim, false);
}

Test(relay_sim, half_lost)
{
	sim_seeds(5, half_lost_restarted);
	sim_seeds(5, half_lost_closed);
}

/*
 * While traffic goes through a relay, each address that is the peer's is tried every 2 s; more
 * rarely when the tunnel fell silent right behind a search, each of which counts once.
 */
static void searches(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	const struct endpoint *a = &net.a->endpoint, *b = &net.b->endpoint;
	struct tunnel_record *record;
	struct peer_host *host;
	uint64_t wait;
	size_t count;

	talk_until_heard(sim, &net, 2 * SIM_S);
	sim->recording = true;
	talk(sim, &net, 10 * SIM_S);
	count = sim_count(sim, a, b, WIRE_TEST_REQUEST, 0);
	cr_assert(count >= 3 && count <= 6, "%zu in 10 s", count);
	record = tunnel_with(net.a, net.b);
	host = record->links[0].host;
	cr_assert_eq(remotes_block(host->remotes, b), 0);
	sim_forget(sim);
	talk(sim, &net, 5 * SIM_S);
	cr_assert_eq(sim_count(sim, a, b, WIRE_TEST_REQUEST, 0), 0, "another host is there");

	wait = host->promote_wait_ns;
	record->promoted_ns = sim->now_ns - 10 * SIM_S;
	relays_promote_failed(net.a->node, record, sim->now_ns);
	cr_assert_eq(host->promote_wait_ns, wait, "long ago");
	record->promoted_ns = sim->now_ns - SIM_S;
	relays_promote_failed(net.a->node, record, sim->now_ns);
	relays_promote_failed(net.a->node, record, sim->now_ns);
	cr_assert_eq(host->promote_wait_ns, 2 * wait);
	for (int i = 0; i < 20; i++) {
		record->promoted_ns = sim->now_ns;
		relays_promote_failed(net.a->node, record, sim->now_ns);
	}
	cr_assert_leq(host->promote_wait_ns, 128 * SIM_S);
}

Test(relay_sim, searches)
{
	sim_seeds(3, searches);
}

/* A relayed tunnel falls silent right behind a search: the next ones come later. */
static void a_search_is_blamed(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	const struct peer_host *host;
	uint64_t wait;

	talk_until_heard(sim, &net, 2 * SIM_S);
	talk(sim, &net, 5 * SIM_S);
	host = tunnel_with(net.a, net.b)->links[0].host;
	wait = host->promote_wait_ns;
	sim_cut(net.a, net.relay[0], true);
	talk(sim, &net, 4 * SIM_S);
	cr_assert_eq(host->promote_wait_ns, 2 * wait);
	sim_cut(net.a, net.relay[0], false);
	talk_until_heard(sim, &net, 3 * SIM_S);
}

Test(relay_sim, a_search_is_blamed)
{
	sim_seeds(3, a_search_is_blamed);
}

/* m57 as a relay goes on as soon as the configuration says so, and stops too. */
static void reconfigured(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	struct relay_options off = {.use_relays = true}, on = {.am_relay = true}, same;
	struct addr nobody = addr_from_v4(0x0a2a0063);
	struct tunnel_record *record;
	size_t got;

	talk_until_heard(sim, &net, 2 * SIM_S);
	record = tunnel_with(net.relay[0], net.a);
	cr_assert(relays_add(net.relay[0]->node, record, &nobody, RELAY_TERMINAL, RELAY_REQUESTED));
	relays_reconfigure(net.relay[0]->node, &off);
	cr_assert(record->relay_count == 1 && relays_find(record, &nobody), "its own one stays");
	sim_run(sim, 100 * SIM_MS);
	got = sim_got(net.b, net.a->id);
	talk(sim, &net, 3 * SIM_S);
	cr_assert_eq(sim_got(net.b, net.a->id), got);
	relays_reconfigure(net.relay[0]->node, &on);
	talk_until_heard(sim, &net, 5 * SIM_S);

	same = net.a->node->relays.options; /* what is not new is not reported */
	sim->recording = true;
	relays_reconfigure(net.a->node, &same);
	sim_run(sim, 10 * SIM_MS);
	cr_assert_eq(hub_sealed(sim, net.a, net.lighthouse), 0);
	same.relay_count = 0;
	relays_reconfigure(net.a->node, &same);
	sim_run(sim, 10 * SIM_MS);
	cr_assert_eq(hub_sealed(sim, net.a, net.lighthouse), 1);
}

Test(relay_sim, reconfigured)
{
	sim_seeds(10, reconfigured);
}

/* Neither with relay.use_relays false, nor as a relay itself, does a host ask for one. */
static void none_is_asked(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	struct relay_options options = {.use_relays = sim->seed % 2, .am_relay = sim->seed % 2};

	relays_reconfigure(net.a->node, &options);
	sim->recording = true;
	for (uint64_t i = 1; i < 50; i++, sim_run(sim, 100 * SIM_MS))
		sim_send(net.a, 0, net.b->id, i);
	cr_assert_eq(relay_words(sim, net.a, net.relay[0]), 0);
	cr_assert_eq(sim_got(net.b, net.a->id), 0);
	options = (struct relay_options){.use_relays = true};
	relays_reconfigure(net.a->node, &options);
	talk_until_heard(sim, &net, 3 * SIM_S);
}

Test(relay_sim, none_is_asked)
{
	sim_seeds(4, none_is_asked);
}

/* m57ctl change-remote makes a relayed tunnel direct: the entry it went by is free for others. */
static void told_to_be_direct(struct sim *sim)
{
	struct net net = relay_net(sim, 1);

	talk_until_heard(sim, &net, 2 * SIM_S);
	memset(sim->cut, 0, sizeof(sim->cut));
	cr_assert(is_relayed(net.a, net.b));
	cr_assert_eq(node_order_remote(net.a->node, &net.b->addr, &net.b->endpoint), 0);
	cr_assert(is_direct(net.a, net.b));
	cr_assert_null(sim_primary(net.a, net.b->id)->path);
	cr_assert_null(tunnel_with(net.a, net.b)->path);
	talk_until_heard(sim, &net, SIM_S);
}

Test(relay_sim, told_to_be_direct)
{
	sim_seeds(3, told_to_be_direct);
}

/* Who relays has a direct path to both ends: one that reaches the far end through a relay does not.
 */
static void relays_in_a_row(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	struct relay_options forwards = {.am_relay = true};
	struct relay_message asked = {.type = RELAY_REQUEST,
				      .form = RELAY_V1,
				      .initiator_index = 5,
				      .from = net.relay[0]->addr,
				      .to = net.b->addr};
	uint8_t bytes[RELAY_BYTES_MAX];
	uint64_t refused;

	talk_until_heard(sim, &net, 2 * SIM_S);
	relays_reconfigure(net.a->node, &forwards);
	refused = net.a->drops[DROP_RELAY_REFUSED];
	sim_opened(net.a, net.relay[0], WIRE_CONTROL, bytes,
		   relay_encode(&asked, bytes, sizeof(bytes)));
	cr_assert_eq(net.a->drops[DROP_RELAY_REFUSED], refused + 1);
	cr_assert_eq(tunnel_with(net.a, net.b)->relay_count, 0);
	cr_assert_eq(tunnel_with(net.a, net.b)->path, entry_of(net.a, net.relay[0]));
}

Test(relay_sim, relays_in_a_row)
{
	sim_seeds(2, relays_in_a_row);
}

static const struct tunnel *leaves_by(struct sim_node *relay, struct relay *near)
{
	relays_publish_pair(relay->node, near);
	return near->entry.out;
}

/*
 * The far end has two tunnels with the relay, and an entry on both: frames leave by the newest, by
 * one that is in doubt only where there is no other.
 */
static void the_tunnel_that_frames_leave_by(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	struct sim_node *relay = net.relay[0];
	struct tunnel_record *before, *after;
	struct relay *near, *far;

	talk_until_heard(sim, &net, 2 * SIM_S);
	before = tunnel_with(relay, net.b);
	node_rehandshake(relay->node, before, "test");
	talk(sim, &net, 2 * SIM_S);
	after = tunnel_with(relay, net.b);
	near = relays_find(tunnel_with(relay, net.a), &net.b->addr);
	cr_assert(after != before && relays_find(before, &net.a->addr));
	cr_assert_eq(near->entry.out, after->tunnel);
	far = relays_find(after, &net.a->addr);

	far->state = RELAY_REQUESTED;
	cr_assert_eq(leaves_by(relay, near), before->tunnel, "an index that is not known");
	far->state = RELAY_ESTABLISHED;
	cr_assert_eq(leaves_by(relay, near), after->tunnel);
	after->state = RECORD_SUSPECT;
	cr_assert_eq(leaves_by(relay, near), before->tunnel);
	before->state = RECORD_SUSPECT;
	cr_assert_not_null(leaves_by(relay, near));
	after->state = before->state = RECORD_LIVE;
}

Test(relay_sim, the_tunnel_that_frames_leave_by)
{
	sim_seeds(2, the_tunnel_that_frames_leave_by);
}

/*
 * Another host answers through the relay: no more of that handshake goes there. But the next one
 * asks again: there may be no other way, and by then the relay may lead to the right host.
 */
static void another_host_answers(struct sim *sim)
{
	struct net net = relay_net(sim, 1);

	talk_until_heard(sim, &net, 2 * SIM_S);
	cr_assert_eq(node_order_close(net.a->node, &net.b->addr, false), 0);
	sim_run(sim, SIM_S);
	cr_assert_null(sim_primary(net.b, net.a->id), "the other side does not ask");
	sim_identify(net.b, &(struct sim_identity){.cert_id = 9});
	sim_send(net.a, 0, net.b->id, 1000001);
	sim_run(sim, 50 * SIM_MS);
	cr_assert_eq(net.a->drops[DROP_HANDSHAKE_HOST], 1);
	sim_identify(net.b, &(struct sim_identity){0});
	sim_run(sim, 20 * SIM_S);
	cr_assert(!sim_got_number(net.b, net.a->id, 1000001), "that handshake went there again");
	cr_assert_eq(node_pending_count(net.a->node), 0);
	sim_send(net.a, 0, net.b->id, 1000002);
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(net.b, net.a->id, 1000002), "the relay is not asked again");
}

Test(relay_sim, another_host_answers_through_the_relay)
{
	sim_seeds(5, another_host_answers);
}

/*
 * The relay and an end of it swap duties by a reload. The entry by which the end was reached
 * through the relay that was must not stand in the way of what it now forwards for that one,
 * whoever of the two ends asks.
 */
static void duties_are_swapped(struct sim *sim)
{
	struct net net = relay_net(sim, 2);
	struct sim_node *was = net.relay[1], *is = net.a, *far = net.b;
	struct sim_node *from = sim->seed % 2 ? was : far, *to = sim->seed % 2 ? far : was;
	struct relay_options forwards = {.am_relay = true},
			     before = {.use_relays = true, .relays = &was->addr, .relay_count = 1},
			     after = {.use_relays = true, .relays = &is->addr, .relay_count = 1};

	relays_reconfigure(is->node, &before);
	relays_reconfigure(far->node, &before);
	sim_run(sim, 100 * SIM_MS);
	talk_until_heard(sim, &net, 2 * SIM_S);
	memset(sim->cut, 0, sizeof(sim->cut));
	talk(sim, &net, 5 * SIM_S);
	cr_assert(is_direct(is, far) && is_direct(far, is));
	cr_assert(relays_find(entry_of(is, was)->record, &far->addr), "nothing is left over");

	relays_reconfigure(is->node, &forwards);
	relays_reconfigure(was->node, &after);
	relays_reconfigure(far->node, &after);
	sim_run(sim, 100 * SIM_MS);
	node_order_close(was->node, &far->addr, true);
	node_order_close(far->node, &was->addr, true);
	sim->cut[0] = was->endpoint;
	sim->cut[1] = far->endpoint;
	sim_send(from, 0, to->id, 1);
	sim_run(sim, 2 * SIM_S);
	cr_assert(sim_got_number(to, from->id, 1), "%llu refused",
		  (unsigned long long)is->drops[DROP_RELAY_REFUSED]);
	cr_assert(is_relayed(from, to));
}

Test(relay_sim, duties_are_swapped)
{
	sim_seeds(5, duties_are_swapped);
}
