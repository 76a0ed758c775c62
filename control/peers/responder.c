/*
 * responder.c - handshakes that others begin (PROTOCOL.md 2.7, 2.11).
 *
 * Cost rises from step to step, and each step has its exit: a hash and a look-up for a repeated
 * stage 1; decoding and everything about the certificate but its signature; then a token of the
 * rate that bounds the rest; the signature, unless that certificate was verified before; the age of
 * the message; four curve multiplications.
 */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "peers/manager.h"
#include "peers/node_state.h"
#include "peers/promote.h"

/* A stranger can repeat an old stage 1 for ever: the tunnel is asked no more often than this. */
#define DOUBT_STEP_NS 100000000ull

static void log_received(struct node *node, const struct machine_peer *peer,
			 const struct endpoint *source, const struct relay *relay,
			 enum outside_level level, const char *message)
{
	char from[ORIGIN_TEXT_MAX];
	struct peer_text text;

	node_peer_text(peer->cert, &text);
	NODE_LOG(node, level, message, FIELD_TEXT("vpnAddrs", text.addrs),
		 FIELD_TEXT("from", node_origin_text(source, relay, from)),
		 FIELD_TEXT("certName", peer->cert ? peer->cert->name : ""),
		 FIELD_TEXT("fingerprint", text.fingerprint), FIELD_TEXT("issuer", text.issuer),
		 FIELD_NUMBER("initiatorIndex", peer->index), FIELD_NUMBER("handshake.stage", 1),
		 FIELD_TEXT("handshake.style", "ix_psk0"));
}

static void refuse(struct node *node, const struct machine_peer *peer,
		   const struct endpoint *source, const struct relay *relay,
		   enum machine_status status)
{
	bool of_peer = status == MACHINE_MYSELF || status == MACHINE_CERTIFICATE;
	bool again = false, tell = of_peer && node_tell_refusal(node, peer, source, relay, &again);
	enum drop reason = DROP_HANDSHAKE_INVALID;

	if (status == MACHINE_MYSELF && tell)
		log_received(node, peer, source, relay, OUTSIDE_INFO,
			     "Refusing to handshake with myself");
	if (status == MACHINE_CERTIFICATE) {
		reason = DROP_HANDSHAKE_CERTIFICATE;
		/* Who it is, is what the certificate claims. */
		if ((tell || again) && peer->cert && peer->cert->network_count)
			node_note_failure(node, &peer->cert->networks[0].addr,
					  relay ? NULL : source, cert_error_text(peer->error),
					  peer->detail);
		if (tell)
			node_log_refusal(node, "Invalid certificate from host", 1, peer, source,
					 relay);
	}
	if (status == MACHINE_NO_MEMORY)
		reason = DROP_HANDSHAKE_NO_ROOM; /* nothing is wrong with the message */
	node_drop(node, reason, 1);
}

/*
 * A stage 1 that made one of our tunnels comes again: the answer was lost; or, when something
 * authentic has come since, it is a copy.
 */
static void answer_again(struct node *node, struct tunnel_record *record,
			 const struct endpoint *source, const struct relay *relay)
{
	char from[ORIGIN_TEXT_MAX];
	struct peer_text text;

	if (record->stage2)
		node_send_back(node, source, relay, record->stage2, record->stage2_length);
	else
		node_drop(node, DROP_HANDSHAKE_STALE, 1);
	if (!relay)
		promote_offered(node, record, source);
	if (!record->stage2)
		return;
	if (record->state == RECORD_UNCONFIRMED && record->next_test_ns == TIMER_NEVER)
		tunnels_start_tests(&node->tunnels, record, false);
	node_peer_text(record->cert, &text);
	NODE_LOG(node, OUTSIDE_DEBUG, "Handshake message sent", FIELD_TEXT("vpnAddrs", text.addrs),
		 FIELD_TEXT("udpAddr", node_origin_text(source, relay, from)),
		 FIELD_NUMBER("handshake.stage", 2), FIELD_TEXT("handshake.style", "ix_psk0"),
		 FIELD_TEXT("cached", "true"));
}

/*
 * Is stage 1 not newer than the one that made the primary tunnel? Such a one is a delayed or
 * recorded message. Tunnels that we began have no such time, unconfirmed ones do not count: a
 * stranger with a copied certificate could set them far into the future (2.11).
 *
 * Or the host has restarted with an earlier clock, perhaps elsewhere. Then the tunnel does not
 * answer, and the handshake that begins beside it goes to where the message came from, too: who has
 * only recorded it cannot answer.
 */
static bool too_old(struct node *node, const struct machine_peer *peer,
		    const struct endpoint *source, const struct relay *relay)
{
	struct peer_host *host = tunnels_find_host(&node->tunnels, &peer->cert->networks[0].addr);
	struct tunnel_record *primary = host ? host->primary : NULL;

	if (!primary || primary->state != RECORD_LIVE || primary->tunnel->initiator ||
	    primary->peer_time < peer->time)
		return false;
	if (!relay)
		initiator_call_back(node, host, source);
	if (node_now_ns(node) >= primary->live.asked_ns + DOUBT_STEP_NS)
		manager_doubt(node, primary);
	return true;
}

static bool runs_wait(const struct tunnel_record *record)
{
	for (uint32_t i = 0; i < record->link_count; i++) {
		const struct peer_host *host = record->links[i].host;
		if (tunnels_host_live(host) || (host->pending && host->pending->pending.first))
			return true;
	}
	return false;
}

/* The tunnel is published before stage 2 leaves: the peer's first packet may be quicker than we. */
static int install(struct node *node, const struct machine_peer *peer, struct tunnel_facts *facts,
		   struct relay *relay, const uint8_t hash[STAGE1_HASH_BYTES],
		   const uint8_t *stage2, size_t length)
{
	struct tunnels *tunnels = &node->tunnels;
	struct tunnel_record *record = NULL;

	if (node_peer_rules(node, peer, &facts->rules) == 0) {
		tunnels_evict_unconfirmed(tunnels, &peer->cert->networks[0].addr);
		record = tunnels_add(tunnels, facts);
	}
	if (!record) {
		free(facts->rules);
		hostmap_index_remove(tunnels->map, facts->local_index);
		return -ENOMEM;
	}
	if (relay)
		relays_set_path(node, record, relay);
	if (tunnels_remember_stage2(tunnels, record, hash, stage2, length) != 0 ||
	    tunnels_enter_hosts(tunnels, record) != 0) {
		tunnels_remove(tunnels, record);
		return -ENOMEM;
	}
	node_arm_sweep(node);
	node_send_back(node, facts->remote, relay, stage2, length);
	/* Where traffic hangs on the confirmation, ask for it at once. */
	tunnels_start_tests(tunnels, record, runs_wait(record));
	return 0;
}

static void log_answered(struct node *node, const struct machine_peer *peer, uint32_t index,
			 const struct endpoint *source, const struct relay *relay)
{
	char from[ORIGIN_TEXT_MAX];
	struct peer_text text;

	node_peer_text(peer->cert, &text);
	NODE_LOG(node, OUTSIDE_INFO, "Handshake message sent", FIELD_TEXT("vpnAddrs", text.addrs),
		 FIELD_TEXT("udpAddr", node_origin_text(source, relay, from)),
		 FIELD_TEXT("certName", peer->cert->name),
		 FIELD_NUMBER("certVersion", peer->cert->version),
		 FIELD_TEXT("fingerprint", text.fingerprint), FIELD_TEXT("issuer", text.issuer),
		 FIELD_NUMBER("initiatorIndex", peer->index), FIELD_NUMBER("responderIndex", index),
		 FIELD_NUMBER("handshake.stage", 2), FIELD_TEXT("handshake.style", "ix_psk0"));
}

static enum machine_status answer(struct node *node, struct machine *machine, uint32_t queue,
				  const struct endpoint *source, struct relay *relay,
				  const struct machine_peer *peer,
				  const uint8_t hash[STAGE1_HASH_BYTES])
{
	uint8_t e_private[NOISE_KEY_BYTES];
	struct machine_keys keys;
	enum machine_status status;
	uint32_t index;
	size_t length;

	if (node_index_allocate(node, node_next_queue(node), &index) != 0)
		return MACHINE_NO_MEMORY;
	node->outside->random(node->outside->context, e_private, sizeof(e_private));
	status = machine_answer(machine, &node->self, peer, index, node_handshake_time(node),
				e_private, node->scratch, sizeof(node->scratch), &length, &keys);
	if (status != MACHINE_OK) {
		hostmap_index_remove(node->tunnels.map, index);
		goto out;
	}
	bool say = rate_take(&node->handshake_log, node_now_ns(node));
	if (say)
		log_received(node, peer, source, relay, OUTSIDE_INFO, "Handshake message received");

	struct tunnel_facts facts = {
		.own = node->pki->v1.cert,
		.cert = peer->cert,
		.keys = &keys,
		.cipher = node->options.cipher,
		.local_index = index,
		.remote_index = peer->index,
		.queue = queue,
		.peer_time = peer->time,
		.remote = relay ? NULL : source,
	};
	if (install(node, peer, &facts, relay, hash, node->scratch, length) != 0) {
		status = MACHINE_NO_MEMORY;
		goto out;
	}

	PROBE(handshake, 0, index, 0);
	if (say)
		log_answered(node, peer, index, source, relay);
out:
	sodium_memzero(e_private, sizeof(e_private));
	sodium_memzero(&keys, sizeof(keys));
	return status;
}

/* lighthouse.remote_allow_ranges, for every address of the certificate. */
static bool permits_peer(const struct node *node, const struct machine_peer *peer,
			 const struct endpoint *source)
{
	for (size_t i = 0; i < peer->cert->network_count; i++)
		if (!lighthouse_permits(node, &peer->cert->networks[i].addr, source))
			return false;
	return true;
}

void responder_receive(struct node *node, uint32_t queue, const struct endpoint *source,
		       struct relay *relay, const uint8_t *bytes, size_t length)
{
	uint8_t hash[STAGE1_HASH_BYTES];
	struct tunnel_record *record;
	struct machine machine;
	struct machine_peer peer;
	enum machine_status status;

	if (!relay && !lighthouse_permits(node, NULL, source)) {
		node_drop(node, DROP_REMOTE_DENIED, 1);
		return;
	}
	crypto_hash_sha256(hash, bytes + WIRE_HEADER_BYTES, length - WIRE_HEADER_BYTES);
	record = tunnels_by_stage1(&node->tunnels, hash);
	if (record && wire_remote_index(bytes) == 0) {
		if (!relay && !lighthouse_permits_record(node, record, source))
			node_drop(node, DROP_REMOTE_DENIED, 1);
		else if (record->state == RECORD_CLOSING)
			node_drop(node, DROP_HANDSHAKE_STALE, 1);
		else
			answer_again(node, record, source, relay);
		return;
	}
	status =
		machine_read_stage1(&machine, &node->self, bytes, length, node_wall_s(node), &peer);
	if (status != MACHINE_OK)
		goto out;
	if (!relay && !permits_peer(node, &peer, source)) {
		node_drop(node, DROP_REMOTE_DENIED, 1);
		goto done;
	}
	if (!rate_take(&node->responder, node_now_ns(node))) {
		node_drop(node, DROP_HANDSHAKE_OVERLOAD, 1);
		goto done;
	}
	status = machine_verify(&node->self, node_wall_s(node), &peer);
	if (status != MACHINE_OK)
		goto out;
	if (too_old(node, &peer, source, relay)) {
		if (node_may_log(node))
			log_received(node, &peer, source, relay, OUTSIDE_INFO, "Handshake too old");
		node_drop(node, DROP_HANDSHAKE_STALE, 1);
		goto done;
	}
	status = answer(node, &machine, queue, source, relay, &peer, hash);
out:
	if (status != MACHINE_OK)
		refuse(node, &peer, source, relay, status);
done:
	machine_peer_release(&peer);
	machine_wipe(&machine);
}
