/*
 * relay_setup.c - NebulaControl: asking for relays, answering, and passing both on (PROTOCOL.md
 * 7.2, 7.5); see relays.h.
 *
 * Nothing that a message says is believed but what its sender may say: a response counts for an
 * entry of the tunnel it came on; a request names its sender's own address as the one that wants to
 * reach somebody, or, when we are whom it wants to reach, any host but the relay itself and us.
 */
#include "peers/relays.h"

#include "peers/manager.h"
#include "peers/node_state.h"

#define RETRY_NS 200000000ull
#define ASKS     10
/* After so many attempts of a handshake an entry is asked for again although it is there, */
#define STALE_ATTEMPTS 2
/* and after so many its relay is told again that we are there, too. */
#define DEAF_ATTEMPTS 4
/* After a recv_error for an entry others are ignored for so long. */
#define RECV_ERROR_QUIET_NS 2000000000ull

static const struct addr *own_addr(const struct node *node)
{
	return &pki_own_cert(node->pki)->networks[0].addr;
}

/* --- sending ----------------------------------------------------------------------------------
 */

static void say(struct node *node, const struct tunnel_record *record,
		const struct relay_message *message)
{
	uint8_t bytes[RELAY_BYTES_MAX];
	size_t length = relay_encode(message, bytes, sizeof(bytes));
	char to[ADDR_TEXT_MAX], from[ADDR_TEXT_MAX];

	if (length == 0)
		return; /* an IPv6 address, and the v1 form */
	tunnels_send(&node->tunnels, record, WIRE_CONTROL, bytes, length);
	addr_format(&message->from, from);
	addr_format(&message->to, to);
	NODE_LOG(node, OUTSIDE_DEBUG,
		 message->type == RELAY_REQUEST ? "send CreateRelayRequest"
						: "send CreateRelayResponse",
		 FIELD_TEXT("relayFrom", from), FIELD_TEXT("relayTo", to),
		 FIELD_NUMBER("initiatorRelayIndex", message->initiator_index),
		 FIELD_NUMBER("responderRelayIndex", message->responder_index));
}

/* The request for an entry of ours. A relay asks the end for whoever wants to reach it. */
static void request(struct node *node, struct relay *relay)
{
	bool forwarding = relay->type == RELAY_FORWARDING;
	struct relay_message message = {
		.type = RELAY_REQUEST,
		.form = relay->form,
		.initiator_index = relay->local_index,
		.from = forwarding ? relay->peer : *own_addr(node),
		.to = forwarding ? relay->record->tunnel->addrs[0] : relay->peer,
	};

	relays_touch(node, relay);
	say(node, relay->record, &message);
}

/*
 * That an entry of ours is there: a relay grants its neighbour's request. An end tells its relay
 * once more, for it to pass on: Nebula (1.6.1) gives no answer to the first request for a relay
 * whose other half it has, and the end that has asked goes on without the relay's index. What it
 * sends by that relay is lost, until it begins a handshake itself.
 */
static void respond(struct node *node, const struct relay *relay)
{
	bool forwarding = relay->type == RELAY_FORWARDING;
	struct relay_message message = {
		.type = RELAY_RESPONSE,
		.form = relay->form,
		.initiator_index = relay->remote_index,
		.responder_index = relay->local_index,
		.from = forwarding ? relay->record->tunnel->addrs[0] : relay->peer,
		.to = forwarding ? relay->peer : *own_addr(node),
	};

	say(node, relay->record, &message);
}

/* reason NULL: it begins. */
static void log_entry(struct node *node, const struct relay *relay, const char *message,
		      const char *reason)
{
	char neighbour[ADDR_TEXT_MAX], peer[ADDR_TEXT_MAX];
	bool terminal = relay->type == RELAY_TERMINAL;
	const struct outside_field fields[] = {
		FIELD_TEXT(terminal ? "relay" : "vpnAddr", neighbour),
		FIELD_TEXT(terminal ? "vpnAddr" : "peer", peer),
		FIELD_TEXT("reason", reason),
	};
	size_t count = sizeof(fields) / sizeof(fields[0]) - !reason;

	if (!rate_take(&node->tunnel_log, node_now_ns(node)))
		return;
	addr_format(&relay->record->tunnel->addrs[0], neighbour);
	addr_format(&relay->peer, peer);
	node->outside->log(node->outside->context, OUTSIDE_INFO, message, fields, count);
}

void relays_begin(struct node *node, struct relay *relay)
{
	relay->state = RELAY_ESTABLISHED;
	if (!relay->told)
		log_entry(node, relay,
			  relay->type == RELAY_TERMINAL ? "Relay established"
							: "Relaying between two hosts",
			  NULL);
	relay->told = true;
}

void relays_end(struct node *node, struct relay *relay, const char *reason)
{
	if (relay->told && !node->shut_down)
		log_entry(node, relay,
			  relay->type == RELAY_TERMINAL ? "Relay ended"
							: "Relaying between two hosts ended",
			  reason);
	relay->told = false;
}

void relays_send(struct node *node, const struct relay *relay, const uint8_t *bytes, size_t length)
{
	const struct tunnel_record *record = relay->record;

	node->outside->send_via_relay(node->outside->context, record->queue, record->tunnel->id,
				      relay->remote_index, bytes, length);
}

void relays_ask(struct node *node, struct relay *relay)
{
	struct relays *relays = &node->relays;

	request(node, relay);
	if (!relay->asks) {
		relay->next_asking = relays->asking;
		relays->asking = relay;
	}
	relay->asks = ASKS;
	if (relays->retry.position == 0)
		timer_arm(&node->tunnels.timers, &relays->retry, node_now_ns(node) + RETRY_NS);
}

void relays_fire_retry(void *context, struct timer *timer)
{
	struct node *node = table_entry(context, struct node, tunnels);
	struct relay **at = &node->relays.asking;

	while (*at && !node->shut_down) {
		struct relay *relay = *at;

		if (relay->state == RELAY_REQUESTED && --relay->asks > 0) {
			request(node, relay);
			at = &relay->next_asking;
			continue;
		}
		*at = relay->next_asking;
		relay->asks = 0;
	}
	if (node->relays.asking && !node->shut_down)
		timer_arm(&node->tunnels.timers, timer, node_now_ns(node) + RETRY_NS);
}

/* --- a handshake of ours (7.5) -----------------------------------------------------------------
 */

/* The relay's tunnel, direct as it must be, or NULL: one is begun. */
static struct tunnel_record *tunnel_to_relay(struct node *node, const struct addr *addr)
{
	struct peer_host *host = tunnels_obtain_host(&node->tunnels, addr);
	struct tunnel_record *record = host ? host->primary : NULL;

	if (host && !record)
		initiator_begin(node, host, 0);
	if (host)
		tunnels_put_host(&node->tunnels, host);
	return relays_may_take(record) ? record : NULL;
}

/* Our entry for host on the tunnel to one of its relays, made when absent; NULL: not (yet). */
static struct relay *own_entry(struct node *node, const struct peer_host *host,
			       const struct addr *addr)
{
	struct tunnel_record *record = tunnel_to_relay(node, addr);
	struct relay *relay;

	if (!record || relays_record_has(record, &host->addr))
		return NULL;
	relay = relays_find(record, &host->addr);
	if (!relay) {
		relay = relays_add(node, record, &host->addr, RELAY_TERMINAL, RELAY_DISESTABLISHED);
		if (!relay) {
			node_drop(node, DROP_RELAY_REFUSED, 1);
			return NULL;
		}
		relay->form = record->cert->version == CERT_VERSION_1 ? RELAY_V1 : RELAY_V2;
	}
	relays_touch(node, relay);
	return relay->type == RELAY_TERMINAL && !relay->wrong ? relay : NULL;
}

static void forgive(struct node *node, struct relay *relay)
{
	if (!relay->wrong)
		return;
	relay->wrong = false;
	relay->state = RELAY_DISESTABLISHED; /* what it is good for, the relay says anew */
}

void relays_forgive(struct node *node, const struct addr *peer)
{
	relays_each_of_peer(node, peer, forgive);
}

/* The relays that host may be reached through, but for ourselves and the host. */
static uint32_t relays_of(const struct node *node, const struct peer_host *host,
			  struct addr relays[RELAY_HOSTS_MAX])
{
	const struct relay_options *options = &node->relays.options;
	uint32_t count = 0, kept = 0;

	if (options->use_relays && !options->am_relay)
		count = remotes_relays(host->remotes, relays, RELAY_HOSTS_MAX);
	for (uint32_t i = 0; i < count; i++)
		if (!relays_is_self(node, &relays[i]) && !addr_equal(&relays[i], &host->addr))
			relays[kept++] = relays[i];
	return kept;
}

void relays_drive(struct node *node, struct host_pending *pending)
{
	struct addr relays[RELAY_HOSTS_MAX];
	uint32_t count = relays_of(node, pending->host, relays);

	for (uint32_t i = 0; i < count && pending->pending.stage1; i++) {
		struct relay *relay = own_entry(node, pending->host, &relays[i]);

		if (relay && relay->state == RELAY_ESTABLISHED) {
			relays_send(node, relay, pending->pending.stage1,
				    pending->pending.stage1_length);
			/* No answer: the relay may have lost the other half, and says nothing. */
			if (pending->pending.attempts > STALE_ATTEMPTS)
				request(node, relay);
			if (pending->pending.attempts > DEAF_ATTEMPTS)
				respond(node, relay);
		} else if (relay) {
			relay->state = RELAY_REQUESTED;
			request(node, relay);
		}
	}
}

void relays_keep_spares(struct node *node, const struct peer_host *host)
{
	struct addr relays[RELAY_HOSTS_MAX];
	uint32_t count = relays_of(node, host, relays);

	for (uint32_t i = 0; i < count; i++) {
		struct relay *relay = own_entry(node, host, &relays[i]);

		if (relay && relay->state != RELAY_ESTABLISHED && !relay->asks) {
			relay->state = RELAY_REQUESTED;
			relays_ask(node, relay);
		}
	}
}

/* --- requests of others ------------------------------------------------------------------------
 */

static void refuse(struct node *node, enum drop reason)
{
	node_drop(node, reason, 1);
}

/* Somebody wants to reach us through record's peer. */
static void on_request_for_us(struct node *node, struct tunnel_record *record,
			      const struct relay_message *asked)
{
	struct relay *relay = relays_find(record, &asked->from);
	struct relay_message answer = *asked;

	if (relays_record_has(record, &asked->from)) {
		refuse(node, DROP_RELAY_INVALID);
		return;
	}
	if (!relay)
		relay = relays_add(node, record, &asked->from, RELAY_TERMINAL, RELAY_REQUESTED);
	if (!relay || relay->type != RELAY_TERMINAL) {
		refuse(node, DROP_RELAY_REFUSED);
		return;
	}
	relays_touch(node, relay);
	relay->form = asked->form;
	relays_begin(node, relay);
	relays_set_remote(node, relay, asked->initiator_index);
	answer.type = RELAY_RESPONSE;
	answer.responder_index = relay->local_index;
	say(node, record, &answer);
	relays_established(node, relay);
}

/*
 * The entry by which we forward between record's neighbour and peer, made when absent; NULL: no
 * room. Where we were an end and the neighbour the relay, before a reload of both, that entry is
 * there still: it leads nowhere, for who asks to be relayed is no relay.
 */
static struct relay *forwarding_entry(struct node *node, struct tunnel_record *record,
				      const struct addr *peer, enum relay_state state)
{
	struct relay *relay = relays_find(record, peer);

	if (relay && relay->type == RELAY_TERMINAL) {
		relays_remove(node, relay, "we are the relay now");
		relay = NULL;
	}
	return relay ? relay : relays_add(node, record, peer, RELAY_FORWARDING, state);
}

/* The entry on the tunnel to the end that is asked for; asked again in any case. */
static struct relay *far_entry(struct node *node, struct tunnel_record *far,
			       const struct addr *from, enum relay_form form)
{
	struct relay *relay = forwarding_entry(node, far, from, RELAY_REQUESTED);

	if (!relay)
		return NULL;
	/* One that is there goes on forwarding while the end is asked whether it still is. */
	if (relay->state != RELAY_ESTABLISHED)
		relay->state = RELAY_REQUESTED;
	relay->form = form;
	request(node, relay);
	return relay;
}

/* The direct, proven tunnel to the end that is asked for, or NULL: one is begun if there may be. */
static struct tunnel_record *far_tunnel(struct node *node, const struct addr *to)
{
	const struct cert *own = pki_own_cert(node->pki);
	struct peer_host *host = tunnels_find_host(&node->tunnels, to);
	struct tunnel_record *record = host ? host->primary : NULL;
	bool ours = false;

	if (record)
		return relays_may_take(record) ? record : NULL;
	for (size_t i = 0; i < own->network_count; i++)
		ours |= prefix_contains(&own->networks[i], to);
	if (node->pending_count >= RELAY_PENDING_MAX && !(host && host->pending))
		return NULL;
	if (ours)
		host = tunnels_obtain_host(&node->tunnels, to);
	if (host) {
		initiator_begin(node, host, 0);
		tunnels_put_host(&node->tunnels, host);
	}
	return NULL;
}

/* Record's peer wants to reach another host through us. */
static void on_request_for_other(struct node *node, struct tunnel_record *record,
				 const struct relay_message *asked)
{
	const struct addr *from = &record->tunnel->addrs[0];
	struct tunnel_record *far;
	struct relay *near, *beyond;

	if (!relays_record_has(record, &asked->from) || relays_record_has(record, &asked->to)) {
		refuse(node, DROP_RELAY_INVALID);
		return;
	}
	if (!node->relays.options.am_relay ||
	    !rate_take_one(&record->relay_requests_full_ns,
			   RATE(RELAY_REQUESTS_PEER, RELAY_REQUESTS_PEER_BURST),
			   node_now_ns(node)) ||
	    !rate_take(&node->relays.requests, node_now_ns(node)))
		return refuse(node, DROP_RELAY_REFUSED);
	far = far_tunnel(node, &asked->to);
	if (!far)
		return refuse(node, DROP_RELAY_REFUSED);
	near = forwarding_entry(node, record, &asked->to, RELAY_PEER_REQUESTED);
	/* Now: what far_entry() removes may have others move here, for which idle ones go. */
	if (near)
		relays_touch(node, near);
	beyond = near ? far_entry(node, far, from, asked->form) : NULL;
	if (!beyond)
		return refuse(node, DROP_RELAY_REFUSED);
	near->waits = true;
	near->form = asked->form;
	relays_set_remote(node, near, asked->initiator_index);
	if (beyond->state == RELAY_ESTABLISHED)
		relays_begin(node, near);
	else
		near->state = RELAY_PEER_REQUESTED;
	relays_publish_pair(node, near);
	if (near->state == RELAY_ESTABLISHED)
		respond(node, near);
}

static void on_request(struct node *node, struct tunnel_record *record,
		       const struct relay_message *asked)
{
	if (asked->initiator_index == 0 || relays_is_self(node, &asked->from))
		refuse(node, DROP_RELAY_INVALID);
	else if (relays_is_self(node, &asked->to))
		on_request_for_us(node, record, asked);
	else
		on_request_for_other(node, record, asked);
}

/* --- responses ---------------------------------------------------------------------------------
 */

/*
 * The far end is there: those who wanted to reach it through us are told, once for each time that
 * they have asked. However often the far end says so, nobody else hears of it.
 */
static void grant_all(struct node *node, struct relay *beyond)
{
	const struct peer_host *host = tunnels_find_host(&node->tunnels, &beyond->peer);

	for (struct host_link *link = host ? host->links : NULL; link; link = link->next) {
		for (struct relay *near = link->record->relays; near; near = near->next) {
			if (near->type != RELAY_FORWARDING || near->state == RELAY_REQUESTED ||
			    (near->state == RELAY_ESTABLISHED && !near->waits) ||
			    !near->remote_index || !relays_record_has(beyond->record, &near->peer))
				continue;
			relays_begin(node, near);
			near->waits = false;
			respond(node, near);
		}
	}
}

static void on_response(struct node *node, struct tunnel_record *record,
			const struct relay_message *answer)
{
	struct relay *relay = relays_by_index(node, answer->initiator_index);

	if (!relay || relay->record != record || answer->responder_index == 0) {
		refuse(node, DROP_RELAY_INVALID);
		return;
	}
	relays_set_remote(node, relay, answer->responder_index);
	if (relays_far_is_gone(relay))
		return; /* who had wanted that went meanwhile, and asks again when it is back */
	relays_begin(node, relay);
	relay->form = answer->form;
	if (relay->type == RELAY_TERMINAL) {
		relays_established(node, relay);
		return;
	}
	grant_all(node, relay);
	relays_publish_pair(node, relay);
}

void relays_receive(struct node *node, struct tunnel_record *record, const uint8_t *bytes,
		    size_t length)
{
	struct relay_message message;
	char to[ADDR_TEXT_MAX], from[ADDR_TEXT_MAX];

	if (node->shut_down)
		return;
	if (record->link_count == 0 || relay_decode(bytes, length, &message) != 0) {
		refuse(node, DROP_RELAY_INVALID);
		return;
	}
	if (!record->tunnel->remote) { /* one hop only */
		refuse(node, DROP_RELAY_REFUSED);
		return;
	}
	addr_format(&message.from, from);
	addr_format(&message.to, to);
	NODE_LOG(node, OUTSIDE_DEBUG,
		 message.type == RELAY_REQUEST ? "handleCreateRelayRequest"
					       : "handleCreateRelayResponse",
		 FIELD_TEXT("relayFrom", from), FIELD_TEXT("relayTo", to),
		 FIELD_NUMBER("initiatorRelayIndex", message.initiator_index),
		 FIELD_NUMBER("responderRelayIndex", message.responder_index));
	if (message.type == RELAY_REQUEST)
		on_request(node, record, &message);
	else
		on_response(node, record, &message);
}

/* The tunnel with the neighbour of an entry that its other messages take, where that is another. */
static struct tunnel_record *better_tunnel(const struct relay *relay)
{
	const struct tunnel_record *record = relay->record;
	struct tunnel_record *primary =
		record->link_count > 0 ? record->links[0].host->primary : NULL;

	return primary != record && relays_may_take(primary) ? primary : NULL;
}

/*
 * The neighbour does not know the entry, or somebody says so in its name: the tunnel is tested, and
 * the entry asked for again. A relay that has restarted answers neither; then the test does the
 * rest, by a recv_error for the tunnel itself or by silence. A neighbour that has given up this one
 * of several tunnels is asked on the one that it has.
 */
bool relays_on_recv_error(struct node *node, uint32_t index, const struct endpoint *source)
{
	struct relay *relay = relays_by_remote(node, index, source);
	uint64_t now = node_now_ns(node);
	struct tunnel_record *better;

	if (!relay)
		return false;
	if (now < relay->asked_ns + RECV_ERROR_QUIET_NS) {
		node_drop(node, DROP_RECV_ERROR_IGNORED, 1);
		return true;
	}
	relay->asked_ns = now;
	manager_doubt(node, relay->record);
	if (relays_far_is_gone(relay))
		return true;
	request(node, relay);
	better = better_tunnel(relay);
	if (better)
		relays_move(node, relay, better);
	return true;
}
