/* names_turn_sim.c - whose turn it is at DNS, and what a reload leaves of it (names.c). */
#include <errno.h>

#include "named.h"
#include "peers/node_state.h"

/* Another name of A's, of that host, where DNS finds one address behind delay_ns. */
static struct sim_name *another(struct sim *sim, const char *text, const struct addr *host,
				uint64_t delay_ns)
{
	uint32_t i = sim->name_count++;

	entries[i] = (struct name_entry){text, 4242, *host};
	A->options.names.count = sim->name_count;
	sim->names[i] = (struct sim_name){.text = text,
					  .delay_ns = delay_ns,
					  .outcome = NAME_FOUND,
					  .count = 1,
					  .addrs = {sim_endpoint(150 + i, 1).addr}};
	return &sim->names[i];
}

static uint64_t calls(struct sim *sim, const struct addr *addr, uint16_t port)
{
	struct endpoint to = {*addr, port};

	return sim_count(sim, &A->endpoint, &to, WIRE_HANDSHAKE, 1);
}

/* An answer to one name does not end the look-up of another, which has its time. */
static void the_slower_one(struct sim *sim)
{
	network(sim);
	another(sim, "slow.example", &L->addr, 200 * SIM_MS);
	sim->recording = true;
	sim_start_node(A);
	sim_run(sim, 300 * SIM_MS);
	cr_assert_gt(calls(sim, &sim->names[1].addrs[0], 4242), 0);
	cr_assert_eq(A->stats[STAT_NAMES_FAILED], 0);
}

Test(sim_names, the_slower_one)
{
	sim_seeds(2, the_slower_one);
}

/* The next turn is that of the name whose time comes first, wherever it stands. */
static void the_earlier_one(struct sim *sim)
{
	network(sim);
	LH->outcome = NAME_NONE;
	another(sim, "b.example", &B->addr, 5 * SIM_MS);
	sim_start_node(A);
	sim_run(sim, 20 * SIM_S);
	cr_assert_eq(A->stats[STAT_NAMES_ASKED], 1 + 5, "behind 1, 2, 4 and 8 s");
}

Test(sim_names, the_earlier_one)
{
	sim_seeds(2, the_earlier_one);
}

/* Whoever waits is asked for as soon as there is an answer to another. */
static void one_after_another(struct sim *sim)
{
	network(sim);
	for (int i = 1; i < SIM_NAMES; i++)
		another(sim, "other.example", &B->addr, 5 * SIM_MS);
	for (uint32_t i = 1; i < SIM_NAMES; i++)
		entries[i].port = (uint16_t)i;
	sim_start_node(A);
	sim_run(sim, 5 * SIM_MS * SIM_NAMES / LOOKUPS_MAX + SIM_MS);
	cr_assert_eq(A->stats[STAT_NAMES_ASKED], SIM_NAMES);
	cr_assert_eq(A->stats[STAT_NAMES_FAILED], 0);
	sim_run(sim, CADENCE_NS);
	cr_assert_eq(A->stats[STAT_NAMES_ASKED], 2 * SIM_NAMES);
}

Test(sim_names, one_after_another)
{
	sim_seeds(1, one_after_another);
}

/* The names of one host stand for more addresses than a host may have. */
static void too_many_together(struct sim *sim)
{
	static const char *const texts[] = {"a", "b", "c", "d", "e"};
	uint32_t called = 0, next = 0xc6336400;

	network(sim);
	for (int i = 0; i < 5; i++) {
		struct sim_name *name = another(sim, texts[i], &L->addr, 5 * SIM_MS);

		for (name->count = 0; name->count < NAME_ADDRS_MAX; name->count++)
			name->addrs[name->count] = addr_from_v4(next++);
	}
	sim->recording = true;
	sim_start_node(A);
	sim_run(sim, SIM_S);
	for (called = calls(sim, &L->endpoint.addr, 4242) > 0; next-- > 0xc6336400;) {
		struct addr at = addr_from_v4(next);

		called += calls(sim, &at, 4242) > 0;
	}
	cr_assert_eq(called, REMOTES_MAX);
	cr_assert_eq(A->stats[STAT_NAMES_CUT], 0, "no single name has too many");
}

Test(sim_names, too_many_together)
{
	sim_seeds(1, too_many_together);
}

static int no_descriptor(void *context, uint32_t id, const char *text, enum name_network network,
			 uint64_t timeout_ns)
{
	return -EMFILE;
}

/* A look-up that cannot begin is a failure like others: told once, tried again. */
static void cannot_begin(struct sim *sim)
{
	int (*resolve)(void *context, uint32_t id, const char *text, enum name_network network,
		       uint64_t timeout_ns);

	network(sim);
	sim_start_node(A);
	sim_run(sim, SIM_S);
	resolve = A->outside.resolve;
	A->outside.resolve = no_descriptor;
	sim_run(sim, 2 * CADENCE_NS);
	cr_assert_eq(A->stats[STAT_NAMES_ASKED], 3);
	cr_assert_eq(A->stats[STAT_NAMES_FAILED], 2);
	cr_assert_eq(A->log_lines[OUTSIDE_WARNING], 1);
	A->outside.resolve = resolve;
	A->watched = "Host name was looked up";
	sim_run(sim, CADENCE_NS);
	cr_assert_eq(A->watched_lines, 1, "that all is well again is told");
	LH->outcome = NAME_FAILED;
	sim_run(sim, CADENCE_NS);
	LH->outcome = NAME_NONE;
	sim_run(sim, CADENCE_NS);
	cr_assert_eq(A->log_lines[OUTSIDE_WARNING], 3, "another trouble is another line");
}

Test(sim_names, cannot_begin)
{
	sim_seeds(2, cannot_begin);
}

/* --- reloads ---------------------------------------------------------------------------------- */

/* However often, the places of the look-ups that it gives up are free again. */
static void reloaded_often(struct sim *sim)
{
	network(sim);
	LH->silent = true;
	sim_start_node(A);
	for (uint64_t i = 1; i <= 2 * LOOKUPS_MAX; i++) {
		cr_assert_eq(A->stats[STAT_NAMES_ASKED], i);
		cr_assert_eq(names_reconfigure(A->node, &A->options.names), 0);
	}
}

Test(sim_names, reloaded_often)
{
	sim_seeds(1, reloaded_often);
}

/* An answer that comes twice, or when nothing was asked, counts once. */
static void answered_twice(struct sim *sim)
{
	struct name_answer answer = {NAME_FOUND, NAME_IP, 1, LH->addrs};

	network(sim);
	LH->silent = true;
	sim_start_node(A);
	sim_run(sim, SIM_MS);
	for (int i = 0; i < 3; i++)
		node_on_name(A->node, 0, &answer);
	cr_assert_eq(A->node->names.asked, 0);
}

Test(sim_names, answered_twice)
{
	sim_seeds(1, answered_twice);
}

/* The same name at another port, or of another host, is another one: what was found for it before
 * is used no more, though DNS is silent since. */
static void meant_otherwise(struct sim *sim)
{
	bool port = sim->seed % 2;
	struct addr *at = &LH->addrs[0];

	network(sim);
	*at = sim_endpoint(98, 1).addr;
	sim_start_node(A);
	sim_run(sim, SIM_S);
	LH->silent = true;
	if (port)
		entries[0].port = 4243;
	else
		entries[0].host = B->addr;
	cr_assert_eq(names_reconfigure(A->node, &A->options.names), 0);
	sim_run(sim, 20 * SIM_S);
	sim->recording = true;
	sim_send(A, 0, 1, 1);
	sim_send(A, 0, 3, 1);
	sim_run(sim, 5 * SIM_S);
	cr_assert_eq(calls(sim, at, 4242), 0);
	LH->silent = false;
	sim_run(sim, 2 * CADENCE_NS);
	sim_send(A, 0, 3, 1);
	sim_run(sim, SIM_S);
	cr_assert_gt(calls(sim, at, port ? 4243 : 4242), 0);
}

Test(sim_names, meant_otherwise)
{
	sim_seeds(2, meant_otherwise);
}

/* A name that was found before the reload is not in a hurry behind it. */
static void was_found(struct sim *sim)
{
	uint64_t asked;

	network(sim);
	sim_start_node(A);
	sim_run(sim, SIM_S);
	LH->outcome = NAME_FAILED;
	asked = A->stats[STAT_NAMES_ASKED];
	cr_assert_eq(names_reconfigure(A->node, &A->options.names), 0);
	sim_run(sim, CADENCE_NS - SIM_S);
	cr_assert_eq(A->stats[STAT_NAMES_ASKED], asked + 1);
}

Test(sim_names, was_found)
{
	sim_seeds(1, was_found);
}
