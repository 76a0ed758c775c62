/*
 * node_events.c - see node.h: what workers and the system report, each a decision on one event.
 */
#include "peers/manager.h"
#include "peers/node_state.h"
#include "vnet.h"

#define S_NS 1000000000ull

/* After a recv_error has started a handshake with a host, others are ignored for so long. */
#define RECV_ERROR_QUIET_NS (2 * S_NS)
/* A host that moves or restarts was silent for about so long; two with one certificate are not. */
#define TWIN_NS S_NS
/* The largest test request that a reply in a relay frame could answer (PROTOCOL.md 1.6). */
#define TEST_PAYLOAD_MAX (DATAGRAM_MAX - 64)

/* --- handshakes and waiting runs ---------------------------------------------------------------
 */

void node_on_handshake(struct node *node, uint32_t queue, const struct endpoint *source,
		       uint32_t via, const uint8_t *bytes, size_t length)
{
	struct relay *relay = via ? relays_by_index(node, via) : NULL;

	if (node->shut_down)
		return;
	/* An entry that has gone meanwhile, or that has no index to answer to. */
	if (via && (!relay || relay->type != RELAY_TERMINAL || !relay->remote_index)) {
		node_drop(node, DROP_RELAY_INVALID, 1);
		return;
	}
	if (relay) /* it is used, so it is there (7.4) */
		relays_begin(node, relay);
	if (length < WIRE_HEADER_BYTES || length > HANDSHAKE_BYTES_MAX ||
	    wire_type_of(bytes) != WIRE_HANDSHAKE)
		node_drop(node, DROP_HANDSHAKE_INVALID, 1);
	else if (wire_counter(bytes) == 1)
		responder_receive(node, queue, source, relay, bytes, length);
	else
		initiator_receive(node, source, relay, bytes, length);
}

/* Where a run goes that was punted for host: its tunnel, or that of another gateway. NULL: none. */
static const struct tunnel_record *way_out(struct node *node, const struct peer_host *host,
					   const struct waiting_run *run)
{
	if (host->primary)
		return host->primary;
	for (uint32_t i = 0; i < run->gateway_count; i++) {
		const struct peer_host *other =
			tunnels_find_host(&node->tunnels, &run->gateways[i]);

		if (other && other->primary)
			return other->primary;
	}
	return NULL;
}

void node_on_waiting(struct node *node, uint32_t queue, const struct addr *addr,
		     const struct waiting_run *run)
{
	struct peer_host *host = tunnels_obtain_host(&node->tunnels, addr);
	uint32_t packets = vnet_packets(&run->vnet, run->bytes, run->length);
	const struct tunnel_record *out = host ? way_out(node, host, run) : NULL;
	struct host_pending *pending;

	if (!host) {
		node_drop(node, DROP_PENDING_FULL, packets);
		return;
	}
	if (out) {
		node->outside->resume(node->outside->context, queue, out->tunnel->id, run);
	} else {
		pending = initiator_begin(node, host, queue);
		if (!pending ||
		    pending_hold(&pending->pending, &node->tunnels.held_bytes, queue, run) != 0)
			node_drop(node, DROP_PENDING_FULL, packets);
		else if (run->gateway_count)
			initiator_share(node, pending);
	}
	tunnels_put_host(&node->tunnels, host);
}

void node_on_wanted(struct node *node, uint32_t queue, const struct addr *addr)
{
	struct peer_host *host = tunnels_obtain_host(&node->tunnels, addr);

	if (!host)
		return;
	if (!host->primary)
		initiator_begin(node, host, queue);
	tunnels_put_host(&node->tunnels, host);
}

void node_on_resume_again(struct node *node, uint32_t queue, const struct addr *addr)
{
	struct peer_host *host = tunnels_find_host(&node->tunnels, addr);

	/* Without a tunnel nothing is owed: the next one sets every bit and asks every queue. */
	if (host && host->primary)
		node->outside->resume_end(node->outside->context, queue, addr);
}

/* --- what comes on a tunnel --------------------------------------------------------------------
 */

static void roam(struct node *node, struct tunnel_record *record, const struct endpoint *source)
{
	const struct remote *remote = record->tunnel->remote;
	struct endpoint before = remote ? remote->to : (struct endpoint){0};
	const struct relay *path = record->path;
	char from[ORIGIN_TEXT_MAX], to[ENDPOINT_TEXT_MAX];
	struct peer_text text;

	if (source->port == 0 || endpoint_equal(&before, source))
		return; /* port 0: it came through a relay */
	if (!lighthouse_permits_record(node, record, source)) {
		node_drop(node, DROP_REMOTE_DENIED, 1);
		return;
	}
	node_origin_text(&before, remote ? NULL : path, from);
	if (!tunnels_roam(&node->tunnels, record, source))
		return;
	if (record->state != RECORD_UNCONFIRMED)
		lighthouse_learn(node, record);
	PROBE(roam, record->tunnel->local_index, &before, source);
	node_peer_text(record->cert, &text);
	if (rate_take(&node->tunnel_log, node_now_ns(node)))
		NODE_LOG(node, OUTSIDE_INFO, "Host roamed to new udp ip/port.",
			 FIELD_TEXT("vpnAddrs", text.addrs), FIELD_TEXT("udpAddr", from),
			 FIELD_TEXT("newAddr", endpoint_format(source, to)));
	if (remote)
		return;
	relays_set_path(node, record, NULL);
	/* Direct from now on; the peer is, too, when it sees something else than a test request. */
	tunnels_send(&node->tunnels, record, WIRE_TEST_REPLY, NULL, 0);
}

/* Was the host heard on another tunnel, at another place, so lately that both cannot be it? */
static bool has_twin(const struct node *node, const struct tunnel_record *record)
{
	const struct remote *at = record->tunnel->remote;
	const struct host_link *link = record->link_count ? record->links[0].host->links : NULL;

	for (; at && link; link = link->next) {
		const struct tunnel *other = link->record->tunnel;
		uint64_t heard = atomic_load(&other->last_in_ns);

		if (link->record->live.heard_ns > heard)
			heard = link->record->live.heard_ns;
		if (link->record != record && link->record->state == RECORD_LIVE && other->remote &&
		    !endpoint_equal(&other->remote->to, &at->to) &&
		    heard + TWIN_NS > node_now_ns(node))
			return true;
	}
	return false;
}

/* Something authenticated came, via a relay or (0) directly: what was in doubt is alive. */
static void prove(struct node *node, struct tunnel_record *record, uint32_t via)
{
	bool is_new = record->state == RECORD_UNCONFIRMED;

	if (record->state != RECORD_UNCONFIRMED && record->state != RECORD_SUSPECT)
		return;
	if (is_new && via)
		relays_follow(node, record, via);
	tunnels_confirm(&node->tunnels, record);
	for (uint32_t i = 0; i < record->link_count; i++)
		initiator_quiet(node, record->links[i].host);
	if (!is_new)
		return;
	if (has_twin(node, record))
		node_count(node, STAT_HOST_TWINS, 1);
	lighthouse_greet(node, record);
}

void node_on_roam(struct node *node, struct tunnel_id id, const struct endpoint *source)
{
	struct tunnel_record *record = tunnels_by_id(&node->tunnels, id);

	if (!record || record->state == RECORD_CLOSING)
		return;
	prove(node, record, 0);
	roam(node, record, source);
	/* Left set while going back is ignored: see tunnels_roam(). */
	if (!record->roam_quiet_ns || !record->tunnel->remote ||
	    endpoint_equal(&record->tunnel->remote->to, source))
		atomic_fetch_and(&record->tunnel->event_in_flight, ~(uint32_t)TUNNEL_EVENT_ROAM);
}

void node_on_confirmed(struct node *node, struct tunnel_id id, const struct endpoint *source,
		       uint32_t via)
{
	struct tunnel_record *record = tunnels_by_id(&node->tunnels, id);

	if (!record || record->state == RECORD_CLOSING)
		return;
	roam(node, record, source);
	prove(node, record, via);
	atomic_fetch_and(&record->tunnel->event_in_flight, ~(uint32_t)TUNNEL_EVENT_CONFIRMED);
}

static void close_received(struct node *node, struct tunnel_record *record,
			   const struct endpoint *source)
{
	char from[ENDPOINT_TEXT_MAX];
	struct peer_text text;

	node_peer_text(record->cert, &text);
	if (rate_take(&node->tunnel_log, node_now_ns(node)))
		NODE_LOG(node, OUTSIDE_INFO, "Close tunnel received, tearing down.",
			 FIELD_TEXT("vpnAddrs", text.addrs),
			 FIELD_TEXT("udpAddr",
				    source->port ? endpoint_format(source, from) : "relay"),
			 FIELD_TEXT("certName", record->cert->name),
			 FIELD_NUMBER("localIndex", record->tunnel->local_index));
	tunnels_remove(&node->tunnels, record);
}

/*
 * A tunnel without a direct path is asked at one of our addresses whether there is one. The answer
 * goes back there, unless the lists forbid that path; that it comes is for the peer to see, and its
 * next message will tell us.
 */
static void answer_test(struct node *node, const struct tunnel_record *record,
			const struct endpoint *source, const uint8_t *bytes, size_t length)
{
	const struct outside *outside = node->outside;
	bool at_source = !record->tunnel->remote && source->port != 0;

	if (at_source && !lighthouse_permits_record(node, record, source)) {
		node_drop(node, DROP_REMOTE_DENIED, 1);
		at_source = false;
	}
	if (at_source)
		outside->send_in_tunnel(outside->context, record->queue, record->tunnel->id,
					WIRE_TEST_REPLY, source, bytes, length);
	else
		tunnels_send(&node->tunnels, record, WIRE_TEST_REPLY, bytes, length);
}

/* What the peer sends within its rate; more is dropped before it makes work. */
static bool within_rate(struct node *node, struct tunnel_record *record)
{
	bool within = rate_take_one(&record->messages_full_ns,
				    RATE(MESSAGES_PEER, MESSAGES_PEER_BURST), node_now_ns(node));

	if (!within)
		node_drop(node, DROP_MESSAGE_RATE, 1);
	return within;
}

void node_on_opened(struct node *node, uint32_t queue, struct tunnel_id id,
		    const struct endpoint *source, uint32_t via, enum wire_type wire,
		    const uint8_t *bytes, size_t length)
{
	static const struct endpoint nowhere;
	struct tunnel_record *record = tunnels_by_id(&node->tunnels, id);

	if (!record || record->state == RECORD_CLOSING) {
		if (wire != WIRE_CLOSE_TUNNEL) /* which has nothing left to do */
			node_drop(node, DROP_NO_TUNNEL, 1);
		return;
	}
	if (wire == WIRE_CLOSE_TUNNEL) {
		close_received(node, record, source);
		return;
	}
	if (via)
		source = &nowhere;
	prove(node, record, via);
	if (wire != WIRE_TEST_REQUEST || record->tunnel->remote)
		roam(node, record, source);
	manager_heard(node, record);
	if (wire == WIRE_TEST_REPLY)
		manager_measure(record, node_now_ns(node), length);
	switch (wire) {
	case WIRE_TEST_REQUEST:
		manager_asked(node, record);
		if (length > TEST_PAYLOAD_MAX)
			node_drop(node, DROP_MESSAGE_UNHANDLED, 1);
		else if (rate_take_one(&record->test_answers_full_ns,
				       RATE(TEST_ANSWERS_PER_SECOND, TEST_ANSWERS_PER_SECOND),
				       node_now_ns(node)))
			answer_test(node, record, source, bytes, length);
		else
			node_drop(node, DROP_TEST_RATE, 1);
		break;
	case WIRE_TEST_REPLY: /* when it came is all */
		break;
	case WIRE_LIGHTHOUSE:
		if (within_rate(node, record))
			lighthouse_receive(node, record, bytes, length);
		break;
	case WIRE_CONTROL:
		if (within_rate(node, record))
			relays_receive(node, record, bytes, length);
		break;
	default:
		node_drop(node, DROP_MESSAGE_UNHANDLED, 1);
	}
}

/* --- tunnels in doubt --------------------------------------------------------------------------
 */

static bool accepts_recv_error(const struct node *node, const struct endpoint *source)
{
	switch (node->options.accept_recv_error) {
	case RECV_ERROR_ALWAYS:
		return true;
	case RECV_ERROR_NEVER:
		return false;
	case RECV_ERROR_PRIVATE:
		return remotes_is_private(&source->addr);
	}
	return false;
}

static bool is_pending(const struct tunnel_record *record)
{
	return record->link_count > 0 && record->links[0].host->pending != NULL;
}

/* Is the address that was learned for this family where a tunnel goes that was chosen later? */
static bool is_learned_since(const struct tunnel_record *record, bool v4)
{
	const struct peer_host *host = record->links[0].host;
	const struct remotes_owner *owner = remotes_of(host->remotes, &host->addr);
	const struct host_link *link = host->links;

	for (; owner && link && link->record != record; link = link->next)
		if (link->record->tunnel->remote &&
		    endpoint_equal(&link->record->tunnel->remote->to, &owner->learned[!v4]))
			return true;
	return false;
}

void node_rehandshake(struct node *node, struct tunnel_record *record, const char *reason)
{
	struct peer_host *host = record->links[0].host;
	const struct remote *remote = record->tunnel->remote;
	struct peer_text text;

	if (remote && !is_learned_since(record, addr_is_v4(&remote->to.addr))) {
		initiator_learn(node, host, &remote->to);
		lighthouse_publish(node, host);
	}
	if (!initiator_begin(node, host, record->queue))
		return;
	node_peer_text(record->cert, &text);
	NODE_LOG(node, OUTSIDE_INFO, "Re-handshaking with remote",
		 FIELD_TEXT("vpnAddrs", text.addrs), FIELD_TEXT("reason", reason));
}

/*
 * A recv_error is not authenticated: whoever sees our packets can forge it. So it does not end the
 * tunnel. It takes the tunnel out of use, asks the peer by a test request, and starts one handshake
 * when no newer tunnel is left to send on; runs wait for it. A peer that has lost the tunnel
 * answers the handshake; one that has not answers the test, and the tunnel is back after a round
 * trip. Either way nothing more is lost.
 */
void node_on_recv_error(struct node *node, const struct endpoint *source, const uint8_t *bytes,
			size_t length)
{
	struct tunnel_record *record = NULL;
	uint64_t now = node_now_ns(node);
	char from[ENDPOINT_TEXT_MAX];

	if (!node->shut_down && length >= WIRE_HEADER_BYTES && accepts_recv_error(node, source)) {
		if (relays_on_recv_error(node, wire_remote_index(bytes), source))
			return;
		record = tunnels_by_remote_index(&node->tunnels, wire_remote_index(bytes), source);
	}
	if (!record || record->link_count == 0 || record->links[0].host->recv_error_free_ns > now) {
		node_drop(node, DROP_RECV_ERROR_IGNORED, 1);
		return;
	}
	if (node_may_log(node))
		NODE_LOG(node, OUTSIDE_DEBUG, "Recv error received",
			 FIELD_TEXT("udpAddr", endpoint_format(source, from)),
			 FIELD_NUMBER("index", wire_remote_index(bytes)));
	record->links[0].host->recv_error_free_ns = now + RECV_ERROR_QUIET_NS;
	tunnels_suspect(&node->tunnels, record);
	if (!record->links[0].host->primary)
		node_rehandshake(node, record, "recv_error");
	tunnels_test(&node->tunnels, record);
}

void node_on_active(struct node *node, struct tunnel_id id)
{
	struct tunnel_record *record = tunnels_by_id(&node->tunnels, id);

	if (record && !node->shut_down)
		manager_active(node, record);
}

void node_on_local_addrs(struct node *node)
{
	if (!node->shut_down)
		lighthouse_local_changed(node);
}

/* A refused counter ends the tunnel without notice (PROTOCOL.md 1.5). */
void node_on_counter(struct node *node, struct tunnel_id id, uint64_t value)
{
	struct tunnel_record *record = tunnels_by_id(&node->tunnels, id);

	if (!record || record->link_count == 0 || node->shut_down)
		return;
	if (value >= COUNTER_REFUSE_AT)
		tunnels_remove(&node->tunnels, record);
	else if (value >= COUNTER_REHANDSHAKE_AT && !is_pending(record))
		node_rehandshake(node, record, "send counter");
}
