/* query.h - a lighthouse's HostQuery, as every client encodes it (PROTOCOL.md 6.1, 6.4). */
#ifndef M57_QUERY_H
#define M57_QUERY_H

#include "hostmap.h"

#define QUERY_BYTES_MAX 64 /* of a plain HostQuery; the longest has 27 */

struct query {
	enum card_form form;
	struct addr about;
};

/*
 * Reads a HostQuery that has its two fields in order and nothing else. False: another message, or
 * this one said in another way; control's decoder takes it, which knows everything.
 */
bool query_read(const uint8_t *bytes, uint32_t length, struct query *query);

/* What a question leads to. Pointers of tables: for this turn. */
struct query_answer {
	const struct host_card *about; /* card_reply() goes to the asker; NULL: nobody is known */
	const struct tunnel *target;   /* the order to punch goes there; NULL: none */
	const struct host_card *asker; /* card_punch() of it, in the form of about->punch_form */
	bool limited;                  /* no order, for the target has got too many */
};

/*
 * Decides at now_ns, coarse monotonic. False: control must: for an asker with several addresses,
 * one of which the target knows it by, and where one of the two is reached through a relay.
 */
bool query_answer(struct hostmap *map, const struct tunnel *asker, const struct query *query,
		  uint64_t now_ns, struct query_answer *answer);

#endif
