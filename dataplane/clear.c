/*
 * clear.c - datagrams that nothing authenticates: handshakes and recv_errors
 * (PROTOCOL.md 2.3, 4.6).
 *
 * Control decides about them. A worker drops those that cannot mean anything, lets through no more
 * than control can take, and answers datagrams whose index means nothing here. Exits: HANDSHAKE_*
 * (of which one network has a share, lookup/source.h), RECV_ERROR_IGNORED, PUNT_POOL, or punted.
 */
#include "worker.h"

/* ---- our answers to unknown indexes ---------------------------------------------------------- */

static bool recv_error_permitted(struct worker *w, const struct endpoint *source)
{
	uint32_t v4 = addr_v4(&source->addr);

	switch (w->snapshot->send_recv_error) {
	case RECV_ERROR_NEVER:
		return false;
	case RECV_ERROR_PRIVATE:
		if (!addr_is_v4(&source->addr))
			return (source->addr.bytes[0] & 0xfe) == 0xfc;
		return v4 >> 24 == 10 || v4 >> 20 == 0xac1 || v4 >> 16 == 0xc0a8;
	case RECV_ERROR_ALWAYS:
		break;
	}
	return true;
}

bool clear_recv_error(struct worker *w, const struct endpoint *source, uint32_t index)
{
	uint8_t answer[WIRE_HEADER_BYTES];

	if (w->now_s != w->recv_error_refill_s) {
		w->recv_error_refill_s = w->now_s;
		w->recv_error_tokens = RECV_ERROR_PER_SECOND;
	}
	if (w->recv_error_tokens == 0 || !recv_error_permitted(w, source)) {
		count_stat(w->counters, STAT_RECV_ERROR_LIMITED, 1);
		return false;
	}
	w->recv_error_tokens--;
	wire_write(answer, WIRE_RECV_ERROR, index, 0);
	bool sent = !train_send_single(w, source, (struct tunnel_id){0}, answer, sizeof(answer));
	count_stat(w->counters, sent ? STAT_RECV_ERROR_SENT : STAT_RECV_ERROR_LIMITED, 1);
	return sent;
}

void clear_disown(struct worker *w, const struct endpoint *source, uint32_t index)
{
	uint32_t hash = (uint32_t)addr_hash(&source->addr) ^ (index ^ source->port) * 0x9e3779b9u;
	uint32_t *told = &w->recv_error_told[hash % RECV_ERROR_TOLD];

	if (!clear_recv_error(w, source, index) || *told == hash ||
	    w->recv_error_tokens <= RECV_ERROR_REPEAT_ABOVE)
		return;
	for (int i = 1; i < RECV_ERROR_REPEATS; i++)
		clear_recv_error(w, source, index);
	*told = hash;
}

/* ---- what arrives ---------------------------------------------------------------------------- */

/*
 * What can be said of a handshake packet without control: a stage 1 has an index of 0 and two keys
 * in front (PROTOCOL.md 2.3), everything else answers a handshake that is pending here.
 */
static enum drop handshake_check(struct worker *w, const uint8_t *datagram, uint32_t bytes)
{
	uint32_t index = wire_remote_index(datagram);

	if (wire_counter(datagram) == 1)
		return index == 0 && bytes > HANDSHAKE_BYTES_MIN ? DROP_NONE
								 : DROP_HANDSHAKE_INVALID;
	struct index_entry *entry = index ? hostmap_by_index(w->map, index) : NULL;
	return entry && !RCU_READ(entry->tunnel) ? DROP_NONE : DROP_HANDSHAKE_STALE;
}

/* Hands a datagram to control as it came. */
static void punt_datagram(struct worker *w, struct punt *punt, const struct arrival *arrival,
			  const uint8_t *datagram, uint32_t bytes)
{
	_Static_assert(PUNT_BYTES >= DATAGRAM_MAX, "a longer one was dropped before");
	punt->source = *arrival->source;
	punt->via = arrival->via;
	punt->length = bytes;
	memcpy(punt->bytes, datagram, bytes);
	punt_send(w, punt);
}

static enum drop punt_handshake(struct worker *w, const struct arrival *arrival,
				const uint8_t *datagram, uint32_t bytes)
{
	uint32_t bucket = source_bucket(w->source_key, arrival->source, arrival->via, w->now_s);
	enum drop reason = source_admit(&w->shares, bucket);
	struct punt *punt;

	if (reason != DROP_NONE)
		return reason;
	punt = punt_take(w, POOL_CLASS_HANDSHAKE, PUNT_HANDSHAKE); /* there is one */
	punt->shares = &w->shares;
	punt->bucket = bucket;
	punt_datagram(w, punt, arrival, datagram, bytes);
	return DROP_NONE;
}

static enum drop punt_recv_error(struct worker *w, const struct arrival *arrival,
				 const uint8_t *datagram, uint32_t bytes)
{
	struct punt *punt = punt_take(w, POOL_CLASS_RECV_ERROR, PUNT_RECV_ERROR);

	if (!punt)
		return DROP_PUNT_POOL;
	punt_datagram(w, punt, arrival, datagram, bytes);
	return DROP_NONE;
}

/* Nobody signs them; a peer that has lost all its tunnels sends one for each packet of ours. */
static bool recv_error_heard(struct worker *w)
{
	if (w->now_s != w->recv_error_heard_s) {
		w->recv_error_heard_s = w->now_s;
		w->recv_errors_heard = 0;
	}
	return w->recv_errors_heard++ < RECV_ERROR_HEARD_PER_SECOND;
}

void clear_datagram(struct worker *w, const struct arrival *arrival, enum wire_type type,
		    const uint8_t *datagram, uint32_t bytes)
{
	enum drop reason = DROP_NONE;

	if (type == WIRE_HANDSHAKE)
		reason = handshake_check(w, datagram, bytes);
	else if (!recv_error_heard(w))
		reason = DROP_RECV_ERROR_IGNORED;
	if (reason == DROP_NONE)
		reason = type == WIRE_HANDSHAKE ? punt_handshake(w, arrival, datagram, bytes)
						: punt_recv_error(w, arrival, datagram, bytes);
	if (reason != DROP_NONE)
		count_drop(w->counters, reason, 1);
}
