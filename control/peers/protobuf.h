/*
 * protobuf.h - the few forms of protobuf that lighthouse and relay messages have, by hand.
 *
 * Both directions run over a cursor whose error sticks: when `bad` is set at the end, nothing that
 * was read or written counts. Reading follows proto3: unknown fields are passed over, of a scalar
 * given twice the last counts; a known field of another kind makes the message malformed, as in the
 * reference. Writing omits zeros.
 */
#ifndef M57_PROTOBUF_H
#define M57_PROTOBUF_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "addr.h"

enum protobuf_kind { KIND_VARINT = 0, KIND_64 = 1, KIND_BYTES = 2, KIND_32 = 5 };

/* --- reading ----------------------------------------------------------------------------------
 */

struct reader {
	const uint8_t *at, *end;
	bool bad;
};

struct field {
	uint64_t number;
	unsigned kind;
	uint64_t value;       /* of a varint */
	struct reader inside; /* of bytes */
};

static inline uint64_t read_varint(struct reader *r)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		if (r->at == r->end)
			break;
		uint8_t byte = *r->at++;
		if (shift == 63 && byte > 1)
			break;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return value;
	}
	r->bad = true;
	return 0;
}

static inline struct reader read_bytes(struct reader *r, uint64_t length)
{
	struct reader inside = {r->at, r->at, false};

	if (r->bad || length > (uint64_t)(r->end - r->at)) {
		r->bad = true;
		return inside;
	}
	inside.end = r->at += length;
	return inside;
}

/* False at the end, or when the message is malformed. */
static inline bool next_field(struct reader *r, struct field *field)
{
	uint64_t tag;

	if (r->bad || r->at == r->end)
		return false;
	tag = read_varint(r);
	field->value = 0;
	field->number = tag >> 3;
	field->kind = tag & 7;
	if (field->number == 0)
		r->bad = true;
	switch (field->kind) {
	case KIND_VARINT:
		field->value = read_varint(r);
		break;
	case KIND_BYTES:
		field->inside = read_bytes(r, read_varint(r));
		break;
	case KIND_64:
		read_bytes(r, 8);
		break;
	case KIND_32:
		read_bytes(r, 4);
		break;
	default:
		r->bad = true;
	}
	return !r->bad;
}

/* A known field of another kind makes the message malformed, as in the reference. */
static inline uint64_t number_of(struct reader *r, const struct field *field)
{
	r->bad |= field->kind != KIND_VARINT;
	return field->kind == KIND_VARINT ? field->value : 0;
}

static inline struct reader message_of(struct reader *r, const struct field *field)
{
	r->bad |= field->kind != KIND_BYTES;
	return field->kind == KIND_BYTES ? field->inside : (struct reader){r->end, r->end, false};
}

/* The numbers 1, 2 and 3 of a message that has nothing else: all address messages. */
static inline void read_numbers(struct reader *outer, const struct field *field,
				uint64_t numbers[3])
{
	struct reader r = message_of(outer, field);
	struct field inner;

	numbers[0] = numbers[1] = numbers[2] = 0;
	while (next_field(&r, &inner))
		if (inner.number <= 3)
			numbers[inner.number - 1] = number_of(&r, &inner);
	outer->bad |= r.bad;
}

static inline struct addr addr_of_halves(uint64_t high, uint64_t low)
{
	uint64_t halves[2] = {htobe64(high), htobe64(low)};
	struct addr addr;

	memcpy(addr.bytes, halves, sizeof(addr.bytes));
	return addr;
}

/* --- writing ----------------------------------------------------------------------------------
 */

struct writer {
	uint8_t *at, *end;
	bool bad;
};

static inline void write_varint(struct writer *w, uint64_t value)
{
	do {
		if (w->at == w->end) {
			w->bad = true;
			return;
		}
		*w->at++ = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
		value >>= 7;
	} while (value);
}

static inline void write_number(struct writer *w, unsigned field, uint64_t value)
{
	if (value == 0)
		return;
	write_varint(w, field << 3 | KIND_VARINT);
	write_varint(w, value);
}

static inline void write_message(struct writer *w, unsigned field, const uint8_t *bytes,
				 size_t length)
{
	write_varint(w, field << 3 | KIND_BYTES);
	write_varint(w, length);
	if (w->bad || length > (size_t)(w->end - w->at)) {
		w->bad = true;
		return;
	}
	memcpy(w->at, bytes, length);
	w->at += length;
}

static inline uint64_t half_of(const struct addr *addr, unsigned half)
{
	uint64_t value;

	memcpy(&value, addr->bytes + 8 * half, sizeof(value));
	return be64toh(value);
}

/* An address as a message of its halves; port 0: without. */
static inline void write_addr(struct writer *w, unsigned field, const struct addr *addr,
			      uint16_t port)
{
	uint8_t bytes[32];
	struct writer inner = {bytes, bytes + sizeof(bytes), false};

	write_number(&inner, 1, half_of(addr, 0));
	write_number(&inner, 2, half_of(addr, 1));
	write_number(&inner, 3, port);
	write_message(w, field, bytes, (size_t)(inner.at - bytes));
}

#endif
