/*
 * node_test.c - single decisions of the node, with a recording outside. Whole exchanges between
 * nodes are tested in tests/sim.
 */
#include <stdlib.h>

#include "cert_helpers.h"
#include "handshake/payload.h"
#include "peers/node_state.h"

TestSuite(node);

enum call_type { SEND_UDP, SEND_IN_TUNNEL, RESUME, RESUME_END };

struct call {
	enum call_type type;
	uint32_t queue;
	enum wire_type wire;
	uint8_t bytes[HANDSHAKE_BYTES_MAX];
	size_t length;
};

/* One node, host1, that was told of host2, and the machine of host2 at the other end. */
struct bench {
	uint64_t now_ns, wall_ns;
	uint8_t random[128];
	size_t random_length, random_at; /* what the generator gives first */
	struct call calls[64];
	size_t call_count;
	uint64_t drops[DROPS];
	struct outside outside;
	struct pki pki, peer_pki;
	struct machine_self peer_self;
	struct machine machine;
	struct machine_keys keys;
	struct hostmap *map;
	struct node *node;
};

static const struct endpoint peer_at = {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 2}},
					4242};

static uint64_t now_ns(void *context)
{
	return ((struct bench *)context)->now_ns;
}

static uint64_t wall_ns(void *context)
{
	return ((struct bench *)context)->wall_ns;
}

static void give_random(void *context, void *bytes, size_t length)
{
	struct bench *bench = context;

	if (bench->random_at + length <= bench->random_length) {
		memcpy(bytes, bench->random + bench->random_at, length);
		bench->random_at += length;
		return;
	}
	randombytes_buf(bytes, length);
}

static struct call *add_call(struct bench *bench, enum call_type type, const void *bytes,
			     size_t length)
{
	struct call *call = &bench->calls[bench->call_count++];

	cr_assert_leq(bench->call_count, sizeof(bench->calls) / sizeof(bench->calls[0]));
	call->type = type;
	call->length = length;
	if (length)
		memcpy(call->bytes, bytes, length);
	return call;
}

static void send_udp(void *context, const struct endpoint *to, const uint8_t *bytes, size_t length)
{
	add_call(context, SEND_UDP, bytes, length);
}

static void send_in_tunnel(void *context, uint32_t queue, struct tunnel_id tunnel,
			   enum wire_type wire, const struct endpoint *remote,
			   const uint8_t *payload, size_t length)
{
	struct call *call = add_call(context, SEND_IN_TUNNEL, payload, length);

	call->queue = queue;
	call->wire = wire;
}

static void resume(void *context, uint32_t queue, struct tunnel_id tunnel,
		   const struct waiting_run *run)
{
	add_call(context, RESUME, run->bytes, run->length)->queue = queue;
}

static void resume_end(void *context, uint32_t queue, const struct addr *host)
{
	add_call(context, RESUME_END, NULL, 0)->queue = queue;
}

static void count_a_drop(void *context, enum drop reason, uint64_t packets)
{
	((struct bench *)context)->drops[reason] += packets;
}

static void no_log(void *context, enum outside_level level, const char *message,
		   const struct outside_field *fields, size_t count)
{
}

static void load(struct pki *pki, const char *cert, const char *key)
{
	char error[PKI_ERROR_MAX];

	cr_assert_eq(pki_init(pki), 0);
	cr_assert_eq(pki_load_ca(pki, VECTOR_CA_PEM, VECTOR_NOW, error), 0, "%s", error);
	cr_assert_eq(pki_load_cert(pki, cert, VECTOR_NOW, error), 0, "%s", error);
	cr_assert_eq(pki_load_key(pki, key, error), 0, "%s", error);
}

static struct addr peer_addr(void)
{
	return addr_from_v4(0x0a2a0002);
}

static struct bench *bench_make(uint32_t queues)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	struct node_static_host host = {peer_addr(), 1, {peer_at}};
	bool locked;

	cr_assert(bench);
	bench->now_ns = 5000000000;
	bench->wall_ns = (uint64_t)VECTOR_NOW * 1000000000;
	bench->outside = (struct outside){
		.context = bench,
		.now_ns = now_ns,
		.wall_ns = wall_ns,
		.random = give_random,
		.send_udp = send_udp,
		.send_in_tunnel = send_in_tunnel,
		.resume = resume,
		.resume_end = resume_end,
		.count_drop = count_a_drop,
		.log = no_log,
	};
	load(&bench->pki, VECTOR_HOST1_PEM, VECTOR_HOST1_KEY_PEM);
	load(&bench->peer_pki, VECTOR_HOST2_PEM, VECTOR_HOST2_KEY_PEM);
	bench->peer_self = (struct machine_self){AEAD_AES256GCM, &bench->peer_pki, NULL};
	bench->map = hostmap_create(&locked);
	struct node_options options = {
		.cipher = AEAD_AES256GCM,
		.queues = queues,
		.workers = queues,
		.try_interval_ns = 100000000,
		.retries = 10,
		.static_hosts = &host,
		.static_host_count = 1,
	};
	bench->node = node_create(&options, &bench->pki, bench->map, &bench->outside);
	cr_assert(bench->map && bench->node);
	return bench;
}

static void bench_free(struct bench *bench)
{
	node_destroy(bench->node);
	hostmap_garbage_release(bench->map, hostmap_garbage_take(bench->map));
	hostmap_destroy(bench->map);
	pki_free(&bench->pki);
	pki_free(&bench->peer_pki);
	free(bench);
}

/* Host2 begins; the node answers. */
static void peer_begins(struct bench *bench, uint64_t time)
{
	uint8_t e_private[32], packet[HANDSHAKE_BYTES_MAX];
	size_t length;

	randombytes_buf(e_private, sizeof(e_private));
	cr_assert_eq(machine_begin(&bench->machine, &bench->peer_self, 77, time, e_private, packet,
				   sizeof(packet), &length),
		     MACHINE_OK);
	node_on_handshake(bench->node, 0, &peer_at, 0, packet, length);
}

static void wait_run(struct bench *bench, uint32_t queue, uint8_t content)
{
	struct waiting_run run = {.bytes = &content, .length = 1};
	struct addr to = peer_addr();

	node_on_waiting(bench->node, queue, &to, &run);
	node_tick(bench->node);
}

static struct call *only(struct bench *bench, enum call_type type)
{
	struct call *found = NULL;

	for (size_t i = 0; i < bench->call_count; i++) {
		if (bench->calls[i].type != type)
			continue;
		cr_assert_null(found);
		found = &bench->calls[i];
	}
	cr_assert(found);
	return found;
}

static struct tunnel *primary(struct bench *bench)
{
	struct addr addr = peer_addr();
	struct host_entry *entry = hostmap_by_addr(bench->map, &addr);

	return entry ? entry->tunnel : NULL;
}

static struct tunnel *next(struct bench *bench)
{
	struct addr addr = peer_addr();

	return hostmap_by_addr(bench->map, &addr)->next;
}

/* --- indexes -----------------------------------------------------------------------------------
 */

Test(node, index_steers_and_is_pending_before_stage_1_leaves)
{
	struct bench *bench = bench_make(3);
	struct payload payload;
	struct call *sent;

	for (uint32_t queue = 0; queue < 3; queue++) {
		for (int i = 0; i < 200; i++) {
			uint32_t index;
			cr_assert_eq(node_index_allocate(bench->node, queue, &index), 0);
			cr_assert_eq(index % 3, queue);
			cr_assert_neq(index, 0);
			cr_assert(hostmap_by_index(bench->map, index));
			hostmap_index_remove(bench->map, index);
		}
	}
	wait_run(bench, 2, 1);
	sent = only(bench, SEND_UDP);
	cr_assert_eq(payload_decode(sent->bytes + 80, sent->length - 80, &payload), 0);
	cr_assert_eq(payload.initiator_index % 3, 0, "the first tunnel has the first queue");
	cr_assert(hostmap_by_index(bench->map, payload.initiator_index));
	cr_assert_null(hostmap_by_index(bench->map, payload.initiator_index)->tunnel);
	bench_free(bench);
}

Test(node, index_zero_and_wrap_are_drawn_again)
{
	static const uint8_t drawn[] = {0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4};
	struct bench *bench = bench_make(7);
	uint32_t index;

	memcpy(bench->random, drawn, sizeof(drawn));
	bench->random_length = sizeof(drawn);
	cr_assert_eq(node_index_allocate(bench->node, 0, &index), 0);
	cr_assert_eq(index, 0xffffffff - 0xffffffff % 7);
	bench->random_at = 0;
	cr_assert_eq(node_index_allocate(bench->node, 6, &index), 0);
	cr_assert_eq(index, 6);
	bench->random_at = 4;
	cr_assert_eq(node_index_allocate(bench->node, 6, &index), 0);
	cr_assert_eq(index, 0x01020304 - 0x01020304 % 7 + 6, "0xffffffff would wrap");
	bench->random_at = 0;
	hostmap_index_remove(bench->map, 6);
	bench_free(bench);
}

/* A tunnel may have come by the queue of sparse flows, which is none of those that share tunnels.
 */
Test(node, an_index_for_the_queue_of_sparse_flows)
{
	struct bench *bench = bench_make(1);
	uint32_t index;

	cr_assert_eq(node_index_allocate(bench->node, 1, &index), 0);
	cr_assert(hostmap_by_index(bench->map, index));
	hostmap_index_remove(bench->map, index);
	bench_free(bench);
}

/* --- time --------------------------------------------------------------------------------------
 */

Test(node, handshake_time_never_repeats)
{
	struct bench *bench = bench_make(1);
	uint64_t last = node_handshake_time(bench->node), next;

	cr_assert_eq(last, bench->wall_ns);
	for (int i = 0; i < 5; i++) {
		bench->wall_ns -= 1000000000;
		next = node_handshake_time(bench->node);
		cr_assert_eq(next, last + 1);
		last = next;
	}
	bench_free(bench);
}

/* --- what workers see --------------------------------------------------------------------------
 */

Test(node, responder_tunnel_is_complete_and_published)
{
	struct bench *bench = bench_make(2);
	struct machine_peer peer;
	struct call *sent;
	struct tunnel *tunnel;

	peer_begins(bench, 10);
	sent = only(bench, SEND_UDP);
	cr_assert_eq(machine_read_stage2(&bench->machine, &bench->peer_self, sent->bytes,
					 sent->length, VECTOR_NOW, &peer, &bench->keys),
		     MACHINE_OK);
	tunnel = primary(bench);
	cr_assert(tunnel, "with no live tunnel it carries traffic at once");
	cr_assert_eq(hostmap_by_index(bench->map, peer.index)->tunnel, tunnel);
	cr_assert_eq(tunnel->local_index, peer.index);
	cr_assert_eq(tunnel->remote_index, 77);
	cr_assert_eq(tunnel->state, TUNNEL_UNCONFIRMED);
	cr_assert_eq(tunnel->initiator, false);
	cr_assert_eq(tunnel->addr_count, 1);
	cr_assert(endpoint_equal(&tunnel->remote->to, &peer_at));
	cr_assert_eq(tunnel->remote->sockaddr.family, AF_INET);

	/* Its keys are the other end's, the right way round. */
	uint8_t sealed[32], plain[16];
	struct aead_key key;
	cr_assert_eq(aead_key_init(&key, AEAD_AES256GCM, bench->keys.seal), 0);
	aead_seal(&key, 3, (const uint8_t *)"head", 4, (const uint8_t *)"hello", 5, sealed);
	cr_assert_eq(
		aead_open(&tunnel->keys->open, 3, (const uint8_t *)"head", 4, sealed, 5, plain), 0);
	aead_key_wipe(&key);

	/* The peer's networks came along; and node_destroy takes everything back. */
	cr_assert_eq(tunnel->prefix_count, 0);
	machine_peer_release(&peer);
	bench_free(bench);
}

/* Nothing is wrong with the message: it is not counted as broken. */
Test(node, a_responder_without_a_free_index_says_so)
{
	struct bench *bench = bench_make(1);

	bench->random_length = sizeof(bench->random); /* zeros: each index drawn is none */
	peer_begins(bench, 10);
	cr_expect_eq(bench->drops[DROP_HANDSHAKE_NO_ROOM], 1);
	cr_expect_eq(bench->drops[DROP_HANDSHAKE_INVALID], 0);
	cr_expect_eq(bench->call_count, 0);
	bench_free(bench);
}

/* From no tunnel to one: all bits, the held runs to their queues in order, an end for every queue.
 */
Test(node, held_runs_go_before_newer_ones)
{
	struct bench *bench = bench_make(3);
	static const struct {
		enum call_type type;
		uint32_t queue;
		uint8_t content;
	} wanted[] = {{RESUME, 0, 1},     {RESUME, 2, 2},     {RESUME, 0, 3},
		      {RESUME_END, 0, 0}, {RESUME_END, 1, 0}, {RESUME_END, 2, 0}};
	struct host_entry *entry;
	struct addr addr = peer_addr();

	wait_run(bench, 0, 1);
	wait_run(bench, 2, 2);
	wait_run(bench, 0, 3);
	peer_begins(bench, 10);
	cr_assert_null(primary(bench), "an unconfirmed tunnel does not take what waits");
	bench->call_count = 0;

	struct tunnel_record *record = bench->node->tunnels.all;
	node_on_confirmed(bench->node, record->tunnel->id, &peer_at, 0);
	entry = hostmap_by_addr(bench->map, &addr);
	cr_assert_eq(entry->tunnel, record->tunnel);
	cr_assert_eq(entry->held_queues, 7);
	cr_assert_eq(bench->call_count, 6);
	for (size_t i = 0; i < 6; i++) {
		cr_assert_eq(bench->calls[i].type, wanted[i].type, "call %zu", i);
		cr_assert_eq(bench->calls[i].queue, wanted[i].queue, "call %zu", i);
		if (wanted[i].type == RESUME)
			cr_assert_eq(bench->calls[i].bytes[0], wanted[i].content);
	}

	/* One that was punted before is sent behind them at once; too early an end is repeated. */
	bench->call_count = 0;
	wait_run(bench, 1, 4);
	node_on_resume_again(bench->node, 1, &addr);
	cr_assert_eq(bench->call_count, 2);
	cr_assert_eq(only(bench, RESUME)->queue, 1);
	cr_assert_eq(only(bench, RESUME_END)->queue, 1);
	bench_free(bench);
}

/* Runs for gateway 10.42.0.99, which never answers, that the peer could take as well. */
static void wait_for_gateway(struct bench *bench, uint32_t queue, uint8_t content, bool shared)
{
	struct addr gone = addr_from_v4(0x0a2a0063), other = peer_addr();
	struct waiting_run run = {.bytes = &content,
				  .length = 1,
				  .gateway_count = shared,
				  .gateways = shared ? &other : NULL};

	node_on_waiting(bench->node, queue, &gone, &run);
}

Test(node, runs_take_the_gateway_that_has_a_tunnel_first)
{
	struct bench *bench = bench_make(2);
	struct addr gone = addr_from_v4(0x0a2a0063);

	wait_for_gateway(bench, 0, 1, true);
	wait_for_gateway(bench, 0, 2, false); /* of another route: it has no other way */
	wait_for_gateway(bench, 1, 3, true);
	wait_run(bench, 0, 4);
	peer_begins(bench, 10);
	bench->call_count = 0;
	node_on_confirmed(bench->node, bench->node->tunnels.all->tunnel->id, &peer_at, 0);

	static const uint8_t order[] = {4, 1, 3};
	cr_assert_eq(bench->call_count, 5);
	for (size_t i = 0; i < 3; i++) {
		cr_assert_eq(bench->calls[i].type, RESUME, "call %zu", i);
		cr_assert_eq(bench->calls[i].bytes[0], order[i], "call %zu", i);
	}
	cr_assert_eq(bench->calls[3].type, RESUME_END);
	cr_assert_eq(bench->calls[4].type, RESUME_END);

	/* punted before the worker saw the tunnel: behind the others, not to the one that is gone
	 */
	bench->call_count = 0;
	wait_for_gateway(bench, 0, 5, true);
	cr_assert_eq(only(bench, RESUME)->bytes[0], 5);

	/* the handshake that fails takes only what was its own */
	for (int i = 0; i < 100; i++) {
		bench->now_ns += 100000000;
		node_tick(bench->node);
	}
	cr_assert_eq(bench->drops[DROP_PENDING_TIMEOUT], 1);
	cr_assert_null(tunnels_find_host(&bench->node->tunnels, &gone));
	cr_assert_null(bench->node->tunnels.sharing);
	bench_free(bench);
}

Test(node, a_wanted_gateway_is_called_once)
{
	struct bench *bench = bench_make(1);
	struct addr peer = peer_addr();

	for (int i = 0; i < 3; i++) {
		node_on_wanted(bench->node, 0, &peer);
		node_tick(bench->node);
	}
	only(bench, SEND_UDP);
	cr_assert_eq(node_pending_count(bench->node), 1);
	bench_free(bench);
}

/* --- unconfirmed tunnels -----------------------------------------------------------------------
 */

static size_t tests_sent(const struct bench *bench)
{
	size_t count = 0;

	for (size_t i = 0; i < bench->call_count; i++)
		count += bench->calls[i].type == SEND_IN_TUNNEL &&
			 bench->calls[i].wire == WIRE_TEST_REQUEST;
	return count;
}

static void pass(struct bench *bench, uint64_t ms)
{
	for (; ms > 0; ms--) {
		bench->now_ns += 1000000;
		node_tick(bench->node);
	}
}

Test(node, unconfirmed_beside_live)
{
	struct bench *bench = bench_make(1);
	struct tunnel *live;

	peer_begins(bench, 10);
	live = primary(bench);
	node_on_confirmed(bench->node, live->id, &peer_at, 0);
	atomic_store(&live->last_in_ns, bench->now_ns + 10000000000); /* not silent */
	bench->call_count = 0;
	peer_begins(bench, 11);
	cr_assert_eq(primary(bench), live);
	cr_assert_neq(next(bench), NULL);
	cr_assert_neq(next(bench), live);
	cr_assert_eq(tests_sent(bench), 1, "at once");
	pass(bench, 99);
	cr_assert_eq(tests_sent(bench), 1);
	pass(bench, 1);
	cr_assert_eq(tests_sent(bench), 2);
	pass(bench, 200);
	cr_assert_eq(tests_sent(bench), 3);
	pass(bench, 700);
	cr_assert_eq(tests_sent(bench), 4);
	pass(bench, 4900);
	cr_assert_eq(node_tunnel_count(bench->node), 2);
	pass(bench, 200);
	cr_assert_eq(node_tunnel_count(bench->node), 1);
	cr_assert_eq(tests_sent(bench), 4);
	cr_assert_eq(primary(bench), live);
	cr_assert_null(next(bench), "it has gone");
	bench_free(bench);
}

Test(node, the_newest_unconfirmed_stands_by_until_it_leads)
{
	struct bench *bench = bench_make(1);
	struct tunnel *first, *second, *third;

	peer_begins(bench, 10);
	first = primary(bench);
	cr_assert_null(next(bench), "the only one is no next one");
	node_on_confirmed(bench->node, first->id, &peer_at, 0);
	atomic_store(&first->last_in_ns, bench->now_ns + 10000000000); /* not silent */
	peer_begins(bench, 11);
	second = next(bench);
	peer_begins(bench, 12);
	third = next(bench);
	cr_assert(second && third && second != third);
	cr_assert_eq(primary(bench), first);
	node_on_confirmed(bench->node, third->id, &peer_at, 0);
	cr_assert_eq(primary(bench), third);
	cr_assert_eq(next(bench), second);
	bench_free(bench);
}

Test(node, unconfirmed_are_bounded_per_host)
{
	struct bench *bench = bench_make(1);
	struct tunnel *live;

	peer_begins(bench, 10);
	live = primary(bench);
	node_on_confirmed(bench->node, live->id, &peer_at, 0);
	for (uint64_t i = 0; i < 40; i++) {
		bench->call_count = 0;
		bench->now_ns += 1000000;
		peer_begins(bench, UINT64_MAX);
		cr_assert_leq(node_tunnel_count(bench->node), 1 + UNCONFIRMED_PER_HOST_MAX);
	}
	cr_assert_eq(node_tunnel_count(bench->node), 1 + UNCONFIRMED_PER_HOST_MAX);
	cr_assert_eq(primary(bench), live);
	bench_free(bench);
}

/* --- messages ----------------------------------------------------------------------------------
 */

Test(node, test_requests_are_answered)
{
	static const uint8_t payload[DATAGRAM_MAX];
	static const size_t lengths[] = {0, 1, 16, 100, 8000, DATAGRAM_MAX - 64};
	struct bench *bench = bench_make(1);
	struct tunnel *tunnel;

	peer_begins(bench, 10);
	tunnel = primary(bench);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		bench->call_count = 0;
		node_on_opened(bench->node, 0, tunnel->id, &peer_at, 0, WIRE_TEST_REQUEST, payload,
			       lengths[i]);
		cr_assert_eq(only(bench, SEND_IN_TUNNEL)->wire, WIRE_TEST_REPLY);
		cr_assert_eq(bench->calls[0].length, lengths[i]);
		cr_assert_eq(tunnel->state, TUNNEL_CONFIRMED);
	}
	bench->call_count = 0;
	node_on_opened(bench->node, 0, tunnel->id, &peer_at, 0, WIRE_TEST_REQUEST, payload,
		       DATAGRAM_MAX - 63);
	node_on_opened(bench->node, 0, tunnel->id, &peer_at, 0, WIRE_CONTROL, payload, 8);
	node_on_opened(bench->node, 0, tunnel->id, &peer_at, 0, WIRE_TEST_REPLY, payload, 8);
	cr_assert_eq(bench->call_count, 0);
	cr_assert_eq(bench->drops[DROP_MESSAGE_UNHANDLED], 1);
	cr_assert_eq(bench->drops[DROP_RELAY_INVALID], 1);
	node_on_opened(bench->node, 0, tunnel->id, &peer_at, 0, WIRE_LIGHTHOUSE, payload, 8);
	cr_assert_eq(bench->drops[DROP_LIGHTHOUSE_INVALID], 1);
	cr_assert_eq(bench->call_count, 0);

	struct tunnel_id id = tunnel->id;
	node_on_opened(bench->node, 0, id, &peer_at, 0, WIRE_CLOSE_TUNNEL, payload, 0);
	cr_assert_eq(node_tunnel_count(bench->node), 0);
	cr_assert_eq(only(bench, RESUME_END)->queue, 0, "a queue that stands for the host wakes");
	/* What was on its way for the tunnel that has gone does nothing, and is counted. */
	bench->call_count = 0;
	node_on_opened(bench->node, 0, id, &peer_at, 0, WIRE_TEST_REQUEST, payload, 0);
	cr_assert_eq(bench->drops[DROP_NO_TUNNEL], 1);
	node_on_opened(bench->node, 0, id, &peer_at, 0, WIRE_CLOSE_TUNNEL, payload, 0);
	cr_assert_eq(bench->drops[DROP_NO_TUNNEL], 1, "nothing is left to close");
	node_on_roam(bench->node, id, &peer_at);
	node_on_confirmed(bench->node, id, &peer_at, 0);
	node_on_counter(bench->node, id, COUNTER_REFUSE_AT);
	cr_assert_eq(bench->call_count, 0);
	bench_free(bench);
}

/* --- what must not turn the traffic ------------------------------------------------------------
 */

Test(node, time_of_an_unconfirmed_tunnel_does_not_count)
{
	struct bench *bench = bench_make(1);

	peer_begins(bench, UINT64_MAX); /* anybody can say so */
	only(bench, SEND_UDP);
	bench->call_count = 0;
	peer_begins(bench, 10);
	only(bench, SEND_UDP);
	bench_free(bench);
}

Test(node, unconfirmed_takes_nothing_from_a_suspect_tunnel)
{
	struct bench *bench = bench_make(1);
	uint8_t error[WIRE_HEADER_BYTES];
	struct tunnel *tunnel;

	peer_begins(bench, 10);
	tunnel = primary(bench);
	node_on_confirmed(bench->node, tunnel->id, &peer_at, 0);
	wire_write(error, WIRE_RECV_ERROR, 77, 0);
	node_on_recv_error(bench->node, &peer_at, error, sizeof(error));
	cr_assert_null(primary(bench));
	peer_begins(bench, 11);
	cr_assert_null(primary(bench));
	node_on_opened(bench->node, 0, tunnel->id, &peer_at, 0, WIRE_TEST_REPLY, error, 0);
	cr_assert_eq(primary(bench), tunnel, "it answered: nothing was lost");
	bench_free(bench);
}

Test(node, doubt_does_not_reach_a_newer_tunnel)
{
	struct bench *bench = bench_make(1);
	struct tunnel_record *old, *newer;

	peer_begins(bench, 10);
	old = bench->node->tunnels.all;
	node_on_confirmed(bench->node, old->tunnel->id, &peer_at, 0);
	bench->now_ns += 1000;
	peer_begins(bench, 11);
	newer = bench->node->tunnels.all;
	node_on_confirmed(bench->node, newer->tunnel->id, &peer_at, 0);
	tunnels_suspect(&bench->node->tunnels, old);
	cr_assert_eq(old->state, RECORD_SUSPECT);
	cr_assert_eq(newer->state, RECORD_LIVE);
	cr_assert_eq(primary(bench), newer->tunnel);
	bench_free(bench);
}

/* A recv_error was forged; the peer answers no test, but goes on to send. */
Test(node, a_suspect_tunnel_that_the_peer_uses_comes_back)
{
	for (int heard = 0; heard < 2; heard++) {
		struct bench *bench = bench_make(1);
		struct tunnel_record *record;
		struct tunnel_id id;

		peer_begins(bench, 10);
		record = bench->node->tunnels.all;
		id = record->tunnel->id;
		node_on_confirmed(bench->node, id, &peer_at, 0);
		tunnels_suspect(&bench->node->tunnels, record);
		bench->now_ns += 1000000;
		if (heard)
			atomic_store(&record->tunnel->last_in_ns, bench->now_ns);
		bench->now_ns += 11000000000;
		node_tick(bench->node);
		record = tunnels_by_id(&bench->node->tunnels, id);
		cr_assert_eq(record != NULL, heard);
		if (heard)
			cr_assert_eq(record->state, RECORD_LIVE);
		bench_free(bench);
	}
}
