/* machine.c - see machine.h. */
#include "handshake/machine.h"

#include <errno.h>
#include <stddef.h>
#include <sodium.h>

#include "handshake/payload.h"
#include "wire.h"

#define STAGE_1_COUNTER 1
#define STAGE_2_COUNTER 2

static struct noise_static own_keys(const struct machine_self *self)
{
	size_t length;

	return (struct noise_static){self->pki->private_key, pki_public_key(self->pki, &length)};
}

/* The certificate to send: the peer's version when we have one of it, else our default (2.5). */
static const struct pki_cert *choose_cert(const struct pki *pki, uint32_t peer_version)
{
	if (peer_version == CERT_VERSION_2 && pki->v2.cert)
		return &pki->v2;
	return pki->v1.cert ? &pki->v1 : &pki->v2;
}

static size_t encode_own(const struct machine_self *self, uint32_t peer_version,
			 struct payload *payload, uint8_t *out, size_t capacity)
{
	const struct pki_cert *own = choose_cert(self->pki, peer_version);

	payload->cert = own->handshake_bytes;
	payload->cert_length = own->handshake_len;
	payload->cert_version = own->cert->version;
	return payload_encode(payload, out, capacity);
}

enum machine_status machine_begin(struct machine *machine, const struct machine_self *self,
				  uint32_t local_index, uint64_t time,
				  const uint8_t e_private[NOISE_KEY_BYTES], uint8_t *out,
				  size_t capacity, size_t *length)
{
	uint8_t encoded[HANDSHAKE_BYTES_MAX];
	struct payload payload = {.initiator_index = local_index, .time = time};
	struct noise_static own = own_keys(self);
	size_t bytes = encode_own(self, 0, &payload, encoded, sizeof(encoded));

	if (bytes == 0 || WIRE_HEADER_BYTES + NOISE_1_OVERHEAD + bytes > capacity)
		return MACHINE_MALFORMED;
	machine->initiator_index = local_index;
	noise_init(&machine->noise, self->cipher);
	if (noise_write_1(&machine->noise, &own, e_private, encoded, bytes,
			  out + WIRE_HEADER_BYTES) != 0)
		return MACHINE_NOISE;
	wire_write(out, WIRE_HANDSHAKE, 0, STAGE_1_COUNTER);
	*length = WIRE_HEADER_BYTES + NOISE_1_OVERHEAD + bytes;
	return MACHINE_OK;
}

static bool holds_own_address(const struct pki *pki, const struct cert *cert)
{
	const struct cert *own = pki_own_cert(pki);

	for (size_t i = 0; i < cert->network_count; i++)
		for (size_t j = 0; j < own->network_count; j++)
			if (addr_equal(&cert->networks[i].addr, &own->networks[j].addr))
				return true;
	return false;
}

/* Decodes the payload and puts the certificate together with the Noise static key (2.3, 2.4). */
static enum machine_status read_payload(const struct machine_self *self, const uint8_t *bytes,
					size_t length, const uint8_t *static_key, bool responder,
					struct machine_peer *peer)
{
	struct payload payload;

	if (payload_decode(bytes, length, &payload) != 0 || payload.cert_length == 0)
		return MACHINE_MALFORMED;
	peer->index = responder ? payload.initiator_index : payload.responder_index;
	peer->time = payload.time;
	peer->cert_version = payload.cert_version;
	if (peer->index == 0)
		return MACHINE_MALFORMED;
	peer->error = cert_decode_handshake(payload.cert_version, payload.cert, payload.cert_length,
					    static_key, NOISE_KEY_BYTES, &peer->cert);
	if (peer->error == CERT_NO_MEMORY)
		return MACHINE_NO_MEMORY;
	if (peer->error == CERT_OK && peer->cert->network_count == 0)
		peer->error = CERT_NO_NETWORKS;
	/* An address that no table holds would have a handshake for every packet. */
	if (peer->error == CERT_OK && peer->cert->network_count > PEER_ADDRS_MAX)
		peer->error = CERT_TOO_MANY;
	if (peer->error == CERT_OK && peer->cert->curve != pki_own_cert(self->pki)->curve)
		peer->error = CERT_CURVE_MISMATCH;
	return peer->error == CERT_OK ? MACHINE_OK : MACHINE_CERTIFICATE;
}

static void peer_init(struct machine_peer *peer)
{
	memset(peer, 0, offsetof(struct machine_peer, detail));
	peer->detail[0] = '\0';
}

enum machine_status machine_read_stage1(struct machine *machine, const struct machine_self *self,
					const uint8_t *packet, size_t packet_length, int64_t now_s,
					struct machine_peer *peer)
{
	const struct pki *pki = self->pki;
	const uint8_t *bytes;
	size_t length;

	peer_init(peer);
	if (packet_length < WIRE_HEADER_BYTES || wire_type_of(packet) != WIRE_HANDSHAKE ||
	    wire_remote_index(packet) != 0 || wire_counter(packet) != STAGE_1_COUNTER)
		return MACHINE_MALFORMED;
	noise_init(&machine->noise, self->cipher);
	if (noise_read_1(&machine->noise, packet + WIRE_HEADER_BYTES,
			 packet_length - WIRE_HEADER_BYTES, &bytes, &length) != 0)
		return MACHINE_MALFORMED;

	enum machine_status status =
		read_payload(self, bytes, length, machine->noise.remote_s, true, peer);
	if (status != MACHINE_OK)
		return status;
	machine->initiator_index = peer->index;
	if (holds_own_address(pki, peer->cert))
		return MACHINE_MYSELF;
	/* All but the signature: what an unknown CA has signed must not cost a curve operation. */
	peer->error = ca_pool_reverify(pki->ca, peer->cert, now_s, pki->blocklist);
	return peer->error == CERT_OK ? MACHINE_OK : MACHINE_CERTIFICATE;
}

enum machine_status machine_verify(const struct machine_self *self, int64_t now_s,
				   struct machine_peer *peer)
{
	const struct pki *pki = self->pki;

	if (self->verified && verified_has(self->verified, peer->cert)) {
		peer->error = ca_pool_verify_signed(pki->ca, peer->cert, now_s, pki->blocklist,
						    &peer->ca, peer->detail);
	} else {
		peer->error = ca_pool_verify(pki->ca, peer->cert, now_s, pki->blocklist, &peer->ca,
					     peer->detail);
		if (peer->error == CERT_OK && self->verified)
			verified_add(self->verified, peer->cert);
	}
	return peer->error == CERT_OK ? MACHINE_OK : MACHINE_CERTIFICATE;
}

enum machine_status machine_answer(struct machine *machine, const struct machine_self *self,
				   const struct machine_peer *peer, uint32_t local_index,
				   uint64_t time, const uint8_t e_private[NOISE_KEY_BYTES],
				   uint8_t *out, size_t capacity, size_t *length,
				   struct machine_keys *keys)
{
	uint8_t encoded[HANDSHAKE_BYTES_MAX];
	struct payload payload = {
		.initiator_index = peer->index, .responder_index = local_index, .time = time};
	struct noise_static own = own_keys(self);
	size_t bytes = encode_own(self, peer->cert_version, &payload, encoded, sizeof(encoded));

	if (bytes == 0 || WIRE_HEADER_BYTES + NOISE_2_OVERHEAD + bytes > capacity)
		return MACHINE_MALFORMED;
	if (noise_write_2(&machine->noise, &own, e_private, encoded, bytes,
			  out + WIRE_HEADER_BYTES) != 0)
		return MACHINE_NOISE;
	wire_write(out, WIRE_HANDSHAKE, machine->initiator_index, STAGE_2_COUNTER);
	*length = WIRE_HEADER_BYTES + NOISE_2_OVERHEAD + bytes;
	noise_split(&machine->noise, keys->open, keys->seal);
	return MACHINE_OK;
}

enum machine_status machine_read_stage2(const struct machine *machine,
					const struct machine_self *self, const uint8_t *packet,
					size_t packet_length, int64_t now_s,
					struct machine_peer *peer, struct machine_keys *keys)
{
	struct noise noise = machine->noise;
	struct noise_static own = own_keys(self);
	uint8_t bytes[HANDSHAKE_BYTES_MAX];
	enum machine_status status = MACHINE_MALFORMED;
	size_t length;
	int err;

	peer_init(peer);
	if (packet_length < WIRE_HEADER_BYTES || packet_length > sizeof(bytes) ||
	    wire_type_of(packet) != WIRE_HANDSHAKE ||
	    wire_remote_index(packet) != machine->initiator_index ||
	    wire_counter(packet) == STAGE_1_COUNTER)
		goto out;
	err = noise_read_2(&noise, &own, packet + WIRE_HEADER_BYTES,
			   packet_length - WIRE_HEADER_BYTES, bytes, &length);
	if (err) {
		status = err == -EMSGSIZE ? MACHINE_MALFORMED : MACHINE_NOISE;
		goto out;
	}
	status = read_payload(self, bytes, length, noise.remote_s, false, peer);
	if (status == MACHINE_OK && holds_own_address(self->pki, peer->cert))
		status = MACHINE_MYSELF;
	if (status == MACHINE_OK)
		status = machine_verify(self, now_s, peer);
	if (status == MACHINE_OK)
		noise_split(&noise, keys->seal, keys->open);
out:
	noise_wipe(&noise);
	return status;
}

void machine_peer_release(struct machine_peer *peer)
{
	cert_unref(peer->cert);
	peer->cert = NULL;
}

void machine_wipe(struct machine *machine)
{
	sodium_memzero(machine, sizeof(*machine));
}
