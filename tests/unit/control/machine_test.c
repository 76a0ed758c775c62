/* machine_test.c - one handshake in both roles, on vectors and on what must be refused (13.2). */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "cert_helpers.h"
#include "handshake/machine.h"
#include "handshake/payload.h"
#include "vectors/handshake_vectors.h"
#include "wire.h"

TestSuite(machine);

struct party {
	struct pki pki;
	struct machine_self self;
	struct machine machine;
	uint8_t packet[HANDSHAKE_BYTES_MAX];
	size_t length;
	struct machine_peer peer;
	struct machine_keys keys;
};

static void party_init(struct party *party, const char *cert, const char *key)
{
	char error[PKI_ERROR_MAX];

	memset(party, 0, sizeof(*party));
	cr_assert_eq(pki_init(&party->pki), 0);
	cr_assert_eq(pki_load_ca(&party->pki, VECTOR_CA_PEM, VECTOR_NOW, error), 0, "%s", error);
	cr_assert_eq(pki_load_cert(&party->pki, cert, VECTOR_NOW, error), 0, "%s", error);
	cr_assert_eq(pki_load_key(&party->pki, key, error), 0, "%s", error);
	party->self = (struct machine_self){AEAD_AES256GCM, &party->pki, NULL};
}

static void party_free(struct party *party)
{
	machine_peer_release(&party->peer);
	pki_free(&party->pki);
}

static const uint8_t e_initiator[32] = {1, 2, 3}, e_responder[32] = {4, 5, 6};

static void begin(struct party *initiator)
{
	cr_assert_eq(machine_begin(&initiator->machine, &initiator->self, VECTOR_INITIATOR_INDEX,
				   VECTOR_INITIATOR_TIME, e_initiator, initiator->packet,
				   sizeof(initiator->packet), &initiator->length),
		     MACHINE_OK);
}

static enum machine_status answer(struct party *responder, const uint8_t *packet, size_t length)
{
	enum machine_status status;

	machine_peer_release(&responder->peer);
	status = machine_read_stage1(&responder->machine, &responder->self, packet, length,
				     VECTOR_NOW, &responder->peer);
	if (status == MACHINE_OK)
		status = machine_verify(&responder->self, VECTOR_NOW, &responder->peer);
	if (status == MACHINE_OK)
		status = machine_answer(&responder->machine, &responder->self, &responder->peer,
					VECTOR_RESPONDER_INDEX, VECTOR_RESPONDER_TIME, e_responder,
					responder->packet, sizeof(responder->packet),
					&responder->length, &responder->keys);
	return status;
}

static enum machine_status finish(struct party *initiator, const uint8_t *packet, size_t length)
{
	machine_peer_release(&initiator->peer);
	return machine_read_stage2(&initiator->machine, &initiator->self, packet, length,
				   VECTOR_NOW, &initiator->peer, &initiator->keys);
}

static void parties(struct party *initiator, struct party *responder)
{
	party_init(initiator, VECTOR_HOST2_PEM, VECTOR_HOST2_KEY_PEM);
	party_init(responder, VECTOR_HOST1_PEM, VECTOR_HOST1_KEY_PEM);
}

Test(machine, whole_handshake)
{
	struct party initiator, responder;

	parties(&initiator, &responder);
	begin(&initiator);
	cr_assert_eq(wire_remote_index(initiator.packet), 0);
	cr_assert_eq(wire_counter(initiator.packet), 1);
	cr_assert_eq(answer(&responder, initiator.packet, initiator.length), MACHINE_OK);
	cr_assert_eq(wire_remote_index(responder.packet), VECTOR_INITIATOR_INDEX);
	cr_assert_eq(wire_counter(responder.packet), 2);
	cr_assert_eq(finish(&initiator, responder.packet, responder.length), MACHINE_OK);

	cr_assert_eq(responder.peer.index, VECTOR_INITIATOR_INDEX);
	cr_assert_eq(responder.peer.time, VECTOR_INITIATOR_TIME);
	cr_assert_str_eq(responder.peer.cert->name, "host2");
	cr_assert_eq(initiator.peer.index, VECTOR_RESPONDER_INDEX);
	cr_assert_str_eq(initiator.peer.cert->name, "host1.vector");
	cr_assert_str_eq(initiator.peer.ca->name, "Vector CA");
	cr_assert_eq(memcmp(initiator.keys.seal, responder.keys.open, 32), 0);
	cr_assert_eq(memcmp(initiator.keys.open, responder.keys.seal, 32), 0);
	cr_assert_neq(memcmp(initiator.keys.open, initiator.keys.seal, 32), 0);
	party_free(&initiator);
	party_free(&responder);
}

/* The published stage 1, of a release that does not send CertVersion. */
Test(machine, stage_1_vector)
{
	struct party responder;
	uint8_t stage1[512];
	size_t length = hex_decode(VECTOR_STAGE1, stage1, sizeof(stage1));

	party_init(&responder, VECTOR_HOST1_PEM, VECTOR_HOST1_KEY_PEM);
	cr_assert_eq(answer(&responder, stage1, length), MACHINE_OK);
	cr_assert_eq(responder.peer.cert_version, 0);
	cr_assert_eq(responder.peer.index, VECTOR_INITIATOR_INDEX);
	cr_assert_eq(responder.peer.time, VECTOR_INITIATOR_TIME);
	cr_assert_str_eq(responder.peer.cert->name, "host2");
	party_free(&responder);
}

Test(machine, stage_1_cut_or_changed)
{
	struct party responder;
	uint8_t stage1[512], changed[512];
	size_t length = hex_decode(VECTOR_STAGE1, stage1, sizeof(stage1));

	party_init(&responder, VECTOR_HOST1_PEM, VECTOR_HOST1_KEY_PEM);
	for (size_t n = 0; n < length; n++)
		cr_assert_neq(answer(&responder, stage1, n), MACHINE_OK, "length %zu", n);
	/* Each bit of the header, the static key and the certificate counts (trap 19, 28). */
	for (size_t i = 0; i < length; i++) {
		bool free_to_change = (i >= 16 && i < 48)            /* the ephemeral key */
				      || i == 2 || i == 3            /* reserved */
				      || i >= 16 + 64 + 3 + 3 + 132; /* index and Time */
		if (free_to_change)
			continue;
		memcpy(changed, stage1, length);
		changed[i] ^= 0x01;
		cr_assert_neq(answer(&responder, changed, length), MACHINE_OK, "byte %zu", i);
	}
	party_free(&responder);
}

Test(machine, myself)
{
	struct party one, two;

	party_init(&one, VECTOR_HOST1_PEM, VECTOR_HOST1_KEY_PEM);
	party_init(&two, VECTOR_HOST1_PEM, VECTOR_HOST1_KEY_PEM);
	begin(&one);
	cr_assert_eq(answer(&two, one.packet, one.length), MACHINE_MYSELF);
	party_free(&one);
	party_free(&two);
}

/* --- stage 1 made to order ---------------------------------------------------------------------
 */

/* Stage 1 of host2's Noise key with any payload. */
static size_t stage1_of(struct party *party, const struct payload *payload, uint8_t *out)
{
	struct noise_static keys = {party->pki.private_key, party->pki.v1.cert->public_key};
	uint8_t encoded[2048];
	struct noise noise;
	size_t length = payload_encode(payload, encoded, sizeof(encoded));

	noise_init(&noise, AEAD_AES256GCM);
	cr_assert_eq(noise_write_1(&noise, &keys, e_initiator, encoded, length, out + 16), 0);
	wire_write(out, WIRE_HANDSHAKE, 0, 1);
	return 16 + NOISE_1_OVERHEAD + length;
}

/* With cert in place of the party's own. */
static size_t stage1_with(struct party *party, const struct cert *cert, uint8_t *out)
{
	uint8_t *bytes;
	size_t length;

	cr_assert_eq(cert_encode_handshake(cert, &bytes, &length), 0);
	struct payload payload = {.cert = bytes,
				  .cert_length = length,
				  .initiator_index = 5,
				  .time = 1,
				  .cert_version = 1};
	length = stage1_of(party, &payload, out);
	free(bytes);
	return length;
}

struct payload_case {
	const char *name;
	bool no_cert, whole_cert; /* whole: with its public key inside (trap 18) */
	uint32_t index, cert_version;
	enum machine_status status;
};

static const struct payload_case payload_cases[] = {
	{"good", false, false, 5, 1, MACHINE_OK},
	{"version absent is 1", false, false, 5, 0, MACHINE_OK},
	{"no certificate", true, false, 5, 1, MACHINE_MALFORMED},
	{"index 0", false, false, 0, 1, MACHINE_MALFORMED},
	{"embedded public key, the right one", false, true, 5, 1, MACHINE_CERTIFICATE},
	{"version 3", false, false, 5, 3, MACHINE_CERTIFICATE},
	{"version 2^32-1", false, false, 5, UINT32_MAX, MACHINE_CERTIFICATE},
};

Test(machine, payload_rules)
{
	struct party initiator, responder;
	uint8_t packet[4096], *whole;
	size_t whole_length;

	parties(&initiator, &responder);
	cr_assert_eq(cert_encode(initiator.pki.v1.cert, &whole, &whole_length), 0);
	for (size_t i = 0; i < sizeof(payload_cases) / sizeof(payload_cases[0]); i++) {
		const struct payload_case *c = &payload_cases[i];
		struct payload payload = {
			.cert = c->whole_cert ? whole : initiator.pki.v1.handshake_bytes,
			.cert_length = c->no_cert      ? 0
				       : c->whole_cert ? whole_length
						       : initiator.pki.v1.handshake_len,
			.initiator_index = c->index,
			.time = 1,
			.cert_version = c->cert_version,
		};
		size_t length = stage1_of(&initiator, &payload, packet);
		cr_assert_eq(answer(&responder, packet, length), c->status, "%s", c->name);
	}
	free(whole);
	party_free(&initiator);
	party_free(&responder);
}

/* A valid certificate of another host under one's own Noise key (trap 19). */
Test(machine, certificate_of_another)
{
	struct party initiator, responder;
	uint8_t packet[4096];
	struct prefix network = prefix_of("10.42.0.9/16");
	struct cert wanted = {.networks = &network,
			      .network_count = 1,
			      .has_issuer = true,
			      .not_before = VECTOR_NOT_BEFORE,
			      .not_after = VECTOR_HOST_NOT_AFTER};
	struct cert *victim;
	size_t length;

	parties(&initiator, &responder);
	memcpy(wanted.issuer, initiator.pki.v1.cert->issuer, sizeof(wanted.issuer));
	victim = cert_made(wanted); /* its key is host1's */
	length = stage1_with(&initiator, victim, packet);
	cr_assert_eq(answer(&responder, packet, length), MACHINE_CERTIFICATE);
	cr_assert_eq(responder.peer.error, CERT_BAD_SIGNATURE);
	cert_unref(victim);
	party_free(&initiator);
	party_free(&responder);
}

/* More addresses than tables hold: some would have a handshake for every packet. */
Test(machine, too_many_addresses)
{
	struct party initiator, responder;
	struct prefix networks[PEER_ADDRS_MAX + 1];
	struct cert wanted = {.networks = networks,
			      .has_issuer = true,
			      .not_before = VECTOR_NOT_BEFORE,
			      .not_after = VECTOR_HOST_NOT_AFTER};

	parties(&initiator, &responder);
	memcpy(wanted.issuer, initiator.pki.v1.cert->issuer, sizeof(wanted.issuer));
	for (uint32_t i = 0; i <= PEER_ADDRS_MAX; i++)
		networks[i] = (struct prefix){addr_from_v4(0x0a2a0001 + i), 112};
	for (uint16_t count = PEER_ADDRS_MAX; count <= PEER_ADDRS_MAX + 1; count++) {
		uint8_t packet[4096];
		struct cert *many;
		size_t length;

		wanted.network_count = count;
		many = cert_made(wanted);
		length = stage1_with(&initiator, many, packet);
		(void)answer(&responder, packet, length);
		cr_assert_eq(responder.peer.error == CERT_TOO_MANY, count > PEER_ADDRS_MAX);
		cert_unref(many);
	}
	party_free(&initiator);
	party_free(&responder);
}

static enum cert_error judged(struct party *responder, int64_t now)
{
	enum machine_status status = machine_verify(&responder->self, now, &responder->peer);

	cr_assert_eq(status, responder->peer.error == CERT_OK ? MACHINE_OK : MACHINE_CERTIFICATE);
	return responder->peer.error;
}

/* A signature that was right is not checked again; all the rest is, each time. */
Test(machine, signature_is_checked_once)
{
	static struct verified verified, before;
	struct party initiator, responder;
	char error[PKI_ERROR_MAX], fingerprint[CERT_FINGERPRINT_HEX_MAX];
	struct cert *cert;

	parties(&initiator, &responder);
	responder.self.verified = &verified;
	begin(&initiator);
	cr_assert_eq(machine_read_stage1(&responder.machine, &responder.self, initiator.packet,
					 initiator.length, VECTOR_NOW, &responder.peer),
		     MACHINE_OK);
	cert = responder.peer.cert; /* ours alone: it may be spoilt */

	cert->signature[0] ^= 1;
	cr_expect_eq(judged(&responder, VECTOR_NOW), CERT_BAD_SIGNATURE);
	cr_expect_eq(memcmp(&verified, &before, sizeof(verified)), 0, "a forged one got in");
	cert->signature[0] ^= 1;
	cr_expect_eq(judged(&responder, VECTOR_NOW), CERT_OK);
	cr_expect(verified_has(&verified, cert));
	cert->fingerprint[CERT_FINGERPRINT_SIZE - 1] ^= 1;
	cr_expect_not(verified_has(&verified, cert), "another one of the same place");
	cert->fingerprint[CERT_FINGERPRINT_SIZE - 1] ^= 1;
	cert->signature[0] ^= 1; /* but not its fingerprint: nobody looks */
	cr_expect_eq(judged(&responder, VECTOR_NOW), CERT_OK);
	cr_expect_not_null(responder.peer.ca);

	cr_expect_eq(judged(&responder, (int64_t)VECTOR_HOST_NOT_AFTER + 1), CERT_EXPIRED);
	cert->not_after = INT64_MAX;
	cr_expect_eq(judged(&responder, VECTOR_NOW), CERT_OUTLIVES_CA);
	cert->not_after = VECTOR_HOST_NOT_AFTER;
	cert_fingerprint_hex(cert->fingerprint, fingerprint);
	cr_assert_eq(pki_block(&responder.pki, fingerprint, error), 0);
	cr_expect_eq(judged(&responder, VECTOR_NOW), CERT_BLOCKED);

	verified_clear(&verified);
	cr_expect(!verified_has(&verified, cert));
	party_free(&initiator);
	party_free(&responder);
}

Test(machine, blocked_and_expired)
{
	struct party initiator, responder;
	char error[PKI_ERROR_MAX];

	parties(&initiator, &responder);
	begin(&initiator);
	cr_assert_eq(machine_read_stage1(&responder.machine, &responder.self, initiator.packet,
					 initiator.length, (int64_t)VECTOR_HOST_NOT_AFTER + 1,
					 &responder.peer),
		     MACHINE_CERTIFICATE);
	cr_assert_eq(responder.peer.error, CERT_EXPIRED);
	machine_peer_release(&responder.peer);
	cr_assert_eq(machine_read_stage1(&responder.machine, &responder.self, initiator.packet,
					 initiator.length, VECTOR_NOT_BEFORE - 1, &responder.peer),
		     MACHINE_CERTIFICATE);

	cr_assert_eq(answer(&responder, initiator.packet, initiator.length), MACHINE_OK);
	cr_assert_eq(pki_block(&initiator.pki, VECTOR_HOST1_FINGERPRINT, error), 0);
	cr_assert_eq(finish(&initiator, responder.packet, responder.length), MACHINE_CERTIFICATE);
	cr_assert_eq(initiator.peer.error, CERT_BLOCKED);
	party_free(&initiator);
	party_free(&responder);
}

/* Trap 15 at this level: forged stage 2 in any number, then the genuine one. */
Test(machine, forged_stage_2)
{
	struct party initiator, responder;
	uint8_t forged[HANDSHAKE_BYTES_MAX];

	parties(&initiator, &responder);
	begin(&initiator);
	cr_assert_eq(answer(&responder, initiator.packet, initiator.length), MACHINE_OK);
	for (size_t n = 0; n < responder.length; n++)
		cr_assert_neq(finish(&initiator, responder.packet, n), MACHINE_OK);
	for (size_t i = 16; i < responder.length; i += 3) {
		memcpy(forged, responder.packet, responder.length);
		forged[i] ^= 0x40;
		cr_assert_eq(finish(&initiator, forged, responder.length), MACHINE_NOISE);
	}
	memcpy(forged, responder.packet, responder.length);
	wire_write(forged, WIRE_HANDSHAKE, VECTOR_INITIATOR_INDEX ^ 1, 2);
	cr_assert_eq(finish(&initiator, forged, responder.length), MACHINE_MALFORMED);
	cr_assert_eq(finish(&initiator, responder.packet, responder.length), MACHINE_OK);
	party_free(&initiator);
	party_free(&responder);
}
