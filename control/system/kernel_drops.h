/*
 * kernel_drops.h - what the kernel dropped of ours before any worker could see it: packets for a
 * full queue of the tun, datagrams for a full buffer of a UDP socket. Linux: rtnetlink's
 * IFLA_STATS64, SO_MEMINFO of socket(7). Control thread, when somebody asks; the tun's as a
 * reload's requests (netlink.h): some ten microseconds, more while another program changes devices.
 */
#ifndef M57_KERNEL_DROPS_H
#define M57_KERNEL_DROPS_H

#include <stdint.h>

/* All zero: nothing is asked, and nothing was dropped. */
struct kernel_drops {
	const int *udp_fds; /* borrowed */
	uint32_t udp_count;
	unsigned tun_index;  /* 0: no tun */
	uint64_t tun_before; /* dropped when we began: a device that was made to stay counts on */
	uint64_t tun_last;   /* as last told; holds when the device has gone */
};

/* From now on; udp_fds stay open as long as it is asked. */
void kernel_drops_begin(struct kernel_drops *kernel, const int *udp_fds, uint32_t udp_count,
			unsigned tun_index);
/* Packets that found the tun's queue full (tun.tx_queue), since then. */
uint64_t kernel_drops_tun(struct kernel_drops *kernel);
/* Datagrams that found the buffer of their socket full (listen.read_buffer), or were broken. */
uint64_t kernel_drops_udp(const struct kernel_drops *kernel);

#endif
