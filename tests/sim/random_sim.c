/*
 * random_sim.c - networks, weather, mishaps and traffic drawn from a seed, and what must hold
 * whatever is drawn.
 *
 * A case has three parts. Mishaps: hosts restart, move, lose their NAT's memory, are cut off, get
 * new certificates, have their clocks set; lighthouses go down; somebody replays and forges;
 * meanwhile packets go to and fro. Calm: everybody is up, nothing is lost any more, every pair
 * talks, and each that can be connected must hear each other within RECONNECT_NS. Rest: nobody
 * says anything, and nothing pending may be left. sim_check() looks after every event.
 */
#include <stdlib.h>

#include "peers/node_query.h"
#include "peers/node_state.h"
#include "sim.h"
#include "wire.h"

#define HOSTS_MAX      5
#define LIGHTHOUSES    2
#define NAT_TIMEOUT_NS (30 * SIM_S)
#define TALK_NS        (250 * SIM_MS) /* every pair says something so often in the calm */
#define REST_NS        (40 * SIM_S)
#define REST_AGAIN_NS  (20 * SIM_S) /* more than any handshake or unproved tunnel lives */

/*
 * From the end of all mishaps. A lighthouse that has lost its tunnels hears from each host within
 * its interval (10 s) and the time of healing (3 s); then a handshake that has been going on for
 * a while tries again within a second, with a hole punched a second later.
 */
#define RECONNECT_NS (16 * SIM_S)

#ifdef __SANITIZE_ADDRESS__
#define SEEDS 40
#else
#define SEEDS 700
#endif

struct network {
	struct sim *sim;
	uint32_t lighthouses;
	uint64_t number; /* of the next packet */
	bool nats, relays;
};

static bool chance(struct sim *sim, uint64_t percent)
{
	return sim_random(sim, 100) < percent;
}

static struct sim_node *any_node(struct sim *sim)
{
	return &sim->nodes[sim_random(sim, sim->node_count)];
}

/* --- the network -------------------------------------------------------------------------------
 */

static void draw_host(struct network *network, struct sim_node *host)
{
	struct sim *sim = network->sim;
	struct node_options *options = &host->options;

	for (uint32_t i = 0; i < network->lighthouses; i++)
		sim_client(host, &sim->nodes[i]);
	if (network->nats && chance(sim, 70))
		sim_behind(host, NAT_FULL_CONE + (enum sim_nat_kind)sim_random(sim, 4),
			   NAT_TIMEOUT_NS);
	for (uint32_t i = 0; i < network->lighthouses && network->relays; i++)
		if (i == 0 || chance(sim, 50))
			sim_relay(host, &sim->nodes[i]);
	options->relay.use_relays = network->relays;
	options->lighthouse.punch_respond = true;
	options->punch = chance(sim, 30);
	options->punch_all = options->punch && chance(sim, 30);
	options->drop_inactive = chance(sim, 20);
	options->inactivity_ns = 20 * SIM_S;
	options->accept_recv_error = (enum recv_error_policy)sim_random(sim, 3);
	host->mute_recv_error = chance(sim, 30);
}

static void draw_network(struct network *network)
{
	struct sim *sim = network->sim;
	uint32_t hosts = 2 + (uint32_t)sim_random(sim, HOSTS_MAX - 1);

	network->lighthouses = 1 + (uint32_t)sim_random(sim, LIGHTHOUSES);
	for (uint32_t i = 0; i < network->lighthouses + hosts; i++)
		sim_add(sim);
	for (uint32_t i = 0; i < network->lighthouses; i++)
		sim->nodes[i].options.lighthouse.am_lighthouse = true;
	for (uint32_t i = network->lighthouses; i < sim->node_count; i++)
		draw_host(network, &sim->nodes[i]);
	sim->once = true;
	for (uint32_t i = 0; i < sim->node_count; i++)
		if (chance(sim, 90))
			sim_start_node(&sim->nodes[i]);
}

static void draw_weather(struct sim *sim)
{
	static const uint32_t losses[] = {0, 0, 10, 50, 200};

	sim->weather.loss = losses[sim_random(sim, 5)];
	sim->weather.duplicate = chance(sim, 50) ? 30 : 0;
	sim->weather.delay_min_ns = SIM_MS * (1 + sim_random(sim, 20));
	sim->weather.delay_max_ns = sim->weather.delay_min_ns +
				    SIM_MS * (1 + sim_random(sim, chance(sim, 20) ? 300 : 30));
}

/* Any two with a relay; else two of whom one can let the other in. Lighthouses have no NAT. */
static bool can_connect(const struct network *network, const struct sim_node *a,
			const struct sim_node *b)
{
	enum sim_nat_kind low = a->nat.kind < b->nat.kind ? a->nat.kind : b->nat.kind;
	enum sim_nat_kind high = a->nat.kind < b->nat.kind ? b->nat.kind : a->nat.kind;

	return network->relays || high < NAT_SYMMETRIC || low < NAT_PORT_RESTRICTED;
}

/* --- mishaps -----------------------------------------------------------------------------------
 */

static void restart(struct sim_node *node)
{
	sim_kill_node(node);
	sim_start_node(node);
}

static void certificate_ends(struct sim *sim, struct sim_node *node)
{
	int64_t now_s = (int64_t)(SIM_WALL_S + sim->now_ns / SIM_S) + sim->wall_offset_ns;
	struct sim_identity identity = {.not_after = now_s + (int64_t)sim_random(sim, 20)};

	sim_kill_node(node);
	sim_identify(node, &identity);
	sim_start_node(node);
}

/* What somebody on the path can do without a key. */
static void forge(struct sim *sim)
{
	struct sim_kept *kept;
	struct endpoint stranger = sim_endpoint(250, (uint16_t)(1 + sim_random(sim, 60000)));
	uint8_t bytes[SIM_KEPT_BYTES];

	if (sim->kept_count == 0)
		return;
	kept = &sim->kept[sim_random(sim, sim->kept_count < SIM_KEPT ? sim->kept_count : SIM_KEPT)];
	memcpy(bytes, kept->bytes, kept->length);
	switch (sim_random(sim, 4)) {
	case 0: /* replayed as it was */
		sim_inject(sim, &kept->from, &kept->to, bytes, kept->length, SIM_MS);
		break;
	case 1: /* replayed from elsewhere */
		sim_inject(sim, &stranger, &kept->to, bytes, kept->length, SIM_MS);
		break;
	case 2: /* a bit was changed */
		bytes[sim_random(sim, kept->length)] ^= (uint8_t)(1 << sim_random(sim, 8));
		sim_inject(sim, &kept->from, &kept->to, bytes, kept->length, SIM_MS);
		break;
	case 3: /* "I do not know that tunnel" in the receiver's name */
		if (kept->length < WIRE_HEADER_BYTES)
			break;
		wire_write(bytes, WIRE_RECV_ERROR, wire_remote_index(kept->bytes), 0);
		sim_inject(sim, &kept->to, &kept->from, bytes, WIRE_HEADER_BYTES, SIM_MS);
		break;
	}
}

static void near_the_limit(struct sim *sim, struct sim_node *node)
{
	static const uint64_t limits[] = {COUNTER_REHANDSHAKE_AT, COUNTER_REFUSE_AT};
	struct tunnel_record *record = node->node ? node->node->tunnels.all : NULL;

	if (record && atomic_load(&record->tunnel->counter) < COUNTER_REHANDSHAKE_AT / 2)
		atomic_store(&record->tunnel->counter, limits[sim_random(sim, 2)] - 4);
}

/* SIGHUP: other options, and in half of the cases a renewed certificate. */
static void reload(struct sim *sim, struct sim_node *node)
{
	struct node_options *options = &node->options;
	struct sim_identity identity = {.not_after = (int64_t)SIM_WALL_S + 450000000};
	struct pki before = node->pki, next;

	options->punch = chance(sim, 50);
	options->drop_inactive = chance(sim, 20);
	options->inactivity_ns = 20 * SIM_S;
	options->accept_recv_error = (enum recv_error_policy)sim_random(sim, 3);
	options->lighthouse.interval_ns = SIM_S * (2 + sim_random(sim, 9));
	if (!node->node)
		return;
	if (chance(sim, 50)) {
		node_reconfigure(node->node, options, &node->pki);
		return;
	}
	identity.not_after += (int64_t)sim_random(sim, 1000000);
	memset(&node->pki, 0, sizeof(node->pki));
	sim_identify(node, &identity);
	next = node->pki;
	node->pki = before;
	node_reconfigure(node->node, options, &next);
	pki_free(&before);
	node->pki = next; /* and by another reload, without a change, the node looks there again */
	node_reconfigure(node->node, options, &node->pki);
	sim_node_reap(node);
}

static void mishap(struct network *network)
{
	struct sim *sim = network->sim;
	struct sim_node *node = any_node(sim), *other = any_node(sim);
	struct addr host = addr_from_v4(0x0a2a0000 + other->id);

	switch (sim_random(sim, 18)) {
	case 17:
	case 16:
		reload(sim, node);
		break;
	case 0:
	case 1:
		restart(node);
		break;
	case 2:
		sim_kill_node(node);
		break;
	case 3: /* the process ends as it should */
		if (node->node)
			node_shutdown(node->node);
		sim_run(sim, 10 * SIM_MS);
		sim_kill_node(node);
		break;
	case 4: /* lighthouses stay where they are */
		if (node->id > network->lighthouses)
			sim_move(node, chance(sim, 50));
		break;
	case 5: /* the NAT's box restarts */
		node->nat.flow_count = 0;
		break;
	case 6:
		sim_cut(node, other, node != other);
		break;
	case 7:
		sim_cut(node, other, false);
		break;
	case 8:
		draw_weather(sim);
		break;
	case 9:
		node->wall_offset_ns =
			(int64_t)(SIM_S * 86400) * ((int64_t)sim_random(sim, 800) - 400);
		break;
	case 10:
		certificate_ends(sim, node);
		break;
	case 11:
		near_the_limit(sim, node);
		break;
	case 12:
		if (node->node)
			node_order_close(node->node, &host, chance(sim, 50));
		break;
	default:
		for (uint64_t i = 1 + sim_random(sim, 8); i > 0; i--)
			forge(sim);
	}
}

static void talk(struct network *network)
{
	struct sim *sim = network->sim;
	struct sim_node *from = any_node(sim), *to = any_node(sim);

	if (from->node)
		sim_send(from, (uint32_t)sim_random(sim, 2), to->id, network->number++);
}

static void mishaps(struct network *network)
{
	struct sim *sim = network->sim;
	uint64_t count = 5 + sim_random(sim, 30);

	draw_weather(sim);
	while (count-- > 0) {
		for (uint64_t packets = sim_random(sim, 20); packets > 0; packets--) {
			talk(network);
			sim_run(sim, sim_random(sim, 60 * SIM_MS));
		}
		mishap(network);
		sim_run(sim, sim_random(sim, chance(sim, 5) ? 60 * SIM_S : 2 * SIM_S));
	}
}

/* --- calm and rest -----------------------------------------------------------------------------
 */

static void calm_down(struct sim *sim)
{
	sim->weather = (struct sim_weather){.delay_min_ns = SIM_MS,
					    .delay_max_ns = SIM_MS * (2 + sim_random(sim, 20))};
	for (uint32_t i = 0; i < sim->node_count; i++) {
		struct sim_node *node = &sim->nodes[i];
		bool expiring = node->pki.v1.cert->not_after < (int64_t)SIM_WALL_S + 400000000;

		node->cut = 0;
		if (expiring) {
			sim_kill_node(node);
			sim_identify(node, &(struct sim_identity){0});
		}
		if (!node->node)
			sim_start_node(node);
	}
}

static void everybody_talks(struct network *network)
{
	struct sim *sim = network->sim;

	for (uint32_t i = 0; i < sim->node_count; i++)
		for (uint32_t j = 0; j < sim->node_count; j++)
			if (i != j)
				sim_send(&sim->nodes[i], (uint32_t)sim_random(sim, 2), j + 1,
					 network->number++);
}

/* Lighthouses do not ask lighthouses, and have no word of each other. */
static bool must_connect(const struct network *network, const struct sim_node *a,
			 const struct sim_node *b)
{
	return a != b && can_connect(network, a, b) &&
	       (a->id > network->lighthouses || b->id > network->lighthouses);
}

/* The first pair whose second has not heard the first since since_ns, or NULL. */
static const struct sim_node *deaf(struct network *network, uint64_t since_ns,
				   const struct sim_node **from)
{
	struct sim *sim = network->sim;

	for (uint32_t i = 0; i < sim->node_count; i++)
		for (uint32_t j = 0; j < sim->node_count; j++)
			if (must_connect(network, &sim->nodes[i], &sim->nodes[j]) &&
			    sim->nodes[j].heard_ns[i + 1] < since_ns) {
				*from = &sim->nodes[i];
				return &sim->nodes[j];
			}
	return NULL;
}

static void reconnects(struct network *network)
{
	struct sim *sim = network->sim;
	uint64_t start = sim->now_ns;
	const struct sim_node *from = NULL, *to;

	while ((to = deaf(network, start, &from)) && sim->now_ns - start < RECONNECT_NS) {
		everybody_talks(network);
		sim_run(sim, TALK_NS);
	}
	SIM_ASSERT(sim, !to, "node %u has not heard node %u", to->id, from->id);
	if (getenv("M57_TIMES"))
		fprintf(stderr, "\ncalm %.2f s\n", (double)(sim->now_ns - start) / 1e9);
}

static bool all_rest(const struct sim *sim)
{
	for (uint32_t i = 0; i < sim->node_count; i++)
		if (!sim_node_rests(&sim->nodes[i]))
			return false;
	return true;
}

/*
 * Two idle ends that use different tunnels of theirs notice by a test, up to half a minute later.
 * So a handshake may just be under way, which ends; what has leaked is still there.
 */
static void rests(struct network *network)
{
	struct sim *sim = network->sim;

	sim_run(sim, REST_NS);
	if (!all_rest(sim))
		sim_run(sim, REST_AGAIN_NS);
	for (uint32_t i = 0; i < sim->node_count; i++)
		sim_check_rest(&sim->nodes[i]);
}

static void run_case(struct sim *sim, bool nats, bool relays)
{
	struct network network = {.sim = sim, .number = 1, .nats = nats, .relays = relays};

	draw_network(&network);
	mishaps(&network);
	calm_down(sim);
	reconnects(&network);
	rests(&network);
}

static void open_network(struct sim *sim)
{
	run_case(sim, false, false);
}

Test(sim_random, open_network)
{
	sim_seeds(SEEDS, open_network);
}

static void nats(struct sim *sim)
{
	run_case(sim, true, false);
}

Test(sim_random, nats)
{
	sim_seeds(SEEDS, nats);
	/* 10 s and more: hosts that came back elsewhere with an earlier clock were "too old" until
	 * their old tunnels were given up */
	sim_seed(400982, nats);
	sim_seed(402270, nats);
	sim_seed(402355, nats);
}

static void relays(struct sim *sim)
{
	run_case(sim, true, true);
}

Test(sim_random, relays)
{
	sim_seeds(SEEDS * 4 / 7, relays); /* the longest histories */
	/* frames went on leaving by a tunnel that the far end had given up, for 10 s */
	sim_seed(300506, relays);
}

/* One seed, one history: else a failing one could not be looked at. */
Test(sim_random, deterministic)
{
	static struct sim sim;

	for (uint64_t seed = 1; seed <= 3; seed++) {
		uint64_t digest = 0;

		for (int turn = 0; turn < 2; turn++) {
			sim_start(&sim, seed);
			run_case(&sim, true, true);
			cr_assert(turn == 0 || sim.digest == digest, "seed %llu",
				  (unsigned long long)seed);
			digest = sim.digest;
			sim_end(&sim);
		}
	}
}
