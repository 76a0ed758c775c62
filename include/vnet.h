/*
 * vnet.h - the virtio-net header of the tun (PROTOCOL.md 11.1): what older kernel headers lack, and
 * how many packets a run of the tun holds. Its integers are in host order. Both planes.
 */
#ifndef M57_VNET_H
#define M57_VNET_H

#include <stdint.h>
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

/*
 * Packets that a run of length bytes at packet, read with vnet, is cut into; at least 1. The
 * headers stand once in the run, so they do not count; how long they are is read from the packet:
 * hdr_len says only how much the kernel had in one piece. A run whose headers do not fit it is
 * refused when it is cut (INNER_GSO); until then it counts by its length.
 */
static inline uint32_t vnet_packets(const struct virtio_net_hdr *vnet, const uint8_t *packet,
				    uint32_t length)
{
	const uint32_t udp_header = 8, tcp_offset = 12;
	uint32_t headers = vnet->csum_start;

	if (vnet->gso_type == VIRTIO_NET_HDR_GSO_NONE || vnet->gso_size == 0 || length == 0)
		return 1;
	if (vnet->gso_type == VIRTIO_NET_HDR_GSO_UDP_L4)
		headers += udp_header;
	else if (headers + tcp_offset < length)
		headers += (packet[headers + tcp_offset] >> 4) * 4u;
	if (!(vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || headers >= length)
		headers = 0;
	return (length - headers - 1) / vnet->gso_size + 1;
}

#endif
