/* query.c - see query.h. */
#include "lookup/query.h"

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
	return next_is(r, tag) && read_varint(r) == (uint64_t)(r->end - r->at) && !r->failed;
}

static void put_word(uint8_t *to, uint64_t word)
{
	word = __builtin_bswap64(word);
	__builtin_memcpy(to, &word, sizeof(word));
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
