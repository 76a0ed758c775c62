/* reload_identity_sim.c - nodes that take up a new certificate, or trust others, while they carry
 * traffic. */
#include <sodium.h>
#include <stdlib.h>

#include "identity/pem.h"
#include "peers/node_query.h"
#include "peers/node_state.h"
#include "pair.h"

/* The node takes up next; the identity before is freed at once, as the product does. */
static void take_up(struct sim_node *node, struct pki *next)
{
	node_reconfigure(node->node, &node->options, next);
	pki_free(&node->pki);
}

static const struct cert *cert_seen(struct sim_node *at, const struct sim_node *of)
{
	struct node_tunnel_view view;

	return node_query_tunnel(at->node, &of->addr, 0, &view) ? view.cert : NULL;
}

/* Numbers first.. from one to the other, one each interval, for as long as duration. */
static uint64_t stream(struct sim *sim, struct sim_node *from, struct sim_node *to, uint64_t first,
		       uint64_t interval_ns, uint64_t duration_ns)
{
	uint64_t end = sim->now_ns + duration_ns;

	for (; sim->now_ns < end; sim_run(sim, interval_ns), first++)
		sim_send(from, (uint32_t)(first % 2), to->id, first);
	return first;
}

static void renews(struct sim *sim, bool back)
{
	struct sim_identity identity = {.not_after = (int64_t)SIM_WALL_S + 400000000};
	struct pki next;
	size_t before;
	uint64_t number;

	pair_connect_only(sim);
	next = sim_identity_of(A, &identity);
	before = back ? sim_got(A, 2) : sim_got(B, 1);
	number = back ? stream(sim, B, A, 10, 10 * SIM_MS, SIM_S)
		      : stream(sim, A, B, 10, 10 * SIM_MS, SIM_S);
	take_up(A, &next);
	number = back ? stream(sim, B, A, number, 10 * SIM_MS, 7 * SIM_S)
		      : stream(sim, A, B, number, 10 * SIM_MS, 7 * SIM_S);
	sim_run(sim, SIM_S);
	cr_assert_eq((back ? sim_got(A, 2) : sim_got(B, 1)) - before, number - 10,
		     "a packet was lost");
	cr_assert(cert_seen(B, A), "no tunnel");
	cr_assert_eq(cert_seen(B, A)->not_after, identity.not_after, "B still sees the old one");
	sim_run(sim, 60 * SIM_S);
	cr_assert_leq(node_tunnel_count(A->node), 1, "the old tunnel stays");
	sim_kill_node(A);
	pki_free(&next);
}

static void renews_while_sending(struct sim *sim)
{
	renews(sim, false);
}

static void renews_while_receiving(struct sim *sim)
{
	renews(sim, true);
}

/* 8.4: shown by a handshake beside the live tunnel; no packet is lost, the old tunnel goes. */
Test(reload_identity, a_new_certificate_is_shown_beside_live_traffic)
{
	sim_seeds(20, renews_while_sending);
}

/* A tunnel that only the peer uses is watched by no timer: the sweep sees to it. */
Test(reload_identity, a_new_certificate_is_shown_to_a_peer_that_only_sends)
{
	sim_seeds(20, renews_while_receiving);
}

/* Idle tunnels shake hands when they are used next, not before: no storm on a reload. */
static void idle(struct sim *sim)
{
	struct sim_identity identity = {.not_after = (int64_t)SIM_WALL_S + 400000000};
	struct pki next;
	size_t before;

	pair_connect_only(sim);
	sim_run(sim, 60 * SIM_S);
	next = sim_identity_of(A, &identity);
	before = sim_count(sim, &A->endpoint, NULL, WIRE_HANDSHAKE, 1);
	take_up(A, &next);
	sim_run(sim, 60 * SIM_S);
	cr_assert_eq(sim_count(sim, &A->endpoint, NULL, WIRE_HANDSHAKE, 1), before);
	stream(sim, B, A, 10, 100 * SIM_MS, 7 * SIM_S);
	cr_assert_eq(cert_seen(B, A)->not_after, identity.not_after);
	sim_kill_node(A);
	pki_free(&next);
}

Test(reload_identity, an_idle_tunnel_is_renewed_when_it_is_used)
{
	sim_seeds(10, idle);
}

/* A handshake under way shows the old certificate and hangs on the old keys: it begins anew. */
static void pending(struct sim *sim)
{
	struct sim_identity identity = {.not_after = (int64_t)SIM_WALL_S + 400000000};
	struct pki next;

	pair_start(sim, false);
	next = sim_identity_of(A, &identity);
	sim_kill_node(B);
	for (uint64_t i = 1; i <= 20; i++)
		sim_send(A, 0, 2, i);
	sim_run(sim, 300 * SIM_MS);
	take_up(A, &next);
	sim_start_node(B);
	sim_run(sim, 3 * SIM_S);
	cr_assert_eq(sim_got(B, 1), 20, "%zu of what waited arrived", sim_got(B, 1));
	cr_assert(sim_in_order(B, 1));
	cr_assert_eq(cert_seen(B, A)->not_after, identity.not_after);
	sim_kill_node(A);
	pki_free(&next);
}

Test(reload_identity, a_pending_handshake_begins_anew_with_the_new_certificate)
{
	sim_seeds(10, pending);
}

static void block(struct sim *sim)
{
	char hex[CERT_FINGERPRINT_HEX_MAX];
	struct pki next;

	pair_connect_only(sim);
	next = sim_identity_of(A, &(struct sim_identity){0});
	cert_fingerprint_hex(B->pki.v1.cert->fingerprint, hex);
	cr_assert_eq(blocklist_add(next.blocklist, hex), 0);
	take_up(A, &next);
	sim_run(sim, 100 * SIM_MS);
	cr_assert_null(sim_primary(A, 2), "the tunnel of a blocked host carries on");
	cr_assert_eq(sim_count(sim, &A->endpoint, &B->endpoint, WIRE_CLOSE_TUNNEL, 0), 1);
	stream(sim, B, A, 100, 100 * SIM_MS, 8 * SIM_S);
	stream(sim, A, B, 100, 100 * SIM_MS, 8 * SIM_S);
	cr_assert(!sim_got_number(A, 2, 101) && !sim_got_number(B, 1, 101));
	sim_kill_node(A);
	pki_free(&next);
}

/* 8.2 row 1, without disconnect_invalid. */
Test(reload_identity, tunnels_of_a_blocked_host_close)
{
	sim_seeds(10, block);
}

/* A pool that trusts a CA nobody here has a certificate of. */
static struct ca_pool *strangers(void)
{
	uint8_t seed[32] = {[0] = 99}, key[CERT_CA_KEY_SIZE], *bytes;
	struct cert wanted = {.version = CERT_VERSION_1, .is_ca = true, .name = "another CA"};
	char *pem, error[CA_POOL_DETAIL_MAX];
	struct ca_pool *pool;
	struct cert *ca;
	size_t length;

	crypto_sign_seed_keypair(wanted.public_key, key, seed);
	wanted.public_key_len = 32;
	wanted.not_before = (int64_t)SIM_WALL_S - 100000000;
	wanted.not_after = (int64_t)SIM_WALL_S + 1000000000;
	cr_assert_eq(cert_sign(&wanted, key, sizeof(key), &ca), CERT_OK);
	cr_assert_eq(cert_encode(ca, &bytes, &length), 0);
	pem = pem_encode(PEM_CERTIFICATE, bytes, length, &length);
	cr_assert_eq(ca_pool_load(pem, length, &pool, NULL, error), 0, "%s", error);
	sodium_free(pem);
	free(bytes);
	cert_unref(ca);
	return pool;
}

static void lose_ca(struct sim *sim)
{
	struct pki next;

	pair_connect_only(sim);
	next = sim_identity_of(A, &(struct sim_identity){0});
	ca_pool_free(next.ca);
	next.ca = strangers();
	A->options.disconnect_invalid = sim->seed % 2;
	take_up(A, &next);
	sim_run(sim, 6 * SIM_S);
	cr_assert_eq(sim_primary(A, 2) == NULL, sim->seed % 2, "disconnect_invalid");
	/* Even where it stays, nobody new comes in. */
	stream(sim, A, B, 100, 100 * SIM_MS, SIM_S);
	cr_assert_eq(sim_got_number(B, 1, 105), sim->seed % 2 == 0);
	sim_kill_node(A);
	pki_free(&next);
}

/* Trap 38. What was verified once is verified again: the cache of signatures is of the old CAs. */
Test(reload_identity, tunnels_of_a_ca_that_is_trusted_no_more_close)
{
	sim_seeds(10, lose_ca);
}
