/*
 * probes.h - static probe points (USDT) of provider m57, for perf, bpftrace and SystemTap.
 *
 * A probe is one nop and a note in the program file; its arguments are values at hand, in registers
 * (bpftrace cannot read every kind of memory operand, and perf no constant). Without <sys/sdt.h>
 * (systemtap-sdt-dev) at build time probes vanish. perf/README.md shows their use; there are
 * scripts in scripts/bpftrace/.
 *
 *   run_in      queue, packets, bytes            a datagram train was received
 *   run_out     queue, packets, bytes            a run was read from the tun
 *   drop        reason, name, packets            name: char *, the metric of drops.def
 *   rearm       queue, what, result              what: 0 tun read, 1 UDP receive; result: of the
 *                                                completion that ended it, bytes or -errno
 *   send_error  queue, errno, packets            given up; a full socket is no error
 *   handshake   initiator, local index, ns       a tunnel was made; ns: since its handshake began,
 *                                                0 on the responder, which waits for nothing
 *   roam        local index, old, new            const struct endpoint *: 16 bytes of address
 *                                                (IPv4 as IPv4-mapped), port in host order
 */
#ifndef M57_PROBES_H
#define M57_PROBES_H

#if __has_include(<sys/sdt.h>)
#define STAP_SDT_ARG_CONSTRAINT r
#include <sys/sdt.h>
#define PROBE(name, a, b, c) DTRACE_PROBE3(m57, name, a, b, c)
#else
#define PROBE(name, a, b, c)                                                                       \
	do {                                                                                       \
		(void)(a);                                                                         \
		(void)(b);                                                                         \
		(void)(c);                                                                         \
	} while (0)
#endif

#endif
