/*
 * initiator.c - handshakes that we begin, from the first stage 1 to their end without an answer
 * (PROTOCOL.md 2.6). Answers: initiator_answer.c.
 */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "peers/node_state.h"

#define REMOTES_TEXT_MAX 512 /* bytes of a list of addresses in a log line; cut */

/* The next attempt of one that is needed at once may be so far away. */
#define HURRY_NS   200000000ull
#define CALL_BACKS 2
/* So long is an address left out at which another host answered. */
#define BLOCKED_NS 300000000000ull
/* So many attempts are for relays alone where those come first: 600 ms by default. */
#define RELAYS_FIRST 3

static void fire_pending(void *context, struct timer *timer);

static const char *remotes_text(const struct remotes *remotes, char text[REMOTES_TEXT_MAX])
{
	char one[ENDPOINT_TEXT_MAX];
	size_t at = 1;

	text[0] = '[';
	for (uint32_t i = 0; remotes && i < remotes->count; i++) {
		if (remotes->list[i].blocked || at + sizeof(one) + 2 > REMOTES_TEXT_MAX)
			continue;
		endpoint_format(&remotes->list[i].to, one);
		if (at > 1)
			text[at++] = ' ';
		memcpy(text + at, one, strlen(one));
		at += strlen(one);
	}
	text[at++] = ']';
	text[at] = '\0';
	return text;
}

/* Is there anything to send stage 1 to, if only to a relay later? */
static bool can_send(const struct peer_host *host)
{
	struct addr relay;

	return remotes_usable(host->remotes) > 0 || host->call_backs > 0 ||
	       remotes_relays(host->remotes, &relay, 1) > 0;
}

/* Where another host was, this one may be by now: a machine was renewed, addresses were swapped. */
static void forgive(struct node *node, struct peer_host *host)
{
	struct remotes *remotes = host->remotes;

	if (remotes && remotes->blocked_count > 0 &&
	    node_now_ns(node) >= remotes->blocked_ns + BLOCKED_NS)
		remotes_unblock(remotes);
}

static struct host_pending *make_pending(struct node *node, struct peer_host *host, uint32_t queue,
					 bool responds)
{
	struct tunnels *tunnels = &node->tunnels;
	struct host_pending *pending;

	/* A configuration that all share may have us among the lighthouses. */
	if (node->shut_down || relays_is_self(node, &host->addr) ||
	    node->pending_count >= PENDING_MAX ||
	    timers_reserve(&tunnels->timers, tunnels->count + PENDING_MAX + NODE_TIMERS) != 0)
		return NULL;
	pending = calloc(1, sizeof(*pending));
	if (!pending)
		return NULL;
	lighthouse_calculate(node, host);
	forgive(node, host);
	pending_init(&pending->pending, node->options.try_interval_ns, node->options.retries,
		     node_now_ns(node), can_send(host));
	pending->timer.fire = fire_pending;
	pending->host = host;
	pending->queue = queue;
	pending->responds = responds;
	host->pending = pending;
	node->pending_count++;
	timer_arm(&tunnels->timers, &pending->timer, pending->pending.due_ns);
	if (!responds)
		lighthouse_ask(node, host);
	return pending;
}

struct host_pending *initiator_begin(struct node *node, struct peer_host *host, uint32_t queue)
{
	if (!host->pending)
		return make_pending(node, host, queue, false);
	if (!host->pending->quiet && !host->pending->responds)
		return host->pending;
	/* Nobody has waited for it: its attempts may be nearly used up, and far apart. */
	host->pending->quiet = host->pending->responds = false;
	initiator_restart(node, host->pending);
	return host->pending;
}

void initiator_hurry(struct node *node, struct host_pending *pending)
{
	if (pending->pending.due_ns > node_now_ns(node) + HURRY_NS)
		initiator_restart(node, pending);
}

void initiator_respond(struct node *node, struct peer_host *host)
{
	if (!host->pending)
		make_pending(node, host, 0, true);
}

void initiator_share(struct node *node, struct host_pending *pending)
{
	if (pending->sharing)
		return;
	pending->sharing = true;
	pending->next_sharing = node->tunnels.sharing;
	node->tunnels.sharing = pending;
}

struct remotes *initiator_remotes(struct node *node, struct peer_host *host)
{
	if (!host->remotes)
		host->remotes = remotes_create(&node->lighthouse.order);
	return host->remotes;
}

void initiator_add_remote(struct node *node, struct peer_host *host, const struct endpoint *remote)
{
	if (initiator_remotes(node, host))
		remotes_add(host->remotes, remote);
}

void initiator_learn(struct node *node, struct peer_host *host, const struct endpoint *remote)
{
	/* A tunnel lives on where a reload has forbidden it, but nothing else is to go there. */
	if (lighthouse_permits(node, &host->addr, remote) && initiator_remotes(node, host))
		remotes_learn(host->remotes, &host->addr, remote);
}

/* Out of the node's tables. The index stays reserved: the caller removes or uses it. */
static void take_pending(struct node *node, struct host_pending *pending)
{
	struct host_pending **at = &node->tunnels.sharing;

	while (pending->sharing && *at != pending)
		at = &(*at)->next_sharing;
	if (pending->sharing)
		*at = pending->next_sharing;
	if (pending->pending.stage1)
		table_remove(&node->pending_by_index, &pending->by_index);
	timer_arm(&node->tunnels.timers, &pending->timer, TIMER_NEVER);
	pending->host->pending = NULL;
	node->pending_count--;
}

static void free_pending(struct host_pending *pending)
{
	pending_release(&pending->pending);
	free(pending);
}

static void drop_held(struct node *node, struct host_pending *pending, enum drop reason)
{
	struct held_run *run;

	while ((run = pending_take(&pending->pending, &node->tunnels.held_bytes))) {
		node_drop(node, reason, run->packets);
		free(run);
	}
}

/* A tunnel whose counter nears its end asks again for a handshake, now that this one has failed. */
static void forgive_events(struct peer_host *host)
{
	for (struct host_link *link = host->links; link; link = link->next)
		atomic_fetch_and(&link->record->tunnel->event_in_flight,
				 ~(uint32_t)TUNNEL_EVENT_COUNTER);
}

/* The handshake is over, either way, and holds no runs; the host goes if nothing is left of it. */
static void settle_host(struct node *node, struct peer_host *host)
{
	relays_forgive(node, &host->addr);
	tunnels_publish_host(&node->tunnels, host);
	tunnels_put_host(&node->tunnels, host);
}

void initiator_finish(struct node *node, struct host_pending *pending)
{
	struct peer_host *host = pending->host;

	drop_held(node, pending, DROP_PENDING_FULL);
	take_pending(node, pending);
	free_pending(pending);
	settle_host(node, host);
}

void initiator_end(struct node *node, struct host_pending *pending, enum drop reason)
{
	struct peer_host *host = pending->host;

	drop_held(node, pending, reason);
	take_pending(node, pending);
	if (pending->pending.stage1)
		hostmap_index_remove(node->tunnels.map, pending->pending.index);
	free_pending(pending);
	forgive_events(host);
	settle_host(node, host);
}

void initiator_quiet(struct node *node, struct peer_host *host)
{
	if (host->pending)
		host->pending->quiet = true;
}

/* Stage 1, once: index, ephemeral key, bytes. */
static int build_stage1(struct node *node, struct host_pending *pending)
{
	uint8_t e_private[NOISE_KEY_BYTES];
	struct pending *state = &pending->pending;
	uint32_t index;
	size_t length;
	int err = node_index_allocate(node, node_next_queue(node), &index);

	if (err)
		return err;
	node->outside->random(node->outside->context, e_private, sizeof(e_private));
	err = machine_begin(&state->machine, &node->self, index, node_handshake_time(node),
			    e_private, node->scratch, sizeof(node->scratch), &length) == MACHINE_OK
		      ? 0
		      : -EMSGSIZE;
	sodium_memzero(e_private, sizeof(e_private));
	if (err)
		goto err_index;
	state->stage1 = malloc(length);
	if (!state->stage1) {
		err = -ENOMEM;
		goto err_index;
	}
	memcpy(state->stage1, node->scratch, length);
	state->stage1_length = length;
	state->index = index;
	table_add(&node->pending_by_index, &pending->by_index, index);
	return 0;

err_index:
	hostmap_index_remove(node->tunnels.map, index);
	return err;
}

/* To where a stage 1 came from that was too old: twice for each, so that whoever replays one gains
 * nothing by aiming us. */
static void call_back(struct node *node, struct host_pending *pending)
{
	struct peer_host *host = pending->host;

	if (host->call_backs == 0)
		return;
	host->call_backs--;
	for (uint32_t i = 0; host->remotes && i < host->remotes->count; i++)
		if (endpoint_equal(&host->remotes->list[i].to, &host->called_from))
			return; /* there it goes anyway, or may not go */
	node->outside->send_udp(node->outside->context, &host->called_from, pending->pending.stage1,
				pending->pending.stage1_length);
}

void initiator_call_back(struct node *node, struct peer_host *host, const struct endpoint *from)
{
	bool is_new = host->call_backs == 0;

	host->called_from = *from;
	host->call_backs = CALL_BACKS;
	if (is_new && host->pending)
		initiator_poke(node, host->pending);
}

static void send_directly(struct node *node, struct host_pending *pending)
{
	const struct remotes *remotes = pending->host->remotes;
	const struct pending *state = &pending->pending;

	if (pending->relays_first && state->attempts <= RELAYS_FIRST)
		return;
	for (uint32_t i = 0; remotes && i < remotes->count; i++)
		if (!remotes->list[i].blocked)
			node->outside->send_udp(node->outside->context, &remotes->list[i].to,
						state->stage1, state->stage1_length);
	call_back(node, pending);
}

static void send_stage1(struct node *node, struct host_pending *pending)
{
	const struct remotes *remotes = pending->host->remotes;
	char host_text[ADDR_TEXT_MAX + 2], text[REMOTES_TEXT_MAX];
	struct pending *state = &pending->pending;
	bool first = !state->stage1;

	if (!can_send(pending->host) || pending->quiet || node->shut_down)
		return;
	if (first && build_stage1(node, pending) != 0)
		return;
	send_directly(node, pending);
	NODE_LOG(node, first ? OUTSIDE_INFO : OUTSIDE_DEBUG, "Handshake message sent",
		 FIELD_TEXT("vpnAddrs", node_host_text(&pending->host->addr, host_text)),
		 FIELD_TEXT("udpAddrs", remotes_text(remotes, text)),
		 FIELD_NUMBER("initiatorIndex", state->index), FIELD_NUMBER("handshake.stage", 1),
		 FIELD_TEXT("handshake.style", "ix_psk0"));
	relays_drive(node, pending);
}

void initiator_send_through(struct node *node, struct host_pending *pending, struct relay *relay)
{
	struct pending *state = &pending->pending;

	if (!pending->quiet && !node->shut_down && (state->stage1 || !build_stage1(node, pending)))
		relays_send(node, relay, state->stage1, state->stage1_length);
}

void initiator_poke(struct node *node, struct host_pending *pending)
{
	if (pending->pokes++ < POKES_MAX)
		send_stage1(node, pending);
}

/* Lost queries are repeated while there is nothing to send to; else once in the middle (2.6). */
static void ask_again(struct node *node, struct host_pending *pending)
{
	uint32_t usable = remotes_usable(pending->host->remotes);

	if (!pending->quiet && !pending->responds &&
	    (usable == 0 || (usable == 1 && pending->pending.attempts == 5)))
		lighthouse_ask(node, pending->host);
}

/* Unless nobody needed it any more, or an answer came that was refused: that is the reason, and
 * stays. */
static void note_timeout(struct node *node, const struct host_pending *pending)
{
	const struct node_failure *noted = failures_find(&node->failures, &pending->host->addr);

	if (pending->quiet || (noted && noted->at_ns > pending->pending.started_ns))
		return;
	node_note_failure(node, &pending->host->addr, NULL,
			  remotes_usable(pending->host->remotes)
				  ? "no answer from any known address"
				  : "no underlay address of the host is known",
			  "");
}

static void fire_pending(void *context, struct timer *timer)
{
	struct node *node = table_entry(context, struct node, tunnels);
	struct host_pending *pending = table_entry(timer, struct host_pending, timer);
	struct pending *state = &pending->pending;
	char host_text[ADDR_TEXT_MAX + 2], text[REMOTES_TEXT_MAX];
	uint64_t now = node_now_ns(node);

	switch (pending_due(state, now)) {
	case PENDING_WAIT:
		break;
	case PENDING_SEND:
		send_stage1(node, pending);
		ask_again(node, pending);
		break;
	case PENDING_TIMEOUT:
		NODE_LOG(node, pending->quiet ? OUTSIDE_DEBUG : OUTSIDE_INFO, "Handshake timed out",
			 FIELD_TEXT("vpnAddrs", node_host_text(&pending->host->addr, host_text)),
			 FIELD_TEXT("udpAddrs", remotes_text(pending->host->remotes, text)),
			 FIELD_NUMBER("initiatorIndex", state->index),
			 FIELD_NUMBER("handshake.stage", 1),
			 FIELD_TEXT("handshake.style", "ix_psk0"),
			 FIELD_NUMBER("durationNs", now - state->started_ns));
		note_timeout(node, pending);
		initiator_end(node, pending, DROP_PENDING_TIMEOUT);
		return;
	}
	timer_arm(&node->tunnels.timers, timer, state->due_ns);
}

void initiator_restart(struct node *node, struct host_pending *pending)
{
	struct host_pending *next;

	take_pending(node, pending);
	if (pending->pending.stage1)
		hostmap_index_remove(node->tunnels.map, pending->pending.index);
	next = make_pending(node, pending->host, pending->queue, pending->responds);
	if (next) {
		next->quiet = pending->quiet;
		pending_move(&pending->pending, &next->pending);
		if (pending->sharing)
			initiator_share(node, next);
	} else {
		drop_held(node, pending, DROP_PENDING_TIMEOUT);
	}
	free_pending(pending);
}
