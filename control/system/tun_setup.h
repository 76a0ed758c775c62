/*
 * tun_setup.h - makes the tun device: one descriptor per queue, with the offloads the kernel has.
 *
 * Addresses, routes and limits of the device are interface.h's part.
 */
#ifndef M57_TUN_SETUP_H
#define M57_TUN_SETUP_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "limits.h"

struct tun_options {
	const char *name;   /* tun.dev; "" lets the kernel choose one */
	uint32_t queues;    /* 1..QUEUES_MAX; above 1 the device is made with IFF_MULTI_QUEUE */
	bool offloads;      /* tun.use_offloads: virtio-net headers, TSO and USO */
	const int *program; /* sparse.h: chooses the queue of each packet; NULL: the kernel does */
};

struct tun_device {
	char name[IFNAMSIZ];
	unsigned index; /* interface index */
	uint32_t queues;
	int fds[QUEUES_MAX]; /* in queue order; owned */
	bool vnet_hdr;       /* reads and writes begin with the 10 bytes of struct virtio_net_hdr */
	bool persistent;     /* was there before, and stays */
	bool tso, uso;       /* the kernel took the offload: super-packets come and may go */
};

/*
 * Makes the device (PROTOCOL.md 9.4, 11.1), or takes a persistent one that nobody has open. A busy
 * name is tried again for TUN_BUSY_RETRY_MS: the files of an io_uring are released some time after
 * its process has been killed. 0, or -errno with one line of cause and cure in error and nothing
 * left open.
 */
int tun_open(struct tun_device *device, const struct tun_options *options,
	     char error[ERROR_LINE_MAX]);

/*
 * Is there a persistent device of that name that can have no more than one queue? One such that is
 * busy is waited for, as by tun_open(), which would then do so once more: who is told that it
 * stayed busy gives up. 1, 0, or -EBUSY with one line of cause and cure in error.
 */
int tun_has_one_queue(const char *name, char error[ERROR_LINE_MAX]);

/*
 * Closes the queues; the kernel removes the device, its addresses and its routes with the last one,
 * or, where there are many, before.
 * A persistent one keeps them, without our offloads and program.
 */
void tun_close(struct tun_device *device);

#endif
