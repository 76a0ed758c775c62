/* local_addrs.c - see local_addrs.h. */
#include "system/local_addrs.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <sys/time.h>
#include <unistd.h>

#define ANSWER_BYTES   16384
#define DUMP_TRIES     3 /* what changes faster is told of by local_addrs_watch() */
#define ANSWER_TIMEOUT ((struct timeval){.tv_usec = 200000}) /* never seen; control must go on */

struct dump {
	struct local_addr *list;
	size_t count, most;
};

/* IFA_LOCAL is ours; IFA_ADDRESS is ours too, except on point-to-point links. */
static int take_attribute(const struct nlattr *attribute, void *data)
{
	const struct nlattr **found = data;
	uint16_t type = mnl_attr_get_type(attribute);

	if (type == IFA_LOCAL || (type == IFA_ADDRESS && *found == NULL))
		*found = attribute;
	return MNL_CB_OK;
}

static int take_address(const struct nlmsghdr *header, void *data)
{
	const struct ifaddrmsg *info = mnl_nlmsg_get_payload(header);
	const struct nlattr *found = NULL;
	struct dump *dump = data;
	struct local_addr *out = &dump->list[dump->count];
	const uint8_t *bytes;

	if (header->nlmsg_type != RTM_NEWADDR || header->nlmsg_len < NLMSG_LENGTH(sizeof(*info)) ||
	    dump->count == dump->most)
		return MNL_CB_OK;
	if (info->ifa_flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED))
		return MNL_CB_OK;
	mnl_attr_parse(header, sizeof(*info), take_attribute, &found);
	if (!found || !if_indextoname(info->ifa_index, out->interface))
		return MNL_CB_OK;
	bytes = mnl_attr_get_payload(found);
	if (info->ifa_family == AF_INET && mnl_attr_get_payload_len(found) == 4) {
		out->addr = addr_from_v4((uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 |
					 (uint32_t)bytes[2] << 8 | bytes[3]);
		dump->count++;
	} else if (info->ifa_family == AF_INET6 && mnl_attr_get_payload_len(found) == 16) {
		memcpy(out->addr.bytes, bytes, 16);
		dump->count++;
	}
	return MNL_CB_OK;
}

static bool dump_begin(struct mnl_socket *socket)
{
	uint8_t request[256] __attribute__((aligned(NLMSG_ALIGNTO))) = {0};
	struct nlmsghdr *header = mnl_nlmsg_put_header(request);
	struct rtgenmsg *family;
	struct timeval timeout = ANSWER_TIMEOUT;

	header->nlmsg_type = RTM_GETADDR;
	header->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	header->nlmsg_seq = 1;
	family = mnl_nlmsg_put_extra_header(header, sizeof(*family));
	family->rtgen_family = AF_UNSPEC;
	setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	return mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) == 0 &&
	       mnl_socket_sendto(socket, header, header->nlmsg_len) >= 0;
}

/* False: the kernel says that its list changed under the dump. */
static bool dump_take(struct mnl_socket *socket, struct dump *dump)
{
	uint8_t answer[ANSWER_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
	int more = MNL_CB_OK;

	while (more > MNL_CB_STOP) {
		ssize_t got = mnl_socket_recvfrom(socket, answer, sizeof(answer));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return true; /* no more of it will come */
		more = mnl_cb_run(answer, (size_t)got, 1, mnl_socket_get_portid(socket),
				  take_address, dump);
	}
	return more == MNL_CB_STOP || errno != EINTR;
}

size_t local_addrs_dump(struct local_addr *list, size_t most)
{
	struct dump dump = {list, 0, most};
	bool over = false;

	for (int i = 0; i < DUMP_TRIES && !over; i++) {
		struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);

		if (!socket)
			break;
		dump.count = 0;
		over = !dump_begin(socket) || dump_take(socket, &dump);
		mnl_socket_close(socket);
	}
	return dump.count;
}

int local_addrs_watch(void)
{
	struct sockaddr_nl groups = {
		.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR,
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&groups, sizeof(groups)) != 0) {
		int failure = errno;

		close(fd);
		return -failure;
	}
	return fd;
}

void local_addrs_take(int fd)
{
	uint8_t message[4096];

	/* ENOBUFS says that some were lost: there was a change, and that is all we want to know. */
	while (recv(fd, message, sizeof(message), MSG_DONTWAIT) >= 0 || errno == EINTR ||
	       errno == ENOBUFS)
		;
}
