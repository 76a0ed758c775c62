/* noise_test.c - the vectors of PROTOCOL.md 14.3 value by value, and what must not break it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sodium.h>

#include "handshake/noise.h"
#include "vectors/cert_v1.h"
#include "vectors/handshake_vectors.h"
#include "wire.h"

TestSuite(noise);

struct bytes {
	uint8_t data[512];
	size_t length;
};

static struct bytes unhex(const char *hex)
{
	struct bytes out;

	cr_assert_eq(sodium_hex2bin(out.data, sizeof(out.data), hex, strlen(hex), NULL, &out.length,
				    NULL),
		     0);
	return out;
}

static void expect(const uint8_t *got, const char *wanted_hex, const char *what)
{
	struct bytes wanted = unhex(wanted_hex);

	cr_assert_eq(memcmp(got, wanted.data, wanted.length), 0, "%s", what);
}

struct party {
	struct bytes private_key, public_key;
	struct noise_static keys;
	uint8_t e_private[32];
	struct noise noise;
};

static void party_init(struct party *party, const char *private_key, const char *public_key,
		       uint8_t first_e_byte, enum aead_cipher cipher)
{
	party->private_key = unhex(private_key);
	party->public_key = unhex(public_key);
	party->keys = (struct noise_static){party->private_key.data, party->public_key.data};
	for (uint8_t i = 0; i < 32; i++)
		party->e_private[i] = (uint8_t)(first_e_byte + i);
	noise_init(&party->noise, cipher);
}

static void parties(struct party *initiator, struct party *responder, enum aead_cipher cipher)
{
	cr_assert_geq(sodium_init(), 0);
	party_init(initiator, VECTOR_HOST2_PRIVATE_KEY, VECTOR_HOST2_PUBLIC_KEY, 0x01, cipher);
	party_init(responder, VECTOR_HOST1_PRIVATE_KEY, VECTOR_HOST1_PUBLIC_KEY, 0x21, cipher);
}

/* Both sides up to and with message 1, as the vectors have it. */
static void exchange_1(struct party *initiator, struct party *responder)
{
	struct bytes stage1 = unhex(VECTOR_STAGE1);
	const uint8_t *payload;
	uint8_t out[512];
	size_t length;

	cr_assert_eq(noise_write_1(&initiator->noise, &initiator->keys, initiator->e_private,
				   stage1.data + 80, stage1.length - 80, out),
		     0);
	cr_assert_eq(memcmp(out, stage1.data + 16, stage1.length - 16), 0);
	cr_assert_eq(noise_read_1(&responder->noise, out, stage1.length - 16, &payload, &length),
		     0);
	cr_assert_eq(length, stage1.length - 80);
	cr_assert_eq(memcmp(payload, stage1.data + 80, length), 0);
}

/* The values between the messages, computed here step by step with the library's own hash. */
static void mix(uint8_t h[32], const uint8_t *data, size_t length)
{
	crypto_hash_sha256_state state;

	crypto_hash_sha256_init(&state);
	crypto_hash_sha256_update(&state, h, 32);
	crypto_hash_sha256_update(&state, data, length);
	crypto_hash_sha256_final(&state, h);
}

static void vectors(enum aead_cipher cipher)
{
	const struct handshake_vector *v = &handshake_vectors[cipher];
	struct bytes payload = unhex(VECTOR_STAGE2_PAYLOAD), stage2 = unhex(v->stage2);
	struct party initiator, responder;
	uint8_t out[512], plain[512], k1[32], k2[32], h[32];
	size_t length;

	parties(&initiator, &responder, cipher);
	expect(initiator.noise.h, v->h_prologue, "h after the empty prologue");
	exchange_1(&initiator, &responder);
	expect(initiator.noise.h, v->h_message_1, "h after message 1");
	expect(responder.noise.h, v->h_message_1, "h after message 1");

	memcpy(h, responder.noise.h, 32);
	cr_assert_eq(noise_write_2(&responder.noise, &responder.keys, responder.e_private,
				   payload.data, payload.length, out),
		     0);
	cr_assert_eq(memcmp(out, stage2.data + 16, stage2.length - 16), 0, "stage 2");
	mix(h, out, 32);
	expect(h, v->h_responder_e, "h after responder e");
	mix(h, out + 32, 48);
	expect(h, v->h_encrypted_s, "h after encrypted s");
	expect(responder.noise.ck, v->ck_es, "ck after es");
	expect(responder.noise.k, v->k_es, "k after es");
	expect(responder.noise.h, v->h_final, "final h");

	cr_assert_eq(noise_read_2(&initiator.noise, &initiator.keys, out, stage2.length - 16, plain,
				  &length),
		     0);
	cr_assert_eq(length, payload.length);
	cr_assert_eq(memcmp(plain, payload.data, length), 0);
	expect(initiator.noise.h, v->h_final, "final h");
	expect(initiator.noise.remote_s, VECTOR_HOST1_PUBLIC_KEY, "responder's static key");
	expect(responder.noise.remote_s, VECTOR_HOST2_PUBLIC_KEY, "initiator's static key");
	noise_split(&initiator.noise, k1, k2);
	expect(k1, v->k1, "k1");
	expect(k2, v->k2, "k2");
	noise_split(&responder.noise, k1, k2);
	expect(k1, v->k1, "k1");
	expect(k2, v->k2, "k2");
}

Test(noise, vectors_aes)
{
	vectors(AEAD_AES256GCM);
}

Test(noise, vectors_chacha)
{
	vectors(AEAD_CHACHA20POLY1305);
}

/* ck and k after ee and after se: what noise_write_2 passes through, by the definition of 2.2. */
static void hkdf2(const uint8_t ck[32], const uint8_t *input, uint8_t first[32], uint8_t second[32])
{
	uint8_t t[32], block[33];

	crypto_auth_hmacsha256(t, input, 32, ck);
	crypto_auth_hmacsha256(first, (const uint8_t *)"\x01", 1, t);
	memcpy(block, first, 32);
	block[32] = 2;
	crypto_auth_hmacsha256(second, block, 33, t);
}

static void chain(enum aead_cipher cipher)
{
	const struct handshake_vector *v = &handshake_vectors[cipher];
	static const char *const secrets[] = {VECTOR_DH_EE, VECTOR_DH_SE, VECTOR_DH_ES};
	const char *const cks[] = {v->ck_ee, v->ck_se, v->ck_es};
	const char *const ks[] = {v->k_ee, v->k_se, v->k_es};
	struct party initiator, responder;
	uint8_t ck[32], next[32], k[32];

	parties(&initiator, &responder, cipher);
	memcpy(ck, initiator.noise.ck, 32);
	for (int i = 0; i < 3; i++) {
		hkdf2(ck, unhex(secrets[i]).data, next, k);
		expect(next, cks[i], "ck");
		expect(k, ks[i], "k");
		memcpy(ck, next, 32);
	}
}

Test(noise, chaining_keys)
{
	chain(AEAD_AES256GCM);
	chain(AEAD_CHACHA20POLY1305);
}

/* 14.4: packets on the tunnel of 14.3. */
static void transport(enum aead_cipher cipher)
{
	const struct handshake_vector *v = &handshake_vectors[cipher];
	struct bytes inner = unhex(VECTOR_INNER), wanted = unhex(v->message);
	struct aead_key k1, k2;
	uint8_t packet[128], plain[128];

	cr_assert_eq(aead_key_init(&k1, cipher, unhex(v->k1).data), 0);
	cr_assert_eq(aead_key_init(&k2, cipher, unhex(v->k2).data), 0);
	wire_write(packet, WIRE_MESSAGE, VECTOR_RESPONDER_INDEX, 3);
	aead_seal(&k1, 3, packet, 16, inner.data, inner.length, packet + 16);
	cr_assert_eq(memcmp(packet, wanted.data, wanted.length), 0, "message");
	cr_assert_eq(aead_open(&k1, 3, packet, 16, packet + 16, inner.length, plain), 0);
	cr_assert_eq(memcmp(plain, inner.data, inner.length), 0);
	packet[3] ^= 1;
	cr_assert_eq(aead_open(&k1, 3, packet, 16, packet + 16, inner.length, plain), -EBADMSG);

	wanted = unhex(v->test_reply);
	wire_write(packet, WIRE_TEST_REPLY, VECTOR_INITIATOR_INDEX, 3);
	aead_seal(&k2, 3, packet, 16, packet + 16, 0, packet + 16);
	cr_assert_eq(memcmp(packet, wanted.data, wanted.length), 0, "test reply");

	wanted = unhex(v->relayed_test);
	wire_write(packet, WIRE_RELAY, 0x99aabbcc, 5);
	wire_write(packet + 16, WIRE_TEST_REQUEST, VECTOR_RESPONDER_INDEX, 4);
	aead_seal(&k1, 4, packet + 16, 16, packet + 32, 0, packet + 32);
	aead_seal(&k1, 5, packet, 48, packet + 48, 0, packet + 48);
	cr_assert_eq(memcmp(packet, wanted.data, wanted.length), 0, "test in a relay frame");
	aead_key_wipe(&k1);
	aead_key_wipe(&k2);
}

Test(noise, transport_packets)
{
	transport(AEAD_AES256GCM);
	transport(AEAD_CHACHA20POLY1305);
}

/* Trap 15: whatever comes as message 2, the genuine one still completes. */
Test(noise, forged_message_2_spoils_nothing)
{
	struct bytes stage2 = unhex(handshake_vectors[0].stage2);
	struct party initiator, responder;
	struct noise before;
	uint8_t forged[512], plain[512];
	size_t length;

	parties(&initiator, &responder, AEAD_AES256GCM);
	exchange_1(&initiator, &responder);
	before = initiator.noise;
	for (size_t n = 0; n <= stage2.length - 16; n++) {
		int err = n < NOISE_2_OVERHEAD ? -EMSGSIZE : n < stage2.length - 16 ? -EBADMSG : 0;
		if (err == 0)
			break;
		cr_assert_eq(noise_read_2(&initiator.noise, &initiator.keys, stage2.data + 16, n,
					  plain, &length),
			     err, "length %zu", n);
		cr_assert_eq(memcmp(&before, &initiator.noise, sizeof(before)), 0);
	}
	for (size_t i = 0; i < stage2.length - 16; i++) {
		memcpy(forged, stage2.data + 16, stage2.length - 16);
		forged[i] ^= 0x10;
		cr_assert_neq(noise_read_2(&initiator.noise, &initiator.keys, forged,
					   stage2.length - 16, plain, &length),
			      0);
		cr_assert_eq(memcmp(&before, &initiator.noise, sizeof(before)), 0);
	}
	cr_assert_eq(noise_read_2(&initiator.noise, &initiator.keys, stage2.data + 16,
				  stage2.length - 16, plain, &length),
		     0);
}

/* Trap 10: points of low order, as ephemeral and as static key. */
static const char *const low_order[] = {
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
	"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
};

Test(noise, low_order_points_are_refused)
{
	for (size_t i = 0; i < sizeof(low_order) / sizeof(low_order[0]); i++) {
		struct bytes point = unhex(low_order[i]);
		for (int as_static = 0; as_static < 2; as_static++) {
			struct party initiator, responder;
			uint8_t message[128] = {0}, out[256], plain[256];
			const uint8_t *payload;
			size_t length;

			parties(&initiator, &responder, AEAD_AES256GCM);
			memcpy(message, responder.public_key.data, 32);
			memcpy(message + 32, initiator.public_key.data, 32);
			memcpy(message + 32 * as_static, point.data, 32);
			cr_assert_eq(noise_read_1(&responder.noise, message, 70, &payload, &length),
				     0);
			cr_assert_eq(noise_write_2(&responder.noise, &responder.keys,
						   responder.e_private, payload, length, out),
				     -EINVAL);

			exchange_1(&initiator, &responder);
			memcpy(out, point.data, 32);
			cr_assert_eq(noise_read_2(&initiator.noise, &initiator.keys, out, 200,
						  plain, &length),
				     -EINVAL);
		}
	}
}

Test(noise, short_message_1)
{
	struct party initiator, responder;
	uint8_t message[NOISE_1_OVERHEAD] = {9};
	const uint8_t *payload;
	size_t length;

	parties(&initiator, &responder, AEAD_AES256GCM);
	for (size_t n = 0; n < NOISE_1_OVERHEAD; n++)
		cr_assert_eq(noise_read_1(&responder.noise, message, n, &payload, &length),
			     -EMSGSIZE);
	cr_assert_eq(noise_read_1(&responder.noise, message, sizeof(message), &payload, &length),
		     0);
	cr_assert_eq(length, 0);
}
