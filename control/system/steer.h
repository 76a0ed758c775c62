/*
 * steer.h - which of the sockets that share a port gets a datagram (design: tunnels over queues).
 *
 * Without help the kernel hashes the underlay addresses, so one peer is one socket, and two busy
 * peers may meet on the same one. But the receiver chooses the index that stands in every packet:
 * node_index_allocate() draws it so that index modulo queues is the queue, and this classic BPF
 * program on the reuseport group reads it back. Handshakes (index 0 or ours, but rare) and
 * datagrams without a header stay with the hash.
 */
#ifndef M57_STEER_H
#define M57_STEER_H

#include <stdint.h>

/*
 * Attaches the program to the group that fd, the first of queues sockets, belongs to; the sockets
 * must have been bound in queue order. 0 or -errno (no rights, no such kernel): then the hash
 * serves.
 */
int steer_by_index(int fd, uint32_t queues);

#endif
