/*
 * adversary_sim.c - hosts with valid certificates that lie, in a network that is reloaded and
 * falls ill meanwhile, all of it drawn from a seed.
 *
 * An adversary is a node of ours, maybe a lighthouse or a relay, beside whose own messages others
 * leave on its tunnels: about itself, about others, about nobody, with the true indexes of whom it
 * sends them to, cut and changed. What it may cost others is time. sim_check() looks after every
 * event; when the adversaries have become honest and configurations are as they were, every pair
 * must hear each other within RECONNECT_NS, and nothing pending may be left at rest.
 *
 * DNS is no better: names of static hosts change their addresses, fail, have too many, are not
 * answered, or are when nobody wants to know any more. And in some cases nodes have room for a few
 * tunnels only, or no memory to put off the freeing of what has gone.
 */
#include <stdlib.h>

#include "peers/lighthouse_wire.h"
#include "peers/node_query.h"
#include "peers/node_state.h"
#include "peers/relays.h"
#include "sim.h"
#include "wire.h"

TestSuite(sim_adversary, .timeout = 600);

#define LIGHTHOUSES 2
#define HOSTS       4
#define NODES       (LIGHTHOUSES + HOSTS)
#define NOBODIES    6           /* overlay addresses that nobody has, from 50 on */
#define NAMES       (NODES + 2) /* the last ones are nobody's */
#define NAMES_NODE  24          /* of one configuration */
#define NAME_BYTES  sizeof("host0.example")

/* A lie that is believed goes when whoever told it says something else: updates come each 10 s. */
#define RECONNECT_NS  (30 * SIM_S)
#define TALK_NS       (250 * SIM_MS)
#define REST_NS       (40 * SIM_S)
#define REST_AGAIN_NS (20 * SIM_S)

#ifdef __SANITIZE_ADDRESS__
#define SEEDS 10
#else
#define SEEDS 60
#endif

/* What a configuration's options borrow: made anew by each reload, and freed behind it. */
struct lists {
	struct node_static_host hosts[NODES];
	struct addr lighthouses[NODES], relays[NODES];
	struct name_entry names[NAMES_NODE];
	char texts[NAMES_NODE][NAME_BYTES];
	uint16_t rules_version;
};

static struct world {
	struct sim *sim;
	struct lists *lists[NODES];
	uint32_t liars;    /* bit i: node i is one */
	uint32_t no_rules; /* so often, per cent, there is no memory for a peer's rules */
	uint64_t number;
} world;

static uint64_t draw(uint64_t below)
{
	return sim_random(world.sim, below);
}

static bool chance(uint64_t percent)
{
	return draw(100) < percent;
}

static struct sim_node *any_node(void)
{
	return &world.sim->nodes[draw(NODES)];
}

/* --- configurations ----------------------------------------------------------------------------
 */

static void add_static(struct sim_node *node, struct lists *lists, const struct sim_node *host,
		       bool right)
{
	struct node_static_host *entry = &lists->hosts[node->options.static_host_count++];

	entry->addr = host->addr;
	entry->remotes[entry->remote_count++] =
		right ? host->endpoint : sim_endpoint(1 + (uint32_t)draw(20), 4242);
}

/* Of DNS: name `which` is where the host is; zero: where we are. */
static void add_name(struct sim_node *node, struct lists *lists, const struct addr *host,
		     uint32_t which)
{
	uint32_t at = node->options.names.count;

	if (at == NAMES_NODE)
		return;
	strcpy(lists->texts[at], world.sim->names[which].text);
	lists->names[at] = (struct name_entry){lists->texts[at], 4242, *host};
	node->options.names.count++;
}

/* Everybody knows both lighthouses, by address or by name. They relay. */
static void configure_well(struct sim_node *node, struct lists *lists)
{
	struct node_options *options = &node->options;

	options->relay.am_relay = node->id <= LIGHTHOUSES;
	options->relay.use_relays = true;
	options->relay.relay_count = 0;
	for (uint32_t i = 0; i < LIGHTHOUSES && node->id > LIGHTHOUSES; i++) {
		lists->lighthouses[options->lighthouse.host_count++] = sim_overlay(i + 1);
		lists->relays[options->relay.relay_count++] = sim_overlay(i + 1);
		if (chance(50))
			add_static(node, lists, &world.sim->nodes[i], true);
		else
			add_name(node, lists, &world.sim->nodes[i].addr, i);
	}
}

static void configure_anyhow(struct sim_node *node, struct lists *lists)
{
	struct node_options *options = &node->options;

	options->relay.am_relay = chance(30);
	options->relay.use_relays = chance(80);
	options->punch = chance(30);
	options->punch_all = chance(30);
	options->accept_recv_error = (enum recv_error_policy)draw(3);
	options->drop_inactive = chance(20);
	options->inactivity_ns = 20 * SIM_S;
	for (uint32_t i = 0; i < NODES; i++) {
		if (chance(30))
			lists->lighthouses[options->lighthouse.host_count++] = sim_overlay(i + 1);
		if (chance(30))
			lists->relays[options->relay.relay_count++] = sim_overlay(i + 1);
		if (chance(50))
			add_static(node, lists, &world.sim->nodes[i], chance(80));
		for (uint64_t names = chance(50) ? draw(4) : 0; names > 0; names--)
			add_name(node, lists, &world.sim->nodes[i].addr,
				 chance(60) ? i : (uint32_t)draw(NAMES));
	}
	for (uint64_t names = draw(3); names > 0; names--)
		add_name(node, lists, &(struct addr){0}, (uint32_t)draw(NAMES));
}

/* A new identity, and whom it blocks. */
static struct pki draw_identity(struct sim_node *node, bool well)
{
	struct sim_identity identity = {.not_after =
						(int64_t)(SIM_WALL_S + 450000000 + draw(1000000))};
	struct pki made = sim_identity_of(node, &identity);
	char hex[CERT_FINGERPRINT_HEX_MAX];
	const struct sim_node *blocked = any_node();

	if (!well && blocked != node && chance(50)) {
		cert_fingerprint_hex(blocked->pki.v1.cert->fingerprint, hex);
		cr_assert_eq(blocklist_add(made.blocklist, hex), 0);
	}
	return made;
}

static struct peer_rules *make_rules(void *context, const struct cert *peer, const struct cert *ca)
{
	const struct lists *lists = context;
	struct peer_rules *rules = chance(world.no_rules) ? NULL : calloc(1, sizeof(*rules));

	if (!rules)
		return NULL;
	rules->version = lists->rules_version;
	return rules;
}

/* As a reload does: bits of the next rules beside those in use, and then those go. */
static void change_rules(struct sim_node *node, const struct lists *before, struct lists *lists)
{
	lists->rules_version = before ? before->rules_version : 1;
	if (!before || !node->node || chance(50))
		return;
	lists->rules_version++;
	if (node_rules_prepare(node->node, &node->options, &node->pki, lists->rules_version) == 0)
		node_rules_retire(node->node, before->rules_version);
	else
		lists->rules_version--;
}

static void check_rules(const struct sim_node *node, const struct lists *lists)
{
	const struct tunnel_record *record = node->node->tunnels.all;

	for (; record; record = record->next)
		for (int i = 0; i < 2; i++) {
			const struct peer_rules *rules = record->tunnel->rules[i];

			SIM_ASSERT(world.sim,
				   i == (lists->rules_version & 1)
					   ? rules && rules->version == lists->rules_version
					   : !rules,
				   "node %u: a tunnel has other rules", node->id);
		}
}

static void configure(struct sim_node *node, struct lists *lists, bool well)
{
	struct node_options *options = &node->options;

	options->static_hosts = lists->hosts;
	options->lighthouse.hosts = lists->lighthouses;
	options->relay.relays = lists->relays;
	options->lighthouse.host_count = options->relay.relay_count = 0;
	options->static_host_count = 0;
	options->rules_for_peer = make_rules;
	options->rules_context = lists;
	options->names = (struct name_options){
		.cadence_ns = SIM_S * (1 + draw(20)),
		.timeout_ns = SIM_MS * (50 + draw(1000)),
		.network = well ? NAME_IP : (enum name_network)draw(NAME_IP + 1),
		.list = lists->names,
	};
	if (well)
		configure_well(node, lists);
	else
		configure_anyhow(node, lists);
}

static void take_up(struct sim_node *node, bool well)
{
	struct lists *before = world.lists[node->id - 1], *lists = calloc(1, sizeof(*lists));
	struct node_options *options = &node->options;
	struct pki old = node->pki, next;

	cr_assert(lists);
	configure(node, lists, well);
	change_rules(node, before, lists);
	world.lists[node->id - 1] = lists;
	if (well || chance(30)) {
		next = draw_identity(node, well);
		if (node->node)
			node_reconfigure(node->node, options, &next);
		pki_free(&old);
		node->pki = next;
	}
	if (node->node) {
		node_reconfigure(node->node, options, &node->pki);
		sim_check(node);
		check_rules(node, lists);
		sim_node_reap(node);
	}
	free(before);
}

/* --- DNS ---------------------------------------------------------------------------------------
 */

static const char name_texts[NAMES][NAME_BYTES] = {
	"host1.example", "host2.example", "host3.example", "host4.example",
	"host5.example", "host6.example", "host7.example", "host8.example",
};

static void answer_well(uint32_t which)
{
	world.sim->names[which] = (struct sim_name){
		.text = name_texts[which],
		.delay_ns = 5 * SIM_MS,
		.outcome = which < NODES ? NAME_FOUND : NAME_NONE,
		.count = 1,
		.addrs = {sim_endpoint(which + 1, 4242).addr},
	};
}

static struct addr any_answer(uint32_t which)
{
	struct addr addr = sim_endpoint(1 + (uint32_t)draw(40), 1).addr;

	if (chance(40))
		return world.sim->nodes[which % NODES].endpoint.addr;
	if (chance(20))
		addr = (struct addr){{0x20, 1, 0x0d, 0xb8, [15] = (uint8_t)draw(40)}};
	if (chance(10))
		addr = sim_overlay((uint32_t)draw(60)); /* inside of the network */
	return addr;
}

static void answer_anyhow(uint32_t which)
{
	struct sim_name *name = &world.sim->names[which];

	name->silent = chance(10);
	name->delay_ns = SIM_MS * draw(chance(20) ? 5000 : 200);
	name->outcome = chance(60) ? NAME_FOUND : (enum name_outcome)draw(NAME_FAILED + 1);
	name->one_family = chance(20);
	name->told = (enum name_network)draw(NAME_IP);
	name->count = chance(10) ? 64 : 1 + (uint32_t)draw(4);
	for (uint32_t i = 0; i < name->count; i++)
		name->addrs[i] = any_answer(which);
}

static void make_world(struct sim *sim)
{
	world = (struct world){.sim = sim, .number = 1};
	for (sim->name_count = 0; sim->name_count < NAMES; sim->name_count++)
		answer_well(sim->name_count);
	for (uint32_t i = 0; i < NODES; i++) {
		struct sim_node *node = sim_add(sim);

		node->options.lighthouse.am_lighthouse = i < LIGHTHOUSES;
		node->options.lighthouse.punch_respond = true;
		node->options.lighthouse.respond_delay_ns = SIM_MS * draw(2000);
		node->options.lighthouse.punch_delay_ns = SIM_MS * draw(1000);
		node->options.try_promote = (uint32_t)draw(20);
		node->options.requery_every = (uint32_t)draw(20);
		node->options.requery_wait_ns = SIM_S;
		if (i >= LIGHTHOUSES && chance(30))
			sim_behind(node, NAT_FULL_CONE + (enum sim_nat_kind)draw(4), 30 * SIM_S);
	}
	for (uint32_t i = 0; i < NODES; i++)
		take_up(&sim->nodes[i], true);
	for (uint32_t i = 0; i < NODES; i++)
		sim_start_node(&sim->nodes[i]);
	sim->once = true;
	world.liars = 1u << draw(NODES) | 1u << draw(NODES);
	sim_run(sim, 2 * SIM_S);
	sim->tunnels_max = chance(30) ? 1 + (uint32_t)draw(12) : 0;
	sim->frees_at_once = chance(20);
	sim->late_answers = chance(50);
	world.no_rules = chance(20) ? 10 : 0;
}

/* --- lies --------------------------------------------------------------------------------------
 */

static struct addr any_addr(void)
{
	if (chance(75))
		return any_node()->addr;
	return chance(90) ? sim_overlay(50 + (uint32_t)draw(NOBODIES)) : addr_from_v4(0x08080808);
}

static struct endpoint any_endpoint(void)
{
	struct endpoint at = any_node()->endpoint;

	if (chance(20))
		at = sim_endpoint(1 + (uint32_t)draw(40), (uint16_t)(1 + draw(6000)));
	if (chance(10))
		at.addr = any_addr(); /* inside of the network */
	return at;
}

static size_t lighthouse_lie(uint8_t bytes[LIGHTHOUSE_BYTES_MAX])
{
	struct lighthouse_message message = {
		.type = (enum lighthouse_type)draw(LIGHTHOUSE_ACK + 1),
		.form = chance(80) ? LIGHTHOUSE_V1 : LIGHTHOUSE_V2,
		.has_addr = chance(90),
		.addr = any_addr(),
	};

	if (chance(60))
		message.type = chance(60) ? LIGHTHOUSE_REPLY : LIGHTHOUSE_PUNCH;
	for (uint64_t i = draw(4); i > 0; i--)
		message.v4[message.v4_count++] = any_endpoint();
	for (uint64_t i = draw(4); i > 0; i--)
		message.relays[message.relay_count++] = any_addr();
	return lighthouse_encode(&message, bytes, LIGHTHOUSE_BYTES_MAX);
}

/* An entry that node has with the liar's tunnel, or with anybody's, or none. */
static const struct relay *any_entry(const struct sim_node *node, const struct sim_node *liar)
{
	const struct relay *found = NULL;
	uint64_t seen = 0;

	for (const struct tunnel_record *record = node->node->tunnels.all; record;
	     record = record->next)
		for (const struct relay *relay = record->relays; relay; relay = relay->next)
			if ((!liar || relays_record_has(record, &liar->addr)) && draw(++seen) == 0)
				found = relay;
	return found;
}

static size_t relay_lie(const struct sim_node *liar, const struct sim_node *node,
			uint8_t bytes[RELAY_BYTES_MAX])
{
	const struct relay *entry = any_entry(node, chance(80) ? liar : NULL);
	struct relay_message message = {
		.type = chance(60) ? RELAY_REQUEST : RELAY_RESPONSE,
		.form = chance(80) ? RELAY_V1 : RELAY_V2,
		.initiator_index = entry ? entry->local_index : (uint32_t)draw(5),
		.responder_index = (uint32_t)draw(10),
		.from = any_addr(),
		.to = chance(50) ? node->addr : any_addr(),
	};

	if (message.type == RELAY_REQUEST)
		message.initiator_index = (uint32_t)draw(10);
	if (message.type == RELAY_REQUEST && chance(40))
		message.from = liar->addr;
	return relay_encode(&message, bytes, RELAY_BYTES_MAX);
}

/* A tunnel of the liar's with node, old ones too; or NULL. */
static const struct tunnel_record *any_tunnel(const struct sim_node *liar,
					      const struct sim_node *node)
{
	const struct tunnel_record *found = NULL, *record = liar->node->tunnels.all;
	uint64_t seen = 0;

	for (; record; record = record->next)
		if (relays_record_has(record, &node->addr) && draw(++seen) == 0)
			found = record;
	return found;
}

static void send_in(struct sim_node *liar, const struct tunnel_record *record, enum wire_type wire,
		    const uint8_t *bytes, size_t length)
{
	liar->outside.send_in_tunnel(liar, record->queue, record->tunnel->id, wire, NULL, bytes,
				     length);
}

static void say_lie(struct sim_node *liar, const struct sim_node *node,
		    const struct tunnel_record *record)
{
	uint8_t bytes[LIGHTHOUSE_BYTES_MAX];
	bool relay = chance(50);
	size_t length = relay ? relay_lie(liar, node, bytes) : lighthouse_lie(bytes);

	if (length > 0 && chance(8))
		bytes[draw(length)] ^= (uint8_t)(1 << draw(8));
	if (length > 0 && chance(5))
		length = draw(length);
	send_in(liar, record, relay ? WIRE_CONTROL : WIRE_LIGHTHOUSE, bytes, length);
}

static void begin(struct sim_node *liar, const struct sim_node *node)
{
	struct peer_host *host = tunnels_obtain_host(&liar->node->tunnels, &node->addr);

	cr_assert(host);
	initiator_add_remote(liar->node, host, &node->endpoint);
	initiator_begin(liar->node, host, 0);
	tunnels_put_host(&liar->node->tunnels, host);
}

/* A handshake that somebody has just sent, once more, from the liar or in a frame of its relay. */
static void pass_on(struct sim_node *liar, const struct sim_node *node,
		    const struct tunnel_record *record)
{
	const struct relay *entry = any_entry(node, liar);
	const struct sim_kept *found = NULL;
	uint64_t seen = 0;

	for (uint32_t i = 0; i < SIM_KEPT && i < world.sim->kept_count; i++)
		if (world.sim->kept[i].length >= WIRE_HEADER_BYTES &&
		    wire_type_of(world.sim->kept[i].bytes) == WIRE_HANDSHAKE && draw(++seen) == 0)
			found = &world.sim->kept[i];
	if (found && entry)
		liar->outside.send_via_relay(liar, record->queue, record->tunnel->id,
					     entry->local_index, found->bytes, found->length);
	else if (found)
		sim_inject(world.sim, &liar->endpoint, &node->endpoint, found->bytes, found->length,
			   SIM_MS);
}

/* "I do not know that tunnel", or that entry: in the name of whom node has it with. */
static void forget(const struct sim_node *node)
{
	const struct tunnel_record *record = node->node->tunnels.all;
	const struct relay *entry = any_entry(node, NULL);
	uint8_t bytes[WIRE_HEADER_BYTES];
	uint32_t index;

	for (uint64_t i = draw(4); record && record->next && i > 0; i--)
		record = record->next;
	if (entry && chance(40))
		record = entry->record;
	else
		entry = NULL;
	if (!record || !record->tunnel->remote)
		return;
	index = entry ? entry->remote_index : record->tunnel->remote_index;
	wire_write(bytes, WIRE_RECV_ERROR, index, 0);
	sim_inject(world.sim, &record->tunnel->remote->to, &node->endpoint, bytes, sizeof(bytes),
		   SIM_MS);
}

static void lie(struct sim_node *liar, struct sim_node *node)
{
	const struct tunnel_record *record;

	if (!liar->node || !node->node || liar == node)
		return;
	record = any_tunnel(liar, node);
	if (!record) {
		begin(liar, node);
		return;
	}
	switch (draw(14)) {
	case 0:
		forget(node);
		break;
	case 1:
		begin(liar, node);
		break;
	case 2:
		send_in(liar, record, chance(50) ? WIRE_TEST_REQUEST : WIRE_TEST_REPLY, NULL, 0);
		break;
	case 3:
		if (chance(30))
			send_in(liar, record, WIRE_CLOSE_TUNNEL, NULL, 0);
		break;
	case 4:
	case 5:
		pass_on(liar, node, record);
		break;
	default:
		say_lie(liar, node, record);
	}
}

/* --- mishaps -----------------------------------------------------------------------------------
 */

static void order(struct sim_node *node)
{
	struct endpoint at = any_endpoint();
	struct addr host = any_addr();

	if (!node->node)
		return;
	switch (draw(4)) {
	case 0:
		node_order_close(node->node, &host, chance(50));
		break;
	case 1:
		node_order_query(node->node, &host);
		break;
	case 2:
		node_order_tunnel(node->node, &host, chance(50) ? &at : NULL);
		break;
	default:
		node_order_remote(node->node, &host, &at);
	}
	sim_check(node);
	sim_node_reap(node);
}

static void mishap(void)
{
	struct sim_node *node = any_node(), *other = any_node();

	switch (draw(10)) {
	case 0:
		sim_kill_node(node);
		sim_start_node(node);
		break;
	case 1:
		if (node->id > LIGHTHOUSES)
			sim_move(node, chance(50));
		break;
	case 2:
	case 3:
		sim_cut(node, other, node != other && chance(60));
		break;
	case 4:
	case 5:
		order(node);
		break;
	default:
		take_up(node, chance(40));
	}
}

static void talk(void)
{
	struct sim_node *node = any_node();
	uint32_t to = chance(80) ? any_node()->id : 50 + (uint32_t)draw(NOBODIES);

	if (node->node)
		sim_send(node, (uint32_t)draw(2), to, world.number++);
}

static void lies(void)
{
	for (uint64_t turns = 10 + draw(40); turns > 0; turns--) {
		struct sim_node *victim = any_node();

		for (uint64_t i = draw(25); i > 0; i--) {
			struct sim_node *liar = any_node();

			if (world.liars >> (liar->id - 1) & 1)
				lie(liar, chance(70) ? victim : any_node());
			if (chance(30))
				talk();
			sim_run(world.sim, draw(chance(10) ? 500 * SIM_MS : 5 * SIM_MS));
		}
		if (chance(50))
			mishap();
		for (uint64_t i = draw(3); i > 0; i--)
			answer_anyhow((uint32_t)draw(NAMES));
		sim_run(world.sim, draw(chance(10) ? 20 * SIM_S : SIM_S));
	}
}

/* --- calm and rest -----------------------------------------------------------------------------
 */

static void calm_down(void)
{
	world.sim->tunnels_max = world.no_rules = 0;
	for (uint32_t i = 0; i < NAMES; i++)
		answer_well(i);
	for (uint32_t i = 0; i < NODES; i++) {
		struct sim_node *node = &world.sim->nodes[i];

		node->cut = 0;
		node->options.accept_recv_error = RECV_ERROR_ALWAYS;
		take_up(node, true);
	}
}

static const struct sim_node *deaf(uint64_t since_ns, const struct sim_node **from)
{
	for (uint32_t i = 0; i < NODES; i++)
		for (uint32_t j = 0; j < NODES; j++)
			if (i != j && (i >= LIGHTHOUSES || j >= LIGHTHOUSES) &&
			    world.sim->nodes[j].heard_ns[i + 1] < since_ns) {
				*from = &world.sim->nodes[i];
				return &world.sim->nodes[j];
			}
	return NULL;
}

static void reconnects(void)
{
	uint64_t start = world.sim->now_ns;
	const struct sim_node *from = NULL, *to;

	while ((to = deaf(start, &from)) && world.sim->now_ns - start < RECONNECT_NS) {
		for (uint32_t i = 0; i < NODES; i++)
			for (uint32_t j = 0; j < NODES; j++)
				if (i != j)
					sim_send(&world.sim->nodes[i], (uint32_t)draw(2), j + 1,
						 world.number++);
		sim_run(world.sim, TALK_NS);
	}
	SIM_ASSERT(world.sim, !to, "node %u has not heard node %u", to->id, from->id);
	if (getenv("M57_TIMES"))
		fprintf(stderr, "\ncalm %.2f s\n", (double)(world.sim->now_ns - start) / 1e9);
}

static bool all_rest(void)
{
	for (uint32_t i = 0; i < NODES; i++)
		if (!sim_node_rests(&world.sim->nodes[i]))
			return false;
	return true;
}

static void rests(void)
{
	sim_run(world.sim, REST_NS);
	if (!all_rest())
		sim_run(world.sim, REST_AGAIN_NS);
	for (uint32_t i = 0; i < NODES; i++)
		sim_check_rest(&world.sim->nodes[i]);
}

static void run_case(struct sim *sim)
{
	make_world(sim);
	lies();
	calm_down();
	reconnects();
	rests();
	for (uint32_t i = 0; i < NODES; i++) {
		sim_kill_node(&sim->nodes[i]);
		free(world.lists[i]);
	}
}

Test(sim_adversary, lies)
{
	sim_seeds(SEEDS, run_case);
}
