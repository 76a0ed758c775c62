/*
 * lighthouse_trust_sim.c - what hosts and lighthouses are not believed and not allowed: the traps
 * of PROTOCOL.md 13.6, and the lists of the configuration.
 */
#include "hub.h"
#include "wire.h"

/* --- bad input ---------------------------------------------------------------------------------
 */

/* Unknown hosts: no answer, nothing kept, and the asker's bounds hold (trap 78). */
static void unknown_hosts(struct sim *sim)
{
	size_t before;

	hub_add(sim);
	hub_start(sim);
	sim_run(sim, SIM_S);
	before = hub_sealed(sim, L, A);
	sim_send(A, 0, 99, 1);
	sim_run(sim, 4 * SIM_S);
	cr_assert_eq(hub_sealed(sim, L, A), before, "no answer");
	cr_assert_null(hub_host(L, 99));
	sim->recording = false;
	for (uint32_t i = 0; i < 10000; i++)
		sim_send(A, i % 2, 1000 + i, 1);
	sim_run(sim, 100 * SIM_MS);
	cr_assert_leq(node_pending_count(A->node), PENDING_MAX);
	cr_assert_gt(A->drops[DROP_PENDING_FULL], 8000);
	sim_send(A, 0, 3, 7);
	sim_run(sim, 8 * SIM_S);
	sim_send(A, 0, 3, 8);
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(B, 2, 8));
	cr_assert_eq(node_pending_count(A->node), 0);
	cr_assert_null(hub_host(A, 1000));
}

Test(sim_lighthouse, unknown_hosts)
{
	sim_seeds(2, unknown_hosts);
}

/* Traps 73 and 74, and roles that nobody has. */
static void not_allowed(struct sim *sim)
{
	struct lighthouse_message update = hub_message(LIGHTHOUSE_UPDATE, 3);
	struct lighthouse_message reply = hub_message(LIGHTHOUSE_REPLY, 1);
	struct lighthouse_message punch = hub_message(LIGHTHOUSE_PUNCH, 1);
	struct lighthouse_message query = hub_message(LIGHTHOUSE_QUERY, 2);
	struct endpoint victim = sim_endpoint(200, 80);
	size_t sent;

	hub_add(sim);
	hub_start(sim);
	sim_run(sim, SIM_S);
	sim_send(A, 0, 3, 1);
	sim_run(sim, SIM_S);
	update.v4_count = reply.v4_count = punch.v4_count = 1;
	update.v4[0] = reply.v4[0] = punch.v4[0] = victim;

	hub_say(L, A, &update); /* A reports for B */
	cr_assert_eq(L->drops[DROP_LIGHTHOUSE_INVALID], 1);
	cr_assert_eq(hub_host(L, 3)->remotes->count, 1);
	query.has_addr = false;
	hub_say(L, A, &query); /* asks about nobody */
	cr_assert_eq(L->drops[DROP_LIGHTHOUSE_INVALID], 2);
	query.has_addr = true;

	hub_say(B, A, &reply); /* A is no lighthouse of B's */
	hub_say(B, A, &punch);
	hub_say(B, A, &query); /* nor is B one */
	update.addr = A->addr;
	hub_say(B, A, &update);
	cr_assert_eq(B->drops[DROP_LIGHTHOUSE_INVALID], 4);
	sent = sim->sent_count;
	sim_run(sim, 6 * SIM_S);
	for (size_t i = sent; i < sim->sent_count; i++)
		cr_assert(!endpoint_equal(&sim->sent[i].to, &victim));
}

Test(sim_lighthouse, not_allowed)
{
	sim_seeds(2, not_allowed);
}

/* Trap 75: of many addresses ten are kept, none in the overlay, none that a list forbids. */
static void flood_of_addresses(struct sim *sim)
{
	struct allow_rule rule = {{addr_from_v4(0xc6336400), 120}, false}; /* 198.51.100.0/24 */
	struct allow_list list = {.count = 1, .rules = &rule};
	struct lighthouse_message update = hub_message(LIGHTHOUSE_UPDATE, 2);
	const struct remotes *remotes;
	bool v4;

	cr_assert_eq(allow_list_finish(&list, &v4), 0);
	hub_add(sim);
	L->options.lighthouse.remote_allow.all = &list;
	hub_start(sim);
	sim_run(sim, SIM_S);
	for (uint32_t i = 0; i < LIGHTHOUSE_ENTRIES_MAX; i++)
		update.v4[update.v4_count++] = sim_endpoint(10 + i, 1);
	update.v4[0] = (struct endpoint){addr_from_v4(0x0a2a0005), 1}; /* in the overlay */
	update.v4[1] = (struct endpoint){addr_from_v4(0xc6336405), 1}; /* forbidden */
	update.v6[0] = (struct endpoint){addr_from_v4(0xc6336406), 1}; /* the same as 4-in-6 */
	update.v6_count = 1;
	hub_say(L, A, &update);
	remotes = hub_host(L, 2)->remotes;
	cr_assert_eq(remotes->count, 1 + REPORTED_MAX, "%u", remotes->count);
	for (uint32_t i = 0; i < remotes->count; i++)
		cr_assert(remotes->list[i].to.addr.bytes[12] == 192);
	update.v4_count = 1;
	update.v4[0] = sim_endpoint(50, 1);
	hub_say(L, A, &update);
	cr_assert_eq(remotes->count, 2, "the newer word replaces the older");
}

Test(sim_lighthouse, flood_of_addresses)
{
	sim_seeds(2, flood_of_addresses);
}

/* Trap 76: however many punches are ordered, few bytes leave. */
static void reflector(struct sim *sim)
{
	struct lighthouse_message punch = hub_message(LIGHTHOUSE_PUNCH, 2);
	size_t punches = 0;

	hub_add(sim);
	hub_start(sim);
	sim_run(sim, SIM_S);
	punch.v4_count = LIGHTHOUSE_ENTRIES_MAX;
	for (uint32_t i = 0; i < LIGHTHOUSE_ENTRIES_MAX; i++)
		punch.v4[i] = sim_endpoint(200, (uint16_t)(1 + i));
	for (int i = 0; i < 1000; i++) {
		hub_say(B, L, &punch);
		sim_run(sim, SIM_MS);
	}
	sim_run(sim, 3 * SIM_S);
	for (size_t i = 0; i < sim->sent_count; i++)
		punches += sim->sent[i].length == 1;
	cr_assert_gt(punches, 0);
	cr_assert_leq(punches, 2 * PUNCHES_PER_SECOND + 1, "%zu", punches);
	cr_assert_gt(B->drops[DROP_PUNCH_LIMITED], 10000);
}

Test(sim_lighthouse, reflector)
{
	sim_seeds(2, reflector);
}

/* A reply for a host that nobody asked for leaves nothing behind. */
static void unasked_reply(struct sim *sim)
{
	struct lighthouse_message reply;

	hub_add(sim);
	hub_start(sim);
	sim_run(sim, SIM_S);
	for (uint32_t i = 100; i < 1100; i++) {
		reply = hub_message(LIGHTHOUSE_REPLY, i);
		reply.v4_count = 1;
		reply.v4[0] = sim_endpoint(9, 9);
		hub_say(A, L, &reply);
		cr_assert_null(hub_host(A, i));
	}
}

Test(sim_lighthouse, unasked_reply)
{
	sim_seeds(1, unasked_reply);
}

/* A report that says nothing new leaves what workers read where it is. */
static void nothing_new(struct sim *sim)
{
	const struct host_card *card;
	uint64_t reports;

	hub_add(sim);
	hub_start(sim);
	sim_run(sim, SIM_S);
	card = hostmap_by_addr(L->map, &A->addr)->card;
	cr_assert_not_null(card);
	reports = sim_count(sim, &A->endpoint, &L->endpoint, WIRE_LIGHTHOUSE, 0);
	for (int i = 0; i < 10; i++) {
		sim_run(sim, 10 * SIM_S);
		cr_assert_eq(hostmap_by_addr(L->map, &A->addr)->card, card);
	}
	cr_assert_geq(sim_count(sim, &A->endpoint, &L->endpoint, WIRE_LIGHTHOUSE, 0), reports + 9);
}

Test(sim_lighthouse, nothing_new_is_published)
{
	sim_seeds(4, nothing_new);
}

/* What a host reported goes when its last tunnel goes: the cache is bounded by the tunnels. */
static void cache_ends(struct sim *sim)
{
	hub_add(sim);
	hub_start(sim);
	sim_run(sim, SIM_S);
	cr_assert_not_null(hub_host(L, 3));
	node_shutdown(B->node);
	sim_run(sim, SIM_S);
	cr_assert_null(hub_host(L, 3));
}

Test(sim_lighthouse, cache_ends_with_the_tunnel)
{
	sim_seeds(1, cache_ends);
}

/* --- lists of the configuration ----------------------------------------------------------------
 */

/* remote_allow_list at each of the two ends; ranges name the overlay. */
static void handshakes_denied(struct sim *sim)
{
	struct sim_node *strict = sim->seed & 1 ? A : B;
	struct allow_rule rule = {{sim_endpoint(0, 0).addr, 120}, false};
	struct allow_list list = {.count = 1, .rules = &rule};
	struct remote_allow_range range = {{addr_from_v4(0x0a2a0002), 127}, &list};
	bool v4;

	cr_assert_eq(allow_list_finish(&list, &v4), 0);
	for (int i = 0; i < 3; i++)
		sim_add(sim);
	if (sim->seed & 2)
		strict->options.lighthouse.remote_allow.all = &list;
	else
		strict->options.lighthouse.remote_allow =
			(struct remote_allow){.range_count = 1, .ranges = &range};
	sim_static(A, 3, &B->endpoint);
	hub_start(sim);
	sim_send(A, 0, 3, 1);
	sim_run(sim, 10 * SIM_S);
	cr_assert(!sim_got_number(B, 2, 1));
	cr_assert_eq(node_tunnel_count(B->node), 0);
}

Test(sim_lighthouse, handshakes_denied)
{
	sim_seeds(4, handshakes_denied);
}

static void roaming_denied(struct sim *sim)
{
	struct allow_rule rule = {{sim_endpoint(77, 0).addr, 128}, false};
	struct allow_list list = {.count = 1, .rules = &rule};
	struct endpoint home;
	bool v4;

	cr_assert_eq(allow_list_finish(&list, &v4), 0);
	hub_add(sim);
	B->options.lighthouse.remote_allow.all = &list;
	hub_start(sim);
	sim_send(A, 0, 3, 1);
	sim_run(sim, SIM_S);
	home = A->endpoint;
	A->endpoint = sim_endpoint(77, 5000);
	sim_send(A, 0, 3, 2);
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(B, 2, 2), "the packet itself is good");
	cr_assert(endpoint_equal(&sim_primary(B, 2)->remote->to, &home));
	cr_assert_gt(B->drops[DROP_REMOTE_DENIED], 0);

	A->endpoint = sim_endpoint(78, 5000);
	sim_send(A, 0, 3, 3);
	sim_run(sim, 10 * SIM_MS);
	cr_assert(endpoint_equal(&sim_primary(B, 2)->remote->to, &A->endpoint),
		  "where it may be, it is followed to");
}

Test(sim_lighthouse, roaming_denied)
{
	sim_seeds(2, roaming_denied);
}

/* Without any lighthouse: the place is calculated from the overlay address. */
static void calculated(struct sim *sim)
{
	struct calculated_remote masks[] = {
		{{addr_from_v4(0x0a2a0000), 112}, {sim_endpoint(0, 0).addr, 120}, 4242},
		{{addr_from_v4(0x0a000000), 104}, {addr_from_v4(0x01000000), 104}, 1}, /* shorter */
	};

	sim_add(sim);
	sim_add(sim);
	L->options.lighthouse.calculated = masks;
	L->options.lighthouse.calculated_count = 2;
	sim->recording = true;
	hub_start(sim);
	sim_send(L, 0, 2, 1);
	cr_assert_lt(hub_until_got(sim, A, 1, 1, SIM_S), 10 * SIM_MS);
	for (size_t i = 0; i < sim->sent_count; i++)
		cr_assert_neq(sim->sent[i].to.port, 1);
}

Test(sim_lighthouse, calculated_remotes)
{
	sim_seeds(2, calculated);
}
