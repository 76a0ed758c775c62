/*
 * manager_test.c - the decision table row by row, and ten thousand tunnels that come and go at
 * random moments (trap 54). What the manager does over time is tested in tests/sim.
 */
#include <stdlib.h>

#include "cert_helpers.h"
#include "peers/manager.h"

TestSuite(manager);

static const struct {
	const char *row;
	uint32_t facts;
	enum manager_action action;
} cases[] = {
	/* 1, 2, 3: whatever else is known */
	{"1 blocked", FACT_BLOCKED, MANAGER_CLOSE},
	{"1 blocked", FACT_BLOCKED | FACT_INVALID | FACT_EXHAUSTED | FACT_IN | FACT_PRIMARY,
	 MANAGER_CLOSE},
	{"2 invalid", FACT_INVALID | FACT_IN | FACT_PRIMARY, MANAGER_CLOSE},
	{"2 invalid", FACT_INVALID | FACT_PENDING | FACT_EXPIRED, MANAGER_CLOSE},
	{"3 counter", FACT_EXHAUSTED | FACT_IN | FACT_PRIMARY | FACT_OUTDATED, MANAGER_REMOVE},
	/* 4: something came */
	{"4 outdated", FACT_IN | FACT_PRIMARY | FACT_OUTDATED, MANAGER_REHANDSHAKE},
	{"4 outdated", FACT_IN | FACT_PRIMARY | FACT_OUTDATED | FACT_PENDING | FACT_EXPIRED,
	 MANAGER_REHANDSHAKE},
	{"4 alive", FACT_IN | FACT_PRIMARY, MANAGER_KEEP},
	{"4 alive", FACT_IN | FACT_PRIMARY | FACT_OUT, MANAGER_KEEP},
	{"4 alive", FACT_IN | FACT_PRIMARY | FACT_PENDING | FACT_EXPIRED | FACT_OVERDUE,
	 MANAGER_KEEP},
	{"4 alive", FACT_IN | FACT_PRIMARY | FACT_UNUSED, MANAGER_KEEP},
	{"4 swap", FACT_IN | FACT_MAY_SWAP, MANAGER_SWAP},
	{"4 swap", FACT_IN | FACT_MAY_SWAP | FACT_PENDING | FACT_EXPIRED, MANAGER_SWAP},
	{"4 used by the peer", FACT_IN, MANAGER_KEEP_SECOND},
	{"4 used by the peer", FACT_IN | FACT_OUTDATED | FACT_OUT, MANAGER_KEEP_SECOND},
	/* 5: nothing came since it was pending */
	{"5 dead", FACT_PENDING | FACT_EXPIRED, MANAGER_REMOVE},
	{"5 dead", FACT_PENDING | FACT_EXPIRED | FACT_OVERDUE | FACT_PRIMARY | FACT_OUT,
	 MANAGER_REMOVE},
	{"5 dead", FACT_PENDING | FACT_EXPIRED | FACT_MAY_SWAP, MANAGER_REMOVE},
	{"5a unanswered", FACT_PENDING | FACT_OVERDUE | FACT_PRIMARY | FACT_OUT, MANAGER_HEAL},
	{"5a unanswered", FACT_PENDING | FACT_OVERDUE | FACT_PRIMARY, MANAGER_HEAL},
	{"5b pending", FACT_PENDING | FACT_PRIMARY | FACT_OUT, MANAGER_WAIT},
	{"5b pending", FACT_PENDING | FACT_OVERDUE, MANAGER_WAIT},
	{"5b pending", FACT_PENDING | FACT_MAY_SWAP, MANAGER_WAIT},
	/* 6: neither in nor out */
	{"6 unused", FACT_PRIMARY | FACT_UNUSED, MANAGER_CLOSE},
	{"6 quiet", FACT_PRIMARY, MANAGER_REST},
	{"6 quiet", FACT_PRIMARY | FACT_OUTDATED, MANAGER_REST},
	/* 7: out, and nothing in */
	{"7 silent", FACT_PRIMARY | FACT_OUT, MANAGER_TEST},
	{"7 silent", FACT_PRIMARY | FACT_OUT | FACT_UNUSED | FACT_OUTDATED, MANAGER_TEST},
	/* 8: not primary */
	{"8 not used", 0, MANAGER_DOUBT},
	{"8 not used", FACT_OUT | FACT_MAY_SWAP | FACT_OUTDATED, MANAGER_DOUBT},
	{"8 not used", FACT_UNUSED, MANAGER_DOUBT},
};

Test(manager, table)
{
	bool seen[32] = {0};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct manager_row *row = manager_decide(cases[i].facts);

		cr_assert_str_eq(row->name, cases[i].row, "facts %x", cases[i].facts);
		cr_assert_eq(row->action, cases[i].action, "facts %x", cases[i].facts);
		seen[row - manager_rows] = true;
	}
	for (size_t i = 0; i < manager_row_count; i++)
		cr_assert(seen[i], "no case for row %s", manager_rows[i].name);
}

/* Every combination of facts has a row, and none takes traffic from a primary that answers. */
Test(manager, every_combination)
{
	for (uint32_t facts = 0; facts < FACT_OUTDATED * 2; facts++) {
		const struct manager_row *row = manager_decide(facts);
		uint32_t ends = FACT_BLOCKED | FACT_INVALID | FACT_EXHAUSTED;

		cr_assert_lt((size_t)(row - manager_rows), manager_row_count);
		if ((facts & (FACT_IN | FACT_PRIMARY)) == (FACT_IN | FACT_PRIMARY) &&
		    !(facts & ends))
			cr_assert(row->action == MANAGER_KEEP ||
				  row->action == MANAGER_REHANDSHAKE);
		if (row->action == MANAGER_SWAP)
			cr_assert(facts & FACT_IN, "only where the peer sends");
	}
}

/* --- many tunnels ------------------------------------------------------------------------------
 */

#define HOSTS   500
#define CREATED 10000
#define LIFE_NS 20000000000 /* of a tunnel, at most, before it falls silent */

struct world {
	uint64_t now_ns, random;
	uint64_t sent[16]; /* by wire type */
	struct outside outside;
	struct pki pki;
	struct hostmap *map;
	struct node *node;
	struct cert *certs[HOSTS];
};

static uint64_t draw(struct world *world, uint64_t below)
{
	world->random = world->random * 6364136223846793005u + 1442695040888963407u;
	return (world->random >> 33) % below;
}

static uint64_t now_ns(void *context)
{
	return ((struct world *)context)->now_ns;
}

static uint64_t wall_ns(void *context)
{
	return (uint64_t)VECTOR_NOW * 1000000000 + ((struct world *)context)->now_ns;
}

static void give_random(void *context, void *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		((uint8_t *)bytes)[i] = (uint8_t)draw(context, 256);
}

static void send_udp(void *context, const struct endpoint *to, const uint8_t *bytes, size_t length)
{
}

static void send_in_tunnel(void *context, uint32_t queue, struct tunnel_id tunnel,
			   enum wire_type wire, const struct endpoint *remote,
			   const uint8_t *payload, size_t length)
{
	struct world *world = context;
	struct tunnel_record *record = tunnels_by_id(&world->node->tunnels, tunnel);

	cr_assert(record);
	world->sent[wire >> 8]++;
}

static void resume(void *context, uint32_t queue, struct tunnel_id tunnel,
		   const struct waiting_run *run)
{
}

static void resume_end(void *context, uint32_t queue, const struct addr *host)
{
}

static void count_drops(void *context, enum drop reason, uint64_t packets)
{
}

static void no_log(void *context, enum outside_level level, const char *message,
		   const struct outside_field *fields, size_t count)
{
}

static struct tunnel_record *add_tunnel_of(struct world *world, struct cert *cert, bool initiator)
{
	struct node *node = world->node;
	struct machine_keys keys = {{0}, {0}};
	struct endpoint at = {addr_from_v4(0xc0000200 + (uint32_t)draw(world, 256)), 4242};
	struct tunnel_facts facts = {
		.own = world->pki.v1.cert,
		.cert = cert,
		.keys = &keys,
		.cipher = AEAD_AES256GCM,
		.remote_index = (uint32_t)draw(world, 1u << 31),
		.remote = &at,
		.initiator = initiator,
	};
	struct tunnel_record *record;

	cr_assert_eq(node_index_allocate(node, 0, &facts.local_index), 0);
	record = tunnels_add(&node->tunnels, &facts);
	cr_assert(record);
	cr_assert_eq(tunnels_enter_hosts(&node->tunnels, record), 0);
	return record;
}

static void add_tunnel(struct world *world)
{
	struct cert *cert = world->certs[draw(world, HOSTS)];

	struct tunnel_record *record = add_tunnel_of(world, cert, draw(world, 2));

	if (record->state == RECORD_UNCONFIRMED)
		tunnels_confirm(&world->node->tunnels, record);
	node_arm_sweep(world->node);
}

/* What workers would store, and what ends a tunnel early. */
static void disturb(struct world *world)
{
	struct node *node = world->node;
	struct tunnel_record *record = node->tunnels.all;

	for (uint64_t skip = draw(world, 50); record && record->next && skip > 0; skip--)
		record = record->next;
	if (!record || record->created_ns + LIFE_NS < world->now_ns)
		return;
	switch (draw(world, 8)) {
	case 0:
		tunnels_remove(&node->tunnels, record);
		break;
	case 1:
		if (record->state != RECORD_CLOSING)
			tunnels_close(&node->tunnels, record);
		break;
	case 2:
		tunnels_suspect(&node->tunnels, record);
		break;
	case 3:
	case 4:
		atomic_store(&record->tunnel->last_in_ns, world->now_ns);
		break;
	default:
		atomic_store(&record->tunnel->last_out_ns, world->now_ns);
		if (!atomic_exchange(&record->tunnel->watched, 1))
			node_on_active(node, record->tunnel->id);
	}
}

/* A tunnel may rest only if it is alone, primary, and not watched. */
static void all_are_kept(const struct node *node)
{
	for (struct tunnel_record *record = node->tunnels.all; record; record = record->next) {
		if (record->timer.position)
			continue;
		cr_assert_eq(record->state, RECORD_LIVE);
		cr_assert_eq(record->links[0].host->primary, record);
		cr_assert_eq(atomic_load(&record->tunnel->watched), 0);
	}
}

static void world_make(struct world *world)
{
	char error[PKI_ERROR_MAX];
	uint8_t seed[32] = {7}, key[CERT_CA_KEY_SIZE];
	struct cert wanted = {.version = CERT_VERSION_1, .is_ca = true, .name = "many"}, *ca;
	bool locked;

	world->random = 42;
	world->now_ns = 1000000000000;
	world->outside = (struct outside){
		.context = world,
		.now_ns = now_ns,
		.wall_ns = wall_ns,
		.random = give_random,
		.send_udp = send_udp,
		.send_in_tunnel = send_in_tunnel,
		.resume = resume,
		.resume_end = resume_end,
		.count_drop = count_drops,
		.log = no_log,
	};
	cr_assert_eq(pki_init(&world->pki), 0);
	cr_assert_eq(pki_load_ca(&world->pki, VECTOR_CA_PEM, VECTOR_NOW, error), 0, "%s", error);
	cr_assert_eq(pki_load_cert(&world->pki, VECTOR_HOST1_PEM, VECTOR_NOW, error), 0);
	crypto_sign_seed_keypair(wanted.public_key, key, seed);
	wanted.public_key_len = 32;
	wanted.not_after = VECTOR_NOW + 1000000;
	cr_assert_eq(cert_sign(&wanted, key, sizeof(key), &ca), CERT_OK);
	for (uint32_t i = 0; i < HOSTS; i++) {
		struct prefix network = {addr_from_v4(0x0a2b0000 + i), 112};
		struct cert host = {.version = CERT_VERSION_1,
				    .name = "host",
				    .has_issuer = true,
				    .networks = &network,
				    .network_count = 1,
				    .not_after = VECTOR_NOW + 900000,
				    .public_key_len = 32};
		memcpy(host.issuer, ca->fingerprint, sizeof(host.issuer));
		cr_assert_eq(cert_sign(&host, key, sizeof(key), &world->certs[i]), CERT_OK);
	}
	cert_unref(ca);
	world->map = hostmap_create(&locked);
	struct node_options options = {
		.cipher = AEAD_AES256GCM,
		.queues = 2,
		.workers = 2,
		.try_interval_ns = 100000000,
		.retries = 10,
		.drop_inactive = true,
		.inactivity_ns = 60000000000,
	};
	world->node = node_create(&options, &world->pki, world->map, &world->outside);
	cr_assert(world->map && world->node);
}

static void world_end(struct world *world)
{
	node_destroy(world->node);
	hostmap_garbage_release(world->map, hostmap_garbage_take(world->map));
	hostmap_destroy(world->map);
	for (uint32_t i = 0; i < HOSTS; i++)
		cert_unref(world->certs[i]);
	pki_free(&world->pki);
}

/* Of handshakes that nobody has proved yet: the host that begins many pays, not another one. */
Test(manager, who_has_many_unconfirmed_tunnels_pays)
{
	static struct world world;
	struct tunnels *tunnels;
	struct tunnel_id other, first;

	world_make(&world);
	tunnels = &world.node->tunnels;
	other = add_tunnel_of(&world, world.certs[0], false)->tunnel->id;
	first = add_tunnel_of(&world, world.certs[1], false)->tunnel->id;
	for (int i = 1; i < UNCONFIRMED_PER_HOST_MAX; i++) {
		tunnels_evict_unconfirmed(tunnels, &world.certs[1]->networks[0].addr);
		add_tunnel_of(&world, world.certs[1], false);
	}
	cr_assert_not_null(tunnels_by_id(tunnels, first), "so many it may have");
	tunnels_evict_unconfirmed(tunnels, &world.certs[1]->networks[0].addr);
	cr_assert_null(tunnels_by_id(tunnels, first), "its oldest");
	cr_assert_not_null(tunnels_by_id(tunnels, other));
	world_end(&world);
}

Test(manager, ten_thousand_tunnels_come_and_go)
{
	static struct world world;
	uint64_t end, most = 0;

	world_make(&world);
	for (int i = 0; i < CREATED; i++) {
		add_tunnel(&world);
		for (int j = 0; j < 4; j++)
			disturb(&world);
		if (node_tunnel_count(world.node) > most)
			most = node_tunnel_count(world.node);
		world.now_ns += draw(&world, 10000000);
		node_tick(world.node);
		if (i % 100 == 0)
			all_are_kept(world.node);
		hostmap_garbage_release(world.map, hostmap_garbage_take(world.map));
	}
	cr_assert_geq(most, HOSTS, "%llu at once", (unsigned long long)most);
	end = world.now_ns + 120000000000;
	while (node_next_deadline(world.node) < end) {
		world.now_ns = node_next_deadline(world.node);
		node_tick(world.node);
		all_are_kept(world.node);
	}
	cr_assert_eq(node_tunnel_count(world.node), 0);
	cr_assert_eq(node_pending_count(world.node), 0);
	cr_assert_eq(world.node->tunnels.timers.count, 0, "the wheel is empty");
	world_end(&world);
}
