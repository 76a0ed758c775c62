/*
 * answer.c - a lighthouse's workers answer HostQuery themselves (PROTOCOL.md 6.4), from the cards
 * that control has published (card.h): nothing crosses to control and back. What a question leads
 * to is decided when it comes; the messages wait in two rings for free send slots, so that a flood
 * of questions holds up neither the tun nor what comes in. Replies go first, and those to one asker
 * as trains; orders to punch go one by one, each to another host. A full ring loses what is newest:
 * who asked, asks again.
 */
#include "worker.h"

#include "lookup/query.h"

/* Send slots that answers leave to the traffic of this turn. */
#define SLOTS_LEFT (SEND_SLOTS / 4)

/* How far a train is gathered from. */
#define GROUP_REACH 64

static void queue(struct worker *w, struct answer_ring *ring, const struct answer *answer)
{
	if (ring->count == ANSWERS_MAX) {
		count_drop(w->counters, DROP_LIGHTHOUSE_BUSY, 1);
		return;
	}
	ring->list[(ring->head + ring->count++) % ANSWERS_MAX] = *answer;
}

bool answer_query(struct worker *w, const struct tunnel *asker, const uint8_t *bytes,
		  uint32_t length)
{
	struct query_answer answer;
	struct query query;

	if (!query_read(bytes, length, &query) ||
	    !query_answer(w->map, asker, &query, w->now_ns, &answer))
		return false;
	count_stat(w->counters, STAT_LIGHTHOUSE_QUERIES, 1);
	if (answer.about)
		queue(w, &w->replies, &(struct answer){asker->id, query.about, query.form});
	if (answer.target)
		queue(w, &w->punches,
		      &(struct answer){answer.target->id, asker->addrs[0],
				       answer.about->punch_form});
	if (answer.limited)
		count_drop(w->counters, DROP_PUNCH_LIMITED, 1);
	return true;
}

/* Tunnel or card may have gone meanwhile: then there is nothing to say. */
static void send_answer(struct worker *w, const struct answer *answer, bool punch)
{
	struct tunnel *tunnel = hostmap_by_id(w->map, answer->to);
	struct host_entry *host = hostmap_by_addr(w->map, &answer->about);
	const struct host_card *card = host ? RCU_READ(host->card) : NULL;
	enum card_form form = answer->form;
	uint32_t length;

	if (!tunnel || !card)
		return;
	length = punch ? card->punch_bytes[form] : card->reply_bytes[form];
	if (length == 0)
		return;
	if (outbound_in_train(w, tunnel, WIRE_LIGHTHOUSE,
			      punch ? card_punch(card, form) : card_reply(card, form), length) == 0)
		count_stat(w->counters, punch ? STAT_LIGHTHOUSE_PUNCHES : STAT_LIGHTHOUSE_REPLIES,
			   1);
}

static bool has_room(const struct worker *w)
{
	return io_send_slots_free(w->io) > SLOTS_LEFT;
}

/*
 * The oldest, and all for the same tunnel among the next ones, so that they make one train. Where
 * their sizes differ each is a train of its own, so there may not be room for all.
 */
static void work_group(struct worker *w, struct answer_ring *ring, bool punch)
{
	uint32_t reach = ring->count < GROUP_REACH ? ring->count : GROUP_REACH;
	struct tunnel_id to = ring->list[ring->head].to;

	for (uint32_t i = 0; i < reach && has_room(w); i++) {
		struct answer *answer = &ring->list[(ring->head + i) % ANSWERS_MAX];

		if (answer->to.slot != to.slot || answer->to.generation != to.generation)
			continue;
		send_answer(w, answer, punch);
		answer->to.generation = 0; /* done */
	}
	while (ring->count > 0 && ring->list[ring->head].to.generation == 0) {
		ring->head = (ring->head + 1) % ANSWERS_MAX;
		ring->count--;
	}
}

static void work_ring(struct worker *w, struct answer_ring *ring, bool punch)
{
	while (ring->count > 0 && has_room(w))
		work_group(w, ring, punch);
}

void answers_work(struct worker *w)
{
	work_ring(w, &w->replies, false);
	work_ring(w, &w->punches, true);
}
