/*
 * handshake_fuzz.c - libFuzzer target: what a stranger's handshake is made of (make fuzz
 * T=handshake). The first byte says what the rest is: 0 a payload, 1 a v1 certificate, 2 the same
 * as sent in a handshake, 3 a whole stage 1, 4 PEM text with CA certificates.
 *
 * Whatever decodes must encode to something that decodes to the same. No stage 1 is accepted unless
 * its certificate is in order; it never makes the decoder read beyond the input.
 */
#include <sodium.h>

#include "fuzz.h"
#include "handshake/machine.h"
#include "handshake/payload.h"
#include "identity/ca_pool.h"
#include "vectors/cert_v1.h"

#define NOW 1800000000

static void try_payload(const uint8_t *bytes, size_t size)
{
	static uint8_t encoded[HANDSHAKE_BYTES_MAX + PAYLOAD_OVERHEAD_MAX];
	struct payload payload, again;
	size_t length;

	if (payload_decode(bytes, size, &payload) != 0)
		return;
	fuzz_check(payload.cert_length <= size);
	length = payload_encode(&payload, encoded, sizeof(encoded));
	if (length == 0)
		return;
	fuzz_check(payload_decode(encoded, length, &again) == 0);
	fuzz_check(again.time == payload.time && again.cert_length == payload.cert_length &&
		   again.initiator_index == payload.initiator_index &&
		   again.responder_index == payload.responder_index &&
		   again.cert_version == payload.cert_version &&
		   (payload.cert_length == 0 ||
		    memcmp(again.cert, payload.cert, payload.cert_length) == 0));
}

static void try_cert(const uint8_t *bytes, size_t size, bool handshake)
{
	static const uint8_t key[32] = {9};
	struct cert *cert, *again;
	uint8_t *encoded;
	size_t length;
	enum cert_error error = handshake ? cert_decode_handshake(0, bytes, size, key, 32, &cert)
					  : cert_decode(CERT_VERSION_1, bytes, size, &cert);

	fuzz_check((error == CERT_OK) == (cert != NULL));
	if (error != CERT_OK)
		return;
	fuzz_check(cert_encode(cert, &encoded, &length) == 0);
	fuzz_check(cert_decode(CERT_VERSION_1, encoded, length, &again) == CERT_OK);
	fuzz_check(memcmp(again->fingerprint, cert->fingerprint, CERT_FINGERPRINT_SIZE) == 0);
	free(encoded);
	cert_unref(again);
	cert_unref(cert);
}

static const struct pki *own_pki(void)
{
	static struct pki pki;
	char error[PKI_ERROR_MAX];

	if (pki.ca)
		return &pki;
	fuzz_check(sodium_init() >= 0);
	fuzz_check(pki_init(&pki) == 0);
	fuzz_check(pki_load_ca(&pki, VECTOR_CA_PEM, NOW, error) == 0);
	fuzz_check(pki_load_cert(&pki, VECTOR_HOST1_PEM, NOW, error) == 0);
	fuzz_check(pki_load_key(&pki, VECTOR_HOST1_KEY_PEM, error) == 0);
	return &pki;
}

static void try_stage1(const uint8_t *bytes, size_t size)
{
	struct machine_self self = {AEAD_AES256GCM, own_pki(), NULL};
	struct machine_peer peer;
	struct machine machine;

	if (machine_read_stage1(&machine, &self, bytes, size, NOW, &peer) == MACHINE_OK) {
		fuzz_check(peer.cert && peer.cert->network_count > 0 && peer.index != 0);
		machine_verify(&self, NOW, &peer);
	}
	machine_peer_release(&peer);
	machine_wipe(&machine);
}

static void try_pem(const uint8_t *bytes, size_t size)
{
	char error[CA_POOL_DETAIL_MAX];
	struct ca_pool *pool;

	if (ca_pool_load((const char *)bytes, size, &pool, NULL, error) == 0)
		ca_pool_free(pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *exact;

	if (size == 0)
		return 0;
	own_pki();
	exact = fuzz_exact(data + 1, size - 1);
	switch (data[0]) {
	case 0:
		try_payload(exact, size - 1);
		break;
	case 1:
	case 2:
		try_cert(exact, size - 1, data[0] == 2);
		break;
	case 3:
		try_stage1(exact, size - 1);
		break;
	case 4:
		try_pem(exact, size - 1);
		break;
	}
	free(exact);
	return 0;
}
