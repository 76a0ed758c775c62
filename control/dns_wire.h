/*
 * dns_wire.h - the little of DNS that a lighthouse speaks (PROTOCOL.md 10.4, RFC 1035): one
 * question in, a few records of it out. Pure.
 */
#ifndef M57_DNS_WIRE_H
#define M57_DNS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "limits.h"

#define DNS_HEADER_BYTES 12
#define DNS_REPLY_MAX    1232 /* bytes; never fragmented, and what EDNS asks for at most counts */
#define DNS_PLAIN_MAX    512  /* of a reply to who does not speak EDNS */
#define DNS_TTL_S        3600

enum dns_type { DNS_A = 1, DNS_TXT = 16, DNS_AAAA = 28 };
enum dns_code {
	DNS_NO_ERROR = 0,
	DNS_FORMAT_ERROR = 1,
	DNS_NO_NAME = 3,
	DNS_NOT_IMPLEMENTED = 4,
	DNS_REFUSED = 5
};

struct dns_query {
	uint16_t id, flags;
	uint16_t type, class;
	uint16_t size;               /* bytes that a reply may have */
	uint16_t question_bytes;     /* 0: it could not be read */
	const uint8_t *question;     /* in the query's bytes: name, type, class as asked */
	char name[HOSTNAME_MAX + 1]; /* lower case, without the last dot; "" is the root */
};

enum dns_read {
	DNS_READ,    /* complete */
	DNS_IGNORED, /* no query at all: no answer, for two servers must not talk to each other */
	DNS_BROKEN   /* only id and flags can be used; code is the answer */
};

/* Reads a query. Names that point elsewhere, and more or fewer questions than one, are broken. */
enum dns_read dns_read(const uint8_t *bytes, size_t length, struct dns_query *query,
		       enum dns_code *code);

/* A reply in the making. */
struct dns_reply {
	uint8_t *bytes; /* DNS_REPLY_MAX of room */
	size_t length, size;
	uint16_t answers;
	bool full; /* a record did not fit: sent without any, marked as truncated */
};

/* Begins with the header and, where it could be read, the question. */
void dns_begin(struct dns_reply *reply, uint8_t *bytes, const struct dns_query *query);
/* A record of the name asked for, of the type asked for. */
void dns_record(struct dns_reply *reply, const struct dns_query *query, const void *data,
		size_t length);
/* One character-string, cut at 255 bytes, behind those in data, of which used bytes are taken. */
void dns_text(uint8_t *data, size_t size, size_t *used, const char *text);
/* Completes the header. Returns the length. */
size_t dns_end(struct dns_reply *reply, enum dns_code code);

#endif
