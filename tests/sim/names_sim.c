/* names_sim.c - hosts that are known by a DNS name: names.c and a fake DNS. */
#include <stdlib.h>

#include "named.h"
#include "peers/node_state.h"
#include "peers/node_query.h"

/* A starts, and DNS knows no such name. */
static void start_without_names(struct sim *sim)
{
	network(sim);
	LH->outcome = NAME_NONE;
	LH->count = 0;
	sim_start_node(A);
}

/* A name that is never found is asked for at the cadence, however long that goes on. */
static void never_found(struct sim *sim)
{
	uint64_t asked;

	start_without_names(sim);
	sim_run(sim, 10 * CADENCE_NS);
	asked = A->stats[STAT_NAMES_ASKED];
	sim_run(sim, 200 * CADENCE_NS);
	cr_assert_leq(A->stats[STAT_NAMES_ASKED] - asked, 200);
	cr_assert_geq(A->stats[STAT_NAMES_ASKED] - asked, 198);
}

Test(sim_names, never_found)
{
	sim_seeds(1, never_found);
}

static bool finds_the_lighthouse(struct sim *sim)
{
	sim_send(A, 0, 1, 1);
	sim_run(sim, SIM_S);
	return sim_got_number(L, 2, 1);
}

static void lighthouse_by_name(struct sim *sim)
{
	network(sim);
	for (int i = 0; i < 3; i++)
		sim_start_node(&sim->nodes[i]);
	sim_run(sim, SIM_S);
	cr_assert(sim_primary(A, 1), "called as soon as its name is known");
	sim_send(A, 0, 3, 1);
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(B, 2, 1), "and asked");
	cr_assert_eq(A->stats[STAT_NAMES_ASKED], 1);
	sim_run(sim, 3 * CADENCE_NS);
	cr_assert_eq(A->stats[STAT_NAMES_ASKED], 4);
	cr_assert_eq(A->log_lines[OUTSIDE_WARNING], 0);
}

Test(sim_names, lighthouse_by_name)
{
	sim_seeds(10, lighthouse_by_name);
}

/* The node starts, and asks again soon: not after the cadence. */
static void dns_is_down_at_start(struct sim *sim)
{
	network(sim);
	LH->silent = true;
	sim_start_node(L);
	sim_start_node(A);
	sim_run(sim, 10 * SIM_S);
	cr_assert_geq(A->stats[STAT_NAMES_FAILED], 3);
	cr_assert_eq(A->log_lines[OUTSIDE_WARNING], 1, "one line: %llu",
		     (unsigned long long)A->log_lines[OUTSIDE_WARNING]);
	LH->silent = false;
	sim_run(sim, 9 * SIM_S);
	cr_assert(sim_primary(A, 1));
	LH->silent = true;
	sim_run(sim, 2 * CADENCE_NS);
	cr_assert_eq(A->log_lines[OUTSIDE_WARNING], 2, "down again is another state");
	cr_assert(finds_the_lighthouse(sim));
}

Test(sim_names, dns_is_down_at_start)
{
	sim_seeds(10, dns_is_down_at_start);
}

/* A name that is found makes us call nobody but a lighthouse, and that one only while it is not
 * connected. */
static void only_lighthouses_are_called(struct sim *sim)
{
	network(sim);
	entries[1] = (struct name_entry){"b.example", 4242, B->addr};
	A->options.names.count = 2;
	sim->names[1] = (struct sim_name){.text = "b.example",
					  .outcome = NAME_FOUND,
					  .count = 1,
					  .addrs = {B->endpoint.addr}};
	sim->name_count = 2;
	sim->recording = true;
	for (int i = 0; i < 3; i++)
		sim_start_node(&sim->nodes[i]);
	sim_run(sim, 5 * SIM_S);
	cr_assert(sim_primary(A, 1));
	cr_assert_eq(sim_count(sim, &A->endpoint, &B->endpoint, WIRE_HANDSHAKE, 1), 0);
	LH->addrs[LH->count++] = sim_endpoint(98, 1).addr;
	sim_forget(sim);
	A->watched = "Host name was looked up";
	sim_run(sim, 2 * CADENCE_NS);
	cr_assert_eq(A->watched_lines, 1, "what has changed is told");
	cr_assert_str_eq(A->watched_text, "Host name was looked up hostname=lh.example "
					  "udpAddrs=192.0.2.1:4242 192.0.2.98:4242");
	cr_assert_eq(sim_count(sim, &A->endpoint, NULL, WIRE_HANDSHAKE, 1), 0);
	cr_assert_geq(A->stats[STAT_NAMES_ASKED], 4);
}

Test(sim_names, only_lighthouses_are_called)
{
	sim_seeds(2, only_lighthouses_are_called);
}

/* How many names the host has, and how many of them have an address. */
static uint32_t names_of(const struct node *node, const struct addr *host, uint32_t *found)
{
	uint32_t count = 0;

	*found = 0;
	for (uint32_t i = 0; i < node->names.count; i++) {
		const struct name *name = &node->names.list[i];

		if (!addr_equal(&name->host, host))
			continue;
		count++;
		*found += name->count > 0;
	}
	return count;
}

static uint32_t remotes_of_lighthouse(struct sim *sim, struct endpoint *first)
{
	struct tunnel *tunnel = sim_primary(A, 1);
	uint32_t found;

	cr_assert(tunnel);
	*first = tunnel->remote->to;
	cr_assert_eq(names_of(A->node, &L->addr, &found), 1);
	return found;
}

/* The lighthouse moves, and its name with it: the old address goes. */
static void changed_answer(struct sim *sim)
{
	struct endpoint at, moved = sim_endpoint(77, 4242), old;

	network(sim);
	sim_start_node(L);
	sim_start_node(A);
	sim_run(sim, SIM_S);
	cr_assert_eq(remotes_of_lighthouse(sim, &at), 1);
	old = L->endpoint;
	sim_kill_node(L);
	L->endpoint = moved;
	LH->addrs[0] = moved.addr;
	sim_start_node(L);
	sim_run(sim, CADENCE_NS + 20 * SIM_S);
	cr_assert(finds_the_lighthouse(sim));
	remotes_of_lighthouse(sim, &at);
	cr_assert(endpoint_equal(&at, &moved));

	/* nothing is sent to the old address any more */
	sim_kill_node(L);
	sim->recording = true;
	sim_run(sim, 60 * SIM_S);
	cr_assert_gt(sim_count(sim, &A->endpoint, &moved, WIRE_HANDSHAKE, 1), 0);
	cr_assert_eq(sim_count(sim, &A->endpoint, &old, WIRE_HANDSHAKE, 1), 0);
}

Test(sim_names, changed_answer)
{
	sim_seeds(5, changed_answer);
}

/* A server that answers without end: as many as there is room for. None: the old ones go. */
static void many_and_none(struct sim *sim)
{
	network(sim);
	sim->recording = true;
	LH->count = 64;
	for (uint32_t i = 0; i < 64; i++)
		LH->addrs[i] = sim_endpoint(100 + i, 1).addr;
	sim_start_node(A);
	sim_run(sim, 50 * SIM_MS);
	for (uint32_t i = 0; i < 64; i++) {
		struct endpoint to = sim_endpoint(100 + i, 4242);

		cr_assert_eq(sim_count(sim, &A->endpoint, &to, WIRE_HANDSHAKE, 1) > 0,
			     i < NAME_ADDRS_MAX);
	}
	cr_assert_eq(A->stats[STAT_NAMES_CUT], 1);
	LH->outcome = NAME_NONE;
	sim_run(sim, CADENCE_NS);
	sim->sent_count = 0; /* their bytes are freed with the rest of the process */
	sim_send(A, 0, 1, 1);
	sim_run(sim, 5 * SIM_S);
	cr_assert_eq(sim_count(sim, &A->endpoint, NULL, WIRE_HANDSHAKE, 1), 0);
	cr_assert_eq(A->log_lines[OUTSIDE_WARNING], 1);
}

Test(sim_names, many_and_none)
{
	sim_seeds(2, many_and_none);
}

/* Names and literal addresses of one host stand beside each other. */
static void mixed(struct sim *sim)
{
	struct endpoint wrong = sim_endpoint(99, 4242);

	network(sim);
	entries[1] = (struct name_entry){"other.example", 4242, L->addr};
	A->options.names.count = 2;
	sim->names[1] = (struct sim_name){.text = "other.example",
					  .outcome = NAME_FOUND,
					  .count = 1,
					  .addrs = {sim_endpoint(98, 1).addr}};
	sim->name_count = 2;
	sim_static(A, 1, &wrong);
	sim->recording = true;
	sim_start_node(L);
	sim_start_node(A);
	sim_run(sim, SIM_S);
	cr_assert(sim_primary(A, 1));
	cr_assert_gt(sim_count(sim, &A->endpoint, &wrong, WIRE_HANDSHAKE, 1), 0);
	wrong = sim_endpoint(98, 4242);
	cr_assert_gt(sim_count(sim, &A->endpoint, &wrong, WIRE_HANDSHAKE, 1), 0);
}

Test(sim_names, mixed)
{
	sim_seeds(5, mixed);
}

/* What DNS says is no better than what others say: nowhere, or inside the overlay. */
static void lies(struct sim *sim)
{
	network(sim);
	LH->count = 4;
	LH->addrs[0] = addr_from_v4(0xe0000001);
	LH->addrs[1] = addr_from_v4(0x0a2a0001);
	LH->addrs[2] = addr_from_v4(0);
	LH->addrs[3] = (struct addr){{0xff, 2, [15] = 1}};
	sim->recording = true;
	sim_start_node(A);
	sim_send(A, 0, 1, 1);
	sim_run(sim, 3 * SIM_S);
	cr_assert_eq(sim_count(sim, &A->endpoint, NULL, WIRE_HANDSHAKE, 1), 0);
	cr_assert_eq(A->log_lines[OUTSIDE_WARNING], 1);
	cr_assert_gt(A->stats[STAT_NAMES_FAILED], 0);
}

Test(sim_names, lies)
{
	sim_seeds(2, lies);
}

/* Servers that do not answer, or talk nonsense, take nothing away; what is asked is as configured.
 */
static void kept(struct sim *sim)
{
	network(sim);
	A->options.names.network = NAME_IP;
	A->options.names.timeout_ns = 400 * SIM_MS;
	sim_start_node(A);
	sim_run(sim, SIM_S);
	cr_assert_eq(A->asked_network, NAME_IP);
	cr_assert_eq(A->asked_timeout_ns, 400 * SIM_MS);
	LH->silent = sim->seed % 2;
	LH->outcome = NAME_FAILED;
	sim_run(sim, 2 * CADENCE_NS + SIM_S);
	cr_assert_geq(A->stats[STAT_NAMES_FAILED], 2);
	sim_start_node(L);
	cr_assert(finds_the_lighthouse(sim));
}

Test(sim_names, kept)
{
	sim_seeds(4, kept);
}

/* An address that remote_allow_list forbids is not used because DNS says it. */
static void forbidden(struct sim *sim)
{
	struct allow_rule rule = {{sim_endpoint(200, 0).addr, 128}, false};
	struct allow_list list = {.count = 1, .rules = &rule};
	struct endpoint at = sim_endpoint(200, 4242);
	bool v4;

	cr_assert_eq(allow_list_finish(&list, &v4), 0);
	network(sim);
	A->options.lighthouse.remote_allow.all = &list;
	LH->count = 2;
	LH->addrs[1] = at.addr;
	sim->recording = true;
	sim_start_node(L);
	sim_start_node(A);
	sim_run(sim, SIM_S);
	cr_assert(sim_primary(A, 1));
	cr_assert_eq(sim_count(sim, &A->endpoint, &at, WIRE_HANDSHAKE, 1), 0);
}

Test(sim_names, forbidden)
{
	sim_seeds(2, forbidden);
}

/* A reload: what goes takes its addresses along, what stays keeps them, what comes is looked up. */
static void reconfigured(struct sim *sim)
{
	struct name_options options;
	struct node_owner_view owner;
	uint32_t found;

	network(sim);
	sim_start_node(L);
	sim_start_node(A);
	sim_run(sim, SIM_S);
	entries[1] = (struct name_entry){"b.example", 4242, B->addr};
	sim->names[1] = (struct sim_name){.text = "b.example",
					  .outcome = NAME_FOUND,
					  .count = 1,
					  .addrs = {B->endpoint.addr}};
	sim->name_count = 2;
	options = A->options.names;
	options.count = 2;
	LH->silent = true;
	cr_assert_eq(names_reconfigure(A->node, &options), 0);
	cr_assert_eq(names_of(A->node, &L->addr, &found), 1);
	cr_assert_eq(found, 1, "kept");
	sim_start_node(B);
	sim_run(sim, 100 * SIM_MS);
	sim_send(A, 0, 3, 1);
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(B, 2, 1));
	options.count = 0;
	cr_assert_eq(names_reconfigure(A->node, &options), 0);
	cr_assert_eq(names_of(A->node, &L->addr, &found), 0);
	for (uint32_t i = 0; node_query_owner(A->node, &L->addr, i, &owner); i++)
		cr_assert(!owner.is_dns || owner.reported_count == 0);
}

Test(sim_names, reconfigured)
{
	sim_seeds(5, reconfigured);
}

/* A reload while DNS is asked: what was asked is given up, and an answer to it that comes all the
 * same is not taken for one about a name of the new configuration. */
static void reloaded_while_asked(struct sim *sim)
{
	struct name_options options;
	struct addr wrong = sim_endpoint(98, 1).addr;
	struct name_answer answer = {NAME_FOUND, NAME_IP, 1, &wrong};
	struct endpoint at = sim_endpoint(98, 4242);

	network(sim);
	LH->silent = true;
	sim_start_node(A);
	sim_run(sim, 10 * SIM_MS);
	cr_assert_eq(A->stats[STAT_NAMES_ASKED], 1);
	cr_assert_eq(A->lookups[0], 1, "begun");
	options = A->options.names;
	entries[0].text = "other.example";
	cr_assert_eq(names_reconfigure(A->node, &options), 0);
	cr_assert_eq(A->stats[STAT_NAMES_ASKED], 2);
	cr_assert_eq(A->lookups[0], 2, "ended");
	sim->recording = true;
	node_on_name(A->node, 0, &answer);
	sim_run(sim, 100 * SIM_MS);
	cr_assert_eq(sim_count(sim, &A->endpoint, &at, WIRE_HANDSHAKE, 1), 0);
	node_on_name(A->node, 1, &answer);
	sim_run(sim, 100 * SIM_MS);
	cr_assert_gt(sim_count(sim, &A->endpoint, &at, WIRE_HANDSHAKE, 1), 0);
}

Test(sim_names, reloaded_while_asked)
{
	sim_seeds(2, reloaded_while_asked);
}

/* A name that is never found is asked for anew by a reload, but told of once, and the pauses go on
 * where they were. */
static void reloaded_in_trouble(struct sim *sim)
{
	uint64_t asked;

	start_without_names(sim);
	sim_run(sim, 5 * CADENCE_NS);
	cr_assert_eq(A->log_lines[OUTSIDE_WARNING], 1);
	asked = A->stats[STAT_NAMES_ASKED];
	cr_assert_eq(names_reconfigure(A->node, &A->options.names), 0);
	sim_run(sim, 10 * SIM_S);
	cr_assert_eq(A->stats[STAT_NAMES_ASKED], asked + 1);
	cr_assert_eq(A->log_lines[OUTSIDE_WARNING], 1);
	/* a name that is new is told of, though its trouble is the same */
	LH->text = entries[0].text = "other.example";
	cr_assert_eq(names_reconfigure(A->node, &A->options.names), 0);
	sim_run(sim, 10 * SIM_S);
	cr_assert_eq(A->log_lines[OUTSIDE_WARNING], 2);
}

Test(sim_names, reloaded_in_trouble)
{
	sim_seeds(2, reloaded_in_trouble);
}

/* A reload forbids what a name stands for, the next one allows it again, before DNS has answered.
 */
static void forbidden_for_a_moment(struct sim *sim)
{
	struct allow_rule rule = {{{{0}}, 128}, false};
	struct allow_list list = {.count = 1, .rules = &rule};
	bool v4;

	network(sim);
	rule.prefix.addr = L->endpoint.addr;
	cr_assert_eq(allow_list_finish(&list, &v4), 0);
	sim_start_node(A);
	sim_run(sim, SIM_S);
	A->options.lighthouse.remote_allow.all = &list;
	node_reconfigure(A->node, &A->options, &A->pki);
	A->options.lighthouse.remote_allow.all = NULL;
	node_reconfigure(A->node, &A->options, &A->pki);
	sim_start_node(L);
	sim_run(sim, CADENCE_NS);
	cr_assert(sim_primary(A, 1));
}

Test(sim_names, forbidden_for_a_moment)
{
	sim_seeds(2, forbidden_for_a_moment);
}

/* A reload forbids what a name stands for, and DNS is silent since: another name of the host, which
 * moves, does not bring it back. */
static void forbidden_since(struct sim *sim)
{
	struct allow_rule rule = {{{{0}}, 128}, false};
	struct allow_list list = {.count = 1, .rules = &rule};
	struct endpoint at;
	bool v4;

	network(sim);
	at = sim_endpoint(98, 4242);
	LH->addrs[0] = at.addr;
	entries[1] = (struct name_entry){"other.example", 4242, L->addr};
	A->options.names.count = 2;
	sim->names[1] = (struct sim_name){.text = "other.example",
					  .outcome = NAME_FOUND,
					  .count = 1,
					  .addrs = {sim_endpoint(55, 1).addr}};
	sim->name_count = 2;
	sim_start_node(A);
	sim_run(sim, SIM_S);
	rule.prefix.addr = at.addr;
	cr_assert_eq(allow_list_finish(&list, &v4), 0);
	A->options.lighthouse.remote_allow.all = &list;
	LH->silent = true;
	node_reconfigure(A->node, &A->options, &A->pki);
	sim->recording = true;
	sim->names[1].addrs[0] = sim_endpoint(56, 1).addr;
	sim_run(sim, 2 * CADENCE_NS);
	cr_assert_eq(sim_count(sim, &A->endpoint, &at, WIRE_HANDSHAKE, 1), 0);
	at = sim_endpoint(56, 4242);
	cr_assert_gt(sim_count(sim, &A->endpoint, &at, WIRE_HANDSHAKE, 1), 0);
}

Test(sim_names, forbidden_since)
{
	sim_seeds(2, forbidden_since);
}

/* advertise_addrs by name: the first address, with our port for 0; a change is told at once. */
static void advertised(struct sim *sim)
{
	struct endpoint list[4];

	network(sim);
	entries[1] = (struct name_entry){.text = "me.example", .port = 0};
	A->options.names.count = 2;
	sim->names[1] =
		(struct sim_name){.text = "me.example",
				  .outcome = NAME_FOUND,
				  .count = 2,
				  .addrs = {sim_endpoint(55, 1).addr, sim_endpoint(56, 1).addr}};
	sim->name_count = 2;
	sim_start_node(L);
	sim_start_node(A);
	sim_start_node(B);
	sim_run(sim, SIM_S);
	cr_assert_eq(names_advertised(A->node, list, 4), 1);
	cr_assert(addr_equal(&list[0].addr, &sim->names[1].addrs[0]));
	A->endpoint = sim_endpoint(55, 4242); /* where only the name says that it is */
	sim_run(sim, SIM_S);
	sim_send(B, 0, 2, 1);
	sim_run(sim, 3 * SIM_S);
	cr_assert(sim_got_number(A, 3, 1));
}

Test(sim_names, advertised)
{
	sim_seeds(5, advertised);
}

/* Servers that turn the order of what they answer, as most do: nothing has changed. */
static void order_turns(struct sim *sim)
{
	struct endpoint list[4], first_of = sim_endpoint(55, 4242);
	uint64_t lines, updates;

	network(sim);
	entries[1] = (struct name_entry){.text = "me.example", .port = 0};
	A->options.names.count = 2;
	A->options.lighthouse.interval_ns = 0;
	LH->addrs[LH->count++] = sim_endpoint(98, 1).addr;
	sim->names[1] =
		(struct sim_name){.text = "me.example",
				  .outcome = NAME_FOUND,
				  .count = 2,
				  .addrs = {sim_endpoint(55, 1).addr, sim_endpoint(56, 1).addr}};
	sim->name_count = 2;
	sim_start_node(L);
	sim_start_node(A);
	sim_run(sim, 10 * SIM_S);
	lines = A->log_lines[OUTSIDE_INFO];
	sim->recording = true;
	updates = sim_count(sim, &A->endpoint, &L->endpoint, WIRE_LIGHTHOUSE, 0);
	for (int turn = 0; turn < 4; turn++) {
		for (int i = 0; i < 2; i++) {
			struct addr first = sim->names[i].addrs[0];

			sim->names[i].addrs[0] = sim->names[i].addrs[1];
			sim->names[i].addrs[1] = first;
		}
		sim_run(sim, CADENCE_NS);
		cr_assert_eq(names_advertised(A->node, list, 4), 1);
		cr_assert_eq(addr_v4(&list[0].addr), addr_v4(&first_of.addr));
	}
	cr_assert_eq(A->log_lines[OUTSIDE_INFO], lines);
	cr_assert_eq(sim_count(sim, &A->endpoint, &L->endpoint, WIRE_LIGHTHOUSE, 0), updates);
	/* one goes, another comes: that has */
	sim->names[1].addrs[0] = sim->names[1].addrs[1] = sim_endpoint(57, 1).addr;
	sim_run(sim, CADENCE_NS);
	cr_assert_gt(sim_count(sim, &A->endpoint, &L->endpoint, WIRE_LIGHTHOUSE, 0), updates);
	cr_assert_eq(A->log_lines[OUTSIDE_INFO], lines + 1);
}

Test(sim_names, order_turns)
{
	sim_seeds(2, order_turns);
}

/* More addresses than there is room for, in another order with each answer: nothing has changed. */
static void many_turn(struct sim *sim)
{
	struct sim_name *me = &sim->names[1];
	struct endpoint first;
	uint64_t lines;

	network(sim);
	entries[1] = (struct name_entry){.text = "me.example", .port = 0};
	A->options.names.count = sim->name_count = 2;
	*me = (struct sim_name){.text = "me.example", .outcome = NAME_FOUND, .count = 24};
	for (uint32_t i = 0; i < me->count; i++)
		me->addrs[i] = sim_endpoint(100 + i, 1).addr;
	sim_start_node(L);
	sim_start_node(A);
	sim_run(sim, 10 * SIM_S);
	lines = A->log_lines[OUTSIDE_INFO];
	for (int turn = 0; turn < 24; turn++) {
		struct addr last = me->addrs[me->count - 1];

		memmove(me->addrs + 1, me->addrs, (me->count - 1) * sizeof(last));
		me->addrs[0] = last;
		sim_run(sim, CADENCE_NS);
		cr_assert_eq(names_advertised(A->node, &first, 1), 1);
		cr_assert_eq(addr_v4(&first.addr), 0xc0000264, "192.0.2.100");
	}
	cr_assert_eq(A->stats[STAT_NAMES_CUT], 25);
	cr_assert_eq(A->log_lines[OUTSIDE_INFO], lines);
}

Test(sim_names, many_turn)
{
	sim_seeds(1, many_turn);
}

static uint64_t calls_to(struct sim *sim, const struct addr *addr)
{
	struct endpoint to = {*addr, 4242};
	uint64_t count;

	sim->sent_count = 0; /* their bytes are freed with the rest of the process */
	sim_send(A, 0, 1, 1);
	sim_run(sim, CADENCE_NS);
	count = sim_count(sim, &A->endpoint, &to, WIRE_HANDSHAKE, 1);
	return count;
}

/* Of the family that is not answered, what was known stays; that there is none is an answer. */
static void one_family(struct sim *sim)
{
	struct addr v4 = sim_endpoint(55, 1).addr, v6 = {{0x20, 1, 0x0d, 0xb8, [15] = 6}};
	struct addr moved = sim_endpoint(56, 1).addr;

	network(sim);
	sim->recording = true;
	LH->count = 2;
	LH->addrs[0] = v4;
	LH->addrs[1] = v6;
	sim_start_node(A);
	cr_assert_gt(calls_to(sim, &v4), 0);
	cr_assert_gt(calls_to(sim, &v6), 0);

	LH->one_family = true;
	LH->told = NAME_IP4;
	LH->count = 1;
	LH->addrs[0] = moved;
	sim_run(sim, CADENCE_NS);
	cr_assert_eq(calls_to(sim, &v4), 0);
	cr_assert_gt(calls_to(sim, &v6), 0);
	cr_assert_gt(calls_to(sim, &moved), 0);
	cr_assert_eq(A->log_lines[OUTSIDE_WARNING], 0);

	LH->outcome = NAME_NONE;
	LH->count = 0;
	sim_run(sim, CADENCE_NS);
	cr_assert_gt(calls_to(sim, &v6), 0);
	cr_assert_eq(calls_to(sim, &moved), 0);
	cr_assert_eq(A->log_lines[OUTSIDE_WARNING], 1);

	LH->told = NAME_IP6;
	sim_run(sim, CADENCE_NS);
	cr_assert_eq(calls_to(sim, &v6), 0);
}

Test(sim_names, one_family)
{
	sim_seeds(2, one_family);
}

/* Thousands of names and a DNS that is silent: so many at a time, and few wake-ups. */
static void silent(struct sim *sim)
{
	uint64_t before;

	network(sim);
	for (uint32_t i = 0; i < SIM_NAMES; i++)
		entries[i] = (struct name_entry){"silent.example", (uint16_t)(i + 1), L->addr};
	A->options.names.count = SIM_NAMES;
	sim_start_node(A);
	sim_run(sim, 100 * SIM_MS);
	cr_assert_eq(A->stats[STAT_NAMES_ASKED], LOOKUPS_MAX);
	sim_run(sim, 120 * SIM_S);
	before = A->wakes;
	sim_run(sim, 60 * SIM_S);
	cr_assert_lt(A->wakes - before, 120, "%llu in a minute",
		     (unsigned long long)(A->wakes - before));
	cr_assert_eq(A->stats[STAT_NAMES_ASKED], A->stats[STAT_NAMES_FAILED]);
}

Test(sim_names, silent)
{
	sim_seeds(1, silent);
}
