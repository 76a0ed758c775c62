/*
 * initiator_answer.c - answers to handshakes that we began: a tunnel, another host's, or nothing to
 * be believed (PROTOCOL.md 2.8). See node_state.h.
 */
#include <sodium.h>
#include <stdlib.h>

#include "peers/node_state.h"

static struct host_pending *find_pending(struct node *node, uint32_t index)
{
	struct table_node *at = table_first(&node->pending_by_index, index);

	return at ? table_entry(at, struct host_pending, by_index) : NULL;
}

static bool cert_has_addr(const struct cert *cert, const struct addr *addr)
{
	for (size_t i = 0; i < cert->network_count; i++)
		if (addr_equal(&cert->networks[i].addr, addr))
			return true;
	return false;
}

/*
 * CloseTunnel on a tunnel that was never published: no worker knows it, so it is sealed here, with
 * the tunnel's first counter (PROTOCOL.md 1.5, 4.8).
 */
static void close_unborn(struct node *node, const struct machine_peer *peer,
			 const struct machine_keys *keys, const struct endpoint *to,
			 const struct relay *relay)
{
	uint8_t packet[WIRE_OVERHEAD];
	struct aead_key key;

	if (aead_key_init(&key, node->options.cipher, keys->seal) != 0)
		return;
	wire_write(packet, WIRE_CLOSE_TUNNEL, peer->index, COUNTER_FIRST);
	aead_seal(&key, COUNTER_FIRST, packet, WIRE_HEADER_BYTES, packet + WIRE_HEADER_BYTES, 0,
		  packet + WIRE_HEADER_BYTES);
	aead_key_wipe(&key);
	node_send_back(node, to, relay, packet, sizeof(packet));
}

/* Another host answered: never again at that address, and once more from the start. */
static void restart_elsewhere(struct node *node, struct host_pending *pending,
			      const struct machine_peer *peer, const struct endpoint *source,
			      struct relay *relay)
{
	struct peer_host *host = pending->host;
	char host_text[ADDR_TEXT_MAX + 2], from[ORIGIN_TEXT_MAX];
	struct peer_text text;

	node_peer_text(peer->cert, &text);
	NODE_LOG(node, OUTSIDE_INFO, "Incorrect host responded to handshake",
		 FIELD_TEXT("intendedVpnAddrs", node_host_text(&host->addr, host_text)),
		 FIELD_TEXT("haveVpnAddrs", text.addrs),
		 FIELD_TEXT("udpAddr", node_origin_text(source, relay, from)),
		 FIELD_TEXT("certName", peer->cert->name), FIELD_NUMBER("handshake.stage", 2),
		 FIELD_TEXT("handshake.style", "ix_psk0"));
	node_note_failure(node, &host->addr, relay ? NULL : source, "another host answered",
			  peer->cert->name);
	node_drop(node, DROP_HANDSHAKE_HOST, 1);
	if (relay) { /* not through it again; the handshake goes on elsewhere */
		relay->wrong = true;
		return;
	}
	if (!initiator_remotes(node, host) || remotes_block(host->remotes, source) != 0) {
		initiator_end(node, pending, DROP_PENDING_TIMEOUT);
		return;
	}
	host->remotes->blocked_ns = node_now_ns(node);
	initiator_restart(node, pending);
}

/* The tunnel replaces the handshake; what waited goes out on it. */
static void complete(struct node *node, struct host_pending *pending,
		     const struct machine_peer *peer, const struct machine_keys *keys,
		     const struct endpoint *source, struct relay *relay)
{
	struct tunnels *tunnels = &node->tunnels;
	struct pending *state = &pending->pending;
	struct peer_host *host = pending->host;
	uint32_t cached = state->packets;
	struct tunnel_record *record = NULL;
	char from[ORIGIN_TEXT_MAX];
	struct peer_text text;
	struct tunnel_facts facts = {
		.own = node->pki->v1.cert,
		.cert = peer->cert,
		.keys = keys,
		.cipher = node->options.cipher,
		.local_index = state->index,
		.remote_index = peer->index,
		.queue = pending->queue,
		.remote = relay ? NULL : source,
		.initiator = true,
	};

	if (node_peer_rules(node, peer, &facts.rules) == 0)
		record = tunnels_add(tunnels, &facts);
	if (!record) {
		free(facts.rules);
		initiator_end(node, pending, DROP_PENDING_FULL);
		return;
	}
	if (relay)
		relays_set_path(node, record, relay);
	PROBE(handshake, 1, state->index, node_now_ns(node) - state->started_ns);
	node_arm_sweep(node);
	if (host->remotes)
		remotes_unblock(host->remotes);
	node_peer_text(peer->cert, &text);
	NODE_LOG(node, OUTSIDE_INFO, "Handshake message received",
		 FIELD_TEXT("vpnAddrs", text.addrs),
		 FIELD_TEXT("from", node_origin_text(source, relay, from)),
		 FIELD_TEXT("certName", peer->cert->name),
		 FIELD_NUMBER("certVersion", peer->cert->version),
		 FIELD_TEXT("fingerprint", text.fingerprint), FIELD_TEXT("issuer", text.issuer),
		 FIELD_NUMBER("initiatorIndex", state->index),
		 FIELD_NUMBER("responderIndex", peer->index), FIELD_NUMBER("handshake.stage", 2),
		 FIELD_TEXT("handshake.style", "ix_psk0"),
		 FIELD_NUMBER("durationNs", node_now_ns(node) - state->started_ns),
		 FIELD_NUMBER("sentCachedPackets", cached));

	/*
	 * Publishing lets the held runs go, so the handshake is still the host's until then. It may
	 * not begin anew meanwhile: the host's oldest tunnel may have to go, and others that went
	 * through that peer, even this one, ask for a handshake then.
	 */
	pending->quiet = pending->responds = false;
	if (tunnels_enter_hosts(tunnels, record) != 0) {
		tunnels_remove(tunnels, record);
	} else {
		for (uint32_t i = 0; i < record->link_count; i++)
			initiator_quiet(node, record->links[i].host);
		lighthouse_greet(node, record);
	}
	initiator_finish(node, pending); /* no run is left unless memory is */
}

static void log_refusal(struct node *node, const struct machine_peer *peer,
			const struct endpoint *source, const struct relay *relay,
			const char *message)
{
	bool again;

	if (node_tell_refusal(node, peer, source, relay, &again))
		node_log_refusal(node, message, 2, peer, source, relay);
}

/*
 * The index of a pending handshake is seen on the wire, so anybody there can answer it, even with a
 * message that opens: the responder is not authenticated before its certificate is. Therefore only
 * a trusted certificate ends the handshake; everything else is dropped and it goes on.
 */
void initiator_receive(struct node *node, const struct endpoint *source, struct relay *relay,
		       const uint8_t *bytes, size_t length)
{
	struct host_pending *pending = find_pending(node, wire_remote_index(bytes));
	struct machine_keys keys;
	struct machine_peer peer;

	if (!pending) {
		node_drop(node, DROP_HANDSHAKE_STALE, 1);
		return;
	}
	if (!relay && !lighthouse_permits(node, &pending->host->addr, source)) {
		node_drop(node, DROP_REMOTE_DENIED, 1);
		return;
	}
	if (!rate_take(&node->initiator, node_now_ns(node))) {
		node_drop(node, DROP_HANDSHAKE_OVERLOAD, 1);
		return;
	}
	switch (machine_read_stage2(&pending->pending.machine, &node->self, bytes, length,
				    node_wall_s(node), &peer, &keys)) {
	case MACHINE_OK:
		if (cert_has_addr(peer.cert, &pending->host->addr)) {
			complete(node, pending, &peer, &keys, source, relay);
		} else {
			close_unborn(node, &peer, &keys, source, relay);
			restart_elsewhere(node, pending, &peer, source, relay);
		}
		break;
	case MACHINE_MYSELF:
		log_refusal(node, &peer, source, relay, "Refusing to handshake with myself");
		node_note_failure(node, &pending->host->addr, relay ? NULL : source,
				  "this node itself answered at that address", "");
		node_drop(node, DROP_HANDSHAKE_INVALID, 1);
		break;
	case MACHINE_CERTIFICATE:
		log_refusal(node, &peer, source, relay, "Invalid certificate from host");
		node_note_failure(node, &pending->host->addr, relay ? NULL : source,
				  cert_error_text(peer.error), peer.detail);
		node_drop(node, DROP_HANDSHAKE_CERTIFICATE, 1);
		break;
	case MACHINE_NO_MEMORY:
		node_drop(node, DROP_HANDSHAKE_NO_ROOM, 1);
		break;
	default:
		node_drop(node, DROP_HANDSHAKE_INVALID, 1);
	}
	machine_peer_release(&peer);
	sodium_memzero(&keys, sizeof(keys));
}
