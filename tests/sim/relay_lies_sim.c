/*
 * relay_lies_sim.c - relay messages from those who say what they may not, too much, again, or in
 * pieces (PROTOCOL.md 7, traps 79 to 85).
 */
#include "message.h"
#include "peers/node_query.h"
#include "peers/node_state.h"
#include "peers/relays.h"
#include "relay_net.h"

TestSuite(relay_lies, .timeout = 600);

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
	struct net net = relay_net(sim, 1);
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

/* A relay without a tunnel to the far end begins one, to a host of its networks and to no other. */
static void no_tunnel_yet(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	struct sim_node *relay = net.relay[0];
	struct addr elsewhere = addr_from_v4(0xc0a80101);
	struct endpoint elsewhere_too = sim_endpoint(78, 4242);
	struct calculated_remote calculated = {{addr_from_v4(0x0a2a0000), ADDR_V4_BITS + 24},
					       {sim_endpoint(0, 0).addr, ADDR_V4_BITS + 24},
					       4242};

	relay->options.lighthouse.calculated = &calculated;
	relay->options.lighthouse.calculated_count = 1;
	node_reconfigure(relay->node, &relay->options, &relay->pki);
	node_order_close(relay->node, &net.b->addr, true);
	cr_assert_null(sim_primary(relay, net.b->id));
	cr_assert_eq(told(relay, net.a, RELAY_REQUEST, net.a->addr, elsewhere, 5, 0),
		     DROP_RELAY_REFUSED);
	cr_assert_eq(node_pending_count(relay->node), 0);
	cr_assert_eq(told(relay, net.a, RELAY_REQUEST, net.a->addr, net.b->addr, 5, 0),
		     DROP_RELAY_REFUSED);
	cr_assert_eq(node_pending_count(relay->node), 1);
	sim_run(sim, 10 * SIM_MS);
	cr_assert(sim_primary(relay, net.b->id));
	cr_assert_eq(told(relay, net.a, RELAY_REQUEST, net.a->addr, net.b->addr, 5, 0), DROP_NONE);

	for (uint32_t i = 0; i < RELAY_PENDING_MAX; i++)
		sim_send(relay, 0, 1000 + i, 1);
	sim_run(sim, 10 * SIM_MS);
	cr_assert_eq(node_pending_count(relay->node), RELAY_PENDING_MAX);
	cr_assert_eq(told(relay, net.a, RELAY_REQUEST, net.a->addr, host_addr(77), 6, 0),
		     DROP_RELAY_REFUSED);
	cr_assert_eq(node_pending_count(relay->node), RELAY_PENDING_MAX, "no room for our own");

	sim_static(relay, 78, &elsewhere_too);
	node_reconfigure(relay->node, &relay->options, &relay->pki);
	cr_assert_eq(told(relay, net.a, RELAY_REQUEST, net.a->addr, host_addr(78), 6, 0),
		     DROP_RELAY_REFUSED);
	cr_assert_eq(node_pending_count(relay->node), RELAY_PENDING_MAX, "a static host is none");
}

Test(relay_lies, no_tunnel_yet)
{
	sim_seeds(3, no_tunnel_yet);
}

/*
 * Asked by somebody whom we call, through the relay: the entry is there at once, and stage 1 goes
 * that way, where no address is known. An entry by which we forward is not ours to be reached by.
 */
static void asked(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	struct addr far = host_addr(77);
	struct peer_host *host;
	struct relay *entry;

	sim_send(net.a, 0, 77, 1);
	sim_run(sim, 10 * SIM_MS);
	host = tunnels_find_host(&net.a->node->tunnels, &far);
	cr_assert(host && host->pending && !host->pending->pending.stage1);
	cr_assert_eq(told(net.a, net.relay[0], RELAY_REQUEST, far, net.a->addr, 9, 0), DROP_NONE);
	entry = relays_find(tunnel_with(net.a, net.relay[0]), &far);
	cr_assert(entry && entry->state == RELAY_ESTABLISHED && entry->remote_index == 9);
	cr_assert_not_null(host->pending->pending.stage1, "not sent through it");

	talk_until_heard(sim, &net, 2 * SIM_S);
	entry = relays_find(tunnel_with(net.relay[0], net.a), &net.b->addr);
	cr_assert(entry && entry->type == RELAY_FORWARDING && entry->remote_index != 5);
	far = net.relay[0]->addr;
	cr_assert_eq(told(net.relay[0], net.a, RELAY_REQUEST, net.b->addr, far, 5, 0),
		     DROP_RELAY_REFUSED);
	cr_assert_neq(entry->remote_index, 5);
}

Test(relay_lies, asked)
{
	sim_seeds(3, asked);
}

Test(relay_lies, lies)
{
	sim_seeds(3, lies);
}

static uint32_t index_for(struct sim_node *node, struct sim_node *neighbour, struct addr peer)
{
	const struct relay *relay = relays_find(tunnel_with(node, neighbour), &peer);

	return relay ? relay->local_index : 0;
}

/*
 * The relay says to a that so many hosts more, from first on, want to reach it; how many entries
 * that made. At no step are there more than may be, and what is not granted is refused and counted.
 */
static uint32_t asked_for_many(struct sim_node *a, struct sim_node *relay, uint32_t first,
			       uint32_t count)
{
	uint64_t refused = a->drops[DROP_RELAY_REFUSED];
	uint32_t granted = 0;

	for (uint32_t i = 0; i < count; i++) {
		enum drop drop =
			told(a, relay, RELAY_REQUEST, host_addr(first + i), a->addr, first + i, 0);

		granted += drop == DROP_NONE;
		cr_assert_eq(drop == DROP_NONE, index_for(a, relay, host_addr(first + i)) != 0);
		cr_assert_leq(tunnel_with(a, relay)->relay_count, RELAYS_PER_TUNNEL_MAX);
	}
	cr_expect_eq(a->drops[DROP_RELAY_REFUSED] - refused, count - granted);
	return granted;
}

/* As if a frame had come on each entry of the tunnel for a host of these. */
static void frames_come(struct sim_node *a, struct sim_node *relay, uint32_t first, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t index = index_for(a, relay, host_addr(first + i));

		cr_assert_neq(index, 0, "%u has gone", i);
		hostmap_by_index(a->node->tunnels.map, index)->relay_used_ns = a->sim->now_ns;
	}
}

#define USED 100u

/*
 * Trap 84: entries are bounded, and go with the tunnel. At the bound only what nobody has needed
 * for RELAY_IDLE_NS gives way: neither the path of a tunnel, nor what frames come on, nor what is
 * new, nor an entry of another tunnel.
 */
static void too_many(struct sim *sim)
{
	struct net net = relay_net(sim, 2);
	struct sim_node *relay = net.relay[0], *other = net.relay[1], *a = net.a;
	uint32_t path, elsewhere, room, kept;
	struct tunnel_record *record;

	/* the path is through relay 0, and relay 1 has an entry for a that is not used */
	sim_kill_node(other);
	talk_until_heard(sim, &net, 5 * SIM_S);
	sim_start_node(other);
	talk(sim, &net, 20 * SIM_S);
	path = index_for(a, relay, net.b->addr);
	elsewhere = index_for(a, other, net.b->addr);
	cr_assert(path && elsewhere);
	cr_assert_eq(tunnels_find_host(&a->node->tunnels, &net.b->addr)->primary->path,
		     relays_find(tunnel_with(a, relay), &net.b->addr));
	room = RELAYS_PER_TUNNEL_MAX - (uint32_t)entries(a, relay);

	/* at once: what is new stays */
	cr_expect_eq(asked_for_many(a, relay, 1000, 2 * RELAYS_PER_TUNNEL_MAX), room);
	cr_expect_eq(entries(a, relay), RELAYS_PER_TUNNEL_MAX);
	for (uint32_t i = 0; i < room; i++)
		cr_assert_neq(index_for(a, relay, host_addr(1000 + i)), 0);

	/* later: others take the place of what is idle, and of nothing else */
	sim_run(sim, RELAY_IDLE_NS + SIM_S);
	frames_come(a, relay, 1000, USED);
	kept = (uint32_t)entries(a, relay) - (room - USED);
	cr_expect_eq(asked_for_many(a, relay, 3000, 2 * RELAYS_PER_TUNNEL_MAX), room - USED);
	cr_expect_eq(entries(a, relay), RELAYS_PER_TUNNEL_MAX);
	cr_expect_eq(kept, USED + 1, "the path and what is used");
	frames_come(a, relay, 1000, USED); /* all are there */
	cr_expect_eq(index_for(a, relay, net.b->addr), path);
	cr_expect_eq(index_for(a, other, net.b->addr), elsewhere);

	/* all of them used: whoever asks, and however long, all is refused */
	frames_come(a, relay, 3000, room - USED);
	for (int i = 0; i < 5; i++) {
		sim_run(sim, RELAY_IDLE_NS - SIM_S);
		frames_come(a, relay, 1000, USED);
		frames_come(a, relay, 3000, room - USED);
		cr_expect_eq(asked_for_many(a, relay, 5000, RELAYS_PER_TUNNEL_MAX), 0);
	}
	frames_come(a, relay, 1000, USED);
	frames_come(a, relay, 3000, room - USED);
	cr_expect_eq(index_for(a, relay, net.b->addr), path);
	cr_expect_eq(index_for(a, other, net.b->addr), elsewhere);
	talk_until_heard(sim, &net, SIM_S);

	/* the oldest goes first, and one that is made again is the same */
	cr_expect_eq(asked_for_many(a, relay, 7000, 1), 0); /* which sees what has been used */
	sim_run(sim, RELAY_IDLE_NS + SIM_S);
	record = tunnel_with(a, relay);
	frames_come(a, relay, 3000, room - USED);
	path = index_for(a, relay, host_addr(1000));
	cr_expect_eq(asked_for_many(a, relay, 7000, 1), 1);
	cr_expect_eq(index_for(a, relay, host_addr(1000)), 0);
	frames_come(a, relay, 1001, USED - 1);
	sim_run(sim, RELAY_IDLE_NS + SIM_S);
	cr_expect_eq(asked_for_many(a, relay, 1000, 1), 1);
	cr_expect_eq(index_for(a, relay, host_addr(1000)), path);
	cr_expect_eq(tunnel_with(a, relay), record, "in the same tunnel");

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

Test(relay_lies, too_many)
{
	sim_seeds(2, too_many);
}

/* Frames that were seen on the wire come again, to the relay and to the end (trap 80). */
static void replayed(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
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

Test(relay_lies, replayed)
{
	sim_seeds(3, replayed);
}

/* Forms may change from message to message: an answer has that of its request (trap 85). */
static void mixed_forms(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
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

Test(relay_lies, mixed_forms)
{
	sim_seeds(4, mixed_forms);
}

/* The message cut at each byte, on both kinds of node: counted, and nothing else. */
static void cut_messages(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
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

Test(relay_lies, cut_messages)
{
	sim_seeds(1, cut_messages);
}

/* The tunnels of node with peer; the oldest one. */
static struct tunnel_record *oldest_with(struct sim_node *node, struct sim_node *peer,
					 uint32_t *count)
{
	struct peer_host *host = tunnels_find_host(&node->node->tunnels, &peer->addr);
	struct host_link *link = host->links;

	for (*count = 1; link->next; link = link->next)
		(*count)++;
	return link->record;
}

/*
 * A peer that claims to be a relay answers our handshake through itself, and has so many tunnels
 * with us that the oldest one has to go, by which the answer came: the new tunnel loses its path
 * while it is entered, and asks for a handshake. Before that something of the peer's has come, so
 * nothing waits for the one that it answers, which would begin anew.
 */
static void answered_through_itself(struct sim *sim)
{
	static const struct endpoint nowhere;
	struct sim_node *a = sim_add(sim), *peer = sim_add(sim);
	uint8_t error[WIRE_HEADER_BYTES];
	struct sim_datagram *stage2;
	struct tunnel_record *oldest;
	struct relay *entry;
	uint32_t count;

	sim_static(a, peer->id, &peer->endpoint);
	sim_static(peer, a->id, &a->endpoint);
	sim_start_node(a);
	sim_start_node(peer);
	sim_send(a, 0, peer->id, 1);
	sim_run(sim, 100 * SIM_MS);
	cr_assert_eq(told(a, peer, RELAY_REQUEST, host_addr(77), a->addr, 9, 0), DROP_NONE);
	for (int i = 1; i < TUNNELS_PER_HOST_MAX; i++) {
		initiator_begin(peer->node, tunnel_with(peer, a)->links[0].host, 0);
		sim_run(sim, 200 * SIM_MS);
	}
	oldest = oldest_with(a, peer, &count);
	cr_assert_eq(count, TUNNELS_PER_HOST_MAX);
	entry = oldest->relays;
	cr_assert(entry && entry->state == RELAY_ESTABLISHED);

	sim->recording = sim->cut_one_way = true;
	sim->cut[0] = peer->endpoint;
	sim->cut[1] = a->endpoint;
	wire_write(error, WIRE_RECV_ERROR, tunnel_with(a, peer)->tunnel->remote_index, 0);
	sim_inject(sim, &peer->endpoint, &a->endpoint, error, sizeof(error), SIM_MS);
	sim_run(sim, 50 * SIM_MS);
	stage2 = sim_find(sim, &peer->endpoint, &a->endpoint, WIRE_HANDSHAKE, 2, 0);
	cr_assert(stage2 && oldest->links[0].host->pending && !oldest->links[0].host->primary);
	node_on_opened(a->node, 0, oldest->tunnel->id, &peer->endpoint, 0, WIRE_TEST_REPLY, NULL,
		       0);
	cr_assert(oldest->links[0].host->pending && oldest->links[0].host->pending->quiet);

	node_on_handshake(a->node, 0, &nowhere, entry->local_index, stage2->bytes, stage2->length);
	sim_check(a);
	sim->cut_one_way = false;
	sim->cut[0] = sim->cut[1] = nowhere;
	sim_send(a, 0, peer->id, 2);
	sim_run(sim, 5 * SIM_S);
	cr_assert(sim_got_number(peer, a->id, 2));
}

Test(relay_lies, answered_through_itself)
{
	sim_seeds(3, answered_through_itself);
}

static struct relay *forwarding(struct sim_node *relay, struct tunnel_record *record, uint32_t peer)
{
	struct addr addr = host_addr(peer);

	return relays_add(relay->node, record, &addr, RELAY_FORWARDING, RELAY_PEER_REQUESTED);
}

/*
 * A relay that was an end before a reload, whose own tunnel with the asker still goes through the
 * far end: that entry goes when the asker asks for the far end, and with it the tunnel's path. The
 * one that is primary then takes over what its elder forwards, and is full: what is asked for just
 * now has been idle for longest, and may not go for that.
 */
static void asked_for_what_is_idle(struct sim *sim)
{
	struct sim_node *relay = sim_add(sim), *asker = sim_add(sim), *far = sim_add(sim);
	struct relay_message message = {RELAY_REQUEST, RELAY_V1, 7, 0, asker->addr, far->addr};
	struct tunnel_record *tunnels[3];
	uint8_t bytes[RELAY_BYTES_MAX];
	struct remote *remote;
	struct relay *entry;

	relay->options.relay.am_relay = true;
	sim_static(asker, relay->id, &relay->endpoint);
	sim_static(far, relay->id, &relay->endpoint);
	for (uint32_t i = 0; i < sim->node_count; i++)
		sim_start_node(&sim->nodes[i]);
	sim_send(far, 0, relay->id, 1);
	sim_send(asker, 0, relay->id, 1);
	sim_run(sim, 100 * SIM_MS);
	for (int i = 0; i < 3; i++) {
		tunnels[i] = tunnel_with(relay, asker);
		initiator_begin(asker->node, tunnel_with(asker, relay)->links[0].host, 0);
		sim_run(sim, 100 * SIM_MS);
	}
	tunnels[2] = tunnel_with(relay, asker);

	/* the second one through the far end, as the primary one */
	entry = relays_add(relay->node, tunnel_with(relay, far), &asker->addr, RELAY_TERMINAL,
			   RELAY_ESTABLISHED);
	relays_set_remote(relay->node, entry, 5);
	remote = tunnels[1]->tunnel->remote;
	tunnels[1]->tunnel->remote = NULL;
	relays_set_path(relay->node, tunnels[1], entry);
	tunnels_lead(&relay->node->tunnels, tunnels[1]);
	cr_assert_eq(tunnel_with(relay, asker), tunnels[1]);
	/* what the first one forwards is in use; the third one is full */
	entry = forwarding(relay, tunnels[0], 77);
	hostmap_by_index(relay->map, entry->local_index)->relay_used_ns = sim->now_ns;
	forwarding(relay, tunnels[2], far->id)->needed_ns = 0;
	for (uint32_t i = 1; i < RELAYS_PER_TUNNEL_MAX; i++)
		cr_assert(forwarding(relay, tunnels[2], 1000 + i));

	node_on_opened(relay->node, 0, tunnels[2]->tunnel->id, &asker->endpoint, 0, WIRE_CONTROL,
		       bytes, relay_encode(&message, bytes, sizeof(bytes)));
	cr_assert_eq(tunnel_with(relay, asker), tunnels[2]);
	entry = relays_find(tunnels[2], &far->addr);
	cr_assert(entry && entry->remote_index == 7);
	sim_check(relay);
	free(remote);
}

Test(relay_lies, asked_for_what_is_idle)
{
	sim_seeds(2, asked_for_what_is_idle);
}

/* What all that ask a relay have in common is bounded, too: how often, and how many entries. */
static void bounds_in_common(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	struct sim_node *relay = net.relay[0], *a = net.a, *b = net.b;
	size_t count;

	talk_until_heard(sim, &net, 2 * SIM_S);
	relay->node->relays.requests.full_ns = sim->now_ns + 3600 * SIM_S;
	cr_expect_eq(told(relay, a, RELAY_REQUEST, a->addr, b->addr, 7, 0), DROP_RELAY_REFUSED);
	relay->node->relays.requests.full_ns = 0;
	cr_expect_eq(told(relay, a, RELAY_REQUEST, a->addr, b->addr, 7, 0), DROP_NONE);

	count = a->node->relays.count;
	a->node->relays.count = RELAYS_MAX;
	cr_expect_eq(told(a, relay, RELAY_REQUEST, host_addr(77), a->addr, 9, 0),
		     DROP_RELAY_REFUSED);
	a->node->relays.count = count;
	cr_expect_eq(told(a, relay, RELAY_REQUEST, host_addr(77), a->addr, 9, 0), DROP_NONE);
}

Test(relay_lies, bounds_in_common)
{
	sim_seeds(2, bounds_in_common);
}

/* A recv_error that names a relayed tunnel: it has no address to compare, so nobody is believed. */
static void recv_error_of_a_relayed_tunnel(struct sim *sim)
{
	struct net net = relay_net(sim, 1);
	const struct endpoint from[] = {net.relay[0]->endpoint, net.b->endpoint};
	uint8_t packet[WIRE_HEADER_BYTES];
	struct tunnel_record *record;
	uint64_t ignored;

	talk_until_heard(sim, &net, 2 * SIM_S);
	record = tunnel_with(net.a, net.b);
	cr_assert_null(record->tunnel->remote);
	wire_write(packet, WIRE_RECV_ERROR, record->tunnel->remote_index, 0);
	ignored = net.a->drops[DROP_RECV_ERROR_IGNORED];
	for (size_t i = 0; i < 2; i++)
		node_on_recv_error(net.a->node, &from[i], packet, sizeof(packet));
	cr_expect_eq(net.a->drops[DROP_RECV_ERROR_IGNORED], ignored + 2);
	cr_expect_eq(record->state, RECORD_LIVE);
}

Test(relay_lies, recv_error_of_a_relayed_tunnel)
{
	sim_seeds(2, recv_error_of_a_relayed_tunnel);
}
