/* dns_wire.c - see dns_wire.h. */
#include "dns_wire.h"

#include <string.h>

#define FLAG_RESPONSE  0x8000
#define FLAG_TRUNCATED 0x0200
#define FLAG_RECURSION 0x0100
#define OPCODE_BITS    0x7800
#define TYPE_OPT       41
#define LABEL_MAX      63
#define STRING_MAX     255

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

/*
 * The labels at bytes[at]; returns where they end, 0 when they do not. Pointers are refused: a
 * question stands first, so there is nothing before it to point at. A dot within a label would make
 * another name of it.
 */
static size_t read_name(const uint8_t *bytes, size_t length, size_t at, char name[HOSTNAME_MAX + 1])
{
	size_t used = 0;

	while (at < length && bytes[at] != 0) {
		size_t label = bytes[at++];

		if (label > LABEL_MAX || label > length - at ||
		    used + label + (used > 0) > HOSTNAME_MAX)
			return 0;
		if (used > 0)
			name[used++] = '.';
		for (size_t i = 0; i < label; i++) {
			char c = (char)bytes[at + i];

			if (c == '.' || c == '\0')
				return 0;
			name[used++] = lower(c);
		}
		at += label;
	}
	name[used] = '\0';
	return at < length ? at + 1 : 0;
}

/* EDNS (RFC 6891): the size of replies that the asker takes, when that record stands first. */
static uint16_t read_size(const uint8_t *bytes, size_t length, size_t at)
{
	uint16_t size = DNS_PLAIN_MAX;

	if (get16(bytes + 10) > 0 && length - at >= 11 && bytes[at] == 0 &&
	    get16(bytes + at + 1) == TYPE_OPT)
		size = get16(bytes + at + 3);
	if (size < DNS_PLAIN_MAX)
		return DNS_PLAIN_MAX;
	return size < DNS_REPLY_MAX ? size : DNS_REPLY_MAX;
}

enum dns_read dns_read(const uint8_t *bytes, size_t length, struct dns_query *query,
		       enum dns_code *code)
{
	size_t end;

	memset(query, 0, sizeof(*query));
	query->size = DNS_PLAIN_MAX;
	if (length < DNS_HEADER_BYTES)
		return DNS_IGNORED;
	query->id = get16(bytes);
	query->flags = get16(bytes + 2);
	if (query->flags & FLAG_RESPONSE)
		return DNS_IGNORED;
	*code = DNS_NOT_IMPLEMENTED;
	if (query->flags & OPCODE_BITS)
		return DNS_BROKEN;
	*code = DNS_FORMAT_ERROR;
	if (get16(bytes + 4) != 1 || get16(bytes + 6) != 0 || get16(bytes + 8) != 0)
		return DNS_BROKEN;
	end = read_name(bytes, length, DNS_HEADER_BYTES, query->name);
	if (end == 0 || length - end < 4)
		return DNS_BROKEN;
	query->type = get16(bytes + end);
	query->class = get16(bytes + end + 2);
	query->question = bytes + DNS_HEADER_BYTES;
	query->question_bytes = (uint16_t)(end + 4 - DNS_HEADER_BYTES);
	query->size = read_size(bytes, length, end + 4);
	return DNS_READ;
}

void dns_begin(struct dns_reply *reply, uint8_t *bytes, const struct dns_query *query)
{
	*reply =
		(struct dns_reply){.bytes = bytes, .length = DNS_HEADER_BYTES, .size = query->size};
	memset(bytes, 0, DNS_HEADER_BYTES);
	put16(bytes, query->id);
	put16(bytes + 2, FLAG_RESPONSE | (query->flags & (OPCODE_BITS | FLAG_RECURSION)));
	if (query->question_bytes == 0)
		return;
	put16(bytes + 4, 1);
	memcpy(bytes + DNS_HEADER_BYTES, query->question, query->question_bytes);
	reply->length += query->question_bytes;
}

void dns_record(struct dns_reply *reply, const struct dns_query *query, const void *data,
		size_t length)
{
	uint8_t *at = reply->bytes + reply->length;

	if (reply->full || length > DNS_REPLY_MAX || reply->length + 12 + length > reply->size) {
		reply->full = true;
		return;
	}
	put16(at, 0xc000 | DNS_HEADER_BYTES); /* the question's name */
	put16(at + 2, query->type);
	put16(at + 4, 1);
	put16(at + 6, 0);
	put16(at + 8, DNS_TTL_S);
	put16(at + 10, (unsigned)length);
	memcpy(at + 12, data, length);
	reply->length += 12 + length;
	reply->answers++;
}

void dns_text(uint8_t *data, size_t size, size_t *used, const char *text)
{
	size_t length = strnlen(text, STRING_MAX);

	if (*used + 1 + length > size) {
		*used = size + 1; /* does not fit, and nothing behind it either */
		return;
	}
	data[(*used)++] = (uint8_t)length;
	memcpy(data + *used, text, length);
	*used += length;
}

size_t dns_end(struct dns_reply *reply, enum dns_code code)
{
	unsigned flags = get16(reply->bytes + 2) | code;

	if (reply->full) {
		size_t question = get16(reply->bytes + 4);

		flags |= FLAG_TRUNCATED;
		reply->answers = 0;
		if (question) {
			size_t at = DNS_HEADER_BYTES;

			while (reply->bytes[at] != 0)
				at += 1u + reply->bytes[at];
			reply->length = at + 5;
		}
	}
	put16(reply->bytes + 2, flags);
	put16(reply->bytes + 6, reply->answers);
	return reply->length;
}
