/* payload_test.c - the rules of PROTOCOL.md 2.3, and the generated code as a second opinion. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sodium.h>

#include "handshake/handshake.pb-c.h"
#include "handshake/payload.h"
#include "vectors/handshake_vectors.h"

TestSuite(payload);

struct decode_case {
	const char *name;
	const char *hex;
	int result;
	uint32_t initiator_index, responder_index;
	uint64_t time;
	uint32_t cert_version;
	size_t cert_length;
};

static const struct decode_case decode_cases[] = {
	{"empty", "", 0, 0, 0, 0, 0, 0},
	{"all fields", "0a0f0a02aabb1001180220072880014002", 0, 1, 2, 128, 2, 2},
	{"unknown varint", "0a05a006011005", 0, 5, 0, 0, 0, 0},
	{"unknown fixed64", "0a0ca10611223344556677881005", 0, 5, 0, 0, 0, 0},
	{"unknown fixed64, cut", "0a06a10611223344", -EBADMSG, 0, 0, 0, 0, 0},
	{"unknown bytes", "0a07a20602aabb1005", 0, 5, 0, 0, 0, 0},
	{"unknown fixed32", "0a08a506112233441005", 0, 5, 0, 0, 0, 0},
	{"unknown ones of every format", "0a1aa00605a1061122334455667788a20602aabba506112233441005",
	 0, 5, 0, 0, 0, 0},
	{"unknown bytes outside", "a20602aabb0a021005", 0, 5, 0, 0, 0, 0},
	{"unknown fixed32 outside", "a506aabbccdd0a021005", 0, 5, 0, 0, 0, 0},
	{"groups do not exist", "a3060a021005", -EBADMSG, 0, 0, 0, 0, 0},
	{"field 0", "00000a021005", -EBADMSG, 0, 0, 0, 0, 0},
	{"last of a repeated field wins", "0a0410051006", 0, 6, 0, 0, 0, 0},
	{"details merge", "0a0210050a021807", 0, 5, 7, 0, 0, 0},
	{"details merge, later wins", "0a04100518010a021807", 0, 5, 7, 0, 0, 0},
	{"hmac is ignored", "1202aabb0a021005", 0, 5, 0, 0, 0, 0},
	{"hmac of wrong type", "10010a021005", -EBADMSG, 0, 0, 0, 0, 0},
	{"details of wrong type", "0801", -EBADMSG, 0, 0, 0, 0, 0},
	{"cert of wrong type", "0a020801", -EBADMSG, 0, 0, 0, 0, 0},
	{"index as bytes", "0a03120101", -EBADMSG, 0, 0, 0, 0, 0},
	{"index as fixed32", "0a051501000000", -EBADMSG, 0, 0, 0, 0, 0},
	{"time as fixed64", "0a09290100000000000000", -EBADMSG, 0, 0, 0, 0, 0},
	{"version as bytes", "0a03420101", -EBADMSG, 0, 0, 0, 0, 0},
	{"cookie as bytes", "0a03220101", -EBADMSG, 0, 0, 0, 0, 0},
	/* what would be sound if the wrong type were read as the right one */
	{"index as bytes, good as a number", "0a0412021005", -EBADMSG, 0, 0, 0, 0, 0},
	{"cert as a number, good as bytes", "0a0408021005", -EBADMSG, 0, 0, 0, 0, 0},
	{"details as a number, good as bytes", "08021005", -EBADMSG, 0, 0, 0, 0, 0},
	{"hmac as a number, good as bytes", "1002aabb", -EBADMSG, 0, 0, 0, 0, 0},
	{"index 2^32-1", "0a0610ffffffff0f", 0, 0xffffffff, 0, 0, 0, 0},
	{"index 2^32", "0a06108080808010", -EBADMSG, 0, 0, 0, 0, 0},
	{"version 2^32", "0a06408080808010", -EBADMSG, 0, 0, 0, 0, 0},
	{"time 2^64-1", "0a0b28ffffffffffffffffff01", 0, 0, 0, UINT64_MAX, 0, 0},
	{"time 2^64", "0a0b2880808080808080808002", -EBADMSG, 0, 0, 0, 0, 0},
	{"varint of eleven bytes", "0a0c288080808080808080808001", -EBADMSG, 0, 0, 0, 0, 0},
	{"varint longer than needed", "0a0410858000", 0, 5, 0, 0, 0, 0},
	{"truncated varint", "0a021080", -EBADMSG, 0, 0, 0, 0, 0},
	{"truncated details", "0a051005", -EBADMSG, 0, 0, 0, 0, 0},
	{"truncated cert", "0a040a03aabb", -EBADMSG, 0, 0, 0, 0, 0},
	{"length 2^64-1", "0affffffffffffffffff01", -EBADMSG, 0, 0, 0, 0, 0},
	{"tag alone", "0a", -EBADMSG, 0, 0, 0, 0, 0},
};

Test(payload, decode)
{
	for (size_t i = 0; i < sizeof(decode_cases) / sizeof(decode_cases[0]); i++) {
		const struct decode_case *c = &decode_cases[i];
		uint8_t bytes[64];
		struct payload payload;
		size_t length;

		cr_assert_eq(sodium_hex2bin(bytes, sizeof(bytes), c->hex, strlen(c->hex), NULL,
					    &length, NULL),
			     0, "%s", c->name);
		cr_assert_eq(payload_decode(bytes, length, &payload), c->result, "%s", c->name);
		if (c->result)
			continue;
		cr_assert_eq(payload.initiator_index, c->initiator_index, "%s", c->name);
		cr_assert_eq(payload.responder_index, c->responder_index, "%s", c->name);
		cr_assert_eq(payload.time, c->time, "%s", c->name);
		cr_assert_eq(payload.cert_version, c->cert_version, "%s", c->name);
		cr_assert_eq(payload.cert_length, c->cert_length, "%s", c->name);
	}
}

Test(payload, stage_2_vector_both_ways)
{
	uint8_t bytes[256], again[256];
	struct payload payload;
	size_t length;

	sodium_hex2bin(bytes, sizeof(bytes), VECTOR_STAGE2_PAYLOAD, strlen(VECTOR_STAGE2_PAYLOAD),
		       NULL, &length, NULL);
	cr_assert_eq(payload_decode(bytes, length, &payload), 0);
	cr_assert_eq(payload.initiator_index, VECTOR_INITIATOR_INDEX);
	cr_assert_eq(payload.responder_index, VECTOR_RESPONDER_INDEX);
	cr_assert_eq(payload.time, VECTOR_RESPONDER_TIME);
	cr_assert_eq(payload.cert_version, 0);
	cr_assert_eq(payload_encode(&payload, again, sizeof(again)), length);
	cr_assert_eq(memcmp(bytes, again, length), 0);
	for (size_t room = 0; room < length; room++)
		cr_assert_eq(payload_encode(&payload, again, room), 0);
}

Test(payload, agrees_with_the_generated_code)
{
	uint8_t cert[300] = {1, 2, 3}, bytes[512];
	M57__Handshake__NebulaHandshake *message;

	for (size_t cert_length = 0; cert_length <= sizeof(cert); cert_length += 50) {
		struct payload payload = {.cert = cert,
					  .cert_length = cert_length,
					  .initiator_index = 0xdeadbeef,
					  .responder_index = 7,
					  .time = UINT64_MAX - 5,
					  .cert_version = 2};
		size_t length = payload_encode(&payload, bytes, sizeof(bytes));

		message = m57__handshake__nebula_handshake__unpack(NULL, length, bytes);
		cr_assert(message && message->details);
		cr_assert_eq(message->details->cert.len, cert_length);
		cr_assert_eq(message->details->initiatorindex, payload.initiator_index);
		cr_assert_eq(message->details->responderindex, payload.responder_index);
		cr_assert_eq(message->details->time, payload.time);
		cr_assert_eq(message->details->certversion, payload.cert_version);
		m57__handshake__nebula_handshake__free_unpacked(message, NULL);
	}
}

/* Any bytes are legal input (run under the address sanitizer). */
Test(payload, random_bytes)
{
	uint8_t seed[randombytes_SEEDBYTES] = {1}, bytes[64];
	struct payload payload;

	for (unsigned round = 0; round < 100000; round++) {
		memcpy(seed + 1, &round, sizeof(round));
		randombytes_buf_deterministic(bytes, sizeof(bytes), seed);
		bytes[0] = round % 2 ? 0x0a : bytes[0];
		bytes[1] = round % 2 ? 30 : bytes[1];
		payload_decode(bytes, round % sizeof(bytes), &payload);
	}
}
