/*
 * lighthouse_wire.h - NebulaMeta, the messages between a lighthouse and its clients (PROTOCOL.md
 * 6.1), to and from bytes. Pure.
 *
 * Two forms exist: the v1 form names hosts by an IPv4 number, the v2 form by 16 bytes. A message
 * says which by the field that names its host; the form of one that names none is V2.
 */
#ifndef M57_LIGHTHOUSE_WIRE_H
#define M57_LIGHTHOUSE_WIRE_H

#include <stddef.h>

#include "addr.h"
#include "limits.h"

enum lighthouse_type {
	LIGHTHOUSE_QUERY = 1,
	LIGHTHOUSE_REPLY = 2,
	LIGHTHOUSE_UPDATE = 3,
	LIGHTHOUSE_PUNCH = 5,
	LIGHTHOUSE_ACK = 10,
};

enum lighthouse_form { LIGHTHOUSE_V1, LIGHTHOUSE_V2 };

struct lighthouse_message {
	uint32_t type; /* enum lighthouse_type, or any number of a peer's */
	enum lighthouse_form form;
	bool has_addr;
	struct addr addr; /* the host it is about */
	uint32_t v4_count, v6_count, relay_count;
	struct endpoint v4[LIGHTHOUSE_ENTRIES_MAX];
	struct endpoint v6[LIGHTHOUSE_ENTRIES_MAX]; /* unmapped: may be IPv4 (trap 75) */
	struct addr relays[LIGHTHOUSE_ENTRIES_MAX];
};

/*
 * Reads one message. Entries without an address or with an impossible port are passed over, and
 * those beyond LIGHTHOUSE_ENTRIES_MAX. 0, or -EBADMSG: malformed, or without Details.
 */
int lighthouse_decode(const uint8_t *bytes, size_t length, struct lighthouse_message *message);

/*
 * Writes message, fields in ascending order, zeros omitted. Returns its length; 0 when it cannot
 * be said: too long for size, or the v1 form and an address or relay that is IPv6.
 */
size_t lighthouse_encode(const struct lighthouse_message *message, uint8_t *bytes, size_t size);

#endif
