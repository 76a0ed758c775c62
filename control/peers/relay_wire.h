/*
 * relay_wire.h - NebulaControl, the messages that set a relay up (PROTOCOL.md 7.1), to and from
 * bytes. Pure.
 */
#ifndef M57_RELAY_WIRE_H
#define M57_RELAY_WIRE_H

#include <stddef.h>

#include "addr.h"
#include "limits.h"

enum relay_message_type { RELAY_REQUEST = 1, RELAY_RESPONSE = 2 };

/* How the two ends are named: by IPv4 numbers, or by 16 bytes. An answer has the form of what it
 * answers. */
enum relay_form { RELAY_V1, RELAY_V2 };

struct relay_message {
	enum relay_message_type type;
	enum relay_form form;
	uint32_t initiator_index; /* of whoever sent the request on this hop */
	uint32_t responder_index; /* of whoever sent the response on this hop */
	struct addr from, to;     /* who wants to reach whom */
};

/* 0, or -EBADMSG: malformed, of no such type, or without one of the addresses. */
int relay_decode(const uint8_t *bytes, size_t length, struct relay_message *message);

/* Writes message, fields in ascending order, zeros omitted. Returns its length; 0 when it cannot be
 * said: too long for size, or the v1 form and an address that is IPv6. */
size_t relay_encode(const struct relay_message *message, uint8_t *bytes, size_t size);

#endif
