/*
 * sparse.h - which packets of the tun go to the queue of sparse flows.
 *
 * Why. A bulk transfer keeps as many bytes on the way as its window lets it, and all of them stand
 * in line: in the tun's queue at the sender, in the socket at the receiver. A ping behind them
 * waits for the whole line, and for the bulk worker to get the CPU back. So flows that send little
 * have a queue, a worker and a socket of their own (PROTOCOL.md 1.1, sparse label), as fq_codel
 * puts sparse flows before the others; but fq_codel stands before the device, and there is no line
 * there.
 *
 * How. The kernel asks a program of ours (eBPF, TUNSETSTEERINGEBPF) for the queue of each packet.
 * It keeps a count per flow, in SPARSE_FLOWS places by a keyed hash of addresses, protocol and
 * ports, and says SPARSE_QUEUE while the flow stays within its share of packets and bytes in each
 * window, and sends no large packet.
 *
 * Order. The queues, and the sockets of the other end, know nothing of each other: a flow that goes
 * from one queue to the other overtakes itself when what it sent before still waits. Nothing rules
 * that out; when a flow changes is chosen so that it is rare:
 *
 * - To the bulk queue it goes behind a moment in which a woken worker sends what it got. On busy
 *   cores that worker may have to wait longer for its CPU than the moment is.
 * - A transfer changes at its first super-packet, which stands behind an answer of the other end;
 *   what sends in bursts stays where it is.
 * - A flow without such a moment is forced far beyond its share, and does overtake itself, by what
 *   the sparse queue still holds: tens of packets as a rule, hundreds on busy cores. Then it stays
 *   bulk until it has not been so far beyond for forced_ns, or a stream of large bursts between
 *   small ones, such as video, would lose its order with each of them.
 * - Back it goes only at the end of a silence before which it had sent no more than its share. The
 *   bulk queue may still hold that when the line is slow and full.
 *
 * Two flows in one place are counted together: then a sparse one is bulk, as it would be without
 * all this. m57.sparse_queue: false is for who must have all flows in order.
 */
#ifndef M57_SPARSE_H
#define M57_SPARSE_H

#include <stdint.h>

#define BULK_QUEUE   0
#define SPARSE_QUEUE 1

/* What makes a flow sparse: SPARSE_* of limits.h, but for tests. Times in 32 bits: at most 2 s. */
struct sparse_share {
	int32_t packets, bytes; /* per window */
	int32_t large;          /* bytes of one packet; more is no sparse flow's */
	int32_t window_ns;
	int32_t silence_ns; /* ends a burst */
	int32_t settle_ns;  /* after which a packet has left */
	int64_t forced_ns;  /* who had no such moment stays bulk so long */
};

extern const struct sparse_share sparse_share_default;

/*
 * Loads the program, for a tun of two queues; key is for its hash of flows, and nobody else's to
 * know. A descriptor that the caller closes, once the device
 * has the program; or -errno: EPERM without CAP_BPF or CAP_SYS_ADMIN where
 * kernel.unprivileged_bpf_disabled forbids it, ENOSYS without eBPF.
 */
int sparse_program_load(const struct sparse_share *share, const uint64_t key[2]);

#endif
