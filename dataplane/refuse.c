/*
 * refuse.c - what the firewall has refused: noted for who asks (refusals.h), and answered where the
 * configuration says so (PROTOCOL.md 5.6). Never on the straight road: a packet gets here after it
 * was dropped.
 *
 * The answer to a local packet is written to the tun. The answer to a peer goes through its tunnel
 * past the outbound firewall: it must reach the peer whose packets may come in but whose answers no
 * rule lets out.
 *
 * A run gets one answer. Each direction has its own bucket per second, so that a peer that scans
 * ports does not silence the answers to local programs.
 */
#include "worker.h"

#include "filter/firewall.h"
#include "filter/reject.h"

static bool take_token(struct worker *w, enum direction direction)
{
	struct reject_bucket *bucket = &w->rejects[direction];

	if (w->now_s != bucket->refill_s) {
		bucket->refill_s = w->now_s;
		bucket->tokens = REJECTS_PER_SECOND;
	}
	if (bucket->tokens == 0)
		return false;
	bucket->tokens--;
	return true;
}

static void count_answer(struct worker *w, bool sent)
{
	count_stat(w->counters, sent ? STAT_REJECTS_SENT : STAT_REJECTS_LIMITED, 1);
}

/*
 * While control compiles the tunnel's bits for new rules, no rule has refused anything: a RST would
 * end a connection that is allowed.
 */
static bool rules_have_judged(const struct worker *w, struct tunnel *tunnel)
{
	const struct peer_rules *rules = tunnel_rules(tunnel, w->snapshot->rules_version);

	return rules && rules->version == w->snapshot->rules_version;
}

static void note(struct worker *w, const struct flow *flow, enum direction direction,
		 enum drop reason)
{
	struct refusal refusal = {
		.times = 1,
		.last_ns = w->now_ns,
		.flow = *flow,
		.direction = direction,
		.reason = reason,
	};

	refusals_note(&w->refusals, &refusal, sizeof(refusal));
}

void refuse_outbound(struct worker *w, struct tunnel *tunnel, const uint8_t *packet,
		     const struct inner *inner, enum drop reason)
{
	struct write_slot *slot;

	note(w, &inner->flow, OUTBOUND, firewall_drop(reason, OUTBOUND));
	if (!w->snapshot->reject[OUTBOUND] || !w->has_tun)
		return;
	if (reason == DROP_FIREWALL_NO_RULE) {
		if (!tunnel || !rules_have_judged(w, tunnel))
			return;
	} else if (reason != DROP_FIREWALL_REMOTE_ADDR && reason != DROP_FIREWALL_LOCAL_ADDR &&
		   reason != DROP_TUN_NO_ROUTE) {
		return;
	}
	uint8_t *answer = chains_room(w, REJECT_BYTES_MAX, &slot);
	uint32_t bytes = answer ? reject_build(packet, inner, answer) : 0;
	if (answer && bytes == 0)
		return;
	bool sent = answer && take_token(w, OUTBOUND);
	if (sent)
		chains_write(w, slot, answer, bytes);
	count_answer(w, sent);
}

void refuse_inbound(struct worker *w, struct tunnel *tunnel, const uint8_t *packet,
		    const struct inner *inner, enum drop reason)
{
	uint8_t answer[REJECT_BYTES_MAX];
	struct judged *last = &w->refused;

	note(w, &inner->flow, INBOUND, reason);
	/* With addresses that are not the peer's or not ours no peer would take the answer. */
	if (!w->snapshot->reject[INBOUND] || reason != DROP_FIREWALL_NO_RULE ||
	    !rules_have_judged(w, tunnel))
		return;
	if (last->tunnel == tunnel && memcmp(&last->flow, &inner->flow, sizeof(last->flow)) == 0)
		return;
	uint32_t bytes = reject_build(packet, inner, answer);
	if (bytes == 0)
		return;
	*last = (struct judged){.tunnel = tunnel, .flow = inner->flow};
	count_answer(w, take_token(w, INBOUND) && outbound_message(w, tunnel, WIRE_MESSAGE, NULL,
								   answer, bytes) == 0);
}
