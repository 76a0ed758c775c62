/* reload_sim.c - nodes that take up a new configuration while they carry traffic; a new identity is
 * in reload_identity_sim.c. */
#include <stdlib.h>

#include "peers/node_query.h"
#include "peers/node_state.h"
#include "hub.h"
#undef L
#undef A
#undef B
#include "pair.h"
#define C (&sim->nodes[2])

/* --- the map of hosts, lighthouses, punches ----------------------------------------------------
 */

/* Takes up A's options as they are now, with the identity it has. */
static void reconfigure(struct sim_node *node)
{
	node_reconfigure(node->node, &node->options, &node->pki);
}

/* How many addresses node knows of host. */
static uint32_t known(struct sim_node *node, struct addr host)
{
	struct endpoint remote;
	uint32_t count = 0;
	bool blocked;

	while (node_query_remote(node->node, &host, count, &remote, &blocked))
		count++;
	return count;
}

static void moves(struct sim *sim)
{
	struct endpoint nowhere = sim_endpoint(77, 4242);

	sim_add(sim);
	sim_add(sim);
	sim_static(A, 2, &nowhere);
	sim_start_node(A);
	sim_start_node(B);
	sim_send(A, 0, 2, 1);
	sim_run(sim, SIM_S);
	cr_assert_eq(sim_got(B, 1), 0);
	/* While its handshake is under way the map says where it is: what waits arrives. */
	A->static_hosts[0].remotes[0] = B->endpoint;
	reconfigure(A);
	cr_assert_eq(known(A, B->addr), 1, "the old address is still there");
	sim_run(sim, 100 * SIM_MS);
	cr_assert_eq(sim_got(B, 1), 1, "not sent to the new address at once");
	/* The tunnel does not mind that the map forgets the host; once it is gone it stays gone. */
	A->options.static_host_count = 0;
	reconfigure(A);
	sim_send(A, 0, 2, 2);
	sim_run(sim, SIM_S);
	cr_assert_eq(sim_got(B, 1), 2);
	cr_assert_eq(node_order_close(A->node, &B->addr, false), 0);
	sim_run(sim, 2 * SIM_S);
	sim_send(A, 0, 2, 3);
	sim_run(sim, 10 * SIM_S);
	cr_assert_eq(sim_got(B, 1), 2, "found without an entry");
}

Test(reload_sim, static_host_map)
{
	sim_seeds(10, moves);
}

/* A handshake under way goes on where calculated_remotes says now. */
static void calculated(struct sim *sim)
{
	struct calculated_remote before = {{addr_from_v4(0x0a2a0000), ADDR_V4_BITS + 16},
					   {sim_endpoint(0, 0).addr, ADDR_V4_BITS + 24},
					   1},
				 after = before;

	after.port = 4242;
	sim_add(sim);
	sim_add(sim);
	A->options.lighthouse.calculated = &before;
	A->options.lighthouse.calculated_count = 1;
	sim_start_node(A);
	sim_start_node(B);
	sim_send(A, 0, 2, 1);
	sim_run(sim, 1100 * SIM_MS); /* just behind an attempt */
	cr_assert_eq(sim_got(B, 1), 0);
	A->options.lighthouse.calculated = &after;
	reconfigure(A);
	sim_run(sim, 100 * SIM_MS);
	cr_assert_eq(sim_got(B, 1), 1, "not sent to the new address at once");
}

Test(reload_sim, calculated_remotes)
{
	sim_seeds(5, calculated);
}

static void other_lighthouse(struct sim *sim)
{
	sim_add(sim);
	sim_add(sim);
	sim_add(sim);
	sim_add(sim);
	sim_client(A, C);
	sim_client(B, C);
	sim->nodes[3].options.lighthouse.am_lighthouse = true;
	for (uint32_t i = 0; i < 4; i++)
		sim_start_node(&sim->nodes[i]);
	sim_run(sim, 2 * SIM_S);
	cr_assert(sim_primary(C, 1) && !sim_primary(&sim->nodes[3], 1));
	/* A and B move to the other one, and are reported there without waiting for the interval */
	for (uint32_t i = 0; i < 2; i++) {
		struct sim_node *node = &sim->nodes[i];

		node->lighthouses[0] = sim->nodes[3].addr;
		node->options.static_host_count = 0;
		memset(node->static_hosts, 0, sizeof(node->static_hosts));
		sim_static(node, 4, &sim->nodes[3].endpoint);
		reconfigure(node);
	}
	sim_run(sim, SIM_S);
	cr_assert(sim_primary(&sim->nodes[3], 1) && sim_primary(&sim->nodes[3], 2));
	sim_kill_node(C);
	sim_send(A, 0, 2, 1);
	sim_run(sim, SIM_S);
	cr_assert_eq(sim_got(B, 1), 1);
}

Test(reload_sim, other_lighthouses_are_reported_to_and_asked_at_once)
{
	sim_seeds(10, other_lighthouse);
}

/* Tunnels that rest have no timer: punchy.punch, switched on, wakes them, and off lets them sleep.
 */
static void punches(struct sim *sim)
{
	size_t before;

	pair_connect_only(sim);
	sim_run(sim, 30 * SIM_S);
	before = sim->sent_count;
	sim_run(sim, 30 * SIM_S);
	cr_assert_eq(sim->sent_count, before, "not at rest");
	A->options.punch = true;
	reconfigure(A);
	sim_run(sim, 30 * SIM_S);
	cr_assert_geq(sim->sent_count, before + 5);
	A->options.punch = false;
	reconfigure(A);
	sim_run(sim, SIM_S);
	before = sim->sent_count;
	sim_run(sim, 30 * SIM_S);
	cr_assert_eq(sim->sent_count, before, "still punches");
	A->options.drop_inactive = true;
	A->options.inactivity_ns = 10 * SIM_S;
	reconfigure(A);
	sim_run(sim, SIM_S);
	cr_assert_null(sim_primary(A, 2), "unused for long, and not dropped");
}

Test(reload_sim, punches_and_inactivity_of_tunnels_that_rest)
{
	sim_seeds(5, punches);
}

/* Each of the two keys of inactivity alone wakes the tunnels that rest. */
static void inactivity(struct sim *sim)
{
	bool first = sim->seed % 2;

	pair_connect_only(sim);
	A->options.drop_inactive = first;
	A->options.inactivity_ns = first ? 1000 * SIM_S : 10 * SIM_S;
	reconfigure(A);
	sim_run(sim, 30 * SIM_S);
	cr_assert(sim_primary(A, 2));
	A->options.drop_inactive = true;
	A->options.inactivity_ns = 10 * SIM_S;
	reconfigure(A);
	sim_run(sim, SIM_S);
	cr_assert_null(sim_primary(A, 2), "unused for long, and not dropped");
}

Test(reload_sim, inactivity_of_tunnels_that_rest)
{
	sim_seeds(4, inactivity);
}

/* Addresses that are not allowed any more are forgotten, and so are orders of the old ranges. */
static void allow(struct sim *sim)
{
	struct allow_rule rules[] = {{{addr_from_v4(0xc0000202), 128}, false},
				     {{addr_from_v4(0), 96}, true}};
	struct allow_list list = {.count = 2, .rules = rules};
	struct endpoint remote;
	bool blocked, v4;

	pair_connect_only(sim);
	cr_assert(node_query_remote(A->node, &B->addr, 0, &remote, &blocked));
	cr_assert_eq(allow_list_finish(&list, &v4), 0);
	A->options.lighthouse.remote_allow.all = &list;
	reconfigure(A);
	cr_assert_not(node_query_remote(A->node, &B->addr, 0, &remote, &blocked));
	cr_assert(sim_primary(A, 2), "live tunnels stay, as in the reference");
	if (sim->seed % 2) {
		sim_kill_node(B);
		for (uint64_t i = 10; i < 20; i++, sim_run(sim, SIM_S))
			sim_send(A, 0, 2, i);
		cr_assert_eq(sim_count(sim, &A->endpoint, NULL, WIRE_HANDSHAKE, 1), 0,
			     "the next handshake does not go there");
		sim_start_node(B);
	}
	A->options.lighthouse.remote_allow.all = NULL;
	reconfigure(A);
	cr_assert(node_query_remote(A->node, &B->addr, 0, &remote, &blocked));
}

Test(reload_sim, remote_allow_list)
{
	sim_seeds(3, allow);
}

/* What a lighthouse has said of a host is judged by the new lists, and put in their order. */
static void judge(struct sim *sim)
{
	const struct endpoint first = hub_at(0xc6336406, 4242), second = hub_at(0xcb007105, 4242);
	struct prefix preferred = {second.addr, ADDR_V4_BITS + 24};
	struct allow_rule rule;
	struct allow_list list = hub_forbidding(&rule);
	struct sim_node *lighthouse = sim_add(sim), *node = sim_add(sim);
	struct lighthouse_message reply = hub_message(LIGHTHOUSE_REPLY, 9);
	struct endpoint remote;
	bool blocked;

	sim_client(node, lighthouse);
	sim_start_node(lighthouse);
	sim_start_node(node);
	sim_run(sim, SIM_S);
	sim_send(node, 0, 9, 1);
	sim_run(sim, 20 * SIM_MS);
	reply.v4_count = 2;
	reply.v4[0] = first;
	reply.v4[1] = second;
	hub_say(node, lighthouse, &reply);
	cr_assert_eq(known(node, reply.addr), 2);
	cr_assert(node_query_remote(node->node, &reply.addr, 0, &remote, &blocked));
	cr_assert(endpoint_equal(&remote, &first));

	node->options.lighthouse.preferred = &preferred;
	node->options.lighthouse.preferred_count = 1;
	reconfigure(node);
	cr_assert(node_query_remote(node->node, &reply.addr, 0, &remote, &blocked));
	cr_assert(endpoint_equal(&remote, &second), "not in the new order");

	node->options.lighthouse.remote_allow.all = &list;
	reconfigure(node);
	cr_assert_eq(known(node, reply.addr), 1, "a forbidden address is kept");
	cr_assert(node_query_remote(node->node, &reply.addr, 0, &remote, &blocked));
	cr_assert(endpoint_equal(&remote, &second));
}

Test(reload_sim, what_a_lighthouse_has_said_is_judged_anew)
{
	sim_seeds(2, judge);
}

/* What a lighthouse may not tell any more it does not tell, from the reload on. */
static void tells(struct sim *sim)
{
	struct sim_node *lighthouse = sim_add(sim), *asks = sim_add(sim), *asked = sim_add(sim);
	struct allow_rule rules[] = {{{asked->endpoint.addr, 128}, false},
				     {{addr_from_v4(0), 96}, true}};
	struct allow_list list = {.count = 2, .rules = rules};
	bool v4;

	sim_client(asks, lighthouse);
	sim_client(asked, lighthouse);
	sim_start_node(lighthouse);
	sim_start_node(asks);
	sim_start_node(asked);
	sim_run(sim, 2 * SIM_S);
	cr_assert_eq(allow_list_finish(&list, &v4), 0);
	lighthouse->options.lighthouse.remote_allow.all = &list;
	reconfigure(lighthouse);
	sim_run(sim, sim->seed % 3 * 12 * SIM_S); /* it reports itself meanwhile, or does not */
	sim_cut(asks, asked, true);
	sim_send(asks, 0, asked->id, 1);
	sim_run(sim, SIM_S);
	cr_assert_eq(known(asks, asked->addr), 0, "what is forbidden was told");
	lighthouse->options.lighthouse.remote_allow.all = NULL;
	reconfigure(lighthouse);
	sim_run(sim, 12 * SIM_S); /* until it reports itself again */
	sim_send(asks, 0, asked->id, 2);
	sim_run(sim, SIM_S);
	cr_assert_eq(known(asks, asked->addr), 1);
}

Test(reload_sim, a_lighthouse_tells_what_it_may)
{
	sim_seeds(4, tells);
}

/* Who is a lighthouse, and who is none, stays that until the next start: only one of them reports.
 */
static void role(struct sim *sim)
{
	struct sim_node *lighthouse = sim_add(sim), *node = sim_add(sim);

	sim_client(node, lighthouse);
	sim_start_node(lighthouse);
	sim_start_node(node);
	sim_run(sim, SIM_S);
	node->options.lighthouse.am_lighthouse = true;
	reconfigure(node);
	cr_assert_not(node->node->lighthouse.options.am_lighthouse);
	cr_assert(node->node->lighthouse.update.position);

	lighthouse->lighthouses[0] = node->addr;
	lighthouse->options.lighthouse.am_lighthouse = false;
	lighthouse->options.lighthouse.host_count = 1;
	reconfigure(lighthouse);
	cr_assert(lighthouse->node->lighthouse.options.am_lighthouse);
	cr_assert_not(lighthouse->node->lighthouse.update.position);
}

Test(reload_sim, the_role_stays)
{
	sim_seeds(1, role);
}

#define CROWD 2000

/* A host that waits for an answer, and in its chain of the table a static one behind it. */
static struct peer_host *before_a_static_one(const struct table *table, struct peer_host **behind)
{
	for (size_t i = 0; i <= table->mask; i++)
		for (struct table_node *at = table->buckets[i]; at && at->next; at = at->next) {
			struct peer_host *host = table_entry(at, struct peer_host, node);

			*behind = table_entry(at->next, struct peer_host, node);
			if (host->pending && (*behind)->is_static && !(*behind)->links)
				return host;
		}
	return NULL;
}

/*
 * As many handshakes as may be are under way, so none begins with the relay of one of them. When
 * the map forgets that relay, nothing is left of it; what goes through the hosts does not mind.
 */
static void forgets_a_relay(struct sim *sim)
{
	struct node_static_host *statics = calloc(CROWD, sizeof(*statics));
	struct calculated_remote calculated = {{addr_from_v4(0x0a2a0000), ADDR_V4_BITS + 16},
					       {sim_endpoint(0, 0).addr, ADDR_V4_BITS + 24},
					       4242};
	struct sim_node *lighthouse, *node;
	struct lighthouse_message reply;
	struct peer_host *host, *relay;
	struct addr addr;

	lighthouse = sim_add(sim);
	node = sim_add(sim);
	sim_client(node, lighthouse);
	statics[0] = node->static_hosts[0];
	for (uint32_t i = 1; i < CROWD; i++)
		statics[i].addr = addr_from_v4(0x0a2a4000 + i);
	node->options.static_hosts = statics;
	node->options.static_host_count = CROWD;
	sim_start_node(lighthouse);
	sim_start_node(node);
	sim_run(sim, SIM_S);
	for (uint32_t i = 0; i < PENDING_MAX; i++)
		sim_send(node, 0, 1000 + i, 1);
	sim_run(sim, 20 * SIM_MS);
	cr_assert_eq(node_pending_count(node->node), PENDING_MAX);
	host = before_a_static_one(&node->node->tunnels.by_addr, &relay);
	cr_assert_not_null(host);
	reply = (struct lighthouse_message){.type = LIGHTHOUSE_REPLY,
					    .form = LIGHTHOUSE_V1,
					    .has_addr = true,
					    .addr = host->addr,
					    .relay_count = 1,
					    .relays = {relay->addr}};
	hub_say(node, lighthouse, &reply);
	addr = relay->addr;
	node->options.static_host_count = 1;
	node->options.lighthouse.calculated = &calculated;
	node->options.lighthouse.calculated_count = 1;
	reconfigure(node);
	cr_assert_null(tunnels_find_host(&node->node->tunnels, &addr), "it is still there");
	cr_assert_eq(node_pending_count(node->node), PENDING_MAX);
	cr_assert(host->pending->pending.stage1 && host->remotes->count == 1);
	sim_kill_node(node);
	free(statics);
}

Test(reload_sim, a_relay_that_the_map_forgets)
{
	sim_seeds(3, forgets_a_relay);
}

/* Trap 90: a thousand reloads while handshakes are under way lose and leak nothing. */
static void storm(struct sim *sim)
{
	for (uint32_t i = 0; i < 6; i++)
		sim_add(sim);
	for (uint32_t i = 2; i <= 6; i++)
		sim_static(A, i, &sim->nodes[i - 1].endpoint);
	for (uint32_t i = 0; i < 6; i++)
		sim_start_node(&sim->nodes[i]);
	sim->weather.loss = 200;
	for (uint32_t i = 0; i < 1000; i++) {
		struct sim_node *to = &sim->nodes[1 + sim_random(sim, 5)];

		if (sim_random(sim, 4) == 0)
			node_order_close(A->node, &to->addr, sim_random(sim, 2));
		sim_send(A, i % 2, to->id, i);
		A->options.punch = sim_random(sim, 2);
		reconfigure(A);
		sim_run(sim, 5 * SIM_MS);
	}
	sim->weather.loss = 0;
	sim_run(sim, 20 * SIM_S);
	for (uint32_t i = 2; i <= 6; i++) {
		sim_send(A, 0, i, 5000);
		sim_run(sim, SIM_S);
		cr_assert(sim_got_number(&sim->nodes[i - 1], 1, 5000), "node %u is lost", i);
	}
	cr_assert_eq(node_pending_count(A->node), 0);
}

Test(reload_sim, a_thousand_reloads_during_handshakes)
{
	sim_seeds(5, storm);
}

/* Somebody is called in vain, and a reload says where he is: he is called there at once. */
static void where_the_called_one_is(struct sim *sim)
{
	sim_add(sim);
	sim_add(sim);
	sim_start_node(A);
	sim_start_node(B);
	sim->recording = true;
	sim_send(A, 0, 2, 1);
	sim_run(sim, 3 * SIM_S); /* attempts are far apart by now */
	cr_assert_eq(node_pending_count(A->node), 1);
	sim_static(A, 2, &B->endpoint);
	node_reconfigure(A->node, &A->options, &A->pki);
	sim_run(sim, 10 * SIM_MS);
	cr_assert(sim_got_number(B, 1, 1));
}

Test(reload_sim, where_the_called_one_is)
{
	sim_seeds(2, where_the_called_one_is);
}

/* What waits for the next start (keys.def, "reload NO") stays as it is, whatever the options say.
 */
static void waits_for_the_next_start(struct sim *sim)
{
	const struct remotes_owner *words;
	struct node_options next;

	for (int i = 0; i < 3; i++)
		sim_add(sim);
	sim_client(A, C);
	sim_client(B, C);
	sim_static(A, 2, &B->endpoint);
	A->options.punch = true;
	for (int i = 0; i < 3; i++)
		sim_start_node(&sim->nodes[i]);
	sim->recording = true;
	sim_run(sim, SIM_S);
	next = A->options;
	next.udp_port = 9;
	next.cipher = next.cipher == AEAD_AES256GCM ? AEAD_CHACHA20POLY1305 : AEAD_AES256GCM;
	next.try_interval_ns = 3600 * SIM_S;
	next.retries = 1;
	next.alive_interval_ns = next.deletion_interval_ns = 3600 * SIM_S;
	node_reconfigure(A->node, &next, &A->pki);
	sim_run(sim, SIM_S);
	words = remotes_of(hub_host(C, 1)->remotes, &A->addr);
	cr_assert(words && words->v4_count == 1);
	cr_assert_eq(words->entries[0].port, A->endpoint.port, "reported");
	sim_send(A, 0, 2, 1);
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(B, 1, 1), "the cipher");
	sim_forget(sim);
	sim_run(sim, 30 * SIM_S);
	cr_assert_geq(hub_punches(sim, &A->endpoint, &B->endpoint), 4, "timers, alive");
	sim_kill_node(B);
	for (uint64_t i = 0; i < 130; i++, sim_run(sim, 100 * SIM_MS))
		sim_send(A, 0, 2, 10 + i);
	cr_assert_null(sim_primary(A, 2), "timers, pending deletion");
	sim_run(sim, 10 * SIM_S);
	sim_forget(sim);
	sim_send(A, 0, 2, 2);
	sim_run(sim, 2 * SIM_S);
	cr_assert_geq(sim_count(sim, &A->endpoint, &B->endpoint, WIRE_HANDSHAKE, 1), 5,
		      "handshakes");
}

Test(reload_sim, waits_for_the_next_start)
{
	sim_seeds(2, waits_for_the_next_start);
}
