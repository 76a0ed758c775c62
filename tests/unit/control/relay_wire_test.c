/* relay_wire_test.c - NebulaControl against the vectors of PROTOCOL.md 14.7, and bad input. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "addr_text.h"
#include "peers/relay_wire.h"

TestSuite(relay_wire);

struct vector {
	const char *hex;
	struct relay_message message;
};

#define A ((struct addr){{[10] = 0xff, 0xff, 10, 42, 0, 2}})
#define B ((struct addr){{[10] = 0xff, 0xff, 10, 42, 0, 1}})

static const struct vector vectors[] = {
	{"080110c4e6888901208180a851288280a851", {RELAY_REQUEST, RELAY_V1, 0x11223344, 0, A, B}},
	{"080210c4e688890118ccf7aacd09208180a851288280a851",
	 {RELAY_RESPONSE, RELAY_V1, 0x11223344, 0x99aabbcc, A, B}},
	{"080110c4e68889013208108180a8d1f0ff3f3a08108280a8d1f0ff3f",
	 {RELAY_REQUEST, RELAY_V2, 0x11223344, 0, A, B}},
};
#define VECTORS (sizeof(vectors) / sizeof(vectors[0]))

static size_t unhex(const char *hex, uint8_t *bytes, size_t size)
{
	size_t length;

	cr_assert_eq(sodium_hex2bin(bytes, size, hex, strlen(hex), NULL, &length, NULL), 0);
	return length;
}

static void expect_same(const struct relay_message *a, const struct relay_message *b)
{
	cr_expect_eq(a->type, b->type);
	cr_expect_eq(a->form, b->form);
	cr_expect_eq(a->initiator_index, b->initiator_index);
	cr_expect_eq(a->responder_index, b->responder_index);
	cr_expect(addr_equal(&a->from, &b->from));
	cr_expect(addr_equal(&a->to, &b->to));
}

Test(relay_wire, vectors)
{
	for (size_t i = 0; i < VECTORS; i++) {
		uint8_t wanted[RELAY_BYTES_MAX], bytes[RELAY_BYTES_MAX];
		size_t length = unhex(vectors[i].hex, wanted, sizeof(wanted));
		struct relay_message message;

		cr_assert_eq(relay_decode(wanted, length, &message), 0, "%zu", i);
		expect_same(&message, &vectors[i].message);
		cr_assert_eq(relay_encode(&message, bytes, sizeof(bytes)), length, "%zu", i);
		cr_expect_arr_eq(bytes, wanted, length);
		/* no room by one byte */
		cr_expect_eq(relay_encode(&message, bytes, length - 1), 0);
	}
}

/* Each message in a block of its own, so that a sanitizer sees a read behind it. */
static int decode(const uint8_t *bytes, size_t length, struct relay_message *message)
{
	uint8_t *copy = malloc(length ? length : 1);
	int result;

	memcpy(copy, bytes, length);
	result = relay_decode(copy, length, message);
	free(copy);
	return result;
}

/* Cut anywhere, a message is refused: nothing but the last field could be missing, and all are
 * needed. */
Test(relay_wire, cut_at_every_byte)
{
	for (size_t i = 0; i < VECTORS; i++) {
		uint8_t bytes[RELAY_BYTES_MAX];
		size_t length = unhex(vectors[i].hex, bytes, sizeof(bytes));
		struct relay_message message;

		for (size_t n = 0; n < length; n++)
			cr_expect_eq(decode(bytes, n, &message), -EBADMSG, "%zu at %zu", i, n);
	}
}

Test(relay_wire, every_byte_changed)
{
	for (size_t i = 0; i < VECTORS; i++) {
		uint8_t bytes[RELAY_BYTES_MAX];
		size_t length = unhex(vectors[i].hex, bytes, sizeof(bytes));
		struct relay_message message;

		for (size_t n = 0; n < length; n++) {
			uint8_t was = bytes[n];
			for (unsigned value = 0; value < 256; value++) {
				bytes[n] = (uint8_t)value;
				if (decode(bytes, length, &message) != 0)
					continue;
				cr_expect(message.type == RELAY_REQUEST ||
					  message.type == RELAY_RESPONSE);
				cr_expect_not(addr_is_zero(&message.from));
				cr_expect_not(addr_is_zero(&message.to));
			}
			bytes[n] = was;
		}
	}
}

Test(relay_wire, odd_but_right_and_wrong)
{
	static const struct {
		const char *hex;
		int result;
	} rows[] = {
		{"080120012802", 0},                   /* no index: for the caller to judge */
		{"0801200128021001", 0},               /* fields in another order */
		{"080210011002080120012802", 0},       /* given twice: the last counts */
		{"0801200128027a0101", 0},             /* unknown field of bytes */
		{"080120012802790102030405060708", 0}, /* unknown field of 64 bits */
		{"20012802", -EBADMSG},                /* no type */
		{"080320012802", -EBADMSG},            /* type 3 */
		{"08012001", -EBADMSG},                /* no from */
		{"08012802", -EBADMSG},                /* no to */
		{"080120002800", -EBADMSG},            /* zeros */
		{"080132003a00", -EBADMSG},            /* empty addresses */
		{"0801320210013a021002", 0},           /* halves of which one is left out */
		{"0801220210012802", -EBADMSG},        /* number as message */
		{"080130013a021002", -EBADMSG},        /* message as number */
		{"0801320510013a021002", -EBADMSG},    /* length beyond the end */
		{"0801200128020b", -EBADMSG},          /* group */
		{"0801200128020001", -EBADMSG},        /* field 0 */
		{"080120ffffffffffffffffffff012802", -EBADMSG}, /* varint too long */
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t bytes[RELAY_BYTES_MAX];
		size_t length = unhex(rows[i].hex, bytes, sizeof(bytes));
		struct relay_message message;

		cr_expect_eq(decode(bytes, length, &message), rows[i].result, "row %zu", i);
	}
}

Test(relay_wire, what_cannot_be_said)
{
	struct relay_message message = vectors[0].message;
	uint8_t bytes[RELAY_BYTES_MAX];

	message.from.bytes[0] = 0xfd;
	cr_expect_eq(relay_encode(&message, bytes, sizeof(bytes)), 0, "IPv6 in the v1 form");
	message.form = RELAY_V2;
	memset(&message.from, 0xff, sizeof(message.from));
	memset(&message.to, 0xff, sizeof(message.to));
	message.initiator_index = message.responder_index = UINT32_MAX;
	cr_expect_gt(relay_encode(&message, bytes, sizeof(bytes)), 0, "the longest has room");
}
