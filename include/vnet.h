/*
 * vnet.h - the virtio-net header of the tun, with what older kernel headers lack.
 */
#ifndef M57_VNET_H
#define M57_VNET_H

#include <linux/if_tun.h>
#include <linux/virtio_net.h>

/* Linux 6.2: UDP segmentation offload on the tun (PROTOCOL.md 11.1). */
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#endif
