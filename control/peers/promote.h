/*
 * promote.h - better paths for tunnels in use (PROTOCOL.md 4.1): the peer's addresses in
 * preferred_ranges are tried, and lighthouses asked where it is, every so many packets. Private to
 * control/peers.
 *
 * The reference counts each look-up of a tunnel on the packet's road. Here nothing is counted for
 * it: workers raise the send counter anyway, and the manager, which looks at a tunnel about once a
 * second while traffic leaves on it, compares.
 */
#ifndef M57_PROMOTE_H
#define M57_PROMOTE_H

#include "peers/node_state.h"

/* The tunnel is primary and has been heard: does what its counter asks for. */
void promote_look(struct node *node, struct tunnel_record *record, uint64_t now);

/*
 * A copy of the stage 1 that made the tunnel came from source (PROTOCOL.md 2.7): the initiator
 * calls at all addresses that it knows. Is it preferred, and the one in use is not, that is tried.
 * Nothing moves by the copy itself, which anybody can send.
 */
void promote_offered(struct node *node, const struct tunnel_record *record,
		     const struct endpoint *source);

#endif
