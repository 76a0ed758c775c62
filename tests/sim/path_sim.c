/*
 * path_sim.c - the path in use dies while another address of the peer is known: within WORST_NS, at
 * whatever moment of tests, handshakes and earlier outages that happens; and paths that only lose
 * packets keep their tunnels.
 *
 * By construction: 0.8 s of silence, at most 1 s for the answer to a test, two steps of the grid of
 * 0.1 s, and a handshake (manager.c).
 */
#include "peers/node_state.h"
#include "sim.h"
#include "wire.h"

#define A (&sim->nodes[0])
#define B (&sim->nodes[1])

#define WORST_NS (2200 * SIM_MS)
#define STEP_NS  (20 * SIM_MS) /* between packets */
#define PHASE_NS (50 * SIM_MS)
#define PHASES   60

static const struct endpoint nowhere;

/* A knows both addresses of B. both: B begins a handshake at the same time, too. */
static void start(struct sim *sim, const struct endpoint *second, bool both)
{
	sim_add(sim);
	sim_add(sim);
	sim_static(A, 2, &B->endpoint);
	sim_static(A, 2, second);
	if (both)
		sim_static(B, 1, &A->endpoint);
	sim_start_node(A);
	sim_start_node(B);
	if (both)
		sim_send(B, 0, 1, 1);
}

/* A sends all the time; echo: B answers what comes. Until B has heard something, or for so long. */
static uint64_t talk(struct sim *sim, uint64_t duration_ns, bool echo, bool until_heard)
{
	uint64_t start = sim->now_ns;
	size_t first = sim_got(B, 1), before;

	while (sim->now_ns - start < duration_ns && !(until_heard && sim_got(B, 1) > first)) {
		before = sim_got(B, 1);
		sim_send(A, 0, 2, sim->now_ns);
		sim_run(sim, STEP_NS < duration_ns ? STEP_NS : duration_ns);
		if (echo && sim_got(B, 1) > before)
			sim_send(B, 0, 1, sim->now_ns);
	}
	return sim->now_ns - start;
}

/* What came before: nothing, a short outage, weather that is slow or loses much. */
static void spoil(struct sim *sim, bool echo)
{
	struct sim_weather good = sim->weather;

	switch (sim_random(sim, 4)) {
	case 0:
		break;
	case 1: /* tests, perhaps a handshake, and then the tunnel answers after all */
		talk(sim, SIM_S + sim_random(sim, SIM_S), echo, false);
		sim->cut[0] = A->endpoint;
		sim->cut[1] = B->endpoint;
		talk(sim, SIM_S + sim_random(sim, 2 * SIM_S), echo, false);
		sim->cut[0] = sim->cut[1] = nowhere;
		break;
	case 2:
		sim->weather.delay_max_ns = 300 * SIM_MS;
		talk(sim, 3 * SIM_S, echo, false);
		break;
	case 3:
		sim->weather.loss = 400;
		talk(sim, 3 * SIM_S, echo, false);
		break;
	}
	sim->weather = good;
}

/* B can be reached at its second address only. */
static void dies(struct sim *sim)
{
	struct endpoint first, second = sim_endpoint(52, 4242);
	uint64_t offset = sim->seed % PHASES * PHASE_NS, took;
	bool echo = sim->seed / PHASES % 2, quiet = sim->seed / PHASES % 3 == 2;

	sim->weather.delay_min_ns = SIM_MS;
	sim->weather.delay_max_ns = SIM_MS * (2 + sim_random(sim, 40));
	start(sim, &second, sim->seed % 7 < 3);
	first = B->endpoint;
	spoil(sim, echo);
	if (quiet) /* nothing leaves for a while: the tunnel rests */
		sim_run(sim, sim_random(sim, 5 * SIM_S));
	if (offset > 0)
		talk(sim, offset, echo, false);
	B->endpoint = second;
	sim_run(sim, 2 * sim->weather.delay_max_ns); /* what is on its way */
	took = talk(sim, 20 * SIM_S, echo, true);
	SIM_ASSERT(sim, took <= WORST_NS, "%llu ms, cut %llu ms later",
		   (unsigned long long)(took / SIM_MS), (unsigned long long)(offset / SIM_MS));
	SIM_ASSERT(sim,
		   sim_primary(A, 2) && !endpoint_equal(&sim_primary(A, 2)->remote->to, &first),
		   "at the old address");
	sim_run(sim, 30 * SIM_S);
	SIM_ASSERT(sim, node_tunnel_count(A->node) == 1 && node_tunnel_count(B->node) == 1,
		   "%zu and %zu tunnels are left", node_tunnel_count(A->node),
		   node_tunnel_count(B->node));
}

Test(sim_path, dead_path_at_every_phase)
{
	sim_seeds(12 * PHASES, dies);
}

/* A begins, restarts elsewhere before it has our answer, and says nothing more. */
static void begun_and_gone(struct sim *sim)
{
	struct endpoint first, second = sim_endpoint(52, 4242);
	uint64_t start;

	sim_add(sim);
	sim_add(sim);
	sim_static(A, 2, &B->endpoint);
	sim_static(B, 1, &A->endpoint);
	sim_static(B, 1, &second);
	sim_start_node(A);
	sim_start_node(B);
	first = A->endpoint;
	sim_send(A, 0, 2, 1);
	sim_run(sim, SIM_MS + SIM_MS / 2);
	SIM_ASSERT(sim, sim_primary(B, 1) && endpoint_equal(&sim_primary(B, 1)->remote->to, &first),
		   "a tunnel that is not confirmed");
	sim_kill_node(A);
	A->endpoint = second;
	A->mute_recv_error = true;
	sim_start_node(A);
	sim_run(sim, sim_random(sim, sim->seed % 2 ? 500 * SIM_MS : 7 * SIM_S));
	SIM_ASSERT(sim, node_pending_count(B->node) == 0, "nothing has to go to A");
	for (start = sim->now_ns; sim_got(A, 2) == 0; sim_run(sim, STEP_NS)) {
		sim_send(B, 0, 1, sim->now_ns);
		SIM_ASSERT(sim, sim->now_ns - start <= WORST_NS, "not yet");
	}
}

Test(sim_path, a_peer_that_begins_and_goes)
{
	sim_seeds(40, begun_and_gone);
}

/* A restarts elsewhere, with an earlier clock: its handshakes are too old. It says them all the
 * same.
 */
static void earlier_clock_elsewhere(struct sim *sim)
{
	uint64_t took;

	sim_add(sim);
	sim_add(sim);
	sim_static(A, 2, &B->endpoint);
	sim_start_node(A);
	sim_start_node(B);
	talk(sim, SIM_S + sim_random(sim, SIM_S), true, false);
	sim_kill_node(A);
	A->endpoint = sim_endpoint(52, 4242);
	A->wall_offset_ns = -3600 * (int64_t)SIM_S;
	A->mute_recv_error = B->mute_recv_error = true;
	if (sim->seed % 2)
		sim_behind_nat(A);
	sim_start_node(A);
	took = talk(sim, 20 * SIM_S, false, true);
	SIM_ASSERT(sim, took <= WORST_NS, "%llu ms", (unsigned long long)(took / SIM_MS));
	SIM_ASSERT(sim, B->drops[DROP_HANDSHAKE_STALE] > 0, "nothing was too old");
}

Test(sim_path, an_earlier_clock_elsewhere)
{
	sim_seeds(20, earlier_clock_elsewhere);
}

/* A handshake has begun beside a tunnel that does not answer, and then B is heard on it: the
 * handshake says nothing more, though nothing of A's comes through yet. */
static void heard_after_all(struct sim *sim)
{
	struct peer_host *host;

	start(sim, &B->endpoint, false);
	talk(sim, SIM_S, true, false);
	sim->cut[0] = A->endpoint;
	sim->cut[1] = B->endpoint;
	talk(sim, 2 * SIM_S + sim_random(sim, 500 * SIM_MS), false, false);
	host = tunnels_find_host(&A->node->tunnels, &B->addr);
	SIM_ASSERT(sim, host->pending && !host->pending->quiet, "no handshake");
	sim->cut_one_way = true;
	for (int i = 0; i < 60; i++) {
		sim_send(B, 0, 1, sim->now_ns);
		sim_run(sim, STEP_NS);
	}
	SIM_ASSERT(sim, host->pending && host->pending->quiet, "it goes on");
	SIM_ASSERT(sim, !host->primary->live.healing, "for ever");
}

Test(sim_path, heard_after_all)
{
	sim_seeds(10, heard_after_all);
}

/* A has lost the one of two tunnels that B sends on, says nothing about it, and goes on sending on
 * the other: B takes that one, and begins no handshake. */
static void lives_on_the_other(struct sim *sim)
{
	struct tunnel *lost;
	uint64_t since;

	start(sim, &B->endpoint, true);
	sim_send(A, 0, 2, 1);
	sim_run(sim, SIM_S);
	SIM_ASSERT(sim, node_tunnel_count(A->node) == 2 && node_tunnel_count(B->node) == 2,
		   "both begin");
	lost = sim_primary(B, 1);
	for (struct tunnel_record *record = A->node->tunnels.all; record; record = record->next)
		if (record->tunnel->local_index == lost->remote_index) {
			tunnels_remove(&A->node->tunnels, record);
			break;
		}
	A->mute_recv_error = true;
	sim->recording = true;
	since = sim->now_ns;
	for (size_t got = sim_got(A, 2); sim_got(A, 2) == got; sim_run(sim, STEP_NS)) {
		sim_send(A, 0, 2, sim->now_ns);
		sim_send(B, 0, 1, sim->now_ns);
		SIM_ASSERT(sim, sim->now_ns - since <= WORST_NS, "not yet");
	}
	SIM_ASSERT(sim, sim_primary(B, 1) != lost, "the old one");
	SIM_ASSERT(sim, sim_count(sim, NULL, NULL, WIRE_HANDSHAKE, 1) == 0, "a handshake");
}

Test(sim_path, lives_on_the_other)
{
	sim_seeds(5, lives_on_the_other);
}

/* What is lost is lost on the path: no tunnel goes, few handshakes are begun. */
static void lossy(struct sim *sim)
{
	struct endpoint second = sim_endpoint(52, 4242);
	bool echo = sim->seed % 2;
	uint64_t packets = 60 * SIM_S / STEP_NS;
	size_t handshakes;

	start(sim, &second, false);
	talk(sim, 2 * SIM_S, echo, false);
	sim->recording = true;
	sim->weather.loss = sim->seed % 3 == 0 ? 50 : sim->seed % 3 == 1 ? 100 : 200;
	sim->weather.delay_max_ns = SIM_MS * (1 + sim_random(sim, 100));
	size_t before = sim_got(B, 1);
	talk(sim, 60 * SIM_S, echo, false);
	handshakes = sim_count(sim, NULL, &second, WIRE_HANDSHAKE, 1);
	SIM_ASSERT(sim, sim_got(B, 1) - before > packets * (970 - sim->weather.loss) / 1000,
		   "%zu of %llu packets came", sim_got(B, 1) - before, (unsigned long long)packets);
	SIM_ASSERT(sim, handshakes <= (sim->weather.loss < 200 ? 12 : 40),
		   "%zu stage 1 in a minute", handshakes);
	SIM_ASSERT(sim, sim_count(sim, NULL, NULL, WIRE_CLOSE_TUNNEL, 0) == 0, "closed");
}

Test(sim_path, lossy_paths_keep_their_tunnels)
{
	sim_seeds(30, lossy);
}
