/* manager_sim.c - the connection manager over time: silence, healing, settling, ends, sleep. */
#include <stdlib.h>

#include "peers/node_state.h"
#include "pair.h"
#include "relay_net.h"

static size_t stage1_count(struct sim *sim, const struct sim_node *from)
{
	return sim_count(sim, &from->endpoint, NULL, WIRE_HANDSHAKE, 1);
}

/* Only the sweep of certificates may be armed. */
static void cr_at_rest(struct sim_node *node)
{
	cr_assert_leq(node->node->tunnels.timers.count, 1, "node %u: %zu timers", node->id,
		      node->node->tunnels.timers.count);
}

/* --- silence -----------------------------------------------------------------------------------
 */

static void dead_peer(struct sim *sim)
{
	uint64_t number = 2;

	pair_connect(sim);
	sim_kill_node(B);
	for (int i = 0; i < 85; i++, sim_run(sim, 100 * SIM_MS))
		sim_send(A, 0, 2, number++);
	cr_assert_eq(node_tunnel_count(A->node), 1, "not before pending_deletion_interval");
	for (int i = 0; i < 40; i++, sim_run(sim, 100 * SIM_MS))
		sim_send(A, 0, 2, number++);
	cr_assert_eq(node_tunnel_count(A->node), 0);
	cr_assert_eq(sim_count(sim, &A->endpoint, NULL, WIRE_CLOSE_TUNNEL, 0), 0, "without notice");
	sim_run(sim, 10 * SIM_S);
	cr_assert_eq(A->node->tunnels.timers.count, 0, "nothing is left to do");
	sim_start_node(B);
	cr_assert_leq(until_heard(sim, A, B, 100 * SIM_MS, 10 * SIM_S), SIM_S);
}

Test(sim_manager, dead_peer)
{
	sim_seeds(10, dead_peer);
}

static bool passed_over(const struct sim_node *node)
{
	const struct tunnel_record *record = node->node->tunnels.all;

	for (; record; record = record->next)
		if (!atomic_load(&record->tunnel->unanswered))
			return false;
	return true;
}

/* A gateway that dies is passed over within the time promised, until it answers again. */
static void silent_gateway(struct sim *sim)
{
	uint64_t interval = 5 * SIM_MS + sim_random(sim, 900 * SIM_MS), start, number = 10;

	pair_connect(sim);
	for (int i = 0; i < 20; i++, sim_run(sim, interval)) {
		sim_send(A, 0, 2, number++);
		cr_assert(!passed_over(A), "one way traffic is no sign of death");
	}
	sim_cut(A, B, true);
	for (start = sim->now_ns; !passed_over(A); sim_run(sim, 5 * SIM_MS)) {
		if ((sim->now_ns - start) % interval < 5 * SIM_MS)
			sim_send(A, 0, 2, number++);
		cr_assert_leq(sim->now_ns - start, HEAL_NS, "a packet every %llu ms",
			      (unsigned long long)(interval / SIM_MS));
	}
	/* its flows have gone to another gateway: nothing is sent to it any more */
	sim_run(sim, 2 * SIM_S);
	cr_assert(passed_over(A));
	sim_cut(A, B, false);
	sim_run(sim, 3 * SIM_S);
	cr_assert(!passed_over(A) && node_tunnel_count(A->node) > 0, "it answers again");
}

Test(sim_manager, silent_gateway)
{
	sim_seeds(20, silent_gateway);
}

/* Without recv_error, whoever began the tunnel, whatever the rhythm of the traffic. */
static void restart(struct sim *sim)
{
	struct sim_node *gone = sim->seed % 2 ? A : B, *stays = sim->seed % 2 ? B : A;
	uint64_t interval = 20 * SIM_MS + sim_random(sim, 980 * SIM_MS), took;

	pair_connect(sim);
	for (int i = 0; i < 5; i++) {
		sim_send(A, 0, 2, 10);
		sim_send(B, 0, 1, 10);
		sim_run(sim, sim_random(sim, sim->seed % 3 ? interval : 20 * SIM_S));
	}
	sim_kill_node(gone);
	sim_start_node(gone);
	gone->mute_recv_error = true;
	took = until_heard(sim, stays, gone, interval, 20 * SIM_S);
	cr_assert_leq(took, HEAL_NS, "%llu ms, a packet every %llu ms",
		      (unsigned long long)(took / SIM_MS), (unsigned long long)(interval / SIM_MS));
	sim_send(gone, 0, stays->id, 77);
	sim_run(sim, 30 * SIM_S);
	cr_assert(sim_got_number(stays, gone->id, 77));
	cr_assert_eq(node_tunnel_count(A->node), 1);
	cr_assert_eq(node_tunnel_count(B->node), 1);
}

Test(sim_manager, restart_without_recv_error)
{
	sim_seeds(60, restart);
}

/* Nothing passes for a while; then it does, on the old tunnel or a new one. */
static void cable_cut(struct sim *sim)
{
	uint64_t end, number = 2;

	pair_connect(sim);
	sim->cut[0] = A->endpoint;
	sim->cut[1] = B->endpoint;
	end = sim->now_ns + sim_random(sim, 30 * SIM_S);
	while (sim->now_ns < end) {
		sim_send(A, 0, 2, number++);
		if (sim->seed % 2)
			sim_send(B, 0, 1, number);
		sim_run(sim, 200 * SIM_MS);
	}
	memset(sim->cut, 0, sizeof(sim->cut));
	cr_assert_leq(until_heard(sim, A, B, 200 * SIM_MS, 20 * SIM_S), HEAL_NS);
	cr_assert_leq(until_heard(sim, B, A, 200 * SIM_MS, 20 * SIM_S), HEAL_NS);
	sim_run(sim, 40 * SIM_S);
	cr_assert_eq(node_tunnel_count(A->node), 1);
	cr_assert_eq(node_tunnel_count(B->node), 1);
	cr_at_rest(A);
	cr_at_rest(B);
}

Test(sim_manager, cable_cut)
{
	sim_seeds(30, cable_cut);
}

/* A tunnel that answers keeps its traffic: tests, but no handshake. */
static void one_way(struct sim *sim)
{
	struct tunnel *tunnel;
	uint64_t number = 2;
	size_t tests;

	pair_connect(sim);
	tunnel = sim_primary(A, 2);
	for (int i = 0; i < 200; i++, sim_run(sim, 100 * SIM_MS))
		sim_send(A, 0, 2, number++);
	tests = sim_count(sim, &A->endpoint, NULL, WIRE_TEST_REQUEST, 0);
	cr_assert(tests >= 10 && tests <= 30, "%zu tests in 20 s", tests);
	cr_assert_eq(stage1_count(sim, A) + stage1_count(sim, B), 1);
	cr_assert_eq(sim_primary(A, 2), tunnel);
	cr_assert_eq(sim_got(B, 1), number - 1);
}

Test(sim_manager, one_way_traffic)
{
	sim_seeds(4, one_way);
}

/* Answers take longer than the usual wait: learned after the first. */
static void slow_path(struct sim *sim)
{
	uint64_t number = 2;

	sim->weather.delay_min_ns = sim->weather.delay_max_ns = 350 * SIM_MS;
	pair_connect(sim);
	sim_run(sim, 20 * SIM_S);
	for (int i = 0; i < 600; i++, sim_run(sim, 100 * SIM_MS))
		sim_send(A, 0, 2, number++);
	sim_run(sim, SIM_S);
	cr_assert_eq(sim_got(B, 1), number - 1);
	cr_assert_leq(stage1_count(sim, A) + stage1_count(sim, B), 20, "%zu",
		      stage1_count(sim, A) + stage1_count(sim, B));
}

Test(sim_manager, slow_path)
{
	sim_seeds(2, slow_path);
}

/* A packet from A, an answer of B if there is one, and a pause. */
static void exchange(struct sim *sim, uint64_t number, bool answer)
{
	sim_send(A, 0, 2, number);
	sim_run(sim, sim->weather.delay_max_ns + 10 * SIM_MS);
	if (answer)
		sim_send(B, 0, 1, number);
	sim_run(sim, 8 * SIM_S);
}

/*
 * The same of a path that is much slower, with little traffic: a handshake beside the tunnel, with
 * which Nebula drops what is on its way, is not begun for every packet. An answer comes before the
 * reply to the test that its absence has caused.
 */
static void very_slow_path(struct sim *sim)
{
	uint64_t one_way_ns = (600 + sim->seed % 10 * 100) * SIM_MS, number = 2;
	bool answer = sim->seed / 10 % 2;
	size_t before;

	pair_connect(sim);
	sim->weather.delay_min_ns = sim->weather.delay_max_ns = one_way_ns;
	for (int i = 0; i < 2; i++) /* it is learned */
		exchange(sim, number++, answer);
	before = stage1_count(sim, A) + stage1_count(sim, B);
	for (int i = 0; i < 10; i++)
		exchange(sim, number++, answer);
	SIM_ASSERT(sim, stage1_count(sim, A) + stage1_count(sim, B) == before,
		   "%zu stage 1 packets more, %llu ms one way",
		   stage1_count(sim, A) + stage1_count(sim, B) - before,
		   (unsigned long long)(one_way_ns / SIM_MS));
	cr_assert_eq(sim_got(B, 1), number - 1);
}

Test(sim_manager, very_slow_path)
{
	sim_seeds(20, very_slow_path);
}

/* --- several tunnels become one (trap 23) ------------------------------------------------------
 */

static void simultaneous(struct sim *sim)
{
	sim->weather = (struct sim_weather){.loss = sim->seed % 4 ? 0 : 100,
					    .delay_min_ns = SIM_MS / 10,
					    .delay_max_ns = 20 * SIM_MS};
	sim_add(sim);
	sim_add(sim);
	sim_static(A, 2, &B->endpoint);
	sim_static(B, 1, &A->endpoint);
	sim_start_node(A);
	sim_start_node(B);
	sim_send(A, 0, 2, 1);
	sim_run(sim, sim_random(sim, 25 * SIM_MS));
	sim_send(B, 0, 1, 1);
	sim_run(sim, sim_random(sim, 10 * SIM_S));
	for (uint64_t i = 2; i < 5; i++, sim_run(sim, sim_random(sim, 6 * SIM_S))) {
		sim_send(A, 0, 2, i);
		sim_send(B, 0, 1, i);
		cr_assert_leq(node_tunnel_count(A->node), TUNNELS_PER_HOST_MAX);
	}
	sim->weather.loss = 0;
	sim_run(sim, 40 * SIM_S);
	cr_assert_eq(node_tunnel_count(A->node), 1, "%zu", node_tunnel_count(A->node));
	cr_assert_eq(node_tunnel_count(B->node), 1, "%zu", node_tunnel_count(B->node));
	cr_assert_eq(sim_primary(A, 2)->local_index, sim_primary(B, 1)->remote_index,
		     "the same one");
	cr_at_rest(A);
	cr_at_rest(B);
	for (uint64_t i = 10; i < 13; i++, sim_run(sim, 100 * SIM_MS)) {
		sim_send(A, 0, 2, i);
		sim_send(B, 0, 1, i);
	}
	for (uint64_t i = 10; i < 13; i++)
		cr_assert(sim_got_number(A, 2, i) && sim_got_number(B, 1, i));
}

Test(sim_manager, simultaneous_starts_settle_to_one)
{
	sim_seeds(300, simultaneous);
}

/*
 * What was on its way on the old tunnel when a new one took the lead says nothing about what the
 * peer uses: the lower node, which may move, does not go back to the old one for it.
 */
static void late(struct sim *sim)
{
	struct tunnel *before, *after = NULL;
	uint64_t number = 10, led_ns = 0, late_ns = 0;

	pair_connect(sim);
	sim->weather.delay_min_ns = sim->weather.delay_max_ns = 200 * SIM_MS;
	before = sim_primary(A, 2);
	node_on_counter(A->node, before->id, COUNTER_REHANDSHAKE_AT);
	for (uint64_t end = sim->now_ns + 12 * SIM_S; sim->now_ns < end;
	     sim_run(sim, 20 * SIM_MS)) {
		sim_send(A, 0, 2, number);
		sim_send(B, 0, 1, number++);
		if (!after && sim_primary(A, 2) != before) {
			after = sim_primary(A, 2);
			led_ns = sim->now_ns;
		}
		if (after && sim->now_ns < led_ns + SIM_S)
			late_ns = atomic_load(&before->last_in_ns);
		cr_assert(!after || sim_primary(A, 2) == after, "%llu ms after it led",
			  (unsigned long long)((sim->now_ns - led_ns) / SIM_MS));
	}
	cr_assert_gt(led_ns, 0);
	cr_assert_gt(late_ns, led_ns + 100 * SIM_MS, "nothing was on its way");
	for (int i = 0; i < 200; i++, sim_run(sim, 100 * SIM_MS))
		sim_send(A, 0, 2, number++);
	cr_assert_eq(node_tunnel_count(A->node), 1, "the old one goes");
	cr_assert_eq(sim_primary(A, 2), after);
}

Test(sim_manager, late_packets_bring_no_tunnel_back)
{
	sim_seeds(2, late);
}

/* --- our own certificate changes (8.4) ---------------------------------------------------------
 */

static void certificate_changes(struct sim *sim)
{
	struct tunnel *before;
	uint64_t number = 2;

	pair_connect(sim);
	sim_run(sim, 30 * SIM_S);
	before = sim_primary(A, 2);
	sim_identify(A, &(struct sim_identity){.not_after = (int64_t)SIM_WALL_S + 400000000});
	sim_run(sim, 10 * SIM_S);
	cr_assert_eq(sim_primary(A, 2), before, "a quiet tunnel waits for traffic");
	for (int i = 0; i < 200; i++, sim_run(sim, 20 * SIM_MS)) {
		sim_send(A, 0, 2, number++);
		sim_send(B, 0, 1, number);
	}
	cr_assert_neq(sim_primary(A, 2), before);
	cr_assert_eq(stage1_count(sim, A), 2, "one handshake");
	cr_assert_eq(sim_got(B, 1), number - 1, "nothing is lost");
	sim_run(sim, 30 * SIM_S);
	cr_assert_eq(node_tunnel_count(A->node), 1, "the old one has gone");
	cr_assert_eq(node_tunnel_count(B->node), 1);
}

Test(sim_manager, rehandshake_on_new_certificate)
{
	sim_seeds(4, certificate_changes);
}

/* The tunnel of node whose index at its peer is remote_index. */
static struct tunnel_record *by_remote_index(struct sim_node *node, uint32_t remote_index)
{
	struct tunnel_record *record = node->node->tunnels.all;

	while (record && record->tunnel->remote_index != remote_index)
		record = record->next;
	cr_assert(record);
	return record;
}

/*
 * Two quiet ends have each kept another of their two tunnels. The one whose last but one goes asks
 * whether the peer has the last one: so they have one in common before somebody needs it.
 */
static void each_kept_another(struct sim *sim)
{
	struct tunnel *before, *after;

	pair_connect(sim);
	before = sim_primary(A, 2);
	node_rehandshake(A->node, A->node->tunnels.all, "test");
	sim_run(sim, 2 * SIM_S);
	after = sim_primary(A, 2);
	cr_assert(after != before && node_tunnel_count(A->node) == 2);
	tunnels_remove(&B->node->tunnels, by_remote_index(B, after->local_index));
	cr_assert_eq(sim_primary(B, 1)->remote_index, before->local_index);
	sim_run(sim, 40 * SIM_S);
	cr_assert_eq(sim_primary(A, 2)->local_index, sim_primary(B, 1)->remote_index);
	cr_assert_eq(node_tunnel_count(A->node), 1);
}

Test(sim_manager, each_kept_another)
{
	sim_seeds(4, each_kept_another);
}

/* The peer goes on sending on the tunnel with our old certificate: nobody follows it there. */
static void stays_behind(struct sim *sim)
{
	struct tunnel *before, *after;
	uint64_t number = 10;

	pair_connect(sim);
	before = sim_primary(A, 2);
	sim_identify(A, &(struct sim_identity){.not_after = (int64_t)SIM_WALL_S + 400000000});
	for (int i = 0; i < 40; i++, sim_run(sim, 50 * SIM_MS)) {
		sim_send(A, 0, 2, number);
		sim_send(B, 0, 1, number++);
	}
	after = sim_primary(A, 2);
	cr_assert_neq(after, before);
	tunnels_lead(&B->node->tunnels, by_remote_index(B, before->local_index));
	for (int i = 0; i < 300; i++, sim_run(sim, 50 * SIM_MS)) {
		sim_send(A, 0, 2, number);
		sim_send(B, 0, 1, number++);
		cr_assert_eq(sim_primary(A, 2), after);
	}
	cr_assert_gt(atomic_load(&before->last_in_ns), sim->now_ns - SIM_S, "it is not used");
}

Test(sim_manager, no_swap_to_an_outdated_tunnel)
{
	sim_seeds(4, stays_behind);
}

/* --- unused tunnels ----------------------------------------------------------------------------
 */

static void inactivity(struct sim *sim)
{
	pair_start(sim, false);
	sim_kill_node(A);
	A->options.drop_inactive = true;
	A->options.inactivity_ns = 60 * SIM_S;
	sim_start_node(A);
	sim_send(A, 0, 2, 1);
	for (uint64_t i = 2; i < 10; i++) {
		sim_run(sim, 50 * SIM_S);
		cr_assert_eq(node_tunnel_count(A->node), 1, "used every 50 s");
		if (i % 2)
			sim_send(A, 0, 2, i);
		else
			sim_send(B, 0, 1, i);
	}
	sim_run(sim, 58 * SIM_S);
	cr_assert_eq(node_tunnel_count(A->node), 1);
	sim_run(sim, 6 * SIM_S);
	cr_assert_eq(node_tunnel_count(A->node), 0);
	cr_assert_eq(node_tunnel_count(B->node), 0);
	cr_assert_eq(sim_count(sim, &A->endpoint, NULL, WIRE_CLOSE_TUNNEL, 0), 1);
}

Test(sim_manager, inactivity)
{
	sim_seeds(4, inactivity);
}

/* --- keep-alive punches (6.6) ------------------------------------------------------------------
 */

static size_t punches(const struct sim *sim, const struct endpoint *to)
{
	size_t count = 0;

	for (size_t i = 0; i < sim->sent_count; i++)
		count += sim->sent[i].length == 1 && sim->sent[i].bytes[0] == 1 &&
			 endpoint_equal(&sim->sent[i].to, to);
	return count;
}

static void punching(struct sim *sim)
{
	struct endpoint other = sim_endpoint(99, 4242);
	bool all = sim->seed % 3 == 1, off = sim->seed % 3 == 2;
	size_t count;

	sim_add(sim);
	sim_add(sim);
	A->options.punch = !off;
	A->options.punch_all = all;
	sim_static(A, 2, &B->endpoint);
	sim_static(A, 2, &other);
	sim_start_node(A);
	sim_start_node(B);
	sim->recording = true;
	sim_send(A, 0, 2, 1);
	sim_run(sim, 61 * SIM_S);
	count = punches(sim, &B->endpoint);
	cr_assert(off ? count == 0 : count >= 10 && count <= 13, "%zu punches in 61 s", count);
	cr_assert_eq(punches(sim, &other), all ? count : 0);
	cr_assert_eq(punches(sim, &A->endpoint), 0, "B does not punch");
	/* Traffic both ways keeps the path open by itself. */
	for (int i = 0; i < 100; i++, sim_run(sim, 200 * SIM_MS)) {
		sim_send(A, 0, 2, 2);
		sim_send(B, 0, 1, 2);
	}
	cr_assert_leq(punches(sim, &B->endpoint) - count, 1);
	/* Now and then a packet: no more than at rest. */
	count = punches(sim, &B->endpoint);
	for (int i = 0; i < 30; i++, sim_run(sim, 2 * SIM_S))
		sim_send(A, 0, 2, 3);
	count = punches(sim, &B->endpoint) - count;
	cr_assert(off ? count == 0 : count >= 10 && count <= 13, "%zu punches in 60 s", count);
	/* Where another host has answered, none. */
	remotes_block(tunnels_find_host(&A->node->tunnels, &B->addr)->remotes, &other);
	sim_forget(sim);
	sim_run(sim, 20 * SIM_S);
	cr_assert_eq(punches(sim, &other), 0);
}

Test(sim_manager, punches)
{
	sim_seeds(6, punching);
}

/*
 * A tunnel that rests and has no direct path: with punchy.target_all_remotes each address at which
 * the peer may be is punched, else none. The node wakes no more often than for that.
 */
static void punching_relayed(struct sim *sim)
{
	bool all = sim->seed % 2;
	struct net net = relay_net(sim, 1);
	size_t count;

	net.a->options.punch = true;
	net.a->options.punch_all = all;
	node_reconfigure(net.a->node, &net.a->options, &net.a->pki);
	talk_until_heard(sim, &net, 2 * SIM_S);
	sim_run(sim, 10 * SIM_S);
	sim->recording = true;
	net.a->wakes = 0;
	sim_run(sim, 60 * SIM_S);
	cr_assert(is_relayed(net.a, net.b));
	count = punches(sim, &net.b->endpoint);
	cr_assert(all ? count >= 10 && count <= 13 : count == 0, "%zu punches in 60 s", count);
	cr_assert_leq(net.a->wakes, 60, "%llu wake-ups in 60 s", (unsigned long long)net.a->wakes);
}

Test(sim_manager, punches_of_a_relayed_tunnel)
{
	sim_seeds(4, punching_relayed);
}

/* --- an idle node sleeps -----------------------------------------------------------------------
 */

static void idle(struct sim *sim)
{
	for (uint32_t i = 0; i < 11; i++)
		sim_add(sim);
	for (uint32_t i = 1; i < 11; i++)
		sim_static(A, i + 1, &sim->nodes[i].endpoint);
	for (uint32_t i = 0; i < 11; i++)
		sim_start_node(&sim->nodes[i]);
	for (uint32_t i = 1; i < 11; i++) {
		sim_send(A, 0, i + 1, 1);
		sim_run(sim, sim_random(sim, 3 * SIM_S));
	}
	sim_run(sim, 20 * SIM_S);
	cr_assert_eq(node_tunnel_count(A->node), 10);
	A->wakes = 0;
	sim_run(sim, 100 * SIM_S);
	cr_assert_eq(node_tunnel_count(A->node), 10);
	cr_assert_leq(A->wakes, 50, "%llu wake-ups in 100 s", (unsigned long long)A->wakes);
	cr_assert_leq(sim->nodes[1].wakes, 60);
}

Test(sim_manager, idle_node_sleeps)
{
	sim_seeds(2, idle);
}
