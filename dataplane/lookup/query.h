/* query.h - a lighthouse's HostQuery, as every client encodes it (PROTOCOL.md 6.1, 6.4). */
#ifndef M57_QUERY_H
#define M57_QUERY_H

#include "addr.h"
#include "card.h"

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

#endif
