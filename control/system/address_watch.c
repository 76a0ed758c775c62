/* address_watch.c - see address_watch.h. */
#include "system/address_watch.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 8192

int address_watch_open(void)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK,
				      .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		int err = errno;
		close(fd);
		return -err;
	}
	return fd;
}

/* An IPv6 address counts once it may be used. */
static bool is_change(const struct nlmsghdr *message)
{
	const struct ifaddrmsg *body = NLMSG_DATA(message);

	if (message->nlmsg_type == RTM_DELADDR)
		return true;
	return message->nlmsg_type == RTM_NEWADDR &&
	       message->nlmsg_len >= NLMSG_LENGTH(sizeof(struct ifaddrmsg)) &&
	       !(body->ifa_flags & IFA_F_TENTATIVE);
}

bool address_watch_read(int fd)
{
	_Alignas(struct nlmsghdr) char bytes[READ_BYTES];
	bool changed = false;

	for (;;) {
		ssize_t length = recv(fd, bytes, sizeof(bytes), 0);
		const struct nlmsghdr *message = (void *)bytes;

		if (length < 0 && errno == ENOBUFS) {
			changed = true;
			continue;
		}
		if (length <= 0)
			return changed;
		for (size_t left = (size_t)length; NLMSG_OK(message, left);
		     message = NLMSG_NEXT(message, left))
			changed |= is_change(message);
	}
}
