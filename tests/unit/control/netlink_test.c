/*
 * netlink_test.c - rtnetlink requests byte by byte, and the tun device with everything on it in a
 * network namespace of its own (needs root and /dev/net/tun).
 */
#include "system/netlink.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "system/interface.h"
#include "system/tun_setup.h"
#include "unit/control/shell.h"

/* The attribute of a type behind a header of extra bytes, or NULL. */
static const struct nlattr *attribute(const void *message, size_t extra, uint16_t type)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, (const struct nlmsghdr *)message, extra)
	{
		if (mnl_attr_get_type(attr) == type)
			return attr;
	}
	return NULL;
}

Test(netlink, addresses)
{
	static const struct {
		const char *address;
		uint8_t family, bits, bytes;
		const char *broadcast;
	} rows[] = {
		{"10.42.0.1/16", AF_INET, 16, 4, "10.42.255.255"},
		{"10.42.0.1/24", AF_INET, 24, 4, "10.42.0.255"},
		{"10.42.0.1/31", AF_INET, 31, 4, NULL},
		{"10.42.0.1/32", AF_INET, 32, 4, NULL},
		{"fd42::1/64", AF_INET6, 64, 16, NULL},
	};
	uint8_t buffer[NETLINK_REQUEST_BYTES] __attribute__((aligned(4)));

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct prefix address = prefix(rows[i].address);
		size_t length = netlink_build_address(buffer, 7, &address);
		const struct nlmsghdr *header = (const void *)buffer;
		const struct ifaddrmsg *info = mnl_nlmsg_get_payload(header);
		const struct nlattr *local = attribute(buffer, sizeof(*info), IFA_LOCAL);
		const struct nlattr *broadcast = attribute(buffer, sizeof(*info), IFA_BROADCAST);

		cr_assert_eq(length, header->nlmsg_len);
		cr_assert_eq(header->nlmsg_type, RTM_NEWADDR);
		cr_assert_eq(info->ifa_index, 7);
		cr_assert_eq(info->ifa_family, rows[i].family);
		cr_assert_eq(info->ifa_prefixlen, rows[i].bits, "%s", rows[i].address);
		cr_assert_eq(mnl_attr_get_payload_len(local), rows[i].bytes);
		cr_assert_eq(memcmp(mnl_attr_get_payload(local),
				    address.addr.bytes + 16 - rows[i].bytes, rows[i].bytes),
			     0);
		cr_assert_eq(broadcast != NULL, rows[i].broadcast != NULL, "%s", rows[i].address);
		if (broadcast) {
			struct addr want;

			addr_parse(rows[i].broadcast, &want);
			cr_assert_eq(memcmp(mnl_attr_get_payload(broadcast), want.bytes + 12, 4),
				     0);
		}
	}
}

Test(netlink, routes)
{
	static const struct {
		const char *to, *source;
		uint32_t mtu, metric;
		uint8_t family, bits;
		bool has_destination;
	} rows[] = {
		{"10.42.0.1/16", "10.42.0.1", 0, 0, AF_INET, 16, true},
		{"10.42.7.0/24", NULL, 1200, 0, AF_INET, 24, true},
		{"0.0.0.0/0", NULL, 0, 300, AF_INET, 0, false},
		{"fd42::1/64", "fd42::1", 1280, 256, AF_INET6, 64, true},
		{"::/0", NULL, 0, 0, AF_INET6, 0, false},
		{"fd42::/64", "10.42.0.1", 0, 0, AF_INET6, 64, true}, /* source of another family */
	};
	uint8_t buffer[NETLINK_REQUEST_BYTES] __attribute__((aligned(4)));

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct netlink_route route = {.index = 9,
					      .to = prefix(rows[i].to),
					      .mtu = rows[i].mtu,
					      .metric = rows[i].metric};

		if (rows[i].source)
			addr_parse(rows[i].source, &route.source);
		netlink_build_route(buffer, &route);

		const struct rtmsg *info = mnl_nlmsg_get_payload((const void *)buffer);
		const struct nlattr *metrics = attribute(buffer, sizeof(*info), RTA_METRICS);
		const struct nlattr *metric = attribute(buffer, sizeof(*info), RTA_PRIORITY);
		bool source =
			rows[i].source && addr_is_v4(&route.source) == (rows[i].family == AF_INET);

		cr_assert_eq(info->rtm_family, rows[i].family);
		cr_assert_eq(info->rtm_dst_len, rows[i].bits);
		cr_assert_eq(info->rtm_scope, RT_SCOPE_LINK);
		cr_assert_eq(attribute(buffer, sizeof(*info), RTA_DST) != NULL,
			     rows[i].has_destination);
		cr_assert_eq(attribute(buffer, sizeof(*info), RTA_PREFSRC) != NULL, source, "%s",
			     rows[i].to);
		cr_assert_eq(metrics != NULL, rows[i].mtu != 0);
		if (metrics) {
			const struct nlattr *mtu = mnl_attr_get_payload(metrics);

			cr_assert_eq(mnl_attr_get_type(mtu), RTAX_MTU);
			cr_assert_eq(mnl_attr_get_u32(mtu), rows[i].mtu);
			mtu = mnl_attr_next(mtu);
			cr_assert_eq(mnl_attr_get_type(mtu), RTAX_ADVMSS);
			cr_assert_eq(mnl_attr_get_u32(mtu), rows[i].mtu - 40);
		}
		cr_assert_eq(metric ? mnl_attr_get_u32(metric) : 0, rows[i].metric);
	}
}

Test(netlink, link_limits)
{
	uint8_t buffer[NETLINK_REQUEST_BYTES] __attribute__((aligned(4)));
	struct netlink_link link = {.index = 3,
				    .mtu = 1300,
				    .tx_queue = 500,
				    .gso_bytes_max = TUN_GSO_BYTES_MAX,
				    .gso_segments_max = GSO_SEGMENTS_MAX};

	netlink_build_link(buffer, &link);
	cr_assert_eq(mnl_attr_get_u32(attribute(buffer, sizeof(struct ifinfomsg), IFLA_MTU)), 1300);
	cr_assert_eq(mnl_attr_get_u32(attribute(buffer, sizeof(struct ifinfomsg), IFLA_TXQLEN)),
		     500);
	netlink_build_gso(buffer, &link);
	cr_assert_eq(
		mnl_attr_get_u32(attribute(buffer, sizeof(struct ifinfomsg), IFLA_GSO_MAX_SIZE)),
		TUN_GSO_BYTES_MAX);
	cr_assert_eq(
		mnl_attr_get_u32(attribute(buffer, sizeof(struct ifinfomsg), IFLA_GSO_MAX_SEGS)),
		GSO_SEGMENTS_MAX);
}

Test(netlink, device_mtu_is_the_largest)
{
	struct interface_route routes[] = {{.mtu = 1200}, {.mtu = 8000}, {.mtu = 1400}};
	struct interface_plan plan = {.mtu = 1300, .routes = routes};

	cr_assert_eq(interface_device_mtu(&plan), 1300);
	plan.route_count = 3;
	cr_assert_eq(interface_device_mtu(&plan), 8000);
}

/* One that could not be received when it came is none of the next request. */
Test(netlink, an_answer_that_was_left_is_passed_over)
{
	uint8_t request[NETLINK_REQUEST_BYTES] __attribute__((aligned(4)));
	struct netlink_link loopback = {.index = 1, .mtu = 5000};
	size_t length = netlink_build_link(request, &loopback);

	if (geteuid() != 0 || unshare(CLONE_NEWNET) != 0)
		cr_skip("needs root and network namespaces");
	int fd = dup(STDIN_FILENO); /* the next number is the socket's */
	close(fd);
	struct netlink *netlink = netlink_open();

	cr_assert_not_null(netlink);
	for (int left = 0; left < 3; left++) {
		for (int i = 0; i < left; i++)
			cr_assert_eq(send(fd, request, length, 0), (ssize_t)length);
		cr_expect_eq(netlink_link_up(netlink, 1), 0, "%d left", left);
		cr_expect_eq(netlink_link_up(netlink, 99), -ENODEV, "its own answer");
	}
	netlink_close(netlink);
}

Test(netlink, where_the_kernel_sends_packets)
{
	static const struct {
		const char *to;
		int result;
		unsigned index;
	} rows[] = {{"127.0.0.1", 0, 1},
		    {"::1", 0, 1},
		    {"192.0.2.1", -ENETUNREACH, 0},
		    {"2001:db8::1", -ENETUNREACH, 0}};

	if (geteuid() != 0 || unshare(CLONE_NEWNET) != 0)
		cr_skip("needs root and network namespaces");
	struct netlink *netlink = netlink_open();

	cr_assert_not_null(netlink);
	cr_assert_eq(netlink_link_up(netlink, 1), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct addr to;
		unsigned index = 77;

		cr_assert_eq(addr_parse(rows[i].to, &to), 0);
		cr_expect_eq(netlink_route_get(netlink, &to, &index), rows[i].result, "%s",
			     rows[i].to);
		cr_expect_eq(index, rows[i].index, "%s", rows[i].to);
	}
	netlink_close(netlink);
}

Test(netlink, whole_interface)
{
	if (geteuid() != 0 || access("/dev/net/tun", R_OK | W_OK) != 0 ||
	    unshare(CLONE_NEWNET) != 0)
		cr_skip("needs root, /dev/net/tun and network namespaces");

	struct tun_device device, second;
	struct tun_options options = {.name = "m57test", .queues = 3, .offloads = true};
	struct prefix networks[] = {prefix("10.42.0.1/16"), prefix("fd42::1/64")};
	struct interface_route routes[] = {
		{.to = prefix("10.42.7.0/24"), .mtu = 1400},
		{.to = prefix("192.168.7.0/24"), .mtu = 1200, .metric = 77},
		{.to = prefix("fd99::/48")},
	};
	char error[ERROR_LINE_MAX];

	cr_assert_eq(tun_open(&device, &options, error), 0, "%s", error);
	cr_assert_eq(device.queues, 3);
	cr_assert(device.vnet_hdr && device.tso);

	struct interface_plan plan = {.name = device.name,
				      .index = device.index,
				      .mtu = 1300,
				      .tx_queue = 321,
				      .offloads = true,
				      .network_count = 2,
				      .networks = networks,
				      .route_count = 3,
				      .routes = routes};

	cr_assert_eq(interface_configure(&plan, error), 0, "%s", error);
	const char *text = shell("ip -d link show m57test");

	has(text, "mtu 1400");
	has(text, "qlen 321");
	has(text, "gso_max_size 61000");
	has(text, "gso_max_segs 64");
	has(text, "addrgenmode none");
	has(text, ",UP");
	text = shell("ip addr show m57test");
	has(text, "inet 10.42.0.1/16 brd 10.42.255.255");
	has(text, "inet6 fd42::1/64");
	hasnt(text, "fe80");
	text = shell("ip route show");
	has(text,
	    "10.42.0.0/16 dev m57test proto static scope link src 10.42.0.1 mtu 1300 advmss 1260");
	has(text, "10.42.7.0/24 dev m57test proto static scope link");
	has(text,
	    "192.168.7.0/24 dev m57test proto static scope link metric 77 mtu 1200 advmss 1160");
	text = shell("ip -6 route show");
	has(text, "fd42::/64 dev m57test proto static src fd42::1 metric 256 mtu 1300");
	has(text, "fd99::/48 dev m57test");

	/* The name is taken: an error that says so, after a bounded wait. */
	options.queues = 1;
	cr_assert_lt(tun_open(&second, &options, error), 0);
	has(error, "m57test");
	has(error, "tun.dev");

	tun_close(&device);
	hasnt(shell("ip link"), "m57test");

	/* Released, it can be made again at once, and without offloads reads carry no header. */
	options.offloads = false;
	cr_assert_eq(tun_open(&device, &options, error), 0, "%s", error);
	cr_assert_not(device.vnet_hdr);
	tun_close(&device);
}

/*
 * A device of many queues is removed before they are closed: so it has gone while a ring still has
 * one of them. One that has been made to stay is not, nor are those that have its name and its
 * index here meanwhile.
 */
Test(netlink, a_device_of_many_queues_goes_at_once)
{
	if (geteuid() != 0 || access("/dev/net/tun", R_OK | W_OK) != 0 ||
	    unshare(CLONE_NEWNET) != 0)
		cr_skip("needs root, /dev/net/tun and network namespaces");

	struct tun_options options = {.name = "m57test", .queues = 3};
	char error[ERROR_LINE_MAX], command[128];
	struct tun_device device;

	cr_assert_eq(tun_open(&device, &options, error), 0, "%s", error);
	int held = dup(device.fds[1]);
	tun_close(&device);
	hasnt(shell("ip link"), "m57test");
	close(held);

	cr_assert_eq(tun_open(&device, &options, error), 0, "%s", error);
	cr_assert_eq(ioctl(device.fds[0], TUNSETPERSIST, 1), 0);
	tun_close(&device);
	has(shell("ip link"), "m57test");
	has(shell("ip link del m57test && echo gone"), "gone");

	cr_assert_eq(tun_open(&device, &options, error), 0, "%s", error);
	int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	cr_assert_eq(unshare(CLONE_NEWNET), 0);
	snprintf(command, sizeof(command),
		 "ip link add m57test index 77 type veth peer name other index %u", device.index);
	shell(command);
	has(shell("ip link"), "77: m57test@other");
	tun_close(&device);
	has(shell("ip link"), "77: m57test@other");
	cr_assert_eq(setns(here, CLONE_NEWNET), 0);
	hasnt(shell("ip link"), "m57test");
	close(here);
}
