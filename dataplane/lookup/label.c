/* label.c - see label.h. */
#include "lookup/label.h"

/* The last word of SipHash's input: its length in the top byte. */
#define LENGTH_WORD ((uint64_t)sizeof(struct flow) << 56)

struct sip {
	uint64_t v0, v1, v2, v3;
};

static uint64_t rotate(uint64_t x, unsigned bits)
{
	return x << bits | x >> (64 - bits);
}

static void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v2 += s->v3;
	s->v1 = rotate(s->v1, 13) ^ s->v0;
	s->v3 = rotate(s->v3, 16) ^ s->v2;
	s->v0 = rotate(s->v0, 32) + s->v3;
	s->v2 += s->v1;
	s->v1 = rotate(s->v1, 17) ^ s->v2;
	s->v3 = rotate(s->v3, 21) ^ s->v0;
	s->v2 = rotate(s->v2, 32);
}

static void sip_word(struct sip *s, uint64_t word)
{
	s->v3 ^= word;
	sip_round(s);
	s->v0 ^= word;
}

static uint64_t sip_hash(const struct label_key *key, const struct flow *flow)
{
	uint64_t word[sizeof(*flow) / 8];
	struct sip s = {
		key->words[0] ^ 0x736f6d6570736575u,
		key->words[1] ^ 0x646f72616e646f6du,
		key->words[0] ^ 0x6c7967656e657261u,
		key->words[1] ^ 0x7465646279746573u,
	};

	_Static_assert(sizeof(word) == sizeof(*flow), "every byte of the flow counts");
	memcpy(word, flow, sizeof(word));
	for (unsigned i = 0; i < sizeof(word) / sizeof(word[0]); i++)
		sip_word(&s, word[i]);
	sip_word(&s, LENGTH_WORD);
	s.v2 ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint16_t label_of(const struct label_key *key, const struct inner *inner)
{
	struct flow flow = inner->flow;

	/* the first fragment has ports and the others do not: all must meet */
	if (!inner->plain_ip) {
		flow.local_port = flow.remote_port = 0;
		flow.fragment = 0;
	}
	return (uint16_t)(1 + sip_hash(key, &flow) % key->labels);
}
