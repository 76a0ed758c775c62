/*
 * machine.h - one handshake as pure code: bytes and the time in, bytes and decisions out
 * (PROTOCOL.md 2.3 to 2.8). No clock, no I/O, no randomness.
 *
 *	initiator: machine_begin ... machine_read_stage2 (as often as packets come)
 *	responder: machine_read_stage1, machine_verify, machine_answer
 *
 * The responder's work comes in three steps of rising cost, so that the caller can stop in between:
 * reading costs hashes and a decoding, verifying one Ed25519 check the first time, answering four
 * X25519.
 */
#ifndef M57_MACHINE_H
#define M57_MACHINE_H

#include "handshake/noise.h"
#include "identity/pki.h"
#include "identity/verified.h"

enum machine_status {
	MACHINE_OK,
	MACHINE_MALFORMED,   /* header, length or payload */
	MACHINE_NOISE,       /* a tag is wrong, or a key is a low-order point */
	MACHINE_CERTIFICATE, /* refused: error and detail of struct machine_peer say why */
	MACHINE_MYSELF,      /* the certificate holds one of our own addresses */
	MACHINE_NO_MEMORY,
};

/* Who we are. Borrowed for each call. */
struct machine_self {
	enum aead_cipher cipher;
	const struct pki *pki;
	struct verified *verified; /* of pki's CAs; NULL: every signature is checked */
};

/* What a message says of its sender. */
struct machine_peer {
	struct cert
		*cert;  /* recombined (2.4); owned: machine_peer_release(). NULL when unreadable */
	uint32_t index; /* the peer's local index, our remote index */
	uint64_t time;  /* the peer's clock, unix ns */
	uint32_t cert_version;
	const struct cert *ca; /* issuer, borrowed from the pool; NULL when unknown */
	enum cert_error error;
	char detail[CA_POOL_DETAIL_MAX];
};

struct machine_keys {
	uint8_t seal[AEAD_KEY_BYTES]; /* for what we send */
	uint8_t open[AEAD_KEY_BYTES]; /* for what we receive */
};

struct machine {
	struct noise noise;
	uint32_t initiator_index; /* of either role */
};

/*
 * Initiator. Writes the whole stage-1 datagram to out. local_index is not 0, time is
 * max(clock, last sent + 1), e_private fresh random bytes. MACHINE_OK; MACHINE_MALFORMED when our
 * certificate does not fit into capacity.
 */
enum machine_status machine_begin(struct machine *machine, const struct machine_self *self,
				  uint32_t local_index, uint64_t time,
				  const uint8_t e_private[NOISE_KEY_BYTES], uint8_t *out,
				  size_t capacity, size_t *length);

/*
 * Responder, step 1: reads the datagram packet at unix time now_s. Checks everything but the
 * certificate's signature and constraints. peer is filled as far as known, also on failure.
 */
enum machine_status machine_read_stage1(struct machine *machine, const struct machine_self *self,
					const uint8_t *packet, size_t packet_length, int64_t now_s,
					struct machine_peer *peer);

/*
 * Responder, step 2: the whole judgement on the certificate (PROTOCOL.md 3.6), but a signature that
 * was right before is not checked again.
 */
enum machine_status machine_verify(const struct machine_self *self, int64_t now_s,
				   struct machine_peer *peer);

/* Responder, step 3: writes the stage-2 datagram to out and gives the transport keys. */
enum machine_status machine_answer(struct machine *machine, const struct machine_self *self,
				   const struct machine_peer *peer, uint32_t local_index,
				   uint64_t time, const uint8_t e_private[NOISE_KEY_BYTES],
				   uint8_t *out, size_t capacity, size_t *length,
				   struct machine_keys *keys);

/*
 * Initiator: judges a stage-2 datagram completely. machine is not changed, whatever comes in.
 * Whether the right host answered is for the caller to say, from peer->cert.
 */
enum machine_status machine_read_stage2(const struct machine *machine,
					const struct machine_self *self, const uint8_t *packet,
					size_t packet_length, int64_t now_s,
					struct machine_peer *peer, struct machine_keys *keys);

/* Lets go of the certificate. After machine_read_stage1() and machine_read_stage2(), failed or not.
 */
void machine_peer_release(struct machine_peer *peer);
/* At the end of a handshake, whatever its end: no secret of it stays in machine. Keys that it gave
 * are the caller's to wipe. */
void machine_wipe(struct machine *machine);

#endif
