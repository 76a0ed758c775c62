/*
 * relay_rig.h - frames on the rig, for the tests of the relays' road.
 *
 * Tunnel 0 of the rig is to 10.0.0.1, the relay or the end that sends to us; tunnel 1 is
 * to 10.0.0.3. Both have the same keys, so a frame of the one opens as the other's: the index alone
 * tells them apart.
 */
#ifndef M57_RELAY_RIG_H
#define M57_RELAY_RIG_H

#include <criterion/criterion.h>

#include "crypto/seal.h"
#include "unit/roads/rig.h"

#define RELAY_INDEX 0x00aabb00u /* ours */
#define FAR_INDEX   0x00ccdd00u /* of whom we send on to */

/* An entry RELAY_INDEX + n on tunnel in; out NULL: we are the end. */
static inline void entry(struct rig *rig, uint32_t n, struct tunnel *in, bool forwarding,
			 struct tunnel *out)
{
	struct relay_entry relay = {in, forwarding, out, FAR_INDEX + n};

	cr_assert_eq(hostmap_index_reserve(rig->map, RELAY_INDEX + n), 0);
	cr_assert_eq(hostmap_relay_publish(rig->map, RELAY_INDEX + n, &relay), 0);
}

static inline struct tunnel *second_tunnel(struct rig *rig)
{
	struct addr addr = addr_from_v4(0x0a000003);
	struct tunnel *tunnel = rig_tunnel(rig, 1, &addr);

	tunnel->remote->to.port = 4343;
	((struct sockaddr_in *)&tunnel->remote->sockaddr)->sin_port = htons(4343);
	return tunnel;
}

/* Appends a frame for our entry n around bytes. */
static inline uint8_t *add_frame(struct rig *rig, uint32_t n, const uint8_t *bytes, uint32_t length)
{
	uint8_t frame[DATAGRAM_MAX];

	memcpy(frame + WIRE_HEADER_BYTES, bytes, length);
	seal_frame(&rig->as_peer, RELAY_INDEX + n, rig->label, rig->counter++, frame, length);
	rig_add_raw(rig, frame, length + WIRE_OVERHEAD);
	return rig->datagrams + rig->datagram_bytes - length - WIRE_OVERHEAD;
}

#endif
