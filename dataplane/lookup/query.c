/* query.c - see query.h. */
#include "lookup/query.h"

#include <endian.h>
#include <string.h>

#define FIELD(number, wire) ((number) << 3 | (wire))
#define VARINT              0
#define BYTES               2

struct reader {
	const uint8_t *at, *end;
	bool failed;
};

static uint64_t read_varint(struct reader *r)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 64 && r->at < r->end; shift += 7) {
		uint8_t byte = *r->at++;

		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return value;
	}
	r->failed = true;
	return 0;
}

static bool next_is(struct reader *r, uint8_t tag)
{
	if (r->at == r->end || *r->at != tag)
		return false;
	r->at++;
	return true;
}

/* A message within is the rest of the one around it. */
static bool enter(struct reader *r, uint8_t tag)
{
	uint64_t length;

	if (!next_is(r, tag))
		return false;
	length = read_varint(r);
	return !r->failed && length == (uint64_t)(r->end - r->at);
}

static void put_word(uint8_t *to, uint64_t word)
{
	word = htobe64(word);
	memcpy(to, &word, sizeof(word));
}

bool query_read(const uint8_t *bytes, uint32_t length, struct query *query)
{
	struct reader r = {bytes, bytes + length, false};
	uint64_t word;

	if (!next_is(&r, FIELD(1, VARINT)) || read_varint(&r) != 1 || !enter(&r, FIELD(2, BYTES)))
		return false;
	if (next_is(&r, FIELD(1, VARINT))) {
		word = read_varint(&r);
		query->form = CARD_V1;
		query->about = addr_from_v4((uint32_t)word);
		return !r.failed && r.at == r.end && word != 0 && word <= UINT32_MAX;
	}
	if (!enter(&r, FIELD(6, BYTES)))
		return false;
	query->form = CARD_V2;
	put_word(query->about.bytes, next_is(&r, FIELD(1, VARINT)) ? read_varint(&r) : 0);
	put_word(query->about.bytes + 8, next_is(&r, FIELD(2, VARINT)) ? read_varint(&r) : 0);
	return !r.failed && r.at == r.end && !addr_is_zero(&query->about);
}

/* At most PUNCH_ORDERS_PER_SECOND to one host, whichever workers send them: the time at which its
 * bucket is full again, as control/peers/rate.h. */
static bool punch_permitted(struct host_entry *host, uint64_t now_ns)
{
	const uint64_t interval = 1000000000ull / PUNCH_ORDERS_PER_SECOND;
	uint64_t full = atomic_load_explicit(&host->punch_full_ns, memory_order_relaxed), from;

	do {
		from = full > now_ns ? full : now_ns;
		if (from - now_ns > (PUNCH_ORDERS_BURST - 1) * interval)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&host->punch_full_ns, &full,
							from + interval, memory_order_relaxed,
							memory_order_relaxed));
	return true;
}

static bool is_direct(const struct host_entry *host)
{
	const struct tunnel *tunnel = host_tunnel(host);

	return !tunnel || RCU_READ(tunnel->remote);
}

bool query_answer(struct hostmap *map, const struct tunnel *asker, const struct query *query,
		  uint64_t now_ns, struct query_answer *answer)
{
	struct host_entry *about = hostmap_by_addr(map, &query->about), *self;
	const struct host_card *card;

	*answer = (struct query_answer){0};
	if (asker->addr_count != 1)
		return false;
	card = about ? RCU_READ(about->card) : NULL;
	if (!RCU_READ(asker->remote) || (card && !is_direct(about)))
		return false;
	if (!card || card->reply_bytes[query->form] == 0)
		return true;
	answer->about = card;
	if (addr_equal(&asker->addrs[0], &query->about))
		return true;
	self = hostmap_by_addr(map, &asker->addrs[0]);
	answer->asker = self ? RCU_READ(self->card) : NULL;
	if (!answer->asker || answer->asker->punch_bytes[card->punch_form] == 0)
		return true;
	answer->limited = !punch_permitted(about, now_ns);
	if (!answer->limited)
		answer->target = host_tunnel(about);
	return true;
}
