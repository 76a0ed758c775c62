/*
 * steer.h - which of the sockets that share a port gets a datagram.
 *
 * Without help the kernel hashes the underlay addresses, so one peer is one socket, and two busy
 * peers may meet on the same one. But the receiver chooses the index that stands in every packet:
 * node_index_allocate() draws it so that index modulo queues is the queue, and this classic BPF
 * program on the reuseport group reads it back; an m57 peer's flow label is added, so that the
 * flows of one tunnel spread too. Datagrams with the sparse label have a socket of their own, the
 * last, where there is one. Handshakes (index 0 or ours, but rare) and datagrams without a header
 * stay with the hash.
 */
#ifndef M57_STEER_H
#define M57_STEER_H

#include <stdbool.h>
#include <stdint.h>

enum steering {
	STEER_HASH,  /* the kernel's, over the underlay addresses */
	STEER_INDEX, /* a tunnel has one socket */
	STEER_LABEL, /* a flow has: index plus flow label (PROTOCOL.md 1.1) */
};

/*
 * Attaches the program to the group that fd, the first of queues sockets, belongs to, in place of
 * the one before; the sockets must have been bound in queue order. by is STEER_INDEX or
 * STEER_LABEL; sparse: the last socket is for sparse flows alone. 0 or -errno (no rights, no such
 * kernel): then the hash serves.
 */
int steer_by(enum steering by, int fd, uint32_t queues, bool sparse);
const char *steering_name(enum steering steering); /* "hash", "index", "label" */

#endif
