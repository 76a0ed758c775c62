/*
 * relay_entries_sim.c - the entries of relays by themselves: how many there may be, which are in
 * use, how they end, and what becomes of them when one side has lost its own (PROTOCOL.md 7).
 */
#include "hub.h"
#undef L
#undef A
#undef B
#include "message.h"
#include "peers/node_query.h"
#include "peers/node_state.h"
#include "peers/relays.h"
#include "relay_net.h"

TestSuite(relay_entries, .timeout = 600);

/* a has called as many hosts that name the relay as there may be entries, and then needs it. */
static void more_hosts_than_entries(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	struct tunnel_record *record = tunnel_with(net.a, net.relay[0]);

	for (uint32_t i = 0; i < RELAYS_PER_TUNNEL_MAX; i++) {
		struct lighthouse_message reply = hub_message(LIGHTHOUSE_REPLY, 1000 + i);

		reply.v4_count = 1;
		reply.v4[0] = sim_endpoint(200, 4242);
		reply.relay_count = 1;
		reply.relays[0] = net.relay[0]->addr;
		sim_send(net.a, 0, 1000 + i, 1);
		sim_run(sim, 50 * SIM_MS);
		hub_say(net.a, net.lighthouse, &reply);
		sim_run(sim, 50 * SIM_MS);
	}
	cr_assert_eq(record->relay_count, RELAYS_PER_TUNNEL_MAX);
	sim_run(sim, 3600 * SIM_S);
	cr_assert_eq(record->relay_count, RELAYS_PER_TUNNEL_MAX);
	cr_assert_eq(tunnel_with(net.a, net.relay[0]), record, "still the same tunnel");
	talk_until_heard(sim, &net, 5 * SIM_S);
	cr_assert(is_relayed(net.a, net.b) && is_relayed(net.b, net.a));
	cr_assert_eq(record->relay_count, RELAYS_PER_TUNNEL_MAX);
}

Test(relay_entries, more_hosts_than_entries)
{
	sim_seeds(3, more_hosts_than_entries);
}

/* So many new entries at the relay, on the tunnel to end, for hosts from first on; how many fit. */
static uint32_t crowd(struct sim_node *relay, struct sim_node *end, uint32_t first, uint32_t count)
{
	struct tunnel_record *record = tunnel_with(relay, end);
	uint32_t fitted = 0;

	for (uint32_t i = 0; i < count; i++) {
		struct addr peer = addr_from_v4(0x0a2a0000 + first + i);

		fitted += relays_add(relay->node, record, &peer, RELAY_FORWARDING,
				     RELAY_PEER_REQUESTED) != NULL;
		cr_assert_leq(record->relay_count, RELAYS_PER_TUNNEL_MAX);
	}
	return fitted;
}

/*
 * At the relay, the entry of two that have been silent for long went for others, at one end or at
 * both. They speak again: the relay tells that it knows the index no more, is asked, and has the
 * same index again.
 */
static void an_idle_entry_went(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	struct sim_node *relay = net.relay[0];
	uint32_t near, far, at_b = sim->seed % 2 ? RELAYS_PER_TUNNEL_MAX : 1;

	talk_until_heard(sim, &net, 2 * SIM_S);
	talk(sim, &net, 3 * SIM_S);
	near = relays_find(tunnel_with(relay, net.a), &net.b->addr)->local_index;
	far = relays_find(tunnel_with(relay, net.b), &net.a->addr)->local_index;
	crowd(relay, net.a, 1000, RELAYS_PER_TUNNEL_MAX);
	crowd(relay, net.b, 1000, at_b);
	/* what they talk through is never taken, all that is idle is */
	talk(sim, &net, RELAY_IDLE_NS + SIM_S);
	cr_assert_eq(crowd(relay, net.a, 2000, 2 * RELAYS_PER_TUNNEL_MAX),
		     RELAYS_PER_TUNNEL_MAX - 1);
	crowd(relay, net.b, 2000, at_b);
	cr_assert(relays_find(tunnel_with(relay, net.a), &net.b->addr));
	cr_assert(relays_find(tunnel_with(relay, net.b), &net.a->addr));
	/* at rest; the first that come then show what has been used before */
	sim_run(sim, 2 * RELAY_IDLE_NS);
	crowd(relay, net.a, 3000, 1);
	crowd(relay, net.b, 3000, 1);
	sim_run(sim, 2 * RELAY_IDLE_NS);
	cr_assert_eq(crowd(relay, net.a, 4000, 2 * RELAYS_PER_TUNNEL_MAX), RELAYS_PER_TUNNEL_MAX);
	crowd(relay, net.b, 4000, at_b);
	cr_assert_null(relays_find(tunnel_with(relay, net.a), &net.b->addr));
	cr_assert_eq(!relays_find(tunnel_with(relay, net.b), &net.a->addr), at_b > 1);
	sim_run(sim, 2 * RELAY_IDLE_NS);
	talk_until_heard(sim, &net, 3 * SIM_S);
	cr_assert(is_relayed(net.a, net.b) && is_relayed(net.b, net.a));
	cr_assert_eq(relays_find(tunnel_with(relay, net.a), &net.b->addr)->local_index, near);
	cr_assert_eq(relays_find(tunnel_with(relay, net.b), &net.a->addr)->local_index, far);
	talk(sim, &net, 2 * SIM_S);
	talk_until_heard(sim, &net, 200 * SIM_MS);
}

Test(relay_entries, an_idle_entry_went)
{
	sim_seeds(6, an_idle_entry_went);
}

static bool in_use(struct sim_node *node, struct sim_node *neighbour)
{
	struct node_relay_view view;

	cr_assert(node_query_relay(node->node, &neighbour->addr, 0, &view));
	return view.in_use;
}

/* Who asks whether frames come over an entry is told so, and takes the answer from nobody else. */
static void forwarding_is_to_be_seen(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	struct sim_node *relay = net.relay[0];
	struct relay *near;

	talk_until_heard(sim, &net, 2 * SIM_S);
	talk(sim, &net, SIM_S);
	near = entry_of(relay, net.a);
	relays_was_used(relay->node, near);
	cr_assert(in_use(net.a, relay), "its own tunnel's path");
	sim_run(sim, RELAY_IDLE_NS + 30 * SIM_S);
	cr_assert_not(in_use(relay, net.a));
	cr_assert_not(in_use(relay, net.b));
	cr_assert_eq(near->state, RELAY_ESTABLISHED, "it is there all the same");

	talk(sim, &net, SIM_S);
	relays_was_used(relay->node, near);
	talk(sim, &net, SIM_S);
	for (int i = 0; i < 3; i++)
		cr_assert(in_use(relay, net.a) && in_use(relay, net.b));
	cr_assert(relays_was_used(relay->node, near), "the manager sees it too");
	cr_assert_not(relays_was_used(relay->node, near), "once");
	cr_assert(in_use(relay, net.a));

	/* one way only: it leaves by the other entry */
	sim_run(sim, RELAY_IDLE_NS + 30 * SIM_S);
	hostmap_by_index(relay->map, near->local_index)->relay_used_ns = sim->now_ns;
	cr_assert(in_use(relay, net.a) && in_use(relay, net.b));
	sim_run(sim, RELAY_IDLE_NS - SIM_S);
	cr_assert(in_use(relay, net.a) && in_use(relay, net.b));
	sim_run(sim, SIM_S);
	cr_assert_not(in_use(relay, net.a) || in_use(relay, net.b));
}

Test(relay_entries, forwarding_is_to_be_seen)
{
	sim_seeds(4, forwarding_is_to_be_seen);
}

static uint64_t lines_since(struct sim_node *node, uint64_t *before)
{
	uint64_t lines = node->watched_lines - *before;

	*before = node->watched_lines;
	return lines;
}

/* What m57ctl print-relays says of an entry: that it is asked for, until it is there. */
static void asked_for_then_there(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	struct node_relay_view view = {.state = ""};
	bool asked = false;

	sim_send(net.a, 0, net.b->id, 1);
	for (int i = 0; i < 1000 && strcmp(view.state, "established") != 0; i++) {
		sim_run(sim, SIM_MS / 10);
		if (!node_query_relay(net.a->node, &net.relay[0]->addr, 0, &view))
			continue;
		cr_assert(strcmp(view.state, "requested") == 0 ||
				  strcmp(view.state, "established") == 0,
			  "%s", view.state);
		asked |= strcmp(view.state, "requested") == 0;
	}
	cr_assert(asked);
	cr_assert_str_eq(view.state, "established");
}

Test(relay_entries, asked_for_then_there)
{
	sim_seeds(2, asked_for_then_there);
}

/* That it is established is told once on each side, however often it is asked for again. */
static void the_beginning_of_an_entry_is_told(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	struct sim_node *relay = net.relay[0];

	relay->watched = "Relaying between two hosts";
	net.a->watched = net.b->watched = "Relay established";
	talk_until_heard(sim, &net, 2 * SIM_S);
	for (int i = 0; i < 3; i++, sim_run(sim, 100 * SIM_MS)) {
		relays_ask(net.a->node, entry_of(net.a, relay));
		relays_ask(net.b->node, entry_of(net.b, relay));
	}
	cr_expect_eq(net.a->watched_lines, 1);
	cr_expect_str_eq(net.a->watched_text,
			 "Relay established relay=10.42.0.1 vpnAddr=10.42.0.3");
	cr_expect_eq(net.b->watched_lines, 1);
	cr_expect_str_eq(net.b->watched_text,
			 "Relay established relay=10.42.0.1 vpnAddr=10.42.0.2");
	cr_expect_eq(relay->watched_lines, 2, "the entry of each end");
}

Test(relay_entries, the_beginning_of_an_entry_is_told)
{
	sim_seeds(4, the_beginning_of_an_entry_is_told);
}

/* That an entry which was established is no more is told with the reason, once. */
static void the_end_of_an_entry_is_told(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	struct sim_node *relay = net.relay[0];
	struct addr nobody = addr_from_v4(0x0a2a0063);
	struct relay_options none;
	uint64_t before = 0;
	bool gone;

	relay->watched = "Relaying between two hosts ended";
	net.a->watched = "Relay ended";
	talk_until_heard(sim, &net, 2 * SIM_S);
	/* never established: nobody answers for that host */
	cr_assert(relays_add(relay->node, entry_of(relay, net.a)->record, &nobody, RELAY_FORWARDING,
			     RELAY_PEER_REQUESTED));
	talk(sim, &net, 20 * SIM_S);
	cr_assert_eq(relay->watched_lines + net.a->watched_lines, 0);

	/* the tunnel closes with what is on it */
	node_order_close(net.a->node, &relay->addr, false);
	cr_expect_eq(net.a->watched_lines, 1);
	cr_expect_str_eq(net.a->watched_text,
			 "Relay ended relay=10.42.0.1 vpnAddr=10.42.0.3 reason=tunnel gone");
	for (int i = 0; i < 30000 && relay->watched_lines == before; i++)
		sim_run(sim, SIM_MS / 10000);
	/* where a's next handshake had not come yet, a was gone for that moment */
	gone = node_tunnel_count(relay->node) == 1;
	sim_run(sim, 20 * SIM_MS);
	cr_expect_eq(lines_since(relay, &before), gone ? 2 : 1);
	cr_expect_str_eq(relay->watched_text,
			 gone ? "Relaying between two hosts ended vpnAddr=10.42.0.3 "
				"peer=10.42.0.2 reason=far end gone"
			      : "Relaying between two hosts ended vpnAddr=10.42.0.2 "
				"peer=10.42.0.3 reason=tunnel gone");

	/* a goes: its own entry, and that of the other end, which goes with its tunnel later */
	talk_until_heard(sim, &net, 12 * SIM_S);
	talk(sim, &net, 20 * SIM_S);
	lines_since(relay, &before);
	node_shutdown(net.a->node);
	sim_run(sim, 20 * SIM_MS);
	cr_expect_eq(lines_since(relay, &before), 2);
	cr_expect_str_eq(relay->watched_text, "Relaying between two hosts ended vpnAddr=10.42.0.3 "
					      "peer=10.42.0.2 reason=far end gone");
	node_order_close(relay->node, &net.b->addr, false);
	cr_expect_eq(lines_since(relay, &before), 0, "told once");
	sim_kill_node(net.a);
	sim_start_node(net.a);

	/* it comes again, and goes because this node relays no more */
	talk_until_heard(sim, &net, 12 * SIM_S);
	talk(sim, &net, SIM_S);
	lines_since(relay, &before);
	none = relay->node->relays.options;
	none.am_relay = false;
	relays_reconfigure(relay->node, &none);
	cr_expect_eq(lines_since(relay, &before), 2);
	cr_expect(strstr(relay->watched_text, "reason=no relay any more"), "%s",
		  relay->watched_text);
	none.am_relay = true;
	relays_reconfigure(relay->node, &none);

	/* the end of a node is no news about its entries */
	talk_until_heard(sim, &net, 12 * SIM_S);
	talk(sim, &net, SIM_S);
	lines_since(relay, &before);
	node_shutdown(relay->node);
	sim_run(sim, 10 * SIM_MS);
	sim_kill_node(relay);
	cr_expect_eq(lines_since(relay, &before), 0);
}

Test(relay_entries, the_end_of_an_entry_is_told)
{
	sim_seeds(4, the_end_of_an_entry_is_told);
}

/*
 * The far end has left. Its neighbour does not know the entry any more and says so, or has a new
 * tunnel: neither makes the relay ask in the name of who is not there.
 */
static void nobody_asks_for_who_is_gone(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	struct sim_node *relay = net.relay[0];
	struct relay *near;
	struct tunnel *old;

	talk_until_heard(sim, &net, 2 * SIM_S);
	talk(sim, &net, SIM_S);
	node_shutdown(net.b->node);
	sim_run(sim, 20 * SIM_MS);
	sim_kill_node(net.b);
	near = entry_of(relay, net.a);
	cr_assert_eq(near->state, RELAY_DISESTABLISHED);
	sim->recording = true;
	near->asked_ns = 0;
	cr_assert(relays_on_recv_error(relay->node, near->remote_index, &net.a->endpoint));
	sim_run(sim, SIM_S);
	cr_expect_eq(relay_words(sim, relay, net.a), 0, "after a recv_error");
	cr_expect_eq(near->state, RELAY_DISESTABLISHED);

	old = sim_primary(relay, net.a->id);
	node_on_counter(relay->node, old->id, COUNTER_REHANDSHAKE_AT);
	sim_run(sim, 3 * SIM_S);
	cr_assert_neq(sim_primary(relay, net.a->id), old);
	cr_expect_eq(relay_words(sim, relay, net.a), 0, "on a new tunnel");

	/* and all is as before when it comes back */
	sim->recording = false;
	sim_start_node(net.b);
	talk_until_heard(sim, &net, 5 * SIM_S);
}

Test(relay_entries, nobody_asks_for_who_is_gone)
{
	sim_seeds(10, nobody_asks_for_who_is_gone);
}

/* The far end has left while its neighbour was asked: the answer makes no entry of it. */
static void an_answer_comes_too_late(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	struct sim_node *relay = net.relay[0];
	struct relay *near;

	talk_until_heard(sim, &net, 2 * SIM_S);
	talk(sim, &net, SIM_S);
	near = entry_of(relay, net.a);
	sim->weather.delay_min_ns = sim->weather.delay_max_ns = 50 * SIM_MS;
	relays_ask(relay->node, near);
	sim->weather.delay_min_ns = sim->weather.delay_max_ns = SIM_MS;
	node_shutdown(net.b->node);
	sim_run(sim, 20 * SIM_MS);
	sim_kill_node(net.b);
	cr_assert_eq(near->state, RELAY_DISESTABLISHED);
	relay->watched = "Relaying between two hosts";
	sim_run(sim, 100 * SIM_MS);
	cr_expect_eq(near->state, RELAY_DISESTABLISHED);
	cr_expect_eq(relay->watched_lines, 0);
	sim_start_node(net.b);
	talk_until_heard(sim, &net, 5 * SIM_S);
}

Test(relay_entries, an_answer_comes_too_late)
{
	sim_seeds(4, an_answer_comes_too_late);
}

/*
 * What is needed on another tunnel of the neighbour is asked for there, and asked again when that
 * is lost; in the entry that is there already, if there is one, and not where it is established.
 */
static void needed_on(struct sim *sim, const struct net *net, struct sim_node *node,
		      struct sim_node *neighbour)
{
	struct tunnel_record *old = tunnel_with(node, neighbour), *to;
	struct relay *from, *there;
	uint32_t count;

	node_on_counter(node->node, old->tunnel->id, COUNTER_REHANDSHAKE_AT);
	talk(sim, net, SIM_S);
	to = tunnel_with(node, neighbour);
	cr_assert_neq(to, old);
	from = relays_find(old, &net->b->addr);
	there = relays_find(to, &net->b->addr);
	cr_assert(from && there && there->state == RELAY_ESTABLISHED);
	sim_forget(sim);
	relays_move(node->node, from, to);
	sim_run(sim, 100 * SIM_MS);
	cr_expect_eq(relay_words(sim, node, neighbour), 0, "it is there");
	cr_expect_eq(there->state, RELAY_ESTABLISHED);

	there->state = RELAY_DISESTABLISHED;
	count = to->relay_count;
	sim_cut(node, neighbour, true);
	relays_move(node->node, from, to);
	sim_run(sim, 100 * SIM_MS);
	cr_expect_eq(there->state, RELAY_REQUESTED);
	cr_expect_eq(to->relay_count, count);
	sim_cut(node, neighbour, false);
	sim_run(sim, 300 * SIM_MS);
	cr_expect_eq(there->state, RELAY_ESTABLISHED);
}

static void needed_on_another_tunnel(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	bool relay = sim->seed % 2;

	sim->recording = true;
	talk_until_heard(sim, &net, 2 * SIM_S);
	talk(sim, &net, SIM_S);
	needed_on(sim, &net, relay ? net.relay[0] : net.a, relay ? net.a : net.relay[0]);
}

Test(relay_entries, needed_on_another_tunnel)
{
	sim_seeds(4, needed_on_another_tunnel);
}

/* A recv_error that names the entry: so many requests and tests have left since. */
static void unknown_to_relay(struct sim *sim, const struct net *net, const struct relay *entry,
			     size_t requests, size_t tests)
{
	const struct endpoint *a = &net->a->endpoint, *relay = &net->relay[0]->endpoint;

	sim_forget(sim);
	cr_assert(relays_on_recv_error(net->a->node, entry->remote_index, relay));
	sim_run(sim, 10 * SIM_MS);
	cr_expect_eq(relay_words(sim, net->a, net->relay[0]), requests, "%zu requests, not %zu",
		     relay_words(sim, net->a, net->relay[0]), requests);
	cr_expect_eq(sim_count(sim, a, relay, WIRE_TEST_REQUEST, 0), tests);
}

/*
 * An entry that its relay does not know is asked for again, and the tunnel tested; not for each
 * recv_error, and on the tunnel that the relay has now, too.
 */
static void an_entry_is_unknown(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	struct relay *entry, *moved;
	struct tunnel_record *now;

	talk_until_heard(sim, &net, 2 * SIM_S);
	sim_run(sim, 5 * SIM_S);
	entry = entry_of(net.a, net.relay[0]);
	sim->recording = true;
	cr_assert_not(relays_on_recv_error(net.a->node, entry->remote_index, &net.b->endpoint),
		      "not the relay says so");
	unknown_to_relay(sim, &net, entry, 1, 1);
	unknown_to_relay(sim, &net, entry, 0, 0);
	cr_expect_eq(net.a->drops[DROP_RECV_ERROR_IGNORED], 1);
	sim_run(sim, 1900 * SIM_MS);
	unknown_to_relay(sim, &net, entry, 0, 0);
	sim_run(sim, 100 * SIM_MS);
	unknown_to_relay(sim, &net, entry, 1, 1);

	node_rehandshake(net.a->node, entry->record, "test");
	sim_run(sim, 2 * SIM_S);
	now = tunnel_with(net.a, net.relay[0]);
	moved = relays_find(now, &net.b->addr);
	cr_assert(now != entry->record && moved, "the path has moved");
	relays_remove(net.a->node, moved, "test");
	cr_assert(relays_on_recv_error(net.a->node, entry->remote_index, &net.relay[0]->endpoint));
	moved = relays_find(now, &net.b->addr);
	cr_assert(moved && moved->asks > 0);
	sim_run(sim, 10 * SIM_MS);
	cr_assert_eq(moved->state, RELAY_ESTABLISHED);
}

Test(relay_entries, an_entry_is_unknown)
{
	sim_seeds(3, an_entry_is_unknown);
}

/* The relay gives the entry another index: frames leave with that one from then on. */
static void another_index(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	struct relay_message answer = {
		.type = RELAY_RESPONSE, .form = RELAY_V1, .from = net.a->addr, .to = net.b->addr};
	uint8_t bytes[RELAY_BYTES_MAX];
	struct relay *entry;

	talk_until_heard(sim, &net, 2 * SIM_S);
	entry = entry_of(net.a, net.relay[0]);
	entry->wrong = true; /* of another time */
	answer.initiator_index = entry->local_index;
	answer.responder_index = entry->remote_index + 1;
	sim_opened(net.a, net.relay[0], WIRE_CONTROL, bytes,
		   relay_encode(&answer, bytes, sizeof(bytes)));
	cr_assert_eq(sim_primary(net.a, net.b->id)->path->index, answer.responder_index);
	cr_assert_not(entry->wrong);
	talk(sim, &net, 3 * SIM_S); /* nobody there knows that one */
	talk_until_heard(sim, &net, SIM_S);
}

Test(relay_entries, another_index)
{
	sim_seeds(3, another_index);
}

/* No room for an entry that a handshake of ours needs: refused, and counted as what peers ask. */
static void no_room_for_our_own(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	uint64_t refused = net.a->drops[DROP_RELAY_REFUSED];

	cr_assert_eq(crowd(net.a, net.relay[0], 1000, RELAYS_PER_TUNNEL_MAX),
		     RELAYS_PER_TUNNEL_MAX);
	sim_send(net.a, 0, net.b->id, 1);
	sim_run(sim, 2 * SIM_S);
	cr_expect_gt(net.a->drops[DROP_RELAY_REFUSED], refused);
	cr_expect_null(relays_find(tunnel_with(net.a, net.relay[0]), &net.b->addr));
}

Test(relay_entries, no_room_for_our_own)
{
	sim_seeds(2, no_room_for_our_own);
}

/* At the relay there is no room on the tunnel to the far end: who asks for it is refused. */
static void no_room_at_the_far_end(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	struct sim_node *relay = net.relay[0];
	uint64_t refused = relay->drops[DROP_RELAY_REFUSED];

	cr_assert_eq(crowd(relay, net.b, 1000, RELAYS_PER_TUNNEL_MAX), RELAYS_PER_TUNNEL_MAX);
	sim_send(net.a, 0, net.b->id, 1);
	sim_run(sim, 2 * SIM_S);
	cr_expect_gt(relay->drops[DROP_RELAY_REFUSED], refused);
	cr_expect_eq(tunnel_with(relay, net.b)->relay_count, RELAYS_PER_TUNNEL_MAX);
	cr_expect_neq(entry_of(relay, net.a)->state, RELAY_ESTABLISHED);
}

Test(relay_entries, no_room_at_the_far_end)
{
	sim_seeds(2, no_room_at_the_far_end);
}

/* A host whose list of relays names itself, by its second address: it is not asked for a way to
 * itself. */
static void its_own_relay(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	struct addr second = addr_from_v4(0x0a2a0042);

	sim_kill_node(net.b);
	sim_identify(net.b, &(struct sim_identity){.also = {0x42}});
	net.b->relays[0] = second;
	memset(sim->cut, 0, sizeof(sim->cut));
	sim_start_node(net.b);
	sim_run(sim, 2 * SIM_S);
	talk_until_heard(sim, &net, 2 * SIM_S);
	cr_assert(is_direct(net.a, net.b));
	cr_assert(relays_record_has(tunnel_with(net.a, net.b), &second));
	sim->recording = true;
	node_rehandshake(net.a->node, tunnel_with(net.a, net.b), "test");
	sim_run(sim, 2 * SIM_S);
	cr_expect_eq(relay_words(sim, net.a, net.b), 0);
	cr_expect_eq(net.b->drops[DROP_RELAY_INVALID], 0);
}

Test(relay_entries, its_own_relay)
{
	sim_seeds(3, its_own_relay);
}

/* What is passed on, and what is asked for again later, has the form of the request (trap 85). */
static void the_form_goes_along(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	struct relay_message request = {.type = RELAY_REQUEST,
					.form = RELAY_V2,
					.initiator_index = 5,
					.from = net.a->addr,
					.to = net.b->addr};
	uint8_t bytes[RELAY_BYTES_MAX];

	sim_opened(net.relay[0], net.a, WIRE_CONTROL, bytes,
		   relay_encode(&request, bytes, sizeof(bytes)));
	sim_run(sim, 50 * SIM_MS);
	cr_expect_eq(entry_of(net.b, net.relay[0])->form, RELAY_V2);
	talk_until_heard(sim, &net, 2 * SIM_S); /* a asks in the form of its own */
	cr_expect_eq(entry_of(net.b, net.relay[0])->form, RELAY_V1);
}

Test(relay_entries, the_form_goes_along)
{
	sim_seeds(2, the_form_goes_along);
}

/*
 * Once there is no memory to show workers an entry, at the relay or at an end: what cannot be shown
 * as it is has no index any more. Who needs the entry asks for it again, and then it is there.
 */
static void no_memory_to_show_an_entry(struct sim *sim)
{
	struct net net = relay_net(sim, 1);

	sim->publish_fails = 1 + (uint32_t)sim->seed % 8;
	talk(sim, &net, 10 * SIM_S);
	talk_until_heard(sim, &net, 20 * SIM_S);
	cr_assert(is_relayed(net.a, net.b) && is_relayed(net.b, net.a));
	cr_assert_not(relays_find(tunnel_with(net.relay[0], net.a), &net.b->addr)->lost);
	cr_assert_not(relays_find(tunnel_with(net.relay[0], net.b), &net.a->addr)->lost);
	talk(sim, &net, 2 * SIM_S);
	talk_until_heard(sim, &net, 200 * SIM_MS);
}

Test(relay_entries, no_memory_to_show_an_entry)
{
	sim_seeds(24, no_memory_to_show_an_entry);
}
