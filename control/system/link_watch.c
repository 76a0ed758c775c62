/*
 * link_watch.c - see link_watch.h.
 *
 * The socket is this device's alone, and a filter keeps out what the kernel says of others: a host
 * that makes and removes a thousand of them neither wakes us nor makes us lose a message. So what
 * was lost is ours, and to set a route again that an operator has removed meanwhile is the smaller
 * harm.
 */
#include "system/link_watch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/filter.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE_BYTES 16384
#define INDEX_AT      (NLMSG_HDRLEN + offsetof(struct ifinfomsg, ifi_index))

/* A kernel that takes no filter sends more, which is passed over. */
static void filter_attach(int fd, unsigned index)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, INDEX_AT),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(index), 0, 1), /* a load swaps bytes */
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	(void)setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

int link_watch_open(struct link_watch *watch, unsigned index)
{
	struct sockaddr_nl groups = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	*watch = (struct link_watch){.fd = -1, .index = index, .up = true};
	if (fd < 0)
		return -errno;
	filter_attach(fd, index);
	if (bind(fd, (struct sockaddr *)&groups, sizeof(groups)) != 0) {
		int failure = errno;

		close(fd);
		return -failure;
	}
	watch->fd = fd;
	return 0;
}

void link_watch_close(struct link_watch *watch)
{
	if (watch->fd >= 0)
		close(watch->fd);
	watch->fd = -1;
}

/* The answer is a message like all others. Without one the next change of the device will do. */
static void link_ask(const struct link_watch *watch)
{
	uint8_t request[256] __attribute__((aligned(NLMSG_ALIGNTO))) = {0};
	struct nlmsghdr *header = mnl_nlmsg_put_header(request);
	struct ifinfomsg *info;

	header->nlmsg_type = RTM_GETLINK;
	header->nlmsg_flags = NLM_F_REQUEST;
	info = mnl_nlmsg_put_extra_header(header, sizeof(*info));
	info->ifi_index = (int)watch->index;
	(void)send(watch->fd, request, header->nlmsg_len, 0);
}

/* came_up as it is after this message. */
static bool take_message(struct link_watch *watch, const struct nlmsghdr *header, bool came_up)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(header);
	bool was_up = watch->up;

	if ((header->nlmsg_type != RTM_NEWLINK && header->nlmsg_type != RTM_DELLINK) ||
	    header->nlmsg_len < NLMSG_LENGTH(sizeof(*info)) ||
	    (unsigned)info->ifi_index != watch->index)
		return came_up;
	watch->up = header->nlmsg_type == RTM_NEWLINK && (info->ifi_flags & IFF_UP);
	watch->state = header->nlmsg_type == RTM_DELLINK ? LINK_GONE
		       : watch->up                       ? LINK_UP
							 : LINK_DOWN;
	return watch->up && (came_up || !was_up);
}

bool link_watch_turn(struct link_watch *watch)
{
	uint8_t bytes[MESSAGE_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
	bool came_up = false, lost = false;

	for (;;) {
		ssize_t got = recv(watch->fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_TRUNC);
		const struct nlmsghdr *header = (const struct nlmsghdr *)bytes;
		int left = (int)got;

		if (got < 0 && errno != ENOBUFS && errno != EINTR)
			break;
		lost |= (got < 0 && errno == ENOBUFS) || got > (ssize_t)sizeof(bytes);
		if (got > (ssize_t)sizeof(bytes))
			continue;
		for (; mnl_nlmsg_ok(header, left); header = mnl_nlmsg_next(header, &left))
			came_up = take_message(watch, header, came_up);
	}
	if (lost) { /* asked behind all that was there: there is room for the answer now */
		watch->up = false;
		link_ask(watch);
		return false;
	}
	return came_up;
}
