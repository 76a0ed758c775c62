/*
 * inbound_run.c - a run is opened, and what was in it written to the tun or punted (PROTOCOL.md
 * 4.3).
 *
 * Exits of a datagram: REPLAY, AUTHENTICATION, INNER_PARSE, FIREWALL_*, WRITE_ERROR, PUNT_*,
 * punted, answered (answer.c; without a tun, echo.c), or written to the tun.
 *
 * The straight road. The first packet of a run is opened into a write slot, parsed and judged. The
 * next is opened so that its payload lands behind the first one's (join.h); when its header
 * continues the chain, that is all: no lookup, no firewall, no copy. The replay window is asked
 * once for all counters of the run before anything is opened and told once at the end which were
 * authentic. It must be told before anything that cannot be taken back (a write, a punt, a decision
 * on another chain), so settle() stands in front of those. Should another worker have been told of
 * the same counter meanwhile, the chain goes back to where it stood at the last settle().
 */
#include "inbound_run.h"

#include "crypto/replay.h"
#include "crypto/seal.h"
#include "filter/firewall.h"
#include "lookup/query.h"

/* ---- authentication -------------------------------------------------------------------------- */

/*
 * What an authenticated datagram says about the tunnel itself. Of one that came through a relay the
 * source is unknown. A tunnel without a direct path is made direct by control, but for messages:
 * a test request shows only that one direction is open.
 */
static void tunnel_is_alive(struct worker *w, struct tunnel *tunnel, const struct endpoint *source,
			    uint32_t via, bool message)
{
	const struct remote *remote = RCU_READ(tunnel->remote);
	bool moves = !via && (remote || message);

	if (atomic_load_explicit(&tunnel->last_in_ns, memory_order_relaxed) != w->now_ns)
		atomic_store_explicit(&tunnel->last_in_ns, w->now_ns, memory_order_relaxed);
	if (atomic_load_explicit(&tunnel->state, memory_order_relaxed) == TUNNEL_UNCONFIRMED)
		punt_tunnel_event(w, tunnel, TUNNEL_EVENT_CONFIRMED, PUNT_CONFIRMED,
				  moves ? source : NULL, via, 0);
	if (moves && (!remote || !endpoint_equal(&remote->to, source)))
		punt_tunnel_event(w, tunnel, TUNNEL_EVENT_ROAM, PUNT_ROAM, source, 0, 0);
}

void inbound_alive(struct worker *w, struct tunnel *tunnel, const struct endpoint *source)
{
	tunnel_is_alive(w, tunnel, source, 0, false);
}

/*
 * Some of the authentic datagrams were known by now. When the tail has grown, all but the last were
 * joined to it, and one that was cannot be taken out of it alone: then all that it grew by goes.
 */
static void take_back(struct worker *w, struct inbound_run *run, uint32_t end, uint32_t authentic,
		      uint32_t kept)
{
	bool has_tail = run->tail && run->tail->slot;
	uint32_t grown = has_tail ? run->tail->chain.count - run->mark.count : 0;
	uint32_t lost = authentic - kept, lost_alone = lost;

	if (grown > 0)
		lost_alone = authentic > grown && !run->fresh[end - 1];
	if (lost == lost_alone)
		grown = 0;
	else if (has_tail)
		run->tail->chain = run->mark;
	count_drop(w->counters, DROP_REPLAY, grown + lost_alone);
}

/* Tells the replay window of datagrams up to, not including, end. */
static void settle(struct worker *w, struct inbound_run *run, uint32_t end)
{
	uint32_t first = run->settled, authentic = 0;

	for (uint32_t i = first; i < end; i++)
		authentic += run->fresh[i];
	run->settled = end;
	if (authentic > 0) {
		uint32_t kept = replay_commit(run->window, run->counter + first, end - first,
					      run->fresh + first);
		if (kept < authentic)
			take_back(w, run, end, authentic, kept);
		if (kept > 0)
			tunnel_is_alive(w, run->tunnel, run->source, run->via,
					run->type == WIRE_MESSAGE);
		if (kept > 0 && run->owner != OWNER_NONE)
			tunnel_labelled(run->tunnel);
		if (kept > 0 && run->mixed)
			handover_mixed(w);
	}
	run->tail = w->chains.last;
	if (run->tail)
		run->mark = run->tail->chain;
}

static bool open_datagram(struct worker *w, struct inbound_run *run, uint32_t i, uint8_t *out)
{
	if (seal_open(run->tunnel, run->datagram[i], run->bytes[i], out) == 0)
		return true;
	run->fresh[i] = false;
	count_drop(w->counters, DROP_AUTHENTICATION, 1);
	return false;
}

/* Is datagram i worth opening: new to the window, and not authentic before in this run? */
static bool is_new(struct worker *w, struct inbound_run *run, uint32_t i)
{
	if (!run->fresh[i])
		return false;
	if (!replay_repeated(run->counter, run->fresh, i, &run->highest))
		return true;
	run->fresh[i] = false;
	count_drop(w->counters, DROP_REPLAY, 1);
	return false;
}

/* ---- messages: inner packets ----------------------------------------------------------------- */

static bool allowed(struct worker *w, struct tunnel *tunnel, const uint8_t *packet,
		    const struct inner *inner)
{
	struct judged *judged = &w->judged;

	if (judged->tunnel == tunnel &&
	    memcmp(&judged->flow, &inner->flow, sizeof(inner->flow)) == 0)
		return true;
	enum drop reason = firewall_check(w->conntrack, w->snapshot, tunnel,
					  tunnel_rules(tunnel, w->snapshot->rules_version),
					  &inner->flow, INBOUND, w->now_s, w->counters);
	if (reason != DROP_NONE) {
		count_drop(w->counters, reason, 1);
		refuse_inbound(w, tunnel, packet, inner, reason);
		return false;
	}
	*judged = (struct judged){.tunnel = tunnel, .flow = inner->flow};
	return true;
}

/* The straight road: true when datagram i has become part of the last chain, or has failed to open.
 */
static bool message_continues(struct worker *w, struct inbound_run *run, uint32_t i,
			      struct write_slot **slot, uint8_t **packet)
{
	struct open_chain *last = w->chains.last;
	uint32_t length = run->bytes[i] - WIRE_OVERHEAD;
	uint8_t saved[INNER_HEADER_MAX];
	struct inner inner;

	if (!last || last->tunnel != run->tunnel)
		return false;
	uint8_t *place = join_place(&last->chain, length, saved);
	if (!place)
		return false;
	if (!open_datagram(w, run, i, place)) {
		join_restore(&last->chain, saved);
		return true;
	}
	if (inner_parse(place, length, INBOUND, &inner) == DROP_NONE &&
	    join_accept(&last->chain, place, length, &inner,
			join_classify(place, length, &inner, w->tso, w->uso), saved))
		return true;

	/* it belongs elsewhere: the one copy, then the chain gets its bytes back */
	*packet = chains_room(w, length, slot);
	if (*packet) {
		memcpy(*packet, place, length);
		count_stat(w->counters, STAT_COPIED_BYTES, length);
	}
	join_restore(&last->chain, saved);
	if (!*packet) {
		run->fresh[i] = false;
		count_drop(w->counters, DROP_WRITE_ERROR, 1);
		return true;
	}
	return false;
}

static void message(struct worker *w, struct inbound_run *run, uint32_t i)
{
	uint32_t length = run->bytes[i] - WIRE_OVERHEAD;
	struct write_slot *slot = NULL;
	uint8_t *packet = NULL;
	struct inner inner;

	if (message_continues(w, run, i, &slot, &packet))
		return;
	if (!packet) {
		packet = chains_room(w, length, &slot);
		if (!packet) {
			run->fresh[i] = false;
			count_drop(w->counters, DROP_WRITE_ERROR, 1);
			return;
		}
		if (!open_datagram(w, run, i, packet))
			return;
	}
	settle(w, run, i + 1);
	if (!run->fresh[i])
		return;
	enum drop reason = inner_parse(packet, length, INBOUND, &inner);
	if (reason != DROP_NONE)
		count_drop(w->counters, reason, 1);
	else if (allowed(w, run->tunnel, packet, &inner)) {
		chains_add(w, slot, packet, inner.ip_length, &inner, run->tunnel);
		run->tail = w->chains.last;
		if (run->tail)
			run->mark = run->tail->chain;
	}
}

/* Without a tun there is nothing to join and nowhere to write to. */
static void message_without_tun(struct worker *w, struct inbound_run *run, uint32_t i)
{
	uint8_t packet[DATAGRAM_MAX];
	struct inner inner;

	if (!open_datagram(w, run, i, packet))
		return;
	settle(w, run, i + 1);
	if (!run->fresh[i])
		return;
	enum drop reason = inner_parse(packet, run->bytes[i] - WIRE_OVERHEAD, INBOUND, &inner);
	if (reason == DROP_NONE) {
		if (!allowed(w, run->tunnel, packet, &inner))
			return;
		reason = echo_answer(w, run->tunnel, packet, &inner);
	}
	if (reason != DROP_NONE)
		count_drop(w->counters, reason, 1);
}

/* ---- the other encrypted types: opened for control ------------------------------------------- */

/* A punt for a message of the run's peer, of which it has its share. NULL: dropped and counted. */
static struct punt *opened_take(struct worker *w, const struct inbound_run *run)
{
	uint32_t bucket = source_peer_bucket(w->source_key, &run->tunnel->addrs[0], w->now_s);
	enum drop reason = source_admit_opened(&w->opened_shares, bucket);
	struct punt *punt;

	if (reason != DROP_NONE) {
		count_drop(w->counters, reason, 1);
		return NULL;
	}
	punt = punt_take(w, POOL_CLASS_OPENED, PUNT_OPENED); /* there is one */
	punt->shares = &w->opened_shares;
	punt->bucket = bucket;
	return punt;
}

/* punt has the payload of datagram i, which is authentic and settled. */
static void punt_opened(struct worker *w, const struct inbound_run *run, uint32_t i,
			struct punt *punt)
{
	punt->wire = run->type;
	punt->tunnel = run->tunnel->id;
	punt->source = *run->source;
	punt->via = run->via;
	punt->length = run->bytes[i] - WIRE_OVERHEAD;
	punt_send(w, punt);
}

/* Opened where control will read it. */
static void punted(struct worker *w, struct inbound_run *run, uint32_t i)
{
	struct punt *punt = opened_take(w, run);

	_Static_assert(PUNT_BYTES >= DATAGRAM_MAX, "a longer datagram was dropped before");
	if (!punt) {
		run->fresh[i] = false;
		return;
	}
	if (open_datagram(w, run, i, punt->bytes))
		settle(w, run, i + 1);
	if (run->fresh[i])
		punt_opened(w, run, i, punt);
	else
		punt_release(punt);
}

/* The same for what was opened elsewhere. */
static void punt_copy(struct worker *w, const struct inbound_run *run, uint32_t i,
		      const uint8_t *plain)
{
	struct punt *punt = opened_take(w, run);

	if (!punt)
		return;
	memcpy(punt->bytes, plain, run->bytes[i] - WIRE_OVERHEAD);
	punt_opened(w, run, i, punt);
}

/* A lighthouse's: plain questions are answered here, all else is for control. */
static void lighthouse_messages(struct worker *w, struct inbound_run *run)
{
	uint8_t plain[RUN_MAX][QUERY_BYTES_MAX];

	for (uint32_t i = 0; i < run->count; i++) {
		if (!is_new(w, run, i))
			continue;
		if (run->bytes[i] > QUERY_BYTES_MAX + WIRE_OVERHEAD)
			punted(w, run, i);
		else
			open_datagram(w, run, i, plain[i]);
	}
	settle(w, run, run->count);
	for (uint32_t i = 0; i < run->count; i++) {
		uint32_t length = run->bytes[i] - WIRE_OVERHEAD;

		if (!run->fresh[i] || length > QUERY_BYTES_MAX)
			continue;
		if (!answer_query(w, run->tunnel, plain[i], length))
			punt_copy(w, run, i, plain[i]);
	}
}

/* ---- the run --------------------------------------------------------------------------------- */

void inbound_run_open(struct worker *w, struct inbound_run *run)
{
	run->window = run->owner != OWNER_NONE && run->tunnel->windows
			      ? &run->tunnel->windows[run->owner]
			      : &run->tunnel->replay;
	uint32_t fresh = replay_check(run->window, run->counter, run->count, run->fresh);
	if (fresh < run->count)
		count_drop(w->counters, DROP_REPLAY, run->count - fresh);
	run->settled = 0;
	run->highest = 0;
	run->tail = w->chains.last;
	if (run->tail)
		run->mark = run->tail->chain;
	if (run->type == WIRE_LIGHTHOUSE && w->snapshot->am_lighthouse) {
		lighthouse_messages(w, run);
		return;
	}
	for (uint32_t i = 0; i < run->count; i++) {
		if (!is_new(w, run, i))
			continue;
		if (run->type == WIRE_MESSAGE && w->has_tun)
			message(w, run, i);
		else if (run->type == WIRE_MESSAGE)
			message_without_tun(w, run, i);
		else
			punted(w, run, i);
	}
	settle(w, run, run->count);
}
