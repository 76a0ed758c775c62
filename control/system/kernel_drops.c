/* kernel_drops.c - see kernel_drops.h. */
#include "system/kernel_drops.h"

#include <linux/sock_diag.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "system/netlink.h"

/* Since the device was made. False: it could not be learned. */
static bool tun_dropped(unsigned index, uint64_t *dropped)
{
	struct netlink *netlink = netlink_open();
	bool known = netlink && netlink_link_dropped(netlink, index, dropped) == 0;

	netlink_close(netlink);
	return known;
}

void kernel_drops_begin(struct kernel_drops *kernel, const int *udp_fds, uint32_t udp_count,
			unsigned tun_index)
{
	*kernel = (struct kernel_drops){
		.udp_fds = udp_fds, .udp_count = udp_count, .tun_index = tun_index};
	if (tun_index)
		(void)tun_dropped(tun_index, &kernel->tun_before);
}

uint64_t kernel_drops_tun(struct kernel_drops *kernel)
{
	uint64_t dropped;

	if (kernel->tun_index && tun_dropped(kernel->tun_index, &dropped) &&
	    dropped >= kernel->tun_before)
		kernel->tun_last = dropped - kernel->tun_before;
	return kernel->tun_last;
}

uint64_t kernel_drops_udp(const struct kernel_drops *kernel)
{
	uint64_t dropped = 0;

	for (uint32_t i = 0; i < kernel->udp_count; i++) {
		uint32_t info[SK_MEMINFO_VARS] = {0};
		socklen_t bytes = sizeof(info);

		if (getsockopt(kernel->udp_fds[i], SOL_SOCKET, SO_MEMINFO, info, &bytes) == 0)
			dropped += info[SK_MEMINFO_DROPS];
	}
	return dropped;
}
