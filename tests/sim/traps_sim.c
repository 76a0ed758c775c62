/*
 * traps_sim.c - bad input for whole nodes: messages cut and changed at every byte, two hosts with
 * one certificate, hosts whose addresses overlap, and PROTOCOL.md 13.2 row 24. Whatever comes,
 * others must not notice.
 */
#include "peers/lighthouse_wire.h"
#include "peers/node_state.h"
#include "sim.h"
#include "wire.h"

#define A (&sim->nodes[0])
#define B (&sim->nodes[1])
#define C (&sim->nodes[2])
#define D (&sim->nodes[3])

/* Everybody knows where everybody is. */
static void mesh(struct sim *sim, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		sim_add(sim);
	for (uint32_t i = 0; i < count; i++)
		for (uint32_t j = 0; j < count; j++)
			if (i != j)
				sim_static(&sim->nodes[i], j + 1, &sim->nodes[j].endpoint);
	for (uint32_t i = 0; i < count; i++)
		sim_start_node(&sim->nodes[i]);
	sim->recording = true;
}

static void connect_pair(struct sim *sim, struct sim_node *from, struct sim_node *to)
{
	sim_send(from, 0, to->id, 1);
	sim_run(sim, 500 * SIM_MS);
	sim_send(to, 0, from->id, 1);
	sim_run(sim, 500 * SIM_MS);
	cr_assert(sim_got_number(to, from->id, 1) && sim_got_number(from, to->id, 1));
}

/* --- handshakes, cut and changed ---------------------------------------------------------------
 */

static uint64_t handshake_drops(const struct sim_node *node)
{
	return node->drops[DROP_HANDSHAKE_INVALID] + node->drops[DROP_HANDSHAKE_CERTIFICATE] +
	       node->drops[DROP_HANDSHAKE_STALE] + node->drops[DROP_HANDSHAKE_OVERLOAD];
}

/* Cut at every byte, then with every byte changed, to to, a millisecond apart. */
static unsigned mangle(struct sim *sim, const struct endpoint *from, const struct endpoint *to,
		       const struct sim_datagram *genuine, uint64_t apart_ns)
{
	uint8_t bytes[1000];
	uint64_t delay = 0;
	unsigned sent = 0;

	cr_assert_leq(genuine->length, sizeof(bytes));
	for (uint32_t cut = WIRE_HEADER_BYTES; cut < genuine->length; cut++, sent++)
		sim_inject(sim, from, to, genuine->bytes, cut, delay += apart_ns);
	for (uint32_t i = 1; i < genuine->length; i++, sent++) {
		memcpy(bytes, genuine->bytes, genuine->length);
		bytes[i] ^= 0x81;
		sim_inject(sim, from, to, bytes, genuine->length, delay += apart_ns);
	}
	return sent;
}

/*
 * Stage 1 is not authenticated: with another ephemeral key, index or time it is one that its
 * sender might have made, and makes an unconfirmed tunnel. All else is counted, C's tunnel with B
 * is not touched, and A gets its own.
 */
static void mangled_stage_1(struct sim *sim)
{
	struct sim_datagram *stage1;
	struct tunnel *before;
	unsigned sent;

	mesh(sim, 3);
	connect_pair(sim, C, B);
	before = sim_primary(B, 3);
	sim_cut(A, B, true);
	sim_send(A, 0, 2, 1);
	sim_run(sim, 300 * SIM_MS);
	stage1 = sim_find(sim, &A->endpoint, &B->endpoint, WIRE_HANDSHAKE, 1, 0);
	cr_assert(stage1);
	sent = mangle(sim, &A->endpoint, &B->endpoint, stage1, 10 * SIM_MS);
	sim_run(sim, 10 * SIM_MS * sent);
	cr_assert_geq(handshake_drops(B), sent - 60, "%llu of %u",
		      (unsigned long long)handshake_drops(B), sent);
	cr_assert_leq(B->node->tunnels.unconfirmed, UNCONFIRMED_PER_HOST_MAX);
	cr_assert_eq(sim_primary(B, 3), before);
	sim_cut(A, B, false);
	sim_run(sim, 2 * SIM_S); /* A's attempts end */
	sim_send(A, 0, 2, 2);
	sim_run(sim, 2 * SIM_S);
	cr_assert(sim_got_number(B, 1, 2));
	sim_send(C, 0, 2, 2);
	sim_run(sim, 10 * SIM_S);
	cr_assert(sim_got_number(B, 3, 2));
	sim_check_rest(B);
}

Test(sim_traps, stage_1_cut_and_changed)
{
	sim_seeds(2, mangled_stage_1);
}

/* Nothing that is not B's answer ends the handshake, or is taken for it. */
static void mangled_stage_2(struct sim *sim)
{
	struct sim_datagram *stage1, *stage2;
	unsigned sent;

	sim->weather.delay_min_ns = sim->weather.delay_max_ns = 40 * SIM_MS;
	mesh(sim, 2);
	sim_send(A, 0, 2, 1);
	sim_run(sim, 45 * SIM_MS);
	stage1 = sim_find(sim, &A->endpoint, &B->endpoint, WIRE_HANDSHAKE, 1, 0);
	stage2 = sim_find(sim, &B->endpoint, &A->endpoint, WIRE_HANDSHAKE, 2, 0);
	cr_assert(stage1 && stage2);
	sent = mangle(sim, &B->endpoint, &A->endpoint, stage2, 50000);
	sim_run(sim, 30 * SIM_MS);
	cr_assert_eq(node_tunnel_count(A->node), 0);
	cr_assert_eq(node_pending_count(A->node), 1);
	cr_assert_geq(handshake_drops(A), sent - 20);
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(B, 1, 1));
	cr_assert_eq(sim_count(sim, NULL, NULL, WIRE_HANDSHAKE, 1), 1, "at the first attempt");
}

Test(sim_traps, stage_2_cut_and_changed)
{
	sim_seeds(2, mangled_stage_2);
}

/* --- lighthouse messages -----------------------------------------------------------------------
 */

static const enum lighthouse_type lighthouse_types[] = {
	LIGHTHOUSE_QUERY, LIGHTHOUSE_REPLY, LIGHTHOUSE_UPDATE, LIGHTHOUSE_PUNCH, LIGHTHOUSE_ACK};

/* To and fro: A is the lighthouse, B says it to A and A to B. */
static void say_mangled(struct sim *sim, const uint8_t *bytes, size_t length)
{
	uint8_t changed[LIGHTHOUSE_BYTES_MAX];

	for (size_t cut = 0; cut < length; cut++) {
		sim_opened(A, B, WIRE_LIGHTHOUSE, bytes, cut);
		sim_opened(B, A, WIRE_LIGHTHOUSE, bytes, cut);
		sim_run(sim, SIM_MS);
	}
	for (size_t i = 0; i < length; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			memcpy(changed, bytes, length);
			changed[i] ^= (uint8_t)(1 << bit);
			sim_opened(A, B, WIRE_LIGHTHOUSE, changed, length);
			sim_opened(B, A, WIRE_LIGHTHOUSE, changed, length);
			sim_run(sim, SIM_MS);
		}
	}
}

/* Whatever B says is about B alone: what the lighthouse knows of C stays, and C is found. */
static void mangled_lighthouse_messages(struct sim *sim)
{
	uint8_t bytes[LIGHTHOUSE_BYTES_MAX];
	struct lighthouse_message message;
	size_t length;

	for (int i = 0; i < 3; i++)
		sim_add(sim);
	sim_client(B, A);
	sim_client(C, A);
	for (int i = 0; i < 3; i++)
		sim_start_node(&sim->nodes[i]);
	sim_run(sim, SIM_S);
	for (size_t i = 0; i < sizeof(lighthouse_types) / sizeof(lighthouse_types[0]); i++) {
		for (unsigned form = 0; form < 2; form++) {
			message = (struct lighthouse_message){
				.type = lighthouse_types[i],
				.form = form ? LIGHTHOUSE_V2 : LIGHTHOUSE_V1,
				.has_addr = true,
				.addr = B->addr,
				.v4_count = 2,
				.v4 = {sim_endpoint(77, 1), sim_endpoint(78, 2)},
				.relay_count = 1,
				.relays = {C->addr},
			};
			length = lighthouse_encode(&message, bytes, sizeof(bytes));
			cr_assert_gt(length, 0);
			say_mangled(sim, bytes, length);
		}
	}
	cr_assert_gt(A->drops[DROP_LIGHTHOUSE_INVALID], 500);
	cr_assert_gt(B->drops[DROP_LIGHTHOUSE_INVALID], 500);
	sim_run(sim, 15 * SIM_S);
	sim_send(B, 0, 3, 1);
	sim_run(sim, 3 * SIM_S);
	cr_assert(sim_got_number(C, 2, 1));
	sim_run(sim, 40 * SIM_S);
	for (int i = 0; i < 3; i++)
		sim_check_rest(&sim->nodes[i]);
}

Test(sim_traps, lighthouse_messages_cut_and_changed)
{
	sim_seeds(2, mangled_lighthouse_messages);
}

/* --- hosts that share what should be their own -------------------------------------------------
 */

/*
 * C is a copy of B: certificate and key. Who of them gets the packets for their address is a matter
 * of who spoke last; A and D, and whatever they have with each other, must not notice, and nobody
 * makes handshakes without end.
 */
static void one_certificate(struct sim *sim)
{
	struct sim_identity copy = {.cert_id = 2, .key_id = 2};
	size_t handshakes;

	for (int i = 0; i < 4; i++)
		sim_add(sim);
	sim_identify(C, &copy);
	for (int i = 1; i < 4; i++)
		sim_client(&sim->nodes[i], A);
	for (int i = 0; i < 4; i++)
		sim_start_node(&sim->nodes[i]);
	sim->recording = true;
	sim_run(sim, SIM_S);
	for (uint64_t i = 1; i <= 240; i++) {
		sim_send(D, 0, 1, i);
		sim_send(A, 0, 4, i);
		sim_send(D, 1, 2, i);
		sim_send(B, 0, 4, i);
		sim_send(C, 0, 4, i);
		sim_run(sim, 250 * SIM_MS);
	}
	cr_assert_eq(sim_got(A, 4), 240);
	cr_assert_eq(sim_got(D, 1), 240);
	cr_assert_gt(sim_got(B, 4) + sim_got(C, 4), 100);
	cr_assert_gt(sim_got(D, 2), 100, "B's");
	cr_assert_gt(sim_got(D, 3), 100, "C's");
	handshakes = sim_count(sim, NULL, NULL, WIRE_HANDSHAKE, 1);
	cr_assert_lt(handshakes, 240, "%zu", handshakes);
	sim_run(sim, 60 * SIM_S);
	for (int i = 0; i < 4; i++)
		sim_check_rest(&sim->nodes[i]);
}

Test(sim_traps, two_hosts_with_one_certificate)
{
	sim_seeds(6, one_certificate);
}

/* A certificate that says an address twice has one tunnel there, which goes like any other. */
static void an_address_twice(struct sim *sim)
{
	struct sim_identity identity = {.also = {2, 7, 7}};
	struct node_host_view host;

	sim_add(sim);
	sim_add(sim);
	sim_identify(&sim->nodes[1], &identity);
	sim_static(A, 2, &sim->nodes[1].endpoint);
	sim_start_node(A);
	sim_start_node(&sim->nodes[1]);
	sim_send(A, 0, 2, 1);
	sim_run(sim, SIM_S);
	cr_assert(sim_got_number(&sim->nodes[1], 1, 1));
	node_query_host(A->node, &sim->nodes[1].addr, &host);
	cr_assert_eq(host.tunnel_count, 1);
	sim_kill_node(&sim->nodes[1]);
	sim_send(A, 0, 2, 2);
	sim_run(sim, 60 * SIM_S);
	cr_assert_eq(node_tunnel_count(A->node), 0);
	sim_check_rest(A);
}

Test(sim_traps, an_address_twice)
{
	sim_seeds(2, an_address_twice);
}

/*
 * Peers with several addresses, some of which others have too, come, change and go. sim_check()
 * looks after every event whether each address leads where it should; at the end nothing is left.
 */
static void overlapping_addresses(struct sim *sim)
{
	sim->weather = (struct sim_weather){
		.loss = 20, .duplicate = 20, .delay_min_ns = SIM_MS, .delay_max_ns = 30 * SIM_MS};
	for (int i = 0; i < 5; i++)
		sim_add(sim);
	for (int i = 1; i < 5; i++)
		sim_client(&sim->nodes[i], A);
	for (int i = 0; i < 5; i++)
		sim_start_node(&sim->nodes[i]);
	for (uint64_t number = 1; number <= 400; number++) {
		struct sim_node *node = &sim->nodes[1 + sim_random(sim, 4)];

		if (sim_random(sim, 20) == 0) {
			struct sim_identity identity = {0};

			for (unsigned i = 0; i < 3; i++)
				identity.also[i] = (uint32_t)sim_random(sim, 2) *
						   (6 + i * 2 + (uint32_t)sim_random(sim, 3));
			if (sim_random(sim, 2))
				node_shutdown(node->node);
			sim_run(sim, SIM_MS);
			sim_kill_node(node);
			sim_identify(node, &identity);
			sim_start_node(node);
		}
		sim_send(node, (uint32_t)sim_random(sim, 2), 1 + (uint32_t)sim_random(sim, 12),
			 number);
		sim_run(sim, sim_random(sim, 200 * SIM_MS));
	}
	for (int i = 1; i < 5; i++)
		sim_kill_node(&sim->nodes[i]);
	sim_run(sim, SIM_S);
	for (uint32_t i = 2; i <= 12; i++)
		sim_send(A, 0, i, 1000);
	sim_run(sim, 150 * SIM_S); /* one after the other is found dead */
	sim_check_rest(A);
	cr_assert_eq(node_tunnel_count(A->node), 0);
	cr_assert_eq(A->node->tunnels.by_addr.count, 0);
}

Test(sim_traps, addresses_that_overlap)
{
	sim_seeds(20, overlapping_addresses);
	sim_seed(76, overlapping_addresses); /* a suspect tunnel came back as heard just now */
}

/* --- a pending handshake beside a tunnel of the peer's (13.2 row 24) ---------------------------
 */

/*
 * A looks for B where nobody is; B begins meanwhile. A's packets leave on B's tunnel, in order, and
 * A's own handshake ends without harm.
 */
static void pending_beside(struct sim *sim)
{
	struct endpoint nowhere = sim_endpoint(240, 1);

	sim_add(sim);
	sim_add(sim);
	sim_static(A, 2, &nowhere);
	sim_static(B, 1, &A->endpoint);
	sim_start_node(A);
	sim_start_node(B);
	for (uint64_t i = 1; i <= 10; i++)
		sim_send(A, (uint32_t)(i % 2), 2, i);
	sim_run(sim, 700 * SIM_MS);
	cr_assert_eq(node_pending_count(A->node), 1);
	sim_send(B, 0, 1, 1);
	sim_run(sim, 200 * SIM_MS);
	cr_assert(sim_got_number(A, 2, 1));
	cr_assert_eq(sim_got(B, 1), 10);
	cr_assert_eq(A->node->tunnels.held_bytes, 0);
	sim_run(sim, 8 * SIM_S);
	cr_assert_eq(node_pending_count(A->node), 0);
	cr_assert_eq(node_tunnel_count(A->node), 1);
	cr_assert_eq(A->drops[DROP_PENDING_TIMEOUT] + A->drops[DROP_PENDING_FULL], 0);
}

Test(sim_traps, a_pending_handshake_beside_the_peers_tunnel)
{
	sim_seeds(6, pending_beside);
}
