/* payload.c - see payload.h. A cursor with a sticky error walks the wire format. */
#include "handshake/payload.h"

#include <errno.h>
#include <string.h>

enum wire_format { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };
enum field { DETAILS = 1, HMAC = 2 };
enum details_field { CERT = 1, INITIATOR = 2, RESPONDER = 3, COOKIE = 4, TIME = 5, VERSION = 8 };

struct cursor {
	const uint8_t *at, *end;
	bool failed; /* once set, everything reads as zero or empty */
};

struct span {
	const uint8_t *bytes;
	size_t length;
};

static uint64_t read_varint(struct cursor *cursor)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 70 && !cursor->failed; shift += 7) {
		if (cursor->at == cursor->end)
			break;
		uint8_t byte = *cursor->at++;
		if (shift == 63 && byte > 1)
			break; /* more than 64 bits */
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return value;
	}
	cursor->failed = true;
	return 0;
}

static uint32_t read_u32(struct cursor *cursor)
{
	uint64_t value = read_varint(cursor);

	if (value > UINT32_MAX)
		cursor->failed = true;
	return (uint32_t)value;
}

static struct span read_fixed(struct cursor *cursor, uint64_t length)
{
	struct span span = {cursor->at, 0};

	if (cursor->failed || length > (uint64_t)(cursor->end - cursor->at)) {
		cursor->failed = true;
		return span;
	}
	span.length = (size_t)length;
	cursor->at += length;
	return span;
}

static struct span read_bytes(struct cursor *cursor)
{
	return read_fixed(cursor, read_varint(cursor));
}

/* The next tag; field 0, numbers above 2^29-1 and the wire formats of groups do not exist. */
static uint32_t read_tag(struct cursor *cursor, enum wire_format *format)
{
	uint64_t tag = read_varint(cursor);

	*format = tag & 7;
	if (tag >> 3 == 0 || tag >> 3 >= 1u << 29)
		cursor->failed = true;
	return (uint32_t)(tag >> 3);
}

static void skip(struct cursor *cursor, enum wire_format format)
{
	switch (format) {
	case VARINT:
		read_varint(cursor);
		return;
	case FIXED64:
		read_fixed(cursor, 8);
		return;
	case BYTES:
		read_bytes(cursor);
		return;
	case FIXED32:
		read_fixed(cursor, 4);
		return;
	}
	cursor->failed = true;
}

static bool more(const struct cursor *cursor)
{
	return !cursor->failed && cursor->at < cursor->end;
}

/* A known field must come in the format of its type. */
static void expect(struct cursor *cursor, enum wire_format format, enum wire_format wanted)
{
	if (format != wanted)
		cursor->failed = true;
}

static bool decode_details(struct span span, struct payload *payload)
{
	struct cursor cursor = {span.bytes, span.bytes + span.length, false};

	while (more(&cursor)) {
		enum wire_format format;
		uint32_t field = read_tag(&cursor, &format);
		struct span cert;

		switch (field) {
		case CERT:
			expect(&cursor, format, BYTES);
			cert = read_bytes(&cursor);
			payload->cert = cert.bytes;
			payload->cert_length = cert.length;
			break;
		case INITIATOR:
			expect(&cursor, format, VARINT);
			payload->initiator_index = read_u32(&cursor);
			break;
		case RESPONDER:
			expect(&cursor, format, VARINT);
			payload->responder_index = read_u32(&cursor);
			break;
		case COOKIE: /* never set by anybody, ignored since 1.11.0 */
			expect(&cursor, format, VARINT);
			read_varint(&cursor);
			break;
		case TIME:
			expect(&cursor, format, VARINT);
			payload->time = read_varint(&cursor);
			break;
		case VERSION:
			expect(&cursor, format, VARINT);
			payload->cert_version = read_u32(&cursor);
			break;
		default:
			skip(&cursor, format);
		}
	}
	return !cursor.failed;
}

int payload_decode(const uint8_t *bytes, size_t length, struct payload *payload)
{
	struct cursor cursor = {bytes, bytes + length, false};

	memset(payload, 0, sizeof(*payload));
	while (more(&cursor)) {
		enum wire_format format;

		switch (read_tag(&cursor, &format)) {
		case DETAILS:
			expect(&cursor, format, BYTES);
			if (!decode_details(read_bytes(&cursor), payload))
				cursor.failed = true;
			break;
		case HMAC:
			expect(&cursor, format, BYTES);
			read_bytes(&cursor);
			break;
		default:
			skip(&cursor, format);
		}
	}
	return cursor.failed ? -EBADMSG : 0;
}

static uint8_t *put_varint(uint8_t *at, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		*at++ = (uint8_t)(value | 0x80);
	*at++ = (uint8_t)value;
	return at;
}

static uint8_t *put_number(uint8_t *at, enum details_field field, uint64_t value)
{
	if (value == 0)
		return at;
	*at++ = (uint8_t)(field << 3 | VARINT);
	return put_varint(at, value);
}

size_t payload_encode(const struct payload *payload, uint8_t *out, size_t capacity)
{
	/* The numbers first, to know the length of the details that goes before them. */
	uint8_t numbers[PAYLOAD_OVERHEAD_MAX], head[16], *end = numbers, *at = out, *head_end;

	end = put_number(end, INITIATOR, payload->initiator_index);
	end = put_number(end, RESPONDER, payload->responder_index);
	end = put_number(end, TIME, payload->time);
	end = put_number(end, VERSION, payload->cert_version);

	head[0] = CERT << 3 | BYTES;
	head_end = payload->cert_length ? put_varint(head + 1, payload->cert_length) : head;

	size_t head_bytes = (size_t)(head_end - head), number_bytes = (size_t)(end - numbers);
	size_t details = head_bytes + payload->cert_length + number_bytes;

	if (payload->cert_length > capacity || details + 11 > capacity) /* tag and longest varint */
		return 0;
	*at++ = DETAILS << 3 | BYTES;
	at = put_varint(at, details);
	memcpy(at, head, head_bytes);
	at += head_bytes;
	if (payload->cert_length)
		memcpy(at, payload->cert, payload->cert_length);
	at += payload->cert_length;
	memcpy(at, numbers, number_bytes);
	return (size_t)(at - out) + number_bytes;
}
