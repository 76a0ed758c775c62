/* lies_sim.c - lighthouses and hosts that lie, or talk nonsense (PROTOCOL.md 13.6). */
#include <sodium.h>

#include "hub.h"

static void network(struct sim *sim)
{
	hub_add(sim);
	hub_start(sim);
	sim_run(sim, SIM_S);
}

/* What A is told about a host, or a host says of itself: never believed. */
static size_t lies_of(struct sim *sim, struct endpoint lies[16])
{
	static const struct addr six[] = {
		{{[15] = 1}},             /* loopback */
		{{0}},                    /* none */
		{{0xfe, 0x80, [15] = 7}}, /* link-local */
		{{0xff, 2, [15] = 1}},    /* multicast */
		{{[10] = 0xff, 0xff, 127, 0, 0, 1}},
	};
	static const uint32_t four[] = {0x7f000001, 0x7fffffff, 0,          0x00000001, 0xe0000001,
					0xffffffff, 0xa9fe0001, 0x0a2a0001, 0x0a2a0003};
	size_t count = 0;

	for (size_t i = 0; i < sizeof(four) / sizeof(four[0]); i++)
		lies[count++] = (struct endpoint){addr_from_v4(four[i]), 4242};
	for (size_t i = 0; i < sizeof(six) / sizeof(six[0]); i++)
		lies[count++] = (struct endpoint){six[i], 4242};
	lies[count++] = A->endpoint; /* our own socket */
	return count;
}

static bool was_sent_to(struct sim *sim, const struct endpoint *to)
{
	for (size_t i = 0; i < sim->sent_count; i++)
		if (endpoint_equal(&sim->sent[i].to, to) &&
		    !endpoint_equal(&sim->sent[i].from, to) &&
		    addr_equal(&sim->sent[i].from.addr, &A->endpoint.addr))
			return true;
	return false;
}

/* A asks for a host that nobody knows, and the lighthouse makes something up. */
static void lying_lighthouse(struct sim *sim)
{
	struct lighthouse_message reply = hub_message(LIGHTHOUSE_REPLY, 77);
	struct lighthouse_message punch = hub_message(LIGHTHOUSE_PUNCH, 77);
	struct endpoint lies[16], honest = sim_endpoint(66, 4242);
	size_t count;

	network(sim);
	count = lies_of(sim, lies);
	sim_send(A, 0, 77, 1);
	sim_run(sim, 50 * SIM_MS);
	for (size_t i = 0; i < count; i++) {
		uint64_t before = A->drops[DROP_LIGHTHOUSE_ADDRESS];

		for (int v6 = 0; v6 < 2; v6++) { /* an IPv4 address may come as IPv6 */
			reply.v4_count = punch.v4_count = !v6;
			reply.v6_count = punch.v6_count = v6;
			reply.v4[0] = reply.v6[0] = punch.v4[0] = punch.v6[0] = lies[i];
			if (!v6 && !addr_is_v4(&lies[i].addr))
				continue;
			hub_say(A, L, &reply);
			hub_say(A, L, &punch);
		}
		/* a message without an address, or that v4 field, is passed over by the decoder */
		cr_assert(A->drops[DROP_LIGHTHOUSE_ADDRESS] > before ||
				  addr_v4(&lies[i].addr) == 0 || addr_is_zero(&lies[i].addr),
			  "lie %zu", i);
		sim_run(sim, 10 * SIM_MS);
		cr_assert_eq(remotes_usable(hub_host(A, 77)->remotes), 0, "lie %zu", i);
	}
	reply.v4_count = 1;
	reply.v6_count = 0;
	reply.v4[0] = honest;
	hub_say(A, L, &reply);
	sim_run(sim, 2 * SIM_S);
	for (size_t i = 0; i < count; i++)
		cr_assert_not(was_sent_to(sim, &lies[i]), "lie %zu", i);
	cr_assert(was_sent_to(sim, &honest));
	sim_send(A, 0, 3, 1);
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(B, 2, 1), "nothing else is disturbed");
}

Test(sim_lies, lying_lighthouse)
{
	sim_seeds(4, lying_lighthouse);
}

/* Addresses of others: the host there answers, is not taken for the one that was called, and is not
 * called again; its own tunnels and those of the others do not notice. */
static void addresses_of_others(struct sim *sim)
{
	struct lighthouse_message reply = hub_message(LIGHTHOUSE_REPLY, 77);
	struct sim_node *bystander;
	size_t calls;

	hub_add(sim);
	bystander = sim_add(sim);
	sim_client(bystander, L);
	hub_start(sim);
	sim_run(sim, SIM_S);
	sim_send(B, 0, bystander->id, 1);
	sim_run(sim, SIM_S);
	sim_send(A, 0, 77, 1);
	sim_run(sim, 50 * SIM_MS);
	reply.v4[reply.v4_count++] = B->endpoint;
	reply.v4[reply.v4_count++] = bystander->endpoint;
	for (int i = 0; i < 20; i++, sim_run(sim, 100 * SIM_MS)) {
		hub_say(A, L, &reply);
		sim_send(B, 0, bystander->id, (uint64_t)(2 + i));
	}
	sim_run(sim, 10 * SIM_S);
	calls = sim_count(sim, &A->endpoint, &B->endpoint, WIRE_HANDSHAKE, 1) +
		sim_count(sim, &A->endpoint, &bystander->endpoint, WIRE_HANDSHAKE, 1);
	cr_assert_geq(A->drops[DROP_HANDSHAKE_HOST], 2);
	cr_assert_leq(calls, 6, "%zu", calls);
	cr_assert_eq(sim_got(bystander, B->id), 21, "nobody else is disturbed");
	cr_assert_null(sim_primary(A, 77));
	sim_send(A, 0, 3, 7);
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(B, 2, 7), "and B is reached as itself");
}

Test(sim_lies, addresses_of_others)
{
	sim_seeds(4, addresses_of_others);
}

/* A says that it is everywhere. The lighthouse keeps what can be, and hands out no more. */
static void lying_host(struct sim *sim)
{
	struct lighthouse_message update = hub_message(LIGHTHOUSE_UPDATE, 2);
	struct endpoint lies[16];
	struct remotes *remotes;
	size_t count;

	network(sim);
	count = lies_of(sim, lies) - 1; /* the last one is A's own, and right */
	remotes = hub_host(L, 2)->remotes;
	for (size_t i = 0; i < count; i++) {
		if (addr_is_v4(&lies[i].addr))
			update.v4[update.v4_count++] = lies[i];
		else
			update.v6[update.v6_count++] = lies[i];
	}
	update.v4[update.v4_count++] = L->endpoint; /* the lighthouse's own socket */
	hub_say(L, A, &update);
	cr_assert_eq(remotes->count, 1, "what was learned: %u", remotes->count);
	cr_assert_geq(L->drops[DROP_LIGHTHOUSE_ADDRESS], 10);
	sim_send(B, 0, 2, 1);
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(A, 3, 1));
}

Test(sim_lies, lying_host)
{
	sim_seeds(4, lying_host);
}

/* On one machine, over loopback, such addresses are the truth. */
static void all_on_loopback(struct sim *sim)
{
	for (int i = 0; i < 3; i++) {
		sim_add(sim);
		sim->nodes[i].endpoint =
			(struct endpoint){addr_from_v4(0x7f000001), (uint16_t)(5001 + i)};
		sim->nodes[i].options.udp_port = (uint16_t)(5001 + i);
	}
	sim_client(A, L);
	sim_client(B, L);
	for (int i = 0; i < 3; i++)
		sim_start_node(&sim->nodes[i]);
	sim_run(sim, SIM_S);
	sim_send(A, 0, 3, 1);
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(B, 2, 1));
}

Test(sim_lies, all_on_loopback)
{
	sim_seeds(4, all_on_loopback);
}

/* A hundred thousand reports with addresses that are all different: so many are kept. */
static void flood_of_updates(struct sim *sim)
{
	struct lighthouse_message update = hub_message(LIGHTHOUSE_UPDATE, 2);
	struct remotes *remotes;
	size_t hosts;

	network(sim);
	sim->recording = false;
	remotes = hub_host(L, 2)->remotes;
	hosts = L->node->tunnels.by_addr.count;
	update.v4_count = LIGHTHOUSE_ENTRIES_MAX;
	for (uint32_t i = 0; i < 100000; i++) {
		for (uint32_t j = 0; j < LIGHTHOUSE_ENTRIES_MAX; j++)
			update.v4[j] = (struct endpoint){
				addr_from_v4(0xc8000000 + i * LIGHTHOUSE_ENTRIES_MAX + j), 4242};
		hub_say(L, A, &update);
		if (i % 1000 == 0)
			sim_run(sim, SIM_MS);
	}
	sim_run(sim, SIM_S);
	cr_assert_eq(remotes->count, 1 + REPORTED_MAX);
	cr_assert_eq(L->node->tunnels.by_addr.count, hosts);
	cr_assert_leq(hostmap_by_addr(L->map, &A->addr)->card->reply_bytes[CARD_V2],
		      LIGHTHOUSE_BYTES_MAX);
	sim_send(B, 0, 2, 1);
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(A, 3, 1));
}

Test(sim_lies, flood_of_updates)
{
	sim_seeds(1, flood_of_updates);
}

/* Every message, cut at every byte and with every byte changed: counted or understood, no more. */
static void nonsense(struct sim *sim)
{
	static const enum lighthouse_type types[] = {LIGHTHOUSE_QUERY, LIGHTHOUSE_REPLY,
						     LIGHTHOUSE_UPDATE, LIGHTHOUSE_PUNCH,
						     LIGHTHOUSE_ACK};
	uint8_t bytes[LIGHTHOUSE_BYTES_MAX], changed[LIGHTHOUSE_BYTES_MAX];
	size_t length;

	network(sim);
	sim->recording = false;
	for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++) {
		struct lighthouse_message message = hub_message(types[t], 2);

		message.v4[message.v4_count++] = sim_endpoint(66, 4242);
		message.v6[message.v6_count++] = (struct endpoint){{{0x20, 1, [15] = 1}}, 4242};
		message.relays[message.relay_count++] = addr_from_v4(0x0a2a0009);
		length = lighthouse_encode(&message, bytes, sizeof(bytes));
		for (size_t cut = 0; cut < length; cut++) {
			sim_opened(L, A, WIRE_LIGHTHOUSE, bytes, cut);
			sim_opened(A, L, WIRE_LIGHTHOUSE, bytes, cut);
		}
		for (size_t at = 0; at < length; at++)
			for (unsigned bit = 0; bit < 8; bit++) {
				memcpy(changed, bytes, length);
				changed[at] ^= (uint8_t)(1u << bit);
				sim_opened(L, A, WIRE_LIGHTHOUSE, changed, length);
				sim_opened(A, L, WIRE_LIGHTHOUSE, changed, length);
			}
		sim_run(sim, 100 * SIM_MS);
	}
	cr_assert_gt(L->drops[DROP_LIGHTHOUSE_INVALID], 100);
	cr_assert_gt(A->drops[DROP_LIGHTHOUSE_INVALID], 100);
	sim_run(sim, 12 * SIM_S); /* the next report puts right what was said about A */
	sim_send(B, 0, 2, 1);
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(A, 3, 1));
}

Test(sim_lies, nonsense)
{
	sim_seeds(2, nonsense);
}

/* A certificate that was copied to a second host: both report, the last word counts, B reaches one
 * of them, and whatever either does, L and B go on. */
static void one_certificate_twice(struct sim *sim)
{
	struct sim_node *twin;

	for (int i = 0; i < 4; i++)
		sim_add(sim);
	twin = &sim->nodes[3];
	sim_identify(twin, &(struct sim_identity){.cert_id = 2});
	twin->addr = A->addr;
	sim_client(A, L);
	sim_client(B, L);
	sim_client(twin, L);
	for (int i = 0; i < 4; i++)
		sim_start_node(&sim->nodes[i]);
	sim_run(sim, 30 * SIM_S);
	cr_assert_leq(node_tunnel_count(L->node), 2 + 2 * TUNNELS_PER_HOST_MAX);
	cr_assert_gt(L->stats[STAT_HOST_TWINS], 0, "and it is to be seen");
	for (uint64_t i = 1; i <= 10; i++) {
		sim_send(B, 0, 2, i);
		sim_run(sim, SIM_S);
	}
	cr_assert_gt(sim_got(A, 3) + sim_got(twin, 3), 5);
	cr_assert(sim_primary(L, 3), "B's tunnel is not touched");
	sim_kill_node(twin);
	sim_run(sim, 15 * SIM_S);
	sim_send(B, 0, 2, 99);
	sim_run(sim, 4 * SIM_S);
	sim_send(B, 0, 2, 100);
	sim_run(sim, 4 * SIM_S);
	cr_assert(sim_got_number(A, 3, 100), "the one that is left is reached");
}

Test(sim_lies, one_certificate_twice)
{
	sim_seeds(10, one_certificate_twice);
}
